/* Folding the log again: nothing is decided, records are only read back and evolved (docs/design.md). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker/core_internal.h"
#include "lib/pb.h"

#define BATCH 1000        /* records folded in one transaction */

static int fold_event(struct core *core, struct core_record *record)
{
	struct rules_run run = { .policy = core->policy, .arena = &core->arena, .now = record->header->recorded_at, .position = record->header->position };
	const Reentry__Event *event = record->record.envelope;
	struct loaded *it = NULL;
	int error;

	if (!record->header->subject)
		return OK;
	error = case_load(core, record->header->subject, &it);
	if (error)
		return error;
	run.subject = it->ref;
	run.state = it->state;
	error = rules_evolve(&run, &record->record);
	if (error)
		return error;
	it->state = run.state;
	if (!it->state)
		return ERR_CORRUPT;
	it->state->has_last = true;
	it->state->last = record->header->position;
	it->dirty = true;
	if (!record->record.event)
		return OK;
	error = queue_project(core, &record->record, it->ref);
	if (error || record->record.event->outcome == REENTRY__OUTCOME__VALUE__REFUSED || strcmp(record->header->agency, core->policy->broker_id) == 0)
		return error;
	return ids_put(core, record->header->agency, event->id, record->record.event->content.data, record->record.event->content.len,
		record->header->position, record->record.event->outcome);
}

static int fold_acked(struct core *core, const Reentry__Header *header)
{
	struct queued entry;
	uint16_t number = 0;
	int error = agency_number(core, header->agency, true, &number);

	for (size_t i = 0; i < header->n_positions && !error; i++) {
		error = queue_take(core, number, header->positions[i], &entry);
		if (error == ERR_NOTFOUND)
			error = OK;
	}
	return error;
}

/* The shadow's turn time is the record's, so that what is written carries it. */
static int fold(struct core *from, struct core *to, struct db_txn *read, uint64_t position)
{
	struct core_record record;
	int error = log_read(from, read, position, &to->arena, &record);

	if (error == ERR_ERASED)
		return OK; /* an erased case leaves nothing to fold */
	if (error)
		return error;
	to->last = position;
	to->now = record.header->recorded_at;
	switch (record.header->kind) {
	case REENTRY__RECORD_KIND__VALUE__EVENT:
	case REENTRY__RECORD_KIND__VALUE__TIMER:
		return fold_event(to, &record);
	case REENTRY__RECORD_KIND__VALUE__ACKED:
		return fold_acked(to, record.header);
	default:
		return OK;
	}
}

static int fold_all(struct core *from, struct core *to)
{
	struct db_txn read;
	int error = db_begin_read(from->db, &read);

	to->live = from;
	to->live_txn = &read;
	for (uint64_t position = 1; position <= from->committed && !error;) {
		error = core_begin(to, 0);
		for (int i = 0; i < BATCH && position <= from->committed && !error; i++)
			error = fold(from, to, &read, position++);
		if (!error)
			error = core_commit(to);
		else
			core_rollback(to);
	}
	db_abort(&read);
	return error;
}

/* --- comparing ---------------------------------------------------------------------------------------------------------------- */

/* Keys that begin with an agency's number are compared by its id: numbers may be given in another order. */
static size_t plain_key(const struct core *core, int table, const struct db_value *key, uint8_t plain[DB_KEY_MAX + 64])
{
	const uint8_t *bytes = key->bytes;
	size_t n = 0, skip = 0;

	if (table == T_QUEUE || table == T_IDS || table == T_RELATED) {
		const char *id = core->agencies[bytes[0] << 8 | bytes[1]].id;

		n = strlen(id) + 1;
		memcpy(plain, id, n);
		skip = 2;
	}
	memcpy(plain + n, bytes + skip, key->n - skip);
	return n + key->n - skip;
}

static int find_in(struct core *live, struct core *again, struct db_txn *txn, int table, const struct db_value *key, struct db_value *ret_value)
{
	uint8_t mapped[DB_KEY_MAX];
	const uint8_t *bytes = key->bytes;
	uint16_t number = 0;

	memcpy(mapped, bytes, key->n);
	if (table == T_QUEUE || table == T_IDS || table == T_RELATED) {
		if (agency_number(again, live->agencies[bytes[0] << 8 | bytes[1]].id, false, &number))
			return ERR_NOTFOUND;
		mapped[0] = (uint8_t)(number >> 8);
		mapped[1] = (uint8_t)number;
	}
	return db_get(txn, table, mapped, key->n, ret_value);
}

static int same_case(struct core *live, struct db_txn *a, struct core *again, struct db_txn *b, const char *ref, struct arena *arena, bool *ret_same)
{
	Reentry__CaseState *x = NULL, *y = NULL;
	uint8_t *x_bytes, *y_bytes;
	size_t x_n, y_n;
	int error = case_read(live, a, ref, arena, &x);

	if (!error)
		error = case_read(again, b, ref, arena, &y);
	if (!error)
		error = pb_pack(x, arena, &x_bytes, &x_n);
	if (!error)
		error = pb_pack(y, arena, &y_bytes, &y_n);
	if (!error)
		*ret_same = x_n == y_n && memcmp(x_bytes, y_bytes, x_n) == 0;
	return error;
}

/* Every pair of the one stands in the other, with the same value. */
static int compare_table(struct core *live, struct core *again, int table, struct arena *arena, const char **ret_difference)
{
	uint8_t plain[DB_KEY_MAX + 64];
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
		int found = error ? error : find_in(live, again, &b, table, &cursor.key, &other);

		if (!found && table == T_CASES) {
			char ref[DB_KEY_MAX + 1];

			memcpy(ref, cursor.key.bytes, cursor.key.n);
			ref[cursor.key.n] = 0;
			error = same_case(live, &a, again, &b, ref, arena, &equal);
		} else if (!found) {
			equal = other.n == cursor.value.n && memcmp(other.bytes, cursor.value.bytes, other.n) == 0;
		}
		if (!error && !equal) {
			plain_key(live, table, &cursor.key, plain);
			*ret_difference = arena_printf(arena, "table %d, key of %zu bytes (%.60s): %s", table, cursor.key.n, (const char *)plain, found ? "is not rebuilt" : "has another value");
		}
		if (error || *ret_difference) {
			db_cursor_close(&cursor);
			break;
		}
	}
	if (!error && !*ret_difference && n_live != n_again)
		*ret_difference = arena_printf(arena, "table %d: %llu entries, rebuilt %llu", table, (unsigned long long)n_live, (unsigned long long)n_again);
	db_abort(&a);
	db_abort(&b);
	return error;
}

/* --- the shadow ------------------------------------------------------------------------------------------------------------------ */

static int shadow_open(struct core *live, const char *dir, struct core **ret_shadow, struct err *err)
{
	static const char *const names[] = { "log", "tree", "meta", "ids", "agencies", "cases", "due", "queue", "related", NULL };
	struct db_options options = { .size_max = (size_t)1 << 36, .volatile_store = true, .tables = names };
	struct core *core = calloc(1, sizeof *core);
	int error;

	if (!core)
		return err_set(err, ERR_NOMEM, "out of memory");
	*core = *live;
	core->shadow = true;
	core->db = NULL;
	core->last = core->committed = 0;
	core->recorded_at = MOMENT_NONE;
	core->agencies = NULL;
	core->n_agencies = core->n_agencies_committed = 0;
	memset(core->agency_slots, 0, sizeof core->agency_slots);
	core->touched = NULL;
	core->n_touched = 0;
	core->touched_ids = NULL;
	core->new_keys = NULL;
	core->n_new_keys = 0;
	memset(core->buckets, 0, sizeof core->buckets);
	core->cases = NULL;
	arena_init(&core->arena, 0);
	core->key_cache = calloc(KEY_CACHE, sizeof *core->key_cache);
	error = core->key_cache ? db_open(dir, &options, &core->db, err) : err_set(err, ERR_NOMEM, "out of memory");
	*ret_shadow = core;
	return error;
}

static void remove_scratch(const char *dir)
{
	char path[4200];
	static const char *const files[] = { "data.mdb", "lock.mdb", "lock" };

	for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
		(void)snprintf(path, sizeof path, "%s/%s", dir, files[i]);
		(void)unlink(path); /* best effort: scratch space */
	}
	(void)rmdir(dir);
}

int core_rebuild(struct core *core, bool compare, struct arena *arena, const char **ret_difference, struct err *err)
{
	static const int tables[] = { T_CASES, T_DUE, T_QUEUE, T_IDS, T_RELATED };
	struct core *shadow = NULL;
	char dir[4096];
	int error;

	*ret_difference = NULL;
	if (!compare)
		return err_set(err, ERR_INVALID, "replacing the projections is not possible on a live store");
	(void)snprintf(dir, sizeof dir, "/dev/shm/reentry-rebuild-XXXXXX"); /* a constant */
	if (!mkdtemp(dir) && (snprintf(dir, sizeof dir, "/tmp/reentry-rebuild-XXXXXX") < 0 || !mkdtemp(dir)))
		return err_errno(err, ERR_IO, "no folder for the rebuilt state");
	error = shadow_open(core, dir, &shadow, err);
	if (!error) {
		error = fold_all(core, shadow);
		if (error)
			err_set(err, error, "the log cannot be folded again: %s at position %llu", err_text(error), (unsigned long long)shadow->last);
	}
	for (size_t i = 0; i < sizeof tables / sizeof *tables && !error && !*ret_difference; i++) {
		error = compare_table(core, shadow, tables[i], arena, ret_difference);
		if (error)
			err_set(err, error, "the rebuilt state cannot be compared: %s", err_text(error));
	}
	core_close(shadow);
	remove_scratch(dir);
	return error;
}
