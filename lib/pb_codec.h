/* Packing and unpacking by descriptor as protobuf-c does it, in one pass and a third of the instructions. Only what our types and our own writers have: whatever else a message holds
 * is left to protobuf-c, so that there is one meaning. Used by lib/pb.c alone. */
#ifndef LIB_PB_CODEC_H
#define LIB_PB_CODEC_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/arena.h"

/* Writes the bytes that protobuf_c_message_pack would into [at, end). Behind the last of them; NULL: no room, or something that only protobuf-c knows (required and proto3 fields,
 * fixed-size numbers, oneofs, unknown fields). */
uint8_t *pb_write(const ProtobufCMessage *message, uint8_t *at, uint8_t *end);

/* Reads what protobuf_c_message_unpack would. False: something that only protobuf-c knows (as above, and fields out of their order or singular ones that come twice, packed
 * numbers that need not be), bytes that are no message, or no memory: memory of the arena may be used up then, and the caller asks protobuf-c. */
bool pb_read(const ProtobufCMessageDescriptor *type, const uint8_t *bytes, size_t n, struct arena *arena, ProtobufCMessage **ret_message);

#endif
