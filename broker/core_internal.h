/* Inside the core, one section per file, in the order in which a turn meets them. core.h is the contract. */
#ifndef BROKER_CORE_INTERNAL_H
#define BROKER_CORE_INTERNAL_H

#include "broker/core.h"
#include "lib/crypt.h"
#include "lib/db.h"
#include "lib/tree.h"

/* Numbers in values of the tables: big-endian, as in keys. */
static inline void put64(uint8_t *bytes, uint64_t n)
{
	for (int i = 0; i < 8; i++)
		bytes[i] = (uint8_t)(n >> (56 - 8 * i));
}

static inline uint64_t get64(const uint8_t *bytes)
{
	uint64_t n = 0;

	for (int i = 0; i < 8; i++)
		n = n << 8 | bytes[i];
	return n;
}

/* Tables of the store; docs/durability.md tells key and value of each. */
enum { T_LOG, T_TREE, T_META, T_IDS, T_AGENCIES, T_CASES, T_DUE, T_QUEUE, T_RELATED, T_CHECKPOINTS, T_ERASURES, T_COUNT };
extern const char *const core_tables[];  /* their names, NULL-terminated */
enum { K_KEYS, K_ERASED };
extern const char *const key_tables[];   /* of the key environment: keys; what was erased (core_epoch.c) */
#define STORE_FORMAT 3            /* of what lies in these tables; formats 1 and 2 become it with their first turn, any other is refused at open */
#define BEHIND_TABLES (1u << T_TREE | 1u << T_IDS | 1u << T_QUEUE) /* written behind the log (core_behind.c) */

#define CASE_BUCKETS 2048         /* of the turn's table of touched cases */
#define KEY_SETS 16384            /* of opened case keys kept in memory, … */
#define KEY_WAYS 8                /* … so many cases in each */
#define AGENCY_SLOTS 16384        /* of the hash from agency id to number; a power of two, at least twice AGENCY_MAX */
#define AGENCY_MAX 8192           /* that ever took part */
#define EVENT_MAX ((size_t)64 << 10)
#define DAMAGED_MAX 1024          /* cases that are known to be unreadable; beyond it the turn fails that meets one */
#define BEHIND_MAX 65536          /* records behind the log at which case states begin to be written (core_options.behind_max) */
#define MERGED_DEPTH_MAX 64       /* references that lead to one another by merges */
#define EVENT_MEMORY_MAX ((size_t)1 << 20) /* that unpacking one event may take */
#define TREE_TIERS 11             /* of the tree's tiles: TREE_LEVELS / 6, rounded up */
#define TURN_ARENA_MAX ((size_t)512 << 20)
#define TURN_ARENA_SOFT ((size_t)64 << 20) /* from here on the turn should end */
#define QUEUE_WALK_MAX 10000000   /* queue entries of one agency that a withdrawal looks through */

/* A case that this turn has touched. */
struct loaded {
	struct loaded *next_in_bucket, *next;
	const char *ref;
	Reentry__CaseState *state;    /* NULL: there is none (yet) */
	bool erased;                  /* in this turn */
	bool dirty, fresh, written;   /* fresh: opened by this turn, or since the table was written; written: to the table, by this turn */
	struct held *held; uint64_t held_drops; /* core_delta.c */
	bool flushed;                 /* its state is the turn's last one */
	uint8_t *packed; size_t packed_n; /* at the end of the turn, if anybody needs it */
	moment due;                   /* as the due table has it; MOMENT_NONE */
	struct related *related; size_t n_related; /* as the related table has it */
	struct relations relations;   /* as the state is */
};

/* Nodes of a tier of the tree that this turn has completed, in order. */
struct tier_nodes { uint8_t (*hashes)[HASH_SIZE]; size_t n, room; };

/* The last checkpoint: the size it is over, and the position and time of its record. size 0: none yet. */
struct issued { uint64_t size, position; moment at; };

struct agency_entry { char id[33]; bool touched; };

struct core {
	struct db *db, *keys;
	char *dir;                    /* of the store */
	uint64_t behind_max;
	bool shadow;                  /* a rebuild in progress: keys borrowed, nothing is new */
	struct core *live; struct db_txn *live_txn; /* shadow: where the log is */
	struct broker_config *past;   /* shadow: the policy that the log was at, when it is not the live one */
	const struct policy *policy;
	const char *policy_text;
	uint8_t master[KEY_SIZE], body_key[KEY_SIZE], hash_key[KEY_SIZE], id_key[KEY_SIZE]; /* the latter three derived: records without a case; fingerprints; de-duplication */
	uint8_t signing_seed[KEY_SIZE]; bool signs;

	uint64_t last, epoch;         /* last position appended */
	char *epoch_note, *new_note;  /* the record that began the epoch; that of this turn */
	char *held; uint64_t left;    /* why the log is held, and how much of it is left */
	bool hold_unwritten;          /* not on disk yet */
	uint64_t horizon;             /* a backup covers it up to here */
	uint64_t committed;           /* up to here it is on disk: only that is told to anybody */
	uint64_t handed;              /* and up to here it counts in memory, where a turn that is given up goes back to; behind `committed` while a commit is on its way */
	struct tree tree, tree_committed; /* over what is appended, and over what counts */
	struct issued issued, issued_committed;
	moment recorded_at;           /* of the last record */
	uint64_t clock_jumps;
	char (*damaged)[65]; size_t n_damaged; /* cases whose state cannot be read */
	bool full, config_current;
	struct broker_config *decided; /* the policy on the record, while it is not core->policy and somebody needs it */

	struct delta *delta;          /* states newer than the cases table; NULL: shadow */
	uint64_t written;             /* BEHIND_TABLES are complete in the file up to this position */
	bool settle, settles;         /* they are to be written by this turn, and are */
	struct buf listed; size_t listed_committed; /* cases with records behind `written` */
	int format;                   /* of the store as it is; 0: it has none yet */
	uint64_t hashed;              /* ids of records from here on have the hash of format 3 */

	/* the turn */
	struct sealer *sealer;        /* core_seal.c; NULL: all is sealed at once */
	struct arena arena, other_arena; /* the latter has what the turn before said, until the next one is handed over */
	struct db_txn txn, key_txn;
	bool in_turn, in_key_txn;
	bool direct;                  /* the next turn is not to be staged */
	bool flushed;                 /* core_flush has been called */
	bool low_known, low;          /* only acknowledgements, audits and the like may still be written */
	moment now;
	struct loaded *buckets[CASE_BUCKETS], *cases;

	struct tier_nodes tiers[TREE_TIERS];
	struct agency_entry *agencies; size_t n_agencies, n_agencies_committed;
	uint16_t agency_slots[AGENCY_SLOTS]; /* number + 1 */
	uint16_t *touched; size_t n_touched;
	uint16_t *told; size_t n_told; /* those of the last turn that counts */
	const char **told_ids;
	struct key_set *key_sets[KEY_SETS]; /* core_keys.c */
	const struct case_keys *keys_last; char keys_of[65]; /* whose keys were asked for last; empty: nobody's */
	struct recent *recent;        /* core_recent.c; NULL: nothing is kept */
	char (*new_keys)[65]; size_t n_new_keys; /* refs whose keys this turn made, to forget on rollback */
};

/* --- core.c ------------------------------------------------------------------------------------------------------------------- */
int projections_load(struct core *core); /* memory follows the tables: at open, when they have been replaced, when what is in memory does not count */
/* A core that only reads, for verification: nothing is looked at but the format. Without a master key, or without the key environment, core->keys is NULL. */
int core_open_to_read(const struct core_options *options, const struct policy *policy, const char *policy_text, struct core **ret_core, struct err *err);

/* --- core_keys.c --------------------------------------------------------------------------------------------------------- */
/* The key of a case and class; made (in the turn's key transaction) if make, else ERR_ERASED when there is none. Borrowed until the next call. */
int keys_get(struct core *core, const char *ref, Reentry__Class__Value class, bool make, const uint8_t **ret_key);
int keys_commit(struct core *core);
bool keys_exist(struct core *core, const char *ref);          /* between turns */
/* Between turns: deletes the keys of these cases and rewrites the key file without them; may be repeated. ERR_UNSYNCED: stop the process. */
int keys_destroy(struct core *core, const char *const *refs, size_t n, struct err *err);
void keys_rollback(struct core *core);
void keys_forget(struct core *core);                          /* wipes and frees what is opened */

/* --- core_log.c ------------------------------------------------------------------------------------------------------------ */
/* Appends one record: fills position, time and epoch into the header, seals the body. class 0: under the broker's own key. */
struct seal_job { uint8_t key[KEY_SIZE]; const uint8_t *body; size_t body_n, header_n; uint8_t *value; uint64_t position; uint8_t leaf[HASH_SIZE]; }; /* value: header and prefix are in it, and it has room for the rest */
void log_seal(struct seal_job *job); /* any thread */
int log_append(struct core *core, Reentry__Header *header, const void *body, size_t body_n);
/* What is in Header.commitment, and the salt in it: whoever is given the salt of a record and its opened body can check the one against the other, and learns of no other record. */
void log_salt(const uint8_t key[KEY_SIZE], uint64_t position, uint8_t ret_salt[KEY_SIZE]);
void log_commitment(const uint8_t salt[KEY_SIZE], const void *body, size_t body_n, uint8_t ret_commitment[HASH_SIZE]);
/* The parts of a stored record, borrowed from its value, and its header in the arena. */
struct log_parts { const Reentry__Header *header; const uint8_t *leaf, *header_bytes, *sealed; size_t header_n, sealed_n; };
/* Takes a value of T_LOG apart and checks its hash; the header stays packed (NULL). ERR_CORRUPT. */
int log_take(const struct db_value *value, struct log_parts *ret_parts);
/* The same, its header unpacked and its place checked. */
int log_parse(const struct db_value *value, uint64_t position, struct arena *arena, struct log_parts *ret_parts);
struct log_sealed { const uint8_t *bytes; size_t n; const uint8_t *header; size_t header_n; }; /* as stored; authenticated with its header */
int log_unseal(const uint8_t key[KEY_SIZE], const struct log_sealed *it, struct arena *arena, const uint8_t **ret_body, size_t *ret_n); /* ERR_CORRUPT */
/* Opens the body, and unpacks it. ERR_ERASED: header filled, body NULL. */
int log_open(struct core *core, const struct log_parts *parts, struct arena *arena, struct core_record *ret_record);
/* The key that a record's body is sealed under. Borrowed as in keys_get. */
int log_key(struct core *core, const Reentry__Header *header, bool make, const uint8_t **ret_key);
/* Reads and checks one; txn: read or write. The parts are borrowed from the arena. */
int log_read(struct core *core, struct db_txn *txn, uint64_t position, struct arena *arena, struct core_record *ret_record);
int log_header(struct db_txn *txn, uint64_t position, struct arena *arena, Reentry__Header **ret_header); /* alone; checked, and not opened */
int log_leaf(struct db_txn *txn, uint64_t position, uint8_t ret_hash[HASH_SIZE]); /* as stored, not checked */
int log_last(struct core *core);                              /* at open: core->last, core->recorded_at */

/* --- core_seal.c ----------------------------------------------------------------------------------------------------------- */
int seals_open(struct core *core);
void seals_close(struct core *core);
struct seal_job *seals_room(struct core *core);               /* for a record of this turn; NULL: it is to be sealed at once */
void seals_publish(struct core *core);                        /* that one is filled in */
void seals_wait(struct core *core);                           /* until all of this turn can be read: before a record of it is read by other than log_read */
int seals_collect(struct core *core);                         /* the same, and their leaf hashes are in the tree */
void seals_drop(struct core *core);                           /* the turn is given up */

/* --- core_tree.c ----------------------------------------------------------------------------------------------------------- */
/* At open: the right edge of what is written, O(log n), and the leaves behind it, up to `last`. */
int nodes_load(struct core *core, uint64_t last);
int nodes_add(struct core *core, const uint8_t leaf[HASH_SIZE]); /* with every record */
int nodes_flush(struct core *core);                           /* once a turn: what is complete now, sorted */
void nodes_commit(struct core *core);
void nodes_rollback(struct core *core);
void nodes_release(struct core *core);
struct tree_store nodes_stored(struct db_txn *txn);           /* nodes of what is committed (or flushed, in the write transaction) */
uint64_t nodes_count(uint64_t size, unsigned tier);           /* nodes of that tier in a tree of that size */
size_t nodes_tile_size(uint64_t size, unsigned tier, uint64_t tile); /* bytes of that tile in a tree of that size; 0: there is none */

/* --- core_checkpoint.c ------------------------------------------------------------------------------------------------------- */
int checkpoints_load(struct core *core);                      /* at open */
/* What a CHECKPOINT record puts into the table, live and in a rebuild. */
int checkpoint_project(struct core *core, uint64_t position, moment at, const char *note);
int checkpoint_now(struct core *core, struct arena *arena, const char **ret_note); /* in a turn, however little was added */
int checkpoint_find(struct db_txn *txn, uint64_t size, struct arena *arena, struct issued *ret_issued, const char **ret_note);
int checkpoint_row(const struct db_value *key, const struct db_value *value, struct arena *arena, struct issued *ret_issued, const char **ret_note); /* ERR_CORRUPT */
bool checkpoint_signed_by(const char *note, const struct note_key *key);

/* --- core_policy.c ------------------------------------------------------------------------------------------------------- */
/* The policy that the newest records were decided under: between core_set_policy (or an open) and the next turn that is another one than core->policy. */
int policy_on_record(struct core *core, struct db_txn *txn, const struct policy **ret_policy);
int policy_record(struct core *core);                          /* a CONFIG record, if the effective configuration is not the last one recorded */
int policy_recorded_at(struct db_txn *txn, uint64_t *ret_position); /* of the last CONFIG record; 0: there is none */
int policy_mark(struct core *core, const void *text, size_t n, uint64_t position); /* that this is what the last CONFIG record says, and where it is */
int policy_apply(struct core *core);                           /* the index of relations under core->policy; before the turn loads any case */

/* --- core_agency.c ------------------------------------------------------------------------------------------------------------ */
int agencies_load(struct core *core);
int agency_number(struct core *core, const char *id, bool make, uint16_t *ret_number); /* ERR_NOTFOUND */
void agency_touch(struct core *core, uint16_t number);
void agencies_rollback(struct core *core);
void agency_tell(struct core *core, uint16_t number); /* it is to be asked again about its queue when the commit on its way has arrived */

/* --- core_case.c ---------------------------------------------------------------------------------------------------------------- */
int case_load(struct core *core, const char *ref, struct loaded **ret_case);
int cases_flush(struct core *core);
int case_pack(struct core *core, struct loaded *it);          /* once; it does not change any more */
/* The case cannot be read: it is noted, and left alone from now on. ERR_CORRUPT when too many are. */
int case_damaged(struct core *core, const char *ref);
bool case_is_damaged(const struct core *core, const char *ref);
/* In the place of a state that cannot be folded, so that an older one does not pass for it. */
int case_store_damaged(struct core *core, const char *ref);
int related_put(struct core *core, const char *agency, const char *ref, uint32_t relations); /* 0: none any more */
struct loaded *case_touched(struct core *core, const char *ref);   /* in this turn, or NULL */
int case_stored(struct core *core, struct db_txn *txn, const char *ref, struct arena *arena, Reentry__CaseState **ret_state); /* as the table has it */
int case_store(struct core *core, const char *ref, const uint8_t *packed, size_t n);
int case_read(struct core *core, struct db_txn *txn, const char *ref, struct arena *arena, Reentry__CaseState **ret_state);

/* --- core_behind.c -------------------------------------------------------------------------------------------------------------- */
/* there: the store says so; otherwise it is of format 1, in which nothing but the case states was behind. */
struct behind_mark { uint64_t written, applied; bool there; };
int behind_read(struct db_txn *txn, uint64_t last, struct behind_mark *ret_mark); /* ERR_CORRUPT */
struct behind_case { uint64_t last; bool fresh; const char *ref; };
/* The cases that the records from + 1 … to are about; whole: it matches its hash, otherwise only `to` counts. */
struct behind_cases { uint64_t from, to; bool whole; const uint8_t *at, *end; };
bool behind_next(struct behind_cases *list, struct behind_case *ret_case);
typedef int behind_tell(void *context, struct behind_cases *list);
int behind_lists(struct db_txn *txn, behind_tell *tell, void *context); /* oldest first; ends with what is not OK */
int behind_list(struct core *core, const struct behind_case *it); /* with each turn: a case that it has given a record */
int behind_flush(struct core *core);
void behind_commit(struct core *core);
void behind_rollback(struct core *core);
int behind_open(struct core *core);                           /* at open, after delta_open: what the records behind `written` did */
int record_index(struct core *core, const struct core_record *record, const char *broker_id); /* of an EVENT record into queue and ids */
int acked_index(struct core *core, const Reentry__Header *header);

/* --- core_delta.c ---------------------------------------------------------------------------------------------------------------- */
int delta_open(struct core *core);                            /* at open: stubs of what is newer than the table, up to `written` */
int delta_stub(struct core *core, const struct behind_case *it);
bool delta_applied(const struct core *core, uint64_t *ret_applied); /* as of this turn; whether that is news */
void delta_close(struct core *core);
int delta_read(struct core *core, struct db_txn *txn, const char *ref, struct arena *arena, Reentry__CaseState **ret_state); /* ERR_NOTFOUND: read the table */
int delta_load(struct core *core, struct loaded *it);         /* the same, for the turn */
int delta_flush(struct core *core, bool all);                 /* within a turn, after its states are packed; all: the table is complete afterwards */
int delta_commit(struct core *core);
void delta_rollback(struct core *core);
void delta_forget(struct core *core, const char *ref);        /* an erased case */
int delta_settle(struct core *core);                          /* between turns: the table is complete, nothing is held */
bool delta_comes_again(struct core *core, struct loaded *it); /* so soon that it is kept unpacked */
bool delta_is_newer(const struct core *core, const char *ref); /* than the table */
uint64_t delta_fresh(const struct core *core);                /* cases that the table does not have yet */

/* --- core_epoch.c ---------------------------------------------------------------------------------------------------------------- */
int epoch_load(struct core *core);                            /* at open */
void epoch_release(struct core *core);
int epoch_project(struct core *core, const char *note);       /* what an EPOCH record does, live and in a rebuild */
int erased_keep(struct core *core, struct db_txn *txn, const char *ref); /* in the transaction of the key environment that deletes its keys */
int erased_check(struct core *core, const struct db_value *key, const struct db_value *value); /* whether it opens */

/* --- core_forget.c ---------------------------------------------------------------------------------------------------------------- */
struct erasure { uint64_t ordered, confirmed, executed; };    /* positions; 0: not yet */
int erasure_get(struct db_txn *txn, const char *ref, struct erasure *ret_erasure); /* ERR_NOTFOUND */
int erasure_put(struct core *core, const char *ref, const struct erasure *erasure);
bool erasure_is_known(struct db_txn *txn, const char *ref);   /* confirmed */
bool tombstone_is(const struct db_value *value);              /* of the cases table */
int tombstone_get(struct db_txn *txn, const char *ref, uint64_t *ret_last); /* ERR_NOTFOUND: the case is not erased */
int tombstone_put(struct core *core, const char *ref, uint64_t last); /* last: the case's last record */
struct erase_names { const char **items; size_t n; };
int erase_name(struct arena *arena, struct erase_names *names, size_t max, const char *name); /* a copy, once; NULL, and more than max, are passed over */
/* All that is derived from the case goes. told: who was ever given something, or gave it; NULL in a rebuild. */
int forget_case(struct core *core, const char *ref, struct erase_names *told);

/* --- core_erase.c ---------------------------------------------------------------------------------------------------------------- */
/* What an ERASE record does, live and in a rebuild. told: as for forget_case. */
int erase_project(struct core *core, const Reentry__Header *header, const Reentry__AuditRecord *audit, struct erase_names *told);
/* In a turn: order and confirmation as they were given before the end of the log was lost. */
int erase_repeat(struct core *core, const char *ref, const Reentry__ErasedCase *kept);
/* What an EVENT record does that came after the erasure of its case; index: the part of it that is behind the log. */
int erased_event_index(struct core *core, const Reentry__Header *header, Reentry__EventRecord *event);
int erased_event_project(struct core *core, const Reentry__Header *header, Reentry__EventRecord *event);
/* An agency reports that it has destroyed what it had of an erased case. ERR_NOTFOUND: it is nothing of the kind. */
int erase_reported(struct core *core, const struct rules_input *input, uint64_t *ret_position);

/* --- core_queue.c ----------------------------------------------------------------------------------------------------------------- */
#define QUEUE_WATCH 1
struct queued { uint8_t flags; const char *ref; };
/* What a record does to the queues: drops for `ended` and `stopped`, then its own routes. */
int queue_project(struct core *core, const struct rules_record *record, const char *ref);
int queue_take(struct core *core, uint16_t number, uint64_t position, struct queued *ret_queued);  /* deletes; ERR_NOTFOUND */

/* --- core_deliver.c --------------------------------------------------------------------------------------------------------------- */
Reentry__Route *route_of(const struct rules_record *record, const char *agency); /* of an EVENT; NULL: there is none */
bool delivery_ends(const struct rules_record *record, const char *agency);       /* with this the agency's last relation ends */
/* An EVENT as one receiver may see it; borrows from the record and the policy. ERR_NOTFOUND: nothing of it. */
int delivery_make(const struct policy *policy, const struct core_record *record, const Reentry__Route *route, struct arena *arena, Reentry__Delivery **ret_delivery);
/* What the queue's entry says is delivered: of item the sequence is given. ERR_NOTFOUND: nothing may be shown of it, or not now. ERR_AGAIN: not before the commit on its way has arrived. */
int deliver_one(struct core *core, struct db_txn *txn, uint16_t number, const char *ref, struct arena *arena, struct core_delivery *item);

/* --- core_recent.c ------------------------------------------------------------------------------------------------------------------- */
#define RECENT_RECEIVERS 3        /* of a record from the log that is worth keeping */
/* Keeps what the receivers of an EVENT may see of it. Failing is no failure: it is read from the log then. */
void recent_keep(struct core *core, const struct core_record *record, struct arena *arena);
/* False: it is not kept for that receiver. *ret_packed NULL: the receiver may see nothing of it. Borrowed until the next recent_keep. */
bool recent_find(const struct core *core, uint64_t position, uint16_t number, const uint8_t **ret_packed, size_t *ret_n);
void recent_rollback(struct core *core); /* before core->last goes back */
void recent_forget(struct core *core);   /* all of it, overwritten: a key is destroyed, the policy changes, the end */

/* --- core_ids.c ---------------------------------------------------------------------------------------------------------------------- */
int ids_load(struct core *core);                              /* at open, when the format is known */
int ids_mark(struct core *core);                              /* in the turn that makes a store one of this format */
int ids_put(struct core *core, const char *agency, const char *id, const uint8_t *content, size_t n, uint64_t position, Reentry__Outcome__Value outcome);
/* OK: seen before, same content. ERR_EXISTS: other content. ERR_NOTFOUND: new. */
int ids_find(struct core *core, const char *agency, const char *id, const uint8_t *content, size_t n, uint64_t *ret_position);

/* --- core_turn.c -------------------------------------------------------------------------------------------------------------------- */
/* OK, or ERR_FULL: what is not marked for the head-room (lib/db.h) must wait. */
int turn_room(struct core *core);

/* --- core_rebuild.c ------------------------------------------------------------------------------------------------------------------- */
/* At open, before anything but the log is looked at: does a replacement of the projections that was interrupted again. */
int rebuild_resume(struct core *core);
/* A core whose projections are folded from the log of another, in scratch space beside it. Close it with shadow_close, also after an error. */
int shadow_fold(struct core *live, struct core **ret_shadow, struct err *err);
void shadow_close(struct core *shadow);

/* --- core_compare.c ------------------------------------------------------------------------------------------------------------------- */
int compare_cores(struct core *live, struct core *again, struct arena *arena, const char **ret_difference);
#endif
