/* Signed notes and checkpoints of a log (C2SP signed-note, tlog-checkpoint and tlog-cosignature, v1.0.0 each; Ed25519 only). Pure; what is read may come from an enemy.
 *
 *   origin\n size\n base64(root)\n [extension line\n …] \n — name base64(key id ‖ signature)\n …
 *
 * The text ends with its newline; the last empty line parts it from the signatures. A key is known by its name and its id together. */
#ifndef LIB_NOTE_H
#define LIB_NOTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/buf.h"
#include "lib/crypt.h"
#include "lib/err.h"

#define NOTE_SIZE_MAX ((size_t)256 << 10)   /* of a whole note, bytes */
#define NOTE_SIGNATURES_MAX 1024            /* the log's and one of each witness */
#define NOTE_NAME_MAX 128                   /* of a key, and of an origin; bytes */
#define NOTE_TIME_MAX ((uint64_t)INT64_MAX) /* POSIX seconds */

/* Signature types: the byte that goes into the key id. */
enum note_kind {
	NOTE_ED25519 = 0x01,       /* of the log: over the text */
	NOTE_COSIGNATURE = 0x04,   /* of a witness: over "cosignature/v1\ntime SECONDS\n" and the text */
};

/* --- checkpoints ----------------------------------------------------------------------------------------------------- */

struct checkpoint {
	char origin[NOTE_NAME_MAX + 1];   /* names the log; as a key name */
	uint64_t size;                    /* leaves */
	uint8_t root[HASH_SIZE];
	const char *extensions;           /* lines, each with its newline; borrowed; NULL or "" for none */
	size_t extensions_n;
};
/* Appends the text of a checkpoint. ERR_INVALID: origin or extensions of the wrong form (also an origin that a cosignature could be taken for). ERR_NOMEM. */
int checkpoint_write(struct buf *out, const struct checkpoint *checkpoint, struct err *err);
/* Reads the text (of a note) back; only what checkpoint_write would write. ERR_INVALID. extensions is borrowed from text. */
int checkpoint_read(const char *text, size_t n, struct checkpoint *ret_checkpoint, struct err *err);

/* --- notes ----------------------------------------------------------------------------------------------------------- */

struct note {
	const char *text; size_t text_n;     /* with its last newline; borrowed from what was read */
	const char *lines; size_t lines_n;   /* the signature lines */
	size_t n_signatures;                 /* 1 to NOTE_SIGNATURES_MAX */
};
struct note_line {
	const char *name; size_t name_n;     /* borrowed */
	uint32_t key_id;
	const char *signature; size_t signature_n;   /* base64 of key id and signature; borrowed */
};
/* ERR_INVALID: not a signed note (UTF-8, control characters, form of every line, base64); ERR_TOOBIG. Signatures are not verified. */
int note_read(const char *bytes, size_t n, struct note *ret_note, struct err *err);
/* The signature lines one after the other: *at begins as 0. */
bool note_next(const struct note *note, size_t *at, struct note_line *ret_line);

/* 1 to NOTE_NAME_MAX bytes of UTF-8 without control characters, Unicode spaces and '+'. */
bool note_name_is_valid(const char *name, size_t n);
uint32_t note_key_id(const char *name, enum note_kind kind, const uint8_t public_key[KEY_SIZE]);

struct note_signer {
	const char *name;
	enum note_kind kind;
	const uint8_t *seed;                 /* KEY_SIZE; borrowed. One seed is never used for two names as witness (tlog-cosignature) */
	uint64_t time;                       /* POSIX seconds; NOTE_COSIGNATURE only */
};
/* Appends a signature line, to a text without signatures (then the empty line too) or to a signed note. ERR_INVALID, ERR_TOOBIG: the buffer is as it was. ERR_NOMEM.
 * Does not look at the signatures that are there; a witness verifies first. */
int note_sign(struct buf *note, const struct note_signer *signer, struct err *err);
/* Adds to a note those lines of another note with the very same text that it does not have yet (cosignatures that came one by one). ERR_INVALID when the texts differ. */
int note_merge(struct buf *note, const char *other, size_t other_n, struct err *err);

struct note_key { const char *name; enum note_kind kind; uint8_t public_key[KEY_SIZE]; };
struct note_seen { bool verified; uint64_t time; };   /* time: of the latest cosignature of that key, POSIX seconds; else 0 */
/* Verifies every signature that claims to be of one of the keys; others are ignored. ret_seen has n_keys elements: who has signed. OK when at least one has; which of them are needed is the
 * caller's to decide. ERR_DENIED: none has, or a signature of a known key does not hold (the message names it). */
int note_verify(const struct note *note, const struct note_key *keys, size_t n_keys, struct note_seen *ret_seen, struct err *err);

#endif
