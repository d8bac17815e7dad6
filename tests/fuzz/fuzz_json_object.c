/* Any text as an object of our own tools: refused with a reason, or read to members that are the same when they are written out and read again. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/json.h"

#define MEMORY_MAX ((size_t)64 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void require(int truth)
{
	if (!truth)
		abort(); /* what libFuzzer reports */
}

static int is_nested(enum json_kind kind)
{
	return kind == JSON_OBJECT || kind == JSON_ARRAY;
}

/* The nested members and the texts; numbers alone are compared within their arrays. */
static void put_members(struct buf *out, const struct json_member *members, size_t n)
{
	(void)buf_text(out, "{");
	for (size_t i = 0; i < n; i++) {
		const struct json_value *value = &members[i].value;
		(void)buf_text(out, i > 0 ? "," : "");
		(void)json_string(out, members[i].name);
		(void)buf_text(out, ":");
		if (is_nested(value->kind))
			(void)buf_add(out, value->raw, value->raw_n);
		else if (value->kind == JSON_STRING)
			(void)json_string(out, value->text);
		else
			(void)buf_text(out, "null");
	}
	(void)buf_text(out, "}");
	require(out->error == 0);
}

static void same_again(const struct json_member *members, size_t n, struct arena *arena)
{
	struct json_member *back;
	struct buf text, again;
	size_t n_back;
	buf_init(&text);
	buf_init(&again);
	put_members(&text, members, n);
	require(json_object_read((const char *)text.bytes, text.n, arena, &back, &n_back, NULL) == 0);
	put_members(&again, back, n_back);
	require(n == n_back && text.n == again.n && memcmp(text.bytes, again.bytes, text.n) == 0);
	buf_release(&text);
	buf_release(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct json_member *members;
	struct arena arena;
	struct err err = {0};
	size_t count;
	arena_init(&arena, MEMORY_MAX);
	int error = json_object_read((const char *)bytes, n, &arena, &members, &count, &err);
	require(error == 0 || (error == err.code && err.text[0] != '\0'));
	if (error == 0) {
		for (size_t i = 0; i < count; i++)
			if (is_nested(members[i].value.kind))
				require(strlen(members[i].value.raw) == members[i].value.raw_n);
		same_again(members, count, &arena);
	}
	arena_release(&arena);
	return 0;
}
