/* Db on SQLite: what db.c, db_query.c and db_care.c share. These three files are the only ones that
 * know SQLite's interface, and the only ones that may include this header. */
#pragma once
#include <sqlite3.h>
#include "base/result.h"
#include "store/db.h"

#define PAGE_BYTES 4096    /* SQLite's own */
#define STATEMENTS_MAX 512 /* a power of two; a service has some sixty statements */

struct statement {
    const char *sql; /* the literal's address is the key; NULL: an empty place */
    sqlite3_stmt *prepared;
    int parameter_count, column_count;
    const char **columns; /* by number: the name by which it was read; NULL: none was yet */
    _Bool busy;           /* a query walks over it */
};

struct db {
    sqlite3 *handle;
    _Bool read_only;
    atomic_bool *damaged; /* set: the file is not written again */
    atomic_bool own_damaged;
    int lock_timeout_ms;
    int wal_pages; /* in the WAL, after our newest commit */
    int wal_moved; /* of these, already in the file; the WAL begins anew when all are there */
    db_number_wal *number_wal; /* NULL: its WALs have no numbers */
    _Bool wal_is_moved; /* a checkpoint has moved all of it, and nothing was committed since */
    _Bool numbers, wants_number, is_numbered; /* this transaction, the next, the newest */
    _Bool is_abandoned;
    /* the newest rollback failed for want of memory, and is repeated by the next BEGIN */
    _Bool owes_rollback;
    int savepoints; /* open ones */
    char *path;
    const char *vfs; /* NULL: the default */
    struct statement statements[STATEMENTS_MAX];
    int statement_count;
};

/* Notes a failure of SQLite, with its message, and returns -code. */
#define db_fail(db, code, what) db_fail_at((db), (code), (what), __FILE__, __LINE__)
int db_fail_at(struct db *db, int code, const char *what, const char *file, int line);
enum failure db_failure_of(int code);

int db_prepare(struct db *db, const char *sql, unsigned flags, sqlite3_stmt **ret_prepared);
void db_finalize_statements(struct db *db);
