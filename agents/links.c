/* Nothing that is routed names a person, so an agency keeps its own file number beside a case reference: sealed, never sent. */
#include "agents/agent.h"

#include <string.h>

#include "lib/id.h"
#include "lib/pb.h"

/* A file number as a key: hashed under our own key, since numbers can be guessed. */
static size_t number_key(struct agent *agent, const char *number, uint8_t ret_key[HASH_SIZE])
{
	uint8_t key[KEY_SIZE];
	crypt_derive(agent->store.keys.own, "numbers_", 1, key);
	crypt_keyed_hash(key, number, strlen(number), ret_key, HASH_SIZE);
	crypt_wipe(key, sizeof key);
	return HASH_SIZE;
}

static const char *subject_of(struct agent *agent, struct db_txn *txn, const char *number, struct arena *arena)
{
	uint8_t key[HASH_SIZE];
	struct db_value value;
	if (db_get(txn, TABLE_NUMBERS, key, number_key(agent, number, key), &value) != OK)
		return NULL;
	char *subject = arena_alloc(arena, value.n + 1);
	if (subject != NULL)
		memcpy(subject, value.bytes, value.n);
	return subject;
}

const char *links_subject(struct agent *agent, struct db_txn *txn, const char *name, struct arena *arena)
{
	const char *subject = subject_of(agent, txn, name, arena);
	return subject != NULL ? subject : name;
}

int links_number(struct agent *agent, struct db_txn *txn, const char *subject, struct arena *arena, const char **ret_number)
{
	uint8_t key[DB_KEY_MAX];
	size_t n = db_key(key, "s", subject);
	struct place place = {TABLE_LINKS, 0, subject};
	struct db_value value;
	Reentry__AgentEntry *entry;
	Reentry__AgentLink *link;
	int r = n == 0 ? ERR_NOTFOUND : db_get(txn, TABLE_LINKS, key, n, &value);
	if (r == OK)
		r = entry_read(value, arena, &entry);
	if (r == OK)
		r = entry_open(agent, &place, entry, arena, &link);
	if (r == OK && link->number == NULL)
		r = ERR_CORRUPT;
	if (r == OK)
		*ret_number = link->number;
	return r;
}

int links_remove(struct agent *agent, const char *subject)
{
	struct db_txn *txn = turn_txn(agent);
	const char *number;
	uint8_t key[HASH_SIZE];
	int r = links_number(agent, txn, subject, &agent->turn.arena, &number);
	if (r != OK)
		return r;
	(void)db_del(txn, TABLE_NUMBERS, key, number_key(agent, number, key)); /* remembered by the transaction */
	return db_del(txn, TABLE_LINKS, subject, strlen(subject) + 1);
}

int links_set(struct agent *agent, const char *subject, const char *number, struct err *err)
{
	struct db_txn *txn = turn_txn(agent);
	uint8_t key[HASH_SIZE];
	size_t n = strlen(number);
	if (!ref_is_valid(subject))
		return err_set(err, ERR_INVALID, "\"%s\" is no case reference (1-64 of A-Z a-z 0-9 . _ -)", subject);
	if (n > NUMBER_MAX)
		return err_set(err, ERR_INVALID, "a file number has at most %d bytes", NUMBER_MAX);
	const char *other = n > 0 ? subject_of(agent, txn, number, &agent->turn.arena) : NULL;
	if (other != NULL && strcmp(other, subject) != 0)
		return err_set(err, ERR_EXISTS, "that file number is linked to case %s already: remove it there first (reentry link %s \"\")", other, other);
	int r = links_remove(agent, subject);
	if (r != OK && r != ERR_NOTFOUND && r != ERR_ERASED)
		return err_set(err, r, "%s", err_text(r));
	if (n == 0)
		return OK;
	struct place place = {TABLE_LINKS, 0, subject};
	Reentry__AgentEntry entry = REENTRY__AGENT_ENTRY__INIT;
	Reentry__AgentLink link = REENTRY__AGENT_LINK__INIT;
	link.number = arena_strdup(&agent->turn.arena, number);
	r = link.number == NULL ? ERR_NOMEM : entry_put(agent, &place, &entry, &link);
	if (r == OK)
		r = db_put(txn, TABLE_NUMBERS, key, number_key(agent, number, key), subject, strlen(subject));
	return r == OK ? OK : err_set(err, r, "%s", err_text(r));
}
