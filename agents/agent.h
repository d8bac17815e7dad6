/* The map of the agent: one section per file, in the order in which an event meets them. One thread; whatever is decided in
 * one turn of the loop is made durable by one sync at its end (turn.c), and only then told to anybody. */
#ifndef AGENTS_AGENT_H
#define AGENTS_AGENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/clock.h"
#include "lib/conf.h"
#include "lib/control.h"
#include "lib/crypt.h"
#include "lib/db.h"
#include "lib/err.h"
#include "lib/json.h"
#include "lib/loop.h"
#include "lib/note.h"
#include "lib/tree.h"
#include "lib/wire.h"
#include "proto/agent.pb-c.h"
#include "rules/delivery.h"

struct agent;

/* --- config.c: what the file says ------------------------------------------------------------------------------- */

struct spool_config {
	char *dir;                     /* holds in/ done/ failed/ out/ */
	bool done;                     /* what was written to out/ counts as dealt with */
};
struct exec_config {
	struct conf_strings command;   /* program and arguments; no shell */
	int64_t timeout, backoff;      /* ms */
	int64_t attempts, parallel;
	bool errors;                   /* the command's stderr goes to ours */
	bool done;                     /* what the command took counts as dealt with */
};
struct agent_config {
	struct {
		char *id;
		struct conf_strings broker;    /* endpoints, tried in turn */
		char *broker_key, *key;        /* paths: NAME.pub of the broker, NAME.key of our own */
		char *log_key;                 /* path: NAME.pub of the log; NULL: checkpoints are compared, and neither verified nor cosigned */
		char *store, *control, *control_group, *lang;
		int64_t keep;                  /* ms that what was sent is kept with its receipt */
		int64_t size_max;              /* bytes of the store's sparse map */
	} agent;
	bool has_spool, has_exec;
	struct spool_config spool;
	struct exec_config exec;
};
extern const struct conf_row agent_config_rows[];
/* Reads and checks the whole file; needs no key file. Memory from arena. ERR_INVALID with what to do. */
int agent_config_read(const char *path, struct arena *arena, struct agent_config *ret_config, struct err *err);
/* ERR_NOTFOUND, ERR_DENIED (others may read it), ERR_INVALID. */
int agent_config_check_keys(const struct agent_config *config, struct err *err);

/* --- keys.c: a key per case, in an environment of its own ------------------------------------------------------- */

/* Each key has a generation, counted up by every purge: entries name theirs, so that a purge can destroy what was while new
 * entries of the same case are already being made. Keys are stored sealed under the agent's own key (STORE/store.key). */
struct case_keys {
	struct db *db;
	struct db_txn txn;             /* of this turn, begun with the first new key */
	uint8_t own[KEY_SIZE];
};
int case_keys_open(struct case_keys *keys, const char *store_dir, struct err *err);
void case_keys_close(struct case_keys *keys);
/* The newest key of a case, made if there is none; it is durable after case_keys_commit. subject "": what belongs to no case. */
int case_keys_current(struct case_keys *keys, const char *subject, uint32_t *ret_generation, uint8_t ret_key[KEY_SIZE]);
/* A key one generation above the newest. */
int case_keys_next(struct case_keys *keys, const char *subject, uint32_t *ret_generation, uint8_t ret_key[KEY_SIZE]);
/* ERR_ERASED when it has been destroyed. */
int case_keys_get(struct case_keys *keys, const char *subject, uint32_t generation, uint8_t ret_key[KEY_SIZE]);
int case_keys_commit(struct case_keys *keys);    /* before the store's own commit; OK when there is nothing new */
void case_keys_abort(struct case_keys *keys);
/* Forgets the keys of the case up to that generation; they are gone from the file system after case_keys_rewrite. Commits. */
int case_keys_destroy(struct case_keys *keys, const char *subject, uint32_t generation);
/* After it no byte of a destroyed key is left in the environment's file. ERR_UNSYNCED: stop the process. */
int case_keys_rewrite(struct case_keys *keys, struct err *err);

/* --- store.c: the tables and sealed entries --------------------------------------------------------------------- */

enum table {
	TABLE_META,      /* s(name) → bytes: format, last checkpoint */
	TABLE_OUTBOX,    /* q(number) → AgentEntry: handed in, no receipt yet */
	TABLE_SENT,      /* q(number) → AgentEntry: with its receipt */
	TABLE_REFUSED,   /* q(number) → nothing: the entries of SENT with `refused` */
	TABLE_IDS,       /* s(event id) → q(number) */
	TABLE_INBOX,     /* q(sequence) → AgentEntry; an empty value once it was purged: the number is remembered */
	TABLE_OPEN,      /* q(sequence) → b(OPEN_… bits): not done */
	TABLE_CASES,     /* s(subject) b(table) q(number) → nothing: all entries of a case */
	TABLE_LINKS,     /* s(subject) → AgentEntry: our own file number, sealed */
	TABLE_NUMBERS,   /* m(keyed hash of a file number) → subject */
	TABLE_OUT,       /* q(sequence) → file name: to be written into out/ */
	TABLE_EXEC,      /* q(sequence) → AgentWork: to be given to the command */
	TABLE_COPIES,    /* s(subject) q(sequence) → file name in out/ */
	TABLE_FILES,     /* m(hash of name and content) → AgentFile: files that the spool has begun */
	TABLE_PURGES,    /* s(subject) → AgentPurge */
	TABLE_LOST,      /* s(subject) s(publisher) s(event id) → q(number in INBOX): came under a sequence that the broker has lost */
	TABLE_COUNT,
};
enum { OPEN_URGENT = 1, OPEN_OVERDUE = 2 };  /* OVERDUE: the broker's word that something of ours was not received */
#define STORE_FORMAT 1
struct store {
	struct db *db;
	struct case_keys keys;
};
/* Makes STORE/ if missing. ERR_BUSY, ERR_CORRUPT, ERR_IO, ERR_INVALID (another format, agency, or store.key) with what to do. */
int store_open(struct store *store, const char *dir, int64_t size_max, const char *agency, struct err *err);
void store_close(struct store *store);
int store_meta_put(struct db_txn *txn, const char *name, const void *bytes, size_t n);
int store_meta_get(struct db_txn *txn, const char *name, struct db_value *ret_value);

/* Where an entry lies: what its seal is bound to. */
struct place {
	enum table table;
	uint64_t number;
	const char *subject;
};
/* Seals `message` under the newest key of place.subject and puts it with the clear part *entry (subject, generation and sealed
 * are set here); adds it to TABLE_CASES. In the turn's transaction, with the turn's memory. */
int entry_put(struct agent *agent, const struct place *place, Reentry__AgentEntry *entry, const void *message);
/* The clear part; ERR_NOTFOUND (also of a purged one), ERR_CORRUPT. Memory from arena. */
int entry_get(struct db_txn *txn, enum table table, uint64_t number, struct arena *arena, Reentry__AgentEntry **ret_entry);
int entry_read(struct db_value value, struct arena *arena, Reentry__AgentEntry **ret_entry);
/* The sealed message. ERR_ERASED, ERR_CORRUPT (also when the seal does not hold), ERR_NOMEM. */
int entry_open(struct agent *agent, const struct place *place, const Reentry__AgentEntry *entry, struct arena *arena, void *ret_message);
/* Writes the clear part again (done_at …) without touching the seal. */
int entry_update(struct db_txn *txn, const struct place *place, const Reentry__AgentEntry *entry);
int entry_delete(struct db_txn *txn, const struct place *place);

/* --- turn.c: one sync for all that a turn of the loop changed --------------------------------------------------- */

/* result: of the commit. Only when it is OK may anybody be told. */
typedef void turn_effect_fn(struct agent *agent, void *context, uint64_t n, int result);
struct turn_effect { turn_effect_fn *fn; void *context; uint64_t n; };
struct turn_telling { struct turn_effect *effects; size_t n; struct turn_telling *outer; };
struct turn {
	struct db_txn txn;
	struct arena arena;             /* scratch of the turn; gone at turn_end */
	struct turn_effect *effects; size_t n_effects, room;
	struct turn_telling *telling;   /* effects that are being told now */
};
#define TURN_ARENA_MAX ((size_t)256 << 20)
#define TURN_ARENA_RELIEF ((size_t)16 << 20)   /* a handler that leaves more behind ends the turn early */
int turn_open(struct agent *agent);            /* registers with the loop */
void turn_close(struct agent *agent);          /* what was not committed is lost, as nobody was told of it */
/* The turn's write transaction, begun by the first call. Errors are remembered in it and found at the commit. */
struct db_txn *turn_txn(struct agent *agent);
/* Called in order after the commit, whatever came of it. Without memory: called at once with ERR_NOMEM, and what the turn has written so far and later is not committed. */
void turn_after(struct agent *agent, turn_effect_fn *fn, void *context, uint64_t n);
void turn_forget(struct agent *agent, const void *context);    /* the context dies: its effects are dropped */
/* Commits: new keys first, then the store. ERR_UNSYNCED stops the program. */
int turn_end(struct agent *agent);
void turn_relief(struct agent *agent);         /* at the end of each handler */
/* A read transaction that sees everything up to now (ends the turn first). */
int turn_read(struct agent *agent, struct db_txn *ret_txn);

/* --- outbox.c, outbox_send.c: what the agency hands in, until its receipt is on disk ------------------------------ */

/* A receipt as it is told to whoever handed the event in; borrowed during the call. */
typedef void outbox_told_fn(struct agent *agent, void *context, uint64_t n, const Reentry__Receipt *receipt);
struct outbox_waiter { uint64_t number; outbox_told_fn *fn; void *context; uint64_t n; };
struct outbox {
	uint64_t next;                  /* number of the next entry */
	uint64_t durable;               /* entries up to this one are on disk and may be sent */
	uint64_t turn_first;            /* first entry of this turn; 0: none */
	uint64_t pending, refused;      /* in the tables, for status */
	uint64_t reached;               /* highest sequence in a receipt, about */
	struct outbox_waiter *waiters; size_t first, n_waiters, room;  /* sorted by number, from `first` on */
	/* of this session with the broker */
	uint64_t sent;                  /* highest number sent; 0: none */
	uint64_t flying;                /* sent, and without a receipt */
	int64_t heard_at;               /* monotonic ms of the last receipt, or of the first send */
	uint64_t retry_from;            /* lowest number that the broker was too busy for; 0: none */
	int64_t pause_ms;               /* back-off */
	struct loop_timer pause;        /* set: nothing is sent until it fires */
};
#define OUTBOX_PAUSE_MS 250
#define OUTBOX_PAUSE_MS_MAX 30000
#define OUTBOX_SILENCE_MS 30000        /* without any receipt: what flies is sent again */
#define OUTBOX_WAITERS_MAX ((size_t)1 << 21)
#define OUTBOX_BATCH 512               /* events in one Publish */
#define OUTBOX_EXPIRE_BATCH 1000
#define EVENT_SIZE_MAX ((size_t)65536) /* domain.md 3.1 */
int outbox_open(struct agent *agent, struct err *err);
void outbox_close(struct agent *agent);

struct outbox_put {
	uint64_t number;
	const char *id;                 /* in the turn's arena; NULL if it could not be read */
	const Reentry__Receipt *receipt; /* it was answered for good before: told at once, as a duplicate; in the turn's arena */
};
/* What the id of an event without one is derived from. */
struct outbox_seed { const void *bytes; size_t n; moment when; };
/* Reads and takes in one event in JSON, in this turn. seed NULL: a new random id. An event that waits already, or that the
 * broker took, is not put a second time. ERR_INVALID: it is no event, err names the member. ERR_TOOBIG. ERR_FULL. */
int outbox_hand_in(struct agent *agent, const char *json, size_t n, const struct outbox_seed *seed, struct outbox_put *ret_put, struct err *err);
/* An event of the agent's own making (erasure.executed); id and source set. */
int outbox_put_event(struct agent *agent, const Reentry__Event *event, moment time, struct outbox_put *ret_put);
/* fn is told once: when the receipt is on disk, or when the turn's commit failed (refused, storage-full). Never during this call. */
int outbox_wait(struct agent *agent, uint64_t number, outbox_told_fn *fn, void *context, uint64_t n);
void outbox_forget(struct agent *agent, const void *context);
void outbox_expire(struct agent *agent);                  /* forgets what was sent longer ago than `keep` */
/* Reads the number that a table gives for a key, such as TABLE_IDS. */
bool number_read(struct db_value value, uint64_t *ret_number);
/* The link's side (outbox_send.c). */
void outbox_tell(struct agent *agent, uint64_t number, const Reentry__Receipt *receipt);
void outbox_link_up(struct agent *agent);                 /* a new session: everything without a receipt is sent again */
void outbox_send(struct agent *agent);                    /* as much as window, frame and queue allow */
void outbox_receipts(struct agent *agent, const Reentry__Receipts *receipts);
void outbox_watch(struct agent *agent);                   /* now and then: were receipts lost? */

/* --- inbox.c: what arrives, until somebody has dealt with it ---------------------------------------------------- */

struct inbox {
	uint64_t open;                  /* not done; for status */
	uint64_t last;                  /* highest sequence of the present epoch */
	uint64_t lost;                  /* in TABLE_LOST */
};
int inbox_open(struct agent *agent, struct err *err);
/* Stores what is new, queues it for the adapters, starts the purge it asks for; acknowledges after the commit. */
void inbox_deliver(struct agent *agent, const Reentry__Deliver *deliver);
/* Marks it, and the older versions that it superseded, as dealt with. OK also when it was so already. ERR_NOTFOUND. */
int inbox_done(struct agent *agent, uint64_t sequence);
/* An adapter has been given it, in this turn: what was kept for that alone can go. */
void inbox_passed_on(struct agent *agent, uint64_t sequence);
/* How many that are not done bear that bit. */
size_t inbox_count(struct db_txn *txn, unsigned bit);

/* --- slot.c: which slot an event is a version of, for folding (domain.md 3.3) -------------------------------------- */

enum slot_part {
	FOLD_NONE,
	FOLD_VERSION,                   /* supersedes everything older of its slot */
	FOLD_NOTICE,                    /* about the current version: supersedes older notices */
};
#define SLOT_NAME_SIZE 160
/* Writes "release", "need:HOUSING", "handover:H-1" … data: the payload, or NULL. */
enum slot_part slot_of(const Reentry__Event *event, const void *data, char ret_name[SLOT_NAME_SIZE]);
/* The payload, or NULL if the type is unknown or it does not unpack. */
void *event_payload(const Reentry__Event *event, struct arena *arena);
/* Fields of a payload by name; NULL, MOMENT_NONE (a date: its midnight in UTC) or 0 when it has no such field, or it is not set. */
const char *payload_text(const void *data, const char *field);
moment payload_moment(const void *data, const char *field);
uint32_t payload_number(const void *data, const char *field);
const char *payload_enum(const void *data, const char *field);
const char *outcome_name(Reentry__Outcome__Value result);        /* "accepted" … as receipts say it */

/* --- inbox_list.c: the inbox for people: most urgent first, older versions folded --------------------------------- */

struct inbox_filter {
	bool all;                       /* also what is done and what is superseded */
	const char *subject, *type;     /* NULL: any */
	moment since;                   /* received at or after; MOMENT_NONE: any */
	size_t max;                     /* 0: INBOX_LIST_MAX */
};
struct inbox_line {
	uint64_t sequence;
	const char *subject;
	const Reentry__Delivery *delivery;
	const Reentry__Event *event;
	const void *data;               /* the payload; NULL if it cannot be read */
	bool done, ending, superseded;
	moment received_at, about;      /* about: what it asks attention for (a deadline, a date); MOMENT_NONE */
	enum slot_part part;
	char slot[SLOT_NAME_SIZE];
	size_t folded;                  /* older versions that are not shown */
};
#define INBOX_LIST_MAX ((size_t)10000)
/* Those that are not done (all: every one), newest first; folded and superseded are not filled. */
int inbox_open_lines(struct agent *agent, struct db_txn *txn, const struct inbox_filter *filter, struct arena *arena, struct inbox_line **ret_lines, size_t *ret_n);
/* In the order in which a person would want them. */
int inbox_list(struct agent *agent, struct db_txn *txn, const struct inbox_filter *filter, struct arena *arena, struct inbox_line **ret_lines, size_t *ret_n);
bool inbox_wanted(const struct inbox_filter *filter, const struct inbox_line *line);
int inbox_line_read(struct agent *agent, struct db_txn *txn, uint64_t sequence, struct arena *arena, struct inbox_line *ret_line);
/* One JSON object: the event (design.md 5), then filenumber, done, folded. */
int inbox_line_write(struct agent *agent, struct db_txn *txn, const struct inbox_line *line, struct arena *arena, struct buf *out);

/* --- handover.c: from a handover's name to its case -------------------------------------------------------------- */

struct handover_known { const char *subject; uint32_t offer; };   /* offer 0: not known */
/* Looks through what was received and sent, newest first. ERR_NOTFOUND. */
int handover_lookup(struct agent *agent, struct db_txn *txn, const char *ref, struct arena *arena, struct handover_known *ret_known);

/* --- purge.c: what an agency may not hold any longer ------------------------------------------------------------- */

/* Whether with this message everything of its case must go: the broker says so (domain.md 2), or asks for it (9). */
bool purge_is_due(const Reentry__Delivery *delivery, const Reentry__Event *event);
/* In this turn: deletes the entries of the case and orders the destruction of its key, which follows after the commit. What is
 * still in the outbox is sealed anew. report: erasure.executed is published when it is done; cause: the event that asked. */
int purge_case(struct agent *agent, const char *subject, bool report, const char *cause);
/* Finishes what a crash interrupted. */
int purge_resume(struct agent *agent);

/* --- links.c: our own file number beside a case reference --------------------------------------------------------- */

#define NUMBER_MAX 128
/* number "" removes the link. ERR_INVALID, ERR_EXISTS (another case has that number). */
int links_set(struct agent *agent, const char *subject, const char *number, struct err *err);
int links_remove(struct agent *agent, const char *subject);    /* ERR_NOTFOUND */
/* ERR_NOTFOUND. */
int links_number(struct agent *agent, struct db_txn *txn, const char *subject, struct arena *arena, const char **ret_number);
/* A case reference or one of our numbers → the case reference (what is no number is taken for a reference). */
const char *links_subject(struct agent *agent, struct db_txn *txn, const char *name, struct arena *arena);

/* --- witness.c: the checkpoints of the broker's log (docs/audit.md) -------------------------------------------------- */

struct witness {
	bool has_key;
	struct note_key log;            /* what checkpoints must be signed with */
	char origin[NOTE_NAME_MAX + 1]; /* of the log; "" while it is not known */
	struct tree_head head;          /* the last checkpoint; size 0: none yet */
	uint64_t epoch;                 /* of the log, as this agent goes along with it; 0: not known yet */
	uint64_t horizon;               /* up to which sequence the broker has a backup */
	bool cosigned;                  /* in this session */
	char *new_epoch;                /* a record of a new epoch that the broker showed and nobody has accepted; owned, may be NULL */
};
int witness_open(struct agent *agent, struct err *err);
void witness_close(struct agent *agent);
int witness_key(struct agent *agent, struct err *err);     /* reads agent.log_key again */
/* In this turn: verifies, keeps and cosigns. ERR_DENIED, ERR_INVALID: what the broker shows is not the log that this agency was shown; err says what it is. Nothing is changed then. */
int witness_hear(struct agent *agent, const Reentry__Welcome *welcome, struct err *err);
int witness_take(struct agent *agent, const Reentry__Checkpoint *checkpoint, struct err *err);
void witness_horizon(struct agent *agent, uint64_t horizon);

/* --- epoch.c: the log goes on after its end was lost (lib/epoch.h) ---------------------------------------------------- */

/* The highest sequence that the broker ever gave us in the present epoch, in a receipt or a delivery. */
uint64_t epoch_reached(const struct agent *agent);
/* The broker is in another epoch than we are. OK: nothing that we were shown is lost, or it was accepted; we are in it from now on. ERR_DENIED: our administrator has to accept it. */
int epoch_follow(struct agent *agent, const Reentry__Welcome *welcome, struct err *err);
int epoch_open(struct agent *agent, struct err *err);      /* finishes what a crash interrupted */
/* Our administrator accepts the new epoch that this record begins: what is lost is offered again. ERR_DENIED (not signed by the log, another history), ERR_INVALID, ERR_BUSY. */
int epoch_accept(struct agent *agent, const char *note, struct err *err);
/* In the turn of a delivery under a new sequence: it is an event that came before the loss, and has its new sequence now. ERR_NOTFOUND: it is not. */
int epoch_match(struct agent *agent, const Reentry__Delivery *delivery, const Reentry__Event *event);
/* Whether a backup of the broker's covers what was receipted for this entry of `sent`, or the broker tells of none. */
bool epoch_covered(struct agent *agent, uint64_t number, const Reentry__AgentEntry *entry);
void epoch_forget(struct agent *agent, const char *subject);   /* a purge */
void epoch_show(struct agent *agent, const char *note);        /* keeps a record that waits for acceptance, for status */
void epoch_status(const struct agent *agent, struct buf *out);

/* --- link.c: the conversation with the broker (proto/wire.proto) -------------------------------------------------- */

enum link_state { LINK_DOWN, LINK_HELLO, LINK_UP };
struct link {
	struct wire *wire;
	struct wire_client *client;     /* NULL while a long pause lasts */
	enum link_state state;
	moment since;                   /* of the state */
	char reason[512];               /* why it is not up, for people */
	bool alarm;                     /* it is not up because the log is not the one that we were shown */
	size_t endpoint;                /* index in config.agent.broker */
	unsigned failures;              /* in a row, at this endpoint */
	uint64_t session;
	/* as the broker's Welcome said */
	uint32_t window, frame_max, heartbeat_ms;
	char broker[64];
	int64_t heard_at;               /* monotonic ms of the last frame */
	uint64_t pings;
	struct loop_timer beat, retry;
	struct arena arena;             /* of one frame */
	uint64_t *acks; size_t n_acks, acks_room;
};
#define LINK_REFUSED_MS 60000          /* pause after the broker said that it will not have us */
#define LINK_HELD_MS 5000              /* while its operator is at work */
#define LINK_BEAT_MS 10000             /* until the broker says how often */
#define LINK_SILENT_BEATS 3
#define LINK_FRAME_MAX ((int64_t)4 << 20)
int link_open(struct agent *agent, struct err *err);
void link_close(struct agent *agent);
/* Packs and sends one frame. ERR_CLOSED when there is no session, ERR_AGAIN when the queue is full. */
int link_send(struct agent *agent, const Reentry__Frame *frame);
void link_ack(struct agent *agent, uint64_t sequence);    /* goes out after the commit of this turn */
bool link_up(const struct agent *agent);
void link_leave(struct agent *agent);
void link_reload(struct agent *agent, const char *why);   /* other endpoints or keys: connects anew */
const char *link_state_name(const struct agent *agent);   /* "up", "connecting", "down" */

/* --- request.c, query.c, publish.c, answers.c: the control socket ------------------------------------------------- */

/* A request that is being answered. Reply lines that a slow reader has no room for wait in `backlog`. */
struct request {
	struct agent *agent;
	struct control_call *call;      /* NULL: the reader has gone; nobody may touch the request but its owner */
	struct request *next;
	struct buf backlog;             /* lines, each with its newline */
	size_t backlog_taken;
	const char *end_code;           /* with `ended`: sent when the backlog is empty; NULL: ok */
	char end_detail[512];
	bool ended;
	struct loop_timer timer;
	void (*gone)(struct request *); /* frees what `data` is; may be NULL */
	void (*roomy)(struct request *); /* the backlog is empty again; may be NULL */
	void *data;
	struct inbox_filter follow;     /* inbox --follow */
	bool following;
};
#define REQUEST_BACKLOG_MAX ((size_t)64 << 20)
#define REQUEST_LINES_MAX 4096      /* events in one publish, sequences in one done */
struct requests {
	struct control *control;
	struct request *first;
	uint64_t last_query;
};
int requests_open(struct agent *agent, struct err *err);
void requests_close(struct agent *agent);
void requests_answer(struct agent *agent, const Reentry__Answer *answer);   /* of a query that was passed on */
void requests_link_down(struct agent *agent);                               /* queries that wait for an answer end */
void requests_arrived(struct agent *agent, uint64_t sequence);              /* inbox --follow */

/* A request's members: where they may stand, in a table per kind of request. */
struct request_input { const struct json_member *members; size_t n; };
typedef void request_fn(struct request *request, const struct request_input *input, struct arena *arena);
const char *input_text(const struct request_input *input, const char *name);           /* NULL if missing or no text */
bool input_flag(const struct request_input *input, const char *name);
int64_t input_number(const struct request_input *input, const char *name, int64_t fallback);
const struct json_value *input_list(const struct request_input *input, const char *name); /* NULL */

/* One reply line, without newline. */
void request_line(struct request *request, const char *line, size_t n);
void request_buf(struct request *request, struct buf *line);   /* the same; ends with an error if the buffer has one; clears it */
/* Ends the reply: code NULL is ok. The request is gone afterwards, or as soon as the reader has taken what waits. */
void request_end(struct request *request, const char *code, const char *detail);
request_fn request_publish;         /* publish.c */
request_fn request_query;           /* query.c */
request_fn request_inbox, request_done, request_status, request_link, request_resolve, request_handover, request_receipts, request_retry, request_accept_epoch; /* answers.c */

/* --- adapters/: the agency's own systems ---------------------------------------------------------------------------- */

struct spool;
int spool_open(struct agent *agent, struct err *err);          /* OK without `spool` in the configuration */
void spool_close(struct agent *agent);
/* In the turn in which it arrived: a copy of it is owed. */
void spool_queue(struct agent *agent, const Reentry__Delivery *delivery, const Reentry__Event *event);
void spool_settle(struct agent *agent);                        /* nothing is being written when it returns */
void spool_purge(struct agent *agent, const char *subject);    /* deletes the copies in out/ */
void spool_status(struct agent *agent, struct buf *out);       /* ",\"spool\":{…}", or nothing */
struct exec;
int exec_open(struct agent *agent, struct err *err);
void exec_close(struct agent *agent);
bool exec_busy(const struct agent *agent);                     /* a command is running */
void exec_queue(struct agent *agent, uint64_t sequence, const char *subject);
int exec_retry(struct agent *agent, uint64_t sequence);        /* one that was given up; ERR_NOTFOUND */
void exec_done(struct agent *agent, uint64_t sequence);        /* a person has dealt with one that was given up */
void exec_status(struct agent *agent, struct buf *out);

/* --- agent.c ---------------------------------------------------------------------------------------------------------- */

struct agent {
	const char *config_path;
	struct arena config_arena;
	struct agent_config config;
	struct loop *loop;
	struct clock clock;
	moment started;
	struct store store;
	struct turn turn;
	struct outbox outbox;
	struct inbox inbox;
	struct witness witness;
	struct link link;
	struct requests requests;
	struct spool *spool;
	struct exec *exec;
	struct loop_timer housekeeping, watchdog;
	int exit_code;
};
/* Opens the store and everything above it, but for link and control when `offline` (unit tests). */
int agent_open(struct agent *agent, const char *config_path, bool offline, struct err *err);
void agent_close(struct agent *agent);
int agent_run(struct agent *agent);
/* Reads the file again and applies what can change while running; the old values stay if it does not read. */
void agent_reload(struct agent *agent);
/* Durability is lost: says so and ends the process without telling anybody anything more. */
void agent_die(struct agent *agent, const char *what, const char *why) __attribute__((noreturn));

#endif
