#include "lib/conf_own.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/civil.h"

struct unit { const char *name; int64_t factor; };

/* From small to large: a value is printed in the largest that divides it. */
static const struct unit durations[] = { { "ms", 1 }, { "s", 1000 }, { "min", 60000 }, { "h", 3600000 }, { "d", 86400000 }, { 0 } };
static const struct unit sizes[] = { { "B", 1 }, { "KiB", 1024 }, { "MiB", 1 << 20 }, { "GiB", 1 << 30 }, { 0 } };

static const struct {
	const char *expected;
	bool text;
	enum conf_type item;
} types[] = {
	[CONF_STRING] = { "a text in quotes", true, CONF_LIST },
	[CONF_PATH] = { "a path in quotes", true, CONF_LIST },
	[CONF_INT] = { "a whole number without quotes", false, CONF_LIST },
	[CONF_BOOL] = { "true or false, without quotes", false, CONF_LIST },
	[CONF_DURATION] = { "a duration in quotes, as \"45min\" (units ms s min h d)", true, CONF_LIST },
	[CONF_SIZE] = { "a size in quotes, as \"64MiB\" (units B KiB MiB GiB)", true, CONF_LIST },
	[CONF_TIME] = { "a time of day in quotes, as \"08:00\"", true, CONF_LIST },
	[CONF_STRINGS] = { "a list of texts, as [ \"a\", \"b\" ]", false, CONF_STRING },
	[CONF_PATHS] = { "a list of paths, as [ \"a\", \"b\" ]", false, CONF_PATH },
	[CONF_INTS] = { "a list of whole numbers, as [ 1, 2 ]", false, CONF_INT },
	[CONF_DATES] = { "a list of dates, as [ \"2027-01-01\", \"2027-12-25\" ]", false, CONF_ITEM_DATE },
	[CONF_GROUP] = { "a group, as { key = value; }", false, CONF_LIST },
	[CONF_LIST] = { "a list of groups, as ( { key = value; }, { key = value; } )", false, CONF_LIST },
	[CONF_ITEM_DATE] = { "a date in quotes, as \"2027-02-25\"", true, CONF_LIST },
};

const char *conf_expected(enum conf_type type)
{
	return types[type].expected;
}

bool conf_is_text(enum conf_type type)
{
	return types[type].text;
}

enum conf_type conf_item_type(enum conf_type type)
{
	return types[type].item;
}

static bool take_digits(const char **text, int64_t *ret_value)
{
	const char *p = *text;
	int64_t value = 0;

	for (; *p >= '0' && *p <= '9'; p++)
		if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, *p - '0', &value))
			return false;
	if (p == *text)
		return false;
	*text = p;
	*ret_value = value;
	return true;
}

static int parse_with_unit(const char *text, const struct unit *units, int64_t *ret_value)
{
	int64_t value;

	if (!take_digits(&text, &value))
		return ERR_INVALID;
	while (units->name && strcmp(units->name, text) != 0)
		units++;
	if (!units->name || __builtin_mul_overflow(value, units->factor, &value))
		return ERR_INVALID;
	*ret_value = value;
	return OK;
}

int conf_parse_duration(const char *text, int64_t *ret_ms)
{
	return parse_with_unit(text, durations, ret_ms);
}

int conf_parse_size(const char *text, int64_t *ret_bytes)
{
	return parse_with_unit(text, sizes, ret_bytes);
}

/* "08:00" exactly */
static int parse_time(const char *text, int64_t *ret_minutes)
{
	int hour, minute;

	if (strspn(text, "0123456789") != 2 || text[2] != ':' || strspn(text + 3, "0123456789") != 2 || text[5])
		return ERR_INVALID;
	hour = (text[0] - '0') * 10 + text[1] - '0';
	minute = (text[3] - '0') * 10 + text[4] - '0';
	if (hour > 23 || minute > 59)
		return ERR_INVALID;
	*ret_minutes = hour * 60 + minute;
	return OK;
}

static int parse_date(const char *text, int64_t *ret_days)
{
	civil_date date;

	if (civil_parse_date(text, &date))
		return ERR_INVALID;
	*ret_days = date;
	return OK;
}

static char *format_with_unit(int64_t value, const struct unit *units, char text[CONF_NUMBER_SIZE])
{
	while (value && units[1].name && value % units[1].factor == 0)
		units++;
	(void)snprintf(text, CONF_NUMBER_SIZE, "%lld%s", (long long)(value / units->factor), units->name); /* 20 digits and 3 letters fit */
	return text;
}

char *conf_format(enum conf_type type, int64_t value, char text[CONF_NUMBER_SIZE])
{
	if (type == CONF_DURATION)
		return format_with_unit(value, durations, text);
	if (type == CONF_SIZE)
		return format_with_unit(value, sizes, text);
	if (type == CONF_ITEM_DATE)
		return civil_format_date((civil_date)value, text);
	if (type == CONF_TIME)
		(void)snprintf(text, CONF_NUMBER_SIZE, "%02d:%02d", (int)(value / 60) % 24, (int)(value % 60)); /* fits */
	else
		(void)snprintf(text, CONF_NUMBER_SIZE, "%lld%s", (long long)value, value < INT32_MIN || value > INT32_MAX ? "L" : ""); /* fits */
	return text;
}

static const char *counted(const struct conf_row *row)
{
	if (conf_item_type(row->type) != CONF_LIST || row->type == CONF_LIST)
		return " entries";
	return row->type == CONF_STRING || row->type == CONF_PATH ? " bytes" : "";
}

int conf_check_range(const struct conf_row *row, int64_t value, struct err *err)
{
	char is[CONF_NUMBER_SIZE], min[CONF_NUMBER_SIZE], max[CONF_NUMBER_SIZE];
	const char *unit = counted(row), *verb = *unit ? "has" : "is";

	if ((row->min == 0 && row->max == 0) || (value >= row->min && (row->max < row->min || value <= row->max)))
		return OK;
	(void)conf_format(row->type, value, is);
	(void)conf_format(row->type, row->min, min);
	(void)conf_format(row->type, row->max, max);
	if (row->max < row->min)
		return err_set(err, ERR_INVALID, "%s %s%s; at least %s is needed", verb, is, unit, min);
	if (row->max == row->min)
		return err_set(err, ERR_INVALID, "%s %s%s; %s is needed", verb, is, unit, min);
	return err_set(err, ERR_INVALID, "%s %s%s; it must be from %s to %s", verb, is, unit, min, max);
}

static bool has_control(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			return true;
	return false;
}

static int set_string(const struct conf_row *row, const char *text, const struct conf_base *base, char **at, struct err *err)
{
	char *copy;

	if (has_control(text))
		return err_set(err, ERR_INVALID, "has a control character in it; remove it");
	if (row->type == CONF_PATH && !*text)
		return err_set(err, ERR_INVALID, "is an empty path; name a file or a folder, or remove the line");
	if (conf_check_range(row, (int64_t)strlen(text), err))
		return ERR_INVALID;
	if (row->type == CONF_PATH && text[0] != '/' && base->dir)
		copy = arena_printf(base->arena, "%s%s%s", base->dir, strcmp(base->dir, "/") == 0 ? "" : "/", text);
	else
		copy = arena_strdup(base->arena, text);
	if (!copy)
		return err_set(err, ERR_NOMEM, "out of memory");
	*at = copy;
	return OK;
}

int conf_set_number(const struct conf_row *row, int64_t value, void *at, struct err *err)
{
	if (conf_check_range(row, value, err))
		return ERR_INVALID;
	if (row->type == CONF_TIME)
		*(int *)at = (int)value;
	else
		*(int64_t *)at = value;
	return OK;
}

int conf_set_text(const struct conf_row *row, const char *text, const struct conf_base *base, void *at, struct err *err)
{
	static int (*const parsers[])(const char *, int64_t *) = {
		[CONF_DURATION] = conf_parse_duration, [CONF_SIZE] = conf_parse_size, [CONF_TIME] = parse_time, [CONF_ITEM_DATE] = parse_date,
	};
	int64_t value;

	if (row->type == CONF_STRING || row->type == CONF_PATH)
		return set_string(row, text, base, at, err);
	if (parsers[row->type](text, &value))
		return err_set(err, ERR_INVALID, "\"%.64s\" is not %s", text, conf_expected(row->type));
	return conf_set_number(row, value, at, err);
}
