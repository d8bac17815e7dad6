/* Events out: one file each in out/, complete or not there at all. */
#include "agents/adapters/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/log.h"

int spool_write(int dir, const char *name, const void *bytes, size_t n)
{
	char temporary[NAME_MAX + 8];
	int length = snprintf(temporary, sizeof temporary, ".%s.tmp", name);
	if (length < 0 || length > NAME_MAX)
		return ERR_TOOBIG;
	int fd = openat(dir, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return errno == ENOSPC ? ERR_FULL : ERR_IO;
	const uint8_t *at = bytes;
	while (n > 0) {
		ssize_t written = write(fd, at, n);
		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0)
			break;
		at += written;
		n -= (size_t)written;
	}
	bool ok = n == 0 && fsync(fd) == 0;
	ok = close(fd) == 0 && ok && renameat(dir, temporary, dir, name) == 0;
	if (ok)
		return OK;
	int r = errno == ENOSPC || errno == EDQUOT ? ERR_FULL : ERR_IO;
	(void)unlinkat(dir, temporary, 0); /* what is left of it begins with a dot, which nobody reads */
	return r;
}

void spool_trouble(struct spool *spool, const char *what, const char *name)
{
	char text[sizeof spool->trouble];
	(void)snprintf(text, sizeof text, "%s/%s: %s", spool->agent->config.spool.dir, name, what); /* cut to fit */
	if (strcmp(text, spool->trouble) != 0)
		log_error("spool=stuck why=\"%s\"", text);
	memcpy(spool->trouble, text, sizeof text);
}

/* --- in the turn in which an event arrives ------------------------------------------------------------------------------ */

static void queued(struct agent *agent, void *context, uint64_t n, int result)
{
	(void)context;
	(void)n;
	if (agent->spool != NULL && result == OK)
		agent->spool->out_waiting = true;
}

void spool_queue(struct agent *agent, const Reentry__Delivery *delivery, const Reentry__Event *event)
{
	uint8_t key[DB_KEY_MAX];
	char name[SPOOL_NAME_SIZE];
	struct db_txn *txn = turn_txn(agent);
	if (agent->spool == NULL)
		return;
	/* The exact type of a class C event tells of the person's health: not in a file name. */
	bool care = delivery->has_class_ && delivery->class_ >= REENTRY__CLASS__VALUE__C;
	uint64_t epoch = agent->witness.epoch;
	int n = epoch <= 1 ? snprintf(name, sizeof name, "%020llu-%s.json", (unsigned long long)delivery->sequence, care ? "event" : event->type)
	                   : snprintf(name, sizeof name, "%020llu-%s-e%llu.json", (unsigned long long)delivery->sequence, care ? "event" : event->type, (unsigned long long)epoch);
	/* The copy is known before it is made: a purge finds it whenever we die. Errors are remembered by the transaction. */
	(void)db_put(txn, TABLE_COPIES, key, db_key(key, "sq", event->subject, delivery->sequence), name, (size_t)n);
	(void)db_put(txn, TABLE_OUT, key, db_key(key, "q", delivery->sequence), name, (size_t)n);
	turn_after(agent, queued, NULL, 0);
}

/* --- writing ------------------------------------------------------------------------------------------------------------- */

static int fill_item(struct spool *spool, struct db_txn *txn, struct spool_item *item)
{
	struct agent *agent = spool->agent;
	struct inbox_line line;
	struct buf out;
	buf_init(&out);
	int r = inbox_line_read(agent, txn, item->sequence, &agent->turn.arena, &line);
	if (r == OK)
		r = inbox_line_write(agent, txn, &line, &agent->turn.arena, &out);
	if (r == OK)
		r = buf_text(&out, "\n");
	if (r == OK)
		item->bytes = buf_take(&out, &item->n);
	buf_release(&out);
	/* Purged or destroyed meanwhile: there is nothing to write any more. */
	return r == ERR_NOTFOUND || r == ERR_ERASED ? OK : r;
}

static int fill_batch(struct spool *spool, struct spool_item *items, size_t *ret_n)
{
	struct agent *agent = spool->agent;
	struct db_txn txn;
	struct db_cursor cursor;
	int r = turn_read(agent, &txn);
	if (r != OK)
		return r;
	for (bool more = db_cursor_open(&txn, TABLE_OUT, &cursor) == OK && db_seek(&cursor, NULL, 0, 0); more && *ret_n < SPOOL_OUT_BATCH && r == OK; more = db_next(&cursor)) {
		struct spool_item *item = &items[*ret_n];
		if (!number_read(cursor.key, &item->sequence) || cursor.value.n == 0 || cursor.value.n >= sizeof item->name) {
			r = ERR_CORRUPT;
			break;
		}
		memcpy(item->name, cursor.value.bytes, cursor.value.n);
		r = fill_item(spool, &txn, item);
		*ret_n += r == OK;
	}
	db_cursor_close(&cursor);
	db_abort(&txn);
	return r;
}

static void stuck(struct spool *spool, int r)
{
	spool->out_waiting = false;
	spool_trouble(spool, r == ERR_FULL ? "the disk is full" : "cannot be written", "out");
	(void)loop_timer_set(spool->agent->loop, &spool->out_retry, SPOOL_RETRY_MS); /* the next arrival tries again as well */
}

static void retry_out(void *context)
{
	struct spool *spool = context;
	spool->out_waiting = true;
}

void spool_out_work(struct spool *spool)
{
	struct spool_item *items = calloc(SPOOL_OUT_BATCH, sizeof *items);
	size_t n = 0;
	int r = items != NULL ? fill_batch(spool, items, &n) : ERR_NOMEM;
	if (r != OK)
		stuck(spool, r);
	spool->out_waiting = r == OK && n == SPOOL_OUT_BATCH;
	if (n > 0)
		spool_writer_begin(spool->writer, items, n);
	else
		spool_items_free(items, 0);
	turn_relief(spool->agent);
}

bool spool_out_has_work(const struct spool *spool)
{
	return spool->out_waiting && spool_writer_idle(spool->writer);
}

/* The files are there: nothing is owed any more. Should we die before this is committed, they are written again, the same. */
static void on_written(void *context, int fd, unsigned events)
{
	struct spool *spool = context;
	struct agent *agent = spool->agent;
	uint8_t key[DB_KEY_MAX];
	size_t n = 0;
	(void)fd, (void)events;
	struct spool_item *items = spool_writer_take(spool->writer, &n);
	for (size_t i = 0; i < n; i++) {
		if (items[i].result != OK) {
			stuck(spool, items[i].result);
			continue;
		}
		(void)db_del(turn_txn(agent), TABLE_OUT, key, db_key(key, "q", items[i].sequence)); /* remembered by the transaction */
		if (agent->config.spool.done && items[i].bytes != NULL)
			(void)inbox_done(agent, items[i].sequence); /* the same */
		inbox_passed_on(agent, items[i].sequence);
	}
	spool_items_free(items, n);
}

void spool_settle(struct agent *agent)
{
	if (agent->spool == NULL)
		return;
	spool_writer_wait(agent->spool->writer);
	on_written(agent->spool, -1, 0);
}

int spool_out_open(struct spool *spool, struct err *err)
{
	spool->out_retry = (struct loop_timer){.fn = retry_out, .context = spool};
	spool->out_waiting = true;
	int r = spool_writer_new(spool->out, &spool->writer, err);
	return r == OK ? loop_add(spool->agent->loop, spool_writer_event(spool->writer), LOOP_READ, on_written, spool) : r;
}

void spool_out_close(struct spool *spool)
{
	if (spool->writer == NULL)
		return;
	loop_timer_stop(spool->agent->loop, &spool->out_retry);
	loop_remove(spool->agent->loop, spool_writer_event(spool->writer));
	spool_writer_free(spool->writer);
	spool->writer = NULL;
}

/* --- purging ---------------------------------------------------------------------------------------------------------------- */

void spool_purge(struct agent *agent, const char *subject)
{
	struct db_txn *txn = turn_txn(agent);
	uint8_t prefix[DB_KEY_MAX];
	size_t n = db_key(prefix, "s", subject), removed = 0;
	struct db_cursor cursor;
	char name[SPOOL_NAME_SIZE];
	/* A copy that is being written just now must not appear after it was deleted. */
	if (agent->spool != NULL)
		spool_writer_wait(agent->spool->writer);
	DB_FOREACH(&cursor, txn, TABLE_COPIES, prefix, n) {
		struct db_value value;
		uint8_t key[DB_KEY_MAX];
		struct db_value tail = {(const uint8_t *)cursor.key.bytes + n, cursor.key.n - n};
		uint64_t sequence;
		/* The message that ended the relation is no copy of what is purged. */
		bool kept = number_read(tail, &sequence) && db_get(txn, TABLE_INBOX, key, db_key(key, "q", sequence), &value) == OK && value.n > 0;
		if (kept || cursor.value.n >= sizeof name)
			continue;
		memcpy(name, cursor.value.bytes, cursor.value.n);
		name[cursor.value.n] = '\0';
		if (agent->spool != NULL && unlinkat(agent->spool->out, name, 0) != 0 && errno != ENOENT) {
			log_error("spool=unpurged sequence=%llu why=\"%s\" effect=\"tried again at the next start\"", (unsigned long long)sequence, strerror(errno));
			continue;
		}
		(void)db_cursor_del(&cursor); /* remembered by the transaction */
		removed++;
	}
	if (removed > 0 && agent->spool != NULL && fsync(agent->spool->out) != 0)
		log_error("spool=unsynced dir=out why=\"%s\"", strerror(errno));
}
