/* Proves of the states that are held in memory: what is asked for is what was put, packed or unpacked, sums are right whatever comes and goes, and beyond the bound those go that the table has, the oldest first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "broker/core_held.h"
#include "lib/err.h"
#include "lib/pb.h"
#include "proto/record.pb-c.h"

#define CASES 200
#define STEPS 40000
#define LARGE ((size_t)1 << 20)

static struct held_states states;
static struct arena arena;

static int setup(void **state)
{
	(void)state;
	arena_init(&arena, 0);
	return held_init(&states);
}

static int teardown(void **state)
{
	(void)state;
	held_release(&states);
	arena_release(&arena);
	return 0;
}

static const char *name(size_t i)
{
	static char ref[32];

	(void)snprintf(ref, sizeof ref, "C-%zu", i);
	return ref;
}

static uint64_t draw(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

/* What should be there. n 0: a stub. unpacked: a state with a text of so many bytes; of the packed one nothing is known then. */
struct model { bool there, clean, fresh; size_t n, unpacked; uint8_t byte; };

static void keep_text(struct held *it, size_t n, char byte)
{
	Reentry__CaseState kept = REENTRY__CASE_STATE__INIT;
	char text[700];

	memset(text, byte, n);
	text[n] = 0;
	kept.custodian = text;
	assert_int_equal(held_keep(&states, it, &kept, &arena), OK);
}

static void assert_text(const Reentry__CaseState *kept, size_t n, char byte)
{
	assert_non_null(kept);
	assert_int_equal(strlen(kept->custodian), n);
	assert_int_equal(strspn(kept->custodian, (char[]){ byte, 0 }), n);
}

static void check_text(struct held *it, struct model *m)
{
	void *message = NULL;

	assert_non_null(it->unpacked);
	assert_text(pb_image_copy(&it->unpacked->image, &arena), m->unpacked, (char)m->byte);
	assert_int_equal(held_pack(&states, it, &arena), OK);
	assert_false(it->stale);
	assert_int_equal(pb_unpack_own(&reentry__case_state__descriptor, it->bytes, it->n, &arena, &message), OK);
	assert_text(message, m->unpacked, (char)m->byte);
	m->n = it->n;
	arena_reset(&arena);
}

static void change(struct model *m, const char *ref, uint64_t *seed)
{
	struct held *it = held_find(&states, ref);
	uint8_t bytes[700];

	assert_true((it != NULL) == m->there);
	switch (draw(seed) % 6) {
	case 0:
		it = held_make(&states, ref);
		assert_non_null(it);
		m->there = true;
		break;
	case 1:
		if (!it)
			break;
		*m = (struct model){ 0 };
		held_drop(&states, it);
		break;
	case 2:
		if (!it)
			break;
		m->n = 1 + draw(seed) % sizeof bytes;
		m->byte = (uint8_t)draw(seed);
		memset(bytes, m->byte, m->n);
		assert_int_equal(held_fill(&states, it, bytes, m->n), OK);
		assert_null(it->unpacked);
		m->unpacked = 0;
		break;
	case 4:
		if (!it || !m->n)
			break;
		m->unpacked = 1 + draw(seed) % 600;
		m->byte = (uint8_t)('a' + draw(seed) % 26);
		keep_text(it, m->unpacked, (char)m->byte);
		break;
	case 3:
		if (!it)
			break;
		m->clean = draw(seed) & 1;
		m->fresh = m->fresh && !m->clean;
		held_set_clean(&states, it, m->clean);
		break;
	default:
		if (!it || m->clean)
			break;
		m->fresh = true;
		held_set_fresh(&states, it);
	}
}

static void check(struct model *models)
{
	size_t dirty = 0, dirty_bytes = 0, fresh = 0, n = 0, found = 0, place = 0, clean = 0, unpacked = 0;

	for (size_t i = 0; i < CASES; i++) {
		struct model *m = &models[i];
		struct held *it = held_find(&states, name(i));

		assert_true((it != NULL) == m->there);
		if (!it)
			continue;
		unpacked += m->unpacked != 0;
		if (m->unpacked)
			check_text(it, m);
		n++;
		dirty += !m->clean;
		dirty_bytes += m->clean ? 0 : m->n;
		fresh += m->fresh;
		assert_int_equal(it->n, m->n);
		assert_true(it->clean == m->clean && it->fresh == m->fresh);
		for (size_t k = 0; k < m->n && !m->unpacked; k++)
			assert_int_equal(it->bytes[k], m->byte);
	}
	for (const struct unpacked *u = states.unpacked_oldest; u; u = u->newer)
		unpacked--;
	assert_int_equal(unpacked, 0);
	for (const struct held *it = held_next(&states, &place, NULL); it; it = held_next(&states, &place, it))
		found++;
	for (const struct held *it = states.oldest; it; it = it->newer)
		clean++;
	assert_int_equal(found, n);
	assert_int_equal(clean, n - dirty);
	assert_int_equal(states.dirty, dirty);
	assert_int_equal(states.dirty_bytes, dirty_bytes);
	assert_int_equal(states.fresh, fresh);
	assert_true(n || !states.bytes);
}

static void what_is_held_is_what_was_put(void **state)
{
	static struct model models[CASES];
	uint64_t seed = 11;

	(void)state;
	for (int step = 0; step < STEPS; step++) {
		const size_t i = draw(&seed) % CASES;

		change(&models[i], name(i), &seed);
		if (step % 400 == 0)
			check(models);
	}
	for (size_t i = 0; i < CASES; i++)
		if (held_find(&states, name(i)))
			held_drop(&states, held_find(&states, name(i)));
	assert_int_equal(states.bytes, 0);
	assert_int_equal(states.unpacked_bytes, 0);
	assert_null(states.unpacked_oldest);
	assert_null(states.unpacked_newest);
	assert_null(states.oldest);
	assert_null(states.newest);
}

/* Case 0 is dirty, then one after the other becomes clean, case 1 twice. */
static void beyond_the_bound_the_oldest_clean_ones_go(void **state)
{
	const size_t n = HELD_MAX / LARGE + 10;
	uint8_t *bytes = calloc(1, LARGE);

	(void)state;
	assert_non_null(bytes);
	for (size_t i = 0; i < n; i++) {
		struct held *it = held_make(&states, name(i));

		assert_non_null(it);
		assert_int_equal(held_fill(&states, it, bytes, LARGE), OK);
		assert_int_equal(held_trim(&states, &arena), OK);
		assert_non_null(held_find(&states, name(i))); /* a dirty one never */
	}
	assert_true(states.bytes > HELD_MAX);
	for (size_t i = 1; i < n; i++)
		held_set_clean(&states, held_find(&states, name(i)), true);
	held_set_clean(&states, held_find(&states, name(1)), false);
	held_set_clean(&states, held_find(&states, name(1)), true);
	assert_int_equal(held_trim(&states, &arena), OK);
	assert_true(states.bytes <= HELD_MAX && states.bytes > HELD_MAX - 2 * LARGE);
	assert_non_null(held_find(&states, name(0)));
	assert_non_null(held_find(&states, name(1)));
	assert_null(held_find(&states, name(2)));
	assert_null(held_find(&states, name(3)));
	assert_non_null(held_find(&states, name(n - 1)));
	free(bytes);
}

/* Those that are unpacked have a bound of their own: beyond it the one that was not used for longest is packed, and nothing of it is lost. */
static void beyond_their_bound_the_oldest_are_packed(void **state)
{
	const size_t n = UNPACKED_MAX / sizeof(Reentry__CaseState) + 10;
	void *message = NULL;
	size_t first;

	(void)state;
	for (size_t i = 0; i < n; i++) {
		struct held *it = held_make(&states, name(i));

		assert_non_null(it);
		assert_int_equal(held_fill(&states, it, (const uint8_t *)"old", 3), OK);
		keep_text(it, 1 + i % 600, 'x');
		if (i > 0)
			keep_text(held_find(&states, name(0)), 7, 'y'); /* it comes again and again */
		assert_int_equal(held_trim(&states, &arena), OK);
		assert_true(states.unpacked_bytes <= UNPACKED_MAX);
		arena_reset(&arena);
	}
	assert_non_null(held_find(&states, name(0))->unpacked);
	assert_non_null(held_find(&states, name(n - 1))->unpacked);
	for (first = 1; !held_find(&states, name(first))->unpacked; first++) {
		const struct held *it = held_find(&states, name(first));

		assert_false(it->stale);
		assert_int_equal(pb_unpack_own(&reentry__case_state__descriptor, it->bytes, it->n, &arena, &message), OK);
		assert_text(message, 1 + first % 600, 'x');
		arena_reset(&arena);
	}
	assert_in_range(first, 2, n - 1);
	for (size_t i = first; i < n; i++)
		assert_non_null(held_find(&states, name(i))->unpacked);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_is_held_is_what_was_put, setup, teardown),
		cmocka_unit_test_setup_teardown(beyond_the_bound_the_oldest_clean_ones_go, setup, teardown),
		cmocka_unit_test_setup_teardown(beyond_their_bound_the_oldest_are_packed, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
