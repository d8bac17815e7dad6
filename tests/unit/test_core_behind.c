/* Proves that nothing is forgotten that is only in memory yet: after a kill the records behind what is written give back which events are known, what each agency has not acknowledged and the tree over
 * the log, whatever of them was on disk; and that a store of the first format, in which nothing of it was behind, is taken over. test_core_delta walks the same at random. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "broker/core_internal.h"
#include "tests/unit/core_place.h"

#define ACCEPTED REENTRY__OUTCOME__VALUE__ACCEPTED
#define DUPLICATE REENTRY__OUTCOME__VALUE__DUPLICATE
#define REFUSED REENTRY__OUTCOME__VALUE__REFUSED

static void assert_rebuilt(struct core_place *place)
{
	const char *difference = NULL;

	if (core_rebuild(place->core, true, &place->arena, &difference, &place->err))
		fail_msg("%s", place->err.text);
	if (difference)
		fail_msg("%s", difference);
}

static struct core_receipt publish(struct core_place *place, const char *id, const char *status)
{
	struct core_receipt receipt;

	place_begin(place);
	receipt = place_publish(place, "pi-a", place_event(place, id, "need.screened", "C-1", arena_printf(&place->arena, "{\"need\":\"DEBT\",\"status\":\"%s\"}", status)));
	place_commit(place);
	return receipt;
}

/* Pairs that lie in the file itself, whatever is in memory. */
static uint64_t in_file(struct core_place *place, int table)
{
	struct db_options options = { .read_only = true, .volatile_store = true, .tables = core_tables };
	struct db *db = NULL;
	struct db_txn txn;
	uint64_t n = 0;

	if (db_open(place->dir, &options, &db, &place->err))
		fail_msg("%s", place->err.text);
	assert_int_equal(db_begin_read(db, &txn), OK);
	assert_int_equal(db_count(&txn, table, &n), OK);
	db_abort(&txn);
	db_close(db);
	return n;
}

static void kill_it(struct core_place *place)
{
	core_abandon(place->core);
	place->core = NULL;
}

static void an_id_in_memory_is_known_for_ever(void **state)
{
	struct core_place *place = *state;
	uint64_t sequence, before;

	place_case(place, "C-1");
	place_close(place);
	before = in_file(place, T_IDS);
	place_open(place);
	sequence = publish(place, "one", "OPEN").sequence;
	for (int i = 0; i < 3; i++) {
		struct core_receipt again = publish(place, "one", "OPEN"), other = publish(place, "one", "NONE");

		assert_int_equal(again.result, DUPLICATE);
		assert_int_equal(again.sequence, sequence);
		assert_int_equal(other.result, REFUSED);
		assert_string_equal(other.code, "id-conflict");
		kill_it(place);
		assert_int_equal(in_file(place, T_IDS), before); /* so that this is about what is in memory */
		place_open(place);
	}
	assert_int_equal(publish(place, "one", "OPEN").result, DUPLICATE);
	place_close(place);
	assert_int_equal(in_file(place, T_IDS), before + 1);
	place_open(place);
	assert_int_equal(publish(place, "one", "OPEN").result, DUPLICATE);
	assert_rebuilt(place);
}

static void what_a_turn_that_failed_knew_is_forgotten(void **state)
{
	struct core_place *place = *state;

	place_case(place, "C-1");
	place_begin(place);
	assert_int_equal(place_publish(place, "pi-a", place_event(place, "one", "need.screened", "C-1", "{\"need\":\"DEBT\",\"status\":\"OPEN\"}")).result, ACCEPTED);
	core_rollback(place->core);
	assert_int_equal(publish(place, "one", "NONE").result, ACCEPTED);
	assert_rebuilt(place);
}

static void a_queue_in_memory_is_what_it_was(void **state)
{
	struct core_place *place = *state;
	struct core_queue *queues;
	const char *queue;
	size_t n;

	place_begin(place);
	place_commit(place); /* the configuration is on the record, and all before it written */
	place_case(place, "C-1");
	queue = place_queue(place, "gm-a");
	assert_string_not_equal(queue, "");
	for (int i = 0; i < 2; i++) {
		place_crash(place);
		assert_string_equal(place_queue(place, "gm-a"), queue);
	}
	(void)place_ack_all(place, "gm-a"); /* how many is not the point */
	(void)publish(place, NULL, "OPEN");
	queue = place_queue(place, "gm-a");
	assert_string_equal(queue, "need.screened");
	place_crash(place);
	assert_string_equal(place_queue(place, "gm-a"), queue);
	assert_int_equal(core_queues(place->core, &place->arena, &queues, &n), OK);
	for (size_t i = 0; i < n; i++)
		if (strcmp(queues[i].agency, "gm-a") == 0)
			assert_int_equal(queues[i].n, 1);
	kill_it(place);
	assert_int_equal(in_file(place, T_QUEUE), 0);
	place_open(place);
	(void)place_ack_all(place, "gm-a");
	assert_string_equal(place_queue(place, "gm-a"), "");
	assert_rebuilt(place);
}

/* Class C that a consent let through, stopped in the queue, and not back after a kill: also when what is stopped was queued before a kill. */
static void what_a_withdrawn_consent_stopped_stays_stopped(void **state)
{
	struct core_place *place = *state;
	const char *queue;

	place_case(place, "C-1");
	place_accept(place, "gm-a", "consent.given", "C-1", "{\"to\":\"gm-a\",\"class\":\"C\"}");
	(void)place_ack_all(place, "gm-a");
	place_accept(place, "pi-a", "need.screened", "C-1", "{\"need\":\"LVB\",\"status\":\"OPEN\"}");
	place_accept(place, "pi-a", "need.screened", "C-1", "{\"need\":\"ADDICTION\",\"status\":\"OPEN\"}"); /* CARE does not change by it */
	queue = place_queue(place, "gm-a");
	place_crash(place);
	place_accept(place, "gm-a", "consent.withdrawn", "C-1", "{\"to\":\"gm-a\",\"class\":\"C\"}");
	assert_string_not_equal(place_queue(place, "gm-a"), queue);
	queue = place_queue(place, "gm-a");
	place_crash(place);
	assert_string_equal(place_queue(place, "gm-a"), queue);
	assert_rebuilt(place);
}

static void the_tree_grows_on_over_a_kill(void **state)
{
	struct core_place *place = *state;
	struct tree_head before, after;
	struct tree_proof proof;
	uint64_t size;

	place_case(place, "C-1");
	for (int i = 0; i < 100; i++) {
		(void)publish(place, NULL, i % 2 ? "OPEN" : "IN_PROGRESS");
		if (i % 17 == 0)
			place_crash(place);
	}
	size = place_last(place);
	assert_int_equal(core_root(place->core, size, &before), OK);
	place_crash(place);
	assert_int_equal(core_root(place->core, size, &after), OK);
	assert_memory_equal(&before, &after, sizeof before);
	for (uint64_t at = 1; at <= size; at++)
		assert_int_equal(core_inclusion(place->core, at, size, &proof), OK);
	assert_rebuilt(place);
}

/* --- damage ------------------------------------------------------------------------------------------------------------------- */

static void change(struct core_place *place, int table, const void *key, size_t key_n, size_t at)
{
	struct db_options options = { .size_max = place->size_max, .volatile_store = true, .tables = core_tables };
	struct db_value value;
	uint8_t copy[65536];
	struct db *db = NULL;
	struct db_txn txn;

	if (db_open(place->dir, &options, &db, &place->err))
		fail_msg("%s", place->err.text);
	assert_int_equal(db_begin(db, &txn), OK);
	assert_int_equal(db_get(&txn, table, key, key_n, &value), OK);
	assert_true(value.n <= sizeof copy && at < value.n);
	memcpy(copy, value.bytes, value.n);
	copy[at] ^= 1;
	assert_int_equal(db_put(&txn, table, key, key_n, copy, value.n), OK);
	assert_int_equal(db_commit(&txn), OK);
	db_close(db);
}

static int try_open(struct core_place *place)
{
	struct core_options options = {
		.dir = place->dir, .keys_dir = place->keys, .size_max = place->size_max, .behind_max = place->behind_max, .volatile_store = true, .master_key = place->master,
	};
	int error = core_open(&options, &place->config->policy, place->config->policy_text, &place->core, &place->err);

	if (error)
		place->core = NULL;
	return error;
}

/* Nothing that is not written may pass for written. */
static void no_start_without_knowing_what_is_written(void **state)
{
	struct core_place *place = *state;

	place_case(place, "C-1");
	kill_it(place);
	for (size_t at = 0; at < 32; at++) {
		change(place, T_META, "written", 8, at);
		assert_int_equal(try_open(place), ERR_CORRUPT);
		change(place, T_META, "written", 8, at);
	}
	place_open(place);
	assert_rebuilt(place);
}

static void no_start_over_a_damaged_record_that_is_not_written(void **state)
{
	struct core_place *place = *state;
	uint8_t key[DB_KEY_MAX];
	size_t n;

	place_case(place, "C-1");
	n = db_key(key, "q", publish(place, "one", "OPEN").sequence);
	kill_it(place);
	change(place, T_LOG, key, n, 100);
	assert_int_equal(try_open(place), ERR_CORRUPT);
	change(place, T_LOG, key, n, 100);
	place_open(place);
	assert_int_equal(publish(place, "one", "OPEN").result, DUPLICATE);
}

/* Written up to the last turns, and case states far behind: lists say which cases; a damaged list is made up for by the log. */
static void a_start_reads_lists_or_the_log(void **state)
{
	struct core_place *place = *state;
	uint8_t key[DB_KEY_MAX], name[] = "behind";
	struct db_cursor cursor;
	struct db_txn txn;
	size_t n = 0, lists = 0;

	place_case(place, "C-1");
	place_case(place, "C-2");
	for (int i = 0; i < 3; i++) {
		(void)publish(place, NULL, i % 2 ? "OPEN" : "IN_PROGRESS");
		place->core->settle = true; /* as if many records had come */
		(void)publish(place, NULL, i % 2 ? "IN_PROGRESS" : "OPEN");
	}
	assert_int_equal(db_begin_read(place->core->db, &txn), OK);
	DB_FOREACH(&cursor, &txn, T_META, name, sizeof name) {
		memcpy(key, cursor.key.bytes, n = cursor.key.n);
		lists++;
	}
	db_abort(&txn);
	assert_true(lists >= 3);
	place_crash(place);
	assert_rebuilt(place);
	(void)publish(place, NULL, "OPEN");
	place->core->settle = true;
	(void)publish(place, NULL, "DECLINED_BY_PERSON");
	assert_int_equal(db_begin_read(place->core->db, &txn), OK);
	DB_FOREACH(&cursor, &txn, T_META, name, sizeof name)
		memcpy(key, cursor.key.bytes, n = cursor.key.n);
	db_abort(&txn);
	kill_it(place);
	change(place, T_META, key, n, 45); /* in the middle of an entry */
	place_open(place);
	assert_rebuilt(place);
}

/* --- the format before ---------------------------------------------------------------------------------------------------------- */

static void a_store_of_format_1_is_taken_over(void **state)
{
	struct db_options options = { .volatile_store = true, .tables = core_tables };
	struct core_place *place = *state;
	struct db *db = NULL;
	struct db_txn txn;
	static const uint8_t one = 1, position[8] = { 0, 0, 0, 0, 0, 0, 0, 4 };
	uint8_t name[] = "behind";
	struct db_cursor cursor;

	place->core->hashed = UINT64_MAX; /* as those before had it */
	place_case(place, "C-1");
	(void)publish(place, "one", "OPEN");
	place->core->settle = true; /* everything in the tables, the case states behind from record 4 on: a store that was killed */
	place_accept(place, "pi-a", "release.date-unknown", "C-1", NULL);
	kill_it(place);
	options.size_max = place->size_max;
	if (db_open(place->dir, &options, &db, &place->err))
		fail_msg("%s", place->err.text);
	assert_int_equal(db_begin(db, &txn), OK);
	assert_int_equal(db_put(&txn, T_META, "format", 7, &one, 1), OK);
	assert_int_equal(db_put(&txn, T_META, "applied", 8, position, sizeof position), OK);
	assert_int_equal(db_del(&txn, T_META, "written", 8), OK);
	DB_FOREACH(&cursor, &txn, T_META, name, sizeof name)
		assert_int_equal(db_cursor_del(&cursor), OK);
	assert_int_equal(db_commit(&txn), OK);
	db_close(db);
	place_open(place);
	assert_int_equal(place->core->format, 1);
	assert_int_equal(publish(place, "one", "OPEN").result, DUPLICATE);
	assert_int_equal(place->core->format, STORE_FORMAT);
	(void)publish(place, "two", "NONE");
	place_crash(place);
	assert_int_equal(publish(place, "two", "NONE").result, DUPLICATE);
	assert_rebuilt(place);
}

/* Which hash an id has is told by its position, so that what was given to the first program is known to the second, and a rebuild makes the same of it. */
static void ids_of_format_2_are_known_for_ever(void **state)
{
	struct db_options options = { .volatile_store = true, .tables = core_tables };
	struct core_place *place = *state;
	struct db *db = NULL;
	struct db_txn txn;
	static const uint8_t two = 2;

	place->core->hashed = UINT64_MAX;
	place_case(place, "C-1");
	(void)publish(place, "one", "OPEN");
	kill_it(place);
	options.size_max = place->size_max;
	if (db_open(place->dir, &options, &db, &place->err))
		fail_msg("%s", place->err.text);
	assert_int_equal(db_begin(db, &txn), OK);
	assert_int_equal(db_put(&txn, T_META, "format", 7, &two, 1), OK);
	assert_int_equal(db_commit(&txn), OK);
	db_close(db);
	place_open(place); /* what is not in the tables yet is read from the log, and hashed as it was */
	for (int round = 0; round < 2; round++) {
		assert_int_equal(publish(place, "one", "OPEN").result, DUPLICATE);
		assert_string_equal(publish(place, "one", "NONE").code, "id-conflict");
		if (round == 0)
			assert_int_equal(publish(place, "two", "NONE").result, REENTRY__OUTCOME__VALUE__ACCEPTED);
		assert_int_equal(publish(place, "two", "NONE").result, DUPLICATE);
		assert_string_equal(publish(place, "two", "OPEN").code, "id-conflict");
		assert_int_equal(place->core->format, STORE_FORMAT);
		place_crash(place);
	}
	assert_rebuilt(place);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, core_place_make, core_place_remove)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(an_id_in_memory_is_known_for_ever), TEST(what_a_turn_that_failed_knew_is_forgotten), TEST(a_queue_in_memory_is_what_it_was),
		TEST(what_a_withdrawn_consent_stopped_stays_stopped), TEST(the_tree_grows_on_over_a_kill),
		TEST(no_start_without_knowing_what_is_written), TEST(no_start_over_a_damaged_record_that_is_not_written), TEST(a_start_reads_lists_or_the_log),
		TEST(a_store_of_format_1_is_taken_over), TEST(ids_of_format_2_are_known_for_ever),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
