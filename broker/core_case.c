/* Cases: read once a turn, kept unpacked while it lasts, written once at its end, with the indexes that follow from them. */
#include <stdlib.h>
#include <string.h>

#include "broker/core_internal.h"
#include "lib/pb.h"

/* The state holds class C needs: it is sealed under the strictest key. */
#define STATE_CLASS REENTRY__CLASS__VALUE__C

int case_stored(struct core *core, struct db_txn *txn, const char *ref, struct arena *arena, Reentry__CaseState **ret_state)
{
	struct db_value value;
	const uint8_t *key = NULL;
	uint8_t *bytes;
	void *state = NULL;
	int error = db_get(txn, T_CASES, ref, strlen(ref), &value);

	if (error)
		return error;
	if (tombstone_is(&value))
		return ERR_ERASED;
	error = keys_get(core, ref, STATE_CLASS, false, &key);
	if (error)
		return error;
	if (value.n < SEAL_OVERHEAD)
		return ERR_CORRUPT;
	bytes = arena_alloc(arena, value.n - SEAL_OVERHEAD);
	if (!bytes)
		return ERR_NOMEM;
	if (crypt_open(key, value.bytes, value.n, ref, strlen(ref), bytes))
		return ERR_CORRUPT;
	error = pb_unpack_own(&reentry__case_state__descriptor, bytes, value.n - SEAL_OVERHEAD, arena, &state);
	*ret_state = state;
	return error;
}

int case_read(struct core *core, struct db_txn *txn, const char *ref, struct arena *arena, Reentry__CaseState **ret_state)
{
	int error = delta_read(core, txn, ref, arena, ret_state);

	return error == ERR_NOTFOUND ? case_stored(core, txn, ref, arena, ret_state) : error;
}

static struct loaded **bucket_of(struct core *core, const char *ref)
{
	uint32_t hash = 2166136261u;

	for (const char *c = ref; *c; c++)
		hash = (hash ^ (uint8_t)*c) * 16777619u;
	return &core->buckets[(hash ^ hash >> 16) % CASE_BUCKETS];
}

struct loaded *case_touched(struct core *core, const char *ref)
{
	struct loaded *it = *bucket_of(core, ref);

	while (it && strcmp(it->ref, ref) != 0)
		it = it->next_in_bucket;
	return it;
}

int case_load(struct core *core, const char *ref, struct loaded **ret_case)
{
	struct loaded **bucket = bucket_of(core, ref);
	struct loaded *it = case_touched(core, ref);
	int error;

	if (it) {
		*ret_case = it;
		return it->erased ? ERR_ERASED : OK;
	}
	it = arena_alloc(&core->arena, sizeof *it);
	if (!it || !(it->ref = arena_strdup(&core->arena, ref)))
		return ERR_NOMEM;
	it->due = MOMENT_NONE;
	error = delta_load(core, it);
	if (error == ERR_NOTFOUND)
		error = case_stored(core, &core->txn, ref, &core->arena, &it->state);
	if (error && error != ERR_NOTFOUND)
		return error;
	it->fresh = !it->state;
	if (it->state) {
		it->due = rules_next_due(it->state);
		error = relations_again(&it->relations, it->state, core->policy, &core->arena);
		if (error)
			return error;
		it->related = it->relations.list;
		it->n_related = it->relations.n;
	}
	it->next_in_bucket = *bucket;
	*bucket = it;
	it->next = core->cases;
	core->cases = it;
	*ret_case = it;
	return OK;
}

static int flush_due(struct core *core, const struct loaded *it)
{
	moment due = rules_next_due(it->state);
	uint8_t key[DB_KEY_MAX];
	int error;

	if (due == it->due)
		return OK;
	if (it->due != MOMENT_NONE) {
		error = db_del(&core->txn, T_DUE, key, db_key(key, "ts", it->due, it->ref));
		if (error && error != ERR_NOTFOUND)
			return error;
	}
	return due == MOMENT_NONE ? OK : db_put(&core->txn, T_DUE, key, db_key(key, "ts", due, it->ref), "", 0);
}

int related_put(struct core *core, const char *agency, const char *ref, uint32_t relations)
{
	uint8_t key[DB_KEY_MAX], bits[4];
	uint16_t number = 0;
	int error = agency_number(core, agency, true, &number);

	if (error)
		return error;
	for (int i = 0; i < 4; i++)
		bits[i] = (uint8_t)(relations >> (24 - 8 * i));
	if (relations)
		return db_put(&core->txn, T_RELATED, key, db_key(key, "hs", number, ref), bits, sizeof bits);
	error = db_del(&core->txn, T_RELATED, key, db_key(key, "hs", number, ref));
	return error == ERR_NOTFOUND ? OK : error;
}

/* Both lists are sorted by id: what changed between them is written. */
static int flush_related(struct core *core, struct loaded *it)
{
	int error = relations_again(&it->relations, it->state, core->policy, &core->arena);
	const struct related *now = it->relations.list;
	size_t n = it->relations.n, i = 0, k = 0;

	if (!error && now == it->related && n == it->n_related)
		return OK;
	while (!error && (i < it->n_related || k < n)) {
		int order = i == it->n_related ? 1 : k == n ? -1 : strcmp(it->related[i].agency->id, now[k].agency->id);

		if (order < 0) {
			error = related_put(core, it->related[i++].agency->id, it->ref, 0);
		} else if (order > 0) {
			error = related_put(core, now[k].agency->id, it->ref, now[k].relations);
			k++;
		} else {
			if (it->related[i].relations != now[k].relations)
				error = related_put(core, now[k].agency->id, it->ref, now[k].relations);
			i++, k++;
		}
	}
	return error;
}

int case_store(struct core *core, const char *ref, const uint8_t *packed, size_t n)
{
	const uint8_t *key = NULL;
	void *room;
	int error = keys_get(core, ref, STATE_CLASS, true, &key);

	if (!error)
		error = db_put_room(&core->txn, T_CASES, ref, strlen(ref), n + SEAL_OVERHEAD, &room);
	if (!error)
		crypt_seal(key, packed, n, ref, strlen(ref), room);
	return error;
}

int case_store_damaged(struct core *core, const char *ref)
{
	int error = db_put(&core->txn, T_CASES, ref, strlen(ref), "", 1); /* shorter than anything that could be opened */

	return error ? error : case_damaged(core, ref);
}

bool case_is_damaged(const struct core *core, const char *ref)
{
	for (size_t i = 0; i < core->n_damaged; i++)
		if (strcmp(core->damaged[i], ref) == 0)
			return true;
	return false;
}

int case_damaged(struct core *core, const char *ref)
{
	char (*grown)[65];

	if (case_is_damaged(core, ref))
		return OK;
	if (core->n_damaged == DAMAGED_MAX || strlen(ref) >= sizeof *core->damaged)
		return ERR_CORRUPT;
	grown = realloc(core->damaged, (core->n_damaged + 1) * sizeof *grown);
	if (!grown)
		return ERR_NOMEM;
	core->damaged = grown;
	memcpy(grown[core->n_damaged++], ref, strlen(ref) + 1);
	return OK;
}

int case_pack(struct core *core, struct loaded *it)
{
	return it->packed ? OK : pb_pack(it->state, &core->arena, &it->packed, &it->packed_n);
}

/* The state goes to the delta, which writes it when it is cheap, and keeps it unpacked if it will soon be asked for again; a shadow has none. The indexes are written at once: they are what
 * a start relies on. */
static int flush_case(struct core *core, struct loaded *it)
{
	int error = delta_comes_again(core, it) ? OK : case_pack(core, it);

	it->flushed = true;
	if (!error && !core->delta)
		error = case_store(core, it->ref, it->packed, it->packed_n);
	if (!error && core->delta)
		error = behind_list(core, &(struct behind_case){ it->state->last, it->fresh, it->ref });
	if (!error)
		error = flush_due(core, it);
	return error ? error : flush_related(core, it);
}

int cases_flush(struct core *core)
{
	int error = OK;

	for (struct loaded *it = core->cases; it && !error; it = it->next)
		if (it->dirty && it->state)
			error = flush_case(core, it);
	return error ? error : delta_flush(core, false);
}
