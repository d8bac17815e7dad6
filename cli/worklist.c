/* Work lists: reentry cases, by release date, and reentry offers, by deadline. */
#include "cli/cli.h"

#include <stdlib.h>
#include <string.h>

#define WORKLIST_MAX 100000

struct item { const char *key, *line; size_t n; };
struct worklist { struct arena arena; struct item *items; size_t n; bool failed; };

static int by_key(const void *a, const void *b)
{
	const struct item *x = a, *y = b;
	int order = strcmp(x->key, y->key);
	return order != 0 ? order : strcmp(x->line, y->line);
}

static void keep(struct worklist *list, const char *key, const char *line, size_t n)
{
	struct item *item = list->n < WORKLIST_MAX ? ARENA_PUSH(&list->arena, list->items, list->n) : NULL;
	if (item != NULL)
		*item = (struct item){arena_strdup(&list->arena, key), arena_dup(&list->arena, line, n + 1), n};
	list->failed = list->failed || item == NULL || item->key == NULL || item->line == NULL;
}

static int finish(struct cli *cli, struct worklist *list, int status, enum text nothing, void (*show)(struct cli *, struct columns *, const struct object *), size_t width)
{
	struct columns columns;
	if (status == DONE && list->failed)
		status = complain(cli, FAILED, "there are more than fit: narrow it down (--within DAYS)");
	if (list->n > 0)
		qsort(list->items, list->n, sizeof *list->items, by_key);
	columns_begin(&columns, cli, width);
	for (size_t i = 0; i < list->n && status == DONE; i++) {
		struct object object;
		if (cli->json)
			(void)print_line(cli, NULL, list->items[i].line, list->items[i].n); /* found at the end, when stdout is flushed */
		else if (object_read(&object, list->items[i].line, list->items[i].n, &cli->shown))
			show(cli, &columns, &object);
	}
	columns_print(&columns, stdout);
	if (status == DONE && !cli->json && list->n == 0)
		puts(text_of(cli, nothing));
	arena_release(&list->arena);
	return status;
}

/* --- cases ------------------------------------------------------------------------------------------------------------------ */

struct case_filter { const char *gaps, *unplaced, *no_destination, *no_date, *screening, *hold; int64_t within; struct worklist list; };

static bool is_wanted(const struct case_filter *filter, const struct object *line)
{
	const struct json_value *gaps = object_get(line, "gaps");
	int64_t days = object_number(line, "days_left", INT64_MAX);
	return (filter->gaps == NULL || (gaps != NULL && gaps->kind == JSON_ARRAY && gaps->n > 0)) && (filter->unplaced == NULL || object_flag(line, "unplaced")) &&
	       (filter->no_destination == NULL || object_flag(line, "no_destination")) && (filter->no_date == NULL || object_flag(line, "no_date")) &&
	       (filter->screening == NULL || object_text(line, "screening_due") != NULL) && (filter->hold == NULL || object_text(line, "hold_ends") != NULL) &&
	       (filter->within < 0 || (days >= 0 && days <= filter->within));
}

static bool on_case(struct cli *cli, void *context, const char *line, size_t n)
{
	struct case_filter *filter = context;
	struct object object;
	if (object_read(&object, line, n, &cli->shown) && is_wanted(filter, &object)) {
		const char *date = object_text(&object, "release_date");
		/* Those still to come first, then those without a date, then what is past. */
		bool past = object_text(&object, "released_at") != NULL || object_flag(&object, "closed");
		const char *key = arena_printf(&cli->shown, "%s%s", past ? "2" : date == NULL ? "1" : "0", date != NULL ? date : "");
		keep(&filter->list, key != NULL ? key : "", line, n);
	}
	arena_reset(&cli->shown);
	return true;
}

static const char *flags_of(struct cli *cli, const struct object *line)
{
	const struct json_value *gaps = object_get(line, "gaps");
	size_t n = gaps != NULL && gaps->kind == JSON_ARRAY ? gaps->n : 0;
	const char *parts[5] = {n == 1 ? text_of(cli, T_ONE_GAP) : n > 1 ? say(cli, T_GAPS_COUNT, number(cli, (int64_t)n), NULL) : NULL,
	                        object_flag(line, "unplaced") ? text_of(cli, T_UNPLACED) : NULL, object_flag(line, "no_destination") ? text_of(cli, T_NO_DESTINATION) : NULL,
	                        object_text(line, "screening_due") != NULL ? say(cli, T_SCREENING_DUE, show_moment(cli, object_text(line, "screening_due")), NULL) : NULL,
	                        object_text(line, "hold_ends") != NULL ? say(cli, T_HOLD_ENDS, show_moment(cli, object_text(line, "hold_ends")), NULL) : NULL};
	const char *text = "";
	for (size_t i = 0; i < sizeof parts / sizeof *parts && text != NULL; i++)
		if (parts[i] != NULL)
			text = text[0] == '\0' ? parts[i] : arena_printf(&cli->shown, "%s · %s", text, parts[i]);
	return text != NULL ? text : "";
}

static const char *relation_of(struct cli *cli, const struct object *line)
{
	const struct json_value *relations = object_get(line, "relations");
	return relations != NULL && relations->kind == JSON_ARRAY && relations->n > 0 && relations->items[0].kind == JSON_STRING ? word(cli, relations->items[0].text) : "";
}

static void show_case_line(struct cli *cli, struct columns *columns, const struct object *line)
{
	const char *date = object_text(line, "release_date"), *released = object_text(line, "released_at"), *phase = object_text(line, "phase");
	columns_cell(columns, BOLD, "%s", show_case(cli, line));
	/* To whom no phase is shown (a candidate, an employer) a missing date says nothing. */
	const char *no_date = phase != NULL ? text_of(cli, T_NO_RELEASE_DATE) : "";
	columns_cell(columns, PLAIN, "%s", released != NULL ? say(cli, T_SINCE, show_moment(cli, released), NULL) : date != NULL ? show_date(cli, date) : no_date);
	columns_cell(columns, PLAIN, "%s", released != NULL ? text_of(cli, T_RELEASED) : show_days(cli, date));
	columns_cell(columns, DIM, "%s", object_flag(line, "closed") ? text_of(cli, T_CLOSED) : phase != NULL ? word(cli, phase) : relation_of(cli, line));
	columns_cell(columns, RED, "%s", flags_of(cli, line));
}

int cases_main(struct cli *cli, int argc, char **argv)
{
	struct case_filter filter = {.within = -1};
	const char *within = NULL;
	const struct option_row options[] = {
		{"gaps", 0, true, false, &filter.gaps},       {"unplaced", 0, true, false, &filter.unplaced},   {"no-destination", 0, true, false, &filter.no_destination},
		{"no-date", 0, true, false, &filter.no_date}, {"screening", 0, true, false, &filter.screening}, {"hold", 0, true, false, &filter.hold},
		{"within", 0, false, false, &within},         {0},
	};
	static const char *const none[] = {NULL};
	int first;
	if (!read_options(cli, argc, argv, options, &first))
		return USAGE;
	if (first != argc || (within != NULL && (within[0] == '\0' || within[strspn(within, "0123456789")] != '\0' || strlen(within) > 6)))
		return misuse(cli, "options only; --within: a number of days");
	if (within != NULL)
		filter.within = strtoll(within, NULL, 10); /* digits only, and few */
	int status = need_agent(cli);
	if (status != DONE)
		return status;
	arena_init(&filter.list.arena, 0);
	status = ask_broker(cli, "cases", none, on_case, &filter);
	return finish(cli, &filter.list, status, T_NO_CASES, show_case_line, 5);
}

/* --- offers ------------------------------------------------------------------------------------------------------------------- */

/* A line of its own for each offer to us that waits for an answer, and each start that we have not reported. */
static bool on_offers(struct cli *cli, void *context, const char *line, size_t n)
{
	struct worklist *list = context;
	struct object object, handover;
	if (!object_read(&object, line, n, &cli->shown))
		return true;
	for (size_t i = 0; object_at(&object, "handovers", i, &cli->shown, &handover); i++) {
		const struct json_value *raw = object_get(&object, "handovers");
		const char *to = object_text(&handover, "to"), *decide = object_text(&handover, "decide_by"), *state = object_text(&handover, "state");
		bool again = state != NULL && strcmp(state, "RECONFIRM") == 0;
		if (to == NULL || strcmp(to, cli->agency) != 0 || (decide == NULL && !again && !object_flag(&handover, "start_not_reported")))
			continue;
		struct buf out;
		buf_init(&out);
		(void)buf_text(&out, "{\"case\":"); /* the buffer remembers its error */
		(void)json_string(&out, object_text(&object, "case"));
		request_text(&out, "filenumber", object_text(&object, "filenumber"));
		(void)buf_printf(&out, ",%.*s", (int)(raw->items[i].raw_n - 1), raw->items[i].raw + 1);
		if (out.error == OK)
			keep(list, decide != NULL ? decide : again ? "0" : "9", (const char *)out.bytes, out.n);
		list->failed = list->failed || out.error != OK;
		buf_release(&out);
	}
	arena_reset(&cli->shown);
	return true;
}

static void show_offer(struct cli *cli, struct columns *columns, const struct object *line)
{
	const char *ref = object_text(line, "handover"), *need = object_text(line, "need"), *state = object_text(line, "state"), *by = object_text(line, "offered_by");
	const char *region = object_text(line, "region"), *support = object_text(line, "support"), *start_by = object_text(line, "start_by");
	bool urgent = object_flag(line, "urgent");
	columns_cell(columns, urgent ? RED : DIM, "%s", urgent ? text_of(cli, T_URGENT_WORD) : "");
	columns_cell(columns, BOLD, "%s", ref != NULL ? ref : "");
	columns_cell(columns, PLAIN, "%s", show_case(cli, line));
	columns_cell(columns, PLAIN, "%s", word(cli, need != NULL ? need : ""));
	columns_cell(columns, DIM, "%s", word(cli, state != NULL ? state : ""));
	columns_cell(columns, urgent ? RED : PLAIN, "%s", handover_clock(cli, line));
	columns_cell(columns, DIM, "%s%s%s%s%s%s%s", by != NULL ? by : "", region != NULL ? " · " : "", region != NULL ? region : "", support != NULL ? " · " : "",
	             support != NULL ? support : "", start_by != NULL ? " · " : "", start_by != NULL ? say(cli, T_STARTS_ON, show_date(cli, start_by), NULL) : "");
}

int offers_main(struct cli *cli, int argc, char **argv)
{
	static const struct option_row options[] = {{0}};
	static const char *const none[] = {NULL};
	struct worklist list = {.n = 0};
	int first;
	if (!read_options(cli, argc, argv, options, &first))
		return USAGE;
	if (first != argc)
		return misuse(cli, "offers takes no arguments");
	int status = need_agent(cli);
	if (status != DONE)
		return status;
	arena_init(&list.arena, 0);
	/* Of all our cases, not only those with an open offer: a start that was not reported has none. */
	status = ask_broker(cli, "cases", none, on_offers, &list);
	return finish(cli, &list, status, T_NO_OFFERS, show_offer, 7);
}
