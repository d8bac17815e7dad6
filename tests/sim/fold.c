/* What events do to a case, I: sentence, custody, release dates, needs and gaps (domain.md 3 to 5). Each also asks whether the event may be there at all. */
#include "tests/sim/sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OP(name) REENTRY__OP__VALUE__##name
#define PHASE(name) REENTRY__PHASE__VALUE__##name
#define STATE(name) REENTRY__HANDOVER_STATE__VALUE__##name
#define KIND(name) REENTRY__SENTENCE_KIND__VALUE__##name
#define STATUS(name) REENTRY__NEED_STATUS__VALUE__##name

bool slot_empty_after(const struct seen *r)
{
	return r->op == OP(CANCEL) || r->op == OP(RETRACT);
}

void slot_set(struct sim *s, struct slot *slot, const struct seen *r)
{
	unsigned version = r->record->has_slot_version ? r->record->slot_version : slot->version + 1;

	if (version <= slot->version)
		violated(s, "slot-version", "%s at %llu is version %u, %u was current", r->type->name, (unsigned long long)r->position, version, slot->version);
	slot->version = version;
	slot->publisher = r->publisher;
	snprintf(slot->event, sizeof slot->event, "%s", r->event->id);
}

void fold(struct sim *s, struct m_case *c, const struct seen *r)
{
	if (!c->exists) {
		c->exists = true;
		c->phase = PHASE(BEFORE);
		c->custodian = NOBODY;
		c->origin = c->destination = -1;
		c->expect_next = -1;
	}
	if (r->type->fold)
		r->type->fold(s, c, r);
	relations_refresh(s, c);
}

static int code_of(const char *text)
{
	return text ? (int)strtol(text, NULL, 10) : -1;
}

static void codes(struct m_case *c, const struct seen *r, const char *origin, const char *destination)
{
	if (origin)
		c->origin = code_of(origin);
	if (destination && code_of(destination) != c->destination) {
		c->destination = code_of(destination);
		c->dest.version++;
		c->dest.publisher = r->publisher;
		snprintf(c->dest.event, sizeof c->dest.event, "%s", r->event->id);
	}
}

static bool something_runs(const struct m_case *c)
{
	for (size_t i = 0; i < c->n_sanctions; i++)
		if (c->sanctions[i].running)
			return true;
	return false;
}

/* What lies ahead or is still owed goes on; a moment that passed while the case was closed cannot be announced any more (docs/decisions.md). */
static void reopened(const struct sim *s, struct m_case *c, moment at)
{
	if (!c->closed)
		return;
	c->closed = false;
	c->to_release.armed &= ~milestones_due(s, c->date, at);
	c->to_start.armed &= ~milestones_due(s, c->start_date, at);
	for (size_t i = 0; c->released && i < s->policy->n_followup_days; i++)
		if (notice_at(s, day_of(s, c->released_at) + (civil_date)s->policy->followup_days[i]) <= at)
			c->followups_missed |= UINT32_C(1) << i;
}

FOLD(fold_sentence)
{
	const Reentry__SentenceImposed *imposed = r->data;
	struct m_sanction *x = r->event->sanction ? sanction_of(c, r->event->sanction, (int)imposed->kind, false) : NULL;

	if (!x && c->n_sanctions == SANCTIONS) {
		violated(s, "sim", "too many sanctions for the simulation");
		return;
	}
	if (!x) {
		x = &c->sanctions[c->n_sanctions++];
		*x = (struct m_sanction){ .kind = (int)imposed->kind, .supervisor = NOBODY };
		snprintf(x->ref, sizeof x->ref, "%s", r->event->sanction ? r->event->sanction : "");
	}
	x->authority = r->publisher;
	if (imposed->has_hours && !x->running)
		x->hours = imposed->hours;
	reopened(s, c, r->at);
	if (!c->inside && !something_runs(c))
		c->phase = PHASE(BEFORE);
	codes(c, r, imposed->origin, imposed->destination);
}

/* A new custody: what belonged to the last one is history; a re-arrest puts what runs on hold (6.1, 8). */
static void new_custody(struct m_case *c)
{
	/* Also who was released and has been supervised since (DURING) is arrested again. */
	bool again = c->phase == PHASE(AFTER) || (c->released && c->phase == PHASE(DURING));

	for (size_t i = 0; i < c->n_handovers && again; i++) {
		struct m_handover *h = &c->handovers[i];

		if (h->state != STATE(ACCEPTED) && h->state != STATE(RECONFIRM) && h->state != STATE(STARTED))
			continue;
		h->held = h->state;
		h->state = STATE(ON_HOLD);
	}
	for (size_t i = 0; i < c->n_sanctions; i++)
		if (c->sanctions[i].kind == KIND(SUPERVISION) && c->sanctions[i].running)
			c->sanctions[i].on_hold = true;
	c->release_kind = 0;
	c->has_date = c->ordered = c->recorded = c->released = c->has_start_date = c->screened = false;
	c->confirmed_to = 0;
	c->unfired = c->to_release.armed = c->to_start.armed = 0;
	c->followups_due = c->followups_done = c->followups_missed = 0;
	c->inside = true;
	c->unknown_since = c->unknown_then = 0;
}

FOLD(fold_custody)
{
	const Reentry__CustodyStarted *started = r->data;

	/* Whose case was closed, or whose release was recorded before this start, has been outside (docs/decisions.md). */
	bool outside = !c->inside || c->closed || (c->recorded && started->start->ms >= c->released_at);

	if (c->inside && !c->closed && c->custodian != r->publisher)
		violated(s, "custody-elsewhere", "custody.started by %s while the person is in %s", agency_id(s, r->publisher), agency_id(s, c->custodian));
	reopened(s, c, r->at);
	if (outside)
		new_custody(c);
	c->custodian = r->publisher;
	c->has_custody_start = true;
	c->custody_start = started->start->ms;
	c->phase = PHASE(DURING);
	codes(c, r, started->origin, started->destination);
}

FOLD(fold_transfer)
{
	const Reentry__CustodyTransferred *moved = r->data;

	if (!c->inside || agency_of(s, moved->from) != c->custodian)
		violated(s, "transfer", "from %s, but the custodian is %s", moved->from, agency_id(s, c->custodian));
	c->custodian = agency_of(s, moved->to);
}

FOLD(fold_destination)
{
	slot_set(s, &c->dest, r);
	c->destination = slot_empty_after(r) ? -1 : code_of(((const Reentry__DestinationChanged *)r->data)->destination);
}

/* Its clocks stand still until it is opened again; the offers that are open are withdrawn by what follows. */
FOLD(fold_closed)
{
	(void)s;
	(void)r;
	c->closed = true;
}

/* --- countdowns (4.2) ------------------------------------------------------------------------------------------------------------ */

FOLD(fold_planned)
{
	slot_set(s, &c->start, r);
	c->to_start = (struct m_count){ 0 };
	c->has_start_date = !slot_empty_after(r);
	if (!c->has_start_date)
		return;
	c->start_date = ((const Reentry__ExecutionPlanned *)r->data)->start_date->days;
	c->to_start.expect = milestones_due(s, c->start_date, r->at);
	c->to_start.armed = (UINT32_C(1) << s->policy->n_milestones) - 1;
	c->to_start.armed &= ~c->to_start.expect;
}

static void version(struct sim *s, struct m_case *c, const struct seen *r)
{
	slot_set(s, &c->release, r);
	c->to_release = (struct m_count){ 0 };
	c->has_date = c->ordered = false;
	c->release_kind = 0;
	c->unknown_since = 0;
	c->dates_changed = true;
}

FOLD(fold_date)
{
	version(s, c, r);
	if (slot_empty_after(r))
		return;
	c->has_date = true;
	c->date = ((const Reentry__ReleaseDateSet *)r->data)->date->days;
	if (c->date < day_of(s, r->at))
		violated(s, "past-date", "a release date in the past was accepted");
	c->to_release.armed = (UINT32_C(1) << s->policy->n_milestones) - 1;
	c->to_release.armed &= ~milestones_due(s, c->date, r->at);
	c->release_kind = (int)((const Reentry__ReleaseDateSet *)r->data)->kind;
	if (!counts(c))
		return;
	c->to_release.expect = milestones_due(s, c->date, r->at);
	if (notice_at(s, c->date - (civil_date)s->policy->gap_milestone_urgent) <= r->at)
		c->escalate_now = true;
}

FOLD(fold_unknown)
{
	version(s, c, r);
	if (!slot_empty_after(r))
		c->unknown_since = day_of(s, r->at);
}

FOLD(fold_ordered)
{
	version(s, c, r);
	if (slot_empty_after(r))
		return;
	c->has_date = c->ordered = true;
	c->date = day_of(s, r->at);
	c->expect_confirm = c->recorded && !c->released;
}

struct notice { civil_date date; int days_left; unsigned milestone; bool late; const uint32_t *skipped; size_t n_skipped; };

/* The one notice for these milestones: the smallest; the others skipped, largest first, without those from before the custody. */
static bool notice_fits(const struct sim *s, const struct m_case *c, const struct notice *n, uint32_t due, moment at, bool of_release)
{
	civil_date today = day_of(s, at);
	size_t n_skipped = 0;
	bool late = false;

	for (size_t i = 0; i < s->policy->n_milestones; i++) {
		civil_date day = n->date - (civil_date)s->policy->milestones[i];
		bool last = due >> i == 1;

		if (!(due & UINT32_C(1) << i))
			continue;
		if (last && n->milestone != s->policy->milestones[i])
			return false;
		if (of_release && c->has_custody_start && notice_at(s, day) < c->custody_start)
			continue;
		late = late || today > day;
		if (!last && (n_skipped >= n->n_skipped || n->skipped[n_skipped++] != s->policy->milestones[i]))
			return false;
	}
	return n_skipped == n->n_skipped && late == n->late && n->days_left == n->date - today;
}

static void notice(struct sim *s, struct m_case *c, const struct seen *r, const struct notice *n, bool of_release)
{
	struct m_count *count = of_release ? &c->to_release : &c->to_start;
	bool set = of_release ? counts(c) && !c->ordered : c->has_start_date;
	civil_date current = of_release ? c->date : c->start_date;
	uint32_t due = count->expect ? count->expect : set ? count->armed & milestones_due(s, current, r->at) : 0;

	if (!set || n->date != current)
		violated(s, "old-version-notice", "%s at %llu for a date that is not current", r->type->name, (unsigned long long)r->position);
	else if (!due)
		violated(s, "milestone-once", "%s at %llu: milestone %u is not due, or was told before", r->type->name, (unsigned long long)r->position, n->milestone);
	else if (!notice_fits(s, c, n, due, r->at, of_release))
		violated(s, "notice-content", "%s at %llu: milestone %u late %d skipped %zu for due %x", r->type->name, (unsigned long long)r->position, n->milestone, n->late, n->n_skipped, due);
	count->armed &= ~due;
	count->expect = 0;
}

FOLD(fold_notice)
{
	const Reentry__ReleaseApproaching *a = r->data;

	notice(s, c, r, &(struct notice){ a->release_date->days + plant(s, FAULT_OLD_NOTICE), a->days_left, a->milestone, a->late, a->skipped, a->n_skipped }, true);
}

FOLD(fold_start_notice)
{
	const Reentry__StartApproaching *a = r->data;

	notice(s, c, r, &(struct notice){ a->start_date->days, a->days_left, a->milestone, a->late, a->skipped, a->n_skipped }, false);
}

FOLD(fold_still_unknown)
{
	if (!c->inside || c->has_date || c->closed)
		violated(s, "still-unknown", "at %llu: there is a date, or nobody inside", (unsigned long long)r->position);
}

FOLD(fold_screening_overdue)
{
	moment due = c->has_custody_start ? day_end_at(s, working_day(s, day_of(s, c->custody_start), s->policy->screening_days)) : 0;

	if (!c->inside || c->screened || c->closed || r->at < due)
		violated(s, "screening", "screening.overdue at %llu: not due, or screened", (unsigned long long)r->position);
}

/* --- the gate (4.5) ---------------------------------------------------------------------------------------------------------------- */

FOLD(fold_recorded)
{
	(void)s;
	c->recorded = true;
	c->released_at = ((const Reentry__Released *)r->data)->released_at->ms;
	c->hold_ends = r->at + s->policy->confirm_hold;
	c->expect_confirm = c->ordered;
}

static moment add_days(const struct sim *s, moment when, unsigned days)
{
	return civil_add_days(s->policy->zone, when, (int)days);
}

static void confirmed(struct sim *s, struct m_case *c, const struct seen *r)
{
	if (!c->recorded || c->released || (!c->ordered && r->at < c->hold_ends))
		violated(s, "confirm-hold", "release.confirmed at %llu before the hold ended, or without a release", (unsigned long long)r->position);
	c->unfired = c->to_release.armed;
	c->to_release = (struct m_count){ 0 };
	c->released = true;
	c->inside = c->expect_confirm = false;
	c->unknown_then = c->unknown_since;
	c->unknown_since = 0;
	c->phase = PHASE(AFTER);
	c->confirmed_to = 0;
	c->followups_due = c->followups_done = c->followups_missed = 0;
	for (size_t i = 0; i < c->n_handovers; i++) {
		struct m_handover *h = &c->handovers[i];

		h->resumed = h->state == STATE(ON_HOLD);
		if (!h->resumed)
			continue;
		h->state = h->held;
		h->report_from = h->start > day_of(s, r->at) ? h->start : day_of(s, r->at);
	}
	for (size_t i = 0; i < c->n_sanctions; i++) {
		struct m_sanction *x = &c->sanctions[i];

		if (!x->running || !x->on_hold)
			continue;
		x->on_hold = false;
		x->has_contact = true;
		x->contact = add_days(s, r->at, x->interval);
	}
}

FOLD(fold_confirmed)
{
	if (r->op != OP(RETRACT)) {
		confirmed(s, c, r);
		return;
	}
	if (!c->released || !c->expect_retract)
		violated(s, "retract", "release.confirmed was retracted at %llu, but not reversed", (unsigned long long)r->position);
	c->released = c->recorded = c->expect_retract = false;
	c->inside = true;
	c->phase = PHASE(DURING);
	c->followups_due = c->followups_done = c->followups_missed = 0;
	c->unknown_since = c->unknown_then;
	if (c->has_date && !c->ordered)
		c->to_release.armed = c->unfired;
	/* What this release had taken back is on hold again (docs/decisions.md). */
	for (size_t i = 0; i < c->n_handovers; i++) {
		struct m_handover *h = &c->handovers[i];

		if (h->resumed && (h->state == STATE(ACCEPTED) || h->state == STATE(RECONFIRM) || h->state == STATE(STARTED))) {
			h->held = h->state;
			h->state = STATE(ON_HOLD);
		}
		h->resumed = false;
	}
	for (size_t i = 0; i < c->n_sanctions; i++)
		if (c->sanctions[i].kind == KIND(SUPERVISION) && c->sanctions[i].running)
			c->sanctions[i].on_hold = true;
}

FOLD(fold_reversed)
{
	(void)s;
	(void)r;
	c->expect_retract = c->released;
	if (!c->released)
		c->recorded = false;
}

/* --- needs and gaps (5) --------------------------------------------------------------------------------------------------------------- */

struct status { int status; const Reentry__Date *from; };

static void need_set(struct sim *s, struct m_case *c, const struct seen *r, int need, struct status to)
{
	struct m_need *n = &c->needs[need];
	bool off = slot_empty_after(r);

	slot_set(s, &n->slot, r);
	n->known = !off;
	n->at_risk = n->at_risk && !off;
	n->status = to.status;
	n->has_from = !off && to.from;
	n->from = n->has_from ? to.from->days : 0;
	n->publishers |= ONE(r->publisher);
	c->published |= UINT32_C(1) << (is_class_c(need) ? REENTRY__NEED__VALUE__CARE : need);
}

FOLD(fold_need)
{
	const Reentry__NeedStatusChanged *changed = r->data;
	int status = 0;
	bool has_from = false;
	civil_date from = 0;

	if (r->publisher != BROKER) {
		need_set(s, c, r, (int)changed->need, (struct status){ (int)changed->status, changed->from_date });
		if (strcmp(r->type->name, "need.screened") == 0 && c->inside && !slot_empty_after(r))
			c->screened = true;
		return;
	}
	/* The combined need: told only when it changed. */
	if (changed->need != REENTRY__NEED__VALUE__CARE)
		violated(s, "care", "the broker told need %d at %llu", (int)changed->need, (unsigned long long)r->position);
	if (!combined_care(c, &status, &has_from, &from))
		status = STATUS(UNKNOWN); /* nobody says anything of it any more */
	if (c->care_told && c->care_status == status && c->care_has_from == has_from && (!has_from || c->care_from == from))
		violated(s, "care-twice", "CARE was told at %llu and has not changed", (unsigned long long)r->position);
	if ((int)changed->status != status || (changed->from_date != NULL) != has_from || (has_from && changed->from_date->days != from))
		violated(s, "care", "CARE as told at %llu is not the combination of the three", (unsigned long long)r->position);
	c->care_told = true;
	c->care_status = status;
	c->care_has_from = has_from;
	c->care_from = from;
}

FOLD(fold_arranging)
{
	const Reentry__Arranging *a = r->data;
	int need = r->type->need ? r->type->need : (int)a->need;

	need_set(s, c, r, need, (struct status){ r->type->status, a->from_date });
	if (strstr(r->type->name, ".at-risk") && !slot_empty_after(r))
		c->needs[need].at_risk = true;
}

FOLD(fold_gap)
{
	const Reentry__GapDetected *d = r->data;
	struct m_gap *told = &c->gaps[d->need], is;
	bool has = gap_now(s, c, (int)d->need, r->at, &is);

	if (told->open && told->reason == (int)d->reason && told->nights == d->nights)
		violated(s, "gap-twice", "gap %d was told at %llu and has not changed", (int)d->need, (unsigned long long)r->position);
	else if (c->released && !has)
		violated(s, "gap-after-release", "gap %d was raised at %llu", (int)d->need, (unsigned long long)r->position);
	else if (!has || is.reason != (int)d->reason || is.nights != d->nights)
		violated(s, "gap-function", "gap %d as told at %llu is not what the state says", (int)d->need, (unsigned long long)r->position);
	*told = (struct m_gap){ true, (int)d->reason, d->nights };
}

FOLD(fold_gap_closed)
{
	const Reentry__GapClosed *d = r->data;
	struct m_gap is;

	if (!c->gaps[d->need].open)
		violated(s, "gap-twice", "gap %d was closed at %llu and was not open", (int)d->need, (unsigned long long)r->position);
	else if (gap_now(s, c, (int)d->need, r->at, &is))
		violated(s, "gap-function", "gap %d was closed at %llu, but the state has it", (int)d->need, (unsigned long long)r->position);
	c->gaps[d->need].open = false;
}
