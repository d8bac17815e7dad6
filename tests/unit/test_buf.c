/* Proves that a buffer keeps every byte it is given and a NUL behind them, that an append that cannot be made is remembered and harms nothing, that a file is read whole or refused, and
 * that messages for people are one line of the right length whatever is formatted into them (err). */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/err.h"

static struct buf buf;
static char folder[64];

static int set_up(void **state)
{
	(void)state;
	buf_init(&buf);
	(void)snprintf(folder, sizeof folder, "/tmp/test_buf.XXXXXX");
	return mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state)
{
	char path[96];

	(void)state;
	buf_release(&buf);
	(void)snprintf(path, sizeof path, "%s/file", folder);
	(void)unlink(path); /* not every test makes it */
	return rmdir(folder);
}

static const char *write_file(const void *bytes, size_t n)
{
	static char path[96];
	FILE *file;

	(void)snprintf(path, sizeof path, "%s/file", folder);
	file = fopen(path, "w");
	assert_non_null(file);
	assert_int_equal(fwrite(bytes, 1, n, file), n);
	assert_int_equal(fclose(file), 0);
	return path;
}

/* --- bytes ----------------------------------------------------------------------------------------------------- */

static void bytes_are_kept_with_a_nul_behind(void **state)
{
	size_t n = 0;

	(void)state;
	for (size_t i = 0; i < 2000; i++) {
		uint8_t piece[7] = { 0 };

		memset(piece, (int)(i % 256), i % 8);
		assert_int_equal(buf_add(&buf, piece, i % 8), OK);
		n += i % 8;
		assert_int_equal(buf.n, n);
		assert_int_equal(buf.bytes[n], 0);
	}
	n = 0;
	for (size_t i = 0; i < 2000; i++)
		for (size_t k = 0; k < i % 8; k++)
			assert_int_equal(buf.bytes[n++], i % 256);
}

static void text_is_a_string(void **state)
{
	(void)state;
	assert_int_equal(buf_text(&buf, ""), OK);
	assert_string_equal((char *)buf.bytes, ""); /* also while empty */
	assert_int_equal(buf_text(&buf, "gm"), OK);
	assert_int_equal(buf_printf(&buf, "%04d %s", 344, "Utrecht"), OK);
	assert_string_equal((char *)buf.bytes, "gm0344 Utrecht");
	assert_int_equal(buf_printf(&buf, "%300000d", 1), OK);
	assert_int_equal(buf.n, 14 + 300000);
	assert_int_equal(strlen((char *)buf.bytes), buf.n);
}

static void clearing_keeps_the_memory(void **state)
{
	uint8_t *bytes;
	size_t room;

	(void)state;
	buf_clear(&buf); /* of one that never grew */
	assert_int_equal(buf_printf(&buf, "%1000d", 1), OK);
	bytes = buf.bytes;
	room = buf.room;
	buf_clear(&buf);
	assert_int_equal(buf.n, 0);
	assert_string_equal((char *)buf.bytes, "");
	assert_int_equal(buf_printf(&buf, "%1000d", 1), OK);
	assert_ptr_equal(buf.bytes, bytes);
	assert_int_equal(buf.room, room);
}

static void room_that_is_reserved_is_not_moved(void **state)
{
	uint8_t *bytes;

	(void)state;
	assert_int_equal(buf_reserve(&buf, 5000), OK);
	bytes = buf.bytes;
	for (int i = 0; i < 5000; i++)
		assert_int_equal(buf_add(&buf, "x", 1), OK);
	assert_ptr_equal(buf.bytes, bytes);
}

static void a_failed_append_is_remembered(void **state)
{
	(void)state;
	assert_int_equal(buf_text(&buf, "before"), OK);
	assert_int_equal(buf_reserve(&buf, SIZE_MAX), ERR_NOMEM);
	assert_int_equal(buf_add(&buf, "x", SIZE_MAX - 4), ERR_NOMEM); /* looked at before it is read */
	assert_int_equal(buf_text(&buf, "after"), ERR_NOMEM);
	assert_int_equal(buf_printf(&buf, "%d", 1), ERR_NOMEM);
	assert_int_equal(buf.error, ERR_NOMEM);
	assert_string_equal((char *)buf.bytes, "before");
	buf_clear(&buf);
	assert_int_equal(buf_text(&buf, "again"), OK);
}

static void memory_can_be_taken(void **state)
{
	uint8_t *bytes;
	size_t n;

	(void)state;
	assert_int_equal(buf_add(&buf, "a\0b", 3), OK);
	bytes = buf_take(&buf, &n);
	assert_int_equal(n, 3);
	assert_memory_equal(bytes, "a\0b", 4);
	assert_null(buf.bytes);
	assert_int_equal(buf_text(&buf, "other"), OK);
	assert_memory_equal(bytes, "a\0b", 4);
	free(bytes);
	buf_release(&buf);
	assert_null(buf_take(&buf, NULL));
}

/* --- files ----------------------------------------------------------------------------------------------------- */

static void a_file_is_read_whole(void **state)
{
	static uint8_t bytes[70000];
	const size_t sizes[] = { 0, 1, 255, 256, 4095, 4096, 4097, sizeof bytes };

	(void)state;
	for (size_t i = 0; i < sizeof bytes; i++)
		bytes[i] = (uint8_t)(i * 31);
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		buf_clear(&buf);
		assert_int_equal(buf_read_file(&buf, write_file(bytes, sizes[i]), sizes[i]), OK);
		assert_int_equal(buf.n, sizes[i]);
		assert_memory_equal(buf.bytes, bytes, sizes[i]);
		assert_int_equal(buf.bytes[buf.n], 0);
	}
}

static void a_file_that_is_too_large_is_refused(void **state)
{
	static uint8_t bytes[9000];

	(void)state;
	assert_int_equal(buf_read_file(&buf, write_file(bytes, sizeof bytes), sizeof bytes - 1), ERR_TOOBIG);
	buf_clear(&buf);
	assert_int_equal(buf_read_file(&buf, "/dev/zero", 100000), ERR_TOOBIG); /* one without end */
	assert_true(buf.n < 1000000);
}

static void what_is_no_file_is_refused(void **state)
{
	char path[96];

	(void)state;
	(void)snprintf(path, sizeof path, "%s/none", folder);
	assert_int_equal(buf_read_file(&buf, path, 10), ERR_NOTFOUND);
	assert_int_equal(buf_read_file(&buf, folder, 10), ERR_IO);
	assert_int_equal(errno, EISDIR); /* the reason is left for the caller's message */
}

/* --- messages (err) ---------------------------------------------------------------------------------------------- */

static void messages_are_one_line(void **state)
{
	struct err err;

	(void)state;
	assert_int_equal(err_set(&err, ERR_INVALID, "key \"%s\"", "a\nb\tc\x1b[31m\x7f"), ERR_INVALID);
	assert_int_equal(err.code, ERR_INVALID);
	assert_string_equal(err.text, "key \"a b c [31m \"");
	assert_int_equal(err_prefix(&err, "file\n%d", 3), ERR_INVALID);
	assert_string_equal(err.text, "file 3: key \"a b c [31m \"");
	errno = ENOSPC;
	assert_int_equal(err_errno(&err, ERR_FULL, "cannot write %s", "log"), ERR_FULL);
	assert_string_equal(err.text, "cannot write log: No space left on device");
}

static void messages_are_cut_not_overrun(void **state)
{
	struct { struct err err; char after[8]; } guarded = { .after = "intact" };

	(void)state;
	assert_int_equal(err_set(&guarded.err, ERR_IO, "%5000d", 1), ERR_IO);
	assert_int_equal(strlen(guarded.err.text), sizeof guarded.err.text - 1);
	errno = EIO;
	assert_int_equal(err_errno(&guarded.err, ERR_IO, "%5000d", 1), ERR_IO);
	assert_int_equal(err_prefix(&guarded.err, "%5000d", 1), ERR_IO);
	assert_true(strlen(guarded.err.text) < sizeof guarded.err.text);
	assert_string_equal(guarded.after, "intact");
}

static void nobody_needs_a_message(void **state)
{
	(void)state;
	assert_int_equal(err_set(NULL, ERR_BUSY, "%s", "x"), ERR_BUSY);
	assert_int_equal(err_errno(NULL, ERR_IO, "%s", "x"), ERR_IO);
	assert_true(err_prefix(NULL, "%s", "x") < 0);
}

static void every_code_has_its_words(void **state)
{
	(void)state;
	assert_string_equal(err_text(OK), "ok");
	for (int code = OK; code >= ERR_UNSYNCED; code--) {
		assert_non_null(err_text(code));
		assert_string_not_equal(err_text(code), "unknown error");
		for (int other = OK; other > code; other--)
			assert_string_not_equal(err_text(code), err_text(other));
	}
	assert_string_equal(err_text(ERR_UNSYNCED - 1), "unknown error");
	assert_string_equal(err_text(1), "unknown error");
	assert_string_equal(err_text(INT32_MIN), "unknown error");
	assert_string_equal(err_text(INT32_MAX), "unknown error");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(bytes_are_kept_with_a_nul_behind), TEST(text_is_a_string), TEST(clearing_keeps_the_memory), TEST(room_that_is_reserved_is_not_moved),
		TEST(a_failed_append_is_remembered), TEST(memory_can_be_taken), TEST(a_file_is_read_whole), TEST(a_file_that_is_too_large_is_refused),
		TEST(what_is_no_file_is_refused), TEST(messages_are_one_line), TEST(messages_are_cut_not_overrun), TEST(nobody_needs_a_message),
		TEST(every_code_has_its_words),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
