/* LD_PRELOAD: makes the n-th call of one kind fail. Which, when and with what is said by whoever holds the other end of a shared page (tests/faults/shim.py), so that a
 * daemon runs unharmed up to the moment that is to be looked at. Only the calls that libzmq, LMDB and we really make are here; docs/reliability.md has the list. */
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "tests/faults/shim_open.h"

enum op { NO_OP, PWRITE, WRITEV, WRITE, SYNC, OPEN, RENAME, ALLOC, SEND, MAP, OPS };

#define FRAMES 40
#define NAME_SIZE 64

/* Its layout is known to tests/faults/shim.py. */
struct page {
	uint32_t op;                 /* written last: from then on calls count */
	uint32_t at;                 /* the call of that kind that fails, from 1 */
	uint32_t times;              /* how many in a row fail */
	int32_t error;
	uint32_t cut;                /* a write is not refused but carried out in half */
	uint32_t lie;                /* a sync is not carried out, and says that it was */
	uint32_t fired;
	uint32_t calls;              /* of that kind since it was armed */
	char by[NAME_SIZE];          /* the library or program whose call failed */
};

static struct page *page;
static char where_path[PATH_MAX];

/* The first frame above those libraries that hand an error on to whoever called them. */
static void note_caller(void)
{
	void *frames[FRAMES];
	const int n = backtrace(frames, FRAMES);
	const int fd = (int)syscall(SYS_openat, AT_FDCWD, where_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd >= 0) {
		backtrace_symbols_fd(frames, n, fd);
		(void)close(fd);
	}
	for (int i = 0; i < n; i++) {
		Dl_info info;
		const char *name;

		if (!dladdr(frames[i], &info) || !info.dli_fname)
			continue;
		name = strrchr(info.dli_fname, '/');
		name = name ? name + 1 : info.dli_fname;
		if (strstr(name, "shim_fault") || !strncmp(name, "libc.so", 7) || !strncmp(name, "ld-linux", 8) || !strncmp(name, "libstdc++", 9) || !strncmp(name, "libsodium", 9))
			continue;
		(void)strncpy(page->by, name, sizeof page->by - 1); /* zeroed when it was armed */
		return;
	}
}

/* Whether this call is to fail; errno is set then. */
static bool hit(enum op op)
{
	static __thread bool inside;
	uint32_t call;

	if (!page || inside || __atomic_load_n(&page->op, __ATOMIC_ACQUIRE) != op)
		return false;
	call = __atomic_add_fetch(&page->calls, 1, __ATOMIC_RELAXED);
	if (call < page->at || call - page->at >= page->times)
		return false;
	inside = true;
	note_caller();
	inside = false;
	__atomic_store_n(&page->fired, 1, __ATOMIC_RELEASE);
	errno = page->error;
	return true;
}

__attribute__((constructor)) static void attach(void)
{
	const char *path = getenv("REENTRY_SHIM");
	void *frames[FRAMES], *map;
	int fd;

	if (!path || strlen(path) + sizeof ".where" > sizeof where_path)
		return;
	(void)strcat(strcpy(where_path, path), ".where"); /* fits */
	(void)backtrace(frames, FRAMES); /* loads what it needs now, not within an allocation */
	fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC, 0);
	map = fd < 0 ? MAP_FAILED : (void *)syscall(SYS_mmap, NULL, sizeof *page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (fd >= 0)
		(void)close(fd);
	if (map == MAP_FAILED)
		abort(); /* a run without faults would prove nothing */
	page = map;
}

/* --- files ----------------------------------------------------------------------------------------------------------------- */

static bool regular(int fd)
{
	struct stat state;

	return fd > STDERR_FILENO && fstat(fd, &state) == 0 && S_ISREG(state.st_mode);
}

ssize_t pwrite(int fd, const void *bytes, size_t n, off_t at)
{
	if (!hit(PWRITE))
		return syscall(SYS_pwrite64, fd, bytes, n, at);
	return page->cut ? syscall(SYS_pwrite64, fd, bytes, n / 2, at) : -1;
}

ssize_t write(int fd, const void *bytes, size_t n)
{
	if (!page || page->op != WRITE || !regular(fd) || !hit(WRITE)) /* wake-ups and logs are none of our business */
		return syscall(SYS_write, fd, bytes, n);
	return page->cut ? syscall(SYS_write, fd, bytes, n / 2) : -1;
}

ssize_t writev(int fd, const struct iovec *parts, int n)
{
	if (!hit(WRITEV))
		return syscall(SYS_writev, fd, parts, n);
	return page->cut ? syscall(SYS_write, fd, parts[0].iov_base, parts[0].iov_len / 2) : -1;
}

int fdatasync(int fd)
{
	if (!hit(SYNC))
		return (int)syscall(SYS_fdatasync, fd);
	return page->lie ? 0 : -1;
}

int fsync(int fd)
{
	if (!hit(SYNC))
		return (int)syscall(SYS_fsync, fd);
	return page->lie ? 0 : -1;
}

int syncfs(int fd)
{
	return hit(SYNC) ? -1 : (int)syscall(SYS_syncfs, fd);
}

static int open_any(int folder, const char *path, int flags, mode_t mode)
{
	return hit(OPEN) ? -1 : (int)syscall(SYS_openat, folder, path, flags, mode);
}

SHIM_OPEN(open_any)

int rename(const char *from, const char *to)
{
	return hit(RENAME) ? -1 : (int)syscall(SYS_renameat, AT_FDCWD, from, AT_FDCWD, to);
}

int renameat(int from_folder, const char *from, int to_folder, const char *to)
{
	return hit(RENAME) ? -1 : (int)syscall(SYS_renameat, from_folder, from, to_folder, to);
}

/* --- memory ---------------------------------------------------------------------------------------------------------------- */

/* The C library's own, which it keeps for whoever puts others in their place. */
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *old, size_t n);
void *__libc_memalign(size_t alignment, size_t n);

void *malloc(size_t n)
{
	return hit(ALLOC) ? NULL : __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
	return hit(ALLOC) ? NULL : __libc_calloc(n, size);
}

void *realloc(void *old, size_t n)
{
	return hit(ALLOC) ? NULL : __libc_realloc(old, n);
}

int posix_memalign(void **ret, size_t alignment, size_t n)
{
	void *made = hit(ALLOC) ? NULL : __libc_memalign(alignment, n);

	if (made)
		*ret = made;
	return made ? 0 : ENOMEM;
}

void *mmap(void *address, size_t n, int protection, int flags, int fd, off_t at)
{
	return hit(MAP) ? MAP_FAILED : (void *)syscall(SYS_mmap, address, n, protection, flags, fd, at);
}

/* --- sockets --------------------------------------------------------------------------------------------------------------- */

ssize_t send(int fd, const void *bytes, size_t n, int flags)
{
	return hit(SEND) ? -1 : syscall(SYS_sendto, fd, bytes, n, flags, NULL, 0);
}

ssize_t sendto(int fd, const void *bytes, size_t n, int flags, const struct sockaddr *to, socklen_t to_n)
{
	return hit(SEND) ? -1 : syscall(SYS_sendto, fd, bytes, n, flags, to, to_n);
}
