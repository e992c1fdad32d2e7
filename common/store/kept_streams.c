/* Kept streams: see kept_streams.h. */
#include "store/kept_streams.h"
#include "base/result.h"
#include "store/row.h"
#include <assert.h>

int kept_streams_create_tables(struct db *db)
{
    return trace(
        db_script(db, "CREATE TABLE IF NOT EXISTS kept_streams ("
                      " stream TEXT PRIMARY KEY, created TEXT NOT NULL, config TEXT NOT NULL"
                      ") STRICT, WITHOUT ROWID;"
                      "CREATE TABLE IF NOT EXISTS kept_durables ("
                      " stream TEXT NOT NULL, name TEXT NOT NULL, position INTEGER NOT NULL,"
                      " config TEXT NOT NULL, PRIMARY KEY (stream, name)) STRICT, WITHOUT ROWID;"));
}

static int read_durables(struct db *db, struct arena *arena, struct kept_stream_row *row)
{
    _deinit_(query) struct query query = { 0 };
    int64_t count = 0;
    int r = db_find_number(db, &count, "SELECT count(*) FROM kept_durables WHERE stream = ?1", "s",
                           row->stream);
    struct kept_durable_row *durables = arena_alloc(arena, sizeof(*durables) * (size_t)(count + 1));
    if (r == 0)
        r = durables ? query_open(&query, db,
                                  "SELECT name, position, config FROM kept_durables"
                                  " WHERE stream = ?1",
                                  "s", row->stream)
                     : fail(ERR_MEMORY, "no memory for the durables of a stream");
    if (r < 0)
        return trace(r);
    struct row durable = { .query = &query, .arena = arena };
    while (row->durable_count < count && query_has_row(&query))
        durables[row->durable_count++] = (struct kept_durable_row){
            .name = row_text(&durable, "name"),
            .position = row_int(&durable, "position"),
            .config = row_text(&durable, "config"),
        };
    row->durables = durables;
    return trace(row_status(&durable));
}

int kept_streams_read(struct db *db, const char *stream, struct arena *arena,
                      struct kept_stream_row *ret_row)
{
    _deinit_(query) struct query query = { 0 };
    struct kept_stream_row kept = { .stream = stream };
    int r = query_find(&query, db, "SELECT created, config FROM kept_streams WHERE stream = ?1",
                       "s", stream);
    if (r != 0)
        return trace(r);
    struct row row = { .query = &query, .arena = arena };
    kept.created = row_text(&row, "created");
    kept.config = row_text(&row, "config");
    r = row_status(&row);
    if (r == 0)
        r = read_durables(db, arena, &kept);
    if (r == 0)
        *ret_row = kept;
    return trace(r);
}

int kept_streams_write(struct db *db, const struct kept_stream_row *row)
{
    assert(row->stream && row->created && row->config && row->durable_count >= 0);
    int r = db_exec(db, "INSERT OR REPLACE INTO kept_streams VALUES (?1, ?2, ?3)", "sss",
                    row->stream, row->created, row->config);
    if (r == 0)
        r = db_exec(db, "DELETE FROM kept_durables WHERE stream = ?1", "s", row->stream);
    for (int i = 0; i < row->durable_count && r == 0; i++)
        r = db_exec(db, "INSERT INTO kept_durables VALUES (?1, ?2, ?3, ?4)", "ssis", row->stream,
                    row->durables[i].name, row->durables[i].position, row->durables[i].config);
    return trace(r);
}
