/* The handlers that rows of the catalogue name: check (decide, before), apply (evolve), react (decide, after). */
#ifndef RULES_HANDLERS_H
#define RULES_HANDLERS_H

#include "rules/internal.h"

#define CHECK(name) int name(struct decision *d)
#define APPLY(name) void name(struct rules_run *run, const struct rules_record *record, const void *data)

/* custody.c */
CHECK(check_sentence); APPLY(apply_sentence);
CHECK(relation_custody); CHECK(check_custody); APPLY(apply_custody);
CHECK(relation_transfer); CHECK(check_transfer); APPLY(apply_transfer);
CHECK(check_destination); APPLY(apply_destination);
/* release.c, countdown.c */
CHECK(check_planned); APPLY(apply_planned); APPLY(react_planned);
CHECK(check_release_date); APPLY(apply_release_date); APPLY(react_release_date);
CHECK(check_inside); APPLY(apply_release_unknown);
APPLY(apply_ordered); APPLY(react_ordered);
CHECK(check_recorded); APPLY(apply_recorded); APPLY(react_recorded);
APPLY(apply_confirmed);
CHECK(check_reversed); APPLY(apply_reversed); APPLY(react_reversed);
/* need.c, gap.c */
CHECK(check_need); APPLY(apply_need);
CHECK(check_arranging); APPLY(apply_arranging);
APPLY(apply_gap_detected); APPLY(apply_gap_closed);
/* handover.c */
CHECK(check_offered); CHECK(check_offer_off); APPLY(apply_offered); APPLY(react_offered);
CHECK(relation_answer); CHECK(check_step); CHECK(check_accepted);
APPLY(apply_delivered); APPLY(apply_received); APPLY(apply_accepted); APPLY(apply_declined); APPLY(react_declined);
APPLY(apply_info_requested); APPLY(apply_info_given); APPLY(apply_withdrawn); APPLY(apply_started); APPLY(apply_completed); APPLY(apply_ended_early);
APPLY(apply_expired); APPLY(apply_unplaced); APPLY(apply_reminder); APPLY(apply_reconfirm);
/* service.c */
CHECK(relation_assigned); CHECK(check_assigned); APPLY(apply_assigned);
CHECK(relation_service); CHECK(check_booked); CHECK(check_booking_off); APPLY(apply_booked); APPLY(react_booked);
APPLY(apply_returned); CHECK(check_converted); APPLY(apply_converted); APPLY(apply_service_completed);
/* supervision.c */
CHECK(relation_supervision_new); CHECK(check_supervision); APPLY(apply_supervision);
CHECK(relation_supervision); CHECK(check_contact); APPLY(apply_contact_planned); APPLY(apply_contact_done); APPLY(apply_supervision_ended);
/* aftercare.c, retention.c */
APPLY(apply_followup_due); CHECK(check_followup); APPLY(apply_followup_done);
CHECK(check_consent); APPLY(apply_consent_given); APPLY(apply_consent_withdrawn);
APPLY(apply_closed); APPLY(react_closed); APPLY(apply_erasure_executed);

/* merge.c */
CHECK(relation_merge); CHECK(check_merged); APPLY(apply_merged); CHECK(check_unmerged); APPLY(apply_unmerged);

#endif
