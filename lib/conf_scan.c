#include "lib/conf_own.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/pb_field.h"

#define NUMBER_MAX 24 /* characters; more digits than any integer has, leading zeros aside */

struct bracket {
	char open;
	size_t line;
	unsigned keys;
};

struct scan {
	const char *p, *end;
	size_t line;
	int depth;
	struct bracket brackets[CONF_DEPTH_MAX + 1]; /* 0: the file itself */
	bool after_text; /* nothing but blanks and comments since a text */
	size_t newlines; /* since the last token, not yet written */
	struct buf *out;
	struct err *err;
};

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_name(char c, bool first)
{
	if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '*')
		return true;
	return !first && (is_digit(c) || c == '-' || c == '_');
}

static char next(const struct scan *scan, size_t ahead)
{
	return (size_t)(scan->end - scan->p) > ahead ? scan->p[ahead] : '\0';
}

static bool begins(const struct scan *scan, const char *text)
{
	size_t n = strlen(text);

	return (size_t)(scan->end - scan->p) >= n && memcmp(scan->p, text, n) == 0;
}

/* Over the whole text first: what comes behind may then look at bytes one by one. */
static int scan_bytes(struct scan *scan)
{
	while (scan->p < scan->end) {
		unsigned char c = (unsigned char)*scan->p;
		size_t n = pb_utf8_size((const uint8_t *)scan->p, (size_t)(scan->end - scan->p));

		if (n == 0)
			return err_set(scan->err, ERR_INVALID, "byte 0x%02x is not UTF-8; save the file as UTF-8", c);
		if (c == 0x7f || (c < ' ' && !strchr("\t\n\r\f", c)) || c == 0)
			return err_set(scan->err, ERR_INVALID, "control character 0x%02x; remove it", c);
		scan->line += c == '\n';
		scan->p += n;
	}
	return OK;
}

/* Writes a token that ends at scan->p. libconfig learns the line of a text with the token behind it: newlines wait until that one is written. */
static void put(struct scan *scan, const char *from, bool after_text)
{
	bool closes = after_text && strchr(",;]})", *from);

	for (; scan->newlines && !closes; scan->newlines--)
		(void)buf_text(scan->out, "\n"); /* the buffer remembers an error, here and below */
	(void)buf_text(scan->out, " ");
	(void)buf_add(scan->out, from, (size_t)(scan->p - from));
}

static void count_line(struct scan *scan)
{
	scan->line++;
	scan->newlines++;
}

static void skip_line(struct scan *scan)
{
	while (scan->p < scan->end && *scan->p != '\n')
		scan->p++;
}

static int skip_comment(struct scan *scan)
{
	size_t line = scan->line;

	for (scan->p += 2; scan->p < scan->end; scan->p++) {
		if (begins(scan, "*/")) {
			scan->p += 2;
			return OK;
		}
		if (*scan->p == '\n')
			count_line(scan);
	}
	scan->line = line;
	return err_set(scan->err, ERR_INVALID, "the comment that begins here has no end; close it with */");
}

static int skip_text(struct scan *scan)
{
	size_t line = scan->line;

	if (scan->after_text)
		return err_set(scan->err, ERR_INVALID, "two texts with nothing between them; put a comma or a semicolon there");
	for (scan->p++; scan->p < scan->end && *scan->p != '"'; scan->p++) {
		if (*scan->p == '\n') {
			scan->line = line;
			return err_set(scan->err, ERR_INVALID, "the text that begins here does not end on its line; a quote is missing");
		}
		if (*scan->p == '\\') {
			if (!strchr("\\\"", next(scan, 1)) || next(scan, 1) == '\0')
				return err_set(scan->err, ERR_INVALID, "a backslash in a text stands only before \" or another one; write \\\\");
			scan->p++;
		}
	}
	if (scan->p == scan->end)
		return err_set(scan->err, ERR_INVALID, "the text that begins here has no end; a quote is missing");
	scan->p++;
	scan->after_text = true;
	return OK;
}

static bool ends_number(char c)
{
	return !is_name(c, false) && c != '.' && c != '+';
}

/* libconfig 1.5 keeps the low 32 bits of an integer without L, and takes what is beyond 64 bits for -1. */
static int check_integer(struct scan *scan, const char *from, size_t n, bool is_long)
{
	char digits[NUMBER_MAX + 1];
	long long value;

	if (n > NUMBER_MAX)
		return err_set(scan->err, ERR_INVALID, "number %.*s... is too long", NUMBER_MAX, from);
	memcpy(digits, from, n);
	digits[n] = 0;
	errno = 0;
	value = strtoll(digits, NULL, 10);
	if (errno)
		return err_set(scan->err, ERR_INVALID, "number %s is out of range", digits);
	if (!is_long && (value < INT32_MIN || value > INT32_MAX))
		return err_set(scan->err, ERR_INVALID, "number %s is large and needs an L behind it; write %sL", digits, digits);
	return OK;
}

/* No key is a fraction: which one this stands at is known later, with its line. */
static int skip_fraction(struct scan *scan, const char *from)
{
	while (scan->p < scan->end && (is_digit(*scan->p) || strchr(".eE+-", *scan->p)))
		scan->p++;
	if (!ends_number(next(scan, 0)) || !is_digit(scan->p[-1]))
		return err_set(scan->err, ERR_INVALID, "%.*s... is no number", (int)(scan->p - from) % NUMBER_MAX, from);
	put(scan, from, false);
	return OK;
}

static int skip_number(struct scan *scan)
{
	const char *from = scan->p;
	size_t n;
	bool is_long;

	if (!is_digit(*scan->p))
		scan->p++;
	if (next(scan, 0) == '0' && (next(scan, 1) == 'x' || next(scan, 1) == 'X'))
		return err_set(scan->err, ERR_INVALID, "hexadecimal number; write it in decimal");
	while (is_digit(next(scan, 0)))
		scan->p++;
	n = (size_t)(scan->p - from);
	if (next(scan, 0) == '.' || next(scan, 0) == 'e' || next(scan, 0) == 'E')
		return skip_fraction(scan, from);
	is_long = next(scan, 0) == 'L';
	scan->p += is_long;
	scan->p += is_long && next(scan, 0) == 'L'; /* LL means the same */
	if (!is_digit(from[n - 1]) || !ends_number(next(scan, 0)))
		return err_set(scan->err, ERR_INVALID, "%.*s... is no number; a text needs quotes", (int)(n % NUMBER_MAX), from);
	if (check_integer(scan, from, n, is_long))
		return ERR_INVALID;
	put(scan, from, false);
	if (!is_long)
		(void)buf_text(scan->out, "L"); /* all of one width, or an array could not hold 1 beside 5000000000 */
	return OK;
}

static int open_bracket(struct scan *scan, char c)
{
	if (scan->depth == CONF_DEPTH_MAX)
		return err_set(scan->err, ERR_INVALID, "more than %d groups and lists within each other", CONF_DEPTH_MAX);
	scan->brackets[++scan->depth] = (struct bracket){ .open = c, .line = scan->line };
	return OK;
}

static int close_bracket(struct scan *scan, char c)
{
	const struct bracket *open = &scan->brackets[scan->depth];
	char wanted = open->open == '{' ? '}' : open->open == '[' ? ']' : ')';

	if (!scan->depth)
		return err_set(scan->err, ERR_INVALID, "%c closes nothing", c);
	if (c != wanted)
		return err_set(scan->err, ERR_INVALID, "%c where the %c of line %zu waits for its %c", c, open->open, open->line, wanted);
	scan->depth--;
	return OK;
}

static int scan_sign(struct scan *scan)
{
	const char *from = scan->p++;
	bool after_text = scan->after_text;
	int error = OK;

	scan->after_text = false;
	if (strchr("{[(", *from))
		error = open_bracket(scan, *from);
	else if (strchr("}])", *from))
		error = close_bracket(scan, *from);
	else if (strchr("=:", *from) && ++scan->brackets[scan->depth].keys > CONF_KEYS_MAX)
		error = err_set(scan->err, ERR_INVALID, "more than %d keys in one group", CONF_KEYS_MAX);
	if (!error)
		put(scan, from, after_text);
	return error;
}

static int scan_token(struct scan *scan)
{
	const char *from = scan->p;
	char c = *from;
	int error;

	if (c == '"') {
		error = skip_text(scan);
		if (!error)
			put(scan, from, false);
		return error;
	}
	if (c == '@')
		return err_set(scan->err, ERR_INVALID, "@include is not supported; one file holds the whole configuration");
	if (strchr("{}[]()=:,;", c))
		return scan_sign(scan);
	scan->after_text = false;
	if (is_digit(c) || c == '+' || c == '-')
		return skip_number(scan);
	if (!is_name(c, true))
		return err_set(scan->err, ERR_INVALID, "\"%.*s\" cannot stand here; a text needs quotes",
		               (int)pb_utf8_size((const uint8_t *)from, (size_t)(scan->end - from)), from);
	while (scan->p < scan->end && is_name(*scan->p, false))
		scan->p++;
	put(scan, from, false);
	return OK;
}

int conf_scan(const char *text, size_t n, struct buf *out, size_t *ret_line, struct err *err)
{
	struct scan scan = { .p = text, .end = text + n, .line = 1, .out = out, .err = err };
	int error = scan_bytes(&scan);

	if (!error) {
		scan.p = text;
		scan.line = 1;
	}
	while (!error && scan.p < scan.end) {
		if (*scan.p == '\n')
			count_line(&scan);
		if (strchr(" \t\r\n\f", *scan.p))
			scan.p++;
		else if (*scan.p == '#' || begins(&scan, "//"))
			skip_line(&scan);
		else if (begins(&scan, "/*"))
			error = skip_comment(&scan);
		else
			error = scan_token(&scan);
	}
	if (!error && scan.depth) {
		scan.line = scan.brackets[scan.depth].line;
		error = err_set(err, ERR_INVALID, "the %c that opens here is never closed", scan.brackets[scan.depth].open);
	}
	if (!error && buf_text(out, "\n"))
		error = err_set(err, ERR_NOMEM, "out of memory");
	if (error)
		*ret_line = scan.line;
	return error;
}
