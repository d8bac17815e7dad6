/* The files as a crash may leave them: what was synced, and what came since and is kept. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/faults/trace.h"

#define NO_FILE (-1)
#define PATH_ROOM 512
#define FORGOTTEN 37      /* of so many writes a forgetful disk loses one */

struct file { uint8_t *bytes; size_t n, room; };              /* what is synced of it */
struct names { int file[TRACE_FOLDERS][TRACE_NAMES]; };

struct disk {
	size_t n;                                /* calls that have been made */
	bool forgetful;
	struct file *files; size_t n_files;
	struct names synced, now;
	size_t *pending; size_t n_pending, pending_room;   /* calls: writes and cuts that are not synced */
	size_t *renames; size_t n_renames, renames_room;   /* calls: changes of names since their folder's sync */
};

static void *grow(void *items, size_t n, size_t *room, size_t size)
{
	if (n < *room)
		return items;
	*room = *room ? *room * 2 : 64;
	items = realloc(items, *room * size);
	if (!items)
		abort(); /* nothing is proved without memory; so below */
	return items;
}

static void forget_names(struct names *names)
{
	for (int i = 0; i < TRACE_FOLDERS; i++)
		for (int k = 0; k < TRACE_NAMES; k++)
			names->file[i][k] = NO_FILE;
}

struct disk *disk_new(bool forgetful)
{
	struct disk *disk = calloc(1, sizeof *disk);

	if (!disk)
		abort();
	disk->forgetful = forgetful;
	forget_names(&disk->synced);
	forget_names(&disk->now);
	return disk;
}

void disk_free(struct disk *disk)
{
	if (!disk)
		return;
	for (size_t i = 0; i < disk->n_files; i++)
		free(disk->files[i].bytes);
	free(disk->files);
	free(disk->pending);
	free(disk->renames);
	free(disk);
}

/* --- forward ----------------------------------------------------------------------------------------------------------------- */

static void put(struct file *file, uint64_t at, const uint8_t *bytes, size_t n)
{
	const size_t end = (size_t)at + n;

	if (end > file->room) {
		file->room = end * 2;
		file->bytes = realloc(file->bytes, file->room);
		if (!file->bytes)
			abort();
	}
	if (end > file->n) {
		memset(file->bytes + file->n, 0, end - file->n);
		file->n = end;
	}
	memcpy(file->bytes + at, bytes, n);
}

static void cut(struct file *file, uint64_t length)
{
	if (length > file->n)
		put(file, length - 1, (const uint8_t *)"", 1);
	else
		file->n = (size_t)length;
}

static void apply(struct file *file, const struct trace_call *call)
{
	if (call->kind == TRACE_WRITE)
		put(file, call->at, call->bytes, call->n);
	else
		cut(file, call->at);
}

static void sync_file(struct disk *disk, int file)
{
	size_t left = 0;

	for (size_t i = 0; i < disk->n_pending; i++) {
		const struct trace_call *call = trace_at(disk->pending[i]);

		if (call->file == file && disk->forgetful && disk->pending[i] % FORGOTTEN == 0)
			continue;
		if (call->file == file)
			apply(&disk->files[file], call);
		else
			disk->pending[left++] = disk->pending[i];
	}
	disk->n_pending = left;
}

static void change_name(struct names *names, const struct trace_call *call)
{
	int *file = names->file[call->folder];

	if (call->kind == TRACE_RENAME) {
		file[call->to] = file[call->name];
		file[call->name] = NO_FILE;
	} else {
		file[call->name] = call->kind == TRACE_MAKE ? call->file : NO_FILE;
	}
}

static void sync_folder(struct disk *disk, int folder)
{
	size_t left = 0;

	for (size_t i = 0; i < disk->n_renames; i++) {
		if (trace_at(disk->renames[i])->folder == folder)
			change_name(&disk->synced, trace_at(disk->renames[i]));
		else
			disk->renames[left++] = disk->renames[i];
	}
	disk->n_renames = left;
}

/* Pending writes to what has no name any more, and can get none back, are nobody's. */
static void drop_nameless(struct disk *disk)
{
	size_t left = 0;

	for (size_t i = 0; i < disk->n_pending; i++) {
		const int file = trace_at(disk->pending[i])->file;
		bool named = false;

		for (int f = 0; f < TRACE_FOLDERS; f++)
			for (int k = 0; k < TRACE_NAMES; k++)
				named = named || disk->synced.file[f][k] == file || disk->now.file[f][k] == file;
		if (named)
			disk->pending[left++] = disk->pending[i];
	}
	disk->n_pending = left;
}

static void one(struct disk *disk, size_t i)
{
	const struct trace_call *call = trace_at(i);

	if (call->kind == TRACE_MAKE && (size_t)call->file >= disk->n_files) {
		disk->files = realloc(disk->files, ((size_t)call->file + 1) * sizeof *disk->files);
		if (!disk->files)
			abort();
		memset(disk->files + disk->n_files, 0, ((size_t)call->file + 1 - disk->n_files) * sizeof *disk->files);
		disk->n_files = (size_t)call->file + 1;
	}
	switch (call->kind) {
	case TRACE_WRITE:
	case TRACE_CUT:
		if (call->durable) {
			apply(&disk->files[call->file], call);
			return;
		}
		disk->pending = grow(disk->pending, disk->n_pending, &disk->pending_room, sizeof *disk->pending);
		disk->pending[disk->n_pending++] = i;
		return;
	case TRACE_SYNC:
		sync_file(disk, call->file);
		return;
	case TRACE_FOLDER:
		sync_folder(disk, call->folder);
		drop_nameless(disk);
		return;
	case TRACE_MAKE:
	case TRACE_RENAME:
	case TRACE_REMOVE:
		change_name(&disk->now, call);
		disk->renames = grow(disk->renames, disk->n_renames, &disk->renames_room, sizeof *disk->renames);
		disk->renames[disk->n_renames++] = i;
		return;
	}
}

void disk_advance(struct disk *disk, size_t n)
{
	assert(n >= disk->n);
	while (disk->n < n)
		one(disk, disk->n++);
}

size_t disk_pending(const struct disk *disk)
{
	return disk->n_pending;
}

size_t disk_pending_names(const struct disk *disk)
{
	return disk->n_renames;
}

size_t disk_pending_size(const struct disk *disk, size_t i, uint64_t *ret_at)
{
	const struct trace_call *call = trace_at(disk->pending[i]);

	*ret_at = call->at;
	return call->kind == TRACE_WRITE ? call->n : 0;
}

/* --- a crash ------------------------------------------------------------------------------------------------------------------ */

static void all_of(int fd, const uint8_t *bytes, size_t n, uint64_t at)
{
	if (n && pwrite(fd, bytes, n, (off_t)at) != (ssize_t)n)
		abort();
}

/* One of the kept writes, or what is left of it. */
static void leave_write(int fd, const struct trace_call *call, const struct crash *crash, bool torn)
{
	if (call->kind == TRACE_CUT) {
		if (ftruncate(fd, (off_t)call->at) != 0)
			abort();
	} else if (!torn) {
		all_of(fd, call->bytes, call->n, call->at);
	} else if (crash->torn_end) {
		all_of(fd, call->bytes + call->n - crash->torn_bytes, crash->torn_bytes, call->at + call->n - crash->torn_bytes);
	} else {
		all_of(fd, call->bytes, crash->torn_bytes, call->at);
	}
}

static void leave_file(const struct disk *disk, const struct crash *crash, int file, const char *path)
{
	const int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0)
		abort();
	all_of(fd, disk->files[file].bytes, disk->files[file].n, 0);
	for (size_t i = 0; i < disk->n_pending; i++) {
		const struct trace_call *call = trace_at(disk->pending[i]);

		if (call->file == file && (i == crash->torn || crash->kept[i]))
			leave_write(fd, call, crash, i == crash->torn);
	}
	(void)close(fd); /* written through; nothing is buffered */
}

void disk_leave(const struct disk *disk, const struct crash *crash, const char *const folders[TRACE_FOLDERS])
{
	static const char *const file_names[TRACE_NAMES] = { "data.mdb", "data.mdb.part", "owner.lock" };
	struct names names = disk->synced;

	for (size_t i = 0; i < crash->names; i++)
		change_name(&names, trace_at(disk->renames[i]));
	for (int f = 0; f < TRACE_FOLDERS; f++)
		for (int k = 0; k < TRACE_NAMES; k++) {
			char path[PATH_ROOM];

			(void)snprintf(path, sizeof path, "%s/%s", folders[f], file_names[k]); /* fits */
			if (names.file[f][k] != NO_FILE)
				leave_file(disk, crash, names.file[f][k], path);
			else if (unlink(path) != 0 && errno != ENOENT)
				abort();
		}
}
