/* Proves that roots and proofs are those of RFC 6962 and 9162: the reference vectors of certificate transparency, and a plain recursive reading of the RFC's definitions for all sizes up to 130;
 * that the verifiers accept each of them and nothing else; and that appends need no reads and give each complete node once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "lib/tree.h"

#define SIZE 130
#define LEVELS 8

static uint8_t leaves[SIZE][HASH_SIZE];
static struct { bool there; uint8_t hash[HASH_SIZE]; } nodes[LEVELS][SIZE]; /* what tree_append gave */
static size_t reads;

static int read_node(void *context, unsigned level, uint64_t index, uint8_t ret_hash[HASH_SIZE])
{
	(void)context;
	reads++;
	assert_true(level < LEVELS && index < SIZE && nodes[level][index].there);
	memcpy(ret_hash, nodes[level][index].hash, HASH_SIZE);
	return OK;
}

static const struct tree_store store = { read_node, NULL };

/* --- the RFC's own words, RFC 6962 2.1 ------------------------------------------------------------------------- */

static size_t below(size_t n)
{
	size_t k = 1;

	while (2 * k < n)
		k *= 2;
	return k;
}

static void mth(size_t start, size_t n, uint8_t hash[HASH_SIZE])
{
	uint8_t left[HASH_SIZE], right[HASH_SIZE];

	if (n == 0) {
		crypt_sha256("", 0, hash);
	} else if (n == 1) {
		memcpy(hash, leaves[start], HASH_SIZE);
	} else {
		mth(start, below(n), left);
		mth(start + below(n), n - below(n), right);
		tree_node_hash(left, right, hash);
	}
}

static void path(size_t m, size_t start, size_t n, struct tree_proof *proof)
{
	size_t k = below(n);

	if (n == 1)
		return;
	if (m < k) {
		path(m, start, k, proof);
		mth(start + k, n - k, proof->hashes[proof->n++]);
	} else {
		path(m - k, start + k, n - k, proof);
		mth(start, k, proof->hashes[proof->n++]);
	}
}

static void subproof(size_t m, size_t start, size_t n, bool whole, struct tree_proof *proof)
{
	size_t k = below(n);

	if (m == n) {
		if (!whole)
			mth(start, n, proof->hashes[proof->n++]);
	} else if (m <= k) {
		subproof(m, start, k, whole, proof);
		mth(start + k, n - k, proof->hashes[proof->n++]);
	} else {
		subproof(m - k, start + k, n - k, false, proof);
		mth(start, k, proof->hashes[proof->n++]);
	}
}

static void assert_same_proof(const struct tree_proof *a, const struct tree_proof *b)
{
	assert_int_equal(a->n, b->n);
	for (size_t i = 0; i < a->n; i++)
		assert_memory_equal(a->hashes[i], b->hashes[i], HASH_SIZE);
}

/* --- vectors --------------------------------------------------------------------------------------------------- */

static const struct crypt_part reference[8] = {
	{ "", 0 }, { "\x00", 1 }, { "\x10", 1 }, { "\x20\x21", 2 }, { "\x30\x31", 2 }, { "\x40\x41\x42\x43", 4 },
	{ "\x50\x51\x52\x53\x54\x55\x56\x57", 8 }, { "\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f", 16 },
};

static void assert_hash(const uint8_t hash[HASH_SIZE], const char *hex)
{
	char text[2 * HASH_SIZE + 1];

	for (size_t i = 0; i < HASH_SIZE; i++)
		(void)snprintf(text + 2 * i, 3, "%02x", hash[i]);
	assert_string_equal(text, hex);
}

/* Keeps what an append gives; each node once. */
static void append(struct tree *tree, const uint8_t leaf[HASH_SIZE])
{
	struct tree_node made[TREE_LEVELS + 1];
	size_t n = tree_append(tree, leaf, made);

	assert_true(n > 0);
	for (size_t i = 0; i < n; i++) {
		assert_true(made[i].level < LEVELS && made[i].index < SIZE);
		assert_false(nodes[made[i].level][made[i].index].there);
		nodes[made[i].level][made[i].index].there = true;
		memcpy(nodes[made[i].level][made[i].index].hash, made[i].hash, HASH_SIZE);
	}
}

static void the_reference_roots_come_out(void **state)
{
	static const char *const roots[9] = {
		"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
		"fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125", "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
		"d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7", "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
		"76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef", "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
		"5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
	};
	struct tree tree;
	uint8_t hash[HASH_SIZE];

	(void)state;
	tree_init(&tree);
	for (size_t n = 0; n <= 8; n++) {
		tree_root(&tree, hash);
		assert_hash(hash, roots[n]);
		if (n < 8) {
			tree_leaf_hash(&reference[n], 1, hash);
			append(&tree, hash);
		}
	}
}

#define LEAF_0 "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
#define LEAF_1 "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7"
#define LEAF_4 "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"
#define NODE_10 "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"
#define NODE_11 "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e"
#define NODE_12 "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a"
#define NODE_13 "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0"
#define NODE_20 "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"
#define NODE_21 "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"

/* runs after the one above, on its nodes */
static void the_reference_proofs_come_out(void **state)
{
	static const struct { uint64_t index, size; size_t n; const char *hashes[3]; } inclusion[] = {
		{ 0, 1, 0, { 0 } }, { 0, 8, 3, { LEAF_1, NODE_11, NODE_21 } }, { 5, 8, 3, { LEAF_4, NODE_13, NODE_20 } }, { 2, 3, 1, { NODE_10 } }, { 1, 5, 3, { LEAF_0, NODE_11, LEAF_4 } },
	};
	static const struct { uint64_t old_size, new_size; size_t n; const char *hashes[3]; } consistency[] = {
		{ 1, 1, 0, { 0 } }, { 1, 8, 3, { LEAF_1, NODE_11, NODE_21 } }, { 6, 8, 3, { NODE_12, NODE_13, NODE_20 } }, { 2, 5, 2, { NODE_11, LEAF_4 } },
	};
	struct tree_proof proof;

	(void)state;
	for (size_t i = 0; i < sizeof inclusion / sizeof *inclusion; i++) {
		assert_int_equal(tree_inclusion(inclusion[i].index, inclusion[i].size, store, &proof), OK);
		assert_int_equal(proof.n, inclusion[i].n);
		for (size_t k = 0; k < proof.n; k++)
			assert_hash(proof.hashes[k], inclusion[i].hashes[k]);
	}
	for (size_t i = 0; i < sizeof consistency / sizeof *consistency; i++) {
		assert_int_equal(tree_consistency(consistency[i].old_size, consistency[i].new_size, store, &proof), OK);
		assert_int_equal(proof.n, consistency[i].n);
		for (size_t k = 0; k < proof.n; k++)
			assert_hash(proof.hashes[k], consistency[i].hashes[k]);
	}
}

static void an_entry_in_parts_is_the_entry(void **state)
{
	static const struct crypt_part parts[] = { { "\x50\x51\x52", 3 }, { "", 0 }, { "\x53\x54\x55\x56\x57", 5 } };
	uint8_t whole[HASH_SIZE], hash[HASH_SIZE];

	(void)state;
	tree_leaf_hash(&reference[6], 1, whole);
	tree_leaf_hash(parts, 3, hash);
	assert_memory_equal(whole, hash, HASH_SIZE);
}

/* --- against the definitions ----------------------------------------------------------------------------------- */

static int grow(void **state)
{
	struct tree tree;

	(void)state;
	memset(nodes, 0, sizeof nodes);
	tree_init(&tree);
	for (size_t i = 0; i < SIZE; i++) {
		tree_leaf_hash(&(struct crypt_part){ &i, sizeof i }, 1, leaves[i]);
		append(&tree, leaves[i]);
	}
	return 0;
}

static void every_root_is_the_defined_one_and_appends_read_nothing(void **state)
{
	struct tree tree, loaded;
	struct tree_node made[TREE_LEVELS + 1];
	uint8_t expected[HASH_SIZE], root[HASH_SIZE];

	(void)state;
	tree_init(&tree);
	reads = 0;
	for (size_t n = 0; n <= SIZE; n++) {
		mth(0, n, expected);
		tree_root(&tree, root);
		assert_memory_equal(root, expected, HASH_SIZE);
		assert_int_equal(reads, 0);
		assert_int_equal(tree_root_at(n, store, root), OK);
		assert_memory_equal(root, expected, HASH_SIZE);
		assert_int_equal(tree_load(&loaded, n, store), OK);
		tree_root(&loaded, root);
		assert_memory_equal(root, expected, HASH_SIZE);
		assert_true(reads <= 2 * LEVELS);
		reads = 0;
		if (n < SIZE) {
			struct tree_node again[TREE_LEVELS + 1];
			size_t count = tree_append(&tree, leaves[n], made);

			assert_int_equal(tree_append(&loaded, leaves[n], again), count); /* a loaded edge goes on in the same way */
			for (size_t i = 0; i < count; i++) {
				mth(made[i].index << made[i].level, (size_t)1 << made[i].level, expected);
				assert_memory_equal(made[i].hash, expected, HASH_SIZE);
				assert_int_equal(again[i].level, made[i].level);
				assert_int_equal(again[i].index, made[i].index);
				assert_memory_equal(again[i].hash, expected, HASH_SIZE);
			}
		}
	}
}

static void every_inclusion_proof_is_the_defined_one_and_holds(void **state)
{
	struct tree_proof proof, expected;
	uint8_t root[HASH_SIZE];

	(void)state;
	for (size_t n = 1; n <= SIZE; n++) {
		mth(0, n, root);
		for (size_t m = 0; m < n; m++) {
			expected.n = 0;
			path(m, 0, n, &expected);
			reads = 0;
			assert_int_equal(tree_inclusion(m, n, store, &proof), OK);
			assert_true(reads <= 2 * LEVELS);
			assert_same_proof(&proof, &expected);
			assert_int_equal(tree_verify_inclusion(leaves[m], m, n, &proof, root), OK);
		}
	}
}

static void every_consistency_proof_is_the_defined_one_and_holds(void **state)
{
	struct tree_proof proof, expected;
	struct tree_head old_head, new_head;

	(void)state;
	for (size_t n = 0; n <= SIZE; n++) {
		new_head.size = n;
		mth(0, n, new_head.root);
		for (size_t m = 0; m <= n; m++) {
			expected.n = 0;
			if (m > 0)
				subproof(m, 0, n, true, &expected);
			reads = 0;
			assert_int_equal(tree_consistency(m, n, store, &proof), OK);
			assert_true(reads <= 2 * LEVELS);
			assert_same_proof(&proof, &expected);
			old_head.size = m;
			mth(0, m, old_head.root);
			assert_int_equal(tree_verify_consistency(&old_head, &new_head, &proof), OK);
		}
	}
}

/* --- lies ------------------------------------------------------------------------------------------------------ */

/* The proof with one bit changed, a hash less, a hash more, or two exchanged. */
static bool change_proof(struct tree_proof *proof, size_t how)
{
	uint8_t hash[HASH_SIZE];

	if (how < proof->n) {
		proof->hashes[how][how % HASH_SIZE] ^= (uint8_t)(1 << how % 8);
	} else if (how == proof->n && proof->n > 0) {
		proof->n--;
	} else if (how == proof->n + 1) {
		memcpy(proof->hashes[proof->n], leaves[0], HASH_SIZE);
		proof->n++;
	} else if (how == proof->n + 2) {
		memmove(proof->hashes[1], proof->hashes[0], proof->n * HASH_SIZE);
		memcpy(proof->hashes[0], leaves[0], HASH_SIZE);
		proof->n++;
	} else if (how == proof->n + 3 && proof->n > 1) {
		memcpy(hash, proof->hashes[0], HASH_SIZE);
		memcpy(proof->hashes[0], proof->hashes[1], HASH_SIZE);
		memcpy(proof->hashes[1], hash, HASH_SIZE);
	} else if (how == proof->n + 4) {
		proof->n = TREE_PROOF_MAX + 1;
	} else {
		return false;
	}
	return true;
}

#define CHANGES (LEVELS + 6)

static void an_inclusion_proof_holds_for_nothing_else(void **state)
{
	struct tree_proof proof, changed;
	uint8_t root[HASH_SIZE];

	(void)state;
	for (size_t n = 1; n <= 40; n++) {
		mth(0, n, root);
		for (size_t m = 0; m < n; m++) {
			assert_int_equal(tree_inclusion(m, n, store, &proof), OK);
			for (size_t i = 0; i < n; i++) {
				assert_int_equal(tree_verify_inclusion(leaves[i], m, n, &proof, root) == OK, i == m);
				assert_int_equal(tree_verify_inclusion(leaves[m], i, n, &proof, root) == OK, i == m);
			}
			assert_int_equal(tree_verify_inclusion(leaves[m], n, n, &proof, root), ERR_DENIED);
			assert_int_equal(tree_verify_inclusion(leaves[m], m, 0, &proof, root), ERR_DENIED);
			assert_int_equal(tree_verify_inclusion(leaves[m], UINT64_MAX - 1, UINT64_MAX, &proof, root), ERR_DENIED);
			for (size_t how = 0; how < CHANGES; how++) {
				changed = proof;
				if (change_proof(&changed, how))
					assert_int_equal(tree_verify_inclusion(leaves[m], m, n, &changed, root), ERR_DENIED);
			}
		}
	}
}

static void a_consistency_proof_holds_for_nothing_else(void **state)
{
	struct tree_proof proof, changed;
	struct tree_head old_head, new_head, lie;

	(void)state;
	for (size_t n = 0; n <= 40; n++) {
		new_head.size = n;
		mth(0, n, new_head.root);
		for (size_t m = 0; m <= n; m++) {
			assert_int_equal(tree_consistency(m, n, store, &proof), OK);
			old_head.size = m;
			mth(0, m, old_head.root);
			for (size_t how = 0; how < CHANGES; how++) {
				changed = proof;
				if (change_proof(&changed, how))
					assert_int_equal(tree_verify_consistency(&old_head, &new_head, &changed), ERR_DENIED);
			}
			lie = old_head;
			lie.root[0] ^= 1;
			assert_int_equal(tree_verify_consistency(&lie, &new_head, &proof), ERR_DENIED);
			lie = new_head;
			lie.root[31] ^= 1;
			if (m > 0) /* of an empty tree every tree is a continuation */
				assert_int_equal(tree_verify_consistency(&old_head, &lie, &proof), ERR_DENIED);
			if (m < n)
				assert_int_equal(tree_verify_consistency(&new_head, &old_head, &proof), ERR_DENIED);
			lie = new_head;
			lie.size = UINT64_MAX;
			if (m > 0)
				assert_int_equal(tree_verify_consistency(&old_head, &lie, &proof), ERR_DENIED);
		}
	}
}

static int fail_read(void *context, unsigned level, uint64_t index, uint8_t ret_hash[HASH_SIZE])
{
	(void)context, (void)level, (void)index, (void)ret_hash;
	return ERR_CORRUPT;
}

static void bounds_and_failed_reads_are_errors(void **state)
{
	static const struct tree_store broken = { fail_read, NULL };
	static struct tree full;
	struct tree_node made[TREE_LEVELS + 1];
	struct tree_proof proof;
	uint8_t root[HASH_SIZE];

	(void)state;
	assert_int_equal(tree_inclusion(5, 5, store, &proof), ERR_INVALID);
	assert_int_equal(tree_inclusion(0, 0, store, &proof), ERR_INVALID);
	assert_int_equal(tree_consistency(6, 5, store, &proof), ERR_INVALID);
	assert_int_equal(tree_inclusion(5, UINT64_MAX, store, &proof), ERR_TOOBIG);
	assert_int_equal(tree_consistency(5, TREE_SIZE_MAX + 1, store, &proof), ERR_TOOBIG);
	assert_int_equal(tree_root_at(TREE_SIZE_MAX + 1, store, root), ERR_TOOBIG);
	assert_int_equal(tree_inclusion(1, 5, broken, &proof), ERR_CORRUPT);
	assert_int_equal(tree_consistency(3, 5, broken, &proof), ERR_CORRUPT);
	assert_int_equal(tree_root_at(5, broken, root), ERR_CORRUPT);
	assert_int_equal(tree_load(&full, 5, broken), ERR_CORRUPT);
	assert_int_equal(full.size, 0);
	full.size = TREE_SIZE_MAX - 1;
	assert_int_equal(tree_append(&full, leaves[0], made), TREE_LEVELS + 1);
	assert_int_equal(tree_append(&full, leaves[0], made), 0);
}

/* A store so large that only its shape can be made: node hashes are made up from their place. */
static int made_up_node(void *context, unsigned level, uint64_t index, uint8_t ret_hash[HASH_SIZE])
{
	size_t *n = context;

	(*n)++;
	assert_true(level <= TREE_LEVELS && index < TREE_SIZE_MAX >> level);
	crypt_sha256_parts((struct crypt_part[]){ { &level, sizeof level }, { &index, sizeof index } }, 2, ret_hash);
	return OK;
}

static void the_largest_trees_stay_within_their_bounds(void **state)
{
	static const uint64_t sizes[] = { TREE_SIZE_MAX, TREE_SIZE_MAX - 1, TREE_SIZE_MAX / 2 + 1, (UINT64_C(1) << 40) + 1 };
	size_t n = 0;
	const struct tree_store large = { made_up_node, &n };
	struct tree_proof proof;
	struct tree tree;

	(void)state;
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		const uint64_t at[] = { 0, 1, sizes[i] / 2 - 1, sizes[i] / 2, sizes[i] / 3, sizes[i] - 2, sizes[i] - 1 };

		for (size_t k = 0; k < sizeof at / sizeof *at; k++) {
			n = 0;
			assert_int_equal(tree_inclusion(at[k], sizes[i], large, &proof), OK);
			assert_true(n <= 2 * (TREE_LEVELS + 1));
			assert_int_equal(tree_consistency(at[k], sizes[i], large, &proof), OK);
		}
		assert_int_equal(tree_load(&tree, sizes[i], large), OK);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_reference_roots_come_out),
		cmocka_unit_test(the_reference_proofs_come_out),
		cmocka_unit_test(an_entry_in_parts_is_the_entry),
		cmocka_unit_test_setup(every_root_is_the_defined_one_and_appends_read_nothing, grow),
		cmocka_unit_test_setup(every_inclusion_proof_is_the_defined_one_and_holds, grow),
		cmocka_unit_test_setup(every_consistency_proof_is_the_defined_one_and_holds, grow),
		cmocka_unit_test_setup(an_inclusion_proof_holds_for_nothing_else, grow),
		cmocka_unit_test_setup(a_consistency_proof_holds_for_nothing_else, grow),
		cmocka_unit_test_setup(bounds_and_failed_reads_are_errors, grow),
		cmocka_unit_test(the_largest_trees_stay_within_their_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
