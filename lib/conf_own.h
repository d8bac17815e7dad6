/* What the files of lib/conf share: conf.c reads (the only one that knows libconfig), conf_scan.c looks at the text before libconfig does,
 * conf_value.c knows values and units, conf_write.c prints. Nobody else includes this. */
#ifndef LIB_CONF_OWN_H
#define LIB_CONF_OWN_H

#include "lib/conf.h"

#define CONF_FILE_MAX ((size_t)4 << 20) /* bytes; 4,096 agencies with long lists fit */
#define CONF_DEPTH_MAX 16               /* groups and lists within each other */
#define CONF_KEYS_MAX 256               /* of one group: libconfig compares each new key with all before it */
#define CONF_NUMBER_SIZE 32

/* What stands in a list of dates; a row never has this type. */
#define CONF_ITEM_DATE ((enum conf_type)(CONF_LIST + 1))

/* Writes to `out` what libconfig 1.5 reads as it was meant, each token on its line; refuses what 1.5 would let pass, silently change or read from elsewhere:
 * integers that wrap, @include, an open comment, two texts with no comma between them, bytes that are not UTF-8, control characters, deep nesting, a
 * bracket that nothing closes, more keys than CONF_KEYS_MAX in a group. ERR_INVALID, ERR_NOMEM: ret_line is where, err->text says what, without a place. */
struct buf;
int conf_scan(const char *text, size_t n, struct buf *out, size_t *ret_line, struct err *err);

/* "a text in quotes": what a value of this type looks like. */
const char *conf_expected(enum conf_type type);
/* Is it written as a text in quotes? */
bool conf_is_text(enum conf_type type);
/* The type of the elements, or CONF_LIST for what is no list of values. */
enum conf_type conf_item_type(enum conf_type type);

/* The bounds of the row: both 0 is none; max below min means that there is no upper one. err->text says what is wrong, without a place. */
int conf_check_range(const struct conf_row *row, int64_t value, struct err *err);
/* One value into *at, as wide as its type says (conf.h). dir: base of relative paths, may be NULL. err->text as above. */
struct conf_base { const char *dir; struct arena *arena; };
int conf_set_text(const struct conf_row *row, const char *text, const struct conf_base *base, void *at, struct err *err);
int conf_set_number(const struct conf_row *row, int64_t value, void *at, struct err *err);

/* As it would be written in a file, without quotes: "45min", "64MiB", "08:00", "2027-02-25", "1024", "5000000000L". */
char *conf_format(enum conf_type type, int64_t value, char text[CONF_NUMBER_SIZE]);

#endif
