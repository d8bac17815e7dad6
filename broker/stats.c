#include "broker/stats.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "lib/clock.h"

void stats_init(struct stats *stats)
{
	memset(stats, 0, sizeof *stats);
	stats->since = clock_monotonic_ms();
}

int stats_write(const struct stats *stats, struct buf *out)
{
#define X(name, help) (void)buf_printf(out, "\"" #name "\":%" PRIu64 ",", stats->name);
	STATS(X)
#undef X
	return buf_printf(out, "\"turn_us_max\":%" PRIu64 ",\"commit_us_max\":%" PRIu64 ",\"uptime_ms\":%" PRId64, stats->turn_us_max, stats->commit_us_max,
	                  clock_monotonic_ms() - stats->since);
}

bool limiter_pass(struct limiter *limiter, unsigned *ret_held)
{
	const int64_t now = clock_monotonic_ms();

	if (now < limiter->next) {
		limiter->held++;
		return false;
	}
	*ret_held = limiter->held;
	limiter->held = 0;
	limiter->next = now + LIMITER_MS;
	return true;
}

uint64_t stats_us(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail. lint: clock_gettime, because figures of our own work need microseconds and decide nothing */
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

const char *limiter_more(unsigned held, char room[LIMITER_MORE])
{
	room[0] = '\0';
	if (held)
		(void)snprintf(room, LIMITER_MORE, "; %u more were held back", held); /* 34 characters at most */
	return room;
}
