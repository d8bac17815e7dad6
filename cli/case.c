/* reentry case C: a page that a coordinator would like to read. */
#include "cli/cli.h"

#include <string.h>

struct page { bool shown; size_t lines; struct columns timeline; };

static void head(struct columns *columns, enum text name, enum paint paint, const char *value)
{
	columns_cell(columns, DIM, "  %s", text_of(columns->cli, name));
	columns_cell(columns, paint, "%s", value);
}

static const char *both(struct cli *cli, const char *a, const char *b)
{
	const char *text = b[0] != '\0' ? arena_printf(&cli->shown, "%s, %s", a, b) : a;
	return text != NULL ? text : "";
}

static const char *list_of(struct cli *cli, const struct object *page, const char *name)
{
	const struct json_value *list = object_get(page, name);
	const char *text = "";
	for (size_t i = 0; list != NULL && list->kind == JSON_ARRAY && i < list->n; i++)
		if (list->items[i].kind == JSON_STRING)
			text = i == 0 ? word(cli, list->items[i].text) : both(cli, text, word(cli, list->items[i].text));
	return text;
}

static void show_release(struct cli *cli, struct columns *columns, const struct object *page)
{
	const char *date = object_text(page, "release_date"), *released = object_text(page, "released_at"), *kind = object_text(page, "kind");
	const char *start = object_text(page, "start_date"), *hold = object_text(page, "hold_ends");
	if (released != NULL)
		head(columns, T_RELEASED, GREEN, show_moment(cli, released));
	else if (date != NULL)
		head(columns, T_RELEASE, BOLD, both(cli, both(cli, show_date(cli, date), show_days(cli, date)), object_flag(page, "ordered") ? word(cli, "ordered") : kind != NULL ? word(cli, kind) : ""));
	else if (object_flag(page, "inside") && hold == NULL)
		head(columns, T_RELEASE, YELLOW, text_of(cli, T_NO_RELEASE_DATE));
	if (hold != NULL)
		head(columns, T_RELEASE, YELLOW, say(cli, T_HOLD_ENDS, show_moment(cli, hold), NULL));
	if (start != NULL)
		head(columns, T_START_OF_SENTENCE, PLAIN, both(cli, show_date(cli, start), show_days(cli, start)));
}

static void show_head(struct cli *cli, const struct object *page)
{
	struct columns columns;
	const char *phase = object_text(page, "phase"), *custodian = object_text(page, "custodian"), *destination = object_text(page, "destination");
	const char *screening = object_text(page, "screening_due");
	struct object related;
	painted(cli, stdout, BOLD, "%s", show_case(cli, page));
	puts(object_flag(page, "closed") ? text_of(cli, T_CLOSED) : "");
	columns_begin(&columns, cli, 2);
	show_release(cli, &columns, page);
	if (phase != NULL)
		head(&columns, T_PHASE_WORD, PLAIN, word(cli, phase));
	if (custodian != NULL && object_flag(page, "inside"))
		head(&columns, T_WHERE, PLAIN, custodian);
	if (object_flag(page, "no_destination"))
		head(&columns, T_DESTINATION, RED, text_of(cli, T_NO_DESTINATION));
	else if (destination != NULL)
		head(&columns, T_DESTINATION, PLAIN, destination);
	if (screening != NULL)
		head(&columns, T_SCREENING_WORD, YELLOW, say(cli, T_DUE_BY, show_moment(cli, screening), NULL));
	if (object_get(page, "relations") != NULL)
		head(&columns, T_YOUR_RELATION, PLAIN, list_of(cli, page, "relations"));
	for (size_t i = 0; object_at(page, "related", i, &cli->shown, &related); i++)
		head(&columns, i == 0 ? T_RELATIONS : T_NOTHING, PLAIN, say(cli, T_AGENCY_AS, object_text(&related, "agency"), list_of(cli, &related, "relations"), NULL));
	columns_print(&columns, stdout);
}

static void title(struct cli *cli, enum text text)
{
	putchar('\n');
	painted(cli, stdout, BOLD, "%s\n", text_of(cli, text));
}

static enum paint paint_of(const char *status)
{
	if (strcmp(status, "ARRANGED") == 0 || strcmp(status, "NONE") == 0 || strcmp(status, "STARTED") == 0 || strcmp(status, "ACCEPTED") == 0 || strcmp(status, "COMPLETED") == 0)
		return GREEN;
	if (strcmp(status, "OPEN") == 0 || strcmp(status, "NOT_POSSIBLE") == 0 || strcmp(status, "DECLINED") == 0 || strcmp(status, "EXPIRED") == 0)
		return RED;
	return YELLOW;
}

static const char *dates_of(struct cli *cli, const struct object *line)
{
	const char *from = object_text(line, "from_date"), *until = object_text(line, "until");
	const char *text = from != NULL ? say(cli, T_FROM_DATE, show_date(cli, from), NULL) : "";
	if (until == NULL)
		return text;
	const char *end = say(cli, T_UNTIL_DATE, show_date(cli, until), NULL);
	return text[0] != '\0' ? both(cli, text, end) : end;
}

static void show_needs(struct cli *cli, const struct object *page)
{
	struct columns columns;
	struct object line;
	columns_begin(&columns, cli, 3);
	for (size_t i = 0; object_at(page, "needs", i, &cli->shown, &line); i++) {
		const char *need = object_text(&line, "need"), *status = object_text(&line, "status");
		if (i == 0)
			title(cli, T_NEEDS);
		columns_cell(&columns, PLAIN, "  %s", word(cli, need != NULL ? need : ""));
		columns_cell(&columns, paint_of(status != NULL ? status : ""), "%s", word(cli, status != NULL ? status : ""));
		columns_cell(&columns, PLAIN, "%s", dates_of(cli, &line));
	}
	columns_print(&columns, stdout);
}

static void show_gaps(struct cli *cli, const struct object *page)
{
	struct columns columns;
	struct object line;
	columns_begin(&columns, cli, 2);
	for (size_t i = 0; object_at(page, "gaps", i, &cli->shown, &line); i++) {
		const char *need = object_text(&line, "need");
		int64_t nights = object_number(&line, "nights", -1);
		if (i == 0)
			title(cli, T_GAPS);
		columns_cell(&columns, RED, "  %s", word(cli, need != NULL ? need : ""));
		columns_cell(&columns, PLAIN, "%s", nights == 1 ? text_of(cli, T_GAP_ONE_NIGHT) : nights > 1 ? say(cli, T_GAP_NIGHTS, number(cli, nights), NULL) : text_of(cli, T_GAP_NOT_ARRANGED));
	}
	columns_print(&columns, stdout);
}

const char *handover_clock(struct cli *cli, const struct object *line)
{
	const char *decide = object_text(line, "decide_by"), *start = object_text(line, "start_date"), *state = object_text(line, "state");
	if (decide != NULL)
		return both(cli, say(cli, T_DECIDE_BY, show_moment(cli, decide), NULL), show_left(cli, decide));
	if (object_flag(line, "unplaced"))
		return text_of(cli, T_UNPLACED);
	if (object_flag(line, "start_not_reported"))
		return text_of(cli, T_START_NOT_REPORTED);
	if (start == NULL || state == NULL)
		return "";
	if (strcmp(state, "STARTED") == 0) /* the date is the one that was agreed: somebody may have begun before it */
		return say(cli, lies_ahead(cli, start) ? T_AGREED_FOR : T_SINCE, show_date(cli, start), NULL);
	return strcmp(state, "ACCEPTED") == 0 || strcmp(state, "RECONFIRM") == 0 || strcmp(state, "ON_HOLD") == 0 ? say(cli, T_STARTS_ON, show_date(cli, start), NULL) : "";
}

static void show_handovers(struct cli *cli, const struct object *page)
{
	struct columns columns;
	struct object line;
	columns_begin(&columns, cli, 6);
	for (size_t i = 0; object_at(page, "handovers", i, &cli->shown, &line); i++) {
		const char *ref = object_text(&line, "handover"), *need = object_text(&line, "need"), *state = object_text(&line, "state");
		const char *to = object_text(&line, "to"), *responsible = object_text(&line, "responsible");
		if (i == 0)
			title(cli, T_HANDOVERS);
		columns_cell(&columns, BOLD, "  %s", ref != NULL ? ref : "");
		columns_cell(&columns, PLAIN, "%s", word(cli, need != NULL ? need : ""));
		columns_cell(&columns, PLAIN, "→ %s", to != NULL ? to : "");
		columns_cell(&columns, paint_of(state != NULL ? state : ""), "%s", word(cli, state != NULL ? state : ""));
		columns_cell(&columns, object_flag(&line, "urgent") ? RED : PLAIN, "%s", handover_clock(cli, &line));
		columns_cell(&columns, DIM, "%s", responsible != NULL ? say(cli, T_RESPONSIBLE, responsible, NULL) : "");
	}
	columns_print(&columns, stdout);
}

static void show_event(struct cli *cli, struct columns *columns, const struct object *event)
{
	const char *type = object_text(event, "type"), *op = object_text(event, "op"), *sequence = object_text(event, "sequence"), *source = object_text(event, "source");
	const char *agency = source != NULL ? strrchr(source, ':') : NULL;
	bool corrected = op != NULL && strcmp(op, "NEW") != 0;
	columns_cell(columns, DIM, "  #%s", sequence != NULL ? short_sequence(sequence) : "");
	columns_cell(columns, DIM, "%s", show_moment(cli, object_text(event, "recordedtime")));
	columns_cell(columns, PLAIN, "%s%s%s", word_type(cli, type != NULL ? type : ""), corrected ? ", " : "", corrected ? word(cli, op) : "");
	columns_cell(columns, DIM, "%s", agency != NULL ? agency + 1 : "");
	columns_cell(columns, PLAIN, "%s", show_data(cli, event));
}

void show_page(struct cli *cli, const struct object *page)
{
	show_head(cli, page);
	show_needs(cli, page);
	show_gaps(cli, page);
	show_handovers(cli, page);
}

/* First the page, then the timeline, newest first. */
static bool on_line(struct cli *cli, void *context, const char *line, size_t n)
{
	struct page *page = context;
	struct object object;
	if (cli->json)
		return print_line(cli, NULL, line, n);
	if (!object_read(&object, line, n, &cli->shown))
		return true;
	if (!page->shown) {
		page->shown = true;
		show_page(cli, &object);
		return true;
	}
	if (page->lines++ == 0)
		title(cli, T_TIMELINE);
	show_event(cli, &page->timeline, &object);
	return true;
}

int case_main(struct cli *cli, int argc, char **argv)
{
	const char *timeline = NULL;
	const struct option_row options[] = {{"timeline", 0, false, false, &timeline}, {0}};
	struct page page = {.shown = false};
	int first;
	if (!read_options(cli, argc, argv, options, &first))
		return USAGE;
	if (argc - first != 1)
		return misuse(cli, "which case?");
	int status = need_agent(cli);
	if (status != DONE)
		return status;
	const char *const parameters[] = {"case", argv[first], "timeline", timeline, NULL};
	columns_begin(&page.timeline, cli, 5);
	status = ask_broker(cli, "case", parameters, on_line, &page);
	columns_print(&page.timeline, stdout);
	return status;
}
