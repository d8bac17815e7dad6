/* JSON to messages, by descriptor. Wrong form is an error here; a wrong value becomes one that pb_check will refuse. */
#include "lib/json_parse.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "lib/civil.h"

struct parser {
	struct arena *arena;
	struct err *err;
	struct pb_path path;
	size_t values;      /* seen so far, bounded by PB_FIELDS_MAX as on the wire */
};

static int parse_message(struct parser *parser, const struct json_node *node, const ProtobufCMessageDescriptor *type, ProtobufCMessage **ret_message);

/* A number that does not fit becomes the one that pb_check refuses in that type. */
static int64_t fitting(ProtobufCType type, int64_t number)
{
	static const struct { int64_t min, max, none; } ranges[] = {
		[PROTOBUF_C_TYPE_INT32] = {INT32_MIN, INT32_MAX, INT32_MIN},   [PROTOBUF_C_TYPE_SINT32] = {INT32_MIN, INT32_MAX, INT32_MIN},
		[PROTOBUF_C_TYPE_SFIXED32] = {INT32_MIN, INT32_MAX, INT32_MIN}, [PROTOBUF_C_TYPE_UINT32] = {0, UINT32_MAX, UINT32_MAX},
		[PROTOBUF_C_TYPE_FIXED32] = {0, UINT32_MAX, UINT32_MAX},       [PROTOBUF_C_TYPE_INT64] = {INT64_MIN, INT64_MAX, INT64_MIN},
		[PROTOBUF_C_TYPE_SINT64] = {INT64_MIN, INT64_MAX, INT64_MIN},  [PROTOBUF_C_TYPE_SFIXED64] = {INT64_MIN, INT64_MAX, INT64_MIN},
		[PROTOBUF_C_TYPE_UINT64] = {0, INT64_MAX, -1},                 [PROTOBUF_C_TYPE_FIXED64] = {0, INT64_MAX, -1},
	};
	return number < ranges[type].min || number > ranges[type].max ? ranges[type].none : number;
}

static const char *set_number(const struct json_node *node, ProtobufCType type, uint8_t *at)
{
	if (type == PROTOBUF_C_TYPE_FLOAT || type == PROTOBUF_C_TYPE_DOUBLE) {
		float narrow = fabs(node->real) <= (double)FLT_MAX ? (float)node->real : INFINITY; /* for pb_check to refuse */
		if (node->kind != NODE_INT && node->kind != NODE_REAL)
			return "not a number";
		if (type == PROTOBUF_C_TYPE_FLOAT)
			memcpy(at, &narrow, sizeof narrow);
		else
			memcpy(at, &node->real, sizeof node->real);
		return NULL;
	}
	if (node->kind != NODE_INT)
		return "not a whole number";
	int64_t number = fitting(type, node->integer);
	if (pb_value_size(type) == 4) {
		uint32_t word = (uint32_t)number;
		memcpy(at, &word, sizeof word);
	} else {
		memcpy(at, &number, sizeof number);
	}
	return NULL;
}

static const char *set_enum(const struct json_node *node, const ProtobufCEnumDescriptor *type, uint8_t *at)
{
	if (node->kind != NODE_STRING)
		return "not text";
	const ProtobufCEnumValue *value = protobuf_c_enum_descriptor_get_value_by_name(type, node->text);
	int number = value != NULL ? value->value : -1;
	memcpy(at, &number, sizeof number);
	return NULL;
}

static int set_bytes(struct parser *parser, const struct json_node *node, uint8_t *at, const char **ret_problem)
{
	ProtobufCBinaryData data = {0, NULL};
	if (node->kind != NODE_STRING) {
		*ret_problem = "not text";
		return 0;
	}
	data.data = arena_alloc(parser->arena, node->n / 4 * 3 + 2);
	if (data.data == NULL)
		return ERR_NOMEM;
	if (!json_get_base64url(node->text, node->n, data.data, &data.len))
		*ret_problem = "not base64url";
	memcpy(at, &data, sizeof data);
	return 0;
}

static void set_optional(ProtobufCMessage *message, unsigned id, int64_t number)
{
	const ProtobufCFieldDescriptor *field = protobuf_c_message_descriptor_get_field(message->descriptor, id);
	uint8_t *base = (uint8_t *)message;
	protobuf_c_boolean yes = 1;
	int32_t narrow = (int32_t)number;
	memcpy(base + field->quantifier_offset, &yes, sizeof yes);
	if (pb_value_size(field->type) == 4)
		memcpy(base + field->offset, &narrow, sizeof narrow);
	else
		memcpy(base + field->offset, &number, sizeof number);
}

/* Text that is no date or moment becomes the lowest number there is: for pb_check to refuse, in its turn. */
static int set_special(struct parser *parser, const struct json_node *node, const ProtobufCFieldDescriptor *field, ProtobufCMessage **ret_message)
{
	enum pb_special special = pb_special(field->descriptor);
	ProtobufCMessage *message = pb_new(field->descriptor, parser->arena);
	civil_date days;
	moment ms;
	if (message == NULL)
		return ERR_NOMEM;
	if (special != PB_MOMENT && civil_parse_date(node->text, &days) == 0)
		set_optional(message, 1, days);
	else if (special != PB_DATE && civil_parse_moment(node->text, &ms) == 0)
		set_optional(message, special == PB_WHEN ? 2 : 1, ms);
	else
		set_optional(message, special == PB_WHEN ? 2 : 1, special == PB_DATE ? INT32_MIN : INT64_MIN);
	*ret_message = message;
	return 0;
}

static int set_message(struct parser *parser, const struct json_node *node, const ProtobufCFieldDescriptor *field, uint8_t *at, const char **ret_problem)
{
	ProtobufCMessage *message = NULL;
	int error;
	if (pb_special(field->descriptor) != PB_PLAIN) {
		if (node->kind != NODE_STRING) {
			*ret_problem = "not text";
			return 0;
		}
		error = set_special(parser, node, field, &message);
	} else {
		if (!pb_path_push(&parser->path, field->name)) {
			*ret_problem = "nested too deep";
			return 0;
		}
		error = parse_message(parser, node, field->descriptor, &message);
		pb_path_pop(&parser->path);
	}
	memcpy(at, &message, sizeof message);
	return error;
}

static int set_value(struct parser *parser, const struct json_node *node, const ProtobufCFieldDescriptor *field, uint8_t *at)
{
	const char *problem = NULL;
	int error = 0;

	if (++parser->values > PB_FIELDS_MAX)
		return pb_path_fail(&parser->path, field->name, "too many values in one message", ERR_INVALID, parser->err);
	if (node->kind == NODE_NULL) {
		problem = "null; leave out what is not there";
	} else if (field->type == PROTOBUF_C_TYPE_STRING) {
		problem = node->kind == NODE_STRING ? NULL : "not text";
		memcpy(at, &node->text, sizeof node->text);
	} else if (field->type == PROTOBUF_C_TYPE_BOOL) {
		protobuf_c_boolean boolean = node->boolean;
		problem = node->kind == NODE_BOOL ? NULL : "not true or false";
		memcpy(at, &boolean, sizeof boolean);
	} else if (field->type == PROTOBUF_C_TYPE_ENUM) {
		problem = set_enum(node, field->descriptor, at);
	} else if (field->type == PROTOBUF_C_TYPE_BYTES) {
		error = set_bytes(parser, node, at, &problem);
	} else if (field->type == PROTOBUF_C_TYPE_MESSAGE) {
		error = set_message(parser, node, field, at, &problem);
	} else {
		problem = set_number(node, field->type, at);
	}
	return problem == NULL ? error : pb_path_fail(&parser->path, field->name, problem, ERR_INVALID, parser->err);
}

static int set_repeated(struct parser *parser, const struct json_node *node, const ProtobufCFieldDescriptor *field, uint8_t *base)
{
	size_t size = pb_value_size(field->type);
	if (node->kind != NODE_ARRAY)
		return pb_path_fail(&parser->path, field->name, "not an array", ERR_INVALID, parser->err);
	if (node->n > PB_FIELDS_MAX)
		return pb_path_fail(&parser->path, field->name, "too many values in one message", ERR_INVALID, parser->err);
	uint8_t *items = arena_alloc(parser->arena, node->n * size);
	if (items == NULL)
		return ERR_NOMEM;
	for (size_t i = 0; i < node->n; i++) {
		int error = set_value(parser, &node->items[i], field, items + i * size);
		if (error != 0)
			return error;
	}
	memcpy(base + field->quantifier_offset, &node->n, sizeof node->n);
	memcpy(base + field->offset, &items, sizeof items);
	return 0;
}

static int set_field(struct parser *parser, const struct json_node *node, const ProtobufCFieldDescriptor *field, uint8_t *base)
{
	protobuf_c_boolean yes = 1;
	if (field->label == PROTOBUF_C_LABEL_REPEATED)
		return set_repeated(parser, node, field, base);
	if (field->type != PROTOBUF_C_TYPE_STRING && field->type != PROTOBUF_C_TYPE_MESSAGE)
		memcpy(base + field->quantifier_offset, &yes, sizeof yes);
	return set_value(parser, node, field, base + field->offset);
}

static int parse_message(struct parser *parser, const struct json_node *node, const ProtobufCMessageDescriptor *type, ProtobufCMessage **ret_message)
{
	if (node->kind != NODE_OBJECT)
		return pb_path_fail(&parser->path, NULL, "not an object", ERR_INVALID, parser->err);
	ProtobufCMessage *message = pb_new(type, parser->arena);
	if (message == NULL)
		return ERR_NOMEM;
	for (size_t i = 0; i < node->n; i++) {
		const ProtobufCFieldDescriptor *field = protobuf_c_message_descriptor_get_field_by_name(type, node->names[i]);
		if (field == NULL)
			return pb_path_fail(&parser->path, node->names[i], "unknown member", ERR_INVALID, parser->err);
		int error = set_field(parser, &node->items[i], field, (uint8_t *)message);
		if (error != 0)
			return error;
	}
	*ret_message = message;
	return 0;
}

int json_node_to_message(const struct json_node *node, const ProtobufCMessageDescriptor *type, struct arena *arena, void *ret_message, struct err *err)
{
	struct parser parser = {.arena = arena, .err = err, .path = {.name = {"data"}, .depth = 1}};
	ProtobufCMessage *message = NULL;
	int error = parse_message(&parser, node, type, &message);
	if (error == ERR_NOMEM)
		return err_set(err, error, "not enough memory for this JSON");
	if (error == 0)
		memcpy(ret_message, &message, sizeof message); /* to a pointer of the generated type */
	return error;
}

int json_to_message(const char *text, size_t n, const ProtobufCMessageDescriptor *type, struct arena *arena, void *ret_message, struct err *err)
{
	struct json_node root;
	int error = json_tree_read(text, n, arena, &root, err);
	if (error != 0)
		return error;
	return json_node_to_message(&root, type, arena, ret_message, err);
}
