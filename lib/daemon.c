#include "lib/daemon.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* --- command line --------------------------------------------------------------------------------------------------- */

/* -n, -v and -nv: letters of one switch or of two. False: some other letter. */
static bool take_letters(const char *letters, struct daemon_args *args)
{
	if (!*letters)
		return false;
	for (; *letters; letters++)
		if (*letters == 'n')
			args->check = true;
		else if (*letters == 'v')
			args->print = true;
		else
			return false;
	return true;
}

enum daemon_todo daemon_args(int argc, char **argv, const char *help, struct daemon_args *ret_args, const char **ret_message)
{
	struct daemon_args args = { 0 };

	for (int i = 1; i < argc; i++) {
		const char *arg = argv[i];

		if (!strcmp(arg, "--help") || !strcmp(arg, "-h")) {
			*ret_message = help;
			return DAEMON_DONE;
		}
		if (!strcmp(arg, "--version")) {
			*ret_message = "reentry " REENTRY_VERSION "\n";
			return DAEMON_DONE;
		}
		if (!strcmp(arg, "-c") && i + 1 < argc)
			args.conf = argv[++i];
		else if (!strncmp(arg, "-c", 2) && arg[2])
			args.conf = arg + 2;
		else if (*arg != '-' || !take_letters(arg + 1, &args)) {
			*ret_message = "wrong usage: -c FILE [-n | -nv], --help or --version";
			return DAEMON_USAGE;
		}
	}
	if (!args.conf || (args.print && !args.check)) {
		*ret_message = args.conf ? "wrong usage: -v goes with -n" : "wrong usage: -c FILE is missing";
		return DAEMON_USAGE;
	}
	*ret_args = args;
	return args.check ? DAEMON_CHECK : DAEMON_RUN;
}

/* --- the process ---------------------------------------------------------------------------------------------------- */

static int open_standard_fds(struct err *err)
{
	for (int fd = 0; fd <= 2; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd ? O_WRONLY : O_RDONLY) != fd)
			return err_errno(err, ERR_IO, "opening /dev/null in place of descriptor %d failed", fd);
	return OK;
}

static int raise_fds(unsigned fds_min, struct err *err)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return err_errno(err, ERR_IO, "reading the limit of open files failed");
	limit.rlim_cur = limit.rlim_max;
	if (limit.rlim_max < fds_min)
		return err_set(err, ERR_INVALID, "only %lu files may be open, %u are needed: raise LimitNOFILE= of the unit, or ulimit -Hn",
		               (unsigned long)limit.rlim_max, fds_min);
	if (setrlimit(RLIMIT_NOFILE, &limit))
		return err_errno(err, ERR_IO, "raising the limit of open files failed");
	return OK;
}

int daemon_start(unsigned fds_min, struct err *err)
{
	const struct rlimit no_core = { 0, 0 };
	int rc = open_standard_fds(err);

	if (rc)
		return rc;
	daemon_keep_memory();
	(void)umask(077);
	if (signal(SIGPIPE, SIG_IGN) == SIG_ERR)
		return err_errno(err, ERR_IO, "ignoring SIGPIPE failed");
	if (setrlimit(RLIMIT_CORE, &no_core) || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0))
		return err_errno(err, ERR_IO, "switching core dumps off failed");
	return raise_fds(fds_min, err);
}

/* Naming one threshold ends malloc's own adjusting of both. A block of MAPPED or more is mapped by itself and goes as a whole: our messages are shorter, and the longest that an agent may send is rare. */
#define MAPPED (2 << 20)

void daemon_keep_memory(void)
{
	(void)mallopt(M_MMAP_THRESHOLD, MAPPED); /* both are within their bounds */
	(void)mallopt(M_TRIM_THRESHOLD, DAEMON_KEPT);
}

void daemon_release_memory(void)
{
	(void)malloc_trim(0); /* whether there was anything */
}

int daemon_fds(unsigned *ret_open, unsigned *ret_max)
{
	struct rlimit limit;
	unsigned n = 0;
	DIR *dir;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return ERR_IO;
	dir = opendir("/proc/self/fd");
	if (!dir)
		return ERR_IO;
	while (readdir(dir))
		n++;
	(void)closedir(dir);  /* only read */
	*ret_open = n > 3 ? n - 3 : 0;  /* without ".", ".." and the folder's own */
	*ret_max = limit.rlim_cur > UINT_MAX ? UINT_MAX : (unsigned)limit.rlim_cur;
	return OK;
}

/* --- files ---------------------------------------------------------------------------------------------------------- */

static pid_t holder_of(int fd)
{
	char text[32];
	ssize_t n = pread(fd, text, sizeof text - 1, 0);

	if (n <= 0)
		return 0;
	text[n] = 0;
	return (pid_t)strtol(text, NULL, 10);
}

int daemon_lock(const char *path, int *ret_fd, struct err *err)
{
	struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	char text[32];
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	int n;

	if (fd < 0)
		return err_errno(err, ERR_IO, "%s: cannot be opened; its folder must belong to the user that runs this, and no other user's daemon may have used it", path);
	if (fcntl(fd, F_OFD_SETLK, &whole)) {
		const pid_t holder = holder_of(fd);

		(void)close(fd); /* nothing was written */
		return err_set(err, ERR_BUSY, "%s: process %ld is running already; stop it first", path, (long)holder);
	}
	n = snprintf(text, sizeof text, "%ld\n", (long)getpid());
	if (ftruncate(fd, 0) || pwrite(fd, text, (size_t)n, 0) != n) {
		err_errno(err, ERR_IO, "%s: writing the pid file failed", path);
		(void)close(fd); /* the error is told already */
		return ERR_IO;
	}
	*ret_fd = fd;
	return OK;
}

static int sync_folder_of(const char *path)
{
	char folder[PATH_MAX];
	const char *slash = strrchr(path, '/');
	int fd, rc;

	if (slash && (size_t)(slash - path) >= sizeof folder)
		return -1;
	(void)snprintf(folder, sizeof folder, "%.*s", !slash || slash == path ? 1 : (int)(slash - path), slash ? path : "."); /* checked above */
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	rc = fsync(fd);
	(void)close(fd); /* only read */
	return rc;
}

static int write_all(int fd, const uint8_t *bytes, size_t n)
{
	while (n) {
		const ssize_t done = write(fd, bytes, n);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return -1;
		bytes += done;
		n -= (size_t)done;
	}
	return fsync(fd);
}

int daemon_write_file(const char *path, const void *bytes, size_t n, struct err *err)
{
	char draft[PATH_MAX];
	const int length = snprintf(draft, sizeof draft, "%s.%ld.new", path, (long)getpid());
	int fd, rc;

	if (length < 0 || (size_t)length >= sizeof draft)
		return err_set(err, ERR_INVALID, "%s: the path is too long", path);
	fd = open(draft, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_errno(err, ERR_IO, "%s: making the file failed", draft);
	rc = write_all(fd, bytes, n);
	if (close(fd) || rc || rename(draft, path) || sync_folder_of(path)) {
		err_errno(err, errno == ENOSPC || errno == EDQUOT ? ERR_FULL : ERR_IO, "%s: writing the file failed", path);
		(void)unlink(draft); /* gone already if it was the folder's sync */
		return errno == ENOSPC || errno == EDQUOT ? ERR_FULL : ERR_IO;
	}
	return OK;
}

int daemon_mkdir(const char *path, struct err *err)
{
	char part[PATH_MAX];
	struct stat st;
	const size_t n = strlen(path);

	if (n == 0 || n >= sizeof part)
		return err_set(err, ERR_INVALID, "%s: not a usable path of a folder", path);
	memcpy(part, path, n + 1);
	for (char *at = part + 1;; at++) {
		const char was = *at;

		if (was != '/' && was)
			continue;
		*at = 0;
		if (mkdir(part, 0700) && errno != EEXIST)
			return err_errno(err, ERR_IO, "%s: making the folder failed", part);
		*at = was;
		if (!was)
			break;
	}
	if (stat(path, &st) || !S_ISDIR(st.st_mode))
		return err_set(err, ERR_INVALID, "%s: is not a folder; move it out of the way", path);
	return OK;
}

/* --- systemd -------------------------------------------------------------------------------------------------------- */

int daemon_notify(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	size_t n;
	ssize_t sent;
	int fd;

	if (!path || !*path)
		return OK;
	n = strlen(path);
	if ((*path != '/' && *path != '@') || n >= sizeof address.sun_path)
		return ERR_INVALID;
	memcpy(address.sun_path, path, n);
	if (*path == '@')
		address.sun_path[0] = 0; /* the abstract name space */
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return ERR_IO;
	sent = sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&address,
	              (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n));
	(void)close(fd); /* the datagram is away or not */
	return sent < 0 ? ERR_IO : OK;
}

int64_t daemon_watchdog_ms(void)
{
	const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
	char *end;
	long long period;

	if (!usec || (pid && strtol(pid, NULL, 10) != (long)getpid()))
		return 0;
	errno = 0;
	period = strtoll(usec, &end, 10);
	if (errno || *end || period <= 0)
		return 0;
	return period / 2000 ? period / 2000 : 1;
}

#ifdef REENTRY_FAULTS
bool daemon_fault(const char *name)
{
	const char *wanted = getenv("REENTRY_FAULT");

	return wanted && !strcmp(wanted, name);
}
#endif
