/* Any bytes as a message of any type: refused with a reason, or read to something that packs and reads back the same. The
 * first byte chooses the type. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/pb.h"
#include "lib/pb_codec.h"
#include "tests/unit/samples.h"

#define MEMORY_MAX ((size_t)16 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static const ProtobufCMessageDescriptor *type_of(uint8_t number)
{
	size_t events = 0, others = 0;
	while (sample_event_types[events] != NULL)
		events++;
	while (sample_other_types[others] != NULL)
		others++;
	size_t chosen = number % (events + others);
	return chosen < others ? sample_other_types[chosen] : sample_event_types[chosen - others];
}

static void require(int truth)
{
	if (!truth)
		abort(); /* what libFuzzer reports */
}

static void same_again(const ProtobufCMessageDescriptor *type, const void *message, struct arena *arena)
{
	uint8_t *packed, *again;
	size_t packed_n, again_n;
	void *back;
	if (pb_pack(message, arena, &packed, &packed_n) != 0)
		return; /* the bound on memory */
	int error = pb_unpack(type, packed, packed_n, arena, &back, NULL);
	if (error == ERR_NOMEM || pb_pack(back, arena, &again, &again_n) != 0)
		return;
	require(error == 0 && packed_n == again_n && memcmp(packed, again, packed_n) == 0);
}

/* What is read without protobuf-c is what it would read. */
static void same_as_theirs(const ProtobufCMessageDescriptor *type, const uint8_t *bytes, size_t n, struct arena *arena)
{
	ProtobufCMessage *ours, *theirs;
	uint8_t *a, *b;

	if (!pb_read(type, bytes, n, arena, &ours))
		return;
	theirs = protobuf_c_message_unpack(type, NULL, n, bytes);
	require(theirs != NULL);
	size_t a_n = protobuf_c_message_get_packed_size(ours), b_n = protobuf_c_message_get_packed_size(theirs);
	require(a_n == b_n);
	a = malloc(a_n + 1);
	b = malloc(b_n + 1);
	if (a != NULL && b != NULL)
		require(protobuf_c_message_pack(ours, a) == protobuf_c_message_pack(theirs, b) && memcmp(a, b, a_n) == 0);
	free(a);
	free(b);
	protobuf_c_message_free_unpacked(theirs, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct arena arena;
	struct err err = {0};
	void *message;

	if (n == 0)
		return 0;
	const ProtobufCMessageDescriptor *type = type_of(bytes[0]);
	arena_init(&arena, MEMORY_MAX);
	int scanned = pb_scan(type, bytes + 1, n - 1, NULL);
	int error = pb_unpack(type, bytes + 1, n - 1, &arena, &message, &err);
	require(error == 0 || (error == err.code && err.text[0] != '\0'));
	require(scanned == error || error == ERR_NOMEM); /* what the scan lets through, protobuf-c understands */
	if (error == 0) {
		require(((const ProtobufCMessage *)message)->n_unknown_fields == 0);
		(void)pb_check(message, &err); /* either answer is right */
		same_again(type, message, &arena);
	}
	same_as_theirs(type, bytes + 1, n - 1, &arena);
	arena_release(&arena);
	return 0;
}
