/* What a process does to the files of its stores, written down call by call; and the files as a crash may leave them. This process's own pwrite, writev, fdatasync … are the ones of
 * trace.c, for LMDB too, so that nothing is missed.
 *
 * What a crash may leave of files: everything that was synced; of what came since, any part. A write through a descriptor opened with O_DSYNC counts as synced when it returns. Names in
 * a folder are kept in their order: after a crash some number of the changes since the folder's last sync are there, and not the later ones. */
#ifndef TESTS_FAULTS_TRACE_H
#define TESTS_FAULTS_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum trace_kind { TRACE_WRITE, TRACE_CUT, TRACE_SYNC, TRACE_MAKE, TRACE_RENAME, TRACE_REMOVE, TRACE_FOLDER };
enum trace_name { NAME_DATA, NAME_PART, NAME_OWNER, TRACE_NAMES };   /* other files of a store hold nothing that lasts */
#define TRACE_FOLDERS 2

struct trace_call {
	enum trace_kind kind;
	bool durable;                 /* a write through O_DSYNC */
	int file;                     /* by number, in the order in which they were made; what is left of a file without a name counts no more */
	int folder; enum trace_name name, to;
	uint64_t at;                  /* of a write; TRACE_CUT: the new length */
	size_t n;
	uint8_t *bytes;
};

/* Begins to write down what happens to files in these folders, which are empty. */
void trace_begin(const char *const folders[TRACE_FOLDERS]);
void trace_end(void);
void trace_free(void);
size_t trace_n(void);                                     /* calls so far */
const struct trace_call *trace_at(size_t i);
/* A planted fault: syncs of files return at once, and nothing is synced. */
void trace_ignore_syncs(bool ignore);

/* The state behind the first `n` calls. It only moves forward. */
struct disk;
/* forgetful: a planted fault, some writes are lost although they were synced. */
struct disk *disk_new(bool forgetful);
void disk_free(struct disk *disk);
void disk_advance(struct disk *disk, size_t n);
/* Writes that were not synced, of all files that have a name, in order; and changes of names since their folder's sync. */
size_t disk_pending(const struct disk *disk);
size_t disk_pending_names(const struct disk *disk);
/* The length of pending write i, and where it lies in its file. */
size_t disk_pending_size(const struct disk *disk, size_t i, uint64_t *ret_at);
/* One crash: which pending writes are kept, how many bytes of one of them (torn; the first, or with torn_end the last bytes), and how many changes of names. */
struct crash { const bool *kept; size_t torn, torn_bytes; bool torn_end; size_t names; };
#define NOT_TORN SIZE_MAX
/* Makes the files anew in these folders. */
void disk_leave(const struct disk *disk, const struct crash *crash, const char *const folders[TRACE_FOLDERS]);

#endif
