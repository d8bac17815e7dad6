/* The only file that knows libconfig. Its 1.5 wraps integers, follows @include and joins texts: conf_scan.c sees to that before it reads. */
#include "lib/conf_own.h"

#include <errno.h>
#include <libconfig.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"

#define KEY_TEXT_MAX 200
#define KNOWN_TEXT_MAX 200
#define SUGGEST_DISTANCE 2
#define NAME_MAX_COMPARED 40

struct reader {
	const char *name;  /* of the file */
	struct conf_base base;
	struct err *err;
};

/* Where we are: the key, those around it, and the line. */
struct place {
	const struct place *up;
	const char *name;
	int index;         /* in a list, from 0; -1: in none */
	unsigned line;     /* 0: not known */
};

/* --- errors ----------------------------------------------------------------------------------------------------- */

static size_t put_key(const struct place *place, char text[KEY_TEXT_MAX])
{
	size_t n = place->up ? put_key(place->up, text) : 0;

	if (place->name && n < KEY_TEXT_MAX)
		n += (size_t)snprintf(text + n, KEY_TEXT_MAX - n, "%s%.60s", n ? "." : "", place->name);
	if (place->index >= 0 && n < KEY_TEXT_MAX)
		n += (size_t)snprintf(text + n, KEY_TEXT_MAX - n, "[%d]", place->index);
	return n < KEY_TEXT_MAX ? n : KEY_TEXT_MAX - 1;
}

/* Says "FILE:LINE: key: what". */
__attribute__((format(printf, 4, 5)))
static int fail(const struct reader *reader, const struct place *place, int code, const char *format, ...)
{
	char key[KEY_TEXT_MAX] = "", line[16] = "";
	struct err what = { 0 };
	va_list args;

	va_start(args, format);
	(void)vsnprintf(what.text, sizeof what.text, format, args); /* cut to fit: it is for people */
	va_end(args);
	(void)put_key(place, key); /* its length is of no use here */
	if (place->line)
		(void)snprintf(line, sizeof line, ":%u", place->line); /* fits */
	return err_set(reader->err, code, "%.120s%s: %s%s%s", reader->name, line, key, *key ? ": " : "", what.text);
}

static size_t min3(size_t a, size_t b, size_t c)
{
	size_t least = a < b ? a : b;

	return least < c ? least : c;
}

/* Letters to insert, drop or replace that make one name of the other. */
static size_t distance(const char *a, const char *b)
{
	size_t row[NAME_MAX_COMPARED + 1], n_a = strlen(a), n_b = strlen(b);

	if (n_a > NAME_MAX_COMPARED || n_b > NAME_MAX_COMPARED)
		return SIZE_MAX;
	for (size_t k = 0; k <= n_b; k++)
		row[k] = k;
	for (size_t i = 1; i <= n_a; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t k = 1; k <= n_b; k++) {
			size_t above = row[k];

			row[k] = min3(above + 1, row[k - 1] + 1, diagonal + (a[i - 1] != b[k - 1]));
			diagonal = above;
		}
	}
	return row[n_b];
}

static int fail_unknown(const struct reader *reader, const struct place *place, const struct conf_row *rows)
{
	size_t nearest = SUGGEST_DISTANCE + 1, n = 0;
	const char *suggestion = NULL;
	char known[KNOWN_TEXT_MAX] = "";

	for (; rows->name; rows++) {
		size_t d = distance(place->name, rows->name);

		if (d < nearest) {
			nearest = d;
			suggestion = rows->name;
		}
		if (n < sizeof known)
			n += (size_t)snprintf(known + n, sizeof known - n, " %s", rows->name);
	}
	if (suggestion)
		return fail(reader, place, ERR_INVALID, "is not known here; is %s meant?", suggestion);
	return fail(reader, place, ERR_INVALID, "is not known here; these are:%s%s", known, n < sizeof known ? "" : "...");
}

static int fail_type(const struct reader *reader, const struct place *place, enum conf_type type)
{
	return fail(reader, place, ERR_INVALID, "must be %s", conf_expected(type));
}

/* --- values ----------------------------------------------------------------------------------------------------- */

static int read_group(const struct reader *reader, config_setting_t *setting, const struct conf_row *rows, void *target, const struct place *place);

static int read_scalar(const struct reader *reader, config_setting_t *setting, const struct conf_row *row, void *at, const struct place *place)
{
	int type = config_setting_type(setting), error;
	struct err why = { 0 };

	if (row->type == CONF_BOOL && type == CONFIG_TYPE_BOOL) {
		*(bool *)at = config_setting_get_bool(setting) != 0; /* lint: analyzer, because only an empty list has no room */
		return OK;
	}
	if (row->type == CONF_INT && (type == CONFIG_TYPE_INT || type == CONFIG_TYPE_INT64))
		error = conf_set_number(row, config_setting_get_int64(setting), at, &why);
	else if (conf_is_text(row->type) && type == CONFIG_TYPE_STRING)
		error = conf_set_text(row, config_setting_get_string(setting), &reader->base, at, &why);
	else
		return fail_type(reader, place, row->type);
	return error ? fail(reader, place, error, "%s", why.text) : OK;
}

static struct place place_of(config_setting_t *setting, const struct place *up, const char *name, int index)
{
	unsigned line = setting ? config_setting_source_line(setting) : 0;

	return (struct place){ .up = up, .name = name, .index = index, .line = line ? line : up->line };
}

static bool holds_texts(const struct conf_row *row)
{
	return conf_item_type(row->type) == CONF_STRING || conf_item_type(row->type) == CONF_PATH;
}

static size_t item_size(const struct conf_row *row)
{
	if (row->type == CONF_LIST)
		return row->size;
	return holds_texts(row) ? sizeof(char *) : sizeof(int64_t);
}

/* Checks the length, and makes room for that many elements; NULL for none. */
static int make_items(const struct reader *reader, size_t n, const struct conf_row *row, const struct place *place, void **ret_items)
{
	struct err why = { 0 };
	void *items = NULL;

	if (conf_check_range(row, (int64_t)n, &why))
		return fail(reader, place, ERR_INVALID, "%s", why.text);
	if (n)
		items = arena_alloc(reader->base.arena, n * item_size(row));
	if (n && !items)
		return fail(reader, place, ERR_NOMEM, "out of memory");
	*ret_items = items;
	return OK;
}

static int by_value(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

static int sort_dates(const struct reader *reader, struct conf_ints *dates, const struct place *place)
{
	char text[CONF_NUMBER_SIZE];

	if (dates->n)
		qsort(dates->items, dates->n, sizeof *dates->items, by_value);
	for (size_t i = 1; i < dates->n; i++)
		if (dates->items[i] == dates->items[i - 1])
			return fail(reader, place, ERR_INVALID, "%s stands there twice", conf_format(CONF_ITEM_DATE, dates->items[i], text));
	return OK;
}

/* STRINGS, PATHS, INTS, DATES */
static int read_values(const struct reader *reader, config_setting_t *setting, const struct conf_row *row, void *at, const struct place *place)
{
	const struct conf_row element = { .type = conf_item_type(row->type) };
	size_t n = (size_t)config_setting_length(setting);
	void *items = NULL;
	int error;

	if (config_setting_type(setting) != CONFIG_TYPE_ARRAY)
		return fail_type(reader, place, row->type);
	error = make_items(reader, n, row, place, &items);
	for (size_t i = 0; i < n && !error; i++) {
		config_setting_t *child = config_setting_get_elem(setting, (unsigned)i);
		struct place here = place_of(child, place, NULL, (int)i);

		error = read_scalar(reader, child, &element, (char *)items + i * item_size(row), &here);
	}
	if (error)
		return error;
	if (holds_texts(row))
		*(struct conf_strings *)at = (struct conf_strings){ items, n };
	else
		*(struct conf_ints *)at = (struct conf_ints){ items, n };
	return row->type == CONF_DATES ? sort_dates(reader, at, place) : OK;
}

static int read_groups(const struct reader *reader, config_setting_t *setting, const struct conf_row *row, void *at, const struct place *place)
{
	size_t n = (size_t)config_setting_length(setting);
	void *items = NULL;
	int error;

	if (config_setting_type(setting) != CONFIG_TYPE_LIST)
		return fail_type(reader, place, row->type);
	error = make_items(reader, n, row, place, &items);
	for (size_t i = 0; i < n && !error; i++) {
		config_setting_t *child = config_setting_get_elem(setting, (unsigned)i);
		struct place here = place_of(child, place, NULL, (int)i);

		if (config_setting_type(child) == CONFIG_TYPE_GROUP)
			error = read_group(reader, child, row->rows, (char *)items + i * row->size, &here);
		else
			error = fail_type(reader, &here, CONF_GROUP);
	}
	if (!error)
		*(struct conf_list *)at = (struct conf_list){ items, n };
	return error;
}

static int read_row(const struct reader *reader, config_setting_t *setting, const struct conf_row *row, void *target, const struct place *place)
{
	void *at = (char *)target + row->offset;

	if (row->type == CONF_LIST)
		return read_groups(reader, setting, row, at, place);
	if (conf_item_type(row->type) != CONF_LIST)
		return read_values(reader, setting, row, at, place);
	if (row->type != CONF_GROUP)
		return read_scalar(reader, setting, row, at, place);
	if (config_setting_type(setting) != CONFIG_TYPE_GROUP)
		return fail_type(reader, place, CONF_GROUP);
	if (row->set_offset)
		*((bool *)target + row->set_offset - 1) = true;
	return read_group(reader, setting, row->rows, at, place);
}

/* --- what is not in the file --------------------------------------------------------------------------------------- */

/* A default goes the way of a value that stands in the file, so that both mean the same. */
static int parse_fallback(const struct reader *reader, const struct conf_row *row, void *target, const struct place *place)
{
	const char *quote = conf_is_text(row->type) ? "\"" : "";
	char *text = arena_printf(reader->base.arena, "%s = %s%s%s;\n", row->name, quote, row->fallback, quote);
	config_setting_t *setting = NULL;
	struct buf clean;
	config_t config;
	size_t line;
	int error;

	if (!text)
		return fail(reader, place, ERR_NOMEM, "out of memory");
	config_init(&config);
	buf_init(&clean);
	if (conf_scan(text, strlen(text), &clean, &line, NULL) == OK && config_read_string(&config, (const char *)clean.bytes))
		setting = config_setting_get_elem(config_root_setting(&config), 0);
	if (setting && config_setting_length(config_root_setting(&config)) == 1)
		error = read_row(reader, setting, row, target, place);
	else
		error = fail(reader, place, ERR_INVALID, "its built-in default cannot be read: %s", row->fallback);
	config_destroy(&config);
	buf_release(&clean);
	return error;
}

static int read_default(const struct reader *reader, const struct conf_row *row, void *target, const struct place *place)
{
	void *at = (char *)target + row->offset;

	if (row->type == CONF_GROUP)
		return row->set_offset ? OK : read_group(reader, NULL, row->rows, at, place);
	if (!row->fallback)
		return fail(reader, place, ERR_INVALID, "is missing; it must be %s%s%s", conf_expected(row->type), row->help ? ": " : "", row->help ? row->help : "");
	if (row->type == CONF_STRING && !*row->fallback) {
		*(char **)at = arena_strdup(reader->base.arena, "");
		return *(char **)at ? OK : fail(reader, place, ERR_NOMEM, "out of memory");
	}
	if (!*row->fallback)
		return OK;
	return parse_fallback(reader, row, target, place);
}

/* --- groups -------------------------------------------------------------------------------------------------------- */

static int check_known(const struct reader *reader, config_setting_t *setting, const struct conf_row *rows, const struct place *place)
{
	int n = config_setting_length(setting);

	for (int i = 0; i < n; i++) {
		config_setting_t *child = config_setting_get_elem(setting, (unsigned)i);
		struct place here = place_of(child, place, config_setting_name(child), -1);
		const struct conf_row *row = rows;

		while (row->name && strcmp(row->name, here.name) != 0)
			row++;
		if (!row->name)
			return fail_unknown(reader, &here, rows);
	}
	return OK;
}

/* setting: NULL for a group that is not in the file and may be left out. */
static int read_group(const struct reader *reader, config_setting_t *setting, const struct conf_row *rows, void *target, const struct place *place)
{
	int error = setting ? check_known(reader, setting, rows, place) : OK;

	for (const struct conf_row *row = rows; row->name && !error; row++) {
		config_setting_t *child = setting ? config_setting_get_member(setting, row->name) : NULL;
		struct place here = place_of(child, place, row->name, -1);

		error = child ? read_row(reader, child, row, target, &here) : read_default(reader, row, target, &here);
	}
	return error;
}

/* --- files --------------------------------------------------------------------------------------------------------- */

/* text: as conf_scan wrote it. */
static int parse(const struct reader *reader, const char *text, const struct conf_row *rows, void *target)
{
	struct place root = { .index = -1 };
	config_t config;
	int error;

	config_init(&config);
	if (config_read_string(&config, text)) {
		error = read_group(reader, config_root_setting(&config), rows, target, &root);
	} else {
		root.line = (unsigned)config_error_line(&config);
		error = fail(reader, &root, ERR_INVALID, "%s; look at this line and at the end of the one before it", config_error_text(&config));
	}
	config_destroy(&config);
	return error;
}

static int scan_and_parse(const struct reader *reader, const char *text, size_t n, const struct conf_row *rows, void *target)
{
	struct place place = { .index = -1 };
	struct err why = { 0 };
	struct buf clean;
	size_t line = 0;
	int error;

	buf_init(&clean);
	error = conf_scan(text, n, &clean, &line, &why);
	place.line = (unsigned)line;
	if (error)
		error = fail(reader, &place, error, "%s", why.text);
	else
		error = parse(reader, (const char *)clean.bytes, rows, target);
	buf_release(&clean);
	return error;
}

int conf_parse(const char *text, const char *name, const char *dir, const struct conf_row *rows, void *target, struct arena *arena, struct err *err)
{
	struct err own = { 0 };
	const struct reader reader = { .name = name, .base = { .dir = dir, .arena = arena }, .err = err ? err : &own };
	size_t n = strlen(text);

	if (n > CONF_FILE_MAX)
		return err_set(err, ERR_TOOBIG, "%.120s: is larger than 4 MiB", name);
	return scan_and_parse(&reader, text, n, rows, target);
}

/* The folder of a file, as an absolute path. */
static int folder_of(const char *path, struct arena *arena, char **ret_folder)
{
	const char *slash = strrchr(path, '/');
	char absolute[PATH_MAX], *folder;

	if (!slash)
		folder = arena_strdup(arena, ".");
	else if (slash == path)
		folder = arena_strdup(arena, "/");
	else
		folder = arena_printf(arena, "%.*s", (int)(slash - path), path);
	if (!folder || !realpath(folder, absolute))
		return folder ? ERR_IO : ERR_NOMEM;
	*ret_folder = arena_strdup(arena, absolute);
	return *ret_folder ? OK : ERR_NOMEM;
}

int conf_read(const char *path, const struct conf_row *rows, void *target, struct arena *arena, struct err *err)
{
	struct err own = { 0 };
	struct reader reader = { .name = path, .base = { .arena = arena }, .err = err ? err : &own };
	char *folder = NULL;
	struct buf text;
	int error;

	buf_init(&text);
	error = buf_read_file(&text, path, CONF_FILE_MAX);
	if (!error)
		error = folder_of(path, arena, &folder);
	reader.base.dir = folder;
	if (error == ERR_TOOBIG)
		(void)err_set(err, error, "%.120s: is larger than 4 MiB", path); /* error is returned below */
	else if (error == ERR_NOMEM)
		(void)err_set(err, error, "%.120s: out of memory", path); /* likewise */
	else if (error)
		(void)err_errno(err, error, "%.120s: cannot be read; check the path and its permissions", path); /* likewise */
	else
		error = scan_and_parse(&reader, (const char *)text.bytes, text.n, rows, target);
	buf_release(&text);
	return error;
}
