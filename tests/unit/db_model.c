#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/db_model.h"

uint32_t model_draw(struct model *m, uint32_t below)
{
	m->seed = m->seed * 1664525 + 1013904223;
	return (m->seed >> 8) % below;
}

static size_t key_of(uint32_t i, uint8_t key[DB_KEY_MAX])
{
	static const char tail[] = "a longer key now and then";

	return db_key(key, "bwm", (int)(i % 3), i, tail, (size_t)i % sizeof tail);
}

static void assert_pair(const struct model_pairs *pairs, uint32_t i, const struct db_value *value)
{
	const uint8_t *bytes = value->bytes;

	assert_int_equal(value->n, pairs->value[i] % 256);
	for (size_t k = 0; k < value->n; k++)
		assert_int_equal(bytes[k], pairs->value[i] % 251);
}

void model_put(struct model *m, uint32_t i)
{
	uint8_t key[DB_KEY_MAX], value[256];
	size_t n = key_of(i, key);
	bool is_new = m->now.value[i] == 0 && m->kept.value[i] == 0 && m->written.value[i] == 0; /* so neither here nor in the file */

	m->now.value[i] = (uint16_t)(1 + model_draw(m, 65535));
	memset(value, m->now.value[i] % 251, sizeof value);
	assert_int_equal((is_new ? db_put_new : db_put)(&m->txn, m->table, key, n, value, m->now.value[i] % 256), OK);
}

void model_del(struct model *m, uint32_t i)
{
	uint8_t key[DB_KEY_MAX];
	size_t n = key_of(i, key);

	assert_int_equal(db_del(&m->txn, m->table, key, n), m->now.value[i] ? OK : ERR_NOTFOUND);
	m->now.value[i] = 0;
}

void model_walk(struct model *m, struct db_txn *txn, bool change)
{
	uint32_t g = model_draw(m, 3), at = model_draw(m, MODEL_KEYS / 3) * 3 + g;
	uint8_t key[DB_KEY_MAX], expected[DB_KEY_MAX];
	struct db_cursor cursor;

	assert_int_equal(db_cursor_open(txn, m->table, &cursor), OK);
	for (bool more = db_seek(&cursor, key, key_of(at, key), 1); more; more = db_next(&cursor), at += 3) {
		while (at < MODEL_KEYS && !m->now.value[at])
			at += 3;
		assert_true(at < MODEL_KEYS);
		assert_int_equal(cursor.key.n, key_of(at, expected));
		assert_memory_equal(cursor.key.bytes, expected, cursor.key.n);
		assert_pair(&m->now, at, &cursor.value);
		if (change && model_draw(m, 4) == 0) {
			assert_int_equal(db_cursor_del(&cursor), OK);
			m->now.value[at] = 0;
		}
		if (change && model_draw(m, 8) == 0)
			model_put(m, model_draw(m, MODEL_KEYS));
		if (change && model_draw(m, 8) == 0) {
			uint32_t other = model_draw(m, MODEL_KEYS);

			if (other != at)
				model_del(m, other);
		}
	}
	db_cursor_close(&cursor);
	while (at < MODEL_KEYS && !m->now.value[at])
		at += 3;
	assert_true(at >= MODEL_KEYS);
	assert_int_equal(txn->error, OK);
}

void model_assert(struct model *m, struct db_txn *txn)
{
	uint8_t key[DB_KEY_MAX];
	uint64_t n = 0, expected = 0;
	struct db_value value;

	for (uint32_t i = 0; i < MODEL_KEYS; i++) {
		int error = db_get(txn, m->table, key, key_of(i, key), &value);

		assert_int_equal(error, m->now.value[i] ? OK : ERR_NOTFOUND);
		if (!error)
			assert_pair(&m->now, i, &value);
		expected += m->now.value[i] != 0;
	}
	assert_int_equal(db_count(txn, m->table, &n), OK);
	assert_int_equal(n, expected);
}

void model_open(struct model *m, const struct db_options *options)
{
	db_abandon(m->place->db);
	m->place->db = NULL;
	if (db_open(m->place->dir, options, &m->place->db, &m->place->err) != OK)
		fail_msg("%s", m->place->err.text);
	m->now = m->kept = m->written;
}
