/* Proves that events and receipts are written to the letter, that an event survives JSON, and that wrong JSON is refused by name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/json.h"
#include "lib/pb.h"
#include "proto/event.pb-c.h"
#include "tests/unit/samples.h"

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

static const ProtobufCMessageDescriptor *payload_of(const char *type)
{
	static const struct { const char *type; const ProtobufCMessageDescriptor *payload; } rows[] = {
		{"release.approaching", &reentry__release_approaching__descriptor},
		{"release.date-set", &reentry__release_date_set__descriptor},
		{"need.screened", &reentry__need_status_changed__descriptor},
		{"handover.offered", &reentry__handover_offered__descriptor},
		{"case.snapshot", &reentry__case_snapshot__descriptor},
		{"case.withdrawn", &reentry__nothing__descriptor},
		{"medication.bridged", &reentry__medication_bridged__descriptor},
		{"community-service.hours-booked", &reentry__service_hours_booked__descriptor},
	};
	for (size_t i = 0; i < COUNT(rows); i++)
		if (strcmp(rows[i].type, type) == 0)
			return rows[i].payload;
	return NULL;
}

/* From a heap block of exactly that size, so that a sanitizer sees a read behind the end. */
static int read_exact(const char *text, size_t n, struct json_event *ret_event, struct err *err)
{
	char *copy = malloc(n > 0 ? n : 1);
	assert_non_null(copy);
	memcpy(copy, text, n);
	int error = json_event_read(copy, n, payload_of, &arena, ret_event, err);
	free(copy);
	return error;
}

static struct json_event event_of(const char *text)
{
	struct json_event event = {0};
	struct err err = {0};
	if (read_exact(text, strlen(text), &event, &err) != 0)
		fail_msg("%s: %s", text, err.text);
	return event;
}

static void event_refused(const char *text, size_t n, const char *why)
{
	struct json_event event = {.sequence = 77};
	struct err err = {0};
	assert_int_equal(read_exact(text, n, &event, &err), ERR_INVALID);
	assert_int_equal(event.sequence, 77);
	if (strcmp(err.text, why) != 0)
		fail_msg("%.*s\n  said:   %s\n  wanted: %s", (int)n, text, err.text, why);
}
#define REFUSED(literal, why) event_refused(literal, sizeof(literal) - 1, why)
/* with the two members that must be there */
#define WRONG(members, why) REFUSED("{\"type\":\"release.date-set\",\"subject\":\"C-1\"," members "}", why)
#define WRONG_DATA(type, data, why) REFUSED("{\"type\":\"" type "\",\"subject\":\"C-1\",\"data\":" data "}", why)

static void test_wrong_types(void **state)
{
	(void)state;
	WRONG_DATA("release.date-set", "{\"dat\":1}", "data.dat: unknown member");
	WRONG_DATA("release.date-set", "{\"has_kind\":1}", "data.has_kind: unknown member");
	WRONG_DATA("release.date-set", "{\"\":1}", "data.: unknown member");
	WRONG_DATA("release.date-set", "{\"date\":20270225}", "data.date: not text");
	WRONG_DATA("release.date-set", "{\"date\":{\"days\":1}}", "data.date: not text");
	WRONG_DATA("release.date-set", "{\"kind\":1}", "data.kind: not text");
	WRONG_DATA("release.date-set", "{\"reason\":true}", "data.reason: not text");
	WRONG_DATA("release.date-set", "{\"reason\":null}", "data.reason: null; leave out what is not there");
	WRONG_DATA("release.date-set", "[]", "data: not an object");
	WRONG_DATA("release.date-set", "null", "data: not an object");
	WRONG_DATA("release.approaching", "{\"days_left\":3.0}", "data.days_left: not a whole number");
	WRONG_DATA("release.approaching", "{\"days_left\":1e2}", "data.days_left: not a whole number");
	WRONG_DATA("release.approaching", "{\"days_left\":\"3\"}", "data.days_left: not a whole number");
	WRONG_DATA("release.approaching", "{\"late\":1}", "data.late: not true or false");
	WRONG_DATA("release.approaching", "{\"skipped\":7}", "data.skipped: not an array");
	WRONG_DATA("release.approaching", "{\"skipped\":[7,null]}", "data.skipped: null; leave out what is not there");
	WRONG_DATA("release.approaching", "{\"skipped\":[7,[7]]}", "data.skipped: not a whole number");
	WRONG_DATA("release.approaching", "{\"open_needs\":[1]}", "data.open_needs: not text");
	WRONG_DATA("handover.offered", "{\"then\":\"care-b\"}", "data.then: not an array");
	WRONG_DATA("handover.offered", "{\"then\":[{}]}", "data.then: not text");
	WRONG_DATA("case.snapshot", "{\"needs\":[[]]}", "data.needs: not an object");
	WRONG_DATA("case.snapshot", "{\"needs\":[{\"need\":1}]}", "data.needs.need: not text");
	WRONG_DATA("case.snapshot", "{\"needs\":[{\"nee\":1}]}", "data.needs.nee: unknown member");
}

static const char full[] =
	"{\"specversion\":\"1.0\",\"id\":\"01890a5d-ac96-774b-bcce-b302099a8057\","
	"\"source\":\"urn:nld:oin:00000099000000000001:systeem:pi-utrecht\",\"type\":\"nl.reentry.release.approaching\","
	"\"subject\":\"C-1\",\"time\":\"2027-02-01T09:00:00Z\",\"datacontenttype\":\"application/json\","
	"\"sequence\":\"00000000000000000042\",\"recordedtime\":\"2027-02-01T09:00:00.123Z\",\"phase\":\"DURING\",\"op\":\"SUPERSEDE\","
	"\"target\":\"01890a5d-ac96-774b-bcce-b302099a8000\",\"slotversion\":2,\"priority\":\"URGENT\",\"sanction\":\"S-1\","
	"\"municipality\":\"0344\",\"causationid\":\"cause-1\",\"data\":{\"release_date\":\"2027-02-25\",\"days_left\":24,"
	"\"milestone\":24,\"late\":false,\"skipped\":[],\"open_needs\":[\"HOUSING\"]}}";

static void test_event_full(void **state)
{
	(void)state;
	struct json_event event = event_of(full);
	Reentry__Event *inner = event.event;
	assert_string_equal(inner->id, "01890a5d-ac96-774b-bcce-b302099a8057");
	assert_string_equal(inner->source, "pi-utrecht");
	assert_string_equal(event.source_oin, "00000099000000000001");
	assert_string_equal(inner->type, "release.approaching");
	assert_string_equal(inner->subject, "C-1");
	assert_true(event.has_time && event.has_recorded);
	assert_int_equal(event.time, INT64_C(1801472400000));
	assert_int_equal(event.recorded_at, INT64_C(1801472400123));
	assert_int_equal(event.sequence, 42);
	assert_int_equal(event.phase, REENTRY__PHASE__VALUE__DURING);
	assert_int_equal(inner->op, REENTRY__OP__VALUE__SUPERSEDE);
	assert_true(inner->has_op && inner->has_priority && inner->has_slot_version && inner->has_data);
	assert_int_equal(inner->priority, REENTRY__PRIORITY__VALUE__URGENT);
	assert_int_equal(inner->slot_version, 2);
	assert_string_equal(inner->sanction, "S-1");
	assert_string_equal(event.municipality, "0344");
	assert_string_equal(inner->cause, "cause-1");
	buf_clear(&out);
	assert_int_equal(json_event_write(&out, &event, payload_of), 0);
	assert_string_equal(written(), full);
}

static void test_event_defaults(void **state)
{
	(void)state;
	struct json_event event = event_of("{\"subject\":\"C-1\",\"type\":\"case.withdrawn\"}");
	assert_null(event.event->id);
	assert_null(event.event->source);
	assert_false(event.has_time);
	buf_clear(&out);
	assert_int_equal(json_event_write(&out, &event, payload_of), 0);
	assert_string_equal(written(), "{\"specversion\":\"1.0\",\"type\":\"nl.reentry.case.withdrawn\",\"subject\":\"C-1\","
		"\"datacontenttype\":\"application/json\",\"op\":\"NEW\",\"priority\":\"NORMAL\",\"data\":{}}");
	event.event->source = (char[]){"desk-nl"};
	buf_clear(&out);
	assert_int_equal(json_event_write(&out, &event, payload_of), 0);
	assert_non_null(strstr(written(), "\"source\":\"urn:nld:oin:00000000000000000000:systeem:desk-nl\","));
}

/* Two ways to say the same are the same bytes, so that a repeated event is a duplicate and not an id-conflict. */
static void test_event_same_bytes(void **state)
{
	(void)state;
	static const char *const same[] = {
		"{\"type\":\"release.date-set\",\"subject\":\"C-1\",\"source\":\"pi-utrecht\",\"data\":{\"date\":\"2027-02-25\",\"kind\":\"EXPECTED\"}}",
		"{\"data\":{\"kind\":\"EXPECTED\",\"date\":\"2027-02-25\"},\"op\":\"NEW\",\"priority\":\"NORMAL\",\"specversion\":\"1.0\","
		"\"datacontenttype\":\"application/json\",\"source\":\"urn:nld:oin:00000099000000000001:systeem:pi-utrecht\","
		"\"type\":\"nl.reentry.release.date-set\",\"subject\":\"C-1\",\"time\":\"2027-02-01T10:00:00+01:00\",\"phase\":\"BEFORE\","
		"\"sequence\":\"00000000000000000007\",\"municipality\":\"0344\",\"recordedtime\":\"2027-02-01T09:00:00z\"}",
	};
	uint8_t *bytes[2];
	size_t n[2];
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(pb_pack(event_of(same[i]).event, &arena, &bytes[i], &n[i]), 0);
	assert_int_equal(n[0], n[1]);
	assert_memory_equal(bytes[0], bytes[1], n[0]);
	assert_false(event_of("{\"type\":\"case.withdrawn\",\"subject\":\"C-1\",\"data\":{}}").event->has_data);
	assert_false(event_of("{\"type\":\"case.withdrawn\",\"subject\":\"C-1\"}").event->has_data);
	assert_true(event_of("{\"type\":\"case.withdrawn\",\"subject\":\"C-1\",\"data\":{\"reason\":\"\"}}").event->has_data);
}

static void test_event_sequence(void **state)
{
	(void)state;
	struct json_event event = event_of("{\"type\":\"case.withdrawn\",\"subject\":\"C-1\",\"sequence\":\"18446744073709551615\"}");
	assert_true(event.sequence == UINT64_MAX);
}

static void test_event_unknown_type(void **state)
{
	(void)state;
	struct json_event event = event_of("{\"type\":\"no.such-type\",\"subject\":\"C-1\",\"data\":{\"x\":[1,{\"y\":null}]}}");
	assert_string_equal(event.event->type, "no.such-type");
	assert_false(event.event->has_data);
	struct json_event again = {0};
	static const char text[] = "{\"type\":\"release.date-set\",\"subject\":\"C\",\"data\":{\"x\":1}}";
	assert_int_equal(json_event_read(text, strlen(text), NULL, &arena, &again, NULL), 0);
	assert_false(again.event->has_data);
}

static void test_event_refused(void **state)
{
	(void)state;
	static const char reference[] = "not a reference (1-64 of A-Z a-z 0-9 . _ -)";
	static const char moment_form[] = "time: not a moment (RFC 3339, such as 2027-02-25T10:00:00Z)";
	static const char source[] = "source: not urn:nld:oin:<20 digits>:systeem:<agency id>, nor an agency id";
	char id[80];
	(void)snprintf(id, sizeof id, "id: %s", reference);
	REFUSED("{}", "type: missing");
	REFUSED("{\"type\":\"release.date-set\"}", "subject: missing");
	REFUSED("{\"subject\":\"C-1\"}", "type: missing");
	REFUSED("{\"type\":7,\"subject\":\"C-1\"}", "type: not text");
	REFUSED("{\"type\":\"nl.reentry.\",\"subject\":\"C-1\"}", "type: not a type, such as release.date-set");
	REFUSED("{\"type\":\"a b\",\"subject\":\"C-1\"}", "type: not a type, such as release.date-set");
	REFUSED("{\"type\":\"release.date-set\",\"subject\":\"C 1\"}", "subject: not a reference (1-64 of A-Z a-z 0-9 . _ -)");
	WRONG("\"colour\":1", "colour: unknown member");
	WRONG("\"Op\":\"NEW\"", "Op: unknown member");
	WRONG("\"data_base64\":\"AA==\"", "data_base64: unknown member");
	WRONG("\"specversion\":\"1.1\"", "specversion: not \"1.0\"");
	WRONG("\"specversion\":1.0", "specversion: not \"1.0\"");
	WRONG("\"datacontenttype\":\"text/plain\"", "datacontenttype: not \"application/json\"");
	WRONG("\"id\":\"\"", id);
	WRONG("\"id\":\"a/b\"", id);
	WRONG("\"id\":null", id);
	WRONG("\"id\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"", id);
	WRONG("\"op\":\"new\"", "op: not one of NEW, SUPERSEDE, CANCEL, RETRACT");
	WRONG("\"op\":1", "op: not text");
	WRONG("\"priority\":\"HIGH\"", "priority: not one of NORMAL, URGENT");
	WRONG("\"phase\":\"\"", "phase: not one of BEFORE, DURING, AFTER");
	WRONG("\"slotversion\":0", "slotversion: not a whole number from 1 to 4294967295");
	WRONG("\"slotversion\":1.0", "slotversion: not a whole number from 1 to 4294967295");
	WRONG("\"slotversion\":4294967296", "slotversion: not a whole number from 1 to 4294967295");
	WRONG("\"slotversion\":\"1\"", "slotversion: not a whole number from 1 to 4294967295");
	WRONG("\"time\":\"2027-02-01\"", moment_form);
	WRONG("\"time\":1801472400", moment_form);
	WRONG("\"sequence\":42", "sequence: not a sequence (20 digits)");
	WRONG("\"sequence\":\"42\"", "sequence: not a sequence (20 digits)");
	WRONG("\"sequence\":\"99999999999999999999\"", "sequence: not a sequence (20 digits)");
	WRONG("\"sequence\":\"18446744073709551616\"", "sequence: not a sequence (20 digits)");
	WRONG("\"sequence\":\"0000000000000000004a\"", "sequence: not a sequence (20 digits)");
	WRONG("\"municipality\":\"03-4\"", "municipality: not a municipality code (4 digits)");
	WRONG("\"municipality\":\"34\"", "municipality: not a municipality code (4 digits)");
	WRONG("\"municipality\":344", "municipality: not a municipality code (4 digits)");
	WRONG("\"source\":\"PI\"", source);
	WRONG("\"source\":\"\"", source);
	WRONG("\"source\":\"urn:nld:oin:0000009900000000001:systeem:pi-utrecht\"", source);
	WRONG("\"source\":\"urn:nld:oin:00000099000000000001:system:pi-utrecht\"", source);
	WRONG("\"source\":\"urn:nld:oin:00000099000000000001\"", source);
	WRONG("\"source\":\"urn:nld:oin:00000099000000000001:systeem:\"", source);
	WRONG("\"data\":7", "data: not an object");
}

static void test_not_json(void **state)
{
	(void)state;
	REFUSED("", "column 0: ends too early");
	REFUSED("[]", "not a JSON object");
	REFUSED("7", "column 1: not JSON");
	REFUSED("{\"type\":}", "column 9: not JSON");
	REFUSED("{\"type\":\"secret words\"", "column 22: ends too early");
	REFUSED("{} {}", "column 4: something follows the end");
	REFUSED("{}\0", "column 3: something follows the end");
	REFUSED("{\"type\":\"a\",\"type\":\"a\"}", "column 18: a member occurs twice: type");
	REFUSED("{\"type\":\"a\",\"subject\":\"b\",\"data\":{\"x\":1,\"x\":1}}", "column 43: a member occurs twice: x");
	REFUSED("{\"id\":\"a\\u0000b\"}", "column 16: a NUL character in text");
	REFUSED("{\"a\\u0000b\":1}", "column 11: a NUL character in a name");
	REFUSED("{\"id\":\"a\0b\"}", "column 8: not JSON");
	REFUSED("{\"id\":\"\xff\"}", "column 7: text that is not UTF-8");
	REFUSED("{\"id\":\"\xed\xa0\x80\"}", "column 7: text that is not UTF-8");
	REFUSED("{\"id\":\"\xc0\x80\"}", "column 7: text that is not UTF-8");
	REFUSED("{\"id\":\"\\ud800\"}", "column 14: not JSON");
	REFUSED("{\"x\":99999999999999999999}", "column 25: a number that is too large");
	REFUSED("{\"x\":1e999}", "column 10: a number that is too large");
	REFUSED("{\"x\":NaN}", "column 8: not JSON");
	REFUSED("\xef\xbb\xbf{}", "column 1: not JSON");
}

static void test_truncated(void **state)
{
	(void)state;
	for (size_t cut = 0; cut < sizeof full - 1; cut++) {
		struct json_event event;
		struct err err = {0};
		assert_int_equal(read_exact(full, cut, &event, &err), ERR_INVALID);
		assert_true(strlen(err.text) > 0);
		arena_reset(&arena);
	}
}

static void test_mutated(void **state)
{
	(void)state;
	static const char bytes[] = "{}[]\",:\\u0d8tf1-e.\n\xff\xc3\xa9";
	uint64_t seed = 31;
	size_t accepted = 0;
	for (int round = 0; round < 3000; round++) {
		char text[sizeof full];
		struct json_event event;
		memcpy(text, full, sizeof full);
		for (uint64_t flips = 1 + sample_random(&seed) % 2; flips > 0; flips--)
			text[sample_random(&seed) % (sizeof full - 1)] = bytes[sample_random(&seed) % (sizeof bytes - 1)];
		int error = read_exact(text, sizeof full - 1, &event, NULL);
		assert_true(error == 0 || error == ERR_INVALID);
		if (error == 0) {
			buf_clear(&out);
			assert_int_equal(json_event_write(&out, &event, payload_of), 0);
			accepted++;
		}
		arena_reset(&arena);
	}
	assert_true(accepted > 10);
}

static void nested_text(char *text, const char *open, const char *close, size_t levels)
{
	size_t n_open = strlen(open), n_close = strlen(close);
	for (size_t i = 0; i < levels; i++)
		memcpy(text + i * n_open, open, n_open);
	for (size_t i = 0; i < levels; i++)
		memcpy(text + levels * n_open + i * n_close, close, n_close);
	text[levels * (n_open + n_close)] = '\0';
}

static void test_nesting(void **state)
{
	(void)state;
	static char text[700000];
	struct json_member *members;
	size_t n;
	struct err err;
	nested_text(text, "{\"a\":", "}", 16);
	text[16 * 5 - 1] = ' '; /* the innermost is {"a" }: make it whole */
	memcpy(text + 15 * 5, "{    ", 5);
	assert_int_equal(json_object_read(text, strlen(text), &arena, &members, &n, &err), 0);
	nested_text(text, "{\"a\":", "}", 17);
	assert_int_equal(json_object_read(text, strlen(text), &arena, &members, &n, &err), ERR_INVALID);
	assert_string_equal(err.text, "nested too deep");
	nested_text(text, "[", "]", 300000);
	event_refused(text, strlen(text), "nested too deep");
	memset(text, '[', 300000);
	text[300000] = '\0';
	event_refused(text, 300000, "nested too deep");
	/* brackets inside text are text, also behind an escaped quote */
	struct json_event event = event_of("{\"type\":\"case.withdrawn\",\"subject\":\"C\",\"data\":{\"reason\":\"\\\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\"}}");
	assert_true(event.event->has_data);
}

static void test_bounds(void **state)
{
	(void)state;
	size_t room = ((size_t)4 << 20) + 1;
	char *text = malloc(room);
	struct json_event event;
	struct err err;
	assert_non_null(text);
	memset(text, ' ', room);
	assert_int_equal(json_event_read(text, room, payload_of, &arena, &event, &err), ERR_TOOBIG);
	assert_string_equal(err.text, "more than 4194304 bytes of JSON");
	free(text);
	/* one array of more values than a message may hold */
	buf_clear(&out);
	(void)buf_text(&out, "{\"type\":\"release.approaching\",\"subject\":\"C\",\"data\":{\"skipped\":[1");
	for (int i = 0; i < PB_FIELDS_MAX; i++)
		(void)buf_text(&out, ",1");
	(void)buf_text(&out, "]}}");
	event_refused(written(), out.n, "data.skipped: too many values in one message");
	/* memory: ERR_NOMEM wherever it runs out, until there is enough */
	struct arena small;
	size_t failed = 0;
	int error = ERR_NOMEM;
	for (size_t max = 1; error != 0 && max < 100000; max += 29) {
		arena_init(&small, max);
		error = json_event_read(full, sizeof full - 1, payload_of, &small, &event, &err);
		assert_true(error == ERR_NOMEM || error == 0);
		failed += error != 0;
		arena_release(&small);
	}
	assert_int_equal(error, 0);
	assert_true(failed > 30);
}

static void test_receipts(void **state)
{
	(void)state;
	static const struct { struct json_receipt receipt; const char *text; } rows[] = {
		{{"E-1", "accepted", 42, NULL, NULL}, "{\"id\":\"E-1\",\"result\":\"accepted\",\"sequence\":\"00000000000000000042\"}"},
		{{"E-1", "duplicate", UINT64_MAX, NULL, NULL}, "{\"id\":\"E-1\",\"result\":\"duplicate\",\"sequence\":\"18446744073709551615\"}"},
		{{"E-1", "refused", 0, "invalid-value", "data.date: \"x\""},
			"{\"id\":\"E-1\",\"result\":\"refused\",\"code\":\"invalid-value\",\"detail\":\"data.date: \\\"x\\\"\"}"},
		{{NULL, "refused", 0, "malformed", ""}, "{\"result\":\"refused\",\"code\":\"malformed\"}"},
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		buf_clear(&out);
		assert_int_equal(json_receipt_write(&out, &rows[i].receipt), 0);
		assert_string_equal(written(), rows[i].text);
	}
}

static void test_erased(void **state)
{
	(void)state;
	struct json_event event = event_of(full);
	event.order = "ORDER-1";
	buf_clear(&out);
	assert_int_equal(json_event_write(&out, &event, payload_of), 0);
	assert_non_null(strstr(written(), ",\"causationid\":\"cause-1\",\"erased\":\"ORDER-1\"}"));
	assert_null(strstr(written(), "\"data\""));
	event = (struct json_event){.sequence = 3, .order = "ORDER-1", .phase = 99};
	buf_clear(&out);
	assert_int_equal(json_event_write(&out, &event, payload_of), 0);
	assert_string_equal(written(), "{\"specversion\":\"1.0\",\"datacontenttype\":\"application/json\","
		"\"sequence\":\"00000000000000000003\",\"op\":\"NEW\",\"priority\":\"NORMAL\",\"erased\":\"ORDER-1\"}");
}

/* A payload of a type or with a field that only a newer program knows gets through, and is seen to be opaque. */
static void test_opaque(void **state)
{
	(void)state;
	static uint8_t data[] = {0xfb, 0x07, 0xff, 0x00};
	static const struct { const char *type; size_t n; const char *text; } rows[] = {
		{"future.type", 3, "\"data_base64\":\"+wf/\"}"}, {"future.type", 4, "\"data_base64\":\"+wf/AA==\"}"},
		{"future.type", 2, "\"data_base64\":\"+wc=\"}"}, {"release.date-set", 3, "\"data_base64\":\"+wf/\"}"},
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		Reentry__Event inner = REENTRY__EVENT__INIT;
		struct json_event event = {.event = &inner};
		char type[32];
		(void)snprintf(type, sizeof type, "%s", rows[i].type);
		inner.type = type, inner.has_data = 1, inner.data = (ProtobufCBinaryData){rows[i].n, data};
		buf_clear(&out);
		assert_int_equal(json_event_write(&out, &event, payload_of), 0);
		assert_non_null(strstr(written(), rows[i].text));
		assert_non_null(strstr(written(), "\"datacontenttype\":\"application/protobuf\""));
	}
}

/* What came in over the network and was not checked cannot break out of its place in the text. */
static void test_hostile_event_output(void **state)
{
	(void)state;
	static char bad[] = "\",\"x\":\"\xff\n";
	Reentry__Event inner = REENTRY__EVENT__INIT;
	struct json_event event = {.event = &inner, .source_oin = bad, .municipality = bad, .has_time = true, .time = INT64_MAX};
	struct json_member *members;
	size_t n;
	inner.id = inner.type = inner.source = inner.subject = inner.sanction = inner.target = inner.cause = bad;
	inner.has_op = 1, inner.op = (Reentry__Op__Value)7, inner.has_priority = 1, inner.priority = (Reentry__Priority__Value)-1;
	buf_clear(&out);
	assert_int_equal(json_event_write(&out, &event, payload_of), 0);
	assert_int_equal(json_object_read(written(), out.n, &arena, &members, &n, NULL), 0);
	assert_int_equal(n, 9);
	for (size_t i = 0; i < n; i++)
		assert_string_not_equal(members[i].name, "x");
}

static void test_event_round_trips(void **state)
{
	(void)state;
	static const char *const types[] = {"release.approaching", "handover.offered", "case.snapshot", "medication.bridged", "need.screened"};
	uint64_t seed = 5;
	for (int round = 0; round < 100; round++) {
		Reentry__Event inner = REENTRY__EVENT__INIT;
		char type[40], subject[] = "C-1";
		struct json_event event = {.event = &inner, .sequence = 1 + sample_random(&seed) % 100};
		(void)snprintf(type, sizeof type, "%s", types[sample_random(&seed) % COUNT(types)]);
		inner.type = type, inner.subject = subject;
		ProtobufCMessage *payload = sample_message(payload_of(type), &arena, &seed);
		assert_int_equal(pb_pack(payload, &arena, &inner.data.data, &inner.data.len), 0);
		inner.has_data = 1;
		buf_clear(&out);
		assert_int_equal(json_event_write(&out, &event, payload_of), 0);
		struct json_event back = event_of(written());
		assert_int_equal(back.sequence, event.sequence);
		assert_int_equal(back.event->data.len, inner.data.len);
		if (inner.data.len > 0)
			assert_memory_equal(back.event->data.data, inner.data.data, inner.data.len);
		arena_reset(&arena);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_wrong_types), cmocka_unit_test(test_event_full), cmocka_unit_test(test_event_defaults),
		cmocka_unit_test(test_event_same_bytes), cmocka_unit_test(test_event_sequence), cmocka_unit_test(test_event_unknown_type),
		cmocka_unit_test(test_event_refused), cmocka_unit_test(test_not_json), cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_mutated), cmocka_unit_test(test_nesting), cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_receipts), cmocka_unit_test(test_erased), cmocka_unit_test(test_opaque),
		cmocka_unit_test(test_hostile_event_output), cmocka_unit_test(test_event_round_trips),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
