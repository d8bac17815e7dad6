/* A session: one agency's conversation with the broker (docs/protocol.md). An agency has at most one; the key of the connection decides whose it is, the
 * routing id only says where answers go. This struct also holds what belongs to the agency between two of its connections. */
#ifndef BROKER_SESSION_H
#define BROKER_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/wire.h"
#include "proto/wire.pb-c.h"
#include "rules/policy.h"

#define HEARTBEAT_MS 10000           /* told to the agent; after three of them without a word the session is down */
#define SESSION_BYTES_MAX ((size_t)4 << 20)   /* of unacknowledged deliveries, per agency, */
#define SESSION_BYTES_LEAST ((size_t)1 << 20) /* and while all agencies together have SENT_BYTES_MAX */
#define SENT_BYTES_MAX ((size_t)256 << 20)
#define INPUT_BYTES_MAX ((size_t)8 << 20)     /* of frames that wait for their turn, per agency */
#define ACK_MAX 65536                /* sequences in one Ack */

struct broker;
struct query;

/* A Publish, Ack or Cosign that waits for its turn. */
struct frame {
	struct frame *next;
	struct wire_message message;
	uint64_t number;                 /* of the session's frames, in the order in which they came */
	size_t n_items, next_item;       /* Publish: as counted before unpacking, and how far a turn has come */
};

/* Order within a case after a refusal that says "try later" (hold.c): what stands of that case in the frames behind `from`, up to `through`, is refused likewise. */
struct hold {
	uint64_t subject;                /* hash of the case's reference; 0: of every case */
	uint64_t asked;                  /* number of the Ping behind the refusal: its answer ends the hold */
	uint64_t from, through;          /* numbers of frames; UINT64_MAX: not answered yet */
};

struct sent { uint64_t sequence; uint32_t size; };

struct session {
	const struct agency *agency;     /* of the present policy */
	bool up;
	struct wire_peer peer;
	char key[41];                    /* CURVE public key of the connection: a reload may withdraw it */
	int64_t seen_at;                 /* CLOCK_MONOTONIC ms of the last message */
	int64_t up_since;                /* CLOCK_MONOTONIC ms */
	bool pinged;
	uint32_t protocol;               /* that this session speaks */
	uint64_t generation;             /* counts up with each end: what belongs to an earlier connection is not told to a later one */

	/* in */
	struct frame *first, *last;
	size_t n_frames, n_items, n_bytes;
	bool active;                     /* in the ring of sessions that have input */
	struct session *next_active;
	size_t chain;                    /* of its operations in the turn that is being made (turn_internal.h), as index + 1; 0: none */
	uint64_t frames_in;              /* number of the last frame that was kept */
	struct hold *holds; size_t n_holds;   /* NULL while none */
	uint64_t asked;                  /* number of the last Ping that was sent behind a refusal */
	int64_t asked_at;                /* CLOCK_MONOTONIC ms */
	unsigned asked_again;            /* how often since the last answer */

	uint64_t witnessed;              /* size of the last checkpoint that this session was told; 0: none */

	/* out */
	struct sent *sent;               /* unacknowledged, ascending; at most the window; NULL while none */
	size_t n_sent, sent_room, sent_bytes;
	uint64_t after;                  /* everything in the queue up to here has been handed over in this session */
	int64_t progress_at, resend_ms;  /* CLOCK_MONOTONIC ms of the last acknowledgement or sending; patience */
	uint32_t attempt;                /* how often sequences up to again_through were handed over before; 0 for those after it */
	uint64_t again_through;
	uint64_t told_through;           /* DELIVERED was recorded up to here */
	uint64_t *told; size_t n_told, told_room;  /* handed over, not recorded yet */
	bool hungry;                     /* its queue may hold more than was handed over */
	int64_t paused_until;            /* the connection's queue was full */

	struct query *queries;
	size_t n_queries;
};

/* Sessions of a policy's agencies, by index of the agency in it. */
struct sessions {
	struct session **items; size_t n;
	size_t n_up;
	struct session *ring_first, *ring_last;   /* with input, in order of their turn */
	struct frame *spare; size_t n_spare;      /* frames to use again */
	size_t n_frames, n_bytes;                 /* waiting, of all sessions */
};

/* Makes the table for a policy; sessions of agencies that are in both go on, those of others end (unknown-agency). Also at start. ERR_NOMEM: nothing changed. */
int sessions_adopt(struct broker *broker, const struct policy *policy);
void sessions_release(struct broker *broker);
/* Frames that may wait for their turn, of all sessions together; beyond it nothing more is received for a while. */
size_t sessions_frames_max(const struct broker *broker);
struct session *session_of(struct broker *broker, const char *agency);   /* NULL: no such agency */

/* A message has come in: takes it (moves it away) or leaves it to be released. */
void session_receive(struct broker *broker, struct wire_message *message);
/* The next frame is done with, or given up. */
void session_frame_done(struct broker *broker, struct session *session);
/* Takes the next session with input out of the ring; session_rejoin puts it back if it still has some. */
struct session *sessions_next(struct sessions *sessions);
void session_rejoin(struct sessions *sessions, struct session *session);

/* Says Bye where it can, and forgets the connection, its input and its window. What is queued in the store stays. */
void session_end(struct broker *broker, struct session *session, const char *reason, const char *detail);
/* The session is over, and there is no point in a Bye. why, for the log: "gone" (the connection), "silent", "unread" (its queue is full), "no-memory". */
void session_lost(struct broker *broker, struct session *session, const char *why);
/* Looks for silent sessions; pings. Called each TICK_MS. */
void sessions_tick(struct broker *broker, int64_t now);

#endif
