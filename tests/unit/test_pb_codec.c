/* Proves that our packing and unpacking give what protobuf-c gives, byte for byte and field for field, of whole messages and of damaged ones, and stay within the memory they are given. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/pb.h"
#include "lib/pb_codec.h"
#include "proto/event.pb-c.h"
#include "proto/record.pb-c.h"
#include "proto/wire.pb-c.h"
#include "tests/unit/samples.h"

#define ROUNDS 30
#define DAMAGED 60000

static struct arena arena;

static int setup(void **state)
{
	(void)state;
	arena_init(&arena, 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	arena_release(&arena);
	return 0;
}

struct bytes { uint8_t *at; size_t n; };

/* As protobuf-c packs it. */
static struct bytes theirs(const ProtobufCMessage *message)
{
	struct bytes packed = { .n = protobuf_c_message_get_packed_size(message) };

	packed.at = arena_alloc(&arena, packed.n);
	assert_non_null(packed.at);
	assert_int_equal(protobuf_c_message_pack(message, packed.at), packed.n);
	return packed;
}

static void assert_same(const struct bytes *a, const struct bytes *b)
{
	assert_int_equal(a->n, b->n);
	assert_memory_equal(a->at, b->at, a->n);
}

/* A block of exactly that size, so that a sanitizer sees what is written or read behind its end. */
static uint8_t *block(const void *bytes, size_t n)
{
	uint8_t *copy = malloc(n ? n : 1);

	assert_non_null(copy);
	if (bytes && n)
		memcpy(copy, bytes, n);
	return copy;
}

/* --- packing ------------------------------------------------------------------------------------------------------ */

/* With any room: the same bytes, or nothing; and with a little more than they take, always the bytes. */
static void write_into(const ProtobufCMessage *message, const struct bytes *want, size_t room)
{
	uint8_t *begin = block(NULL, room), *behind = pb_write(message, begin, begin + room);

	if (room >= want->n + 32)
		assert_non_null(behind);
	if (behind)
		assert_same(&(struct bytes){ begin, (size_t)(behind - begin) }, want);
	free(begin);
}

static void packs_the_same(const ProtobufCMessageDescriptor *type)
{
	uint64_t seed = 1;

	for (int round = 0; round < ROUNDS; round++) {
		const ProtobufCMessage *message = sample_message(type, &arena, &seed);
		const struct bytes want = theirs(message);
		struct bytes ours;

		assert_int_equal(pb_pack(message, &arena, &ours.at, &ours.n), OK);
		assert_same(&ours, &want);
		write_into(message, &want, want.n + 32);
		for (size_t room = 0; room < want.n + 40; room += 1 + want.n / 64)
			write_into(message, &want, room);
		arena_reset(&arena);
	}
}

static void messages_are_packed_as_protobuf_c_packs_them(void **state)
{
	(void)state;
	for (size_t i = 0; sample_event_types[i]; i++)
		packs_the_same(sample_event_types[i]);
	for (size_t i = 0; sample_other_types[i]; i++)
		packs_the_same(sample_other_types[i]);
}

/* Lengths around the sizes at which a length takes another byte, of text, of what is nested and of packed numbers. */
static void lengths_of_one_byte_and_more(void **state)
{
	static const size_t sizes[] = { 0, 1, 100, 120, 125, 126, 127, 128, 129, 130, 300, 16380, 16383, 16384, 16390, 70000 };

	(void)state;
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		Reentry__CaseState it = REENTRY__CASE_STATE__INIT;
		Reentry__Slot slot = REENTRY__SLOT__INIT;
		Reentry__Ack ack = REENTRY__ACK__INIT;
		char *text = arena_alloc(&arena, sizes[i] + 1);
		const ProtobufCMessage *messages[] = { &it.base, &ack.base };

		assert_non_null(text);
		memset(text, 'x', sizes[i]);
		it.ref = slot.event = text;
		it.release_slot = &slot;
		ack.n_sequences = sizes[i];
		ack.sequences = arena_alloc(&arena, (sizes[i] + 1) * sizeof *ack.sequences);
		for (size_t k = 0; k < sizes[i]; k++)
			ack.sequences[k] = k;
		for (size_t k = 0; k < 2; k++) {
			const struct bytes want = theirs(messages[k]);
			struct bytes ours;

			assert_int_equal(pb_pack(messages[k], &arena, &ours.at, &ours.n), OK);
			assert_same(&ours, &want);
			write_into(messages[k], &want, want.n + 32);
		}
		arena_reset(&arena);
	}
}

/* What only protobuf-c knows goes its way: fixed numbers, and fields of a later version. */
static void what_is_left_to_protobuf_c(void **state)
{
	static const uint8_t later[] = { 0xf8, 0x3f, 0x05, 0x0a, 0x01, 'C' }; /* number 1023 of CaseState, and its ref */
	uint64_t seed = 5;
	ProtobufCMessage *message = sample_message(&sample_numbers_type, &arena, &seed);
	struct bytes want = theirs(message), ours;
	uint8_t room[4096];

	(void)state;
	assert_null(pb_write(message, room, room + sizeof room));
	assert_int_equal(pb_pack(message, &arena, &ours.at, &ours.n), OK);
	assert_same(&ours, &want);
	assert_false(pb_read(&reentry__case_state__descriptor, later, sizeof later, &arena, &message));
	assert_int_equal(pb_unpack_own(&reentry__case_state__descriptor, later, sizeof later, &arena, &message), OK);
	assert_int_equal(message->n_unknown_fields, 1);
	assert_null(pb_write(message, room, room + sizeof room));
	want = theirs(message);
	assert_int_equal(pb_pack(message, &arena, &ours.at, &ours.n), OK);
	assert_same(&ours, &want);
	assert_int_equal(ours.n, sizeof later);
}

/* --- unpacking ---------------------------------------------------------------------------------------------------- */

/* Both take it for the same message, or neither for one. Returns whether ours did without protobuf-c. */
static bool reads_the_same(const ProtobufCMessageDescriptor *type, const struct bytes *bytes)
{
	uint8_t *copy = block(bytes->at, bytes->n);
	ProtobufCMessage *want = protobuf_c_message_unpack(type, NULL, bytes->n, copy), *ours = NULL, *alone = NULL;
	const int error = pb_unpack_own(type, copy, bytes->n, &arena, &ours);
	const bool read = pb_read(type, copy, bytes->n, &arena, &alone);

	free(copy);
	assert_int_equal(error, want ? OK : ERR_CORRUPT);
	assert_true(want || !read);
	if (want) {
		const struct bytes a = theirs(want), b = theirs(ours);

		assert_same(&b, &a);
		if (read) {
			const struct bytes c = theirs(alone);

			assert_same(&c, &a);
		}
		protobuf_c_message_free_unpacked(want, NULL);
	}
	return read;
}

/* What our writers write is never left to protobuf-c. */
static void messages_are_read_as_protobuf_c_reads_them(void **state)
{
	uint64_t seed = 2;

	(void)state;
	for (size_t i = 0; sample_event_types[i]; i++)
		for (int round = 0; round < ROUNDS; round++) {
			const ProtobufCMessageDescriptor *type = round & 1 ? sample_other_types[i % 9] : sample_event_types[i];
			const struct bytes packed = theirs(sample_message(type, &arena, &seed));

			assert_true(reads_the_same(type, &packed));
			arena_reset(&arena);
		}
}

/* Cut off, with bytes changed, taken out, put in and repeated: among them fields twice, out of order, unknown, of another wire type, numbers that are too long. */
static void damage(struct bytes *bytes, uint64_t *seed)
{
	const size_t at = bytes->n ? sample_random(seed) % bytes->n : 0, n = sample_random(seed) % 12;

	switch (sample_random(seed) % 5) {
	case 0:
		bytes->n = at;
		break;
	case 1:
		if (bytes->n > at + n) {
			memmove(bytes->at + at, bytes->at + at + n, bytes->n - at - n);
			bytes->n -= n;
		}
		break;
	case 2:
		if (at + n <= bytes->n) {
			memmove(bytes->at + at + n, bytes->at + at, bytes->n - at);
			bytes->n += n;
		}
		break;
	default:
		if (bytes->n)
			bytes->at[at] = (uint8_t)(sample_random(seed) & 1 ? sample_random(seed) : bytes->at[at] ^ 1u << sample_random(seed) % 8);
	}
}

static void damaged_ones_are_read_as_protobuf_c_reads_them(void **state)
{
	uint64_t seed = 3;
	size_t alone = 0;

	(void)state;
	for (int round = 0; round < DAMAGED; round++) {
		const ProtobufCMessageDescriptor *type = sample_other_types[(size_t)round % 9];
		const struct bytes packed = theirs(sample_message(type, &arena, &seed));
		struct bytes bytes = { arena_alloc(&arena, packed.n + 40), packed.n };

		memcpy(bytes.at, packed.at, packed.n);
		for (uint64_t i = sample_random(&seed) % 3; i < 3; i++)
			damage(&bytes, &seed);
		alone += reads_the_same(type, &bytes);
		arena_reset(&arena);
	}
	assert_in_range(alone, DAMAGED / 100, DAMAGED - DAMAGED / 100);
}

/* By hand: each way in which a message may be written otherwise than we write it. */
static void other_ways_to_write_a_message(void **state)
{
	static const struct { const char *bytes; size_t n; bool alone; } ways[] = {
		{ "\x0a\x01\x41\x10\x05", 5, true },                     /* ref, last */
		{ "\x10\x05\x0a\x01\x41", 5, true },                     /* the other way round */
		{ "\x0a\x01\x41\x0a\x01\x42", 6, false },                /* a text twice: the last one counts */
		{ "\x10\x05\x10\x06", 4, false },                        /* a number twice */
		{ "\x62\x02\x08\x01\x62\x02\x08\x02", 8, false },        /* a message twice: they are merged */
		{ "\xc2\x04\x02\x08\x01\x10\x05\xc2\x04\x02\x08\x02", 12, false }, /* a repeated one with something between */
		{ "\x10\x85\x80\x00", 4, true },                         /* a number in more bytes than it needs */
		{ "\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11, true },  /* the largest */
		{ "\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 11, false }, /* and one that has more than 64 bits */
		{ "\x90\x00\x05", 3, true },                             /* a tag in two bytes instead of one */
		{ "\x90\x80\x80\x80\x80\x00\x05", 7, false },            /* in six */
		{ "\x0d\x01\x02\x03\x04", 5, false },                    /* ref as four bytes */
		{ "\x0a\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 11, false }, /* a length beyond everything */
		{ "\x0a\x81\x80\x80\x80\x80\x00\x41", 8, false },    /* one in six bytes */
		{ "\x0a\x02\x41", 3, false },
		{ "\x20\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11, true },  /* a truth of many bits */
	};

	(void)state;
	for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
		const struct bytes bytes = { (uint8_t *)(uintptr_t)ways[i].bytes, ways[i].n };

		if (reads_the_same(&reentry__case_state__descriptor, &bytes) != ways[i].alone)
			fail_msg("way %zu", i);
		arena_reset(&arena);
	}
}

/* Numbers that may be packed, and are not, or the other way round. */
static void packed_and_unpacked_numbers(void **state)
{
	static const uint8_t apart[] = { 0x08, 1, 0x08, 2 }, packed[] = { 0x0a, 3, 1, 0x80, 1 }, twice[] = { 0x0a, 1, 1, 0x0a, 1, 2 }, cut[] = { 0x0a, 2, 1, 0x80 };
	static const uint8_t merge[] = { 0x2a, 2, 1, 2 }, merge_apart[] = { 0x28, 1, 0x28, 2 };
	const struct { const ProtobufCMessageDescriptor *type; struct bytes bytes; bool alone; } ways[] = {
		{ &reentry__ack__descriptor, { (uint8_t *)(uintptr_t)apart, sizeof apart }, false }, { &reentry__ack__descriptor, { (uint8_t *)(uintptr_t)packed, sizeof packed }, true },
		{ &reentry__ack__descriptor, { (uint8_t *)(uintptr_t)twice, sizeof twice }, false }, { &reentry__ack__descriptor, { (uint8_t *)(uintptr_t)cut, sizeof cut }, false },
		{ &reentry__merge__descriptor, { (uint8_t *)(uintptr_t)merge, sizeof merge }, false }, { &reentry__merge__descriptor, { (uint8_t *)(uintptr_t)merge_apart, sizeof merge_apart }, true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
		if (reads_the_same(ways[i].type, &ways[i].bytes) != ways[i].alone)
			fail_msg("way %zu", i);
}

/* With any bound on memory: read, or refused for lack of it, and never behind the bound. */
static void the_bound_on_memory_holds(void **state)
{
	uint64_t seed = 8;
	const struct bytes packed = theirs(sample_message(&reentry__case_state__descriptor, &arena, &seed));
	bool refused = false, read = false;

	(void)state;
	for (size_t max = 64; max < 64 * packed.n && !read; max += 64) {
		struct arena small;
		ProtobufCMessage *message = NULL;
		int error;

		arena_init(&small, max);
		error = pb_unpack_own(&reentry__case_state__descriptor, packed.at, packed.n, &small, &message);
		assert_true(error == OK || error == ERR_NOMEM);
		assert_true(small.used <= max);
		read = error == OK;
		refused = refused || !read;
		arena_release(&small);
	}
	assert_true(refused && read);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages_are_packed_as_protobuf_c_packs_them), cmocka_unit_test(lengths_of_one_byte_and_more), cmocka_unit_test(what_is_left_to_protobuf_c),
		cmocka_unit_test(messages_are_read_as_protobuf_c_reads_them), cmocka_unit_test(damaged_ones_are_read_as_protobuf_c_reads_them),
		cmocka_unit_test(other_ways_to_write_a_message), cmocka_unit_test(packed_and_unpacked_numbers), cmocka_unit_test(the_bound_on_memory_holds),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
