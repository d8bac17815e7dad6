/* De-duplication: for ever, on (publisher, id). Content is known by a keyed hash of it, since a bare hash of a guessable date would tell the date. */
#include <string.h>

#include "broker/core_internal.h"

#define ID_HASH 16
_Static_assert(ID_HASH == TAG_SIZE, "what a tag has");

static const char hashed_name[] = "hashed";

static size_t ids_key(uint8_t key[DB_KEY_MAX], uint16_t number, const char *id)
{
	return db_key(key, "hs", number, id);
}

/* Until format 3 it was BLAKE2b, which takes five times as long: what was recorded then keeps it, in a rebuild as well. */
static void content_hash(const struct core *core, uint64_t position, const uint8_t *content, size_t n, uint8_t ret_hash[ID_HASH])
{
	if (position < core->hashed)
		crypt_keyed_hash(core->hash_key, content, n, ret_hash, ID_HASH);
	else
		crypt_tag(core->id_key, content, n, ret_hash);
}

/* Value: position (8 bytes), outcome (1), hash of the content as received (16). */
int ids_put(struct core *core, const char *agency, const char *id, const uint8_t *content, size_t n, uint64_t position, Reentry__Outcome__Value outcome)
{
	uint8_t key[DB_KEY_MAX], value[9 + ID_HASH];
	uint16_t number = 0;
	int error = agency_number(core, agency, true, &number);

	if (error)
		return error;
	put64(value, position);
	value[8] = (uint8_t)outcome;
	content_hash(core, position, content, n, value + 9);
	return db_put(&core->txn, T_IDS, key, ids_key(key, number, id), value, sizeof value);
}

int ids_find(struct core *core, const char *agency, const char *id, const uint8_t *content, size_t n, uint64_t *ret_position)
{
	uint8_t key[DB_KEY_MAX], hash[ID_HASH];
	const uint8_t *value;
	struct db_value found;
	uint16_t number = 0;
	int error = agency_number(core, agency, false, &number);

	if (!error)
		error = db_get(&core->txn, T_IDS, key, ids_key(key, number, id), &found);
	if (error)
		return error;
	if (found.n != 9 + ID_HASH)
		return ERR_CORRUPT;
	value = found.bytes;
	*ret_position = get64(value);
	content_hash(core, *ret_position, content, n, hash);
	return memcmp(hash, value + 9, ID_HASH) == 0 ? OK : ERR_EXISTS;
}

int ids_load(struct core *core)
{
	struct db_value value;
	struct db_txn txn;
	int error = db_begin_read(core->db, &txn);

	if (!error)
		error = db_get(&txn, T_META, hashed_name, sizeof hashed_name, &value);
	if (!error && value.n != 8)
		error = ERR_CORRUPT;
	if (!error)
		core->hashed = get64(value.bytes);
	else if (error == ERR_NOTFOUND)
		core->hashed = core->format == STORE_FORMAT || !core->format ? 0 : UINT64_MAX;
	db_abort(&txn);
	return error == ERR_NOTFOUND ? OK : error;
}

int ids_mark(struct core *core)
{
	uint8_t from[8];

	if (!core->format)
		return OK; /* it has no records yet */
	core->hashed = core->committed + 1;
	put64(from, core->hashed);
	return db_put(&core->txn, T_META, hashed_name, sizeof hashed_name, from, sizeof from);
}
