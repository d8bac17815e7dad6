/* reentry: one command for prisons, municipalities, care providers, auditors and operators. A row per subcommand. */
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/proofs.h"
#include "cli/rehearse.h"
#include "lib/crypt.h"


static int rehearse(struct cli *cli, int argc, char **argv)
{
	char *with_config[64], option[] = "-c";
	int n = 0;
	if (cli->config == NULL || argc > 60)
		return rehearse_main(argc, argv);
	with_config[n++] = argv[0];
	with_config[n++] = option;
	with_config[n++] = (char *)(uintptr_t)cli->config; /* argv is only read */
	for (int i = 1; i < argc; i++)
		with_config[n++] = argv[i];
	with_config[n] = NULL;
	return rehearse_main(n, with_config);
}

static const char *const publish_options[] = {
	"--case C", "the case, or your own file number of it", "--set FIELD=VALUE", "a field of the event, such as date=2027-02-25; a list with commas",
	"--op OP", "SUPERSEDE, CANCEL or RETRACT (otherwise NEW)", "--target ID", "the event that is corrected (otherwise the current version)",
	"--slot-version N", "the version that this one is (otherwise the next)", "--sanction REF", "the sanction that it is about", "--urgent", "delivered as urgent: who has not received it after 15 minutes is reported", "--id ID", "a UUID, for handing in the same event again", "--time MOMENT", "when it was logged",
	"--file FILE", "events in JSON, one a line; - is stdin", "--timeout S", "seconds to wait for the receipt (5)", NULL};
static const char *const step_options[] = {"--case C", "only needed for a handover that this agent has not seen", "--offer N", "the number of the offer, from what was received otherwise",
	"--set FIELD=VALUE", "note=…; also start_date=2027-02-25, code=NO_CAPACITY", "CODE", "NO_CAPACITY, NOT_ELIGIBLE, WRONG_REGION, NEED_MET_ELSEWHERE, SAFETY, INSUFFICIENT_INFO, NO_CONSENT, DUPLICATE, PERSON_REFUSES, OTHER", "--timeout S", "seconds to wait for the receipt (5)", NULL};
static const char *const inbox_options[] = {"--all", "also what is done and what is superseded", "--follow", "go on with what arrives", "--case C", "of this case only", "--type TYPE", "a type, or its first word (release)",
	"--since MOMENT", "received since; a day is its beginning", NULL};
static const char *const cases_options[] = {"--gaps", "with gaps only", "--unplaced", "with a handover that nobody has taken", "--no-destination", "no municipality known, or one that nobody answers for", "--no-date", "inside, and no release date known",
	"--screening", "screening still due", "--hold", "release recorded and not yet confirmed", "--within DAYS", "release within so many days", NULL};
static const char *const replay_options[] = {"--purpose TEXT", "why you look: goes on record", "--on-behalf-of TEXT", "for whom you look: goes on record", "--from T", "recorded at or after; a day is its beginning",
	"--to T", "recorded before", "--case C", "of this case only", "--type TYPE,…", "of these types only", "--agency AGENCY", "published by it only", "--as-of T", "the state of the case, or of each case, as it was on record then",
	"--as-seen-by AGENCY", "what that agency was given (by then, with --as-of), in the form that it was given", "--records", "with whom each event went to, deliveries, acknowledgements, questions, denials, erasures",
	"--after SEQUENCE", "go on behind that one", "--limit N", "so many at most", NULL};
static const char *const report_options[] = {"access --case C", "who was given what of the case and when; who looked, asked, was denied", "notice", "days of notice of each municipality: median, worst, the late ones",
	"--from D, --to D", "notice: of releases from that day up to, not including, that day", "--late N", "notice: fewer days are late (14), unless the custody was shorter", "--releases", "notice: every release, not only the late ones",
	"--csv", "notice: for a spreadsheet", "--purpose TEXT", "why you look: goes on record (otherwise: report access, report notice)", "--on-behalf-of TEXT", "", "--file FILE", "lines of reentry --json replay --records, instead of asking", NULL};
static const char *const prove_options[] = {"--case C", "", "--purpose TEXT", "why you look: goes on record", "--on-behalf-of TEXT", "", "--witnesses AGENCY,…", "agencies that must have cosigned", "--out FILE", "a new file (otherwise stdout)", NULL};
static const char *const verify_options[] = {"FILE", "a bundle: checked offline, without any daemon", "--key LOG.pub", "public key of the log, from somebody you trust", "--witness AGENCY.pub", "an agency that must have cosigned", "--show", "prints the records",
	"--log", "the whole store of a stopped broker, or a backup; -c names the broker's configuration", "--store DIR", "of another store", NULL};
static const char *const link_options[] = {"CASE NUMBER", "sets it; \"\" removes it; - reads it from stdin, so that no list of processes shows it", "CASE", "shows it", NULL};
static const char *const receipts_options[] = {"--refused", "refusals only", "--max N", "so many, newest first (20)", NULL};
static const char *const admin_options[] = {"status", "what the broker is doing", "queues", "what waits for which agency", "timers [--max N]", "deadlines, earliest first", "backup DIR", "a copy of the live log, while the broker goes on", "backup-keys DIR", "a copy of the keys, to be kept apart and a short time",
	"restore DIR [--keys DIR]", "puts a backup in place; the broker must be stopped", "epoch --reason TEXT [--from N] [--out FILE]", "after a restore: the log goes on, with a signed record for the agencies",
	"rebuild", "folds the log again and compares", "repair", "the same, and replaces what differs", "checkpoint", "signs one now", "erase CASE --order TEXT", "orders that all of a case is destroyed, on what ground", "erase CASE --confirm", "by another operator: it is done, and cannot be undone", "erase CASE --withdraw --order TEXT", "takes an order back that is not confirmed yet", "resend AGENCY", "an agency that lost its store is given its cases again", "reload", "read the configuration again", NULL};

static const struct command commands[] = {
	{"publish", publish_main, "TYPE --case C [--set FIELD=VALUE …] | --file FILE", T_HELP_PUBLISH, publish_options},
	{"inbox", inbox_main, "[--all] [--follow] [--case C] [--type TYPE] [--since MOMENT]", T_HELP_INBOX, inbox_options},
	{"done", done_main, "SEQUENCE…", T_HELP_DONE, NULL},
	{"case", case_main, "CASE [--timeline N]", T_HELP_CASE, NULL},
	{"cases", cases_main, "[--gaps] [--unplaced] [--no-destination] [--no-date] [--screening] [--hold] [--within DAYS]", T_HELP_CASES, cases_options},
	{"offers", offers_main, "", T_HELP_OFFERS, NULL},
	{"receive", handover_main, "HANDOVER", T_HELP_RECEIVE, step_options},
	{"accept", handover_main, "HANDOVER START_DATE [--set condition=TEXT]", T_HELP_ACCEPT, step_options},
	{"decline", handover_main, "HANDOVER CODE [--set note=TEXT]", T_HELP_DECLINE, step_options},
	{"start", handover_main, "HANDOVER", T_HELP_START, step_options},
	{"complete", handover_main, "HANDOVER", T_HELP_COMPLETE, step_options},
	{"end", handover_main, "HANDOVER CODE [--set note=TEXT]", T_HELP_END, step_options},
	{"withdraw", handover_main, "HANDOVER", T_HELP_WITHDRAW, step_options},
	{"ask", handover_main, "HANDOVER QUESTION", T_HELP_ASK, step_options},
	{"answer", handover_main, "HANDOVER ANSWER", T_HELP_ANSWER, step_options},
	{"link", link_main, "CASE [NUMBER]", T_HELP_LINK, link_options},
	{"directory", directory_main, "[AGENCY]", T_HELP_DIRECTORY, NULL},
	{"status", status_main, "", T_HELP_STATUS, NULL},
	{"receipts", receipts_main, "[--refused] [--max N]", T_HELP_RECEIPTS, receipts_options},
	{"retry", retry_main, "SEQUENCE…", T_HELP_RETRY, NULL},
	{"replay", replay_main, "--purpose TEXT [--from T] [--to T] [--case C] [--type TYPE,…] [--agency AGENCY] [--as-of T] [--as-seen-by AGENCY] [--records]", T_HELP_REPLAY, replay_options},
	{"accept-epoch", accept_epoch_main, "FILE|-", T_HELP_ACCEPT_EPOCH, NULL},
	{"report", report_main, "access --case C | notice [--from D] [--to D] [--csv] [--releases]", T_HELP_REPORT, report_options},
	{"prove", prove_main, "--case C --purpose TEXT [--witnesses AGENCY,…] [--out FILE]", T_HELP_PROVE, prove_options},
	{"verify", verify_main, "FILE --key LOG.pub [--witness AGENCY.pub …] [--show] | --log [--store DIR] [--key LOG.pub]", T_HELP_VERIFY, verify_options},
	{"admin", admin_main, "status|queues|timers|backup DIR|backup-keys DIR|restore DIR|epoch|rebuild|repair|checkpoint|erase CASE|resend AGENCY|reload", T_HELP_ADMIN, admin_options},
	{"keygen", keygen_main, "DIR NAME", T_HELP_KEYGEN, NULL},
	{"rehearse", rehearse, "-c BROKERCFG SCENARIO.jsonl", T_HELP_REHEARSE, NULL},
};
#define N_COMMANDS (sizeof commands / sizeof *commands)

/* --- help ------------------------------------------------------------------------------------------------------------------ */

static void help(const struct cli *cli)
{
	printf("%s: reentry [-c FILE] [--json] [--lang en|nl] COMMAND …\n\n", text_of(cli, T_USAGE_WORD));
	for (size_t i = 0; i < N_COMMANDS; i++)
		printf("  %-12s %s\n", commands[i].name, text_of(cli, commands[i].help));
	printf("\n%s\n", text_of(cli, T_MORE_HELP));
}

static void help_command(const struct cli *cli, const struct command *command)
{
	printf("%s: %s\n\n%s\n", text_of(cli, T_USAGE_WORD), cli->usage, text_of(cli, command->help));
	if (command->options != NULL)
		putchar('\n');
	for (const char *const *option = command->options; option != NULL && *option != NULL; option += 2)
		printf("  %-22s %s\n", option[0], option[1]);
}

/* --- start -------------------------------------------------------------------------------------------------------------------- */

static void look_around(struct cli *cli)
{
	struct winsize size;
	struct err err;
	const char *locale = getenv("LC_ALL");
	if (locale == NULL || locale[0] == '\0')
		locale = getenv("LC_MESSAGES");
	if (locale == NULL || locale[0] == '\0')
		locale = getenv("LANG");
	cli->lang = locale != NULL && strncmp(locale, "nl", 2) == 0 ? LANG_NL : LANG_EN;
	cli->colour = isatty(STDOUT_FILENO) && getenv("NO_COLOR") == NULL;
	cli->width = isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
	if (clock_from_environment(&cli->clock) != OK)
		clock_system(&cli->clock);
	if (civil_zone_load("Europe/Amsterdam", &cli->zone, &err) != OK)
		cli->zone = NULL; /* times are then shown in UTC, and say so */
}

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < N_COMMANDS; i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

static bool wants_help(int argc, char **argv)
{
	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
		if (strcmp(argv[i], "--help") == 0)
			return true;
	return false;
}

static int run_command(struct cli *cli, const char *name, int argc, char **argv)
{
	const struct command *command = find_command(name);
	char usage[512];
	if (command == NULL)
		return misuse(cli, "%s is no command; reentry --help lists them", name);
	(void)snprintf(usage, sizeof usage, "reentry [-c FILE] %s%s%s", name, command->arguments[0] != '\0' ? " " : "", command->arguments); /* cut to fit */
	cli->usage = usage;
	if (command->run != rehearse && wants_help(argc, argv)) {
		help_command(cli, command);
		cli->usage = NULL;
		return DONE;
	}
	int status = command->run(cli, argc, argv);
	cli->usage = NULL;
	return status;
}

int main(int argc, char **argv)
{
	struct cli cli = {0};
	int status;
	arena_init(&cli.shown, 0);
	look_around(&cli);
	enum global_want want = WANT_COMMAND;
	int first = 0;
	status = read_global_options(&cli, argc, argv, &first, &want);
	if (status == DONE && want == WANT_HELP)
		help(&cli);
	else if (status == DONE && want == WANT_VERSION)
		puts("reentry " REENTRY_VERSION);
	else if (status == DONE && first >= argc)
		status = misuse(&cli, "which command? reentry --help lists them");
	else if (status == DONE && crypt_init() != OK)
		status = complain(&cli, FAILED, "libsodium does not start");
	else if (status == DONE)
		status = run_command(&cli, argv[first], argc - first, argv + first);
	free(cli.control);
	free(cli.agency);
	civil_zone_free(cli.zone);
	arena_release(&cli.shown);
	if (fflush(stdout) != 0 && status == DONE)
		status = complain(&cli, FAILED, "stdout: cannot be written");
	return status;
}
