/* ZeroMQ alone, over tcp on loopback: sockets at both ends and nothing behind them. The other end is a thread with a context of its own. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include "tests/bench/limits.h"

#define MESSAGE 620
#define EVENTS_A_MESSAGE 64
#define ROUND_TRIPS 3000
#define SINGLES 100000
#define BATCHES 4000
#define PATIENCE_MS 20000

struct end {
	bool curve, echo;
	char server_public[41], server_secret[41], client_public[41], client_secret[41];
	char endpoint[256];
	size_t size;
	int n;
};

static void zmq(int rc, const char *what)
{
	if (rc < 0)
		stop("ZeroMQ: %s: %s", what, zmq_strerror(zmq_errno()));
}

static void *open_socket(void *context, const struct end *end, bool server)
{
	void *socket = zmq_socket(context, ZMQ_DEALER);
	const int one = 1, hwm = 1000, linger = 1000, patience = PATIENCE_MS;

	if (!socket)
		stop("ZeroMQ: no socket");
	zmq(zmq_setsockopt(socket, ZMQ_SNDHWM, &hwm, sizeof hwm), "option");
	zmq(zmq_setsockopt(socket, ZMQ_RCVHWM, &hwm, sizeof hwm), "option");
	zmq(zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof linger), "option");
	zmq(zmq_setsockopt(socket, ZMQ_RCVTIMEO, &patience, sizeof patience), "option");
	zmq(zmq_setsockopt(socket, ZMQ_SNDTIMEO, &patience, sizeof patience), "option");
	if (!end->curve)
		return socket;
	if (server) {
		zmq(zmq_setsockopt(socket, ZMQ_CURVE_SERVER, &one, sizeof one), "option");
		zmq(zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, end->server_secret, 41), "option");
		return socket;
	}
	zmq(zmq_setsockopt(socket, ZMQ_CURVE_SERVERKEY, end->server_public, 41), "option");
	zmq(zmq_setsockopt(socket, ZMQ_CURVE_PUBLICKEY, end->client_public, 41), "option");
	zmq(zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, end->client_secret, 41), "option");
	return socket;
}

/* Sends n messages, or gives back n; a first one of one byte says that the connection stands. */
static void *other_end(void *argument)
{
	const struct end *end = argument;
	void *context = zmq_ctx_new();
	void *socket = open_socket(context, end, false);
	char *message = calloc(1, end->size);

	if (!message)
		stop("out of memory");
	zmq(zmq_connect(socket, end->endpoint), "connect");
	zmq(zmq_send(socket, "", 1, 0), "send");
	for (int i = 0; i < end->n; i++) {
		if (end->echo)
			zmq(zmq_recv(socket, message, end->size, 0), "receive");
		zmq(zmq_send(socket, message, end->size, 0), "send");
	}
	(void)zmq_recv(socket, message, end->size, 0); /* the other side has had all of it */
	free(message);
	(void)zmq_close(socket); /* fails only for what is no socket */
	(void)zmq_ctx_term(context);
	return NULL;
}

static double measure(struct end *end, struct samples *trips)
{
	void *context = zmq_ctx_new();
	void *socket = open_socket(context, end, true);
	char *message = calloc(1, end->size);
	size_t room = sizeof end->endpoint;
	pthread_t thread;
	double begin, took;

	if (!message)
		stop("out of memory");
	zmq(zmq_bind(socket, "tcp://127.0.0.1:*"), "bind");
	zmq(zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, end->endpoint, &room), "endpoint");
	if (pthread_create(&thread, NULL, other_end, end))
		stop("no thread");
	zmq(zmq_recv(socket, message, end->size, 0), "receive");
	begin = now_us();
	for (int i = 0; i < end->n; i++) {
		const double start = now_us();

		if (end->echo)
			zmq(zmq_send(socket, message, end->size, 0), "send");
		zmq(zmq_recv(socket, message, end->size, 0), "receive");
		if (trips)
			samples_add(trips, now_us() - start);
	}
	took = now_us() - begin;
	zmq(zmq_send(socket, "", 1, 0), "send");
	(void)pthread_join(thread, NULL); /* it is there */
	free(message);
	(void)zmq_close(socket); /* fails only for what is no socket */
	(void)zmq_ctx_term(context);
	return (double)end->n / took * 1e6;
}

static void note_trips(struct table *table, struct end *end, const char *name)
{
	struct samples trips = { 0 };

	(void)measure(end, &trips); /* each is timed alone */
	table_note(table, LIMITS, name, "µs", samples_at(&trips, 0.5));
	samples_release(&trips);
}

void limits_net(struct table *table)
{
	struct end end = { .echo = true, .size = MESSAGE, .n = ROUND_TRIPS };

	zmq(zmq_curve_keypair(end.server_public, end.server_secret), "keys");
	zmq(zmq_curve_keypair(end.client_public, end.client_secret), "keys");
	note_trips(table, &end, L_ROUND_TRIP);
	end.curve = true;
	note_trips(table, &end, L_CURVE_ROUND_TRIP);
	end.echo = false;
	end.n = SINGLES;
	table_note(table, LIMITS, L_CURVE_SINGLE, "/s", measure(&end, NULL));
	end.size = (size_t)MESSAGE * EVENTS_A_MESSAGE;
	end.n = BATCHES;
	table_note(table, LIMITS, L_CURVE_BATCH, "/s", measure(&end, NULL) * EVENTS_A_MESSAGE);
}
