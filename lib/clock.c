#include "lib/clock.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/civil.h"
#include "lib/err.h"

#define RATE_MAX 1e9

static int64_t read_ms(clockid_t which)
{
	struct timespec ts;

	if (clock_gettime(which, &ts))
		return 0; /* cannot happen: both clocks exist on every Linux */
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int64_t clock_monotonic_ms(void)
{
	return read_ms(CLOCK_MONOTONIC);
}

uint64_t clock_monotonic_ns(void)
{
	struct timespec ts;

	if (clock_gettime(CLOCK_MONOTONIC, &ts))
		return 0; /* cannot happen */
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static moment system_now(struct clock *clock)
{
	(void)clock;
	return read_ms(CLOCK_REALTIME);
}

static moment simulated_now(struct clock *clock)
{
	return clock->set;
}

/* What lies outside is the nearest moment: a fast clock that is left running stops at the end of time. */
static moment add(moment when, double ms)
{
	double sum = (double)when + ms;

	if (!(sum > (double)MOMENT_MIN))
		return MOMENT_MIN;
	return sum < (double)MOMENT_MAX ? when + (moment)ms : MOMENT_MAX;
}

static moment accelerated_now(struct clock *clock)
{
	return add(clock->base_shown, (double)(clock_monotonic_ms() - clock->base_real) * clock->rate);
}

void clock_system(struct clock *clock)
{
	*clock = (struct clock){ .now = system_now, .rate = 1 };
}

void clock_simulated(struct clock *clock, moment start)
{
	*clock = (struct clock){ .now = simulated_now, .set = start };
}

void clock_accelerated(struct clock *clock, moment start, double rate)
{
	*clock = (struct clock){ .now = accelerated_now, .base_real = clock_monotonic_ms(), .base_shown = start, .rate = rate };
}

/* "MOMENT@RATE#REALSTART" */
static bool parse(const char *text, moment *ret_shown, double *ret_rate, int64_t *ret_real_start)
{
	char when[CIVIL_MOMENT_SIZE + 8], *end;
	const char *at = strchr(text, '@');

	if (!at || (size_t)(at - text) >= sizeof when)
		return false;
	memcpy(when, text, (size_t)(at - text));
	when[at - text] = 0;
	if (civil_parse_moment(when, ret_shown))
		return false;
	*ret_rate = strtod(at + 1, &end);
	if (end == at + 1 || *end != '#' || !(*ret_rate > 0 && *ret_rate <= RATE_MAX))
		return false;
	at = end + 1;
	errno = 0;
	*ret_real_start = strtoll(at, &end, 10);
	return end != at && !*end && !errno && *ret_real_start >= 0 && *ret_real_start <= MOMENT_MAX;
}

int clock_from_environment(struct clock *clock)
{
	const char *text = getenv("REENTRY_CLOCK"); /* lint: getenv, because the demo sets it for all its processes at once */
	int64_t real_start;
	moment shown;
	double rate;

	clock_system(clock);
	if (!text || !*text)
		return OK;
	if (!parse(text, &shown, &rate, &real_start))
		return ERR_INVALID;
	/* Where the shown time stands now; from here on by the monotonic clock. */
	clock_accelerated(clock, add(shown, (double)(read_ms(CLOCK_REALTIME) - real_start) * rate), rate);
	return OK;
}

moment clock_now(struct clock *clock)
{
	return clock->now(clock);
}
