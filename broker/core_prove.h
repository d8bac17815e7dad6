/* Bundles: the records of one case with all that is needed to check them offline (docs/audit.md, "The bundle"). Between turns only. */
#ifndef BROKER_CORE_PROVE_H
#define BROKER_CORE_PROVE_H

#include "broker/core.h"
#include "lib/note.h"

#define BUNDLE_VERSION 1

struct prove_options {
	const char *subject;
	const struct note_key *witnesses; size_t n_witnesses; /* who must have cosigned the checkpoint that is used; may be none */
	/* Whether the asker may see the opened body; NULL: of no record. */
	bool (*may)(void *context, const struct core_record *record);
	void *context;
};
/* Where a bundle stands: it is written in pieces, so that nobody else has to wait. Memory that options point to must last as long; the rest is in the arena. */
struct prove {
	struct prove_options options;
	struct arena *arena;
	uint64_t size;               /* of the log that the checkpoint speaks of */
	uint64_t at;                 /* the next position to look at */
	uint64_t records;            /* written */
	uint64_t *positions; size_t n_positions; /* events of the case so far, ascending */
	bool done;
};
/* Takes the latest checkpoint that all witnesses have cosigned and writes the first line. ERR_NOTFOUND: no such case in the log that it speaks of, or no such checkpoint. */
int prove_begin(struct core *core, const struct prove_options *options, struct arena *arena, struct prove *prove, struct buf *out, struct err *err);
/* Looks at up to `max` records more and appends a line for each that belongs to the case, then the last line; sets prove->done. ERR_CORRUPT: a record does not match its hash. */
int prove_more(struct core *core, struct prove *prove, size_t max, struct buf *out, struct err *err);
/* All of it. */
int core_prove(struct core *core, const struct prove_options *options, struct arena *arena, struct buf *out, struct err *err);

#endif
