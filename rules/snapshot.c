/* case.snapshot: the state of a case for an agency that begins to know it (domain.md 4.6). Whole here; show.c cuts it to the receiver. */
#include "lib/pb.h"
#include "rules/internal.h"

static int add_need(struct rules_run *run, Reentry__CaseSnapshot *snapshot, const need_state *n)
{
	Reentry__CaseSnapshot__NeedLine *line = PB_NEW(run->arena, Reentry__CaseSnapshot__NeedLine, reentry__case_snapshot__need_line);
	Reentry__CaseSnapshot__NeedLine **place = ARENA_PUSH(run->arena, snapshot->needs, snapshot->n_needs);

	if (!line || !place)
		return run->error = ERR_NOMEM;
	*place = line;
	SET(line, need, n->need);
	SET(line, status, n->status);
	for (int i = 0; i < 2; i++) {
		Reentry__Date *date;

		if (i ? !n->has_until : !n->has_from_date)
			continue;
		date = PB_NEW(run->arena, Reentry__Date, reentry__date);
		if (!date)
			return run->error = ERR_NOMEM;
		SET(date, days, i ? n->until : n->from_date);
		*(i ? &line->until : &line->from_date) = date;
	}
	return OK;
}

static int add_handover(struct rules_run *run, Reentry__CaseSnapshot *snapshot, const handover *h)
{
	Reentry__CaseSnapshot__HandoverLine *line = PB_NEW(run->arena, Reentry__CaseSnapshot__HandoverLine, reentry__case_snapshot__handover_line);
	Reentry__CaseSnapshot__HandoverLine **place = ARENA_PUSH(run->arena, snapshot->handovers, snapshot->n_handovers);

	if (!line || !place)
		return run->error = ERR_NOMEM;
	*place = line;
	line->handover = h->ref;
	SET(line, need, h->need);
	SET(line, state, h->state);
	line->to = h->to;
	return OK;
}

void snapshot_emit(struct rules_run *run, const char *agency)
{
	const state *c = run->state;
	Reentry__CaseSnapshot *snapshot = PB_NEW(run->arena, Reentry__CaseSnapshot, reentry__case_snapshot);
	Reentry__Date date = REENTRY__DATE__INIT;

	if (!snapshot) {
		run->error = ERR_NOMEM;
		return;
	}
	SET(snapshot, phase, phase_now(c));
	if (c->has_release_date) {
		SET(&date, days, c->release_date);
		snapshot->release_date = &date;
		if (c->has_release_kind)
			SET(snapshot, kind, c->release_kind);
	}
	for (size_t i = 0; i < c->n_needs && !run->error; i++)
		if (c->needs[i]->has_status)
			(void)add_need(run, snapshot, c->needs[i]); /* the error is in run */
	for (size_t i = 0; i < c->n_handovers && !run->error; i++)
		(void)add_handover(run, snapshot, c->handovers[i]);
	emit(run, &(struct made){ .type = "case.snapshot", .data = snapshot, .named = agency });
}
