#include "lib/pb.h"

#include <string.h>

#include "lib/pb_codec.h"
#include "lib/pb_field.h"

#define PACK_ROOM ((size_t)4096)    /* that is free at least where a message is packed; a larger one may need to be measured first */

/* protobuf-c answers NULL for bad bytes and for no memory alike; this tells them apart. */
struct bounded {
	struct arena *arena;
	bool exhausted;
};

static void *bounded_alloc(void *data, size_t size)
{
	struct bounded *bounded = data;
	void *memory = arena_room(bounded->arena, size); /* protobuf-c is made for malloc: it writes all of it */
	if (memory == NULL)
		bounded->exhausted = true;
	return memory;
}

static void bounded_free(void *data, void *memory)
{
	(void)data; /* the arena frees all at once */
	(void)memory;
}

static int unpack(const ProtobufCMessageDescriptor *type, const void *bytes, size_t n, struct arena *arena, ProtobufCMessage **ret_message)
{
	struct bounded bounded = {.arena = arena};
	ProtobufCAllocator allocator = {.alloc = bounded_alloc, .free = bounded_free, .allocator_data = &bounded};
	static const uint8_t nothing[1];
	ProtobufCMessage *message;

	if (pb_read(type, n > 0 ? bytes : nothing, n, arena, ret_message))
		return 0;
	message = protobuf_c_message_unpack(type, &allocator, n, n > 0 ? bytes : nothing);
	if (message == NULL)
		return bounded.exhausted ? ERR_NOMEM : ERR_INVALID;
	*ret_message = message;
	return 0;
}

/* ret_message points to a pointer to a generated type, which is not a ProtobufCMessage * to the compiler. */
static void hand_over(void *ret_message, ProtobufCMessage *message)
{
	memcpy(ret_message, &message, sizeof message);
}

int pb_unpack(const ProtobufCMessageDescriptor *type, const void *bytes, size_t n, struct arena *arena, void *ret_message, struct err *err)
{
	ProtobufCMessage *message;
	int error = pb_scan(type, bytes, n, err);
	if (error != 0)
		return error;
	error = unpack(type, bytes, n, arena, &message);
	if (error == ERR_NOMEM)
		return err_set(err, error, "the message needs more memory than it may have");
	if (error != 0)
		return err_set(err, error, "not a message of type %s", type->short_name);
	hand_over(ret_message, message);
	return 0;
}

int pb_unpack_own(const ProtobufCMessageDescriptor *type, const void *bytes, size_t n, struct arena *arena, void *ret_message)
{
	ProtobufCMessage *message;
	int error = unpack(type, bytes, n, arena, &message);
	if (error != 0)
		return error == ERR_INVALID ? ERR_CORRUPT : error;
	hand_over(ret_message, message);
	return 0;
}

int pb_pack(const void *message, struct arena *arena, uint8_t **ret_bytes, size_t *ret_n)
{
	size_t room = 0;
	uint8_t *bytes = arena_end(arena, PACK_ROOM, &room), *behind = bytes != NULL ? pb_write(message, bytes, bytes + room) : NULL;

	if (behind != NULL) {
		*ret_n = (size_t)(behind - bytes);
		arena_keep(arena, *ret_n);
		*ret_bytes = bytes;
		return 0;
	}
	bytes = arena_room(arena, protobuf_c_message_get_packed_size(message));
	if (bytes == NULL)
		return ERR_NOMEM;
	*ret_n = protobuf_c_message_pack(message, bytes);
	*ret_bytes = bytes;
	return 0;
}

void *pb_new(const ProtobufCMessageDescriptor *type, struct arena *arena)
{
	ProtobufCMessage *message = arena_room(arena, type->sizeof_message);
	if (message != NULL)
		protobuf_c_message_init(type, message);
	return message;
}

int pb_has(const void *message, const char *name)
{
	const ProtobufCMessage *base = message;
	const ProtobufCFieldDescriptor *field = protobuf_c_message_descriptor_get_field_by_name(base->descriptor, name);
	if (field == NULL)
		return 0;
	struct pb_values values = pb_values(message, field);
	if (values.n == 0)
		return 0;
	if (field->label == PROTOBUF_C_LABEL_REPEATED)
		return 1;
	if (field->type == PROTOBUF_C_TYPE_STRING)
		return PB_AT(char *, values.first)[0] != '\0';
	if (field->type == PROTOBUF_C_TYPE_BYTES)
		return PB_AT(ProtobufCBinaryData, values.first).len > 0;
	return 1;
}
