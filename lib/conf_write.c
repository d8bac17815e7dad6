#include "lib/conf_own.h"

#include <string.h>

#include "lib/buf.h"

#define INDENT_MAX 64

struct writer {
	struct buf out;   /* remembers the first failure */
	bool comments;
	int depth;
};

static void indent(struct writer *writer)
{
	char blanks[INDENT_MAX + 1];
	size_t n = (size_t)writer->depth * 2 < INDENT_MAX ? (size_t)writer->depth * 2 : INDENT_MAX;

	memset(blanks, ' ', n);
	(void)buf_add(&writer->out, blanks, n); /* remembered in out.error, as are all below */
}

static void put(struct writer *writer, const char *text)
{
	(void)buf_text(&writer->out, text); /* as above */
}

static void put_quoted(struct writer *writer, const char *text)
{
	put(writer, "\"");
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			put(writer, "\\");
		(void)buf_add(&writer->out, text, 1); /* as above */
	}
	put(writer, "\"");
}

static void put_number(struct writer *writer, enum conf_type type, int64_t value)
{
	char text[CONF_NUMBER_SIZE];
	const char *quote = conf_is_text(type) ? "\"" : "";

	(void)buf_printf(&writer->out, "%s%s%s", quote, conf_format(type, value, text), quote); /* as above */
}

static int64_t get_number(const struct conf_row *row, const void *at)
{
	if (row->type == CONF_BOOL)
		return *(const bool *)at;
	return row->type == CONF_TIME ? *(const int *)at : *(const int64_t *)at;
}

/* A value that was left out and has no default: it is not printed, so it is left out again when this is read. */
static bool is_unset(const struct conf_row *row, const void *at)
{
	if (row->type == CONF_STRING || row->type == CONF_PATH) {
		const char *text = *(char *const *)at;

		return !text || (!*text && row->fallback && !*row->fallback);
	}
	if (!row->fallback || *row->fallback || row->type == CONF_LIST)
		return false;
	if (conf_item_type(row->type) == CONF_STRING || conf_item_type(row->type) == CONF_PATH)
		return ((const struct conf_strings *)at)->n == 0;
	if (conf_item_type(row->type) != CONF_LIST)
		return ((const struct conf_ints *)at)->n == 0;
	return get_number(row, at) == 0;
}

static void put_values(struct writer *writer, const struct conf_row *row, const void *at)
{
	enum conf_type item = conf_item_type(row->type);
	const struct conf_strings *texts = at;
	const struct conf_ints *numbers = at;
	bool is_text = item == CONF_STRING || item == CONF_PATH;
	size_t n = is_text ? texts->n : numbers->n;

	put(writer, "[");
	for (size_t i = 0; i < n; i++) {
		put(writer, i ? ", " : " ");
		if (is_text)
			put_quoted(writer, texts->items[i]);
		else
			put_number(writer, item, numbers->items[i]);
	}
	put(writer, n ? " ]" : "]");
}

static void put_scalar(struct writer *writer, const struct conf_row *row, const void *at)
{
	if (row->type == CONF_STRING || row->type == CONF_PATH)
		put_quoted(writer, *(char *const *)at);
	else if (row->type == CONF_BOOL)
		put(writer, get_number(row, at) ? "true" : "false");
	else
		put_number(writer, row->type, get_number(row, at));
}

/* --- rows ------------------------------------------------------------------------------------------------------ */

static void put_rows(struct writer *writer, const struct conf_row *rows, const void *target);

/* "# key: help (unit)"; prefix and name are empty where the key stands below. */
static void put_comment(struct writer *writer, const struct conf_row *row, const char *prefix, const char *name)
{
	bool has_unit = row->unit && *row->unit;

	if (!*name && !has_unit && (!row->help || !*row->help))
		return;
	indent(writer);
	(void)buf_printf(&writer->out, "#%s%s%s%s%s", *name ? "   " : "", prefix, name, *name ? ":" : "", row->help && *row->help ? " " : ""); /* as above */
	put(writer, row->help ? row->help : "");
	if (has_unit)
		(void)buf_printf(&writer->out, " (%s)", row->unit); /* as above */
	put(writer, "\n");
}

/* The keys of a list's groups are explained once, before it. */
static void put_comments(struct writer *writer, const struct conf_row *rows, const char *prefix)
{
	struct buf longer;

	for (const struct conf_row *row = rows; row->name; row++) {
		put_comment(writer, row, prefix, row->name);
		if (row->type != CONF_GROUP && row->type != CONF_LIST)
			continue;
		buf_init(&longer);
		if (buf_printf(&longer, "%s%s.", prefix, row->name))
			writer->out.error = longer.error;
		else
			put_comments(writer, row->rows, (const char *)longer.bytes);
		buf_release(&longer);
	}
}

static void put_groups(struct writer *writer, const struct conf_row *row, const struct conf_list *list)
{
	bool comments = writer->comments;

	writer->comments = false;
	put(writer, list->n ? "(\n" : "(");
	writer->depth++;
	for (size_t i = 0; i < list->n; i++) {
		indent(writer);
		put(writer, "{\n");
		writer->depth++;
		put_rows(writer, row->rows, (const char *)list->items + i * row->size);
		writer->depth--;
		indent(writer);
		put(writer, i + 1 < list->n ? "},\n" : "}\n");
	}
	writer->depth--;
	if (list->n)
		indent(writer);
	put(writer, ")");
	writer->comments = comments;
}

static void put_value(struct writer *writer, const struct conf_row *row, const void *at)
{
	if (row->type == CONF_LIST) {
		put_groups(writer, row, at);
	} else if (row->type == CONF_GROUP) {
		put(writer, "{\n");
		writer->depth++;
		put_rows(writer, row->rows, at);
		writer->depth--;
		indent(writer);
		put(writer, "}");
	} else if (conf_item_type(row->type) != CONF_LIST) {
		put_values(writer, row, at);
	} else {
		put_scalar(writer, row, at);
	}
}

static void put_rows(struct writer *writer, const struct conf_row *rows, const void *target)
{
	for (const struct conf_row *row = rows; row->name; row++) {
		const void *at = (const char *)target + row->offset;
		bool absent = row->type == CONF_GROUP ? row->set_offset && !*((const bool *)target + row->set_offset - 1) : is_unset(row, at);

		if (writer->comments) {
			if (writer->depth == 0 && row != rows)
				put(writer, "\n");
			put_comment(writer, row, "", "");
			if (row->type == CONF_LIST)
				put_comments(writer, row->rows, "");
		}
		if (absent && !writer->comments)
			continue;
		indent(writer);
		if (absent) {
			(void)buf_printf(&writer->out, "# %s is not set\n", row->name); /* as above */
			continue;
		}
		(void)buf_printf(&writer->out, "%s = ", row->name); /* as above */
		put_value(writer, row, at);
		put(writer, ";\n");
	}
}

static void write_all(struct writer *writer, const struct conf_row *rows, const void *target, bool comments)
{
	*writer = (struct writer){ .comments = comments };
	buf_init(&writer->out);
	put_rows(writer, rows, target);
}

int conf_print(FILE *out, const struct conf_row *rows, const void *target)
{
	struct writer writer;
	int error;

	write_all(&writer, rows, target, true);
	error = writer.out.error;
	if (!error && writer.out.n && fwrite(writer.out.bytes, writer.out.n, 1, out) != 1)
		error = ERR_IO;
	buf_release(&writer.out);
	return error;
}

int conf_text(struct arena *arena, const struct conf_row *rows, const void *target, char **ret_text)
{
	struct writer writer;
	char *text = NULL;

	write_all(&writer, rows, target, false);
	if (!writer.out.error)
		text = arena_strdup(arena, writer.out.n ? (const char *)writer.out.bytes : "");
	buf_release(&writer.out);
	if (!text)
		return ERR_NOMEM;
	*ret_text = text;
	return OK;
}
