/* reentry-agent: the daemon of one agency. */
#include <stdio.h>

#include "agents/agent.h"
#include "lib/daemon.h"
#include "lib/log.h"

#define FDS_MIN 256

static const char help[] =
	"Usage: reentry-agent -c FILE         run in the foreground until SIGTERM; SIGHUP reads FILE again\n"
	"       reentry-agent -n -c FILE      check FILE and stop\n"
	"       reentry-agent -nv -c FILE     check FILE and print what is in effect\n"
	"       reentry-agent --help | --version\n"
	"\n"
	"The agent of one agency: keeps what the agency hands in until the broker has it on disk, and what\n"
	"arrives until the agency has dealt with it. Talk to it with: reentry -c FILE status\n";

static int check(const struct daemon_args *args)
{
	struct agent_config config;
	struct arena arena;
	struct err err;
	arena_init(&arena, 0);
	int r = agent_config_read(args->conf, &arena, &config, &err);
	if (r == OK && args->print)
		r = conf_print(stdout, agent_config_rows, &config) == OK ? OK : err_set(&err, ERR_IO, "stdout: cannot be written");
	if (r == OK)
		r = agent_config_check_keys(&config, &err);
	if (r == ERR_NOTFOUND) { /* keys may still have to be made; everything else about them is a mistake */
		fprintf(stderr, "reentry-agent: the configuration is good; before a start a key file is still missing: %s\n", err.text);
		r = OK;
	} else if (r != OK) {
		fprintf(stderr, "reentry-agent: %s\n", err.text);
	}
	arena_release(&arena);
	return r == OK && fflush(stdout) == 0 ? 0 : 1;
}

static int run(const struct daemon_args *args)
{
	static struct agent agent; /* large */
	struct err err;
	int r = daemon_start(FDS_MIN, &err);
	if (r == OK)
		r = agent_open(&agent, args->conf, false, &err);
	if (r != OK) {
		log_error("%s", err.text);
		return 1;
	}
	r = agent_run(&agent);
	agent_close(&agent);
	return r == OK ? 0 : 1;
}

int main(int argc, char **argv)
{
	struct daemon_args args;
	const char *message = "";
	enum daemon_todo todo = daemon_args(argc, argv, help, &args, &message);
	log_init("reentry-agent");
	if (todo == DAEMON_DONE) {
		printf("%s", message);
		return fflush(stdout) == 0 ? 0 : 1;
	}
	if (todo == DAEMON_USAGE) {
		fprintf(stderr, "%s\n", message);
		return 2;
	}
	if (crypt_init() != OK) {
		log_error("libsodium does not start");
		return 1;
	}
	return todo == DAEMON_CHECK ? check(&args) : run(&args);
}
