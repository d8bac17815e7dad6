/* Handovers: the states and who may take each step (domain.md 6.1, 6.2). Deadlines are in offer.c. */
#include "lib/pb.h"
#include "rules/handlers.h"

#define BIT(name) (1u << HANDOVER(name))
#define OPEN_STATES (BIT(OFFERED) | BIT(DELIVERED) | BIT(RECEIVED) | BIT(INFO_REQUESTED))
#define END_STATES (BIT(DECLINED) | BIT(EXPIRED) | BIT(WITHDRAWN) | BIT(COMPLETED) | BIT(ENDED_EARLY))
#define AGAIN_STATES (BIT(DECLINED) | BIT(EXPIRED) | BIT(WITHDRAWN))

/* From which states each step may be taken. */
static const struct { const char *type; uint32_t from; } steps[] = {
	{ "handover.received", BIT(OFFERED) | BIT(DELIVERED) },
	{ "handover.accepted", OPEN_STATES | BIT(RECONFIRM) },
	{ "handover.declined", OPEN_STATES | BIT(RECONFIRM) },
	{ "handover.info-requested", BIT(OFFERED) | BIT(DELIVERED) | BIT(RECEIVED) },
	{ "handover.info-given", BIT(INFO_REQUESTED) },
	{ "handover.withdrawn", OPEN_STATES | BIT(ACCEPTED) | BIT(RECONFIRM) | BIT(STARTED) | BIT(ON_HOLD) },
	{ "handover.started", BIT(ACCEPTED) | BIT(RECONFIRM) },
	{ "handover.completed", BIT(STARTED) },
	{ "handover.ended-early", BIT(STARTED) },
};

static bool in(const handover *h, uint32_t states)
{
	return (1u << h->state) & states;
}

handover *handover_find(const state *c, const char *ref)
{
	for (size_t i = 0; c && ref && i < c->n_handovers; i++)
		if (same(c->handovers[i]->ref, ref))
			return c->handovers[i];
	return NULL;
}

bool handover_open(const handover *h)
{
	return in(h, OPEN_STATES);
}

bool handover_is_candidate(const handover *h)
{
	return handover_open(h) && !h->provider;
}

static const char *state_name(const handover *h)
{
	const ProtobufCEnumValue *value = protobuf_c_enum_descriptor_get_value(&reentry__handover_state__value__descriptor, (int)h->state);

	return value ? value->name : "";
}

static const char *payload_handover(const struct type_row *row, const void *data)
{
	const ProtobufCFieldDescriptor *f = protobuf_c_message_descriptor_get_field_by_name(row->payload, "handover");

	return *(char *const *)((const char *)data + f->offset);
}

static uint32_t payload_offer(const struct type_row *row, const void *data)
{
	const ProtobufCFieldDescriptor *f = protobuf_c_message_descriptor_get_field_by_name(row->payload, "offer");
	bool has = *(const protobuf_c_boolean *)((const char *)data + f->quantifier_offset);

	return has ? *(const uint32_t *)((const char *)data + f->offset) : 0;
}

/* --- handover.offered ------------------------------------------------------------------------------------------------------ */

static int check_taker(struct decision *d, const char *field, const char *id)
{
	const struct agency *to = policy_agency(d->run->policy, id);

	if (!to || to->role == ROLE_AUDITOR || to->role == ROLE_DESK || to->role == ROLE_COURT)
		return refuse(d, "invalid-value", "%s: is no agency that can take over; see reentry directory", field);
	if (same(id, d->input->agency->id))
		return refuse(d, "invalid-value", "%s: is the offering agency itself", field);
	return 0;
}

CHECK(check_offered)
{
	const Reentry__HandoverOffered *o = d->data;
	const handover *h = handover_find(d->run->state, o->handover);

	if (check_taker(d, "to", o->to))
		return -1;
	for (size_t i = 0; i < o->n_then; i++)
		if (check_taker(d, "then", o->then[i]))
			return -1;
	if (o->has_offer)
		return refuse(d, "invalid-value", "offer: is filled in by the broker");
	if (o->decide_by && o->decide_by->ms <= d->run->now)
		return refuse(d, "invalid-value", "decide_by: lies in the past");
	if (!h || in(h, AGAIN_STATES) || (d->op == OP(SUPERSEDE) && handover_open(h)))
		return 0;
	return in(h, END_STATES) ? refuse(d, "offer-closed", "handover: has ended; use a new reference")
		: refuse(d, "invalid-value", "handover: is %s; withdraw it first", state_name(h));
}

/* CANCEL and RETRACT withdraw; what has ended cannot be withdrawn (domain.md 6.1). */
CHECK(check_offer_off)
{
	const handover *h = handover_find(d->run->state, ((const Reentry__HandoverOffered *)d->data)->handover);

	return h && in(h, END_STATES) ? refuse(d, "offer-closed", "handover: this offer has ended (%s)", state_name(h)) : 0;
}

static handover *handover_make(struct rules_run *run, const char *ref)
{
	handover *h = handover_find(run->state, ref);
	handover **place;

	if (h)
		return h;
	h = PB_NEW(run->arena, Reentry__Handover, reentry__handover);
	place = ARENA_PUSH(run->arena, run->state->handovers, run->state->n_handovers);
	if (!h || !place) {
		run->error = ERR_NOMEM;
		return NULL;
	}
	*place = h;
	h->ref = keep(run, ref);
	return h;
}

static void remember_past(struct rules_run *run, handover *h)
{
	Reentry__PastOffer *past = PB_NEW(run->arena, Reentry__PastOffer, reentry__past_offer);
	Reentry__PastOffer **place = ARENA_PUSH(run->arena, h->past, h->n_past);

	if (!past || !place) {
		run->error = ERR_NOMEM;
		return;
	}
	*place = past;
	past->agency = h->to;
	SET(past, offer, h->offer);
}

static void take_terms(struct rules_run *run, handover *h, const Reentry__HandoverOffered *o)
{
	h->to = keep(run, o->to);
	SET(h, need, o->need);
	h->region = keep(run, o->region);
	h->support = keep(run, o->support);
	UNSET(h, start_by);
	if (o->start_by)
		SET(h, start_by, o->start_by->days);
	UNSET(h, explicit_by);
	if (o->decide_by)
		SET(h, explicit_by, o->decide_by->ms);
	h->then = NULL;
	h->n_then = 0;
	for (size_t i = 0; i < o->n_then; i++) {
		char **place = ARENA_PUSH(run->arena, h->then, h->n_then);

		if (!place) {
			run->error = ERR_NOMEM;
			return;
		}
		*place = keep(run, o->then[i]);
	}
}

/* CANCEL and RETRACT of an offer withdraw it. */
static void withdraw(struct rules_run *run, handover *h)
{
	SET(h, state, HANDOVER(WITHDRAWN));
	UNSET(h, provider);
	UNSET(h, unplaced);
	offer_timers_off(run->state, h->ref);
}

APPLY(apply_offered)
{
	const Reentry__HandoverOffered *o = data;
	handover *h = handover_make(run, o->handover);
	bool broker = same(record->agency, run->policy->broker_id);
	bool urgent = false;
	moment by = 0;

	if (!h)
		return;
	if (!broker) {
		slot_bump(run, &h->slot, record);
		h->offerer = keep(run, record->agency);
	}
	if (record->envelope->op == OP(CANCEL) || record->envelope->op == OP(RETRACT)) {
		withdraw(run, h);
		return;
	}
	if (h->offer)
		remember_past(run, h);
	offer_timers_off(run->state, h->ref);
	take_terms(run, h, o);
	SET(h, offer, h->offer + 1);
	SET(h, state, HANDOVER(OFFERED));
	SET(h, offered_at, run->now);
	h->offered_event = keep(run, record->envelope->id);
	UNSET(h, provider);
	UNSET(h, unplaced);
	UNSET(h, reminded);
	UNSET(h, received);
	UNSET(h, start_date);
	UNSET(h, held);
	if (record->event->has_decide_by) {
		by = record->event->decide_by; /* read back: it was decided by the rules of its time */
		urgent = record->event->urgent;
	} else {
		offer_deadline(run, h, record->envelope->priority == URGENT, &by, &urgent);
	}
	SET(h, decide_by, by);
	SET(h, urgent, urgent);
	offer_timers(run, h);
	/* Only a live decision writes into the record; in a rebuild they are there already. */
	SET(record->event, offer, h->offer);
	SET(record->event, decide_by, by);
	SET(record->event, urgent, urgent || record->event->urgent);
}

/* An open offer that is superseded, cancelled or retracted: whoever had it before learns that it has ended. */
APPLY(react_offered)
{
	const Reentry__HandoverOffered *o = data;
	const handover *h = handover_find(run->state, o->handover);
	const struct working *w = working(run);
	Reentry__HandoverStep step = REENTRY__HANDOVER_STEP__INIT;
	const char *former = NULL;

	if (!h)
		return;
	step.handover = h->ref;
	SET(&step, offer, h->offer);
	if (record->envelope->op == OP(CANCEL) || record->envelope->op == OP(RETRACT)) {
		emit(run, &(struct made){ .type = "handover.withdrawn", .data = &step });
		return;
	}
	if (record->envelope->op != OP(SUPERSEDE) || !h->n_past)
		return;
	former = h->past[h->n_past - 1]->agency;
	for (size_t i = 0; !same(former, h->to) && i < w->n_before; i++)
		if (same(w->before[i].agency->id, former) && (w->before[i].relations & REL_CANDIDATE)) {
			SET(&step, offer, h->past[h->n_past - 1]->offer);
			emit(run, &(struct made){ .type = "handover.withdrawn", .data = &step, .named = former, .receivers = TO_NAMED });
			return;
		}
}

/* --- steps of candidate, provider and offerer --------------------------------------------------------------------------------- */

static const Reentry__PastOffer *past_of(const handover *h, const char *agency)
{
	for (size_t i = 0; i < h->n_past; i++)
		if (same(h->past[i]->agency, agency))
			return h->past[i];
	return NULL;
}

/* Who has the offer, or had it: the latter hear offer-closed although they have no relation any more. */
CHECK(relation_answer)
{
	const char *me = d->input->agency->id;
	const handover *h = handover_find(d->run->state, payload_handover(d->row, d->data));

	if (h && same(h->to, me) && (!(d->row->flags & ROW_BY_PROVIDER) || h->provider || !handover_open(h) || (d->relations & REL_ALL)))
		return 0; /* a candidate may not begin what it has not accepted: for it there is no case yet */
	if (h && past_of(h, me) && !(same(h->to, me) && handover_open(h))) /* who was asked again is a candidate */
		return refuse(d, "offer-closed", "handover: this offer has ended");
	if (!h && (d->relations & REL_ALL & ~(unsigned)REL_PROVIDER))
		return 0; /* it hears of every handover of the case: check_step names what is wrong. A provider hears of its own only */
	return refuse(d, "no-such-case", "subject: there is no such case");
}

CHECK(check_step)
{
	const char *ref = payload_handover(d->row, d->data);
	const handover *h = handover_find(d->run->state, ref);
	uint32_t offer = payload_offer(d->row, d->data);

	if (!h)
		return refuse(d, "invalid-value", "handover: there is no such handover on this case");
	if ((d->row->flags & ROW_BY_OFFERER) && !same(h->offerer, d->input->agency->id))
		return refuse(d, "not-allowed", "handover: was offered by another agency");
	if (offer && offer < h->offer)
		return refuse(d, "newer-version", "offer: number %u is current", h->offer);
	if (offer > h->offer)
		return refuse(d, "invalid-value", "offer: there is no such offer yet");
	if (d->input->event->has_slot_version && h->slot && d->input->event->slot_version < h->slot->version)
		return refuse(d, "newer-version", "slotversion: %u is current", h->slot->version);
	if (in(h, END_STATES))
		return refuse(d, "offer-closed", "handover: this offer has ended (%s)", state_name(h));
	for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
		if (same(steps[i].type, d->row->name) && !in(h, steps[i].from))
			return refuse(d, "invalid-value", "handover: is %s; this step does not follow from it", state_name(h));
	return 0;
}

#define UNUSED __attribute__((unused))

/* What a step does to its handover, which is in the state: otherwise it had not been decided. */
#define STEP(name) \
	static void name##_it(struct rules_run *run, handover *h, UNUSED const struct rules_record *record, UNUSED const void *data); \
	APPLY(name) \
	{ \
		handover *h = handover_find(run->state, payload_handover(catalogue_find(record->envelope->type), data)); \
\
		if (h) \
			name##_it(run, h, record, data); \
	} \
	static void name##_it(UNUSED struct rules_run *run, handover *h, UNUSED const struct rules_record *record, UNUSED const void *data)

STEP(apply_delivered)
{
	if (h->state == HANDOVER(OFFERED))
		SET(h, state, HANDOVER(DELIVERED));
}

STEP(apply_received)
{
	SET(h, state, HANDOVER(RECEIVED));
	SET(h, received, true);
	timer_disarm(run->state, TIMER_URGENT_REMIND, h->ref);
}

STEP(apply_info_requested)
{
	SET(h, state, HANDOVER(INFO_REQUESTED));
	SET(h, received, true);
	timer_disarm(run->state, TIMER_URGENT_REMIND, h->ref);
}

STEP(apply_info_given)
{
	SET(h, state, HANDOVER(RECEIVED));
}

STEP(apply_accepted)
{
	const Reentry__HandoverAccepted *a = data;
	civil_date report;

	SET(h, state, HANDOVER(ACCEPTED));
	SET(h, provider, true);
	SET(h, start_date, a->start_date->days);
	offer_timers_off(run->state, h->ref);
	report = policy_working_days(run->policy, h->start_date, run->policy->start_report_days);
	timer_arm(run, TIMER_START_REPORT, policy_day_end(run->policy, report), h->ref, h->offer);
}

static void end(struct rules_run *run, handover *h, Reentry__HandoverState__Value how)
{
	SET(h, state, how);
	UNSET(h, provider);
	offer_timers_off(run->state, h->ref);
}

STEP(apply_declined)
{
	end(run, h, HANDOVER(DECLINED));
}

STEP(apply_expired)
{
	end(run, h, HANDOVER(EXPIRED));
}

STEP(apply_completed)
{
	end(run, h, HANDOVER(COMPLETED));
}

STEP(apply_ended_early)
{
	end(run, h, HANDOVER(ENDED_EARLY));
}

/* One that names an earlier offer tells its former candidate only; the offer that replaced it lives on. */
STEP(apply_withdrawn)
{
	const Reentry__HandoverStep *step = data;

	if (!step->has_offer || step->offer == h->offer)
		withdraw(run, h);
}

STEP(apply_started)
{
	SET(h, state, HANDOVER(STARTED));
	timer_disarm(run->state, TIMER_START_REPORT, h->ref);
}

STEP(apply_unplaced)
{
	SET(h, unplaced, true);
}

STEP(apply_reconfirm)
{
	SET(h, state, HANDOVER(RECONFIRM));
}
