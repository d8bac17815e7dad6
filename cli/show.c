/* Dates in words, aligned columns, colours on a terminal. */
#include "cli/cli.h"

#include <stdarg.h>
#include <string.h>

static const char *const day_names[2][7] = {
	{"Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"},
	{"maandag", "dinsdag", "woensdag", "donderdag", "vrijdag", "zaterdag", "zondag"},
};
static const char *const month_names[2][12] = {
	{"January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"},
	{"januari", "februari", "maart", "april", "mei", "juni", "juli", "augustus", "september", "oktober", "november", "december"},
};

/* --- dates and times ---------------------------------------------------------------------------------------------------- */

static civil_date today(const struct cli *cli)
{
	struct clock clock = cli->clock;
	moment now = clock_now(&clock);
	return cli->zone != NULL ? civil_date_of(cli->zone, now) : (civil_date)(now / 86400000);
}

static const char *made(const char *text)
{
	return text != NULL ? text : "";
}

const char *show_date(struct cli *cli, const char *date)
{
	civil_date value;
	int year, month, day;
	if (date == NULL || civil_parse_date(date, &value) != OK)
		return made(date);
	civil_to_ymd(value, &year, &month, &day);
	return made(arena_printf(&cli->shown, "%s %d %s %d", day_names[cli->lang][civil_weekday(value)], day, month_names[cli->lang][month - 1], year));
}

static const char *near_day(const struct cli *cli, int days)
{
	return text_of(cli, days == 0 ? T_TODAY : days == 1 ? T_TOMORROW : T_YESTERDAY);
}

const char *show_days(struct cli *cli, const char *date)
{
	civil_date value;
	if (date == NULL || civil_parse_date(date, &value) != OK)
		return "";
	int days = value - today(cli);
	if (days >= -1 && days <= 1)
		return near_day(cli, days);
	return days > 0 ? say(cli, T_IN_DAYS, number(cli, days), NULL) : say(cli, T_DAYS_AGO, number(cli, -days), NULL);
}

bool read_moment(struct cli *cli, const char **text)
{
	char moment_text[CIVIL_MOMENT_SIZE];
	civil_date date;
	moment when;
	if (*text == NULL || civil_parse_moment(*text, &when) == OK)
		return true;
	if (civil_parse_date(*text, &date) != OK)
		return false;
	when = cli->zone != NULL ? civil_moment(cli->zone, date, 0) : (moment)date * 86400000;
	*text = arena_strdup(&cli->shown, civil_format_moment(when, moment_text));
	return *text != NULL;
}

bool is_count(const char *text)
{
	return text == NULL || (text[0] != '\0' && text[strspn(text, "0123456789")] == '\0' && strlen(text) <= 20);
}

bool lies_ahead(const struct cli *cli, const char *date)
{
	civil_date value;
	return date != NULL && civil_parse_date(date, &value) == OK && value > today(cli);
}

/* near: a day beside today by its word, "today". */
static const char *moment_words(struct cli *cli, const char *moment_text, bool near)
{
	moment when;
	if (moment_text == NULL || civil_parse_moment(moment_text, &when) != OK)
		return made(moment_text);
	civil_date date = cli->zone != NULL ? civil_date_of(cli->zone, when) : (civil_date)(when / 86400000);
	int minutes = cli->zone != NULL ? civil_time_of(cli->zone, when) / 60000 : (int)(when / 60000 % 1440);
	int year, month, day, days = date - today(cli);
	const char *utc = cli->zone != NULL ? "" : " UTC";
	if (near && days >= -1 && days <= 1)
		return made(arena_printf(&cli->shown, "%s %02d:%02d%s", near_day(cli, days), minutes / 60, minutes % 60, utc));
	civil_to_ymd(date, &year, &month, &day);
	return made(arena_printf(&cli->shown, "%.*s %d %s %d %02d:%02d%s", cli->lang == LANG_NL ? 2 : 3, day_names[cli->lang][civil_weekday(date)], day,
	                         month_names[cli->lang][month - 1], year, minutes / 60, minutes % 60, utc));
}

const char *show_moment(struct cli *cli, const char *moment_text)
{
	return moment_words(cli, moment_text, true);
}

const char *show_full_moment(struct cli *cli, const char *moment_text)
{
	return moment_words(cli, moment_text, false);
}

const char *show_left(struct cli *cli, const char *moment_text)
{
	static const char *const units[2][3] = {{"min", "h", "days"}, {"min", "uur", "dagen"}};
	moment when;
	struct clock clock = cli->clock;
	if (moment_text == NULL || civil_parse_moment(moment_text, &when) != OK)
		return "";
	int64_t minutes = (when - clock_now(&clock)) / 60000, size = minutes < 0 ? -minutes : minutes;
	int unit = size < 60 ? 0 : size < 48 * 60 ? 1 : 2;
	int64_t count = unit == 0 ? size : unit == 1 ? size / 60 : size / 1440;
	/* Of a few hours the minutes count: an urgent offer has two. */
	const char *rest = unit == 1 && count < 10 && size % 60 > 0 ? made(arena_printf(&cli->shown, " %lld %s", (long long)(size % 60), units[cli->lang][0])) : "";
	const char *span = made(arena_printf(&cli->shown, "%lld %s%s", (long long)count, units[cli->lang][unit], rest));
	return say(cli, minutes < 0 ? T_TIME_AGO : T_IN_TIME, span, NULL);
}

const char *show_case(struct cli *cli, const struct object *object)
{
	const char *subject = object_text(object, "case"), *own = object_text(object, "filenumber");
	if (subject == NULL)
		subject = object_text(object, "subject");
	if (own == NULL)
		return made(arena_strdup(&cli->shown, made(subject)));
	return made(arena_printf(&cli->shown, "%s (%s)", made(subject), own));
}

/* --- columns ------------------------------------------------------------------------------------------------------------------ */

struct cell { enum paint paint; const char *text; };

static const char *const codes[] = {[PLAIN] = "", [BOLD] = "1", [DIM] = "2", [RED] = "31", [YELLOW] = "33", [GREEN] = "32", [BLUE] = "34"};

void painted(const struct cli *cli, FILE *out, enum paint paint, const char *format, ...)
{
	va_list arguments;
	if (cli->colour && paint != PLAIN)
		fprintf(out, "\033[%sm", codes[paint]);
	va_start(arguments, format);
	(void)vfprintf(out, format, arguments); /* found at the end, when stdout is flushed */
	va_end(arguments);
	if (cli->colour && paint != PLAIN)
		fputs("\033[0m", out);
}

/* Characters, not bytes: those that begin one. Good enough for names in Latin letters. */
static size_t shown_width(const char *text)
{
	size_t n = 0;
	for (; *text != '\0'; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80;
	return n;
}

void columns_begin(struct columns *columns, struct cli *cli, size_t width)
{
	*columns = (struct columns){.cli = cli, .width = width};
	arena_init(&columns->arena, 0);
}

void columns_cell(struct columns *columns, enum paint paint, const char *format, ...)
{
	va_list arguments;
	char text[16384]; /* 2,000 characters, and what stands around them */
	va_start(arguments, format);
	(void)vsnprintf(text, sizeof text, format, arguments); /* cut to fit */
	va_end(arguments);
	struct cell *cell = ARENA_PUSH(&columns->arena, columns->cells, columns->n);
	if (cell != NULL)
		*cell = (struct cell){paint, arena_strdup(&columns->arena, text)};
}

#define COLUMNS_MAX 12

/* Whether anything stands behind this cell in its row: nothing is padded at the end of a line. */
static bool more_follows(const struct columns *columns, size_t i)
{
	for (i++; i % columns->width != 0; i++)
		if (i < columns->n && columns->cells[i].text != NULL && columns->cells[i].text[0] != '\0')
			return true;
	return false;
}

void columns_print(struct columns *columns, FILE *out)
{
	size_t widths[COLUMNS_MAX] = {0}, width = columns->width;
	for (size_t i = 0; i < columns->n; i++) {
		size_t n = columns->cells[i].text != NULL ? shown_width(columns->cells[i].text) : 0;
		if (n > widths[i % width])
			widths[i % width] = n;
	}
	for (size_t i = 0; i < columns->n; i++) {
		const struct cell *cell = &columns->cells[i];
		bool last = i % width == width - 1;
		const char *text = cell->text != NULL ? cell->text : "";
		if (widths[i % width] > 0 || last)
			painted(columns->cli, out, cell->paint, "%s", text);
		if (!last && widths[i % width] > 0 && more_follows(columns, i))
			fprintf(out, "%*s", (int)(widths[i % width] - shown_width(text) + 2), "");
		if (last)
			fputc('\n', out);
	}
	arena_release(&columns->arena);
	*columns = (struct columns){0};
}

/* --- what an event says -------------------------------------------------------------------------------------------------------- */

static const char *join(struct cli *cli, const char *before, const char *more)
{
	if (more[0] == '\0')
		return before;
	return before[0] == '\0' ? more : made(arena_printf(&cli->shown, "%s · %s", before, more));
}

static const char *show_list(struct cli *cli, const struct json_value *list)
{
	const char *text = "";
	for (size_t i = 0; i < list->n; i++) {
		const struct json_value *item = &list->items[i];
		const char *shown = item->kind == JSON_STRING ? word(cli, item->text) : item->kind == JSON_INT ? number(cli, item->integer) : "";
		text = text[0] == '\0' ? shown : made(arena_printf(&cli->shown, "%s, %s", text, shown));
	}
	return text;
}

static bool is_in(const char *const *names, const char *name)
{
	for (; *names != NULL; names++)
		if (strcmp(*names, name) == 0)
			return true;
	return false;
}

static const char *show_value(struct cli *cli, const struct json_value *value)
{
	civil_date ignored;
	moment when;
	switch (value->kind) {
	case JSON_STRING:
		if (civil_parse_date(value->text, &ignored) == OK)
			return made(arena_printf(&cli->shown, "%s (%s)", show_date(cli, value->text), show_days(cli, value->text)));
		return civil_parse_moment(value->text, &when) == OK ? show_moment(cli, value->text) : word(cli, value->text);
	case JSON_INT:
		return number(cli, value->integer);
	case JSON_ARRAY:
		return show_list(cli, value);
	default:
		return "";
	}
}

const char *show_data(struct cli *cli, const struct object *event)
{
	/* What stands for itself; other fields are shown with their names. And what the dates beside them say already. */
	static const char *const plain[] = {"date", "release_date", "start_date", "need", "status", "kind", "code", "to", "note", "reason", "handover", "start",
	                                    "at", "released_at", "place", NULL};
	static const char *const silent[] = {"days_left", "milestone", "skipped", NULL};
	struct object data;
	const char *text = "";
	if (object_text(event, "erased") != NULL)
		return made(arena_printf(&cli->shown, "%s: %s", text_of(cli, T_ERASED), object_text(event, "erased")));
	if (!object_inside(event, "data", &cli->shown, &data))
		return "";
	for (size_t i = 0; i < data.n; i++) {
		const struct json_member *member = &data.members[i];
		bool flag = member->value.kind == JSON_BOOL;
		const char *shown = flag ? (member->value.boolean ? word(cli, member->name) : "") : show_value(cli, &member->value);
		if (shown[0] == '\0' || is_in(silent, member->name))
			continue;
		text = join(cli, text, flag || is_in(plain, member->name) ? shown : made(arena_printf(&cli->shown, "%s %s", word(cli, member->name), shown)));
	}
	return text;
}
