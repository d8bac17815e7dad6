/* Syncs, LMDB, hashing, starting a program: with the libraries' own functions, so that nothing of ours slows the limit down. */
#include <fcntl.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/crypt.h"
#include "tests/bench/limits.h"

#define PAGE 4096
#define SYNCS 300
#define RECORD 600
#define COMMITS_ONE 300
#define BATCHED 65536                /* records of a round with batches … */
#define ROUND_US 1e6                 /* … or as many as it takes until then */
#define HASHES 100000
#define STARTS 9

static double syncs(const char *folder, bool prewritten)
{
	static const uint8_t page[PAGE] = { 1 };
	struct samples samples = { 0 };
	char path[FOLDER_SIZE + 16];
	double p50;
	int fd;

	(void)snprintf(path, sizeof path, "%s/syncs", folder); /* fits */
	fd = open(path, O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0)
		stop("%s cannot be made", path);
	for (int i = 0; prewritten && i < SYNCS; i++)
		if (write(fd, page, PAGE) != PAGE)
			stop("%s cannot be written", path);
	if (fsync(fd) || lseek(fd, 0, SEEK_SET))
		stop("%s cannot be synced", path);
	for (int i = 0; i < SYNCS; i++) {
		const double begin = now_us();

		if (write(fd, page, PAGE) != PAGE || fdatasync(fd))
			stop("%s cannot be written", path);
		samples_add(&samples, now_us() - begin);
	}
	(void)close(fd); /* read by nobody */
	(void)unlink(path);
	p50 = samples_at(&samples, 0.5);
	samples_release(&samples);
	return p50;
}

static void lmdb(int rc, const char *what)
{
	if (rc)
		stop("LMDB: %s: %s", what, mdb_strerror(rc));
}

/* Records with growing keys, `batch` in a commit. commits: how long each took. */
static double put_records(MDB_env *env, uint64_t *next, size_t batch, size_t records, struct samples *commits)
{
	static const uint8_t record[RECORD] = { 1 };
	const double begin = now_us();
	size_t done = 0;

	while (done < records && now_us() - begin < ROUND_US) {
		const double start = now_us();
		MDB_txn *txn;
		MDB_dbi dbi;

		lmdb(mdb_txn_begin(env, NULL, 0, &txn), "begin");
		lmdb(mdb_dbi_open(txn, NULL, 0, &dbi), "open");
		for (size_t k = 0; k < batch && done < records; k++, done++) {
			uint8_t key[8];
			MDB_val key_value = { sizeof key, key }, value = { sizeof record, (void *)(uintptr_t)record };

			++*next;
			for (int i = 0; i < 8; i++)
				key[i] = (uint8_t)(*next >> (56 - 8 * i));
			lmdb(mdb_put(txn, dbi, &key_value, &value, MDB_APPEND), "put");
		}
		lmdb(mdb_txn_commit(txn), "commit");
		samples_add(commits, now_us() - start);
	}
	return (double)done / (now_us() - begin) * 1e6;
}

static void limits_lmdb(struct table *table, const char *folder)
{
	static const struct { size_t batch; const char *name; } batches[] = { { 64, L_LMDB_64 }, { 256, L_LMDB_256 }, { 1024, L_LMDB_1024 } };
	struct samples commits = { 0 };
	char path[FOLDER_SIZE + 16];
	uint64_t next = 0;
	MDB_env *env;

	(void)snprintf(path, sizeof path, "%s/lmdb", folder); /* fits */
	lmdb(mdb_env_create(&env), "create");
	lmdb(mdb_env_set_mapsize(env, (size_t)4 << 30), "map");
	lmdb(mdb_env_open(env, path, MDB_NOSUBDIR, 0600), "open");
	(void)put_records(env, &next, 1, COMMITS_ONE, &commits); /* each is timed alone */
	table_note(table, LIMITS, L_COMMIT_1, "µs", samples_at(&commits, 0.5));
	for (size_t i = 0; i < sizeof batches / sizeof *batches; i++)
		table_note(table, LIMITS, batches[i].name, "/s", put_records(env, &next, batches[i].batch, BATCHED, &commits));
	samples_release(&commits);
	mdb_env_close(env);
	(void)unlink(path);
	(void)strcat(path, "-lock");
	(void)unlink(path); /* both go with the folder anyway */
}

void limits_disk(struct table *table, const char *folder)
{
	table_note(table, LIMITS, L_APPEND, "µs", syncs(folder, false));
	table_note(table, LIMITS, L_PREWRITTEN, "µs", syncs(folder, true));
	limits_lmdb(table, folder);
}

static double start_once(const char *program)
{
	const double begin = now_us();
	const pid_t pid = fork();
	int status;

	if (pid == 0) {
		const int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

		if (null >= 0 && dup2(null, STDOUT_FILENO) == STDOUT_FILENO)
			(void)execl(program, program, "--version", (char *)NULL); /* returns only when it failed */
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
		stop("%s does not start", program);
	return (now_us() - begin) / 1000;
}

void limits_cpu(struct table *table, const char *program)
{
	static uint8_t bytes[512];
	uint8_t hash[HASH_SIZE];
	struct samples starts = { 0 };
	const double begin = now_us();

	for (int i = 0; i < HASHES; i++) {
		crypt_sha256(bytes, sizeof bytes, hash);
		bytes[i % 512] ^= hash[0]; /* so that the loop is needed */
	}
	table_note(table, LIMITS, L_SHA256, "µs", (now_us() - begin) / HASHES);
	for (int i = 0; i < STARTS; i++)
		samples_add(&starts, start_once(program));
	table_note(table, LIMITS, L_EXEC, "ms", samples_at(&starts, 0.5));
	samples_release(&starts);
}
