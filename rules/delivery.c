#include "rules/delivery.h"

#include "lib/pb.h"

int delivery_event(const Reentry__Delivery *delivery, struct arena *arena, struct json_event *ret_event)
{
	*ret_event = (struct json_event){0};
	int r = delivery->has_content ? pb_unpack_own(&reentry__event__descriptor, delivery->content.data, delivery->content.len, arena, &ret_event->event) : OK;
	if (r != OK)
		return r;
	if (ret_event->event == NULL)
		ret_event->event = pb_new(&reentry__event__descriptor, arena);
	if (ret_event->event == NULL)
		return ERR_NOMEM;
	if (!delivery->has_content)
		ret_event->event->subject = delivery->subject;
	ret_event->has_time = delivery->has_time;
	ret_event->time = delivery->time;
	ret_event->sequence = delivery->sequence;
	ret_event->has_recorded = delivery->has_recorded_at;
	ret_event->recorded_at = delivery->recorded_at;
	ret_event->phase = delivery->has_phase ? (int)delivery->phase : 0;
	ret_event->municipality = delivery->municipality;
	ret_event->source_oin = delivery->source_oin;
	ret_event->order = delivery->erased ? (delivery->order != NULL ? delivery->order : "") : NULL;
	if (!ret_event->event->has_slot_version && delivery->has_slot_version && delivery->slot_version > 0) {
		ret_event->event->has_slot_version = true;
		ret_event->event->slot_version = delivery->slot_version;
	}
	return OK;
}
