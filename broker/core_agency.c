/* Agencies have a small number in the store's keys, stable for ever: queue and de-duplication keys stay short whatever their names. */
#include <stdlib.h>
#include <string.h>

#include "broker/core_internal.h"

static uint16_t *slot_of(struct core *core, const char *id)
{
	uint32_t hash = 2166136261u;
	uint32_t at;

	for (const char *c = id; *c; c++)
		hash = (hash ^ (uint8_t)*c) * 16777619u;
	for (at = hash % AGENCY_SLOTS; core->agency_slots[at]; at = (at + 1) % AGENCY_SLOTS)
		if (strcmp(core->agencies[core->agency_slots[at] - 1].id, id) == 0)
			break;
	return &core->agency_slots[at];
}

static int add(struct core *core, const char *id, size_t n)
{
	struct agency_entry *grown;

	if (n >= sizeof grown->id || core->n_agencies >= AGENCY_MAX)
		return ERR_FULL;
	grown = realloc(core->agencies, (core->n_agencies + 1) * sizeof *grown);
	if (!grown)
		return ERR_NOMEM;
	core->agencies = grown;
	memset(&grown[core->n_agencies], 0, sizeof *grown);
	memcpy(grown[core->n_agencies].id, id, n);
	core->n_agencies++;
	*slot_of(core, grown[core->n_agencies - 1].id) = (uint16_t)core->n_agencies;
	return OK;
}

/* Numbers are dense: a gap, an id that is none, or one that has a number already would give queues to another agency. */
static int load_one(struct core *core, const struct db_value *key, const struct db_value *id)
{
	const uint8_t *bytes = key->bytes;
	char text[33] = "";

	if (key->n != 2 || (size_t)(bytes[0] << 8 | bytes[1]) != core->n_agencies || id->n == 0 || id->n >= sizeof text)
		return ERR_CORRUPT;
	memcpy(text, id->bytes, id->n);
	if (strlen(text) != id->n || *slot_of(core, text))
		return ERR_CORRUPT;
	return add(core, text, id->n);
}

/* The table is keyed by number, so that loading keeps the order. */
int agencies_load(struct core *core)
{
	struct db_txn txn;
	struct db_cursor cursor;
	int error = db_begin_read(core->db, &txn);

	if (!error)
		DB_FOREACH(&cursor, &txn, T_AGENCIES, NULL, 0)
			if (!error)
				error = load_one(core, &cursor.key, &cursor.value);
	if (!error)
		error = txn.error;
	db_abort(&txn);
	core->n_agencies_committed = core->n_agencies;
	return error;
}

int agency_number(struct core *core, const char *id, bool make, uint16_t *ret_number)
{
	uint16_t *slot = slot_of(core, id);
	uint8_t key[DB_KEY_MAX];
	size_t n;
	int error;

	if (*slot) {
		*ret_number = (uint16_t)(*slot - 1);
		return OK;
	}
	if (!make)
		return ERR_NOTFOUND;
	error = add(core, id, strlen(id));
	if (error)
		return error;
	*ret_number = (uint16_t)(core->n_agencies - 1);
	n = db_key(key, "h", *ret_number);
	return db_put(&core->txn, T_AGENCIES, key, n, id, strlen(id));
}

void agency_touch(struct core *core, uint16_t number)
{
	uint16_t *grown;

	if (core->agencies[number].touched)
		return;
	grown = realloc(core->touched, (core->n_touched + 1) * sizeof *grown);
	if (!grown)
		return; /* a hint only: the next delivery round finds it */
	core->touched = grown;
	core->touched[core->n_touched++] = number;
	core->agencies[number].touched = true;
}

void agencies_rollback(struct core *core)
{
	core->n_agencies = core->n_agencies_committed;
	memset(core->agency_slots, 0, sizeof core->agency_slots);
	for (size_t i = 0; i < core->n_agencies; i++)
		*slot_of(core, core->agencies[i].id) = (uint16_t)(i + 1);
}

void agency_tell(struct core *core, uint16_t number)
{
	uint16_t *grown = realloc(core->told, (core->n_told + 1) * sizeof *grown);

	if (!grown)
		return; /* as above */
	core->told = grown;
	core->told[core->n_told++] = number;
}
