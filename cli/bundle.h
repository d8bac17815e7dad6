/* Checking a bundle (docs/audit.md): offline, from the file, the log's public key and those of its witnesses. Pure; everything in the file may come from an enemy. */
#ifndef CLI_BUNDLE_H
#define CLI_BUNDLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/clock.h"
#include "lib/crypt.h"
#include "lib/err.h"
#include "lib/note.h"
#include "proto/record.pb-c.h"

#define BUNDLE_SIZE_MAX ((size_t)1 << 30)
#define BUNDLE_LINE_MAX ((size_t)2 << 20)
#define BUNDLE_WITNESSES_MAX 1000

struct bundle_key { const char *path; uint8_t public_key[KEY_SIZE]; };
/* A record that holds: its header, and the opened body where the bundle has it. Borrowed until the call returns. */
struct bundle_record { const Reentry__Header *header; const uint8_t *body; size_t body_n; };

struct bundle_options {
	uint8_t log_key[KEY_SIZE];                          /* public */
	const struct bundle_key *witnesses; size_t n_witnesses; /* each must have cosigned, and each witness that the bundle lists must be one of them */
	void (*fault)(void *context, size_t line, const char *text); /* line 0: of the whole */
	void (*record)(void *context, const struct bundle_record *record); /* may be NULL */
	void *context;
};
struct bundle_result {
	size_t faults;                 /* 0: everything in the file holds */
	uint64_t records, opened;
	char reference[65], origin[NOTE_NAME_MAX + 1];
	uint64_t size;                 /* of the log that the checkpoint speaks of */
	uint64_t first, last;          /* positions */
	size_t cosigned;
	uint64_t cosigned_at;          /* the earliest of the needed cosignatures, POSIX seconds; 0: none */
};
/* Goes through the whole file. OK, whatever was found; ERR_NOMEM. */
int bundle_check(const char *bytes, size_t n, const struct bundle_options *options, struct bundle_result *ret_result);

#endif
