/* Handovers as the agent knows them from what it received and sent: their case, and what still ties the agency to it. */
#include "agents/agent.h"

#include <string.h>

#include "lib/pb.h"

/* One event of ours or of others, and the handover it is about. */
struct step {
	const char *type, *ref;         /* "" if it names none */
	uint32_t offer;
	bool sent;
};

static int read_step(struct agent *agent, struct db_txn *txn, const struct place *place, struct arena *arena, struct step *ret_step)
{
	Reentry__AgentEntry *entry;
	Reentry__Event *event;
	const void *data;
	int r = entry_get(txn, place->table, place->number, arena, &entry);
	if (r != OK || entry->subject == NULL)
		return r != OK ? r : ERR_CORRUPT;
	struct place full = {place->table, place->number, entry->subject};
	if (place->table == TABLE_INBOX) {
		struct inbox_line line;
		r = inbox_line_read(agent, txn, place->number, arena, &line);
		event = r == OK ? arena_dup(arena, line.event, sizeof *line.event) : NULL;
		data = r == OK ? line.data : NULL;
	} else {
		Reentry__AgentSent *sent;
		r = entry_open(agent, &full, entry, arena, &sent);
		if (r == OK)
			r = pb_unpack_own(&reentry__event__descriptor, sent->content.data, sent->content.len, arena, &event);
		data = r == OK && event != NULL ? event_payload(event, arena) : NULL;
	}
	if (r != OK || event == NULL)
		return r != OK ? r : ERR_NOMEM;
	const char *ref = payload_text(data, "handover");
	*ret_step = (struct step){event->type != NULL ? event->type : "", ref != NULL ? ref : "", payload_number(data, "offer"), place->table != TABLE_INBOX};
	return entry->refused ? ERR_NOTFOUND : OK; /* what was refused did not happen */
}

/* Looks through one table, newest first. Returns whether the case is known. */
static bool find_in(struct agent *agent, struct db_txn *txn, enum table table, const char *ref, struct arena *arena, struct handover_known *known)
{
	struct db_cursor cursor;
	struct arena scratch;
	arena_init(&scratch, 0);
	for (bool more = db_cursor_open(txn, (int)table, &cursor) == OK && db_seek_last(&cursor, NULL, 0); more && known->offer == 0; more = db_prev(&cursor)) {
		struct place place = {.table = table};
		struct step step;
		Reentry__AgentEntry *entry;
		arena_reset(&scratch);
		if (!number_read(cursor.key, &place.number) || cursor.value.n == 0 || read_step(agent, txn, &place, &scratch, &step) != OK ||
		    strcmp(step.ref, ref) != 0 || entry_read(cursor.value, &scratch, &entry) != OK)
			continue;
		if (known->subject == NULL)
			known->subject = arena_strdup(arena, entry->subject);
		known->offer = step.offer;
	}
	db_cursor_close(&cursor);
	arena_release(&scratch);
	return known->subject != NULL;
}

int handover_lookup(struct agent *agent, struct db_txn *txn, const char *ref, struct arena *arena, struct handover_known *ret_known)
{
	static const enum table tables[] = {TABLE_INBOX, TABLE_OUTBOX, TABLE_SENT};
	*ret_known = (struct handover_known){0};
	bool found = false;
	for (size_t i = 0; i < 3 && !found; i++)
		found = find_in(agent, txn, tables[i], ref, arena, ret_known);
	return found ? OK : ERR_NOTFOUND;
}

/* --- what ties the agency to a case ------------------------------------------------------------------------------------- */

/* All that was received and sent of a case: what was received in order, then what was sent. */
static int steps_of(struct agent *agent, struct db_txn *txn, const char *subject, struct arena *arena, struct step **ret_steps, size_t *ret_n)
{
	static const enum table tables[] = {TABLE_INBOX, TABLE_OUTBOX, TABLE_SENT};
	struct db_cursor cursor;
	uint8_t prefix[DB_KEY_MAX];
	int r = OK;
	for (size_t i = 0; i < 3 && r == OK; i++) {
		size_t n = db_key(prefix, "sb", subject, (int)tables[i]);
		DB_FOREACH(&cursor, txn, TABLE_CASES, prefix, n) {
			struct place place = {.table = tables[i]};
			struct step step;
			struct db_value tail = {(const uint8_t *)cursor.key.bytes + n, cursor.key.n - n};
			if (r != OK || !number_read(tail, &place.number) || read_step(agent, txn, &place, arena, &step) != OK)
				continue;
			struct step *kept = ARENA_PUSH(arena, *ret_steps, *ret_n);
			if (kept == NULL)
				r = ERR_NOMEM;
			else
				*kept = step;
		}
	}
	return r;
}

static bool is_one_of(const char *type, const char *const *types)
{
	for (; *types != NULL; types++)
		if (strcmp(type, *types) == 0)
			return true;
	return false;
}

static bool has_ended(const struct step *steps, size_t n, const char *ref)
{
	static const char *const theirs[] = {"handover.expired", "handover.withdrawn", NULL};
	static const char *const ours[] = {"handover.declined", "handover.completed", "handover.ended-early", NULL};
	for (size_t i = 0; i < n; i++)
		if (strcmp(steps[i].ref, ref) == 0 && is_one_of(steps[i].type, steps[i].sent ? ours : theirs))
			return true;
	return false;
}

bool handover_is_last_tie(struct agent *agent, const char *subject, const char *ref)
{
	struct step *steps = NULL;
	size_t n = 0, snapshots = 0, accepted = 0;
	if (ref == NULL || steps_of(agent, turn_txn(agent), subject, &agent->turn.arena, &steps, &n) != OK || n == 0)
		return false;
	/* It came to the case as a candidate … */
	if (steps[0].sent || strcmp(steps[0].type, "handover.offered") != 0)
		return false;
	for (size_t i = 0; i < n; i++) {
		snapshots += !steps[i].sent && strcmp(steps[i].type, "case.snapshot") == 0;
		accepted += steps[i].sent && strcmp(steps[i].type, "handover.accepted") == 0;
		/* … has no other offer or agreement that lasts … */
		if (!steps[i].sent && strcmp(steps[i].type, "handover.offered") == 0 && strcmp(steps[i].ref, ref) != 0 && !has_ended(steps, n, steps[i].ref))
			return false;
	}
	/* … and was given no view of the case but by what it accepted. */
	return snapshots <= accepted;
}
