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
