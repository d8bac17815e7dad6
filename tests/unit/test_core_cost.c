/* Proves what a turn writes, in bytes given to the kernel, which do not depend on the speed of the machine: a turn of one event about as much as a commit of one record in one table, and an event
 * among many little more than its record, with thousands of open cases as with ten. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "broker/core_internal.h"
#include "tests/unit/core_place.h"

#define PAGE 4096
#define CASES 3000
#define TURNS 400

/* Of this process: every write system call, whatever it writes to. */
static uint64_t written(void)
{
	char line[128];
	unsigned long long n = 0;
	FILE *file = fopen("/proc/self/io", "r");

	if (!file)
		skip(); /* a kernel without accounting */
	while (fgets(line, sizeof line, file))
		if (sscanf(line, "wchar: %llu", &n) == 1)
			break;
	(void)fclose(file); /* only read */
	return n;
}

static int by_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void screen(struct core_place *place, unsigned which, unsigned i)
{
	static const char *const statuses[] = { "OPEN", "IN_PROGRESS" };
	struct packed event = place_event(place, NULL, "need.screened", arena_printf(&place->arena, "C-%u", which),
		arena_printf(&place->arena, "{\"need\":\"DEBT\",\"status\":\"%s\",\"note\":\"%0400d\"}", statuses[i % 2], 0));

	assert_int_equal(place_publish(place, "pi-a", event).result, REENTRY__OUTCOME__VALUE__ACCEPTED);
}

static double event_of_many(struct core_place *place, unsigned cases, unsigned events)
{
	uint64_t before = written();

	for (unsigned i = 0; i < events;) {
		place->now++;
		place_begin(place);
		for (unsigned k = 0; k < 512 && i < events; k++, i++)
			screen(place, (i * 7919) % cases, i / cases);
		place_commit(place);
		(void)place_ack_all(place, "gm-a");
		arena_reset(&place->arena);
	}
	return (double)(written() - before) / events;
}

/* n cases, whose receivers have acknowledged everything, and all of it written. */
static void fill(struct core_place *place, unsigned n)
{
	for (unsigned i = 0; i < n;) {
		place_begin(place);
		for (unsigned k = 0; k < 500 && i < n; k++, i++)
			assert_int_equal(place_publish(place, "pi-a", place_event(place, NULL, "custody.started", arena_printf(&place->arena, "C-%u", i),
				"{\"start\":\"2027-02-01T08:00:00+01:00\",\"origin\":\"0344\",\"destination\":\"0344\"}")).result, REENTRY__OUTCOME__VALUE__ACCEPTED);
		place_commit(place);
		arena_reset(&place->arena);
	}
	(void)event_of_many(place, n, n); /* the first one disarms a deadline */
	while (place_ack_all(place, "gm-a"))
		arena_reset(&place->arena);
	place_close(place);
	place_open(place);
}

/* The median: a turn now and then writes what was behind. */
static uint64_t turn_of_one(struct core_place *place, unsigned cases)
{
	static uint64_t sizes[TURNS];

	for (unsigned i = 0; i < TURNS; i++) {
		uint64_t before = written();

		place->now++;
		place_begin(place);
		screen(place, (i * 7919) % cases, i / cases);
		place_commit(place);
		sizes[i] = written() - before;
		(void)place_ack_all(place, "gm-a"); /* in a turn of its own, as it comes */
		arena_reset(&place->arena);
	}
	qsort(sizes, TURNS, sizeof *sizes, by_size);
	return sizes[TURNS / 2];
}

static void a_turn_of_one_event_writes_one_table(void **state)
{
	uint64_t n;

	fill(*state, CASES);
	n = turn_of_one(*state, CASES);
	print_message("%llu bytes\n", (unsigned long long)n);
	assert_true(n <= 6 * PAGE);
}

static void an_event_writes_as_much_with_many_cases(void **state)
{
	struct core_place *place = *state;
	double few, many;

	place->size_max = (size_t)1 << 30;
	place->behind_max = 5000; /* so that case states are written several times over */
	place_close(place);
	place_open(place);
	fill(place, 10);
	few = event_of_many(place, 10, 30000);
	fill(place, CASES);
	many = event_of_many(place, CASES, 30000);
	print_message("%.0f and %.0f bytes\n", few, many);
	assert_true(many < 2 * few);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, core_place_make, core_place_remove)

int main(void)
{
	static const struct CMUnitTest tests[] = { TEST(a_turn_of_one_event_writes_one_table), TEST(an_event_writes_as_much_with_many_cases) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
