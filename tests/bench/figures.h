/* The figures of a running broker with a store: one function each, one call one run. Rows of the table are named here, so that limits find them. */
#ifndef TESTS_BENCH_FIGURES_H
#define TESTS_BENCH_FIGURES_H

#include "tests/bench/load.h"
#include "tests/bench/table.h"

#define F_ONE_P50 "1 publisher, one at a time: receipt p50"
#define F_ONE_P99 "1 publisher, one at a time: receipt p99"
#define F_ONE_COMMIT "1 publisher, one at a time: commit, mean"
#define F_ONE_CPU "1 publisher, one at a time: CPU an event, broker"
#define F_ONE_256 "1 publisher, 256 outstanding"
#define F_16_64 "16 publishers, 64 outstanding, one receiver"
#define F_16_64_P50 "16 publishers, 64 outstanding: receipt p50"
#define F_16_64_P99 "16 publishers, 64 outstanding: receipt p99"
#define F_16_64_CPU "16 publishers, 64 outstanding: CPU an event, broker"
#define F_16_64_CPU_NET "16 publishers, 64 outstanding: CPU an event, its other threads"
#define F_16_64_CPU_LOAD "16 publishers, 64 outstanding: CPU an event, the load"
#define F_16_64_TURN "16 publishers, 64 outstanding: events a turn"
#define F_16_64_COMMIT "16 publishers, 64 outstanding: commit, of a turn's time"
#define F_DELIVERED "the same, until the receiver has them all"
#define F_SPREAD "16 publishers, 64 outstanding, all municipalities hear"
#define F_SPREAD_CPU "all municipalities hear: CPU an event, broker"
#define F_SPREAD_P99 "all municipalities hear: receipt p99"
#define F_E2E_P50 "1,000 events/s, publish to receiver: p50"
#define F_E2E_P99 "1,000 events/s, publish to receiver: p99"
#define F_FAN_OUT "fan-out to 100 receivers: deliveries"
#define F_FAN_OUT_CPU "fan-out: CPU a delivery, broker"
#define F_FAN_OUT_CPU_NET "fan-out: CPU a delivery, its other threads"
#define F_FAN_OUT_CPU_LOAD "fan-out: CPU a delivery, the load"
#define F_REPLAY "replay to one auditor"
#define F_REPLAY_CPU "replay: CPU a record, broker"
#define F_REPLAY_CPU_NET "replay: CPU a record, its other threads"
#define F_REPLAY_CPU_LOAD "replay: CPU a record, the load"
#define F_START "kill -9, start: until ready"
#define F_START_WELCOME "kill -9, start: until the first welcome"
#define F_IDLE "idle: memory of its own"
#define F_CONNECTED "all agencies connected: memory of its own"
#define F_PER_AGENT "all agencies connected: for each"
#define F_AFTER "after the load: memory of its own"

struct setting {
	const char *name;
	struct table *table;
	struct host *host;
	struct load *load;
	unsigned n_cases;        /* as the store was made */
	unsigned wide_case;      /* a case with PROVIDERS providers; a multiple of PRISONS */
	bool full;               /* the long run */
};

void figure_one(struct setting *setting);
void figure_many(struct setting *setting);
void figure_spread(struct setting *setting);   /* all municipalities must be connected */
void figure_end_to_end(struct setting *setting);
void figure_fan_out(struct setting *setting);
void figure_replay(struct setting *setting);
void figure_start(struct setting *setting);    /* kills and starts; leaves nobody connected */
void figure_memory(struct setting *setting);   /* starts anew; connects everybody; leaves nobody connected */
/* The machine's limits beside the figures of a setting, once everything has been measured. */
void figures_limits(struct table *table, const char *setting);

#endif
