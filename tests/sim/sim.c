/* Proves that whatever random agencies do, whatever the clock and the links do, and whenever the broker dies, the core keeps what domain.md promises;
 * and that each of these invariants can fail: planted faults must be caught.
 *
 * sim [N [SEED]] [--trace]     N and SEED also from the environment (make sim N=… SEED=…); `sim 1 SEED` plays one seed again */
#include "tests/sim/sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/crypt.h"

#define CONFIG "config/example/broker.cfg"
#define SEEDS_DEFAULT 400
#define SEEDS_FOR_A_FAULT 60
#define REPORTED_MAX 40    /* in a line each */
#define TRACED_MAX 3       /* with the events before them */

/* Each fault with the invariant that must find it. */
static const struct { enum fault fault; const char *name, *invariant; } faults[] = {
	{ FAULT_LOSE, "a delivery is lost", "delivery-lost" },
	{ FAULT_SWAP, "deliveries come out of order", "delivery-lost" },
	{ FAULT_DOUBLE, "a delivery comes twice", "delivery-doubled" },
	{ FAULT_LEAK, "an agency without relation hears", "receivers" },
	{ FAULT_NOTICE_TWICE, "a milestone is told twice", "milestone-once" },
	{ FAULT_OLD_NOTICE, "a notice of an old version goes out", "old-version-notice" },
	{ FAULT_GAP_TWICE, "a gap is told twice", "gap-twice" },
	{ FAULT_GAP_MISSED, "a gap is not told", "gap-function" },
	{ FAULT_RECEIPT, "a duplicate gets another sequence", "receipt-kept" },
	{ FAULT_CLASS_C, "class C reaches who may not see it", "class-c" },
	{ FAULT_CANDIDATE, "a candidate sees the case", "candidate-sees" },
	{ FAULT_CLOCK, "recorded_at goes back", "recorded-monotone" },
	{ FAULT_HOLE, "a sequence is missing", "dense" },
	{ FAULT_TWO_SETS, "a milestone of another version is armed", "one-armed-set" },
	{ FAULT_PAST_DEADLINE, "a deadline lies in the past", "deadline-past" },
	{ FAULT_RESPONSIBLE, "the wrong agency is responsible", "responsible" },
	{ FAULT_NO_END, "a relation ends without a message", "relation-ended" },
	{ FAULT_AFTER_END, "something follows the message that ends a relation", "after-end" },
	{ FAULT_REBUILD, "the rebuilt state differs", "rebuild" },
	{ FAULT_NO_ESCALATION, "an escalation does not come", "escalated" },
	{ FAULT_SNAPSHOT, "a snapshot tells another state", "snapshot-content" },
};

struct total { uint64_t seeds, failed, steps, events, accepted, deliveries, turns; };

static void report(const struct sim *s, bool traced)
{
	printf("seed %llu, step %d: %s: %s\n", (unsigned long long)s->seed, s->step, s->violation, s->why);
	for (size_t i = s->n_lines > TRACE_LINES ? s->n_lines - TRACE_LINES : 0; i < s->n_lines && traced; i++)
		printf("    %s\n", s->lines[i % TRACE_LINES]);
}

/* A new world for a seed; the violation, if any, stays in the sim. */
static void prepare(struct sim *s, struct broker_config *config, uint64_t seed, enum fault fault)
{
	memset(s, 0, sizeof *s);
	s->config = config;
	s->seed = seed;
	s->fault = fault;
	arena_init(&s->arena, 0);
	arena_init(&s->reading, 0);
	arena_init(&s->whole, 0);
}

static void release(struct sim *s)
{
	world_close(s);
	ledger_free(s);
	arena_release(&s->arena);
	arena_release(&s->reading);
	arena_release(&s->whole);
}

static void seeds(struct sim *s, struct broker_config *config, uint64_t first, uint64_t n, bool tracing, struct total *total)
{
	for (uint64_t seed = first; seed < first + n; seed++) {
		prepare(s, config, seed, FAULT_NONE);
		s->tracing = tracing;
		if (!play_seed(s) && total->failed++ < REPORTED_MAX)
			report(s, total->failed <= TRACED_MAX && !tracing);
		total->seeds++;
		total->steps += s->steps;
		total->events += s->events;
		total->accepted += s->accepted;
		total->deliveries += s->deliveries;
		total->turns += s->turns;
		release(s);
	}
}

/* A fault must be found by its invariant, in some seed in which it could be committed at all. */
static bool caught(struct sim *s, struct broker_config *config, size_t i)
{
	bool found = false, planted = false;

	for (uint64_t seed = 1; seed <= SEEDS_FOR_A_FAULT && !found; seed++) {
		prepare(s, config, seed, faults[i].fault);
		(void)play_seed(s); /* what it found is in s->violation */
		planted = planted || s->planted;
		found = s->planted && s->violation && strcmp(s->violation, faults[i].invariant) == 0;
		release(s);
	}
	if (!found)
		printf("planted fault not found by %s: %s%s\n", faults[i].invariant, faults[i].name, planted ? "" : " (it never came to it)");
	return found;
}

static uint64_t number(const char *text, uint64_t otherwise)
{
	char *end = NULL;
	unsigned long long n = text && *text ? strtoull(text, &end, 10) : 0;

	return text && *text && end && !*end ? n : otherwise;
}

int main(int argc, char **argv)
{
	struct broker_config *config = NULL;
	struct err err = { 0 };
	struct total total = { 0 };
	struct sim *s = calloc(1, sizeof *s);
	uint64_t n = number(getenv("N"), SEEDS_DEFAULT), first = number(getenv("SEED"), 1);
	size_t n_faults = sizeof faults / sizeof *faults, missed = 0, positional = 0;
	bool tracing = false;
	int64_t started = clock_monotonic_ms(), took;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--trace") == 0)
			tracing = true;
		else if (positional++ == 0)
			n = number(argv[i], n);
		else
			first = number(argv[i], first);
	}
	if (!s || crypt_init() || broker_config_load(CONFIG, &config, &err)) {
		fprintf(stderr, "sim: %s (run it in the root of the tree)\n", err.text);
		free(s);
		return 1;
	}
	seeds(s, config, first, n, tracing, &total);
	took = clock_monotonic_ms() - started;
	if (n > 1)
		for (size_t i = 0; i < n_faults; i++)
			missed += !caught(s, config, i);
	else
		n_faults = 0;
	printf("sim: seeds %llu to %llu in %.1f s (%.0f a minute): %llu steps, %llu turns, %llu events (%llu accepted), %llu deliveries; %zu planted faults, %zu found\n",
		(unsigned long long)first, (unsigned long long)(first + n - 1), (double)took / 1000, took ? (double)n * 60000 / (double)took : 0.0, (unsigned long long)total.steps,
		(unsigned long long)total.turns, (unsigned long long)total.events, (unsigned long long)total.accepted, (unsigned long long)total.deliveries, n_faults, n_faults - missed);
	printf("%llu passed, %llu failed\n", (unsigned long long)(total.seeds - total.failed + n_faults - missed), (unsigned long long)(total.failed + missed));
	broker_config_free(config);
	free(s);
	return total.failed || missed ? 1 : 0;
}
