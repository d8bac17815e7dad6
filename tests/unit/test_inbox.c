/* Proves that what arrives is kept once, shown with the most urgent first and old versions folded, and destroyed when it must be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/agent_place.h"

#define NEED(need, note) "{\"need\":\"" need "\",\"status\":\"OPEN\",\"note\":\"" note "\"}"
#define DATE(date) "{\"date\":\"" date "\",\"kind\":\"EXPECTED\"}"
#define OFFER(ref) "{\"handover\":\"" ref "\",\"to\":\"gm0344\",\"need\":\"HOUSING\",\"offer\":1,\"decide_by\":\"2027-01-20T16:00:00Z\"}"
#define STEP(ref) "{\"handover\":\"" ref "\",\"offer\":1}"

/* The sequences of the list, as text: "5 3+1 2" (+1: one older is folded under it). */
static const char *listed(struct agent_place *place, const struct inbox_filter *filter)
{
	static char text[512];
	struct inbox_line *lines;
	struct db_txn txn;
	struct arena arena;
	size_t n, at = 0;
	arena_init(&arena, 0);
	assert_int_equal(turn_read(&place->agent, &txn), OK);
	assert_int_equal(inbox_list(&place->agent, &txn, filter, &arena, &lines, &n), OK);
	text[0] = '\0';
	for (size_t i = 0; i < n; i++) {
		at += (size_t)snprintf(text + at, sizeof text - at, "%s%llu", i > 0 ? " " : "", (unsigned long long)lines[i].sequence);
		if (lines[i].folded > 0)
			at += (size_t)snprintf(text + at, sizeof text - at, "+%zu", lines[i].folded);
	}
	db_abort(&txn);
	arena_release(&arena);
	return text;
}

static const struct inbox_filter anything = {.since = MOMENT_NONE};
static const struct inbox_filter everything = {.since = MOMENT_NONE, .all = true};

static void done(struct agent_place *place, uint64_t sequence, int result)
{
	assert_int_equal(inbox_done(&place->agent, sequence), result);
	assert_int_equal(turn_end(&place->agent), OK);
}

static void test_kept_once(void **state)
{
	struct agent_place *place = *state;
	agent_place_arrive(place, 7, "need.screened", "C-1", NEED("HOUSING", "a"), false);
	agent_place_arrive(place, 7, "need.screened", "C-1", NEED("HOUSING", "b"), false);
	assert_string_equal(listed(place, &anything), "7");
	agent_place_reopen(place);
	assert_string_equal(listed(place, &anything), "7");
	assert_int_equal(place->agent.inbox.last, 7);
	assert_int_equal(place->agent.inbox.open, 1);
}

static void test_urgent_first_then_by_date(void **state)
{
	struct agent_place *place = *state;
	agent_place_arrive(place, 1, "custody.started", "C-1", "{\"start\":\"2027-01-01T08:00:00Z\"}", false);
	agent_place_arrive(place, 2, "release.date-set", "C-1", DATE("2027-03-01"), false);
	agent_place_arrive(place, 3, "release.date-set", "C-2", DATE("2027-02-01"), false);
	agent_place_arrive(place, 4, "handover.offered", "C-3", OFFER("H-1"), false);
	agent_place_arrive(place, 5, "release.ordered", "C-4", "{\"ordered_at\":\"2027-01-10T15:00:00Z\"}", true);
	assert_string_equal(listed(place, &anything), "5 4 3 2 1");
}

static void test_what_nobody_did_comes_before_dates(void **state)
{
	struct agent_place *place = *state;
	agent_place_arrive(place, 1, "release.date-set", "C-1", DATE("2027-03-01"), false);
	agent_place_arrive(place, 2, "handover.unplaced", "C-1", STEP("H-1"), false);
	agent_place_arrive(place, 3, "gap.detected", "C-2", "{\"need\":\"DEBT\",\"reason\":\"NOT_ARRANGED\"}", false);
	agent_place_arrive(place, 4, "handover.offered", "C-3", OFFER("H-2"), false);
	agent_place_arrive(place, 5, "release.ordered", "C-4", "{\"ordered_at\":\"2027-01-10T15:00:00Z\"}", true);
	assert_string_equal(listed(place, &anything), "5 2 3 4 1");
	/* A gap that closed calls nobody. */
	agent_place_arrive(place, 6, "gap.closed", "C-2", "{\"need\":\"DEBT\"}", false);
	assert_string_equal(listed(place, &anything), "5 2 4 1 6+1");
}

static void test_a_retracted_release_is_folded(void **state)
{
	struct agent_place *place = *state;
	agent_place_arrive(place, 1, "release.recorded", "C-1", "{\"released_at\":\"2027-01-10T15:00:00Z\"}", false);
	agent_place_arrive(place, 2, "release.confirmed", "C-1", "{\"released_at\":\"2027-01-10T15:00:00Z\"}", false);
	agent_place_arrive(place, 3, "followup.due", "C-1", "{\"day\":1}", false);
	agent_place_arrive(place, 4, "followup.due", "C-1", "{\"day\":7}", false);
	agent_place_arrive(place, 5, "followup.done", "C-1", "{\"day\":1}", false);
	assert_string_equal(listed(place, &anything), "4 2+1 5+1");
	agent_place_arrive(place, 6, "release.reversed", "C-1", "{}", false);
	assert_string_equal(listed(place, &anything), "4 5+1 6+2");
}

static void test_a_late_acknowledgement_hides_no_answer(void **state)
{
	struct agent_place *place = *state;
	agent_place_arrive(place, 1, "handover.declined", "C-1", "{\"handover\":\"H-1\",\"offer\":1,\"code\":\"NO_CAPACITY\"}", false);
	agent_place_arrive(place, 2, "handover.delivered", "C-1", STEP("H-1"), false);
	assert_string_equal(listed(place, &anything), "1 2");
	agent_place_arrive(place, 3, "handover.unplaced", "C-1", STEP("H-1"), false);
	assert_string_equal(listed(place, &anything), "3+2");
}

static void test_older_versions_are_folded(void **state)
{
	struct agent_place *place = *state;
	agent_place_arrive(place, 1, "release.date-set", "C-1", DATE("2027-03-01"), false);
	agent_place_arrive(place, 2, "release.approaching", "C-1", "{\"release_date\":\"2027-03-01\",\"days_left\":14,\"milestone\":14}", false);
	agent_place_arrive(place, 3, "release.date-set", "C-2", DATE("2027-03-02"), false);
	agent_place_arrive(place, 4, "need.screened", "C-1", NEED("DEBT", ""), false);
	agent_place_arrive(place, 5, "need.screened", "C-1", NEED("WORK", ""), false);
	assert_string_equal(listed(place, &anything), "1 2 3 4 5");
	/* A new date supersedes the old one and the notice about it; of the same need only the newest counts, whoever says it. */
	agent_place_arrive(place, 6, "release.date-set", "C-1", DATE("2027-02-20"), false);
	agent_place_arrive(place, 7, "debt.plan-agreed", "C-1", "{}", false);
	assert_string_equal(listed(place, &anything), "6+2 3 5 7+1");
	/* A notice hides earlier notices, never the version itself. */
	agent_place_arrive(place, 8, "release.approaching", "C-1", "{\"release_date\":\"2027-02-20\",\"days_left\":14,\"milestone\":14}", false);
	agent_place_arrive(place, 9, "release.approaching", "C-1", "{\"release_date\":\"2027-02-20\",\"days_left\":7,\"milestone\":7}", false);
	assert_string_equal(listed(place, &anything), "6+2 9+1 3 5 7+1");
	assert_string_equal(listed(place, &everything), "6+2 8 9+1 1 2 3 4 5 7+1");
}

static void test_a_reminder_never_hides_the_offer(void **state)
{
	struct agent_place *place = *state;
	agent_place_arrive(place, 1, "handover.offered", "C-1", OFFER("H-1"), false);
	agent_place_arrive(place, 2, "handover.reminder", "C-1", "{\"handover\":\"H-1\",\"offer\":1,\"decide_by\":\"2027-01-20T16:00:00Z\"}", false);
	agent_place_arrive(place, 3, "handover.info-given", "C-1", "{\"handover\":\"H-1\",\"note\":\"x\"}", false);
	assert_string_equal(listed(place, &anything), "1 3+1");
}

static void test_done_is_done(void **state)
{
	struct agent_place *place = *state;
	agent_place_arrive(place, 1, "release.date-set", "C-1", DATE("2027-03-01"), false);
	agent_place_arrive(place, 2, "need.screened", "C-1", NEED("WORK", ""), false);
	agent_place_arrive(place, 3, "release.date-set", "C-1", DATE("2027-03-02"), false);
	done(place, 3, OK);
	assert_string_equal(listed(place, &anything), "2"); /* the older date does not come back */
	done(place, 3, OK);
	done(place, 99, ERR_NOTFOUND);
	agent_place_reopen(place);
	assert_string_equal(listed(place, &anything), "2");
	assert_int_equal(place->agent.inbox.open, 1);
	assert_string_equal(listed(place, &everything), "2 1 3+1");
}

static void test_filters(void **state)
{
	struct agent_place *place = *state;
	clock_simulated(&place->agent.clock, 1800000000000);
	agent_place_arrive(place, 1, "need.screened", "C-1", NEED("WORK", ""), false);
	agent_place_arrive(place, 2, "need.status-changed", "C-10", NEED("WORK", ""), false);
	place->agent.clock.set += 1000;
	agent_place_arrive(place, 3, "release.date-set", "C-1", DATE("2027-03-01"), false);
	struct inbox_filter by_case = {.since = MOMENT_NONE, .subject = "C-1"}, by_type = {.since = MOMENT_NONE, .type = "need"},
	                    exact = {.since = MOMENT_NONE, .type = "need.screened"}, since = {.since = 1800000000001}, none = {.since = MOMENT_NONE, .type = "nee"};
	assert_string_equal(listed(place, &by_case), "3 1");
	assert_string_equal(listed(place, &by_type), "1 2");
	assert_string_equal(listed(place, &exact), "1");
	assert_string_equal(listed(place, &since), "3");
	assert_string_equal(listed(place, &none), "");
}

/* --- purges ---------------------------------------------------------------------------------------------------------------- */

static bool key_is_gone(struct agent_place *place, const char *subject, const uint8_t key[KEY_SIZE])
{
	uint8_t now[KEY_SIZE];
	return case_keys_get(&place->agent.store.keys, subject, 1, now) == ERR_ERASED || memcmp(now, key, KEY_SIZE) != 0;
}

static void test_withdrawn_leaves_only_that(void **state)
{
	struct agent_place *place = *state;
	struct agent *agent = &place->agent;
	uint8_t key[KEY_SIZE], other[KEY_SIZE];
	struct db_txn txn;
	struct arena arena;
	const char *number;
	arena_init(&arena, 0);
	agent_place_arrive(place, 1, "need.screened", "C-1", NEED("WORK", "secret"), false);
	agent_place_arrive(place, 2, "need.screened", "C-2", NEED("WORK", "stays"), false);
	agent_place_hand_in(place, "{\"type\":\"followup.done\",\"subject\":\"C-1\",\"data\":{\"day\":1}}");
	agent_place_answer(place, 1, 1, NULL);
	assert_int_equal(links_set(agent, "C-1", "2027/14", &place->err), OK);
	assert_int_equal(turn_end(agent), OK);
	assert_int_equal(case_keys_get(&agent->store.keys, "C-1", 1, key), OK);
	assert_int_equal(case_keys_get(&agent->store.keys, "C-2", 1, other), OK);
	agent_place_arrive(place, 3, "case.withdrawn", "C-1", "{}", false);
	assert_string_equal(listed(place, &everything), "2 3");
	assert_true(key_is_gone(place, "C-1", key));
	assert_int_equal(turn_read(agent, &txn), OK);
	assert_int_equal(links_number(agent, &txn, "C-1", &arena, &number), ERR_NOTFOUND);
	assert_string_equal(links_subject(agent, &txn, "2027/14", &arena), "2027/14");
	uint64_t sent;
	assert_int_equal(db_count(&txn, TABLE_SENT, &sent), OK);
	assert_int_equal(sent, 0);
	db_abort(&txn);
	/* What was there must not come in again, and the last message goes when it has been seen. */
	agent_place_arrive(place, 1, "need.screened", "C-1", NEED("WORK", "secret"), false);
	assert_string_equal(listed(place, &everything), "2 3");
	agent_place_written(place);
	done(place, 3, OK);
	assert_string_equal(listed(place, &everything), "2");
	done(place, 3, OK);
	/* A case that comes back later is a new one. */
	agent_place_arrive(place, 9, "case.snapshot", "C-1", "{\"phase\":\"DURING\",\"needs\":[],\"handovers\":[]}", false);
	agent_place_reopen(place);
	assert_string_equal(listed(place, &everything), "2 9");
	arena_release(&arena);
}

static void test_key_is_gone_from_the_disk(void **state)
{
	struct agent_place *place = *state;
	struct db_txn txn;
	struct db_value value;
	uint8_t name[DB_KEY_MAX], sealed[128];
	agent_place_arrive(place, 1, "need.screened", "C-1", NEED("WORK", "secret"), false);
	assert_int_equal(db_begin_read(place->agent.store.keys.db, &txn), OK);
	assert_int_equal(db_get(&txn, 0, name, db_key(name, "sw", "C-1", 1u), &value), OK);
	memcpy(sealed, value.bytes, value.n);
	size_t n = value.n;
	db_abort(&txn);
	assert_true(agent_place_holds(place, sealed, n));
	agent_place_arrive(place, 2, "case.withdrawn", "C-1", "{}", false);
	assert_false(agent_place_holds(place, sealed, n));
}

static void test_erasure_is_reported(void **state)
{
	struct agent_place *place = *state;
	struct agent *agent = &place->agent;
	agent_place_arrive(place, 1, "need.screened", "C-1", NEED("WORK", "secret"), false);
	agent_place_arrive(place, 2, "release.confirmed", "C-1", "{\"released_at\":\"2027-01-01T10:00:00Z\"}", false);
	agent_place_arrive(place, 3, "erasure.due", "C-1", "{}", false);
	assert_int_equal(turn_end(agent), OK);
	assert_int_equal(agent->outbox.pending, 1);
	Reentry__AgentEntry *entry;
	Reentry__AgentSent *sent;
	Reentry__Event *event;
	struct db_txn txn;
	struct arena arena;
	arena_init(&arena, 0);
	assert_int_equal(turn_read(agent, &txn), OK);
	assert_int_equal(entry_get(&txn, TABLE_OUTBOX, 1, &arena, &entry), OK);
	struct place at = {TABLE_OUTBOX, 1, "C-1"};
	assert_int_equal(entry_open(agent, &at, entry, &arena, &sent), OK);
	event = reentry__event__unpack(NULL, sent->content.len, sent->content.data);
	assert_string_equal(event->type, "erasure.executed");
	assert_string_equal(event->source, "gm0344");
	assert_string_equal(event->cause, "01890000-0000-7000-8000-000000000003");
	assert_int_equal(payload_number(event_payload(event, &arena), "purged"), 2);
	reentry__event__free_unpacked(event, NULL);
	db_abort(&txn);
	arena_release(&arena);
}

static void test_a_purge_goes_on_after_a_crash(void **state)
{
	struct agent_place *place = *state;
	struct agent *agent = &place->agent;
	uint8_t key[KEY_SIZE];
	agent_place_arrive(place, 1, "need.screened", "C-1", NEED("WORK", "secret"), false);
	assert_int_equal(case_keys_get(&agent->store.keys, "C-1", 1, key), OK);
	/* The order is committed; what follows it is not. */
	assert_int_equal(purge_case(agent, "C-1", true, "cause"), OK);
	assert_int_equal(case_keys_commit(&agent->store.keys), OK);
	assert_int_equal(db_commit(&agent->turn.txn), OK);
	agent->turn.n_effects = 0;
	agent_place_reopen(place);
	assert_true(key_is_gone(place, "C-1", key));
	assert_int_equal(place->agent.outbox.pending, 1);
	agent_place_reopen(place);
	assert_int_equal(place->agent.outbox.pending, 1);
}

static void test_what_waits_in_the_outbox_still_goes(void **state)
{
	struct agent_place *place = *state;
	struct agent *agent = &place->agent;
	agent_place_arrive(place, 1, "need.screened", "C-1", NEED("WORK", "secret"), false);
	agent_place_hand_in(place, "{\"type\":\"custody.started\",\"subject\":\"C-1\",\"data\":{\"start\":\"2027-01-01T08:00:00Z\"}}");
	agent_place_arrive(place, 2, "case.withdrawn", "C-1", "{}", false);
	Reentry__AgentEntry *entry;
	Reentry__AgentSent *sent;
	struct db_txn txn;
	struct arena arena;
	arena_init(&arena, 0);
	assert_int_equal(turn_read(agent, &txn), OK);
	assert_int_equal(entry_get(&txn, TABLE_OUTBOX, 1, &arena, &entry), OK);
	struct place at = {TABLE_OUTBOX, 1, "C-1"};
	assert_int_equal(entry_open(agent, &at, entry, &arena, &sent), OK);
	assert_true(sent->content.len > 0);
	db_abort(&txn);
	arena_release(&arena);
}

static void test_a_candidate_keeps_nothing_of_an_offer_that_ended(void **state)
{
	struct agent_place *place = *state;
	agent_place_arrive(place, 1, "handover.offered", "C-1", OFFER("H-1"), false);
	agent_place_arrive(place, 2, "handover.reminder", "C-1", STEP("H-1"), false);
	place->ends = true;
	agent_place_arrive(place, 3, "handover.expired", "C-1", STEP("H-1"), false);
	assert_string_equal(listed(place, &everything), "3");
}

static void test_two_offers_of_a_case_end_one_by_one(void **state)
{
	struct agent_place *place = *state;
	agent_place_arrive(place, 1, "handover.offered", "C-1", OFFER("H-1"), false);
	agent_place_arrive(place, 2, "handover.offered", "C-1", OFFER("H-2"), false);
	agent_place_arrive(place, 3, "handover.expired", "C-1", STEP("H-1"), false);
	assert_string_equal(listed(place, &anything), "2 3+1");
	place->ends = true;
	agent_place_arrive(place, 4, "handover.withdrawn", "C-1", STEP("H-2"), false);
	assert_string_equal(listed(place, &everything), "4");
}

static void test_a_municipality_keeps_its_case_when_an_offer_ends(void **state)
{
	struct agent_place *place = *state;
	agent_place_arrive(place, 1, "custody.started", "C-1", "{\"start\":\"2027-01-01T08:00:00Z\"}", false);
	agent_place_arrive(place, 2, "handover.offered", "C-1", OFFER("H-1"), false);
	agent_place_arrive(place, 3, "handover.expired", "C-1", STEP("H-1"), false);
	assert_string_equal(listed(place, &anything), "1 3+1");
}

static void test_links(void **state)
{
	struct agent_place *place = *state;
	struct agent *agent = &place->agent;
	struct arena arena;
	struct db_txn txn;
	const char *number;
	arena_init(&arena, 0);
	assert_int_equal(links_set(agent, "C-1", "dossier 7", &place->err), OK);
	assert_int_equal(links_set(agent, "C-2", "dossier 7", &place->err), ERR_EXISTS);
	assert_int_equal(links_set(agent, "C 3", "x", &place->err), ERR_INVALID);
	assert_int_equal(links_set(agent, "C-1", "dossier 8", &place->err), OK);
	assert_int_equal(links_set(agent, "C-2", "dossier 7", &place->err), OK);
	assert_int_equal(turn_read(agent, &txn), OK);
	assert_string_equal(links_subject(agent, &txn, "dossier 8", &arena), "C-1");
	assert_string_equal(links_subject(agent, &txn, "dossier 7", &arena), "C-2");
	assert_string_equal(links_subject(agent, &txn, "C-2", &arena), "C-2");
	assert_int_equal(links_number(agent, &txn, "C-1", &arena, &number), OK);
	assert_string_equal(number, "dossier 8");
	db_abort(&txn);
	assert_int_equal(links_set(agent, "C-1", "", &place->err), OK);
	assert_int_equal(turn_end(agent), OK);
	assert_false(agent_place_holds(place, "dossier", 7));
	arena_release(&arena);
}

static void test_a_handover_is_found_by_its_name(void **state)
{
	struct agent_place *place = *state;
	struct agent *agent = &place->agent;
	struct handover_known known;
	struct arena arena;
	struct db_txn txn;
	arena_init(&arena, 0);
	agent_place_arrive(place, 1, "handover.offered", "C-1", "{\"handover\":\"H-1\",\"to\":\"gm0344\",\"need\":\"WORK\",\"offer\":3}", false);
	agent_place_arrive(place, 2, "need.screened", "C-2", NEED("WORK", ""), false);
	agent_place_hand_in(place, "{\"type\":\"handover.offered\",\"subject\":\"C-5\",\"data\":{\"handover\":\"H-5\",\"to\":\"care-a\",\"need\":\"WORK\"}}");
	assert_int_equal(turn_read(agent, &txn), OK);
	assert_int_equal(handover_lookup(agent, &txn, "H-1", &arena, &known), OK);
	assert_string_equal(known.subject, "C-1");
	assert_int_equal(known.offer, 3);
	assert_int_equal(handover_lookup(agent, &txn, "H-5", &arena, &known), OK);
	assert_string_equal(known.subject, "C-5");
	assert_int_equal(known.offer, 0);
	assert_int_equal(handover_lookup(agent, &txn, "H-9", &arena, &known), ERR_NOTFOUND);
	db_abort(&txn);
	arena_release(&arena);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, agent_place_make, agent_place_remove)
int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_kept_once), TEST(test_urgent_first_then_by_date), TEST(test_what_nobody_did_comes_before_dates), TEST(test_a_retracted_release_is_folded), TEST(test_a_late_acknowledgement_hides_no_answer), TEST(test_older_versions_are_folded),
		TEST(test_a_reminder_never_hides_the_offer), TEST(test_done_is_done), TEST(test_filters), TEST(test_withdrawn_leaves_only_that), TEST(test_key_is_gone_from_the_disk),
		TEST(test_erasure_is_reported), TEST(test_a_purge_goes_on_after_a_crash), TEST(test_what_waits_in_the_outbox_still_goes),
		TEST(test_a_candidate_keeps_nothing_of_an_offer_that_ended), TEST(test_two_offers_of_a_case_end_one_by_one),
		TEST(test_a_municipality_keeps_its_case_when_an_offer_ends), TEST(test_links), TEST(test_a_handover_is_found_by_its_name),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
