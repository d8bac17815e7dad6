/* What comes over when two references become one case, and what goes back when they become two again (docs/merging.md).
 * All of it evolves: the record of either event carries the other case. What came is marked, so that it can be told from what was here. */
#include "lib/pb.h"
#include "rules/handlers.h"

#define PUSH(run, list, n, value) \
	do { \
		__typeof__(list) place_ = ARENA_PUSH((run)->arena, list, n); \
		if (!place_) { \
			(run)->error = ERR_NOMEM; \
			return; \
		} \
		*place_ = (value); \
	} while (0)

/* Where it came from, as a pile: a case that took one in may be taken in itself. */
#define MARK(run, it, other) \
	do { \
		if ((it)->from) \
			PUSH(run, (it)->from_before, (it)->n_from_before, (it)->from); \
		(it)->from = keep(run, other); \
	} while (0)
#define UNMARK(it) ((it)->from = (it)->n_from_before ? (it)->from_before[--(it)->n_from_before] : NULL)

static const enum timer_kind custody_timers[] = {
	TIMER_HOLD, TIMER_MILESTONE, TIMER_CHECK, TIMER_SCREENING, TIMER_STILL_UNKNOWN, TIMER_FOLLOWUP, TIMER_FOLLOWUP_REMIND,
};
static const enum timer_kind start_timers[] = { TIMER_START_MILESTONE, TIMER_START_CHECK };
static const enum timer_kind handover_timers[] = { TIMER_DEADLINE, TIMER_REMIND, TIMER_URGENT_REMIND, TIMER_START_REPORT };
#define COUNT(list) (sizeof(list) / sizeof *(list))

/* ref NULL: of all. */
static void move_timers(struct rules_run *run, const state *from, const enum timer_kind *kinds, size_t n, const char *ref)
{
	for (size_t i = 0; i < n; i++)
		timer_disarm(run->state, kinds[i], ref);
	for (size_t i = 0; from && i < from->n_timers && !run->error; i++)
		for (size_t k = 0; k < n; k++)
			if (from->timers[i]->kind == kinds[k] && (!ref || same(from->timers[i]->ref, ref)))
				timer_arm(run, kinds[k], from->timers[i]->due, from->timers[i]->ref, from->timers[i]->n);
}

/* --- custody, release, aftercare ------------------------------------------------------------------------------------------------ */

static void copy_custody(state *to, const state *from)
{
	to->has_inside = from->has_inside, to->inside = from->inside;
	to->custodian = from->custodian;
	to->has_custody_start = from->has_custody_start, to->custody_start = from->custody_start;
	to->has_screened = from->has_screened, to->screened = from->screened;
	to->release_slot = from->release_slot;
	to->has_release_date = from->has_release_date, to->release_date = from->release_date;
	to->has_old_release_date = from->has_old_release_date, to->old_release_date = from->old_release_date;
	to->has_release_kind = from->has_release_kind, to->release_kind = from->release_kind;
	to->has_ordered = from->has_ordered, to->ordered = from->ordered;
	to->has_recorded_release = from->has_recorded_release, to->recorded_release = from->recorded_release;
	to->has_released = from->has_released, to->released = from->released;
	to->recorded_event = from->recorded_event;
	to->confirmed_event = from->confirmed_event;
	to->confirmed_to = from->confirmed_to, to->n_confirmed_to = from->n_confirmed_to;
	to->suspended = from->suspended, to->n_suspended = from->n_suspended;
	to->followups = from->followups, to->n_followups = from->n_followups;
}

static void take_custody(struct rules_run *run, const state *from)
{
	copy_custody(run->state, from);
	move_timers(run, from, custody_timers, COUNT(custody_timers), NULL);
}

/* What take_custody is about to replace, for the way back. */
static void save_custody(struct rules_run *run, Reentry__Merge *m)
{
	state before = REENTRY__CASE_STATE__INIT;

	copy_custody(&before, run->state);
	for (size_t i = 0; i < run->state->n_timers; i++)
		for (size_t k = 0; k < COUNT(custody_timers); k++)
			if (run->state->timers[i]->kind == custody_timers[k])
				PUSH(run, before.timers, before.n_timers, run->state->timers[i]);
	m->has_before = true;
	if (pb_pack(&before, run->arena, &m->before.data, &m->before.len) != OK)
		run->error = ERR_NOMEM;
}

static bool comes_after_release(const state *c)
{
	return phase_now(c) == PHASE(AFTER) || (c->released && phase_now(c) == PHASE(DURING));
}

/* Custody, or a release and what follows from it, where the case has neither; custody also in the place of a release. */
static void bring_custody(struct rules_run *run, Reentry__Merge *m, const state *b)
{
	state *c = run->state;
	bool released = (b->has_recorded_release || b->released) && !c->has_recorded_release && !c->released;

	if (c->inside || !(b->inside || released))
		return;
	if (b->inside && comes_after_release(c))
		handovers_hold(run); /* a re-arrest, found out late */
	save_custody(run, m);
	take_custody(run, b);
	SET(m, custody, true);
	if (b->inside)
		timer_disarm(c, TIMER_RETENTION, NULL);
}

/* --- handovers, sanctions, consents, needs, deliveries ------------------------------------------------------------------------------ */

static bool came(char **list, size_t n, const char *ref)
{
	for (size_t i = 0; i < n; i++)
		if (same(list[i], ref))
			return true;
	return false;
}

static void bring_handovers(struct rules_run *run, Reentry__Merge *m, const state *b)
{
	for (size_t i = 0; i < b->n_handovers && !run->error; i++) {
		handover *h = b->handovers[i];

		PUSH(run, run->state->handovers, run->state->n_handovers, h);
		PUSH(run, m->handovers, m->n_handovers, keep(run, h->ref));
		move_timers(run, b, handover_timers, COUNT(handover_timers), h->ref);
	}
}

static enum timer_kind sanction_timer(const sanction *s)
{
	return s->kind == KIND(SUPERVISION) ? TIMER_OVERDUE : TIMER_BEHIND;
}

static void move_sanction_timer(struct rules_run *run, const state *from, const sanction *s)
{
	enum timer_kind kind = sanction_timer(s);

	move_timers(run, from, &kind, 1, sanction_timers(s));
}

/* Is it among the first n sanctions of the case too, under the reference of the court? One that nobody has taken yet does not stand in the way of one that runs. */
static bool twice(const state *c, size_t n, const sanction *s)
{
	for (size_t i = 0; i < n; i++)
		if (s->ref && same(c->sanctions[i]->ref, s->ref) && c->sanctions[i]->kind == s->kind && (c->sanctions[i]->running || c->sanctions[i]->ended || !s->running))
			return true;
	return false;
}

static void bring_sanctions(struct rules_run *run, const Reentry__Merge *m, const state *b)
{
	state *c = run->state;
	size_t own = c->n_sanctions;

	for (size_t i = 0; i < b->n_sanctions && !run->error; i++) {
		sanction *s = b->sanctions[i];

		if (twice(c, own, s))
			continue; /* the same sanction under both references */
		MARK(run, s, m->other);
		PUSH(run, c->sanctions, c->n_sanctions, s);
		move_sanction_timer(run, b, s);
	}
}

static void bring_consents(struct rules_run *run, const Reentry__Merge *m, const state *b)
{
	state *c = run->state;

	for (size_t i = 0; i < b->n_consents && !run->error; i++) {
		Reentry__Consent *it = b->consents[i];

		MARK(run, it, m->other);
		PUSH(run, c->consents, c->n_consents, it);
		if (it->has_until)
			timer_arm(run, TIMER_CONSENT, it->until, it->to, (uint64_t)it->class_);
	}
}

static void bring_needs(struct rules_run *run, Reentry__Merge *m, const state *b)
{
	state *c = run->state;

	for (size_t i = 0; i < b->n_needs; i++)
		if (!need_find(c, b->needs[i]->need)) {
			PUSH(run, m->needs, m->n_needs, (uint32_t)b->needs[i]->need);
			PUSH(run, c->needs, c->n_needs, b->needs[i]);
		}
}

/* What somebody has been sent under the other reference and not acknowledged yet: its acknowledgement, or that none comes, counts here. */
static void bring_pending(struct rules_run *run, const Reentry__Merge *m, const state *b)
{
	static const enum timer_kind kind = TIMER_DELIVERY;
	state *c = run->state;

	for (size_t i = 0; i < b->n_pending && !run->error; i++) {
		MARK(run, b->pending[i], m->other);
		PUSH(run, c->pending, c->n_pending, b->pending[i]);
	}
	for (size_t i = 0; i < b->n_timers && !run->error; i++)
		if (b->timers[i]->kind == kind)
			timer_arm(run, kind, b->timers[i]->due, b->timers[i]->ref, b->timers[i]->n);
}

static void bring_codes(struct rules_run *run, Reentry__Merge *m, const state *b)
{
	state *c = run->state;

	if (!c->origin && b->origin)
		c->origin = m->origin = b->origin;
	if (needs_desk(c, run->policy) && b->destination && !same(c->destination, b->destination)) {
		c->destination = m->destination = b->destination;
		destination_arm(run);
	}
}

/* DURING while anything runs; else what the case itself was, unless only the other has been further. */
static Reentry__Phase__Value phase_of_both(const state *c, const state *b)
{
	if (c->inside || sanctions_running(c))
		return PHASE(DURING);
	return phase_now(c) == PHASE(BEFORE) && !c->n_sanctions && !c->has_start_date ? phase_now(b) : phase_now(c);
}

void union_bring(struct rules_run *run, Reentry__Merge *m, const state *b)
{
	state *c = run->state;
	bool inside = c->inside;

	SET(m, phase, phase_now(c));
	bring_custody(run, m, b);
	if (b->has_start_date && !c->has_start_date && !c->inside) {
		c->start_slot = b->start_slot;
		SET(c, start_date, b->start_date);
		SET(m, start, true);
		move_timers(run, b, start_timers, COUNT(start_timers), NULL);
	}
	bring_codes(run, m, b);
	bring_needs(run, m, b);
	bring_handovers(run, m, b);
	if (inside && comes_after_release(b))
		for (size_t i = 0; i < b->n_handovers; i++)
			handover_hold(run, b->handovers[i]);
	bring_sanctions(run, m, b);
	bring_consents(run, m, b);
	bring_pending(run, m, b);
	if (c->inside)
		supervision_hold(run);
	SET(c, phase, phase_of_both(c, b));
	SET(m, phase_then, c->phase);
}

/* --- on the case that went on: what came leaves again ---------------------------------------------------------------------------------- */

static void give_back_custody(struct rules_run *run, const Reentry__Merge *m)
{
	static const state none = REENTRY__CASE_STATE__INIT;
	state *c = run->state;
	void *before = NULL;

	if (m->has_before && pb_unpack_own(&reentry__case_state__descriptor, m->before.data, m->before.len, run->arena, &before))
		run->error = ERR_CORRUPT;
	take_custody(run, before ? before : &none);
	if (c->inside)
		return;
	handovers_resume(run);
	supervision_restore(run);
	if (c->released)
		retention_arm_all(run);
}

static void drop_marked(struct rules_run *run, const char *other)
{
	state *c = run->state;
	size_t kept = 0;

	for (size_t i = 0; i < c->n_sanctions; i++)
		if (same(c->sanctions[i]->from, other))
			timer_disarm(c, sanction_timer(c->sanctions[i]), sanction_timers(c->sanctions[i]));
		else
			c->sanctions[kept++] = c->sanctions[i];
	c->n_sanctions = kept;
	kept = 0;
	for (size_t i = 0; i < c->n_consents; i++)
		if (!same(c->consents[i]->from, other))
			c->consents[kept++] = c->consents[i];
	c->n_consents = kept;
	kept = 0;
	for (size_t i = 0; i < c->n_pending; i++)
		if (same(c->pending[i]->from, other))
			timer_disarm_n(c, TIMER_DELIVERY, c->pending[i]->agency, c->pending[i]->position);
		else
			c->pending[kept++] = c->pending[i];
	c->n_pending = kept;
}

static void drop_listed(struct rules_run *run, const Reentry__Merge *m)
{
	state *c = run->state;
	size_t kept = 0;

	for (size_t i = 0; i < c->n_handovers; i++)
		if (came(m->handovers, m->n_handovers, c->handovers[i]->ref))
			move_timers(run, NULL, handover_timers, COUNT(handover_timers), c->handovers[i]->ref);
		else
			c->handovers[kept++] = c->handovers[i];
	c->n_handovers = kept;
	for (size_t k = 0; k < m->n_needs; k++) {
		kept = 0;
		for (size_t i = 0; i < c->n_needs; i++)
			if ((uint32_t)c->needs[i]->need != m->needs[k])
				c->needs[kept++] = c->needs[i];
		c->n_needs = kept;
	}
}

/* The phase it had, if what happened since leaves that possible. */
static Reentry__Phase__Value phase_alone(const state *c, Reentry__Phase__Value had)
{
	bool during = c->inside || sanctions_running(c);

	if (c->inside || (during && had == PHASE(BEFORE)))
		return PHASE(DURING);
	return had == PHASE(DURING) && !during ? PHASE(AFTER) : had;
}

void union_give_back(struct rules_run *run, const Reentry__Merge *m)
{
	state *c = run->state;

	drop_listed(run, m);
	drop_marked(run, m->other);
	if (m->start && !c->inside) {
		UNSET(c, start_date);
		c->start_slot = NULL;
		move_timers(run, NULL, start_timers, COUNT(start_timers), NULL);
	}
	if (m->origin && same(c->origin, m->origin))
		c->origin = NULL;
	if (m->destination && same(c->destination, m->destination)) {
		c->destination = NULL;
		destination_arm(run);
	}
	if (m->custody)
		give_back_custody(run, m);
	SET(c, phase, phase_alone(c, phase_now(c) == m->phase_then ? m->phase : phase_now(c)));
}

/* --- on the case that is one again: it takes back what came from it, as it is by now --------------------------------------------------- */

static bool marked_or_gone(const state *a, const sanction *s, const char *self)
{
	for (size_t k = 0; k < a->n_sanctions; k++)
		if (same(a->sanctions[k]->ref, s->ref) && a->sanctions[k]->kind == s->kind && !same(a->sanctions[k]->from, self))
			return false;
	return true;
}

static void take_back_sanctions(struct rules_run *run, const state *a)
{
	state *c = run->state;
	size_t kept = 0;

	for (size_t i = 0; i < c->n_sanctions; i++)
		if (marked_or_gone(a, c->sanctions[i], run->subject))
			timer_disarm(c, sanction_timer(c->sanctions[i]), sanction_timers(c->sanctions[i]));
		else
			c->sanctions[kept++] = c->sanctions[i]; /* both had it */
	c->n_sanctions = kept;
	for (size_t k = 0; k < a->n_sanctions && !run->error; k++) {
		sanction *s = a->sanctions[k];

		if (!same(s->from, run->subject))
			continue;
		UNMARK(s);
		PUSH(run, c->sanctions, c->n_sanctions, s);
		move_sanction_timer(run, a, s);
	}
}

static void take_back_consents(struct rules_run *run, const state *a)
{
	state *c = run->state;

	c->n_consents = 0;
	c->consents = NULL;
	timer_disarm(c, TIMER_CONSENT, NULL);
	for (size_t k = 0; k < a->n_consents && !run->error; k++) {
		Reentry__Consent *it = a->consents[k];

		if (!same(it->from, run->subject))
			continue;
		UNMARK(it);
		PUSH(run, c->consents, c->n_consents, it);
		if (it->has_until)
			timer_arm(run, TIMER_CONSENT, it->until, it->to, (uint64_t)it->class_);
	}
}

static void take_back_pending(struct rules_run *run, const state *a)
{
	state *c = run->state;

	c->n_pending = 0;
	c->pending = NULL;
	timer_disarm(c, TIMER_DELIVERY, NULL);
	for (size_t k = 0; k < a->n_pending && !run->error; k++) {
		Reentry__Pending *it = a->pending[k];

		if (!same(it->from, run->subject))
			continue;
		UNMARK(it);
		PUSH(run, c->pending, c->n_pending, it);
		for (size_t i = 0; i < a->n_timers; i++)
			if (a->timers[i]->kind == TIMER_DELIVERY && a->timers[i]->n == it->position && same(a->timers[i]->ref, it->agency))
				timer_arm(run, TIMER_DELIVERY, a->timers[i]->due, it->agency, it->position);
	}
}

static void take_back_listed(struct rules_run *run, const state *a, const Reentry__Merge *m)
{
	state *c = run->state;

	c->n_handovers = 0;
	c->handovers = NULL;
	for (size_t i = 0; i < a->n_handovers && !run->error; i++)
		if (came(m->handovers, m->n_handovers, a->handovers[i]->ref)) {
			PUSH(run, c->handovers, c->n_handovers, a->handovers[i]);
			move_timers(run, a, handover_timers, COUNT(handover_timers), a->handovers[i]->ref);
		}
	for (size_t k = 0; k < m->n_needs; k++) {
		const need_state *now = need_find(a, (need)m->needs[k]);
		need_state *mine = need_find(c, (need)m->needs[k]);

		if (now && mine)
			*mine = *now;
	}
}

void union_take_back(struct rules_run *run, const state *a, const Reentry__Merge *m)
{
	state *c = run->state;
	bool moved = phase_now(a) != m->phase_then;

	c->merged_into = NULL;
	UNSET(c, frozen);
	c->left = NULL;
	c->n_left = 0;
	if (m->custody)
		take_custody(run, a);
	if (m->start) {
		c->start_slot = a->start_slot;
		c->has_start_date = a->has_start_date, c->start_date = a->start_date;
		move_timers(run, a, start_timers, COUNT(start_timers), NULL);
	}
	take_back_listed(run, a, m);
	take_back_sanctions(run, a);
	take_back_consents(run, a);
	take_back_pending(run, a);
	if (!c->released)
		timer_disarm(c, TIMER_RETENTION, NULL);
	if (c->inside) {
		supervision_hold(run);
	} else {
		supervision_restore(run);
		handovers_resume(run);
	}
	SET(c, phase, phase_alone(c, moved ? phase_now(a) : phase_now(c)));
}
