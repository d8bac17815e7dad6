/* Proves that the command's tables agree with what they mirror: the agent's configuration keys, and the catalogue's types. */
#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "agents/agent.h"
#include "cli/agent_config.h"
#include "cli/cli.h"
#include "rules/internal.h"

static const struct conf_row *find_row(const struct conf_row *rows, const char *name)
{
	for (; rows->name != NULL; rows++)
		if (strcmp(rows->name, name) == 0)
			return rows;
	return NULL;
}

/* Every key of one table is in the other, as the same type. */
static void same_keys(const struct conf_row *rows, const struct conf_row *others)
{
	for (; rows->name != NULL; rows++) {
		const struct conf_row *other = find_row(others, rows->name);
		if (other == NULL)
			fail_msg("%s is missing", rows->name);
		assert_int_equal(rows->type, other->type);
		if (rows->rows != NULL)
			same_keys(rows->rows, other->rows);
	}
}

static void test_configuration_keys(void **unused)
{
	(void)unused;
	same_keys(agent_config_rows, cli_agent_rows);
	same_keys(cli_agent_rows, agent_config_rows);
}

static void test_every_type_has_its_words(void **unused)
{
	struct cli en = {.lang = LANG_EN}, nl = {.lang = LANG_NL};
	const struct type_row *row;
	(void)unused;
	for (size_t i = 0; (row = catalogue_row(i)) != NULL; i++) {
		if (word_type(&en, row->name) == row->name || word_type(&nl, row->name) == row->name)
			fail_msg("%s has no words", row->name);
		char full[128];
		(void)snprintf(full, sizeof full, "nl.reentry.%s", row->name); /* fits */
		assert_string_equal(word_type(&en, full), word_type(&en, row->name));
	}
	static const char unknown[] = "nobody.knows";
	assert_ptr_equal(word_type(&en, unknown), unknown);
}

static void test_every_name_of_an_enum_has_its_words(void **unused)
{
	static const ProtobufCEnumDescriptor *const enums[] = {&reentry__need__value__descriptor, &reentry__need_status__value__descriptor, &reentry__handover_state__value__descriptor,
	                                                        &reentry__decline_code__value__descriptor, &reentry__sentence_kind__value__descriptor,
	                                                        &reentry__release_kind__value__descriptor, &reentry__gap_reason__value__descriptor, &reentry__phase__value__descriptor};
	struct cli nl = {.lang = LANG_NL};
	(void)unused;
	for (size_t i = 0; i < sizeof enums / sizeof *enums; i++)
		for (unsigned j = 0; j < enums[i]->n_values; j++)
			if (word(&nl, enums[i]->values[j].name) == enums[i]->values[j].name)
				fail_msg("%s has no words", enums[i]->values[j].name);
}

/* A sentence takes as many arguments in one language as in the other. */
static void test_sentences_agree(void **unused)
{
	struct cli en = {.lang = LANG_EN}, nl = {.lang = LANG_NL};
	(void)unused;
	for (int i = 0; i < T_COUNT; i++) {
		size_t a = 0, b = 0;
		for (const char *at = text_of(&en, (enum text)i); *at != '\0'; at++)
			a += *at == '%';
		bool glued = false; /* "%s" would be an argument and an s */
		for (const char *at = text_of(&nl, (enum text)i); *at != '\0'; at++) {
			b += *at == '%';
			glued = glued || (at[0] == '%' && isalpha((unsigned char)at[1]));
		}
		if (a != b || glued)
			fail_msg("%s", text_of(&en, (enum text)i));
	}
}

static void test_say(void **unused)
{
	struct cli cli = {.lang = LANG_EN};
	(void)unused;
	arena_init(&cli.shown, 0);
	assert_string_equal(say(&cli, T_IN_DAYS, number(&cli, 24), NULL), "in 24 days");
	assert_string_equal(say(&cli, T_TODAY, NULL), "today");
	arena_release(&cli.shown);
}

static void test_a_draft_writes_fields_as_their_type_wants(void **unused)
{
	static const char *const fields[] = {"handover=H-1", "to=care-a", "offer=2", "then=care-b,care-c", "note=\"a=b\"", "start_by=2027-02-25", NULL};
	struct draft draft = {.type = "nl.reentry.handover.offered", .subject = "C-1", .fields = fields, .urgent = true, .slot_version = "3"};
	static const char *const bad[] = {"novalue", NULL};
	struct err err;
	struct buf out;
	(void)unused;
	buf_init(&out);
	assert_int_equal(draft_write(&draft, &out, &err), OK);
	assert_string_equal((const char *)out.bytes, "{\"type\":\"handover.offered\",\"subject\":\"C-1\",\"slotversion\":3,\"priority\":\"URGENT\",\"data\":{\"handover\":\"H-1\",\"to\":\"care-a\","
	                                             "\"offer\":2,\"then\":[\"care-b\",\"care-c\"],\"note\":\"\\\"a=b\\\"\",\"start_by\":\"2027-02-25\"}}");
	draft.fields = bad;
	assert_int_equal(draft_write(&draft, &out, &err), ERR_INVALID);
	buf_release(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_configuration_keys), cmocka_unit_test(test_every_type_has_its_words), cmocka_unit_test(test_every_name_of_an_enum_has_its_words),
		cmocka_unit_test(test_sentences_agree),    cmocka_unit_test(test_say),                      cmocka_unit_test(test_a_draft_writes_fields_as_their_type_wants),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
