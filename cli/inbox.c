/* reentry inbox, done, retry. */
#include "cli/cli.h"

#include <string.h>

struct shown_inbox { struct columns columns; size_t n; bool follow; };

static void show_item(struct cli *cli, struct columns *columns, const struct object *event)
{
	const char *type = object_text(event, "type"), *op = object_text(event, "op"), *priority = object_text(event, "priority");
	const char *sequence = object_text(event, "sequence"), *recorded = object_text(event, "recordedtime");
	bool urgent = priority != NULL && strcmp(priority, "URGENT") == 0, done = object_flag(event, "done") || object_flag(event, "superseded");
	int64_t folded = object_number(event, "folded", 0);
	bool corrected = op != NULL && strcmp(op, "NEW") != 0;
	columns_cell(columns, DIM, "#%s", short_sequence(sequence != NULL ? sequence : ""));
	columns_cell(columns, urgent ? RED : DIM, "%s", urgent ? text_of(cli, T_URGENT_WORD) : object_flag(event, "done") ? text_of(cli, T_DONE_WORD) : "");
	columns_cell(columns, done ? DIM : BOLD, "%s", show_case(cli, event));
	columns_cell(columns, done ? DIM : urgent ? RED : PLAIN, "%s%s%s", word_type(cli, type != NULL ? type : ""), corrected ? ", " : "", corrected ? word(cli, op) : "");
	columns_cell(columns, DIM, "%s", show_moment(cli, recorded));
	const char *older = folded > 0 ? say(cli, T_OLDER, number(cli, folded), NULL) : "";
	columns_cell(columns, done ? DIM : PLAIN, "%s%s%s%s", show_data(cli, event), older[0] != '\0' ? "  (" : "", older, older[0] != '\0' ? ")" : "");
}
#define INBOX_COLUMNS 6

static bool on_item(struct cli *cli, void *context, const char *line, size_t n)
{
	struct shown_inbox *shown = context;
	struct object event;
	if (cli->json)
		return print_line(cli, NULL, line, n);
	if (!object_read(&event, line, n, &cli->shown))
		return true;
	shown->n++;
	show_item(cli, &shown->columns, &event);
	if (!shown->follow)
		return true;
	/* Line by line, as they come: the columns of earlier lines are gone already. */
	columns_print(&shown->columns, stdout);
	columns_begin(&shown->columns, cli, INBOX_COLUMNS);
	arena_reset(&cli->shown);
	return fflush(stdout) == 0;
}

int inbox_main(struct cli *cli, int argc, char **argv)
{
	const char *all = NULL, *follow = NULL, *name = NULL, *type = NULL, *since = NULL;
	const struct option_row options[] = {{"all", 'a', true, false, &all}, {"follow", 'f', true, false, &follow}, {"case", 0, false, false, &name},
	                                     {"type", 0, false, false, &type}, {"since", 0, false, false, &since}, {0}};
	struct shown_inbox shown = {.follow = false};
	struct buf request;
	int first;
	if (!read_options(cli, argc, argv, options, &first))
		return USAGE;
	if (first != argc)
		return misuse(cli, "%s: the inbox takes options only", argv[first]);
	if (!read_moment(cli, &since))
		return misuse(cli, "--since: a moment, such as 2027-02-01T10:00:00+01:00, or a day (its beginning)");
	int status = need_agent(cli);
	if (status != DONE)
		return status;
	shown.follow = follow != NULL;
	request_begin(&request, "inbox");
	request_text(&request, "case", name);
	request_text(&request, "type", type);
	request_text(&request, "since", since);
	request_raw(&request, "all", all != NULL ? "true" : "false");
	request_raw(&request, "follow", follow != NULL ? "true" : "false");
	request_finish(&request);
	columns_begin(&shown.columns, cli, INBOX_COLUMNS);
	status = ask_agent(cli, &request, follow != NULL ? -1 : ASK_MS, on_item, &shown);
	columns_print(&shown.columns, stdout);
	if (status == DONE && !cli->json && shown.n == 0 && follow == NULL)
		puts(text_of(cli, T_NOTHING_OPEN));
	return status;
}

/* --- done, retry -------------------------------------------------------------------------------------------------------- */

struct marked { size_t done; char unknown[64]; };

static bool on_marked(struct cli *cli, void *context, const char *line, size_t n)
{
	struct marked *marked = context;
	struct object object;
	if (!object_read(&object, line, n, &cli->shown))
		return true;
	const char *result = object_text(&object, "result"), *sequence = object_text(&object, "sequence");
	if (result != NULL && (strcmp(result, "done") == 0 || strcmp(result, "queued") == 0))
		marked->done++;
	else
		(void)snprintf(marked->unknown, sizeof marked->unknown, "%s", sequence != NULL ? short_sequence(sequence) : ""); /* cut to fit */
	return !cli->json || print_line(cli, NULL, line, n);
}

static int mark(struct cli *cli, int argc, char **argv, const char *what)
{
	static const struct option_row options[] = {{0}};
	struct marked marked = {0};
	struct buf request;
	int first;
	if (!read_options(cli, argc, argv, options, &first))
		return USAGE;
	if (first == argc)
		return misuse(cli, "which one? name its sequence, as reentry inbox shows it");
	for (int i = first; i < argc; i++) {
		const char *text = argv[i][0] == '#' ? argv[i] + 1 : argv[i];
		size_t n = strspn(text, "0123456789");
		if (n == 0 || n > 20 || text[n] != '\0')
			return misuse(cli, "%s is no sequence", argv[i]);
	}
	int status = need_agent(cli);
	if (status != DONE)
		return status;
	request_begin(&request, what);
	(void)buf_text(&request, ",\"sequences\":["); /* found when it is sent */
	for (int i = first; i < argc; i++)
		(void)buf_printf(&request, "%s\"%s\"", i > first ? "," : "", argv[i][0] == '#' ? argv[i] + 1 : argv[i]);
	(void)buf_text(&request, "]");
	request_finish(&request);
	status = ask_agent(cli, &request, ASK_MS, on_marked, &marked);
	bool again = strcmp(what, "retry") == 0;
	if (status == DONE && marked.unknown[0] != '\0')
		return complain(cli, FAILED, again ? "#%s: was not given up by the command; reentry status says how many were" : "#%s: there is no such event here; reentry inbox --all lists them", marked.unknown);
	if (status == DONE && !cli->json)
		puts(say(cli, again ? T_RETRIED_COUNT : T_DONE_COUNT, number(cli, (int64_t)marked.done), NULL));
	return status;
}

int done_main(struct cli *cli, int argc, char **argv)
{
	return mark(cli, argc, argv, "done");
}

int retry_main(struct cli *cli, int argc, char **argv)
{
	return mark(cli, argc, argv, "retry");
}
