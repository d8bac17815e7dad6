/* Proves that walks over the pairs of a table see exactly what is there, forwards and backwards, whatever is deleted under them: against a plain model. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/db_place.h"

enum { LOG };
static const char *const tables[] = { "log", NULL };
static const struct db_options plain = { .size_max = (size_t)64 << 20, .tables = tables };

static struct db *open_plain(struct db_place *place)
{
	struct db *db;

	if (db_open(place->dir, &plain, &db, &place->err) != OK)
		fail_msg("%s", place->err.text);
	return db;
}

static void put_text(struct db_txn *txn, int table, const char *key, const char *value)
{
	assert_int_equal(db_put(txn, table, key, strlen(key), value, strlen(value)), OK);
}

#define MODEL_KEYS 600
#define MODEL_ROUNDS 60

struct model { bool there[MODEL_KEYS]; uint8_t value_n[MODEL_KEYS]; uint32_t seed; };

static uint32_t draw(struct model *model, uint32_t below)
{
	model->seed = model->seed * 1664525 + 1013904223;
	return (model->seed >> 8) % below;
}

/* Three groups of keys with a common beginning, the last of them all 0xff, where no key can follow. */
static size_t model_key(uint32_t i, uint8_t key[DB_KEY_MAX])
{
	return db_key(key, "bw", i % 3 == 2 ? 0xff : (int)(i % 3), i);
}

static void change_at_random(struct model *model, struct db_txn *txn)
{
	static const uint8_t filler[255];
	uint8_t key[DB_KEY_MAX];

	for (int i = 0; i < 40; i++) {
		uint32_t k = draw(model, MODEL_KEYS);
		size_t n = model_key(k, key);

		if (draw(model, 5) == 0) {
			assert_int_equal(db_del(txn, LOG, key, n), model->there[k] ? OK : ERR_NOTFOUND);
			model->there[k] = false;
		} else {
			model->value_n[k] = (uint8_t)draw(model, 256);
			model->there[k] = true;
			assert_int_equal(db_put(txn, LOG, key, n, filler, model->value_n[k]), OK);
		}
	}
}

/* Walks group g forwards, deleting every `del`-th pair (0: none), and compares. */
static void walk(struct model *model, struct db_txn *txn, uint32_t g, uint32_t del)
{
	uint8_t prefix = g == 2 ? 0xff : (uint8_t)g, key[DB_KEY_MAX];
	struct db_cursor cursor;
	uint32_t at = g, seen = 0;

	DB_FOREACH(&cursor, txn, LOG, &prefix, 1) {
		while (at < MODEL_KEYS && !model->there[at])
			at += 3;
		assert_true(at < MODEL_KEYS);
		assert_int_equal(cursor.key.n, model_key(at, key));
		assert_memory_equal(cursor.key.bytes, key, cursor.key.n);
		assert_int_equal(cursor.value.n, model->value_n[at]);
		if (del > 0 && seen++ % del == 0) {
			assert_int_equal(db_cursor_del(&cursor), OK);
			model->there[at] = false;
		}
		at += 3;
	}
	while (at < MODEL_KEYS && !model->there[at])
		at += 3;
	assert_true(at >= MODEL_KEYS);
	assert_int_equal(txn->error, OK);
}

static void walk_back(struct model *model, struct db_txn *txn, uint32_t g, uint32_t del)
{
	uint8_t prefix = g == 2 ? 0xff : (uint8_t)g, key[DB_KEY_MAX];
	int64_t at = MODEL_KEYS - 3 + g;
	struct db_cursor cursor;
	uint32_t seen = 0;

	assert_int_equal(db_cursor_open(txn, LOG, &cursor), OK);
	for (bool more = db_seek_last(&cursor, &prefix, 1); more; more = db_prev(&cursor), at -= 3) {
		while (at >= 0 && !model->there[at])
			at -= 3;
		assert_true(at >= 0);
		assert_int_equal(cursor.key.n, model_key((uint32_t)at, key));
		assert_memory_equal(cursor.key.bytes, key, cursor.key.n);
		if (del > 0 && seen++ % del == 0) {
			assert_int_equal(db_cursor_del(&cursor), OK);
			model->there[at] = false;
		}
	}
	db_cursor_close(&cursor);
	while (at >= 0 && !model->there[at])
		at -= 3;
	assert_true(at < 0);
	assert_int_equal(txn->error, OK);
}

static void walks_see_exactly_what_is_there(void **state)
{
	struct db_place *place = *state;
	struct db *db = open_plain(place);
	struct model model = { .seed = 20270225 };
	struct db_txn txn;

	for (int round = 0; round < MODEL_ROUNDS; round++) {
		assert_int_equal(db_begin(db, &txn), OK);
		change_at_random(&model, &txn);
		for (uint32_t g = 0; g < 3; g++) {
			walk(&model, &txn, g, 0);
			walk_back(&model, &txn, g, 0);
			walk(&model, &txn, g, round % 7 == 6 ? 1 : draw(&model, 30)); /* 1: empties the group */
			walk(&model, &txn, g, 0);
			walk_back(&model, &txn, g, round % 11 == 10 ? 1 : draw(&model, 30));
			walk_back(&model, &txn, g, 0);
		}
		assert_int_equal(db_commit(&txn), OK);
		assert_int_equal(db_begin_read(db, &txn), OK);
		for (uint32_t g = 0; g < 3; g++) {
			walk(&model, &txn, g, 0);
			walk_back(&model, &txn, g, 0);
		}
		db_abort(&txn);
	}
	db_close(db);
}

static void a_seek_goes_to_the_first_key_not_before(void **state)
{
	struct db_place *place = *state;
	struct db *db = open_plain(place);
	struct db_cursor cursor;
	struct db_txn txn;

	assert_int_equal(db_begin(db, &txn), OK);
	assert_int_equal(db_cursor_open(&txn, LOG, &cursor), OK);
	assert_false(db_seek(&cursor, NULL, 0, 0));
	assert_false(db_seek_last(&cursor, NULL, 0));
	assert_false(db_next(&cursor));
	assert_int_equal(db_cursor_del(&cursor), ERR_NOTFOUND);
	db_cursor_close(&cursor);
	put_text(&txn, LOG, "a1", "");
	put_text(&txn, LOG, "a3", "");
	put_text(&txn, LOG, "b", "");
	assert_int_equal(db_cursor_open(&txn, LOG, &cursor), OK);
	assert_true(db_seek(&cursor, "a2", 2, 1));
	assert_memory_equal(cursor.key.bytes, "a3", 2);
	assert_false(db_next(&cursor)); /* b has another prefix */
	assert_false(db_next(&cursor));
	assert_true(db_seek(&cursor, "a2", 2, 0));
	assert_true(db_next(&cursor));
	assert_memory_equal(cursor.key.bytes, "b", 1);
	assert_true(db_prev(&cursor));
	assert_true(db_prev(&cursor));
	assert_memory_equal(cursor.key.bytes, "a1", 2);
	assert_false(db_prev(&cursor));
	assert_false(db_seek(&cursor, "c", 1, 0));
	assert_true(db_seek(&cursor, NULL, 0, 0));
	assert_memory_equal(cursor.key.bytes, "a1", 2);
	assert_true(db_seek_last(&cursor, NULL, 0));
	assert_memory_equal(cursor.key.bytes, "b", 1);
	assert_true(db_seek_last(&cursor, "a", 1));
	assert_memory_equal(cursor.key.bytes, "a3", 2);
	assert_false(db_seek_last(&cursor, "a2", 2));
	assert_int_equal(txn.error, OK);
	assert_int_equal(db_commit(&txn), OK);
	db_cursor_close(&cursor); /* harmless after its transaction */
	db_close(db);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(walks_see_exactly_what_is_there, db_place_make, db_place_remove),
		cmocka_unit_test_setup_teardown(a_seek_goes_to_the_first_key_not_before, db_place_make, db_place_remove),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
