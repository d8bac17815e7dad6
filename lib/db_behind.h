/* What is put into write-behind tables (db_options.behind) and not yet in the file: sorted, in memory, over the table. Private to lib/db*.c. One thread. */
#ifndef LIB_DB_BEHIND_H
#define LIB_DB_BEHIND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/db.h"

struct behind;                      /* of one environment: a list for each of its tables */

/* A pair, or that there is none. fresh: the file's table has no such key, so when it is deleted nothing is left to do. */
struct behind_node {
	const uint8_t *value;
	uint64_t turn;              /* in which it was changed last */
	uint32_t value_n, room;
	uint16_t key_n;
	bool deleted, fresh;
	uint8_t height;
	struct behind_node *next[]; /* `height` of them, and then the key */
};

struct behind *behind_new(size_t n_tables);
void behind_free(struct behind *b);
const uint8_t *behind_key(const struct behind_node *node);

/* The node of a key, also a deleted one; NULL: nothing is known here, so the file's table tells. */
struct behind_node *behind_find(const struct behind *b, int table, const void *key, size_t n);
/* The first node at or (if after) behind a key; key NULL: the first of all. */
struct behind_node *behind_seek(const struct behind *b, int table, const void *key, size_t n, bool after);
/* The pair's value, n bytes for the caller to fill; the one before is kept until behind_keep. NULL: no memory. */
uint8_t *behind_put(struct behind *b, int table, const void *key, size_t key_n, size_t n, bool fresh);
int behind_del(struct behind *b, int table, const void *key, size_t n); /* whether or not there was one. ERR_NOMEM */

uint64_t behind_changes(const struct behind *b); /* another number whenever a node has come or gone: walks look again */
bool behind_changed(const struct behind *b);    /* since the last behind_keep or behind_undo */
size_t behind_bytes(const struct behind *b);
bool behind_is_empty(const struct behind *b, int table);
void behind_keep(struct behind *b);             /* the transaction counts */
void behind_undo(struct behind *b);             /* it does not: as it was at the last behind_keep */
void behind_forget(struct behind *b);           /* all of it is in the file */

#endif
