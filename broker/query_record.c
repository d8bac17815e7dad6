/* The log as a whole: besides the events also whom each went to and by which relation, deliveries, acknowledgements, questions, denials, erasures and what operators did; what the reports
 * are made of. A line for each record, of the form {"record":KIND,"sequence":…,"recordedtime":…, …}; an event is the CloudEvent that it is in every replay, and behind it {"record":"routed", …}.
 * What is no event has no municipality, type or class of its own: what is about a case is shown where its destination was granted at that time, with all types and class A; the rest to a whole scope. */
#include <stdlib.h>
#include <string.h>

#include "broker/replay.h"
#include "lib/json.h"
#include "lib/pb.h"

#define LINES_OF_ONE 2
#define SEEN_SLOTS 65536             /* events of which it is remembered whether they may be known of */

struct recording { struct broker *broker; const struct scope *scope; struct replay *replay; struct query *query; Reentry__Answer *answer; struct buf line; };

static bool kind_is(const Reentry__Header *header, Reentry__RecordKind__Value kind)
{
	return header->kind == kind;
}

static int emit(struct recording *r)
{
	(void)buf_text(&r->line, "}"); /* the buffer remembers its error */
	return replay_line(r->broker, r->answer, &r->line);
}

/* --- events ------------------------------------------------------------------------------------------------------------------ */

static void routes_member(struct recording *r, const Reentry__EventRecord *event)
{
	static const char *const needs[] = { "PSYCHIATRIC", "ADDICTION", "LVB" };
	const char *name;
	uint32_t bit;

	(void)buf_text(&r->line, ",\"to\":["); /* see emit; so below */
	for (size_t i = 0; i < event->n_routes; i++) {
		const Reentry__Route *route = event->routes[i];
		const char *before = "";

		(void)buf_text(&r->line, i ? ",{\"agency\":" : "{\"agency\":");
		(void)json_string(&r->line, route->agency);
		(void)buf_text(&r->line, ",\"relations\":[");
		for (size_t k = 0; (name = rules_relation_name(k, &bit)); k++)
			if (route->relations & bit) {
				(void)buf_printf(&r->line, "%s\"%s\"", before, name);
				before = ",";
			}
		(void)buf_text(&r->line, "]");
		for (unsigned k = 0; k < 3 && r->scope->class_c; k++)
			if (route->care & 1u << k)
				(void)buf_printf(&r->line, "%s\"%s\"%s", (route->care & ((1u << k) - 1)) ? "," : ",\"care\":[", needs[k], route->care >> (k + 1) ? "" : "]");
		(void)buf_text(&r->line, route->consent && r->scope->class_c ? ",\"consent\":true}" : "}");
	}
	(void)buf_text(&r->line, "]");
}

static int routed(struct recording *r, const struct core_record *record)
{
	const char class[] = { (char)('A' + record->record.class - REENTRY__CLASS__VALUE__A), 0 };

	replay_head(&r->line, "routed", record->header);
	replay_text(&r->line, "case", record->header->subject);
	replay_text(&r->line, "agency", record->header->agency);
	if (record->record.event) {
		replay_text(&r->line, "type", record->record.envelope->type);
		replay_text(&r->line, "class", class);
		routes_member(r, record->record.event);
		return emit(r);
	}
	replay_text(&r->line, "erased", replay_order(r->broker, record->header->subject));
	(void)buf_text(&r->line, ",\"to\":[");
	for (size_t i = 0; i < record->header->n_to; i++) {
		(void)buf_text(&r->line, i ? ",{\"agency\":" : "{\"agency\":");
		(void)json_string(&r->line, record->header->to[i]);
		(void)buf_text(&r->line, "}");
	}
	(void)buf_text(&r->line, "]");
	return emit(r);
}

/* Whether what is about the case that was asked about, and is no event, may be shown. */
static bool about_case(const struct recording *r)
{
	return scope_is_whole(r->scope) || (r->replay->subject && r->scope->class_a && scope_type(r->scope, NULL) && r->query->at.municipality[0] && scope_municipality(r->scope, r->query->at.municipality));
}

/* Handed in and not accepted: that it was, by whom, and what was answered; not what it said. */
static int not_accepted(struct recording *r, const struct core_record *record)
{
	const Reentry__EventRecord *event = record->record.event;
	const bool stale = event->outcome == REENTRY__OUTCOME__VALUE__STALE;

	if (!about_case(r) || r->replay->n_types)
		return OK;
	replay_head(&r->line, stale ? "stale" : "refused", record->header);
	replay_text(&r->line, "agency", record->header->agency);
	replay_text(&r->line, "case", record->header->subject ? record->header->subject : r->replay->subject);
	replay_text(&r->line, "code", event->code);
	return emit(r);
}

/* What somebody without a relation to the case wanted to say of it lies outside of the case's chain. */
static bool speaks_of(struct recording *r, const struct core_record *record)
{
	const Reentry__EventRecord *event = record->record.event;
	void *said = NULL;

	if (!event || event->outcome != REENTRY__OUTCOME__VALUE__REFUSED || !event->has_content)
		return false;
	if (pb_unpack(&reentry__event__descriptor, event->content.data, event->content.len, &r->broker->reading, &said, NULL))
		return false; /* it was no event, or only its beginning was kept */
	return ((const Reentry__Event *)said)->subject && !strcmp(((const Reentry__Event *)said)->subject, r->replay->subject);
}

static int event(struct recording *r, const Reentry__Header *header)
{
	struct core_record record;
	Reentry__Delivery *item;
	int rc = core_record(r->broker->core, header->position, &r->broker->reading, &record);

	if (rc && rc != ERR_ERASED)
		return rc;
	if (!header->subject && r->replay->subject && (rc || !speaks_of(r, &record)))
		return OK;
	if (!rc && record.record.event->municipality && r->replay->subject)
		(void)snprintf(r->query->at.municipality, sizeof r->query->at.municipality, "%s", record.record.event->municipality); /* fits: four digits */
	if (!rc && record.record.event->outcome != REENTRY__OUTCOME__VALUE__ACCEPTED)
		return not_accepted(r, &record);
	if (!replay_wanted(r->replay, &record))
		return OK;
	rc = replay_show(r->broker, r->scope, &record, &item);
	if (!rc)
		rc = replay_event(item, &r->broker->reading, &r->line);
	if (!rc)
		rc = replay_line(r->broker, r->answer, &r->line);
	return rc ? (rc == ERR_NOTFOUND ? OK : rc) : routed(r, &record);
}

/* --- deliveries and acknowledgements -------------------------------------------------------------------------------------------- */

static int may_know(struct recording *r, uint64_t position, bool *ret_may)
{
	uint64_t *slot = &r->replay->seen[position % SEEN_SLOTS];
	struct core_record record;
	struct shown shown;
	Reentry__Delivery *item;
	int rc;

	*ret_may = (*slot & 1) != 0;
	if (*slot >> 1 == position)
		return OK;
	rc = core_record(r->broker->core, position, &r->broker->reading, &record);
	if (rc && rc != ERR_ERASED)
		return rc;
	*ret_may = record.header->kind == REENTRY__RECORD_KIND__VALUE__EVENT && replay_type(r->replay, &record) &&
	           !(rc ? replay_show(r->broker, r->scope, &record, &item) : scope_show(r->scope, &record.record, &r->broker->reading, &shown));
	*slot = position << 1 | *ret_may;
	return OK;
}

static int positions(struct recording *r, const Reentry__Header *header)
{
	size_t n = 0;
	int rc = OK;

	for (size_t i = 0; i < header->n_positions && !rc; i++) {
		const uint64_t position = header->positions[i];
		bool may = !r->replay->subject || replay_in_chain(r->replay, position);

		if (may)
			rc = may_know(r, position, &may);
		if (rc || !may)
			continue;
		if (!n++) {
			replay_head(&r->line, kind_is(header, REENTRY__RECORD_KIND__VALUE__ACKED) ? "acked" : "delivered", header);
			replay_text(&r->line, "agency", header->agency);
			(void)buf_text(&r->line, ",\"sequences\":["); /* see emit; so below */
		}
		(void)buf_printf(&r->line, "%s\"%020llu\"", n > 1 ? "," : "", (unsigned long long)position);
	}
	if (rc || !n)
		return rc;
	(void)buf_text(&r->line, "]");
	return emit(r);
}

/* --- questions, denials, erasures, operators -------------------------------------------------------------------------------------- */

/* Whether a question was about the case: "case=C" stands as a word in its filter. */
static bool filter_names(const char *filter, const char *subject)
{
	const size_t n = strlen(subject);

	for (const char *at = filter; at && (at = strstr(at, "case=")); at++)
		if ((at == filter || at[-1] == ' ') && !strncmp(at + 5, subject, n) && (at[5 + n] == 0 || at[5 + n] == ' '))
			return true;
	return false;
}

/* A replay of the log that names no case may have shown this one as well. */
static bool reads_all(const Reentry__AuditRecord *audit)
{
	return audit->action && !strcmp(audit->action, "replay") && !(audit->filter && strstr(audit->filter, "case="));
}

static int audit(struct recording *r, const Reentry__Header *header)
{
	static const char *const names[] = { [REENTRY__RECORD_KIND__VALUE__REPLAY] = "replay", [REENTRY__RECORD_KIND__VALUE__DENIED] = "denied",
		[REENTRY__RECORD_KIND__VALUE__ERASE] = "erase", [REENTRY__RECORD_KIND__VALUE__ADMIN] = "admin" };
	const char *subject = r->replay->subject;
	const Reentry__AuditRecord *body;
	struct core_record record;
	void *message = NULL;
	int rc;

	if (!about_case(r) || r->replay->n_types)
		return OK;
	rc = core_record(r->broker->core, header->position, &r->broker->reading, &record);
	if (!rc)
		rc = pb_unpack_own(&reentry__audit_record__descriptor, record.body, record.body_n, &r->broker->reading, &message);
	body = message;
	if (rc)
		return rc;
	if (subject && !(header->subject ? !strcmp(header->subject, subject) : filter_names(body->filter, subject) || (kind_is(header, REENTRY__RECORD_KIND__VALUE__REPLAY) && reads_all(body))))
		return OK;
	replay_head(&r->line, names[header->kind], header);
	replay_text(&r->line, "agency", header->agency);
	replay_text(&r->line, "case", header->subject);
	(void)buf_text(&r->line, ",\"audit\":"); /* see emit */
	rc = json_from_message(&r->line, message);
	return rc ? rc : emit(r);
}

/* The rest is of the log itself: that it was written, to a whole scope, where no case and no type was asked for. */
static int plain(struct recording *r, const Reentry__Header *header)
{
	static const char *const names[] = { [REENTRY__RECORD_KIND__VALUE__TIMER] = "timer", [REENTRY__RECORD_KIND__VALUE__CONFIG] = "config",
		[REENTRY__RECORD_KIND__VALUE__CHECKPOINT] = "checkpoint", [REENTRY__RECORD_KIND__VALUE__EPOCH] = "epoch" };

	if (!scope_is_whole(r->scope) || r->replay->subject || r->replay->n_types)
		return OK;
	replay_head(&r->line, names[header->kind], header);
	replay_text(&r->line, "case", header->subject);
	if (kind_is(header, REENTRY__RECORD_KIND__VALUE__EPOCH))
		(void)buf_printf(&r->line, ",\"epoch\":%llu", (unsigned long long)header->epoch); /* see emit */
	return emit(r);
}

/* --- the walk ---------------------------------------------------------------------------------------------------------------------- */

static int one(struct recording *r, const Reentry__Header *header)
{
	const char *subject = r->replay->subject;

	switch (header->kind) {
	case REENTRY__RECORD_KIND__VALUE__EVENT:
		return !subject || !header->subject || !strcmp(header->subject, subject) ? event(r, header) : OK;
	case REENTRY__RECORD_KIND__VALUE__DELIVERED:
	case REENTRY__RECORD_KIND__VALUE__ACKED:
		return positions(r, header);
	case REENTRY__RECORD_KIND__VALUE__REPLAY:
	case REENTRY__RECORD_KIND__VALUE__DENIED:
	case REENTRY__RECORD_KIND__VALUE__ERASE:
	case REENTRY__RECORD_KIND__VALUE__ADMIN:
		return audit(r, header);
	case REENTRY__RECORD_KIND__VALUE__TIMER:
	case REENTRY__RECORD_KIND__VALUE__CONFIG:
	case REENTRY__RECORD_KIND__VALUE__CHECKPOINT:
	case REENTRY__RECORD_KIND__VALUE__EPOCH:
		return plain(r, header);
	default:
		return OK; /* of a later version */
	}
}

int records_part(struct broker *broker, struct session *session, struct query *query, Reentry__Answer *answer, struct err *err)
{
	struct recording r = { .broker = broker, .scope = &session->agency->scope, .replay = query->own, .query = query, .answer = answer };
	size_t bytes = 0;
	int rc = OK;

	if (!r.replay->seen)
		r.replay->seen = calloc(SEEN_SLOTS, sizeof *r.replay->seen);
	if (!r.replay->seen)
		return err_set(err, ERR_NOMEM, "try later");
	buf_init(&r.line);
	for (int looked = 0; looked < RECORDS_ROUND && query->at.position <= r.replay->last && query->at.given < r.replay->limit && bytes < net_batch(broker, ANSWER_BYTES); looked++) {
		const size_t n = answer->n_json;
		Reentry__Header *header = NULL;

		if (n + LINES_OF_ONE > ANSWER_MAX)
			break;
		rc = past_header(broker->core, query->at.position, &broker->reading, &header);
		if (!rc)
			rc = one(&r, header);
		if (rc)
			break;
		for (size_t i = n; i < answer->n_json; i++)
			bytes += strlen(answer->json[i]);
		query->at.given += answer->n_json > n;
		query->at.position++;
	}
	buf_release(&r.line);
	answer->last = query->at.position > r.replay->last || query->at.given >= r.replay->limit;
	if (rc)
		return rc == ERR_CORRUPT ? replay_unreadable(query->at.position, err) : err_set(err, rc, "try later");
	return OK;
}
