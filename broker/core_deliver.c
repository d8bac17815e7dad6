/* What is delivered: a record as one receiver may see it, packed. What was recorded lately is still in memory (core_recent.c); the rest is read from the log. */
#include <string.h>

#include "broker/core_internal.h"
#include "lib/pb.h"

Reentry__Route *route_of(const struct rules_record *record, const char *agency)
{
	for (size_t i = 0; i < record->event->n_routes; i++)
		if (strcmp(record->event->routes[i]->agency, agency) == 0)
			return record->event->routes[i];
	return NULL;
}

static const char *source_oin(const struct policy *policy, const char *source)
{
	const struct agency *agency = policy_agency(policy, source);

	return agency ? agency->oin : policy->broker_oin;
}

bool delivery_ends(const struct rules_record *record, const char *agency)
{
	for (size_t i = 0; i < record->event->n_ended; i++)
		if (strcmp(record->event->ended[i], agency) == 0)
			return true;
	return false;
}

int delivery_make(const struct policy *policy, const struct core_record *record, const Reentry__Route *route, struct arena *arena, Reentry__Delivery **ret_delivery)
{
	const struct agency *agency = policy_agency(policy, route->agency);
	const Reentry__EventRecord *event = record->record.event;
	struct shown shown = { 0 };
	Reentry__Delivery *d;
	int error = agency ? rules_show(&record->record, route, agency->role, arena, &shown) : ERR_NOTFOUND;

	if (error)
		return error;
	d = arena_room(arena, sizeof *d);
	if (!d)
		return ERR_NOMEM;
	reentry__delivery__init(d);
	d->has_sequence = d->has_recorded_at = d->has_time = d->has_content = d->has_class_ = true;
	d->sequence = record->header->position;
	d->recorded_at = record->header->recorded_at;
	d->time = event->time;
	d->has_phase = event->has_phase; /* not of an erased case */
	d->phase = event->phase;
	d->municipality = (char *)(uintptr_t)shown.municipality;
	d->slot_version = event->slot_version;
	d->has_slot_version = event->slot_version != 0;
	d->content.data = (uint8_t *)(uintptr_t)shown.content;
	d->content.len = shown.content_n;
	d->class_ = (uint32_t)record->record.class;
	d->source_oin = (char *)(uintptr_t)source_oin(policy, record->header->agency);
	d->has_ends = d->ends = delivery_ends(&record->record, route->agency);
	*ret_delivery = d;
	return OK;
}

/* Access by consent is what it is now. A case that cannot be read gives none. */
static int narrow(struct core *core, struct db_txn *txn, const char *ref, struct arena *arena, Reentry__Route *route)
{
	Reentry__CaseState *state = NULL;
	int error = case_read(core, txn, ref, arena, &state);

	for (int i = 0; !error && state->merged_into && i < MERGED_DEPTH_MAX; i++)
		error = case_read(core, txn, state->merged_into, arena, &state); /* consent is given and withdrawn on the case that goes on */
	if (error && error != ERR_CORRUPT)
		return error;
	if (!error && state->has_last && state->last > core->committed)
		return ERR_AGAIN; /* what it hangs on is not on disk */
	route->care &= error ? 0 : rules_care(state, core->policy, route->agency, core->recorded_at);
	route->has_care = route->care != 0;
	return OK;
}

/* From the log. Several receivers will ask for it one after the other: then it is kept for them. */
static int read_one(struct core *core, struct db_txn *txn, uint16_t number, const char *ref, struct arena *arena, struct core_delivery *item)
{
	Reentry__Delivery *delivery = NULL;
	struct core_record record;
	Reentry__Route *route;
	uint8_t *packed;
	int error = log_read(core, txn, item->sequence, arena, &record);

	if (error == ERR_CORRUPT)
		error = case_damaged(core, ref) ? ERR_CORRUPT : ERR_NOTFOUND;
	if (error)
		return error;
	route = record.record.event ? route_of(&record.record, core->agencies[number].id) : NULL;
	if (!route)
		return ERR_CORRUPT;
	if (record.record.event->n_routes >= RECENT_RECEIVERS)
		recent_keep(core, &record, arena);
	if (route->consent)
		error = narrow(core, txn, ref, arena, route);
	if (!error)
		error = delivery_make(core->policy, &record, route, arena, &delivery);
	if (!error)
		error = pb_pack(delivery, arena, &packed, &item->packed_n);
	if (!error)
		item->packed = packed;
	return error;
}

int deliver_one(struct core *core, struct db_txn *txn, uint16_t number, const char *ref, struct arena *arena, struct core_delivery *item)
{
	const uint8_t *packed = NULL;
	int error;

	if (case_is_damaged(core, ref))
		return ERR_NOTFOUND; /* all of it waits, in its order */
	if (recent_find(core, item->sequence, number, &packed, &item->packed_n)) {
		if (!packed)
			return ERR_NOTFOUND;
		item->packed = arena_dup(arena, packed, item->packed_n); /* another record may take its place in memory */
		error = item->packed ? OK : ERR_NOMEM;
	} else {
		error = read_one(core, txn, number, ref, arena, item);
	}
	item->size = item->packed_n;
	return error == ERR_ERASED ? ERR_NOTFOUND : error;
}

int core_deliveries(struct core *core, const char *agency, uint64_t after, size_t max_n, size_t max_bytes, struct arena *arena, struct core_delivery **ret_items, size_t *ret_n)
{
	int error = core_deliveries_packed(core, agency, after, max_n, max_bytes, arena, ret_items, ret_n);

	for (size_t i = 0; i < *ret_n && !error; i++) {
		struct core_delivery *item = &(*ret_items)[i];

		error = pb_unpack_own(&reentry__delivery__descriptor, item->packed, item->packed_n, arena, &item->delivery);
	}
	return error;
}

int core_timeline(struct core *core, const char *subject, const struct agency *asking, size_t max, struct arena *arena, Reentry__Delivery ***ret_items, size_t *ret_n)
{
	Reentry__CaseState *state = NULL;
	Reentry__Delivery **items = NULL, **place;
	struct db_txn txn;
	uint64_t position;
	size_t n = 0;
	int error = core_case(core, subject, arena, &state);

	*ret_items = NULL;
	*ret_n = 0;
	if (error)
		return error;
	error = db_begin_read(core->db, &txn);
	for (position = state->last; position && n < max && !error;) {
		Reentry__Delivery *delivery = NULL;
		Reentry__Route own = REENTRY__ROUTE__INIT, *route;
		struct core_record record;

		error = log_read(core, &txn, position, arena, &record);
		if (error)
			break;
		position = record.header->previous;
		if (!record.record.event || record.record.event->outcome != REENTRY__OUTCOME__VALUE__ACCEPTED)
			continue;
		route = route_of(&record.record, asking->id);
		if (!route && strcmp(record.header->agency, asking->id) == 0) {
			own.agency = (char *)(uintptr_t)asking->id;
			own.has_relations = own.has_care = true;
			own.relations = REL_ALL;
			own.care = 7; /* what it said itself */
			route = &own;
		}
		if (!route)
			continue;
		error = delivery_make(core->policy, &record, route, arena, &delivery);
		if (error == ERR_NOTFOUND) {
			error = OK;
			continue;
		}
		if (delivery && route == &own && rules_minimal_role(asking->role))
			delivery->municipality = NULL; /* it said all that is in it, but where the person goes */
		place = error ? NULL : ARENA_PUSH(arena, items, n);
		if (place)
			*place = delivery;
		else if (!error)
			error = ERR_NOMEM;
	}
	db_abort(&txn);
	*ret_items = items;
	*ret_n = n;
	return error;
}
