#include "tests/bench/host.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/control.h"

#define PATIENCE_MS 60000
#define PATH_ROOM (FOLDER_SIZE + 64)

static void notify_path(const struct host *host, char path[PATH_ROOM])
{
	(void)snprintf(path, PATH_ROOM, "%s/notify", host->country->folder); /* fits */
}

void host_init(struct host *host, const struct country *country, const char *program)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	char path[PATH_ROOM];

	*host = (struct host){ .country = country, .program = program };
	host->notify = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	notify_path(host, path);
	if (strlen(path) >= sizeof address.sun_path)
		stop("%s is too long for a socket: set TMPDIR", path);
	memcpy(address.sun_path, path, strlen(path) + 1);
	if (host->notify < 0 || bind(host->notify, (struct sockaddr *)&address, sizeof address))
		stop("%s cannot be bound", path);
}

static void run_broker(const struct host *host, pid_t parent)
{
	char path[PATH_ROOM], log[PATH_ROOM];
	int fd;

	notify_path(host, path);
	(void)snprintf(log, sizeof log, "%s/broker.log", host->country->folder); /* fits */
	fd = open(log, O_CREAT | O_APPEND | O_WRONLY | O_CLOEXEC, 0600);
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != parent || fd < 0 || dup2(fd, STDERR_FILENO) < 0 || dup2(fd, STDOUT_FILENO) < 0)
		_exit(127);
	if (setenv("NOTIFY_SOCKET", path, 1) == 0)
		(void)execl(host->program, host->program, "-c", host->country->config, (char *)NULL); /* returns only when it failed */
	_exit(127);
}

static void wait_ready(struct host *host)
{
	const double until = now_us() + PATIENCE_MS * 1000.0;
	char text[256];

	for (;;) {
		struct pollfd poll_fd = { .fd = host->notify, .events = POLLIN };
		ssize_t n = poll(&poll_fd, 1, 100) == 1 ? recv(host->notify, text, sizeof text - 1, 0) : 0;

		text[n > 0 ? n : 0] = 0;
		if (!strcmp(text, "READY=1"))
			return;
		if (waitpid(host->pid, NULL, WNOHANG) == host->pid) {
			host->pid = 0;
			stop("the broker ended at its start; see %s/broker.log (KEEP=1 keeps it)", host->country->folder);
		}
		if (now_us() > until)
			stop("the broker was not ready after %d s", PATIENCE_MS / 1000);
	}
}

static void read_endpoint(struct host *host)
{
	char path[PATH_ROOM];
	FILE *in;

	(void)snprintf(path, sizeof path, "%s/run/broker.endpoint", host->country->folder); /* fits */
	in = fopen(path, "r");
	if (!in || !fgets(host->endpoint, sizeof host->endpoint, in))
		stop("%s cannot be read", path);
	(void)fclose(in); /* only read */
	host->endpoint[strcspn(host->endpoint, "\n")] = 0;
}

double host_start(struct host *host)
{
	const pid_t parent = getpid();
	const double begin = now_us();
	double ready;

	host->pid = fork();
	if (host->pid == 0)
		run_broker(host, parent);
	if (host->pid < 0)
		stop("no process for the broker");
	wait_ready(host);
	ready = (now_us() - begin) / 1000;
	read_endpoint(host);
	return ready;
}

static int end_broker(struct host *host, int number)
{
	int status = 0;

	if (!host->pid)
		return 0;
	(void)kill(host->pid, number); /* it is ours and not yet waited for */
	(void)waitpid(host->pid, &status, 0);
	host->pid = 0;
	return status;
}

void host_kill(struct host *host)
{
	(void)end_broker(host, SIGKILL); /* how it ends is what was asked for */
}

void host_stop(struct host *host)
{
	const int status = end_broker(host, SIGTERM);

	if (status)
		stop("the broker ended with status %d; see %s/broker.log (KEEP=1 keeps it)", status, host->country->folder);
}

void host_release(struct host *host)
{
	host_kill(host);
	if (host->notify > 0)
		(void)close(host->notify); /* only read from */
	host->notify = -1;
}

struct memory host_memory(const struct host *host)
{
	struct memory memory = { 0 };
	char path[64], line[256];
	FILE *in;

	(void)snprintf(path, sizeof path, "/proc/%ld/status", (long)host->pid); /* fits */
	in = fopen(path, "r");
	if (!in)
		stop("%s cannot be read: has the broker ended?", path);
	while (fgets(line, sizeof line, in)) {
		if (!strncmp(line, "RssAnon:", 8))
			memory.anon = strtod(line + 8, NULL);
		if (!strncmp(line, "VmRSS:", 6))
			memory.rss = strtod(line + 6, NULL);
	}
	(void)fclose(in); /* only read */
	return memory;
}

double host_counter(const struct host *host, const char *name)
{
	static const char question[] = "{\"do\":\"status\"}";
	struct control_client client;
	struct err err = { 0 };
	char path[PATH_ROOM], wanted[64];
	const char *line, *at;
	double value;
	size_t n;

	(void)snprintf(path, sizeof path, "%s/run/broker.sock", host->country->folder); /* fits */
	(void)snprintf(wanted, sizeof wanted, "\"%s\":", name); /* a name that is cut is not found */
	need(control_connect(path, &client, &err), "the control socket", &err);
	need(control_ask(&client, question, sizeof question - 1, &err), "the control socket", &err);
	need(control_next(&client, PATIENCE_MS, &line, &n, &err), "status", &err);
	at = strstr(line, wanted);
	if (!at)
		stop("status does not tell %s", name);
	value = strtod(at + strlen(wanted), NULL);
	control_close(&client);
	return value;
}

/* Of one thread, in seconds: the scheduler counts nanoseconds, where the ticks of `stat` are longer than a short run of ours. */
static double thread_cpu(const struct host *host, const char *tid)
{
	char path[320];
	double ns = 0;
	FILE *in;

	(void)snprintf(path, sizeof path, "/proc/%ld/task/%s/schedstat", (long)host->pid, tid); /* fits */
	in = fopen(path, "r");
	if (!in)
		return 0; /* it has ended */
	if (fscanf(in, "%lf", &ns) != 1)
		stop("%s cannot be read", path);
	(void)fclose(in); /* only read */
	return ns / 1e9;
}

struct cpu host_cpu(const struct host *host)
{
	struct cpu cpu = { 0 };
	struct dirent *entry;
	char path[64];
	DIR *dir;

	(void)snprintf(path, sizeof path, "/proc/%ld/task", (long)host->pid); /* fits */
	dir = opendir(path);
	if (!dir)
		stop("%s cannot be read: has the broker ended?", path);
	while ((entry = readdir(dir))) {
		if (*entry->d_name == '.')
			continue;
		if (strtol(entry->d_name, NULL, 10) == host->pid)
			cpu.own += thread_cpu(host, entry->d_name);
		else
			cpu.zeromq += thread_cpu(host, entry->d_name);
	}
	(void)closedir(dir); /* only read */
	return cpu;
}
