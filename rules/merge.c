/* Two references that turn out to be one person (docs/merging.md): who may say so, and what follows on the other case.
 * The subject goes on; the other becomes a name for it. What comes over and what goes back is in union.c. */
#include "lib/pb.h"
#include "rules/handlers.h"

Reentry__Merge *merge_find(const state *c, const char *other)
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

/* --- evolve ------------------------------------------------------------------------------------------------------------------ */

static state *unpack_other(struct rules_run *run, const struct rules_record *record)
{
	void *other = NULL;

	if (!record->event->has_other || pb_unpack_own(&reentry__case_state__descriptor, record->event->other.data, record->event->other.len, run->arena, &other))
		run->error = run->error ? run->error : ERR_CORRUPT;
	return other;
}

/* By the broker on the case that was taken in: at rest, but for what its receivers must destroy. No release date will be told under
 * this reference any more, so that clock runs from the last one (domain.md 9). */
static void freeze(struct rules_run *run, const char *into)
{
	run->state->merged_into = keep(run, into);
	SET(run->state, frozen, true);
	for (size_t i = 0; i < run->state->n_told; i++)
		if (!timer_find(run->state, TIMER_RETENTION, run->state->told[i]->agency))
			retention_arm(run, run->state->told[i]);
}

/* On the case that goes on: a request, or with the second agency the merge. */
APPLY(apply_merged)
{
	const Reentry__CaseMerged *m = data;
	state *c = run->state, *other;
	Reentry__Merge *asked = merge_find(c, m->other);

	if (same(record->agency, run->policy->broker_id)) {
		freeze(run, m->other);
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
		union_bring(run, asked, other);
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
			union_take_back(run, other, asked);
		return;
	}
	asked = merge_find(run->state, m->other);
	if (!asked)
		return;
	union_give_back(run, asked);
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

/* Its relation to the person has ended: what it was given under a name of before ends as well. */
int rules_leave(struct rules_run *run, const char *agency)
{
	Reentry__Nothing nothing = REENTRY__NOTHING__INIT;

	if (decide_begin(run) || !run->state || !run->state->frozen || !relations_of_agency(run->state, run->policy, agency))
		return run->error;
	emit(run, &(struct made){ .type = "case.withdrawn", .data = &nothing, .named = agency });
	return run->error;
}
