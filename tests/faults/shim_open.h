/* For shims in the place of the C library (LD_PRELOAD): every way to open a file, by one function of the including file,
 * static int open_any(int folder, const char *path, int flags, mode_t mode). */
#ifndef TESTS_FAULTS_SHIM_OPEN_H
#define TESTS_FAULTS_SHIM_OPEN_H

#include <fcntl.h>
#include <stdarg.h>

#define MODE_OF(flags, mode) \
	do { \
		if ((flags) & (O_CREAT | __O_TMPFILE)) { \
			va_list list; \
			va_start(list, flags); \
			(mode) = va_arg(list, mode_t); \
			va_end(list); \
		} \
	} while (0)

int open(const char *path, int flags, ...)
{
	mode_t mode = 0;

	MODE_OF(flags, mode);
	return open_any(AT_FDCWD, path, flags, mode);
}

int openat(int folder, const char *path, int flags, ...)
{
	mode_t mode = 0;

	MODE_OF(flags, mode);
	return open_any(folder, path, flags, mode);
}

int __open_2(const char *path, int flags);
int __open_2(const char *path, int flags) /* what _FORTIFY_SOURCE makes of an open without a mode */
{
	return open_any(AT_FDCWD, path, flags, 0);
}

#endif
