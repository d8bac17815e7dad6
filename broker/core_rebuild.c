/* Folding the log again: nothing is decided, records are only read back and evolved, each under the policy that was on the record at its position (docs/design.md). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker/config.h"
#include "broker/core_internal.h"
#include "lib/pb.h"

#define FOLD_BATCH 1000           /* records folded in one transaction */
#define COPY_BATCH 10000          /* pairs taken over in one transaction */
#define SCRATCH_MORE ((size_t)64 << 20) /* than the store itself: it has no log, but pages that are copied */

static const char rebuilding[] = "rebuilding";

/* --- one record ------------------------------------------------------------------------------------------------------------- */

static int fold_event(struct core *core, struct core_record *record)
{
	struct rules_run run = { .policy = core->policy, .arena = &core->arena, .now = record->header->recorded_at, .position = record->header->position };
	struct loaded *it = NULL;
	int error;

	if (!record->header->subject)
		return OK;
	if (!record->header->has_class_) /* of an erased case */
		return record->record.event ? erased_event_project(core, record->header, record->record.event) : ERR_CORRUPT;
	error = case_load(core, record->header->subject, &it);
	if (error)
		return error;
	run.subject = it->ref;
	run.state = it->state;
	error = rules_evolve(&run, &record->record);
	if (error)
		return error;
	it->state = run.state;
	if (!it->state)
		return ERR_CORRUPT;
	it->state->has_last = true;
	it->state->last = record->header->position;
	it->dirty = true;
	return record_index(core, record, core->policy->broker_id);
}

/* What follows was decided under another policy. Nothing may be loaded that was derived under the old one, so the turn ends here. */
static int take_policy(struct core *core, const char *text, uint64_t position)
{
	const struct core *live = core->live;
	struct broker_config *config = NULL;
	int error = core_commit(core);

	if (!error && strcmp(text, live->policy_text) != 0)
		error = broker_config_parse(text, &config, NULL);
	if (error)
		return error;
	broker_config_free(core->past);
	core->past = config;
	core->policy = config ? &config->policy : live->policy;
	error = core_begin(core, 0);
	if (!error)
		error = policy_mark(core, text, strlen(text), position);
	return error ? error : policy_apply(core);
}

static int fold_config(struct core *core, const struct core_record *record)
{
	Reentry__ConfigRecord *stored;
	void *message = NULL;
	char *text;
	int error = pb_unpack_own(&reentry__config_record__descriptor, record->body, record->body_n, &core->arena, &message);

	if (error)
		return error;
	stored = message;
	text = strndup((const char *)stored->policy.data, stored->policy.len); /* outlives the turn */
	error = text ? take_policy(core, text, record->header->position) : ERR_NOMEM;
	free(text);
	return error;
}

static int fold_checkpoint(struct core *core, const struct core_record *record)
{
	Reentry__CheckpointRecord *stored;
	void *message = NULL;
	int error = pb_unpack_own(&reentry__checkpoint_record__descriptor, record->body, record->body_n, &core->arena, &message);

	stored = message;
	if (!error && !stored->note)
		error = ERR_CORRUPT;
	return error ? error : checkpoint_project(core, record->header->position, record->header->recorded_at, stored->note);
}

static int fold_epoch(struct core *core, const struct core_record *record)
{
	Reentry__EpochRecord *stored;
	void *message = NULL;
	int error = pb_unpack_own(&reentry__epoch_record__descriptor, record->body, record->body_n, &core->arena, &message);

	stored = message;
	if (!error && !stored->note)
		error = ERR_CORRUPT;
	return error ? error : epoch_project(core, stored->note);
}

static int fold_leaf(struct core *to, struct db_txn *read, uint64_t position)
{
	uint8_t leaf[HASH_SIZE];
	int error = log_leaf(read, position, leaf);

	return error ? error : nodes_add(to, leaf);
}

/* Who took part stays known: the header is in the clear. */
static int fold_erased(struct core *core, const Reentry__Header *header)
{
	uint16_t number;
	int error = OK;

	if (header->agency && strcmp(header->agency, core->policy->broker_id) != 0)
		error = agency_number(core, header->agency, true, &number);
	for (size_t i = 0; i < header->n_to && !error; i++)
		error = agency_number(core, header->to[i], true, &number);
	return error || !header->has_previous ? error : tombstone_put(core, header->subject, header->position);
}

static int fold_erase(struct core *core, const struct core_record *record)
{
	Reentry__AuditRecord *audit;
	void *message = NULL;
	int error = pb_unpack_own(&reentry__audit_record__descriptor, record->body, record->body_n, &core->arena, &message);

	audit = message;
	if (!error && (!audit->action || !record->header->subject))
		error = ERR_CORRUPT;
	return error ? error : erase_project(core, record->header, audit, NULL);
}

/* The shadow's turn time is the record's, so that what is written carries it. */
static int fold(struct core *from, struct core *to, struct db_txn *read, uint64_t position)
{
	struct core_record record;
	int error = log_read(from, read, position, &to->arena, &record);

	to->last = position;
	if (error == OK || error == ERR_ERASED) {
		int leaf = fold_leaf(to, read, position);

		error = leaf ? leaf : error;
	}
	if (error == ERR_ERASED)
		return fold_erased(to, record.header); /* an erased case leaves nothing else to fold */
	if (error)
		return error;
	to->now = record.header->recorded_at;
	switch (record.header->kind) {
	case REENTRY__RECORD_KIND__VALUE__EVENT:
	case REENTRY__RECORD_KIND__VALUE__TIMER:
		return fold_event(to, &record);
	case REENTRY__RECORD_KIND__VALUE__ACKED:
		return acked_index(to, record.header);
	case REENTRY__RECORD_KIND__VALUE__CONFIG:
		return fold_config(to, &record);
	case REENTRY__RECORD_KIND__VALUE__ERASE:
		return fold_erase(to, &record);
	case REENTRY__RECORD_KIND__VALUE__CHECKPOINT:
		return fold_checkpoint(to, &record);
	case REENTRY__RECORD_KIND__VALUE__EPOCH:
		return fold_epoch(to, &record);
	default:
		return OK;
	}
}

static int fold_all(struct core *from, struct core *to)
{
	struct db_txn read;
	int error = db_begin_read(from->db, &read);

	to->live = from;
	to->live_txn = &read;
	for (uint64_t position = 1; position <= from->last && !error;) {
		error = core_begin(to, 0);
		for (int i = 0; i < FOLD_BATCH && position <= from->last && !error; i++)
			error = fold(from, to, &read, position++);
		if (!error)
			error = core_commit(to);
		else if (to->in_turn)
			core_rollback(to);
	}
	db_abort(&read);
	return error;
}

/* --- the shadow ------------------------------------------------------------------------------------------------------------------ */

static void scratch_path(const struct core *live, char path[4200], const char *file)
{
	(void)snprintf(path, 4200, "%.4000s.rebuild%s%s", live->dir, file ? "/" : "", file ? file : ""); /* db_open took the path of the store already */
}

static void scratch_remove(const struct core *live)
{
	static const char *const files[] = { "data.mdb", "lock.mdb", "owner.lock", "probe.tmp" };
	char path[4200];

	for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
		scratch_path(live, path, files[i]);
		(void)unlink(path); /* best effort: scratch space, and the next rebuild begins with this */
	}
	scratch_path(live, path, NULL);
	(void)rmdir(path);
}

static int shadow_make(struct core *live, struct core **ret_shadow, struct err *err)
{
	struct db_options options = { .volatile_store = true, .tables = core_tables };
	struct db_info info = { 0 };
	struct core *core = calloc(1, sizeof *core);
	char path[4200];

	*ret_shadow = core;
	if (!core)
		return err_set(err, ERR_NOMEM, "out of memory");
	core->shadow = true;
	core->live = live;
	core->keys = live->keys;
	core->policy = live->policy;
	core->policy_text = live->policy_text;
	core->epoch = 1;
	core->recorded_at = MOMENT_NONE;
	memcpy(core->master, live->master, sizeof core->master);
	memcpy(core->body_key, live->body_key, sizeof core->body_key);
	memcpy(core->hash_key, live->hash_key, sizeof core->hash_key);
	memcpy(core->id_key, live->id_key, sizeof core->id_key);
	core->hashed = live->hashed;
	tree_init(&core->tree);
	nodes_commit(core);
	arena_init(&core->arena, TURN_ARENA_MAX);
	arena_init(&core->other_arena, TURN_ARENA_MAX);
	if (db_info(live->db, &info))
		return err_set(err, ERR_CORRUPT, "the size of the store cannot be found out");
	options.size_max = info.size_max + SCRATCH_MORE;
	scratch_remove(live);
	scratch_path(live, path, NULL);
	return db_open(path, &options, &core->db, err);
}

int shadow_fold(struct core *live, struct core **ret_shadow, struct err *err)
{
	int error = shadow_make(live, ret_shadow, err);

	if (error)
		return error;
	error = fold_all(live, *ret_shadow);
	return error ? err_set(err, error, "the log cannot be folded again: %s at position %llu", err_text(error), (unsigned long long)(*ret_shadow)->last) : OK;
}

void shadow_close(struct core *shadow)
{
	const struct core *live = shadow ? shadow->live : NULL;

	if (!shadow)
		return;
	broker_config_free(shadow->past);
	core_close(shadow);
	scratch_remove(live);
}

/* --- replacing ------------------------------------------------------------------------------------------------------------------- */

static int copy_batch(struct core *from, struct core *to, int table, uint8_t *after, size_t *after_n, bool *ret_more)
{
	struct db_txn read, write;
	struct db_cursor cursor;
	size_t n = 0;
	int error = db_begin_read(from->db, &read), write_error = db_begin(to->db, &write);

	write.reserve = true;
	if (!error)
		error = write_error;
	if (!error && !*after_n)
		error = db_clear(&write, table);
	if (!error)
		error = db_cursor_open(&read, table, &cursor);
	*ret_more = false;
	if (!error) {
		for (bool more = db_seek(&cursor, *after_n ? after : NULL, *after_n, 0); more && !error; more = db_next(&cursor)) {
			if (*after_n && cursor.key.n == *after_n && memcmp(cursor.key.bytes, after, *after_n) == 0)
				continue;
			if (n++ == COPY_BATCH) {
				*ret_more = true;
				break;
			}
			error = db_append(&write, table, cursor.key.bytes, cursor.key.n, cursor.value.bytes, cursor.value.n);
			memcpy(after, cursor.key.bytes, cursor.key.n);
			*after_n = cursor.key.n;
		}
		db_cursor_close(&cursor);
	}
	if (!error)
		error = read.error;
	db_abort(&read);
	if (!error)
		return db_commit(&write);
	db_abort(&write);
	return error;
}

static int copy_table(struct core *from, struct core *to, int table)
{
	uint8_t after[DB_KEY_MAX];
	size_t after_n = 0;
	bool more = true;
	int error = OK;

	while (more && !error)
		error = copy_batch(from, to, table, after, &after_n, &more);
	return error;
}

static int mark(struct core *core, bool begun)
{
	struct db_txn txn;
	int error = db_begin(core->db, &txn);

	if (error)
		return error;
	txn.reserve = true;
	if (begun)
		(void)db_put(&txn, T_META, rebuilding, sizeof rebuilding, "", 0); /* remembered by the transaction */
	else
		(void)db_del(&txn, T_META, rebuilding, sizeof rebuilding);
	return db_commit(&txn);
}

/* Table by table. If we die in between, the mark makes the next start do it again: the log is whole whatever happens. */
static int replace(struct core *core, struct core *again)
{
	static const int replaced[] = { T_TREE, T_IDS, T_AGENCIES, T_CASES, T_DUE, T_QUEUE, T_RELATED, T_ERASURES };
	int error = mark(core, true);

	for (size_t i = 0; i < sizeof replaced / sizeof *replaced && !error; i++)
		error = copy_table(again, core, replaced[i]);
	return error ? error : mark(core, false);
}

int rebuild_resume(struct core *core)
{
	struct core *again = NULL;
	struct db_value value;
	struct db_txn txn;
	int error = db_begin_read(core->db, &txn);

	if (!error)
		error = db_get(&txn, T_META, rebuilding, sizeof rebuilding, &value);
	db_abort(&txn);
	if (error)
		return error == ERR_NOTFOUND ? OK : error;
	error = shadow_fold(core, &again, NULL);
	if (!error)
		error = replace(core, again);
	shadow_close(again);
	return error;
}

/* --- the command ------------------------------------------------------------------------------------------------------------------- */

/* A policy that was set and has not been on the record yet is put there, so that live and folded state are of the same one. */
static int record_policy(struct core *core)
{
	int error;

	if (core->config_current)
		return OK;
	error = core_begin(core, core->recorded_at == MOMENT_NONE ? 0 : core->recorded_at);
	return error ? error : core_commit(core);
}

int core_rebuild(struct core *core, bool compare, struct arena *arena, const char **ret_difference, struct err *err)
{
	struct core *again = NULL;
	int error;

	*ret_difference = NULL;
	if (core->in_turn)
		return err_set(err, ERR_BUSY, "a rebuild cannot begin within a turn");
	error = record_policy(core);
	if (error)
		return err_set(err, error, "the configuration cannot be recorded: %s", err_text(error));
	error = delta_settle(core);
	if (error)
		return err_set(err, error, "the cases cannot be written: %s", err_text(error));
	error = shadow_fold(core, &again, err);
	if (!error && compare) {
		error = compare_cores(core, again, arena, ret_difference);
		if (error)
			err_set(err, error, "the rebuilt state cannot be compared: %s", err_text(error));
	}
	if (!error && !compare) {
		error = replace(core, again);
		if (!error)
			error = projections_load(core);
		if (error)
			err_set(err, error, "the rebuilt state cannot be taken over: %s; restart the broker, it goes on with it", err_text(error));
	}
	shadow_close(again);
	return error;
}
