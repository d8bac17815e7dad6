/* The calls of this process, as they are made. The definitions here come before the C library's, also for LMDB. */
#include "tests/faults/trace.h"
#include "tests/faults/shim_open.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#define FDS 1024
#define FILES 4096
#define PATH_ROOM 512

static const char *const names[TRACE_NAMES] = { "data.mdb", "data.mdb.part", "owner.lock" };

static struct {
	bool on, ignore_syncs;
	char folders[TRACE_FOLDERS][PATH_ROOM];
	struct trace_call *calls; size_t n, room;
	ino_t inodes[FILES]; int n_files;
	struct { int file; int folder; bool durable; } fds[FDS];   /* number + 1; 0: none */
} trace;

/* --- keeping ---------------------------------------------------------------------------------------------------------------- */

static struct trace_call *add(enum trace_kind kind)
{
	if (trace.n == trace.room) {
		trace.room = trace.room ? trace.room * 2 : 4096;
		trace.calls = realloc(trace.calls, trace.room * sizeof *trace.calls);
		if (!trace.calls)
			abort(); /* here and below: a trace with a hole proves nothing */
	}
	trace.calls[trace.n] = (struct trace_call){ .kind = kind, .file = -1, .folder = -1 };
	return &trace.calls[trace.n++];
}

static void add_write(int fd, uint64_t at, const void *bytes, size_t n)
{
	struct trace_call *call = add(TRACE_WRITE);

	call->file = trace.fds[fd].file - 1;
	call->durable = trace.fds[fd].durable && !trace.ignore_syncs;
	call->at = at;
	call->n = n;
	call->bytes = malloc(n ? n : 1);
	if (!call->bytes)
		abort();
	memcpy(call->bytes, bytes, n);
}

static bool known(int fd)
{
	return trace.on && fd >= 0 && fd < FDS && trace.fds[fd].file;
}

/* Which folder and name a path is, if it is one of ours. at: a descriptor, or AT_FDCWD. */
static bool find(int at, const char *path, int *ret_folder, enum trace_name *ret_name)
{
	const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
	int folder = -1;

	if (!slash)
		folder = at >= 0 && at < FDS ? trace.fds[at].folder - 1 : -1;
	for (int i = 0; slash && i < TRACE_FOLDERS; i++)
		if (strlen(trace.folders[i]) == (size_t)(slash - path) && !memcmp(trace.folders[i], path, (size_t)(slash - path)))
			folder = i;
	for (int i = 0; folder >= 0 && i < TRACE_NAMES; i++)
		if (!strcmp(base, names[i])) {
			*ret_folder = folder;
			*ret_name = (enum trace_name)i;
			return true;
		}
	return false;
}

static void note_open(int fd, int at, const char *path, int flags)
{
	enum trace_name name;
	struct stat state;
	int folder, file;

	if (fd < 0 || fd >= FDS)
		return;
	trace.fds[fd].file = trace.fds[fd].folder = 0;
	for (int i = 0; i < TRACE_FOLDERS; i++)
		if (!strcmp(path, trace.folders[i]))
			trace.fds[fd].folder = i + 1;
	if (!find(at, path, &folder, &name) || fstat(fd, &state) != 0)
		return;
	for (file = trace.n_files - 1; file >= 0 && trace.inodes[file] != state.st_ino; file--)
		;
	if (file < 0) {
		assert(trace.n_files < FILES);
		file = trace.n_files++;
		trace.inodes[file] = state.st_ino;
		*add(TRACE_MAKE) = (struct trace_call){ .kind = TRACE_MAKE, .file = file, .folder = folder, .name = name };
	}
	trace.fds[fd].file = file + 1;
	trace.fds[fd].durable = (flags & O_DSYNC) != 0;
}

static void forget_inode(int folder, enum trace_name name)
{
	char path[PATH_ROOM + 32];
	struct stat state;

	(void)snprintf(path, sizeof path, "%s/%s", trace.folders[folder], names[name]);
	for (int i = 0; stat(path, &state) == 0 && i < trace.n_files; i++)
		if (trace.inodes[i] == state.st_ino)
			trace.inodes[i] = 0; /* the number may be given to another file */
}

void trace_begin(const char *const folders[TRACE_FOLDERS])
{
	for (int i = 0; i < TRACE_FOLDERS; i++)
		(void)snprintf(trace.folders[i], sizeof trace.folders[i], "%s", folders[i]);
	trace.on = true;
}

void trace_end(void)
{
	trace.on = false;
}

void trace_free(void)
{
	for (size_t i = 0; i < trace.n; i++)
		free(trace.calls[i].bytes);
	free(trace.calls);
	memset(&trace, 0, sizeof trace);
}

size_t trace_n(void)
{
	return trace.n;
}

const struct trace_call *trace_at(size_t i)
{
	return &trace.calls[i];
}

void trace_ignore_syncs(bool ignore)
{
	trace.ignore_syncs = ignore;
}

/* --- the calls -------------------------------------------------------------------------------------------------------------- */

ssize_t pwrite(int fd, const void *bytes, size_t n, off_t at)
{
	const ssize_t got = syscall(SYS_pwrite64, fd, bytes, n, at);

	if (got > 0 && known(fd))
		add_write(fd, (uint64_t)at, bytes, (size_t)got);
	return got;
}

ssize_t writev(int fd, const struct iovec *parts, int n)
{
	const off_t at = known(fd) ? lseek(fd, 0, SEEK_CUR) : 0;
	const ssize_t got = syscall(SYS_writev, fd, parts, n);
	size_t left = got > 0 && known(fd) ? (size_t)got : 0;
	uint64_t place = (uint64_t)at;

	for (int i = 0; left > 0; i++) { /* one call, but a disk may take each page by itself */
		const size_t size = parts[i].iov_len < left ? parts[i].iov_len : left;

		add_write(fd, place, parts[i].iov_base, size);
		place += size;
		left -= size;
	}
	return got;
}

static void note_sync(int fd)
{
	if (!trace.on || fd < 0 || fd >= FDS || trace.ignore_syncs)
		return;
	if (trace.fds[fd].file)
		add(TRACE_SYNC)->file = trace.fds[fd].file - 1;
	else if (trace.fds[fd].folder)
		add(TRACE_FOLDER)->folder = trace.fds[fd].folder - 1;
}

/* The real disk is spared: what counts is the order, and that nothing was said to have gone wrong. */
int fdatasync(int fd)
{
	note_sync(fd);
	return 0;
}

int fsync(int fd)
{
	note_sync(fd);
	return 0;
}

int ftruncate(int fd, off_t length)
{
	const int rc = (int)syscall(SYS_ftruncate, fd, length);

	if (rc == 0 && known(fd)) {
		struct trace_call *call = add(TRACE_CUT);

		call->file = trace.fds[fd].file - 1;
		call->at = (uint64_t)length;
	}
	return rc;
}

static int open_any(int at, const char *path, int flags, mode_t mode)
{
	const int fd = (int)syscall(SYS_openat, at, path, flags & ~O_DSYNC, mode); /* as above: spared */

	if (trace.on)
		note_open(fd, at, path, flags);
	return fd;
}

SHIM_OPEN(open_any)

int renameat(int from_at, const char *from, int to_at, const char *to)
{
	enum trace_name name, to_name;
	int folder, to_folder, rc;

	if (!trace.on || !find(from_at, from, &folder, &name) || !find(to_at, to, &to_folder, &to_name))
		return (int)syscall(SYS_renameat, from_at, from, to_at, to);
	assert(folder == to_folder);
	forget_inode(folder, to_name);
	rc = (int)syscall(SYS_renameat, from_at, from, to_at, to);
	if (rc == 0)
		*add(TRACE_RENAME) = (struct trace_call){ .kind = TRACE_RENAME, .file = -1, .folder = folder, .name = name, .to = to_name };
	return rc;
}

int rename(const char *from, const char *to)
{
	return renameat(AT_FDCWD, from, AT_FDCWD, to);
}

int unlinkat(int at, const char *path, int flags)
{
	enum trace_name name;
	const bool ours = trace.on && flags == 0;
	int folder, rc;

	if (!ours || !find(at, path, &folder, &name))
		return (int)syscall(SYS_unlinkat, at, path, flags);
	forget_inode(folder, name);
	rc = (int)syscall(SYS_unlinkat, at, path, flags);
	if (rc == 0)
		*add(TRACE_REMOVE) = (struct trace_call){ .kind = TRACE_REMOVE, .file = -1, .folder = folder, .name = name };
	return rc;
}

int unlink(const char *path)
{
	return unlinkat(AT_FDCWD, path, 0);
}
