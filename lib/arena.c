#include "lib/arena.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ALIGN ((size_t)16)
#define BLOCK_MIN ((size_t)16 << 10) /* bytes of the first block; later ones double up to BLOCK_MAX */
#define BLOCK_MAX ((size_t)1 << 20)

/* Blocks behind the arena's current one are empty. */
struct arena_block {
	struct arena_block *next;
	size_t room, used;
	size_t stale;                    /* bytes from the beginning on that were in use before the last reset; behind them is nothing but zeros */
	_Alignas(16) unsigned char bytes[];
};

/* Before each array made by arena_push. The address in it tells our arrays from others: content that somebody
 * sent can imitate any value but not where it will lie. */
struct push_header {
	uintptr_t self;
	size_t capacity;
};
_Static_assert(sizeof(struct push_header) <= ALIGN, "see clear");

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

/* What was used is not cleared here but where it is handed out again: then it is about to be written anyway, and is in the processor's cache for that. */
void arena_reset(struct arena *arena)
{
	struct arena_block **place = &arena->first;
	size_t kept = 0;

	while (*place) {
		struct arena_block *block = *place;

		if (block != arena->first && kept + block->room > ARENA_KEPT) {
			*place = block->next;
			free(block);
			continue;
		}
		kept += block->room;
		block->stale = block->used > block->stale ? block->used : block->stale;
		block->used = 0;
		place = &block->next;
	}
	arena->current = arena->first;
	arena->used = 0;
}

void arena_wipe(struct arena *arena)
{
	arena_reset(arena);
	for (struct arena_block *block = arena->first; block; block = block->next) {
		explicit_bzero(block->bytes, block->stale);
		block->stale = 0;
	}
}

/* The next block that has room: one of those that a reset kept, or a new one, in the place behind the current one. */
static struct arena_block *block_add(struct arena *arena, size_t size)
{
	struct arena_block *current = arena->current, *block = current ? current->next : NULL;
	size_t room = current ? current->room * 2 : BLOCK_MIN;

	if (block && block->room >= size) {
		arena->current = block;
		return block;
	}
	if (room > BLOCK_MAX)
		room = BLOCK_MAX;
	if (room < size)
		room = size;
	block = calloc(1, sizeof *block + room);
	if (!block)
		return NULL;
	block->room = room;
	block->next = current ? current->next : NULL;
	if (current)
		current->next = block;
	else
		arena->first = block;
	arena->current = block;
	return block;
}

/* The last step of what is not zeroed is: an old push_header that was left there would pass for that of the array behind it. */
static void clear(struct arena_block *block, size_t rounded, bool zeroed)
{
	const size_t from = zeroed ? block->used : block->used + rounded - ALIGN, end = block->used + rounded;

	if (from < block->stale)
		memset(block->bytes + from, 0, (end < block->stale ? end : block->stale) - from);
}

static void *take(struct arena *arena, size_t size, bool zeroed)
{
	size_t rounded = (size + ALIGN - 1) & ~(ALIGN - 1);
	struct arena_block *block = arena->current;
	unsigned char *bytes;

	if (rounded < size || rounded > arena->max || arena->used > arena->max - rounded)
		return NULL;
	if (rounded == 0)
		rounded = ALIGN;
	if (!block || block->room - block->used < rounded)
		block = block_add(arena, rounded);
	if (!block)
		return NULL;
	bytes = block->bytes + block->used;
	clear(block, rounded, zeroed);
	block->used += rounded;
	arena->used += rounded;
	return bytes;
}

void *arena_alloc(struct arena *arena, size_t size)
{
	return take(arena, size, true);
}

void *arena_room(struct arena *arena, size_t size)
{
	return take(arena, size, false);
}

void *arena_end(struct arena *arena, size_t least, size_t *ret_room)
{
	const size_t rounded = (least + ALIGN - 1) & ~(ALIGN - 1), left = (arena->max - arena->used) & ~(ALIGN - 1);
	struct arena_block *block = arena->current;

	if (rounded < least || arena->used > arena->max || rounded > left)
		return NULL;
	if (!block || block->room - block->used < rounded)
		block = block_add(arena, rounded);
	if (!block)
		return NULL;
	*ret_room = (block->room - block->used) & ~(ALIGN - 1);
	*ret_room = *ret_room < left ? *ret_room : left;
	if (block->stale < block->used + *ret_room)
		block->stale = block->used + *ret_room; /* whatever of it is written, and then not kept */
	return block->bytes + block->used;
}

void arena_keep(struct arena *arena, size_t size)
{
	const size_t rounded = (size + ALIGN - 1) & ~(ALIGN - 1);
	struct arena_block *block = arena->current;

	if (!block || rounded > block->room - block->used)
		return;
	memset(block->bytes + block->used + size, 0, rounded - size); /* as clear does */
	block->used += rounded;
	arena->used += rounded;
}

void *arena_dup(struct arena *arena, const void *bytes, size_t size)
{
	void *copy = arena_room(arena, size);

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
	text = n < 0 ? NULL : arena_room(arena, (size_t)n + 1);
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
		header = arena_room(arena, sizeof *header + capacity * size); /* each element is zeroed as it is added */
		if (!header)
			return NULL;
		if (*n && array)
			memcpy(header + 1, array, *n * size);
		array = header + 1;
		header->self = (uintptr_t)array;
		header->capacity = capacity;
		memcpy(items, &array, sizeof array);
	}
	memset((unsigned char *)array + *n * size, 0, size);
	return (unsigned char *)array + (*n)++ * size;
}

static void *pb_alloc(void *data, size_t size)
{
	return arena_room(data, size);
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
