/* Proves that case states that are written behind the log are never old: whatever is published, fired, rolled back, erased, killed or configured in between, what the core
 * reads, and what it has in its store, is what folding the whole log gives. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/pb.h"
#include "tests/unit/core_place.h"
#include "tests/unit/samples.h"

#define STEPS 1500
#define CASES 40

static const char *const rules[] = { "", "confirm_hold = \"90min\"; delivery_overdue = \"5min\";", "milestones = [ 30, 3 ];" };

static void assert_rebuilt(struct core_place *place)
{
	const char *difference = NULL;

	if (core_rebuild(place->core, true, &place->arena, &difference, &place->err))
		fail_msg("%s", place->err.text);
	if (difference)
		fail_msg("%s", difference);
}

/* gm-a holds 0344 and gm-b 0599, or the other way round. */
static const char *agencies(struct core_place *place, bool turned)
{
	char *text = arena_strdup(&place->arena, place_agencies);

	assert_non_null(text);
	if (turned) {
		char *a = strstr(text, "0344"), *b = strstr(text, "0599");

		memcpy(a, "0599", 4);
		memcpy(b, "0344", 4);
	}
	return text;
}

static void configure(struct core_place *place, const char *text, bool turned)
{
	place_use(place, place_config(place, agencies(place, turned), text));
}

/* The state as text to compare: it must be the same before and after. */
static struct packed state_of(struct core_place *place, const char *subject)
{
	Reentry__CaseState *c = NULL;
	struct packed packed = { NULL, 0 };

	assert_int_equal(core_case(place->core, subject, &place->arena, &c), OK);
	assert_int_equal(pb_pack(c, &place->arena, &packed.bytes, &packed.n), OK);
	return packed;
}

static void assert_same(struct packed a, struct packed b)
{
	assert_int_equal(a.n, b.n);
	assert_memory_equal(a.bytes, b.bytes, a.n);
}

/* --- the ways in which it could be old ------------------------------------------------------------------------------------ */

static void a_state_is_folded_after_a_crash(void **state)
{
	struct core_place *place = *state;
	struct packed before;

	place_case(place, "C-1");
	before = state_of(place, "C-1");
	place_crash(place);
	assert_same(state_of(place, "C-1"), before);
	place_accept(place, "pi-a", "release.date-unknown", "C-1", NULL);
	before = state_of(place, "C-1");
	place_crash(place);
	assert_same(state_of(place, "C-1"), before);
	assert_rebuilt(place);
	place_crash(place);
	assert_same(state_of(place, "C-1"), before);
}

static void what_was_decided_under_an_old_policy_is_not_folded_under_the_new_one(void **state)
{
	struct core_place *place = *state;
	struct packed before;

	place_case(place, "C-1");
	place_accept(place, "pi-a", "release.recorded", "C-1", "{\"released_at\":\"2027-02-01T10:00:00+01:00\"}");
	before = state_of(place, "C-1");
	configure(place, rules[1], false);
	place_begin(place);
	place_commit(place);
	place_crash(place);
	assert_same(state_of(place, "C-1"), before);
	assert_rebuilt(place);
}

static void a_stub_is_folded_before_the_policy_changes(void **state)
{
	struct core_place *place = *state;
	struct packed before;

	place_case(place, "C-1");
	place_accept(place, "pi-a", "release.recorded", "C-1", "{\"released_at\":\"2027-02-01T10:00:00+01:00\"}");
	before = state_of(place, "C-1");
	place_crash(place);
	configure(place, rules[1], false);
	place_begin(place);
	place_commit(place);
	place_crash(place);
	assert_same(state_of(place, "C-1"), before);
	assert_rebuilt(place);
}

static void what_the_turn_of_a_change_decides_counts(void **state)
{
	struct core_place *place = *state;
	Reentry__CaseState *c;

	place_case(place, "C-1");
	configure(place, "", true);
	place_accept(place, "pi-a", "release.date-set", "C-1", "{\"date\":\"2027-06-25\",\"kind\":\"EXPECTED\"}"); /* in the same turn */
	assert_int_equal(core_case(place->core, "C-1", &place->arena, &c), OK);
	assert_int_equal(c->release_slot->version, 2);
	assert_rebuilt(place);
	place_crash(place);
	assert_int_equal(core_case(place->core, "C-1", &place->arena, &c), OK);
	assert_int_equal(c->release_slot->version, 2);
}

static void a_change_that_was_rolled_back_leaves_the_states(void **state)
{
	struct core_place *place = *state;
	struct packed before;

	place_case(place, "C-1");
	before = state_of(place, "C-1");
	configure(place, "", true);
	place_begin(place);
	core_rollback(place->core);
	assert_same(state_of(place, "C-1"), before);
	place_begin(place);
	place_commit(place);
	assert_same(state_of(place, "C-1"), before);
	place_crash(place);
	assert_same(state_of(place, "C-1"), before);
	assert_rebuilt(place);
}

/* --- all of it, at random -------------------------------------------------------------------------------------------------- */

struct walk { struct core_place *place; uint64_t random; unsigned cases; int rules; bool turned; };

static unsigned pick(struct walk *w, unsigned n)
{
	return (unsigned)(sample_random(&w->random) % n);
}

static void publish_one(struct walk *w)
{
	static const char *const dates[] = { "2027-03-01", "2027-04-25", "2027-12-25" };
	struct core_place *place = w->place;
	unsigned which = pick(w, CASES);
	const char *subject = arena_printf(&place->arena, "C-%u", which);
	const char *by = "pi-a";
	struct packed event;

	switch (pick(w, 8)) {
	case 0:
		event = place_event(place, NULL, "custody.started", subject,
			arena_printf(&place->arena, "{\"start\":\"2027-02-01T08:00:00+01:00\",\"origin\":\"0344\",\"destination\":\"%s\"}", pick(w, 2) ? "0344" : "0599"));
		break;
	case 1:
		event = place_event(place, NULL, "release.date-set", subject, arena_printf(&place->arena, "{\"date\":\"%s\",\"kind\":\"EXPECTED\"}", dates[pick(w, 3)]));
		break;
	case 2:
		event = place_event(place, NULL, "need.screened", subject, pick(w, 2) ? "{\"need\":\"DEBT\",\"status\":\"OPEN\"}" : "{\"need\":\"LVB\",\"status\":\"OPEN\"}");
		break;
	case 3:
		event = place_event(place, NULL, "destination.changed", subject, pick(w, 2) ? "{\"destination\":\"0344\"}" : "{\"destination\":\"0599\"}");
		break;
	case 4:
		event = place_event(place, NULL, "handover.offered", subject, "{\"handover\":\"H-1\",\"to\":\"care-a\",\"need\":\"DEBT\"}");
		break;
	case 5:
		event = place_event(place, NULL, "release.recorded", subject, "{\"released_at\":\"2027-02-01T10:00:00+01:00\"}");
		break;
	case 6:
		by = "gm-a"; /* what it lets gm-a see is stopped in the queue when it is withdrawn */
		event = place_event(place, NULL, pick(w, 2) ? "consent.given" : "consent.withdrawn", subject, "{\"to\":\"gm-a\",\"class\":\"C\"}");
		break;
	default:
		event = place_event(place, arena_printf(&place->arena, "again-%u", pick(w, 200)), "need.screened", subject, "{\"need\":\"LVB\",\"status\":\"IN_PROGRESS\"}"); /* a duplicate, or a conflict, of an old one */
		break;
	}
	(void)place_publish(place, by, event); /* refusals belong to the walk */
}

static void turn(struct walk *w)
{
	bool more;

	place_begin(w->place);
	if (pick(w, 4) == 0)
		assert_int_equal(core_fire(w->place->core, 3, &more), OK);
	for (unsigned i = pick(w, 5); i > 0; i--)
		publish_one(w);
	if (pick(w, 8) == 0)
		core_rollback(w->place->core);
	else
		place_commit(w->place);
}

/* Killed at any point of it; the next run goes on. */
static void erase_one(struct walk *w)
{
	struct core_place *place = w->place;
	const char *subject = arena_printf(&place->arena, "C-%u", pick(w, CASES));
	Reentry__CaseState *c;
	size_t n;
	int error;

	place_begin(place);
	error = core_erase_order(place->core, subject, "one", "request 1", &place->err);
	place_commit(place);
	if (pick(w, 3) == 0)
		place_crash(place);
	if (error)
		return; /* there is no such case, or it is gone already */
	place_begin(place);
	publish_one(w);
	assert_int_equal(core_erase_confirm(place->core, subject, "two", "seen", &place->err), OK);
	publish_one(w);
	place_commit(place);
	if (pick(w, 3) == 0)
		place_crash(place);
	assert_int_equal(core_erase_run(place->core, place->now, &n, &place->err), OK);
	assert_int_equal(core_case(place->core, subject, &place->arena, &c), ERR_ERASED);
}

static void step(struct walk *w)
{
	struct core_place *place = w->place;

	switch (pick(w, 30)) {
	case 0:
		place_crash(place);
		break;
	case 1:
		w->rules = (int)pick(w, 3);
		w->turned = pick(w, 2);
		configure(place, rules[w->rules], w->turned);
		break;
	case 2:
		place->now += (moment)pick(w, 10) * 86400000;
		break;
	case 3:
		(void)place_ack_all(place, pick(w, 2) ? "gm-a" : "care-a"); /* any number */
		break;
	case 4:
		place_close(place);
		place_open(place);
		break;
	case 5:
		if (pick(w, 6) == 0)
			erase_one(w);
		break;
	default:
		place->now += pick(w, 60000);
		turn(w);
		break;
	}
}

/* SEED=n walks another way. */
static void walk(struct core_place *place, uint64_t behind_max, uint64_t seed)
{
	const char *text = getenv("SEED");
	struct walk w = { .place = place, .random = seed };

	if (text && *text)
		w.random += strtoull(text, NULL, 10);
	place_close(place);
	place->behind_max = behind_max;
	place_open(place);
	for (int i = 0; i < STEPS; i++) {
		step(&w);
		if (i % 100 == 99)
			assert_rebuilt(place);
		arena_reset(&place->arena);
	}
	assert_rebuilt(place);
}

static void nothing_is_old_when_states_are_written_soon(void **state)
{
	walk(*state, 1, 1);
}

static void nothing_is_old_when_states_are_written_now_and_then(void **state)
{
	walk(*state, 150, 2);
}

static void nothing_is_old_when_states_are_written_late(void **state)
{
	walk(*state, 1000000, 3);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, core_place_make, core_place_remove)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(a_state_is_folded_after_a_crash), TEST(what_was_decided_under_an_old_policy_is_not_folded_under_the_new_one),
		TEST(a_stub_is_folded_before_the_policy_changes), TEST(what_the_turn_of_a_change_decides_counts), TEST(a_change_that_was_rolled_back_leaves_the_states),
		TEST(nothing_is_old_when_states_are_written_soon), TEST(nothing_is_old_when_states_are_written_now_and_then),
		TEST(nothing_is_old_when_states_are_written_late),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
