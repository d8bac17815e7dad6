#include "broker/core_read.h"

#include <string.h>

#include "broker/core_internal.h"

#define SUBJECT_SIZE 65

int reading_begin(struct core *core, struct reading *reading)
{
	int error;

	*reading = (struct reading){ .core = core };
	error = db_begin_read(core->db, &reading->txn);
	return error ? error : db_cursor_open(&reading->txn, T_LOG, &reading->cursor);
}

void reading_end(struct reading *reading)
{
	db_cursor_close(&reading->cursor);
	db_abort(&reading->txn);
}

/* The log is dense: what comes behind the last one is the next position. */
static int move_to(struct reading *reading, uint64_t position)
{
	uint8_t key[DB_KEY_MAX];
	const size_t n = db_key(key, "q", position);
	const bool next = reading->at && reading->at + 1 == position;
	const bool there = next ? db_next(&reading->cursor) : db_seek(&reading->cursor, key, n, 0);

	reading->at = 0;
	if (!there || reading->cursor.key.n != n || memcmp(reading->cursor.key.bytes, key, n) != 0)
		return reading->txn.error ? reading->txn.error : ERR_NOTFOUND;
	reading->at = position;
	return OK;
}

int reading_record(struct reading *reading, uint64_t position, struct reading_record *ret_record)
{
	struct log_parts parts;
	int error = move_to(reading, position);

	if (!error)
		error = log_take(&reading->cursor.value, &parts);
	if (error)
		return error;
	ret_record->header_bytes = parts.header_bytes;
	ret_record->header_n = parts.header_n;
	ret_record->sealed = parts.sealed;
	ret_record->sealed_n = parts.sealed_n;
	error = pb_peek(parts.header_bytes, parts.header_n, HEADER_FIELDS, ret_record->header);
	return error || ret_record->header[HEADER_POSITION].number == position ? error : ERR_CORRUPT;
}

bool reading_text(const struct pb_peek *field, char *ret_text, size_t room)
{
	if (!field->there || field->n >= room)
		return false;
	memcpy(ret_text, field->bytes, field->n);
	ret_text[field->n] = 0;
	return true;
}

/* As log_key, of a header that is not unpacked. */
static int find_key(struct reading *reading, const struct reading_record *record, const uint8_t **ret_key)
{
	char subject[SUBJECT_SIZE];

	if (!record->header[HEADER_CLASS].there || !record->header[HEADER_SUBJECT].there) {
		*ret_key = reading->core->body_key;
		return OK;
	}
	if (!reading_text(&record->header[HEADER_SUBJECT], subject, sizeof subject))
		return ERR_CORRUPT;
	return keys_get(reading->core, subject, (Reentry__Class__Value)record->header[HEADER_CLASS].number, false, ret_key);
}

int reading_body(struct reading *reading, const struct reading_record *record, struct arena *arena, const uint8_t **ret_body, size_t *ret_n)
{
	const struct log_sealed sealed = { record->sealed, record->sealed_n, record->header_bytes, record->header_n };
	const uint8_t *key = NULL;
	int error = find_key(reading, record, &key);

	return error ? error : log_unseal(key, &sealed, arena, ret_body, ret_n);
}
