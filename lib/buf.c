#include "lib/buf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/err.h"

#define BUF_MIN ((size_t)256)

void buf_init(struct buf *buf)
{
	*buf = (struct buf){ 0 };
}

void buf_release(struct buf *buf)
{
	free(buf->bytes);
	*buf = (struct buf){ 0 };
}

void buf_clear(struct buf *buf)
{
	buf->n = 0;
	buf->error = OK;
	if (buf->bytes)
		buf->bytes[0] = 0;
}

int buf_reserve(struct buf *buf, size_t more)
{
	size_t room = buf->room ? buf->room : BUF_MIN;
	uint8_t *bytes;

	if (buf->error)
		return buf->error;
	if (more >= SIZE_MAX / 4 || buf->n >= SIZE_MAX / 4)
		return buf->error = ERR_NOMEM;
	if (buf->bytes && buf->n + more + 1 <= buf->room)
		return OK;
	while (room < buf->n + more + 1)
		room *= 2;
	bytes = realloc(buf->bytes, room);
	if (!bytes)
		return buf->error = ERR_NOMEM;
	buf->bytes = bytes;
	buf->room = room;
	bytes[buf->n] = 0;
	return OK;
}

int buf_add(struct buf *buf, const void *bytes, size_t n)
{
	if (buf_reserve(buf, n))
		return buf->error;
	if (n)
		memcpy(buf->bytes + buf->n, bytes, n);
	buf->n += n;
	buf->bytes[buf->n] = 0;
	return OK;
}

int buf_text(struct buf *buf, const char *text)
{
	return buf_add(buf, text, strlen(text));
}

int buf_printf(struct buf *buf, const char *format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(NULL, 0, format, args);
	va_end(args);
	if (n < 0)
		return buf->error = ERR_NOMEM;
	if (buf_reserve(buf, (size_t)n))
		return buf->error;
	va_start(args, format);
	(void)vsnprintf((char *)buf->bytes + buf->n, (size_t)n + 1, format, args); /* measured above */
	va_end(args);
	buf->n += (size_t)n;
	return OK;
}

uint8_t *buf_take(struct buf *buf, size_t *ret_n)
{
	uint8_t *bytes = buf->bytes;

	if (ret_n)
		*ret_n = buf->n;
	*buf = (struct buf){ 0 };
	return bytes;
}

static int read_all(struct buf *buf, int fd, size_t max)
{
	for (;;) {
		ssize_t n;

		if (buf_reserve(buf, 4096))
			return ERR_NOMEM;
		n = read(fd, buf->bytes + buf->n, buf->room - buf->n - 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return ERR_IO;
		if (n == 0)
			return OK;
		buf->n += (size_t)n;
		buf->bytes[buf->n] = 0;
		if (buf->n > max)
			return ERR_TOOBIG;
	}
}

int buf_read_file(struct buf *buf, const char *path, size_t max)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	int error;

	if (fd < 0)
		return errno == ENOENT ? ERR_NOTFOUND : ERR_IO;
	error = read_all(buf, fd, max);
	(void)close(fd); /* opened for reading: nothing can be lost */
	return error;
}
