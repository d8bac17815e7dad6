/* Inside a turn: turn.c (its life), turn_input.c (what it takes), turn_ops.c (what is done), turn_tell.c (what is answered). broker.h is the contract. */
#ifndef BROKER_TURN_INTERNAL_H
#define BROKER_TURN_INTERNAL_H

#include "broker/broker.h"

#define RECEIVE_ROUND 64             /* messages received between two rounds */

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

/* The operations of one session, in their order. */
struct chain {
	struct session *session;
	size_t first, last;              /* as index + 1 */
	size_t n, offered;               /* how many; of these, items of Publish */
};

struct turn {
	struct arena arena;
	struct op *ops; size_t n_ops;
	struct chain *chains; size_t n_chains; /* session->chain is the index + 1 of its own, while the turn is being made */
	uint64_t began_us;
	size_t n_items;
	bool full;                       /* the store takes no more publishes */
	bool quick;                      /* somebody with little to offer waits for the end of this turn */
	bool direct;                     /* its commit failed before: the operation that is to blame is to be found */
	bool failed;                     /* an operation was left out, or an event is to be offered again: what comes behind it must know */
};

/* --- turn_ops.c ------------------------------------------------------------------------------------------------------------ */

int turn_begin(struct broker *broker);
/* Appends an operation and runs it. An error: the turn cannot go on. */
int turn_do(struct broker *broker, const struct op *wanted);
/* Runs the list from the start in a new transaction. OK: all of it that can run has. */
int turn_again(struct broker *broker);
bool turn_leaves_out(const struct turn *turn, const struct op *op);
bool turn_try_later(const struct core_receipt *receipt); /* the event was refused for now only */

/* --- turn_input.c ---------------------------------------------------------------------------------------------------------- */

/* What is due, what was handed over, what came in: until there is no more, or the turn has had its time. */
int turn_take(struct broker *broker);
int turn_take_more(struct broker *broker); /* what has come in since, into a turn that is open still */
bool turn_is_over(const struct broker *broker);
bool turn_timers_due(struct broker *broker);

/* --- turn_tell.c ----------------------------------------------------------------------------------------------------------- */

void turn_tell(struct broker *broker, struct turn *turn);

#endif
