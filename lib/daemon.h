/* What a daemon owes its machine: descriptors, limits, the lock that keeps a second one out, systemd's datagrams, its command line. Never logs. */
#ifndef LIB_DAEMON_H
#define LIB_DAEMON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/err.h"

/* reentry-broker and reentry-agent take the same command line (design.md 4): -c FILE [-n | -nv], --help, --version. */
struct daemon_args { const char *conf; bool check, print; };
enum daemon_todo { DAEMON_RUN, DAEMON_CHECK, DAEMON_DONE, DAEMON_USAGE }; /* DONE: help or version was asked for: exit 0; USAGE: exit 2 */
/* message: for DONE what goes to stdout, for USAGE one line for stderr. help: the text of --help. argv is borrowed by ret_args. */
enum daemon_todo daemon_args(int argc, char **argv, const char *help, struct daemon_args *ret_args, const char **ret_message);

/* Call first: opens /dev/null on whichever of fds 0-2 is closed, umask 077, SIGPIPE ignored, no core dumps (RLIMIT_CORE 0, PR_SET_DUMPABLE 0: personal
 * data must not land on disk), RLIMIT_NOFILE up to the hard limit, daemon_keep_memory. ERR_INVALID if that is below fds_min, saying what to raise. */
int daemon_start(unsigned fds_min, struct err *err);
/* Memory that was freed stays with the process for the next message: up to DAEMON_KEPT for each thread that allocates. Left to itself malloc gives the buffers of a burst back to the system as they are freed,
 * one by one, and the next burst takes each page anew: more work than everything else that is done with a message (docs/performance.md). */
void daemon_keep_memory(void);
#define DAEMON_KEPT (8 << 20)
/* Gives back what is free, and with it what stood there. */
void daemon_release_memory(void);
/* How many descriptors are open, and how many may be: for the alarm before they run out. */
int daemon_fds(unsigned *ret_open, unsigned *ret_max);

/* A pid file under an F_OFD_SETLK lock, made if missing, 0600. ERR_BUSY names the process that holds it. The lock lasts as long as *ret_fd is open. */
int daemon_lock(const char *path, int *ret_fd, struct err *err);
/* Writes a file whole or not at all: temporary name, fsync, rename, fsync of the folder. 0600. For run/<x>.endpoint, pid files, exports. */
int daemon_write_file(const char *path, const void *bytes, size_t n, struct err *err);
/* Makes a folder and its parents, 0700; one that is there already is fine. */
int daemon_mkdir(const char *path, struct err *err);

/* One datagram to $NOTIFY_SOCKET, "READY=1" and the like; without that variable does nothing and returns OK. */
int daemon_notify(const char *state);
/* Half the period systemd expects of the watchdog ($WATCHDOG_USEC, $WATCHDOG_PID), in ms; 0: none asked for. */
int64_t daemon_watchdog_ms(void);

#ifdef REENTRY_FAULTS
/* Faults that tests plant: true if $REENTRY_FAULT is this name. Not in a normal build. */
bool daemon_fault(const char *name);
#endif

#endif
