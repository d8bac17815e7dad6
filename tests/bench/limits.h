/* What this machine can do, measured with nothing of ours in between: the right-hand side of the table. One call is one round; rounds are noted in the
 * table under LIMITS, and their medians are what figures are compared with. */
#ifndef TESTS_BENCH_LIMITS_H
#define TESTS_BENCH_LIMITS_H

#include "tests/bench/table.h"

#define LIMITS "this machine"

/* Names of the rows, by which others take the medians. */
#define L_APPEND "fdatasync after a 4 KiB append, p50"
#define L_PREWRITTEN "fdatasync into a prewritten file, p50"
#define L_COMMIT_1 "LMDB: one record of 600 bytes a commit, p50"
#define L_LMDB_64 "LMDB: 64 records a commit"
#define L_LMDB_256 "LMDB: 256 records a commit"
#define L_LMDB_1024 "LMDB: 1024 records a commit"
#define L_ROUND_TRIP "ZeroMQ tcp round trip of 620 bytes, p50"
#define L_CURVE_ROUND_TRIP "the same with CURVE"
#define L_CURVE_SINGLE "ZeroMQ with CURVE, one way, 620 bytes a message"
#define L_CURVE_BATCH "ZeroMQ with CURVE, one way, 64 events a message"
#define L_SHA256 "SHA-256 of 512 bytes"
#define L_EXEC "starting a program of ours that only says its version"

/* folder: on the disk that is measured. */
void limits_disk(struct table *table, const char *folder);
void limits_net(struct table *table);
void limits_cpu(struct table *table, const char *program);

#endif
