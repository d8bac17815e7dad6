/* Replay: an auditor reads the log, restricted to what its scope in the configuration grants (domain.md 10). What is missing in a scope means nothing.
 * The replay itself is on record before the first part leaves. */
#include <stdlib.h>
#include <string.h>

#include "broker/query.h"

#define RECORDS_ROUND 2048           /* records looked at for one part, so that other sessions get their turn */
#define CASE_RECORDS_MAX 100000      /* of one case */

static bool granted(const char *const *list, size_t n, const char *wanted)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(list[i], "*") || (wanted && !strcmp(list[i], wanted)))
			return true;
	return false;
}

static bool class_granted(const struct scope *scope, Reentry__Class__Value class)
{
	switch (class) {
	case REENTRY__CLASS__VALUE__A:
		return scope->class_a;
	case REENTRY__CLASS__VALUE__B:
		return scope->class_b;
	case REENTRY__CLASS__VALUE__C:
		return scope->class_c;
	case REENTRY__CLASS__VALUE__D:
		return scope->class_d;
	default:
		return false;
	}
}

/* Positions of one case's records, oldest first, by the chain of Header.previous. */
static int collect_case(struct broker *broker, struct query *query, struct err *err)
{
	Reentry__CaseState *state = NULL;
	struct core_record record;
	uint64_t at;
	size_t room = 0, n = 0;
	int rc;

	arena_reset(&broker->reading);
	rc = core_case(broker->core, query->replay.subject, &broker->reading, &state);
	if (rc)
		return err_set(err, rc == ERR_ERASED ? ERR_NOTFOUND : rc, "case: there is no such case");
	for (at = state->last; at && n < CASE_RECORDS_MAX; at = record.header->has_previous ? record.header->previous : 0) {
		if (n == room) {
			uint64_t *more = realloc(query->positions, (room ? room * 2 : 64) * sizeof *more);

			if (!more)
				return err_set(err, ERR_NOMEM, "try later");
			query->positions = more;
			room = room ? room * 2 : 64;
		}
		query->positions[n++] = at;
		arena_reset(&broker->reading);
		rc = core_record(broker->core, at, &broker->reading, &record);
		if (rc && rc != ERR_ERASED)
			return err_set(err, rc, "sequence %llu of the log cannot be read", (unsigned long long)at);
	}
	for (size_t i = 0; i < n / 2; i++) {
		const uint64_t kept = query->positions[i];

		query->positions[i] = query->positions[n - 1 - i];
		query->positions[n - 1 - i] = kept;
	}
	query->n_positions = n;
	return OK;
}

static int read_filter(struct broker *broker, struct query *query, struct err *err)
{
	struct replay_filter *filter = &query->replay;
	struct core_status status;
	uint64_t after, limit;
	int rc = core_status(broker->core, &status);

	if (rc)
		return err_set(err, rc, "try later");
	rc = query_moment(query, "from", &filter->from, err);
	if (!rc)
		rc = query_moment(query, "to", &filter->to, err);
	if (!rc)
		rc = query_number(query, "after", 0, UINT64_MAX - 1, &after, err);
	if (!rc)
		rc = query_number(query, "limit", 0, UINT64_MAX, &limit, err);
	if (rc)
		return rc;
	filter->subject = query_value(query, "case");
	filter->type = query_value(query, "type");
	filter->first = after + 1;
	filter->last = status.last_sequence; /* what is written while it runs, its own record first, is not part of it */
	query->at.position = filter->first;
	query->limit = limit ? (size_t)limit : SIZE_MAX;
	return OK;
}

int replay_begin(struct broker *broker, struct session *session, struct query *query, struct err *err)
{
	const char *purpose = query_value(query, "purpose");
	int rc;

	if (!purpose || !purpose[strspn(purpose, " \t")])
		return err_set(err, ERR_INVALID, "purpose: is missing; say why the log is read");
	rc = read_filter(broker, query, err);
	if (!rc && query->replay.type && !granted(session->agency->scope.types, session->agency->scope.n_types, query->replay.type))
		return err_set(err, ERR_DENIED, "type: outside the scope of this auditor");
	if (!rc && query->replay.subject)
		rc = collect_case(broker, query, err);
	if (!rc && query_audit(broker, session, query, false, query->replay.subject, "started"))
		rc = err_set(err, ERR_IO, "the replay could not be recorded, so it was not begun; try later");
	return rc;
}

static bool in_scope(const struct query *query, const struct scope *scope, const struct core_record *record)
{
	const struct replay_filter *filter = &query->replay;
	const Reentry__Header *header = record->header;
	const Reentry__EventRecord *event = record->record.event;

	if (header->kind != REENTRY__RECORD_KIND__VALUE__EVENT || !header->subject)
		return false;
	if (filter->from != MOMENT_NONE && header->recorded_at < filter->from)
		return false;
	if (filter->to != MOMENT_NONE && header->recorded_at >= filter->to)
		return false;
	if (filter->subject && strcmp(filter->subject, header->subject) != 0)
		return false;
	if (!class_granted(scope, header->has_class_ ? header->class_ : 0))
		return false;
	if (!event) /* erased: neither its type nor its municipality can be known any more; only a scope without bounds may know that it was */
		return granted(scope->municipalities, scope->n_municipalities, NULL) && granted(scope->types, scope->n_types, NULL) && !filter->type;
	if (event->outcome != REENTRY__OUTCOME__VALUE__ACCEPTED || !record->record.envelope)
		return false;
	if (!granted(scope->municipalities, scope->n_municipalities, event->municipality) || !granted(scope->types, scope->n_types, record->record.envelope->type))
		return false;
	return !filter->type || !strcmp(filter->type, record->record.envelope->type);
}

static Reentry__Delivery *show(struct broker *broker, const struct core_record *record)
{
	const struct agency *source = policy_agency(&broker->config->policy, record->header->agency);
	const Reentry__EventRecord *event = record->record.event;
	Reentry__Delivery *item = arena_alloc(&broker->reading, sizeof *item);

	if (!item)
		return NULL;
	reentry__delivery__init(item);
	item->has_sequence = item->has_recorded_at = item->has_class_ = true;
	item->sequence = record->header->position;
	item->recorded_at = record->header->recorded_at;
	item->class_ = (uint32_t)record->header->class_;
	if (source)
		memcpy(&item->source_oin, &source->oin, sizeof item->source_oin); /* the generated structs want char *; packing only reads */
	if (!event) {
		struct core_erasure erasure;

		item->has_erased = item->erased = true;
		if (!core_erasure(broker->core, record->header->subject, &broker->reading, &erasure) && erasure.order)
			memcpy(&item->order, &erasure.order, sizeof item->order); /* as above */
		return item;
	}
	item->has_time = event->has_time;
	item->time = event->time;
	item->has_phase = event->has_phase;
	item->phase = event->phase;
	item->municipality = event->municipality;
	item->has_slot_version = event->has_slot_version;
	item->slot_version = event->slot_version;
	item->has_content = true;
	item->content = event->content;
	return item;
}

/* The next position to look at; 0 when the replay is through. */
static uint64_t next_position(struct query *query)
{
	if (query->positions) {
		while (query->at.index < query->n_positions && query->positions[query->at.index] < query->replay.first)
			query->at.index++;
		return query->at.index < query->n_positions && query->positions[query->at.index] <= query->replay.last ? query->positions[query->at.index++] : 0;
	}
	return query->at.position <= query->replay.last ? query->at.position++ : 0;
}

int replay_part(struct broker *broker, struct session *session, struct query *query, Reentry__Answer *answer, struct err *err)
{
	size_t bytes = 0;
	int rc;

	answer->items = arena_alloc(&broker->reading, ANSWER_MAX * sizeof(Reentry__Delivery *));
	if (!answer->items)
		return err_set(err, ERR_NOMEM, "try later");
	for (int looked = 0; looked < RECORDS_ROUND && answer->n_items < ANSWER_MAX && bytes < net_batch(broker, ANSWER_BYTES); looked++) {
		const uint64_t position = query->limit > query->at.given ? next_position(query) : 0;
		struct core_record record;
		Reentry__Delivery *item;

		if (!position) {
			answer->last = true;
			return OK;
		}
		rc = core_record(broker->core, position, &broker->reading, &record);
		if (rc && rc != ERR_ERASED)
			return err_set(err, ERR_CORRUPT, "sequence %llu of the log does not match its hash; it is not served", (unsigned long long)position);
		if (!in_scope(query, &session->agency->scope, &record))
			continue;
		item = show(broker, &record);
		if (!item)
			return err_set(err, ERR_NOMEM, "try later");
		answer->items[answer->n_items++] = item;
		bytes += item->content.len + 128;
		query->at.given++;
	}
	return OK;
}
