/* Proves that notes and checkpoints are those of C2SP (Go's published note, and one made by an independent program), that they read back, and that a note whose form, text or signature
 * was changed in any byte is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/note.h"

static struct err err;

/* Made with PyNaCl from the text of the specifications: seeds 00 01 02 … 1f (log) and 20 21 … 3f (witness). */
#define TEXT "reentry.example/log\n8\nXcnaeacGWamtVZy3Ad7ZoqudgjqtL0lgz+Nw7/RgQyg=\n"
#define LOG_LINE "— reentry.example/log 4YV8BittlHvAaW3wDxnvcg8CUNGm/inmOQouYHBxSEPg3m1+l/ds6xzNNid9kBcEk+plY/cw1uNaSyLS49rHdiULUgo=\n"
#define WITNESS_LINE "— gm0344 oQjgSwAAAABrgU0gT17VqYzzNKqO+afxVgyVS61gH3iApX0m5B2Y7AFZZEKgrZUxynggLqR6cb9dMxMqfWXi2Wd5lgx1Xor1YQ/sDA==\n"
#define WITNESSED 1803636000

enum { LOG, WITNESS, STRANGER, KEYS };
static uint8_t seeds[KEYS][KEY_SIZE];
static struct note_key keys[KEYS] = { { "reentry.example/log", NOTE_ED25519, { 0 } }, { "gm0344", NOTE_COSIGNATURE, { 0 } }, { "gm0599", NOTE_COSIGNATURE, { 0 } } };

static struct note_signer signer(int who)
{
	return (struct note_signer){ keys[who].name, keys[who].kind, seeds[who], WITNESSED };
}

static int read_text(const char *text, struct note *note)
{
	return note_read(text, strlen(text), note, &err);
}

static int verify_text(const char *text, struct note_seen seen[KEYS])
{
	struct note note;
	int error = read_text(text, &note);

	return error != OK ? error : note_verify(&note, keys, KEYS, seen, &err);
}

/* --- vectors --------------------------------------------------------------------------------------------------- */

/* golang.org/x/mod/sumdb/note, its documentation's example */
static void the_published_note_verifies(void **state)
{
	static const char text[] = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
	static const char line[] = "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
	static const uint8_t seed[KEY_SIZE] = { 0x81, 0x0a, 0x14, 0x02, 0xd5, 0x14, 0x6c, 0x8d, 0x84, 0xf2, 0x44, 0x33, 0x30, 0xf5, 0x40, 0x80,
	                                        0xeb, 0xf9, 0x8e, 0xe1, 0x7d, 0x9c, 0x74, 0xf6, 0x25, 0x2f, 0xc5, 0xd5, 0xc7, 0x28, 0x31, 0x73 };
	const struct note_key key = { "PeterNeumann", NOTE_ED25519,
	                              { 0x1a, 0x5c, 0xd9, 0x07, 0x14, 0x3c, 0x38, 0x4c, 0x41, 0xe8, 0x30, 0xc5, 0xbc, 0xe1, 0x2a, 0xa8,
	                                0x81, 0x7e, 0xc5, 0x64, 0x9a, 0xaa, 0xbf, 0x2c, 0x31, 0x38, 0x8b, 0x35, 0xb2, 0xd7, 0x44, 0xd6 } };
	const struct note_signer peter = { "PeterNeumann", NOTE_ED25519, seed, 0 };
	struct note_seen seen;
	struct note note;
	struct buf made;

	(void)state;
	assert_int_equal(note_key_id(key.name, key.kind, key.public_key), 0xc74f20a3);
	buf_init(&made);
	assert_int_equal(buf_text(&made, text), OK);
	assert_int_equal(note_sign(&made, &peter, &err), OK);
	assert_int_equal(made.n, strlen(text) + 1 + strlen(line));
	assert_memory_equal(made.bytes + strlen(text) + 1, line, strlen(line));
	assert_int_equal(note_read((char *)made.bytes, made.n, &note, &err), OK);
	assert_int_equal(note.text_n, strlen(text));
	assert_int_equal(note_verify(&note, &key, 1, &seen, &err), OK);
	assert_true(seen.verified);
	buf_release(&made);
}

static void a_checkpoint_is_signed_and_cosigned_as_specified(void **state)
{
	struct checkpoint checkpoint = { .origin = "reentry.example/log", .size = 8 };
	const struct note_signer log = signer(LOG), witness = signer(WITNESS);
	struct note_seen seen[KEYS];
	struct note note;
	struct buf made;
	size_t n;

	(void)state;
	assert_int_equal(crypt_base64_read("XcnaeacGWamtVZy3Ad7ZoqudgjqtL0lgz+Nw7/RgQyg=", 44, checkpoint.root, HASH_SIZE, &n), OK);
	buf_init(&made);
	assert_int_equal(checkpoint_write(&made, &checkpoint, &err), OK);
	assert_string_equal((char *)made.bytes, TEXT);
	assert_int_equal(note_sign(&made, &log, &err), OK);
	assert_string_equal((char *)made.bytes, TEXT "\n" LOG_LINE);
	assert_int_equal(note_sign(&made, &witness, &err), OK);
	assert_string_equal((char *)made.bytes, TEXT "\n" LOG_LINE WITNESS_LINE);

	assert_int_equal(note_read((char *)made.bytes, made.n, &note, &err), OK);
	assert_int_equal(note.n_signatures, 2);
	assert_int_equal(note_verify(&note, keys, KEYS, seen, &err), OK);
	assert_true(seen[LOG].verified && seen[WITNESS].verified && !seen[STRANGER].verified);
	assert_int_equal(seen[LOG].time, 0);
	assert_int_equal(seen[WITNESS].time, WITNESSED);
	memset(&checkpoint, 0, sizeof checkpoint);
	assert_int_equal(checkpoint_read(note.text, note.text_n, &checkpoint, &err), OK);
	assert_string_equal(checkpoint.origin, "reentry.example/log");
	assert_int_equal(checkpoint.size, 8);
	assert_int_equal(checkpoint.extensions_n, 0);
	buf_release(&made);
}

/* --- verifying ------------------------------------------------------------------------------------------------- */

static void only_known_keys_count(void **state)
{
	struct note_seen seen[KEYS];
	struct note_key other_kind = keys[LOG];
	struct note note;

	(void)state;
	assert_int_equal(verify_text(TEXT "\n" WITNESS_LINE, seen), OK);
	assert_true(!seen[LOG].verified && seen[WITNESS].verified);
	assert_int_equal(verify_text(TEXT "\n" LOG_LINE LOG_LINE, seen), OK); /* twice is no harm */
	/* unknown signatures of any size are passed over: as many bytes as a post-quantum one, a known name with another id, a known id with another name */
	assert_int_equal(verify_text(TEXT "\n— elsewhere.example AAAAAAA=\n— gm0344 AAAAAAAA\n— gm0345 oQjgSwAA\n" LOG_LINE, seen), OK);
	assert_true(seen[LOG].verified && !seen[WITNESS].verified);
	assert_int_equal(read_text(TEXT "\n" LOG_LINE, &note), OK);
	assert_int_equal(note_verify(&note, keys, 0, seen, &err), ERR_DENIED);
	assert_int_equal(note_verify(&note, &keys[WITNESS], 1, seen, &err), ERR_DENIED);
	other_kind.kind = NOTE_COSIGNATURE;
	assert_int_equal(note_verify(&note, &other_kind, 1, seen, &err), ERR_DENIED);
}

static void a_false_signature_of_a_known_key_spoils_the_note(void **state)
{
	struct note_seen seen[KEYS];

	(void)state;
	/* right name and id, and a signature that is too short, too long, or that of the witness for another time */
	assert_int_equal(verify_text(TEXT "\n" LOG_LINE "— gm0344 oQjgSwAA\n", seen), ERR_DENIED);
	assert_int_equal(verify_text(TEXT "\n" LOG_LINE "— gm0344 oQjgSwAAAABrgU0hT17VqYzzNKqO+afxVgyVS61gH3iApX0m5B2Y7AFZZEKgrZUxynggLqR6cb9dMxMqfWXi2Wd5lgx1Xor1YQ/sDA==\n", seen), ERR_DENIED);
	assert_int_equal(verify_text(TEXT "\n" LOG_LINE "— gm0344 oQjgS/////////8gT17VqYzzNKqO+afxVgyVS61gH3iApX0m5B2Y7AFZZEKgrZUxynggLqR6cb9dMxMqfWXi2Wd5lgx1Xor1YQ/sDA==\n", seen), ERR_DENIED);
	assert_int_equal(verify_text(TEXT "\n" LOG_LINE "— gm0344 oQjgSwAAAABrgU0gT17VqYzzNKqO+afxVgyVS61gH3iApX0m5B2Y7AFZZEKgrZUxynggLqR6cb9dMxMqfWXi2Wd5lgx1Xor1YQ/sDAAA\n", seen), ERR_DENIED);
}

static void every_flipped_bit_is_found(void **state)
{
	static const char whole[] = TEXT "\n" LOG_LINE WITNESS_LINE;
	const size_t n = sizeof whole - 1;
	struct note_seen seen[KEYS];
	char *changed = malloc(n); /* of its very size, so that reading beyond it shows */

	(void)state;
	assert_non_null(changed);
	for (size_t bit = 0; bit < 8 * n; bit++) {
		struct note note;

		memcpy(changed, whole, n);
		changed[bit / 8] = (char)(changed[bit / 8] ^ 1 << bit % 8);
		if (note_read(changed, n, &note, &err) != OK)
			continue;
		/* what still reads as a note says less: some signature is of an unknown key now, or none holds */
		if (note_verify(&note, keys, KEYS, seen, &err) == OK)
			assert_false(seen[LOG].verified && seen[WITNESS].verified);
	}
	for (size_t cut = 0; cut < n; cut++) {
		struct note note;
		char *shorter = malloc(cut + 1);

		assert_non_null(shorter);
		memcpy(shorter, whole, cut);
		shorter = realloc(shorter, cut > 0 ? cut : 1);
		assert_non_null(shorter);
		/* a note may only be cut behind a whole line */
		assert_int_equal(note_read(shorter, cut, &note, &err) == OK, cut == n - (sizeof WITNESS_LINE - 1));
		free(shorter);
	}
	free(changed);
}

/* --- form ------------------------------------------------------------------------------------------------------ */

static void what_is_no_note_is_refused(void **state)
{
	static const char *const bad[] = {
		"", "\n", "\n\n", "text\n", "text", "text\n\n", "text\n\n\n", "text\n\n" "no line\n", "\n\n" LOG_LINE, "text\n" LOG_LINE,
		TEXT "\n" "- gm0344 AAAAAAA=\n", TEXT "\n" "—gm0344 AAAAAAA=\n", TEXT "\n" "— gm0344\n", TEXT "\n" "— gm0344 \n", TEXT "\n" "—  AAAAAAA=\n",
		TEXT "\n" "— gm0344 AAAAAAA\n", TEXT "\n" "— gm0344 AAAAAAA=", TEXT "\n" "— gm0344 AAAAAA==\n" /* the id alone */, TEXT "\n" "— gm0344 AAAAAAB=\n", TEXT "\n" "— gm0344 AAAA AAA=\n",
		TEXT "\n" "— gm0344  AAAAAAA=\n", TEXT "\n" "— gm0344 AAAAAAA= \n", TEXT "\n" "— gm+0344 AAAAAAA=\n", TEXT "\n" "— gm\xc2\xa0" "0344 AAAAAAA=\n", TEXT "\n" "— gm\xe2\x80\x83 AAAAAAA=\n",
		TEXT "\n" "— gm0344 AAAAAAA=\r\n", TEXT "\n" "— gm\x01 AAAAAAA=\n", "te\txt\n\n" LOG_LINE, "te\xff\n\n" LOG_LINE, "te\xc0\xaf\n\n" LOG_LINE, "te\xed\xa0\x80\n\n" LOG_LINE,
		"te\xf4\x90\x80\x80\n\n" LOG_LINE, "te\xe2\x82\n\n" LOG_LINE, TEXT "\n" LOG_LINE "more\n", TEXT "\n" "— gm0344 AAAAAAA=AAAAAAAA\n",
	};
	struct note note;

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		if (read_text(bad[i], &note) != ERR_INVALID)
			fail_msg("taken for a note: %s", bad[i]);
	assert_int_equal(note_read("te\0xt\n\n— gm0344 AAAAAAA=\n", 27, &note, &err), ERR_INVALID);
	/* but a text may have empty lines, any language, and the signatures are behind the last one */
	assert_int_equal(read_text("één\n\n\ntwee \xf0\x9f\x8c\xb7\n\n" LOG_LINE, &note), OK);
	assert_int_equal(note.text_n, strlen("één\n\n\ntwee \xf0\x9f\x8c\xb7\n"));
}

static void what_is_no_checkpoint_is_refused(void **state)
{
#define ROOT "XcnaeacGWamtVZy3Ad7ZoqudgjqtL0lgz+Nw7/RgQyg="
	static const char *const bad[] = {
		"", "log", "log\n", "log\n8\n", "log\n8\n" ROOT, "\n8\n" ROOT "\n", "log\n\n" ROOT "\n", "log\n08\n" ROOT "\n", "log\n+8\n" ROOT "\n", "log\n-8\n" ROOT "\n", "log\n 8\n" ROOT "\n",
		"log\n8x\n" ROOT "\n", "log\n18446744073709551616\n" ROOT "\n", "log\n99999999999999999999\n" ROOT "\n", "log\n100000000000000000000\n" ROOT "\n", "log\n8\n\n",
		"log\n8\nXcnaeacGWamtVZy3Ad7ZoqudgjqtL0lgz+Nw7/RgQy==\n", "log\n8\nXcnaeacGWamtVZy3Ad7ZoqudgjqtL0lgz+Nw7/RgQyh=\n", "log\n8\n" ROOT "\n\n", "log\n8\n" ROOT "\nextension",
		"log\n8\n" ROOT "\none\n\ntwo\n", "a log\n8\n" ROOT "\n", "a+log\n8\n" ROOT "\n", "cosignature/v1\n8\n" ROOT "\n",
	};
	struct checkpoint checkpoint;

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		if (checkpoint_read(bad[i], strlen(bad[i]), &checkpoint, &err) != ERR_INVALID)
			fail_msg("taken for a checkpoint: %s", bad[i]);
	assert_int_equal(checkpoint_read("log\n18446744073709551615\n" ROOT "\n", strlen("log\n18446744073709551615\n" ROOT "\n"), &checkpoint, &err), OK);
	assert_true(checkpoint.size == UINT64_MAX);
}

static void a_checkpoint_reads_back_with_its_extensions(void **state)
{
	static const char extensions[] = "epoch 3\nhorizon 1803636000\n";
	struct checkpoint written = { .origin = "log", .size = 0, .extensions = extensions, .extensions_n = sizeof extensions - 1 }, read;
	struct buf text;

	(void)state;
	memset(written.root, 0xa5, HASH_SIZE);
	buf_init(&text);
	assert_int_equal(checkpoint_write(&text, &written, &err), OK);
	assert_int_equal(checkpoint_read((char *)text.bytes, text.n, &read, &err), OK);
	assert_string_equal(read.origin, "log");
	assert_int_equal(read.size, 0);
	assert_memory_equal(read.root, written.root, HASH_SIZE);
	assert_int_equal(read.extensions_n, written.extensions_n);
	assert_memory_equal(read.extensions, extensions, read.extensions_n);

	/* nothing is written that could not be read, and the buffer stays as it was */
	size_t n = text.n;
	written.extensions = "one\n\ntwo\n";
	written.extensions_n = 9;
	assert_int_equal(checkpoint_write(&text, &written, &err), ERR_INVALID);
	written.extensions_n = 0;
	memset(written.origin, 'x', sizeof written.origin); /* without its NUL */
	assert_int_equal(checkpoint_write(&text, &written, &err), ERR_INVALID);
	(void)snprintf(written.origin, sizeof written.origin, "cosignature/v1");
	assert_int_equal(checkpoint_write(&text, &written, &err), ERR_INVALID);
	written.origin[0] = '\0';
	assert_int_equal(checkpoint_write(&text, &written, &err), ERR_INVALID);
	assert_int_equal(text.n, n);
	buf_release(&text);
}

static void signing_what_is_no_text_is_refused(void **state)
{
	static const char *const bad[] = { "", "\n", "no newline", "te\xff\n", "te\tx\n", "text\n\nno signature\n", "text\n\n" };
	struct note_signer log = signer(LOG), witness = signer(WITNESS);
	struct buf text;

	(void)state;
	buf_init(&text);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		buf_clear(&text);
		assert_int_equal(buf_text(&text, bad[i]), OK);
		assert_int_equal(note_sign(&text, &log, &err), ERR_INVALID);
		assert_int_equal(text.n, strlen(bad[i]));
	}
	buf_clear(&text);
	assert_int_equal(buf_text(&text, TEXT), OK);
	log.name = "a log";
	assert_int_equal(note_sign(&text, &log, &err), ERR_INVALID);
	witness.time = NOTE_TIME_MAX + 1;
	assert_int_equal(note_sign(&text, &witness, &err), ERR_INVALID);
	assert_int_equal(text.n, strlen(TEXT));
	buf_release(&text);
}

static void cosignatures_that_came_one_by_one_are_put_together(void **state)
{
	const struct note_signer stranger = signer(STRANGER);
	struct note_seen seen[KEYS];
	struct buf note, other;

	(void)state;
	buf_init(&note);
	buf_init(&other);
	assert_int_equal(buf_text(&note, TEXT "\n" LOG_LINE), OK);
	assert_int_equal(buf_text(&other, TEXT "\n" LOG_LINE), OK);
	assert_int_equal(note_sign(&other, &stranger, &err), OK);
	assert_int_equal(note_merge(&note, TEXT "\n" LOG_LINE WITNESS_LINE, strlen(TEXT "\n" LOG_LINE WITNESS_LINE), &err), OK);
	assert_string_equal((char *)note.bytes, TEXT "\n" LOG_LINE WITNESS_LINE);
	assert_int_equal(note_merge(&note, (char *)other.bytes, other.n, &err), OK);
	assert_int_equal(note_merge(&note, (char *)other.bytes, other.n, &err), OK); /* nothing new */
	assert_int_equal(verify_text((char *)note.bytes, seen), OK);
	assert_true(seen[LOG].verified && seen[WITNESS].verified && seen[STRANGER].verified);
	size_t n = note.n;
	assert_int_equal(note_merge(&note, "other text\n\n" WITNESS_LINE, strlen("other text\n\n" WITNESS_LINE), &err), ERR_INVALID);
	assert_int_equal(note_merge(&note, "no note\n", 8, &err), ERR_INVALID);
	assert_int_equal(note.n, n);
	buf_release(&note);
	buf_release(&other);
}

static void there_is_a_bound_on_signatures_and_size(void **state)
{
	const struct note_signer log = signer(LOG);
	struct note_seen seen[KEYS];
	struct note note;
	struct buf text;
	size_t n;

	(void)state;
	buf_init(&text);
	assert_int_equal(buf_text(&text, TEXT "\n"), OK);
	for (int i = 0; i < NOTE_SIGNATURES_MAX; i++)
		assert_int_equal(buf_printf(&text, "— w%d AAAAAAA=\n", i), OK);
	assert_int_equal(note_read((char *)text.bytes, text.n, &note, &err), OK);
	assert_int_equal(note.n_signatures, NOTE_SIGNATURES_MAX);
	assert_int_equal(note_verify(&note, keys, KEYS, seen, &err), ERR_DENIED);
	n = text.n;
	assert_int_equal(note_sign(&text, &log, &err), ERR_TOOBIG);
	assert_int_equal(note_merge(&text, TEXT "\n" LOG_LINE, strlen(TEXT "\n" LOG_LINE), &err), ERR_TOOBIG);
	assert_int_equal(text.n, n);
	assert_int_equal(buf_text(&text, "— one-more AAAAAAA=\n"), OK);
	assert_int_equal(note_read((char *)text.bytes, text.n, &note, &err), ERR_TOOBIG);
	while (text.n <= NOTE_SIZE_MAX)
		assert_int_equal(buf_text(&text, "— one-more AAAAAAA=\n"), OK);
	assert_int_equal(note_read((char *)text.bytes, text.n, &note, &err), ERR_TOOBIG);
	buf_release(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_published_note_verifies),
		cmocka_unit_test(a_checkpoint_is_signed_and_cosigned_as_specified),
		cmocka_unit_test(only_known_keys_count),
		cmocka_unit_test(a_false_signature_of_a_known_key_spoils_the_note),
		cmocka_unit_test(every_flipped_bit_is_found),
		cmocka_unit_test(what_is_no_note_is_refused),
		cmocka_unit_test(what_is_no_checkpoint_is_refused),
		cmocka_unit_test(a_checkpoint_reads_back_with_its_extensions),
		cmocka_unit_test(signing_what_is_no_text_is_refused),
		cmocka_unit_test(cosignatures_that_came_one_by_one_are_put_together),
		cmocka_unit_test(there_is_a_bound_on_signatures_and_size),
	};

	if (crypt_init() != OK)
		return 1;
	for (int k = 0; k < KEYS; k++) {
		for (int i = 0; i < KEY_SIZE; i++)
			seeds[k][i] = (uint8_t)(KEY_SIZE * k + i);
		crypt_sign_public(seeds[k], keys[k].public_key);
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
