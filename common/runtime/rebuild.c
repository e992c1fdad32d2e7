/* Rebuild: see rebuild.h. Only apply runs (rule 2): nothing is decided, nothing is reacted to. All of it stands in
 * one transaction, so a crash in the middle leaves the old tables, and the next start begins again. */
#include "runtime/rebuild.h"
#include "base/buf.h"
#include "base/log.h"
#include "runtime/context.h"
#include <inttypes.h>
#include <stdint.h>

/* What the service's script makes, asked of a file in memory that it is run on. */
static int drop_tables(const struct service *service, struct db *db)
{
    _free_(db) struct db *model = NULL;
    _deinit_(query) struct query query = { 0 };
    _deinit_(buf) struct buf sql = { 0 };
    int r = db_open(&(struct db_options){ .path = ":memory:" }, &model);
    if (r == 0)
        r = db_script(model, service->tables);
    if (r == 0)
        r = query_open(&query, model, "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'", "");
    while (r >= 0 && (r = query_next(&query)) > 0)
        buf_put_format(&sql, "DROP TABLE IF EXISTS \"%s\";", query_text(&query, 0));
    buf_put_char(&sql, '\0');
    if (r == 0)
        r = buf_status(&sql);
    return r < 0 ? trace(r) : trace(db_script(db, sql.data));
}

static int fold_event(const struct service *service, struct db *db, struct event *event)
{
    _deinit_(arena) struct arena arena;
    arena_init(&arena);
    const struct event_type *type = event_type_of_name(service->events, event->type);
    struct invalid invalid;
    void *value = NULL;
    int r = type ? schema_decode(type->schema, event->data, event->data_length, &arena, &value, &invalid) : 1;
    if (r < 0)
        return trace(r);
    if (r > 0)
        return fail(ERR_INVALID, "our own event %s at position %" PRId64 " cannot be read", event->type, event->position);
    event->value = value;
    return trace(type->apply(db, event));
}

static int fold_own_log(const struct service *service, struct db *db, int64_t *ret_position)
{
    _deinit_(event_reader) struct event_reader reader = { 0 };
    struct event event;
    int64_t position = 0;
    int r = event_reader_open(&reader, db, service->log, 0, INT64_MAX);
    while (r >= 0 && (r = event_reader_next(&reader, &event)) > 0) {
        r = fold_event(service, db, &event);
        position = event.position;
    }
    if (r < 0)
        return trace(r);
    *ret_position = position;
    return 0;
}

int rebuild_tables(const struct service *service, struct db *db)
{
    int64_t position = 0;
    int r = drop_tables(service, db);
    if (r == 0)
        r = db_script(db, service->tables);
    if (r == 0)
        r = fold_own_log(service, db, &position);
    if (r == 0)
        r = db_script(db, "DELETE FROM cursors; DELETE FROM parked;");
    if (r < 0)
        return trace(r);
    log_info("tables_rebuilt", LOG_INT("version", service->tables_version), LOG_INT("position", position));
    return 0;
}
