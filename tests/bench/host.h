/* The broker as a process of its own: started, killed, looked at from outside. It ends when the bench does. */
#ifndef TESTS_BENCH_HOST_H
#define TESTS_BENCH_HOST_H

#include "tests/bench/country.h"

struct host {
	const struct country *country;
	const char *program;                 /* reentry-broker; borrowed */
	pid_t pid;                           /* 0: not running */
	int notify;                          /* socket that it says READY to */
	char endpoint[256];                  /* where it listens */
};

void host_init(struct host *host, const struct country *country, const char *program);
/* Starts it and waits until it says that it is ready. Milliseconds from fork to then. Its log goes to broker.log in the country's folder. */
double host_start(struct host *host);
void host_kill(struct host *host);       /* SIGKILL, and waits */
void host_stop(struct host *host);       /* SIGTERM, waits; stops the bench if it does not end well */
void host_release(struct host *host);    /* ends it if it runs */

/* KiB, from /proc/PID/status: RssAnon, memory of its own; VmRSS also counts mapped pages. */
struct memory { double anon, rss; };
struct memory host_memory(const struct host *host);
/* A counter of `reentry admin status` (broker/stats.h), asked over the control socket. */
double host_counter(const struct host *host, const char *name);
/* CPU seconds so far: of its own thread, and of all others (ZeroMQ, commits, sealing). */
struct cpu { double own, zeromq; };
struct cpu host_cpu(const struct host *host);

#endif
