/* reentry report notice: days of notice per municipality, as a table, CSV or JSON. */
#include "cli/report.h"

#include <stdlib.h>
#include <string.h>

#include "cli/notice.h"

static const char *days_text(struct cli *cli, int32_t twice)
{
	const char *text = twice == NOTICE_NEVER ? text_of(cli, T_NEVER_TOLD)
	                 : arena_printf(&cli->shown, "%s%d%s", twice < 0 ? "-" : "", abs(twice) / 2, twice % 2 == 0 ? "" : cli->lang == LANG_NL && !cli->json ? ",5" : ".5");
	return text != NULL ? text : "";
}

static int32_t twice(int32_t days)
{
	return days == NOTICE_NEVER ? NOTICE_NEVER : days * 2;
}

static void show_towns(struct cli *cli, const struct notice_report *report)
{
	struct columns columns;
	columns_begin(&columns, cli, 5);
	static const enum text heads[] = {T_NOTICE_TOWN, T_NOTICE_RELEASES, T_NOTICE_MEDIAN, T_NOTICE_WORST, T_NOTICE_LATE};
	for (size_t i = 0; i < sizeof heads / sizeof *heads; i++)
		columns_cell(&columns, DIM, "%s", text_of(cli, heads[i]));
	for (size_t i = 0; i < report->n_towns; i++) {
		const struct notice_town *town = &report->towns[i];
		columns_cell(&columns, BOLD, "%s", town->municipality);
		columns_cell(&columns, PLAIN, "%zu", town->releases);
		columns_cell(&columns, PLAIN, "%s", days_text(cli, town->median_twice));
		columns_cell(&columns, PLAIN, "%s", days_text(cli, twice(town->worst)));
		columns_cell(&columns, town->late > 0 ? RED : GREEN, "%zu", town->late);
	}
	columns_print(&columns, stdout);
}

static void show_releases(struct cli *cli, const struct notice_report *report, bool every)
{
	struct columns columns;
	size_t n = 0;
	columns_begin(&columns, cli, 5);
	for (size_t i = 0; i < report->n_releases; i++) {
		const struct notice_release *line = &report->releases[i];
		char date[CIVIL_DATE_SIZE];
		if (!line->late && !every)
			continue;
		if (n++ == 0)
			painted(cli, stdout, BOLD, "\n%s\n", text_of(cli, every ? T_NOTICE_EVERY : T_NOTICE_LATE_ONES));
		columns_cell(&columns, PLAIN, "%s", line->municipality);
		columns_cell(&columns, BOLD, "%s", line->subject);
		columns_cell(&columns, PLAIN, "%s", show_date(cli, civil_format_date(line->day, date)));
		columns_cell(&columns, line->late ? RED : GREEN, "%s", line->days == NOTICE_NEVER ? text_of(cli, T_NEVER_TOLD) : say(cli, T_NOTICE_DAYS, days_text(cli, twice(line->days)), NULL));
		columns_cell(&columns, DIM, "%s%s%s", line->ordered ? text_of(cli, T_NOTICE_ORDERED) : "", line->ordered && line->first_days != line->days ? ", " : "",
		             line->first_days != line->days && line->first_days != NOTICE_NEVER ? say(cli, T_NOTICE_FIRST, days_text(cli, twice(line->first_days)), NULL) : "");
	}
	columns_print(&columns, stdout);
}

static void print_days(const char *name, int32_t days, bool csv)
{
	if (!csv)
		printf(",\"%s\":", name);
	else
		putchar(',');
	if (days == NOTICE_NEVER)
		fputs(csv ? "never" : "null", stdout);
	else
		printf("%s%d%s", days < 0 ? "-" : "", abs(days) / 2, days % 2 == 0 ? "" : ".5");
}

/* Names of agencies and cases need no quotes (their form is bounded): no separator can stand in them. */
static void print_towns(const struct notice_report *report, bool csv)
{
	for (size_t i = 0; i < report->n_towns; i++) {
		const struct notice_town *town = &report->towns[i];
		printf(csv ? "%s,%zu" : "{\"municipality\":\"%s\",\"releases\":%zu", town->municipality, town->releases);
		print_days("median_days", town->median_twice, csv);
		print_days("worst_days", twice(town->worst), csv);
		printf(csv ? ",%zu\r\n" : ",\"late\":%zu}\n", town->late);
	}
}

static void print_releases(const struct notice_report *report, bool csv, bool every)
{
	for (size_t i = 0; i < report->n_releases; i++) {
		const struct notice_release *line = &report->releases[i];
		char date[CIVIL_DATE_SIZE];
		if (!line->late && !every)
			continue;
		printf(csv ? "%s,%s,%s" : "{\"municipality\":\"%s\",\"case\":\"%s\",\"released\":\"%s\"", line->municipality, line->subject, civil_format_date(line->day, date));
		print_days("notice_days", twice(line->days), csv);
		print_days("first_days", twice(line->first_days), csv);
		printf(csv ? ",%s,%s\r\n" : ",\"ordered\":%s,\"late\":%s}\n", line->ordered ? "true" : "false", line->late ? "true" : "false");
	}
}

static void print_notice(struct cli *cli, const struct notice_report *report, const struct notice_options *options)
{
	if (options->csv) {
		fputs(options->every ? "municipality,case,released,notice_days,first_days,ordered,late\r\n" : "municipality,releases,median_days,worst_days,late\r\n", stdout);
		if (options->every)
			print_releases(report, true, true);
		else
			print_towns(report, true);
	} else if (cli->json) {
		print_towns(report, false);
		print_releases(report, false, options->every);
	} else if (report->n_towns == 0) {
		puts(text_of(cli, T_NOTICE_NONE));
	} else {
		show_towns(cli, report);
		show_releases(cli, report, options->every);
	}
}

static int take_notice(void *context, const struct object *line)
{
	return notice_take(context, line);
}

int report_notice(struct cli *cli, const struct replay_question *question, const char *file, const struct notice_options *options)
{
	struct notice *notice = notice_new(cli->zone);
	struct taking taking = {.take = take_notice, .context = notice};
	struct notice_report report;
	if (notice == NULL)
		return complain(cli, FAILED, "out of memory");
	int status = cli->zone != NULL ? report_take(cli, question, file, &taking) : complain(cli, FAILED, "the time zone cannot be loaded (tzdata): days cannot be counted");
	if (status == DONE && notice_finish(notice, options->from, options->to, options->late, &report) != OK)
		status = complain(cli, FAILED, "out of memory");
	else if (status == DONE)
		print_notice(cli, &report, options);
	notice_free(notice);
	return status;
}
