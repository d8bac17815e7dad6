/* Who was given what of a case, and when; who looked, asked, was denied (docs/audit.md; NEN 7513). Pure: it is fed the lines of a replay of one case with its records, in the order of the log. */
#ifndef CLI_ACCESS_H
#define CLI_ACCESS_H

#include "cli/cli.h"

/* What a line of the report is about. */
enum access_what {
	ACCESS_REPORTED,                /* an agency, or the broker, said something of the case; `to` is who it was for */
	ACCESS_SHOWN, ACCESS_READ, ACCESS_READ_ALL, ACCESS_PROVED, ACCESS_DENIED, ACCESS_REFUSED, ACCESS_STALE,
	ACCESS_ERASE_ORDERED, ACCESS_ERASE_WITHDRAWN, ACCESS_ERASE_CONFIRMED, ACCESS_ERASED,
};
struct access_to { const char *agency, *delivered, *acked; const char **relations; size_t n_relations; bool consent; };
struct access_fact {
	enum access_what what;
	const char *sequence, *at, *agency;
	const char *type, *class;       /* REPORTED; type NULL: erased */
	const char *erased;             /* by which order */
	const char *purpose, *on_behalf_of, *code;
	struct access_to *to; size_t n_to;
};
struct access { struct arena arena; struct access_fact **facts; size_t n; };

void access_init(struct access *access);
void access_release(struct access *access);
/* ERR_NOMEM. Lines that say nothing about access are passed over. */
int access_take(struct access *access, const struct object *line);

#endif
