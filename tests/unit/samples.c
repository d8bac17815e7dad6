#include "tests/unit/samples.h"

#include <assert.h>
#include <string.h>

#include "lib/civil.h"
#include "lib/pb_field.h"
#include "proto/event.pb-c.h"
#include "proto/record.pb-c.h"
#include "proto/wire.pb-c.h"

const ProtobufCMessageDescriptor *const sample_event_types[] = {
	&reentry__event__descriptor, &reentry__sentence_imposed__descriptor, &reentry__execution_planned__descriptor,
	&reentry__start_approaching__descriptor, &reentry__custody_started__descriptor,
	&reentry__custody_transferred__descriptor, &reentry__movement__descriptor, &reentry__nothing__descriptor,
	&reentry__release_date_set__descriptor, &reentry__release_approaching__descriptor,
	&reentry__release_ordered__descriptor, &reentry__released__descriptor, &reentry__destination_changed__descriptor,
	&reentry__need_status_changed__descriptor, &reentry__arranging__descriptor,
	&reentry__medication_bridged__descriptor, &reentry__gap_detected__descriptor, &reentry__gap_closed__descriptor,
	&reentry__handover_offered__descriptor, &reentry__handover_step__descriptor,
	&reentry__handover_accepted__descriptor, &reentry__handover_refused__descriptor,
	&reentry__handover_info__descriptor, &reentry__handover_reminder__descriptor,
	&reentry__service_assigned__descriptor, &reentry__service_placed__descriptor,
	&reentry__service_hours_booked__descriptor, &reentry__service_missed__descriptor,
	&reentry__service_returned__descriptor, &reentry__service_converted__descriptor,
	&reentry__service_completed__descriptor, &reentry__service_behind__descriptor,
	&reentry__supervision_started__descriptor, &reentry__contact_planned__descriptor,
	&reentry__contact_held__descriptor, &reentry__contact_missed__descriptor, &reentry__contact_overdue__descriptor,
	&reentry__breach_reported__descriptor, &reentry__supervision_ended__descriptor,
	&reentry__followup_due__descriptor, &reentry__followup_done__descriptor, &reentry__consent_given__descriptor,
	&reentry__consent_withdrawn__descriptor, &reentry__case_snapshot__descriptor, &reentry__case_closed__descriptor,
	&reentry__case_merged__descriptor, &reentry__delivery_overdue__descriptor, &reentry__erasure__descriptor, NULL,
};
const ProtobufCMessageDescriptor *const sample_other_types[] = {
	&reentry__frame__descriptor, &reentry__deliver__descriptor, &reentry__answer__descriptor, &reentry__ack__descriptor,
	&reentry__header__descriptor, &reentry__event_record__descriptor, &reentry__case_state__descriptor,
	&reentry__timer_record__descriptor, &reentry__audit_record__descriptor, NULL,
};

#define NUMBER(number, letter, kind) { \
	.name = #letter, .id = number, .label = PROTOBUF_C_LABEL_OPTIONAL, .type = PROTOBUF_C_TYPE_##kind, \
	.quantifier_offset = offsetof(struct sample_numbers, has_##letter), .offset = offsetof(struct sample_numbers, letter)}
static const ProtobufCFieldDescriptor number_fields[] = {
	NUMBER(1, f, FLOAT), NUMBER(2, d, DOUBLE), NUMBER(3, w, FIXED32), NUMBER(4, q, SFIXED64), NUMBER(5, i, INT32), NUMBER(6, l, INT64),
	{.name = "many", .id = 7, .label = PROTOBUF_C_LABEL_REPEATED, .type = PROTOBUF_C_TYPE_DOUBLE,
		.quantifier_offset = offsetof(struct sample_numbers, n_many), .offset = offsetof(struct sample_numbers, many)},
};
static const unsigned number_names[] = {1, 0, 4, 5, 6, 3, 2}; /* d f i l many q w */
static const ProtobufCIntRange number_ranges[] = {{1, 0}, {0, 7}};

static void numbers_init(ProtobufCMessage *message)
{
	struct sample_numbers *numbers = (void *)message;
	*numbers = (struct sample_numbers){.base.descriptor = &sample_numbers_type};
}

const ProtobufCMessageDescriptor sample_numbers_type = {
	.magic = PROTOBUF_C__MESSAGE_DESCRIPTOR_MAGIC, .name = "test.Numbers", .short_name = "Numbers", .c_name = "Numbers",
	.package_name = "test", .sizeof_message = sizeof(struct sample_numbers), .n_fields = 7, .fields = number_fields,
	.fields_sorted_by_name = number_names, .n_field_ranges = 1, .field_ranges = number_ranges, .message_init = numbers_init,
};

uint64_t sample_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static int64_t between(uint64_t *state, int64_t low, int64_t high)
{
	return low + (int64_t)(sample_random(state) % (uint64_t)(high - low + 1));
}

static char *text(struct arena *arena, uint64_t *state)
{
	static const char *const texts[] = {
		"", "a", "C-1", "gm0344", "line\nof \"two\"\tand a \\ slash/", "caf\u00e9 \u2192 \u0416 \U0001f3e0", "</script>",
	};
	return arena_strdup(arena, texts[sample_random(state) % (sizeof texts / sizeof *texts)]);
}

static void set_number(const ProtobufCFieldDescriptor *field, uint8_t *at, uint64_t *state)
{
	int64_t number = between(state, -3, 3);
	if (field->type == PROTOBUF_C_TYPE_ENUM) {
		const ProtobufCEnumDescriptor *names = field->descriptor;
		*(int *)(void *)at = names->values[sample_random(state) % names->n_values].value;
	} else if (field->type == PROTOBUF_C_TYPE_BOOL) {
		*(protobuf_c_boolean *)(void *)at = number > 0;
	} else if (field->type == PROTOBUF_C_TYPE_UINT64 || field->type == PROTOBUF_C_TYPE_UINT32) {
		uint64_t max = field->type == PROTOBUF_C_TYPE_UINT32 ? UINT32_MAX - 1 : INT64_MAX;
		uint64_t value = number > 0 ? max : sample_random(state) % 1000;
		memcpy(at, &value, pb_value_size(field->type)); /* little-endian, as all machines this is built on */
	} else {
		bool wide = pb_value_size(field->type) == 8;
		int64_t value = number == 3 ? (wide ? INT64_MAX : INT32_MAX) : number == -3 ? (wide ? INT64_MIN + 1 : INT32_MIN + 1) : number;
		memcpy(at, &value, pb_value_size(field->type));
	}
}

static ProtobufCMessage *special(const ProtobufCMessageDescriptor *type, struct arena *arena, uint64_t *state)
{
	int32_t days = (int32_t)between(state, CIVIL_MIN, CIVIL_MAX);
	int64_t ms = between(state, MOMENT_MIN, MOMENT_MAX - 1);
	if (between(state, 0, 1) == 0)
		ms = ms / 1000 * 1000;
	ProtobufCMessage *message = pb_new(type, arena);
	if (pb_special(type) == PB_DATE) {
		Reentry__Date *date = (void *)message;
		date->has_days = 1, date->days = days;
	} else if (pb_special(type) == PB_MOMENT) {
		Reentry__Moment *when = (void *)message;
		when->has_ms = 1, when->ms = ms;
	} else {
		Reentry__When *when = (void *)message;
		when->has_days = (int)between(state, 0, 1), when->days = when->has_days ? days : 0;
		when->has_ms = !when->has_days, when->ms = when->has_ms ? ms : 0;
	}
	return message;
}

static void set_value(const ProtobufCFieldDescriptor *field, uint8_t *at, struct arena *arena, uint64_t *state)
{
	if (field->type == PROTOBUF_C_TYPE_STRING) {
		*(char **)(void *)at = text(arena, state);
	} else if (field->type == PROTOBUF_C_TYPE_BYTES) {
		ProtobufCBinaryData *data = (void *)at;
		data->len = (size_t)between(state, 0, 40);
		data->data = arena_alloc(arena, data->len);
		for (size_t i = 0; i < data->len; i++)
			data->data[i] = (uint8_t)sample_random(state);
	} else if (field->type == PROTOBUF_C_TYPE_MESSAGE) {
		bool plain = pb_special(field->descriptor) == PB_PLAIN;
		*(ProtobufCMessage **)(void *)at =
		        plain ? sample_message(field->descriptor, arena, state) : special(field->descriptor, arena, state);
	} else {
		set_number(field, at, state);
	}
}

ProtobufCMessage *sample_message(const ProtobufCMessageDescriptor *type, struct arena *arena, uint64_t *state)
{
	ProtobufCMessage *message = pb_new(type, arena);
	uint8_t *base = (uint8_t *)message;
	assert(message != NULL);
	for (unsigned f = 0; f < type->n_fields; f++) {
		const ProtobufCFieldDescriptor *field = &type->fields[f];
		if (sample_random(state) % 4 == 0)
			continue;
		if (field->label == PROTOBUF_C_LABEL_REPEATED) {
			size_t n = (size_t)between(state, 0, 3), size = pb_value_size(field->type);
			uint8_t *items = arena_alloc(arena, n * size);
			for (size_t i = 0; i < n; i++)
				set_value(field, items + i * size, arena, state);
			*(size_t *)(void *)(base + field->quantifier_offset) = n;
			*(void **)(void *)(base + field->offset) = items;
			continue;
		}
		if (field->type != PROTOBUF_C_TYPE_STRING && field->type != PROTOBUF_C_TYPE_MESSAGE)
			*(protobuf_c_boolean *)(void *)(base + field->quantifier_offset) = 1;
		set_value(field, base + field->offset, arena, state);
	}
	return message;
}
