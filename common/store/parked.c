/* Parked events: see parked.h. */
#include "store/parked.h"
#include "base/result.h"
#include <string.h>

int parked_create_table(struct db *db)
{
    return trace(db_script(
        db,
        "CREATE TABLE IF NOT EXISTS parked ("
        " log TEXT NOT NULL, position INTEGER NOT NULL, entity TEXT NOT NULL, type TEXT NOT NULL,"
        " error TEXT NOT NULL, since_ms INTEGER NOT NULL,"
        " PRIMARY KEY (log, position)) STRICT, WITHOUT ROWID;"
        "CREATE INDEX IF NOT EXISTS parked_by_entity ON parked (log, entity);"));
}

int parked_count(struct db *db, int64_t *ret_count)
{
    int r = db_number(db, ret_count, "SELECT count(*) FROM parked", "");
    return r < 0 ? trace(r) : 0;
}

int parked_has(struct db *db, const char *log, const char *entity)
{
    int64_t one;
    return trace(db_number(db, &one, "SELECT 1 FROM parked WHERE log = ?1 AND entity = ?2 LIMIT 1",
                           "ss", log, entity));
}

int parked_holds(struct db *db, const char *log, int64_t position)
{
    int64_t one;
    return trace(db_number(db, &one, "SELECT 1 FROM parked WHERE log = ?1 AND position = ?2", "si",
                           log, position));
}

int parked_add(struct db *db, const struct parked *parked)
{
    return trace(db_exec(db, "INSERT INTO parked VALUES (?1, ?2, ?3, ?4, ?5, ?6)", "sisssi",
                         parked->log, parked->position, parked->entity, parked->type, parked->error,
                         parked->since_ms));
}

int parked_remove(struct db *db, const char *log, int64_t position)
{
    return trace(
        db_exec(db, "DELETE FROM parked WHERE log = ?1 AND position = ?2", "si", log, position));
}

int parked_first(struct db *db, const char *log, const char *entity, int64_t *ret_position)
{
    return trace(db_number(db, ret_position,
                           "SELECT position FROM parked WHERE log = ?1 AND entity = ?2"
                           " ORDER BY position LIMIT 1",
                           "ss", log, entity));
}

int parked_set_error(struct db *db, const char *log, int64_t position, const char *error)
{
    return trace(db_exec(db, "UPDATE parked SET error = ?3 WHERE log = ?1 AND position = ?2", "sis",
                         log, position, error));
}

int parked_count_of(struct db *db, const struct parked_filter *filter, int64_t *ret_count)
{
    int r = db_number(db, ret_count,
                      "SELECT count(*) FROM parked WHERE log = coalesce(?1, log)"
                      " AND entity = coalesce(?2, entity)",
                      "ss", filter->log, filter->entity);
    return r < 0 ? trace(r) : 0;
}

static const char *copy_column(const struct query *query, int column, struct arena *arena)
{
    const char *text = query_text(query, column);
    return arena_copy(arena, text, strlen(text));
}

int parked_list(struct db *db, const char *after_log, int64_t after_position, struct arena *arena,
                struct parked *ret_parked, int max, int *ret_count)
{
    _deinit_(query) struct query query = { 0 };
    int count = 0;
    int r = query_open(&query, db,
                       "SELECT log, position, entity, type, error, since_ms FROM parked"
                       " WHERE (log, position) > (?1, ?2) ORDER BY log, position LIMIT ?3",
                       "sii", after_log, after_position, (int64_t)max);
    if (r < 0)
        return trace(r);
    while ((r = query_next(&query)) > 0) {
        struct parked *parked = &ret_parked[count++];
        *parked = (struct parked){
            .log = copy_column(&query, 0, arena),
            .position = query_int(&query, 1),
            .entity = copy_column(&query, 2, arena),
            .type = copy_column(&query, 3, arena),
            .error = copy_column(&query, 4, arena),
            .since_ms = query_int(&query, 5),
        };
        if (!parked->log || !parked->entity || !parked->type || !parked->error)
            return fail(ERR_MEMORY, "no memory for the list of parked events");
    }
    if (r == 0)
        *ret_count = count;
    return trace(r);
}

int parked_next_free(struct db *db, const struct parked_filter *filter, const char *after_log,
                     int64_t after_position, struct arena *arena, const char **ret_log,
                     int64_t *ret_position)
{
    _deinit_(query) struct query query = { 0 };
    int r =
        query_open(&query, db,
                   "SELECT log, position FROM parked AS p WHERE (log, position) > (?1, ?2)"
                   " AND log = coalesce(?3, log) AND entity = coalesce(?4, entity) AND NOT EXISTS"
                   " (SELECT 1 FROM parked AS q WHERE q.log = p.log AND q.entity = p.entity AND "
                   "q.position < p.position)"
                   " ORDER BY log, position LIMIT 1",
                   "siss", after_log, after_position, filter->log, filter->entity);
    if (r == 0)
        r = query_next(&query);
    if (r <= 0)
        return trace(r);
    const char *log = copy_column(&query, 0, arena);
    if (!log)
        return fail(ERR_MEMORY, "no memory for a parked event");
    *ret_log = log;
    *ret_position = query_int(&query, 1);
    return 1;
}
