/* Offers and their clocks: deadlines, reminders, what follows a refusal (domain.md 6.3). */
#include "lib/pb.h"
#include "rules/handlers.h"

static moment earlier(moment a, moment b)
{
	return a < b ? a : b;
}

/* day_end of the day before the release, if a release date binds this offer; false if none does. */
static bool release_cap(const struct rules_run *run, moment *ret_cap)
{
	if (!release_counts(run->state))
		return false;
	*ret_cap = policy_day_end(run->policy, run->state->release_date - 1);
	return true;
}

static moment ordinary_deadline(const struct rules_run *run, const handover *h)
{
	civil_date day = policy_today(run->policy, h->offered_at);
	moment by = policy_day_end(run->policy, policy_working_days(run->policy, day, run->policy->offer_days));

	return h->has_explicit_by ? earlier(by, h->explicit_by) : by;
}

/* Decide by when: three working days, capped by the release, two hours when urgent. asked_urgent: the publisher said URGENT. */
void offer_deadline(const struct rules_run *run, const handover *h, bool asked_urgent, moment *ret_by, bool *ret_urgent)
{
	moment by = ordinary_deadline(run, h), cap;
	bool capped = release_cap(run, &cap);

	/* An order makes every later offer urgent, also those after the gate has closed behind the person (4.4). */
	*ret_urgent = asked_urgent || run->state->ordered || (capped && cap <= run->now);
	if (capped && cap > run->now)
		by = earlier(by, cap);
	*ret_by = *ret_urgent ? earlier(by, run->now + run->policy->offer_urgent) : by;
}

/* The first notice_time of a working day at or after half-way. */
static moment half_way(const struct rules_run *run, const handover *h)
{
	const struct policy *policy = run->policy;
	moment half = h->offered_at + (h->decide_by - h->offered_at) / 2;
	civil_date day = policy_today(policy, half);

	if (policy_notice(policy, day) < half || !civil_is_working_day(policy->holidays, policy->n_holidays, day))
		day = policy_working_days(policy, day, 1);
	return policy_notice(policy, day);
}

/* Evolve: arms what an open offer waits for. */
void offer_timers(struct rules_run *run, handover *h)
{
	timer_disarm(run->state, TIMER_DEADLINE, h->ref);
	timer_disarm(run->state, TIMER_REMIND, h->ref);
	timer_arm(run, TIMER_DEADLINE, h->decide_by, h->ref, h->offer);
	if (h->urgent) {
		moment next = run->now + run->policy->urgent_reminder;

		if (!h->received && !timer_find(run->state, TIMER_URGENT_REMIND, h->ref) && next < h->decide_by)
			timer_arm(run, TIMER_URGENT_REMIND, next, h->ref, h->offer);
		return;
	}
	if (!h->reminded) {
		moment at = half_way(run, h);

		if (at < h->decide_by && at > run->now)
			timer_arm(run, TIMER_REMIND, at, h->ref, h->offer);
	}
}

void offer_timers_off(state *c, const char *ref)
{
	timer_disarm(c, TIMER_DEADLINE, ref);
	timer_disarm(c, TIMER_REMIND, ref);
	timer_disarm(c, TIMER_URGENT_REMIND, ref);
	timer_disarm(c, TIMER_START_REPORT, ref);
}

static void remind(struct rules_run *run, const handover *h, moment by, bool urgent)
{
	Reentry__HandoverReminder reminder = REENTRY__HANDOVER_REMINDER__INIT;
	Reentry__Moment decide_by = REENTRY__MOMENT__INIT;

	reminder.handover = h->ref;
	SET(&reminder, offer, h->offer);
	SET(&decide_by, ms, by);
	reminder.decide_by = handover_open(h) ? &decide_by : NULL;
	emit(run, &(struct made){ .type = "handover.reminder", .data = &reminder, .urgent = urgent });
}

/* Evolve: a reminder may carry a new deadline, and may make the offer urgent. */
APPLY(apply_reminder)
{
	const Reentry__HandoverReminder *reminder = data;
	handover *h = handover_find(run->state, reminder->handover);

	if (!h || !handover_open(h) || !reminder->decide_by)
		return;
	if (reminder->decide_by->ms == h->decide_by && (h->urgent || record->envelope->priority != URGENT))
		return;
	if (reminder->decide_by->ms != h->decide_by && record->event->rules_version >= 3)
		UNSET(h, reminded); /* a new deadline has a half-way of its own (6.3) */
	SET(h, decide_by, reminder->decide_by->ms);
	if (record->envelope->priority == URGENT)
		SET(h, urgent, true);
	offer_timers(run, h);
}

void fired_remind(struct rules_run *run, const Reentry__Timer *timer)
{
	const handover *h = handover_find(run->state, timer->ref);

	if (h && handover_open(h))
		remind(run, h, h->decide_by, h->urgent);
}

/* --- what follows an expiry or a decline ------------------------------------------------------------------------------------- */

static void offer_next(struct rules_run *run, const handover *h)
{
	Reentry__HandoverOffered next = REENTRY__HANDOVER_OFFERED__INIT;
	Reentry__HandoverStep step = REENTRY__HANDOVER_STEP__INIT;
	Reentry__Date start_by = REENTRY__DATE__INIT;
	size_t i = 0;

	while (i < h->n_then && (same(h->then[i], h->to) || !policy_agency(run->policy, h->then[i])))
		i++; /* 6.3: "another agency", not the one that has just said no; or no longer takes part */
	if (i == h->n_then) {
		step.handover = h->ref;
		SET(&step, offer, h->offer);
		emit(run, &(struct made){ .type = "handover.unplaced", .data = &step });
		return;
	}
	next.handover = h->ref;
	next.to = h->then[i];
	SET(&next, need, h->need);
	next.region = h->region;
	next.support = h->support;
	if (h->has_start_by) {
		SET(&start_by, days, h->start_by);
		next.start_by = &start_by;
	}
	next.then = h->then + i + 1;
	next.n_then = h->n_then - i - 1;
	emit(run, &(struct made){ .type = "handover.offered", .data = &next, .urgent = h->urgent });
}

APPLY(react_declined)
{
	const Reentry__HandoverRefused *refused = data;

	(void)record;
	offer_next(run, handover_find(run->state, refused->handover));
}

void fired_deadline(struct rules_run *run, const Reentry__Timer *timer)
{
	const handover *h = handover_find(run->state, timer->ref);
	Reentry__HandoverStep step = REENTRY__HANDOVER_STEP__INIT;

	if (!h || !handover_open(h))
		return;
	step.handover = h->ref;
	SET(&step, offer, h->offer);
	if (emit(run, &(struct made){ .type = "handover.expired", .data = &step }))
		offer_next(run, h);
}

void fired_start_report(struct rules_run *run, const Reentry__Timer *timer)
{
	const handover *h = handover_find(run->state, timer->ref);
	Reentry__HandoverStep step = REENTRY__HANDOVER_STEP__INIT;

	if (!h || !(h->state == HANDOVER(ACCEPTED) || h->state == HANDOVER(RECONFIRM)))
		return;
	remind(run, h, 0, false);
	step.handover = h->ref;
	SET(&step, offer, h->offer);
	emit(run, &(struct made){ .type = "handover.escalated", .data = &step, .receivers = REL_MUNICIPALITY });
}

/* --- a release date that moves ------------------------------------------------------------------------------------------------- */

static void deadline_moves(struct rules_run *run, const handover *h)
{
	bool ordered = run->state->ordered && release_counts(run->state);
	moment cap, by = ordinary_deadline(run, h);
	bool capped = release_cap(run, &cap);
	bool urgent = ordered || (capped && cap <= run->now);

	if (h->urgent)
		by = capped && cap > run->now ? earlier(h->decide_by, cap) : h->decide_by;
	else if (urgent)
		by = earlier(h->decide_by, run->now + run->policy->offer_urgent);
	else if (capped)
		by = earlier(by, cap);
	if (by != h->decide_by || (urgent && !h->urgent))
		remind(run, h, by, urgent || h->urgent);
}

/* A date that now lies before an accepted start: has the provider a bed for those nights? (6.3) */
static bool must_reconfirm(const struct rules_run *run, const handover *h, bool had_date, civil_date old_date)
{
	civil_date date = run->state->release_date;

	if (!(h->state == HANDOVER(ACCEPTED) || h->state == HANDOVER(RECONFIRM)) || !h->has_start_date || date >= h->start_date)
		return false;
	return !had_date || date < old_date;
}

void handovers_release_changed(struct rules_run *run, bool had_date, civil_date old_date)
{
	const state *c = run->state;

	for (size_t i = 0; i < c->n_handovers && !run->error; i++) {
		const handover *h = c->handovers[i];
		Reentry__HandoverStep step = REENTRY__HANDOVER_STEP__INIT;

		if (handover_open(h)) {
			deadline_moves(run, h);
		} else if (release_counts(c) && must_reconfirm(run, h, had_date, old_date)) {
			step.handover = h->ref;
			SET(&step, offer, h->offer);
			emit(run, &(struct made){ .type = "handover.reconfirm", .data = &step });
		}
	}
}

void handovers_escalate(struct rules_run *run)
{
	const state *c = run->state;

	for (size_t i = 0; release_counts(c) && i < c->n_handovers && !run->error; i++) {
		const handover *h = c->handovers[i];
		Reentry__HandoverStep step = REENTRY__HANDOVER_STEP__INIT;

		if (!handover_open(h) && !h->unplaced && h->state != HANDOVER(RECONFIRM))
			continue;
		step.handover = h->ref;
		SET(&step, offer, h->offer);
		emit(run, &(struct made){ .type = "handover.escalated", .data = &step, .urgent = true });
	}
}

/* A closed case asks nobody anything: open offers end, and whoever had one hears it. */
void handovers_close(struct rules_run *run)
{
	for (size_t i = 0; i < run->state->n_handovers && !run->error; i++) {
		const handover *h = run->state->handovers[i];
		Reentry__HandoverStep step = REENTRY__HANDOVER_STEP__INIT;

		if (!handover_open(h))
			continue;
		step.handover = h->ref;
		SET(&step, offer, h->offer);
		emit(run, &(struct made){ .type = "handover.withdrawn", .data = &step });
	}
}

/* --- re-arrest ------------------------------------------------------------------------------------------------------------------- */

/* `held` stays when a release takes the handover back: should the release be reversed, it is on hold again. */
void handover_hold(struct rules_run *run, handover *h)
{
	if (h->state != HANDOVER(ACCEPTED) && h->state != HANDOVER(RECONFIRM) && h->state != HANDOVER(STARTED))
		return;
	SET(h, held, h->state);
	SET(h, state, HANDOVER(ON_HOLD));
	timer_disarm(run->state, TIMER_START_REPORT, h->ref);
}

void handovers_hold(struct rules_run *run)
{
	for (size_t i = 0; i < run->state->n_handovers; i++)
		handover_hold(run, run->state->handovers[i]);
}

void handovers_hold_again(struct rules_run *run)
{
	for (size_t i = 0; i < run->state->n_handovers; i++)
		if (run->state->handovers[i]->has_held)
			handover_hold(run, run->state->handovers[i]);
}

void handovers_resume(struct rules_run *run)
{
	for (size_t i = 0; i < run->state->n_handovers; i++) {
		handover *h = run->state->handovers[i];
		civil_date from;

		if (h->state != HANDOVER(ON_HOLD)) {
			UNSET(h, held); /* of an earlier custody: this release takes nothing back */
			continue;
		}
		SET(h, state, h->held);
		if (h->state == HANDOVER(STARTED))
			continue;
		from = policy_today(run->policy, run->now);
		if (h->start_date > from)
			from = h->start_date;
		timer_arm(run, TIMER_START_REPORT, policy_day_end(run->policy, policy_working_days(run->policy, from, run->policy->start_report_days)), h->ref, h->offer);
	}
}
