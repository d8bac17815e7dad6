/* Sentences, custody, where the person goes (domain.md 3.2, 4.6). */
#include "lib/pb.h"
#include "rules/handlers.h"

static bool is_code(const char *code)
{
	return strlen(code) == 4 && strspn(code, "0123456789") == 4;
}

static int check_codes(struct decision *d, const char *origin, const char *destination)
{
	if (origin && !is_code(origin))
		return refuse(d, "invalid-value", "origin: must be a 4-digit municipality code, 0000 if unknown");
	if (destination && !is_code(destination))
		return refuse(d, "invalid-value", "destination: must be a 4-digit municipality code, 0000 if unknown");
	return 0;
}

/* --- sentence.imposed --------------------------------------------------------------------------------------------------- */

CHECK(check_sentence)
{
	const Reentry__SentenceImposed *s = d->data;

	if (s->kind == KIND(COMMUNITY_SERVICE) && s->has_hours && s->hours > (uint32_t)d->run->policy->service_hours_max)
		return refuse(d, "invalid-value", "hours: a community service is at most %d hours", d->run->policy->service_hours_max);
	return check_codes(d, s->origin, s->destination);
}

static void set_destination(struct rules_run *run, const struct rules_record *record, const char *code)
{
	run->state->destination = keep(run, code);
	slot_bump(run, &run->state->destination_slot, record);
	destination_arm(run);
}

static void set_codes(struct rules_run *run, const struct rules_record *record, const char *origin, const char *destination)
{
	state *c = run->state;

	if (origin)
		c->origin = keep(run, origin);
	if (destination && !same(destination, c->destination))
		set_destination(run, record, destination);
	else
		destination_arm(run);
}

APPLY(apply_sentence)
{
	const Reentry__SentenceImposed *s = data;
	state *c = run->state;
	sanction *it = record->envelope->sanction ? sanction_find(c, record->envelope->sanction, s->kind, false) : NULL;

	if (!it) {
		sanction **place = ARENA_PUSH(run->arena, c->sanctions, c->n_sanctions);

		it = PB_NEW(run->arena, Reentry__Sanction, reentry__sanction);
		if (!it || !place) {
			run->error = ERR_NOMEM;
			return;
		}
		*place = it;
		it->ref = keep(run, record->envelope->sanction);
	}
	SET(it, kind, s->kind);
	it->authority = keep(run, record->agency);
	if (s->has_hours && !it->running)
		SET(it, hours, s->hours);
	case_reopen(run);
	if (!c->inside && !sanctions_running(c))
		SET(c, phase, PHASE(BEFORE));
	set_codes(run, record, s->origin, s->destination);
}

/* --- custody.started ---------------------------------------------------------------------------------------------------- */

CHECK(relation_custody)
{
	const state *c = d->run->state;

	if (c && c->inside && !c->closed && !same(c->custodian, d->input->agency->id))
		return refuse(d, "no-such-case", "subject: there is no such case");
	return 0;
}

CHECK(check_custody)
{
	const Reentry__CustodyStarted *s = d->data;

	if (s->prison && !same(s->prison, d->input->agency->id))
		return refuse(d, "invalid-value", "prison: is not yours; the prison where the person is says so itself, or custody.transferred");
	return check_codes(d, s->origin, s->destination);
}

static void new_custody(struct rules_run *run)
{
	state *c = run->state;

	/* Released and since then under supervision (DURING again) is a re-arrest as well; a sentence that was planned (BEFORE) is not. */
	if (phase_now(c) == PHASE(AFTER) || (c->released && phase_now(c) == PHASE(DURING)))
		handovers_hold(run);
	supervision_hold(run);
	release_forget(c);
	followups_off(c);
	timer_disarm(c, TIMER_RETENTION, NULL);
	countdown_disarm(c, true);
	UNSET(c, start_date);
	UNSET(c, screened);
	SET(c, inside, true);
}

APPLY(apply_custody)
{
	const Reentry__CustodyStarted *s = data;
	state *c = run->state;
	civil_date day = civil_date_of(run->policy->zone, s->start->ms);
	/* Whose release was recorded before this start, or whose case was closed, has been outside: nothing of the former custody goes on. */
	bool fresh = !c->inside || c->closed || (c->has_recorded_release && s->start->ms >= c->recorded_release);

	case_reopen(run);
	if (fresh)
		new_custody(run);
	c->custodian = keep(run, record->agency);
	SET(c, custody_start, s->start->ms);
	SET(c, phase, PHASE(DURING));
	if (!c->screened)
		timer_arm(run, TIMER_SCREENING, policy_day_end(run->policy, policy_working_days(run->policy, day, run->policy->screening_days)), NULL, 0);
	set_codes(run, record, s->origin, s->destination);
}

void fired_screening(struct rules_run *run, const Reentry__Timer *timer)
{
	Reentry__Nothing nothing = REENTRY__NOTHING__INIT;

	(void)timer; /* there is one per case */
	if (run->state->inside && !run->state->screened)
		emit(run, &(struct made){ .type = "screening.overdue", .data = &nothing });
}

/* --- custody.transferred -------------------------------------------------------------------------------------------------- */

CHECK(relation_transfer)
{
	const Reentry__CustodyTransferred *t = d->data;
	const state *c = d->run->state;
	const char *me = d->input->agency->id;

	if (c && same(c->custodian, me))
		return 0;
	if (c && c->inside && same(t->to, me) && same(t->from, c->custodian))
		return 0;
	return refuse(d, "no-such-case", "subject: there is no such case");
}

CHECK(check_transfer)
{
	const Reentry__CustodyTransferred *t = d->data;
	const struct agency *to = policy_agency(d->run->policy, t->to);

	if (!d->run->state->inside)
		return refuse(d, "invalid-value", "subject: the person is not in custody");
	if (!same(t->from, d->run->state->custodian))
		return refuse(d, "invalid-value", "from: is not the present custodian");
	if (!to || to->role != ROLE_PRISON || same(t->to, t->from))
		return refuse(d, "invalid-value", "to: must be another agency of role prison");
	return 0;
}

APPLY(apply_transfer)
{
	const Reentry__CustodyTransferred *t = data;

	(void)record;
	run->state->custodian = keep(run, t->to);
}

/* --- destination --------------------------------------------------------------------------------------------------------- */

CHECK(check_destination)
{
	return check_codes(d, NULL, ((const Reentry__DestinationChanged *)d->data)->destination);
}

APPLY(apply_destination)
{
	const Reentry__DestinationChanged *changed = data;
	bool off = record->envelope->op == OP(CANCEL) || record->envelope->op == OP(RETRACT);

	set_destination(run, record, off ? NULL : changed->destination);
}

/* The desk's work queue: armed while nobody holds the destination, and once per such time. */
void destination_arm(struct rules_run *run)
{
	state *c = run->state;
	civil_date today = policy_today(run->policy, run->now);

	if (!needs_desk(c, run->policy))
		timer_disarm(c, TIMER_UNASSIGNED, NULL);
	else if (!timer_find(c, TIMER_UNASSIGNED, NULL) && !c->desk_told)
		timer_arm(run, TIMER_UNASSIGNED, policy_day_end(run->policy, policy_working_days(run->policy, today, 1)), NULL, 0);
	SET(c, desk_told, needs_desk(c, run->policy));
}

void fired_unassigned(struct rules_run *run, const Reentry__Timer *timer)
{
	Reentry__Nothing nothing = REENTRY__NOTHING__INIT;

	(void)timer; /* there is one per case */
	if (needs_desk(run->state, run->policy))
		emit(run, &(struct made){ .type = "destination.unassigned", .data = &nothing });
}
