/* What arrives: on disk, and queued for the adapters, before it is acknowledged. */
#include "agents/agent.h"

#include <string.h>

#include "lib/id.h"
#include "lib/log.h"
#include "lib/pb.h"

static void count_open(struct agent *agent, void *context, uint64_t n, int result)
{
	struct inbox *inbox = context;
	struct db_txn txn;
	(void)n;
	if (result == OK && db_begin_read(agent->store.db, &txn) == OK) {
		(void)db_count(&txn, TABLE_OPEN, &inbox->open); /* for status only */
		db_abort(&txn);
	}
}

int inbox_open(struct agent *agent, struct err *err)
{
	struct inbox *inbox = &agent->inbox;
	struct db_txn txn;
	*inbox = (struct inbox){0};
	int r = turn_read(agent, &txn);
	if (r == OK)
		r = db_count(&txn, TABLE_OPEN, &inbox->open);
	db_abort(&txn);
	return r == OK || r == ERR_NOTFOUND ? OK : err_set(err, r, "%s: the inbox cannot be read: %s", agent->config.agent.store, err_text(r));
}

/* The entry is what the broker delivered, whole. ending: it goes under the key that the purge has just made. */
static int put_entry(struct agent *agent, const Reentry__Delivery *delivery, const Reentry__Event *event, bool ending)
{
	uint8_t key[DB_KEY_MAX];
	struct place place = {TABLE_INBOX, delivery->sequence, event->subject};
	Reentry__AgentEntry entry = REENTRY__AGENT_ENTRY__INIT;
	entry.has_at = true;
	entry.at = clock_now(&agent->clock);
	entry.has_ending = entry.ending = ending;
	uint8_t bits = 0;
	if (event->has_priority && event->priority == REENTRY__PRIORITY__VALUE__URGENT)
		bits |= OPEN_URGENT;
	if (strcmp(event->type, "delivery.overdue") == 0)
		bits |= OPEN_OVERDUE;
	int r = entry_put(agent, &place, &entry, delivery);
	if (r == OK)
		r = db_put(turn_txn(agent), TABLE_OPEN, key, db_key(key, "q", delivery->sequence), &bits, sizeof bits);
	return r;
}

static bool is_stored(struct agent *agent, uint64_t sequence)
{
	uint8_t key[DB_KEY_MAX];
	struct db_value value;
	return db_get(turn_txn(agent), TABLE_INBOX, key, db_key(key, "q", sequence), &value) == OK;
}

static void arrived(struct agent *agent, void *context, uint64_t sequence, int result)
{
	(void)context;
	if (result != OK)
		return; /* not acknowledged: it comes again */
	if (sequence > agent->inbox.last)
		agent->inbox.last = sequence;
	log_debug("sequence=%llu arrived", (unsigned long long)sequence);
	requests_arrived(agent, sequence);
}

static int store_one(struct agent *agent, const Reentry__Delivery *delivery)
{
	struct arena *arena = &agent->turn.arena;
	struct err err;
	Reentry__Event *event;
	if (delivery->sequence == 0 || !delivery->has_content)
		return ERR_INVALID;
	if (is_stored(agent, delivery->sequence))
		return OK; /* it came again because our acknowledgement was lost */
	if (pb_unpack(&reentry__event__descriptor, delivery->content.data, delivery->content.len, arena, &event, &err) != OK || event->type == NULL ||
	    event->subject == NULL || !ref_is_valid(event->subject))
		return ERR_INVALID;
	bool ending = purge_is_due(delivery, event);
	bool report = strcmp(event->type, "erasure.due") == 0;
	if (!ending && agent->inbox.lost > 0) {
		int r = epoch_match(agent, delivery, event);
		if (r != ERR_NOTFOUND)
			return r;
	}
	int r = ending ? purge_case(agent, event->subject, report, event->id) : OK;
	if (r == OK)
		r = put_entry(agent, delivery, event, ending);
	if (r != OK)
		return r;
	spool_queue(agent, delivery, event);
	exec_queue(agent, delivery->sequence, event->subject);
	turn_after(agent, arrived, NULL, delivery->sequence);
	return OK;
}

void inbox_deliver(struct agent *agent, const Reentry__Deliver *deliver)
{
	if (db_low(agent->store.db)) {
		log_error("deliveries=%zu why=\"the agent's store is full\" effect=\"not acknowledged: make room on its disk\"", deliver->n_items);
		return;
	}
	for (size_t i = 0; i < deliver->n_items; i++) {
		const Reentry__Delivery *delivery = deliver->items[i];
		int r = store_one(agent, delivery);
		if (r == OK)
			link_ack(agent, delivery->sequence);
		else
			log_error("sequence=%llu delivery=unstored why=\"%s\"", (unsigned long long)delivery->sequence, err_text(r));
	}
	turn_after(agent, count_open, &agent->inbox, 0);
}

/* --- done ------------------------------------------------------------------------------------------------------------ */

/* An adapter has not been given it yet. */
static bool is_owed(struct db_txn *txn, uint64_t sequence)
{
	uint8_t key[DB_KEY_MAX];
	struct db_value value;
	size_t n = db_key(key, "q", sequence);
	return db_get(txn, TABLE_OUT, key, n, &value) == OK || db_get(txn, TABLE_EXEC, key, n, &value) == OK;
}

/* The message that ended a relation was kept only to be seen. Its number stays, so that it does not come in again. */
static int drop_ending(struct db_txn *txn, const struct place *place)
{
	uint8_t key[DB_KEY_MAX];
	int r = entry_delete(txn, place);
	return r != OK ? r : db_put(txn, TABLE_INBOX, key, db_key(key, "q", place->number), "", 0);
}

void inbox_passed_on(struct agent *agent, uint64_t sequence)
{
	struct db_txn *txn = turn_txn(agent);
	Reentry__AgentEntry *entry;
	if (is_owed(txn, sequence) || entry_get(txn, TABLE_INBOX, sequence, &agent->turn.arena, &entry) != OK || !entry->ending || !entry->has_done_at || entry->subject == NULL)
		return;
	struct place place = {TABLE_INBOX, sequence, entry->subject};
	(void)drop_ending(txn, &place); /* remembered by the transaction */
}

static int close_entry(struct agent *agent, uint64_t sequence)
{
	struct db_txn *txn = turn_txn(agent);
	uint8_t key[DB_KEY_MAX];
	Reentry__AgentEntry *entry;
	int r = entry_get(txn, TABLE_INBOX, sequence, &agent->turn.arena, &entry);
	if (r != OK || entry->subject == NULL)
		return r != OK ? r : ERR_CORRUPT;
	struct place place = {TABLE_INBOX, sequence, entry->subject};
	(void)db_del(txn, TABLE_OPEN, key, db_key(key, "q", sequence)); /* remembered by the transaction */
	exec_done(agent, sequence);
	if (entry->has_done_at)
		return OK;
	if (entry->ending && !is_owed(txn, sequence))
		return drop_ending(txn, &place);
	entry->has_done_at = true;
	entry->done_at = clock_now(&agent->clock);
	return entry_update(txn, &place, entry);
}

/* The older open versions of the same slot are dealt with as well: nobody was shown them any more. */
static int close_older(struct agent *agent, const struct inbox_line *line)
{
	struct inbox_filter filter = {.subject = line->subject, .max = INBOX_LIST_MAX};
	struct inbox_line *open;
	size_t n;
	if (line->slot[0] == '\0')
		return OK;
	int r = inbox_open_lines(agent, turn_txn(agent), &filter, &agent->turn.arena, &open, &n);
	for (size_t i = 0; r == OK && i < n; i++)
		if (open[i].sequence < line->sequence && strcmp(open[i].slot, line->slot) == 0)
			r = close_entry(agent, open[i].sequence);
	return r;
}

int inbox_done(struct agent *agent, uint64_t sequence)
{
	struct inbox_line line;
	struct db_value value;
	uint8_t key[DB_KEY_MAX];
	struct db_txn *txn = turn_txn(agent);
	int r = db_get(txn, TABLE_INBOX, key, db_key(key, "q", sequence), &value);
	if (r == OK && value.n == 0)
		return OK; /* purged: nothing is left to deal with */
	if (r == OK)
		r = inbox_line_read(agent, txn, sequence, &agent->turn.arena, &line);
	if (r == OK && !line.done)
		r = close_older(agent, &line);
	if (r == OK)
		r = close_entry(agent, sequence);
	if (r == OK)
		turn_after(agent, count_open, &agent->inbox, 0);
	return r;
}

size_t inbox_count(struct db_txn *txn, unsigned bit)
{
	struct db_cursor cursor;
	size_t n = 0;
	for (bool more = db_cursor_open(txn, TABLE_OPEN, &cursor) == OK && db_seek(&cursor, NULL, 0, 0); more; more = db_next(&cursor))
		n += cursor.value.n == 1 && (*(const uint8_t *)cursor.value.bytes & bit) != 0;
	db_cursor_close(&cursor);
	return n;
}
