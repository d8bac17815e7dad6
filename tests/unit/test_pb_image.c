/* Proves that a copy of a message's image is the message, that it stands alone and can be changed, and that an image keeps within its room. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/pb.h"
#include "lib/pb_image.h"
#include "proto/event.pb-c.h"
#include "proto/record.pb-c.h"
#include "tests/unit/samples.h"

#define ROUNDS 30

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

/* A block of exactly that size, so that a sanitizer sees what is written behind its end. */
static struct pb_image *image_of(uint32_t room)
{
	struct pb_image *image = malloc(sizeof *image + room);

	assert_non_null(image);
	image->room = room;
	return image;
}

static void assert_packs_to(const void *message, const uint8_t *want, size_t n)
{
	uint8_t *bytes = NULL;
	size_t bytes_n = 0;

	assert_non_null(message);
	assert_int_equal(pb_pack(message, &arena, &bytes, &bytes_n), OK);
	assert_int_equal(bytes_n, n);
	assert_memory_equal(bytes, want, n);
}

static void copies_are_the_same(const ProtobufCMessageDescriptor *type)
{
	uint64_t seed = 1;

	for (int round = 0; round < ROUNDS; round++) {
		ProtobufCMessage *message = sample_message(type, &arena, &seed);
		const uint32_t room = pb_image_room(message, &arena);
		struct pb_image *image = image_of(room), *small = image_of(room / 2 & ~15u);
		struct arena other;
		uint8_t *want = NULL;
		size_t n = 0;

		arena_init(&other, 0);
		assert_true(room > 0);
		assert_int_equal(pb_pack(message, &arena, &want, &n), OK);
		assert_false(pb_image_fill(small, message));
		assert_true(pb_image_fill(image, message));
		memset(message, 0xa5, type->sizeof_message);
		assert_packs_to(pb_image_of(image), want, n);
		for (int again = 0; again < 2; again++) {
			void *copy = pb_image_copy(image, &other);

			assert_packs_to(copy, want, n);
			memset(copy, 0, image->n); /* it is the caller's */
		}
		assert_packs_to(pb_image_of(image), want, n);
		message = pb_image_copy(image, &other);
		memset(image->bytes, 0, image->room);
		free(image);
		assert_packs_to(message, want, n);
		free(small);
		arena_release(&other);
		arena_reset(&arena);
	}
}

static void copies_are_their_message(void **state)
{
	(void)state;
	for (size_t i = 0; sample_event_types[i]; i++)
		copies_are_the_same(sample_event_types[i]);
	for (size_t i = 0; sample_other_types[i]; i++)
		copies_are_the_same(sample_other_types[i]);
}

/* What a list is grown by looks at what stands before it, to tell an array of its own: in a copy there are zeros, whatever the fields around are. */
static void a_list_of_a_copy_grows(void **state)
{
	Reentry__TimerRecord record = REENTRY__TIMER_RECORD__INIT, *copy;
	Reentry__Timer timer = REENTRY__TIMER__INIT, *timers[] = { &timer, &timer, &timer, &timer, &timer };
	struct pb_image *image;

	(void)state;
	record.has_rules_version = true;
	record.rules_version = UINT32_MAX;
	record.fired = timers;
	record.n_fired = 5;
	image = image_of(pb_image_room(&record, &arena));
	assert_true(pb_image_fill(image, &record));
	copy = pb_image_copy(image, &arena);
	assert_non_null(copy);
	for (size_t i = 0; i < 100; i++) {
		Reentry__Timer **place = ARENA_PUSH(&arena, copy->fired, copy->n_fired);

		assert_non_null(place);
		*place = &timer;
	}
	for (size_t i = 0; i < copy->n_fired; i++)
		assert_int_equal(copy->fired[i]->base.descriptor == &reentry__timer__descriptor, 1);
	copy = pb_image_copy(image, &arena);
	copy->n_fired = 0; /* memory of a list that became empty is nobody's */
	assert_true(pb_image_fill(image, copy));
	assert_null(((const Reentry__TimerRecord *)pb_image_of(image))->fired);
	free(image);
}

static void what_has_no_image_says_so(void **state)
{
	Reentry__Nothing nothing = REENTRY__NOTHING__INIT;
	char *text = malloc(PB_IMAGE_MAX + 1);

	(void)state;
	assert_non_null(text);
	memset(text, 'x', PB_IMAGE_MAX);
	text[PB_IMAGE_MAX] = 0;
	nothing.reason = text;
	assert_int_equal(pb_image_room(&nothing, &arena), 0);
	text[PB_IMAGE_MAX - 1000] = 0;
	assert_int_not_equal(pb_image_room(&nothing, &arena), 0);
	nothing.base.n_unknown_fields = 1;
	assert_int_equal(pb_image_room(&nothing, &arena), 0);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(copies_are_their_message, setup, teardown),
		cmocka_unit_test_setup_teardown(a_list_of_a_copy_grows, setup, teardown),
		cmocka_unit_test_setup_teardown(what_has_no_image_says_so, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
