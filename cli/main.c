/* reentry: one command for prisons, municipalities, care providers, auditors and operators. A row per subcommand. */
#include <stdio.h>
#include <string.h>

#include "cli/rehearse.h"

static const struct { const char *name; int (*run)(int argc, char **argv); const char *help; } commands[] = {
	{ "rehearse", rehearse_main, "play a scenario on a simulated clock" },
};

static void usage(FILE *out)
{
	fputs("usage: reentry COMMAND [OPTION …]\n\n", out);
	for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
		fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].help);
	fputs("\nreentry COMMAND --help tells more.\n", out);
}

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "";

	for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
		if (strcmp(commands[i].name, name) == 0)
			return commands[i].run(argc - 1, argv + 1);
	if (strcmp(name, "--help") == 0) {
		usage(stdout);
		return 0;
	}
	if (strcmp(name, "--version") == 0) {
		puts("reentry " REENTRY_VERSION);
		return 0;
	}
	usage(stderr);
	return 2;
}
