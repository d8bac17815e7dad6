/* Proves that what an agent sent behind a refused item of a case is refused until the agent can have known, in whatever order frames wait and answers come, and that nobody stays held. */
#include "broker/broker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct scene {
	struct broker broker;
	struct session session;
	struct frame frames[64];
};

static int make(void **state)
{
	static struct scene scene;

	scene = (struct scene){ .session.up = true };
	*state = &scene;
	return 0;
}

static int drop(void **state)
{
	struct scene *scene = *state;

	hold_forget(&scene->session);
	assert_null(scene->session.holds);
	return 0;
}

/* The bytes of an event of that case, with fields of other wire types before the subject. */
static ProtobufCBinaryData event(const char *subject)
{
	static uint8_t bytes[128];
	const size_t n = strlen(subject);

	memcpy(bytes, "\x0a\x02id\x40\x81\x01\x22", 8); /* id = "id", slot_version = 129, subject */
	bytes[8] = (uint8_t)n;
	memcpy(bytes + 9, subject, n);
	return (ProtobufCBinaryData){ .len = 9 + n, .data = bytes };
}

static bool covers(struct scene *scene, uint64_t frame, const char *subject)
{
	const ProtobufCBinaryData content = event(subject);

	return hold_covers(&scene->session, frame, &content);
}

static void refuse(struct scene *scene, uint64_t from, const char *subject)
{
	const ProtobufCBinaryData content = event(subject);

	hold_begin(&scene->broker, &scene->session, from, &content);
}

/* Frame `number` comes in and waits. */
static void comes(struct scene *scene)
{
	struct session *session = &scene->session;
	struct frame *frame = &scene->frames[session->frames_in];

	*frame = (struct frame){ .number = ++session->frames_in };
	*(session->last ? &session->last->next : &session->first) = frame;
	session->last = frame;
}

static void done(struct scene *scene)
{
	struct session *session = &scene->session;

	session->first = session->first->next;
	if (!session->first)
		session->last = NULL;
	hold_sweep(session);
}

static void only_what_comes_behind_of_the_same_case_is_held(void **state)
{
	struct scene *scene = *state;
	const ProtobufCBinaryData nothing = { 0 };

	comes(scene);
	comes(scene);
	assert_false(covers(scene, 1, "C-1"));
	refuse(scene, 0, "C-1");
	assert_true(covers(scene, 1, "C-1"));
	assert_true(covers(scene, 2, "C-1"));
	assert_false(covers(scene, 2, "C-2"));
	assert_false(hold_covers(&scene->session, 2, &nothing)); /* the core says what that is */
}

static void beyond_the_window_what_waits_already_is_not_held(void **state)
{
	struct scene *scene = *state;

	comes(scene);
	refuse(scene, scene->session.frames_in, "C-1");
	assert_false(covers(scene, 1, "C-1"));
	comes(scene);
	assert_true(covers(scene, 2, "C-1"));
}

static void the_answer_frees_what_is_sent_after_it_only(void **state)
{
	struct scene *scene = *state;

	comes(scene);
	refuse(scene, 0, "C-1");
	scene->session.asked = 1;
	done(scene);
	comes(scene);
	comes(scene);
	hold_answered(&scene->session, 1); /* read at once, while frames 2 and 3 wait */
	comes(scene);
	assert_true(covers(scene, 2, "C-1"));
	assert_true(covers(scene, 3, "C-1"));
	assert_false(covers(scene, 4, "C-1"));
	done(scene);
	assert_true(covers(scene, 3, "C-1"));
	done(scene);
	assert_int_equal(scene->session.n_holds, 0);
	assert_false(covers(scene, 4, "C-1"));
}

static void an_answer_ends_only_what_was_asked_about_by_then(void **state)
{
	struct scene *scene = *state;

	refuse(scene, 0, "C-1");
	scene->session.asked = 1;
	refuse(scene, 0, "C-2"); /* its Ping is the second */
	hold_answered(&scene->session, 7); /* none that was asked */
	assert_true(covers(scene, 1, "C-1"));
	hold_answered(&scene->session, 1);
	assert_false(covers(scene, 1, "C-1"));
	assert_true(covers(scene, 1, "C-2"));
	scene->session.asked = 2;
	hold_answered(&scene->session, 2);
	assert_false(covers(scene, 1, "C-2"));
}

static void an_earlier_item_refused_later_is_asked_about_anew(void **state)
{
	struct scene *scene = *state;

	comes(scene);
	refuse(scene, 1, "C-1"); /* beyond the window */
	scene->session.asked = 1;
	refuse(scene, 0, "C-1"); /* and then what waited */
	hold_answered(&scene->session, 1);
	assert_true(covers(scene, 2, "C-1"));
	scene->session.asked = 2;
	hold_answered(&scene->session, 2);
	comes(scene);
	assert_false(covers(scene, 2, "C-1"));
}

static void too_many_cases_are_every_case(void **state)
{
	struct scene *scene = *state;
	char subject[16];

	for (int i = 0; i <= HOLDS_MAX; i++) {
		assert_false(i == HOLDS_MAX && covers(scene, 1, "C-x"));
		(void)snprintf(subject, sizeof subject, "C-%d", i);
		refuse(scene, (uint64_t)i, subject);
	}
	assert_int_equal(scene->session.n_holds, 1);
	assert_true(covers(scene, 1, "C-x")); /* from the first of them on */
	refuse(scene, 500, "C-y");
	assert_int_equal(scene->session.n_holds, 1);
	scene->session.asked = 1;
	hold_answered(&scene->session, 1);
	assert_false(covers(scene, 1, "C-x"));
}

static void the_subject_is_found_in_any_bytes(void **state)
{
	static const struct { const char *bytes; size_t n; bool found; } cases[] = {
		{ "", 0, false }, { "\x22\x00", 2, false }, { "\x22\x03" "C-1", 5, true }, { "\x22\x04" "C-1", 5, false }, { "\x22", 1, false },
		{ "\x29" "12345678" "\x22\x01" "C", 12, true }, { "\x2d" "1234" "\x22\x01" "C", 8, true }, { "\x2d" "12", 3, false }, { "\x23\x01" "C", 3, false },
		{ "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80", 11, false },
	};
	const uint8_t *subject;
	size_t n;

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		assert_int_equal(net_subject((const uint8_t *)cases[i].bytes, cases[i].n, &subject, &n), cases[i].found);
	assert_true(net_subject((const uint8_t *)"\x0a\x01" "i\x22\x03" "C-1", 8, &subject, &n));
	assert_int_equal(n, 3);
	assert_memory_equal(subject, "C-1", 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(only_what_comes_behind_of_the_same_case_is_held, make, drop),
		cmocka_unit_test_setup_teardown(beyond_the_window_what_waits_already_is_not_held, make, drop),
		cmocka_unit_test_setup_teardown(the_answer_frees_what_is_sent_after_it_only, make, drop),
		cmocka_unit_test_setup_teardown(an_answer_ends_only_what_was_asked_about_by_then, make, drop),
		cmocka_unit_test_setup_teardown(an_earlier_item_refused_later_is_asked_about_anew, make, drop),
		cmocka_unit_test_setup_teardown(too_many_cases_are_every_case, make, drop),
		cmocka_unit_test(the_subject_is_found_in_any_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
