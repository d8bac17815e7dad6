#include "tests/bench/bench.h"

#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void (*cleaner)(void);

double now_us(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts); /* cannot fail */
	return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

void stop_with(void (*clean)(void))
{
	cleaner = clean;
}

void stop(const char *format, ...)
{
	void (*clean)(void) = cleaner;
	va_list args;

	va_start(args, format);
	fputs("bench: ", stderr);
	vfprintf(stderr, format, args);
	fputs("\n", stderr);
	va_end(args);
	cleaner = NULL; /* once, even if it fails itself */
	if (clean)
		clean();
	exit(1);
}

void need(int rc, const char *what, const struct err *err)
{
	if (rc)
		stop("%s: %s", what, err && err->text[0] ? err->text : err_text(rc));
}

/* --- samples ------------------------------------------------------------------------------------------------------------ */

void samples_add(struct samples *samples, double value)
{
	if (samples->n == samples->room) {
		const size_t room = samples->room ? 2 * samples->room : 1024;
		double *grown = realloc(samples->values, room * sizeof *grown);

		if (!grown)
			stop("out of memory");
		samples->values = grown;
		samples->room = room;
	}
	samples->values[samples->n++] = value;
}

static int by_value(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double samples_at(struct samples *samples, double share)
{
	size_t i = (size_t)(share * (double)samples->n);

	if (!samples->n)
		return 0;
	qsort(samples->values, samples->n, sizeof *samples->values, by_value);
	return samples->values[i < samples->n ? i : samples->n - 1];
}

void samples_release(struct samples *samples)
{
	free(samples->values);
	*samples = (struct samples){ 0 };
}

/* --- folders -------------------------------------------------------------------------------------------------------------- */

void folder_make(char folder[FOLDER_SIZE])
{
	const char *tmp = getenv("TMPDIR"); /* the bench may need another disk */

	(void)snprintf(folder, FOLDER_SIZE, "%s/reentry-bench-XXXXXX", tmp && *tmp && strlen(tmp) < FOLDER_SIZE / 2 ? tmp : "/tmp");
	if (!mkdtemp(folder))
		stop("%s cannot be made", folder);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	(void)remove(path); /* best effort: a temporary folder */
	return 0;
}

void folder_remove(const char *folder)
{
	if (*folder)
		(void)nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS); /* best effort */
}

/* --- the rest --------------------------------------------------------------------------------------------------------------- */

uint64_t dice_throw(struct dice *dice, uint64_t below)
{
	uint64_t x = dice->state ? dice->state : UINT64_C(0x9e3779b97f4a7c15);

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	dice->state = x;
	return x % below;
}

void progress(const char *format, ...)
{
	static double began;
	va_list args;

	if (began == 0)
		began = now_us();
	if (!isatty(STDERR_FILENO) && !getenv("VERBOSE"))
		return;
	va_start(args, format);
	fprintf(stderr, "%6.1f s  ", (now_us() - began) / 1e6);
	vfprintf(stderr, format, args);
	fputs("\n", stderr);
	va_end(args);
}
