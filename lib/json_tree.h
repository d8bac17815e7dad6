/* JSON text as a tree in an arena; shared by lib/json*.c, nobody else. jansson stays behind it, in json_tree.c, which
 * cannot include lib/json.h: the two have names in common. */
#ifndef LIB_JSON_TREE_H
#define LIB_JSON_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/err.h"

#define JSON_DEPTH_MAX 16
#define JSON_TEXT_MAX ((size_t)4 << 20)   /* bytes of one text */

enum node_kind { NODE_NULL, NODE_BOOL, NODE_INT, NODE_REAL, NODE_STRING, NODE_OBJECT, NODE_ARRAY };
struct json_node {
	enum node_kind kind;
	bool boolean;
	int64_t integer;
	double real;
	char *text;                    /* STRING: UTF-8 without NUL */
	size_t n;                      /* STRING: bytes; OBJECT, ARRAY: items */
	char **names;                  /* OBJECT: of each item, in their order, no two the same */
	struct json_node *items;
};

/* One object or array. ERR_INVALID "line 1, column 5: why", without a word of the text but the name of a member that occurs
 * twice; ERR_TOOBIG over JSON_TEXT_MAX, ERR_NOMEM. Everything is the arena's. */
int json_tree_read(const char *text, size_t n, struct arena *arena, struct json_node *ret_root, struct err *err);

/* Compact JSON text of a tree; a real stays one ("3.0"). */
void json_tree_write(struct buf *out, const struct json_node *node);

/* Pieces of output (json_text.c). */
void json_put_uint(struct buf *out, uint64_t number);
void json_put_int(struct buf *out, int64_t number);
void json_put_real(struct buf *out, double number);       /* null if it is not finite */
/* In quotes. url: base64url without padding; else the standard alphabet with padding. */
void json_put_base64(struct buf *out, const void *bytes, size_t n, bool url);
/* After a failure: `out` as it was when it had n bytes. */
void json_rewind(struct buf *out, size_t n);
/* ret_bytes has room for n / 4 * 3 + 2 bytes. False if it is not base64url (padding may be there or not). */
bool json_get_base64url(const char *text, size_t n, uint8_t *ret_bytes, size_t *ret_n);

#endif
