/* The event loop: file descriptors, timers, signals (by signalfd), and sources that are ready without a descriptor saying so (ZeroMQ sockets,
 * whose ZMQ_FD only tells of changes: lib/wire registers itself). One thread; a callback may add and remove anything, itself included.
 * No callback is ever called from within a loop_… function other than loop_once and loop_run. */
#ifndef LIB_LOOP_H
#define LIB_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/err.h"

#define LOOP_FDS_MAX 1024     /* descriptors watched at one time */
#define LOOP_TIMERS_MAX 1024  /* timers set at one time */
#define LOOP_READY_MAX 1024   /* ready sources */

struct loop;

int loop_new(struct loop **ret_loop, struct err *err);
void loop_free(struct loop *loop);                  /* NULL is fine; closes no descriptor of the caller's */

/* Events of a descriptor. LOOP_HANGUP (error, or the other side is gone) is told whether asked for or not. */
enum { LOOP_READ = 1, LOOP_WRITE = 2, LOOP_HANGUP = 4 };
typedef void loop_fd_fn(void *context, int fd, unsigned events);
/* Level-triggered. ERR_EXISTS: fd is watched already; ERR_NOMEM: bound or memory. */
int loop_add(struct loop *loop, int fd, unsigned events, loop_fd_fn *fn, void *context);
void loop_change(struct loop *loop, int fd, unsigned events);  /* 0 pauses (hang-up too); unknown fd: nothing */
void loop_remove(struct loop *loop, int fd);        /* before close(fd); unknown fd: nothing */

/* Called before each wait. True: there is work, so the loop does not wait, and calls `work` once in this round. */
typedef bool loop_ready_fn(void *context);
typedef void loop_work_fn(void *context);
int loop_add_ready(struct loop *loop, loop_ready_fn *ready, loop_work_fn *work, void *context);
void loop_remove_ready(struct loop *loop, void *context);

/* A timer is the caller's memory, zeroed before first use; it must be stopped before it is freed. */
struct loop_timer {
	void (*fn)(void *context);
	void *context;
	int64_t at;                  /* CLOCK_MONOTONIC ms; internal */
	bool set;                    /* read only */
};
/* Fires once, `ms` from now (negative: 0), in order of time. Setting a set timer moves it. ERR_NOMEM at the bound. */
int loop_timer_set(struct loop *loop, struct loop_timer *timer, int64_t ms);
void loop_timer_stop(struct loop *loop, struct loop_timer *timer);

/* Blocks these signals for the process and has them told by the loop. Call once, before any thread is made (before wire_new).
 * SIGPIPE is ignored by daemon_start. */
int loop_signals(struct loop *loop, const int *signals, size_t n, void (*fn)(void *context, int signal), void *context, struct err *err);
/* In a child between fork and exec: all signals unblocked and at their defaults. */
void loop_child_reset(void);

/* One round: wait until something is ready, at most timeout_ms (-1: without bound), call what is. ERR_IO if poll fails. */
int loop_once(struct loop *loop, int timeout_ms);
/* Rounds until loop_stop. */
int loop_run(struct loop *loop);
void loop_stop(struct loop *loop);
bool loop_stopping(const struct loop *loop);

#endif
