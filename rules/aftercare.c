/* After release: follow-ups, consent, retention, closing; and deliveries that nobody acknowledges (domain.md 3.2, 9). */
#include "lib/pb.h"
#include "rules/handlers.h"

/* --- follow-ups ------------------------------------------------------------------------------------------------------------- */

void followups_arm(struct rules_run *run)
{
	state *c = run->state;
	civil_date day = civil_date_of(run->policy->zone, c->recorded_release);

	followups_off(c);
	for (size_t i = 0; i < run->policy->n_followup_days; i++) {
		uint32_t n = run->policy->followup_days[i];

		timer_arm(run, TIMER_FOLLOWUP, policy_notice(run->policy, day + (civil_date)n), NULL, n);
	}
}

void followups_off(state *c)
{
	timer_disarm(c, TIMER_FOLLOWUP, NULL);
	timer_disarm(c, TIMER_FOLLOWUP_REMIND, NULL);
	c->followups = NULL;
	c->n_followups = 0;
}

static Reentry__Followup *followup_find(const state *c, uint32_t day)
{
	for (size_t i = 0; i < c->n_followups; i++)
		if (c->followups[i]->day == day)
			return c->followups[i];
	return NULL;
}

static Reentry__Followup *followup_make(struct rules_run *run, uint32_t day)
{
	state *c = run->state;
	Reentry__Followup *f = followup_find(c, day);
	Reentry__Followup **place;

	if (f)
		return f;
	f = PB_NEW(run->arena, Reentry__Followup, reentry__followup);
	place = ARENA_PUSH(run->arena, c->followups, c->n_followups);
	if (!f || !place) {
		run->error = ERR_NOMEM;
		return NULL;
	}
	*place = f;
	SET(f, day, day);
	return f;
}

/* Due, and once more where nobody has reported it after three working days. */
void fired_followup(struct rules_run *run, const Reentry__Timer *timer)
{
	Reentry__FollowupDue due = REENTRY__FOLLOWUP_DUE__INIT;
	const Reentry__Followup *f = followup_find(run->state, (uint32_t)timer->n);

	if (f && f->done)
		return;
	SET(&due, day, (uint32_t)timer->n);
	emit(run, &(struct made){ .type = "followup.due", .data = &due });
}

APPLY(apply_followup_due)
{
	const Reentry__FollowupDue *due = data;
	Reentry__Followup *f = followup_find(run->state, due->day);
	civil_date today = policy_today(run->policy, run->now);

	(void)record;
	if (f) {
		SET(f, reminded, true);
		return;
	}
	if (!followup_make(run, due->day))
		return;
	timer_arm(run, TIMER_FOLLOWUP_REMIND, policy_notice(run->policy, policy_working_days(run->policy, today, run->policy->followup_reminder_days)), NULL, due->day);
}

CHECK(check_followup)
{
	const Reentry__FollowupDone *done = d->data;

	if (!d->run->state->released)
		return refuse(d, "invalid-value", "day: nobody is out after a release on this case");
	for (size_t i = 0; i < d->run->policy->n_followup_days; i++)
		if (d->run->policy->followup_days[i] == done->day)
			return 0;
	return refuse(d, "invalid-value", "day: there is no follow-up on that day after release");
}

APPLY(apply_followup_done)
{
	const Reentry__FollowupDone *done = data;
	Reentry__Followup *f = followup_make(run, done->day);

	(void)record;
	if (f)
		SET(f, done, true);
	timer_disarm_n(run->state, TIMER_FOLLOWUP_REMIND, NULL, done->day);
}

/* --- consent ------------------------------------------------------------------------------------------------------------------- */

/* Exclusive; a day counts to its end. INT64_MAX: without end. */
static moment consent_until(const struct rules_run *run, const Reentry__ConsentGiven *given)
{
	if (given->until && given->until->has_ms)
		return given->until->ms;
	return given->until && given->until->has_days ? civil_moment(run->policy->zone, given->until->days + 1, 0) : INT64_MAX;
}

CHECK(check_consent)
{
	const char *to = d->row->payload == &reentry__consent_given__descriptor
		? ((const Reentry__ConsentGiven *)d->data)->to : ((const Reentry__ConsentWithdrawn *)d->data)->to;

	if (!policy_agency(d->run->policy, to))
		return refuse(d, "invalid-value", "to: is no agency; see reentry directory");
	if (d->row->payload == &reentry__consent_given__descriptor && consent_until(d->run, d->data) <= d->run->now)
		return refuse(d, "invalid-value", "until: lies in the past");
	return 0;
}

static void consent_off(state *c, const char *to, Reentry__Class__Value class)
{
	size_t kept = 0;

	for (size_t i = 0; i < c->n_consents; i++)
		if (!same(c->consents[i]->to, to) || c->consents[i]->class_ != class)
			c->consents[kept++] = c->consents[i];
	c->n_consents = kept;
	timer_disarm_n(c, TIMER_CONSENT, to, (uint64_t)class);
}

APPLY(apply_consent_given)
{
	const Reentry__ConsentGiven *given = data;
	state *c = run->state;
	Reentry__Consent *consent;
	Reentry__Consent **place;

	consent_off(c, given->to, given->class_);
	consent = PB_NEW(run->arena, Reentry__Consent, reentry__consent);
	place = ARENA_PUSH(run->arena, c->consents, c->n_consents);
	if (!consent || !place) {
		run->error = ERR_NOMEM;
		return;
	}
	*place = consent;
	consent->to = keep(run, given->to);
	SET(consent, class_, given->class_);
	consent->publisher = keep(run, record->agency);
	if (consent_until(run, given) != INT64_MAX) {
		SET(consent, until, consent_until(run, given));
		timer_arm(run, TIMER_CONSENT, consent->until, given->to, (uint64_t)given->class_);
	}
}

/* What is queued and not acknowledged is stopped by the record's `stopped` list (route.c fills it, the core acts on it). */
APPLY(apply_consent_withdrawn)
{
	const Reentry__ConsentWithdrawn *withdrawn = data;

	(void)record;
	consent_off(run->state, withdrawn->to, withdrawn->class_);
}

/* The end of a consent says nothing to anybody; access is a question of the moment, and the record stops what is queued. */
void fired_consent(struct rules_run *run, const Reentry__Timer *timer)
{
	(void)run;
	(void)timer;
}

/* --- retention -------------------------------------------------------------------------------------------------------------------- */

void retention_arm(struct rules_run *run, const Reentry__Told *told)
{
	timer_disarm(run->state, TIMER_RETENTION, told->agency);
	timer_arm(run, TIMER_RETENTION, policy_notice(run->policy, civil_add_months(told->date, run->policy->retention_months)), told->agency, 0);
}

void retention_told(struct rules_run *run, const char *agency, size_t guess, civil_date date)
{
	state *c = run->state;
	Reentry__Told *told = NULL;

	if (guess < c->n_told && same(c->told[guess]->agency, agency))
		told = c->told[guess];
	for (size_t i = 0; i < c->n_told && !told; i++)
		if (same(c->told[i]->agency, agency))
			told = c->told[i];
	if (!told) {
		Reentry__Told **place = ARENA_PUSH(run->arena, c->told, c->n_told);

		told = PB_NEW(run->arena, Reentry__Told, reentry__told);
		if (!told || !place) {
			run->error = ERR_NOMEM;
			return;
		}
		*place = told;
		told->agency = keep(run, agency);
	}
	SET(told, date, date);
	if (c->released)
		retention_arm(run, told);
}

void retention_arm_all(struct rules_run *run)
{
	for (size_t i = 0; i < run->state->n_told; i++)
		retention_arm(run, run->state->told[i]);
}

void retention_forget(state *c, const char *agency)
{
	size_t kept = 0;

	for (size_t i = 0; i < c->n_told; i++)
		if (!same(c->told[i]->agency, agency))
			c->told[kept++] = c->told[i];
	c->n_told = kept;
	timer_disarm(c, TIMER_RETENTION, agency);
}

void fired_retention(struct rules_run *run, const Reentry__Timer *timer)
{
	Reentry__Erasure erasure = REENTRY__ERASURE__INIT;

	emit(run, &(struct made){ .type = "erasure.due", .data = &erasure, .named = timer->ref });
}

APPLY(apply_erasure_executed)
{
	(void)data;
	retention_forget(run->state, record->agency);
}

/* --- closing ------------------------------------------------------------------------------------------------------------------------ */

APPLY(apply_closed)
{
	(void)record;
	(void)data;
	SET(run->state, closed, true);
	timers_close(run);
}

APPLY(react_closed)
{
	(void)record;
	(void)data;
	handovers_close(run);
}

void case_reopen(struct rules_run *run)
{
	if (!run->state->closed)
		return;
	UNSET(run->state, closed);
	timers_reopen(run);
	if (!timer_find(run->state, TIMER_UNASSIGNED, NULL))
		UNSET(run->state, desk_told); /* the desk is reminded anew */
}

/* --- deliveries ---------------------------------------------------------------------------------------------------------------------- */

void fired_delivery(struct rules_run *run, const Reentry__Timer *timer)
{
	Reentry__DeliveryOverdue overdue = REENTRY__DELIVERY_OVERDUE__INIT;
	const Reentry__Pending *pending = NULL;

	for (size_t i = 0; i < run->state->n_pending; i++)
		if (run->state->pending[i]->position == timer->n && same(run->state->pending[i]->agency, timer->ref))
			pending = run->state->pending[i];
	if (!pending)
		return;
	overdue.to = pending->agency;
	SET(&overdue, overdue_sequence, pending->position);
	working(run)->cause = pending->event;
	emit(run, &(struct made){ .type = "delivery.overdue", .data = &overdue,
		.named = relations_of_agency(run->state, run->policy, pending->publisher) & REL_ALL ? pending->publisher : NULL });
}
