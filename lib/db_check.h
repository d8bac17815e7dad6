/* The structure of a store's file, looked through without LMDB, which trusts it and has no checksums: every page that is in use is a sound one, is used once, and holds its keys in order;
 * no page is both free and in use; the counts and the two meta pages agree. What stands in keys and values is not judged. For stores that nobody has open (reentry verify --log). */
#ifndef LIB_DB_CHECK_H
#define LIB_DB_CHECK_H

#include <stdint.h>

#include "lib/err.h"

struct db_check { uint64_t pages, free_pages, pairs; };   /* used and free ones, without the two meta pages; pairs of all tables */
/* Called with each fault: one line, which names the page. After DB_CHECK_FAULTS_MAX the rest is not looked for. */
typedef void db_check_fault(void *context, const char *text);
#define DB_CHECK_FAULTS_MAX 50

/* tables: names that tables may have, NULL-terminated; NULL: any. OK, whatever was found. ERR_BUSY (somebody writes there), ERR_NOTFOUND, ERR_CORRUPT (the file is gone or empty), ERR_IO, ERR_NOMEM …: could not be looked through. */
int db_check_folder(const char *dir, const char *const *tables, db_check_fault *fault, void *context, struct db_check *ret_check, struct err *err);

#endif
