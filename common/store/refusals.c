/* Remembered refusals: see refusals.h. */
#include "store/refusals.h"
#include "base/result.h"
#include <string.h>

int refusals_create_table(struct db *db)
{
    return trace(db_script(db, "CREATE TABLE IF NOT EXISTS refusals ("
                               " key TEXT PRIMARY KEY, digest TEXT NOT NULL, refusal INTEGER NOT "
                               "NULL, message TEXT NOT NULL,"
                               " time_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID;"));
}

int refusals_write(struct db *db, const char *key, const char *digest, enum refusal refusal,
                   const char *message, int64_t now_ms)
{
    return trace(db_exec(db, "INSERT INTO refusals VALUES (?1, ?2, ?3, ?4, ?5)", "ssisi", key,
                         digest, (int64_t)refusal, message, now_ms));
}

int refusals_find(struct db *db, const char *key, struct arena *arena, const char **ret_digest,
                  enum refusal *ret_refusal, const char **ret_message)
{
    _deinit_(query) struct query query = { 0 };
    int r = query_open(&query, db, "SELECT digest, refusal, message FROM refusals WHERE key = ?1",
                       "s", key);
    if (r == 0)
        r = query_next(&query);
    if (r <= 0)
        return trace(r);
    const char *digest = query_text(&query, 0), *message = query_text(&query, 2);
    digest = arena_copy(arena, digest, strlen(digest));
    message = arena_copy(arena, message, strlen(message));
    if (!digest || !message)
        return fail(ERR_MEMORY, "no memory for a remembered refusal");
    *ret_digest = digest;
    *ret_refusal = (enum refusal)query_int(&query, 1);
    *ret_message = message;
    return 1;
}
