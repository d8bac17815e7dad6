/* Proves what each failure of disk and sync does to a store: a full one loses nothing and goes on, head-room stays for those that may use it, and a commit whose fate is open stops
 * all writing. The failures are injected: these definitions of the system's functions come before the C library's, also for LMDB. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/db_place.h"

/* --- injection ------------------------------------------------------------------------------------------------- */

enum call { NO_CALL, FDATASYNC, FSYNC, WRITE_PAGES, WRITE_META };
static struct { enum call fail; int error; bool cut_short; unsigned hits; bool disk_is_full; uint64_t disk_free; bool disk_free_set; } fault;

#define META_MAX 256 /* LMDB's own pages are written whole; a meta page's content is shorter */

static bool hit(enum call call)
{
	if (fault.fail != call)
		return false;
	fault.hits++;
	errno = fault.error;
	return true;
}

int fdatasync(int fd)
{
	return hit(FDATASYNC) ? -1 : (int)syscall(SYS_fdatasync, fd);
}

int fsync(int fd)
{
	return hit(FSYNC) ? -1 : (int)syscall(SYS_fsync, fd);
}

ssize_t pwrite(int fd, const void *bytes, size_t n, off_t at)
{
	if (hit(n <= META_MAX ? WRITE_META : WRITE_PAGES))
		return fault.cut_short ? (ssize_t)n / 2 : -1;
	return syscall(SYS_pwrite64, fd, bytes, n, at);
}

ssize_t write(int fd, const void *bytes, size_t n)
{
	if (fault.disk_is_full) {
		errno = ENOSPC;
		return -1;
	}
	return syscall(SYS_write, fd, bytes, n);
}

ssize_t writev(int fd, const struct iovec *parts, int n)
{
	if (hit(WRITE_PAGES))
		return fault.cut_short ? (ssize_t)parts[0].iov_len / 2 : -1;
	return syscall(SYS_writev, fd, parts, n);
}

int fstatvfs(int fd, struct statvfs *state)
{
	(void)fd;
	memset(state, 0, sizeof *state);
	state->f_frsize = 1;
	state->f_bfree = state->f_bavail = fault.disk_free_set ? fault.disk_free : UINT64_C(1) << 40;
	return 0;
}

/* --- places ---------------------------------------------------------------------------------------------------- */

enum { LOG, QUEUE };
static const char *const tables[] = { "log", "queue", NULL };
#define MIB ((size_t)1 << 20)
static const struct db_options plain = { .size_max = 64 * MIB, .tables = tables };

static int make_place(void **state)
{
	memset(&fault, 0, sizeof fault);
	return db_place_make(state);
}

static int remove_place(void **state)
{
	memset(&fault, 0, sizeof fault);
	return db_place_remove(state);
}

static void open_with(struct db_place *place, size_t size_max, size_t reserve)
{
	struct db_options options = plain;

	options.size_max = size_max;
	options.reserve = reserve;
	if (db_open(place->dir, &options, &place->db, &place->err) != OK)
		fail_msg("%s", place->err.text);
}

static void reopen(struct db_place *place)
{
	db_close(place->db);
	place->db = NULL;
	open_with(place, plain.size_max, 0);
}

#define VALUE_SIZE 1000

/* One pair of VALUE_SIZE bytes that all say i. */
static int put_numbered(struct db_txn *txn, int table, uint64_t i)
{
	uint8_t key[DB_KEY_MAX], value[VALUE_SIZE];

	memset(value, (int)(i & 0xff), sizeof value);
	return db_put(txn, table, key, db_key(key, "q", i), value, sizeof value);
}

static int commit_numbered(struct db *db, int table, uint64_t i, bool reserve)
{
	struct db_txn txn;

	(void)db_begin(db, &txn); /* db_commit tells */
	txn.reserve = reserve;
	(void)put_numbered(&txn, table, i);
	return db_commit(&txn);
}

static bool has_numbered(struct db *db, int table, uint64_t i)
{
	uint8_t key[DB_KEY_MAX];
	struct db_value value;
	struct db_txn txn;
	bool has;

	assert_int_equal(db_begin_read(db, &txn), OK);
	has = db_get(&txn, table, key, db_key(key, "q", i), &value) == OK;
	if (has) {
		assert_int_equal(value.n, VALUE_SIZE);
		for (size_t k = 0; k < VALUE_SIZE; k++)
			assert_int_equal(((const uint8_t *)value.bytes)[k], i & 0xff);
	}
	db_abort(&txn);
	return has;
}

/* --- a commit that fails --------------------------------------------------------------------------------------- */

static const struct { enum call call; int error; bool cut_short, disk_is_full; int expected; } failures[] = {
	{ FDATASYNC, EIO, false, false, ERR_UNSYNCED },   /* the disk lost something: never write again */
	{ WRITE_PAGES, EIO, false, false, ERR_UNSYNCED },
	{ WRITE_PAGES, EFBIG, false, false, ERR_UNSYNCED },
	{ WRITE_META, EIO, false, false, ERR_UNSYNCED },  /* the fate of the commit is open */
	{ WRITE_META, ENOSPC, false, false, ERR_UNSYNCED },
	{ WRITE_META, 0, true, false, ERR_UNSYNCED },
	{ WRITE_PAGES, ENOSPC, false, true, ERR_FULL },          /* nothing happened */
	{ WRITE_PAGES, EDQUOT, false, false, ERR_FULL },
	{ WRITE_PAGES, 0, true, true, ERR_FULL },                /* LMDB turns a short write into EIO */
	{ WRITE_PAGES, 0, true, false, ERR_UNSYNCED },    /* … but with room left that is not why */
	{ FDATASYNC, ENOSPC, false, true, ERR_FULL },            /* late allocation */
};

static void fail_once(struct db_place *place, size_t i)
{
	bool unsynced = failures[i].expected == ERR_UNSYNCED;
	struct db_txn txn;

	open_with(place, plain.size_max, 0);
	assert_int_equal(commit_numbered(place->db, LOG, i, false), OK);
	fault.fail = failures[i].call;
	fault.error = failures[i].error;
	fault.cut_short = failures[i].cut_short;
	fault.disk_is_full = failures[i].disk_is_full;
	fault.hits = 0;
	assert_int_equal(commit_numbered(place->db, LOG, 1000 + i, false), failures[i].expected);
	assert_true(fault.hits > 0);
	memset(&fault, 0, sizeof fault);

	if (failures[i].call != WRITE_META) { /* then LMDB lets nobody read either */
		assert_true(has_numbered(place->db, LOG, i));
		assert_false(has_numbered(place->db, LOG, 1000 + i));
	}
	assert_int_equal(db_begin(place->db, &txn), unsynced ? ERR_UNSYNCED : OK);
	db_abort(&txn);
	assert_int_equal(commit_numbered(place->db, LOG, 2000 + i, false), unsynced ? ERR_UNSYNCED : OK);
	reopen(place);
	assert_true(has_numbered(place->db, LOG, i));
	assert_int_equal(has_numbered(place->db, LOG, 2000 + i), !unsynced);
	assert_int_equal(commit_numbered(place->db, LOG, 3000 + i, false), OK); /* a restart writes again */
	db_close(place->db);
	place->db = NULL;
}

static void a_failed_commit_is_full_or_stops_the_process(void **state)
{
	for (size_t i = 0; i < sizeof failures / sizeof *failures; i++)
		fail_once(*state, i);
}

/* A first start that fails half-way leaves nothing in the way of the next. */
static void a_new_store_is_made_whole_or_not_at_all(void **state)
{
	static const struct { enum call call; int error; bool cut_short; } first[] = {
		{ WRITE_PAGES, 0, true }, { WRITE_PAGES, EIO, false }, { FDATASYNC, EIO, false }, { FSYNC, EIO, false }, { WRITE_META, EIO, false }, { WRITE_META, 0, true },
	};
	struct db_place *place = *state;
	struct db *db = NULL;

	for (size_t i = 0; i < sizeof first / sizeof *first; i++) {
		(void)snprintf(place->other, sizeof place->other, "%s/new%zu", place->root, i); /* fits */
		fault.fail = first[i].call;
		fault.error = first[i].error;
		fault.cut_short = first[i].cut_short;
		assert_int_not_equal(db_open(place->other, &plain, &db, &place->err), OK);
		memset(&fault, 0, sizeof fault);
		if (db_open(place->other, &plain, &db, &place->err) != OK)
			fail_msg("%zu: %s", i, place->err.text);
		assert_int_equal(commit_numbered(db, LOG, i, false), OK);
		db_close(db);
	}
}

/* A hole in a file that is written through a map ends the process when there is no room left for it. */
static void the_table_of_readers_has_no_holes(void **state)
{
	struct db_place *place = *state;
	char path[128];
	struct stat status;

	open_with(place, plain.size_max, 0);
	(void)snprintf(path, sizeof path, "%s/lock.mdb", place->dir); /* fits */
	assert_int_equal(stat(path, &status), 0);
	assert_true(status.st_size > DB_READERS_MAX * 64);
	assert_true(status.st_blocks * 512 >= status.st_size);
}

/* --- full ------------------------------------------------------------------------------------------------------ */

static void a_full_map_keeps_what_it_has(void **state)
{
	struct db_place *place = *state;
	struct db_value value;
	struct db_txn txn;
	uint64_t n = 0;
	int error;

	open_with(place, MIB, 0);
	while ((error = commit_numbered(place->db, LOG, n, false)) == OK)
		n++;
	assert_int_equal(error, ERR_FULL);
	assert_true(n > 500);
	for (uint64_t i = 0; i < n; i++)
		assert_true(has_numbered(place->db, LOG, i));
	assert_false(has_numbered(place->db, LOG, n));

	/* the error is remembered, so that a caller may ask at the end */
	assert_int_equal(db_begin(place->db, &txn), OK);
	for (uint64_t i = 0; i < 1000; i++)
		(void)put_numbered(&txn, LOG, n + i);
	assert_int_equal(txn.error, ERR_FULL);
	assert_int_equal(db_get(&txn, LOG, "x", 1, &value), ERR_FULL);
	assert_int_equal(db_commit(&txn), ERR_FULL);
	assert_false(has_numbered(place->db, LOG, n));

	reopen(place); /* with a larger map */
	for (uint64_t i = 0; i < n; i++)
		assert_true(has_numbered(place->db, LOG, i));
	assert_int_equal(commit_numbered(place->db, LOG, n, false), OK);
}

static void ordinary_writes_leave_the_head_room(void **state)
{
	struct db_place *place = *state;
	struct db_info info;
	uint64_t n = 0, acks = 0;
	int error;

	open_with(place, 4 * MIB, MIB);
	assert_false(db_low(place->db));
	while ((error = commit_numbered(place->db, LOG, n, false)) == OK)
		n++;
	assert_int_equal(error, ERR_FULL);
	assert_int_equal(db_info(place->db, &info), OK);
	assert_in_range(info.free_bytes, MIB - 64 * 1024, MIB + 64 * 1024);
	assert_true(info.used + info.free_bytes <= 4 * MIB);

	/* who may use the head-room has nearly all of it */
	while (commit_numbered(place->db, QUEUE, acks, true) == OK)
		acks++;
	assert_true(db_low(place->db));
	assert_true(acks * VALUE_SIZE > MIB / 2);
	assert_int_equal(commit_numbered(place->db, LOG, n, false), ERR_FULL);
	for (uint64_t i = 0; i < n; i++)
		assert_true(has_numbered(place->db, LOG, i));
}

static void freed_pages_bring_a_full_store_back(void **state)
{
	struct db_place *place = *state;
	struct db_txn txn, reading;
	uint64_t n = 0;

	open_with(place, 4 * MIB, MIB);
	while (commit_numbered(place->db, LOG, n, false) == OK)
		n++;
	assert_int_equal(db_begin_read(place->db, &reading), OK);
	assert_int_equal(db_begin(place->db, &txn), OK);
	txn.reserve = true;
	assert_int_equal(db_clear(&txn, LOG), OK);
	assert_int_equal(db_commit(&txn), OK);
	assert_int_equal(commit_numbered(place->db, QUEUE, 0, true), OK);
	/* as long as somebody reads the old snapshot its pages are not free, and are not counted as such */
	assert_int_equal(commit_numbered(place->db, LOG, 0, false), ERR_FULL);
	assert_true(db_low(place->db));
	db_abort(&reading);
	assert_false(db_low(place->db));
	assert_int_equal(commit_numbered(place->db, LOG, 0, false), OK);
}

static void a_large_transaction_stops_before_the_head_room(void **state)
{
	struct db_place *place = *state;
	static const uint8_t large[60000];
	struct db_info info;
	struct db_txn txn;
	uint8_t key[DB_KEY_MAX];
	uint64_t n = 0;

	open_with(place, 16 * MIB, 4 * MIB);
	assert_int_equal(db_begin(place->db, &txn), OK);
	while (db_put(&txn, LOG, key, db_key(key, "q", n), large, sizeof large) == OK)
		n++;
	assert_int_equal(txn.error, ERR_FULL);
	assert_in_range(n, 180, 210); /* of 12 MiB */
	assert_int_equal(db_commit(&txn), ERR_FULL);
	assert_int_equal(db_info(place->db, &info), OK);
	assert_true(info.used < MIB); /* nothing happened */
}

static void a_full_file_system_refuses_ordinary_writes_only(void **state)
{
	struct db_place *place = *state;

	open_with(place, 64 * MIB, MIB);
	assert_int_equal(commit_numbered(place->db, LOG, 0, false), OK);
	fault.disk_free = MIB - 1;
	fault.disk_free_set = true;
	assert_true(db_low(place->db));
	assert_int_equal(commit_numbered(place->db, LOG, 1, false), ERR_FULL);
	assert_int_equal(commit_numbered(place->db, QUEUE, 1, true), OK);
	assert_true(has_numbered(place->db, LOG, 0));
	fault.disk_free = 2 * MIB; /* room again, without a restart */
	assert_false(db_low(place->db));
	assert_int_equal(commit_numbered(place->db, LOG, 1, false), OK);
}

/* --- copies ---------------------------------------------------------------------------------------------------- */

static void a_rewrite_that_fails_leaves_the_store_as_it_was(void **state)
{
	static const struct { enum call call; int error; int expected; } tries[] = { { WRITE_PAGES, ENOSPC, ERR_FULL }, { FDATASYNC, EIO, ERR_IO }, { WRITE_PAGES, EIO, ERR_IO } };
	struct db_place *place = *state;

	open_with(place, plain.size_max, 0);
	assert_int_equal(commit_numbered(place->db, LOG, 1, false), OK);
	for (size_t i = 0; i < sizeof tries / sizeof *tries; i++) {
		fault.fail = tries[i].call;
		fault.error = tries[i].error;
		assert_int_equal(db_rewrite(place->db, &place->err), tries[i].expected);
		fault.fail = NO_CALL;
		assert_true(has_numbered(place->db, LOG, 1));
		assert_int_equal(commit_numbered(place->db, LOG, 2 + i, false), OK);
	}
	fault.fail = FSYNC; /* of the folder: which of the two files is there after a crash? */
	fault.error = EIO;
	assert_int_equal(db_rewrite(place->db, &place->err), ERR_UNSYNCED);
	assert_int_equal(place->err.code, ERR_UNSYNCED);
	fault.fail = NO_CALL;
	assert_int_equal(commit_numbered(place->db, LOG, 9, false), ERR_UNSYNCED);
	assert_int_equal(db_rewrite(place->db, &place->err), ERR_UNSYNCED);
	reopen(place);
	for (uint64_t i = 1; i <= 4; i++)
		assert_true(has_numbered(place->db, LOG, i));
}

static void a_copy_that_fails_leaves_none(void **state)
{
	struct db_place *place = *state;
	char dir[96], path[128];

	open_with(place, plain.size_max, 0);
	assert_int_equal(commit_numbered(place->db, LOG, 1, false), OK);
	(void)snprintf(dir, sizeof dir, "%s/copy", place->root);
	(void)snprintf(path, sizeof path, "%s/data.mdb", dir);
	fault.fail = FDATASYNC;
	fault.error = EIO;
	assert_int_equal(db_copy(place->db, dir, &place->err), ERR_IO);
	assert_int_equal(access(path, F_OK), -1);
	fault.fail = NO_CALL;
	assert_int_equal(db_copy(place->db, dir, &place->err), OK);
	assert_int_equal(access(path, F_OK), 0);
}

static void a_rehearsal_never_syncs(void **state)
{
	struct db_place *place = *state;
	struct db_options options = plain;

	fault.fail = FDATASYNC;
	fault.error = EIO;
	options.volatile_store = true;
	assert_int_equal(db_open(place->dir, &options, &place->db, &place->err), OK);
	assert_int_equal(commit_numbered(place->db, LOG, 1, false), OK);
	assert_true(has_numbered(place->db, LOG, 1));
	assert_int_equal(fault.hits, 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, make_place, remove_place)
	const struct CMUnitTest tests[] = {
		T(a_failed_commit_is_full_or_stops_the_process),
		T(a_new_store_is_made_whole_or_not_at_all),
		T(the_table_of_readers_has_no_holes),
		T(a_full_map_keeps_what_it_has),
		T(ordinary_writes_leave_the_head_room),
		T(freed_pages_bring_a_full_store_back),
		T(a_large_transaction_stops_before_the_head_room),
		T(a_full_file_system_refuses_ordinary_writes_only),
		T(a_rewrite_that_fails_leaves_the_store_as_it_was),
		T(a_copy_that_fails_leaves_none),
		T(a_rehearsal_never_syncs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
