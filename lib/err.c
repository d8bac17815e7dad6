#include "lib/err.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char *const texts[] = {
	[0] = "ok",
	[-ERR_NOMEM] = "out of memory",
	[-ERR_INVALID] = "invalid",
	[-ERR_NOTFOUND] = "not found",
	[-ERR_EXISTS] = "exists already",
	[-ERR_IO] = "input/output error",
	[-ERR_FULL] = "storage is full",
	[-ERR_CORRUPT] = "stored data is damaged",
	[-ERR_DENIED] = "denied",
	[-ERR_AGAIN] = "try again later",
	[-ERR_TOOBIG] = "too large",
	[-ERR_CLOSED] = "closed",
	[-ERR_BUSY] = "in use by another process",
	[-ERR_ERASED] = "erased",
	[-ERR_FENCED] = "another leader has taken over",
	[-ERR_UNSYNCED] = "a sync failed",
};

const char *err_text(int code)
{
	size_t i = code <= 0 ? (size_t)-(long)code : sizeof texts / sizeof *texts;

	return i < sizeof texts / sizeof *texts ? texts[i] : "unknown error";
}

/* One line, whatever was formatted into it. */
static void clean(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			*text = ' ';
}

__attribute__((format(printf, 3, 0)))
static void fill(struct err *err, int code, const char *format, va_list args)
{
	err->code = code;
	(void)vsnprintf(err->text, sizeof err->text, format, args); /* cut to fit: it is for people */
	clean(err->text);
}

int (err_set)(struct err *err, int code, const char *format, ...)
{
	va_list args;

	if (!err)
		return code;
	va_start(args, format);
	fill(err, code, format, args);
	va_end(args);
	return code;
}

int (err_errno)(struct err *err, int code, const char *format, ...)
{
	const char *why = strerror(errno);
	va_list args;
	size_t n;

	if (!err)
		return code;
	va_start(args, format);
	fill(err, code, format, args);
	va_end(args);
	n = strlen(err->text);
	(void)snprintf(err->text + n, sizeof err->text - n, ": %s", why); /* cut to fit */
	return code;
}

int err_prefix(struct err *err, const char *format, ...)
{
	char before[sizeof err->text], after[sizeof err->text];
	va_list args;

	if (!err)
		return ERR_INVALID;
	va_start(args, format);
	(void)vsnprintf(before, sizeof before, format, args); /* cut to fit */
	va_end(args);
	clean(before);
	memcpy(after, err->text, sizeof after);
	(void)snprintf(err->text, sizeof err->text, "%.200s: %.300s", before, after); /* cut to fit */
	return err->code;
}
