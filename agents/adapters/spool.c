/* Events in: files in in/ are handed in line by line, and move to done/ or failed/ when every line has its receipt. A restart reads
 * a file again from the start; ids follow from its name and content, so nothing is published twice. */
#include "agents/adapters/spool.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/daemon.h"
#include "lib/log.h"
#include "lib/pb.h"

/* --- files ------------------------------------------------------------------------------------------------------------------ */

static void file_free(struct spool_file *file)
{
	struct spool *spool = file->spool;
	struct spool_file **at = &spool->files;
	while (*at != NULL && *at != file)
		at = &(*at)->next;
	if (*at != NULL)
		*at = file->next;
	outbox_forget(spool->agent, file);
	turn_forget(spool->agent, file);
	for (size_t i = 0; i < file->n; i++) {
		free(file->lines[i].receipt);
		free(file->lines[i].problem);
	}
	free(file->lines);
	spool->bytes -= file->content.n;
	spool->n_files--;
	buf_release(&file->content);
	free(file);
}

static bool ends_with(const char *name, const char *end)
{
	size_t n = strlen(name), m = strlen(end);
	return n >= m && strcmp(name + n - m, end) == 0;
}

static bool is_wanted(const struct spool *spool, const char *name)
{
	if (name[0] == '.' || !ends_with(name, ".jsonl"))
		return false;
	for (const struct spool_file *file = spool->files; file != NULL; file = file->next)
		if (strcmp(file->name, name) == 0)
			return false;
	return true;
}

/* Name and content make the file: the same name with other content is another one, and so is the same content under another name. */
static void hash_file(struct spool_file *file)
{
	struct crypt_part parts[] = {{file->name, strlen(file->name) + 1}, {file->content.bytes, file->content.n}};
	crypt_sha256_parts(parts, 2, file->hash);
}

/* When this file was first seen: part of the ids of its events, so remembered before the first of them goes out. */
static int remember(struct spool_file *file)
{
	struct agent *agent = file->spool->agent;
	struct db_txn *txn = turn_txn(agent);
	struct db_value value;
	Reentry__AgentFile *known;
	uint8_t *bytes;
	size_t n;
	int r = db_get(txn, TABLE_FILES, file->hash, HASH_SIZE, &value);
	if (r == OK)
		r = pb_unpack_own(&reentry__agent_file__descriptor, value.bytes, value.n, &agent->turn.arena, &known);
	if (r == OK)
		file->first_seen = known->first_seen;
	if (r != ERR_NOTFOUND)
		return r;
	Reentry__AgentFile seen = REENTRY__AGENT_FILE__INIT;
	file->first_seen = clock_now(&agent->clock);
	seen.has_first_seen = true;
	seen.first_seen = file->first_seen;
	r = pb_pack(&seen, &agent->turn.arena, &bytes, &n);
	return r == OK ? db_put(txn, TABLE_FILES, file->hash, HASH_SIZE, bytes, n) : r;
}

static int read_content(struct spool *spool, const char *name, struct buf *content)
{
	char path[PATH_MAX];
	int n = snprintf(path, sizeof path, "/proc/self/fd/%d/%s", spool->in, name);
	return n > 0 && (size_t)n < sizeof path ? buf_read_file(content, path, SPOOL_FILE_MAX) : ERR_TOOBIG;
}

static void take(struct spool *spool, const char *name)
{
	struct stat status;
	if (!is_wanted(spool, name) || spool->n_files >= SPOOL_FILES_MAX || spool->bytes > SPOOL_BYTES_MAX)
		return;
	if (fstatat(spool->in, name, &status, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(status.st_mode))
		return;
	struct spool_file *file = calloc(1, sizeof *file);
	if (file == NULL)
		return; /* found again by the next scan */
	file->spool = spool;
	(void)snprintf(file->name, sizeof file->name, "%s", name); /* fits: it came from the folder */
	struct spool_file **at = &spool->files;
	while (*at != NULL)
		at = &(*at)->next;
	*at = file;
	spool->n_files++;
	int r = read_content(spool, name, &file->content);
	spool->bytes += file->content.n;
	if (r != OK) {
		spool_trouble(spool, r == ERR_TOOBIG ? "larger than 64 MiB: split it" : "cannot be read", name);
		file_free(file);
		return;
	}
	hash_file(file);
	if (remember(file) != OK)
		file_free(file); /* the turn fails; found again by the next scan */
}

/* --- lines ------------------------------------------------------------------------------------------------------------------ */

static struct spool_line *add_line(struct spool_file *file)
{
	if (file->n == file->room) {
		size_t room = file->room > 0 ? file->room * 2 : 64;
		struct spool_line *lines = reallocarray(file->lines, room, sizeof *lines);
		if (lines == NULL)
			return NULL;
		file->lines = lines;
		file->room = room;
	}
	file->lines[file->n] = (struct spool_line){.number = file->number};
	return &file->lines[file->n++];
}

static void set_problem(struct spool_line *line, const char *code, const char *detail)
{
	free(line->problem);
	if (asprintf(&line->problem, "%s%s%s", code, detail != NULL && detail[0] != '\0' ? ": " : "", detail != NULL ? detail : "") < 0)
		line->problem = NULL;
}

static void set_receipt(struct spool_line *line, const char *id, const char *result, const Reentry__Receipt *receipt)
{
	struct json_receipt shown = {.id = id, .result = result, .sequence = receipt->sequence, .code = receipt->code, .detail = receipt->detail};
	struct buf out;
	size_t n;
	if (shown.id != NULL && shown.id[0] == '\0')
		shown.id = NULL;
	if (shown.detail != NULL && shown.detail[0] == '\0')
		shown.detail = NULL;
	buf_init(&out);
	(void)json_receipt_write(&out, &shown); /* the buffer remembers its error */
	free(line->receipt);
	line->receipt = out.error == OK ? (char *)buf_take(&out, &n) : NULL;
	buf_release(&out);
	if (receipt->result == REENTRY__OUTCOME__VALUE__REFUSED)
		set_problem(line, shown.code != NULL ? shown.code : "refused", shown.detail);
}

static void finish(struct spool_file *file);

static void finish_if_done(struct spool_file *file)
{
	if (file->waiting == 0 && (file->again || file->at == file->content.n))
		finish(file);
}

static void on_receipt(struct agent *agent, void *context, uint64_t index, const Reentry__Receipt *receipt)
{
	struct spool_file *file = context;
	(void)agent;
	if (receipt->code != NULL && strcmp(receipt->code, "storage-full") == 0)
		file->again = true; /* our own store: nothing of it was taken in */
	set_receipt(&file->lines[index], receipt->id, outcome_name(receipt->result), receipt);
	file->waiting--;
	finish_if_done(file);
}

/* Refused here: it is no event, and never reaches the broker. */
static void refuse(struct spool_line *line, const char *id, const char *code, const struct err *err)
{
	Reentry__Receipt receipt = REENTRY__RECEIPT__INIT;
	char copied[32], detail[sizeof err->text];
	(void)snprintf(copied, sizeof copied, "%s", code);            /* fits */
	(void)snprintf(detail, sizeof detail, "%s", err->text);       /* fits */
	receipt.result = REENTRY__OUTCOME__VALUE__REFUSED;
	receipt.code = copied;
	receipt.detail = detail;
	set_receipt(line, id, "refused", &receipt);
}

/* Returns false when the file has to wait: the disk is full. */
static bool hand_in(struct spool_file *file, const char *text, size_t n)
{
	struct agent *agent = file->spool->agent;
	uint8_t bytes[HASH_SIZE + 8];
	struct outbox_seed seed = {bytes, sizeof bytes, file->first_seen};
	struct outbox_put put = {0};
	struct err err = {0};
	struct spool_line *line = add_line(file);
	if (line == NULL)
		return false;
	memcpy(bytes, file->hash, HASH_SIZE);
	for (size_t i = 0; i < 8; i++)
		bytes[HASH_SIZE + i] = (uint8_t)(file->number >> (56 - 8 * i));
	int r = n > SPOOL_LINE_MAX ? err_set(&err, ERR_TOOBIG, "the line is larger than 1 MiB") : outbox_hand_in(agent, text, n, &seed, &put, &err);
	if (r == OK && put.receipt != NULL) {
		set_receipt(line, put.receipt->id, outcome_name(put.receipt->result), put.receipt);
		return true;
	}
	if (r == OK && outbox_wait(agent, put.number, on_receipt, file, file->n - 1) == OK) {
		file->waiting++;
		return true;
	}
	if (r != ERR_INVALID && r != ERR_TOOBIG)
		return false;
	refuse(line, put.id, r == ERR_TOOBIG ? "too-large" : "malformed", &err);
	return true;
}

static bool is_blank(const char *text, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (text[i] != ' ' && text[i] != '\t' && text[i] != '\r')
			return false;
	return true;
}

/* Hands in the next lines of a file; returns how many. */
static size_t read_lines(struct spool_file *file, size_t max)
{
	size_t count = 0;
	while (file->at < file->content.n && count < max && !file->again) {
		const char *text = (const char *)file->content.bytes + file->at;
		size_t left = file->content.n - file->at;
		const char *end = memchr(text, '\n', left);
		size_t n = end != NULL ? (size_t)(end - text) : left;
		file->at += n + (end != NULL);
		file->number++;
		count++;
		if (!is_blank(text, n) && !hand_in(file, text, n))
			file->again = true;
	}
	return count;
}

/* --- when all is known ------------------------------------------------------------------------------------------------------ */

/* A name that is free in that folder: a file of the same name may lie there from an earlier day. */
static bool free_name(int dir, const char *name, char ret_name[NAME_MAX + 1])
{
	for (unsigned i = 1; i < 10000; i++) {
		int n = i == 1 ? snprintf(ret_name, NAME_MAX + 1, "%s", name) : snprintf(ret_name, NAME_MAX + 1, "%s.%u", name, i);
		if (n > 0 && n <= NAME_MAX && faccessat(dir, ret_name, F_OK, AT_SYMLINK_NOFOLLOW) != 0)
			return true;
	}
	return false;
}

static int write_beside(int dir, const char *name, const char *suffix, struct buf *text)
{
	char full[NAME_MAX + 1];
	int n = snprintf(full, sizeof full, "%s%s", name, suffix);
	if (text->error != OK || n < 0 || (size_t)n >= sizeof full)
		return ERR_TOOBIG;
	return spool_write(dir, full, text->bytes, text->n);
}

static void write_outcome(const struct spool_file *file, struct buf *receipts, struct buf *errors)
{
	for (size_t i = 0; i < file->n; i++) {
		const struct spool_line *line = &file->lines[i];
		if (line->receipt != NULL)
			(void)buf_printf(receipts, "{\"line\":%zu,%s\n", line->number, line->receipt + 1); /* the buffers remember their errors */
		if (line->problem != NULL)
			(void)buf_printf(errors, "line %zu: %s\n", line->number, line->problem);
	}
}

/* First what was answered, then the file itself: should we die between, it is read again and the answers are written again. */
static int settle(struct spool_file *file)
{
	struct spool *spool = file->spool;
	struct buf receipts, errors;
	char name[NAME_MAX + 1];
	buf_init(&receipts);
	buf_init(&errors);
	write_outcome(file, &receipts, &errors);
	int dir = errors.n > 0 ? spool->failed : spool->done;
	int r = free_name(dir, file->name, name) ? OK : ERR_EXISTS;
	if (r == OK)
		r = write_beside(dir, name, ".receipts.jsonl", &receipts);
	if (r == OK && errors.n > 0)
		r = write_beside(dir, name, ".errors", &errors);
	if (r == OK && fsync(dir) != 0)
		r = ERR_IO;
	if (r == OK && (renameat(spool->in, file->name, dir, name) != 0 || fsync(dir) != 0 || fsync(spool->in) != 0))
		r = ERR_IO;
	if (r == OK && errors.n > 0)
		spool->failures++;
	else if (r == OK)
		spool->published++;
	buf_release(&receipts);
	buf_release(&errors);
	return r;
}

static void finish(struct spool_file *file)
{
	struct spool *spool = file->spool;
	int r = file->again ? ERR_FULL : settle(file);
	if (r == OK) {
		spool->trouble[0] = '\0';
		log_info("spool=settled lines=%zu", file->n);
	} else {
		spool_trouble(spool, r == ERR_FULL ? "the disk is full" : r == ERR_EXISTS ? "too many files of that name in done/ or failed/" : "cannot be moved", file->name);
	}
	file_free(file);
	/* Others may wait for its place; after a failure it is taken again, later. */
	(void)loop_timer_set(spool->agent->loop, &spool->rescan, r == OK ? 0 : SPOOL_RETRY_MS); /* fails at a bound that our few timers never reach */
}

/* --- finding ------------------------------------------------------------------------------------------------------------------ */

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Long enough unchanged to be complete, should somebody not have renamed it into the folder. */
static bool is_still(const struct spool *spool, const char *name)
{
	struct clock clock;
	struct stat status;
	clock_system(&clock);
	return fstatat(spool->in, name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
	       clock_now(&clock) - (moment)status.st_mtim.tv_sec * 1000 >= SPOOL_SETTLE_MS;
}

static void scan(struct spool *spool)
{
	struct arena arena;
	char **names = NULL;
	size_t n = 0;
	int fd = openat(spool->in, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	if (dir == NULL) {
		if (fd >= 0)
			(void)close(fd);
		spool_trouble(spool, strerror(errno), "in");
		return;
	}
	arena_init(&arena, 0);
	for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
		char **name = is_wanted(spool, entry->d_name) ? ARENA_PUSH(&arena, names, n) : NULL;
		if (name != NULL && (*name = arena_strdup(&arena, entry->d_name)) == NULL)
			n--;
	}
	(void)closedir(dir);
	if (n > 0)
		qsort(names, n, sizeof *names, by_name);
	for (size_t i = 0; i < n; i++)
		if (is_still(spool, names[i]))
			take(spool, names[i]);
	arena_release(&arena);
}

static void on_rescan(void *context)
{
	struct spool *spool = context;
	scan(spool);
	(void)loop_timer_set(spool->agent->loop, &spool->rescan, SPOOL_RESCAN_MS); /* see finish */
}

static void on_notify(void *context, int fd, unsigned events)
{
	struct spool *spool = context;
	char buffer[16384] __attribute__((aligned(__alignof__(struct inotify_event))));
	(void)events;
	ssize_t n = read(fd, buffer, sizeof buffer);
	for (ssize_t at = 0; n > 0 && at + (ssize_t)sizeof(struct inotify_event) <= n;) {
		const struct inotify_event *event = (const struct inotify_event *)(const void *)(buffer + at);
		if (event->len > 0)
			take(spool, event->name);
		at += (ssize_t)(sizeof *event + event->len);
	}
	turn_relief(spool->agent);
}

static bool has_work(void *context)
{
	const struct spool *spool = context;
	for (const struct spool_file *file = spool->files; file != NULL; file = file->next)
		if (file->waiting == 0 || file->at < file->content.n)
			return true;
	return spool_out_has_work(spool);
}

static void work(void *context)
{
	struct spool *spool = context;
	size_t left = SPOOL_LINES_PER_TURN;
	if (spool_out_has_work(spool))
		spool_out_work(spool);
	for (struct spool_file *file = spool->files, *next; file != NULL && left > 0; file = next) {
		next = file->next;
		left -= read_lines(file, left);
		finish_if_done(file);
	}
	turn_relief(spool->agent);
}

/* --- life ------------------------------------------------------------------------------------------------------------------- */

static int open_folder(const char *dir, const char *name, int *ret_fd, struct err *err)
{
	char path[PATH_MAX];
	int n = snprintf(path, sizeof path, "%s/%s", dir, name);
	if (n < 0 || (size_t)n >= sizeof path)
		return err_set(err, ERR_TOOBIG, "spool.dir: the path is too long");
	int r = daemon_mkdir(path, err);
	if (r != OK)
		return r;
	*ret_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return *ret_fd >= 0 ? OK : err_errno(err, ERR_IO, "%s", path);
}

static int watch(struct spool *spool, const char *dir, struct err *err)
{
	char path[PATH_MAX];
	int n = snprintf(path, sizeof path, "%s/in", dir);
	if (n < 0 || (size_t)n >= sizeof path)
		return err_set(err, ERR_TOOBIG, "spool.dir: the path is too long");
	spool->notify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (spool->notify < 0 || inotify_add_watch(spool->notify, path, IN_MOVED_TO | IN_CLOSE_WRITE | IN_ONLYDIR) < 0)
		return err_errno(err, ERR_IO, "%s: cannot be watched", path);
	return loop_add(spool->agent->loop, spool->notify, LOOP_READ, on_notify, spool);
}

int spool_open(struct agent *agent, struct err *err)
{
	const char *dir = agent->config.spool.dir;
	if (!agent->config.has_spool)
		return OK;
	struct spool *spool = calloc(1, sizeof *spool);
	if (spool == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	spool->agent = agent;
	spool->in = spool->done = spool->failed = spool->out = spool->notify = -1;
	agent->spool = spool;
	int r = open_folder(dir, "in", &spool->in, err);
	if (r == OK)
		r = open_folder(dir, "done", &spool->done, err);
	if (r == OK)
		r = open_folder(dir, "failed", &spool->failed, err);
	if (r == OK)
		r = open_folder(dir, "out", &spool->out, err);
	if (r == OK)
		r = watch(spool, dir, err);
	if (r == OK)
		r = loop_add_ready(agent->loop, has_work, work, spool);
	spool->rescan = (struct loop_timer){.fn = on_rescan, .context = spool};
	if (r == OK)
		r = spool_out_open(spool, err);
	if (r == OK)
		r = loop_timer_set(agent->loop, &spool->rescan, 0);
	if (r != OK)
		spool_close(agent);
	return r;
}

void spool_close(struct agent *agent)
{
	struct spool *spool = agent->spool;
	if (spool == NULL)
		return;
	loop_timer_stop(agent->loop, &spool->rescan);
	spool_out_close(spool);
	loop_remove_ready(agent->loop, spool);
	while (spool->files != NULL)
		file_free(spool->files); /* lint: analyzer, because it takes it out of the list before it frees it */
	if (spool->notify >= 0)
		loop_remove(agent->loop, spool->notify);
	int fds[] = {spool->in, spool->done, spool->failed, spool->out, spool->notify};
	for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
		if (fds[i] >= 0)
			(void)close(fds[i]); /* folders; nothing was written through them */
	free(spool);
	agent->spool = NULL;
}

void spool_status(struct agent *agent, struct buf *out)
{
	const struct spool *spool = agent->spool;
	if (spool == NULL)
		return;
	(void)buf_printf(out, ",\"spool\":{\"files\":%zu,\"done\":%llu,\"failed\":%llu", spool->n_files, (unsigned long long)spool->published,
	                 (unsigned long long)spool->failures); /* the buffer remembers its error */
	if (spool->trouble[0] != '\0') {
		(void)buf_text(out, ",\"trouble\":");
		(void)json_string(out, spool->trouble);
	}
	(void)buf_text(out, "}");
}
