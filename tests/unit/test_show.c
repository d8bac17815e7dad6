/* For each type and each kind of receiver exactly the fields that arrive (domain.md 2, 3.2, 3.5, 6.2): what is not in this table does not arrive. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "lib/pb.h"
#include "rules/internal.h"
#include "tests/unit/samples.h"

#define SEEDS 64 /* messages made up per row: together they set every field */

/* In the order of the catalogue; NULL in all columns: nobody hears it. full: a municipality, custodian, supervisor, authority, desk, care or housing provider. small: a school, employer or volunteer organisation as provider.
 * offer: a candidate. NULL: is never routed so, see the receivers in rules/catalogue.c and the test of them below. */
static const struct row { const char *type, *full, *small, *offer; } rows[] = {
	{ "care.arranged", "need from_date until note", NULL, NULL },
	{ "care.ended", "need from_date until note", NULL, NULL },
	{ "case.closed", "reason", "", NULL },
	{ "case.merged", "other reason", "", NULL },
	{ "case.snapshot", NULL, "release_date", NULL }, /* and the lines of its own handovers and needs, of which a made-up message has none */
	{ "case.unmerged", "other reason", "", NULL },
	{ "case.withdrawn", "reason", "", NULL }, /* the broker gives no reason */
	{ "community-service.assigned", "hours complete_by", NULL, NULL },
	{ "community-service.behind", "hours_left complete_by", NULL, NULL },
	{ "community-service.completed", "hours", "", NULL },
	{ "community-service.converted", "days", NULL, NULL },
	{ "community-service.hours-booked", NULL, NULL, NULL }, /* nobody */
	{ "community-service.missed", NULL, NULL, NULL }, /* nobody */
	{ "community-service.placed", "place starts_on", "place starts_on", NULL },
	{ "community-service.returned-failed", "reason", "", NULL },
	{ "consent.given", "to class until", NULL, NULL },
	{ "consent.withdrawn", "to class", NULL, NULL },
	{ "custody.hospitalised", "at until", NULL, NULL },
	{ "custody.leave-returned", "at until", NULL, NULL },
	{ "custody.leave-started", "at until", NULL, NULL },
	{ "custody.started", "start prison origin destination", "start", NULL },
	{ "custody.transferred", "from to", "", NULL },
	{ "debt.plan-agreed", "need from_date until note", NULL, NULL },
	{ "debt.plan-broken", "need from_date until note", NULL, NULL },
	{ "delivery.overdue", "to overdue_sequence", NULL, NULL },
	{ "destination.changed", "destination reason", NULL, NULL },
	{ "destination.unassigned", "reason", NULL, NULL },
	{ "education.dropped-out", "need from_date until note", NULL, NULL },
	{ "education.enrolled", "need from_date until note", NULL, NULL },
	{ "erasure.due", "reason purged", "", NULL },
	{ "erasure.executed", NULL, NULL, NULL }, /* nobody */
	{ "family.plan-agreed", "need from_date until note", NULL, NULL },
	{ "followup.done", "day note", "day", NULL },
	{ "followup.due", "day", "day", NULL },
	{ "gap.closed", "need", "need", NULL },
	{ "gap.detected", "need reason nights", "need reason nights", NULL },
	{ "handover.accepted", "handover offer start_date condition", NULL, NULL },
	{ "handover.completed", "handover offer", NULL, NULL },
	{ "handover.declined", "handover offer code note", NULL, NULL },
	{ "handover.delivered", "handover offer", NULL, NULL },
	{ "handover.ended-early", "handover offer code note", NULL, NULL },
	{ "handover.escalated", "handover offer", NULL, NULL },
	{ "handover.expired", "handover offer", NULL, "handover offer" },
	{ "handover.info-given", "handover offer note", "handover offer note", "handover offer note" },
	{ "handover.info-requested", "handover offer note", NULL, NULL },
	{ "handover.offered", NULL, NULL, "handover to need region support start_by decide_by offer" },
	{ "handover.received", "handover offer", NULL, NULL },
	{ "handover.reconfirm", "handover offer", "handover offer", NULL },
	{ "handover.reminder", "handover offer decide_by", "handover offer decide_by", "handover offer decide_by" },
	{ "handover.started", "handover offer", NULL, NULL },
	{ "handover.unplaced", "handover offer", NULL, NULL },
	{ "handover.withdrawn", "handover offer", "handover offer", "handover offer" },
	{ "housing.arranged", "need from_date until note", NULL, NULL },
	{ "housing.arrived", "need from_date until note", NULL, NULL },
	{ "housing.left", "need from_date until note", NULL, NULL },
	{ "housing.not-arranged", "need from_date until note", NULL, NULL },
	{ "housing.requested", "need from_date until note", NULL, NULL },
	{ "identity.arranged", "need from_date until note", NULL, NULL },
	{ "income.arranged", "need from_date until note", NULL, NULL },
	{ "income.at-risk", "need from_date until note", NULL, NULL },
	{ "insurance.restored", "need from_date until note", NULL, NULL },
	{ "medication.bridged", "until note", NULL, NULL },
	{ "need.screened", "need status from_date until note", NULL, NULL },
	{ "need.status-changed", "need status from_date until note", NULL, NULL },
	{ "release.approaching", "release_date days_left milestone late skipped open_needs", "release_date days_left milestone late skipped", NULL },
	{ "release.confirmed", "released_at", "released_at", NULL },
	{ "release.date-set", "date kind reason", "date", NULL },
	{ "release.date-unknown", "reason", "", NULL },
	{ "release.ordered", "ordered_at reason", "ordered_at", NULL },
	{ "release.recorded", "released_at", "released_at", NULL },
	{ "release.reversed", "reason", "", NULL },
	{ "release.still-unknown", "reason", NULL, NULL },
	{ "screening.overdue", "reason", NULL, NULL },
	{ "sentence.execution-planned", "start_date", "start_date", NULL },
	{ "sentence.imposed", "kind hours days origin destination", NULL, NULL },
	{ "start.approaching", "start_date days_left milestone late skipped open_needs", "start_date days_left milestone late skipped", NULL },
	{ "supervision.breach-reported", "reason", NULL, NULL },
	{ "supervision.contact-held", NULL, NULL, NULL }, /* nobody */
	{ "supervision.contact-missed", NULL, NULL, NULL }, /* nobody */
	{ "supervision.contact-overdue", "planned_at", NULL, NULL },
	{ "supervision.contact-planned", NULL, NULL, NULL }, /* nobody */
	{ "supervision.ended", "reason", NULL, NULL },
	{ "supervision.started", "first_contact interval_days", NULL, NULL },
	{ "tenancy.at-risk", "need from_date until note", NULL, NULL },
	{ "volunteer.ended", "need from_date until note", NULL, NULL },
	{ "volunteer.matched", "need from_date until note", NULL, NULL },
	{ "work.arranged", "need from_date until note", NULL, NULL },
	{ "work.at-risk", "need from_date until note", NULL, NULL },
	{ "work.ended", "need from_date until note", NULL, NULL },
};

/* What of a message is there, as bits by field number of the descriptor's table. */
static uint64_t fields_of(const ProtobufCMessage *message)
{
	uint64_t bits = 0;

	for (unsigned i = 0; i < message->descriptor->n_fields; i++)
		if (pb_has(message, message->descriptor->fields[i].name) == 1)
			bits |= UINT64_C(1) << i;
	return bits;
}

static uint64_t fields_named(const ProtobufCMessageDescriptor *type, const char *names)
{
	uint64_t bits = 0;
	char copy[256], *save = NULL;

	assert_true(strlen(names) < sizeof copy);
	strcpy(copy, names); /* lint: strcpy, because the length was just checked */
	for (char *name = strtok_r(copy, " ", &save); name; name = strtok_r(NULL, " ", &save)) {
		const ProtobufCFieldDescriptor *field = protobuf_c_message_descriptor_get_field_by_name(type, name);

		assert_non_null(field);
		bits |= UINT64_C(1) << (field - type->fields);
	}
	return bits;
}

struct seen { uint64_t fields; bool municipality, sanction, cause; };

static void show(const char *type, const Reentry__Route *route, enum role role, uint64_t seed, struct seen *seen)
{
	const ProtobufCMessageDescriptor *payload = rules_payload_of(type);
	Reentry__EventRecord stored = REENTRY__EVENT_RECORD__INIT;
	Reentry__Event event = REENTRY__EVENT__INIT;
	struct rules_record record = { .kind = REENTRY__RECORD_KIND__VALUE__EVENT, .position = 1, .agency = "pi-utrecht", .class = REENTRY__CLASS__VALUE__A };
	struct shown shown = { 0 };
	struct arena arena;
	void *data = NULL;

	arena_init(&arena, 0);
	event.id = event.cause = (char *)(uintptr_t)"0190a2b4-0000-7000-8000-000000000001";
	event.type = (char *)(uintptr_t)type;
	event.source = (char *)(uintptr_t)"pi-utrecht";
	event.subject = (char *)(uintptr_t)"C-1";
	event.sanction = (char *)(uintptr_t)"S-1";
	event.has_data = true;
	assert_int_equal(pb_pack(sample_message(payload, &arena, &seed), &arena, &event.data.data, &event.data.len), OK);
	assert_int_equal(pb_pack(&event, &arena, &stored.content.data, &stored.content.len), OK);
	stored.municipality = (char *)(uintptr_t)"0344";
	stored.has_offer = stored.has_decide_by = true;
	stored.offer = 1;
	stored.decide_by = 1800000000000;
	record.event = &stored;
	record.envelope = &event;
	assert_int_equal(rules_show(&record, route, role, &arena, &shown), OK);
	assert_int_equal(pb_unpack_own(payload, shown.event->data.data, shown.event->data.len, &arena, &data), OK);
	seen->fields |= fields_of(data);
	seen->municipality |= shown.municipality != NULL;
	seen->sanction |= shown.event->sanction != NULL;
	seen->cause |= shown.event->cause != NULL;
	arena_release(&arena);
}

static struct seen see(const char *type, uint32_t relations, enum role role)
{
	Reentry__Route route = REENTRY__ROUTE__INIT;
	struct seen seen = { 0 };

	route.agency = (char *)(uintptr_t)"employer-bouw";
	route.has_relations = route.has_care = true;
	route.relations = relations;
	route.care = role == ROLE_EMPLOYER ? 0 : 7;
	for (uint64_t seed = 1; seed <= SEEDS; seed++)
		show(type, &route, role, seed * 7919, &seen);
	return seen;
}

static void check(const char *type, const char *names, uint32_t relations, enum role role)
{
	const ProtobufCMessageDescriptor *payload = rules_payload_of(type);
	struct seen seen = see(type, relations, role);
	uint64_t wanted = fields_named(payload, names);

	for (unsigned i = 0; i < payload->n_fields; i++)
		if ((seen.fields ^ wanted) >> i & 1)
			fail_msg("%s to a %s: %s %s", type, role_name(role), payload->fields[i].name, seen.fields >> i & 1 ? "arrives and must not" : "does not arrive");
}

static void test_full(void **fixture)
{
	(void)fixture;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (rows[i].full) {
			check(rows[i].type, rows[i].full, REL_MUNICIPALITY, ROLE_MUNICIPALITY);
			check(rows[i].type, rows[i].full, REL_CUSTODIAN, ROLE_PRISON);
			check(rows[i].type, rows[i].full, REL_SUPERVISOR, ROLE_PROBATION);
			check(rows[i].type, rows[i].full, REL_AUTHORITY, ROLE_COURT);
			check(rows[i].type, rows[i].full, REL_DESK, ROLE_DESK);
			check(rows[i].type, rows[i].full, REL_PROVIDER, ROLE_HOUSING);
			check(rows[i].type, rows[i].full, REL_PROVIDER, ROLE_CARE);
		}
}

static void test_small(void **fixture)
{
	(void)fixture;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (rows[i].small) {
			struct seen seen = see(rows[i].type, REL_PROVIDER, ROLE_EMPLOYER);

			check(rows[i].type, rows[i].small, REL_PROVIDER, ROLE_EDUCATION);
			check(rows[i].type, rows[i].small, REL_PROVIDER, ROLE_EMPLOYER);
			check(rows[i].type, rows[i].small, REL_PROVIDER, ROLE_VOLUNTEER);
			assert_false(seen.municipality || seen.sanction || seen.cause);
		}
}

static void test_offer(void **fixture)
{
	(void)fixture;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (rows[i].offer) {
			struct seen seen = see(rows[i].type, REL_CANDIDATE | REL_NAMED, ROLE_CARE);

			check(rows[i].type, rows[i].offer, REL_CANDIDATE | REL_NAMED, ROLE_CARE);
			check(rows[i].type, rows[i].offer, REL_CANDIDATE | REL_NAMED, ROLE_EMPLOYER);
			assert_false(seen.municipality || seen.sanction || seen.cause);
		}
}

/* A type that nobody gave a row for schools, employers and volunteers tells them nothing. */
static void test_nothing_by_default(void **fixture)
{
	(void)fixture;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (!rows[i].small && rows[i].full && !strstr(rows[i].type, "handover.") && !strstr(rows[i].type, "gap."))
			check(rows[i].type, "", REL_PROVIDER, ROLE_EMPLOYER);
}

/* The table has each type of the catalogue, in its order, and says of those that reach nobody that they do. */
static void test_complete(void **fixture)
{
	(void)fixture;
	for (size_t i = 0; catalogue_row(i); i++) {
		const struct type_row *row = catalogue_row(i);
		bool offered = strcmp(row->name, "handover.offered") == 0 || strcmp(row->name, "case.snapshot") == 0; /* cut to the receiver: tested by scenarios */

		assert_true(i < sizeof rows / sizeof *rows);
		assert_string_equal(rows[i].type, row->name);
		if ((rows[i].full || rows[i].small || rows[i].offer || offered) != (row->receivers != 0))
			fail_msg("%s: who receives it, and who does by the table, differ", row->name);
		/* Schools, employers and volunteers are providers, candidates, and those named: whatever reaches these has a row for them. */
		if (!rows[i].small && (row->receivers & (REL_PROVIDER | TO_EMPLOYER | TO_NEED)))
			fail_msg("%s reaches providers, and the table does not say what of it", row->name);
	}
	assert_null(catalogue_row(sizeof rows / sizeof *rows));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_full), cmocka_unit_test(test_small), cmocka_unit_test(test_offer), cmocka_unit_test(test_nothing_by_default),
		cmocka_unit_test(test_complete),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
