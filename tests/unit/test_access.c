/* Proves of the access report that deliveries and acknowledgements find the event and the agency they belong to, that who asked is told apart from who was given, and that odd lines are passed over. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "cli/access.h"

static void feed(struct access *access, const char *line)
{
	struct object object;
	struct arena arena;
	arena_init(&arena, 0);
	assert_true(object_read(&object, line, strlen(line), &arena));
	assert_int_equal(access_take(access, &object), OK);
	arena_release(&arena);
}

#define ROUTED(sequence, to) "{\"record\":\"routed\",\"sequence\":\"" sequence "\",\"recordedtime\":\"2027-02-01T10:00:00Z\",\"case\":\"C-1\",\"agency\":\"pi\",\"type\":\"custody.started\",\"class\":\"A\",\"to\":[" to "]}"

static void test_given_and_received(void **unused)
{
	struct access access;
	(void)unused;
	access_init(&access);
	feed(&access, "{\"specversion\":\"1.0\",\"type\":\"nl.reentry.custody.started\",\"sequence\":\"00000000000000000002\"}");
	feed(&access, ROUTED("00000000000000000002", "{\"agency\":\"gm-a\",\"relations\":[\"municipality\"]},{\"agency\":\"gm-b\",\"relations\":[\"municipality\",\"provider\"],\"consent\":true}"));
	feed(&access, ROUTED("00000000000000000004", "{\"agency\":\"gm-a\",\"relations\":[]}"));
	feed(&access, "{\"record\":\"delivered\",\"sequence\":\"00000000000000000005\",\"recordedtime\":\"T5\",\"agency\":\"gm-a\",\"sequences\":[\"00000000000000000002\",\"00000000000000000004\",\"00000000000000000099\"]}");
	feed(&access, "{\"record\":\"delivered\",\"sequence\":\"00000000000000000006\",\"recordedtime\":\"T6\",\"agency\":\"gm-a\",\"sequences\":[\"00000000000000000002\"]}");
	feed(&access, "{\"record\":\"acked\",\"sequence\":\"00000000000000000007\",\"recordedtime\":\"T7\",\"agency\":\"gm-a\",\"sequences\":[\"00000000000000000002\"]}");
	feed(&access, "{\"record\":\"acked\",\"sequence\":\"00000000000000000008\",\"recordedtime\":\"T8\",\"agency\":\"nobody\",\"sequences\":[\"00000000000000000002\"]}");
	assert_int_equal(access.n, 2);
	const struct access_fact *first = access.facts[0], *second = access.facts[1];
	assert_int_equal(first->what, ACCESS_REPORTED);
	assert_int_equal(first->n_to, 2);
	assert_string_equal(first->to[0].delivered, "T5"); /* the first time counts */
	assert_string_equal(first->to[0].acked, "T7");
	assert_null(first->to[1].delivered);
	assert_true(first->to[1].consent && !first->to[0].consent);
	assert_int_equal(first->to[1].n_relations, 2);
	assert_string_equal(second->to[0].delivered, "T5");
	assert_null(second->to[0].acked);
	access_release(&access);
}

static void test_an_acknowledgement_alone_is_a_delivery_too(void **unused)
{
	struct access access;
	(void)unused;
	access_init(&access);
	feed(&access, ROUTED("00000000000000000002", "{\"agency\":\"gm-a\",\"relations\":[]}"));
	feed(&access, "{\"record\":\"acked\",\"sequence\":\"00000000000000000003\",\"recordedtime\":\"T3\",\"agency\":\"gm-a\",\"sequences\":[\"00000000000000000002\"]}");
	assert_string_equal(access.facts[0]->to[0].delivered, "T3");
	access_release(&access);
}

static void test_who_asked(void **unused)
{
	static const enum access_what expected[] = {ACCESS_SHOWN, ACCESS_READ, ACCESS_READ_ALL, ACCESS_DENIED, ACCESS_REFUSED, ACCESS_ERASE_ORDERED, ACCESS_ERASED};
	struct access access;
	(void)unused;
	access_init(&access);
	feed(&access, "{\"record\":\"replay\",\"sequence\":\"1\",\"recordedtime\":\"T\",\"agency\":\"gm-a\",\"case\":\"C-1\",\"audit\":{\"action\":\"case\",\"outcome\":\"shown\"}}");
	feed(&access, "{\"record\":\"replay\",\"sequence\":\"2\",\"recordedtime\":\"T\",\"agency\":\"audit\",\"case\":\"C-1\",\"audit\":{\"action\":\"replay\",\"outcome\":\"started\",\"purpose\":\"why\",\"on_behalf_of\":\"whom\"}}");
	feed(&access, "{\"record\":\"replay\",\"sequence\":\"3\",\"recordedtime\":\"T\",\"agency\":\"audit\",\"case\":\"C-1\",\"audit\":{\"action\":\"replay\",\"outcome\":\"finished\",\"count\":4}}");
	feed(&access, "{\"record\":\"replay\",\"sequence\":\"4\",\"recordedtime\":\"T\",\"agency\":\"audit\",\"audit\":{\"action\":\"replay\",\"outcome\":\"started\"}}");
	feed(&access, "{\"record\":\"denied\",\"sequence\":\"5\",\"recordedtime\":\"T\",\"agency\":\"gm-b\",\"audit\":{\"action\":\"case\",\"outcome\":\"no-such-case\"}}");
	feed(&access, "{\"record\":\"refused\",\"sequence\":\"6\",\"recordedtime\":\"T\",\"agency\":\"gm-b\",\"case\":\"C-1\",\"code\":\"not-allowed\"}");
	feed(&access, "{\"record\":\"erase\",\"sequence\":\"7\",\"recordedtime\":\"T\",\"agency\":\"uid:1\",\"case\":\"C-1\",\"audit\":{\"action\":\"order\",\"purpose\":\"art. 17\"}}");
	feed(&access, "{\"record\":\"erase\",\"sequence\":\"8\",\"recordedtime\":\"T\",\"agency\":\"broker\",\"case\":\"C-1\",\"audit\":{\"action\":\"executed\"}}");
	feed(&access, "{\"record\":\"weather\",\"sequence\":\"9\",\"recordedtime\":\"T\"}");
	feed(&access, "{\"record\":\"replay\",\"sequence\":\"10\",\"recordedtime\":\"T\"}");
	feed(&access, "{\"record\":\"delivered\",\"sequence\":\"11\",\"recordedtime\":\"T\",\"agency\":\"gm-a\",\"sequences\":[7,null]}");
	assert_int_equal(access.n, sizeof expected / sizeof *expected);
	for (size_t i = 0; i < access.n; i++)
		assert_int_equal(access.facts[i]->what, expected[i]);
	assert_string_equal(access.facts[1]->purpose, "why");
	assert_string_equal(access.facts[1]->on_behalf_of, "whom");
	assert_string_equal(access.facts[3]->code, "no-such-case");
	assert_string_equal(access.facts[4]->code, "not-allowed");
	access_release(&access);
}

static void test_where_a_line_stands(void **unused)
{
	uint64_t sequence = 0;
	(void)unused;
	assert_true(line_sequence("{\"specversion\":\"1.0\",\"subject\":\"C-1\",\"sequence\":\"00000000000000000042\",\"data\":{\"sequence\":\"7\"}}", &sequence));
	assert_int_equal(sequence, 42);
	assert_true(line_sequence("{\"record\":\"state\",\"opened\":\"00000000000000000003\",\"sequence\":\"00000000000000000009\"}", &sequence));
	assert_int_equal(sequence, 3); /* states are counted by where their cases were opened */
	assert_true(line_sequence("{\"record\":\"routed\",\"sequence\":\"00000000000000000005\"}", &sequence));
	assert_int_equal(sequence, 5);
	assert_false(line_sequence("{}", &sequence));
	assert_false(line_sequence("{\"sequence\":\"\"}", &sequence));
	assert_false(line_sequence("{\"sequence\":\"99999999999999999999999\"}", &sequence));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_given_and_received), cmocka_unit_test(test_an_acknowledgement_alone_is_a_delivery_too),
		cmocka_unit_test(test_who_asked), cmocka_unit_test(test_where_a_line_stands),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
