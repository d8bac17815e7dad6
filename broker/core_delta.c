/* Write-behind for case states (docs/durability.md). A state is a fold of the log, so it need not be written with every event: what changed since is kept
 * here, in memory, and written to the cases table in sorted slices, so that a page is copied once for many events instead of once for each.
 *
 *   applied    every state is in the table as of this position at least (core_behind.c writes it with the slice that makes it true)
 *   dirty      a case whose state in the table is older than the log; with its state, or, after a start, as a stub (core_held.h)
 *   a stub     only known to have records after `applied`; its state is folded from the table's and the case's chain when somebody asks for it
 *   clean      a case whose state was written: kept as long as there is room, so that it need not be read again
 *
 * A start reads lists of the cases with records after `applied`, so it costs the same whatever the log's length: behind_max and what a sweep
 * takes bound them. If we die between commits nothing is lost: the log has it, and the entries are made again. */
#include <stdlib.h>
#include <string.h>

#include "broker/core_held.h"
#include "broker/core_internal.h"
#include "lib/pb.h"

#define SWEEP_PER_RECORD 4                 /* states written for each record of a turn, and … */
#define SWEEP_LEAST 32                     /* … with each turn */
#define AHEAD 8                            /* a state is on its way from memory while so many before it are written */
#define AGAIN 4096                         /* a state that comes again within so many records is kept unpacked */
#define BYTES_MAX ((size_t)128 << 20)      /* of dirty states; beyond it all are written at once */

/* First what can be compared without looking at the case. */
struct swept { uint64_t begin; struct held *it; }; /* it NULL: gone since */

struct delta {
	struct held_states states;
	uint64_t applied;
	/* a sweep: what was dirty at `from`, sorted; written up to `at` */
	struct swept *sweep;
	size_t sweep_n, at, at_committed;
	uint64_t from;
	bool all;            /* this turn writes everything */
	bool ends;           /* this turn's slice ends the sweep */
};

static void drop(struct delta *d, struct held *it)
{
	if (it->sweep)
		d->sweep[it->sweep - 1].it = NULL;
	held_drop(&d->states, it);
}

/* --- reading -------------------------------------------------------------------------------------------------------------- */

/* The records of a chain newer than `base`, oldest first, evolved one after the other. */
static int fold(struct core *core, struct db_txn *txn, const struct held *e, struct arena *arena, Reentry__CaseState **state)
{
	uint64_t *positions = NULL, *place, position = e->last, base = *state ? (*state)->last : 0;
	const struct policy *policy;
	struct core_record record;
	struct arena scratch;
	size_t n = 0;
	int error = policy_on_record(core, txn, &policy);

	arena_init(&scratch, 0);
	while (position > base && !error) {
		Reentry__Header *header = NULL;

		error = log_header(txn, position, &scratch, &header);
		place = error ? NULL : ARENA_PUSH(arena, positions, n);
		if (!error && !place)
			error = ERR_NOMEM;
		if (error)
			break;
		*place = position;
		position = header->previous;
		arena_reset(&scratch);
	}
	arena_release(&scratch);
	while (n && !error) {
		struct rules_run run = { .policy = policy, .arena = arena, .subject = e->ref, .state = *state };

		error = log_read(core, txn, positions[--n], arena, &record);
		if (error)
			break;
		run.now = record.header->recorded_at;
		run.position = record.header->position;
		error = rules_evolve(&run, &record.record);
		*state = run.state;
		if (!error && !run.state)
			error = ERR_CORRUPT;
		if (error)
			break;
		run.state->has_last = true;
		run.state->last = record.header->position;
	}
	return error;
}

static int state_of(struct core *core, struct db_txn *txn, struct held *e, struct arena *arena, Reentry__CaseState **ret_state)
{
	uint8_t *bytes = NULL;
	void *message = NULL;
	size_t n = 0;
	int error;

	if (!e)
		return ERR_NOTFOUND;
	if (e->unpacked) {
		*ret_state = pb_image_copy(&e->unpacked->image, arena);
		return *ret_state ? OK : ERR_NOMEM;
	}
	if (e->bytes) {
		error = pb_unpack_own(&reentry__case_state__descriptor, e->bytes, e->n, arena, &message);
		*ret_state = message;
		return error;
	}
	*ret_state = NULL;
	error = case_stored(core, txn, e->ref, arena, ret_state);
	if (error && error != ERR_NOTFOUND)
		return error;
	error = fold(core, txn, e, arena, ret_state);
	if (!error)
		error = pb_pack(*ret_state, arena, &bytes, &n);
	return error ? error : held_fill(&core->delta->states, e, bytes, n);
}

/* OK: the state as of the log. ERR_NOTFOUND: the table's is current. */
int delta_read(struct core *core, struct db_txn *txn, const char *ref, struct arena *arena, Reentry__CaseState **ret_state)
{
	return state_of(core, txn, core->delta ? held_find(&core->delta->states, ref) : NULL, arena, ret_state);
}

/* What is held of a case that a turn has touched. When the turn ends, others have taken its place near the processor: it is not looked up again. */
static struct held *held_of(struct core *core, struct loaded *it)
{
	struct held_states *states = core->delta ? &core->delta->states : NULL;

	if (states && (!it->held || it->held_drops != states->drops)) {
		it->held = held_find(states, it->ref);
		it->held_drops = states->drops;
	}
	return it->held;
}

int delta_load(struct core *core, struct loaded *it)
{
	return state_of(core, &core->txn, held_of(core, it), &core->arena, &it->state);
}

bool delta_is_newer(const struct core *core, const char *ref)
{
	const struct held *e = core->delta ? held_find(&core->delta->states, ref) : NULL;

	return e && !e->clean;
}

uint64_t delta_fresh(const struct core *core)
{
	return core->delta ? core->delta->states.fresh : 0;
}

/* --- writing: in cases_flush ------------------------------------------------------------------------------------------------- */

static int by_text(const void *a, const void *b)
{
	const struct swept *one = a, *other = b;

	if (one->begin != other->begin)
		return one->begin < other->begin ? -1 : 1;
	return strcmp(one->it->ref, other->it->ref);
}

/* The first eight bytes of a reference, to be compared as one number: as strcmp would. */
static uint64_t beginning(const char *ref)
{
	uint64_t begin = 0;

	for (int i = 0; i < 8; i++) {
		begin = begin << 8 | (uint8_t)*ref;
		ref += *ref != '\0';
	}
	return begin;
}

static int sweep_begin(struct core *core)
{
	struct delta *d = core->delta;
	struct swept *sweep = malloc((d->states.dirty + 1) * sizeof *sweep);
	size_t n = 0, place = 0;

	if (!sweep)
		return ERR_NOMEM;
	for (struct held *it = held_next(&d->states, &place, NULL); it; it = held_next(&d->states, &place, it))
		if (!it->clean)
			sweep[n++] = (struct swept){ beginning(it->ref), it };
	qsort(sweep, n, sizeof *sweep, by_text);
	for (size_t i = 0; i < n; i++)
		sweep[i].it->sweep = (uint32_t)i + 1;
	free(d->sweep); /* what an unfinished one had left is dirty still, and so in this one */
	d->sweep = sweep;
	d->sweep_n = n;
	d->at = d->at_committed = 0;
	d->from = core->handed;
	return OK;
}

static int write_one(struct core *core, struct held *e)
{
	struct loaded *it = e ? case_touched(core, e->ref) : NULL;
	Reentry__CaseState *state = NULL;
	int error = OK;

	if (it && it->flushed) {
		it->written = true;
		error = case_pack(core, it);
		return error ? error : case_store(core, e->ref, it->packed, it->packed_n);
	}
	if (!e || (it && it->erased))
		return OK; /* erased */
	if (e->stale)
		error = held_pack(&core->delta->states, e, &core->arena);
	else if (!e->bytes)
		error = state_of(core, &core->txn, e, &core->arena, &state);
	if (error == ERR_ERASED)
		return OK;
	if (error == ERR_CORRUPT)
		return case_store_damaged(core, e->ref);
	return error ? error : case_store(core, e->ref, e->bytes, e->n);
}

/* Writes a slice of the sweep, or everything. Called when the turn's own states are packed. */
int delta_flush(struct core *core, bool all)
{
	struct delta *d = core->delta;
	size_t quota = SWEEP_LEAST + SWEEP_PER_RECORD * (core->last - core->handed);
	int error = OK;

	if (!d)
		return OK;
	if (d->at > d->at_committed || d->ends)
		return OK; /* this turn has written already, for whoever reads the table itself */
	d->all = all || d->states.dirty_bytes > BYTES_MAX;
	if (d->all || (d->at == d->sweep_n && d->states.dirty && core->handed - d->applied > core->behind_max))
		error = sweep_begin(core);
	if (d->all)
		quota = d->sweep_n;
	for (; d->at < d->sweep_n && quota && !error; quota--) {
		if (d->at + AHEAD < d->sweep_n && d->sweep[d->at + AHEAD].it)
			__builtin_prefetch(d->sweep[d->at + AHEAD].it);
		error = write_one(core, d->sweep[d->at++].it);
	}
	d->ends = d->at == d->sweep_n && d->at_committed < d->sweep_n;
	if (d->all && !d->sweep_n)
		d->ends = d->applied != (d->from = core->handed);
	return error;
}

bool delta_applied(const struct core *core, uint64_t *ret_applied)
{
	const struct delta *d = core->delta;

	*ret_applied = !d ? 0 : d->ends ? d->from : d->applied;
	return d && d->ends;
}

bool delta_comes_again(struct core *core, struct loaded *it)
{
	const struct held *e = held_of(core, it);

	return e && e->bytes && it->state->last - e->last < AGAIN;
}

static int keep_touched(struct core *core, struct loaded *it)
{
	struct delta *d = core->delta;
	struct held *e = held_of(core, it);
	int error;

	e = e ? e : held_make(&d->states, it->ref);
	error = !e ? ERR_NOMEM : it->packed ? ERR_TOOBIG : held_keep(&d->states, e, it->state, &core->arena);

	if (error == ERR_TOOBIG) {
		error = case_pack(core, it);
		if (!error)
			error = held_fill(&d->states, e, it->packed, it->packed_n);
	}
	if (error)
		return error;
	e->last = it->state->last;
	held_set_clean(&d->states, e, it->written);
	if (it->fresh && !it->written)
		held_set_fresh(&d->states, e);
	return OK;
}

/* The turn is on disk: what it changed is remembered, what it wrote is clean. */
int delta_commit(struct core *core)
{
	struct delta *d = core->delta;
	int error = OK;

	if (!d)
		return OK;
	for (; d->at_committed < d->at; d->at_committed++) {
		struct held *e = d->sweep[d->at_committed].it;

		if (e && !e->bytes)
			drop(d, e);
		if (!e || !d->sweep[d->at_committed].it)
			continue;
		e->sweep = 0;
		held_set_clean(&d->states, e, true);
	}
	/* After that: a slice may have been written at the turn's begin, before this turn changed a case of it. */
	for (struct loaded *it = core->cases; it && !error; it = it->next)
		if (it->flushed)
			error = keep_touched(core, it);
	if (!error)
		error = held_trim(&d->states, &core->arena);
	if (d->ends)
		d->applied = d->from;
	d->ends = d->all = false;
	return error;
}

void delta_rollback(struct core *core)
{
	if (!core->delta)
		return;
	core->delta->at = core->delta->at_committed;
	core->delta->ends = core->delta->all = false;
}

/* The case is gone (erased): nothing of it stays in memory. */
void delta_forget(struct core *core, const char *ref)
{
	struct held *e = core->delta ? held_find(&core->delta->states, ref) : NULL;

	if (e)
		drop(core->delta, e);
}

/* --- at open ------------------------------------------------------------------------------------------------------------------- */

int delta_stub(struct core *core, const struct behind_case *it)
{
	struct held *e = held_make(&core->delta->states, it->ref);

	if (!e)
		return ERR_NOMEM;
	e->last = it->last;
	if (it->fresh)
		held_set_fresh(&core->delta->states, e);
	return OK;
}

/* Where no list tells: the headers of the records, each checked, since an older state must not pass for the newest. */
static int stubs_of_log(struct core *core, struct db_txn *txn, uint64_t from, uint64_t to)
{
	struct arena arena;
	int error = OK;

	arena_init(&arena, 0);
	for (uint64_t position = from + 1; position <= to && !error; position++) {
		Reentry__Header *header = NULL;

		error = log_header(txn, position, &arena, &header);
		if (!error && header->subject && header->has_previous)
			error = delta_stub(core, &(struct behind_case){ position, header->previous == 0, header->subject });
		if (arena.used > (size_t)1 << 20)
			arena_reset(&arena);
	}
	arena_release(&arena);
	return error;
}

struct stubbing { struct core *core; struct db_txn *txn; uint64_t at; };

static int stubs_of_list(void *context, struct behind_cases *list)
{
	struct stubbing *s = context;
	const uint64_t applied = s->core->delta->applied;
	struct behind_case it;
	int error = OK;

	if (list->to <= s->at || !list->whole)
		return OK;
	if (list->from > s->at)
		error = stubs_of_log(s->core, s->txn, s->at, list->from);
	while (!error && behind_next(list, &it))
		if (it.last > applied)
			error = delta_stub(s->core, &it);
	s->at = list->to;
	return error;
}

int delta_open(struct core *core)
{
	struct behind_mark mark = { 0 };
	struct stubbing s = { .core = core };
	struct db_txn txn;
	int error;

	delta_close(core);
	core->delta = calloc(1, sizeof *core->delta);
	if (!core->delta || held_init(&core->delta->states))
		return ERR_NOMEM;
	error = db_begin_read(core->db, &txn);
	if (!error)
		error = behind_read(&txn, core->committed, &mark);
	core->delta->applied = s.at = mark.applied;
	s.txn = &txn;
	if (!error)
		error = behind_lists(&txn, stubs_of_list, &s);
	if (!error)
		error = stubs_of_log(core, &txn, s.at, mark.written);
	db_abort(&txn);
	return error;
}

void delta_close(struct core *core)
{
	struct delta *d = core->delta;

	if (!d)
		return;
	held_release(&d->states);
	free(d->sweep);
	free(d);
	core->delta = NULL;
}

int delta_settle(struct core *core)
{
	int error;

	if (!core->delta || (!core->delta->states.dirty && core->written == core->committed))
		return OK;
	core->settle = true;
	error = core_begin_direct(core, core->recorded_at == MOMENT_NONE ? 0 : core->recorded_at); /* no copy of all states in memory */
	if (error)
		return error;
	error = delta_flush(core, true);
	if (!error)
		return core_commit(core);
	core_rollback(core);
	return error;
}
