#include "lib/arena.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ALIGN ((size_t)16)
#define BLOCK_MIN ((size_t)16 << 10) /* bytes of the first block; later ones double up to BLOCK_MAX */
#define BLOCK_MAX ((size_t)1 << 20)

struct arena_block {
	struct arena_block *next;
	size_t room, used;
	_Alignas(16) unsigned char bytes[];
};

/* Before each array made by arena_push. The address in it tells our arrays from others: content that somebody
 * sent can imitate any value but not where it will lie. */
struct push_header {
	uintptr_t self;
	size_t capacity;
};

void arena_init(struct arena *arena, size_t max)
{
	*arena = (struct arena){ .max = max ? max : ARENA_MAX };
}

void arena_release(struct arena *arena)
{
	for (struct arena_block *block = arena->first, *next; block; block = next) {
		next = block->next;
		free(block);
	}
	arena->first = arena->current = NULL;
	arena->used = 0;
}

/* Memory is handed out zeroed: what was used is cleared here, once, instead of at each allocation. */
void arena_reset(struct arena *arena)
{
	struct arena_block *first = arena->first;

	if (!first)
		return;
	for (struct arena_block *block = first->next, *next; block; block = next) {
		next = block->next;
		free(block);
	}
	memset(first->bytes, 0, first->used);
	first->next = NULL;
	first->used = 0;
	arena->current = first;
	arena->used = 0;
}

static struct arena_block *block_add(struct arena *arena, size_t size)
{
	size_t room = arena->current ? arena->current->room * 2 : BLOCK_MIN;
	struct arena_block *block;

	if (room > BLOCK_MAX)
		room = BLOCK_MAX;
	if (room < size)
		room = size;
	block = calloc(1, sizeof *block + room);
	if (!block)
		return NULL;
	block->room = room;
	if (arena->current)
		arena->current->next = block;
	else
		arena->first = block;
	arena->current = block;
	return block;
}

void *arena_alloc(struct arena *arena, size_t size)
{
	size_t rounded = (size + ALIGN - 1) & ~(ALIGN - 1);
	struct arena_block *block = arena->current;
	void *bytes;

	if (rounded < size || rounded > arena->max || arena->used > arena->max - rounded)
		return NULL;
	if (rounded == 0)
		rounded = ALIGN;
	if (!block || block->room - block->used < rounded)
		block = block_add(arena, rounded);
	if (!block)
		return NULL;
	bytes = block->bytes + block->used;
	block->used += rounded;
	arena->used += rounded;
	return bytes;
}

void *arena_dup(struct arena *arena, const void *bytes, size_t size)
{
	void *copy = arena_alloc(arena, size);

	if (copy && size)
		memcpy(copy, bytes, size);
	return copy;
}

char *arena_strdup(struct arena *arena, const char *text)
{
	return text ? arena_dup(arena, text, strlen(text) + 1) : NULL;
}

char *arena_printf(struct arena *arena, const char *format, ...)
{
	va_list args;
	char *text;
	int n;

	va_start(args, format);
	n = vsnprintf(NULL, 0, format, args);
	va_end(args);
	text = n < 0 ? NULL : arena_alloc(arena, (size_t)n + 1);
	if (!text)
		return NULL;
	va_start(args, format);
	(void)vsnprintf(text, (size_t)n + 1, format, args); /* measured above */
	va_end(args);
	return text;
}

/* Only in memory of ours may the bytes before an array be looked at. Newest block first: that is where it mostly is. */
static bool is_inside(const struct arena *arena, const void *array)
{
	uintptr_t at = (uintptr_t)array;
	const struct arena_block *block = arena->current;

	if (block && at >= (uintptr_t)block->bytes && at < (uintptr_t)block->bytes + block->used)
		return true;
	for (block = arena->first; block; block = block->next)
		if (at >= (uintptr_t)block->bytes && at < (uintptr_t)block->bytes + block->used)
			return true;
	return false;
}

void *arena_push(struct arena *arena, void *items, size_t *n, size_t size)
{
	void *array;
	struct push_header *header = NULL;
	size_t capacity;

	memcpy(&array, items, sizeof array); /* items is the address of a pointer to whatever type */
	if (array && is_inside(arena, array)) {
		header = (struct push_header *)(void *)((unsigned char *)array - sizeof *header);
		if (header->self != (uintptr_t)array)
			header = NULL;
	}
	if (!header || *n >= header->capacity) {
		for (capacity = 4; capacity <= *n; capacity *= 2)
			;
		if (capacity > SIZE_MAX / 2 / (size ? size : 1))
			return NULL;
		header = arena_alloc(arena, sizeof *header + capacity * size);
		if (!header)
			return NULL;
		if (*n)
			memcpy(header + 1, array, *n * size);
		array = header + 1;
		header->self = (uintptr_t)array;
		header->capacity = capacity;
		memcpy(items, &array, sizeof array);
	}
	memset((unsigned char *)array + *n * size, 0, size); /* a shorter array may have left something here */
	return (unsigned char *)array + (*n)++ * size;
}

static void *pb_alloc(void *data, size_t size)
{
	return arena_alloc(data, size);
}

static void pb_free(void *data, void *bytes)
{
	(void)data;
	(void)bytes; /* the arena frees all at once */
}

void arena_pb_init(struct arena_pb *allocator, struct arena *arena)
{
	*allocator = (struct arena_pb){ .alloc = pb_alloc, .free = pb_free, .data = arena };
}
