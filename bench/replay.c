/* Replay: makes a service's recorded calls to SQLite (record.c), and nothing else: no server, no
 * requests, no JSON, no chain, no threads. Each statement is prepared once; the parameters are in
 * memory. This is the floor of the service: it has to run these statements, this often, in these
 * commits, whatever is built around them.
 *
 * store/db.c opens the database, so page cache, pragmas and settings are the service's, and the WAL
 * is checkpointed as the writer does under load. The answer of SQLite to each call is compared with
 * the recorded answer. Prints one line of JSON. */
#include "base/clock.h"
#include "base/result.h"
#include "store/db.h"
#include "trace.h"
#include <fcntl.h>
#include <getopt.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define STATEMENTS_MAX 1024

static struct {
    sqlite3 *handle;
    sqlite3_stmt *statements[STATEMENTS_MAX]; /* NULL: left out */
    _Bool is_commit[STATEMENTS_MAX];
    _Bool writes_only;
    struct db *db;
} replay;

static void die(const char *what, const char *why)
{
    fprintf(stderr, "bench_replay: %s: %s\n", what, why);
    exit(1);
}

static void check(int code, const char *what)
{
    if (code != SQLITE_OK)
        die(what, sqlite3_errmsg(replay.handle));
}

/* The first connection is that of db_open, seen by --wrap: its pragmas and settings are the
 * service's. */
int __real_sqlite3_open_v2(const char *path, sqlite3 **ret_handle, int flags, const char *vfs);
int __wrap_sqlite3_open_v2(const char *path, sqlite3 **ret_handle, int flags, const char *vfs);
int __wrap_sqlite3_open_v2(const char *path, sqlite3 **ret_handle, int flags, const char *vfs)
{
    int code = __real_sqlite3_open_v2(path, ret_handle, flags, vfs);
    if (!replay.handle)
        replay.handle = *ret_handle;
    return code;
}

static _Bool begins_with(const char *sql, const char *word)
{
    return strncmp(sql, word, strlen(word)) == 0;
}

static void prepare(int number, const char *sql)
{
    static const char *const writes[] = {
        "INSERT", "UPDATE", "DELETE", "REPLACE", "BEGIN", "COMMIT"
    };
    _Bool wanted = !replay.writes_only;
    if (number >= STATEMENTS_MAX)
        die(sql, "too many statements");
    for (size_t i = 0; i < sizeof(writes) / sizeof(*writes); i++)
        wanted |= begins_with(sql, writes[i]);
    if (wanted)
        check(sqlite3_prepare_v3(replay.handle, sql, -1, SQLITE_PREPARE_PERSISTENT,
                                 &replay.statements[number], NULL),
              sql);
    replay.is_commit[number] = begins_with(sql, "COMMIT");
}

static void step(sqlite3_stmt *statement, const struct trace_record *record)
{
    int code = sqlite3_step(statement);
    if (code != record->parameter && !replay.writes_only)
        die(sqlite3_sql(statement), code == SQLITE_ROW || code == SQLITE_DONE
                                        ? "another answer than it was given"
                                        : sqlite3_errmsg(replay.handle));
    if (code != SQLITE_ROW && code != SQLITE_DONE)
        die(sqlite3_sql(statement), sqlite3_errmsg(replay.handle));
    if (replay.is_commit[record->statement] &&
        db_wal_pending_bytes(replay.db) >= DB_WAL_MAX_BYTES &&
        db_checkpoint(replay.db, 0, NULL) < 0)
        die("checkpoint", failure_text());
}

static void say_again(const struct trace_record *record, const char *data)
{
    sqlite3_stmt *statement = replay.statements[record->statement];
    int64_t value;
    if (record->call == TRACE_PREPARE) {
        prepare(record->statement, data);
        return;
    }
    if (record->call == TRACE_SCRIPT) {
        check(sqlite3_exec(replay.handle, data, NULL, NULL, NULL), data);
        return;
    }
    if (!statement)
        return;
    switch (record->call) {
    case TRACE_INT:
        memcpy(&value, data, sizeof(value));
        check(sqlite3_bind_int64(statement, record->parameter, value), "bind");
        break;
    case TRACE_TEXT:
        check(sqlite3_bind_text(statement, record->parameter, data, (int)record->length,
                                SQLITE_STATIC),
              "bind");
        break;
    case TRACE_BLOB:
        check(
            sqlite3_bind_blob64(statement, record->parameter, data, record->length, SQLITE_STATIC),
            "bind");
        break;
    case TRACE_NULL:  check(sqlite3_bind_null(statement, record->parameter), "bind"); break;
    case TRACE_STEP:  step(statement, record); break;
    case TRACE_RESET: sqlite3_reset(statement); break;
    case TRACE_FINALIZE:
        sqlite3_finalize(statement);
        replay.statements[record->statement] = NULL;
        break;
    default: die("the trace", "it is damaged");
    }
}

static double run(const char *trace, size_t size)
{
    int64_t start_ns = clock_monotonic_ns();
    for (size_t at = 0; at + sizeof(struct trace_record) <= size;) {
        const struct trace_record *record = (const void *)(trace + at);
        const char *data = trace + at + sizeof(*record);
        const _Bool has_data = strchr("Pitbe", record->call) != NULL;
        say_again(record, data);
        at += sizeof(*record) + (has_data ? record->length + 8 - record->length % 8 : 0);
    }
    return (double)(clock_monotonic_ns() - start_ns) / 1e9;
}

static const char *read_all(const char *path, size_t *ret_size)
{
    struct stat status;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0 || fstat(file, &status) != 0)
        die(path, "cannot be read");
    *ret_size = (size_t)status.st_size;
    const char *text = mmap(NULL, *ret_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, file, 0);
    if (text == MAP_FAILED)
        die(path, "cannot be mapped");
    close(file);
    return text;
}

int main(int argc, char **argv)
{
    static const struct option options[] = { { "writes-only", 0, NULL, 'w' },
                                             { "scratch", 0, NULL, 's' },
                                             { 0 } };
    struct db_options how = { 0 };
    struct rusage usage;
    int c;
    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        replay.writes_only |= c == 'w';
        how.scratch |= c == 's';
        if (c == '?')
            optind = argc;
    }
    if (argc - optind != 2) {
        fprintf(stderr, "Usage: bench_replay [--writes-only] [--scratch] DATABASE TRACE\n\n"
                        "Runs a trace's statements on the database, which is as it was when the "
                        "trace began, and prints how long it took.\n"
                        "--writes-only leaves out what only reads, and savepoints; --scratch opens "
                        "the file as a rebuild's.\n");
        return 2;
    }
    size_t size = 0;
    how.path = argv[optind];
    const char *trace = read_all(argv[optind + 1], &size);
    if (db_open(&how, &replay.db) < 0)
        die(how.path, failure_text());
    double seconds = run(trace, size);
    getrusage(RUSAGE_SELF, &usage);
    printf("{\"seconds\":%.6f,\"cpu_us\":%.0f}\n", seconds,
           (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6 +
               (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec));
    for (int i = 0; i < STATEMENTS_MAX; i++)
        sqlite3_finalize(replay.statements[i]);
    db_free(replay.db);
    return 0;
}
