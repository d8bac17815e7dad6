/* One turn of the loop: everything it changed is one transaction and one sync, and what was promised follows only then. */
#include "agents/agent.h"

#include <stdlib.h>

#include "lib/log.h"

static bool has_work(void *context)
{
	struct agent *agent = context;
	return agent->turn.txn.txn != NULL || agent->turn.txn.error != OK || agent->turn.n_effects > 0 || agent->store.keys.txn.txn != NULL;
}

static void work(void *context)
{
	(void)turn_end(context); /* what failed was told to the effects */
}

int turn_open(struct agent *agent)
{
	agent->turn = (struct turn){0};
	arena_init(&agent->turn.arena, TURN_ARENA_MAX);
	return agent->loop != NULL ? loop_add_ready(agent->loop, has_work, work, agent) : OK;
}

void turn_close(struct agent *agent)
{
	if (agent->loop != NULL)
		loop_remove_ready(agent->loop, agent);
	db_abort(&agent->turn.txn);
	case_keys_abort(&agent->store.keys);
	free(agent->turn.effects);
	arena_release(&agent->turn.arena);
	agent->turn = (struct turn){0};
}

struct db_txn *turn_txn(struct agent *agent)
{
	struct db_txn *txn = &agent->turn.txn;
	if (txn->txn == NULL && txn->error == OK)
		(void)db_begin(agent->store.db, txn); /* an error is remembered in it */
	/* Acknowledgements and receipts may use the head-room; what takes in something new asks db_low first. */
	txn->reserve = true;
	return txn;
}

void turn_after(struct agent *agent, turn_effect_fn *fn, void *context, uint64_t n)
{
	struct turn *turn = &agent->turn;
	if (turn->n_effects == turn->room) {
		size_t room = turn->room > 0 ? turn->room * 2 : 64;
		struct turn_effect *effects = reallocarray(turn->effects, room, sizeof *effects);
		if (effects == NULL) {
			/* It would not hear that the turn is on disk: then the turn is not, and all the others hear that. */
			if (turn->txn.txn != NULL && turn->txn.error == OK)
				turn->txn.error = ERR_NOMEM;
			fn(agent, context, n, ERR_NOMEM);
			return;
		}
		turn->effects = effects;
		turn->room = room;
	}
	turn->effects[turn->n_effects++] = (struct turn_effect){fn, context, n};
}

void turn_forget(struct agent *agent, const void *context)
{
	for (size_t i = 0; i < agent->turn.n_effects; i++)
		if (agent->turn.effects[i].context == context)
			agent->turn.effects[i].fn = NULL;
	for (struct turn_telling *telling = agent->turn.telling; telling != NULL; telling = telling->outer)
		for (size_t i = 0; i < telling->n; i++)
			if (telling->effects[i].context == context)
				telling->effects[i].fn = NULL;
}

/* OK also when there was nothing to commit. */
static int commit(struct agent *agent)
{
	struct turn *turn = &agent->turn;
	int r = turn->txn.error;
	/* Keys first: an entry whose key were lost could never be read again; a key without entries is harmless. */
	if (r == OK)
		r = case_keys_commit(&agent->store.keys);
	if (r == OK && turn->txn.txn != NULL)
		r = db_commit(&turn->txn);
	if (r == ERR_UNSYNCED)
		agent_die(agent, agent->config.agent.store, "a write or sync failed; the disk must be looked at");
	db_abort(&turn->txn);
	case_keys_abort(&agent->store.keys);
	turn->txn = (struct db_txn){0};
	if (r != OK)
		log_error("turn=failed store=%s why=\"%s\" effect=\"nothing was taken in or acknowledged\"", agent->config.agent.store, err_text(r));
	return r;
}

int turn_end(struct agent *agent)
{
	struct turn *turn = &agent->turn;
	int r = commit(agent);
	/* What an effect adds belongs to the next turn, which an effect may even end itself: so those of this one are set apart. */
	struct turn_telling telling = {turn->effects, turn->n_effects, turn->telling};
	turn->effects = NULL;
	turn->n_effects = turn->room = 0;
	turn->telling = &telling;
	for (size_t i = 0; i < telling.n; i++)
		if (telling.effects[i].fn != NULL)
			telling.effects[i].fn(agent, telling.effects[i].context, telling.effects[i].n, r);
	turn->telling = telling.outer;
	free(telling.effects);
	if (turn->telling == NULL && turn->txn.txn == NULL && turn->n_effects == 0)
		arena_reset(&turn->arena);
	return r;
}

void turn_relief(struct agent *agent)
{
	if (agent->turn.arena.used > TURN_ARENA_RELIEF)
		(void)turn_end(agent); /* what failed was told to the effects */
}

int turn_read(struct agent *agent, struct db_txn *ret_txn)
{
	if (agent->turn.txn.txn != NULL)
		(void)turn_end(agent); /* what failed was told to the effects */
	return db_begin_read(agent->store.db, ret_txn);
}
