/* Checkpoints: signed notes (C2SP signed-note and tlog-checkpoint) over the committed tree. A checkpoint is issued within a turn and speaks of the log as it was before that turn;
 * its own record comes behind what it speaks of, and is covered by the next one. So nothing is signed that a crash could still undo, and signing begets no signing:
 * a log that has grown by nothing but the last CHECKPOINT record is not worth another.
 * Table: size (8 bytes) → position of the record (8), its time (8), SHA-256 of these and the note (32), the note with the cosignatures that have come in since. The latest CHECKPOINTS_KEPT
 * are kept; all stay in the log. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "broker/core_internal.h"
#include "lib/epoch.h"
#include "lib/note.h"
#include "lib/pb.h"

#define CHECKPOINTS_KEPT 1024
#define CHECK 16                 /* where the hash stands */
#define PREFIX (CHECK + HASH_SIZE)

static void row_hash(const uint8_t *key, const uint8_t *value, size_t n, uint8_t ret_hash[HASH_SIZE])
{
	struct crypt_part parts[] = { { key, 8 }, { value, CHECK }, { value + PREFIX, n - PREFIX } };

	crypt_sha256_parts(parts, 3, ret_hash);
}

int checkpoint_row(const struct db_value *key, const struct db_value *value, struct arena *arena, struct issued *ret_issued, const char **ret_note)
{
	const uint8_t *bytes = value->bytes;
	uint8_t hash[HASH_SIZE];
	char *text;

	if (key->n != 8 || value->n <= PREFIX)
		return ERR_CORRUPT;
	row_hash(key->bytes, bytes, value->n, hash);
	if (memcmp(hash, bytes + CHECK, HASH_SIZE) != 0)
		return ERR_CORRUPT;
	text = arena_alloc(arena, value->n - PREFIX + 1);
	if (!text)
		return ERR_NOMEM;
	memcpy(text, bytes + PREFIX, value->n - PREFIX);
	*ret_issued = (struct issued){ get64(key->bytes), get64(bytes), (moment)get64(bytes + 8) };
	*ret_note = text;
	return OK;
}

int checkpoints_load(struct core *core)
{
	struct db_value key, value;
	struct db_txn txn;
	const char *note;
	int error = db_begin_read(core->db, &txn);

	core->issued = (struct issued){ .at = MOMENT_NONE };
	if (!error)
		error = db_last(&txn, T_CHECKPOINTS, &key, &value);
	if (!error)
		error = checkpoint_row(&key, &value, &core->arena, &core->issued, &note);
	db_abort(&txn);
	core->issued_committed = core->issued;
	return error == ERR_NOTFOUND ? OK : error;
}

void core_origin(const struct core *core, char ret_origin[NOTE_NAME_MAX + 1])
{
	(void)snprintf(ret_origin, NOTE_NAME_MAX + 1, "urn:nld:oin:%s:systeem:%s", core->policy->broker_oin, core->policy->broker_id); /* both are bounded: 20 and 32 */
}

bool core_checkpoint_due(const struct core *core, moment now, int64_t interval)
{
	if (!core->signs || core->committed <= core->issued.size + (core->issued.position != 0))
		return false;
	return core->issued.at == MOMENT_NONE || now - core->issued.at >= interval;
}

/* --- issuing ------------------------------------------------------------------------------------------------------------- */

static int put_note(struct core *core, const struct issued *issued, const void *note, size_t n)
{
	uint8_t key[DB_KEY_MAX];
	void *room;
	int error = db_put_room(&core->txn, T_CHECKPOINTS, key, db_key(key, "q", issued->size), PREFIX + n, &room);
	uint8_t *value = room;

	if (error)
		return error;
	put64(value, issued->position);
	put64(value + 8, (uint64_t)issued->at);
	memcpy(value + PREFIX, note, n);
	row_hash(key, value, PREFIX + n, value + CHECK);
	return OK;
}

/* One goes where one comes: the table stays as long as it is. */
static int drop_oldest(struct core *core)
{
	struct db_cursor cursor;
	uint64_t n = 0;
	int error = db_count(&core->txn, T_CHECKPOINTS, &n);

	if (error || n <= CHECKPOINTS_KEPT)
		return error;
	error = db_cursor_open(&core->txn, T_CHECKPOINTS, &cursor);
	if (error)
		return error;
	if (db_seek(&cursor, NULL, 0, 0))
		error = db_cursor_del(&cursor);
	db_cursor_close(&cursor);
	return error;
}

int checkpoint_project(struct core *core, uint64_t position, moment at, const char *note)
{
	struct checkpoint checkpoint;
	const char *end = strstr(note, "\n\n");
	int error = end ? checkpoint_read(note, (size_t)(end + 1 - note), &checkpoint, NULL) : ERR_CORRUPT;

	if (error)
		return ERR_CORRUPT;
	core->issued = (struct issued){ checkpoint.size, position, at };
	error = put_note(core, &core->issued, note, strlen(note));
	return error ? error : drop_oldest(core);
}

static int write_note(struct core *core, struct buf *note)
{
	struct checkpoint checkpoint = { .size = core->tree_committed.size };
	char name[NOTE_NAME_MAX + 1];
	struct note_signer signer = { .name = name, .kind = NOTE_ED25519, .seed = core->signing_seed };
	char extension[64];
	int error;

	core_origin(core, name);
	memcpy(checkpoint.origin, name, sizeof name);
	if (core->epoch > EPOCH_FIRST) {
		checkpoint.extensions = extension;
		checkpoint.extensions_n = (size_t)snprintf(extension, sizeof extension, "epoch %" PRIu64 "\n", core->epoch); /* fits */
	}
	tree_root(&core->tree_committed, checkpoint.root);
	error = checkpoint_write(note, &checkpoint, NULL);
	return error ? error : note_sign(note, &signer, NULL);
}

static int record_note(struct core *core, char *note)
{
	Reentry__Header header = REENTRY__HEADER__INIT;
	Reentry__CheckpointRecord body = REENTRY__CHECKPOINT_RECORD__INIT;
	uint8_t *bytes = NULL;
	size_t n = 0;
	int error;

	body.note = note;
	header.has_kind = true;
	header.kind = REENTRY__RECORD_KIND__VALUE__CHECKPOINT;
	header.agency = (char *)(uintptr_t)core->policy->broker_id;
	error = pb_pack(&body, &core->arena, &bytes, &n);
	if (!error)
		error = log_append(core, &header, bytes, n);
	return error ? error : checkpoint_project(core, core->last, core->now, note);
}

int checkpoint_now(struct core *core, struct arena *arena, const char **ret_note)
{
	struct buf note;
	char *text;
	int error;

	buf_init(&note);
	error = write_note(core, &note);
	text = error ? NULL : arena_strdup(arena, (const char *)note.bytes);
	buf_release(&note);
	if (!error && !text)
		error = ERR_NOMEM;
	*ret_note = text;
	return error ? error : record_note(core, text);
}

int core_checkpoint(struct core *core, struct arena *arena, const char **ret_note)
{
	struct issued again;

	if (!core->signs)
		return ERR_DENIED;
	if (core->tree_committed.size <= core->issued.size + (core->issued.position != 0))
		return core->issued.size ? checkpoint_find(&core->txn, core->issued.size, arena, &again, ret_note) : ERR_NOTFOUND;
	return checkpoint_now(core, arena, ret_note);
}

/* --- stored ones ----------------------------------------------------------------------------------------------------------- */

int checkpoint_find(struct db_txn *txn, uint64_t size, struct arena *arena, struct issued *ret_issued, const char **ret_note)
{
	uint8_t at[DB_KEY_MAX];
	struct db_value key = { at, db_key(at, "q", size) }, value;
	int error = db_get(txn, T_CHECKPOINTS, key.bytes, key.n, &value);

	return error ? error : checkpoint_row(&key, &value, arena, ret_issued, ret_note);
}

int core_checkpoint_last(struct core *core, struct arena *arena, uint64_t *ret_size, const char **ret_note)
{
	struct issued issued;
	struct db_txn txn;
	int error = core->issued_committed.size ? db_begin_read(core->db, &txn) : ERR_NOTFOUND;

	if (error)
		return error;
	*ret_size = core->issued_committed.size;
	error = checkpoint_find(&txn, *ret_size, arena, &issued, ret_note);
	db_abort(&txn);
	return error;
}

bool checkpoint_signed_by(const char *note, const struct note_key *key)
{
	struct note parsed;
	struct note_seen seen = { false, 0 };

	return note_read(note, strlen(note), &parsed, NULL) == OK && note_verify(&parsed, key, 1, &seen, NULL) == OK && seen.verified;
}

int core_checkpoint_cosigned(struct core *core, const struct note_key *witnesses, size_t n, struct arena *arena, uint64_t *ret_size, const char **ret_note)
{
	struct db_cursor cursor;
	struct db_txn txn;
	int error = db_begin_read(core->db, &txn);
	bool found = false;

	if (error)
		return error;
	error = db_cursor_open(&txn, T_CHECKPOINTS, &cursor);
	for (bool more = !error && db_seek_last(&cursor, NULL, 0); more && !found && !error; more = db_prev(&cursor)) {
		struct issued issued = { 0 };

		error = checkpoint_row(&cursor.key, &cursor.value, arena, &issued, ret_note);
		*ret_size = issued.size;
		found = !error;
		for (size_t i = 0; i < n && found; i++)
			found = checkpoint_signed_by(*ret_note, &witnesses[i]);
	}
	db_cursor_close(&cursor);
	if (!error)
		error = txn.error ? txn.error : found ? OK : ERR_NOTFOUND;
	db_abort(&txn);
	return error;
}

/* --- witnesses --------------------------------------------------------------------------------------------------------------- */

/* Of what came in only the line of that key, so that nobody can fill the store with signatures of others. */
static int only_line_of(const struct note *note, const struct note_key *key, struct buf *out)
{
	uint32_t id = note_key_id(key->name, key->kind, key->public_key);
	struct note_line line;
	size_t at = 0, start = 0;

	(void)buf_add(out, note->text, note->text_n); /* errors stay in out; so below */
	(void)buf_text(out, "\n");
	for (; note_next(note, &at, &line); start = at)
		if (line.key_id == id && line.name_n == strlen(key->name) && memcmp(line.name, key->name, line.name_n) == 0)
			return buf_add(out, note->lines + start, at - start);
	return ERR_DENIED;
}

static int merge(struct core *core, const struct issued *issued, const char *ours, const struct buf *line, struct err *err)
{
	struct buf merged;
	int error;

	buf_init(&merged);
	error = buf_text(&merged, ours);
	if (!error)
		error = note_merge(&merged, (const char *)line->bytes, line->n, err);
	if (!error)
		error = put_note(core, issued, merged.bytes, merged.n);
	buf_release(&merged);
	return error;
}

int core_cosign(struct core *core, const struct note_key *key, const char *note, size_t n, struct err *err)
{
	struct checkpoint checkpoint;
	struct issued issued;
	struct note_seen seen = { false, 0 };
	struct note parsed;
	struct buf line;
	const char *ours;
	int error = note_read(note, n, &parsed, err);

	if (!error)
		error = checkpoint_read(parsed.text, parsed.text_n, &checkpoint, err);
	if (error)
		return error;
	error = note_verify(&parsed, key, 1, &seen, err);
	if (!error)
		error = checkpoint_find(&core->txn, checkpoint.size, &core->arena, &issued, &ours);
	if (error == ERR_NOTFOUND)
		return err_set(err, ERR_NOTFOUND, "there is no checkpoint over %llu records here", (unsigned long long)checkpoint.size);
	if (error || checkpoint_signed_by(ours, key))
		return error; /* it has signed before */
	buf_init(&line);
	error = only_line_of(&parsed, key, &line);
	if (!error)
		error = line.error ? line.error : merge(core, &issued, ours, &line, err);
	buf_release(&line);
	return error;
}
