/* Compare: see compare.h. The statements are made from the tables' own description. They are scripts, because statements
 * are kept by the address of their text; so what they find goes through a temporary table. */
#include "store/compare.h"
#include "base/buf.h"
#include "base/result.h"

int compare_attach(struct db *db, const char *path)
{
    int r = db_exec(db, "ATTACH ?1 AS fold", "s", path);
    return r < 0 ? trace(r) : trace(db_script(db, "CREATE TEMP TABLE IF NOT EXISTS differences (kind INTEGER NOT NULL, key TEXT NOT NULL,"
                                                  " columns TEXT)"));
}

int compare_detach(struct db *db)
{
    return trace(db_script(db, "DETACH fold"));
}

enum columns { KEY_COLUMNS, ALL_COLUMNS };

static int columns_open(struct query *query, struct db *db, const char *table, enum columns which)
{
    return trace(query_open(query, db, "SELECT name FROM pragma_table_info(?1, 'fold') WHERE pk > 0 OR ?2 ORDER BY pk = 0, pk, cid",
                            "si", table, (int64_t)(which == ALL_COLUMNS)));
}

/* `m."a" IS f."a" AND m."b" IS f."b"`: IS, because NULL equals NULL here. */
static int put_equal(struct buf *sql, struct db *db, const char *table, enum columns which)
{
    _deinit_(query) struct query query = { 0 };
    int count = 0, r = columns_open(&query, db, table, which);
    while (r >= 0 && (r = query_next(&query)) > 0)
        buf_put_format(sql, "%sm.\"%s\" IS f.\"%s\"", count++ ? " AND " : "", query_text(&query, 0), query_text(&query, 0));
    if (r < 0)
        return trace(r);
    return count ? 0 : fail(ERR_CONFIG, "the table %s has no primary key, so its rows cannot be compared", table);
}

static int put_key(struct buf *sql, struct db *db, const char *table, char alias)
{
    _deinit_(query) struct query query = { 0 };
    int count = 0, r = columns_open(&query, db, table, KEY_COLUMNS);
    while (r >= 0 && (r = query_next(&query)) > 0)
        buf_put_format(sql, "%s%c.\"%s\"", count++ ? " || '/' || " : "", alias, query_text(&query, 0));
    return trace(r);
}

/* The names of those columns that differ. */
static int put_changed_columns(struct buf *sql, struct db *db, const char *table)
{
    _deinit_(query) struct query query = { 0 };
    int count = 0, r = columns_open(&query, db, table, ALL_COLUMNS);
    while (r >= 0 && (r = query_next(&query)) > 0)
        buf_put_format(sql, "%siif(m.\"%s\" IS f.\"%s\", '', '%s ')", count++ ? " || " : "", query_text(&query, 0), query_text(&query, 0),
                       query_text(&query, 0));
    return trace(r);
}

/* Rows of one file whose key the other does not have. */
static int put_lonely(struct buf *sql, struct db *db, const char *table, enum difference_kind kind)
{
    const char *has = kind == DIFFERENCE_MISSING ? "fold" : "main", *lacks = kind == DIFFERENCE_MISSING ? "main" : "fold";
    char alias = has[0], other = lacks[0];
    buf_put_format(sql, "INSERT INTO temp.differences SELECT %d, ", (int)kind);
    int r = put_key(sql, db, table, alias);
    buf_put_format(sql, ", NULL FROM %s.\"%s\" %c WHERE NOT EXISTS (SELECT 1 FROM %s.\"%s\" %c WHERE ", has, table, alias, lacks, table, other);
    if (r == 0)
        r = put_equal(sql, db, table, KEY_COLUMNS);
    buf_put_text(sql, ");");
    return trace(r);
}

static int put_changed(struct buf *sql, struct db *db, const char *table)
{
    buf_put_format(sql, "INSERT INTO temp.differences SELECT %d, ", (int)DIFFERENCE_CHANGED);
    int r = put_key(sql, db, table, 'f');
    buf_put_text(sql, ", ");
    if (r == 0)
        r = put_changed_columns(sql, db, table);
    buf_put_format(sql, " FROM fold.\"%s\" f CROSS JOIN main.\"%s\" m WHERE ", table, table);
    if (r == 0)
        r = put_equal(sql, db, table, KEY_COLUMNS);
    buf_put_text(sql, " AND NOT (");
    if (r == 0)
        r = put_equal(sql, db, table, ALL_COLUMNS);
    buf_put_text(sql, ");");
    return trace(r);
}

int compare_table(struct db *db, const char *table)
{
    _deinit_(buf) struct buf sql = { 0 };
    buf_put_text(&sql, "DELETE FROM temp.differences;");
    int r = put_lonely(&sql, db, table, DIFFERENCE_MISSING);
    if (r == 0)
        r = put_lonely(&sql, db, table, DIFFERENCE_EXTRA);
    if (r == 0)
        r = put_changed(&sql, db, table);
    buf_put_char(&sql, '\0');
    if (r == 0)
        r = buf_status(&sql);
    return r < 0 ? trace(r) : trace(db_script(db, sql.data));
}

int differences_open(struct query *query, struct db *db)
{
    return trace(query_open(query, db, "SELECT kind, key, columns FROM temp.differences ORDER BY key, kind", ""));
}

int differences_next(struct query *query, struct difference *ret_difference)
{
    int r = query_next(query);
    if (r > 0)
        *ret_difference = (struct difference){ .kind = (enum difference_kind)query_int(query, 0), .key = query_text(query, 1),
                                               .columns = query_text(query, 2) };
    return trace(r);
}

int compare_tables_open(struct query *query, struct db *db)
{
    return trace(query_open(query, db, "SELECT name FROM fold.sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%' ORDER BY name", ""));
}
