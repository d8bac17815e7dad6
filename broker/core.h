/* The broker's core: the log, everything folded from it, and the rules; no sockets, no clock of its own. The daemon (session.c …), `reentry rehearse`
 * and the simulation drive the same functions.
 *
 * One turn:  core_begin → any number of core_publish / core_acked / core_delivered / core_fire / core_audit → core_commit → only then are receipts told
 * and core_deliveries read. All of a turn is one LMDB write transaction and one sync (plus one of the key environment before it, when a case is new).
 * Nothing that a turn decided may be shown to anybody before core_commit returned OK. One thread. */
#ifndef BROKER_CORE_H
#define BROKER_CORE_H

#include <stdbool.h>

#include "lib/arena.h"
#include "lib/clock.h"
#include "lib/err.h"
#include "lib/note.h"
#include "lib/tree.h"
#include "proto/wire.pb-c.h"
#include "rules/policy.h"
#include "rules/rules.h"

struct core;

struct core_options {
	const char *dir;             /* of the store; keys in <dir>/../keys-… or `keys_dir`: an environment of its own */
	const char *keys_dir;
	size_t size_max, reserve;    /* bytes (lib/db.h) */
	bool volatile_store;         /* rehearsal: no sync */
	uint64_t behind_max;         /* records that the case states in the store may be behind the log; 0: the default */
	const uint8_t *master_key;   /* KEY_SIZE; wraps the case keys */
	bool beside;                 /* turns with many records are sealed by a second thread, too */
	const uint8_t *signing_seed; /* KEY_SIZE; signs checkpoints; may be NULL (no checkpoints) */
};

/* Opens or makes the store; reads what it needs in time that does not grow with the log. policy: borrowed until core_set_policy or core_close.
 * Appends nothing; the first core_begin of a store, or one after a change of the effective policy, appends a CONFIG record. policy_text: the effective configuration, for that record. */
int core_open(const struct core_options *options, const struct policy *policy, const char *policy_text, struct core **ret_core, struct err *err);
void core_close(struct core *core);
void core_abandon(struct core *core);                       /* as a kill -9: what was not committed is gone */
void core_set_policy(struct core *core, const struct policy *policy, const char *policy_text);  /* between turns */

int core_begin(struct core *core, moment now);              /* recorded_at of the turn: the later of now and the last one (an earlier now is counted: core_status) */
/* The same, but what a turn changes goes into the store's transaction at once, so that what the store refuses is refused to the one who asked for it, and not at the commit to all. Slower. No commit may be on its way. */
int core_begin_direct(struct core *core, moment now);
/* All of the turn into what will be written; the last step that may fail for a reason of its own. core_commit does it, too. Afterwards: core_commit, core_commit_begin or core_rollback. */
int core_flush(struct core *core);
/* OK: everything of the turn is on disk. ERR_FULL: nothing happened, every receipt of the turn becomes refused/storage-full (the caller's to tell). ERR_UNSYNCED: stop the process. Others: nothing happened. */
int core_commit(struct core *core);
void core_rollback(struct core *core);
/* A commit beside the next turn, which is most of a turn's time on a disk:  core_begin A … core_flush, core_commit_begin,  core_begin B … core_flush, core_commit_wait (A is on disk: its receipts are told),
 * core_commit_begin (B) or core_commit. B builds on A; both are written in order; nothing of A is told before core_commit_wait returned OK, and nothing else is asked of the core meanwhile but core_deliveries_packed,
 * which gives what is on disk and hangs on nothing else; that only between the turns. core_may_fly: whether a flushed turn's commit may be begun so (not where a whole table is written); if not, core_commit. An error of core_commit_begin: nothing happened. */
bool core_may_fly(const struct core *core);
int core_commit_begin(struct core *core);
bool core_commit_done(const struct core *core);             /* core_commit_wait will not wait */
int core_commit_fd(struct core *core, int *ret_fd);         /* readable when core_commit_wait will not wait. Borrowed until core_close. ERR_NOMEM */
/* OK also when none is on its way. ret_us: how long it took, without what we were late. ERR_UNSYNCED: stop the process. Others: nothing of that turn happened, a turn that was begun since is rolled back, and the core has read its state from the disk again. */
int core_commit_wait(struct core *core, uint64_t *ret_us);
/* The turn has used so much memory that it should take nothing more: an operation that finds none left fails with ERR_NOMEM, and all of the turn with it. */
bool core_crowded(const struct core *core);

struct core_receipt {
	Reentry__Outcome__Value result;
	uint64_t sequence;           /* 0: none */
	const char *code;            /* literal or NULL */
	const char *id;              /* of the event; "" if it could not be read; in the turn's arena, until the next core_begin */
	const char *detail;          /* NULL if empty */
};
/* Takes in one event as it came (content: a packed Event; time: when the agency logged it). Unpacks with bounds, checks form, size (64 KiB), duplicate / id-conflict, then rules_publish.
 * Every outcome is a receipt; the return value is not OK only where the turn cannot go on (ERR_FULL, ERR_CORRUPT, ERR_NOMEM …). */
int core_publish(struct core *core, const struct agency *agency, const uint8_t *content, size_t n, moment time, struct core_receipt *ret_receipt);
/* Something that could not even be read as an event (a bad JSON line in a rehearsal, an oversized item): recorded as refused. code: a literal. */
int core_refuse(struct core *core, const struct agency *agency, const char *id, const char *code, const char *detail, struct core_receipt *ret_receipt);

/* The agency's agent has these on disk. Unknown or repeated sequences are ignored. One ACKED record for those that were outstanding. */
int core_acked(struct core *core, const char *agency, const uint64_t *sequences, size_t n);
/* These were handed to the agency's connection since the last turn: one DELIVERED record. */
int core_delivered(struct core *core, const char *agency, const uint64_t *sequences, size_t n);
/* Fires every timer due at or before the turn's now. max: cases at most in this call (the loop goes on in the next turn); ret_more: there are more. */
int core_fire(struct core *core, size_t max, bool *ret_more);
moment core_next_due(struct core *core);                    /* MOMENT_NONE: nothing armed */
/* Agency gets a snapshot of each of its current cases (operator's word): of at most max in this turn, beginning after `after` ("": the first). more: call again in the next turn. n is counted up. */
struct core_resend { const char *agency; char after[65]; size_t n; bool more; };
int core_resend_cases(struct core *core, struct core_resend *resend, size_t max);
/* Appends REPLAY, DENIED or ADMIN. */
int core_audit(struct core *core, Reentry__RecordKind__Value kind, const Reentry__AuditRecord *body, const char *subject);

/* --- reading; between turns -------------------------------------------------------------------------------------------- */

struct core_delivery {
	uint64_t sequence;
	const uint8_t *packed; size_t packed_n; /* a Delivery as the receiver may see it, in the caller's arena; the number of the attempt is left to be added */
	const Reentry__Delivery *delivery;   /* unpacked: core_deliveries alone */
	size_t size;                         /* that it counts for */
};
/* What is queued for the agency with sequence > after, in order, at most max_n and about max_bytes. */
int core_deliveries_packed(struct core *core, const char *agency, uint64_t after, size_t max_n, size_t max_bytes, struct arena *arena, struct core_delivery **ret_items, size_t *ret_n);
int core_deliveries(struct core *core, const char *agency, uint64_t after, size_t max_n, size_t max_bytes, struct arena *arena, struct core_delivery **ret_items, size_t *ret_n);
/* Agencies for which the last committed turn queued something new (borrowed until the next commit). */
int core_touched(struct core *core, const char *const **ret_agencies, size_t *ret_n);

struct core_queue { const char *agency; uint64_t n, oldest_sequence; moment oldest_at; };
int core_queues(struct core *core, struct arena *arena, struct core_queue **ret_queues, size_t *ret_n);
/* The next max deadlines of all cases, earliest first. */
struct core_timer { const char *subject, *kind, *ref; moment due; uint64_t n; };
int core_timers(struct core *core, size_t max, struct arena *arena, struct core_timer **ret_timers, size_t *ret_n);
struct core_status { uint64_t last_sequence, epoch, cases, map_used, map_max, clock_jumps; moment last_recorded_at; bool full; size_t damaged; };
/* damaged: cases that were found to be unreadable since the start. Events on them are answered `busy`, their deadlines and deliveries wait, nobody else is held up; core_rebuild (or a restore) gives them back. */
int core_status(struct core *core, struct core_status *ret_status);
size_t core_damaged(const struct core *core);               /* core_status.damaged, for asking after each turn */

/* A case's state, decrypted, in the arena. ERR_NOTFOUND, ERR_ERASED. */
int core_case(struct core *core, const char *subject, struct arena *arena, Reentry__CaseState **ret_state);
/* Cases the agency has a relation to, in order of reference, after `after` (NULL: from the start), at most max. */
int core_cases_of(struct core *core, const char *agency, const char *after, size_t max, struct arena *arena, const char ***ret_subjects, size_t *ret_n);
/* One record by position: header and, if it can be opened, body. OK, ERR_NOTFOUND, ERR_CORRUPT (hash does not match: never served), ERR_ERASED (header filled, body NULL). */
struct core_record { const Reentry__Header *header; struct rules_record record; const void *body; size_t body_n; };
int core_record(struct core *core, uint64_t position, struct arena *arena, struct core_record *ret_record);
/* A case's records as the agency may see them, newest first, at most max: the timeline. Walks the chain of Header.previous. */
int core_timeline(struct core *core, const char *subject, const struct agency *asking, size_t max, struct arena *arena, Reentry__Delivery ***ret_items, size_t *ret_n);

/* --- erasure (domain.md 9; docs/audit.md): an order by one operator, a confirmation by another --------------------------------------- */

/* In a turn. who: an operator ("uid:1000"); purpose: on what ground, at most 500 characters (to confirm: NULL is that of the order). A failure must be followed by core_rollback; the caller records it as DENIED in another turn.
 * ERR_INVALID, ERR_NOTFOUND (no such case, no such order), ERR_EXISTS (ordered or erased already), ERR_DENIED (confirmed by who ordered it).
 * order: nothing but the record. confirm: in the same transaction everything derived from the case goes, and all who were given something are told (erasure.due); cases merged with it likewise. */
int core_erase_order(struct core *core, const char *subject, const char *who, const char *purpose, struct err *err);
int core_erase_confirm(struct core *core, const char *subject, const char *who, const char *purpose, struct err *err);
int core_erase_withdraw(struct core *core, const char *subject, const char *who, const char *purpose, struct err *err);
/* Between turns. Destroys the keys of what is confirmed and not yet executed (or whose key came back from a backup), rewrites the key file, and records it in a turn of its own. To be called after the
 * commit of a confirmation, and after core_open before anything else is served. ret_n: how many. ERR_UNSYNCED: stop the process; other errors: tried again at the next call. */
int core_erase_run(struct core *core, moment now, size_t *ret_n, struct err *err);
/* Between turns. ERR_NOTFOUND: nothing was ordered. Positions are 0 where it has not come to that; last: the case's newest record, once it is confirmed (the chain of Header.previous goes on from there). */
struct core_erasure { uint64_t ordered, confirmed, executed, last; const char *order, *ordered_by, *confirmed_by; };
int core_erasure(struct core *core, const char *subject, struct arena *arena, struct core_erasure *ret_erasure);

/* --- proofs; between turns. Sizes and positions are committed ones, else ERR_NOTFOUND; made of stored nodes, O(log n) ------ */

/* The root that the tree over the log had at that size (records). */
int core_root(struct core *core, uint64_t size, struct tree_head *ret_head);
/* That the log of new_size begins with the log of old_size. ERR_INVALID unless old_size <= new_size. */
int core_consistency(struct core *core, uint64_t old_size, uint64_t new_size, struct tree_proof *ret_proof);
/* That the record at `position` (leaf position − 1) is in the log of that size. ERR_INVALID unless 1 <= position <= size. */
int core_inclusion(struct core *core, uint64_t position, uint64_t size, struct tree_proof *ret_proof);

/* --- checkpoints: signed notes over the committed tree (docs/audit.md) ----------------------------------------------------- */

/* The log's name, and that of the key that signs for it: urn:nld:oin:<OIN of the broker>:systeem:<its id>. */
void core_origin(const struct core *core, char ret_origin[NOTE_NAME_MAX + 1]);
/* Whether the log has grown by more than the record of the last checkpoint, and that one is `interval` ms old. */
bool core_checkpoint_due(const struct core *core, moment now, int64_t interval);
/* In a turn. Signs the log as it was committed before this turn, and appends the CHECKPOINT record. *ret_note (in the arena) may be told once core_commit has returned OK.
 * Where nothing has been added since the last one, that one again and no record. ERR_DENIED: the core has no signing seed. ERR_NOTFOUND: the log is empty. */
int core_checkpoint(struct core *core, struct arena *arena, const char **ret_note);
/* Between turns: the last one, with the cosignatures that have come in; the latest that all these witnesses have cosigned. ERR_NOTFOUND. */
int core_checkpoint_last(struct core *core, struct arena *arena, uint64_t *ret_size, const char **ret_note);
int core_checkpoint_cosigned(struct core *core, const struct note_key *witnesses, size_t n, struct arena *arena, uint64_t *ret_size, const char **ret_note);
/* In a turn: an agent's cosignature (a Cosign frame). key: kind NOTE_COSIGNATURE, named by the agency's id, with the public signing key of the connection's key pair. Not on the record, but kept with
 * the checkpoint. OK also when it had signed before. ERR_INVALID (no such note), ERR_DENIED (the signature does not hold), ERR_NOTFOUND (no such checkpoint is kept). */
int core_cosign(struct core *core, const struct note_key *key, const char *note, size_t n, struct err *err);

/* --- rebuild (design.md 1) ------------------------------------------------------------------------------------------------ */

/* Folds the whole log again into fresh projections. compare: into scratch space, and ret_difference tells the first difference to the live ones (NULL: equal) without changing anything;
 * otherwise replaces them (interrupted, the next core_open does it again). Each record is evolved under the policy that was on the record at its position. Nothing compared
 * derives from ciphertext or nonces. Needs scratch space beside the store, about as much as the store without its log. */
int core_rebuild(struct core *core, bool compare, struct arena *arena, const char **ret_difference, struct err *err);
/* A copy of the log's environment (the keys are not in it), or of the key environment. core_backup may run in another thread while turns go on. */
int core_backup(struct core *core, const char *dir, struct err *err);
int core_backup_keys(struct core *core, const char *dir, struct err *err);
/* Between turns: there is a backup of everything up to that sequence. */
int core_backed_up(struct core *core, uint64_t sequence);
uint64_t core_horizon(const struct core *core);             /* that sequence, of the last one; 0: none */

/* --- the end of the log was lost: a restore, a roll-back (docs/durability.md) ------------------------------------------------ */

#define CORE_LEFT_UNKNOWN UINT64_MAX
/* Why the log is held, or NULL. While it is, the daemon takes in, delivers and fires nothing; the core itself refuses no call. */
const char *core_held(const struct core *core);
/* Holds it from now on, over restarts. On an error it is held all the same, until the next start unless a further call succeeds. ERR_BUSY: within a turn nothing is written: call again after it. */
int core_hold(struct core *core, const char *why);
/* A copy of a store that nobody has open is held when it is opened. ret_left: its records. */
int core_mark_restored(const char *dir, uint64_t *ret_left, struct err *err);
/* Between turns. Ends the hold: appends the signed EPOCH record, erases again what the key environment knows to have been erased (call core_erase_run afterwards), and issues a checkpoint, in one turn.
 * left: how much of the log is as the agencies know it; CORE_LEFT_UNKNOWN: as the hold says. ERR_INVALID (not held, no reason, left), ERR_DENIED (no signing key). */
struct core_new_epoch { const char *reason, *who; uint64_t left; };
int core_epoch(struct core *core, moment now, const struct core_new_epoch *wanted, struct arena *arena, struct err *err);
const char *core_epoch_note(const struct core *core);       /* the record that began the present epoch; NULL: the log has had one only. Borrowed until the next core_epoch */

#endif
