/* Between the files of the load. */
#ifndef TESTS_BENCH_LOAD_OWN_H
#define TESTS_BENCH_LOAD_OWN_H

#include "proto/wire.pb-c.h"
#include "tests/bench/load.h"

/* Packs into the load's arena, which the next message that comes in resets. */
void load_send(struct agent *agent, const Reentry__Frame *frame);
/* A publisher sends as many as may be outstanding. */
void load_refill(struct agent *agent);
/* Runs the loop until done(load, n). */
void load_until(struct load *load, bool (*done)(const struct load *load, uint64_t n), uint64_t n, const char *what);
void load_paced_arrived(struct load *load, const Reentry__Delivery *delivery, double now);
void load_answered(struct agent *agent, const Reentry__Answer *answer);

#endif
