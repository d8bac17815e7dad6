/* What events do to a case, II: handovers (domain.md 6). Each step is held against the table of 6.1, each deadline against 6.3. */
#include "tests/sim/sim.h"

#include <stdio.h>
#include <string.h>

#define STATE(name) REENTRY__HANDOVER_STATE__VALUE__##name
#define BIT(name) (1u << STATE(name))
#define OPEN (BIT(OFFERED) | BIT(DELIVERED) | BIT(RECEIVED) | BIT(INFO_REQUESTED))
#define RUNNING (BIT(ACCEPTED) | BIT(RECONFIRM) | BIT(STARTED) | BIT(ON_HOLD))
#define URGENT REENTRY__PRIORITY__VALUE__URGENT

enum by { TAKER, OFFERER, CLOCK };
static const struct step { const char *type; unsigned from; int to; enum by by; } steps[] = {
	{ "handover.delivered", OPEN | RUNNING | BIT(DECLINED) | BIT(COMPLETED) | BIT(ENDED_EARLY), 0, CLOCK },
	{ "handover.received", BIT(OFFERED) | BIT(DELIVERED), STATE(RECEIVED), TAKER },
	{ "handover.accepted", OPEN | BIT(RECONFIRM), STATE(ACCEPTED), TAKER },
	{ "handover.declined", OPEN | BIT(RECONFIRM), STATE(DECLINED), TAKER },
	{ "handover.info-requested", BIT(OFFERED) | BIT(DELIVERED) | BIT(RECEIVED), STATE(INFO_REQUESTED), TAKER },
	{ "handover.info-given", BIT(INFO_REQUESTED), STATE(RECEIVED), OFFERER },
	{ "handover.withdrawn", OPEN | RUNNING, STATE(WITHDRAWN), OFFERER },
	{ "handover.started", BIT(ACCEPTED) | BIT(RECONFIRM), STATE(STARTED), TAKER },
	{ "handover.completed", BIT(STARTED), STATE(COMPLETED), TAKER },
	{ "handover.ended-early", BIT(STARTED), STATE(ENDED_EARLY), TAKER },
	{ "handover.expired", OPEN, STATE(EXPIRED), CLOCK },
	{ "handover.unplaced", BIT(DECLINED) | BIT(EXPIRED), 0, CLOCK },
	{ "handover.reconfirm", BIT(ACCEPTED) | BIT(RECONFIRM), STATE(RECONFIRM), CLOCK },
};

static const char *handover_in(const struct seen *r)
{
	const ProtobufCFieldDescriptor *f = protobuf_c_message_descriptor_get_field_by_name(r->type->payload, "handover");

	return *(char *const *)((const char *)r->data + f->offset);
}

static unsigned offer_in(const struct seen *r)
{
	const ProtobufCFieldDescriptor *f = protobuf_c_message_descriptor_get_field_by_name(r->type->payload, "offer");

	return *(const protobuf_c_boolean *)((const char *)r->data + f->quantifier_offset) ? *(const uint32_t *)((const char *)r->data + f->offset) : 0;
}

/* --- offers ----------------------------------------------------------------------------------------------------------------------- */

static void terms(struct sim *s, struct m_handover *h, const Reentry__HandoverOffered *o)
{
	h->to = agency_of(s, o->to);
	h->need = (int)o->need;
	h->has_explicit = o->decide_by != NULL;
	h->explicit_by = o->decide_by ? o->decide_by->ms : 0;
	h->n_then = 0;
	for (size_t i = 0; i < o->n_then && i < sizeof h->then / sizeof *h->then; i++)
		h->then[h->n_then++] = agency_of(s, o->then[i]);
}

/* The deadline as 6.3 has it, against the one that the record carries. */
static void deadline(struct sim *s, const struct m_case *c, struct m_handover *h, const struct seen *r)
{
	bool urgent = false;
	moment by = offer_deadline_now(s, c, h, r->at, &urgent);

	h->urgent = urgent || r->event->priority == URGENT;
	if (h->urgent) {
		h->urgent_at = r->at;
		by = by < r->at + s->policy->offer_urgent ? by : r->at + s->policy->offer_urgent;
	}
	h->decide_by = r->record->decide_by;
	if (h->decide_by != by)
		violated(s, "decide-by", "offer at %llu: decide by %lld, should be %lld (urgent %d)", (unsigned long long)r->position, (long long)h->decide_by, (long long)by, h->urgent);
	if (r->record->urgent != h->urgent)
		violated(s, "decide-by", "offer at %llu: urgent %d, should be %d", (unsigned long long)r->position, (int)r->record->urgent, h->urgent);
}

/* 6.3 asks "another agency": who has just said no, or nothing, is passed over. */
static void pass_over(struct m_handover *h)
{
	while (h->n_then && h->then[0] == h->to)
		memmove(h->then, h->then + 1, --h->n_then * sizeof *h->then);
}

/* The broker's own offers follow a decline or an expiry, to the next of `then`. */
static void from_then(struct sim *s, struct m_case *c, struct m_handover *h, const struct seen *r, const Reentry__HandoverOffered *o)
{
	pass_over(h);
	if (c->expect_next != (int)(h - c->handovers) || !h->n_then || agency_of(s, o->to) != h->then[0] || o->n_then != h->n_then - 1)
		violated(s, "then", "offer at %llu does not follow from the list", (unsigned long long)r->position);
	c->expect_next = -1;
}

FOLD(fold_offered)
{
	const Reentry__HandoverOffered *o = r->data;
	struct m_handover *h = handover_of(c, o->handover);

	if (!h && c->n_handovers == HANDOVERS) {
		violated(s, "sim", "too many handovers for the simulation");
		return;
	}
	if (!h) {
		h = &c->handovers[c->n_handovers++];
		*h = (struct m_handover){ .to = NOBODY };
		snprintf(h->ref, sizeof h->ref, "%s", o->handover);
	}
	if (r->publisher == BROKER)
		from_then(s, c, h, r, o);
	else {
		slot_set(s, &h->slot, r);
		h->offerer = r->publisher;
	}
	if (slot_empty_after(r) && r->publisher != BROKER && !is_open(h) && !(1u << h->state & RUNNING)) {
		violated(s, "handover-step", "%s at %llu takes back an offer that has ended (state %d)", r->type->name, (unsigned long long)r->position, h->state);
		return;
	}
	if (slot_empty_after(r)) {
		h->state = STATE(WITHDRAWN);
		h->provider = h->unplaced = false;
		return;
	}
	if (h->offer && h->n_past < PAST)
		h->past[h->n_past++] = (struct m_past){ h->to, h->offer };
	if (h->provider)
		violated(s, "handover-step", "offer at %llu of a handover that has a provider", (unsigned long long)r->position);
	terms(s, h, o);
	h->offer++;
	h->reminded = h->resumed = false;
	h->state = STATE(OFFERED);
	h->offered_at = r->at;
	h->position = r->position;
	h->provider = h->unplaced = h->received = h->has_start = false;
	if (r->record->offer != h->offer)
		violated(s, "offer-number", "offer at %llu has number %u, should be %u", (unsigned long long)r->position, r->record->offer, h->offer);
	deadline(s, c, h, r);
}

/* --- steps -------------------------------------------------------------------------------------------------------------------------- */

static const struct step *step_of(const char *type)
{
	for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
		if (strcmp(steps[i].type, type) == 0)
			return &steps[i];
	return NULL;
}

static bool step_allowed(struct sim *s, struct m_case *c, const struct m_handover *h, const struct seen *r, const struct step *step)
{
	int who = step->by == TAKER ? h->to : step->by == OFFERER ? h->offerer : BROKER;
	unsigned offer = offer_in(r);
	(void)c;

	if (!(step->from & 1u << h->state))
		return violated(s, "handover-step", "%s at %llu from state %d", r->type->name, (unsigned long long)r->position, h->state);
	if (r->publisher != who && !(step->by == OFFERER && r->publisher == BROKER))
		return violated(s, "handover-who", "%s at %llu by %s", r->type->name, (unsigned long long)r->position, agency_id(s, r->publisher));
	if (offer && offer != h->offer)
		return violated(s, "offer-number", "%s at %llu for offer %u of %u", r->type->name, (unsigned long long)r->position, offer, h->offer);
	if (step->by == TAKER && is_open(h) && r->at >= h->decide_by)
		return violated(s, "deadline", "%s at %llu after the deadline", r->type->name, (unsigned long long)r->position);
	if (step->to == STATE(EXPIRED) && r->at < h->decide_by)
		return violated(s, "deadline", "expired at %llu before the deadline", (unsigned long long)r->position);
	return true;
}

static void ended(struct m_case *c, struct m_handover *h, int to)
{
	h->provider = false;
	if (to == STATE(DECLINED) || to == STATE(EXPIRED))
		c->expect_next = (int)(h - c->handovers);
	if (to == STATE(WITHDRAWN))
		h->unplaced = false;
}

FOLD(fold_step)
{
	const struct step *step = step_of(r->type->name);
	struct m_handover *h = handover_of(c, handover_in(r));

	if (!h) {
		violated(s, "handover-step", "%s at %llu of no handover", r->type->name, (unsigned long long)r->position);
		return;
	}
	/* The broker's own withdrawn tells a former candidate that its offer was replaced, follows the CANCEL of the offer, or comes of closing the case. */
	if (r->publisher == BROKER && step->by == OFFERER && (!c->closed || offer_in(r) != h->offer || !is_open(h))) {
		if (is_open(h) && offer_in(r) == h->offer)
			violated(s, "handover-who", "%s at %llu by the broker", r->type->name, (unsigned long long)r->position);
		return;
	}
	if (!step_allowed(s, c, h, r, step))
		return;
	if (strcmp(step->type, "handover.delivered") == 0 && h->state == STATE(OFFERED))
		h->state = STATE(DELIVERED);
	if (strcmp(step->type, "handover.unplaced") == 0) {
		pass_over(h);
		if (c->expect_next != (int)(h - c->handovers) || h->n_then)
			violated(s, "then", "unplaced at %llu, but somebody is left to ask", (unsigned long long)r->position);
		c->expect_next = -1;
		h->unplaced = true;
	}
	if (!step->to)
		return;
	h->state = step->to;
	h->received = h->received || step->by == TAKER;
	if (step->to == STATE(ACCEPTED)) {
		h->provider = h->has_start = true;
		h->start = h->report_from = ((const Reentry__HandoverAccepted *)r->data)->start_date->days;
	}
	if (1u << step->to & (BIT(DECLINED) | BIT(EXPIRED) | BIT(WITHDRAWN) | BIT(COMPLETED) | BIT(ENDED_EARLY)))
		ended(c, h, step->to);
}

/* Milestone 2, URGENT; or a start that nobody reported. What must come is remembered where the decision began. */
FOLD(fold_escalated)
{
	const Reentry__HandoverStep *step = r->data;
	struct m_handover *h = handover_of(c, step->handover);
	uint32_t bit = h ? UINT32_C(1) << (h - c->handovers) : 0, *told = r->event->priority == URGENT ? &c->escalated : &c->reported;

	if (!h || offer_in(r) != h->offer || *told & bit)
		violated(s, "escalated", "%s at %llu of no handover, of another offer, or twice", r->type->name, (unsigned long long)r->position);
	if (!plant(s, FAULT_NO_ESCALATION))
		*told |= bit;
}

/* A reminder may move the deadline of an open offer, and may make it urgent: never later than the deadline it had, two hours at most. */
FOLD(fold_reminder)
{
	const Reentry__HandoverReminder *reminder = r->data;
	struct m_handover *h = handover_of(c, reminder->handover);
	bool urgent = r->event->priority == URGENT;

	if (!h || (reminder->has_offer && reminder->offer != h->offer)) {
		violated(s, "reminder", "at %llu for an offer that is not current", (unsigned long long)r->position);
		return;
	}
	if (!is_open(h)) {
		if (h->state != STATE(ACCEPTED) && h->state != STATE(RECONFIRM))
			violated(s, "reminder", "at %llu in state %d", (unsigned long long)r->position, h->state);
		return;
	}
	if (!reminder->decide_by) {
		violated(s, "reminder", "at %llu without decide_by", (unsigned long long)r->position);
		return;
	}
	if (urgent && !h->urgent) {
		h->urgent = true;
		h->urgent_at = r->at;
		if (reminder->decide_by->ms > r->at + s->policy->offer_urgent || reminder->decide_by->ms > h->decide_by)
			violated(s, "decide-by", "urgent at %llu with a deadline that is later than two hours or than it had", (unsigned long long)r->position);
	} else if (h->urgent && reminder->decide_by->ms > h->decide_by) {
		violated(s, "decide-by", "an urgent offer got more time at %llu", (unsigned long long)r->position);
	}
	h->reminded = reminder->decide_by->ms == h->decide_by; /* half-way; a new deadline has a half-way of its own */
	h->decide_by = reminder->decide_by->ms;
}
