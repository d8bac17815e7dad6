/* Events made in bulk: one is packed, the others are copies of it with another id and case. The payload has PAYLOAD bytes. */
#ifndef TESTS_BENCH_EVENT_H
#define TESTS_BENCH_EVENT_H

#include "lib/arena.h"
#include "lib/clock.h"
#include "tests/bench/bench.h"

#define PAYLOAD 512
#define SUBJECT_FORM "C-%07u"
#define SUBJECT_SIZE 10
#define EVENT_ROOM 1024

/* Where in the bytes what stands. */
struct pattern { uint8_t bytes[EVENT_ROOM]; size_t n, id_at, subject_at; };

/* A need of the case has become status open or in progress: municipality, custodian and supervisor hear of it, so of a prison's the municipality alone. */
void pattern_screened(struct pattern *pattern, bool open);
/* A release date so many days from today; all providers and the municipality hear of it. */
void pattern_date(struct pattern *pattern, int32_t day);
/* Writes the event for a case into bytes (EVENT_ROOM): pattern->n of them. */
void pattern_stamp(const struct pattern *pattern, unsigned on, moment now, uint8_t *bytes);

moment moment_now(void);         /* the system's clock, as the broker's */
int32_t today(void);             /* days since 1970, UTC */

#endif
