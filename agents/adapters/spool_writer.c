/* The thread that writes out/: a batch of files with one sync, so that neither the files nor a slow disk hold up the loop. The batch
 * changes hands under the mutex; nothing else is shared. */
#include "agents/adapters/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct spool_writer {
	pthread_t thread;
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	enum { IDLE, WRITING, WRITTEN, STOPPING } state;   /* under the mutex; items belong to the thread while WRITING */
	struct spool_item *items; size_t n;
	int dir, event;
};

/* Writes a file under a name that nobody reads. */
static int write_temporary(int dir, const char *temporary, const struct spool_item *item)
{
	int fd = openat(dir, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return errno == ENOSPC || errno == EDQUOT ? ERR_FULL : ERR_IO;
	int r = OK;
	for (size_t at = 0; at < item->n && r == OK;) {
		ssize_t n = write(fd, item->bytes + at, item->n - at);
		if (n > 0)
			at += (size_t)n;
		else if (errno != EINTR)
			r = errno == ENOSPC || errno == EDQUOT ? ERR_FULL : ERR_IO;
	}
	if (close(fd) != 0 && r == OK)
		r = ERR_IO;
	return r;
}

static void name_temporary(const struct spool_item *item, char name[SPOOL_NAME_SIZE + 8])
{
	(void)snprintf(name, SPOOL_NAME_SIZE + 8, ".%s.tmp", item->name); /* fits */
}

/* All contents are on disk before the first of them gets its name. */
static void write_batch(int dir, struct spool_item *items, size_t n)
{
	char temporary[SPOOL_NAME_SIZE + 8];
	for (size_t i = 0; i < n; i++) {
		name_temporary(&items[i], temporary);
		items[i].result = items[i].bytes != NULL ? write_temporary(dir, temporary, &items[i]) : OK;
	}
	bool synced = syncfs(dir) == 0;
	for (size_t i = 0; i < n; i++) {
		name_temporary(&items[i], temporary);
		if (items[i].result == OK && !synced)
			items[i].result = ERR_IO;
		if (items[i].result == OK && items[i].bytes != NULL && renameat(dir, temporary, dir, items[i].name) != 0)
			items[i].result = ERR_IO;
		if (items[i].result != OK)
			(void)unlinkat(dir, temporary, 0); /* what is left of it begins with a dot, which nobody reads */
	}
	if (fsync(dir) != 0)
		for (size_t i = 0; i < n; i++)
			items[i].result = ERR_IO;
}

static void *run(void *context)
{
	struct spool_writer *writer = context;
	(void)pthread_mutex_lock(&writer->mutex); /* of our own: cannot fail, here and below */
	while (writer->state != STOPPING) {
		if (writer->state != WRITING) {
			(void)pthread_cond_wait(&writer->changed, &writer->mutex);
			continue;
		}
		(void)pthread_mutex_unlock(&writer->mutex);
		write_batch(writer->dir, writer->items, writer->n);
		(void)pthread_mutex_lock(&writer->mutex);
		if (writer->state == WRITING)
			writer->state = WRITTEN;
		(void)pthread_cond_broadcast(&writer->changed);
		if (eventfd_write(writer->event, 1) != 0)
			writer->state = STOPPING; /* cannot be, short of 2^64 batches */
	}
	(void)pthread_mutex_unlock(&writer->mutex);
	return NULL;
}

int spool_writer_new(int dir, struct spool_writer **ret_writer, struct err *err)
{
	struct spool_writer *writer = calloc(1, sizeof *writer);
	if (writer == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	writer->dir = dir;
	writer->event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	(void)pthread_mutex_init(&writer->mutex, NULL); /* with default attributes neither fails */
	(void)pthread_cond_init(&writer->changed, NULL);
	/* Signals are the loop's: the thread takes none. */
	sigset_t all, before;
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	int made = writer->event >= 0 ? pthread_create(&writer->thread, NULL, run, writer) : errno;
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (made != 0) {
		if (writer->event >= 0)
			(void)close(writer->event); /* nothing was written through it */
		free(writer);
		errno = made;
		return err_errno(err, ERR_IO, "the writer of spool files does not start");
	}
	*ret_writer = writer;
	return OK;
}

void spool_writer_free(struct spool_writer *writer)
{
	if (writer == NULL)
		return;
	(void)pthread_mutex_lock(&writer->mutex);
	writer->state = STOPPING;
	(void)pthread_cond_broadcast(&writer->changed);
	(void)pthread_mutex_unlock(&writer->mutex);
	(void)pthread_join(writer->thread, NULL); /* it ends after its batch */
	(void)close(writer->event);
	(void)pthread_cond_destroy(&writer->changed);
	(void)pthread_mutex_destroy(&writer->mutex);
	spool_items_free(writer->items, writer->n);
	free(writer);
}

int spool_writer_event(const struct spool_writer *writer)
{
	return writer->event;
}

bool spool_writer_idle(struct spool_writer *writer)
{
	(void)pthread_mutex_lock(&writer->mutex);
	bool idle = writer->state == IDLE;
	(void)pthread_mutex_unlock(&writer->mutex);
	return idle;
}

void spool_writer_begin(struct spool_writer *writer, struct spool_item *items, size_t n)
{
	(void)pthread_mutex_lock(&writer->mutex);
	writer->items = items;
	writer->n = n;
	writer->state = WRITING;
	(void)pthread_cond_broadcast(&writer->changed);
	(void)pthread_mutex_unlock(&writer->mutex);
}

struct spool_item *spool_writer_take(struct spool_writer *writer, size_t *ret_n)
{
	eventfd_t count;
	struct spool_item *items = NULL;
	(void)eventfd_read(writer->event, &count); /* only empties it; the state tells */
	(void)pthread_mutex_lock(&writer->mutex);
	if (writer->state == WRITTEN) {
		items = writer->items;
		*ret_n = writer->n;
		writer->items = NULL;
		writer->n = 0;
		writer->state = IDLE;
	}
	(void)pthread_mutex_unlock(&writer->mutex);
	return items;
}

void spool_writer_wait(struct spool_writer *writer)
{
	(void)pthread_mutex_lock(&writer->mutex);
	while (writer->state == WRITING)
		(void)pthread_cond_wait(&writer->changed, &writer->mutex);
	(void)pthread_mutex_unlock(&writer->mutex);
}

void spool_items_free(struct spool_item *items, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(items[i].bytes);
	free(items);
}
