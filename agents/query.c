/* Questions that the broker answers: passed on, and the answer streamed back as fast as the asker reads it. */
#include "agents/agent.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rules/rules.h"

#define QUERY_CREDIT 64             /* parts of an answer that may be under way */
#define QUERY_SILENCE_MS 60000
#define QUERY_PARAMETERS_MAX 64

struct query { uint64_t number; uint32_t used; };

static void gone(struct request *request)
{
	free(request->data);
}

static void on_silence(void *context)
{
	request_end(context, "timeout", "the broker did not answer within a minute: try again");
}

static void wait_on(struct request *request)
{
	(void)loop_timer_set(request->agent->loop, &request->timer, QUERY_SILENCE_MS); /* without it the asker interrupts by hand */
}

/* Gives the broker leave to send as many parts as have been read. */
static void give_credit(struct request *request)
{
	struct query *query = request->data;
	Reentry__Credit credit = REENTRY__CREDIT__INIT;
	Reentry__Frame frame = REENTRY__FRAME__INIT;
	if (query->used == 0)
		return;
	credit.has_number = credit.has_credit = true;
	credit.number = query->number;
	credit.credit = query->used;
	frame.credit = &credit;
	if (link_send(request->agent, &frame) == OK)
		query->used = 0;
}

/* "case=2027/14" becomes "case=C-1": the broker knows no file number, and shall not. */
static char *parameter(struct agent *agent, struct db_txn *txn, const char *text, struct arena *arena)
{
	static const char prefix[] = "case=";
	if (strncmp(text, prefix, strlen(prefix)) != 0)
		return arena_strdup(arena, text);
	return arena_printf(arena, "%s%s", prefix, links_subject(agent, txn, text + strlen(prefix), arena));
}

static int fill(struct request *request, const struct request_input *input, struct arena *arena, Reentry__Query *query)
{
	const struct json_value *list = input_list(input, "parameters");
	struct db_txn txn;
	query->n_parameters = list != NULL ? list->n : 0;
	if (query->n_parameters > QUERY_PARAMETERS_MAX)
		return ERR_INVALID;
	query->kind = arena_strdup(arena, input_text(input, "kind"));
	query->parameters = arena_alloc(arena, query->n_parameters * sizeof *query->parameters);
	if (query->kind == NULL || query->parameters == NULL)
		return ERR_INVALID;
	int r = db_begin_read(request->agent->store.db, &txn);
	for (size_t i = 0; i < query->n_parameters && r == OK; i++) {
		const char *text = list->items[i].kind == JSON_STRING ? list->items[i].text : NULL;
		query->parameters[i] = text != NULL ? parameter(request->agent, &txn, text, arena) : NULL;
		r = query->parameters[i] != NULL ? OK : ERR_INVALID;
	}
	db_abort(&txn);
	return r;
}

void request_query(struct request *request, const struct request_input *input, struct arena *arena)
{
	struct agent *agent = request->agent;
	Reentry__Query message = REENTRY__QUERY__INIT;
	Reentry__Frame frame = REENTRY__FRAME__INIT;
	struct query *query = calloc(1, sizeof *query);
	char why[sizeof agent->link.reason + 64];
	if (query == NULL) {
		request_end(request, "no-memory", NULL);
		return;
	}
	request->data = query;
	request->gone = gone;
	request->roomy = give_credit;
	request->timer = (struct loop_timer){.fn = on_silence, .context = request};
	query->number = ++agent->requests.last_query;
	if (fill(request, input, arena, &message) != OK) {
		request_end(request, "malformed", "a query has a kind, and parameters as \"name=value\"");
		return;
	}
	message.has_number = message.has_credit = true;
	message.number = query->number;
	message.credit = QUERY_CREDIT;
	frame.query = &message;
	if (!link_up(agent) || link_send(agent, &frame) != OK) {
		(void)snprintf(why, sizeof why, "the broker cannot be asked now: %s", agent->link.reason); /* fits */
		request_end(request, "link-down", why);
		return;
	}
	wait_on(request);
}

/* Adds our own file number to an object of the broker's that names a case. */
static void decorated(struct agent *agent, struct db_txn *txn, const char *json, struct arena *arena, struct buf *out)
{
	struct json_member *members;
	size_t n, length = strlen(json);
	const char *subject = NULL, *number;
	(void)buf_text(out, json); /* the buffer remembers its error */
	if (json_object_read(json, length, arena, &members, &n, NULL) != OK)
		return;
	for (size_t i = 0; i < n; i++)
		if (members[i].value.kind == JSON_STRING && (strcmp(members[i].name, "case") == 0 || strcmp(members[i].name, "subject") == 0))
			subject = members[i].value.text;
	if (subject == NULL || links_number(agent, txn, subject, arena, &number) != OK || out->error != OK || out->n == 0)
		return;
	out->n--; /* the closing brace */
	(void)buf_text(out, ",\"filenumber\":");
	(void)json_string(out, number);
	(void)buf_text(out, "}");
}

static void pass_on(struct request *request, const Reentry__Answer *answer)
{
	struct agent *agent = request->agent;
	struct arena *arena = &agent->turn.arena;
	struct db_txn txn;
	struct buf line;
	struct json_event event;
	buf_init(&line);
	if (db_begin_read(agent->store.db, &txn) != OK)
		request->end_code = "no-memory";
	for (size_t i = 0; i < answer->n_json; i++) {
		decorated(agent, &txn, answer->json[i], arena, &line);
		request_buf(request, &line);
	}
	for (size_t i = 0; i < answer->n_items; i++) {
		if (delivery_event(answer->items[i], arena, &event) == OK && json_event_write(&line, &event, rules_payload_of) == OK)
			request_buf(request, &line);
	}
	db_abort(&txn);
	buf_release(&line);
}

/* The codes of domain.md 3.4 and of queries, as literals: the broker's text is not passed on unchecked. */
static const char *known_code(const char *code)
{
	static const char *const codes[] = {"malformed", "not-allowed", "no-such-case", "invalid-value", "busy", "unknown-query", "denied", "storage-full", "erased", "too-large"};
	for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
		if (strcmp(codes[i], code) == 0)
			return codes[i];
	return "refused";
}

void requests_answer(struct agent *agent, const Reentry__Answer *answer)
{
	struct request *request = agent->requests.first;
	while (request != NULL && (request->gone != gone || ((struct query *)request->data)->number != answer->number))
		request = request->next;
	if (request == NULL || request->ended)
		return; /* the asker has gone */
	struct query *query = request->data;
	pass_on(request, answer);
	query->used++;
	if (answer->last) {
		loop_timer_stop(agent->loop, &request->timer);
		request_end(request, answer->code != NULL && answer->code[0] != '\0' ? known_code(answer->code) : NULL, answer->detail);
		return;
	}
	wait_on(request);
	if (request->backlog.n == 0)
		give_credit(request);
}

void requests_link_down(struct agent *agent)
{
	for (struct request *request = agent->requests.first, *next; request != NULL; request = next) {
		next = request->next;
		if (request->gone == gone && !request->ended)
			request_end(request, "link-down", "the link to the broker broke while it answered: ask again");
	}
}
