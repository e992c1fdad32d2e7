/* Db: connections and transactions. See db.h. Statements and rows stand in db_query.c, the
 * maintenance of the file in db_care.c.
 *
 *   T1  transactions do not nest, and end without an open savepoint
 *   T2  a savepoint is released, or rolled back to, once
 */
#include "store/db_sqlite.h"
#include "base/buf.h"
#include "base/guard.h"
#include "base/log.h"
#include "base/result.h"
#include <assert.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- Failures ------------------------------------------------------------------------------- */

enum failure db_failure_of(int code)
{
    switch (code) { /* extended codes that mean something else than their family */
    case SQLITE_IOERR_NOMEM:     return ERR_MEMORY;
    case SQLITE_IOERR_DATA:
    case SQLITE_IOERR_CORRUPTFS: return ERR_CORRUPT;
    }
    switch (code & 0xff) {
    case SQLITE_FULL:       return ERR_FULL;
    case SQLITE_IOERR:      return ERR_IO;
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:       return ERR_READONLY;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:     return ERR_CORRUPT;
    case SQLITE_CONSTRAINT:
    case SQLITE_MISMATCH:
    case SQLITE_TOOBIG:     return ERR_CONSTRAINT;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PROTOCOL:   return ERR_LOCKED; /* SQLite gave up a race for the locks of the WAL */
    case SQLITE_NOMEM:      return ERR_MEMORY;
    default:                return ERR_INTERNAL;
    }
}

int db_fail_at(struct db *db, int code, const char *what, const char *file, int line)
{
    enum failure failure = db_failure_of(code);
    if (failure == ERR_CORRUPT)
        atomic_store(db->damaged, 1);
    return failure_note(failure, file, line, "%s: %s", what, sqlite3_errmsg(db->handle));
}

int db_may_write(const struct db *db)
{
    if (db->is_abandoned)
        return fail(ERR_READONLY, "%s is not the file that was opened any more", db->path);
    return atomic_load(db->damaged)
               ? fail(ERR_CORRUPT, "%s is damaged and is not written any more", db->path)
               : 0;
}

/* ---- Opening -------------------------------------------------------------------------------- */

static const struct {
    const char *set;
    const char *read;
    const char *expected;
    _Bool writer_only;
} pragmas[] = {
    { "PRAGMA journal_mode=WAL", "PRAGMA journal_mode", "wal", 1 },
    { "PRAGMA synchronous=FULL", "PRAGMA synchronous", "2", 0 },
    { "PRAGMA foreign_keys=ON", "PRAGMA foreign_keys", "1", 0 },
    { "PRAGMA trusted_schema=OFF", "PRAGMA trusted_schema", "0", 0 },
    { "PRAGMA cell_size_check=ON", "PRAGMA cell_size_check", "1", 0 },
    { "PRAGMA wal_autocheckpoint=0", "PRAGMA wal_autocheckpoint", "0", 1 },
    { "PRAGMA temp_store=MEMORY", "PRAGMA temp_store", "2", 1 },
    { "PRAGMA cache_size=-4000", "PRAGMA cache_size", "-4000", 1 },
    { "PRAGMA journal_size_limit=67108864", "PRAGMA journal_size_limit", "67108864", 1 },
};

static int check_pragma(struct db *db, const char *read, const char *expected)
{
    sqlite3_stmt *prepared;
    int r = db_prepare(db, read, 0, &prepared);
    if (r < 0)
        return trace(r);
    const char *value = sqlite3_step(prepared) == SQLITE_ROW
                            ? (const char *)sqlite3_column_text(prepared, 0)
                            : "nothing";
    _Bool memory = strcmp(expected, "wal") == 0 && value && strcmp(value, "memory") == 0;
    if (!memory && (!value || strcmp(value, expected) != 0))
        r = fail(ERR_CONFIG, "%s: %s says %s instead of %s", db->path, read,
                 value ? value : "nothing", expected);
    sqlite3_finalize(prepared);
    return r;
}

/* Our files are in WAL mode from the beginning. A file with tables that is not in WAL mode and does
 * not carry our mark is another program's: not a byte of it is changed. */
static int refuse_foreign(struct db *db)
{
    int64_t mark = 0, tables = 0;
    /* In this order, because another process that makes the tables at this moment marks the file in
     * the same commit. */
    int r = db_find_number(db, &tables, "SELECT count(*) FROM sqlite_master", "");
    if (r == 0)
        r = db_find_number(db, &mark, "PRAGMA application_id", "");
    if (r != 0)
        return trace(r);
    if (mark == DB_APPLICATION_ID || (mark == 0 && tables == 0) ||
        check_pragma(db, "PRAGMA journal_mode", "wal") == 0)
        return 0;
    return fail(ERR_CONFIG,
                "%s is an SQLite database of another program; choose another --data-dir", db->path);
}

static int on_commit(void *context, sqlite3 *handle, const char *name, int pages)
{
    struct db *db = context;
    (void)handle, (void)name;
    assert(pages >= 0 && !db->read_only);
    if (pages < db->wal_pages)
        db->wal_moved = 0;
    db->wal_pages = pages;
    db->wal_is_moved = 0;
    db->is_numbered = db->numbers;
    db->numbers = 0;
    return SQLITE_OK;
}

/* Before the first statement. None of these can fail on a connection that is open. */
static void defend(struct db *db)
{
    sqlite3_db_config(db->handle, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
    sqlite3_db_config(db->handle, SQLITE_DBCONFIG_ENABLE_VIEW, 0, NULL);
    sqlite3_db_config(db->handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    sqlite3_db_config(db->handle, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
}

static int set_pragmas(struct db *db, const struct db_options *options)
{
    sqlite3_extended_result_codes(db->handle, 1);
    sqlite3_busy_timeout(db->handle, options->lock_timeout_ms);
    defend(db);
    int refused = options->read_only ? 0 : refuse_foreign(db);
    if (refused < 0)
        return trace(refused);
    for (size_t i = 0; i < sizeof(pragmas) / sizeof(*pragmas); i++) {
        if (options->read_only && pragmas[i].writer_only)
            continue;
        int r = db_script(db, pragmas[i].set);
        if (r == 0)
            r = check_pragma(db, pragmas[i].read, pragmas[i].expected);
        if (r < 0)
            return trace(r);
    }
    if (!options->read_only)
        /* after wal_autocheckpoint, which SQLite implements by such a hook */
        sqlite3_wal_hook(db->handle, on_commit, db);
    return GUARD(sync_before_reply) ? 0 : trace(db_script(db, "PRAGMA synchronous=NORMAL"));
}

/* Without the count of memory that nobody reads: SQLite keeps it under a lock of all
 * connections. */
static void configure(void)
{
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}

/* Of a file, as SQLite reads it: some characters of a path have a meaning in a URI. */
static void put_uri(struct buf *uri, const char *path, const char *parameters)
{
    buf_put_text(uri, "file:");
    for (const char *c = path; *c; c++)
        if (strchr("?#%", *c))
            buf_put_format(uri, "%%%02X", (unsigned char)*c);
        else
            buf_put_char(uri, *c);
    buf_put_text(uri, parameters);
    buf_put_char(uri, '\0');
}

static int open_handle(struct db *db, const struct db_options *options)
{
    _deinit_(buf) struct buf uri = { 0 };
    int flags = options->read_only ? SQLITE_OPEN_READONLY
                                   : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
    flags |= options->scratch || options->without_wal ? SQLITE_OPEN_URI : 0; /* compare_attach */
    assert(!options->without_wal || options->read_only);
    if (options->without_wal)
        put_uri(&uri, options->path, "?immutable=1");
    if (buf_status(&uri) < 0)
        return trace(buf_status(&uri));
    int code = sqlite3_open_v2(options->without_wal ? uri.data : options->path, &db->handle,
                               flags | SQLITE_OPEN_NOMUTEX, options->vfs);
    if (code == SQLITE_OK)
        return 0;
    return db->handle ? db_fail(db, code, options->path)
                      : fail(ERR_MEMORY, "no memory for a database connection");
}

int db_open(const struct db_options *options, struct db **ret_db)
{
    assert(options->path && options->lock_timeout_ms >= 0 && ret_db);
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, configure);
    _free_(db) struct db *db = calloc(1, sizeof(*db));
    if (!db || !(db->path = strdup(options->path)))
        /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): clang does not know of _free_ */
        return fail(ERR_MEMORY, "no memory for a database connection");
    db->damaged = options->damaged ? options->damaged : &db->own_damaged;
    db->read_only = options->read_only;
    db->lock_timeout_ms = options->lock_timeout_ms;
    db->vfs = options->vfs;
    int r = open_handle(db, options);
    if (r < 0)
        return trace(r);
    r = set_pragmas(db, options);
    if (r == 0 && options->scratch)
        r = db_script(db, "PRAGMA main.journal_mode=MEMORY; PRAGMA main.synchronous=OFF; PRAGMA "
                          "main.locking_mode=NORMAL");
    if (r < 0)
        return trace(r);
    *ret_db = take(db);
    return 0;
}

int db_attach(struct db *db, const char *path, const char *name)
{
    return trace(db_exec(db, "ATTACH ?1 AS ?2", "ss", path, name));
}

int db_detach(struct db *db, const char *name)
{
    return trace(db_exec(db, "DETACH ?1", "s", name));
}

void db_free(struct db *db)
{
    if (!db)
        return;
    db_finalize_statements(db);
    /* the last connection to close would checkpoint */
    if (atomic_load(db->damaged) || db->is_abandoned)
        sqlite3_db_config(db->handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    sqlite3_close(db->handle);
    free(db->path);
    free(db);
}

int64_t db_wal_pending_bytes(const struct db *db)
{
    assert(db->wal_moved <= db->wal_pages);
    return (int64_t)(db->wal_pages - db->wal_moved) * PAGE_BYTES;
}

/* ---- Transactions --------------------------------------------------------------------------- */

int db_begin(struct db *db)
{
    if (db->owes_rollback && db_rollback(db) < 0)
        return fail(ERR_LOCKED, "the previous transaction could not be rolled back yet");
    assert(sqlite3_get_autocommit(db->handle) && db->savepoints == 0); /* T1 */
    if (db->read_only)
        return trace(db_exec(db, "BEGIN", ""));
    int r = db_may_write(db);
    db->numbers = 0;
    if (r == 0)
        r = db_exec(db, "BEGIN IMMEDIATE", "");
    if (r == 0 && db->number_wal &&
        (db->wal_is_moved || db->wants_number || db_wal_pending_bytes(db) >= DB_WAL_MAX_BYTES)) {
        r = db->number_wal(db, db->wal_is_moved);
        if (r < 0)
            db_rollback(db);
        db->numbers = r == 0;
        db->wants_number = r < 0;
    }
    return trace(r);
}

int db_commit(struct db *db)
{
    assert(db->savepoints == 0); /* T1 */
    /* damage may have been met since the transaction began */
    int r = db->read_only ? 0 : db_may_write(db);
    return r < 0 ? trace(r) : trace(db_exec(db, "COMMIT", ""));
}

int db_rollback(struct db *db)
{
    int r = sqlite3_get_autocommit(db->handle) ? 0 : db_exec(db, "ROLLBACK", "");
    db->owes_rollback = r < 0;
    db->savepoints = 0;
    db->wants_number |= db->numbers;
    db->numbers = 0;
    return trace(r);
}

int db_savepoint(struct db *db)
{
    int r = db_exec(db, "SAVEPOINT item", "");
    db->savepoints += r == 0;
    return trace(r);
}

int db_release(struct db *db)
{
    assert(db->savepoints > 0); /* T2 */
    int r = db_exec(db, "RELEASE item", "");
    db->savepoints -= r == 0;
    return trace(r);
}

int db_rollback_to_savepoint(struct db *db)
{
    int r = db_exec(db, "ROLLBACK TO item", "");
    return r < 0 ? trace(r) : trace(db_release(db));
}
