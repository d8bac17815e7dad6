/* "case", "cases" and "offers": what an agency may see of the cases that it has a relation to. What may be seen of a case is decided by rules/casefile.c. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/query.h"
#include "lib/json.h"

#define TIMELINE 50                  /* deliveries of a timeline, unless the question says otherwise */
#define TIMELINE_MAX 1000
#define CASES_ROUND 64               /* cases looked at for one part, so that other sessions get their turn */

/* --- one case ----------------------------------------------------------------------------------------------------------- */

int case_begin(struct broker *broker, struct session *session, struct query *query, struct err *err)
{
	const char *subject = query_value(query, "case");
	uint64_t limit;
	int rc;

	(void)broker;
	(void)session;
	if (!subject)
		return err_set(err, ERR_INVALID, "case: is missing");
	rc = query_number(query, "timeline", TIMELINE, TIMELINE_MAX, &limit, err);
	query->limit = (size_t)limit;
	return rc;
}

/* The page itself, with the first part. That somebody looked is on record before it leaves; so is that somebody might not. */
static int show_page(struct broker *broker, struct session *session, struct query *query, Reentry__Answer *answer, struct err *err)
{
	const char *subject = query_value(query, "case");
	Reentry__CaseState *state = NULL;
	int rc = core_case(broker->core, subject, &broker->reading, &state);

	answer->json = arena_alloc(&broker->reading, sizeof(char *));
	if (!answer->json)
		return err_set(err, ERR_NOMEM, "try later");
	if (!rc)
		rc = rules_case_view(state, &broker->config->policy, session->agency, clock_now(&broker->clock), &broker->reading, &answer->json[0]);
	if (rc == ERR_ERASED)
		rc = ERR_NOTFOUND;
	if (rc == ERR_NOTFOUND) {
		(void)query_audit(broker, session, query, true, NULL, "no-such-case"); /* the refusal stands whether or not it could be recorded */
		return err_set(err, ERR_NOTFOUND, "case: there is no such case");
	}
	answer->n_json = 1;
	if (!rc)
		rc = query_audit(broker, session, query, false, subject, "shown");
	return rc ? err_set(err, rc, "try later") : OK;
}

/* Newest first, from at.index on, as many as one part holds. */
static int show_timeline(struct broker *broker, struct session *session, struct query *query, Reentry__Answer *answer, struct err *err)
{
	Reentry__Delivery **items;
	size_t n, bytes = 0;
	int rc = core_timeline(broker->core, query_value(query, "case"), session->agency, query->limit, &broker->reading, &items, &n);

	if (rc)
		return err_set(err, rc, "try later");
	answer->items = items + query->at.index;
	while (query->at.index < n && answer->n_items < ANSWER_MAX && bytes < net_batch(broker, ANSWER_BYTES)) {
		bytes += items[query->at.index]->content.len;
		answer->n_items++;
		query->at.index++;
	}
	answer->last = query->at.index >= n;
	return OK;
}

int case_part(struct broker *broker, struct session *session, struct query *query, Reentry__Answer *answer, struct err *err)
{
	int rc = OK;

	if (query->at.position == 0) /* 1: the page has been shown */
		rc = show_page(broker, session, query, answer, err);
	query->at.position = 1;
	if (rc)
		return rc;
	if (query->limit)
		return show_timeline(broker, session, query, answer, err);
	answer->last = true;
	return OK;
}

/* --- work lists ----------------------------------------------------------------------------------------------------------- */

int cases_begin(struct broker *broker, struct session *session, struct query *query, struct err *err)
{
	const char *after = query_value(query, "after");
	uint64_t ignored;

	(void)broker;
	(void)session;
	if (after && strlen(after) >= sizeof query->at.after)
		return err_set(err, ERR_INVALID, "after: a case reference");
	if (after)
		memcpy(query->at.after, after, strlen(after) + 1);
	return query_number(query, "days_left_max", 0, 100000, &ignored, err);
}

static const struct json_value *member_of(const struct json_member *members, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(members[i].name, name))
			return &members[i].value;
	return NULL;
}

/* A flag that is not there is false; an array is true when something is in it, or holds that text. */
static bool matches(const struct json_value *value, const char *wanted)
{
	if (!value || value->kind == JSON_NULL)
		return !strcmp(wanted, "false");
	switch (value->kind) {
	case JSON_BOOL:
		return !strcmp(wanted, value->boolean ? "true" : "false");
	case JSON_STRING:
		return !strcmp(wanted, value->text);
	case JSON_INT: {
		char text[32];

		(void)snprintf(text, sizeof text, "%lld", (long long)value->integer); /* fits */
		return !strcmp(wanted, text);
	}
	case JSON_ARRAY:
		for (size_t i = 0; i < value->n; i++)
			if (value->items[i].kind == JSON_STRING && !strcmp(wanted, value->items[i].text))
				return true;
		return !strcmp(wanted, value->n ? "true" : "false");
	default:
		return false;
	}
}

static bool within_days(const struct json_value *days_left, const char *max)
{
	return days_left && days_left->kind == JSON_INT && days_left->integer >= 0 && days_left->integer <= strtoll(max, NULL, 10); /* checked by cases_begin */
}

/* An offer waits for a decision as long as it has a deadline to decide by. */
static bool has_open_offer(const struct json_value *handovers, struct arena *arena)
{
	for (size_t i = 0; handovers && handovers->kind == JSON_ARRAY && i < handovers->n; i++) {
		struct json_member *members;
		size_t n;

		if (handovers->items[i].kind == JSON_OBJECT && !json_object_read(handovers->items[i].raw, handovers->items[i].raw_n, arena, &members, &n, NULL) &&
		    member_of(members, n, "decide_by"))
			return true;
	}
	return false;
}

static bool wanted(const struct query *query, const char *line, struct arena *arena)
{
	struct json_member *members;
	size_t n;

	if (json_object_read(line, strlen(line), arena, &members, &n, NULL))
		return false; /* our own line: only without memory, and then less is shown, never more */
	if (!strcmp(query->kind->name, "offers") && !has_open_offer(member_of(members, n, "handovers"), arena))
		return false;
	for (size_t i = 0; i < query->n_parameters; i++) {
		const struct parameter *parameter = &query->parameters[i];

		if (!strcmp(parameter->name, "after"))
			continue;
		if (!strcmp(parameter->name, "days_left_max") ? !within_days(member_of(members, n, "days_left"), parameter->value)
		                                              : !matches(member_of(members, n, parameter->name), parameter->value))
			return false;
	}
	return true;
}

int cases_part(struct broker *broker, struct session *session, struct query *query, Reentry__Answer *answer, struct err *err)
{
	const moment now = clock_now(&broker->clock);
	const char **subjects;
	size_t n;
	int rc = core_cases_of(broker->core, session->agency->id, query->at.after[0] ? query->at.after : NULL, CASES_ROUND, &broker->reading, &subjects, &n);

	answer->json = arena_alloc(&broker->reading, CASES_ROUND * sizeof(char *));
	if (rc || !answer->json)
		return err_set(err, rc ? rc : ERR_NOMEM, "try later");
	for (size_t i = 0; i < n; i++) {
		Reentry__CaseState *state = NULL;
		char *line = NULL;

		(void)snprintf(query->at.after, sizeof query->at.after, "%s", subjects[i]); /* fits: a reference */
		rc = core_case(broker->core, subjects[i], &broker->reading, &state);
		if (!rc)
			rc = rules_case_line(state, &broker->config->policy, session->agency, now, &broker->reading, &line);
		if (rc == ERR_NOTFOUND || rc == ERR_ERASED || rc == ERR_CORRUPT) /* a damaged case (core_damaged) hides no other */
			continue;
		if (rc)
			return err_set(err, rc, "try later");
		if (wanted(query, line, &broker->reading))
			answer->json[answer->n_json++] = line;
	}
	answer->last = n < CASES_ROUND;
	return OK;
}
