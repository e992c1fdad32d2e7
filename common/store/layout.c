/* Layout: see layout.h. */
#include "store/layout.h"
#include "base/result.h"
#include <ctype.h>
#include <string.h>

/* Indexes that SQLite makes by itself, and what ANALYZE leaves, have names of its own. */
#define OBJECTS \
    "SELECT type, name, coalesce(sql, '') AS sql FROM sqlite_master WHERE name NOT LIKE 'sqlite%'"

static _Bool is_same_statement(const char *a, const char *b)
{
    for (;;) {
        while (isspace((unsigned char)*a))
            a++;
        while (isspace((unsigned char)*b))
            b++;
        if (*a != *b || !*a)
            return *a == *b;
        a++;
        b++;
    }
}

/* Each object of one against the other's. */
static int compare_objects(struct db *of, struct db *with, const char *missing, _Bool compares,
                           struct buf *out)
{
    _deinit_(query) struct query query = { 0 };
    int r = query_open(&query, of, OBJECTS, "");
    while (r == 0 && query_has_row(&query)) {
        _deinit_(query) struct query other = { 0 };
        const char *type = query_text(&query, 0), *name = query_text(&query, 1);
        r = query_find(&other, with, OBJECTS " AND type = ?1 AND name = ?2", "ss", type, name);
        const char *what = r == NOT_FOUND ? missing
                           : r == 0 && compares &&
                                   !is_same_statement(query_text(&query, 2), query_text(&other, 2))
                               ? "differs"
                               : NULL;
        if (what)
            buf_put_format(out, "%s%s %s %s", out->length > 0 ? "; " : "", type, name, what);
        r = r > 0 ? 0 : r;
    }
    return r < 0 ? trace(r) : trace(query_status(&query));
}

int layout_compare(struct db *db, struct db *model, struct buf *out)
{
    const size_t begin = out->length;
    int r = compare_objects(db, model, "is not ours", 1, out);
    if (r == 0)
        r = compare_objects(model, db, "is missing", 0, out);
    if (r == 0)
        r = buf_status(out);
    if (r < 0)
        return trace(r);
    return out->length > begin ? LAYOUT_DIFFERS : 0;
}
