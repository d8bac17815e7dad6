/* What no rule would ever accept, whatever the type: checked once here instead of in every rule. */
#include <math.h>
#include <stdio.h>

#include "lib/civil.h"
#include "lib/pb_field.h"

static bool date_in_range(int64_t days)
{
	return days >= CIVIL_MIN && days <= CIVIL_MAX;
}

static bool moment_in_range(int64_t ms)
{
	return ms >= MOMENT_MIN && ms < MOMENT_MAX;
}

/* INT32_MIN and INT64_MIN stand for text that was no date or moment (lib/json.h). */
static const char *special_problem(enum pb_special special, const ProtobufCMessage *message)
{
	int64_t days = INT32_MIN, ms = INT64_MIN;
	bool has_days = special != PB_MOMENT && pb_special_get(message, 1, &days);
	bool has_ms = special != PB_DATE && pb_special_get(message, special == PB_WHEN ? 2 : 1, &ms);

	if (has_days == has_ms || (has_days && days == INT32_MIN) || (has_ms && ms == INT64_MIN)) {
		static const char *const what[] = {
			[PB_DATE] = "not a date (YYYY-MM-DD)",
			[PB_MOMENT] = "not a moment (RFC 3339, such as 2027-02-25T10:00:00Z)",
			[PB_WHEN] = "not a date (YYYY-MM-DD) or a moment (RFC 3339)",
		};
		return what[special];
	}
	if (has_days ? !date_in_range(days) : !moment_in_range(ms))
		return "outside the years 1900 to 2199";
	return NULL;
}

/* C0 but tab and newline, DEL, and C1: what steers a terminal has no place in what a person will read there. */
static const char *text_problem(const char *text)
{
	const uint8_t *at = (const uint8_t *)text, *end = at + strlen(text);
	size_t characters = 0;
	while (at < end && characters <= TEXT_MAX) {
		const size_t plain = pb_plain(at, (size_t)(end - at));
		at += plain;
		characters += plain;
		if (at == end)
			break;
		characters += (*at & 0xc0) != 0x80;
		bool c0 = *at < 0x20 && *at != '\t' && *at != '\n';
		if (c0 || *at == 0x7f || (at[0] == 0xc2 && at[1] >= 0x80 && at[1] < 0xa0))
			return "a control character in text";
		at++;
	}
	return characters > TEXT_MAX ? "longer than 2000 characters" : NULL;
}

/* The lowest signed and the highest unsigned number stand for one that the field could not hold (lib/json.h). */
static bool no_number(ProtobufCType type, const uint8_t *at)
{
	switch (type) {
	case PROTOBUF_C_TYPE_UINT32: case PROTOBUF_C_TYPE_FIXED32:
		return PB_AT(uint32_t, at) == UINT32_MAX;
	case PROTOBUF_C_TYPE_INT32: case PROTOBUF_C_TYPE_SINT32: case PROTOBUF_C_TYPE_SFIXED32:
		return PB_AT(int32_t, at) == INT32_MIN;
	case PROTOBUF_C_TYPE_UINT64: case PROTOBUF_C_TYPE_FIXED64:
		return PB_AT(uint64_t, at) == UINT64_MAX;
	case PROTOBUF_C_TYPE_INT64: case PROTOBUF_C_TYPE_SINT64: case PROTOBUF_C_TYPE_SFIXED64:
		return PB_AT(int64_t, at) == INT64_MIN;
	default:
		return false;
	}
}

const char *pb_not_one_of(const ProtobufCEnumDescriptor *names, char room[PB_NAMES_ROOM])
{
	int used = snprintf(room, PB_NAMES_ROOM, "not one of");
	for (unsigned i = 0; i < names->n_values && used >= 0 && used < PB_NAMES_ROOM; i++)
		used += snprintf(room + used, (size_t)(PB_NAMES_ROOM - used), "%s %s", i > 0 ? "," : "", names->values[i].name);
	return room;
}

static const char *value_problem(const ProtobufCFieldDescriptor *field, const uint8_t *at, char room[PB_NAMES_ROOM])
{
	switch (field->type) {
	case PROTOBUF_C_TYPE_ENUM:
		return protobuf_c_enum_descriptor_get_value(field->descriptor, PB_AT(int, at)) != NULL ? NULL : pb_not_one_of(field->descriptor, room);
	case PROTOBUF_C_TYPE_STRING:
		return text_problem(PB_AT(char *, at));
	case PROTOBUF_C_TYPE_FLOAT:
		return isfinite(PB_AT(float, at)) ? NULL : "not a finite number";
	case PROTOBUF_C_TYPE_DOUBLE:
		return isfinite(PB_AT(double, at)) ? NULL : "not a finite number";
	default:
		return no_number(field->type, at) ? "a number outside its range" : NULL;
	}
}

static int check_message(const ProtobufCMessage *message, struct pb_path *path, struct err *err);

static int check_value(const ProtobufCFieldDescriptor *field, const uint8_t *at, struct pb_path *path, struct err *err)
{
	const char *problem;
	char room[PB_NAMES_ROOM];
	if (field->type == PROTOBUF_C_TYPE_MESSAGE) {
		const ProtobufCMessage *message = PB_AT(ProtobufCMessage *, at);
		enum pb_special special = pb_special(field->descriptor);
		if (special == PB_PLAIN) {
			if (!pb_path_push(path, field->name))
				return pb_path_fail(path, field->name, "nested too deep", ERR_INVALID, err);
			int error = check_message(message, path, err);
			pb_path_pop(path);
			return error;
		}
		problem = special_problem(special, message);
	} else {
		problem = value_problem(field, at, room);
	}
	return problem == NULL ? 0 : pb_path_fail(path, field->name, problem, ERR_INVALID, err);
}

static int check_message(const ProtobufCMessage *message, struct pb_path *path, struct err *err)
{
	const ProtobufCMessageDescriptor *type = message->descriptor;
	int error = 0;
	for (unsigned f = 0; f < type->n_fields && error == 0; f++) {
		struct pb_values values = pb_values(message, &type->fields[f]);
		for (size_t i = 0; i < values.n && error == 0; i++)
			error = check_value(&type->fields[f], values.first + i * values.size, path, err);
	}
	return error;
}

int pb_check_at(const char *name, const void *message, struct err *err)
{
	struct pb_path path = {.depth = 0};
	if (name != NULL)
		(void)pb_path_push(&path, name); /* the first always fits */
	return check_message(message, &path, err);
}

int pb_check(const void *message, struct err *err)
{
	return pb_check_at(NULL, message, err);
}
