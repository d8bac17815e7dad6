/* What the daemon counts, and logs that cannot be provoked into a flood. No content of any case comes here. */
#ifndef BROKER_STATS_H
#define BROKER_STATS_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/buf.h"

/* One row per counter: name and what it counts. status, and the page about operation, come from it. */
#define STATS(X) \
	X(messages, "messages received") \
	X(bytes_in, "bytes received") \
	X(bytes_out, "bytes handed to connections") \
	X(hellos, "sessions begun") \
	X(replaced, "sessions that a newer one of the same agency replaced") \
	X(unknown_keys, "handshakes refused because no agency has the key") \
	X(malformed, "messages that were no Frame, or a Frame out of place") \
	X(strangers, "messages outside a session") \
	X(items, "events offered by publishers") \
	X(accepted, "events accepted") \
	X(duplicates, "events that were known already") \
	X(stale, "events older than the current version of their slot") \
	X(refused, "events refused") \
	X(busy, "events answered busy") \
	X(storage_full, "events answered storage-full") \
	X(deliveries, "deliveries handed to connections") \
	X(resends, "of these, again") \
	X(acks, "deliveries acknowledged by agents") \
	X(paused, "times that a connection's queue was full") \
	X(lost, "connections found gone, or silent") \
	X(queries, "questions asked") \
	X(denied, "questions refused") \
	X(cosignatures, "cosignatures taken") \
	X(contradictions, "agents whose checkpoint contradicts the log") \
	X(turns, "turns committed") \
	X(turns_failed, "turns rolled back") \
	X(turn_us, "microseconds spent in turns") \
	X(commit_us, "of these, in the commit") \
	X(reloads, "reloads of the configuration") \
	X(reloads_failed, "reloads refused, the old configuration going on")

struct stats {
#define X(name, help) uint64_t name;
	STATS(X)
#undef X
	uint64_t turn_us_max, commit_us_max;
	int64_t since;               /* CLOCK_MONOTONIC ms */
};

void stats_init(struct stats *stats);
/* Appends `"name":value,…` without braces. */
int stats_write(const struct stats *stats, struct buf *out);
uint64_t stats_us(void);             /* CLOCK_MONOTONIC in microseconds */

/* Lets one line through per period, and tells with it how many were held back since the one before. */
struct limiter { int64_t next; unsigned held; };
#define LIMITER_MS 10000
bool limiter_pass(struct limiter *limiter, unsigned *ret_held);
/* For the end of that line: "; 3 more were held back", or nothing where none was. */
#define LIMITER_MORE 40
const char *limiter_more(unsigned held, char room[LIMITER_MORE]);

#endif
