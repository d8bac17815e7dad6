#include "lib/db.h"

#include <lmdb.h>
#include <stdarg.h>
#include <string.h>

#include "lib/daemon.h"
#include "lib/db_env.h"

/* Room beyond the head-room up to which free pages are counted; a transaction that needs more of them when the disk is that full is told it is full. */
#define ROOM_COUNTED ((uint64_t)64 << 20)
#define NODE_OVERHEAD 16            /* of a pair in its page: node header and index */
#define FRESH 0x40000000u           /* for put: the table has no such key; no flag of LMDB's */

/* The first error stays; not finding something is none. */
int db_remember(struct db_txn *txn, int rc)
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

int db_unusable(const struct db_txn *txn)
{
	return txn->error != OK ? txn->error : txn->txn == NULL ? ERR_CLOSED : OK;
}

int db_fail(struct db_txn *txn, int code)
{
	if (txn->error == OK)
		txn->error = code;
	return txn->error;
}

/* What is changed in memory belongs to one transaction at a time: it comes and goes with it. */
int db_change_behind(struct db_txn *txn)
{
	struct db *db = txn->db;

	if (txn->settled || (db->writer != NULL && db->writer != txn) || (db->changer != NULL && db->changer != txn))
		return db_fail(txn, txn->settled ? ERR_INVALID : ERR_BUSY);
	db->changer = txn;
	return OK;
}

void db_end_behind(struct db_txn *txn, bool counts)
{
	struct db *db = txn->db;

	if (counts && txn->settled)
		behind_forget(db->behind);
	else if (db->changer == txn && counts)
		behind_keep(db->behind);
	else if (db->changer == txn)
		behind_undo(db->behind);
	if (db->changer == txn)
		db->changer = NULL;
	txn->settled = false;
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
	if (db->writer != NULL || db->flight != NULL)
		return txn->error = ERR_BUSY; /* LMDB would wait for itself for ever */
	rc = mdb_txn_begin(db->env, NULL, 0, &begun);
	if (rc != 0)
		return db_remember(txn, rc);
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
		return db_remember(txn, rc);
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

	if (detached != NULL && txn->staged)
		db_stage_end(txn);
	else if (detached != NULL)
		mdb_txn_abort(detached);
	if (detached != NULL && txn->db->behind != NULL)
		db_end_behind(txn, false);
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

/* A planted fault (make BUILD=… CFLAGS=-DREENTRY_FAULTS; REENTRY_FAULT=ignore-failed-sync), so that the fault tests can show that they would notice. */
static bool planted_fault(void)
{
#ifdef REENTRY_FAULTS
	return daemon_fault("ignore-failed-sync");
#else
	return false;
#endif
}

int db_commit_error(struct db *db, int rc)
{
	int error;

	if (planted_fault())
		return OK;
	error = db_code(db, rc);
	return error != ERR_FULL || meta_page_failed(db) ? ERR_UNSYNCED : error;
}

int db_commit(struct db_txn *txn)
{
	int error = db_unusable(txn);
	struct db *db = txn->db;
	int rc;

	if (error == OK && db->changer == txn && !txn->write)
		db_end_behind(txn, true);
	if (error != OK || !txn->write) {
		db_abort(txn);
		return error;
	}
	if (txn->staged)
		return db_stage_commit(txn);
	rc = mdb_txn_commit(detach(txn));
	if (db->behind != NULL)
		db_end_behind(txn, rc == 0);
	if (rc == 0)
		return OK;
	error = db_commit_error(db, rc);
	db->unsynced = error == ERR_UNSYNCED;
	return txn->error = error;
}

int db_renew(struct db_txn *txn)
{
	int rc;

	if (db_unusable(txn) != OK)
		return db_unusable(txn);
	if (txn->write)
		return txn->error = ERR_INVALID;
	mdb_txn_reset(txn->txn);
	rc = mdb_txn_renew(txn->txn);
	if (rc != 0) {
		(void)db_remember(txn, rc);
		db_abort(txn);
	}
	return txn->error;
}

/* --- pairs ----------------------------------------------------------------------------------------------------- */

int db_get(struct db_txn *txn, int table, const void *key, size_t key_n, struct db_value *ret_value)
{
	const struct db_layers layers = db_layers_of(txn, table);
	MDB_val name = val(key, key_n), value;
	int error = db_unusable(txn);
	int rc;

	if (error != OK)
		return error;
	for (unsigned i = 0; i < layers.n && key_n > 0; i++) {
		const struct behind_node *node = behind_find(layers.items[i], table, key, key_n);

		if (node == NULL)
			continue;
		*ret_value = (struct db_value){ node->value, node->value_n };
		return node->deleted ? ERR_NOTFOUND : OK;
	}
	rc = key_n == 0 ? MDB_BAD_VALSIZE : mdb_get(txn->txn, txn->db->tables[table], &name, &value);
	if (rc != 0)
		return db_remember(txn, rc);
	*ret_value = (struct db_value){ value.mv_data, value.mv_size };
	return OK;
}

/* In memory: write-behind tables, and all of a staged transaction. */
static int put_above(struct db_txn *txn, int table, MDB_val key, MDB_val *value, unsigned flags)
{
	int error = db_is_behind(txn, table) ? db_change_behind(txn) : OK;
	uint8_t *room = error == OK ? behind_put(db_target_of(txn, table), table, key.mv_data, key.mv_size, value->mv_size, (flags & FRESH) != 0) : NULL;

	if (room == NULL)
		return db_fail(txn, ERR_NOMEM);
	if ((flags & MDB_RESERVE) != 0)
		value->mv_data = room;
	else if (value->mv_size > 0)
		memcpy(room, value->mv_data, value->mv_size);
	return OK;
}

static int put(struct db_txn *txn, int table, MDB_val key, MDB_val *value, unsigned flags)
{
	int error = db_unusable(txn);
	int rc;

	if (error != OK)
		return error;
	if (key.mv_size == 0 || key.mv_size > DB_KEY_MAX)
		return db_remember(txn, MDB_BAD_VALSIZE);
	if (!txn->reserve && txn->db->reserve > 0 && charge(txn, key.mv_size, value->mv_size) != OK)
		return txn->error;
	if (txn->staged || (db_is_behind(txn, table) && ((flags & MDB_APPEND) == 0 || !behind_is_empty(txn->db->behind, table))))
		return put_above(txn, table, key, value, flags);
	flags &= ~FRESH;
	rc = mdb_put(txn->txn, txn->db->tables[table], &key, value, flags);
	if (rc == MDB_KEYEXIST && (flags & MDB_APPEND) != 0) /* not behind all others */
		rc = mdb_put(txn->txn, txn->db->tables[table], &key, value, flags & ~(unsigned)MDB_APPEND);
	return db_remember(txn, rc);
}

int db_put(struct db_txn *txn, int table, const void *key, size_t key_n, const void *value, size_t n)
{
	MDB_val data = val(value, n);

	return put(txn, table, val(key, key_n), &data, 0);
}

int db_put_new(struct db_txn *txn, int table, const void *key, size_t key_n, const void *value, size_t n)
{
	MDB_val data = val(value, n);

	return put(txn, table, val(key, key_n), &data, FRESH);
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

static int del_above(struct db_txn *txn, int table, const void *key, size_t key_n)
{
	struct db_value value;
	int error = db_get(txn, table, key, key_n, &value);

	if (error == OK && db_is_behind(txn, table))
		error = db_change_behind(txn);
	if (error != OK)
		return error;
	error = behind_del(db_target_of(txn, table), table, key, key_n);
	return error == OK ? OK : db_fail(txn, error);
}

int db_del(struct db_txn *txn, int table, const void *key, size_t key_n)
{
	MDB_val name = val(key, key_n);
	int error = db_unusable(txn);

	if (error != OK)
		return error;
	if (db_target_of(txn, table) != NULL)
		return del_above(txn, table, key, key_n);
	return db_remember(txn, key_n == 0 ? MDB_BAD_VALSIZE : mdb_del(txn->txn, txn->db->tables[table], &name, NULL));
}

/* What is in memory counts where the file tells another story, and of what is there twice the newer. While something is on its way a fresh node says nothing about the file: the key that was there before may still be. */
static int count_layer(struct db_txn *txn, int table, const struct db_layers *layers, unsigned at, uint64_t *n)
{
	for (const struct behind_node *node = behind_seek(layers->items[at], table, NULL, 0, false); node != NULL; node = node->next[0]) {
		MDB_val key = val(behind_key(node), node->key_n), value;
		int error;

		if (at > 0 && behind_find(layers->items[0], table, key.mv_data, key.mv_size) != NULL)
			continue;
		error = node->fresh && layers->n == 1 && db_is_behind(txn, table) ? ERR_NOTFOUND : db_remember(txn, mdb_get(txn->txn, txn->db->tables[table], &key, &value));
		if (error != OK && error != ERR_NOTFOUND)
			return error;
		if (error == OK && node->deleted)
			--*n;
		else if (error != OK && !node->deleted)
			++*n;
	}
	return OK;
}

int db_count(struct db_txn *txn, int table, uint64_t *ret_n)
{
	const struct db_layers layers = db_layers_of(txn, table);
	MDB_stat stat;
	int error = db_unusable(txn);

	if (error == OK)
		error = db_remember(txn, mdb_stat(txn->txn, txn->db->tables[table], &stat));
	if (error == OK)
		*ret_n = stat.ms_entries;
	for (unsigned i = 0; i < layers.n && error == OK; i++)
		error = count_layer(txn, table, &layers, i, ret_n);
	return error;
}

int db_clear(struct db_txn *txn, int table)
{
	int error = db_unusable(txn);

	if (error == OK && (txn->staged || (db_is_behind(txn, table) && !behind_is_empty(txn->db->behind, table))))
		error = db_fail(txn, ERR_INVALID);
	return error != OK ? error : db_remember(txn, mdb_drop(txn->txn, txn->db->tables[table], 0));
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

/* --- write-behind ---------------------------------------------------------------------------------------------- */

size_t db_behind(const struct db *db)
{
	return db->behind != NULL ? behind_bytes(db->behind) : 0;
}

int db_settle(struct db_txn *txn)
{
	int error = db_unusable(txn);

	if (error == OK && !txn->write)
		error = db_fail(txn, ERR_INVALID);
	for (int table = 0; error == OK && !txn->staged && txn->db->behind != NULL && (size_t)table < txn->db->n_tables; table++)
		if (db_is_behind(txn, table))
			error = db_remember(txn, db_write_table(txn->txn, txn->db->tables[table], txn->db->behind, table));
	txn->settled = error == OK && txn->db->behind != NULL;
	return error;
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
