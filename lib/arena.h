/* A bump allocator for things that die together: one turn of the loop, one unpacked message, one rehearsal line.
 * No free of single things. Not thread-safe. Memory is zeroed, but where it says otherwise. */
#ifndef LIB_ARENA_H
#define LIB_ARENA_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

struct arena_block;
struct arena {
	struct arena_block *first, *current;
	size_t used;  /* bytes handed out since init or reset */
	size_t max;   /* bound on used; allocation beyond it fails */
};

/* max: bytes that may be handed out before arena_reset; 0 takes ARENA_MAX. Allocates nothing yet. */
void arena_init(struct arena *arena, size_t max);
#define ARENA_MAX ((size_t)256 << 20)
/* Frees everything. Safe on a zeroed or released arena. */
void arena_release(struct arena *arena);
/* Forgets everything handed out, and keeps about ARENA_KEPT of its memory for reuse. What it held stays there until it is handed out again: arena_wipe overwrites it as well. */
void arena_reset(struct arena *arena);
void arena_wipe(struct arena *arena);
#define ARENA_KEPT ((size_t)8 << 20)

/* 16-byte aligned zeroed memory, or NULL when memory or the bound is exhausted. size 0 gives a valid pointer. */
void *arena_alloc(struct arena *arena, size_t size);
/* The same, not zeroed: for what the caller writes as a whole. */
void *arena_room(struct arena *arena, size_t size);
/* The free end of the arena, *ret_room bytes of it and at least `least`, for what is written before its size is known: arena_keep takes the first `size` bytes, which must have
 * been written as a whole. Nothing else may be asked of the arena in between. NULL as above. */
void *arena_end(struct arena *arena, size_t least, size_t *ret_room);
void arena_keep(struct arena *arena, size_t size);
void *arena_dup(struct arena *arena, const void *bytes, size_t size);
char *arena_strdup(struct arena *arena, const char *text);              /* NULL stays NULL */
char *arena_printf(struct arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Appends one zeroed element to an array of *n elements of `size` bytes at *items, growing by doubling inside the
 * arena (capacity is the next power of two, at least 4, so *items must have been built by this function, or be NULL,
 * or be treated as full: an array from elsewhere is copied). Returns the new element, or NULL. */
void *arena_push(struct arena *arena, void *items, size_t *n, size_t size);
#define ARENA_PUSH(arena, items, n) ((__typeof__(*(items)) *)arena_push((arena), &(items), &(n), sizeof *(items)))

/* The arena as allocator for protobuf-c (ProtobufCAllocator *); free does nothing. Bound: arena->max. Borrowed: lives
 * as long as `ret_allocator`, which the caller provides (sizeof >= 3 pointers). */
struct arena_pb { void *(*alloc)(void *, size_t); void (*free)(void *, void *); void *data; };
void arena_pb_init(struct arena_pb *allocator, struct arena *arena);

#endif
