/* Arena: the memory of one message, freed as a whole. A decoded message and its strings and arrays
 * live in one arena, so that ownership of a request is ownership of one pointer.
 * Not thread-safe: an arena is handed from thread to thread together with its message. */
#pragma once
#include <stddef.h>

struct arena_block;
struct arena {
    struct arena_block *blocks; /* newest first */
    size_t used_bytes;          /* within the newest block */
};

void arena_init(struct arena *arena);
void arena_deinit(struct arena *arena); /* frees all; the arena is empty again */

/* Zeroed memory, aligned for any type; NULL when malloc fails. size 0 gives a valid pointer. */
void *arena_alloc(struct arena *arena, size_t size_bytes);

/* A NUL-terminated copy of length bytes; NULL when malloc fails. */
char *arena_copy(struct arena *arena, const char *text, size_t length);

size_t arena_bytes(const struct arena *arena); /* that it has taken of malloc */

#include "base/cleanup.h"
DEFINE_DEINIT(arena)
