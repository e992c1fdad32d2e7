/* Arena: see arena.h. Blocks double, so that a big message costs few of them. */
#include "base/arena.h"
#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_MIN_BYTES 2048
#define BLOCK_MAX_BYTES ((size_t)64 * 1024)

struct arena_block {
    struct arena_block *older;
    size_t size_bytes;
    alignas(max_align_t) char data[];
};

void arena_init(struct arena *arena)
{
    *arena = (struct arena){ 0 };
}

void arena_deinit(struct arena *arena)
{
    while (arena->blocks) {
        struct arena_block *older = arena->blocks->older;
        free(arena->blocks);
        arena->blocks = older;
    }
    arena->used_bytes = 0;
}

static int arena_grow(struct arena *arena, size_t wanted_bytes)
{
    size_t size = arena->blocks ? arena->blocks->size_bytes * 2 : BLOCK_MIN_BYTES;
    if (size > BLOCK_MAX_BYTES)
        size = BLOCK_MAX_BYTES;
    if (size < wanted_bytes)
        size = wanted_bytes;
    struct arena_block *block = malloc(sizeof(*block) + size);
    if (!block)
        return -1;
    block->older = arena->blocks;
    block->size_bytes = size;
    arena->blocks = block;
    arena->used_bytes = 0;
    return 0;
}

void *arena_alloc(struct arena *arena, size_t size_bytes)
{
    if (size_bytes > SIZE_MAX / 2)
        return NULL;
    size_t rounded = (size_bytes + alignof(max_align_t) - 1) / alignof(max_align_t) *
                     alignof(max_align_t);
    if (!arena->blocks || arena->blocks->size_bytes - arena->used_bytes < rounded)
        if (arena_grow(arena, rounded) < 0)
            return NULL;
    void *memory = arena->blocks->data + arena->used_bytes;
    arena->used_bytes += rounded;
    return memset(memory, 0, rounded);
}

char *arena_copy(struct arena *arena, const char *text, size_t length)
{
    char *copy = arena_alloc(arena, length + 1);
    if (copy && length > 0)
        memcpy(copy, text, length);
    return copy;
}
