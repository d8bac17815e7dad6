/* Whom an event goes to: the row's receivers in the state as it is after the event (domain.md 3.2), and what each may see of class C (5.1). */
#include "lib/pb.h"
#include "rules/internal.h"

struct routing {
	struct rules_run *run;
	struct rules_record *record;
	const struct type_row *row;
	const void *data;
	struct related *after; size_t n_after;
	const Reentry__Slot *slot;
	uint64_t *has_route;                  /* a bit for each of the policy's agencies */
};

static const char *payload_text(const struct routing *r, const char *field)
{
	const ProtobufCFieldDescriptor *f = protobuf_c_message_descriptor_get_field_by_name(r->row->payload, field);

	if (!f || f->type != PROTOBUF_C_TYPE_STRING)
		return NULL;
	return *(char *const *)((const char *)r->data + f->offset);
}

static need payload_need(const struct routing *r)
{
	const ProtobufCFieldDescriptor *f = protobuf_c_message_descriptor_get_field_by_name(r->row->payload, "need");

	return f ? *(const need *)((const char *)r->data + f->offset) : r->row->need;
}

static bool provides_need(const state *c, const char *agency, need code)
{
	for (size_t i = 0; i < c->n_handovers; i++) {
		const handover *h = c->handovers[i];

		if (h->provider && same(h->to, agency) && shown_need(h->need) == shown_need(code))
			return true;
	}
	return false;
}

static bool was_told(const struct routing *r, const char *agency)
{
	for (size_t i = 0; r->slot && i < r->slot->n_told; i++)
		if (same(r->slot->told[i], agency))
			return true;
	return false;
}

static bool got_confirmed(const struct routing *r, const char *agency)
{
	for (size_t i = 0; i < r->run->state->n_confirmed_to; i++)
		if (same(r->run->state->confirmed_to[i], agency))
			return true;
	return false;
}

static bool supervises(const struct routing *r, const char *agency)
{
	const char *ref = r->record->envelope->sanction;

	for (size_t i = 0; i < r->run->state->n_sanctions; i++) {
		const sanction *s = r->run->state->sanctions[i];

		if (s->running && same(s->supervisor, agency) && (!ref || same(s->ref, ref)))
			return true;
	}
	return false;
}

static bool reaches(const struct routing *r, const struct related *who)
{
	uint32_t to = r->run->working->receivers ? r->run->working->receivers : r->row->receivers;
	const char *id = who->agency->id;
	const struct related *was = related_find(r->run->working->before, r->run->working->n_before, who->agency);
	uint32_t before = was ? was->relations : 0;

	if (r->record->envelope->op == OP(RETRACT) && same(r->row->name, "release.confirmed"))
		return (who->relations & REL_ALL) && got_confirmed(r, id);
	if (to & who->relations & REL_ALL)
		return true;
	if ((to & TO_CARE) && (who->relations & REL_PROVIDER) && who->agency->role == ROLE_CARE)
		return true;
	if ((to & TO_EMPLOYER) && (who->relations & REL_PROVIDER) && who->agency->role == ROLE_EMPLOYER)
		return true;
	if ((to & TO_NEED) && provides_need(r->run->state, id, payload_need(r)))
		return true;
	if ((to & TO_UNCONFIRMED) && who->agency->unconfirmed && (who->relations & REL_ALL))
		return true;
	if ((to & TO_BOTH) && (before & REL_CUSTODIAN))
		return true;
	if ((to & TO_KEEPING) && (who->relations & REL_MUNICIPALITY) && (before & REL_MUNICIPALITY))
		return true;
	if ((to & TO_SUPERVISING) && supervises(r, id))
		return true;
	/* A correction reaches everyone who got an earlier version and still has a relation. */
	return (who->relations & REL_ALL) && r->row->slot != SLOT_HANDOVER && r->row->slot != SLOT_DESTINATION && was_told(r, id);
}

/* May this class C event be seen at all by this receiver? */
static bool class_c_passes(const struct routing *r, uint32_t care, bool named)
{
	need code = payload_need(r);

	if (named)
		return true; /* an offer, a snapshot, a message that ends: show.c reduces them */
	if (r->row->flags & ROW_CARE)
		return care != 0;
	if (r->row->flags & ROW_NEED_CLASS)
		return !class_c(code) || (care & care_bit(code));
	return true;
}

static bool sees_care(const struct routing *r, uint32_t care)
{
	/* The combined need is for those who do not see all of what it combines, or combined before it was taken back. */
	for (size_t i = 0; i < r->run->state->n_needs; i++) {
		const need_state *n = r->run->state->needs[i];

		if (class_c(n->need) && !(care & care_bit(n->need)))
			return true;
	}
	return false;
}

static int add(struct routing *r, const struct agency *agency, uint32_t relations, bool named)
{
	Reentry__EventRecord *event = r->record->event;
	const size_t index = (size_t)(agency - r->run->policy->agencies);
	Reentry__Route *route, **place;
	bool consent = false;
	uint32_t care = care_access(r->run->state, agency, relations, r->run->now, &consent);
	bool offer = event->has_offer && (relations & REL_CANDIDATE);

	if (same(agency->id, r->record->agency) || !class_c_passes(r, care, named))
		return OK;
	if (r->row->payload == &reentry__need_status_changed__descriptor && payload_need(r) == NEED(CARE) && !sees_care(r, care))
		return OK;
	if (r->has_route[index / 64] >> index % 64 & 1)
		return OK;
	route = PB_NEW(r->run->arena, Reentry__Route, reentry__route);
	place = ARENA_PUSH(r->run->arena, event->routes, event->n_routes);
	if (!route || !place)
		return r->run->error = ERR_NOMEM;
	*place = route;
	r->has_route[index / 64] |= UINT64_C(1) << index % 64;
	route->agency = keep(r->run, agency->id);
	SET(route, relations, relations | (named ? (uint32_t)REL_NAMED : 0));
	if (care)
		SET(route, care, care);
	if (event->urgent || offer)
		SET(route, watch, true);
	if (consent)
		SET(route, consent, true);
	return OK;
}

static int add_by_id(struct routing *r, const char *id)
{
	const struct agency *agency = policy_agency(r->run->policy, id);

	return agency ? add(r, agency, relations_of_agency(r->run->state, r->run->policy, id), true) : OK;
}

/* The message that ends an agency's last relation: what is still queued for it is dropped. */
static int ends(struct routing *r, const char *id)
{
	struct working *w = r->run->working;
	char **place;

	if (!id || (!r->run->state->frozen && relations_of_agency(r->run->state, r->run->policy, id)))
		return OK;
	place = ARENA_PUSH(r->run->arena, r->record->event->ended, r->record->event->n_ended);
	if (!place)
		return r->run->error = ERR_NOMEM;
	*place = keep(r->run, id);
	SET(r->record->event, ended_before, r->run->records[0].position);
	if (w->n_told_end < sizeof w->told_end / sizeof *w->told_end)
		w->told_end[w->n_told_end++] = *place;
	return OK;
}

/* A consent that ended: what is queued by it alone is dropped (the core looks). */
static int stops(struct routing *r, const char *id)
{
	char **place = ARENA_PUSH(r->run->arena, r->record->event->stopped, r->record->event->n_stopped);

	if (!place)
		return r->run->error = ERR_NOMEM;
	*place = keep(r->run, id);
	return OK;
}

static int add_special(struct routing *r)
{
	uint32_t to = r->run->working->receivers ? r->run->working->receivers : r->row->receivers;
	const handover *h;
	int error = OK;

	if (to & TO_NAMED) {
		const char *named = same(r->record->agency, r->run->policy->broker_id) ? r->run->working->named : payload_text(r, "to");

		/* What an agency publishes names a receiver in its payload (consent); it hears it only with a relation. */
		if (named && (r->run->working->named || relations_of_agency(r->run->state, r->run->policy, named) & REL_ALL))
			error = add_by_id(r, named);
		if (!error && r->run->working->named_too)
			error = add_by_id(r, r->run->working->named_too);
	}
	if (!error && (to & TO_BOTH)) {
		error = add_by_id(r, payload_text(r, "from"));
		if (!error)
			error = add_by_id(r, payload_text(r, "to"));
	}
	if (!error && (to & TO_OTHER) && r->run->other) {
		struct related *others = NULL;
		size_t n = 0;

		error = relations_of(r->run->other, r->run->policy, r->run->arena, &others, &n);
		for (size_t i = 0; i < n && !error; i++)
			if (others[i].relations & REL_ALL)
				error = add(r, others[i].agency, others[i].relations, true);
	}
	h = (to & (TO_OFFERER | TO_TAKER)) ? handover_find(r->run->state, payload_text(r, "handover")) : NULL;
	if (!error && h && (to & TO_OFFERER) && relations_of_agency(r->run->state, r->run->policy, h->offerer))
		error = add_by_id(r, h->offerer);
	if (!error && h && (to & TO_TAKER))
		error = add_by_id(r, h->to);
	return error;
}

int routes_fill(struct rules_run *run, struct rules_record *record, const struct type_row *row, const void *data)
{
	struct routing r = { .run = run, .record = record, .row = row, .data = data };
	int error = relations_now(run, &r.after, &r.n_after);

	r.has_route = arena_alloc(run->arena, (run->policy->n_agencies / 64 + 1) * sizeof *r.has_route);
	if (error || !r.has_route)
		return run->error = error ? error : ERR_NOMEM;
	if (row->slot != SLOT_NONE)
		r.slot = slot_find(run->state, row, record->envelope, data);
	for (size_t i = 0; i < r.n_after && !error; i++)
		if (reaches(&r, &r.after[i]))
			error = add(&r, r.after[i].agency, r.after[i].relations, false);
	if (!error)
		error = add_special(&r);
	if (!error && same(row->name, "case.withdrawn"))
		error = ends(&r, run->working->named);
	if (!error && (same(row->name, "handover.expired") || same(row->name, "handover.withdrawn"))) {
		const handover *h = handover_find(run->state, payload_text(&r, "handover"));

		error = h ? ends(&r, run->working->named ? run->working->named : h->to) : OK;
	}
	if (!error && same(row->name, "consent.withdrawn"))
		error = stops(&r, payload_text(&r, "to"));
	return error ? (run->error = error) : OK;
}
