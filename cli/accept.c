/* reentry accept-epoch: the administrator of an agency accepts that the broker's log goes on without its end. */
#include "cli/cli.h"
#include "lib/epoch.h"

#include <string.h>

#define RECORD_MAX ((size_t)16384)

static bool on_accepted(struct cli *cli, void *context, const char *line, size_t n)
{
	struct object object;
	(void)context;
	if (cli->json)
		return print_line(cli, NULL, line, n);
	if (!object_read(&object, line, n, &cli->shown))
		return true;
	puts(say(cli, T_EPOCH_ACCEPTED, number(cli, object_number(&object, "offered", 0)), number(cli, object_number(&object, "lost", 0)), NULL));
	return true;
}

/* From a file, from stdin, or typed as it is. */
static int read_record(struct cli *cli, const char *name, struct buf *record)
{
	if (strchr(name, '\n') != NULL)
		return buf_text(record, name) == OK ? DONE : complain(cli, FAILED, "out of memory");
	int r = buf_read_file(record, strcmp(name, "-") == 0 ? "/dev/stdin" : name, RECORD_MAX);
	return r == OK ? DONE : complain(cli, FAILED, "%s: cannot be read (%s)", name, err_text(r));
}

int accept_epoch_main(struct cli *cli, int argc, char **argv)
{
	static const struct option_row options[] = {{0}};
	struct buf request, record;
	int first;
	if (!read_options(cli, argc, argv, options, &first))
		return USAGE;
	if (argc - first != 1)
		return misuse(cli, "the record of the new epoch is needed: a file from the broker's operator, or - for stdin");
	int status = need_agent(cli);
	if (status != DONE)
		return status;
	buf_init(&record);
	status = read_record(cli, argv[first], &record);
	if (status == DONE && record.n >= EPOCH_NOTE_MAX)
		status = complain(cli, FAILED, "%s: is no record of a new epoch; ask the broker's operator for the file", argv[first]);
	if (status == DONE) {
		request_begin(&request, "accept-epoch");
		request_text(&request, "note", (const char *)record.bytes);
		request_finish(&request);
		status = ask_agent(cli, &request, -1, on_accepted, NULL);
	}
	buf_release(&record);
	return status;
}
