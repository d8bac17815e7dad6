/* From input to disk to receipts. Nothing of a turn is told to anybody before core_commit has returned OK.
 *
 * Everything that a turn does is an operation in a list. When one of them fails the transaction is rolled back and the list is run again without it, so that
 * one damaged case or a full disk stops nobody else's acknowledgements. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker/broker.h"
#include "lib/daemon.h"
#include "lib/log.h"

#define QUANTUM 128                  /* items that one session gets before it is the next one's turn */
#define QUICK_MAX 16                 /* items of a session that has no more: it waits for their receipts */
#define RECEIVE_ROUND 64             /* messages received between two rounds */
#define FIRE_MAX 512                 /* cases whose timers fire in one turn */
#define RETRIES 8                    /* operations that may fail before the rest of the turn is given up */
#define ARENA_SOFT ((size_t)48 << 20)   /* a turn that has used so much memory takes no more */
#define TURN_US_MAX 50000            /* of a turn that follows a slow commit */
#define STUCK_MS 1000

enum op_kind { OP_PUBLISH, OP_ACK, OP_TOLD, OP_FIRE, OP_COSIGN };

struct op {
	enum op_kind kind;
	bool bad;                        /* made the turn fail, and is left out */
	bool held;                       /* stands behind one of its case that was refused, and is left out (hold.c) */
	struct session *session;
	uint64_t generation;
	size_t next;                     /* of the same session, index + 1 */
	const Reentry__Publish__Item *item;
	uint64_t frame;                  /* in which the item came */
	const uint64_t *sequences; size_t n;
	const char *note;
	struct core_receipt receipt;
};

struct turn {
	struct arena arena;
	struct op *ops; size_t n_ops;
	uint64_t began_us;
	uint64_t commit_us;              /* that the last commit took */
	size_t n_items;
	bool full;                       /* the store takes no more publishes */
	bool quick;                      /* somebody with little to offer waits for the end of this turn */
};

int turn_new(struct broker *broker, struct err *err)
{
	broker->turn = calloc(1, sizeof *broker->turn);
	if (!broker->turn)
		return err_set(err, ERR_NOMEM, "no memory for the turn");
	arena_init(&broker->turn->arena, 0);
	return OK;
}

void turn_free(struct broker *broker)
{
	if (!broker->turn)
		return;
	arena_release(&broker->turn->arena);
	free(broker->turn);
	broker->turn = NULL;
}

void turn_wipe(struct broker *broker)
{
	if (!broker->turn)
		return; /* a start that executes what a crash had left: there were none */
	arena_wipe(&broker->turn->arena);
	broker->turn->ops = NULL;
	broker->turn->n_ops = broker->turn->n_items = 0;
}

/* --- one operation ------------------------------------------------------------------------------------------------------- */

static int run_publish(struct broker *broker, struct op *op)
{
	const Reentry__Publish__Item *item = op->item;
	const moment time = item->has_time ? item->time : clock_now(&broker->clock);

	op->receipt = (struct core_receipt){ 0 };
	return core_publish(broker->core, op->session->agency, item->content.data, item->content.len, time, &op->receipt);
}

static int run_op(struct broker *broker, struct op *op)
{
	bool more; /* turn_schedule sees it by the next deadline */

	switch (op->kind) {
	case OP_PUBLISH:
		return run_publish(broker, op);
	case OP_ACK:
		return core_acked(broker->core, op->session->agency->id, op->sequences, op->n);
	case OP_TOLD:
		return core_delivered(broker->core, op->session->agency->id, op->sequences, op->n);
	case OP_COSIGN:
		return witness_cosign(broker, op->session, op->note);
	case OP_FIRE:
		return core_fire(broker->core, FIRE_MAX, &more);
	}
	return ERR_INVALID;
}

/* With a full store only what frees room, or has none of its own, still runs. */
static bool left_out(const struct turn *turn, const struct op *op)
{
	return op->bad || op->held || (turn->full && (op->kind == OP_PUBLISH || op->kind == OP_FIRE));
}

static int begin(struct broker *broker)
{
	return core_begin(broker->core, clock_now(&broker->clock));
}

/* What was refused comes again, and before it may come nothing that its publisher had put behind it. */
static void hold_behind(struct broker *broker, const struct op *op)
{
	struct turn *turn = broker->turn;
	struct session *session = op->session;

	if (op->kind != OP_PUBLISH || op->generation != session->generation)
		return;
	hold_begin(broker, session, op->frame - 1, &op->item->content);
	for (size_t i = op->next; i && op->generation == session->generation; i = turn->ops[i - 1].next)
		if (turn->ops[i - 1].kind == OP_PUBLISH && !turn->ops[i - 1].bad)
			turn->ops[i - 1].held = hold_covers(session, turn->ops[i - 1].frame, &turn->ops[i - 1].item->content);
}

static void mark_failed(struct broker *broker, size_t i, int rc)
{
	struct turn *turn = broker->turn;
	struct op *op = &turn->ops[i];
	unsigned held;

	if (rc == ERR_UNSYNCED)
		broker_die("the store", rc);
	broker->stats.turns_failed++;
	core_rollback(broker->core);
	if (rc == ERR_FULL && !turn->full) {
		turn->full = true;
		if (limiter_pass(&broker->full, &held))
			log_error("the store is full: publishes are refused until there is room (limits.store_size, or the disk)");
		return;
	}
	op->bad = true;
	hold_behind(broker, op);
	if (limiter_pass(&broker->failures, &held))
		log_error("agency=%s operation failed: %s; it is left out; %u more were held back", op->session ? op->session->agency->id : "-", err_text(rc), held);
}

/* Runs the list from the start in a new transaction. OK: all of it that can run has. */
static int run_again(struct broker *broker)
{
	struct turn *turn = broker->turn;
	int rc = OK;

	for (int tries = 0; tries < RETRIES; tries++) {
		size_t i;

		rc = begin(broker);
		for (i = 0; i < turn->n_ops && !rc; i++)
			if (!left_out(turn, &turn->ops[i]))
				rc = run_op(broker, &turn->ops[i]);
		if (!rc)
			return OK;
		if (!i)
			break; /* not even a beginning */
		mark_failed(broker, i - 1, rc);
	}
	return rc ? rc : ERR_IO;
}

/* Appends an operation and runs it. */
static int do_op(struct broker *broker, const struct op *wanted)
{
	struct turn *turn = broker->turn;
	struct op *op = ARENA_PUSH(&turn->arena, turn->ops, turn->n_ops);
	struct session *session = wanted->session;
	int rc;

	if (!op)
		return ERR_NOMEM;
	*op = *wanted;
	if (session) {
		op->generation = session->generation;
		if (session->turn_last)
			turn->ops[session->turn_last - 1].next = turn->n_ops;
		else
			session->turn_first = turn->n_ops;
		session->turn_last = turn->n_ops;
		session->turn_n++;
	}
	if (left_out(turn, op))
		return OK;
	rc = run_op(broker, op);
	if (!rc)
		return OK;
	mark_failed(broker, turn->n_ops - 1, rc);
	return run_again(broker);
}

/* --- taking input --------------------------------------------------------------------------------------------------------- */

/* Unpacks the session's next frame into the turn's memory. A frame that is only half done is unpacked again by the next turn. */
static bool unpack_next(struct broker *broker, struct session *session, Reentry__Frame **ret_frame)
{
	struct err err;
	int rc = net_unpack(&session->first->message, &broker->turn->arena, ret_frame, &err);

	if (!rc && (*ret_frame)->ack && (*ret_frame)->ack->n_sequences > ACK_MAX)
		rc = err_set(&err, ERR_INVALID, "ack.sequences: at most %d in one Ack", ACK_MAX);
	if (rc) {
		broker->stats.malformed++;
		session_end(broker, session, rc == ERR_NOMEM ? "busy" : "malformed", err.text);
	}
	return !rc;
}

static int take_ack(struct broker *broker, struct session *session, const Reentry__Ack *ack)
{
	struct op op = { .kind = OP_ACK, .session = session, .sequences = ack->sequences, .n = ack->n_sequences };

	session_frame_done(broker, session);
	if (!op.n)
		return OK;
	deliver_acked(broker, session, op.sequences, op.n);
	return do_op(broker, &op);
}

static int take_cosign(struct broker *broker, struct session *session, const Reentry__Cosign *cosign)
{
	const struct op op = { .kind = OP_COSIGN, .session = session, .note = cosign->note };

	session_frame_done(broker, session);
	return op.note ? do_op(broker, &op) : OK;
}

/* At most `room` items of the frame. */
static int take_items(struct broker *broker, struct session *session, const Reentry__Publish *publish, size_t room, size_t *ret_taken)
{
	struct frame *frame = session->first;
	const size_t before = broker->turn->n_ops;
	size_t n = publish->n_items - frame->next_item;
	int rc = OK;

	n = n < room ? n : room;
	for (size_t i = 0; i < n && !rc; i++) {
		const Reentry__Publish__Item *item = publish->items[frame->next_item + i];
		const struct op op = { .kind = OP_PUBLISH, .session = session, .item = item, .frame = frame->number, .held = hold_covers(session, frame->number, &item->content) };

		rc = do_op(broker, &op);
	}
	*ret_taken = broker->turn->n_ops - before; /* not those for which there was no memory: they come again */
	broker->turn->n_items += *ret_taken;
	session->offered += *ret_taken;
	broker->stats.items += *ret_taken;
	frame->next_item += *ret_taken;
	if (frame->next_item >= publish->n_items)
		session_frame_done(broker, session);
	return rc;
}

/* A session's share of the round. */
static int take_share(struct broker *broker, struct session *session)
{
	size_t room = QUANTUM, taken;
	int rc = OK;

	while (room && session->first && !rc) {
		Reentry__Frame *frame;

		if (!unpack_next(broker, session, &frame))
			return OK;
		taken = 1;
		if (frame->ack)
			rc = take_ack(broker, session, frame->ack);
		else if (frame->cosign)
			rc = take_cosign(broker, session, frame->cosign);
		else
			rc = take_items(broker, session, frame->publish, room, &taken);
		room -= taken;
	}
	broker->turn->quick |= !session->first && session->offered && session->offered <= QUICK_MAX;
	session_rejoin(&broker->sessions, session);
	return rc;
}

/* A slow disk is not waited for more often than it is worked: as long as the last commit took, whoever comes may share the next one. Nobody waits for it who is alone. */
static uint64_t turn_us(const struct broker *broker)
{
	const uint64_t least = (uint64_t)broker->config->file.limits.turn * 1000, commit = broker->turn->commit_us;

	return commit <= least ? least : commit < TURN_US_MAX ? commit : TURN_US_MAX;
}

/* Who has much to offer gets one share in a turn for which somebody with little waits, and goes on in the next: the sync that this costs is the other's latency saved. */
static bool others_wait(const struct broker *broker)
{
	const struct session *next = broker->sessions.ring_first;

	return broker->turn->quick && next && next->offered;
}

static bool time_is_over(const struct broker *broker)
{
	const struct turn *turn = broker->turn;

	return stats_us() - turn->began_us >= turn_us(broker) || turn->arena.used > ARENA_SOFT || core_crowded(broker->core);
}

/* Round robin over the sessions with input, receiving more in between, until there is none or the turn has had its time. */
static int take_input(struct broker *broker)
{
	const size_t burst = (size_t)broker->config->file.limits.burst;
	struct session *session;
	size_t received = 0;
	int rc = OK;

	while (!rc && !others_wait(broker) && (session = sessions_next(&broker->sessions))) {
		rc = take_share(broker, session);
		if (rc || time_is_over(broker))
			break;
		if (received < burst)
			received += net_receive(broker, RECEIVE_ROUND);
	}
	return rc;
}

/* --- told and due --------------------------------------------------------------------------------------------------------- */

static int take_told(struct broker *broker)
{
	int rc = OK;

	for (size_t i = 0; broker->want_told && i < broker->sessions.n && !rc; i++) {
		struct session *session = broker->sessions.items[i];
		struct op op = { .kind = OP_TOLD, .session = session };

		if (!session->n_told)
			continue;
		op.n = session->n_told;
		op.sequences = arena_dup(&broker->turn->arena, session->told, op.n * sizeof *session->told);
		session->n_told = 0;
		rc = op.sequences ? do_op(broker, &op) : ERR_NOMEM;
	}
	broker->want_told = false;
	loop_timer_stop(broker->loop, &broker->told);
	return rc;
}

static bool timers_due(struct broker *broker)
{
	return !broker->timers_stuck && broker->next_due != MOMENT_NONE && broker->next_due <= clock_now(&broker->clock);
}

/* Before the input: timers that are due fire before anything else of the moment (domain.md 4.1). */
static int take_due(struct broker *broker)
{
	const struct op op = { .kind = OP_FIRE };

	return timers_due(broker) ? do_op(broker, &op) : OK;
}

void turn_schedule(struct broker *broker)
{
	const moment due = broker->next_due = core_held(broker->core) ? MOMENT_NONE : core_next_due(broker->core), now = clock_now(&broker->clock);
	const double rate = broker->clock.rate > 0 ? broker->clock.rate : 1;
	int64_t ms;

	loop_timer_stop(broker->loop, &broker->due);
	if (broker->stalled)
		(void)loop_timer_set(broker->loop, &broker->due, STUCK_MS); /* as below */
	if (broker->stalled || due == MOMENT_NONE)
		return;
	ms = due <= now ? 0 : (int64_t)((double)(due - now) / rate) + 1;
	if (broker->timers_stuck)
		ms = STUCK_MS;
	else if (ms > TICK_LONG_MS)
		ms = TICK_LONG_MS; /* the system clock may be set meanwhile */
	(void)loop_timer_set(broker->loop, &broker->due, ms); /* the place was just freed, or is one of the few that are the daemon's own */
}

/* --- the end of a turn ---------------------------------------------------------------------------------------------------- */

static void fill_receipt(struct broker *broker, struct op *op, Reentry__Receipt *receipt)
{
	static char storage_full[] = "storage-full", busy[] = "busy", later[] = "try later", behind[] = "an earlier event of this case was refused: offer that first";
	const bool full = broker->turn->full && !op->bad;
	struct stats *stats = &broker->stats;

	reentry__receipt__init(receipt);
	receipt->has_tag = op->item->has_tag;
	receipt->tag = op->item->tag;
	receipt->has_result = true;
	if (left_out(broker->turn, op)) {
		receipt->result = REENTRY__OUTCOME__VALUE__REFUSED;
		receipt->code = full ? storage_full : busy;
		receipt->detail = op->held ? behind : later;
		*(full ? &stats->storage_full : &stats->busy) += 1;
		return;
	}
	receipt->result = op->receipt.result;
	receipt->has_sequence = op->receipt.sequence != 0;
	receipt->sequence = op->receipt.sequence;
	memcpy(&receipt->id, &op->receipt.id, sizeof receipt->id); /* the generated structs want char *; packing only reads */
	memcpy(&receipt->code, &op->receipt.code, sizeof receipt->code);
	memcpy(&receipt->detail, &op->receipt.detail, sizeof receipt->detail);
	stats->accepted += receipt->result == REENTRY__OUTCOME__VALUE__ACCEPTED;
	stats->duplicates += receipt->result == REENTRY__OUTCOME__VALUE__DUPLICATE;
	stats->stale += receipt->result == REENTRY__OUTCOME__VALUE__STALE;
	stats->refused += receipt->result == REENTRY__OUTCOME__VALUE__REFUSED;
}

static bool try_later(const Reentry__Receipt *receipt)
{
	return receipt->result == REENTRY__OUTCOME__VALUE__REFUSED && receipt->code && (!strcmp(receipt->code, "busy") || !strcmp(receipt->code, "storage-full"));
}

static void send_receipts(struct broker *broker, struct session *session, Reentry__Receipt **items, size_t n)
{
	Reentry__Frame frame = REENTRY__FRAME__INIT;
	Reentry__Receipts receipts = REENTRY__RECEIPTS__INIT;

	if (!n || !session->up)
		return;
	receipts.items = items;
	receipts.n_items = n;
	frame.receipts = &receipts;
	/* A publisher that does not read its receipts begins again; it offers everything once more and is told "duplicate". */
	if (net_send(broker, session, &frame))
		session_lost(broker, session, "unread");
}

/* In the order of the items, some thousand in one message. */
static void tell_session(struct broker *broker, struct session *session)
{
	const size_t most = net_batch(broker, RECEIPTS_MAX * RECEIPT_BYTES) / RECEIPT_BYTES, max = session->turn_n < most ? session->turn_n : most;
	struct turn *turn = broker->turn;
	Reentry__Receipt **items = arena_alloc(&turn->arena, max * sizeof(Reentry__Receipt *));
	Reentry__Receipt *room = arena_alloc(&turn->arena, max * sizeof *room);
	size_t n = 0;

	if (!items || !room) {
		session_lost(broker, session, "no-memory");
		return;
	}
	for (size_t i = session->turn_first; i; i = turn->ops[i - 1].next) {
		struct op *op = &turn->ops[i - 1];

		if (op->kind != OP_PUBLISH || op->generation != session->generation)
			continue;
		fill_receipt(broker, op, &room[n]);
		if (try_later(&room[n]) && !op->held)
			hold_begin(broker, session, op->frame - 1, &op->item->content);
		items[n] = &room[n];
		if (++n == max) {
			send_receipts(broker, session, items, n);
			n = 0;
		}
	}
	send_receipts(broker, session, items, n);
	hold_ask(broker, session);
}

static void tell(struct broker *broker)
{
	for (size_t i = 0; i < broker->sessions.n; i++) {
		struct session *session = broker->sessions.items[i];

		if (session->turn_first && broker->turn->n_items)
			tell_session(broker, session);
		session->turn_first = session->turn_last = session->turn_n = session->offered = 0;
	}
}

/* A planted fault (make BUILD=… CFLAGS=-DREENTRY_FAULTS; REENTRY_FAULT=ack-before-commit), so that the crash test can show that it would notice: receipts go out before
 * the commit, and now and then the process ends in between. */
static bool planted_fault(struct broker *broker)
{
#ifdef REENTRY_FAULTS
	static unsigned turns;

	if (daemon_fault("ack-before-commit") && broker->turn->n_items) {
		tell(broker);
		if (++turns % 16 == 0) {
			net_close(broker); /* what was told leaves */
			_exit(9);
		}
		return true;
	}
#endif
	(void)broker;
	return false;
}

/* All operations of the turn stand in the transaction: makes them durable. A commit that finds the store full runs once more without the publishes. */
static int commit(struct broker *broker)
{
	struct turn *turn = broker->turn;
	const uint64_t before = stats_us();
	int rc = core_commit(broker->core);
	uint64_t us;

	if (rc == ERR_UNSYNCED)
		broker_die("the store", rc);
	if (rc == ERR_FULL && !turn->full) {
		turn->full = true;
		broker->stats.turns_failed++;
		rc = run_again(broker);
		if (!rc)
			rc = core_commit(broker->core);
		if (rc == ERR_UNSYNCED)
			broker_die("the store", rc);
	}
	us = stats_us() - before;
	turn->commit_us = us;
	broker->stats.commit_us += us;
	broker->stats.commit_us_max = us > broker->stats.commit_us_max ? us : broker->stats.commit_us_max;
	return rc;
}

/* Nothing of the turn happened: publishes are answered busy, or storage-full where that is why, so that their agents try again. */
static void give_up(struct broker *broker, int rc)
{
	struct turn *turn = broker->turn;
	unsigned held;

	core_rollback(broker->core);
	turn->full = turn->full || rc == ERR_FULL;
	for (size_t i = 0; i < turn->n_ops; i++)
		turn->ops[i].bad = !turn->full || turn->ops[i].kind != OP_PUBLISH;
	if (!turn->n_ops)
		broker->stalled = true; /* there was no transaction to begin with: on_due tries again */
	if (limiter_pass(&broker->failures, &held))
		log_error("a turn failed: %s; its publishes were answered %s; %u more were held back", err_text(rc), turn->full ? "storage-full" : "busy", held);
}

/* An acknowledgement that could not be recorded has not happened: what it was about is still in the queue, and is sent again. */
static void offer_again(struct broker *broker)
{
	const struct turn *turn = broker->turn;

	for (size_t i = 0; i < turn->n_ops; i++)
		if (turn->ops[i].bad && turn->ops[i].kind == OP_ACK)
			deliver_rewind(broker, turn->ops[i].session);
}

static void tell_damaged(struct broker *broker)
{
	const size_t n = core_damaged(broker->core);

	if (n > broker->damaged_told)
		log_error("cases=%zu cannot be read: events on them are answered busy; run reentry admin repair, or restore a backup", n);
	broker->damaged_told = n;
}

static void finish(struct broker *broker, int rc)
{
	struct turn *turn = broker->turn;
	uint64_t us;
	bool told = false;

	if (!rc) {
		told = planted_fault(broker);
		rc = commit(broker);
	}
	if (rc)
		give_up(broker, rc);
	else
		broker->stats.turns++;
	if (!told)
		tell(broker);
	offer_again(broker);
	broker->timers_stuck = turn->full || rc;
	tell_damaged(broker);
	if (turn->n_items)
		broker->no_room = turn->full;
	if (!rc)
		deliver_note_touched(broker);
	us = stats_us() - turn->began_us;
	broker->stats.turn_us += us;
	broker->stats.turn_us_max = us > broker->stats.turn_us_max ? us : broker->stats.turn_us_max;
	turn_schedule(broker);
}

static void open_turn(struct broker *broker)
{
	struct turn *turn = broker->turn;

	arena_reset(&turn->arena);
	turn->ops = NULL;
	turn->n_ops = turn->n_items = 0;
	turn->full = turn->quick = false;
	turn->began_us = stats_us();
}

bool turn_wanted(struct broker *broker)
{
	return !broker->stalled && !core_held(broker->core) && (broker->sessions.ring_first || broker->turn_now || timers_due(broker));
}

void turn_run(struct broker *broker)
{
	int rc;

	open_turn(broker);
	(void)net_receive(broker, RECEIVE_ROUND); /* the count is in the stats */
	if (!turn_wanted(broker))
		return;
	broker->turn_now = false;
	rc = begin(broker);
	if (!rc)
		rc = take_told(broker); /* before anything that changes a case: what was handed over is what the record before it allowed (core_past.c) */
	if (!rc)
		rc = take_due(broker);
	if (!rc)
		rc = take_input(broker);
	finish(broker, rc);
}

/* --- turns of one thing --------------------------------------------------------------------------------------------------- */

int turn_alone(struct broker *broker, int (*step)(void *context, struct broker *broker), void *context)
{
	int rc;

	open_turn(broker);
	rc = begin(broker);
	if (!rc)
		rc = step(context, broker);
	if (!rc)
		rc = core_commit(broker->core);
	if (rc == ERR_UNSYNCED)
		broker_die("the store", rc);
	if (rc)
		core_rollback(broker->core);
	else
		deliver_note_touched(broker);
	turn_schedule(broker);
	return rc;
}

struct audit { Reentry__RecordKind__Value kind; const Reentry__AuditRecord *body; const char *subject; };

static int audit_step(void *context, struct broker *broker)
{
	const struct audit *audit = context;

	return core_audit(broker->core, audit->kind, audit->body, audit->subject);
}

int turn_audit(struct broker *broker, Reentry__RecordKind__Value kind, const Reentry__AuditRecord *body, const char *subject)
{
	struct audit audit = { kind, body, subject };
	const int rc = turn_alone(broker, audit_step, &audit);

	if (rc)
		log_error("an audit record was not written: %s", err_text(rc));
	return rc;
}
