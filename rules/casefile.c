/* The case as a page, and as a line of a work list: one JSON object, cut to what the asking agency may see (design.md 4, domain.md 6.2 rule 1). */
#include "lib/buf.h"
#include "lib/json.h"
#include "lib/pb.h"
#include "rules/internal.h"

struct page {
	const state *c;
	const struct policy *policy;
	const struct agency *asking;
	moment now;
	uint32_t relations, care;
	struct buf out;
};

static const char *enum_name(const ProtobufCEnumDescriptor *type, int value)
{
	const ProtobufCEnumValue *found = protobuf_c_enum_descriptor_get_value(type, value);

	return found ? found->name : "";
}

static void date_member(struct buf *out, const char *name, civil_date date)
{
	char text[CIVIL_DATE_SIZE];

	buf_printf(out, ",\"%s\":\"%s\"", name, civil_format_date(date, text));
}

static void moment_member(struct buf *out, const char *name, moment when)
{
	char text[CIVIL_MOMENT_SIZE];

	buf_printf(out, ",\"%s\":\"%s\"", name, civil_format_moment(when, text));
}

/* Needs are for those who are told of them; everybody else sees none (domain.md 3.2). */
static bool sees_needs(const struct page *p)
{
	return p->relations & (REL_MUNICIPALITY | REL_CUSTODIAN | REL_SUPERVISOR) || ((p->relations & REL_PROVIDER) && p->asking->role == ROLE_CARE);
}

static void need_line(struct page *p, const need_state *n, need code, bool *first)
{
	buf_printf(&p->out, "%s{\"need\":\"%s\",\"status\":\"%s\"", *first ? "" : ",", need_name(code), enum_name(&reentry__need_status__value__descriptor, (int)n->status));
	if (n->has_from_date)
		date_member(&p->out, "from_date", n->from_date);
	if (n->has_until)
		date_member(&p->out, "until", n->until);
	buf_text(&p->out, "}");
	*first = false;
}

static void needs(struct page *p)
{
	need_state care = REENTRY__NEED_STATE__INIT;
	bool first = true, hidden = false, has_from = false;

	buf_text(&p->out, ",\"needs\":[");
	for (size_t i = 0; sees_needs(p) && i < p->c->n_needs; i++) {
		const need_state *n = p->c->needs[i];

		if (!n->has_status)
			continue;
		if (class_c(n->need) && !(p->care & care_bit(n->need)))
			hidden = true;
		else
			need_line(p, n, n->need, &first);
	}
	if (hidden && care_combined(p->c, &care.status, &has_from, &care.from_date)) {
		care.has_from_date = has_from;
		need_line(p, &care, NEED(CARE), &first);
	}
	buf_text(&p->out, "]");
}

static bool sees_gap(const struct page *p, const Reentry__Gap *gap)
{
	if (p->relations & (REL_MUNICIPALITY | REL_CUSTODIAN | REL_SUPERVISOR))
		return true;
	for (size_t i = 0; i < p->c->n_handovers; i++)
		if (p->c->handovers[i]->provider && same(p->c->handovers[i]->to, p->asking->id) && shown_need(p->c->handovers[i]->need) == gap->need)
			return true;
	return false;
}

static void gaps(struct page *p)
{
	bool first = true;

	buf_text(&p->out, ",\"gaps\":[");
	for (size_t i = 0; i < p->c->n_gaps; i++) {
		const Reentry__Gap *gap = p->c->gaps[i];

		if (!sees_gap(p, gap))
			continue;
		buf_printf(&p->out, "%s{\"need\":\"%s\",\"reason\":\"%s\"", first ? "" : ",", need_name(gap->need), enum_name(&reentry__gap_reason__value__descriptor, (int)gap->reason));
		if (gap->has_nights)
			buf_printf(&p->out, ",\"nights\":%u", gap->nights);
		buf_text(&p->out, "}");
		first = false;
	}
	buf_text(&p->out, "]");
}

static bool sees_handover(const struct page *p, const handover *h)
{
	return (p->relations & (REL_MUNICIPALITY | REL_CUSTODIAN | REL_SUPERVISOR)) || same(h->to, p->asking->id) || same(h->offerer, p->asking->id);
}

static void handover_line(struct page *p, const handover *h)
{
	need code = class_c(h->need) && !(p->care & care_bit(h->need)) ? NEED(CARE) : h->need;
	bool candidate = !(p->relations & REL_ALL);

	buf_text(&p->out, "{\"handover\":");
	json_quote(&p->out, h->ref);
	buf_printf(&p->out, ",\"offer\":%u,\"need\":\"%s\",\"state\":\"%s\"", h->offer, need_name(code), enum_name(&reentry__handover_state__value__descriptor, (int)h->state));
	if (h->to) {
		buf_text(&p->out, ",\"to\":");
		json_quote(&p->out, h->to);
	}
	if (h->offerer) {
		buf_text(&p->out, ",\"offered_by\":");
		json_quote(&p->out, h->offerer);
	}
	if (h->region) {
		buf_text(&p->out, ",\"region\":");
		json_quote(&p->out, h->region);
	}
	if (h->support) {
		buf_text(&p->out, ",\"support\":");
		json_quote(&p->out, h->support);
	}
	if (h->has_start_by)
		date_member(&p->out, "start_by", h->start_by);
	if (h->has_start_date)
		date_member(&p->out, "start_date", h->start_date);
	if (handover_open(h))
		moment_member(&p->out, "decide_by", h->decide_by);
	if (h->urgent)
		buf_text(&p->out, ",\"urgent\":true");
	if (h->unplaced)
		buf_text(&p->out, ",\"unplaced\":true");
	if ((h->state == HANDOVER(ACCEPTED) || h->state == HANDOVER(RECONFIRM)) && h->has_start_date && h->start_date < policy_today(p->policy, p->now))
		buf_text(&p->out, ",\"start_not_reported\":true");
	if (!candidate) {
		buf_text(&p->out, ",\"responsible\":");
		json_quote(&p->out, responsible(p->c, h, p->policy, p->now));
	}
	buf_text(&p->out, "}");
}

static void handovers(struct page *p)
{
	bool first = true;

	buf_text(&p->out, ",\"handovers\":[");
	for (size_t i = 0; i < p->c->n_handovers; i++) {
		if (!sees_handover(p, p->c->handovers[i]))
			continue;
		buf_text(&p->out, first ? "" : ",");
		handover_line(p, p->c->handovers[i]);
		first = false;
	}
	buf_text(&p->out, "]");
}

const char *rules_relation_name(size_t i, uint32_t *ret_bit)
{
	static const struct { uint32_t bit; const char *name; } names[] = {
		{ REL_CUSTODIAN, "custodian" }, { REL_SUPERVISOR, "supervisor" }, { REL_AUTHORITY, "authority" }, { REL_MUNICIPALITY, "municipality" },
		{ REL_CANDIDATE, "candidate" }, { REL_PROVIDER, "provider" }, { REL_DESK, "desk" },
	};

	if (i >= sizeof names / sizeof *names)
		return NULL;
	*ret_bit = names[i].bit;
	return names[i].name;
}

static void relations_list(struct buf *out, uint32_t relations)
{
	const char *name;
	bool first = true;
	uint32_t bit;

	buf_text(out, "[");
	for (size_t i = 0; (name = rules_relation_name(i, &bit)); i++)
		if (relations & bit) {
			buf_printf(out, "%s\"%s\"", first ? "" : ",", name);
			first = false;
		}
	buf_text(out, "]");
}

static void relations_member(struct page *p)
{
	buf_text(&p->out, ",\"relations\":");
	relations_list(&p->out, p->relations);
}

static void text_member(struct buf *out, const char *name, const char *text)
{
	if (!text)
		return;
	buf_printf(out, ",\"%s\":", name);
	json_quote(out, text);
}

/* Dates and places: for relations, not for candidates; schools, employers and volunteers see the date alone. */
static void dates(struct page *p)
{
	const state *c = p->c;
	bool minimal = (p->asking->role == ROLE_EDUCATION || p->asking->role == ROLE_EMPLOYER || p->asking->role == ROLE_VOLUNTEER);

	if (!(p->relations & REL_ALL))
		return;
	if (c->has_release_date) {
		date_member(&p->out, "release_date", c->release_date);
		if (!c->released)
			buf_printf(&p->out, ",\"days_left\":%d", c->release_date - policy_today(p->policy, p->now));
	}
	if (c->has_start_date)
		date_member(&p->out, "start_date", c->start_date);
	if (minimal)
		return;
	buf_printf(&p->out, ",\"phase\":\"%s\",\"inside\":%s", enum_name(&reentry__phase__value__descriptor, (int)phase_now(c)), c->inside ? "true" : "false");
	if (c->has_release_date && c->has_release_kind)
		buf_printf(&p->out, ",\"kind\":\"%s\"", enum_name(&reentry__release_kind__value__descriptor, (int)c->release_kind));
	if (c->ordered)
		buf_text(&p->out, ",\"ordered\":true");
	text_member(&p->out, "custodian", c->custodian);
	text_member(&p->out, "origin", c->origin);
	text_member(&p->out, "destination", c->destination);
	if (c->release_slot)
		buf_printf(&p->out, ",\"release_version\":%u", c->release_slot->version);
	if (c->released)
		moment_member(&p->out, "released_at", c->recorded_release);
	if (c->closed)
		buf_text(&p->out, ",\"closed\":true");
}

/* What work lists filter by. */
static void flags(struct page *p)
{
	const state *c = p->c;
	const Reentry__Timer *screening = timer_find(c, TIMER_SCREENING, NULL), *hold = timer_find(c, TIMER_HOLD, NULL);
	bool unplaced = false;

	for (size_t i = 0; i < c->n_handovers; i++)
		unplaced = unplaced || (c->handovers[i]->unplaced && sees_handover(p, c->handovers[i]));
	if (unplaced)
		buf_text(&p->out, ",\"unplaced\":true");
	if (!(p->relations & (REL_ALL & ~REL_PROVIDER)))
		return;
	if (needs_desk(c, p->policy))
		buf_text(&p->out, ",\"no_destination\":true");
	if (c->inside && !c->has_release_date)
		buf_text(&p->out, ",\"no_date\":true");
	if (screening && (p->relations & (REL_CUSTODIAN | REL_MUNICIPALITY)))
		moment_member(&p->out, "screening_due", screening->due);
	if (hold && ((p->relations & REL_CUSTODIAN) || p->asking->unconfirmed))
		moment_member(&p->out, "hold_ends", hold->due);
}

static int finish(struct page *p, struct arena *arena, char **ret_json)
{
	int error = p->out.error;

	if (!error && !(*ret_json = arena_dup(arena, p->out.bytes, p->out.n + 1)))
		error = ERR_NOMEM;
	buf_release(&p->out);
	return error;
}

static int begin(struct page *p)
{
	p->relations = p->c ? relations_of_agency(p->c, p->policy, p->asking->id) : 0;
	if (!p->relations)
		return ERR_NOTFOUND;
	p->care = care_access(p->c, p->asking, p->relations, p->now, NULL);
	buf_init(&p->out);
	buf_text(&p->out, "{\"case\":");
	json_quote(&p->out, p->c->ref);
	return OK;
}

int rules_case_view(const Reentry__CaseState *c, const struct policy *policy, const struct agency *asking, moment now, struct arena *arena, char **ret_json)
{
	struct page p = { .c = c, .policy = policy, .asking = asking, .now = now };
	int error = begin(&p);

	if (error)
		return error;
	relations_member(&p);
	text_member(&p.out, "merged_into", c->merged_into);
	dates(&p);
	flags(&p);
	needs(&p);
	gaps(&p);
	handovers(&p);
	buf_text(&p.out, "}");
	return finish(&p, arena, ret_json);
}

int rules_case_line(const Reentry__CaseState *c, const struct policy *policy, const struct agency *asking, moment now, struct arena *arena, char **ret_json)
{
	struct page p = { .c = c, .policy = policy, .asking = asking, .now = now };
	int error = c && c->merged_into ? ERR_NOTFOUND : begin(&p); /* its work is listed under the case that goes on */

	if (error)
		return error;
	relations_member(&p);
	dates(&p);
	flags(&p);
	gaps(&p);
	handovers(&p);
	buf_text(&p.out, "}");
	return finish(&p, arena, ret_json);
}

/* Who has a relation to the case, and which. */
static int related_member(struct page *p, struct arena *arena)
{
	struct related *related = NULL;
	size_t n = 0;
	int error = relations_of(p->c, p->policy, arena, &related, &n);

	buf_text(&p->out, ",\"related\":[");
	for (size_t i = 0; i < n; i++) {
		buf_text(&p->out, i ? ",{\"agency\":" : "{\"agency\":");
		json_quote(&p->out, related[i].agency->id);
		buf_text(&p->out, ",\"relations\":");
		relations_list(&p->out, related[i].relations);
		buf_text(&p->out, "}");
	}
	buf_text(&p->out, "]");
	return error;
}

int rules_case_state(const Reentry__CaseState *c, const struct policy *policy, uint32_t classes, moment now, struct arena *arena, char **ret_json)
{
	static const struct agency somebody = { .id = "", .role = ROLE_AUDITOR };
	struct page p = { .c = c, .policy = policy, .asking = &somebody, .now = now, .relations = REL_ALL, .care = classes & CLASS_BIT(CLASS(C)) ? CARE_ALL : 0 };
	int error = OK;

	buf_init(&p.out);
	buf_text(&p.out, "{\"case\":");
	json_quote(&p.out, c->ref);
	if (classes & CLASS_BIT(CLASS(A))) {
		text_member(&p.out, "merged_into", c->merged_into);
		error = related_member(&p, arena);
		dates(&p);
		flags(&p);
	}
	if (classes & CLASS_BIT(CLASS(B))) {
		needs(&p);
		gaps(&p);
		handovers(&p);
	}
	buf_text(&p.out, "}");
	if (error) {
		buf_release(&p.out);
		return error;
	}
	return finish(&p, arena, ret_json);
}
