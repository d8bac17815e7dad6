/* From input to disk to receipts. Nothing of a turn is told to anybody before its commit has returned OK.
 *
 * Where there is much to do the commit of a turn goes on beside the next one: that one is made in memory (lib/db.h, staged transactions), takes what comes in until the one before has landed, and takes off then. So one
 * turn at most is on its way, and one at most is open. Meanwhile nothing is asked of the core but turns, and deliveries between two of them: whoever wants more calls turn_settle first. */
#include <stdlib.h>
#include <unistd.h>

#include "broker/turn_internal.h"
#include "lib/daemon.h"
#include "lib/log.h"

#define STUCK_MS 1000
#define FLY_LEAST 16                 /* operations of a turn that it is worth not to wait for */

static struct turn *new_turn(void)
{
	struct turn *turn = calloc(1, sizeof *turn);

	if (turn)
		arena_init(&turn->arena, 0);
	return turn;
}

static void free_turn(struct turn *turn)
{
	if (turn)
		arena_release(&turn->arena);
	free(turn);
}

int turn_new(struct broker *broker, struct err *err)
{
	broker->turn = new_turn();
	broker->other = new_turn();
	return broker->turn && broker->other ? OK : err_set(err, ERR_NOMEM, "no memory for the turn"); /* turn_free takes the one that is there */
}

void turn_free(struct broker *broker)
{
	free_turn(broker->turn);
	free_turn(broker->other);
	broker->turn = broker->other = NULL;
}

static void empty(struct turn *turn)
{
	turn->ops = NULL;
	turn->chains = NULL;
	turn->n_ops = turn->n_chains = turn->n_items = 0;
	turn->full = turn->quick = turn->direct = turn->failed = false;
}

void turn_wipe(struct broker *broker)
{
	struct turn *const turns[] = { broker->turn, broker->other };

	for (size_t i = 0; i < 2 && turns[i]; i++) { /* a start that executes what a crash had left: there were none */
		arena_wipe(&turns[i]->arena);
		empty(turns[i]);
	}
}

static void open_turn(struct broker *broker)
{
	arena_reset(&broker->turn->arena);
	empty(broker->turn);
	broker->turn->began_us = stats_us();
}

/* No more operations: the sessions' next ones belong to another turn. */
static void close_turn(const struct turn *turn)
{
	for (size_t i = 0; i < turn->n_chains; i++)
		turn->chains[i].session->chain = 0;
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

/* A planted fault (make BUILD=… CFLAGS=-DREENTRY_FAULTS; REENTRY_FAULT=ack-before-commit), so that the crash test can show that it would notice: receipts go out before
 * the commit, and now and then the process ends in between. */
static bool planted_fault(struct broker *broker)
{
#ifdef REENTRY_FAULTS
	static unsigned turns;

	if (daemon_fault("ack-before-commit") && broker->turn->n_items) {
		turn_tell(broker, broker->turn);
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

static void commit_took(struct broker *broker, uint64_t us)
{
	broker->commit_us = us;
	broker->stats.commit_us += us;
	broker->stats.commit_us_max = us > broker->stats.commit_us_max ? us : broker->stats.commit_us_max;
}

/* A turn that could not be written is run once more: with a full store without the publishes, else so that the operation that is to blame is found. */
static int retry(struct broker *broker, int rc)
{
	struct turn *turn = broker->turn;

	if (rc == ERR_UNSYNCED)
		broker_die("the store", rc);
	if (rc == ERR_FULL ? turn->full : turn->direct)
		return rc;
	turn->full = turn->full || rc == ERR_FULL;
	turn->direct = turn->failed = true;
	broker->stats.turns_failed++;
	return turn_again(broker);
}

/* All operations of the turn stand in the transaction: makes them durable. */
static int commit(struct broker *broker)
{
	const uint64_t before = stats_us();
	int rc = core_commit(broker->core);

	if (rc && !(rc = retry(broker, rc)))
		rc = core_commit(broker->core);
	if (rc == ERR_UNSYNCED)
		broker_die("the store", rc);
	commit_took(broker, stats_us() - before);
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
		log_error("a turn failed: %s; its publishes were answered %s%s", err_text(rc), turn->full ? "storage-full" : "busy", limiter_more(held, (char[LIMITER_MORE]){ 0 }));
}

/* An acknowledgement that could not be recorded has not happened: what it was about is still in the queue, and is sent again. */
static void offer_again(struct broker *broker, const struct turn *turn)
{
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

/* Behind a turn that is on disk, or that was given up. */
static void done(struct broker *broker, struct turn *turn, bool counts)
{
	uint64_t us;

	offer_again(broker, turn);
	broker->timers_stuck = turn->full || !counts;
	tell_damaged(broker);
	if (turn->n_items)
		broker->no_room = turn->full;
	us = stats_us() - turn->began_us;
	broker->stats.turns += counts;
	broker->stats.turn_us += us;
	broker->stats.turn_us_max = us > broker->stats.turn_us_max ? us : broker->stats.turn_us_max;
}

/* Commits the turn here and now. */
static void finish(struct broker *broker, int rc)
{
	struct turn *turn = broker->turn;
	bool told = false;

	if (!rc) {
		told = planted_fault(broker);
		rc = commit(broker);
	}
	if (rc)
		give_up(broker, rc);
	else
		deliver_note_touched(broker);
	close_turn(turn);
	if (!told)
		turn_tell(broker, turn);
	done(broker, turn, !rc);
}

/* --- a commit beside the next turn ---------------------------------------------------------------------------------------- */

static bool planted_faults(void)
{
#ifdef REENTRY_FAULTS
	return daemon_fault("ack-before-commit");
#else
	return false;
#endif
}

/* Whether the next one may be begun before this one is on disk, and that is worth two changes of thread. */
static bool goes_on(const struct broker *broker)
{
	return (broker->sessions.ring_first || broker->turn->n_ops >= FLY_LEAST) && !broker->turn->failed && !broker->asking && !planted_faults();
}

/* The turn's commit begins; broker->turn is free for the next one. */
static bool take_off(struct broker *broker, int *rc)
{
	struct turn *turn = broker->turn;

	*rc = core_commit_begin(broker->core);
	if (*rc) {
		*rc = *rc == ERR_UNSYNCED ? *rc : turn_again(broker);
		if (*rc == ERR_UNSYNCED)
			broker_die("the store", *rc);
		return false;
	}
	close_turn(turn);
	broker->turn = broker->other;
	broker->other = turn;
	broker->flying = true;
	return true;
}

/* What stands on a turn that did not count is run again behind it: without what now has to wait for what that one refused. */
static int run_behind(struct broker *broker)
{
	struct turn *turn = broker->turn;

	for (size_t i = 0; i < turn->n_ops; i++)
		if (turn->ops[i].kind == OP_PUBLISH && turn->ops[i].generation == turn->ops[i].session->generation)
			turn->ops[i].held = hold_covers(turn->ops[i].session, turn->ops[i].frame, &turn->ops[i].item->content);
	turn->direct = turn->failed = true;
	return turn_again(broker);
}

/* Waits for the commit on its way. True: the turn counts, and its receipts are to be told. Otherwise it was run again, to its end; and so was the one that has been made since, whose result *rc is. */
static bool land(struct broker *broker, bool made, int *rc)
{
	struct turn *turn = broker->turn;
	unsigned held;
	uint64_t us;
	int error = core_commit_wait(broker->core, &us);

	broker->flying = false;
	commit_took(broker, us);
	if (!error) {
		deliver_note_touched(broker);
		return true;
	}
	if (error == ERR_UNSYNCED)
		broker_die("the store", error);
	if (limiter_pass(&broker->failures, &held))
		log_warn("a commit failed: %s; its turn and the next are run again%s", err_text(error), limiter_more(held, (char[LIMITER_MORE]){ 0 }));
	broker->turn = broker->other;
	error = retry(broker, error);
	finish(broker, error);
	broker->turn = turn;
	if (made)
		*rc = run_behind(broker);
	return false;
}

/* --- turns ---------------------------------------------------------------------------------------------------------------- */

bool turn_wanted(struct broker *broker)
{
	if (broker->open)
		return broker->sessions.ring_first != NULL;
	return !broker->stalled && !core_held(broker->core) && (broker->sessions.ring_first || broker->turn_now || turn_timers_due(broker));
}

static int make(struct broker *broker)
{
	int rc = turn_begin(broker);

	broker->turn_now = false;
	return rc ? rc : turn_take(broker);
}

/* Nothing more is taken: the turn takes off, or is committed here and now; the one before has landed in either case. */
static void end_turn(struct broker *broker, int rc, bool may_fly)
{
	bool flies = may_fly && !rc && goes_on(broker);
	int unfit = flies ? core_flush(broker->core) : OK;
	struct turn *landed = NULL;

	if (unfit)
		core_rollback(broker->core);
	if (broker->flying && land(broker, true, &rc))
		landed = broker->other;
	else if (broker->turn->direct)
		unfit = OK; /* it has been run again */
	if (unfit)
		rc = retry(broker, unfit);
	broker->open = false;
	flies = flies && !rc && core_may_fly(broker->core) && take_off(broker, &rc);
	if (landed) {
		turn_tell(broker, landed);
		done(broker, landed, true);
	}
	if (!flies)
		finish(broker, rc);
	turn_schedule(broker);
}

void turn_settle(struct broker *broker)
{
	int rc = OK;

	if (broker->open) {
		end_turn(broker, OK, false);
	} else if (broker->flying && land(broker, false, &rc)) {
		turn_tell(broker, broker->other);
		done(broker, broker->other, true);
	}
}

void turn_run(struct broker *broker)
{
	int rc;

	if (!broker->open)
		open_turn(broker);
	(void)net_receive(broker, RECEIVE_ROUND); /* the count is in the stats */
	if (!broker->open && !turn_wanted(broker))
		return;
	rc = broker->open ? turn_take_more(broker) : make(broker);
	broker->open = !rc && broker->flying && !turn_is_over(broker);
	if (!broker->open)
		end_turn(broker, rc, true);
}

/* --- turns of one thing --------------------------------------------------------------------------------------------------- */

int turn_alone(struct broker *broker, int (*step)(void *context, struct broker *broker), void *context)
{
	int rc;

	turn_settle(broker);
	open_turn(broker);
	rc = turn_begin(broker);
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
