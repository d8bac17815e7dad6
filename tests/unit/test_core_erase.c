/* Proves that an erasure takes two people, that afterwards neither key nor content is anywhere on disk while headers, hashes and proofs still hold, that every step of it survives a crash, that a rebuild
 * gives the same, that those who had been given something are told, and that nothing of other cases changes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "broker/core_internal.h"
#include "lib/pb.h"
#include "tests/unit/core_place.h"

#define NOTE "a-note-that-must-vanish"
#define ORDER "request 2027/14"
#define ACCEPTED REENTRY__OUTCOME__VALUE__ACCEPTED
#define REFUSED REENTRY__OUTCOME__VALUE__REFUSED

typedef int step_fn(struct core *core, const char *subject, const char *who, const char *purpose, struct err *err);

static int step(struct core_place *place, step_fn *fn, const char *subject, const char *who)
{
	int error;

	place_begin(place);
	error = fn(place->core, subject, who, ORDER, &place->err);
	if (error)
		core_rollback(place->core);
	else
		place_commit(place);
	return error;
}

static void confirm(struct core_place *place, const char *subject)
{
	assert_int_equal(step(place, core_erase_order, subject, "uid:1000"), OK);
	assert_int_equal(step(place, core_erase_confirm, subject, "uid:1001"), OK);
}

static size_t run(struct core_place *place)
{
	size_t n = 0;

	if (core_erase_run(place->core, place->now, &n, &place->err))
		fail_msg("%s", place->err.text);
	return n;
}

static void assert_rebuilt(struct core_place *place)
{
	const char *difference = NULL;

	if (core_rebuild(place->core, true, &place->arena, &difference, &place->err))
		fail_msg("%s", place->err.text);
	if (difference)
		fail_msg("%s", difference);
}

/* A case with something in every table. */
static void full_case(struct core_place *place, const char *subject)
{
	place_case(place, subject);
	place_accept(place, "pi-a", "need.screened", subject, "{\"need\":\"HOUSING\",\"status\":\"OPEN\",\"note\":\"" NOTE "\"}");
	place_accept(place, "pi-a", "need.screened", subject, "{\"need\":\"ADDICTION\",\"status\":\"OPEN\",\"note\":\"" NOTE "\"}");
	place_accept(place, "gm-a", "handover.offered", subject, arena_printf(&place->arena, "{\"handover\":\"H-%s\",\"to\":\"care-a\",\"need\":\"ADDICTION\"}", subject));
}

static bool is_erased(struct core_place *place, const char *subject)
{
	Reentry__CaseState *c;
	int error = core_case(place->core, subject, &place->arena, &c);

	assert_true(error == OK || error == ERR_ERASED);
	return error == ERR_ERASED;
}

/* Pairs of a table whose key or value has the reference in it. */
static size_t rows_with(struct core_place *place, int table, const char *subject)
{
	struct db_cursor cursor;
	struct db_txn txn;
	size_t n = 0, length = strlen(subject);

	assert_int_equal(db_begin_read(place->core->db, &txn), OK);
	DB_FOREACH(&cursor, &txn, table, NULL, 0)
		n += memmem(cursor.key.bytes, cursor.key.n, subject, length) || (cursor.value.n && memmem(cursor.value.bytes, cursor.value.n, subject, length));
	db_abort(&txn);
	return n;
}

static uint64_t rows(struct core_place *place, int table)
{
	struct db_txn txn;
	uint64_t n = 0;

	assert_int_equal(db_begin_read(place->core->db, &txn), OK);
	assert_int_equal(db_count(&txn, table, &n), OK);
	db_abort(&txn);
	return n;
}

/* --- two people ---------------------------------------------------------------------------------------------------------------- */

static void it_takes_two_people(void **state)
{
	struct core_place *place = *state;
	struct core_erasure erasure;
	uint64_t last;

	full_case(place, "C-1");
	assert_int_equal(step(place, core_erase_confirm, "C-1", "uid:1001"), ERR_NOTFOUND);
	assert_int_equal(step(place, core_erase_order, "C-9", "uid:1000"), ERR_NOTFOUND);
	assert_int_equal(step(place, core_erase_order, "C-1", "uid:1000"), OK);
	assert_int_equal(step(place, core_erase_order, "C-1", "uid:1001"), ERR_EXISTS);
	assert_int_equal(step(place, core_erase_confirm, "C-1", "uid:1000"), ERR_DENIED);
	assert_int_equal(run(place), 0);
	assert_false(is_erased(place, "C-1"));
	assert_int_equal(core_erasure(place->core, "C-1", &place->arena, &erasure), OK);
	assert_true(erasure.ordered && !erasure.confirmed);
	assert_int_equal(step(place, core_erase_withdraw, "C-1", "uid:1000"), OK);
	assert_int_equal(step(place, core_erase_confirm, "C-1", "uid:1001"), ERR_NOTFOUND);
	assert_rebuilt(place);
	confirm(place, "C-1");
	last = place_last(place);
	assert_int_equal(run(place), 1);
	assert_int_equal(place_record(place, last + 1).header->kind, REENTRY__RECORD_KIND__VALUE__ERASE);
	assert_true(is_erased(place, "C-1"));
	assert_int_equal(step(place, core_erase_order, "C-1", "uid:1000"), ERR_EXISTS);
	assert_int_equal(core_erasure(place->core, "C-1", &place->arena, &erasure), OK);
	assert_string_equal(erasure.order, ORDER);
	assert_string_equal(erasure.ordered_by, "uid:1000");
	assert_string_equal(erasure.confirmed_by, "uid:1001");
	assert_int_equal(erasure.executed, last + 1);
	assert_int_equal(run(place), 0);
}

static void a_ground_is_given(void **state)
{
	struct core_place *place = *state;

	full_case(place, "C-1");
	place_begin(place);
	assert_int_equal(core_erase_order(place->core, "C-1", "uid:1000", "", &place->err), ERR_INVALID);
	assert_int_equal(core_erase_order(place->core, "C-1", "uid:1000", "  ", &place->err), ERR_INVALID);
	assert_int_equal(core_erase_order(place->core, "C-1", "uid:1000", NULL, &place->err), ERR_INVALID);
	assert_int_equal(core_erase_order(place->core, "a/b", "uid:1000", ORDER, &place->err), ERR_INVALID);
	core_rollback(place->core);
}

/* --- what is left ---------------------------------------------------------------------------------------------------------------- */

static void the_log_still_proves_itself(void **state)
{
	struct core_place *place = *state;
	struct tree_head before, after;
	struct tree_proof proof;
	struct core_record record;
	struct db_txn txn;
	uint8_t leaf[HASH_SIZE];
	uint64_t n, erased = 0;

	full_case(place, "C-1");
	full_case(place, "C-2");
	n = place_last(place);
	assert_int_equal(core_root(place->core, n, &before), OK);
	confirm(place, "C-1");
	assert_int_equal(run(place), 1);
	assert_int_equal(core_root(place->core, n, &after), OK);
	assert_memory_equal(&before, &after, sizeof before);
	for (uint64_t at = 1; at <= n; at++) {
		int error = core_record(place->core, at, &place->arena, &record);
		bool of_it = record.header->subject && strcmp(record.header->subject, "C-1") == 0;

		assert_int_equal(error, of_it ? ERR_ERASED : OK);
		assert_int_equal(record.header->position, at);
		erased += of_it;
		assert_int_equal(db_begin_read(place->core->db, &txn), OK);
		assert_int_equal(log_leaf(&txn, at, leaf), OK);
		db_abort(&txn);
		assert_int_equal(core_inclusion(place->core, at, n, &proof), OK);
		assert_int_equal(tree_verify_inclusion(leaf, at - 1, n, &proof, before.root), OK);
	}
	assert_true(erased >= 5);
}

static void nothing_derived_is_left(void **state)
{
	static const int tables[] = { T_DUE, T_RELATED };
	struct core_place *place = *state;
	uint64_t before[T_COUNT];
	struct core_receipt receipt;

	full_case(place, "C-2");
	for (int i = 0; i < T_COUNT; i++)
		before[i] = rows(place, i);
	full_case(place, "C-1");
	assert_true(rows_with(place, T_DUE, "C-1") && rows_with(place, T_RELATED, "C-1") && rows_with(place, T_QUEUE, "C-1"));
	confirm(place, "C-1");
	for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
		assert_int_equal(rows_with(place, tables[i], "C-1"), 0);
	assert_int_equal(rows(place, T_IDS), before[T_IDS]);
	assert_string_equal(place_queue(place, "care-a"), "handover.offered erasure.due"); /* the offer is C-2's */
	run(place);
	place_begin(place);
	receipt = place_publish(place, "pi-a", place_event(place, NULL, "custody.started", "C-1", "{\"start\":\"2027-02-01T08:00:00+01:00\"}"));
	assert_int_equal(receipt.result, REFUSED);
	assert_string_equal(receipt.code, "no-such-case");
	place_commit(place);
	assert_false(is_erased(place, "C-2"));
	place_accept(place, "pi-a", "release.date-set", "C-2", "{\"date\":\"2027-03-25\",\"kind\":\"CONFIRMED\"}");
	assert_rebuilt(place);
}

static size_t occurrences(const char *dir, const void *bytes, size_t n)
{
	char path[160];
	struct buf file;
	size_t found = 0;
	const uint8_t *at;

	buf_init(&file);
	(void)snprintf(path, sizeof path, "%s/data.mdb", dir); /* dir is short */
	assert_int_equal(buf_read_file(&file, path, (size_t)256 << 20), OK);
	for (at = file.bytes; (at = memmem(at, (size_t)(file.bytes + file.n - at), bytes, n)); at++)
		found++;
	buf_release(&file);
	return found;
}

static void nothing_can_be_found_on_disk(void **state)
{
	struct core_place *place = *state;
	uint8_t sealed[512], opened[4][KEY_SIZE];
	const uint8_t *key = NULL;
	struct db_value value;
	struct db_txn txn;
	size_t n;

	full_case(place, "C-1");
	full_case(place, "C-2");
	for (int i = 0; i < 40; i++) /* pages are copied, and old ones left behind */
		place_case(place, arena_printf(&place->arena, "D-%d", i));
	for (int i = 0; i < 4; i++) {
		assert_int_equal(keys_get(place->core, "C-1", (Reentry__Class__Value)(REENTRY__CLASS__VALUE__A + i), false, &key), OK);
		memcpy(opened[i], key, KEY_SIZE);
	}
	assert_int_equal(db_begin_read(place->core->keys, &txn), OK);
	assert_int_equal(db_get(&txn, 0, "C-1", 3, &value), OK);
	memcpy(sealed, value.bytes, n = value.n);
	db_abort(&txn);
	assert_true(occurrences(place->keys, sealed, n) >= 1);
	confirm(place, "C-1");
	assert_true(occurrences(place->keys, sealed, n) >= 1); /* until it is executed */
	run(place);
	assert_int_equal(occurrences(place->keys, sealed, n), 0);
	for (size_t at = 0; at + 16 <= n; at += 16) /* nor any piece of it */
		assert_int_equal(occurrences(place->keys, sealed + at, 16), 0);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(occurrences(place->keys, opened[i], KEY_SIZE), 0);
		assert_int_equal(occurrences(place->dir, opened[i], KEY_SIZE), 0);
	}
	assert_int_equal(occurrences(place->dir, NOTE, strlen(NOTE)), 0);
	assert_int_equal(occurrences(place->dir, sealed, 16), 0);
	assert_true(occurrences(place->dir, "C-1", 3) > 0); /* the reference is in the clear: the search works */
	assert_int_equal(keys_get(place->core, "C-2", REENTRY__CLASS__VALUE__A, false, &key), OK);
	place_crash(place);
	assert_int_equal(keys_get(place->core, "C-2", REENTRY__CLASS__VALUE__A, false, &key), OK);
	assert_int_equal(keys_get(place->core, "C-1", REENTRY__CLASS__VALUE__A, false, &key), ERR_ERASED);
	assert_rebuilt(place);
}

/* --- crashes ------------------------------------------------------------------------------------------------------------------------ */

static void every_step_survives_a_crash(void **state)
{
	struct core_place *place = *state;
	const char *const ref[] = { "C-1" };

	full_case(place, "C-1");
	place_begin(place);
	assert_int_equal(core_erase_order(place->core, "C-1", "uid:1000", ORDER, &place->err), OK);
	place_crash(place); /* before the order is on disk */
	assert_int_equal(step(place, core_erase_confirm, "C-1", "uid:1001"), ERR_NOTFOUND);
	assert_int_equal(step(place, core_erase_order, "C-1", "uid:1000"), OK);
	place_crash(place);
	place_begin(place);
	assert_int_equal(core_erase_confirm(place->core, "C-1", "uid:1001", ORDER, &place->err), OK);
	place_crash(place); /* before the confirmation is on disk */
	assert_int_equal(run(place), 0);
	assert_false(is_erased(place, "C-1"));
	assert_rebuilt(place);
	assert_int_equal(step(place, core_erase_confirm, "C-1", "uid:1001"), OK);
	place_crash(place); /* before the keys are destroyed */
	assert_true(is_erased(place, "C-1"));
	assert_true(keys_exist(place->core, "C-1"));
	assert_rebuilt(place);
	assert_int_equal(keys_destroy(place->core, ref, 1, &place->err), OK);
	place_crash(place); /* before that is on record */
	assert_rebuilt(place);
	assert_int_equal(run(place), 1);
	place_crash(place);
	assert_int_equal(run(place), 0);
	assert_true(is_erased(place, "C-1"));
	assert_rebuilt(place);
}

static void keys_deleted_and_not_rewritten_are_rewritten(void **state)
{
	struct core_place *place = *state;
	uint8_t sealed[512];
	struct db_value value;
	struct db_txn txn;
	size_t n;

	full_case(place, "C-1");
	confirm(place, "C-1");
	assert_int_equal(db_begin(place->core->keys, &txn), OK);
	assert_int_equal(db_get(&txn, 0, "C-1", 3, &value), OK);
	memcpy(sealed, value.bytes, n = value.n);
	assert_int_equal(db_del(&txn, 0, "C-1", 3), OK);
	assert_int_equal(db_commit(&txn), OK);
	place_crash(place);
	assert_true(occurrences(place->keys, sealed, n) >= 1); /* LMDB leaves it where it was */
	assert_int_equal(run(place), 1);
	assert_int_equal(occurrences(place->keys, sealed, n), 0);
}

static void a_rolled_back_confirmation_changes_nothing(void **state)
{
	struct core_place *place = *state;

	full_case(place, "C-1");
	assert_int_equal(step(place, core_erase_order, "C-1", "uid:1000"), OK);
	place_begin(place);
	assert_int_equal(core_erase_confirm(place->core, "C-1", "uid:1001", ORDER, &place->err), OK);
	core_rollback(place->core);
	assert_false(is_erased(place, "C-1"));
	assert_int_equal(run(place), 0);
	place_accept(place, "pi-a", "release.date-set", "C-1", "{\"date\":\"2027-03-25\",\"kind\":\"CONFIRMED\"}");
	assert_rebuilt(place);
}

/* What the same turn did before to the case does not come back; neither does what is held in memory of it. */
static void nothing_brings_it_back(void **state)
{
	struct core_place *place = *state;

	full_case(place, "C-1");
	assert_int_equal(step(place, core_erase_order, "C-1", "uid:1000"), OK);
	place_begin(place);
	assert_int_equal(place_publish(place, "pi-a", place_event(place, NULL, "release.date-set", "C-1", "{\"date\":\"2027-03-25\",\"kind\":\"CONFIRMED\"}")).result, ACCEPTED);
	assert_int_equal(core_erase_confirm(place->core, "C-1", "uid:1001", ORDER, &place->err), OK);
	assert_int_equal(place_publish(place, "pi-a", place_event(place, NULL, "release.date-set", "C-1", "{\"date\":\"2027-04-25\",\"kind\":\"CONFIRMED\"}")).result, REFUSED);
	place_commit(place);
	assert_true(is_erased(place, "C-1"));
	run(place);
	assert_int_equal(rows_with(place, T_DUE, "C-1"), 0);
	place_close(place); /* writes what it holds */
	place_open(place);
	assert_true(is_erased(place, "C-1"));
	assert_rebuilt(place);
}

/* A backup of the keys that is older than the erasure: it is applied again. */
static void a_restored_key_is_destroyed_again(void **state)
{
	struct core_place *place = *state;
	uint8_t sealed[512];
	struct db_value value;
	struct db_txn txn;
	size_t n;

	full_case(place, "C-1");
	assert_int_equal(db_begin_read(place->core->keys, &txn), OK);
	assert_int_equal(db_get(&txn, 0, "C-1", 3, &value), OK);
	memcpy(sealed, value.bytes, n = value.n);
	db_abort(&txn);
	confirm(place, "C-1");
	assert_int_equal(run(place), 1);
	assert_int_equal(db_begin(place->core->keys, &txn), OK);
	assert_int_equal(db_put(&txn, 0, "C-1", 3, sealed, n), OK);
	assert_int_equal(db_commit(&txn), OK);
	place_crash(place);
	assert_int_equal(run(place), 1);
	assert_int_equal(occurrences(place->keys, sealed, n), 0);
	assert_int_equal(run(place), 0);
	assert_rebuilt(place);
}

/* --- rebuilding ------------------------------------------------------------------------------------------------------------------------ */

static void a_rebuild_gives_the_same(void **state)
{
	struct core_place *place = *state;
	const char *difference;

	full_case(place, "C-1");
	full_case(place, "C-2");
	place_ack_all(place, "gm-a");
	confirm(place, "C-1");
	assert_rebuilt(place);
	run(place);
	assert_rebuilt(place);
	place_accept(place, "gm-a", "erasure.executed", "C-1", "{\"purged\":3}");
	full_case(place, "C-3");
	assert_rebuilt(place);
	assert_int_equal(core_rebuild(place->core, false, &place->arena, &difference, &place->err), OK);
	assert_true(is_erased(place, "C-1"));
	assert_false(is_erased(place, "C-2"));
	assert_int_equal(run(place), 0);
	assert_rebuilt(place);
}

/* --- those who were told ------------------------------------------------------------------------------------------------------------------ */

static void who_was_given_something_is_told(void **state)
{
	struct core_place *place = *state;
	struct core_delivery *items;
	struct core_receipt receipt;
	struct packed report;
	void *message = NULL;
	size_t n;

	full_case(place, "C-1");
	confirm(place, "C-1");
	run(place);
	assert_string_equal(place_queue(place, "gm-a"), "erasure.due");
	assert_string_equal(place_queue(place, "pi-a"), "erasure.due"); /* it published */
	assert_string_equal(place_queue(place, "care-a"), "erasure.due");
	assert_string_equal(place_queue(place, "gm-b"), "");
	place_crash(place);
	assert_int_equal(core_deliveries(place->core, "gm-a", 0, 10, SIZE_MAX, &place->arena, &items, &n), OK);
	assert_int_equal(n, 1);
	assert_false(items[0].delivery->has_phase);
	assert_null(items[0].delivery->municipality);
	assert_int_equal(pb_unpack_own(&reentry__event__descriptor, items[0].delivery->content.data, items[0].delivery->content.len, &place->arena, &message), OK);
	assert_string_equal(((Reentry__Event *)message)->subject, "C-1");
	assert_int_equal(place_ack_all(place, "gm-a"), 1);
	report = place_event(place, "report-1", "erasure.executed", "C-1", "{\"purged\":3}");
	place_begin(place);
	receipt = place_publish(place, "gm-a", report);
	assert_int_equal(receipt.result, ACCEPTED);
	assert_true(receipt.sequence > 0);
	assert_int_equal(place_publish(place, "gm-a", report).result, REENTRY__OUTCOME__VALUE__DUPLICATE);
	receipt = place_publish(place, "gm-b", place_event(place, NULL, "erasure.executed", "C-1", "{\"purged\":3}"));
	assert_int_equal(receipt.result, REFUSED); /* it was never told of the case */
	assert_string_equal(receipt.code, "no-such-case");
	place_commit(place);
	assert_rebuilt(place);
}

static void names_of_one_person_are_erased_together(void **state)
{
	struct core_place *place = *state;

	full_case(place, "C-1");
	full_case(place, "C-2");
	full_case(place, "C-3");
	place_accept(place, "pi-a", "case.merged", "C-1", "{\"other\":\"C-2\"}");
	place_accept(place, "gm-a", "case.merged", "C-1", "{\"other\":\"C-2\"}");
	confirm(place, "C-2");
	assert_int_equal(run(place), 2);
	assert_true(is_erased(place, "C-1") && is_erased(place, "C-2"));
	assert_false(is_erased(place, "C-3"));
	assert_rebuilt(place);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(it_takes_two_people, core_place_make, core_place_remove),
		cmocka_unit_test_setup_teardown(a_ground_is_given, core_place_make, core_place_remove),
		cmocka_unit_test_setup_teardown(the_log_still_proves_itself, core_place_make, core_place_remove),
		cmocka_unit_test_setup_teardown(nothing_derived_is_left, core_place_make, core_place_remove),
		cmocka_unit_test_setup_teardown(nothing_can_be_found_on_disk, core_place_make, core_place_remove),
		cmocka_unit_test_setup_teardown(every_step_survives_a_crash, core_place_make, core_place_remove),
		cmocka_unit_test_setup_teardown(keys_deleted_and_not_rewritten_are_rewritten, core_place_make, core_place_remove),
		cmocka_unit_test_setup_teardown(a_rolled_back_confirmation_changes_nothing, core_place_make, core_place_remove),
		cmocka_unit_test_setup_teardown(nothing_brings_it_back, core_place_make, core_place_remove),
		cmocka_unit_test_setup_teardown(a_restored_key_is_destroyed_again, core_place_make, core_place_remove),
		cmocka_unit_test_setup_teardown(a_rebuild_gives_the_same, core_place_make, core_place_remove),
		cmocka_unit_test_setup_teardown(who_was_given_something_is_told, core_place_make, core_place_remove),
		cmocka_unit_test_setup_teardown(names_of_one_person_are_erased_together, core_place_make, core_place_remove),
	};

	if (crypt_init())
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
