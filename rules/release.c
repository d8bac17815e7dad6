/* Release dates, the order of a court, the gate (domain.md 4.3 to 4.5). */
#include <stdio.h>

#include "lib/pb.h"
#include "rules/handlers.h"

#define CLOCK_SKEW_MAX (5 * 60 * 1000) /* ms that a prison's clock may be ahead of ours */

bool release_counts(const state *c)
{
	return c->inside && c->has_release_date && !c->released;
}

void release_forget(state *c)
{
	countdown_disarm(c, false);
	timer_disarm(c, TIMER_HOLD, NULL);
	timer_disarm(c, TIMER_STILL_UNKNOWN, NULL);
	UNSET(c, release_date);
	UNSET(c, release_kind);
	UNSET(c, ordered);
	UNSET(c, released);
	UNSET(c, recorded_release);
	c->recorded_event = c->confirmed_event = NULL;
	c->n_confirmed_to = 0;
	c->confirmed_to = NULL;
	c->n_suspended = 0;
	c->suspended = NULL;
}

CHECK(check_inside)
{
	return d->run->state->inside ? 0 : refuse(d, "invalid-value", "subject: the person is not in custody");
}

/* --- release.date-set, release.date-unknown ----------------------------------------------------------------------------------- */

/* Fridays, weekends, holidays and the day before one: nobody is there to help (domain.md 4.3). */
static void warn_of_day(struct decision *d, civil_date date)
{
	const struct policy *policy = d->run->policy;
	const char *what = NULL;

	if (civil_is_holiday(policy->holidays, policy->n_holidays, date))
		what = "a holiday";
	else if (civil_weekday(date) > 4)
		what = "in a weekend";
	else if (civil_weekday(date) == 4)
		what = "a Friday";
	else if (civil_is_holiday(policy->holidays, policy->n_holidays, date + 1))
		what = "the day before a holiday";
	if (what)
		(void)snprintf(d->verdict->detail, sizeof d->verdict->detail, "date: is %s; help may be hard to reach", what);
}

CHECK(check_release_date)
{
	const Reentry__ReleaseDateSet *set = d->data;

	if (check_inside(d))
		return -1;
	if (set->date->days < policy_today(d->run->policy, d->run->now))
		return refuse(d, "invalid-value", "date: lies in the past");
	warn_of_day(d, set->date->days);
	return 0;
}

/* Everything that the old version armed dies here, and the new is armed, in one evolving. */
static void new_version(struct rules_run *run, const struct rules_record *record)
{
	state *c = run->state;

	slot_bump(run, &c->release_slot, record);
	countdown_disarm(c, false);
	timer_disarm(c, TIMER_STILL_UNKNOWN, NULL);
	if (c->has_release_date)
		SET(c, old_release_date, c->release_date);
	else
		UNSET(c, old_release_date);
	UNSET(c, release_date);
	UNSET(c, release_kind);
	UNSET(c, ordered);
}

APPLY(apply_release_date)
{
	const Reentry__ReleaseDateSet *set = data;
	state *c = run->state;

	new_version(run, record);
	if (record->envelope->op == OP(CANCEL) || record->envelope->op == OP(RETRACT))
		return;
	SET(c, release_date, set->date->days);
	SET(c, release_kind, set->kind);
	countdown_arm(run, false, c->release_date);
}

APPLY(apply_release_unknown)
{
	civil_date today = policy_today(run->policy, run->now);

	(void)data;
	new_version(run, record);
	if (record->envelope->op == OP(CANCEL) || record->envelope->op == OP(RETRACT))
		return;
	timer_arm(run, TIMER_STILL_UNKNOWN, policy_notice(run->policy, today + run->policy->still_unknown_days), NULL, 0);
}

APPLY(react_release_date)
{
	const state *c = run->state;

	(void)record;
	(void)data; /* the state says it all */
	if (release_counts(c))
		countdown_begin(run, false);
	handovers_release_changed(run, c->has_old_release_date, c->old_release_date);
	/* Milestone 2 of this version lies behind: also what its date has just put in RECONFIRM. */
	if (release_counts(c) && milestone_passed(run, run->policy->gap_milestone_urgent))
		handovers_escalate(run);
}

void fired_still_unknown(struct rules_run *run, const Reentry__Timer *timer)
{
	Reentry__Nothing nothing = REENTRY__NOTHING__INIT;

	(void)timer; /* there is one per case */
	if (run->state->inside && !run->state->has_release_date)
		emit(run, &(struct made){ .type = "release.still-unknown", .data = &nothing });
}

/* --- release.ordered ------------------------------------------------------------------------------------------------------------- */

APPLY(apply_ordered)
{
	state *c = run->state;

	(void)data;
	new_version(run, record);
	if (record->envelope->op == OP(CANCEL) || record->envelope->op == OP(RETRACT))
		return;
	SET(c, release_date, policy_today(run->policy, run->now));
	SET(c, ordered, true);
}

static void confirm(struct rules_run *run)
{
	Reentry__Released released = REENTRY__RELEASED__INIT;
	Reentry__Moment at = REENTRY__MOMENT__INIT;

	working(run)->cause = run->state->recorded_event;
	SET(&at, ms, run->state->recorded_release);
	released.released_at = &at;
	emit(run, &(struct made){ .type = "release.confirmed", .data = &released });
}

APPLY(react_ordered)
{
	const state *c = run->state;

	(void)record;
	(void)data;
	handovers_release_changed(run, c->has_old_release_date, c->old_release_date);
	if (c->ordered && c->has_recorded_release && !c->released)
		confirm(run); /* the hold must not delay a court's order */
}

/* --- recorded, confirmed, reversed --------------------------------------------------------------------------------------------------- */

CHECK(check_recorded)
{
	const Reentry__Released *released = d->data;

	if (check_inside(d))
		return -1;
	if (d->run->state->has_recorded_release)
		return refuse(d, "invalid-value", "subject: a release has been recorded already; release.reversed takes it back");
	if (released->released_at->ms > d->run->now + CLOCK_SKEW_MAX)
		return refuse(d, "invalid-value", "released_at: lies in the future");
	return 0;
}

APPLY(apply_recorded)
{
	const Reentry__Released *released = data;
	state *c = run->state;

	SET(c, recorded_release, released->released_at->ms);
	c->recorded_event = keep(run, record->envelope->id);
	if (!c->ordered)
		timer_arm(run, TIMER_HOLD, run->now + run->policy->confirm_hold, NULL, 0);
}

APPLY(react_recorded)
{
	(void)record;
	(void)data;
	if (run->state->ordered)
		confirm(run);
}

void fired_hold(struct rules_run *run, const Reentry__Timer *timer)
{
	(void)timer; /* there is one per case */
	if (run->state->has_recorded_release && !run->state->released)
		confirm(run);
}

/* What a confirmed release ends, and a wrong one brings back. */
static const enum timer_kind ended_by_release[] = { TIMER_MILESTONE, TIMER_CHECK, TIMER_SCREENING, TIMER_STILL_UNKNOWN };

static void suspend(struct rules_run *run)
{
	state *c = run->state;

	c->n_suspended = 0;
	c->suspended = NULL;
	for (size_t k = 0; k < sizeof ended_by_release / sizeof *ended_by_release; k++) {
		for (size_t i = 0; i < c->n_timers; i++) {
			Reentry__Timer **place;

			if (c->timers[i]->kind != ended_by_release[k])
				continue;
			place = ARENA_PUSH(run->arena, c->suspended, c->n_suspended);
			if (!place) {
				run->error = ERR_NOMEM;
				return;
			}
			*place = c->timers[i];
		}
		timer_disarm(c, ended_by_release[k], NULL);
	}
}

static void confirmed(struct rules_run *run, const struct rules_record *record)
{
	state *c = run->state;

	suspend(run);
	timer_disarm(c, TIMER_HOLD, NULL);
	SET(c, released, true);
	UNSET(c, inside);
	SET(c, phase, PHASE(AFTER));
	c->confirmed_event = keep(run, record->envelope->id);
	c->n_confirmed_to = 0;
	c->confirmed_to = NULL;
	followups_arm(run);
	handovers_resume(run);
	supervision_resume(run);
}

static void unconfirmed(struct rules_run *run)
{
	state *c = run->state;

	UNSET(c, released);
	UNSET(c, recorded_release);
	c->recorded_event = NULL;
	SET(c, inside, true);
	SET(c, phase, PHASE(DURING));
	followups_off(c);
	timer_disarm(c, TIMER_RETENTION, NULL);
	supervision_hold(run);
	handovers_hold_again(run);
	/* What had not fired is armed again, also where its moment passed meanwhile: it is then told at once, as after a standstill. */
	for (size_t i = 0; i < c->n_suspended; i++)
		if (c->suspended[i]->kind != TIMER_SCREENING || !c->screened)
			timer_arm(run, (enum timer_kind)c->suspended[i]->kind, c->suspended[i]->due, NULL, c->suspended[i]->n);
	c->n_suspended = 0;
	c->suspended = NULL;
}

APPLY(apply_confirmed)
{
	(void)data;
	if (record->envelope->op == OP(RETRACT))
		unconfirmed(run);
	else
		confirmed(run, record);
}

CHECK(check_reversed)
{
	return d->run->state->has_recorded_release ? 0 : refuse(d, "invalid-value", "subject: no release has been recorded");
}

APPLY(apply_reversed)
{
	state *c = run->state;

	(void)record;
	(void)data;
	if (c->released)
		return; /* the RETRACT of release.confirmed undoes it */
	timer_disarm(c, TIMER_HOLD, NULL);
	UNSET(c, recorded_release);
	c->recorded_event = NULL;
}

APPLY(react_reversed)
{
	const state *c = run->state;
	Reentry__Released released = REENTRY__RELEASED__INIT;
	Reentry__Moment at = REENTRY__MOMENT__INIT;

	(void)record;
	(void)data;
	if (!c->released)
		return;
	SET(&at, ms, c->recorded_release);
	released.released_at = &at;
	emit(run, &(struct made){ .type = "release.confirmed", .data = &released, .op = OP(RETRACT), .target = c->confirmed_event });
}
