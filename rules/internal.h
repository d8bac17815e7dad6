/* What the files of rules/ share and nobody else sees. rules.h is the map; here are the shorthands, the row of the catalogue,
 * the timers, and the calls between the subjects (one section per file). Names of states and needs without their long prefixes. */
#ifndef RULES_INTERNAL_H
#define RULES_INTERNAL_H

#include <stdbool.h>
#include <string.h>

#include "proto/event.pb-c.h"
#include "rules/rules.h"

typedef Reentry__CaseState state;
typedef Reentry__Handover handover;
typedef Reentry__Sanction sanction;
typedef Reentry__NeedState need_state;
typedef Reentry__Need__Value need;

#define NEED(name) REENTRY__NEED__VALUE__##name
#define STATUS(name) REENTRY__NEED_STATUS__VALUE__##name
#define HANDOVER(name) REENTRY__HANDOVER_STATE__VALUE__##name
#define OP(name) REENTRY__OP__VALUE__##name
#define PHASE(name) REENTRY__PHASE__VALUE__##name
#define CLASS(name) REENTRY__CLASS__VALUE__##name
#define KIND(name) REENTRY__SENTENCE_KIND__VALUE__##name
#define URGENT REENTRY__PRIORITY__VALUE__URGENT

/* Sets an optional scalar of a message. */
#define SET(message, field, value) ((void)((message)->has_##field = true), (void)((message)->field = (value)))
#define UNSET(message, field) ((void)((message)->has_##field = false), (void)((message)->field = 0))

static inline bool same(const char *a, const char *b) { return a && b && strcmp(a, b) == 0; }
static inline bool class_c(need code) { return code == NEED(PSYCHIATRIC) || code == NEED(ADDICTION) || code == NEED(LVB); }
static inline need shown_need(need code) { return class_c(code) ? NEED(CARE) : code; }
static inline uint32_t care_bit(need code) { return class_c(code) ? 1u << (code - NEED(PSYCHIATRIC)) : 0; }
#define CARE_ALL 7u
#define DAY_MS INT64_C(86400000)

/* --- timers (timer.c) ------------------------------------------------------------------------------------------------
 * Of two that are due at the same moment the earlier kind fires first. Numbers are stored: append only. */
enum timer_kind {
	TIMER_HOLD = 1, TIMER_MILESTONE, TIMER_START_MILESTONE, TIMER_CHECK, TIMER_START_CHECK, TIMER_SCREENING, TIMER_STILL_UNKNOWN,
	TIMER_UNASSIGNED, TIMER_FOLLOWUP, TIMER_FOLLOWUP_REMIND, TIMER_DEADLINE, TIMER_REMIND, TIMER_URGENT_REMIND, TIMER_START_REPORT,
	TIMER_DELIVERY, TIMER_BEHIND, TIMER_OVERDUE, TIMER_RETENTION, TIMER_CONSENT, TIMER_KINDS,
};
void timer_arm(struct rules_run *run, enum timer_kind kind, moment due, const char *ref, uint64_t n);
/* ref NULL: whatever the ref. */
void timer_disarm(state *c, enum timer_kind kind, const char *ref);
void timer_disarm_n(state *c, enum timer_kind kind, const char *ref, uint64_t n);
const Reentry__Timer *timer_find(const state *c, enum timer_kind kind, const char *ref);
/* Evolve: a fired timer is used up; periodic kinds arm themselves again. */
void timer_consume(struct rules_run *run, const Reentry__Timer *fired);
/* Closing ends them; reopening arms again what lies ahead or is still owed. */
void timers_close(struct rules_run *run);
void timers_reopen(struct rules_run *run);
/* Of a case that was merged into another only retention runs. */
bool timer_runs(const state *c, const Reentry__Timer *timer);
/* Decide: what a due timer leads to. */
void timer_fired(struct rules_run *run, const Reentry__Timer *timer);

/* --- the catalogue (catalogue.c) ---------------------------------------------------------------------------------------- */
enum slot_kind { SLOT_NONE, SLOT_START, SLOT_RELEASE, SLOT_DESTINATION, SLOT_NEED, SLOT_HANDOVER, SLOT_BOOKING, SLOT_CONTACT };

/* Whom a row reaches, beyond the relations of rules.h. */
enum {
	TO_OFFERER = 1 << 8,      /* the offerer of the handover that the payload names */
	TO_TAKER = 1 << 9,        /* its candidate or provider */
	TO_CARE = 1 << 10,        /* providers of role care */
	TO_EMPLOYER = 1 << 11,    /* providers of role employer */
	TO_NEED = 1 << 12,        /* the provider of the need that the payload names */
	TO_UNCONFIRMED = 1 << 13, /* agencies that want unconfirmed releases and have a relation */
	TO_NAMED = 1 << 14,       /* whom the decision names (run->named) */
	TO_BOTH = 1 << 15,        /* custodians before and after */
	TO_KEEPING = 1 << 16,     /* municipalities that had a relation before and have it after */
	TO_OTHER = 1 << 18,       /* relations of the other case, of a merge */
	TO_SUPERVISING = 1 << 17, /* the supervisor of the sanction only */
};
enum row_flags {
	ROW_OPENS = 1,            /* needs no relation; opens and reopens a case */
	ROW_OWN_RELATION = 2,     /* `relation` decides alone */
	ROW_ANSWER = 4,           /* a step of a handover by its candidate or provider */
	ROW_BY_OFFERER = 8,
	ROW_URGENT = 16,          /* delivered URGENT whatever the publisher said */
	ROW_CARE = 32,            /* class C by its type */
	ROW_NEED_CLASS = 64,      /* class C if the payload's need is */
	ROW_WHEN_CLOSED = 128,    /* accepted on a closed case */
	ROW_ANY_ROLE = 256,
	ROW_BY_PROVIDER = 512,    /* a step of a handover after its acceptance */
};

struct decision;
struct type_row {
	const char *name;
	uint32_t publishers;      /* ROLE_BITs; 0: the broker only */
	uint32_t receivers;       /* REL_ and TO_ bits */
	Reentry__Class__Value class;
	enum slot_kind slot;
	uint32_t flags;
	const ProtobufCMessageDescriptor *payload;
	const char *required;     /* field names; '!' marks those that CANCEL and RETRACT need as well */
	/* Decide, before anything is recorded: 0, or a refusal set with refuse(). */
	int (*relation)(struct decision *);
	int (*check)(struct decision *);
	int (*check_off)(struct decision *);   /* instead of check, for CANCEL and RETRACT */
	/* Evolve. */
	void (*apply)(struct rules_run *, const struct rules_record *, const void *data);
	/* Decide, afterwards. */
	void (*react)(struct rules_run *, const struct rules_record *, const void *data);
	/* The arranging types: what they make of which need (0: the payload's). */
	need need;
	Reentry__NeedStatus__Value status;
};
const struct type_row *catalogue_find(const char *type);
const struct type_row *catalogue_row(size_t i); /* NULL past the end */

/* --- one decision (decide.c) ----------------------------------------------------------------------------------------------- */
struct decision {
	struct rules_run *run;
	const struct rules_input *input;
	const struct type_row *row;
	const void *data;
	Reentry__Op__Value op;
	struct verdict *verdict;
	uint32_t relations;       /* of the publisher, before */
};
/* Fills the verdict and returns -1. */
int refuse(struct decision *d, const char *code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* What the broker makes. Fields left zero are left out. */
struct made {
	const char *type;
	const void *data;
	Reentry__Op__Value op;
	const char *target, *sanction;
	bool urgent;
	const char *named;        /* TO_NAMED: this agency */
	const char *named_too;
	uint32_t receivers;       /* not 0: instead of the row's */
};
/* Records and applies an event of the broker's; returns its record, or NULL with run->error. Uses up run's fired timers. */
const struct rules_record *emit(struct rules_run *run, const struct made *made);
/* Refreshes what is a function of the state: CARE, gaps, who gained and lost a relation. */
void settle(struct rules_run *run);

/* What a decision carries besides the public part; rules_run is embedded in it (decide.c). */
struct working {
	const Reentry__Timer *fired[32]; size_t n_fired;   /* to be used up by the next record */
	struct related *before; size_t n_before;           /* relations when the decision began */
	struct relations relations;                        /* where the caller has no place for them */
	bool opened;                                       /* the case was opened by this decision */
	bool existed;
	const char *cause;                                 /* event id */
	const char *told_end[16]; size_t n_told_end;       /* got their last message already */
	uint32_t touched;                                  /* bits of needs that were published in this decision */
	const char *named, *named_too;
	uint32_t receivers;
	ProtobufCBinaryData other;                         /* the other case, packed, for the next record */
};
struct working *working(struct rules_run *run);
/* Relations as the state is now; borrowed. The error is the run's too. */
int relations_now(struct rules_run *run, struct related **ret_related, size_t *ret_n);

/* --- evolve (evolve.c) -------------------------------------------------------------------------------------------------------- */
/* Applies one event record to the state, up to the routes; then the part that depends on them. */
void evolve_event(struct rules_run *run, struct rules_record *record, const struct type_row *row, const void *data);
void evolve_routes(struct rules_run *run, const struct rules_record *record, const struct type_row *row, const void *data);
char *keep(struct rules_run *run, const char *text);   /* a copy in the arena */
Reentry__Phase__Value phase_now(const state *c);

/* --- slots (slot.c) -------------------------------------------------------------------------------------------------------------- */
/* The slot that an event is a version of, or NULL if it does not exist yet (or the type has none). */
Reentry__Slot *slot_find(const state *c, const struct type_row *row, const Reentry__Event *event, const void *data);
int slot_check(struct decision *d, uint32_t *ret_version, bool *ret_stale);
void slot_bump(struct rules_run *run, Reentry__Slot **slot, const struct rules_record *record);

/* --- relations and routes (relation.c, route.c) ------------------------------------------------------------------------------------ */
/* In a list of relations_of, all of one policy; NULL: the agency has none. */
const struct related *related_find(const struct related *list, size_t n, const struct agency *agency);
uint32_t relations_of_agency(const state *c, const struct policy *policy, const char *agency);
bool needs_desk(const state *c, const struct policy *policy);
uint32_t care_access(const state *c, const struct agency *agency, uint32_t relations, moment now, bool *ret_by_consent);
int routes_fill(struct rules_run *run, struct rules_record *record, const struct type_row *row, const void *data);
const char *responsible(const state *c, const handover *h, const struct policy *policy, moment now);

/* --- custody, sentence, destination (custody.c) ----------------------------------------------------------------------------------- */
void destination_arm(struct rules_run *run);
void fired_screening(struct rules_run *run, const Reentry__Timer *timer);
void fired_unassigned(struct rules_run *run, const Reentry__Timer *timer);

/* --- release dates (release.c), countdowns (countdown.c) ----------------------------------------------------------------------------- */
bool release_counts(const state *c);                       /* a date is set, the person inside, and it is not history */
bool milestone_passed(const struct rules_run *run, int milestone); /* of the current release version, at run->now */
void countdown_arm(struct rules_run *run, bool start, civil_date date);
void countdown_disarm(state *c, bool start);
void countdown_begin(struct rules_run *run, bool start);   /* decide: a version became current */
void fired_milestone(struct rules_run *run, const Reentry__Timer *timer);
void fired_check(struct rules_run *run, const Reentry__Timer *timer);
void fired_hold(struct rules_run *run, const Reentry__Timer *timer);
void fired_still_unknown(struct rules_run *run, const Reentry__Timer *timer);
void release_forget(state *c);                             /* evolve: a new custody */

/* --- needs and gaps (need.c, gap.c) --------------------------------------------------------------------------------------------- */
need_state *need_find(const state *c, need code);
/* The combined need; false if nobody published any of the three. */
bool care_combined(const state *c, Reentry__NeedStatus__Value *ret_status, bool *ret_has_from, civil_date *ret_from);
void care_settle(struct rules_run *run);
void gaps_settle(struct rules_run *run);
/* The open needs, full codes, for a notice. */
size_t open_needs(const state *c, need codes[16]);
void needs_sort(need *codes, size_t *n);                   /* by name, each once */
const char *need_name(need code);

/* --- handovers (handover.c, offer.c) ------------------------------------------------------------------------------------------------- */
handover *handover_find(const state *c, const char *ref);
bool handover_open(const handover *h);
bool handover_is_candidate(const handover *h);             /* its `to` has an open offer */
void handovers_release_changed(struct rules_run *run, bool had_date, civil_date old_date);
void handovers_escalate(struct rules_run *run);
void handover_hold(struct rules_run *run, handover *h);
void handovers_hold(struct rules_run *run);
void handovers_resume(struct rules_run *run);
void handovers_hold_again(struct rules_run *run);
void handovers_close(struct rules_run *run);
void offer_deadline(const struct rules_run *run, const handover *h, bool asked_urgent, moment *ret_by, bool *ret_urgent);
void offer_timers(struct rules_run *run, handover *h);
void offer_timers_off(state *c, const char *ref);
void fired_deadline(struct rules_run *run, const Reentry__Timer *timer);
void fired_remind(struct rules_run *run, const Reentry__Timer *timer);
void fired_start_report(struct rules_run *run, const Reentry__Timer *timer);

/* --- community service, supervision (service.c, supervision.c) ------------------------------------------------------------------- */
sanction *sanction_find(const state *c, const char *ref, Reentry__SentenceKind__Value kind, bool running);
bool sanctions_running(const state *c);
/* Of its timers: never NULL, which would mean those of all. */
static inline const char *sanction_timers(const sanction *s) { return s->ref ? s->ref : ""; }
void fired_behind(struct rules_run *run, const Reentry__Timer *timer);
void fired_overdue(struct rules_run *run, const Reentry__Timer *timer);
void supervision_hold(struct rules_run *run);
void supervision_resume(struct rules_run *run);
void supervision_restore(struct rules_run *run);           /* it should not have been on hold: the contact that was planned still is */

void case_reopen(struct rules_run *run);                   /* evolve; nothing if it is open */

/* --- aftercare: follow-ups, consent, retention, closing, deliveries (aftercare.c, retention.c) --------------------------------------- */
void followups_arm(struct rules_run *run);
void followups_off(state *c);
void fired_followup(struct rules_run *run, const Reentry__Timer *timer);
void fired_delivery(struct rules_run *run, const Reentry__Timer *timer);
void fired_retention(struct rules_run *run, const Reentry__Timer *timer);
void fired_consent(struct rules_run *run, const Reentry__Timer *timer);
void retention_told(struct rules_run *run, const char *agency, size_t guess, civil_date date); /* guess: its place among those who were told, if they were the same as now */
void retention_arm(struct rules_run *run, const Reentry__Told *told);
void retention_arm_all(struct rules_run *run);
void retention_forget(state *c, const char *agency);

/* --- merging (merge.c, union.c) --------------------------------------------------------------------------------------------------------------- */
Reentry__Merge *merge_find(const state *c, const char *other);
void union_bring(struct rules_run *run, Reentry__Merge *m, const state *other);          /* evolve, on the case that goes on */
void union_give_back(struct rules_run *run, const Reentry__Merge *m);
void union_take_back(struct rules_run *run, const state *from, const Reentry__Merge *m); /* evolve, on the other */
bool merge_takes_other(const struct rules_run *run, const struct type_row *row, const void *data);
int decide_begin(struct rules_run *run);                   /* decide.c: before anything else of a decision */
/* decide.c: records the broker's event `type` on the followed case, with the state of the first in it. */
int decide_follow(struct rules_run *run, const char *type, const void *data, const ProtobufCBinaryData *other);

/* --- snapshots (snapshot.c) ----------------------------------------------------------------------------------------------------------- */
void snapshot_emit(struct rules_run *run, const char *agency);

#endif
