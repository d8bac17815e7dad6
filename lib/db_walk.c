/* Walks over the pairs of a table; over a write-behind table, over what is in memory and what is in the file as over one. */
#include <lmdb.h>
#include <string.h>

#include "lib/db_env.h"

static MDB_val val(const void *bytes, size_t n)
{
	return (MDB_val){ n, (void *)(uintptr_t)bytes };
}

int db_cursor_open(struct db_txn *txn, int table, struct db_cursor *cursor)
{
	MDB_cursor *opened;
	int error = db_unusable(txn);

	cursor->cursor = NULL; /* field by field: the prefix is large, and only prefix_n bytes of it count */
	cursor->txn = txn;
	cursor->table = table;
	cursor->prefix_n = 0;
	cursor->started = false;
	cursor->key = cursor->value = (struct db_value){ 0 };
	if (error != OK)
		return error;
	error = db_remember(txn, mdb_cursor_open(txn->txn, txn->db->tables[table], &opened));
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

/* --- in the file ------------------------------------------------------------------------------------------------ */

static bool move_file(struct db_cursor *cursor, MDB_val key, MDB_cursor_op op, struct db_value *ret_key, struct db_value *ret_value)
{
	MDB_val value;

	if (db_remember(cursor->txn, mdb_cursor_get(cursor->cursor, &key, &value, op)) != OK)
		return false;
	*ret_key = (struct db_value){ key.mv_data, key.mv_size };
	*ret_value = (struct db_value){ value.mv_data, value.mv_size };
	return true;
}

/* --- in memory and in the file ----------------------------------------------------------------------------------- */

static struct behind *behind_of(const struct db_cursor *cursor)
{
	return cursor->txn->db->behind;
}

static void move_below(struct db_cursor *cursor, MDB_val key, MDB_cursor_op op)
{
	cursor->below = move_file(cursor, key, op, &cursor->below_key, &cursor->below_value);
}

/* From the pair where the walk stands, in whichever of the two it was found. Nodes that came or went since are seen: they are looked for again. */
static void step(struct db_cursor *cursor)
{
	const struct behind_node *node = cursor->node;
	struct behind *b = behind_of(cursor);
	bool in_file = cursor->in_file;

	if (cursor->changes != behind_changes(b)) {
		const void *key = in_file ? cursor->below_key.bytes : behind_key(node);

		cursor->node = behind_seek(b, cursor->table, key, in_file ? cursor->below_key.n : node->key_n, true);
		cursor->changes = behind_changes(b);
	} else if (cursor->in_memory) {
		cursor->node = node->next[0];
	}
	if (in_file)
		move_below(cursor, val(NULL, 0), MDB_NEXT);
}

static int order_of(const struct behind_node *node, const struct db_value *key)
{
	size_t n = node->key_n < key->n ? node->key_n : key->n;
	int order = memcmp(behind_key(node), key->bytes, n);

	return order != 0 ? order : node->key_n < key->n ? -1 : node->key_n > key->n;
}

/* Whether the walk ends before this node, which stands behind where it began. */
static bool is_beyond(const struct db_cursor *cursor, const struct behind_node *node)
{
	return cursor->prefix_n > 0 && (node->key_n < cursor->prefix_n || memcmp(behind_key(node), cursor->prefix, cursor->prefix_n) != 0);
}

/* The smaller key of the two, memory before the file, what is deleted left out: but not all that is deleted behind the end, which is whole queues of others. */
static bool choose(struct db_cursor *cursor)
{
	while (cursor->node != NULL || cursor->below) {
		const struct behind_node *node = cursor->node;
		int order = node == NULL ? 1 : !cursor->below ? -1 : order_of(node, &cursor->below_key);

		cursor->in_memory = order <= 0;
		cursor->in_file = order >= 0;
		if (order > 0) {
			cursor->key = cursor->below_key;
			cursor->value = cursor->below_value;
			return true;
		}
		if (!node->deleted) {
			cursor->key = (struct db_value){ behind_key(node), node->key_n };
			cursor->value = (struct db_value){ node->value, node->value_n };
			return true;
		}
		if (is_beyond(cursor, node))
			break;
		step(cursor);
		if (db_unusable(cursor->txn) != OK)
			break;
	}
	return false;
}

static bool move_both(struct db_cursor *cursor, MDB_val key, MDB_cursor_op op)
{
	struct behind *b = behind_of(cursor);

	if (op == MDB_NEXT) {
		step(cursor);
	} else if (op == MDB_FIRST || op == MDB_SET_RANGE) {
		cursor->node = behind_seek(b, cursor->table, op == MDB_FIRST ? NULL : key.mv_data, key.mv_size, false);
		cursor->changes = behind_changes(b);
		move_below(cursor, key, op);
	} else {
		(void)db_fail(cursor->txn, ERR_INVALID); /* such walks go forwards only; told as the end of this one */
	}
	return db_unusable(cursor->txn) == OK && choose(cursor);
}

/* --- the two as one ------------------------------------------------------------------------------------------------ */

/* Moves; false at the end or after an error, which the caller sees as the end and db_commit tells. */
static bool move(struct db_cursor *cursor, MDB_val key, MDB_cursor_op op)
{
	if (cursor->cursor == NULL || db_unusable(cursor->txn) != OK)
		return false;
	if (db_is_behind(cursor->txn, cursor->table))
		return move_both(cursor, key, op);
	return move_file(cursor, key, op, &cursor->key, &cursor->value);
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
		if (db_unusable(cursor->txn) == OK)
			(void)db_remember(cursor->txn, MDB_BAD_VALSIZE); /* told as the end of the walk */
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
	int error = db_unusable(cursor->txn);

	if (error != OK)
		return error;
	if (cursor->cursor == NULL || !cursor->started || cursor->key.n == 0)
		return ERR_NOTFOUND;
	if (db_is_behind(cursor->txn, cursor->table)) {
		error = db_change_behind(cursor->txn);
		if (error == OK && behind_del(behind_of(cursor), cursor->table, cursor->key.bytes, cursor->key.n) != OK)
			error = db_fail(cursor->txn, ERR_NOMEM);
	} else {
		error = db_remember(cursor->txn, mdb_cursor_del(cursor->cursor, 0));
	}
	cursor->key = cursor->value = (struct db_value){ 0 };
	return error;
}

