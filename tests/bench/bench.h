/* What every part of the bench needs: time, samples, a temporary folder, and one way to stop when something is wrong. One thread. */
#ifndef TESTS_BENCH_BENCH_H
#define TESTS_BENCH_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/err.h"

double now_us(void);                     /* CLOCK_MONOTONIC */

/* A figure that could not be measured is worse than none: names what failed on stderr, cleans up as `stop_with` says, and exits 1. */
void stop(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));
void stop_with(void (*clean)(void));
/* rc not OK: stop. err may be NULL. */
void need(int rc, const char *what, const struct err *err);

struct samples { double *values; size_t n, room; };
void samples_add(struct samples *samples, double value);
/* The value below which that share of them lies, 0 to 1 (0.5: the median). Sorts. 0 without samples. */
double samples_at(struct samples *samples, double share);
void samples_release(struct samples *samples);

/* A folder of our own below $TMPDIR (the disk that is measured). */
#define FOLDER_SIZE 200
void folder_make(char folder[FOLDER_SIZE]);
void folder_remove(const char *folder);  /* with everything in it; best effort */

/* Pseudo-random numbers, the same in each run. */
struct dice { uint64_t state; };
uint64_t dice_throw(struct dice *dice, uint64_t below);

/* Work for other eyes: one line on stderr, so that a long run says where it is. Silent unless it is a terminal or VERBOSE is set. */
void progress(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
