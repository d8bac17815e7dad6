/* reentry report: what the log says, put together for a reader. Everything is computed here, from what a replay with its records gives this auditor; the same from a file of those lines. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/notice.h"
#include "cli/report.h"

#define LINE_SIZE_MAX ((size_t)1 << 20)

static bool on_line(struct cli *cli, void *context, const char *line, size_t n)
{
	struct taking *taking = context;
	struct object object;
	if (object_read(&object, line, n, &cli->shown))
		taking->error = taking->take(taking->context, &object);
	arena_reset(&cli->shown);
	return taking->error == OK;
}

/* Lines that `reentry --json replay --records` printed before. */
static int from_file(struct cli *cli, const char *path, struct taking *taking)
{
	FILE *file = fopen(path, "r");
	char *line = NULL;
	size_t room = 0;
	ssize_t n;
	if (file == NULL)
		return complain(cli, FAILED, "%s: cannot be read (%s)", path, strerror(errno));
	while (taking->error == OK && (n = getline(&line, &room, file)) > 0)
		if ((size_t)n <= LINE_SIZE_MAX)
			(void)on_line(cli, taking, line, (size_t)n - (line[n - 1] == '\n')); /* the error stands in taking */
	int failed = ferror(file);
	free(line);
	(void)fclose(file); /* only read */
	return failed ? complain(cli, FAILED, "%s: cannot be read", path) : DONE;
}

int report_take(struct cli *cli, const struct replay_question *question, const char *file, struct taking *taking)
{
	int status = file == NULL ? need_agent(cli) : DONE;
	if (status == DONE)
		status = file != NULL ? from_file(cli, file, taking) : ask_replay(cli, question, on_line, taking);
	if (status == DONE && taking->error != OK)
		status = complain(cli, FAILED, "the report cannot be made: %s", err_text(taking->error));
	return status;
}

/* --- the command -------------------------------------------------------------------------------------------------------------------- */

/* A date, or a moment and then its date. An end that is left out is open. */
static bool read_day(const struct cli *cli, const char *text, civil_date fallback, civil_date *ret_date)
{
	moment when;
	*ret_date = fallback;
	if (text == NULL || civil_parse_date(text, ret_date) == OK)
		return true;
	if (cli->zone == NULL || civil_parse_moment(text, &when) != OK)
		return false;
	*ret_date = civil_date_of(cli->zone, when);
	return true;
}

static bool read_late(const char *text, int32_t *ret_days)
{
	*ret_days = NOTICE_LATE_DAYS;
	if (text != NULL && (text[0] == '\0' || strlen(text) > 3 || text[strspn(text, "0123456789")] != '\0'))
		return false;
	*ret_days = text != NULL ? (int32_t)strtol(text, NULL, 10) : NOTICE_LATE_DAYS;
	return true;
}

int report_main(struct cli *cli, int argc, char **argv)
{
	struct replay_question q = {.records = "true"};
	const char *from = NULL, *to = NULL, *late = NULL, *csv = NULL, *every = NULL, *file = NULL;
	const struct option_row options[] = {
		{"case", 0, false, false, &q.subject}, {"purpose", 0, false, false, &q.purpose}, {"on-behalf-of", 0, false, false, &q.on_behalf_of}, {"from", 0, false, false, &from},
		{"to", 0, false, false, &to}, {"late", 0, false, false, &late}, {"csv", 0, true, false, &csv}, {"releases", 0, true, false, &every}, {"file", 0, false, false, &file}, {0},
	};
	struct notice_options notice = {.csv = csv != NULL};
	int first;
	if (!read_options(cli, argc, argv, options, &first))
		return USAGE;
	if (argc - first != 1 || (strcmp(argv[first], "access") != 0 && strcmp(argv[first], "notice") != 0))
		return misuse(cli, "which report? access or notice");
	bool access = strcmp(argv[first], "access") == 0;
	if (q.purpose == NULL)
		q.purpose = access ? "report access" : "report notice";
	if (access && (from != NULL || to != NULL || late != NULL || csv != NULL || every != NULL))
		return misuse(cli, "report access takes --case, --purpose, --on-behalf-of and --file");
	if (access && q.subject == NULL && file == NULL)
		return misuse(cli, "report access needs --case");
	if (access)
		return report_access(cli, &q, file);
	if (!read_day(cli, from, CIVIL_MIN, &notice.from) || !read_day(cli, to, CIVIL_MAX, &notice.to) || !read_late(late, &notice.late))
		return misuse(cli, "--from and --to: a day, such as 2027-02-01; --late: a number of days");
	notice.csv = csv != NULL;
	notice.every = every != NULL;
	q.type = notice_types;
	return report_notice(cli, &q, file, &notice);
}
