#include "lib/db_folder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "lib/db.h"

/* Of statfs(2) and linux/magic.h. A shared or remote file system breaks what LMDB relies on: coherent maps, locks that die with their process, and a sync that means the disk. */
static const struct { uint32_t type; const char *name; } network_types[] = {
	{ 0x6969, "NFS" },          { 0x517B, "SMB" },         { 0xFF534D42, "CIFS" },      { 0xFE534D42, "SMB2" },  { 0x65735546, "FUSE" },
	{ 0x01021997, "9p" },       { 0x5346414F, "AFS" },     { 0x6B414653, "kAFS" },      { 0x73757245, "Coda" },  { 0x00C36400, "Ceph" },
	{ 0x0BD00BD0, "Lustre" },   { 0x7461636F, "OCFS2" },   { 0x01161970, "GFS2" },      { 0x564C, "NCP" },       { 0x47504653, "GPFS" },
	{ 0x19830326, "BeeGFS" },   { 0xAAD7AAEA, "PanFS" },   { 0x786F4256, "vboxsf" },    { 0xBACBACBC, "VMHGFS" }, { 0x013111A8, "IBRIX" },
};

const char *db_network_file_system(uint64_t type)
{
	/* f_type is signed on some machines: only 32 bits of it say anything */
	for (size_t i = 0; i < sizeof network_types / sizeof *network_types; i++)
		if (network_types[i].type == (uint32_t)type)
			return network_types[i].name;
	return NULL;
}

int db_folder_sync(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int error, saved;

	if (fd < 0)
		return ERR_IO;
	error = fsync(fd) == 0 ? OK : ERR_IO;
	saved = errno;
	(void)close(fd); /* nothing was written through it */
	errno = saved;
	return error;
}

int db_folder_make(const char *path, struct err *err)
{
	char *parent;
	int error;

	if (mkdir(path, 0700) != 0)
		return errno == EEXIST ? OK : err_errno(err, errno == EACCES ? ERR_DENIED : ERR_IO, "cannot make the folder %s", path);
	if (asprintf(&parent, "%s/..", path) < 0)
		return err_set(err, ERR_NOMEM, "no memory");
	error = db_folder_sync(parent) == OK ? OK : err_errno(err, ERR_IO, "cannot sync the folder above %s", path);
	free(parent);
	return error;
}

static int check_file_system(const struct db_folder *folder, struct err *err)
{
	struct statfs state;
	const char *name;

	if (fstatfs(folder->fd, &state) != 0)
		return err_errno(err, ERR_IO, "cannot find out on which file system %s lies", folder->path);
	name = db_network_file_system((uint64_t)state.f_type);
	if (name != NULL)
		return err_set(err, ERR_INVALID, "%s lies on %s: a store needs a disk of this machine, move it there", folder->path, name);
	return OK;
}

#define OWNER_FORMAT "pid %10ld made %d\n" /* of constant length: a later writer leaves nothing of an earlier one */
#define OWNER_SIZE 22

/* Who wrote that last; 0, false for an empty or strange file. */
static void read_owner(int fd, long *ret_pid, bool *ret_made)
{
	char text[OWNER_SIZE + 1] = "", again[64];

	*ret_pid = 0;
	*ret_made = false;
	if (pread(fd, text, OWNER_SIZE, 0) != OWNER_SIZE)
		return;
	*ret_pid = strtol(text + 4, NULL, 10);
	*ret_made = text[OWNER_SIZE - 2] == '1';
	(void)snprintf(again, sizeof again, OWNER_FORMAT, *ret_pid, *ret_made); /* longer when the number is: then not the same */
	if (strcmp(text, again) != 0) {
		*ret_pid = 0;
		*ret_made = false;
	}
}

static int write_owner(int fd, bool made)
{
	char text[64];

	(void)snprintf(text, sizeof text, OWNER_FORMAT, (long)getpid(), made); /* OWNER_SIZE long */
	return pwrite(fd, text, OWNER_SIZE, 0) == OWNER_SIZE ? OK : ERR_IO;
}

static int lock_folder(struct db_folder *folder, struct err *err)
{
	struct flock lock = { .l_type = folder->read_only ? F_RDLCK : F_WRLCK, .l_whence = SEEK_SET };
	long pid;

	folder->owner_fd = openat(folder->fd, DB_OWNER, (folder->read_only ? O_RDONLY : O_RDWR | O_CREAT) | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (folder->owner_fd < 0) {
		/* a backup, or a store on a read-only medium: there is no writer to keep out */
		if (folder->read_only && errno == ENOENT)
			return OK;
		return err_errno(err, errno == EACCES || errno == EPERM ? ERR_DENIED : ERR_IO, "cannot open %s/" DB_OWNER, folder->path);
	}
	read_owner(folder->owner_fd, &pid, &folder->was_made);
	if (fcntl(folder->owner_fd, F_OFD_SETLK, &lock) == 0)
		return OK;
	if (errno != EAGAIN && errno != EACCES)
		return err_errno(err, ERR_IO, "cannot lock %s/" DB_OWNER, folder->path);
	if (folder->read_only || pid == 0)
		return err_set(err, ERR_BUSY, "the store %s is in use by another process (it was opened last by process %ld): stop that first", folder->path, pid);
	return err_set(err, ERR_BUSY, "the store %s is in use by process %ld: stop that first", folder->path, pid);
}

/* LMDB takes a file that is missing or empty for a new store. Where one was made before, that is a loss, and starting anew over it would hide it. */
static int check_file(struct db_folder *folder, struct err *err)
{
	struct stat state;
	bool there = fstatat(folder->fd, DB_FILE, &state, 0) == 0;

	if (!there && errno != ENOENT)
		return err_errno(err, ERR_IO, "cannot look at %s/" DB_FILE, folder->path);
	if (there && state.st_size > 0)
		return OK;
	if (folder->was_made)
		return err_set(err, ERR_CORRUPT, "the store %s has lost its file " DB_FILE ": restore a backup, or remove the whole folder to begin with an empty store", folder->path);
	if (folder->read_only)
		return err_set(err, ERR_NOTFOUND, "there is no store in %s", folder->path);
	folder->empty = true;
	return OK;
}

int db_folder_open(struct db_folder *folder, const char *path, bool read_only, struct err *err)
{
	int error = OK;

	*folder = (struct db_folder){ .fd = -1, .owner_fd = -1, .read_only = read_only };
	folder->path = strdup(path);
	if (folder->path == NULL)
		return err_set(err, ERR_NOMEM, "no memory");
	if (!read_only)
		error = db_folder_make(path, err);
	if (error != OK)
		return error;
	folder->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (folder->fd < 0)
		return err_errno(err, errno == ENOENT ? ERR_NOTFOUND : errno == EACCES ? ERR_DENIED : ERR_IO, "cannot open the folder %s", path);
	error = check_file_system(folder, err);
	if (error == OK)
		error = lock_folder(folder, err);
	if (error == OK)
		error = check_file(folder, err);
	if (error == OK && !read_only && unlinkat(folder->fd, DB_FILE_PART, 0) != 0 && errno != ENOENT)
		error = err_errno(err, ERR_IO, "cannot remove the unfinished copy %s/" DB_FILE_PART, path);
	return error;
}

int db_folder_made(struct db_folder *folder, bool sync, struct err *err)
{
	if (folder->read_only)
		return OK;
	if (write_owner(folder->owner_fd, true) != OK)
		return err_errno(err, ERR_IO, "cannot write %s/" DB_OWNER, folder->path);
	/* the names of the new files are no safer than their folder */
	if (!folder->was_made && sync && (fdatasync(folder->owner_fd) != 0 || fsync(folder->fd) != 0))
		return err_errno(err, ERR_IO, "cannot sync the folder %s", folder->path);
	folder->was_made = true;
	return OK;
}

void db_folder_release(struct db_folder *folder)
{
	if (folder->owner_fd >= 0)
		(void)close(folder->owner_fd); /* lets go of the lock; what was written there is only for people */
	if (folder->fd >= 0)
		(void)close(folder->fd);
	free(folder->path);
	*folder = (struct db_folder){ .fd = -1, .owner_fd = -1 };
}

uint64_t db_folder_free_bytes(const struct db_folder *folder)
{
	struct statvfs state;
	uint64_t blocks;

	if (fstatvfs(folder->fd, &state) != 0)
		return 0;
	blocks = geteuid() == 0 ? state.f_bfree : state.f_bavail; /* the last blocks of a file system are root's */
	return blocks * (uint64_t)state.f_frsize;
}

#define PROBE "probe.tmp"
#define PROBE_BYTES ((size_t)256 << 10)  /* what LMDB writes at a time: 64 pages */

bool db_folder_is_full(const struct db_folder *folder)
{
	static const uint8_t piece[4096];
	int fd = openat(folder->fd, PROBE, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	int error = fd < 0 ? errno : 0;

	for (size_t done = 0; fd >= 0 && error == 0 && done < PROBE_BYTES; done += sizeof piece) {
		ssize_t got = write(fd, piece, sizeof piece);

		if (got != (ssize_t)sizeof piece)
			error = got < 0 ? errno : ENOSPC;
	}
	if (fd >= 0) {
		(void)close(fd); /* nothing that was written there counts */
		(void)unlinkat(folder->fd, PROBE, 0);
	}
	return error == ENOSPC || error == EDQUOT;
}
