/* Proves that the command says of a bundle and of a store what is true, with the exit status that scripts rely on: 0 holds, 1 does not or cannot be read, 2 wrong usage. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "broker/core_prove.h"
#include "cli/proofs.h"
#include "lib/db.h"
#include "tests/unit/core_place.h"

static struct cli cli;

/* Runs the command on these arguments; what it printed on both streams is in place->arena. */
static int run(struct core_place *place, char **ret_output, ...)
{
	char *argv[16] = { arena_strdup(&place->arena, "verify") }, path[100];
	int argc = 1, kept[2] = { dup(1), dup(2) }, fd, status;
	va_list arguments;
	struct buf output;

	va_start(arguments, ret_output);
	while (argc < 15 && (argv[argc] = arena_strdup(&place->arena, va_arg(arguments, const char *))))
		argc++;
	va_end(arguments);
	(void)snprintf(path, sizeof path, "%s/output", place->root); /* root is shorter */
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0 && fflush(stdout) == 0 && dup2(fd, 1) == 1 && dup2(fd, 2) == 2);
	status = verify_main(&cli, argc, argv);
	assert_true(fflush(stdout) == 0 && dup2(kept[0], 1) == 1 && dup2(kept[1], 2) == 2);
	assert_true(close(fd) == 0 && close(kept[0]) == 0 && close(kept[1]) == 0);
	buf_init(&output);
	assert_int_equal(buf_read_file(&output, path, (size_t)1 << 20), OK);
	*ret_output = arena_printf(&place->arena, "%s", output.n ? (const char *)output.bytes : "");
	buf_release(&output);
	return status;
}

static const char *in_root(struct core_place *place, const char *name)
{
	return arena_printf(&place->arena, "%s/%s", place->root, name);
}

/* A core whose signing key and master key lie in files, as those of a broker do. */
static int make_place(void **state)
{
	struct core_place *place;
	struct key_pair pair;

	if (core_place_make(state))
		return -1;
	place = *state;
	place_close(place);
	if (key_generate(place->root, "log", &place->err) || key_generate(place->root, "other", &place->err) || key_read_secret(in_root(place, "log.key"), &pair, &place->err) ||
	    key_read_or_make_raw(place->config->file.broker.master_key, place->master, &place->err))
		return -1;
	memcpy(place->signing, pair.sign_seed, KEY_SIZE);
	assert_int_equal(rename(place->dir, in_root(place, "unused")), 0);
	assert_int_equal(rename(place->keys, in_root(place, "unused-keys")), 0);
	(void)snprintf(place->dir, sizeof place->dir, "%s", place->config->file.broker.store); /* both are shorter than their room */
	(void)snprintf(place->keys, sizeof place->keys, "%s-keys", place->config->file.broker.store);
	place_open(place);
	memset(&cli, 0, sizeof cli);
	arena_init(&cli.shown, 0);
	clock_system(&cli.clock);
	cli.usage = "verify";
	return 0;
}

static int remove_place(void **state)
{
	arena_release(&cli.shown);
	return core_place_remove(state);
}

static bool everything(void *context, const struct core_record *record)
{
	(void)context;
	(void)record;
	return true;
}

static const char *make_bundle(struct core_place *place, bool broken)
{
	struct prove_options options = { .subject = "C-1", .may = everything };
	const char *path = in_root(place, broken ? "broken.jsonl" : "bundle.jsonl"), *note;
	struct buf out;
	FILE *file;

	buf_init(&out);
	place_begin(place);
	assert_int_equal(core_checkpoint(place->core, &place->arena, &note), OK);
	place_commit(place);
	assert_int_equal(core_prove(place->core, &options, &place->arena, &out, &place->err), OK);
	out.bytes[out.n / 2] ^= broken;
	file = fopen(path, "w");
	assert_non_null(file);
	assert_int_equal(fwrite(out.bytes, 1, out.n, file), out.n);
	assert_int_equal(fclose(file), 0);
	buf_release(&out);
	return path;
}

static void a_bundle_is_judged(void **state)
{
	struct core_place *place = *state;
	const char *bundle, *broken, *key = in_root(place, "log.pub"), *other = in_root(place, "other.pub");
	char *out;

	place_case(place, "C-1");
	bundle = make_bundle(place, false);
	broken = make_bundle(place, true);
	assert_int_equal(run(place, &out, bundle, "--key", key, NULL), DONE);
	assert_non_null(strstr(out, "holds: "));
	assert_non_null(strstr(out, "of case C-1"));
	assert_int_equal(run(place, &out, bundle, "--key", key, "--show", NULL), DONE);
	assert_non_null(strstr(out, "gm-a"));
	assert_int_equal(run(place, &out, bundle, "--key", other, NULL), FAILED);
	assert_non_null(strstr(out, "does not hold"));
	assert_int_equal(run(place, &out, bundle, "--key", key, "--witness", other, NULL), FAILED);
	assert_non_null(strstr(out, "is not cosigned by the witness of"));
	assert_int_equal(run(place, &out, broken, "--key", key, NULL), FAILED);
	assert_non_null(strstr(out, "does not hold"));
	assert_int_equal(run(place, &out, in_root(place, "none"), "--key", key, NULL), FAILED);
	assert_int_equal(run(place, &out, bundle, NULL), USAGE);
	assert_int_equal(run(place, &out, NULL), USAGE);
	cli.json = true;
	assert_int_equal(run(place, &out, bundle, "--key", key, NULL), DONE);
	assert_non_null(strstr(out, "\"kind\":\"EVENT\",\"by\":\"pi-a\",\"to\":[\"gm-a\"],\"event\":{\"specversion\":\"1.0\""));
	assert_non_null(strstr(out, "{\"verified\":true,\"case\":\"C-1\""));
}

static void a_store_is_judged(void **state)
{
	struct core_place *place = *state;
	static const char *const log_only[] = { "log", NULL };
	struct db_options options = { .size_max = place->size_max, .volatile_store = true, .tables = log_only };
	const char *key = in_root(place, "log.pub");
	uint8_t at[DB_KEY_MAX];
	struct db_txn txn;
	struct db *db;
	char *out;

	place_case(place, "C-1");
	(void)make_bundle(place, false);
	assert_int_equal(run(place, &out, "--log", NULL), USAGE); /* whose? */
	cli.config = in_root(place, "broker.cfg");
	assert_int_equal(run(place, &out, "--log", "--key", key, NULL), FAILED); /* in use */
	place_close(place);
	assert_int_equal(run(place, &out, "--log", "--key", key, NULL), DONE);
	assert_non_null(strstr(out, "holds: "));
	assert_null(strstr(out, "were not"));
	assert_int_equal(run(place, &out, "--log", NULL), DONE);
	assert_non_null(strstr(out, "the signatures of the checkpoints were not verified"));
	assert_int_equal(run(place, &out, "--log", "--key", in_root(place, "other.pub"), NULL), FAILED);
	assert_non_null(strstr(out, "is not signed by the key of this log"));
	assert_int_equal(db_open(place->dir, &options, &db, &place->err), OK);
	assert_int_equal(db_begin(db, &txn), OK);
	assert_int_equal(db_del(&txn, 0, at, db_key(at, "q", UINT64_C(2))), OK);
	assert_int_equal(db_commit(&txn), OK);
	db_close(db);
	assert_int_equal(run(place, &out, "--log", "--key", key, NULL), FAILED);
	assert_non_null(strstr(out, "the records 2 to 2 are missing"));
	assert_int_equal(run(place, &out, "--log", "--store", in_root(place, "nowhere"), NULL), FAILED);
	place_open(place);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_bundle_is_judged, make_place, remove_place),
		cmocka_unit_test_setup_teardown(a_store_is_judged, make_place, remove_place),
	};

	if (crypt_init())
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
