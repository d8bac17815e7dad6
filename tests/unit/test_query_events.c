/* Proves that a replay that unpacks nothing gives an auditor, byte for byte and for every scope, what unpacking each record and asking rules/scope.c gives: also of erased cases, of class C in part, of refused
 * and stale events, of one case alone, of one type or publisher, in whatever parts; and that the top of a message is found without unpacking it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "broker/core_past.h"
#include "broker/core_read.h"
#include "broker/replay.h"
#include "tests/unit/core_place.h"
#include "tests/unit/samples.h"

struct asking { struct core_place *place; struct broker broker; struct agency auditor; struct session session; struct replay replay; };

static const char *const any[] = { "*" };

static const struct { const char *name; struct scope scope; size_t least; } scopes[] = {
	{ "nothing", { 0 }, 0 },
	{ "everything", { any, 1, any, 1, true, true, true, true }, 20 },
	{ "no class C", { any, 1, any, 1, true, true, false, true }, 18 },
	{ "dates alone", { any, 1, any, 1, true, false, false, false }, 8 },
	{ "needs alone", { any, 1, any, 1, false, true, false, false }, 4 },
	{ "no type", { any, 1, NULL, 0, true, true, true, true }, 0 },
	{ "two types", { any, 1, (const char *const[]){ "release.date-set", "need.screened" }, 2, true, true, false, false }, 4 },
	{ "one municipality", { (const char *const[]){ "0599" }, 1, any, 1, true, true, true, true }, 1 },
};

static void life(struct core_place *place)
{
	uint64_t stale;

	for (int i = 1; i <= 3; i++) {
		const char *subject = arena_printf(&place->arena, "C-%d", i);

		place_case(place, subject);
		place_accept(place, "pi-a", "need.screened", subject, "{\"need\":\"HOUSING\",\"status\":\"OPEN\",\"note\":\"a note\"}");
		place_accept(place, "pi-a", "need.screened", subject, "{\"need\":\"ADDICTION\",\"status\":\"OPEN\"}");
		place_accept(place, "gm-a", "handover.offered", subject, arena_printf(&place->arena, "{\"handover\":\"H-%d\",\"to\":\"care-a\",\"need\":\"ADDICTION\"}", i));
		place_accept(place, "care-a", "handover.accepted", subject, arena_printf(&place->arena, "{\"handover\":\"H-%d\",\"start_date\":\"2027-02-25\"}", i));
		place_accept(place, "pi-a", "release.date-set", subject, "{\"date\":\"2027-02-26\",\"kind\":\"CONFIRMED\",\"reason\":\"moved\"}");
		(void)place_ack_all(place, "gm-a");
	}
	place_accept(place, "pi-a", "destination.changed", "C-2", "{\"destination\":\"0599\"}");
	place_begin(place); /* refused: the agency has no relation, and an event that there is not */
	assert_int_equal(place_publish(place, "gm-b", place_event(place, NULL, "need.screened", "C-1", "{\"need\":\"DEBT\",\"status\":\"OPEN\"}")).result, REENTRY__OUTCOME__VALUE__REFUSED);
	stale = place_publish(place, "pi-a", place_event(place, NULL, "release.date-unknown", "C-1", NULL)).sequence;
	place_commit(place);
	assert_true(stale > 0);
}

static void erase(struct core_place *place, const char *subject)
{
	size_t n = 0;

	place_begin(place);
	assert_int_equal(core_erase_order(place->core, subject, "uid:1000", "request 7", &place->err), OK);
	place_commit(place);
	place_begin(place);
	assert_int_equal(core_erase_confirm(place->core, subject, "uid:1001", "request 7", &place->err), OK);
	place_commit(place);
	assert_int_equal(core_erase_run(place->core, place->now, &n, &place->err), OK);
	assert_int_equal(n, 1);
}

static void ask(struct asking *asking, struct core_place *place, const struct scope *scope)
{
	*asking = (struct asking){ .place = place, .broker = { .core = place->core, .config = place->config }, .auditor = { .id = "audit", .role = ROLE_AUDITOR, .scope = *scope } };
	asking->replay = (struct replay){ .first = 1, .last = place_last(place), .limit = SIZE_MAX };
	arena_init(&asking->broker.reading, 0);
	asking->session.agency = &asking->auditor;
}

/* All parts: the packed items, one behind the other. */
static struct buf quick(struct asking *asking, size_t *ret_parts)
{
	struct query query = { .own = &asking->replay, .at.position = 1 };
	struct buf all;

	buf_init(&all);
	for (bool last = false; !last; ++*ret_parts) {
		Reentry__Answer answer = REENTRY__ANSWER__INIT;
		struct err err = { 0 };

		arena_reset(&asking->broker.reading);
		if (events_part(&asking->broker, &asking->session, &query, &answer, &err))
			fail_msg("%s", err.text);
		assert_int_equal(answer.n_items, 0);
		assert_int_equal(buf_add(&all, query.packed, query.packed_n), OK);
		last = answer.last;
	}
	return all;
}

/* The same, as an Answer that protobuf-c packs of items that were unpacked. */
static size_t slow(struct asking *asking, Reentry__Answer *answer)
{
	const struct replay *replay = &asking->replay;
	struct arena *arena = &asking->place->arena;

	for (uint64_t position = 1; position <= replay->last && answer->n_items < replay->limit; position++) {
		struct core_record record;
		Reentry__Delivery *item;
		int rc;

		if (replay->subject && !replay_in_chain(replay, position))
			continue;
		rc = core_record(asking->place->core, position, &asking->broker.reading, &record);
		assert_true(rc == OK || rc == ERR_ERASED);
		if (!replay_wanted(replay, &record) || replay_show(&asking->broker, &asking->auditor.scope, &record, &item) == ERR_NOTFOUND)
			continue;
		*(Reentry__Delivery **)ARENA_PUSH(arena, answer->items, answer->n_items) = item;
	}
	return answer->n_items;
}

static size_t compare(struct asking *asking, size_t *ret_parts)
{
	struct buf all = quick(asking, ret_parts);
	Reentry__Answer expected = REENTRY__ANSWER__INIT, *got;
	size_t n;

	arena_reset(&asking->broker.reading);
	n = slow(asking, &expected);
	assert_int_equal(pb_unpack_own(&reentry__answer__descriptor, all.bytes, all.n, &asking->place->arena, &got), OK);
	assert_int_equal(got->n_items, n);
	for (size_t i = 0; i < n; i++) {
		uint8_t *a, *b;
		size_t a_n, b_n;

		assert_int_equal(got->items[i]->base.n_unknown_fields, 0);
		assert_int_equal(pb_pack(got->items[i], &asking->place->arena, &a, &a_n), OK);
		assert_int_equal(pb_pack(expected.items[i], &asking->place->arena, &b, &b_n), OK);
		assert_int_equal(a_n, b_n);
		assert_memory_equal(a, b, a_n);
	}
	buf_release(&all);
	return n;
}

static void compare_all(struct core_place *place)
{
	for (size_t i = 0; i < sizeof scopes / sizeof *scopes; i++) {
		struct asking asking;
		size_t parts = 0, n;

		ask(&asking, place, &scopes[i].scope);
		n = compare(&asking, &parts);
		if (n < scopes[i].least || (n > 0) != (scopes[i].least > 0))
			fail_msg("%s: %zu events", scopes[i].name, n);
		arena_release(&asking.broker.reading);
	}
}

static void every_scope_is_shown_the_same(void **state)
{
	struct core_place *place = *state;

	life(place);
	compare_all(place);
	erase(place, "C-3");
	compare_all(place);
}

static void filters_and_limits_too(void **state)
{
	struct core_place *place = *state;
	struct asking asking;
	size_t parts = 0, n, one;

	life(place);
	erase(place, "C-3");
	ask(&asking, place, &scopes[1].scope);
	n = compare(&asking, &parts);
	asking.replay.agency = "gm-a";
	assert_in_range(compare(&asking, &parts), 2, n - 1); /* its offers; of the erased case who published is not hidden */
	asking.replay.agency = NULL;
	asking.replay.types[asking.replay.n_types++] = "need.screened";
	assert_int_equal(compare(&asking, &parts), 4); /* those of the erased case are not told apart any more */
	asking.replay.n_types = 0;
	asking.replay.first = 9;
	assert_in_range(compare(&asking, &parts), 1, n - 1);
	asking.replay.first = 1;
	asking.replay.limit = 5;
	assert_int_equal(compare(&asking, &parts), 5);
	asking.replay.limit = SIZE_MAX;
	for (int i = 1; i <= 3; i += 2) {
		asking.replay.subject = i == 1 ? "C-1" : "C-3";
		assert_int_equal(past_chain(place->core, asking.replay.subject, asking.replay.last, &asking.replay.chain, &asking.replay.n_chain), OK);
		one = compare(&asking, &parts);
		assert_in_range(one, 5, n - 1);
		free(asking.replay.chain);
	}
	arena_release(&asking.broker.reading);
}

static void long_replays_come_in_parts(void **state)
{
	struct core_place *place = *state;
	struct asking asking;
	size_t parts = 0;
	char note[1500];

	memset(note, 'x', sizeof note - 1);
	note[sizeof note - 1] = 0;
	life(place);
	for (int i = 0; i < 300; i++)
		place_accept(place, "pi-a", "need.status-changed", "C-1", arena_printf(&place->arena, "{\"need\":\"HOUSING\",\"status\":\"OPEN\",\"note\":\"%s\"}", note));
	ask(&asking, place, &scopes[1].scope);
	assert_true(compare(&asking, &parts) > 300);
	assert_in_range(parts, 2, 3);
	arena_release(&asking.broker.reading);
}

/* Of every kind of message: what stands at its top is where unpacking finds it, and a cut one is never read beyond its end. */
static void the_top_of_a_message_is_found(void **state)
{
	struct core_place *place = *state;
	uint64_t seed = 5;

	for (int round = 0; round < 200; round++) {
		Reentry__EventRecord *record = (void *)sample_message(&reentry__event_record__descriptor, &place->arena, &seed);
		struct pb_peek fields[EVENT_RECORD_FIELDS];
		uint8_t *bytes;
		size_t n;

		assert_int_equal(pb_pack(record, &place->arena, &bytes, &n), OK);
		assert_int_equal(pb_peek(bytes, n, EVENT_RECORD_FIELDS, fields), OK);
		assert_int_equal(fields[EVENT_RECORD_CONTENT].there, record->has_content);
		assert_int_equal(fields[EVENT_RECORD_CONTENT].n, record->has_content ? record->content.len : 0);
		assert_int_equal(fields[EVENT_RECORD_TIME].there, record->has_time);
		if (record->has_time)
			assert_int_equal((int64_t)(fields[EVENT_RECORD_TIME].number >> 1) ^ -(int64_t)(fields[EVENT_RECORD_TIME].number & 1), record->time);
		assert_int_equal(fields[EVENT_RECORD_OUTCOME].number, record->has_outcome ? (uint64_t)record->outcome : 0);
		assert_int_equal(fields[EVENT_RECORD_MUNICIPALITY].there, record->municipality != NULL);
		assert_int_equal(fields[EVENT_RECORD_SLOT_VERSION].number, record->has_slot_version ? record->slot_version : 0);
		for (size_t cut = 0; cut < n; cut += 1 + n / 50) {
			uint8_t *part = malloc(cut ? cut : 1);

			memcpy(part, bytes, cut);
			(void)pb_peek(part, cut, EVENT_RECORD_FIELDS, fields); /* whole by chance, or not: a sanitizer would tell of what it read */
			free(part);
		}
	}
	assert_int_equal(pb_peek((const uint8_t *)"\x0a\x05" "abcd", 6, 1, &(struct pb_peek){ 0 }), ERR_CORRUPT);
	assert_int_equal(pb_peek((const uint8_t *)"\x0b", 1, 1, &(struct pb_peek){ 0 }), ERR_CORRUPT);
	assert_int_equal(pb_peek((const uint8_t *)"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 11, 1, &(struct pb_peek){ 0 }), ERR_CORRUPT);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, core_place_make, core_place_remove)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(every_scope_is_shown_the_same), TEST(filters_and_limits_too), TEST(long_replays_come_in_parts), TEST(the_top_of_a_message_is_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
