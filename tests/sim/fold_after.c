/* What events do to a case, III: community service, supervision, follow-ups, consent, and what the broker derives (domain.md 4.6, 7 to 9). */
#include "tests/sim/sim.h"

#include <stdio.h>
#include <string.h>

#define KIND(name) REENTRY__SENTENCE_KIND__VALUE__##name
#define PHASE(name) REENTRY__PHASE__VALUE__##name

/* --- community service (7) ----------------------------------------------------------------------------------------------------------- */

static struct m_sanction *take(struct sim *s, struct m_case *c, const struct seen *r, int kind)
{
	const char *ref = r->event->sanction;
	struct m_sanction *taken = NULL;

	/* The one named, else one that the court did not name, unless that name is another's; without a name one that has none, else any. */
	for (int pass = 0; pass < 2 && !taken && (pass == 0 || !ref || !sanction_of(c, ref, kind, false)); pass++)
		for (size_t i = 0; i < c->n_sanctions && !taken; i++) {
			struct m_sanction *x = &c->sanctions[i];

			if (x->kind == kind && !x->running && !x->ended && (pass == 0 ? strcmp(x->ref, ref ? ref : "") == 0 : !ref || !*x->ref))
				taken = x;
		}
	if (!taken) {
		violated(s, "no-sentence", "%s at %llu without a sentence that nobody supervises", r->type->name, (unsigned long long)r->position);
		return NULL;
	}
	taken->running = true;
	taken->supervisor = r->publisher;
	if (ref)
		snprintf(taken->ref, sizeof taken->ref, "%s", ref);
	c->phase = PHASE(DURING);
	return taken;
}

static struct m_sanction *running(struct sim *s, struct m_case *c, const struct seen *r, int kind)
{
	struct m_sanction *x = sanction_of(c, r->event->sanction, kind, true);
	size_t n = 0;

	for (size_t i = 0; i < c->n_sanctions; i++)
		n += c->sanctions[i].running && c->sanctions[i].kind == kind;
	if (!x)
		violated(s, "no-sentence", "%s at %llu of nothing that runs", r->type->name, (unsigned long long)r->position);
	else if (n > 1 && *x->ref && !r->event->sanction)
		violated(s, "no-sentence", "%s at %llu does not say which of %zu", r->type->name, (unsigned long long)r->position, n);
	else if (r->publisher != BROKER && r->publisher != x->supervisor && r->publisher != x->authority)
		violated(s, "no-sentence", "%s at %llu by %s, which does not supervise it", r->type->name, (unsigned long long)r->position, agency_id(s, r->publisher));
	return x;
}

static void over(struct m_case *c, struct m_sanction *x)
{
	bool more = false;

	x->running = x->on_hold = false;
	x->ended = true;
	for (size_t i = 0; i < c->n_sanctions; i++)
		more = more || c->sanctions[i].running;
	if (!c->inside && !more)
		c->phase = PHASE(AFTER);
}

FOLD(fold_assigned)
{
	const Reentry__ServiceAssigned *a = r->data;
	struct m_sanction *x = take(s, c, r, KIND(COMMUNITY_SERVICE));

	if (!x)
		return;
	if (a->hours > (unsigned)s->policy->service_hours_max)
		violated(s, "hours", "%u hours were assigned", a->hours);
	x->hours = a->hours;
	x->complete_by = a->complete_by->days;
}

FOLD(fold_booked)
{
	const Reentry__ServiceHoursBooked *b = r->data;
	struct m_sanction *x = running(s, c, r, KIND(COMMUNITY_SERVICE));
	struct m_booking *it = NULL;

	for (size_t i = 0; x && i < x->n_bookings; i++)
		if (strcmp(x->bookings[i].ref, b->booking) == 0)
			it = &x->bookings[i];
	if (x && !it && x->n_bookings < BOOKINGS) {
		it = &x->bookings[x->n_bookings++];
		*it = (struct m_booking){ 0 };
		snprintf(it->ref, sizeof it->ref, "%s", b->booking);
	}
	if (!it) {
		violated(s, "sim", "too many bookings for the simulation");
		return;
	}
	slot_set(s, &it->slot, r);
	it->off = slot_empty_after(r);
	if (!it->off)
		it->hours = b->hours;
	if (hours_booked(x) < 0 || hours_booked(x) > (int)x->hours)
		violated(s, "hours", "%d of %u hours are booked at %llu", hours_booked(x), x->hours, (unsigned long long)r->position);
}

FOLD(fold_completed)
{
	struct m_sanction *x = running(s, c, r, KIND(COMMUNITY_SERVICE));

	if (x && hours_booked(x) != (int)x->hours)
		violated(s, "hours", "completed at %llu with %d of %u hours", (unsigned long long)r->position, hours_booked(x), x->hours);
	if (x)
		over(c, x);
}

FOLD(fold_returned)
{
	struct m_sanction *x = running(s, c, r, KIND(COMMUNITY_SERVICE));

	if (x)
		x->failed = true;
}

FOLD(fold_converted)
{
	struct m_sanction *x = running(s, c, r, KIND(COMMUNITY_SERVICE));

	if (x && (int)((const Reentry__ServiceConverted *)r->data)->days != ((int)x->hours - hours_booked(x) + 1) / 2)
		violated(s, "hours", "converted at %llu into the wrong number of days", (unsigned long long)r->position);
	if (x)
		over(c, x);
}

/* --- supervision (8) --------------------------------------------------------------------------------------------------------------------- */

FOLD(fold_supervision)
{
	const Reentry__SupervisionStarted *started = r->data;
	struct m_sanction *x = take(s, c, r, KIND(SUPERVISION));

	if (!x)
		return;
	x->interval = started->has_interval_days ? started->interval_days : (unsigned)s->policy->supervision_interval_days;
	x->has_contact = true;
	x->contact = started->first_contact->ms;
	x->contact_slot.version++;
	x->contact_slot.publisher = r->publisher;
	snprintf(x->contact_slot.event, sizeof x->contact_slot.event, "%s", r->event->id);
}

FOLD(fold_contact)
{
	struct m_sanction *x = running(s, c, r, KIND(SUPERVISION));

	if (!x)
		return;
	slot_set(s, &x->contact_slot, r);
	x->has_contact = !slot_empty_after(r);
	if (x->has_contact)
		x->contact = ((const Reentry__ContactPlanned *)r->data)->at->ms;
}

FOLD(fold_contact_done)
{
	struct m_sanction *x = running(s, c, r, KIND(SUPERVISION));

	if (!x)
		return;
	if (!x->has_contact)
		violated(s, "contact", "%s at %llu, but none was planned", r->type->name, (unsigned long long)r->position);
	x->contact = civil_add_days(s->policy->zone, x->contact, (int)x->interval);
}

FOLD(fold_supervision_ended)
{
	struct m_sanction *x = running(s, c, r, KIND(SUPERVISION));

	if (x)
		over(c, x);
}

/* --- after release (3.2) ------------------------------------------------------------------------------------------------------------------- */

static uint32_t day_bit(const struct sim *s, unsigned day)
{
	for (size_t i = 0; i < s->policy->n_followup_days; i++)
		if (s->policy->followup_days[i] == day)
			return UINT32_C(1) << i;
	return 0;
}

FOLD(fold_followup_due)
{
	unsigned day = ((const Reentry__FollowupDue *)r->data)->day;
	uint32_t bit = day_bit(s, day);

	if (!bit || !c->released || c->closed || c->followups_done & bit || r->at < notice_at(s, day_of(s, c->released_at) + (civil_date)day))
		violated(s, "followup", "day %u at %llu is not due, or done", day, (unsigned long long)r->position);
	/* once, and once more as a reminder: the second bit */
	if (c->followups_due & bit << 16)
		violated(s, "followup", "day %u at %llu for the third time", day, (unsigned long long)r->position);
	c->followups_due |= c->followups_due & bit ? bit << 16 : bit;
}

FOLD(fold_followup_done)
{
	c->followups_done |= day_bit(s, ((const Reentry__FollowupDone *)r->data)->day);
}

/* --- consent (9) ------------------------------------------------------------------------------------------------------------------------------ */

static void consent_off(struct m_case *c, int to, int class)
{
	size_t kept = 0;

	for (size_t i = 0; i < c->n_consents; i++)
		if (c->consents[i].to != to || c->consents[i].class != class)
			c->consents[kept++] = c->consents[i];
	c->n_consents = kept;
}

FOLD(fold_consent)
{
	const Reentry__ConsentGiven *given = r->data;
	int to = agency_of(s, given->to);
	struct m_consent *consent;

	consent_off(c, to, (int)given->class_);
	if (c->n_consents == CONSENTS) {
		violated(s, "sim", "too many consents for the simulation");
		return;
	}
	consent = &c->consents[c->n_consents++];
	*consent = (struct m_consent){ .to = to, .class = (int)given->class_ };
	if (!given->until)
		return;
	consent->has_until = true;
	consent->until = given->until->has_ms ? given->until->ms : civil_moment(s->policy->zone, given->until->days + 1, 0);
	if (consent->until <= r->at)
		violated(s, "consent", "at %llu to a moment that has passed", (unsigned long long)r->position);
}

FOLD(fold_consent_withdrawn)
{
	const Reentry__ConsentWithdrawn *withdrawn = r->data;

	consent_off(c, agency_of(s, withdrawn->to), (int)withdrawn->class_);
}

/* --- what the broker derives ------------------------------------------------------------------------------------------------------------------- */

FOLD(fold_unassigned)
{
	if (!(relations_to(s, c, desk_of(s)) & DK) || c->closed)
		violated(s, "unassigned", "destination.unassigned at %llu, but it has one", (unsigned long long)r->position);
}

/* Whether somebody gained or lost a relation is asked at the end of the decision; here only whom it goes to. */
static bool need_line_fits(const struct m_case *c, const Reentry__CaseSnapshot__NeedLine *line)
{
	const struct m_need *n = line->need > 0 && (int)line->need < NEEDS ? &c->needs[line->need] : NULL;

	return n && n->known && (int)line->status == n->status && (line->from_date != NULL) == n->has_from && (!n->has_from || line->from_date->days == n->from);
}

/* The whole state at that moment, each need and each handover once (4.6); what the receiver may see of it is in shown.c. */
static bool snapshot_fits(const struct sim *s, struct m_case *c, const Reentry__CaseSnapshot *is)
{
	size_t needs = 0;
	uint32_t seen = 0;

	if ((int)is->phase != c->phase || (is->release_date != NULL) != c->has_date || (c->has_date && is->release_date->days != c->date)
		|| (is->has_kind ? (int)is->kind : 0) != (c->has_date ? c->release_kind : 0))
		return false;
	for (int need = 1; need < REENTRY__NEED__VALUE__CARE; need++)
		needs += c->needs[need].known;
	for (size_t i = 0; i < is->n_needs; i++) {
		if (!need_line_fits(c, is->needs[i]) || seen & 1u << is->needs[i]->need)
			return false;
		seen |= 1u << is->needs[i]->need;
	}
	for (size_t i = 0; i < is->n_handovers; i++) {
		const struct m_handover *h = handover_of(c, is->handovers[i]->handover);

		if (!h || (int)is->handovers[i]->need != h->need || (int)is->handovers[i]->state != h->state || agency_of(s, is->handovers[i]->to) != h->to)
			return false;
	}
	return is->n_needs == needs && is->n_handovers == c->n_handovers;
}

FOLD(fold_snapshot)
{
	if (plant(s, FAULT_SNAPSHOT) || !snapshot_fits(s, c, r->data))
		violated(s, "snapshot-content", "the snapshot at %llu is not the state of %s", (unsigned long long)r->position, c->ref);
	for (size_t i = 0; i < r->record->n_routes; i++) {
		int agency = agency_of(s, r->record->routes[i]->agency);

		if (agency >= 0)
			c->snapshots |= ONE(agency);
	}
}

FOLD(fold_withdrawn)
{
	if (r->record->n_routes != 1)
		violated(s, "withdrawn", "case.withdrawn at %llu goes to %zu agencies", (unsigned long long)r->position, r->record->n_routes);
	(void)c;
}

FOLD(fold_delivery_overdue)
{
	const Reentry__DeliveryOverdue *overdue = r->data;
	int agency = agency_of(s, overdue->to);

	for (size_t i = 0; agency >= 0 && i < s->accounts[agency].n; i++) {
		struct entry *e = &s->accounts[agency].entries[i];

		if (e->position != overdue->overdue_sequence)
			continue;
		/* At the very moment of the deadline the acknowledgement comes second (4.1), though its record stands first. */
		if (e->state == DROPPED || (e->state == ACKED && e->acked_at != r->at) || !e->urgent || e->overdue || r->at < e->at + s->policy->delivery_overdue)
			break;
		e->overdue = 1;
		(void)c;
		return;
	}
	violated(s, "overdue", "delivery.overdue at %llu: %llu to %s is not late, or it was told before", (unsigned long long)r->position, (unsigned long long)overdue->overdue_sequence, overdue->to);
}

FOLD(fold_erasure)
{
	int agency = r->record->n_routes == 1 ? agency_of(s, r->record->routes[0]->agency) : NOBODY;

	if (agency < 0 || !(c->has_told_date & ONE(agency)))
		violated(s, "retention", "erasure.due at %llu to nobody, or to one that was told no date", (unsigned long long)r->position);
	else if (!c->released || r->at < notice_at(s, civil_add_months(c->told_date[agency], s->policy->retention_months)))
		violated(s, "retention", "erasure.due at %llu before its time", (unsigned long long)r->position);
}
