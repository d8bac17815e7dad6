/* The record with which a log goes on after its end was lost (a restore, a roll-back): a checkpoint, signed by the log's key, of what is left, with extension lines that say so. An
 * operator makes it, and the administrator of every agency that was shown more than is left accepts it. Pure; what is read may come from an enemy.
 *
 *   origin\n size\n base64(root)\n epoch OLD NEW\n [ends EPOCH SIZE\n …] reason TEXT\n
 *
 * "ends": how many records are left of the epochs before OLD, so that an agent that was away for several of them knows what it has to offer again. The ordinary checkpoints of an epoch
 * other than the first carry the extension line "epoch N". */
#ifndef LIB_EPOCH_H
#define LIB_EPOCH_H

#include "lib/note.h"
#include "lib/tree.h"

#define EPOCH_FIRST 1
#define EPOCH_ENDS_MAX 64            /* the latest that are told of */
#define EPOCH_REASON_MAX 500         /* bytes */
#define EPOCH_NOTE_MAX ((size_t)8192)

struct epoch_end { uint64_t epoch, size; };
struct epoch_record {
	char origin[NOTE_NAME_MAX + 1];
	uint64_t old_epoch, new_epoch;   /* old < new */
	struct tree_head from;           /* what is left, and goes on */
	struct epoch_end ends[EPOCH_ENDS_MAX]; size_t n_ends;   /* ascending, older than old_epoch */
	char reason[EPOCH_REASON_MAX + 1];
};
/* Appends the signed note. ERR_INVALID (reason: empty, too long, control characters; epochs out of order), ERR_NOMEM. */
int epoch_write(struct buf *out, const struct epoch_record *record, const uint8_t signing_seed[KEY_SIZE], struct err *err);
/* Reads one that the key has signed, and nothing else. key->name is what the origin must be. ERR_INVALID, ERR_DENIED (not signed by it). */
int epoch_read(const char *note, size_t n, const struct note_key *key, struct epoch_record *ret_record, struct err *err);
/* How many records of the log as it was in that epoch are left. */
uint64_t epoch_left(const struct epoch_record *record, uint64_t epoch);
/* The epoch that a checkpoint is of. */
uint64_t epoch_of_checkpoint(const struct checkpoint *checkpoint);

#endif
