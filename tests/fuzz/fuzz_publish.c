/* Any bytes as the content of events that agencies publish: the broker's core answers each with an outcome, goes on, and takes all of it back when the turn
 * is rolled back. An input is any number of: agency (1 byte), length (2 bytes, big-endian), content. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/core_place.h"

#define EVENTS_MAX 32 /* of one input */

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static struct core_place *place;
static uint64_t last;

static void require(int truth)
{
	if (!truth)
		abort(); /* what libFuzzer reports */
}

static void prepare(void)
{
	if (place)
		return;
	place = core_place_lasting();
	place_accept(place, "om", "sentence.imposed", "C-1", "{\"kind\":\"DETENTION\",\"days\":24}");
	place_accept(place, "gm-a", "handover.offered", "C-1", "{\"handover\":\"H-1\",\"to\":\"care-a\",\"need\":\"CARE\"}");
	place_accept(place, "pi-a", "need.screened", "C-1", "{\"need\":\"PSYCHIATRIC\",\"status\":\"OPEN\"}");
	last = place_last(place);
}

static void judge(const struct core_receipt *receipt)
{
	switch (receipt->result) {
	case REENTRY__OUTCOME__VALUE__ACCEPTED:
		require(receipt->sequence > last && receipt->id[0] != '\0' && !receipt->code);
		break;
	case REENTRY__OUTCOME__VALUE__DUPLICATE:
	case REENTRY__OUTCOME__VALUE__STALE:
		require(receipt->sequence != 0 && receipt->id[0] != '\0');
		break;
	default:
		require(receipt->result == REENTRY__OUTCOME__VALUE__REFUSED && receipt->sequence == 0 && receipt->code && receipt->code[0] != '\0');
	}
}

static int publish(const uint8_t *bytes, size_t n)
{
	const struct policy *policy = &place->config->policy;
	struct core_receipt receipt = { 0 };
	const size_t content = (size_t)bytes[1] << 8 | bytes[2];
	const size_t taken = content < n - 3 ? content : n - 3;

	require(core_publish(place->core, &policy->agencies[bytes[0] % policy->n_agencies], bytes + 3, taken, place->now, &receipt) == OK);
	judge(&receipt);
	return (int)(3 + taken);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	size_t at = 0;

	prepare();
	place_begin(place);
	for (int i = 0; i < EVENTS_MAX && n - at > 3; i++)
		at += (size_t)publish(bytes + at, n - at);
	core_rollback(place->core);
	require(place_last(place) == last);
	return 0;
}
