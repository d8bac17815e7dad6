/* Every prefix of what a run of the core did to its files, left by a crash, and opened again (prefix.c); the run itself (events.c). */
#ifndef TESTS_FAULTS_PREFIX_H
#define TESTS_FAULTS_PREFIX_H

#include "lib/tree.h"
#include "tests/unit/core_place.h"

/* faults prefix FOLDER STRIDE SEED [FAULT]: each STRIDE-th prefix (1: every one); files go into FOLDER, which the caller makes and removes. FAULT: planted, and must be found: see prefix.c.
 * Returns the exit code: 0 when all held, 1 when something did not, 2 when it was called wrongly. */
int prefix_main(int argc, char **argv);

/* What was told to somebody, and so must be kept from then on. */
struct receipt { struct packed content; const char *by; uint64_t sequence; const char *subject; };
struct promise {
	size_t at;                      /* calls that had been made when it was told */
	struct tree_head head;          /* of the log then */
	size_t n_receipts, n_erased;    /* of all so far */
};
#define ERASED_MAX 64
struct run {
	struct core_place *place;
	uint64_t seed;
	unsigned cases, turns;
	bool early;                     /* planted: promises are made before the commit */
	struct promise *promises; size_t n_promises;
	struct receipt *receipts; size_t n_receipts;
	char erased[ERASED_MAX][16]; size_t n_erased;
};
/* Makes a store and works in it for so many turns. Everything is in the place's arena. */
void events_run(struct run *run, unsigned turns);
uint32_t events_random(struct run *run, uint32_t below);

#endif
