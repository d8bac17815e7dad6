/* The load: agents of any number of agencies in one process and one thread, over lib/wire.h with CURVE, as docs/protocol.md says. Receivers acknowledge
 * at once what they are given. Stops the bench when a connection is lost, a receipt is not "accepted", or nothing happens for LOAD_PATIENCE_MS. */
#ifndef TESTS_BENCH_LOAD_H
#define TESTS_BENCH_LOAD_H

#include "lib/arena.h"
#include "lib/wire.h"
#include "tests/bench/event.h"
#include "tests/bench/host.h"

#define LOAD_PATIENCE_MS 20000
#define SENT_ROOM 65536              /* events without receipt or delivery whose time is kept */

struct load;

/* One agency's agent. */
struct agent {
	struct load *load;
	const struct person *person;
	struct wire_client *client;
	bool welcome;
	uint64_t deliveries;             /* new ones: those that came again are not counted */
	uint64_t last_sequence, again;   /* of a delivery; deliveries that were not new */
	/* a publisher */
	const struct pattern *patterns; size_t n_patterns;
	unsigned first, step, n_cases;   /* publishes on case first + k * step for a random k below n_cases */
	size_t outstanding, in_flight;   /* how many are kept without receipt; how many are */
	uint64_t tag, to_send;           /* of the next event; how many are still to be sent */
	double *sent_at;                 /* by tag % SENT_ROOM */
	/* an answer */
	uint64_t answered; bool answer_last;
};

struct load {
	const struct host *host;
	struct loop *loop;
	struct wire *wire;
	struct arena arena;
	struct agent *agents; size_t n;  /* one place for each agency of the country; client NULL: not connected */
	struct dice dice;
	uint64_t receipts, deliveries, welcomes;
	struct samples *receipt_us;      /* where these go; NULL: nowhere */
	struct samples *delivery_us;     /* of deliveries whose event this process sent: from publish to receiver */
	double *paced_at;                /* send times by the number in the event's id; only while pacing */
};

void load_new(struct load *load, const struct host *host);
void load_free(struct load *load);
/* Connects these agencies and waits until all of them are welcome. Those that are connected already stay so. */
void load_connect(struct load *load, const size_t *who, size_t n);
void load_connect_range(struct load *load, size_t first, size_t n);
void load_disconnect(struct load *load);

/* Makes agency `who` a publisher on those cases. */
struct agent *load_publisher(struct load *load, size_t who, const struct pattern *patterns, size_t n_patterns);
/* Each of the publishers [0, n) sends `events`, with `outstanding` unreceipted at most. Seconds from the first to the last receipt. */
double load_publish(struct load *load, size_t n, size_t outstanding, uint64_t events);
/* Publisher 0 sends so many a second for so long; delivery_us is filled. */
void load_paced(struct load *load, unsigned per_second, unsigned ms);
/* Waits until so many deliveries have come in all. */
void load_await_deliveries(struct load *load, uint64_t n);
/* The auditor replays the log, at most `limit` events. How many came; seconds. */
uint64_t load_replay(struct load *load, size_t who, uint64_t limit, double *ret_seconds);

#endif
