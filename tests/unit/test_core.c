/* Proves what a turn of the core does: what publishers are told and what is on the record then, that nothing of a turn that was not committed remains, that what is
 * delivered stays queued until its receiver has acknowledged it, and that deadlines fire once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/pb.h"
#include "tests/unit/core_place.h"

#define ACCEPTED REENTRY__OUTCOME__VALUE__ACCEPTED
#define DUPLICATE REENTRY__OUTCOME__VALUE__DUPLICATE
#define STALE REENTRY__OUTCOME__VALUE__STALE
#define REFUSED REENTRY__OUTCOME__VALUE__REFUSED

static const char custody[] = "{\"start\":\"2027-02-01T08:00:00+01:00\",\"origin\":\"0344\",\"destination\":\"0344\"}";

/* An event as JSON cannot say it: unpacked, changed, packed again. */
static Reentry__Event *unpacked(struct core_place *place, struct packed event)
{
	void *message = NULL;

	assert_int_equal(pb_unpack_own(&reentry__event__descriptor, event.bytes, event.n, &place->arena, &message), OK);
	return message;
}

static struct packed packed(struct core_place *place, const Reentry__Event *event)
{
	struct packed bytes = { NULL, 0 };

	assert_int_equal(pb_pack(event, &place->arena, &bytes.bytes, &bytes.n), OK);
	return bytes;
}

/* --- the record --------------------------------------------------------------------------------------------------------- */

static void an_accepted_event_is_on_the_record(void **state)
{
	struct core_place *place = *state;
	struct packed event = place_event(place, "first", "custody.started", "C-1", custody);
	struct core_receipt receipt;
	struct core_record record;

	place_begin(place);
	receipt = place_publish(place, "pi-a", event);
	assert_int_equal(receipt.result, ACCEPTED);
	assert_string_equal(receipt.id, "first");
	place_commit(place);
	record = place_record(place, receipt.sequence);
	assert_int_equal(record.header->kind, REENTRY__RECORD_KIND__VALUE__EVENT);
	assert_string_equal(record.header->agency, "pi-a");
	assert_string_equal(record.header->subject, "C-1");
	assert_int_equal(record.header->recorded_at, place->now);
	assert_int_equal(record.header->previous, 0);
	assert_int_equal(record.header->n_to, 1);
	assert_string_equal(record.header->to[0], "gm-a");
	assert_int_equal(record.record.event->content.len, event.n);
	assert_memory_equal(record.record.event->content.data, event.bytes, event.n);
}

static void the_records_of_a_case_are_a_chain(void **state)
{
	struct core_place *place = *state;
	uint64_t at, seen = 0, of_case = 0;
	Reentry__CaseState *c;

	place_case(place, "C-1");
	place_case(place, "C-2");
	place_accept(place, "pi-a", "release.date-set", "C-1", "{\"date\":\"2027-04-25\",\"kind\":\"EXPECTED\"}");
	assert_int_equal(core_case(place->core, "C-1", &place->arena, &c), OK);
	for (at = c->last; at; at = place_record(place, at).header->previous) {
		assert_string_equal(place_record(place, at).header->subject, "C-1");
		seen++;
	}
	for (at = 1; at <= place_last(place); at++) {
		const char *subject = place_record(place, at).header->subject;

		of_case += subject && strcmp(subject, "C-1") == 0;
	}
	assert_true(seen > 2);
	assert_int_equal(seen, of_case);
}

static void positions_are_dense_and_time_never_goes_back(void **state)
{
	struct core_place *place = *state;
	struct core_status status;
	moment last = MOMENT_NONE, first = place->now;

	place_case(place, "C-1");
	place->now = first - 86400000;
	place_accept(place, "pi-a", "custody.started", "C-2", custody);
	assert_int_equal(core_status(place->core, &status), OK);
	assert_int_equal(status.clock_jumps, 1);
	assert_int_equal(status.last_recorded_at, first);
	place_crash(place);
	place_accept(place, "pi-a", "custody.started", "C-3", custody);
	for (uint64_t at = 1; at <= place_last(place); at++) {
		struct core_record record = place_record(place, at);

		assert_int_equal(record.header->position, at);
		assert_true(record.header->recorded_at >= last);
		last = record.header->recorded_at;
	}
	assert_int_equal(last, first);
}

/* --- what publishers are told --------------------------------------------------------------------------------------------------- */

static void the_same_event_gets_the_same_receipt(void **state)
{
	struct core_place *place = *state;
	struct packed event = place_event(place, "one", "custody.started", "C-1", custody);
	struct core_receipt first, again;

	place_begin(place);
	first = place_publish(place, "pi-a", event);
	again = place_publish(place, "pi-a", event); /* within the turn */
	assert_int_equal(again.result, DUPLICATE);
	assert_int_equal(again.sequence, first.sequence);
	place_commit(place);
	place_crash(place);
	place_begin(place);
	again = place_publish(place, "pi-a", event);
	assert_int_equal(again.result, DUPLICATE);
	assert_int_equal(again.sequence, first.sequence);
	assert_string_equal(again.id, "one");
	place_commit(place);
	assert_string_equal(place_queue(place, "gm-a"), "custody.started");
}

static void an_id_is_of_one_content_and_one_publisher(void **state)
{
	struct core_place *place = *state;
	struct core_receipt receipt;

	place_begin(place);
	assert_int_equal(place_publish(place, "pi-a", place_event(place, "one", "custody.started", "C-1", custody)).result, ACCEPTED);
	receipt = place_publish(place, "pi-a", place_event(place, "one", "custody.started", "C-2", custody));
	assert_int_equal(receipt.result, REFUSED);
	assert_string_equal(receipt.code, "id-conflict");
	assert_int_equal(receipt.sequence, 0);
	assert_int_equal(place_publish(place, "pi-b", place_event(place, "one", "custody.started", "C-3", custody)).result, ACCEPTED);
	place_commit(place);
}

static void the_time_of_an_event_is_not_its_content(void **state)
{
	struct core_place *place = *state;
	struct packed event = place_event(place, "one", "custody.started", "C-1", custody);

	place_begin(place);
	assert_int_equal(place_publish(place, "pi-a", event).result, ACCEPTED);
	place->now += 5000;
	assert_int_equal(place_publish(place, "pi-a", event).result, DUPLICATE);
	place_commit(place);
}

static void a_stale_id_is_remembered_and_a_refused_one_is_not(void **state)
{
	struct core_place *place = *state;
	struct packed early = place_event(place, "early", "release.date-set", "C-1", "{\"date\":\"2027-02-25\",\"kind\":\"EXPECTED\"}");
	struct packed old;
	Reentry__Event *event;

	place_begin(place);
	assert_string_equal(place_publish(place, "pi-a", early).code, "no-such-case");
	assert_int_equal(place_publish(place, "pi-a", place_event(place, NULL, "custody.started", "C-1", custody)).result, ACCEPTED);
	assert_int_equal(place_publish(place, "pi-a", early).result, ACCEPTED);
	event = unpacked(place, place_event(place, "old", "release.date-set", "C-1", "{\"date\":\"2027-03-25\",\"kind\":\"EXPECTED\"}"));
	event->has_slot_version = true;
	event->slot_version = 1;
	old = packed(place, event);
	assert_int_equal(place_publish(place, "pi-a", old).result, STALE);
	assert_int_equal(place_publish(place, "pi-a", old).result, DUPLICATE);
	place_commit(place);
	assert_string_equal(place_queue(place, "gm-a"), "custody.started release.date-set release.approaching");
}

static void what_cannot_be_an_event_is_refused_and_recorded(void **state)
{
	struct core_place *place = *state;
	static uint8_t big[80000];
	struct core_receipt receipt;
	Reentry__Event *event;
	uint64_t before;

	place_begin(place);
	place_commit(place);
	before = place_last(place);
	place_begin(place);
	receipt = place_publish(place, "pi-a", (struct packed){ big, sizeof big });
	assert_string_equal(receipt.code, "too-large");
	receipt = place_publish(place, "pi-a", (struct packed){ big, 100 });
	assert_string_equal(receipt.code, "malformed");
	receipt = place_publish(place, "pi-a", (struct packed){ NULL, 0 });
	assert_string_equal(receipt.code, "malformed");
	assert_string_equal(receipt.id, "");
	event = unpacked(place, place_event(place, "known", "custody.started", "C-1", custody));
	event->subject = (char *)(uintptr_t)"not a reference";
	receipt = place_publish(place, "pi-a", packed(place, event));
	assert_string_equal(receipt.code, "malformed");
	assert_string_equal(receipt.id, "known");
	receipt = place_publish(place, "pi-a", place_event(place, NULL, "custody.ended", "C-1", NULL));
	assert_string_equal(receipt.code, "unknown-type");
	receipt = place_publish(place, "gm-a", place_event(place, NULL, "custody.started", "C-1", custody));
	assert_string_equal(receipt.code, "not-allowed");
	place_commit(place);
	assert_int_equal(place_last(place), before + 6);
	for (uint64_t at = before + 1; at <= place_last(place); at++) {
		struct core_record record = place_record(place, at);

		assert_int_equal(record.record.event->outcome, REFUSED);
		assert_null(record.header->subject);
		assert_true(record.record.event->content.len <= 65536);
	}
}

/* 64 KiB can be very much more once they are unpacked: 300 of these would take all of the turn's memory. */
static void an_event_cannot_take_the_memory_of_the_turn(void **state)
{
	static Reentry__CaseSnapshot__NeedLine line = REENTRY__CASE_SNAPSHOT__NEED_LINE__INIT;
	static Reentry__CaseSnapshot__NeedLine *lines[30000];
	struct core_place *place = *state;
	Reentry__CaseSnapshot snapshot = REENTRY__CASE_SNAPSHOT__INIT;
	struct packed event = place_event(place, "hungry", "case.snapshot", "C-1", NULL);
	Reentry__Event *envelope = unpacked(place, event);

	for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
		lines[i] = &line;
	snapshot.needs = lines;
	snapshot.n_needs = sizeof lines / sizeof *lines;
	envelope->has_data = true;
	assert_int_equal(pb_pack(&snapshot, &place->arena, &envelope->data.data, &envelope->data.len), OK);
	event = packed(place, envelope);
	assert_true(event.n < 65536);
	place_begin(place);
	assert_false(core_crowded(place->core));
	for (int i = 0; i < 300; i++)
		assert_string_equal(place_publish(place, "pi-a", event).code, "malformed");
	assert_true(core_crowded(place->core));
	assert_int_equal(place_publish(place, "pi-a", place_event(place, NULL, "custody.started", "C-1", custody)).result, ACCEPTED);
	place_commit(place);
}

static void a_refusal_makes_no_case_and_tells_no_case(void **state)
{
	struct core_place *place = *state;
	struct core_receipt unknown, unrelated, related;
	Reentry__CaseState *c;
	uint64_t before;

	place_case(place, "C-1");
	before = place_last(place);
	place_begin(place);
	unknown = place_publish(place, "gm-b", place_event(place, NULL, "need.screened", "C-9", "{\"need\":\"DEBT\",\"status\":\"OPEN\"}"));
	unrelated = place_publish(place, "gm-b", place_event(place, NULL, "need.screened", "C-1", "{\"need\":\"DEBT\",\"status\":\"OPEN\"}"));
	related = place_publish(place, "gm-a", place_event(place, NULL, "need.screened", "C-1", "{\"need\":\"DEBT\",\"status\":\"ARRANGED\"}"));
	place_commit(place);
	assert_string_equal(unknown.code, "no-such-case");
	assert_string_equal(unrelated.code, unknown.code);
	assert_string_equal(unrelated.detail, unknown.detail);
	assert_string_equal(related.code, "invalid-value");
	assert_null(place_record(place, before + 1).header->subject);
	assert_null(place_record(place, before + 2).header->subject);
	assert_string_equal(place_record(place, before + 3).header->subject, "C-1");
	assert_int_equal(core_case(place->core, "C-9", &place->arena, &c), ERR_NOTFOUND);
}

static void a_refused_line_is_on_the_record(void **state)
{
	struct core_place *place = *state;
	struct core_receipt receipt;

	place_begin(place);
	assert_int_equal(core_refuse(place->core, policy_agency(&place->config->policy, "pi-a"), "line-7", "malformed", "data.start: is no moment", &receipt), OK);
	place_commit(place);
	assert_int_equal(receipt.result, REFUSED);
	assert_int_equal(receipt.sequence, 0);
	assert_string_equal(receipt.id, "line-7");
	assert_string_equal(place_record(place, place_last(place)).record.event->detail, "data.start: is no moment");
}

/* --- turns that never were ---------------------------------------------------------------------------------------------------------- */

static void nothing_remains_of_a_turn_that_was_rolled_back(void **state)
{
	struct core_place *place = *state;
	Reentry__CaseState *c;
	struct tree_head before, after;
	struct packed event = place_event(place, "one", "custody.started", "C-2", custody);

	place_case(place, "C-1");
	assert_int_equal(core_root(place->core, place_last(place), &before), OK);
	place_begin(place);
	assert_int_equal(place_publish(place, "pi-b", event).result, ACCEPTED);
	core_rollback(place->core);
	assert_int_equal(core_root(place->core, place_last(place), &after), OK);
	assert_memory_equal(&before, &after, sizeof before);
	assert_int_equal(core_case(place->core, "C-2", &place->arena, &c), ERR_NOTFOUND);
	place_begin(place);
	assert_int_equal(place_publish(place, "pi-b", event).result, ACCEPTED); /* with keys and numbers of its own */
	place_commit(place);
	place_crash(place);
	assert_int_equal(core_case(place->core, "C-2", &place->arena, &c), OK);
	assert_string_equal(c->custodian, "pi-b");
	place_begin(place);
	assert_int_equal(place_publish(place, "pi-b", event).result, DUPLICATE);
	place_commit(place);
}

static void a_crash_takes_only_what_was_not_committed(void **state)
{
	struct core_place *place = *state;
	uint64_t last;

	place_case(place, "C-1");
	last = place_last(place);
	place_begin(place);
	assert_int_equal(place_publish(place, "pi-a", place_event(place, NULL, "custody.started", "C-2", custody)).result, ACCEPTED);
	place_crash(place);
	assert_int_equal(place_last(place), last);
	assert_string_equal(place_queue(place, "gm-a"), "custody.started release.date-set release.approaching");
	place_case(place, "C-2");
	assert_true(place_last(place) > last);
}

static void a_start_writes_nothing(void **state)
{
	struct core_place *place = *state;
	uint64_t last;

	assert_int_equal(place_last(place), 0);
	place_begin(place);
	place_commit(place);
	assert_int_equal(place_last(place), 1); /* the configuration */
	assert_int_equal(place_record(place, 1).header->kind, REENTRY__RECORD_KIND__VALUE__CONFIG);
	last = place_last(place);
	place_close(place);
	place_open(place);
	place_begin(place);
	place_commit(place);
	assert_int_equal(place_last(place), last);
}

/* --- deliveries ------------------------------------------------------------------------------------------------------------------------- */

static void delivered_until_acknowledged(void **state)
{
	struct core_place *place = *state;
	struct core_queue *queues;
	size_t n;

	place_case(place, "C-1");
	assert_string_equal(place_queue(place, "gm-a"), "custody.started release.date-set release.approaching");
	place_crash(place);
	assert_string_equal(place_queue(place, "gm-a"), "custody.started release.date-set release.approaching");
	assert_int_equal(core_queues(place->core, &place->arena, &queues, &n), OK);
	assert_int_equal(n, 2); /* gm-a, and pi-a for what the broker told it */
	assert_int_equal(place_ack_all(place, "gm-a"), 3);
	assert_string_equal(place_queue(place, "gm-a"), "");
	place_crash(place);
	assert_string_equal(place_queue(place, "gm-a"), "");
}

static void only_the_receiver_can_acknowledge_and_only_once(void **state)
{
	struct core_place *place = *state;
	uint64_t sequence, last, many[3];

	sequence = place_accept(place, "pi-a", "custody.started", "C-1", custody);
	many[0] = many[1] = sequence;
	many[2] = sequence + 1000;
	last = place_last(place);
	place_begin(place);
	assert_int_equal(core_acked(place->core, "gm-b", many, 3), OK);
	assert_int_equal(core_acked(place->core, "nobody", many, 3), OK);
	place_commit(place);
	assert_int_equal(place_last(place), last);
	assert_string_equal(place_queue(place, "gm-a"), "custody.started");
	place_begin(place);
	assert_int_equal(core_acked(place->core, "gm-a", many, 3), OK);
	assert_int_equal(core_acked(place->core, "gm-a", many, 3), OK);
	place_commit(place);
	assert_int_equal(place_last(place), last + 1); /* one record, of what was outstanding */
	assert_int_equal(place_record(place, last + 1).header->kind, REENTRY__RECORD_KIND__VALUE__ACKED);
	assert_int_equal(place_record(place, last + 1).header->n_positions, 1);
	assert_int_equal(place_record(place, last + 1).header->positions[0], sequence);
}

static void a_window_is_read_from_any_place(void **state)
{
	struct core_place *place = *state;
	struct core_delivery *items;
	uint64_t first;
	size_t n;

	place_case(place, "C-1");
	place_case(place, "C-2");
	assert_int_equal(core_deliveries(place->core, "gm-a", 0, 2, SIZE_MAX, &place->arena, &items, &n), OK);
	assert_int_equal(n, 2);
	first = items[1].sequence;
	assert_int_equal(core_deliveries(place->core, "gm-a", first, 100, SIZE_MAX, &place->arena, &items, &n), OK);
	assert_int_equal(n, 4);
	assert_true(items[0].sequence > first);
	assert_int_equal(core_deliveries(place->core, "gm-a", 0, 100, 1, &place->arena, &items, &n), OK);
	assert_int_equal(n, 1); /* a bound on bytes never stops the first */
	assert_int_equal(core_deliveries(place->core, "gm-b", 0, 100, SIZE_MAX, &place->arena, &items, &n), OK);
	assert_int_equal(n, 0);
}

static void the_touched_are_those_of_the_last_turn(void **state)
{
	struct core_place *place = *state;
	const char *const *agencies;
	size_t n;

	place_accept(place, "pi-a", "custody.started", "C-1", custody);
	assert_int_equal(core_touched(place->core, &agencies, &n), OK);
	assert_int_equal(n, 1);
	assert_string_equal(agencies[0], "gm-a");
	place_ack_all(place, "gm-a");
	assert_int_equal(core_touched(place->core, &agencies, &n), OK);
	assert_int_equal(n, 0);
}

static void an_offer_that_arrived_is_told_to_its_offerer(void **state)
{
	struct core_place *place = *state;

	place_case(place, "C-1");
	place_accept(place, "pi-a", "handover.offered", "C-1", "{\"handover\":\"H-1\",\"to\":\"care-a\",\"need\":\"PSYCHIATRIC\"}");
	place_ack_all(place, "pi-a");
	assert_string_equal(place_queue(place, "care-a"), "handover.offered");
	assert_int_equal(place_ack_all(place, "care-a"), 1);
	assert_string_equal(place_queue(place, "pi-a"), "handover.delivered");
}

static void a_delivery_is_on_the_record(void **state)
{
	struct core_place *place = *state;
	uint64_t sequence = place_accept(place, "pi-a", "custody.started", "C-1", custody);
	struct core_record record;

	place_begin(place);
	assert_int_equal(core_delivered(place->core, "gm-a", &sequence, 1), OK);
	assert_int_equal(core_delivered(place->core, "gm-a", &sequence, 0), OK);
	place_commit(place);
	record = place_record(place, place_last(place));
	assert_int_equal(record.header->kind, REENTRY__RECORD_KIND__VALUE__DELIVERED);
	assert_string_equal(record.header->agency, "gm-a");
	assert_int_equal(record.header->positions[0], sequence);
	assert_string_equal(place_queue(place, "gm-a"), "custody.started");
}

/* --- deadlines ------------------------------------------------------------------------------------------------------------------------------ */

static void a_deadline_fires_once_and_not_early(void **state)
{
	struct core_place *place = *state;
	bool more;
	moment due;

	place_case(place, "C-1");
	place_ack_all(place, "gm-a");
	due = core_next_due(place->core);
	assert_int_equal(due, place_moment("2027-02-11T08:00:00+01:00")); /* milestone 14 */
	place->now = due - 1;
	place_begin(place);
	assert_int_equal(core_fire(place->core, 10, &more), OK);
	place_commit(place);
	assert_string_equal(place_queue(place, "gm-a"), "");
	place_crash(place);
	place->now = due;
	for (int i = 0; i < 2; i++) {
		place_begin(place);
		assert_int_equal(core_fire(place->core, 10, &more), OK);
		assert_false(more);
		place_commit(place);
		assert_string_equal(place_queue(place, "gm-a"), "release.approaching");
		assert_true(core_next_due(place->core) > due);
	}
}

static void a_turn_fires_as_many_cases_as_it_may(void **state)
{
	struct core_place *place = *state;
	bool more;

	for (int i = 0; i < 5; i++)
		place_case(place, arena_printf(&place->arena, "C-%d", i));
	place_ack_all(place, "gm-a");
	place->now = place_moment("2027-02-11T09:00:00+01:00");
	for (int i = 0; i < 3; i++) {
		place_begin(place);
		assert_int_equal(core_fire(place->core, 2, &more), OK);
		assert_int_equal(more, i < 2);
		place_commit(place);
	}
	assert_string_equal(place_queue(place, "gm-a"), "release.approaching release.approaching release.approaching release.approaching release.approaching");
	assert_true(core_next_due(place->core) > place->now);
}

static void a_deadline_fires_before_an_event_of_its_moment(void **state)
{
	struct core_place *place = *state;

	place_case(place, "C-1");
	place_ack_all(place, "gm-a");
	place->now = core_next_due(place->core);
	place_accept(place, "pi-a", "release.date-unknown", "C-1", NULL);
	assert_string_equal(place_queue(place, "gm-a"), "release.approaching release.date-unknown");
}

static void timers_of_a_case_are_listed(void **state)
{
	struct core_place *place = *state;
	struct core_timer *timers;
	size_t n, milestones = 0;

	place_case(place, "C-1");
	assert_int_equal(core_timers(place->core, 100, &place->arena, &timers, &n), OK);
	for (size_t i = 0; i < n; i++) {
		assert_string_equal(timers[i].subject, "C-1");
		milestones += strcmp(timers[i].kind, "milestone") == 0;
	}
	assert_int_equal(milestones, 5); /* 14 7 2 1 0 */
	assert_int_equal(core_timers(place->core, 2, &place->arena, &timers, &n), OK);
	assert_int_equal(n, 2);
}

static void timers_are_listed_earliest_first_over_all_cases(void **state)
{
	struct core_place *place = *state;
	struct core_timer *timers;
	size_t n;

	place_case(place, "C-2");
	place_accept(place, "pi-a", "custody.started", "C-1", custody);
	assert_int_equal(core_timers(place->core, 1000, &place->arena, &timers, &n), OK);
	assert_true(n > 3);
	for (size_t i = 1; i < n; i++)
		assert_true(timers[i - 1].due <= timers[i].due);
	const size_t all = n;
	assert_int_equal(core_timers(place->core, 3, &place->arena, &timers, &n), OK);
	assert_int_equal(n, 3);
	assert_string_equal(timers[0].subject, "C-2"); /* its milestone 14 */
	assert_true(timers[2].due >= timers[1].due && all > n);
	assert_int_equal(core_timers(place->core, 0, &place->arena, &timers, &n), OK);
	assert_int_equal(n, 0);
}

/* --- questions ---------------------------------------------------------------------------------------------------------------------------------- */

static void cases_are_listed_for_those_with_a_relation(void **state)
{
	struct core_place *place = *state;
	const char **refs;
	size_t n;

	for (int i = 0; i < 5; i++)
		place_accept(place, "pi-a", "custody.started", arena_printf(&place->arena, "C-%d", i), custody);
	assert_int_equal(core_cases_of(place->core, "gm-a", NULL, 3, &place->arena, &refs, &n), OK);
	assert_int_equal(n, 3);
	assert_string_equal(refs[2], "C-2");
	assert_int_equal(core_cases_of(place->core, "gm-a", "C-2", 3, &place->arena, &refs, &n), OK);
	assert_int_equal(n, 2);
	assert_string_equal(refs[0], "C-3");
	assert_int_equal(core_cases_of(place->core, "gm-b", NULL, 3, &place->arena, &refs, &n), OK);
	assert_int_equal(n, 0);
	place_accept(place, "pi-a", "destination.changed", "C-4", "{\"destination\":\"0599\"}");
	assert_int_equal(core_cases_of(place->core, "gm-b", NULL, 3, &place->arena, &refs, &n), OK);
	assert_int_equal(n, 1);
	assert_string_equal(refs[0], "C-4");
}

static void a_lost_inbox_is_filled_from_snapshots(void **state)
{
	struct core_place *place = *state;
	struct core_resend resend = { .agency = "gm-a" };

	for (int i = 0; i < 5; i++)
		place_case(place, arena_printf(&place->arena, "C-%d", i));
	place_ack_all(place, "gm-a");
	for (int i = 0; i < 3; i++) { /* some in each turn */
		place_begin(place);
		assert_int_equal(core_resend_cases(place->core, &resend, 2), OK);
		place_commit(place);
		assert_int_equal(resend.more, i < 2);
	}
	assert_int_equal(resend.n, 5);
	assert_string_equal(place_queue(place, "gm-a"), "case.snapshot case.snapshot case.snapshot case.snapshot case.snapshot");
	assert_string_equal(place_queue(place, "gm-b"), "");
}

static void a_timeline_holds_what_the_agency_may_see(void **state)
{
	struct core_place *place = *state;
	Reentry__Delivery **items;
	size_t n;

	place_case(place, "C-1");
	assert_int_equal(core_timeline(place->core, "C-1", policy_agency(&place->config->policy, "gm-a"), 100, &place->arena, &items, &n), OK);
	assert_int_equal(n, 3);
	assert_true(items[0]->sequence > items[1]->sequence);
	assert_int_equal(core_timeline(place->core, "C-1", policy_agency(&place->config->policy, "gm-b"), 100, &place->arena, &items, &n), OK);
	assert_int_equal(n, 0);
	assert_int_equal(core_timeline(place->core, "C-9", policy_agency(&place->config->policy, "gm-b"), 100, &place->arena, &items, &n), ERR_NOTFOUND);
}

static void who_asked_is_on_the_record(void **state)
{
	struct core_place *place = *state;
	Reentry__AuditRecord body = REENTRY__AUDIT_RECORD__INIT;
	struct core_record record;
	void *message = NULL;

	body.who = (char *)(uintptr_t)"auditor";
	body.purpose = (char *)(uintptr_t)"complaint 17";
	place_begin(place);
	assert_int_equal(core_audit(place->core, REENTRY__RECORD_KIND__VALUE__REPLAY, &body, "C-1"), OK);
	place_commit(place);
	record = place_record(place, place_last(place));
	assert_string_equal(record.header->agency, "auditor");
	assert_int_equal(pb_unpack_own(&reentry__audit_record__descriptor, record.body, record.body_n, &place->arena, &message), OK);
	assert_string_equal(((Reentry__AuditRecord *)message)->purpose, "complaint 17");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, core_place_make, core_place_remove)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(an_accepted_event_is_on_the_record), TEST(the_records_of_a_case_are_a_chain), TEST(positions_are_dense_and_time_never_goes_back),
		TEST(the_same_event_gets_the_same_receipt), TEST(an_id_is_of_one_content_and_one_publisher), TEST(the_time_of_an_event_is_not_its_content),
		TEST(a_stale_id_is_remembered_and_a_refused_one_is_not), TEST(what_cannot_be_an_event_is_refused_and_recorded),
		TEST(an_event_cannot_take_the_memory_of_the_turn), TEST(a_refusal_makes_no_case_and_tells_no_case), TEST(a_refused_line_is_on_the_record),
		TEST(nothing_remains_of_a_turn_that_was_rolled_back), TEST(a_crash_takes_only_what_was_not_committed), TEST(a_start_writes_nothing),
		TEST(delivered_until_acknowledged), TEST(only_the_receiver_can_acknowledge_and_only_once), TEST(a_window_is_read_from_any_place),
		TEST(the_touched_are_those_of_the_last_turn), TEST(an_offer_that_arrived_is_told_to_its_offerer), TEST(a_delivery_is_on_the_record),
		TEST(a_deadline_fires_once_and_not_early), TEST(a_turn_fires_as_many_cases_as_it_may), TEST(a_deadline_fires_before_an_event_of_its_moment),
		TEST(timers_of_a_case_are_listed), TEST(timers_are_listed_earliest_first_over_all_cases), TEST(cases_are_listed_for_those_with_a_relation), TEST(a_lost_inbox_is_filled_from_snapshots),
		TEST(a_timeline_holds_what_the_agency_may_see), TEST(who_asked_is_on_the_record),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
