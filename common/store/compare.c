/* Compare: see compare.h. The SQL is made from the tables' own description. It is run as scripts,
 * because a statement is kept by the address of its text; a script returns no rows, so its results
 * go through tables. */
#include "store/compare.h"
#include "base/buf.h"
#include "base/result.h"
#include <assert.h>
#include <string.h>

/* ---- Attaching ------------------------------------------------------------------------------ */

/* Only a URI can open one file of a connection read-only. Some characters of a path have a meaning
 * in a URI. */
int compare_attach(struct db *db, const char *path)
{
    assert(path);
    _deinit_(buf) struct buf uri = { 0 };
    buf_put_text(&uri, "file:");
    for (const char *c = path; *c; c++)
        if (strchr("?#%", *c))
            buf_put_format(&uri, "%%%02X", (unsigned char)*c);
        else
            buf_put_char(&uri, *c);
    buf_put_text(&uri, "?mode=ro");
    buf_put_char(&uri, '\0');
    int r = buf_status(&uri);
    return r < 0 ? trace(r) : trace(db_attach(db, uri.data, COMPARE_SERVED));
}

/* ---- Pieces of SQL -------------------------------------------------------------------------- */

enum columns { KEY_COLUMNS, ALL_COLUMNS };

static int columns_open(struct query *query, struct db *db, const char *schema, const char *table,
                        enum columns which)
{
    return trace(query_open(
        query, db,
        "SELECT name FROM pragma_table_info(?1, ?3) WHERE pk > 0 OR ?2 ORDER BY pk = 0, pk, cid",
        "sis", table, (int64_t)(which == ALL_COLUMNS), schema));
}

/* `s."a" IS f."a" AND s."b" IS f."b"`: IS, because NULL equals NULL here. Keys are compared by the
 * table's own collation, so that its index is used; rows are compared by their bytes. */
static int put_equal(struct buf *sql, struct db *db, const char *table, enum columns which)
{
    _deinit_(query) struct query query = { 0 };
    int count = 0, r = columns_open(&query, db, "main", table, which);
    while (r == 0 && query_has_row(&query))
        buf_put_format(sql, "%ss.\"%s\" IS f.\"%s\"%s", count++ ? " AND " : "",
                       query_text(&query, 0), query_text(&query, 0),
                       which == ALL_COLUMNS ? " COLLATE BINARY" : "");
    if (r == 0)
        r = query_status(&query);
    if (r < 0)
        return trace(r);
    return count ? 0
                 : fail(ERR_CONFIG,
                        "the table %s has no primary key, so its rows cannot be compared", table);
}

/* `f."a", f."b"`, or with another separator. */
static int put_key(struct buf *sql, struct db *db, const char *schema, const char *table,
                   const char *alias, const char *separator)
{
    _deinit_(query) struct query query = { 0 };
    int count = 0, r = columns_open(&query, db, schema, table, KEY_COLUMNS);
    while (r == 0 && query_has_row(&query))
        buf_put_format(sql, "%s%s\"%s\"", count++ ? separator : "", alias, query_text(&query, 0));
    return r < 0 ? trace(r) : trace(query_status(&query));
}

/* An expression whose value is the names of the columns that differ. */
static int put_changed_columns(struct buf *sql, struct db *db, const char *table)
{
    _deinit_(query) struct query query = { 0 };
    int count = 0, r = columns_open(&query, db, "main", table, ALL_COLUMNS);
    while (r == 0 && query_has_row(&query))
        buf_put_format(sql, "%siif(s.\"%s\" IS f.\"%s\" COLLATE BINARY, '', '%s ')",
                       count++ ? " || " : "", query_text(&query, 0), query_text(&query, 0),
                       query_text(&query, 0));
    return r < 0 ? trace(r) : trace(query_status(&query));
}

static int run_script(struct db *db, struct buf *sql)
{
    buf_put_char(sql, '\0');
    int r = buf_status(sql);
    return r < 0 ? trace(r) : trace(db_script(db, sql->data));
}

/* ---- Noting --------------------------------------------------------------------------------- */

/* The keys of the rows that differ go into the swap table, with one walk over the table of each
 * file. In the join a row that the other side lacks is a row of NULLs. */
static int note_keys(struct db *db, const char *table)
{
    _deinit_(buf) struct buf sql = { 0 };
    buf_put_format(&sql, "INSERT INTO main.\"swap %s\" SELECT ", table);
    int r = put_key(&sql, db, "main", table, "f.", ", ");
    buf_put_format(&sql, " FROM main.\"%s\" f LEFT JOIN " COMPARE_SERVED ".\"%s\" s ON ", table,
                   table);
    if (r == 0)
        r = put_equal(&sql, db, table, KEY_COLUMNS);
    buf_put_text(&sql, " WHERE NOT (");
    if (r == 0)
        r = put_equal(&sql, db, table, ALL_COLUMNS);
    buf_put_format(&sql, "); INSERT INTO main.\"swap %s\" SELECT ", table);
    if (r == 0)
        r = put_key(&sql, db, "main", table, "s.", ", ");
    buf_put_format(&sql,
                   " FROM " COMPARE_SERVED
                   ".\"%s\" s WHERE NOT EXISTS (SELECT 1 FROM main.\"%s\" f WHERE ",
                   table, table);
    if (r == 0)
        r = put_equal(&sql, db, table, KEY_COLUMNS);
    buf_put_text(&sql, ")");
    return r < 0 ? trace(r) : trace(run_script(db, &sql));
}

/* The rows of the swap table that differ in this way go into temp.differences, for a report. */
static int note_differences(struct db *db, const char *table, enum difference_kind kind)
{
    static const char *const from[] = {
        [DIFFERENCE_MISSING] = " FROM main.\"%s\" f WHERE (",
        [DIFFERENCE_EXTRA] = " FROM " COMPARE_SERVED ".\"%s\" s WHERE (",
        [DIFFERENCE_CHANGED] = " FROM main.\"%s\" f CROSS JOIN " COMPARE_SERVED ".\"%s\" s WHERE (",
    };
    static const char *const condition[] = {
        [DIFFERENCE_MISSING] = " AND NOT EXISTS (SELECT 1 FROM " COMPARE_SERVED ".\"%s\" s WHERE ",
        [DIFFERENCE_EXTRA] = " AND NOT EXISTS (SELECT 1 FROM main.\"%s\" f WHERE ",
        [DIFFERENCE_CHANGED] = " AND (",
    };
    _deinit_(buf) struct buf sql = { 0 };
    const char *alias = kind == DIFFERENCE_EXTRA ? "s." : "f.";
    buf_put_format(&sql, "INSERT INTO temp.differences SELECT '%s', %d, ", table, (int)kind);
    int r = put_key(&sql, db, "main", table, alias, " || '/' || ");
    buf_put_text(&sql, ", ");
    if (r == 0 && kind == DIFFERENCE_CHANGED)
        r = put_changed_columns(&sql, db, table);
    else
        buf_put_text(&sql, "NULL");
    buf_put_format(&sql, from[kind], table, table);
    if (r == 0)
        r = put_key(&sql, db, "main", table, alias, ", ");
    buf_put_format(&sql, ") IN (SELECT * FROM main.\"swap %s\")", table);
    buf_put_format(&sql, condition[kind], table);
    if (r == 0)
        r = put_equal(&sql, db, table, KEY_COLUMNS);
    buf_put_text(&sql, ")");
    return r < 0 ? trace(r) : trace(run_script(db, &sql));
}

static int make_swap_table(struct db *db, const char *table)
{
    _deinit_(buf) struct buf sql = { 0 };
    buf_put_format(&sql, "CREATE TABLE IF NOT EXISTS main.\"swap %s\" AS SELECT ", table);
    int r = put_key(&sql, db, "main", table, "", ", ");
    buf_put_format(&sql, " FROM main.\"%s\" LIMIT 0; DELETE FROM main.\"swap %s\"", table, table);
    return r < 0 ? trace(r) : trace(run_script(db, &sql));
}

int compare_begin(struct db *db)
{
    return trace(db_script(db, "CREATE TEMP TABLE IF NOT EXISTS differences (name TEXT NOT NULL, "
                               "kind INTEGER NOT NULL, key TEXT NOT NULL,"
                               " columns TEXT); DELETE FROM temp.differences"));
}

int compare_table(struct db *db, const char *table)
{
    assert(table);
    int r = make_swap_table(db, table);
    if (r == 0)
        r = note_keys(db, table);
    for (enum difference_kind kind = DIFFERENCE_MISSING; r == 0 && kind <= DIFFERENCE_CHANGED;
         kind++)
        r = note_differences(db, table, kind);
    return trace(r);
}

int compare_all(struct db *db, int64_t *ret_count)
{
    _deinit_(query) struct query query = { 0 };
    int r = compare_begin(db);
    if (r == 0)
        r = compare_tables_open(&query, db);
    while (r == 0 && query_has_row(&query))
        r = compare_table(db, query_text(&query, 0));
    if (r == 0)
        r = query_status(&query);
    if (r == 0)
        r = db_find_number(db, ret_count, "SELECT count(*) FROM temp.differences", "");
    return trace(r);
}

/* ---- Reading -------------------------------------------------------------------------------- */

int differences_open(struct query *query, struct db *db)
{
    return trace(query_open(
        query, db, "SELECT name, kind, key, columns FROM temp.differences ORDER BY name, key, kind",
        ""));
}

_Bool differences_have_next(struct query *query, struct difference *ret_difference)
{
    if (!query_has_row(query))
        return 0;
    enum { TABLE, KIND, KEY, COLUMNS }; /* as in differences_open */
    *ret_difference = (struct difference){ .table = query_text(query, TABLE),
                                           .kind = (enum difference_kind)query_int(query, KIND),
                                           .key = query_text(query, KEY),
                                           .columns = query_text(query, COLUMNS) };
    return 1;
}

int compare_tables_open(struct query *query, struct db *db)
{
    return trace(query_open(
        query, db,
        "SELECT name FROM main.sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
        " AND name NOT LIKE 'swap %' ORDER BY name",
        ""));
}

/* ---- Swapping ------------------------------------------------------------------------------- */

/* First all noted rows are deleted, then those of the fold are inserted, so that no old row breaks
 * a unique index. */
static int swap_table(struct db *db, const char *table)
{
    _deinit_(buf) struct buf sql = { 0 };
    buf_put_format(&sql, "DELETE FROM main.\"%s\" WHERE (", table);
    int r = put_key(&sql, db, COMPARE_FOLD, table, "", ", ");
    buf_put_format(&sql,
                   ") IN (SELECT * FROM " COMPARE_FOLD
                   ".\"swap %s\"); INSERT INTO main.\"%s\" SELECT * FROM " COMPARE_FOLD
                   ".\"%s\" WHERE (",
                   table, table, table);
    if (r == 0)
        r = put_key(&sql, db, COMPARE_FOLD, table, "", ", ");
    buf_put_format(&sql, ") IN (SELECT * FROM " COMPARE_FOLD ".\"swap %s\")", table);
    return r < 0 ? trace(r) : trace(run_script(db, &sql));
}

int compare_swap(struct db *db)
{
    _deinit_(query) struct query query = { 0 };
    int r = db_script(db, "PRAGMA defer_foreign_keys=ON");
    if (r == 0)
        r = query_open(&query, db,
                       "SELECT substr(name, 6) FROM " COMPARE_FOLD
                       ".sqlite_master WHERE name LIKE 'swap %' ORDER BY name",
                       "");
    while (r == 0 && query_has_row(&query))
        r = swap_table(db, query_text(&query, 0));
    return r < 0 ? trace(r) : trace(query_status(&query));
}
