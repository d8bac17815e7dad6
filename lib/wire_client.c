#include "lib/wire_own.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#define CLIENT_BURST 64          /* messages handed to a client's owner in one round of the loop */
#define MONITOR_BURST 64
/* libzmq's own reconnecting is not wanted, but switching it off (-1) would throw away what came in before the loss and was not read yet: a Bye. */
#define RECONNECT_NEVER_MS 86400000

enum client_state { CLIENT_WAITING, CLIENT_CONNECTING, CLIENT_UP, CLIENT_OVER };

struct wire_client {
	struct wire *wire;
	struct wire_handlers handlers;
	void *context;
	char endpoint[ENDPOINT_SIZE], server_key[41];
	struct key_pair key;
	enum client_state state;
	struct wire_tap dealer, monitor;
	struct loop_timer timer;     /* WAITING: connect; CONNECTING: give this attempt up */
	int pause_ms, refusals;
	unsigned turn;               /* counts connections: tells a handler's caller that the one it was reading from is gone */
	bool busy, doomed;           /* a handler is on the stack; it freed the client, which then goes when the handler is done */
};

#define CLIENT_EVENTS (ZMQ_EVENT_CLOSED | ZMQ_EVENT_CONNECT_RETRIED | ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL \
                       | ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH)

static void client_connect(void *context);

static void client_close(struct wire_client *client, int linger_ms)
{
	if (client->dealer.socket) {
		(void)zmq_socket_monitor(client->dealer.socket, NULL, 0); /* stopping it cannot fail */
		(void)wire_set_int(client->dealer.socket, ZMQ_LINGER, linger_ms); /* a valid value */
	}
	wire_tap_close(&client->monitor);
	wire_tap_close(&client->dealer);
	client->turn++;
}

/* Half of the pause is certain, the other half by chance, so that a thousand agents do not come back at one moment. */
static int jittered(int ms)
{
	uint32_t chance;

	crypt_random(&chance, sizeof chance);
	return ms / 2 + (int)(chance % (uint32_t)(ms / 2 + 1));
}

/* The connection or the attempt is over. */
static void client_down(struct wire_client *client, const struct err *why)
{
	const struct wire_tuning *tuning = &client->wire->tuning;
	bool over = false;

	client_close(client, 0);
	loop_timer_stop(client->wire->loop, &client->timer);
	if (why->code == ERR_DENIED)
		over = ++client->refusals >= tuning->refused_max && tuning->refused_max;
	client->state = over ? CLIENT_OVER : CLIENT_WAITING;
	if (!over && loop_timer_set(client->wire->loop, &client->timer, jittered(client->pause_ms)))
		client->state = CLIENT_OVER; /* only when the loop is out of timers: a bound that no caller reaches */
	client->pause_ms = client->pause_ms > tuning->retry_ms_max / 2 ? tuning->retry_ms_max : client->pause_ms * 2;
	client->handlers.down(client->context, why, client->state == CLIENT_OVER);
}

static void client_timeout(struct wire_client *client)
{
	struct err why;

	(void)err_set(&why, ERR_IO, "%s: no answer within %d ms", client->endpoint, client->wire->tuning.handshake_ms);
	client_down(client, &why);
}

static void on_client_timer(void *context)
{
	struct wire_client *client = context;

	if (client->state == CLIENT_WAITING)
		client_connect(client);
	else if (client->state == CLIENT_CONNECTING)
		client_timeout(client);
}

/* Hands at most `max` messages to the owner. Returns how many there were. */
static int client_read(struct wire_client *client, int max)
{
	const unsigned turn = client->turn;
	int n = 0;

	for (; n < max && turn == client->turn; n++) {
		zmq_msg_t message;

		client->dealer.armed = true;
		(void)zmq_msg_init(&message); /* never fails */
		if (zmq_msg_recv(&message, client->dealer.socket, ZMQ_DONTWAIT) < 0) {
			(void)zmq_msg_close(&message);
			break;
		}
		if (client->state == CLIENT_UP)
			client->handlers.message(client->context, zmq_msg_data(&message), zmq_msg_size(&message));
		(void)zmq_msg_close(&message); /* never fails on an initialised message */
	}
	return n;
}

static void client_event(struct wire_client *client, unsigned event, uint32_t value)
{
	const unsigned turn = client->turn;
	struct err why;

	if (event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED) {
		client->state = CLIENT_UP;
		client->refusals = 0;
		loop_timer_stop(client->wire->loop, &client->timer);
		client->dealer.armed = true;
		client->handlers.up(client->context);
		return;
	}
	/* What came in before the loss is read before the loss is told. */
	(void)client_read(client, client->wire->tuning.hwm);
	if (turn != client->turn)
		return; /* and a message made the owner drop the connection */
	if (event == ZMQ_EVENT_HANDSHAKE_FAILED_AUTH)
		(void)err_set(&why, ERR_DENIED, "%s: the broker does not know this agency's key (%u): have it added to the broker's configuration",
		              client->endpoint, (unsigned)value);
	else if (event == ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL || event == ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL)
		(void)err_set(&why, ERR_DENIED, "%s: the handshake failed: check that broker_key is the broker's present key", client->endpoint);
	else if (client->state == CLIENT_UP)
		(void)err_set(&why, ERR_CLOSED, "%s: the connection was lost", client->endpoint);
	else
		(void)err_set(&why, ERR_IO, "%s: cannot connect", client->endpoint);
	client_down(client, &why);
}

static void client_unbusy(struct wire_client *client)
{
	client->busy = false;
	if (client->doomed)
		free(client);
}

/* False: nothing there. */
static bool monitor_receive(void *socket, unsigned *ret_event, uint32_t *ret_value)
{
	uint8_t bytes[6] = { 0 };
	uint16_t event;
	char address[ENDPOINT_SIZE];

	if (zmq_recv(socket, bytes, sizeof bytes, ZMQ_DONTWAIT) != (int)sizeof bytes)
		return false;
	(void)zmq_recv(socket, address, sizeof address, ZMQ_DONTWAIT); /* the endpoint: known */
	memcpy(&event, bytes, sizeof event);
	memcpy(ret_value, bytes + 2, sizeof *ret_value);
	*ret_event = event;
	return true;
}

static void on_monitor(void *context)
{
	struct wire_client *client = context;
	const unsigned turn = client->turn;
	unsigned event;
	uint32_t value;

	client->busy = true;
	for (int i = 0; i < MONITOR_BURST && turn == client->turn; i++) {
		client->monitor.armed = true;
		if (!monitor_receive(client->monitor.socket, &event, &value))
			break;
		client_event(client, event, value);
	}
	client_unbusy(client);
}

static void on_dealer(void *context)
{
	struct wire_client *client = context;

	client->busy = true;
	(void)client_read(client, CLIENT_BURST); /* the rest comes in the next round */
	client_unbusy(client);
}

static int client_monitor(struct wire_client *client)
{
	struct wire *wire = client->wire;
	char name[64];
	void *pair;

	(void)snprintf(name, sizeof name, "inproc://monitor-%u", wire->monitors++); /* fits */
	if (zmq_socket_monitor(client->dealer.socket, name, CLIENT_EVENTS))
		return ERR_IO;
	pair = zmq_socket(wire->context, ZMQ_PAIR);
	if (!pair)
		return ERR_IO;
	client->monitor.socket = pair;
	if (wire_set_int(pair, ZMQ_LINGER, 0) || zmq_connect(pair, name))
		return ERR_IO;
	return wire_tap_open(&client->monitor, wire->loop, pair, on_monitor, client);
}

/* Each attempt has a socket of its own. */
static int client_open(struct wire_client *client)
{
	struct wire *wire = client->wire;
	void *socket = zmq_socket(wire->context, ZMQ_DEALER);
	int rc;

	if (!socket)
		return ERR_IO;
	client->dealer.socket = socket;
	client->dealer.loop = NULL;
	client->monitor.loop = NULL;
	rc = wire_set_common(socket, &wire->tuning);
	rc |= wire_set_int(socket, ZMQ_RECONNECT_IVL, RECONNECT_NEVER_MS);
	rc |= wire_set_int(socket, ZMQ_RECONNECT_IVL_MAX, 0);
	rc |= wire_set_int(socket, ZMQ_CONNECT_TIMEOUT, wire->tuning.handshake_ms);
	rc |= wire_set_int(socket, ZMQ_IPV6, strchr(client->endpoint, '[') != NULL);
	rc |= zmq_setsockopt(socket, ZMQ_CURVE_SERVERKEY, client->server_key, 41);
	rc |= zmq_setsockopt(socket, ZMQ_CURVE_PUBLICKEY, client->key.curve_public, 41);
	rc |= zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, client->key.curve_secret, 41);
	if (rc || wire_tap_open(&client->dealer, wire->loop, socket, on_dealer, client) || client_monitor(client) || zmq_connect(socket, client->endpoint))
		return ERR_IO;
	return OK;
}

static void client_connect(void *context)
{
	struct wire_client *client = context;
	struct err why;

	client->state = CLIENT_CONNECTING;
	if (client_open(client) || loop_timer_set(client->wire->loop, &client->timer, client->wire->tuning.handshake_ms)) {
		(void)err_set(&why, ERR_IO, "%s: cannot connect: %s", client->endpoint, zmq_strerror(errno));
		client_down(client, &why);
	}
}

int wire_client_new(struct wire *wire, const struct wire_client_options *options, const struct wire_handlers *handlers, void *context,
                    struct wire_client **ret_client, struct err *err)
{
	struct wire_client *client;

	if (strncmp(options->endpoint, "tcp://", 6) != 0 || strlen(options->endpoint) >= ENDPOINT_SIZE)
		return err_set(err, ERR_INVALID, "%s: an endpoint is tcp://HOST:PORT", options->endpoint);
	client = calloc(1, sizeof *client);
	if (!client)
		return err_set(err, ERR_NOMEM, "no memory for the connection");
	client->wire = wire;
	client->handlers = *handlers;
	client->context = context;
	memcpy(client->endpoint, options->endpoint, strlen(options->endpoint) + 1);
	memcpy(client->server_key, options->server_key, sizeof client->server_key);
	client->key = *options->key;
	client->pause_ms = wire->tuning.retry_ms;
	client->timer = (struct loop_timer){ .fn = on_client_timer, .context = client };
	client->state = CLIENT_WAITING;
	if (loop_timer_set(wire->loop, &client->timer, 0)) {
		free(client);
		return err_set(err, ERR_NOMEM, "no room in the event loop");
	}
	*ret_client = client;
	return OK;
}

void wire_client_free(struct wire_client *client)
{
	if (!client)
		return;
	client_close(client, client->wire->tuning.linger_ms);
	loop_timer_stop(client->wire->loop, &client->timer);
	crypt_wipe(&client->key, sizeof client->key);
	client->state = CLIENT_OVER;
	client->doomed = client->busy;
	if (!client->busy)
		free(client);
}

bool wire_client_up(const struct wire_client *client)
{
	return client->state == CLIENT_UP;
}

int wire_client_send(struct wire_client *client, const void *bytes, size_t n)
{
	if (client->state != CLIENT_UP)
		return ERR_CLOSED;
	if ((int64_t)n > client->wire->tuning.frame_max)
		return ERR_TOOBIG;
	client->dealer.armed = true;
	if (zmq_send(client->dealer.socket, bytes, n, ZMQ_DONTWAIT) < 0)
		return errno == EAGAIN ? ERR_AGAIN : ERR_CLOSED;
	return OK;
}

void wire_client_again(struct wire_client *client, const char *why)
{
	struct err err;

	if (client->state != CLIENT_CONNECTING && client->state != CLIENT_UP)
		return;
	(void)err_set(&err, ERR_CLOSED, "%s", why);
	client_down(client, &err);
}

void wire_client_settled(struct wire_client *client)
{
	client->pause_ms = client->wire->tuning.retry_ms;
}
