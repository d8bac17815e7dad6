/* Two references that turn out to be one person (docs/merging.md). The subject goes on; the other becomes a name for it, frozen as it was.
 * What only the other had comes over and is marked, so that case.unmerged gives it back. */
#include "lib/pb.h"
#include "rules/handlers.h"

static Reentry__Merge *merge_find(const state *c, const char *other)
{
	for (size_t i = 0; i < c->n_merges; i++)
		if (same(c->merges[i]->other, other))
			return c->merges[i];
	return NULL;
}

/* --- decide: may they be merged? --------------------------------------------------------------------------------------------- */

static int check_pair(struct decision *d, const state *a, const state *b)
{
	if (a->inside && b->inside && !same(a->custodian, b->custodian))
		return refuse(d, "invalid-value", "other: is in custody elsewhere; publish custody.transferred first");
	for (size_t i = 0; i < b->n_handovers; i++)
		if (handover_find(a, b->handovers[i]->ref))
			return refuse(d, "invalid-value", "other: both cases have a handover of the same reference; withdraw one and offer it under a new one");
	for (size_t i = 0; i < b->n_sanctions; i++)
		for (size_t k = 0; k < a->n_sanctions; k++)
			if (a->sanctions[k]->running && b->sanctions[i]->running && a->sanctions[k]->kind == b->sanctions[i]->kind && !b->sanctions[i]->ref)
				return refuse(d, "invalid-value", "other: a running sanction without reference cannot be told apart");
	return 0;
}

/* A prison with a relation to the subject asks; it need not have one to the other case, nor does the answer tell whether there is one.
 * It is confirmed by somebody else, who has a relation to the other case unless the asker had that already. */
CHECK(relation_merge)
{
	const Reentry__CaseMerged *m = d->data;
	const struct policy *policy = d->run->policy;
	const Reentry__Merge *asked = d->run->state ? merge_find(d->run->state, m->other) : NULL;
	uint32_t there = relations_of_agency(d->run->other, policy, d->input->agency->id) & REL_ALL;

	if (!asked)
		return d->relations & REL_ALL ? 0 : refuse(d, "no-such-case", "subject: there is no such case");
	if (there || same(asked->asked_by, d->input->agency->id) || ((d->relations & REL_ALL) && relations_of_agency(d->run->other, policy, asked->asked_by) & REL_ALL))
		return 0;
	return refuse(d, "no-such-case", "subject: there is no such case");
}

CHECK(check_merged)
{
	const Reentry__CaseMerged *m = d->data;
	const Reentry__Merge *asked = merge_find(d->run->state, m->other);
	const char *me = d->input->agency->id;

	if (same(m->other, d->run->subject))
		return refuse(d, "invalid-value", "other: is the case itself");
	if (d->run->state->merged_into || (asked && asked->done))
		return refuse(d, "invalid-value", "other: has been merged already");
	if (!asked)
		return d->input->agency->role == ROLE_PRISON ? 0 : refuse(d, "not-allowed", "type: a prison asks for a merge; another agency confirms it");
	if (same(asked->asked_by, me))
		return refuse(d, "not-allowed", "type: a second agency confirms the merge");
	if (!d->run->other || d->run->other->merged_into)
		return refuse(d, "invalid-value", "other: has been merged already");
	return check_pair(d, d->run->state, d->run->other);
}

CHECK(check_unmerged)
{
	const Reentry__CaseMerged *m = d->data;
	const Reentry__Merge *asked = merge_find(d->run->state, m->other);

	return asked && asked->done ? 0 : refuse(d, "invalid-value", "other: is not merged into this case");
}

/* Whether this event, if it is accepted, changes the other case as well: then its state travels in the record. */
bool merge_takes_other(const struct rules_run *run, const struct type_row *row, const void *data)
{
	const Reentry__CaseMerged *m = data;

	if (same(row->name, "case.unmerged"))
		return true;
	return same(row->name, "case.merged") && merge_find(run->state, m->other) != NULL;
}

/* --- evolve: what comes over, what goes back -------------------------------------------------------------------------------------- */

static bool push_text(struct rules_run *run, char ***list, size_t *n, const char *text)
{
	char **place = ARENA_PUSH(run->arena, *list, *n);

	if (!place)
		return (run->error = ERR_NOMEM, false);
	*place = keep(run, text);
	return true;
}

static void take_timers(struct rules_run *run, const state *from, const char *ref)
{
	for (size_t i = 0; i < from->n_timers && !run->error; i++)
		if (same(from->timers[i]->ref, ref))
			timer_arm(run, (enum timer_kind)from->timers[i]->kind, from->timers[i]->due, ref, from->timers[i]->n);
}

static void take_kind(struct rules_run *run, const state *from, enum timer_kind kind)
{
	for (size_t i = 0; i < from->n_timers && !run->error; i++)
		if (from->timers[i]->kind == kind)
			timer_arm(run, kind, from->timers[i]->due, from->timers[i]->ref, from->timers[i]->n);
}

#define TAKE(run, c, from, field, i) \
	do { \
		__typeof__((c)->field) place_ = ARENA_PUSH((run)->arena, (c)->field, (c)->n_##field); \
		if (!place_) { \
			(run)->error = ERR_NOMEM; \
			return; \
		} \
		*place_ = (from)->field[i]; \
	} while (0)

static void take_custody(struct rules_run *run, const state *b)
{
	static const enum timer_kind kinds[] = { TIMER_HOLD, TIMER_MILESTONE, TIMER_CHECK, TIMER_SCREENING, TIMER_STILL_UNKNOWN };
	state *c = run->state;

	c->has_inside = b->has_inside, c->inside = b->inside;
	c->custodian = b->custodian;
	c->has_custody_start = b->has_custody_start, c->custody_start = b->custody_start;
	c->has_screened = b->has_screened, c->screened = b->screened;
	c->release_slot = b->release_slot;
	c->has_release_date = b->has_release_date, c->release_date = b->release_date;
	c->has_release_kind = b->has_release_kind, c->release_kind = b->release_kind;
	c->has_ordered = b->has_ordered, c->ordered = b->ordered;
	c->has_recorded_release = b->has_recorded_release, c->recorded_release = b->recorded_release;
	c->has_released = b->has_released, c->released = b->released;
	c->recorded_event = b->recorded_event;
	c->confirmed_event = b->confirmed_event;
	SET(c, phase, phase_now(b));
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		take_kind(run, b, kinds[i]);
}

static enum timer_kind sanction_timer(const sanction *s)
{
	return s->kind == KIND(SUPERVISION) ? TIMER_OVERDUE : TIMER_BEHIND;
}

static void take_sanction_timer(struct rules_run *run, const state *from, const sanction *s)
{
	const Reentry__Timer *timer = timer_find(from, sanction_timer(s), sanction_timers(s));

	if (timer)
		timer_arm(run, (enum timer_kind)timer->kind, timer->due, timer->ref, timer->n);
}

/* Is it among the first n sanctions of the case too, under the reference of the court? */
static bool twice(const state *c, size_t n, const sanction *s)
{
	for (size_t i = 0; i < n; i++)
		if (s->ref && same(c->sanctions[i]->ref, s->ref) && c->sanctions[i]->kind == s->kind)
			return true;
	return false;
}

static void bring(struct rules_run *run, Reentry__Merge *m, const state *b)
{
	state *c = run->state;

	if (b->inside && !c->inside) {
		release_forget(c);
		take_custody(run, b);
		SET(m, custody, true);
	}
	if (!c->origin)
		c->origin = b->origin;
	if (needs_desk(c, run->policy) && b->destination) {
		c->destination = b->destination;
		destination_arm(run);
	}
	for (size_t i = 0; i < b->n_needs; i++)
		if (!need_find(c, b->needs[i]->need)) {
			uint32_t *place = ARENA_PUSH(run->arena, m->needs, m->n_needs);

			if (!place) {
				run->error = ERR_NOMEM;
				return;
			}
			*place = (uint32_t)b->needs[i]->need;
			TAKE(run, c, b, needs, i);
		}
	for (size_t i = 0; i < b->n_handovers; i++) {
		TAKE(run, c, b, handovers, i);
		if (!push_text(run, &m->handovers, &m->n_handovers, b->handovers[i]->ref))
			return;
		take_timers(run, b, b->handovers[i]->ref);
	}
	for (size_t i = 0, own = c->n_sanctions; i < b->n_sanctions; i++) {
		if (twice(c, own, b->sanctions[i]))
			continue; /* the same sanction under both references */
		b->sanctions[i]->from = m->other;
		TAKE(run, c, b, sanctions, i);
		take_sanction_timer(run, b, b->sanctions[i]);
	}
	for (size_t i = 0; i < b->n_consents; i++) {
		b->consents[i]->from = m->other;
		TAKE(run, c, b, consents, i);
	}
	take_kind(run, b, TIMER_CONSENT);
	if (c->inside)
		supervision_hold(run);
}

static bool came(char **list, size_t n, const char *ref)
{
	for (size_t i = 0; i < n; i++)
		if (same(list[i], ref))
			return true;
	return false;
}

static void disarm_ref(state *c, const char *ref)
{
	for (int kind = 1; kind < TIMER_KINDS; kind++)
		timer_disarm(c, (enum timer_kind)kind, ref);
}

/* What came from the other case leaves again; it goes on there as it is now. */
static void give_back(struct rules_run *run, const Reentry__Merge *m)
{
	state *c = run->state;
	size_t kept = 0;

	for (size_t i = 0; i < c->n_handovers; i++) {
		if (!came(m->handovers, m->n_handovers, c->handovers[i]->ref)) {
			c->handovers[kept++] = c->handovers[i];
			continue;
		}
		disarm_ref(c, c->handovers[i]->ref);
	}
	c->n_handovers = kept;
	kept = 0;
	for (size_t i = 0; i < c->n_sanctions; i++) {
		if (!same(c->sanctions[i]->from, m->other)) {
			c->sanctions[kept++] = c->sanctions[i];
			continue;
		}
		timer_disarm(c, sanction_timer(c->sanctions[i]), sanction_timers(c->sanctions[i]));
	}
	c->n_sanctions = kept;
	kept = 0;
	for (size_t i = 0; i < c->n_consents; i++)
		if (!same(c->consents[i]->from, m->other))
			c->consents[kept++] = c->consents[i];
		else
			timer_disarm_n(c, TIMER_CONSENT, c->consents[i]->to, (uint64_t)c->consents[i]->class_);
	c->n_consents = kept;
	for (size_t k = 0; k < m->n_needs; k++) {
		kept = 0;
		for (size_t i = 0; i < c->n_needs; i++)
			if ((uint32_t)c->needs[i]->need != m->needs[k])
				c->needs[kept++] = c->needs[i];
		c->n_needs = kept;
	}
	if (!m->custody)
		return;
	release_forget(c);
	timer_disarm(c, TIMER_SCREENING, NULL);
	UNSET(c, inside);
	c->custodian = NULL;
	SET(c, phase, sanctions_running(c) ? PHASE(DURING) : PHASE(BEFORE));
}

static state *unpack_other(struct rules_run *run, const struct rules_record *record)
{
	void *other = NULL;

	if (!record->event->has_other || pb_unpack_own(&reentry__case_state__descriptor, record->event->other.data, record->event->other.len, run->arena, &other))
		run->error = run->error ? run->error : ERR_CORRUPT;
	return other;
}

/* On the case that goes on: a request, or with the second agency the merge. On the other one, by the broker: it is frozen. */
APPLY(apply_merged)
{
	const Reentry__CaseMerged *m = data;
	state *c = run->state, *other;
	Reentry__Merge *asked = merge_find(c, m->other);

	if (same(record->agency, run->policy->broker_id)) {
		c->merged_into = keep(run, m->other);
		SET(c, frozen, true);
		return;
	}
	if (!asked) {
		Reentry__Merge **place = ARENA_PUSH(run->arena, c->merges, c->n_merges);

		asked = PB_NEW(run->arena, Reentry__Merge, reentry__merge);
		if (!asked || !place) {
			run->error = ERR_NOMEM;
			return;
		}
		*place = asked;
		asked->other = keep(run, m->other);
		asked->asked_by = keep(run, record->agency);
		return;
	}
	other = unpack_other(run, record);
	SET(asked, done, true);
	if (other)
		bring(run, asked, other);
}

/* What came from it as it is by now; what both had stays as it was. */
static void take_back_sanctions(struct rules_run *run, const state *a)
{
	state *c = run->state;
	size_t kept = 0;

	for (size_t i = 0; i < c->n_sanctions; i++) {
		bool ours = true;

		for (size_t k = 0; k < a->n_sanctions; k++)
			ours = ours && !(same(a->sanctions[k]->ref, c->sanctions[i]->ref) && a->sanctions[k]->kind == c->sanctions[i]->kind && !same(a->sanctions[k]->from, run->subject));
		if (ours)
			timer_disarm(c, sanction_timer(c->sanctions[i]), sanction_timers(c->sanctions[i]));
		else
			c->sanctions[kept++] = c->sanctions[i];
	}
	c->n_sanctions = kept;
	for (size_t k = 0; k < a->n_sanctions; k++)
		if (same(a->sanctions[k]->from, run->subject)) {
			a->sanctions[k]->from = NULL;
			TAKE(run, c, a, sanctions, k);
			take_sanction_timer(run, a, c->sanctions[c->n_sanctions - 1]);
		}
}

/* On the other case: it takes back what came from it, as it is now. */
static void thaw(struct rules_run *run, const state *a, const Reentry__Merge *m)
{
	state *c = run->state;
	size_t kept = 0;

	c->merged_into = NULL;
	UNSET(c, frozen);
	for (size_t i = 0; i < c->n_handovers; i++)
		if (!came(m->handovers, m->n_handovers, c->handovers[i]->ref))
			c->handovers[kept++] = c->handovers[i];
		else
			disarm_ref(c, c->handovers[i]->ref);
	c->n_handovers = kept;
	for (size_t i = 0; i < a->n_handovers; i++)
		if (came(m->handovers, m->n_handovers, a->handovers[i]->ref)) {
			TAKE(run, c, a, handovers, i);
			take_timers(run, a, a->handovers[i]->ref);
		}
	take_back_sanctions(run, a);
	for (size_t k = 0; k < m->n_needs; k++) {
		const need_state *now = need_find(a, (need)m->needs[k]);
		need_state *mine = need_find(c, (need)m->needs[k]);

		if (now && mine)
			*mine = *now;
	}
	if (m->custody) {
		release_forget(c);
		take_custody(run, a);
	}
	if (c->inside)
		supervision_hold(run);
	else
		supervision_restore(run);
}

APPLY(apply_unmerged)
{
	const Reentry__CaseMerged *m = data;
	Reentry__Merge *asked;
	state *other;
	size_t kept = 0;

	if (same(record->agency, run->policy->broker_id)) {
		other = unpack_other(run, record);
		asked = other ? merge_find(other, run->subject) : NULL;
		if (asked)
			thaw(run, other, asked);
		return;
	}
	asked = merge_find(run->state, m->other);
	if (!asked)
		return;
	give_back(run, asked);
	for (size_t i = 0; i < run->state->n_merges; i++)
		if (run->state->merges[i] != asked)
			run->state->merges[kept++] = run->state->merges[i];
	run->state->n_merges = kept;
}

/* --- decide: the other case follows ------------------------------------------------------------------------------------------------- */

int rules_follow(struct rules_run *run, const struct rules_run *first)
{
	Reentry__CaseMerged merged = REENTRY__CASE_MERGED__INIT;

	merged.other = (char *)(uintptr_t)first->subject;
	return decide_follow(run, first->follow, &merged, &first->follow_state);
}
