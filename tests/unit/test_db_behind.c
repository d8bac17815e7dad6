/* Proves that a write-behind table is, to whoever reads it, one table: whatever is put, deleted, walked, kept, given up, written out and lost in a crash, it holds what a plain model does;
 * and that after a crash the file holds what it held when all was written out last. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "tests/unit/db_model.h"

enum { LOG, BEHIND };
#define ROUNDS 1500

static const char *const tables[] = { "log", "behind", NULL };
static const struct db_options options = { .size_max = (size_t)64 << 20, .tables = tables, .behind = 1u << BEHIND, .volatile_store = true };

static void open_again(struct model *m)
{
	m->table = BEHIND;
	model_open(m, &options);
}

static void end_turn(struct model *m)
{
	uint8_t key[DB_KEY_MAX];

	switch (model_draw(m, 6)) {
	case 0:
		db_abort(&m->txn);
		m->now = m->kept;
		return;
	case 1:
		assert_int_equal(db_settle(&m->txn), OK);
		if (model_draw(m, 2)) { /* and then it fails after all */
			assert_int_equal(db_put(&m->txn, BEHIND, "late", 4, "", 0), ERR_INVALID);
			assert_int_equal(db_commit(&m->txn), ERR_INVALID);
			m->now = m->kept;
			return;
		}
		assert_int_equal(db_commit(&m->txn), OK);
		m->kept = m->written = m->now;
		return;
	default:
		assert_int_equal(db_put(&m->txn, LOG, key, db_key(key, "w", m->seed), "", 0), OK);
		assert_int_equal(db_commit(&m->txn), OK);
		m->kept = m->now;
	}
}

static void it_is_one_table(void **state)
{
	struct model m = { .place = *state, .seed = 20270225 };
	struct db_txn read;

	open_again(&m);
	for (int round = 0; round < ROUNDS; round++) {
		assert_int_equal(db_begin(m.place->db, &m.txn), OK);
		for (uint32_t i = model_draw(&m, 30); i > 0; i--)
			(model_draw(&m, 3) ? model_put : model_del)(&m, model_draw(&m, MODEL_KEYS));
		model_walk(&m, &m.txn, model_draw(&m, 2));
		model_assert(&m, &m.txn);
		end_turn(&m);
		assert_int_equal(db_begin_read(m.place->db, &read), OK);
		model_assert(&m, &read);
		model_walk(&m, &read, false);
		db_abort(&read);
		if (model_draw(&m, 40) == 0)
			open_again(&m);
	}
}

/* What a start does: it makes again, in a read transaction, what was in memory. */
static void a_read_transaction_may_change_it(void **state)
{
	struct model m = { .place = *state, .seed = 1 };
	struct db_txn write;

	open_again(&m);
	for (int kept = 0; kept < 2; kept++) {
		assert_int_equal(db_begin_read(m.place->db, &m.txn), OK);
		model_put(&m, 1);
		model_assert(&m, &m.txn);
		if (kept)
			assert_int_equal(db_commit(&m.txn), OK);
		else
			db_abort(&m.txn);
		m.now.value[1] = kept ? m.now.value[1] : 0;
		m.kept = m.now;
		assert_int_equal(db_begin(m.place->db, &write), OK);
		model_assert(&m, &write);
		assert_int_equal(db_begin_read(m.place->db, &m.txn), OK);
		assert_int_equal(db_put(&m.txn, BEHIND, "x", 1, "", 0), ERR_BUSY); /* somebody writes */
		db_abort(&m.txn);
		assert_int_equal(db_commit(&write), OK);
	}
}

/* A table that is made anew from its beginning goes into the file at once, and only when nothing of it is in memory. */
static void appending_goes_into_the_file(void **state)
{
	struct model m = { .place = *state, .seed = 1 };

	open_again(&m);
	assert_int_equal(db_begin(m.place->db, &m.txn), OK);
	model_put(&m, 7);
	assert_int_equal(db_clear(&m.txn, BEHIND), ERR_INVALID);
	db_abort(&m.txn);
	m.now = m.kept;
	assert_int_equal(db_begin(m.place->db, &m.txn), OK);
	assert_int_equal(db_clear(&m.txn, BEHIND), OK);
	assert_int_equal(db_append(&m.txn, BEHIND, "\x09", 1, "v", 1), OK);
	assert_int_equal(db_commit(&m.txn), OK);
	open_again(&m);
	assert_int_equal(db_begin_read(m.place->db, &m.txn), OK);
	assert_int_equal(db_get(&m.txn, BEHIND, "\x09", 1, &(struct db_value){ 0 }), OK);
	db_abort(&m.txn);
}

static void its_memory_is_given_back(void **state)
{
	struct model m = { .place = *state, .seed = 1 };
	size_t once;

	open_again(&m);
	assert_int_equal(db_begin(m.place->db, &m.txn), OK);
	for (uint32_t i = 0; i < MODEL_KEYS; i++)
		model_put(&m, i);
	assert_int_equal(db_commit(&m.txn), OK);
	m.kept = m.now;
	once = db_behind(m.place->db);
	for (int i = 0; i < 10000; i++) { /* what is given up leaves nothing behind */
		assert_int_equal(db_begin(m.place->db, &m.txn), OK);
		model_put(&m, model_draw(&m, MODEL_KEYS));
		db_abort(&m.txn);
		m.now = m.kept;
	}
	assert_true(db_behind(m.place->db) <= once + ((size_t)512 << 10));
	assert_int_equal(db_begin(m.place->db, &m.txn), OK);
	assert_int_equal(db_settle(&m.txn), OK);
	assert_int_equal(db_commit(&m.txn), OK);
	assert_true(db_behind(m.place->db) <= (size_t)512 << 10);
	assert_int_equal(db_begin_read(m.place->db, &m.txn), OK);
	model_assert(&m, &m.txn);
	db_abort(&m.txn);
}

/* Thread CPU time of walks over queue 1, which has two pairs, ms. */
static double walks(struct db *db)
{
	struct timespec begin, end;
	struct db_cursor cursor;
	struct db_txn txn;
	uint8_t key[DB_KEY_MAX];
	size_t seen = 0;

	(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &begin); /* cannot fail; so below */
	for (int i = 0; i < 2000; i++) {
		assert_int_equal(db_begin_read(db, &txn), OK);
		DB_FOREACH(&cursor, &txn, BEHIND, key, db_key(key, "h", 1))
			seen++;
		db_abort(&txn);
	}
	(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &end);
	assert_int_equal(seen, 4000);
	return (double)(end.tv_sec - begin.tv_sec) * 1e3 + (double)(end.tv_nsec - begin.tv_nsec) / 1e6;
}

/* Queue 1 with two pairs, and behind it `others` that were put and deleted. */
static double walks_beside(struct db_place *place, uint64_t others)
{
	struct model m = { .place = place };
	struct db_txn txn;
	uint8_t key[DB_KEY_MAX];

	open_again(&m); /* nothing of what was in memory is left */
	assert_int_equal(db_begin(place->db, &txn), OK);
	for (uint64_t i = 0; i < 2; i++)
		assert_int_equal(db_put_new(&txn, BEHIND, key, db_key(key, "hq", 1, i), "v", 1), OK);
	for (uint64_t i = 0; i < others; i++)
		assert_int_equal(db_put_new(&txn, BEHIND, key, db_key(key, "hq", 2, i), "v", 1), OK);
	for (uint64_t i = 0; i < others; i++)
		assert_int_equal(db_del(&txn, BEHIND, key, db_key(key, "hq", 2, i)), OK);
	assert_int_equal(db_commit(&txn), OK);
	return walks(place->db);
}

/* 20,000 steps at each end of a walk would be a thousand times as much; the machine may be as busy as it likes. */
static void a_walk_ends_where_its_keys_end(void **state)
{
	const double alone = walks_beside(*state, 0), beside = walks_beside(*state, 20000);

	if (beside > 50 * alone)
		fail_msg("a walk beside what was deleted takes %.1f ms, without it %.1f ms", beside, alone);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, db_place_make, db_place_remove)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(it_is_one_table), TEST(a_read_transaction_may_change_it), TEST(appending_goes_into_the_file), TEST(its_memory_is_given_back), TEST(a_walk_ends_where_its_keys_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
