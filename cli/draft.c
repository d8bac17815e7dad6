/* An event from what was typed: fields take the form that their type has in the catalogue. */
#include "cli/cli.h"

#include <protobuf-c/protobuf-c.h>
#include <string.h>

#include "rules/rules.h"

#define FIELD_NAME_MAX 64

static bool is_number(const char *text)
{
	size_t digits = strspn(text[0] == '-' ? text + 1 : text, "0123456789");
	return digits > 0 && digits <= 18 && text[digits + (text[0] == '-')] == '\0';
}

/* One value as JSON. What does not fit its type is written as text, and refused by name where it is read. */
static void write_value(struct buf *out, const ProtobufCFieldDescriptor *field, const char *text)
{
	bool flag = field != NULL && field->type == PROTOBUF_C_TYPE_BOOL && (strcmp(text, "true") == 0 || strcmp(text, "false") == 0);
	bool numeric = false;
	if (field != NULL)
		switch (field->type) {
		case PROTOBUF_C_TYPE_UINT32: case PROTOBUF_C_TYPE_UINT64: case PROTOBUF_C_TYPE_INT32: case PROTOBUF_C_TYPE_INT64:
		case PROTOBUF_C_TYPE_SINT32: case PROTOBUF_C_TYPE_SINT64:
			numeric = is_number(text);
			break;
		default:
			break;
		}
	if (flag || numeric)
		(void)buf_text(out, text); /* the buffer remembers its error */
	else
		(void)json_string(out, text);
}

static void write_list(struct buf *out, const ProtobufCFieldDescriptor *field, const char *text, struct arena *arena)
{
	(void)buf_text(out, "[");
	for (const char *at = text; *at != '\0';) {
		size_t n = strcspn(at, ",");
		const char *item = arena_printf(arena, "%.*s", (int)n, at);
		if (at != text)
			(void)buf_text(out, ",");
		write_value(out, field, item != NULL ? item : "");
		at += n + (at[n] == ',');
	}
	(void)buf_text(out, "]");
}

static int write_fields(struct buf *out, const struct draft *draft, struct arena *arena, struct err *err)
{
	const ProtobufCMessageDescriptor *type = rules_payload_of(draft->type);
	(void)buf_text(out, ",\"data\":{");
	for (size_t i = 0; draft->fields != NULL && draft->fields[i] != NULL; i++) {
		const char *text = draft->fields[i], *equals = strchr(text, '=');
		if (equals == NULL || equals == text || equals - text > FIELD_NAME_MAX)
			return err_set(err, ERR_INVALID, "--set %s: write FIELD=VALUE", text);
		const char *name = arena_printf(arena, "%.*s", (int)(equals - text), text);
		if (name == NULL)
			return err_set(err, ERR_NOMEM, "out of memory");
		const ProtobufCFieldDescriptor *field = type != NULL ? protobuf_c_message_descriptor_get_field_by_name(type, name) : NULL;
		if (i > 0)
			(void)buf_text(out, ",");
		(void)json_string(out, name);
		(void)buf_text(out, ":");
		if (field != NULL && field->label == PROTOBUF_C_LABEL_REPEATED)
			write_list(out, field, equals + 1, arena);
		else
			write_value(out, field, equals + 1);
	}
	return buf_text(out, "}") == OK ? OK : err_set(err, ERR_NOMEM, "out of memory");
}

static const char *short_type(const char *type)
{
	static const char prefix[] = "nl.reentry.";
	return strncmp(type, prefix, sizeof prefix - 1) == 0 ? type + sizeof prefix - 1 : type;
}

int draft_write(const struct draft *draft, struct buf *out, struct err *err)
{
	struct draft named = *draft;
	struct arena arena;
	named.type = short_type(draft->type);
	(void)buf_text(out, "{\"type\":"); /* errors are found by write_fields */
	(void)json_string(out, named.type);
	request_text(out, "subject", draft->subject);
	request_text(out, "id", draft->id);
	request_text(out, "time", draft->time);
	request_text(out, "op", draft->op);
	request_text(out, "target", draft->target);
	request_text(out, "sanction", draft->sanction);
	if (draft->slot_version != NULL && is_number(draft->slot_version))
		request_raw(out, "slotversion", draft->slot_version);
	else
		request_text(out, "slotversion", draft->slot_version);
	request_text(out, "priority", draft->urgent ? "URGENT" : NULL);
	request_text(out, "causationid", draft->cause);
	arena_init(&arena, 0);
	int r = write_fields(out, &named, &arena, err);
	arena_release(&arena);
	return r == OK && buf_text(out, "}") != OK ? err_set(err, ERR_NOMEM, "out of memory") : r;
}
