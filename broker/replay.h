/* What the questions of an auditor about the log share (query_replay.c, query_events.c, query_given.c, query_state.c, query_record.c). What moves from part to part is in query->at, so that a part
 * that could not be sent is made again. */
#ifndef BROKER_REPLAY_H
#define BROKER_REPLAY_H

#include "broker/core_past.h"
#include "broker/query.h"
#include "rules/scope.h"

#define RECORDS_ROUND 2048           /* records looked at for one part, so that other sessions get their turn */
#define TYPES_MAX 64

enum replay_mode { REPLAY_EVENTS, REPLAY_GIVEN, REPLAY_STATES, REPLAY_RECORDS };

struct given { uint64_t position, at, acked; };   /* handed over by the record at `at`; acked: 0 not yet */

struct replay {
	enum replay_mode mode;
	const char *subject, *seen_by, *agency; /* NULL: any; agency: who published it */
	const char *types[TYPES_MAX]; size_t n_types;   /* 0: any that the scope grants */
	moment as_of;                        /* MOMENT_NONE: now */
	uint64_t after;                      /* where an interrupted one goes on */
	uint64_t first, last;                /* of the events that are asked about, both included */
	uint64_t through;                    /* nothing behind this record counts: the end of the log when the question began, or what as_of says */
	size_t limit;
	uint64_t *chain; size_t n_chain;     /* of `subject`, oldest first */
	struct given *given; size_t n_given, room;
	uint64_t *seen;                      /* events that were looked up: position and whether they may be known of */
	struct past past;
};

/* Whether the event is one of those that were asked about: window, publisher and type; the scope is another question. */
bool replay_wanted(const struct replay *replay, const struct core_record *record);
bool replay_type(const struct replay *replay, const struct core_record *record);   /* the type alone */
bool replay_in_chain(const struct replay *replay, uint64_t position);
/* By which order the case was erased, for a line about one of its records. */
const char *replay_order(struct broker *broker, const char *subject);
/* The event as the auditor may see it; also of an erased one. ERR_NOTFOUND: nothing of it. */
int replay_show(struct broker *broker, const struct scope *scope, const struct core_record *record, Reentry__Delivery **ret_item);
/* Takes one more line into the answer: a copy; the buffer is emptied. */
int replay_line(struct broker *broker, Reentry__Answer *answer, struct buf *line);
/* Makes room for ANSWER_MAX lines or items. */
int replay_room(struct broker *broker, Reentry__Answer *answer, struct err *err);
/* {"record":NAME,"sequence":…,"recordedtime":…: the beginning of a line about a record. */
void replay_head(struct buf *out, const char *name, const Reentry__Header *header);
/* ,"name":"text"; nothing for NULL. ,"name":"20 digits". ,"name":"moment". */
void replay_text(struct buf *out, const char *name, const char *text);
void replay_sequence(struct buf *out, const char *name, uint64_t sequence);
void replay_moment(struct buf *out, const char *name, moment when);
/* The event as a JSON line, as every agent writes it. */
int replay_event(const Reentry__Delivery *delivery, struct arena *arena, struct buf *out);
int replay_unreadable(uint64_t position, struct err *err);   /* ERR_CORRUPT */

int events_part(struct broker *broker, struct session *session, struct query *query, Reentry__Answer *answer, struct err *err);
int given_part(struct broker *broker, struct session *session, struct query *query, Reentry__Answer *answer, struct err *err);
int states_part(struct broker *broker, struct session *session, struct query *query, Reentry__Answer *answer, struct err *err);
int records_part(struct broker *broker, struct session *session, struct query *query, Reentry__Answer *answer, struct err *err);

#endif
