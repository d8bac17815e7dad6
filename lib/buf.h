/* A growable byte buffer. Always NUL-terminated behind `n`, so text can be used as a string. */
#ifndef LIB_BUF_H
#define LIB_BUF_H

#include <stddef.h>
#include <stdint.h>

struct buf {
	uint8_t *bytes;   /* owned; NULL while empty and never grown */
	size_t n, room;
	int error;        /* ERR_NOMEM after a failed growth: later appends do nothing; check once at the end */
};

void buf_init(struct buf *buf);
void buf_release(struct buf *buf);            /* safe on zeroed and released ones */
void buf_clear(struct buf *buf);              /* n = 0, keeps the memory, clears error */
int buf_reserve(struct buf *buf, size_t more);
int buf_add(struct buf *buf, const void *bytes, size_t n);
int buf_text(struct buf *buf, const char *text);
int buf_printf(struct buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Hands the memory over to the caller (free()); the buffer is empty afterwards. */
uint8_t *buf_take(struct buf *buf, size_t *ret_n);
/* Reads a whole file of at most max bytes; ERR_NOTFOUND, ERR_TOOBIG, ERR_IO. */
int buf_read_file(struct buf *buf, const char *path, size_t max);

#endif
