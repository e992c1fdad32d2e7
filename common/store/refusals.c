/* Remembered refusals: see refusals.h. */
#include "store/refusals.h"
#include "base/result.h"
#include "store/row.h"
#include <assert.h>

int refusals_create_table(struct db *db)
{
    return trace(db_script(db, "CREATE TABLE IF NOT EXISTS refusals ("
                               " key TEXT PRIMARY KEY, digest TEXT NOT NULL, refusal INTEGER NOT "
                               "NULL, message TEXT NOT NULL,"
                               " time_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID;"));
}

int refusals_create_index(struct db *db)
{
    return trace(
        db_script(db, "CREATE INDEX IF NOT EXISTS refusals_by_time ON refusals (time_ms);"));
}

int refusals_has_older(struct db *db, int64_t before_ms)
{
    return trace(
        db_has_row(db, "SELECT 1 FROM refusals WHERE time_ms < ?1 LIMIT 1", "i", before_ms));
}

int refusals_forget(struct db *db, int64_t before_ms, int max, int64_t *ret_count)
{
    assert(max > 0);
    int r = db_exec(db,
                    "DELETE FROM refusals WHERE key IN (SELECT key FROM refusals"
                    " WHERE time_ms < ?1 ORDER BY time_ms LIMIT ?2)",
                    "ii", before_ms, (int64_t)max);
    if (r == 0)
        *ret_count = db_changed_rows(db);
    return trace(r);
}

int refusals_write(struct db *db, const char *key, const char *digest, int refusal,
                   const char *message, int64_t now_ms)
{
    assert(key && digest && message && refusal > 0);
    return trace(db_exec(db, "INSERT INTO refusals VALUES (?1, ?2, ?3, ?4, ?5)", "ssisi", key,
                         digest, (int64_t)refusal, message, now_ms));
}

int refusals_find_by_key(struct db *db, const char *key, struct arena *arena,
                         const char **ret_digest, int *ret_refusal, const char **ret_message)
{
    _deinit_(query) struct query query = { 0 };
    int r = query_find(&query, db, "SELECT digest, refusal, message FROM refusals WHERE key = ?1",
                       "s", key);
    if (r != 0)
        return trace(r);
    struct row row = { .query = &query, .arena = arena };
    const char *digest = row_text(&row, "digest");
    int refusal = (int)row_int(&row, "refusal");
    const char *message = row_text(&row, "message");
    r = row_status(&row);
    if (r < 0)
        return trace(r);
    *ret_digest = digest;
    *ret_refusal = refusal;
    *ret_message = message;
    return 0;
}
