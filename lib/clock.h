/* Where time comes from: the system, a simulated clock, or the system clock run faster (the demo). Moments are ms since 1970 UTC. */
#ifndef LIB_CLOCK_H
#define LIB_CLOCK_H

#include <stdint.h>

typedef int64_t moment;               /* ms since 1970-01-01T00:00:00Z */
#define MOMENT_NONE INT64_MIN
#define MOMENT_MAX INT64_C(7258118400000) /* 2200-01-01; later or before -2208988800000 (1900) is not a moment */
#define MOMENT_MIN INT64_C(-2208988800000)

struct clock {
	moment (*now)(struct clock *);
	moment set;        /* simulated: the present */
	moment base_real, base_shown;
	double rate;       /* accelerated: shown ms per real ms */
};
void clock_system(struct clock *clock);
void clock_simulated(struct clock *clock, moment start);
/* Shows `start` now and runs `rate` times as fast as CLOCK_MONOTONIC. */
void clock_accelerated(struct clock *clock, moment start, double rate);
/* From REENTRY_CLOCK="2027-02-01T09:00:00Z@RATE#REALSTART_MS" (what the demo sets for all its processes: at real time
 * REALSTART_MS (CLOCK_REALTIME ms) the shown time was the given moment, so that every process agrees and restarts go on), else the system clock. ERR_INVALID on a bad value. */
int clock_from_environment(struct clock *clock);
moment clock_now(struct clock *clock);
int64_t clock_monotonic_ms(void);
uint64_t clock_monotonic_ns(void);

#endif
