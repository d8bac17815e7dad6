/* reentry-broker: the daemon that keeps the log and carries events between the agencies. */
#include <stdio.h>

#include "broker/broker.h"
#include "lib/daemon.h"
#include "lib/log.h"

static const char help[] =
	"reentry-broker -c FILE            run in the foreground (SIGHUP reloads, SIGTERM stops)\n"
	"reentry-broker -n -c FILE         check the configuration and stop; -nv also prints what was understood\n"
	"reentry-broker --help | --version\n";

/* Needs no key file: a configuration can be checked where the keys are not. */
static int check(const struct daemon_args *args)
{
	struct broker_config *config;
	struct err err;
	int rc = broker_config_load(args->conf, &config, &err);

	if (rc) {
		(void)fprintf(stderr, "reentry-broker: %s\n", err.text); /* nobody to tell if it fails */
		return 1;
	}
	rc = args->print ? broker_config_print(stdout, config) : OK;
	broker_config_free(config);
	return rc || fflush(stdout) ? 1 : 0;
}

static int run(const struct daemon_args *args)
{
	struct broker broker;
	struct err err;
	int code = 1;

	log_init("reentry-broker");
	if (broker_open(&broker, args->conf, &err))
		log_error("%s", err.text);
	else
		code = broker_run(&broker);
	broker_close(&broker);
	return code;
}

int main(int argc, char **argv)
{
	struct daemon_args args;
	const char *message = "";

	switch (daemon_args(argc, argv, help, &args, &message)) {
	case DAEMON_RUN:
		return run(&args);
	case DAEMON_CHECK:
		return check(&args);
	case DAEMON_DONE:
		return fputs(message, stdout) < 0 || fflush(stdout) ? 1 : 0;
	case DAEMON_USAGE:
		break;
	}
	(void)fprintf(stderr, "reentry-broker: %s\n", message); /* nobody to tell if it fails */
	return 2;
}
