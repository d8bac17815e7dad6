/* The two JSON contracts of design.md 5. */
#include <stdio.h>
#include <string.h>

#include "lib/civil.h"
#include "lib/id.h"
#include "lib/json_parse.h"
#include "lib/pb.h"
#include "proto/event.pb-c.h"

#define TYPE_PREFIX "nl.reentry."
#define SEQUENCE_DIGITS 20
#define SOURCE_PREFIX "urn:nld:oin:"
#define SOURCE_MIDDLE ":systeem:"
#define OIN_NONE "00000000000000000000"
#define PAYLOAD_MEMORY_MAX ((size_t)8 << 20)   /* for one payload, while it is written */

/* --- reading ----------------------------------------------------------------------------------------------------- */

struct reader {
	struct arena *arena;
	struct json_event *out;
	Reentry__Event *event;
	const struct json_node *data;
};
static const char no_reference[] = "not a reference (1-64 of A-Z a-z 0-9 . _ -)";
static const char no_moment[] = "not a moment (RFC 3339, such as 2027-02-25T10:00:00Z)";

/* A row of the table below reads its member into the event at `offset`, or says what is wrong with it. */
struct member {
	const char *name;
	const char *(*read)(struct reader *reader, const struct json_node *node, size_t offset);
	size_t offset;
};

static const char *read_literal(const struct json_node *node, const char *literal, const char *problem)
{
	return node->kind == NODE_STRING && strcmp(node->text, literal) == 0 ? NULL : problem;
}

static const char *read_specversion(struct reader *reader, const struct json_node *node, size_t offset)
{
	(void)reader;
	(void)offset;
	return read_literal(node, "1.0", "not \"1.0\"");
}

static const char *read_content_type(struct reader *reader, const struct json_node *node, size_t offset)
{
	(void)reader;
	(void)offset;
	return read_literal(node, "application/json", "not \"application/json\"");
}

static const char *read_reference(struct reader *reader, const struct json_node *node, size_t offset)
{
	if (node->kind != NODE_STRING || !ref_is_valid(node->text))
		return no_reference;
	memcpy((uint8_t *)reader->event + offset, &node->text, sizeof node->text);
	return NULL;
}

static const char *read_type(struct reader *reader, const struct json_node *node, size_t offset)
{
	(void)offset;
	if (node->kind != NODE_STRING)
		return "not text";
	size_t skip = strncmp(node->text, TYPE_PREFIX, strlen(TYPE_PREFIX)) == 0 ? strlen(TYPE_PREFIX) : 0;
	reader->event->type = node->text + skip;
	return ref_is_valid(reader->event->type) ? NULL : "not a type, such as release.date-set";
}

static const char *read_source(struct reader *reader, const struct json_node *node, size_t offset)
{
	static const char problem[] = "not urn:nld:oin:<20 digits>:systeem:<agency id>, nor an agency id";
	(void)offset;
	if (node->kind != NODE_STRING)
		return "not text";
	char *agency = node->text;
	if (strncmp(agency, SOURCE_PREFIX, strlen(SOURCE_PREFIX)) == 0) {
		char *oin = agency + strlen(SOURCE_PREFIX);
		char *middle = strchr(oin, ':');
		if (middle == NULL || strncmp(middle, SOURCE_MIDDLE, strlen(SOURCE_MIDDLE)) != 0)
			return problem;
		*middle = '\0';
		if (!oin_is_valid(oin))
			return problem;
		reader->out->source_oin = oin;
		agency = middle + strlen(SOURCE_MIDDLE);
	}
	reader->event->source = agency;
	return agency_id_is_valid(agency) ? NULL : problem;
}

static const char *read_moment(const struct json_node *node, moment *ret_moment)
{
	return node->kind == NODE_STRING && civil_parse_moment(node->text, ret_moment) == 0 ? NULL : no_moment;
}

static const char *read_time(struct reader *reader, const struct json_node *node, size_t offset)
{
	(void)offset;
	reader->out->has_time = true;
	return read_moment(node, &reader->out->time);
}

static const char *read_recorded(struct reader *reader, const struct json_node *node, size_t offset)
{
	(void)offset;
	reader->out->has_recorded = true;
	return read_moment(node, &reader->out->recorded_at);
}

static bool is_digits(const struct json_node *node, size_t n)
{
	if (node->kind != NODE_STRING || node->n != n)
		return false;
	for (size_t i = 0; i < n; i++)
		if (node->text[i] < '0' || node->text[i] > '9')
			return false;
	return true;
}

static const char *read_sequence(struct reader *reader, const struct json_node *node, size_t offset)
{
	static const char problem[] = "not a sequence (20 digits)";
	uint64_t sequence = 0;
	(void)offset;
	if (!is_digits(node, SEQUENCE_DIGITS))
		return problem;
	for (const char *at = node->text; *at != '\0'; at++)
		if (__builtin_mul_overflow(sequence, 10, &sequence) || __builtin_add_overflow(sequence, (uint64_t)(*at - '0'), &sequence))
			return problem;
	reader->out->sequence = sequence;
	return NULL;
}

static const char *read_name(struct reader *reader, const struct json_node *node, const ProtobufCEnumDescriptor *names, int *ret_number)
{
	if (node->kind != NODE_STRING)
		return "not text";
	const ProtobufCEnumValue *value = protobuf_c_enum_descriptor_get_value_by_name(names, node->text);
	if (value == NULL) {
		char room[PB_NAMES_ROOM];
		const char *problem = arena_strdup(reader->arena, pb_not_one_of(names, room));
		return problem != NULL ? problem : "not one of its names";
	}
	*ret_number = value->value;
	return NULL;
}

static const char *read_phase(struct reader *reader, const struct json_node *node, size_t offset)
{
	(void)offset;
	return read_name(reader, node, &reentry__phase__value__descriptor, &reader->out->phase);
}

static const char *read_op(struct reader *reader, const struct json_node *node, size_t offset)
{
	int number = REENTRY__OP__VALUE__NEW;
	const char *problem = read_name(reader, node, &reentry__op__value__descriptor, &number);
	(void)offset;
	reader->event->has_op = number != REENTRY__OP__VALUE__NEW;
	reader->event->op = (Reentry__Op__Value)number;
	return problem;
}

static const char *read_priority(struct reader *reader, const struct json_node *node, size_t offset)
{
	int number = REENTRY__PRIORITY__VALUE__NORMAL;
	const char *problem = read_name(reader, node, &reentry__priority__value__descriptor, &number);
	(void)offset;
	reader->event->has_priority = number != REENTRY__PRIORITY__VALUE__NORMAL;
	reader->event->priority = (Reentry__Priority__Value)number;
	return problem;
}

static const char *read_slot_version(struct reader *reader, const struct json_node *node, size_t offset)
{
	(void)offset;
	if (node->kind != NODE_INT || node->integer < 1 || node->integer > UINT32_MAX)
		return "not a whole number from 1 to 4294967295";
	reader->event->has_slot_version = 1;
	reader->event->slot_version = (uint32_t)node->integer;
	return NULL;
}

static const char *read_municipality(struct reader *reader, const struct json_node *node, size_t offset)
{
	(void)offset;
	if (!is_digits(node, 4))
		return "not a municipality code (4 digits)";
	reader->out->municipality = node->text;
	return NULL;
}

static const char *read_data(struct reader *reader, const struct json_node *node, size_t offset)
{
	(void)offset;
	reader->data = node;
	return node->kind == NODE_OBJECT ? NULL : "not an object";
}

static const struct member members[] = {
	{"specversion", read_specversion, 0},
	{"id", read_reference, offsetof(Reentry__Event, id)},
	{"source", read_source, 0},
	{"type", read_type, 0},
	{"subject", read_reference, offsetof(Reentry__Event, subject)},
	{"time", read_time, 0},
	{"datacontenttype", read_content_type, 0},
	{"sequence", read_sequence, 0},
	{"recordedtime", read_recorded, 0},
	{"phase", read_phase, 0},
	{"op", read_op, 0},
	{"target", read_reference, offsetof(Reentry__Event, target)},
	{"slotversion", read_slot_version, 0},
	{"priority", read_priority, 0},
	{"sanction", read_reference, offsetof(Reentry__Event, sanction)},
	{"municipality", read_municipality, 0},
	{"causationid", read_reference, offsetof(Reentry__Event, cause)},
	{"data", read_data, 0},
};

static const char *read_member(struct reader *reader, const char *name, const struct json_node *node)
{
	for (size_t i = 0; i < sizeof members / sizeof *members; i++)
		if (strcmp(members[i].name, name) == 0)
			return members[i].read(reader, node, members[i].offset);
	return "unknown member";
}

static int read_payload(struct reader *reader, json_payload_of *payload_of, struct err *err)
{
	const ProtobufCMessageDescriptor *type = payload_of != NULL ? payload_of(reader->event->type) : NULL;
	void *message;
	if (type == NULL || reader->data == NULL)
		return 0;
	int error = json_node_to_message(reader->data, type, reader->arena, &message, err);
	if (error != 0)
		return error;
	error = pb_pack(message, reader->arena, &reader->event->data.data, &reader->event->data.len);
	if (error != 0)
		return err_set(err, error, "not enough memory for this JSON");
	reader->event->has_data = reader->event->data.len > 0;
	return 0;
}

int json_event_read(const char *text, size_t n, json_payload_of *payload_of, struct arena *arena, struct json_event *ret_event, struct err *err)
{
	static const struct pb_path top = {.depth = 0};
	struct json_node root;
	struct json_event event = {.event = PB_NEW(arena, Reentry__Event, reentry__event)};
	struct reader reader = {.arena = arena, .out = &event, .event = event.event};
	int error = event.event != NULL ? json_tree_read(text, n, arena, &root, err) : err_set(err, ERR_NOMEM, "not enough memory for this JSON");
	if (error != 0)
		return error;
	if (root.kind != NODE_OBJECT)
		return err_set(err, ERR_INVALID, "not a JSON object");
	for (size_t i = 0; i < root.n; i++) {
		const char *problem = read_member(&reader, root.names[i], &root.items[i]);
		if (problem != NULL)
			return pb_path_fail(&top, root.names[i], problem, ERR_INVALID, err);
	}
	if (event.event->type == NULL || event.event->subject == NULL)
		return err_set(err, ERR_INVALID, "%s: missing", event.event->type == NULL ? "type" : "subject");
	error = read_payload(&reader, payload_of, err);
	if (error == 0)
		*ret_event = event;
	return error;
}

/* --- writing ----------------------------------------------------------------------------------------------------- */

static void put_name(struct buf *out, const char *name)
{
	bool first = out->n == 0 || out->bytes[out->n - 1] == '{';
	(void)buf_text(out, first ? "\"" : ",\"");
	(void)buf_text(out, name);
	(void)buf_text(out, "\":");
}

/* Nothing if text is NULL or empty: attributes are left out when empty. */
static void put_text(struct buf *out, const char *name, const char *text)
{
	if (text == NULL || *text == '\0')
		return;
	put_name(out, name);
	(void)json_quote(out, text);
}

static void put_source(struct buf *out, const struct json_event *event)
{
	if (event->event->source == NULL || !agency_id_is_valid(event->event->source))
		return;
	put_name(out, "source");
	(void)buf_text(out, "\"" SOURCE_PREFIX);
	(void)buf_text(out, event->source_oin != NULL && oin_is_valid(event->source_oin) ? event->source_oin : OIN_NONE);
	(void)buf_text(out, SOURCE_MIDDLE);
	(void)buf_text(out, event->event->source);
	(void)buf_text(out, "\"");
}

static void put_type(struct buf *out, const char *type)
{
	if (type == NULL || !ref_is_valid(type))
		return;
	put_name(out, "type");
	(void)buf_text(out, "\"" TYPE_PREFIX);
	(void)buf_text(out, type);
	(void)buf_text(out, "\"");
}

static void put_moment(struct buf *out, const char *name, bool has, moment when)
{
	char text[CIVIL_MOMENT_SIZE];
	if (has && when >= MOMENT_MIN && when < MOMENT_MAX)
		put_text(out, name, civil_format_moment(when, text));
}

static void put_sequence(struct buf *out, uint64_t sequence)
{
	char digits[SEQUENCE_DIGITS + 1];
	if (sequence == 0)
		return;
	(void)snprintf(digits, sizeof digits, "%020llu", (unsigned long long)sequence);
	put_text(out, "sequence", digits);
}

static void put_enum(struct buf *out, const char *name, const ProtobufCEnumDescriptor *names, int number)
{
	const ProtobufCEnumValue *value = protobuf_c_enum_descriptor_get_value(names, number);
	if (value != NULL)
		put_text(out, name, value->name);
}

static void put_attributes(struct buf *out, const struct json_event *event, const char *content_type)
{
	const Reentry__Event *inner = event->event;
	(void)buf_text(out, "{\"specversion\":\"1.0\"");
	put_text(out, "id", inner->id);
	put_source(out, event);
	put_type(out, inner->type);
	put_text(out, "subject", inner->subject);
	put_moment(out, "time", event->has_time, event->time);
	put_text(out, "datacontenttype", content_type);
	put_sequence(out, event->sequence);
	put_moment(out, "recordedtime", event->has_recorded, event->recorded_at);
	put_enum(out, "phase", &reentry__phase__value__descriptor, event->phase);
	put_enum(out, "op", &reentry__op__value__descriptor, inner->has_op ? (int)inner->op : REENTRY__OP__VALUE__NEW);
	put_text(out, "target", inner->target);
	if (inner->has_slot_version && inner->slot_version > 0) {
		put_name(out, "slotversion");
		json_put_uint(out, inner->slot_version);
	}
	put_enum(out, "priority", &reentry__priority__value__descriptor, inner->has_priority ? (int)inner->priority : REENTRY__PRIORITY__VALUE__NORMAL);
	put_text(out, "sanction", inner->sanction);
	put_text(out, "municipality", event->municipality);
	put_text(out, "causationid", inner->cause);
}

/* The payload as a message; NULL with *ret_error 0 if this program cannot read it. */
static const void *unpack_payload(const Reentry__Event *event, json_payload_of *payload_of, struct arena *arena, int *ret_error)
{
	const ProtobufCMessageDescriptor *type = event->type != NULL && payload_of != NULL ? payload_of(event->type) : NULL;
	void *message = NULL;
	*ret_error = 0;
	if (type != NULL) /* what a newer broker sends may be unknown here: no error */
		*ret_error = pb_unpack(type, event->data.data, event->has_data ? event->data.len : 0, arena, &message, NULL);
	if (*ret_error == ERR_INVALID)
		*ret_error = 0;
	return message;
}

static void put_data(struct buf *out, const struct json_event *event, const void *payload)
{
	const Reentry__Event *inner = event->event;
	if (event->order != NULL) {
		put_text(out, "erased", event->order);
	} else if (payload != NULL) {
		put_name(out, "data");
		(void)json_from_message(out, payload); /* out->error remembers */
	} else if (!inner->has_data || inner->data.len == 0) {
		put_name(out, "data");
		(void)buf_text(out, "{}");
	} else {
		put_name(out, "data_base64");
		json_put_base64(out, inner->data.data, inner->data.len, false);
	}
	(void)buf_text(out, "}");
}

int json_event_write(struct buf *out, const struct json_event *event, json_payload_of *payload_of)
{
	Reentry__Event nothing = REENTRY__EVENT__INIT;
	struct json_event filled = *event;
	struct arena arena;
	size_t n = out->n;
	int error;

	if (filled.event == NULL)
		filled.event = &nothing;
	arena_init(&arena, PAYLOAD_MEMORY_MAX);
	const void *payload = unpack_payload(filled.event, filled.order == NULL ? payload_of : NULL, &arena, &error);
	bool opaque = payload == NULL && filled.order == NULL && filled.event->has_data && filled.event->data.len > 0;
	if (error == 0) {
		put_attributes(out, &filled, opaque ? "application/protobuf" : "application/json");
		put_data(out, &filled, payload);
		error = out->error;
	}
	arena_release(&arena);
	if (error != 0)
		json_rewind(out, n);
	return error;
}

int json_receipt_write(struct buf *out, const struct json_receipt *receipt)
{
	size_t n = out->n;
	(void)buf_text(out, "{");
	put_text(out, "id", receipt->id);
	put_text(out, "result", receipt->result);
	put_sequence(out, receipt->sequence);
	put_text(out, "code", receipt->code);
	put_text(out, "detail", receipt->detail);
	(void)buf_text(out, "}");
	if (out->error != 0)
		json_rewind(out, n);
	return out->error;
}
