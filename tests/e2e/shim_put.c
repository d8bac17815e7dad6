/* LD_PRELOAD: while the file PUT_FAILS_WHILE exists, each PUT_FAILS_EVERY-th mdb_put or mdb_cursor_put of the process fails with PUT_FAILS_CODE (an errno, or a code of LMDB's)
 * and does nothing, as it would on a machine that is short of memory or room now and then. */
#include <dlfcn.h>
#include <lmdb.h>
#include <stdlib.h>
#include <unistd.h>

/* 0, or what this call fails with. Two threads at most put at one time. */
static int failure(void)
{
	static unsigned long n;
	const char *path = getenv("PUT_FAILS_WHILE"), *every = getenv("PUT_FAILS_EVERY"), *code = getenv("PUT_FAILS_CODE");

	if (path && every && code && access(path, F_OK) == 0 && __atomic_add_fetch(&n, 1, __ATOMIC_RELAXED) % strtoul(every, NULL, 10) == 0)
		return (int)strtol(code, NULL, 10);
	return 0;
}

int mdb_put(MDB_txn *txn, MDB_dbi dbi, MDB_val *key, MDB_val *data, unsigned int flags)
{
	static int (*next)(MDB_txn *, MDB_dbi, MDB_val *, MDB_val *, unsigned int);
	const int rc = failure();

	if (!next)
		*(void **)&next = dlsym(RTLD_NEXT, "mdb_put");
	return rc ? rc : next(txn, dbi, key, data, flags);
}

int mdb_cursor_put(MDB_cursor *cursor, MDB_val *key, MDB_val *data, unsigned int flags)
{
	static int (*next)(MDB_cursor *, MDB_val *, MDB_val *, unsigned int);
	const int rc = failure();

	if (!next)
		*(void **)&next = dlsym(RTLD_NEXT, "mdb_cursor_put");
	return rc ? rc : next(cursor, key, data, flags);
}
