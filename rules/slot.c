/* Slots: things of which only one version is true at a time (domain.md 3.3). */
#include "lib/pb.h"
#include "rules/internal.h"

#define SLOT_VERSION_MAX 1000000000 /* so that there always is a next one */

static Reentry__Slot *slot_of_need(const state *c, need code)
{
	const need_state *n = need_find(c, code);

	return n ? n->slot : NULL;
}

static Reentry__Slot *slot_of_booking(const state *c, const Reentry__Event *event, const char *ref)
{
	const sanction *s = sanction_find(c, event->sanction, KIND(COMMUNITY_SERVICE), true);

	for (size_t i = 0; s && i < s->n_bookings; i++)
		if (same(s->bookings[i]->ref, ref))
			return s->bookings[i]->slot;
	return NULL;
}

Reentry__Slot *slot_find(const state *c, const struct type_row *row, const Reentry__Event *event, const void *data)
{
	const sanction *s;
	const handover *h;

	if (!c)
		return NULL;
	switch (row->slot) {
	case SLOT_START: return c->start_slot;
	case SLOT_RELEASE: return c->release_slot;
	case SLOT_DESTINATION: return c->destination_slot;
	case SLOT_NEED: return slot_of_need(c, row->need ? row->need : row->payload == &reentry__arranging__descriptor
			? ((const Reentry__Arranging *)data)->need : ((const Reentry__NeedStatusChanged *)data)->need);
	case SLOT_HANDOVER:
		h = handover_find(c, ((const Reentry__HandoverOffered *)data)->handover);
		return h ? h->slot : NULL;
	case SLOT_BOOKING: return slot_of_booking(c, event, ((const Reentry__ServiceHoursBooked *)data)->booking);
	case SLOT_CONTACT:
		s = sanction_find(c, event->sanction, KIND(SUPERVISION), true);
		return s ? s->contact_slot : NULL;
	case SLOT_NONE: break;
	}
	return NULL;
}

/* In the order stale, newer-version, not-allowed (domain.md 3.2). */
int slot_check(struct decision *d, uint32_t *ret_version, bool *ret_stale)
{
	const Reentry__Event *event = d->input->event;
	const Reentry__Slot *slot;
	uint32_t current;
	bool owner;

	*ret_stale = false;
	*ret_version = 0;
	if (d->row->slot == SLOT_NONE)
		return d->op == OP(NEW) ? 0 : refuse(d, "invalid-value", "op: a %s has no versions; publish NEW", d->row->name);
	slot = slot_find(d->run->state, d->row, event, d->data);
	current = slot ? slot->version : 0;
	if (event->has_slot_version && event->slot_version > SLOT_VERSION_MAX)
		return refuse(d, "invalid-value", "slotversion: must be at most %d", SLOT_VERSION_MAX);
	*ret_version = event->has_slot_version ? event->slot_version : current + 1;
	if (strcmp(d->row->name, "release.ordered") == 0 && d->op == OP(NEW)) {
		*ret_version = current + 1; /* whatever its version: domain.md 4.4 */
		return 0;
	}
	if (event->has_slot_version && event->slot_version <= current) {
		*ret_stale = true;
		return 0;
	}
	if (d->op == OP(NEW))
		return 0;
	if (current == 0)
		return refuse(d, "invalid-value", "op: there is nothing to correct yet; publish NEW");
	if (event->target && !same(event->target, slot->event))
		return refuse(d, "newer-version", "target: version %u is current; look at the case again", current);
	owner = same(slot->publisher, d->input->agency->id) || (d->row->slot == SLOT_RELEASE && d->run->state->inside && same(d->run->state->custodian, d->input->agency->id));
	return owner ? 0 : refuse(d, "not-allowed", "op: only the publisher of the current version may correct it");
}

void slot_bump(struct rules_run *run, Reentry__Slot **slot, const struct rules_record *record)
{
	if (!*slot) {
		*slot = PB_NEW(run->arena, Reentry__Slot, reentry__slot);
		if (!*slot) {
			run->error = ERR_NOMEM;
			return;
		}
	}
	SET(*slot, version, record->event->slot_version ? record->event->slot_version : (*slot)->version + 1);
	(*slot)->event = keep(run, record->envelope->id);
	(*slot)->publisher = keep(run, record->agency);
}
