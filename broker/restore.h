/* Putting a backup in the place of a store that nobody has open (reentry admin restore). */
#ifndef BROKER_RESTORE_H
#define BROKER_RESTORE_H

#include "broker/core_verify.h"

struct restore_options {
	const char *backup, *store;          /* folders: of a backup of the log, and the store whose place it takes */
	const char *keys_backup, *keys;      /* the same of the key environment; keys_backup NULL: the keys stay as they are */
	struct verify_options verify;        /* what the backup is verified with; its folder and keys are filled in here */
	verify_tell *tell; void *context;    /* hears of faults */
};
struct restore_result {
	struct verify_result verified;
	uint64_t left;                       /* records of the log that is in place now */
	char before[4200];                   /* where what was in place lies; "": there was nothing */
};
/* Verifies, copies, marks the copy as held (core_held), and exchanges the file with one rename: whenever we die, one of the two is whole and in place. The former files are kept.
 * ERR_BUSY: somebody has the store open. ERR_CORRUPT: the backup does not verify, nothing was changed. The caller has the broker's lock, so that it cannot be started meanwhile. */
int restore_store(const struct restore_options *options, struct restore_result *ret_result, struct err *err);

#endif
