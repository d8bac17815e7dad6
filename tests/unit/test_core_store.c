/* Proves what the core does with its store: that a flipped byte is never served, that destroyed keys erase, that a rebuild gives back every projection under each
 * configuration it was made under, also when it is interrupted, that the index of relations follows the configuration, and that a full store still takes acknowledgements. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "broker/core_internal.h"
#include "tests/unit/core_place.h"

#define ACCEPTED REENTRY__OUTCOME__VALUE__ACCEPTED
#define REFUSED REENTRY__OUTCOME__VALUE__REFUSED

static const char *const store_tables[] = { "log", "tree", "meta", "ids", "agencies", "cases", "due", "queue", "related", NULL };
static const char *const wrapped_tables[] = { "keys", NULL };
static const char custody[] = "{\"start\":\"2027-02-01T08:00:00+01:00\",\"origin\":\"0344\",\"destination\":\"0344\"}";

/* A case with every kind of projection: deadlines, an open offer, refusals, consent, acknowledgements. */
static void busy_case(struct core_place *place, const char *subject)
{
	place_case(place, subject);
	place_accept(place, "gm-a", "need.screened", subject, "{\"need\":\"HOUSING\",\"status\":\"OPEN\"}");
	place_accept(place, "pi-a", "need.screened", subject, "{\"need\":\"ADDICTION\",\"status\":\"OPEN\"}");
	place_accept(place, "gm-a", "handover.offered", subject, "{\"handover\":\"H-1\",\"to\":\"care-a\",\"need\":\"ADDICTION\"}");
	place_ack_all(place, "care-a");
	place_accept(place, "care-a", "handover.accepted", subject, "{\"handover\":\"H-1\",\"start_date\":\"2027-02-25\"}");
	place_begin(place);
	assert_int_equal(place_publish(place, "gm-a", place_event(place, NULL, "need.screened", subject, "{\"need\":\"DEBT\",\"status\":\"ARRANGED\"}")).result, REFUSED);
	place_commit(place);
	place_accept(place, "pi-a", "destination.changed", subject, "{\"destination\":\"0599\"}");
}

static void fire(struct core_place *place, const char *when)
{
	bool more = true;

	place->now = place_moment(when);
	place_begin(place);
	while (more)
		assert_int_equal(core_fire(place->core, 100, &more), OK);
	place_commit(place);
}

static void assert_rebuilt(struct core_place *place)
{
	const char *difference = NULL;

	if (core_rebuild(place->core, true, &place->arena, &difference, &place->err))
		fail_msg("%s", place->err.text);
	if (difference)
		fail_msg("%s", difference);
}

/* Opens one of the two environments of a store that is closed. */
static struct db *open_db(struct core_place *place, bool keys, struct db_txn *txn)
{
	struct db_options options = { .size_max = place->size_max, .volatile_store = true, .tables = keys ? wrapped_tables : store_tables };
	struct db *db = NULL;

	if (db_open(keys ? place->keys : place->dir, &options, &db, &place->err))
		fail_msg("%s", place->err.text);
	assert_int_equal(db_begin(db, txn), OK);
	return db;
}

static size_t n_damaged(struct core_place *place)
{
	struct core_status status;

	assert_int_equal(core_status(place->core, &status), OK);
	return status.damaged;
}

/* --- damage ----------------------------------------------------------------------------------------------------------------- */

static void flip(struct core_place *place, uint64_t position, size_t at, uint8_t bits)
{
	uint8_t key[DB_KEY_MAX], copy[4096];
	struct db_value value;
	struct db_txn txn;
	struct db *db = open_db(place, false, &txn);

	assert_int_equal(db_get(&txn, T_LOG, key, db_key(key, "q", position), &value), OK);
	assert_true(value.n <= sizeof copy && at < value.n);
	memcpy(copy, value.bytes, value.n);
	copy[at] ^= bits;
	assert_int_equal(db_put(&txn, T_LOG, key, db_key(key, "q", position), copy, value.n), OK);
	assert_int_equal(db_commit(&txn), OK);
	db_close(db);
}

static size_t stored_size(struct core_place *place, uint64_t position)
{
	uint8_t key[DB_KEY_MAX];
	struct db_value value;
	struct db_txn txn;
	struct db *db = open_db(place, false, &txn);

	assert_int_equal(db_get(&txn, T_LOG, key, db_key(key, "q", position), &value), OK);
	db_abort(&txn);
	db_close(db);
	return value.n;
}

static void a_flipped_byte_of_a_record_is_never_served(void **state)
{
	struct core_place *place = *state;
	uint64_t sequence = place_accept(place, "pi-a", "custody.started", "C-1", custody);
	struct core_delivery *items;
	struct core_record record;
	size_t size, n;

	place_accept(place, "pi-a", "release.date-set", "C-1", "{\"date\":\"2027-02-25\",\"kind\":\"EXPECTED\"}");
	place_close(place);
	size = stored_size(place, sequence);
	for (size_t at = 0; at < size; at++) {
		flip(place, sequence, at, 0x10);
		place_open(place);
		assert_int_equal(core_record(place->core, sequence, &place->arena, &record), ERR_CORRUPT);
		assert_int_equal(core_deliveries(place->core, "gm-a", 0, 10, SIZE_MAX, &place->arena, &items, &n), OK);
		assert_int_equal(n, 0); /* nothing of that case, in its order */
		assert_int_equal(n_damaged(place), 1);
		assert_int_equal(core_record(place->core, sequence + 1, &place->arena, &record), OK);
		place_close(place);
		flip(place, sequence, at, 0x10);
		arena_reset(&place->arena);
	}
	place_open(place);
	assert_int_equal(core_record(place->core, sequence, &place->arena, &record), OK);
}

/* After a kill the newest states are folded from the log: a damaged record must not pass for one that is not there. */
static void a_damaged_record_is_not_taken_for_a_missing_one(void **state)
{
	struct core_place *place = *state;
	uint64_t sequence;
	size_t size;

	place_accept(place, "pi-a", "custody.started", "C-1", custody);
	place_close(place);
	place_open(place);
	sequence = place_accept(place, "pi-a", "release.date-unknown", "C-1", NULL);
	core_abandon(place->core);
	size = stored_size(place, sequence);
	for (size_t at = 0; at < size; at++) {
		struct core_options options = { .dir = place->dir, .keys_dir = place->keys, .size_max = place->size_max, .volatile_store = true, .master_key = place->master };
		Reentry__CaseState *c;

		flip(place, sequence, at, 0x01);
		place->core = NULL;
		if (core_open(&options, &place->config->policy, place->config->policy_text, &place->core, &place->err) == OK)
			assert_int_equal(core_case(place->core, "C-1", &place->arena, &c), ERR_CORRUPT);
		core_abandon(place->core);
		flip(place, sequence, at, 0x01);
		arena_reset(&place->arena);
	}
	place_open(place);
}

/* A record that is whole, with its own hash, but stands at another's place. */
static void a_record_stands_only_at_its_place(void **state)
{
	struct core_place *place = *state;
	uint64_t sequence = place_accept(place, "pi-a", "custody.started", "C-1", custody);
	uint8_t from[DB_KEY_MAX], to[DB_KEY_MAX], copy[4096];
	struct core_record record;
	struct db_value value;
	struct db_txn txn;
	struct db *db;

	place_accept(place, "pi-a", "release.date-set", "C-1", "{\"date\":\"2027-02-25\",\"kind\":\"EXPECTED\"}");
	place_close(place);
	db = open_db(place, false, &txn);
	assert_int_equal(db_get(&txn, T_LOG, from, db_key(from, "q", sequence), &value), OK);
	memcpy(copy, value.bytes, value.n);
	assert_int_equal(db_put(&txn, T_LOG, to, db_key(to, "q", sequence + 1), copy, value.n), OK);
	assert_int_equal(db_commit(&txn), OK);
	db_close(db);
	place_open(place);
	assert_int_equal(core_record(place->core, sequence + 1, &place->arena, &record), ERR_CORRUPT);
}

static void another_master_key_opens_nothing(void **state)
{
	struct core_place *place = *state;
	uint64_t sequence = place_accept(place, "pi-a", "custody.started", "C-1", custody);
	struct core_record record;
	Reentry__CaseState *c;

	place_close(place);
	place->master[5] ^= 1;
	place_open(place);
	assert_int_equal(core_record(place->core, sequence, &place->arena, &record), ERR_CORRUPT);
	assert_int_equal(core_case(place->core, "C-1", &place->arena, &c), ERR_CORRUPT);
}

/* A case whose state cannot be read any more: its record in the table is damaged. */
static void damage_case(struct core_place *place, const char *subject)
{
	struct db_value value;
	uint8_t copy[16384];
	struct db_txn txn;
	struct db *db;

	place_close(place);
	db = open_db(place, false, &txn);
	assert_int_equal(db_get(&txn, T_CASES, subject, strlen(subject), &value), OK);
	assert_true(value.n <= sizeof copy);
	memcpy(copy, value.bytes, value.n);
	copy[value.n / 2] ^= 4;
	assert_int_equal(db_put(&txn, T_CASES, subject, strlen(subject), copy, value.n), OK);
	assert_int_equal(db_commit(&txn), OK);
	db_close(db);
	place_open(place);
}

static void one_damaged_case_stops_nobody_else(void **state)
{
	struct core_place *place = *state;
	struct packed offer;
	struct core_receipt receipt;
	struct core_resend resend = { .agency = "gm-a" };
	struct core_timer *timers;
	const char *difference;
	size_t n;

	busy_case(place, "C-1");
	busy_case(place, "C-2");
	offer = place_event(place, "kept", "need.screened", "C-1", "{\"need\":\"DEBT\",\"status\":\"OPEN\"}");
	damage_case(place, "C-1");
	place_begin(place);
	receipt = place_publish(place, "gm-a", offer);
	assert_int_equal(receipt.result, REFUSED);
	assert_string_equal(receipt.code, "busy");
	assert_int_equal(place_publish(place, "gm-a", place_event(place, NULL, "need.screened", "C-2", "{\"need\":\"DEBT\",\"status\":\"OPEN\"}")).result, ACCEPTED);
	place_commit(place);
	assert_int_equal(n_damaged(place), 1);
	place_ack_all(place, "care-a"); /* watched deliveries of both */
	assert_string_equal(place_queue(place, "care-a"), "");
	place_ack_all(place, "gm-a");
	fire(place, "2027-02-11T08:00:00+01:00");
	assert_string_equal(place_queue(place, "gm-a"), "release.approaching"); /* of C-2 */
	assert_true(core_next_due(place->core) > place->now);
	assert_int_equal(core_timers(place->core, 100, &place->arena, &timers, &n), OK);
	place_begin(place);
	assert_int_equal(core_resend_cases(place->core, &resend, 100), OK);
	place_commit(place);
	assert_int_equal(resend.n, 1);
	assert_int_equal(core_rebuild(place->core, true, &place->arena, &difference, &place->err), OK);
	assert_non_null(strstr(difference, "C-1"));
	/* The log is whole, so it gives the case back; what the publisher kept comes through, and what was missed is told. */
	if (core_rebuild(place->core, false, &place->arena, &difference, &place->err))
		fail_msg("%s", place->err.text);
	assert_int_equal(n_damaged(place), 0);
	place_begin(place);
	assert_int_equal(place_publish(place, "gm-a", offer).result, ACCEPTED);
	place_commit(place);
	assert_rebuilt(place);
}

/* A record that is damaged while the broker runs, and that a state would have to be folded from: no older state passes for it, neither before nor after it should have been written. */
static void a_state_that_cannot_be_folded_stops_nobody_else(void **state)
{
	struct core_place *place = *state;
	uint8_t key[DB_KEY_MAX], copy[4096];
	struct db_value value;
	Reentry__CaseState *c;
	struct db_txn txn;
	uint64_t sequence;

	place_case(place, "C-2");
	place_accept(place, "pi-a", "custody.started", "C-1", custody);
	place->behind_max = 1;
	place_close(place);
	place_open(place);
	sequence = place_accept(place, "pi-a", "release.date-unknown", "C-1", NULL);
	place_crash(place);
	assert_int_equal(db_begin(place->core->db, &txn), OK);
	assert_int_equal(db_get(&txn, T_LOG, key, db_key(key, "q", sequence), &value), OK);
	assert_true(value.n <= sizeof copy);
	memcpy(copy, value.bytes, value.n);
	copy[value.n - 1] ^= 1;
	assert_int_equal(db_put(&txn, T_LOG, key, db_key(key, "q", sequence), copy, value.n), OK);
	assert_int_equal(db_commit(&txn), OK);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(core_case(place->core, "C-1", &place->arena, &c), ERR_CORRUPT);
		place_accept(place, "pi-a", "custody.leave-started", "C-2", "{\"at\":\"2027-02-01T10:00:00+01:00\"}");
	}
	assert_int_equal(n_damaged(place), 1);
	place_close(place);
	place_open(place);
	assert_int_equal(core_case(place->core, "C-1", &place->arena, &c), ERR_CORRUPT);
	assert_int_equal(core_case(place->core, "C-2", &place->arena, &c), OK);
}

/* --- erased ------------------------------------------------------------------------------------------------------------------- */

static void without_its_key_a_case_is_erased_and_nothing_else_is(void **state)
{
	struct core_place *place = *state;
	struct core_record record;
	struct core_receipt receipt;
	struct tree_head before, after;
	Reentry__CaseState *c;
	const char *difference;
	struct db_txn txn;
	struct db *db;
	uint64_t last, of_case = 0;

	busy_case(place, "C-1");
	busy_case(place, "C-2");
	last = place_last(place);
	assert_int_equal(core_root(place->core, last, &before), OK);
	place_close(place);
	db = open_db(place, true, &txn);
	assert_int_equal(db_del(&txn, 0, "C-1", 3), OK);
	assert_int_equal(db_commit(&txn), OK);
	db_close(db);
	place_open(place);
	for (uint64_t at = 1; at <= last; at++) {
		int error = core_record(place->core, at, &place->arena, &record);
		bool it = record.header->subject && strcmp(record.header->subject, "C-1") == 0;

		assert_int_equal(error, it ? ERR_ERASED : OK);
		assert_int_equal(record.body == NULL, it);
		of_case += it;
	}
	assert_true(of_case > 5);
	assert_int_equal(core_root(place->core, last, &after), OK);
	assert_memory_equal(&before, &after, sizeof before);
	assert_int_equal(core_case(place->core, "C-1", &place->arena, &c), ERR_ERASED);
	assert_int_equal(core_case(place->core, "C-2", &place->arena, &c), OK);
	place_begin(place);
	receipt = place_publish(place, "pi-a", place_event(place, NULL, "custody.started", "C-1", custody));
	assert_string_equal(receipt.code, "no-such-case");
	place_commit(place);
	assert_non_null(strstr(place_queue(place, "gm-b"), "case.snapshot")); /* of C-2 */
	assert_int_equal(core_rebuild(place->core, true, &place->arena, &difference, &place->err), OK);
}

/* --- rebuilding --------------------------------------------------------------------------------------------------------------- */

static void the_folded_state_is_the_live_one(void **state)
{
	struct core_place *place = *state;

	assert_rebuilt(place); /* of nothing */
	busy_case(place, "C-1");
	assert_rebuilt(place);
	fire(place, "2027-02-23T09:00:00+01:00");
	busy_case(place, "C-2");
	place_ack_all(place, "gm-b");
	assert_rebuilt(place);
	fire(place, "2027-09-01T09:00:00+02:00");
	assert_rebuilt(place);
}

/* The check can fail: each projection, changed behind the core's back, is found. */
static void every_projection_is_compared(void **state)
{
	static const int compared[] = { T_TREE, T_IDS, T_CASES, T_DUE, T_QUEUE, T_RELATED };
	struct core_place *place = *state;

	busy_case(place, "C-1");
	for (size_t i = 0; i < sizeof compared / sizeof *compared; i++) {
		const char *difference = NULL;
		struct db_value key, value;
		struct db_txn txn;
		struct db *db;
		uint8_t copy_key[DB_KEY_MAX], copy[16384];
		size_t key_n, n;

		place_close(place);
		db = open_db(place, false, &txn);
		assert_int_equal(db_last(&txn, compared[i], &key, &value), OK);
		assert_true(value.n <= sizeof copy);
		memcpy(copy_key, key.bytes, key_n = key.n);
		memcpy(copy, value.bytes, n = value.n);
		assert_int_equal(db_del(&txn, compared[i], copy_key, key_n), OK);
		assert_int_equal(db_commit(&txn), OK);
		db_close(db);
		if (compared[i] != T_TREE) { /* a broken tree is found when the store is opened */
			place_open(place);
			assert_int_equal(core_rebuild(place->core, true, &place->arena, &difference, &place->err), OK);
			assert_non_null(difference);
			place_close(place);
		}
		db = open_db(place, false, &txn);
		assert_int_equal(db_put(&txn, compared[i], copy_key, key_n, copy, n), OK);
		assert_int_equal(db_commit(&txn), OK);
		db_close(db);
		place_open(place);
	}
	assert_rebuilt(place);
}

static void break_projections(struct core_place *place, bool interrupted)
{
	static const int broken[] = { T_TREE, T_IDS, T_AGENCIES, T_CASES, T_DUE, T_QUEUE, T_RELATED };
	struct db_txn txn;
	struct db *db;

	place_close(place);
	db = open_db(place, false, &txn);
	for (size_t i = interrupted ? 0 : 3; i < sizeof broken / sizeof *broken; i++)
		assert_int_equal(db_clear(&txn, broken[i]), OK);
	if (interrupted)
		assert_int_equal(db_put(&txn, T_META, "rebuilding", 11, "", 0), OK);
	assert_int_equal(db_commit(&txn), OK);
	db_close(db);
	place_open(place);
}

static void goes_on(struct core_place *place, const char *queue, const struct tree_head *head)
{
	struct tree_head now;

	assert_string_equal(place_queue(place, "gm-a"), queue);
	assert_int_equal(core_root(place->core, head->size, &now), OK);
	assert_memory_equal(&now, head, sizeof now);
	place_accept(place, "pi-a", "release.date-set", "C-1", "{\"date\":\"2027-05-25\",\"kind\":\"CONFIRMED\"}");
	place_case(place, "C-9");
	place_ack_all(place, "gm-a");
	assert_rebuilt(place);
}

static void lost_projections_are_given_back(void **state)
{
	struct core_place *place = *state;
	const char *queue, *difference;
	struct tree_head head;

	busy_case(place, "C-1");
	busy_case(place, "C-2");
	queue = place_queue(place, "gm-a");
	assert_int_equal(core_root(place->core, place_last(place), &head), OK);
	break_projections(place, false);
	assert_string_equal(place_queue(place, "gm-a"), "");
	assert_int_equal(core_rebuild(place->core, true, &place->arena, &difference, &place->err), OK);
	assert_non_null(difference);
	assert_int_equal(core_rebuild(place->core, false, &place->arena, &difference, &place->err), OK);
	assert_null(difference);
	goes_on(place, queue, &head);
}

static void an_interrupted_rebuild_goes_on_at_the_next_start(void **state)
{
	struct core_place *place = *state;
	struct tree_head head;
	const char *queue;

	busy_case(place, "C-1");
	busy_case(place, "C-2");
	queue = place_queue(place, "gm-a");
	assert_int_equal(core_root(place->core, place_last(place), &head), OK);
	break_projections(place, true);
	goes_on(place, queue, &head);
	place_crash(place);
	assert_rebuilt(place);
}

/* --- the configuration ------------------------------------------------------------------------------------------------------------ */

static size_t n_cases_of(struct core_place *place, const char *agency)
{
	const char **refs;
	size_t n;

	assert_int_equal(core_cases_of(place->core, agency, NULL, 100, &place->arena, &refs, &n), OK);
	return n;
}

/* gm-b takes the code of gm-a over; gm-a stays without one; a new agency comes. */
static const char *moved_agencies(struct core_place *place)
{
	char *text = arena_strdup(&place->arena, place_agencies), *at;

	assert_non_null(text);
	at = strstr(text, "codes = [ \"0344\" ]");
	assert_non_null(at);
	memcpy(at, "codes = [ \"0855\" ]", 18);
	at = strstr(text, "codes = [ \"0599\" ]");
	assert_non_null(at);
	memcpy(at, "codes = [ \"0344\" ]", 18);
	return arena_printf(&place->arena, "{ id = \"a-new-one\", role = \"volunteer\", oin = \"00000099000000000099\", keys = [ \"k\" ] },\n%s", text);
}

static void relations_follow_the_configuration(void **state)
{
	struct core_place *place = *state;

	place_case(place, "C-1");
	place_case(place, "C-2");
	assert_int_equal(n_cases_of(place, "gm-a"), 2);
	place_use(place, place_config(place, moved_agencies(place), ""));
	place_begin(place);
	place_commit(place);
	assert_int_equal(n_cases_of(place, "gm-a"), 0);
	assert_int_equal(n_cases_of(place, "gm-b"), 2);
	place_accept(place, "pi-a", "release.date-unknown", "C-1", NULL);
	assert_string_equal(place_queue(place, "gm-b"), "release.date-unknown");
	assert_rebuilt(place);
}

/* What was armed under the old intervals stays; what is armed later is under the new ones. */
static void a_rebuild_keeps_what_old_intervals_armed(void **state)
{
	struct core_place *place = *state;
	moment old_due;

	place_case(place, "C-1");
	place_accept(place, "pi-a", "release.recorded", "C-1", "{\"released_at\":\"2027-02-01T10:00:00+01:00\"}");
	old_due = core_next_due(place->core);
	assert_int_equal(old_due, place->now + 45 * 60000);
	place_use(place, place_config(place, place_agencies, "confirm_hold = \"90min\";"));
	place_case(place, "C-2");
	place_accept(place, "pi-a", "release.recorded", "C-2", "{\"released_at\":\"2027-02-01T10:00:00+01:00\"}");
	assert_int_equal(core_next_due(place->core), old_due);
	assert_rebuilt(place);
	fire(place, "2027-02-01T10:50:00+01:00");
	assert_int_equal(core_next_due(place->core), place_moment("2027-02-01T11:30:00+01:00"));
	assert_rebuilt(place);
}

static void a_rebuild_evolves_under_each_configuration_in_its_turn(void **state)
{
	struct core_place *place = *state;

	busy_case(place, "C-1");
	place_use(place, place_config(place, moved_agencies(place), ""));
	place_case(place, "C-2");
	place_accept(place, "gm-b", "need.screened", "C-2", "{\"need\":\"HOUSING\",\"status\":\"OPEN\"}");
	place_accept(place, "pi-a", "destination.changed", "C-1", "{\"destination\":\"0344\"}");
	assert_rebuilt(place);
	place_use(place, place_config(place, place_agencies, ""));
	assert_rebuilt(place); /* the change is put on the record first */
	fire(place, "2027-02-23T09:00:00+01:00");
	busy_case(place, "C-3");
	assert_rebuilt(place);
}

static void a_change_is_recorded_once(void **state)
{
	struct core_place *place = *state;
	uint64_t last;

	place_case(place, "C-1");
	place_use(place, place_config(place, moved_agencies(place), ""));
	last = place_last(place);
	for (int i = 0; i < 2; i++) {
		place_begin(place);
		place_commit(place);
		assert_int_equal(place_last(place), last + 1);
	}
	assert_int_equal(place_record(place, last + 1).header->kind, REENTRY__RECORD_KIND__VALUE__CONFIG);
	place_crash(place);
	place_begin(place);
	core_rollback(place->core);
	place_begin(place);
	place_commit(place);
	assert_int_equal(place_last(place), last + 1);
}

static void a_change_that_was_rolled_back_is_recorded_by_the_next_turn(void **state)
{
	struct core_place *place = *state;
	uint64_t last;

	place_case(place, "C-1");
	last = place_last(place);
	place_use(place, place_config(place, moved_agencies(place), ""));
	place_begin(place);
	core_rollback(place->core);
	assert_int_equal(place_last(place), last);
	place_begin(place);
	place_commit(place);
	assert_int_equal(place_last(place), last + 1);
	assert_int_equal(n_cases_of(place, "gm-b"), 1);
}

/* --- a full store ----------------------------------------------------------------------------------------------------------------- */

static int small_place(void **state)
{
	return core_place_make_small(state, (size_t)1 << 20);
}

static void a_full_store_takes_acknowledgements_and_audits(void **state)
{
	struct core_place *place = *state;
	Reentry__AuditRecord body = REENTRY__AUDIT_RECORD__INIT;
	struct core_receipt receipt;
	struct core_status status;
	struct core_delivery *items;
	uint64_t sequence;
	size_t n;
	int error = OK, events = 0;

	place_case(place, "C-1");
	while (!error && events++ < 20000) {
		struct packed event = place_event(place, NULL, "release.date-set", "C-1", "{\"date\":\"2027-02-25\",\"kind\":\"EXPECTED\"}");

		place_begin(place);
		error = core_publish(place->core, policy_agency(&place->config->policy, "pi-a"), event.bytes, event.n, place->now, &receipt);
		if (!error)
			place_commit(place);
		arena_reset(&place->arena);
	}
	assert_int_equal(error, ERR_FULL);
	core_rollback(place->core);
	assert_int_equal(core_status(place->core, &status), OK);
	assert_true(status.full);
	assert_int_equal(core_deliveries(place->core, "gm-a", 0, 1, SIZE_MAX, &place->arena, &items, &n), OK);
	assert_int_equal(n, 1);
	sequence = items[0].sequence;
	body.who = (char *)(uintptr_t)"operator";
	place_begin(place);
	assert_int_equal(core_acked(place->core, "gm-a", &sequence, 1), OK);
	assert_int_equal(core_audit(place->core, REENTRY__RECORD_KIND__VALUE__ADMIN, &body, NULL), OK);
	place_commit(place);
	assert_int_equal(core_deliveries(place->core, "gm-a", 0, 1, SIZE_MAX, &place->arena, &items, &n), OK);
	assert_true(items[0].sequence > sequence);
	place_begin(place);
	assert_int_equal(place_last(place), status.last_sequence + 2);
	core_rollback(place->core);
	place_crash(place); /* what is made again at a start takes no room */
	assert_int_equal(place_last(place), status.last_sequence + 2);
	place_close(place);
	place->size_max = (size_t)16 << 20; /* more room, and it goes on */
	place_open(place);
	place_accept(place, "pi-a", "release.date-unknown", "C-1", NULL);
	assert_int_equal(core_status(place->core, &status), OK);
	assert_false(status.full);
	assert_rebuilt(place);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, core_place_make, core_place_remove)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(a_flipped_byte_of_a_record_is_never_served), TEST(a_damaged_record_is_not_taken_for_a_missing_one), TEST(a_record_stands_only_at_its_place), TEST(another_master_key_opens_nothing),
		TEST(one_damaged_case_stops_nobody_else), TEST(a_state_that_cannot_be_folded_stops_nobody_else),
		TEST(without_its_key_a_case_is_erased_and_nothing_else_is),
		TEST(the_folded_state_is_the_live_one), TEST(every_projection_is_compared), TEST(lost_projections_are_given_back),
		TEST(an_interrupted_rebuild_goes_on_at_the_next_start),
		TEST(relations_follow_the_configuration), TEST(a_rebuild_evolves_under_each_configuration_in_its_turn), TEST(a_rebuild_keeps_what_old_intervals_armed),
		TEST(a_change_is_recorded_once),
		TEST(a_change_that_was_rolled_back_is_recorded_by_the_next_turn),
		cmocka_unit_test_setup_teardown(a_full_store_takes_acknowledgements_and_audits, small_place, core_place_remove),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
