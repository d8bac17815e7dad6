/* The steps of a handover, each one command: its case is found from what the agent received or sent. */
#include "cli/cli.h"

#include <string.h>

/* argument: the field that the word behind the handover fills. */
static const struct step { const char *command, *type, *argument; } steps[] = {
	{"receive", "handover.received", NULL},   {"accept", "handover.accepted", "start_date"}, {"decline", "handover.declined", "code"},
	{"start", "handover.started", NULL},      {"complete", "handover.completed", NULL},      {"end", "handover.ended-early", "code"},
	{"withdraw", "handover.withdrawn", NULL}, {"ask", "handover.info-requested", "note"},    {"answer", "handover.info-given", "note"},
};

struct known { char subject[129]; int64_t offer; };

static bool on_known(struct cli *cli, void *context, const char *line, size_t n)
{
	struct known *known = context;
	struct object object;
	if (!object_read(&object, line, n, &cli->shown))
		return true;
	const char *subject = object_text(&object, "case");
	(void)snprintf(known->subject, sizeof known->subject, "%s", subject != NULL ? subject : ""); /* what is cut is no reference */
	known->offer = object_number(&object, "offer", 0);
	return true;
}

static int find_case(struct cli *cli, const char *ref, const char *name, struct known *known)
{
	struct buf request;
	const char *subject;
	if (name != NULL) {
		int status = resolve_case(cli, name, &subject);
		if (status == DONE)
			(void)snprintf(known->subject, sizeof known->subject, "%s", subject); /* what is cut is no reference */
		return status;
	}
	request_begin(&request, "handover");
	request_text(&request, "handover", ref);
	request_finish(&request);
	return ask_agent(cli, &request, ASK_MS, on_known, known);
}

static const struct step *find_step(const char *command)
{
	for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
		if (strcmp(steps[i].command, command) == 0)
			return &steps[i];
	return NULL;
}

static void add_field(const char *fields[OPTION_MANY_MAX], const char *field)
{
	size_t n = 0;
	while (fields[n] != NULL)
		n++;
	if (n < OPTION_MANY_MAX - 1)
		fields[n] = field;
}

int handover_main(struct cli *cli, int argc, char **argv)
{
	const struct step *step = find_step(argv[0]);
	const char *fields[OPTION_MANY_MAX] = {0}, *name = NULL, *offer = NULL, *timeout = NULL;
	const struct option_row options[] = {{"case", 0, false, false, &name}, {"set", 0, false, true, fields}, {"offer", 0, false, false, &offer}, {"timeout", 0, false, false, &timeout}, {0}};
	struct known known = {.subject = ""};
	char handover[160], number_of[64], text[4096];
	int first;
	if (!read_options(cli, argc, argv, options, &first))
		return USAGE;
	int wanted = step->argument != NULL && argc - first > 1 ? 2 : 1; /* lint: analyzer, because main.c leads only the commands of this table here */
	if (argc - first != wanted)
		return misuse(cli, "which handover?");
	int status = need_agent(cli);
	if (status == DONE)
		status = find_case(cli, argv[first], name, &known);
	if (status != DONE)
		return status;
	if (snprintf(handover, sizeof handover, "handover=%s", argv[first]) >= (int)sizeof handover)
		return misuse(cli, "%s is no handover", argv[first]);
	add_field(fields, handover);
	if (wanted == 2 && snprintf(text, sizeof text, "%s=%s", step->argument, argv[first + 1]) < (int)sizeof text)
		add_field(fields, text);
	/* An answer names the offer that it is about, so that it never counts for a later one (domain.md 6.2). */
	if (offer != NULL)
		(void)snprintf(number_of, sizeof number_of, "offer=%s", offer); /* what is cut is no number */
	else if (known.offer > 0)
		(void)snprintf(number_of, sizeof number_of, "offer=%lld", (long long)known.offer); /* fits */
	if (offer != NULL || known.offer > 0)
		add_field(fields, number_of);
	struct draft draft = {.type = step->type, .subject = known.subject, .fields = fields};
	return draft_publish(cli, &draft, timeout);
}
