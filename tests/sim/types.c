/* The table of domain.md 3.2, 5.1, 6.1, 7 and 8 as the simulation reads it: who may publish, who hears. Not derived from rules/. */
#include "tests/sim/sim.h"

#include <stdlib.h>
#include <string.h>

#define COURT ROLE_BIT(ROLE_COURT)
#define PRISON ROLE_BIT(ROLE_PRISON)
#define PROBATION ROLE_BIT(ROLE_PROBATION)
#define TOWN ROLE_BIT(ROLE_MUNICIPALITY)
#define CARE ROLE_BIT(ROLE_CARE)
#define HOUSING ROLE_BIT(ROLE_HOUSING)
#define SCHOOL ROLE_BIT(ROLE_EDUCATION)
#define EMPLOYER ROLE_BIT(ROLE_EMPLOYER)
#define VOLUNTEER ROLE_BIT(ROLE_VOLUNTEER)
#define DESK ROLE_BIT(ROLE_DESK)
#define PROVIDERS (CARE | HOUSING | SCHOOL | EMPLOYER | VOLUNTEER)
#define ANYBODY (COURT | PRISON | PROBATION | TOWN | PROVIDERS | DESK)
#define B 0

#define T(n, by_, to_, slot_, pay, fold_, ...) { .name = n, .by = (by_), .to = (to_), .slot = (slot_), .payload = &reentry__##pay##__descriptor, .fold = (fold_), __VA_ARGS__ }
#define A(n, by_, need_, status_) T(n, by_, GM | PI | SV, OF_NEED, arranging, fold_arranging, .need = REENTRY__NEED__VALUE__##need_, .status = REENTRY__NEED_STATUS__VALUE__##status_)

static const struct type types[] = {
	T("sentence.imposed", COURT, GM | PI | SV, NO_SLOT, sentence_imposed, fold_sentence),
	T("sentence.execution-planned", COURT | PRISON | PROBATION, GM | PR, OF_START, execution_planned, fold_planned),
	T("start.approaching", B, GM | PR, NO_SLOT, start_approaching, fold_start_notice),
	T("custody.started", PRISON, GM | SV | AU | PR, NO_SLOT, custody_started, fold_custody),
	T("screening.overdue", B, PI, NO_SLOT, nothing, fold_screening_overdue),
	T("custody.transferred", PRISON, PI | X_FORMER | GM | PR, NO_SLOT, custody_transferred, fold_transfer),
	T("custody.leave-started", PRISON, GM | SV, NO_SLOT, movement, NULL),
	T("custody.leave-returned", PRISON, GM | SV, NO_SLOT, movement, NULL),
	T("custody.hospitalised", PRISON, GM | SV, NO_SLOT, movement, NULL),
	T("release.date-set", PRISON, GM | SV | AU | PR, OF_RELEASE, release_date_set, fold_date),
	T("release.date-unknown", PRISON, GM | SV | AU | PR, OF_RELEASE, nothing, fold_unknown),
	T("release.still-unknown", B, PI, NO_SLOT, nothing, fold_still_unknown),
	T("release.approaching", B, GM | SV | PI | PR, NO_SLOT, release_approaching, fold_notice),
	T("release.ordered", COURT | PRISON, ALL, OF_RELEASE, release_ordered, fold_ordered),
	T("release.recorded", PRISON, X_UNCONFIRMED, NO_SLOT, released, fold_recorded),
	T("release.confirmed", B, ALL, NO_SLOT, released, fold_confirmed),
	T("release.reversed", PRISON, X_UNCONFIRMED, NO_SLOT, nothing, fold_reversed),
	T("destination.changed", PRISON | TOWN | PROBATION | DESK, PI | SV | X_KEEPING, OF_DESTINATION, destination_changed, fold_destination),
	T("destination.unassigned", B, DK, NO_SLOT, nothing, fold_unassigned),
	T("need.screened", PRISON | PROBATION | TOWN | PROVIDERS, GM | PI | SV, OF_NEED, need_status_changed, fold_need),
	T("need.status-changed", PRISON | PROBATION | TOWN | PROVIDERS, GM | PI | SV, OF_NEED, need_status_changed, fold_need),
	A("housing.requested", TOWN | HOUSING, HOUSING, IN_PROGRESS), A("housing.arranged", TOWN | HOUSING, HOUSING, ARRANGED),
	A("housing.not-arranged", TOWN | HOUSING, HOUSING, NOT_POSSIBLE), A("housing.arrived", TOWN | HOUSING, HOUSING, ARRANGED),
	A("housing.left", TOWN | HOUSING, HOUSING, OPEN),
	A("identity.arranged", TOWN | PRISON, IDENTITY, ARRANGED), A("income.arranged", TOWN | PRISON, INCOME, ARRANGED),
	A("insurance.restored", TOWN | PRISON, INSURANCE, ARRANGED),
	A("debt.plan-agreed", TOWN, DEBT, ARRANGED), A("debt.plan-broken", TOWN, DEBT, OPEN),
	A("work.arranged", EMPLOYER | TOWN, WORK, ARRANGED), A("work.ended", EMPLOYER | TOWN, WORK, OPEN),
	A("education.enrolled", SCHOOL | TOWN, EDUCATION, ARRANGED), A("education.dropped-out", SCHOOL | TOWN, EDUCATION, OPEN),
	A("volunteer.matched", VOLUNTEER | TOWN, NETWORK, ARRANGED), A("volunteer.ended", VOLUNTEER | TOWN, NETWORK, OPEN),
	A("family.plan-agreed", PROBATION | TOWN | CARE, FAMILY, ARRANGED),
	A("tenancy.at-risk", TOWN | PROBATION | EMPLOYER, HOUSING, OPEN), A("work.at-risk", TOWN | PROBATION | EMPLOYER, WORK, OPEN),
	A("income.at-risk", TOWN | PROBATION | EMPLOYER, INCOME, OPEN),
	T("care.arranged", CARE, GM | PI | SV, OF_NEED, arranging, fold_arranging, .status = REENTRY__NEED_STATUS__VALUE__ARRANGED),
	T("care.ended", CARE, GM | PI | SV, OF_NEED, arranging, fold_arranging, .status = REENTRY__NEED_STATUS__VALUE__OPEN),
	T("medication.bridged", PRISON | CARE, X_CARE, NO_SLOT, medication_bridged, NULL),
	T("gap.detected", B, GM | PI | SV | X_NEED, NO_SLOT, gap_detected, fold_gap),
	T("gap.closed", B, GM | PI | SV | X_NEED, NO_SLOT, gap_closed, fold_gap_closed),
	T("handover.offered", PRISON | PROBATION | TOWN | CARE, X_TAKER, OF_HANDOVER, handover_offered, fold_offered),
	T("handover.delivered", B, X_OFFERER, NO_SLOT, handover_step, fold_step),
	T("handover.received", ANYBODY, X_OFFERER, NO_SLOT, handover_step, fold_step),
	T("handover.accepted", ANYBODY, X_OFFERER | GM | PI | SV, NO_SLOT, handover_accepted, fold_step),
	T("handover.declined", ANYBODY, X_OFFERER | GM, NO_SLOT, handover_refused, fold_step),
	T("handover.info-requested", ANYBODY, X_OFFERER, NO_SLOT, handover_info, fold_step),
	T("handover.info-given", PRISON | PROBATION | TOWN | CARE, X_TAKER, NO_SLOT, handover_info, fold_step),
	T("handover.withdrawn", PRISON | PROBATION | TOWN | CARE, X_TAKER, NO_SLOT, handover_step, fold_step),
	T("handover.started", ANYBODY, X_OFFERER | GM | SV, NO_SLOT, handover_step, fold_step),
	T("handover.completed", ANYBODY, X_OFFERER | GM | SV, NO_SLOT, handover_step, fold_step),
	T("handover.ended-early", ANYBODY, X_OFFERER | GM | SV, NO_SLOT, handover_refused, fold_step),
	T("handover.reminder", B, X_TAKER, NO_SLOT, handover_reminder, fold_reminder),
	T("handover.expired", B, X_TAKER | X_OFFERER | GM, NO_SLOT, handover_step, fold_step),
	T("handover.unplaced", B, X_OFFERER | GM, NO_SLOT, handover_step, fold_step),
	T("handover.reconfirm", B, X_TAKER, NO_SLOT, handover_step, fold_step),
	T("handover.escalated", B, GM | PI, NO_SLOT, handover_step, fold_escalated),
	T("community-service.assigned", PROBATION, GM | AU, NO_SLOT, service_assigned, fold_assigned),
	T("community-service.placed", PROBATION, GM | AU | X_EMPLOYER, NO_SLOT, service_placed, NULL),
	T("community-service.hours-booked", PROBATION, 0, OF_BOOKING, service_hours_booked, fold_booked),
	T("community-service.missed", PROBATION, 0, NO_SLOT, service_missed, NULL),
	T("community-service.returned-failed", PROBATION, GM | AU | X_EMPLOYER, NO_SLOT, service_returned, fold_returned),
	T("community-service.converted", COURT, GM | AU, NO_SLOT, service_converted, fold_converted),
	T("community-service.completed", B, GM | AU | X_EMPLOYER, NO_SLOT, service_completed, fold_completed),
	T("community-service.behind", B, X_SANCTION, NO_SLOT, service_behind, NULL),
	T("supervision.started", PROBATION, GM | AU, NO_SLOT, supervision_started, fold_supervision),
	T("supervision.contact-planned", PROBATION, 0, OF_CONTACT, contact_planned, fold_contact),
	T("supervision.contact-held", PROBATION, 0, NO_SLOT, contact_held, fold_contact_done),
	T("supervision.contact-missed", PROBATION, 0, NO_SLOT, contact_missed, fold_contact_done),
	T("supervision.contact-overdue", B, X_SANCTION, NO_SLOT, contact_overdue, NULL),
	T("supervision.breach-reported", PROBATION, AU | GM, NO_SLOT, breach_reported, NULL),
	T("supervision.ended", PROBATION, GM | AU, NO_SLOT, supervision_ended, fold_supervision_ended),
	T("followup.due", B, GM | SV | PR, NO_SLOT, followup_due, fold_followup_due),
	T("followup.done", TOWN | PROBATION | PROVIDERS, GM | SV | PR, NO_SLOT, followup_done, fold_followup_done),
	T("case.withdrawn", B, X_DERIVED, NO_SLOT, nothing, fold_withdrawn),
	T("case.snapshot", B, X_DERIVED, NO_SLOT, case_snapshot, fold_snapshot),
	T("delivery.overdue", B, X_NAMED | PI, NO_SLOT, delivery_overdue, fold_delivery_overdue),
	T("consent.given", CARE | PROBATION | TOWN, X_NAMED, NO_SLOT, consent_given, fold_consent),
	T("consent.withdrawn", CARE | PROBATION | TOWN, X_NAMED, NO_SLOT, consent_withdrawn, fold_consent_withdrawn),
	T("erasure.due", B, X_DERIVED, NO_SLOT, erasure, fold_erasure),
	T("erasure.executed", ANYBODY, 0, NO_SLOT, erasure, NULL),
	T("case.closed", TOWN | PROBATION, ALL, NO_SLOT, case_closed, fold_closed),
};

const struct type *type_at(size_t i)
{
	return i < sizeof types / sizeof *types ? &types[i] : NULL;
}

const struct type *type_find(const char *name)
{
	for (size_t i = 0; name && i < sizeof types / sizeof *types; i++)
		if (strcmp(types[i].name, name) == 0)
			return &types[i];
	return NULL;
}
