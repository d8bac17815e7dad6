/* Which slot an event is a version of (domain.md 3.3), as far as folding an inbox needs it, and fields of a payload by name. */
#include "agents/agent.h"

#include <stdio.h>
#include <string.h>

#include "lib/pb.h"
#include "rules/rules.h"

/* --- payloads -------------------------------------------------------------------------------------------------------- */

void *event_payload(const Reentry__Event *event, struct arena *arena)
{
	const ProtobufCMessageDescriptor *type = event->type != NULL ? rules_payload_of(event->type) : NULL;
	void *data = NULL;
	if (type == NULL || pb_unpack(type, event->has_data ? event->data.data : NULL, event->has_data ? event->data.len : 0, arena, &data, NULL) != OK)
		return NULL;
	return data;
}

/* Where the value of a singular field lies; NULL when there is none of that type. */
static const void *field_at(const void *data, const char *name, ProtobufCType type, const ProtobufCFieldDescriptor **ret_field)
{
	const ProtobufCMessage *message = data;
	const ProtobufCFieldDescriptor *field = data != NULL ? protobuf_c_message_descriptor_get_field_by_name(message->descriptor, name) : NULL;
	if (field == NULL || field->type != type || field->label == PROTOBUF_C_LABEL_REPEATED)
		return NULL;
	*ret_field = field;
	return (const uint8_t *)data + field->offset;
}

static bool is_set(const void *data, const ProtobufCFieldDescriptor *field)
{
	return *(const protobuf_c_boolean *)(const void *)((const uint8_t *)data + field->quantifier_offset);
}

const char *payload_text(const void *data, const char *name)
{
	const ProtobufCFieldDescriptor *field;
	const void *at = field_at(data, name, PROTOBUF_C_TYPE_STRING, &field);
	return at != NULL ? *(char *const *)at : NULL;
}

moment payload_moment(const void *data, const char *name)
{
	const ProtobufCFieldDescriptor *field;
	const void *at = field_at(data, name, PROTOBUF_C_TYPE_MESSAGE, &field);
	const ProtobufCMessage *value = at != NULL ? *(ProtobufCMessage *const *)at : NULL;
	if (value != NULL && value->descriptor == &reentry__date__descriptor) {
		const Reentry__Date *date = (const Reentry__Date *)value;
		return date->has_days ? (moment)date->days * 86400000 : MOMENT_NONE;
	}
	if (value != NULL && value->descriptor == &reentry__moment__descriptor) {
		const Reentry__Moment *when = (const Reentry__Moment *)value;
		return when->has_ms ? when->ms : MOMENT_NONE;
	}
	return MOMENT_NONE;
}

uint32_t payload_number(const void *data, const char *name)
{
	const ProtobufCFieldDescriptor *field;
	const void *at = field_at(data, name, PROTOBUF_C_TYPE_UINT32, &field);
	return at != NULL && is_set(data, field) ? *(const uint32_t *)at : 0;
}

const char *payload_enum(const void *data, const char *name)
{
	const ProtobufCFieldDescriptor *field;
	const void *at = field_at(data, name, PROTOBUF_C_TYPE_ENUM, &field);
	const ProtobufCEnumValue *value = at != NULL && is_set(data, field) ? protobuf_c_enum_descriptor_get_value(field->descriptor, *(const int *)at) : NULL;
	return value != NULL ? value->name : NULL;
}

const char *outcome_name(Reentry__Outcome__Value result)
{
	static const char *const names[] = {NULL, "accepted", "duplicate", "stale", "refused"};
	return result > 0 && (size_t)result < sizeof names / sizeof *names ? names[result] : "refused";
}

/* --- slots ----------------------------------------------------------------------------------------------------------- */

#define NUMBER_SIZE 16

/* key: a payload field, or "=NAME" for a fixed one, that tells the slots of one kind apart; "sanction": the event's. */
static const struct slot_row {
	const char *type;
	enum slot_part part;
	const char *slot, *key;
} rows[] = {
	{"release.date-set", FOLD_VERSION, "release", NULL},
	{"release.date-unknown", FOLD_VERSION, "release", NULL},
	{"release.ordered", FOLD_VERSION, "release", NULL},
	/* The gate: a confirmation takes the place of what was recorded, a retraction or reversal that of both. */
	{"release.recorded", FOLD_VERSION, "gate", NULL},
	{"release.confirmed", FOLD_VERSION, "gate", NULL},
	{"release.reversed", FOLD_VERSION, "gate", NULL},
	/* Where the person is meanwhile. */
	{"custody.leave-started", FOLD_VERSION, "movement", NULL},
	{"custody.leave-returned", FOLD_VERSION, "movement", NULL},
	{"custody.hospitalised", FOLD_VERSION, "movement", NULL},
	{"release.approaching", FOLD_NOTICE, "release", NULL},
	{"release.still-unknown", FOLD_NOTICE, "release", NULL},
	{"sentence.execution-planned", FOLD_VERSION, "start", "sanction"},
	{"start.approaching", FOLD_NOTICE, "start", "sanction"},
	{"destination.changed", FOLD_VERSION, "destination", NULL},
	{"destination.unassigned", FOLD_NOTICE, "destination", NULL},
	{"need.screened", FOLD_VERSION, "need", "need"},
	{"need.status-changed", FOLD_VERSION, "need", "need"},
	{"care.arranged", FOLD_VERSION, "need", "need"},
	{"care.ended", FOLD_VERSION, "need", "need"},
	{"housing.", FOLD_VERSION, "need", "=HOUSING"},
	{"tenancy.at-risk", FOLD_VERSION, "need", "=HOUSING"},
	{"identity.arranged", FOLD_VERSION, "need", "=IDENTITY"},
	{"income.", FOLD_VERSION, "need", "=INCOME"},
	{"insurance.restored", FOLD_VERSION, "need", "=INSURANCE"},
	{"debt.", FOLD_VERSION, "need", "=DEBT"},
	{"work.", FOLD_VERSION, "need", "=WORK"},
	{"education.", FOLD_VERSION, "need", "=EDUCATION"},
	{"volunteer.", FOLD_VERSION, "need", "=NETWORK"},
	{"family.plan-agreed", FOLD_VERSION, "need", "=FAMILY"},
	{"gap.detected", FOLD_VERSION, "gap", "need"},
	{"gap.closed", FOLD_VERSION, "gap", "need"},
	{"followup.due", FOLD_VERSION, "followup", "day"},
	{"followup.done", FOLD_VERSION, "followup", "day"},
	/* What asks for something must not hide the offer that it is about, nor an acknowledgement that comes late the answer. */
	{"handover.delivered", FOLD_NOTICE, "handover", "handover"},
	{"handover.reminder", FOLD_NOTICE, "handover", "handover"},
	{"handover.escalated", FOLD_NOTICE, "handover", "handover"},
	{"handover.reconfirm", FOLD_NOTICE, "handover", "handover"},
	{"handover.info-requested", FOLD_NOTICE, "handover", "handover"},
	{"handover.info-given", FOLD_NOTICE, "handover", "handover"},
	{"handover.", FOLD_VERSION, "handover", "handover"},
	{"community-service.hours-booked", FOLD_VERSION, "booking", "booking"},
	{"supervision.contact-planned", FOLD_VERSION, "contact", "sanction"},
	{"supervision.contact-overdue", FOLD_NOTICE, "contact", "sanction"},
	{"case.snapshot", FOLD_VERSION, "snapshot", NULL},
};

static bool is_of(const struct slot_row *row, const char *type)
{
	size_t n = strlen(row->type);
	return row->type[n - 1] == '.' ? strncmp(row->type, type, n) == 0 : strcmp(row->type, type) == 0;
}

static const char *key_of(const struct slot_row *row, const Reentry__Event *event, const void *data, char number[NUMBER_SIZE])
{
	if (row->key[0] == '=')
		return row->key + 1;
	if (strcmp(row->key, "sanction") == 0)
		return event->sanction != NULL ? event->sanction : "";
	const char *text = payload_text(data, row->key);
	if (text == NULL)
		text = payload_enum(data, row->key);
	if (text == NULL && payload_number(data, row->key) > 0) {
		(void)snprintf(number, NUMBER_SIZE, "%u", payload_number(data, row->key)); /* fits */
		text = number;
	}
	return text;
}

enum slot_part slot_of(const Reentry__Event *event, const void *data, char ret_name[SLOT_NAME_SIZE])
{
	ret_name[0] = '\0';
	for (size_t i = 0; i < sizeof rows / sizeof *rows && event->type != NULL; i++) {
		if (!is_of(&rows[i], event->type))
			continue;
		char number[NUMBER_SIZE];
		const char *key = rows[i].key != NULL ? key_of(&rows[i], event, data, number) : "";
		if (key == NULL)
			return FOLD_NONE;
		int n = snprintf(ret_name, SLOT_NAME_SIZE, "%s%s%s", rows[i].slot, key[0] != '\0' ? ":" : "", key);
		if (n > 0 && n < SLOT_NAME_SIZE)
			return rows[i].part;
		ret_name[0] = '\0';
	}
	return FOLD_NONE;
}
