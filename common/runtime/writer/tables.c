/* Tables: see tables.h. */
#include "runtime/writer/tables.h"
#include "base/log.h"
#include "runtime/writer/fold.h"
#include "store/layout.h"
#include "store/migrate.h"
#include <assert.h>

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
        r = query_open(
            &query, model,
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'", "");
    while (r == 0 && query_has_row(&query))
        buf_put_format(&sql, "DROP TABLE IF EXISTS \"%s\";", query_text(&query, 0));
    if (r == 0)
        r = query_status(&query);
    buf_put_char(&sql, '\0');
    if (r == 0)
        r = buf_status(&sql);
    return r < 0 ? trace(r) : trace(db_script(db, sql.data));
}

int tables_rebuild(const struct service *service, struct db *db)
{
    int64_t position = 0;
    _Bool more = 0;
    assert(service->tables && service->tables_version > 0);
    int r = drop_tables(service, db);
    if (r == 0)
        r = db_script(db, service->tables);
    if (r == 0)
        r = fold_own_log(service, db, db, &position, INT64_MAX, &more);
    if (r == 0)
        r = db_script(db, "DELETE FROM cursors; DELETE FROM parked;");
    if (r < 0)
        return trace(r);
    log_info("tables_rebuilt", LOG_INT("version", service->tables_version),
             LOG_INT("position", position));
    return 0;
}

int tables_create(const struct service *service, struct db *db)
{
    int64_t version = 0;
    int r = meta_find(db, META_TABLES_VERSION, &version);
    if (r < 0)
        return trace(r);
    if (r == 0 && version != service->tables_version) {
        r = tables_rebuild(service, db);
        if (r == 0)
            r = meta_write(db, META_FOLDING, 1);
    } else {
        r = db_script(db, service->tables);
    }
    if (r == 0)
        r = meta_write(db, META_TABLES_VERSION, service->tables_version);
    if (r == 0 && service->scratch_tables)
        r = db_script(db, service->scratch_tables);
    return trace(r);
}

int tables_compare_layout(const struct service *service, struct db *db, struct buf *out)
{
    _free_(db) struct db *model = NULL;
    int r = db_open(&(struct db_options){ .path = ":memory:" }, &model);
    if (r == 0)
        r = store_migrate(model);
    if (r == 0)
        r = db_script(model, service->tables);
    if (r == 0 && service->scratch_tables)
        r = db_script(model, service->scratch_tables);
    if (r == 0)
        r = layout_compare(db, model, out);
    buf_put_char(out, '\0');
    return r < 0 ? trace(r) : buf_status(out) < 0 ? trace(buf_status(out)) : r;
}
