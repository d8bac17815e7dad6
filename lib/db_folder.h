/* The folder that a store lives in: what may hold one, who has it open, and whether there was a store before. Private to lib/db.c. */
#ifndef LIB_DB_FOLDER_H
#define LIB_DB_FOLDER_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/err.h"

#define DB_FILE "data.mdb"
#define DB_FILE_PART "data.mdb.part"   /* a copy, or a new store, that is not complete */
#define DB_LOCK "lock.mdb"             /* LMDB's own: its table of readers */
#define DB_OWNER "owner.lock"          /* "pid N made M": locked (F_OFD_SETLK) while open; M is 1 once the store was completely made */

struct db_folder {
	char *path;                    /* owned */
	int fd, owner_fd;              /* -1: none */
	bool read_only, was_made;
	bool empty;                    /* there is no file, or one without a byte, and none is missing: db_folder_open */
};

/* Opens (and, unless read_only, makes) the folder and locks it: exclusively, or shared when read_only. Removes an incomplete copy. ERR_BUSY, ERR_INVALID (network file system),
 * ERR_CORRUPT (a store was here and its file is gone or empty), ERR_NOTFOUND, ERR_DENIED, ERR_IO. On failure *folder needs db_folder_release all the same. */
int db_folder_open(struct db_folder *folder, const char *path, bool read_only, struct err *err);
/* The store's file is complete: remembers that on disk. sync: false for a store that is not to last. */
int db_folder_made(struct db_folder *folder, bool sync, struct err *err);
void db_folder_release(struct db_folder *folder);
/* Bytes that this process may still write there; 0 when that cannot be found out. */
uint64_t db_folder_free_bytes(const struct db_folder *folder);

/* Whether a small file can no longer be written there: found out by trying. (Free bytes may be told where none can be had: ext4 keeps some for itself.) */
bool db_folder_is_full(const struct db_folder *folder);

/* The same for a folder that a copy is made in, without lock. */
int db_folder_make(const char *path, struct err *err);
int db_folder_sync(const char *path);  /* OK or ERR_IO, errno set */

#endif
