#include "lib/civil_rule.h"

#include "lib/civil.h"

#define RULE_HOURS_MAX 167 /* RFC 8536 3.3.1 */
#define OFFSET_HOURS_MAX 24
#define DAY_SECONDS 86400

static bool take(const char **text, char c)
{
	if (**text != c)
		return false;
	(*text)++;
	return true;
}

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* The name of a zone is of no use to us; only its end matters. */
static bool take_name(const char **text)
{
	int n = 0;

	if (take(text, '<')) {
		for (; is_letter(**text) || (**text >= '0' && **text <= '9') || **text == '+' || **text == '-'; (*text)++)
			n++;
		return n >= 3 && take(text, '>');
	}
	for (; is_letter(**text); (*text)++)
		n++;
	return n >= 3;
}

static bool take_number(const char **text, int min, int max, int *ret_value)
{
	const char *p = *text;
	int value = 0;

	for (; *p >= '0' && *p <= '9' && p - *text < 4; p++)
		value = value * 10 + (*p - '0');
	if (p == *text || value < min || value > max)
		return false;
	*text = p;
	*ret_value = value;
	return true;
}

/* [+-]h[:m[:s]] as seconds */
static bool take_seconds(const char **text, int hours_max, int *ret_seconds)
{
	int sign = **text == '-' ? -1 : 1, hour, minute = 0, second = 0;

	if (**text == '-' || **text == '+')
		(*text)++;
	if (!take_number(text, 0, hours_max, &hour))
		return false;
	if (take(text, ':') && !take_number(text, 0, 59, &minute))
		return false;
	if (take(text, ':') && !take_number(text, 0, 59, &second))
		return false;
	*ret_seconds = sign * (hour * 3600 + minute * 60 + second);
	return true;
}

/* POSIX counts offsets west of Greenwich, everybody else east. */
static bool take_offset(const char **text, int *ret_offset)
{
	int seconds;

	if (!take_seconds(text, OFFSET_HOURS_MAX, &seconds))
		return false;
	*ret_offset = -seconds;
	return true;
}

static bool take_day(const char **text, struct civil_rule_day *day)
{
	*day = (struct civil_rule_day){ .form = CIVIL_RULE_DAY, .seconds = 2 * 3600 };
	if (take(text, 'M')) {
		day->form = CIVIL_RULE_MONTH;
		if (!take_number(text, 1, 12, &day->month) || !take(text, '.') || !take_number(text, 1, 5, &day->week) ||
		    !take(text, '.') || !take_number(text, 0, 6, &day->day))
			return false;
	} else if (take(text, 'J')) {
		day->form = CIVIL_RULE_JULIAN;
		if (!take_number(text, 1, 365, &day->day))
			return false;
	} else if (!take_number(text, 0, 365, &day->day)) {
		return false;
	}
	return !take(text, '/') || take_seconds(text, RULE_HOURS_MAX, &day->seconds);
}

int civil_rule_parse(const char *text, struct civil_rule *ret_rule)
{
	struct civil_rule rule = { 0 };

	if (!take_name(&text) || !take_offset(&text, &rule.standard))
		return ERR_INVALID;
	if (*text) {
		rule.has_summer = true;
		rule.summer = rule.standard + 3600;
		if (!take_name(&text) || (*text != ',' && !take_offset(&text, &rule.summer)))
			return ERR_INVALID;
		if (!take(&text, ',') || !take_day(&text, &rule.start) || !take(&text, ',') || !take_day(&text, &rule.end) || *text)
			return ERR_INVALID;
	}
	*ret_rule = rule;
	return OK;
}

static civil_date month_day(int year, const struct civil_rule_day *day)
{
	civil_date first = civil_from_ymd(year, day->month, 1);
	civil_date next = day->month < 12 ? civil_from_ymd(year, day->month + 1, 1) : civil_from_ymd(year + 1, 1, 1);
	int weekday = (day->day + 6) % 7; /* POSIX: 0 is Sunday; ours: 0 is Monday */
	civil_date date = first + (weekday - civil_weekday(first) + 7) % 7 + (day->week - 1) * 7;

	return date < next ? date : date - 7; /* week 5 is the last one */
}

static civil_date day_in(int year, const struct civil_rule_day *day)
{
	civil_date january = civil_from_ymd(year, 1, 1);
	bool leap = civil_from_ymd(year + 1, 1, 1) - january == 366;

	if (day->form == CIVIL_RULE_MONTH)
		return month_day(year, day);
	if (day->form == CIVIL_RULE_DAY)
		return january + day->day;
	return january + day->day - 1 + (leap && day->day >= 60);
}

void civil_rule_year(const struct civil_rule *rule, int year, int64_t *ret_start, int64_t *ret_end)
{
	*ret_start = (int64_t)day_in(year, &rule->start) * DAY_SECONDS + rule->start.seconds - rule->standard;
	*ret_end = (int64_t)day_in(year, &rule->end) * DAY_SECONDS + rule->end.seconds - rule->summer;
}
