/* An environment and what db.c needs to know of it. Private to lib/db*.c. */
#ifndef LIB_DB_ENV_H
#define LIB_DB_ENV_H

#include "lib/db.h"
#include "lib/db_behind.h"
#include "lib/db_folder.h"

struct db {
	struct MDB_env *env;        /* NULL after a db_rewrite that could not open what it had made */
	unsigned tables[DB_TABLES_MAX]; /* MDB_dbi */
	char *names[DB_TABLES_MAX]; /* owned */
	size_t n_tables, needed, size_max, reserve, page_size;
	struct db_folder folder;
	struct db_txn *writer;      /* the running write transaction */
	struct behind *behind;      /* what write-behind tables have in memory; NULL: there are none */
	struct behind *settling;    /* what of that is on its way to the file; NULL: nothing */
	struct behind *settled;     /* an empty one, to take turns with it */
	uint32_t behind_tables;     /* a bit for each of them */
	struct db_txn *changer;     /* whose changes in memory are not kept yet */
	struct behind *stage;       /* what the running staged transaction has changed; NULL or empty: nothing */
	struct behind *flight;      /* what a staged one had changed whose commit is on its way; NULL: none is */
	struct behind *spare;       /* the other one of the two, empty */
	struct MDB_txn *snapshot;   /* that staged transactions read; at rest between them */
	struct db_committer *committer; /* db_stage.c; NULL until the first commit that is not waited for */
	int readers;                /* running read transactions; changed atomically, for those in other threads */
	bool read_only, volatile_store;
	bool unsynced;              /* a commit failed in a way that leaves its fate open: no more writing */
};

/* db.c: the first error of a transaction, remembered; what MDB_NOTFOUND and MDB_SUCCESS say is none. */
int db_remember(struct db_txn *txn, int rc);
int db_fail(struct db_txn *txn, int code);
int db_unusable(const struct db_txn *txn);
int db_change_behind(struct db_txn *txn); /* before a change in memory: OK, or it may not */
void db_end_behind(struct db_txn *txn, bool counts);
int db_commit_error(struct db *db, int rc); /* what it means that mdb_txn_commit failed */
static inline bool db_is_behind(const struct db_txn *txn, int table) { return (txn->db->behind_tables >> table & 1) != 0; }

/* db_stage.c: what lies in memory over a table of the file, the newest first. */
struct db_layers { struct behind *items[DB_LAYERS_MAX]; unsigned n; };
struct db_layers db_layers_of(const struct db_txn *txn, int table);
struct behind *db_target_of(const struct db_txn *txn, int table); /* where changes go; NULL: to the file */
int db_write_table(struct MDB_txn *txn, unsigned dbi, const struct behind *from, int table); /* what is in memory, in the order of the keys; LMDB's code */
void db_stage_end(struct db_txn *txn);      /* what was staged is forgotten, and the snapshot let go */
int db_stage_commit(struct db_txn *txn);    /* and waits; in every case the transaction has ended */
void db_stage_release(struct db *db);       /* waits for what is on its way */
void db_snapshot_release(struct db *db);    /* before the environment is closed */

/* The code of lib/err.h for what LMDB returned. */
int db_code(const struct db *db, int rc);
/* Bytes that can still be written; counts free pages only as far as needed to know whether there are `enough`. */
uint64_t db_free_bytes(struct db *db, uint64_t enough);

#endif
