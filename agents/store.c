/* The agent's tables, and entries that are sealed under the key of their case. */
#include "agents/agent.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/daemon.h"
#include "lib/pb.h"

static const char *const tables[TABLE_COUNT + 1] = {
	[TABLE_META] = "meta",     [TABLE_OUTBOX] = "outbox", [TABLE_SENT] = "sent",   [TABLE_REFUSED] = "refused", [TABLE_IDS] = "ids",
	[TABLE_INBOX] = "inbox",   [TABLE_OPEN] = "open",     [TABLE_CASES] = "cases", [TABLE_LINKS] = "links",     [TABLE_NUMBERS] = "numbers",
	[TABLE_OUT] = "out",       [TABLE_EXEC] = "exec",     [TABLE_COPIES] = "copies", [TABLE_FILES] = "files",   [TABLE_PURGES] = "purges",
	[TABLE_LOST] = "lost",
};
/* Receipts, acknowledgements and purges still find room when nothing new is taken in any more. */
#define STORE_RESERVE ((size_t)8 << 20)

/* A value that must be what it was when the store was made; put there if it is new. */
static int check_value(struct db_txn *txn, const char *name, const void *bytes, size_t n)
{
	struct db_value value;
	int r = store_meta_get(txn, name, &value);
	if (r == ERR_NOTFOUND)
		return store_meta_put(txn, name, bytes, n);
	return r != OK ? r : value.n == n && memcmp(value.bytes, bytes, n) == 0 ? OK : ERR_INVALID;
}

/* That this is our format, our agency, and the store.key that the cases' keys were sealed with. */
static int check_store(struct store *store, const char *dir, const char *agency, struct err *err)
{
	uint8_t format = STORE_FORMAT, proof[HASH_SIZE];
	struct db_txn txn;
	int r = db_begin(store->db, &txn);
	txn.reserve = true;
	crypt_keyed_hash(store->keys.own, "store.key", 9, proof, sizeof proof);
	const char *wrong = "is of another format than this program's: use the program that it was made with";
	if (r == OK)
		r = check_value(&txn, "format", &format, sizeof format);
	if (r == OK) {
		wrong = "belongs to another agency: check agent.id and agent.store";
		r = check_value(&txn, "agency", agency, strlen(agency));
	}
	if (r == OK) {
		wrong = "was made with another store.key: put that one back, nothing can be read without it";
		r = check_value(&txn, "key", proof, sizeof proof);
	}
	if (r == OK)
		r = db_commit(&txn);
	db_abort(&txn);
	return r == OK ? OK : err_set(err, r, "%s: %s", dir, r == ERR_INVALID ? wrong : err_text(r));
}

int store_open(struct store *store, const char *dir, int64_t size_max, const char *agency, struct err *err)
{
	*store = (struct store){0};
	char path[4096];
	int n = snprintf(path, sizeof path, "%s/entries", dir);
	if (n < 0 || (size_t)n >= sizeof path)
		return err_set(err, ERR_TOOBIG, "%s: the path is too long", dir);
	int r = daemon_mkdir(dir, err);
	struct db_options options = {.size_max = (size_t)size_max, .reserve = STORE_RESERVE, .tables = tables};
	if (r == OK)
		r = db_open(path, &options, &store->db, err);
	if (r == OK)
		r = case_keys_open(&store->keys, dir, err);
	if (r == OK)
		r = check_store(store, dir, agency, err);
	if (r != OK)
		store_close(store);
	return r;
}

void store_close(struct store *store)
{
	case_keys_close(&store->keys);
	db_close(store->db);
	store->db = NULL;
}

int store_meta_put(struct db_txn *txn, const char *name, const void *bytes, size_t n)
{
	return db_put(txn, TABLE_META, name, strlen(name) + 1, bytes, n);
}

int store_meta_get(struct db_txn *txn, const char *name, struct db_value *ret_value)
{
	return db_get(txn, TABLE_META, name, strlen(name) + 1, ret_value);
}

/* --- entries ------------------------------------------------------------------------------------------------------ */

/* An entry's key in its table: its number, but for links, which have one per case. */
static size_t entry_key(const struct place *place, uint8_t key[DB_KEY_MAX])
{
	return place->table == TABLE_LINKS ? db_key(key, "s", place->subject) : db_key(key, "q", place->number);
}

/* What the seal is bound to: an entry that is moved to another place does not open. */
static size_t bound_to(const struct place *place, uint8_t bound[DB_KEY_MAX])
{
	return db_key(bound, "bqs", (int)place->table, place->number, place->subject);
}

static int seal(struct agent *agent, const struct place *place, Reentry__AgentEntry *entry, const uint8_t *bytes, size_t n)
{
	uint8_t key[KEY_SIZE], bound[DB_KEY_MAX];
	uint32_t generation;
	int r = case_keys_current(&agent->store.keys, place->subject, &generation, key);
	if (r != OK)
		return r;
	uint8_t *sealed = arena_alloc(&agent->turn.arena, n + SEAL_OVERHEAD);
	if (sealed != NULL)
		crypt_seal(key, bytes, n, bound, bound_to(place, bound), sealed);
	crypt_wipe(key, sizeof key);
	if (sealed == NULL)
		return ERR_NOMEM;
	entry->has_generation = entry->has_sealed = true;
	entry->generation = generation;
	entry->sealed = (ProtobufCBinaryData){n + SEAL_OVERHEAD, sealed};
	entry->subject = arena_strdup(&agent->turn.arena, place->subject);
	return entry->subject != NULL ? OK : ERR_NOMEM;
}

int entry_put(struct agent *agent, const struct place *place, Reentry__AgentEntry *entry, const void *message)
{
	uint8_t *bytes, key[DB_KEY_MAX];
	size_t n;
	struct db_txn *txn = turn_txn(agent);
	int r = pb_pack(message, &agent->turn.arena, &bytes, &n);
	if (r == OK)
		r = seal(agent, place, entry, bytes, n);
	if (r == OK)
		r = entry_update(txn, place, entry);
	if (r == OK && place->table != TABLE_LINKS)
		r = db_put(txn, TABLE_CASES, key, db_key(key, "sbq", place->subject, (int)place->table, place->number), "", 0);
	/* What was half put must not be committed. */
	if (r != OK && txn->error == OK)
		txn->error = r;
	return r;
}

int entry_update(struct db_txn *txn, const struct place *place, const Reentry__AgentEntry *entry)
{
	uint8_t key[DB_KEY_MAX];
	size_t n = reentry__agent_entry__get_packed_size(entry);
	void *room;
	int r = db_put_room(txn, (int)place->table, key, entry_key(place, key), n, &room);
	if (r == OK)
		(void)reentry__agent_entry__pack(entry, room); /* exactly n bytes */
	return r;
}

int entry_read(struct db_value value, struct arena *arena, Reentry__AgentEntry **ret_entry)
{
	return pb_unpack_own(&reentry__agent_entry__descriptor, value.bytes, value.n, arena, ret_entry);
}

int entry_get(struct db_txn *txn, enum table table, uint64_t number, struct arena *arena, Reentry__AgentEntry **ret_entry)
{
	uint8_t key[DB_KEY_MAX];
	struct db_value value;
	int r = db_get(txn, (int)table, key, db_key(key, "q", number), &value);
	if (r == OK && value.n == 0)
		return ERR_NOTFOUND; /* purged */
	return r == OK ? entry_read(value, arena, ret_entry) : r;
}

static const ProtobufCMessageDescriptor *sealed_type(enum table table)
{
	switch (table) {
	case TABLE_INBOX: return &reentry__delivery__descriptor;
	case TABLE_LINKS: return &reentry__agent_link__descriptor;
	default: return &reentry__agent_sent__descriptor;
	}
}

int entry_open(struct agent *agent, const struct place *place, const Reentry__AgentEntry *entry, struct arena *arena, void *ret_message)
{
	uint8_t key[KEY_SIZE], bound[DB_KEY_MAX];
	if (!entry->has_sealed || entry->sealed.len < SEAL_OVERHEAD)
		return ERR_CORRUPT;
	int r = case_keys_get(&agent->store.keys, place->subject, entry->generation, key);
	if (r != OK)
		return r;
	size_t n = entry->sealed.len - SEAL_OVERHEAD;
	uint8_t *bytes = arena_alloc(arena, n);
	r = bytes == NULL ? ERR_NOMEM : crypt_open(key, entry->sealed.data, entry->sealed.len, bound, bound_to(place, bound), bytes);
	crypt_wipe(key, sizeof key);
	if (r != OK)
		return r == ERR_DENIED ? ERR_CORRUPT : r;
	return pb_unpack_own(sealed_type(place->table), bytes, n, arena, ret_message);
}

int entry_delete(struct db_txn *txn, const struct place *place)
{
	uint8_t key[DB_KEY_MAX];
	int r = db_del(txn, (int)place->table, key, entry_key(place, key));
	if (r == OK || r == ERR_NOTFOUND)
		r = db_del(txn, TABLE_CASES, key, db_key(key, "sbq", place->subject, (int)place->table, place->number));
	return r == ERR_NOTFOUND ? OK : r;
}
