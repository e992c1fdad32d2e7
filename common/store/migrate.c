/* Migration: see migrate.h. */
#include "store/migrate.h"
#include "base/result.h"
#include "store/cursor.h"
#include "store/event_log.h"
#include "store/kept_streams.h"
#include "store/parked.h"
#include "store/refusals.h"
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

static int create_meta(struct db *db)
{
    return trace(db_script(db, "CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) "
                               "STRICT, WITHOUT ROWID;"));
}

/* Step n brings a file from version n to n + 1. A step that was released is never changed. */
static int (*const first_step[])(struct db *) = {
    create_meta, event_log_create, cursor_create_table, refusals_create_table, parked_create_table,
};

static int step_0(struct db *db)
{
    for (size_t i = 0; i < sizeof(first_step) / sizeof(*first_step); i++) {
        int r = first_step[i](db);
        if (r < 0)
            return trace(r);
    }
    return 0;
}

static int (*const steps[])(struct db *) = { step_0, refusals_create_index,
                                             kept_streams_create_tables };
#define STORE_VERSION ((int64_t)(sizeof(steps) / sizeof(*steps)))

int64_t store_version(void)
{
    return STORE_VERSION;
}

static int step_run(struct db *db, int64_t version)
{
    assert(version >= 0 && version < STORE_VERSION);
    char marks[96];
    int64_t now = version;
    int r = db_find_number(db, &now, "PRAGMA user_version", "");
    if (r != 0 || now != version) /* another process did this step while we waited for the lock */
        return trace(r);
    snprintf(marks, sizeof(marks), "PRAGMA application_id=%d; PRAGMA user_version=%" PRId64 ";",
             DB_APPLICATION_ID, version + 1);
    r = steps[version](db);
    return r < 0 ? trace(r) : trace(db_script(db, marks));
}

static int step_transaction(struct db *db, int64_t version)
{
    int r = db_begin(db);
    if (r < 0)
        return trace(r);
    r = step_run(db, version);
    if (r == 0)
        r = db_commit(db);
    if (r < 0)
        db_rollback(db);
    return trace(r);
}

int store_migrate(struct db *db)
{
    int64_t application = 0, version = 0, tables = 0;
    /* In this order, because another process that makes the tables at this moment marks the file in
     * the same commit. */
    int r = db_find_number(db, &tables, "SELECT count(*) FROM sqlite_master", "");
    if (r == 0)
        r = db_find_number(db, &application, "PRAGMA application_id", "");
    if (r == 0)
        r = db_find_number(db, &version, "PRAGMA user_version", "");
    if (r != 0)
        return trace(r);
    if (application != DB_APPLICATION_ID && (application != 0 || tables != 0))
        return fail(ERR_CONFIG,
                    "the file is an SQLite database of another program; choose another --data-dir");
    if (version > STORE_VERSION)
        return fail(ERR_CONFIG,
                    "the file has version %" PRId64 ", this program knows up to %" PRId64
                    "; use the newer program",
                    version, STORE_VERSION);
    for (; version < STORE_VERSION; version++) {
        r = step_transaction(db, version);
        if (r < 0)
            return trace(r);
    }
    return 0;
}

int meta_find(struct db *db, const char *name, int64_t *ret_value)
{
    return trace(
        db_find_number(db, ret_value, "SELECT value FROM meta WHERE name = ?1", "s", name));
}

int meta_read_or(struct db *db, const char *name, int64_t otherwise, int64_t *ret_value)
{
    int r = meta_find(db, name, ret_value);
    if (r == NOT_FOUND)
        *ret_value = otherwise;
    return r < 0 ? trace(r) : 0;
}

int meta_write(struct db *db, const char *name, int64_t value)
{
    assert(name);
    return trace(db_exec(db, "INSERT OR REPLACE INTO meta VALUES (?1, ?2)", "si", name, value));
}
