/* Shows, for `make bench`, what the path of an event through the real broker costs, over tcp on loopback with CURVE, beside what this machine can do, in one table.
 * usage: see USAGE below; KEEP=1 keeps the folder. docs/performance.md tells how to read it. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/daemon.h"
#include "tests/bench/figures.h"
#include "tests/bench/limits.h"
#include "tests/bench/store.h"

#define ROUNDS 3
#define ROUNDS_FULL 5
#define STARTS 5
#define USAGE "usage: %s [--json] [--full] [--only FIGURE] [--setting small|big|long] [--rounds N] [--events N] [--broker PROGRAM]\n"

struct plan {
	bool json, full;
	int rounds;                          /* of each figure; the table has their median */
	size_t events;                       /* in the store, beside those that open cases and set dates; 0: as the setting says */
	const char *only, *setting, *broker;
};

/* --- what is measured ----------------------------------------------------------------------------------------------------------- */

static const struct { const char *name; void (*run)(struct setting *setting); bool once, big; } figures[] = {
	{ "one", figure_one, false, false },
	{ "many", figure_many, false, false },
	{ "e2e", figure_end_to_end, false, false },
	{ "fan-out", figure_fan_out, false, false },
	{ "replay", figure_replay, false, false },
	{ "spread", figure_spread, false, true },
	{ "start", figure_start, true, false },
	{ "memory", figure_memory, true, false },
};

/* events: besides those that open the cases and set their dates. */
static const struct { const char *id, *name; unsigned cases; size_t municipalities, events; bool big, full; } settings[] = {
	{ "small", "1,600 cases, 118 agencies, 10,000 events", 1600, 1, 6800, false, false },
	{ "big", "100,000 cases, 400 agencies, 1,000,000 events", 100000, 283, 800000, true, false },
	{ "long", "1,600 cases, 118 agencies, 10,000,000 events", 1600, 1, 9996800, false, true }, /* the long run only */
};

static bool wanted(const char *filter, const char *name)
{
	return !filter || !strcmp(filter, name);
}

static void make_store(const struct country *country, const struct setting *setting, size_t events)
{
	struct store *store = store_open(country);
	const double begin = now_us();

	store_cases(store, setting->n_cases);
	progress("%u cases opened: %.0f /s", setting->n_cases, 2 * setting->n_cases / (now_us() - begin) * 1e6);
	store_events(store, events);
	store_wide_case(store, setting->wide_case);
	progress("the store holds %llu records, made in %.1f s", (unsigned long long)store_last(store), (now_us() - begin) / 1e6);
	store_close(store);
}

static void run_figures(struct setting *setting, const struct plan *plan, bool big)
{
	for (size_t i = 0; i < sizeof figures / sizeof *figures; i++) {
		if (!wanted(plan->only, figures[i].name) || (figures[i].big && !big))
			continue;
		for (int k = 0; k < (figures[i].once ? 1 : plan->rounds); k++) {
			progress("%s: %s", setting->name, figures[i].name);
			figures[i].run(setting);
		}
		for (int k = 1; figures[i].run == figure_start && k < STARTS; k++)
			figures[i].run(setting);
	}
}

static void measure(struct table *table, const struct plan *plan, size_t which)
{
	struct country country;
	struct host host;
	struct load load;
	struct setting setting = { .name = settings[which].name, .table = table, .host = &host, .load = &load, .n_cases = settings[which].cases, .full = plan->full };

	setting.wide_case = (setting.n_cases / PRISONS + 1) * PRISONS;
	country_make(&country, settings[which].municipalities);
	progress("%s: %zu agencies", setting.name, country.n);
	make_store(&country, &setting, plan->events ? plan->events : settings[which].events);
	host_init(&host, &country, plan->broker);
	(void)host_start(&host); /* starting is timed elsewhere */
	load_new(&load, &host);
	run_figures(&setting, plan, settings[which].big);
	load_free(&load);
	host_stop(&host);
	host_release(&host);
	country_remove(&country, getenv("KEEP") != NULL);
}

static void limits(struct table *table, const struct plan *plan, const char *folder)
{
	for (int i = 0; i < 2; i++) {
		progress("what this machine can do");
		limits_disk(table, folder);
		limits_net(table);
		limits_cpu(table, plan->broker);
	}
}

static int run(const struct plan *plan, const char *folder)
{
	static struct table table;

	need(crypt_init(), "cryptography", NULL);
	daemon_keep_memory(); /* as the agents do in whose stead the load stands */
	if (setenv("TMPDIR", folder, 1)) /* everything else goes into it, and goes with it */
		stop("out of memory");
	if (!plan->only || !strcmp(plan->only, "limits"))
		limits(&table, plan, folder);
	for (size_t i = 0; i < sizeof settings / sizeof *settings && (!plan->only || strcmp(plan->only, "limits")); i++)
		if (plan->setting ? !strcmp(plan->setting, settings[i].id) : plan->full || !settings[i].full)
			measure(&table, plan, i);
	if (!plan->only)
		limits(&table, plan, folder); /* the machine may have become slower meanwhile: the medians are over both */
	for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
		figures_limits(&table, settings[i].name);
	table_print(&table, plan->json);
	table_release(&table);
	return 0;
}

/* --- the process around it: whatever happens to the work, its folder is removed ---------------------------------------------------- */

static volatile sig_atomic_t child;

static void on_signal(int number)
{
	if (child)
		(void)kill((pid_t)child, number); /* ours, and not yet waited for */
}

static int look_after(const struct plan *plan)
{
	const struct sigaction action = { .sa_handler = on_signal };
	char folder[FOLDER_SIZE];
	int status = 1;
	pid_t pid;

	folder_make(folder);
	pid = fork();
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* without it an orphan would end by itself, later */
		exit(run(plan, folder));
	}
	if (pid < 0)
		stop("no process for the work");
	child = pid;
	(void)sigaction(SIGINT, &action, NULL); /* valid signals */
	(void)sigaction(SIGTERM, &action, NULL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
	}
	if (getenv("KEEP"))
		fprintf(stderr, "bench: kept %s\n", folder);
	else
		folder_remove(folder);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

static bool is_set(const char *name)
{
	const char *value = getenv(name);

	return value && *value && strcmp(value, "0");
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' }, { "full", no_argument, NULL, 'f' }, { "only", required_argument, NULL, 'o' },
		{ "setting", required_argument, NULL, 's' }, { "broker", required_argument, NULL, 'b' }, { "rounds", required_argument, NULL, 'r' },
		{ "events", required_argument, NULL, 'e' }, { NULL, 0, NULL, 0 },
	};
	struct plan plan = { .json = is_set("JSON"), .full = is_set("FULL") };
	char broker[4096];

	(void)snprintf(broker, sizeof broker, "%s/reentry-broker", getenv("BIN") ? getenv("BIN") : "build/bin"); /* a path that is cut is not found */
	plan.broker = broker;
	for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		if (c == '?') {
			fprintf(stderr, USAGE, argv[0]);
			return 2;
		}
		plan.json |= c == 'j';
		plan.full |= c == 'f';
		plan.only = c == 'o' ? optarg : plan.only;
		plan.setting = c == 's' ? optarg : plan.setting;
		plan.broker = c == 'b' ? optarg : plan.broker;
		plan.events = c == 'e' ? strtoul(optarg, NULL, 10) : plan.events;
		plan.rounds = c == 'r' ? (int)strtol(optarg, NULL, 10) : plan.rounds;
	}
	if (plan.rounds <= 0)
		plan.rounds = plan.full ? ROUNDS_FULL : ROUNDS;
	if (access(plan.broker, X_OK)) {
		fprintf(stderr, "bench: %s is not there: run make first, or name it with --broker\n", plan.broker);
		return 1;
	}
	return look_after(&plan);
}
