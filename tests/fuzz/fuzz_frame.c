/* Any bytes as what an agent sends: refused with a reason, or one Frame; and the look at its first field that decides how many a turn may take tells of it
 * what unpacking tells. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "broker/broker.h"

#define MEMORY_MAX ((size_t)16 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void require(int truth)
{
	if (!truth)
		abort(); /* what libFuzzer reports */
}

static unsigned field_of(const Reentry__Frame *frame)
{
	return frame->hello ? FRAME_HELLO : frame->publish ? FRAME_PUBLISH : frame->ack ? FRAME_ACK : frame->query ? FRAME_QUERY :
	       frame->credit ? FRAME_CREDIT : frame->cosign ? FRAME_COSIGN : FRAME_PING;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	const struct wire_message message = { .bytes = bytes, .n = n, .user = "gm-a k" };
	Reentry__Frame *frame = NULL;
	struct err err = { 0 };
	struct arena arena;
	size_t items = 0;
	unsigned field;
	int error;

	arena_init(&arena, MEMORY_MAX);
	field = net_peek(bytes, n, &items);
	require(items <= n && (field == FRAME_PUBLISH || items == 0));
	error = net_unpack(&message, &arena, &frame, &err);
	require(error == OK || (error == err.code && err.text[0] != '\0'));
	if (error == OK) {
		require(field == field_of(frame));
		require(!frame->publish || frame->publish->n_items == items);
	}
	arena_release(&arena);
	return 0;
}
