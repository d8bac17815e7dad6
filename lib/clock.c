#include "lib/clock.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/civil.h"
#include "lib/err.h"

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

static moment system_now(struct clock *clock)
{
	(void)clock;
	return read_ms(CLOCK_REALTIME);
}

static moment simulated_now(struct clock *clock)
{
	return clock->set;
}

static moment accelerated_now(struct clock *clock)
{
	return clock->base_shown + (moment)((double)(clock_monotonic_ms() - clock->base_real) * clock->rate);
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

int clock_from_environment(struct clock *clock)
{
	const char *text = getenv("REENTRY_CLOCK");
	char when[CIVIL_MOMENT_SIZE + 8], *end;
	const char *at = text ? strchr(text, '@') : NULL;
	long long real_start;
	moment shown;
	double rate;

	clock_system(clock);
	if (!text || !*text)
		return OK;
	if (!at || (size_t)(at - text) >= sizeof when)
		return ERR_INVALID;
	memcpy(when, text, (size_t)(at - text));
	when[at - text] = 0;
	if (civil_parse_moment(when, &shown))
		return ERR_INVALID;
	rate = strtod(at + 1, &end);
	if (*end != '#' || !(rate > 0 && rate <= 1e9))
		return ERR_INVALID;
	real_start = strtoll(end + 1, &end, 10);
	if (*end)
		return ERR_INVALID;
	/* Where the shown time stands now; from here on by the monotonic clock. */
	clock_accelerated(clock, shown + (moment)((double)(read_ms(CLOCK_REALTIME) - real_start) * rate), rate);
	return OK;
}

moment clock_now(struct clock *clock)
{
	return clock->now(clock);
}
