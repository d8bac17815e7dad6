/* Community service: from assignment to completion or conversion (domain.md 7). */
#include "lib/pb.h"
#include "rules/handlers.h"

/* ref NULL: the one without a reference, else the first that fits. running: only those that a supervisor has taken and that have not ended. */
sanction *sanction_find(const state *c, const char *ref, Reentry__SentenceKind__Value kind, bool running)
{
	sanction *first = NULL;

	for (size_t i = 0; c && i < c->n_sanctions; i++) {
		sanction *s = c->sanctions[i];

		if (s->kind != kind || (running && !s->running))
			continue;
		if (ref ? same(s->ref, ref) : !s->ref)
			return s;
		if (!ref && !first)
			first = s;
	}
	return first;
}

bool sanctions_running(const state *c)
{
	for (size_t i = 0; i < c->n_sanctions; i++)
		if (c->sanctions[i]->running)
			return true;
	return false;
}

/* A sentence of that kind that nobody has taken yet: the one named, else one that the court did not name, unless that name is another's. */
static sanction *untaken(const state *c, const char *ref, Reentry__SentenceKind__Value kind)
{
	sanction *found = NULL;
	bool given = false;

	for (size_t i = 0; c && i < c->n_sanctions; i++) {
		sanction *s = c->sanctions[i];

		if (s->kind != kind)
			continue;
		given = given || (ref && same(s->ref, ref));
		if (s->running || s->ended)
			continue;
		if (ref ? same(s->ref, ref) : !s->ref)
			return s;
		if (!found && (!ref || !s->ref))
			found = s;
	}
	return given ? NULL : found;
}

/* One of a kind may run without a reference; more could not be told apart. */
static int need_untaken(struct decision *d, Reentry__SentenceKind__Value kind)
{
	const char *ref = d->input->event->sanction;
	const sanction *s = untaken(d->run->state, ref, kind);
	const sanction *running = sanction_find(d->run->state, NULL, kind, true);

	if (!s)
		return refuse(d, "no-such-case", "subject: there is no such case");
	if (!ref && !s->ref && running && !running->ref)
		return refuse(d, "invalid-value", "sanction: one without reference is running; give this one a reference");
	return 0;
}

CHECK(relation_assigned)
{
	return need_untaken(d, KIND(COMMUNITY_SERVICE));
}

CHECK(relation_supervision_new)
{
	return need_untaken(d, KIND(SUPERVISION));
}

static bool may_act(const struct decision *d, const sanction *s)
{
	const struct agency *me = d->input->agency;

	return same(s->supervisor, me->id) || (me->role == ROLE_COURT && same(s->authority, me->id));
}

/* The publisher must be the supervisor, or for the court the authority, of a running sanction, and say which where it cannot be told. */
static int relation_running(struct decision *d, Reentry__SentenceKind__Value kind)
{
	const char *ref = d->input->event->sanction;
	const state *c = d->run->state;
	const sanction *it = sanction_find(c, ref, kind, true);
	size_t running = 0, mine = 0;

	for (size_t i = 0; c && i < c->n_sanctions; i++) {
		const sanction *s = c->sanctions[i];

		if (s->kind != kind || !s->running || (ref && s != it))
			continue;
		running++;
		mine += may_act(d, s);
	}
	if (!mine)
		return refuse(d, "no-such-case", "subject: there is no such case");
	return running == 1 || (!it->ref && may_act(d, it)) ? 0 : refuse(d, "invalid-value", "sanction: several are running; name one");
}

CHECK(relation_service)
{
	return relation_running(d, KIND(COMMUNITY_SERVICE));
}

CHECK(relation_supervision)
{
	return relation_running(d, KIND(SUPERVISION));
}

/* Evolve, shared with supervision: an agency of role probation takes a sentence. */
static sanction *take(struct rules_run *run, const struct rules_record *record, Reentry__SentenceKind__Value kind)
{
	sanction *s = untaken(run->state, record->envelope->sanction, kind);

	if (!s)
		return NULL;
	s->supervisor = keep(run, record->agency);
	if (record->envelope->sanction)
		s->ref = keep(run, record->envelope->sanction);
	SET(s, running, true);
	SET(run->state, phase, PHASE(DURING));
	return s;
}

/* Evolve: the phase becomes AFTER with the last of a person who is not inside. */
static void sanction_ended(struct rules_run *run, sanction *s)
{
	UNSET(s, running);
	UNSET(s, on_hold);
	SET(s, ended, true);
	/* Only its own: a sanction of another kind may bear the same reference, or none as well. */
	timer_disarm(run->state, s->kind == KIND(SUPERVISION) ? TIMER_OVERDUE : TIMER_BEHIND, sanction_timers(s));
	if (!run->state->inside && !sanctions_running(run->state))
		SET(run->state, phase, PHASE(AFTER));
}

CHECK(check_assigned)
{
	const Reentry__ServiceAssigned *a = d->data;

	if (a->hours == 0 || a->hours > (uint32_t)d->run->policy->service_hours_max)
		return refuse(d, "invalid-value", "hours: must be 1 to %d", d->run->policy->service_hours_max);
	return 0;
}

APPLY(apply_assigned)
{
	const Reentry__ServiceAssigned *a = data;
	sanction *s = take(run, record, KIND(COMMUNITY_SERVICE));
	moment behind;

	if (!s)
		return;
	SET(s, hours, a->hours);
	SET(s, complete_by, a->complete_by->days);
	behind = policy_notice(run->policy, s->complete_by - run->policy->behind_days);
	timer_arm(run, TIMER_BEHIND, behind, sanction_timers(s), 0);
}

static int64_t booked(const sanction *s, const char *without)
{
	int64_t total = 0;

	for (size_t i = 0; i < s->n_bookings; i++)
		if (!s->bookings[i]->off && !same(s->bookings[i]->ref, without))
			total += s->bookings[i]->hours;
	return total;
}

/* The total as it would be: never negative, never above the assigned hours, whatever brings it about (domain.md 7). */
static int check_total(struct decision *d, const sanction *s, int64_t total)
{
	if (total < 0)
		return refuse(d, "invalid-value", "hours: the total would be negative");
	if (total > s->hours)
		return refuse(d, "invalid-value", "hours: the total would be %lld of %u assigned", (long long)total, s->hours);
	return 0;
}

CHECK(check_booked)
{
	const Reentry__ServiceHoursBooked *b = d->data;
	const sanction *s = sanction_find(d->run->state, d->input->event->sanction, KIND(COMMUNITY_SERVICE), true);

	return check_total(d, s, booked(s, b->booking) + b->hours);
}

CHECK(check_booking_off)
{
	const Reentry__ServiceHoursBooked *b = d->data;
	const sanction *s = sanction_find(d->run->state, d->input->event->sanction, KIND(COMMUNITY_SERVICE), true);

	return check_total(d, s, booked(s, b->booking));
}

APPLY(apply_booked)
{
	const Reentry__ServiceHoursBooked *b = data;
	sanction *s = sanction_find(run->state, record->envelope->sanction, KIND(COMMUNITY_SERVICE), true);
	Reentry__Booking *it = NULL;

	for (size_t i = 0; s && i < s->n_bookings; i++)
		if (same(s->bookings[i]->ref, b->booking))
			it = s->bookings[i];
	if (s && !it) {
		Reentry__Booking **place = ARENA_PUSH(run->arena, s->bookings, s->n_bookings);

		it = PB_NEW(run->arena, Reentry__Booking, reentry__booking);
		if (!it || !place) {
			run->error = ERR_NOMEM;
			return;
		}
		*place = it;
		it->ref = keep(run, b->booking);
	}
	if (!it)
		return;
	slot_bump(run, &it->slot, record);
	SET(it, off, record->envelope->op == OP(CANCEL) || record->envelope->op == OP(RETRACT));
	if (it->off)
		return;
	SET(it, hours, b->hours);
	SET(it, date, b->date->days);
}

APPLY(react_booked)
{
	const sanction *s = sanction_find(run->state, record->envelope->sanction, KIND(COMMUNITY_SERVICE), true);
	Reentry__ServiceCompleted completed = REENTRY__SERVICE_COMPLETED__INIT;

	(void)data;
	if (!s || booked(s, NULL) < (int64_t)s->hours)
		return;
	SET(&completed, hours, s->hours);
	emit(run, &(struct made){ .type = "community-service.completed", .data = &completed, .sanction = s->ref });
}

APPLY(apply_service_completed)
{
	sanction *s = sanction_find(run->state, record->envelope->sanction, KIND(COMMUNITY_SERVICE), true);

	(void)data;
	if (s)
		sanction_ended(run, s);
}

APPLY(apply_returned)
{
	sanction *s = sanction_find(run->state, record->envelope->sanction, KIND(COMMUNITY_SERVICE), true);

	(void)data;
	if (!s)
		return;
	SET(s, failed, true);
	timer_disarm(run->state, TIMER_BEHIND, sanction_timers(s));
}

CHECK(check_converted)
{
	const Reentry__ServiceConverted *converted = d->data;
	const sanction *s = sanction_find(d->run->state, d->input->event->sanction, KIND(COMMUNITY_SERVICE), true);
	int64_t left = (int64_t)s->hours - booked(s, NULL); /* lint: analyzer, because the row's relation was asked for: such a sanction runs */

	if ((int64_t)converted->days != (left + 1) / 2)
		return refuse(d, "invalid-value", "days: %lld hours are left, which is %lld days", (long long)left, (long long)((left + 1) / 2));
	return 0;
}

APPLY(apply_converted)
{
	sanction *s = sanction_find(run->state, record->envelope->sanction, KIND(COMMUNITY_SERVICE), true);

	(void)data;
	if (s)
		sanction_ended(run, s);
}

void fired_behind(struct rules_run *run, const Reentry__Timer *timer)
{
	const sanction *s = sanction_find(run->state, *timer->ref ? timer->ref : NULL, KIND(COMMUNITY_SERVICE), true);
	Reentry__ServiceBehind behind = REENTRY__SERVICE_BEHIND__INIT;
	Reentry__Date by = REENTRY__DATE__INIT;

	if (!s || booked(s, NULL) >= (int64_t)s->hours)
		return;
	SET(&behind, hours_left, (uint32_t)((int64_t)s->hours - booked(s, NULL)));
	SET(&by, days, s->complete_by);
	behind.complete_by = &by;
	emit(run, &(struct made){ .type = "community-service.behind", .data = &behind, .sanction = s->ref });
}

/* --- supervision (domain.md 8) ------------------------------------------------------------------------------------------------ */

CHECK(check_supervision)
{
	const Reentry__SupervisionStarted *s = d->data;

	if (s->has_interval_days && (s->interval_days == 0 || s->interval_days > 366))
		return refuse(d, "invalid-value", "interval_days: must be 1 to 366");
	return 0;
}

/* A planned contact, and three days later, at the same local time, the question whether it was held. */
static void plan(struct rules_run *run, sanction *s, moment at)
{
	SET(s, contact, at);
	timer_disarm(run->state, TIMER_OVERDUE, sanction_timers(s));
	if (!s->on_hold)
		timer_arm(run, TIMER_OVERDUE, civil_add_days(run->policy->zone, at, run->policy->contact_overdue_days), sanction_timers(s), 0);
}

APPLY(apply_supervision)
{
	const Reentry__SupervisionStarted *started = data;
	sanction *s = take(run, record, KIND(SUPERVISION));

	if (!s)
		return;
	SET(s, interval_days, started->has_interval_days ? started->interval_days : (uint32_t)run->policy->supervision_interval_days);
	if (record->event->rules_version < 2 && run->state->inside)
		SET(s, on_hold, true); /* as the first version of the rules had it */
	slot_bump(run, &s->contact_slot, record);
	plan(run, s, started->first_contact->ms);
}

APPLY(apply_contact_planned)
{
	const Reentry__ContactPlanned *planned = data;
	sanction *s = sanction_find(run->state, record->envelope->sanction, KIND(SUPERVISION), true);

	if (!s)
		return;
	slot_bump(run, &s->contact_slot, record);
	if (record->envelope->op == OP(CANCEL) || record->envelope->op == OP(RETRACT)) {
		UNSET(s, contact);
		timer_disarm(run->state, TIMER_OVERDUE, sanction_timers(s));
		return;
	}
	plan(run, s, planned->at->ms);
}

CHECK(check_contact)
{
	const sanction *s = sanction_find(d->run->state, d->input->event->sanction, KIND(SUPERVISION), true);

	return s->has_contact ? 0 : refuse(d, "invalid-value", "subject: no contact is planned"); /* lint: analyzer, because the row's relation was asked for: such a sanction runs */
}

/* Held and missed alike: the next is due an interval after the planned moment of this one, at the same local time. */
APPLY(apply_contact_done)
{
	sanction *s = sanction_find(run->state, record->envelope->sanction, KIND(SUPERVISION), true);

	(void)data;
	if (s && s->has_contact)
		plan(run, s, civil_add_days(run->policy->zone, s->contact, (int)s->interval_days));
}

APPLY(apply_supervision_ended)
{
	sanction *s = sanction_find(run->state, record->envelope->sanction, KIND(SUPERVISION), true);

	(void)data;
	if (s)
		sanction_ended(run, s);
}

void fired_overdue(struct rules_run *run, const Reentry__Timer *timer)
{
	const sanction *s = sanction_find(run->state, *timer->ref ? timer->ref : NULL, KIND(SUPERVISION), true);
	Reentry__ContactOverdue overdue = REENTRY__CONTACT_OVERDUE__INIT;
	Reentry__Moment at = REENTRY__MOMENT__INIT;

	if (!s || !s->has_contact || s->on_hold)
		return;
	SET(&at, ms, s->contact);
	overdue.planned_at = &at;
	emit(run, &(struct made){ .type = "supervision.contact-overdue", .data = &overdue, .sanction = s->ref });
}

void supervision_hold(struct rules_run *run)
{
	for (size_t i = 0; i < run->state->n_sanctions; i++) {
		sanction *s = run->state->sanctions[i];

		if (s->kind != KIND(SUPERVISION) || !s->running)
			continue;
		SET(s, on_hold, true);
		timer_disarm(run->state, TIMER_OVERDUE, sanction_timers(s));
	}
}

/* The confirmed release takes supervision back; the next contact is an interval later. */
void supervision_resume(struct rules_run *run)
{
	for (size_t i = 0; i < run->state->n_sanctions; i++) {
		sanction *s = run->state->sanctions[i];

		if (!s->running || !s->on_hold)
			continue;
		UNSET(s, on_hold);
		plan(run, s, civil_add_days(run->policy->zone, run->now, (int)s->interval_days));
	}
}

void supervision_restore(struct rules_run *run)
{
	for (size_t i = 0; i < run->state->n_sanctions; i++) {
		sanction *s = run->state->sanctions[i];

		if (!s->running || !s->on_hold)
			continue;
		UNSET(s, on_hold);
		if (s->has_contact)
			plan(run, s, s->contact);
	}
}
