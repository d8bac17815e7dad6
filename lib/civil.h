/* Civil dates, local times and working days (domain.md 4.1). Pure: reads no environment after civil_zone_load. */
#ifndef LIB_CIVIL_H
#define LIB_CIVIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/clock.h"
#include "lib/err.h"

typedef int32_t civil_date;            /* days since 1970-01-01, proleptic Gregorian */
#define CIVIL_MIN (-25567)             /* 1900-01-01 */
#define CIVIL_MAX 84005                /* 2199-12-31 */

civil_date civil_from_ymd(int year, int month, int day);
void civil_to_ymd(civil_date date, int *ret_year, int *ret_month, int *ret_day);
int civil_weekday(civil_date date);    /* 0 Monday … 6 Sunday */
civil_date civil_add_months(civil_date date, int months); /* 31 Aug + 6 months = 28 or 29 Feb */
/* "2027-02-25" exactly; ERR_INVALID for anything else, also 2027-02-29. */
int civil_parse_date(const char *text, civil_date *ret_date);
#define CIVIL_DATE_SIZE 11
char *civil_format_date(civil_date date, char text[CIVIL_DATE_SIZE]);

/* RFC 3339 with any offset ("2027-02-01T10:00:00+01:00", fraction of any length cut to ms, Z or z, T or t; a leap second, at the
 * end of a UTC day only, is the first ms after it). MOMENT_MIN to MOMENT_MAX. ERR_INVALID. */
int civil_parse_moment(const char *text, moment *ret_moment);
#define CIVIL_MOMENT_SIZE 32
/* UTC with Z; ".123" only where the milliseconds are not zero. What is no moment is written as the nearest one before 2200. */
char *civil_format_moment(moment when, char text[CIVIL_MOMENT_SIZE]);

/* A time zone read from the system's tzdata (TZif, with its POSIX footer for years beyond the table). */
struct civil_zone;
/* name: "Europe/Amsterdam", a file below $TZDIR or /usr/share/zoneinfo; read once, then nothing is read or allocated any more. ERR_INVALID (a name
 * with ".." or a leading "/"), ERR_NOTFOUND, ERR_CORRUPT (no TZif of version 2 or later, or one that counts leap seconds), ERR_TOOBIG, ERR_IO, ERR_NOMEM. */
int civil_zone_load(const char *name, struct civil_zone **ret_zone, struct err *err);
void civil_zone_free(struct civil_zone *zone);
int civil_zone_offset(const struct civil_zone *zone, moment when); /* seconds east of UTC */

/* A local time of day on a date as a moment. A time that does not exist (spring) is moved forward by the gap; of one that exists twice (autumn) the first. minutes: since midnight. */
moment civil_moment(const struct civil_zone *zone, civil_date date, int minutes);
civil_date civil_date_of(const struct civil_zone *zone, moment when);
/* ms since local midnight by the wall clock (0 … 86,399,999). */
int civil_time_of(const struct civil_zone *zone, moment when);
/* The same wall-clock time `days` later (domain.md 8: contacts keep their local time across daylight saving); gap and repeated hour as above, 0 days: `when`. */
moment civil_add_days(const struct civil_zone *zone, moment when, int days);

/* holidays: sorted ascending. A working day is Monday to Friday and not a holiday. */
bool civil_is_holiday(const civil_date *holidays, size_t n, civil_date date);
bool civil_is_working_day(const civil_date *holidays, size_t n, civil_date date);
/* The n-th working day after date (n >= 1), date itself not counted. */
civil_date civil_add_working_days(const civil_date *holidays, size_t n_holidays, civil_date date, int n);

#endif
