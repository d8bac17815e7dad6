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

#include "tests/unit/db_place.h"

enum { LOG, BEHIND };
#define KEYS 400
#define ROUNDS 1500

static const char *const tables[] = { "log", "behind", NULL };
static const struct db_options options = { .size_max = (size_t)64 << 20, .tables = tables, .behind = 1u << BEHIND, .volatile_store = true };

/* value: 0 none, else what its first byte says and how long it is. */
struct pairs { uint16_t value[KEYS]; };
struct model { struct db_place *place; struct pairs now, kept, written; bool settled; uint32_t seed; struct db_txn txn; };

static uint32_t draw(struct model *m, uint32_t below)
{
	m->seed = m->seed * 1664525 + 1013904223;
	return (m->seed >> 8) % below;
}

static size_t key_of(uint32_t i, uint8_t key[DB_KEY_MAX])
{
	static const char tail[] = "a longer key now and then";

	return db_key(key, "bwm", (int)(i % 3), i, tail, (size_t)i % sizeof tail);
}

static void assert_pair(const struct pairs *pairs, uint32_t i, const struct db_value *value)
{
	const uint8_t *bytes = value->bytes;

	assert_int_equal(value->n, pairs->value[i] % 256);
	for (size_t k = 0; k < value->n; k++)
		assert_int_equal(bytes[k], pairs->value[i] % 251);
}

static void put_one(struct model *m, uint32_t i)
{
	uint8_t key[DB_KEY_MAX], value[256];
	size_t n = key_of(i, key);
	bool is_new = m->now.value[i] == 0 && m->kept.value[i] == 0 && m->written.value[i] == 0; /* so neither here nor in the file */

	m->now.value[i] = (uint16_t)(1 + draw(m, 65535));
	memset(value, m->now.value[i] % 251, sizeof value);
	assert_int_equal((is_new ? db_put_new : db_put)(&m->txn, BEHIND, key, n, value, m->now.value[i] % 256), OK);
}

static void del_one(struct model *m, uint32_t i)
{
	uint8_t key[DB_KEY_MAX];
	size_t n = key_of(i, key);

	assert_int_equal(db_del(&m->txn, BEHIND, key, n), m->now.value[i] ? OK : ERR_NOTFOUND);
	m->now.value[i] = 0;
}

/* Group g, from a key on; what is met may be deleted, and others may come and go behind and before it. */
static void walk(struct model *m, struct db_txn *txn, bool change)
{
	uint32_t g = draw(m, 3), at = draw(m, KEYS / 3) * 3 + g;
	uint8_t key[DB_KEY_MAX], expected[DB_KEY_MAX];
	struct db_cursor cursor;

	assert_int_equal(db_cursor_open(txn, BEHIND, &cursor), OK);
	for (bool more = db_seek(&cursor, key, key_of(at, key), 1); more; more = db_next(&cursor), at += 3) {
		while (at < KEYS && !m->now.value[at])
			at += 3;
		assert_true(at < KEYS);
		assert_int_equal(cursor.key.n, key_of(at, expected));
		assert_memory_equal(cursor.key.bytes, expected, cursor.key.n);
		assert_pair(&m->now, at, &cursor.value);
		if (change && draw(m, 4) == 0) {
			assert_int_equal(db_cursor_del(&cursor), OK);
			m->now.value[at] = 0;
		}
		if (change && draw(m, 8) == 0)
			put_one(m, draw(m, KEYS));
		if (change && draw(m, 8) == 0) {
			uint32_t other = draw(m, KEYS);

			if (other != at)
				del_one(m, other);
		}
	}
	db_cursor_close(&cursor);
	while (at < KEYS && !m->now.value[at])
		at += 3;
	assert_true(at >= KEYS);
	assert_int_equal(txn->error, OK);
}

static void assert_all(struct model *m, struct db_txn *txn)
{
	uint8_t key[DB_KEY_MAX];
	uint64_t n = 0, expected = 0;
	struct db_value value;

	for (uint32_t i = 0; i < KEYS; i++) {
		int error = db_get(txn, BEHIND, key, key_of(i, key), &value);

		assert_int_equal(error, m->now.value[i] ? OK : ERR_NOTFOUND);
		if (!error)
			assert_pair(&m->now, i, &value);
		expected += m->now.value[i] != 0;
	}
	assert_int_equal(db_count(txn, BEHIND, &n), OK);
	assert_int_equal(n, expected);
}

static void open_again(struct model *m)
{
	db_abandon(m->place->db);
	m->place->db = NULL;
	if (db_open(m->place->dir, &options, &m->place->db, &m->place->err) != OK)
		fail_msg("%s", m->place->err.text);
	m->now = m->kept = m->written;
}

static void end_turn(struct model *m)
{
	uint8_t key[DB_KEY_MAX];

	switch (draw(m, 6)) {
	case 0:
		db_abort(&m->txn);
		m->now = m->kept;
		return;
	case 1:
		assert_int_equal(db_settle(&m->txn), OK);
		if (draw(m, 2)) { /* and then it fails after all */
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
		for (uint32_t i = draw(&m, 30); i > 0; i--)
			(draw(&m, 3) ? put_one : del_one)(&m, draw(&m, KEYS));
		walk(&m, &m.txn, draw(&m, 2));
		assert_all(&m, &m.txn);
		end_turn(&m);
		assert_int_equal(db_begin_read(m.place->db, &read), OK);
		assert_all(&m, &read);
		walk(&m, &read, false);
		db_abort(&read);
		if (draw(&m, 40) == 0)
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
		put_one(&m, 1);
		assert_all(&m, &m.txn);
		if (kept)
			assert_int_equal(db_commit(&m.txn), OK);
		else
			db_abort(&m.txn);
		m.now.value[1] = kept ? m.now.value[1] : 0;
		m.kept = m.now;
		assert_int_equal(db_begin(m.place->db, &write), OK);
		assert_all(&m, &write);
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
	put_one(&m, 7);
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
	for (uint32_t i = 0; i < KEYS; i++)
		put_one(&m, i);
	assert_int_equal(db_commit(&m.txn), OK);
	m.kept = m.now;
	once = db_behind(m.place->db);
	for (int i = 0; i < 10000; i++) { /* what is given up leaves nothing behind */
		assert_int_equal(db_begin(m.place->db, &m.txn), OK);
		put_one(&m, draw(&m, KEYS));
		db_abort(&m.txn);
		m.now = m.kept;
	}
	assert_true(db_behind(m.place->db) <= once + ((size_t)512 << 10));
	assert_int_equal(db_begin(m.place->db, &m.txn), OK);
	assert_int_equal(db_settle(&m.txn), OK);
	assert_int_equal(db_commit(&m.txn), OK);
	assert_true(db_behind(m.place->db) <= (size_t)512 << 10);
	assert_int_equal(db_begin_read(m.place->db, &m.txn), OK);
	assert_all(&m, &m.txn);
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
