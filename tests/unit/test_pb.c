/* Proves that messages survive packing and unpacking, and that hostile bytes are refused with a reason and without harm. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/clock.h"
#include "lib/pb.h"
#include "lib/pb_field.h"
#include "proto/event.pb-c.h"
#include "proto/record.pb-c.h"
#include "proto/wire.pb-c.h"
#include "tests/unit/samples.h"

#define ROUNDS 40

static struct arena arena;

static int setup(void **state)
{
	(void)state;
	arena_init(&arena, 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	arena_release(&arena);
	return 0;
}

/* From a heap block of exactly that size, so that a sanitizer sees a read behind the end. */
static int unpack_exact(const ProtobufCMessageDescriptor *type, const void *bytes, size_t n, void *ret_message, struct err *err)
{
	uint8_t *copy = malloc(n > 0 ? n : 1);
	assert_non_null(copy);
	if (n > 0)
		memcpy(copy, bytes, n);
	int error = pb_unpack(type, copy, n, &arena, ret_message, err);
	free(copy);
	return error;
}

static void refused(const ProtobufCMessageDescriptor *type, const void *bytes, size_t n, const char *why)
{
	struct err err = {0};
	void *message = &err;
	assert_int_equal(unpack_exact(type, bytes, n, &message, &err), ERR_INVALID);
	assert_ptr_equal(message, &err);
	assert_int_equal(err.code, ERR_INVALID);
	assert_string_equal(err.text, why);
}
#define REFUSED(type, literal, why) refused(&reentry__##type##__descriptor, literal, sizeof(literal) - 1, why)

static void accepted(const ProtobufCMessageDescriptor *type, const void *bytes, size_t n)
{
	struct err err = {0};
	ProtobufCMessage *message = NULL;
	assert_int_equal(unpack_exact(type, bytes, n, &message, &err), 0);
	assert_ptr_equal(message->descriptor, type);
	assert_int_equal(message->n_unknown_fields, 0);
}
#define ACCEPTED(type, literal) accepted(&reentry__##type##__descriptor, literal, sizeof(literal) - 1)

static void round_trip(const ProtobufCMessageDescriptor *type)
{
	uint64_t seed = 42;
	for (int round = 0; round < ROUNDS; round++) {
		uint8_t *bytes, *again;
		size_t n, n_again;
		ProtobufCMessage *message;
		struct err err = {0};
		assert_int_equal(pb_pack(sample_message(type, &arena, &seed), &arena, &bytes, &n), 0);
		if (unpack_exact(type, bytes, n, &message, &err) != 0)
			fail_msg("%s: %s", type->name, err.text);
		if (pb_check(message, &err) != 0)
			fail_msg("%s: %s", type->name, err.text);
		assert_int_equal(pb_pack(message, &arena, &again, &n_again), 0);
		assert_int_equal(n, n_again);
		assert_memory_equal(bytes, again, n);
		assert_int_equal(pb_unpack_own(type, bytes, n, &arena, &message), 0);
		assert_int_equal(protobuf_c_message_get_packed_size(message), n);
		arena_reset(&arena);
	}
}

static void test_round_trips(void **state)
{
	(void)state;
	for (size_t i = 0; sample_event_types[i] != NULL; i++)
		round_trip(sample_event_types[i]);
	for (size_t i = 0; sample_other_types[i] != NULL; i++)
		round_trip(sample_other_types[i]);
}

/* A cut message is refused, or is a whole one by chance (cut between two fields); never anything else. */
static void test_truncated(void **state)
{
	(void)state;
	uint64_t seed = 7;
	size_t invalid = 0;
	for (size_t t = 0; sample_other_types[t] != NULL; t++) {
		uint8_t *bytes;
		size_t n;
		assert_int_equal(pb_pack(sample_message(sample_other_types[t], &arena, &seed), &arena, &bytes, &n), 0);
		for (size_t cut = 0; cut < n && cut < 1500; cut++) {
			struct err err = {0};
			void *message;
			int error = unpack_exact(sample_other_types[t], bytes, cut, &message, &err);
			assert_true(error == 0 || error == ERR_INVALID);
			assert_int_equal(err.code, error);
			invalid += error != 0;
		}
		arena_reset(&arena);
	}
	assert_true(invalid > 1000);
}

static void test_mutated(void **state)
{
	(void)state;
	uint64_t seed = 99;
	for (int round = 0; round < 3000; round++) {
		const ProtobufCMessageDescriptor *type = sample_other_types[(size_t)round % 9];
		uint8_t *bytes;
		size_t n;
		void *message;
		assert_int_equal(pb_pack(sample_message(type, &arena, &seed), &arena, &bytes, &n), 0);
		for (uint64_t flips = 1 + sample_random(&seed) % 3; n > 0 && flips > 0; flips--)
			bytes[sample_random(&seed) % n] = (uint8_t)sample_random(&seed);
		if (unpack_exact(type, bytes, n, &message, NULL) == 0)
			(void)pb_check(message, NULL); /* either answer is right: what counts is that there is one */
		arena_reset(&arena);
	}
}

static void test_empty(void **state)
{
	(void)state;
	Reentry__Event *event = NULL;
	assert_int_equal(pb_unpack(&reentry__event__descriptor, NULL, 0, &arena, &event, NULL), 0);
	assert_null(event->id);
	assert_false(event->has_op);
	assert_int_equal(pb_scan(&reentry__event__descriptor, NULL, 0, NULL), 0);
}

static void test_wire_form(void **state)
{
	(void)state;
	ACCEPTED(event, "\x0a\x01" "a" "\x12\x01" "b");
	REFUSED(event, "\x0a\x01" "a" "\x0a\x01" "b", "id: occurs twice");
	REFUSED(event, "\x62\x00", "a field number that is not known here");          /* 12 */
	REFUSED(event, "\x00\x00", "a field number that is not known here");          /* 0 */
	REFUSED(event, "\xff\xff\xff\xff\x0f\x00", "a field number that is not known here"); /* 2^29 - 1 */
	REFUSED(event, "\xff\xff\xff\xff\x7f\x00", "cut off, or not a field");        /* a tag above 32 bits */
	REFUSED(event, "\x8a\x80\x80\x80\x80\x00\x01" "a", "cut off, or not a field"); /* a tag of six bytes */
	REFUSED(event, "\x0a", "id: cut off, or a wrong length");
	REFUSED(event, "\x0a\x02" "a", "id: cut off, or a wrong length");
	REFUSED(event, "\x0a\xff\xff\xff\xff\x0f" "a", "id: cut off, or a wrong length");
	REFUSED(event, "\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01" "a", "id: cut off, or a wrong length");
	REFUSED(event, "\x0b\x0c", "id: wrong wire type");                            /* a group */
	REFUSED(event, "\x08\x01", "id: wrong wire type");
	REFUSED(event, "\x0d\x01\x00\x00\x00", "id: wrong wire type");
	REFUSED(event, "\x32\x01\x01", "op: wrong wire type");
	REFUSED(event, "\x30", "op: cut off, or not a number");
	REFUSED(event, "\x30\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00", "op: cut off, or not a number");
	REFUSED(event, "\x30\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", "op: cut off, or not a number");
	ACCEPTED(event, "\x30\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01");              /* enum -1: for pb_check */
	REFUSED(event, "\x30\x80\x80\x80\x80\x08", "op: a number outside its range"); /* 2^31 */
	ACCEPTED(event, "\x40\xff\xff\xff\xff\x0f");
	REFUSED(event, "\x40\x80\x80\x80\x80\x10", "slot_version: a number outside its range");
	ACCEPTED(release_approaching, "\x20\x01");
	REFUSED(release_approaching, "\x20\x02", "late: a number outside its range");
	REFUSED(release_approaching, "\x0a\x02\x08\x80", "release_date.days: cut off, or not a number");
	REFUSED(case_snapshot, "\x22\x04\x1a\x02\x10\x01", "needs.from_date: a field number that is not known here");
}

static void test_packed(void **state)
{
	(void)state;
	ACCEPTED(release_approaching, "\x28\x38\x28\x18");         /* as the .proto says: one by one */
	ACCEPTED(release_approaching, "\x2a\x02\x38\x18\x28\x07"); /* packed, as readers must accept */
	ACCEPTED(release_approaching, "\x2a\x00");
	REFUSED(release_approaching, "\x2a\x02\x38\x80", "skipped: cut off, or not a number");
	REFUSED(release_approaching, "\x10\x01\x2a\x05\x38", "skipped: cut off, or a wrong length");
	REFUSED(handover_offered, "\x40\x01", "then: wrong wire type");
	Reentry__ReleaseApproaching *message;
	assert_int_equal(pb_unpack(&reentry__release_approaching__descriptor, "\x2a\x02\x38\x18\x28\x07", 6, &arena, &message, NULL), 0);
	assert_int_equal(message->n_skipped, 3);
	assert_int_equal(message->skipped[0], 56);
	assert_int_equal(message->skipped[2], 7);
}

static void test_text(void **state)
{
	(void)state;
	static const struct { const char *bytes; size_t n; bool good; } texts[] = {
		{"", 0, true}, {"\x7f", 1, true}, {"\xc2\x80", 2, true}, {"\xdf\xbf", 2, true}, {"\xe0\xa0\x80", 3, true},
		{"\xed\x9f\xbf", 3, true}, {"\xee\x80\x80", 3, true}, {"\xef\xbf\xbf", 3, true}, {"\xf0\x90\x80\x80", 4, true},
		{"\xf4\x8f\xbf\xbf", 4, true},
		{"\x80", 1, false}, {"\xc0\x80", 2, false}, {"\xc1\xbf", 2, false}, {"\xc2", 1, false}, {"\xc2" "a", 2, false},
		{"\xe0\x9f\xbf", 3, false}, {"\xed\xa0\x80", 3, false}, {"\xed\xbf\xbf", 3, false}, {"\xe2\x82", 2, false},
		{"\xf0\x8f\xbf\xbf", 4, false}, {"\xf4\x90\x80\x80", 4, false}, {"\xf5\x80\x80\x80", 4, false},
		{"\xf8\x88\x80\x80\x80", 5, false}, {"\xfe", 1, false}, {"\xff", 1, false}, {"ab\xf0\x9f\x8f", 5, false},
	};
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		uint8_t bytes[16] = {0x0a, (uint8_t)texts[i].n};
		memcpy(bytes + 2, texts[i].bytes, texts[i].n);
		if (texts[i].good)
			accepted(&reentry__event__descriptor, bytes, texts[i].n + 2);
		else
			refused(&reentry__event__descriptor, bytes, texts[i].n + 2, "id: text that is not UTF-8");
	}
	REFUSED(event, "\x0a\x03" "a\0b", "id: a NUL character in text");
	REFUSED(handover_offered, "\x42\x01" "a" "\x42\x01\xff", "then: text that is not UTF-8");
	ACCEPTED(event, "\x5a\x03\xff\x00\xfe"); /* bytes are bytes */
}

#define NUMBERS(literal) accepted(&sample_numbers_type, literal, sizeof(literal) - 1)
#define NO_NUMBERS(literal, why) refused(&sample_numbers_type, literal, sizeof(literal) - 1, why)

static void test_fixed_numbers(void **state)
{
	(void)state;
	NUMBERS("\x0d\x00\x00\x80\x3f\x11\x00\x00\x00\x00\x00\x00\xf0\x3f\x1d\xff\xff\xff\xff\x21\xff\xff\xff\xff\xff\xff\xff\xff");
	NUMBERS("\x3a\x10\x00\x00\x00\x00\x00\x00\xf0\x3f\x00\x00\x00\x00\x00\x00\xf0\x3f");
	NO_NUMBERS("\x0d\x00\x00\x80", "f: cut off");
	NO_NUMBERS("\x11\x00\x00\x00\x00\x00\x00\xf0", "d: cut off");
	NO_NUMBERS("\x3a\x09\x00\x00\x00\x00\x00\x00\xf0\x3f\x00", "many: cut off");
	NO_NUMBERS("\x1a\x04\x00\x00\x00\x00", "w: wrong wire type"); /* packed, but it is not repeated */
	NUMBERS("\x28\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x30\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01");
	NO_NUMBERS("\x28\xff\xff\xff\xff\x0f", "i: a number outside its range");
}

static void test_check_finite(void **state)
{
	(void)state;
	double many[] = {1.0, (double)INFINITY};
	struct sample_numbers numbers;
	protobuf_c_message_init(&sample_numbers_type, &numbers.base);
	numbers.has_f = 1, numbers.has_d = 1, numbers.f = 1.5f, numbers.d = -1e300;
	assert_int_equal(pb_check(&numbers, NULL), 0);
	numbers.d = (double)NAN;
	struct err err;
	assert_int_equal(pb_check(&numbers, &err), ERR_INVALID);
	assert_string_equal(err.text, "d: not a finite number");
	numbers.f = -INFINITY;
	assert_int_equal(pb_check(&numbers, &err), ERR_INVALID);
	assert_string_equal(err.text, "f: not a finite number");
	numbers.has_f = numbers.has_d = 0, numbers.many = many, numbers.n_many = 2;
	assert_int_equal(pb_check(&numbers, &err), ERR_INVALID);
	assert_string_equal(err.text, "many: not a finite number");
}

static void test_check_fits(void **state)
{
	(void)state;
	struct sample_numbers numbers;
	struct err err;
	protobuf_c_message_init(&sample_numbers_type, &numbers.base);
	numbers.has_w = numbers.has_q = numbers.has_i = numbers.has_l = 1;
	numbers.w = UINT32_MAX - 1, numbers.q = INT64_MIN + 1, numbers.i = INT32_MIN + 1, numbers.l = INT64_MAX;
	assert_int_equal(pb_check(&numbers, NULL), 0);
	numbers.l = INT64_MIN;
	assert_int_equal(pb_check(&numbers, &err), ERR_INVALID);
	assert_string_equal(err.text, "l: a number outside its range");
	numbers.i = INT32_MIN;
	assert_int_equal(pb_check(&numbers, &err), ERR_INVALID);
	assert_string_equal(err.text, "i: a number outside its range");
	numbers.w = UINT32_MAX;
	assert_int_equal(pb_check(&numbers, &err), ERR_INVALID);
	assert_string_equal(err.text, "w: a number outside its range");
}

/* A type that holds itself: none of ours does, so the bound on depth is shown on one made by hand. */
struct nest {
	ProtobufCMessage base;
	struct nest *child;
};
static const ProtobufCMessageDescriptor nest_type;
static void nest_init(ProtobufCMessage *message)
{
	struct nest *nest = (void *)message;
	*nest = (struct nest){.base.descriptor = &nest_type};
}
static const ProtobufCFieldDescriptor nest_fields[] = {{
	.name = "child", .id = 1, .label = PROTOBUF_C_LABEL_OPTIONAL, .type = PROTOBUF_C_TYPE_MESSAGE,
	.offset = offsetof(struct nest, child), .descriptor = &nest_type,
}};
static const unsigned nest_names[] = {0};
static const ProtobufCIntRange nest_ranges[] = {{1, 0}, {0, 1}};
static const ProtobufCMessageDescriptor nest_type = {
	.magic = PROTOBUF_C__MESSAGE_DESCRIPTOR_MAGIC, .name = "test.Nest", .short_name = "Nest", .c_name = "Nest",
	.package_name = "test", .sizeof_message = sizeof(struct nest), .n_fields = 1, .fields = nest_fields,
	.fields_sorted_by_name = nest_names, .n_field_ranges = 1, .field_ranges = nest_ranges, .message_init = nest_init,
};

/* `levels` messages in each other, the outermost included. */
static size_t nested(uint8_t *room, size_t size, int levels)
{
	size_t at = size;
	for (int level = 1; level < levels; level++) {
		size_t n = size - at, length = n < 128 ? 1 : n < 16384 ? 2 : 3;
		at -= length + 1;
		room[at] = 0x0a;
		for (size_t i = 0; i < length; i++, n >>= 7)
			room[at + 1 + i] = (uint8_t)((n & 0x7f) | (i + 1 < length ? 0x80 : 0));
	}
	memmove(room, room + at, size - at);
	return size - at;
}

static void test_depth(void **state)
{
	(void)state;
	static uint8_t room[200000];
	size_t n = nested(room, sizeof room, PB_DEPTH_MAX);
	accepted(&nest_type, room, n);
	n = nested(room, sizeof room, PB_DEPTH_MAX + 1);
	refused(&nest_type, room, n, "child.child.child.child.child.child.child.child: nested too deep");
	n = nested(room, sizeof room, 50000);
	assert_true(n > 150000);
	refused(&nest_type, room, n, "child.child.child.child.child.child.child.child: nested too deep");
}

static void test_counts(void **state)
{
	(void)state;
	static uint8_t room[2 * PB_FIELDS_MAX + 16];
	/* one field of n packed numbers is n + 1 fields */
	size_t n = PB_FIELDS_MAX - 1;
	memcpy(room, "\x0a\xff\xff\x03", 4);
	memset(room + 4, 1, n);
	accepted(&reentry__ack__descriptor, room, n + 4);
	arena_reset(&arena);
	memcpy(room, "\x0a\x80\x80\x04", 4);
	memset(room + 4, 1, n + 1);
	refused(&reentry__ack__descriptor, room, n + 5, "sequences: too many fields in one message");
	for (size_t i = 0; i <= PB_FIELDS_MAX; i++)
		memcpy(room + 2 * i, "\x08\x01", 2);
	accepted(&reentry__ack__descriptor, room, 2 * PB_FIELDS_MAX);
	refused(&reentry__ack__descriptor, room, 2 * PB_FIELDS_MAX + 2, "sequences: too many fields in one message");
	/* empty submessages: two bytes each on the wire, a struct each in memory */
	for (size_t i = 0; i <= PB_FIELDS_MAX; i++)
		memcpy(room + 2 * i, "\x0a\x00", 2);
	refused(&reentry__deliver__descriptor, room, 2 * PB_FIELDS_MAX + 2, "items: too many fields in one message");
}

static void test_memory_bound(void **state)
{
	(void)state;
	static uint8_t room[60000];
	struct arena small;
	struct err err = {0};
	void *message = &err;
	for (size_t i = 0; i < sizeof room; i += 2)
		memcpy(room + i, "\x0a\x00", 2);
	arena_init(&small, 100000);
	assert_int_equal(pb_unpack(&reentry__deliver__descriptor, room, sizeof room, &small, &message, &err), ERR_NOMEM);
	assert_ptr_equal(message, &err);
	assert_int_equal(err.code, ERR_NOMEM);
	assert_int_equal(pb_unpack_own(&reentry__deliver__descriptor, room, sizeof room, &small, &message), ERR_NOMEM);
	assert_true(small.used <= 100000);
	uint8_t *bytes;
	size_t n;
	Reentry__Event event = REENTRY__EVENT__INIT;
	event.id = memset(room, 'x', sizeof room);
	room[sizeof room - 1] = 0;
	arena_reset(&small);
	assert_int_equal(pb_pack(&event, &small, &bytes, &n), 0);
	assert_int_equal(pb_pack(&event, &small, &bytes, &n), ERR_NOMEM);
	arena_release(&small);
}

static void test_own(void **state)
{
	(void)state;
	Reentry__Event *event = NULL;
	assert_int_equal(pb_unpack_own(&reentry__event__descriptor, "\x0a\x05" "a", 3, &arena, &event), ERR_CORRUPT);
	assert_null(event);
	assert_int_equal(pb_unpack_own(&reentry__event__descriptor, "\x0a\x01" "a", 3, &arena, &event), 0);
	assert_string_equal(event->id, "a");
}

static void test_new(void **state)
{
	(void)state;
	Reentry__GapDetected *gap = PB_NEW(&arena, Reentry__GapDetected, reentry__gap_detected);
	assert_ptr_equal(gap->base.descriptor, &reentry__gap_detected__descriptor);
	assert_false(gap->has_need);
	struct arena small;
	arena_init(&small, 8);
	assert_null(PB_NEW(&small, Reentry__GapDetected, reentry__gap_detected));
	arena_release(&small);
}

static void wrong(const void *message, const char *why)
{
	struct err err = {0};
	assert_int_equal(pb_check(message, &err), ERR_INVALID);
	assert_string_equal(err.text, why);
	assert_int_equal(pb_check(message, NULL), ERR_INVALID);
}

static void test_check_dates(void **state)
{
	(void)state;
	static const struct { int has; int32_t days; const char *why; } dates[] = {
		{1, -25567, NULL}, {1, 84005, NULL}, {1, 0, NULL},
		{1, -25568, "date: outside the years 1900 to 2199"}, {1, 84006, "date: outside the years 1900 to 2199"},
		{1, INT32_MAX, "date: outside the years 1900 to 2199"},
		{1, INT32_MIN, "date: not a date (YYYY-MM-DD)"}, {0, 0, "date: not a date (YYYY-MM-DD)"},
	};
	Reentry__ReleaseDateSet set = REENTRY__RELEASE_DATE_SET__INIT;
	Reentry__Date date = REENTRY__DATE__INIT;
	set.date = &date;
	for (size_t i = 0; i < sizeof dates / sizeof *dates; i++) {
		date.has_days = dates[i].has, date.days = dates[i].days;
		if (dates[i].why == NULL)
			assert_int_equal(pb_check(&set, NULL), 0);
		else
			wrong(&set, dates[i].why);
	}
	struct err err;
	assert_int_equal(pb_check_at("data", &set, &err), ERR_INVALID);
	assert_string_equal(err.text, "data.date: not a date (YYYY-MM-DD)");
}

static void test_check_moments(void **state)
{
	(void)state;
	static const char outside[] = "at: outside the years 1900 to 2199";
	static const char none[] = "at: not a moment (RFC 3339, such as 2027-02-25T10:00:00Z)";
	static const struct { int has; int64_t ms; const char *why; } moments[] = {
		{1, MOMENT_MIN, NULL}, {1, MOMENT_MAX - 1, NULL}, {1, MOMENT_MAX, outside}, {1, MOMENT_MIN - 1, outside},
		{1, INT64_MAX, outside}, {1, INT64_MIN, none}, {0, 0, none},
	};
	Reentry__ContactPlanned planned = REENTRY__CONTACT_PLANNED__INIT;
	Reentry__Moment at = REENTRY__MOMENT__INIT;
	planned.at = &at;
	for (size_t i = 0; i < sizeof moments / sizeof *moments; i++) {
		at.has_ms = moments[i].has, at.ms = moments[i].ms;
		if (moments[i].why == NULL)
			assert_int_equal(pb_check(&planned, NULL), 0);
		else
			wrong(&planned, moments[i].why);
	}
	Reentry__MedicationBridged bridged = REENTRY__MEDICATION_BRIDGED__INIT;
	Reentry__When until = REENTRY__WHEN__INIT;
	bridged.until = &until;
	wrong(&bridged, "until: not a date (YYYY-MM-DD) or a moment (RFC 3339)");
	until.has_days = 1;
	assert_int_equal(pb_check(&bridged, NULL), 0);
	until.has_ms = 1;
	wrong(&bridged, "until: not a date (YYYY-MM-DD) or a moment (RFC 3339)");
	until.has_days = 0, until.ms = MOMENT_MAX;
	wrong(&bridged, "until: outside the years 1900 to 2199");
}

static void test_check_enums(void **state)
{
	(void)state;
	Reentry__CaseSnapshot snapshot = REENTRY__CASE_SNAPSHOT__INIT;
	Reentry__CaseSnapshot__NeedLine line = REENTRY__CASE_SNAPSHOT__NEED_LINE__INIT, *lines[] = {&line};
	snapshot.needs = lines, snapshot.n_needs = 1;
	line.has_need = 1, line.need = REENTRY__NEED__VALUE__CARE;
	assert_int_equal(pb_check(&snapshot, NULL), 0);
	line.need = (Reentry__Need__Value)14;
	wrong(&snapshot, "needs.need: not one of IDENTITY, HOUSING, INCOME, WORK, DEBT, INSURANCE, PSYCHIATRIC, ADDICTION, LVB, FAMILY, NETWORK, EDUCATION, CARE");
	line.need = (Reentry__Need__Value)-1;
	wrong(&snapshot, "needs.need: not one of IDENTITY, HOUSING, INCOME, WORK, DEBT, INSURANCE, PSYCHIATRIC, ADDICTION, LVB, FAMILY, NETWORK, EDUCATION, CARE");
	line.has_need = 0;
	assert_int_equal(pb_check(&snapshot, NULL), 0);
	Reentry__Need__Value open[] = {REENTRY__NEED__VALUE__WORK, (Reentry__Need__Value)0};
	Reentry__ReleaseApproaching notice = REENTRY__RELEASE_APPROACHING__INIT;
	notice.open_needs = open, notice.n_open_needs = 2;
	wrong(&notice, "open_needs: not one of IDENTITY, HOUSING, INCOME, WORK, DEBT, INSURANCE, PSYCHIATRIC, ADDICTION, LVB, FAMILY, NETWORK, EDUCATION, CARE");
}

static void test_check_text(void **state)
{
	(void)state;
	Reentry__Nothing nothing = REENTRY__NOTHING__INIT;
	char text[2 * TEXT_MAX + 3];
	static const char *const bad[] = {"a\x01", "\r\n", "\x1b[2J", "\x7f", ("\xc2\x9b" "2J"), "\xc2\x80"};
	static const char *const good[] = {"", "a\tb\nc", "\xc2\xa0", "\xe2\x82\x9b"};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		nothing.reason = strcpy(text, bad[i]);
		wrong(&nothing, "reason: a control character in text");
	}
	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		nothing.reason = strcpy(text, good[i]);
		assert_int_equal(pb_check(&nothing, NULL), 0);
	}
	for (size_t i = 0; i < 2 * TEXT_MAX; i += 2)
		memcpy(text + i, "\xc3\xa9", 3);
	assert_int_equal(pb_check(&nothing, NULL), 0);
	strcpy(text + 2 * TEXT_MAX, "x");
	wrong(&nothing, "reason: longer than 2000 characters");
}

/* Text is looked at sixteen bytes at a time: wherever in those sixteen something lies, it is seen, and nothing else is. */
static void test_check_text_in_steps(void **state)
{
	(void)state;
	Reentry__Nothing nothing = REENTRY__NOTHING__INIT;
	char text[72];
	for (size_t at = 0; at < 48; at++)
		for (unsigned byte = 1; byte < 0x80; byte++) {
			bool fine = (byte >= 0x20 && byte != 0x7f) || byte == '\t' || byte == '\n';
			memset(text, at % 2 ? '~' : ' ', sizeof text);
			text[48 + at % 17] = 0;
			text[at] = (char)byte;
			nothing.reason = text;
			assert_int_equal(pb_check(&nothing, NULL), fine ? 0 : ERR_INVALID);
		}
	for (size_t at = 0; at < 16; at++)
		for (unsigned byte = 0; byte < 0x100; byte++)
			for (unsigned before = 0; before < 0x100; before++) {
				bool plain = byte >= 0x20 && byte < 0x7f && before >= 0x20 && before < 0x7f;
				uint8_t some[31];
				memset(some, (int)before, sizeof some);
				some[at] = (uint8_t)byte;
				assert_int_equal(pb_plain(some, sizeof some), plain ? 16 : 0);
				assert_int_equal(pb_plain(some, 15), 0); /* not beyond the end */
			}
	char longest[TEXT_MAX + 2];
	memset(longest, 'x', sizeof longest);
	longest[TEXT_MAX] = 0;
	nothing.reason = longest;
	assert_int_equal(pb_check(&nothing, NULL), 0);
	longest[TEXT_MAX] = 'x', longest[TEXT_MAX + 1] = 0;
	wrong(&nothing, "reason: longer than 2000 characters");
}

/* The same of what comes in: a NUL or a byte that begins no character, wherever it is. */
static void test_scan_text_in_steps(void **state)
{
	(void)state;
	uint8_t bytes[2 + 60] = {0x0a, 60}; /* Nothing.reason */
	for (size_t at = 2; at < sizeof bytes; at++) {
		memset(bytes + 2, 'x', 60);
		assert_int_equal(pb_scan(&reentry__nothing__descriptor, bytes, sizeof bytes, NULL), 0);
		bytes[at] = 0;
		assert_int_equal(pb_scan(&reentry__nothing__descriptor, bytes, sizeof bytes, NULL), ERR_INVALID);
		bytes[at] = 0x80;
		assert_int_equal(pb_scan(&reentry__nothing__descriptor, bytes, sizeof bytes, NULL), ERR_INVALID);
		bytes[at] = 0x7f;
		assert_int_equal(pb_scan(&reentry__nothing__descriptor, bytes, sizeof bytes, NULL), 0);
	}
}

static void test_has(void **state)
{
	(void)state;
	Reentry__HandoverOffered offer = REENTRY__HANDOVER_OFFERED__INIT;
	char empty[] = "", *then[] = {empty};
	static const char *const names[] = {"handover", "need", "start_by", "then", "offer", "no_such_field"};
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		assert_int_equal(pb_has(&offer, names[i]), 0);
	Reentry__Date date = REENTRY__DATE__INIT;
	offer.handover = empty;
	assert_int_equal(pb_has(&offer, "handover"), 0);
	offer.handover = (char[]){"H"}, offer.has_need = 1, offer.start_by = &date, offer.then = then, offer.n_then = 1;
	offer.has_offer = 1, offer.offer = 0;
	for (size_t i = 0; i + 1 < sizeof names / sizeof *names; i++)
		assert_int_equal(pb_has(&offer, names[i]), 1);
	Reentry__Event event = REENTRY__EVENT__INIT;
	event.has_data = 1;
	assert_int_equal(pb_has(&event, "data"), 0);
	event.data = (ProtobufCBinaryData){1, (uint8_t[]){0}};
	assert_int_equal(pb_has(&event, "data"), 1);
}

/* A name from outside is cut at a character, so that the message stays text. */
static void test_path(void **state)
{
	(void)state;
	struct pb_path path = {.depth = 0};
	struct err err;
	char name[100] = "";
	assert_int_equal(pb_path_fail(&path, NULL, "why", ERR_INVALID, &err), ERR_INVALID);
	assert_string_equal(err.text, "why");
	for (size_t i = 0; i < 33; i++)
		strcat(name, i == 0 ? "x" : "\u00e9");
	assert_true(pb_path_push(&path, "data"));
	(void)pb_path_fail(&path, name, "why", ERR_INVALID, &err);
	assert_int_equal(strlen(err.text), strlen("data.: why") + 63);
	for (int i = 0; i < PB_DEPTH_MAX + 1; i++)
		assert_true(pb_path_push(&path, "x"));
	assert_false(pb_path_push(&path, "x"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trips), cmocka_unit_test(test_truncated), cmocka_unit_test(test_mutated),
		cmocka_unit_test(test_empty), cmocka_unit_test(test_wire_form), cmocka_unit_test(test_packed),
		cmocka_unit_test(test_text), cmocka_unit_test(test_fixed_numbers), cmocka_unit_test(test_check_finite), cmocka_unit_test(test_check_fits),
		cmocka_unit_test(test_depth), cmocka_unit_test(test_counts),
		cmocka_unit_test(test_memory_bound), cmocka_unit_test(test_own), cmocka_unit_test(test_new),
		cmocka_unit_test(test_check_dates), cmocka_unit_test(test_check_moments), cmocka_unit_test(test_check_enums),
		cmocka_unit_test(test_check_text), cmocka_unit_test(test_check_text_in_steps), cmocka_unit_test(test_scan_text_in_steps),
		cmocka_unit_test(test_has), cmocka_unit_test(test_path),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
