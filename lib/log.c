#include "lib/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINE_MAX_BYTES 2048

static struct {
	const char *program;
	enum log_level level;
	bool terminal;
} state = { "reentry", LOG_INFO, false };

static const struct { const char *name, *journal, *prefix; } levels[] = {
	[LOG_ERROR] = { "error", "<3>", "error: " },
	[LOG_WARN] = { "warn", "<4>", "warning: " },
	[LOG_INFO] = { "info", "<6>", "" },
	[LOG_DEBUG] = { "debug", "<7>", "debug: " },
};

void log_init(const char *program)
{
	const char *wanted = getenv("REENTRY_LOG"); /* lint: getenv, because it must work before a configuration is read */

	state.program = program;
	state.terminal = isatty(STDERR_FILENO) == 1;
	for (int i = LOG_ERROR; wanted && i <= LOG_DEBUG; i++)
		if (strcmp(wanted, levels[i].name) == 0)
			state.level = (enum log_level)i;
}

void log_set_level(enum log_level level)
{
	state.level = level;
}

void log_line(enum log_level level, const char *format, ...)
{
	char line[LINE_MAX_BYTES];
	va_list args;
	int kept = errno, n, more;

	if (level > state.level)
		return;
	if (state.terminal)
		n = snprintf(line, sizeof line, "%s: %s", state.program, levels[level].prefix);
	else
		n = snprintf(line, sizeof line, "%s", levels[level].journal);
	va_start(args, format);
	more = vsnprintf(line + n, sizeof line - (size_t)n - 1, format, args);
	va_end(args);
	if (more < 0)
		more = 0;
	n = n + more < (int)sizeof line - 2 ? n + more : (int)sizeof line - 2;
	for (int i = 0; i < n; i++)
		if ((unsigned char)line[i] < ' ')
			line[i] = ' ';
	line[n++] = '\n';
	/* One write a line, so that lines of several processes do not mix; there is nobody to tell when it fails. */
	if (write(STDERR_FILENO, line, (size_t)n) < 0)
		errno = kept;
	errno = kept;
}
