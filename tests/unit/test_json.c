/* Proves that messages survive JSON, that wrong values are kept for their turn, and that the small reader gives what stands there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "lib/json.h"
#include "lib/pb.h"
#include "proto/event.pb-c.h"
#include "tests/unit/samples.h"

#define ROUNDS 40
#define COUNT(array) (sizeof(array) / sizeof *(array))

static struct arena arena;
static struct buf out;

static int setup(void **state)
{
	(void)state;
	arena_init(&arena, 0);
	buf_init(&out);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	arena_release(&arena);
	buf_release(&out);
	return 0;
}

static const char *written(void)
{
	return out.n > 0 ? (const char *)out.bytes : "";
}

static void round_trip(const ProtobufCMessageDescriptor *type)
{
	uint64_t seed = 4711;
	for (int round = 0; round < ROUNDS; round++) {
		uint8_t *bytes, *again;
		size_t n, n_again;
		ProtobufCMessage *message = sample_message(type, &arena, &seed), *back;
		struct err err = {0};
		buf_clear(&out);
		assert_int_equal(pb_pack(message, &arena, &bytes, &n), 0);
		assert_int_equal(json_from_message(&out, message), 0);
		if (json_to_message(written(), out.n, type, &arena, &back, &err) != 0)
			fail_msg("%s: %s\n%s", type->name, err.text, written());
		assert_int_equal(pb_pack(back, &arena, &again, &n_again), 0);
		assert_int_equal(n, n_again);
		assert_memory_equal(bytes, again, n);
		assert_null(strchr(written(), '\n'));
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

static void test_message_text(void **state)
{
	(void)state;
	static const struct { const ProtobufCMessageDescriptor *type; const char *in, *text; } rows[] = {
		{&reentry__release_approaching__descriptor, "{}", "{\"skipped\":[],\"open_needs\":[]}"},
		{&reentry__release_approaching__descriptor,
			"{ \"open_needs\": [\"HOUSING\",\"CARE\"], \"skipped\":[90,56], \"late\":false,\"days_left\":-1,\"milestone\":0,\"release_date\":\"2027-02-25\"}",
			"{\"release_date\":\"2027-02-25\",\"days_left\":-1,\"milestone\":0,\"late\":false,\"skipped\":[90,56],\"open_needs\":[\"HOUSING\",\"CARE\"]}"},
		{&reentry__handover_offered__descriptor, "{\"handover\":\"H\",\"then\":[],\"note\":\"\"}", "{\"handover\":\"H\",\"note\":\"\"}"},
		{&reentry__handover_offered__descriptor, "{\"then\":[\"care-b\",\"care-c\"]}", "{\"then\":[\"care-b\",\"care-c\"]}"},
		{&reentry__nothing__descriptor, "{}", "{}"},
		{&reentry__movement__descriptor, "{\"at\":\"2027-02-01T10:00:00.250+01:00\",\"until\":\"2027-02-02\"}",
			"{\"at\":\"2027-02-01T09:00:00.250Z\",\"until\":\"2027-02-02\"}"},
		{&reentry__movement__descriptor, "{\"until\":\"2027-02-01T23:30:00-05:00\"}", "{\"until\":\"2027-02-02T04:30:00Z\"}"},
		{&reentry__case_snapshot__descriptor,
			"{\"phase\":\"DURING\",\"needs\":[{\"need\":\"WORK\",\"status\":\"OPEN\"},{}],\"handovers\":[]}",
			"{\"phase\":\"DURING\",\"needs\":[{\"need\":\"WORK\",\"status\":\"OPEN\"},{}],\"handovers\":[]}"},
		{&reentry__delivery_overdue__descriptor, "{\"overdue_sequence\":9223372036854775807}", "{\"overdue_sequence\":9223372036854775807}"},
		{&reentry__event__descriptor, "{\"data\":\"_-8B\"}", "{\"data\":\"_-8B\"}"},
		{&reentry__event__descriptor, "{\"data\":\"_-8=\"}", "{\"data\":\"_-8\"}"},
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		ProtobufCMessage *message;
		struct err err = {0};
		buf_clear(&out);
		if (json_to_message(rows[i].in, strlen(rows[i].in), rows[i].type, &arena, &message, &err) != 0)
			fail_msg("%s: %s", rows[i].in, err.text);
		assert_int_equal(json_from_message(&out, message), 0);
		assert_string_equal(written(), rows[i].text);
	}
}

/* What is wrong by value only passes here, and is then refused by pb_check. */
static void test_wrong_values(void **state)
{
	(void)state;
	static const struct { const ProtobufCMessageDescriptor *type; const char *in, *why; } rows[] = {
		{&reentry__need_status_changed__descriptor, "{\"need\":\"HOUSE\"}", "data.need: not one of IDENTITY, HOUSING, INCOME, WORK, DEBT, INSURANCE, PSYCHIATRIC, ADDICTION, LVB, FAMILY, NETWORK, EDUCATION, CARE"},
		{&reentry__need_status_changed__descriptor, "{\"need\":\"\"}", "data.need: not one of IDENTITY, HOUSING, INCOME, WORK, DEBT, INSURANCE, PSYCHIATRIC, ADDICTION, LVB, FAMILY, NETWORK, EDUCATION, CARE"},
		{&reentry__need_status_changed__descriptor, "{\"until\":\"2027-02-29\"}", "data.until: not a date (YYYY-MM-DD)"},
		{&reentry__need_status_changed__descriptor, "{\"until\":\"2027-02-01T10:00:00Z\"}", "data.until: not a date (YYYY-MM-DD)"},
		{&reentry__need_status_changed__descriptor, "{\"until\":\"\"}", "data.until: not a date (YYYY-MM-DD)"},
		{&reentry__contact_planned__descriptor, "{\"at\":\"2027-02-01\"}", "data.at: not a moment (RFC 3339, such as 2027-02-25T10:00:00Z)"},
		{&reentry__contact_planned__descriptor, "{\"at\":\"2027-02-01T10:00:00\"}", "data.at: not a moment (RFC 3339, such as 2027-02-25T10:00:00Z)"},
		{&reentry__movement__descriptor, "{\"until\":\"tomorrow\"}", "data.until: not a date (YYYY-MM-DD) or a moment (RFC 3339)"},
		{&reentry__case_snapshot__descriptor, "{\"needs\":[{},{\"status\":\"LOST\"}]}", "data.needs.status: not one of UNKNOWN, NONE, OPEN, IN_PROGRESS, ARRANGED, DECLINED_BY_PERSON, NOT_POSSIBLE"},
		{&reentry__nothing__descriptor, "{\"reason\":\"a\\rb\"}", "data.reason: a control character in text"},
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		ProtobufCMessage *message;
		struct err err = {0};
		assert_int_equal(json_to_message(rows[i].in, strlen(rows[i].in), rows[i].type, &arena, &message, &err), 0);
		assert_int_equal(pb_check_at("data", message, &err), ERR_INVALID);
		assert_string_equal(err.text, rows[i].why);
		/* and through the wire form, as a broker gets it */
		uint8_t *bytes;
		size_t n;
		assert_int_equal(pb_pack(message, &arena, &bytes, &n), 0);
		assert_int_equal(pb_unpack(rows[i].type, bytes, n, &arena, &message, &err), 0);
		assert_int_equal(pb_check_at("data", message, &err), ERR_INVALID);
		assert_string_equal(err.text, rows[i].why);
	}
}

/* What pb_check would refuse still makes JSON. */
static void test_unchecked_output(void **state)
{
	(void)state;
	Reentry__ReleaseDateSet set = REENTRY__RELEASE_DATE_SET__INIT;
	Reentry__Date date = REENTRY__DATE__INIT;
	static char text[] = "a\x01\xff\xc3";
	set.date = &date, set.has_kind = 1, set.kind = (Reentry__ReleaseKind__Value)99, set.reason = text;
	buf_clear(&out);
	assert_int_equal(json_from_message(&out, &set), 0);
	assert_string_equal(written(), "{\"date\":null,\"kind\":99,\"reason\":\"a\\u0001\xef\xbf\xbd\xef\xbf\xbd\"}");
	date.has_days = 1, date.days = INT32_MAX;
	buf_clear(&out);
	assert_int_equal(json_from_message(&out, &set), 0);
	assert_memory_equal(written(), "{\"date\":null,", 13);
}

static void test_strings(void **state)
{
	(void)state;
	static const struct { const char *text, *json; } rows[] = {
		{"", "\"\""}, {"abc", "\"abc\""}, {"a\"b\\c/d", "\"a\\\"b\\\\c/d\""}, {"\b\f\n\r\t", "\"\\b\\f\\n\\r\\t\""},
		{"\x01\x1f\x7f", "\"\\u0001\\u001f\x7f\""}, {"caf\u00e9 \U0001f3e0", "\"caf\u00e9 \U0001f3e0\""},
		{"\xff" "a\xc3", "\"\xef\xbf\xbd" "a\xef\xbf\xbd\""}, {"\xed\xa0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		buf_clear(&out);
		assert_int_equal(json_string(&out, rows[i].text), 0);
		assert_string_equal(written(), rows[i].json);
	}
}

static void test_numbers(void **state)
{
	(void)state;
	static const struct { const char *in, *text; } rows[] = {
		{"{\"f\":1,\"d\":0.1,\"w\":4294967295,\"q\":-9223372036854775808,\"i\":-2147483648,\"l\":0,\"many\":[1,2.5,1e300]}",
			"{\"f\":1.0,\"d\":0.10000000000000001,\"w\":4294967295,\"q\":-9223372036854775808,\"i\":-2147483648,\"l\":0,\"many\":[1.0,2.5,1.0000000000000001e+300]}"},
		{"{\"f\":1e300}", "{\"f\":null,\"many\":[]}"}, /* infinite: for pb_check */
		{"{\"f\":\"1\"}", "data.f: not a number"}, {"{\"d\":true}", "data.d: not a number"},
		{"{\"i\":2147483648,\"w\":-1}", "{\"w\":4294967295,\"i\":-2147483648,\"many\":[]}"}, /* what they cannot hold: the same */
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		ProtobufCMessage *message;
		struct err err = {0};
		buf_clear(&out);
		if (json_to_message(rows[i].in, strlen(rows[i].in), &sample_numbers_type, &arena, &message, &err) != 0) {
			assert_string_equal(err.text, rows[i].text);
			continue;
		}
		assert_int_equal(json_from_message(&out, message), 0);
		assert_string_equal(written(), rows[i].text);
	}
}

static void test_bytes(void **state)
{
	(void)state;
	static const char *const bad[] = {"\"A\"", "\"AAA+\"", "\"AB\"", "\"=\"", "\"A===\"", "\"AA=\"", "\"\u00e9A\"", "7"};
	for (size_t i = 0; i < COUNT(bad); i++) {
		char text[40];
		ProtobufCMessage *message;
		struct err err = {0};
		(void)snprintf(text, sizeof text, "{\"data\":%s}", bad[i]);
		assert_int_equal(json_to_message(text, strlen(text), &reentry__event__descriptor, &arena, &message, &err), ERR_INVALID);
		assert_string_equal(err.text, bad[i][0] == '7' ? "data.data: not text" : "data.data: not base64url");
	}
}

/* A buffer that could not grow holds what it held, and the error comes through. */
static void test_no_memory_for_output(void **state)
{
	(void)state;
	Reentry__Nothing nothing = REENTRY__NOTHING__INIT;
	struct json_event event = {.sequence = 1};
	struct json_receipt receipt = {.id = "E-1"};
	buf_clear(&out);
	(void)buf_text(&out, "before");
	out.error = ERR_NOMEM;
	assert_int_equal(json_from_message(&out, &nothing), ERR_NOMEM);
	assert_int_equal(json_event_write(&out, &event, NULL), ERR_NOMEM);
	assert_int_equal(json_receipt_write(&out, &receipt), ERR_NOMEM);
	assert_int_equal(json_string(&out, "x"), ERR_NOMEM);
	assert_string_equal(written(), "before");
}

static void test_object(void **state)
{
	(void)state;
	static const char text[] = " { \"at\" : \"2027\\u00e9\", \"up\":false, \"n\":-7, \"r\":3.0, \"z\":null,\n"
		"\"event\" : { \"b\" : [ 1 , 2.5 ], \"a\":\"\\\"\" }, \"list\":[ \"x\", {\"y\":1}, [ ] ] } ";
	struct json_member *m;
	size_t n;
	assert_int_equal(json_object_read(text, sizeof text - 1, &arena, &m, &n, NULL), 0);
	assert_int_equal(n, 7);
	assert_string_equal(m[0].name, "at");
	assert_int_equal(m[0].value.kind, JSON_STRING);
	assert_string_equal(m[0].value.text, "2027\u00e9");
	assert_int_equal(m[0].value.n, 6);
	assert_true(m[1].value.kind == JSON_BOOL && !m[1].value.boolean);
	assert_true(m[2].value.kind == JSON_INT && m[2].value.integer == -7);
	assert_true(m[3].value.kind == JSON_REAL && m[3].value.real > 2.9 && m[3].value.real < 3.1);
	assert_true(m[4].value.kind == JSON_NULL);
	assert_true(m[5].value.kind == JSON_OBJECT);
	assert_string_equal(m[5].value.raw, "{\"b\":[1,2.5],\"a\":\"\\\"\"}");
	assert_int_equal(m[5].value.raw_n, strlen(m[5].value.raw));
	assert_true(m[6].value.kind == JSON_ARRAY);
	assert_int_equal(m[6].value.n, 3);
	assert_string_equal(m[6].value.raw, "[\"x\",{\"y\":1},[]]");
	assert_string_equal(m[6].value.items[0].text, "x");
	assert_string_equal(m[6].value.items[1].raw, "{\"y\":1}");
	assert_int_equal(m[6].value.items[2].n, 0);
}

static void test_object_raw(void **state)
{
	(void)state;
	static const char text[] = "{\"a\":{\"x\":3.0,\"y\":1e20,\"z\":-0.5,\"n\":null,\"t\":true,\"f\":false}}";
	struct json_member *m;
	size_t n;
	assert_int_equal(json_object_read(text, sizeof text - 1, &arena, &m, &n, NULL), 0);
	assert_string_equal(m[0].value.raw, "{\"x\":3.0,\"y\":1e+20,\"z\":-0.5,\"n\":null,\"t\":true,\"f\":false}");
}

static void test_object_refused(void **state)
{
	(void)state;
	static const char *const texts[] = {"", "[]", "null", "{\"a\":1,}", "{\"a\":1,\"a\":1}", "{'a':1}", "{\"a\":01}", "{\"a\":1}x"};
	for (size_t i = 0; i < COUNT(texts); i++) {
		struct json_member *m = NULL;
		struct err err = {0};
		size_t n = 77;
		assert_int_equal(json_object_read(texts[i], strlen(texts[i]), &arena, &m, &n, &err), ERR_INVALID);
		assert_int_equal(n, 77);
		assert_true(strlen(err.text) > 0);
	}
}

/* ERR_NOMEM wherever memory runs out, until there is enough. */
static void test_object_memory(void **state)
{
	(void)state;
	static const char text[] = "{\"a\":[1,[2],\"three\"],\"b\":{\"c\":[]}}";
	struct json_member *m;
	size_t n, failed = 0;
	int error = ERR_NOMEM;
	for (size_t max = 1; error != 0 && max < 20000; max += 8) {
		struct arena small;
		arena_init(&small, max);
		error = json_object_read(text, sizeof text - 1, &small, &m, &n, NULL);
		assert_true(error == ERR_NOMEM || error == 0);
		failed += error != 0;
		arena_release(&small);
	}
	assert_int_equal(error, 0);
	assert_true(failed > 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trips), cmocka_unit_test(test_message_text), cmocka_unit_test(test_wrong_values),
		cmocka_unit_test(test_unchecked_output), cmocka_unit_test(test_strings), cmocka_unit_test(test_numbers), cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_no_memory_for_output), cmocka_unit_test(test_object),
		cmocka_unit_test(test_object_raw), cmocka_unit_test(test_object_refused), cmocka_unit_test(test_object_memory),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
