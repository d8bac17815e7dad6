/* The control socket: requests by name, replies with back pressure. */
#include "agents/agent.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/daemon.h"
#include "lib/log.h"

static const struct { const char *name; request_fn *fn; } kinds[] = {
	{"publish", request_publish}, {"inbox", request_inbox},     {"done", request_done},         {"status", request_status},
	{"query", request_query},     {"link", request_link},       {"resolve", request_resolve},   {"handover", request_handover},
	{"receipts", request_receipts}, {"retry", request_retry},             {"accept-epoch", request_accept_epoch},
};

/* --- what a request says ------------------------------------------------------------------------------------------------ */

static const struct json_value *find(const struct request_input *input, const char *name, enum json_kind kind)
{
	for (size_t i = 0; i < input->n; i++)
		if (strcmp(input->members[i].name, name) == 0 && input->members[i].value.kind == kind)
			return &input->members[i].value;
	return NULL;
}

const char *input_text(const struct request_input *input, const char *name)
{
	const struct json_value *value = find(input, name, JSON_STRING);
	return value != NULL ? value->text : NULL;
}

bool input_flag(const struct request_input *input, const char *name)
{
	const struct json_value *value = find(input, name, JSON_BOOL);
	return value != NULL && value->boolean;
}

int64_t input_number(const struct request_input *input, const char *name, int64_t fallback)
{
	const struct json_value *value = find(input, name, JSON_INT);
	return value != NULL ? value->integer : fallback;
}

const struct json_value *input_list(const struct request_input *input, const char *name)
{
	return find(input, name, JSON_ARRAY);
}

/* --- replies -------------------------------------------------------------------------------------------------------------- */

static void forget(struct request *request)
{
	struct agent *agent = request->agent;
	struct request **at = &agent->requests.first;
	while (*at != NULL && *at != request)
		at = &(*at)->next;
	if (*at != NULL)
		*at = request->next;
	turn_forget(agent, request);
	outbox_forget(agent, request);
	loop_timer_stop(agent->loop, &request->timer);
	if (request->gone != NULL)
		request->gone(request);
	buf_release(&request->backlog);
	free(request);
}

static void finish(struct request *request)
{
	struct control_call *call = request->call;
	const char *code = request->end_code;
	char detail[sizeof request->end_detail];
	memcpy(detail, request->end_detail, sizeof detail);
	request->call = NULL;
	forget(request);
	control_end(call, code, detail[0] != '\0' ? detail : NULL);
}

/* Hands over what waits, as far as there is room. */
static void push(struct request *request)
{
	struct buf *backlog = &request->backlog;
	while (request->backlog_taken < backlog->n) {
		const char *line = (const char *)backlog->bytes + request->backlog_taken;
		const char *end = memchr(line, '\n', backlog->n - request->backlog_taken);
		size_t n = (size_t)(end - line); /* every line was put with its newline */
		int r = control_line(request->call, line, n);
		if (r == ERR_AGAIN)
			return;
		if (r != OK && r != ERR_CLOSED) {
			log_warn("reply=dropped bytes=%zu why=\"%s\"", n, err_text(r));
			request->end_code = "too-large";
		}
		request->backlog_taken += n + 1;
	}
	buf_clear(backlog);
	request->backlog_taken = 0;
}

void request_line(struct request *request, const char *line, size_t n)
{
	bool waits = request->backlog.n > 0;
	if (!waits && control_line(request->call, line, n) != ERR_AGAIN)
		return; /* taken; or too long, or the reader is gone, which `gone` tells */
	if (request->backlog.n - request->backlog_taken + n + 1 > REQUEST_BACKLOG_MAX) {
		request->end_code = "too-large";
		return;
	}
	(void)buf_add(&request->backlog, line, n); /* the buffer remembers its error */
	(void)buf_text(&request->backlog, "\n");
	if (request->backlog.error != OK) {
		buf_clear(&request->backlog);
		request->end_code = "no-memory";
	}
}

void request_buf(struct request *request, struct buf *line)
{
	if (line->error == OK && line->n > 0)
		request_line(request, (const char *)line->bytes, line->n);
	else if (line->error != OK)
		request->end_code = "no-memory";
	buf_clear(line);
}

void request_end(struct request *request, const char *code, const char *detail)
{
	if (request->end_code == NULL)
		request->end_code = code;
	(void)snprintf(request->end_detail, sizeof request->end_detail, "%s", detail != NULL ? detail : ""); /* cut to fit */
	request->ended = true;
	if (request->backlog.n == 0)
		finish(request);
}

/* --- the socket's side ------------------------------------------------------------------------------------------------------ */

static struct request *request_new(struct agent *agent, struct control_call *call)
{
	struct request *request = calloc(1, sizeof *request);
	if (request == NULL)
		return NULL;
	request->agent = agent;
	request->call = call;
	request->next = agent->requests.first;
	agent->requests.first = request;
	*control_data(call) = request;
	return request;
}

static void dispatch(struct request *request, const char *line, size_t n)
{
	struct request_input input;
	struct json_member *members;
	struct err err;
	struct arena *arena = &request->agent->turn.arena;
	if (json_object_read(line, n, arena, &members, &input.n, &err) != OK) {
		request_end(request, "malformed", err.text);
		return;
	}
	input.members = members;
	const char *name = input_text(&input, "do");
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds && name != NULL; i++)
		if (strcmp(kinds[i].name, name) == 0) {
			kinds[i].fn(request, &input, arena);
			return;
		}
	request_end(request, "unknown-request", "the agent does not know this request: are the command and the agent of the same version?");
}

static void on_request(void *context, struct control_call *call, const char *line, size_t n)
{
	struct agent *agent = context;
	struct request *request = request_new(agent, call);
	if (request == NULL) {
		control_end(call, "no-memory", NULL);
		return;
	}
	dispatch(request, line, n);
	turn_relief(agent);
}

static void on_drained(void *context, struct control_call *call)
{
	struct request *request = *control_data(call);
	(void)context;
	push(request);
	if (request->backlog.n > 0)
		return;
	if (request->ended)
		finish(request);
	else if (request->roomy != NULL)
		request->roomy(request);
}

static void on_gone(void *context, struct control_call *call)
{
	struct request *request = *control_data(call);
	(void)context;
	if (request == NULL)
		return;
	request->call = NULL;
	forget(request);
}

int requests_open(struct agent *agent, struct err *err)
{
	static const struct control_handlers handlers = {on_request, on_drained, on_gone};
	agent->requests = (struct requests){0};
	char folder[PATH_MAX];
	(void)snprintf(folder, sizeof folder, "%s", agent->config.agent.control); /* a path that is cut does not open */
	char *slash = strrchr(folder, '/');
	if (slash != NULL && slash != folder) {
		*slash = '\0';
		int r = daemon_mkdir(folder, err);
		if (r != OK)
			return r;
	}
	int r = control_new(agent->loop, agent->config.agent.control, 0600, &handlers, agent, &agent->requests.control, err);
	return r != OK ? r : control_share(agent->requests.control, agent->config.agent.control_group, err);
}

void requests_close(struct agent *agent)
{
	control_free(agent->requests.control);
	agent->requests.control = NULL;
	while (agent->requests.first != NULL)
		forget(agent->requests.first); /* lint: analyzer, because it takes it out of the list before it frees it */
}
