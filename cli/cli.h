/* The map of the reentry command: one section per file. A command is a row in main.c; what it prints for people goes through the tables
 * of words.c and texts.h, what it prints for programs is the line that the agent or broker sent. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "cli/texts.h"
#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/civil.h"
#include "lib/clock.h"
#include "lib/err.h"
#include "lib/json.h"

enum { DONE = 0, FAILED = 1, USAGE = 2 };   /* exit status (design.md 4) */
enum lang { LANG_EN, LANG_NL };

/* --- main.c: what holds for every command ----------------------------------------------------------------------------- */

struct cli {
	const char *config;             /* -c; NULL: not given */
	bool json, colour;
	bool has_lang;                  /* --lang was given; otherwise the configuration, then the locale */
	enum lang lang;
	size_t width;                   /* columns of the terminal; 0: no terminal */
	struct clock clock;
	struct arena shown;             /* texts that say() and show_…() make; the command resets it where it goes on for long */
	struct civil_zone *zone;        /* in which dates and times are shown; NULL: could not be loaded, then UTC */
	char *control;                  /* socket of the agent, from its configuration; owned */
	char *agency;
	const char *usage;              /* of the running command */
};
struct command {
	const char *name;
	int (*run)(struct cli *cli, int argc, char **argv);   /* argv[0] is the command's name; returns an exit status */
	const char *arguments;          /* for --help: "CASE [--timeline N]" */
	enum text help;
	const char *const *options;     /* lines for --help: "--case C", description, …; NULL-terminated; may be NULL */
};
/* --- options.c: what is typed, and what is told when it is wrong --------------------------------------------------------- */

/* One line on stderr. Returns the status given. */
int complain(const struct cli *cli, int status, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* The wrong usage of a command: what is wrong, and how it is used. Returns USAGE. */
int misuse(const struct cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Options of a command, for getopt_long; the global ones are understood in every place. */
struct option_row {
	const char *name;               /* without the dashes; NULL ends the table */
	char letter;                    /* 0: none */
	bool flag;                      /* takes no value */
	bool many;                      /* may be given several times */
	const char **value;             /* where it goes: the text, or "" for a flag; many: an array of OPTION_MANY_MAX, NULL-terminated */
};
#define OPTION_MANY_MAX 128
/* Takes the options out of argv; *ret_first is the index of the first argument. False: told already, return USAGE. */
bool read_options(struct cli *cli, int argc, char **argv, const struct option_row *rows, int *ret_first);
enum global_want { WANT_COMMAND, WANT_HELP, WANT_VERSION };
/* The options before the command's name, at *ret_first. An exit status, told already. */
int read_global_options(struct cli *cli, int argc, char **argv, int *ret_first, enum global_want *ret_want);

/* --- agent_config.c: where the agent listens ------------------------------------------------------------------------------ */

/* Reads -c as an agent's configuration; fills control, agency and, unless given, lang. DONE or FAILED, told already. */
int need_agent(struct cli *cli);

/* --- ask.c: requests over the control socket ----------------------------------------------------------------------------------- */

/* One reply line. False: enough, the connection is closed (no failure). */
typedef bool ask_line_fn(struct cli *cli, void *context, const char *line, size_t n);
/* Sends `request` to the agent and hands over the lines of its reply; a failure is told on stderr. timeout_ms of silence; -1: none. */
int ask_agent(struct cli *cli, struct buf *request, int timeout_ms, ask_line_fn *fn, void *context);
int ask_socket(struct cli *cli, const char *path, const char *who, struct buf *request, int timeout_ms, ask_line_fn *fn, void *context);
/* The same without telling: OK, or the error that control_connect or control_next gave. */
struct asking { const char *path; const struct buf *request; int timeout_ms; ask_line_fn *fn; void *context; };
int ask_try(struct cli *cli, const struct asking *asking, struct err *ret_err);
int ask_failed(struct cli *cli, const struct err *err);                  /* tells what asking the agent ended with; FAILED */
#define ASK_MS 70000
/* Prints the line as it is: --json. */
ask_line_fn print_line;
/* {"do":"query","kind":KIND,"parameters":[…]}; parameters as "name", value, … , NULL; a pair whose value is NULL is left out. */
int ask_broker(struct cli *cli, const char *kind, const char *const *parameters, ask_line_fn *fn, void *context);
int query_request(struct cli *cli, struct buf *request, const char *kind, const char *const *parameters);   /* that request; an exit status, told already */
/* Pieces of requests. */
void request_begin(struct buf *request, const char *what);              /* {"do":"what" */
void request_text(struct buf *request, const char *name, const char *value);   /* ,"name":"value"; nothing for NULL */
void request_raw(struct buf *request, const char *name, const char *json);
void request_finish(struct buf *request);                                /* } */

/* --- object.c: what a line says ---------------------------------------------------------------------------------------------- */

struct object { struct json_member *members; size_t n; };
/* False: no JSON object. Memory from arena. */
bool object_read(struct object *object, const char *text, size_t n, struct arena *arena);
const struct json_value *object_get(const struct object *object, const char *name);
const char *object_text(const struct object *object, const char *name);           /* NULL */
int64_t object_number(const struct object *object, const char *name, int64_t fallback);
bool object_flag(const struct object *object, const char *name);
bool object_inside(const struct object *object, const char *name, struct arena *arena, struct object *ret_inner);
/* The i-th object of a list; false behind the last. */
bool object_at(const struct object *object, const char *name, size_t i, struct arena *arena, struct object *ret_inner);
/* A sequence as people write it: without leading zeros. */
const char *short_sequence(const char *sequence);

/* --- words.c: the words of the domain, in both languages -------------------------------------------------------------------------- */

const char *text_of(const struct cli *cli, enum text text);
/* The sentence with its arguments, each a const char *, ended by NULL. */
const char *say(struct cli *cli, enum text text, ...) __attribute__((sentinel));
const char *number(struct cli *cli, int64_t value);
/* "release.date-set" → "release date"; the name itself if there is no word for it. */
const char *word_type(const struct cli *cli, const char *type);
/* Values and names of fields: "HOUSING", "IN_PROGRESS", "custodian" … */
const char *word(const struct cli *cli, const char *name);

/* --- show.c: dates, columns, colours -------------------------------------------------------------------------------------------------- */

/* All of these are made in cli->shown. */
/* "2027-02-25" → "Thursday 25 February 2027"; unchanged if it is no date, "" for NULL. */
const char *show_date(struct cli *cli, const char *date);
/* "in 24 days", "today", "tomorrow", "3 days ago"; "" if it is no date. */
/* What was typed: a moment, or a day, which becomes the moment at which it begins. NULL stays NULL. */
bool read_moment(struct cli *cli, const char **text);
bool is_count(const char *text);                                     /* NULL is one */
bool lies_ahead(const struct cli *cli, const char *date);            /* after today */
const char *show_days(struct cli *cli, const char *date);
/* "Thu 25 February 2027 14:05", or "today 14:05", local time. */
const char *show_moment(struct cli *cli, const char *moment_text);
const char *show_full_moment(struct cli *cli, const char *moment_text); /* the day always by its date */
/* How long until then, for deadlines: "in 2 h", "17 min ago". */
const char *show_left(struct cli *cli, const char *moment_text);
/* "C-24", or "C-24 (2027/14)". */
const char *show_case(struct cli *cli, const struct object *object);
/* The data of an event in one line: "Thursday 25 February 2027 (in 24 days) · expected". */
const char *show_data(struct cli *cli, const struct object *event);
enum paint { PLAIN, BOLD, DIM, RED, YELLOW, GREEN, BLUE };
/* Columns that are as wide as what stands in them. Cells are added row by row; texts are copied. */
struct columns { struct cli *cli; struct arena arena; struct cell *cells; size_t n, width; };
void columns_begin(struct columns *columns, struct cli *cli, size_t width);
void columns_cell(struct columns *columns, enum paint paint, const char *format, ...) __attribute__((format(printf, 3, 4)));
void columns_print(struct columns *columns, FILE *out);                  /* and releases them */
void painted(const struct cli *cli, FILE *out, enum paint paint, const char *format, ...) __attribute__((format(printf, 4, 5)));

/* --- the commands ------------------------------------------------------------------------------------------------------------------------ */

int keygen_main(struct cli *cli, int argc, char **argv);            /* keygen.c */
int publish_main(struct cli *cli, int argc, char **argv);           /* publish.c */
int inbox_main(struct cli *cli, int argc, char **argv);             /* inbox.c */
int done_main(struct cli *cli, int argc, char **argv);
int retry_main(struct cli *cli, int argc, char **argv);
int status_main(struct cli *cli, int argc, char **argv);            /* status.c */
int receipts_main(struct cli *cli, int argc, char **argv);
int link_main(struct cli *cli, int argc, char **argv);
int directory_main(struct cli *cli, int argc, char **argv);
int handover_main(struct cli *cli, int argc, char **argv);          /* handover.c: receive, accept, decline … */
int case_main(struct cli *cli, int argc, char **argv);              /* case.c */
int cases_main(struct cli *cli, int argc, char **argv);             /* worklist.c */
const char *handover_clock(struct cli *cli, const struct object *line);   /* case.c: what it waits for, and how long */
int offers_main(struct cli *cli, int argc, char **argv);
int replay_main(struct cli *cli, int argc, char **argv);            /* replay.c */
int report_main(struct cli *cli, int argc, char **argv);            /* report.c */
void show_page(struct cli *cli, const struct object *page);         /* case.c: the page of a case */

/* --- resume.c: a replay that carries on after a lost link -------------------------------------------------------------------------- */

/* What is asked of the log; NULL: not given. The lines go to fn, each once and in the order of the log, however often the link breaks in between. An exit status, told already. */
struct replay_question {
	const char *purpose, *on_behalf_of, *from, *to, *subject, *type, *agency, *as_of, *as_seen_by, *records, *after, *limit;
};
int ask_replay(struct cli *cli, const struct replay_question *question, ask_line_fn *fn, void *context);
/* Where a line stands: the sequence that --after takes to go on behind it. False: it has none. */
bool line_sequence(const char *line, uint64_t *ret_sequence);
int admin_main(struct cli *cli, int argc, char **argv);             /* admin.c */
int restore_main(struct cli *cli, const char *backup, const char *keys_backup); /* restore.c; keys_backup may be NULL */
int accept_epoch_main(struct cli *cli, int argc, char **argv);      /* accept.c */

/* draft.c, publish.c: an event from what was typed; used by the handover steps as well. */
struct draft {
	const char *type, *subject, *op, *target, *sanction, *id, *time, *slot_version, *cause;
	bool urgent;
	const char *const *fields;      /* "FIELD=VALUE" …, NULL-terminated */
};
/* ERR_INVALID with what is wrong. */
int draft_write(const struct draft *draft, struct buf *out, struct err *err);
/* A case reference or our own file number → the case reference, in cli->shown. An exit status, told already. */
int resolve_case(struct cli *cli, const char *name, const char **ret_subject);
/* Hands in and prints the receipt. The exit status: DONE also when it waits in the outbox. */
int draft_publish(struct cli *cli, const struct draft *draft, const char *timeout);
const char *result_word(const struct cli *cli, const char *result); /* of a receipt, for people; as it stands if it is none */

#endif
