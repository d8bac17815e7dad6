/* Proves that hashes, seals, signatures, encodings and key files are those of their specifications (published vectors), that whatever was tampered with is refused, and that
 * nonces do not repeat, not even across a fork. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/crypt.h"

static size_t from_hex(const char *text, uint8_t *bytes)
{
	size_t n = strlen(text) / 2;

	for (size_t i = 0; i < n; i++) {
		unsigned value;

		assert_int_equal(sscanf(text + 2 * i, "%2x", &value), 1);
		bytes[i] = (uint8_t)value;
	}
	return n;
}

static void assert_hex(const uint8_t *bytes, size_t n, const char *expected)
{
	struct buf text;

	buf_init(&text);
	assert_int_equal(crypt_hex(&text, bytes, n), OK);
	assert_string_equal((char *)text.bytes, expected);
	buf_release(&text);
}

static uint8_t counting_key[KEY_SIZE];

static void hashes_are_the_published_ones(void **state)
{
	uint8_t hash[HASH_SIZE], again[HASH_SIZE];
	const struct crypt_part parts[] = { { "a", 1 }, { "", 0 }, { NULL, 0 }, { "bc", 2 } };

	(void)state;
	crypt_sha256("", 0, hash);
	assert_hex(hash, sizeof hash, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	crypt_sha256("abc", 3, hash);
	assert_hex(hash, sizeof hash, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	crypt_sha256_parts(parts, 4, again);
	assert_memory_equal(hash, again, sizeof hash);
	/* the same bytes given to Python's hashlib.blake2b(key=…, digest_size=…, salt=…, person=…) */
	crypt_keyed_hash(counting_key, "1961-04-12", 10, hash, 16);
	assert_hex(hash, 16, "b0d663a45cc44bed1461e6c9eececa29");
	crypt_keyed_hash(counting_key, "1961-04-12", 10, hash, 32);
	assert_hex(hash, 32, "f9773298f3e8573d8aaecc8e5d991dc46f79d0e0c5d04d4401ea91f041834ac9");
	/* vectors_sip128 of the reference implementation */
	crypt_tag(counting_key, "", 0, hash);
	assert_hex(hash, TAG_SIZE, "a3817f04ba25a8e66df67214c7550293");
	crypt_tag(counting_key, "", 1, hash);
	assert_hex(hash, TAG_SIZE, "da87c1d86b99af44347659119b22fc45");
	crypt_derive(counting_key, "caseskey", 7, hash);
	assert_hex(hash, 32, "44dc8939da19389d3b5d7e20e89d2cb682acb8dfc51ced8778efafe8bada61cd");
}

/* draft-irtf-cfrg-xchacha-03, A.3.1 */
static void a_seal_is_xchacha20_poly1305(void **state)
{
	uint8_t key[KEY_SIZE], bound[12], sealed[200], opened[200];
	size_t n;

	(void)state;
	assert_int_equal(from_hex("808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f", key), KEY_SIZE);
	assert_int_equal(from_hex("50515253c0c1c2c3c4c5c6c7", bound), sizeof bound);
	n = from_hex("404142434445464748494a4b4c4d4e4f5051525354555657"
	             "bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb731c7f1b0b4aa6440bf3a82f4eda7e39ae64c6708c54c216cb96b72e1213b452"
	             "2f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff921f9664c97637da9768812f615c68b13b52ec0875924c1c7987947deafd8780acf49", sealed);
	assert_int_equal(crypt_open(key, sealed, n, bound, sizeof bound, opened), OK);
	assert_memory_equal(opened, "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.", n - SEAL_OVERHEAD);
}

static void a_seal_opens_only_unchanged_and_for_its_key_and_bound(void **state)
{
	static const char text[] = "need ADDICTION ARRANGED", bound[] = "C-1 C";
	uint8_t sealed[sizeof text + SEAL_OVERHEAD], opened[sizeof text], other[KEY_SIZE];

	(void)state;
	crypt_seal(counting_key, text, sizeof text, bound, sizeof bound, sealed);
	assert_int_equal(crypt_open(counting_key, sealed, sizeof sealed, bound, sizeof bound, opened), OK);
	assert_memory_equal(opened, text, sizeof text);
	for (size_t bit = 0; bit < 8 * sizeof sealed; bit++) {
		sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(crypt_open(counting_key, sealed, sizeof sealed, bound, sizeof bound, opened), ERR_DENIED);
		sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	for (size_t n = 0; n < sizeof sealed; n++)
		assert_int_equal(crypt_open(counting_key, sealed, n, bound, sizeof bound, opened), ERR_DENIED);
	assert_int_equal(crypt_open(counting_key, sealed, sizeof sealed, bound, sizeof bound - 2, opened), ERR_DENIED);
	memcpy(other, counting_key, sizeof other);
	other[31] ^= 1;
	assert_int_equal(crypt_open(other, sealed, sizeof sealed, bound, sizeof bound, opened), ERR_DENIED);
	crypt_seal(counting_key, NULL, 0, NULL, 0, sealed);
	assert_int_equal(crypt_open(counting_key, sealed, SEAL_OVERHEAD, NULL, 0, opened), OK);
}

#define MANY 9000 /* more than a thread seals before it does so by OpenSSL */
#define SIZES 250

static struct { uint8_t text[SIZES], ours[SIZES + SEAL_OVERHEAD], theirs[SIZES + SEAL_OVERHEAD]; size_t n; bool opened; } swapped;

/* A thread of its own has not sealed anything yet. */
static void *open_and_seal(void *unused)
{
	uint8_t opened[SIZES];

	swapped.opened = crypt_open(counting_key, swapped.ours, swapped.n + SEAL_OVERHEAD, swapped.text, swapped.n / 3, opened) == OK && memcmp(opened, swapped.text, swapped.n) == 0;
	crypt_seal(counting_key, swapped.text, swapped.n, swapped.text, swapped.n / 3, swapped.theirs);
	return unused;
}

static void who_has_sealed_much_does_it_the_same_way(void **state)
{
	uint8_t sealed[SEAL_OVERHEAD], opened[SIZES];
	pthread_t thread;

	for (size_t i = 0; i < MANY; i++)
		crypt_seal(counting_key, NULL, 0, NULL, 0, sealed);
	a_seal_is_xchacha20_poly1305(state);
	a_seal_opens_only_unchanged_and_for_its_key_and_bound(state);
	for (swapped.n = 0; swapped.n < SIZES; swapped.n++) {
		swapped.text[swapped.n] = (uint8_t)(swapped.n * 7);
		crypt_seal(counting_key, swapped.text, swapped.n, swapped.text, swapped.n / 3, swapped.ours);
		assert_int_equal(pthread_create(&thread, NULL, open_and_seal, NULL), 0);
		assert_int_equal(pthread_join(thread, NULL), 0);
		assert_true(swapped.opened);
		assert_int_equal(crypt_open(counting_key, swapped.theirs, swapped.n + SEAL_OVERHEAD, swapped.text, swapped.n / 3, opened), OK);
		assert_memory_equal(opened, swapped.text, swapped.n);
	}
	crypt_seal_forget();
	a_seal_is_xchacha20_poly1305(state);
}

#define NONCES 500 /* more than one pool */

static void no_nonce_comes_twice(void **state)
{
	static uint8_t sealed[NONCES][SEAL_OVERHEAD];

	(void)state;
	for (size_t i = 0; i < NONCES; i++) {
		crypt_seal(counting_key, NULL, 0, NULL, 0, sealed[i]);
		for (size_t j = 0; j < i; j++)
			assert_memory_not_equal(sealed[i], sealed[j], 24);
	}
}

static void a_forked_child_draws_its_own_nonces(void **state)
{
	uint8_t ours[SEAL_OVERHEAD], theirs[SEAL_OVERHEAD];
	int ends[2], status;
	pid_t child;

	(void)state;
	crypt_seal(counting_key, NULL, 0, NULL, 0, ours); /* the pool is not empty now */
	assert_int_equal(pipe(ends), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		crypt_seal(counting_key, NULL, 0, NULL, 0, theirs);
		_exit(write(ends[1], theirs, sizeof theirs) == sizeof theirs ? 0 : 1);
	}
	crypt_seal(counting_key, NULL, 0, NULL, 0, ours);
	assert_int_equal(read(ends[0], theirs, sizeof theirs), sizeof theirs);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_memory_not_equal(ours, theirs, 24);
	close(ends[0]);
	close(ends[1]);
}

/* RFC 8032, 7.1, tests 1 to 3 */
static void signatures_are_ed25519(void **state)
{
	static const struct { const char *seed, *public_key, *message, *signature; } tests[] = {
		{ "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60", "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
		  "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b" },
		{ "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb", "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
		  "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00" },
		{ "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7", "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
		  "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof tests / sizeof *tests; i++) {
		uint8_t seed[KEY_SIZE], public_key[KEY_SIZE], message[8], signature[SIGNATURE_SIZE];
		size_t n = from_hex(tests[i].message, message);

		(void)from_hex(tests[i].seed, seed);
		crypt_sign_public(seed, public_key);
		assert_hex(public_key, sizeof public_key, tests[i].public_key);
		crypt_sign(seed, message, n, signature);
		assert_hex(signature, sizeof signature, tests[i].signature);
		assert_int_equal(crypt_verify(public_key, message, n, signature), OK);
		signature[63] ^= 0x10;
		assert_int_equal(crypt_verify(public_key, message, n, signature), ERR_DENIED);
		signature[63] ^= 0x10;
		message[n] = 0;
		assert_int_equal(crypt_verify(public_key, message, n + 1, signature), ERR_DENIED);
	}
}

/* RFC 4648, 10 */
static void base64_has_one_text_for_one_value(void **state)
{
	static const struct { const char *bytes, *text; } good[] = { { "", "" }, { "f", "Zg==" }, { "fo", "Zm8=" }, { "foo", "Zm9v" }, { "foob", "Zm9vYg==" }, { "foobar", "Zm9vYmFy" } };
	static const char *const bad[] = { "Zg", "Zg=", "Zg===", "Zh==", "Zm9=", "Z", "=", "Zm9v\n", " Zm9v", "Zm-v", "Zm9vZg==Zg==" };
	uint8_t bytes[16];
	size_t n;

	(void)state;
	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		struct buf text;

		buf_init(&text);
		assert_int_equal(buf_text(&text, "="), OK);
		assert_int_equal(crypt_base64(&text, good[i].bytes, strlen(good[i].bytes)), OK);
		assert_int_equal(text.n, 1 + strlen(good[i].text));
		assert_string_equal((char *)text.bytes + 1, good[i].text);
		assert_int_equal(crypt_base64_read(good[i].text, strlen(good[i].text), bytes, sizeof bytes, &n), OK);
		assert_int_equal(n, strlen(good[i].bytes));
		assert_memory_equal(bytes, good[i].bytes, n);
		buf_release(&text);
	}
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_int_equal(crypt_base64_read(bad[i], strlen(bad[i]), bytes, sizeof bytes, &n), ERR_INVALID);
	assert_int_equal(crypt_base64_read("Zm9vYmFy", 8, bytes, 5, &n), ERR_INVALID); /* no room */
}

static void of_256_bytes_64_are_base64_digits(void **state)
{
	uint8_t bytes[3];
	size_t n, digits = 0;

	(void)state;
	for (int c = 0; c < 256; c++) {
		char text[4] = { 'A', (char)c, 'A', 'A' };
		struct buf again;

		if (crypt_base64_read(text, sizeof text, bytes, sizeof bytes, &n) != OK)
			continue;
		digits++;
		buf_init(&again);
		assert_int_equal(crypt_base64(&again, bytes, n), OK);
		assert_memory_equal(again.bytes, text, sizeof text);
		buf_release(&again);
	}
	assert_int_equal(digits, 64);
}

struct place { char dir[64], key[128], pub[128]; };

static int make_place(void **state)
{
	struct place *place = calloc(1, sizeof *place);

	assert_non_null(place);
	strcpy(place->dir, "/tmp/test_crypt-XXXXXX");
	assert_non_null(mkdtemp(place->dir));
	(void)snprintf(place->key, sizeof place->key, "%s/pi-utrecht.key", place->dir);
	(void)snprintf(place->pub, sizeof place->pub, "%s/pi-utrecht.pub", place->dir);
	*state = place;
	return 0;
}

static int remove_place(void **state)
{
	struct place *place = *state;

	(void)unlink(place->key);
	(void)unlink(place->pub);
	assert_int_equal(rmdir(place->dir), 0); /* so nothing else was left there */
	free(place);
	return 0;
}

static void write_file(const char *path, mode_t mode, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, mode);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static void a_generated_identity_reads_back(void **state)
{
	struct place *place = *state;
	struct key_pair secret, public_half;
	struct stat status;
	struct err err;

	assert_int_equal(key_generate(place->dir, "pi-utrecht", &err), OK);
	assert_int_equal(stat(place->key, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0600);
	assert_int_equal(key_read_secret(place->key, &secret, &err), OK);
	assert_int_equal(key_read_public(place->pub, &public_half, &err), OK);
	assert_true(secret.has_secret);
	assert_false(public_half.has_secret);
	assert_string_equal(secret.curve_public, public_half.curve_public);
	assert_int_equal(strlen(secret.curve_secret), 40);
	assert_memory_equal(secret.sign_public, public_half.sign_public, KEY_SIZE);
	assert_int_equal(key_generate(place->dir, "pi-utrecht", &err), ERR_EXISTS);
	assert_non_null(strstr(err.text, place->pub));
	assert_int_equal(unlink(place->pub), 0);
	assert_int_equal(key_generate(place->dir, "pi-utrecht", &err), ERR_EXISTS); /* the secret is not overwritten */
	assert_int_equal(access(place->pub, F_OK), -1);
}

static void names_that_leave_the_folder_are_refused(void **state)
{
	static const char *const bad[] = { "", ".", "..", "../x", "a/b", ".hidden", "a b" };
	struct place *place = *state;
	struct err err;

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_int_equal(key_generate(place->dir, bad[i], &err), ERR_INVALID);
	assert_int_equal(key_generate("/nonexistent/dir", "a", &err), ERR_IO);
}

/* the pair of the zmq_curve(7) manual page */
static void the_curve_public_key_is_what_libzmq_derives(void **state)
{
	struct place *place = *state;
	struct key_pair pair;
	struct err err;

	write_file(place->key, 0600, "reentry key 1\ncurve = D:)Q[IlAW!ahhC2ac:9*A}h:p?([4%wOTJ%JR%cs\nsign = nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=\n");
	assert_int_equal(key_read_secret(place->key, &pair, &err), OK);
	assert_string_equal(pair.curve_public, "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID");
	assert_string_equal(pair.curve_secret, "D:)Q[IlAW!ahhC2ac:9*A}h:p?([4%wOTJ%JR%cs");
	assert_hex(pair.sign_public, KEY_SIZE, "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
}

static void a_secret_that_others_may_read_is_refused(void **state)
{
	struct place *place = *state;
	struct key_pair pair;
	struct err err;

	assert_int_equal(key_generate(place->dir, "pi-utrecht", &err), OK);
	assert_int_equal(chmod(place->key, 0640), 0);
	assert_int_equal(key_read_secret(place->key, &pair, &err), ERR_DENIED);
	assert_non_null(strstr(err.text, "chmod 600"));
	assert_int_equal(chmod(place->key, 0400), 0);
	assert_int_equal(key_read_secret(place->key, &pair, &err), OK);
}

static void damaged_key_files_are_refused(void **state)
{
	static const char *const bad[] = {
		"", "reentry key 1\n", "reentry key 2\ncurve = D:)Q[IlAW!ahhC2ac:9*A}h:p?([4%wOTJ%JR%cs\nsign = nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=\n",
		"reentry key 1\ncurve = D:)Q[IlAW!ahhC2ac:9*A}h:p?([4%wOTJ%JR%c\nsign = nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=\n",
		"reentry key 1\ncurve = D:)Q[IlAW!ahhC2ac:9*A}h:p?([4%wOTJ%JR%c\"\nsign = nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=\n",
		"reentry key 1\ncurve = #####IlAW!ahhC2ac:9*A}h:p?([4%wOTJ%JR%cs\nsign = nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=\n", /* over 32 bits */
		"reentry key 1\ncurve = D:)Q[IlAW!ahhC2ac:9*A}h:p?([4%wOTJ%JR%cs\nsign = nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyufw==\n",
		"reentry key 1\ncurve = D:)Q[IlAW!ahhC2ac:9*A}h:p?([4%wOTJ%JR%cs\nsign = nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=",
		"reentry key 1\ncurve = D:)Q[IlAW!ahhC2ac:9*A}h:p?([4%wOTJ%JR%cs\nsign = nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=\nmore\n",
	};
	struct place *place = *state;
	struct key_pair pair;
	struct err err;

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		write_file(place->key, 0600, bad[i]);
		assert_int_equal(key_read_secret(place->key, &pair, &err), ERR_INVALID);
		assert_int_equal(key_read_public(place->key, &pair, &err), ERR_INVALID);
	}
	assert_int_equal(unlink(place->key), 0);
	assert_int_equal(key_read_secret(place->key, &pair, &err), ERR_NOTFOUND);
	assert_int_equal(key_read_secret(place->dir, &pair, &err), ERR_INVALID);
}

static void a_raw_key_is_made_once(void **state)
{
	struct place *place = *state;
	uint8_t first[KEY_SIZE], second[KEY_SIZE] = { 0 };
	struct stat status;
	struct err err;

	assert_int_equal(key_read_or_make_raw(place->key, first, &err), OK);
	assert_int_equal(stat(place->key, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0600);
	assert_int_equal(status.st_nlink, 1);
	assert_int_equal(key_read_or_make_raw(place->key, second, &err), OK);
	assert_memory_equal(first, second, KEY_SIZE);
	write_file(place->key, 0600, "short");
	assert_int_equal(key_read_or_make_raw(place->key, second, &err), ERR_CORRUPT);
	write_file(place->key, 0644, "01234567890123456789012345678901");
	assert_int_equal(key_read_or_make_raw(place->key, second, &err), ERR_DENIED);
	assert_memory_equal(first, second, KEY_SIZE); /* untouched on failure */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hashes_are_the_published_ones),
		cmocka_unit_test(a_seal_is_xchacha20_poly1305),
		cmocka_unit_test(a_seal_opens_only_unchanged_and_for_its_key_and_bound),
		cmocka_unit_test(who_has_sealed_much_does_it_the_same_way),
		cmocka_unit_test(no_nonce_comes_twice),
		cmocka_unit_test(a_forked_child_draws_its_own_nonces),
		cmocka_unit_test(signatures_are_ed25519),
		cmocka_unit_test(base64_has_one_text_for_one_value),
		cmocka_unit_test(of_256_bytes_64_are_base64_digits),
		cmocka_unit_test_setup_teardown(a_generated_identity_reads_back, make_place, remove_place),
		cmocka_unit_test_setup_teardown(names_that_leave_the_folder_are_refused, make_place, remove_place),
		cmocka_unit_test_setup_teardown(the_curve_public_key_is_what_libzmq_derives, make_place, remove_place),
		cmocka_unit_test_setup_teardown(a_secret_that_others_may_read_is_refused, make_place, remove_place),
		cmocka_unit_test_setup_teardown(damaged_key_files_are_refused, make_place, remove_place),
		cmocka_unit_test_setup_teardown(a_raw_key_is_made_once, make_place, remove_place),
	};

	for (size_t i = 0; i < KEY_SIZE; i++)
		counting_key[i] = (uint8_t)i;
	if (crypt_init() != OK)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
