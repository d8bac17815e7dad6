/* The domain, pure: no clock, no socket, no store, no random number (design.md 1). This header is the map of rules/.
 *
 * The unit is one case. Its state is a Reentry__CaseState (proto/record.proto). Two functions decide, and hand out
 * EVENT and TIMER records; one function evolves a state by a record and is the only one that changes it:
 *
 *   rules_publish   an agency's event   → verdict, and records: the event itself, then what it leads to
 *   rules_fire      the clock           → records for every timer due at or before now
 *   rules_acked     a watched delivery was acknowledged → records
 *   rules_evolve    a record            → the state after it
 *
 * The deciding functions evolve `run->state` themselves, record by record, in the order in which they hand them out, so
 * afterwards the state is the one that a rebuild gets by rules_evolve over the same records. Nothing is recomputed there.
 */
#ifndef RULES_RULES_H
#define RULES_RULES_H

#include "lib/arena.h"
#include "lib/err.h"
#include "proto/record.pb-c.h"
#include "rules/policy.h"

#define RULES_VERSION 3

/* A record that a decision has produced, in order. All memory is the run's arena's. */
struct rules_record {
	Reentry__RecordKind__Value kind;      /* EVENT or TIMER */
	uint64_t position;
	const char *agency;                   /* publisher: an agency id or the broker's id */
	Reentry__Class__Value class;          /* whose key seals the body: the strictest class that it holds */
	Reentry__EventRecord *event;          /* EVENT: content packed, routes, phase …: the body as it will be stored */
	Reentry__TimerRecord *timer;          /* TIMER */
	const Reentry__Event *envelope;       /* EVENT: event->content unpacked */
	const char *subject;                  /* for rules_show: the case that it is recorded on; NULL: the envelope's */
};

/* One decision on one case. The caller fills the first part; the rules fill the rest. */
struct rules_run {
	const struct policy *policy;
	struct arena *arena;                  /* everything that is produced or grown in the state */
	moment now;                           /* recorded_at of all records of this run */
	uint64_t position;                    /* of the next record; counted up by the rules */
	const char *subject;                  /* the case */
	Reentry__CaseState *state;            /* NULL: the case does not exist; made in the arena when it is opened */
	/* Another case that this one names (case.merged); NULL if not needed. See rules_needs_other. */
	Reentry__CaseState *other;
	struct relations *relations;          /* of the state, as long as the caller's arena lasts; NULL: the run remembers them for itself */

	/* After a merge or unmerge that took effect: the type to follow with on the other case (rules_follow), and this case's state for it. */
	const char *follow, *follow_subject;
	ProtobufCBinaryData follow_state;

	struct rules_record *records; size_t n_records;
	int error;                            /* ERR_NOMEM: throw the run away */
	struct working *working;              /* private to rules/; the caller leaves it NULL */
};

/* What the publisher is told (domain.md 3.4). For ACCEPTED and STALE the first record of the run is the event. For REFUSED with `record` also. */
struct verdict {
	Reentry__Outcome__Value result;       /* ACCEPTED, STALE or REFUSED; duplicates are found before */
	const char *code;                     /* REFUSED: a literal */
	char detail[256];                     /* "field: why", or a warning with ACCEPTED; may be empty */
	uint64_t position;                    /* of the first record; 0 if there is none */
};

/* An event as it came in, checked for form (pb_unpack) but not for sense. agency: by the authenticated key. */
struct rules_input {
	const struct agency *agency;
	const Reentry__Event *event;
	const uint8_t *content; size_t content_n;   /* the bytes that event was unpacked from: stored as they are */
	moment time;                                /* when the agency logged it */
	const void *data;                           /* the payload, unpacked by rules_form; NULL for an unknown type */
	const struct type_row *row;                 /* private to rules/: what rules_form found; NULL: it is looked for again */
};

/* The first check (domain.md 3.2 "well-formed"), before the caller looks for duplicates: id, type and subject are there, references have their form, op and
 * priority are known, the payload of a known type can be unpacked and has no unknown field. Fills input->data. ERR_INVALID: refuse `malformed` with err->text as detail. */
int rules_form(struct rules_input *input, struct arena *arena, struct err *err);

/* Checks type, role, relation, values and slot in the order of domain.md 3.2, and if nothing is wrong records and applies the event and everything it leads to.
 * A refusal leaves the state alone; it yields one EVENT record with outcome REFUSED so that it stands in the log.
 * The caller has checked before: size, rules_form, duplicate / id-conflict. Returns OK or run->error. */
int rules_publish(struct rules_run *run, const struct rules_input *input, struct verdict *ret_verdict);
/* Fires everything due at or before run->now, earliest first, including what firing arms. Bounded by RULES_FIRE_MAX. */
int rules_fire(struct rules_run *run);
#define RULES_FIRE_MAX 10000
/* The agency has acknowledged the delivery of `position`, whose route had `watch`. */
int rules_acked(struct rules_run *run, const char *agency, uint64_t position);
/* The agency is given its current view of the case again (it lost its store): one case.snapshot, if it has a relation. */
int rules_snapshot(struct rules_run *run, const char *agency);

/* Evolves run->state (making it if the record opens the case) by one stored record: needs policy, arena, now (the record's time), position, subject, state. */
int rules_evolve(struct rules_run *run, const struct rules_record *record);
/* For a rebuild: fills in record->envelope from record->event->content. */
int rules_record_load(struct rules_record *record, struct arena *arena);

/* The subject of the second case that deciding on this event needs (case.merged, case.unmerged), or NULL. The caller loads it into run->other. */
const char *rules_needs_other(const Reentry__Event *event, struct arena *arena);

/* The second half of a merge or unmerge: `run` is on run->other's case (first->follow_subject), after `first` on the case that goes on. */
int rules_follow(struct rules_run *run, const struct rules_run *first);
/* On a case that was merged into another: an agency whose relation to that one has ended (or that has none) gets the message that ends it under this reference too. */
int rules_leave(struct rules_run *run, const char *agency);

/* The earliest deadline of the case; MOMENT_NONE if there is none. The caller keeps an index of these. */
moment rules_next_due(const Reentry__CaseState *state);

/* The descriptor of a type's payload; NULL for an unknown type (json_payload_of). */
const ProtobufCMessageDescriptor *rules_payload_of(const char *type);

/* --- what an agency is shown: pure in (record, route, role, rules version) --------------------------------------- */

/* The event as this receiver may see it: a new envelope in the arena with data reduced (need as CARE, offers without the case, minimum for employers …).
 * role: of the receiver. `municipality` is NULL where the receiver must not learn it. ERR_NOTFOUND: nothing of it may be shown to it (any more). */
struct shown { Reentry__Event *event; const uint8_t *content; size_t content_n; const char *municipality; bool has_phase; };
/* The class C needs that the agency may see at `now` (bits of Route.care). A route that has `consent` set is shown with this, at the moment of delivery: a consent
 * that was withdrawn or has ended since stops what is queued (domain.md 9). */
uint32_t rules_care(const Reentry__CaseState *state, const struct policy *policy, const char *agency, moment now);
/* Schools, employers and volunteers: they see the minimum. */
bool rules_minimal_role(enum role role);
/* Whether both routes of the record are shown the same, so that it need be made once only; false where that cannot be told beforehand. */
bool rules_show_alike(const struct rules_record *record, const Reentry__Route *a, enum role role_a, const Reentry__Route *b, enum role role_b);
int rules_show(const struct rules_record *record, const Reentry__Route *route, enum role role, struct arena *arena, struct shown *ret_shown);
/* The event as somebody may see it who was granted these classes, and has no relation to the case (an auditor): the bytes as recorded; or, without class C, a notice, snapshot or offer with
 * class C needs as CARE, for which A and B are needed. ERR_NOTFOUND: nothing of it. */
#define CLASS_BIT(class) (1u << (class))
int rules_show_classes(const struct rules_record *record, uint32_t classes, struct arena *arena, struct shown *ret_shown);

/* --- relations (domain.md 2) ---------------------------------------------------------------------------------------- */

enum relation {
	REL_CUSTODIAN = 1, REL_SUPERVISOR = 2, REL_AUTHORITY = 4, REL_MUNICIPALITY = 8, REL_CANDIDATE = 16, REL_PROVIDER = 32, REL_DESK = 64,
	REL_ALL = 1 | 2 | 4 | 8 | 32 | 64,    /* "all relations" never includes candidates */
	REL_NAMED = 128,                      /* no relation: named by the event itself (an offer that has ended, a case withdrawn) */
};
struct related { const struct agency *agency; uint32_t relations; };
/* Every agency that has a relation to the case at `now`, sorted by id, each once. state NULL: none. */
int relations_of(const Reentry__CaseState *state, const struct policy *policy, struct arena *arena, struct related **ret_related, size_t *ret_n);
/* The same, remembered: made again only when the state names others than it did. Zeroed: nothing is known yet. It lasts as long as the arena that the state and the list are in; a list that was
 * handed out is not changed any more. */
struct relations {
	struct related *list; size_t n;
	const struct policy *policy;
	const struct naming *namings; size_t n_namings; /* private to relation.c */
};
int relations_again(struct relations *known, const Reentry__CaseState *state, const struct policy *policy, struct arena *arena);

/* --- the case as a page (reentry case C; design.md 4) ---------------------------------------------------------------- */

/* One JSON object, cut to what the agency may see; ERR_NOTFOUND if it has no relation (the same as no such case). */
int rules_case_view(const Reentry__CaseState *state, const struct policy *policy, const struct agency *asking, moment now, struct arena *arena, char **ret_json);
/* A work-list line of the case for an agency (reentry cases, reentry offers): one JSON object with the flags that filters use; ERR_NOTFOUND. */
int rules_case_line(const Reentry__CaseState *state, const struct policy *policy, const struct agency *asking, moment now, struct arena *arena, char **ret_json);
/* The whole case for somebody who was granted these classes (CLASS_BIT): dates, places and who has which relation are A, needs, gaps and handovers B; without C its needs are shown as CARE. */
int rules_case_state(const Reentry__CaseState *state, const struct policy *policy, uint32_t classes, moment now, struct arena *arena, char **ret_json);
/* "custodian" …; NULL behind the last. */
const char *rules_relation_name(size_t i, uint32_t *ret_bit);
/* A human-readable name of a timer kind ("milestone", "offer-deadline"), for admin timers. */
const char *rules_timer_name(uint32_t kind);

#endif
