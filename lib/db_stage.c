/* Staged transactions (lib/db.h): their changes are lists in memory, written by one LMDB transaction at the commit: in the caller's thread, or in one that does nothing else.
 *
 * LMDB has one write transaction at a time, and most of a small commit is waiting for the disk. So the turn that is being made needs none: it reads a snapshot of the file, above it what is on its way
 * there (flight), and above that its own changes (stage). The other thread only reads the lists of a flight, which nobody changes any more, and LMDB's own structures; it touches nothing else of struct db. */
#include <lmdb.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/db_env.h"

#define STACK ((size_t)256 << 10)   /* of the thread; LMDB wants some ten KiB */

struct written { int rc; bool begun; uint64_t ns; }; /* LMDB's code; begun: it is the commit's own, and not that of a put before it; how long it took */

struct db_committer {
	pthread_t thread;
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	const struct behind *job, *behind; /* NULL: nothing to do; nothing is written out */
	bool stop, done;            /* done: written tells how it went; read without the lock, too */
	struct written written;
	int fd;                     /* readable from then on */
};

/* --- in memory ------------------------------------------------------------------------------------------------- */

struct db_layers db_layers_of(const struct db_txn *txn, int table)
{
	const struct db *db = txn->db;
	struct db_layers layers = { .n = 0 };

	if (db_is_behind(txn, table)) {
		layers.items[layers.n++] = db->behind;
		if (db->settling != NULL)
			layers.items[layers.n++] = db->settling;
		return layers;
	}
	if (txn->staged && db->stage != NULL)
		layers.items[layers.n++] = db->stage;
	if (db->flight != NULL)
		layers.items[layers.n++] = db->flight;
	return layers;
}

struct behind *db_target_of(const struct db_txn *txn, int table)
{
	return db_is_behind(txn, table) ? txn->db->behind : txn->staged ? txn->db->stage : NULL;
}

/* --- into the file --------------------------------------------------------------------------------------------- */

/* One cursor: LMDB then looks first at the page where it is. */
int db_write_table(MDB_txn *txn, unsigned dbi, const struct behind *from, int table)
{
	const struct behind_node *node = behind_seek(from, table, NULL, 0, false);
	MDB_cursor *cursor;
	int rc = node == NULL ? 0 : mdb_cursor_open(txn, dbi, &cursor);

	if (node == NULL || rc != 0)
		return rc;
	for (; node != NULL && rc == 0; node = node->next[0]) {
		MDB_val key = { node->key_n, (void *)(uintptr_t)behind_key(node) }, value = { node->value_n, (void *)(uintptr_t)node->value }; /* LMDB writes through neither */

		if (!node->deleted) {
			rc = mdb_cursor_put(cursor, &key, &value, 0);
		} else if (!node->fresh) {
			rc = mdb_cursor_get(cursor, &key, &value, MDB_SET);
			rc = rc == 0 ? mdb_cursor_del(cursor, 0) : rc == MDB_NOTFOUND ? 0 : rc;
		}
	}
	mdb_cursor_close(cursor);
	return rc;
}

/* behind: what is written out of the write-behind tables, or NULL. */
static struct written write_all(const struct db *db, const struct behind *stage, const struct behind *behind)
{
	struct written written = { 0 };
	MDB_txn *txn;

	written.rc = mdb_txn_begin(db->env, NULL, 0, &txn);
	if (written.rc != 0)
		return written;
	for (int table = 0; (size_t)table < db->n_tables && written.rc == 0; table++) {
		const struct behind *from = (db->behind_tables >> table & 1) == 0 ? stage : behind;

		if (from != NULL)
			written.rc = db_write_table(txn, db->tables[table], from, table);
	}
	written.begun = written.rc == 0;
	if (written.begun)
		written.rc = mdb_txn_commit(txn);
	else
		mdb_txn_abort(txn);
	return written;
}

static int outcome(struct db *db, struct written written)
{
	int error = OK;

	if (written.rc != 0)
		error = written.begun ? db_commit_error(db, written.rc) : db_code(db, written.rc);
	db->unsynced = db->unsynced || error == ERR_UNSYNCED;
	return error;
}

/* --- transactions ---------------------------------------------------------------------------------------------- */

int db_begin_staged(struct db *db, struct db_txn *txn)
{
	int rc;

	*txn = (struct db_txn){ .db = db, .write = true, .staged = true };
	if (db->unsynced)
		return txn->error = ERR_UNSYNCED;
	if (db->writer != NULL)
		return txn->error = ERR_BUSY;
	if (db->env == NULL)
		return txn->error = ERR_CLOSED;
	if (db->stage == NULL)
		db->stage = db->spare != NULL ? db->spare : behind_new(db->n_tables);
	db->spare = db->spare == db->stage ? NULL : db->spare;
	if (db->stage == NULL)
		return txn->error = ERR_NOMEM;
	rc = db->snapshot != NULL ? mdb_txn_renew(db->snapshot) : mdb_txn_begin(db->env, NULL, MDB_RDONLY, &db->snapshot);
	if (rc != 0)
		return db_remember(txn, rc);
	txn->txn = db->snapshot;
	db->writer = txn;
	return OK;
}

static void let_go(struct db_txn *txn)
{
	mdb_txn_reset(txn->db->snapshot);
	txn->txn = NULL;
	txn->db->writer = NULL;
}

void db_stage_end(struct db_txn *txn)
{
	let_go(txn);
	behind_forget(txn->db->stage);
}

int db_stage_commit(struct db_txn *txn)
{
	struct db *db = txn->db;
	int error;

	if (db->flight != NULL) {
		db_abort(txn);
		return txn->error = ERR_BUSY;
	}
	let_go(txn); /* first: the writer may use again what only this snapshot still held */
	error = outcome(db, write_all(db, db->stage, txn->settled ? db->behind : NULL));
	behind_forget(db->stage);
	if (db->behind != NULL)
		db_end_behind(txn, error == OK);
	return txn->error = error;
}

/* --- the other thread ------------------------------------------------------------------------------------------ */

static void *run(void *context)
{
	struct db *db = context;
	struct db_committer *c = db->committer;

	(void)pthread_mutex_lock(&c->mutex); /* fails only for mutexes of other kinds; so below */
	while (!c->stop) {
		const struct behind *job = c->job, *behind = c->behind;
		struct written written;
		uint64_t begin;

		if (job == NULL) {
			(void)pthread_cond_wait(&c->changed, &c->mutex);
			continue;
		}
		(void)pthread_mutex_unlock(&c->mutex);
		begin = clock_monotonic_ns();
		written = write_all(db, job, behind);
		written.ns = clock_monotonic_ns() - begin;
		(void)pthread_mutex_lock(&c->mutex);
		c->job = NULL;
		c->written = written;
		__atomic_store_n(&c->done, true, __ATOMIC_RELEASE);
		(void)eventfd_write(c->fd, 1); /* it is 0 before */
		(void)pthread_cond_broadcast(&c->changed);
	}
	(void)pthread_mutex_unlock(&c->mutex);
	return NULL;
}

static void committer_free(struct db_committer *c)
{
	(void)pthread_cond_destroy(&c->changed);
	(void)pthread_mutex_destroy(&c->mutex);
	if (c->fd >= 0)
		(void)close(c->fd); /* an eventfd */
	free(c);
}

static int start_thread(struct db *db, pthread_t *thread)
{
	pthread_attr_t attributes;
	int rc = pthread_attr_init(&attributes);

	if (rc != 0)
		return rc;
	(void)pthread_attr_setstacksize(&attributes, STACK); /* else it is as large as usual */
	rc = pthread_create(thread, &attributes, run, db);
	(void)pthread_attr_destroy(&attributes);
	return rc;
}

static int committer_new(struct db *db)
{
	struct db_committer *c = calloc(1, sizeof *c);

	if (c == NULL)
		return ERR_NOMEM;
	(void)pthread_mutex_init(&c->mutex, NULL); /* these do not fail with glibc */
	(void)pthread_cond_init(&c->changed, NULL);
	c->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	db->committer = c;
	if (c->fd >= 0 && start_thread(db, &c->thread) == 0)
		return OK;
	db->committer = NULL;
	committer_free(c);
	return ERR_NOMEM; /* a descriptor or a thread more than the system gives */
}

int db_commit_fd(struct db *db, int *ret_fd)
{
	int error = db->committer == NULL ? committer_new(db) : OK;

	*ret_fd = error == OK ? db->committer->fd : -1;
	return error;
}

bool db_may_fly(const struct db_txn *txn)
{
	return txn->staged && txn->error == OK;
}

int db_commit_begin(struct db_txn *txn)
{
	struct db *db = txn->db;
	int error = db_unusable(txn);

	if (error == OK && !db_may_fly(txn))
		error = ERR_INVALID;
	if (error == OK && db->flight != NULL)
		error = ERR_BUSY;
	if (error == OK && db->committer == NULL)
		error = committer_new(db);
	if (error == OK && txn->settled && db->settled == NULL && (db->settled = behind_new(db->n_tables)) == NULL)
		error = ERR_NOMEM;
	if (error != OK) {
		db_abort(txn);
		return txn->error = error;
	}
	let_go(txn);
	if (txn->settled) {
		db->settling = db->behind;
		db->behind = db->settled;
		db->settled = NULL;
		txn->settled = false;
	}
	if (db->behind != NULL)
		db_end_behind(txn, true);
	db->flight = db->stage;
	db->stage = NULL;
	(void)pthread_mutex_lock(&db->committer->mutex);
	db->committer->job = db->flight;
	db->committer->behind = db->settling;
	db->committer->done = false;
	(void)pthread_cond_broadcast(&db->committer->changed);
	(void)pthread_mutex_unlock(&db->committer->mutex);
	return OK;
}

bool db_commit_done(const struct db *db)
{
	return db->flight == NULL || __atomic_load_n(&db->committer->done, __ATOMIC_ACQUIRE);
}

/* The transaction that is being made reads the file as it is now, since nothing lies between any more. */
static void look_again(struct db_txn *txn)
{
	int rc;

	mdb_txn_reset(txn->txn);
	rc = mdb_txn_renew(txn->txn);
	if (rc != 0)
		(void)db_remember(txn, rc); /* the transaction remembers it */
}

int db_commit_wait(struct db *db, uint64_t *ret_ns)
{
	struct written written;
	eventfd_t count;

	*ret_ns = 0;
	if (db->flight == NULL)
		return OK;
	(void)pthread_mutex_lock(&db->committer->mutex);
	while (!db->committer->done)
		(void)pthread_cond_wait(&db->committer->changed, &db->committer->mutex);
	written = db->committer->written;
	(void)eventfd_read(db->committer->fd, &count); /* 1 */
	(void)pthread_mutex_unlock(&db->committer->mutex);
	*ret_ns = written.ns;
	behind_forget(db->flight);
	*(db->stage == NULL ? &db->stage : &db->spare) = db->flight; /* there are two: the other one is in the other place, or in neither */
	db->flight = NULL;
	if (db->settling != NULL) {
		behind_forget(db->settling);
		db->settled = db->settling;
		db->settling = NULL;
	}
	if (db->writer != NULL && db->writer->staged)
		look_again(db->writer);
	return outcome(db, written);
}

void db_forget_behind(struct db *db)
{
	if (db->behind != NULL)
		behind_forget(db->behind);
}

void db_snapshot_release(struct db *db)
{
	if (db->snapshot != NULL)
		mdb_txn_abort(db->snapshot);
	db->snapshot = NULL;
}

void db_stage_release(struct db *db)
{
	struct db_committer *c = db->committer;

	uint64_t ns;

	if (c != NULL) {
		(void)db_commit_wait(db, &ns); /* whoever wanted to know has asked */
		(void)pthread_mutex_lock(&c->mutex);
		c->stop = true;
		(void)pthread_cond_broadcast(&c->changed);
		(void)pthread_mutex_unlock(&c->mutex);
		(void)pthread_join(c->thread, NULL); /* it is ours, and ends */
		committer_free(c);
	}
	db_snapshot_release(db);
	behind_free(db->stage);
	behind_free(db->spare);
	behind_free(db->settled);
}
