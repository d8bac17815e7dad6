/* reentry-broker: the daemon that keeps the log and carries events between the agencies. */
#include <stdio.h>

#include "broker/broker.h"
#include "broker/keyring.h"
#include "lib/daemon.h"
#include "lib/log.h"

static const char help[] =
	"reentry-broker -c FILE            run in the foreground (SIGHUP reloads, SIGTERM stops)\n"
	"reentry-broker -n -c FILE         check the configuration and stop; -nv also prints what was understood\n"
	"reentry-broker --help | --version\n";

/* A configuration can be checked where the keys are not; those that are there are looked at, too. */
static int check_keys(const struct broker_config *config)
{
	const char *first;
	size_t missing;
	struct err err;

	if (keyring_check(config, &missing, &first, &err)) {
		(void)fprintf(stderr, "reentry-broker: %s\n", err.text); /* nobody to tell if it fails; so below */
		return 1;
	}
	if (missing)
		(void)fprintf(stderr, "reentry-broker: the configuration is good; before a start %zu key file%s still missing, the first is %s (reentry keygen)\n",
		              missing, missing == 1 ? " is" : "s are", first);
	return 0;
}

static int check(const struct daemon_args *args)
{
	struct broker_config *config;
	struct err err;
	int rc = broker_config_load(args->conf, &config, &err);

	if (rc) {
		(void)fprintf(stderr, "reentry-broker: %s\n", err.text); /* nobody to tell if it fails */
		return 1;
	}
	rc = crypt_init();
	if (!rc)
		rc = check_keys(config);
	if (!rc && args->print)
		rc = broker_config_print(stdout, config);
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
