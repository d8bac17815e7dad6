#include "lib/db_behind.h"

#include <stdlib.h>
#include <string.h>

#define HEIGHT_MAX 12               /* of a skip list with a quarter of the nodes on each level above: 16 million */
#define CHUNK ((size_t)256 << 10)
#define ALIGN ((size_t)8)

/* Memory that goes all at once: to a mark when a transaction is undone, and whole when the file has it. */
struct chunk { struct chunk *below; size_t used, room; uint8_t bytes[]; };

struct undo { struct behind_node *node; const uint8_t *value; uint32_t value_n, room; int table; bool deleted, fresh, made; };

/* Where a search ended, and the next one of a key that begins alike goes on if its key is not before it: for each level the links of the last node before that key. Queues are walked so, each agency's own:
 * without it each look at an entry was twenty comparisons all over the memory. Nodes that come later do no harm; when one goes, all places are forgotten. */
#define PLACES 256
struct place { struct behind_node **from[HEIGHT_MAX]; uint64_t since; }; /* since: valid while it is behind.removals */

struct behind {
	struct place *places;       /* PLACES of each table */
	uint64_t removals;
	struct chunk *top, *mark;   /* mark: where the memory of the running transaction begins … */
	size_t mark_used;           /* … in that chunk */
	size_t bytes;
	uint64_t turn, changes, random;
	struct undo *undo; size_t n_undo, undo_room;
	size_t n_tables;
	struct behind_node *heads[][HEIGHT_MAX];
};

struct behind *behind_new(size_t n_tables)
{
	struct behind *b = calloc(1, sizeof *b + n_tables * sizeof *b->heads);

	if (b == NULL)
		return NULL;
	b->places = calloc(n_tables * PLACES, sizeof *b->places);
	if (b->places == NULL) {
		free(b);
		return NULL;
	}
	b->n_tables = n_tables;
	b->removals = 1;
	b->turn = 1;
	b->random = UINT64_C(0x9e3779b97f4a7c15); /* heights need no secret: only balance depends on them */
	return b;
}

static void shrink(struct behind *b, const struct chunk *to)
{
	while (b->top != to) {
		struct chunk *chunk = b->top;

		b->top = chunk->below;
		b->bytes -= chunk->room;
		free(chunk);
	}
}

void behind_free(struct behind *b)
{
	if (b == NULL)
		return;
	shrink(b, NULL);
	free(b->places);
	free(b->undo);
	free(b);
}

static void *take(struct behind *b, size_t n)
{
	size_t rounded = (n + ALIGN - 1) & ~(ALIGN - 1);
	struct chunk *chunk = b->top;

	if (chunk == NULL || chunk->room - chunk->used < rounded) {
		size_t room = rounded > CHUNK ? rounded : CHUNK;

		chunk = malloc(sizeof *chunk + room);
		if (chunk == NULL)
			return NULL;
		*chunk = (struct chunk){ .below = b->top, .room = room };
		b->top = chunk;
		b->bytes += room;
	}
	chunk->used += rounded;
	return chunk->bytes + chunk->used - rounded;
}

/* --- the lists ------------------------------------------------------------------------------------------------- */

const uint8_t *behind_key(const struct behind_node *node)
{
	return (const uint8_t *)(node->next + node->height);
}

/* As LMDB orders keys. */
static int compare(const struct behind_node *node, const uint8_t *key, size_t n)
{
	size_t common = node->key_n < n ? node->key_n : n;
	int order = memcmp(behind_key(node), key, common);

	return order != 0 ? order : node->key_n < n ? -1 : node->key_n > n;
}

static struct behind_node **head_of(const struct behind *b, int table)
{
	return (struct behind_node **)(uintptr_t)b->heads[table];
}

/* Whether the links are those of the head, or of a node before the key. */
static bool is_before(struct behind_node **from, struct behind_node **head, const uint8_t *key, size_t n)
{
	return from == head || compare((const struct behind_node *)((const uint8_t *)from - offsetof(struct behind_node, next)), key, n) < 0;
}

/* The place of keys that begin like this one, made fit for a search of it; returns the level to begin at: the lowest whose next node is not before the key. No level's node stands behind that of a level below. */
static int take_place(const struct behind *b, int table, const uint8_t *key, size_t n, struct place **ret_place)
{
	struct behind_node **const head = head_of(b, table);
	const unsigned kind = n > 1 ? key[0] ^ (unsigned)key[1] * 31 : 0;
	struct place *place = *ret_place = &b->places[(size_t)table * PLACES + kind % PLACES];
	int level = 0;

	if (place->since == b->removals && is_before(place->from[0], head, key, n)) {
		while (level < HEIGHT_MAX - 1 && place->from[level][level] != NULL && compare(place->from[level][level], key, n) < 0)
			level++;
		return level;
	}
	place->since = b->removals;
	for (level = 0; level < HEIGHT_MAX; level++)
		place->from[level] = head;
	return HEIGHT_MAX - 1;
}

/* The first node that is not before the key; the links behind which the key belongs are in the place (see link_at). */
static struct behind_node *search(const struct behind *b, int table, const uint8_t *key, size_t n, struct place **ret_place)
{
	struct behind_node **from, *beyond = NULL;
	bool moved = false;
	int level = take_place(b, table, key, n, ret_place);

	for (from = (*ret_place)->from[level]; level >= 0; level--) {
		from = moved ? from : (*ret_place)->from[level];
		while (from[level] != beyond && compare(from[level], key, n) < 0) {
			from = from[level]->next;
			moved = true;
		}
		beyond = from[level]; /* no need to compare it again one level below */
		(*ret_place)->from[level] = from;
	}
	return from[0];
}

struct behind_node *behind_seek(const struct behind *b, int table, const void *key, size_t n, bool after)
{
	struct behind_node *node;
	struct place *place;

	if (key == NULL)
		return b->heads[table][0];
	node = search(b, table, key, n, &place);
	return after && node != NULL && compare(node, key, n) == 0 ? node->next[0] : node;
}

struct behind_node *behind_find(const struct behind *b, int table, const void *key, size_t n)
{
	struct place *place;
	struct behind_node *node = search(b, table, key, n, &place);

	return node != NULL && compare(node, key, n) == 0 ? node : NULL;
}

static uint8_t draw_height(struct behind *b)
{
	uint8_t height = 1;

	b->random ^= b->random << 13; /* xorshift64 */
	b->random ^= b->random >> 7;
	b->random ^= b->random << 17;
	for (uint64_t bits = b->random; height < HEIGHT_MAX && (bits & 3) == 0; bits >>= 2)
		height++;
	return height;
}

/* --- changing -------------------------------------------------------------------------------------------------- */

static struct undo *undo_room(struct behind *b)
{
	if (b->n_undo == b->undo_room) {
		size_t room = b->undo_room ? 2 * b->undo_room : 256;
		struct undo *grown = realloc(b->undo, room * sizeof *grown);

		if (grown == NULL)
			return NULL;
		b->undo = grown;
		b->undo_room = room;
	}
	return &b->undo[b->n_undo];
}

/* The link behind which the key belongs. Above the level where a search began there may be nodes that another place has put in between. */
static struct behind_node **link_at(struct place *place, int level, const uint8_t *key, size_t n)
{
	struct behind_node **from = place->from[level];

	while (from[level] != NULL && compare(from[level], key, n) < 0)
		from = from[level]->next;
	place->from[level] = from;
	return &from[level];
}

static struct behind_node *make(struct behind *b, const void *key, size_t n, struct place *place)
{
	uint8_t height = draw_height(b);
	struct behind_node *node = take(b, sizeof *node + height * sizeof(struct behind_node *) + n);

	if (node == NULL)
		return NULL;
	*node = (struct behind_node){ .key_n = (uint16_t)n, .height = height };
	memcpy(node->next + height, key, n);
	for (int level = 0; level < height; level++) {
		struct behind_node **link = link_at(place, level, key, n);

		node->next[level] = *link;
		*link = node;
	}
	b->changes++;
	return node;
}

/* The node of a key, made if it is not there, with its undo written. */
static struct behind_node *change(struct behind *b, int table, const void *key, size_t n)
{
	struct place *place;
	struct behind_node *node = search(b, table, key, n, &place);
	struct undo *undo;
	bool made = node == NULL || compare(node, key, n) != 0;

	if (!made && node->turn == b->turn)
		return node;
	undo = undo_room(b);
	if (undo == NULL || (made && (node = make(b, key, n, place)) == NULL))
		return NULL;
	*undo = (struct undo){ node, node->value, node->value_n, node->room, table, node->deleted, node->fresh, made };
	b->n_undo++;
	node->room = 0; /* the value that is there is kept for an undo */
	node->turn = b->turn;
	return node;
}

uint8_t *behind_put(struct behind *b, int table, const void *key, size_t key_n, size_t n, bool fresh)
{
	struct behind_node *node = change(b, table, key, key_n);
	bool made = node != NULL && node->value == NULL && !node->deleted;
	uint8_t *value;

	if (node == NULL)
		return NULL;
	if (node->room < n || node->room == 0) {
		value = take(b, n + 1); /* so that an empty one has an address, too */
		if (value == NULL)
			return NULL;
		node->value = value;
		node->room = (uint32_t)n + 1;
	}
	node->value_n = (uint32_t)n;
	node->deleted = false;
	node->fresh = made ? fresh : node->fresh;
	return (uint8_t *)(uintptr_t)node->value; /* ours: this transaction has made it */
}

int behind_del(struct behind *b, int table, const void *key, size_t n)
{
	struct behind_node *node = change(b, table, key, n);

	if (node == NULL)
		return ERR_NOMEM;
	node->deleted = true;
	return OK;
}

/* --- transactions ---------------------------------------------------------------------------------------------- */

uint64_t behind_changes(const struct behind *b)
{
	return b->changes;
}

bool behind_changed(const struct behind *b)
{
	return b->n_undo > 0;
}

size_t behind_bytes(const struct behind *b)
{
	return b->bytes;
}

bool behind_is_empty(const struct behind *b, int table)
{
	return b->heads[table][0] == NULL;
}

void behind_keep(struct behind *b)
{
	b->n_undo = 0;
	b->turn++;
	b->mark = b->top;
	b->mark_used = b->top != NULL ? b->top->used : 0;
}

static void unlink_node(struct behind *b, int table, struct behind_node *node)
{
	struct place *place;

	(void)search(b, table, behind_key(node), node->key_n, &place);
	for (int level = 0; level < node->height; level++)
		*link_at(place, level, behind_key(node), node->key_n) = node->next[level];
	b->removals++;
	b->changes++;
}

void behind_undo(struct behind *b)
{
	while (b->n_undo > 0) {
		struct undo *undo = &b->undo[--b->n_undo];

		undo->node->value = undo->value;
		undo->node->value_n = undo->value_n;
		undo->node->room = undo->room;
		undo->node->deleted = undo->deleted;
		undo->node->fresh = undo->fresh;
		if (undo->made)
			unlink_node(b, undo->table, undo->node);
	}
	b->turn++;
	shrink(b, b->mark);
	if (b->top != NULL)
		b->top->used = b->mark_used;
}

/* The lowest chunk stays for what comes next. */
void behind_forget(struct behind *b)
{
	while (b->top != NULL && b->top->below != NULL) {
		struct chunk *chunk = b->top;

		b->top = chunk->below;
		b->bytes -= chunk->room;
		free(chunk);
	}
	if (b->top != NULL)
		b->top->used = 0;
	memset(b->heads, 0, b->n_tables * sizeof *b->heads);
	b->removals++;
	b->changes++;
	behind_keep(b);
}
