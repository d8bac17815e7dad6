/* Configuration files: libconfig behind tables. A row names a key, its type, range, default, unit and its sentence of
 * documentation; reader, -nv and the man page come from it. Unknown keys are errors with file and line. Sizes and
 * durations are strings with units ("64MiB", "45min"). Files are UTF-8, at most 4 MiB. Beyond libconfig's own rules: no @include, no
 * hexadecimal numbers, an integer beyond 32 bits needs its L (libconfig 1.5 wraps it silently), a text ends on its line and knows only
 * the escapes \" and \\, two texts need a comma between them (libconfig joins them). */
#ifndef LIB_CONF_H
#define LIB_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "lib/arena.h"
#include "lib/err.h"

enum conf_type {
	CONF_STRING,    /* char *, never NULL once read; holds no control characters */
	CONF_PATH,      /* char *, made absolute relative to the folder of the file; never empty, NULL while unset */
	CONF_INT,       /* int64_t */
	CONF_BOOL,      /* bool */
	CONF_DURATION,  /* int64_t ms; units ms s min h d */
	CONF_SIZE,      /* int64_t bytes; units B KiB MiB GiB */
	CONF_TIME,      /* int, minutes since midnight; "08:00" */
	CONF_STRINGS,   /* struct conf_strings */
	CONF_PATHS,     /* struct conf_strings */
	CONF_INTS,      /* struct conf_ints */
	CONF_DATES,     /* struct conf_ints, civil dates as days, sorted */
	CONF_GROUP,     /* a nested struct described by `rows` */
	CONF_LIST,      /* struct conf_list of groups described by `rows`, each of `size` bytes */
};
/* items is NULL when n is 0 */
struct conf_strings { char **items; size_t n; };
struct conf_ints { int64_t *items; size_t n; };
struct conf_list { void *items; size_t n; };

struct conf_row {
	const char *name;
	enum conf_type type;
	size_t offset;             /* in the struct that is filled */
	const char *fallback;      /* the default as it would be written in the file, without the quotes of a text (45min, [ "a" ]); NULL: required; "": unset, zero */
	int64_t min, max;          /* of numbers, durations, sizes, minutes of a time; entries of a list; bytes of a string; both 0: no bound; max below min: no upper bound */
	const char *unit, *help;   /* for -nv, the man page */
	const struct conf_row *rows; size_t size; /* GROUP, LIST; rows end with name NULL */
	size_t set_offset;         /* GROUP: offset+1 of a bool that says whether the group was present; 0: the group is required unless all its rows have defaults */
};

/* Reads FILE whole, checks it against rows and fills `target` (zeroed by the caller; in an unknown state after an error). All memory from arena.
 * Errors: ERR_INVALID "FILE:LINE: agencies[0].role: what and what to do" (entries count from 0; no line for what is missing at the top level);
 * ERR_NOTFOUND, ERR_IO, ERR_TOOBIG, ERR_NOMEM with the file's name. A group with set_offset that is not in the file stays zero: no defaults. */
int conf_read(const char *path, const struct conf_row *rows, void *target, struct arena *arena, struct err *err);
/* Prints the effective configuration in the file's own syntax, each key with a comment of unit and help (those of a list once, before it): -nv.
 * Deterministic, and conf_parse reads it back to the same values. ERR_NOMEM, ERR_IO. */
int conf_print(FILE *out, const struct conf_row *rows, const void *target);
/* The same into memory without comments: what the log records as the effective configuration, and conf_parse reads back. ERR_NOMEM. */
int conf_text(struct arena *arena, const struct conf_row *rows, const void *target, char **ret_text);
/* conf_read from memory; name stands for the file in errors, dir is the base of relative paths. */
int conf_parse(const char *text, const char *name, const char *dir, const struct conf_row *rows, void *target, struct arena *arena, struct err *err);

/* Digits and a unit, nothing else: "45min", "64MiB". ERR_INVALID, also for what 64 bits do not hold. */
int conf_parse_duration(const char *text, int64_t *ret_ms);
int conf_parse_size(const char *text, int64_t *ret_bytes);

#endif
