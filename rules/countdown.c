/* Countdowns: milestones per version of a date (domain.md 4.2), to the release and, by the same rules, to the start of a sentence. */
#include "lib/pb.h"
#include "rules/handlers.h"

/* The two countdowns differ in their date, their timers, and in that only a release can be called late or skip what lay before custody. */
static civil_date date_of(const state *c, bool start)
{
	return start ? c->start_date : c->release_date;
}

static enum timer_kind kind_of(bool start)
{
	return start ? TIMER_START_MILESTONE : TIMER_MILESTONE;
}

static enum timer_kind check_of(bool start)
{
	return start ? TIMER_START_CHECK : TIMER_CHECK;
}

bool milestone_passed(const struct rules_run *run, int milestone)
{
	const state *c = run->state;

	if (release_counts(c))
		return c->ordered || policy_notice(run->policy, c->release_date - milestone) <= run->now;
	return c->has_start_date && policy_notice(run->policy, c->start_date - milestone) <= run->now;
}

/* Evolve: arms what lies ahead of a version that became current now. What is due already is told at once by countdown_begin. */
void countdown_arm(struct rules_run *run, bool start, civil_date date)
{
	const struct policy *policy = run->policy;
	const int checks[2] = { policy->gap_milestone, policy->gap_milestone_urgent };

	countdown_disarm(run->state, start);
	for (size_t i = 0; i < policy->n_milestones; i++) {
		moment due = policy_notice(policy, date - (civil_date)policy->milestones[i]);

		if (due > run->now)
			timer_arm(run, kind_of(start), due, NULL, policy->milestones[i]);
	}
	for (size_t i = 0; i < 2; i++) {
		moment due = policy_notice(policy, date - checks[i]);

		if (due > run->now)
			timer_arm(run, check_of(start), due, NULL, (uint64_t)checks[i]);
	}
}

void countdown_disarm(state *c, bool start)
{
	timer_disarm(c, kind_of(start), NULL);
	timer_disarm(c, check_of(start), NULL);
}

/* A milestone whose moment lies before the custody began is not applicable: it is neither skipped nor late. */
static bool applicable(const struct rules_run *run, bool start, uint32_t milestone)
{
	moment fires = policy_notice(run->policy, date_of(run->state, start) - (civil_date)milestone);

	return start || !run->state->has_custody_start || fires >= run->state->custody_start;
}

/* One notice for the smallest of these; the others are skipped, largest first. milestones: descending. */
static void notice(struct rules_run *run, bool start, const uint32_t *milestones, size_t n)
{
	Reentry__ReleaseApproaching release = REENTRY__RELEASE_APPROACHING__INIT;
	Reentry__StartApproaching begin = REENTRY__START_APPROACHING__INIT;
	civil_date date = date_of(run->state, start), today = policy_today(run->policy, run->now);
	Reentry__Date day = REENTRY__DATE__INIT;
	uint32_t skipped[64];
	need codes[16];
	size_t n_skipped = 0, n_codes = open_needs(run->state, codes);
	bool late = false;

	SET(&day, days, date);
	for (size_t i = 0; i < n; i++) {
		if (!applicable(run, start, milestones[i]))
			continue;
		late = late || today > date - (civil_date)milestones[i];
		if (i + 1 < n && n_skipped < sizeof skipped / sizeof *skipped)
			skipped[n_skipped++] = milestones[i];
	}
#define FILL(message, date_field) \
	((message).date_field = &day, (message).has_days_left = true, (message).days_left = date - today, (message).has_milestone = true, \
	 (message).milestone = milestones[n - 1], (message).has_late = true, (message).late = late, (message).skipped = skipped, \
	 (message).n_skipped = n_skipped, (message).open_needs = codes, (message).n_open_needs = n_codes)
	if (start) {
		FILL(begin, start_date);
		emit(run, &(struct made){ .type = "start.approaching", .data = &begin });
	} else {
		FILL(release, release_date);
		emit(run, &(struct made){ .type = "release.approaching", .data = &release });
	}
#undef FILL
}

void countdown_begin(struct rules_run *run, bool start)
{
	const struct policy *policy = run->policy;
	civil_date date = date_of(run->state, start);
	uint32_t due[64];
	size_t n = 0;

	for (size_t i = 0; i < policy->n_milestones && n < sizeof due / sizeof *due; i++)
		if (policy_notice(policy, date - (civil_date)policy->milestones[i]) <= run->now)
			due[n++] = policy->milestones[i];
	if (n)
		notice(run, start, due, n);
}

/* All milestones that are due by now fire as one notice: after a time in which the broker was down there may be several. */
void fired_milestone(struct rules_run *run, const Reentry__Timer *timer)
{
	struct working *w = working(run);
	bool start = timer->kind == TIMER_START_MILESTONE;
	const state *c = run->state;
	uint32_t due[64];
	size_t n = 0;

	w->n_fired = 0;
	for (size_t i = 0; i < c->n_timers; i++) {
		const Reentry__Timer *t = c->timers[i];

		if (t->kind != timer->kind || t->due > run->now || n == sizeof w->fired / sizeof *w->fired)
			continue;
		w->fired[w->n_fired++] = t;
		due[n++] = (uint32_t)t->n;
	}
	for (size_t i = 1; i < n; i++) /* largest first */
		for (size_t k = i; k > 0 && due[k] > due[k - 1]; k--) {
			uint32_t swap = due[k];

			due[k] = due[k - 1];
			due[k - 1] = swap;
		}
	if (n && (start ? c->has_start_date : release_counts(c)))
		notice(run, start, due, n);
}

/* The moments at which needs become gaps and undecided handovers are escalated; the gaps themselves are told by gaps_settle. */
void fired_check(struct rules_run *run, const Reentry__Timer *timer)
{
	if (timer->kind == TIMER_CHECK && timer->n == (uint64_t)run->policy->gap_milestone_urgent)
		handovers_escalate(run);
}

/* --- sentence.execution-planned -------------------------------------------------------------------------------------------- */

CHECK(check_planned)
{
	const Reentry__ExecutionPlanned *planned = d->data;

	if (planned->start_date->days < policy_today(d->run->policy, d->run->now))
		return refuse(d, "invalid-value", "start_date: lies in the past");
	return 0;
}

APPLY(apply_planned)
{
	const Reentry__ExecutionPlanned *planned = data;
	state *c = run->state;

	slot_bump(run, &c->start_slot, record);
	countdown_disarm(c, true);
	UNSET(c, start_date);
	if (record->envelope->op == OP(CANCEL) || record->envelope->op == OP(RETRACT))
		return;
	SET(c, start_date, planned->start_date->days);
	countdown_arm(run, true, c->start_date);
}

APPLY(react_planned)
{
	(void)record;
	(void)data; /* the state says it all */
	if (run->state->has_start_date)
		countdown_begin(run, true);
}
