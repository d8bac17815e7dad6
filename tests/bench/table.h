/* The table that `make bench` prints: each figure the median of its runs, beside what this machine can do at most, measured in the same run. */
#ifndef TESTS_BENCH_TABLE_H
#define TESTS_BENCH_TABLE_H

#include <stdbool.h>
#include <stddef.h>

#include "tests/bench/bench.h"

#define TABLE_ROWS_MAX 128

struct row {
	const char *setting, *figure, *unit;  /* literals */
	struct samples runs;
	const char *limit_of;                 /* NULL: there is none */
	double limit;
};
struct table { struct row rows[TABLE_ROWS_MAX]; size_t n; };

/* One more run of a figure; a figure stands where it was first noted. All texts are literals. */
void table_note(struct table *table, const char *setting, const char *figure, const char *unit, double value);
/* The machine's limit beside a figure; figures that were not noted are passed over. */
void table_limit(struct table *table, const char *setting, const char *figure, const char *limit_of, double limit);
/* The median of what was noted; 0 if nothing was. */
double table_median(struct table *table, const char *setting, const char *figure);
void table_print(struct table *table, bool json);
void table_release(struct table *table);

#endif
