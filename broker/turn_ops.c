/* Everything that a turn does is an operation in a list. When one of them fails the transaction is rolled back and the list is run again without it, so that one damaged case or a full disk stops nobody
 * else's acknowledgements. */
#include <string.h>

#include "broker/turn_internal.h"
#include "lib/log.h"

#define FIRE_MAX 512                 /* cases whose timers fire in one turn */
#define RETRIES 8                    /* operations that may fail before the rest of the turn is given up */

static int run_publish(struct broker *broker, struct op *op)
{
	const Reentry__Publish__Item *item = op->item;
	const moment time = item->has_time ? item->time : clock_now(&broker->clock);
	int rc;

	op->receipt = (struct core_receipt){ 0 };
	rc = core_publish(broker->core, op->session->agency, item->content.data, item->content.len, time, &op->receipt);
	broker->turn->failed |= !rc && turn_try_later(&op->receipt);
	return rc;
}

static int run(struct broker *broker, struct op *op)
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
bool turn_leaves_out(const struct turn *turn, const struct op *op)
{
	return op->bad || op->held || (turn->full && (op->kind == OP_PUBLISH || op->kind == OP_FIRE));
}

bool turn_try_later(const struct core_receipt *receipt)
{
	return receipt->result == REENTRY__OUTCOME__VALUE__REFUSED && receipt->code && (!strcmp(receipt->code, "busy") || !strcmp(receipt->code, "storage-full"));
}

int turn_begin(struct broker *broker)
{
	const moment now = clock_now(&broker->clock);

	return broker->turn->direct ? core_begin_direct(broker->core, now) : core_begin(broker->core, now);
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
	turn->failed = true;
	if (rc == ERR_FULL && !turn->full) {
		turn->full = true;
		if (limiter_pass(&broker->full, &held))
			log_error("the store is full: publishes are refused until there is room (limits.store_size, or the disk)");
		return;
	}
	op->bad = true;
	hold_behind(broker, op);
	if (limiter_pass(&broker->failures, &held))
		log_error("agency=%s operation failed: %s; it is left out%s", op->session ? op->session->agency->id : "-", err_text(rc), limiter_more(held, (char[LIMITER_MORE]){ 0 }));
}

int turn_again(struct broker *broker)
{
	struct turn *turn = broker->turn;
	int rc = OK;

	for (int tries = 0; tries < RETRIES; tries++) {
		size_t i;

		rc = turn_begin(broker);
		for (i = 0; i < turn->n_ops && !rc; i++)
			if (!turn_leaves_out(turn, &turn->ops[i]))
				rc = run(broker, &turn->ops[i]);
		if (!rc)
			return OK;
		if (!i)
			break; /* not even a beginning */
		mark_failed(broker, i - 1, rc);
	}
	return rc ? rc : ERR_IO;
}

/* The session's chain in this turn, made if there is none. NULL: no memory. */
static struct chain *chain_of(struct turn *turn, struct session *session)
{
	struct chain *chain;

	if (session->chain)
		return &turn->chains[session->chain - 1];
	chain = ARENA_PUSH(&turn->arena, turn->chains, turn->n_chains);
	if (!chain)
		return NULL;
	*chain = (struct chain){ .session = session };
	session->chain = turn->n_chains;
	return chain;
}

int turn_do(struct broker *broker, const struct op *wanted)
{
	struct turn *turn = broker->turn;
	struct chain *chain = wanted->session ? chain_of(turn, wanted->session) : NULL;
	struct op *op = wanted->session && !chain ? NULL : ARENA_PUSH(&turn->arena, turn->ops, turn->n_ops);
	int rc;

	if (!op)
		return ERR_NOMEM;
	*op = *wanted;
	if (chain) {
		op->generation = op->session->generation;
		if (chain->last)
			turn->ops[chain->last - 1].next = turn->n_ops;
		else
			chain->first = turn->n_ops;
		chain->last = turn->n_ops;
		chain->n++;
		chain->offered += op->kind == OP_PUBLISH;
	}
	if (turn_leaves_out(turn, op)) {
		turn->failed = true;
		return OK;
	}
	rc = run(broker, op);
	if (!rc)
		return OK;
	mark_failed(broker, turn->n_ops - 1, rc);
	return turn_again(broker);
}
