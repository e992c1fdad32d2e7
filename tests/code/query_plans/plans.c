/* Preloaded into a program: appends the query plan of each statement that the program prepares to
 * the file that JOURNEY_QUERY_PLANS names, as one line: the statement, a tab, a step of its plan.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef int prepare_v3(sqlite3 *handle, const char *sql, int bytes, unsigned flags,
                       sqlite3_stmt **ret_prepared, const char **ret_tail);

static void write_step(int file, const char *sql, const char *step)
{
    char line[16384];
    int length = snprintf(line, sizeof(line), "%s\t%s\n", sql, step);
    for (int i = 0; i < length && i < (int)strlen(sql); i++)
        if (line[i] == '\n' || line[i] == '\t')
            line[i] = ' ';
    if (length < (int)sizeof(line) && write(file, line, (size_t)length) < 0)
        abort();
}

static void explain(prepare_v3 *prepare, sqlite3 *handle, const char *sql)
{
    const char *path = getenv("JOURNEY_QUERY_PLANS");
    char text[8192];
    sqlite3_stmt *plan = NULL;
    if (!path ||
        (size_t)snprintf(text, sizeof(text), "EXPLAIN QUERY PLAN %s", sql) >= sizeof(text) ||
        prepare(handle, text, -1, 0, &plan, NULL) != SQLITE_OK)
        return;
    int file = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (file < 0)
        abort();
    int steps = 0;
    for (; sqlite3_step(plan) == SQLITE_ROW; steps++)
        write_step(file, sql, (const char *)sqlite3_column_text(plan, 3));
    if (steps == 0)
        write_step(file, sql, "");
    sqlite3_finalize(plan);
    close(file);
}

int sqlite3_prepare_v3(sqlite3 *handle, const char *sql, int bytes, unsigned flags,
                       sqlite3_stmt **ret_prepared, const char **ret_tail)
{
    static prepare_v3 *prepare;
    if (!prepare)
        *(void **)&prepare = dlsym(RTLD_NEXT, "sqlite3_prepare_v3");
    int code = prepare(handle, sql, bytes, flags, ret_prepared, ret_tail);
    if (code == SQLITE_OK && strncmp(sql, "EXPLAIN", 7) != 0)
        explain(prepare, handle, sql);
    return code;
}
