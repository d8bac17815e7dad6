/* Of an agent's configuration the command needs three values; the other keys are named here so that a mistyped one is still an error.
 * tests/unit/test_cli_config.c holds this list against the agent's own. */
#include "cli/agent_config.h"

#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

struct values {
	char *id, *control, *lang;
	char *text;                     /* takes whatever is not needed here */
	struct conf_strings texts;
	int64_t number;
	bool flag, has_spool, has_exec;
};
#define IGNORED(row_name, row_type, field) {.name = (row_name), .type = (row_type), .offset = offsetof(struct values, field), .fallback = "", .help = ""}

static const struct conf_row agent_rows[] = {
	{.name = "id", .type = CONF_STRING, .offset = offsetof(struct values, id), .help = ""},
	{.name = "control", .type = CONF_PATH, .offset = offsetof(struct values, control), .help = ""},
	{.name = "lang", .type = CONF_STRING, .offset = offsetof(struct values, lang), .fallback = "", .help = ""},
	{.name = "broker", .type = CONF_STRINGS, .offset = offsetof(struct values, texts), .help = ""},
	IGNORED("control_group", CONF_STRING, text),
	IGNORED("broker_key", CONF_PATH, text),
	IGNORED("key", CONF_PATH, text),
	IGNORED("log_key", CONF_PATH, text),
	IGNORED("store", CONF_PATH, text),
	{.name = "keep", .type = CONF_DURATION, .offset = offsetof(struct values, number), .fallback = "1s", .help = ""},
	{.name = "size_max", .type = CONF_SIZE, .offset = offsetof(struct values, number), .fallback = "1B", .help = ""},
	{0},
};
static const struct conf_row spool_rows[] = {
	IGNORED("dir", CONF_PATH, text),
	{.name = "done", .type = CONF_BOOL, .offset = offsetof(struct values, flag), .fallback = "false", .help = ""},
	{0},
};
static const struct conf_row exec_rows[] = {
	{.name = "command", .type = CONF_STRINGS, .offset = offsetof(struct values, texts), .help = ""},
	{.name = "timeout", .type = CONF_DURATION, .offset = offsetof(struct values, number), .fallback = "1s", .help = ""},
	{.name = "attempts", .type = CONF_INT, .offset = offsetof(struct values, number), .fallback = "1", .help = ""},
	{.name = "backoff", .type = CONF_DURATION, .offset = offsetof(struct values, number), .fallback = "1s", .help = ""},
	{.name = "parallel", .type = CONF_INT, .offset = offsetof(struct values, number), .fallback = "1", .help = ""},
	{.name = "errors", .type = CONF_BOOL, .offset = offsetof(struct values, flag), .fallback = "false", .help = ""},
	{.name = "done", .type = CONF_BOOL, .offset = offsetof(struct values, flag), .fallback = "false", .help = ""},
	{0},
};
const struct conf_row cli_agent_rows[] = {
	{.name = "agent", .type = CONF_GROUP, .rows = agent_rows, .help = ""},
	{.name = "spool", .type = CONF_GROUP, .rows = spool_rows, .set_offset = offsetof(struct values, has_spool) + 1, .help = ""},
	{.name = "exec", .type = CONF_GROUP, .rows = exec_rows, .set_offset = offsetof(struct values, has_exec) + 1, .help = ""},
	{0},
};

int need_agent(struct cli *cli)
{
	struct values values = {0};
	struct arena arena;
	struct err err;
	if (cli->config == NULL)
		return misuse(cli, "which agent? name its configuration: reentry -c FILE …");
	arena_init(&arena, 0);
	int r = conf_read(cli->config, cli_agent_rows, &values, &arena, &err);
	if (r == OK) {
		cli->control = strdup(values.control);
		cli->agency = strdup(values.id);
		if (!cli->has_lang && values.lang[0] != '\0')
			cli->lang = strcmp(values.lang, "nl") == 0 ? LANG_NL : LANG_EN;
	}
	arena_release(&arena);
	if (r != OK)
		return complain(cli, FAILED, "%s%s", err.text, strstr(err.text, ": broker: is not known here") != NULL ? "; this is a broker's configuration: name the agent's" : "");
	return cli->control != NULL && cli->agency != NULL ? DONE : complain(cli, FAILED, "out of memory");
}
