/* LMDB behind a transaction that remembers its first error, so that callers are straight lines (the idea is Knot DNS's knot_lmdb).
 * lmdb.h is included in db.c only. One process opens an environment. Sync modes are never weakened (no WRITEMAP, NOSYNC, NOMETASYNC,
 * MAPASYNC, no DUPSORT), except that `volatile_store` allows NOSYNC for rehearsals in a memory file system.
 * One thread, except that a read transaction may be used by another thread as long as it is used by one at a time. What each failure means: docs/durability.md. */
#ifndef LIB_DB_H
#define LIB_DB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/err.h"

struct db;                          /* an environment with its named tables */
struct db_value { const void *bytes; size_t n; };

#define DB_TABLES_MAX 32
#define DB_KEY_MAX 480
#define DB_LAYERS_MAX 2             /* of what is in memory over a table */
#define DB_READERS_MAX 256          /* read transactions at one time; one more is ERR_AGAIN */

struct db_options {
	size_t size_max;            /* of the sparse map, bytes */
	size_t reserve;             /* ordinary writes fail with ERR_FULL while fewer bytes than this are free in map or file system */
	bool read_only;
	bool volatile_store;        /* rehearsal: no sync */
	/* read_only: several may read, none while one writes; needs no right to write in the folder; all tables must be there, or as many of the first as `needed` says; size_max 0 takes the store's own */
	size_t needed;              /* read_only: 0 means all; db_has tells of the others */
	const char *const *tables;  /* NULL-terminated names; opened (and made) at db_open; the index is the table number */
	uint32_t behind;            /* write-behind tables, a bit for each (see below) */
};
/* Opens (making the folder 0700 if missing). Refuses: network file systems (NFS, CIFS, FUSE, 9p: fstatfs), a folder that another process has open (lock file beside it, F_OFD_SETLK),
 * a map that is damaged, cut short, or gone where one was (ERR_CORRUPT). Messages say what to do. ERR_BUSY, ERR_DENIED, ERR_IO, ERR_INVALID, ERR_NOMEM, ERR_FULL. */
int db_open(const char *dir, const struct db_options *options, struct db **ret_db, struct err *err);
bool db_has(const struct db *db, int table); /* false: a table that is not needed is not there; do not read it */
void db_close(struct db *db);       /* takes; every transaction must have ended; NULL is allowed */
/* Closes as a kill -9 would: nothing is flushed that was not committed. For rehearsal and crash tests. Ends a running write transaction (its later calls return ERR_CLOSED). */
void db_abandon(struct db *db);

struct db_txn {
	struct db *db;
	void *txn;                  /* MDB_txn *; NULL when not begun */
	int error;                  /* first error; every later call returns it and does nothing */
	bool write, reserve;        /* reserve: may use the head-room (acknowledgements, admin); set it after db_begin, before the first put */
	bool staged;                /* begun by db_begin_staged */
	bool settled;               /* private: what was behind is in this transaction */
	bool measured;              /* private: room is known */
	uint64_t room;              /* private: bytes that an ordinary transaction may still put */
};
/* Both fill *txn, also on failure: the calls that follow then return the same error. db_begin: one write transaction at a time, in one thread (else ERR_BUSY);
 * ERR_UNSYNCED for ever after a commit that returned it. The struct must not move until the transaction has ended. */
int db_begin(struct db *db, struct db_txn *txn);
int db_begin_read(struct db *db, struct db_txn *txn);
/* Commits and syncs; the transaction has ended, whatever is returned. ERR_FULL: nothing happened, the store can go on. ERR_UNSYNCED: a write or sync failed, or it is not
 * known whether the commit is on disk: the process must stop (nothing can be written any more, and perhaps nothing read). An error that an earlier call returned: nothing happened. For a read transaction: ends it. */
int db_commit(struct db_txn *txn);
/* Whether an ordinary write would be refused now for lack of room (options.reserve). Cheap: one statvfs. For a caller whose transaction mixes what may use the head-room with what may not. */
bool db_low(struct db *db);
void db_abort(struct db_txn *txn);                      /* safe when not begun or already ended */
int db_renew(struct db_txn *txn);                       /* a read transaction: let go of the old snapshot, take a new one; values borrowed before are gone, cursors must be closed before */

/* Keys have 1 to DB_KEY_MAX bytes; others are ERR_INVALID and remembered, so that the 0 of a db_key that did not fit is never taken for "all".
 * Errors that are remembered: ERR_INVALID, ERR_FULL, ERR_NOMEM, ERR_TOOBIG (one transaction changed too many pages), ERR_CORRUPT, ERR_UNSYNCED, ERR_CLOSED. None of these calls allocates, but for LMDB's pages.
 * OK or ERR_NOTFOUND (which is not remembered as an error). The value is borrowed until the transaction ends or, in a write transaction, until the next put or delete. */
int db_get(struct db_txn *txn, int table, const void *key, size_t key_n, struct db_value *ret_value);
int db_put(struct db_txn *txn, int table, const void *key, size_t key_n, const void *value, size_t n);
/* Reserves n bytes for the caller to fill before the next call. */
int db_put_room(struct db_txn *txn, int table, const void *key, size_t key_n, size_t n, void **ret_room);
int db_put_new(struct db_txn *txn, int table, const void *key, size_t key_n, const void *value, size_t n); /* the caller knows that the table has no such key: deleting it again costs nothing */
int db_append(struct db_txn *txn, int table, const void *key, size_t key_n, const void *value, size_t n); /* key after all others (MDB_APPEND); falls back to put */
int db_del(struct db_txn *txn, int table, const void *key, size_t key_n);   /* ERR_NOTFOUND is not remembered */
int db_count(struct db_txn *txn, int table, uint64_t *ret_n);
int db_clear(struct db_txn *txn, int table);            /* empties a table (rebuild) */
int db_last(struct db_txn *txn, int table, struct db_value *ret_key, struct db_value *ret_value); /* ERR_NOTFOUND when empty */

/* Walks keys in order. Borrowed key/value as in db_get; deleting the current pair during a walk is allowed through db_cursor_del (then the value is gone and db_next gives the
 * pair behind it), and so are other changes. Close it before its transaction ends. Errors end the walk and are remembered in the transaction: look at txn->error, or let db_commit tell. */
struct db_cursor {
	void *cursor; struct db_txn *txn; int table; struct db_value key, value; uint8_t prefix[DB_KEY_MAX]; size_t prefix_n; bool started;
	struct { void *list; const void *node; uint64_t changes; bool here; } layers[DB_LAYERS_MAX]; /* private, as what follows: what is in memory, the newest first */
	struct db_value below_key, below_value; unsigned n_layers; bool below, in_file;
};
int db_cursor_open(struct db_txn *txn, int table, struct db_cursor *cursor);
void db_cursor_close(struct db_cursor *cursor);
/* Positions at the first key >= key; next calls move on. Returns true while there is a pair whose key begins with the prefix (the first prefix_n bytes of key).
 * key NULL: the first pair of the table, no prefix. An empty key that is not NULL is ERR_INVALID (see db_get). After a false, seek again before moving. */
bool db_seek(struct db_cursor *cursor, const void *key, size_t key_n, size_t prefix_n);
bool db_seek_last(struct db_cursor *cursor, const void *prefix, size_t prefix_n);   /* positions at the last pair with that prefix; NULL: of the table */
bool db_next(struct db_cursor *cursor);
bool db_prev(struct db_cursor *cursor);
int db_cursor_del(struct db_cursor *cursor);
/* for every pair whose key begins with the n bytes at prefix: DB_FOREACH(&cursor, &txn, TABLE, prefix, n) { … } (closes itself at the end; call db_cursor_close on break) */
#define DB_FOREACH(cursor, txn, table, prefix, n) \
	for (bool more_ = db_cursor_open((txn), (table), (cursor)) == 0 && db_seek((cursor), (prefix), (n), (n)); more_ || (db_cursor_close(cursor), false); more_ = db_next(cursor))

/* Write-behind tables (db_options.behind). What is put and deleted there stays in memory and belongs to the transaction as all else: gone with db_abort, kept with db_commit. But it is on disk only after a
 * commit before which db_settle was called: until then it is for whoever opened the store to make it again (docs/durability.md). So a page is copied once for many turns, and what was put and deleted between two
 * settlings was never written. All calls above and below work on such a table as on another one, except that: read transactions see what is in memory as it is at the moment, not as it was when they began;
 * walks go forwards only; db_clear is ERR_INVALID while something of the table is in memory, and db_append then puts there, else into the file; and a read transaction may change such tables too, while nobody writes: db_commit keeps it. */
int db_settle(struct db_txn *txn); /* writes what is in memory into the transaction, in order; the last thing before db_commit: a later change of such a table is ERR_INVALID */
size_t db_behind(const struct db *db); /* bytes of memory that is not on its way */

/* Staged transactions: write transactions whose changes stay in memory until their commit, so that the next one can be made while the one before is being written and synced. All calls above work as in a
 * write transaction, except that walks over what is in memory go forwards only, db_clear is ERR_INVALID, that there is no room in the map is told by the commit, and values that were borrowed stay until the
 * transaction ends or their own pair changes. They see what the one before has changed as soon as its commit has begun, and so do read transactions that begin then: whoever must not tell what is not on disk
 * yet asks after db_commit_wait. Errors as db_begin. */
int db_begin_staged(struct db *db, struct db_txn *txn);
/* Whether the commit of this transaction may be begun without waiting: it is staged, and nothing of it failed. */
bool db_may_fly(const struct db_txn *txn);
/* Begins the commit in another thread; the transaction has ended, its changes are on their way. The one before must have arrived. An error: nothing happened, nothing is on its way. ERR_BUSY, ERR_INVALID, ERR_NOMEM, ERR_IO. */
int db_commit_begin(struct db_txn *txn);
bool db_commit_done(const struct db *db);               /* true: db_commit_wait will not wait */
int db_commit_fd(struct db *db, int *ret_fd);           /* readable while a commit has arrived that nobody has waited for yet. Borrowed. Makes the thread. ERR_NOMEM */
/* Waits for it, and tells how long it took: OK, or as db_commit. After an error that is not ERR_UNSYNCED nothing of it is in the file, while write-behind tables have it in memory: db_forget_behind, and make them again. OK when none is on its way. */
int db_commit_wait(struct db *db, uint64_t *ret_ns);
void db_forget_behind(struct db *db);                   /* no transaction may be running */

/* Keys: composed, big-endian, so that memcmp order is the order of the parts. format: 'b' uint8_t, 'h' uint16_t, 'w' uint32_t, 'q' uint64_t, 't' int64_t moment
 * (sign flipped), 's' string (NUL-terminated in the key: a shorter one sorts first, and prefixes are exact), 'm' bytes+size_t (last). Returns the length; 0 if it does not fit. */
size_t db_key(uint8_t key[DB_KEY_MAX], const char *format, ...);

/* used: bytes of pages that hold data; free_bytes: what can still be written, head-room included (map, file system and free pages taken together); readers: running read
 * transactions, oldest_reader_lag: how many commits the oldest of them is behind (it keeps every page freed since). Walks the list of free pages. */
struct db_info { uint64_t used, size_max, free_bytes; unsigned readers; uint64_t oldest_reader_lag; };
int db_info(struct db *db, struct db_info *ret_info);
int db_reader_check(struct db *db);                              /* frees the slots of dead readers: at start and each minute */
/* A consistent compact copy of the live environment (backup), synced: DIR/data.mdb appears when it is complete. Makes DIR (0700) if missing; ERR_EXISTS when one is there.
 * Reads one snapshot from begin to end; may run in another thread, blocks its caller. Copied pair by pair: bytes of deleted pairs are not in it. */
int db_copy(struct db *db, const char *dir, struct err *err);
/* Replaces the store's file by such a copy, so that no byte of a deleted pair is left in it (LMDB's free pages and page gaps keep them, and its own compact copy copies the gaps). No transaction may be
 * running. Either the old file or the new one is there after a crash. An error before the exchange leaves all as it was; ERR_UNSYNCED: stop the process. */
int db_rewrite(struct db *db, struct err *err);
/* The name of the network (or user-space) file system with that statfs f_type, or NULL for others: what db_open refuses. */
const char *db_network_file_system(uint64_t type);

#endif
