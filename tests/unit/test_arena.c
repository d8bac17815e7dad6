/* Proves that an arena hands out separate, zeroed, aligned memory up to its bound and no byte more, that what is reused after a reset is zeroed again, and that arrays grow without
 * losing an element, whoever built them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/arena.h"

#define MANY 3000

static struct arena arena;

static int set_up(void **state)
{
	(void)state;
	arena_init(&arena, 0);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	arena_release(&arena);
	return 0;
}

static bool is_zero(const unsigned char *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (bytes[i])
			return false;
	return true;
}

/* --- memory ---------------------------------------------------------------------------------------------------- */

static void memory_is_apart_zeroed_and_aligned(void **state)
{
	unsigned char *pieces[MANY];
	size_t sizes[MANY];

	(void)state;
	for (size_t i = 0; i < MANY; i++) {
		sizes[i] = i % 200;
		pieces[i] = arena_alloc(&arena, sizes[i]);
		assert_non_null(pieces[i]);
		assert_int_equal((uintptr_t)pieces[i] % 16, 0);
		assert_true(is_zero(pieces[i], sizes[i]));
		memset(pieces[i], (int)(i % 255) + 1, sizes[i]);
	}
	for (size_t i = 0; i < MANY; i++)
		for (size_t k = 0; k < sizes[i]; k++)
			assert_int_equal(pieces[i][k], i % 255 + 1);
}

static void a_piece_may_be_larger_than_a_block(void **state)
{
	size_t n = (size_t)5 << 20;
	unsigned char *large, *small = arena_alloc(&arena, 1);

	(void)state;
	*small = 7;
	large = arena_alloc(&arena, n);
	assert_non_null(large);
	assert_true(is_zero(large, n));
	memset(large, 1, n);
	assert_int_equal(*small, 7);
}

static void nothing_beyond_the_bound_is_handed_out(void **state)
{
	size_t n = 0;

	(void)state;
	arena_init(&arena, 1024);
	while (arena_alloc(&arena, 16))
		n++;
	assert_int_equal(n, 64);
	assert_int_equal(arena.used, 1024);
	assert_null(arena_alloc(&arena, 1));
	arena_reset(&arena);
	assert_non_null(arena_alloc(&arena, 1024));
	assert_null(arena_alloc(&arena, 1));
}

static void sizes_near_the_largest_are_refused(void **state)
{
	(void)state;
	for (size_t less = 0; less < 40; less++)
		assert_null(arena_alloc(&arena, SIZE_MAX - less));
	assert_null(arena_alloc(&arena, ARENA_MAX + 1));
	assert_int_equal(arena.used, 0);
}

static void nothing_goes_on_for_ever_without_size(void **state)
{
	size_t n = 0;

	(void)state;
	arena_init(&arena, 1024);
	while (n < 1000 && arena_alloc(&arena, 0))
		n++;
	assert_in_range(n, 64, 65); /* pieces of no size count as one step */
}

static void after_a_reset_memory_is_zeroed_again(void **state)
{
	unsigned char *before = arena_alloc(&arena, 1000), *after;

	(void)state;
	memset(before, 0xff, 1000);
	for (int i = 0; i < 100; i++)
		memset(arena_alloc(&arena, 10000), 0xff, 10000); /* more blocks, which the reset gives back */
	arena_reset(&arena);
	assert_int_equal(arena.used, 0);
	after = arena_alloc(&arena, 1000);
	assert_ptr_equal(after, before); /* the first block is reused, or this would prove nothing */
	assert_true(is_zero(after, 1000));
	assert_true(is_zero(arena_alloc(&arena, 12000), 12000));
}

static void a_reset_keeps_memory_up_to_its_bound(void **state)
{
	const size_t piece = (size_t)1 << 20, kept = ARENA_KEPT / piece;
	unsigned char *first[4];

	(void)state;
	for (size_t i = 0; i < 4; i++)
		first[i] = memset(arena_alloc(&arena, piece), 1, piece);
	arena_reset(&arena);
	for (size_t i = 0; i < 4; i++) {
		unsigned char *again = arena_room(&arena, piece);

		assert_ptr_equal(again, first[i]);
		assert_int_equal(again[0], 1); /* not zeroed: that is what it is for */
	}
	arena_reset(&arena);
	for (size_t i = 0; i < 4; i++)
		assert_true(is_zero(arena_alloc(&arena, piece), piece));
	for (size_t i = 4; i < 3 * kept; i++)
		memset(arena_room(&arena, piece), 2, piece);
	arena_reset(&arena);
	for (size_t i = 0; i < 3 * kept; i++)
		assert_true(is_zero(arena_alloc(&arena, piece), piece));
	assert_int_equal(arena.used, 3 * kept * piece);
}

static void what_was_wiped_is_not_there_any_more(void **state)
{
	unsigned char *pieces[50];

	(void)state;
	for (size_t i = 0; i < 50; i++)
		pieces[i] = memset(arena_alloc(&arena, 1000), 0xff, 1000);
	arena_reset(&arena);
	(void)arena_alloc(&arena, 10);
	arena_wipe(&arena);
	assert_int_equal(arena.used, 0);
	for (size_t i = 0; i < 50; i++) {
		unsigned char *piece = arena_room(&arena, 1000);

		assert_ptr_equal(piece, pieces[i]);
		assert_true(is_zero(piece, 1000));
	}
}

static void an_arena_can_be_released_twice_and_used_again(void **state)
{
	(void)state;
	assert_non_null(arena_alloc(&arena, 10));
	arena_release(&arena);
	arena_release(&arena);
	arena_reset(&arena);
	assert_non_null(arena_alloc(&arena, 10));
}

static void copies_are_their_own(void **state)
{
	char text[] = "gm0344", *copy = arena_strdup(&arena, text), *bytes = arena_dup(&arena, "a\0b", 3);

	(void)state;
	text[0] = 'x';
	assert_string_equal(copy, "gm0344");
	assert_memory_equal(bytes, "a\0b", 3);
	assert_null(arena_strdup(&arena, NULL));
	assert_non_null(arena_dup(&arena, NULL, 0));
	assert_string_equal(arena_printf(&arena, "%s-%04d", "gm", 344), "gm-0344");
	assert_int_equal(strlen(arena_printf(&arena, "%50000d", 1)), 50000);
}

static void a_text_that_does_not_fit_is_none(void **state)
{
	(void)state;
	arena_init(&arena, 64);
	assert_null(arena_printf(&arena, "%64d", 1));
	assert_non_null(arena_printf(&arena, "%63d", 1));
}

/* --- arrays ---------------------------------------------------------------------------------------------------- */

struct thing { uint64_t number; char rest[20]; };

static void arrays_grow_without_losing_anything(void **state)
{
	struct thing *things = NULL;
	size_t n = 0;

	(void)state;
	for (size_t i = 0; i < MANY; i++) {
		struct thing *thing = ARENA_PUSH(&arena, things, n);

		assert_ptr_equal(thing, &things[i]);
		assert_int_equal(n, i + 1);
		assert_true(is_zero((const unsigned char *)thing, sizeof *thing));
		thing->number = i * 7;
		memset(thing->rest, 0x5a, sizeof thing->rest);
	}
	for (size_t i = 0; i < MANY; i++)
		assert_int_equal(things[i].number, i * 7);
	assert_true(arena.used < 4 * MANY * sizeof *things); /* doubling: the copies together are no more than the array */
}

static void two_arrays_grow_side_by_side(void **state)
{
	uint32_t *odd = NULL, *even = NULL;
	size_t n_odd = 0, n_even = 0;

	(void)state;
	for (uint32_t i = 0; i < 2 * MANY; i++)
		*(i % 2 ? ARENA_PUSH(&arena, odd, n_odd) : ARENA_PUSH(&arena, even, n_even)) = i;
	for (uint32_t i = 0; i < MANY; i++) {
		assert_int_equal(even[i], 2 * i);
		assert_int_equal(odd[i], 2 * i + 1);
	}
}

static void an_array_made_shorter_grows_zeroed(void **state)
{
	uint32_t *numbers = NULL;
	size_t n = 0;

	(void)state;
	for (uint32_t i = 0; i < 4; i++)
		*ARENA_PUSH(&arena, numbers, n) = 9;
	n = 1;
	assert_int_equal(*ARENA_PUSH(&arena, numbers, n), 0);
	assert_int_equal(numbers[0], 9);
}

/* On the stack, on the heap to the byte, in another arena, in this one: under AddressSanitizer a look before its first byte would be seen. */
static void arrays_from_elsewhere_are_copied(void **state)
{
	struct arena other;
	uint64_t here[2] = { 1, 2 }, *heap = malloc(sizeof here), *numbers;

	(void)state;
	arena_init(&other, 0);
	memcpy(heap, here, sizeof here);
	uint64_t *const from[] = { here, heap, arena_dup(&other, here, sizeof here), arena_dup(&arena, here, sizeof here) };
	for (size_t i = 0; i < sizeof from / sizeof *from; i++) {
		size_t n = 2;

		numbers = from[i];
		*ARENA_PUSH(&arena, numbers, n) = 3;
		assert_ptr_not_equal(numbers, from[i]);
		assert_int_equal(n, 3);
		for (uint64_t k = 0; k < 3; k++)
			assert_int_equal(numbers[k], k + 1);
	}
	arena_release(&other);
	free(heap);
}

/* What stands before an array may have been sent by somebody: it must not pass for the capacity. */
static void a_forged_header_is_not_believed(void **state)
{
	uint64_t *block = arena_alloc(&arena, 64), *numbers = block + 2;
	size_t n = 2;

	(void)state;
	block[0] = (uintptr_t)block; /* any address but that of the array */
	block[1] = UINT64_MAX;
	*ARENA_PUSH(&arena, numbers, n) = 3;
	assert_ptr_not_equal(numbers, block + 2);
}

static void an_array_that_does_not_fit_stays_as_it_was(void **state)
{
	uint64_t *numbers = NULL, *kept;
	size_t n = 0;

	(void)state;
	arena_init(&arena, 512);
	while (n < 1000) {
		uint64_t *number = ARENA_PUSH(&arena, numbers, n);

		if (!number)
			break;
		*number = n;
	}
	kept = numbers;
	assert_int_equal(n, 16); /* 4, 8, 16 elements and their headers are 272 bytes; 32 more do not fit */
	assert_null(ARENA_PUSH(&arena, numbers, n));
	assert_int_equal(n, 16);
	assert_ptr_equal(numbers, kept);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(numbers[i], i + 1);
}

static void elements_too_large_to_count_are_refused(void **state)
{
	void *items = NULL;
	size_t n = 0;

	(void)state;
	assert_null(arena_push(&arena, &items, &n, SIZE_MAX / 4));
	assert_null(arena_push(&arena, &items, &n, SIZE_MAX));
	assert_null(items);
	assert_int_equal(n, 0);
}

static void it_serves_protobuf(void **state)
{
	struct arena_pb allocator;
	void *bytes;

	(void)state;
	arena_init(&arena, 64);
	arena_pb_init(&allocator, &arena);
	bytes = allocator.alloc(allocator.data, 60);
	assert_non_null(bytes);
	allocator.free(allocator.data, bytes);
	assert_int_equal(arena.used, 64);
	assert_null(allocator.alloc(allocator.data, 1));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

/* Where such an array lay before a reset, the memory before it may still say how long that one was. */
static void an_array_is_not_taken_for_one_of_an_earlier_life(void **state)
{
	uint64_t *numbers = NULL, *others;
	size_t n = 0, few = 1;

	(void)state;
	for (uint64_t i = 0; i < 100; i++)
		*ARENA_PUSH(&arena, numbers, n) = i;
	arena_reset(&arena);
	/* The same place for an array from elsewhere (protobuf-c's): what lies before it is taken, and not written. */
	while (arena.used < (size_t)1 << 16) {
		others = arena_room(&arena, sizeof *others);
		assert_non_null(others);
		if (others != numbers)
			continue;
		*others = 7;
		assert_non_null(arena_dup(&arena, "next", 5));
		*ARENA_PUSH(&arena, others, few) = 8;
		assert_ptr_not_equal(others, numbers); /* it had no room for a second one */
		assert_int_equal(others[0], 7);
		assert_int_equal(others[1], 8);
		return;
	}
	fail_msg("that place did not come again");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(memory_is_apart_zeroed_and_aligned), TEST(a_piece_may_be_larger_than_a_block), TEST(nothing_beyond_the_bound_is_handed_out),
		TEST(sizes_near_the_largest_are_refused), TEST(nothing_goes_on_for_ever_without_size), TEST(after_a_reset_memory_is_zeroed_again),
		TEST(an_arena_can_be_released_twice_and_used_again), TEST(copies_are_their_own), TEST(a_text_that_does_not_fit_is_none),
		TEST(arrays_grow_without_losing_anything), TEST(two_arrays_grow_side_by_side), TEST(an_array_made_shorter_grows_zeroed),
		TEST(arrays_from_elsewhere_are_copied), TEST(a_forged_header_is_not_believed), TEST(an_array_that_does_not_fit_stays_as_it_was),
		TEST(elements_too_large_to_count_are_refused), TEST(it_serves_protobuf), TEST(a_reset_keeps_memory_up_to_its_bound),
		TEST(what_was_wiped_is_not_there_any_more), TEST(an_array_is_not_taken_for_one_of_an_earlier_life),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
