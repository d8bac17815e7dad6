/* A case as domain.md has it, computed from the accepted events alone: relations, care access, gaps, who is responsible, deadlines. */
#include "tests/sim/sim.h"

#include <stdlib.h>
#include <string.h>

#define NEED(name) REENTRY__NEED__VALUE__##name
#define STATUS(name) REENTRY__NEED_STATUS__VALUE__##name
#define STATE(name) REENTRY__HANDOVER_STATE__VALUE__##name

/* --- calendar (4.1) --------------------------------------------------------------------------------------------------------- */

moment notice_at(const struct sim *s, civil_date date)
{
	return civil_moment(s->policy->zone, date, s->policy->notice_time);
}

moment day_end_at(const struct sim *s, civil_date date)
{
	return civil_moment(s->policy->zone, date, s->policy->day_end);
}

civil_date day_of(const struct sim *s, moment when)
{
	return civil_date_of(s->policy->zone, when);
}

civil_date working_day(const struct sim *s, civil_date date, int n)
{
	return civil_add_working_days(s->policy->holidays, s->policy->n_holidays, date, n);
}

uint32_t milestones_due(const struct sim *s, civil_date date, moment now)
{
	uint32_t due = 0;

	for (size_t i = 0; i < s->policy->n_milestones && i < MILESTONES; i++)
		if (notice_at(s, date - (civil_date)s->policy->milestones[i]) <= now)
			due |= UINT32_C(1) << i;
	return due;
}

/* --- who is who (2) ----------------------------------------------------------------------------------------------------------- */

const char *agency_id(const struct sim *s, int agency)
{
	return agency >= 0 ? s->policy->agencies[agency].id : agency == BROKER ? s->policy->broker_id : "nobody";
}

int agency_of(const struct sim *s, const char *id)
{
	if (id && strcmp(id, s->policy->broker_id) == 0)
		return BROKER;
	for (size_t i = 0; id && i < s->policy->n_agencies; i++)
		if (strcmp(s->policy->agencies[i].id, id) == 0)
			return (int)i;
	return NOBODY;
}

int role_of(const struct sim *s, int agency)
{
	return agency >= 0 ? (int)s->policy->agencies[agency].role : agency == BROKER ? (int)ROLE_BROKER : (int)ROLE_NONE;
}

int holder_of(const struct sim *s, int code)
{
	for (size_t i = 0; code >= 0 && i < s->policy->n_agencies; i++)
		for (size_t k = 0; k < s->policy->agencies[i].n_codes; k++)
			if (strtol(s->policy->agencies[i].codes[k], NULL, 10) == code)
				return (int)i;
	return NOBODY;
}

int desk_of(const struct sim *s)
{
	for (size_t i = 0; i < s->policy->n_agencies; i++)
		if (s->policy->agencies[i].role == ROLE_DESK)
			return (int)i;
	return NOBODY;
}

struct m_case *case_of(struct sim *s, const char *ref)
{
	for (size_t i = 0; ref && i < s->n_cases; i++)
		if (strcmp(s->cases[i].ref, ref) == 0)
			return &s->cases[i];
	return NULL;
}

struct m_handover *handover_of(struct m_case *c, const char *ref)
{
	for (size_t i = 0; ref && i < c->n_handovers; i++)
		if (strcmp(c->handovers[i].ref, ref) == 0)
			return &c->handovers[i];
	return NULL;
}

/* By its reference; without one the one that has none, else the first. */
struct m_sanction *sanction_of(struct m_case *c, const char *ref, int kind, bool running)
{
	struct m_sanction *first = NULL;

	for (size_t i = 0; i < c->n_sanctions; i++) {
		struct m_sanction *x = &c->sanctions[i];

		if (x->kind != kind || (running && !x->running))
			continue;
		if (strcmp(x->ref, ref ? ref : "") == 0)
			return x;
		first = first ? first : x;
	}
	return ref ? NULL : first;
}

bool is_open(const struct m_handover *h)
{
	return h->state == STATE(OFFERED) || h->state == STATE(DELIVERED) || h->state == STATE(RECEIVED) || h->state == STATE(INFO_REQUESTED);
}

/* Missing, 0000, or a code that no agency holds, but for 9999. */
static bool of_the_desk(const struct sim *s, const struct m_case *c)
{
	return c->destination <= 0 || (c->destination != 9999 && holder_of(s, c->destination) == NOBODY);
}

uint32_t relations_to(const struct sim *s, const struct m_case *c, int agency)
{
	uint32_t bits = 0;

	if (!c->exists || agency < 0)
		return 0;
	if (c->custodian == agency)
		bits |= PI;
	if (holder_of(s, c->origin) == agency || holder_of(s, c->destination) == agency)
		bits |= GM;
	if (desk_of(s) == agency && of_the_desk(s, c))
		bits |= DK;
	for (size_t i = 0; i < c->n_sanctions; i++) {
		if (c->sanctions[i].authority == agency)
			bits |= AU;
		if (c->sanctions[i].running && c->sanctions[i].supervisor == agency)
			bits |= SV;
	}
	for (size_t i = 0; i < c->n_handovers; i++)
		if (c->handovers[i].to == agency)
			bits |= c->handovers[i].provider ? PR : is_open(&c->handovers[i]) ? CAND : 0;
	return bits;
}

void relations_refresh(const struct sim *s, struct m_case *c)
{
	for (size_t i = 0; i < s->policy->n_agencies; i++)
		c->now[i] = (uint8_t)relations_to(s, c, (int)i);
}

/* --- needs (5.1) ------------------------------------------------------------------------------------------------------------------- */

bool is_class_c(int need)
{
	return need == NEED(PSYCHIATRIC) || need == NEED(ADDICTION) || need == NEED(LVB);
}

static uint8_t bit_of(int need)
{
	static const uint8_t bits[NEEDS] = { [NEED(PSYCHIATRIC)] = 1, [NEED(ADDICTION)] = 2, [NEED(LVB)] = 4 };

	return bits[need];
}

/* Care access: a provider of role care, whoever published that need, whoever a running consent names. */
uint8_t care_of(const struct sim *s, const struct m_case *c, int agency, moment when, bool *ret_by_consent)
{
	uint8_t own = 0, all = 7;
	bool consent = false;

	for (size_t i = 0; i < c->n_handovers; i++)
		if (c->handovers[i].provider && c->handovers[i].to == agency && role_of(s, agency) == ROLE_CARE)
			own = all;
	for (int need = NEED(PSYCHIATRIC); need <= NEED(LVB); need++)
		if (c->needs[need].publishers & ONE(agency))
			own |= bit_of(need);
	for (size_t i = 0; i < c->n_consents; i++)
		if (c->consents[i].to == agency && c->consents[i].class == REENTRY__CLASS__VALUE__C && (!c->consents[i].has_until || when < c->consents[i].until))
			consent = true;
	if (ret_by_consent)
		*ret_by_consent = consent && own != all;
	return consent ? all : own;
}

/* Worst first: OPEN, NOT_POSSIBLE, IN_PROGRESS, UNKNOWN, DECLINED_BY_PERSON, ARRANGED, NONE. */
bool combined_care(const struct m_case *c, int *ret_status, bool *ret_has_from, civil_date *ret_from)
{
	static const int order[] = { STATUS(OPEN), STATUS(NOT_POSSIBLE), STATUS(IN_PROGRESS), STATUS(UNKNOWN), STATUS(DECLINED_BY_PERSON), STATUS(ARRANGED), STATUS(NONE) };
	bool any = false;

	*ret_has_from = false;
	for (size_t worst = 0; worst < sizeof order / sizeof *order && !any; worst++)
		for (int need = NEED(PSYCHIATRIC); need <= NEED(LVB); need++)
			if (c->needs[need].known && c->needs[need].status == order[worst]) {
				*ret_status = order[worst];
				any = true;
			}
	for (int need = NEED(PSYCHIATRIC); need <= NEED(LVB); need++)
		if (c->needs[need].known && c->needs[need].has_from && (!*ret_has_from || c->needs[need].from > *ret_from)) {
			*ret_has_from = true;
			*ret_from = c->needs[need].from;
		}
	return any;
}

/* --- gaps (5.2) ----------------------------------------------------------------------------------------------------------------------- */

bool counts(const struct m_case *c)
{
	return c->inside && c->has_date && !c->released;
}

static bool not_done(int status)
{
	return status == STATUS(OPEN) || status == STATUS(IN_PROGRESS) || status == STATUS(NOT_POSSIBLE);
}

bool gap_now(const struct sim *s, const struct m_case *c, int need, moment now, struct m_gap *ret_gap)
{
	bool soon = need == NEED(HOUSING) || need == NEED(INCOME) || need == NEED(IDENTITY) || need == NEED(CARE);
	int milestone = soon ? s->policy->gap_milestone_urgent : s->policy->gap_milestone;
	const struct m_need *n = &c->needs[need];
	bool known = n->known, has_from = n->has_from;
	int status = n->status;
	civil_date from = n->from;

	*ret_gap = (struct m_gap){ 0 };
	if (is_class_c(need))
		return false;
	if (need == NEED(CARE))
		known = combined_care(c, &status, &has_from, &from);
	if (!known)
		return false;
	if (counts(c) && status == STATUS(ARRANGED) && has_from && from > c->date) {
		*ret_gap = (struct m_gap){ true, REENTRY__GAP_REASON__VALUE__LATE, (unsigned)(from - c->date) };
		return true;
	}
	if (!not_done(status))
		return false;
	if (counts(c) ? !(c->ordered || notice_at(s, c->date - milestone) <= now)
		: !(n->at_risk && !c->inside && c->has_start_date && notice_at(s, c->start_date - milestone) <= now))
		return false;
	*ret_gap = (struct m_gap){ true, REENTRY__GAP_REASON__VALUE__NOT_ARRANGED, 0 };
	return true;
}

/* --- handovers (6.2, 6.3) ------------------------------------------------------------------------------------------------------------- */

/* The destination's agency, else the origin's, else the desk, else the offerer, until 00:00 of the accepted start; then the provider. */
int responsible_for(const struct sim *s, const struct m_case *c, const struct m_handover *h, moment now)
{
	int former = holder_of(s, c->destination);

	if (former == NOBODY)
		former = holder_of(s, c->origin);
	if (former == NOBODY)
		former = desk_of(s);
	if (former == NOBODY)
		former = h->offerer;
	return h->provider && h->has_start && civil_moment(s->policy->zone, h->start, 0) <= now ? h->to : former;
}

/* Of an offer that is not urgent yet, as a function of the state. Urgent: two hours from now, never later than it had. */
moment offer_deadline_now(const struct sim *s, const struct m_case *c, const struct m_handover *h, moment now, bool *ret_urgent)
{
	moment by = day_end_at(s, working_day(s, day_of(s, h->offered_at), s->policy->offer_days));
	moment before = counts(c) ? day_end_at(s, c->date - 1) : MOMENT_MAX;

	if (h->has_explicit && h->explicit_by < by)
		by = h->explicit_by;
	*ret_urgent = before <= now || c->ordered;
	if (!*ret_urgent && before < by)
		by = before;
	return by;
}

uint32_t unresolved(const struct m_case *c)
{
	uint32_t bits = 0;

	for (size_t i = 0; i < c->n_handovers; i++)
		if (is_open(&c->handovers[i]) || c->handovers[i].unplaced || c->handovers[i].state == REENTRY__HANDOVER_STATE__VALUE__RECONFIRM)
			bits |= UINT32_C(1) << i;
	return bits;
}

int hours_booked(const struct m_sanction *x)
{
	int total = 0;

	for (size_t i = 0; i < x->n_bookings; i++)
		total += x->bookings[i].off ? 0 : x->bookings[i].hours;
	return total;
}
