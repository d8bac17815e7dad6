/* reentry admin: the operator's requests to the broker, over its control socket. */
#include "cli/cli.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "broker/config.h"

/* argument: the member that the word behind the command fills; "" none. nothing: what an answer without a line means. */
static const struct request_row { const char *name, *argument; bool folder; const char *nothing; } rows[] = {
	{"backup-keys", "dir", true, "the keys are copied; keep them apart from the log, and a short time only"}, {"epoch", "", false, NULL}, {"status", "", false, NULL},
	{"queues", "", false, "nothing waits"}, {"timers", "", false, "no deadline is armed"}, {"backup", "dir", true, NULL}, {"rebuild", "", false, NULL}, {"repair", "", false, NULL},
	{"checkpoint", "", false, NULL}, {"resend", "agency", false, NULL}, {"erase", "case", false, NULL}, {"reload", "", false, "the configuration is taken over"},
};

/* Lines of the same shape are a table; a single one stands member by member. */
struct shown_lines { struct arena arena; const char **lines; size_t *sizes; size_t n, n_sizes; };

static bool on_line(struct cli *cli, void *context, const char *line, size_t n)
{
	struct shown_lines *shown = context;
	if (cli->json)
		return print_line(cli, NULL, line, n);
	const char **kept = ARENA_PUSH(&shown->arena, shown->lines, shown->n);
	size_t *size = ARENA_PUSH(&shown->arena, shown->sizes, shown->n_sizes);
	if (kept == NULL || size == NULL)
		return false;
	*kept = arena_dup(&shown->arena, line, n + 1);
	*size = n;
	return *kept != NULL;
}

static const char *value_of(struct cli *cli, const struct json_value *value)
{
	moment when;
	switch (value->kind) {
	case JSON_STRING: return civil_parse_moment(value->text, &when) == OK ? show_moment(cli, value->text) : value->text;
	case JSON_INT: return number(cli, value->integer);
	case JSON_BOOL: return value->boolean ? "yes" : "no";
	case JSON_NULL: return "";
	default: return value->raw != NULL ? value->raw : "";
	}
}

static void show_one(struct cli *cli, const struct object *object)
{
	struct columns columns;
	columns_begin(&columns, cli, 2);
	for (size_t i = 0; i < object->n; i++) {
		struct object inner;
		bool nested = object->members[i].value.kind == JSON_OBJECT && object_inside(object, object->members[i].name, &cli->shown, &inner);
		columns_cell(&columns, DIM, "%s", object->members[i].name);
		columns_cell(&columns, PLAIN, "%s", nested ? "" : value_of(cli, &object->members[i].value));
		for (size_t j = 0; nested && j < inner.n; j++) {
			columns_cell(&columns, DIM, "  %s", inner.members[j].name);
			columns_cell(&columns, PLAIN, "%s", value_of(cli, &inner.members[j].value));
		}
	}
	columns_print(&columns, stdout);
}

#define TABLE_WIDTH_MAX 10

static void show_table(struct cli *cli, const struct shown_lines *shown)
{
	const char *names[TABLE_WIDTH_MAX];
	size_t width = 0;
	struct columns columns;
	struct object object;
	for (size_t i = 0; i < shown->n; i++) {
		if (!object_read(&object, shown->lines[i], shown->sizes[i], &cli->shown))
			continue;
		for (size_t j = 0; j < object.n && width < TABLE_WIDTH_MAX; j++) {
			size_t at = 0;
			while (at < width && strcmp(names[at], object.members[j].name) != 0)
				at++;
			if (at == width)
				names[width++] = object.members[j].name;
		}
	}
	if (width == 0)
		return;
	columns_begin(&columns, cli, width);
	for (size_t i = 0; i < width; i++)
		columns_cell(&columns, DIM, "%s", names[i]);
	for (size_t i = 0; i < shown->n; i++) {
		if (!object_read(&object, shown->lines[i], shown->sizes[i], &cli->shown))
			continue;
		for (size_t j = 0; j < width; j++) {
			const struct json_value *value = object_get(&object, names[j]);
			columns_cell(&columns, PLAIN, "%s", value != NULL ? value_of(cli, value) : "");
		}
	}
	columns_print(&columns, stdout);
}

static int broker_socket(struct cli *cli, char *path, size_t room)
{
	struct broker_config *config;
	struct err err;
	if (cli->config == NULL)
		return misuse(cli, "which broker? name its configuration: reentry -c FILE admin …");
	if (broker_config_load(cli->config, &config, &err) != OK)
		return complain(cli, FAILED, "%s%s", err.text, strstr(err.text, ": agent: is not known here") != NULL ? "; this is an agent's configuration: name the broker's" : "");
	int n = snprintf(path, room, "%s", config->file.broker.control);
	broker_config_free(config);
	return n > 0 && (size_t)n < room ? DONE : complain(cli, FAILED, "broker.control: the path is too long");
}

/* nothing: what an answer without a line means, for people. */
static int send_request(struct cli *cli, struct buf *request, const char *nothing)
{
	struct shown_lines shown = {.n = 0};
	struct object object;
	char path[PATH_MAX];
	int status = broker_socket(cli, path, sizeof path);
	if (status != DONE) {
		buf_release(request);
		return status;
	}
	arena_init(&shown.arena, 0);
	status = ask_socket(cli, path, "broker", request, -1, on_line, &shown);
	if (shown.n == 1 && object_read(&object, shown.lines[0], shown.sizes[0], &cli->shown))
		show_one(cli, &object);
	else if (shown.n > 1)
		show_table(cli, &shown);
	else if (status == DONE && !cli->json && nothing != NULL)
		puts(nothing);
	arena_release(&shown.arena);
	return status;
}

static const struct request_row *find_row(const char *name)
{
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (strcmp(rows[i].name, name) == 0)
			return &rows[i];
	return NULL;
}

/* The broker writes there, from its own folder: a relative name is meant from ours. */
static int put_argument(struct cli *cli, struct buf *request, const struct request_row *row, const char *text)
{
	char here[PATH_MAX], full[PATH_MAX + 4096];
	if (!row->folder || text[0] == '/') {
		request_text(request, row->argument, text);
		return DONE;
	}
	if (realpath(".", here) == NULL || snprintf(full, sizeof full, "%s/%s", here, text) >= (int)sizeof full)
		return complain(cli, FAILED, "%s: name the folder with its full path", text);
	request_text(request, row->argument, full);
	return DONE;
}

/* --- a new epoch: a record for the administrators of all agencies ------------------------------------------------------------ */

struct epoch_answer { const char *path; int status; };

static int write_note(struct cli *cli, const char *path, const char *note)
{
	FILE *file = path != NULL ? fopen(path, "we") : stdout;
	if (file == NULL)
		return complain(cli, FAILED, "%s: cannot be made", path);
	bool written = fputs(note, file) >= 0;
	if (file != stdout)
		written = fclose(file) == 0 && written;
	return written ? DONE : complain(cli, FAILED, "%s: cannot be written", path != NULL ? path : "stdout");
}

static bool on_epoch(struct cli *cli, void *context, const char *line, size_t n)
{
	struct epoch_answer *answer = context;
	struct object object;
	const char *note = object_read(&object, line, n, &cli->shown) ? object_text(&object, "note") : NULL;
	if (cli->json)
		return print_line(cli, NULL, line, n);
	if (note == NULL)
		return true;
	answer->status = write_note(cli, answer->path, note);
	if (answer->status == DONE && answer->path != NULL)
		printf("The log goes on. %s is for the administrator of each agency that was shown more than is left:\nreentry -c AGENCY.cfg accept-epoch FILE\n", answer->path);
	return true;
}

static int ask_epoch(struct cli *cli, struct buf *request, const char *path)
{
	struct epoch_answer answer = {.path = path, .status = DONE};
	char socket[PATH_MAX];
	int status = broker_socket(cli, socket, sizeof socket);
	if (status != DONE) {
		buf_release(request);
		return status;
	}
	status = ask_socket(cli, socket, "broker", request, -1, on_epoch, &answer);
	return status != DONE ? status : answer.status;
}

int admin_main(struct cli *cli, int argc, char **argv)
{
	const char *max = NULL, *order = NULL, *confirm = NULL, *withdraw = NULL, *reason = NULL, *from = NULL, *out = NULL, *keys = NULL;
	const struct option_row options[] = {
		{"max", 0, false, false, &max}, {"order", 0, false, false, &order}, {"confirm", 0, true, false, &confirm}, {"withdraw", 0, true, false, &withdraw}, {"reason", 0, false, false, &reason},
		{"from", 0, false, false, &from}, {"out", 0, false, false, &out}, {"keys", 0, false, false, &keys}, {0},
	};
	struct buf request;
	int first;
	if (!read_options(cli, argc, argv, options, &first))
		return USAGE;
	if (first < argc && strcmp(argv[first], "restore") == 0)
		return argc - first == 2 ? restore_main(cli, argv[first + 1], keys) : misuse(cli, "restore takes one argument: the folder of a backup");
	const struct request_row *row = first < argc ? find_row(argv[first]) : NULL;
	if (row == NULL)
		return misuse(cli, "which request? status, queues, timers, backup, backup-keys, restore, epoch, rebuild, repair, checkpoint, resend, erase or reload");
	if (argc - first != (row->argument[0] != '\0' ? 2 : 1))
		return misuse(cli, "%s takes %s%s", row->name, row->argument[0] != '\0' ? "one argument: " : "no argument", row->argument);
	if (max != NULL && (max[0] == '\0' || max[strspn(max, "0123456789")] != '\0' || strlen(max) > 9))
		return misuse(cli, "--max: a number");
	if (from != NULL && (from[0] == '\0' || from[strspn(from, "0123456789")] != '\0' || strlen(from) > 18))
		return misuse(cli, "--from: how many records the log had when it was put back");
	request_begin(&request, row->name);
	int status = row->argument[0] != '\0' ? put_argument(cli, &request, row, argv[first + 1]) : DONE;
	if (max != NULL)
		request_raw(&request, "max", max);
	request_text(&request, "order", order);
	request_text(&request, "reason", reason);
	if (from != NULL)
		request_raw(&request, "from", from);
	if (confirm != NULL)
		request_raw(&request, "confirm", "true");
	if (withdraw != NULL)
		request_raw(&request, "withdraw", "true");
	request_finish(&request);
	if (status != DONE) {
		buf_release(&request);
		return status;
	}
	return strcmp(row->name, "epoch") == 0 ? ask_epoch(cli, &request, out) : send_request(cli, &request, row->nothing);
}
