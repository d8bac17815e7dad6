/* A delivery as the event that it carries: what json_event_write needs. One place, so that what an auditor is shown as given is, byte for byte, what the agency's own agent shows. */
#ifndef RULES_DELIVERY_H
#define RULES_DELIVERY_H

#include "lib/arena.h"
#include "lib/json.h"
#include "proto/wire.pb-c.h"

/* Memory from arena. ERR_CORRUPT, ERR_NOMEM. */
int delivery_event(const Reentry__Delivery *delivery, struct arena *arena, struct json_event *ret_event);

#endif
