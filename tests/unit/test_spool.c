/* Proves that files are handed in line by line and settle with their receipts, that a restart publishes nothing twice, and that out/ holds whole files only. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/agent_place.h"

#define LINE(note) "{\"type\":\"need.screened\",\"subject\":\"C-1\",\"data\":{\"need\":\"WORK\",\"status\":\"OPEN\",\"note\":\"" note "\"}}\n"

/* As an agency's system should do it: write beside, then rename. */
static void drop(struct agent_place *place, const char *name, const char *content)
{
	char temporary[512], final[512];
	(void)snprintf(temporary, sizeof temporary, "%s/in/%s.tmp", place->spool, name); /* fits */
	(void)snprintf(final, sizeof final, "%s/in/%s", place->spool, name);             /* fits */
	FILE *out = fopen(temporary, "we");
	assert_non_null(out);
	assert_true(fputs(content, out) >= 0);
	assert_int_equal(fclose(out), 0);
	assert_int_equal(rename(temporary, final), 0);
}

static void until_pending(struct agent_place *place, uint64_t n)
{
	for (int i = 0; i < 2000 && (place->agent.outbox.pending != n || place->agent.outbox.durable + 1 != place->agent.outbox.next); i++)
		assert_int_equal(loop_once(place->agent.loop, 20), OK);
	assert_int_equal(place->agent.outbox.pending, n);
}

static const char *content_of(struct agent_place *place, const char *name)
{
	static struct buf content;
	char path[512];
	(void)snprintf(path, sizeof path, "%s/%s", place->spool, name); /* fits */
	buf_release(&content);
	buf_init(&content);
	assert_int_equal(buf_read_file(&content, path, 1 << 20), OK);
	return (const char *)content.bytes;
}

static size_t count_files(struct agent_place *place, const char *folder)
{
	char path[512];
	size_t n = 0;
	(void)snprintf(path, sizeof path, "%s/%s", place->spool, folder); /* fits */
	DIR *dir = opendir(path);
	assert_non_null(dir);
	for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
		n += entry->d_name[0] != '.';
	(void)closedir(dir);
	return n;
}

static void test_good_file(void **state)
{
	struct agent_place *place = *state;
	drop(place, "a.jsonl", LINE("one") "\n" LINE("two"));
	until_pending(place, 2);
	assert_true(agent_place_has(place, "spool/in/a.jsonl"));
	agent_place_answer(place, 1, 2, NULL);
	agent_place_until(place, "spool/done/a.jsonl");
	assert_false(agent_place_has(place, "spool/in/a.jsonl"));
	const char *receipts = content_of(place, "done/a.jsonl.receipts.jsonl");
	assert_non_null(strstr(receipts, "{\"line\":1,\"id\":"));
	assert_non_null(strstr(receipts, "{\"line\":3,\"id\":"));
	assert_non_null(strstr(receipts, "\"result\":\"accepted\",\"sequence\":\"00000000000000000002\""));
	assert_int_equal(count_files(place, "failed"), 0);
}

static void test_one_bad_line_among_good_ones(void **state)
{
	struct agent_place *place = *state;
	drop(place, "b.jsonl", LINE("one") "{\"type\":\"need.screened\",\"subject\":\"C-1\",\"data\":{\"neeed\":1}}\n" LINE("three") "no json\n" LINE("five"));
	until_pending(place, 3);
	agent_place_answer(place, 1, 2, NULL);
	agent_place_answer(place, 3, 3, "no-such-case");
	agent_place_until(place, "spool/failed/b.jsonl");
	const char *errors = content_of(place, "failed/b.jsonl.errors");
	assert_non_null(strstr(errors, "line 2: malformed: data.neeed"));
	assert_non_null(strstr(errors, "line 4: malformed: "));
	assert_non_null(strstr(errors, "line 5: no-such-case"));
	assert_null(strstr(errors, "line 1:"));
	const char *receipts = content_of(place, "failed/b.jsonl.receipts.jsonl");
	assert_non_null(strstr(receipts, "{\"line\":3,"));
	assert_int_equal(count_files(place, "done"), 0);
}

static void test_a_restart_publishes_nothing_twice(void **state)
{
	struct agent_place *place = *state;
	drop(place, "c.jsonl", LINE("one") LINE("two"));
	until_pending(place, 2);
	agent_place_answer(place, 1, 1, NULL);
	agent_place_reopen(place);
	until_pending(place, 1);
	/* Twenty rounds in which the file is read again: nothing is added. */
	for (int i = 0; i < 20; i++)
		assert_int_equal(loop_once(place->agent.loop, 5), OK);
	assert_int_equal(place->agent.outbox.pending, 1);
	assert_int_equal(place->agent.outbox.next, 3);
	/* It was found by the scan at the start: renaming its neighbour in tells at once. */
	drop(place, "d.jsonl", LINE("three"));
	until_pending(place, 2);
	for (int i = 0; i < 300 && place->agent.outbox.n_waiters < 2; i++)
		assert_int_equal(loop_once(place->agent.loop, 20), OK);
	agent_place_answer(place, 2, 3, NULL);
	agent_place_until(place, "spool/done/d.jsonl");
	agent_place_until(place, "spool/done/c.jsonl");
	assert_non_null(strstr(content_of(place, "done/c.jsonl.receipts.jsonl"), "\"result\":\"duplicate\",\"sequence\":\"00000000000000000001\""));
}

static void test_the_same_file_again_is_the_same_events(void **state)
{
	struct agent_place *place = *state;
	drop(place, "e.jsonl", LINE("one"));
	until_pending(place, 1);
	agent_place_answer(place, 1, 1, NULL);
	agent_place_until(place, "spool/done/e.jsonl");
	drop(place, "e.jsonl", LINE("one"));
	agent_place_until(place, "spool/done/e.jsonl.2");
	assert_int_equal(place->agent.outbox.next, 2);
	/* Under another name they are other events: an agency may well say the same thing twice. */
	drop(place, "f.jsonl", LINE("one"));
	until_pending(place, 1);
}

static void test_names_that_are_not_ready(void **state)
{
	struct agent_place *place = *state;
	drop(place, ".hidden.jsonl", LINE("one"));
	drop(place, "notes.txt", "x");
	drop(place, "g.jsonl.part", LINE("one"));
	drop(place, "h.jsonl", LINE("one"));
	until_pending(place, 1);
	agent_place_answer(place, 1, 1, NULL);
	agent_place_until(place, "spool/done/h.jsonl");
	assert_true(agent_place_has(place, "spool/in/.hidden.jsonl"));
	assert_true(agent_place_has(place, "spool/in/notes.txt"));
	assert_true(agent_place_has(place, "spool/in/g.jsonl.part"));
	assert_int_equal(place->agent.outbox.next, 2);
}

static void test_an_empty_file_is_done(void **state)
{
	struct agent_place *place = *state;
	drop(place, "i.jsonl", "\n\n");
	agent_place_until(place, "spool/done/i.jsonl");
	drop(place, "j.jsonl", "");
	agent_place_until(place, "spool/done/j.jsonl");
}

static void test_out_one_whole_file_each(void **state)
{
	struct agent_place *place = *state;
	agent_place_arrive(place, 5, "need.screened", "C-1", "{\"need\":\"WORK\",\"status\":\"OPEN\"}", false);
	agent_place_arrive(place, 6, "care.arranged", "C-1", "{\"need\":\"PSYCHIATRIC\",\"from_date\":\"2027-01-01\"}", false);
	agent_place_until(place, "spool/out/00000000000000000005-need.screened.json");
	/* The type of a class C event tells of a person's health: it stands in no file name. */
	agent_place_until(place, "spool/out/00000000000000000006-event.json");
	assert_non_null(strstr(content_of(place, "out/00000000000000000005-need.screened.json"), "\"type\":\"nl.reentry.need.screened\",\"subject\":\"C-1\""));
	assert_int_equal(count_files(place, "out"), 2);
}

static void test_out_is_written_after_a_crash(void **state)
{
	struct agent_place *place = *state;
	agent_place_arrive(place, 5, "need.screened", "C-1", "{\"need\":\"WORK\",\"status\":\"OPEN\"}", false);
	assert_int_equal(count_files(place, "out"), 0);
	agent_place_reopen(place);
	agent_place_until(place, "spool/out/00000000000000000005-need.screened.json");
}

static void test_a_purge_takes_the_copies(void **state)
{
	struct agent_place *place = *state;
	agent_place_arrive(place, 5, "need.screened", "C-1", "{\"need\":\"WORK\",\"status\":\"OPEN\"}", false);
	agent_place_arrive(place, 6, "need.screened", "C-2", "{\"need\":\"WORK\",\"status\":\"OPEN\"}", false);
	agent_place_until(place, "spool/out/00000000000000000006-need.screened.json");
	agent_place_arrive(place, 7, "case.withdrawn", "C-1", "{}", false);
	agent_place_until(place, "spool/out/00000000000000000007-case.withdrawn.json");
	assert_false(agent_place_has(place, "spool/out/00000000000000000005-need.screened.json"));
	assert_true(agent_place_has(place, "spool/out/00000000000000000006-need.screened.json"));
}

static void test_done_before_it_was_written(void **state)
{
	struct agent_place *place = *state;
	agent_place_arrive(place, 5, "need.screened", "C-1", "{\"need\":\"WORK\",\"status\":\"OPEN\"}", false);
	agent_place_arrive(place, 6, "case.withdrawn", "C-1", "{}", false);
	/* A person may be faster than the adapter: the message goes only when both have had it. */
	assert_int_equal(inbox_done(&place->agent, 6), OK);
	assert_int_equal(turn_end(&place->agent), OK);
	agent_place_until(place, "spool/out/00000000000000000006-case.withdrawn.json");
	agent_place_written(place);
	struct db_txn txn;
	uint64_t left;
	assert_int_equal(turn_read(&place->agent, &txn), OK);
	assert_int_equal(db_count(&txn, TABLE_CASES, &left), OK);
	db_abort(&txn);
	assert_int_equal(left, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, agent_place_make, agent_place_remove)
int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_good_file), TEST(test_one_bad_line_among_good_ones), TEST(test_a_restart_publishes_nothing_twice), TEST(test_the_same_file_again_is_the_same_events),
		TEST(test_names_that_are_not_ready), TEST(test_an_empty_file_is_done), TEST(test_out_one_whole_file_each), TEST(test_out_is_written_after_a_crash),
		TEST(test_a_purge_takes_the_copies), TEST(test_done_before_it_was_written),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
