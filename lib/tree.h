/* The hash tree of RFC 6962 and RFC 9162 (section 2.1): its mathematics, wherever the nodes are stored. Pure; SHA-256; no allocation.
 *
 * Node (level, index) is the root of the perfect subtree over the leaves index·2^level … (index+1)·2^level − 1; only such nodes exist in a store, and once made they never change.
 * Leaf i is node (0, i). Roots and proofs of any size are made of them: O(log n) reads each. */
#ifndef LIB_TREE_H
#define LIB_TREE_H

#include <stddef.h>
#include <stdint.h>

#include "lib/crypt.h"
#include "lib/err.h"

#define TREE_LEVELS 62
#define TREE_SIZE_MAX (UINT64_C(1) << TREE_LEVELS)   /* leaves */
#define TREE_PROOF_MAX (TREE_LEVELS + 1)             /* hashes in a proof */
#define TREE_ENTRY_PARTS_MAX 8

/* SHA-256(0x00 ‖ entry) of an entry given in parts, and SHA-256(0x01 ‖ left ‖ right). n_parts at most TREE_ENTRY_PARTS_MAX. ret_hash may be one of the inputs of tree_node_hash. */
void tree_leaf_hash(const struct crypt_part *parts, size_t n_parts, uint8_t ret_hash[HASH_SIZE]);
void tree_node_hash(const uint8_t left[HASH_SIZE], const uint8_t right[HASH_SIZE], uint8_t ret_hash[HASH_SIZE]);

/* The right edge of a growing tree: all that an append and the root need. A copy by assignment is a savepoint (a transaction that is aborted puts it back). */
struct tree {
	uint64_t size;
	uint8_t edge[TREE_LEVELS + 1][HASH_SIZE];   /* where bit l of size is set: the last complete node of level l that has no complete parent */
};
struct tree_node { unsigned level; uint64_t index; uint8_t hash[HASH_SIZE]; };

void tree_init(struct tree *tree);              /* empty */
/* Adds a leaf and tells the nodes that are complete now and must be stored: the leaf, then what it completes, at most TREE_LEVELS + 1 (two on average). The count is returned;
 * 0 when the tree is full (TREE_SIZE_MAX). */
size_t tree_append(struct tree *tree, const uint8_t leaf[HASH_SIZE], struct tree_node ret_nodes[TREE_LEVELS + 1]);
void tree_root(const struct tree *tree, uint8_t ret_root[HASH_SIZE]);   /* of an empty one: SHA-256 of nothing */

/* Reads a stored node: OK, or an error that the calling function returns. */
typedef int tree_read(void *context, unsigned level, uint64_t index, uint8_t ret_hash[HASH_SIZE]);
struct tree_store { tree_read *read; void *context; };

/* The edge of a stored tree of that size: what tree_append goes on from after a start. ERR_TOOBIG above TREE_SIZE_MAX, here and below. */
int tree_load(struct tree *tree, uint64_t size, struct tree_store store);
/* The root that the tree had at that size. */
int tree_root_at(uint64_t size, struct tree_store store, uint8_t ret_root[HASH_SIZE]);

struct tree_proof { size_t n; uint8_t hashes[TREE_PROOF_MAX][HASH_SIZE]; };
/* That leaf `index` is in the tree of that size (RFC 9162, 2.1.3.1). ERR_INVALID unless index < size. */
int tree_inclusion(uint64_t index, uint64_t size, struct tree_store store, struct tree_proof *ret_proof);
/* That the tree of new_size begins with all of the tree of old_size (RFC 9162, 2.1.4.1). Empty when old_size is 0 or new_size. ERR_INVALID unless old_size <= new_size. */
int tree_consistency(uint64_t old_size, uint64_t new_size, struct tree_store store, struct tree_proof *ret_proof);

/* Offline (RFC 9162, 2.1.3.2 and 2.1.4.2). Everything may come from an enemy. OK, or ERR_DENIED: the proof does not hold, whatever the reason. */
int tree_verify_inclusion(const uint8_t leaf[HASH_SIZE], uint64_t index, uint64_t size, const struct tree_proof *proof, const uint8_t root[HASH_SIZE]);
struct tree_head { uint64_t size; uint8_t root[HASH_SIZE]; };
int tree_verify_consistency(const struct tree_head *old_head, const struct tree_head *new_head, const struct tree_proof *proof);

#endif
