/* Replay: an auditor reads the log, restricted to what its scope in the configuration grants (domain.md 10, rules/scope.c). What is missing in a scope means nothing.
 * The replay itself is on record before the first part leaves; each part is read in transactions of its own, so that an auditor who is slow holds nothing. */
#include <stdlib.h>
#include <string.h>

#include "broker/replay.h"
#include "lib/id.h"

/* --- what is asked -------------------------------------------------------------------------------------------------------- */

/* Both included; an open end stays as it is. */
static int read_window(struct broker *broker, struct query *query, struct replay *replay, struct err *err)
{
	moment from, to;
	uint64_t at = 0;
	int rc = query_moment(query, "from", &from, err);

	if (!rc)
		rc = query_moment(query, "to", &to, err);
	if (!rc && from != MOMENT_NONE) {
		rc = past_position(broker->core, from - 1, &at);
		replay->first = at + 1 > replay->first ? at + 1 : replay->first;
	}
	if (!rc && to != MOMENT_NONE) {
		rc = past_position(broker->core, to - 1, &at);
		replay->last = at < replay->last ? at : replay->last;
	}
	return rc == ERR_INVALID || !rc ? rc : err_set(err, rc, "the log cannot be read");
}

static int read_moment(struct broker *broker, struct query *query, struct replay *replay, struct err *err)
{
	int rc = query_moment(query, "as_of", &replay->as_of, err);

	if (rc || replay->as_of == MOMENT_NONE)
		return rc;
	if (replay->as_of > clock_now(&broker->clock))
		return err_set(err, ERR_INVALID, "as_of: lies in the future");
	rc = past_position(broker->core, replay->as_of, &replay->through);
	return rc ? err_set(err, rc, "the log cannot be read") : OK;
}

static int read_types(struct query *query, struct replay *replay, const struct scope *scope, struct err *err)
{
	char *list = arena_strdup(&query->arena, query_value(query, "type")), *at = NULL;

	for (char *type = list ? strtok_r(list, ",", &at) : NULL; type; type = strtok_r(NULL, ",", &at)) {
		if (!rules_payload_of(type) || replay->n_types == TYPES_MAX)
			return err_set(err, ERR_INVALID, "type: names of the catalogue, with commas between them, at most %d", TYPES_MAX);
		if (!scope_type(scope, type))
			return err_set(err, ERR_DENIED, "type: outside the scope of this auditor");
		replay->types[replay->n_types++] = type;
	}
	return list && !replay->n_types ? err_set(err, ERR_INVALID, "type: is empty") : OK;
}

static int read_mode(struct broker *broker, struct query *query, struct replay *replay, const struct scope *scope, struct err *err)
{
	const char *records = query_value(query, "records");

	replay->seen_by = query_value(query, "as_seen_by");
	replay->agency = query_value(query, "agency");
	replay->mode = replay->seen_by ? REPLAY_GIVEN : replay->as_of != MOMENT_NONE ? REPLAY_STATES : records ? REPLAY_RECORDS : REPLAY_EVENTS;
	if (records && (strcmp(records, "true") != 0 || replay->mode != REPLAY_RECORDS))
		return err_set(err, ERR_INVALID, "records: is \"true\", and not together with as_of or as_seen_by");
	if (replay->seen_by && !past_took_part(broker->core, replay->seen_by))
		return err_set(err, ERR_INVALID, "as_seen_by: no such agency");
	if (replay->agency && replay->mode != REPLAY_EVENTS && replay->mode != REPLAY_GIVEN)
		return err_set(err, ERR_INVALID, "agency: is about events; not together with records, nor with as_of alone");
	if (replay->agency && !past_took_part(broker->core, replay->agency) && strcmp(replay->agency, broker->config->policy.broker_id) != 0)
		return err_set(err, ERR_INVALID, "agency: no such agency");
	if (replay->mode == REPLAY_STATES && !scope_type(scope, NULL))
		return err_set(err, ERR_DENIED, "as_of: the state of a case is made of all types of events; outside the scope of this auditor");
	return OK;
}

static int read_question(struct broker *broker, const struct session *session, struct query *query, struct err *err)
{
	struct replay *replay = query->own;
	const struct scope *scope = &session->agency->scope;
	struct core_status status;
	uint64_t limit;
	int rc = core_status(broker->core, &status);

	if (rc)
		return err_set(err, rc, "try later");
	rc = query_number(query, "after", 0, UINT64_MAX - 1, &replay->after, err);
	if (!rc)
		rc = query_number(query, "limit", 0, UINT64_MAX, &limit, err);
	if (rc)
		return rc;
	replay->limit = limit ? (size_t)limit : SIZE_MAX;
	replay->first = 1;
	replay->last = replay->through = status.last_sequence; /* what is written while it runs, its own record first, is not part of it */
	replay->subject = query_value(query, "case");
	if (replay->subject && !ref_is_valid(replay->subject))
		return err_set(err, ERR_INVALID, "case: no case reference");
	rc = read_moment(broker, query, replay, err);
	if (!rc) {
		replay->last = replay->through;
		rc = read_window(broker, query, replay, err);
	}
	if (!rc)
		rc = read_mode(broker, query, replay, scope, err);
	if (replay->mode != REPLAY_STATES && replay->after >= replay->first)
		replay->first = replay->after + 1; /* states are counted by where their cases were opened */
	return rc ? rc : read_types(query, replay, scope, err);
}

/* A case that there is not, and one outside of the scope, look the same: nothing is shown of either. */
static int find_case(struct broker *broker, struct replay *replay, struct err *err)
{
	int rc = replay->subject ? past_chain(broker->core, replay->subject, replay->through, &replay->chain, &replay->n_chain) : OK;

	if (rc == ERR_NOTFOUND || rc == ERR_ERASED)
		rc = OK;
	return rc ? err_set(err, rc, "the records of the case cannot be read") : OK;
}

int replay_begin(struct broker *broker, struct session *session, struct query *query, struct err *err)
{
	const char *purpose = query_value(query, "purpose");
	struct replay *replay = calloc(1, sizeof *replay);
	int rc;

	if (!replay)
		return err_set(err, ERR_NOMEM, "try later");
	query->own = replay;
	past_init(&replay->past, broker->core);
	if (!purpose || !purpose[strspn(purpose, " \t")])
		return err_set(err, ERR_INVALID, "purpose: is missing; say why the log is read");
	rc = read_question(broker, session, query, err);
	if (!rc)
		rc = find_case(broker, replay, err);
	if (!rc && query_audit(broker, session, query, false, replay->n_chain ? replay->subject : NULL, "started"))
		rc = err_set(err, ERR_IO, "the replay could not be recorded, so it was not begun; try later");
	if (replay->subject && !replay->n_chain)
		replay->last = replay->through = 0;
	query->at.position = replay->mode == REPLAY_STATES ? replay->after + 1 : replay->first;
	if (replay->n_chain && query->at.position < replay->chain[0])
		query->at.position = replay->chain[0]; /* nothing was said of the case before */
	return rc;
}

void replay_end(struct query *query)
{
	struct replay *replay = query->own;

	if (!replay)
		return;
	past_release(&replay->past);
	free(replay->chain);
	free(replay->given);
	free(replay->seen);
	free(replay);
	query->own = NULL;
}

/* --- parts ------------------------------------------------------------------------------------------------------------------- */

/* That it came to its end, and how much was shown, is on record as well; one that did not was interrupted. */
int replay_part(struct broker *broker, struct session *session, struct query *query, Reentry__Answer *answer, struct err *err)
{
	static int (*const parts[])(struct broker *, struct session *, struct query *, Reentry__Answer *, struct err *) = {
		[REPLAY_EVENTS] = events_part, [REPLAY_GIVEN] = given_part, [REPLAY_STATES] = states_part, [REPLAY_RECORDS] = records_part,
	};
	const struct replay *replay = query->own;
	int rc = replay_room(broker, answer, err);

	if (!rc)
		rc = parts[replay->mode](broker, session, query, answer, err);
	if (!rc && answer->last && !query->counted) { /* not again where the part could not be sent */
		query->counted = true;
		if (query_audit(broker, session, query, false, replay->n_chain ? replay->subject : NULL, "finished"))
			rc = err_set(err, ERR_IO, "the end of the replay could not be recorded; try later");
	}
	return rc;
}
