/* Proves that what is delivered from memory is, byte for byte, what is read from the log, for everyone; and that nothing comes from memory that was rolled back, erased, stopped by the end of a consent,
 * dropped with a relation, or made for another policy. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "broker/core_internal.h"
#include "lib/pb.h"
#include "tests/unit/core_place.h"

#define MANY 1000

static const char *const all[] = { "om", "pi-a", "pi-b", "gm-a", "gm-b", "care-a", "work-a", "desk" };
#define N_ALL (sizeof all / sizeof *all)

static struct core_delivery *packed_of(struct core_place *place, const char *agency, size_t *ret_n)
{
	struct core_delivery *items = NULL;

	assert_int_equal(core_deliveries_packed(place->core, agency, 0, MANY, SIZE_MAX, &place->arena, &items, ret_n), OK);
	return items;
}

static bool is_kept(struct core_place *place, uint64_t position, const char *agency)
{
	const uint8_t *packed;
	uint16_t number;
	size_t n;

	assert_int_equal(agency_number(place->core, agency, false, &number), OK);
	return recent_find(place->core, position, number, &packed, &n);
}

/* What everyone is given, from memory and then from the log, is the same. Returns how many of them came from memory. */
static size_t compare_all(struct core_place *place)
{
	struct core_delivery *items[N_ALL];
	size_t n[N_ALL], kept = 0;

	for (size_t i = 0; i < N_ALL; i++) {
		items[i] = packed_of(place, all[i], &n[i]);
		for (size_t k = 0; k < n[i]; k++)
			kept += is_kept(place, items[i][k].sequence, all[i]);
	}
	recent_forget(place->core);
	for (size_t i = 0; i < N_ALL; i++) {
		size_t again_n;
		const struct core_delivery *again = packed_of(place, all[i], &again_n);

		assert_int_equal(again_n, n[i]);
		for (size_t k = 0; k < again_n; k++) {
			assert_int_equal(again[k].sequence, items[i][k].sequence);
			assert_int_equal(again[k].packed_n, items[i][k].packed_n);
			assert_memory_equal(again[k].packed, items[i][k].packed, again[k].packed_n);
		}
	}
	return kept;
}

/* With an employer, which sees the minimum. */
static void with_employer(struct core_place *place)
{
	place_use(place, place_config(place, arena_printf(&place->arena, "%s, { id = \"work-a\", role = \"employer\", oin = \"00000099000000000018\", keys = [ \"k\" ] }\n", place_agencies), ""));
}

static void handover(struct core_place *place, const char *ref, const char *to, const char *need)
{
	place_accept(place, "gm-a", "handover.offered", "C-1", arena_printf(&place->arena, "{\"handover\":\"%s\",\"to\":\"%s\",\"need\":\"%s\",\"note\":\"a note\"}", ref, to, need));
	place_accept(place, to, "handover.accepted", "C-1", arena_printf(&place->arena, "{\"handover\":\"%s\",\"start_date\":\"2027-02-25\"}", ref));
}

static void memory_and_log_tell_the_same(void **state)
{
	struct core_place *place = *state;
	size_t kept;

	with_employer(place);
	place_case(place, "C-1");
	place_accept(place, "pi-a", "need.screened", "C-1", "{\"need\":\"HOUSING\",\"status\":\"OPEN\",\"note\":\"a note\"}");
	place_accept(place, "pi-a", "need.screened", "C-1", "{\"need\":\"ADDICTION\",\"status\":\"OPEN\"}");
	place_accept(place, "pi-a", "need.screened", "C-1", "{\"need\":\"LVB\",\"status\":\"OPEN\"}");
	handover(place, "H-1", "care-a", "ADDICTION");
	handover(place, "H-2", "work-a", "WORK");
	place_accept(place, "care-a", "consent.given", "C-1", "{\"to\":\"gm-a\",\"class\":\"C\"}");
	place_accept(place, "pi-a", "need.status-changed", "C-1", "{\"need\":\"ADDICTION\",\"status\":\"IN_PROGRESS\"}");
	place_accept(place, "pi-a", "release.date-set", "C-1", "{\"date\":\"2027-02-26\",\"kind\":\"CONFIRMED\",\"reason\":\"moved\"}");
	place_accept(place, "pi-a", "custody.transferred", "C-1", "{\"from\":\"pi-a\",\"to\":\"pi-b\"}");
	place_accept(place, "pi-b", "release.ordered", "C-1", "{\"ordered_at\":\"2027-02-01T09:00:00+01:00\"}");
	place_accept(place, "pi-b", "destination.changed", "C-1", "{\"destination\":\"0599\"}");
	kept = compare_all(place);
	assert_true(kept > 20);
	compare_all(place); /* what several receive is kept when it is read from the log, too: the same again */
}

/* What an employer said itself comes back to it as said: with nothing of the case beside it. */
static void a_timeline_of_an_employer_tells_no_destination(void **state)
{
	struct core_place *place = *state;
	Reentry__Delivery **items;
	size_t n;

	with_employer(place);
	place_case(place, "C-1");
	handover(place, "H-2", "work-a", "WORK");
	assert_int_equal(core_timeline(place->core, "C-1", policy_agency(&place->config->policy, "work-a"), 100, &place->arena, &items, &n), OK);
	assert_true(n >= 3); /* the offer, its own answer, the snapshot */
	for (size_t i = 0; i < n; i++)
		assert_null(items[i]->municipality);
}

static void what_was_rolled_back_is_not_delivered(void **state)
{
	struct core_place *place = *state;
	uint64_t sequence;

	place_case(place, "C-1");
	place_begin(place);
	place_publish(place, "pi-a", place_event(place, NULL, "custody.leave-started", "C-1", "{\"at\":\"2027-02-01T09:00:00+01:00\"}"));
	core_rollback(place->core);
	sequence = place_last(place) + 1;
	assert_false(is_kept(place, sequence, "gm-a"));
	assert_int_equal(place_accept(place, "pi-a", "custody.hospitalised", "C-1", "{\"at\":\"2027-02-01T09:00:00+01:00\"}"), sequence);
	assert_true(is_kept(place, sequence, "gm-a"));
	assert_string_equal(place_queue(place, "gm-a"), "custody.started release.date-set release.approaching custody.hospitalised");
	compare_all(place);
}

/* Before the commit nobody may be shown it. */
static void what_is_not_committed_is_not_there(void **state)
{
	struct core_place *place = *state;
	uint64_t sequence;

	place_case(place, "C-1");
	place_begin(place);
	sequence = place_publish(place, "pi-a", place_event(place, NULL, "custody.leave-started", "C-1", "{\"at\":\"2027-02-01T09:00:00+01:00\"}")).sequence;
	assert_false(is_kept(place, sequence, "gm-a"));
	place_commit(place);
	assert_true(is_kept(place, sequence, "gm-a"));
}

static void the_end_of_a_consent_counts_at_once(void **state)
{
	struct core_place *place = *state;

	place_case(place, "C-1");
	handover(place, "H-1", "care-a", "ADDICTION");
	place_accept(place, "care-a", "consent.given", "C-1", "{\"to\":\"gm-a\",\"class\":\"C\"}");
	place_ack_all(place, "gm-a");
	place_accept(place, "pi-a", "need.screened", "C-1", "{\"need\":\"ADDICTION\",\"status\":\"OPEN\",\"note\":\"secret\"}");
	assert_string_equal(place_queue(place, "gm-a"), "need.screened");
	assert_false(is_kept(place, place_last(place), "gm-a")); /* it is decided at the delivery */
	place_accept(place, "care-a", "consent.withdrawn", "C-1", "{\"to\":\"gm-a\",\"class\":\"C\"}");
	assert_string_equal(place_queue(place, "gm-a"), "consent.withdrawn");
	compare_all(place);
}

static void what_a_lost_relation_drops_is_not_delivered(void **state)
{
	struct core_place *place = *state;
	uint64_t sequence;

	place_accept(place, "pi-a", "custody.started", "C-1", "{\"start\":\"2027-02-01T08:00:00+01:00\",\"origin\":\"0599\",\"destination\":\"0344\"}");
	sequence = place_accept(place, "pi-a", "release.date-set", "C-1", "{\"date\":\"2027-02-25\",\"kind\":\"EXPECTED\"}");
	assert_true(is_kept(place, sequence, "gm-a"));
	place_accept(place, "pi-a", "destination.changed", "C-1", "{\"destination\":\"0599\",\"reason\":\"moved\"}");
	place_accept(place, "pi-a", "release.date-set", "C-1", "{\"date\":\"2027-03-25\",\"kind\":\"EXPECTED\"}");
	assert_string_equal(place_queue(place, "gm-a"), "case.withdrawn");
	assert_true(is_kept(place, sequence, "gm-a")); /* still in memory, and not in its queue any more */
	compare_all(place);
}

static void an_erasure_leaves_nothing_in_memory(void **state)
{
	struct core_place *place = *state;

	place_case(place, "C-1");
	assert_non_null(place->core->recent);
	place_begin(place);
	assert_int_equal(core_erase_order(place->core, "C-1", "uid:1", "order", &place->err), OK);
	place_commit(place);
	place_begin(place);
	assert_int_equal(core_erase_confirm(place->core, "C-1", "uid:2", "order", &place->err), OK);
	place_commit(place);
	assert_null(place->core->recent);
	assert_null(strstr(place_queue(place, "gm-a"), "custody.started"));
}

static void another_policy_shows_it_its_own_way(void **state)
{
	struct core_place *place = *state;
	char *agencies = arena_strdup(&place->arena, place_agencies), *oin = strstr(agencies, "00000099000000000012"); /* pi-a's */
	struct core_delivery *items;
	size_t n;

	assert_non_null(oin);
	memcpy(oin, "00000099000000000092", 20);
	place_case(place, "C-1");
	place_use(place, place_config(place, agencies, ""));
	assert_int_equal(core_deliveries(place->core, "gm-a", 0, MANY, SIZE_MAX, &place->arena, &items, &n), OK);
	assert_int_equal(n, 3);
	assert_string_equal(items[0].delivery->source_oin, "00000099000000000092");
}

/* More than the ring holds: the oldest is read from the log, and everything comes, in its order. */
static void what_fell_out_is_read_from_the_log(void **state)
{
	struct core_place *place = *state;
	const size_t events = 5000;
	char note[2001] = "";
	struct core_delivery *items;
	uint64_t first, last;
	size_t n;

	memset(note, 'n', sizeof note - 1);
	place_case(place, "C-1");
	place_ack_all(place, "gm-a");
	first = last = place_last(place);
	for (size_t i = 0; i < events; i++) {
		if (i % 500 == 0)
			place_begin(place);
		(void)place_publish(place, "pi-a", place_event(place, NULL, "need.screened", "C-1", arena_printf(&place->arena, "{\"need\":\"HOUSING\",\"status\":\"OPEN\",\"note\":\"%s\"}", note)));
		if (i % 500 == 499)
			place_commit(place);
	}
	assert_int_equal(core_deliveries_packed(place->core, "gm-a", first, events + 1, SIZE_MAX, &place->arena, &items, &n), OK);
	assert_int_equal(n, events);
	assert_false(is_kept(place, items[0].sequence, "gm-a"));
	assert_true(is_kept(place, items[n - 1].sequence, "gm-a"));
	for (size_t i = 0; i < n; i++) {
		Reentry__Delivery *delivery;

		assert_int_equal(pb_unpack_own(&reentry__delivery__descriptor, items[i].packed, items[i].packed_n, &place->arena, &delivery), OK);
		assert_true(delivery->sequence > last && delivery->sequence == items[i].sequence);
		last = delivery->sequence;
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, core_place_make, core_place_remove)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(memory_and_log_tell_the_same), TEST(a_timeline_of_an_employer_tells_no_destination), TEST(what_was_rolled_back_is_not_delivered), TEST(what_is_not_committed_is_not_there),
		TEST(the_end_of_a_consent_counts_at_once), TEST(what_a_lost_relation_drops_is_not_delivered), TEST(an_erasure_leaves_nothing_in_memory),
		TEST(another_policy_shows_it_its_own_way), TEST(what_fell_out_is_read_from_the_log),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
