#include <string.h>

#include "lib/pb_codec.h"
#include "lib/pb_field.h"

#define ALIGN ((size_t)16)
#define TAG_MAX 5                  /* bytes, as protobuf-c has it; so the next */
#define LENGTH_MAX 5
#define PIECE ((size_t)4096)        /* of the arena that is taken at a time */

/* Memory is taken from the arena's end without asking it each time. */
struct reader { struct arena *arena; uint8_t *first, *free; size_t left; };

struct span { const uint8_t *at, *end; };

static bool refill(struct reader *r, size_t n)
{
	if (r->first != NULL)
		arena_keep(r->arena, (size_t)(r->free - r->first));
	r->first = r->free = arena_end(r->arena, n > PIECE ? n : PIECE, &r->left);
	if (r->first == NULL && n < PIECE)
		r->first = r->free = arena_end(r->arena, n, &r->left); /* close to the bound */
	return r->first != NULL;
}

/* The caller writes all n bytes. What is behind them up to the next piece is cleared, as the arena itself does it. */
static void *take(struct reader *r, size_t n)
{
	const size_t rounded = n == 0 ? ALIGN : (n + ALIGN - 1) & ~(ALIGN - 1);
	uint8_t *memory;

	if (rounded < n || (r->left < rounded && !refill(r, rounded)))
		return NULL;
	memory = r->free;
	r->free += rounded;
	r->left -= rounded;
	memset(r->free - ALIGN, 0, ALIGN);
	return memory;
}

/* --- the wire ------------------------------------------------------------------------------------------------------- */

static bool get_long_varint(struct span *in, uint64_t *ret_value)
{
	uint64_t value = 0;

	for (unsigned shift = 0; shift < 63 && in->at < in->end; shift += 7) {
		const uint8_t byte = *in->at++;

		value |= (uint64_t)(byte & 0x7f) << shift;
		if (byte < 0x80) {
			*ret_value = value;
			return true;
		}
	}
	if (in->at == in->end || *in->at > 1)
		return false; /* cut off, or more than 64 bits */
	*ret_value = value | (uint64_t)*in->at++ << 63;
	return true;
}

/* Most have one byte. */
static inline bool get_varint(struct span *in, uint64_t *ret_value)
{
	if (in->at == in->end || *in->at >= 0x80)
		return get_long_varint(in, ret_value);
	*ret_value = *in->at++;
	return true;
}

static bool get_span(struct span *in, struct span *ret_span)
{
	const uint8_t *begin = in->at;
	uint64_t n;

	if (!get_varint(in, &n) || in->at - begin > LENGTH_MAX || n > (uint64_t)(in->end - in->at) || n > INT32_MAX)
		return false;
	*ret_span = (struct span){ in->at, in->at + n };
	in->at += n;
	return true;
}

static bool skip(struct span *in, unsigned wire)
{
	struct span span;
	uint64_t value;

	return wire == PROTOBUF_C_WIRE_TYPE_VARINT ? get_varint(in, &value) : get_span(in, &span);
}

/* So many values of one field follow each other, the first one behind its tag. */
static size_t count_run(struct span in, uint64_t tag)
{
	size_t n = 0;
	uint64_t next = tag;

	while (next == tag && skip(&in, tag & 7)) {
		n++;
		if (!get_varint(&in, &next))
			break;
	}
	return n;
}

/* --- values --------------------------------------------------------------------------------------------------------- */

static int64_t unzigzag(uint64_t value)
{
	return (int64_t)(value >> 1 ^ -(value & 1));
}

static bool set_number(ProtobufCType type, uint64_t value, uint8_t *place)
{
	const int32_t half = (int32_t)(uint32_t)(type == PROTOBUF_C_TYPE_SINT32 ? (uint64_t)unzigzag((uint32_t)value) : value);
	const int64_t whole = type == PROTOBUF_C_TYPE_SINT64 ? unzigzag(value) : (int64_t)value;
	const protobuf_c_boolean truth = value != 0;

	switch (type) {
	case PROTOBUF_C_TYPE_ENUM:
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_SINT32:
		memcpy(place, &half, sizeof half);
		return true;
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_SINT64:
		memcpy(place, &whole, sizeof whole);
		return true;
	case PROTOBUF_C_TYPE_BOOL:
		memcpy(place, &truth, sizeof truth);
		return true;
	default:
		return false;
	}
}

static bool set_text(struct reader *r, const struct span *span, uint8_t *place)
{
	const size_t n = (size_t)(span->end - span->at);
	char *text = take(r, n + 1);

	if (text == NULL)
		return false;
	memcpy(text, span->at, n);
	text[n] = '\0';
	memcpy(place, &text, sizeof text);
	return true;
}

static bool set_bytes(struct reader *r, const struct span *span, uint8_t *place)
{
	ProtobufCBinaryData bytes = { .len = (size_t)(span->end - span->at) };

	if (bytes.len > 0) {
		bytes.data = take(r, bytes.len);
		if (bytes.data == NULL)
			return false;
		memcpy(bytes.data, span->at, bytes.len);
	}
	memcpy(place, &bytes, sizeof bytes);
	return true;
}

static bool read_message(struct reader *r, const ProtobufCMessageDescriptor *type, struct span in, ProtobufCMessage **ret_message);

static bool set_value(struct reader *r, const ProtobufCFieldDescriptor *field, unsigned wire, struct span *in, uint8_t *place)
{
	ProtobufCMessage *message;
	struct span span;
	uint64_t value;

	if (wire == PROTOBUF_C_WIRE_TYPE_VARINT)
		return get_varint(in, &value) && set_number(field->type, value, place);
	if (wire != PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED || !get_span(in, &span))
		return false;
	switch (field->type) {
	case PROTOBUF_C_TYPE_STRING:
		return set_text(r, &span, place);
	case PROTOBUF_C_TYPE_BYTES:
		return set_bytes(r, &span, place);
	case PROTOBUF_C_TYPE_MESSAGE:
		if (!read_message(r, field->descriptor, span, &message))
			return false;
		memcpy(place, &message, sizeof message);
		return true;
	default:
		return false;
	}
}

/* --- fields --------------------------------------------------------------------------------------------------------- */

static bool read_optional(struct reader *r, const ProtobufCFieldDescriptor *field, unsigned wire, struct span *in, uint8_t *message)
{
	static const protobuf_c_boolean yes = 1;
	uint8_t *place = message + field->offset;

	if (field->default_value != NULL || (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0)
		return false;
	if (field->quantifier_offset == 0) {
		if (PB_AT(void *, place) != NULL)
			return false; /* a second one: protobuf-c knows which counts */
	} else {
		if (PB_AT(protobuf_c_boolean, message + field->quantifier_offset))
			return false;
		memcpy(message + field->quantifier_offset, &yes, sizeof yes);
	}
	return set_value(r, field, wire, in, place);
}

static bool read_packed(struct reader *r, const ProtobufCFieldDescriptor *field, struct span *in, uint8_t *message)
{
	const size_t size = pb_value_size(field->type);
	struct span span;
	uint64_t value;
	uint8_t *array;
	size_t n = 0;

	if (!get_span(in, &span))
		return false;
	for (const uint8_t *at = span.at; at < span.end; at++)
		n += *at < 0x80;
	if (n == 0)
		return span.at == span.end;
	array = take(r, n * size);
	if (array == NULL)
		return false;
	for (size_t i = 0; i < n; i++)
		if (!get_varint(&span, &value) || !set_number(field->type, value, array + i * size))
			return false;
	memcpy(message + field->offset, &array, sizeof array);
	memcpy(message + field->quantifier_offset, &n, sizeof n);
	return span.at == span.end;
}

/* Values of a repeated field stand together, as every packer writes them: the first of them reads them all. */
static bool read_repeated(struct reader *r, const ProtobufCFieldDescriptor *field, uint64_t tag, struct span *in, uint8_t *message)
{
	const size_t size = pb_value_size(field->type);
	uint8_t *array;
	size_t n;

	if (PB_AT(size_t, message + field->quantifier_offset) != 0)
		return false;
	if ((field->flags & PROTOBUF_C_FIELD_FLAG_PACKED) != 0)
		return (tag & 7) == PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED && read_packed(r, field, in, message);
	n = count_run(*in, tag);
	array = n > 0 ? take(r, n * size) : NULL;
	for (size_t i = 0; i < n && array != NULL; i++) {
		uint64_t again = tag;

		if ((i > 0 && !get_varint(in, &again)) || !set_value(r, field, tag & 7, in, array + i * size))
			return false;
	}
	memcpy(message + field->offset, &array, sizeof array);
	memcpy(message + field->quantifier_offset, &n, sizeof n);
	return array != NULL;
}

/* Fields come in the order of the descriptor: the next one is mostly the one behind the last. */
static const ProtobufCFieldDescriptor *find(const ProtobufCMessageDescriptor *type, uint64_t id, unsigned *at)
{
	for (unsigned i = *at; i < type->n_fields; i++)
		if (type->fields[i].id == id)
			return &type->fields[*at = i];
	for (unsigned i = 0; i < *at; i++)
		if (type->fields[i].id == id)
			return &type->fields[*at = i];
	return NULL;
}

static bool read_message(struct reader *r, const ProtobufCMessageDescriptor *type, struct span in, ProtobufCMessage **ret_message)
{
	ProtobufCMessage *message = type->message_init != NULL ? take(r, type->sizeof_message) : NULL;
	unsigned at = 0;
	uint64_t tag;

	if (message == NULL)
		return false;
	type->message_init(message);
	while (in.at < in.end) {
		const uint8_t *begin = in.at;
		const ProtobufCFieldDescriptor *field = get_varint(&in, &tag) && in.at - begin <= TAG_MAX ? find(type, tag >> 3, &at) : NULL;
		bool done = false;

		if (field != NULL && field->label == PROTOBUF_C_LABEL_OPTIONAL)
			done = read_optional(r, field, tag & 7, &in, (uint8_t *)message);
		else if (field != NULL && field->label == PROTOBUF_C_LABEL_REPEATED)
			done = read_repeated(r, field, tag, &in, (uint8_t *)message);
		if (!done)
			return false;
	}
	*ret_message = message;
	return true;
}

bool pb_read(const ProtobufCMessageDescriptor *type, const uint8_t *bytes, size_t n, struct arena *arena, ProtobufCMessage **ret_message)
{
	struct reader r = { .arena = arena };
	const bool done = read_message(&r, type, (struct span){ bytes, bytes + n }, ret_message);

	if (r.first != NULL)
		arena_keep(arena, (size_t)(r.free - r.first));
	return done;
}
