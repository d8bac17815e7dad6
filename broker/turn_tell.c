/* Receipts: what became of each item, told when it is on disk. */
#include <string.h>

#include "broker/turn_internal.h"

static void fill_receipt(struct broker *broker, const struct turn *turn, struct op *op, Reentry__Receipt *receipt)
{
	static char storage_full[] = "storage-full", busy[] = "busy", later[] = "try later", behind[] = "an earlier event of this case was refused: offer that first";
	const bool full = turn->full && !op->bad;
	struct stats *stats = &broker->stats;

	reentry__receipt__init(receipt);
	receipt->has_tag = op->item->has_tag;
	receipt->tag = op->item->tag;
	receipt->has_result = true;
	if (turn_leaves_out(turn, op)) {
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
static void tell_session(struct broker *broker, struct turn *turn, const struct chain *chain)
{
	const size_t most = net_batch(broker, RECEIPTS_MAX * RECEIPT_BYTES) / RECEIPT_BYTES, max = chain->n < most ? chain->n : most;
	struct session *const session = chain->session;
	Reentry__Receipt **items = arena_alloc(&turn->arena, max * sizeof(Reentry__Receipt *));
	Reentry__Receipt *room = arena_alloc(&turn->arena, max * sizeof *room);
	size_t n = 0;

	if (!items || !room) {
		session_lost(broker, session, "no-memory");
		return;
	}
	for (size_t i = chain->first; i; i = turn->ops[i - 1].next) {
		struct op *op = &turn->ops[i - 1];

		if (op->kind != OP_PUBLISH || op->generation != session->generation)
			continue;
		fill_receipt(broker, turn, op, &room[n]);
		if (!op->held && (turn_leaves_out(turn, op) || turn_try_later(&op->receipt)))
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

void turn_tell(struct broker *broker, struct turn *turn)
{
	for (size_t i = 0; turn->n_items && i < turn->n_chains; i++)
		tell_session(broker, turn, &turn->chains[i]);
}
