/* Decide: the order of checks of domain.md 3.2, and what an event, a deadline or an acknowledgement leads to. */
#include <stdarg.h>
#include <stdio.h>

#include "lib/id.h"
#include "lib/pb.h"
#include "rules/internal.h"

struct working *working(struct rules_run *run)
{
	return run->working;
}

int refuse(struct decision *d, const char *code, const char *format, ...)
{
	va_list args;

	d->verdict->result = REENTRY__OUTCOME__VALUE__REFUSED;
	d->verdict->code = code;
	va_start(args, format);
	(void)vsnprintf(d->verdict->detail, sizeof d->verdict->detail, format, args); /* cut to fit: it is for people */
	va_end(args);
	return -1;
}

int relations_now(struct rules_run *run, struct related **ret_related, size_t *ret_n)
{
	struct relations *known = run->relations ? run->relations : &run->working->relations;

	run->error = relations_again(known, run->state, run->policy, run->arena);
	*ret_related = known->list;
	*ret_n = known->n;
	return run->error;
}

/* --- form ---------------------------------------------------------------------------------------------------------- */

static int form_ref(const char *name, const char *value, bool needed, struct err *err)
{
	if (!value)
		return needed ? err_set(err, ERR_INVALID, "%s: is missing", name) : OK;
	return ref_is_valid(value) ? OK : err_set(err, ERR_INVALID, "%s: must be 1-64 of [A-Za-z0-9._-]", name);
}

int rules_form(struct rules_input *input, struct arena *arena, struct err *err)
{
	const Reentry__Event *event = input->event;
	const struct type_row *row;
	void *data = NULL;
	int error = form_ref("id", event->id, true, err);

	if (!error)
		error = form_ref("subject", event->subject, true, err);
	if (!error)
		error = form_ref("sanction", event->sanction, false, err);
	if (!error)
		error = form_ref("target", event->target, false, err);
	if (!error)
		error = form_ref("causationid", event->cause, false, err);
	if (error)
		return error;
	if (!event->type || strlen(event->type) > REF_MAX)
		return err_set(err, ERR_INVALID, "type: is missing or too long");
	if (event->has_op && (event->op < OP(NEW) || event->op > OP(RETRACT)))
		return err_set(err, ERR_INVALID, "op: must be NEW, SUPERSEDE, CANCEL or RETRACT");
	if (event->has_priority && event->priority != URGENT && event->priority != REENTRY__PRIORITY__VALUE__NORMAL)
		return err_set(err, ERR_INVALID, "priority: must be NORMAL or URGENT");
	input->row = row = catalogue_find(event->type);
	input->data = NULL;
	if (!row)
		return OK;
	error = pb_unpack(row->payload, event->data.data, event->has_data ? event->data.len : 0, arena, &data, err);
	if (error)
		return error == ERR_INVALID ? err_prefix(err, "data") : error;
	input->data = data;
	return OK;
}

/* --- recording ------------------------------------------------------------------------------------------------------ */

static struct rules_record *record_new(struct rules_run *run, Reentry__RecordKind__Value kind)
{
	struct rules_record *record = ARENA_PUSH(run->arena, run->records, run->n_records);

	if (!record) {
		run->error = ERR_NOMEM;
		return NULL;
	}
	record->kind = kind;
	record->class = CLASS(A);
	return record;
}

/* Moves the timers that this step uses up into the record. */
static int take_fired(struct rules_run *run, size_t *ret_n, Reentry__Timer ***ret_fired)
{
	struct working *w = run->working;
	Reentry__Timer **list = NULL;
	size_t n = 0;

	for (size_t i = 0; i < w->n_fired; i++) {
		Reentry__Timer **place = ARENA_PUSH(run->arena, list, n);
		Reentry__Timer *copy = place ? PB_NEW(run->arena, Reentry__Timer, reentry__timer) : NULL;

		if (!copy)
			return run->error = ERR_NOMEM;
		*copy = *w->fired[i];
		*place = copy;
	}
	w->n_fired = 0;
	*ret_fired = list;
	*ret_n = n;
	return OK;
}

static Reentry__Class__Value class_of(const struct rules_record *record, const struct type_row *row, const void *data)
{
	need code = row->need;

	if (row->flags & ROW_CARE)
		return CLASS(C);
	if (row->payload == &reentry__need_status_changed__descriptor)
		code = ((const Reentry__NeedStatusChanged *)data)->need;
	else if (row->payload == &reentry__arranging__descriptor && !code)
		code = ((const Reentry__Arranging *)data)->need;
	else if (row->payload == &reentry__handover_offered__descriptor)
		code = ((const Reentry__HandoverOffered *)data)->need;
	else if (row->payload == &reentry__release_approaching__descriptor || row->payload == &reentry__start_approaching__descriptor
		|| row->payload == &reentry__case_snapshot__descriptor)
		return CLASS(C); /* may hold the codes of class C needs: sealed under the strictest class that it holds */
	(void)record;
	return class_c(code) ? CLASS(C) : row->class;
}

static struct rules_record *record_event(struct rules_run *run, const Reentry__Event *envelope, const char *agency, moment time)
{
	struct rules_record *record = record_new(run, REENTRY__RECORD_KIND__VALUE__EVENT);

	if (!record)
		return NULL;
	record->position = run->position++;
	record->agency = agency;
	record->subject = run->subject;
	record->envelope = envelope;
	record->event = PB_NEW(run->arena, Reentry__EventRecord, reentry__event_record);
	if (!record->event) {
		run->error = ERR_NOMEM;
		return NULL;
	}
	SET(record->event, time, time);
	SET(record->event, outcome, REENTRY__OUTCOME__VALUE__ACCEPTED);
	SET(record->event, rules_version, RULES_VERSION);
	return record;
}

/* Applies it and fills in what is only known then: phase, routes, whom it ends. */
static void finish(struct rules_run *run, size_t index, const struct type_row *row, const void *data)
{
	struct rules_record *record = &run->records[index];

	record->class = class_of(record, row, data);
	if (take_fired(run, &record->event->n_fired, &record->event->fired))
		return;
	if (run->working->other.len) {
		record->event->has_other = true;
		record->event->other = run->working->other;
		record->class = CLASS(C); /* it holds a whole case */
		run->working->other.len = 0;
	}
	evolve_event(run, record, row, data);
	if (run->error)
		return;
	SET(record->event, phase, phase_now(run->state));
	record->event->municipality = keep(run, run->state->destination);
	if (routes_fill(run, record, row, data) == OK)
		evolve_routes(run, record, row, data);
}

static Reentry__Event *make_envelope(struct rules_run *run, const struct type_row *row, const struct made *made)
{
	Reentry__Event *event = PB_NEW(run->arena, Reentry__Event, reentry__event);
	char id[ID_TEXT_SIZE];
	char seed[160];
	int n = snprintf(seed, sizeof seed, "%s %llu %s", run->policy->broker_id, (unsigned long long)run->position, row->name);

	if (!event || n < 0) {
		run->error = ERR_NOMEM;
		return NULL;
	}
	id_derive(id, run->now, seed, (size_t)n < sizeof seed ? (size_t)n : sizeof seed - 1);
	event->id = keep(run, id);
	event->type = keep(run, row->name);
	event->source = keep(run, run->policy->broker_id);
	event->subject = keep(run, run->subject);
	event->sanction = keep(run, made->sanction);
	event->target = keep(run, made->target);
	event->cause = keep(run, run->working->cause);
	SET(event, op, made->op ? made->op : OP(NEW));
	SET(event, priority, made->urgent || (row->flags & ROW_URGENT) ? URGENT : REENTRY__PRIORITY__VALUE__NORMAL);
	event->has_data = true;
	if (pb_pack(made->data, run->arena, &event->data.data, &event->data.len) != OK)
		run->error = ERR_NOMEM;
	return event;
}

const struct rules_record *emit(struct rules_run *run, const struct made *made)
{
	const struct type_row *row = catalogue_find(made->type);
	struct rules_record *record;
	Reentry__Event *event;
	size_t index;

	if (run->error)
		return NULL;
	event = make_envelope(run, row, made);
	record = run->error ? NULL : record_event(run, event, run->policy->broker_id, run->now);
	if (!record)
		return NULL;
	index = run->n_records - 1;
	SET(record->event, urgent, event->priority == URGENT);
	record->event->has_content = true;
	if (pb_pack(event, run->arena, &record->event->content.data, &record->event->content.len) != OK) {
		run->error = ERR_NOMEM;
		return NULL;
	}
	run->working->named = made->named;
	run->working->named_too = made->named_too;
	run->working->receivers = made->receivers;
	finish(run, index, row, made->data);
	run->working->named = run->working->named_too = NULL;
	run->working->receivers = 0;
	return run->error ? NULL : &run->records[index];
}

/* Timers that fell due and led to no event are used up all the same, on the record. */
static void use_up(struct rules_run *run)
{
	struct rules_record *record;

	if (!run->working->n_fired || run->error)
		return;
	record = record_new(run, REENTRY__RECORD_KIND__VALUE__TIMER);
	if (!record)
		return;
	record->position = run->position++;
	record->agency = run->policy->broker_id;
	record->timer = PB_NEW(run->arena, Reentry__TimerRecord, reentry__timer_record);
	if (!record->timer) {
		run->error = ERR_NOMEM;
		return;
	}
	SET(record->timer, rules_version, RULES_VERSION);
	if (take_fired(run, &record->timer->n_fired, &record->timer->fired))
		return;
	for (size_t i = 0; i < record->timer->n_fired; i++)
		timer_consume(run, record->timer->fired[i]);
}

/* --- who lost and who gained a relation ------------------------------------------------------------------------------ */

static bool told_end(const struct working *w, const char *agency)
{
	for (size_t i = 0; i < w->n_told_end; i++)
		if (same(w->told_end[i], agency))
			return true;
	return false;
}

static void settle_relations(struct rules_run *run)
{
	struct working *w = run->working;
	struct related *after = NULL;
	size_t n_after = 0;
	Reentry__Nothing nothing = REENTRY__NOTHING__INIT;

	if (run->error || relations_now(run, &after, &n_after))
		return;
	for (size_t i = 0; i < w->n_before; i++) {
		const struct agency *agency = w->before[i].agency;

		if (!related_find(after, n_after, agency) && !told_end(w, agency->id))
			emit(run, &(struct made){ .type = "case.withdrawn", .data = &nothing, .named = agency->id });
	}
	for (size_t i = 0; i < n_after; i++) {
		const struct related *old = related_find(w->before, w->n_before, after[i].agency);
		uint32_t had = old ? old->relations : 0;
		uint32_t gained = after[i].relations & (REL_MUNICIPALITY | REL_DESK | REL_PROVIDER) & ~had;

		if (!gained || ((had & (REL_MUNICIPALITY | REL_CUSTODIAN | REL_SUPERVISOR)) && !(gained & REL_PROVIDER)))
			continue; /* who was told of everything needs no snapshot, unless it accepts a handover (6.2): then it has the state that it accepted in one piece */
		if (!w->existed && !(gained & REL_DESK))
			continue; /* it heard the event that opened the case */
		snapshot_emit(run, after[i].agency->id);
	}
	w->before = after;
	w->n_before = n_after;
	w->n_told_end = 0;
	w->existed = true;
}

void settle(struct rules_run *run)
{
	if (run->error || !run->state || run->state->frozen)
		return;
	care_settle(run);
	gaps_settle(run);
	settle_relations(run);
}

/* --- entry points -------------------------------------------------------------------------------------------------------- */

int decide_begin(struct rules_run *run)
{
	run->working = arena_alloc(run->arena, sizeof *run->working);
	if (!run->working)
		return run->error = ERR_NOMEM;
	run->records = NULL;
	run->n_records = 0;
	run->error = OK;
	run->working->existed = run->state != NULL;
	return relations_now(run, &run->working->before, &run->working->n_before);
}

static int check_relation(struct decision *d)
{
	d->relations = relations_of_agency(d->run->state, d->run->policy, d->input->agency->id);
	if (d->row->relation) {
		if (d->row->relation(d))
			return -1;
	}
	if (!(d->row->flags & (ROW_OPENS | ROW_OWN_RELATION)) && !(d->relations & REL_ALL))
		return refuse(d, "no-such-case", "subject: there is no such case");
	if ((d->row->flags & ROW_ANSWER) && !d->relations)
		return 0; /* its offer has ended: it hears that, and nothing of the case */
	if (d->run->state && d->run->state->closed && !(d->row->flags & (ROW_OPENS | ROW_WHEN_CLOSED)))
		return refuse(d, "closed", "subject: the case is closed; only sentence.imposed and custody.started open it again");
	return 0;
}

static int check_required(struct decision *d)
{
	const char *at = d->row->required;
	bool only_key = d->op == OP(CANCEL) || d->op == OP(RETRACT);

	while (at && *at) {
		size_t n = strcspn(at, " ");
		bool key = at[0] == '!';
		char name[64];

		memcpy(name, at + key, n - key); /* a test holds the catalogue's names to the room for them */
		name[n - key] = '\0';
		if ((key || !only_key) && pb_has(d->data, name) != 1)
			return refuse(d, "invalid-value", "%s: is required for %s", name, d->row->name);
		at += n;
		at += strspn(at, " ");
	}
	return 0;
}

/* References inside a payload are held to the same form as those of the envelope (domain.md 3.1): they are routed and printed. */
static int check_references(struct decision *d)
{
	static const char *const names[] = { "handover", "booking", "other" };

	for (unsigned k = 0; k < d->row->payload->n_fields; k++) {
		const ProtobufCFieldDescriptor *f = &d->row->payload->fields[k];
		const char *value = f->type == PROTOBUF_C_TYPE_STRING && f->label == PROTOBUF_C_LABEL_OPTIONAL ? *(char *const *)((const char *)d->data + f->offset) : NULL;

		for (size_t i = 0; value && i < sizeof names / sizeof *names; i++)
			if (same(f->name, names[i]) && !ref_is_valid(value))
				return refuse(d, "invalid-value", "%s: must be 1-64 of [A-Za-z0-9._-]", names[i]);
	}
	return 0;
}

static int check_values(struct decision *d)
{
	struct err err = { 0 };

	if (pb_check(d->data, &err))
		return refuse(d, "invalid-value", "%s", err.text);
	if (check_required(d) || check_references(d))
		return -1;
	if (d->op == OP(CANCEL) || d->op == OP(RETRACT))
		return d->row->check_off ? d->row->check_off(d) : 0;
	return d->row->check ? d->row->check(d) : 0;
}

static int check(struct decision *d, uint32_t *ret_version, bool *ret_stale)
{
	const char *source = d->input->event->source;

	d->row = d->input->row ? d->input->row : catalogue_find(d->input->event->type);
	d->data = d->input->data;
	d->op = d->input->event->has_op ? d->input->event->op : OP(NEW);
	if (!d->row || !d->data)
		return refuse(d, "unknown-type", "type: the catalogue has no such type");
	if (source && *source && !same(source, d->input->agency->id))
		return refuse(d, "not-allowed", "source: this key belongs to another agency");
	if (!(d->row->publishers & ROLE_BIT(d->input->agency->role)) && !(d->row->flags & ROW_ANY_ROLE))
		return refuse(d, "not-allowed", "type: role %s may not publish %s", role_name(d->input->agency->role), d->row->name);
	if (check_relation(d) || check_values(d))
		return -1;
	return slot_check(d, ret_version, ret_stale);
}

static int record_refusal(struct rules_run *run, const struct rules_input *input, struct verdict *verdict)
{
	struct rules_record *record = record_event(run, input->event, input->agency->id, input->time);

	if (!record)
		return run->error;
	record->class = CLASS(C); /* what was refused is not known to be harmless */
	SET(record->event, outcome, REENTRY__OUTCOME__VALUE__REFUSED);
	record->event->has_content = true;
	record->event->content.data = (uint8_t *)(uintptr_t)input->content; /* read only from here on */
	record->event->content.len = input->content_n;
	record->event->code = keep(run, verdict->code);
	record->event->detail = keep(run, verdict->detail);
	verdict->position = record->position;
	return run->error;
}

int rules_publish(struct rules_run *run, const struct rules_input *input, struct verdict *ret_verdict)
{
	struct decision d = { .run = run, .input = input, .verdict = ret_verdict };
	struct rules_record *record;
	uint32_t version = 0;
	bool stale = false;
	size_t index;

	memset(ret_verdict, 0, sizeof *ret_verdict);
	ret_verdict->result = REENTRY__OUTCOME__VALUE__ACCEPTED;
	if (decide_begin(run))
		return run->error;
	if (check(&d, &version, &stale))
		return record_refusal(run, input, ret_verdict);
	record = record_event(run, input->event, input->agency->id, input->time);
	if (!record)
		return run->error;
	index = run->n_records - 1;
	ret_verdict->position = record->position;
	record->event->has_content = true;
	record->event->content.data = (uint8_t *)(uintptr_t)input->content; /* read only from here on */
	record->event->content.len = input->content_n;
	if (version)
		SET(record->event, slot_version, version);
	if (stale) {
		record->class = class_of(record, d.row, d.data);
		SET(record->event, outcome, REENTRY__OUTCOME__VALUE__STALE);
		SET(record->event, phase, phase_now(run->state));
		ret_verdict->result = REENTRY__OUTCOME__VALUE__STALE;
		(void)snprintf(ret_verdict->detail, sizeof ret_verdict->detail, "slotversion: a newer version is current; look at the case again");
		record->event->detail = keep(run, ret_verdict->detail);
		return run->error;
	}
	SET(record->event, urgent, input->event->priority == URGENT || (d.row->flags & ROW_URGENT));
	run->working->cause = input->event->id;
	if (d.row->payload == &reentry__case_merged__descriptor && merge_takes_other(run, d.row, d.data)) {
		const state *carried = strcmp(d.row->name, "case.merged") == 0 ? run->other : run->state;
		ProtobufCBinaryData packed;

		if (pb_pack(carried, run->arena, &packed.data, &packed.len))
			return run->error = ERR_NOMEM;
		run->follow = d.row->name;
		run->follow_subject = keep(run, ((const Reentry__CaseMerged *)d.data)->other);
		run->follow_state = packed;
		if (carried == run->other)
			run->working->other = packed;
	}
	finish(run, index, d.row, d.data);
	if (ret_verdict->detail[0] && !run->error)
		run->records[index].event->detail = keep(run, ret_verdict->detail);
	if (d.row->react && !run->error) {
		struct rules_record copy = run->records[index]; /* reacting may move the array */

		d.row->react(run, &copy, d.data);
	}
	settle(run);
	return run->error;
}

/* Due earliest; of the same moment the earlier kind; of the same kind the larger number first for milestones (90 before 56), else the first armed. */
static const Reentry__Timer *first_due(const state *c, moment now)
{
	const Reentry__Timer *first = NULL;

	for (size_t i = 0; i < c->n_timers; i++) {
		const Reentry__Timer *t = c->timers[i];

		if (t->due > now || !timer_runs(c, t))
			continue;
		if (!first || t->due < first->due || (t->due == first->due && t->kind < first->kind))
			first = t;
	}
	return first;
}

int rules_fire(struct rules_run *run)
{
	const Reentry__Timer *due;

	if (decide_begin(run))
		return run->error;
	for (int i = 0; i < RULES_FIRE_MAX && !run->error && run->state && (due = first_due(run->state, run->now)); i++) {
		run->working->cause = NULL;
		run->working->fired[0] = due;
		run->working->n_fired = 1;
		timer_fired(run, due);
		use_up(run);
		settle(run);
	}
	return run->error;
}

int rules_acked(struct rules_run *run, const char *agency, uint64_t position)
{
	const Reentry__Pending *pending = NULL;
	Reentry__HandoverStep step = REENTRY__HANDOVER_STEP__INIT;
	Reentry__Timer *used;
	const handover *h;

	if (decide_begin(run) || !run->state)
		return run->error;
	for (size_t i = 0; i < run->state->n_pending; i++)
		if (run->state->pending[i]->position == position && same(run->state->pending[i]->agency, agency))
			pending = run->state->pending[i];
	if (!pending)
		return OK;
	used = PB_NEW(run->arena, Reentry__Timer, reentry__timer);
	if (!used)
		return run->error = ERR_NOMEM;
	SET(used, kind, TIMER_DELIVERY);
	SET(used, n, position);
	SET(used, due, 0); /* 0: acknowledged, not overdue */
	used->ref = keep(run, agency);
	run->working->fired[0] = used;
	run->working->n_fired = 1;
	h = pending->handover ? handover_find(run->state, pending->handover) : NULL;
	if (h && h->offer == pending->offer && h->state != HANDOVER(WITHDRAWN) && h->state != HANDOVER(EXPIRED)) {
		run->working->cause = pending->event;
		step.handover = h->ref;
		SET(&step, offer, h->offer);
		emit(run, &(struct made){ .type = "handover.delivered", .data = &step });
	}
	use_up(run);
	settle(run);
	return run->error;
}

int decide_follow(struct rules_run *run, const char *type, const void *data, const ProtobufCBinaryData *other)
{
	if (decide_begin(run) || !run->state)
		return run->error;
	if (strcmp(type, "case.unmerged") == 0)
		run->working->other = *other;
	emit(run, &(struct made){ .type = type, .data = data });
	if (strcmp(type, "case.unmerged") == 0)
		settle(run);
	return run->error;
}

int rules_snapshot(struct rules_run *run, const char *agency)
{
	if (decide_begin(run) || !run->state)
		return run->error;
	if (!run->state->frozen && relations_of_agency(run->state, run->policy, agency) & REL_ALL)
		snapshot_emit(run, agency);
	return run->error;
}

const char *rules_needs_other(const Reentry__Event *event, struct arena *arena)
{
	void *data = NULL;

	if (!event->type || (strcmp(event->type, "case.merged") != 0 && strcmp(event->type, "case.unmerged") != 0))
		return NULL;
	if (pb_unpack(&reentry__case_merged__descriptor, event->data.data, event->data.len, arena, &data, NULL) != OK)
		return NULL;
	return ((const Reentry__CaseMerged *)data)->other;
}
