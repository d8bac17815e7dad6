#include "broker/core_held.h"

#include <stdlib.h>
#include <string.h>

#include "lib/crypt.h"
#include "lib/err.h"

#define BUCKETS ((size_t)1 << 17)
#define SLACK 32                     /* a state mostly grows a little: its memory is kept then */
#define OVERHEAD 32                  /* of two pieces of memory, about */

int held_init(struct held_states *states)
{
	*states = (struct held_states){ .buckets = calloc(BUCKETS, sizeof *states->buckets) };
	return states->buckets ? OK : ERR_NOMEM;
}

static struct held **place_of(const struct held_states *states, const char *ref)
{
	uint64_t hash = UINT64_C(14695981039346656037);
	struct held **place;

	for (const char *c = ref; *c; c++)
		hash = (hash ^ (uint8_t)*c) * UINT64_C(1099511628211);
	for (place = &states->buckets[(hash ^ hash >> 29) % BUCKETS]; *place; place = &(*place)->next)
		if (strcmp((*place)->ref, ref) == 0)
			break;
	return place;
}

struct held *held_find(const struct held_states *states, const char *ref)
{
	return *place_of(states, ref);
}

struct held *held_make(struct held_states *states, const char *ref)
{
	struct held **place = place_of(states, ref), *it = *place;
	const size_t n = strlen(ref) + 1;

	if (it)
		return it;
	it = calloc(1, sizeof *it + n);
	if (!it)
		return NULL;
	memcpy(it->ref, ref, n);
	*place = it;
	states->dirty++;
	states->bytes += sizeof *it + n + OVERHEAD;
	return it;
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

int held_fill(struct held_states *states, struct held *it, const uint8_t *bytes, size_t n)
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
	*place_of(states, it->ref) = it->next;
	forget_bytes(states, it);
	if (it->clean)
		unlink_clean(states, it);
	states->dirty -= !it->clean;
	states->fresh -= it->fresh;
	states->bytes -= sizeof *it + strlen(it->ref) + 1 + OVERHEAD;
	free(it);
}

void held_trim(struct held_states *states)
{
	while (states->bytes > HELD_MAX && states->oldest)
		held_drop(states, states->oldest);
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
