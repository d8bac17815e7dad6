/* reentry replay: the log as an auditor may read it; as an agency was given it; the state of cases at a moment. */
#include "cli/cli.h"

#include <string.h>

struct replaying { size_t lines; };

static const char *own_name(const struct object *event)
{
	const char *source = object_text(event, "source"), *agency = source != NULL ? strrchr(source, ':') : NULL;
	return agency != NULL ? agency + 1 : object_text(event, "agency") != NULL ? object_text(event, "agency") : "";
}

/* What an agency was given carries when it was given, and when its agent had it on disk. */
static const char *given(struct cli *cli, const struct object *event)
{
	const char *at = object_text(event, "deliveredtime"), *acked = object_text(event, "acknowledgedtime");
	if (at == NULL)
		return "";
	const char *handed = say(cli, T_GIVEN_AT, show_moment(cli, at), NULL);
	const char *received = acked != NULL ? say(cli, T_RECEIVED_AT, show_moment(cli, acked), NULL) : text_of(cli, T_NOT_RECEIVED);
	const char *both = arena_printf(&cli->shown, "%s, %s", handed, received);
	return both != NULL ? both : "";
}

#define NAMED_MAX 8 /* of a list: receivers, sequences */

static void add_part(struct buf *out, const char *text)
{
	if (text != NULL && text[0] != '\0')
		(void)buf_printf(out, "%s%s", out->n > 0 ? " · " : "", text); /* the buffer remembers its error */
}

static void add_list(struct cli *cli, struct buf *out, const struct object *record, const char *name)
{
	const struct json_value *list = object_get(record, name);
	struct object receiver;
	for (size_t i = 0; list != NULL && list->kind == JSON_ARRAY && i < list->n && i <= NAMED_MAX; i++) {
		const char *text = list->items[i].kind == JSON_STRING ? list->items[i].text : NULL, *agency = object_at(record, name, i, &cli->shown, &receiver) ? object_text(&receiver, "agency") : NULL;
		(void)buf_text(out, i > 0 ? ", " : text == NULL ? "→ " : ""); /* as above */
		if (i == NAMED_MAX)
			(void)buf_text(out, "…");
		else
			(void)buf_printf(out, "%s%s", text != NULL ? "#" : "", text != NULL ? short_sequence(text) : agency != NULL ? agency : "");
	}
}

/* What a record that is no event says: whom it went to, which deliveries, what was asked and why, how it ended. */
static const char *record_detail(struct cli *cli, const struct object *record)
{
	static const char *const members[] = {"action", "filter", "purpose", "on_behalf_of", "outcome"};
	struct object audit;
	struct buf out;
	buf_init(&out);
	add_list(cli, &out, record, "to");
	add_list(cli, &out, record, "sequences");
	add_part(&out, object_text(record, "code"));
	for (size_t i = 0; object_inside(record, "audit", &cli->shown, &audit) && i < sizeof members / sizeof *members; i++)
		add_part(&out, object_text(&audit, members[i]));
	const char *text = out.error == OK && out.n > 0 ? arena_strdup(&cli->shown, (const char *)out.bytes) : NULL;
	buf_release(&out);
	return text != NULL ? text : "";
}

static void show_event(struct cli *cli, const struct object *event, const char *what, const char *detail)
{
	const char *sequence = object_text(event, "sequence");
	struct columns columns;
	columns_begin(&columns, cli, 7);
	columns_cell(&columns, DIM, "#%-8s", sequence != NULL ? short_sequence(sequence) : "");
	columns_cell(&columns, DIM, "%-26s", show_moment(cli, object_text(event, "recordedtime")));
	columns_cell(&columns, BOLD, "%-10s", show_case(cli, event));
	columns_cell(&columns, PLAIN, "%-16s", own_name(event));
	columns_cell(&columns, PLAIN, "%-28s", what);
	columns_cell(&columns, PLAIN, "%s", detail);
	columns_cell(&columns, DIM, "%s", given(cli, event));
	columns_print(&columns, stdout);
}

static void show_state(struct cli *cli, const struct replaying *r, const struct object *state)
{
	const char *sequence = object_text(state, "sequence"), *at = object_text(state, "at"), *erased = object_text(state, "erased");
	moment when;
	if (at != NULL && civil_parse_moment(at, &when) == OK)
		clock_simulated(&cli->clock, when); /* "in 3 days" is counted from then */
	if (r->lines > 1)
		putchar('\n');
	if (erased != NULL)
		printf("%s  %s: %s\n", show_case(cli, state), text_of(cli, T_ERASED), erased);
	else
		show_page(cli, state);
	painted(cli, stdout, DIM, "\n  %s\n", say(cli, T_AS_OF, at != NULL ? show_full_moment(cli, at) : "", sequence != NULL ? short_sequence(sequence) : "", NULL));
}

static bool on_record(struct cli *cli, void *context, const char *line, size_t n)
{
	struct replaying *r = context;
	struct object object;
	r->lines++;
	if (cli->json)
		return print_line(cli, NULL, line, n);
	if (!object_read(&object, line, n, &cli->shown))
		return true;
	const char *record = object_text(&object, "record"), *type = object_text(&object, "type");
	if (record == NULL)
		show_event(cli, &object, word_type(cli, type != NULL ? type : ""), show_data(cli, &object));
	else if (strcmp(record, "state") == 0)
		show_state(cli, r, &object);
	else
		show_event(cli, &object, record, record_detail(cli, &object));
	arena_reset(&cli->shown);
	return true;
}


static int check(struct cli *cli, struct replay_question *q)
{
	if (q->purpose == NULL || q->purpose[strspn(q->purpose, " \t")] == '\0')
		return misuse(cli, "--purpose is needed: why do you look? It goes on record");
	if (!read_moment(cli, &q->from) || !read_moment(cli, &q->to) || !read_moment(cli, &q->as_of))
		return misuse(cli, "--from, --to and --as-of: a moment, such as 2027-02-01T10:00:00+01:00, or a day (its beginning)");
	if (!is_count(q->after) || !is_count(q->limit))
		return misuse(cli, "--after and --limit: a number");
	if (q->records != NULL && (q->as_of != NULL || q->as_seen_by != NULL))
		return misuse(cli, "--records: not together with --as-of or --as-seen-by");
	return DONE;
}

int replay_main(struct cli *cli, int argc, char **argv)
{
	struct replay_question q = {0};
	const struct option_row options[] = {
		{"from", 0, false, false, &q.from},       {"to", 0, false, false, &q.to},         {"case", 0, false, false, &q.subject},    {"type", 0, false, false, &q.type},
		{"as-seen-by", 0, false, false, &q.as_seen_by}, {"as-of", 0, false, false, &q.as_of}, {"purpose", 0, false, false, &q.purpose}, {"after", 0, false, false, &q.after},
		{"agency", 0, false, false, &q.agency}, {"limit", 0, false, false, &q.limit},     {"records", 0, true, false, &q.records}, {"on-behalf-of", 0, false, false, &q.on_behalf_of}, {0},
	};
	struct replaying r = {0};
	int first;
	if (!read_options(cli, argc, argv, options, &first))
		return USAGE;
	if (first != argc)
		return misuse(cli, "%s: replay takes options only", argv[first]);
	int status = check(cli, &q);
	if (status == DONE)
		status = need_agent(cli);
	if (status != DONE)
		return status;
	if (q.records != NULL)
		q.records = "true";
	status = ask_replay(cli, &q, on_record, &r);
	if (status == DONE && r.lines == 0 && !cli->json)
		puts(text_of(cli, T_NOTHING_IN_SCOPE));
	return status;
}
