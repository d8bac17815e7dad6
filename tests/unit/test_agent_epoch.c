/* Proves what an agent does with the record of a new epoch: what it sent is offered again, what it received is known again and stays done, a crash in between is finished at the next start, and nothing but the
 * log's own word moves anything. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "lib/epoch.h"
#include "tests/unit/agent_place.h"

#define ORIGIN "urn:nld:oin:00000099000000000001:systeem:broker-nl"
#define LOST UINT64_C(1000000000000000)
#define LEFT 2                      /* sequences that the broker still has */

static struct key_pair log_pair;

static void name_log_key(struct agent_place *place)
{
	struct buf config;
	char path[128];
	FILE *out;
	buf_init(&config);
	assert_int_equal(key_generate(place->root, "log", &place->err), OK);
	(void)snprintf(path, sizeof path, "%s/log.key", place->root); /* fits */
	assert_int_equal(key_read_secret(path, &log_pair, &place->err), OK);
	crypt_sign_public(log_pair.sign_seed, log_pair.sign_public);
	assert_int_equal(buf_read_file(&config, place->config, 4096), OK);
	out = fopen(place->config, "we");
	assert_non_null(out);
	fprintf(out, "agent = { log_key = \"log.pub\";%s", (const char *)config.bytes + strlen("agent = {"));
	assert_int_equal(fclose(out), 0);
	buf_release(&config);
	agent_place_reopen(place);
}

static int welcome(struct agent_place *place, uint64_t epoch, uint64_t last, const char *note)
{
	static char broker[] = "broker-nl", oin[] = "00000099000000000001";
	Reentry__Welcome welcome = REENTRY__WELCOME__INIT;
	welcome.broker = broker;
	welcome.oin = oin;
	welcome.has_epoch = welcome.has_last = true;
	welcome.epoch = epoch;
	welcome.last = last;
	welcome.new_epoch = (char *)(uintptr_t)note;
	int r = witness_hear(&place->agent, &welcome, &place->err);
	assert_int_equal(turn_end(&place->agent), OK);
	return r;
}

static int make(void **state)
{
	if (agent_place_make(state) != OK)
		return -1;
	name_log_key(*state);
	return welcome(*state, 1, 10, NULL);
}

static void write_record(struct buf *out, uint64_t old_epoch, uint64_t new_epoch, uint64_t left)
{
	struct epoch_record record = {.origin = ORIGIN, .old_epoch = old_epoch, .new_epoch = new_epoch, .from = {.size = left}, .reason = "a test"};
	buf_init(out);
	assert_int_equal(epoch_write(out, &record, log_pair.sign_seed, NULL), OK);
}

static int accept(struct agent_place *place, uint64_t old_epoch, uint64_t new_epoch, uint64_t left)
{
	struct buf note;
	write_record(&note, old_epoch, new_epoch, left);
	int r = epoch_accept(&place->agent, (const char *)note.bytes, &place->err);
	buf_release(&note);
	return r;
}

static size_t inbox_size(struct agent_place *place)
{
	struct inbox_filter filter = {.all = true};
	struct inbox_line *lines;
	struct db_txn txn;
	struct arena arena;
	size_t n = 0;
	arena_init(&arena, 0);
	assert_int_equal(turn_read(&place->agent, &txn), OK);
	assert_int_equal(inbox_open_lines(&place->agent, &txn, &filter, &arena, &lines, &n), OK);
	db_abort(&txn);
	arena_release(&arena);
	return n;
}

/* The note of the entry under that number; false: there is none. */
static bool entry_at(struct agent_place *place, uint64_t number, bool *ret_done)
{
	struct inbox_line line;
	struct db_txn txn;
	struct arena arena;
	arena_init(&arena, 0);
	assert_int_equal(turn_read(&place->agent, &txn), OK);
	int r = inbox_line_read(&place->agent, &txn, number, &arena, &line);
	if (r == OK) {
		*ret_done = line.done;
		assert_int_equal(line.delivery->sequence, number);
	}
	db_abort(&txn);
	arena_release(&arena);
	return r == OK;
}

#define NOTE "{\"need\":\"WORK\",\"status\":\"OPEN\",\"note\":\"n\"}"
#define EVENT(n) "{\"id\":\"01890000-0000-7000-8000-0000000001" n "\",\"type\":\"need.status-changed\",\"subject\":\"C-1\",\"data\":" NOTE "}"

/* Three sent and receipted, four received; of both what is above LEFT is lost. */
static void live(struct agent_place *place)
{
	static const char *const events[] = {EVENT("01"), EVENT("02"), EVENT("03")};
	for (size_t i = 0; i < 3; i++)
		(void)agent_place_hand_in(place, events[i]);
	agent_place_answer(place, 1, 3, NULL);
	for (uint64_t sequence = 1; sequence <= 4; sequence++)
		agent_place_arrive(place, sequence, "contact.held", sequence == 4 ? "C-2" : "C-1", "{\"by\":\"x\"}", false);
	agent_place_written(place);
	assert_int_equal(inbox_done(&place->agent, 3), OK);
	assert_int_equal(turn_end(&place->agent), OK);
	assert_int_equal(epoch_reached(&place->agent), 4);
}

static void check_moved(struct agent_place *place)
{
	bool done = false;
	assert_int_equal(place->agent.outbox.pending, 1);
	assert_int_equal(place->agent.inbox.lost, 2);
	assert_int_equal(place->agent.inbox.last, LEFT);
	assert_int_equal(epoch_reached(&place->agent), LEFT);
	assert_int_equal(place->agent.witness.epoch, 7);
	assert_true(entry_at(place, 1, &done) && !done);
	assert_true(entry_at(place, LOST + 3, &done) && done);
	assert_true(entry_at(place, LOST + 4, &done) && !done);
	assert_false(entry_at(place, 3, &done) || entry_at(place, 4, &done));
	assert_int_equal(inbox_size(place), 4);
}

static void test_what_is_lost_is_offered_and_known_again(void **state)
{
	struct agent_place *place = *state;
	bool done = false;
	live(place);
	agent_place_reopen(place); /* it has not heard of the broker since, nor seen a checkpoint */
	assert_int_equal(accept(place, 1, 7, LEFT), OK);
	check_moved(place);
	agent_place_reopen(place);
	check_moved(place);
	/* The new log gives these sequences to other events, and the old ones come again under new ones. */
	agent_place_arrive(place, 3, "contact.held", "C-9", "{\"by\":\"x\"}", false);
	agent_place_arrive_again(place, (uint64_t[]){8, 3}, "contact.held", "C-1", "{\"by\":\"x\"}");
	agent_place_arrive_again(place, (uint64_t[]){9, 4}, "contact.held", "C-2", "{\"by\":\"x\"}");
	assert_int_equal(place->agent.inbox.lost, 0);
	assert_int_equal(place->agent.inbox.last, 9);
	assert_true(entry_at(place, 8, &done) && done);
	assert_true(entry_at(place, 9, &done) && !done);
	assert_false(entry_at(place, LOST + 3, &done));
	assert_int_equal(inbox_size(place), 5);
	agent_place_written(place);
	assert_false(agent_place_has(place, "spool/out/00000000000000000008-contact.held-e7.json"));
	assert_true(agent_place_has(place, "spool/out/00000000000000000003-contact.held-e7.json"));
}

/* It died when nothing had moved but the word that it had begun. */
static void test_a_crash_is_finished_at_the_next_start(void **state)
{
	struct agent_place *place = *state;
	struct buf note, begun;
	uint8_t number[DB_KEY_MAX];
	live(place);
	write_record(&note, 1, 7, LEFT);
	buf_init(&begun);
	assert_int_equal(buf_add(&begun, number, db_key(number, "q", LOST)), OK);
	begun.n = 0;
	assert_int_equal(buf_add(&begun, number, 8), OK);
	assert_int_equal(buf_add(&begun, note.bytes, note.n), OK);
	assert_int_equal(store_meta_put(turn_txn(&place->agent), "accepting", begun.bytes, begun.n), OK);
	assert_int_equal(turn_end(&place->agent), OK);
	agent_place_reopen(place);
	check_moved(place);
	agent_place_reopen(place);
	check_moved(place);
	buf_release(&note);
	buf_release(&begun);
}

static void test_only_the_logs_word_moves_anything(void **state)
{
	struct agent_place *place = *state;
	struct buf note;
	live(place);
	write_record(&note, 1, 7, LEFT);
	for (size_t i = 0; i < note.n; i++) {
		note.bytes[i] ^= 1;
		assert_int_not_equal(epoch_accept(&place->agent, (const char *)note.bytes, &place->err), OK);
		note.bytes[i] ^= 1;
	}
	buf_release(&note);
	assert_int_equal(place->agent.outbox.pending, 0);
	assert_int_equal(place->agent.witness.epoch, 1);
	assert_int_equal(accept(place, 1, 7, LEFT), OK);
	assert_int_equal(accept(place, 1, 7, LEFT), ERR_INVALID); /* once */
	assert_int_equal(accept(place, 1, 5, LEFT), ERR_INVALID); /* nothing older */
}

static void test_who_was_shown_nothing_of_it_goes_along(void **state)
{
	struct agent_place *place = *state;
	struct buf note;
	live(place);
	write_record(&note, 1, 7, 4);
	assert_int_equal(welcome(place, 7, 6, (const char *)note.bytes), OK);
	assert_int_equal(place->agent.witness.epoch, 7);
	assert_int_equal(place->agent.outbox.pending, 0);
	buf_release(&note);
	write_record(&note, 7, 9, 3);
	assert_int_equal(welcome(place, 9, 6, (const char *)note.bytes), ERR_DENIED);
	assert_string_equal(place->agent.witness.new_epoch, (const char *)note.bytes);
	assert_int_equal(place->agent.witness.epoch, 7);
	assert_int_equal(welcome(place, 9, 6, NULL), ERR_DENIED);
	assert_int_equal(welcome(place, 8, 6, (const char *)note.bytes), ERR_DENIED); /* the record of another one */
	buf_release(&note);
}

static void test_a_log_that_ends_before_what_we_have_is_refused(void **state)
{
	struct agent_place *place = *state;
	live(place);
	assert_int_equal(welcome(place, 1, 3, NULL), ERR_DENIED);
	agent_place_reopen(place);
	assert_int_equal(welcome(place, 1, 3, NULL), ERR_DENIED);
	assert_int_equal(welcome(place, 1, 4, NULL), OK);
}

static uint64_t sent_kept(struct agent_place *place)
{
	struct db_txn txn;
	uint64_t n = 0;
	assert_int_equal(turn_read(&place->agent, &txn), OK);
	assert_int_equal(db_count(&txn, TABLE_SENT, &n), OK);
	db_abort(&txn);
	return n;
}

static void expire(struct agent_place *place, int64_t later)
{
	place->agent.clock.set += later;
	outbox_expire(&place->agent);
	assert_int_equal(turn_end(&place->agent), OK);
}

static void test_what_no_backup_covers_is_kept_longer(void **state)
{
	struct agent_place *place = *state;
	int64_t keep = place->agent.config.agent.keep;
	clock_simulated(&place->agent.clock, 1800000000000);
	live(place);
	witness_horizon(&place->agent, LEFT);
	assert_int_equal(turn_end(&place->agent), OK);
	expire(place, keep + 1);
	assert_int_equal(sent_kept(place), 1);
	agent_place_reopen(place);
	assert_int_equal(place->agent.witness.horizon, LEFT);
	clock_simulated(&place->agent.clock, 1800000000000 + keep + 1);
	expire(place, keep - 2);
	assert_int_equal(sent_kept(place), 1);
	expire(place, 2); /* for twice as long at most */
	assert_int_equal(sent_kept(place), 0);
}

static void test_a_second_loss_has_numbers_of_its_own(void **state)
{
	struct agent_place *place = *state;
	bool done = false;
	live(place);
	assert_int_equal(accept(place, 1, 7, LEFT), OK);
	agent_place_arrive(place, 3, "contact.held", "C-9", "{\"by\":\"x\"}", false);
	agent_place_written(place);
	assert_int_equal(accept(place, 7, 9, LEFT), OK);
	assert_true(entry_at(place, LOST + 3, &done) && entry_at(place, 2 * LOST + 3, &done));
	assert_int_equal(inbox_size(place), 5);
	assert_int_equal(place->agent.inbox.lost, 3);
}

int main(void)
{
#define PLACED(test) cmocka_unit_test_setup_teardown(test, make, agent_place_remove)
	const struct CMUnitTest tests[] = {
		PLACED(test_what_is_lost_is_offered_and_known_again), PLACED(test_a_crash_is_finished_at_the_next_start), PLACED(test_only_the_logs_word_moves_anything),
		PLACED(test_who_was_shown_nothing_of_it_goes_along), PLACED(test_a_log_that_ends_before_what_we_have_is_refused), PLACED(test_what_no_backup_covers_is_kept_longer),
		PLACED(test_a_second_loss_has_numbers_of_its_own),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
