/* Row: reads the current row of a query into memory that outlives it. A failing allocation is noted
 * and told once at the end by row_status(), so that reading many columns stays a list of
 * assignments. */
#pragma once
#include "base/arena.h"
#include "base/result.h"
#include "store/db.h"
#include <string.h>

struct row {
    const struct query *query;
    struct arena *arena;
    _Bool failed;
};

/* A copy in the arena; NULL for NULL. */
static inline const char *row_text(struct row *row, int column)
{
    const char *text = query_text(row->query, column);
    if (!text)
        return NULL;
    const char *copy = arena_copy(row->arena, text, strlen(text));
    row->failed |= !copy;
    return copy;
}

static inline int row_status(const struct row *row)
{
    return row->failed ? fail(ERR_MEMORY, "no memory for a row") : 0;
}
