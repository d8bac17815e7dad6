/* Proves that the indexes of a policy find every agency by its id and by each of its codes and nobody else, whatever their number, that two holders of a code are told, and that needs stand in the order of their names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/err.h"
#include "rules/internal.h"

#define MANY 700

static void agencies_are_found_by_id_and_code(void **unused)
{
	static const size_t sizes[] = { 0, 1, 2, 7, 8, 9, 100, MANY };

	(void)unused;
	for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
		const size_t n = sizes[s];
		struct agency *agencies;
		struct policy policy = { .n_agencies = n };
		struct arena arena;

		arena_init(&arena, 0);
		policy.agencies = agencies = arena_alloc(&arena, n * sizeof *agencies);
		for (size_t i = 0; i < n; i++) {
			const char **codes = arena_alloc(&arena, 2 * sizeof *codes);

			codes[0] = arena_printf(&arena, "%04zu", i);
			codes[1] = arena_printf(&arena, "%04zu", 9999 - i);
			agencies[i] = (struct agency){ .id = arena_printf(&arena, "agency-%04zu", i), .codes = codes, .n_codes = i % 2 ? 2 : 0 };
		}
		assert_int_equal(policy_index(&policy, &arena, NULL), OK);
		for (size_t i = 0; i < MANY; i++) {
			const struct agency *agency = i < n ? &agencies[i] : NULL, *holder = i % 2 ? agency : NULL;

			assert_ptr_equal(policy_agency(&policy, arena_printf(&arena, "agency-%04zu", i)), agency);
			assert_ptr_equal(policy_municipality(&policy, arena_printf(&arena, "%04zu", i)), holder);
			assert_ptr_equal(policy_municipality(&policy, arena_printf(&arena, "%04zu", 9999 - i)), holder);
		}
		assert_null(policy_agency(&policy, NULL));
		assert_null(policy_agency(&policy, ""));
		assert_null(policy_municipality(&policy, NULL));
		for (size_t i = 0; i < 6; i++) {
			static const char *const none[] = { "", "1", "001", "00010", "000x", "-001" };

			assert_null(policy_municipality(&policy, none[i]));
		}
		arena_release(&arena);
	}
}

static void two_holders_of_a_code_are_told(void **unused)
{
	const char *const codes[] = { "0344" }, *both = NULL;
	const struct agency agencies[] = { { .id = "a", .codes = codes, .n_codes = 1 }, { .id = "b", .codes = codes, .n_codes = 1 } };
	struct policy policy = { .agencies = agencies, .n_agencies = 2 };
	struct arena arena;

	(void)unused;
	arena_init(&arena, 0);
	assert_int_equal(policy_index(&policy, &arena, &both), ERR_EXISTS);
	assert_string_equal(both, "0344");
	arena_release(&arena);
}

static void a_policy_without_indexes_knows_nobody(void **unused)
{
	const struct agency agency = { .id = "a" };
	const struct policy policy = { .agencies = &agency, .n_agencies = 1 };

	(void)unused;
	assert_null(policy_agency(&policy, "a"));
	assert_null(policy_municipality(&policy, "0344"));
}

static void needs_are_sorted_by_name_each_once(void **unused)
{
	need codes[26];
	size_t n = 26;

	(void)unused;
	for (int i = 0; i < 26; i++)
		codes[i] = (need)(i * 7 % 13 + 1);
	needs_sort(codes, &n);
	assert_int_equal(n, 13);
	for (size_t i = 1; i < n; i++)
		assert_true(strcmp(need_name(codes[i - 1]), need_name(codes[i])) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(agencies_are_found_by_id_and_code), cmocka_unit_test(two_holders_of_a_code_are_told),
		cmocka_unit_test(a_policy_without_indexes_knows_nobody), cmocka_unit_test(needs_are_sorted_by_name_each_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
