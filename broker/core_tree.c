/* The hash tree over the log (RFC 6962; lib/tree.h): leaf i is the hash of the record at position i + 1, and stands in front of it. The nodes above are
 * stored in tiles, each the complete nodes of six levels over 64 nodes of the level below, in the order in which they were completed: a tile only grows at its
 * end, and a turn writes one value per 64 records instead of 64. Key: tier (1 byte; tier t holds the levels 6t + 1 … 6t + 6), number of the tile. Value: 1 to 63 hashes. */
#include <stdlib.h>
#include <string.h>

#include "broker/core_internal.h"

#define TILE_LEVELS 6
#define TILE_LEAVES 64
#define TILE_NODES 63

/* So many nodes of a tier a tree of that size has; also the place of the next one. */
uint64_t nodes_count(uint64_t size, unsigned tier)
{
	uint64_t below = size >> (TILE_LEVELS * tier);
	uint64_t rest = below % TILE_LEAVES;

	return below / TILE_LEAVES * TILE_NODES + rest - (uint64_t)__builtin_popcountll(rest);
}

size_t nodes_tile_size(uint64_t size, unsigned tier, uint64_t tile)
{
	uint64_t n = nodes_count(size, tier), before = tile * TILE_NODES;

	if (tile > n / TILE_NODES)
		return 0;
	return (size_t)(n - before < TILE_NODES ? n - before : TILE_NODES) * HASH_SIZE;
}

/* --- growing ----------------------------------------------------------------------------------------------------------- */

static int keep_node(struct core *core, const struct tree_node *node)
{
	struct tier_nodes *tier = &core->tiers[(node->level - 1) / TILE_LEVELS];

	if (tier->n == tier->room) {
		size_t room = tier->room ? 2 * tier->room : TILE_LEAVES;
		uint8_t (*grown)[HASH_SIZE] = realloc(tier->hashes, room * sizeof *grown);

		if (!grown)
			return ERR_NOMEM;
		tier->hashes = grown;
		tier->room = room;
	}
	memcpy(tier->hashes[tier->n++], node->hash, HASH_SIZE);
	return OK;
}

int nodes_add(struct core *core, const uint8_t leaf[HASH_SIZE])
{
	struct tree_node nodes[TREE_LEVELS + 1];
	size_t n = tree_append(&core->tree, leaf, nodes);
	int error = n ? OK : ERR_TOOBIG;

	for (size_t i = 1; i < n && !error; i++)
		error = keep_node(core, &nodes[i]);
	return error;
}

static int flush_tier(struct core *core, unsigned number, const struct tier_nodes *tier)
{
	uint64_t at = nodes_count(core->tree_committed.size, number);
	uint8_t key[DB_KEY_MAX], tile[TILE_NODES * HASH_SIZE];
	int error = OK;

	for (size_t done = 0; done < tier->n && !error;) {
		size_t old = (size_t)(at % TILE_NODES), n = TILE_NODES - old, key_n = db_key(key, "bq", number, at / TILE_NODES);
		struct db_value value;

		n = n < tier->n - done ? n : tier->n - done;
		if (old) {
			error = db_get(&core->txn, T_TREE, key, key_n, &value);
			if (error == ERR_NOTFOUND || (!error && value.n != old * HASH_SIZE))
				return ERR_CORRUPT;
			if (!error)
				memcpy(tile, value.bytes, value.n);
		}
		memcpy(tile + old * HASH_SIZE, tier->hashes[done], n * HASH_SIZE);
		if (!error)
			error = db_put(&core->txn, T_TREE, key, key_n, tile, (old + n) * HASH_SIZE);
		done += n;
		at += n;
	}
	return error;
}

int nodes_flush(struct core *core)
{
	int error = core->tree.size == core->last ? OK : ERR_CORRUPT;

	for (unsigned i = 0; i < TREE_TIERS && !error; i++)
		error = flush_tier(core, i, &core->tiers[i]);
	return error;
}

static void forget_nodes(struct core *core)
{
	for (unsigned i = 0; i < TREE_TIERS; i++)
		core->tiers[i].n = 0;
}

void nodes_commit(struct core *core)
{
	core->tree_committed = core->tree;
	forget_nodes(core);
}

void nodes_rollback(struct core *core)
{
	core->tree = core->tree_committed;
	forget_nodes(core);
}

void nodes_release(struct core *core)
{
	for (unsigned i = 0; i < TREE_TIERS; i++)
		free(core->tiers[i].hashes);
}

/* --- stored nodes ------------------------------------------------------------------------------------------------------ */

/* Where node (level, index) stands: with leaf number `last` of its tile (from 1) a tile has completed last − popcount(last) nodes, those of the levels 1, 2, … of that leaf last. */
static int read_node(void *context, unsigned level, uint64_t index, uint8_t ret_hash[HASH_SIZE])
{
	struct db_txn *txn = context;
	unsigned tier, within;
	uint8_t key[DB_KEY_MAX];
	struct db_value value;
	uint64_t last, place;
	int error;

	if (level == 0)
		return log_leaf(txn, index + 1, ret_hash);
	tier = (level - 1) / TILE_LEVELS;
	within = (level - 1) % TILE_LEVELS + 1;
	last = ((index & ((UINT64_C(1) << (TILE_LEVELS - within)) - 1)) + 1) << within;
	place = last - 1 - (uint64_t)__builtin_popcountll(last - 1) + within - 1;
	error = db_get(txn, T_TREE, key, db_key(key, "bq", tier, index >> (TILE_LEVELS - within)), &value);
	if (error)
		return error == ERR_NOTFOUND ? ERR_CORRUPT : error;
	if (value.n % HASH_SIZE || value.n / HASH_SIZE <= place)
		return ERR_CORRUPT;
	memcpy(ret_hash, (const uint8_t *)value.bytes + place * HASH_SIZE, HASH_SIZE);
	return OK;
}

struct tree_store nodes_stored(struct db_txn *txn)
{
	return (struct tree_store){ read_node, txn };
}

/* The nodes of what is not written yet are made again. */
static int add_behind(struct core *core, uint64_t written, uint64_t last)
{
	uint8_t leaf[HASH_SIZE];
	int error = OK;

	core->tree_committed = core->tree;
	for (uint64_t position = written + 1; position <= last && !error; position++) {
		error = log_leaf(&core->txn, position, leaf);
		if (!error)
			error = nodes_add(core, leaf);
	}
	for (unsigned i = 0; i < TREE_TIERS && !error; i++)
		error = flush_tier(core, i, &core->tiers[i]);
	return error;
}

int nodes_load(struct core *core, uint64_t last)
{
	struct behind_mark mark = { 0 };
	int error = db_begin_read(core->db, &core->txn);

	core->txn.reserve = true; /* what is made again is in memory only: no disk is too full for it */
	if (!error)
		error = behind_read(&core->txn, last, &mark);
	if (!error)
		error = tree_load(&core->tree, mark.written, nodes_stored(&core->txn));
	if (!error)
		error = add_behind(core, mark.written, last);
	if (!error)
		error = db_commit(&core->txn);
	else
		db_abort(&core->txn);
	nodes_commit(core);
	return error;
}

/* --- proofs -------------------------------------------------------------------------------------------------------------- */

int core_root(struct core *core, uint64_t size, struct tree_head *ret_head)
{
	struct db_txn txn;
	int error = size <= core->committed ? db_begin_read(core->db, &txn) : ERR_NOTFOUND;

	if (error)
		return error;
	error = tree_root_at(size, nodes_stored(&txn), ret_head->root);
	ret_head->size = size;
	db_abort(&txn);
	return error;
}

int core_consistency(struct core *core, uint64_t old_size, uint64_t new_size, struct tree_proof *ret_proof)
{
	struct db_txn txn;
	int error = new_size <= core->committed ? db_begin_read(core->db, &txn) : ERR_NOTFOUND;

	if (error)
		return error;
	error = tree_consistency(old_size, new_size, nodes_stored(&txn), ret_proof);
	db_abort(&txn);
	return error;
}

int core_inclusion(struct core *core, uint64_t position, uint64_t size, struct tree_proof *ret_proof)
{
	struct db_txn txn;
	int error = size <= core->committed ? db_begin_read(core->db, &txn) : ERR_NOTFOUND;

	if (error)
		return error;
	error = position ? tree_inclusion(position - 1, size, nodes_stored(&txn), ret_proof) : ERR_INVALID;
	db_abort(&txn);
	return error;
}
