/* Any bytes on a control socket, in pieces of any size: each whole line reaches the daemon once, as it was sent, and is answered in its order; what is no request is
 * answered too; and a client that goes away leaves nothing behind. The first byte chooses the size of the pieces. */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/control.h"
#include "lib/json.h"

#define ROUNDS_MAX 1000 /* of the loop, for one input */

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static struct loop *loop;
static struct control *control;
static char folder[] = "/tmp/fuzz_control-XXXXXX", path[64];
static struct { const uint8_t *bytes; size_t n, taken, requests; } sent; /* what the daemon should be handed next */

static void require(int truth)
{
	if (!truth)
		abort(); /* what libFuzzer reports */
}

/* As the daemons answer: the line as JSON, its first text back, and an end. */
static void on_request(void *context, struct control_call *call, const char *line, size_t n)
{
	struct json_member *members = NULL;
	struct err err = { 0 };
	struct arena arena;
	size_t count = 0;
	int error;

	(void)context;
	require(sent.taken + n < sent.n && memcmp(sent.bytes + sent.taken, line, n) == 0 && sent.bytes[sent.taken + n] == '\n');
	require(line[n] == '\0');
	sent.taken += n + 1;
	sent.requests++;
	arena_init(&arena, (size_t)64 << 20);
	error = json_object_read(line, n, &arena, &members, &count, &err);
	require(error == OK || err.text[0] != '\0');
	for (size_t i = 0; !error && i < count; i++)
		if (members[i].value.kind == JSON_STRING)
			(void)control_printf(call, "{\"n\":%zu}", strlen(members[i].value.text)); /* a full buffer ends the reply early: fine here */
	control_end(call, error ? "malformed" : NULL, error ? err.text : NULL);
	arena_release(&arena);
}

static void on_gone(void *context, struct control_call *call)
{
	(void)context, (void)call;
	require(0); /* every request is answered at once, so none is in progress */
}

static void leave(void)
{
	control_free(control);
	loop_free(loop);
	(void)rmdir(folder); /* the process ends */
}

static void prepare(void)
{
	static const struct control_handlers handlers = { on_request, NULL, on_gone };
	struct err err = { 0 };

	if (loop)
		return;
	require(mkdtemp(folder) != NULL);
	(void)snprintf(path, sizeof path, "%s/socket", folder); /* shorter than its room */
	require(loop_new(&loop, &err) == OK && control_new(loop, path, 0600, &handlers, NULL, &control, &err) == OK);
	require(atexit(leave) == 0);
}

static int connect_to(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	memcpy(address.sun_path, path, sizeof path);
	require(fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof address) == 0);
	return fd;
}

/* Reads what came; counts the ends of replies. False: the daemon has closed the connection. */
static bool drain(int fd, size_t *ret_ends, bool *in_line)
{
	static const char end[] = "{\"end\":";
	static char line[sizeof end];
	static size_t at;
	char room[4096];
	ssize_t n;

	if (!*in_line)
		at = 0;
	while ((n = recv(fd, room, sizeof room, 0)) > 0)
		for (ssize_t i = 0; i < n; i++) {
			*in_line = true;
			if (at < sizeof end - 1)
				line[at] = room[i];
			at++;
			if (at == sizeof end - 1 && memcmp(line, end, at) == 0)
				++*ret_ends;
			if (room[i] == '\n')
				at = 0;
		}
	return n < 0 && (errno == EAGAIN || errno == EINTR);
}

static size_t lines_in(const uint8_t *bytes, size_t n)
{
	size_t count = 0;

	for (size_t i = 0; i < n; i++)
		count += bytes[i] == '\n';
	return count;
}

/* Sends all of it in pieces, while the daemon works; returns how many replies ended. */
static size_t converse(int fd, const uint8_t *bytes, size_t n, size_t piece)
{
	size_t at = 0, ends = 0;
	bool in_line = false, open = true, shut = false;

	for (int i = 0; open && i < ROUNDS_MAX; i++) {
		if (at < n) {
			const ssize_t put = send(fd, bytes + at, piece < n - at ? piece : n - at, MSG_NOSIGNAL);

			at += put > 0 ? (size_t)put : 0;
		} else if (!shut) {
			shut = shutdown(fd, SHUT_WR) == 0;
		}
		require(loop_once(loop, 0) == OK);
		open = drain(fd, &ends, &in_line);
	}
	require(!open);
	return ends;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	size_t ends;
	int fd;

	if (n == 0)
		return 0;
	prepare();
	sent.bytes = bytes + 1;
	sent.n = n - 1;
	sent.taken = sent.requests = 0;
	fd = connect_to();
	ends = converse(fd, bytes + 1, n - 1, bytes[0] ? (size_t)bytes[0] * bytes[0] : n);
	(void)close(fd);
	require(sent.requests == lines_in(bytes + 1, n - 1) && ends == sent.requests);
	require(loop_once(loop, 0) == OK);
	return 0;
}
