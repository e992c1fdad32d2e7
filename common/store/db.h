/* Db: the only interface to SQLite. Statements are plain SQL. A statement is prepared once and kept
 * by the address of its text, so pass string literals. A handle belongs to one thread at a time.
 *
 * db_open sets these pragmas, and reads each back: WAL, synchronous FULL, foreign_keys on,
 * trusted_schema off, cell_size_check on, journal_size_limit, no automatic checkpoint (the writer
 * checkpoints off the hot path). A pragma that does not hold is ERR_CONFIG.
 *
 * One connection of a process writes and checkpoints; all others are read-only, because SQLite
 * before 3.51.3 can corrupt a file otherwise. Connections to one file share `damaged`: after one of
 * them has met damage (ERR_CORRUPT), none writes to the file again, not even when it is closed.
 *
 * Triggers and views do nothing in any of our connections, and the schema cannot be changed but by
 * its own statements (SQLITE_DBCONFIG_DEFENSIVE): what somebody else has put into a file is not
 * run.
 *
 * Failures: ERR_FULL, ERR_IO, ERR_READONLY, ERR_CORRUPT, ERR_CONSTRAINT, ERR_LOCKED, ERR_MEMORY,
 * ERR_INTERNAL (a mistake in the SQL).
 */
#pragma once
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include "base/cleanup.h"

#define DB_APPLICATION_ID 0x4a4d5348 /* "JMSH": PRAGMA application_id of our files */

struct db; /* opaque: a sqlite3 connection and its statements */

struct db_options {
    const char *path; /* file; ":memory:" for tests */
    _Bool read_only;
    int lock_timeout_ms; /* how long to wait for the lock of another connection; 0: not at all */
    const char *vfs;     /* NULL: the default; fault fixtures name theirs */
    _Bool scratch; /* a file that may be lost: its journal is in memory, and it is not synced */
    /* Read-only, the file alone: a WAL beside it is not looked at, and nothing is written beside it
     * either. Of a file that somebody writes to, what is read may be of two times. */
    _Bool without_wal;
    /* Shared by all connections of a process to one file, and outlives them: the connection that
     * meets damage sets it. NULL: the connection has one of its own. */
    atomic_bool *damaged;
};

/* Attaches another file under a schema name. What is read of both within a transaction is one
 * snapshot. The connection of a scratch file takes a URI as well. */
int db_attach(struct db *db, const char *path, const char *name);
int db_detach(struct db *db, const char *name);

/* For writing, the file is made when it is not there. ERR_CONFIG for a file of another program;
 * such a file is not changed. */
int db_open(const struct db_options *options, struct db **ret_db);
void db_free(struct db *db);
DEFINE_FREE(db)

/* Each parameter is described by one letter: i int64_t · s const char * (NULL binds NULL) ·
 * b const void *, size_t (NULL binds NULL). Text and blobs are borrowed until the statement ends.
 * ERR_INTERNAL: there are more or fewer letters than parameters. */
int db_exec(struct db *db, const char *sql, const char *types, ...); /* runs to the end, no rows */
int db_script(struct db *db, const char *sql); /* several statements, no parameters */
int64_t db_changed_rows(const struct db *db);  /* by the newest db_exec */

/* What an apply returns for a statement that has to change exactly one row: `result` is what
 * db_exec returned. 0; or < 0, also when another number of rows was changed: then log and tables do
 * not fit each other, which must not pass silently (rule 6). */
int db_changed_one(struct db *db, int result);
int64_t db_inserted_row(const struct db *db); /* rowid of the newest INSERT */

/* Rows, one after another:
 *
 *     _deinit_(query) struct query q = { 0 };
 *     int r = query_open(&q, db, "SELECT sku, name FROM products WHERE stock > ?1", "i", least);
 *     while (r == 0 && query_has_row(&q))
 *         use(query_text(&q, query_column(&q, "name")));
 *     if (r == 0)
 *         r = query_status(&q);
 *
 * store/row.h reads the columns of a row into an arena. */
struct statement; /* opaque */
struct query {
    void *prepared;              /* NULL: not open */
    struct statement *statement; /* the shared one of this text */
    struct db *db;
    const char *const *columns; /* by number: the name by which it was read; NULL: none was yet */
    int column_count;
    int next_column;  /* where the next name is looked for first */
    int failure;      /* that ended it; told by query_status */
    _Bool is_private; /* a statement of its own, because the shared one was in use */
    _Bool has_row, ended, is_told;
};
int query_open(struct query *query, struct db *db, const char *sql, const char *types, ...);

/* Moves to the next row. False at the end and after a failure, and from then on; query_status says
 * which of the two. A failure must be read by query_status before query_deinit, which asserts
 * that. */
_Bool query_has_row(struct query *query);
int query_status(struct query *query); /* 0, or the failure that ended the rows */

/* Ends the rows with a failure of the caller's: a row that cannot be used. */
void query_end(struct query *query, int failure);

/* Opens a query and moves to its first row: 0, NOT_FOUND or < 0. */
int query_find(struct query *query, struct db *db, const char *sql, const char *types, ...);

/* The number of the column that the SELECT gives this name (a literal: its address is remembered).
 * A computed column has the name that stands behind AS. An unknown name is a failed assertion.
 * Columns that are read in the order of the SELECT cost least. */
int query_search_column(struct query *query, const char *name);
static inline int query_column(struct query *query, const char *name)
{
    if (query->columns && query->columns[query->next_column] == name)
        return query->next_column++;
    return query_search_column(query, name);
}

/* The current row's columns. Text and blobs are valid until the next row; NULL for NULL. */
int64_t query_int(const struct query *query, int column);
_Bool query_is_null(const struct query *query, int column);
const char *query_text(const struct query *query, int column);
const void *query_blob(const struct query *query, int column, size_t *ret_length);
void query_deinit(struct query *query);
DEFINE_DEINIT(query)

/* The first row's first column as a number: 0, NOT_FOUND (*ret_value is untouched) or < 0. */
int db_find_number(struct db *db, int64_t *ret_value, const char *sql, const char *types, ...);
int db_has_row(struct db *db, const char *sql, const char *types, ...); /* 1 yes, 0 no, < 0 */

/* Transactions. A commit that fails with ERR_IO has an unknown outcome (rule 4). */
int db_begin(struct db *db); /* BEGIN IMMEDIATE on the writer, BEGIN on a reader */
int db_commit(struct db *db);
int db_rollback(struct db *db);  /* also right after SQLite has rolled back by itself */
int db_savepoint(struct db *db); /* savepoints nest; the two below concern the innermost */
int db_release(struct db *db);
int db_rollback_to_savepoint(struct db *db); /* takes its effects back, and releases it */

/* Moves as much of the WAL into the file as is possible without waiting for readers. With
 * `truncate` the WAL is truncated when nobody reads. *ret_wal_bytes (may be NULL): the size of the
 * WAL. 0 or < 0. */
int db_checkpoint(struct db *db, _Bool truncate, int64_t *ret_wal_bytes);

/* When so much waits in the WAL, the writer checkpoints, under load too. Requests wait during a
 * checkpoint, so a checkpoint must be small; a smaller limit gains nothing, because each checkpoint
 * ends with a sync. */
#define DB_WAL_MAX_BYTES (INT64_C(2) * 1024 * 1024)

/* Each WAL gets a number in its first transaction, and another in the last one before a checkpoint,
 * so that a WAL and the file that it belongs to are known by their numbers (store/generation.h).
 * `number` is called in such a transaction, at its begin; is_new: the WAL begins with it. */
typedef int db_number_wal(struct db *db, _Bool is_new);
void db_set_wal_numbering(struct db *db, db_number_wal *number);
/* The next transaction is to be numbered, because a checkpoint follows it. */
void db_want_wal_number(struct db *db);
_Bool db_wal_is_numbered(const struct db *db); /* by its newest transaction */

/* Nothing is written through this connection any more, not even when it is closed: its file is not
 * the one that the path names. */
void db_abandon(struct db *db);

const char *db_path(const struct db *db);
/* A read-only connection that is to be asked about the file of another. */
int db_open_without_wal(const struct db *db, struct db **ret_db);

/* Of the WAL's file, which a checkpoint does not shrink; of what waits in it for the file. */
int64_t db_wal_bytes(const struct db *db);
int64_t db_wal_pending_bytes(const struct db *db);
int64_t db_file_bytes(const struct db *db);

int db_may_write(const struct db *db); /* 0; -ERR_CORRUPT from the moment that damage was met */
int db_integrity_check(struct db *db); /* 0, or -ERR_CORRUPT with the first finding */
/* Of one table and its indexes. `pause` is called now and then, and may sleep; not 0: stop. 0;
 * DB_CHECK_STOPPED; -ERR_CORRUPT with the first finding; or < 0. */
int db_check_table(struct db *db, const char *table, int (*pause)(void *context), void *context);
#define DB_CHECK_STOPPED 1
int db_quick_check(struct db *db); /* the same without the indexes' contents: much faster */

/* A copy by SQLite's backup API, while others write: one snapshot; the WAL grows until the copy is
 * done. The path must not exist; after a failure there is no file. */
int db_backup(struct db *db, const char *path);
const char *db_library_version(void);
