/* Db, maintenance of the file: checkpoints, sizes, integrity check, backup. See db.h. */
#include "store/db_sqlite.h"
#include "base/result.h"
#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int db_checkpoint(struct db *db, _Bool truncate, int64_t *ret_wal_bytes)
{
    int r = db_may_write(db);
    if (r < 0)
        return trace(r);
    int mode = truncate ? SQLITE_CHECKPOINT_TRUNCATE : SQLITE_CHECKPOINT_PASSIVE;
    sqlite3_busy_timeout(db->handle, 0); /* a checkpoint that truncates would wait for readers */
    int pages = -1, moved = -1;
    int code = sqlite3_wal_checkpoint_v2(db->handle, "main", mode, &pages, &moved);
    sqlite3_busy_timeout(db->handle, db->lock_timeout_ms);
    if (pages >= 0) {
        assert(moved >= 0 && moved <= pages);
        db->wal_pages = pages;
        db->wal_moved = moved;
    }
    db->wal_is_moved = code == SQLITE_OK && pages >= 0 && pages == moved;
    if (ret_wal_bytes)
        *ret_wal_bytes = db_wal_bytes(db);
    return code == SQLITE_OK || code == SQLITE_BUSY ? 0 : db_fail(db, code, "checkpoint");
}

void db_set_wal_numbering(struct db *db, db_number_wal *number)
{
    assert(!db->read_only);
    db->number_wal = number;
}

void db_want_wal_number(struct db *db)
{
    db->wants_number = db->number_wal != NULL;
}

_Bool db_wal_is_numbered(const struct db *db)
{
    return db->is_numbered || !db->number_wal;
}

void db_abandon(struct db *db)
{
    db->is_abandoned = 1;
}

const char *db_path(const struct db *db)
{
    return db->path;
}

int db_open_without_wal(const struct db *db, struct db **ret_db)
{
    const struct db_options options = {
        .path = db->path, .vfs = db->vfs, .read_only = 1, .without_wal = 1
    };
    return trace(db_open(&options, ret_db));
}

int64_t db_wal_bytes(const struct db *db)
{
    char path[4096];
    struct stat status;
    snprintf(path, sizeof(path), "%s-wal", db->path);
    return stat(path, &status) == 0 ? (int64_t)status.st_size : 0;
}

int64_t db_file_bytes(const struct db *db)
{
    struct stat status;
    return stat(db->path, &status) == 0 ? (int64_t)status.st_size : 0;
}

static int check(struct db *db, const char *sql)
{
    _deinit_(query) struct query query = { 0 };
    int r = query_find(&query, db, sql, "");
    if (r != 0)
        return r < 0 ? trace(r)
                     : fail(ERR_CORRUPT, "%s: the integrity check says nothing", db->path);
    const char *finding = query_text(&query, 0);
    if (!finding || strcmp(finding, "ok") != 0)
        return fail(ERR_CORRUPT, "%s: %s", db->path, finding ? finding : "no finding");
    return 0;
}

int db_integrity_check(struct db *db)
{
    return trace(check(db, "PRAGMA integrity_check(1)"));
}

int db_quick_check(struct db *db)
{
    return trace(check(db, "PRAGMA quick_check(1)"));
}

#define CHECK_STEPS 2000 /* of SQLite's machine between two pauses */

static int run_table_check(struct db *db, const char *table, const char *sql)
{
    sqlite3_stmt *prepared;
    int r = db_prepare(db, sql, 0, &prepared);
    if (r < 0)
        return trace(r);
    const int code = sqlite3_step(prepared);
    const char *finding = code == SQLITE_ROW ? (const char *)sqlite3_column_text(prepared, 0) : "";
    if (code == SQLITE_INTERRUPT)
        r = DB_CHECK_STOPPED;
    else if (code != SQLITE_ROW)
        r = code == SQLITE_DONE ? 0 : db_fail(db, code, table);
    else if (finding && strcmp(finding, "ok") != 0)
        r = fail(ERR_CORRUPT, "the table %s: %s", table, finding);
    sqlite3_finalize(prepared);
    return r;
}

int db_check_table(struct db *db, const char *table, int (*pause)(void *context), void *context)
{
    char *sql = sqlite3_mprintf("PRAGMA integrity_check(%Q)", table);
    if (!sql)
        return fail(ERR_MEMORY, "no memory for a check");
    sqlite3_progress_handler(db->handle, CHECK_STEPS, pause, context);
    int r = run_table_check(db, table, sql);
    sqlite3_progress_handler(db->handle, 0, NULL, NULL);
    sqlite3_free(sql);
    return r < 0 ? trace(r) : r;
}

/* All pages in one step, under one snapshot. Between two steps another writer would make the copy
 * start anew, under load for ever. */
int db_backup(struct db *db, const char *path)
{
    struct stat status;
    if (stat(path, &status) == 0)
        return fail(ERR_READONLY, "%s is there already; a backup does not overwrite", path);
    sqlite3 *target = NULL;
    int code = sqlite3_open(path, &target);
    if (code == SQLITE_OK) {
        sqlite3_backup *backup = sqlite3_backup_init(target, "main", db->handle, "main");
        code = backup ? sqlite3_backup_step(backup, -1) : sqlite3_errcode(target);
        sqlite3_backup_finish(backup);
    }
    int r = code == SQLITE_DONE
                ? 0
                : fail(db_failure_of(code), "backup to %s: %s", path, sqlite3_errstr(code));
    sqlite3_close(target);
    if (r < 0)
        unlink(path); /* half a copy is worthless */
    return r;
}

const char *db_library_version(void)
{
    return sqlite3_libversion();
}
