/* Proves what a daemon owes its machine: its command line, a lock that keeps a second one out, files whole or not at all, closed descriptors, no core dumps, systemd's datagrams. */
#include "lib/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[64];

static int setup(void **state)
{
	(void)state;
	(void)snprintf(folder, sizeof folder, "/tmp/test_daemon.XXXXXX");
	return mkdtemp(folder) ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	return rmdir(folder);
}

static const char *in_folder(const char *name)
{
	static char paths[4][256];
	static int next;
	char *path = paths[next++ % 4];

	(void)snprintf(path, sizeof paths[0], "%s/%s", folder, name);
	return path;
}

static enum daemon_todo args(struct daemon_args *ret, const char *text)
{
	char copy[256], *words[16] = { NULL }, *kept;
	const char *message;
	int n = 0;

	(void)snprintf(copy, sizeof copy, "prog %s", text);
	for (char *word = strtok_r(copy, " ", &kept); word && n < 15; word = strtok_r(NULL, " ", &kept))
		words[n++] = word;
	return daemon_args(n, words, "help", ret, &message);
}

static void the_command_line_is_the_contract(void **state)
{
	static const struct { const char *line; enum daemon_todo todo; bool print; } cases[] = {
		{ "-c x.cfg", DAEMON_RUN, false }, { "-n -c x.cfg", DAEMON_CHECK, false }, { "-nv -c x.cfg", DAEMON_CHECK, true }, { "-c x.cfg -n -v", DAEMON_CHECK, true },
		{ "-cx.cfg", DAEMON_RUN, false }, { "--help", DAEMON_DONE, false }, { "--version", DAEMON_DONE, false }, { "-c x.cfg --help", DAEMON_DONE, false },
		{ "", DAEMON_USAGE, false }, { "-n", DAEMON_USAGE, false }, { "-c", DAEMON_USAGE, false }, { "-v -c x.cfg", DAEMON_USAGE, false },
		{ "-x -c x.cfg", DAEMON_USAGE, false }, { "x.cfg", DAEMON_USAGE, false }, { "-", DAEMON_USAGE, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct daemon_args got = { 0 };

		assert_int_equal(args(&got, cases[i].line), cases[i].todo);
		assert_int_equal(got.print, cases[i].print);
	}
}

static void a_second_process_finds_the_lock_taken(void **state)
{
	struct err err;
	int fd, other, status;
	pid_t child;

	(void)state;
	assert_int_equal(daemon_lock(in_folder("pid"), &fd, &err), OK);
	child = fork();
	if (child == 0) {
		char expected[64];
		const int rc = daemon_lock(in_folder("pid"), &other, &err);

		(void)snprintf(expected, sizeof expected, "process %ld is running already", (long)getppid());
		_exit(rc == ERR_BUSY && strstr(err.text, expected) ? 0 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(close(fd), 0);
	assert_int_equal(daemon_lock(in_folder("pid"), &fd, &err), OK);
	assert_int_equal(close(fd), 0);
	assert_int_equal(unlink(in_folder("pid")), 0);
}

static void a_file_is_written_whole_or_not_at_all(void **state)
{
	struct stat st;
	struct err err;
	char text[16] = "";
	int fd;

	(void)state;
	assert_int_equal(daemon_write_file(in_folder("f"), "first", 5, &err), OK);
	assert_int_equal(daemon_write_file(in_folder("f"), "second", 6, &err), OK);
	assert_int_equal(stat(in_folder("f"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	fd = open(in_folder("f"), O_RDONLY);
	assert_int_equal(read(fd, text, sizeof text), 6);
	assert_memory_equal(text, "second", 6);
	close(fd);
	assert_int_equal(mkdir(in_folder("d"), 0700), 0);
	assert_int_equal(daemon_write_file(in_folder("d"), "x", 1, &err), ERR_IO); /* cannot replace a folder; leaves no draft behind */
	assert_int_equal(rmdir(in_folder("d")), 0);
	assert_int_equal(daemon_write_file(in_folder("none/f"), "x", 1, &err), ERR_IO);
	assert_int_equal(unlink(in_folder("f")), 0);
}

static void folders_are_made_with_their_parents(void **state)
{
	struct stat st;
	struct err err;

	(void)state;
	assert_int_equal(daemon_mkdir(in_folder("a/b/c"), &err), OK);
	assert_int_equal(daemon_mkdir(in_folder("a/b/c"), &err), OK);
	assert_int_equal(stat(in_folder("a/b"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	assert_int_equal(daemon_write_file(in_folder("a/f"), "", 0, &err), OK);
	assert_int_equal(daemon_mkdir(in_folder("a/f"), &err), ERR_INVALID);
	assert_int_equal(daemon_mkdir(in_folder("a/f/g"), &err), ERR_IO);
	assert_int_equal(unlink(in_folder("a/f")), 0);
	assert_int_equal(rmdir(in_folder("a/b/c")) | rmdir(in_folder("a/b")) | rmdir(in_folder("a")), 0);
}

static int started(void)
{
	struct rlimit limit;
	struct err err;

	(void)close(0);
	(void)close(2);
	if (daemon_start(64, &err))
		return 1;
	if (fcntl(0, F_GETFD) < 0 || fcntl(2, F_GETFD) < 0)
		return 2;
	if (getrlimit(RLIMIT_CORE, &limit) || limit.rlim_cur || prctl(PR_GET_DUMPABLE, 0, 0, 0, 0))
		return 3;
	if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur != limit.rlim_max)
		return 4;
	return daemon_start(4000000000u, &err) == ERR_INVALID && strstr(err.text, "LimitNOFILE") ? 0 : 5;
}

static void a_daemon_starts_with_descriptors_open_and_without_core_dumps(void **state)
{
	pid_t child = fork();
	int status;

	(void)state;
	if (child == 0)
		_exit(started());
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

/* Page faults of a burst like the one before it: buffers taken, written and freed. */
static long faults_of_a_burst(void)
{
	enum { BUFFERS = 24, SIZE = 200000 };
	struct rusage before, after;
	char *buffers[BUFFERS];

	(void)getrusage(RUSAGE_SELF, &before); /* valid arguments; so below */
	for (int i = 0; i < BUFFERS; i++)
		if ((buffers[i] = malloc(SIZE)))
			memset(buffers[i], i + 1, SIZE);
	for (int i = 0; i < BUFFERS; i++)
		free(buffers[i]);
	(void)getrusage(RUSAGE_SELF, &after);
	return after.ru_minflt - before.ru_minflt;
}

/* A sanitizer or valgrind has its own, which keeps what it likes. */
static bool malloc_is_the_librarys(void)
{
	const size_t before = mallinfo2().uordblks;
	char *volatile block = malloc(100000);
	const bool counted = mallinfo2().uordblks >= before + 100000;

	free(block);
	return counted;
}

static int keeps_its_memory(void)
{
	struct err err;
	long again = 0, released;

	if (daemon_start(64, &err))
		return 1;
	(void)faults_of_a_burst();
	for (int i = 0; i < 4; i++)
		again += faults_of_a_burst();
	daemon_release_memory();
	released = faults_of_a_burst();
	return again >= 100 ? 2 : released < 500 ? 3 : 0; /* 1,170 pages each, if they are taken anew */
}

static void a_burst_of_messages_takes_the_memory_of_the_one_before(void **state)
{
	pid_t child = fork();
	int status;

	(void)state;
	if (child == 0)
		_exit(malloc_is_the_librarys() ? keeps_its_memory() : 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static void open_descriptors_are_counted(void **state)
{
	unsigned before, after, max;
	int fd;

	(void)state;
	assert_int_equal(daemon_fds(&before, &max), OK);
	fd = open("/dev/null", O_RDONLY);
	assert_int_equal(daemon_fds(&after, &max), OK);
	assert_int_equal(after, before + 1);
	assert_true(max >= after);
	close(fd);
}

static void systemd_is_told_and_asked(void **state)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	char text[64] = "", pid[32];
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

	(void)state;
	unsetenv("NOTIFY_SOCKET");
	assert_int_equal(daemon_notify("READY=1"), OK);
	(void)snprintf(address.sun_path, sizeof address.sun_path, "%s", in_folder("notify"));
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
	setenv("NOTIFY_SOCKET", address.sun_path, 1);
	assert_int_equal(daemon_notify("READY=1"), OK);
	assert_int_equal(recv(fd, text, sizeof text - 1, 0), 7);
	assert_string_equal(text, "READY=1");
	close(fd);
	assert_int_equal(unlink(address.sun_path), 0);
	assert_int_equal(daemon_notify("READY=1"), ERR_IO);
	setenv("NOTIFY_SOCKET", "relative", 1);
	assert_int_equal(daemon_notify("READY=1"), ERR_INVALID);
	unsetenv("NOTIFY_SOCKET");
	assert_int_equal(daemon_watchdog_ms(), 0);
	setenv("WATCHDOG_USEC", "20000000", 1);
	assert_int_equal(daemon_watchdog_ms(), 10000);
	setenv("WATCHDOG_PID", "1", 1);
	assert_int_equal(daemon_watchdog_ms(), 0);
	(void)snprintf(pid, sizeof pid, "%ld", (long)getpid());
	setenv("WATCHDOG_PID", pid, 1);
	assert_int_equal(daemon_watchdog_ms(), 10000);
	setenv("WATCHDOG_USEC", "often", 1);
	assert_int_equal(daemon_watchdog_ms(), 0);
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_command_line_is_the_contract),
		cmocka_unit_test_setup_teardown(a_second_process_finds_the_lock_taken, setup, teardown),
		cmocka_unit_test_setup_teardown(a_file_is_written_whole_or_not_at_all, setup, teardown),
		cmocka_unit_test_setup_teardown(folders_are_made_with_their_parents, setup, teardown),
		cmocka_unit_test(a_daemon_starts_with_descriptors_open_and_without_core_dumps),
		cmocka_unit_test(a_burst_of_messages_takes_the_memory_of_the_one_before),
		cmocka_unit_test(open_descriptors_are_counted),
		cmocka_unit_test_setup_teardown(systemd_is_told_and_asked, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
