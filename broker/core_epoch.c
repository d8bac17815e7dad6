/* When the end of the log was lost: a store that was restored, or that an agent has shown to have been rolled back, is held - nothing is taken in, delivered or fired - until an
 * operator begins a new epoch. That is one turn:
 *
 *   EPOCH      a signed record of what the log goes on from and why (lib/epoch.h); every record from here on is of the new epoch
 *   ERASE …    every erasure that the lost end had on record, again: which they were is kept in the key environment, where no backup of the log is
 *   CHECKPOINT so that an agent can go on from what is left
 *
 * META: "held" → what is left of the log (8 bytes; all ones: not known), why; "epoch" → the record of the present epoch; "backup" → up to where there is a backup (8 bytes). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/core_internal.h"
#include "lib/epoch.h"
#include "lib/pb.h"

#define NUMBER 8
#define HELD_MAX 512

static const char held_name[] = "held", epoch_name[] = "epoch", backup_name[] = "backup", rebuilding_name[] = "rebuilding";

/* --- what is kept about it ---------------------------------------------------------------------------------------------------- */

static int load_text(struct db_txn *txn, const char *name, size_t name_n, size_t skip, char **ret_text)
{
	struct db_value value;
	int error = db_get(txn, T_META, name, name_n, &value);

	if (error)
		return error;
	if (value.n < skip)
		return ERR_CORRUPT;
	*ret_text = strndup((const char *)value.bytes + skip, value.n - skip);
	return *ret_text ? OK : ERR_NOMEM;
}

static int load_held(struct core *core, struct db_txn *txn)
{
	struct db_value value;
	int error = load_text(txn, held_name, sizeof held_name, NUMBER, &core->held);

	if (!error)
		error = db_get(txn, T_META, held_name, sizeof held_name, &value);
	if (!error)
		core->left = get64(value.bytes);
	return error == ERR_NOTFOUND ? OK : error;
}

int epoch_load(struct core *core)
{
	struct db_value value;
	struct db_txn txn;
	int error = db_begin_read(core->db, &txn);

	if (!error)
		error = load_held(core, &txn);
	if (!error) {
		error = load_text(&txn, epoch_name, sizeof epoch_name, 0, &core->epoch_note);
		error = error == ERR_NOTFOUND ? OK : error;
	}
	if (!error && db_get(&txn, T_META, backup_name, sizeof backup_name, &value) == OK && value.n == NUMBER)
		core->horizon = get64(value.bytes);
	if (!error)
		error = txn.error;
	db_abort(&txn);
	return error;
}

void epoch_release(struct core *core)
{
	free(core->held);
	free(core->epoch_note);
	core->hold_unwritten = false;
	core->held = core->epoch_note = NULL;
}

const char *core_held(const struct core *core)
{
	return core->held;
}

const char *core_epoch_note(const struct core *core)
{
	return core->epoch_note;
}

uint64_t core_horizon(const struct core *core)
{
	return core->horizon;
}

static int put_held(struct db_txn *txn, uint64_t left, const char *why)
{
	uint8_t value[NUMBER + HELD_MAX];
	size_t n = strnlen(why, HELD_MAX);

	put64(value, left);
	memcpy(value + NUMBER, why, n);
	return db_put(txn, T_META, held_name, sizeof held_name, value, NUMBER + n);
}

/* A transaction beside the turns. */
static int begin_mark(struct core *core, struct db_txn *txn)
{
	int error = db_begin(core->db, txn);

	txn->reserve = true;
	return error;
}

int core_hold(struct core *core, const char *why)
{
	struct db_txn txn;
	char *copy;
	int error;

	if (core->held && !core->hold_unwritten)
		return OK;
	copy = core->held ? core->held : strndup(why, HELD_MAX);
	if (!copy)
		return ERR_NOMEM;
	core->hold_unwritten = true;
	if (!core->held)
		core->left = CORE_LEFT_UNKNOWN;
	core->held = copy;
	if (core->in_turn)
		return ERR_BUSY;
	error = begin_mark(core, &txn);
	if (!error)
		(void)put_held(&txn, core->left, copy); /* remembered by the transaction */
	error = error ? error : db_commit(&txn);
	core->hold_unwritten = error != OK;
	return error;
}

int core_backed_up(struct core *core, uint64_t sequence)
{
	uint8_t value[NUMBER];
	struct db_txn txn;
	int error = begin_mark(core, &txn);

	put64(value, sequence);
	if (!error)
		(void)db_put(&txn, T_META, backup_name, sizeof backup_name, value, sizeof value); /* remembered by the transaction */
	error = error ? error : db_commit(&txn);
	if (!error)
		core->horizon = sequence;
	return error;
}

int core_mark_restored(const char *dir, uint64_t *ret_left, struct err *err)
{
	struct db_options options = { .size_max = (size_t)1 << 40, .tables = core_tables };
	struct db_value key, value;
	struct db *db = NULL;
	struct db_txn txn;
	char why[128];
	int error = db_open(dir, &options, &db, err);

	if (error)
		return error;
	*ret_left = 0;
	error = db_begin(db, &txn);
	txn.reserve = true;
	if (!error) {
		error = db_last(&txn, T_LOG, &key, &value);
		if (!error)
			*ret_left = get64(key.bytes);
		error = error == ERR_NOTFOUND ? OK : error;
	}
	(void)snprintf(why, sizeof why, "restored from a backup of %llu records", (unsigned long long)*ret_left); /* fits */
	if (!error)
		error = put_held(&txn, *ret_left, why);
	if (!error)
		error = db_commit(&txn);
	db_abort(&txn);
	db_close(db);
	return error ? err_set(err, error, "the copy at %s cannot be marked as restored: %s", dir, err_text(error)) : OK;
}

/* --- erasures that the lost end had on record -------------------------------------------------------------------------------------- */

/* In the key environment, in the transaction that deletes the keys. */
int erased_keep(struct core *core, struct db_txn *txn, const char *ref)
{
	Reentry__ErasedCase kept = REENTRY__ERASED_CASE__INIT;
	struct core_erasure erasure;
	struct arena arena;
	uint8_t *bytes = NULL, *sealed;
	size_t n = 0;
	int error;

	arena_init(&arena, 0);
	error = core_erasure(core, ref, &arena, &erasure);
	if (!error) {
		kept.order = (char *)(uintptr_t)erasure.order;
		kept.ordered_by = (char *)(uintptr_t)erasure.ordered_by;
		kept.confirmed_by = (char *)(uintptr_t)erasure.confirmed_by;
		error = pb_pack(&kept, &arena, &bytes, &n);
	}
	if (!error) {
		sealed = arena_alloc(&arena, n + SEAL_OVERHEAD);
		error = sealed ? OK : ERR_NOMEM;
		if (!error) {
			crypt_seal(core->master, bytes, n, ref, strlen(ref), sealed);
			error = db_put(txn, K_ERASED, ref, strlen(ref), sealed, n + SEAL_OVERHEAD);
		}
	}
	arena_release(&arena);
	return error;
}

static int open_kept(struct core *core, const char *ref, const struct db_value *value, Reentry__ErasedCase **ret_kept)
{
	uint8_t *bytes;
	void *message = NULL;
	int error;

	if (value->n < SEAL_OVERHEAD)
		return ERR_CORRUPT;
	bytes = arena_alloc(&core->arena, value->n - SEAL_OVERHEAD + 1);
	if (!bytes)
		return ERR_NOMEM;
	if (crypt_open(core->master, value->bytes, value->n, ref, strlen(ref), bytes))
		return ERR_CORRUPT;
	error = pb_unpack_own(&reentry__erased_case__descriptor, bytes, value->n - SEAL_OVERHEAD, &core->arena, &message);
	*ret_kept = message;
	return error;
}

int erased_check(struct core *core, const struct db_value *key, const struct db_value *value)
{
	Reentry__ErasedCase *kept;
	char ref[DB_KEY_MAX + 1];

	memcpy(ref, key->bytes, key->n);
	ref[key->n] = 0;
	return open_kept(core, ref, value, &kept);
}

/* In the turn. ret_n: how many there were. */
static int erase_again(struct core *core, size_t *ret_n)
{
	struct db_cursor cursor;
	struct db_txn keys;
	int error = db_begin_read(core->keys, &keys);

	*ret_n = 0;
	DB_FOREACH(&cursor, &keys, K_ERASED, NULL, 0) {
		char ref[DB_KEY_MAX + 1];
		Reentry__ErasedCase *kept = NULL;

		memcpy(ref, cursor.key.bytes, cursor.key.n);
		ref[cursor.key.n] = 0;
		if (!error && !erasure_is_known(&core->txn, ref)) {
			error = open_kept(core, ref, &cursor.value, &kept);
			if (!error)
				error = erase_repeat(core, ref, kept);
			*ret_n += !error;
		}
		if (error) {
			db_cursor_close(&cursor);
			break;
		}
	}
	if (!error)
		error = keys.error;
	db_abort(&keys);
	return error;
}

/* --- a new epoch -------------------------------------------------------------------------------------------------------------------- */

static int write_record(struct core *core, const struct core_new_epoch *wanted, uint64_t left, struct epoch_record *record, struct err *err)
{
	struct note_key key = { .name = record->origin, .kind = NOTE_ED25519 };
	struct epoch_record before;
	struct buf note;
	int error;

	core_origin(core, record->origin);
	record->old_epoch = core->epoch;
	record->new_epoch = (uint64_t)(core->now / 1000) > core->epoch ? (uint64_t)(core->now / 1000) : core->epoch + 1;
	(void)snprintf(record->reason, sizeof record->reason, "%s", wanted->reason); /* measured by the caller */
	error = core_root(core, left, &record->from);
	if (error)
		return err_set(err, error, "the log has no %llu records", (unsigned long long)left);
	crypt_sign_public(core->signing_seed, key.public_key);
	if (core->epoch_note && epoch_read(core->epoch_note, strlen(core->epoch_note), &key, &before, NULL) == OK) {
		size_t skip = before.n_ends == EPOCH_ENDS_MAX;

		for (size_t i = skip; i < before.n_ends; i++)
			record->ends[record->n_ends++] = (struct epoch_end){ before.ends[i].epoch, before.ends[i].size < left ? before.ends[i].size : left };
		record->ends[record->n_ends++] = (struct epoch_end){ before.old_epoch, before.from.size < left ? before.from.size : left };
	}
	buf_init(&note);
	error = epoch_write(&note, record, core->signing_seed, err);
	if (!error && !(core->new_note = strdup((const char *)note.bytes)))
		error = err_set(err, ERR_NOMEM, "out of memory");
	buf_release(&note);
	return error;
}

int epoch_project(struct core *core, const char *note)
{
	return db_put(&core->txn, T_META, epoch_name, sizeof epoch_name, note, strlen(note));
}

static int append_record(struct core *core, uint64_t new_epoch, const char *who)
{
	Reentry__Header header = REENTRY__HEADER__INIT;
	Reentry__EpochRecord body = REENTRY__EPOCH_RECORD__INIT;
	uint8_t *bytes = NULL;
	size_t n = 0;
	int error;

	core->epoch = new_epoch;
	body.note = core->new_note;
	header.has_kind = true;
	header.kind = REENTRY__RECORD_KIND__VALUE__EPOCH;
	header.agency = (char *)(uintptr_t)who;
	error = pb_pack(&body, &core->arena, &bytes, &n);
	if (!error)
		error = log_append(core, &header, bytes, n);
	if (!error)
		error = epoch_project(core, body.note);
	if (!error)
		error = db_del(&core->txn, T_META, held_name, sizeof held_name);
	return error == ERR_NOTFOUND ? OK : error;
}

static int epoch_turn(struct core *core, moment now, const struct core_new_epoch *wanted, uint64_t left, size_t *ret_erased, struct err *err)
{
	struct epoch_record record = { .n_ends = 0 };
	const char *checkpoint;
	int error = core_begin(core, now);

	if (error)
		return error;
	error = write_record(core, wanted, left, &record, err);
	if (!error)
		error = append_record(core, record.new_epoch, wanted->who);
	if (!error)
		error = erase_again(core, ret_erased);
	/* Without their keys the derived tables cannot be put right one by one: they are folded again, and should we die before that, at the next start. */
	if (!error && *ret_erased)
		error = db_put(&core->txn, T_META, rebuilding_name, sizeof rebuilding_name, "", 0);
	if (!error && core->tree_committed.size)
		error = checkpoint_now(core, &core->arena, &checkpoint);
	if (!error)
		return core_commit(core);
	core_rollback(core);
	return error;
}

static int check_wanted(const struct core *core, const struct core_new_epoch *wanted, uint64_t *ret_left, struct err *err)
{
	if (!core->held)
		return err_set(err, ERR_INVALID, "this log lacks nothing that is known of: a new epoch follows a restore, or a roll-back that an agent has shown");
	if (!core->signs)
		return err_set(err, ERR_DENIED, "there is no signing key: agencies could not verify the record");
	if (!wanted->reason || !wanted->reason[0] || strlen(wanted->reason) > EPOCH_REASON_MAX)
		return err_set(err, ERR_INVALID, "reason: one line of at most %d bytes is needed", EPOCH_REASON_MAX);
	*ret_left = wanted->left != CORE_LEFT_UNKNOWN ? wanted->left : core->left;
	if (*ret_left == CORE_LEFT_UNKNOWN)
		return err_set(err, ERR_INVALID, "from: how many records the log had when it was put back is not known here; name that number, or 0, then agencies offer all that they have kept");
	if (core->left != CORE_LEFT_UNKNOWN && *ret_left > core->left)
		return err_set(err, ERR_INVALID, "from: the backup had %llu records", (unsigned long long)core->left);
	if (*ret_left > core->committed)
		return err_set(err, ERR_INVALID, "from: the log has %llu records", (unsigned long long)core->committed);
	return OK;
}

int core_epoch(struct core *core, moment now, const struct core_new_epoch *wanted, struct arena *arena, struct err *err)
{
	const uint64_t before = core->epoch;
	const char *difference;
	size_t erased = 0;
	uint64_t left = 0;
	int error = check_wanted(core, wanted, &left, err);

	if (error)
		return error;
	err->text[0] = 0;
	error = epoch_turn(core, now, wanted, left, &erased, err);
	if (error) {
		core->epoch = before;
		free(core->new_note);
		core->new_note = NULL;
		return err->text[0] ? error : err_set(err, error, "the new epoch could not be recorded: %s", err_text(error));
	}
	epoch_release(core);
	core->epoch_note = core->new_note;
	core->new_note = NULL;
	return erased ? core_rebuild(core, false, arena, &difference, err) : OK;
}
