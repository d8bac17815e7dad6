#include "broker/query.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/civil.h"
#include "lib/log.h"
#include "lib/pb_put.h"

#define FRAME_ANSWER 19              /* field of Frame (proto/wire.proto) */

/* One row per kind of question: who may ask, which parameters there are, and how it is answered. docs/protocol.md describes each. */
static const struct query_kind kinds[] = {
	{ "case", 0, "case timeline ", case_begin, case_part, NULL },
	{ "cases", 0, "*", cases_begin, cases_part, NULL },
	{ "offers", 0, "*", cases_begin, cases_part, NULL },
	{ "directory", 0, "", directory_begin, directory_part, NULL },
	{ "replay", ROLE_BIT(ROLE_AUDITOR), "purpose on_behalf_of from to case type agency as_of as_seen_by records after limit ", replay_begin, replay_part, replay_end },
	{ "prove", ROLE_BIT(ROLE_AUDITOR), "purpose on_behalf_of case witnesses ", prove_question_begin, prove_question_part, prove_question_end },
};

static const struct { int error; const char *code; } codes[] = {
	{ ERR_INVALID, "invalid-value" }, { ERR_NOTFOUND, "no-such-case" }, { ERR_DENIED, "not-allowed" }, { ERR_ERASED, "no-such-case" },
};

const struct query_kind *query_kinds(size_t *ret_n)
{
	*ret_n = sizeof kinds / sizeof *kinds;
	return kinds;
}

static const char *code_of(int error)
{
	for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
		if (codes[i].error == error)
			return codes[i].code;
	return "busy";
}

/* --- parameters --------------------------------------------------------------------------------------------------------- */

const char *query_value(const struct query *query, const char *name)
{
	for (size_t i = 0; i < query->n_parameters; i++)
		if (!strcmp(query->parameters[i].name, name))
			return query->parameters[i].value;
	return NULL;
}

int query_number(const struct query *query, const char *name, uint64_t fallback, uint64_t max, uint64_t *ret_value, struct err *err)
{
	const char *text = query_value(query, name);
	unsigned long long value;
	char *end;

	*ret_value = fallback;
	if (!text)
		return OK;
	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno || *end || text[0] < '0' || text[0] > '9' || value > max)
		return err_set(err, ERR_INVALID, "%s: a whole number from 0 to %llu", name, (unsigned long long)max);
	*ret_value = value;
	return OK;
}

int query_moment(const struct query *query, const char *name, moment *ret_value, struct err *err)
{
	const char *text = query_value(query, name);

	*ret_value = MOMENT_NONE;
	if (text && civil_parse_moment(text, ret_value))
		return err_set(err, ERR_INVALID, "%s: not a moment (2027-02-01T10:00:00+01:00)", name);
	return OK;
}

/* True if name is one of the space-separated known ones. */
static bool is_known(const char *known, const char *name)
{
	const size_t n = strlen(name);

	if (!strcmp(known, "*"))
		return n > 0;
	for (const char *at = known; *at; at += strcspn(at, " ") + 1)
		if (strcspn(at, " ") == n && !memcmp(at, name, n))
			return n > 0;
	return false;
}

static int read_parameters(struct query *query, const Reentry__Query *asked, struct err *err)
{
	if (asked->n_parameters > QUERY_PARAMETERS_MAX)
		return err_set(err, ERR_INVALID, "parameters: at most %d", QUERY_PARAMETERS_MAX);
	query->parameters = arena_alloc(&query->arena, QUERY_PARAMETERS_MAX * sizeof *query->parameters);
	if (!query->parameters)
		return err_set(err, ERR_NOMEM, "try later");
	for (size_t i = 0; i < asked->n_parameters; i++) {
		char *text = arena_strdup(&query->arena, asked->parameters[i]);
		char *sign = text ? strchr(text, '=') : NULL;

		if (!sign || strlen(text) > QUERY_TEXT_MAX)
			return err_set(err, ERR_INVALID, "parameters: each is name=value of at most %d bytes", QUERY_TEXT_MAX);
		*sign = 0;
		if (!is_known(query->kind->parameters, text))
			return err_set(err, ERR_INVALID, "%.40s: not a parameter of %s", text, query->kind->name);
		if (query_value(query, text))
			return err_set(err, ERR_INVALID, "%.40s: given twice", text);
		query->parameters[query->n_parameters++] = (struct parameter){ text, sign + 1 };
	}
	return OK;
}

/* --- life ----------------------------------------------------------------------------------------------------------------- */

static void query_free(struct query *query)
{
	if (query->kind->end)
		query->kind->end(query);
	arena_release(&query->arena);
	free(query);
}

static void query_remove(struct session *session, struct query *query)
{
	struct query **at = &session->queries;

	while (*at && *at != query)
		at = &(*at)->next;
	if (*at) {
		*at = query->next;
		session->n_queries--;
	}
	query_free(query);
}

void query_forget(struct broker *broker, struct session *session)
{
	(void)broker;
	while (session->queries)
		query_remove(session, session->queries);
}

static void refuse(struct broker *broker, struct session *session, uint64_t number, const char *code, const char *detail)
{
	Reentry__Frame frame = REENTRY__FRAME__INIT;
	Reentry__Answer answer = REENTRY__ANSWER__INIT;
	char code_text[32], detail_text[512];

	(void)snprintf(code_text, sizeof code_text, "%s", code); /* the generated structs want char * */
	(void)snprintf(detail_text, sizeof detail_text, "%s", detail); /* cut is fine */
	answer.has_number = answer.has_last = answer.last = true;
	answer.number = number;
	answer.code = code_text;
	answer.detail = *detail ? detail_text : NULL;
	frame.answer = &answer;
	broker->stats.denied++;
	if (net_send(broker, session, &frame) == ERR_CLOSED)
		session_lost(broker, session, "gone");
}

int query_audit(struct broker *broker, const struct session *session, const struct query *query, bool denied, const char *subject, const char *outcome)
{
	Reentry__AuditRecord body = REENTRY__AUDIT_RECORD__INIT;
	struct buf filter;
	char who[AGENCY_SIZE], action[32], outcome_text[64];
	int rc;

	buf_init(&filter);
	for (size_t i = 0; i < query->n_parameters; i++)
		if (strcmp(query->parameters[i].name, "purpose") != 0 && strcmp(query->parameters[i].name, "on_behalf_of") != 0)
			(void)buf_printf(&filter, "%s%s=%s", filter.n ? " " : "", query->parameters[i].name, query->parameters[i].value); /* an error stays in it */
	(void)snprintf(who, sizeof who, "%s", session->agency->id); /* fits: the configuration bounds it */
	(void)snprintf(action, sizeof action, "%s", query->kind->name);
	(void)snprintf(outcome_text, sizeof outcome_text, "%s", outcome);
	body.who = who;
	body.action = action;
	body.outcome = outcome_text;
	body.purpose = arena_strdup(&broker->reading, query_value(query, "purpose"));
	body.on_behalf_of = arena_strdup(&broker->reading, query_value(query, "on_behalf_of"));
	body.has_count = query->counted;
	body.count = query->at.given;
	body.filter = filter.n ? (char *)filter.bytes : NULL;
	rc = filter.error ? filter.error
	   : turn_audit(broker, denied ? REENTRY__RECORD_KIND__VALUE__DENIED : REENTRY__RECORD_KIND__VALUE__REPLAY, &body, subject);
	buf_release(&filter);
	return rc;
}

/* Outside of any turn, since a question may be recorded in a turn of its own. */
static int begin(struct broker *broker, struct session *session, struct query *query, struct err *err)
{
	int rc = OK;

	query->begun = true;
	if (query->kind->roles && !(query->kind->roles & ROLE_BIT(session->agency->role)))
		rc = err_set(err, ERR_DENIED, "%s is not for the role %s", query->kind->name, role_name(session->agency->role));
	if (!rc)
		rc = query->kind->begin(broker, session, query, err);
	if (rc == ERR_DENIED)
		(void)query_audit(broker, session, query, true, NULL, "not-allowed"); /* the refusal stands whether or not it could be recorded */
	return rc;
}

static const struct query_kind *find_kind(const char *name)
{
	for (size_t i = 0; name && i < sizeof kinds / sizeof *kinds; i++)
		if (!strcmp(kinds[i].name, name))
			return &kinds[i];
	return NULL;
}

void query_begin(struct broker *broker, struct session *session, const Reentry__Query *asked)
{
	const uint64_t number = asked->has_number ? asked->number : 0;
	const uint32_t credit = asked->has_credit && asked->credit ? asked->credit : QUERY_CREDIT;
	const struct query_kind *kind = find_kind(asked->kind);
	struct query *query;
	struct err err = { 0 };
	int rc;

	broker->stats.queries++;
	for (query = session->queries; query && query->number != number; query = query->next) {
	}
	if (!kind || query || session->n_queries >= QUERIES_MAX) {
		refuse(broker, session, number, kind && !query ? "busy" : "invalid-value",
		       !kind ? "kind: not a question that this broker knows" : query ? "number: a question of this number is still being answered" : "try later");
		return;
	}
	query = calloc(1, sizeof *query);
	if (!query) {
		refuse(broker, session, number, "busy", "try later");
		return;
	}
	query->kind = kind;
	query->number = number;
	query->credit = credit < QUERY_CREDIT_MAX ? credit : QUERY_CREDIT_MAX;
	arena_init(&query->arena, (size_t)1 << 20);
	rc = read_parameters(query, asked, &err);
	if (rc) {
		refuse(broker, session, number, code_of(rc), err.text);
		query_free(query);
		return;
	}
	query->next = session->queries;
	session->queries = query;
	session->n_queries++;
	broker->asking = true;
}

void query_credit(struct broker *broker, struct session *session, const Reentry__Credit *credit)
{
	for (struct query *query = session->queries; query; query = query->next)
		if (credit->has_number && query->number == credit->number) {
			const uint64_t sum = (uint64_t)query->credit + (credit->has_credit ? credit->credit : 0);

			query->credit = sum < QUERY_CREDIT_MAX ? (uint32_t)sum : QUERY_CREDIT_MAX;
			broker->asking = true;
		}
}

/* What a part has packed itself stands behind the rest of the Answer: the order of fields says nothing. */
static int send_part(struct broker *broker, const struct session *session, const struct query *query, const Reentry__Answer *answer)
{
	const size_t n = reentry__answer__get_packed_size(answer), inner = n + query->packed_n, size = pb_bytes_size(FRAME_ANSWER, inner);
	uint8_t *room;
	int rc = net_room(broker, size, &room);

	if (rc)
		return rc;
	room = pb_put_head(room, FRAME_ANSWER, inner);
	(void)reentry__answer__pack(answer, room); /* the n bytes that it said */
	if (query->packed_n)
		memcpy(room + n, query->packed, query->packed_n);
	return net_send_room(broker, session, size);
}

/* --- parts ---------------------------------------------------------------------------------------------------------------- */

/* False: nothing more to do for it now, or it is gone (and perhaps its session). */
static bool one_part(struct broker *broker, struct session *session, struct query *query)
{
	Reentry__Answer answer = REENTRY__ANSWER__INIT;
	struct query_at before;
	struct err err = { 0 };
	int rc;

	arena_reset(&broker->reading);
	query->packed = NULL;
	query->packed_n = 0;
	answer.has_number = true;
	answer.number = query->number;
	rc = query->begun ? OK : begin(broker, session, query, &err);
	before = query->at;
	if (!rc)
		rc = query->kind->part(broker, session, query, &answer, &err);
	if (rc) {
		const uint64_t number = query->number;

		query_remove(session, query);
		refuse(broker, session, number, code_of(rc), err.text);
		return false;
	}
	answer.has_last = answer.last;
	rc = send_part(broker, session, query, &answer);
	if (rc == ERR_CLOSED) {
		session_lost(broker, session, "gone");
		return false;
	}
	if (rc) {
		query->at = before; /* the part is made again: the next tick asks */
		return false;
	}
	query->credit--;
	if (!answer.last)
		return query->credit > 0;
	query_remove(session, query);
	return false;
}

void query_round(struct broker *broker)
{
	bool more = false;

	broker->asking = false;
	for (size_t i = 0; i < broker->sessions.n; i++) {
		struct session *session = broker->sessions.items[i];
		struct query *query = session->queries, *next;

		for (; query && session->queries; query = next) {
			next = query->next;
			if (query->credit)
				more |= one_part(broker, session, query);
		}
	}
	arena_reset(&broker->reading);
	broker->asking |= more;
}
