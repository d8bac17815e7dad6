/* Proves that what is handed in is on disk before it counts, goes in once, in order, and stays until its receipt is on disk. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/agent_place.h"

#define EVENT(id, subject, note) \
	"{\"id\":\"01890000-0000-7000-8000-0000000000" id "\",\"type\":\"need.screened\",\"subject\":\"" subject "\",\"data\":{\"need\":\"HOUSING\",\"status\":\"OPEN\",\"note\":\"" note "\"}}"

struct told { int n; Reentry__Outcome__Value result; char code[32]; uint64_t sequence; };

static void on_told(struct agent *agent, void *context, uint64_t n, const Reentry__Receipt *receipt)
{
	struct told *told = context;
	(void)agent, (void)n;
	told->n++;
	told->result = receipt->result;
	told->sequence = receipt->sequence;
	strncpy(told->code, receipt->code != NULL ? receipt->code : "", sizeof told->code - 1);
}

static void test_survives_a_restart(void **state)
{
	struct agent_place *place = *state;
	uint64_t number = agent_place_hand_in(place, EVENT("01", "C-1", "x"));
	assert_int_equal(number, 1);
	agent_place_reopen(place);
	assert_int_equal(place->agent.outbox.pending, 1);
	assert_int_equal(place->agent.outbox.durable, 1);
	assert_int_equal(agent_place_hand_in(place, EVENT("02", "C-1", "x")), 2);
}

static void test_is_nothing_before_its_commit(void **state)
{
	struct agent_place *place = *state;
	struct outbox_put put;
	const char *json = EVENT("01", "C-1", "x");
	assert_int_equal(outbox_hand_in(&place->agent, json, strlen(json), NULL, &put, &place->err), OK);
	assert_int_equal(place->agent.outbox.durable, 0);
	agent_place_reopen(place); /* dies before the end of the turn */
	assert_int_equal(place->agent.outbox.pending, 0);
}

/* A list of effects that is full and can grow no more, as without memory; and as it was. */
static void no_room(struct agent *agent, bool none)
{
	agent->turn.n_effects = agent->turn.room = none ? SIZE_MAX / 4 : 0;
}

static void test_without_memory_for_its_end_the_turn_fails(void **state)
{
	struct agent_place *place = *state;
	struct agent *agent = &place->agent;
	struct outbox_put put;
	const char *first = EVENT("01", "C-1", "x"), *second = EVENT("02", "C-1", "x");
	no_room(agent, true);
	assert_int_equal(outbox_hand_in(agent, first, strlen(first), NULL, &put, &place->err), ERR_NOMEM);
	no_room(agent, false);
	assert_int_equal(outbox_hand_in(agent, second, strlen(second), NULL, &put, &place->err), ERR_NOMEM); /* of the same turn */
	assert_int_equal(turn_end(agent), ERR_NOMEM);
	assert_int_equal(agent->outbox.pending, 0);
	agent_place_hand_in(place, first);
	assert_int_equal(agent->outbox.pending, 1);
	assert_int_equal(agent->outbox.durable, agent->outbox.next - 1);
	agent_place_reopen(place);
	assert_int_equal(agent->outbox.pending, 1);
}

static void test_names_what_is_wrong(void **state)
{
	struct agent_place *place = *state;
	struct outbox_put put;
	static const struct { const char *json, *named; } rows[] = {
		{"{\"type\":\"need.screened\",\"subject\":\"C-1\",\"data\":{\"neeed\":\"HOUSING\"}}", "data.neeed"},
		{"{\"type\":\"need.screened\",\"subject\":\"C 1\",\"data\":{}}", "subject"},
		{"{\"type\":\"need.screened\",\"subject\":\"C-1\",\"data\":{},\"colour\":1}", "colour"},
		{"{", "column 1"}, {"[]", ""}, {"", ""},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		assert_int_equal(outbox_hand_in(&place->agent, rows[i].json, strlen(rows[i].json), NULL, &put, &place->err), ERR_INVALID);
		assert_non_null(strstr(place->err.text, rows[i].named));
	}
	assert_int_equal(turn_end(&place->agent), OK);
	assert_int_equal(place->agent.outbox.pending, 0);
}

static void test_too_large_is_refused_here(void **state)
{
	struct agent_place *place = *state;
	struct outbox_put put;
	size_t n = 70000;
	char *json = malloc(n + 200);
	int head = snprintf(json, 200, "{\"type\":\"need.screened\",\"subject\":\"C-1\",\"data\":{\"need\":\"HOUSING\",\"note\":\"");
	memset(json + head, 'a', n);
	(void)snprintf(json + head + n, 8, "\"}}"); /* fits */
	assert_int_equal(outbox_hand_in(&place->agent, json, strlen(json), NULL, &put, &place->err), ERR_TOOBIG);
	free(json);
}

static void test_the_same_event_goes_in_once(void **state)
{
	struct agent_place *place = *state;
	assert_int_equal(agent_place_hand_in(place, EVENT("01", "C-1", "x")), 1);
	assert_int_equal(agent_place_hand_in(place, EVENT("01", "C-1", "x")), 1);
	assert_int_equal(place->agent.outbox.pending, 1);
	/* With other content it is for the broker to say that this is a conflict. */
	assert_int_equal(agent_place_hand_in(place, EVENT("01", "C-1", "y")), 2);
}

static void test_an_answered_one_is_a_duplicate(void **state)
{
	struct agent_place *place = *state;
	struct outbox_put put;
	const char *json = EVENT("01", "C-1", "x");
	agent_place_hand_in(place, json);
	agent_place_answer(place, 1, 1, NULL);
	assert_int_equal(outbox_hand_in(&place->agent, json, strlen(json), NULL, &put, &place->err), OK);
	assert_non_null(put.receipt);
	assert_int_equal(put.receipt->result, REENTRY__OUTCOME__VALUE__DUPLICATE);
	assert_int_equal(put.receipt->sequence, 1);
	assert_int_equal(turn_end(&place->agent), OK);
	assert_int_equal(place->agent.outbox.pending, 0);
}

static void test_a_refused_one_may_be_handed_in_again(void **state)
{
	struct agent_place *place = *state;
	agent_place_hand_in(place, EVENT("01", "C-1", "x"));
	agent_place_answer(place, 1, 1, "no-such-case");
	assert_int_equal(place->agent.outbox.refused, 1);
	assert_int_equal(agent_place_hand_in(place, EVENT("01", "C-1", "x")), 2);
	agent_place_reopen(place);
	assert_int_equal(place->agent.outbox.refused, 1);
	assert_int_equal(place->agent.outbox.pending, 1);
}

static void test_told_only_after_the_commit(void **state)
{
	struct agent_place *place = *state;
	struct agent *agent = &place->agent;
	struct told told = {0};
	uint64_t number = agent_place_hand_in(place, EVENT("01", "C-1", "x"));
	assert_int_equal(outbox_wait(agent, number, on_told, &told, 0), OK);
	Reentry__Receipt receipt = REENTRY__RECEIPT__INIT, *list[] = {&receipt};
	Reentry__Receipts receipts = REENTRY__RECEIPTS__INIT;
	receipt.has_tag = receipt.has_result = receipt.has_sequence = true;
	receipt.tag = number;
	receipt.result = REENTRY__OUTCOME__VALUE__STALE;
	receipt.sequence = 99;
	receipts.n_items = 1;
	receipts.items = list;
	agent->outbox.sent = number;
	outbox_receipts(agent, &receipts);
	assert_int_equal(told.n, 0);
	assert_int_equal(turn_end(agent), OK);
	assert_int_equal(told.n, 1);
	assert_int_equal(told.result, REENTRY__OUTCOME__VALUE__STALE);
	assert_int_equal(told.sequence, 99);
	/* The same receipt again, or one for what never was, changes nothing. */
	outbox_receipts(agent, &receipts);
	receipt.tag = 12345;
	outbox_receipts(agent, &receipts);
	assert_int_equal(turn_end(agent), OK);
	assert_int_equal(told.n, 1);
}

static void test_a_failed_commit_is_told_as_storage_full(void **state)
{
	struct agent_place *place = *state;
	struct agent *agent = &place->agent;
	struct told told = {0};
	struct outbox_put put;
	const char *json = EVENT("01", "C-1", "x");
	assert_int_equal(outbox_hand_in(agent, json, strlen(json), NULL, &put, &place->err), OK);
	assert_int_equal(outbox_wait(agent, put.number, on_told, &told, 0), OK);
	agent->turn.txn.error = ERR_FULL; /* what a full disk leaves there */
	assert_int_equal(turn_end(agent), ERR_FULL);
	assert_int_equal(told.n, 1);
	assert_int_equal(told.result, REENTRY__OUTCOME__VALUE__REFUSED);
	assert_string_equal(told.code, "storage-full");
	assert_int_equal(agent->outbox.pending, 0);
	agent_place_reopen(place);
	assert_int_equal(place->agent.outbox.pending, 0);
}

static void test_busy_stays_and_waits(void **state)
{
	struct agent_place *place = *state;
	struct agent *agent = &place->agent;
	for (int i = 1; i <= 3; i++) {
		char json[300];
		(void)snprintf(json, sizeof json, EVENT("0%d", "C-1", "x"), i); /* fits */
		agent_place_hand_in(place, json);
	}
	agent_place_answer(place, 1, 1, NULL);
	agent_place_answer(place, 2, 2, "busy");
	assert_true(agent->outbox.pause.set);
	assert_int_equal(agent->outbox.retry_from, 2);
	assert_int_equal(agent->outbox.pending, 2);
	agent_place_answer(place, 3, 3, "storage-full");
	assert_int_equal(agent->outbox.retry_from, 2);
	assert_int_equal(agent->outbox.pending, 2);
	assert_int_equal(agent->outbox.refused, 0);
}

/* The receipt came and could not be kept: no other would ever come if the event were not offered again. */
static void test_a_receipt_that_was_not_kept_is_asked_for_again(void **state)
{
	struct agent_place *place = *state;
	struct agent *agent = &place->agent;
	Reentry__Receipt receipt = REENTRY__RECEIPT__INIT, *list[] = {&receipt};
	Reentry__Receipts receipts = REENTRY__RECEIPTS__INIT;
	uint64_t number = agent_place_hand_in(place, EVENT("01", "C-1", "x"));
	agent->outbox.sent = number;
	agent->outbox.flying = 1;
	receipt.has_tag = receipt.has_result = receipt.has_sequence = true;
	receipt.tag = receipt.sequence = number;
	receipt.result = REENTRY__OUTCOME__VALUE__ACCEPTED;
	receipts.n_items = 1;
	receipts.items = list;
	outbox_receipts(agent, &receipts);
	agent->turn.txn.error = ERR_FULL; /* what a full disk leaves there */
	assert_int_equal(turn_end(agent), ERR_FULL);
	assert_int_equal(agent->outbox.pending, 1);
	assert_int_equal(agent->outbox.flying, 0);
	assert_int_equal(agent->outbox.retry_from, number);
	assert_true(agent->outbox.pause.set);
	agent_place_answer(place, number, number, NULL);
	assert_int_equal(agent->outbox.pending, 0);
}

static void test_derived_ids_are_the_same_again(void **state)
{
	struct agent_place *place = *state;
	const char *json = "{\"type\":\"need.screened\",\"subject\":\"C-1\",\"data\":{\"need\":\"WORK\",\"status\":\"OPEN\"}}";
	struct outbox_seed seed = {"seed", 4, 1800000000000}, other = {"sede", 4, 1800000000000};
	struct outbox_put first, again, different;
	assert_int_equal(outbox_hand_in(&place->agent, json, strlen(json), &seed, &first, &place->err), OK);
	assert_int_equal(outbox_hand_in(&place->agent, json, strlen(json), &seed, &again, &place->err), OK);
	assert_int_equal(outbox_hand_in(&place->agent, json, strlen(json), &other, &different, &place->err), OK);
	assert_string_equal(first.id, again.id);
	assert_int_equal(first.number, again.number);
	assert_int_not_equal(first.number, different.number);
}

static void test_nothing_readable_on_disk(void **state)
{
	struct agent_place *place = *state;
	static const char secret[] = "sleeps-at-his-sisters";
	agent_place_hand_in(place, EVENT("01", "C-1", "sleeps-at-his-sisters"));
	agent_place_hand_in(place, EVENT("02", "C-1", "sleeps-at-his-sisters"));
	agent_place_answer(place, 1, 1, NULL);
	assert_false(agent_place_holds(place, secret, sizeof secret - 1));
	assert_false(agent_place_holds(place, "need.screened", 13));
	assert_true(agent_place_holds(place, "C-1", 3)); /* the reference stands in the clear: the search works */
}

static void test_old_ones_are_forgotten(void **state)
{
	struct agent_place *place = *state;
	struct agent *agent = &place->agent;
	struct outbox_put put;
	const char *json = EVENT("01", "C-1", "x");
	clock_simulated(&agent->clock, 1800000000000);
	agent_place_hand_in(place, json);
	agent_place_answer(place, 1, 1, "no-such-case");
	agent_place_hand_in(place, EVENT("02", "C-1", "x"));
	agent->clock.set += agent->config.agent.keep + 1;
	outbox_expire(agent);
	assert_int_equal(turn_end(agent), OK);
	assert_int_equal(agent->outbox.refused, 0);
	assert_int_equal(agent->outbox.pending, 1); /* never what has no receipt */
	assert_int_equal(outbox_hand_in(agent, json, strlen(json), NULL, &put, &place->err), OK);
	assert_null(put.receipt);
}

static void rewrite(struct agent_place *place, const char *from, const char *to)
{
	struct buf config;
	buf_init(&config);
	assert_int_equal(buf_read_file(&config, place->config, 4096), OK);
	char *at = strstr((char *)config.bytes, from);
	assert_non_null(at);
	assert_int_equal(strlen(from), strlen(to));
	memcpy(at, to, strlen(to));
	FILE *out = fopen(place->config, "we");
	assert_non_null(out);
	assert_int_equal(fwrite(config.bytes, 1, config.n, out), config.n);
	assert_int_equal(fclose(out), 0);
	buf_release(&config);
}

static void test_another_agencys_store_is_refused(void **state)
{
	struct agent_place *place = *state;
	agent_close(&place->agent);
	rewrite(place, "gm0344", "gm0599");
	assert_int_equal(agent_open(&place->agent, place->config, true, &place->err), ERR_INVALID);
	assert_non_null(strstr(place->err.text, "belongs to another agency"));
}

static void test_a_store_without_its_key_is_refused(void **state)
{
	struct agent_place *place = *state;
	char path[128];
	agent_place_hand_in(place, EVENT("01", "C-1", "x"));
	agent_close(&place->agent);
	(void)snprintf(path, sizeof path, "%s/store/store.key", place->root); /* fits */
	assert_int_equal(unlink(path), 0);
	assert_int_equal(agent_open(&place->agent, place->config, true, &place->err), ERR_INVALID);
	assert_non_null(strstr(place->err.text, "store.key"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, agent_place_make, agent_place_remove)
int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_survives_a_restart), TEST(test_is_nothing_before_its_commit), TEST(test_without_memory_for_its_end_the_turn_fails),
		TEST(test_names_what_is_wrong), TEST(test_too_large_is_refused_here),
		TEST(test_the_same_event_goes_in_once), TEST(test_an_answered_one_is_a_duplicate), TEST(test_a_refused_one_may_be_handed_in_again),
		TEST(test_told_only_after_the_commit), TEST(test_a_failed_commit_is_told_as_storage_full), TEST(test_busy_stays_and_waits),
		TEST(test_a_receipt_that_was_not_kept_is_asked_for_again),
		TEST(test_derived_ids_are_the_same_again), TEST(test_another_agencys_store_is_refused), TEST(test_a_store_without_its_key_is_refused), TEST(test_nothing_readable_on_disk), TEST(test_old_ones_are_forgotten),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
