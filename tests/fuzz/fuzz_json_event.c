/* Any text as a JSON event: refused with a reason, or read to an event that is written and read back the same. Types are t0, t1, …:
 * the payloads in the order of sample_event_types. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/json.h"
#include "lib/pb.h"
#include "proto/event.pb-c.h"
#include "tests/unit/samples.h"

#define MEMORY_MAX ((size_t)64 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static const ProtobufCMessageDescriptor *payload_of(const char *type)
{
	char name[16];
	for (int i = 0; sample_event_types[i] != NULL; i++) {
		(void)snprintf(name, sizeof name, "t%d", i);
		if (strcmp(name, type) == 0)
			return sample_event_types[i];
	}
	return NULL;
}

static void require(int truth)
{
	if (!truth)
		abort(); /* what libFuzzer reports */
}

/* False if it holds values that pb_check refuses: those have no text that could be read back. */
static int is_sound(const Reentry__Event *event, struct arena *arena)
{
	const ProtobufCMessageDescriptor *type = payload_of(event->type);
	void *payload;
	if (type == NULL)
		return 1;
	require(pb_unpack(type, event->data.data, event->has_data ? event->data.len : 0, arena, &payload, NULL) == 0);
	return pb_check(payload, NULL) == 0;
}

static void same_again(const struct json_event *event, struct arena *arena)
{
	struct json_event back;
	struct buf text, again;
	uint8_t *packed[2];
	size_t packed_n[2];
	buf_init(&text);
	buf_init(&again);
	require(json_event_write(&text, event, payload_of) == 0);
	if (is_sound(event->event, arena)) {
		require(json_event_read((const char *)text.bytes, text.n, payload_of, arena, &back, NULL) == 0);
		require(json_event_write(&again, &back, payload_of) == 0);
		require(text.n == again.n && memcmp(text.bytes, again.bytes, text.n) == 0);
		require(pb_pack(event->event, arena, &packed[0], &packed_n[0]) == 0);
		require(pb_pack(back.event, arena, &packed[1], &packed_n[1]) == 0);
		require(packed_n[0] == packed_n[1] && memcmp(packed[0], packed[1], packed_n[0]) == 0);
	}
	buf_release(&text);
	buf_release(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct json_event event;
	struct arena arena;
	struct err err = {0};
	arena_init(&arena, MEMORY_MAX);
	int error = json_event_read((const char *)bytes, n, payload_of, &arena, &event, &err);
	require(error == 0 || (error == err.code && err.text[0] != '\0'));
	if (error == 0)
		same_again(&event, &arena);
	arena_release(&arena);
	return 0;
}
