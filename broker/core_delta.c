/* Write-behind for case states (docs/durability.md). A state is a fold of the log, so it need not be written with every event: what changed since is kept
 * here, in memory, and written to the cases table in sorted slices, so that a page is copied once for many events instead of once for each.
 *
 *   applied    every state is in the table as of this position at least (core_behind.c writes it with the slice that makes it true)
 *   an entry   a case whose state in the table is older than the log; with its state, or, after a start, as a stub
 *   a stub     only known to have records after `applied`; its state is folded from the table's and the case's chain when somebody asks for it
 *
 * A start reads lists of the cases with records after `applied`, so it costs the same whatever the log's length: behind_max and what a sweep
 * takes bound them. If we die between commits nothing is lost: the log has it, and the entries are made again. */
#include <stdlib.h>
#include <string.h>

#include "broker/core_internal.h"
#include "lib/pb.h"

#define BUCKETS ((size_t)1 << 17)
#define SWEEP_PER_RECORD 4                 /* states written for each record of a turn, and … */
#define SWEEP_LEAST 32                     /* … with each turn */
#define BYTES_MAX ((size_t)128 << 20)      /* of states held; beyond it all are written at once */

struct entry {
	struct entry *next;
	uint64_t last;       /* a stub's newest record */
	uint8_t *bytes;      /* the packed state; NULL: a stub */
	size_t n;
	bool fresh;          /* not in the table at all */
	char ref[];
};

struct delta {
	struct entry **buckets;
	size_t n, bytes, fresh;
	uint64_t applied;
	/* a sweep: what was dirty at `from`, sorted; written up to `at` */
	const char **sweep; char *names;
	size_t sweep_n, at, at_committed;
	uint64_t from;
	bool all;            /* this turn writes everything */
	bool ends;           /* this turn's slice ends the sweep */
};

static struct entry **place_of(const struct delta *d, const char *ref)
{
	uint64_t hash = UINT64_C(14695981039346656037);
	struct entry **place;

	for (const char *c = ref; *c; c++)
		hash = (hash ^ (uint8_t)*c) * UINT64_C(1099511628211);
	for (place = &d->buckets[(hash ^ hash >> 29) % BUCKETS]; *place; place = &(*place)->next)
		if (strcmp((*place)->ref, ref) == 0)
			break;
	return place;
}

static void drop(struct delta *d, struct entry **place)
{
	struct entry *e = *place;

	*place = e->next;
	d->n--;
	d->bytes -= e->n;
	d->fresh -= e->fresh;
	free(e->bytes);
	free(e);
}

static struct entry *make(struct delta *d, const char *ref)
{
	struct entry **place = place_of(d, ref), *e = *place;
	size_t n = strlen(ref) + 1;

	if (e)
		return e;
	e = calloc(1, sizeof *e + n);
	if (!e)
		return NULL;
	memcpy(e->ref, ref, n);
	*place = e;
	d->n++;
	return e;
}

static int fill(struct delta *d, struct entry *e, const uint8_t *bytes, size_t n)
{
	uint8_t *copy = malloc(n ? n : 1);

	if (!copy)
		return ERR_NOMEM;
	memcpy(copy, bytes, n);
	d->bytes += n - e->n;
	free(e->bytes);
	e->bytes = copy;
	e->n = n;
	return OK;
}

/* --- reading -------------------------------------------------------------------------------------------------------------- */

/* The records of a chain newer than `base`, oldest first, evolved one after the other. */
static int fold(struct core *core, struct db_txn *txn, const struct entry *e, struct arena *arena, Reentry__CaseState **state)
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

/* OK: the state as of the log. ERR_NOTFOUND: the table's is current. */
int delta_read(struct core *core, struct db_txn *txn, const char *ref, struct arena *arena, Reentry__CaseState **ret_state)
{
	struct entry *e = core->delta ? *place_of(core->delta, ref) : NULL;
	uint8_t *bytes = NULL;
	void *message = NULL;
	size_t n = 0;
	int error;

	if (!e)
		return ERR_NOTFOUND;
	if (e->bytes) {
		error = pb_unpack_own(&reentry__case_state__descriptor, e->bytes, e->n, arena, &message);
		*ret_state = message;
		return error;
	}
	*ret_state = NULL;
	error = case_stored(core, txn, ref, arena, ret_state);
	if (error && error != ERR_NOTFOUND)
		return error;
	error = fold(core, txn, e, arena, ret_state);
	if (!error)
		error = pb_pack(*ret_state, arena, &bytes, &n);
	return error ? error : fill(core->delta, e, bytes, n);
}

uint64_t delta_fresh(const struct core *core)
{
	return core->delta ? core->delta->fresh : 0;
}

/* --- writing: in cases_flush ------------------------------------------------------------------------------------------------- */

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* A list of what is dirty now, of its own: entries come and go while it is worked off. */
static int sweep_begin(struct core *core)
{
	struct delta *d = core->delta;
	size_t size = 0, n = 0;
	char *name;

	for (size_t i = 0; i < BUCKETS; i++)
		for (const struct entry *e = d->buckets[i]; e; e = e->next)
			size += strlen(e->ref) + 1;
	free(d->sweep);
	free(d->names);
	d->sweep = malloc((d->n + 1) * sizeof *d->sweep);
	d->names = name = malloc(size + 1);
	d->sweep_n = d->at = d->at_committed = 0;
	if (!d->sweep || !d->names)
		return ERR_NOMEM;
	for (size_t i = 0; i < BUCKETS; i++)
		for (const struct entry *e = d->buckets[i]; e; e = e->next) {
			size_t length = strlen(e->ref) + 1;

			memcpy(name, e->ref, length);
			d->sweep[n++] = name;
			name += length;
		}
	qsort(d->sweep, n, sizeof *d->sweep, by_text);
	d->sweep_n = n;
	d->from = core->committed;
	return OK;
}

static int write_one(struct core *core, const char *ref)
{
	struct entry *e = *place_of(core->delta, ref);
	struct loaded *it = case_touched(core, ref);
	Reentry__CaseState *state = NULL;
	int error = OK;

	if (it && it->dirty && it->packed) {
		it->written = true;
		return case_store(core, ref, it->packed, it->packed_n);
	}
	if (!e || (it && it->erased))
		return OK; /* written already, or erased */
	if (!e->bytes)
		error = delta_read(core, &core->txn, ref, &core->arena, &state);
	if (error == ERR_ERASED)
		return OK;
	if (error == ERR_CORRUPT)
		return case_store_damaged(core, ref);
	return error ? error : case_store(core, ref, e->bytes, e->n);
}

/* Writes a slice of the sweep, or everything. Called when the turn's own states are packed. */
int delta_flush(struct core *core, bool all)
{
	struct delta *d = core->delta;
	size_t quota = SWEEP_LEAST + SWEEP_PER_RECORD * (core->last - core->committed);
	int error = OK;

	if (!d)
		return OK;
	if (d->at > d->at_committed || d->ends)
		return OK; /* this turn has written already, for whoever reads the table itself */
	d->all = all || d->bytes > BYTES_MAX;
	if (d->all || (d->at == d->sweep_n && d->n && core->committed - d->applied > core->behind_max))
		error = sweep_begin(core);
	if (d->all)
		quota = d->sweep_n;
	for (; d->at < d->sweep_n && quota && !error; quota--)
		error = write_one(core, d->sweep[d->at++]);
	d->ends = d->at == d->sweep_n && d->at_committed < d->sweep_n;
	if (d->all && !d->sweep_n)
		d->ends = d->applied != (d->from = core->committed);
	return error;
}

bool delta_applied(const struct core *core, uint64_t *ret_applied)
{
	const struct delta *d = core->delta;

	*ret_applied = !d ? 0 : d->ends ? d->from : d->applied;
	return d && d->ends;
}

/* The turn is on disk: what it changed is remembered, what it wrote is forgotten. */
int delta_commit(struct core *core)
{
	struct delta *d = core->delta;

	if (!d)
		return OK;
	for (; d->at_committed < d->at; d->at_committed++) {
		struct entry **place = place_of(d, d->sweep[d->at_committed]);

		if (*place)
			drop(d, place);
	}
	/* After that: a slice may have been written at the turn's begin, before this turn changed a case of it. */
	for (struct loaded *it = core->cases; it; it = it->next) {
		struct entry *e;

		if (!it->dirty || !it->packed || it->written)
			continue;
		e = make(d, it->ref);
		if (!e || fill(d, e, it->packed, it->packed_n))
			return ERR_NOMEM;
		if (it->fresh && !e->fresh) {
			e->fresh = true;
			d->fresh++;
		}
	}
	if (d->ends)
		d->applied = d->from;
	d->ends = d->all = false;
	return OK;
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
	struct entry **place = core->delta ? place_of(core->delta, ref) : NULL;

	if (!place || !*place)
		return;
	if ((*place)->bytes)
		crypt_wipe((*place)->bytes, (*place)->n);
	drop(core->delta, place);
}

/* --- at open ------------------------------------------------------------------------------------------------------------------- */

int delta_stub(struct core *core, const struct behind_case *it)
{
	struct delta *d = core->delta;
	struct entry *e = make(d, it->ref);

	if (!e)
		return ERR_NOMEM;
	e->last = it->last;
	d->fresh += it->fresh && !e->fresh;
	e->fresh |= it->fresh;
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
	if (!core->delta || !(core->delta->buckets = calloc(BUCKETS, sizeof *core->delta->buckets)))
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
	for (size_t i = 0; d->buckets && i < BUCKETS; i++)
		while (d->buckets[i]) {
			if (d->buckets[i]->bytes)
				crypt_wipe(d->buckets[i]->bytes, d->buckets[i]->n);
			drop(d, &d->buckets[i]);
		}
	free(d->buckets);
	free(d->sweep);
	free(d->names);
	free(d);
	core->delta = NULL;
}

int delta_settle(struct core *core)
{
	int error;

	if (!core->delta || (!core->delta->n && core->written == core->committed))
		return OK;
	core->settle = true;
	error = core_begin(core, core->recorded_at == MOMENT_NONE ? 0 : core->recorded_at);
	if (error)
		return error;
	error = delta_flush(core, true);
	if (!error)
		return core_commit(core);
	core_rollback(core);
	return error;
}
