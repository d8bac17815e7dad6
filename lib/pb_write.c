#include <string.h>

#include "lib/pb_codec.h"
#include "lib/pb_field.h"

#define TAG_MAX 5
#define VARINT_MAX 10

static uint8_t *put_varint(uint64_t value, uint8_t *at)
{
	for (; value >= 0x80; value >>= 7)
		*at++ = (uint8_t)(value | 0x80);
	*at++ = (uint8_t)value;
	return at;
}

static uint64_t zigzag(int64_t value)
{
	return (uint64_t)value << 1 ^ (value < 0 ? UINT64_MAX : 0);
}

/* The number at `value` as its varint has it. False: a type that is not written as a varint. */
static bool number(ProtobufCType type, const uint8_t *value, uint64_t *ret_number)
{
	switch (type) {
	case PROTOBUF_C_TYPE_ENUM:
	case PROTOBUF_C_TYPE_INT32:
		*ret_number = (uint64_t)(int64_t)PB_AT(int32_t, value); /* a negative one takes ten bytes */
		return true;
	case PROTOBUF_C_TYPE_UINT32:
		*ret_number = PB_AT(uint32_t, value);
		return true;
	case PROTOBUF_C_TYPE_SINT32:
		*ret_number = zigzag(PB_AT(int32_t, value));
		return true;
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_UINT64:
		*ret_number = PB_AT(uint64_t, value);
		return true;
	case PROTOBUF_C_TYPE_SINT64:
		*ret_number = zigzag(PB_AT(int64_t, value));
		return true;
	case PROTOBUF_C_TYPE_BOOL:
		*ret_number = PB_AT(protobuf_c_boolean, value) != 0;
		return true;
	default:
		return false;
	}
}

static uint8_t *put_span(const void *bytes, size_t n, uint8_t *at, const uint8_t *end)
{
	if (n > INT32_MAX || (size_t)(end - at) < n + TAG_MAX)
		return NULL;
	at = put_varint(n, at);
	if (n > 0)
		memcpy(at, bytes, n);
	return at + n;
}

/* Puts the length before what stands behind one byte that was left for it. */
static uint8_t *put_length(uint8_t *at, uint8_t *behind, const uint8_t *end)
{
	const size_t n = (size_t)(behind - at) - 1;
	uint8_t length[VARINT_MAX];
	const size_t length_n = (size_t)(put_varint(n, length) - length);

	if (length_n > 1) {
		if (n > INT32_MAX || (size_t)(end - behind) < length_n - 1)
			return NULL;
		memmove(at + length_n, at + 1, n);
	}
	memcpy(at, length, length_n);
	return at + length_n + n;
}

static uint8_t *put_message(const ProtobufCMessage *message, uint8_t *at, uint8_t *end)
{
	uint8_t *behind = message == NULL ? at + 1 : pb_write(message, at + 1, end);

	return behind == NULL ? NULL : put_length(at, behind, end);
}

static uint8_t *put_tag(const ProtobufCFieldDescriptor *field, unsigned wire, uint8_t *at)
{
	return put_varint((uint64_t)field->id << 3 | wire, at);
}

static uint8_t *put_value(const ProtobufCFieldDescriptor *field, const uint8_t *value, uint8_t *at, uint8_t *end)
{
	const ProtobufCBinaryData *bytes;
	const char *text;
	uint64_t n;

	if (end - at < TAG_MAX + VARINT_MAX)
		return NULL;
	switch (field->type) {
	case PROTOBUF_C_TYPE_STRING:
		at = put_tag(field, PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED, at);
		text = PB_AT(char *, value);
		return put_span(text, text == NULL ? 0 : strlen(text), at, end);
	case PROTOBUF_C_TYPE_BYTES:
		at = put_tag(field, PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED, at);
		bytes = (const void *)value;
		return put_span(bytes->data, bytes->len, at, end);
	case PROTOBUF_C_TYPE_MESSAGE:
		at = put_tag(field, PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED, at);
		return put_message(PB_AT(ProtobufCMessage *, value), at, end);
	default:
		return number(field->type, value, &n) ? put_varint(n, put_tag(field, PROTOBUF_C_WIRE_TYPE_VARINT, at)) : NULL;
	}
}

static uint8_t *put_packed(const ProtobufCFieldDescriptor *field, const struct pb_values *values, uint8_t *at, uint8_t *end)
{
	uint8_t *length;
	uint64_t n;

	if (end - at <= TAG_MAX)
		return NULL;
	length = put_tag(field, PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED, at);
	at = length + 1;
	for (size_t i = 0; i < values->n; i++) {
		if (end - at < VARINT_MAX || !number(field->type, values->first + i * values->size, &n))
			return NULL;
		at = put_varint(n, at);
	}
	return put_length(length, at, end);
}

static uint8_t *put_repeated(const void *message, const ProtobufCFieldDescriptor *field, uint8_t *at, uint8_t *end)
{
	const struct pb_values values = pb_values(message, field);

	if (values.n > 0 && (field->flags & PROTOBUF_C_FIELD_FLAG_PACKED) != 0)
		return put_packed(field, &values, at, end);
	for (size_t i = 0; i < values.n && at != NULL; i++)
		at = put_value(field, values.first + i * values.size, at, end);
	return at;
}

static bool is_set(const uint8_t *base, const ProtobufCFieldDescriptor *field)
{
	if (field->type == PROTOBUF_C_TYPE_STRING || field->type == PROTOBUF_C_TYPE_MESSAGE) {
		const void *pointer = PB_AT(void *, base + field->offset);

		return pointer != NULL && pointer != field->default_value;
	}
	return PB_AT(protobuf_c_boolean, base + field->quantifier_offset) != 0;
}

uint8_t *pb_write(const ProtobufCMessage *message, uint8_t *at, uint8_t *end)
{
	const ProtobufCMessageDescriptor *type = message->descriptor;
	const uint8_t *base = (const uint8_t *)message;

	if (message->n_unknown_fields > 0 || at >= end)
		return NULL;
	for (const ProtobufCFieldDescriptor *field = type->fields, *behind = field + type->n_fields; field < behind && at != NULL; field++) {
		if (field->label == PROTOBUF_C_LABEL_REPEATED)
			at = PB_AT(size_t, base + field->quantifier_offset) > 0 ? put_repeated(message, field, at, end) : at;
		else if (field->label != PROTOBUF_C_LABEL_OPTIONAL || (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0)
			at = NULL;
		else if (is_set(base, field))
			at = put_value(field, base + field->offset, at, end);
	}
	return at;
}
