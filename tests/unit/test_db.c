/* Proves that keys sort as their parts do, that errors are remembered, that what was committed is there and only that,
 * and that a store is opened by one process, on a disk of this machine, and whole, or not at all. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/db_place.h"

enum { LOG, CASES };
static const char *const tables[] = { "log", "cases", NULL };
static const struct db_options plain = { .size_max = (size_t)64 << 20, .tables = tables };

static struct db *open_plain(struct db_place *place)
{
	struct db *db;

	if (db_open(place->dir, &plain, &db, &place->err) != OK)
		fail_msg("%s", place->err.text);
	return db;
}

static void put_text(struct db_txn *txn, int table, const char *key, const char *value)
{
	assert_int_equal(db_put(txn, table, key, strlen(key), value, strlen(value)), OK);
}

static void assert_text(struct db_txn *txn, int table, const char *key, const char *value)
{
	struct db_value found;
	int error = db_get(txn, table, key, strlen(key), &found);

	if (value == NULL) {
		assert_int_equal(error, ERR_NOTFOUND);
		return;
	}
	assert_int_equal(error, OK);
	assert_int_equal(found.n, strlen(value));
	assert_memory_equal(found.bytes, value, found.n);
}

/* --- keys ------------------------------------------------------------------------------------------------------ */

struct made_key { uint8_t bytes[DB_KEY_MAX]; size_t n; };

static void assert_ascending(const struct made_key *keys, size_t n)
{
	for (size_t i = 1; i < n; i++) {
		const struct made_key *a = &keys[i - 1], *b = &keys[i];
		int order = memcmp(a->bytes, b->bytes, a->n < b->n ? a->n : b->n);

		assert_true(a->n > 0 && b->n > 0);
		assert_true(order < 0 || (order == 0 && a->n < b->n));
	}
}

#define KEY(...) ({ struct made_key key_; key_.n = db_key(key_.bytes, __VA_ARGS__); key_; })

static void keys_sort_as_their_parts(void **state)
{
	const struct made_key numbers[] = {
		KEY("q", UINT64_C(0)), KEY("q", UINT64_C(1)), KEY("q", UINT64_C(255)), KEY("q", UINT64_C(256)), KEY("q", UINT64_C(1) << 32), KEY("q", UINT64_MAX),
	};
	const struct made_key moments[] = {
		KEY("t", INT64_MIN), KEY("t", INT64_C(-2208988800000)), KEY("t", INT64_C(-1)), KEY("t", INT64_C(0)), KEY("t", INT64_C(1)), KEY("t", INT64_MAX),
	};
	const struct made_key strings[] = {
		KEY("sq", "", UINT64_MAX), KEY("sq", "a", UINT64_C(7)), KEY("sq", "a", UINT64_C(8)), KEY("sq", "aa", UINT64_C(0)), KEY("sq", "ab", UINT64_C(0)), KEY("sq", "b", UINT64_C(0)),
	};
	const struct made_key mixed[] = {
		KEY("bhw", 1, 2, 3u), KEY("bhw", 1, 2, 4u), KEY("bhw", 1, 0x100, 0u), KEY("bhwm", 1, 0x100, 0u, "x", (size_t)1), KEY("bhw", 2, 0, 0u), KEY("bhw", 0xff, 0xffff, UINT32_MAX),
	};

	(void)state;
	assert_ascending(numbers, 6);
	assert_ascending(moments, 6);
	assert_ascending(strings, 6);
	assert_ascending(mixed, 6);
	assert_int_equal(numbers[0].n, 8);
	assert_int_equal(mixed[0].n, 7);
	assert_int_equal(strings[1].n, 10);
}

static void a_key_that_does_not_fit_is_none(void **state)
{
	struct db_place *place = *state;
	char text[DB_KEY_MAX + 2];
	uint8_t key[DB_KEY_MAX];
	struct db *db = open_plain(place);
	struct db_cursor cursor;
	struct db_value value;
	struct db_txn txn;

	memset(text, 'x', sizeof text);
	text[DB_KEY_MAX] = '\0';
	assert_int_equal(db_key(key, "s", text), 0);
	assert_int_equal(db_key(key, "s", text + 1), DB_KEY_MAX);
	assert_int_equal(db_key(key, "bs", 1, text + 1), 0);
	assert_int_equal(db_key(key, "bs", 1, text + 2), DB_KEY_MAX);
	assert_int_equal(db_key(key, "bm", 1, text, (size_t)DB_KEY_MAX), 0);
	assert_int_equal(db_key(key, "bm", 1, text, SIZE_MAX), 0);
	assert_int_equal(db_key(key, "bx", 1), 0);

	/* and 0 is never taken for "all" */
	assert_int_equal(db_begin(db, &txn), OK);
	put_text(&txn, LOG, "a", "1");
	assert_int_equal(db_commit(&txn), OK);
	assert_int_equal(db_begin_read(db, &txn), OK);
	DB_FOREACH(&cursor, &txn, LOG, key, 0)
		fail();
	assert_int_equal(txn.error, ERR_INVALID);
	db_abort(&txn);
	assert_int_equal(db_begin(db, &txn), OK);
	assert_int_equal(db_put(&txn, LOG, key, 0, "x", 1), ERR_INVALID);
	db_abort(&txn);
	assert_int_equal(db_begin(db, &txn), OK);
	assert_int_equal(db_put(&txn, LOG, text, DB_KEY_MAX + 1, "x", 1), ERR_INVALID);
	db_abort(&txn);
	assert_int_equal(db_begin(db, &txn), OK);
	assert_int_equal(db_del(&txn, LOG, key, 0), ERR_INVALID);
	assert_int_equal(db_get(&txn, LOG, "a", 1, &value), ERR_INVALID); /* remembered */
	assert_int_equal(db_commit(&txn), ERR_INVALID);
	db_close(db);
}

/* --- transactions ---------------------------------------------------------------------------------------------- */

static void what_was_committed_is_there_and_only_that(void **state)
{
	struct db_place *place = *state;
	struct db *db = open_plain(place);
	struct db_txn txn, reading;
	struct db_value key, value;
	uint64_t n;
	void *room;

	assert_int_equal(db_begin(db, &txn), OK);
	assert_int_equal(db_last(&txn, LOG, &key, &value), ERR_NOTFOUND);
	put_text(&txn, LOG, "a", "one");
	assert_int_equal(db_put_room(&txn, LOG, "b", 1, 3, &room), OK);
	memcpy(room, "two", 3);
	assert_int_equal(db_append(&txn, LOG, "c", 1, "three", 5), OK);
	assert_int_equal(db_append(&txn, LOG, "bb", 2, "between", 7), OK); /* not the last: put all the same */
	put_text(&txn, CASES, "a", "another table");
	assert_text(&txn, LOG, "b", "two");
	assert_int_equal(db_commit(&txn), OK);
	assert_int_equal(db_commit(&txn), ERR_CLOSED);

	assert_int_equal(db_begin_read(db, &reading), OK);
	assert_int_equal(db_begin(db, &txn), OK);
	put_text(&txn, LOG, "a", "uno");
	assert_int_equal(db_del(&txn, LOG, "b", 1), OK);
	assert_int_equal(db_del(&txn, LOG, "b", 1), ERR_NOTFOUND); /* not remembered */
	assert_int_equal(db_commit(&txn), OK);
	assert_text(&reading, LOG, "a", "one"); /* its own snapshot */
	assert_text(&reading, LOG, "b", "two");
	assert_int_equal(db_renew(&reading), OK);
	assert_text(&reading, LOG, "a", "uno");
	assert_text(&reading, LOG, "b", NULL);
	assert_text(&reading, LOG, "bb", "between");
	assert_int_equal(db_last(&reading, LOG, &key, &value), OK);
	assert_memory_equal(value.bytes, "three", 5);
	assert_int_equal(db_count(&reading, LOG, &n), OK);
	assert_int_equal(n, 3);
	assert_int_equal(db_commit(&reading), OK);

	assert_int_equal(db_begin(db, &txn), OK);
	assert_int_equal(db_clear(&txn, LOG), OK);
	db_abort(&txn);
	db_abort(&txn); /* safe */
	assert_int_equal(db_begin(db, &txn), OK);
	assert_text(&txn, LOG, "c", "three");
	assert_int_equal(db_clear(&txn, LOG), OK);
	assert_int_equal(db_count(&txn, LOG, &n), OK);
	assert_int_equal(n, 0);
	assert_text(&txn, CASES, "a", "another table");
	assert_int_equal(db_commit(&txn), OK);
	db_close(db);
}

static void only_one_writes_at_a_time(void **state)
{
	struct db_place *place = *state;
	struct db *db = open_plain(place);
	struct db_txn first, second;

	assert_int_equal(db_begin(db, &first), OK);
	assert_int_equal(db_begin(db, &second), ERR_BUSY);
	assert_int_equal(db_put(&second, LOG, "a", 1, "x", 1), ERR_BUSY);
	assert_int_equal(db_commit(&second), ERR_BUSY);
	put_text(&first, LOG, "a", "1");
	assert_int_equal(db_commit(&first), OK);
	assert_int_equal(db_begin_read(db, &second), OK);
	assert_int_equal(db_put(&second, LOG, "a", 1, "x", 1), ERR_DENIED);
	db_abort(&second);
	db_close(db);
}

static void the_reader_too_many_is_told_to_try_later(void **state)
{
	static struct db_txn readers[DB_READERS_MAX + 1];
	struct db_place *place = *state;
	struct db *db = open_plain(place);
	struct db_info info;
	size_t n = 0;

	while (n < DB_READERS_MAX + 1 && db_begin_read(db, &readers[n]) == OK)
		n++;
	assert_in_range(n, DB_READERS_MAX - 2, DB_READERS_MAX);
	assert_int_equal(readers[n].error, ERR_AGAIN);
	assert_int_equal(db_info(db, &info), ERR_AGAIN); /* needs one of its own */
	while (n > 0)
		db_abort(&readers[--n]);
	assert_int_equal(db_info(db, &info), OK);
	assert_int_equal(info.readers, 0);
	db_close(db);
}

static void an_old_reader_shows_in_the_gauge(void **state)
{
	struct db_place *place = *state;
	struct db *db = open_plain(place);
	struct db_txn reading, txn;
	struct db_info info;

	assert_int_equal(db_begin_read(db, &reading), OK);
	for (int i = 0; i < 5; i++) {
		assert_int_equal(db_begin(db, &txn), OK);
		assert_int_equal(db_put(&txn, LOG, "a", 1, &i, sizeof i), OK);
		assert_int_equal(db_commit(&txn), OK);
	}
	assert_int_equal(db_info(db, &info), OK);
	assert_int_equal(info.readers, 1);
	assert_int_equal(info.oldest_reader_lag, 5);
	assert_int_equal(info.size_max, plain.size_max);
	assert_int_equal(db_renew(&reading), OK);
	assert_int_equal(db_info(db, &info), OK);
	assert_int_equal(info.oldest_reader_lag, 0);
	db_abort(&reading);
	assert_int_equal(db_reader_check(db), OK);
	db_close(db);
}

/* --- open ------------------------------------------------------------------------------------------------------ */

static void a_second_process_is_refused_by_name_of_the_first(void **state)
{
	struct db_place *place = *state;
	struct db *db = open_plain(place), *second;
	char who[64];
	int status;
	pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0) {
		int error = db_open(place->dir, &plain, &second, &place->err);

		(void)snprintf(who, sizeof who, "process %ld", (long)getppid());
		_exit(error == ERR_BUSY && strstr(place->err.text, who) != NULL && strstr(place->err.text, "stop that first") != NULL ? 0 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(db_open(place->dir, &plain, &second, &place->err), ERR_BUSY); /* nor the same one twice */
	struct db_options reading = plain;
	reading.read_only = true;
	assert_int_equal(db_open(place->dir, &reading, &second, &place->err), ERR_BUSY);
	db_close(db);
	db = open_plain(place);
	db_close(db);
}

static void readers_of_a_stopped_store_share_it(void **state)
{
	struct db_place *place = *state;
	struct db_options reading = plain;
	struct db *db = open_plain(place), *second;
	struct db_txn txn;

	assert_int_equal(db_begin(db, &txn), OK);
	put_text(&txn, LOG, "a", "1");
	assert_int_equal(db_commit(&txn), OK);
	db_close(db);
	reading.read_only = true;
	reading.size_max = 0;
	assert_int_equal(db_open(place->dir, &reading, &db, &place->err), OK);
	assert_int_equal(db_begin(db, &txn), ERR_DENIED);
	assert_int_equal(db_begin_read(db, &txn), OK);
	assert_text(&txn, LOG, "a", "1");
	db_abort(&txn);
	assert_int_equal(db_open(place->dir, &plain, &second, &place->err), ERR_BUSY);
	db_close(db);
	assert_int_equal(db_open(place->other, &reading, &db, &place->err), ERR_NOTFOUND);
	assert_int_equal(access(place->other, F_OK), -1);
	assert_int_equal(mkdir(place->other, 0700), 0);
	assert_int_equal(db_open(place->other, &reading, &db, &place->err), ERR_NOTFOUND);
	assert_int_equal(rmdir(place->other), 0); /* and nothing was left there */
}

static void an_abandoned_store_keeps_what_was_committed(void **state)
{
	struct db_place *place = *state;
	struct db *db = open_plain(place);
	struct db_txn txn;

	assert_int_equal(db_begin(db, &txn), OK);
	put_text(&txn, LOG, "a", "committed");
	assert_int_equal(db_commit(&txn), OK);
	assert_int_equal(db_begin(db, &txn), OK);
	put_text(&txn, LOG, "a", "changed");
	put_text(&txn, LOG, "b", "new");
	db_abandon(db);
	assert_int_equal(db_put(&txn, LOG, "c", 1, "x", 1), ERR_CLOSED);
	assert_int_equal(db_commit(&txn), ERR_CLOSED);
	db = open_plain(place);
	assert_int_equal(db_begin_read(db, &txn), OK);
	assert_text(&txn, LOG, "a", "committed");
	assert_text(&txn, LOG, "b", NULL);
	db_abort(&txn);
	db_close(db);
}

/* the values of statfs(2) and linux/magic.h */
static void network_file_systems_are_refused(void **state)
{
	static const uint32_t refused[] = { 0x6969, 0x517b, 0xff534d42, 0xfe534d42, 0x65735546, 0x01021997, 0x00c36400 };
	static const uint32_t good[] = { 0xef53 /* ext4 */, 0x58465342 /* xfs */, 0x9123683e /* btrfs */, 0x01021994 /* tmpfs */, 0x2fc12fc1 /* zfs */, 0xf2f52010 /* f2fs */ };

	(void)state;
	for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
		assert_non_null(db_network_file_system(refused[i]));
	assert_string_equal(db_network_file_system(0x6969), "NFS");
	assert_string_equal(db_network_file_system((uint64_t)(int64_t)(int32_t)0xff534d42), "CIFS"); /* as a signed f_type has it */
	for (size_t i = 0; i < sizeof good / sizeof *good; i++)
		assert_null(db_network_file_system(good[i]));
}

static void write_bytes(const char *dir, const char *name, off_t at, const void *bytes, size_t n)
{
	char path[128];
	int fd;

	(void)snprintf(path, sizeof path, "%s/%s", dir, name);
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, bytes, n, at), n);
	close(fd);
}

static void fill(struct db *db, uint32_t n)
{
	static const uint8_t filler[200];
	struct db_txn txn;
	uint8_t key[DB_KEY_MAX];

	assert_int_equal(db_begin(db, &txn), OK);
	for (uint32_t i = 0; i < n; i++)
		assert_int_equal(db_put(&txn, LOG, key, db_key(key, "w", i), filler, sizeof filler), OK);
	assert_int_equal(db_commit(&txn), OK);
}

static void a_damaged_or_lost_store_is_told_from_a_new_one(void **state)
{
	struct db_place *place = *state;
	struct db *db = open_plain(place);
	char path[128];
	struct stat status;

	fill(db, 2000);
	db_close(db);
	(void)snprintf(path, sizeof path, "%s/data.mdb", place->dir);
	assert_int_equal(stat(path, &status), 0);

	assert_int_equal(truncate(path, status.st_size / 2), 0);
	assert_int_equal(db_open(place->dir, &plain, &db, &place->err), ERR_CORRUPT);
	assert_non_null(strstr(place->err.text, "cut short"));
	assert_non_null(strstr(place->err.text, "backup"));
	assert_int_equal(truncate(path, 8192), 0);
	assert_int_equal(db_open(place->dir, &plain, &db, &place->err), ERR_CORRUPT);

	write_bytes(place->dir, "data.mdb", 16, "not LMDB's", 10); /* over the first meta page */
	assert_int_equal(db_open(place->dir, &plain, &db, &place->err), ERR_CORRUPT);

	assert_int_equal(truncate(path, 0), 0);
	assert_int_equal(db_open(place->dir, &plain, &db, &place->err), ERR_CORRUPT);
	assert_non_null(strstr(place->err.text, "lost"));
	assert_int_equal(unlink(path), 0);
	assert_int_equal(db_open(place->dir, &plain, &db, &place->err), ERR_CORRUPT);

	/* a first start that was cut off is no loss */
	write_bytes(place->root, "empty", 0, "", 0);
	assert_int_equal(mkdir(place->other, 0700), 0);
	write_bytes(place->other, "data.mdb", 0, "", 0);
	write_bytes(place->other, "owner.lock", 0, "", 0);
	assert_int_equal(db_open(place->other, &plain, &db, &place->err), OK);
	db_close(db);
}

static void a_store_of_something_else_is_refused(void **state)
{
	static const char *const more[] = { "log", "cases", "keys", NULL };
	struct db_place *place = *state;
	struct db_options reading = { .read_only = true, .tables = more };
	struct db *db = open_plain(place);

	db_close(db);
	assert_int_equal(db_open(place->dir, &reading, &db, &place->err), ERR_CORRUPT);
	write_bytes(place->root, "file", 0, "x", 1);
	(void)snprintf(place->other, sizeof place->other, "%s/file", place->root);
	assert_int_equal(db_open(place->other, &plain, &db, &place->err), ERR_IO);
	(void)snprintf(place->other, sizeof place->other, "%s/none/store", place->root);
	assert_int_equal(db_open(place->other, &plain, &db, &place->err), ERR_IO);
}

static void the_folder_is_closed_to_others(void **state)
{
	struct db_place *place = *state;
	struct db *db = open_plain(place);
	char path[128];
	struct stat status;

	assert_int_equal(stat(place->dir, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0700);
	(void)snprintf(path, sizeof path, "%s/data.mdb", place->dir);
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0600);
	db_close(db);
}

/* --- copies ---------------------------------------------------------------------------------------------------- */

static bool file_has(const char *dir, const char *needle)
{
	char path[128];
	struct stat status;
	bool has;
	char *bytes;
	int fd;

	(void)snprintf(path, sizeof path, "%s/data.mdb", dir);
	fd = open(path, O_RDONLY);
	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &status), 0);
	bytes = malloc((size_t)status.st_size);
	assert_non_null(bytes);
	assert_int_equal(read(fd, bytes, (size_t)status.st_size), status.st_size);
	has = memmem(bytes, (size_t)status.st_size, needle, strlen(needle)) != NULL;
	free(bytes);
	close(fd);
	return has;
}

static void a_copy_holds_the_snapshot_and_is_whole(void **state)
{
	struct db_place *place = *state;
	struct db *db = open_plain(place), *copy;
	struct db_txn txn;
	uint64_t n;

	fill(db, 3000);
	assert_int_equal(db_begin(db, &txn), OK);
	put_text(&txn, CASES, "C-1", "open");
	put_text(&txn, CASES, "C-2", "to-be-deleted-before-the-copy");
	assert_int_equal(db_commit(&txn), OK);
	assert_int_equal(db_begin(db, &txn), OK);
	assert_int_equal(db_del(&txn, CASES, "C-2", 3), OK);
	assert_int_equal(db_commit(&txn), OK);

	assert_int_equal(db_begin(db, &txn), OK);
	put_text(&txn, CASES, "C-3", "uncommitted");
	assert_int_equal(db_copy(db, place->other, &place->err), OK); /* of a live store, in the middle of a transaction */
	assert_int_equal(db_commit(&txn), OK);
	assert_int_equal(db_copy(db, place->other, &place->err), ERR_EXISTS);
	db_close(db);

	assert_false(file_has(place->other, "to-be-deleted"));
	assert_int_equal(db_open(place->other, &plain, &copy, &place->err), OK);
	assert_int_equal(db_begin(copy, &txn), OK);
	assert_int_equal(db_count(&txn, LOG, &n), OK);
	assert_int_equal(n, 3000);
	assert_text(&txn, CASES, "C-1", "open");
	assert_text(&txn, CASES, "C-2", NULL);
	assert_text(&txn, CASES, "C-3", NULL);
	put_text(&txn, CASES, "C-4", "and it can be written");
	assert_int_equal(db_commit(&txn), OK);
	db_close(copy);
}

static void a_rewritten_store_has_no_byte_of_what_was_deleted(void **state)
{
	struct db_place *place = *state;
	struct db *db = open_plain(place);
	char key[16], value[64];
	struct db_txn txn;

	for (int round = 0; round < 20; round++) {
		assert_int_equal(db_begin(db, &txn), OK);
		for (int i = 0; i < 50; i++) {
			(void)snprintf(key, sizeof key, "k%03d", round * 50 + i);
			(void)snprintf(value, sizeof value, "%s-value-of-%03d", i % 2 ? "keep" : "SECRET", round * 50 + i);
			put_text(&txn, CASES, key, value);
		}
		assert_int_equal(db_commit(&txn), OK);
	}
	assert_int_equal(db_begin(db, &txn), OK);
	for (int i = 0; i < 1000; i += 2) {
		(void)snprintf(key, sizeof key, "k%03d", i);
		assert_int_equal(db_del(&txn, CASES, key, strlen(key)), OK);
	}
	assert_int_equal(db_commit(&txn), OK);
	assert_true(file_has(place->dir, "SECRET")); /* what LMDB leaves behind */
	write_bytes(place->dir, "data.mdb.part", 0, "of an attempt that was cut off", 30);
	assert_int_equal(db_rewrite(db, &place->err), OK);
	assert_false(file_has(place->dir, "SECRET"));
	assert_true(file_has(place->dir, "keep-value-of-999"));

	assert_int_equal(db_begin(db, &txn), OK);
	assert_text(&txn, CASES, "k999", "keep-value-of-999");
	assert_text(&txn, CASES, "k998", NULL);
	for (int i = 0; i < 300; i++) {
		(void)snprintf(key, sizeof key, "m%03d", i);
		put_text(&txn, CASES, key, "later");
	}
	assert_int_equal(db_commit(&txn), OK);
	assert_false(file_has(place->dir, "SECRET")); /* nor does memory that is used again bring it back */
	db_close(db);
	db = open_plain(place);
	assert_int_equal(db_begin_read(db, &txn), OK);
	assert_text(&txn, CASES, "m299", "later");
	db_abort(&txn);
	db_close(db);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, db_place_make, db_place_remove)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_sort_as_their_parts),
		cmocka_unit_test(network_file_systems_are_refused),
		T(a_key_that_does_not_fit_is_none),
		T(what_was_committed_is_there_and_only_that),
		T(only_one_writes_at_a_time),
		T(the_reader_too_many_is_told_to_try_later),
		T(an_old_reader_shows_in_the_gauge),
		T(a_second_process_is_refused_by_name_of_the_first),
		T(readers_of_a_stopped_store_share_it),
		T(an_abandoned_store_keeps_what_was_committed),
		T(a_damaged_or_lost_store_is_told_from_a_new_one),
		T(a_store_of_something_else_is_refused),
		T(the_folder_is_closed_to_others),
		T(a_copy_holds_the_snapshot_and_is_whole),
		T(a_rewritten_store_has_no_byte_of_what_was_deleted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
