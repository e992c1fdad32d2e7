/* Statements: the n-th call that prepares, steps or runs SQL, or checkpoints, fails (by the
 * linker's --wrap). The statement is not done and the transaction stays open, which SQLite does
 * not promise either. With "commit-done" a COMMIT is done and reported as failed, as after a
 * failed sync (rule 4). */
#include "faults.h"
#include <sqlite3.h>
#include <string.h>

int __real_sqlite3_step(sqlite3_stmt *statement);
int __real_sqlite3_prepare_v3(sqlite3 *db, const char *sql, int length, unsigned flags,
                              sqlite3_stmt **ret, const char **ret_tail);
int __real_sqlite3_exec(sqlite3 *db, const char *sql, int (*row)(void *, int, char **, char **),
                        void *context, char **ret_error);
int __real_sqlite3_wal_checkpoint_v2(sqlite3 *db, const char *name, int mode, int *ret_log,
                                     int *ret_moved);
int __wrap_sqlite3_step(sqlite3_stmt *statement);
int __wrap_sqlite3_prepare_v3(sqlite3 *db, const char *sql, int length, unsigned flags,
                              sqlite3_stmt **ret, const char **ret_tail);
int __wrap_sqlite3_exec(sqlite3 *db, const char *sql, int (*row)(void *, int, char **, char **),
                        void *context, char **ret_error);
int __wrap_sqlite3_wal_checkpoint_v2(sqlite3 *db, const char *name, int mode, int *ret_log,
                                     int *ret_moved);

const char *const faults_kinds[] = {
    "full", "io", "commit-full", "commit-io", "commit-done", NULL
};

static long until_failure; /* calls to go, 0: none fails */
static long failures_left;
static long happened;
static int code;
static _Bool commits_only, is_done;

void faults_init(void)
{
}

void faults_fail_at(const char *kind, long call, long count)
{
    commits_only = strncmp(kind, "commit-", 7) == 0;
    is_done = strcmp(kind, "commit-done") == 0;
    code = strstr(kind, "full") ? SQLITE_FULL : SQLITE_IOERR_FSYNC;
    until_failure = call;
    failures_left = count;
    happened = 0;
}

long faults_stop(void)
{
    long count = happened;
    until_failure = happened = 0;
    return count;
}

long faults_pause(void)
{
    long left = until_failure;
    until_failure = 0;
    return left;
}

void faults_resume(long left)
{
    until_failure = left;
}

static _Bool fails(const char *sql)
{
    if (until_failure == 0 || (commits_only && strcmp(sql, "COMMIT") != 0) || --until_failure > 0)
        return 0;
    happened++;
    until_failure = --failures_left > 0;
    return 1;
}

int __wrap_sqlite3_step(sqlite3_stmt *statement)
{
    if (!fails(sqlite3_sql(statement)))
        return __real_sqlite3_step(statement);
    if (is_done)
        __real_sqlite3_step(statement);
    return code;
}

int __wrap_sqlite3_prepare_v3(sqlite3 *db, const char *sql, int length, unsigned flags,
                              sqlite3_stmt **ret, const char **ret_tail)
{
    *ret = NULL;
    return fails("") ? code : __real_sqlite3_prepare_v3(db, sql, length, flags, ret, ret_tail);
}

int __wrap_sqlite3_exec(sqlite3 *db, const char *sql, int (*row)(void *, int, char **, char **),
                        void *context, char **ret_error)
{
    return fails("") ? code : __real_sqlite3_exec(db, sql, row, context, ret_error);
}

int __wrap_sqlite3_wal_checkpoint_v2(sqlite3 *db, const char *name, int mode, int *ret_log,
                                     int *ret_moved)
{
    return fails("") ? code : __real_sqlite3_wal_checkpoint_v2(db, name, mode, ret_log, ret_moved);
}
