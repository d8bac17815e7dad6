/* Case keys: one per case and class, sealed under the master key, in an environment of their own (design.md 1). They are made and synced before
 * the first record that uses them is committed; a crash between the two leaves an orphan, which harms nobody. */
#include <stdlib.h>
#include <string.h>

#include "broker/core_internal.h"

#define CLASSES 4
#define SEALED_SIZE (CLASSES * KEY_SIZE + SEAL_OVERHEAD)

/* The place of a case's keys. Its block is made when it is first met: a core of few cases has few pages to hold, and to wipe. NULL: no memory. */
static struct case_keys *cache_slot(struct core *core, const char *ref)
{
	uint64_t hash = UINT64_C(14695981039346656037);
	struct case_keys **block;

	for (const char *c = ref; *c; c++)
		hash = (hash ^ (uint8_t)*c) * UINT64_C(1099511628211);
	hash = (hash ^ hash >> 32) % KEY_CACHE;
	block = &core->key_blocks[hash / KEY_BLOCK];
	if (!*block)
		*block = calloc(KEY_BLOCK, sizeof **block);
	return *block ? &(*block)[hash % KEY_BLOCK] : NULL;
}

void keys_forget(struct core *core)
{
	for (size_t i = 0; i < KEY_CACHE / KEY_BLOCK; i++) {
		if (core->key_blocks[i])
			crypt_wipe(core->key_blocks[i], KEY_BLOCK * sizeof *core->key_blocks[i]);
		free(core->key_blocks[i]);
		core->key_blocks[i] = NULL;
	}
}

static int begin_writing(struct core *core)
{
	int error;

	if (core->in_key_txn)
		return OK;
	error = db_begin(core->keys, &core->key_txn);
	core->in_key_txn = !error;
	return error;
}

static int make_keys(struct core *core, const char *ref, struct case_keys *slot)
{
	uint8_t sealed[SEALED_SIZE];
	char (*grown)[65];
	int error = begin_writing(core);

	if (error)
		return error;
	grown = realloc(core->new_keys, (core->n_new_keys + 1) * sizeof *grown);
	if (!grown)
		return ERR_NOMEM;
	core->new_keys = grown;
	crypt_random(slot->key, sizeof slot->key);
	crypt_seal(core->master, slot->key, sizeof slot->key, ref, strlen(ref), sealed);
	error = db_put(&core->key_txn, 0, ref, strlen(ref), sealed, sizeof sealed);
	if (error)
		return error;
	memcpy(grown[core->n_new_keys++], slot->ref, sizeof slot->ref);
	slot->used = true;
	return OK;
}

static int open_keys(struct core *core, const char *ref, struct case_keys *slot)
{
	struct db_txn read, *txn = core->in_key_txn ? &core->key_txn : &read;
	struct db_value value;
	int error = core->in_key_txn ? OK : db_begin_read(core->keys, &read);

	if (!error)
		error = db_get(txn, 0, ref, strlen(ref), &value);
	if (!error && value.n != SEALED_SIZE)
		error = ERR_CORRUPT;
	if (!error && crypt_open(core->master, value.bytes, value.n, ref, strlen(ref), slot->key[0]))
		error = ERR_CORRUPT;
	if (!core->in_key_txn)
		db_abort(&read);
	slot->used = !error;
	return error;
}

int keys_get(struct core *core, const char *ref, Reentry__Class__Value class, bool make, const uint8_t **ret_key)
{
	struct case_keys *slot = cache_slot(core, ref);
	int error = OK;

	if (!core->keys)
		return ERR_DENIED;
	if (!slot)
		return ERR_NOMEM;
	if (class < REENTRY__CLASS__VALUE__A || class > REENTRY__CLASS__VALUE__D || strlen(ref) >= sizeof slot->ref)
		return ERR_CORRUPT;
	if (!slot->used || strcmp(slot->ref, ref) != 0) {
		slot->used = false;
		memset(slot->ref, 0, sizeof slot->ref);
		memcpy(slot->ref, ref, strlen(ref));
		error = open_keys(core, ref, slot);
		if (error == ERR_NOTFOUND)
			error = make && !core->shadow ? make_keys(core, ref, slot) : ERR_ERASED;
	}
	if (error)
		return error;
	*ret_key = slot->key[class - REENTRY__CLASS__VALUE__A];
	return OK;
}

int keys_commit(struct core *core)
{
	int error = core->in_key_txn ? db_commit(&core->key_txn) : OK;

	core->in_key_txn = false;
	if (!error)
		core->n_new_keys = 0;
	return error;
}

/* Keys that this turn made never existed; what the cache has of them goes too. */
void keys_rollback(struct core *core)
{
	if (core->in_key_txn)
		db_abort(&core->key_txn);
	core->in_key_txn = false;
	for (size_t i = 0; i < core->n_new_keys; i++) {
		struct case_keys *slot = cache_slot(core, core->new_keys[i]);

		if (slot)
			crypt_wipe(slot, sizeof *slot);
	}
	core->n_new_keys = 0;
}

/* --- destruction ------------------------------------------------------------------------------------------------------------ */

bool keys_exist(struct core *core, const char *ref)
{
	struct db_value value;
	struct db_txn txn;
	bool found = db_begin_read(core->keys, &txn) == OK && db_get(&txn, 0, ref, strlen(ref), &value) == OK;

	db_abort(&txn);
	return found;
}

/* Deleting alone would leave the key in pages that LMDB has free; only the rewritten file is without it. A rewrite that failed is done again: the caller asks for it until it succeeds. */
int keys_destroy(struct core *core, const char *const *refs, size_t n, struct err *err)
{
	struct db_txn txn;
	int error = db_begin(core->keys, &txn);

	for (size_t i = 0; i < n && !error; i++) {
		struct case_keys *slot = cache_slot(core, refs[i]);

		if (slot && strcmp(slot->ref, refs[i]) == 0)
			crypt_wipe(slot, sizeof *slot);
		error = db_del(&txn, 0, refs[i], strlen(refs[i]));
		error = error == ERR_NOTFOUND ? OK : error;
	}
	if (error)
		db_abort(&txn);
	else
		error = db_commit(&txn);
	if (error)
		return err_set(err, error, "the keys could not be deleted: %s", err_text(error));
	return db_rewrite(core->keys, err);
}
