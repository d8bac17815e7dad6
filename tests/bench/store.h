/* A store made fast, through the broker's core without a broker. Cases are numbered from 0: case i is prison i % PRISONS's; the lower half of them belongs
 * to municipality 0, the upper half to the others in equal blocks. Every delivery is acknowledged, so that queues are empty. */
#ifndef TESTS_BENCH_STORE_H
#define TESTS_BENCH_STORE_H

#include "tests/bench/country.h"

struct store;
struct store *store_open(const struct country *country);
void store_close(struct store *store);

/* Opens the cases [0, n), each with a release date: timers are armed. */
void store_cases(struct store *store, unsigned n);
/* Publishes so many events on them, case after case. */
void store_events(struct store *store, size_t n);
/* A case that all PROVIDERS are providers of, and nobody else hears of but its prison, PRISON(number % PRISONS). */
void store_wide_case(struct store *store, unsigned number);
uint64_t store_last(const struct store *store);   /* records */
size_t municipality_of(const struct country *country, unsigned number, unsigned n_cases); /* index of the agency */

#endif
