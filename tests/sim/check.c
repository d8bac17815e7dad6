/* After a step: the state that the core holds against the model, its deadlines, and who is responsible. */
#include "tests/sim/sim.h"

#include <stdio.h>
#include <string.h>

#include "rules/rules.h"

#define STATE(name) REENTRY__HANDOVER_STATE__VALUE__##name

/* --- deadlines ------------------------------------------------------------------------------------------------------------------ */

static bool countdown_armed(struct sim *s, const struct m_case *c, const Reentry__CaseState *state, bool of_release)
{
	const struct m_count *count = of_release ? &c->to_release : &c->to_start;
	const char *kind = of_release ? "milestone" : "start-milestone";
	civil_date date = of_release ? c->date : c->start_date;
	uint32_t armed = 0;

	for (size_t i = 0; i < state->n_timers; i++) {
		const Reentry__Timer *t = state->timers[i];
		size_t index = 0;

		if (strcmp(rules_timer_name(t->kind), kind) != 0)
			continue;
		while (index < s->policy->n_milestones && s->policy->milestones[index] != t->n)
			index++;
		if (index == s->policy->n_milestones || armed & UINT32_C(1) << index)
			return violated(s, "one-armed-set", "%s: %s %llu is armed twice, or is none", c->ref, kind, (unsigned long long)t->n);
		armed |= UINT32_C(1) << index;
		if (t->due != notice_at(s, date - (civil_date)t->n))
			return violated(s, "one-armed-set", "%s: %s %llu is armed for another date than the current one", c->ref, kind, (unsigned long long)t->n);
	}
	if (plant(s, FAULT_TWO_SETS))
		armed ^= 1;
	if (c->closed)
		return !armed || violated(s, "closed", "%s: %s %x is armed and the case is closed", c->ref, kind, armed);
	return armed == count->armed || violated(s, "one-armed-set", "%s: armed %s %x, should be %x", c->ref, kind, armed, count->armed);
}

static const Reentry__Timer *timer_of(const Reentry__CaseState *state, const char *kind, const char *ref)
{
	for (size_t i = 0; i < state->n_timers; i++)
		if (strcmp(rules_timer_name(state->timers[i]->kind), kind) == 0 && (!ref || (state->timers[i]->ref && strcmp(state->timers[i]->ref, ref) == 0)))
			return state->timers[i];
	return NULL;
}

/* An expected deadline: there, at that moment; or not there. due MOMENT_NONE: none. */
static bool armed_for(struct sim *s, const struct m_case *c, const Reentry__CaseState *state, const char *kind, const char *ref, moment due)
{
	const Reentry__Timer *t = timer_of(state, kind, ref);
	moment is = t ? t->due : MOMENT_NONE;

	if (due != MOMENT_NONE && (due <= world_now(s) || c->closed))
		due = MOMENT_NONE; /* it has fired, or waits for the case to be opened again */
	return is == due || violated(s, "deadline", "%s %s: %s is armed for %lld, should be %lld", c->ref, ref ? ref : "", kind, (long long)is, (long long)due);
}

/* 6.3: the first notice_time of a working day at or after half-way, if that is before the deadline. */
static moment half_way(const struct sim *s, const struct m_handover *h)
{
	moment half = h->offered_at + (h->decide_by - h->offered_at) / 2, at;
	civil_date day = day_of(s, half);

	for (at = notice_at(s, day); at < half || !civil_is_working_day(s->policy->holidays, s->policy->n_holidays, day); at = notice_at(s, ++day))
		;
	return at < h->decide_by ? at : MOMENT_NONE;
}

static bool plans_armed(struct sim *s, const struct m_case *c, const Reentry__CaseState *state)
{
	bool fine = true;

	for (size_t i = 0; i < c->n_handovers && fine; i++) {
		const struct m_handover *h = &c->handovers[i];
		const Reentry__Timer *reminder = timer_of(state, "offer-reminder", h->ref);

		fine = armed_for(s, c, state, "offer-deadline", h->ref, is_open(h) ? h->decide_by : MOMENT_NONE);
		if (fine && reminder && (!is_open(h) || h->urgent || reminder->due != half_way(s, h)))
			fine = violated(s, "deadline", "%s %s: the reminder is armed for %lld, should be %lld", c->ref, h->ref, (long long)reminder->due, (long long)half_way(s, h));
		if (fine && timer_of(state, "urgent-reminder", h->ref) && (!is_open(h) || !h->urgent || h->received))
			fine = violated(s, "deadline", "%s %s: urgent reminders go on", c->ref, h->ref);
		if (fine && timer_of(state, "start-report", h->ref) && h->state != STATE(ACCEPTED) && h->state != STATE(RECONFIRM))
			fine = violated(s, "deadline", "%s %s: a start report is awaited in state %d", c->ref, h->ref, h->state);
	}
	return fine;
}

/* The first working day's end, the seventh day, the days after release: what only the clock brings about. */
static bool calendar_armed(struct sim *s, const struct m_case *c, const Reentry__CaseState *state)
{
	moment screening = c->inside && !c->screened
		? day_end_at(s, working_day(s, day_of(s, c->custody_start), s->policy->screening_days)) : MOMENT_NONE;
	const Reentry__Timer *unknown = timer_of(state, "still-unknown", NULL);

	if (!armed_for(s, c, state, "screening", NULL, screening))
		return false;
	if (c->unknown_since && c->inside && !c->closed ? !unknown || (unknown->due - notice_at(s, c->unknown_since)) > 400 * INT64_C(86400000) : unknown != NULL)
		return violated(s, "deadline", "%s: still-unknown is %s", c->ref, unknown ? "armed" : "not armed");
	if (unknown && (day_of(s, unknown->due) - c->unknown_since) % s->policy->still_unknown_days)
		return violated(s, "deadline", "%s: still-unknown does not come every %d days", c->ref, s->policy->still_unknown_days);
	for (size_t i = 0; i < s->policy->n_followup_days; i++) {
		moment due = notice_at(s, day_of(s, c->released_at) + (civil_date)s->policy->followup_days[i]);
		bool armed = false;

		for (size_t k = 0; k < state->n_timers; k++)
			armed = armed || (strcmp(rules_timer_name(state->timers[k]->kind), "followup") == 0 && state->timers[k]->n == s->policy->followup_days[i]
				&& state->timers[k]->due == due);
		if (armed != (c->released && !c->closed && due > world_now(s)))
			return violated(s, "deadline", "%s: follow-up %u is %s", c->ref, s->policy->followup_days[i], armed ? "armed" : "not armed");
		if (c->released && !c->closed && due <= world_now(s) && !((c->followups_due | c->followups_done | c->followups_missed) & UINT32_C(1) << i))
			return violated(s, "followup", "%s: day %u has passed and nobody was told", c->ref, s->policy->followup_days[i]);
	}
	return true;
}

/* 6.3: a start that is not reported; 7: hours that are left; 9: a consent that ends; 4.6: the desk's queue. */
static bool others_armed(struct sim *s, const struct m_case *c, const Reentry__CaseState *state)
{
	for (size_t i = 0; i < c->n_handovers; i++) {
		const struct m_handover *h = &c->handovers[i];
		bool awaited = h->state == STATE(ACCEPTED) || h->state == STATE(RECONFIRM);
		moment report = day_end_at(s, working_day(s, h->report_from, s->policy->start_report_days));

		if (!armed_for(s, c, state, "start-report", h->ref, awaited ? report : MOMENT_NONE))
			return false;
		if (is_open(h) && h->urgent && !h->received && h->decide_by > world_now(s) + s->policy->urgent_reminder && !timer_of(state, "urgent-reminder", h->ref))
			return violated(s, "deadline", "%s %s: no reminder every half hour", c->ref, h->ref);
		if (is_open(h) && !h->urgent && half_way(s, h) > world_now(s) && !h->reminded && !timer_of(state, "offer-reminder", h->ref))
			return violated(s, "deadline", "%s %s: no reminder half-way", c->ref, h->ref);
	}
	for (size_t i = 0; i < c->n_sanctions; i++) {
		const struct m_sanction *x = &c->sanctions[i];
		bool service = x->kind == REENTRY__SENTENCE_KIND__VALUE__COMMUNITY_SERVICE, waits = x->running && (service ? !x->failed : x->has_contact && !x->on_hold);
		moment due = service ? notice_at(s, x->complete_by - s->policy->behind_days) : civil_add_days(s->policy->zone, x->contact, s->policy->contact_overdue_days);

		if (x->kind == REENTRY__SENTENCE_KIND__VALUE__DETENTION)
			continue;
		if (!x->running && sanction_of((struct m_case *)(uintptr_t)c, *x->ref ? x->ref : NULL, x->kind, true))
			continue; /* another runs under the same name, or without one */
		if (!armed_for(s, c, state, service ? "service-behind" : "contact-overdue", x->ref, waits ? due : MOMENT_NONE))
			return false;
	}
	for (size_t i = 0; i < c->n_consents; i++) {
		const struct m_consent *consent = &c->consents[i];
		bool found = !consent->has_until || consent->until <= world_now(s);

		for (size_t k = 0; k < state->n_timers; k++)
			found = found || (strcmp(rules_timer_name(state->timers[k]->kind), "consent-end") == 0 && agency_of(s, state->timers[k]->ref) == consent->to && state->timers[k]->due == consent->until);
		if (!found)
			return violated(s, "deadline", "%s: a consent of %s ends and nothing is armed", c->ref, agency_id(s, consent->to));
	}
	return true;
}

static bool deadlines_fine(struct sim *s, const struct m_case *c, const Reentry__CaseState *state)
{
	bool holding = c->recorded && !c->released && !c->ordered;

	for (size_t i = 0; i < state->n_timers; i++) {
		moment due = state->timers[i]->due;

		if (c->exists && plant(s, FAULT_PAST_DEADLINE))
			due = s->recorded - 1;
		if (due <= world_now(s))
			return violated(s, "deadline-past", "%s: %s is due at %lld and it is %lld", c->ref, rules_timer_name(state->timers[i]->kind), (long long)due, (long long)world_now(s));
	}
	return countdown_armed(s, c, state, true) && countdown_armed(s, c, state, false) && plans_armed(s, c, state)
		&& armed_for(s, c, state, "confirm-hold", NULL, holding ? c->hold_ends : MOMENT_NONE)
		&& calendar_armed(s, c, state) && others_armed(s, c, state);
}

/* --- the state ---------------------------------------------------------------------------------------------------------------------- */

static bool same_code(int code, const char *text)
{
	char own[8];

	snprintf(own, sizeof own, "%04d", code);
	return code < 0 ? !text : text && strcmp(own, text) == 0;
}

static bool differs(struct sim *s, const struct m_case *c, const char *what, long long is, long long model)
{
	return violated(s, "state", "%s: %s is %lld, should be %lld", c->ref, what, is, model);
}

static bool handovers_same(struct sim *s, const struct m_case *c, const Reentry__CaseState *state)
{
	if (state->n_handovers != c->n_handovers)
		return differs(s, c, "number of handovers", (long long)state->n_handovers, (long long)c->n_handovers);
	for (size_t i = 0; i < c->n_handovers; i++) {
		const struct m_handover *h = &c->handovers[i];
		const Reentry__Handover *is = state->handovers[i];
		const struct entry *e = NULL;

		if ((int)is->state != h->state)
			return differs(s, c, h->ref, (long long)is->state, h->state);
		if (agency_of(s, is->to) != h->to || is->provider != h->provider || is->offer != h->offer)
			return differs(s, c, "provider or offer number", is->offer, h->offer);
		if (is_open(h) && is->decide_by != h->decide_by)
			return differs(s, c, "decide_by", is->decide_by, h->decide_by);
		for (size_t k = 0; h->to >= 0 && k < s->accounts[h->to].n; k++)
			if (s->accounts[h->to].entries[k].position == h->position)
				e = &s->accounts[h->to].entries[k];
		if (h->state == STATE(OFFERED) && e && e->state == ACKED)
			return violated(s, "delivered", "%s %s: the candidate acknowledged the offer and it is still OFFERED", c->ref, h->ref);
	}
	return true;
}

static bool state_same(struct sim *s, const struct m_case *c, const Reentry__CaseState *state)
{
	if (state->inside != c->inside || state->closed != c->closed || state->released != c->released)
		return differs(s, c, "inside/closed/released", state->inside * 100 + state->closed * 10 + state->released, c->inside * 100 + c->closed * 10 + c->released);
	if (agency_of(s, state->custodian) != c->custodian)
		return differs(s, c, "custodian", agency_of(s, state->custodian), c->custodian);
	if (!same_code(c->origin, state->origin) || !same_code(c->destination, state->destination))
		return differs(s, c, "a municipality code", 0, c->destination);
	if (state->has_release_date != c->has_date || (c->has_date && state->release_date != c->date))
		return differs(s, c, "release date", state->release_date, c->date);
	if ((state->release_slot ? state->release_slot->version : 0) != c->release.version)
		return differs(s, c, "release version", state->release_slot ? state->release_slot->version : 0, c->release.version);
	for (size_t i = 0; i < state->n_needs; i++) {
		const Reentry__NeedState *n = state->needs[i];
		const struct m_need *own = &c->needs[n->need];

		if (n->has_status != own->known || (own->known && ((int)n->status != own->status || n->has_from_date != own->has_from || (own->has_from && n->from_date != own->from))))
			return differs(s, c, "a need", (long long)n->status, own->status);
	}
	for (size_t i = 0; i < state->n_sanctions && i < c->n_sanctions; i++)
		if (state->sanctions[i]->running != c->sanctions[i].running || state->sanctions[i]->on_hold != c->sanctions[i].on_hold
			|| state->sanctions[i]->has_contact != c->sanctions[i].has_contact || (c->sanctions[i].has_contact && state->sanctions[i]->contact != c->sanctions[i].contact))
			return differs(s, c, "a sanction's contact", state->sanctions[i]->contact, c->sanctions[i].contact);
	return handovers_same(s, c, state);
}

/* --- the page --------------------------------------------------------------------------------------------------------------------------- */

/* Whoever sees all of the case finds each handover once, with exactly one agency responsible: the right one. */
static bool responsible_fine(struct sim *s, const struct m_case *c, const Reentry__CaseState *state)
{
	const struct agency *asking = NULL;
	char *page = NULL, key[64], expected[80];

	for (size_t i = 0; i < s->policy->n_agencies && !asking; i++)
		if (c->now[i] & (GM | PI | SV))
			asking = &s->policy->agencies[i];
	if (!asking || !c->n_handovers)
		return true;
	if (rules_case_view(state, s->policy, asking, world_now(s), &s->arena, &page))
		return violated(s, "responsible", "%s: no page for %s, which has a relation", c->ref, asking->id);
	for (size_t i = 0; i < c->n_handovers; i++) {
		const struct m_handover *h = &c->handovers[i];
		int who = responsible_for(s, c, h, world_now(s));
		const char *at, *end, *found;

		if (plant(s, FAULT_RESPONSIBLE))
			who = agency_of(s, "audit-nl");
		snprintf(key, sizeof key, "{\"handover\":\"%s\",", h->ref);
		snprintf(expected, sizeof expected, "\"responsible\":\"%s\"", agency_id(s, who));
		at = strstr(page, key);
		end = at ? strchr(at, '}') : NULL;
		found = at ? strstr(at, "\"responsible\":") : NULL;
		if (!at || strstr(at + 1, key))
			return violated(s, "responsible", "%s: the page has %s not once", c->ref, h->ref);
		if (!found || found > end || strncmp(found, expected, strlen(expected)) != 0)
			return violated(s, "responsible", "%s %s: should be %s, the page says %.60s", c->ref, h->ref, expected, found ? found : "nothing");
	}
	return true;
}

bool check_all(struct sim *s)
{
	for (size_t i = 0; i < s->n_cases && FINE(s); i++) {
		struct m_case *c = &s->cases[i];
		Reentry__CaseState *state = NULL;
		int error;

		error = core_case(s->core, c->ref, &s->arena, &state);
		if (error != (c->exists ? OK : ERR_NOTFOUND))
			return violated(s, "state", "%s: %s", c->ref, err_text(error));
		if (!c->exists)
			continue;
		relations_refresh(s, c);
		if (!state_same(s, c, state) || !responsible_fine(s, c, state))
			return false;
		if (s->settled && !deadlines_fine(s, c, state))
			return false;
	}
	if (s->settled && FINE(s)) {
		moment due = core_next_due(s->core);

		if (due != MOMENT_NONE && due <= world_now(s))
			return violated(s, "deadline-past", "the next deadline lies %lld ms back", (long long)(world_now(s) - due));
		return ledger_check(s);
	}
	return FINE(s);
}

bool check_rebuild(struct sim *s)
{
	const char *difference = NULL;
	struct err err = { 0 };
	int error = core_rebuild(s->core, true, &s->arena, &difference, &err);

	if (plant(s, FAULT_REBUILD))
		difference = "planted";
	if (error)
		return violated(s, "rebuild", "%s", err.text);
	return !difference || violated(s, "rebuild", "%s", difference);
}
