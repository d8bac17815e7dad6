/* What was recorded lately, packed as its receivers may see it: nearly every delivery is of a record that the turn before has made, and reading it back from the log
 * (hash, key, seal, unpacking) costs as much as it did to write. Where many receive a record, those who see the same share it.
 *
 * A ring of bytes: what is new takes the place of what is oldest. It holds only what may be delivered as it is: what hangs on a consent is not in it, since that is
 * decided at the moment of delivery, and who may have a record at all is still what the queue says. */
#include <stdlib.h>
#include <string.h>

#include "broker/core_internal.h"
#include "lib/pb.h"

#define RING_BYTES ((size_t)8 << 20)
#define SLOTS 16384                   /* records at most; a power of two */
#define VIEWS_MAX 16                  /* ways in which one record is shown; who sees it in yet another one reads the log */
#define RECORD_BYTES_MAX (RING_BYTES / 8)
#define NOT_KEPT UINT8_MAX            /* in the place of a view */

struct slot { uint64_t position, at; }; /* at: bytes that had gone into the ring before it; position 0: nothing */
struct recent { uint64_t written; uint32_t found; struct slot slots[SLOTS]; uint8_t bytes[RING_BYTES]; };

/* At the beginning of a record in the ring. Behind it: for each receiver its number and its view, then the views' bytes. */
struct kept { uint32_t n_receivers, n_views; struct { uint32_t at, n; } views[VIEWS_MAX]; }; /* n 0: nothing may be seen */
struct receiver { uint16_t number; uint8_t view; };

/* While a record is being put in. */
struct view { const Reentry__Route *route; enum role role; bool ends; uint8_t *packed; };
struct making { struct core *core; const struct core_record *record; struct arena *arena; struct view views[VIEWS_MAX]; struct kept kept; };

static struct slot *slot_of(struct recent *recent, uint64_t position)
{
	return &recent->slots[position % SLOTS];
}

/* --- putting in ---------------------------------------------------------------------------------------------------------- */

static uint8_t view_of(struct making *m, const Reentry__Route *route)
{
	const struct agency *agency = route->consent ? NULL : policy_agency(m->core->policy, route->agency);
	struct view view = { .route = route, .ends = delivery_ends(&m->record->record, route->agency) };
	Reentry__Delivery *delivery = NULL;
	uint32_t n = m->kept.n_views;
	size_t size = 0;
	int error;

	if (!agency)
		return NOT_KEPT;
	view.role = agency->role;
	for (uint32_t i = 0; i < n; i++)
		if (m->views[i].ends == view.ends && rules_show_alike(&m->record->record, m->views[i].route, m->views[i].role, route, view.role))
			return (uint8_t)i;
	if (n == VIEWS_MAX)
		return NOT_KEPT;
	error = delivery_make(m->core->policy, m->record, route, m->arena, &delivery);
	if (!error)
		error = pb_pack(delivery, m->arena, &view.packed, &size);
	if (error && error != ERR_NOTFOUND)
		return NOT_KEPT;
	m->views[n] = view;
	m->kept.views[n].n = (uint32_t)size; /* of an event of at most 64 KiB */
	return (uint8_t)m->kept.n_views++;
}

/* A place of n bytes in one piece, in the stead of what is oldest. NULL: it is too large. */
static uint8_t *ring_room(struct recent *recent, size_t n, uint64_t *ret_at)
{
	size_t left = RING_BYTES - recent->written % RING_BYTES;

	if (n > RECORD_BYTES_MAX)
		return NULL;
	if (left < n)
		recent->written += left;
	*ret_at = recent->written;
	recent->written += (n + 7) & ~(size_t)7;
	return recent->bytes + *ret_at % RING_BYTES;
}

static size_t receivers_size(size_t n)
{
	return n * sizeof(struct receiver);
}

void recent_keep(struct core *core, const struct core_record *record, struct arena *arena)
{
	const Reentry__EventRecord *event = record->record.event;
	struct making m = { .core = core, .record = record, .arena = arena };
	struct receiver *receivers = arena_room(arena, receivers_size(event->n_routes));
	size_t n = sizeof m.kept + receivers_size(event->n_routes);
	uint8_t *room;
	uint64_t at;

	if (!core->recent)
		core->recent = calloc(1, sizeof *core->recent);
	if (!core->recent || !receivers)
		return;
	slot_of(core->recent, record->header->position)->position = 0;
	for (size_t i = 0; i < event->n_routes; i++)
		if (agency_number(core, event->routes[i]->agency, false, &receivers[m.kept.n_receivers].number) == OK)
			receivers[m.kept.n_receivers++].view = view_of(&m, event->routes[i]);
	for (uint32_t i = 0; i < m.kept.n_views; i++) {
		m.kept.views[i].at = (uint32_t)n; /* beyond RECORD_BYTES_MAX there is no room below */
		n += m.kept.views[i].n;
	}
	room = m.kept.n_views ? ring_room(core->recent, n, &at) : NULL;
	if (!room)
		return;
	memcpy(room, &m.kept, sizeof m.kept);
	memcpy(room + sizeof m.kept, receivers, receivers_size(m.kept.n_receivers));
	for (uint32_t i = 0; i < m.kept.n_views; i++)
		if (m.kept.views[i].n)
			memcpy(room + m.kept.views[i].at, m.views[i].packed, m.kept.views[i].n);
	*slot_of(core->recent, record->header->position) = (struct slot){ record->header->position, at };
}

/* --- taking out ---------------------------------------------------------------------------------------------------------- */

bool recent_find(const struct core *core, uint64_t position, uint16_t number, const uint8_t **ret_packed, size_t *ret_n)
{
	struct recent *const recent = core->recent;
	const struct slot *slot = recent ? &recent->slots[position % SLOTS] : NULL;
	const uint8_t *bytes;
	struct kept kept;

	if (!slot || slot->position != position || position > core->committed || recent->written - slot->at > RING_BYTES)
		return false;
	bytes = recent->bytes + slot->at % RING_BYTES;
	memcpy(&kept, bytes, sizeof kept);
	for (uint32_t k = 0; k < kept.n_receivers; k++) {
		const uint32_t i = (recent->found + k) % kept.n_receivers; /* an agency is asked for many records in a row, and mostly stands in the same place of each */
		struct receiver receiver;

		memcpy(&receiver, bytes + sizeof kept + i * sizeof receiver, sizeof receiver);
		if (receiver.number != number)
			continue;
		recent->found = i;
		if (receiver.view == NOT_KEPT)
			return false;
		*ret_n = kept.views[receiver.view].n;
		*ret_packed = *ret_n ? bytes + kept.views[receiver.view].at : NULL;
		return true;
	}
	return false;
}

/* The same positions come again with something else. */
void recent_rollback(struct core *core)
{
	for (uint64_t position = core->handed + 1; core->recent && position <= core->last; position++)
		if (slot_of(core->recent, position)->position == position)
			slot_of(core->recent, position)->position = 0;
}

void recent_forget(struct core *core)
{
	if (!core->recent)
		return;
	crypt_wipe(core->recent->bytes, core->recent->written < RING_BYTES ? core->recent->written : RING_BYTES);
	free(core->recent);
	core->recent = NULL;
}
