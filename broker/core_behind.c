/* How far what is derived from the log lies behind it on disk, and the way back at a start (docs/durability.md).
 *
 *   written    up to this position ids, queue and tree are complete in the file; what is newer is in memory (lib/db: write-behind tables)
 *   applied    the same of the case states (core_delta.c)
 *   lists      for the records between the two: which cases they are about, so that a start need not read them
 *
 * A turn that comes too far ahead of `written` writes all of it, in order, and so does one whose effect could not be had from its record alone: a consent withdrawn, an erasure, another configuration.
 * A start reads the records behind `written`, at most BEHIND_RECORDS and one turn, and does with them what the turns did. */
#include <string.h>

#include "broker/core_internal.h"
#include "lib/pb.h"

#define BEHIND_RECORDS 4096                /* of which ids, queue and tree are in memory only */
#define BEHIND_BYTES ((size_t)16 << 20)    /* of that memory, from which on it is written */
#define MARK_SIZE 32                       /* written, applied, and the beginning of their hash */
#define LIST_HEAD (HASH_SIZE + 8)          /* of a list: hash of what follows, position behind which it begins */

static const char mark_name[] = "written", applied_name[] = "applied", list_name[] = "behind";

/* --- the mark -------------------------------------------------------------------------------------------------------------- */

static int put_mark(struct core *core, uint64_t written, uint64_t applied)
{
	uint8_t value[MARK_SIZE], hash[HASH_SIZE];

	put64(value, written);
	put64(value + 8, applied);
	crypt_sha256(value, 16, hash);
	memcpy(value + 16, hash, MARK_SIZE - 16);
	return db_put(&core->txn, T_META, mark_name, sizeof mark_name, value, sizeof value);
}

/* Before format 2 everything but the case states was written at once. */
static int read_mark_1(struct db_txn *txn, uint64_t last, struct behind_mark *ret_mark)
{
	struct db_value value;
	int error = db_get(txn, T_META, applied_name, sizeof applied_name, &value);

	*ret_mark = (struct behind_mark){ .written = last, .applied = !error && value.n == 8 ? get64(value.bytes) : 0 };
	return error == ERR_NOTFOUND ? OK : error;
}

int behind_read(struct db_txn *txn, uint64_t last, struct behind_mark *ret_mark)
{
	struct db_value value;
	uint8_t hash[HASH_SIZE];
	int error = db_get(txn, T_META, mark_name, sizeof mark_name, &value);

	if (error)
		return error == ERR_NOTFOUND ? read_mark_1(txn, last, ret_mark) : error;
	if (value.n != MARK_SIZE)
		return ERR_CORRUPT;
	crypt_sha256(value.bytes, 16, hash);
	*ret_mark = (struct behind_mark){ .written = get64(value.bytes), .applied = get64((const uint8_t *)value.bytes + 8), .there = true };
	if (memcmp(hash, (const uint8_t *)value.bytes + 16, MARK_SIZE - 16) != 0 || ret_mark->written > last || ret_mark->applied > ret_mark->written)
		return ERR_CORRUPT; /* rather no start than one that takes something for written that is not */
	return OK;
}

/* --- lists of cases ---------------------------------------------------------------------------------------------------------- */

/* An entry: position of the case's newest record (8), whether the cases table cannot have it yet (1), reference with its NUL. */
int behind_list(struct core *core, const struct behind_case *it)
{
	uint8_t head[9];

	put64(head, it->last);
	head[8] = it->fresh;
	(void)buf_add(&core->listed, head, sizeof head); /* remembered by the buffer */
	return buf_add(&core->listed, it->ref, strlen(it->ref) + 1);
}

static size_t list_key(uint8_t key[DB_KEY_MAX], uint64_t to)
{
	return db_key(key, "sq", list_name, to);
}

static int put_list(struct core *core)
{
	struct buf *list = &core->listed;
	uint8_t key[DB_KEY_MAX], *value;
	void *room;
	int error;

	if (!core->delta || core->last == core->written)
		return OK;
	if (list->error)
		return list->error;
	error = db_put_room(&core->txn, T_META, key, list_key(key, core->last), LIST_HEAD + list->n, &room);
	if (error)
		return error;
	value = room;
	put64(value + HASH_SIZE, core->written);
	if (list->n)
		memcpy(value + LIST_HEAD, list->bytes, list->n);
	crypt_sha256(value + HASH_SIZE, 8 + list->n, value);
	return OK;
}

int behind_lists(struct db_txn *txn, behind_tell *tell, void *context)
{
	struct db_cursor cursor;
	uint8_t key[DB_KEY_MAX], hash[HASH_SIZE];
	size_t key_n = db_key(key, "s", list_name);
	int error = OK;

	DB_FOREACH(&cursor, txn, T_META, key, key_n) {
		const uint8_t *bytes = cursor.value.bytes;
		struct behind_cases list = { 0 };

		if (cursor.key.n != key_n + 8)
			continue;
		list.to = get64((const uint8_t *)cursor.key.bytes + key_n);
		if (cursor.value.n >= LIST_HEAD) {
			crypt_sha256(bytes + HASH_SIZE, cursor.value.n - HASH_SIZE, hash);
			list.whole = memcmp(hash, bytes, HASH_SIZE) == 0;
			list.from = get64(bytes + HASH_SIZE);
			list.at = bytes + LIST_HEAD;
			list.end = bytes + cursor.value.n;
		}
		error = tell(context, &list);
		if (error) {
			db_cursor_close(&cursor);
			break;
		}
	}
	return error ? error : txn->error;
}

bool behind_next(struct behind_cases *list, struct behind_case *ret_case)
{
	const uint8_t *end;

	if (list->end - list->at < 10 || !(end = memchr(list->at + 9, 0, (size_t)(list->end - list->at) - 9)))
		return false;
	*ret_case = (struct behind_case){ .last = get64(list->at), .fresh = list->at[8] != 0, .ref = (const char *)list->at + 9 };
	list->at = end + 1;
	return true;
}

static int drop_lists(struct core *core, uint64_t to)
{
	struct db_cursor cursor;
	uint8_t key[DB_KEY_MAX];
	size_t key_n = db_key(key, "s", list_name);
	int error = OK;

	DB_FOREACH(&cursor, &core->txn, T_META, key, key_n) {
		if (cursor.key.n == key_n + 8 && get64((const uint8_t *)cursor.key.bytes + key_n) <= to)
			error = db_cursor_del(&cursor);
		if (error) {
			db_cursor_close(&cursor);
			break;
		}
	}
	return error ? error : core->txn.error;
}

/* --- the turn ------------------------------------------------------------------------------------------------------------------- */

/* The last thing before the commit, when all else of the turn is in its transaction. */
int behind_flush(struct core *core)
{
	uint64_t most = core->behind_max < BEHIND_RECORDS ? core->behind_max : BEHIND_RECORDS, applied = 0;
	bool ends = delta_applied(core, &applied);
	int error;

	core->settles = false;
	if (core->shadow || !(core->settle || ends || core->last - core->written >= most || db_behind(core->db) > BEHIND_BYTES))
		return OK;
	error = db_settle(&core->txn);
	if (!error)
		error = put_list(core);
	if (!error)
		error = drop_lists(core, applied);
	if (!error)
		error = put_mark(core, core->last, applied);
	core->settles = !error;
	return error;
}

void behind_commit(struct core *core)
{
	if (core->settles) {
		core->written = core->last;
		core->settle = false;
		buf_clear(&core->listed);
	}
	core->listed_committed = core->listed.n;
	core->settles = false;
}

void behind_rollback(struct core *core)
{
	core->listed.n = core->listed_committed;
	core->listed.error = 0;
	core->settles = false;
}

/* --- what a record puts into queue and ids ------------------------------------------------------------------------------------------ */

int record_index(struct core *core, const struct core_record *record, const char *broker_id)
{
	const Reentry__EventRecord *event = record->record.event;
	int error;

	if (!event || !record->header->subject)
		return OK;
	if (!record->header->has_class_)
		return erased_event_index(core, record->header, record->record.event);
	error = queue_project(core, &record->record, record->header->subject);
	if (error || event->outcome == REENTRY__OUTCOME__VALUE__REFUSED || strcmp(record->header->agency, broker_id) == 0)
		return error;
	return ids_put(core, record->header->agency, record->record.envelope->id, event->content.data, event->content.len, record->header->position, event->outcome);
}

int acked_index(struct core *core, const Reentry__Header *header)
{
	struct queued entry;
	uint16_t number = 0;
	int error = agency_number(core, header->agency, true, &number);

	for (size_t i = 0; i < header->n_positions && !error; i++) {
		error = queue_take(core, number, header->positions[i], &entry);
		if (error == ERR_NOTFOUND)
			error = OK;
	}
	return error;
}

/* --- at open ----------------------------------------------------------------------------------------------------------------------- */

static int tail_case(struct core *core, const Reentry__Header *header)
{
	struct behind_case it = { .last = header->position, .fresh = header->previous == 0, .ref = header->subject };
	int error;

	if (!header->subject || !header->has_previous || !core->delta)
		return OK;
	error = delta_stub(core, &it);
	return error ? error : behind_list(core, &it);
}

/* The first error of a record that is damaged: what it said of ids and queues is not known, so there is no start. */
static int tail_record(struct core *core, uint64_t position, const char *broker_id)
{
	struct core_record record;
	struct log_parts parts;
	struct db_value value;
	uint8_t key[DB_KEY_MAX];
	int error = db_get(&core->txn, T_LOG, key, db_key(key, "q", position), &value);

	if (!error)
		error = log_parse(&value, position, &core->arena, &parts);
	if (!error)
		error = tail_case(core, parts.header);
	if (error)
		return error == ERR_NOTFOUND ? ERR_CORRUPT : error;
	if (parts.header->kind == REENTRY__RECORD_KIND__VALUE__ACKED)
		return acked_index(core, parts.header);
	if (parts.header->kind != REENTRY__RECORD_KIND__VALUE__EVENT || !parts.header->subject)
		return OK;
	error = log_open(core, &parts, &core->arena, &record);
	if (error)
		return error == ERR_ERASED ? OK : error; /* without its case's key there is nothing of it in any table */
	return record_index(core, &record, broker_id);
}

int behind_open(struct core *core)
{
	const struct policy *policy = core->policy;
	struct behind_mark mark = { 0 };
	int error = db_begin_read(core->db, &core->txn);

	core->txn.reserve = true; /* what is made again is in memory only: no disk is too full for it */
	buf_clear(&core->listed);
	if (!error)
		error = behind_read(&core->txn, core->committed, &mark);
	if (!error && mark.written < core->committed)
		error = policy_on_record(core, &core->txn, &policy);
	for (uint64_t position = mark.written + 1; position <= core->committed && !error; position++) {
		error = tail_record(core, position, policy->broker_id);
		if (core->arena.used > (size_t)1 << 20)
			arena_reset(&core->arena);
	}
	core->n_touched = 0; /* whom it concerns asks when it connects */
	for (size_t i = 0; i < core->n_agencies; i++)
		core->agencies[i].touched = false;
	core->written = mark.written;
	core->listed_committed = core->listed.n; /* of the next list */
	core->settle = !mark.there; /* the first turn of a store of format 1 says how far it is */
	if (!error)
		error = core->txn.error;
	if (!error)
		return db_commit(&core->txn);
	db_abort(&core->txn);
	return error;
}
