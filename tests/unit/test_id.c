/* Proves that ids are UUIDv7 of their moment, unique and increasing within a ms (also across fork), that a derived id depends on moment and seed alone, and that only what the rules
 * allow passes for an id, a reference, an agency or an OIN. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <sys/wait.h>
#include <unistd.h>

#include "lib/crypt.h"
#include "lib/err.h"
#include "lib/id.h"

#define MANY 20000

static const moment when = INT64_C(0x017F22E279B0); /* the moment of RFC 9562 A.6 */

static void assert_is_v7_of(const char *id, moment expected)
{
	uint8_t b[16];
	uint64_t ms = 0;

	assert_int_equal(strlen(id), ID_TEXT_SIZE - 1);
	assert_int_equal(id_parse(id, b), OK);
	for (int i = 0; i < 6; i++)
		ms = ms << 8 | b[i];
	assert_int_equal(ms, expected);
	assert_int_equal(b[6] >> 4, 7);
	assert_int_equal(b[8] >> 6, 2);
}

static void ids_are_uuids_of_version_7(void **state)
{
	char id[ID_TEXT_SIZE];

	(void)state;
	id_new(id, when);
	assert_is_v7_of(id, when);
	assert_memory_equal(id, "017f22e2-79b0-7", 15);
	id_new(id, 0);
	assert_is_v7_of(id, 0);
	id_new(id, MOMENT_MAX);
	assert_is_v7_of(id, MOMENT_MAX);
}

static void ids_increase_within_a_ms(void **state)
{
	char last[ID_TEXT_SIZE], next[ID_TEXT_SIZE];

	(void)state;
	id_new(last, when);
	for (int i = 0; i < MANY; i++) {
		id_new(next, when);
		assert_is_v7_of(next, when);
		assert_true(strcmp(next, last) > 0);
		memcpy(last, next, sizeof last);
	}
}

static void ids_of_different_moments_are_in_their_order(void **state)
{
	char last[ID_TEXT_SIZE] = "", next[ID_TEXT_SIZE];

	(void)state;
	for (moment t = when; t < when + 1000; t++) {
		id_new(next, t);
		assert_true(strcmp(next, last) > 0);
		memcpy(last, next, sizeof last);
	}
}

static int by_text(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* The clock goes back and forth, as two machines' or a corrected one's does. */
static void ids_are_unique_whatever_the_clock_does(void **state)
{
	static char ids[MANY][ID_TEXT_SIZE];

	(void)state;
	for (int i = 0; i < MANY; i++)
		id_new(ids[i], when + i % 3);
	qsort(ids, MANY, sizeof ids[0], by_text);
	for (int i = 1; i < MANY; i++)
		assert_string_not_equal(ids[i], ids[i - 1]);
}

static void a_child_does_not_repeat_its_parent(void **state)
{
	char parent[ID_TEXT_SIZE], child[ID_TEXT_SIZE] = "";
	int ends[2], status;
	pid_t pid;

	(void)state;
	id_new(parent, when);
	assert_int_equal(pipe(ends), 0);
	pid = fork();
	if (pid == 0) {
		id_new(child, when);
		_exit(write(ends[1], child, sizeof child) != sizeof child);
	}
	assert_true(pid > 0);
	(void)close(ends[1]);
	assert_int_equal(read(ends[0], child, sizeof child), sizeof child);
	(void)close(ends[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	id_new(parent, when); /* what the child would have got, had it counted on */
	assert_is_v7_of(child, when);
	assert_string_not_equal(child, parent);
}

static void random_bits_are_random(void **state)
{
	int ones[128] = { 0 };

	(void)state;
	for (int i = 0; i < 4000; i++) {
		char id[ID_TEXT_SIZE];
		uint8_t b[16];

		id_new(id, when + i);
		assert_int_equal(id_parse(id, b), OK);
		for (int bit = 0; bit < 128; bit++)
			ones[bit] += b[bit / 8] >> (7 - bit % 8) & 1;
	}
	/* Half of 4000 within ten standard deviations; the version, the variant and the bit kept for counting are fixed. */
	for (int bit = 52; bit < 128; bit++)
		if (bit != 64 && bit != 65 && bit != 72)
			assert_in_range(ones[bit], 2000 - 320, 2000 + 320);
}

/* --- derived --------------------------------------------------------------------------------------------------- */

static void derived_ids_are_determined(void **state)
{
	char a[ID_TEXT_SIZE], b[ID_TEXT_SIZE];

	(void)state;
	/* SHA-256("abc") = ba7816bf 8f01 cfea 4141 40de5dae2223 …, under moment, version and variant */
	id_derive(a, when, "abc", 3);
	assert_string_equal(a, "017f22e2-79b0-7fea-8141-40de5dae2223");
	id_derive(b, when, "abcd", 3);
	assert_string_equal(a, b);
	id_derive(b, when, "abcd", 4);
	assert_string_not_equal(a, b);
	id_derive(b, when + 1, "abc", 3);
	assert_is_v7_of(b, when + 1);
	assert_string_not_equal(a, b);
	id_derive(b, when, "", 0);
	assert_is_v7_of(b, when);
}

/* --- forms ------------------------------------------------------------------------------------------------------ */

struct form { const char *text; bool valid; };

static void check_forms(bool (*is_valid)(const char *), const struct form *forms, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (is_valid(forms[i].text) != forms[i].valid)
			fail_msg("\"%s\" is %staken", forms[i].text, forms[i].valid ? "not " : "");
}

#define A32 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define CHECK(function, ...) check_forms(function, (const struct form[]){ __VA_ARGS__ }, sizeof (struct form[]){ __VA_ARGS__ } / sizeof(struct form))

static void uuids_have_their_form(void **state)
{
	(void)state;
	CHECK(id_is_uuid, { "017f22e2-79b0-7cc3-98c4-dc0c0c07398f", true }, { "017F22E2-79B0-7CC3-98C4-DC0C0C07398F", true },
	      { "00000000-0000-0000-0000-000000000000", true }, { "919108f7-52d1-4320-9bac-f847db4148a8", true }, { "", false },
	      { "017f22e279b07cc398c4dc0c0c07398f", false }, { "017f22e2-79b0-7cc3-98c4-dc0c0c07398", false },
	      { "017f22e2-79b0-7cc3-98c4-dc0c0c07398f0", false }, { "017f22e2-79b0-7cc3-98c4-dc0c0c07398g", false },
	      { "017f22e2-79b0-7cc3-98c4dc-0c0c07398f", false }, { "{17f22e2-79b0-7cc3-98c4-dc0c0c07398f}", false },
	      { " 17f22e2-79b0-7cc3-98c4-dc0c0c07398f", false }, { "-017f22e2-79b0-7cc3-98c4-dc0c0c07398", false },
	      { "017f22e2_79b0_7cc3_98c4_dc0c0c07398f", false }, { "017f22e2-79b0-7cc3-98c4-dc0c0c0739\xc3\xa9", false });
}

static void an_id_that_is_none_leaves_the_bytes(void **state)
{
	uint8_t b[16] = "untouched";

	(void)state;
	assert_int_equal(id_parse("017f22e2-79b0-7cc3-98c4-dc0c0c07398x", b), ERR_INVALID);
	assert_memory_equal(b, "untouched", 10);
	assert_int_equal(id_parse("00112233-4455-6677-8899-aabbccddeeff", b), OK);
	for (int i = 0; i < 16; i++)
		assert_int_equal(b[i], i * 0x11);
}

static void a_reference_is_of_these_characters_only(void **state)
{
	static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";

	(void)state;
	for (int c = 1; c < 256; c++) {
		const char text[] = { 'a', (char)c, 'z', 0 };

		assert_int_equal(ref_is_valid(text), strchr(allowed, c) != NULL);
	}
}

static void references_have_their_form(void **state)
{
	(void)state;
	CHECK(ref_is_valid, { "C-1", true }, { "a", true }, { ".", true }, { "A.b_c-9", true }, { A32 A32, true }, { A32 A32 "a", false }, { "", false },
	      { "a b", false }, { "a/b", false }, { "a\n", false }, { "\xc3\xa9", false }, { "a:b", false }, { "a*", false });
}

static void agencies_have_their_form(void **state)
{
	(void)state;
	CHECK(agency_id_is_valid, { "gm0344", true }, { "pi-utrecht", true }, { "a", true }, { "0", true }, { A32, true }, { A32 "a", false }, { "", false },
	      { "-a", false }, { "a-", false }, { "-", false }, { "Gm0344", false }, { "gm_0344", false }, { "gm.0344", false }, { "gm0344 ", false });
}

static void oins_have_their_form(void **state)
{
	(void)state;
	CHECK(oin_is_valid, { "00000099000000001001", true }, { "0000009900000000100", false }, { "000000990000000010010", false },
	      { "0000009900000000100a", false }, { "", false }, { " 0000009900000000100", false });
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_reference_is_of_these_characters_only),
		cmocka_unit_test(ids_are_uuids_of_version_7), cmocka_unit_test(ids_increase_within_a_ms), cmocka_unit_test(ids_of_different_moments_are_in_their_order),
		cmocka_unit_test(ids_are_unique_whatever_the_clock_does), cmocka_unit_test(a_child_does_not_repeat_its_parent), cmocka_unit_test(random_bits_are_random),
		cmocka_unit_test(derived_ids_are_determined), cmocka_unit_test(uuids_have_their_form), cmocka_unit_test(an_id_that_is_none_leaves_the_bytes),
		cmocka_unit_test(references_have_their_form), cmocka_unit_test(agencies_have_their_form), cmocka_unit_test(oins_have_their_form),
	};
	if (crypt_init() != OK)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
