/* The way back after the broker lost the end of its log (docs/agent.md, "A new epoch"). When our administrator has accepted the signed record of the new epoch:
 *
 *   sent    what has a receipt for a sequence that is lost goes back to the outbox, under its old number: it is offered again, in its order
 *   inbox   what came under a lost sequence keeps its place among what is to be done, under a number of its own, LOST_STEP times the count of losses and its old sequence; `lost`
 *           knows it by case, publisher and event id. When the broker delivers the same event again it gets its new sequence, and is not shown, written or run a second time.
 *
 * In batches, each a commit; `accepting` in meta says that it has begun, and each batch may be done again. */
#include "agents/agent.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/epoch.h"
#include "lib/log.h"
#include "lib/pb.h"

#define LOST_STEP UINT64_C(1000000000000000)
#define BATCH 500
#define SEEN_LOOK 64              /* newest receipts looked at when the agent starts */
#define NUMBER_SIZE 8

struct moving { struct agent *agent; uint64_t left, step; };   /* sequences above `left` are lost */

static const char accepting[] = "accepting";

/* --- what we were given ---------------------------------------------------------------------------------------------- */

uint64_t epoch_reached(const struct agent *agent)
{
	return agent->inbox.last > agent->outbox.reached ? agent->inbox.last : agent->outbox.reached;
}

/* The receipt of an entry of `sent`; NULL if it has none that can be read. */
static const Reentry__Receipt *receipt_of(struct agent *agent, uint64_t number, const Reentry__AgentEntry *entry, struct arena *arena, Reentry__AgentSent **ret_sent)
{
	struct place place = {TABLE_SENT, number, entry->subject};
	if (entry->subject == NULL || entry->refused || entry_open(agent, &place, entry, arena, ret_sent) != OK)
		return NULL;
	return (*ret_sent)->receipt;
}

bool epoch_covered(struct agent *agent, uint64_t number, const Reentry__AgentEntry *entry)
{
	Reentry__AgentSent *sent = NULL;
	const Reentry__Receipt *receipt = agent->witness.horizon > 0 ? receipt_of(agent, number, entry, &agent->turn.arena, &sent) : NULL;
	return receipt == NULL || receipt->sequence <= agent->witness.horizon;
}

/* Sequences rise with the numbers, but for duplicates: a few of the last tell how far it went. */
static int look_sent(struct agent *agent, struct db_txn *txn)
{
	struct db_cursor cursor;
	struct arena arena;
	int n = 0;
	arena_init(&arena, 0);
	for (bool more = db_cursor_open(txn, TABLE_SENT, &cursor) == OK && db_seek_last(&cursor, NULL, 0); more && n < SEEN_LOOK; more = db_prev(&cursor), n++) {
		Reentry__AgentEntry *entry;
		Reentry__AgentSent *sent = NULL;
		uint64_t number;
		if (!number_read(cursor.key, &number) || entry_read(cursor.value, &arena, &entry) != OK)
			continue;
		const Reentry__Receipt *receipt = receipt_of(agent, number, entry, &arena, &sent);
		if (receipt != NULL && receipt->sequence > agent->outbox.reached)
			agent->outbox.reached = receipt->sequence;
	}
	db_cursor_close(&cursor);
	arena_release(&arena);
	return txn->error;
}

/* The last number in the inbox that is below `below`; 0: none. */
static int last_below(struct db_txn *txn, uint64_t below, uint64_t *ret_number)
{
	uint8_t key[DB_KEY_MAX];
	struct db_cursor cursor;
	bool found = false;
	*ret_number = 0;
	if (db_cursor_open(txn, TABLE_INBOX, &cursor) != OK)
		return txn->error;
	if (db_seek(&cursor, key, db_key(key, "q", below), 0))
		found = db_prev(&cursor);
	else
		found = db_seek_last(&cursor, NULL, 0);
	int r = found && !number_read(cursor.key, ret_number) ? ERR_CORRUPT : OK;
	db_cursor_close(&cursor);
	return r != OK ? r : txn->error;
}

/* --- sent: back to the outbox ------------------------------------------------------------------------------------------ */

static int offer_again(const struct moving *moving, uint64_t number, Reentry__AgentEntry *entry, Reentry__AgentSent *sent)
{
	struct agent *agent = moving->agent;
	struct place from = {TABLE_SENT, number, entry->subject}, to = {TABLE_OUTBOX, number, entry->subject};
	sent->receipt = NULL;
	entry->has_receipt_at = entry->has_refused = false;
	int r = entry_put(agent, &to, entry, sent);
	return r == OK ? entry_delete(turn_txn(agent), &from) : r;
}

/* One batch, beginning at *at, which moves on; false: there is no more. */
static bool sent_batch(const struct moving *moving, uint64_t *at, int *ret_result)
{
	struct agent *agent = moving->agent;
	struct db_txn *txn = turn_txn(agent);
	struct db_cursor cursor;
	uint8_t key[DB_KEY_MAX];
	uint64_t numbers[BATCH];
	size_t n = 0;
	bool more = db_cursor_open(txn, TABLE_SENT, &cursor) == OK && db_seek(&cursor, key, db_key(key, "q", *at), 0);
	for (; more && n < BATCH; more = db_next(&cursor))
		if (number_read(cursor.key, &numbers[n]))
			n++;
	db_cursor_close(&cursor);
	int r = txn->error;
	for (size_t i = 0; i < n && r == OK; i++) {
		Reentry__AgentEntry *entry;
		Reentry__AgentSent *sent = NULL;
		r = entry_get(txn, TABLE_SENT, numbers[i], &agent->turn.arena, &entry);
		const Reentry__Receipt *receipt = r == OK ? receipt_of(agent, numbers[i], entry, &agent->turn.arena, &sent) : NULL;
		if (receipt != NULL && receipt->sequence > moving->left)
			r = offer_again(moving, numbers[i], entry, sent);
		*at = numbers[i] + 1;
	}
	*ret_result = r == OK ? turn_end(agent) : r;
	return more && *ret_result == OK;
}

/* --- inbox: to numbers of its own ---------------------------------------------------------------------------------------- */

/* The rows that hang on an entry's number. */
static int move_rows(struct db_txn *txn, const char *subject, uint64_t from, uint64_t to)
{
	static const enum table tables[] = {TABLE_OPEN, TABLE_OUT, TABLE_EXEC, TABLE_COPIES};
	int r = OK;
	for (size_t i = 0; i < sizeof tables / sizeof *tables && r == OK; i++) {
		bool copies = tables[i] == TABLE_COPIES;
		uint8_t old[DB_KEY_MAX], now[DB_KEY_MAX], value[DB_KEY_MAX * 2];
		size_t old_n = copies ? db_key(old, "sq", subject, from) : db_key(old, "q", from), now_n = copies ? db_key(now, "sq", subject, to) : db_key(now, "q", to);
		struct db_value found;
		r = db_get(txn, (int)tables[i], old, old_n, &found);
		if (r == OK && found.n > sizeof value)
			r = ERR_CORRUPT;
		if (r != OK) {
			r = r == ERR_NOTFOUND ? OK : r;
			continue;
		}
		size_t n = found.n;
		memcpy(value, found.bytes, n); /* borrowed until the next put */
		r = db_put(txn, (int)tables[i], now, now_n, value, n);
		if (r == OK)
			r = db_del(txn, (int)tables[i], old, old_n);
	}
	return r;
}

static size_t lost_key(uint8_t key[DB_KEY_MAX], const Reentry__Event *event)
{
	return db_key(key, "sss", event->subject, event->source != NULL ? event->source : "", event->id != NULL ? event->id : "");
}

/* Everything of an entry goes to another number. What has no key any more cannot be moved: it is nothing any more. */
static int move_entry(struct agent *agent, const struct place *from, uint64_t to, Reentry__AgentEntry *entry, Reentry__Delivery *delivery)
{
	struct db_txn *txn = turn_txn(agent);
	struct place place = {TABLE_INBOX, to, from->subject};
	delivery->sequence = to;
	int r = entry_put(agent, &place, entry, delivery);
	if (r == OK)
		r = move_rows(txn, from->subject, from->number, to);
	return r == OK ? entry_delete(txn, from) : r;
}

static int lose(const struct moving *moving, uint64_t number)
{
	struct agent *agent = moving->agent;
	struct db_txn *txn = turn_txn(agent);
	struct arena *arena = &agent->turn.arena;
	uint8_t key[DB_KEY_MAX], to[DB_KEY_MAX];
	Reentry__AgentEntry *entry;
	Reentry__Delivery *delivery;
	Reentry__Event *event;
	int r = entry_get(txn, TABLE_INBOX, number, arena, &entry);
	if (r == ERR_NOTFOUND)
		return db_del(txn, TABLE_INBOX, key, db_key(key, "q", number)); /* purged: the number will be another event's */
	if (r != OK || entry->subject == NULL)
		return r != OK ? r : ERR_CORRUPT;
	struct place place = {TABLE_INBOX, number, entry->subject};
	r = entry_open(agent, &place, entry, arena, &delivery);
	if (r == ERR_ERASED)
		return entry_delete(txn, &place);
	if (r == OK)
		r = pb_unpack_own(&reentry__event__descriptor, delivery->content.data, delivery->content.len, arena, &event);
	if (r == OK)
		r = move_entry(agent, &place, moving->step + number, entry, delivery);
	return r == OK ? db_put(txn, TABLE_LOST, key, lost_key(key, event), to, db_key(to, "q", moving->step + number)) : r;
}

static bool inbox_batch(const struct moving *moving, int *ret_result)
{
	struct agent *agent = moving->agent;
	struct db_txn *txn = turn_txn(agent);
	struct db_cursor cursor;
	uint8_t key[DB_KEY_MAX];
	uint64_t numbers[BATCH];
	size_t n = 0;
	bool more = db_cursor_open(txn, TABLE_INBOX, &cursor) == OK && db_seek(&cursor, key, db_key(key, "q", moving->left + 1), 0);
	for (; more && n < BATCH; more = db_next(&cursor))
		if (!number_read(cursor.key, &numbers[n]) || numbers[n++] >= LOST_STEP) {
			n--; /* those of an earlier loss stay where they are */
			break;
		}
	db_cursor_close(&cursor);
	int r = txn->error;
	for (size_t i = 0; i < n && r == OK; i++)
		r = lose(moving, numbers[i]);
	*ret_result = r == OK ? turn_end(agent) : r;
	return n == BATCH && *ret_result == OK;
}

/* --- the same event again --------------------------------------------------------------------------------------------------- */

static void matched(struct agent *agent, void *context, uint64_t sequence, int result)
{
	struct inbox *inbox = context;
	if (result != OK)
		return; /* it comes again */
	if (inbox->lost > 0)
		inbox->lost--;
	if (sequence > agent->inbox.last)
		agent->inbox.last = sequence;
}

int epoch_match(struct agent *agent, const Reentry__Delivery *delivery, const Reentry__Event *event)
{
	struct db_txn *txn = turn_txn(agent);
	struct arena *arena = &agent->turn.arena;
	uint8_t key[DB_KEY_MAX];
	size_t n = lost_key(key, event);
	struct db_value value;
	Reentry__AgentEntry *entry;
	uint64_t number;
	int r = db_get(txn, TABLE_LOST, key, n, &value);
	if (r != OK)
		return r;
	if (!number_read(value, &number))
		return ERR_CORRUPT;
	(void)db_del(txn, TABLE_LOST, key, n); /* remembered by the transaction */
	r = entry_get(txn, TABLE_INBOX, number, arena, &entry);
	if (r != OK || entry->subject == NULL)
		return r != OK ? r : ERR_CORRUPT;
	struct place from = {TABLE_INBOX, number, entry->subject};
	Reentry__Delivery *copy = arena_dup(arena, delivery, sizeof *delivery);
	if (copy == NULL)
		return ERR_NOMEM;
	r = move_entry(agent, &from, delivery->sequence, entry, copy);
	if (r != OK)
		return r;
	turn_after(agent, matched, &agent->inbox, delivery->sequence);
	log_info("sequence=%llu arrived=again known=%llu", (unsigned long long)delivery->sequence, (unsigned long long)number);
	return OK;
}

void epoch_forget(struct agent *agent, const char *subject)
{
	struct db_cursor cursor;
	uint8_t prefix[DB_KEY_MAX];
	struct db_txn *txn = turn_txn(agent);
	DB_FOREACH(&cursor, txn, TABLE_LOST, prefix, db_key(prefix, "s", subject))
		(void)db_cursor_del(&cursor); /* remembered by the transaction */
}

/* --- accepting ---------------------------------------------------------------------------------------------------------------- */

static int read_record(const struct agent *agent, const char *note, struct epoch_record *ret_record, struct err *err)
{
	if (!agent->witness.has_key)
		return err_set(err, ERR_DENIED, "agent.log_key is not set: name the public key file of the broker's log, then the record can be verified");
	struct note_key key = agent->witness.log;
	char origin[NOTE_NAME_MAX + 1];
	if (agent->witness.origin[0] == '\0') {
		/* No checkpoint came yet, and nobody was asked since the start: the name that the log's key has signed will do. */
		(void)snprintf(origin, sizeof origin, "%.*s", (int)strcspn(note, "\n"), note); /* cut to fit: then it does not hold */
		key.name = origin;
	}
	return epoch_read(note, strlen(note), &key, ret_record, err);
}

/* What a later start needs to go on: the step, and the record. */
static int begin_accepting(struct agent *agent, uint64_t step, const char *note)
{
	size_t n = strlen(note) + 1;
	uint8_t *value = arena_alloc(&agent->turn.arena, NUMBER_SIZE + n), number[DB_KEY_MAX];
	if (value == NULL)
		return ERR_NOMEM;
	(void)db_key(number, "q", step); /* NUMBER_SIZE bytes */
	memcpy(value, number, NUMBER_SIZE);
	memcpy(value + NUMBER_SIZE, note, n);
	int r = store_meta_put(turn_txn(agent), accepting, value, NUMBER_SIZE + n);
	return r == OK ? turn_end(agent) : r;
}

static int finish_accepting(struct agent *agent, const struct epoch_record *record, const char *note)
{
	struct witness *witness = &agent->witness;
	struct db_txn *txn = turn_txn(agent);
	uint8_t number[DB_KEY_MAX];
	int r = store_meta_put(txn, "epoch", number, db_key(number, "q", record->new_epoch));
	/* An older checkpoint than what is left stays: the broker has to prove that it went on from it. */
	bool takes = record->from.size <= witness->head.size;
	if (r == OK && takes)
		r = store_meta_put(txn, "checkpoint", note, strlen(note));
	if (r == OK)
		r = db_del(txn, TABLE_META, accepting, sizeof accepting);
	if (r == OK)
		r = turn_end(agent);
	if (r != OK)
		return r;
	witness->epoch = record->new_epoch;
	if (takes)
		witness->head = record->from;
	free(witness->new_epoch);
	witness->new_epoch = NULL;
	return OK;
}

static int recount(struct agent *agent)
{
	struct db_txn txn;
	int r = turn_read(agent, &txn);
	agent->outbox.reached = 0;
	if (r == OK)
		r = db_count(&txn, TABLE_OUTBOX, &agent->outbox.pending);
	if (r == OK)
		r = last_below(&txn, LOST_STEP, &agent->inbox.last);
	if (r == OK)
		r = look_sent(agent, &txn);
	if (r == OK)
		r = db_count(&txn, TABLE_LOST, &agent->inbox.lost);
	db_abort(&txn);
	return r;
}

static int move_all(const struct moving *moving, const struct epoch_record *record, const char *note)
{
	uint64_t at = 1;
	int r = OK;
	while (sent_batch(moving, &at, &r))
		;
	while (r == OK && inbox_batch(moving, &r))
		;
	if (r == OK)
		r = finish_accepting(moving->agent, record, note);
	return r == OK ? recount(moving->agent) : r;
}

/* The numbers that the next loss takes. */
static int next_step(struct agent *agent, uint64_t *ret_step)
{
	struct db_txn txn;
	uint64_t last = 0;
	int r = turn_read(agent, &txn);
	if (r == OK)
		r = last_below(&txn, UINT64_MAX, &last);
	db_abort(&txn);
	*ret_step = (last / LOST_STEP + 1) * LOST_STEP;
	return r;
}

static int check_record(const struct agent *agent, const struct epoch_record *record, struct err *err)
{
	const struct witness *witness = &agent->witness;
	if (record->new_epoch <= witness->epoch)
		return err_set(err, ERR_INVALID, "it begins epoch %llu, and this agency is in epoch %llu", (unsigned long long)record->new_epoch, (unsigned long long)witness->epoch);
	if (record->from.size == witness->head.size && memcmp(record->from.root, witness->head.root, HASH_SIZE) != 0)
		return err_set(err, ERR_DENIED, "it goes on from another log of %llu records than this agency was shown", (unsigned long long)record->from.size);
	return OK;
}

/* note outlives the turns that it takes. */
static int accept_record(struct agent *agent, const char *note, const struct epoch_record *record, struct err *err)
{
	struct moving moving = {.agent = agent};
	link_leave(agent);
	spool_settle(agent);
	moving.left = epoch_left(record, agent->witness.epoch);
	int r = turn_end(agent);
	if (r == OK)
		r = next_step(agent, &moving.step);
	if (r == OK)
		r = begin_accepting(agent, moving.step, note);
	if (r == OK)
		r = move_all(&moving, record, note);
	log_info("epoch=%llu accepted from=%llu outbox=%llu lost=%llu", (unsigned long long)record->new_epoch, (unsigned long long)moving.left,
	         (unsigned long long)agent->outbox.pending, (unsigned long long)agent->inbox.lost);
	link_reload(agent, "a new epoch was accepted");
	return r == OK ? OK : err_set(err, r, "it could not be finished (%s): restart the agent, it goes on with it", err_text(r));
}

int epoch_accept(struct agent *agent, const char *note, struct err *err)
{
	struct epoch_record record = { 0 };
	int r = read_record(agent, note, &record, err);
	if (r == OK)
		r = check_record(agent, &record, err);
	if (r == OK && exec_busy(agent))
		r = err_set(err, ERR_BUSY, "a command of exec is running: try again when it has ended");
	if (r != OK)
		return r;
	char *copy = strdup(note); /* the request's memory ends with the first turn */
	if (copy == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	r = accept_record(agent, copy, &record, err);
	free(copy);
	return r;
}

/* --- opening, following ---------------------------------------------------------------------------------------------------------- */

/* An acceptance that a crash interrupted. Its record was verified when it began. */
static int resume(struct agent *agent, struct err *err)
{
	struct moving moving = {.agent = agent};
	struct epoch_record record = { 0 };
	struct db_value value;
	struct db_txn txn;
	char *note = NULL;
	int r = turn_read(agent, &txn);
	if (r == OK)
		r = store_meta_get(&txn, accepting, &value);
	if (r == OK && value.n <= NUMBER_SIZE)
		r = ERR_CORRUPT;
	if (r == OK) {
		r = number_read((struct db_value){value.bytes, NUMBER_SIZE}, &moving.step) ? OK : ERR_CORRUPT;
		note = strndup((const char *)value.bytes + NUMBER_SIZE, value.n - NUMBER_SIZE);
	}
	db_abort(&txn);
	if (r == OK)
		r = note == NULL ? ERR_NOMEM : read_record(agent, note, &record, err);
	if (r == OK) {
		moving.left = epoch_left(&record, agent->witness.epoch);
		r = move_all(&moving, &record, note);
	}
	free(note);
	return r == ERR_NOTFOUND ? OK : r;
}

int epoch_open(struct agent *agent, struct err *err)
{
	int r = recount(agent);
	if (r == OK)
		r = resume(agent, err);
	return r == OK || r == ERR_NOTFOUND ? OK : err_set(err, r, "%s: what came in the lost end of the log cannot be read: %s", agent->config.agent.store, err_text(r));
}

void epoch_show(struct agent *agent, const char *note)
{
	struct witness *witness = &agent->witness;
	char *copy = note != NULL && strlen(note) < EPOCH_NOTE_MAX ? strdup(note) : NULL;
	if (copy == NULL)
		return;
	free(witness->new_epoch);
	witness->new_epoch = copy;
}

void epoch_status(const struct agent *agent, struct buf *out)
{
	const struct witness *witness = &agent->witness;
	if (witness->epoch > EPOCH_FIRST)
		(void)buf_printf(out, ",\"epoch\":%llu", (unsigned long long)witness->epoch); /* the buffer remembers its error; so below */
	if (witness->horizon > 0)
		(void)buf_printf(out, ",\"horizon\":%llu", (unsigned long long)witness->horizon);
	if (witness->new_epoch != NULL) {
		(void)buf_text(out, ",\"new_epoch\":");
		(void)json_string(out, witness->new_epoch);
	}
	if (agent->inbox.lost > 0)
		(void)buf_printf(out, ",\"lost\":%llu", (unsigned long long)agent->inbox.lost);
}

int epoch_follow(struct agent *agent, const Reentry__Welcome *welcome, struct err *err)
{
	struct epoch_record record = { 0 };
	uint64_t left;
	if (welcome->new_epoch == NULL)
		return err_set(err, ERR_DENIED, "epoch %llu of its log without the record that began it; this agency is in epoch %llu", (unsigned long long)welcome->epoch,
		               (unsigned long long)agent->witness.epoch);
	int r = read_record(agent, welcome->new_epoch, &record, err);
	if (r == OK && record.new_epoch != welcome->epoch)
		r = err_set(err, ERR_DENIED, "epoch %llu of its log, and the record of another one", (unsigned long long)welcome->epoch);
	if (r != OK)
		return r;
	left = epoch_left(&record, agent->witness.epoch);
	if (record.new_epoch > agent->witness.epoch && agent->witness.head.size <= left && epoch_reached(agent) <= left) {
		log_info("epoch=%llu follows=%llu from=%llu effect=\"nothing that this agency was shown is lost\"", (unsigned long long)record.new_epoch,
		         (unsigned long long)agent->witness.epoch, (unsigned long long)left);
		return OK;
	}
	epoch_show(agent, welcome->new_epoch);
	return err_set(err, ERR_DENIED,
	               "a log that goes on from record %llu in a new epoch, and this agency was shown more (reason: %s): ask the broker's operator for the record, then: reentry accept-epoch FILE",
	               (unsigned long long)left, record.reason);
}
