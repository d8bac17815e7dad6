/* Proves that the three clocks show what they should (also outside what can be shown), that all processes with the same REENTRY_CLOCK agree, that a bad one is refused, and that a line of
 * the log is one write of one line with its level (log). */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <unistd.h>

#include "lib/civil.h"
#include "lib/clock.h"
#include "lib/log.h"

#define SLACK 60000 /* ms of real time that a busy machine may need for a test */

static moment at(const char *text)
{
	moment when;

	assert_int_equal(civil_parse_moment(text, &when), OK);
	return when;
}

static moment real_now(void)
{
	struct clock clock;

	clock_system(&clock);
	return clock_now(&clock);
}

static int tear_down(void **state)
{
	(void)state;
	return unsetenv("REENTRY_CLOCK");
}

/* --- clocks ---------------------------------------------------------------------------------------------------- */

static void the_system_clock_is_in_this_century(void **state)
{
	(void)state;
	assert_in_range(real_now(), at("2024-01-01T00:00:00Z"), at("2100-01-01T00:00:00Z"));
}

static void a_simulated_clock_stands_still(void **state)
{
	struct clock clock;

	(void)state;
	clock_simulated(&clock, 1000);
	assert_int_equal(clock_now(&clock), 1000);
	assert_int_equal(clock_now(&clock), 1000);
	clock.set += 500;
	assert_int_equal(clock_now(&clock), 1500);
}

static void an_accelerated_clock_runs_faster(void **state)
{
	moment start = at("2027-02-01T09:00:00Z");
	int64_t before = clock_monotonic_ms(), after;
	struct clock clock;
	moment shown;

	(void)state;
	clock_accelerated(&clock, start, 1000);
	shown = clock_now(&clock);
	after = clock_monotonic_ms();
	assert_in_range(shown, start, start + (after - before) * 1000);
	clock.base_real -= 60; /* as if 60 ms had gone by since it was made */
	shown = clock_now(&clock);
	after = clock_monotonic_ms();
	assert_in_range(shown, start + 60000, start + (after - before + 60) * 1000);
}

static void a_clock_ends_where_moments_end(void **state)
{
	struct clock clock;

	(void)state;
	clock_accelerated(&clock, MOMENT_MAX - 1000, 1e9);
	clock.base_real -= 5000;
	assert_int_equal(clock_now(&clock), MOMENT_MAX);
	clock_accelerated(&clock, MOMENT_MAX, 1e300);
	clock.base_real -= 1;
	assert_int_equal(clock_now(&clock), MOMENT_MAX);
}

static void without_the_variable_it_is_the_system(void **state)
{
	const char *const texts[] = { NULL, "" };
	struct clock clock;

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		moment before = real_now();

		assert_int_equal(texts[i] ? setenv("REENTRY_CLOCK", texts[i], 1) : unsetenv("REENTRY_CLOCK"), 0);
		assert_int_equal(clock_from_environment(&clock), OK);
		assert_in_range(clock_now(&clock), before, before + SLACK);
	}
}

/* Two processes that start at different times show the same. */
static void processes_agree(void **state)
{
	moment start = at("2027-02-01T09:00:00Z"), real = real_now() - 10000, first, second, latest;
	struct clock one, other;
	char text[96];

	(void)state;
	(void)snprintf(text, sizeof text, "2027-02-01T10:00:00+01:00@2000.5#%lld", (long long)real);
	assert_int_equal(setenv("REENTRY_CLOCK", text, 1), 0);
	assert_int_equal(clock_from_environment(&one), OK);
	assert_int_equal(clock_from_environment(&other), OK);
	first = clock_now(&one);
	second = clock_now(&other);
	latest = start + (moment)((double)(real_now() - real + 2) * 2000.5);
	assert_in_range(first, start + 20005000, latest);
	assert_in_range(second, first - 2 * 2001, latest); /* each reads its two clocks to the ms */
}

static void bad_values_are_refused(void **state)
{
	static const char *const bad[] = {
		"x", "@", "2027-02-01T09:00:00Z", "2027-02-01T09:00:00Z@", "2027-02-01T09:00:00Z@#", "2027-02-01T09:00:00Z@10", "2027-02-01T09:00:00Z@10#",
		"2027-02-01T09:00:00Z@10#x", "2027-02-01T09:00:00Z@10#5x", "2027-02-01T09:00:00Z@0#5", "2027-02-01T09:00:00Z@-3#5", "2027-02-01T09:00:00Z@nan#5",
		"2027-02-01T09:00:00Z@inf#5", "2027-02-01T09:00:00Z@1e10#5", "2027-02-01T09:00:00Z@#5", "2027-02-30T09:00:00Z@10#5", "2027-02-01@10#5",
		"2027-02-01T09:00:00Z@10#-1", "2027-02-01T09:00:00Z@10#99999999999999999999", "2027-02-01T09:00:00Z@10#9999999999999999",
		"2027-02-01T09:00:00.0000000000000000000000000000000000000000000000000Z@10#5",
	};
	struct clock clock;

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		assert_int_equal(setenv("REENTRY_CLOCK", bad[i], 1), 0);
		if (clock_from_environment(&clock) != ERR_INVALID)
			fail_msg("accepted: %s", bad[i]);
	}
}

static void the_monotonic_clock_never_goes_back(void **state)
{
	int64_t last = clock_monotonic_ms();

	(void)state;
	for (int i = 0; i < 10000; i++) {
		int64_t now = clock_monotonic_ms();

		assert_true(now >= last);
		last = now;
	}
}

/* --- log ------------------------------------------------------------------------------------------------------- */

static char written[8192];

/* What the log writes to a pipe in place of stderr while `speak` runs; returns the number of bytes. */
static size_t catch(void (*speak)(void))
{
	int ends[2], kept = dup(STDERR_FILENO);
	ssize_t n;

	assert_true(kept >= 0);
	assert_int_equal(pipe2(ends, O_NONBLOCK), 0);
	assert_true(dup2(ends[1], STDERR_FILENO) >= 0);
	speak();
	assert_true(dup2(kept, STDERR_FILENO) >= 0);
	(void)close(ends[1]);
	(void)close(kept);
	n = read(ends[0], written, sizeof written - 1);
	(void)close(ends[0]);
	assert_true(n >= 0);
	written[n] = 0;
	return (size_t)n;
}

static void speak_on_each_level(void)
{
	log_init("reentry-test");
	log_error("store-failed errno=%d", 5);
	log_warn("link-slow agency=%s", "gm0344");
	log_info("started");
	log_debug("turn n=%d", 3);
}

static void levels_are_journald_s(void **state)
{
	(void)state;
	assert_int_equal(unsetenv("REENTRY_LOG"), 0);
	log_set_level(LOG_INFO);
	assert_true(catch(speak_on_each_level) > 0);
	assert_string_equal(written, "<3>store-failed errno=5\n<4>link-slow agency=gm0344\n<6>started\n");
}

static void the_level_comes_from_the_environment(void **state)
{
	(void)state;
	assert_int_equal(setenv("REENTRY_LOG", "error", 1), 0);
	assert_true(catch(speak_on_each_level) > 0);
	assert_string_equal(written, "<3>store-failed errno=5\n");
	assert_int_equal(setenv("REENTRY_LOG", "debug", 1), 0);
	assert_true(catch(speak_on_each_level) > 0);
	assert_non_null(strstr(written, "<7>turn n=3\n"));
	assert_int_equal(unsetenv("REENTRY_LOG"), 0);
	log_set_level(LOG_INFO);
}

static void speak_of_strange_things(void)
{
	log_info("first %s", "a\nb\r\x1b[2J");
	log_info("second %5000d", 1);
	log_info("third");
}

static void a_line_is_one_line(void **state)
{
	char *second, *third;

	(void)state;
	assert_true(catch(speak_of_strange_things) > 0);
	assert_memory_equal(written, "<6>first a b  [2J\n", 18);
	second = strchr(written, '\n') + 1;
	assert_memory_equal(second, "<6>second ", 10);
	third = strchr(second, '\n') + 1;
	assert_true(third - second <= 2048);
	assert_string_equal(third, "<6>third\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_system_clock_is_in_this_century), cmocka_unit_test(a_simulated_clock_stands_still),
		cmocka_unit_test(an_accelerated_clock_runs_faster), cmocka_unit_test(a_clock_ends_where_moments_end),
		cmocka_unit_test_teardown(without_the_variable_it_is_the_system, tear_down), cmocka_unit_test_teardown(processes_agree, tear_down),
		cmocka_unit_test_teardown(bad_values_are_refused, tear_down), cmocka_unit_test(the_monotonic_clock_never_goes_back),
		cmocka_unit_test(levels_are_journald_s), cmocka_unit_test(the_level_comes_from_the_environment), cmocka_unit_test(a_line_is_one_line),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
