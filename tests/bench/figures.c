#include "tests/bench/figures.h"

#include <time.h>

#include "tests/bench/limits.h"

#define PACE 1000
#define DATES 16                     /* different release dates of the wide case */
#define DAYS_AHEAD 120

static struct pattern screened[2], dates[DATES];

static void make_patterns(void)
{
	static bool made;

	if (made)
		return;
	made = true;
	pattern_screened(&screened[0], false);
	pattern_screened(&screened[1], true);
	for (int i = 0; i < DATES; i++)
		pattern_date(&dates[i], today() + DAYS_AHEAD + i);
}

/* The publishers are the prisons; publisher i has the cases i, i + PRISONS, …: those of the lower half are one municipality's. */
static void make_publishers(struct setting *setting, size_t n, bool spread)
{
	const unsigned half = setting->n_cases / 2, first = spread ? half : 0, cases = spread ? setting->n_cases - half : half;

	make_patterns();
	load_connect_range(setting->load, PRISON(0), n);
	if (!spread)
		load_connect_range(setting->load, MUNICIPALITY(0), 1);
	for (size_t i = 0; i < n; i++) {
		struct agent *agent = load_publisher(setting->load, PRISON(i), screened, 2);

		agent->first = first - first % PRISONS + (first % PRISONS ? PRISONS : 0) + (unsigned)i;
		agent->step = PRISONS;
		agent->n_cases = cases / PRISONS - 1;
	}
}

static void note(const struct setting *setting, const char *figure, const char *unit, double value)
{
	table_note(setting->table, setting->name, figure, unit, value);
}

/* --- publishing --------------------------------------------------------------------------------------------------------------- */

void figure_one(struct setting *setting)
{
	struct load *load = setting->load;
	struct samples receipts = { 0 };
	const uint64_t events = setting->full ? 10000 : 1500;
	const double turns = host_counter(setting->host, "turns"), commits = host_counter(setting->host, "commit_us");
	const struct cpu before = host_cpu(setting->host);
	uint64_t delivered;

	make_publishers(setting, 1, false);
	delivered = load->deliveries;
	load->receipt_us = &receipts;
	(void)load_publish(load, 1, 1, events); /* each is timed alone */
	load->receipt_us = NULL;
	load_await_deliveries(load, delivered + events);
	note(setting, F_ONE_P50, "µs", samples_at(&receipts, 0.5));
	note(setting, F_ONE_P99, "µs", samples_at(&receipts, 0.99));
	note(setting, F_ONE_COMMIT, "µs", (host_counter(setting->host, "commit_us") - commits) / (host_counter(setting->host, "turns") - turns));
	note(setting, F_ONE_CPU, "µs", (host_cpu(setting->host).own - before.own) * 1e6 / (double)events);
	samples_release(&receipts);
}

/* What a run of many took. */
struct run { double seconds, to_the_end, own, zeromq, load, turns, turn_us, commit_us; uint64_t events; struct samples receipts; };

static double own_cpu(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts); /* cannot fail */
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void many(struct setting *setting, size_t publishers, size_t outstanding, uint64_t events, struct run *ret_run)
{
	struct load *load = setting->load;
	const uint64_t delivered = load->deliveries;
	const struct cpu before = host_cpu(setting->host);
	const double turns = host_counter(setting->host, "turns"), turn_us = host_counter(setting->host, "turn_us"), commit_us = host_counter(setting->host, "commit_us");
	const double begin = now_us(), cpu = own_cpu();
	struct cpu after;

	*ret_run = (struct run){ .events = publishers * events };
	load->receipt_us = &ret_run->receipts;
	ret_run->seconds = load_publish(load, publishers, outstanding, events);
	load->receipt_us = NULL;
	load_await_deliveries(load, delivered + ret_run->events);
	ret_run->to_the_end = (now_us() - begin) / 1e6;
	after = host_cpu(setting->host);
	ret_run->own = (after.own - before.own) * 1e6 / (double)ret_run->events;
	ret_run->zeromq = (after.zeromq - before.zeromq) * 1e6 / (double)ret_run->events;
	ret_run->turns = host_counter(setting->host, "turns") - turns;
	ret_run->turn_us = host_counter(setting->host, "turn_us") - turn_us;
	ret_run->commit_us = host_counter(setting->host, "commit_us") - commit_us;
	ret_run->load = (own_cpu() - cpu) * 1e6 / (double)ret_run->events;
}

void figure_many(struct setting *setting)
{
	struct run run;

	make_publishers(setting, 1, false);
	many(setting, 1, 256, setting->full ? 200000 : 25000, &run);
	note(setting, F_ONE_256, "/s", (double)run.events / run.seconds);
	samples_release(&run.receipts);
	make_publishers(setting, PRISONS, false);
	many(setting, PRISONS, 64, setting->full ? 40000 : 4000, &run);
	note(setting, F_16_64, "/s", (double)run.events / run.seconds);
	note(setting, F_DELIVERED, "/s", (double)run.events / run.to_the_end);
	note(setting, F_16_64_CPU, "µs", run.own);
	note(setting, F_16_64_CPU_NET, "µs", run.zeromq);
	note(setting, F_16_64_CPU_LOAD, "µs", run.load);
	note(setting, F_16_64_TURN, "", (double)run.events / run.turns);
	note(setting, F_16_64_COMMIT, "%", 100 * run.commit_us / run.turn_us);
	note(setting, F_16_64_P50, "µs", samples_at(&run.receipts, 0.5));
	note(setting, F_16_64_P99, "µs", samples_at(&run.receipts, 0.99));
	samples_release(&run.receipts);
}

void figure_spread(struct setting *setting)
{
	struct run run;

	load_connect_range(setting->load, MUNICIPALITY(0), setting->host->country->n_municipalities);
	make_publishers(setting, PRISONS, true);
	many(setting, PRISONS, 64, setting->full ? 40000 : 3000, &run);
	note(setting, F_SPREAD, "/s", (double)run.events / run.seconds);
	note(setting, F_SPREAD_CPU, "µs", run.own);
	note(setting, F_SPREAD_P99, "µs", samples_at(&run.receipts, 0.99));
	samples_release(&run.receipts);
}

/* What n of something cost, since `before` and `cpu`, in microseconds. */
static void note_cpu(const struct setting *setting, const char *const figures[3], const struct cpu *before, double cpu, uint64_t n)
{
	const struct cpu after = host_cpu(setting->host);

	note(setting, figures[0], "µs", (after.own - before->own) * 1e6 / (double)n);
	note(setting, figures[1], "µs", (after.zeromq - before->zeromq) * 1e6 / (double)n);
	note(setting, figures[2], "µs", (own_cpu() - cpu) * 1e6 / (double)n);
}

/* --- delivering ----------------------------------------------------------------------------------------------------------------- */

void figure_end_to_end(struct setting *setting)
{
	struct load *load = setting->load;
	struct samples deliveries = { 0 };

	make_publishers(setting, 1, false);
	load->delivery_us = &deliveries;
	load_paced(load, PACE, setting->full ? 20000 : 2000);
	load->delivery_us = NULL;
	note(setting, F_E2E_P50, "µs", samples_at(&deliveries, 0.5));
	note(setting, F_E2E_P99, "µs", samples_at(&deliveries, 0.99));
	samples_release(&deliveries);
}

void figure_fan_out(struct setting *setting)
{
	struct load *load = setting->load;
	static const char *const cpus[] = { F_FAN_OUT_CPU, F_FAN_OUT_CPU_NET, F_FAN_OUT_CPU_LOAD };
	const uint64_t events = setting->full ? 5000 : 400;
	struct agent *agent;
	struct cpu before;
	uint64_t delivered;
	double begin, cpu;

	make_patterns();
	load_connect_range(load, PRISON(0), 1);
	load_connect_range(load, PROVIDER(0), PROVIDERS);
	agent = load_publisher(load, PRISON(0), dates, DATES);
	agent->first = setting->wide_case;
	delivered = load->deliveries;
	before = host_cpu(setting->host);
	cpu = own_cpu();
	begin = now_us();
	(void)load_publish(load, 1, 64, events); /* what counts is when the last one has come */
	load_await_deliveries(load, delivered + events * PROVIDERS);
	note(setting, F_FAN_OUT, "/s", (double)(events * PROVIDERS) / (now_us() - begin) * 1e6);
	note_cpu(setting, cpus, &before, cpu, events * PROVIDERS);
}

void figure_replay(struct setting *setting)
{
	static const char *const cpus[] = { F_REPLAY_CPU, F_REPLAY_CPU_NET, F_REPLAY_CPU_LOAD };
	const size_t auditor = setting->host->country->auditor;
	struct cpu before;
	double seconds, cpu;
	uint64_t n;

	load_connect(setting->load, &auditor, 1);
	before = host_cpu(setting->host);
	cpu = own_cpu();
	n = load_replay(setting->load, auditor, setting->full ? UINT64_MAX : 100000, &seconds);
	if (!n)
		stop("a replay gave nothing");
	note(setting, F_REPLAY, "/s", (double)n / seconds);
	note_cpu(setting, cpus, &before, cpu, n);
}

/* --- starting, resting ------------------------------------------------------------------------------------------------------------ */

void figure_start(struct setting *setting)
{
	const size_t first = PRISON(0);
	struct run run;
	double ready, begin;

	make_publishers(setting, PRISONS, false);
	many(setting, PRISONS, 64, 1500, &run); /* so that there is something that a start must catch up with */
	samples_release(&run.receipts);
	load_disconnect(setting->load);
	host_kill(setting->host);
	begin = now_us();
	ready = host_start(setting->host);
	load_connect(setting->load, &first, 1);
	note(setting, F_START, "ms", ready);
	note(setting, F_START_WELCOME, "ms", (now_us() - begin) / 1000);
	load_disconnect(setting->load);
}

void figure_memory(struct setting *setting)
{
	const size_t n = setting->host->country->n;
	struct memory idle, connected;

	note(setting, F_AFTER, "MiB", host_memory(setting->host).anon / 1024);
	load_disconnect(setting->load);
	host_stop(setting->host);
	(void)host_start(setting->host); /* starting is timed elsewhere */
	idle = host_memory(setting->host);
	load_connect_range(setting->load, 0, n);
	connected = host_memory(setting->host);
	note(setting, F_IDLE, "MiB", idle.anon / 1024);
	note(setting, F_CONNECTED, "MiB", connected.anon / 1024);
	note(setting, F_PER_AGENT, "KiB", (connected.anon - idle.anon) / (double)n);
	load_disconnect(setting->load);
}

/* --- limits --------------------------------------------------------------------------------------------------------------------- */

void figures_limits(struct table *table, const char *setting)
{
	static const struct { const char *figure, *limit_of, *rows[2]; } limits[] = {
		{ F_ONE_P50, "round trip + commit of one", { L_ROUND_TRIP, L_COMMIT_1 } },
		{ F_ONE_256, "LMDB, 256 a commit", { L_LMDB_256 } },
		{ F_16_64, "LMDB, 256 a commit", { L_LMDB_256 } },
		{ F_DELIVERED, "LMDB, 256 a commit", { L_LMDB_256 } },
		{ F_SPREAD, "LMDB, 256 a commit", { L_LMDB_256 } },
		{ F_E2E_P50, "round trip + commit of one", { L_ROUND_TRIP, L_COMMIT_1 } },
		{ F_FAN_OUT, "CURVE one way, 64 a message", { L_CURVE_BATCH } },
		{ F_REPLAY, "CURVE one way, 64 a message", { L_CURVE_BATCH } },
		{ F_START, "a program that does nothing", { L_EXEC } },
	};

	for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
		double sum = 0;

		for (size_t k = 0; k < 2 && limits[i].rows[k]; k++)
			sum += table_median(table, LIMITS, limits[i].rows[k]);
		table_limit(table, setting, limits[i].figure, limits[i].limit_of, sum);
	}
}
