/* States of cases in memory, packed; those that come again and again unpacked as well. One is *dirty* while the cases table is older than it, and *clean* when the table has the same: a clean one only saves reading, opening and looking
 * up the key again, and is given up when too much is held, the one first that has been clean for longest. core_delta.c decides which is what. */
#ifndef BROKER_CORE_HELD_H
#define BROKER_CORE_HELD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/pb_image.h"

#define HELD_MAX ((size_t)64 << 20)  /* bytes of all; beyond it clean ones go */
#define UNPACKED_MAX ((size_t)16 << 20) /* bytes of those that are unpacked; beyond it the ones that were used least lately are packed */

/* image: of the same state as the bytes, or of a newer one. */
struct unpacked { struct held *of; struct unpacked *older, *newer; struct pb_image image; };

struct held {
	struct held *older, *newer;  /* while clean: by when they became so */
	struct held *next;           /* in its bucket; from here on stands what a look-up needs */
	uint32_t hash;
	uint64_t last;               /* its newest record, when it was last put here */
	uint8_t *bytes;              /* the packed state; NULL: a stub */
	struct unpacked *unpacked;   /* NULL: it is not */
	uint32_t n, room;
	uint32_t sweep;              /* its place in the sweep that goes on, from 1 on; 0: none */
	bool clean;
	bool fresh;                  /* not in the table at all */
	bool stale;                  /* the bytes are older than what is unpacked */
	char ref[];
};

struct held_states {
	struct held **buckets;
	size_t dirty, dirty_bytes, fresh, bytes;
	uint64_t drops;              /* so far: one that was found is there as long as they are the same */
	struct held *oldest, *newest; /* of the clean ones */
	size_t unpacked_bytes;
	struct unpacked *unpacked_oldest, *unpacked_newest;
};

int held_init(struct held_states *states);
void held_release(struct held_states *states);          /* overwrites what they held */
struct held *held_find(const struct held_states *states, const char *ref);
struct held *held_make(struct held_states *states, const char *ref); /* found, or a new stub, which is dirty; NULL without memory */
int held_fill(struct held_states *states, struct held *it, const uint8_t *bytes, size_t n); /* what was unpacked of it goes */
/* The state, a CaseState, of one that has been filled before: unpacked, and its bytes stale. ERR_TOOBIG: it cannot be; fill it. */
int held_keep(struct held_states *states, struct held *it, const void *state, struct arena *arena);
int held_pack(struct held_states *states, struct held *it, struct arena *arena); /* its bytes are those of its state then */
void held_set_clean(struct held_states *states, struct held *it, bool clean);
void held_set_fresh(struct held_states *states, struct held *it);
void held_drop(struct held_states *states, struct held *it); /* and overwrites it */
int held_trim(struct held_states *states, struct arena *arena);
/* Each of them: *place is 0 at the beginning; NULL behind the last. */
struct held *held_next(const struct held_states *states, size_t *place, const struct held *last);

#endif
