/* Row: reads the columns of a query's current row by their names, into memory that outlives the
 * row. A failed allocation is noted and told once at the end by row_status(), so that reading many
 * columns stays a list of assignments.
 *
 *     _deinit_(query) struct query q = { 0 };
 *     int r = query_find(&q, journey_db(j), "SELECT name, stock FROM products WHERE sku = ?1", "s",
 *                        sku);
 *     if (r != 0)
 *         return trace(r);
 *     struct row row = { .query = &q, .arena = journey_arena(j) };
 *     struct product product = { .name = row_text(&row, "name"), .stock = row_int(&row, "stock") };
 *     return trace(row_status(&row));
 *
 * The names are literals. Of many rows each is read by the same struct row. */
#pragma once
#include "base/arena.h"
#include "base/clock.h"
#include "base/result.h"
#include "store/db.h"
#include <string.h>

struct row {
    struct query *query;
    struct arena *arena; /* NULL: only numbers are read */
    _Bool failed;
};

/* A copy in the arena; NULL for NULL. */
static inline const char *row_text(struct row *row, const char *column)
{
    const char *text = query_text(row->query, query_column(row->query, column));
    if (!text)
        return NULL;
    const char *copy = arena_copy(row->arena, text, strlen(text));
    row->failed |= !copy;
    return copy;
}

/* 0 for NULL. */
static inline int64_t row_int(const struct row *row, const char *column)
{
    return query_int(row->query, query_column(row->query, column));
}

static inline _Bool row_bool(const struct row *row, const char *column)
{
    return row_int(row, column) != 0;
}

static inline _Bool row_is_null(const struct row *row, const char *column)
{
    return query_is_null(row->query, query_column(row->query, column));
}

/* A wall clock time in milliseconds as text (RFC 3339), in the arena. */
static inline const char *row_time(struct row *row, const char *column)
{
    char *text = arena_alloc(row->arena, RFC3339_SIZE);
    row->failed |= !text;
    if (text)
        rfc3339_format(row_int(row, column), text);
    return text;
}

/* 0; the failure that ended the query; or -ERR_MEMORY, when a column could not be copied. */
static inline int row_status(const struct row *row)
{
    int r = query_status(row->query);
    return r == 0 && row->failed ? fail(ERR_MEMORY, "no memory for a row") : r;
}
