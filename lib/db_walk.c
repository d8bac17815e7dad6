/* Walks over the pairs of a table; where some of it is in memory (write-behind tables, staged transactions), over that and what is in the file as over one. */
#include <lmdb.h>
#include <string.h>

#include "lib/db_env.h"

static MDB_val val(const void *bytes, size_t n)
{
	return (MDB_val){ n, (void *)(uintptr_t)bytes };
}

static void take_layers(struct db_cursor *cursor)
{
	const struct db_layers layers = db_layers_of(cursor->txn, cursor->table);

	for (unsigned i = 0; i < layers.n; i++)
		cursor->layers[i].list = layers.items[i];
	cursor->n_layers = layers.n;
}

int db_cursor_open(struct db_txn *txn, int table, struct db_cursor *cursor)
{
	MDB_cursor *opened;
	int error = db_unusable(txn);

	cursor->cursor = NULL; /* field by field: the prefix is large, and only prefix_n bytes of it count */
	cursor->txn = txn;
	cursor->table = table;
	cursor->prefix_n = 0;
	cursor->n_layers = 0;
	cursor->started = false;
	cursor->key = cursor->value = (struct db_value){ 0 };
	if (error != OK)
		return error;
	error = db_remember(txn, mdb_cursor_open(txn->txn, txn->db->tables[table], &opened));
	if (error == OK)
		cursor->cursor = opened;
	if (error == OK)
		take_layers(cursor);
	return error;
}

void db_cursor_close(struct db_cursor *cursor)
{
	/* the end of a write transaction has freed its cursors; a staged one only reads */
	if (cursor->cursor != NULL && (cursor->txn->txn != NULL || !cursor->txn->write || cursor->txn->staged))
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

static void move_below(struct db_cursor *cursor, MDB_val key, MDB_cursor_op op)
{
	cursor->below = move_file(cursor, key, op, &cursor->below_key, &cursor->below_value);
}

static struct db_value key_of(const struct behind_node *node)
{
	return (struct db_value){ behind_key(node), node->key_n };
}

/* From the pair where the walk stands, wherever it was found. Nodes that came or went since are seen: they are looked for again. */
static void step(struct db_cursor *cursor)
{
	struct db_value from = cursor->in_file ? cursor->below_key : (struct db_value){ 0 };

	for (unsigned i = 0; i < cursor->n_layers; i++)
		if (cursor->layers[i].here)
			from = key_of(cursor->layers[i].node);
	for (unsigned i = 0; i < cursor->n_layers; i++) {
		if (cursor->layers[i].changes != behind_changes(cursor->layers[i].list)) {
			cursor->layers[i].node = behind_seek(cursor->layers[i].list, cursor->table, from.bytes, from.n, true);
			cursor->layers[i].changes = behind_changes(cursor->layers[i].list);
		} else if (cursor->layers[i].here) {
			cursor->layers[i].node = ((const struct behind_node *)cursor->layers[i].node)->next[0];
		}
	}
	if (cursor->in_file)
		move_below(cursor, val(NULL, 0), MDB_NEXT);
}

static int order_of(const struct db_value *a, const struct db_value *b)
{
	size_t n = a->n < b->n ? a->n : b->n;
	int order = memcmp(a->bytes, b->bytes, n);

	return order != 0 ? order : a->n < b->n ? -1 : a->n > b->n;
}

/* Whether the walk ends before this node, which stands behind where it began. */
static bool is_beyond(const struct db_cursor *cursor, const struct behind_node *node)
{
	return cursor->prefix_n > 0 && (node->key_n < cursor->prefix_n || memcmp(behind_key(node), cursor->prefix, cursor->prefix_n) != 0);
}

/* Marks where the smallest key stands; the newest node that has it, or NULL when only the file does. False: there is no pair left. */
static bool find_least(struct db_cursor *cursor, const struct behind_node **ret_node)
{
	struct db_value least = cursor->below_key;
	bool any = cursor->below;

	cursor->in_file = any;
	*ret_node = NULL;
	for (unsigned i = cursor->n_layers; i-- > 0;) { /* the oldest first: of equal keys the last one counts */
		const struct behind_node *node = cursor->layers[i].node;
		const struct db_value key = node == NULL ? (struct db_value){ 0 } : key_of(node);
		int order = node == NULL ? 1 : !any ? -1 : order_of(&key, &least);

		cursor->layers[i].here = order <= 0;
		if (order > 0)
			continue;
		for (unsigned k = i + 1; order < 0 && k < cursor->n_layers; k++)
			cursor->layers[k].here = false;
		cursor->in_file = cursor->in_file && order == 0;
		least = key;
		any = true;
		*ret_node = node;
	}
	return any;
}

/* The smallest key of all, what is newer before what is older, what is deleted left out: but not all that is deleted behind the end, which is whole queues of others. */
static bool choose(struct db_cursor *cursor)
{
	const struct behind_node *node;

	while (find_least(cursor, &node)) {
		if (node == NULL || !node->deleted) {
			cursor->key = node == NULL ? cursor->below_key : key_of(node);
			cursor->value = node == NULL ? cursor->below_value : (struct db_value){ node->value, node->value_n };
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

static bool move_all(struct db_cursor *cursor, MDB_val key, MDB_cursor_op op)
{
	if (op == MDB_NEXT) {
		step(cursor);
	} else if (op == MDB_FIRST || op == MDB_SET_RANGE) {
		for (unsigned i = 0; i < cursor->n_layers; i++) {
			cursor->layers[i].node = behind_seek(cursor->layers[i].list, cursor->table, op == MDB_FIRST ? NULL : key.mv_data, key.mv_size, false);
			cursor->layers[i].changes = behind_changes(cursor->layers[i].list);
		}
		move_below(cursor, key, op);
	} else {
		(void)db_fail(cursor->txn, ERR_INVALID); /* such walks go forwards only; told as the end of this one */
	}
	return db_unusable(cursor->txn) == OK && choose(cursor);
}

/* --- all as one ---------------------------------------------------------------------------------------------------- */

/* Moves; false at the end or after an error, which the caller sees as the end and db_commit tells. */
static bool move(struct db_cursor *cursor, MDB_val key, MDB_cursor_op op)
{
	if (cursor->cursor == NULL || db_unusable(cursor->txn) != OK)
		return false;
	if (cursor->n_layers > 0)
		return move_all(cursor, key, op);
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
	if (db_target_of(cursor->txn, cursor->table) != NULL) {
		error = db_is_behind(cursor->txn, cursor->table) ? db_change_behind(cursor->txn) : OK;
		if (error == OK && behind_del(db_target_of(cursor->txn, cursor->table), cursor->table, cursor->key.bytes, cursor->key.n) != OK)
			error = db_fail(cursor->txn, ERR_NOMEM);
	} else {
		error = db_remember(cursor->txn, mdb_cursor_del(cursor->cursor, 0));
	}
	cursor->key = cursor->value = (struct db_value){ 0 };
	return error;
}

