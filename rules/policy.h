/* What the rules take from the configuration: who takes part, the calendar, the intervals (domain.md 2 and 4.1).
 * Immutable once built; a reload builds a new one. Every default of domain.md is a value here. */
#ifndef RULES_POLICY_H
#define RULES_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/arena.h"
#include "lib/civil.h"

enum role {
	ROLE_NONE, ROLE_COURT, ROLE_PRISON, ROLE_PROBATION, ROLE_MUNICIPALITY, ROLE_CARE, ROLE_HOUSING,
	ROLE_EDUCATION, ROLE_EMPLOYER, ROLE_VOLUNTEER, ROLE_AUDITOR, ROLE_DESK, ROLE_BROKER,
};
#define ROLE_BIT(role) (1u << (role))
/* "prison" → ROLE_PRISON; ROLE_NONE if unknown. */
enum role role_from_name(const char *name);
const char *role_name(enum role role);

/* An auditor's scope (domain.md 10): what is missing means nothing. */
struct scope {
	const char *const *municipalities; size_t n_municipalities; /* codes; "*" all */
	const char *const *types; size_t n_types;                   /* catalogue names; "*" all */
	bool class_a, class_b, class_c, class_d;                    /* c only with the mandate named */
};

struct agency {
	const char *id, *oin, *contact;
	enum role role;
	const char *const *codes; size_t n_codes;   /* municipality codes, 4 digits */
	bool unconfirmed;                           /* wants release.recorded and release.reversed */
	struct scope scope;
};

struct policy_code { const char *code; const struct agency *agency; };

struct policy {
	const char *broker_id, *broker_oin;
	const struct agency *agencies; size_t n_agencies;   /* sorted by id */
	const struct civil_zone *zone;                      /* borrowed */
	const civil_date *holidays; size_t n_holidays;      /* sorted */
	int notice_time, day_end;                           /* minutes since midnight */
	const uint32_t *milestones; size_t n_milestones;    /* days, sorted descending */
	const uint32_t *followup_days; size_t n_followup_days;
	int64_t confirm_hold, offer_urgent, urgent_reminder, delivery_overdue;   /* ms */
	int screening_days, offer_days, start_report_days, followup_reminder_days;  /* working days */
	int still_unknown_days, behind_days, supervision_interval_days, contact_overdue_days, erasure_chase_days; /* days */
	int retention_months, service_hours_max;
	int gap_milestone_urgent, gap_milestone;            /* 2 and 7 of domain.md 5.2 */
	/* filled by policy_index: */
	const struct policy_code *by_code; size_t n_by_code; /* sorted */
	const uint16_t *by_number;                          /* of each code as a number: index of its agency + 1, 0: nobody's */
	const uint16_t *by_id; size_t n_by_id;              /* hash: index of the agency + 1, 0: free; a power of two */
	const struct agency *desk;
};

/* Builds the indexes, once agencies (sorted by id) are filled in; memory from the arena. Call it before the policy is used. ERR_NOMEM; ERR_EXISTS: two agencies
 * hold one code, *ret_code says which (may be NULL). */
int policy_index(struct policy *policy, struct arena *arena, const char **ret_code);

const struct agency *policy_agency(const struct policy *policy, const char *id);          /* NULL if unknown or id NULL */
/* Several agencies may hold a code? No: overlapping codes are refused when the configuration is read. NULL: nobody holds it. */
const struct agency *policy_municipality(const struct policy *policy, const char *code);
const struct agency *policy_desk(const struct policy *policy);                             /* the first of role desk, or NULL */

/* Shorthands of domain.md 4.1 in the policy's calendar. */
moment policy_notice(const struct policy *policy, civil_date date);      /* notice_time on that date */
moment policy_day_end(const struct policy *policy, civil_date date);
civil_date policy_today(const struct policy *policy, moment now);
civil_date policy_working_days(const struct policy *policy, civil_date date, int n);

#endif
