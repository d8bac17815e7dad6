/* What is typed: options that hold for every command and a command's own; and what is told when that is wrong. */
#include "cli/cli.h"

#include <getopt.h>
#include <stdarg.h>
#include <string.h>

/* --- telling ------------------------------------------------------------------------------------------------------------ */

int complain(const struct cli *cli, int status, const char *format, ...)
{
	va_list arguments;
	(void)cli;
	(void)fflush(stdout); /* what was printed comes before the reason; a failure shows at the end */
	fputs("reentry: ", stderr);
	va_start(arguments, format);
	(void)vfprintf(stderr, format, arguments); /* stderr is the last resort */
	va_end(arguments);
	fputc('\n', stderr);
	return status;
}

int misuse(const struct cli *cli, const char *format, ...)
{
	va_list arguments;
	fputs("reentry: ", stderr);
	va_start(arguments, format);
	(void)vfprintf(stderr, format, arguments); /* stderr is the last resort */
	va_end(arguments);
	fprintf(stderr, "; %s: %s\n", text_of(cli, T_USAGE_WORD), cli->usage != NULL ? cli->usage : "reentry -c FILE COMMAND …");
	return USAGE;
}

/* --- options ---------------------------------------------------------------------------------------------------------------- */

enum { OPTION_JSON = 1000, OPTION_LANG, OPTION_HELP, OPTION_VERSION, OPTION_CONFIG, OPTION_OWN };
static const struct option global_options[] = {
	{"json", no_argument, NULL, OPTION_JSON},      {"lang", required_argument, NULL, OPTION_LANG},      {"help", no_argument, NULL, OPTION_HELP},
	{"version", no_argument, NULL, OPTION_VERSION}, {"config", required_argument, NULL, OPTION_CONFIG}, {0},
};
#define N_GLOBAL (sizeof global_options / sizeof *global_options - 1)

static bool set_lang(struct cli *cli, const char *name)
{
	if (strcmp(name, "en") != 0 && strcmp(name, "nl") != 0)
		return false;
	cli->lang = strcmp(name, "nl") == 0 ? LANG_NL : LANG_EN;
	cli->has_lang = true;
	return true;
}

/* DONE: taken. */
static int global_option(struct cli *cli, int option, const char *value)
{
	switch (option) {
	case OPTION_JSON: cli->json = true; return DONE;
	case OPTION_CONFIG:
	case 'c': cli->config = value; return DONE;
	case OPTION_LANG: return set_lang(cli, value) ? DONE : misuse(cli, "--lang: en or nl");
	default: return USAGE;
	}
}

static int bad_option(const struct cli *cli, int option, const char *name)
{
	return misuse(cli, "%s %s", name, option == ':' ? "needs a value" : "is no option here");
}

static void take_value(const struct option_row *row, const char *value)
{
	size_t n = 0;
	while (row->many && row->value[n] != NULL)
		n++;
	if (!row->many || n < OPTION_MANY_MAX - 1)
		row->value[n] = value;
}

bool read_options(struct cli *cli, int argc, char **argv, const struct option_row *rows, int *ret_first)
{
	struct option options[N_GLOBAL + 32] = {0};
	size_t n = 0;
	memcpy(options, global_options, N_GLOBAL * sizeof *options);
	for (; n < 31 && rows[n].name != NULL; n++)
		options[N_GLOBAL + n] = (struct option){rows[n].name, rows[n].flag ? no_argument : required_argument, NULL, OPTION_OWN + (int)n};
	optind = 0; /* begins anew: the global options were read with the same function */
	opterr = 0;
	for (int option; (option = getopt_long(argc, argv, ":c:", options, NULL)) != -1;) {
		if (option == '?' || option == ':') {
			(void)bad_option(cli, option, argv[optind - 1]);
			return false;
		}
		if (option < OPTION_OWN && global_option(cli, option, optarg) != DONE)
			return false;
		if (option >= OPTION_OWN)
			take_value(&rows[option - OPTION_OWN], rows[option - OPTION_OWN].flag ? "" : optarg);
	}
	*ret_first = optind;
	return true;
}

int read_global_options(struct cli *cli, int argc, char **argv, int *ret_first, enum global_want *ret_want)
{
	int status = DONE, option;
	opterr = 0;
	while (status == DONE && (option = getopt_long(argc, argv, "+:c:", global_options, NULL)) != -1) {
		if (option == OPTION_HELP || option == OPTION_VERSION) {
			*ret_want = option == OPTION_HELP ? WANT_HELP : WANT_VERSION;
			return DONE;
		}
		status = option == '?' || option == ':' ? bad_option(cli, option, argv[optind - 1]) : global_option(cli, option, optarg);
	}
	*ret_first = optind;
	return status;
}
