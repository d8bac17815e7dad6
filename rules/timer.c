/* Deadlines: they live in the case's state, so that they die with what armed them. */
#include "lib/pb.h"
#include "rules/internal.h"

static void still_unknown_again(struct rules_run *run, const Reentry__Timer *fired);
static void urgent_again(struct rules_run *run, const Reentry__Timer *fired);
static void retention_again(struct rules_run *run, const Reentry__Timer *fired);
static void reminded(struct rules_run *run, const Reentry__Timer *fired);
static void delivery_done(struct rules_run *run, const Reentry__Timer *fired);
static void consent_over(struct rules_run *run, const Reentry__Timer *fired);

/* One row per kind: its name for people, what a due one leads to, and what using it up changes beyond its removal. */
static const struct {
	const char *name;
	void (*fire)(struct rules_run *, const Reentry__Timer *);
	void (*consume)(struct rules_run *, const Reentry__Timer *);
} kinds[TIMER_KINDS] = {
	[TIMER_HOLD] = { "confirm-hold", fired_hold, NULL },
	[TIMER_MILESTONE] = { "milestone", fired_milestone, NULL },
	[TIMER_START_MILESTONE] = { "start-milestone", fired_milestone, NULL },
	[TIMER_CHECK] = { "gap-check", fired_check, NULL },
	[TIMER_START_CHECK] = { "start-gap-check", fired_check, NULL },
	[TIMER_SCREENING] = { "screening", fired_screening, NULL },
	[TIMER_STILL_UNKNOWN] = { "still-unknown", fired_still_unknown, still_unknown_again },
	[TIMER_UNASSIGNED] = { "unassigned", fired_unassigned, NULL },
	[TIMER_FOLLOWUP] = { "followup", fired_followup, NULL },
	[TIMER_FOLLOWUP_REMIND] = { "followup-reminder", fired_followup, NULL },
	[TIMER_DEADLINE] = { "offer-deadline", fired_deadline, NULL },
	[TIMER_REMIND] = { "offer-reminder", fired_remind, reminded },
	[TIMER_URGENT_REMIND] = { "urgent-reminder", fired_remind, urgent_again },
	[TIMER_START_REPORT] = { "start-report", fired_start_report, NULL },
	[TIMER_DELIVERY] = { "delivery", fired_delivery, delivery_done },
	[TIMER_BEHIND] = { "service-behind", fired_behind, NULL },
	[TIMER_OVERDUE] = { "contact-overdue", fired_overdue, NULL },
	[TIMER_RETENTION] = { "retention", fired_retention, retention_again },
	[TIMER_CONSENT] = { "consent-end", fired_consent, consent_over },
};

const char *rules_timer_name(uint32_t kind)
{
	return kind > 0 && kind < TIMER_KINDS ? kinds[kind].name : "unknown";
}

void timer_arm(struct rules_run *run, enum timer_kind kind, moment due, const char *ref, uint64_t n)
{
	state *c = run->state;
	Reentry__Timer *timer;
	Reentry__Timer **place;

	timer_disarm_n(c, kind, ref, n);
	timer = PB_NEW(run->arena, Reentry__Timer, reentry__timer);
	place = ARENA_PUSH(run->arena, c->timers, c->n_timers);
	if (!timer || !place) {
		run->error = ERR_NOMEM;
		c->n_timers -= place ? 1 : 0;
		return;
	}
	*place = timer;
	SET(timer, kind, kind);
	SET(timer, due, due);
	SET(timer, n, n);
	timer->ref = keep(run, ref);
}

static void disarm(state *c, enum timer_kind kind, const char *ref, bool any_ref, const uint64_t *n)
{
	size_t kept = 0;

	for (size_t i = 0; i < c->n_timers; i++) {
		const Reentry__Timer *t = c->timers[i];
		bool ref_fits = any_ref || same(t->ref, ref) || (!t->ref && !ref);

		if (t->kind != kind || !ref_fits || (n && t->n != *n))
			c->timers[kept++] = c->timers[i];
	}
	c->n_timers = kept;
}

void timer_disarm(state *c, enum timer_kind kind, const char *ref)
{
	disarm(c, kind, ref, ref == NULL, NULL);
}

void timer_disarm_n(state *c, enum timer_kind kind, const char *ref, uint64_t n)
{
	disarm(c, kind, ref, false, &n);
}

const Reentry__Timer *timer_find(const state *c, enum timer_kind kind, const char *ref)
{
	for (size_t i = 0; i < c->n_timers; i++)
		if (c->timers[i]->kind == kind && (!ref || same(c->timers[i]->ref, ref)))
			return c->timers[i];
	return NULL;
}

/* Closing ends what the case still had to do. What receivers must still do stays: deliveries in flight, and destroying what they hold (docs/decisions.md). */
/* They end for good: an offer is withdrawn, a moment that has passed cannot be announced any more. */
static bool ends_with_closing(const Reentry__Timer *t)
{
	return t->kind == TIMER_DEADLINE || t->kind == TIMER_REMIND || t->kind == TIMER_URGENT_REMIND;
}

static bool only_at_its_moment(const Reentry__Timer *t)
{
	return t->kind == TIMER_MILESTONE || t->kind == TIMER_START_MILESTONE || t->kind == TIMER_CHECK || t->kind == TIMER_START_CHECK
		|| t->kind == TIMER_FOLLOWUP || t->kind == TIMER_FOLLOWUP_REMIND;
}

void timers_close(struct rules_run *run)
{
	state *c = run->state;
	size_t kept = 0;

	c->n_at_close = 0;
	c->at_close = NULL;
	for (size_t i = 0; i < c->n_timers; i++) {
		Reentry__Timer **place;

		if (c->timers[i]->kind == TIMER_RETENTION || c->timers[i]->kind == TIMER_DELIVERY || c->timers[i]->kind == TIMER_CONSENT) {
			c->timers[kept++] = c->timers[i];
			continue;
		}
		if (ends_with_closing(c->timers[i]))
			continue;
		place = ARENA_PUSH(run->arena, c->at_close, c->n_at_close);
		if (!place) {
			run->error = ERR_NOMEM;
			return;
		}
		*place = c->timers[i];
	}
	c->n_timers = kept;
}

/* The next of a series that began at `due`, later than now: what was missed while the broker was down is told once. */
static moment next_in_series(const struct rules_run *run, moment due, int days)
{
	do
		due = civil_add_days(run->policy->zone, due, days);
	while (due <= run->now);
	return due;
}

void timers_reopen(struct rules_run *run)
{
	state *c = run->state;

	for (size_t i = 0; i < c->n_at_close; i++) {
		const Reentry__Timer *t = c->at_close[i];
		moment due = t->kind == TIMER_STILL_UNKNOWN && t->due <= run->now ? next_in_series(run, t->due, run->policy->still_unknown_days) : t->due;

		if (due > run->now || !only_at_its_moment(t))
			timer_arm(run, (enum timer_kind)t->kind, due, t->ref, t->n);
	}
	c->n_at_close = 0;
	c->at_close = NULL;
}

/* A case that was merged into another has come to rest, but what its receivers got under this reference they must still destroy. */
bool timer_runs(const state *c, const Reentry__Timer *t)
{
	return !c->frozen || t->kind == TIMER_RETENTION;
}

moment rules_next_due(const Reentry__CaseState *c)
{
	moment next = MOMENT_NONE;

	for (size_t i = 0; i < c->n_timers; i++)
		if (timer_runs(c, c->timers[i]) && (next == MOMENT_NONE || c->timers[i]->due < next))
			next = c->timers[i]->due;
	return next;
}

void timer_fired(struct rules_run *run, const Reentry__Timer *timer)
{
	if (timer->kind > 0 && timer->kind < TIMER_KINDS && kinds[timer->kind].fire)
		kinds[timer->kind].fire(run, timer);
}

void timer_consume(struct rules_run *run, const Reentry__Timer *fired)
{
	timer_disarm_n(run->state, (enum timer_kind)fired->kind, fired->ref, fired->n);
	if (fired->kind > 0 && fired->kind < TIMER_KINDS && kinds[fired->kind].consume)
		kinds[fired->kind].consume(run, fired);
}

static void still_unknown_again(struct rules_run *run, const Reentry__Timer *fired)
{
	timer_arm(run, TIMER_STILL_UNKNOWN, next_in_series(run, fired->due, run->policy->still_unknown_days), NULL, 0);
}

static void urgent_again(struct rules_run *run, const Reentry__Timer *fired)
{
	const handover *h = handover_find(run->state, fired->ref);
	moment next = fired->due;

	while (next <= run->now)
		next += run->policy->urgent_reminder;
	if (h && handover_open(h) && !h->received && next < h->decide_by)
		timer_arm(run, TIMER_URGENT_REMIND, next, fired->ref, fired->n);
}

static void retention_again(struct rules_run *run, const Reentry__Timer *fired)
{
	timer_arm(run, TIMER_RETENTION, next_in_series(run, fired->due, run->policy->erasure_chase_days), fired->ref, fired->n + 1);
}

static void reminded(struct rules_run *run, const Reentry__Timer *fired)
{
	handover *h = handover_find(run->state, fired->ref);

	if (h)
		SET(h, reminded, true);
}

/* n is the position of the delivery that was acknowledged, or that is overdue (which is told once). */
static void delivery_done(struct rules_run *run, const Reentry__Timer *fired)
{
	state *c = run->state;
	size_t kept = 0;

	for (size_t i = 0; i < c->n_pending; i++) {
		Reentry__Pending *p = c->pending[i];
		bool it = p->position == fired->n && same(p->agency, fired->ref);

		if (it && fired->due == 0)
			continue; /* acknowledged */
		if (it)
			SET(p, urgent, false);
		c->pending[kept++] = p;
	}
	c->n_pending = kept;
}

static void consent_over(struct rules_run *run, const Reentry__Timer *fired)
{
	state *c = run->state;
	size_t kept = 0;

	for (size_t i = 0; i < c->n_consents; i++)
		if (!(same(c->consents[i]->to, fired->ref) && (uint64_t)c->consents[i]->class_ == fired->n && c->consents[i]->has_until && c->consents[i]->until <= fired->due))
			c->consents[kept++] = c->consents[i];
	c->n_consents = kept;
}
