/* Any bytes as a signed note: refused, or read to lines that add up; a checkpoint in it is written again as the same bytes; what is signed or merged reads again;
 * and no text but the one that was signed is ever taken for signed by the log. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/note.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

/* The only text that the log's key (seed 00 01 … 1f) has signed; its signature is in the corpus. */
static const char signed_text[] = "reentry.example/log\n8\nXcnaeacGWamtVZy3Ad7ZoqudgjqtL0lgz+Nw7/RgQyg=\n";
enum { LOG, WITNESS, KEYS };
static struct note_key keys[KEYS] = { { "reentry.example/log", NOTE_ED25519, { 0 } }, { "gm0344", NOTE_COSIGNATURE, { 0 } } };
static uint8_t seeds[KEYS][KEY_SIZE];

static void require(int truth)
{
	if (!truth)
		abort(); /* what libFuzzer reports */
}

static void prepare(void)
{
	static int done;

	if (done)
		return;
	require(crypt_init() == OK);
	for (int k = 0; k < KEYS; k++) {
		for (int i = 0; i < KEY_SIZE; i++)
			seeds[k][i] = (uint8_t)(KEY_SIZE * k + i);
		crypt_sign_public(seeds[k], keys[k].public_key);
	}
	done = 1;
}

static void checkpoint_again(const char *text, size_t n)
{
	struct checkpoint checkpoint;
	struct buf again;

	if (checkpoint_read(text, n, &checkpoint, NULL) != OK)
		return;
	buf_init(&again);
	require(checkpoint_write(&again, &checkpoint, NULL) == OK);
	require(again.n == n && memcmp(again.bytes, text, n) == 0);
	buf_release(&again);
}

static void lines_add_up(const struct note *note)
{
	struct note_line line;
	size_t at = 0, count = 0;

	while (note_next(note, &at, &line)) {
		require(note_name_is_valid(line.name, line.name_n));
		require(line.signature_n > 0 && line.signature_n % 4 == 0);
		count++;
	}
	require(at == note->lines_n && count == note->n_signatures && count <= NOTE_SIGNATURES_MAX);
	require(note->text[note->text_n - 1] == '\n' && note->lines == note->text + note->text_n + 1);
}

static void sign_and_merge(const uint8_t *bytes, size_t n, size_t n_signatures)
{
	const struct note_signer witness = { keys[WITNESS].name, NOTE_COSIGNATURE, seeds[WITNESS], 1803636000 };
	struct note_seen seen;
	struct note note;
	struct buf copy;

	buf_init(&copy);
	require(buf_add(&copy, bytes, n) == OK);
	require(note_merge(&copy, (const char *)bytes, n, NULL) == OK && copy.n == n);
	if (note_sign(&copy, &witness, NULL) == OK) {
		require(note_read((const char *)copy.bytes, copy.n, &note, NULL) == OK && note.n_signatures == n_signatures + 1);
		/* unless a false one in this name was there before */
		if (note_verify(&note, &keys[WITNESS], 1, &seen, NULL) == OK)
			require(seen.verified && seen.time >= witness.time);
	}
	buf_release(&copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct note_seen seen[KEYS];
	struct note note;

	prepare();
	checkpoint_again((const char *)bytes, n);
	if (note_read((const char *)bytes, n, &note, NULL) != OK)
		return 0;
	lines_add_up(&note);
	checkpoint_again(note.text, note.text_n);
	if (note_verify(&note, keys, KEYS, seen, NULL) == OK && seen[LOG].verified)
		require(note.text_n == sizeof signed_text - 1 && memcmp(note.text, signed_text, note.text_n) == 0);
	sign_and_merge(bytes, n, note.n_signatures);
	return 0;
}
