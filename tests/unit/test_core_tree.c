/* Proves that the tree over the log is the one of RFC 6962 at every size, whatever the turns were, that it survives rollbacks and crashes, that its proofs hold,
 * and that checkpoints speak of nothing but what is committed, come when something has happened, and collect the signatures of witnesses and of nobody else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "broker/core_internal.h"
#include "tests/unit/core_place.h"

#define MANY 8300        /* records: three tiers of tiles */

static void append(struct core_place *place)
{
	Reentry__Header header = REENTRY__HEADER__INIT;
	char agency[] = "pi-a";

	header.has_kind = true;
	header.kind = REENTRY__RECORD_KIND__VALUE__ADMIN;
	header.agency = agency;
	assert_int_equal(log_append(place->core, &header, "body", 4), OK);
}

static void turn_of(struct core_place *place, size_t n)
{
	place_begin(place);
	for (size_t i = 0; i < n; i++)
		append(place);
	place_commit(place);
}

/* --- the definition, without any of lib/tree ----------------------------------------------------------------------------- */

static void reference_root(const uint8_t (*leaves)[HASH_SIZE], size_t n, uint8_t ret_root[HASH_SIZE])
{
	uint8_t node[1 + 2 * HASH_SIZE] = { 1 };
	size_t k = 1;

	if (n == 1) {
		memcpy(ret_root, leaves[0], HASH_SIZE);
		return;
	}
	while (2 * k < n)
		k *= 2;
	reference_root(leaves, k, node + 1);
	reference_root(leaves + k, n - k, node + 1 + HASH_SIZE);
	crypt_sha256(node, sizeof node, ret_root);
}

static uint8_t (*all_leaves(struct core_place *place, size_t n))[HASH_SIZE]
{
	uint8_t (*leaves)[HASH_SIZE] = arena_alloc(&place->arena, n * HASH_SIZE);
	struct db_txn txn;

	assert_non_null(leaves);
	assert_int_equal(db_begin_read(place->core->db, &txn), OK);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(log_leaf(&txn, i + 1, leaves[i]), OK);
	db_abort(&txn);
	return leaves;
}

static void assert_root(struct core_place *place, const uint8_t (*leaves)[HASH_SIZE], uint64_t size)
{
	struct tree_head head;
	uint8_t root[HASH_SIZE];

	reference_root(leaves, size, root);
	assert_int_equal(core_root(place->core, size, &head), OK);
	assert_memory_equal(head.root, root, HASH_SIZE);
	assert_int_equal(head.size, size);
}

/* --- the tree --------------------------------------------------------------------------------------------------------------- */

static void every_size_has_its_root(void **state)
{
	static const size_t turns[] = { 1, 1, 2, 61, 1, 62, 63, 64, 65, 3, 128, 7 };
	struct core_place *place = *state;
	const uint8_t (*leaves)[HASH_SIZE];
	struct tree_head head;
	uint64_t n;

	for (size_t i = 0; i < sizeof turns / sizeof *turns; i++)
		turn_of(place, turns[i]);
	n = place_last(place);
	leaves = (const uint8_t (*)[HASH_SIZE])all_leaves(place, n);
	for (uint64_t size = 1; size <= n; size++)
		assert_root(place, leaves, size);
	assert_int_equal(core_root(place->core, n + 1, &head), ERR_NOTFOUND);
}

/* All nodes are there, each once, and no other. */
static void tiles_hold_what_is_complete(void **state)
{
	struct core_place *place = *state;
	uint64_t n, counted[TREE_TIERS] = { 0 };
	struct db_cursor cursor;
	struct db_txn txn;

	for (size_t left = MANY, i = 1; left; i = i % 200 + 13) {
		size_t of = i < left ? i : left;

		turn_of(place, of);
		left -= of;
	}
	n = place_last(place);
	assert_int_equal(db_begin_read(place->core->db, &txn), OK);
	DB_FOREACH(&cursor, &txn, T_TREE, NULL, 0)
		counted[*(const uint8_t *)cursor.key.bytes] += cursor.value.n / HASH_SIZE;
	db_abort(&txn);
	for (unsigned tier = 0; tier < TREE_TIERS; tier++)
		assert_int_equal(counted[tier], nodes_count(n, tier));
	assert_true(counted[2] > 0);
	assert_int_equal(counted[0] + counted[1] + counted[2], n - (uint64_t)__builtin_popcountll(n));
	assert_root(place, (const uint8_t (*)[HASH_SIZE])all_leaves(place, n), n);
}

static void a_rollback_leaves_the_tree(void **state)
{
	struct core_place *place = *state;
	uint64_t n;

	turn_of(place, 40);
	n = place_last(place);
	place_begin(place);
	for (size_t i = 0; i < 100; i++)
		append(place);
	core_rollback(place->core);
	assert_int_equal(place_last(place), n);
	turn_of(place, 30);
	assert_root(place, (const uint8_t (*)[HASH_SIZE])all_leaves(place, n + 30), n + 30);
	assert_root(place, (const uint8_t (*)[HASH_SIZE])all_leaves(place, n), n);
}

static void a_crash_leaves_the_tree(void **state)
{
	struct core_place *place = *state;
	const char *difference = NULL;
	uint64_t n;

	for (size_t i = 0; i < 70; i++) {
		turn_of(place, 1 + i % 3);
		n = place_last(place);
		place_begin(place);
		append(place);
		place_crash(place); /* in the middle of a turn */
		assert_int_equal(place_last(place), n);
	}
	turn_of(place, 5);
	n = place_last(place);
	assert_root(place, (const uint8_t (*)[HASH_SIZE])all_leaves(place, n), n);
	assert_int_equal(core_rebuild(place->core, true, &place->arena, &difference, &place->err), OK);
	assert_null(difference);
}

static void proofs_hold(void **state)
{
	struct core_place *place = *state;
	struct tree_proof proof;
	struct tree_head head, old;
	uint8_t (*leaves)[HASH_SIZE];
	uint64_t n;

	turn_of(place, 140);
	n = place_last(place);
	leaves = all_leaves(place, n);
	assert_int_equal(core_root(place->core, n, &head), OK);
	for (uint64_t at = 1; at <= n; at++) {
		assert_int_equal(core_inclusion(place->core, at, n, &proof), OK);
		assert_int_equal(tree_verify_inclusion(leaves[at - 1], at - 1, n, &proof, head.root), OK);
		assert_int_equal(tree_verify_inclusion(leaves[at % n], at - 1, n, &proof, head.root), ERR_DENIED);
		assert_int_equal(core_root(place->core, at, &old), OK);
		assert_int_equal(core_consistency(place->core, at, n, &proof), OK);
		assert_int_equal(tree_verify_consistency(&old, &head, &proof), OK);
	}
	assert_int_equal(core_inclusion(place->core, 0, n, &proof), ERR_INVALID);
	assert_int_equal(core_inclusion(place->core, n + 1, n, &proof), ERR_INVALID);
	assert_int_equal(core_inclusion(place->core, 1, n + 1, &proof), ERR_NOTFOUND);
	assert_int_equal(core_consistency(place->core, n, 1, &proof), ERR_INVALID);
}

/* --- checkpoints ------------------------------------------------------------------------------------------------------------- */

#define INTERVAL 10000

/* Issues one in a turn of its own. */
static const char *issue(struct core_place *place)
{
	const char *note = NULL;

	place_begin(place);
	assert_int_equal(core_checkpoint(place->core, &place->arena, &note), OK);
	place_commit(place);
	assert_non_null(note);
	return note;
}

static struct checkpoint read_signed(struct core_place *place, const char *text)
{
	char origin[NOTE_NAME_MAX + 1];
	struct note_key key = { .name = origin, .kind = NOTE_ED25519 };
	struct checkpoint checkpoint;
	struct note_seen seen;
	struct note note;

	core_origin(place->core, origin);
	assert_string_equal(origin, "urn:nld:oin:00000099000000000001:systeem:broker");
	crypt_sign_public(place->signing, key.public_key);
	assert_int_equal(note_read(text, strlen(text), &note, &place->err), OK);
	assert_int_equal(note_verify(&note, &key, 1, &seen, &place->err), OK);
	assert_int_equal(checkpoint_read(note.text, note.text_n, &checkpoint, &place->err), OK);
	assert_string_equal(checkpoint.origin, origin);
	return checkpoint;
}

static void a_checkpoint_speaks_of_what_is_committed(void **state)
{
	struct core_place *place = *state;
	struct checkpoint checkpoint;
	struct tree_head head;
	const char *note;
	uint64_t n;

	turn_of(place, 10);
	n = place_last(place);
	place_begin(place);
	append(place); /* of the same turn: not in it */
	assert_int_equal(core_checkpoint(place->core, &place->arena, &note), OK);
	append(place);
	place_commit(place);
	checkpoint = read_signed(place, note);
	assert_int_equal(checkpoint.size, n);
	assert_int_equal(core_root(place->core, n, &head), OK);
	assert_memory_equal(checkpoint.root, head.root, HASH_SIZE);
	assert_int_equal(place_record(place, n + 2).header->kind, REENTRY__RECORD_KIND__VALUE__CHECKPOINT);
}

static void it_comes_when_something_has_happened(void **state)
{
	struct core_place *place = *state;
	const char *first, *again;
	uint64_t n;

	assert_false(core_checkpoint_due(place->core, place->now, INTERVAL)); /* an empty log */
	turn_of(place, 1);
	assert_true(core_checkpoint_due(place->core, place->now, INTERVAL));
	first = issue(place);
	n = place_last(place);
	assert_false(core_checkpoint_due(place->core, place->now + 10 * INTERVAL, INTERVAL)); /* nothing but its own record */
	again = issue(place);
	assert_string_equal(again, first);
	assert_int_equal(place_last(place), n);
	place->now += 1;
	turn_of(place, 1);
	assert_false(core_checkpoint_due(place->core, place->now, INTERVAL)); /* too soon */
	assert_true(core_checkpoint_due(place->core, place->now - 1 + INTERVAL, INTERVAL));
	place_crash(place);
	assert_false(core_checkpoint_due(place->core, place->now, INTERVAL));
	assert_true(core_checkpoint_due(place->core, place->now - 1 + INTERVAL, INTERVAL));
	assert_int_equal(read_signed(place, issue(place)).size, n + 1);
	assert_false(core_checkpoint_due(place->core, place->now + INTERVAL, INTERVAL));
}

static void one_that_was_rolled_back_was_never_issued(void **state)
{
	struct core_place *place = *state;
	const char *note, *last;
	uint64_t size;

	turn_of(place, 3);
	place_begin(place);
	assert_int_equal(core_checkpoint(place->core, &place->arena, &note), OK);
	core_rollback(place->core);
	assert_int_equal(core_checkpoint_last(place->core, &place->arena, &size, &last), ERR_NOTFOUND);
	assert_true(core_checkpoint_due(place->core, place->now, INTERVAL));
	assert_string_equal(issue(place), note); /* over the same log: the same */
	place_crash(place);
	assert_int_equal(core_checkpoint_last(place->core, &place->arena, &size, &last), OK);
	assert_string_equal(last, note);
	assert_int_equal(size, 4);
}

static void checkpoints_are_consistent(void **state)
{
	struct core_place *place = *state;
	struct checkpoint checkpoints[6];
	const char *difference = NULL;
	struct tree_proof proof;

	for (int i = 0; i < 6; i++) {
		turn_of(place, (size_t)(3 + 17 * i));
		checkpoints[i] = read_signed(place, issue(place));
	}
	for (int i = 0; i < 6; i++)
		for (int k = i; k < 6; k++) {
			struct tree_head old = { .size = checkpoints[i].size }, new = { .size = checkpoints[k].size };

			memcpy(old.root, checkpoints[i].root, HASH_SIZE);
			memcpy(new.root, checkpoints[k].root, HASH_SIZE);
			assert_int_equal(core_consistency(place->core, old.size, new.size, &proof), OK);
			assert_int_equal(tree_verify_consistency(&old, &new, &proof), OK);
		}
	assert_int_equal(core_rebuild(place->core, true, &place->arena, &difference, &place->err), OK);
	assert_null(difference);
}

/* --- witnesses ------------------------------------------------------------------------------------------------------------------ */

static const char *cosigned(struct core_place *place, const char *note, const char *name, uint8_t seed_byte, struct note_key *ret_key)
{
	uint8_t seed[KEY_SIZE];
	struct note_signer signer = { .name = name, .kind = NOTE_COSIGNATURE, .seed = seed, .time = 1801558800 };
	struct buf out;
	const char *text;

	memset(seed, seed_byte, sizeof seed);
	*ret_key = (struct note_key){ .name = name, .kind = NOTE_COSIGNATURE };
	crypt_sign_public(seed, ret_key->public_key);
	buf_init(&out);
	assert_int_equal(buf_text(&out, note), OK);
	assert_int_equal(note_sign(&out, &signer, &place->err), OK);
	text = arena_strdup(&place->arena, (const char *)out.bytes);
	buf_release(&out);
	assert_non_null(text);
	return text;
}

static int hand_in(struct core_place *place, const struct note_key *key, const char *note)
{
	int error;

	place_begin(place);
	error = core_cosign(place->core, key, note, strlen(note), &place->err);
	if (error)
		core_rollback(place->core);
	else
		place_commit(place);
	return error;
}

static void cosignatures_are_kept(void **state)
{
	struct core_place *place = *state;
	struct note_key a, b, junk;
	const char *first, *second, *by_a, *by_b, *found;
	uint64_t size, before;

	turn_of(place, 3);
	first = issue(place);
	turn_of(place, 3);
	second = issue(place);
	by_a = cosigned(place, first, "gm-a", 1, &a);
	by_b = cosigned(place, cosigned(place, first, "junk", 3, &junk), "gm-b", 2, &b);
	before = place_last(place);
	assert_int_equal(hand_in(place, &a, by_a), OK);
	assert_int_equal(hand_in(place, &b, by_b), OK);
	assert_int_equal(hand_in(place, &a, by_a), OK); /* once more: nothing new */
	assert_int_equal(hand_in(place, &a, cosigned(place, second, "gm-a", 1, &a)), OK);
	assert_int_equal(place_last(place), before); /* none of it is a record */
	place_crash(place);
	assert_int_equal(core_checkpoint_cosigned(place->core, (struct note_key[]){ a, b }, 2, &place->arena, &size, &found), OK);
	assert_int_equal(size, read_signed(place, first).size);
	assert_true(checkpoint_signed_by(found, &a) && checkpoint_signed_by(found, &b));
	assert_false(checkpoint_signed_by(found, &junk)); /* what nobody vouched for is not kept */
	assert_null(strstr(found, "junk"));
	assert_int_equal(core_checkpoint_cosigned(place->core, &a, 1, &place->arena, &size, &found), OK);
	assert_int_equal(size, read_signed(place, second).size);
	assert_int_equal(core_checkpoint_cosigned(place->core, &junk, 1, &place->arena, &size, &found), ERR_NOTFOUND);
}

static void a_cosignature_that_does_not_hold_is_refused(void **state)
{
	struct core_place *place = *state;
	struct note_key a, other, of_other;
	const char *note, *by_a, *last;
	char *forged;
	uint64_t size;

	turn_of(place, 3);
	note = issue(place);
	by_a = cosigned(place, note, "gm-a", 1, &a);
	(void)cosigned(place, note, "gm-a", 5, &other);
	assert_int_equal(hand_in(place, &other, by_a), ERR_DENIED); /* not of the key of this connection */
	assert_int_equal(hand_in(place, &a, note), ERR_DENIED);     /* not signed at all */
	assert_int_equal(hand_in(place, &a, "no note"), ERR_INVALID);
	forged = arena_strdup(&place->arena, note);
	assert_non_null(forged);
	strchr(strchr(forged, '\n') + 1, '\n')[1] ^= 1; /* another root */
	assert_int_not_equal(hand_in(place, &a, cosigned(place, forged, "gm-a", 1, &of_other)), OK);
	forged = arena_strdup(&place->arena, note);
	strchr(forged, '\n')[1]++; /* of a size at which none was issued */
	assert_int_equal(hand_in(place, &a, cosigned(place, forged, "gm-a", 1, &of_other)), ERR_NOTFOUND);
	assert_int_equal(core_checkpoint_last(place->core, &place->arena, &size, &last), OK);
	assert_string_equal(last, note);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(every_size_has_its_root, core_place_make, core_place_remove),
		cmocka_unit_test_setup_teardown(tiles_hold_what_is_complete, core_place_make, core_place_remove),
		cmocka_unit_test_setup_teardown(a_rollback_leaves_the_tree, core_place_make, core_place_remove),
		cmocka_unit_test_setup_teardown(a_crash_leaves_the_tree, core_place_make, core_place_remove),
		cmocka_unit_test_setup_teardown(proofs_hold, core_place_make, core_place_remove),
		cmocka_unit_test_setup_teardown(a_checkpoint_speaks_of_what_is_committed, core_place_make, core_place_remove),
		cmocka_unit_test_setup_teardown(it_comes_when_something_has_happened, core_place_make, core_place_remove),
		cmocka_unit_test_setup_teardown(one_that_was_rolled_back_was_never_issued, core_place_make, core_place_remove),
		cmocka_unit_test_setup_teardown(checkpoints_are_consistent, core_place_make, core_place_remove),
		cmocka_unit_test_setup_teardown(cosignatures_are_kept, core_place_make, core_place_remove),
		cmocka_unit_test_setup_teardown(a_cosignature_that_does_not_hold_is_refused, core_place_make, core_place_remove),
	};

	if (crypt_init())
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
