/* A Frame with deliveries, put together from what the core has packed: packing each again for each receiver is what a fan-out would mostly do. */
#include <string.h>

#include "broker/broker.h"

/* Tags of proto/wire.proto: field << 3 | 2 for what has a length, | 0 for a number. */
enum { TAG_FRAME_DELIVER = 18 << 3 | 2, TAG_DELIVER_ITEMS = 1 << 3 | 2, TAG_DELIVERY_ATTEMPT = 12 << 3 };

static size_t varint_size(uint64_t value)
{
	size_t n = 1;

	while (value >>= 7)
		n++;
	return n;
}

static uint8_t *put_varint(uint8_t *at, uint64_t value)
{
	for (; value >= 0x80; value >>= 7)
		*at++ = (uint8_t)value | 0x80;
	*at++ = (uint8_t)value;
	return at;
}

static uint32_t attempt_of(const struct session *session, uint64_t sequence)
{
	return sequence <= session->again_through ? session->attempt + 1 : 1;
}

/* Of a Delivery, its attempt included. */
static size_t item_size(const struct session *session, const struct core_delivery *item)
{
	return item->packed_n + varint_size(TAG_DELIVERY_ATTEMPT) + varint_size(attempt_of(session, item->sequence));
}

static size_t items_size(const struct session *session, const struct core_delivery *items, size_t n)
{
	size_t sum = 0;

	for (size_t i = 0; i < n; i++) {
		const size_t size = item_size(session, &items[i]);

		sum += varint_size(TAG_DELIVER_ITEMS) + varint_size(size) + size;
	}
	return sum;
}

size_t deliver_frame_size(const struct session *session, const struct core_delivery *items, size_t n)
{
	const size_t inner = items_size(session, items, n);

	return varint_size(TAG_FRAME_DELIVER) + varint_size(inner) + inner;
}

uint8_t *deliver_frame_pack(const struct session *session, const struct core_delivery *items, size_t n, uint8_t *at)
{
	at = put_varint(put_varint(at, TAG_FRAME_DELIVER), items_size(session, items, n));
	for (size_t i = 0; i < n; i++) {
		at = put_varint(put_varint(at, TAG_DELIVER_ITEMS), item_size(session, &items[i]));
		memcpy(at, items[i].packed, items[i].packed_n);
		at = put_varint(put_varint(at + items[i].packed_n, TAG_DELIVERY_ATTEMPT), attempt_of(session, items[i].sequence));
	}
	return at;
}
