/* The catalogue holds every type of domain.md 3.2, 5.1, 6.1, 7 and 8, sorted, each with a payload, and its required fields exist in it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "rules/internal.h"

/* The specification's list, typed from it. */
static const char *const types[] = {
	"sentence.imposed", "sentence.execution-planned", "start.approaching", "custody.started", "screening.overdue", "custody.transferred",
	"custody.leave-started", "custody.leave-returned", "custody.hospitalised", "release.date-set", "release.date-unknown", "release.still-unknown",
	"release.approaching", "release.ordered", "release.recorded", "release.confirmed", "release.reversed", "destination.changed",
	"destination.unassigned", "need.screened", "need.status-changed", "medication.bridged", "gap.detected", "gap.closed", "followup.due",
	"followup.done", "case.withdrawn", "case.snapshot", "case.merged", "case.unmerged", "delivery.overdue", "consent.given", "consent.withdrawn",
	"erasure.due", "erasure.executed", "case.closed", "housing.requested", "housing.arranged", "housing.not-arranged", "housing.arrived",
	"housing.left", "identity.arranged", "income.arranged", "insurance.restored", "debt.plan-agreed", "debt.plan-broken", "work.arranged",
	"work.ended", "education.enrolled", "education.dropped-out", "volunteer.matched", "volunteer.ended", "family.plan-agreed", "care.arranged",
	"care.ended", "tenancy.at-risk", "work.at-risk", "income.at-risk", "handover.offered", "handover.delivered", "handover.received",
	"handover.accepted", "handover.declined", "handover.info-requested", "handover.info-given", "handover.withdrawn", "handover.started",
	"handover.completed", "handover.ended-early", "handover.reminder", "handover.expired", "handover.unplaced", "handover.reconfirm",
	"handover.escalated", "community-service.assigned", "community-service.placed", "community-service.hours-booked",
	"community-service.missed", "community-service.completed", "community-service.returned-failed", "community-service.converted",
	"community-service.behind", "supervision.started", "supervision.contact-planned", "supervision.contact-held", "supervision.contact-missed",
	"supervision.contact-overdue", "supervision.breach-reported", "supervision.ended",
};

static void test_complete(void **fixture)
{
	size_t n = 0;

	(void)fixture;
	for (size_t i = 0; i < sizeof types / sizeof *types; i++)
		if (!catalogue_find(types[i]))
			fail_msg("%s is not in the catalogue", types[i]);
	while (catalogue_row(n))
		n++;
	assert_int_equal(n, sizeof types / sizeof *types);
}

static void test_sorted(void **fixture)
{
	(void)fixture;
	for (size_t i = 1; catalogue_row(i); i++)
		if (strcmp(catalogue_row(i - 1)->name, catalogue_row(i)->name) >= 0)
			fail_msg("%s stands in the wrong place: it would not be found", catalogue_row(i)->name);
}

static void test_required_exist(void **fixture)
{
	(void)fixture;
	for (size_t i = 0; catalogue_row(i); i++) {
		const struct type_row *row = catalogue_row(i);
		char copy[128], *save = NULL;

		assert_true(strlen(row->required) < sizeof copy);
		strcpy(copy, row->required); /* lint: strcpy, because the length was just checked */
		for (char *name = strtok_r(copy, " ", &save); name; name = strtok_r(NULL, " ", &save))
			if (!protobuf_c_message_descriptor_get_field_by_name(row->payload, name + (*name == '!')))
				fail_msg("%s requires %s, which its payload does not have", row->name, name);
			else
				assert_true(strlen(name) < 64); /* decide.c's room for it */
	}
}

/* What has a slot has somebody who applies it; what only the broker makes nobody may publish. */
static void test_rows_make_sense(void **fixture)
{
	(void)fixture;
	for (size_t i = 0; catalogue_row(i); i++) {
		const struct type_row *row = catalogue_row(i);

		assert_non_null(row->payload);
		if (row->slot != SLOT_NONE && !row->apply)
			fail_msg("%s has a slot and nobody who keeps it", row->name);
		if ((row->flags & ROW_ANSWER) && !row->relation)
			fail_msg("%s is an answer that anybody could give", row->name);
		if ((row->flags & ROW_OWN_RELATION) && !row->relation)
			fail_msg("%s: nobody checks the relation", row->name);
	}
}

static void test_unknown(void **fixture)
{
	(void)fixture;
	assert_null(catalogue_find("release.date"));
	assert_null(catalogue_find(""));
	assert_null(catalogue_find(NULL));
	assert_null(rules_payload_of("nl.reentry.release.date-set"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_complete), cmocka_unit_test(test_sorted), cmocka_unit_test(test_required_exist),
		cmocka_unit_test(test_rows_make_sense), cmocka_unit_test(test_unknown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
