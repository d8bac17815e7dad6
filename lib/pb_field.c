#include "lib/pb_field.h"

#include <stdio.h>

size_t pb_value_size(ProtobufCType type)
{
	static const uint8_t size[] = {
		[PROTOBUF_C_TYPE_INT32] = 4,    [PROTOBUF_C_TYPE_SINT32] = 4,  [PROTOBUF_C_TYPE_SFIXED32] = 4,
		[PROTOBUF_C_TYPE_INT64] = 8,    [PROTOBUF_C_TYPE_SINT64] = 8,  [PROTOBUF_C_TYPE_SFIXED64] = 8,
		[PROTOBUF_C_TYPE_UINT32] = 4,   [PROTOBUF_C_TYPE_FIXED32] = 4, [PROTOBUF_C_TYPE_UINT64] = 8,
		[PROTOBUF_C_TYPE_FIXED64] = 8,  [PROTOBUF_C_TYPE_FLOAT] = 4,   [PROTOBUF_C_TYPE_DOUBLE] = 8,
		[PROTOBUF_C_TYPE_ENUM] = sizeof(int),
		[PROTOBUF_C_TYPE_BOOL] = sizeof(protobuf_c_boolean),
		[PROTOBUF_C_TYPE_STRING] = sizeof(char *),
		[PROTOBUF_C_TYPE_BYTES] = sizeof(ProtobufCBinaryData),
		[PROTOBUF_C_TYPE_MESSAGE] = sizeof(ProtobufCMessage *),
	};
	return size[type];
}

static bool is_pointer(ProtobufCType type)
{
	return type == PROTOBUF_C_TYPE_STRING || type == PROTOBUF_C_TYPE_MESSAGE;
}

struct pb_values pb_values(const void *message, const ProtobufCFieldDescriptor *field)
{
	const uint8_t *base = message;
	struct pb_values values = {.first = base + field->offset, .n = 1, .size = pb_value_size(field->type)};

	if (field->label == PROTOBUF_C_LABEL_REPEATED) {
		values.n = PB_AT(size_t, base + field->quantifier_offset);
		values.first = PB_AT(uint8_t *, values.first);
	} else if (is_pointer(field->type)) {
		values.n = PB_AT(void *, values.first) != NULL;
	} else if (field->label == PROTOBUF_C_LABEL_OPTIONAL) {
		values.n = PB_AT(protobuf_c_boolean, base + field->quantifier_offset) != 0;
	}
	return values;
}

enum pb_special pb_special(const ProtobufCMessageDescriptor *type)
{
	static const struct { const char *name; enum pb_special special; } specials[] = {
		{"reentry.Date", PB_DATE}, {"reentry.Moment", PB_MOMENT}, {"reentry.When", PB_WHEN},
	};
	if (type->n_fields > 2)
		return PB_PLAIN;
	for (size_t i = 0; i < sizeof specials / sizeof *specials; i++)
		if (strcmp(type->name, specials[i].name) == 0)
			return specials[i].special;
	return PB_PLAIN;
}

bool pb_special_get(const ProtobufCMessage *message, unsigned id, int64_t *ret_value)
{
	const ProtobufCFieldDescriptor *field = protobuf_c_message_descriptor_get_field(message->descriptor, id);
	if (field == NULL)
		return false;
	struct pb_values values = pb_values(message, field);
	if (values.n == 0)
		return false;
	*ret_value = values.size == 4 ? PB_AT(int32_t, values.first) : PB_AT(int64_t, values.first);
	return true;
}

size_t pb_utf8_size(const uint8_t *at, size_t n)
{
	static const struct { uint8_t mask, lead; uint32_t min; } shapes[] = {
		{0xe0, 0xc0, 0x80}, {0xf0, 0xe0, 0x800}, {0xf8, 0xf0, 0x10000},
	};
	if (at[0] < 0x80)
		return 1;
	for (size_t more = 1; more <= 3; more++) {
		if ((at[0] & shapes[more - 1].mask) != shapes[more - 1].lead)
			continue;
		if (n <= more)
			return 0;
		uint32_t code = at[0] & (uint8_t)~shapes[more - 1].mask;
		for (size_t i = 1; i <= more; i++) {
			if ((at[i] & 0xc0) != 0x80)
				return 0;
			code = code << 6 | (at[i] & 0x3f);
		}
		bool surrogate = code >= 0xd800 && code <= 0xdfff;
		return code < shapes[more - 1].min || code > 0x10ffff || surrogate ? 0 : more + 1;
	}
	return 0;
}

bool pb_path_push(struct pb_path *path, const char *name)
{
	if ((size_t)path->depth == sizeof path->name / sizeof *path->name)
		return false;
	path->name[path->depth++] = name;
	return true;
}

void pb_path_pop(struct pb_path *path)
{
	path->depth--;
}

/* How many bytes of a name are shown: never half a character, since the text may travel on in a string field. */
static int shown(const char *name)
{
	size_t n = strnlen(name, PB_NAME_SHOWN + 1);
	if (n > PB_NAME_SHOWN)
		for (n = PB_NAME_SHOWN; n > 0 && ((uint8_t)name[n] & 0xc0) == 0x80; n--)
			;
	return (int)n;
}

int pb_path_fail(const struct pb_path *path, const char *last, const char *why, int code, struct err *err)
{
	char text[(PB_DEPTH_MAX + 3) * (PB_NAME_SHOWN + 1) + 1] = "";
	size_t n = 0;

	if (err == NULL)
		return code;
	for (int i = 0; i < path->depth + (last != NULL); i++) {
		const char *name = i < path->depth ? path->name[i] : last;
		int size = shown(name);
		n += (size_t)snprintf(text + n, sizeof text - n, "%s%.*s", n > 0 ? "." : "", size, name);
	}
	if (n == 0)
		return err_set(err, code, "%s", why);
	return err_set(err, code, "%s: %s", text, why);
}
