/* Any text as a configuration: refused with file, reason and code, or read; and what was read prints, with comments and without, to texts that read back the same. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/conf_table.h"

#define MEMORY_MAX ((size_t)64 << 20)
#define NAME "fuzz.cfg:"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);
const char *__lsan_default_suppressions(void);

/* libconfig 1.5 loses the text it has just read when its parser gives up: a few bytes for each file that is refused so. */
const char *__lsan_default_suppressions(void)
{
	return "leak:libconfig.so\n";
}

static void require(int truth)
{
	if (!truth)
		abort(); /* what libFuzzer reports */
}

static char *text_of(struct arena *arena, const struct conf_table *table)
{
	char *text = NULL;

	require(conf_text(arena, conf_table_rows, table, &text) == OK);
	return text;
}

static char *print_of(struct arena *arena, const struct conf_table *table)
{
	char *memory = NULL, *text;
	size_t n = 0;
	FILE *file = open_memstream(&memory, &n);

	require(file != NULL);
	require(conf_print(file, conf_table_rows, table) == OK);
	require(fclose(file) == 0);
	text = arena_strdup(arena, memory);
	require(text != NULL);
	free(memory);
	return text;
}

static void same_again(struct arena *arena, const char *text, const char *expected)
{
	struct conf_table back = { 0 };

	require(conf_parse(text, "again.cfg", "/elsewhere", conf_table_rows, &back, arena, NULL) == OK);
	require(strcmp(text_of(arena, &back), expected) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct conf_table table = { 0 };
	struct arena arena;
	struct err err = { 0 };
	char *text, *effective;
	int error;

	arena_init(&arena, MEMORY_MAX);
	text = arena_alloc(&arena, n + 1); /* ends with NUL; a NUL within ends it earlier */
	if (!text)
		return 0;
	if (n)
		memcpy(text, bytes, n);
	error = conf_parse(text, "fuzz.cfg", "/etc/reentry", conf_table_rows, &table, &arena, &err);
	if (error) {
		require(error == err.code && error < 0);
		require(strncmp(err.text, NAME, strlen(NAME)) == 0 && err.text[strlen(NAME)] != '\0');
	} else {
		effective = text_of(&arena, &table);
		same_again(&arena, effective, effective);
		same_again(&arena, print_of(&arena, &table), effective);
	}
	arena_release(&arena);
	return 0;
}
