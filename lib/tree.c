#include "lib/tree.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

void tree_leaf_hash(const struct crypt_part *parts, size_t n_parts, uint8_t ret_hash[HASH_SIZE])
{
	struct crypt_part all[TREE_ENTRY_PARTS_MAX + 1] = { { "\x00", 1 } };

	assert(n_parts <= TREE_ENTRY_PARTS_MAX);
	for (size_t i = 0; i < n_parts; i++)
		all[i + 1] = parts[i];
	crypt_sha256_parts(all, n_parts + 1, ret_hash);
}

void tree_node_hash(const uint8_t left[HASH_SIZE], const uint8_t right[HASH_SIZE], uint8_t ret_hash[HASH_SIZE])
{
	uint8_t bytes[1 + 2 * HASH_SIZE] = { 0x01 };

	memcpy(bytes + 1, left, HASH_SIZE);
	memcpy(bytes + 1 + HASH_SIZE, right, HASH_SIZE);
	crypt_sha256(bytes, sizeof bytes, ret_hash);
}

/* --- growing --------------------------------------------------------------------------------------------------- */

void tree_init(struct tree *tree)
{
	tree->size = 0; /* says that no hash of the edge counts */
}

size_t tree_append(struct tree *tree, const uint8_t leaf[HASH_SIZE], struct tree_node ret_nodes[TREE_LEVELS + 1])
{
	unsigned level = 0;

	if (tree->size >= TREE_SIZE_MAX)
		return 0;
	ret_nodes[0].level = 0;
	ret_nodes[0].index = tree->size;
	memcpy(ret_nodes[0].hash, leaf, HASH_SIZE);
	/* as in binary counting: each carry joins two complete subtrees to one of the next level */
	for (; tree->size >> level & 1; level++) {
		ret_nodes[level + 1].level = level + 1;
		ret_nodes[level + 1].index = tree->size >> (level + 1);
		tree_node_hash(tree->edge[level], ret_nodes[level].hash, ret_nodes[level + 1].hash);
	}
	memcpy(tree->edge[level], ret_nodes[level].hash, HASH_SIZE);
	tree->size++;
	return level + 1;
}

void tree_root(const struct tree *tree, uint8_t ret_root[HASH_SIZE])
{
	bool started = false;

	if (tree->size == 0)
		crypt_sha256("", 0, ret_root);
	for (unsigned level = 0; level <= TREE_LEVELS; level++) {
		if ((tree->size >> level & 1) == 0)
			continue;
		if (started)
			tree_node_hash(tree->edge[level], ret_root, ret_root);
		else
			memcpy(ret_root, tree->edge[level], HASH_SIZE);
		started = true;
	}
}

/* --- stored ---------------------------------------------------------------------------------------------------- */

int tree_load(struct tree *tree, uint64_t size, struct tree_store store)
{
	int error = size > TREE_SIZE_MAX ? ERR_TOOBIG : OK;

	tree->size = size;
	for (unsigned level = 0; level <= TREE_LEVELS && error == OK; level++)
		if (size >> level & 1)
			error = store.read(store.context, level, (size >> level) - 1, tree->edge[level]);
	if (error != OK)
		tree->size = 0;
	return error;
}

/* The root over the n >= 1 leaves from start on, where start is a multiple of the smallest power of two that is not below n (so all subtrees in it are stored ones). */
static int range_root(uint64_t start, uint64_t n, struct tree_store store, uint8_t ret_root[HASH_SIZE])
{
	uint64_t end = start + n;
	uint8_t left[HASH_SIZE];
	bool started = false;
	int error = OK;

	for (unsigned level = 0; level <= TREE_LEVELS && error == OK; level++) {
		if ((n >> level & 1) == 0)
			continue;
		/* of the leaves that are left, the last 2^level are a node of their own */
		end -= UINT64_C(1) << level;
		error = store.read(store.context, level, end >> level, started ? left : ret_root);
		if (error == OK && started)
			tree_node_hash(left, ret_root, ret_root);
		started = true;
	}
	return error;
}

int tree_root_at(uint64_t size, struct tree_store store, uint8_t ret_root[HASH_SIZE])
{
	if (size > TREE_SIZE_MAX)
		return ERR_TOOBIG;
	if (size > 0)
		return range_root(0, size, store, ret_root);
	crypt_sha256("", 0, ret_root);
	return OK;
}

/* The largest power of two below n; n >= 2. */
static uint64_t split(uint64_t n)
{
	return UINT64_C(1) << (63 - __builtin_clzll(n - 1));
}

static int push(struct tree_proof *proof, uint64_t start, uint64_t n, struct tree_store store)
{
	assert(proof->n < TREE_PROOF_MAX);
	return range_root(start, n, store, proof->hashes[proof->n++]);
}

/* A proof lists its hashes from the leaf to the root; they are found on the way down. */
static void reverse(struct tree_proof *proof)
{
	uint8_t hash[HASH_SIZE];

	for (size_t i = 0; i < proof->n / 2; i++) {
		memcpy(hash, proof->hashes[i], HASH_SIZE);
		memcpy(proof->hashes[i], proof->hashes[proof->n - 1 - i], HASH_SIZE);
		memcpy(proof->hashes[proof->n - 1 - i], hash, HASH_SIZE);
	}
}

int tree_inclusion(uint64_t index, uint64_t size, struct tree_store store, struct tree_proof *ret_proof)
{
	uint64_t start = 0, n = size;
	int error = size > TREE_SIZE_MAX ? ERR_TOOBIG : index >= size ? ERR_INVALID : OK;

	ret_proof->n = 0;
	while (error == OK && n > 1) {
		uint64_t k = split(n);

		if (index - start < k) {
			error = push(ret_proof, start + k, n - k, store);
			n = k;
		} else {
			error = push(ret_proof, start, k, store);
			start += k;
			n -= k;
		}
	}
	reverse(ret_proof);
	return error;
}

int tree_consistency(uint64_t old_size, uint64_t new_size, struct tree_store store, struct tree_proof *ret_proof)
{
	uint64_t start = 0, n = new_size;
	int error = new_size > TREE_SIZE_MAX ? ERR_TOOBIG : old_size > new_size ? ERR_INVALID : OK;

	ret_proof->n = 0;
	if (old_size == 0)
		return error;
	/* down to the subtree that ends where the old tree ended */
	while (error == OK && old_size - start != n) {
		uint64_t k = split(n);

		if (old_size - start <= k) {
			error = push(ret_proof, start + k, n - k, store);
			n = k;
		} else {
			error = push(ret_proof, start, k, store);
			start += k;
			n -= k;
		}
	}
	/* whose root the verifier knows if that subtree is the old tree */
	if (error == OK && start > 0)
		error = push(ret_proof, start, n, store);
	reverse(ret_proof);
	return error;
}

/* --- offline --------------------------------------------------------------------------------------------------- */

/* Where a verifier stands: the number of the node it follows on its level, and of the last node there. */
struct climb { uint64_t at, last; };

/* The next hash of the proof stands left of the followed node; else right. Moves up; false when the proof is longer than the way. */
static bool climb(struct climb *climb, bool *ret_left)
{
	if (climb->last == 0)
		return false;
	*ret_left = (climb->at & 1) != 0 || climb->at == climb->last;
	/* a last node that is a left one has no sibling: it is its own parent until it is a right one */
	while (*ret_left && (climb->at & 1) == 0 && climb->at != 0) {
		climb->at >>= 1;
		climb->last >>= 1;
	}
	climb->at >>= 1;
	climb->last >>= 1;
	return true;
}

int tree_verify_inclusion(const uint8_t leaf[HASH_SIZE], uint64_t index, uint64_t size, const struct tree_proof *proof, const uint8_t root[HASH_SIZE])
{
	struct climb way = { index, size - 1 };
	uint8_t hash[HASH_SIZE];
	bool left;

	if (index >= size || size > TREE_SIZE_MAX || proof->n > TREE_PROOF_MAX)
		return ERR_DENIED;
	memcpy(hash, leaf, HASH_SIZE);
	for (size_t i = 0; i < proof->n; i++) {
		if (!climb(&way, &left))
			return ERR_DENIED;
		tree_node_hash(left ? proof->hashes[i] : hash, left ? hash : proof->hashes[i], hash);
	}
	return way.last == 0 && memcmp(hash, root, HASH_SIZE) == 0 ? OK : ERR_DENIED;
}

/* 0 < old size < new size */
static int verify_growth(const struct tree_head *old_head, const struct tree_head *new_head, const struct tree_proof *proof)
{
	struct climb way = { old_head->size - 1, new_head->size - 1 };
	uint8_t old_hash[HASH_SIZE], new_hash[HASH_SIZE];
	bool old_is_perfect = (old_head->size & (old_head->size - 1)) == 0, left;
	size_t next = old_is_perfect ? 0 : 1;

	if (proof->n == 0 || proof->n > TREE_PROOF_MAX)
		return ERR_DENIED;
	/* up to the largest subtree that ends where the old tree ended: both roots are made from it */
	while (way.at & 1) {
		way.at >>= 1;
		way.last >>= 1;
	}
	memcpy(old_hash, old_is_perfect ? old_head->root : proof->hashes[0], HASH_SIZE);
	memcpy(new_hash, old_hash, HASH_SIZE);
	for (; next < proof->n; next++) {
		const uint8_t *hash = proof->hashes[next];

		if (!climb(&way, &left))
			return ERR_DENIED;
		if (left)
			tree_node_hash(hash, old_hash, old_hash);
		tree_node_hash(left ? hash : new_hash, left ? new_hash : hash, new_hash);
	}
	if (way.last != 0 || memcmp(old_hash, old_head->root, HASH_SIZE) != 0 || memcmp(new_hash, new_head->root, HASH_SIZE) != 0)
		return ERR_DENIED;
	return OK;
}

int tree_verify_consistency(const struct tree_head *old_head, const struct tree_head *new_head, const struct tree_proof *proof)
{
	uint8_t nothing[HASH_SIZE];

	if (old_head->size > new_head->size || new_head->size > TREE_SIZE_MAX)
		return ERR_DENIED;
	if (old_head->size > 0 && old_head->size < new_head->size)
		return verify_growth(old_head, new_head, proof);
	if (proof->n != 0)
		return ERR_DENIED;
	crypt_sha256("", 0, nothing);
	if ((old_head->size == 0 && memcmp(old_head->root, nothing, HASH_SIZE) != 0) ||
	    (old_head->size == new_head->size && memcmp(old_head->root, new_head->root, HASH_SIZE) != 0))
		return ERR_DENIED;
	return OK;
}
