/* Db: the only door to SQLite. Statements are plain SQL, prepared once and kept by the address of
 * their text, so pass string literals. A handle belongs to one thread at a time.
 *
 * A file opened here is set, and read back to be sure: WAL, synchronous FULL, foreign_keys on,
 * trusted_schema off, cell_size_check on, journal_size_limit, no automatic checkpoint (the writer
 * checkpoints by itself, off the hot path). One connection of a process writes and checkpoints; all
 * others are read-only (SQLite before 3.51.3 can corrupt otherwise). Where one of them does not
 * hold, opening is ERR_CONFIG. After one that shares `damaged` has met damage (ERR_CORRUPT) none
 * writes to the file again, not even on closing.
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
    int lock_timeout_ms;  /* how long to wait for a foreign lock; 0: not at all */
    const char *vfs;      /* NULL: the default; fault fixtures name theirs */
    _Bool scratch;        /* a file that may be lost: rolled back from memory, never synced */
    atomic_bool *damaged; /* shared by all connections of a process to one file, set by the one that
                                         meets damage; outlives them. NULL: each looks after itself */
};

/* Another file under a schema's name; what is read of it within a transaction is one snapshot. A
 * scratch file's connection takes a URI as well. */
int db_attach(struct db *db, const char *path, const char *name);
int db_detach(struct db *db, const char *name);

/* For writing: makes the file when it is not there; ERR_CONFIG for another program's, which stays
 * as it is. */
int db_open(const struct db_options *options, struct db **ret_db);
void db_free(struct db *db);
DEFINE_FREE(db)

/* Parameters are described by one letter each: i int64_t · s const char * (NULL binds NULL) ·
 * b const void *, size_t (NULL binds NULL). They are borrowed until the statement ends. Each
 * parameter of the statement needs its letter, or the failure is ERR_INTERNAL. */
int db_exec(struct db *db, const char *sql, const char *types, ...); /* runs to the end, no rows */
int db_script(struct db *db, const char *sql); /* several statements, no parameters */
int64_t db_changed_rows(const struct db *db);  /* of the newest db_exec */
/* What an apply returns for a statement that has to change one row: 0, or < 0. Anything else means
 * that log and tables do not fit each other, which must not pass silently (rule 6). */
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

/* Moves to the next row. False at the end and after a failure, and from then on: query_status says
 * which. It must be asked before a query that failed is given back; an assertion sees to it. */
_Bool query_has_row(struct query *query);
int query_status(struct query *query); /* 0, or the failure that ended the rows */
void query_end(struct query *query,
               int failure); /* the reader of a row cannot go on: no more rows */

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
int db_rollback(struct db *db);  /* fine when SQLite has rolled back by itself */
int db_savepoint(struct db *db); /* they nest; the two below concern the innermost */
int db_release(struct db *db);
int db_rollback_to_savepoint(struct db *db); /* undoes and releases */

/* Moves what it can of the WAL into the file, without waiting for readers; truncates the WAL when
 * `truncate` and nobody reads. Returns 0 or a failure; *ret_wal_bytes (may be NULL): size of the
 * WAL. */
int db_checkpoint(struct db *db, _Bool truncate, int64_t *ret_wal_bytes);

/* When so much waits in the WAL, whoever writes should move it, under load too. Others wait
 * meanwhile, so little at a time; less is no quicker, because each time ends with a sync. */
#define DB_WAL_MAX_BYTES (INT64_C(2) * 1024 * 1024)

/* of the file, which a checkpoint leaves as large as it was */
int64_t db_wal_bytes(const struct db *db);
/* what our commits have put there since it was last moved into the file */
int64_t db_wal_pending_bytes(const struct db *db);
int64_t db_file_bytes(const struct db *db);

int db_may_write(const struct db *db); /* 0, or -ERR_CORRUPT once damage was met */
int db_integrity_check(struct db *db); /* 0, or -ERR_CORRUPT with the first finding */

/* A copy by SQLite's backup API, while others write: one snapshot, for which the WAL grows
 * meanwhile. The path must not exist; after a failure it does not either. */
int db_backup(struct db *db, const char *path);
const char *db_library_version(void);
