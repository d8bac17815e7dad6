/* What the core costs without a network: events a second, with ten and with many open cases, a night's 30,000 moved dates, and opening a store, after a kill and after a stop.
 * usage: bench_core [CASES [EVENTS]]; a store with real syncs in a temporary folder (TMPDIR). One line per figure: name, value, unit. */
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "broker/config.h"
#include "broker/core.h"
#include "lib/crypt.h"
#include "lib/id.h"
#include "lib/pb.h"

static unsigned long turn = 1024; /* events in a turn */
#define START INT64_C(1801558800000) /* 2027-02-02T09:00:00+01:00 */

static struct core *core;
static struct broker_config *config;
static struct arena arena;
static moment now = START;
static uint8_t master[KEY_SIZE];
static char dir[256], store[300], keys[300];

static double on_clock(clockid_t clock)
{
	struct timespec ts;

	(void)clock_gettime(clock, &ts); /* cannot fail */
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static double seconds(void)
{
	return on_clock(CLOCK_MONOTONIC);
}

static void need(int rc, const char *what)
{
	if (rc == OK)
		return;
	fprintf(stderr, "bench_core: %s: %s\n", what, err_text(rc));
	exit(1);
}

static void open_core(void)
{
	struct err err = { 0 };
	struct core_options options = { .dir = store, .keys_dir = keys, .size_max = (size_t)64 << 30, .reserve = (size_t)1 << 20, .master_key = master };

	if (core_open(&options, &config->policy, config->policy_text, &core, &err)) {
		fprintf(stderr, "bench_core: %s\n", err.text);
		exit(1);
	}
}

struct sent { const char *agency, *type; const void *data; unsigned long on; };

static void publish(const struct sent *s)
{
	Reentry__Event event = REENTRY__EVENT__INIT;
	struct core_receipt receipt;
	char id[ID_TEXT_SIZE], subject[32];
	uint8_t *content;
	size_t n;

	id_new(id, now);
	(void)snprintf(subject, sizeof subject, "C-%lu", s->on);
	event.id = id;
	event.type = (char *)(uintptr_t)s->type;
	event.subject = subject;
	event.has_data = true;
	need(pb_pack(s->data, &arena, &event.data.data, &event.data.len), "pack");
	need(pb_pack(&event, &arena, &content, &n), "pack");
	need(core_publish(core, policy_agency(&config->policy, s->agency), content, n, now, &receipt), "publish");
	if (receipt.result != REENTRY__OUTCOME__VALUE__ACCEPTED) {
		fprintf(stderr, "bench_core: %s: %s %s\n", s->type, receipt.code, receipt.detail ? receipt.detail : "");
		exit(1);
	}
}

/* Receivers that acknowledge all they get, so that queues stay short. */
static void drain(void)
{
	struct core_delivery *items;
	size_t n;

	for (size_t i = 0; i < config->policy.n_agencies; i++)
		for (;;) {
			uint64_t sequences[4096];

			arena_reset(&arena);
			need(core_deliveries(core, config->policy.agencies[i].id, 0, 4096, (size_t)64 << 20, &arena, &items, &n), "deliveries");
			if (!n)
				break;
			for (size_t k = 0; k < n; k++)
				sequences[k] = items[k].sequence;
			need(core_begin(core, now), "begin");
			need(core_acked(core, config->policy.agencies[i].id, sequences, n), "ack");
			need(core_commit(core), "commit");
		}
}

typedef void one(unsigned long i, unsigned long cases);

/* In seconds, of the whole; on a machine that does other work, CPU says more than time. */
struct took { double time, cpu; unsigned long n; };

static struct took run(unsigned long n, unsigned long cases, one *f)
{
	double start = seconds(), cpu = on_clock(CLOCK_THREAD_CPUTIME_ID);

	for (unsigned long i = 0; i < n;) {
		arena_reset(&arena);
		need(core_begin(core, ++now), "begin");
		for (unsigned long k = 0; k < turn && i < n; k++, i++)
			f(i, cases);
		need(core_commit(core), "commit");
	}
	return (struct took){ seconds() - start, on_clock(CLOCK_THREAD_CPUTIME_ID) - cpu, n };
}

static void open_case(unsigned long i, unsigned long cases)
{
	Reentry__CustodyStarted started = REENTRY__CUSTODY_STARTED__INIT;
	Reentry__Moment at = REENTRY__MOMENT__INIT;

	(void)cases;
	at.has_ms = true;
	at.ms = now - 3600000;
	started.start = &at;
	started.origin = started.destination = (char *)(uintptr_t)"0344";
	publish(&(struct sent){ "pi-utrecht", "custody.started", &started, i });
}

static void date(unsigned long on, int days)
{
	Reentry__ReleaseDateSet set = REENTRY__RELEASE_DATE_SET__INIT;
	Reentry__Date day = REENTRY__DATE__INIT;

	day.has_days = set.has_kind = true;
	day.days = policy_today(&config->policy, now) + days;
	set.date = &day;
	set.kind = REENTRY__RELEASE_KIND__VALUE__EXPECTED;
	publish(&(struct sent){ "pi-utrecht", "release.date-set", &set, on });
}

static void set_date(unsigned long i, unsigned long cases)
{
	date(i % cases, 150 + (int)(i % 40));
}

static void move_date(unsigned long i, unsigned long cases)
{
	date(i % cases, 100 + (int)(i % 40));
}

static void screen(unsigned long i, unsigned long cases)
{
	static char note[420];
	Reentry__NeedStatusChanged n = REENTRY__NEED_STATUS_CHANGED__INIT;

	memset(note, 'x', sizeof note - 1);
	n.has_need = n.has_status = true;
	n.need = REENTRY__NEED__VALUE__HOUSING;
	n.status = i & 1 ? REENTRY__NEED_STATUS__VALUE__OPEN : REENTRY__NEED_STATUS__VALUE__IN_PROGRESS;
	n.note = note;
	publish(&(struct sent){ "pi-utrecht", "need.screened", &n, (i * 7919) % cases });
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void say(const char *name, double value, const char *unit)
{
	printf("%-48s %12.1f %s\n", name, value, unit);
	(void)fflush(stdout); /* progress only */
}

static struct took say_rate(const char *name, struct took took)
{
	char cpu[64];

	(void)snprintf(cpu, sizeof cpu, "%.48s: CPU", name); /* cut where it is longer */
	say(name, (double)took.n / took.time, "/s");
	say(cpu, took.cpu * 1e6 / (double)took.n, "us");
	return took;
}

static void say_opening(const char *name)
{
	double start = seconds(), cpu = on_clock(CLOCK_THREAD_CPUTIME_ID);
	char text[64];

	open_core();
	(void)snprintf(text, sizeof text, "%.48s: CPU", name); /* as above */
	say(name, (seconds() - start) * 1000, "ms");
	say(text, (on_clock(CLOCK_THREAD_CPUTIME_ID) - cpu) * 1000, "ms");
}

static double per_event(struct took took)
{
	return took.cpu / (double)took.n;
}

int main(int argc, char **argv)
{
	unsigned long cases = argc > 1 ? strtoul(argv[1], NULL, 10) : 100000, events = argc > 2 ? strtoul(argv[2], NULL, 10) : 100000;
	const char *tmp = getenv("TMPDIR"); /* lint: getenv, because the bench may need another disk */
	struct err err = { 0 };
	struct took few, busy, fresh, many;

	(void)snprintf(dir, sizeof dir, "%s/reentry-bench-XXXXXX", tmp && strlen(tmp) < 200 ? tmp : "/tmp");
	if (!mkdtemp(dir) || crypt_init() || broker_config_load("config/example/broker.cfg", &config, &err)) {
		fprintf(stderr, "bench_core: %s\n", err.text);
		return 1;
	}
	(void)snprintf(store, sizeof store, "%s/store", dir);
	(void)snprintf(keys, sizeof keys, "%s/keys", dir);
	crypt_random(master, sizeof master);
	arena_init(&arena, 0);
	open_core();
	(void)run(10, 10, open_case);
	(void)run(10, 10, set_date);
	drain();
	(void)run(events / 10, 10, screen);
	drain();
	turn = 10; /* each on another case of its turn: so only the size of the store differs */
	few = say_rate("10 open cases, 10 events a turn", run(events / 10, 10, screen));
	drain();
	turn = 1024;
	busy = say_rate("10 open cases, 1024 events a turn", run(events, 10, screen));
	drain();
	(void)run(turn, turn, open_case);
	(void)run(turn, turn, set_date);
	(void)run(4 * turn, turn, screen);
	drain();
	fresh = say_rate("1,024 open cases, 1024 a turn, each another", run(events, turn, screen));
	drain();
	(void)say_rate("opening a case, with new keys", run(cases, cases, open_case));
	(void)say_rate("first release date, timers armed", run(cases, cases, set_date));
	drain();
	(void)run(cases, cases, screen); /* as the others: the first one of a case ends its deadline for it */
	drain();
	many = say_rate("all cases open, 1024 a turn, each another", run(events, cases, screen));
	say("CPU of an event, all cases / ten, 1024 a turn", per_event(many) / per_event(busy), "times");
	say("CPU, all cases / 1,024, each another in a turn", per_event(many) / per_event(fresh), "times");
	drain();
	turn = 10;
	many = say_rate("all cases open, 10 events a turn", run(events / 10, cases, screen));
	say("CPU of an event, all cases / ten, 10 a turn", per_event(many) / per_event(few), "times");
	drain();
	turn = 1024;
	say("a night's 30,000 moved dates", run(cases < 30000 ? cases : 30000, cases, move_date).time, "s");
	core_abandon(core);
	say_opening("opening the store after a kill");
	need(core_begin(core, ++now), "begin");
	need(core_commit(core), "commit");
	core_close(core);
	say_opening("opening the store after a stop");
	core_close(core);
	broker_config_free(config);
	arena_release(&arena);
	(void)nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS); /* best effort: a temporary folder */
	return 0;
}
