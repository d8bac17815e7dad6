/* Proves that the look through a store's file finds nothing in stores that LMDB has made, whatever happened to them, and finds what is broken in their structure. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/buf.h"
#include "lib/db_check.h"
#include "tests/unit/db_place.h"

static const char *const tables[] = { "one", "two", "three", NULL };
static char told[4096];

static void on_fault(void *context, const char *text)
{
	size_t n = strlen(told);

	(void)context;
	(void)snprintf(told + n, sizeof told - n, "%s\n", text); /* cut to fit */
}

static struct db_check look(struct db_place *place)
{
	struct db_check check;

	told[0] = 0;
	if (db_check_folder(place->dir, NULL, on_fault, NULL, &check, &place->err))
		fail_msg("%s", place->err.text);
	return check;
}

static void assert_sound(struct db_place *place)
{
	(void)look(place);
	if (told[0])
		fail_msg("%s", told);
}

static void open_store(struct db_place *place)
{
	struct db_options options = { .size_max = (size_t)64 << 20, .tables = tables, .volatile_store = true };

	if (db_open(place->dir, &options, &place->db, &place->err))
		fail_msg("%s", place->err.text);
}

static void close_store(struct db_place *place)
{
	db_close(place->db);
	place->db = NULL;
}

static unsigned seed = 12345;

static unsigned next_random(unsigned below)
{
	seed = seed * 1103515245u + 12345u;
	return (seed >> 8) % below;
}

/* Puts and deletes small and large values in all tables. */
static void change(struct db_place *place, int n)
{
	static uint8_t value[20000];
	uint8_t key[DB_KEY_MAX];
	struct db_txn txn;

	assert_int_equal(db_begin(place->db, &txn), OK);
	for (int i = 0; i < n; i++) {
		int table = (int)next_random(3);
		size_t key_n = db_key(key, "wm", (uint32_t)next_random(3000), "some more of a key", (size_t)next_random(19));

		if (next_random(3) == 0)
			(void)db_del(&txn, table, key, key_n);
		else
			assert_int_equal(db_put(&txn, table, key, key_n, value, next_random(40) ? next_random(300) : next_random(20000)), OK);
	}
	assert_int_equal(db_commit(&txn), OK);
}

static void what_lmdb_makes_is_sound(void **state)
{
	struct db_place *place = *state;
	struct db_check check;

	open_store(place);
	close_store(place);
	assert_sound(place); /* empty */
	for (int round = 0; round < 40; round++) {
		open_store(place);
		for (int i = 0; i < 4; i++)
			change(place, 1 + (int)next_random(round < 20 ? 20 : 400));
		close_store(place);
		assert_sound(place);
	}
	open_store(place);
	assert_int_equal(db_rewrite(place->db, &place->err), OK);
	close_store(place);
	assert_sound(place);
	check = look(place);
	assert_true(check.pairs > 100 && check.pages > 20);
}

/* Flips every bit of the page headers, entry lists and entry headers: what is not found has changed nothing that counts. */
static void broken_structure_is_found(void **state)
{
	struct db_place *place = *state;
	size_t found = 0, tried = 0, used;
	char path[120];
	struct buf file;
	int fd;

	open_store(place);
	for (int i = 0; i < 12; i++)
		change(place, 60);
	close_store(place);
	used = look(place).pages;
	(void)snprintf(path, sizeof path, "%s/data.mdb", place->dir); /* dir is shorter */
	buf_init(&file);
	assert_int_equal(buf_read_file(&file, path, (size_t)64 << 20), OK);
	fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	for (size_t page = 0; page * 4096 < file.n; page++)
		for (size_t at = page * 4096; at < page * 4096 + 24 && at < file.n; at++) {
			uint8_t changed = file.bytes[at] ^ (uint8_t)(1u << at % 8);
			bool pad = at % 4096 == 8 || at % 4096 == 9;

			assert_int_equal(pwrite(fd, &changed, 1, (off_t)at), 1);
			(void)look(place);
			tried += !pad;
			found += !pad && told[0];
			assert_int_equal(pwrite(fd, &file.bytes[at], 1, (off_t)at), 1);
		}
	assert_int_equal(close(fd), 0);
	assert_sound(place);
	assert_true(found > 16 * used && found < tried); /* the others are of free pages, and of large values */
	buf_release(&file);
}

/* Where the list of free pages stands in a leaf of the free list: an 8-byte key, then a count and as many numbers; 0: the page is none. */
static size_t free_list_in(const struct buf *file, size_t page)
{
	const uint8_t *at = file->bytes + page * 4096;
	uint16_t flags, offset, key_n;
	uint64_t key, n;

	memcpy(&flags, at + 10, 2);
	memcpy(&offset, at + 16, 2);
	if (flags != 2 || offset > 4000)
		return 0;
	memcpy(&key_n, at + offset + 6, 2);
	memcpy(&key, at + offset + 8, 8);
	memcpy(&n, at + offset + 16, 8);
	return key_n == 8 && key < 1000 && n > 0 && n < 400 ? page * 4096 + offset + 24 : 0;
}

/* Of several such leaves, old ones among them, one is that of now: in it the page itself is listed as free. */
static void a_page_that_is_free_and_used_is_found(void **state)
{
	struct db_place *place = *state;
	struct buf file;
	char path[120];
	bool found = false;
	int fd;

	open_store(place);
	for (int i = 0; i < 12; i++)
		change(place, 100);
	close_store(place);
	assert_true(look(place).free_pages > 3);
	(void)snprintf(path, sizeof path, "%s/data.mdb", place->dir); /* dir is shorter */
	buf_init(&file);
	assert_int_equal(buf_read_file(&file, path, (size_t)64 << 20), OK);
	fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	for (size_t page = 2; page * 4096 + 4096 <= file.n && !found; page++) {
		size_t at = free_list_in(&file, page);
		uint64_t used = page;

		if (!at)
			continue;
		assert_int_equal(pwrite(fd, &used, 8, (off_t)at), 8);
		(void)look(place);
		found = strstr(told, "free twice, or in use") != NULL;
		assert_int_equal(pwrite(fd, file.bytes + at, 8, (off_t)at), 8);
		assert_sound(place);
	}
	assert_true(found);
	assert_int_equal(close(fd), 0);
	buf_release(&file);
}

static void what_is_no_store_is_told(void **state)
{
	struct db_place *place = *state;
	struct db_check check;
	char path[120];
	FILE *file;

	assert_int_equal(db_check_folder("/nonexistent", NULL, on_fault, NULL, &check, &place->err), ERR_NOTFOUND);
	open_store(place);
	close_store(place);
	(void)snprintf(path, sizeof path, "%s/data.mdb", place->dir); /* dir is shorter */
	file = fopen(path, "w");
	assert_non_null(file);
	assert_true(fprintf(file, "this is no store") > 0);
	assert_int_equal(fclose(file), 0);
	(void)look(place);
	assert_non_null(strstr(told, "meta page 0"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_lmdb_makes_is_sound, db_place_make, db_place_remove),
		cmocka_unit_test_setup_teardown(broken_structure_is_found, db_place_make, db_place_remove),
		cmocka_unit_test_setup_teardown(a_page_that_is_free_and_used_is_found, db_place_make, db_place_remove),
		cmocka_unit_test_setup_teardown(what_is_no_store_is_told, db_place_make, db_place_remove),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
