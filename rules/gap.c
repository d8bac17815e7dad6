/* Gaps are a function of the state (domain.md 5.2); here the function, and the difference between what it says and what was told. */
#include "lib/pb.h"
#include "rules/handlers.h"

static bool unresolved(Reentry__NeedStatus__Value status)
{
	return status == STATUS(OPEN) || status == STATUS(IN_PROGRESS) || status == STATUS(NOT_POSSIBLE);
}

static bool pressing(need code)
{
	return code == NEED(HOUSING) || code == NEED(INCOME) || code == NEED(IDENTITY) || code == NEED(CARE);
}

/* A need as gaps see it: class C only as CARE. */
struct facts { need code; bool known, has_from, at_risk; Reentry__NeedStatus__Value status; civil_date from; };

static struct facts facts_of(const state *c, need code)
{
	struct facts f = { .code = code };
	const need_state *n;

	if (code == NEED(CARE)) {
		f.known = care_combined(c, &f.status, &f.has_from, &f.from);
		return f;
	}
	n = need_find(c, code);
	if (!n || !n->has_status)
		return f;
	f.known = true;
	f.status = n->status;
	f.has_from = n->has_from_date;
	f.from = n->from_date;
	f.at_risk = n->at_risk;
	return f;
}

static bool gap_of(const struct rules_run *run, const struct facts *f, Reentry__Gap *ret_gap)
{
	const state *c = run->state;
	int milestone = pressing(f->code) ? run->policy->gap_milestone_urgent : run->policy->gap_milestone;

	*ret_gap = (Reentry__Gap)REENTRY__GAP__INIT;
	SET(ret_gap, need, f->code);
	if (!f->known)
		return false;
	if (release_counts(c) && f->status == STATUS(ARRANGED) && f->has_from && f->from > c->release_date) {
		SET(ret_gap, reason, REENTRY__GAP_REASON__VALUE__LATE);
		SET(ret_gap, nights, (uint32_t)(f->from - c->release_date));
		return true;
	}
	/* Before a sentence: what its start would cost, where somebody has called it at risk (issue: before, during and after). */
	if (!release_counts(c) && !(f->at_risk && !c->inside && c->has_start_date))
		return false;
	SET(ret_gap, reason, REENTRY__GAP_REASON__VALUE__NOT_ARRANGED);
	return unresolved(f->status) && milestone_passed(run, milestone);
}

static const Reentry__Gap *told_gap(const state *c, need code)
{
	for (size_t i = 0; i < c->n_gaps; i++)
		if (c->gaps[i]->need == code)
			return c->gaps[i];
	return NULL;
}

static void detect(struct rules_run *run, const Reentry__Gap *gap)
{
	Reentry__GapDetected detected = REENTRY__GAP_DETECTED__INIT;

	SET(&detected, need, gap->need);
	SET(&detected, reason, gap->reason);
	if (gap->has_nights)
		SET(&detected, nights, gap->nights);
	emit(run, &(struct made){ .type = "gap.detected", .data = &detected });
}

static void close_gap(struct rules_run *run, need code)
{
	Reentry__GapClosed closed = REENTRY__GAP_CLOSED__INIT;

	SET(&closed, need, code);
	emit(run, &(struct made){ .type = "gap.closed", .data = &closed });
}

/* After release no new gap is raised; an open one closes when an event makes its need ARRANGED, or says that nobody ever had it. */
static bool closes_after_release(const struct rules_run *run, const struct facts *f)
{
	uint32_t touched = run->working->touched;
	uint32_t bits = f->code == NEED(CARE) ? 1u << NEED(PSYCHIATRIC) | 1u << NEED(ADDICTION) | 1u << NEED(LVB) : 1u << f->code;

	return (touched & bits) && (!f->known || f->status == STATUS(ARRANGED));
}

void gaps_settle(struct rules_run *run)
{
	/* by name */
	static const need codes[] = { NEED(CARE), NEED(DEBT), NEED(EDUCATION), NEED(FAMILY), NEED(HOUSING), NEED(IDENTITY), NEED(INCOME), NEED(INSURANCE), NEED(NETWORK), NEED(WORK) };

	if (run->state->closed)
		return;
	for (size_t i = 0; i < sizeof codes / sizeof *codes && !run->error; i++) {
		struct facts f = facts_of(run->state, codes[i]);
		const Reentry__Gap *told = told_gap(run->state, codes[i]);
		Reentry__Gap gap;
		bool has = gap_of(run, &f, &gap);

		if (has && (!told || told->reason != gap.reason || told->nights != gap.nights))
			detect(run, &gap);
		else if (!has && told && (!run->state->released || closes_after_release(run, &f)))
			close_gap(run, codes[i]);
	}
}

/* --- evolve ------------------------------------------------------------------------------------------------------------------ */

static void forget(state *c, need code)
{
	size_t kept = 0;

	for (size_t i = 0; i < c->n_gaps; i++)
		if (c->gaps[i]->need != code)
			c->gaps[kept++] = c->gaps[i];
	c->n_gaps = kept;
}

APPLY(apply_gap_detected)
{
	const Reentry__GapDetected *detected = data;
	Reentry__Gap *gap = PB_NEW(run->arena, Reentry__Gap, reentry__gap);
	Reentry__Gap **place;

	(void)record;
	forget(run->state, detected->need);
	place = ARENA_PUSH(run->arena, run->state->gaps, run->state->n_gaps);
	if (!gap || !place) {
		run->error = ERR_NOMEM;
		return;
	}
	*place = gap;
	SET(gap, need, detected->need);
	SET(gap, reason, detected->reason);
	if (detected->has_nights)
		SET(gap, nights, detected->nights);
}

APPLY(apply_gap_closed)
{
	(void)record;
	forget(run->state, ((const Reentry__GapClosed *)data)->need);
}
