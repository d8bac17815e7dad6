/* A simulated country: random agencies, events, clocks, links and crashes against the broker's core, checked after each step.
 *
 * What ought to happen is computed here a second time, from domain.md alone: model.c folds the accepted events of the log into a state of its own, route.c says
 * who must hear of what, ledger.c keeps outside the core what each agency is owed, check.c compares all of it with what the core holds and hands out. Nothing
 * here calls a function of rules/ for a value that is expected.
 *
 *   world.c     the store, turns, crashes, settling     play.c      the random steps
 *   observe.c   reads what a turn appended, in order    make.c      random events, from the model's point of view
 *   model.c     a case as domain.md has it              fold.c, fold_plan.c, fold_after.c   what each type does to it
 *   types.c     the table of domain.md 3.2              sim.c       seeds, planted faults, the report
 */
#ifndef TESTS_SIM_SIM_H
#define TESTS_SIM_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "broker/config.h"
#include "broker/core.h"
#include "lib/arena.h"
#include "proto/event.pb-c.h"
#include "proto/record.pb-c.h"

#define AGENCIES 32
#define CASES 4
#define NEEDS 14          /* 1 … 12 and CARE, by their number in event.proto */
#define HANDOVERS 6
#define SANCTIONS 12
#define BOOKINGS 6
#define CONSENTS 72
#define PAST 24
#define MILESTONES 16
#define BROKER (-1)
#define NOBODY (-2)
#define ID_SIZE 40
#define TRACE_LINES 48
#define TRACE_SIZE 240

typedef uint32_t agents;  /* a set of agencies, by their index in the policy */
#define ONE(agency) ((agents)1 << (agency))

/* Relations of an agency to a case (domain.md 2). */
enum { PI = 1, SV = 2, AU = 4, GM = 8, CAND = 16, PR = 32, DK = 64, ALL = PI | SV | AU | GM | PR | DK };
/* Receivers that are more than a relation (types.c). */
enum {
	X_OFFERER = 1 << 8, X_TAKER = 1 << 9, X_CARE = 1 << 10, X_EMPLOYER = 1 << 11, X_NEED = 1 << 12, X_NAMED = 1 << 13, X_FORMER = 1 << 14,
	X_KEEPING = 1 << 15, X_SANCTION = 1 << 16, X_DERIVED = 1 << 17, X_UNCONFIRMED = 1 << 18,
};

/* --- the model of a case ------------------------------------------------------------------------------------------------ */

struct slot { unsigned version; int publisher; char event[ID_SIZE]; agents told; };
struct m_need { bool known, has_from, at_risk; int status; civil_date from; struct slot slot; agents publishers; };
struct m_gap { bool open; int reason; unsigned nights; };
struct m_past { int agency; unsigned offer; };
struct m_handover {
	char ref[16];
	int to, offerer, need, state, held;
	unsigned offer;
	bool provider, has_start, urgent, received, unplaced, has_explicit, reminded, resumed;   /* resumed: by the last release */
	civil_date start, report_from;                  /* from when a report of its start is awaited */
	moment offered_at, decide_by, explicit_by, urgent_at;
	uint64_t position;                              /* of the current offer */
	int then[4]; size_t n_then;
	struct m_past past[PAST]; size_t n_past;
	struct slot slot;
};
struct m_booking { char ref[16]; int hours; bool off; struct slot slot; };
struct m_sanction {
	char ref[16];
	int kind, authority, supervisor;
	bool running, ended, on_hold, failed;
	unsigned hours, interval;
	civil_date complete_by;
	bool has_contact;
	moment contact;
	struct slot contact_slot;
	struct m_booking bookings[BOOKINGS]; size_t n_bookings;
};
struct m_consent { int to, class; bool has_until; moment until; };

/* A countdown: to the release, or to the start of a sentence. Milestones by their index in the policy. */
struct m_count { uint32_t armed, expect; bool told_now; };

struct m_case {
	char ref[16];
	bool exists, closed, inside, has_custody_start, screened, has_date, ordered, recorded, released, has_start_date;
	int phase, custodian, origin, destination;      /* codes; -1: none */
	int release_kind;                               /* 0: none */
	moment custody_start, released_at;
	civil_date date, start_date;
	struct slot release, start, dest;
	struct m_count to_release, to_start;
	uint32_t unfired;
	agents confirmed_to;
	struct m_need needs[NEEDS];
	struct m_gap gaps[NEEDS];
	bool care_told, care_known, care_has_from;
	int care_status;
	civil_date care_from;
	struct m_handover handovers[HANDOVERS]; size_t n_handovers;
	struct m_sanction sanctions[SANCTIONS]; size_t n_sanctions;
	struct m_consent consents[CONSENTS]; size_t n_consents;
	uint32_t followups_due, followups_done, followups_missed;   /* bits of days told, done, passed while the case was closed */
	/* of the decision that is being read */
	uint8_t before[AGENCIES], now[AGENCIES];        /* relations */
	bool existed, deciding;
	civil_date unknown_since, unknown_then;         /* 0: a date is known, or nobody said; then: as it was at the release */
	uint64_t decision;                              /* its first position */
	agents ended, snapshots, regained;
	uint32_t published;                             /* needs that it touched */
	bool dates_changed, expect_confirm, expect_retract;
	bool escalate_now;                              /* a date came that milestone 2 of lies behind: what is unresolved after it */
	uint32_t must_escalate, escalated, must_report, reported;   /* bits of handovers: milestone 2; a start that was not reported */
	int expect_next;                                /* handover that was declined or expired: an offer or unplaced follows; -1 */
	agents has_told_date;
	civil_date told_date[AGENCIES];
	moment hold_ends, decided_at;
};

/* --- the catalogue as the simulation reads domain.md ---------------------------------------------------------------------- */

struct sim;
struct seen;
enum slot_of { NO_SLOT, OF_START, OF_RELEASE, OF_DESTINATION, OF_NEED, OF_HANDOVER, OF_BOOKING, OF_CONTACT };
struct type {
	const char *name;
	uint32_t by;                      /* bits of enum role; 0: the broker */
	uint32_t to;                      /* relations and X_ */
	const ProtobufCMessageDescriptor *payload;
	enum slot_of slot;
	void (*fold)(struct sim *, struct m_case *, const struct seen *);
	int need, status;                 /* arranging types (5.1) */
};
const struct type *type_find(const char *name);
const struct type *type_at(size_t i); /* NULL past the end */

/* A record of the log as it is read back after a commit. */
struct seen {
	uint64_t position;
	moment at;
	int publisher;
	const struct type *type;
	int op;
	const Reentry__Event *event;
	const void *data;
	const Reentry__EventRecord *record;
};

/* --- the ledger: what each agency is owed ----------------------------------------------------------------------------------- */

enum entry_state { QUEUED, ACKED, DROPPED };
struct entry {
	uint64_t position;
	uint8_t state, maybe, care, relations;   /* care: bits of the class C needs that it may see; maybe: a consent that let it through has ended */
	uint8_t by_consent, urgent, overdue, delivered;
	int8_t of_case;
	moment at, acked_at;
};
struct account { struct entry *entries; size_t n, room, first; };   /* first: before it nothing is queued */
struct told {                          /* what the sim remembers of a record, by position */
	const struct type *type;
	moment at;
	int8_t of_case, publisher;
	uint8_t class_c;
	uint16_t open_needs;               /* bits, at a notice */
};
struct handed_in { int agency; uint64_t sequence; uint8_t *content; size_t n; char id[ID_SIZE]; };   /* a receipt that was told */

/* --- the whole ---------------------------------------------------------------------------------------------------------------- */

enum fault {
	FAULT_NONE, FAULT_LOSE, FAULT_DOUBLE, FAULT_SWAP, FAULT_LEAK, FAULT_NOTICE_TWICE, FAULT_OLD_NOTICE, FAULT_GAP_TWICE, FAULT_GAP_MISSED, FAULT_RECEIPT,
	FAULT_CLASS_C, FAULT_CANDIDATE, FAULT_CLOCK, FAULT_HOLE, FAULT_TWO_SETS, FAULT_PAST_DEADLINE, FAULT_RESPONSIBLE, FAULT_AFTER_END, FAULT_NO_END, FAULT_REBUILD,
	FAULT_NO_ESCALATION, FAULT_SNAPSHOT,
	FAULTS,
};

struct sim {
	struct broker_config *config;
	const struct policy *policy;
	struct policy slice;               /* what policy points to: a part of the example country */
	struct agency agencies[AGENCIES];
	struct core *core;
	char dir[64], store[80], keys[80];
	uint8_t master[32];
	uint64_t random, seed;
	bool tracing;
	enum fault fault;
	bool planted;                      /* the fault has been committed */

	moment now, recorded;              /* the clock; the latest recorded_at */
	uint64_t last, turn_first;         /* position read so far; the first of the turn that is being read */
	bool down[AGENCIES];
	bool turn, settled;
	struct m_case cases[CASES]; size_t n_cases;
	struct account accounts[AGENCIES];
	struct told *told; size_t told_room;
	struct handed_in *receipts; size_t n_receipts, receipts_room;
	uint64_t ordinal;                  /* of ids */
	struct arena arena;                /* of a step */
	struct arena reading;              /* of a record or a delivery */
	struct arena whole;                /* of the seed */
	struct err err;

	int step;
	char lines[TRACE_LINES][TRACE_SIZE]; size_t n_lines;
	const char *violation;             /* its name, or NULL */
	char why[400];
	uint64_t steps, events, accepted, deliveries, turns;
};

/* Remembers the first violation; returns false, so that checks can return it. */
bool violated(struct sim *s, const char *invariant, const char *format, ...) __attribute__((format(printf, 3, 4)));
void trace(struct sim *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
#define FINE(s) (!(s)->violation)
/* True once, at the place where that fault is planted. */
bool plant(struct sim *s, enum fault fault);

/* random (play.c): splitmix64, seeded */
uint64_t draw(struct sim *s);
size_t below(struct sim *s, size_t n);          /* 0 … n-1; n > 0 */
bool chance(struct sim *s, unsigned percent);

/* calendar (model.c): own shorthands over lib/civil and the configured values */
moment notice_at(const struct sim *s, civil_date date);
moment day_end_at(const struct sim *s, civil_date date);
civil_date day_of(const struct sim *s, moment when);
civil_date working_day(const struct sim *s, civil_date date, int n);

/* model.c */
const char *agency_id(const struct sim *s, int agency);
int agency_of(const struct sim *s, const char *id);               /* NOBODY; the broker's own id: BROKER */
int role_of(const struct sim *s, int agency);
int holder_of(const struct sim *s, int code);                     /* agency, or NOBODY */
int desk_of(const struct sim *s);
struct m_case *case_of(struct sim *s, const char *ref);
struct m_handover *handover_of(struct m_case *c, const char *ref);
struct m_sanction *sanction_of(struct m_case *c, const char *ref, int kind, bool running);
uint32_t relations_to(const struct sim *s, const struct m_case *c, int agency);
void relations_refresh(const struct sim *s, struct m_case *c);
bool is_class_c(int need);
uint8_t care_of(const struct sim *s, const struct m_case *c, int agency, moment when, bool *ret_by_consent);
bool combined_care(const struct m_case *c, int *ret_status, bool *ret_has_from, civil_date *ret_from);
bool counts(const struct m_case *c);                              /* a date is set and the person inside */
bool is_open(const struct m_handover *h);
uint32_t unresolved(const struct m_case *c);                      /* bits of handovers undecided, unplaced or in RECONFIRM */
bool gap_now(const struct sim *s, const struct m_case *c, int need, moment now, struct m_gap *ret_gap);
int responsible_for(const struct sim *s, const struct m_case *c, const struct m_handover *h, moment now);
moment offer_deadline_now(const struct sim *s, const struct m_case *c, const struct m_handover *h, moment now, bool *ret_urgent);
int hours_booked(const struct m_sanction *x);
uint32_t milestones_due(const struct sim *s, civil_date date, moment now);   /* bits by index */

/* fold*.c: the handlers that types.c names */
void fold(struct sim *s, struct m_case *c, const struct seen *r);
#define FOLD(name) void name(struct sim *s, struct m_case *c, const struct seen *r)
FOLD(fold_sentence); FOLD(fold_custody); FOLD(fold_transfer); FOLD(fold_destination); FOLD(fold_closed); FOLD(fold_planned);
FOLD(fold_date); FOLD(fold_unknown); FOLD(fold_ordered); FOLD(fold_recorded); FOLD(fold_confirmed); FOLD(fold_reversed);
FOLD(fold_notice); FOLD(fold_start_notice); FOLD(fold_need); FOLD(fold_arranging); FOLD(fold_gap); FOLD(fold_gap_closed);
FOLD(fold_offered); FOLD(fold_step); FOLD(fold_reminder); FOLD(fold_escalated);
FOLD(fold_assigned); FOLD(fold_booked); FOLD(fold_completed); FOLD(fold_returned); FOLD(fold_converted);
FOLD(fold_supervision); FOLD(fold_contact); FOLD(fold_contact_done); FOLD(fold_supervision_ended);
FOLD(fold_followup_due); FOLD(fold_followup_done); FOLD(fold_consent); FOLD(fold_consent_withdrawn);
FOLD(fold_still_unknown); FOLD(fold_screening_overdue); FOLD(fold_unassigned); FOLD(fold_snapshot); FOLD(fold_withdrawn); FOLD(fold_delivery_overdue); FOLD(fold_erasure);
void slot_set(struct sim *s, struct slot *slot, const struct seen *r);
bool slot_empty_after(const struct seen *r);                      /* CANCEL or RETRACT */

/* route.c */
void receivers_told(struct m_case *c, const struct seen *r, agents actual);
void receivers(struct sim *s, struct m_case *c, const struct seen *r, agents *ret_must, agents *ret_may);
/* observe.c: reads everything appended since; folds, checks routes, books deliveries. */
bool observe(struct sim *s, moment now);
void decision_end(struct sim *s, struct m_case *c);
/* ledger.c */
bool ledger_book(struct sim *s, const struct seen *r, int of_case);
void ledger_drop(struct sim *s, int agency, int of_case, uint64_t before);
void ledger_stop(struct sim *s, int agency, int of_case);
void ledger_acked(struct sim *s, const Reentry__Header *header);
bool ledger_compare(struct sim *s, int agency, const struct core_delivery *items, size_t n, bool all);
bool ledger_is_acked(struct sim *s, int agency, uint64_t position); /* or not its own */
bool ledger_check(struct sim *s);
void ledger_free(struct sim *s);
/* shown.c: one delivery as its receiver gets it */
uint8_t class_c_in(const ProtobufCMessage *message);
bool shown_check(struct sim *s, int agency, const struct entry *e, const Reentry__Delivery *d);
/* check.c: the state that the core holds against the model, after a step */
bool check_all(struct sim *s);
bool check_rebuild(struct sim *s);
/* world.c */
bool world_open(struct sim *s);
void world_close(struct sim *s);
bool world_begin(struct sim *s);
bool world_commit(struct sim *s);
bool world_crash(struct sim *s);
bool world_settle(struct sim *s);
bool world_serve(struct sim *s, bool *ret_moved);
bool world_publish(struct sim *s, int agency, const uint8_t *content, size_t n);
moment world_now(const struct sim *s);                            /* what the next turn will record */
/* make.c */
bool make_event(struct sim *s, struct m_case *c, int *ret_agency, uint8_t **ret_content, size_t *ret_n);
/* play.c */
bool play_seed(struct sim *s);

#endif
