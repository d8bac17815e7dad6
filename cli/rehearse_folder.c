#include "cli/rehearse_folder.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/err.h"

#define NAME "reentry-rehearse-"
#define NAME_SIZE (sizeof NAME - 1 + 6)   /* with what mkdtemp adds */
#define BASE_MAX 200
#define TRIES 16
#define SWEPT_MAX 256                     /* of those that were killed, at one start */

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

/* The lock of a folder of this user that nobody holds, and that is still there: a folder may be removed between its making, or its finding, and the lock. -1: not so. */
static int hold(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat held, there;

	if (fd < 0)
		return -1;
	if (flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &held) == 0 && lstat(path, &there) == 0 && held.st_ino == there.st_ino && held.st_dev == there.st_dev &&
	    held.st_uid == geteuid())
		return fd;
	(void)close(fd); /* nothing was written */
	return -1;
}

void rehearse_folder_remove(struct rehearse_folder *folder)
{
	if (!folder->path[0])
		return;
	(void)nftw(folder->path, remove_one, 8, FTW_DEPTH | FTW_PHYS); /* best effort: it is a temporary folder */
	(void)close(folder->fd);                                       /* and with it the lock */
	folder->path[0] = 0;
}

/* Removes what killed ones left there: nobody holds its lock. */
static void sweep(const char *base)
{
	DIR *dir = opendir(base);
	const struct dirent *entry;

	for (int swept = 0; dir && swept < SWEPT_MAX && (entry = readdir(dir));) {
		struct rehearse_folder left;

		if (strncmp(entry->d_name, NAME, sizeof NAME - 1) != 0 || strlen(entry->d_name) != NAME_SIZE)
			continue;
		(void)snprintf(left.path, sizeof left.path, "%s/%.*s", base, (int)NAME_SIZE, entry->d_name); /* bounded by both */
		left.fd = hold(left.path);
		if (left.fd < 0)
			continue;
		rehearse_folder_remove(&left);
		swept++;
	}
	if (dir)
		(void)closedir(dir); /* nothing to lose */
}

static bool make_in(const char *base, struct rehearse_folder *folder)
{
	for (int i = 0; i < TRIES; i++) {
		(void)snprintf(folder->path, sizeof folder->path, "%s/" NAME "XXXXXX", base); /* bounded by BASE_MAX */
		if (!mkdtemp(folder->path))
			break;
		folder->fd = hold(folder->path);
		if (folder->fd >= 0)
			return true; /* else another rehearsal took it for a killed one's, and removes it */
	}
	folder->path[0] = 0;
	return false;
}

int rehearse_folder_make(struct rehearse_folder *ret_folder)
{
	const char *tmp = getenv("TMPDIR");
	const char *bases[] = { "/dev/shm", tmp && strlen(tmp) < BASE_MAX ? tmp : "/tmp", "/tmp" };

	for (size_t i = 0; i < sizeof bases / sizeof *bases; i++) {
		sweep(bases[i]);
		if (make_in(bases[i], ret_folder))
			return OK;
	}
	return ERR_IO;
}
