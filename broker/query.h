/* Questions that an agency asks, answered in parts as far as the asker gives credit; nothing of a part is remembered but where the next one begins. */
#ifndef BROKER_QUERY_H
#define BROKER_QUERY_H

#include <stdbool.h>
#include <stdint.h>

#include "broker/broker.h"

#define QUERIES_MAX 4                /* of one session, at one time */
#define QUERY_PARAMETERS_MAX 16
#define QUERY_TEXT_MAX 2000          /* of one parameter */
#define QUERY_CREDIT 8               /* parts, if the question gives none */
#define QUERY_CREDIT_MAX 4096
#define ANSWER_MAX 256               /* items or objects in one part */
#define ANSWER_BYTES ((size_t)256 << 10)

struct parameter { const char *name, *value; };

/* Where the next part begins; each kind uses what it needs. */
struct query_at {
	char after[65];                  /* case reference */
	uint64_t position;
	size_t index, given;             /* given: so many records have been shown */
	char municipality[8];            /* of the case that is asked about, as of `position` */
};

struct query {
	struct query *next;
	const struct query_kind *kind;
	uint64_t number;
	uint32_t credit;
	bool begun;
	struct arena arena;              /* parameters and whatever begin makes */
	struct parameter *parameters; size_t n_parameters;
	struct query_at at;
	void *own;                       /* what the kind keeps; its `end` frees it */
	bool counted;                    /* all has been shown: at.given goes on record */
	const uint8_t *packed; size_t packed_n; /* of this part: items beside answer->items, as they stand in an Answer; in broker->reading */
	size_t limit;
};

/* begin and part return OK, or an error that refuses or ends the question: ERR_INVALID (invalid-value), ERR_NOTFOUND (no-such-case), ERR_DENIED (not-allowed),
 * others (busy: try later); err->text is the detail. part fills the answer from broker->reading, moves query->at on and sets answer->last with the last part. */
struct query_kind {
	const char *name;
	uint32_t roles;                  /* ROLE_BIT of those who may ask; 0: all */
	const char *parameters;          /* names that are known, each followed by a space; "*": any */
	int (*begin)(struct broker *broker, struct session *session, struct query *query, struct err *err);
	int (*part)(struct broker *broker, struct session *session, struct query *query, Reentry__Answer *answer, struct err *err);
	void (*end)(struct query *query); /* NULL: there is nothing to free; called also when begin failed */
};
const struct query_kind *query_kinds(size_t *ret_n);

/* The parameter's value; NULL: not given. */
const char *query_value(const struct query *query, const char *name);
/* A whole number from 0 to max; the fallback if not given. ERR_INVALID. */
int query_number(const struct query *query, const char *name, uint64_t fallback, uint64_t max, uint64_t *ret_value, struct err *err);
int query_moment(const struct query *query, const char *name, moment *ret_value, struct err *err);   /* MOMENT_NONE if not given */
/* Records that the agency was refused or was shown something: DENIED or REPLAY, in a turn of its own. */
int query_audit(struct broker *broker, const struct session *session, const struct query *query, bool denied, const char *subject, const char *outcome);

/* query_case.c */
int case_begin(struct broker *broker, struct session *session, struct query *query, struct err *err);
int case_part(struct broker *broker, struct session *session, struct query *query, Reentry__Answer *answer, struct err *err);
int cases_begin(struct broker *broker, struct session *session, struct query *query, struct err *err);
int cases_part(struct broker *broker, struct session *session, struct query *query, Reentry__Answer *answer, struct err *err);
/* directory.c */
int directory_begin(struct broker *broker, struct session *session, struct query *query, struct err *err);
int directory_part(struct broker *broker, struct session *session, struct query *query, Reentry__Answer *answer, struct err *err);
/* query_replay.c */
int replay_begin(struct broker *broker, struct session *session, struct query *query, struct err *err);
int replay_part(struct broker *broker, struct session *session, struct query *query, Reentry__Answer *answer, struct err *err);
void replay_end(struct query *query);
/* query_prove.c */
int prove_question_begin(struct broker *broker, struct session *session, struct query *query, struct err *err);
int prove_question_part(struct broker *broker, struct session *session, struct query *query, Reentry__Answer *answer, struct err *err);
void prove_question_end(struct query *query);

#endif
