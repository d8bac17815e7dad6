/* The core as a whole: opening, the turn's begin and end, and questions about its state. */
#include "broker/core.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/config.h"
#include "broker/core_internal.h"

const char *const core_tables[] = { "log", "tree", "meta", "ids", "agencies", "cases", "due", "queue", "related", "checkpoints", "erasures", NULL };
const char *const key_tables[] = { "keys", "erased", NULL };
_Static_assert(sizeof core_tables / sizeof *core_tables == T_COUNT + 1, "a name for each table");

#define KEYS_SIZE_MAX ((size_t)16 << 30)
#define CONTEXT "reentry1"

static int open_keys(const struct core_options *options, bool read_only, struct core *core, struct err *err)
{
	struct db_options keys = { .size_max = options->volatile_store ? options->size_max : KEYS_SIZE_MAX, .volatile_store = options->volatile_store, .read_only = read_only,
		.tables = key_tables, .needed = 1 /* one that was made before there were others is read too */ };
	char dir[4096];

	if (snprintf(dir, sizeof dir, "%s", options->keys_dir ? options->keys_dir : options->dir) >= (int)sizeof dir - 8)
		return err_set(err, ERR_INVALID, "the path of the store is too long");
	if (!options->keys_dir)
		memcpy(dir + strlen(dir), "-keys", 6);
	return db_open(dir, &keys, &core->keys, err);
}

static int open_stores(const struct core_options *options, struct core *core, struct err *err)
{
	struct db_options db = { .size_max = options->size_max, .reserve = options->reserve, .volatile_store = options->volatile_store, .tables = core_tables, .behind = BEHIND_TABLES };
	int error = db_open(options->dir, &db, &core->db, err);

	return error ? error : open_keys(options, false, core, err);
}

static const char format_name[] = "format";

/* A store says of what format it is from its first turn on. */
static int format_check(struct core *core, struct err *err)
{
	struct db_value value;
	struct db_txn txn;
	int error = db_begin_read(core->db, &txn);

	if (!error)
		error = db_get(&txn, T_META, format_name, sizeof format_name, &value);
	core->format = !error && value.n == 1 ? *(const uint8_t *)value.bytes : 0;
	if (!error && (core->format < 1 || core->format > STORE_FORMAT))
		error = err_set(err, ERR_INVALID, "the store is of another format than this program's (%d): use the version that it belongs to, or migrate it", STORE_FORMAT);
	else if (error == ERR_NOTFOUND && core->last)
		error = err_set(err, ERR_INVALID, "the store was made by a version before formats were numbered: it cannot be used any more");
	db_abort(&txn);
	return error == ERR_NOTFOUND ? OK : error;
}

static int format_mark(struct core *core)
{
	static const uint8_t format = STORE_FORMAT;
	int error = ids_mark(core);

	return error ? error : db_put(&core->txn, T_META, format_name, sizeof format_name, &format, 1);
}

int projections_load(struct core *core)
{
	int error;

	recent_forget(core);
	core->n_agencies = core->n_agencies_committed = core->n_touched = core->n_told = core->n_damaged = 0;
	memset(core->agency_slots, 0, sizeof core->agency_slots);
	error = agencies_load(core);
	if (!error)
		error = nodes_load(core, core->last);
	if (!error)
		error = delta_open(core);
	return error ? error : behind_open(core);
}

static int core_load(struct core *core, struct err *err)
{
	int error = log_last(core);

	if (!error && (error = format_check(core, err)) == ERR_INVALID)
		return error;
	if (!error)
		error = ids_load(core);
	if (!error)
		error = rebuild_resume(core);
	if (!error)
		error = checkpoints_load(core);
	if (!error)
		error = epoch_load(core);
	if (!error)
		error = projections_load(core);
	if (error)
		return err_set(err, error, "the store cannot be read (%s); restore a backup, or check it with reentry verify --log", err_text(error));
	return OK;
}

static struct core *core_make(const struct policy *policy, const char *policy_text)
{
	struct core *core = calloc(1, sizeof *core);

	if (!core)
		return NULL;
	arena_init(&core->arena, TURN_ARENA_MAX);
	arena_init(&core->other_arena, TURN_ARENA_MAX);
	core->policy = policy;
	core->policy_text = policy_text;
	core->epoch = 1;
	core->recorded_at = MOMENT_NONE;
	return core;
}

static struct core *core_prepare(const struct core_options *options, const struct policy *policy, const char *policy_text, struct err *err)
{
	struct core *core = core_make(policy, policy_text);

	if (!core || !(core->dir = strdup(options->dir))) {
		core_close(core);
		(void)err_set(err, ERR_NOMEM, "out of memory"); /* the caller returns it */
		return NULL;
	}
	if (options->master_key) {
		memcpy(core->master, options->master_key, KEY_SIZE);
		crypt_derive(core->master, CONTEXT, 1, core->body_key);
		crypt_derive(core->master, CONTEXT, 2, core->hash_key);
		crypt_derive(core->master, CONTEXT, 3, core->id_key);
	}
	core->behind_max = options->behind_max ? options->behind_max : BEHIND_MAX;
	core->signs = options->signing_seed != NULL;
	if (core->signs)
		memcpy(core->signing_seed, options->signing_seed, KEY_SIZE);
	return core;
}

int core_open(const struct core_options *options, const struct policy *policy, const char *policy_text, struct core **ret_core, struct err *err)
{
	struct core *core = core_prepare(options, policy, policy_text, err);
	int error;

	if (!core)
		return ERR_NOMEM;
	error = open_stores(options, core, err);
	if (!error && options->beside && seals_open(core))
		error = err_set(err, ERR_NOMEM, "out of memory");
	if (!error)
		error = core_load(core, err);
	if (error) {
		core_close(core);
		return error;
	}
	*ret_core = core;
	return OK;
}

int core_open_to_read(const struct core_options *options, const struct policy *policy, const char *policy_text, struct core **ret_core, struct err *err)
{
	struct db_options db = { .read_only = true, .volatile_store = options->volatile_store, .tables = core_tables, .behind = BEHIND_TABLES };
	struct core *core = core_prepare(options, policy, policy_text, err);
	int error;

	if (!core)
		return ERR_NOMEM;
	error = db_open(options->dir, &db, &core->db, err);
	if (!error && options->master_key)
		error = open_keys(options, true, core, err);
	if (error == ERR_NOTFOUND && core->db)
		error = OK; /* a backup of the log has no keys beside it */
	if (!error) {
		core->last = 1; /* there may be a record: then the format must be there */
		error = format_check(core, err);
		core->last = 0;
	}
	if (error) {
		core_close(core);
		return error;
	}
	*ret_core = core;
	return OK;
}

static void core_free(struct core *core)
{
	seals_close(core);
	keys_forget(core);
	free(core->dir);
	free(core->agencies);
	free(core->touched);
	free(core->told);
	free(core->told_ids);
	free(core->damaged);
	free(core->new_keys);
	buf_release(&core->listed);
	nodes_release(core);
	delta_close(core);
	recent_forget(core);
	epoch_release(core);
	broker_config_free(core->decided);
	arena_release(&core->arena);
	arena_release(&core->other_arena);
	crypt_wipe(core, sizeof *core);
	free(core);
}

void core_close(struct core *core)
{
	uint64_t ns;

	if (!core)
		return;
	if (core->in_turn)
		core_rollback(core);
	if (core->db)
		(void)db_commit_wait(core->db, &ns); /* a caller that gives up while one is on its way wants to know no more */
	if (core->config_current && core->db)
		(void)delta_settle(core); /* a clean stop leaves nothing to fold; if it fails the next start folds */
	db_close(core->db);
	if (!core->shadow)
		db_close(core->keys);
	core_free(core);
}

void core_abandon(struct core *core)
{
	if (!core)
		return;
	seals_close(core);
	db_abandon(core->db);
	db_abandon(core->keys);
	core_free(core);
}

void core_set_policy(struct core *core, const struct policy *policy, const char *policy_text)
{
	recent_forget(core); /* what a receiver sees depends on its role */
	core->policy = policy;
	core->policy_text = policy_text;
	core->config_current = false;
}

/* --- the turn ---------------------------------------------------------------------------------------------------------------- */

static void forget_turn(struct core *core)
{
	memset(core->buckets, 0, sizeof core->buckets);
	core->cases = NULL;
	core->in_turn = core->flushed = false;
}

/* Staged, so that its commit need not be waited for; but not where a whole table is written, of which there should not be a copy in memory. */
static int begin_txn(struct core *core)
{
	const bool direct = core->direct || core->shadow || !core->config_current;

	core->direct = false;
	return direct ? db_begin(core->db, &core->txn) : db_begin_staged(core->db, &core->txn);
}

int core_begin(struct core *core, moment now)
{
	int error;

	arena_reset(&core->arena);
	if (now < core->recorded_at) {
		core->clock_jumps++;
		now = core->recorded_at; /* recorded_at never goes back (domain.md 3.1) */
	}
	error = begin_txn(core);
	if (error)
		return error;
	core->txn.reserve = true; /* what may not use the head-room asks turn_room */
	core->low_known = false;
	core->in_turn = true;
	core->now = now;
	if (core->format != STORE_FORMAT)
		error = format_mark(core);
	if (!error && !core->config_current && !core->shadow)
		error = policy_record(core);
	if (error)
		core_rollback(core);
	return error;
}

int core_begin_direct(struct core *core, moment now)
{
	core->direct = true;
	return core_begin(core, now);
}

static void forget_touched(struct core *core)
{
	for (size_t i = 0; i < core->n_touched; i++)
		core->agencies[core->touched[i]].touched = false;
	core->n_touched = 0;
}

void core_rollback(struct core *core)
{
	seals_drop(core);
	db_abort(&core->txn);
	keys_rollback(core);
	forget_touched(core);
	agencies_rollback(core);
	recent_rollback(core);
	core->last = core->handed;
	nodes_rollback(core);
	core->issued = core->issued_committed;
	delta_rollback(core);
	behind_rollback(core);
	forget_turn(core);
}

bool core_crowded(const struct core *core)
{
	return core->arena.used > TURN_ARENA_SOFT;
}

int turn_room(struct core *core)
{
	if (!core->low_known) {
		core->full = core->low = !core->shadow && db_low(core->db);
		core->low_known = true;
	}
	return core->low ? ERR_FULL : OK;
}

int core_flush(struct core *core)
{
	int error = core->flushed ? OK : cases_flush(core);

	if (!error && !core->flushed)
		error = seals_collect(core);
	if (!error && !core->flushed)
		error = nodes_flush(core);
	if (!error && !core->flushed)
		error = behind_flush(core);
	if (!error)
		error = core->txn.error;
	if (!error)
		error = keys_commit(core); /* synced before the records that need them */
	core->flushed = !error;
	return error;
}

/* What the turn has changed counts from now on: in memory the next one builds on it. */
static int hand_over(struct core *core)
{
	const struct arena arena = core->arena;
	uint16_t *told = core->told;
	int error;

	if (core->last != core->handed)
		core->recorded_at = core->now;
	core->handed = core->last;
	nodes_commit(core);
	core->issued_committed = core->issued;
	core->format = STORE_FORMAT;
	behind_commit(core);
	error = delta_commit(core);
	for (struct loaded *it = core->cases; it; it = it->next)
		if (it->erased)
			delta_forget(core, it->ref), recent_forget(core);
	core->n_agencies_committed = core->n_agencies;
	core->config_current = true;
	broker_config_free(core->decided);
	core->decided = NULL;
	core->n_told = core->n_touched;
	core->told = core->touched;
	forget_touched(core);
	core->touched = told;
	forget_turn(core);
	core->arena = core->other_arena;
	core->other_arena = arena;
	return error ? ERR_UNSYNCED : OK; /* without memory for what the log will have only a restart helps */
}

static int give_up(struct core *core, int error)
{
	core->full = core->full || error == ERR_FULL;
	core_rollback(core);
	return error;
}

int core_commit(struct core *core)
{
	int error = core_flush(core);

	if (!error)
		error = db_commit(&core->txn);
	if (error)
		return give_up(core, error);
	error = hand_over(core);
	core->committed = core->handed;
	return error;
}

/* --- a commit that is not waited for ---------------------------------------------------------------------------------------------- */

bool core_may_fly(const struct core *core)
{
	return core->in_turn && core->flushed && db_may_fly(&core->txn);
}

int core_commit_begin(struct core *core)
{
	int error = db_commit_begin(&core->txn);

	return error ? give_up(core, error) : hand_over(core);
}

bool core_commit_done(const struct core *core)
{
	return db_commit_done(core->db);
}

int core_commit_fd(struct core *core, int *ret_fd)
{
	return db_commit_fd(core->db, ret_fd);
}

/* All that is in memory and follows from the store, from what is on disk: as at a start. */
static int read_again(struct core *core)
{
	int error;

	db_forget_behind(core->db);
	core->last = core->handed = core->committed = 0;
	core->recorded_at = MOMENT_NONE;
	core->epoch = 1;
	core->issued = (struct issued){ 0 };
	error = log_last(core); /* the format is as it was: the first turn of a core does not fly */
	if (!error)
		error = checkpoints_load(core);
	return error ? error : projections_load(core);
}

int core_commit_wait(struct core *core, uint64_t *ret_us)
{
	uint64_t ns = 0;
	int error = db_commit_wait(core->db, &ns);

	*ret_us = ns / 1000;
	if (!error) {
		core->committed = core->handed;
		return OK;
	}
	if (core->in_turn)
		core_rollback(core);
	core->full = core->full || error == ERR_FULL;
	return error == ERR_UNSYNCED || read_again(core) ? ERR_UNSYNCED : error; /* what cannot be read back is for a new process */
}

/* --- questions ----------------------------------------------------------------------------------------------------------------- */

int core_touched(struct core *core, const char *const **ret_agencies, size_t *ret_n)
{
	const char **grown = realloc(core->told_ids, (core->n_told + 1) * sizeof *grown);

	*ret_n = 0;
	if (!grown)
		return ERR_NOMEM;
	core->told_ids = grown;
	for (size_t i = 0; i < core->n_told; i++)
		grown[i] = core->agencies[core->told[i]].id;
	*ret_agencies = grown;
	*ret_n = core->n_told;
	return OK;
}

size_t core_damaged(const struct core *core)
{
	return core->n_damaged;
}

int core_status(struct core *core, struct core_status *ret_status)
{
	struct db_info info = { 0 };
	struct db_txn txn;
	int error = db_info(core->db, &info);

	*ret_status = (struct core_status){
		.last_sequence = core->committed, .epoch = core->epoch, .map_used = info.used, .map_max = info.size_max, .clock_jumps = core->clock_jumps,
		.last_recorded_at = core->recorded_at, .full = core->full, .damaged = core->n_damaged,
	};
	if (!error)
		error = db_begin_read(core->db, &txn);
	if (error)
		return error;
	error = db_count(&txn, T_CASES, &ret_status->cases);
	ret_status->cases += delta_fresh(core);
	db_abort(&txn);
	return error;
}

int core_case(struct core *core, const char *subject, struct arena *arena, Reentry__CaseState **ret_state)
{
	struct db_txn txn;
	int error = db_begin_read(core->db, &txn);

	if (!error)
		error = case_read(core, &txn, subject, arena, ret_state);
	db_abort(&txn);
	return error;
}

int core_record(struct core *core, uint64_t position, struct arena *arena, struct core_record *ret_record)
{
	struct db_txn txn;
	int error = db_begin_read(core->db, &txn);

	if (!error)
		error = log_read(core, &txn, position, arena, ret_record);
	db_abort(&txn);
	return error;
}

int core_cases_of(struct core *core, const char *agency, const char *after, size_t max, struct arena *arena, const char ***ret_subjects, size_t *ret_n)
{
	struct db_txn read, *txn = core->in_turn ? &core->txn : &read;
	const char **subjects = NULL, **place;
	uint8_t key[DB_KEY_MAX];
	struct db_cursor cursor;
	uint16_t number = 0;
	size_t n = 0;
	int error = agency_number(core, agency, false, &number);

	*ret_subjects = NULL;
	*ret_n = 0;
	if (error)
		return error == ERR_NOTFOUND ? OK : error;
	error = core->in_turn ? OK : db_begin_read(core->db, &read);
	if (!error)
		error = db_cursor_open(txn, T_RELATED, &cursor);
	if (!error) {
		for (bool more = db_seek(&cursor, key, after ? db_key(key, "hs", number, after) : db_key(key, "h", number), 2); more && n < max && !error; more = db_next(&cursor)) {
			const char *ref = (const char *)cursor.key.bytes + 2;

			if (after && strcmp(ref, after) == 0)
				continue;
			place = ARENA_PUSH(arena, subjects, n);
			if (!place || !(*place = arena_strdup(arena, ref)))
				error = ERR_NOMEM;
		}
		db_cursor_close(&cursor);
	}
	if (!core->in_turn)
		db_abort(&read);
	*ret_subjects = subjects;
	*ret_n = n;
	return error;
}

static int by_due(const void *a, const void *b)
{
	const struct core_timer *one = a, *other = b;

	if (one->due != other->due)
		return one->due < other->due ? -1 : 1;
	return strcmp(one->subject, other->subject);
}

static int timers_of(struct core *core, struct db_txn *txn, const char *ref, struct arena *arena, struct core_timer **timers, size_t *n)
{
	Reentry__CaseState *state = NULL;
	struct core_timer *place;
	int error = ref ? case_read(core, txn, ref, arena, &state) : ERR_NOMEM;

	if (error == ERR_CORRUPT)
		return OK; /* its timers are not known */
	for (size_t i = 0; !error && i < state->n_timers; i++) {
		place = ARENA_PUSH(arena, *timers, *n);
		if (place)
			*place = (struct core_timer){ ref, rules_timer_name(state->timers[i]->kind), state->timers[i]->ref, state->timers[i]->due, state->timers[i]->n };
		else
			error = ERR_NOMEM;
	}
	return error;
}

/* Cases come by their first timer: once max of them are read, no other case has one that is due before max of these. */
int core_timers(struct core *core, size_t max, struct arena *arena, struct core_timer **ret_timers, size_t *ret_n)
{
	struct core_timer *timers = NULL;
	struct db_cursor cursor;
	struct db_txn txn;
	size_t n = 0, cases = 0;
	int error = db_begin_read(core->db, &txn);

	DB_FOREACH(&cursor, &txn, T_DUE, NULL, 0) {
		if (!error)
			error = timers_of(core, &txn, arena_strdup(arena, (const char *)cursor.key.bytes + 8), arena, &timers, &n);
		if (error || ++cases >= max) {
			db_cursor_close(&cursor);
			break;
		}
	}
	db_abort(&txn);
	if (n)
		qsort(timers, n, sizeof *timers, by_due);
	*ret_timers = timers;
	*ret_n = n < max ? n : max;
	return error;
}

int core_backup(struct core *core, const char *dir, struct err *err)
{
	return db_copy(core->db, dir, err);
}

int core_backup_keys(struct core *core, const char *dir, struct err *err)
{
	return db_copy(core->keys, dir, err);
}
