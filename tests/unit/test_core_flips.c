/* Proves that a bit flipped anywhere in the files of a store is found by verification, or harmless: then every pair of every table is what it was.
 * Every N-th byte of the log's file and of the keys' file; N is 499 unless the environment says otherwise (N=1: every byte, 40 minutes of a core). */
#include <fcntl.h>
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "broker/core_internal.h"
#include "broker/core_verify.h"
#include "tests/unit/core_place.h"

#define STRIDE 499

struct count { size_t n; char last[512]; };

static void tell(void *context, const char *line)
{
	struct count *count = context;

	count->n++;
	(void)snprintf(count->last, sizeof count->last, "%s", line); /* cut to fit */
}

static struct verify_result verify(struct core_place *place, struct count *count)
{
	uint8_t public_key[KEY_SIZE];
	struct verify_options options = {
		.core = { .dir = place->dir, .keys_dir = place->keys, .volatile_store = true, .master_key = place->master },
		.policy = &place->config->policy, .policy_text = place->config->policy_text, .signing_public = public_key,
	};
	struct verify_result result;

	*count = (struct count){ 0 };
	crypt_sign_public(place->signing, public_key);
	if (core_verify(&options, tell, count, &result, &place->err) == OK)
		return result;
	/* A file that cannot even be opened is found as well. */
	tell(count, place->err.text);
	result.faults = 1;
	return result;
}

static void hash_pairs(const char *dir, const char *const *tables, uint8_t hash[HASH_SIZE])
{
	struct db_options options = { .read_only = true, .volatile_store = true, .tables = tables };
	struct db_cursor cursor;
	struct db_txn txn;
	struct db *db = NULL;
	struct err err = { 0 };

	if (db_open(dir, &options, &db, &err))
		fail_msg("%s", err.text);
	assert_int_equal(db_begin_read(db, &txn), OK);
	for (int table = 0; tables[table]; table++)
		DB_FOREACH(&cursor, &txn, table, NULL, 0) {
			size_t sizes[] = { (size_t)table, cursor.key.n, cursor.value.n };
			struct crypt_part parts[] = { { hash, HASH_SIZE }, { sizes, sizeof sizes }, { cursor.key.bytes, cursor.key.n }, { cursor.value.bytes, cursor.value.n } };

			crypt_sha256_parts(parts, 4, hash);
		}
	assert_int_equal(txn.error, OK);
	db_abort(&txn);
	db_close(db);
}

static void hash_store(struct core_place *place, uint8_t hash[HASH_SIZE])
{
	memset(hash, 0, HASH_SIZE);
	hash_pairs(place->dir, core_tables, hash);
	hash_pairs(place->keys, key_tables, hash);
}

/* A small store with something in every table. */
static void fill(struct core_place *place)
{
	const char *note;
	size_t n;

	place_case(place, "C-1");
	place_accept(place, "gm-a", "handover.offered", "C-1", "{\"handover\":\"H-1\",\"to\":\"care-a\",\"need\":\"HOUSING\"}");
	place_accept(place, "pi-a", "custody.started", "C-2", "{\"start\":\"2027-02-01T08:00:00+01:00\",\"origin\":\"0344\",\"destination\":\"0344\"}");
	place_begin(place);
	assert_int_equal(core_erase_order(place->core, "C-2", "uid:1", "a ground", &place->err), OK);
	assert_int_equal(core_erase_confirm(place->core, "C-2", "uid:2", "a ground", &place->err), OK);
	place_commit(place);
	assert_int_equal(core_erase_run(place->core, place->now, &n, &place->err), OK);
	place_begin(place);
	assert_int_equal(core_checkpoint(place->core, &place->arena, &note), OK);
	place_commit(place);
	place_close(place);
}

static size_t stride(void)
{
	const char *text = getenv("N"); /* lint: getenv, because a full run takes minutes */
	unsigned long n = text ? strtoul(text, NULL, 10) : 0;

	return n ? n : STRIDE;
}

static void flip_all(struct core_place *place, const char *dir)
{
	size_t found = 0, harmless = 0, step = stride();
	uint8_t before[HASH_SIZE], after[HASH_SIZE];
	struct count count;
	char path[120];
	struct buf file;
	int fd;

	hash_store(place, before);
	(void)snprintf(path, sizeof path, "%s/data.mdb", dir); /* dir is shorter */
	buf_init(&file);
	assert_int_equal(buf_read_file(&file, path, (size_t)64 << 20), OK);
	fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	for (size_t at = 0; at < file.n; at += step) {
		uint8_t changed = file.bytes[at] ^ (uint8_t)(1u << (at / step + at) % 8);

		assert_int_equal(pwrite(fd, &changed, 1, (off_t)at), 1);
		if (verify(place, &count).faults) {
			found++;
		} else {
			hash_store(place, after);
			if (memcmp(before, after, HASH_SIZE) != 0)
				fail_msg("byte %zu of %s, 0x%02x made 0x%02x, is neither found nor harmless", at, path, file.bytes[at], changed);
			harmless++;
		}
		assert_int_equal(pwrite(fd, &file.bytes[at], 1, (off_t)at), 1);
	}
	assert_int_equal(close(fd), 0);
	print_message("%s: %zu bytes, every %zu-th flipped: %zu found, %zu harmless\n", path, file.n, step, found, harmless);
	assert_true(found > 0);
	assert_int_equal(verify(place, &count).faults, 0);
	buf_release(&file);
}

static void a_flipped_bit_of_the_log_is_found_or_harmless(void **state)
{
	struct core_place *place = *state;
	struct count count;

	fill(place);
	if (verify(place, &count).faults)
		fail_msg("%s", count.last);
	flip_all(place, place->dir);
}

static void a_flipped_bit_of_the_keys_is_found_or_harmless(void **state)
{
	struct core_place *place = *state;

	fill(place);
	flip_all(place, place->keys);
}

/* Nothing points to the table then, and whoever opens the store would take it for one that never had it. */
static void a_table_whose_name_is_damaged_is_found(void **state)
{
	struct core_place *place = *state;
	size_t found = 0;
	struct count count;
	struct buf file;
	char path[120];
	int fd;

	fill(place);
	(void)snprintf(path, sizeof path, "%s/data.mdb", place->keys); /* dir is shorter */
	buf_init(&file);
	assert_int_equal(buf_read_file(&file, path, (size_t)64 << 20), OK);
	fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	for (size_t at = 0; at + 6 < file.n; at++)
		if (memcmp(file.bytes + at, "erased", 6) == 0) {
			assert_int_equal(pwrite(fd, "eraser", 6, (off_t)at), 6);
			if (verify(place, &count).faults) {
				assert_non_null(strstr(count.last, "no table of the name eraser"));
				found++;
			}
			assert_int_equal(pwrite(fd, "erased", 6, (off_t)at), 6);
		}
	assert_int_equal(close(fd), 0);
	assert_int_equal(found, 1); /* elsewhere it stands in pages that are free */
	buf_release(&file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_flipped_bit_of_the_log_is_found_or_harmless, core_place_make, core_place_remove),
		cmocka_unit_test_setup_teardown(a_flipped_bit_of_the_keys_is_found_or_harmless, core_place_make, core_place_remove),
		cmocka_unit_test_setup_teardown(a_table_whose_name_is_damaged_is_found, core_place_make, core_place_remove),
	};

	(void)mallopt(M_MMAP_THRESHOLD, 256 << 10); /* LMDB's megabytes, new for each flip, come zeroed from the kernel: half the time */
	if (crypt_init())
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
