/* Proves that a record of a new epoch is read back as it was written, that nothing but what the log's key has signed is taken for one, and how much of which epoch it leaves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "lib/epoch.h"

#define ORIGIN "urn:nld:oin:00000099000000000001:systeem:broker-nl"

static const uint8_t seed[KEY_SIZE] = { 7 };

static struct note_key log_key(void)
{
	struct note_key key = { .name = ORIGIN, .kind = NOTE_ED25519 };

	crypt_sign_public(seed, key.public_key);
	return key;
}

static struct epoch_record sample(void)
{
	struct epoch_record record = { .origin = ORIGIN, .old_epoch = 30, .new_epoch = 40, .from = { .size = 120, .root = { 1, 2, 3 } }, .ends = { { 1, 90 }, { 20, 100 } }, .n_ends = 2,
		.reason = "the disk broke" };

	return record;
}

static void test_round_trip(void **unused)
{
	const struct epoch_record wrote = sample();
	const struct note_key key = log_key();
	struct epoch_record read;
	struct checkpoint checkpoint;
	struct note note;
	struct buf out;

	(void)unused;
	buf_init(&out);
	assert_int_equal(epoch_write(&out, &wrote, seed, NULL), OK);
	assert_int_equal(epoch_read((const char *)out.bytes, out.n, &key, &read, NULL), OK);
	assert_string_equal(read.reason, wrote.reason);
	assert_true(read.old_epoch == 30 && read.new_epoch == 40 && read.from.size == 120 && read.n_ends == 2);
	assert_memory_equal(read.from.root, wrote.from.root, HASH_SIZE);
	/* It is a checkpoint as any other, of the new epoch. */
	assert_int_equal(note_read((const char *)out.bytes, out.n, &note, NULL), OK);
	assert_int_equal(checkpoint_read(note.text, note.text_n, &checkpoint, NULL), OK);
	assert_true(checkpoint.size == 120 && epoch_of_checkpoint(&checkpoint) == 40);
	buf_release(&out);
}

static void test_how_much_is_left(void **unused)
{
	const struct epoch_record record = sample();

	(void)unused;
	assert_int_equal(epoch_left(&record, 1), 90);
	assert_int_equal(epoch_left(&record, 2), 100);   /* of one that this log never had: what the next one began with */
	assert_int_equal(epoch_left(&record, 20), 100);
	assert_int_equal(epoch_left(&record, 30), 120);
	assert_int_equal(epoch_left(&record, 39), 120);
}

static void test_no_byte_may_change(void **unused)
{
	const struct epoch_record wrote = sample();
	const struct note_key key = log_key();
	struct epoch_record read;
	struct buf out;

	(void)unused;
	buf_init(&out);
	assert_int_equal(epoch_write(&out, &wrote, seed, NULL), OK);
	for (size_t i = 0; i < out.n; i++) {
		out.bytes[i] ^= 1;
		assert_int_not_equal(epoch_read((const char *)out.bytes, out.n, &key, &read, NULL), OK);
		out.bytes[i] ^= 1;
		assert_int_not_equal(epoch_read((const char *)out.bytes, i, &key, &read, NULL), OK);
	}
	buf_release(&out);
}

/* Signed by the log, and no record of an epoch. */
static void assert_refused(const char *extensions)
{
	struct note_signer signer = { .name = ORIGIN, .kind = NOTE_ED25519, .seed = seed };
	struct checkpoint checkpoint = { .origin = ORIGIN, .size = 120, .extensions = extensions, .extensions_n = strlen(extensions) };
	const struct note_key key = log_key();
	struct epoch_record read;
	struct buf note;

	buf_init(&note);
	assert_int_equal(checkpoint_write(&note, &checkpoint, NULL), OK);
	assert_int_equal(note_sign(&note, &signer, NULL), OK);
	assert_int_equal(epoch_read((const char *)note.bytes, note.n, &key, &read, NULL), ERR_INVALID);
	buf_release(&note);
}

static void test_what_is_signed_and_no_record(void **unused)
{
	static const char *const others[] = {
		"", "epoch 40\n", "epoch 30 40\n", "reason x\n", "epoch 40 30\nreason x\n", "epoch 30 30\nreason x\n", "epoch 0 1\nreason x\n", "epoch 30 40\nreason x\nends 1 90\n",
		"epoch 30 40\nends 1 200\nreason x\n", "epoch 30 40\nends 30 90\nreason x\n", "epoch 30 40\nends 20 90\nends 1 80\nreason x\n", "epoch 030 40\nreason x\n",
		"epoch -1 40\nreason x\n", "epoch 30 40 50\nreason x\n", "epoch 30 40\nreason x\nreason y\n", "epoch 30 99999999999999999999999\nreason x\n",
	};

	(void)unused;
	for (size_t i = 0; i < sizeof others / sizeof *others; i++)
		assert_refused(others[i]);
}

static void test_what_cannot_be_written(void **unused)
{
	struct epoch_record record = sample();
	struct buf out;

	(void)unused;
	buf_init(&out);
	record.reason[0] = 0;
	assert_int_equal(epoch_write(&out, &record, seed, NULL), ERR_INVALID);
	(void)snprintf(record.reason, sizeof record.reason, "two\nlines");
	assert_int_equal(epoch_write(&out, &record, seed, NULL), ERR_INVALID);
	record = sample();
	record.new_epoch = record.old_epoch;
	assert_int_equal(epoch_write(&out, &record, seed, NULL), ERR_INVALID);
	assert_int_equal(out.n, 0);
	buf_release(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip), cmocka_unit_test(test_how_much_is_left), cmocka_unit_test(test_no_byte_may_change), cmocka_unit_test(test_what_is_signed_and_no_record),
		cmocka_unit_test(test_what_cannot_be_written),
	};

	return crypt_init() ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
