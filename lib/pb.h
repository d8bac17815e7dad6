/* Protocol Buffers taken from hostile bytes (design.md 3): first a scan of the wire form with bounds, then unpack with an
 * arena that has a bound, then a check of what was read. Never an assert on what came from outside. */
#ifndef LIB_PB_H
#define LIB_PB_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/arena.h"
#include "lib/err.h"

#define PB_DEPTH_MAX 8
#define PB_FIELDS_MAX 65536          /* fields in one message, nested ones included */

/* Unpacks into the arena. ERR_INVALID with "field name: why" for: truncation, depth over PB_DEPTH_MAX, more than PB_FIELDS_MAX fields,
 * a field unknown to the descriptor, a wrong wire type, a number that does not fit its field, a singular field that occurs twice, bad UTF-8 or an
 * embedded NUL in a string. ERR_NOMEM at the arena's bound. The path of a nested field is written "publish.items.content". bytes may be NULL when n is 0.
 * Enum numbers and required fields are left to pb_check and the rules. The message lives as long as the arena. */
int pb_unpack(const ProtobufCMessageDescriptor *type, const void *bytes, size_t n, struct arena *arena, void *ret_message, struct err *err);
/* The scan alone: allocates nothing. */
int pb_scan(const ProtobufCMessageDescriptor *type, const void *bytes, size_t n, struct err *err);
/* As pb_unpack for bytes that we wrote ourselves and whose hash was checked: no scan. ERR_CORRUPT, ERR_NOMEM. */
int pb_unpack_own(const ProtobufCMessageDescriptor *type, const void *bytes, size_t n, struct arena *arena, void *ret_message);
/* The top level of such bytes without unpacking them: ret_fields[i] becomes the last value of field number i, for all i < n_fields; what has another number is passed over. bytes are borrowed;
 * number is as it stands on the wire (a sint64 in zigzag). Neither types nor text are checked. ERR_CORRUPT: no message. */
struct pb_peek { bool there; uint64_t number; const uint8_t *bytes; size_t n; };
int pb_peek(const uint8_t *bytes, size_t n, size_t n_fields, struct pb_peek *ret_fields);
/* Packs into arena memory. ERR_NOMEM. */
int pb_pack(const void *message, struct arena *arena, uint8_t **ret_bytes, size_t *ret_n);
/* A new empty message of that type in the arena; NULL without memory. */
void *pb_new(const ProtobufCMessageDescriptor *type, struct arena *arena);
#define PB_NEW(arena, Type, lower) ((Type *)pb_new(&lower##__descriptor, (arena)))

/* Values that are out of range whatever the type (domain.md 3.1, 3.4 invalid-value): enum numbers that the descriptor does not have,
 * Dates and Moments outside 1900-2199 or empty, text over 2,000 characters (code points) and control characters other than tab and newline,
 * non-finite numbers, and the number that stands for one its field cannot hold (UINT32_MAX, INT32_MIN and so on). Control characters are those of Unicode (C0, DEL, C1). Bytes fields are not looked into. ERR_INVALID with "field: why", never the value.
 * Recurses into submessages, bounded by PB_DEPTH_MAX. */
int pb_check(const void *message, struct err *err);
/* The same, with `name.` before the field in errors: pb_check_at("data", …) says "data.from_date: not a date (YYYY-MM-DD)". */
int pb_check_at(const char *name, const void *message, struct err *err);
/* What is wrong with a value that is none of an enum's: "not one of A, B, C", cut to fit. */
#define PB_NAMES_ROOM 256
const char *pb_not_one_of(const ProtobufCEnumDescriptor *names, char room[PB_NAMES_ROOM]);
#define TEXT_MAX 2000

/* 1 if the field of that name is set and not empty (text, bytes, repeated); 0 if not, or if the type has no such field. For the catalogue's lists of required fields. */
int pb_has(const void *message, const char *field);

#endif
