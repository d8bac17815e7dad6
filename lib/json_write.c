/* Messages to JSON, by descriptor and straight into the buffer. */
#include <string.h>

#include "lib/civil.h"
#include "lib/json.h"
#include "lib/json_tree.h"
#include "lib/pb_field.h"

static void put_message(struct buf *out, const ProtobufCMessage *message);

/* In quotes; the text needs no escapes. */
static void put_plain(struct buf *out, const char *text)
{
	(void)buf_text(out, "\"");
	(void)buf_text(out, text);
	(void)buf_text(out, "\"");
}

static void put_enum(struct buf *out, const ProtobufCEnumDescriptor *type, int number)
{
	const ProtobufCEnumValue *value = protobuf_c_enum_descriptor_get_value(type, number);
	if (value != NULL)
		put_plain(out, value->name);
	else
		json_put_int(out, number);
}

static void put_special(struct buf *out, const ProtobufCMessage *message, enum pb_special special)
{
	char text[CIVIL_MOMENT_SIZE];
	int64_t days, ms;
	bool has_days = special != PB_MOMENT && pb_special_get(message, 1, &days);
	bool has_ms = special != PB_DATE && pb_special_get(message, special == PB_WHEN ? 2 : 1, &ms);

	if (has_days && !has_ms && days >= CIVIL_MIN && days <= CIVIL_MAX)
		put_plain(out, civil_format_date((civil_date)days, text));
	else if (has_ms && !has_days && ms >= MOMENT_MIN && ms < MOMENT_MAX)
		put_plain(out, civil_format_moment(ms, text));
	else
		(void)buf_text(out, "null");
}

static void put_number(struct buf *out, const ProtobufCFieldDescriptor *field, const uint8_t *at)
{
	switch (field->type) {
	case PROTOBUF_C_TYPE_BOOL:
		(void)buf_text(out, PB_AT(protobuf_c_boolean, at) ? "true" : "false");
		break;
	case PROTOBUF_C_TYPE_ENUM:
		put_enum(out, field->descriptor, PB_AT(int, at));
		break;
	case PROTOBUF_C_TYPE_FLOAT:
		json_put_real(out, (double)PB_AT(float, at));
		break;
	case PROTOBUF_C_TYPE_DOUBLE:
		json_put_real(out, PB_AT(double, at));
		break;
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_FIXED32:
		json_put_uint(out, PB_AT(uint32_t, at));
		break;
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
		json_put_uint(out, PB_AT(uint64_t, at));
		break;
	default:
		json_put_int(out, pb_value_size(field->type) == 4 ? PB_AT(int32_t, at) : PB_AT(int64_t, at));
		break;
	}
}

static void put_value(struct buf *out, const ProtobufCFieldDescriptor *field, const uint8_t *at)
{
	if (field->type == PROTOBUF_C_TYPE_MESSAGE) {
		enum pb_special special = pb_special(field->descriptor);
		const ProtobufCMessage *message = PB_AT(ProtobufCMessage *, at);
		if (special == PB_PLAIN)
			put_message(out, message);
		else
			put_special(out, message, special);
	} else if (field->type == PROTOBUF_C_TYPE_STRING) {
		(void)json_quote(out, PB_AT(char *, at));
	} else if (field->type == PROTOBUF_C_TYPE_BYTES) {
		ProtobufCBinaryData data = PB_AT(ProtobufCBinaryData, at);
		json_put_base64(out, data.data, data.len, true);
	} else {
		put_number(out, field, at);
	}
}

static void put_array(struct buf *out, const ProtobufCFieldDescriptor *field, struct pb_values values)
{
	(void)buf_text(out, "[");
	for (size_t i = 0; i < values.n; i++) {
		if (i > 0)
			(void)buf_text(out, ",");
		put_value(out, field, values.first + i * values.size);
	}
	(void)buf_text(out, "]");
}

/* A publisher never says "then": [], and a candidate is not to see that there was one. */
static bool left_out_when_empty(const ProtobufCMessageDescriptor *type, const ProtobufCFieldDescriptor *field)
{
	return strcmp(field->name, "then") == 0 && strcmp(type->name, "reentry.HandoverOffered") == 0;
}

/* As deep as the types nest: none of ours is recursive. */
static void put_message(struct buf *out, const ProtobufCMessage *message)
{
	const ProtobufCMessageDescriptor *type = message->descriptor;
	const char *separator = "{";
	for (unsigned f = 0; f < type->n_fields; f++) {
		const ProtobufCFieldDescriptor *field = &type->fields[f];
		struct pb_values values = pb_values(message, field);
		bool repeated = field->label == PROTOBUF_C_LABEL_REPEATED;
		if (values.n == 0 && (!repeated || left_out_when_empty(type, field)))
			continue;
		(void)buf_text(out, separator);
		separator = ",";
		put_plain(out, field->name);
		(void)buf_text(out, ":");
		if (repeated)
			put_array(out, field, values);
		else
			put_value(out, field, values.first);
	}
	(void)buf_text(out, *separator == '{' ? "{}" : "}");
}

int json_from_message(struct buf *out, const void *message)
{
	size_t n = out->n;
	put_message(out, message);
	if (out->error != 0)
		json_rewind(out, n);
	return out->error;
}
