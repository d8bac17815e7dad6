#include "broker/core_held.h"

#include <stdlib.h>
#include <string.h>

#include "lib/crypt.h"
#include "lib/err.h"
#include "lib/pb.h"

#define BUCKETS ((size_t)1 << 17)
#define SLACK 32                     /* a state mostly grows a little: its memory is kept then */
#define OVERHEAD 32                  /* of two pieces of memory, about */

int held_init(struct held_states *states)
{
	*states = (struct held_states){ .buckets = calloc(BUCKETS, sizeof *states->buckets) };
	return states->buckets ? OK : ERR_NOMEM;
}

static uint32_t hash_of(const char *ref)
{
	uint64_t hash = UINT64_C(14695981039346656037);

	for (const char *c = ref; *c; c++)
		hash = (hash ^ (uint8_t)*c) * UINT64_C(1099511628211);
	return (uint32_t)(hash ^ hash >> 29);
}

/* The hash is compared first: a reference stands in another line of memory, which it takes a tenth of a µs to fetch. */
static struct held **place_of(const struct held_states *states, const char *ref, uint32_t hash)
{
	struct held **place = &states->buckets[hash % BUCKETS];

	while (*place && ((*place)->hash != hash || strcmp((*place)->ref, ref) != 0))
		place = &(*place)->next;
	return place;
}

struct held *held_find(const struct held_states *states, const char *ref)
{
	return *place_of(states, ref, hash_of(ref));
}

struct held *held_make(struct held_states *states, const char *ref)
{
	const uint32_t hash = hash_of(ref);
	struct held **place = place_of(states, ref, hash), *it = *place;
	const size_t n = strlen(ref) + 1;

	if (it)
		return it;
	it = calloc(1, sizeof *it + n);
	if (!it)
		return NULL;
	memcpy(it->ref, ref, n);
	it->hash = hash;
	*place = it;
	states->dirty++;
	states->bytes += sizeof *it + n + OVERHEAD;
	return it;
}

/* --- unpacked --------------------------------------------------------------------------------------------------------- */

static void unlink_unpacked(struct held_states *states, struct unpacked *u)
{
	*(u->older ? &u->older->newer : &states->unpacked_oldest) = u->newer;
	*(u->newer ? &u->newer->older : &states->unpacked_newest) = u->older;
}

static void link_unpacked(struct held_states *states, struct unpacked *u)
{
	u->newer = NULL;
	u->older = states->unpacked_newest;
	*(u->older ? &u->older->newer : &states->unpacked_oldest) = u;
	states->unpacked_newest = u;
}

static size_t unpacked_size(const struct unpacked *u)
{
	return sizeof *u + u->image.room + OVERHEAD / 2;
}

static void forget_unpacked(struct held_states *states, struct held *it)
{
	struct unpacked *u = it->unpacked;

	it->unpacked = NULL;
	it->stale = false;
	if (!u)
		return;
	unlink_unpacked(states, u);
	states->bytes -= unpacked_size(u);
	states->unpacked_bytes -= unpacked_size(u);
	crypt_wipe(u->image.bytes, u->image.room);
	free(u);
}

int held_keep(struct held_states *states, struct held *it, const void *state, struct arena *arena)
{
	struct unpacked *u = it->unpacked;
	uint32_t room;

	if (u && pb_image_fill(&u->image, state)) {
		unlink_unpacked(states, u);
		link_unpacked(states, u);
		it->stale = true;
		return OK;
	}
	forget_unpacked(states, it); /* it was written over */
	room = pb_image_room(state, arena);
	if (!room)
		return ERR_TOOBIG;
	room = (room + room / 8 + 15) & ~15u; /* it mostly grows a little */
	u = malloc(sizeof *u + room);
	if (!u)
		return ERR_NOMEM;
	u->of = it;
	u->image.room = room;
	(void)pb_image_fill(&u->image, state); /* it was measured */
	it->unpacked = u;
	it->stale = true;
	link_unpacked(states, u);
	states->bytes += unpacked_size(u);
	states->unpacked_bytes += unpacked_size(u);
	return OK;
}

/* --- packed ----------------------------------------------------------------------------------------------------------- */

static int put_bytes(struct held_states *states, struct held *it, const uint8_t *bytes, size_t n);

int held_pack(struct held_states *states, struct held *it, struct arena *arena)
{
	uint8_t *bytes = NULL;
	size_t n = 0;
	int error;

	if (!it->stale)
		return OK;
	error = pb_pack(pb_image_of(&it->unpacked->image), arena, &bytes, &n);
	if (!error)
		error = put_bytes(states, it, bytes, n);
	it->stale = error != OK;
	return error;
}

static void forget_bytes(struct held_states *states, struct held *it)
{
	if (it->bytes)
		crypt_wipe(it->bytes, it->room);
	free(it->bytes);
	states->bytes -= it->room;
	states->dirty_bytes -= it->clean ? 0 : it->n;
	it->bytes = NULL;
	it->n = it->room = 0;
}

static int put_bytes(struct held_states *states, struct held *it, const uint8_t *bytes, size_t n)
{
	if (n > it->room || !it->bytes || it->room > 2 * n + SLACK) {
		uint8_t *fresh = n < UINT32_MAX - SLACK ? malloc(n + SLACK) : NULL;

		if (!fresh)
			return ERR_NOMEM;
		forget_bytes(states, it);
		it->bytes = fresh;
		it->room = (uint32_t)n + SLACK;
		states->bytes += it->room;
	}
	memcpy(it->bytes, bytes, n);
	states->dirty_bytes += it->clean ? 0 : n - it->n;
	it->n = (uint32_t)n;
	return OK;
}

int held_fill(struct held_states *states, struct held *it, const uint8_t *bytes, size_t n)
{
	int error = put_bytes(states, it, bytes, n);

	if (!error)
		forget_unpacked(states, it);
	return error;
}

static void unlink_clean(struct held_states *states, struct held *it)
{
	*(it->older ? &it->older->newer : &states->oldest) = it->newer;
	*(it->newer ? &it->newer->older : &states->newest) = it->older;
	it->older = it->newer = NULL;
}

void held_set_clean(struct held_states *states, struct held *it, bool clean)
{
	if (it->clean == clean)
		return;
	it->clean = clean;
	if (!clean) {
		unlink_clean(states, it);
		states->dirty++;
		states->dirty_bytes += it->n;
		return;
	}
	it->older = states->newest;
	*(states->newest ? &states->newest->newer : &states->oldest) = it;
	states->newest = it;
	states->dirty--;
	states->dirty_bytes -= it->n;
	states->fresh -= it->fresh;
	it->fresh = false;
}

void held_set_fresh(struct held_states *states, struct held *it)
{
	states->fresh += !it->fresh;
	it->fresh = true;
}

void held_drop(struct held_states *states, struct held *it)
{
	*place_of(states, it->ref, it->hash) = it->next;
	states->drops++;
	forget_unpacked(states, it);
	forget_bytes(states, it);
	if (it->clean)
		unlink_clean(states, it);
	states->dirty -= !it->clean;
	states->fresh -= it->fresh;
	states->bytes -= sizeof *it + strlen(it->ref) + 1 + OVERHEAD;
	free(it);
}

int held_trim(struct held_states *states, struct arena *arena)
{
	while (states->unpacked_bytes > UNPACKED_MAX) {
		struct held *it = states->unpacked_oldest->of;
		int error = held_pack(states, it, arena);

		if (error)
			return error;
		forget_unpacked(states, it);
	}
	while (states->bytes > HELD_MAX && states->oldest)
		held_drop(states, states->oldest); /* lint: analyzer, because it takes it out of the list before it frees it */
	return OK;
}

struct held *held_next(const struct held_states *states, size_t *place, const struct held *last)
{
	struct held *it = last ? last->next : NULL;

	while (!it && *place < BUCKETS)
		it = states->buckets[(*place)++];
	return it;
}

void held_release(struct held_states *states)
{
	for (size_t i = 0; states->buckets && i < BUCKETS; i++)
		while (states->buckets[i])
			held_drop(states, states->buckets[i]);
	free(states->buckets);
	*states = (struct held_states){ 0 };
}
