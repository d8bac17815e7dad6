/* The map of the daemon around the core (core.h): one section per file, in the order in which an event meets them. The stages call forward only; what
 * goes back goes through the loop. One thread; the core's rules about turns hold for all of it. */
#ifndef BROKER_BROKER_H
#define BROKER_BROKER_H

#include <stdbool.h>

#include "broker/config.h"
#include "broker/core.h"
#include "broker/keyring.h"
#include "broker/session.h"
#include "broker/stats.h"
#include "lib/arena.h"
#include "lib/clock.h"
#include "lib/control.h"
#include "lib/loop.h"
#include "lib/note.h"
#include "lib/wire.h"

#define PROTOCOL_VERSION 2
#define PROTOCOL_VERSION_MIN 1
#define CATALOGUE_VERSION 1
#define ENDPOINTS_MAX 16
#define TICK_MS 250                  /* resends, silence, pauses */
#define TICK_LONG_MS 60000           /* the clock is looked at so often, whatever is due when */
#define TOLD_MS 20                   /* a DELIVERED record waits so long for an acknowledgement to share its commit */

struct proof { uint64_t from, to; bool made; struct tree_proof hashes; };   /* the last one that was asked for: all agents mostly need the same */
struct endpoint { char *wanted, *bound, key[41]; };   /* as configured, as bound (the port instead of "*"), the public half of its key */

struct turn;

struct broker {
	const char *config_path;
	struct broker_config *config;        /* present; owned */
	struct loop *loop;
	struct wire *wire;
	struct wire_server *server;
	struct control *control;
	struct core *core;
	struct clock clock;
	struct keyring keyring;
	struct key_pair key, old_key;        /* of endpoints, and of old_endpoints, that are bound from now on */
	bool signs;                          /* checkpoints; then log_public is the key that they hold under */
	uint8_t log_public[KEY_SIZE];
	struct proof proof_room;
	struct endpoint endpoints[ENDPOINTS_MAX];
	size_t n_endpoints;
	int lock_fd;
	struct backup *backup;               /* being written; NULL: none */

	struct sessions sessions;
	struct turn *turn, *other;           /* the one that is being made; the one before, */
	bool open, flying;                   /* it goes on taking what comes in; its commit is on its way */
	uint64_t commit_us;                  /* that the last commit took */
	struct arena reading;                /* deliveries and answers of one round; reset between */
	bool want_told;                      /* some session has deliveries to record */
	bool incoming;                       /* the sockets have something */
	bool turn_now;                       /* there is something to record besides input and timers */
	size_t damaged_told;                 /* cases that cannot be read, as last logged */
	bool timers_stuck;                   /* firing failed (storage full): wait before the next try */
	bool no_room;                        /* the last turn with publishes found no room for them */
	bool stalled;                        /* no transaction could begin: likewise for everything */
	bool hungry;                         /* some session may be given deliveries */
	bool asking;                         /* some query can go on */
	bool erase_again;                    /* a confirmed erasure could not be executed */
	moment next_due;                     /* of the core's timers; MOMENT_NONE: none */
	struct loop_timer due, told, tick, watchdog, minute;

	struct stats stats;
	struct limiter denials, malformed, full, failures, contradictions;
	char user[WIRE_USER_MAX + 1];        /* what zap_who answered last */
	char denied_key[12];                 /* beginning of a refused key that is to be recorded; empty: none */
	unsigned denied_more;
	int exit_code;
};

/* --- zap.c: who is this? ------------------------------------------------------------------------------------------------- */

/* For wire_server_new. The name is "AGENCY KEY", so that a reload can tell by which key a connection came in. */
const char *zap_who(void *broker, const char *curve_public, const char *address);
/* Splits that name. ERR_INVALID if it is none. */
#define AGENCY_SIZE 33
int zap_split(const char *user, char ret_agency[AGENCY_SIZE], char ret_key[41]);
/* Records the last refusal, if there was one. */
void zap_record(struct broker *broker);

/* --- net.c: endpoints, receiving, sending -------------------------------------------------------------------------------- */

/* Fields of Frame that an agent sends (proto/wire.proto). */
enum { FRAME_HELLO = 1, FRAME_PUBLISH, FRAME_ACK, FRAME_QUERY, FRAME_CREDIT, FRAME_COSIGN, FRAME_PING = 30 };

int net_open(struct broker *broker, struct err *err);
void net_close(struct broker *broker);
/* After a reload: binds what is new with the present key, closes what is gone, writes the endpoint file. An endpoint that cannot be bound is logged and tried at the next reload. */
void net_follow(struct broker *broker);
/* For wire_server_new: something came in. */
void net_ready(void *broker);
/* Takes in at most `max` messages as long as there is room for them. Returns how many came. */
size_t net_receive(struct broker *broker, size_t max);
/* OK; ERR_AGAIN (the connection's queue is full) and ERR_CLOSED (there is none): the caller decides what that means. */
int net_send(struct broker *broker, const struct session *session, const Reentry__Frame *frame);
/* The same in two steps, for what is written in place: room of n bytes, and sending it. */
int net_room(struct broker *broker, size_t n, uint8_t **ret_room);
int net_send_room(struct broker *broker, const struct session *session, size_t n);
/* What a message that we make may hold, about: the smaller of `wanted` and a part of the size that agents take (limits.message_max). */
size_t net_batch(const struct broker *broker, size_t wanted);
#define RECEIPTS_MAX 2048            /* in one message; a receipt takes at most about RECEIPT_BYTES */
#define RECEIPT_BYTES 512
int net_send_to(struct broker *broker, const struct wire_peer *peer, const Reentry__Frame *frame);
/* Which one thing is in a frame, without unpacking it: the field's number, or 0 for what is no Frame; and how many items a Publish has. */
unsigned net_peek(const uint8_t *bytes, size_t n, size_t *ret_items);
/* The case reference in the bytes of an Event, without unpacking it; false: it names none, or is no Event. Points into the bytes. */
bool net_subject(const uint8_t *bytes, size_t n, const uint8_t **ret_subject, size_t *ret_n);
/* Unpacks a whole frame of which exactly one field is set. ERR_INVALID, ERR_NOMEM. */
int net_unpack(const struct wire_message *message, struct arena *arena, Reentry__Frame **ret_frame, struct err *err);

/* --- session.h ------------------------------------------------------------------------------------------------------------ */

/* --- hold.c: order within a case when something of it could not be taken now -------------------------------------------- */

#define HOLDS_MAX 256                /* cases of one session; with more, every case is held */
/* Whether an item in that frame stands behind one of the same case that was refused with "try later", and was sent before its agent can have known. */
bool hold_covers(const struct session *session, uint64_t frame, const ProtobufCBinaryData *content);
/* An item was refused with "try later": what comes behind frame `from` waits. Without memory the session is lost, and begins anew. */
void hold_begin(struct broker *broker, struct session *session, uint64_t from, const ProtobufCBinaryData *content);
/* Behind the receipts that tell of refusals: asks for a sign that the agent has read them. */
void hold_ask(struct broker *broker, struct session *session);
/* The agent has answered the Ping of that number: what it sends from now on it sends knowingly. */
void hold_answered(struct session *session, uint64_t number);
/* A frame is done with: forgets holds that cover none any more. */
void hold_sweep(struct session *session);
/* Asks again where no answer came; ends the session of who never answers. */
void hold_tick(struct broker *broker, struct session *session, int64_t now);
void hold_forget(struct session *session);

/* --- turn.c, turn_*.c: from input to disk to receipts ------------------------------------------------------------------------------- */

int turn_new(struct broker *broker, struct err *err);
void turn_free(struct broker *broker);
void turn_wipe(struct broker *broker);              /* between turns: overwrites what they left in memory */
/* One turn, if there is anything to do: receive, fire, take items round robin, commit, receipts. It may be on its way to the disk when this returns. */
void turn_run(struct broker *broker);
bool turn_wanted(struct broker *broker);
/* Waits for the turn that is on its way, and tells its receipts: before anything but turn_run and deliver_all asks the core or writes. */
void turn_settle(struct broker *broker);
/* A turn of its own around one thing (an operator's command, an audit record). The step's error, or the commit's. */
int turn_alone(struct broker *broker, int (*step)(void *context, struct broker *broker), void *context);
/* Sets the loop's timer to the core's next deadline. */
void turn_schedule(struct broker *broker);
/* Records something of an audit in a turn of its own: kind REPLAY, DENIED or ADMIN. */
int turn_audit(struct broker *broker, Reentry__RecordKind__Value kind, const Reentry__AuditRecord *body, const char *subject);

/* --- deliver.c: from the queues to the agents ----------------------------------------------------------------------------- */

/* Agencies that the last turn queued something for become hungry. */
void deliver_note_touched(struct broker *broker);
void deliver_want(struct broker *broker, struct session *session);
/* Rounds in which each hungry session is handed at most one message, until none is hungry or the time of a turn is over. */
void deliver_all(struct broker *broker);
/* The agent has these on disk: they leave the window. */
void deliver_acked(struct broker *broker, struct session *session, const uint64_t *sequences, size_t n);
/* Sends again what has waited too long; wakes the paused. */
void deliver_tick(struct broker *broker, int64_t now);
void deliver_forget(struct session *session);       /* the window, when a session ends */
/* Hands over again everything that is in the agency's queue. */
void deliver_rewind(struct broker *broker, struct session *session);

/* --- deliver_frame.c: what is sent ------------------------------------------------------------------------------------------- */

/* A Frame with these deliveries, each with the number of its attempt in this session: its size, and its bytes (the end of them is returned). */
size_t deliver_frame_size(const struct session *session, const struct core_delivery *items, size_t n);
uint8_t *deliver_frame_pack(const struct session *session, const struct core_delivery *items, size_t n, uint8_t *at);

/* --- backup.c ---------------------------------------------------------------------------------------------------------------- */

/* Begins a copy into dir; the call is answered at its end. ERR_BUSY: one is being written. */
int backup_begin(struct broker *broker, struct control_call *call, const char *dir, struct err *err);
void backup_gone(struct broker *broker, const struct control_call *call);
void backup_end(struct broker *broker);              /* waits for it; before the core is closed */

/* --- witness.c: checkpoints and cosignatures --------------------------------------------------------------------------------- */

/* Puts the last checkpoint into a Welcome, proved from the one that Hello names; room lives until the Welcome is sent. */
void witness_welcome(struct broker *broker, struct session *session, const Reentry__Hello *hello, Reentry__Welcome *welcome, Reentry__Checkpoint *room);
/* Whether the checkpoint that Hello names keeps this session from beginning: the log contradicts it (then everything is held from now on), or lacks what a new epoch has left behind. The reason of the Bye, or NULL. */
const char *witness_refusal(struct broker *broker, struct session *session, const Reentry__Hello *hello, const char **ret_detail);
/* The log is not to be gone on with until an operator begins a new epoch: every session ends. */
void broker_hold(struct broker *broker, const char *why);
/* Signs the log as it is, in a turn of its own, and tells every agent. ERR_DENIED: no signing key. ERR_NOTFOUND: an empty log. */
int witness_issue(struct broker *broker);
void witness_tick(struct broker *broker);           /* when one is due */
/* In a turn: an agent's cosignature. OK also for one that is not taken; other errors are the turn's. */
int witness_cosign(struct broker *broker, struct session *session, const char *note);

/* --- query.c, query_*.c, replay.c, directory.c: questions --------------------------------------------------------- */

void query_begin(struct broker *broker, struct session *session, const Reentry__Query *query);
void query_credit(struct broker *broker, struct session *session, const Reentry__Credit *credit);
/* One round: each query that has credit sends at most one part. */
void query_round(struct broker *broker);
void query_forget(struct broker *broker, struct session *session);

/* --- control.c: the operator ------------------------------------------------------------------------------------------------ */

int control_open(struct broker *broker, struct err *err);
/* Executes the erasures that are confirmed: after a confirmation, at a start before anything is served (a crash may have come in between), and each minute after it failed. ret_n: how many. */
int control_erase_pending(struct broker *broker, size_t *ret_n, struct err *err);
/* Validates the whole file, then takes it over; on an error the old configuration goes on. */
int broker_reload(struct broker *broker, struct err *err);

/* --- life.c: start and end --------------------------------------------------------------------------------------------------- */

int broker_open(struct broker *broker, const char *config_path, struct err *err);
int broker_run(struct broker *broker);               /* until SIGTERM; the exit code */
void broker_close(struct broker *broker);
/* Durability is lost: says so and ends the process at once, without telling anybody anything. */
void broker_die(const char *what, int code) __attribute__((noreturn));

#endif
