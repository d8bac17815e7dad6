/* Whether two cores hold the same projections. Nothing compared derives from ciphertext or nonces: cases are compared as they are under their seal. */
#include <string.h>

#include "broker/core_internal.h"
#include "lib/pb.h"

/* Keys that begin with an agency's number are compared by its id: numbers may be given in another order. NULL: there is no such agency. */
static const char *agency_of(const struct core *core, int table, const struct db_value *key)
{
	const uint8_t *bytes = key->bytes;
	size_t number = key->n >= 2 ? (size_t)bytes[0] << 8 | bytes[1] : SIZE_MAX;

	if (table != T_QUEUE && table != T_IDS && table != T_RELATED)
		return "";
	return number < core->n_agencies ? core->agencies[number].id : NULL;
}

static const char *plain_key(const struct core *core, int table, const struct db_value *key, struct arena *arena)
{
	const char *id = agency_of(core, table, key);
	size_t skip = id && *id ? 2 : 0;
	char *text = arena_printf(arena, "%s%s%.*s", id ? id : "no agency", skip ? " " : "", (int)(key->n - skip), (const char *)key->bytes + skip);

	for (char *c = text; c && *c; c++)
		if ((unsigned char)*c < ' ' || (unsigned char)*c > '~')
			*c = '?';
	return text ? text : "";
}

static int find_in(struct core *live, struct core *again, struct db_txn *txn, int table, const struct db_value *key, struct db_value *ret_value)
{
	const char *id = agency_of(live, table, key);
	uint8_t mapped[DB_KEY_MAX];
	uint16_t number = 0;

	if (!id || key->n > sizeof mapped)
		return ERR_NOTFOUND;
	memcpy(mapped, key->bytes, key->n);
	if (*id) {
		if (agency_number(again, id, false, &number))
			return ERR_NOTFOUND;
		mapped[0] = (uint8_t)(number >> 8);
		mapped[1] = (uint8_t)number;
	}
	return db_get(txn, table, mapped, key->n, ret_value);
}

static int same_state(const Reentry__CaseState *state, const ProtobufCBinaryData *want, struct arena *arena, bool *ret_same)
{
	uint8_t *bytes;
	size_t n;
	int error = pb_pack(state, arena, &bytes, &n);

	*ret_same = !error && n == want->len && memcmp(bytes, want->data, n) == 0;
	return error;
}

/* What is held in memory, and what is in the table where that is not older. */
static int same_case(struct core *live, struct db_txn *a, struct core *again, struct db_txn *b, const char *ref, struct arena *arena, bool *ret_same)
{
	Reentry__CaseState *held = NULL, *stored = NULL, *rebuilt = NULL;
	ProtobufCBinaryData want;
	int error = case_read(live, a, ref, arena, &held);

	*ret_same = false;
	if (error == ERR_NOTFOUND || error == ERR_ERASED)
		return OK;
	if (!error)
		error = case_read(again, b, ref, arena, &rebuilt);
	if (!error)
		error = pb_pack(rebuilt, arena, &want.data, &want.len);
	if (!error)
		error = same_state(held, &want, arena, ret_same);
	if (error || !*ret_same || delta_is_newer(live, ref))
		return error;
	error = case_stored(live, a, ref, arena, &stored);
	if (error == ERR_NOTFOUND || error == ERR_ERASED) {
		*ret_same = false;
		return OK;
	}
	return error ? error : same_state(stored, &want, arena, ret_same);
}

/* A state that is in the log and not yet in the live table is folded by whoever asks for it (core_delta.c): the rebuilt table is walked, and of the live one what is in it besides. */
static int compare_cases(struct core *live, struct core *again, struct arena *arena, const char **ret_difference)
{
	struct db_value other;
	struct db_cursor cursor;
	struct db_txn a, b;
	struct arena scratch;
	int error = db_begin_read(live->db, &a), error_b = db_begin_read(again->db, &b);

	arena_init(&scratch, 0);
	error = error ? error : error_b;
	DB_FOREACH(&cursor, &b, T_CASES, NULL, 0) {
		const char *ref = (arena_reset(&scratch), arena_printf(&scratch, "%.*s", (int)cursor.key.n, (const char *)cursor.key.bytes));
		bool same = false;

		if (!error && ref && tombstone_is(&cursor.value))
			same = db_get(&a, T_CASES, cursor.key.bytes, cursor.key.n, &other) == OK && other.n == cursor.value.n && memcmp(other.bytes, cursor.value.bytes, other.n) == 0;
		else if (!error)
			error = ref ? same_case(live, &a, again, &b, ref, &scratch, &same) : ERR_NOMEM;
		if (error)
			*ret_difference = arena_printf(arena, "cases, %s: cannot be read (%s)", ref, err_text(error));
		else if (!same)
			*ret_difference = arena_printf(arena, "cases, %s: has another value", ref);
		if (*ret_difference) {
			db_cursor_close(&cursor);
			break;
		}
	}
	if (!*ret_difference)
		DB_FOREACH(&cursor, &a, T_CASES, NULL, 0)
			if (db_get(&b, T_CASES, cursor.key.bytes, cursor.key.n, &other))
				*ret_difference = arena_printf(arena, "cases, %.*s: is not rebuilt", (int)cursor.key.n, (const char *)cursor.key.bytes);
	error = a.error ? a.error : b.error;
	arena_release(&scratch);
	db_abort(&a);
	db_abort(&b);
	return error;
}

/* Cosignatures come in behind the note and are nowhere else: what is rebuilt is the beginning of what is live. */
static bool same_value(int table, const struct db_value *key, const struct db_value *live, const struct db_value *again, struct arena *arena)
{
	struct issued x, y;
	const char *note, *begin;

	if (table != T_CHECKPOINTS)
		return again->n == live->n && memcmp(live->bytes, again->bytes, again->n) == 0;
	return !checkpoint_row(key, live, arena, &x, &note) && !checkpoint_row(key, again, arena, &y, &begin) && x.position == y.position && x.at == y.at &&
	       strncmp(note, begin, strlen(begin)) == 0;
}

/* What says how far something has come is nobody's fold: it shows in what it stands for. */
static const char *const unfolded[] = { "applied", "backup", "behind", "format", "hashed", "held", "rebuilding", "written" }; /* format: it was looked at when the store was opened */

static bool not_compared(int table, const struct db_value *key)
{
	for (size_t i = 0; table == T_META && i < sizeof unfolded / sizeof *unfolded; i++)
		if (key->n > strlen(unfolded[i]) && memcmp(key->bytes, unfolded[i], strlen(unfolded[i]) + 1) == 0)
			return true;
	return false;
}

/* Every pair of the one stands in the other, with the same value. */
static int compare_table(struct core *live, struct core *again, int table, struct arena *arena, const char **ret_difference)
{
	struct db_cursor cursor;
	struct db_txn a, b;
	uint64_t n_live = 0, n_again = 0;
	int error = db_begin_read(live->db, &a), error_b = db_begin_read(again->db, &b);

	if (!error)
		error = error_b ? error_b : db_count(&a, table, &n_live);
	if (!error)
		error = db_count(&b, table, &n_again);
	DB_FOREACH(&cursor, &a, table, NULL, 0) {
		struct db_value other;
		bool equal = false;
		int found;

		if (not_compared(table, &cursor.key)) {
			n_live--;
			continue;
		}
		found = error ? error : find_in(live, again, &b, table, &cursor.key, &other);
		if (!found)
			equal = same_value(table, &cursor.key, &cursor.value, &other, arena);
		if (!error && !equal)
			*ret_difference = arena_printf(arena, "%s, key %s: %s", core_tables[table], plain_key(live, table, &cursor.key, arena), found ? "is not rebuilt" : "has another value");
		if (error || *ret_difference) {
			db_cursor_close(&cursor);
			break;
		}
	}
	for (size_t i = 0; table == T_META && !error && i < sizeof unfolded / sizeof *unfolded; i++)
		DB_FOREACH(&cursor, &b, table, unfolded[i], strlen(unfolded[i]) + 1)
			n_again--;
	if (!error && !*ret_difference && n_live != n_again)
		*ret_difference = arena_printf(arena, "%s: %llu entries, rebuilt %llu", core_tables[table], (unsigned long long)n_live, (unsigned long long)n_again);
	db_abort(&a);
	db_abort(&b);
	return error;
}

/* Each agency has one number, and all of them take part in the log. */
static int compare_agencies(const struct core *live, struct core *again, struct arena *arena, const char **ret_difference)
{
	uint16_t number;

	for (size_t i = 0; i < live->n_agencies && !*ret_difference; i++)
		if (agency_number(again, live->agencies[i].id, false, &number))
			*ret_difference = arena_printf(arena, "agencies: %s is not rebuilt", live->agencies[i].id);
	if (!*ret_difference && live->n_agencies != again->n_agencies)
		*ret_difference = arena_printf(arena, "agencies: %zu, rebuilt %zu", live->n_agencies, again->n_agencies);
	return OK;
}

int compare_cores(struct core *live, struct core *again, struct arena *arena, const char **ret_difference)
{
	static const int compared[] = { T_TREE, T_DUE, T_QUEUE, T_IDS, T_RELATED, T_CHECKPOINTS, T_META, T_ERASURES };
	int error = OK;

	*ret_difference = NULL;
	error = compare_agencies(live, again, arena, ret_difference);
	if (!error && !*ret_difference)
		error = compare_cases(live, again, arena, ret_difference);
	for (size_t i = 0; i < sizeof compared / sizeof *compared && !error && !*ret_difference; i++)
		error = compare_table(live, again, compared[i], arena, ret_difference);
	return error;
}
