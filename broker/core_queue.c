/* Queues: for each agency the positions that it has not acknowledged, in order. Key: agency number, position. Value: flags, case reference.
 * What is delivered is read from the log (core_deliver.c); an entry holds nothing of the event. */
#include <string.h>

#include "broker/core_internal.h"

static int entry_read(const struct db_value *value, struct queued *ret_queued)
{
	const char *bytes = value->bytes;

	if (value->n < 2 || bytes[value->n - 1])
		return ERR_CORRUPT;
	ret_queued->flags = (uint8_t)bytes[0];
	ret_queued->ref = bytes + 1;
	return OK;
}

static int entry_put(struct core *core, uint16_t number, uint64_t position, uint8_t flags, const char *ref)
{
	uint8_t key[DB_KEY_MAX];
	uint8_t value[1 + 65];
	size_t n = strlen(ref) + 1;

	if (n > 65)
		return ERR_INVALID;
	value[0] = flags;
	memcpy(value + 1, ref, n);
	return db_put_new(&core->txn, T_QUEUE, key, db_key(key, "hq", number, position), value, 1 + n);
}

/* Class C that reached this agency by consent alone is not for it any more. What it may see for another reason stays, and is shown so at its delivery. */
static int stop_entry(struct core *core, struct db_cursor *cursor, const char *agency, uint64_t position)
{
	struct core *from = core->live ? core->live : core;
	const struct agency *who = policy_agency(core->policy, agency);
	const struct loaded *it;
	struct core_record record;
	struct shown shown;
	Reentry__Route *route;
	int error = log_read(from, core->live ? core->live_txn : &core->txn, position, &core->arena, &record);

	if (error)
		return error == ERR_ERASED ? OK : error;
	route = record.record.event ? route_of(&record.record, agency) : NULL;
	it = route && record.header->subject ? case_touched(core, record.header->subject) : NULL; /* the decision that stops it has touched it */
	if (!route || !route->consent || !who || !it || !it->state)
		return OK;
	route->care &= rules_care(it->state, core->policy, agency, core->now);
	route->has_care = route->care != 0;
	error = rules_show(&record.record, route, who->role, &core->arena, &shown);
	return error == ERR_NOTFOUND ? db_cursor_del(cursor) : error;
}

/* Walks what is queued for an agency of one case, up to (not including) a position: drops it, or only what consent alone let through. */
static int walk(struct core *core, const char *agency, const char *ref, uint64_t before, bool drop)
{
	uint8_t key[DB_KEY_MAX];
	struct db_cursor cursor;
	struct queued entry;
	uint16_t number = 0;
	size_t n, seen = 0;
	int error = agency_number(core, agency, false, &number);

	if (error)
		return error == ERR_NOTFOUND ? OK : error;
	n = db_key(key, "h", number);
	DB_FOREACH(&cursor, &core->txn, T_QUEUE, key, n) {
		uint64_t position = 0;

		for (size_t i = 2; i < cursor.key.n; i++)
			position = position << 8 | ((const uint8_t *)cursor.key.bytes)[i];
		if (position >= before || seen++ > QUEUE_WALK_MAX) {
			db_cursor_close(&cursor);
			break;
		}
		error = entry_read(&cursor.value, &entry);
		if (!error && strcmp(entry.ref, ref) == 0)
			error = drop ? db_cursor_del(&cursor) : stop_entry(core, &cursor, agency, position);
		if (error) {
			db_cursor_close(&cursor);
			return error;
		}
	}
	return core->txn.error;
}

int queue_project(struct core *core, const struct rules_record *record, const char *ref)
{
	const Reentry__EventRecord *event = record->event;
	int error = OK;

	for (size_t i = 0; i < event->n_ended && !error; i++)
		error = walk(core, event->ended[i], ref, event->ended_before, true);
	for (size_t i = 0; i < event->n_stopped && !error; i++)
		error = walk(core, event->stopped[i], ref, record->position, false);
	core->settle = core->settle || event->n_stopped; /* it takes the state of this moment, which a start does not have */
	for (size_t i = 0; i < event->n_routes && !error; i++) {
		uint16_t number = 0;

		error = agency_number(core, event->routes[i]->agency, true, &number);
		if (!error)
			error = entry_put(core, number, record->position, event->routes[i]->watch ? QUEUE_WATCH : 0, ref);
		if (!error && !core->shadow)
			agency_touch(core, number);
	}
	return error;
}

int queue_take(struct core *core, uint16_t number, uint64_t position, struct queued *ret_queued)
{
	uint8_t key[DB_KEY_MAX];
	size_t n = db_key(key, "hq", number, position);
	struct db_value value;
	struct queued entry;
	int error = db_get(&core->txn, T_QUEUE, key, n, &value);

	if (!error)
		error = entry_read(&value, &entry);
	if (error)
		return error;
	ret_queued->flags = entry.flags;
	ret_queued->ref = arena_strdup(&core->arena, entry.ref);
	return ret_queued->ref ? db_del(&core->txn, T_QUEUE, key, n) : ERR_NOMEM;
}

/* --- reading ------------------------------------------------------------------------------------------------------------- */

int core_deliveries_packed(struct core *core, const char *agency, uint64_t after, size_t max_n, size_t max_bytes, struct arena *arena, struct core_delivery **ret_items, size_t *ret_n)
{
	uint8_t key[DB_KEY_MAX];
	struct db_cursor cursor;
	struct db_txn txn;
	struct core_delivery *items = NULL;
	uint16_t number = 0;
	size_t n = 0, bytes = 0;
	int error = agency_number(core, agency, false, &number);

	*ret_items = NULL;
	*ret_n = 0;
	if (error)
		return error == ERR_NOTFOUND ? OK : error;
	error = db_begin_read(core->db, &txn);
	if (!error)
		error = db_cursor_open(&txn, T_QUEUE, &cursor);
	if (error) {
		db_abort(&txn);
		return error;
	}
	for (bool more = db_seek(&cursor, key, db_key(key, "hq", number, after + 1), 2); more && n < max_n && bytes < max_bytes && !error; more = db_next(&cursor)) {
		struct core_delivery delivery = { 0 }, *item;
		struct queued entry = { 0 };

		error = entry_read(&cursor.value, &entry);
		for (size_t i = 2; i < cursor.key.n; i++)
			delivery.sequence = delivery.sequence << 8 | ((const uint8_t *)cursor.key.bytes)[i];
		if (delivery.sequence > core->committed)
			break; /* on its way to the disk */
		if (!error)
			error = deliver_one(core, &txn, number, entry.ref, arena, &delivery);
		if (error == ERR_AGAIN) {
			agency_tell(core, number);
			error = OK;
			break;
		}
		if (error == ERR_NOTFOUND) {
			error = OK; /* nothing of it may be shown any more (erased, or the agency has left the configuration), or not now (the case is damaged): it stays */
			continue;
		}
		item = error ? NULL : ARENA_PUSH(arena, items, n);
		if (!error && !item)
			error = ERR_NOMEM;
		if (!item)
			continue;
		*item = delivery;
		bytes += item->size;
	}
	db_cursor_close(&cursor);
	if (!error)
		error = txn.error;
	db_abort(&txn);
	*ret_items = items;
	*ret_n = n;
	return error;
}

int core_queues(struct core *core, struct arena *arena, struct core_queue **ret_queues, size_t *ret_n)
{
	struct core_queue *queues = NULL, *at = NULL;
	struct core_record record;
	struct db_cursor cursor;
	struct db_txn txn;
	size_t n = 0;
	int last = -1, error = db_begin_read(core->db, &txn);

	DB_FOREACH(&cursor, &txn, T_QUEUE, NULL, 0) {
		const uint8_t *key = cursor.key.bytes;
		int number = key[0] << 8 | key[1];

		if (number != last) {
			at = ARENA_PUSH(arena, queues, n);
			if (!at) {
				error = ERR_NOMEM;
				db_cursor_close(&cursor);
				break;
			}
			at->agency = core->agencies[number].id;
			for (size_t i = 2; i < cursor.key.n; i++)
				at->oldest_sequence = at->oldest_sequence << 8 | key[i];
			last = number;
		}
		if (at)
			at->n++;
	}
	for (size_t i = 0; i < n && !error; i++)
		if (log_read(core, &txn, queues[i].oldest_sequence, arena, &record) == OK)
			queues[i].oldest_at = record.header->recorded_at;
	if (!error)
		error = txn.error;
	db_abort(&txn);
	*ret_queues = queues;
	*ret_n = n;
	return error;
}
