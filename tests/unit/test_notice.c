/* Proves how days of notice are counted: from the day on which the agency had been told of the very day, moves and orders included, by what its agent had on disk; per municipality, with median and worst. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/notice.h"

struct play { struct notice *notice; struct civil_zone *zone; uint64_t sequence; };

static int make(void **state)
{
	struct play *p = calloc(1, sizeof *p);
	assert_non_null(p);
	assert_int_equal(civil_zone_load("Europe/Amsterdam", &p->zone, NULL), OK);
	p->notice = notice_new(p->zone);
	assert_non_null(p->notice);
	*state = p;
	return 0;
}

static int drop(void **state)
{
	struct play *p = *state;
	notice_free(p->notice);
	civil_zone_free(p->zone);
	free(p);
	return 0;
}

static void feed(struct play *p, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void feed(struct play *p, const char *format, ...)
{
	struct object object;
	struct arena arena;
	va_list arguments;
	char line[2048];
	va_start(arguments, format);
	assert_in_range(vsnprintf(line, sizeof line, format, arguments), 1, (int)sizeof line - 1);
	va_end(arguments);
	arena_init(&arena, 0);
	assert_true(object_read(&object, line, strlen(line), &arena));
	assert_int_equal(notice_take(p->notice, &object), OK);
	arena_release(&arena);
}

/* An event of the case at noon of that day (local), routed to the municipality gm-a. */
static uint64_t event(struct play *p, const char *subject, const char *type, const char *op, const char *day, const char *data)
{
	p->sequence++;
	feed(p, "{\"type\":\"nl.reentry.%s\",\"subject\":\"%s\",\"sequence\":\"%020llu\",\"recordedtime\":\"%sT11:00:00Z\",\"op\":\"%s\",\"data\":{%s}}", type, subject, (unsigned long long)p->sequence,
	     day, op, data);
	feed(p, "{\"record\":\"routed\",\"sequence\":\"%020llu\",\"recordedtime\":\"%sT11:00:00Z\",\"case\":\"%s\",\"to\":[{\"agency\":\"gm-a\",\"relations\":[\"municipality\"]},{\"agency\":\"court\",\"relations\":[\"authority\"]}]}",
	     (unsigned long long)p->sequence, day, subject);
	return p->sequence;
}

static void acked(struct play *p, uint64_t sequence, const char *moment_text)
{
	feed(p, "{\"record\":\"acked\",\"sequence\":\"%020llu\",\"recordedtime\":\"%s\",\"agency\":\"gm-a\",\"sequences\":[\"%020llu\"]}", (unsigned long long)++p->sequence, moment_text, (unsigned long long)sequence);
}

/* Acknowledged at once. */
static void told(struct play *p, const char *subject, const char *type, const char *day, const char *data)
{
	char moment_text[32];
	(void)snprintf(moment_text, sizeof moment_text, "%sT11:00:01Z", day); /* fits */
	acked(p, event(p, subject, type, "NEW", day, data), moment_text);
}

static void inside(struct play *p, const char *subject, const char *day)
{
	char data[64];
	(void)snprintf(data, sizeof data, "\"start\":\"%sT08:00:00Z\"", day); /* fits */
	told(p, subject, "custody.started", day, data);
}

static void date(struct play *p, const char *subject, const char *day, const char *release)
{
	char data[64];
	(void)snprintf(data, sizeof data, "\"date\":\"%s\"", release); /* fits */
	told(p, subject, "release.date-set", day, data);
}

static void released(struct play *p, const char *subject, const char *day)
{
	char data[64];
	(void)snprintf(data, sizeof data, "\"released_at\":\"%sT09:00:00Z\"", day); /* fits */
	told(p, subject, "release.confirmed", day, data);
}

static struct notice_report finish(struct play *p)
{
	struct notice_report report;
	civil_date from, to;
	assert_int_equal(civil_parse_date("2027-02-01", &from), OK);
	assert_int_equal(civil_parse_date("2027-03-01", &to), OK);
	assert_int_equal(notice_finish(p->notice, from, to, NOTICE_LATE_DAYS, &report), OK);
	return report;
}

static struct notice_release only(struct play *p)
{
	struct notice_report report = finish(p);
	assert_int_equal(report.n_releases, 1);
	assert_string_equal(report.releases[0].municipality, "gm-a");
	return report.releases[0];
}

static void test_told_once(void **state)
{
	struct play *p = *state;
	inside(p, "C-1", "2027-02-01");
	date(p, "C-1", "2027-02-01", "2027-02-25");
	told(p, "C-1", "release.approaching", "2027-02-11", "\"release_date\":\"2027-02-25\"");
	released(p, "C-1", "2027-02-25");
	struct notice_release line = only(p);
	assert_int_equal(line.days, 24);
	assert_int_equal(line.first_days, 24);
	assert_false(line.late || line.ordered);
}

static void test_moved_counts_from_the_day_that_held(void **state)
{
	struct play *p = *state;
	inside(p, "C-1", "2027-01-01");
	date(p, "C-1", "2027-01-01", "2027-02-25");
	date(p, "C-1", "2027-02-10", "2027-02-15"); /* earlier */
	date(p, "C-1", "2027-02-11", "2027-02-15"); /* again the same: nothing new */
	released(p, "C-1", "2027-02-15");
	struct notice_release line = only(p);
	assert_int_equal(line.days, 5);
	assert_int_equal(line.first_days, 45);
	assert_true(line.late);
}

static void test_moved_away_and_back_begins_again(void **state)
{
	struct play *p = *state;
	inside(p, "C-1", "2027-01-01");
	date(p, "C-1", "2027-01-02", "2027-02-25");
	date(p, "C-1", "2027-02-01", "2027-03-25");
	date(p, "C-1", "2027-02-10", "2027-02-25");
	released(p, "C-1", "2027-02-25");
	assert_int_equal(only(p).days, 15);
}

static void test_no_date_in_between_begins_again(void **state)
{
	struct play *p = *state;
	inside(p, "C-1", "2027-01-01");
	date(p, "C-1", "2027-01-02", "2027-02-25");
	told(p, "C-1", "release.date-unknown", "2027-02-05", "");
	date(p, "C-1", "2027-02-20", "2027-02-25");
	released(p, "C-1", "2027-02-25");
	assert_int_equal(only(p).days, 5);
}

static void test_an_order_gives_none(void **state)
{
	struct play *p = *state;
	inside(p, "C-1", "2027-02-01");
	date(p, "C-1", "2027-02-01", "2027-02-25");
	told(p, "C-1", "release.ordered", "2027-02-12", "\"ordered_at\":\"2027-02-12T10:59:00Z\"");
	released(p, "C-1", "2027-02-12");
	struct notice_release line = only(p);
	assert_int_equal(line.days, 0);
	assert_int_equal(line.first_days, 11);
	assert_true(line.late && line.ordered);
}

static void test_handed_over_is_not_told(void **state)
{
	struct play *p = *state;
	inside(p, "C-1", "2027-02-01");
	uint64_t sequence = event(p, "C-1", "release.date-set", "NEW", "2027-02-01", "\"date\":\"2027-02-25\"");
	feed(p, "{\"record\":\"delivered\",\"sequence\":\"%020llu\",\"recordedtime\":\"2027-02-01T11:00:00Z\",\"agency\":\"gm-a\",\"sequences\":[\"%020llu\"]}", (unsigned long long)++p->sequence,
	     (unsigned long long)sequence);
	acked(p, sequence, "2027-02-22T23:30:00Z"); /* the 23rd there */
	released(p, "C-1", "2027-02-25");
	struct notice_release line = only(p);
	assert_int_equal(line.days, 2);
	assert_true(line.late);
}

static void test_told_afterwards_and_never(void **state)
{
	struct play *p = *state;
	inside(p, "C-1", "2027-02-01");
	uint64_t dated = event(p, "C-1", "release.date-set", "NEW", "2027-02-20", "\"date\":\"2027-02-25\"");
	(void)event(p, "C-1", "release.confirmed", "NEW", "2027-02-25", "\"released_at\":\"2027-02-25T09:00:00Z\"");
	assert_int_equal(only(p).days, NOTICE_NEVER);
	assert_true(only(p).late);
	acked(p, dated, "2027-02-28T09:00:00Z");
	assert_int_equal(only(p).days, -3);
}

static void test_a_short_custody_is_late_only_when_told_late(void **state)
{
	struct play *p = *state;
	inside(p, "C-1", "2027-02-20");
	date(p, "C-1", "2027-02-20", "2027-02-25");
	released(p, "C-1", "2027-02-25");
	inside(p, "C-2", "2027-02-20");
	date(p, "C-2", "2027-02-21", "2027-02-25");
	released(p, "C-2", "2027-02-25");
	struct notice_report report = finish(p);
	assert_int_equal(report.n_releases, 2);
	assert_int_equal(report.releases[0].days, 5);
	assert_false(report.releases[0].late);
	assert_int_equal(report.releases[1].days, 4);
	assert_true(report.releases[1].late);
}

static void test_another_custody_begins_anew(void **state)
{
	struct play *p = *state;
	inside(p, "C-1", "2027-01-01");
	date(p, "C-1", "2027-01-01", "2027-01-20");
	released(p, "C-1", "2027-01-20"); /* before the window */
	inside(p, "C-1", "2027-02-01");
	date(p, "C-1", "2027-02-10", "2027-02-20");
	released(p, "C-1", "2027-02-20");
	struct notice_release line = only(p);
	assert_int_equal(line.days, 10);
	assert_int_equal(line.first_days, 10);
}

static void test_what_was_never_true_does_not_count(void **state)
{
	struct play *p = *state;
	inside(p, "C-1", "2027-01-01");
	date(p, "C-1", "2027-01-26", "2027-02-25");
	released(p, "C-1", "2027-02-10");   /* the wrong button */
	(void)event(p, "C-1", "release.confirmed", "RETRACT", "2027-02-10", "\"released_at\":\"2027-02-10T09:00:00Z\"");
	released(p, "C-1", "2027-02-25");
	assert_int_equal(only(p).days, 30);
}

static void test_a_cancelled_date_is_none(void **state)
{
	struct play *p = *state;
	inside(p, "C-1", "2027-01-01");
	date(p, "C-1", "2027-01-26", "2027-02-25");
	acked(p, event(p, "C-1", "release.date-set", "CANCEL", "2027-02-01", "\"date\":\"2027-02-25\""), "2027-02-01T11:00:01Z");
	released(p, "C-1", "2027-02-25");
	assert_int_equal(only(p).days, 0);
	assert_int_equal(only(p).first_days, 30);
}

static void test_median_and_worst(void **state)
{
	static const char *const told_on[] = { "2027-02-01", "2027-02-06", "2027-02-11", "2027-02-18" };
	struct play *p = *state;
	char subject[16];
	for (int i = 0; i < 4; i++) {
		(void)snprintf(subject, sizeof subject, "C-%d", i); /* fits */
		inside(p, subject, "2027-01-01");
		date(p, subject, told_on[i], "2027-02-21");
		released(p, subject, "2027-02-21");
	}
	struct notice_report report = finish(p);
	assert_int_equal(report.n_towns, 1);
	assert_int_equal(report.towns[0].releases, 4);
	assert_int_equal(report.towns[0].median_twice, 25); /* of 20, 15, 10, 3 */
	assert_int_equal(report.towns[0].worst, 3);
	assert_int_equal(report.towns[0].late, 2);
}

static void test_only_those_of_the_window_and_with_a_relation(void **state)
{
	struct play *p = *state;
	inside(p, "C-1", "2027-02-01");
	released(p, "C-1", "2027-03-01"); /* the day behind the last */
	assert_int_equal(finish(p).n_releases, 0);
	assert_int_equal(finish(p).n_towns, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_told_once, make, drop),
		cmocka_unit_test_setup_teardown(test_moved_counts_from_the_day_that_held, make, drop),
		cmocka_unit_test_setup_teardown(test_moved_away_and_back_begins_again, make, drop),
		cmocka_unit_test_setup_teardown(test_no_date_in_between_begins_again, make, drop),
		cmocka_unit_test_setup_teardown(test_an_order_gives_none, make, drop),
		cmocka_unit_test_setup_teardown(test_handed_over_is_not_told, make, drop),
		cmocka_unit_test_setup_teardown(test_told_afterwards_and_never, make, drop),
		cmocka_unit_test_setup_teardown(test_a_short_custody_is_late_only_when_told_late, make, drop),
		cmocka_unit_test_setup_teardown(test_another_custody_begins_anew, make, drop),
		cmocka_unit_test_setup_teardown(test_what_was_never_true_does_not_count, make, drop),
		cmocka_unit_test_setup_teardown(test_a_cancelled_date_is_none, make, drop),
		cmocka_unit_test_setup_teardown(test_median_and_worst, make, drop),
		cmocka_unit_test_setup_teardown(test_only_those_of_the_window_and_with_a_relation, make, drop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
