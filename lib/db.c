#include "lib/db.h"

#include <lmdb.h>
#include <stdarg.h>
#include <string.h>

#include "lib/db_env.h"

/* Room beyond the head-room up to which free pages are counted; a transaction that needs more of them when the disk is that full is told it is full. */
#define ROOM_COUNTED ((uint64_t)64 << 20)
#define NODE_OVERHEAD 16            /* of a pair in its page: node header and index */

/* The first error stays; not finding something is none. */
static int remember(struct db_txn *txn, int rc)
{
	int code;

	if (rc == MDB_SUCCESS || rc == MDB_NOTFOUND)
		return rc == MDB_SUCCESS ? OK : ERR_NOTFOUND;
	code = db_code(txn->db, rc);
	if (txn->error == OK)
		txn->error = code;
	if (code == ERR_UNSYNCED)
		txn->db->unsynced = true;
	return txn->error;
}

/* For LMDB, which takes no const but does not write through it. */
static MDB_val val(const void *bytes, size_t n)
{
	return (MDB_val){ n, (void *)(uintptr_t)bytes };
}

static int unusable(const struct db_txn *txn)
{
	return txn->error != OK ? txn->error : txn->txn == NULL ? ERR_CLOSED : OK;
}

/* Charges an ordinary transaction for what it puts. An estimate: pages that it has to copy become free again with the next commit but one. */
static int charge(struct db_txn *txn, size_t key_n, size_t n)
{
	struct db *db = txn->db;
	uint64_t cost = (uint64_t)key_n + n + NODE_OVERHEAD;

	if (!txn->measured) {
		uint64_t bytes = db_free_bytes(db, db->reserve + ROOM_COUNTED);

		txn->room = bytes > db->reserve ? bytes - db->reserve : 0;
		txn->measured = true;
	}
	if (cost > db->page_size / 2) /* pages of its own */
		cost = (cost + db->page_size) / db->page_size * db->page_size;
	if (cost > txn->room)
		return txn->error = ERR_FULL;
	txn->room -= cost;
	return OK;
}

/* --- transactions ---------------------------------------------------------------------------------------------- */

int db_begin(struct db *db, struct db_txn *txn)
{
	MDB_txn *begun;
	int rc;

	*txn = (struct db_txn){ .db = db, .write = true };
	if (db->unsynced)
		return txn->error = ERR_UNSYNCED;
	if (db->writer != NULL)
		return txn->error = ERR_BUSY; /* LMDB would wait for itself for ever */
	rc = mdb_txn_begin(db->env, NULL, 0, &begun);
	if (rc != 0)
		return remember(txn, rc);
	txn->txn = begun;
	db->writer = txn;
	return OK;
}

int db_begin_read(struct db *db, struct db_txn *txn)
{
	MDB_txn *begun;
	int rc;

	*txn = (struct db_txn){ .db = db };
	if (db->env == NULL)
		return txn->error = ERR_CLOSED;
	rc = mdb_txn_begin(db->env, NULL, MDB_RDONLY, &begun);
	if (rc != 0)
		return remember(txn, rc);
	txn->txn = begun;
	(void)__atomic_add_fetch(&db->readers, 1, __ATOMIC_RELAXED);
	return OK;
}

/* The caller's transaction has no LMDB transaction any more. */
static MDB_txn *detach(struct db_txn *txn)
{
	MDB_txn *detached = txn->txn;

	txn->txn = NULL;
	if (detached != NULL && txn->write)
		txn->db->writer = NULL;
	else if (detached != NULL)
		(void)__atomic_sub_fetch(&txn->db->readers, 1, __ATOMIC_RELAXED);
	return detached;
}

void db_abort(struct db_txn *txn)
{
	MDB_txn *detached = detach(txn);

	if (detached != NULL)
		mdb_txn_abort(detached);
}

/* LMDB does not tell where in the commit it failed. Up to the meta page nothing counts; when the meta page itself failed it lets nobody write any more. */
static bool meta_page_failed(struct db *db)
{
	MDB_txn *probe;

	if (mdb_txn_begin(db->env, NULL, 0, &probe) != 0)
		return true;
	mdb_txn_abort(probe);
	return false;
}

int db_commit(struct db_txn *txn)
{
	int error = unusable(txn);
	struct db *db = txn->db;
	int rc;

	if (error != OK || !txn->write) {
		db_abort(txn);
		return error;
	}
	rc = mdb_txn_commit(detach(txn));
	if (rc == 0)
		return OK;
	error = db_code(db, rc);
	if (error != ERR_FULL || meta_page_failed(db))
		error = ERR_UNSYNCED;
	db->unsynced = error == ERR_UNSYNCED;
	return txn->error = error;
}

int db_renew(struct db_txn *txn)
{
	int rc;

	if (unusable(txn) != OK)
		return unusable(txn);
	if (txn->write)
		return txn->error = ERR_INVALID;
	mdb_txn_reset(txn->txn);
	rc = mdb_txn_renew(txn->txn);
	if (rc != 0) {
		(void)remember(txn, rc);
		db_abort(txn);
	}
	return txn->error;
}

/* --- pairs ----------------------------------------------------------------------------------------------------- */

int db_get(struct db_txn *txn, int table, const void *key, size_t key_n, struct db_value *ret_value)
{
	MDB_val name = val(key, key_n), value;
	int error = unusable(txn);
	int rc;

	if (error != OK)
		return error;
	rc = key_n == 0 ? MDB_BAD_VALSIZE : mdb_get(txn->txn, txn->db->tables[table], &name, &value);
	if (rc != 0)
		return remember(txn, rc);
	*ret_value = (struct db_value){ value.mv_data, value.mv_size };
	return OK;
}

static int put(struct db_txn *txn, int table, MDB_val key, MDB_val *value, unsigned flags)
{
	int error = unusable(txn);
	int rc;

	if (error != OK)
		return error;
	if (key.mv_size == 0 || key.mv_size > DB_KEY_MAX)
		return remember(txn, MDB_BAD_VALSIZE);
	if (!txn->reserve && txn->db->reserve > 0 && charge(txn, key.mv_size, value->mv_size) != OK)
		return txn->error;
	rc = mdb_put(txn->txn, txn->db->tables[table], &key, value, flags);
	if (rc == MDB_KEYEXIST && (flags & MDB_APPEND) != 0) /* not behind all others */
		rc = mdb_put(txn->txn, txn->db->tables[table], &key, value, flags & ~(unsigned)MDB_APPEND);
	return remember(txn, rc);
}

int db_put(struct db_txn *txn, int table, const void *key, size_t key_n, const void *value, size_t n)
{
	MDB_val data = val(value, n);

	return put(txn, table, val(key, key_n), &data, 0);
}

int db_append(struct db_txn *txn, int table, const void *key, size_t key_n, const void *value, size_t n)
{
	MDB_val data = val(value, n);

	return put(txn, table, val(key, key_n), &data, MDB_APPEND);
}

int db_put_room(struct db_txn *txn, int table, const void *key, size_t key_n, size_t n, void **ret_room)
{
	MDB_val data = val(NULL, n);
	int error = put(txn, table, val(key, key_n), &data, MDB_RESERVE);

	if (error == OK)
		*ret_room = data.mv_data;
	return error;
}

int db_del(struct db_txn *txn, int table, const void *key, size_t key_n)
{
	MDB_val name = val(key, key_n);
	int error = unusable(txn);

	if (error != OK)
		return error;
	return remember(txn, key_n == 0 ? MDB_BAD_VALSIZE : mdb_del(txn->txn, txn->db->tables[table], &name, NULL));
}

int db_count(struct db_txn *txn, int table, uint64_t *ret_n)
{
	MDB_stat stat;
	int error = unusable(txn);

	if (error == OK)
		error = remember(txn, mdb_stat(txn->txn, txn->db->tables[table], &stat));
	if (error == OK)
		*ret_n = stat.ms_entries;
	return error;
}

int db_clear(struct db_txn *txn, int table)
{
	int error = unusable(txn);

	return error != OK ? error : remember(txn, mdb_drop(txn->txn, txn->db->tables[table], 0));
}

int db_last(struct db_txn *txn, int table, struct db_value *ret_key, struct db_value *ret_value)
{
	struct db_cursor cursor;
	int error = db_cursor_open(txn, table, &cursor);

	if (error != OK)
		return error;
	if (db_seek_last(&cursor, NULL, 0)) {
		*ret_key = cursor.key;
		*ret_value = cursor.value;
	} else {
		error = txn->error != OK ? txn->error : ERR_NOTFOUND;
	}
	db_cursor_close(&cursor);
	return error;
}

/* --- walks ----------------------------------------------------------------------------------------------------- */

int db_cursor_open(struct db_txn *txn, int table, struct db_cursor *cursor)
{
	MDB_cursor *opened;
	int error = unusable(txn);

	cursor->cursor = NULL; /* field by field: the prefix is large, and only prefix_n bytes of it count */
	cursor->txn = txn;
	cursor->table = table;
	cursor->prefix_n = 0;
	cursor->started = false;
	cursor->key = cursor->value = (struct db_value){ 0 };
	if (error != OK)
		return error;
	error = remember(txn, mdb_cursor_open(txn->txn, txn->db->tables[table], &opened));
	if (error == OK)
		cursor->cursor = opened;
	return error;
}

void db_cursor_close(struct db_cursor *cursor)
{
	/* the end of a write transaction has freed its cursors */
	if (cursor->cursor != NULL && (cursor->txn->txn != NULL || !cursor->txn->write))
		mdb_cursor_close(cursor->cursor);
	cursor->cursor = NULL;
	cursor->started = false;
}

/* Moves; false at the end or after an error, which the caller sees as the end and db_commit tells. */
static bool move(struct db_cursor *cursor, MDB_val key, MDB_cursor_op op)
{
	MDB_val value;

	if (cursor->cursor == NULL || unusable(cursor->txn) != OK)
		return false;
	if (remember(cursor->txn, mdb_cursor_get(cursor->cursor, &key, &value, op)) != OK)
		return false;
	cursor->key = (struct db_value){ key.mv_data, key.mv_size };
	cursor->value = (struct db_value){ value.mv_data, value.mv_size };
	return true;
}

static bool move_within(struct db_cursor *cursor, MDB_val key, MDB_cursor_op op)
{
	cursor->started = move(cursor, key, op) && cursor->key.n >= cursor->prefix_n && memcmp(cursor->key.bytes, cursor->prefix, cursor->prefix_n) == 0;
	return cursor->started;
}

/* A key that is not NULL must not be empty: 0 is what db_key returns when something did not fit. */
static bool set_prefix(struct db_cursor *cursor, const void *key, size_t key_n, size_t prefix_n)
{
	cursor->started = false;
	cursor->prefix_n = 0;
	if (key == NULL)
		return true;
	if (key_n == 0 || key_n > DB_KEY_MAX || prefix_n > key_n) {
		if (unusable(cursor->txn) == OK)
			(void)remember(cursor->txn, MDB_BAD_VALSIZE); /* told as the end of the walk */
		return false;
	}
	memcpy(cursor->prefix, key, prefix_n);
	cursor->prefix_n = prefix_n;
	return true;
}

bool db_seek(struct db_cursor *cursor, const void *key, size_t key_n, size_t prefix_n)
{
	if (!set_prefix(cursor, key, key_n, prefix_n))
		return false;
	return key == NULL ? move_within(cursor, val(NULL, 0), MDB_FIRST) : move_within(cursor, val(key, key_n), MDB_SET_RANGE);
}

bool db_seek_last(struct db_cursor *cursor, const void *prefix, size_t prefix_n)
{
	uint8_t behind[DB_KEY_MAX];
	size_t n = prefix_n;

	if (!set_prefix(cursor, prefix, prefix_n, prefix_n))
		return false;
	/* the first key behind all that have the prefix: of it and its end, 0xff excepted, one more */
	if (prefix != NULL)
		memcpy(behind, prefix, prefix_n);
	while (n > 0 && behind[n - 1] == 0xff)
		n--;
	if (n == 0)
		return move_within(cursor, val(NULL, 0), MDB_LAST);
	behind[n - 1]++;
	return move_within(cursor, val(NULL, 0), move(cursor, val(behind, n), MDB_SET_RANGE) ? MDB_PREV : MDB_LAST);
}

bool db_next(struct db_cursor *cursor)
{
	return cursor->started && move_within(cursor, val(NULL, 0), MDB_NEXT);
}

bool db_prev(struct db_cursor *cursor)
{
	return cursor->started && move_within(cursor, val(NULL, 0), MDB_PREV);
}

int db_cursor_del(struct db_cursor *cursor)
{
	int error = unusable(cursor->txn);

	if (error != OK)
		return error;
	if (cursor->cursor == NULL || !cursor->started)
		return ERR_NOTFOUND;
	cursor->key = cursor->value = (struct db_value){ 0 };
	return remember(cursor->txn, mdb_cursor_del(cursor->cursor, 0));
}

/* --- keys ------------------------------------------------------------------------------------------------------ */

static size_t put_number(uint8_t *to, uint64_t number, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		to[i] = (uint8_t)(number >> 8 * (bytes - 1 - i));
	return bytes;
}

struct part { const void *bytes; size_t n; uint8_t number[8]; };

/* One part of a key as bytes; false for a letter that is none. */
static bool take_part(char letter, va_list *arguments, struct part *part)
{
	part->bytes = part->number;
	switch (letter) {
	case 'b': part->n = put_number(part->number, (uint8_t)va_arg(*arguments, int), 1); return true;
	case 'h': part->n = put_number(part->number, (uint16_t)va_arg(*arguments, int), 2); return true;
	case 'w': part->n = put_number(part->number, va_arg(*arguments, uint32_t), 4); return true;
	case 'q': part->n = put_number(part->number, va_arg(*arguments, uint64_t), 8); return true;
	case 't': part->n = put_number(part->number, (uint64_t)va_arg(*arguments, int64_t) ^ UINT64_C(1) << 63, 8); return true; /* so that before 1970 is before */
	case 's':
		part->bytes = va_arg(*arguments, const char *);
		part->n = strlen(part->bytes) + 1;
		return true;
	case 'm':
		part->bytes = va_arg(*arguments, const void *);
		part->n = va_arg(*arguments, size_t);
		return true;
	default: return false;
	}
}

size_t db_key(uint8_t key[DB_KEY_MAX], const char *format, ...)
{
	va_list arguments;
	struct part part;
	size_t n = 0;
	bool fits = true;

	va_start(arguments, format);
	for (; *format != '\0' && fits; format++) {
		fits = take_part(*format, &arguments, &part) && part.n <= DB_KEY_MAX - n;
		if (fits && part.n > 0) {
			memcpy(key + n, part.bytes, part.n);
			n += part.n;
		}
	}
	va_end(arguments);
	return fits ? n : 0;
}
