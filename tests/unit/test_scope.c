/* Proves of an auditor's scope that each part which is missing grants nothing, that class C needs class C, and that without it a notice is shown with CARE in place of the need. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "lib/pb.h"
#include "rules/scope.h"

#define CLASS(name) REENTRY__CLASS__VALUE__##name

static const char *const all[] = { "*" }, *const utrecht[] = { "0344" }, *const custody[] = { "custody.started", "need.screened" };

struct sample { struct rules_record record; Reentry__EventRecord event; Reentry__Event envelope; struct arena arena; };

static void make(struct sample *s, const char *type, Reentry__Class__Value class, const void *data)
{
	memset(s, 0, sizeof *s);
	arena_init(&s->arena, 0);
	reentry__event_record__init(&s->event);
	reentry__event__init(&s->envelope);
	s->envelope.type = arena_strdup(&s->arena, type);
	s->event.municipality = arena_strdup(&s->arena, "0344");
	s->envelope.has_data = true;
	assert_int_equal(pb_pack(data, &s->arena, &s->envelope.data.data, &s->envelope.data.len), OK);
	s->record = (struct rules_record){ .kind = REENTRY__RECORD_KIND__VALUE__EVENT, .position = 1, .agency = "pi-utrecht", .class = class, .event = &s->event, .envelope = &s->envelope };
}

static struct scope whole(void)
{
	return (struct scope){ .municipalities = all, .n_municipalities = 1, .types = all, .n_types = 1, .class_a = true, .class_b = true };
}

static void test_what_is_missing_grants_nothing(void **unused)
{
	const Reentry__CustodyStarted data = REENTRY__CUSTODY_STARTED__INIT;
	struct scope scope = whole();
	struct sample s;
	struct shown shown;
	(void)unused;

	make(&s, "custody.started", CLASS(A), &data);
	assert_int_equal(scope_show(&scope, &s.record, &s.arena, &shown), OK);
	assert_true(scope_is_whole(&scope));
	scope.n_municipalities = 0;
	assert_int_equal(scope_show(&scope, &s.record, &s.arena, &shown), ERR_NOTFOUND);
	scope = whole();
	scope.n_types = 0;
	assert_int_equal(scope_show(&scope, &s.record, &s.arena, &shown), ERR_NOTFOUND);
	scope = whole();
	scope.class_a = false;
	assert_int_equal(scope_show(&scope, &s.record, &s.arena, &shown), ERR_NOTFOUND);
	assert_false(scope_is_whole(&scope));
	scope = (struct scope){ 0 };
	assert_int_equal(scope_show(&scope, &s.record, &s.arena, &shown), ERR_NOTFOUND);
	assert_int_equal(scope_classes(&scope), 0);
	arena_release(&s.arena);
}

static void test_only_what_is_named(void **unused)
{
	const Reentry__CustodyStarted data = REENTRY__CUSTODY_STARTED__INIT;
	struct scope scope = whole();
	struct sample s;
	struct shown shown;
	(void)unused;

	scope.municipalities = utrecht;
	scope.types = custody;
	scope.n_types = 2;
	assert_false(scope_is_whole(&scope));
	make(&s, "custody.started", CLASS(A), &data);
	assert_int_equal(scope_show(&scope, &s.record, &s.arena, &shown), OK);
	s.event.municipality = arena_strdup(&s.arena, "0599");
	assert_int_equal(scope_show(&scope, &s.record, &s.arena, &shown), ERR_NOTFOUND);
	s.event.municipality = NULL; /* none is known: not one of those that are named */
	assert_int_equal(scope_show(&scope, &s.record, &s.arena, &shown), ERR_NOTFOUND);
	scope.municipalities = all;
	assert_int_equal(scope_show(&scope, &s.record, &s.arena, &shown), OK);
	s.envelope.type = arena_strdup(&s.arena, "custody.transferred");
	assert_int_equal(scope_show(&scope, &s.record, &s.arena, &shown), ERR_NOTFOUND);
	s.record.envelope = NULL; /* it could not be opened */
	assert_int_equal(scope_show(&scope, &s.record, &s.arena, &shown), ERR_NOTFOUND);
	arena_release(&s.arena);
}

static void test_a_need_of_class_c(void **unused)
{
	Reentry__NeedStatusChanged data = REENTRY__NEED_STATUS_CHANGED__INIT;
	struct scope scope = whole();
	struct sample s;
	struct shown shown;
	(void)unused;

	data.has_need = data.has_status = true;
	data.need = REENTRY__NEED__VALUE__ADDICTION;
	data.status = REENTRY__NEED_STATUS__VALUE__OPEN;
	make(&s, "need.screened", CLASS(C), &data);
	assert_int_equal(scope_show(&scope, &s.record, &s.arena, &shown), ERR_NOTFOUND);
	scope.class_c = true;
	assert_int_equal(scope_show(&scope, &s.record, &s.arena, &shown), OK);
	scope.class_a = scope.class_b = false; /* C alone is C alone */
	assert_int_equal(scope_show(&scope, &s.record, &s.arena, &shown), OK);
	s.record.class = CLASS(B);
	assert_int_equal(scope_show(&scope, &s.record, &s.arena, &shown), ERR_NOTFOUND);
	s.record.class = CLASS(D);
	scope = whole();
	scope.class_c = true;
	assert_int_equal(scope_show(&scope, &s.record, &s.arena, &shown), ERR_NOTFOUND);
	arena_release(&s.arena);
}

static void test_medication_has_no_masked_form(void **unused)
{
	const Reentry__Nothing data = REENTRY__NOTHING__INIT;
	struct scope scope = whole();
	struct sample s;
	struct shown shown;
	(void)unused;

	make(&s, "medication.bridged", CLASS(C), &data);
	assert_int_equal(scope_show(&scope, &s.record, &s.arena, &shown), ERR_NOTFOUND);
	arena_release(&s.arena);
}

static void test_a_notice_is_shown_with_care(void **unused)
{
	Reentry__Need__Value codes[] = { REENTRY__NEED__VALUE__HOUSING, REENTRY__NEED__VALUE__PSYCHIATRIC };
	Reentry__ReleaseApproaching data = REENTRY__RELEASE_APPROACHING__INIT;
	struct scope scope = whole();
	struct sample s;
	struct shown shown;
	void *seen = NULL;
	(void)unused;

	data.open_needs = codes;
	data.n_open_needs = 2;
	make(&s, "release.approaching", CLASS(C), &data); /* always sealed under C, for what may stand in it */
	assert_int_equal(scope_show(&scope, &s.record, &s.arena, &shown), OK);
	assert_int_equal(pb_unpack_own(&reentry__release_approaching__descriptor, shown.event->data.data, shown.event->data.len, &s.arena, &seen), OK);
	assert_int_equal(((Reentry__ReleaseApproaching *)seen)->n_open_needs, 2);
	assert_int_equal(((Reentry__ReleaseApproaching *)seen)->open_needs[0], REENTRY__NEED__VALUE__CARE);
	assert_int_equal(((Reentry__ReleaseApproaching *)seen)->open_needs[1], REENTRY__NEED__VALUE__HOUSING);
	assert_string_equal(shown.municipality, "0344");
	scope.class_b = false; /* needs are B */
	assert_int_equal(scope_show(&scope, &s.record, &s.arena, &shown), ERR_NOTFOUND);
	scope = whole();
	scope.class_a = false;
	assert_int_equal(scope_show(&scope, &s.record, &s.arena, &shown), ERR_NOTFOUND);
	scope = whole();
	scope.class_c = true;
	assert_int_equal(scope_show(&scope, &s.record, &s.arena, &shown), OK);
	assert_ptr_equal(shown.event, &s.envelope);
	arena_release(&s.arena);
}

static void test_the_note_of_an_offer_is_not_shown_with_care(void **unused)
{
	Reentry__HandoverOffered data = REENTRY__HANDOVER_OFFERED__INIT;
	static char handover[] = "H-1", note[] = "needs a psychiatrist";
	struct scope scope = whole();
	struct sample s;
	struct shown shown;
	void *seen = NULL;
	(void)unused;

	data.handover = handover;
	data.note = note;
	data.has_need = true;
	data.need = REENTRY__NEED__VALUE__PSYCHIATRIC;
	make(&s, "handover.offered", CLASS(C), &data);
	assert_int_equal(scope_show(&scope, &s.record, &s.arena, &shown), OK);
	assert_int_equal(pb_unpack_own(&reentry__handover_offered__descriptor, shown.event->data.data, shown.event->data.len, &s.arena, &seen), OK);
	assert_null(((Reentry__HandoverOffered *)seen)->note);
	assert_int_equal(((Reentry__HandoverOffered *)seen)->need, REENTRY__NEED__VALUE__CARE);
	arena_release(&s.arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_missing_grants_nothing),    cmocka_unit_test(test_only_what_is_named),          cmocka_unit_test(test_a_need_of_class_c),
		cmocka_unit_test(test_medication_has_no_masked_form),     cmocka_unit_test(test_a_notice_is_shown_with_care), cmocka_unit_test(test_the_note_of_an_offer_is_not_shown_with_care),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
