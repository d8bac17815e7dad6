/* ZeroMQ, all of it: zmq.h is included in wire*.c only. One context per process; all sockets in one thread (the loop's). CURVE always; there is no way
 * to make a socket without it. Every socket option that matters is set explicitly (struct wire_tuning). libzmq aborts when its own allocations fail:
 * that counts as a kill -9. */
#ifndef LIB_WIRE_H
#define LIB_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/crypt.h"
#include "lib/err.h"
#include "lib/loop.h"

struct wire_tuning {
	int64_t frame_max;       /* bytes of one message (ZMQ_MAXMSGSIZE): a peer that sends more is cut off by libzmq */
	int hwm;                 /* messages queued per peer and direction (SNDHWM, RCVHWM) */
	int hwm_in;              /* of them inwards (RCVHWM); 0: hwm. Times frame_max it bounds what a peer that floods can cost in memory; TCP holds back the rest */
	int heartbeat_ms;        /* ZMTP pings; a peer that is silent for three of them is cut off */
	int handshake_ms;        /* a connection that has not shaken hands by then is cut off */
	int backlog;             /* connections waiting to be accepted */
	int sockets_max;         /* sockets of this process (ZMQ_MAX_SOCKETS) */
	int linger_ms;           /* what is queued may still go out for so long when a socket is closed */
	int sndbuf, rcvbuf;      /* kernel buffers in bytes per connection; 0: the system's */
	int retry_ms, retry_ms_max; /* client: pause before connecting again, doubled each time, with jitter of half */
	int refused_max;         /* client: after so many refusals of its key in a row the link is given up (told once); 0: never */
};
/* frame_max 4 MiB, hwm 1000, heartbeat 10 s, handshake 10 s, backlog 1024, sockets 4096, linger 1 s, retry 250 ms to 30 s, refused_max 0 */
void wire_tuning_default(struct wire_tuning *tuning);

struct wire;                 /* the context */
int wire_new(struct loop *loop, const struct wire_tuning *tuning, struct wire **ret_wire, struct err *err);  /* tuning is copied; loop is borrowed */
void wire_free(struct wire *wire);                      /* after its servers and clients; waits at most linger_ms */

/* --- server: ROUTER, CURVE, ZAP ------------------------------------------------------------------------------------------ */

/* Who has this key? Called for each handshake with the client's public key (Z85, 40 characters) and address. The name returned becomes
 * wire_message.user; NULL: refused (ZAP 400: the client is told and does not get in). Borrowed until the call returns. At most WIRE_USER_MAX characters. */
typedef const char *wire_who_fn(void *context, const char *curve_public, const char *address);
#define WIRE_USER_MAX 127

struct wire_server;
/* ready: called by the loop while there are messages (wire_receive until ERR_AGAIN, or as many as the caller takes in one turn). One server per context. */
int wire_server_new(struct wire *wire, wire_who_fn *who, loop_work_fn *ready, void *context, struct wire_server **ret_server, struct err *err);
void wire_server_free(struct wire_server *server);
/* Binds one more endpoint ("tcp://127.0.0.1:5600"; port "*" takes a free one) under this server key; the others keep theirs. ret_endpoint (size room):
 * as it was bound. ERR_INVALID, ERR_BUSY (address in use), ERR_IO. */
int wire_bind(struct wire_server *server, const char *endpoint, const struct key_pair *key, char *ret_endpoint, size_t room, struct err *err);
int wire_unbind(struct wire_server *server, const char *bound_endpoint, struct err *err);   /* drops the sessions that came in by it */

struct wire_peer { uint8_t n, id[255]; };               /* a routing id: addresses a connection, says nothing about who it is */
bool wire_peer_equal(const struct wire_peer *a, const struct wire_peer *b);

/* A received message; owns its memory until wire_message_release. Zeroed is a valid empty one. */
struct wire_message {
	const uint8_t *bytes; size_t n;                     /* borrowed from the message */
	const char *user;                                   /* as wire_who_fn named it; never NULL after OK */
	bool parts;                                         /* it came in more than one part, which no Frame does: malformed */
	struct wire_peer peer;
	uint64_t opaque[9];
};
/* OK, ERR_AGAIN (nothing there). message must be empty or released. */
int wire_receive(struct wire_server *server, struct wire_message *message);
void wire_message_release(struct wire_message *message);
void wire_message_move(struct wire_message *to, struct wire_message *from);  /* from is empty afterwards */

/* Never waits. OK: queued, which says nothing about arrival. ERR_AGAIN: the peer's queue is full. ERR_CLOSED: no such connection any more. Copies. */
int wire_send(struct wire_server *server, const struct wire_peer *peer, const void *bytes, size_t n);
/* The same without a copy: asks for room, which the caller fills, then sends. wire_send_room sends or discards it: it is gone in either case. */
int wire_room(struct wire_server *server, size_t n, uint8_t **ret_room);     /* one at a time; ERR_NOMEM */
int wire_send_room(struct wire_server *server, const struct wire_peer *peer);
void wire_drop_room(struct wire_server *server);

/* --- client: DEALER, CURVE ------------------------------------------------------------------------------------------------ */

/* A client connects, and connects again after each loss, with back-off and jitter, until freed. Each connection is a new one in every respect:
 * nothing that was queued on an earlier one is sent on it. */
struct wire_client;
struct wire_handlers {
	void (*up)(void *context);                               /* connected, and both sides have proved their keys: say Hello */
	/* Not connected (any more). ERR_DENIED: the broker does not know our key, or is not who we take it for; ERR_CLOSED, ERR_IO: the network. given_up: there
	 * is no further attempt (refused_max). Told for each failed attempt too: the caller logs changes only. */
	void (*down)(void *context, const struct err *why, bool given_up);
	void (*message)(void *context, const uint8_t *bytes, size_t n);  /* borrowed during the call */
};
struct wire_client_options {
	const char *endpoint;                               /* "tcp://host:port" */
	char server_key[41];                                /* the broker's CURVE public key, Z85 */
	const struct key_pair *key;                         /* own; copied */
};
int wire_client_new(struct wire *wire, const struct wire_client_options *options, const struct wire_handlers *handlers, void *context,
                    struct wire_client **ret_client, struct err *err);
void wire_client_free(struct wire_client *client);      /* may be called from its own handlers */
bool wire_client_up(const struct wire_client *client);
/* Never waits. OK: queued. ERR_CLOSED: not connected. ERR_AGAIN: the queue (hwm) is full. ERR_TOOBIG: over frame_max. Copies. */
int wire_client_send(struct wire_client *client, const void *bytes, size_t n);
/* Drops the connection and connects again (after the back-off); why: what `down` is told. */
void wire_client_again(struct wire_client *client, const char *why);
/* The back-off begins anew at retry_ms with the next loss: call it when the session stands (Welcome came). */
void wire_client_settled(struct wire_client *client);

/* "4.3.4" */
const char *wire_version(void);

#endif
