/* Case keys: one per case and class, sealed under the master key, in an environment of their own (design.md 1). They are made and synced before
 * the first record that uses them is committed; a crash between the two leaves an orphan, which harms nobody. */
#include <stdlib.h>
#include <string.h>

#include "broker/core_internal.h"

#define CLASSES 4
#define SEALED_SIZE (CLASSES * KEY_SIZE + SEAL_OVERHEAD)

/* Eight places for the keys of the cases whose references fall into it; the oldest one is given up. A case is known by 16 bytes of a keyed hash of its reference: two that share them are as
 * unlikely as a guessed key, and a place takes two thirds of what it would with the reference in it. All zero: free. */
struct key_set {
	uint8_t oldest;
	struct case_keys { uint8_t tag[SHORT_HASH_SIZE], key[CLASSES][KEY_SIZE]; } places[KEY_WAYS];
};

/* A set is made when it is first met: a core of few cases has few pages to hold, and to wipe. NULL: no memory. */
static struct key_set *set_of(struct core *core, const char *ref, uint8_t tag[SHORT_HASH_SIZE])
{
	struct key_set **set;
	uint32_t number;

	crypt_short_hash(ref, strlen(ref), tag);
	memcpy(&number, tag, sizeof number);
	set = &core->key_sets[number % KEY_SETS];
	if (!*set)
		*set = calloc(1, sizeof **set);
	return *set;
}

static struct case_keys *find(struct key_set *set, const uint8_t tag[SHORT_HASH_SIZE])
{
	for (size_t i = 0; i < KEY_WAYS; i++)
		if (memcmp(set->places[i].tag, tag, SHORT_HASH_SIZE) == 0)
			return &set->places[i];
	return NULL;
}

static void forget(struct core *core, const char *ref)
{
	uint8_t tag[SHORT_HASH_SIZE];
	struct key_set *set = set_of(core, ref, tag);
	struct case_keys *place = set ? find(set, tag) : NULL;

	if (place)
		crypt_wipe(place, sizeof *place);
}

void keys_forget(struct core *core)
{
	for (size_t i = 0; i < KEY_SETS; i++) {
		if (core->key_sets[i])
			crypt_wipe(core->key_sets[i], sizeof *core->key_sets[i]);
		free(core->key_sets[i]);
		core->key_sets[i] = NULL;
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

static int make_keys(struct core *core, const char *ref, uint8_t key[CLASSES][KEY_SIZE])
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
	crypt_random(key, CLASSES * KEY_SIZE);
	crypt_seal(core->master, key, CLASSES * KEY_SIZE, ref, strlen(ref), sealed);
	error = db_put(&core->key_txn, 0, ref, strlen(ref), sealed, sizeof sealed);
	if (error)
		return error;
	memcpy(grown[core->n_new_keys++], ref, strlen(ref) + 1);
	return OK;
}

static int open_keys(struct core *core, const char *ref, uint8_t key[CLASSES][KEY_SIZE])
{
	struct db_txn read, *txn = core->in_key_txn ? &core->key_txn : &read;
	struct db_value value;
	int error = core->in_key_txn ? OK : db_begin_read(core->keys, &read);

	if (!error)
		error = db_get(txn, 0, ref, strlen(ref), &value);
	if (!error && value.n != SEALED_SIZE)
		error = ERR_CORRUPT;
	if (!error && crypt_open(core->master, value.bytes, value.n, ref, strlen(ref), key[0]))
		error = ERR_CORRUPT;
	if (!core->in_key_txn)
		db_abort(&read);
	return error;
}

int keys_get(struct core *core, const char *ref, Reentry__Class__Value class, bool make, const uint8_t **ret_key)
{
	uint8_t tag[SHORT_HASH_SIZE];
	struct key_set *set;
	struct case_keys *place;
	int error = OK;

	if (!core->keys)
		return ERR_DENIED;
	if (class < REENTRY__CLASS__VALUE__A || class > REENTRY__CLASS__VALUE__D || strlen(ref) >= sizeof *core->new_keys)
		return ERR_CORRUPT;
	set = set_of(core, ref, tag);
	if (!set)
		return ERR_NOMEM;
	place = find(set, tag);
	if (!place) {
		place = &set->places[set->oldest++ % KEY_WAYS];
		memset(place->tag, 0, sizeof place->tag);
		error = open_keys(core, ref, place->key);
		if (error == ERR_NOTFOUND)
			error = make && !core->shadow ? make_keys(core, ref, place->key) : ERR_ERASED;
		if (!error)
			memcpy(place->tag, tag, sizeof tag);
	}
	if (error)
		return error;
	*ret_key = place->key[class - REENTRY__CLASS__VALUE__A];
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
	for (size_t i = 0; i < core->n_new_keys; i++)
		forget(core, core->new_keys[i]);
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
		forget(core, refs[i]);
		error = db_del(&txn, K_KEYS, refs[i], strlen(refs[i]));
		error = error == ERR_NOTFOUND ? OK : error;
		if (!error)
			error = erased_keep(core, &txn, refs[i]);
	}
	if (error)
		db_abort(&txn);
	else
		error = db_commit(&txn);
	if (error)
		return err_set(err, error, "the keys could not be deleted: %s", err_text(error));
	return db_rewrite(core->keys, err);
}
