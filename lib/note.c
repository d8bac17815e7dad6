#include "lib/note.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define DASH "\xe2\x80\x94 "                    /* em dash and space: how a signature line begins */
#define COSIGNED "cosignature/v1"               /* how the message of a cosignature begins */
#define ID_SIZE 4
#define TIME_SIZE 8
#define COSIGNATURE_SIZE (TIME_SIZE + SIGNATURE_SIZE)
#define SIGNATURE_BYTES_MAX (ID_SIZE + COSIGNATURE_SIZE) /* of the kinds that we know */
#define ROOT_TEXT 44                            /* base64 of HASH_SIZE bytes */
#define NUMBER_TEXT 20                          /* digits of UINT64_MAX */
#define LINE_ROOM (sizeof DASH + NOTE_NAME_MAX + 4 * (SIGNATURE_BYTES_MAX + 2) / 3 + 8)

/* --- text ------------------------------------------------------------------------------------------------------ */

/* The code point at s (n >= 1 bytes left) and its length; 0 if that is not UTF-8. */
static size_t decode(const uint8_t *s, size_t n, uint32_t *ret_point)
{
	static const struct { uint8_t mask, lead; uint32_t least; } forms[] = { { 0x80, 0x00, 0 }, { 0xe0, 0xc0, 0x80 }, { 0xf0, 0xe0, 0x800 }, { 0xf8, 0xf0, 0x10000 } };

	for (size_t length = 1; length <= 4 && length <= n; length++) {
		uint32_t point = s[0] & (uint8_t)~forms[length - 1].mask;

		if ((s[0] & forms[length - 1].mask) != forms[length - 1].lead)
			continue;
		for (size_t i = 1; i < length; i++) {
			if ((s[i] & 0xc0) != 0x80)
				return 0;
			point = point << 6 | (s[i] & 0x3f);
		}
		if (point < forms[length - 1].least || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff))
			return 0;
		*ret_point = point;
		return length;
	}
	return 0;
}

/* The White_Space property of Unicode, but for the control characters. */
static bool is_space(uint32_t point)
{
	static const uint32_t spaces[] = { 0x20, 0x85, 0xa0, 0x1680, 0x2028, 0x2029, 0x202f, 0x205f, 0x3000 };

	for (size_t i = 0; i < sizeof spaces / sizeof *spaces; i++)
		if (spaces[i] == point)
			return true;
	return point >= 0x2000 && point <= 0x200a;
}

/* UTF-8 without control characters; newline: is it allowed? name: spaces and '+' are not. */
static bool is_text(const char *text, size_t n, bool newline, bool name)
{
	uint32_t point;

	for (size_t at = 0, length; at < n; at += length) {
		length = decode((const uint8_t *)text + at, n - at, &point);
		if (length == 0 || (point < 0x20 && !(newline && point == '\n')))
			return false;
		if (name && (point == '+' || is_space(point)))
			return false;
	}
	return true;
}

bool note_name_is_valid(const char *name, size_t n)
{
	return n > 0 && n <= NOTE_NAME_MAX && is_text(name, n, false, true);
}

/* --- checkpoints ----------------------------------------------------------------------------------------------- */

/* As a key name, but a text that begins like the message of a cosignature could be signed as one thing and shown as the other. */
static bool is_origin(const char *origin, size_t n)
{
	return note_name_is_valid(origin, n) && !(n == sizeof COSIGNED - 1 && memcmp(origin, COSIGNED, n) == 0);
}

/* Lines that are not empty, each with its newline. */
static bool are_extensions(const char *lines, size_t n)
{
	if (n == 0)
		return true;
	return lines[0] != '\n' && lines[n - 1] == '\n' && memmem(lines, n, "\n\n", 2) == NULL && is_text(lines, n, true, false);
}

int checkpoint_write(struct buf *out, const struct checkpoint *checkpoint, struct err *err)
{
	size_t before = out->n;

	if (!is_origin(checkpoint->origin, strnlen(checkpoint->origin, sizeof checkpoint->origin)))
		return err_set(err, ERR_INVALID, "the origin of a checkpoint is a name of 1-%d bytes without spaces, '+' and control characters", NOTE_NAME_MAX);
	if (!are_extensions(checkpoint->extensions, checkpoint->extensions_n))
		return err_set(err, ERR_INVALID, "the extension lines of a checkpoint are not empty and end with a newline");
	(void)buf_printf(out, "%s\n%" PRIu64 "\n", checkpoint->origin, checkpoint->size); /* the buffer remembers its error */
	(void)crypt_base64(out, checkpoint->root, HASH_SIZE);
	(void)buf_text(out, "\n");
	if (checkpoint->extensions_n > 0)
		(void)buf_add(out, checkpoint->extensions, checkpoint->extensions_n);
	if (out->error != OK) {
		out->n = before;
		return err_set(err, out->error, "no memory for a checkpoint");
	}
	return OK;
}

/* The line at *text (without its newline), which moves behind it; NULL when there is none. */
static const char *take_line(const char **text, size_t *n, size_t *ret_n)
{
	const char *line = *text, *end = *n == 0 ? NULL : memchr(line, '\n', *n);

	if (end == NULL)
		return NULL;
	*ret_n = (size_t)(end - line);
	*text = end + 1;
	*n -= *ret_n + 1;
	return line;
}

static bool read_number(const char *text, size_t n, uint64_t *ret_number)
{
	uint64_t number = 0;

	if (n == 0 || n > NUMBER_TEXT || (text[0] == '0' && n > 1))
		return false;
	for (size_t i = 0; i < n; i++) {
		if (text[i] < '0' || text[i] > '9' || __builtin_mul_overflow(number, 10, &number) || __builtin_add_overflow(number, (uint64_t)(text[i] - '0'), &number))
			return false;
	}
	*ret_number = number;
	return true;
}

int checkpoint_read(const char *text, size_t n, struct checkpoint *ret_checkpoint, struct err *err)
{
	struct checkpoint read = { 0 };
	const char *line;
	size_t line_n, root_n;

	line = take_line(&text, &n, &line_n);
	if (line == NULL || !is_origin(line, line_n))
		return err_set(err, ERR_INVALID, "checkpoint, line 1: not a log's name");
	memcpy(read.origin, line, line_n);
	line = take_line(&text, &n, &line_n);
	if (line == NULL || !read_number(line, line_n, &read.size))
		return err_set(err, ERR_INVALID, "checkpoint, line 2: not a tree size");
	line = take_line(&text, &n, &line_n);
	if (line == NULL || line_n != ROOT_TEXT || crypt_base64_read(line, line_n, read.root, sizeof read.root, &root_n) != OK || root_n != HASH_SIZE)
		return err_set(err, ERR_INVALID, "checkpoint, line 3: not a root hash");
	if (!are_extensions(text, n))
		return err_set(err, ERR_INVALID, "checkpoint, line 4: extension lines are neither empty nor cut off");
	read.extensions = n > 0 ? text : NULL;
	read.extensions_n = n;
	*ret_checkpoint = read;
	return OK;
}

/* --- notes ----------------------------------------------------------------------------------------------------- */

/* base64 as written by everyone: how many bytes it stands for, 0 if it is not. The value itself is not needed here, and a foreign signature may be large. */
static size_t base64_size(const char *text, size_t n)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t padding = n >= 2 && text[n - 1] == '=' ? 1 + (text[n - 2] == '=') : 0;

	if (n == 0 || n % 4 != 0)
		return 0;
	for (size_t i = 0; i < n - padding; i++)
		if (text[i] == '\0' || strchr(digits, text[i]) == NULL)
			return 0;
	/* the bits that the last digit has too many are zero: A, Q, g, w with two signs of padding, every fourth digit with one */
	if (padding > 0 && (strchr(digits, text[n - padding - 1]) - digits) % (padding == 2 ? 16 : 4) != 0)
		return 0;
	return n / 4 * 3 - padding;
}

/* "— name base64" */
static bool parse_line(const char *line, size_t n, struct note_line *ret_line)
{
	uint8_t id[ID_SIZE + 2];
	const char *space;
	size_t got;

	if (n < sizeof DASH - 1 || memcmp(line, DASH, sizeof DASH - 1) != 0)
		return false;
	line += sizeof DASH - 1;
	n -= sizeof DASH - 1;
	space = memchr(line, ' ', n);
	if (space == NULL)
		return false;
	ret_line->name = line;
	ret_line->name_n = (size_t)(space - line);
	ret_line->signature = space + 1;
	ret_line->signature_n = n - ret_line->name_n - 1;
	if (!note_name_is_valid(ret_line->name, ret_line->name_n) || base64_size(ret_line->signature, ret_line->signature_n) <= ID_SIZE)
		return false;
	if (crypt_base64_read(ret_line->signature, 8, id, sizeof id, &got) != OK || got < ID_SIZE) /* 8 digits are 5 or 6 bytes */
		return false;
	ret_line->key_id = (uint32_t)id[0] << 24 | (uint32_t)id[1] << 16 | (uint32_t)id[2] << 8 | id[3];
	return true;
}

bool note_next(const struct note *note, size_t *at, struct note_line *ret_line)
{
	const char *line = note->lines + *at;
	size_t left = note->lines_n - *at, n;

	line = take_line(&line, &left, &n);
	if (line == NULL || !parse_line(line, n, ret_line))
		return false;
	*at += n + 1;
	return true;
}

/* Where the text ends: behind the newline before the last empty line; 0 if there is none. */
static size_t text_end(const char *bytes, size_t n)
{
	for (size_t i = n; i >= 2; i--)
		if (bytes[i - 1] == '\n' && bytes[i - 2] == '\n')
			return i - 1;
	return 0;
}

int note_read(const char *bytes, size_t n, struct note *ret_note, struct err *err)
{
	struct note note = { 0 };
	struct note_line line;
	size_t at = 0;

	if (n > NOTE_SIZE_MAX)
		return err_set(err, ERR_TOOBIG, "a note has at most %zu bytes", NOTE_SIZE_MAX);
	if (!is_text(bytes, n, true, false))
		return err_set(err, ERR_INVALID, "note: not UTF-8 text, or control characters in it");
	note.text = bytes;
	note.text_n = text_end(bytes, n);
	if (note.text_n < 2)
		return err_set(err, ERR_INVALID, "note: no empty line between text and signatures");
	note.lines = bytes + note.text_n + 1;
	note.lines_n = n - note.text_n - 1;
	while (note_next(&note, &at, &line))
		if (++note.n_signatures > NOTE_SIGNATURES_MAX)
			return err_set(err, ERR_TOOBIG, "a note has at most %d signatures", NOTE_SIGNATURES_MAX);
	if (at != note.lines_n || note.n_signatures == 0)
		return err_set(err, ERR_INVALID, "note: signature %zu is not a signature line", note.n_signatures + 1);
	*ret_note = note;
	return OK;
}

/* --- signatures ------------------------------------------------------------------------------------------------ */

uint32_t note_key_id(const char *name, enum note_kind kind, const uint8_t public_key[KEY_SIZE])
{
	const uint8_t between[] = { '\n', (uint8_t)kind };
	uint8_t hash[HASH_SIZE];

	crypt_sha256_parts((struct crypt_part[]){ { name, strlen(name) }, { between, sizeof between }, { public_key, KEY_SIZE } }, 3, hash);
	return (uint32_t)hash[0] << 24 | (uint32_t)hash[1] << 16 | (uint32_t)hash[2] << 8 | hash[3];
}

/* What a witness signs; caller releases. */
static int cosigned_message(struct buf *out, const char *text, size_t n, uint64_t time)
{
	buf_init(out);
	(void)buf_printf(out, COSIGNED "\ntime %" PRIu64 "\n", time); /* the buffer remembers its error */
	(void)buf_add(out, text, n);
	return out->error;
}

static void put_big_endian(uint8_t *to, uint64_t number, size_t n)
{
	for (size_t i = 0; i < n; i++)
		to[i] = (uint8_t)(number >> 8 * (n - 1 - i));
}

/* Key id and signature, as they go into the line. */
static int make_signature(const struct note_signer *signer, const char *text, size_t n, uint8_t signature[SIGNATURE_BYTES_MAX], size_t *ret_n)
{
	uint8_t public_key[KEY_SIZE];
	struct buf message;
	int error;

	crypt_sign_public(signer->seed, public_key);
	put_big_endian(signature, note_key_id(signer->name, signer->kind, public_key), ID_SIZE);
	if (signer->kind == NOTE_ED25519) {
		crypt_sign(signer->seed, text, n, signature + ID_SIZE);
		*ret_n = ID_SIZE + SIGNATURE_SIZE;
		return OK;
	}
	put_big_endian(signature + ID_SIZE, signer->time, TIME_SIZE);
	error = cosigned_message(&message, text, n, signer->time);
	if (error == OK)
		crypt_sign(signer->seed, message.bytes, message.n, signature + ID_SIZE + TIME_SIZE);
	buf_release(&message);
	*ret_n = SIGNATURE_BYTES_MAX;
	return error;
}

int note_sign(struct buf *note, const struct note_signer *signer, struct err *err)
{
	uint8_t signature[SIGNATURE_BYTES_MAX];
	struct note there = { .text = (const char *)note->bytes, .text_n = note->n };
	size_t n, before = note->n;
	bool bare;
	int error = OK;

	if (!note_name_is_valid(signer->name, strlen(signer->name)) || signer->time > NOTE_TIME_MAX)
		return err_set(err, ERR_INVALID, "a key name has 1-%d bytes, no spaces, '+' or control characters; a time fits 63 bits", NOTE_NAME_MAX);
	if (note->n + LINE_ROOM > NOTE_SIZE_MAX)
		return err_set(err, ERR_TOOBIG, "a note has at most %zu bytes", NOTE_SIZE_MAX);
	bare = text_end(there.text, note->n) == 0;
	if (bare && (note->n < 2 || there.text[note->n - 1] != '\n' || !is_text(there.text, note->n, true, false)))
		return err_set(err, ERR_INVALID, "what is signed is UTF-8 text that ends with a newline");
	if (!bare)
		error = note_read((const char *)note->bytes, note->n, &there, err);
	if (error == OK && there.n_signatures >= NOTE_SIGNATURES_MAX)
		error = err_set(err, ERR_TOOBIG, "a note has at most %d signatures", NOTE_SIGNATURES_MAX);
	if (error != OK)
		return error;

	error = make_signature(signer, there.text, there.text_n, signature, &n);
	if (error != OK)
		return err_set(err, error, "no memory for a signature");
	(void)buf_printf(note, "%s" DASH "%s ", bare ? "\n" : "", signer->name); /* the buffer remembers its error */
	(void)crypt_base64(note, signature, n);
	(void)buf_text(note, "\n");
	if (note->error != OK) {
		note->n = before;
		return err_set(err, note->error, "no memory for a signature");
	}
	return OK;
}

static bool has_line(const struct note *note, const struct note_line *wanted)
{
	struct note_line line;
	size_t at = 0;

	while (note_next(note, &at, &line))
		if (line.name_n == wanted->name_n && line.signature_n == wanted->signature_n && memcmp(line.name, wanted->name, line.name_n) == 0 &&
		    memcmp(line.signature, wanted->signature, line.signature_n) == 0)
			return true;
	return false;
}

/* The lines of `theirs` that `ours` lacks. */
static int collect_missing(const struct note *ours, const struct note *theirs, struct buf *out)
{
	struct note_line line;
	size_t at = 0;

	while (note_next(theirs, &at, &line)) {
		if (has_line(ours, &line))
			continue;
		(void)buf_text(out, DASH); /* the buffer remembers its error */
		(void)buf_add(out, line.name, line.name_n);
		(void)buf_text(out, " ");
		(void)buf_add(out, line.signature, line.signature_n);
		(void)buf_text(out, "\n");
	}
	return out->error;
}

int note_merge(struct buf *note, const char *other, size_t other_n, struct err *err)
{
	struct note ours = { 0 }, theirs = { 0 };
	struct buf missing;
	size_t before = note->n;
	int error = note_read((const char *)note->bytes, note->n, &ours, err);

	if (error == OK)
		error = note_read(other, other_n, &theirs, err);
	if (error != OK)
		return error;
	if (ours.text_n == 0 || ours.text_n != theirs.text_n || memcmp(ours.text, theirs.text, ours.text_n) != 0)
		return err_set(err, ERR_INVALID, "the two notes do not have the same text");
	buf_init(&missing);
	error = collect_missing(&ours, &theirs, &missing);
	if (error == OK && missing.n > 0)
		error = buf_add(note, missing.bytes, missing.n);
	buf_release(&missing);
	if (error != OK)
		error = err_set(err, error, "no memory for signatures");
	else
		error = note_read((const char *)note->bytes, note->n, &ours, err); /* not too many or too large together */
	if (error != OK)
		note->n = before;
	return error;
}

/* signature: time and signature, COSIGNATURE_SIZE. */
static int verify_cosignature(const struct note *note, const uint8_t *signature, const uint8_t public_key[KEY_SIZE], uint64_t *ret_time)
{
	struct buf message;
	uint64_t time = 0;
	int error;

	for (size_t i = 0; i < TIME_SIZE; i++)
		time = time << 8 | signature[i];
	if (time > NOTE_TIME_MAX)
		return ERR_DENIED;
	error = cosigned_message(&message, note->text, note->text_n, time);
	if (error == OK)
		error = crypt_verify(public_key, message.bytes, message.n, signature + TIME_SIZE);
	buf_release(&message);
	*ret_time = time;
	return error;
}

/* Verifies one line as the key's. */
static int verify_line(const struct note *note, const struct note_line *line, const struct note_key *key, struct note_seen *seen)
{
	size_t due = ID_SIZE + (key->kind == NOTE_COSIGNATURE ? COSIGNATURE_SIZE : SIGNATURE_SIZE), got;
	uint8_t signature[SIGNATURE_BYTES_MAX];
	uint64_t time = 0;
	int error;

	if (crypt_base64_read(line->signature, line->signature_n, signature, sizeof signature, &got) != OK || got != due)
		return ERR_DENIED;
	if (key->kind == NOTE_COSIGNATURE)
		error = verify_cosignature(note, signature + ID_SIZE, key->public_key, &time);
	else
		error = crypt_verify(key->public_key, note->text, note->text_n, signature + ID_SIZE);
	if (error != OK)
		return error;
	seen->verified = true;
	if (time > seen->time)
		seen->time = time;
	return OK;
}

int note_verify(const struct note *note, const struct note_key *keys, size_t n_keys, struct note_seen *ret_seen, struct err *err)
{
	struct note_line line;
	bool any = false;
	size_t at = 0;

	for (size_t i = 0; i < n_keys; i++)
		ret_seen[i] = (struct note_seen){ 0 };
	while (note_next(note, &at, &line)) {
		for (size_t i = 0; i < n_keys; i++) {
			const struct note_key *key = &keys[i];
			int error;

			if (strlen(key->name) != line.name_n || memcmp(key->name, line.name, line.name_n) != 0 || note_key_id(key->name, key->kind, key->public_key) != line.key_id)
				continue;
			error = verify_line(note, &line, key, &ret_seen[i]);
			if (error != OK)
				return err_set(err, error, "the signature of %s does not hold", key->name);
			any = true;
		}
	}
	return any ? OK : err_set(err, ERR_DENIED, "no signature of a known key");
}
