/* Many records read one behind the other: one snapshot, a cursor that mostly stands there already, and of a header and a body only what was asked for. What is read is checked as in
 * core_record: a record that does not match its hash is never served, and a body is authenticated. Between turns; end a reading before the next one begins, and with each part of an answer,
 * so that nobody who is slow holds pages of the store. */
#ifndef BROKER_CORE_READ_H
#define BROKER_CORE_READ_H

#include "broker/core.h"
#include "lib/db.h"
#include "lib/pb.h"

struct reading { struct core *core; struct db_txn txn; struct db_cursor cursor; uint64_t at; };
int reading_begin(struct core *core, struct reading *reading);
void reading_end(struct reading *reading);      /* safe after a reading_begin that failed */

/* Fields of Header and EventRecord (proto/record.proto), as pb_peek tells them. */
enum { HEADER_POSITION = 1, HEADER_RECORDED_AT, HEADER_KIND, HEADER_AGENCY, HEADER_SUBJECT, HEADER_CLASS = 7, HEADER_FIELDS };
enum { EVENT_RECORD_CONTENT = 1, EVENT_RECORD_TIME, EVENT_RECORD_OUTCOME, EVENT_RECORD_PHASE = 6, EVENT_RECORD_MUNICIPALITY, EVENT_RECORD_SLOT_VERSION, EVENT_RECORD_FIELDS };

/* Borrowed from the snapshot: until reading_end. */
struct reading_record { const uint8_t *header_bytes, *sealed; size_t header_n, sealed_n; struct pb_peek header[HEADER_FIELDS]; };
/* The record at that position; the one behind the last is found at once. ERR_NOTFOUND, ERR_CORRUPT. */
int reading_record(struct reading *reading, uint64_t position, struct reading_record *ret_record);
/* Its body, opened into the arena. ERR_ERASED, ERR_CORRUPT, ERR_NOMEM. */
int reading_body(struct reading *reading, const struct reading_record *record, struct arena *arena, const uint8_t **ret_body, size_t *ret_n);
/* Copies a text into room for it and its end. False: it is not there, or too long. */
bool reading_text(const struct pb_peek *field, char *ret_text, size_t room);

#endif
