/* reentry status, receipts, link, directory. */
#include "cli/cli.h"

#include <string.h>

/* --- status ------------------------------------------------------------------------------------------------------------- */

static void row(struct columns *columns, enum text name, enum paint paint, const char *value)
{
	columns_cell(columns, DIM, "%s", text_of(columns->cli, name));
	columns_cell(columns, paint, "%s", value);
}

static void show_link(struct cli *cli, struct columns *columns, const struct object *status)
{
	const char *link = object_text(status, "link"), *why = object_text(status, "why"), *broker = object_text(status, "broker");
	bool up = link != NULL && strcmp(link, "up") == 0, down = link != NULL && strcmp(link, "down") == 0;
	const char *since = say(cli, T_SINCE, show_moment(cli, object_text(status, "since")), NULL);
	const char *text = arena_printf(&cli->shown, "%s, %s%s%s%s%s", text_of(cli, up ? T_LINK_UP_TEXT : down ? T_LINK_DOWN_TEXT : T_LINK_CONNECTING), since,
	                                up && broker != NULL ? ", " : "", up && broker != NULL ? broker : "", !up && why != NULL ? ": " : "", !up && why != NULL ? why : "");
	row(columns, T_LINK, up ? GREEN : down ? RED : YELLOW, text != NULL ? text : "");
}

static void show_outbox(struct cli *cli, struct columns *columns, const struct object *status)
{
	struct object outbox;
	if (!object_inside(status, "outbox", &cli->shown, &outbox))
		return;
	int64_t waiting = object_number(&outbox, "waiting", 0), refused = object_number(&outbox, "refused", 0);
	const char *oldest = object_text(&outbox, "oldest");
	const char *text = waiting == 0 ? text_of(cli, T_EMPTY) : say(cli, T_WAITING, number(cli, waiting), NULL);
	if (waiting > 0 && oldest != NULL)
		text = arena_printf(&cli->shown, "%s, %s", text, say(cli, T_OLDEST, show_moment(cli, oldest), NULL));
	row(columns, T_OUTBOX, waiting > 0 ? YELLOW : PLAIN, text != NULL ? text : "");
	row(columns, T_REFUSALS, refused > 0 ? RED : PLAIN, refused > 0 ? say(cli, T_REFUSALS_COUNT, number(cli, refused), NULL) : text_of(cli, T_NONE_TEXT));
}

static void show_adapters(struct cli *cli, struct columns *columns, const struct object *status)
{
	struct object inner;
	if (object_inside(status, "spool", &cli->shown, &inner)) {
		const char *trouble = object_text(&inner, "trouble");
		row(columns, T_SPOOL, trouble != NULL ? RED : PLAIN,
		    trouble != NULL ? trouble : say(cli, T_SPOOL_COUNT, number(cli, object_number(&inner, "files", 0)), number(cli, object_number(&inner, "done", 0)),
		                                     number(cli, object_number(&inner, "failed", 0)), NULL));
	}
	if (object_inside(status, "exec", &cli->shown, &inner)) {
		int64_t given_up = object_number(&inner, "given_up", 0);
		row(columns, T_EXEC, given_up > 0 ? RED : PLAIN,
		    say(cli, T_EXEC_COUNT, number(cli, object_number(&inner, "waiting", 0)), number(cli, object_number(&inner, "running", 0)), number(cli, given_up), NULL));
	}
}

static bool on_status(struct cli *cli, void *context, const char *line, size_t n)
{
	struct object status, inbox;
	struct columns columns;
	(void)context;
	if (cli->json)
		return print_line(cli, NULL, line, n);
	if (!object_read(&status, line, n, &cli->shown))
		return true;
	const char *agency = object_text(&status, "agency");
	columns_begin(&columns, cli, 2);
	row(&columns, T_AGENCY, BOLD, agency != NULL ? agency : "");
	show_link(cli, &columns, &status);
	show_outbox(cli, &columns, &status);
	if (object_inside(&status, "inbox", &cli->shown, &inbox)) {
		int64_t open = object_number(&inbox, "open", 0), urgent = object_number(&inbox, "urgent", 0);
		row(&columns, T_INBOX, urgent > 0 ? RED : PLAIN,
		    urgent > 0 ? say(cli, T_OPEN_URGENT, number(cli, open), number(cli, urgent), NULL) : say(cli, T_OPEN_COUNT, number(cli, open), NULL));
	}
	if (object_number(&status, "undelivered", 0) > 0)
		row(&columns, T_UNDELIVERED, RED, say(cli, T_UNDELIVERED_COUNT, number(cli, object_number(&status, "undelivered", 0)), NULL));
	show_adapters(cli, &columns, &status);
	columns_print(&columns, stdout);
	return true;
}

int status_main(struct cli *cli, int argc, char **argv)
{
	static const struct option_row options[] = {{0}};
	struct buf request;
	int first;
	if (!read_options(cli, argc, argv, options, &first))
		return USAGE;
	if (first != argc)
		return misuse(cli, "status takes no arguments");
	int status = need_agent(cli);
	if (status != DONE)
		return status;
	request_begin(&request, "status");
	request_finish(&request);
	return ask_agent(cli, &request, ASK_MS, on_status, NULL);
}

/* --- receipts ------------------------------------------------------------------------------------------------------------- */

static bool on_receipt(struct cli *cli, void *context, const char *line, size_t n)
{
	struct columns *columns = context;
	struct object receipt;
	if (cli->json)
		return print_line(cli, NULL, line, n);
	if (!object_read(&receipt, line, n, &cli->shown))
		return true;
	const char *result = object_text(&receipt, "result"), *sequence = object_text(&receipt, "sequence"), *type = object_text(&receipt, "type");
	const char *code = object_text(&receipt, "code"), *detail = object_text(&receipt, "detail");
	bool refused = result != NULL && strcmp(result, "refused") == 0;
	columns_cell(columns, DIM, "%s", show_moment(cli, object_text(&receipt, "at")));
	columns_cell(columns, BOLD, "%s", show_case(cli, &receipt));
	columns_cell(columns, PLAIN, "%s", word_type(cli, type != NULL ? type : ""));
	columns_cell(columns, refused ? RED : GREEN, "%s%s%s", result_word(cli, result != NULL ? result : ""), sequence != NULL ? " #" : "",
	             sequence != NULL ? short_sequence(sequence) : "");
	columns_cell(columns, PLAIN, "%s%s%s", code != NULL ? code : "", code != NULL && detail != NULL ? ": " : "", detail != NULL ? detail : "");
	return true;
}

int receipts_main(struct cli *cli, int argc, char **argv)
{
	const char *refused = NULL, *max = "20";
	const struct option_row options[] = {{"refused", 0, true, false, &refused}, {"max", 0, false, false, &max}, {0}};
	struct columns columns;
	struct buf request;
	int first;
	if (!read_options(cli, argc, argv, options, &first))
		return USAGE;
	if (first != argc || max[strspn(max, "0123456789")] != '\0' || max[0] == '\0' || strlen(max) > 9)
		return misuse(cli, "--max: a number");
	int status = need_agent(cli);
	if (status != DONE)
		return status;
	request_begin(&request, "receipts");
	request_raw(&request, "refused", refused != NULL ? "true" : "false");
	request_raw(&request, "max", max);
	request_finish(&request);
	columns_begin(&columns, cli, 5);
	status = ask_agent(cli, &request, ASK_MS, on_receipt, &columns);
	columns_print(&columns, stdout);
	return status;
}

/* --- link ------------------------------------------------------------------------------------------------------------------- */

static bool on_link(struct cli *cli, void *context, const char *line, size_t n)
{
	struct object link;
	(void)context;
	if (cli->json)
		return print_line(cli, NULL, line, n);
	if (object_read(&link, line, n, &cli->shown)) {
		const char *subject = object_text(&link, "case"), *own = object_text(&link, "filenumber");
		printf("%s  %s\n", subject != NULL ? subject : "", own != NULL ? own : text_of(cli, T_NO_NUMBER));
	}
	return true;
}

int link_main(struct cli *cli, int argc, char **argv)
{
	static const struct option_row options[] = {{0}};
	struct buf request;
	int first;
	if (!read_options(cli, argc, argv, options, &first))
		return USAGE;
	if (argc - first < 1 || argc - first > 2)
		return misuse(cli, "a case, and your own file number of it");
	int status = need_agent(cli);
	if (status != DONE)
		return status;
	const char *own = argc - first == 2 ? argv[first + 1] : NULL;
	char typed[512];
	if (own != NULL && strcmp(own, "-") == 0) {
		if (fgets(typed, sizeof typed, stdin) == NULL)
			return complain(cli, FAILED, "stdin: no file number there");
		typed[strcspn(typed, "\r\n")] = '\0';
		own = typed;
	}
	request_begin(&request, "link");
	request_text(&request, "case", argv[first]);
	request_text(&request, "number", own);
	request_finish(&request);
	return ask_agent(cli, &request, ASK_MS, on_link, NULL);
}

/* --- directory ---------------------------------------------------------------------------------------------------------------- */

struct shown_directory { struct columns columns; const char *wanted; size_t n; };

static bool on_agency(struct cli *cli, void *context, const char *line, size_t n)
{
	struct shown_directory *shown = context;
	struct object agency;
	if (!object_read(&agency, line, n, &cli->shown))
		return true;
	const char *id = object_text(&agency, "agency"), *role = object_text(&agency, "role"), *contact = object_text(&agency, "contact");
	if (shown->wanted != NULL && (id == NULL || strcmp(id, shown->wanted) != 0))
		return true;
	shown->n++;
	if (cli->json)
		return print_line(cli, NULL, line, n);
	columns_cell(&shown->columns, BOLD, "%s", id != NULL ? id : "");
	columns_cell(&shown->columns, PLAIN, "%s", word(cli, role != NULL ? role : ""));
	columns_cell(&shown->columns, GREEN, "%s", object_flag(&agency, "connected") ? text_of(cli, T_CONNECTED) : "");
	columns_cell(&shown->columns, PLAIN, "%s", contact != NULL ? contact : "");
	return true;
}

int directory_main(struct cli *cli, int argc, char **argv)
{
	static const struct option_row options[] = {{0}};
	static const char *const none[] = {NULL};
	struct shown_directory shown = {.wanted = NULL};
	int first;
	if (!read_options(cli, argc, argv, options, &first))
		return USAGE;
	if (argc - first > 1)
		return misuse(cli, "at most one agency");
	int status = need_agent(cli);
	if (status != DONE)
		return status;
	shown.wanted = argc > first ? argv[first] : NULL;
	columns_begin(&shown.columns, cli, 4);
	status = ask_broker(cli, "directory", none, on_agency, &shown);
	columns_print(&shown.columns, stdout);
	if (status == DONE && shown.wanted != NULL && shown.n == 0)
		return complain(cli, FAILED, "%s: no agency has that name; reentry directory lists them", shown.wanted);
	return status;
}
