/* Proves that the broker tells what is in a frame without unpacking it, that unpacking takes exactly one thing and only what agents send, and that bytes of any kind pass through both. */
#include "broker/broker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static size_t pack(const Reentry__Frame *frame, uint8_t *bytes, size_t room)
{
	const size_t n = reentry__frame__get_packed_size(frame);

	assert_true(n <= room);
	return reentry__frame__pack(frame, bytes);
}

static int unpack(const uint8_t *bytes, size_t n, struct arena *arena, struct err *err)
{
	const struct wire_message message = { .bytes = bytes, .n = n };
	Reentry__Frame *frame;

	return net_unpack(&message, arena, &frame, err);
}

static void a_publish_is_counted_item_by_item(void **state)
{
	Reentry__Frame frame = REENTRY__FRAME__INIT;
	Reentry__Publish publish = REENTRY__PUBLISH__INIT;
	Reentry__Publish__Item item = REENTRY__PUBLISH__ITEM__INIT, *items[300];
	uint8_t content[200] = { 0 }, bytes[100000];
	struct arena arena;
	struct err err;
	size_t n, counted;

	(void)state;
	item.has_content = true;
	item.content.data = content;
	item.content.len = sizeof content;
	for (size_t i = 0; i < 300; i++)
		items[i] = &item;
	publish.items = items;
	publish.n_items = 300;
	frame.publish = &publish;
	n = pack(&frame, bytes, sizeof bytes);
	assert_int_equal(net_peek(bytes, n, &counted), FRAME_PUBLISH);
	assert_int_equal(counted, 300);
	arena_init(&arena, 0);
	assert_int_equal(unpack(bytes, n, &arena, &err), OK);
	assert_int_equal(unpack(bytes, n - 1, &arena, &err), ERR_INVALID);
	arena_release(&arena);
	publish.n_items = 0;
	n = pack(&frame, bytes, sizeof bytes);
	assert_int_equal(net_peek(bytes, n, &counted), FRAME_PUBLISH);
	assert_int_equal(counted, 0);
}

static void a_frame_holds_one_thing_that_agents_send(void **state)
{
	Reentry__Frame frame = REENTRY__FRAME__INIT;
	Reentry__Ping ping = REENTRY__PING__INIT;
	Reentry__Ack ack = REENTRY__ACK__INIT;
	Reentry__Bye bye = REENTRY__BYE__INIT;
	uint8_t bytes[100];
	struct arena arena;
	struct err err;
	size_t items;

	(void)state;
	arena_init(&arena, 0);
	assert_int_equal(unpack(bytes, 0, &arena, &err), ERR_INVALID);
	frame.ping = &ping;
	assert_int_equal(unpack(bytes, pack(&frame, bytes, sizeof bytes), &arena, &err), OK);
	assert_int_equal(net_peek(bytes, pack(&frame, bytes, sizeof bytes), &items), FRAME_PING);
	frame.ack = &ack;
	assert_int_equal(unpack(bytes, pack(&frame, bytes, sizeof bytes), &arena, &err), ERR_INVALID);
	frame.ack = NULL;
	frame.bye = &bye;
	assert_int_equal(unpack(bytes, pack(&frame, bytes, sizeof bytes), &arena, &err), ERR_INVALID);
	assert_non_null(strstr(err.text, "only the broker"));
	arena_release(&arena);
}

/* A generator with a fixed seed: the same bytes in every run. */
static uint32_t next_random(uint32_t *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	return *seed >> 8;
}

static void any_bytes_pass(void **state)
{
	uint32_t seed = 20270225;
	uint8_t bytes[64];
	struct arena arena;
	struct err err;

	(void)state;
	arena_init(&arena, 1 << 20);
	for (int i = 0; i < 200000; i++) {
		const size_t n = next_random(&seed) % sizeof bytes;
		size_t items = 99;
		unsigned kind;
		int rc;

		for (size_t k = 0; k < n; k++)
			bytes[k] = (uint8_t)next_random(&seed);
		if (n && i % 2)
			bytes[0] = (uint8_t)((next_random(&seed) % 32) << 3 | 2);
		kind = net_peek(bytes, n, &items);
		assert_true(kind <= 1000 && items <= n);
		rc = unpack(bytes, n, &arena, &err);
		assert_true(rc == OK || rc == ERR_INVALID);
		assert_true(rc || kind); /* what unpacks was recognised before, so that nothing is handled as what it is not */
		arena_reset(&arena);
	}
	arena_release(&arena);
}

static void a_users_name_splits_into_agency_and_key(void **state)
{
	char agency[AGENCY_SIZE], key[41];

	(void)state;
	assert_int_equal(zap_split("gm0344 !Z0).NHa6!J[KtK-lqyf8m0qqtp%uG3j<jI2IFZO", agency, key), OK);
	assert_string_equal(agency, "gm0344");
	assert_string_equal(key, "!Z0).NHa6!J[KtK-lqyf8m0qqtp%uG3j<jI2IFZO");
	assert_int_equal(zap_split("gm0344", agency, key), ERR_INVALID);
	assert_int_equal(zap_split("gm0344 short", agency, key), ERR_INVALID);
	assert_int_equal(zap_split("an-agency-with-a-name-that-is-far-too-long !Z0).NHa6!J[KtK-lqyf8m0qqtp%uG3j<jI2IFZO", agency, key), ERR_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_publish_is_counted_item_by_item),
		cmocka_unit_test(a_frame_holds_one_thing_that_agents_send),
		cmocka_unit_test(any_bytes_pass),
		cmocka_unit_test(a_users_name_splits_into_agency_and_key),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
