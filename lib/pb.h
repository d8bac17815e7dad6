/* Protocol Buffers taken from hostile bytes (design.md 3): first a scan of the wire form with bounds, then unpack with an
 * arena that has a bound, then a check of what was read. Never an assert on what came from outside. */
#ifndef LIB_PB_H
#define LIB_PB_H

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/arena.h"
#include "lib/err.h"

#define PB_DEPTH_MAX 8
#define PB_FIELDS_MAX 65536          /* fields in one message, nested ones included */

/* Unpacks into the arena. ERR_INVALID with "field name: why" for: truncation, depth over PB_DEPTH_MAX, more than PB_FIELDS_MAX fields,
 * a field unknown to the descriptor, a wrong wire type, a singular field that occurs twice, bad UTF-8 or an embedded NUL in a string. ERR_NOMEM at the arena's bound.
 * Enum numbers and required fields are left to pb_check and the rules. The message lives as long as the arena. */
int pb_unpack(const ProtobufCMessageDescriptor *type, const void *bytes, size_t n, struct arena *arena, void *ret_message, struct err *err);
/* As pb_unpack for bytes that we wrote ourselves and whose hash was checked: no scan. ERR_CORRUPT. */
int pb_unpack_own(const ProtobufCMessageDescriptor *type, const void *bytes, size_t n, struct arena *arena, void *ret_message);
/* Packs into arena memory. */
int pb_pack(const void *message, struct arena *arena, uint8_t **ret_bytes, size_t *ret_n);
/* A new empty message of that type in the arena; NULL without memory. */
void *pb_new(const ProtobufCMessageDescriptor *type, struct arena *arena);
#define PB_NEW(arena, Type, lower) ((Type *)pb_new(&lower##__descriptor, (arena)))

/* Values that are out of range whatever the type (domain.md 3.1, 3.4 invalid-value): enum numbers that the descriptor does not have,
 * Dates and Moments outside 1900-2199 or empty, text over 2,000 characters (code points) and control characters other than tab and newline,
 * non-finite numbers. ERR_INVALID with "field: why". Recurses into submessages, bounded by PB_DEPTH_MAX. */
int pb_check(const void *message, struct err *err);
#define TEXT_MAX 2000

/* Presence of a field by name: set, non-empty. For the catalogue's lists of required fields. NULL descriptor field: false. */
int pb_has(const void *message, const char *field);

#endif
