/* How many days of notice a municipality got of a release (docs/audit.md, "Days of notice"; domain.md 10). Pure: it is fed the lines of a replay with its records, in the order of the log. */
#ifndef CLI_NOTICE_H
#define CLI_NOTICE_H

#include "cli/cli.h"

#define NOTICE_NEVER INT32_MIN      /* days: it was not told before the log ended */
#define NOTICE_LATE_DAYS 14
/* The types that it needs; what a replay is to be asked for. */
extern const char notice_types[];

struct notice;
/* zone: borrowed; in which days are counted. NULL: no memory. */
struct notice *notice_new(const struct civil_zone *zone);
void notice_free(struct notice *notice);
/* One line: an event, "routed" or "acked"; others are passed over. ERR_NOMEM. */
int notice_take(struct notice *notice, const struct object *line);

/* One release, for one municipality that had to do with the case when it came. */
struct notice_release {
	const char *municipality, *subject;
	civil_date day;                 /* on which the person was released */
	int32_t days;                   /* between the day on which the agency had been told of that day, and that day; negative: afterwards; NOTICE_NEVER */
	int32_t first_days;             /* the same of the first date, whichever, that it had been told in this custody */
	bool ordered, late;
};
struct notice_town { const char *municipality; size_t releases, late; int32_t worst, median_twice; };  /* median_twice: NOTICE_NEVER, or two times the median */
struct notice_report { struct notice_release *releases; size_t n_releases; struct notice_town *towns; size_t n_towns; };
/* Of releases from `from` up to, not including, `to`. Sorted by municipality, then day, then case. late_days: fewer are late, unless the custody itself was no longer. Memory is the notice's. */
int notice_finish(struct notice *notice, civil_date from, civil_date to, int32_t late_days, struct notice_report *ret_report);

#endif
