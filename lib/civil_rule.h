/* The POSIX TZ rule at the end of a TZif file ("CET-1CEST,M3.5.0,M10.5.0/3"; RFC 8536 3.3): how a zone goes on behind its table.
 * Only civil_zone.c uses this. */
#ifndef LIB_CIVIL_RULE_H
#define LIB_CIVIL_RULE_H

#include <stdbool.h>
#include <stdint.h>

struct civil_rule_day {
	enum { CIVIL_RULE_JULIAN, CIVIL_RULE_DAY, CIVIL_RULE_MONTH } form; /* Jn (29 Feb not counted), n (from 0, counted), Mm.w.d */
	int month, week, day;
	int seconds; /* local time of the change, from midnight of that day; -167 h … 167 h */
};

struct civil_rule {
	int standard;          /* seconds east of UTC */
	bool has_summer;
	int summer;
	struct civil_rule_day start, end; /* of summer time */
};

/* ERR_INVALID for anything but a full rule (a summer time without its days is none). */
int civil_rule_parse(const char *text, struct civil_rule *ret_rule);
/* The two changes of a year, as seconds since 1970 UTC. Only with has_summer. */
void civil_rule_year(const struct civil_rule *rule, int year, int64_t *ret_start, int64_t *ret_end);

#endif
