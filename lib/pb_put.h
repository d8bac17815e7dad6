/* Messages written by hand where packing them by their descriptor is what would take the time: field by field, by their numbers in the .proto files. The caller has the room. */
#ifndef LIB_PB_PUT_H
#define LIB_PB_PUT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define PB_NUMBER_SIZE_MAX 15        /* tag and value of a field that is a number */

static inline size_t pb_varint_size(uint64_t value)
{
	size_t n = 1;

	while (value >>= 7)
		n++;
	return n;
}

static inline uint8_t *pb_put_varint(uint8_t *at, uint64_t value)
{
	for (; value >= 0x80; value >>= 7)
		*at++ = (uint8_t)value | 0x80;
	*at++ = (uint8_t)value;
	return at;
}

/* A number as it is on the wire: a sint64 is handed over as it was read (lib/pb.h, pb_peek). */
static inline uint8_t *pb_put_number(uint8_t *at, unsigned field, uint64_t value)
{
	return pb_put_varint(pb_put_varint(at, (uint64_t)field << 3), value);
}

/* Tag and length of a field of n bytes, which the caller puts behind them. */
static inline uint8_t *pb_put_head(uint8_t *at, unsigned field, size_t n)
{
	return pb_put_varint(pb_put_varint(at, (uint64_t)field << 3 | 2), n);
}

static inline uint8_t *pb_put_bytes(uint8_t *at, unsigned field, const void *bytes, size_t n)
{
	at = pb_put_head(at, field, n);
	if (n > 0)
		memcpy(at, bytes, n);
	return at + n;
}

/* Of a field of n bytes, with its tag and length. */
static inline size_t pb_bytes_size(unsigned field, size_t n)
{
	return pb_varint_size((uint64_t)field << 3) + pb_varint_size(n) + n;
}

#endif
