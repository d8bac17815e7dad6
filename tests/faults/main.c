/* The part of the fault tests that works below the daemons: crash prefixes of the core's stores (prefix.c), and `faults verify CONFIG DIR`, which looks through a copy of a log. */
#include <stdio.h>
#include <string.h>

#include "broker/config.h"
#include "broker/core_verify.h"
#include "tests/faults/prefix.h"

static void on_fault(void *context, const char *line)
{
	(void)context;
	(void)fprintf(stderr, "%s\n", line);
}

/* Prints how many records there are; fails when one is not as it was written. */
static int verify(const char *config_path, const char *dir)
{
	struct verify_options options = { .core = { .dir = dir } };
	struct broker_config *config = NULL;
	struct verify_result result = { 0 };
	struct err err = { 0 };
	int rc = broker_config_load(config_path, &config, &err);

	if (!rc) {
		options.policy = &config->policy;
		options.policy_text = config->policy_text;
		rc = core_verify(&options, on_fault, NULL, &result, &err);
	}
	broker_config_free(config);
	if (rc) {
		(void)fprintf(stderr, "%s\n", err.text);
		return 1;
	}
	(void)printf("%llu records, %llu faults\n", (unsigned long long)result.records, (unsigned long long)result.faults);
	return result.faults != 0;
}

int main(int argc, char **argv)
{
	if (argc == 4 && !strcmp(argv[1], "verify"))
		return verify(argv[2], argv[3]);
	return argc > 1 ? prefix_main(argc - 1, argv + 1) : 2;
}
