/* What an agency is shown of an event: a pure function of the record, its route and the role (design.md 1; domain.md 5.1, 6.2).
 * Only ever takes away. Most events pass as they are, as the bytes that were stored. */
#include "lib/pb.h"
#include "rules/internal.h"

struct view {
	const struct rules_record *record;
	const Reentry__Route *route;
	enum role role;
	struct arena *arena;
	const void *data;     /* unpacked, ours to change */
	bool changed;
};

static bool only(const Reentry__Route *route, uint32_t relations)
{
	uint32_t all = route->relations & (REL_ALL | REL_CANDIDATE);

	return all && !(all & ~relations);
}

/* Schools, employers and volunteers see the minimum: a date, an hour, a place (issue: before, during and after). */
bool rules_minimal_role(enum role role)
{
	return role == ROLE_EDUCATION || role == ROLE_EMPLOYER || role == ROLE_VOLUNTEER;
}

static bool minimal(const struct view *v)
{
	return rules_minimal_role(v->role) && only(v->route, REL_PROVIDER | REL_CANDIDATE);
}

/* What passes to them, by payload; a field that is not listed does not. Repeated fields become empty. */
static const struct { const ProtobufCMessageDescriptor *payload; const char *fields; } minimum[] = {
	{ &reentry__release_date_set__descriptor, " date " },
	{ &reentry__release_approaching__descriptor, " release_date days_left milestone late skipped " },
	{ &reentry__start_approaching__descriptor, " start_date days_left milestone late skipped " },
	{ &reentry__execution_planned__descriptor, " start_date " },
	{ &reentry__release_ordered__descriptor, " ordered_at " },
	{ &reentry__released__descriptor, " released_at " },
	{ &reentry__custody_started__descriptor, " start " },
	{ &reentry__followup_due__descriptor, " day " },
	{ &reentry__followup_done__descriptor, " day " },
	{ &reentry__gap_detected__descriptor, " need reason nights " },
	{ &reentry__gap_closed__descriptor, " need " },
	{ &reentry__handover_offered__descriptor, " handover to need region support start_by decide_by offer " },
	{ &reentry__handover_step__descriptor, " handover offer " },
	{ &reentry__handover_reminder__descriptor, " handover offer decide_by " },
	{ &reentry__handover_info__descriptor, " handover offer note " },
	{ &reentry__service_placed__descriptor, " place starts_on " },
	{ &reentry__case_snapshot__descriptor, " release_date needs handovers " },
	{ &reentry__erasure__descriptor, " " },
	{ &reentry__nothing__descriptor, " " },
};

static void clear_field(void *data, const ProtobufCFieldDescriptor *f)
{
	char *at = (char *)data + f->offset;

	if (f->label == PROTOBUF_C_LABEL_REPEATED)
		*(size_t *)(void *)((char *)data + f->quantifier_offset) = 0;
	else if (f->type == PROTOBUF_C_TYPE_STRING || f->type == PROTOBUF_C_TYPE_MESSAGE)
		memset(at, 0, sizeof(void *));
	else
		*(protobuf_c_boolean *)(void *)((char *)data + f->quantifier_offset) = false;
}

static bool listed(const char *fields, const char *name)
{
	const char *at = fields;
	size_t n = strlen(name);

	while ((at = strstr(at, name))) {
		if (at[-1] == ' ' && at[n] == ' ')
			return true;
		at += n;
	}
	return false;
}

static void keep_only(struct view *v, const char *fields)
{
	const ProtobufCMessageDescriptor *type = ((const ProtobufCMessage *)v->data)->descriptor;

	for (unsigned i = 0; i < type->n_fields; i++)
		if (!listed(fields, type->fields[i].name))
			clear_field((void *)(uintptr_t)v->data, &type->fields[i]);
	v->changed = true;
}

static void cut_to_minimum(struct view *v)
{
	const ProtobufCMessageDescriptor *type = ((const ProtobufCMessage *)v->data)->descriptor;

	for (size_t i = 0; i < sizeof minimum / sizeof *minimum; i++)
		if (minimum[i].payload == type) {
			keep_only(v, minimum[i].fields);
			return;
		}
	keep_only(v, " "); /* a type that nobody thought of tells nothing */
}

/* --- class C as CARE -------------------------------------------------------------------------------------------------------- */

static bool hidden(const struct view *v, need code)
{
	return class_c(code) && !(v->route->care & care_bit(code));
}

static void mask_codes(struct view *v, need *codes, size_t *n)
{
	for (size_t i = 0; i < *n; i++)
		if (hidden(v, codes[i])) {
			codes[i] = NEED(CARE);
			v->changed = true;
		}
	needs_sort(codes, n);
}

/* Needs lines of a snapshot: what may not be seen is replaced by one line CARE, combined over all three. */
static void mask_needs(struct view *v, Reentry__CaseSnapshot *s)
{
	Reentry__CaseState all = REENTRY__CASE_STATE__INIT;
	need_state states[16], *pointers[16];
	Reentry__CaseSnapshot__NeedLine *care = NULL;
	Reentry__NeedStatus__Value status = STATUS(UNKNOWN);
	bool has_from = false;
	civil_date from = 0;
	size_t kept = 0;

	for (size_t i = 0; i < s->n_needs; i++) {
		Reentry__CaseSnapshot__NeedLine *line = s->needs[i];

		if (class_c(line->need) && all.n_needs < 16) {
			need_state *n = &states[all.n_needs];

			*n = (need_state)REENTRY__NEED_STATE__INIT;
			SET(n, need, line->need);
			SET(n, status, line->status);
			if (line->from_date)
				SET(n, from_date, line->from_date->days);
			pointers[all.n_needs++] = n;
		}
		if (!hidden(v, line->need))
			s->needs[kept++] = line;
		else if (!care)
			care = s->needs[kept++] = line;
	}
	s->n_needs = kept;
	if (!care)
		return;
	all.needs = pointers;
	(void)care_combined(&all, &status, &has_from, &from); /* there is at least one: care */
	SET(care, need, NEED(CARE));
	SET(care, status, status);
	care->until = NULL;
	if (has_from && !care->from_date)
		care->from_date = PB_NEW(v->arena, Reentry__Date, reentry__date);
	if (has_from && care->from_date)
		SET(care->from_date, days, from);
	else
		care->from_date = NULL;
	v->changed = true;
}

static void show_snapshot(struct view *v, Reentry__CaseSnapshot *s)
{
	bool own_only = !(v->route->relations & (REL_MUNICIPALITY | REL_CUSTODIAN | REL_SUPERVISOR));
	uint32_t own = 0;
	size_t kept = 0;

	for (size_t i = 0; i < s->n_handovers; i++) {
		Reentry__CaseSnapshot__HandoverLine *line = s->handovers[i];

		if (same(line->to, v->route->agency))
			own |= 1u << shown_need(line->need) | 1u << line->need;
		else if (own_only)
			continue;
		if (hidden(v, line->need))
			SET(line, need, NEED(CARE));
		s->handovers[kept++] = line;
	}
	s->n_handovers = kept;
	mask_needs(v, s);
	for (kept = 0; minimal(v) && kept < s->n_needs;) {
		if (own & 1u << s->needs[kept]->need)
			kept++;
		else
			s->needs[kept] = s->needs[--s->n_needs];
	}
	v->changed = true;
}

/* An offer as its candidate may see it: number, need, region, dates, support (domain.md 6.2 rule 4). */
static void show_offer(struct view *v, Reentry__HandoverOffered *o)
{
	Reentry__Moment *by = PB_NEW(v->arena, Reentry__Moment, reentry__moment);

	if (v->record->event->has_decide_by && by) {
		SET(by, ms, v->record->event->decide_by);
		o->decide_by = by;
	}
	if (v->record->event->has_offer)
		SET(o, offer, v->record->event->offer);
	if (v->route->relations & (REL_CANDIDATE | REL_NAMED)) {
		keep_only(v, " handover to need region support start_by decide_by offer ");
		if (o->has_need)
			SET(o, need, shown_need(o->need));
	} else if (o->has_need && hidden(v, o->need)) {
		SET(o, need, NEED(CARE));
	}
	v->changed = true;
}

static void show_data(struct view *v)
{
	const ProtobufCMessageDescriptor *type = ((const ProtobufCMessage *)v->data)->descriptor;
	void *data = (void *)(uintptr_t)v->data;

	if (type == &reentry__release_approaching__descriptor) {
		Reentry__ReleaseApproaching *a = data;

		mask_codes(v, a->open_needs, &a->n_open_needs);
	} else if (type == &reentry__start_approaching__descriptor) {
		Reentry__StartApproaching *a = data;

		mask_codes(v, a->open_needs, &a->n_open_needs);
	} else if (type == &reentry__case_snapshot__descriptor) {
		show_snapshot(v, data);
	} else if (type == &reentry__handover_offered__descriptor) {
		show_offer(v, data);
	}
	if (minimal(v))
		cut_to_minimum(v);
}

/* Payloads that show_data may change for somebody who is not cut to the minimum. */
static bool may_change(const ProtobufCMessageDescriptor *type)
{
	return type == &reentry__release_approaching__descriptor || type == &reentry__start_approaching__descriptor
		|| type == &reentry__case_snapshot__descriptor || type == &reentry__handover_offered__descriptor;
}

/* Access to one class C need is not access to another. */
static bool may_see_need(const struct view *v, const struct type_row *row)
{
	const ProtobufCBinaryData *bytes = &v->record->envelope->data;
	void *data = NULL;
	need code;

	if (pb_unpack_own(row->payload, bytes->data, bytes->len, v->arena, &data) != OK)
		return false;
	code = row->payload == &reentry__arranging__descriptor ? ((const Reentry__Arranging *)data)->need : ((const Reentry__NeedStatusChanged *)data)->need;
	return !hidden(v, code);
}

static bool candidate_only(const Reentry__Route *route)
{
	return !(route->relations & REL_ALL);
}

int rules_show(const struct rules_record *record, const Reentry__Route *route, enum role role, struct arena *arena, struct shown *ret_shown)
{
	const struct type_row *row = catalogue_find(record->envelope->type);
	struct view v = { .record = record, .route = route, .role = role, .arena = arena };
	Reentry__Event *event;
	void *data = NULL;
	bool bare = candidate_only(route) || same(record->envelope->type, "case.withdrawn");
	bool urgent = record->event->urgent && record->envelope->priority != URGENT;
	bool renamed = record->subject && !same(record->subject, record->envelope->subject); /* published under a reference that was merged away: receivers file it under the case */

	if (!row)
		return ERR_NOTFOUND;
	/* A need of class C is not for a receiver whose access has ended since it was queued. */
	if ((row->flags & ROW_NEED_CLASS) && record->class == CLASS(C) && route->care != CARE_ALL && !(route->relations & REL_NAMED) && !may_see_need(&v, row))
		return ERR_NOTFOUND;
	ret_shown->municipality = bare || minimal(&v) ? NULL : record->event->municipality;
	ret_shown->has_phase = true;
	ret_shown->event = (Reentry__Event *)(uintptr_t)record->envelope;
	ret_shown->content = record->event->content.data;
	ret_shown->content_n = record->event->content.len;
	if (!may_change(row->payload) && !minimal(&v) && !urgent && !bare && !renamed)
		return OK;
	event = arena_dup(arena, record->envelope, sizeof *event);
	if (!event)
		return ERR_NOMEM;
	if (urgent)
		SET(event, priority, URGENT);
	if (renamed)
		event->subject = (char *)(uintptr_t)record->subject;
	if (bare || minimal(&v)) {
		event->sanction = NULL;
		event->cause = NULL;
	}
	if (pb_unpack_own(row->payload, event->data.data, event->data.len, arena, &data) != OK)
		return ERR_CORRUPT;
	v.data = data;
	show_data(&v);
	if (pb_pack(data, arena, &event->data.data, &event->data.len) != OK)
		return ERR_NOMEM;
	event->has_data = true;
	ret_shown->event = event;
	return pb_pack(event, arena, (uint8_t **)(uintptr_t)&ret_shown->content, &ret_shown->content_n);
}

/* Of a route rules_show looks at its relations and its care; at whose it is only in a snapshot. */
bool rules_show_alike(const struct rules_record *record, const Reentry__Route *a, enum role role_a, const Reentry__Route *b, enum role role_b)
{
	return a->relations == b->relations && a->care == b->care && role_a == role_b && !same(record->envelope->type, "case.snapshot");
}

/* --- to an auditor --------------------------------------------------------------------------------------------------------------- */

#define HAS(classes, name) (((classes) & CLASS_BIT(CLASS(name))) != 0)

/* The record is sealed as class C for what it may hold beside its own class: shown with that masked. */
static int show_masked(const struct rules_record *record, const struct type_row *row, uint32_t classes, struct arena *arena, struct shown *ret_shown)
{
	Reentry__Route anybody = REENTRY__ROUTE__INIT;

	if (!(classes & CLASS_BIT(row->class)))
		return ERR_NOTFOUND;
	if (row->payload == &reentry__case_merged__descriptor)
		return OK;
	if (!may_change(row->payload) || !HAS(classes, B))
		return ERR_NOTFOUND;
	anybody.has_relations = true;
	anybody.relations = row->payload == &reentry__handover_offered__descriptor ? REL_CANDIDATE : REL_CUSTODIAN; /* the note of an offer may tell what its need does not */
	return rules_show(record, &anybody, ROLE_AUDITOR, arena, ret_shown);
}

int rules_show_classes(const struct rules_record *record, uint32_t classes, struct arena *arena, struct shown *ret_shown)
{
	const struct type_row *row = catalogue_find(record->envelope->type);

	*ret_shown = (struct shown){ (Reentry__Event *)(uintptr_t)record->envelope, record->event->content.data, record->event->content.len, record->event->municipality,
		record->event->has_phase };
	if (!row)
		return ERR_NOTFOUND;
	if (classes & CLASS_BIT(record->class))
		return OK;
	return record->class == CLASS(C) ? show_masked(record, row, classes, arena, ret_shown) : ERR_NOTFOUND;
}
