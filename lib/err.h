/* Errors: one closed list of codes, and a one-line message for people. Libraries return, programs log. */
#ifndef LIB_ERR_H
#define LIB_ERR_H

#include <stdarg.h>
#include <stddef.h>

enum {
	OK = 0,
	ERR_NOMEM = -1,     /* allocation failed, or a named bound on memory was reached */
	ERR_INVALID = -2,   /* the input is wrong; the message says which field and why */
	ERR_NOTFOUND = -3,
	ERR_EXISTS = -4,
	ERR_IO = -5,        /* the world failed: errno is in the message */
	ERR_FULL = -6,      /* disk or map full: nothing was written, reading goes on */
	ERR_CORRUPT = -7,   /* stored bytes do not match their hash or their format */
	ERR_DENIED = -8,    /* authentication or decryption failed, or not permitted */
	ERR_AGAIN = -9,     /* try later: would block, no room in the window */
	ERR_TOOBIG = -10,
	ERR_CLOSED = -11,   /* the other side or the object is gone */
	ERR_BUSY = -12,     /* in use by another process */
	ERR_ERASED = -13,   /* the key that would open this has been destroyed */
	ERR_FENCED = -14,   /* another leader has taken the log */
	ERR_UNSYNCED = -15, /* a sync failed: stop at once, acknowledge nothing */
};

/* A short English phrase for a code ("not found"); never NULL. */
const char *err_text(int code);

/* A message for a person: one line, says what to do. Filled by the function that fails first. */
struct err {
	int code;
	char text[512];
};

/* Sets code and text (cut to fit, control characters replaced) and returns code. err may be NULL. */
int err_set(struct err *err, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* The same, with ": <strerror(errno)>" appended. */
int err_errno(struct err *err, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));
#ifdef ANALYSED /* make analyze: an analyser that reads one file at a time does not know what these return */
#define err_set(err, code, ...) ((void)(err_set)((err), (code), __VA_ARGS__), (code))
#define err_errno(err, code, ...) ((void)(err_errno)((err), (code), __VA_ARGS__), (code))
#endif
/* Puts "text: " before what err already says. Returns err->code. */
int err_prefix(struct err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
