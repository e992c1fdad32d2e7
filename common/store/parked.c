/* Parked events: see parked.h. */
#include "store/parked.h"
#include "base/result.h"
#include "store/row.h"
#include <assert.h>
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
    return trace(db_find_number(db, ret_count, "SELECT count(*) FROM parked", ""));
}

int parked_has_entity(struct db *db, const char *log, const char *entity)
{
    assert(log && entity);
    return trace(db_has_row(db, "SELECT 1 FROM parked WHERE log = ?1 AND entity = ?2 LIMIT 1", "ss",
                            log, entity));
}

int parked_has_event(struct db *db, const char *log, int64_t position)
{
    return trace(db_has_row(db, "SELECT 1 FROM parked WHERE log = ?1 AND position = ?2", "si", log,
                            position));
}

int parked_add(struct db *db, const struct parked *parked)
{
    assert(parked->log && parked->position > 0 && parked->entity && parked->type && parked->error);
    return trace(db_exec(db, "INSERT INTO parked VALUES (?1, ?2, ?3, ?4, ?5, ?6)", "sisssi",
                         parked->log, parked->position, parked->entity, parked->type, parked->error,
                         parked->since_ms));
}

int parked_remove(struct db *db, const char *log, int64_t position)
{
    return trace(
        db_exec(db, "DELETE FROM parked WHERE log = ?1 AND position = ?2", "si", log, position));
}

int parked_find_first(struct db *db, const char *log, const char *entity, int64_t *ret_position)
{
    return trace(db_find_number(db, ret_position,
                                "SELECT position FROM parked WHERE log = ?1 AND entity = ?2"
                                " ORDER BY position LIMIT 1",
                                "ss", log, entity));
}

int parked_set_error(struct db *db, const char *log, int64_t position, const char *error)
{
    assert(log && error);
    return trace(db_exec(db, "UPDATE parked SET error = ?3 WHERE log = ?1 AND position = ?2", "sis",
                         log, position, error));
}

/* The next log with parked events behind this one. 0, with its text in the arena; NOT_FOUND. */
static int find_next_log(struct db *db, const char *log, struct arena *arena, const char **ret_log)
{
    _deinit_(query) struct query query = { 0 };
    int r = query_find(&query, db, "SELECT log FROM parked WHERE log > ?1 ORDER BY log LIMIT 1",
                       "s", log);
    if (r != 0)
        return trace(r);
    struct row row = { .query = &query, .arena = arena };
    const char *found = row_text(&row, "log");
    r = row_status(&row);
    if (r == 0)
        *ret_log = found;
    return trace(r);
}

static int count_in_log(struct db *db, const char *log, const char *entity, int64_t *ret_count)
{
    if (entity)
        return trace(db_find_number(db, ret_count,
                                    "SELECT count(*) FROM parked WHERE log = ?1 AND entity = ?2",
                                    "ss", log, entity));
    return trace(
        db_find_number(db, ret_count, "SELECT count(*) FROM parked WHERE log = ?1", "s", log));
}

int parked_count_of(struct db *db, const struct parked_filter *filter, int64_t *ret_count)
{
    _deinit_(arena) struct arena arena = { 0 };
    const char *log = "";
    int64_t count = 0, all = 0;
    if (filter->log)
        return trace(count_in_log(db, filter->log, filter->entity, ret_count));
    int r;
    while ((r = find_next_log(db, log, &arena, &log)) == 0) {
        r = count_in_log(db, log, filter->entity, &count);
        if (r < 0)
            return trace(r);
        all += count;
    }
    if (r < 0)
        return trace(r);
    *ret_count = all;
    return 0;
}

int parked_list(struct db *db, const char *after_log, int64_t after_position, struct arena *arena,
                struct parked *ret_parked, int max, int *ret_count)
{
    assert(after_log && ret_parked && max > 0);
    _deinit_(query) struct query query = { 0 };
    struct row row = { .query = &query, .arena = arena };
    int count = 0;
    int r = query_open(&query, db,
                       "SELECT log, position, entity, type, error, since_ms FROM parked"
                       " WHERE (log, position) > (?1, ?2) ORDER BY log, position LIMIT ?3",
                       "sii", after_log, after_position, (int64_t)max);
    while (r == 0 && query_has_row(&query))
        ret_parked[count++] = (struct parked){
            .log = row_text(&row, "log"),
            .position = row_int(&row, "position"),
            .entity = row_text(&row, "entity"),
            .type = row_text(&row, "type"),
            .error = row_text(&row, "error"),
            .since_ms = row_int(&row, "since_ms"),
        };
    if (r == 0)
        r = row_status(&row);
    if (r < 0)
        return trace(r);
    *ret_count = count;
    return 0;
}

/* A slice of the log's parked events: most may be behind others of their entity. */
static int walk(struct db *db, const char *log, int64_t after_position, int64_t *ret_position)
{
    _deinit_(query) struct query query = { 0 };
    struct row row = { .query = &query };
    int count = 0;
    _Bool is_first = 0;
    int r = query_open(&query, db,
                       "SELECT position, NOT EXISTS (SELECT 1 FROM parked AS q WHERE q.log = p.log"
                       " AND q.entity = p.entity AND q.position < p.position) AS is_first"
                       " FROM parked AS p WHERE log = ?1 AND position > ?2 ORDER BY position"
                       " LIMIT ?3",
                       "sii", log, after_position, (int64_t)PARKED_WALK_MAX);
    while (r == 0 && !is_first && query_has_row(&query)) {
        count++;
        is_first = row_bool(&row, "is_first");
        *ret_position = row_int(&row, "position");
    }
    if (r == 0)
        r = row_status(&row);
    if (r < 0)
        return trace(r);
    return is_first ? 0 : count == PARKED_WALK_MAX ? PARKED_GOES_ON : NOT_FOUND;
}

/* In one log. 0, NOT_FOUND, PARKED_GOES_ON, or < 0. */
static int find_next_in(struct db *db, const char *log, const char *entity, int64_t after_position,
                        int64_t *ret_position)
{
    if (!entity)
        return trace(walk(db, log, after_position, ret_position));
    int64_t first = 0;
    int r = parked_find_first(db, log, entity, &first);
    if (r != 0 || first <= after_position)
        return r == 0 ? NOT_FOUND : trace(r);
    *ret_position = first;
    return 0;
}

int parked_find_next(struct db *db, const struct parked_filter *filter, const char *after_log,
                     int64_t after_position, struct arena *arena, const char **ret_log,
                     int64_t *ret_position)
{
    assert(after_log);
    const char *log = filter->log && strcmp(after_log, filter->log) < 0 ? filter->log : after_log;
    int64_t after = log == after_log ? after_position : 0;
    int r;
    do {
        r = filter->log && strcmp(log, filter->log) > 0
                ? NOT_FOUND
                : find_next_in(db, log, filter->entity, after, ret_position);
        if (r == 0 || r == PARKED_GOES_ON) {
            *ret_log = arena_copy(arena, log, strlen(log));
            return *ret_log ? r : fail(ERR_MEMORY, "no memory for a parked event");
        }
        after = 0;
    } while (r == NOT_FOUND && (r = find_next_log(db, log, arena, &log)) == 0);
    return trace(r);
}
