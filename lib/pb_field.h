/* Walking a message by its descriptor; shared by lib/pb*.c, lib/json*.c and their tests, nobody else. */
#ifndef LIB_PB_FIELD_H
#define LIB_PB_FIELD_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "lib/err.h"
#include "lib/pb.h"

/* The values of a field in one shape, whether it is singular or repeated. n is 0 when it is not set. Value i lies at
 * first + i * size, as the C type that protobuf-c has for it. No field of ours is in a oneof. */
struct pb_values {
	const uint8_t *first;
	size_t n, size;
};
struct pb_values pb_values(const void *message, const ProtobufCFieldDescriptor *field);
/* Bytes that one value takes in the C struct. */
size_t pb_value_size(ProtobufCType type);

/* The value at a place that pb_values gave: PB_AT(int32_t, at), PB_AT(char *, at). */
#define PB_AT(type, at) (*(type const *)(const void *)(at))

/* Which of our value messages a type is; they are written as text in JSON. By name, so that lib/ needs no generated code. */
enum pb_special { PB_PLAIN, PB_DATE, PB_MOMENT, PB_WHEN };
enum pb_special pb_special(const ProtobufCMessageDescriptor *type);
/* The value of field number `id` of a Date, Moment or When. False: not set. */
bool pb_special_get(const ProtobufCMessage *message, unsigned id, int64_t *ret_value);

/* Bytes of the UTF-8 character at `at`, of which n >= 1 bytes are there; 0 if it is none: no overlong forms, no surrogates, nothing above U+10FFFF. */
size_t pb_utf8_size(const uint8_t *at, size_t n);

/* How many of the n bytes at `at` are certainly all printable ASCII (0x20 to 0x7e), as nearly all text is: sixteen steps in one, so a few at the end are left to the caller. */
static inline size_t pb_plain(const uint8_t *at, size_t n)
{
	typedef int8_t lanes __attribute__((vector_size(16)));
	size_t done = 0;

	while (n - done >= sizeof(lanes)) {
		union { lanes each; uint64_t halves[2]; } bytes, odd;

		memcpy(&bytes, at + done, sizeof bytes);
		odd.each = (bytes.each < 0x20) | (bytes.each == 0x7f); /* signed: what begins at 0x80 is below as well */
		if (odd.halves[0] | odd.halves[1])
			break;
		done += sizeof(lanes);
	}
	return done;
}

/* The names of the fields around what is being looked at: "data.needs.from_date". */
struct pb_path {
	const char *name[PB_DEPTH_MAX + 2];
	int depth;
};
/* False when it is as deep as it may be; names are borrowed. */
bool pb_path_push(struct pb_path *path, const char *name);
void pb_path_pop(struct pb_path *path);
/* Sets err to "a.b.last: why" and returns code. last may be NULL; it may come from outside: it is cut to
 * PB_NAME_SHOWN bytes, at a character. */
int pb_path_fail(const struct pb_path *path, const char *last, const char *why, int code, struct err *err);
#define PB_NAME_SHOWN 64

#endif
