/* The reports, each in a file of its own (report.c: the command). */
#ifndef CLI_REPORT_H
#define CLI_REPORT_H

#include "cli/cli.h"

/* What a report takes its lines from, one by one. */
typedef int take_fn(void *context, const struct object *line);
struct taking { take_fn *take; void *context; int error; };
/* From the broker, or from the file if one is named. An exit status, told already. */
int report_take(struct cli *cli, const struct replay_question *question, const char *file, struct taking *taking);

int report_access(struct cli *cli, const struct replay_question *question, const char *file);                                         /* report_access.c */
struct notice_options { civil_date from, to; int32_t late; bool csv, every; };
int report_notice(struct cli *cli, const struct replay_question *question, const char *file, const struct notice_options *options);   /* report_notice.c */

#endif
