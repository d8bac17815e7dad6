/* The top level of a message, found and not unpacked. */
#include <string.h>

#include "lib/pb.h"

static bool varint(const uint8_t **at, const uint8_t *end, uint64_t *ret_value)
{
	uint64_t value = 0;

	for (unsigned shift = 0; shift < 64 && *at < end; shift += 7) {
		const uint8_t byte = *(*at)++;

		value |= (uint64_t)(byte & 0x7f) << shift;
		if (byte < 0x80) {
			*ret_value = value;
			return true;
		}
	}
	return false;
}

/* One value of that wire type; *at moves behind it. */
static bool take(const uint8_t **at, const uint8_t *end, unsigned wire_type, struct pb_peek *ret_value)
{
	uint64_t n = wire_type == PROTOBUF_C_WIRE_TYPE_64BIT ? 8 : 4;

	*ret_value = (struct pb_peek){ .there = true };
	if (wire_type == PROTOBUF_C_WIRE_TYPE_VARINT)
		return varint(at, end, &ret_value->number);
	if (wire_type == PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED && !varint(at, end, &n))
		return false;
	if ((wire_type != PROTOBUF_C_WIRE_TYPE_64BIT && wire_type != PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED && wire_type != PROTOBUF_C_WIRE_TYPE_32BIT) || n > (uint64_t)(end - *at))
		return false;
	ret_value->bytes = *at;
	ret_value->n = (size_t)n;
	*at += n;
	return true;
}

int pb_peek(const uint8_t *bytes, size_t n, size_t n_fields, struct pb_peek *ret_fields)
{
	const uint8_t *at = bytes, *const end = n > 0 ? bytes + n : bytes;

	memset(ret_fields, 0, n_fields * sizeof *ret_fields);
	while (at < end) {
		struct pb_peek value;
		uint64_t tag;

		if (!varint(&at, end, &tag) || tag >> 3 == 0 || !take(&at, end, tag & 7, &value))
			return ERR_CORRUPT;
		if (tag >> 3 < n_fields)
			ret_fields[tag >> 3] = value;
	}
	return OK;
}
