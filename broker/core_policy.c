/* The policy on the record: the effective configuration is a record of its own whenever it differs from the last one, so that a rebuild evolves each record
 * under the policy that it was decided under. The index of relations follows who holds which codes, so it is made again when that changes. */
#include <string.h>

#include "broker/config.h"
#include "broker/core_internal.h"
#include "lib/pb.h"

#define FINGERPRINT 16

static const char recorded[] = "config", recorded_at[] = "config-at", indexed[] = "relations";

static int same_as_stored(struct core *core, const char *name, size_t name_n, const uint8_t *fingerprint, bool *ret_found, bool *ret_same)
{
	struct db_value found;
	int error = db_get(&core->txn, T_META, name, name_n, &found);

	*ret_found = !error;
	*ret_same = !error && found.n == FINGERPRINT && memcmp(found.bytes, fingerprint, FINGERPRINT) == 0;
	return error == ERR_NOTFOUND ? OK : error;
}

/* Of what relations_of depends on: agencies, their roles and codes. */
static int relations_fingerprint(struct core *core, uint8_t ret_fingerprint[FINGERPRINT])
{
	const struct policy *policy = core->policy;
	struct buf text;
	int error;

	buf_init(&text);
	for (size_t i = 0; i < policy->n_agencies; i++) {
		buf_printf(&text, "%s %s", policy->agencies[i].id, role_name(policy->agencies[i].role));
		for (size_t k = 0; k < policy->agencies[i].n_codes; k++)
			buf_printf(&text, " %s", policy->agencies[i].codes[k]);
		buf_text(&text, "\n");
	}
	error = text.error;
	crypt_keyed_hash(core->hash_key, text.n ? (const void *)text.bytes : "", text.n, ret_fingerprint, FINGERPRINT);
	buf_release(&text);
	return error;
}

static int index_case(struct core *core, const char *ref, struct arena *arena)
{
	Reentry__CaseState *state = NULL;
	struct related *related = NULL;
	size_t n = 0;
	int error = case_read(core, &core->txn, ref, arena, &state);

	if (error == ERR_CORRUPT)
		return case_damaged(core, ref);
	if (error)
		return error == ERR_ERASED ? OK : error;
	error = relations_of(state, core->policy, arena, &related, &n);
	for (size_t i = 0; i < n && !error; i++)
		error = related_put(core, related[i].agency->id, ref, related[i].relations);
	return error;
}

/* Every case is read once: as long as a start of LMDB's own copy takes, and only when agencies, roles or codes change. */
static int index_all(struct core *core)
{
	struct db_cursor cursor;
	struct arena arena;
	int error = delta_flush(core, true); /* so that the table has every case */

	arena_init(&arena, 0);
	if (!error)
		error = db_clear(&core->txn, T_RELATED);
	if (!error)
		DB_FOREACH(&cursor, &core->txn, T_CASES, NULL, 0) {
			char ref[DB_KEY_MAX + 1];

			memcpy(ref, cursor.key.bytes, cursor.key.n);
			ref[cursor.key.n] = 0;
			arena_reset(&arena);
			error = index_case(core, ref, &arena);
			if (error) {
				db_cursor_close(&cursor);
				break;
			}
		}
	arena_release(&arena);
	return error ? error : core->txn.error;
}

int policy_apply(struct core *core)
{
	uint8_t fingerprint[FINGERPRINT];
	bool found, same;
	int error = relations_fingerprint(core, fingerprint);

	if (!error)
		error = same_as_stored(core, indexed, sizeof indexed, fingerprint, &found, &same);
	if (error || same)
		return error;
	if (found)
		error = index_all(core);
	return error ? error : db_put(&core->txn, T_META, indexed, sizeof indexed, fingerprint, sizeof fingerprint);
}

int policy_recorded_at(struct db_txn *txn, uint64_t *ret_position)
{
	struct db_value found;
	int error = db_get(txn, T_META, recorded_at, sizeof recorded_at, &found);

	*ret_position = 0;
	for (size_t i = 0; !error && i < found.n; i++)
		*ret_position = *ret_position << 8 | ((const uint8_t *)found.bytes)[i];
	return error == ERR_NOTFOUND ? OK : error;
}

static int text_on_record(struct core *core, struct db_txn *txn, struct arena *arena, char **ret_text)
{
	struct core_record record;
	void *message = NULL;
	uint64_t position = 0;
	int error = policy_recorded_at(txn, &position);

	if (!error)
		error = position ? log_read(core, txn, position, arena, &record) : ERR_NOTFOUND;
	if (!error)
		error = pb_unpack_own(&reentry__config_record__descriptor, record.body, record.body_n, arena, &message);
	if (error)
		return error;
	*ret_text = arena_alloc(arena, ((Reentry__ConfigRecord *)message)->policy.len + 1);
	if (!*ret_text)
		return ERR_NOMEM;
	memcpy(*ret_text, ((Reentry__ConfigRecord *)message)->policy.data, ((Reentry__ConfigRecord *)message)->policy.len);
	return OK;
}

int policy_on_record(struct core *core, struct db_txn *txn, const struct policy **ret_policy)
{
	struct arena arena;
	char *text = NULL;
	int error = OK;

	*ret_policy = core->decided ? &core->decided->policy : core->policy;
	if (core->config_current || core->decided)
		return OK;
	arena_init(&arena, 0);
	error = text_on_record(core, txn, &arena, &text);
	if (!error && strcmp(text, core->policy_text) != 0)
		error = broker_config_parse(text, &core->decided, NULL);
	if (core->decided)
		*ret_policy = &core->decided->policy;
	arena_release(&arena);
	return error == ERR_NOTFOUND ? OK : error;
}

int policy_mark(struct core *core, const void *text, size_t n, uint64_t position)
{
	uint8_t fingerprint[FINGERPRINT], value[8];
	int error;

	for (int i = 0; i < 8; i++)
		value[i] = (uint8_t)(position >> (56 - 8 * i));
	crypt_keyed_hash(core->hash_key, text, n, fingerprint, sizeof fingerprint);
	error = db_put(&core->txn, T_META, recorded_at, sizeof recorded_at, value, sizeof value);
	return error ? error : db_put(&core->txn, T_META, recorded, sizeof recorded, fingerprint, sizeof fingerprint);
}

int policy_record(struct core *core)
{
	Reentry__Header header = REENTRY__HEADER__INIT;
	Reentry__ConfigRecord config = REENTRY__CONFIG_RECORD__INIT;
	uint8_t fingerprint[FINGERPRINT];
	uint8_t *body = NULL;
	size_t n = 0, text_n = strlen(core->policy_text);
	bool found, same;
	int error;

	crypt_keyed_hash(core->hash_key, core->policy_text, text_n, fingerprint, sizeof fingerprint);
	error = same_as_stored(core, recorded, sizeof recorded, fingerprint, &found, &same);
	if (!error && !same && found)
		error = delta_flush(core, true); /* what is behind this record is folded and written under the policy before it */
	if (error || same)
		return error;
	config.has_rules_version = config.has_policy = true;
	config.rules_version = RULES_VERSION;
	config.policy.data = (uint8_t *)(uintptr_t)core->policy_text;
	config.policy.len = text_n;
	header.has_kind = header.has_previous = true;
	header.kind = REENTRY__RECORD_KIND__VALUE__CONFIG;
	header.agency = (char *)(uintptr_t)core->policy->broker_id;
	error = policy_recorded_at(&core->txn, &header.previous);
	if (!error)
		error = pb_pack(&config, &core->arena, &body, &n);
	if (!error)
		error = log_append(core, &header, body, n);
	core->settle = true; /* what a start does again was all decided under one policy */
	if (!error)
		error = policy_mark(core, core->policy_text, text_n, core->last);
	return error ? error : policy_apply(core);
}
