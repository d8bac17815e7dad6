/* Cryptography, all of it: libsodium, and OpenSSL for SHA-256 and the bulk of sealing, are included in crypt*.c only. */
#ifndef LIB_CRYPT_H
#define LIB_CRYPT_H

#include <stddef.h>
#include <stdint.h>

#include "lib/buf.h"
#include "lib/err.h"

#define KEY_SIZE 32
#define HASH_SIZE 32
#define SEAL_OVERHEAD 40        /* 24 nonce + 16 tag */
#define SIGNATURE_SIZE 64

int crypt_init(void);                                    /* once per process; ERR_IO */
void crypt_random(void *bytes, size_t n);
void crypt_wipe(void *bytes, size_t n);

void crypt_sha256(const void *bytes, size_t n, uint8_t ret_hash[HASH_SIZE]);
struct crypt_part { const void *bytes; size_t n; };
void crypt_sha256_parts(const struct crypt_part *parts, size_t n_parts, uint8_t ret_hash[HASH_SIZE]);
/* BLAKE2b keyed: what the store keeps of content that could be guessed. size 16..32 */
void crypt_keyed_hash(const uint8_t key[KEY_SIZE], const void *bytes, size_t n, uint8_t *ret_hash, size_t size);
/* SipHash-2-4 (128 bits) under the first 16 bytes of the key, for the same, in a fifth of the time: who does not have the key can neither tell content from it nor make two that have the same. */
#define TAG_SIZE 16
void crypt_tag(const uint8_t key[KEY_SIZE], const void *bytes, size_t n, uint8_t ret_tag[TAG_SIZE]);
/* The same under a key that this process drew: for tables in memory, not for anything that is stored. */
#define SHORT_HASH_SIZE 16
void crypt_short_hash(const void *bytes, size_t n, uint8_t ret_hash[SHORT_HASH_SIZE]);
void crypt_derive(const uint8_t key[KEY_SIZE], const char context[8], uint64_t number, uint8_t ret_key[KEY_SIZE]);

/* XChaCha20-Poly1305-IETF with a random nonce; out has n + SEAL_OVERHEAD bytes: nonce, ciphertext, tag. `bound` (may be empty) is authenticated with it. */
void crypt_seal(const uint8_t key[KEY_SIZE], const void *bytes, size_t n, const void *bound, size_t bound_n, uint8_t *ret_sealed);
/* ERR_DENIED when key, bytes or bound do not match; ret_bytes has n - SEAL_OVERHEAD bytes. */
int crypt_open(const uint8_t key[KEY_SIZE], const uint8_t *sealed, size_t n, const void *bound, size_t bound_n, uint8_t *ret_bytes);
/* Nothing of a key that this thread sealed or opened with stays in this library's memory: when a key is destroyed. */
void crypt_seal_forget(void);

/* Ed25519 (RFC 8032). Secret key: 32-byte seed. */
void crypt_sign_keypair(uint8_t ret_seed[KEY_SIZE], uint8_t ret_public[KEY_SIZE]);
void crypt_sign_public(const uint8_t seed[KEY_SIZE], uint8_t ret_public[KEY_SIZE]);
void crypt_sign(const uint8_t seed[KEY_SIZE], const void *bytes, size_t n, uint8_t ret_signature[SIGNATURE_SIZE]);
int crypt_verify(const uint8_t public_key[KEY_SIZE], const void *bytes, size_t n, const uint8_t signature[SIGNATURE_SIZE]); /* ERR_DENIED */

/* Key files. One NAME.pub and one NAME.key hold an identity: a CURVE pair (transport, Z85 as libzmq wants it), and an Ed25519 pair (signing). Text files,
 * "reentry key 1" first line, then "curve = …" and "sign = …"; NAME.key is 0600 and made with O_EXCL; reading one that others may read is ERR_DENIED with what to do. */
struct key_pair { char curve_public[41], curve_secret[41]; uint8_t sign_public[KEY_SIZE], sign_seed[KEY_SIZE]; int has_secret; };
int key_generate(const char *dir, const char *name, struct err *err);     /* refuses to overwrite: ERR_EXISTS */
int key_read_public(const char *path, struct key_pair *ret_pair, struct err *err);
int key_read_secret(const char *path, struct key_pair *ret_pair, struct err *err);
/* A 32-byte secret of our own (master key, store key): made on first use, 0600. */
int key_read_or_make_raw(const char *path, uint8_t ret_key[KEY_SIZE], struct err *err);

/* base64 (standard, padded) and hex */
int crypt_base64(struct buf *out, const void *bytes, size_t n);
int crypt_base64_read(const char *text, size_t n, uint8_t *ret_bytes, size_t room, size_t *ret_n); /* ERR_INVALID */
int crypt_hex(struct buf *out, const void *bytes, size_t n);

#endif
