/* What a turn takes in: what its sessions sent, each in its share; what was handed over; what is due. */
#include "broker/turn_internal.h"

#define QUANTUM 128                  /* items that one session gets before it is the next one's turn */
#define LOOK_UP 16                   /* items between two looks at the commit on its way */
#define QUICK_MAX 16                 /* items of a session that has no more: it waits for their receipts */
#define ARENA_SOFT ((size_t)48 << 20)   /* a turn that has used so much memory takes no more */
#define TURN_US_MAX 50000            /* of a turn that follows a slow commit */

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
	return turn_do(broker, &op);
}

static int take_cosign(struct broker *broker, struct session *session, const Reentry__Cosign *cosign)
{
	const struct op op = { .kind = OP_COSIGN, .session = session, .note = cosign->note };

	session_frame_done(broker, session);
	return op.note ? turn_do(broker, &op) : OK;
}

/* The disk waits for this turn. */
static bool landed(const struct broker *broker)
{
	return broker->flying && core_commit_done(broker->core);
}

/* At most `room` items of the frame, and not all of them when the disk begins to wait. */
static int take_items(struct broker *broker, struct session *session, const Reentry__Publish *publish, size_t room, size_t *ret_taken)
{
	struct frame *frame = session->first;
	const size_t before = broker->turn->n_ops;
	size_t n = publish->n_items - frame->next_item;
	int rc = OK;

	n = n < room ? n : room;
	for (size_t i = 0; i < n && !rc && !(i % LOOK_UP == LOOK_UP - 1 && landed(broker)); i++) {
		const Reentry__Publish__Item *item = publish->items[frame->next_item + i];
		const struct op op = { .kind = OP_PUBLISH, .session = session, .item = item, .frame = frame->number, .held = hold_covers(session, frame->number, &item->content) };

		rc = turn_do(broker, &op);
	}
	*ret_taken = broker->turn->n_ops - before; /* not those for which there was no memory: they come again */
	broker->turn->n_items += *ret_taken;
	broker->stats.items += *ret_taken;
	frame->next_item += *ret_taken;
	if (frame->next_item >= publish->n_items)
		session_frame_done(broker, session);
	return rc;
}

/* Items that the session has in this turn. */
static size_t offered(const struct broker *broker, const struct session *session)
{
	return session->chain ? broker->turn->chains[session->chain - 1].offered : 0;
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
	broker->turn->quick |= !session->first && offered(broker, session) && offered(broker, session) <= QUICK_MAX;
	session_rejoin(&broker->sessions, session);
	return rc;
}

/* A slow disk is not waited for more often than it is worked: as long as the last commit took, whoever comes may share the next one. Nobody waits for it who is alone. */
static uint64_t turn_us(const struct broker *broker)
{
	const uint64_t least = (uint64_t)broker->config->file.limits.turn * 1000, commit = broker->commit_us;

	return commit <= least ? least : commit < TURN_US_MAX ? commit : TURN_US_MAX;
}

/* Who has much to offer gets one share in a turn for which somebody with little waits, and goes on in the next: the sync that this costs is the other's latency saved. */
static bool others_wait(const struct broker *broker)
{
	const struct session *next = broker->sessions.ring_first;

	return broker->turn->quick && next && offered(broker, next);
}

/* It takes what comes until the one before is on disk: then it is its turn. */
bool turn_is_over(const struct broker *broker)
{
	const struct turn *turn = broker->turn;
	const uint64_t us = stats_us() - turn->began_us;
	const bool time = broker->flying ? landed(broker) || us >= TURN_US_MAX : us >= turn_us(broker);

	return time || turn->failed || broker->asking || turn->arena.used > ARENA_SOFT || core_crowded(broker->core);
}

/* Round robin over the sessions with input, receiving more in between, until there is none or the turn has had its time. */
int turn_take_more(struct broker *broker)
{
	const size_t burst = (size_t)broker->config->file.limits.burst;
	struct session *session;
	size_t received = 0;
	int rc = OK;

	while (!rc && !others_wait(broker) && (session = sessions_next(&broker->sessions))) {
		rc = take_share(broker, session);
		if (rc || turn_is_over(broker))
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
		rc = op.sequences ? turn_do(broker, &op) : ERR_NOMEM;
	}
	broker->want_told = false;
	loop_timer_stop(broker->loop, &broker->told);
	return rc;
}

bool turn_timers_due(struct broker *broker)
{
	return !broker->timers_stuck && broker->next_due != MOMENT_NONE && broker->next_due <= clock_now(&broker->clock);
}

/* Before the input: timers that are due fire before anything else of the moment (domain.md 4.1). */
static int take_due(struct broker *broker)
{
	const struct op op = { .kind = OP_FIRE };

	return turn_timers_due(broker) ? turn_do(broker, &op) : OK;
}

int turn_take(struct broker *broker)
{
	int rc = take_told(broker); /* before anything that changes a case: what was handed over is what the record before it allowed (core_past.c) */

	if (!rc)
		rc = take_due(broker);
	return rc ? rc : turn_take_more(broker);
}
