/* A Frame with deliveries, put together from what the core has packed: packing each again for each receiver is what a fan-out would mostly do. */
#include <string.h>

#include "broker/broker.h"
#include "lib/pb_put.h"

/* Fields of proto/wire.proto. */
enum { FRAME_DELIVER = 18, DELIVER_ITEMS = 1, DELIVERY_ATTEMPT = 12 };

static uint32_t attempt_of(const struct session *session, uint64_t sequence)
{
	return sequence <= session->again_through ? session->attempt + 1 : 1;
}

/* Of a Delivery, its attempt included. */
static size_t item_size(const struct session *session, const struct core_delivery *item)
{
	return item->packed_n + pb_varint_size(DELIVERY_ATTEMPT << 3) + pb_varint_size(attempt_of(session, item->sequence));
}

static size_t items_size(const struct session *session, const struct core_delivery *items, size_t n)
{
	size_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += pb_bytes_size(DELIVER_ITEMS, item_size(session, &items[i]));
	return sum;
}

size_t deliver_frame_size(const struct session *session, const struct core_delivery *items, size_t n)
{
	return pb_bytes_size(FRAME_DELIVER, items_size(session, items, n));
}

uint8_t *deliver_frame_pack(const struct session *session, const struct core_delivery *items, size_t n, uint8_t *at)
{
	at = pb_put_head(at, FRAME_DELIVER, items_size(session, items, n));
	for (size_t i = 0; i < n; i++) {
		at = pb_put_head(at, DELIVER_ITEMS, item_size(session, &items[i]));
		memcpy(at, items[i].packed, items[i].packed_n);
		at = pb_put_number(at + items[i].packed_n, DELIVERY_ATTEMPT, attempt_of(session, items[i].sequence));
	}
	return at;
}
