#include "lib/wire_own.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#define ZAP_ENDPOINT "inproc://zeromq.zap.01"
#define ZAP_DOMAIN "reentry"
#define ZAP_PARTS 7              /* of a CURVE request: version, request, domain, address, identity, mechanism, key */
#define ZAP_REPLY_PARTS 6        /* version, request, status, text, user, metadata */
#define ZAP_REQUEST_MAX 32       /* libzmq's own are one byte; up to 33 it keeps a part without memory of its own */

_Static_assert(sizeof(zmq_msg_t) <= sizeof ((struct wire_message *)NULL)->opaque, "wire_message.opaque holds a zmq_msg_t");

struct wire_server {
	struct wire *wire;
	struct wire_tap router, zap;      /* the handler outlives the router, so that no handshake goes unasked */
	wire_who_fn *who;
	loop_work_fn *ready;
	void *context;
	zmq_msg_t out;
	bool out_open;
};

/* One request: reads all its parts; keeps the address, and the key if it is a CURVE request of the form that RFC 27 gives. */
struct zap_request {
	uint8_t request[ZAP_REQUEST_MAX];
	size_t request_n;
	char address[64], key[41];
	bool usable;
};

static void zap_part(struct zap_request *request, int part, const uint8_t *bytes, size_t n)
{
	switch (part) {
	case 0:
		request->usable &= n == 3 && !memcmp(bytes, "1.0", 3);
		break;
	case 1:
		request->usable &= n <= sizeof request->request;
		request->request_n = n <= sizeof request->request ? n : 0;
		memcpy(request->request, bytes, request->request_n);
		break;
	case 3:
		(void)snprintf(request->address, sizeof request->address, "%.*s", (int)(n < 63 ? n : 63), (const char *)bytes); /* cut is fine */
		break;
	case 5:
		request->usable &= n == 5 && !memcmp(bytes, "CURVE", 5);
		break;
	case 6:
		request->usable &= n == KEY_SIZE && zmq_z85_encode(request->key, bytes, KEY_SIZE);
		break;
	default:
		break; /* domain and routing id decide nothing */
	}
}

/* False: no request there. */
static bool zap_receive(void *socket, struct zap_request *request)
{
	int parts = 0, more = 1;

	*request = (struct zap_request){ .usable = true };
	for (; more; parts++) {
		zmq_msg_t part;

		(void)zmq_msg_init(&part); /* never fails */
		if (zmq_msg_recv(&part, socket, ZMQ_DONTWAIT) < 0) {
			(void)zmq_msg_close(&part);
			return false;
		}
		zap_part(request, parts, zmq_msg_data(&part), zmq_msg_size(&part));
		more = zmq_msg_more(&part);
		(void)zmq_msg_close(&part); /* never fails on an initialised message */
	}
	request->usable &= parts == ZAP_PARTS;
	return true;
}

/* All parts of a reply, or none. */
static bool zap_parts(const struct zap_request *request, const char *const words[3], zmq_msg_t ret_parts[ZAP_REPLY_PARTS])
{
	const struct { const void *bytes; size_t n; } parts[ZAP_REPLY_PARTS] = {
		{ "1.0", 3 }, { request->request, request->request_n }, { words[0], strlen(words[0]) }, { words[1], strlen(words[1]) }, { words[2], strlen(words[2]) }, { "", 0 },
	};

	for (size_t i = 0; i < ZAP_REPLY_PARTS; i++) {
		if (zmq_msg_init_size(&ret_parts[i], parts[i].n)) {
			while (i-- > 0)
				(void)zmq_msg_close(&ret_parts[i]); /* never fails on an initialised message */
			return false;
		}
		memcpy(zmq_msg_data(&ret_parts[i]), parts[i].bytes, parts[i].n);
	}
	return true;
}

/* A reply that were cut short would be the last one: the socket takes no request before it is whole. Without memory for it the peer is sent away, to come again. */
static void zap_reply(void *socket, const struct zap_request *request, const char *user)
{
	static const char *const unknown[] = { "400", "unknown key", "" }, *const later[] = { "300", "", "" };
	const char *const known[] = { "200", "OK", user };
	zmq_msg_t parts[ZAP_REPLY_PARTS];

	if (!zap_parts(request, user ? known : unknown, parts) && !zap_parts(request, later, parts))
		return; /* cannot be: nothing in it is large enough to need memory */
	for (size_t i = 0; i < ZAP_REPLY_PARTS; i++)
		if (zmq_msg_send(&parts[i], socket, ZMQ_DONTWAIT | (i + 1 < ZAP_REPLY_PARTS ? ZMQ_SNDMORE : 0)) < 0)
			(void)zmq_msg_close(&parts[i]); /* the session that asked is gone */
}

static void on_zap(void *context)
{
	struct wire_server *server = context;
	struct zap_request request;

	while (zap_receive(server->zap.socket, &request)) {
		const char *user = request.usable ? server->who(server->context, request.key, request.address) : NULL;

		if (user && strlen(user) > WIRE_USER_MAX)
			user = NULL;
		zap_reply(server->zap.socket, &request, user);
	}
}

static int open_zap(struct wire_server *server, struct err *err)
{
	void *socket = zmq_socket(server->wire->context, ZMQ_REP);

	if (!socket)
		return err_errno(err, ERR_IO, "opening the authentication socket failed");
	if (wire_set_int(socket, ZMQ_LINGER, 0) || zmq_bind(socket, ZAP_ENDPOINT)) {
		err_errno(err, ERR_IO, "binding " ZAP_ENDPOINT " failed");
		(void)zmq_close(socket); /* nothing was sent */
		return ERR_IO;
	}
	server->zap.socket = socket;
	if (wire_tap_open(&server->zap, server->wire->loop, socket, on_zap, server))
		return err_set(err, ERR_NOMEM, "no room in the event loop");
	return OK;
}

static void on_router(void *context)
{
	struct wire_server *server = context;

	server->ready(server->context);
	server->router.armed = true;
}

/* HANDOVER stays off: a second connection must not take over the routing id of a first one; who somebody is, is decided by the key. */
static int open_router(struct wire_server *server, struct err *err)
{
	const struct wire_tuning *tuning = &server->wire->tuning;
	void *socket = zmq_socket(server->wire->context, ZMQ_ROUTER);
	int rc;

	if (!socket)
		return err_errno(err, ERR_IO, "opening the server socket failed");
	server->router.socket = socket;
	rc = wire_set_common(socket, tuning);
	rc |= wire_set_int(socket, ZMQ_ROUTER_MANDATORY, 1);
	rc |= wire_set_int(socket, ZMQ_ROUTER_HANDOVER, 0);
	rc |= wire_set_int(socket, ZMQ_BACKLOG, tuning->backlog);
	rc |= wire_set_int(socket, ZMQ_CURVE_SERVER, 1);
	rc |= zmq_setsockopt(socket, ZMQ_ZAP_DOMAIN, ZAP_DOMAIN, strlen(ZAP_DOMAIN));
	if (rc)
		return err_errno(err, ERR_IO, "setting up the server socket failed");
	if (wire_tap_open(&server->router, server->wire->loop, socket, on_router, server))
		return err_set(err, ERR_NOMEM, "no room in the event loop");
	return OK;
}

int wire_server_new(struct wire *wire, wire_who_fn *who, loop_work_fn *ready, void *context, struct wire_server **ret_server, struct err *err)
{
	struct wire_server *server = calloc(1, sizeof *server);
	int rc;

	if (!server)
		return err_set(err, ERR_NOMEM, "no memory for the server socket");
	*server = (struct wire_server){ .wire = wire, .who = who, .ready = ready, .context = context };
	rc = open_zap(server, err); /* first: without a handler libzmq has nobody to ask */
	if (!rc)
		rc = open_router(server, err);
	if (rc) {
		wire_server_free(server);
		return rc;
	}
	*ret_server = server;
	return OK;
}

void wire_server_free(struct wire_server *server)
{
	if (!server)
		return;
	wire_drop_room(server);
	wire_tap_close(&server->router);
	wire_tap_close(&server->zap);
	free(server);
}

static int bind_error(const char *endpoint, struct err *err)
{
	const int code = errno == EADDRINUSE ? ERR_BUSY
	               : errno == EINVAL || errno == ENODEV || errno == EADDRNOTAVAIL || errno == EPROTONOSUPPORT ? ERR_INVALID : ERR_IO;

	return err_set(err, code, "%s: cannot listen there: %s", endpoint, zmq_strerror(errno));
}

int wire_bind(struct wire_server *server, const char *endpoint, const struct key_pair *key, char *ret_endpoint, size_t room, struct err *err)
{
	void *socket = server->router.socket;
	char bound[ENDPOINT_SIZE];
	size_t n = sizeof bound;

	if (strncmp(endpoint, "tcp://", 6) != 0)
		return err_set(err, ERR_INVALID, "%s: an endpoint is tcp://ADDRESS:PORT", endpoint);
	/* The key belongs to the listener from here on; connections by earlier listeners keep theirs. */
	if (zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, key->curve_secret, 41) || wire_set_int(socket, ZMQ_IPV6, strchr(endpoint, '[') != NULL))
		return err_errno(err, ERR_INVALID, "%s: the server key is not usable", endpoint);
	if (zmq_bind(socket, endpoint))
		return bind_error(endpoint, err);
	server->router.armed = true;
	if (zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, bound, &n) || snprintf(ret_endpoint, room, "%s", bound) >= (int)room)
		return err_set(err, ERR_IO, "%s: the bound endpoint cannot be read back", endpoint);
	return OK;
}

int wire_unbind(struct wire_server *server, const char *bound_endpoint, struct err *err)
{
	if (zmq_unbind(server->router.socket, bound_endpoint))
		return err_errno(err, ERR_NOTFOUND, "%s: closing the endpoint failed", bound_endpoint);
	server->router.armed = true;
	return OK;
}

bool wire_peer_equal(const struct wire_peer *a, const struct wire_peer *b)
{
	return a->n == b->n && !memcmp(a->id, b->id, a->n);
}

static zmq_msg_t *inner(struct wire_message *message)
{
	return (zmq_msg_t *)(void *)message->opaque;
}

/* Reads away what follows the second part. */
static void drop_parts(void *socket)
{
	int more = 1;

	while (more) {
		zmq_msg_t part;

		(void)zmq_msg_init(&part); /* never fails */
		more = zmq_msg_recv(&part, socket, ZMQ_DONTWAIT) >= 0 && zmq_msg_more(&part);
		(void)zmq_msg_close(&part); /* never fails on an initialised message */
	}
}

static int receive_peer(void *socket, struct wire_peer *ret_peer)
{
	const int n = zmq_recv(socket, ret_peer->id, sizeof ret_peer->id, ZMQ_DONTWAIT);

	if (n < 0)
		return ERR_AGAIN;
	ret_peer->n = (uint8_t)((size_t)n > sizeof ret_peer->id ? sizeof ret_peer->id : (size_t)n); /* ZMTP bounds it to 255 */
	return OK;
}

int wire_receive(struct wire_server *server, struct wire_message *message)
{
	void *socket = server->router.socket;
	zmq_msg_t *body = inner(message);

	for (;;) {
		if (receive_peer(socket, &message->peer))
			return ERR_AGAIN;
		(void)zmq_msg_init(body); /* never fails */
		if (zmq_msg_recv(body, socket, ZMQ_DONTWAIT) < 0) {
			(void)zmq_msg_close(body);
			return ERR_AGAIN;
		}
		message->user = zmq_msg_gets(body, "User-Id");
		message->parts = zmq_msg_more(body);
		if (message->parts)
			drop_parts(socket);
		if (message->user && *message->user)
			break;
		(void)zmq_msg_close(body); /* not authenticated: cannot be, and is nobody's */
	}
	message->bytes = zmq_msg_data(body);
	message->n = zmq_msg_size(body);
	return OK;
}

void wire_message_release(struct wire_message *message)
{
	if (message->user)
		(void)zmq_msg_close(inner(message)); /* never fails on an initialised message */
	message->user = NULL;
	message->bytes = NULL;
	message->n = 0;
}

void wire_message_move(struct wire_message *to, struct wire_message *from)
{
	(void)zmq_msg_init(inner(to)); /* never fails */
	(void)zmq_msg_move(inner(to), inner(from)); /* both are initialised */
	to->bytes = zmq_msg_data(inner(to)); /* short messages lie within the struct */
	to->n = from->n;
	to->user = from->user;
	to->parts = from->parts;
	to->peer = from->peer;
	(void)zmq_msg_close(inner(from));
	from->user = NULL;
	from->bytes = NULL;
	from->n = 0;
}

int wire_room(struct wire_server *server, size_t n, uint8_t **ret_room)
{
	wire_drop_room(server);
	if (zmq_msg_init_size(&server->out, n))
		return ERR_NOMEM;
	server->out_open = true;
	*ret_room = zmq_msg_data(&server->out);
	return OK;
}

void wire_drop_room(struct wire_server *server)
{
	if (server->out_open)
		(void)zmq_msg_close(&server->out); /* never fails on an initialised message */
	server->out_open = false;
}

int wire_send_room(struct wire_server *server, const struct wire_peer *peer)
{
	void *socket = server->router.socket;
	int rc = OK;

	server->router.armed = true;
	if (zmq_send(socket, peer->id, peer->n, ZMQ_DONTWAIT | ZMQ_SNDMORE) < 0)
		rc = errno == EAGAIN ? ERR_AGAIN : ERR_CLOSED;
	else if (zmq_msg_send(&server->out, socket, ZMQ_DONTWAIT) < 0)
		rc = ERR_CLOSED;
	else
		server->out_open = false;
	wire_drop_room(server);
	return rc;
}

int wire_send(struct wire_server *server, const struct wire_peer *peer, const void *bytes, size_t n)
{
	uint8_t *room;

	if (wire_room(server, n, &room))
		return ERR_NOMEM;
	memcpy(room, bytes, n);
	return wire_send_room(server, peer);
}
