/* What the agency hands in: on disk before anybody is told so, and kept until the broker's receipt is on disk. */
#include "agents/agent.h"

#include <stdlib.h>
#include <string.h>

#include "lib/id.h"
#include "lib/pb.h"
#include "rules/rules.h"

bool number_read(struct db_value value, uint64_t *ret_number)
{
	if (value.n != 8)
		return false;
	*ret_number = 0;
	for (size_t i = 0; i < 8; i++)
		*ret_number = *ret_number << 8 | ((const uint8_t *)value.bytes)[i];
	return true;
}

/* Moves *next behind the last number of a table. */
static int count_on(struct db_txn *txn, enum table table, uint64_t *next)
{
	struct db_value key, value;
	uint64_t last;
	int r = db_last(txn, (int)table, &key, &value);
	if (r != OK)
		return r == ERR_NOTFOUND ? OK : r;
	if (!number_read(key, &last))
		return ERR_CORRUPT;
	if (last >= *next)
		*next = last + 1;
	return OK;
}

static void pause_over(void *context)
{
	outbox_send(context);
}

int outbox_open(struct agent *agent, struct err *err)
{
	struct outbox *outbox = &agent->outbox;
	*outbox = (struct outbox){.next = 1, .pause_ms = OUTBOX_PAUSE_MS, .pause = {.fn = pause_over, .context = agent}};
	struct db_txn txn;
	int r = turn_read(agent, &txn);
	if (r == OK)
		r = count_on(&txn, TABLE_OUTBOX, &outbox->next);
	if (r == OK)
		r = count_on(&txn, TABLE_SENT, &outbox->next);
	if (r == OK)
		r = db_count(&txn, TABLE_OUTBOX, &outbox->pending);
	if (r == OK)
		r = db_count(&txn, TABLE_REFUSED, &outbox->refused);
	db_abort(&txn);
	outbox->durable = outbox->next - 1;
	return r == OK ? OK : err_set(err, r, "%s: the outbox cannot be read: %s", agent->config.agent.store, err_text(r));
}

void outbox_close(struct agent *agent)
{
	if (agent->loop != NULL)
		loop_timer_stop(agent->loop, &agent->outbox.pause);
	free(agent->outbox.waiters);
	agent->outbox = (struct outbox){0};
}

/* --- waiting for a receipt ------------------------------------------------------------------------------------------- */

/* Index of the first waiter for that number or a higher one. */
static size_t waiter_at(const struct outbox *outbox, uint64_t number)
{
	size_t low = outbox->first, high = outbox->n_waiters;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (outbox->waiters[middle].number < number)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static int make_room(struct outbox *outbox)
{
	if (outbox->n_waiters < outbox->room)
		return OK;
	if (outbox->first > outbox->room / 2) {
		memmove(outbox->waiters, outbox->waiters + outbox->first, (outbox->n_waiters - outbox->first) * sizeof *outbox->waiters);
		outbox->n_waiters -= outbox->first;
		outbox->first = 0;
		return OK;
	}
	size_t room = outbox->room > 0 ? outbox->room * 2 : 256;
	struct outbox_waiter *waiters = room > OUTBOX_WAITERS_MAX ? NULL : reallocarray(outbox->waiters, room, sizeof *waiters);
	if (waiters == NULL)
		return ERR_NOMEM;
	outbox->waiters = waiters;
	outbox->room = room;
	return OK;
}

int outbox_wait(struct agent *agent, uint64_t number, outbox_told_fn *fn, void *context, uint64_t n)
{
	struct outbox *outbox = &agent->outbox;
	if (make_room(outbox) != OK)
		return ERR_NOMEM;
	/* Usually the highest number comes last; one that was handed in before goes where it belongs. */
	size_t at = waiter_at(outbox, number + 1);
	memmove(outbox->waiters + at + 1, outbox->waiters + at, (outbox->n_waiters - at) * sizeof *outbox->waiters);
	outbox->waiters[at] = (struct outbox_waiter){number, fn, context, n};
	outbox->n_waiters++;
	return OK;
}

void outbox_forget(struct agent *agent, const void *context)
{
	struct outbox *outbox = &agent->outbox;
	size_t kept = outbox->first;
	for (size_t i = outbox->first; i < outbox->n_waiters; i++)
		if (outbox->waiters[i].context != context)
			outbox->waiters[kept++] = outbox->waiters[i];
	outbox->n_waiters = kept;
}

void outbox_tell(struct agent *agent, uint64_t number, const Reentry__Receipt *receipt)
{
	struct outbox *outbox = &agent->outbox;
	/* Looked up anew each time: whoever is told may wait for something else. */
	for (;;) {
		size_t at = waiter_at(outbox, number);
		if (at == outbox->n_waiters || outbox->waiters[at].number != number)
			return;
		struct outbox_waiter waiter = outbox->waiters[at];
		if (at == outbox->first)
			outbox->first++;
		else
			memmove(outbox->waiters + at, outbox->waiters + at + 1, (--outbox->n_waiters - at) * sizeof *outbox->waiters);
		waiter.fn(agent, waiter.context, waiter.n, receipt);
	}
}

/* --- taking in ------------------------------------------------------------------------------------------------------ */

/* The commit of a turn that took in the entries from `first` on. */
static void turn_done(struct agent *agent, void *context, uint64_t n, int result)
{
	struct outbox *outbox = context;
	uint64_t first = outbox->turn_first, last = outbox->next - 1;
	(void)n;
	outbox->turn_first = 0;
	if (result == OK) {
		outbox->durable = last;
		outbox_send(agent);
		return;
	}
	outbox->pending -= last - first + 1;
	Reentry__Receipt receipt = REENTRY__RECEIPT__INIT;
	static char code[] = "storage-full", detail[] = "the agent could not store it: look at its log, then hand it in again";
	receipt.has_result = true;
	receipt.result = REENTRY__OUTCOME__VALUE__REFUSED;
	receipt.code = code;
	receipt.detail = detail;
	for (uint64_t number = first; number <= last; number++)
		outbox_tell(agent, number, &receipt);
}

static int put_entry(struct agent *agent, const Reentry__Event *event, const Reentry__AgentSent *sent, uint64_t *ret_number)
{
	struct outbox *outbox = &agent->outbox;
	uint8_t key[DB_KEY_MAX], number[DB_KEY_MAX];
	struct place place = {TABLE_OUTBOX, outbox->next, event->subject};
	Reentry__AgentEntry entry = REENTRY__AGENT_ENTRY__INIT;
	entry.has_at = true;
	entry.at = clock_now(&agent->clock);
	entry.id = event->id;
	int r = entry_put(agent, &place, &entry, sent);
	if (r == OK)
		r = db_put(turn_txn(agent), TABLE_IDS, key, db_key(key, "s", event->id), number, db_key(number, "q", place.number));
	if (r != OK)
		return r;
	*ret_number = outbox->next++;
	outbox->pending++;
	if (outbox->turn_first == 0)
		outbox->turn_first = *ret_number;
	return OK;
}

/* The same event was handed in before and waits, or the broker took it. One that was refused may be handed in again, and one
 * with another content under the same id is for the broker to judge. */
static bool is_known(struct agent *agent, const Reentry__Event *event, const Reentry__AgentSent *sent, struct outbox_put *put)
{
	static const enum table tables[] = {TABLE_OUTBOX, TABLE_SENT};
	uint8_t key[DB_KEY_MAX];
	struct db_txn *txn = turn_txn(agent);
	struct arena *arena = &agent->turn.arena;
	struct db_value value;
	uint64_t number;
	if (db_get(txn, TABLE_IDS, key, db_key(key, "s", event->id), &value) != OK || !number_read(value, &number))
		return false;
	for (size_t i = 0; i < 2; i++) {
		Reentry__AgentEntry *entry;
		Reentry__AgentSent *known;
		if (entry_get(txn, tables[i], number, arena, &entry) != OK || entry->refused || entry->subject == NULL)
			continue;
		struct place place = {tables[i], number, entry->subject};
		if (entry_open(agent, &place, entry, arena, &known) != OK || known->content.len != sent->content.len ||
		    memcmp(known->content.data, sent->content.data, sent->content.len) != 0)
			continue;
		if (known->receipt != NULL && known->receipt->result == REENTRY__OUTCOME__VALUE__ACCEPTED)
			known->receipt->result = REENTRY__OUTCOME__VALUE__DUPLICATE;
		put->number = number;
		put->receipt = known->receipt;
		return true;
	}
	return false;
}

int outbox_put_event(struct agent *agent, const Reentry__Event *event, moment time, struct outbox_put *ret_put)
{
	struct outbox *outbox = &agent->outbox;
	Reentry__AgentSent sent = REENTRY__AGENT_SENT__INIT;
	int r = pb_pack(event, &agent->turn.arena, &sent.content.data, &sent.content.len);
	if (r != OK)
		return r;
	if (sent.content.len > EVENT_SIZE_MAX)
		return ERR_TOOBIG;
	sent.has_content = sent.has_time = true;
	sent.time = time;
	*ret_put = (struct outbox_put){.id = event->id};
	if (is_known(agent, event, &sent, ret_put))
		return OK;
	bool first = outbox->turn_first == 0;
	r = put_entry(agent, event, &sent, &ret_put->number);
	if (r == OK && first) {
		turn_after(agent, turn_done, outbox, 0);
		r = turn_txn(agent)->error; /* there may have been no memory for that */
	}
	return r;
}

/* An event in JSON need not name its agency, and need not have an id. */
static int name_event(struct agent *agent, Reentry__Event *event, const struct outbox_seed *seed, moment now)
{
	if (event->source == NULL)
		event->source = agent->config.agent.id;
	if (event->id != NULL)
		return OK;
	event->id = arena_alloc(&agent->turn.arena, ID_TEXT_SIZE);
	if (event->id == NULL)
		return ERR_NOMEM;
	if (seed != NULL)
		id_derive(event->id, seed->when, seed->bytes, seed->n);
	else
		id_new(event->id, now);
	return OK;
}

int outbox_hand_in(struct agent *agent, const char *json, size_t n, const struct outbox_seed *seed, struct outbox_put *ret_put, struct err *err)
{
	struct json_event event = {0};
	moment now = clock_now(&agent->clock);
	*ret_put = (struct outbox_put){0};
	int r = json_event_read(json, n, rules_payload_of, &agent->turn.arena, &event, err);
	if (r != OK)
		return r;
	r = name_event(agent, event.event, seed, now);
	if (r != OK)
		return err_set(err, r, "%s", err_text(r));
	ret_put->id = event.event->id;
	if (db_low(agent->store.db))
		return err_set(err, ERR_FULL, "the agent's store is full: make room on its disk, then hand it in again");
	r = outbox_put_event(agent, event.event, event.has_time ? event.time : now, ret_put);
	if (r == ERR_TOOBIG)
		return err_set(err, r, "the event is larger than %zu bytes", EVENT_SIZE_MAX);
	return r == OK ? OK : err_set(err, r, "%s", err_text(r));
}

/* --- forgetting ------------------------------------------------------------------------------------------------------ */

void outbox_expire(struct agent *agent)
{
	moment before = clock_now(&agent->clock) - agent->config.agent.keep;
	struct db_txn *txn = turn_txn(agent);
	struct db_cursor cursor;
	uint8_t key[DB_KEY_MAX];
	uint64_t number;
	struct place gone[OUTBOX_EXPIRE_BATCH];
	size_t n = 0;
	for (bool more = db_cursor_open(txn, TABLE_SENT, &cursor) == OK && db_seek(&cursor, NULL, 0, 0); more && n < OUTBOX_EXPIRE_BATCH;
	     more = db_next(&cursor)) {
		Reentry__AgentEntry *entry;
		if (!number_read(cursor.key, &number) || entry_read(cursor.value, &agent->turn.arena, &entry) != OK || entry->subject == NULL)
			break;
		if (entry->receipt_at > before || (entry->receipt_at > before - agent->config.agent.keep && !epoch_covered(agent, number, entry)))
			break;
		if (entry->id != NULL)
			(void)db_del(txn, TABLE_IDS, key, db_key(key, "s", entry->id)); /* remembered by the transaction */
		if (entry->refused && db_del(txn, TABLE_REFUSED, key, db_key(key, "q", number)) == OK)
			agent->outbox.refused--;
		gone[n++] = (struct place){TABLE_SENT, number, entry->subject};
	}
	db_cursor_close(&cursor);
	for (size_t i = 0; i < n; i++)
		(void)entry_delete(txn, &gone[i]); /* remembered by the transaction */
}
