/* Requests over the control socket of the agent, or of the broker. */
#include "cli/cli.h"

#include <string.h>

#include "lib/control.h"

void request_begin(struct buf *request, const char *what)
{
	buf_init(request);
	(void)buf_text(request, "{\"do\":"); /* the buffer remembers its error until it is sent */
	(void)json_string(request, what);
}

void request_text(struct buf *request, const char *name, const char *value)
{
	if (value == NULL)
		return;
	(void)buf_printf(request, ",\"%s\":", name);
	(void)json_string(request, value);
}

void request_raw(struct buf *request, const char *name, const char *json)
{
	(void)buf_printf(request, ",\"%s\":%s", name, json);
}

void request_finish(struct buf *request)
{
	(void)buf_text(request, "}");
}

bool print_line(struct cli *cli, void *context, const char *line, size_t n)
{
	(void)cli;
	(void)context;
	return fwrite(line, 1, n, stdout) == n && putchar('\n') != EOF && fflush(stdout) == 0;
}

static int tell(const struct cli *cli, const char *path, const char *who, const struct err *err)
{
	switch (err->code) {
	case ERR_NOTFOUND:
		return complain(cli, FAILED, "nobody listens at %s: start the %s first", path, who);
	case ERR_DENIED:
		return complain(cli, FAILED, "%s may not be used by you: ask to be a member of the %s's control_group", path, who);
	case ERR_AGAIN:
		return complain(cli, FAILED, "the %s does not answer: look at its log", who);
	case ERR_CLOSED:
		return complain(cli, FAILED, "the %s closed the connection: look at its log", who);
	default:
		return complain(cli, FAILED, "%s", err->text);
	}
}

int ask_try(struct cli *cli, const struct asking *asking, struct err *ret_err)
{
	struct control_client client;
	const char *line;
	size_t n;
	int r = control_connect(asking->path, &client, ret_err);
	if (r != OK)
		return ret_err->code = r;
	r = control_ask(&client, (const char *)asking->request->bytes, asking->request->n, ret_err);
	bool more = r == OK;
	while (more && (r = control_next(&client, asking->timeout_ms, &line, &n, ret_err)) == OK)
		more = asking->fn(cli, asking->context, line, n);
	control_close(&client);
	return ret_err->code = r == ERR_NOTFOUND ? OK : r;
}

int ask_socket(struct cli *cli, const char *path, const char *who, struct buf *request, int timeout_ms, ask_line_fn *fn, void *context)
{
	const struct asking asking = {path, request, timeout_ms, fn, context};
	struct err err = {0};
	int r = request->error;
	if (r == OK)
		r = ask_try(cli, &asking, &err);
	else
		err_set(&err, r, "out of memory");
	buf_release(request);
	return r == OK ? DONE : tell(cli, path, who, &err);
}

int ask_failed(struct cli *cli, const struct err *err)
{
	return tell(cli, cli->control, "agent", err);
}

int ask_agent(struct cli *cli, struct buf *request, int timeout_ms, ask_line_fn *fn, void *context)
{
	return ask_socket(cli, cli->control, "agent", request, timeout_ms, fn, context);
}

int query_request(struct cli *cli, struct buf *request, const char *kind, const char *const *parameters)
{
	bool first = true;
	request_begin(request, "query");
	request_text(request, "kind", kind);
	(void)buf_text(request, ",\"parameters\":["); /* see request_begin */
	for (size_t i = 0; parameters[i] != NULL; i += 2) {
		char name_value[4096];
		if (parameters[i + 1] == NULL)
			continue;
		int n = snprintf(name_value, sizeof name_value, "%s=%s", parameters[i], parameters[i + 1]);
		if (n < 0 || (size_t)n >= sizeof name_value) {
			buf_release(request);
			return complain(cli, USAGE, "%s: the text is too long", parameters[i]);
		}
		(void)buf_text(request, first ? "" : ",");
		(void)json_string(request, name_value);
		first = false;
	}
	(void)buf_text(request, "]");
	request_finish(request);
	return DONE;
}

int ask_broker(struct cli *cli, const char *kind, const char *const *parameters, ask_line_fn *fn, void *context)
{
	struct buf request;
	int status = query_request(cli, &request, kind, parameters);
	return status == DONE ? ask_agent(cli, &request, ASK_MS, fn, context) : status;
}
