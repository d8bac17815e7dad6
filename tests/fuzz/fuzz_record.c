/* Any bytes as a stored record with a sound hash and a sound seal, as a broker of another version or an operator with the keys could have written it: refused, or
 * opened to the header and the body that were put in. Input: 1 byte (bit 0: the hash is left wrong, bit 1: the seal), length of the header (2 bytes,
 * big-endian), header, body. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "broker/core_internal.h"
#include "lib/pb.h"
#include "tests/unit/core_place.h"

#define MEMORY_MAX ((size_t)64 << 20)
#define HEADER_AT (HASH_SIZE + 4)

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

enum { HASH_WRONG = 1, SEAL_WRONG = 2 };
static struct core_place *place;

static void require(int truth)
{
	if (!truth)
		abort(); /* what libFuzzer reports */
}

/* The header as the reader will take it; NULL: it will not. */
static const Reentry__Header *header_in(const uint8_t *bytes, size_t n, struct arena *arena)
{
	void *message = NULL;

	return pb_unpack_own(&reentry__header__descriptor, bytes, n, arena, &message) == OK ? message : NULL;
}

static void hash_leaf(uint8_t *value, size_t header_n, size_t sealed_n)
{
	static const uint8_t zero = 0;
	uint8_t body[HASH_SIZE];
	struct crypt_part parts[] = { { &zero, 1 }, { value + HASH_SIZE, 4 + header_n }, { body, sizeof body } };

	crypt_sha256(value + HEADER_AT + header_n, sealed_n, body);
	crypt_sha256_parts(parts, 3, value);
}

/* A value of the log as log_append writes it. */
static struct db_value value_of(const uint8_t *bytes, size_t header_n, size_t body_n, struct arena *arena, int flaws)
{
	const Reentry__Header *header = header_in(bytes, header_n, arena);
	const size_t sealed_n = body_n + SEAL_OVERHEAD;
	uint8_t *value = arena_alloc(arena, HEADER_AT + header_n + sealed_n);
	const uint8_t *key = NULL;

	require(value != NULL);
	for (int i = 0; i < 4; i++)
		value[HASH_SIZE + i] = (uint8_t)(header_n >> (24 - 8 * i));
	memcpy(value + HEADER_AT, bytes, header_n);
	if (header && log_key(place->core, header, false, &key) == OK)
		crypt_seal(key, bytes + header_n, body_n, value + HEADER_AT, header_n, value + HEADER_AT + header_n);
	else
		memset(value + HEADER_AT + header_n, 0, sealed_n);
	if (flaws & SEAL_WRONG)
		value[HEADER_AT + header_n + sealed_n - 1] ^= 1;
	hash_leaf(value, header_n, sealed_n);
	if (flaws & HASH_WRONG)
		value[0] ^= 1;
	return (struct db_value){ value, HEADER_AT + header_n + sealed_n };
}

#define PEEKED 12                    /* fields that a replay looks for, and some more */

static void open_it(const struct db_value *value, const uint8_t *body, size_t body_n, struct arena *arena, int flaws)
{
	struct core_record record;
	struct log_parts parts;
	struct pb_peek top[PEEKED];
	int error = log_parse(value, 1, arena, &parts);

	require(error == OK || error == ERR_CORRUPT);
	(void)pb_peek(body, body_n, PEEKED, top); /* whatever it finds; so below */
	if (parts.header_bytes)
		(void)pb_peek(parts.header_bytes, parts.header_n, PEEKED, top);
	require(error == ERR_CORRUPT || !(flaws & HASH_WRONG));
	if (error)
		return;
	error = log_open(place->core, &parts, arena, &record);
	require(error != OK || !(flaws & SEAL_WRONG));
	if (error == OK)
		require(record.header->position == 1 && record.body_n == body_n && memcmp(record.body, body, body_n) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct db_value value;
	struct arena arena;
	size_t header_n;

	place = core_place_lasting();
	if (n < 3)
		return 0;
	header_n = (size_t)bytes[1] << 8 | bytes[2];
	if (header_n > n - 3)
		header_n = n - 3;
	arena_init(&arena, MEMORY_MAX);
	value = value_of(bytes + 3, header_n, n - 3 - header_n, &arena, bytes[0]);
	open_it(&value, bytes + 3 + header_n, n - 3 - header_n, &arena, bytes[0]);
	arena_release(&arena);
	return 0;
}
