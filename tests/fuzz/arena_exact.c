/* Arena, exact: each piece is a block of its own, so that a sanitizer sees each byte that is read
 * or written behind a piece. The fuzz targets are linked with this in place of base/arena.c. */
#include "base/arena.h"
#include <stdlib.h>
#include <string.h>

struct arena_block {
    struct arena_block *next;
    void *piece;
};

void arena_init(struct arena *arena)
{
    *arena = (struct arena){ 0 };
}

void arena_deinit(struct arena *arena)
{
    struct arena_block *next;
    for (struct arena_block *block = arena->blocks; block; block = next) {
        next = block->next;
        free(block->piece);
        free(block);
    }
    arena_init(arena);
}

void *arena_alloc(struct arena *arena, size_t size_bytes)
{
    struct arena_block *block = malloc(sizeof(*block));
    void *piece = calloc(1, size_bytes ? size_bytes : 1);
    if (!block || !piece) {
        free(block);
        free(piece);
        return NULL;
    }
    *block = (struct arena_block){ .next = arena->blocks, .piece = piece };
    arena->blocks = block;
    return piece;
}

char *arena_copy(struct arena *arena, const char *text, size_t length)
{
    char *copy = arena_alloc(arena, length + 1);
    if (copy && length > 0)
        memcpy(copy, text, length);
    return copy;
}
