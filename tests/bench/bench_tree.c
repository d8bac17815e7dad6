/* What the hash tree costs a turn: records appended and committed with the tree, without writing its nodes, and the hashing of nodes alone.
 * usage: bench_tree [RECORDS]; a store with real syncs in a temporary folder (TMPDIR). One line per figure: name, value, unit. */
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "broker/config.h"
#include "broker/core_internal.h"

#define BODY 512
#define START INT64_C(1801558800000) /* 2027-02-02T09:00:00+01:00 */

static struct broker_config *config;
static uint8_t master[KEY_SIZE];
static char dir[256];

static double seconds(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts); /* cannot fail */
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void need(int rc, const char *what)
{
	if (rc == OK)
		return;
	fprintf(stderr, "bench_tree: %s: %s\n", what, err_text(rc));
	exit(1);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static struct core *make_core(void)
{
	struct core_options options = { .size_max = (size_t)16 << 30, .reserve = (size_t)1 << 20, .master_key = master };
	struct err err = { 0 };
	char store[300], keys[300];
	struct core *core;

	(void)snprintf(dir, sizeof dir, "%s/reentry-bench-XXXXXX", getenv("TMPDIR") && strlen(getenv("TMPDIR")) < 200 ? getenv("TMPDIR") : "/tmp"); /* lint: getenv, because the bench may need another disk */
	if (!mkdtemp(dir))
		need(ERR_IO, "a temporary folder");
	(void)snprintf(store, sizeof store, "%s/store", dir); /* both are shorter than their room */
	(void)snprintf(keys, sizeof keys, "%s/keys", dir);
	options.dir = store;
	options.keys_dir = keys;
	if (core_open(&options, &config->policy, config->policy_text, &core, &err)) {
		fprintf(stderr, "bench_tree: %s\n", err.text);
		exit(1);
	}
	return core;
}

/* Events a second. nodes: whether those of the tree are written. */
static double appended(size_t records, size_t turn, bool nodes)
{
	static uint8_t body[BODY];
	struct core *core = make_core();
	double begin = seconds();

	for (size_t i = 0; i < records;) {
		need(core_begin(core, START + (moment)i), "begin");
		for (size_t k = 0; k < turn && i < records; k++, i++) {
			Reentry__Header header = REENTRY__HEADER__INIT;
			char agency[] = "pi-utrecht", subject[] = "C-2027-000001";

			header.has_kind = true;
			header.kind = REENTRY__RECORD_KIND__VALUE__ADMIN;
			header.agency = agency;
			header.subject = subject;
			need(log_append(core, &header, body, sizeof body), "append");
		}
		for (unsigned t = 0; !nodes && t < TREE_TIERS; t++)
			core->tiers[t].n = 0;
		need(core_commit(core), "commit");
	}
	begin = seconds() - begin;
	core_close(core);
	(void)nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS); /* best effort: a temporary folder */
	return (double)records / begin;
}

static double hashed(size_t records)
{
	struct tree_node made[TREE_LEVELS + 1];
	uint8_t leaf[HASH_SIZE] = { 1 };
	struct tree tree;
	double begin = seconds();

	tree_init(&tree);
	for (size_t i = 0; i < records; i++)
		(void)tree_append(&tree, leaf, made); /* full at 2^62 */
	return (double)records / (seconds() - begin);
}

int main(int argc, char **argv)
{
	static const size_t turns[] = { 256, 1024 };
	size_t records = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000000;
	struct err err = { 0 };

	if (crypt_init() || broker_config_load("config/example/broker.cfg", &config, &err)) {
		fprintf(stderr, "bench_tree: %s\n", err.text);
		return 1;
	}
	crypt_random(master, sizeof master);
	for (size_t i = 0; i < sizeof turns / sizeof *turns; i++) {
		printf("turns of %4zu: appended with the tree          %10.0f /s\n", turns[i], appended(records, turns[i], true));
		printf("turns of %4zu: its nodes hashed, not written   %10.0f /s\n", turns[i], appended(records, turns[i], false));
	}
	printf("nodes of the tree, hashed alone                %10.0f /s\n", hashed(records));
	broker_config_free(config);
	return 0;
}
