/* Arena: see arena.h. Each block has twice the size of the one before it, so that a big message
 * takes few allocations.
 *
 *   A1  used_bytes is at most the size of the newest block, and 0 without one
 *   A2  used_bytes is a multiple of the largest alignment, so that each piece is aligned */
#include "base/arena.h"
#include <assert.h>
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

static void arena_check(const struct arena *arena)
{
    assert(arena->used_bytes <= (arena->blocks ? arena->blocks->size_bytes : 0)); /* A1 */
    assert(arena->used_bytes % alignof(max_align_t) == 0);                        /* A2 */
}

void arena_init(struct arena *arena)
{
    *arena = (struct arena){ 0 };
}

void arena_deinit(struct arena *arena)
{
    arena_check(arena);
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

/* Memory as it is; NULL when malloc fails. */
static void *arena_take(struct arena *arena, size_t size_bytes)
{
    arena_check(arena);
    if (size_bytes > SIZE_MAX / 2)
        return NULL;
    size_t rounded = (size_bytes + alignof(max_align_t) - 1) / alignof(max_align_t) *
                     alignof(max_align_t);
    if (!arena->blocks || arena->blocks->size_bytes - arena->used_bytes < rounded)
        if (arena_grow(arena, rounded) < 0)
            return NULL;
    void *memory = arena->blocks->data + arena->used_bytes;
    arena->used_bytes += rounded;
    return memory;
}

void *arena_alloc(struct arena *arena, size_t size_bytes)
{
    void *memory = arena_take(arena, size_bytes);
    return memory ? memset(memory, 0, size_bytes) : NULL;
}

char *arena_copy(struct arena *arena, const char *text, size_t length)
{
    assert(text || length == 0);
    char *copy = length < SIZE_MAX ? arena_take(arena, length + 1) : NULL;
    if (!copy)
        return NULL;
    if (length > 0)
        memcpy(copy, text, length);
    copy[length] = '\0';
    return copy;
}

size_t arena_bytes(const struct arena *arena)
{
    size_t bytes = 0;
    for (const struct arena_block *block = arena->blocks; block; block = block->older)
        bytes += sizeof(*block) + block->size_bytes;
    return bytes;
}
