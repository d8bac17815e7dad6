/* Case keys: one per case and class, sealed under the master key, in an environment of their own (design.md 1). They are made and synced before
 * the first record that uses them is committed; a crash between the two leaves an orphan, which harms nobody. */
#include <stdlib.h>
#include <string.h>

#include "broker/core_internal.h"

#define CLASSES 4
#define SEALED_SIZE (CLASSES * KEY_SIZE + SEAL_OVERHEAD)

/* Eight places for the keys of the cases whose references fall into it; the oldest one is given up. A case is known by 16 bytes of a keyed hash of its reference: two that share them are as
 * unlikely as a guessed key, and a place takes two thirds of what it would with the reference in it. All zero: free. The tags stand together: each place that is looked at
 * would be a line of memory to wait for otherwise. */
struct key_set {
	uint8_t tags[KEY_WAYS][SHORT_HASH_SIZE];
	struct case_keys { uint8_t key[CLASSES][KEY_SIZE]; } places[KEY_WAYS];
	uint8_t oldest;
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

/* KEY_WAYS: none. */
static size_t find(const struct key_set *set, const uint8_t tag[SHORT_HASH_SIZE])
{
	size_t i = 0;

	while (i < KEY_WAYS && memcmp(set->tags[i], tag, SHORT_HASH_SIZE) != 0)
		i++;
	return i;
}

static void forget(struct core *core, const char *ref)
{
	uint8_t tag[SHORT_HASH_SIZE];
	struct key_set *set = set_of(core, ref, tag);
	const size_t at = set ? find(set, tag) : KEY_WAYS;

	core->keys_of[0] = '\0';
	crypt_seal_forget();
	if (at == KEY_WAYS)
		return;
	crypt_wipe(set->tags[at], sizeof set->tags[at]);
	crypt_wipe(&set->places[at], sizeof set->places[at]);
}

void keys_forget(struct core *core)
{
	core->keys_of[0] = '\0';
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

/* The place of a case's keys, opened or made if they are not there. */
static int place_of(struct core *core, const char *ref, bool make, const struct case_keys **ret_place)
{
	uint8_t tag[SHORT_HASH_SIZE];
	struct key_set *set = set_of(core, ref, tag);
	size_t at = set ? find(set, tag) : 0;
	int error = set ? OK : ERR_NOMEM;

	if (set && at == KEY_WAYS) {
		at = set->oldest++ % KEY_WAYS;
		core->keys_of[0] = '\0'; /* its place may be this one */
		memset(set->tags[at], 0, sizeof set->tags[at]);
		error = open_keys(core, ref, set->places[at].key);
		if (error == ERR_NOTFOUND)
			error = make && !core->shadow ? make_keys(core, ref, set->places[at].key) : ERR_ERASED;
		if (!error)
			memcpy(set->tags[at], tag, sizeof tag);
	}
	if (!error)
		*ret_place = &set->places[at];
	return error;
}

int keys_get(struct core *core, const char *ref, Reentry__Class__Value class, bool make, const uint8_t **ret_key)
{
	int error = OK;

	if (!core->keys)
		return ERR_DENIED;
	if (class < REENTRY__CLASS__VALUE__A || class > REENTRY__CLASS__VALUE__D || strlen(ref) >= sizeof core->keys_of)
		return ERR_CORRUPT;
	if (strcmp(core->keys_of, ref) != 0 || !*ref) {
		error = place_of(core, ref, make, &core->keys_last);
		if (error)
			return error;
		memcpy(core->keys_of, ref, strlen(ref) + 1);
	}
	*ret_key = core->keys_last->key[class - REENTRY__CLASS__VALUE__A];
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
