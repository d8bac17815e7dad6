/* Proves the calendar: every day from 1900 to 2200 against a plain count, month ends and leap days, the exact text of dates and moments, working days around
 * Easter, and wall-clock times in Amsterdam on the days when the clock is changed, within the zone's table and beyond it. */
#include "lib/civil.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define HOUR_MS INT64_C(3600000)
#define DAY_MS (24 * HOUR_MS)
#define COUNT(array) (sizeof(array) / sizeof *(array))

static civil_date day(const char *text)
{
	civil_date date;

	if (civil_parse_date(text, &date) != OK)
		fail_msg("%s is no date", text);
	return date;
}

static moment at(const char *text)
{
	moment when;

	if (civil_parse_moment(text, &when) != OK)
		fail_msg("%s is no moment", text);
	return when;
}

#define assert_date(date, text) assert_string_equal(civil_format_date((date), (char[CIVIL_DATE_SIZE]){ 0 }), (text))
#define assert_moment(when, text) assert_string_equal(civil_format_moment((when), (char[CIVIL_MOMENT_SIZE]){ 0 }), (text))

/* --- dates ---------------------------------------------------------------------------------------------------- */

/* Counts like a person with a wall calendar; shares nothing with the formula. */
static void every_day_is_counted(void **state)
{
	static const int months[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	civil_date date = CIVIL_MIN;
	int weekday = 0; /* 1900-01-01 was a Monday */

	(void)state;
	for (int year = 1900; year < 2200; year++)
		for (int month = 1; month <= 12; month++) {
			bool leap = month == 2 && year % 4 == 0 && year != 1900 && year != 2100;

			for (int d = 1; d <= months[month - 1] + leap; d++, date++, weekday = (weekday + 1) % 7) {
				int y, m, back;

				civil_to_ymd(date, &y, &m, &back);
				if (civil_from_ymd(year, month, d) != date || y != year || m != month || back != d || civil_weekday(date) != weekday)
					fail_msg("%d-%d-%d", year, month, d);
			}
		}
	assert_int_equal(date, CIVIL_MAX + 1);
	assert_int_equal(civil_from_ymd(1970, 1, 1), 0);
}

/* What no program of ours uses must still be harmless. */
static void far_days_come_back(void **state)
{
	static const civil_date days[] = { INT32_MIN, INT32_MIN + 1, -719469, -719468, -719467, -1, 0, 1, INT32_MAX - 1, INT32_MAX };

	(void)state;
	for (size_t i = 0; i < COUNT(days); i++) {
		int year, month, d;

		civil_to_ymd(days[i], &year, &month, &d);
		assert_int_equal(civil_from_ymd(year, month, d), days[i]);
		assert_in_range(civil_weekday(days[i]), 0, 6);
		assert_int_equal((civil_weekday(days[i]) + 1) % 7, civil_weekday(days[i] == INT32_MAX ? INT32_MAX - 6 : days[i] + 1));
	}
}

static void months_end_where_they_end(void **state)
{
	static const struct { const char *from; int months; const char *to; } cases[] = {
		{ "2026-08-31", 6, "2027-02-28" }, { "2027-08-31", 6, "2028-02-29" }, { "2099-08-31", 6, "2100-02-28" },
		{ "2028-02-29", 12, "2029-02-28" }, { "2028-02-29", 48, "2032-02-29" }, { "2027-03-31", -1, "2027-02-28" },
		{ "2027-01-15", -1, "2026-12-15" }, { "2027-01-31", 1, "2027-02-28" }, { "2027-12-31", 1, "2028-01-31" },
		{ "2027-05-31", 1, "2027-06-30" }, { "2027-05-31", 0, "2027-05-31" }, { "2027-03-30", -25, "2025-02-28" },
		{ "2027-06-15", -12, "2026-06-15" }, { "1970-01-01", -840, "1900-01-01" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++)
		assert_date(civil_add_months(day(cases[i].from), cases[i].months), cases[i].to);
}

static void dates_are_read_exactly(void **state)
{
	static const char *const bad[] = {
		"", "2027", "2027-02", "2027-02-", "2027-02-2", "2027-2-25", "2027-02-250", "2027-02-25 ", " 2027-02-25", "2027-02-29", "2100-02-29", "1900-02-29",
		"2027-00-10", "2027-13-10", "2027-04-31", "2027-01-00", "2027-01-32", "1899-12-31", "2200-01-01", "0000-01-01", "20270225", "2027/02/25",
		"+027-02-25", "-027-02-25", "2027-02-2a", "2027-02-25T", "２027-02-25",
	};
	civil_date date = 7;

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++)
		if (civil_parse_date(bad[i], &date) != ERR_INVALID)
			fail_msg("\"%s\" was read", bad[i]);
	assert_int_equal(date, 7); /* untouched on failure */
	assert_int_equal(day("1900-01-01"), CIVIL_MIN);
	assert_int_equal(day("2199-12-31"), CIVIL_MAX);
	assert_date(day("2028-02-29"), "2028-02-29");
	assert_date(INT32_MIN, "1900-01-01");
	assert_date(INT32_MAX, "2199-12-31");
}

/* --- moments -------------------------------------------------------------------------------------------------- */

static void moments_are_read_with_any_offset(void **state)
{
	static const struct { const char *text, *utc; } cases[] = {
		{ "2027-02-01T10:00:00+01:00", "2027-02-01T09:00:00Z" }, { "2027-02-01T09:00:00Z", "2027-02-01T09:00:00Z" },
		{ "2027-02-01t09:00:00z", "2027-02-01T09:00:00Z" }, { "2027-02-01T00:30:00+02:00", "2027-01-31T22:30:00Z" },
		{ "2027-12-31T23:30:00-05:30", "2028-01-01T05:00:00Z" }, { "2027-02-01T09:00:00-00:00", "2027-02-01T09:00:00Z" },
		{ "2027-02-01T09:00:00.5Z", "2027-02-01T09:00:00.500Z" }, { "2027-02-01T09:00:00.007999999999Z", "2027-02-01T09:00:00.007Z" },
		{ "2027-02-01T09:00:00.0009Z", "2027-02-01T09:00:00Z" }, { "1969-12-31T23:59:59.999Z", "1969-12-31T23:59:59.999Z" },
		{ "1900-01-01T00:00:00Z", "1900-01-01T00:00:00Z" }, { "2199-12-31T23:59:59.999Z", "2199-12-31T23:59:59.999Z" },
		{ "1899-12-31T23:30:00-01:00", "1900-01-01T00:30:00Z" }, { "2016-12-31T23:59:60Z", "2017-01-01T00:00:00Z" },
		{ "2017-01-01T00:59:60.9+01:00", "2017-01-01T00:00:00Z" }, { "2027-02-01T23:59:59+23:59", "2027-02-01T00:00:59Z" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++)
		assert_moment(at(cases[i].text), cases[i].utc);
	assert_true(at("1970-01-01T00:00:00.001Z") == 1);
	assert_true(at("1969-12-31T23:59:59.999Z") == -1);
	assert_true(at("2200-01-01T00:00:00Z") == MOMENT_MAX);
}

static void what_is_no_moment_is_refused(void **state)
{
	static const char *const bad[] = {
		"", "2027-02-01", "2027-02-01T", "2027-02-01T10:00Z", "2027-02-01T10:00:00", "2027-02-01 10:00:00Z", "2027-02-01T10:00:00+1:00",
		"2027-02-01T10:00:00+0100", "2027-02-01T10:00:00+01", "2027-02-01T10:00:00+01:00x", "2027-02-01T10:00:00.Z", "2027-02-01T10:00:00,5Z",
		"2027-02-01T24:00:00Z", "2027-02-01T10:60:00Z", "2027-02-01T10:00:61Z", "2027-02-01T10:00:60Z", "2027-02-29T10:00:00Z",
		"2027-02-01T10:00:00+24:00", "2027-02-01T10:00:00+01:60", "2027-02-01T10:00:00ZZ", "2027-02-01T-1:00:00Z", "1899-12-31T23:59:59Z",
		"2200-01-01T00:00:00.001Z", "9999-12-31T23:59:59Z", "2027-02-01T10:00:00.5", "2027-02-01T1:00:00Z", "T10:00:00Z",
	};
	moment when = 7;

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++)
		if (civil_parse_moment(bad[i], &when) != ERR_INVALID)
			fail_msg("\"%s\" was read", bad[i]);
	assert_true(when == 7);
	assert_moment(MOMENT_NONE, "1900-01-01T00:00:00Z");
	assert_moment(INT64_MAX, "2199-12-31T23:59:59.999Z");
}

static void moments_come_back_from_their_text(void **state)
{
	(void)state;
	for (moment when = MOMENT_MIN; when < MOMENT_MAX; when += 40 * DAY_MS + 12345678) {
		char text[CIVIL_MOMENT_SIZE];

		assert_true(at(civil_format_moment(when, text)) == when);
	}
}

/* --- working days --------------------------------------------------------------------------------------------- */

static const char *const names_2027[] = { "2027-01-01", "2027-03-26", "2027-03-29", "2027-04-27", "2027-05-05", "2027-05-06", "2027-05-17", "2027-12-25", "2027-12-26" };

static void working_days_skip_weekends_and_holidays(void **state)
{
	static const struct { const char *from; int n; const char *to; } cases[] = {
		{ "2027-02-01", 10, "2027-02-15" }, { "2027-02-05", 1, "2027-02-08" }, { "2027-02-06", 1, "2027-02-08" },
		{ "2027-02-07", 3, "2027-02-10" }, { "2027-03-25", 1, "2027-03-30" } /* Good Friday, Easter Monday */,
		{ "2027-03-24", 3, "2027-03-31" }, { "2027-03-26", 1, "2027-03-30" }, { "2027-05-04", 1, "2027-05-07" },
		{ "2027-05-14", 1, "2027-05-18" }, { "2027-12-24", 1, "2027-12-27" }, { "2027-12-31", 1, "2028-01-03" },
	};
	civil_date holidays[COUNT(names_2027)];

	(void)state;
	for (size_t i = 0; i < COUNT(holidays); i++)
		holidays[i] = day(names_2027[i]);
	for (size_t i = 0; i < COUNT(cases); i++)
		assert_date(civil_add_working_days(holidays, COUNT(holidays), day(cases[i].from), cases[i].n), cases[i].to);
	for (civil_date date = day("2027-01-01"); date <= day("2027-12-31"); date++) {
		bool found = false;

		for (size_t i = 0; i < COUNT(holidays); i++)
			found = found || holidays[i] == date;
		assert_int_equal(civil_is_holiday(holidays, COUNT(holidays), date), found);
		assert_int_equal(civil_is_working_day(holidays, COUNT(holidays), date), !found && civil_weekday(date) < 5);
	}
}

static void working_days_have_an_end(void **state)
{
	(void)state;
	assert_date(civil_add_working_days(NULL, 0, day("2027-03-25"), 1), "2027-03-26");
	assert_false(civil_is_holiday(NULL, 0, day("2027-03-26")));
	assert_int_equal(civil_add_working_days(NULL, 0, day("2027-03-25"), INT32_MAX), CIVIL_MAX);
	assert_date(civil_add_working_days(NULL, 0, day("2027-03-27"), 0), "2027-03-27");
}

/* --- Amsterdam ------------------------------------------------------------------------------------------------ */

static int load_amsterdam(void **state)
{
	struct err err = { 0 };
	struct civil_zone *zone;

	if (civil_zone_load("Europe/Amsterdam", &zone, &err) != OK) {
		print_error("%s\n", err.text);
		return -1;
	}
	*state = zone;
	return 0;
}

static int free_zone(void **state)
{
	civil_zone_free(*state);
	return 0;
}

static void the_offset_changes_at_the_instant(void **state)
{
	static const struct { const char *when; int offset; } cases[] = {
		{ "2027-03-28T00:59:59.999Z", 3600 }, { "2027-03-28T01:00:00Z", 7200 }, { "2027-10-31T00:59:59.999Z", 7200 }, { "2027-10-31T01:00:00Z", 3600 },
		{ "2027-01-01T00:00:00Z", 3600 }, { "2027-07-01T00:00:00Z", 7200 }, { "1985-07-01T00:00:00Z", 7200 }, { "1970-07-01T00:00:00Z", 3600 },
		/* far beyond the table: the last Sundays of March and October 2060 and 2199 */
		{ "2060-03-28T00:59:59.999Z", 3600 }, { "2060-03-28T01:00:00Z", 7200 }, { "2060-10-31T00:59:59.999Z", 7200 }, { "2060-10-31T01:00:00Z", 3600 },
		{ "2199-03-31T00:59:59.999Z", 3600 }, { "2199-03-31T01:00:00Z", 7200 }, { "2199-10-27T00:59:59.999Z", 7200 }, { "2199-10-27T01:00:00Z", 3600 },
	};

	for (size_t i = 0; i < COUNT(cases); i++)
		if (civil_zone_offset(*state, at(cases[i].when)) != cases[i].offset)
			fail_msg("%s: %d", cases[i].when, civil_zone_offset(*state, at(cases[i].when)));
}

static void wall_clock_times_become_moments(void **state)
{
	static const struct { const char *date; int hour, minute; const char *when; } cases[] = {
		{ "2027-02-25", 8, 0, "2027-02-25T07:00:00Z" }, { "2027-07-01", 8, 0, "2027-07-01T06:00:00Z" },
		/* spring: 02:00 to 03:00 does not exist, and is moved forward by the hour */
		{ "2027-03-28", 1, 59, "2027-03-28T00:59:00Z" }, { "2027-03-28", 2, 0, "2027-03-28T01:00:00Z" }, { "2027-03-28", 2, 30, "2027-03-28T01:30:00Z" },
		{ "2027-03-28", 2, 59, "2027-03-28T01:59:00Z" }, { "2027-03-28", 3, 0, "2027-03-28T01:00:00Z" }, { "2027-03-28", 8, 0, "2027-03-28T06:00:00Z" },
		/* autumn: 02:00 to 03:00 is there twice, and the first counts */
		{ "2027-10-31", 1, 59, "2027-10-30T23:59:00Z" }, { "2027-10-31", 2, 0, "2027-10-31T00:00:00Z" }, { "2027-10-31", 2, 30, "2027-10-31T00:30:00Z" },
		{ "2027-10-31", 2, 59, "2027-10-31T00:59:00Z" }, { "2027-10-31", 3, 0, "2027-10-31T02:00:00Z" }, { "2027-10-31", 8, 0, "2027-10-31T07:00:00Z" },
		{ "2060-03-28", 2, 30, "2060-03-28T01:30:00Z" }, { "2060-10-31", 2, 30, "2060-10-31T00:30:00Z" }, { "2060-07-01", 8, 0, "2060-07-01T06:00:00Z" },
		{ "2028-02-29", 17, 0, "2028-02-29T16:00:00Z" }, { "2027-01-01", 0, 0, "2026-12-31T23:00:00Z" },
	};

	for (size_t i = 0; i < COUNT(cases); i++)
		assert_moment(civil_moment(*state, day(cases[i].date), cases[i].hour * 60 + cases[i].minute), cases[i].when);
}

/* notice_time and day_end, every day up to 2200: never shifted by daylight saving, always on their own day. */
static void office_hours_are_the_same_all_year(void **state)
{
	for (civil_date date = day("2026-01-01"); date <= CIVIL_MAX; date++) {
		moment eight = civil_moment(*state, date, 8 * 60), five = civil_moment(*state, date, 17 * 60);

		if (civil_date_of(*state, eight) != date || civil_time_of(*state, eight) != 8 * HOUR_MS || five - eight != 9 * HOUR_MS ||
		    civil_time_of(*state, five) != 17 * HOUR_MS)
			fail_msg("%s", civil_format_date(date, (char[CIVIL_DATE_SIZE]){ 0 }));
	}
}

static void days_begin_at_local_midnight(void **state)
{
	assert_date(civil_date_of(*state, at("2027-02-28T22:59:59.999Z")), "2027-02-28");
	assert_int_equal(civil_time_of(*state, at("2027-02-28T22:59:59.999Z")), 86399999);
	assert_date(civil_date_of(*state, at("2027-02-28T23:00:00Z")), "2027-03-01");
	assert_int_equal(civil_time_of(*state, at("2027-02-28T23:00:00Z")), 0);
	assert_date(civil_date_of(*state, at("2027-06-30T22:00:00Z")), "2027-07-01");
	assert_date(civil_date_of(*state, at("1969-12-31T22:59:59.999Z")), "1969-12-31");
	assert_true(civil_date_of(*state, MOMENT_NONE) <= CIVIL_MIN); /* no moment at all: harmless */
	assert_in_range(civil_time_of(*state, MOMENT_NONE), 0, 86399999);
	assert_true(civil_date_of(*state, INT64_MAX) >= CIVIL_MAX);
}

static void contacts_keep_their_local_time(void **state)
{
	static const struct { const char *from; int days; const char *to; } cases[] = {
		{ "2027-03-27T09:00:00Z", 1, "2027-03-28T08:00:00Z" }, { "2027-03-08T09:15:00.123Z", 21, "2027-03-29T08:15:00.123Z" },
		{ "2027-10-30T08:00:00Z", 1, "2027-10-31T09:00:00Z" }, { "2027-10-31T09:00:00Z", -1, "2027-10-30T08:00:00Z" },
		{ "2027-03-27T01:30:00Z", 1, "2027-03-28T01:30:00Z" } /* 02:30 into the gap: 03:30 */,
		{ "2027-10-30T00:30:00Z", 1, "2027-10-31T00:30:00Z" } /* 02:30 into the repeated hour: the first */,
		{ "2027-10-31T01:30:00Z", 0, "2027-10-31T01:30:00Z" } /* the second 02:30 stays itself */,
		{ "2028-02-28T11:00:00Z", 1, "2028-02-29T11:00:00Z" }, { "2027-02-01T11:00:00Z", 7300, "2047-01-27T11:00:00Z" },
	};

	for (size_t i = 0; i < COUNT(cases); i++)
		assert_moment(civil_add_days(*state, at(cases[i].from), cases[i].days), cases[i].to);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_day_is_counted),
		cmocka_unit_test(far_days_come_back),
		cmocka_unit_test(months_end_where_they_end),
		cmocka_unit_test(dates_are_read_exactly),
		cmocka_unit_test(moments_are_read_with_any_offset),
		cmocka_unit_test(what_is_no_moment_is_refused),
		cmocka_unit_test(moments_come_back_from_their_text),
		cmocka_unit_test(working_days_skip_weekends_and_holidays),
		cmocka_unit_test(working_days_have_an_end),
		cmocka_unit_test_setup_teardown(the_offset_changes_at_the_instant, load_amsterdam, free_zone),
		cmocka_unit_test_setup_teardown(wall_clock_times_become_moments, load_amsterdam, free_zone),
		cmocka_unit_test_setup_teardown(office_hours_are_the_same_all_year, load_amsterdam, free_zone),
		cmocka_unit_test_setup_teardown(days_begin_at_local_midnight, load_amsterdam, free_zone),
		cmocka_unit_test_setup_teardown(contacts_keep_their_local_time, load_amsterdam, free_zone),
	};

	return cmocka_run_group_tests_name("civil", tests, NULL, NULL);
}
