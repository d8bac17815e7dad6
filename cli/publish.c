/* reentry publish: hands in one event, or a file of them, and says what was answered. */
#include "cli/cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/control.h"

#define LINES_PER_REQUEST 1024
#define REQUEST_BYTES (CONTROL_LINE_MAX - 4096)
#define TIMEOUT_DEFAULT "5"
#define TIMEOUT_MAX 3600

/* What was answered so far. */
struct outcome {
	bool file;                      /* many events: people are told line by line */
	size_t *numbers;                /* line of the file for each event of this request */
	size_t asked, answered;         /* in this request */
	size_t total, accepted, refused, queued;
	char reason[512];               /* of the last refusal */
};

static int timeout_ms(struct cli *cli, const char *text, int *ret_ms)
{
	char *end;
	errno = 0;
	double seconds = strtod(text, &end);
	if (errno != 0 || end == text || *end != '\0' || !(seconds >= 0) || seconds > TIMEOUT_MAX)
		return misuse(cli, "--timeout: seconds, from 0 to %d", TIMEOUT_MAX);
	*ret_ms = (int)(seconds * 1000);
	return DONE;
}

/* --- receipts ----------------------------------------------------------------------------------------------------------- */

static const struct result_row { const char *result; enum text text; enum paint paint; } result_rows[] = {
	{"accepted", T_ACCEPTED, GREEN}, {"duplicate", T_DUPLICATE, GREEN}, {"stale", T_STALE, YELLOW}, {"refused", T_REFUSED, RED}, {"queued", T_QUEUED, YELLOW},
};
#define N_RESULTS (sizeof result_rows / sizeof *result_rows)

const char *result_word(const struct cli *cli, const char *result)
{
	for (size_t i = 0; i < N_RESULTS; i++)
		if (strcmp(result_rows[i].result, result) == 0)
			return text_of(cli, result_rows[i].text);
	return result;
}

static void show_receipt(struct cli *cli, const struct outcome *outcome, const struct object *receipt)
{
	const char *result = object_text(receipt, "result"), *sequence = object_text(receipt, "sequence");
	const char *code = object_text(receipt, "code"), *detail = object_text(receipt, "detail");
	for (size_t i = 0; i < N_RESULTS && result != NULL; i++) {
		if (strcmp(result_rows[i].result, result) != 0)
			continue;
		if (outcome->file && outcome->numbers != NULL)
			printf("%s: ", say(cli, T_LINE_WORD, number(cli, (int64_t)outcome->numbers[outcome->answered]), NULL));
		painted(cli, stdout, result_rows[i].paint, "%s", text_of(cli, result_rows[i].text));
		if (sequence != NULL)
			printf(" #%s", short_sequence(sequence));
		if (code != NULL)
			printf(": %s", code);
		if (detail != NULL && strcmp(result, "queued") != 0)
			printf(": %s", detail);
		putchar('\n');
	}
}

static bool on_receipt(struct cli *cli, void *context, const char *line, size_t n)
{
	struct outcome *outcome = context;
	struct object receipt;
	if (outcome->answered >= outcome->asked || !object_read(&receipt, line, n, &cli->shown))
		return false;
	const char *result = object_text(&receipt, "result"), *code = object_text(&receipt, "code"), *detail = object_text(&receipt, "detail");
	bool refused = result != NULL && strcmp(result, "refused") == 0, queued = result != NULL && strcmp(result, "queued") == 0;
	outcome->total++;
	outcome->refused += refused;
	outcome->queued += queued;
	outcome->accepted += !refused && !queued;
	if (refused)
		(void)snprintf(outcome->reason, sizeof outcome->reason, "%s%s%s", code != NULL ? code : "", detail != NULL ? ": " : "", detail != NULL ? detail : ""); /* cut to fit */
	if (cli->json && outcome->file && n > 0) /* the spool numbers its receipts in the same way */
		printf("%.*s,\"line\":%zu}\n", (int)n - 1, line, outcome->numbers[outcome->answered]);
	else if (cli->json)
		(void)print_line(cli, NULL, line, n); /* found at the end, when stdout is flushed */
	else if (!refused || outcome->file)
		show_receipt(cli, outcome, &receipt);
	outcome->answered++;
	arena_reset(&cli->shown);
	return true;
}

static int ask(struct cli *cli, struct buf *lines, int wait_ms, struct outcome *outcome)
{
	struct buf request;
	char wait[32];
	(void)snprintf(wait, sizeof wait, "%d", wait_ms); /* fits */
	request_begin(&request, "publish");
	request_raw(&request, "wait_ms", wait);
	(void)buf_text(lines, "]");
	if (lines->error != OK) {
		buf_release(&request);
		return complain(cli, FAILED, "out of memory");
	}
	request_raw(&request, "lines", (const char *)lines->bytes);
	request_finish(&request);
	outcome->answered = 0;
	return ask_agent(cli, &request, wait_ms + ASK_MS, on_receipt, outcome);
}

static int conclude(struct cli *cli, const struct outcome *outcome, int status)
{
	if (status != DONE)
		return status;
	if (outcome->file && !cli->json && outcome->refused == 0)
		puts(say(cli, T_COUNT_ACCEPTED, number(cli, (int64_t)outcome->accepted), NULL));
	if (outcome->file && !cli->json && outcome->queued > 0)
		puts(say(cli, T_LINES_QUEUED, number(cli, (int64_t)outcome->queued), number(cli, (int64_t)outcome->total), NULL));
	if (outcome->refused == 0)
		return DONE;
	if (outcome->file)
		return complain(cli, FAILED, "%s", say(cli, T_LINES_FAILED, number(cli, (int64_t)outcome->refused), number(cli, (int64_t)outcome->total), NULL));
	return complain(cli, FAILED, "%s: %s", text_of(cli, T_REFUSED), outcome->reason);
}

int draft_publish(struct cli *cli, const struct draft *draft, const char *timeout)
{
	struct outcome outcome = {.asked = 1};
	struct buf event, lines;
	struct err err = {0};
	int wait_ms = 0, status = timeout_ms(cli, timeout != NULL ? timeout : TIMEOUT_DEFAULT, &wait_ms);
	if (status != DONE)
		return status;
	buf_init(&event);
	buf_init(&lines);
	if (draft_write(draft, &event, &err) != OK) {
		status = complain(cli, USAGE, "%s", err.text);
	} else {
		(void)buf_text(&lines, "["); /* found by ask */
		(void)json_string(&lines, (const char *)event.bytes);
		status = ask(cli, &lines, wait_ms, &outcome);
	}
	buf_release(&event);
	buf_release(&lines);
	return conclude(cli, &outcome, status);
}

/* --- files ---------------------------------------------------------------------------------------------------------------- */

struct batch { struct buf lines; size_t n, *numbers; int wait_ms; struct outcome *outcome; };

static int flush_batch(struct cli *cli, struct batch *batch)
{
	int status = DONE;
	if (batch->n > 0) {
		batch->outcome->asked = batch->n;
		batch->outcome->numbers = batch->numbers;
		status = ask(cli, &batch->lines, batch->wait_ms, batch->outcome);
	}
	buf_clear(&batch->lines);
	batch->n = 0;
	return status;
}

/* A line that the agent need not see. Those before it are answered first, so that receipts stand in the order of lines. */
static int refuse_line(struct cli *cli, struct batch *batch, size_t line_number, const char *code, const char *detail)
{
	int status = flush_batch(cli, batch);
	batch->outcome->total++;
	batch->outcome->refused++;
	(void)snprintf(batch->outcome->reason, sizeof batch->outcome->reason, "%s: %s", code, detail); /* cut to fit */
	if (cli->json)
		printf("{\"result\":\"refused\",\"code\":\"%s\",\"detail\":\"%s\",\"line\":%zu}\n", code, detail, line_number);
	else
		printf("%s: %s: %s\n", say(cli, T_LINE_WORD, number(cli, (int64_t)line_number), NULL), code, detail);
	return status;
}

static size_t replacements(const char *text)
{
	size_t n = 0;
	for (; (text = strstr(text, "\xef\xbf\xbd")) != NULL; text += 3)
		n++;
	return n;
}

static int add_line(struct cli *cli, struct batch *batch, const char *line, size_t line_number)
{
	struct buf quoted;
	int status = DONE;
	buf_init(&quoted);
	if (json_string(&quoted, line) != OK || quoted.n > REQUEST_BYTES) {
		buf_release(&quoted);
		return refuse_line(cli, batch, line_number, "too-large", "an event is at most 64 KiB");
	}
	/* Quoting puts U+FFFD for what is no UTF-8: that would hand in another text than was meant. */
	if (replacements((const char *)quoted.bytes) != replacements(line)) {
		buf_release(&quoted);
		return refuse_line(cli, batch, line_number, "malformed", "is not UTF-8");
	}
	if (batch->n == LINES_PER_REQUEST || batch->lines.n + quoted.n + 2 > REQUEST_BYTES)
		status = flush_batch(cli, batch);
	(void)buf_text(&batch->lines, batch->n == 0 ? "[" : ","); /* found by ask */
	(void)buf_add(&batch->lines, quoted.bytes, quoted.n);
	batch->numbers[batch->n++] = line_number;
	buf_release(&quoted);
	return status;
}

static int publish_stream(struct cli *cli, FILE *in, struct batch *batch)
{
	char *line = NULL;
	size_t room = 0, count = 0;
	ssize_t n;
	int status = DONE;
	while (status == DONE && (n = getline(&line, &room, in)) >= 0) {
		count++;
		/* A NUL would end the line here: the agent must see that it is no JSON. */
		for (ssize_t i = 0; i < n; i++)
			if (line[i] == '\0')
				line[i] = '\x01';
		line[strcspn(line, "\r\n")] = '\0';
		if (line[strspn(line, " \t")] != '\0')
			status = add_line(cli, batch, line, count);
	}
	free(line);
	return status == DONE ? flush_batch(cli, batch) : status;
}

static int publish_file(struct cli *cli, const char *path, const char *timeout)
{
	struct outcome outcome = {.file = true};
	struct batch batch = {.outcome = &outcome};
	int status = timeout_ms(cli, timeout != NULL ? timeout : TIMEOUT_DEFAULT, &batch.wait_ms);
	if (status != DONE)
		return status;
	FILE *in = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
	if (in == NULL)
		return complain(cli, FAILED, "%s: %s", path, strerror(errno));
	batch.numbers = calloc(LINES_PER_REQUEST, sizeof *batch.numbers);
	buf_init(&batch.lines);
	status = batch.numbers != NULL ? publish_stream(cli, in, &batch) : complain(cli, FAILED, "out of memory");
	if (status == DONE && ferror(in))
		status = complain(cli, FAILED, "%s: cannot be read to its end", path);
	free(batch.numbers);
	buf_release(&batch.lines);
	if (in != stdin)
		(void)fclose(in); /* it was only read */
	return conclude(cli, &outcome, status);
}

/* --- the command -------------------------------------------------------------------------------------------------------------- */

/* A case reference, or our own file number of it: the agent knows which. */
struct resolved { char subject[129]; };

static bool on_resolved(struct cli *cli, void *context, const char *line, size_t n)
{
	struct resolved *resolved = context;
	struct object object;
	const char *subject = object_read(&object, line, n, &cli->shown) ? object_text(&object, "case") : NULL;
	(void)snprintf(resolved->subject, sizeof resolved->subject, "%s", subject != NULL ? subject : ""); /* what is cut is no reference */
	return true;
}

int resolve_case(struct cli *cli, const char *name, const char **ret_subject)
{
	struct resolved resolved = {""};
	struct buf request;
	request_begin(&request, "resolve");
	request_text(&request, "name", name);
	request_finish(&request);
	int status = ask_agent(cli, &request, ASK_MS, on_resolved, &resolved);
	*ret_subject = arena_strdup(&cli->shown, resolved.subject[0] != '\0' ? resolved.subject : name);
	return status == DONE && *ret_subject == NULL ? complain(cli, FAILED, "out of memory") : status;
}

int publish_main(struct cli *cli, int argc, char **argv)
{
	struct draft draft = {0};
	const char *fields[OPTION_MANY_MAX] = {0}, *file = NULL, *timeout = NULL, *name = NULL, *urgent = NULL;
	const struct option_row options[] = {
		{"case", 'C', false, false, &name},           {"set", 0, false, true, fields},              {"op", 0, false, false, &draft.op},
		{"target", 0, false, false, &draft.target},   {"sanction", 0, false, false, &draft.sanction}, {"slot-version", 0, false, false, &draft.slot_version},
		{"id", 0, false, false, &draft.id},           {"time", 0, false, false, &draft.time},       {"cause", 0, false, false, &draft.cause},
		{"urgent", 0, true, false, &urgent},          {"file", 0, false, false, &file},             {"timeout", 0, false, false, &timeout}, {0},
	};
	int first;
	if (!read_options(cli, argc, argv, options, &first))
		return USAGE;
	if (file != NULL && (argc > first || name != NULL || fields[0] != NULL))
		return misuse(cli, "--file stands alone");
	if (file == NULL && argc - first != 1)
		return misuse(cli, "one type is needed, such as release.date-set");
	if (file == NULL && name == NULL)
		return misuse(cli, "--case is needed");
	int status = need_agent(cli);
	if (status != DONE)
		return status;
	if (file != NULL)
		return publish_file(cli, file, timeout);
	status = resolve_case(cli, name, &draft.subject);
	draft.type = argv[first];
	draft.urgent = urgent != NULL;
	draft.fields = fields;
	char subject[129];
	(void)snprintf(subject, sizeof subject, "%s", status == DONE ? draft.subject : ""); /* out of the memory that receipts reset */
	draft.subject = subject;
	return status == DONE ? draft_publish(cli, &draft, timeout) : status;
}
