#include "lib/db_env.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define COPY_BATCH_BYTES ((size_t)16 << 20)
#define PATH_ROOM 4096

/* --- errors ---------------------------------------------------------------------------------------------------- */

static const struct { int from, to; } codes[] = {
	{ MDB_SUCCESS, OK },
	{ MDB_NOTFOUND, ERR_NOTFOUND },
	{ MDB_KEYEXIST, ERR_EXISTS },
	{ MDB_MAP_FULL, ERR_FULL },
	{ ENOSPC, ERR_FULL },
	{ EDQUOT, ERR_FULL },
	{ ENOMEM, ERR_NOMEM },
	{ MDB_TXN_FULL, ERR_TOOBIG },
	{ MDB_READERS_FULL, ERR_AGAIN },
	{ MDB_BAD_VALSIZE, ERR_INVALID },
	{ EINVAL, ERR_INVALID },
	{ EACCES, ERR_DENIED },
	{ EIO, ERR_UNSYNCED },
	{ MDB_PANIC, ERR_UNSYNCED },
	{ MDB_INVALID, ERR_CORRUPT },
	{ MDB_CORRUPTED, ERR_CORRUPT },
	{ MDB_PAGE_NOTFOUND, ERR_CORRUPT },
	{ MDB_CURSOR_FULL, ERR_CORRUPT },
	{ MDB_VERSION_MISMATCH, ERR_CORRUPT },
	{ MDB_INCOMPATIBLE, ERR_CORRUPT },
};

int db_code(const struct db *db, int rc)
{
	/* LMDB turns a write that was cut short, which only a full disk does, into EIO. Should a disk that is full have failed as well, nothing is lost: no meta page points at the pages of
	 * that transaction, and the next one writes all of its own. */
	if (rc == EIO && db_folder_is_full(&db->folder))
		return ERR_FULL;
	for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
		if (codes[i].from == rc)
			return codes[i].to;
	return ERR_IO;
}

/* --- room ------------------------------------------------------------------------------------------------------ */

struct reader_scan { size_t last, oldest; unsigned n; };

static int scan_reader(const char *line, void *context)
{
	struct reader_scan *scan = context;
	const char *last = strrchr(line, ' '); /* "<pid> <thread> <txnid>\n" */
	char *end;
	size_t at;

	at = last == NULL ? 0 : strtoull(last + 1, &end, 10);
	if (last == NULL || end == last + 1 || *end != '\n')
		return 0; /* the title, or a slot that reads nothing now */
	scan->n++;
	if (at < scan->oldest)
		scan->oldest = at;
	return 0;
}

static struct reader_scan scan_readers(struct db *db)
{
	struct reader_scan scan = { 0 };
	MDB_envinfo info;

	(void)mdb_env_info(db->env, &info); /* fails only without its arguments */
	scan.last = scan.oldest = info.me_last_txnid;
	(void)mdb_reader_list(db->env, scan_reader, &scan); /* the callback never fails */
	return scan;
}

/* Adds up the pages that LMDB keeps as free, until there are `enough`: all, or those that no reader holds back. from: only those from that page number on. */
static int count_free_pages(struct db *db, size_t before_txn, size_t from, uint64_t enough, uint64_t *ret_pages)
{
	MDB_txn *txn;
	MDB_cursor *cursor;
	MDB_val key, data;
	uint64_t pages = 0;
	int rc = mdb_txn_begin(db->env, NULL, MDB_RDONLY, &txn);

	if (rc != 0)
		return rc;
	rc = mdb_cursor_open(txn, 0, &cursor); /* table 0 is the list of free pages */
	if (rc == 0) {
		while (pages < enough && (rc = mdb_cursor_get(cursor, &key, &data, MDB_NEXT)) == 0) {
			const size_t *list = data.mv_data; /* a count, then page numbers; aligned by LMDB */
			size_t at;

			if (key.mv_size != sizeof at || data.mv_size < sizeof *list || data.mv_size / sizeof *list - 1 < list[0]) {
				rc = MDB_CORRUPTED;
				break;
			}
			memcpy(&at, key.mv_data, sizeof at);
			if (at >= before_txn)
				break;
			for (size_t i = 1; from > 0 && i <= list[0]; i++)
				pages += list[i] >= from;
			if (from == 0)
				pages += list[0];
		}
		mdb_cursor_close(cursor);
	}
	mdb_txn_abort(txn);
	*ret_pages = pages;
	return rc == MDB_NOTFOUND ? 0 : rc;
}

/* Bytes that can still be written; counts free pages only as far as needed to know whether there are `enough`. */
uint64_t db_free_bytes(struct db *db, uint64_t enough)
{
	MDB_envinfo info;
	uint64_t used, bytes, on_disk, pages = 0;

	(void)mdb_env_info(db->env, &info); /* fails only without its arguments */
	used = (info.me_last_pgno + 1) * db->page_size;
	bytes = info.me_mapsize > used ? info.me_mapsize - used : 0;
	on_disk = db_folder_free_bytes(&db->folder);
	if (on_disk < bytes)
		bytes = on_disk;
	if (bytes >= enough)
		return bytes;
	if (count_free_pages(db, scan_readers(db).oldest, 0, (enough - bytes) / db->page_size + 1, &pages) != 0)
		return bytes; /* what cannot be counted is not there */
	return bytes + pages * db->page_size;
}

bool db_low(struct db *db)
{
	return db->env == NULL || db_free_bytes(db, db->reserve) < db->reserve;
}

int db_info(struct db *db, struct db_info *ret_info)
{
	struct reader_scan scan;
	MDB_envinfo info;
	uint64_t pages;
	int rc;

	if (db->env == NULL)
		return ERR_CLOSED;
	scan = scan_readers(db);
	rc = count_free_pages(db, SIZE_MAX, 0, UINT64_MAX, &pages);
	if (rc != 0)
		return db_code(db, rc);
	(void)mdb_env_info(db->env, &info); /* fails only without its arguments */
	*ret_info = (struct db_info){
		.used = (info.me_last_pgno + 1 - pages) * db->page_size,
		.size_max = info.me_mapsize,
		.free_bytes = db_free_bytes(db, UINT64_MAX),
		.readers = scan.n,
		.oldest_reader_lag = scan.last - scan.oldest,
	};
	return OK;
}

int db_reader_check(struct db *db)
{
	int rc;

	if (db->env == NULL)
		return ERR_CLOSED;
	rc = mdb_reader_check(db->env, NULL);
	return rc == 0 ? OK : db_code(db, rc);
}

/* --- open and close -------------------------------------------------------------------------------------------- */

static int tell(const struct db *db, int rc, struct err *err, const char *what)
{
	int code = db_code(db, rc);

	if (code == ERR_CORRUPT)
		return err_set(err, code, "%s %s: %s; the store is damaged: restore a backup", what, db->folder.path, mdb_strerror(rc));
	return err_set(err, code, "%s %s: %s", what, db->folder.path, mdb_strerror(rc));
}

/* Without TLS read transactions belong to no thread; without a lock file reading leaves nothing behind, and DB_OWNER keeps writers out. */
static unsigned env_flags(const struct db *db)
{
	unsigned flags = MDB_NOTLS;

	if (db->read_only)
		flags |= MDB_RDONLY | MDB_NOLOCK;
	if (db->volatile_store)
		flags |= MDB_NOSYNC;
	return flags;
}

static int open_env(const char *path, size_t size_max, unsigned flags, MDB_env **ret_env)
{
	MDB_env *env;
	int rc = mdb_env_create(&env);

	if (rc != 0)
		return rc;
	rc = mdb_env_set_maxdbs(env, DB_TABLES_MAX);
	if (rc == 0)
		rc = mdb_env_set_maxreaders(env, DB_READERS_MAX);
	if (rc == 0 && size_max > 0)
		rc = mdb_env_set_mapsize(env, size_max);
	if (rc == 0)
		rc = mdb_env_open(env, path, flags, 0600);
	if (rc == 0)
		*ret_env = env;
	else
		mdb_env_close(env);
	return rc;
}

/* Pages behind the end of the file end the process when they are touched. LMDB leaves pages unwritten only when they were already free again. */
static int check_length(struct db *db, struct err *err)
{
	MDB_envinfo info;
	struct stat state;
	uint64_t due, there, free_pages = 0;
	int rc = 0, fd, error = OK;

	(void)mdb_env_info(db->env, &info); /* fails only without its arguments */
	due = (info.me_last_pgno + 1) * db->page_size;
	fd = openat(db->folder.fd, DB_FILE, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return err_errno(err, ERR_IO, "cannot open %s/" DB_FILE, db->folder.path);
	if (fstat(fd, &state) != 0) {
		error = err_errno(err, ERR_IO, "cannot look at %s/" DB_FILE, db->folder.path);
	} else if ((uint64_t)state.st_size < due) {
		/* lengthened with a hole first, so that the list of free pages can be read whatever is missing */
		there = (uint64_t)state.st_size / db->page_size;
		if (ftruncate(fd, (off_t)due) != 0)
			error = err_errno(err, ERR_IO, "cannot lengthen %s/" DB_FILE, db->folder.path);
		else
			rc = count_free_pages(db, SIZE_MAX, there, UINT64_MAX, &free_pages);
		if (error == OK && (rc != 0 || free_pages != due / db->page_size - there)) {
			error = err_set(err, ERR_CORRUPT, "%s/" DB_FILE " is cut short: it has %lld bytes where %llu are in use; restore a backup", db->folder.path,
			                (long long)state.st_size, (unsigned long long)due);
			if (ftruncate(fd, state.st_size) != 0) /* as it was found, for whoever looks into it */
				(void)err_prefix(err, "(its length could not be put back)");
		}
	}
	(void)close(fd); /* the length is durable with the next commit's sync, and checked again until then */
	return error;
}

static int open_tables(struct db *db)
{
	MDB_txn *txn;
	int rc = mdb_txn_begin(db->env, NULL, db->read_only ? MDB_RDONLY : 0, &txn);

	if (rc != 0)
		return rc;
	for (size_t i = 0; i < db->n_tables && rc == 0; i++) {
		rc = mdb_dbi_open(txn, db->names[i], db->read_only ? 0 : MDB_CREATE, &db->tables[i]);
		if (rc == MDB_NOTFOUND && i >= db->needed) {
			while (db->n_tables > i)
				free(db->names[--db->n_tables]);
			rc = 0;
		}
	}
	if (rc != 0)
		mdb_txn_abort(txn);
	else
		rc = mdb_txn_commit(txn); /* also keeps the handles that a read transaction opened */
	return rc == MDB_NOTFOUND ? MDB_INCOMPATIBLE : rc;
}

bool db_has(const struct db *db, int table)
{
	return (size_t)table < db->n_tables;
}

static int open_part(const struct db *db, MDB_env **ret_env)
{
	char path[PATH_ROOM];
	int n = snprintf(path, sizeof path, "%s/" DB_FILE_PART, db->folder.path);

	if (n < 0 || (size_t)n >= sizeof path)
		return ENAMETOOLONG;
	return open_env(path, db->size_max, MDB_NOSUBDIR | MDB_NOLOCK | MDB_NOSYNC, ret_env);
}

/* LMDB begins a file with one write that nothing makes whole: cut short, or lost while later ones stayed, it would leave a file that is no store and can never be opened. So it begins under
 * another name, and has its own only when it is on disk. */
static int make_file(struct db *db, struct err *err)
{
	MDB_env *env;
	int rc;

	rc = open_part(db, &env);
	if (rc == 0) {
		rc = mdb_env_sync(env, 1);
		mdb_env_close(env);
	}
	if (rc != 0)
		return tell(db, rc, err, "cannot make the store");
	if (renameat(db->folder.fd, DB_FILE_PART, db->folder.fd, DB_FILE) != 0)
		return err_errno(err, ERR_IO, "cannot rename %s/" DB_FILE_PART, db->folder.path);
	if (fsync(db->folder.fd) != 0)
		return err_errno(err, ERR_IO, "cannot sync the folder %s", db->folder.path);
	db->folder.empty = false;
	return OK;
}

/* LMDB makes its table of readers as a hole and writes to it through the map: where the disk is full by then, the first reader of a page of it would end the process. */
static int fill_lock(struct db *db, struct err *err)
{
	struct stat state;
	int fd = openat(db->folder.fd, DB_LOCK, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	int error = OK;

	if (fd < 0)
		return err_errno(err, ERR_IO, "cannot open %s/" DB_LOCK, db->folder.path);
	if (fstat(fd, &state) != 0) {
		error = err_errno(err, ERR_IO, "cannot look at %s/" DB_LOCK, db->folder.path);
	} else {
		int rc = posix_fallocate(fd, 0, state.st_size); /* returns errno */

		if (rc != 0)
			error = err_set(err, rc == ENOSPC || rc == EDQUOT ? ERR_FULL : ERR_IO, "no room for %s/" DB_LOCK ": %s", db->folder.path, strerror(rc));
	}
	(void)close(fd); /* nothing that was written there lasts */
	return error;
}

static int open_store(struct db *db, struct err *err)
{
	MDB_stat stat;
	int rc, error = OK;

	if (db->folder.empty && !db->volatile_store)
		error = make_file(db, err);
	if (error != OK)
		return error;
	rc = open_env(db->folder.path, db->size_max, env_flags(db), &db->env);
	if (rc != 0) {
		db->env = NULL;
		return tell(db, rc, err, "cannot open the store");
	}
	(void)mdb_env_stat(db->env, &stat); /* fails only without its arguments */
	db->page_size = stat.ms_psize;
	if (!db->read_only)
		error = check_length(db, err);
	if (error == OK && !db->read_only && !db->volatile_store)
		error = fill_lock(db, err);
	if (error != OK)
		return error;
	rc = open_tables(db);
	if (rc != 0)
		return tell(db, rc, err, "cannot open the tables of the store");
	return db_reader_check(db) == OK ? OK : err_set(err, ERR_IO, "cannot check the readers of the store %s", db->folder.path);
}

static int copy_options(struct db *db, const struct db_options *options, struct err *err)
{
	db->size_max = options->size_max;
	db->reserve = options->reserve;
	db->read_only = options->read_only;
	db->volatile_store = options->volatile_store;
	db->behind_tables = options->behind;
	for (size_t i = 0; options->tables[i] != NULL; i++) {
		assert(i < DB_TABLES_MAX);
		db->names[i] = strdup(options->tables[i]);
		if (db->names[i] == NULL)
			return err_set(err, ERR_NOMEM, "no memory");
		db->n_tables = i + 1;
	}
	db->needed = options->read_only && options->needed ? options->needed : db->n_tables;
	if (db->behind_tables != 0 && (db->behind = behind_new(db->n_tables)) == NULL)
		return err_set(err, ERR_NOMEM, "no memory");
	return OK;
}

int db_open(const char *dir, const struct db_options *options, struct db **ret_db, struct err *err)
{
	struct db *db = calloc(1, sizeof *db);
	int error;

	if (db == NULL)
		return err_set(err, ERR_NOMEM, "no memory");
	error = db_folder_open(&db->folder, dir, options->read_only, err);
	if (error == OK)
		error = copy_options(db, options, err);
	if (error == OK)
		error = open_store(db, err);
	if (error == OK)
		error = db_folder_made(&db->folder, !db->volatile_store, err);
	if (error == OK)
		*ret_db = db;
	else
		db_abandon(db);
	return error;
}

void db_abandon(struct db *db)
{
	if (db == NULL)
		return;
	if (db->writer != NULL)
		db_abort(db->writer);
	db_stage_release(db);
	if (db->env != NULL)
		mdb_env_close(db->env); /* flushes nothing */
	for (size_t i = 0; i < db->n_tables; i++)
		free(db->names[i]);
	behind_free(db->behind);
	db_folder_release(&db->folder);
	free(db);
}

void db_close(struct db *db)
{
	/* an unfinished transaction would go on pointing at memory that is no more */
	assert(db == NULL || (db->writer == NULL && db->flight == NULL && __atomic_load_n(&db->readers, __ATOMIC_RELAXED) == 0));
	db_abandon(db); /* commits have synced all there is */
}

/* --- copies ---------------------------------------------------------------------------------------------------- */

/* All pairs of one table, with a commit (which syncs nothing) now and then, so that a large table needs no large transaction. */
static int copy_table(MDB_txn *from, MDB_dbi table, MDB_env *to, const char *name)
{
	MDB_txn *txn = NULL;
	MDB_cursor *cursor;
	MDB_val key, value;
	MDB_dbi copy = 0;
	size_t bytes = 0;
	int rc = mdb_cursor_open(from, table, &cursor);

	if (rc != 0)
		return rc;
	rc = mdb_txn_begin(to, NULL, 0, &txn);
	if (rc == 0)
		rc = mdb_dbi_open(txn, name, MDB_CREATE, &copy);
	while (rc == 0 && (rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {
		bytes += key.mv_size + value.mv_size;
		rc = mdb_put(txn, copy, &key, &value, MDB_APPEND);
		if (rc == 0 && bytes >= COPY_BATCH_BYTES) {
			rc = mdb_txn_commit(txn);
			txn = NULL;
			bytes = 0;
			if (rc == 0)
				rc = mdb_txn_begin(to, NULL, 0, &txn);
		}
	}
	mdb_cursor_close(cursor);
	if (rc != MDB_NOTFOUND) {
		if (txn != NULL)
			mdb_txn_abort(txn);
		return rc == MDB_KEYEXIST ? MDB_CORRUPTED : rc; /* keys out of order */
	}
	return mdb_txn_commit(txn);
}

/* Into the new file at path, on disk when this returns OK. Its pages are made of the pairs and nothing else. */
static int copy_pairs(struct db *db, const char *path)
{
	MDB_env *to;
	MDB_txn *txn;
	MDB_envinfo info;
	int rc = db->env == NULL ? EINVAL : mdb_env_info(db->env, &info);

	if (rc == 0)
		rc = open_env(path, info.me_mapsize, MDB_NOSUBDIR | MDB_NOLOCK | MDB_NOSYNC, &to);
	if (rc != 0)
		return rc;
	rc = mdb_txn_begin(db->env, NULL, MDB_RDONLY, &txn);
	if (rc == 0) {
		for (size_t i = 0; i < db->n_tables && rc == 0; i++)
			rc = copy_table(txn, db->tables[i], to, db->names[i]);
		mdb_txn_abort(txn);
	}
	if (rc == 0)
		rc = mdb_env_sync(to, 1);
	mdb_env_close(to);
	return rc;
}

static int copy_to(struct db *db, const char *dir, struct err *err)
{
	char part[PATH_ROOM], path[PATH_ROOM];
	int n = snprintf(part, sizeof part, "%s/" DB_FILE_PART, dir);
	int rc, error = OK;

	if (n < 0 || (size_t)n >= sizeof part)
		return err_set(err, ERR_INVALID, "the name of the folder is too long");
	(void)snprintf(path, sizeof path, "%s/" DB_FILE, dir); /* shorter than the other */
	if (unlink(part) != 0 && errno != ENOENT)
		return err_errno(err, ERR_IO, "cannot remove the unfinished copy %s", part);
	rc = copy_pairs(db, part);
	if (rc != 0)
		error = err_set(err, rc == EIO ? ERR_IO : db_code(db, rc), "cannot copy the store %s to %s: %s", db->folder.path, dir, mdb_strerror(rc));
	else if (rename(part, path) != 0)
		error = err_errno(err, ERR_IO, "cannot rename %s", part);
	if (error != OK)
		(void)unlink(part); /* the first failure is the one to tell */
	return error;
}

int db_copy(struct db *db, const char *dir, struct err *err)
{
	char path[PATH_ROOM];
	int n = snprintf(path, sizeof path, "%s/" DB_FILE, dir);
	int error;

	if (n < 0 || (size_t)n >= sizeof path)
		return err_set(err, ERR_INVALID, "the name of the folder is too long");
	error = db_folder_make(dir, err);
	if (error == OK && access(path, F_OK) == 0)
		error = err_set(err, ERR_EXISTS, "%s is there already: choose another folder", path);
	if (error == OK)
		error = copy_to(db, dir, err);
	if (error == OK && db_folder_sync(dir) != OK)
		error = err_errno(err, ERR_IO, "cannot sync the folder %s", dir);
	return error;
}

int db_rewrite(struct db *db, struct err *err)
{
	int error;

	assert(db->writer == NULL && db->flight == NULL && __atomic_load_n(&db->readers, __ATOMIC_RELAXED) == 0);
	if (db->unsynced)
		return err_set(err, ERR_UNSYNCED, "the store %s failed to sync before: stop and start again", db->folder.path);
	error = copy_to(db, db->folder.path, err);
	if (error != OK)
		return error;
	/* from here on the old file has no name, and the environment must not be used */
	db_snapshot_release(db);
	mdb_env_close(db->env);
	db->env = NULL;
	if (fsync(db->folder.fd) != 0)
		error = err_errno(err, ERR_UNSYNCED, "cannot sync the folder %s", db->folder.path);
	else if (open_store(db, err) != OK)
		error = ERR_UNSYNCED;
	db->unsynced = error != OK;
	if (err != NULL)
		err->code = error;
	return error;
}
