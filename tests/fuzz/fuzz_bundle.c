/* Any bytes as a bundle: judged without a crash, what is wrong told in printable lines, and nothing but the one bundle that was made (corpus/bundle/whole) ever found to hold. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cli/bundle.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

/* SHA-256 of the only bundle in which everything holds. */
static const uint8_t whole[HASH_SIZE] = {
	0xd2, 0x05, 0xca, 0xfd, 0x1e, 0x76, 0x98, 0x2b, 0x1c, 0xc6, 0x0c, 0x5c, 0x47, 0x1f, 0xce, 0x19,
	0xda, 0x90, 0xdb, 0x80, 0x5b, 0xf8, 0x05, 0xdb, 0xfb, 0x9c, 0xf8, 0xea, 0x60, 0x21, 0x21, 0x98,
};
static struct bundle_key witness = { .path = "gm-a.pub" };
static uint8_t log_key[KEY_SIZE];

static void require(int truth)
{
	if (!truth)
		abort(); /* what libFuzzer reports */
}

/* The keys of tests/unit/test_bundle.c. */
static void prepare(void)
{
	uint8_t seed[KEY_SIZE];
	static int done;

	if (done)
		return;
	require(crypt_init() == OK);
	memset(seed, 9, sizeof seed);
	crypt_sign_public(seed, log_key);
	memset(seed, 4, sizeof seed);
	crypt_sign_public(seed, witness.public_key);
	done = 1;
}

static void on_fault(void *context, size_t line, const char *text)
{
	size_t *faults = context;

	(void)line;
	require(text[0] != 0);
	for (const char *at = text; *at; at++)
		require((unsigned char)*at >= ' ');
	++*faults;
}

static void on_record(void *context, const struct bundle_record *record)
{
	(void)context;
	require(record->header != NULL && (record->body != NULL || record->body_n == 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct bundle_result result;
	uint8_t hash[HASH_SIZE];
	size_t faults = 0;
	struct bundle_options options = { .witnesses = &witness, .n_witnesses = 1, .fault = on_fault, .record = on_record, .context = &faults };

	prepare();
	memcpy(options.log_key, log_key, KEY_SIZE);
	if (bundle_check((const char *)bytes, n, &options, &result) != OK)
		return 0;
	require(result.faults == faults);
	crypt_sha256(bytes, n, hash);
	require((faults == 0) == (memcmp(hash, whole, HASH_SIZE) == 0));
	return 0;
}
