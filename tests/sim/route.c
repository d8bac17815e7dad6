/* Who must hear of an event, from the table and the relations as the simulation has them (domain.md 2, 3.2, 3.3, 5.1). */
#include "tests/sim/sim.h"

#include <string.h>

#define NEED(name) REENTRY__NEED__VALUE__##name

static const char *text_in(const struct seen *r, const char *field)
{
	const ProtobufCFieldDescriptor *f = protobuf_c_message_descriptor_get_field_by_name(r->type->payload, field);

	return f && f->type == PROTOBUF_C_TYPE_STRING && f->label != PROTOBUF_C_LABEL_REPEATED ? *(char *const *)((const char *)r->data + f->offset) : NULL;
}

static int need_in(const struct seen *r)
{
	const ProtobufCFieldDescriptor *f = protobuf_c_message_descriptor_get_field_by_name(r->type->payload, "need");

	if (r->type->need)
		return r->type->need;
	return f ? *(const int *)((const char *)r->data + f->offset) : 0;
}

static bool provides(const struct m_case *c, int agency, int need)
{
	for (size_t i = 0; i < c->n_handovers; i++) {
		const struct m_handover *h = &c->handovers[i];

		if (h->provider && h->to == agency && (is_class_c(h->need) ? NEED(CARE) : h->need) == need)
			return true;
	}
	return false;
}

/* The combined need is for those who do not see all that it combines, or combined. */
static bool sees_less(const struct sim *s, const struct m_case *c, int agency, moment when)
{
	uint8_t care = care_of(s, c, agency, when, NULL);

	for (int need = NEED(PSYCHIATRIC); need <= NEED(LVB); need++)
		if (c->needs[need].slot.version > 0 && !(care & 1u << (need - NEED(PSYCHIATRIC))))
			return true;
	return false;
}

static bool supervises(const struct m_case *c, int agency, const char *ref)
{
	for (size_t i = 0; i < c->n_sanctions; i++)
		if (c->sanctions[i].running && c->sanctions[i].supervisor == agency && (!ref || strcmp(c->sanctions[i].ref, ref) == 0))
			return true;
	return false;
}

/* By relation or by what is more than one; `to`: the row. */
static bool reached(struct sim *s, const struct m_case *c, const struct seen *r, int agency)
{
	uint32_t to = r->type->to, now = c->now[agency], before = c->before[agency];

	/* A start that is not reported is escalated to the municipality, milestone 2 URGENT to the custodian as well (6.3). */
	if (strcmp(r->type->name, "handover.escalated") == 0 && r->event->priority != REENTRY__PRIORITY__VALUE__URGENT)
		to &= ~(uint32_t)PI;
	if (to & now & ALL)
		return true;
	if ((to & X_CARE) && (now & PR) && role_of(s, agency) == ROLE_CARE)
		return true;
	if ((to & X_EMPLOYER) && (now & PR) && role_of(s, agency) == ROLE_EMPLOYER)
		return true;
	if ((to & X_NEED) && provides(c, agency, need_in(r)))
		return true;
	if ((to & X_FORMER) && (before & PI))
		return true;
	if ((to & X_KEEPING) && (now & GM) && (before & GM))
		return true;
	if ((to & X_UNCONFIRMED) && (now & ALL) && s->policy->agencies[agency].unconfirmed)
		return true;
	return (to & X_SANCTION) && supervises(c, agency, r->event->sanction);
}

static struct slot *slot_in(struct m_case *c, const struct seen *r)
{
	struct m_handover *h;

	switch (r->type->slot) {
	case OF_START: return &c->start;
	case OF_RELEASE: return &c->release;
	case OF_DESTINATION: return &c->dest;
	case OF_NEED: return need_in(r) > 0 && need_in(r) < NEEDS ? &c->needs[need_in(r)].slot : NULL;
	case OF_HANDOVER: return (h = handover_of(c, text_in(r, "handover"))) ? &h->slot : NULL;
	default: return NULL;
	}
}

static agents named(struct sim *s, struct m_case *c, const struct seen *r)
{
	const struct m_handover *h = handover_of(c, text_in(r, "handover"));
	agents set = 0;
	int who;

	if (h && (r->type->to & X_OFFERER) && h->offerer >= 0 && c->now[h->offerer])
		set |= ONE(h->offerer);
	if (h && (r->type->to & X_TAKER)) {
		/* The broker's withdrawn of a former offer is for the candidate that it was taken from. */
		bool withdrawn = strcmp(r->type->name, "handover.withdrawn") == 0 && r->publisher == BROKER;
		unsigned offer = withdrawn ? ((const Reentry__HandoverStep *)r->data)->offer : 0;

		who = h->to;
		for (size_t i = 0; withdrawn && i < h->n_past; i++)
			if (h->past[i].offer == offer)
				who = h->past[i].agency;
		set |= who >= 0 ? ONE(who) : 0;
	}
	if (!(r->type->to & X_NAMED))
		return set;
	if (strcmp(r->type->name, "delivery.overdue") == 0) {
		uint64_t position = ((const Reentry__DeliveryOverdue *)r->data)->overdue_sequence;

		who = position <= s->last ? s->told[position].publisher : NOBODY;
	} else {
		who = agency_of(s, text_in(r, "to"));
	}
	return who >= 0 && (c->now[who] & ALL) ? set | ONE(who) : set;
}

/* May this receiver see anything at all of an event about class C? */
static bool care_passes(struct sim *s, struct m_case *c, const struct seen *r, int agency)
{
	int need = r->type->slot == OF_NEED ? need_in(r) : 0;

	if (need == NEED(CARE) && r->publisher == BROKER)
		return sees_less(s, c, agency, r->at);
	return !is_class_c(need) || care_of(s, c, agency, r->at, NULL) & 1u << (need - NEED(PSYCHIATRIC));
}

void receivers(struct sim *s, struct m_case *c, const struct seen *r, agents *ret_must, agents *ret_may)
{
	struct slot *slot = r->type->slot == OF_HANDOVER ? NULL : slot_in(c, r);
	bool retract = r->op == REENTRY__OP__VALUE__RETRACT && strcmp(r->type->name, "release.confirmed") == 0;

	*ret_must = *ret_may = 0;
	if (r->type->to & X_DERIVED) {
		*ret_may = ~(agents)0;
		return;
	}
	for (int i = 0; i < (int)s->policy->n_agencies; i++) {
		bool told = slot && r->type->slot != OF_DESTINATION && (slot->told & ONE(i)) && (c->now[i] & ALL);

		if (!care_passes(s, c, r, i))
			continue;
		if (retract ? (c->confirmed_to & ONE(i)) && (c->now[i] & ALL) : reached(s, c, r, i) || (told && r->op != REENTRY__OP__VALUE__NEW))
			*ret_must |= ONE(i);
		else if (told)
			*ret_may |= ONE(i);
	}
	*ret_must |= named(s, c, r);
	if (r->publisher >= 0)
		*ret_must &= ~ONE(r->publisher);
}

/* A correction reaches everyone who got an earlier version (the issue on the case): so remember. */
void receivers_told(struct m_case *c, const struct seen *r, agents actual)
{
	struct slot *slot = slot_in(c, r);

	if (slot)
		slot->told |= actual;
	if (strcmp(r->type->name, "release.confirmed") == 0 && r->op != REENTRY__OP__VALUE__RETRACT)
		c->confirmed_to |= actual;
}
