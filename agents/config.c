/* The agent's configuration: rows for lib/conf, and the checks that need more than one value. */
#include "agents/agent.h"

#include <string.h>

#include "lib/id.h"

#define AT(field) offsetof(struct agent_config, agent.field)
static const struct conf_row agent_rows[] = {
	{.name = "id", .type = CONF_STRING, .offset = AT(id), .help = "The agency this agent works for, as the broker's configuration names it."},
	{.name = "broker", .type = CONF_STRINGS, .offset = AT(broker), .min = 1, .max = 16,
	 .help = "Endpoints of the broker (\"tcp://host:port\"), tried in turn."},
	{.name = "broker_key", .type = CONF_PATH, .offset = AT(broker_key), .help = "The broker's public key file (NAME.pub)."},
	{.name = "key", .type = CONF_PATH, .offset = AT(key), .help = "This agency's key file (NAME.key, 0600), made with: reentry keygen."},
	{.name = "log_key", .type = CONF_PATH, .offset = AT(log_key), .fallback = "",
	 .help = "Public key file of the broker's log (NAME.pub): its checkpoints are verified with it, and cosigned. Left out: they are only compared with each other."},
	{.name = "store", .type = CONF_PATH, .offset = AT(store), .help = "Folder of the outbox and inbox; on a local disk, used by this agent alone."},
	{.name = "control", .type = CONF_PATH, .offset = AT(control), .help = "Unix socket that the reentry command talks to; its permissions protect it."},
	{.name = "control_group", .type = CONF_STRING, .offset = AT(control_group), .fallback = "", .max = 32,
	 .help = "A group of this machine whose members may open that socket too, and so act for the agency; otherwise only the user that runs the agent."},
	{.name = "lang", .type = CONF_STRING, .offset = AT(lang), .fallback = "en", .help = "Language of the reentry command for people: \"en\" or \"nl\"."},
	{.name = "keep", .type = CONF_DURATION, .offset = AT(keep), .fallback = "400d", .min = 86400000, .max = INT64_C(86400000) * 36500,
	 .help = "How long what was sent is kept with its receipt; up to twice as long while no backup of the broker covers it."},
	{.name = "size_max", .type = CONF_SIZE, .offset = AT(size_max), .fallback = "16GiB", .min = INT64_C(16) << 20, .max = INT64_C(1) << 44,
	 .help = "Upper bound of the store; takes no room until it is used."},
	{0},
};
#undef AT

#define AT(field) offsetof(struct spool_config, field)
static const struct conf_row spool_rows[] = {
	{.name = "dir", .type = CONF_PATH, .offset = AT(dir), .help = "Folder with in/, done/, failed/ and out/: events as files."},
	{.name = "done", .type = CONF_BOOL, .offset = AT(done), .fallback = "false", .help = "What was written to out/ counts as dealt with: for an agency whose people do not look into the inbox."},
	{0},
};
#undef AT

#define AT(field) offsetof(struct exec_config, field)
static const struct conf_row exec_rows[] = {
	{.name = "command", .type = CONF_STRINGS, .offset = AT(command), .min = 1, .max = 64,
	 .help = "Program and arguments, started without a shell for each event that arrives, with the event in JSON on stdin."},
	{.name = "timeout", .type = CONF_DURATION, .offset = AT(timeout), .fallback = "30s", .min = 100, .max = 3600000, .help = "Then it is stopped and counts as failed."},
	{.name = "attempts", .type = CONF_INT, .offset = AT(attempts), .fallback = "10", .min = 1, .max = 1000, .help = "Failed attempts before it is given up, which reentry status shows."},
	{.name = "backoff", .type = CONF_DURATION, .offset = AT(backoff), .fallback = "5s", .min = 10, .max = 3600000, .help = "Pause after the first failure, doubled after each further one, at most an hour."},
	{.name = "parallel", .type = CONF_INT, .offset = AT(parallel), .fallback = "4", .min = 1, .max = 64, .help = "Commands at one time; never two of one case."},
	{.name = "errors", .type = CONF_BOOL, .offset = AT(errors), .fallback = "false", .help = "Let the command write to the agent's own log (it must then name no person)."},
	{.name = "done", .type = CONF_BOOL, .offset = AT(done), .fallback = "false", .help = "What the command took counts as dealt with: for an agency whose people do not look into the inbox."},
	{0},
};
#undef AT

const struct conf_row agent_config_rows[] = {
	{.name = "agent", .type = CONF_GROUP, .offset = offsetof(struct agent_config, agent), .rows = agent_rows, .help = "Who we are, and where the broker is."},
	{.name = "spool", .type = CONF_GROUP, .offset = offsetof(struct agent_config, spool), .rows = spool_rows,
	 .set_offset = offsetof(struct agent_config, has_spool) + 1, .help = "Events as files in folders."},
	{.name = "exec", .type = CONF_GROUP, .offset = offsetof(struct agent_config, exec), .rows = exec_rows,
	 .set_offset = offsetof(struct agent_config, has_exec) + 1, .help = "A command for each event that arrives."},
	{0},
};

static int check_values(const char *path, const struct agent_config *config, struct err *err)
{
	if (!agency_id_is_valid(config->agent.id))
		return err_set(err, ERR_INVALID, "%s: agent.id: \"%s\" is no agency id (1-32 of a-z, 0-9 and -)", path, config->agent.id);
	for (size_t i = 0; i < config->agent.broker.n; i++)
		if (strncmp(config->agent.broker.items[i], "tcp://", 6) != 0)
			return err_set(err, ERR_INVALID, "%s: agent.broker: \"%s\" is no endpoint; write \"tcp://host:port\"", path,
			               config->agent.broker.items[i]);
	if (strcmp(config->agent.lang, "en") != 0 && strcmp(config->agent.lang, "nl") != 0)
		return err_set(err, ERR_INVALID, "%s: agent.lang: \"%s\" is not known; write \"en\" or \"nl\"", path, config->agent.lang);
	if (config->has_exec && config->exec.command.items[0][0] != '/')
		return err_set(err, ERR_INVALID, "%s: exec.command: \"%s\": write the full path of the program", path,
		               config->exec.command.items[0]);
	return OK;
}

int agent_config_read(const char *path, struct arena *arena, struct agent_config *ret_config, struct err *err)
{
	struct agent_config config = {0};
	int r = conf_read(path, agent_config_rows, &config, arena, err);
	if (r != OK)
		return r;
	r = check_values(path, &config, err);
	if (r != OK)
		return r;

	*ret_config = config;
	return OK;
}

/* What to do about a key file that is not there. */
static int missing(int r, const char *what, struct err *err)
{
	struct err why = *err;
	return r == ERR_NOTFOUND ? err_set(err, r, "%.400s; %s", why.text, what) : r;
}

int agent_config_check_keys(const struct agent_config *config, struct err *err)
{
	static const char ask[] = "ask the broker's operator for it";
	struct key_pair pair = {0};
	int r = missing(key_read_public(config->agent.broker_key, &pair, err), ask, err);
	if (r == OK)
		r = missing(key_read_secret(config->agent.key, &pair, err), "make it: reentry keygen FOLDER NAME, and give the .pub to the broker's operator", err);
	if (r == OK && config->agent.log_key != NULL)
		r = missing(key_read_public(config->agent.log_key, &pair, err), ask, err);
	crypt_wipe(&pair, sizeof pair);
	return r;
}
