/* Records that several agencies are about to be given, opened and unpacked once instead of once for each. Only what may be read anyway is kept, in memory, and it is
 * forgotten when a key is destroyed. Direct-mapped by position: receivers read the same stretch of the log one after the other. */
#include <stdlib.h>

#include "broker/core_internal.h"

#define SLOTS 256                 /* at least 16 KiB each while they are used */
#define RECEIVERS_LEAST 3         /* of a record that is worth keeping */
#define RECORD_MEMORY_MAX ((size_t)1 << 20)

struct recent { uint64_t position; struct arena arena; struct core_record record; };

static void drop(struct core *core, size_t slot)
{
	if (!core->recent || !core->recent[slot])
		return;
	arena_wipe(&core->recent[slot]->arena);
	arena_release(&core->recent[slot]->arena);
	free(core->recent[slot]);
	core->recent[slot] = NULL;
}

const struct core_record *recent_find(const struct core *core, uint64_t position)
{
	const struct recent *it = core->recent ? core->recent[position % SLOTS] : NULL;

	return it && it->position == position ? &it->record : NULL;
}

void recent_keep(struct core *core, struct db_txn *txn, const struct core_record *record)
{
	const size_t slot = record->header->position % SLOTS;
	struct recent *it;

	if (record->header->n_to < RECEIVERS_LEAST)
		return;
	if (!core->recent)
		core->recent = calloc(SLOTS, sizeof *core->recent);
	it = core->recent ? calloc(1, sizeof *it) : NULL;
	if (!it)
		return; /* it is read again */
	it->position = record->header->position;
	arena_init(&it->arena, RECORD_MEMORY_MAX);
	drop(core, slot);
	core->recent[slot] = it;
	if (log_read(core, txn, it->position, &it->arena, &it->record))
		drop(core, slot);
}

void recent_forget(struct core *core)
{
	for (size_t i = 0; core->recent && i < SLOTS; i++)
		drop(core, i);
	free(core->recent);
	core->recent = NULL;
}
