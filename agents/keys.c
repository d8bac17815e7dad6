/* The keys of an agent's cases. They live apart from the entries, so that destroying one is rewriting a small environment. */
#include "agents/agent.h"

#include <stdio.h>
#include <string.h>

enum { TABLE_KEYS };     /* s(subject) w(generation) → sealed key */
static const char *const tables[] = {"keys", NULL};
#define KEYS_SIZE_MAX ((size_t)4 << 30)
#define SEALED_SIZE (KEY_SIZE + SEAL_OVERHEAD)

int case_keys_open(struct case_keys *keys, const char *store_dir, struct err *err)
{
	*keys = (struct case_keys){0};
	char key_path[4096], dir[4096];
	int n = snprintf(key_path, sizeof key_path, "%s/store.key", store_dir);
	int m = snprintf(dir, sizeof dir, "%s/keys", store_dir);
	if (n < 0 || (size_t)n >= sizeof key_path || m < 0 || (size_t)m >= sizeof dir)
		return err_set(err, ERR_TOOBIG, "%s: the path is too long", store_dir);
	int r = key_read_or_make_raw(key_path, keys->own, err);
	struct db_options options = {.size_max = KEYS_SIZE_MAX, .tables = tables};
	if (r == OK)
		r = db_open(dir, &options, &keys->db, err);
	if (r != OK)
		case_keys_close(keys);
	return r;
}

void case_keys_close(struct case_keys *keys)
{
	db_abort(&keys->txn);
	db_close(keys->db);
	crypt_wipe(keys->own, sizeof keys->own);
	*keys = (struct case_keys){0};
}

/* A transaction to read in: the one of this turn if it has begun, since it holds what is not committed yet. */
static struct db_txn *reading(struct case_keys *keys, struct db_txn *own)
{
	if (keys->txn.txn != NULL)
		return &keys->txn;
	(void)db_begin_read(keys->db, own); /* an error is remembered in the transaction */
	return own;
}

static void read_end(struct case_keys *keys, struct db_txn *txn)
{
	if (txn != &keys->txn)
		db_abort(txn);
}

static int open_key(const struct case_keys *keys, const uint8_t *key, size_t n, struct db_value sealed, uint8_t ret_key[KEY_SIZE])
{
	if (sealed.n != SEALED_SIZE || crypt_open(keys->own, sealed.bytes, sealed.n, key, n, ret_key) != OK)
		return ERR_CORRUPT;
	return OK;
}

int case_keys_get(struct case_keys *keys, const char *subject, uint32_t generation, uint8_t ret_key[KEY_SIZE])
{
	uint8_t key[DB_KEY_MAX];
	size_t n = db_key(key, "sw", subject, generation);
	if (n == 0)
		return ERR_INVALID;
	struct db_txn own = {0}, *txn = reading(keys, &own);
	struct db_value sealed;
	int r = db_get(txn, TABLE_KEYS, key, n, &sealed);
	if (r == OK)
		r = open_key(keys, key, n, sealed, ret_key);
	read_end(keys, txn);
	return r == ERR_NOTFOUND ? ERR_ERASED : r;
}

/* The newest generation of a case and its key; ERR_NOTFOUND when it has none. */
static int newest(struct case_keys *keys, const char *subject, uint32_t *ret_generation, uint8_t ret_key[KEY_SIZE])
{
	uint8_t prefix[DB_KEY_MAX];
	size_t n = db_key(prefix, "s", subject);
	if (n == 0)
		return ERR_INVALID;
	struct db_txn own = {0}, *txn = reading(keys, &own);
	struct db_cursor cursor;
	int r = ERR_NOTFOUND;
	DB_FOREACH(&cursor, txn, TABLE_KEYS, prefix, n) {
		const uint8_t *key = cursor.key.bytes;
		if (cursor.key.n != n + 4) {
			r = ERR_CORRUPT;
			continue;
		}
		*ret_generation = (uint32_t)key[n] << 24 | (uint32_t)key[n + 1] << 16 | (uint32_t)key[n + 2] << 8 | key[n + 3];
		r = open_key(keys, key, cursor.key.n, cursor.value, ret_key);
	}
	if (txn->error != OK)
		r = txn->error;
	read_end(keys, txn);
	return r;
}

static int make(struct case_keys *keys, const char *subject, uint32_t generation, uint8_t ret_key[KEY_SIZE])
{
	uint8_t key[DB_KEY_MAX], sealed[SEALED_SIZE];
	size_t n = db_key(key, "sw", subject, generation);
	if (keys->txn.txn == NULL) {
		int r = db_begin(keys->db, &keys->txn);
		if (r != OK)
			return r;
	}
	crypt_random(ret_key, KEY_SIZE);
	crypt_seal(keys->own, ret_key, KEY_SIZE, key, n, sealed);
	return db_put(&keys->txn, TABLE_KEYS, key, n, sealed, sizeof sealed);
}

int case_keys_current(struct case_keys *keys, const char *subject, uint32_t *ret_generation, uint8_t ret_key[KEY_SIZE])
{
	int r = newest(keys, subject, ret_generation, ret_key);
	if (r != ERR_NOTFOUND)
		return r;
	*ret_generation = 1;
	return make(keys, subject, 1, ret_key);
}

int case_keys_next(struct case_keys *keys, const char *subject, uint32_t *ret_generation, uint8_t ret_key[KEY_SIZE])
{
	uint32_t last = 0;
	int r = newest(keys, subject, &last, ret_key);
	if (r != OK && r != ERR_NOTFOUND)
		return r;
	*ret_generation = last + 1;
	return make(keys, subject, last + 1, ret_key);
}

int case_keys_commit(struct case_keys *keys)
{
	return keys->txn.txn != NULL ? db_commit(&keys->txn) : OK;
}

void case_keys_abort(struct case_keys *keys)
{
	db_abort(&keys->txn);
}

int case_keys_destroy(struct case_keys *keys, const char *subject, uint32_t generation)
{
	uint8_t prefix[DB_KEY_MAX], last[DB_KEY_MAX];
	size_t n = db_key(prefix, "s", subject), last_n = db_key(last, "sw", subject, generation);
	if (n == 0 || last_n == 0)
		return ERR_INVALID;
	int r = case_keys_commit(keys);
	if (r != OK)
		return r;
	struct db_txn txn = {0};
	r = db_begin(keys->db, &txn);
	if (r != OK)
		return r;
	txn.reserve = true;
	struct db_cursor cursor;
	DB_FOREACH(&cursor, &txn, TABLE_KEYS, prefix, n)
		if (cursor.key.n == last_n && memcmp(cursor.key.bytes, last, last_n) <= 0)
			(void)db_cursor_del(&cursor); /* remembered by the transaction */
	return db_commit(&txn);
}

int case_keys_rewrite(struct case_keys *keys, struct err *err)
{
	int r = case_keys_commit(keys);
	if (r != OK)
		return err_set(err, r, "the keys of the store: %s", err_text(r));
	return db_rewrite(keys->db, err);
}
