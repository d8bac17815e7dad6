/* Offline verification of a whole store (core_verify.c): one that nobody is using, or a backup. */
#ifndef BROKER_CORE_VERIFY_H
#define BROKER_CORE_VERIFY_H

#include "broker/core.h"
#include "lib/note.h"

struct verify_options {
	struct core_options core;            /* dir; keys_dir and master_key where they are at hand: without them bodies and projections are not looked into */
	const struct policy *policy;
	const char *policy_text;
	const uint8_t *signing_public;       /* KEY_SIZE: what checkpoints must be signed with; NULL: not checked */
	const struct note_key *witnesses; size_t n_witnesses; /* whose cosignatures are checked where they are; none is needed */
};
struct verify_result {
	uint64_t records, nodes, checkpoints;
	uint64_t erased;                     /* records whose body has been erased, by an erasure that is on record */
	uint64_t faults;                     /* 0: complete and unchanged */
	bool opened;                         /* bodies were opened, and the log folded again and compared */
};
/* Called with each fault, one line that names what is wrong and where; at most 100 are told, all are counted. */
typedef void verify_tell(void *context, const char *line);
/* Walks the whole store in a child process; a signal there is the fault "store structure damaged". Scratch space for the folded log is taken beside the store, or in TMPDIR.
 * OK: came to the end, whatever was found. ERR_BUSY (the broker runs), ERR_NOTFOUND (no store), ERR_IO …: could not be done. */
int core_verify(const struct verify_options *options, verify_tell *tell, void *context, struct verify_result *ret_result, struct err *err);

#endif
