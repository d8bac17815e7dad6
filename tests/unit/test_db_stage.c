/* Proves that staged transactions are transactions: whatever they put, delete and walk, give up, commit here or in the other thread, their table holds what a plain model does, for the one that is being made,
 * for those who read, and on the disk after a crash; and that nothing is begun where it may not. */
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/db_model.h"

enum { DATA, BEHIND };
#define ROUNDS 3000

static const char *const tables[] = { "data", "behind", NULL };
static const struct db_options options = { .size_max = (size_t)64 << 20, .tables = tables, .behind = 1u << BEHIND, .volatile_store = true };
static const struct db_options small = { .size_max = (size_t)1 << 20, .tables = tables, .behind = 1u << BEHIND, .volatile_store = true };

static void land(struct model *m)
{
	uint64_t ns;

	assert_int_equal(db_commit_wait(m->place->db, &ns), OK);
	m->written = m->kept;
}

static void end_turn(struct model *m)
{
	switch (model_draw(m, 4)) {
	case 0:
		db_abort(&m->txn);
		m->now = m->kept;
		return;
	case 1:
		land(m);
		assert_int_equal(db_commit(&m->txn), OK);
		m->kept = m->written = m->now;
		return;
	default:
		land(m); /* what the one before has changed is as on disk; this one is beginning */
		assert_true(db_may_fly(&m->txn));
		assert_int_equal(db_commit_begin(&m->txn), OK);
		m->kept = m->now;
	}
}

static void they_are_transactions(void **state)
{
	struct model m = { .place = *state, .table = DATA, .seed = 20270225 };
	struct db_txn read;

	model_open(&m, &options);
	for (int round = 0; round < ROUNDS; round++) {
		assert_int_equal(db_begin_staged(m.place->db, &m.txn), OK);
		for (uint32_t i = model_draw(&m, 30); i > 0; i--)
			(model_draw(&m, 3) ? model_put : model_del)(&m, model_draw(&m, MODEL_KEYS));
		model_walk(&m, &m.txn, model_draw(&m, 2));
		model_assert(&m, &m.txn);
		end_turn(&m);
		assert_int_equal(db_begin_read(m.place->db, &read), OK);
		model_assert(&m, &read);
		model_walk(&m, &read, false);
		db_abort(&read);
		if (model_draw(&m, 40) == 0) {
			land(&m);
			model_open(&m, &options);
		}
	}
}

/* Write-behind tables go with them as with others. */
static void what_is_behind_goes_with_them(void **state)
{
	struct model m = { .place = *state, .table = BEHIND, .seed = 7 };
	struct db_txn read;

	model_open(&m, &options);
	for (int round = 0; round < ROUNDS / 4; round++) {
		bool settles = model_draw(&m, 20) == 0;

		assert_int_equal(db_begin_staged(m.place->db, &m.txn), OK);
		for (uint32_t i = model_draw(&m, 30); i > 0; i--)
			(model_draw(&m, 3) ? model_put : model_del)(&m, model_draw(&m, MODEL_KEYS));
		model_assert(&m, &m.txn);
		assert_int_equal(db_put(&m.txn, DATA, "k", 1, "v", 1), OK);
		if (model_draw(&m, 4) == 0) {
			db_abort(&m.txn);
			m.now = m.kept;
		} else {
			assert_int_equal(db_commit_wait(m.place->db, &(uint64_t){ 0 }), OK);
			if (settles)
				assert_int_equal(db_settle(&m.txn), OK);
			assert_true(db_may_fly(&m.txn));
			assert_int_equal((model_draw(&m, 4) ? db_commit_begin : db_commit)(&m.txn), OK);
			m.kept = m.now;
			m.written = settles ? m.now : m.written;
		}
		assert_int_equal(db_begin_read(m.place->db, &read), OK);
		model_assert(&m, &read);
		db_abort(&read);
		if (model_draw(&m, 40) == 0)
			model_open(&m, &options); /* what was on its way arrives first */
	}
}

static void one_is_on_its_way_at_a_time(void **state)
{
	struct model m = { .place = *state, .table = DATA, .seed = 1 };
	struct pollfd ready = { .events = POLLIN };
	struct db_txn other;
	uint64_t ns;

	model_open(&m, &options);
	assert_int_equal(db_commit_fd(m.place->db, &ready.fd), OK);
	assert_int_equal(db_commit_wait(m.place->db, &ns), OK); /* none is */
	assert_int_equal(poll(&ready, 1, 0), 0);
	assert_int_equal(db_begin_staged(m.place->db, &m.txn), OK);
	model_put(&m, 1);
	assert_int_equal(db_begin_staged(m.place->db, &other), ERR_BUSY);
	assert_int_equal(db_begin(m.place->db, &other), ERR_BUSY);
	assert_int_equal(db_clear(&m.txn, DATA), ERR_INVALID);
	assert_false(db_may_fly(&m.txn));
	assert_int_equal(db_commit_begin(&m.txn), ERR_INVALID); /* what was wrong is told, and nothing happened */
	m.now = m.kept;
	assert_int_equal(db_begin_staged(m.place->db, &m.txn), OK);
	model_assert(&m, &m.txn);
	model_put(&m, 2);
	assert_int_equal(db_commit_begin(&m.txn), OK);
	m.kept = m.now;
	assert_int_equal(db_begin(m.place->db, &other), ERR_BUSY); /* it would wait */
	assert_int_equal(db_begin_staged(m.place->db, &m.txn), OK);
	model_put(&m, 3);
	assert_int_equal(db_commit_begin(&m.txn), ERR_BUSY);
	m.now = m.kept;
	assert_int_equal(poll(&ready, 1, 10000), 1);
	assert_true(db_commit_done(m.place->db));
	assert_int_equal(db_commit_wait(m.place->db, &ns), OK);
	assert_true(ns > 0);
	assert_int_equal(poll(&ready, 1, 0), 0);
	assert_int_equal(db_begin(m.place->db, &m.txn), OK);
	model_assert(&m, &m.txn);
	db_abort(&m.txn);
}

/* There is no room in the map: nothing of it is in the file, and it can go on. */
static void a_commit_that_finds_no_room_leaves_nothing(void **state)
{
	static const uint8_t large[300000];
	struct model m = { .place = *state, .table = DATA, .seed = 1 };

	for (int beside = 0; beside < 2; beside++) {
		int error;

		model_open(&m, &small);
		assert_int_equal(db_begin_staged(m.place->db, &m.txn), OK);
		model_put(&m, 5);
		assert_int_equal(db_commit(&m.txn), OK);
		m.kept = m.written = m.now;
		assert_int_equal(db_begin_staged(m.place->db, &m.txn), OK);
		for (uint8_t i = 0; i < 8; i++)
			assert_int_equal(db_put(&m.txn, DATA, (uint8_t[]){ 0xff, i }, 2, large, sizeof large), OK);
		assert_int_equal(db_put(&m.txn, BEHIND, "b", 1, "v", 1), OK);
		error = (beside ? db_commit_begin : db_commit)(&m.txn);
		if (beside) {
			assert_int_equal(error, OK);
			error = db_commit_wait(m.place->db, &(uint64_t){ 0 });
			db_forget_behind(m.place->db);
		}
		assert_int_equal(error, ERR_FULL);
		assert_int_equal(db_begin_staged(m.place->db, &m.txn), OK);
		model_assert(&m, &m.txn);
		assert_int_equal(db_get(&m.txn, BEHIND, "b", 1, &(struct db_value){ 0 }), ERR_NOTFOUND);
		model_put(&m, 6);
		assert_int_equal(db_commit_begin(&m.txn), OK);
		m.kept = m.now;
		land(&m);
	}
	model_open(&m, &small);
	assert_int_equal(db_begin_read(m.place->db, &m.txn), OK);
	model_assert(&m, &m.txn);
	db_abort(&m.txn);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(they_are_transactions, db_place_make, db_place_remove),
		cmocka_unit_test_setup_teardown(what_is_behind_goes_with_them, db_place_make, db_place_remove),
		cmocka_unit_test_setup_teardown(one_is_on_its_way_at_a_time, db_place_make, db_place_remove),
		cmocka_unit_test_setup_teardown(a_commit_that_finds_no_room_leaves_nothing, db_place_make, db_place_remove),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
