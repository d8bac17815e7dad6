/* Reads what a turn appended, in order: folds it into the model, holds each record's receivers against the table, books what agencies are owed,
 * and at the end of each decision asks what it should have led to. */
#include "tests/sim/sim.h"

#include <stdlib.h>
#include <string.h>

#include "lib/pb.h"

#define EVENT REENTRY__RECORD_KIND__VALUE__EVENT
#define TIMER REENTRY__RECORD_KIND__VALUE__TIMER
#define ACKED_RECORD REENTRY__RECORD_KIND__VALUE__ACKED
#define NEED(name) REENTRY__NEED__VALUE__##name
#define STATUS(name) REENTRY__NEED_STATUS__VALUE__##name

/* --- decisions ---------------------------------------------------------------------------------------------------------------- */

static void decision_begin(struct sim *s, struct m_case *c, uint64_t position, moment at)
{
	decision_end(s, c);
	relations_refresh(s, c);
	memcpy(c->before, c->now, sizeof c->before);
	c->existed = c->exists;
	c->deciding = true;
	c->decision = position;
	c->decided_at = at;
	c->ended = c->snapshots = c->regained = 0;
	c->published = 0;
	c->escalate_now = false;
	c->must_escalate = c->escalated = c->must_report = c->reported = 0;
	c->dates_changed = false;
	c->expect_next = -1;
}

/* What the deadlines that fell due must lead to, by the state as they find it (6.3). */
static void escalations_due(const struct sim *s, struct m_case *c, Reentry__Timer *const *fired, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const char *name = rules_timer_name(fired[i]->kind);
		const struct m_handover *h = handover_of(c, fired[i]->ref);

		if (strcmp(name, "gap-check") == 0 && fired[i]->n == (uint64_t)s->policy->gap_milestone_urgent && counts(c))
			c->must_escalate = unresolved(c);
		if (strcmp(name, "start-report") == 0 && h && (h->state == REENTRY__HANDOVER_STATE__VALUE__ACCEPTED || h->state == REENTRY__HANDOVER_STATE__VALUE__RECONFIRM))
			c->must_report |= UINT32_C(1) << (h - c->handovers);
	}
}

/* Who lost the last relation got the one message that ends it; who gained one got a snapshot (4.6), and nobody else. */
static void relations_settled(struct sim *s, const struct m_case *c)
{
	for (int i = 0; i < (int)s->policy->n_agencies; i++) {
		bool gained = (c->now[i] & (GM | DK | PR) & ~c->before[i]) != 0, saw_all = c->before[i] & (GM | PI | SV);
		bool snapshot = (c->snapshots & ONE(i)) != 0;

		if (c->before[i] && !c->now[i] && !(c->ended & ONE(i)))
			violated(s, "relation-ended", "%s lost %s (%x) and was not told", agency_id(s, i), c->ref, c->before[i]);
		if (!c->existed && !(c->now[i] & DK))
			gained = false; /* it heard the event that opened the case */
		if (gained && !saw_all && !snapshot && !((c->now[i] & ~(uint32_t)PR & ALL) == 0 && c->before[i] & PR))
			violated(s, "snapshot", "%s gained %s (%x to %x) and got no snapshot", agency_id(s, i), c->ref, c->before[i], c->now[i]);
		if (snapshot && !gained)
			violated(s, "snapshot", "%s got a snapshot of %s and gained nothing (%x to %x)", agency_id(s, i), c->ref, c->before[i], c->now[i]);
	}
}

static void gaps_settled(struct sim *s, struct m_case *c, moment now)
{
	struct m_gap is;

	for (int need = 1; need < NEEDS && !c->closed && FINE(s); need++) {
		struct m_gap *told = &c->gaps[need];
		bool has = gap_now(s, c, need, now, &is);

		if (told->open && !c->released && plant(s, FAULT_GAP_MISSED))
			told->open = false;
		if (c->released && !has) {
			const struct m_need *n = &c->needs[need];
			bool known = n->known, from = false;
			int status = n->status;
			civil_date date;

			if (need == NEED(CARE))
				known = combined_care(c, &status, &from, &date);
			if (told->open && (c->published & UINT32_C(1) << need) && known && status == STATUS(ARRANGED))
				violated(s, "gap-after-release", "%s: need %d became ARRANGED and its gap is open", c->ref, need);
		} else if (has != told->open || (has && (is.reason != told->reason || is.nights != told->nights))) {
			violated(s, "gap-function", "%s: need %d has gap %d (reason %d, %u nights), told %d (reason %d, %u nights)", c->ref, need, has, is.reason, is.nights, told->open, told->reason, told->nights);
		}
	}
}

static void deadlines_settled(struct sim *s, struct m_case *c)
{
	for (size_t i = 0; i < c->n_handovers && c->dates_changed; i++) {
		struct m_handover *h = &c->handovers[i];
		bool urgent = false;
		moment by = offer_deadline_now(s, c, h, c->decided_at, &urgent);

		if (!is_open(h))
			continue;
		if (urgent && !h->urgent)
			violated(s, "decide-by", "%s %s should have become urgent", c->ref, h->ref);
		if (!h->urgent && h->decide_by != by)
			violated(s, "decide-by", "%s %s: decide by %lld, should be %lld", c->ref, h->ref, (long long)h->decide_by, (long long)by);
	}
}

static void care_settled(struct sim *s, const struct m_case *c)
{
	int status = STATUS(UNKNOWN);
	bool has_from = false, known;
	civil_date from = 0;

	known = combined_care(c, &status, &has_from, &from);
	if (!known && !c->care_told)
		return;
	if (!known)
		status = STATUS(UNKNOWN);
	if (!c->care_told || status != c->care_status || has_from != c->care_has_from || (has_from && from != c->care_from))
		violated(s, "care", "%s: CARE changed and was not told", c->ref);
}

/* What the decision should have led to by now. */
void decision_end(struct sim *s, struct m_case *c)
{
	if (!c->deciding || !FINE(s))
		return;
	c->deciding = false;
	relations_settled(s, c);
	gaps_settled(s, c, c->decided_at);
	deadlines_settled(s, c);
	care_settled(s, c);
	if (c->to_release.expect || c->to_start.expect)
		violated(s, "notice-at-once", "%s: milestones are due and nobody was told", c->ref);
	if (c->expect_confirm || c->expect_retract)
		violated(s, "confirm-at-once", "%s: release.confirmed or its RETRACT should have gone out", c->ref);
	for (size_t i = 0; c->closed && i < c->n_handovers; i++)
		if (is_open(&c->handovers[i]))
			violated(s, "closed", "%s is closed and %s is open", c->ref, c->handovers[i].ref);
	if (c->escalate_now)
		c->must_escalate = unresolved(c);
	if (c->must_escalate != c->escalated || c->must_report != c->reported)
		violated(s, "escalated", "%s: handovers %x were escalated at milestone 2, should be %x; starts not reported %x, should be %x", c->ref, c->escalated, c->must_escalate, c->reported, c->must_report);
	if (c->expect_next >= 0)
		violated(s, "then", "%s %s: neither the next offer nor unplaced followed", c->ref, c->handovers[c->expect_next].ref);
	for (size_t i = 0; i < c->n_sanctions; i++) {
		const struct m_sanction *x = &c->sanctions[i];

		if (x->running && x->kind == REENTRY__SENTENCE_KIND__VALUE__COMMUNITY_SERVICE && x->hours && hours_booked(x) >= (int)x->hours)
			violated(s, "hours", "%s: all hours are booked and it is not completed", c->ref);
	}
}

/* --- routes ------------------------------------------------------------------------------------------------------------------------- */

static agents actual(struct sim *s, const struct seen *r)
{
	agents set = 0;

	for (size_t i = 0; i < r->record->n_routes; i++) {
		int agency = agency_of(s, r->record->routes[i]->agency);

		if (agency < 0)
			violated(s, "receivers", "%s at %llu goes to %s", r->type->name, (unsigned long long)r->position, r->record->routes[i]->agency);
		else if (set & ONE(agency))
			violated(s, "receivers", "%s at %llu goes to %s twice", r->type->name, (unsigned long long)r->position, agency_id(s, agency));
		else
			set |= ONE(agency);
	}
	return set;
}

static bool ending(const struct seen *r)
{
	return strcmp(r->type->name, "case.withdrawn") == 0 || strcmp(r->type->name, "handover.expired") == 0 || strcmp(r->type->name, "handover.withdrawn") == 0;
}

/* No delivery without a relation, but for the one message that ends it; nothing after that one. */
static void relation_checked(struct sim *s, struct m_case *c, const struct seen *r, int agency)
{
	bool has = c->now[agency] != 0;

	if (ending(r) && !has && plant(s, FAULT_NO_END))
		return;
	if (!has && !c->before[agency])
		violated(s, "no-relation", "%s at %llu goes to %s, which has no relation to %s", r->type->name, (unsigned long long)r->position, agency_id(s, agency), c->ref);
	else if (!has && (c->ended & ONE(agency)))
		violated(s, "after-end", "%s at %llu goes to %s after the message that ended it", r->type->name, (unsigned long long)r->position, agency_id(s, agency));
	else if (!(c->now[agency] & ALL) && !(c->before[agency] & ALL) && strncmp(r->type->name, "handover.", 9) != 0 && !ending(r))
		violated(s, "candidate-sees", "%s at %llu goes to %s, a candidate", r->type->name, (unsigned long long)r->position, agency_id(s, agency));
	if (!has && ending(r)) {
		c->ended |= ONE(agency);
		c->has_told_date &= ~ONE(agency);
		ledger_drop(s, agency, (int)(c - s->cases), c->decision);
	}
}

static void dates_told(struct sim *s, struct m_case *c, const struct seen *r, agents set)
{
	const char *name = r->type->name;
	civil_date date = c->date;

	if (strcmp(name, "release.confirmed") == 0)
		date = day_of(s, ((const Reentry__Released *)r->data)->released_at->ms);
	else if (!c->has_date || (strcmp(name, "release.date-set") != 0 && strcmp(name, "release.ordered") != 0 && strcmp(name, "case.snapshot") != 0))
		return;
	for (int i = 0; i < AGENCIES; i++)
		if (set & ONE(i)) {
			c->has_told_date |= ONE(i);
			c->told_date[i] = date;
		}
}


static void routes_checked(struct sim *s, struct m_case *c, const struct seen *r)
{
	agents must, may, set = actual(s, r);

	receivers(s, c, r, &must, &may);
	if (plant(s, FAULT_LEAK))
		set |= ONE(agency_of(s, "audit-nl"));
	if (must & ~set)
		violated(s, "receivers", "%s at %llu does not go to %s", r->type->name, (unsigned long long)r->position, agency_id(s, __builtin_ctz(must & ~set)));
	if (set & ~must & ~may)
		violated(s, "receivers", "%s at %llu goes to %s", r->type->name, (unsigned long long)r->position, agency_id(s, __builtin_ctz(set & ~must & ~may)));
	for (int i = 0; i < (int)s->policy->n_agencies && FINE(s); i++)
		if (set & ONE(i))
			relation_checked(s, c, r, i);
	if (FINE(s) && ending(r) && c->ended && plant(s, FAULT_AFTER_END))
		relation_checked(s, c, r, __builtin_ctz(c->ended));
	receivers_told(c, r, set);
	dates_told(s, c, r, set);
}

/* --- records -------------------------------------------------------------------------------------------------------------------------- */

static bool room_for(struct sim *s, uint64_t position)
{
	size_t room = s->told_room ? s->told_room : 1024;
	struct told *grown;

	while (room <= position)
		room *= 2;
	if (room == s->told_room)
		return true;
	grown = realloc(s->told, room * sizeof *grown);
	if (!grown)
		return violated(s, "sim", "out of memory");
	memset(grown + s->told_room, 0, (room - s->told_room) * sizeof *grown);
	s->told = grown;
	s->told_room = room;
	return true;
}

static uint16_t open_needs(const struct m_case *c)
{
	uint16_t open = 0;

	for (int need = 1; need < NEED(CARE); need++)
		if (c->needs[need].known && c->needs[need].status != STATUS(NONE) && c->needs[need].status != STATUS(ARRANGED))
			open |= (uint16_t)(1u << need);
	return open;
}

static void header_checked(struct sim *s, const Reentry__Header *header, moment now)
{
	moment at = header->recorded_at;

	if (header->position > 20 && plant(s, FAULT_CLOCK))
		at -= 3600000;
	if (at < s->recorded)
		violated(s, "recorded-monotone", "%llu is recorded before its predecessor", (unsigned long long)header->position);
	else if (at != now)
		violated(s, "recorded-at", "%llu is recorded at %lld, the turn was at %lld", (unsigned long long)header->position, (long long)at, (long long)now);
	s->recorded = at;
}

static void accepted(struct sim *s, struct m_case *c, struct seen *r)
{
	if (r->record->n_fired || r->publisher != BROKER)
		decision_begin(s, c, r->position, r->at);
	escalations_due(s, c, r->record->fired, r->record->n_fired);
	if (c->closed && r->publisher != BROKER && strcmp(r->type->name, "sentence.imposed") != 0 && strcmp(r->type->name, "custody.started") != 0
		&& strcmp(r->type->name, "erasure.executed") != 0)
		violated(s, "closed", "%s at %llu was accepted on a closed case", r->type->name, (unsigned long long)r->position);
	if (r->publisher != BROKER && c->exists && !relations_to(s, c, r->publisher) && strcmp(r->type->name, "sentence.imposed") != 0 && strcmp(r->type->name, "custody.started") != 0
		&& strcmp(r->type->name, "supervision.started") != 0 && strcmp(r->type->name, "community-service.assigned") != 0 && strcmp(r->type->name, "custody.transferred") != 0)
		violated(s, "no-relation", "%s at %llu was accepted from %s, which has no relation", r->type->name, (unsigned long long)r->position, agency_id(s, r->publisher));
	fold(s, c, r);
	if (FINE(s) && (int)r->record->phase != c->phase)
		violated(s, "phase", "%s at %llu carries phase %d, should be %d", r->type->name, (unsigned long long)r->position, (int)r->record->phase, c->phase);
	s->told[r->position].open_needs = open_needs(c);
	routes_checked(s, c, r);
	if (FINE(s))
		ledger_book(s, r, (int)(c - s->cases));
	if (strcmp(r->type->name, "consent.withdrawn") == 0)
		ledger_stop(s, agency_of(s, ((const Reentry__ConsentWithdrawn *)r->data)->to), (int)(c - s->cases));
}

static void event_seen(struct sim *s, const struct core_record *record)
{
	struct m_case *c = case_of(s, record->header->subject);
	struct seen r = {
		.position = record->header->position, .at = record->header->recorded_at, .publisher = agency_of(s, record->header->agency),
		.event = record->record.envelope, .record = record->record.event,
	};
	struct told *told = &s->told[r.position];
	void *data = NULL;

	if (r.record->outcome != REENTRY__OUTCOME__VALUE__ACCEPTED) {
		if (r.record->n_routes || r.record->n_ended || r.record->n_stopped)
			violated(s, "refused-goes-out", "%llu was not accepted and is delivered", (unsigned long long)r.position);
		return;
	}
	r.type = type_find(r.event->type);
	if (!c || !r.type || pb_unpack_own(r.type->payload, r.event->data.data, r.event->data.len, &s->reading, &data)) {
		violated(s, "unknown-record", "%llu: %s on %s", (unsigned long long)r.position, r.event->type, record->header->subject ? record->header->subject : "no case");
		return;
	}
	r.data = data;
	r.op = r.event->has_op ? (int)r.event->op : (int)REENTRY__OP__VALUE__NEW;
	*told = (struct told){ .type = r.type, .at = r.at, .of_case = (int8_t)(c - s->cases), .publisher = (int8_t)r.publisher,
		.class_c = class_c_in(data) };
	trace(s, "  %llu %s %s%s by %s to %zu", (unsigned long long)r.position, c->ref, r.type->name, r.op == 1 ? "" : r.op == 2 ? " SUPERSEDE" : r.op == 3 ? " CANCEL" : " RETRACT",
		agency_id(s, r.publisher), r.record->n_routes);
	accepted(s, c, &r);
	if (strcmp(r.type->name, "release.approaching") == 0 && plant(s, FAULT_NOTICE_TWICE))
		fold(s, c, &r);
	if (strcmp(r.type->name, "gap.detected") == 0 && plant(s, FAULT_GAP_TWICE))
		fold(s, c, &r);
}

static void record_seen(struct sim *s, uint64_t position, moment now)
{
	struct core_record record;
	struct m_case *c;
	int error = core_record(s->core, position, &s->reading, &record);

	if (position > 20 && plant(s, FAULT_HOLE))
		error = ERR_NOTFOUND;
	if (error || record.header->position != position) {
		violated(s, "dense", "record %llu cannot be read: %s", (unsigned long long)position, err_text(error));
		return;
	}
	header_checked(s, record.header, now);
	if (!room_for(s, position))
		return;
	if (record.header->kind == EVENT)
		event_seen(s, &record);
	else if (record.header->kind == ACKED_RECORD)
		ledger_acked(s, record.header);
	else if (record.header->kind == TIMER && (c = case_of(s, record.header->subject))) {
		trace(s, "  %llu %s timer %s", (unsigned long long)position, c->ref, record.record.timer->n_fired ? rules_timer_name(record.record.timer->fired[0]->kind) : "?");
		decision_begin(s, c, position, record.header->recorded_at);
		escalations_due(s, c, record.record.timer->fired, record.record.timer->n_fired);
	}
}

bool observe(struct sim *s, moment now)
{
	struct core_status status;

	if (core_status(s->core, &status))
		return violated(s, "sim", "no status");
	if (status.last_sequence < s->last)
		return violated(s, "dense", "the log went back from %llu to %llu", (unsigned long long)s->last, (unsigned long long)status.last_sequence);
	s->turn_first = s->last + 1;
	while (s->last < status.last_sequence && FINE(s)) {
		arena_reset(&s->reading);
		record_seen(s, s->last + 1, now);
		s->last++;
	}
	for (size_t i = 0; i < s->n_cases; i++)
		decision_end(s, &s->cases[i]);
	return FINE(s);
}
