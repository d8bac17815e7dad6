/* Proves that a turn may be made while the one before is on its way to the disk: it builds on it, nobody is given what is not on disk, and when that commit fails both are as if they had never been. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/core_place.h"

static void assert_rebuilt(struct core_place *place)
{
	const char *difference = NULL;

	if (core_rebuild(place->core, true, &place->arena, &difference, &place->err) != OK)
		fail_msg("%s", place->err.text);
	if (difference)
		fail_msg("%s", difference);
}

static void take_off(struct core_place *place)
{
	assert_int_equal(core_flush(place->core), OK);
	assert_int_equal(core_commit_wait(place->core, &(uint64_t){ 0 }), OK);
	assert_true(core_may_fly(place->core));
	assert_int_equal(core_commit_begin(place->core), OK);
}

static struct packed need(struct core_place *place, const char *id, const char *subject, const char *note)
{
	char data[128];

	(void)snprintf(data, sizeof data, "{\"need\":\"HOUSING\",\"status\":\"OPEN\",\"note\":\"%s\"}", note);
	return place_event(place, id, "need.screened", subject, data);
}

/* What the municipality is given now: the highest sequence of it. */
static uint64_t given(struct core_place *place)
{
	struct core_delivery *items;
	uint64_t last = 0;
	size_t n;

	assert_int_equal(core_deliveries(place->core, "gm-a", 0, SIZE_MAX, SIZE_MAX, &place->arena, &items, &n), OK);
	for (size_t i = 0; i < n; i++)
		last = items[i].sequence;
	return last;
}

static void a_turn_builds_on_the_one_on_its_way(void **state)
{
	struct core_place *place = *state;
	struct packed first, second;
	struct core_receipt one, two, again;
	struct core_status status;
	uint64_t on_disk;

	place_case(place, "C-1");
	on_disk = given(place);
	for (int round = 0; round < 50; round++) {
		first = need(place, NULL, "C-1", "first");
		second = need(place, NULL, "C-1", "second");
		place_begin(place);
		one = place_publish(place, "pi-a", first);
		assert_int_equal(one.result, REENTRY__OUTCOME__VALUE__ACCEPTED);
		take_off(place);
		assert_int_equal(given(place), on_disk); /* it is queued, and not on disk as far as we were told */
		assert_int_equal(core_status(place->core, &status), OK);
		assert_true(status.last_sequence < one.sequence);
		place_begin(place);
		again = place_publish(place, "pi-a", first);
		assert_int_equal(again.result, REENTRY__OUTCOME__VALUE__DUPLICATE);
		assert_int_equal(again.sequence, one.sequence);
		two = place_publish(place, "pi-a", second);
		assert_int_equal(two.result, REENTRY__OUTCOME__VALUE__ACCEPTED);
		assert_true(two.sequence > one.sequence);
		assert_int_equal(core_flush(place->core), OK);
		assert_int_equal(core_commit_wait(place->core, &(uint64_t){ 0 }), OK);
		assert_int_equal(core_status(place->core, &status), OK);
		assert_true(status.last_sequence >= one.sequence && status.last_sequence < two.sequence);
		place_commit(place);
		on_disk = given(place);
		assert_true(on_disk >= two.sequence);
		if (round % 10 == 9) {
			place_crash(place);
			assert_rebuilt(place);
		}
	}
	place_begin(place);
	assert_int_equal(place_publish(place, "pi-a", second).result, REENTRY__OUTCOME__VALUE__DUPLICATE);
	core_rollback(place->core);
}

/* A turn that is given up goes back to the one before, which is still on its way. */
static void a_turn_given_up_leaves_the_one_before(void **state)
{
	struct core_place *place = *state;
	struct packed first, second;
	struct core_receipt one, two;

	place_case(place, "C-1");
	first = need(place, NULL, "C-1", "first");
	second = need(place, NULL, "C-2", "second"); /* of a case that is new to it */
	place_begin(place);
	one = place_publish(place, "pi-a", first);
	take_off(place);
	place_begin(place);
	(void)place_publish(place, "pi-a", place_event(place, NULL, "custody.started", "C-2", "{\"start\":\"2027-02-01T08:30:00Z\",\"origin\":\"0344\",\"destination\":\"0344\"}"));
	two = place_publish(place, "pi-a", second);
	assert_int_equal(two.result, REENTRY__OUTCOME__VALUE__ACCEPTED);
	core_rollback(place->core);
	place_begin(place);
	assert_int_equal(place_publish(place, "pi-a", first).result, REENTRY__OUTCOME__VALUE__DUPLICATE);
	assert_int_equal(place_publish(place, "pi-a", second).result, REENTRY__OUTCOME__VALUE__REFUSED); /* there is no such case */
	assert_int_equal(core_flush(place->core), OK);
	assert_int_equal(core_commit_wait(place->core, &(uint64_t){ 0 }), OK);
	place_commit(place);
	assert_true(given(place) >= one.sequence);
	assert_rebuilt(place);
	place_crash(place);
	assert_rebuilt(place);
}

/* So many records that a second thread seals some of them: the log is whole, in a turn that counts and behind one that was given up. */
static void large_turns_are_sealed_by_two(void **state)
{
	struct core_place *place = *state;
	struct core_record record;
	struct core_receipt receipt = { 0 };
	uint64_t before;

	place_case(place, "C-1");
	for (int round = 0; round < 20; round++) {
		before = place_last(place);
		place_begin(place);
		for (int i = 0; i < 200 + 37 * round; i++) {
			receipt = place_publish(place, "pi-a", need(place, NULL, "C-1", "many"));
			assert_int_equal(receipt.result, REENTRY__OUTCOME__VALUE__ACCEPTED);
		}
		if (round % 3 == 2) {
			core_rollback(place->core);
			assert_int_equal(place_last(place), before);
			continue;
		}
		take_off(place);
		assert_int_equal(core_commit_wait(place->core, &(uint64_t){ 0 }), OK);
		assert_true(place_last(place) >= receipt.sequence);
		for (uint64_t position = before + 1; position <= receipt.sequence; position++)
			assert_int_equal(core_record(place->core, position, &place->arena, &record), OK);
		arena_reset(&place->arena);
	}
	assert_rebuilt(place);
	place_crash(place);
	assert_rebuilt(place);
}

static int small_place(void **state)
{
	return core_place_make_small(state, (size_t)64 << 10);
}

/* More than the map holds. */
static void overfill(struct core_place *place)
{
	static char purpose[300000];
	Reentry__AuditRecord body = REENTRY__AUDIT_RECORD__INIT;

	memset(purpose, 'x', sizeof purpose - 1);
	body.who = (char *)(uintptr_t)"operator";
	body.purpose = purpose;
	for (int i = 0; i < 16; i++)
		assert_int_equal(core_audit(place->core, REENTRY__RECORD_KIND__VALUE__ADMIN, &body, NULL), OK);
}

static void what_a_failed_commit_took_with_it_comes_again(void **state)
{
	struct core_place *place = *state;
	const char *const *touched;
	struct packed before, first, second;
	struct core_status status;
	uint64_t last;
	size_t n;

	place_case(place, "C-1");
	before = need(place, NULL, "C-1", "before");
	place_begin(place);
	assert_int_equal(place_publish(place, "pi-a", before).result, REENTRY__OUTCOME__VALUE__ACCEPTED);
	place_commit(place);
	for (int open = 0; open < 2; open++) { /* with and without a turn in the making */
		first = need(place, NULL, "C-1", "first");
		second = need(place, NULL, "C-1", "second");
		assert_int_equal(core_status(place->core, &status), OK);
		last = status.last_sequence;
		place_begin(place);
		assert_int_equal(place_publish(place, "pi-a", first).result, REENTRY__OUTCOME__VALUE__ACCEPTED);
		overfill(place);
		take_off(place);
		if (open) {
			place_begin(place);
			assert_int_equal(place_publish(place, "pi-a", second).result, REENTRY__OUTCOME__VALUE__ACCEPTED);
			assert_int_equal(core_flush(place->core), OK);
		}
		assert_int_equal(core_commit_wait(place->core, &(uint64_t){ 0 }), ERR_FULL);
		assert_false(core_may_fly(place->core));
		assert_int_equal(core_status(place->core, &status), OK);
		assert_true(status.full && status.last_sequence == last);
		assert_int_equal(core_touched(place->core, &touched, &n), OK);
		assert_int_equal(n, 0);
		assert_rebuilt(place);
		place_begin(place);
		assert_int_equal(place_publish(place, "pi-a", before).result, REENTRY__OUTCOME__VALUE__DUPLICATE);
		assert_int_equal(place_publish(place, "pi-a", first).sequence, last + 1);
		assert_int_equal(place_publish(place, "pi-a", second).result, REENTRY__OUTCOME__VALUE__ACCEPTED);
		take_off(place);
		assert_int_equal(core_commit_wait(place->core, &(uint64_t){ 0 }), OK);
		assert_true(given(place) > last);
	}
	place_crash(place);
	assert_rebuilt(place);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, core_place_make, core_place_remove)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_turn_builds_on_the_one_on_its_way),
		TEST(a_turn_given_up_leaves_the_one_before),
		TEST(large_turns_are_sealed_by_two),
		cmocka_unit_test_setup_teardown(what_a_failed_commit_took_with_it_comes_again, small_place, core_place_remove),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
