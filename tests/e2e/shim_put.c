/* LD_PRELOAD: while the file PUT_FAILS_WHILE exists, each PUT_FAILS_EVERY-th mdb_put of the process fails with PUT_FAILS_CODE (an errno, or a code of LMDB's) and
 * does nothing, as it would on a machine that is short of memory or room now and then. */
#include <dlfcn.h>
#include <lmdb.h>
#include <stdlib.h>
#include <unistd.h>

int mdb_put(MDB_txn *txn, MDB_dbi dbi, MDB_val *key, MDB_val *data, unsigned int flags)
{
	static int (*next)(MDB_txn *, MDB_dbi, MDB_val *, MDB_val *, unsigned int);
	static unsigned long n;
	const char *path = getenv("PUT_FAILS_WHILE"), *every = getenv("PUT_FAILS_EVERY"), *code = getenv("PUT_FAILS_CODE");

	if (!next)
		*(void **)&next = dlsym(RTLD_NEXT, "mdb_put");
	if (path && every && code && access(path, F_OK) == 0 && ++n % strtoul(every, NULL, 10) == 0)
		return (int)strtol(code, NULL, 10);
	return next(txn, dbi, key, data, flags);
}
