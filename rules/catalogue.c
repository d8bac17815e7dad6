/* The catalogue: one row per type (domain.md 3.2, 3.5, 5.1). Adding a type is adding a row, its payload, and, where it acts, a handler. */
#include <stdlib.h>

#include "rules/handlers.h"

#define BY_COURT ROLE_BIT(ROLE_COURT)
#define BY_PRISON ROLE_BIT(ROLE_PRISON)
#define BY_PROBATION ROLE_BIT(ROLE_PROBATION)
#define BY_MUNICIPALITY ROLE_BIT(ROLE_MUNICIPALITY)
#define BY_CARE ROLE_BIT(ROLE_CARE)
#define BY_HOUSING ROLE_BIT(ROLE_HOUSING)
#define BY_SCHOOL ROLE_BIT(ROLE_EDUCATION)
#define BY_EMPLOYER ROLE_BIT(ROLE_EMPLOYER)
#define BY_VOLUNTEER ROLE_BIT(ROLE_VOLUNTEER)
#define BY_DESK ROLE_BIT(ROLE_DESK)
#define BY_PROVIDERS (BY_CARE | BY_HOUSING | BY_SCHOOL | BY_EMPLOYER | BY_VOLUNTEER)
#define BY_CANDIDATES (BY_PROVIDERS | BY_PROBATION | BY_MUNICIPALITY | BY_PRISON)

#define GM REL_MUNICIPALITY
#define PI REL_CUSTODIAN
#define SV REL_SUPERVISOR
#define AU REL_AUTHORITY
#define PR REL_PROVIDER
#define DK REL_DESK

#define PB(name) &reentry__##name##__descriptor
/* name, publishers, receivers, class, slot, flags, payload, required */
#define ROW(n, pub, rec, cl, sl, fl, pay, req, ...) { .name = n, .publishers = (pub), .receivers = (rec), .class = CLASS(cl), .slot = (sl), .flags = (fl), .payload = PB(pay), .required = req, __VA_ARGS__ }
/* The arranging types of 5.1: the need's slot, its new status. */
#define ARRANGE(n, pub, code, to, req) ROW(n, pub, GM | PI | SV, B, SLOT_NEED, 0, arranging, req, .check = check_arranging, .apply = apply_arranging, .need = NEED(code), .status = STATUS(to))

static const struct type_row rows[] = {
	/* sorted by name: catalogue_find searches by halving, and a test checks the order */
	ROW("care.arranged", BY_CARE, GM | PI | SV, C, SLOT_NEED, ROW_NEED_CLASS, arranging, "!need", .check = check_arranging, .apply = apply_arranging, .status = STATUS(ARRANGED)),
	ROW("care.ended", BY_CARE, GM | PI | SV, C, SLOT_NEED, ROW_NEED_CLASS, arranging, "!need", .check = check_arranging, .apply = apply_arranging, .status = STATUS(OPEN)),
	ROW("case.closed", BY_MUNICIPALITY | BY_PROBATION, REL_ALL, A, SLOT_NONE, 0, case_closed, "", .apply = apply_closed, .react = react_closed),
	ROW("case.merged", 0, REL_ALL | TO_OTHER, A, SLOT_NONE, ROW_ANY_ROLE | ROW_OWN_RELATION, case_merged, "other", .relation = relation_merge, .check = check_merged, .apply = apply_merged),
	ROW("case.snapshot", 0, TO_NAMED, A, SLOT_NONE, 0, case_snapshot, ""),
	ROW("case.unmerged", BY_PRISON, REL_ALL, A, SLOT_NONE, 0, case_merged, "other", .check = check_unmerged, .apply = apply_unmerged),
	ROW("case.withdrawn", 0, TO_NAMED, A, SLOT_NONE, 0, nothing, ""),
	ROW("community-service.assigned", BY_PROBATION, GM | AU, A, SLOT_NONE, ROW_OWN_RELATION, service_assigned, "hours complete_by", .relation = relation_assigned, .check = check_assigned, .apply = apply_assigned),
	ROW("community-service.behind", 0, TO_SUPERVISING, A, SLOT_NONE, 0, service_behind, ""),
	ROW("community-service.completed", 0, GM | AU | TO_EMPLOYER, A, SLOT_NONE, 0, service_completed, "", .apply = apply_service_completed),
	ROW("community-service.converted", BY_COURT, GM | AU, A, SLOT_NONE, 0, service_converted, "days", .relation = relation_service, .check = check_converted, .apply = apply_converted),
	ROW("community-service.hours-booked", BY_PROBATION, 0, A, SLOT_BOOKING, 0, service_hours_booked, "!booking date hours", .relation = relation_service, .check = check_booked, .check_off = check_booking_off, .apply = apply_booked, .react = react_booked),
	ROW("community-service.missed", BY_PROBATION, 0, A, SLOT_NONE, 0, service_missed, "date", .relation = relation_service),
	ROW("community-service.placed", BY_PROBATION, GM | AU | TO_EMPLOYER, A, SLOT_NONE, 0, service_placed, "", .relation = relation_service),
	ROW("community-service.returned-failed", BY_PROBATION, GM | AU | TO_EMPLOYER, A, SLOT_NONE, 0, service_returned, "", .relation = relation_service, .apply = apply_returned),
	ROW("consent.given", BY_CARE | BY_PROBATION | BY_MUNICIPALITY, TO_NAMED, B, SLOT_NONE, 0, consent_given, "to class", .check = check_consent, .apply = apply_consent_given),
	ROW("consent.withdrawn", BY_CARE | BY_PROBATION | BY_MUNICIPALITY, TO_NAMED, B, SLOT_NONE, 0, consent_withdrawn, "to class", .check = check_consent, .apply = apply_consent_withdrawn),
	ROW("custody.hospitalised", BY_PRISON, GM | SV, A, SLOT_NONE, 0, movement, "at", .check = check_inside),
	ROW("custody.leave-returned", BY_PRISON, GM | SV, A, SLOT_NONE, 0, movement, "at", .check = check_inside),
	ROW("custody.leave-started", BY_PRISON, GM | SV, A, SLOT_NONE, 0, movement, "at", .check = check_inside),
	ROW("custody.started", BY_PRISON, GM | SV | AU | PR, A, SLOT_NONE, ROW_OPENS, custody_started, "start", .relation = relation_custody, .check = check_custody, .apply = apply_custody),
	ROW("custody.transferred", BY_PRISON, TO_BOTH | GM | PR, A, SLOT_NONE, ROW_OWN_RELATION, custody_transferred, "from to", .relation = relation_transfer, .check = check_transfer, .apply = apply_transfer),
	ARRANGE("debt.plan-agreed", BY_MUNICIPALITY, DEBT, ARRANGED, ""),
	ARRANGE("debt.plan-broken", BY_MUNICIPALITY, DEBT, OPEN, ""),
	ROW("delivery.overdue", 0, TO_NAMED | PI, A, SLOT_NONE, 0, delivery_overdue, ""),
	ROW("destination.changed", BY_PRISON | BY_MUNICIPALITY | BY_PROBATION | BY_DESK, PI | SV | TO_KEEPING, A, SLOT_DESTINATION, 0, destination_changed, "destination", .check = check_destination, .apply = apply_destination),
	ROW("destination.unassigned", 0, DK, A, SLOT_NONE, 0, nothing, ""),
	ARRANGE("education.dropped-out", BY_SCHOOL | BY_MUNICIPALITY, EDUCATION, OPEN, ""),
	ARRANGE("education.enrolled", BY_SCHOOL | BY_MUNICIPALITY, EDUCATION, ARRANGED, ""),
	ROW("erasure.due", 0, TO_NAMED, A, SLOT_NONE, 0, erasure, ""),
	ROW("erasure.executed", 0, 0, A, SLOT_NONE, ROW_ANY_ROLE | ROW_WHEN_CLOSED, erasure, "", .apply = apply_erasure_executed),
	ARRANGE("family.plan-agreed", BY_PROBATION | BY_MUNICIPALITY | BY_CARE, FAMILY, ARRANGED, ""),
	ROW("followup.done", BY_MUNICIPALITY | BY_PROBATION | BY_PROVIDERS, GM | SV | PR, B, SLOT_NONE, 0, followup_done, "day", .check = check_followup, .apply = apply_followup_done),
	ROW("followup.due", 0, GM | SV | PR, A, SLOT_NONE, 0, followup_due, "", .apply = apply_followup_due),
	ROW("gap.closed", 0, GM | PI | SV | TO_NEED, B, SLOT_NONE, 0, gap_closed, "", .apply = apply_gap_closed),
	ROW("gap.detected", 0, GM | PI | SV | TO_NEED, B, SLOT_NONE, 0, gap_detected, "", .apply = apply_gap_detected),
	ROW("handover.accepted", BY_CANDIDATES, TO_OFFERER | GM | PI | SV, B, SLOT_NONE, ROW_OWN_RELATION | ROW_ANSWER | ROW_ANY_ROLE, handover_accepted, "handover start_date", .relation = relation_answer, .check = check_step, .apply = apply_accepted),
	ROW("handover.completed", BY_CANDIDATES, TO_OFFERER | GM | SV, B, SLOT_NONE, ROW_OWN_RELATION | ROW_ANSWER | ROW_ANY_ROLE | ROW_BY_PROVIDER, handover_step, "handover", .relation = relation_answer, .check = check_step, .apply = apply_completed),
	ROW("handover.declined", BY_CANDIDATES, TO_OFFERER | GM, B, SLOT_NONE, ROW_OWN_RELATION | ROW_ANSWER | ROW_ANY_ROLE, handover_refused, "handover code", .relation = relation_answer, .check = check_step, .apply = apply_declined, .react = react_declined),
	ROW("handover.delivered", 0, TO_OFFERER, B, SLOT_NONE, 0, handover_step, "", .apply = apply_delivered),
	ROW("handover.ended-early", BY_CANDIDATES, TO_OFFERER | GM | SV, B, SLOT_NONE, ROW_OWN_RELATION | ROW_ANSWER | ROW_ANY_ROLE | ROW_BY_PROVIDER, handover_refused, "handover code", .relation = relation_answer, .check = check_step, .apply = apply_ended_early),
	ROW("handover.escalated", 0, GM | PI, B, SLOT_NONE, 0, handover_step, ""),
	ROW("handover.expired", 0, TO_TAKER | TO_OFFERER | GM, B, SLOT_NONE, 0, handover_step, "", .apply = apply_expired),
	ROW("handover.info-given", BY_PRISON | BY_PROBATION | BY_MUNICIPALITY | BY_CARE, TO_TAKER, B, SLOT_NONE, ROW_BY_OFFERER, handover_info, "handover note", .check = check_step, .apply = apply_info_given),
	ROW("handover.info-requested", BY_CANDIDATES, TO_OFFERER, B, SLOT_NONE, ROW_OWN_RELATION | ROW_ANSWER | ROW_ANY_ROLE, handover_info, "handover note", .relation = relation_answer, .check = check_step, .apply = apply_info_requested),
	ROW("handover.offered", BY_PRISON | BY_PROBATION | BY_MUNICIPALITY | BY_CARE, TO_TAKER, B, SLOT_HANDOVER, 0, handover_offered, "!handover to need", .check = check_offered, .check_off = check_offer_off, .apply = apply_offered, .react = react_offered),
	ROW("handover.received", BY_CANDIDATES, TO_OFFERER, B, SLOT_NONE, ROW_OWN_RELATION | ROW_ANSWER | ROW_ANY_ROLE, handover_step, "handover", .relation = relation_answer, .check = check_step, .apply = apply_received),
	ROW("handover.reconfirm", 0, TO_TAKER, B, SLOT_NONE, 0, handover_step, "", .apply = apply_reconfirm),
	ROW("handover.reminder", 0, TO_TAKER, B, SLOT_NONE, 0, handover_reminder, "", .apply = apply_reminder),
	ROW("handover.started", BY_CANDIDATES, TO_OFFERER | GM | SV, B, SLOT_NONE, ROW_OWN_RELATION | ROW_ANSWER | ROW_ANY_ROLE | ROW_BY_PROVIDER, handover_step, "handover", .relation = relation_answer, .check = check_step, .apply = apply_started),
	ROW("handover.unplaced", 0, TO_OFFERER | GM, B, SLOT_NONE, 0, handover_step, "", .apply = apply_unplaced),
	ROW("handover.withdrawn", BY_PRISON | BY_PROBATION | BY_MUNICIPALITY | BY_CARE, TO_TAKER, B, SLOT_NONE, ROW_BY_OFFERER, handover_step, "handover", .check = check_step, .apply = apply_withdrawn),
	ARRANGE("housing.arranged", BY_MUNICIPALITY | BY_HOUSING, HOUSING, ARRANGED, "from_date"),
	ARRANGE("housing.arrived", BY_MUNICIPALITY | BY_HOUSING, HOUSING, ARRANGED, ""),
	ARRANGE("housing.left", BY_MUNICIPALITY | BY_HOUSING, HOUSING, OPEN, ""),
	ARRANGE("housing.not-arranged", BY_MUNICIPALITY | BY_HOUSING, HOUSING, NOT_POSSIBLE, ""),
	ARRANGE("housing.requested", BY_MUNICIPALITY | BY_HOUSING, HOUSING, IN_PROGRESS, ""),
	ARRANGE("identity.arranged", BY_MUNICIPALITY | BY_PRISON, IDENTITY, ARRANGED, ""),
	ARRANGE("income.arranged", BY_MUNICIPALITY | BY_PRISON, INCOME, ARRANGED, ""),
	ARRANGE("income.at-risk", BY_MUNICIPALITY | BY_PROBATION | BY_EMPLOYER, INCOME, OPEN, ""),
	ARRANGE("insurance.restored", BY_MUNICIPALITY | BY_PRISON, INSURANCE, ARRANGED, ""),
	ROW("medication.bridged", BY_PRISON | BY_CARE, TO_CARE, C, SLOT_NONE, ROW_CARE, medication_bridged, "until"),
	ROW("need.screened", BY_PRISON | BY_PROBATION | BY_MUNICIPALITY | BY_PROVIDERS, GM | PI | SV, B, SLOT_NEED, ROW_NEED_CLASS, need_status_changed, "!need status", .check = check_need, .apply = apply_need),
	ROW("need.status-changed", BY_PRISON | BY_PROBATION | BY_MUNICIPALITY | BY_PROVIDERS, GM | PI | SV, B, SLOT_NEED, ROW_NEED_CLASS, need_status_changed, "!need status", .check = check_need, .apply = apply_need),
	ROW("release.approaching", 0, GM | SV | PI | PR, A, SLOT_NONE, 0, release_approaching, ""),
	ROW("release.confirmed", 0, REL_ALL, A, SLOT_NONE, 0, released, "", .apply = apply_confirmed),
	ROW("release.date-set", BY_PRISON, GM | SV | AU | PR, A, SLOT_RELEASE, 0, release_date_set, "date kind", .check = check_release_date, .check_off = check_inside, .apply = apply_release_date, .react = react_release_date),
	ROW("release.date-unknown", BY_PRISON, GM | SV | AU | PR, A, SLOT_RELEASE, 0, nothing, "", .check = check_inside, .check_off = check_inside, .apply = apply_release_unknown, .react = react_release_date),
	ROW("release.ordered", BY_COURT | BY_PRISON, REL_ALL, A, SLOT_RELEASE, ROW_URGENT, release_ordered, "ordered_at", .check = check_inside, .check_off = check_inside, .apply = apply_ordered, .react = react_ordered),
	ROW("release.recorded", BY_PRISON, TO_UNCONFIRMED, A, SLOT_NONE, 0, released, "released_at", .check = check_recorded, .apply = apply_recorded, .react = react_recorded),
	ROW("release.reversed", BY_PRISON, TO_UNCONFIRMED, A, SLOT_NONE, 0, nothing, "", .check = check_reversed, .apply = apply_reversed, .react = react_reversed),
	ROW("release.still-unknown", 0, PI, A, SLOT_NONE, 0, nothing, ""),
	ROW("screening.overdue", 0, PI, A, SLOT_NONE, 0, nothing, ""),
	ROW("sentence.execution-planned", BY_COURT | BY_PRISON | BY_PROBATION, GM | PR, A, SLOT_START, 0, execution_planned, "start_date", .check = check_planned, .apply = apply_planned, .react = react_planned),
	ROW("sentence.imposed", BY_COURT, GM | PI | SV, A, SLOT_NONE, ROW_OPENS, sentence_imposed, "kind", .check = check_sentence, .apply = apply_sentence),
	ROW("start.approaching", 0, GM | PR, A, SLOT_NONE, 0, start_approaching, ""),
	ROW("supervision.breach-reported", BY_PROBATION, GM | AU, A, SLOT_NONE, 0, breach_reported, "reason", .relation = relation_supervision),
	ROW("supervision.contact-held", BY_PROBATION, 0, A, SLOT_NONE, 0, contact_held, "", .relation = relation_supervision, .check = check_contact, .apply = apply_contact_done),
	ROW("supervision.contact-missed", BY_PROBATION, 0, A, SLOT_NONE, 0, contact_missed, "", .relation = relation_supervision, .check = check_contact, .apply = apply_contact_done),
	ROW("supervision.contact-overdue", 0, TO_SUPERVISING, A, SLOT_NONE, 0, contact_overdue, ""),
	ROW("supervision.contact-planned", BY_PROBATION, 0, A, SLOT_CONTACT, 0, contact_planned, "at", .relation = relation_supervision, .apply = apply_contact_planned),
	ROW("supervision.ended", BY_PROBATION, GM | AU, A, SLOT_NONE, 0, supervision_ended, "", .relation = relation_supervision, .apply = apply_supervision_ended),
	ROW("supervision.started", BY_PROBATION, GM | AU, A, SLOT_NONE, ROW_OWN_RELATION, supervision_started, "first_contact", .relation = relation_supervision_new, .check = check_supervision, .apply = apply_supervision),
	ARRANGE("tenancy.at-risk", BY_MUNICIPALITY | BY_PROBATION | BY_EMPLOYER, HOUSING, OPEN, ""),
	ARRANGE("volunteer.ended", BY_VOLUNTEER | BY_MUNICIPALITY, NETWORK, OPEN, ""),
	ARRANGE("volunteer.matched", BY_VOLUNTEER | BY_MUNICIPALITY, NETWORK, ARRANGED, ""),
	ARRANGE("work.arranged", BY_EMPLOYER | BY_MUNICIPALITY, WORK, ARRANGED, ""),
	ARRANGE("work.at-risk", BY_MUNICIPALITY | BY_PROBATION | BY_EMPLOYER, WORK, OPEN, ""),
	ARRANGE("work.ended", BY_EMPLOYER | BY_MUNICIPALITY, WORK, OPEN, ""),
};

static int by_name(const void *key, const void *row)
{
	return strcmp(key, ((const struct type_row *)row)->name);
}

const struct type_row *catalogue_find(const char *type)
{
	return type ? bsearch(type, rows, sizeof rows / sizeof *rows, sizeof *rows, by_name) : NULL;
}

const struct type_row *catalogue_row(size_t i)
{
	return i < sizeof rows / sizeof *rows ? &rows[i] : NULL;
}

const ProtobufCMessageDescriptor *rules_payload_of(const char *type)
{
	const struct type_row *row = catalogue_find(type);

	return row ? row->payload : NULL;
}
