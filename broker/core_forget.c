/* What is left of an erased case, and what goes: core_erase.c says when.
 *
 * The state becomes a tombstone (position of the case's last record, and of the confirmation); its deadline, relations, queue entries and de-duplication entries are deleted, found by the chain
 * of its records. Table of erasures: reference → positions of order, confirmation and execution (8 bytes each; 0: not yet). */
#include <string.h>

#include "broker/core_internal.h"
#include "lib/pb.h"

#define TOMBSTONE_SIZE 16        /* shorter than any sealed state */
#define TOLD_MAX 1024            /* agencies that are told to destroy what they have */

static bool listed(const struct erase_names *names, const char *name)
{
	for (size_t i = 0; i < names->n; i++)
		if (strcmp(names->items[i], name) == 0)
			return true;
	return false;
}

int erase_name(struct arena *arena, struct erase_names *names, size_t max, const char *name)
{
	const char **place;

	if (!name || names->n >= max || listed(names, name))
		return OK;
	place = ARENA_PUSH(arena, names->items, names->n);
	if (!place || !(*place = arena_strdup(arena, name)))
		return ERR_NOMEM;
	return OK;
}

/* --- what is stored ---------------------------------------------------------------------------------------------------------- */

int erasure_get(struct db_txn *txn, const char *ref, struct erasure *ret_erasure)
{
	struct db_value value;
	int error = db_get(txn, T_ERASURES, ref, strlen(ref), &value);

	if (error)
		return error;
	if (value.n != 24)
		return ERR_CORRUPT;
	*ret_erasure = (struct erasure){ get64(value.bytes), get64((const uint8_t *)value.bytes + 8), get64((const uint8_t *)value.bytes + 16) };
	return OK;
}

int erasure_put(struct core *core, const char *ref, const struct erasure *erasure)
{
	uint8_t value[24];

	put64(value, erasure->ordered);
	put64(value + 8, erasure->confirmed);
	put64(value + 16, erasure->executed);
	return db_put(&core->txn, T_ERASURES, ref, strlen(ref), value, sizeof value);
}

bool erasure_is_known(struct db_txn *txn, const char *ref)
{
	struct erasure erasure;

	return ref && erasure_get(txn, ref, &erasure) == OK && erasure.confirmed;
}

bool tombstone_is(const struct db_value *value)
{
	return value->n == TOMBSTONE_SIZE;
}

int tombstone_get(struct db_txn *txn, const char *ref, uint64_t *ret_last)
{
	struct db_value value;
	int error = db_get(txn, T_CASES, ref, strlen(ref), &value);

	if (error || !tombstone_is(&value))
		return error ? error : ERR_NOTFOUND;
	*ret_last = get64(value.bytes);
	return OK;
}

int tombstone_put(struct core *core, const char *ref, uint64_t last)
{
	struct erasure erasure = { 0 };
	uint8_t value[TOMBSTONE_SIZE];
	int error = erasure_get(&core->txn, ref, &erasure);

	if (error && error != ERR_NOTFOUND)
		return error;
	put64(value, last);
	put64(value + 8, erasure.confirmed);
	return db_put(&core->txn, T_CASES, ref, strlen(ref), value, sizeof value);
}

/* --- everything that is derived from a case ------------------------------------------------------------------------------------ */

struct forgetting { struct core *core, *from; struct db_txn *txn; struct arena *arena; struct erase_names *told; };

static int forget_queued(struct core *core, const Reentry__Header *header)
{
	uint8_t key[DB_KEY_MAX];
	uint16_t number = 0;
	int error = OK;

	for (size_t i = 0; i < header->n_to && !error; i++) {
		error = agency_number(core, header->to[i], false, &number);
		if (!error)
			error = db_del(&core->txn, T_QUEUE, key, db_key(key, "hq", number, header->position));
		error = error == ERR_NOTFOUND ? OK : error;
	}
	return error;
}

/* What is kept of the content to know it again goes as well; without the key there is nothing left that would tell its id. */
static int forget_id(struct core *core, const struct core_record *record)
{
	uint8_t key[DB_KEY_MAX];
	uint16_t number = 0;
	int error;

	if (!record->record.envelope || !record->record.envelope->id || !record->header->agency)
		return OK;
	error = agency_number(core, record->header->agency, false, &number);
	if (!error)
		error = db_del(&core->txn, T_IDS, key, db_key(key, "hs", number, record->record.envelope->id));
	return error == ERR_NOTFOUND ? OK : error;
}

static int forget_record(struct forgetting *f, uint64_t position, uint64_t *ret_previous)
{
	struct core_record record;
	int error;

	arena_reset(f->arena);
	error = log_read(f->from, f->txn, position, f->arena, &record);
	if (error && error != ERR_ERASED)
		return error;
	*ret_previous = record.header->has_previous ? record.header->previous : 0;
	if (*ret_previous >= position)
		return ERR_CORRUPT;
	error = forget_queued(f->core, record.header);
	if (!error)
		error = forget_id(f->core, &record);
	if (!error && f->told)
		error = erase_name(&f->core->arena, f->told, TOLD_MAX, record.header->agency);
	for (size_t i = 0; i < record.header->n_to && f->told && !error; i++)
		error = erase_name(&f->core->arena, f->told, TOLD_MAX, record.header->to[i]);
	return error;
}

static int forget_chain(struct core *core, uint64_t last, struct erase_names *told)
{
	struct arena arena;
	struct forgetting f = { .core = core, .from = core->live ? core->live : core, .txn = core->live ? core->live_txn : &core->txn, .arena = &arena, .told = told };
	int error = OK;

	arena_init(&arena, 0);
	for (uint64_t position = last; position && !error;)
		error = forget_record(&f, position, &position);
	arena_release(&arena);
	return error;
}

static int forget_indexes(struct core *core, struct loaded *it)
{
	uint8_t key[DB_KEY_MAX];
	int error = OK;

	if (it->due != MOMENT_NONE)
		error = db_del(&core->txn, T_DUE, key, db_key(key, "ts", it->due, it->ref));
	error = error == ERR_NOTFOUND ? OK : error;
	for (size_t i = 0; i < it->n_related && !error; i++)
		error = related_put(core, it->related[i].agency->id, it->ref, 0);
	return error;
}

/* The case's last record, looked for from the end of the log; 0: it has none. */
static int chain_end(struct core *core, const char *ref, uint64_t *ret_last)
{
	struct db_txn *txn = core->live ? core->live_txn : &core->txn;
	struct arena arena;
	int error = OK;

	*ret_last = 0;
	arena_init(&arena, 0);
	seals_wait(core);
	for (uint64_t position = core->last; position && !*ret_last && !error; position--) {
		Reentry__Header *header = NULL;

		arena_reset(&arena);
		error = log_header(txn, position, &arena, &header);
		if (!error && header->has_previous && header->subject && strcmp(header->subject, ref) == 0)
			*ret_last = position;
	}
	arena_release(&arena);
	return error;
}

int forget_case(struct core *core, const char *ref, struct erase_names *told)
{
	struct loaded *it = NULL;
	uint64_t last = 0;
	int error = case_load(core, ref, &it);

	if (error == ERR_ERASED) {
		error = tombstone_get(&core->txn, ref, &last);
		if (error == ERR_NOTFOUND)
			error = chain_end(core, ref, &last); /* its key was lost before: nothing tells but the headers */
	} else if (!error && it->state) {
		last = it->state->last;
		error = forget_indexes(core, it);
	}
	if (!error)
		error = forget_chain(core, last, told);
	if (!error && it) {
		it->erased = true;
		it->dirty = false;
		it->state = NULL;
	}
	return error ? error : tombstone_put(core, ref, last);
}
