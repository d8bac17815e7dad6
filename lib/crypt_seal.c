/* XChaCha20-Poly1305, as libsodium defines it. OpenSSL does the larger part of it in two thirds of the time on processors with wide registers: XChaCha20-Poly1305 is ChaCha20-Poly1305 (RFC 8439)
 * under a key that HChaCha20 makes of the key and the first 16 bytes of the nonce. Both write the same bytes, so whoever cannot use the one (no such algorithm) uses the other.
 * OpenSSL 3.0 ends the process when its very first use finds no memory: that is a kill -9 to us (docs/reliability.md). */
#include "lib/crypt.h"

#include <limits.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <sodium.h>
#include <stdbool.h>
#include <string.h>

#include "lib/crypt_own.h"

#define NONCE_SIZE crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
_Static_assert(SEAL_OVERHEAD == NONCE_SIZE + TAG_SIZE && TAG_SIZE == crypto_aead_xchacha20poly1305_ietf_ABYTES, "the header promises this size");

/* --- nonces ---------------------------------------------------------------------------------------------------- */

/* Nonces are drawn from the kernel many at a time: a system call for each would cost as much as the encryption of the event.
 * They are public, so a pool of them needs no protection, only that none is ever used twice: hence the reset in a forked child. */
#define NONCE_POOL (64 * NONCE_SIZE)
static _Thread_local uint8_t nonce_pool[NONCE_POOL];
static _Thread_local size_t nonce_used = NONCE_POOL;

void crypt_forget_nonces(void)
{
	nonce_used = NONCE_POOL;
}

static void take_nonce(uint8_t nonce[NONCE_SIZE])
{
	if (nonce_used == NONCE_POOL) {
		randombytes_buf(nonce_pool, sizeof nonce_pool);
		nonce_used = 0;
	}
	memcpy(nonce, nonce_pool + nonce_used, NONCE_SIZE);
	nonce_used += NONCE_SIZE;
}

/* --- OpenSSL's ------------------------------------------------------------------------------------------------- */

#define UNTIL_FAST 8192 /* looking an algorithm up takes OpenSSL 2 to 4 ms: a program that seals little, and a start, which opens some 4,096 records, do without */

struct fast { EVP_CIPHER_CTX *context; unsigned asked; };
static _Thread_local struct fast fast;
static pthread_key_t fast_key; /* only to free what a thread had */
static pthread_once_t fast_once = PTHREAD_ONCE_INIT;
static bool fast_ready;

static void fast_free(void *context)
{
	EVP_CIPHER_CTX_free(context); /* overwrites the key that was used last */
}

static void fast_begin(void)
{
	fast_ready = pthread_key_create(&fast_key, fast_free) == 0;
}

/* NULL: not, or not yet. */
static EVP_CIPHER_CTX *fast_context(void)
{
	EVP_CIPHER_CTX *context;

	if (fast.context != NULL || fast.asked > UNTIL_FAST || fast.asked++ < UNTIL_FAST)
		return fast.context;
	if (pthread_once(&fast_once, fast_begin) != 0 || !fast_ready)
		return NULL;
	context = EVP_CIPHER_CTX_new();
	if (context != NULL && (EVP_CipherInit_ex(context, EVP_chacha20_poly1305(), NULL, NULL, NULL, 1) != 1 || pthread_setspecific(fast_key, context) != 0)) {
		EVP_CIPHER_CTX_free(context);
		context = NULL;
	}
	fast.context = context;
	return context;
}

struct job { const uint8_t *key, *nonce, *in; size_t n; const void *bound; size_t bound_n; uint8_t *out; };

/* Everything but the tag. False: OpenSSL would not, and nothing counts that it wrote. */
static bool fast_run(EVP_CIPHER_CTX *context, const struct job *job, bool seals)
{
	uint8_t key[crypto_core_hchacha20_OUTPUTBYTES], nonce[12] = { 0 };
	int n, end = 0;
	bool done;

	if (job->n > INT_MAX || job->bound_n > INT_MAX)
		return false;
	(void)crypto_core_hchacha20(key, job->nonce, job->key, NULL); /* constant 0 */
	memcpy(nonce + 4, job->nonce + crypto_core_hchacha20_INPUTBYTES, 8);
	done = EVP_CipherInit_ex(context, NULL, NULL, key, nonce, seals) == 1;
	if (done && job->bound_n > 0)
		done = EVP_CipherUpdate(context, NULL, &n, job->bound, (int)job->bound_n) == 1;
	if (done && job->n > 0)
		done = EVP_CipherUpdate(context, job->out, &end, job->in, (int)job->n) == 1 && end == (int)job->n;
	sodium_memzero(key, sizeof key);
	return done;
}

static bool fast_seal(const struct job *job)
{
	EVP_CIPHER_CTX *context = fast_context();
	int n;

	return context != NULL && fast_run(context, job, true) && EVP_CipherFinal_ex(context, job->out + job->n, &n) == 1 &&
	       EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, TAG_SIZE, job->out + job->n) == 1;
}

/* False: it could not, or it is not authentic; libsodium says which. */
static bool fast_open(const struct job *job, const uint8_t *tag)
{
	EVP_CIPHER_CTX *context = fast_context();
	uint8_t wanted[TAG_SIZE];
	int n;

	if (context == NULL || !fast_run(context, job, false))
		return false;
	memcpy(wanted, tag, sizeof wanted); /* OpenSSL takes it as one that it might write to */
	return EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, TAG_SIZE, wanted) == 1 && EVP_CipherFinal_ex(context, job->out + job->n, &n) == 1;
}

void crypt_seal_forget(void)
{
	static const uint8_t nothing[32];

	if (fast.context != NULL)
		(void)EVP_CipherInit_ex(fast.context, NULL, NULL, nothing, nothing, 1); /* the key in it is another one now, or it is refused, and then the next one is as well */
}

/* --- both ------------------------------------------------------------------------------------------------------ */

void crypt_seal(const uint8_t key[KEY_SIZE], const void *bytes, size_t n, const void *bound, size_t bound_n, uint8_t *ret_sealed)
{
	const struct job job = { key, ret_sealed, bytes, n, bound, bound_n, ret_sealed + NONCE_SIZE };

	take_nonce(ret_sealed);
	if (!fast_seal(&job))
		(void)crypto_aead_xchacha20poly1305_ietf_encrypt(job.out, NULL, bytes, n, bound, bound_n, NULL, ret_sealed, key); /* fails only above 256 GB */
}

int crypt_open(const uint8_t key[KEY_SIZE], const uint8_t *sealed, size_t n, const void *bound, size_t bound_n, uint8_t *ret_bytes)
{
	struct job job = { .key = key, .nonce = sealed, .bound = bound, .bound_n = bound_n, .out = ret_bytes };

	if (n < SEAL_OVERHEAD)
		return ERR_DENIED;
	job.in = sealed + NONCE_SIZE;
	job.n = n - SEAL_OVERHEAD;
	if (fast_open(&job, job.in + job.n))
		return OK;
	if (crypto_aead_xchacha20poly1305_ietf_decrypt(ret_bytes, NULL, NULL, job.in, n - NONCE_SIZE, bound, bound_n, sealed, key) != 0)
		return ERR_DENIED;
	return OK;
}
