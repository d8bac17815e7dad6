/* Proves that whatever moment a crash chooses, and whatever it takes of what was not synced, the core opens its stores again, has all that anybody was told by then, has no half of a turn, is
 * what its log says, and works on. The calls of a run are recorded (trace.c); for each prefix of them the files are made as a crash may leave them (disk.c) and opened with the core.
 *
 * Of n unsynced writes all subsets are tried where n is small; otherwise all kept, none, each single one lost, each single one kept; and the last one torn at each boundary of a sector and of a page.
 * A planted fault shows that each of these would be noticed: `early` makes a promise before the commit, `unsynced` ignores every sync of a file, `forgotten` loses a write that was synced. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "lib/crypt.h"
#include "tests/faults/prefix.h"
#include "tests/faults/trace.h"

#define TURNS 170
#define SUBSETS_MAX 5            /* unsynced writes of which all subsets are tried */
#define PENDING_MAX 4096
#define FOLDER_MAX 48
#define SECTOR 512
#define PAGE 4096
#define ASKED 24                 /* receipts that are asked for again in each image */
#define BEHIND_MAX 40            /* records that the case states may be behind: so that slices are written within the run */

static size_t stride = 1;
static const char *fault = "";   /* planted */
static const char *folder = "."; /* what is made goes here */
static struct run run;
static struct disk *disk;
static struct {
	size_t prefixes, images, n;  /* n: calls of the present prefix */
	size_t promise;              /* the last one that was made by then */
	char text[160];              /* what the crash took */
	struct core_place place;     /* where images are opened */
} now;

/* --- one image --------------------------------------------------------------------------------------------------------------- */

static void remove_place(void)
{
	void *state = run.place;

	arena_release(&now.place.arena);
	trace_free();
	assert_int_equal(core_place_remove(&state), 0);
}

static void fail_image(const char *why, const char *detail)
{
	(void)printf("a crash behind call %zu of %zu, %s: %s%s%s\n", now.n, trace_n(), now.text, why, detail ? ": " : "", detail ? detail : "");
	core_abandon(now.place.core);
	remove_place();
	exit(fflush(stdout) ? 2 : 1);
}

static bool was_erased(const char *subject, size_t n_erased)
{
	for (size_t i = 0; i < n_erased; i++)
		if (!strcmp(run.erased[i], subject))
			return true;
	return false;
}

/* The log has what it had at the last promise, and no half of a turn. */
static void check_log(const struct promise *last)
{
	const struct promise *next = now.promise + 1 < run.n_promises ? last + 1 : last;
	const uint64_t size = place_last(&now.place);
	struct tree_head head;

	if (size < last->head.size)
		fail_image("records that were receipted are gone", NULL);
	if (last->head.size && (core_root(now.place.core, last->head.size, &head) || memcmp(head.root, last->head.root, HASH_SIZE) != 0))
		fail_image("the log is another one than was promised", NULL);
	if (size > next->head.size)
		fail_image("there are records that were never written", NULL);
	for (size_t i = now.promise; i < run.n_promises && run.promises[i].head.size <= size; i++)
		if (run.promises[i].head.size == size)
			return;
	if (size != last->head.size && size != next->head.size)
		fail_image("half a turn is there", NULL);
}

/* Each receipt again: the same sequence. Nothing of it is committed. */
static void check_receipts(const struct promise *last)
{
	const size_t n = last->n_receipts;

	place_begin(&now.place);
	for (size_t i = 0; i < ASKED && i < n; i++) {
		/* the last ones, and some of the others */
		const struct receipt *it = &run.receipts[i < ASKED / 2 ? n - 1 - i : (now.images * 31 + i * 7919) % n];
		struct core_receipt again = { 0 };

		if (was_erased(it->subject, run.n_erased))
			continue;
		again = place_publish(&now.place, it->by, it->content);
		if (again.result != REENTRY__OUTCOME__VALUE__DUPLICATE || again.sequence != it->sequence)
			fail_image("an event that was receipted is not known", it->subject);
	}
	core_rollback(now.place.core);
}

/* What was erased by then stays so; the next start finishes what was confirmed. */
static void check_erased(const struct promise *last)
{
	Reentry__CaseState *c;
	size_t n;

	if (core_erase_run(now.place.core, now.place.now, &n, &now.place.err))
		fail_image("an erasure cannot be finished", now.place.err.text);
	for (size_t i = 0; i < last->n_erased; i++)
		if (core_case(now.place.core, run.erased[i], &now.place.arena, &c) != ERR_ERASED)
			fail_image("what was erased is back", run.erased[i]);
}

static void check_rebuild(void)
{
	const char *difference = NULL;

	if (core_rebuild(now.place.core, true, &now.place.arena, &difference, &now.place.err))
		fail_image("it cannot be folded again", now.place.err.text);
	if (difference)
		fail_image("the state is not what the log says", difference);
}

static void check_work(void)
{
	const uint64_t before = place_last(&now.place);
	struct core_receipt receipt;

	place_begin(&now.place);
	receipt = place_publish(&now.place, "pi-a", place_event(&now.place, NULL, "custody.started", "C-new", "{\"start\":\"2027-02-01T08:00:00+01:00\",\"origin\":\"0344\",\"destination\":\"0344\"}"));
	if (receipt.result != REENTRY__OUTCOME__VALUE__ACCEPTED || core_commit(now.place.core) != OK || place_last(&now.place) <= before)
		fail_image("it does not take events any more", receipt.detail);
}

static void open_image(const struct crash *crash)
{
	const struct promise *last = &run.promises[now.promise];
	const char *const folders[TRACE_FOLDERS] = { now.place.dir, now.place.keys };
	struct core_options options = {
		.dir = now.place.dir, .keys_dir = now.place.keys, .size_max = now.place.size_max, .reserve = now.place.reserve, .behind_max = BEHIND_MAX, .master_key = now.place.master,
		.signing_seed = now.place.signing,
	};
	now.images++;
	disk_leave(disk, crash, folders);
	now.place.now = run.place->now;
	if (core_open(&options, &run.place->config->policy, run.place->config->policy_text, &now.place.core, &now.place.err))
		fail_image("it does not open", now.place.err.text);
	check_log(last);
	check_receipts(last);
	check_erased(last);
	check_rebuild();
	check_work();
	core_abandon(now.place.core);
	now.place.core = NULL;
	arena_reset(&now.place.arena);
}

/* --- what a crash may take ---------------------------------------------------------------------------------------------------- */

static bool kept[PENDING_MAX];

static void describe(const char *what, size_t a, size_t b)
{
	(void)snprintf(now.text, sizeof now.text, "%s (%zu of %zu)", what, a, b);
}

static void take(const char *what, size_t a, size_t b, size_t names, size_t torn, size_t torn_bytes, bool torn_end)
{
	const struct crash crash = { .kept = kept, .torn = torn, .torn_bytes = torn_bytes, .torn_end = torn_end, .names = names };

	describe(what, a, b);
	open_image(&crash);
}

static void keep_all(size_t n, bool keep)
{
	for (size_t i = 0; i < n; i++)
		kept[i] = keep;
}

static void subsets(size_t n, size_t names)
{
	for (size_t set = 0; set < (size_t)1 << n; set++) {
		for (size_t i = 0; i < n; i++)
			kept[i] = (set >> i & 1) != 0;
		take("with a subset of the unsynced writes", set, (size_t)1 << n, names, NOT_TORN, 0, false);
	}
}

static void singles(size_t n, size_t names)
{
	keep_all(n, true);
	take("with all unsynced writes", n, n, names, NOT_TORN, 0, false);
	for (size_t i = 0; i < n; i++) {
		kept[i] = false;
		take("with one unsynced write lost", i, n, names, NOT_TORN, 0, false);
		kept[i] = true;
	}
	keep_all(n, false);
	take("with no unsynced write", 0, n, names, NOT_TORN, 0, false);
	for (size_t i = 0; i < n; i++) {
		kept[i] = true;
		take("with one unsynced write kept", i, n, names, NOT_TORN, 0, false);
		kept[i] = false;
	}
}

/* The last write cut where a disk may cut it: behind a sector or a page, from either end. */
static void torn(size_t n, size_t names)
{
	uint64_t at;
	const size_t size = n ? disk_pending_size(disk, n - 1, &at) : 0;
	const size_t steps[] = { SECTOR, PAGE };

	if (!size || at / SECTOR == (at + size - 1) / SECTOR)
		return; /* a sector is written whole */
	keep_all(n, true);
	kept[n - 1] = false;
	for (size_t i = 0; i < 2; i++) {
		const size_t first = steps[i] - (size_t)(at % steps[i]);

		if (first < size) {
			take("with the last write torn", first, size, names, n - 1, first, false);
			take("with the last write torn from behind", first, size, names, n - 1, size - first, true);
		}
	}
}

static void crash_here(void)
{
	const size_t n = disk_pending(disk), names = disk_pending_names(disk);

	assert_true(n < PENDING_MAX);
	if (n <= SUBSETS_MAX)
		subsets(n, names);
	else
		singles(n, names);
	torn(n, names);
	for (size_t i = 0; i < names; i++) { /* fewer changes of names */
		keep_all(n, true);
		take("with names of before, and all writes", i, names, i, NOT_TORN, 0, false);
		keep_all(n, false);
		take("with names of before, and no unsynced write", i, names, i, NOT_TORN, 0, false);
	}
}

/* --- the run ------------------------------------------------------------------------------------------------------------------ */

static void record(void)
{
	struct core_place *place = NULL;
	void *state = NULL;
	const char *folders[TRACE_FOLDERS];

	assert_int_equal(core_place_make(&state), 0);
	place = run.place = state;
	place_close(place);
	(void)snprintf(place->dir, sizeof place->dir, "%.48s/traced", folder); /* fits; so below */
	(void)snprintf(place->keys, sizeof place->keys, "%.48s/traced-keys", folder);
	place->durable = true;
	place->behind_max = BEHIND_MAX;
	folders[0] = place->dir;
	folders[1] = place->keys;
	run.early = !strcmp(fault, "early");
	trace_ignore_syncs(!strcmp(fault, "unsynced"));
	trace_begin(folders);
	place_open(place);
	events_run(&run, TURNS);
	place_close(place);
	trace_end();
}

static void make_image_place(void)
{
	now.place = (struct core_place){ .size_max = run.place->size_max, .reserve = run.place->reserve, .config = run.place->config };
	(void)snprintf(now.place.root, sizeof now.place.root, "%.48s/i", folder); /* it is shorter */
	(void)snprintf(now.place.dir, sizeof now.place.dir, "%s/store", now.place.root);
	(void)snprintf(now.place.keys, sizeof now.place.keys, "%s/keys", now.place.root);
	memcpy(now.place.master, run.place->master, KEY_SIZE);
	memcpy(now.place.signing, run.place->signing, KEY_SIZE);
	now.place.ids = 1000000;
	arena_init(&now.place.arena, 0);
	assert_int_equal(mkdir(now.place.root, 0700) + mkdir(now.place.dir, 0700) + mkdir(now.place.keys, 0700), 0);
}

/* How many calls are there: a run that did little would prove little. */
static void count(size_t *ret_writes, size_t *ret_syncs, size_t *ret_renames)
{
	*ret_writes = *ret_syncs = *ret_renames = 0;
	for (size_t i = 0; i < trace_n(); i++) {
		const struct trace_call *call = trace_at(i);

		*ret_writes += call->kind == TRACE_WRITE;
		*ret_syncs += call->kind == TRACE_SYNC || (call->kind == TRACE_WRITE && call->durable);
		*ret_renames += call->kind == TRACE_RENAME;
	}
}

static void all_prefixes(void)
{
	disk = disk_new(!strcmp(fault, "forgotten"));
	for (size_t n = events_random(&run, (uint32_t)stride); n <= trace_n(); n += stride) {
		disk_advance(disk, n);
		now.n = n;
		while (now.promise + 1 < run.n_promises && run.promises[now.promise + 1].at <= n)
			now.promise++;
		now.prefixes++;
		crash_here();
	}
	disk_free(disk);
}

static void every_prefix_keeps_what_was_promised(void **state)
{
	size_t writes, syncs, renames;

	(void)state;
	record();
	make_image_place();
	count(&writes, &syncs, &renames);
	all_prefixes();
	(void)printf("prefix: %zu events receipted in %u turns, %zu erased; %zu writes, %zu syncs, %zu renames; %zu prefixes, %zu images opened, all held\n", run.n_receipts, run.turns, run.n_erased,
	             writes, syncs, renames, now.prefixes, now.images);
	assert_true(run.n_receipts > 200 && run.n_erased > 2 && renames > 2);
	remove_place();
}

int prefix_main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(every_prefix_keeps_what_was_promised) };

	if (argc < 4)
		return 2;
	folder = argv[1];
	stride = strtoul(argv[2], NULL, 10);
	run.seed = strtoull(argv[3], NULL, 10);
	fault = argc > 4 ? argv[4] : "";
	if (crypt_init() || !stride || strlen(folder) > FOLDER_MAX)
		return 2;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
