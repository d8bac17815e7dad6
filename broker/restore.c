#include "broker/restore.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/core_internal.h"
#include "lib/daemon.h"
#include "lib/db_folder.h"

#define PATH_SIZE 4200
#define ATTEMPTS 1000

/* One environment that is exchanged. */
struct exchange { const char *backup, *store, *const *tables; char fresh[PATH_SIZE], before[PATH_SIZE]; };

static int path_in(char path[PATH_SIZE], const char *folder, const char *name, struct err *err)
{
	if (snprintf(path, PATH_SIZE, "%s/%s", folder, name) >= PATH_SIZE)
		return err_set(err, ERR_INVALID, "%s: the path is too long", folder);
	return OK;
}

static void remove_fresh(const struct exchange *e)
{
	static const char *const files[] = { DB_FILE, DB_FILE_PART, DB_OWNER, "lock.mdb", "probe.tmp" };
	char path[PATH_SIZE];

	for (size_t i = 0; i < sizeof files / sizeof *files; i++)
		if (path_in(path, e->fresh, files[i], NULL) == OK)
			(void)unlink(path); /* best effort: the next restore begins with this */
	(void)rmdir(e->fresh);
}

/* --- the copy, beside the store and on the same file system ----------------------------------------------------------------- */

static int copy_backup(struct exchange *e, struct err *err)
{
	struct db_options options = { .read_only = true, .tables = e->tables };
	struct db *db = NULL;
	int error;

	if (snprintf(e->fresh, sizeof e->fresh, "%s.restoring", e->store) >= (int)sizeof e->fresh)
		return err_set(err, ERR_INVALID, "%s: the path is too long", e->store);
	remove_fresh(e);
	error = db_open(e->backup, &options, &db, err);
	if (error)
		return error;
	error = db_copy(db, e->fresh, err);
	db_close(db);
	return error;
}

/* --- the exchange ------------------------------------------------------------------------------------------------------------ */

/* Whether nobody has it open; a damaged store may be replaced all the same. */
static int check_idle(const char *store, struct err *err)
{
	struct db_folder folder = { .fd = -1, .owner_fd = -1 };
	struct err why = { 0 };
	int error;

	if (access(store, F_OK) != 0)
		return OK;
	error = db_folder_open(&folder, store, false, &why);
	db_folder_release(&folder);
	return error == ERR_BUSY || error == ERR_DENIED || error == ERR_INVALID ? err_set(err, error, "%s", why.text) : OK;
}

static int keep_before(struct exchange *e, const char *file, struct err *err)
{
	char kept[PATH_SIZE];

	if (access(file, F_OK) != 0)
		return OK;
	for (int i = 1; i <= ATTEMPTS; i++) {
		if (snprintf(e->before, sizeof e->before, "%s.before-restore-%d", e->store, i) >= (int)sizeof e->before)
			return err_set(err, ERR_INVALID, "%s: the path is too long", e->store);
		if (mkdir(e->before, 0700) == 0)
			break;
		if (errno != EEXIST || i == ATTEMPTS)
			return err_errno(err, ERR_IO, "cannot make the folder %s", e->before);
	}
	if (path_in(kept, e->before, DB_FILE, err))
		return ERR_INVALID;
	if (link(file, kept) != 0)
		return err_errno(err, ERR_IO, "cannot keep the former store as %s", kept);
	return db_folder_sync(e->before) ? err_errno(err, ERR_IO, "cannot sync the folder %s", e->before) : OK;
}

static int put_in_place(struct exchange *e, struct err *err)
{
	char from[PATH_SIZE], to[PATH_SIZE];
	int error = path_in(from, e->fresh, DB_FILE, err);

	if (!error)
		error = path_in(to, e->store, DB_FILE, err);
	if (!error)
		error = daemon_mkdir(e->store, err);
	if (!error)
		error = keep_before(e, to, err);
	if (error)
		return error;
	if (rename(from, to) != 0)
		return err_errno(err, ERR_IO, "cannot put the copy in the place of %s", to);
	if (db_folder_sync(e->store))
		return err_errno(err, ERR_UNSYNCED, "cannot sync the folder %s: restore again", e->store);
	remove_fresh(e);
	return OK;
}

/* --- all of it ------------------------------------------------------------------------------------------------------------------ */

/* Without keys: what was erased since could not be opened, and that is no fault of the backup. */
static int verify_backup(const struct restore_options *options, struct restore_result *result, struct err *err)
{
	struct verify_options verify = options->verify;
	int error;

	verify.core = (struct core_options){ .dir = options->backup };
	error = core_verify(&verify, options->tell, options->context, &result->verified, err);
	if (!error && result->verified.faults)
		error = err_set(err, ERR_CORRUPT, "%s does not hold: nothing was changed; take another backup", options->backup);
	return error;
}

int restore_store(const struct restore_options *options, struct restore_result *ret_result, struct err *err)
{
	struct exchange log = { .backup = options->backup, .store = options->store, .tables = core_tables };
	struct exchange keys = { .backup = options->keys_backup, .store = options->keys, .tables = key_tables };
	int error;

	*ret_result = (struct restore_result){ .left = 0 };
	error = check_idle(options->store, err);
	if (!error && options->keys_backup)
		error = check_idle(options->keys, err);
	if (!error)
		error = verify_backup(options, ret_result, err);
	if (!error)
		error = copy_backup(&log, err);
	if (!error)
		error = core_mark_restored(log.fresh, &ret_result->left, err);
	if (!error && options->keys_backup)
		error = copy_backup(&keys, err);
	/* The keys first: with them alone in place the former log is as readable as before. */
	if (!error && options->keys_backup)
		error = put_in_place(&keys, err);
	if (!error)
		error = put_in_place(&log, err);
	if (error && error != ERR_UNSYNCED) {
		remove_fresh(&log);
		if (options->keys_backup)
			remove_fresh(&keys);
	}
	memcpy(ret_result->before, log.before, sizeof ret_result->before);
	return error;
}
