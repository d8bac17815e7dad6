/* reentry replay: the log as an auditor may read it. */
#include "cli/cli.h"

#include <string.h>

static bool on_record(struct cli *cli, void *context, const char *line, size_t n)
{
	struct object event;
	struct columns columns;
	(void)context;
	if (cli->json)
		return print_line(cli, NULL, line, n);
	if (!object_read(&event, line, n, &cli->shown))
		return true;
	const char *type = object_text(&event, "type"), *sequence = object_text(&event, "sequence"), *source = object_text(&event, "source");
	const char *agency = source != NULL ? strrchr(source, ':') : NULL;
	columns_begin(&columns, cli, 6);
	columns_cell(&columns, DIM, "#%-8s", sequence != NULL ? short_sequence(sequence) : "");
	columns_cell(&columns, DIM, "%-26s", show_moment(cli, object_text(&event, "recordedtime")));
	columns_cell(&columns, BOLD, "%-10s", show_case(cli, &event));
	columns_cell(&columns, PLAIN, "%-16s", agency != NULL ? agency + 1 : "");
	columns_cell(&columns, PLAIN, "%-28s", word_type(cli, type != NULL ? type : ""));
	columns_cell(&columns, PLAIN, "%s", show_data(cli, &event));
	columns_print(&columns, stdout);
	arena_reset(&cli->shown);
	return true;
}

int replay_main(struct cli *cli, int argc, char **argv)
{
	const char *from = NULL, *to = NULL, *subject = NULL, *type = NULL, *seen_by = NULL, *as_of = NULL, *purpose = NULL, *after = NULL, *limit = NULL;
	const struct option_row options[] = {
		{"from", 0, false, false, &from},           {"to", 0, false, false, &to},       {"case", 0, false, false, &subject},    {"type", 0, false, false, &type},
		{"as-seen-by", 0, false, false, &seen_by},  {"as-of", 0, false, false, &as_of}, {"purpose", 0, false, false, &purpose}, {"after", 0, false, false, &after},
		{"limit", 0, false, false, &limit},         {0},
	};
	int first;
	if (!read_options(cli, argc, argv, options, &first))
		return USAGE;
	if (first != argc)
		return misuse(cli, "%s: replay takes options only", argv[first]);
	if (purpose == NULL || purpose[0] == '\0')
		return misuse(cli, "--purpose is needed: why do you look? It goes on record");
	int status = need_agent(cli);
	if (status != DONE)
		return status;
	const char *const parameters[] = {"purpose", purpose, "from", from, "to", to, "case", subject, "type", type, "as-seen-by", seen_by, "as-of", as_of, "after", after, "limit", limit, NULL};
	return ask_broker(cli, "replay", parameters, on_record, NULL);
}
