/* Proves that a configuration is read as its table says, that whatever is wrong with it is refused with file, line, key and what to do, also where libconfig 1.5 would have let it pass,
 * and that what is printed reads back to the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <sys/stat.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/civil.h"
#include "tests/unit/conf_table.h"

/* The least that is a whole configuration, on two lines; what a test is about stands before or behind it. */
#define BROKER "broker = { id = \"broker-nl\"; key = \"k\"; endpoints = [ \"tcp://127.0.0.1:1\" ]; };\n"
#define AGENCIES "agencies = ( { id = \"gm0344\"; keys = [ \"k\" ]; } );\n"
#define LEAST BROKER AGENCIES

static struct arena arena;
static struct conf_table table;
static struct err err;

static int set_up(void **state)
{
	(void)state;
	arena_init(&arena, 0);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	arena_release(&arena);
	return 0;
}

static int parse(const char *text)
{
	memset(&table, 0, sizeof table);
	memset(&err, 0, sizeof err);
	return conf_parse(text, "test.cfg", "/etc/reentry", conf_table_rows, &table, &arena, &err);
}

static void assert_parses(const char *text)
{
	if (parse(text) != OK)
		fail_msg("%s\nin\n%s", err.text, text);
}

/* begin: "LINE: key: " or as far as it matters; hint: what the message must say as well. */
struct fault { const char *text, *begin, *hint; };

static void check_faults(const struct fault *faults, size_t n)
{
	char expected[128];

	for (size_t i = 0; i < n; i++) {
		int code = parse(faults[i].text);

		(void)snprintf(expected, sizeof expected, "test.cfg:%s", faults[i].begin);
		if (code != ERR_INVALID || err.code != code || strncmp(err.text, expected, strlen(expected)) != 0 || !strstr(err.text, faults[i].hint))
			fail_msg("%s\nsays %d \"%s\"\nnot \"%s\" … \"%s\"", faults[i].text, code, err.text, expected, faults[i].hint);
	}
}
#define CHECK_FAULTS(...) check_faults((const struct fault[]){ __VA_ARGS__ }, sizeof (struct fault[]){ __VA_ARGS__ } / sizeof(struct fault))

/* --- what is right ---------------------------------------------------------------------------------------------- */

static const char whole[] =
	"# A whole one, in the forms that libconfig knows.\n"
	"broker : {\n"
	"  id = \"broker-nl\", key = \"keys/broker.key\"; // of its sockets\n"
	"  log = \"/var/log/reentry\"; note = \"say \\\"hi\\\" \\\\ \xc3\xa9\";\n"
	"  endpoints = [ \"tcp://127.0.0.1:1\",\n    \"tcp://127.0.0.1:2\" ];\n"
	"  numbers = [ -1, 5000000000L, 007 ];\n"
	"  files = [ \"x/y\", \"/z\" ];\n"
	"}\n"
	"limits = { burst = 16; free = 9223372036854775807L; turn = \"90s\"; size = \"3KiB\"; least = 2147483647; strict = False; };\n"
	"/* dates\n   come sorted */\n"
	"calendar = { zone = \"UTC\"; notice_time = \"23:59\"; holidays = [ \"2027-12-25\", \"2027-01-01\", \"2027-03-26\" ]; };\n"
	"extra = { on = false; days = 366; };\n"
	"agencies = (\n"
	"  { id = \"gm0344\"; keys = [ \"k\" ]; contact = \"desk\"; },\n"
	"  { id = \"audit-nl\"; keys = [ \"/k\", \"l\" ]; scope = { types = [ \"*\" ]; inner = { depth = 2; }; }; }\n"
	")\n"
	"# the end, without a newline";

static void a_whole_configuration_is_read(void **state)
{
	(void)state;
	assert_parses(whole);
	assert_string_equal(table.broker.id, "broker-nl");
	assert_string_equal(table.broker.key, "/etc/reentry/keys/broker.key");
	assert_string_equal(table.broker.log, "/var/log/reentry");
	assert_string_equal(table.broker.note, "say \"hi\" \\ \xc3\xa9");
	assert_int_equal(table.broker.endpoints.n, 2);
	assert_string_equal(table.broker.endpoints.items[1], "tcp://127.0.0.1:2");
	assert_int_equal(table.broker.numbers.n, 3);
	assert_int_equal(table.broker.numbers.items[0], -1);
	assert_int_equal(table.broker.numbers.items[1], INT64_C(5000000000));
	assert_int_equal(table.broker.numbers.items[2], 7);
	assert_int_equal(table.broker.files.n, 2);
	assert_string_equal(table.broker.files.items[0], "/etc/reentry/x/y");
	assert_string_equal(table.broker.files.items[1], "/z");
	assert_int_equal(table.limits.burst, 16);
	assert_true(table.limits.free == INT64_MAX);
	assert_int_equal(table.limits.turn, 90000);
	assert_int_equal(table.limits.size, 3072);
	assert_int_equal(table.limits.least, INT32_MAX);
	assert_false(table.limits.strict);
}

static void dates_times_lists_and_groups_are_read(void **state)
{
	const struct conf_table_agency *agencies;

	(void)state;
	assert_parses(whole);
	assert_string_equal(table.calendar.zone, "UTC");
	assert_int_equal(table.calendar.notice_time, 23 * 60 + 59);
	assert_int_equal(table.calendar.holidays.n, 3);
	assert_int_equal(table.calendar.holidays.items[0], civil_from_ymd(2027, 1, 1));
	assert_int_equal(table.calendar.holidays.items[1], civil_from_ymd(2027, 3, 26));
	assert_int_equal(table.calendar.holidays.items[2], civil_from_ymd(2027, 12, 25));
	assert_true(table.has_extra);
	assert_false(table.extra.on);
	assert_int_equal(table.extra.days, 366);
	agencies = table.agencies.items;
	assert_int_equal(table.agencies.n, 2);
	assert_string_equal(agencies[0].contact, "desk");
	assert_false(agencies[0].has_scope);
	assert_int_equal(agencies[0].scope.types.n, 0);
	assert_string_equal(agencies[1].id, "audit-nl");
	assert_string_equal(agencies[1].contact, "");
	assert_string_equal(agencies[1].keys.items[0], "/k");
	assert_true(agencies[1].has_scope && agencies[1].has_inner);
	assert_string_equal(agencies[1].scope.types.items[0], "*");
	assert_int_equal(agencies[1].scope.inner.depth, 2);
}

static void what_is_left_out_has_its_default(void **state)
{
	(void)state;
	assert_parses(LEAST);
	assert_null(table.broker.log);
	assert_string_equal(table.broker.note, "");
	assert_int_equal(table.broker.numbers.n, 3);
	assert_int_equal(table.broker.numbers.items[2], 2);
	assert_string_equal(table.broker.files.items[0], "/etc/reentry/a");
	assert_string_equal(table.broker.files.items[1], "/b");
	assert_int_equal(table.limits.burst, 1024);
	assert_true(table.limits.free == INT64_C(-5000000000));
	assert_int_equal(table.limits.turn, 5);
	assert_int_equal(table.limits.size, 4 << 20);
	assert_true(table.limits.strict);
	assert_string_equal(table.calendar.zone, "Europe/Amsterdam");
	assert_int_equal(table.calendar.notice_time, 480);
	assert_int_equal(table.calendar.holidays.n, 0);
	assert_null(table.calendar.holidays.items);
	/* A group that may be left out has no defaults while it is not there, and has them once it is. */
	assert_false(table.has_extra);
	assert_false(table.extra.on);
	assert_parses(LEAST "extra = { };\n");
	assert_true(table.has_extra && table.extra.on);
	assert_int_equal(table.extra.days, 0);
}

static void bounds_are_within(void **state)
{
	(void)state;
	assert_parses(LEAST "limits = { burst = 1; turn = \"0ms\"; size = \"1024B\"; least = 5; };");
	assert_parses(LEAST "limits = { burst = 65536; turn = \"24h\"; size = \"1024GiB\"; };");
	assert_parses(LEAST "calendar = { notice_time = \"00:00\"; holidays = [ \"1900-01-01\", \"2028-02-29\" ]; };");
	assert_parses("broker = { id = \"12345678901234567890123456789012\"; key = \"k\"; endpoints = [ \"1\", \"2\", \"3\" ]; }" AGENCIES);
}

/* --- what is wrong ---------------------------------------------------------------------------------------------- */

static void unknown_keys_are_named_with_their_line(void **state)
{
	(void)state;
	CHECK_FAULTS({ LEAST "brocker = {};", "3: brocker: ", "is broker meant?" }, { LEAST "limits = {\n  brust = 3;\n};", "4: limits.brust: ", "is burst meant?" },
	             { LEAST "limits = {\n\n  something_else = 3; };", "5: limits.something_else: ", "burst free turn size least strict" },
	             { BROKER "agencies = (\n { id = \"a\"; keys = [ \"k\" ]; },\n { id = \"b\";\n rol = \"x\"; }\n);", "5: agencies[1].rol: ", "not known" },
	             { BROKER "agencies = ( { id = \"a\"; keys = [ \"k\" ];\nscope = {\nTypes = []; }; } );", "4: agencies[0].scope.Types: ", "is types meant?" },
	             { LEAST "a-very-long-name-that-nobody-can-have-meant-to-write-here-at-all-and-more = 1;", "3: a-very", "broker limits calendar agencies extra" });
}

static void missing_keys_are_named(void **state)
{
	(void)state;
	CHECK_FAULTS({ "broker = {\n  id = \"b\"; endpoints = [ \"e\" ];\n};\n" AGENCIES, "1: broker.key: is missing", "must be a path in quotes: What key is for." },
	             { "\n\nbroker = { id = \"b\"; key = \"k\"; };", "3: broker.endpoints: is missing", "list of texts" },
	             { "", " broker.id: is missing", "a text in quotes" }, { BROKER, " agencies: is missing", "Who takes part." },
	             { BROKER "agencies = (\n{ id = \"a\"; }\n);", "3: agencies[0].keys: is missing", "list of paths" },
	             { BROKER "agencies = ( { id = \"a\"; keys = [ \"k\" ]; scope = {\ninner = { }; }; });", "3: agencies[0].scope.inner.depth: is missing", "whole number" });
}

static void wrong_types_are_told_what_was_expected(void **state)
{
	(void)state;
	CHECK_FAULTS({ LEAST "limits = { burst = \"16\"; };", "3: limits.burst: ", "must be a whole number without quotes" },
	             { LEAST "limits = { burst = 1.5; };", "3: limits.burst: ", "whole number" }, { LEAST "limits = { burst = 1e3; };", "3: limits.burst: ", "whole number" },
	             { LEAST "limits = { burst = true; };", "3: limits.burst: ", "whole number" }, { LEAST "limits = { strict = 1; };", "3: limits.strict: ", "must be true or false" },
	             { LEAST "limits = { strict = \"true\"; };", "3: limits.strict: ", "must be true or false" },
	             { LEAST "limits = { turn = 5; };", "3: limits.turn: ", "as \"45min\" (units ms s min h d)" }, { LEAST "limits = { size = 4096; };", "3: limits.size: ", "as \"64MiB\" (units B KiB MiB GiB)" },
	             { LEAST "limits = [ 1 ];", "3: limits: ", "must be a group" }, { LEAST "limits = ( { } );", "3: limits: ", "must be a group" },
	             { LEAST "calendar = { zone = [ \"UTC\" ]; };", "3: calendar.zone: ", "must be a text in quotes" }, { LEAST "calendar = { notice_time = 8; };", "3: calendar.notice_time: ", "as \"08:00\"" },
	             { LEAST "calendar = { holidays = \"2027-01-01\"; };", "3: calendar.holidays: ", "must be a list of dates" },
	             { LEAST "calendar = { holidays = [\n\"2027-01-01\",\n\"x\" ]; };", "5: calendar.holidays[1]: ", "\"x\" is not a date in quotes, as \"2027-02-25\"" },
	             { LEAST "calendar = { holidays = ( \"2027-01-01\" ); };", "3: calendar.holidays: ", "must be a list of dates" },
	             { LEAST "calendar = { holidays = [ 1 ]; };", "3: calendar.holidays[0]: ", "must be a date" },
	             { "broker = { id = 7; };", "1: broker.id: ", "must be a text in quotes" }, { "broker = { id = \"b\"; key = { }; };", "1: broker.key: ", "must be a path in quotes" },
	             { "broker = { id = \"b\"; key = \"k\"; endpoints = \"e\"; };", "1: broker.endpoints: ", "as [ \"a\", \"b\" ]" },
	             { "broker = { id = \"b\"; key = \"k\"; endpoints = [ 1 ]; };", "1: broker.endpoints[0]: ", "must be a text" },
	             { "broker = { id = \"b\"; key = \"k\"; endpoints = [ \"e\" ]; numbers = [ \"1\" ]; };", "1: broker.numbers[0]: ", "whole number" },
	             { BROKER "agencies = { id = \"a\"; };", "2: agencies: ", "must be a list of groups" }, { BROKER "agencies = [ ];", "2: agencies: ", "must be a list of groups" },
	             { BROKER "agencies = ( { id = \"a\"; keys = [ \"k\" ]; },\n \"b\" );", "3: agencies[1]: ", "must be a group" });
}

static void values_out_of_range_are_told_the_range(void **state)
{
	(void)state;
	CHECK_FAULTS({ LEAST "limits = { burst = 0; };", "3: limits.burst: ", "is 0; it must be from 1 to 65536" }, { LEAST "limits = { burst = 65537; };", "3: limits.burst: ", "from 1 to 65536" },
	             { LEAST "limits = { burst = 4294967297L; };", "3: limits.burst: ", "is 4294967297L; it must be" }, { LEAST "limits = { least = 4; };", "3: limits.least: ", "is 4; at least 5 is needed" },
	             { LEAST "limits = { turn = \"25h\"; };", "3: limits.turn: ", "is 25h; it must be from 0ms to 1d" }, { LEAST "limits = { size = \"1B\"; };", "3: limits.size: ", "from 1KiB to 1024GiB" },
	             { "broker = { id = \"\"; };", "1: broker.id: ", "has 0 bytes; it must be from 1 to 32" },
	             { "broker = { id = \"123456789012345678901234567890123\"; };", "1: broker.id: ", "has 33 bytes" },
	             { "broker = { id = \"b\"; key = \"\"; };", "1: broker.key: ", "is an empty path" },
	             { "broker = { id = \"b\"; key = \"k\"; endpoints = [ ]; };", "1: broker.endpoints: ", "has 0 entries; it must be from 1 to 3" },
	             { "broker = { id = \"b\"; key = \"k\"; endpoints = [ \"1\", \"2\", \"3\", \"4\" ]; };", "1: broker.endpoints: ", "has 4 entries" },
	             { BROKER "agencies = ( );", "2: agencies: ", "has 0 entries; it must be from 1 to 100" }, { LEAST "extra = { days = -1; };", "3: extra.days: ", "from 0 to 366" },
	             { LEAST "calendar = { holidays = [ \"2027-01-02\", \"2027-01-01\", \"2027-01-02\" ]; };", "3: calendar.holidays: ", "2027-01-02 stands there twice" });
}

static void values_that_mean_nothing_are_shown(void **state)
{
	(void)state;
	CHECK_FAULTS({ LEAST "limits = { turn = \"5\"; };", "3: limits.turn: ", "\"5\" is not a duration" }, { LEAST "limits = { turn = \"5 ms\"; };", "3: ", "is not a duration" },
	             { LEAST "limits = { turn = \"-5ms\"; };", "3: ", "is not a duration" }, { LEAST "limits = { turn = \"1.5s\"; };", "3: ", "is not a duration" },
	             { LEAST "limits = { turn = \"5KiB\"; };", "3: ", "is not a duration" }, { LEAST "limits = { size = \"5MB\"; };", "3: ", "is not a size" },
	             { LEAST "limits = { size = \"\"; };", "3: ", "is not a size" }, { LEAST "limits = { turn = \"99999999999999999999ms\"; };", "3: ", "is not a duration" },
	             { LEAST "calendar = { notice_time = \"8:00\"; };", "3: ", "is not a time" }, { LEAST "calendar = { notice_time = \"24:00\"; };", "3: ", "is not a time" },
	             { LEAST "calendar = { notice_time = \"08:60\"; };", "3: ", "is not a time" }, { LEAST "calendar = { notice_time = \"08:00:00\"; };", "3: ", "is not a time" },
	             { LEAST "calendar = { holidays = [ \"2027-02-29\" ]; };", "3: calendar.holidays[0]: ", "is not a date" });
}

/* What libconfig 1.5 takes without a word: 4294967297 for 1, 99999999999999999999 for -1, 0xffffffff for -1. */
static void integers_that_would_wrap_are_refused(void **state)
{
	(void)state;
	CHECK_FAULTS({ LEAST "limits = {\n burst = 4294967297; };", "4: ", "number 4294967297 is large and needs an L behind it; write 4294967297L" },
	             { LEAST "limits = { free = 2147483648; };", "3: ", "write 2147483648L" }, { LEAST "limits = { free = -2147483649; };", "3: ", "write -2147483649L" },
	             { LEAST "limits = { free = 99999999999999999999; };", "3: ", "out of range" }, { LEAST "limits = { free = 9223372036854775808L; };", "3: ", "out of range" },
	             { LEAST "limits = { free = 9999999999999999999999999999999999L; };", "3: ", "is too long" }, { LEAST "limits = { burst = 0x100000001; };", "3: ", "write it in decimal" },
	             { LEAST "limits = { free = 0xffffffffffffffffL; };", "3: ", "write it in decimal" }, { LEAST "broker2 = [ 1, 4294967297 ];", "3: ", "write 4294967297L" });
	assert_parses(LEAST "limits = { free = -2147483648; least = 2147483647; };");
	assert_true(table.limits.free == INT32_MIN && table.limits.least == INT32_MAX);
	assert_parses(LEAST "limits = { free = -9223372036854775808LL; };");
	assert_true(table.limits.free == INT64_MIN);
	assert_parses(LEAST "calendar = { zone = \"4294967297 0x1\"; }; # 4294967297 /* 0x1\n");
}

static void what_libconfig_would_hide_is_refused(void **state)
{
	(void)state;
	CHECK_FAULTS({ "@include \"/etc/passwd\"\n", "1: ", "@include is not supported" }, { LEAST "limits = {\n  @include \"other.cfg\"\n};", "4: ", "@include is not supported" },
	             { LEAST "\n/* never closed\n\n", "4: ", "the comment that begins here has no end" }, { "broker = { id = \"b\n", "1: ", "a quote is missing" },
	             { "broker = { id = \"b", "1: ", "a quote is missing" }, { "broker = { id = \"b\\", "1: ", "backslash" },
	             { "broker = { id = \"b\"; key = \"k\"; endpoints = [\n \"a\" # one\n \"b\" ]; };", "3: ", "two texts with nothing between them" },
	             { "broker = { id = \"b\\n\"; };", "1: ", "a backslash in a text" }, { "broker = { id = \"b\\x00c\"; };", "1: ", "a backslash in a text" },
	             { "\n# caf\xe9\n", "2: ", "byte 0xe9 is not UTF-8" }, { "\n\nbroker = { id = \"\xed\xa0\x80\"; };", "3: ", "is not UTF-8" },
	             { "a = 1;\n\x01", "2: ", "control character 0x01" }, { "broker = { id = \"a\tb\"; };", "1: broker.id: ", "control character" },
	             { "((((((((((((((((((((", "1: ", "within each other" });
}

static void broken_syntax_has_a_line(void **state)
{
	(void)state;
	CHECK_FAULTS({ "broker = {\n id = ;\n};", "2: ", "syntax error" }, { "broker = {\n id = \"b\";\n", "1: ", "never closed" }, { "broker {}", "1: ", "syntax error" },
	             { "broker = { };\nbroker = { };", "2: ", "duplicate setting name" }, { "broker = { id = \"a\";\n id = \"b\"; };", "2: ", "duplicate setting name" },
	             { "broker = { endpoints = [ \"a\",\n 1 ]; };", "2: ", "mismatched element type" }, { "broker = 12abc;", "1: ", "no number" }, { "broker = -;", "1: ", "no number" },
	             { "x = [ { a = 1; } ];", "1: ", "syntax error" }, { "= 1", "1: ", "syntax error" }, { "}", "1: ", "closes nothing" }, { "x = (\n1 ];", "2: ", "the ( of line 1 waits" }, { ";", "1: ", "syntax error" });
}

/* libconfig reports a text on the line of the token behind it, reads "4294967297e" as a number and a name, and compares each key with all before it. */
static void what_libconfig_does_badly_is_done_before_it(void **state)
{
	struct buf many;

	(void)state;
	CHECK_FAULTS({ LEAST "calendar = { holidays = [\n \"2027-01-01\",\n \"2027-13-01\" # no such month\n\n]; };", "5: calendar.holidays[1]: ", "is not a date" },
	             { LEAST "calendar = { holidays = [\n \"2027-13-01\"\n, \"2027-01-01\" ]; };", "4: calendar.holidays[0]: ", "is not a date" },
	             { "broker = 4294967297e = 1;", "1: ", "no number" }, { "broker = 1.5x;", "1: ", "no number" }, { "broker = 5LLL;", "1: ", "no number" });
	buf_init(&many);
	for (int i = 0; i < 50000; i++)
		assert_int_equal(buf_printf(&many, "k%d = 1;\n", i), OK);
	assert_int_equal(parse((const char *)many.bytes), ERR_INVALID);
	assert_string_equal(err.text, "test.cfg:257: more than 256 keys in one group");
	buf_release(&many);
}

/* Our own mistake in a table is found by whoever reads with it, not by chance. */
static void a_wrong_default_is_refused(void **state)
{
	static const char *const wrong[] = { "70000", "4294967297", "x;", "\"5\"", "5; other = 6", "/*" };
	int64_t value;

	(void)state;
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		const struct conf_row rows[] = { { .name = "number", .type = CONF_INT, .fallback = wrong[i], .min = 1, .max = 65536 }, { 0 } };

		if (conf_parse("", "test.cfg", NULL, rows, &value, &arena, &err) != ERR_INVALID)
			fail_msg("taken: %s", wrong[i]);
		assert_non_null(strstr(err.text, "number: "));
	}
}

static void memory_has_its_bound(void **state)
{
	int refused = 0;

	(void)state;
	for (size_t max = 16; max < 4096; max += 16) {
		arena_release(&arena);
		arena_init(&arena, max);
		if (parse(whole) == OK)
			break;
		assert_int_equal(err.code, ERR_NOMEM);
		assert_non_null(strstr(err.text, "out of memory"));
		refused++;
	}
	assert_in_range(refused, 10, 200); /* it failed at many places, and then it did not */
}

static void nobody_needs_a_message(void **state)
{
	(void)state;
	assert_int_equal(conf_parse("x = 1", "test.cfg", NULL, conf_table_rows, &table, &arena, NULL), ERR_INVALID);
	assert_int_equal(conf_parse("x = ", "test.cfg", NULL, conf_table_rows, &table, &arena, NULL), ERR_INVALID);
	assert_int_equal(conf_parse("\x01", "test.cfg", NULL, conf_table_rows, &table, &arena, NULL), ERR_INVALID);
	assert_int_equal(conf_read("/nonexistent/x", conf_table_rows, &table, &arena, NULL), ERR_NOTFOUND);
}

/* --- printing ---------------------------------------------------------------------------------------------------- */

static char *text_of(const struct conf_table *from)
{
	char *text = NULL;

	assert_int_equal(conf_text(&arena, conf_table_rows, from, &text), OK);
	return text;
}

static char *print_of(const struct conf_table *from)
{
	char *memory = NULL, *text;
	size_t n = 0;
	FILE *file = open_memstream(&memory, &n);

	assert_non_null(file);
	assert_int_equal(conf_print(file, conf_table_rows, from), OK);
	assert_int_equal(fclose(file), 0);
	text = arena_strdup(&arena, memory);
	free(memory);
	return text;
}

static void what_is_printed_reads_back_the_same(void **state)
{
	static const char *const texts[] = { whole, LEAST, LEAST "extra = { };", LEAST "limits = { turn = \"3600001ms\"; size = \"1536KiB\"; };" };

	(void)state;
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		char *text, *print;

		assert_parses(texts[i]);
		text = text_of(&table);
		print = print_of(&table);
		assert_parses(text);
		assert_string_equal(text_of(&table), text);
		assert_parses(print);
		assert_string_equal(text_of(&table), text);
		assert_string_equal(print_of(&table), print);
	}
}

static void the_text_is_the_effective_configuration(void **state)
{
	(void)state;
	assert_parses(whole);
	assert_string_equal(text_of(&table),
		"broker = {\n  id = \"broker-nl\";\n  key = \"/etc/reentry/keys/broker.key\";\n  log = \"/var/log/reentry\";\n  note = \"say \\\"hi\\\" \\\\ \xc3\xa9\";\n"
		"  endpoints = [ \"tcp://127.0.0.1:1\", \"tcp://127.0.0.1:2\" ];\n  numbers = [ -1, 5000000000L, 7 ];\n  files = [ \"/etc/reentry/x/y\", \"/z\" ];\n};\n"
		"limits = {\n  burst = 16;\n  free = 9223372036854775807L;\n  turn = \"90s\";\n  size = \"3KiB\";\n  least = 2147483647;\n  strict = false;\n};\n"
		"calendar = {\n  zone = \"UTC\";\n  notice_time = \"23:59\";\n  holidays = [ \"2027-01-01\", \"2027-03-26\", \"2027-12-25\" ];\n};\n"
		"agencies = (\n  {\n    id = \"gm0344\";\n    contact = \"desk\";\n    keys = [ \"/etc/reentry/k\" ];\n  },\n"
		"  {\n    id = \"audit-nl\";\n    keys = [ \"/k\", \"/etc/reentry/l\" ];\n    scope = {\n      types = [ \"*\" ];\n      inner = {\n        depth = 2;\n      };\n    };\n  }\n);\n"
		"extra = {\n  on = false;\n  days = 366;\n};\n");
}

static void the_print_explains_each_key_once(void **state)
{
	const char *print;

	(void)state;
	assert_parses(LEAST);
	print = print_of(&table);
	assert_non_null(strstr(print, "\n# All of limits.\nlimits = {\n  # What burst is for. (unit of burst)\n  burst = 1024;\n"));
	assert_non_null(strstr(print, "  # What log is for. (unit of log)\n  # log is not set\n"));
	assert_non_null(strstr(print, "\n# extra is not set\n"));
	assert_non_null(strstr(print, "\n# Who takes part.\n#   id: What id is for. (unit of id)\n"));
	assert_non_null(strstr(print, "#   scope: What it may see.\n#   scope.types: What types is for. (unit of types)\n"));
	assert_non_null(strstr(print, "#   scope.inner.depth: What depth is for. (unit of depth)\nagencies = (\n"));
}

static void a_print_that_cannot_be_written_says_so(void **state)
{
	FILE *full = fopen("/dev/full", "w");

	(void)state;
	assert_non_null(full);
	assert_int_equal(setvbuf(full, NULL, _IONBF, 0), 0);
	assert_parses(LEAST);
	assert_int_equal(conf_print(full, conf_table_rows, &table), ERR_IO);
	assert_int_equal(fclose(full), 0);
}

/* --- files ------------------------------------------------------------------------------------------------------- */

static char folder[64], file[96];

static int make_folder(void **state)
{
	(void)snprintf(folder, sizeof folder, "/tmp/test_conf.XXXXXX");
	if (!mkdtemp(folder))
		return -1;
	(void)snprintf(file, sizeof file, "%s/broker.cfg", folder); /* fits */
	return set_up(state);
}

static int remove_folder(void **state)
{
	(void)unlink(file); /* not every test makes it */
	return rmdir(folder) || tear_down(state);
}

static void write_file(const void *bytes, size_t n)
{
	FILE *out = fopen(file, "w");

	assert_non_null(out);
	assert_int_equal(fwrite(bytes, 1, n, out), n);
	assert_int_equal(fclose(out), 0);
}

static int read_file(const char *path)
{
	memset(&table, 0, sizeof table);
	return conf_read(path, conf_table_rows, &table, &arena, &err);
}

static void paths_are_relative_to_the_folder_of_the_file(void **state)
{
	char expected[128], relative[128], *was = getcwd(NULL, 0);

	(void)state;
	write_file(LEAST, strlen(LEAST));
	(void)snprintf(expected, sizeof expected, "%s/k", folder); /* fits */
	assert_int_equal(read_file(file), OK);
	assert_string_equal(table.broker.key, expected);
	assert_int_equal(chdir(folder), 0);
	assert_int_equal(read_file("broker.cfg"), OK);
	assert_string_equal(table.broker.key, expected);
	(void)snprintf(relative, sizeof relative, "..%s/broker.cfg", strrchr(folder, '/')); /* fits */
	assert_int_equal(read_file(relative), OK);
	assert_string_equal(table.broker.key, expected);
	assert_int_equal(chdir(was), 0);
	free(was);
}

static void a_file_that_cannot_be_read_is_named(void **state)
{
	(void)state;
	assert_int_equal(read_file(file), ERR_NOTFOUND);
	assert_non_null(strstr(err.text, file));
	assert_non_null(strstr(err.text, "No such file"));
	assert_int_equal(read_file(folder), ERR_IO);
	assert_non_null(strstr(err.text, "Is a directory"));
	assert_int_equal(read_file("/dev/zero"), ERR_TOOBIG);
	assert_non_null(strstr(err.text, "larger than 4 MiB"));
}

static void a_file_with_nul_bytes_is_refused(void **state)
{
	static const char bytes[] = LEAST "\0limits = { nonsense";

	(void)state;
	write_file(bytes, sizeof bytes - 1);
	assert_int_equal(read_file(file), ERR_INVALID);
	assert_non_null(strstr(err.text, ":3: control character 0x00"));
}

/* --- units ------------------------------------------------------------------------------------------------------- */

static void units_are_exact(void **state)
{
	static const struct { const char *text; int64_t value; } durations[] = {
		{ "0ms", 0 }, { "1ms", 1 }, { "5s", 5000 }, { "45min", 2700000 }, { "2h", 7200000 }, { "400d", INT64_C(34560000000) }, { "007s", 7000 }, { "9223372036854775807ms", INT64_MAX },
	}, sizes[] = { { "0B", 0 }, { "1B", 1 }, { "1KiB", 1024 }, { "64MiB", 64 << 20 }, { "64GiB", INT64_C(64) << 30 } };
	static const char *const bad[] = { "", "5", "ms", " 5ms", "5ms ", "5 ms", "+5ms", "-5ms", "5MS", "5m", "5sec", "1h30min", "0x5ms", "9223372036854775808ms", "9223372036854775807s", "5kB", "5MB", "5K" };
	int64_t value = -7;

	(void)state;
	for (size_t i = 0; i < sizeof durations / sizeof *durations; i++) {
		assert_int_equal(conf_parse_duration(durations[i].text, &value), OK);
		assert_true(value == durations[i].value);
	}
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		assert_int_equal(conf_parse_size(sizes[i].text, &value), OK);
		assert_true(value == sizes[i].value);
	}
	value = -7;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		assert_int_equal(conf_parse_duration(bad[i], &value), ERR_INVALID);
		assert_int_equal(conf_parse_size(bad[i], &value), ERR_INVALID);
	}
	assert_int_equal(value, -7);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define FILE_TEST(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_whole_configuration_is_read), TEST(dates_times_lists_and_groups_are_read), TEST(what_is_left_out_has_its_default), TEST(bounds_are_within),
		TEST(unknown_keys_are_named_with_their_line), TEST(missing_keys_are_named), TEST(wrong_types_are_told_what_was_expected),
		TEST(values_out_of_range_are_told_the_range), TEST(values_that_mean_nothing_are_shown), TEST(integers_that_would_wrap_are_refused),
		TEST(what_libconfig_would_hide_is_refused), TEST(broken_syntax_has_a_line), TEST(what_libconfig_does_badly_is_done_before_it), TEST(a_wrong_default_is_refused), TEST(memory_has_its_bound),
		TEST(nobody_needs_a_message), TEST(what_is_printed_reads_back_the_same), TEST(the_text_is_the_effective_configuration),
		TEST(the_print_explains_each_key_once), TEST(a_print_that_cannot_be_written_says_so), FILE_TEST(paths_are_relative_to_the_folder_of_the_file),
		FILE_TEST(a_file_that_cannot_be_read_is_named), FILE_TEST(a_file_with_nul_bytes_is_refused), TEST(units_are_exact),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
