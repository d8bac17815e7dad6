/* What an agency may not hold any longer is destroyed: first the entries, with the message that asks for it, in one commit; then
 * the key, so that what the disk may still hold of them cannot be read; then it is reported. Every step can be repeated, and the
 * order for it stays in the store until the last one. */
#include "agents/agent.h"

#include <stdio.h>
#include <string.h>

#include "lib/id.h"
#include "lib/log.h"
#include "lib/pb.h"

bool purge_is_due(const Reentry__Delivery *delivery, const Reentry__Event *event)
{
	return (delivery->has_ends && delivery->ends) || strcmp(event->type, "case.withdrawn") == 0 || strcmp(event->type, "erasure.due") == 0;
}

/* --- in the turn of the message ------------------------------------------------------------------------------------------ */

static int forget_received(struct db_txn *txn, const struct place *place)
{
	uint8_t key[DB_KEY_MAX];
	size_t n = db_key(key, "q", place->number);
	int r = entry_delete(txn, place);
	if (r == OK)
		r = db_put(txn, TABLE_INBOX, key, n, "", 0); /* its number is remembered: it must not come in again */
	static const enum table queues[] = {TABLE_OPEN, TABLE_OUT, TABLE_EXEC};
	for (size_t i = 0; i < 3 && r == OK; i++) {
		r = db_del(txn, (int)queues[i], key, n);
		r = r == ERR_NOTFOUND ? OK : r;
	}
	return r;
}

static int forget_sent(struct agent *agent, struct db_txn *txn, const struct place *place)
{
	uint8_t key[DB_KEY_MAX];
	Reentry__AgentEntry *entry;
	int r = entry_get(txn, TABLE_SENT, place->number, &agent->turn.arena, &entry);
	if (r == OK && entry->id != NULL)
		(void)db_del(txn, TABLE_IDS, key, db_key(key, "s", entry->id)); /* remembered by the transaction */
	if (r == OK && entry->refused && db_del(txn, TABLE_REFUSED, key, db_key(key, "q", place->number)) == OK && agent->outbox.refused > 0)
		agent->outbox.refused--;
	return entry_delete(txn, place);
}

/* What was handed in before the message came still waits for its receipt: it goes under the new key. */
static int seal_again(struct agent *agent, struct db_txn *txn, const struct place *place)
{
	Reentry__AgentEntry *entry;
	Reentry__AgentSent *sent;
	int r = entry_get(txn, TABLE_OUTBOX, place->number, &agent->turn.arena, &entry);
	if (r == OK)
		r = entry_open(agent, place, entry, &agent->turn.arena, &sent);
	return r == OK ? entry_put(agent, place, entry, sent) : r;
}

static int forget(struct agent *agent, struct db_txn *txn, const struct place *place)
{
	switch (place->table) {
	case TABLE_INBOX: return forget_received(txn, place);
	case TABLE_SENT: return forget_sent(agent, txn, place);
	case TABLE_OUTBOX: return seal_again(agent, txn, place);
	default: return ERR_CORRUPT;
	}
}

/* Where the entries of a case lie; collected first, since forgetting changes the table that is walked. */
static int places_of(struct agent *agent, struct db_txn *txn, const char *subject, struct place **ret_places, size_t *ret_n)
{
	uint8_t prefix[DB_KEY_MAX];
	size_t n = db_key(prefix, "s", subject);
	struct db_cursor cursor;
	int r = OK;
	DB_FOREACH(&cursor, txn, TABLE_CASES, prefix, n) {
		struct db_value tail = {(const uint8_t *)cursor.key.bytes + n + 1, cursor.key.n - n - 1};
		struct place *place = r == OK ? ARENA_PUSH(&agent->turn.arena, *ret_places, *ret_n) : NULL;
		if (place == NULL) {
			r = ERR_NOMEM;
			continue;
		}
		place->table = (enum table)((const uint8_t *)cursor.key.bytes)[n];
		place->subject = subject;
		if (cursor.key.n != n + 9 || !number_read(tail, &place->number))
			r = ERR_CORRUPT;
	}
	return r != OK ? r : txn->error;
}

static int order(struct agent *agent, struct db_txn *txn, const char *subject, const Reentry__AgentPurge *purge)
{
	uint8_t *bytes;
	size_t n;
	int r = pb_pack(purge, &agent->turn.arena, &bytes, &n);
	return r == OK ? db_put(txn, TABLE_PURGES, subject, strlen(subject) + 1, bytes, n) : r;
}

static void finish(struct agent *agent, void *context, uint64_t n, int result)
{
	(void)context;
	(void)n;
	if (result == OK)
		(void)purge_resume(agent); /* what failed is logged there, and done at the next start */
}

int purge_case(struct agent *agent, const char *subject, bool report, const char *cause)
{
	struct db_txn *txn = turn_txn(agent);
	struct place *places = NULL;
	size_t n = 0;
	uint8_t key[KEY_SIZE];
	uint32_t generation;
	int r = links_remove(agent, subject); /* while its key can still be read */
	if (r == ERR_NOTFOUND || r == ERR_ERASED)
		r = OK;
	if (r == OK)
		r = places_of(agent, txn, subject, &places, &n);
	if (r == OK)
		r = case_keys_next(&agent->store.keys, subject, &generation, key);
	crypt_wipe(key, sizeof key);
	Reentry__AgentPurge purge = REENTRY__AGENT_PURGE__INIT;
	epoch_forget(agent, subject);
	for (size_t i = 0; i < n && r == OK; i++) {
		r = forget(agent, txn, &places[i]);
		purge.purged += places[i].table != TABLE_OUTBOX;
	}
	if (r == OK) {
		purge.has_generation = purge.has_purged = purge.has_report = purge.has_at = true;
		purge.at = clock_now(&agent->clock);
		purge.generation = generation - 1;
		purge.report = report;
		purge.cause = arena_strdup(&agent->turn.arena, cause);
		r = order(agent, txn, subject, &purge);
	}
	if (r == OK)
		turn_after(agent, finish, NULL, 0);
	else if (txn->error == OK)
		txn->error = r; /* half a purge must not be committed */
	return r;
}

/* --- after its commit ------------------------------------------------------------------------------------------------------ */

static int report_executed(struct agent *agent, const char *subject, const Reentry__AgentPurge *purge)
{
	struct arena *arena = &agent->turn.arena;
	Reentry__Event *event = pb_new(&reentry__event__descriptor, arena);
	Reentry__Erasure erasure = REENTRY__ERASURE__INIT;
	struct outbox_put put;
	char type[] = "erasure.executed", seed[256], id[ID_TEXT_SIZE];
	if (event == NULL)
		return ERR_NOMEM;
	erasure.has_purged = true;
	erasure.purged = purge->purged;
	/* The id follows from what asked for it: should we die before the order is removed, the report is the same again. */
	int n = snprintf(seed, sizeof seed, "erasure.executed %s %s %s", agent->config.agent.id, subject, purge->cause != NULL ? purge->cause : "");
	id_derive(id, purge->at, seed, (size_t)n < sizeof seed ? (size_t)n : sizeof seed - 1);
	event->id = arena_strdup(arena, id);
	event->type = arena_strdup(arena, type);
	event->source = agent->config.agent.id;
	event->subject = arena_strdup(arena, subject);
	event->cause = arena_strdup(arena, purge->cause);
	event->has_data = true;
	if (event->id == NULL || event->type == NULL || event->subject == NULL)
		return ERR_NOMEM;
	int r = pb_pack(&erasure, arena, &event->data.data, &event->data.len);
	return r == OK ? outbox_put_event(agent, event, purge->at, &put) : r;
}

static int read_orders(struct agent *agent, struct db_txn *txn, const char ***ret_subjects, Reentry__AgentPurge ***ret_purges, size_t *ret_n)
{
	struct db_cursor cursor;
	size_t n_subjects = 0;
	struct arena *arena = &agent->turn.arena;
	int r = OK;
	for (bool more = db_cursor_open(txn, TABLE_PURGES, &cursor) == OK && db_seek(&cursor, NULL, 0, 0); more && r == OK; more = db_next(&cursor)) {
		const char **subject = ARENA_PUSH(arena, *ret_subjects, n_subjects);
		Reentry__AgentPurge **purge = ARENA_PUSH(arena, *ret_purges, *ret_n);
		if (subject == NULL || purge == NULL || (*subject = arena_dup(arena, cursor.key.bytes, cursor.key.n)) == NULL)
			r = ERR_NOMEM;
		else
			r = pb_unpack_own(&reentry__agent_purge__descriptor, cursor.value.bytes, cursor.value.n, arena, purge);
	}
	db_cursor_close(&cursor);
	return r != OK ? r : txn->error;
}

static int destroy_keys(struct agent *agent, const char *const *subjects, Reentry__AgentPurge *const *purges, size_t n)
{
	struct err err;
	int r = OK;
	for (size_t i = 0; i < n && r == OK; i++)
		r = case_keys_destroy(&agent->store.keys, subjects[i], purges[i]->generation);
	if (r == OK)
		r = case_keys_rewrite(&agent->store.keys, &err);
	if (r == ERR_UNSYNCED)
		agent_die(agent, agent->config.agent.store, "the keys could not be rewritten");
	if (r != OK)
		log_error("purge=unfinished why=\"%s\" effect=\"tried again at the next start\"", err_text(r));
	return r;
}

int purge_resume(struct agent *agent)
{
	const char **subjects = NULL;
	Reentry__AgentPurge **purges = NULL;
	size_t n = 0;
	struct db_txn *txn = turn_txn(agent);
	int r = read_orders(agent, txn, &subjects, &purges, &n);
	if (r != OK || n == 0)
		return r;
	for (size_t i = 0; i < n; i++)
		spool_purge(agent, subjects[i]);
	r = destroy_keys(agent, subjects, purges, n);
	for (size_t i = 0; i < n && r == OK; i++) {
		if (purges[i]->report)
			r = report_executed(agent, subjects[i], purges[i]);
		if (r == OK)
			r = db_del(txn, TABLE_PURGES, subjects[i], strlen(subjects[i]) + 1);
		log_info("case=%s purged=%u", subjects[i], purges[i]->purged);
	}
	return r;
}
