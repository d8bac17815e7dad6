/* Proves that a zone file is understood as RFC 8536 says - table, rule behind it, each form of a rule - that TZDIR is obeyed, and that a file that is
 * cut, changed or made to harm is refused or harmless. */
#include "lib/civil.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define FILE_ROOM 4096

/* What a zone file is made of; everything may be wrong. */
struct plan {
	char version;
	uint32_t n_times, n_types, n_leap;
	int64_t times[8];
	uint8_t indices[8];
	int32_t offsets[4];
	const char *footer; /* with its newlines */
};

struct place { char dir[64], path[80]; };
struct bytes { uint8_t at[FILE_ROOM]; size_t n; };

static int make_place(void **state)
{
	struct place *place = calloc(1, sizeof *place);

	assert_non_null(place);
	(void)snprintf(place->dir, sizeof place->dir, "/tmp/test_civil-XXXXXX");
	assert_non_null(mkdtemp(place->dir));
	(void)snprintf(place->path, sizeof place->path, "%s/Zone", place->dir);
	assert_int_equal(setenv("TZDIR", place->dir, 1), 0);
	*state = place;
	return 0;
}

static int remove_place(void **state)
{
	struct place *place = *state;

	(void)unlink(place->path); /* may not have been made */
	assert_int_equal(rmdir(place->dir), 0);
	assert_int_equal(unsetenv("TZDIR"), 0);
	free(place);
	return 0;
}

static void put(struct bytes *out, const void *from, size_t n)
{
	assert_true(out->n + n <= sizeof out->at);
	memcpy(out->at + out->n, from, n);
	out->n += n;
}

static void put_number(struct bytes *out, int64_t value, size_t width)
{
	for (size_t i = width; i-- > 0;) {
		uint8_t byte = (uint8_t)((uint64_t)value >> (8 * i));

		put(out, &byte, 1);
	}
}

static void put_header(struct bytes *out, const struct plan *plan, bool second)
{
	static const uint8_t reserved[15];

	put(out, "TZif", 4);
	put(out, &plan->version, 1);
	put(out, reserved, sizeof reserved);
	put_number(out, 0, 4); /* UT and standard indicators: none */
	put_number(out, 0, 4);
	put_number(out, second ? plan->n_leap : 0, 4);
	put_number(out, second ? plan->n_times : 0, 4);
	put_number(out, second ? plan->n_types : 1, 4);
	put_number(out, 4, 4);
}

static struct bytes build(const struct plan *plan)
{
	struct bytes out = { .n = 0 };

	put_header(&out, plan, false);
	put(&out, "\0\0\0\0\0\0UTC", 10);
	put_header(&out, plan, true);
	for (size_t i = 0; i < plan->n_times && i < COUNT(plan->times); i++)
		put_number(&out, plan->times[i], 8);
	for (size_t i = 0; i < plan->n_times && i < COUNT(plan->indices); i++)
		put(&out, &plan->indices[i], 1);
	for (size_t i = 0; i < plan->n_types && i < COUNT(plan->offsets); i++) {
		put_number(&out, plan->offsets[i], 4);
		put_number(&out, 0, 2);
	}
	put(&out, "ABC", 4);
	put(&out, plan->footer, strlen(plan->footer));
	return out;
}

static int load_bytes(const struct place *place, const struct bytes *bytes, struct civil_zone **ret_zone)
{
	FILE *file = fopen(place->path, "w");
	struct err err = { 0 };
	int r;

	assert_non_null(file);
	assert_int_equal(fwrite(bytes->at, 1, bytes->n, file), bytes->n);
	assert_int_equal(fclose(file), 0);
	r = civil_zone_load("Zone", ret_zone, &err);
	assert_int_equal(err.code, r);
	assert_int_equal(r != OK, err.text[0] != 0); /* what fails says why */
	return r;
}

static int load(const struct place *place, const struct plan *plan, struct civil_zone **ret_zone)
{
	struct bytes bytes = build(plan);

	return load_bytes(place, &bytes, ret_zone);
}

static moment at(const char *text)
{
	moment when;

	if (civil_parse_moment(text, &when) != OK)
		fail_msg("%s is no moment", text);
	return when;
}

/* --- what a file says ----------------------------------------------------------------------------------------- */

static void the_table_holds_until_the_rule(void **state)
{
	/* 1950 +1 h, 1960 +3 h, 1970 and later +1 h and summer time by the rule */
	const struct plan plan = {
		.version = '2', .n_times = 3, .n_types = 3, .times = { -631152000, -315619200, 0 }, .indices = { 1, 2, 1 },
		.offsets = { 1200, 3600, 10800 }, .footer = "\nCET-1CEST,M3.5.0,M10.5.0/3\n",
	};
	static const struct { const char *when; int offset; } cases[] = {
		{ "1900-01-01T00:00:00Z", 1200 }, { "1949-12-31T23:59:59.999Z", 1200 }, { "1950-01-01T00:00:00Z", 3600 }, { "1955-07-01T00:00:00Z", 3600 },
		{ "1960-01-01T00:00:00Z", 10800 }, { "1969-12-31T23:59:59.999Z", 10800 }, { "1970-01-01T00:00:00Z", 3600 }, { "1970-07-01T00:00:00Z", 7200 },
		{ "2027-03-28T00:59:59Z", 3600 }, { "2027-03-28T01:00:00Z", 7200 }, { "2199-12-31T00:00:00Z", 3600 },
	};
	struct civil_zone *zone;

	assert_int_equal(load(*state, &plan, &zone), OK);
	for (size_t i = 0; i < COUNT(cases); i++)
		if (civil_zone_offset(zone, at(cases[i].when)) != cases[i].offset)
			fail_msg("%s: %d", cases[i].when, civil_zone_offset(zone, at(cases[i].when)));
	civil_zone_free(zone);
}

static void without_a_rule_the_last_type_goes_on(void **state)
{
	const struct plan plan = { .version = '2', .n_times = 1, .n_types = 2, .times = { 0 }, .indices = { 1 }, .offsets = { 0, -12600 }, .footer = "\n\n" };
	struct civil_zone *zone;

	assert_int_equal(load(*state, &plan, &zone), OK);
	assert_int_equal(civil_zone_offset(zone, -1), 0);
	assert_int_equal(civil_zone_offset(zone, 0), -12600);
	assert_int_equal(civil_zone_offset(zone, MOMENT_MAX), -12600);
	civil_zone_free(zone);
}

static void every_form_of_a_rule_is_understood(void **state)
{
	static const struct { const char *footer, *when; int offset; } cases[] = {
		{ "\nUTC0\n", "2027-07-01T00:00:00Z", 0 },
		{ "\n<+0545>-5:45\n", "2027-07-01T00:00:00Z", 20700 },
		{ "\n<-12>12\n", "2027-07-01T00:00:00Z", -43200 },
		{ "\nABC-1:02:03\n", "2027-07-01T00:00:00Z", 3723 },
		/* the southern half: summer over the new year */
		{ "\nAEST-10AEDT,M10.1.0,M4.1.0/3\n", "2027-01-01T00:00:00Z", 39600 },
		{ "\nAEST-10AEDT,M10.1.0,M4.1.0/3\n", "2027-07-01T00:00:00Z", 36000 },
		{ "\nAEST-10AEDT,M10.1.0,M4.1.0/3\n", "2027-10-02T15:59:59Z", 36000 },
		{ "\nAEST-10AEDT,M10.1.0,M4.1.0/3\n", "2027-10-02T16:00:00Z", 39600 },
		/* a summer time of half an hour */
		{ "\n<+1030>-10:30<+11>-11,M10.1.0,M4.1.0\n", "2027-01-01T00:00:00Z", 39600 },
		/* hours before midnight, as version 3 has them: Nuuk, last Saturday of March at 22:00 local, with the day of the Sunday */
		{ "\n<-02>2<-01>,M3.5.0/-1,M10.5.0/0\n", "2027-03-28T00:59:59Z", -7200 },
		{ "\n<-02>2<-01>,M3.5.0/-1,M10.5.0/0\n", "2027-03-28T01:00:00Z", -3600 },
		/* days of the year: with and without 29 February */
		{ "\nAAA0BBB,J60/0,J300/0\n", "2028-02-29T23:59:59Z", 0 },
		{ "\nAAA0BBB,J60/0,J300/0\n", "2028-03-01T00:00:00Z", 3600 },
		{ "\nAAA0BBB,J60/0,J300/0\n", "2027-03-01T00:00:00Z", 3600 },
		{ "\nAAA0BBB,59/0,299/0\n", "2028-02-29T00:00:00Z", 3600 },
		{ "\nAAA0BBB,59/0,299/0\n", "2028-02-28T23:59:59Z", 0 },
		{ "\nAAA0BBB,59/0,299/0\n", "2027-03-01T00:00:00Z", 3600 },
		/* summer time all the year (RFC 8536 3.3.1) */
		{ "\nEST5EDT,0/0,J365/25\n", "2027-01-01T05:00:00Z", -14400 },
		{ "\nEST5EDT,0/0,J365/25\n", "2027-01-01T04:59:59Z", -14400 },
		{ "\nEST5EDT,0/0,J365/25\n", "2027-07-01T00:00:00Z", -14400 },
		/* the first and the last week of a month */
		{ "\nAAA0BBB,M3.1.1/0,M11.5.1/0\n", "2027-03-01T00:00:00Z", 3600 },
		{ "\nAAA0BBB,M3.1.1/0,M11.5.1/0\n", "2027-11-28T22:59:59Z", 3600 },
		{ "\nAAA0BBB,M3.1.1/0,M11.5.1/0\n", "2027-11-28T23:00:00Z", 0 },
		{ "\nAAA0BBB,M3.1.1/0,M12.5.5/0\n", "2027-12-30T22:59:59Z", 3600 },
		{ "\nAAA0BBB,M3.1.1/0,M12.5.5/0\n", "2027-12-30T23:00:00Z", 0 },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		const struct plan plan = { .version = '3', .n_types = 1, .footer = cases[i].footer };
		struct civil_zone *zone;

		if (load(*state, &plan, &zone) != OK)
			fail_msg("%s", cases[i].footer);
		if (civil_zone_offset(zone, at(cases[i].when)) != cases[i].offset)
			fail_msg("%s %s: %d", cases[i].footer, cases[i].when, civil_zone_offset(zone, at(cases[i].when)));
		civil_zone_free(zone);
	}
}

static void tzdir_and_names_are_obeyed(void **state)
{
	static const char *const bad[] = { "", "/etc/passwd", "../Zone", "a/../Zone", "Zo ne", "Zone\n", "Zone\x80", "..",
		                           "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" };
	const struct plan plan = { .version = '2', .n_types = 1, .footer = "\nXYZ-7\n" };
	struct civil_zone *zone = NULL;
	struct err err = { 0 };

	assert_int_equal(load(*state, &plan, &zone), OK);
	assert_int_equal(civil_zone_offset(zone, 0), 25200); /* read from our folder, not from the system's */
	civil_zone_free(zone);
	for (size_t i = 0; i < COUNT(bad); i++)
		assert_int_equal(civil_zone_load(bad[i], &zone, &err), ERR_INVALID);
	assert_int_equal(civil_zone_load("Europe/Amsterdam", &zone, &err), ERR_NOTFOUND);
	assert_non_null(strstr(err.text, "Europe/Amsterdam"));
	assert_int_equal(civil_zone_load(".", &zone, &err), ERR_IO); /* a folder */
	civil_zone_free(NULL);
}

/* --- what is wrong -------------------------------------------------------------------------------------------- */

static void rules_that_are_none_are_refused(void **state)
{
	static const char *const bad[] = {
		"\nCE-1\n", "\nCET\n", "\nCET-\n", "\nCET-25\n", "\nCET-1:60\n", "\n<CET-1\n", "\n<C>-1\n", "\nCET-1CEST\n", "\nCET-1CEST,M3.5.0\n",
		"\nCET-1CEST,M3.5.0,\n", "\nCET-1CEST,M0.5.0,M10.5.0\n", "\nCET-1CEST,M13.5.0,M10.5.0\n", "\nCET-1CEST,M3.0.0,M10.5.0\n",
		"\nCET-1CEST,M3.6.0,M10.5.0\n", "\nCET-1CEST,M3.5.7,M10.5.0\n", "\nCET-1CEST,J0,M10.5.0\n", "\nCET-1CEST,J366,M10.5.0\n", "\nCET-1CEST,366,M10.5.0\n",
		"\nCET-1CEST,M3.5.0/168,M10.5.0\n", "\nCET-1CEST,M3.5.0/3x,M10.5.0\n", "\nCET-1CEST,M3.5.0,M10.5.0,\n", "\nCET-1CEST,M3.5.0,M10.5.0/3 \n",
		"\nCET-1CEST;M3.5.0,M10.5.0\n", "\nCET-99999999999999999999\n", "\nCET-1\x01\n", "\nCET-1", "CET-1\n", "", "\n",
	};
	char large[200] = "\n";
	struct plan plan = { .version = '2', .n_types = 1 };
	struct civil_zone *zone;

	for (size_t i = 0; i < COUNT(bad); i++) {
		plan.footer = bad[i];
		if (load(*state, &plan, &zone) != ERR_CORRUPT)
			fail_msg("%s was taken", bad[i]);
	}
	memset(large + 1, 'A', sizeof large - 4);
	memcpy(large + sizeof large - 4, "-1\n", 4);
	plan.footer = large;
	assert_int_equal(load(*state, &plan, &zone), ERR_CORRUPT);
}

static void tables_that_lie_are_refused(void **state)
{
	static const struct plan bad[] = {
		{ .version = 0, .n_types = 1, .footer = "\nUTC0\n" },
		{ .version = '1', .n_types = 1, .footer = "\nUTC0\n" },
		{ .version = '2', .n_types = 0, .footer = "\nUTC0\n" },
		{ .version = '2', .n_types = UINT32_MAX, .footer = "\nUTC0\n" },
		{ .version = '2', .n_types = 1, .n_times = UINT32_MAX, .footer = "\nUTC0\n" },
		{ .version = '2', .n_types = 1, .n_leap = 1, .footer = "\nUTC0\n                                 " },
		{ .version = '2', .n_types = 1, .n_times = 1, .indices = { 1 }, .footer = "\nUTC0\n" },
		{ .version = '2', .n_types = 2, .n_times = 2, .times = { 5, 5 }, .indices = { 0, 1 }, .footer = "\nUTC0\n" },
		{ .version = '2', .n_types = 2, .n_times = 2, .times = { 5, -5 }, .indices = { 0, 1 }, .footer = "\nUTC0\n" },
		{ .version = '2', .n_types = 1, .offsets = { 26 * 3600 }, .footer = "\nUTC0\n" },
		{ .version = '2', .n_types = 1, .offsets = { INT32_MIN }, .footer = "\nUTC0\n" },
	};
	struct civil_zone *zone;

	for (size_t i = 0; i < COUNT(bad); i++)
		if (load(*state, &bad[i], &zone) != ERR_CORRUPT)
			fail_msg("plan %zu was taken", i);
}

/* Calls everything with what could make sums overflow; only sanitizers and the bounds of the answers can object. */
static void use(const struct civil_zone *zone)
{
	static const moment moments[] = { MOMENT_NONE, INT64_MIN + 1, MOMENT_MIN, -1, 0, 1, MOMENT_MAX, INT64_MAX };
	static const civil_date dates[] = { INT32_MIN, CIVIL_MIN, 0, CIVIL_MAX, INT32_MAX };

	for (size_t i = 0; i < COUNT(moments); i++) {
		assert_in_range(civil_zone_offset(zone, moments[i]) + 26 * 3600, 1, 52 * 3600 - 1);
		assert_in_range(civil_time_of(zone, moments[i]), 0, 86399999);
		assert_in_range(civil_date_of(zone, moments[i]) - CIVIL_MIN + 2, 0, CIVIL_MAX - CIVIL_MIN + 4);
		(void)civil_add_days(zone, moments[i], INT32_MAX); /* must only not overflow */
	}
	for (size_t i = 0; i < COUNT(dates); i++) {
		moment day = civil_moment(zone, dates[i], 0);

		assert_true(day > (moment)dates[i] * 86400000 - 26 * 3600000 && day < (moment)dates[i] * 86400000 + 26 * 3600000);
	}
}

static void the_ends_of_time_are_harmless(void **state)
{
	const struct plan plan = {
		.version = '2', .n_times = 4, .n_types = 2, .times = { INT64_MIN, -(INT64_C(1) << 59), 0, INT64_MAX }, .indices = { 0, 1, 0, 1 },
		.offsets = { 93599, -93599 }, .footer = "\nCET-1CEST,M3.5.0,M10.5.0/3\n",
	};
	struct civil_zone *zone;

	assert_int_equal(load(*state, &plan, &zone), OK);
	use(zone);
	civil_zone_free(zone);
}

static const struct plan whole = {
	.version = '2', .n_times = 2, .n_types = 2, .times = { -100, 100 }, .indices = { 1, 0 }, .offsets = { 3600, 7200 }, .footer = "\nCET-1CEST,M3.5.0,M10.5.0/3\n",
};

static void a_cut_file_is_refused(void **state)
{
	struct bytes bytes = build(&whole);
	struct civil_zone *zone;

	while (bytes.n-- > 0)
		if (load_bytes(*state, &bytes, &zone) != ERR_CORRUPT)
			fail_msg("%zu bytes were taken", bytes.n);
}

static void a_changed_byte_is_harmless(void **state)
{
	static const uint8_t values[] = { 0x00, 0x01, 0x7f, 0x80, 0xff, '\n', '9' };
	const struct bytes bytes = build(&whole);
	size_t taken = 0;

	for (size_t i = 0; i < bytes.n; i++)
		for (size_t v = 0; v < COUNT(values); v++) {
			struct bytes changed = bytes;
			struct civil_zone *zone;
			int r;

			changed.at[i] = values[v];
			r = load_bytes(*state, &changed, &zone);
			assert_true(r == OK || r == ERR_CORRUPT);
			if (r != OK)
				continue;
			use(zone);
			civil_zone_free(zone);
			taken++;
		}
	assert_true(taken > 0);
}

static void a_file_without_end_is_refused(void **state)
{
	const struct place *place = *state;
	struct bytes bytes = build(&whole);
	struct civil_zone *zone;
	struct err err = { 0 };

	assert_int_equal(load_bytes(place, &bytes, &zone), OK);
	civil_zone_free(zone);
	assert_int_equal(truncate(place->path, 1 << 20), 0);
	assert_int_equal(civil_zone_load("Zone", &zone, &err), ERR_TOOBIG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_table_holds_until_the_rule, make_place, remove_place),
		cmocka_unit_test_setup_teardown(without_a_rule_the_last_type_goes_on, make_place, remove_place),
		cmocka_unit_test_setup_teardown(every_form_of_a_rule_is_understood, make_place, remove_place),
		cmocka_unit_test_setup_teardown(tzdir_and_names_are_obeyed, make_place, remove_place),
		cmocka_unit_test_setup_teardown(rules_that_are_none_are_refused, make_place, remove_place),
		cmocka_unit_test_setup_teardown(tables_that_lie_are_refused, make_place, remove_place),
		cmocka_unit_test_setup_teardown(the_ends_of_time_are_harmless, make_place, remove_place),
		cmocka_unit_test_setup_teardown(a_cut_file_is_refused, make_place, remove_place),
		cmocka_unit_test_setup_teardown(a_changed_byte_is_harmless, make_place, remove_place),
		cmocka_unit_test_setup_teardown(a_file_without_end_is_refused, make_place, remove_place),
	};

	return cmocka_run_group_tests_name("civil_zone", tests, NULL, NULL);
}
