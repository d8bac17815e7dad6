/* For shims that stand before the C library (LD_PRELOAD): every way to open a file, led to one function. */
#ifndef TESTS_FAULTS_SHIM_OPEN_H
#define TESTS_FAULTS_SHIM_OPEN_H

#include <fcntl.h>
#include <stdarg.h>
#include <sys/types.h>

/* The mode that follows flags, where one does. */
#define SHIM_MODE(flags, mode) \
	do { \
		if ((flags) & (O_CREAT | __O_TMPFILE)) { \
			va_list list; \
			va_start(list, flags); \
			(mode) = va_arg(list, mode_t); \
			va_end(list); \
		} \
	} while (0)

/* Defines open, openat, and what _FORTIFY_SOURCE makes of an open without a mode, by static int open_any(int folder, const char *path, int flags, mode_t mode). */
#define SHIM_OPEN(open_any) \
	int open(const char *path, int flags, ...) \
	{ \
		mode_t mode = 0; \
\
		SHIM_MODE(flags, mode); \
		return open_any(AT_FDCWD, path, flags, mode); \
	} \
	int openat(int folder, const char *path, int flags, ...) \
	{ \
		mode_t mode = 0; \
\
		SHIM_MODE(flags, mode); \
		return open_any(folder, path, flags, mode); \
	} \
	int __open_2(const char *path, int flags); \
	int __open_2(const char *path, int flags) \
	{ \
		return open_any(AT_FDCWD, path, flags, 0); \
	}

#endif
