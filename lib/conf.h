/* Configuration files: libconfig behind tables. A row names a key, its type, range, default, unit and its sentence of
 * documentation; reader, -nv and the man page come from it. Unknown keys are errors with file and line. Sizes and
 * durations are strings with units ("64MiB", "45min"). */
#ifndef LIB_CONF_H
#define LIB_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "lib/arena.h"
#include "lib/err.h"

enum conf_type {
	CONF_STRING,    /* char * */
	CONF_PATH,      /* char *, made absolute relative to the folder of the file */
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
struct conf_strings { char **items; size_t n; };
struct conf_ints { int64_t *items; size_t n; };
struct conf_list { void *items; size_t n; };

struct conf_row {
	const char *name;
	enum conf_type type;
	size_t offset;             /* in the struct that is filled */
	const char *fallback;      /* the default as it would be written in the file ("45min"); NULL: required; "" with OPTIONAL: unset */
	int64_t min, max;          /* for numbers, durations, sizes, list lengths; both 0: no bound */
	const char *unit, *help;   /* for -nv, the man page */
	const struct conf_row *rows; size_t size; /* GROUP, LIST; rows end with name NULL */
	size_t set_offset;         /* GROUP: offset+1 of a bool that says whether the group was present; 0: the group is required unless all its rows have defaults */
};

/* Reads FILE whole, checks it against rows and fills `target` (zeroed by the caller). All memory from arena.
 * Errors: ERR_INVALID "FILE:LINE: key: what and what to do"; nothing is half-applied that the caller must undo. */
int conf_read(const char *path, const struct conf_row *rows, void *target, struct arena *arena, struct err *err);
/* Prints the effective configuration in the file's own syntax, each key with a comment of unit and help: -nv. Deterministic. */
int conf_print(FILE *out, const struct conf_row *rows, const void *target);
/* The same into memory without comments: what the log records as the effective configuration, and conf_parse reads back. */
int conf_text(struct arena *arena, const struct conf_row *rows, const void *target, char **ret_text);
/* conf_read from memory; name stands for the file in errors, dir is the base of relative paths. */
int conf_parse(const char *text, const char *name, const char *dir, const struct conf_row *rows, void *target, struct arena *arena, struct err *err);

int conf_parse_duration(const char *text, int64_t *ret_ms);
int conf_parse_size(const char *text, int64_t *ret_bytes);

#endif
