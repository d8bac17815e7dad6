#include "lib/control.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/clock.h"

#define READ_SIZE ((size_t)16 << 10)
#define GROUP_ROOM 65536         /* for the names of a group's members */
#define TIDY_MS 30000            /* how often idle connections are looked for */

/* A connection; while `busy`, it is also the call that is being answered. */
struct control_call {
	struct control *control;     /* NULL: free place */
	int fd;
	uid_t uid;
	bool busy, blocked, closing; /* blocked: control_line said ERR_AGAIN; closing: nothing more is read, the rest is written */
	struct buf in, out;
	size_t out_done;
	int64_t active_at;
	void *data;
};

struct control {
	struct loop *loop;
	int fd;
	char *path;
	struct control_handlers handlers;
	void *context;
	struct loop_timer tidy;
	struct control_call calls[CONTROL_CONNECTIONS_MAX];
};

static int unix_address(const char *path, struct sockaddr_un *ret_address, struct err *err)
{
	const size_t n = strlen(path);

	if (n >= sizeof ret_address->sun_path)
		return err_set(err, ERR_INVALID, "%s: the path of a socket may have %zu characters at most", path, sizeof ret_address->sun_path - 1);
	*ret_address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	memcpy(ret_address->sun_path, path, n + 1);
	return OK;
}

/* --- server: connections ---------------------------------------------------------------------------------------------- */

static void connection_close(struct control_call *call)
{
	struct control *control = call->control;

	if (!control)
		return;
	if (call->busy) {
		call->busy = false;
		if (control->handlers.gone)
			control->handlers.gone(control->context, call);
	}
	loop_remove(control->loop, call->fd);
	(void)close(call->fd); /* what was not written is lost either way */
	buf_release(&call->in);
	buf_release(&call->out);
	*call = (struct control_call){ .fd = -1 };
}

static unsigned wanted(const struct control_call *call)
{
	return (call->out.n > call->out_done ? LOOP_WRITE : 0) | (call->busy || call->closing ? 0 : LOOP_READ);
}

/* While a call waits for its answer nothing is read; poll still tells of a hang-up, as long as some event is asked for. */
static void connection_watch(struct control_call *call)
{
	const unsigned events = wanted(call);

	loop_change(call->control->loop, call->fd, events ? events : LOOP_HANGUP);
}

/* False: the connection is gone. */
static bool connection_write(struct control_call *call)
{
	while (call->out_done < call->out.n) {
		const ssize_t n = send(call->fd, call->out.bytes + call->out_done, call->out.n - call->out_done, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return true;
		if (n <= 0) {
			connection_close(call);
			return false;
		}
		call->out_done += (size_t)n;
	}
	buf_clear(&call->out);
	call->out_done = 0;
	if (call->closing) {
		connection_close(call);
		return false;
	}
	return true;
}

/* Takes the next whole line out of what was read, and hands it over. False: there is none, or the connection is gone. */
static bool connection_next(struct control_call *call)
{
	struct control *control = call->control;
	uint8_t *end = call->in.n ? memchr(call->in.bytes, '\n', call->in.n) : NULL;
	struct buf line = call->in;
	size_t n;

	if (!end || call->busy || call->closing)
		return false;
	n = (size_t)(end - line.bytes);
	*end = 0;
	/* The handler borrows the line in place; the rest moves to a buffer of its own. */
	buf_init(&call->in);
	if (buf_add(&call->in, end + 1, line.n - n - 1)) {
		buf_release(&line);
		connection_close(call);
		return false;
	}
	call->busy = true;
	call->data = NULL;
	control->handlers.request(control->context, call, (const char *)line.bytes, n);
	buf_release(&line);
	return call->control == control;
}

static void connection_run(struct control_call *call)
{
	while (connection_next(call)) {
	}
	if (call->control && connection_write(call))
		connection_watch(call);
}

/* False: the connection is gone. */
static bool connection_read(struct control_call *call)
{
	ssize_t n;

	if (buf_reserve(&call->in, READ_SIZE)) {
		connection_close(call);
		return false;
	}
	n = recv(call->fd, call->in.bytes + call->in.n, READ_SIZE, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	if (n <= 0) {
		connection_close(call);
		return false;
	}
	call->in.n += (size_t)n;
	call->active_at = clock_monotonic_ms();
	if (call->in.n > CONTROL_LINE_MAX && !memchr(call->in.bytes, '\n', call->in.n)) {
		connection_close(call);
		return false;
	}
	return true;
}

static void on_connection(void *context, int fd, unsigned events)
{
	struct control_call *call = context;

	(void)fd;
	if (events & LOOP_WRITE) {
		if (!connection_write(call))
			return;
		if (call->busy && call->blocked && call->out.n - call->out_done < CONTROL_OUT_MAX / 2) {
			call->blocked = false;
			if (call->control->handlers.drained)
				call->control->handlers.drained(call->control->context, call);
			if (!call->control)
				return;
		}
	}
	if (events & LOOP_READ) {
		if (!connection_read(call))
			return;
	} else if (events & LOOP_HANGUP) {
		connection_close(call);
		return;
	}
	connection_run(call);
}

static void on_accept(void *context, int fd, unsigned events)
{
	struct control *control = context;
	struct control_call *call = NULL;
	struct ucred peer;
	socklen_t n = sizeof peer;
	const int accepted = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	(void)events;
	if (accepted < 0)
		return; /* it went away again; out of descriptors is the daemon's alarm (daemon_fds) */
	for (size_t i = 0; i < CONTROL_CONNECTIONS_MAX && !call; i++)
		if (!control->calls[i].control)
			call = &control->calls[i];
	if (!call || getsockopt(accepted, SOL_SOCKET, SO_PEERCRED, &peer, &n) ||
	    loop_add(control->loop, accepted, LOOP_READ, on_connection, call)) {
		(void)close(accepted); /* nothing was said yet */
		return;
	}
	*call = (struct control_call){ .control = control, .fd = accepted, .uid = peer.uid, .active_at = clock_monotonic_ms() };
}

static void on_tidy(void *context)
{
	struct control *control = context;
	const int64_t before = clock_monotonic_ms() - CONTROL_IDLE_MS;

	for (size_t i = 0; i < CONTROL_CONNECTIONS_MAX; i++)
		if (control->calls[i].control && !control->calls[i].busy && control->calls[i].active_at < before)
			connection_close(&control->calls[i]);
	(void)loop_timer_set(control->loop, &control->tidy, TIDY_MS); /* its own place was just freed */
}

/* --- server: the socket ----------------------------------------------------------------------------------------------- */

static bool answers(const struct sockaddr_un *address)
{
	const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	bool alive;

	if (fd < 0)
		return true;
	alive = !connect(fd, (const struct sockaddr *)address, sizeof *address) || errno == EAGAIN;
	(void)close(fd); /* nothing was said */
	return alive;
}

static int control_listen(struct control *control, mode_t mode, struct err *err)
{
	struct sockaddr_un address;
	struct stat st;
	int rc = unix_address(control->path, &address, err);

	if (rc)
		return rc;
	if (!lstat(control->path, &st)) {
		if (!S_ISSOCK(st.st_mode))
			return err_set(err, ERR_EXISTS, "%s: is there already and is no socket; move it away", control->path);
		if (answers(&address))
			return err_set(err, ERR_BUSY, "%s: another process answers there; stop it first", control->path);
		if (unlink(control->path))
			return err_errno(err, ERR_IO, "%s: removing the old socket failed", control->path);
	}
	control->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* Permissions stand before anybody can connect: chmod between bind and listen. */
	if (control->fd < 0 || bind(control->fd, (const struct sockaddr *)&address, sizeof address) || chmod(control->path, mode) ||
	    listen(control->fd, CONTROL_CONNECTIONS_MAX))
		return err_errno(err, ERR_IO, "%s: opening the control socket failed", control->path);
	if (loop_add(control->loop, control->fd, LOOP_READ, on_accept, control) || loop_timer_set(control->loop, &control->tidy, TIDY_MS))
		return err_set(err, ERR_NOMEM, "no room in the event loop");
	return OK;
}

int control_new(struct loop *loop, const char *path, mode_t mode, const struct control_handlers *handlers, void *context,
                struct control **ret_control, struct err *err)
{
	struct control *control = calloc(1, sizeof *control);
	int rc;

	if (!control || !(control->path = strdup(path))) {
		free(control);
		return err_set(err, ERR_NOMEM, "no memory for the control socket");
	}
	control->loop = loop;
	control->fd = -1;
	control->handlers = *handlers;
	control->context = context;
	control->tidy = (struct loop_timer){ .fn = on_tidy, .context = control };
	rc = control_listen(control, mode, err);
	if (rc) {
		const bool ours = control->fd >= 0; /* never remove the socket of the process that answered */

		if (!ours)
			*control->path = 0;
		control_free(control);
		return rc;
	}
	*ret_control = control;
	return OK;
}

int control_share(struct control *control, const char *group, struct err *err)
{
	char room[GROUP_ROOM];
	struct group entry, *found = NULL;

	if (!*group)
		return OK;
	errno = getgrnam_r(group, &entry, room, sizeof room, &found);
	if (!found)
		return err_set(err, ERR_NOTFOUND, "control_group: there is no group %s on this machine; make it, or leave the key out", group);
	if (chown(control->path, (uid_t)-1, entry.gr_gid))
		return err_set(err, ERR_DENIED, "%s cannot be given to the group %s (%s); let the program's user be a member of it", control->path, group, strerror(errno));
	return chmod(control->path, 0660) ? err_errno(err, ERR_IO, "%s: opening it for the group %s failed", control->path, group) : OK;
}

void control_free(struct control *control)
{
	if (!control)
		return;
	for (size_t i = 0; i < CONTROL_CONNECTIONS_MAX; i++) {
		if (control->calls[i].control && connection_write(&control->calls[i]))
			connection_close(&control->calls[i]);
	}
	loop_timer_stop(control->loop, &control->tidy);
	if (control->fd >= 0) {
		loop_remove(control->loop, control->fd);
		(void)close(control->fd); /* a listener has nothing to lose */
	}
	if (*control->path)
		(void)unlink(control->path); /* gone already is fine */
	free(control->path);
	free(control);
}

/* --- server: replies -------------------------------------------------------------------------------------------------- */

int control_line(struct control_call *call, const char *line, size_t n)
{
	if (n > CONTROL_LINE_MAX)
		return ERR_TOOBIG;
	if (call->closing)
		return ERR_CLOSED;
	if (call->out.n - call->out_done + n + 1 > CONTROL_OUT_MAX) {
		call->blocked = true;
		connection_watch(call);
		return ERR_AGAIN;
	}
	if (call->out_done) { /* what was written makes room before the buffer grows */
		memmove(call->out.bytes, call->out.bytes + call->out_done, call->out.n - call->out_done);
		call->out.n -= call->out_done;
		call->out_done = 0;
	}
	if (buf_reserve(&call->out, n + 1) || buf_add(&call->out, line, n) || buf_add(&call->out, "\n", 1))
		return ERR_NOMEM;
	connection_watch(call);
	return OK;
}

int control_printf(struct control_call *call, const char *format, ...)
{
	struct buf text;
	va_list args;
	char *line;
	int n, rc;

	va_start(args, format);
	n = vasprintf(&line, format, args);
	va_end(args);
	if (n < 0)
		return ERR_NOMEM;
	text = (struct buf){ .bytes = (uint8_t *)line, .n = (size_t)n };
	rc = control_line(call, line, text.n);
	free(line);
	return rc;
}

/* A JSON string of at most 512 bytes; what does not belong in one is replaced. */
static void quote(char *to, size_t room, const char *text)
{
	size_t n = 0;

	for (; *text && n + 3 < room; text++) {
		if (*text == '"' || *text == '\\')
			to[n++] = '\\';
		to[n++] = (unsigned char)*text < 0x20 ? ' ' : *text;
	}
	to[n] = 0;
}

void control_end(struct control_call *call, const char *code, const char *detail)
{
	char line[1200], quoted[1024];
	int n;

	quote(quoted, sizeof quoted, detail ? detail : "");
	n = snprintf(line, sizeof line, detail ? "{\"end\":\"%s\",\"detail\":\"%s\"}\n" : "{\"end\":\"%s\"}\n", code ? code : "ok", quoted);
	call->busy = false;
	call->blocked = false;
	call->active_at = clock_monotonic_ms();
	if (buf_add(&call->out, line, (size_t)n)) {
		call->closing = true; /* the missing end tells the client */
		buf_clear(&call->out);
	}
	/* The next request, if it is here already, is taken by the loop: never from within a handler. */
	loop_change(call->control->loop, call->fd, LOOP_READ | LOOP_WRITE);
}

uid_t control_uid(const struct control_call *call)
{
	return call->uid;
}

void **control_data(struct control_call *call)
{
	return &call->data;
}

/* --- client ----------------------------------------------------------------------------------------------------------- */

int control_connect(const char *path, struct control_client *ret_client, struct err *err)
{
	struct sockaddr_un address;
	int fd, rc = unix_address(path, &address, err);

	if (rc)
		return rc;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_errno(err, ERR_IO, "%s: cannot make a socket", path);
	if (connect(fd, (const struct sockaddr *)&address, sizeof address)) {
		const int code = errno == ENOENT || errno == ECONNREFUSED ? ERR_NOTFOUND : errno == EACCES ? ERR_DENIED : ERR_IO;

		if (code == ERR_NOTFOUND)
			err_set(err, code, "%s: nobody answers; is the daemon running?", path);
		else
			err_errno(err, code, "%s: cannot connect", path);
		(void)close(fd); /* nothing was said */
		return code;
	}
	*ret_client = (struct control_client){ .fd = fd };
	return OK;
}

void control_close(struct control_client *client)
{
	if (client->fd >= 0)
		(void)close(client->fd); /* nothing is pending that we still want */
	client->fd = -1;
	buf_release(&client->in);
}

int control_ask(struct control_client *client, const char *line, size_t n, struct err *err)
{
	const char *at[] = { line, "\n" };
	const size_t sizes[] = { n, 1 };

	if (n > CONTROL_LINE_MAX)
		return err_set(err, ERR_TOOBIG, "the request is larger than %zu bytes", CONTROL_LINE_MAX);
	for (int part = 0; part < 2; part++)
		for (size_t done = 0; done < sizes[part];) {
			const ssize_t sent = send(client->fd, at[part] + done, sizes[part] - done, MSG_NOSIGNAL);

			if (sent < 0 && errno == EINTR)
				continue;
			if (sent <= 0)
				return err_errno(err, ERR_CLOSED, "the daemon closed the connection");
			done += (size_t)sent;
		}
	return OK;
}

/* Waits for more bytes. */
static int client_read(struct control_client *client, int timeout_ms, struct err *err)
{
	const struct timeval limit = { .tv_sec = timeout_ms / 1000, .tv_usec = timeout_ms % 1000 * 1000 };
	const struct timeval none = { 0 };
	ssize_t n;

	if (client->in.n - client->taken > CONTROL_LINE_MAX)
		return err_set(err, ERR_TOOBIG, "the daemon's answer has a line over %zu bytes", CONTROL_LINE_MAX);
	if (client->taken) {
		memmove(client->in.bytes, client->in.bytes + client->taken, client->in.n - client->taken);
		client->in.n -= client->taken;
		client->taken = 0;
	}
	if (buf_reserve(&client->in, READ_SIZE) ||
	    setsockopt(client->fd, SOL_SOCKET, SO_RCVTIMEO, timeout_ms > 0 ? &limit : &none, sizeof limit))
		return err_set(err, ERR_NOMEM, "no memory for the daemon's answer");
	do
		n = recv(client->fd, client->in.bytes + client->in.n, READ_SIZE, timeout_ms == 0 ? MSG_DONTWAIT : 0);
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN)
		return err_set(err, ERR_AGAIN, "the daemon does not answer");
	if (n <= 0)
		return err_set(err, ERR_CLOSED, "the daemon closed the connection before its answer ended");
	client->in.n += (size_t)n;
	return OK;
}

/* {"end":"ok"} or {"end":CODE,"detail":TEXT}: only our own server writes it, so its form is fixed. False: an ordinary line. */
static bool is_end(const char *line, int *ret_rc, struct err *err)
{
	static const char start[] = "{\"end\":\"", middle[] = "\",\"detail\":\"";
	const char *code = line + sizeof start - 1, *detail;
	char text[sizeof err->text];
	size_t n = 0;

	if (strncmp(line, start, sizeof start - 1) != 0)
		return false;
	*ret_rc = ERR_NOTFOUND;
	if (!strcmp(code, "ok\"}"))
		return true;
	detail = strstr(code, middle);
	*ret_rc = ERR_INVALID;
	for (const char *at = detail ? detail + sizeof middle - 1 : ""; *at && *at != '"' && n + 1 < sizeof text; at++) {
		if (*at == '\\' && at[1])
			at++;
		text[n++] = *at;
	}
	text[n] = 0;
	(void)err_set(err, ERR_INVALID, "%.*s%s%s", (int)strcspn(code, "\""), code, n ? ": " : "", text); /* returns the code */
	return true;
}

int control_next(struct control_client *client, int timeout_ms, const char **ret_line, size_t *ret_n, struct err *err)
{
	for (;;) {
		uint8_t *from = client->in.bytes + client->taken;
		uint8_t *end = client->in.n > client->taken ? memchr(from, '\n', client->in.n - client->taken) : NULL;
		int rc;

		if (end) {
			*end = 0;
			client->taken = (size_t)(end + 1 - client->in.bytes);
			if (is_end((const char *)from, &rc, err))
				return rc;
			*ret_line = (const char *)from;
			*ret_n = (size_t)(end - from);
			return OK;
		}
		rc = client_read(client, timeout_ms, err);
		if (rc)
			return rc;
	}
}
