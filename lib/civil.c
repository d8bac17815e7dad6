#include "lib/civil.h"

#include <stdio.h>
#include <string.h>

#define DAY_MS INT64_C(86400000)
#define ERA_DAYS 146097 /* days of 400 Gregorian years, after which the calendar repeats */
#define EPOCH_DAYS 719468 /* from 0000-03-01 to 1970-01-01 */

/* Years are counted from March here, so that the leap day is the last of its year and the months before it have a
 * pattern: 153 days in each five. */
civil_date civil_from_ymd(int year, int month, int day)
{
	int64_t y = (int64_t)year - (month <= 2);
	int64_t era = (y >= 0 ? y : y - 399) / 400;
	int64_t year_of_era = y - era * 400;
	int64_t day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;

	return (civil_date)(era * ERA_DAYS + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - EPOCH_DAYS);
}

void civil_to_ymd(civil_date date, int *ret_year, int *ret_month, int *ret_day)
{
	int64_t days = (int64_t)date + EPOCH_DAYS;
	int64_t era = (days >= 0 ? days : days - (ERA_DAYS - 1)) / ERA_DAYS;
	int64_t day_of_era = days - era * ERA_DAYS;
	/* Take the leap days out: one each 4 years (1460 days), none each 100 (36524), one each 400 (146096). */
	int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / (ERA_DAYS - 1)) / 365;
	int64_t day_of_year = day_of_era - (year_of_era * 365 + year_of_era / 4 - year_of_era / 100);
	int64_t from_march = (5 * day_of_year + 2) / 153;
	int month = (int)(from_march < 10 ? from_march + 3 : from_march - 9);

	*ret_year = (int)(era * 400 + year_of_era + (month <= 2));
	*ret_month = month;
	*ret_day = (int)(day_of_year - (153 * from_march + 2) / 5 + 1);
}

int civil_weekday(civil_date date)
{
	return (date % 7 + 7 + 3) % 7; /* 1970-01-01 was a Thursday */
}

static int days_in_month(int year, int month)
{
	static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

	return month == 2 && leap ? 29 : days[month - 1];
}

civil_date civil_add_months(civil_date date, int months)
{
	int year, month, day, last;
	int64_t all, y;

	civil_to_ymd(date, &year, &month, &day);
	all = (int64_t)year * 12 + month - 1 + months;
	y = (all >= 0 ? all : all - 11) / 12;
	month = (int)(all - y * 12) + 1;
	last = days_in_month((int)y, month);
	return civil_from_ymd((int)y, month, day < last ? day : last);
}

/* n digits at *text, which moves behind them; -1 if there are not so many. */
static int take_digits(const char **text, int n)
{
	int value = 0;

	for (; n > 0; n--, (*text)++) {
		if (**text < '0' || **text > '9')
			return -1;
		value = value * 10 + (**text - '0');
	}
	return value;
}

static bool take_char(const char **text, char c)
{
	if (**text != c)
		return false;
	(*text)++;
	return true;
}

static bool take_date(const char **text, civil_date *ret_date)
{
	int year, month, day;

	year = take_digits(text, 4);
	if (year < 0 || !take_char(text, '-'))
		return false;
	month = take_digits(text, 2);
	if (month < 1 || month > 12 || !take_char(text, '-'))
		return false;
	day = take_digits(text, 2);
	if (day < 1 || day > days_in_month(year, month))
		return false;
	*ret_date = civil_from_ymd(year, month, day);
	return true;
}

int civil_parse_date(const char *text, civil_date *ret_date)
{
	civil_date date;

	if (!take_date(&text, &date) || *text || date < CIVIL_MIN || date > CIVIL_MAX)
		return ERR_INVALID;
	*ret_date = date;
	return OK;
}

char *civil_format_date(civil_date date, char text[CIVIL_DATE_SIZE])
{
	int year, month, day;

	if (date < CIVIL_MIN)
		date = CIVIL_MIN;
	if (date > CIVIL_MAX)
		date = CIVIL_MAX;
	civil_to_ymd(date, &year, &month, &day);
	(void)snprintf(text, CIVIL_DATE_SIZE, "%04u-%02u-%02u", (unsigned)year % 10000, (unsigned)month % 100, (unsigned)day % 100); /* fits */
	return text;
}

/* "10:00:59.1239" as ms of the day; a leap second (":60") gives the first ms of the next minute, and *ret_leap. */
static bool take_time(const char **text, int64_t *ret_ms, bool *ret_leap)
{
	int hour, minute, second, ms = 0;

	hour = take_digits(text, 2);
	if (hour < 0 || hour > 23 || !take_char(text, ':'))
		return false;
	minute = take_digits(text, 2);
	if (minute < 0 || minute > 59 || !take_char(text, ':'))
		return false;
	second = take_digits(text, 2);
	if (second < 0 || second > 60)
		return false;
	if (take_char(text, '.')) {
		int scale = 100;

		if (**text < '0' || **text > '9')
			return false;
		for (; **text >= '0' && **text <= '9'; (*text)++, scale /= 10)
			ms += (**text - '0') * scale;
	}
	*ret_leap = second == 60;
	*ret_ms = (hour * 60 + minute) * INT64_C(60000) + second * 1000 + (second == 60 ? 0 : ms);
	return true;
}

static bool take_offset(const char **text, int64_t *ret_ms)
{
	int sign = **text == '-' ? -1 : 1, hour, minute;

	if (take_char(text, 'Z') || take_char(text, 'z')) {
		*ret_ms = 0;
		return true;
	}
	if (!take_char(text, '+') && !take_char(text, '-'))
		return false;
	hour = take_digits(text, 2);
	if (hour < 0 || hour > 23 || !take_char(text, ':'))
		return false;
	minute = take_digits(text, 2);
	if (minute < 0 || minute > 59)
		return false;
	*ret_ms = sign * (hour * 60 + minute) * INT64_C(60000);
	return true;
}

int civil_parse_moment(const char *text, moment *ret_moment)
{
	civil_date date;
	int64_t time, offset;
	moment when;
	bool leap;

	if (!take_date(&text, &date) || (!take_char(&text, 'T') && !take_char(&text, 't')))
		return ERR_INVALID;
	if (!take_time(&text, &time, &leap) || !take_offset(&text, &offset) || *text)
		return ERR_INVALID;
	when = date * DAY_MS + time - offset;
	/* Leap seconds exist at the end of a UTC day only (RFC 3339 5.7). */
	if (when < MOMENT_MIN || when > MOMENT_MAX || (leap && when % DAY_MS != 0))
		return ERR_INVALID;
	*ret_moment = when;
	return OK;
}

char *civil_format_moment(moment when, char text[CIVIL_MOMENT_SIZE])
{
	char day[CIVIL_DATE_SIZE];
	civil_date date;
	unsigned ms;
	int n;

	if (when < MOMENT_MIN)
		when = MOMENT_MIN;
	if (when >= MOMENT_MAX)
		when = MOMENT_MAX - 1;
	date = (civil_date)((when - MOMENT_MIN) / DAY_MS) + CIVIL_MIN;
	ms = (unsigned)((when - MOMENT_MIN) % DAY_MS);
	n = snprintf(text, CIVIL_MOMENT_SIZE, "%sT%02u:%02u:%02u", civil_format_date(date, day), ms / 3600000, ms / 60000 % 60, ms / 1000 % 60);
	if (ms % 1000)
		n += snprintf(text + n, (size_t)(CIVIL_MOMENT_SIZE - n), ".%03u", ms % 1000);
	(void)snprintf(text + n, (size_t)(CIVIL_MOMENT_SIZE - n), "Z"); /* 24 characters at most */
	return text;
}

bool civil_is_holiday(const civil_date *holidays, size_t n, civil_date date)
{
	size_t low = 0, high = n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (holidays[middle] == date)
			return true;
		if (holidays[middle] < date)
			low = middle + 1;
		else
			high = middle;
	}
	return false;
}

bool civil_is_working_day(const civil_date *holidays, size_t n, civil_date date)
{
	return civil_weekday(date) < 5 && !civil_is_holiday(holidays, n, date);
}

civil_date civil_add_working_days(const civil_date *holidays, size_t n_holidays, civil_date date, int n)
{
	while (n > 0 && date < CIVIL_MAX)
		if (civil_is_working_day(holidays, n_holidays, ++date))
			n--;
	return date;
}
