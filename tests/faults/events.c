/* A run of some hundred events through the core: new cases, corrections, acknowledgements, deadlines, erasures, checkpoints, another configuration, restarts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/faults/prefix.h"
#include "tests/faults/trace.h"

#define EVENTS_MAX 5             /* in a turn */
#define ORDER "art. 17"

/* splitmix64 */
uint32_t events_random(struct run *run, uint32_t below)
{
	uint64_t z = run->seed += UINT64_C(0x9E3779B97F4A7C15);

	z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
	return (uint32_t)((z ^ (z >> 31)) >> 32) % below;
}

/* --- promises ---------------------------------------------------------------------------------------------------------------- */

static void promise(struct run *run, size_t at)
{
	struct promise *made = ARENA_PUSH(&run->place->arena, run->promises, run->n_promises);
	const uint64_t size = place_last(run->place);

	assert_non_null(made);
	*made = (struct promise){ .at = at, .head = { .size = size }, .n_receipts = run->n_receipts, .n_erased = run->n_erased };
	if (size)
		assert_int_equal(core_root(run->place->core, size, &made->head), OK);
}

static void keep_receipt(struct run *run, const char *by, const char *subject, struct packed content, const struct core_receipt *receipt)
{
	struct receipt *kept;

	if (receipt->result != REENTRY__OUTCOME__VALUE__ACCEPTED)
		return;
	kept = ARENA_PUSH(&run->place->arena, run->receipts, run->n_receipts);
	assert_non_null(kept);
	*kept = (struct receipt){ content, by, receipt->sequence, subject };
}

static void end_turn(struct run *run)
{
	const size_t before = trace_n();

	place_commit(run->place);
	promise(run, run->early ? before : trace_n());
}

/* --- turns ------------------------------------------------------------------------------------------------------------------- */

static const struct { const char *by, *type, *data; } kinds[] = {
	{ "pi-a", "release.date-set", "{\"date\":\"2027-03-%02u\",\"kind\":\"EXPECTED\"}" },
	{ "pi-a", "need.screened", "{\"need\":\"HOUSING\",\"status\":\"OPEN\",\"note\":\"note %u\"}" },
	{ "gm-a", "need.status-changed", "{\"need\":\"HOUSING\",\"status\":\"ARRANGED\",\"from_date\":\"2027-03-%02u\"}" },
	{ "pi-a", "destination.changed", "{\"destination\":\"0599\",\"reason\":\"reason %u\"}" },
	{ "pi-a", "custody.leave-started", "{\"at\":\"2027-02-%02uT09:00:00+01:00\"}" },
	{ "om", "sentence.imposed", "{\"kind\":\"DETENTION\",\"days\":%u}" },
};

static void publish(struct run *run, const char *by, const char *subject, const char *type, const char *data)
{
	struct packed content = place_event(run->place, NULL, type, subject, data);
	struct core_receipt receipt = place_publish(run->place, by, content);

	keep_receipt(run, by, subject, content, &receipt);
}

static void some_events(struct run *run)
{
	struct core_place *place = run->place;

	place_begin(place);
	for (uint32_t n = 1 + events_random(run, EVENTS_MAX); n > 0; n--) {
		const uint32_t kind = events_random(run, sizeof kinds / sizeof *kinds + 1), which = events_random(run, run->cases + 1);
		const char *subject = arena_printf(&place->arena, "C-%u", which);
		char *data;

		assert_non_null(subject);
		if (which == run->cases || kind == sizeof kinds / sizeof *kinds) {
			subject = arena_printf(&place->arena, "C-%u", run->cases++);
			assert_non_null(subject);
			publish(run, "pi-a", subject, "custody.started", "{\"start\":\"2027-02-01T08:00:00+01:00\",\"origin\":\"0344\",\"destination\":\"0344\"}");
			continue;
		}
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		data = arena_printf(&place->arena, kinds[kind].data, 10 + events_random(run, 18)); /* the table's own formats, one number each */
#pragma GCC diagnostic pop
		assert_non_null(data);
		publish(run, kinds[kind].by, subject, kinds[kind].type, data);
	}
	end_turn(run);
}

static void acknowledge(struct run *run)
{
	const size_t before = trace_n();

	(void)place_ack_all(run->place, events_random(run, 2) ? "gm-a" : "pi-a"); /* how many does not matter */
	promise(run, run->early ? before : trace_n());
}

static void let_time_pass(struct run *run)
{
	bool more;

	run->place->now += (moment)(1 + events_random(run, 30)) * 3600 * 1000;
	place_begin(run->place);
	assert_int_equal(core_fire(run->place->core, 64, &more), OK);
	end_turn(run);
}

static void sign(struct run *run)
{
	const char *note;

	place_begin(run->place);
	assert_int_equal(core_checkpoint(run->place->core, &run->place->arena, &note), OK);
	end_turn(run);
}

static void erase(struct run *run)
{
	struct core_place *place = run->place;
	const char *subject = arena_printf(&place->arena, "C-%u", events_random(run, run->cases));
	size_t n;

	assert_non_null(subject);
	place_begin(place);
	if (core_erase_order(place->core, subject, "uid:1", ORDER, &place->err)) {
		core_rollback(place->core); /* erased before */
		return;
	}
	end_turn(run);
	place_begin(place);
	assert_int_equal(core_erase_confirm(place->core, subject, "uid:2", ORDER, &place->err), OK);
	end_turn(run);
	if (core_erase_run(place->core, place->now, &n, &place->err))
		fail_msg("%s", place->err.text);
	assert_true(run->n_erased < ERASED_MAX);
	(void)snprintf(run->erased[run->n_erased++], sizeof *run->erased, "%s", subject); /* fits */
	promise(run, trace_n());
}

static void start_again(struct run *run)
{
	if (events_random(run, 2)) {
		place_close(run->place);
		place_open(run->place);
	} else {
		place_crash(run->place);
	}
	promise(run, trace_n());
}

static void configure(struct run *run)
{
	place_use(run->place, place_config(run->place, place_agencies, run->turns % 2 ? "confirm_hold = \"90min\";" : ""));
	place_begin(run->place);
	end_turn(run);
}

static const struct { uint32_t upto; void (*turn)(struct run *run); } turns_of[] = {
	{ 62, some_events }, { 76, acknowledge }, { 86, let_time_pass }, { 90, sign }, { 94, erase }, { 98, start_again }, { 100, configure },
};

void events_run(struct run *run, unsigned turns)
{
	promise(run, trace_n());
	for (run->turns = 0; run->turns < turns; run->turns++) {
		const uint32_t draw = run->cases < 3 ? 0 : events_random(run, 100);

		for (size_t i = 0; i < sizeof turns_of / sizeof *turns_of; i++)
			if (draw < turns_of[i].upto) {
				turns_of[i].turn(run);
				break;
			}
	}
}
