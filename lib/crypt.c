/* libsodium for everything but SHA-256 (and what crypt_seal.c says), which OpenSSL does four to five times faster on this kind of processor (SHA extensions).
 * Of OpenSSL the low-level interface: EVP looks its algorithm up and costs twice as much for the 65 bytes of a tree node; it also allocates and so can fail. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "lib/crypt.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/sha.h>
#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/crypt_own.h"
#include "lib/id.h"

_Static_assert(SIGNATURE_SIZE == crypto_sign_BYTES, "Ed25519");
_Static_assert(HASH_SIZE == SHA256_DIGEST_LENGTH, "SHA-256");

#define KEY_FILE_TITLE "reentry key 1"
#define KEY_FILE_MAX 512
#define PATH_ROOM 4096

static uint8_t short_hash_key[crypto_shorthash_siphashx24_KEYBYTES];

static pthread_once_t fork_once = PTHREAD_ONCE_INIT;
static int fork_guard_error;

static void guard_fork(void)
{
	randombytes_buf(short_hash_key, sizeof short_hash_key); /* once */
	fork_guard_error = pthread_atfork(NULL, NULL, crypt_forget_nonces);
}

int crypt_init(void)
{
	if (sodium_init() < 0)
		return ERR_IO;
	if (pthread_once(&fork_once, guard_fork) != 0 || fork_guard_error != 0)
		return ERR_IO;
	return OK;
}

void crypt_random(void *bytes, size_t n)
{
	randombytes_buf(bytes, n);
}

void crypt_wipe(void *bytes, size_t n)
{
	sodium_memzero(bytes, n);
}

/* --- hashes ---------------------------------------------------------------------------------------------------- */

void crypt_sha256_parts(const struct crypt_part *parts, size_t n_parts, uint8_t ret_hash[HASH_SIZE])
{
	SHA256_CTX state;

	/* the results are constant 1: these functions have nothing that can fail */
	(void)SHA256_Init(&state);
	for (size_t i = 0; i < n_parts; i++)
		(void)SHA256_Update(&state, parts[i].bytes, parts[i].n);
	(void)SHA256_Final(ret_hash, &state);
}

void crypt_sha256(const void *bytes, size_t n, uint8_t ret_hash[HASH_SIZE])
{
	crypt_sha256_parts(&(struct crypt_part){ bytes, n }, 1, ret_hash);
}

void crypt_keyed_hash(const uint8_t key[KEY_SIZE], const void *bytes, size_t n, uint8_t *ret_hash, size_t size)
{
	/* fails only for sizes out of range, which is a bug of the caller */
	(void)crypto_generichash(ret_hash, size, bytes, n, key, KEY_SIZE);
}

void crypt_tag(const uint8_t key[KEY_SIZE], const void *bytes, size_t n, uint8_t ret_tag[TAG_SIZE])
{
	_Static_assert(crypto_shorthash_siphashx24_BYTES == TAG_SIZE && crypto_shorthash_siphashx24_KEYBYTES <= KEY_SIZE, "128 bits");
	(void)crypto_shorthash_siphashx24(ret_tag, bytes, n, key); /* cannot fail */
}

void crypt_short_hash(const void *bytes, size_t n, uint8_t ret_hash[SHORT_HASH_SIZE])
{
	_Static_assert(crypto_shorthash_siphashx24_BYTES == SHORT_HASH_SIZE, "128 bits");
	(void)crypto_shorthash_siphashx24(ret_hash, bytes, n, short_hash_key); /* cannot fail */
}

void crypt_derive(const uint8_t key[KEY_SIZE], const char context[8], uint64_t number, uint8_t ret_key[KEY_SIZE])
{
	_Static_assert(crypto_kdf_CONTEXTBYTES == 8 && crypto_kdf_KEYBYTES == KEY_SIZE, "libsodium's key derivation");
	/* fails only for sizes out of range */
	(void)crypto_kdf_derive_from_key(ret_key, KEY_SIZE, number, context, key);
}

/* --- sign ------------------------------------------------------------------------------------------------------ */

/* libsodium's secret key is seed and public key behind each other. */
static void expand_seed(const uint8_t seed[KEY_SIZE], uint8_t public_key[KEY_SIZE], uint8_t secret[crypto_sign_SECRETKEYBYTES])
{
	_Static_assert(crypto_sign_SEEDBYTES == KEY_SIZE && crypto_sign_PUBLICKEYBYTES == KEY_SIZE, "Ed25519");
	(void)crypto_sign_seed_keypair(public_key, secret, seed); /* constant 0 */
}

void crypt_sign_public(const uint8_t seed[KEY_SIZE], uint8_t ret_public[KEY_SIZE])
{
	uint8_t secret[crypto_sign_SECRETKEYBYTES];

	expand_seed(seed, ret_public, secret);
	crypt_wipe(secret, sizeof secret);
}

void crypt_sign_keypair(uint8_t ret_seed[KEY_SIZE], uint8_t ret_public[KEY_SIZE])
{
	crypt_random(ret_seed, KEY_SIZE);
	crypt_sign_public(ret_seed, ret_public);
}

void crypt_sign(const uint8_t seed[KEY_SIZE], const void *bytes, size_t n, uint8_t ret_signature[SIGNATURE_SIZE])
{
	uint8_t public_key[KEY_SIZE], secret[crypto_sign_SECRETKEYBYTES];

	expand_seed(seed, public_key, secret);
	(void)crypto_sign_detached(ret_signature, NULL, bytes, n, secret); /* constant 0 */
	crypt_wipe(secret, sizeof secret);
}

int crypt_verify(const uint8_t public_key[KEY_SIZE], const void *bytes, size_t n, const uint8_t signature[SIGNATURE_SIZE])
{
	return crypto_sign_verify_detached(signature, bytes, n, public_key) == 0 ? OK : ERR_DENIED;
}

/* --- text forms ------------------------------------------------------------------------------------------------ */

int crypt_base64(struct buf *out, const void *bytes, size_t n)
{
	size_t room = sodium_base64_ENCODED_LEN(n, sodium_base64_VARIANT_ORIGINAL); /* counts the NUL */
	int error = buf_reserve(out, room);

	if (error != OK)
		return error;
	(void)sodium_bin2base64((char *)out->bytes + out->n, room, bytes, n, sodium_base64_VARIANT_ORIGINAL); /* returns its buffer */
	out->n += room - 1;
	return OK;
}

int crypt_base64_read(const char *text, size_t n, uint8_t *ret_bytes, size_t room, size_t *ret_n)
{
	size_t got = 0;

	/* libsodium 1.0.18 takes bytes from 0x80 on for digits */
	for (size_t i = 0; i < n; i++)
		if ((uint8_t)text[i] >= 0x80)
			return ERR_INVALID;
	/* strict: no blanks, the padding complete, unused bits zero, so that a text has one meaning and a meaning one text */
	if (sodium_base642bin(ret_bytes, room, text, n, NULL, &got, NULL, sodium_base64_VARIANT_ORIGINAL) != 0)
		return ERR_INVALID;
	*ret_n = got;
	return OK;
}

int crypt_hex(struct buf *out, const void *bytes, size_t n)
{
	int error = buf_reserve(out, 2 * n + 1);

	if (error != OK)
		return error;
	(void)sodium_bin2hex((char *)out->bytes + out->n, 2 * n + 1, bytes, n); /* returns its buffer */
	out->n += 2 * n;
	return OK;
}

/* Z85 (ZeroMQ RFC 32): four bytes are five digits to the base 85. */
static const char z85_digits[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";

static void z85_write(const uint8_t key[KEY_SIZE], char text[41])
{
	for (size_t i = 0; i < KEY_SIZE / 4; i++) {
		uint32_t value = (uint32_t)key[4 * i] << 24 | (uint32_t)key[4 * i + 1] << 16 | (uint32_t)key[4 * i + 2] << 8 | key[4 * i + 3];

		for (size_t j = 5; j-- > 0; value /= 85)
			text[5 * i + j] = z85_digits[value % 85];
	}
	text[40] = '\0';
}

static int z85_read(const char *text, size_t n, uint8_t key[KEY_SIZE])
{
	if (n != 40)
		return ERR_INVALID;
	for (size_t i = 0; i < KEY_SIZE / 4; i++) {
		uint64_t value = 0;

		for (size_t j = 0; j < 5; j++) {
			const char *digit = text[5 * i + j] == '\0' ? NULL : strchr(z85_digits, text[5 * i + j]);

			if (digit == NULL)
				return ERR_INVALID;
			value = value * 85 + (uint64_t)(digit - z85_digits);
		}
		if (value > UINT32_MAX)
			return ERR_INVALID;
		for (size_t j = 4; j-- > 0; value >>= 8)
			key[4 * i + j] = (uint8_t)value;
	}
	return OK;
}

/* --- key files ------------------------------------------------------------------------------------------------- */

static int sync_folder(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int error;

	if (fd < 0)
		return ERR_IO;
	error = fsync(fd) == 0 ? OK : ERR_IO;
	(void)close(fd); /* nothing was written through it */
	return error;
}

/* Makes a file that was not there, complete and on disk, or leaves none behind. */
static int write_new(const char *path, mode_t mode, const void *bytes, size_t n, struct err *err)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
	int error = OK;

	if (fd < 0)
		return errno == EEXIST ? err_set(err, ERR_EXISTS, "%s is there already: choose another name or move it away", path)
		                       : err_errno(err, ERR_IO, "cannot make %s", path);
	for (size_t done = 0; done < n && error == OK;) {
		ssize_t got = write(fd, (const uint8_t *)bytes + done, n - done);

		if (got > 0)
			done += (size_t)got;
		else if (got == 0 || errno != EINTR)
			error = err_errno(err, ERR_IO, "cannot write %s", path);
	}
	if (error == OK && (fchmod(fd, mode) != 0 || fsync(fd) != 0))
		error = err_errno(err, ERR_IO, "cannot finish %s", path);
	if (close(fd) != 0 && error == OK)
		error = err_errno(err, ERR_IO, "cannot close %s", path);
	if (error != OK)
		(void)unlink(path); /* the first failure is the one to tell */
	return error;
}

static int write_key_file(const char *path, mode_t mode, const uint8_t curve[KEY_SIZE], const uint8_t sign[KEY_SIZE], struct err *err)
{
	char text[KEY_FILE_MAX], curve_text[41], sign_text[sodium_base64_ENCODED_LEN(KEY_SIZE, sodium_base64_VARIANT_ORIGINAL)];
	int n, error;

	z85_write(curve, curve_text);
	(void)sodium_bin2base64(sign_text, sizeof sign_text, sign, KEY_SIZE, sodium_base64_VARIANT_ORIGINAL);
	n = snprintf(text, sizeof text, KEY_FILE_TITLE "\ncurve = %s\nsign = %s\n", curve_text, sign_text);
	error = write_new(path, mode, text, (size_t)n, err);
	crypt_wipe(text, sizeof text);
	crypt_wipe(curve_text, sizeof curve_text);
	crypt_wipe(sign_text, sizeof sign_text);
	return error;
}

int key_generate(const char *dir, const char *name, struct err *err)
{
	char secret_path[PATH_ROOM], public_path[PATH_ROOM];
	uint8_t curve_public[crypto_box_PUBLICKEYBYTES], curve_secret[crypto_box_SECRETKEYBYTES], seed[KEY_SIZE], sign_public[KEY_SIZE];
	int n, error;

	if (!ref_is_valid(name) || name[0] == '.')
		return err_set(err, ERR_INVALID, "a key's name is 1-64 of A-Z a-z 0-9 . _ - and does not begin with a dot");
	n = snprintf(secret_path, sizeof secret_path, "%s/%s.key", dir, name);
	if (n < 0 || (size_t)n >= sizeof secret_path)
		return err_set(err, ERR_INVALID, "the name of the folder is too long");
	(void)snprintf(public_path, sizeof public_path, "%.*s.pub", n - 4, secret_path); /* as long as the other */
	if (access(public_path, F_OK) == 0)
		return err_set(err, ERR_EXISTS, "%s is there already: choose another name or move it away", public_path);

	(void)crypto_box_keypair(curve_public, curve_secret); /* constant 0 */
	crypt_sign_keypair(seed, sign_public);
	error = write_key_file(secret_path, 0600, curve_secret, seed, err);
	crypt_wipe(curve_secret, sizeof curve_secret);
	crypt_wipe(seed, sizeof seed);
	if (error != OK)
		return error;
	error = write_key_file(public_path, 0644, curve_public, sign_public, err);
	if (error != OK)
		(void)unlink(secret_path); /* a secret without its public half would only be in the way of the next attempt */
	else if (sync_folder(dir) != OK)
		error = err_errno(err, ERR_IO, "cannot sync the folder %s", dir);
	return error;
}

/* Reads a whole small file; a secret one must be closed to others. */
static int read_key_bytes(const char *path, int secret, uint8_t *bytes, size_t room, size_t *ret_n, struct err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* not to hang on a pipe */
	struct stat state;
	size_t n = 0;
	int error = OK;

	if (fd < 0)
		return err_errno(err, errno == ENOENT ? ERR_NOTFOUND : errno == EACCES ? ERR_DENIED : ERR_IO, "cannot open the key file %s", path);
	if (fstat(fd, &state) != 0)
		error = err_errno(err, ERR_IO, "cannot look at %s", path);
	else if (!S_ISREG(state.st_mode))
		error = err_set(err, ERR_INVALID, "%s is not a file", path);
	else if (secret && (state.st_mode & 077) != 0)
		error = err_set(err, ERR_DENIED, "others may read %s: chmod 600 it, and make a new key if anyone could have read it", path);
	while (error == OK && n < room) {
		ssize_t got = read(fd, bytes + n, room - n);

		if (got == 0)
			break;
		if (got > 0)
			n += (size_t)got;
		else if (errno != EINTR)
			error = err_errno(err, ERR_IO, "cannot read %s", path);
	}
	(void)close(fd); /* only read */
	*ret_n = n;
	return error;
}

/* The value behind "name = " at *text, which moves past its line; NULL when the line is another. */
static const char *take_line(const char **text, const char *name, size_t *ret_n)
{
	size_t name_n = strlen(name);
	const char *value, *end = strchr(*text, '\n');

	if (end == NULL || strncmp(*text, name, name_n) != 0 || strncmp(*text + name_n, " = ", 3) != 0)
		return NULL;
	value = *text + name_n + 3;
	*text = end + 1;
	*ret_n = (size_t)(end - value);
	return value;
}

static int parse_key_file(const char *text, uint8_t curve[KEY_SIZE], uint8_t sign[KEY_SIZE])
{
	static const char title[] = KEY_FILE_TITLE "\n";
	const char *value;
	size_t n, got;

	if (strncmp(text, title, sizeof title - 1) != 0)
		return ERR_INVALID;
	text += sizeof title - 1;
	value = take_line(&text, "curve", &n);
	if (value == NULL || z85_read(value, n, curve) != OK)
		return ERR_INVALID;
	value = take_line(&text, "sign", &n);
	if (value == NULL || crypt_base64_read(value, n, sign, KEY_SIZE, &got) != OK || got != KEY_SIZE)
		return ERR_INVALID;
	return *text == '\0' ? OK : ERR_INVALID;
}

static int read_key_file(const char *path, int secret, uint8_t curve[KEY_SIZE], uint8_t sign[KEY_SIZE], struct err *err)
{
	uint8_t text[KEY_FILE_MAX];
	size_t n = 0;
	int error = read_key_bytes(path, secret, text, sizeof text - 1, &n, err);

	if (error == OK) {
		text[n] = '\0';
		if (strlen((char *)text) != n || parse_key_file((char *)text, curve, sign) != OK)
			error = err_set(err, ERR_INVALID, "%s is not a key file of ours (first line \"" KEY_FILE_TITLE "\", then curve and sign)", path);
	}
	crypt_wipe(text, sizeof text);
	return error;
}

/* The halves of a pair look alike: only their names tell them apart. */
static int is_secret_half(const char *path)
{
	static const char end[] = ".key";
	size_t n = strlen(path);

	return n >= sizeof end - 1 && strcmp(path + n - (sizeof end - 1), end) == 0;
}

int key_read_public(const char *path, struct key_pair *ret_pair, struct err *err)
{
	uint8_t curve[KEY_SIZE] = { 0 }, sign[KEY_SIZE] = { 0 };
	int error = is_secret_half(path) ? err_set(err, ERR_INVALID, "%s is the secret half of a key: name its .pub here", path) : read_key_file(path, 0, curve, sign, err);

	if (error != OK)
		return error;
	*ret_pair = (struct key_pair){ 0 };
	z85_write(curve, ret_pair->curve_public);
	memcpy(ret_pair->sign_public, sign, KEY_SIZE);
	return OK;
}

int key_read_secret(const char *path, struct key_pair *ret_pair, struct err *err)
{
	uint8_t curve[KEY_SIZE] = { 0 }, curve_public[KEY_SIZE], sign[KEY_SIZE] = { 0 };
	int error = read_key_file(path, 1, curve, sign, err);

	if (error == OK && crypto_scalarmult_base(curve_public, curve) != 0)
		error = err_set(err, ERR_INVALID, "%s holds no valid curve key", path);
	if (error == OK) {
		*ret_pair = (struct key_pair){ .has_secret = 1 };
		z85_write(curve, ret_pair->curve_secret);
		z85_write(curve_public, ret_pair->curve_public);
		memcpy(ret_pair->sign_seed, sign, KEY_SIZE);
		crypt_sign_public(sign, ret_pair->sign_public);
	}
	crypt_wipe(curve, sizeof curve);
	crypt_wipe(sign, sizeof sign);
	return error;
}

/* Written beside and linked into place, so that the name never stands for half a key and two makers agree on one. */
static int make_raw(const char *path, struct err *err)
{
	char beside[PATH_ROOM], *slash;
	uint8_t key[KEY_SIZE];
	int n, error;

	n = snprintf(beside, sizeof beside, "%s.new-%ld", path, (long)getpid());
	if (n < 0 || (size_t)n >= sizeof beside)
		return err_set(err, ERR_INVALID, "the name of the key file is too long");
	(void)unlink(beside); /* left by a dead process of the same number */
	crypt_random(key, sizeof key);
	error = write_new(beside, 0600, key, sizeof key, err);
	crypt_wipe(key, sizeof key);
	if (error != OK)
		return error;
	if (link(beside, path) != 0 && errno != EEXIST)
		error = err_errno(err, ERR_IO, "cannot make %s", path);
	(void)unlink(beside); /* its content lives on under its name, or is not wanted */
	slash = strrchr(beside, '/');
	if (slash != NULL)
		slash[slash == beside] = '\0';
	if (error == OK && sync_folder(slash != NULL ? beside : ".") != OK)
		error = err_errno(err, ERR_IO, "cannot sync the folder of %s", path);
	return error;
}

int key_read_or_make_raw(const char *path, uint8_t ret_key[KEY_SIZE], struct err *err)
{
	uint8_t bytes[KEY_SIZE + 1];
	size_t n = 0;
	int error = OK;

	if (access(path, F_OK) != 0 && errno == ENOENT)
		error = make_raw(path, err);
	if (error == OK)
		error = read_key_bytes(path, 1, bytes, sizeof bytes, &n, err);
	if (error == OK && n != KEY_SIZE)
		error = err_set(err, ERR_CORRUPT, "%s does not hold %d bytes: put it back from a backup; a new key opens nothing that the old one sealed", path, KEY_SIZE);
	if (error == OK)
		memcpy(ret_key, bytes, KEY_SIZE);
	crypt_wipe(bytes, sizeof bytes);
	return error;
}
