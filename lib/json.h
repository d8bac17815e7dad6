/* JSON <-> Protocol Buffers by descriptor, and the two JSON contracts of design.md 5: the event (CloudEvents 1.0, NL GOV profile) and the receipt.
 * jansson stays inside json_tree.c. Output is UTF-8, one line, keys in a fixed order; a function that fails to write leaves `out` as it was.
 * Input is at most 4 MiB (ERR_TOOBIG), nested at most 16 deep; no member may occur twice; errors name members, never values. */
#ifndef LIB_JSON_H
#define LIB_JSON_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/clock.h"
#include "lib/err.h"

/* Any message to a JSON object, fields in order of the .proto: fields that are set, and every repeated field also when empty (except
 * HandoverOffered.then, which is left out when empty); enums as names, Date/Moment/When as text, int64/uint64 as numbers, bytes as base64url without padding.
 * What pb_check would refuse is still written as JSON: an enum number without a name as that number, a Date or Moment out of range as null. ERR_NOMEM. */
int json_from_message(struct buf *out, const void *message);
/* A JSON object to a message (a pointer to it, in the arena; its strings are in the arena too). ERR_INVALID, "data.field: why", for unknown members, wrong JSON
 * types (3.0 is no whole number), null, duplicates, NUL. A string that is no name of the enum, no date or no moment, and a whole number that its field
 * cannot hold, are no error here but become an out-of-range value (enum -1, Date/Moment/signed INT*_MIN, unsigned UINT*_MAX), so that the broker can
 * answer invalid-value in its turn. */
int json_to_message(const char *text, size_t n, const ProtobufCMessageDescriptor *type, struct arena *arena, void *ret_message, struct err *err);

/* How the codec learns the payload of a type: rules/catalogue.h provides it (NULL: unknown type). */
typedef const ProtobufCMessageDescriptor *json_payload_of(const char *type);

/* What stands in a JSON event beside the Event message itself. */
struct json_event {
	struct Reentry__Event *event;   /* with data packed */
	bool has_time; moment time;
	uint64_t sequence;               /* 0: left out */
	bool has_recorded; moment recorded_at;
	int phase;                       /* Phase.Value; 0: left out */
	const char *municipality;        /* NULL: left out */
	const char *source_oin;          /* 20 digits; NULL: "00000000000000000000" */
	const char *order;               /* not NULL: erased by this order; "data" is left out and "erased" written instead */
};
/* Reads one JSON event (design.md 5): everything but type, subject and data may be left out; type may be the short name; source may be the URN or left out;
 * unknown members are ERR_INVALID and named. An unknown type is no error here: data is then kept empty (the broker answers unknown-type). Arena owns the result.
 * Without data, or with {}, has_data is not set. event->type is the short name, event->source the agency id. What says the default says nothing, so that the same
 * event is the same bytes: op NEW and priority NORMAL are left unset. ids are 1-64 of [A-Za-z0-9._-]. Errors: "id: why", "data.needs.status: why". */
int json_event_read(const char *text, size_t n, json_payload_of *payload_of, struct arena *arena, struct json_event *ret_event, struct err *err);
/* Writes one JSON object, keys in the order of design.md 5: specversion id source type subject time datacontenttype sequence recordedtime phase op target slotversion
 * priority sanction municipality causationid data (or erased). op, priority always written (phase too when known). event->event may be NULL (erased).
 * A payload that cannot be read here (a type or a field newer than this program) is written as CloudEvents "data_base64", with datacontenttype
 * "application/protobuf", so that nothing is stuck for ever behind it. ERR_NOMEM. */
int json_event_write(struct buf *out, const struct json_event *event, json_payload_of *payload_of);

/* {"id":…,"result":…,"sequence":"20 digits","code":…,"detail":…} */
struct json_receipt { const char *id; const char *result; uint64_t sequence; const char *code, *detail; }; /* sequence 0, NULL: left out */
int json_receipt_write(struct buf *out, const struct json_receipt *receipt);

/* A JSON string literal with quotes; what is not UTF-8 in text becomes U+FFFD. (Not the linker's json_string: jansson has a function of that name.) */
int json_quote(struct buf *out, const char *text);
static inline int json_string(struct buf *out, const char *text)
{
	return json_quote(out, text);
}

/* A small reader for objects of our own tools (rehearsal lines, control requests). Values are borrowed from the arena. */
enum json_kind { JSON_NULL, JSON_BOOL, JSON_INT, JSON_REAL, JSON_STRING, JSON_OBJECT, JSON_ARRAY };
struct json_value { enum json_kind kind; bool boolean; int64_t integer; double real; const char *text; size_t n; const char *raw; size_t raw_n; struct json_value *items; };
struct json_member { const char *name; struct json_value value; };
/* The members of one object, in their order; ERR_INVALID with line/column. For OBJECT and ARRAY, raw is their compact JSON text (NUL-terminated); arrays have items/n.
 * STRING: text is NUL-terminated, n its bytes. OBJECT: n members; read raw to see them. */
int json_object_read(const char *text, size_t n, struct arena *arena, struct json_member **ret_members, size_t *ret_n, struct err *err);

#endif
