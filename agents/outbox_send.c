/* From the outbox to the broker: in order, as much at a time as the broker allows, again after every loss; then the receipts. */
#include "agents/agent.h"

#include <string.h>

#include "lib/log.h"
#include "lib/pb.h"

/* --- sending --------------------------------------------------------------------------------------------------------- */

struct batch {
	Reentry__Publish__Item items[OUTBOX_BATCH], *list[OUTBOX_BATCH];
	size_t n, size;
	struct arena arena;
};
#define ITEM_OVERHEAD 40    /* bytes around an item's content in the frame */

static int send_batch(struct agent *agent, struct batch *batch)
{
	struct outbox *outbox = &agent->outbox;
	Reentry__Publish publish = REENTRY__PUBLISH__INIT;
	Reentry__Frame frame = REENTRY__FRAME__INIT;
	publish.n_items = batch->n;
	publish.items = batch->list;
	frame.publish = &publish;
	int r = batch->n > 0 ? link_send(agent, &frame) : OK;
	if (r == OK && batch->n > 0) {
		if (outbox->flying == 0)
			outbox->heard_at = clock_monotonic_ms();
		outbox->sent = batch->items[batch->n - 1].tag;
		outbox->flying += batch->n;
	}
	batch->n = batch->size = 0;
	arena_reset(&batch->arena);
	return r;
}

/* Adds one entry to the batch. What cannot be opened any more (its case was erased) is left out: a purge deals with it. */
static int add_entry(struct agent *agent, struct batch *batch, uint64_t number, struct db_value value)
{
	Reentry__AgentEntry *entry;
	Reentry__AgentSent *sent;
	int r = entry_read(value, &batch->arena, &entry);
	if (r != OK || entry->subject == NULL)
		return r != OK ? r : ERR_CORRUPT;
	struct place place = {TABLE_OUTBOX, number, entry->subject};
	r = entry_open(agent, &place, entry, &batch->arena, &sent);
	if (r != OK)
		return r;
	Reentry__Publish__Item *item = &batch->items[batch->n];
	reentry__publish__item__init(item);
	item->has_content = item->has_time = item->has_tag = true;
	item->content = sent->content;
	item->time = sent->time;
	item->tag = number;
	batch->list[batch->n++] = item;
	batch->size += sent->content.len + ITEM_OVERHEAD;
	return OK;
}

/* Reads entries behind the last one sent; returns whether there may be more to send. */
static bool fill_batch(struct agent *agent, struct db_txn *txn, struct batch *batch)
{
	struct outbox *outbox = &agent->outbox;
	struct db_cursor cursor;
	uint8_t key[DB_KEY_MAX];
	size_t frame = agent->link.frame_max;
	uint64_t room = agent->link.window > outbox->flying ? agent->link.window - outbox->flying : 0, number = outbox->sent;
	bool more = db_cursor_open(txn, TABLE_OUTBOX, &cursor) == OK && db_seek(&cursor, key, db_key(key, "q", outbox->sent + 1), 0);
	for (; more && batch->n < OUTBOX_BATCH && batch->n < room; more = db_next(&cursor)) {
		if (!number_read(cursor.key, &number) || number > outbox->durable || batch->size + cursor.value.n + ITEM_OVERHEAD > frame)
			break;
		int r = add_entry(agent, batch, number, cursor.value);
		if (r == ERR_NOMEM)
			break;
		if (r != OK)
			log_error("outbox=%llu unreadable=\"%s\" effect=\"it is not sent; look at the store's disk\"", (unsigned long long)number, err_text(r));
	}
	db_cursor_close(&cursor);
	return batch->n > 0;
}

void outbox_send(struct agent *agent)
{
	struct outbox *outbox = &agent->outbox;
	if (outbox->retry_from != 0 && !outbox->pause.set && outbox->flying == 0) {
		outbox->sent = outbox->retry_from - 1;
		outbox->retry_from = 0;
	}
	if (!link_up(agent) || outbox->pause.set || outbox->retry_from != 0 || outbox->sent >= outbox->durable)
		return;
	static struct batch batch; /* one thread; too large for the stack */
	struct db_txn txn;
	arena_init(&batch.arena, TURN_ARENA_MAX);
	if (db_begin_read(agent->store.db, &txn) == OK)
		while (fill_batch(agent, &txn, &batch))
			if (send_batch(agent, &batch) != OK)
				break; /* link.c calls again when there is room, or a new session */
	db_abort(&txn);
	arena_release(&batch.arena);
	batch.n = batch.size = 0;
}

void outbox_link_up(struct agent *agent)
{
	struct outbox *outbox = &agent->outbox;
	outbox->sent = outbox->flying = outbox->retry_from = 0;
	outbox->pause_ms = OUTBOX_PAUSE_MS;
	loop_timer_stop(agent->loop, &outbox->pause);
	outbox_send(agent);
}

void outbox_watch(struct agent *agent)
{
	struct outbox *outbox = &agent->outbox;
	if (outbox->flying == 0)
		outbox_send(agent); /* nothing, or what could not be read or sent for want of memory: no receipt would ever make up for it */
	if (!link_up(agent) || outbox->flying == 0 || clock_monotonic_ms() - outbox->heard_at < OUTBOX_SILENCE_MS)
		return;
	log_warn("receipts=missing outstanding=%llu effect=\"sent again\"", (unsigned long long)outbox->flying);
	outbox->sent = outbox->flying = outbox->retry_from = 0;
	outbox_send(agent);
}

/* --- receipts -------------------------------------------------------------------------------------------------------- */

static bool try_later(const Reentry__Receipt *receipt)
{
	return receipt->result == REENTRY__OUTCOME__VALUE__REFUSED && receipt->code != NULL &&
	       (strcmp(receipt->code, "busy") == 0 || strcmp(receipt->code, "storage-full") == 0);
}

/* That entry and what stands behind it is sent again when nothing is on its way any more and the pause is over. */
static void send_again(struct agent *agent, uint64_t number)
{
	struct outbox *outbox = &agent->outbox;
	if (outbox->retry_from == 0 || number < outbox->retry_from)
		outbox->retry_from = number;
	if (!outbox->pause.set)
		(void)loop_timer_set(agent->loop, &outbox->pause, outbox->pause_ms); /* fails at a bound that our few timers never reach */
}

static void back_off(struct agent *agent, uint64_t number)
{
	struct outbox *outbox = &agent->outbox;
	bool paused = outbox->pause.set;
	send_again(agent, number);
	if (paused)
		return;
	log_warn("broker=busy outbox=%llu retry_ms=%lld", (unsigned long long)number, (long long)outbox->pause_ms);
	outbox->pause_ms = outbox->pause_ms * 2 < OUTBOX_PAUSE_MS_MAX ? outbox->pause_ms * 2 : OUTBOX_PAUSE_MS_MAX;
}

static void tell_effect(struct agent *agent, void *context, uint64_t number, int result)
{
	struct outbox *outbox = &agent->outbox;
	const Reentry__Receipt *receipt = context;
	if (result != OK) {
		send_again(agent, number); /* it is still in the outbox, and the broker says the same again */
		return;
	}
	if (receipt->sequence > outbox->reached)
		outbox->reached = receipt->sequence;
	outbox->pending--;
	if (receipt->result == REENTRY__OUTCOME__VALUE__REFUSED) {
		outbox->refused++;
		log_warn("event=%s refused=%s outbox=%llu", receipt->id, receipt->code != NULL ? receipt->code : "", (unsigned long long)number);
	}
	outbox_tell(agent, number, receipt);
}

/* A copy in the turn's memory, with the id of the event (a broker that could not read it does not know it). */
static Reentry__Receipt *keep_receipt(struct agent *agent, const Reentry__Receipt *receipt, char *id)
{
	struct arena *arena = &agent->turn.arena;
	Reentry__Receipt *kept = arena_dup(arena, receipt, sizeof *receipt);
	if (kept == NULL)
		return NULL;
	kept->id = id;
	kept->code = arena_strdup(arena, receipt->code);
	kept->detail = arena_strdup(arena, receipt->detail);
	bool whole = (receipt->code == NULL || kept->code != NULL) && (receipt->detail == NULL || kept->detail != NULL);
	return whole ? kept : NULL;
}

/* Moves the entry from outbox to sent. */
static int keep_sent(struct agent *agent, uint64_t number, const Reentry__Receipt *receipt)
{
	struct db_txn *txn = turn_txn(agent);
	struct arena *arena = &agent->turn.arena;
	Reentry__AgentEntry *entry;
	Reentry__AgentSent *sent;
	uint8_t key[DB_KEY_MAX];
	int r = entry_get(txn, TABLE_OUTBOX, number, arena, &entry);
	if (r != OK || entry->subject == NULL)
		return r;
	struct place from = {TABLE_OUTBOX, number, entry->subject}, to = {TABLE_SENT, number, entry->subject};
	r = entry_open(agent, &from, entry, arena, &sent);
	if (r != OK)
		return r;
	sent->receipt = keep_receipt(agent, receipt, entry->id);
	if (sent->receipt == NULL)
		return ERR_NOMEM;
	entry->has_receipt_at = entry->has_refused = true;
	entry->receipt_at = clock_now(&agent->clock);
	entry->refused = receipt->result == REENTRY__OUTCOME__VALUE__REFUSED;
	r = entry_put(agent, &to, entry, sent);
	if (r == OK)
		r = entry_delete(txn, &from);
	if (r == OK && entry->refused)
		r = db_put(txn, TABLE_REFUSED, key, db_key(key, "q", number), "", 0);
	if (r == OK)
		turn_after(agent, tell_effect, sent->receipt, number);
	return r;
}

void outbox_receipts(struct agent *agent, const Reentry__Receipts *receipts)
{
	struct outbox *outbox = &agent->outbox;
	for (size_t i = 0; i < receipts->n_items; i++) {
		const Reentry__Receipt *receipt = receipts->items[i];
		if (!receipt->has_tag || !receipt->has_result || receipt->tag == 0 || receipt->tag > outbox->sent)
			continue;
		if (outbox->flying > 0)
			outbox->flying--;
		outbox->heard_at = clock_monotonic_ms();
		if (try_later(receipt)) {
			back_off(agent, receipt->tag);
			continue;
		}
		outbox->pause_ms = OUTBOX_PAUSE_MS;
		int r = keep_sent(agent, receipt->tag, receipt);
		if (r != OK && r != ERR_NOTFOUND)
			log_error("outbox=%llu receipt=unstored why=\"%s\"", (unsigned long long)receipt->tag, err_text(r));
		if (r != OK && r != ERR_NOTFOUND && r != ERR_CORRUPT)
			send_again(agent, receipt->tag);
	}
	outbox_send(agent);
}
