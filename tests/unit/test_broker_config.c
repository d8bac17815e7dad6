/* Proves that a broker's configuration is understood as it is meant, that each mistake in it is named with what to do, that it needs no key file, and that the
 * effective configuration can be read back from the record of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "broker/config.h"

struct place { char root[64], path[80]; struct err err; struct broker_config *config; };

static int make(void **state)
{
	struct place *place = calloc(1, sizeof *place);

	if (!place)
		return -1;
	(void)snprintf(place->root, sizeof place->root, "/tmp/test_config-XXXXXX"); /* shorter than its room */
	if (!mkdtemp(place->root))
		return -1;
	(void)snprintf(place->path, sizeof place->path, "%s/broker.cfg", place->root);
	*state = place;
	return 0;
}

static int release(void **state)
{
	struct place *place = *state;

	broker_config_free(place->config);
	(void)unlink(place->path);
	(void)rmdir(place->root);
	free(place);
	return 0;
}

#define BROKER "broker = { id = \"broker\"; oin = \"00000099000000000001\"; endpoints = [ \"tcp://127.0.0.1:1\" ]; key = \"k/b.key\"; store = \"store\"; " \
	"control = \"/run/b.sock\"; signing_key = \"s\"; master_key = \"m\"; };\n"
#define REST "limits = { }; calendar = { }; rules = { };\n"
#define OIN(n) "oin = \"000000990000000000" n "\"; keys = [ \"k/" n ".pub\" ]; "
#define GM_B "{ id = \"gm-b\"; role = \"municipality\"; " OIN("22") "codes = [ \"0599\", \"0600\" ]; contact = \"0800\"; }"
#define GM_A "{ id = \"gm-a\"; role = \"municipality\"; " OIN("21") "codes = [ \"0344\" ]; }"
#define DESK "{ id = \"desk\"; role = \"desk\"; " OIN("23") "}"
#define WHOLE BROKER REST "agencies = ( " GM_B ", " GM_A ", " DESK " );\n"

static int load(struct place *place, const char *text)
{
	FILE *file = fopen(place->path, "w");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
	broker_config_free(place->config);
	place->config = NULL;
	memset(&place->err, 0, sizeof place->err);
	return broker_config_load(place->path, &place->config, &place->err);
}

static void accepts(struct place *place, const char *text)
{
	if (load(place, text))
		fail_msg("%s", place->err.text);
}

/* Says the file, one line, and these words. */
static void refuses(struct place *place, const char *text, const char *words)
{
	assert_int_not_equal(load(place, text), OK);
	assert_null(place->config);
	assert_null(strchr(place->err.text, '\n'));
	if (!strstr(place->err.text, words) || !strstr(place->err.text, place->path))
		fail_msg("\"%s\" does not say \"%s\" of %s", place->err.text, words, place->path);
}

static void agencies_are_sorted_and_found(void **state)
{
	struct place *place = *state;
	const struct policy *policy;

	accepts(place, WHOLE);
	policy = &place->config->policy;
	assert_int_equal(policy->n_agencies, 3);
	assert_string_equal(policy->agencies[0].id, "desk");
	assert_string_equal(policy->agencies[2].id, "gm-b");
	assert_string_equal(policy_agency(policy, "gm-b")->contact, "0800");
	assert_null(policy_agency(policy, "gm-c"));
	assert_ptr_equal(policy_municipality(policy, "0600"), policy_agency(policy, "gm-b"));
	assert_null(policy_municipality(policy, "0855"));
	assert_ptr_equal(policy_desk(policy), policy_agency(policy, "desk"));
	for (size_t i = 0; i < 3; i++) { /* the files of an agency moved with it */
		assert_int_equal(place->config->key_files[i].n, 1);
		assert_true(strncmp(place->config->key_files[i].items[0], place->root, strlen(place->root)) == 0);
	}
	assert_non_null(strstr(place->config->key_files[2].items[0], "k/22.pub"));
}

static void what_is_left_out_has_the_defaults_of_the_specification(void **state)
{
	static const uint32_t milestones[] = { 90, 56, 24, 14, 7, 2, 1, 0 };
	struct place *place = *state;
	const struct policy *policy;

	accepts(place, WHOLE);
	policy = &place->config->policy;
	assert_int_equal(policy->n_milestones, 8);
	assert_memory_equal(policy->milestones, milestones, sizeof milestones);
	assert_int_equal(policy->n_followup_days, 3);
	assert_int_equal(policy->notice_time, 8 * 60);
	assert_int_equal(policy->day_end, 17 * 60);
	assert_int_equal(policy->confirm_hold, 45 * 60000);
	assert_int_equal(policy->offer_urgent, 2 * 3600000);
	assert_int_equal(policy->urgent_reminder, 30 * 60000);
	assert_int_equal(policy->delivery_overdue, 15 * 60000);
	assert_int_equal(policy->screening_days, 10);
	assert_int_equal(policy->offer_days, 3);
	assert_int_equal(policy->start_report_days, 5);
	assert_int_equal(policy->still_unknown_days, 7);
	assert_int_equal(policy->followup_reminder_days, 3);
	assert_int_equal(policy->behind_days, 14);
	assert_int_equal(policy->supervision_interval_days, 21);
	assert_int_equal(policy->contact_overdue_days, 3);
	assert_int_equal(policy->retention_months, 6);
	assert_int_equal(policy->erasure_chase_days, 7);
	assert_int_equal(policy->service_hours_max, 240);
	assert_int_equal(policy->gap_milestone_urgent, 2);
	assert_int_equal(policy->gap_milestone, 7);
	assert_int_equal(place->config->file.limits.window, 4096);
}

static void what_is_written_counts(void **state)
{
	struct place *place = *state;
	const struct policy *policy;

	accepts(place, BROKER "limits = { window = 7; }; calendar = { notice_time = \"09:30\"; holidays = [ \"2027-12-25\", \"2027-01-01\" ]; };\n"
		"rules = { milestones = [ 3, 30 ]; confirm_hold = \"1h\"; };\nagencies = ( " GM_A " );\n");
	policy = &place->config->policy;
	assert_int_equal(place->config->file.limits.window, 7);
	assert_int_equal(policy->notice_time, 9 * 60 + 30);
	assert_int_equal(policy->n_milestones, 2);
	assert_int_equal(policy->milestones[0], 30); /* largest first, however they were written */
	assert_int_equal(policy->confirm_hold, 3600000);
	assert_int_equal(policy->n_holidays, 2);
	assert_true(policy->holidays[0] < policy->holidays[1]);
	assert_null(policy_desk(policy));
}

static void paths_are_relative_to_the_file(void **state)
{
	struct place *place = *state;
	char expected[128];

	accepts(place, WHOLE);
	(void)snprintf(expected, sizeof expected, "%s/store", place->root); /* fits */
	assert_string_equal(place->config->file.broker.store, expected);
	assert_string_equal(place->config->file.broker.control, "/run/b.sock");
}

static void the_record_of_it_reads_back_to_the_same(void **state)
{
	struct place *place = *state;
	struct broker_config *again = NULL;

	accepts(place, BROKER "limits = { turn = \"7ms\"; store_size = \"3GiB\"; }; calendar = { holidays = [ \"2027-12-25\" ]; }; rules = { followup_days = [ 2 ]; };\n"
		"agencies = ( " GM_B ", " GM_A ", { id = \"audit\"; role = \"auditor\"; " OIN("24") "scope = { municipalities = [ \"*\" ]; types = [ \"release.approaching\" ]; classes = [ \"A\", \"C\" ]; mandate = [ \"C\" ]; }; } );\n");
	if (broker_config_parse(place->config->policy_text, &again, &place->err))
		fail_msg("%s", place->err.text);
	assert_string_equal(again->policy_text, place->config->policy_text);
	assert_int_equal(again->policy.n_agencies, 3);
	assert_true(again->policy.agencies[0].scope.class_c);
	broker_config_free(again);
	assert_int_not_equal(broker_config_parse("broker = { };", &again, NULL), OK);
}

static void the_same_file_gives_the_same_record(void **state)
{
	struct place *place = *state;
	char *first;

	accepts(place, WHOLE);
	first = strdup(place->config->policy_text);
	assert_non_null(first);
	accepts(place, WHOLE);
	assert_string_equal(place->config->policy_text, first);
	accepts(place, BROKER REST "agencies = ( " GM_B ", " GM_A " );\n");
	assert_string_not_equal(place->config->policy_text, first);
	free(first);
}

static void a_scope_that_is_missing_means_nothing(void **state)
{
	struct place *place = *state;
	const struct scope *scope;

	accepts(place, BROKER REST "agencies = ( { id = \"audit\"; role = \"auditor\"; " OIN("24") "} );\n");
	scope = &place->config->policy.agencies[0].scope;
	assert_true(!scope->class_a && !scope->class_b && !scope->class_c && !scope->class_d && !scope->n_municipalities && !scope->n_types);
	accepts(place, BROKER REST "agencies = ( { id = \"audit\"; role = \"auditor\"; " OIN("24") "scope = { classes = [ \"B\", \"C\" ]; }; } );\n");
	scope = &place->config->policy.agencies[0].scope;
	assert_true(scope->class_b && !scope->class_a && !scope->class_c); /* no mandate */
}

struct mistake { const char *text, *words; };

static void each_mistake_is_named(void **state)
{
	static const struct mistake mistakes[] = {
		{ REST "agencies = ( " GM_A " );\n", "broker" },
		{ "broker = { oin = \"00000099000000000001\"; };\n" REST "agencies = ( " GM_A " );\n", "broker.id" },
		{ "broker = { id = \"Broker!\"; oin = \"00000099000000000001\"; endpoints = [ \"e\" ]; key = \"k\"; store = \"s\"; control = \"c\"; signing_key = \"s\"; "
			"master_key = \"m\"; };\n" REST "agencies = ( " GM_A " );\n", "broker: id must be" },
		{ BROKER REST "agencies = ( );\n", "agencies" },
		{ BROKER REST "agencies = ( " GM_A ", " GM_A " );\n", "agency gm-a: stands there twice" },
		{ BROKER REST "agencies = ( " GM_A ", { id = \"gm-c\"; role = \"municipality\"; " OIN("21") "} );\n", "gm-a and gm-c: have the same oin" },
		{ BROKER REST "agencies = ( " GM_A ", { id = \"gm-c\"; role = \"municipality\"; " OIN("31") "codes = [ \"0855\", \"0344\" ]; } );\n",
			"agencies gm-a and gm-c: both hold municipality code 0344" },
		{ BROKER REST "agencies = ( { id = \"gm-c\"; role = \"municipality\"; " OIN("31") "codes = [ \"0855\", \"0855\" ]; } );\n", "agency gm-c: code 0855 stands there twice" },
		{ BROKER REST "agencies = ( { id = \"gm-c\"; role = \"municipality\"; " OIN("31") "codes = [ \"855\" ]; } );\n", "must have 4 digits" },
		{ BROKER REST "agencies = ( { id = \"gm-c\"; role = \"municipality\"; " OIN("31") "codes = [ \"0000\" ]; } );\n", "nobody can hold it" },
		{ BROKER REST "agencies = ( { id = \"gm-c\"; role = \"municipality\"; " OIN("31") "codes = [ \"9999\" ]; } );\n", "nobody can hold it" },
		{ BROKER REST "agencies = ( { id = \"pi\"; role = \"prison\"; " OIN("31") "codes = [ \"0344\" ]; } );\n", "only a municipality holds codes" },
		{ BROKER REST "agencies = ( { id = \"pi\"; role = \"jail\"; " OIN("31") "} );\n", "role \"jail\" is unknown" },
		{ BROKER REST "agencies = ( { id = \"PI\"; role = \"prison\"; " OIN("31") "} );\n", "agency \"PI\": id must be" },
		{ BROKER REST "agencies = ( { id = \"broker\"; role = \"prison\"; " OIN("31") "} );\n", "has the broker's own id" },
		{ BROKER REST "agencies = ( { id = \"pi\"; role = \"prison\"; oin = \"0000009900000000001x\"; keys = [ \"k\" ]; } );\n", "oin must have 20 digits" },
		{ BROKER REST "agencies = ( { id = \"pi\"; role = \"prison\"; oin = \"00000099000000000031\"; } );\n", "keys" },
		{ BROKER REST "agencies = ( " DESK ", { id = \"desk-2\"; role = \"desk\"; " OIN("31") "} );\n", "desk and desk-2: there is one national desk" },
		{ BROKER REST "agencies = ( { id = \"pi\"; role = \"prison\"; " OIN("31") "scope = { }; } );\n", "only an auditor has a scope" },
		{ BROKER REST "agencies = ( { id = \"au\"; role = \"auditor\"; " OIN("31") "scope = { classes = [ \"E\" ]; }; } );\n", "\"E\" is no class" },
		{ BROKER REST "agencies = ( { id = \"au\"; role = \"auditor\"; " OIN("31") "scope = { types = [ \"release.aproaching\" ]; }; } );\n", "is no type of the catalogue" },
		{ BROKER REST "agencies = ( { id = \"au\"; role = \"auditor\"; " OIN("31") "scope = { municipalities = [ \"Utrecht\" ]; }; } );\n", "must be a code of 4 digits" },
		{ BROKER REST "agencies = ( { id = \"au\"; role = \"auditor\"; " OIN("31") "scope = { mandate = [ \"B\" ]; }; } );\n", "only class C needs one" },
		{ BROKER "limits = { windw = 3; }; calendar = { }; rules = { };\nagencies = ( " GM_A " );\n", "windw" },
		{ BROKER "limits = { store_size = \"8MiB\"; store_reserve = \"5MiB\"; }; calendar = { }; rules = { };\nagencies = ( " GM_A " );\n", "limits.store_reserve" },
		{ BROKER "limits = { resend_after = \"1h\"; }; calendar = { }; rules = { };\nagencies = ( " GM_A " );\n", "limits.resend_after" },
		{ BROKER "limits = { }; calendar = { zone = \"Europe/Atlantis\"; }; rules = { };\nagencies = ( " GM_A " );\n", "Atlantis" },
		{ BROKER "limits = { }; calendar = { }; rules = { milestones = [ 7, 7 ]; };\nagencies = ( " GM_A " );\n", "rules.milestones: 7 stands there twice" },
		{ BROKER "limits = { }; calendar = { }; rules = { milestones = [ -1 ]; };\nagencies = ( " GM_A " );\n", "-1" },
	};
	struct place *place = *state;

	for (size_t i = 0; i < sizeof mistakes / sizeof *mistakes; i++)
		refuses(place, mistakes[i].text, mistakes[i].words);
}

static void a_file_that_is_not_there_is_named(void **state)
{
	struct place *place = *state;

	assert_int_equal(broker_config_load("/nonexistent/broker.cfg", &place->config, &place->err), ERR_NOTFOUND);
	assert_non_null(strstr(place->err.text, "/nonexistent/broker.cfg"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make, release)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(agencies_are_sorted_and_found), TEST(what_is_left_out_has_the_defaults_of_the_specification), TEST(what_is_written_counts),
		TEST(paths_are_relative_to_the_file), TEST(the_record_of_it_reads_back_to_the_same), TEST(the_same_file_gives_the_same_record),
		TEST(a_scope_that_is_missing_means_nothing), TEST(each_mistake_is_named), TEST(a_file_that_is_not_there_is_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
