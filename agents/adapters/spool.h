/* What spool.c (events in) and spool_out.c (events out) share. */
#ifndef AGENTS_ADAPTERS_SPOOL_H
#define AGENTS_ADAPTERS_SPOOL_H

#include <limits.h>

#include "agents/agent.h"

#define SPOOL_FILES_MAX 64                        /* files whose receipts are awaited */
#define SPOOL_FILE_MAX ((size_t)64 << 20)         /* bytes of one file; larger ones are to be split */
#define SPOOL_BYTES_MAX ((size_t)256 << 20)       /* of all files that are being handed in */
#define SPOOL_LINE_MAX ((size_t)1 << 20)
#define SPOOL_LINES_PER_TURN 512
#define SPOOL_RESCAN_MS 10000                     /* for what inotify did not tell */
#define SPOOL_SETTLE_MS 2000                      /* a file found without being told of it must have been still so long */
#define SPOOL_RETRY_MS 5000                       /* after a full disk */
#define SPOOL_OUT_BATCH 256                       /* files of one sync */
#define SPOOL_NAME_SIZE 128                       /* of a file in out/ */

struct spool_line {
	char *receipt;                            /* JSON; NULL until there is one */
	char *problem;                            /* "code: reason"; NULL: it went through */
	size_t number;                            /* in the file, from 1 */
};
struct spool_file {
	struct spool *spool;
	struct spool_file *next;
	char name[NAME_MAX + 1];
	struct buf content;
	uint8_t hash[HASH_SIZE];
	moment first_seen;
	size_t at, number;                        /* next byte, lines read */
	struct spool_line *lines; size_t n, room;
	size_t waiting;                           /* lines without a receipt */
	bool again;                               /* the disk was full: read it again later */
};
struct spool {
	struct agent *agent;
	int in, done, failed, out;                /* folders */
	int notify;
	struct loop_timer rescan, out_retry;
	struct spool_file *files;                 /* in the order in which they were taken */
	size_t n_files, bytes;
	struct spool_writer *writer;
	bool out_waiting;                         /* TABLE_OUT holds something that the writer has not been given */
	uint64_t published, failures;             /* files, since the start */
	char trouble[256];                        /* what an operator must look at; "" */
};

/* Writes DIR/NAME whole or not at all; the folder is synced by the caller. ERR_FULL, ERR_IO. */
int spool_write(int dir, const char *name, const void *bytes, size_t n);
int spool_out_open(struct spool *spool, struct err *err);
void spool_out_close(struct spool *spool);
bool spool_out_has_work(const struct spool *spool);
void spool_out_work(struct spool *spool);
void spool_trouble(struct spool *spool, const char *what, const char *name);

/* --- spool_writer.c: the thread that writes out/ ---------------------------------------------------------------------- */

/* One file. bytes NULL: nothing to write any more (it was purged). result: OK when it is on disk under its name. */
struct spool_item { uint64_t sequence; char name[SPOOL_NAME_SIZE]; uint8_t *bytes; size_t n; int result; };
void spool_items_free(struct spool_item *items, size_t n);
int spool_writer_new(int dir, struct spool_writer **ret_writer, struct err *err);
void spool_writer_free(struct spool_writer *writer);            /* after the batch that it is writing */
int spool_writer_event(const struct spool_writer *writer);      /* readable: a batch is written */
bool spool_writer_idle(struct spool_writer *writer);            /* it may be given a batch */
void spool_writer_begin(struct spool_writer *writer, struct spool_item *items, size_t n);  /* takes */
struct spool_item *spool_writer_take(struct spool_writer *writer, size_t *ret_n);          /* the written batch, for the caller to free; NULL */
void spool_writer_wait(struct spool_writer *writer);            /* until it is writing nothing */

#endif
