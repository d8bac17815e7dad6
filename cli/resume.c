/* A replay goes on where it stopped: when the link between agent and broker breaks, or one of them is started again, the question is asked again from the last line on. */
#include "cli/cli.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PAUSE_MS 100               /* before the first try, doubled up to PAUSE_MS_MAX */
#define PAUSE_MS_MAX 5000
#define RESUME_MS_MAX 600000       /* of pauses without one new line: then it is given up */

struct resuming {
	ask_line_fn *fn;
	void *context;
	bool stopped;                   /* fn has had enough */
	uint64_t last, shown, skip;     /* the last line's sequence, how many lines of it were shown, and how many of those will come once more */
	uint64_t sequences;             /* different ones that were shown */
	bool news;
};

bool line_sequence(const char *line, uint64_t *ret_sequence)
{
	static const char state[] = "{\"record\":\"state\",\"opened\":\"", name[] = "\"sequence\":\"";
	const char *at = strncmp(line, state, sizeof state - 1) == 0 ? line + sizeof state - 1 : strstr(line, name); /* it stands before anything that an agency wrote freely */
	char *end;
	if (at == NULL)
		return false;
	at += strncmp(at, name, sizeof name - 1) == 0 ? sizeof name - 1 : 0;
	errno = 0;
	*ret_sequence = strtoull(at, &end, 10);
	return errno == 0 && end > at && *end == '"';
}

static bool on_line(struct cli *cli, void *context, const char *line, size_t n)
{
	struct resuming *r = context;
	uint64_t sequence;
	if (!line_sequence(line, &sequence))
		return r->fn(cli, r->context, line, n);
	if (sequence == r->last && r->skip > 0) {
		r->skip--;
		return true;
	}
	r->sequences += sequence != r->last;
	r->shown = sequence == r->last ? r->shown + 1 : 1;
	r->last = sequence;
	r->skip = 0;
	r->news = true;
	r->stopped = !r->fn(cli, r->context, line, n);
	return !r->stopped;
}

/* Errors after which the same question may well be answered. */
static bool may_go_on(const struct err *err)
{
	static const char *const passing[] = {"link-down", "timeout", "busy"};
	for (size_t i = 0; i < sizeof passing / sizeof *passing; i++)
		if (strncmp(err->text, passing[i], strlen(passing[i])) == 0)
			return true;
	return err->code == ERR_CLOSED || err->code == ERR_NOTFOUND || err->code == ERR_AGAIN;
}

static void pause_ms(int ms)
{
	struct timespec left = {ms / 1000, ms % 1000 * 1000000L};
	while (nanosleep(&left, &left) != 0 && errno == EINTR) { /* lint: nanosleep, because the command has no loop: nobody tells it when the broker is there again */
	}
}

/* Once, from behind what was shown. */
static int ask_on(struct cli *cli, const struct replay_question *q, struct resuming *r, struct err *err)
{
	char after[24], limit[24];
	struct buf request;
	(void)snprintf(after, sizeof after, "%" PRIu64, r->last - 1); /* lines of one record may have been cut apart: the last is asked for once more */
	(void)snprintf(limit, sizeof limit, "%llu", q->limit != NULL ? strtoull(q->limit, NULL, 10) - r->sequences + 1 : 0);
	const char *const parameters[] = {
		"purpose", q->purpose, "on_behalf_of", q->on_behalf_of, "from", q->from, "to", q->to, "case", q->subject, "type", q->type, "agency", q->agency, "as_of", q->as_of, "as_seen_by", q->as_seen_by,
		"records", q->records, "after", r->last > 0 ? after : q->after, "limit", r->last > 0 && q->limit != NULL ? limit : q->limit, NULL,
	};
	int status = query_request(cli, &request, "replay", parameters);
	if (status != DONE)
		return status;
	r->skip = r->shown;
	r->news = false;
	const struct asking asking = {cli->control, &request, ASK_MS, on_line, r};
	int result = request.error != OK ? err_set(err, request.error, "out of memory") : ask_try(cli, &asking, err);
	buf_release(&request);
	return result == OK || r->stopped ? DONE : FAILED;
}

int ask_replay(struct cli *cli, const struct replay_question *question, ask_line_fn *fn, void *context)
{
	struct resuming r = {.fn = fn, .context = context};
	int waited = 0, pause = PAUSE_MS;
	for (;;) {
		struct err err = {0};
		int status = ask_on(cli, question, &r, &err);
		if (status != FAILED)
			return status;
		if (r.last == 0 || !may_go_on(&err) || waited >= RESUME_MS_MAX)
			return ask_failed(cli, &err);
		if (r.news) {
			waited = 0;
			pause = PAUSE_MS;
			(void)complain(cli, FAILED, "%s", say(cli, T_GOES_ON, number(cli, (int64_t)r.last), NULL)); /* it is told, and not the end */
		}
		pause_ms(pause);
		waited += pause;
		pause = pause * 2 < PAUSE_MS_MAX ? pause * 2 : PAUSE_MS_MAX;
	}
}
