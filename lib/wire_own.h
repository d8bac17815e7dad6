/* What the files wire*.c share; nobody else includes it. */
#ifndef LIB_WIRE_OWN_H
#define LIB_WIRE_OWN_H

#include "lib/wire.h"

#define ENDPOINT_SIZE 256

struct wire {
	void *context;
	struct loop *loop;
	struct wire_tuning tuning;
	unsigned monitors;           /* counts up: each monitor has an inproc name of its own */
};

/* A socket in the loop. ZMQ_FD is edge-triggered and any call on the socket may swallow the edge, so `armed` remembers that ZMQ_EVENTS must be
 * asked before the next wait: set it after each call. */
struct wire_tap {
	struct loop *loop;
	void *socket;
	int fd;
	bool armed;
	loop_work_fn *work;
	void *context;
};
int wire_tap_open(struct wire_tap *tap, struct loop *loop, void *socket, loop_work_fn *work, void *context);
void wire_tap_close(struct wire_tap *tap);          /* closes the socket too; safe without one */

int wire_set_int(void *socket, int option, int value);
int wire_set_common(void *socket, const struct wire_tuning *tuning);  /* every option that servers and clients have in common */

#endif
