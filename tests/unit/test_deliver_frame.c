/* Proves that the Frame of deliveries that is put together by hand is what protobuf-c would have packed: it reads it back, with the number of the attempt that the session says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "broker/broker.h"
#include "lib/pb.h"

#define MANY 300

static void protobuf_reads_what_was_put_together(void **state)
{
	static const uint32_t attempts[] = { 0, 1, 126, 127, 128, 999999 };
	struct session session = { .again_through = 1000 + MANY / 2 };
	struct core_delivery items[MANY];
	struct arena arena;

	(void)state;
	arena_init(&arena, 0);
	for (uint64_t i = 0; i < MANY; i++) {
		Reentry__Delivery delivery = REENTRY__DELIVERY__INIT;
		uint8_t *packed;

		delivery.has_sequence = delivery.has_content = true;
		delivery.sequence = 1000 + i;
		delivery.content.len = i % 3 ? i : 16000 + i; /* lengths of one, two and three bytes */
		delivery.content.data = arena_alloc(&arena, delivery.content.len);
		memset(delivery.content.data, (int)i, delivery.content.len);
		items[i] = (struct core_delivery){ .sequence = delivery.sequence };
		assert_int_equal(pb_pack(&delivery, &arena, &packed, &items[i].packed_n), OK);
		items[i].packed = packed;
	}
	for (size_t k = 0; k < sizeof attempts / sizeof *attempts; k++)
		for (size_t n = 1; n <= MANY; n = n < 4 ? n + 1 : n * 5) {
			Reentry__Frame *frame;
			uint8_t *bytes;
			size_t size;

			session.attempt = attempts[k];
			size = deliver_frame_size(&session, items, n);
			bytes = malloc(size);
			assert_non_null(bytes);
			assert_ptr_equal(deliver_frame_pack(&session, items, n, bytes), bytes + size);
			assert_int_equal(pb_unpack_own(&reentry__frame__descriptor, bytes, size, &arena, &frame), OK);
			free(bytes);
			assert_int_equal(reentry__frame__get_packed_size(frame), size);
			assert_int_equal(frame->base.n_unknown_fields, 0);
			assert_int_equal(frame->deliver->n_items, n);
			for (size_t i = 0; i < n; i++) {
				const Reentry__Delivery *delivery = frame->deliver->items[i];

				assert_int_equal(delivery->sequence, items[i].sequence);
				assert_int_equal(delivery->content.len, i % 3 ? i : 16000 + i);
				assert_int_equal(delivery->attempt, items[i].sequence <= session.again_through ? attempts[k] + 1 : 1);
				assert_int_equal(delivery->base.n_unknown_fields, 0);
			}
		}
	arena_release(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(protobuf_reads_what_was_put_together) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
