#include "lib/wire_own.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <zmq.h>

void wire_tuning_default(struct wire_tuning *tuning)
{
	*tuning = (struct wire_tuning){
		.frame_max = 4 << 20, .hwm = 1000, .heartbeat_ms = 10000, .handshake_ms = 10000, .backlog = 1024,
		.sockets_max = 4096, .linger_ms = 1000, .retry_ms = 250, .retry_ms_max = 30000,
	};
}

int wire_new(struct loop *loop, const struct wire_tuning *tuning, struct wire **ret_wire, struct err *err)
{
	struct wire *wire = calloc(1, sizeof *wire);

	if (!wire)
		return err_set(err, ERR_NOMEM, "no memory for ZeroMQ");
	wire->loop = loop;
	wire->tuning = *tuning;
	wire->context = zmq_ctx_new();
	if (!wire->context) {
		free(wire);
		return err_errno(err, ERR_IO, "starting ZeroMQ failed");
	}
	if (zmq_ctx_set(wire->context, ZMQ_MAX_SOCKETS, tuning->sockets_max) || zmq_ctx_set(wire->context, ZMQ_IO_THREADS, 1)) {
		err_errno(err, ERR_INVALID, "ZeroMQ does not take %d sockets", tuning->sockets_max);
		wire_free(wire);
		return ERR_INVALID;
	}
	*ret_wire = wire;
	return OK;
}

void wire_free(struct wire *wire)
{
	if (!wire)
		return;
	while (zmq_ctx_term(wire->context) && errno == EINTR) {
	}
	free(wire);
}

const char *wire_version(void)
{
	static char text[32];
	int major, minor, patch;

	zmq_version(&major, &minor, &patch);
	(void)snprintf(text, sizeof text, "%d.%d.%d", major, minor, patch); /* fits */
	return text;
}

/* --- options ---------------------------------------------------------------------------------------------------------- */

int wire_set_int(void *socket, int option, int value)
{
	return zmq_setsockopt(socket, option, &value, sizeof value);
}

/* What servers and clients have in common; nothing is left to a default. */
int wire_set_common(void *socket, const struct wire_tuning *tuning)
{
	const int64_t frame_max = tuning->frame_max;
	int rc = zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &frame_max, sizeof frame_max);

	rc |= wire_set_int(socket, ZMQ_LINGER, tuning->linger_ms);
	rc |= wire_set_int(socket, ZMQ_SNDHWM, tuning->hwm);
	rc |= wire_set_int(socket, ZMQ_RCVHWM, tuning->hwm_in ? tuning->hwm_in : tuning->hwm);
	rc |= wire_set_int(socket, ZMQ_SNDTIMEO, 0);
	rc |= wire_set_int(socket, ZMQ_RCVTIMEO, 0);
	rc |= wire_set_int(socket, ZMQ_HANDSHAKE_IVL, tuning->handshake_ms);
	rc |= wire_set_int(socket, ZMQ_HEARTBEAT_IVL, tuning->heartbeat_ms);
	rc |= wire_set_int(socket, ZMQ_HEARTBEAT_TIMEOUT, tuning->heartbeat_ms * 2);
	rc |= wire_set_int(socket, ZMQ_HEARTBEAT_TTL, tuning->heartbeat_ms * 3);
	if (tuning->sndbuf)
		rc |= wire_set_int(socket, ZMQ_SNDBUF, tuning->sndbuf);
	if (tuning->rcvbuf)
		rc |= wire_set_int(socket, ZMQ_RCVBUF, tuning->rcvbuf);
	return rc;
}

/* --- sockets in the loop ---------------------------------------------------------------------------------------------- */

static void tap_signal(void *context, int fd, unsigned events)
{
	(void)fd;
	(void)events;
	((struct wire_tap *)context)->armed = true;
}

static bool tap_ready(void *context)
{
	struct wire_tap *tap = context;
	int events = 0;
	size_t n = sizeof events;

	if (!tap->armed)
		return false;
	if (zmq_getsockopt(tap->socket, ZMQ_EVENTS, &events, &n))
		events = 0; /* interrupted or terminating: the descriptor will tell again */
	tap->armed = events & ZMQ_POLLIN;
	return tap->armed;
}

static void tap_work(void *context)
{
	const struct wire_tap *tap = context;

	tap->work(tap->context);
}

int wire_tap_open(struct wire_tap *tap, struct loop *loop, void *socket, loop_work_fn *work, void *context)
{
	size_t n = sizeof tap->fd;

	*tap = (struct wire_tap){ .loop = loop, .socket = socket, .armed = true, .work = work, .context = context, .fd = -1 };
	if (zmq_getsockopt(socket, ZMQ_FD, &tap->fd, &n))
		return ERR_IO;
	if (loop_add(loop, tap->fd, LOOP_READ, tap_signal, tap))
		return ERR_NOMEM;
	if (loop_add_ready(loop, tap_ready, tap_work, tap)) {
		loop_remove(loop, tap->fd);
		return ERR_NOMEM;
	}
	return OK;
}

/* Also closes the socket. */
void wire_tap_close(struct wire_tap *tap)
{
	if (!tap->socket)
		return;
	if (tap->loop) {
		loop_remove_ready(tap->loop, tap);
		loop_remove(tap->loop, tap->fd);
	}
	(void)zmq_close(tap->socket); /* fails only for what is no socket */
	tap->socket = NULL;
}
