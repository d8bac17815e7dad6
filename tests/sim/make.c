/* Random events that mean something: what an agency would publish next in the case as it stands, mostly by the right one, mostly in the right state. */
#include "tests/sim/sim.h"

#include <stdio.h>
#include <string.h>

#include "lib/id.h"
#include "lib/pb.h"

#define NEED(name) REENTRY__NEED__VALUE__##name
#define STATE(name) REENTRY__HANDOVER_STATE__VALUE__##name
#define KIND(name) REENTRY__SENTENCE_KIND__VALUE__##name
#define DAY INT64_C(86400000)
#define HOUR INT64_C(3600000)

struct draft { const char *type, *sanction, *target; int agency, op; bool has_version, urgent; unsigned version; const void *data; };

/* --- pickers -------------------------------------------------------------------------------------------------------------------- */

static void *fresh(struct sim *s, const ProtobufCMessageDescriptor *type)
{
	return pb_new(type, &s->arena);
}
#define NEW(Type, lower) ((Type *)fresh(s, &lower##__descriptor))
#define SET(message, field, value) ((message)->has_##field = true, (message)->field = (value))

static Reentry__Date *date(struct sim *s, civil_date days)
{
	Reentry__Date *d = NEW(Reentry__Date, reentry__date);

	SET(d, days, days);
	return d;
}

static Reentry__Moment *at(struct sim *s, moment ms)
{
	Reentry__Moment *m = NEW(Reentry__Moment, reentry__moment);

	SET(m, ms, ms);
	return m;
}

static int with_role(struct sim *s, uint32_t roles)
{
	for (int tries = 0; tries < 100; tries++) {
		int agency = (int)below(s, s->policy->n_agencies);

		if (ROLE_BIT(role_of(s, agency)) & roles)
			return agency;
	}
	return 0;
}

/* The right agency mostly; else one of the role; else anybody. */
static int mostly(struct sim *s, int right, uint32_t roles)
{
	if (right >= 0 && chance(s, 92))
		return right;
	return chance(s, 70) && roles ? with_role(s, roles) : (int)below(s, s->policy->n_agencies);
}

static int with_relation(struct sim *s, const struct m_case *c, uint32_t relations, uint32_t roles)
{
	int start = (int)below(s, s->policy->n_agencies), n = (int)s->policy->n_agencies;

	for (int i = 0; i < n; i++) {
		int agency = (start + i) % n;

		if ((c->now[agency] & relations) && (!roles || ROLE_BIT(role_of(s, agency)) & roles))
			return agency;
	}
	return NOBODY;
}

static char *code(struct sim *s)
{
	static const char *const codes[] = { "0344", "0599", "0758", "0855", "0363", "0344", "0599", "0000", "9999", "1234" };

	return (char *)(uintptr_t)codes[below(s, sizeof codes / sizeof *codes)]; /* packed, never written */
}

static civil_date soon(struct sim *s)
{
	civil_date today = day_of(s, world_now(s));
	size_t how = below(s, 100);

	return how < 4 ? today - 1 - (civil_date)below(s, 5) : how < 35 ? today + (civil_date)below(s, 4) : how < 70 ? today + 3 + (civil_date)below(s, 15) : today + 15 + (civil_date)below(s, 90);
}

/* A correction now and then; the version right, left out, too old or far ahead. */
static void versioned(struct sim *s, struct draft *d, const struct slot *slot)
{
	size_t how = below(s, 100);

	if (slot && slot->version && how < 35)
		d->op = how < 20 ? REENTRY__OP__VALUE__SUPERSEDE : how < 28 ? REENTRY__OP__VALUE__CANCEL : REENTRY__OP__VALUE__RETRACT;
	if (slot && slot->version && d->op && chance(s, 85))
		d->agency = slot->publisher >= 0 ? slot->publisher : d->agency;
	if (slot && slot->version && d->op && chance(s, 20))
		d->target = chance(s, 80) ? arena_strdup(&s->arena, slot->event) : "no-such-event";
	if (chance(s, 30)) {
		d->has_version = true;
		d->version = slot ? slot->version + 1 : 1;
		if (chance(s, 20))
			d->version = slot && slot->version ? (unsigned)below(s, slot->version + 1) : 0;
		else if (chance(s, 10))
			d->version += (unsigned)below(s, 3);
	}
}

static void sanction_of_kind(struct sim *s, struct m_case *c, struct draft *d, int kind, bool running)
{
	struct m_sanction *x = sanction_of(c, NULL, kind, running);

	if (x && *x->ref && chance(s, 70))
		d->sanction = arena_strdup(&s->arena, x->ref);
	else if (chance(s, 5))
		d->sanction = "S-none";
}

/* --- sentence, custody, release ----------------------------------------------------------------------------------------------------- */

#define MAKE(name) static void name(struct sim *s, struct m_case *c, struct draft *d)

MAKE(sentence)
{
	Reentry__SentenceImposed *m = NEW(Reentry__SentenceImposed, reentry__sentence_imposed);

	d->type = "sentence.imposed";
	d->agency = mostly(s, with_role(s, ROLE_BIT(ROLE_COURT)), 0);
	SET(m, kind, (Reentry__SentenceKind__Value)(1 + below(s, 3)));
	if (m->kind == KIND(COMMUNITY_SERVICE))
		SET(m, hours, (uint32_t)(8 + below(s, 240)));
	if (chance(s, c->exists ? 15 : 80))
		m->origin = code(s);
	if (chance(s, c->exists ? 15 : 80))
		m->destination = code(s);
	if (chance(s, 60))
		d->sanction = arena_printf(&s->arena, "S-%llu", (unsigned long long)s->ordinal);
	d->data = m;
}

MAKE(planned)
{
	Reentry__ExecutionPlanned *m = NEW(Reentry__ExecutionPlanned, reentry__execution_planned);

	d->type = "sentence.execution-planned";
	d->agency = mostly(s, with_relation(s, c, AU | SV | PI, 0), ROLE_BIT(ROLE_COURT) | ROLE_BIT(ROLE_PROBATION));
	m->start_date = date(s, soon(s));
	versioned(s, d, &c->start);
	d->data = m;
}

MAKE(custody)
{
	Reentry__CustodyStarted *m = NEW(Reentry__CustodyStarted, reentry__custody_started);

	d->type = "custody.started";
	d->agency = mostly(s, c->inside ? c->custodian : with_role(s, ROLE_BIT(ROLE_PRISON)), ROLE_BIT(ROLE_PRISON));
	m->start = at(s, world_now(s) - (chance(s, 70) ? (moment)below(s, 3 * 3600) * 1000 : (moment)below(s, 40) * DAY));
	if (chance(s, c->exists ? 20 : 80))
		m->origin = code(s);
	if (chance(s, c->exists ? 20 : 80))
		m->destination = code(s);
	d->data = m;
}

MAKE(transfer)
{
	Reentry__CustodyTransferred *m = NEW(Reentry__CustodyTransferred, reentry__custody_transferred);
	int from = c->custodian >= 0 && chance(s, 90) ? c->custodian : with_role(s, ROLE_BIT(ROLE_PRISON)), to = with_role(s, ROLE_BIT(ROLE_PRISON));

	d->type = "custody.transferred";
	d->agency = mostly(s, chance(s, 70) ? from : to, ROLE_BIT(ROLE_PRISON));
	m->from = (char *)(uintptr_t)agency_id(s, from); /* packed, never written */
	m->to = (char *)(uintptr_t)agency_id(s, to);
	d->data = m;
}

MAKE(movement)
{
	static const char *const types[] = { "custody.leave-started", "custody.leave-returned", "custody.hospitalised" };
	Reentry__Movement *m = NEW(Reentry__Movement, reentry__movement);

	d->type = types[below(s, 3)];
	d->agency = mostly(s, c->custodian, ROLE_BIT(ROLE_PRISON));
	m->at = at(s, world_now(s));
	d->data = m;
}

MAKE(date_set)
{
	Reentry__ReleaseDateSet *m = NEW(Reentry__ReleaseDateSet, reentry__release_date_set);

	d->type = "release.date-set";
	d->agency = mostly(s, c->custodian, ROLE_BIT(ROLE_PRISON));
	m->date = date(s, c->has_date && chance(s, 40) ? c->date + (civil_date)below(s, 9) - 4 : soon(s));
	SET(m, kind, (Reentry__ReleaseKind__Value)(1 + below(s, 2)));
	versioned(s, d, &c->release);
	d->data = m;
}

MAKE(date_unknown)
{
	d->type = "release.date-unknown";
	d->agency = mostly(s, c->custodian, ROLE_BIT(ROLE_PRISON));
	d->data = NEW(Reentry__Nothing, reentry__nothing);
	versioned(s, d, &c->release);
}

MAKE(ordered)
{
	Reentry__ReleaseOrdered *m = NEW(Reentry__ReleaseOrdered, reentry__release_ordered);

	d->type = "release.ordered";
	d->agency = mostly(s, chance(s, 50) ? with_relation(s, c, AU, 0) : c->custodian, ROLE_BIT(ROLE_COURT));
	m->ordered_at = at(s, world_now(s));
	versioned(s, d, chance(s, 30) ? &c->release : NULL);
	d->data = m;
}

MAKE(recorded)
{
	Reentry__Released *m = NEW(Reentry__Released, reentry__released);

	d->type = "release.recorded";
	d->agency = mostly(s, c->custodian, ROLE_BIT(ROLE_PRISON));
	m->released_at = at(s, world_now(s) - (chance(s, 90) ? (moment)below(s, 3600) * 1000 : (moment)below(s, 30) * DAY));
	d->data = m;
}

MAKE(reversed)
{
	d->type = "release.reversed";
	d->agency = mostly(s, c->custodian, ROLE_BIT(ROLE_PRISON));
	d->data = NEW(Reentry__Nothing, reentry__nothing);
}

MAKE(destination)
{
	Reentry__DestinationChanged *m = NEW(Reentry__DestinationChanged, reentry__destination_changed);

	d->type = "destination.changed";
	d->agency = mostly(s, with_relation(s, c, ALL, ROLE_BIT(ROLE_PRISON) | ROLE_BIT(ROLE_MUNICIPALITY) | ROLE_BIT(ROLE_PROBATION) | ROLE_BIT(ROLE_DESK)), 0);
	m->destination = code(s);
	versioned(s, d, &c->dest);
	d->data = m;
}

/* --- needs ------------------------------------------------------------------------------------------------------------------------------ */

MAKE(need)
{
	Reentry__NeedStatusChanged *m = NEW(Reentry__NeedStatusChanged, reentry__need_status_changed);
	int code_of_need = chance(s, 35) ? (int)NEED(PSYCHIATRIC) + (int)below(s, 3) : 1 + (int)below(s, chance(s, 3) ? 13 : 12);

	d->type = chance(s, 60) ? "need.screened" : "need.status-changed";
	d->agency = mostly(s, with_relation(s, c, ALL, 0), 0);
	SET(m, need, (Reentry__Need__Value)code_of_need);
	SET(m, status, (Reentry__NeedStatus__Value)(chance(s, 60) ? 3 + below(s, 3) : 1 + below(s, 7)));
	if (m->status == REENTRY__NEED_STATUS__VALUE__ARRANGED && chance(s, 95))
		m->from_date = date(s, c->has_date && chance(s, 60) ? c->date + (civil_date)below(s, 8) - 3 : soon(s));
	if (chance(s, 10))
		m->note = (char *)(uintptr_t)"a note";
	versioned(s, d, &c->needs[code_of_need].slot);
	d->data = m;
}

MAKE(arranging)
{
	Reentry__Arranging *m = NEW(Reentry__Arranging, reentry__arranging);
	const struct type *type;

	do
		type = type_at(below(s, 90));
	while (!type || type->payload != &reentry__arranging__descriptor);
	d->type = type->name;
	d->agency = mostly(s, with_relation(s, c, ALL, type->by), type->by);
	if (!type->need)
		SET(m, need, (Reentry__Need__Value)(NEED(PSYCHIATRIC) + below(s, 3)));
	if (chance(s, type->status == REENTRY__NEED_STATUS__VALUE__ARRANGED ? 80 : 5))
		m->from_date = date(s, c->has_date && chance(s, 60) ? c->date + (civil_date)below(s, 8) - 3 : soon(s));
	versioned(s, d, type->need ? &c->needs[type->need].slot : &c->needs[m->need].slot);
	d->data = m;
}

MAKE(medication)
{
	Reentry__MedicationBridged *m = NEW(Reentry__MedicationBridged, reentry__medication_bridged);

	d->type = "medication.bridged";
	d->agency = mostly(s, c->custodian, ROLE_BIT(ROLE_CARE));
	m->until = NEW(Reentry__When, reentry__when);
	SET(m->until, days, soon(s));
	d->data = m;
}

/* --- handovers -------------------------------------------------------------------------------------------------------------------------- */

static char *taker(struct sim *s)
{
	uint32_t roles = ROLE_BIT(ROLE_CARE) | ROLE_BIT(ROLE_HOUSING) | ROLE_BIT(ROLE_EDUCATION) | ROLE_BIT(ROLE_EMPLOYER) | ROLE_BIT(ROLE_VOLUNTEER);

	if (chance(s, 10))
		roles |= ROLE_BIT(ROLE_MUNICIPALITY) | ROLE_BIT(ROLE_PROBATION) | ROLE_BIT(ROLE_PRISON);
	return (char *)(uintptr_t)agency_id(s, chance(s, 98) ? with_role(s, roles) : (int)below(s, s->policy->n_agencies)); /* packed, never written */
}

MAKE(offered)
{
	Reentry__HandoverOffered *m = NEW(Reentry__HandoverOffered, reentry__handover_offered);
	struct m_handover *h = c->n_handovers && (c->n_handovers == HANDOVERS || chance(s, 40)) ? &c->handovers[below(s, c->n_handovers)] : NULL;
	char **then = arena_alloc(&s->arena, 3 * sizeof *then);

	d->type = "handover.offered";
	d->agency = mostly(s, with_relation(s, c, ALL, ROLE_BIT(ROLE_PRISON) | ROLE_BIT(ROLE_PROBATION) | ROLE_BIT(ROLE_MUNICIPALITY) | ROLE_BIT(ROLE_CARE)), 0);
	m->handover = h ? arena_strdup(&s->arena, h->ref) : arena_printf(&s->arena, "H-%zu", c->n_handovers + 1);
	m->to = taker(s);
	SET(m, need, (Reentry__Need__Value)(1 + below(s, 13)));
	m->then = then;
	while (m->n_then < 3 && chance(s, 35))
		then[m->n_then++] = taker(s);
	if (chance(s, 20))
		m->decide_by = at(s, world_now(s) + (moment)below(s, 80) * HOUR - (chance(s, 5) ? DAY : 0) + 1);
	if (chance(s, 30))
		m->start_by = date(s, soon(s));
	if (chance(s, 30))
		m->note = (char *)(uintptr_t)"for the candidate not to see";
	d->urgent = chance(s, 12);
	versioned(s, d, h ? &h->slot : NULL);
	d->data = m;
}

static const char *step_from(struct sim *s, const struct m_handover *h)
{
	static const char *const all[] = { "handover.received", "handover.accepted", "handover.declined", "handover.info-requested", "handover.info-given", "handover.withdrawn",
		"handover.started", "handover.completed", "handover.ended-early" };
	static const char *const open[] = { "handover.received", "handover.accepted", "handover.accepted", "handover.declined", "handover.info-requested" };

	if (chance(s, 12))
		return all[below(s, 9)];
	if (h->state == STATE(INFO_REQUESTED) && chance(s, 50))
		return "handover.info-given";
	if (is_open(h))
		return chance(s, 5) ? "handover.withdrawn" : open[below(s, 5)];
	if (h->state == STATE(ACCEPTED))
		return chance(s, 10) ? "handover.withdrawn" : "handover.started";
	if (h->state == STATE(RECONFIRM))
		return open[1 + below(s, 3)];
	return h->state == STATE(STARTED) ? chance(s, 50) ? "handover.completed" : "handover.ended-early" : all[below(s, 9)];
}

MAKE(step)
{
	struct m_handover *h = c->n_handovers ? &c->handovers[below(s, c->n_handovers)] : NULL;
	const char *ref = h && chance(s, 98) ? h->ref : "H-none", *name = h ? step_from(s, h) : "handover.accepted";
	bool by_offerer = strcmp(name, "handover.withdrawn") == 0 || strcmp(name, "handover.info-given") == 0;
	const struct type *type = type_find(name);
	ProtobufCMessage *m = fresh(s, type->payload);
	uint32_t offer = h && chance(s, 40) ? (chance(s, 85) ? h->offer : (uint32_t)below(s, h->offer + 2)) : 0;

	d->type = name;
	d->agency = mostly(s, h ? (by_offerer ? h->offerer : chance(s, 95) || !h->n_past ? h->to : h->past[below(s, h->n_past)].agency) : NOBODY, 0);
	*(char **)(void *)((char *)m + protobuf_c_message_descriptor_get_field_by_name(type->payload, "handover")->offset) = arena_strdup(&s->arena, ref);
	if (offer) {
		const ProtobufCFieldDescriptor *f = protobuf_c_message_descriptor_get_field_by_name(type->payload, "offer");

		*(protobuf_c_boolean *)(void *)((char *)m + f->quantifier_offset) = true;
		*(uint32_t *)(void *)((char *)m + f->offset) = offer;
	}
	if (type->payload == &reentry__handover_accepted__descriptor)
		((Reentry__HandoverAccepted *)(void *)m)->start_date = date(s, c->has_date && chance(s, 60) ? c->date + (civil_date)below(s, 6) - 2 : soon(s));
	if (type->payload == &reentry__handover_refused__descriptor)
		SET((Reentry__HandoverRefused *)(void *)m, code, (Reentry__DeclineCode__Value)(1 + below(s, 10)));
	if (type->payload == &reentry__handover_info__descriptor)
		((Reentry__HandoverInfo *)(void *)m)->note = (char *)(uintptr_t)"a question";
	d->data = m;
}

/* --- community service, supervision -------------------------------------------------------------------------------------------------------- */

MAKE(make_service)
{
	static const char *const types[] = { "community-service.hours-booked", "community-service.hours-booked", "community-service.hours-booked", "community-service.placed",
		"community-service.missed", "community-service.returned-failed", "community-service.converted" };
	struct m_sanction *x = sanction_of(c, NULL, KIND(COMMUNITY_SERVICE), true);
	Reentry__ServiceHoursBooked *booked = NEW(Reentry__ServiceHoursBooked, reentry__service_hours_booked);
	struct m_booking *b = x && x->n_bookings && (x->n_bookings == BOOKINGS || chance(s, 30)) ? &x->bookings[below(s, x->n_bookings)] : NULL;

	d->type = x && chance(s, 95) ? types[below(s, 7)] : "community-service.assigned";
	d->agency = mostly(s, with_role(s, strcmp(d->type, "community-service.converted") == 0 ? ROLE_BIT(ROLE_COURT) : ROLE_BIT(ROLE_PROBATION)), 0);
	sanction_of_kind(s, c, d, KIND(COMMUNITY_SERVICE), x != NULL);
	if (strcmp(d->type, "community-service.hours-booked") == 0) {
		booked->booking = b ? arena_strdup(&s->arena, b->ref) : arena_printf(&s->arena, "B-%zu", x->n_bookings + 1);
		booked->date = date(s, day_of(s, world_now(s)));
		SET(booked, hours, chance(s, 40) ? (int)x->hours - hours_booked(x) : (int)below(s, 60) - (chance(s, 15) ? 40 : 0));
		versioned(s, d, b ? &b->slot : NULL);
		d->data = booked;
	} else if (strcmp(d->type, "community-service.assigned") == 0) {
		Reentry__ServiceAssigned *m = NEW(Reentry__ServiceAssigned, reentry__service_assigned);

		SET(m, hours, (uint32_t)(1 + below(s, chance(s, 5) ? 300 : 120)));
		m->complete_by = date(s, soon(s) + 10);
		d->data = m;
	} else if (strcmp(d->type, "community-service.converted") == 0) {
		Reentry__ServiceConverted *m = NEW(Reentry__ServiceConverted, reentry__service_converted);

		SET(m, days, (uint32_t)((x ? (int)x->hours - hours_booked(x) + 1 : 10) / 2 + (chance(s, 15) ? 1 : 0)));
		d->data = m;
	} else {
		Reentry__ServiceMissed *m = NEW(Reentry__ServiceMissed, reentry__service_missed);

		m->date = date(s, day_of(s, world_now(s)));
		d->data = strcmp(d->type, "community-service.missed") == 0 ? (const void *)m : fresh(s, type_find(d->type)->payload);
	}
}

MAKE(make_supervision)
{
	static const char *const types[] = { "supervision.contact-planned", "supervision.contact-held", "supervision.contact-held", "supervision.contact-missed", "supervision.breach-reported",
		"supervision.ended" };
	struct m_sanction *x = sanction_of(c, NULL, KIND(SUPERVISION), true);

	d->type = x && chance(s, 95) ? types[below(s, 6)] : "supervision.started";
	d->agency = mostly(s, with_role(s, ROLE_BIT(ROLE_PROBATION)), 0);
	sanction_of_kind(s, c, d, KIND(SUPERVISION), x != NULL);
	if (strcmp(d->type, "supervision.started") == 0) {
		Reentry__SupervisionStarted *m = NEW(Reentry__SupervisionStarted, reentry__supervision_started);

		m->first_contact = at(s, world_now(s) + (moment)below(s, 15 * 24) * HOUR - (chance(s, 10) ? 5 * DAY : 0));
		if (chance(s, 40))
			SET(m, interval_days, (uint32_t)(1 + below(s, 30)));
		d->data = m;
	} else if (strcmp(d->type, "supervision.contact-planned") == 0) {
		Reentry__ContactPlanned *m = NEW(Reentry__ContactPlanned, reentry__contact_planned);

		m->at = at(s, world_now(s) + (moment)below(s, 15 * 24) * HOUR - (chance(s, 10) ? 5 * DAY : 0));
		versioned(s, d, x ? &x->contact_slot : NULL);
		d->data = m;
	} else if (strcmp(d->type, "supervision.breach-reported") == 0) {
		Reentry__BreachReported *m = NEW(Reentry__BreachReported, reentry__breach_reported);

		m->reason = (char *)(uintptr_t)"did not appear";
		d->data = m;
	} else {
		d->data = fresh(s, type_find(d->type)->payload);
	}
}

/* --- afterwards ------------------------------------------------------------------------------------------------------------------------------ */

MAKE(followup)
{
	Reentry__FollowupDone *m = NEW(Reentry__FollowupDone, reentry__followup_done);
	size_t n = s->policy->n_followup_days;

	d->type = "followup.done";
	d->agency = mostly(s, with_relation(s, c, GM | SV | PR, 0), 0);
	SET(m, day, chance(s, 95) && n ? s->policy->followup_days[below(s, n)] : 3);
	d->data = m;
}

MAKE(consent)
{
	Reentry__ConsentGiven *given = NEW(Reentry__ConsentGiven, reentry__consent_given);
	Reentry__ConsentWithdrawn *withdrawn = NEW(Reentry__ConsentWithdrawn, reentry__consent_withdrawn);
	bool take_back = c->n_consents && chance(s, 45);
	int related = with_relation(s, c, ALL | CAND, 0), to = related >= 0 && chance(s, 85) ? related : (int)below(s, s->policy->n_agencies);

	if (take_back)
		to = c->consents[below(s, c->n_consents)].to;
	d->type = take_back ? "consent.withdrawn" : "consent.given";
	d->agency = mostly(s, with_relation(s, c, ALL, ROLE_BIT(ROLE_CARE) | ROLE_BIT(ROLE_PROBATION) | ROLE_BIT(ROLE_MUNICIPALITY)), 0);
	given->to = withdrawn->to = (char *)(uintptr_t)agency_id(s, to); /* packed, never written */
	SET(given, class_, chance(s, 90) ? REENTRY__CLASS__VALUE__C : REENTRY__CLASS__VALUE__B);
	SET(withdrawn, class_, chance(s, 90) ? REENTRY__CLASS__VALUE__C : REENTRY__CLASS__VALUE__B);
	if (chance(s, 50)) {
		given->until = NEW(Reentry__When, reentry__when);
		if (chance(s, 50))
			SET(given->until, days, soon(s));
		else
			SET(given->until, ms, world_now(s) + (moment)below(s, 20 * 24) * HOUR);
	}
	d->data = take_back ? (const void *)withdrawn : (const void *)given;
}

MAKE(closed)
{
	d->type = "case.closed";
	d->agency = mostly(s, with_relation(s, c, GM | SV, 0), 0);
	d->data = NEW(Reentry__CaseClosed, reentry__case_closed);
}

MAKE(erased)
{
	d->type = "erasure.executed";
	d->agency = mostly(s, with_relation(s, c, ALL, 0), 0);
	d->data = NEW(Reentry__Erasure, reentry__erasure);
}

/* Any type by anybody, with an empty payload: mostly refused, never harmful. */
MAKE(anything)
{
	const struct type *type;

	(void)c;
	while (!(type = type_at(below(s, 90))))
		;
	d->type = chance(s, 90) ? type->name : "no.such-type";
	d->agency = (int)below(s, s->policy->n_agencies);
	d->data = fresh(s, type->payload);
	d->has_version = chance(s, 20);
	d->version = (unsigned)below(s, 4);
}

/* --- choosing --------------------------------------------------------------------------------------------------------------------------------- */

struct choice { unsigned weight; void (*make)(struct sim *, struct m_case *, struct draft *); };

static void choose(struct sim *s, struct m_case *c, struct draft *d)
{
	bool service = sanction_of(c, NULL, KIND(COMMUNITY_SERVICE), false), supervised = sanction_of(c, NULL, KIND(SUPERVISION), false);
	const struct choice choices[] = {
		{ c->n_sanctions < SANCTIONS / 2 ? (c->n_sanctions < 2 || c->closed ? 14 : 2) : 0, sentence },
		{ c->inside || !c->exists ? 1 : 6, planned },
		{ c->inside ? 2 : 22, custody },
		{ c->inside ? 5 : 1, transfer },
		{ c->inside ? 2 : 1, movement },
		{ c->inside ? (c->has_date ? 14 : 28) : 2, date_set },
		{ c->inside ? 3 : 1, date_unknown },
		{ c->inside ? 4 : 1, ordered },
		{ c->inside && !c->recorded ? 6 : 1, recorded },
		{ c->recorded ? 12 : 1, reversed },
		{ 7, destination },
		{ 22, need },
		{ 14, arranging },
		{ 2, medication },
		{ 12, offered },
		{ c->n_handovers ? 45 : 1, step },
		{ service ? 14 : 1, service ? make_service : anything },
		{ supervised ? 14 : 1, supervised ? make_supervision : anything },
		{ c->released ? 5 : 1, followup },
		{ 8, consent },
		{ c->released || !c->inside ? 2 : 1, closed },
		{ 1, erased },
		{ 3, anything },
	};
	size_t total = 0, n = sizeof choices / sizeof *choices, pick;

	for (size_t i = 0; i < n; i++)
		total += choices[i].weight;
	pick = below(s, total);
	for (size_t i = 0; i < n; i++) {
		if (pick < choices[i].weight) {
			choices[i].make(s, c, d);
			return;
		}
		pick -= choices[i].weight;
	}
}

bool make_event(struct sim *s, struct m_case *c, int *ret_agency, uint8_t **ret_content, size_t *ret_n)
{
	struct draft d = { .agency = 0 };
	Reentry__Event event = REENTRY__EVENT__INIT;
	char id[ID_TEXT_SIZE], seed[48];

	snprintf(seed, sizeof seed, "sim %llu", (unsigned long long)++s->ordinal);
	choose(s, c, &d);
	if (d.agency < 0)
		d.agency = (int)below(s, s->policy->n_agencies);
	id_derive(id, world_now(s), seed, strlen(seed));
	event.id = id;
	event.type = (char *)(uintptr_t)d.type;         /* packed, never written */
	event.subject = c->ref;
	event.sanction = (char *)(uintptr_t)d.sanction;
	event.target = (char *)(uintptr_t)d.target;
	if (d.op)
		SET(&event, op, (Reentry__Op__Value)d.op);
	if (d.has_version)
		SET(&event, slot_version, d.version);
	if (d.urgent || chance(s, 4))
		SET(&event, priority, REENTRY__PRIORITY__VALUE__URGENT);
	if (chance(s, 2))
		event.source = (char *)(uintptr_t)agency_id(s, chance(s, 50) ? d.agency : 0);
	event.has_data = true;
	if (pb_pack(d.data, &s->arena, &event.data.data, &event.data.len) || pb_pack(&event, &s->arena, ret_content, ret_n))
		return violated(s, "sim", "an event cannot be packed");
	*ret_agency = d.agency;
	trace(s, "publish %s %s by %s op %d version %d%s", c->ref, d.type, agency_id(s, d.agency), d.op, d.has_version ? (int)d.version : -1, d.urgent ? " urgent" : "");
	return true;
}
