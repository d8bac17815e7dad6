/* Evolve: the only code that changes a case's state. A live decision and a rebuild run the same lines here. */
#include "lib/pb.h"
#include "rules/internal.h"

char *keep(struct rules_run *run, const char *text)
{
	char *copy = arena_strdup(run->arena, text);

	if (text && !copy)
		run->error = ERR_NOMEM;
	return copy;
}

Reentry__Phase__Value phase_now(const state *c)
{
	return c->has_phase ? c->phase : PHASE(BEFORE);
}

static bool open_case(struct rules_run *run)
{
	state *c = PB_NEW(run->arena, Reentry__CaseState, reentry__case_state);

	if (!c) {
		run->error = ERR_NOMEM;
		return false;
	}
	c->ref = keep(run, run->subject);
	SET(c, opened_at, run->now);
	SET(c, phase, PHASE(BEFORE));
	run->state = c;
	return true;
}

void evolve_event(struct rules_run *run, struct rules_record *record, const struct type_row *row, const void *data)
{
	if (record->event->outcome != REENTRY__OUTCOME__VALUE__ACCEPTED)
		return;
	if (!run->state && !open_case(run))
		return;
	for (size_t i = 0; i < record->event->n_fired; i++)
		timer_consume(run, record->event->fired[i]);
	if (row->apply)
		row->apply(run, record, data);
}

/* The last release date that an agency has been told, by whatever told it. */
static bool told_date(const struct rules_run *run, const struct type_row *row, const void *data, civil_date *ret_date)
{
	if (strcmp(row->name, "release.date-set") == 0) {
		const Reentry__ReleaseDateSet *set = data;

		*ret_date = set->date ? set->date->days : 0;
		return set->date && run->state->has_release_date;
	}
	if (strcmp(row->name, "release.confirmed") == 0) {
		const Reentry__Released *released = data;

		if (!released->released_at)
			return false;
		*ret_date = civil_date_of(run->policy->zone, released->released_at->ms);
		return true;
	}
	if (strcmp(row->name, "release.ordered") == 0 || strcmp(row->name, "case.snapshot") == 0) {
		*ret_date = run->state->release_date;
		return run->state->has_release_date;
	}
	return false;
}

static void remember_pending(struct rules_run *run, const struct rules_record *record, const Reentry__Route *route, bool urgent)
{
	state *c = run->state;
	Reentry__Pending *pending = PB_NEW(run->arena, Reentry__Pending, reentry__pending);
	Reentry__Pending **place = ARENA_PUSH(run->arena, c->pending, c->n_pending);

	if (!pending || !place) {
		run->error = ERR_NOMEM;
		c->n_pending -= place ? 1 : 0;
		return;
	}
	*place = pending;
	pending->agency = keep(run, route->agency);
	SET(pending, position, record->position);
	pending->publisher = keep(run, record->agency);
	pending->event = keep(run, record->envelope->id);
	SET(pending, urgent, urgent);
	if (record->event->has_offer && (route->relations & REL_CANDIDATE)) {
		const Reentry__HandoverOffered *offered = NULL;

		if (pb_unpack_own(&reentry__handover_offered__descriptor, record->envelope->data.data, record->envelope->data.len, run->arena, &offered) == OK)
			pending->handover = keep(run, offered->handover);
		SET(pending, offer, record->event->offer);
	}
	if (urgent)
		timer_arm(run, TIMER_DELIVERY, run->now + run->policy->delivery_overdue, route->agency, record->position);
}

static void forget_agency(struct rules_run *run, const char *agency)
{
	state *c = run->state;
	size_t kept = 0;

	for (size_t i = 0; i < c->n_pending; i++)
		if (!same(c->pending[i]->agency, agency))
			c->pending[kept++] = c->pending[i];
	c->n_pending = kept;
	timer_disarm(c, TIMER_DELIVERY, agency);
	retention_forget(c, agency);
	if (c->frozen) {
		char **place = ARENA_PUSH(run->arena, c->left, c->n_left);

		if (!place)
			run->error = ERR_NOMEM;
		else
			*place = keep(run, agency);
	}
}

/* guess: where it may well be. */
static bool in_list(char **list, size_t n, const char *text, size_t guess)
{
	if (guess < n && same(list[guess], text))
		return true;
	for (size_t i = 0; i < n; i++)
		if (same(list[i], text))
			return true;
	return false;
}

void evolve_routes(struct rules_run *run, const struct rules_record *record, const struct type_row *row, const void *data)
{
	const Reentry__EventRecord *event = record->event;
	Reentry__Slot *slot;
	civil_date date;

	if (event->outcome != REENTRY__OUTCOME__VALUE__ACCEPTED || !run->state)
		return;
	for (size_t i = 0; i < event->n_ended; i++)
		forget_agency(run, event->ended[i]);
	slot = row->slot == SLOT_NONE ? NULL : slot_find(run->state, row, record->envelope, data);
	for (size_t i = 0; i < event->n_routes; i++) {
		const Reentry__Route *route = event->routes[i];

		if (route->watch)
			remember_pending(run, record, route, event->urgent);
		if (slot && !in_list(slot->told, slot->n_told, route->agency, i)) {
			char **place = ARENA_PUSH(run->arena, slot->told, slot->n_told);

			if (!place) {
				run->error = ERR_NOMEM;
				return;
			}
			*place = keep(run, route->agency);
		}
		if (told_date(run, row, data, &date))
			retention_told(run, route->agency, i, date);
		if (strcmp(row->name, "release.confirmed") == 0 && record->envelope->op != OP(RETRACT)) {
			char **place = ARENA_PUSH(run->arena, run->state->confirmed_to, run->state->n_confirmed_to);

			if (!place) {
				run->error = ERR_NOMEM;
				return;
			}
			*place = keep(run, route->agency);
		}
	}
	if (strcmp(row->name, "release.confirmed") == 0 && record->envelope->op != OP(RETRACT))
		retention_arm_all(run);
}

int rules_record_load(struct rules_record *record, struct arena *arena)
{
	void *event = NULL;

	if (record->kind != REENTRY__RECORD_KIND__VALUE__EVENT)
		return OK;
	if (!record->event || pb_unpack_own(&reentry__event__descriptor, record->event->content.data, record->event->content.len, arena, &event) != OK)
		return ERR_CORRUPT;
	record->envelope = event;
	return OK;
}

int rules_evolve(struct rules_run *run, const struct rules_record *record)
{
	struct rules_record mutable = *record;
	const struct type_row *row;
	void *data = NULL;

	if (record->kind == REENTRY__RECORD_KIND__VALUE__TIMER) {
		for (size_t i = 0; run->state && i < record->timer->n_fired; i++)
			timer_consume(run, record->timer->fired[i]);
		return run->error;
	}
	if (record->event->outcome != REENTRY__OUTCOME__VALUE__ACCEPTED)
		return OK;
	row = catalogue_find(record->envelope->type);
	if (!row || pb_unpack_own(row->payload, record->envelope->data.data, record->envelope->data.len, run->arena, &data) != OK)
		return ERR_CORRUPT;
	evolve_event(run, &mutable, row, data);
	if (!run->error)
		evolve_routes(run, record, row, data);
	return run->error;
}
