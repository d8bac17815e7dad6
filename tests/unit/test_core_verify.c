/* Proves that verification of a whole store finds and names what was changed behind the broker's back, record by record, node by node, checkpoint by checkpoint and projection by
 * projection, that it says nothing of a store that is whole, whether or not its keys are there, and that damage which ends the reading process is told as well. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "broker/core_internal.h"
#include "broker/core_verify.h"
#include "tests/unit/core_place.h"

struct told { char lines[8192]; size_t n; };

static void tell(void *context, const char *line)
{
	struct told *told = context;

	told->n++;
	if (strlen(told->lines) + strlen(line) + 2 < sizeof told->lines) {
		strcat(told->lines, line); /* lint: strcat, there is room */
		strcat(told->lines, "\n"); /* lint: strcat, there is room */
	}
}

static struct verify_options options_of(struct core_place *place, uint8_t public_key[KEY_SIZE])
{
	crypt_sign_public(place->signing, public_key);
	return (struct verify_options){
		.core = { .dir = place->dir, .keys_dir = place->keys, .size_max = place->size_max, .volatile_store = true, .master_key = place->master },
		.policy = &place->config->policy, .policy_text = place->config->policy_text, .signing_public = public_key,
	};
}

static struct verify_result verify(struct core_place *place, struct told *told)
{
	uint8_t public_key[KEY_SIZE];
	struct verify_options options = options_of(place, public_key);
	struct verify_result result;

	*told = (struct told){ 0 };
	if (core_verify(&options, tell, told, &result, &place->err))
		fail_msg("%s", place->err.text);
	assert_true(result.faults >= told->n);
	return result;
}

static void assert_whole(struct core_place *place)
{
	struct told told;
	struct verify_result result = verify(place, &told);

	if (result.faults)
		fail_msg("%s", told.lines);
	assert_true(result.opened);
}

static void assert_found(struct core_place *place, const char *what)
{
	struct told told;
	struct verify_result result = verify(place, &told);

	assert_true(result.faults > 0);
	if (!strstr(told.lines, what))
		fail_msg("%s is not named: %s", what, told.lines);
}

/* A store with all there is, closed: two cases, checkpoints, a cosignature, an erasure. */
static void fill(struct core_place *place)
{
	const char *note;

	place_case(place, "C-1");
	place_accept(place, "gm-a", "need.screened", "C-1", "{\"need\":\"HOUSING\",\"status\":\"OPEN\"}");
	place_ack_all(place, "gm-a");
	place_begin(place);
	assert_int_equal(core_checkpoint(place->core, &place->arena, &note), OK);
	place_commit(place);
	place_case(place, "C-2");
	place_begin(place);
	assert_int_equal(core_checkpoint(place->core, &place->arena, &note), OK);
	place_commit(place);
	place_accept(place, "pi-a", "need.screened", "C-1", "{\"need\":\"ADDICTION\",\"status\":\"OPEN\"}");
}

static void erase(struct core_place *place, const char *subject)
{
	size_t n;

	place_begin(place);
	assert_int_equal(core_erase_order(place->core, subject, "uid:1", "a ground", &place->err), OK);
	assert_int_equal(core_erase_confirm(place->core, subject, "uid:2", "a ground", &place->err), OK);
	place_commit(place);
	assert_int_equal(core_erase_run(place->core, place->now, &n, &place->err), OK);
	assert_int_equal(n, 1);
}

/* --- changing a closed store --------------------------------------------------------------------------------------------------- */

static struct db *open_db(struct core_place *place, struct db_txn *txn)
{
	struct db_options options = { .size_max = place->size_max, .volatile_store = true, .tables = core_tables };
	struct db *db = NULL;

	if (db_open(place->dir, &options, &db, &place->err))
		fail_msg("%s", place->err.text);
	assert_int_equal(db_begin(db, txn), OK);
	return db;
}

static void close_db(struct db *db, struct db_txn *txn)
{
	assert_int_equal(db_commit(txn), OK);
	db_close(db);
}

/* Flips one bit of the at-th byte of a value. False: it has not so many. */
static bool flip(struct core_place *place, int table, struct db_value key, size_t at)
{
	struct db_value value;
	struct db_txn txn;
	struct db *db = open_db(place, &txn);
	uint8_t copy[16384];
	size_t n;
	bool is;

	assert_int_equal(db_get(&txn, table, key.bytes, key.n, &value), OK);
	assert_true(value.n <= sizeof copy);
	memcpy(copy, value.bytes, n = value.n);
	is = at < n;
	if (is) {
		copy[at] ^= 4;
		assert_int_equal(db_put(&txn, table, key.bytes, key.n, copy, n), OK);
	}
	close_db(db, &txn);
	return is;
}

static void every_byte_is_found(struct core_place *place, int table, struct db_value key, const char *name)
{
	for (size_t at = 0; flip(place, table, key, at); at += at < 60 ? 9 : 41) {
		assert_found(place, name);
		assert_true(flip(place, table, key, at));
	}
	assert_whole(place);
}

/* --- tests ------------------------------------------------------------------------------------------------------------------------ */

static void a_whole_store_is_whole(void **state)
{
	struct core_place *place = *state;
	struct verify_result result;
	struct told told;
	uint64_t last;

	fill(place);
	last = place_last(place);
	place_crash(place); /* with states that are only in the log */
	core_abandon(place->core);
	place->core = NULL;
	result = verify(place, &told);
	if (told.n)
		fail_msg("%s", told.lines);
	assert_int_equal(result.records, last);
	assert_int_equal(result.nodes, last - (uint64_t)__builtin_popcountll(last));
	assert_int_equal(result.checkpoints, 4); /* two records, two rows */
	place_open(place);
	place_close(place);
	assert_whole(place);
}

static void an_erased_case_is_no_fault(void **state)
{
	struct core_place *place = *state;
	struct verify_result result;
	struct told told;

	fill(place);
	erase(place, "C-1");
	place_close(place);
	result = verify(place, &told);
	if (told.n)
		fail_msg("%s", told.lines);
	assert_true(result.erased >= 4);
}

static void a_lost_key_is_one(void **state)
{
	struct db_options options = { .size_max = (size_t)1 << 26, .volatile_store = true, .tables = key_tables };
	struct core_place *place = *state;
	struct db_txn txn;
	struct db *db;

	fill(place);
	place_close(place);
	assert_int_equal(db_open(place->keys, &options, &db, &place->err), OK);
	assert_int_equal(db_begin(db, &txn), OK);
	assert_int_equal(db_del(&txn, 0, "C-2", 3), OK);
	close_db(db, &txn);
	assert_found(place, "the key of case C-2 is gone");
}

static void a_changed_record_is_named(void **state)
{
	struct core_place *place = *state;
	uint8_t key[DB_KEY_MAX];

	fill(place);
	place_close(place);
	every_byte_is_found(place, T_LOG, (struct db_value){ key, db_key(key, "q", UINT64_C(3)) }, "record 3: does not match its hash");
}

static void a_changed_node_is_named(void **state)
{
	struct core_place *place = *state;
	uint8_t key[DB_KEY_MAX];

	fill(place);
	place_close(place);
	every_byte_is_found(place, T_TREE, (struct db_value){ key, db_key(key, "bq", 0, UINT64_C(0)) }, "tree node (");
}

static void a_changed_checkpoint_is_named(void **state)
{
	struct core_place *place = *state;
	uint8_t key[DB_KEY_MAX];
	const char *note;
	uint64_t size;

	fill(place);
	assert_int_equal(core_checkpoint_last(place->core, &place->arena, &size, &note), OK);
	place_close(place);
	every_byte_is_found(place, T_CHECKPOINTS, (struct db_value){ key, db_key(key, "q", size) }, "checkpoint");
}

/* The rows of everything derived. */
static void a_changed_projection_is_found(void **state)
{
	static const int tables[] = { T_META, T_IDS, T_AGENCIES, T_CASES, T_QUEUE, T_RELATED };
	struct core_place *place = *state;

	fill(place);
	place_close(place);
	for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
		uint8_t copy[DB_KEY_MAX];
		struct db_value key, value;
		struct db_txn txn;
		struct db *db = open_db(place, &txn);

		assert_int_equal(db_last(&txn, tables[i], &key, &value), OK);
		memcpy(copy, key.bytes, key.n);
		key.bytes = copy;
		db_abort(&txn);
		db_close(db);
		assert_true(flip(place, tables[i], key, 1));
		assert_found(place, tables[i] == T_META ? "up to where the tables are written" : "differs from it");
		assert_true(flip(place, tables[i], key, 1));
	}
	assert_whole(place);
}

/* The last key of each table, changed in its last byte. */
static void a_changed_key_is_found(void **state)
{
	struct core_place *place = *state;

	fill(place);
	place_close(place);
	for (int table = 0; table < T_ERASURES; table++) {
		uint8_t key[DB_KEY_MAX], copy[16384];
		struct db_value k, value;
		struct db_txn txn;
		struct db *db = open_db(place, &txn);
		struct verify_result result;
		struct told told;
		size_t n;

		assert_int_equal(db_last(&txn, table, &k, &value), OK);
		memcpy(key, k.bytes, k.n);
		memcpy(copy, value.bytes, n = value.n);
		assert_int_equal(db_del(&txn, table, key, k.n), OK);
		key[k.n - 1] ^= 0x40;
		assert_int_equal(db_put(&txn, table, key, k.n, copy, n), OK);
		close_db(db, &txn);
		result = verify(place, &told);
		if (!result.faults)
			fail_msg("a changed key of table %s is not found", core_tables[table]);
		db = open_db(place, &txn);
		assert_int_equal(db_del(&txn, table, key, k.n), OK);
		key[k.n - 1] ^= 0x40;
		assert_int_equal(db_put(&txn, table, key, k.n, copy, n), OK);
		close_db(db, &txn);
	}
	assert_whole(place);
}

static void a_missing_record_is_found(void **state)
{
	struct core_place *place = *state;
	uint8_t key[DB_KEY_MAX];
	struct db_txn txn;
	struct db *db;

	fill(place);
	place_close(place);
	db = open_db(place, &txn);
	assert_int_equal(db_del(&txn, T_LOG, key, db_key(key, "q", UINT64_C(4))), OK);
	close_db(db, &txn);
	assert_found(place, "the records 4 to 4 are missing");
}

/* The end of the log cut off, with its nodes: only what was signed tells. */
static void a_cut_log_is_found_by_its_checkpoints(void **state)
{
	struct core_place *place = *state;
	uint8_t key[DB_KEY_MAX];
	struct db_cursor cursor;
	struct db_txn txn;
	struct db *db;
	uint64_t last;

	fill(place);
	last = place_last(place);
	place_close(place);
	db = open_db(place, &txn);
	for (uint64_t at = 4; at <= last; at++)
		assert_int_equal(db_del(&txn, T_LOG, key, db_key(key, "q", at)), OK);
	DB_FOREACH(&cursor, &txn, T_TREE, NULL, 0)
		assert_int_equal(db_cursor_del(&cursor), OK);
	close_db(db, &txn);
	assert_found(place, "speaks of");
}

static void another_key_is_not_the_logs(void **state)
{
	struct core_place *place = *state;

	fill(place);
	place_close(place);
	place->signing[3] ^= 1;
	assert_found(place, "is not signed by the key of this log");
}

static void without_its_keys_the_log_is_still_verified(void **state)
{
	struct core_place *place = *state;
	uint8_t public_key[KEY_SIZE], key[DB_KEY_MAX];
	struct verify_options options = options_of(place, public_key);
	struct db_value at = { key, db_key(key, "q", UINT64_C(3)) };
	struct told told = { 0 };
	struct verify_result result;
	char nowhere[100];

	fill(place);
	place_close(place);
	(void)snprintf(nowhere, sizeof nowhere, "%s/nowhere", place->root); /* root is shorter */
	options.core.keys_dir = nowhere;
	assert_int_equal(core_verify(&options, tell, &told, &result, &place->err), OK);
	assert_int_equal(result.faults, 0);
	assert_false(result.opened);
	assert_int_equal(result.checkpoints, 2);
	options.core.master_key = NULL;
	assert_true(flip(place, T_LOG, at, 60));
	assert_int_equal(core_verify(&options, tell, &told, &result, &place->err), OK);
	assert_int_equal(result.faults, 1);
	assert_non_null(strstr(told.lines, "record 3: does not match its hash"));
}

static void a_store_in_use_is_left_alone(void **state)
{
	struct core_place *place = *state;
	uint8_t public_key[KEY_SIZE];
	struct verify_options options = options_of(place, public_key);
	struct verify_result result;
	struct told told = { 0 };

	fill(place);
	assert_int_equal(core_verify(&options, tell, &told, &result, &place->err), ERR_BUSY);
	place_close(place);
	options.core.dir = "/nonexistent/store";
	assert_int_equal(core_verify(&options, tell, &told, &result, &place->err), ERR_NOTFOUND);
	assert_int_equal(told.n, 0);
}

/* Whole pages of the file overwritten: whatever LMDB makes of it, it is told, and we live on. */
/* What a damaged page may do to LMDB, done by a limit that ends the process which writes its scratch space. */
static void a_signal_in_the_reading_process_is_told(void **state)
{
	struct core_place *place = *state;
	struct rlimit before, none = { 0 };

	fill(place);
	place_close(place);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	none.rlim_max = before.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
	assert_found(place, "store structure damaged: the process that read it was ended by signal 25");
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_whole(place);
	place_open(place);
}

static void broken_pages_are_told(void **state)
{
	struct core_place *place = *state;
	char path[120];
	uint8_t *bytes;
	struct buf file;
	uint64_t last;
	FILE *out;

	fill(place);
	last = place_last(place);
	place_close(place);
	(void)snprintf(path, sizeof path, "%s/data.mdb", place->dir); /* dir is shorter */
	buf_init(&file);
	assert_int_equal(buf_read_file(&file, path, (size_t)64 << 20), OK);
	bytes = arena_dup(&place->arena, file.bytes, file.n);
	for (size_t page = 2; page * 4096 < file.n; page++) {
		struct verify_result result;
		struct told told;

		memset(bytes + page * 4096 + 10, 0xff, 4086);
		out = fopen(path, "r+");
		assert_non_null(out);
		assert_int_equal(fwrite(bytes, 1, file.n, out), file.n);
		assert_int_equal(fclose(out), 0);
		result = verify(place, &told);
		if (!result.faults) /* then it is one that nothing stands in */
			assert_int_equal(result.records, last);
		memcpy(bytes + page * 4096, file.bytes + page * 4096, 4096);
	}
	out = fopen(path, "r+");
	assert_non_null(out);
	assert_int_equal(fwrite(bytes, 1, file.n, out), file.n);
	assert_int_equal(fclose(out), 0);
	buf_release(&file);
	assert_whole(place);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_whole_store_is_whole, core_place_make, core_place_remove),
		cmocka_unit_test_setup_teardown(an_erased_case_is_no_fault, core_place_make, core_place_remove),
		cmocka_unit_test_setup_teardown(a_lost_key_is_one, core_place_make, core_place_remove),
		cmocka_unit_test_setup_teardown(a_changed_record_is_named, core_place_make, core_place_remove),
		cmocka_unit_test_setup_teardown(a_changed_node_is_named, core_place_make, core_place_remove),
		cmocka_unit_test_setup_teardown(a_changed_checkpoint_is_named, core_place_make, core_place_remove),
		cmocka_unit_test_setup_teardown(a_changed_projection_is_found, core_place_make, core_place_remove),
		cmocka_unit_test_setup_teardown(a_changed_key_is_found, core_place_make, core_place_remove),
		cmocka_unit_test_setup_teardown(a_missing_record_is_found, core_place_make, core_place_remove),
		cmocka_unit_test_setup_teardown(a_cut_log_is_found_by_its_checkpoints, core_place_make, core_place_remove),
		cmocka_unit_test_setup_teardown(another_key_is_not_the_logs, core_place_make, core_place_remove),
		cmocka_unit_test_setup_teardown(without_its_keys_the_log_is_still_verified, core_place_make, core_place_remove),
		cmocka_unit_test_setup_teardown(a_store_in_use_is_left_alone, core_place_make, core_place_remove),
		cmocka_unit_test_setup_teardown(a_signal_in_the_reading_process_is_told, core_place_make, core_place_remove),
		cmocka_unit_test_setup_teardown(broken_pages_are_told, core_place_make, core_place_remove),
	};

	if (crypt_init())
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
