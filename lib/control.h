/* The control socket: a Unix stream socket that file permissions protect. A request is one JSON object on one line; the reply is any number of JSON
 * objects, one a line, and last a line {"end":"ok"} or {"end":CODE,"detail":TEXT}. Requests of one connection are answered one after the other.
 * The lines are opaque here, but for the end. */
#ifndef LIB_CONTROL_H
#define LIB_CONTROL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/buf.h"
#include "lib/err.h"
#include "lib/loop.h"

#define CONTROL_CONNECTIONS_MAX 32           /* more are closed at once */
#define CONTROL_LINE_MAX ((size_t)1 << 20)   /* bytes of one request or reply line; a longer request ends the connection */
#define CONTROL_OUT_MAX ((size_t)4 << 20)    /* bytes of reply that wait for a slow reader */
#define CONTROL_IDLE_MS 600000               /* a connection without a request or a call for so long is closed */

/* --- server ------------------------------------------------------------------------------------------------------------------ */

struct control;
struct control_call;                         /* a request that is being answered; valid from `request` until control_end or `gone` */

struct control_handlers {
	/* line: NUL-terminated, without the newline, borrowed during the call. The answer may be given during it or later. */
	void (*request)(void *context, struct control_call *call, const char *line, size_t n);
	/* There is room for reply lines again, after control_line said ERR_AGAIN. May be NULL. */
	void (*drained)(void *context, struct control_call *call);
	/* The other side went away during the call; call is invalid after. May be NULL. */
	void (*gone)(void *context, struct control_call *call);
};

/* Listens at path with these permissions (0600). A socket that a dead process left is replaced; ERR_BUSY if a live one answers. */
int control_new(struct loop *loop, const char *path, mode_t mode, const struct control_handlers *handlers, void *context,
                struct control **ret_control, struct err *err);
/* Lets the members of a group of this machine connect too; "" leaves it to the owner. ERR_NOTFOUND: no such group; ERR_DENIED: the program is not a member. */
int control_share(struct control *control, const char *group, struct err *err);
void control_free(struct control *control);  /* removes the socket; calls `gone` for calls in progress */

/* One reply line (without the newline; must hold none). ERR_AGAIN: CONTROL_OUT_MAX is reached: wait for `drained`, the line was not taken.
 * ERR_TOOBIG: over CONTROL_LINE_MAX. ERR_CLOSED: the reader is gone (`gone` follows). */
int control_line(struct control_call *call, const char *line, size_t n);
int control_printf(struct control_call *call, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Ends the reply; call is invalid after. code NULL: "ok"; else a literal without characters that JSON escapes; detail may be NULL. Never fails:
 * if there is no room the connection is closed, which the client sees as an unfinished reply. */
void control_end(struct control_call *call, const char *code, const char *detail);
/* The user at the other end, by the kernel's word (SO_PEERCRED). */
uid_t control_uid(const struct control_call *call);
/* A place for the handler's own data about this call; NULL at first. */
void **control_data(struct control_call *call);

/* --- client (the command): blocking ------------------------------------------------------------------------------------------ */

struct control_client { int fd; struct buf in; size_t taken; bool ended; };

/* ERR_NOTFOUND (nobody listens: the daemon is not running), ERR_DENIED (permissions), ERR_IO. */
int control_connect(const char *path, struct control_client *ret_client, struct err *err);
void control_close(struct control_client *client);
/* Sends one request line. */
int control_ask(struct control_client *client, const char *line, size_t n, struct err *err);
/* The next line of the reply. timeout_ms: -1 waits without bound. OK: *ret_line, NUL-terminated, borrowed until the next call. ERR_NOTFOUND: the reply ended with
 * "ok". ERR_INVALID: it ended with another code; err->text is "code: detail". ERR_CLOSED, ERR_AGAIN (time out), ERR_TOOBIG. */
int control_next(struct control_client *client, int timeout_ms, const char **ret_line, size_t *ret_n, struct err *err);

#endif
