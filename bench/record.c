/* Record: records the floors' statements from the services. It runs the services' loops (shop.h),
 * records every call of their writing connection to SQLite (by --wrap around SQLite's functions;
 * the connection is known by its file, because a service opens others beside it), and writes pairs
 * of a database as it was before and a trace, for replay.c:
 *
 *   place     order.place of so many orders, 256 a commit, each with an idempotency key, unpaid
 *   paid      the same, with the payment of each order
 *   project   account-svc's projection of the two events of each order, 512 a commit
 *   rebuild   the rebuild from order-svc's own log, of the database paid.after
 *
 * So a floor always has the statements, parameters and order of the present service. */
#include "base/clock.h"
#include "runtime/repair/rebuild.h"
#include "shop.h"
#include "trace.h"
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STATEMENTS_MAX 1024
#define TO_SETTLE_MAX 10000 /* batches until all orders are paid; more is an endless loop */

static struct {
    FILE *file;          /* NULL: nothing is recorded */
    char database[4200]; /* the file whose connection is recorded */
    sqlite3 *handle;     /* the newest connection to it */
    sqlite3_stmt *statements[STATEMENTS_MAX];
    int count;
} trace;

static const char *folder;

static const char *in_folder(char path[4200], const char *name)
{
    snprintf(path, 4200, "%s/%s", folder, name);
    return path;
}

/* ---- Writing down --------------------------------------------------------------------------- */

static void put(enum trace_call call, int statement, int parameter, const void *data, size_t length)
{
    static const char zeros[8];
    struct trace_record record = { .call = (uint8_t)call,
                                   .parameter = (uint8_t)parameter,
                                   .statement = (uint16_t)statement,
                                   .length = (uint32_t)length };
    fwrite(&record, sizeof(record), 1, trace.file);
    if (data) {
        fwrite(data, 1, length, trace.file);
        fwrite(zeros, 1, 8 - length % 8, trace.file); /* at least one NUL */
    }
}

/* The number of a statement; a new statement is recorded first. */
static int number_of(sqlite3_stmt *statement)
{
    int i = 0;
    while (i < trace.count && trace.statements[i] != statement)
        i++;
    if (i < trace.count)
        return i;
    must(i < STATEMENTS_MAX ? 0 : -1, "too many statements");
    trace.statements[trace.count++] = statement;
    put(TRACE_PREPARE, i, 0, sqlite3_sql(statement), strlen(sqlite3_sql(statement)));
    return i;
}

static _Bool is_traced(sqlite3 *handle)
{
    return trace.file && handle == trace.handle;
}

static void put_value(enum trace_call call, sqlite3_stmt *statement, int parameter,
                      const void *data, sqlite3_uint64 length)
{
    if (is_traced(sqlite3_db_handle(statement)))
        put(data ? call : TRACE_NULL, number_of(statement), parameter, data,
            data ? (size_t)length : 0);
}

#define WRAP(result, name, parameters)       \
    result __real_sqlite3_##name parameters; \
    result __wrap_sqlite3_##name parameters; \
    result __wrap_sqlite3_##name parameters

WRAP(int, bind_int64, (sqlite3_stmt * s, int i, sqlite3_int64 value))
{
    put_value(TRACE_INT, s, i, &value, sizeof(value));
    return __real_sqlite3_bind_int64(s, i, value);
}

WRAP(int, bind_text,
     (sqlite3_stmt * s, int i, const char *text, int length, void (*destroy)(void *)))
{
    put_value(TRACE_TEXT, s, i, text, text ? (length < 0 ? strlen(text) : (size_t)length) : 0);
    return __real_sqlite3_bind_text(s, i, text, length, destroy);
}

WRAP(int, bind_blob64,
     (sqlite3_stmt * s, int i, const void *data, sqlite3_uint64 length, void (*destroy)(void *)))
{
    put_value(TRACE_BLOB, s, i, data, length);
    return __real_sqlite3_bind_blob64(s, i, data, length, destroy);
}

WRAP(int, step, (sqlite3_stmt * s))
{
    const _Bool traced = is_traced(sqlite3_db_handle(s));
    int number = traced ? number_of(s) : 0, code = __real_sqlite3_step(s);
    if (traced)
        put(TRACE_STEP, number, code, NULL, 0);
    return code;
}

WRAP(int, reset, (sqlite3_stmt * s))
{
    if (is_traced(sqlite3_db_handle(s)))
        put(TRACE_RESET, number_of(s), 0, NULL, 0);
    return __real_sqlite3_reset(s);
}

WRAP(int, finalize, (sqlite3_stmt * s))
{
    if (s && is_traced(sqlite3_db_handle(s))) {
        int number = number_of(s);
        put(TRACE_FINALIZE, number, 0, NULL, 0);
        trace.statements[number] = NULL;
    }
    return __real_sqlite3_finalize(s);
}

WRAP(int, exec,
     (sqlite3 * db, const char *sql, int (*callback)(void *, int, char **, char **), void *context,
      char **error))
{
    if (is_traced(db))
        put(TRACE_SCRIPT, 0, 0, sql, strlen(sql));
    return __real_sqlite3_exec(db, sql, callback, context, error);
}

WRAP(int, open_v2, (const char *path, sqlite3 **ret_handle, int flags, const char *vfs))
{
    int code = __real_sqlite3_open_v2(path, ret_handle, flags, vfs);
    if (strcmp(path, trace.database) == 0)
        trace.handle = *ret_handle;
    return code;
}

/* The next connection to this file of the folder is the recorded one. */
static void choose_database(const char *name)
{
    in_folder(trace.database, name);
    trace.handle = NULL;
}

static void begin_trace(const char *path)
{
    trace.count = 0;
    trace.file = fopen(path, "we");
    must(trace.file ? 0 : -1, path);
}

static void end_trace(const char *path)
{
    FILE *file = trace.file;
    trace.file = NULL;
    must(trace.count > 0 ? 0 : -1, "nothing was recorded");
    must(fclose(file), path);
}

/* ---- What is recorded ----------------------------------------------------------------------- */

/* Copies a closed database: its last connection has checkpointed everything into the one file. */
static void copy(const char *from, const char *to)
{
    static char block[1 << 20];
    char from_path[4200], to_path[4200];
    FILE *source = fopen(in_folder(from_path, from), "re"),
         *target = fopen(in_folder(to_path, to), "we");
    must(source && target ? 0 : -1, "copy");
    for (size_t length; (length = fread(block, 1, sizeof(block), source)) > 0;)
        fwrite(block, 1, length, target);
    fclose(source);
    must(fclose(target), to_path);
}

static void open_both(void)
{
    char path[4200];
    side_open(&shop_orders, in_folder(path, "orders.db"));
    side_open(&shop_accounts, in_folder(path, "accounts.db"));
}

static void furnish(void)
{
    open_both();
    shop_furnish(clock_wall_ms());
    side_close(&shop_orders);
    side_close(&shop_accounts);
    copy("orders.db", "place.before");
    copy("orders.db", "paid.before");
    copy("accounts.db", "project.before");
}

/* Runs batches until each order is paid, when the process runs. */
static void record_orders(int orders, _Bool with_payments, const char *name)
{
    char path[4200];
    choose_database("orders.db");
    side_open(&shop_orders, in_folder(path, "orders.db"));
    begin_trace(in_folder(path, name));
    if (with_payments)
        loop_start_process(&shop_orders.loop);
    int64_t end = shop_orders.loop.at.head.position + (with_payments ? 2 : 1) * orders;
    for (int placed = 0; placed < orders; placed += SHOP_GROUP)
        shop_place(orders - placed < SHOP_GROUP ? orders - placed : SHOP_GROUP, 1, clock_wall_ms());
    for (int i = 0; shop_orders.loop.at.head.position < end; i++) {
        must(i < TO_SETTLE_MAX ? 0 : -1, "the orders are not paid");
        side_run(&shop_orders, NULL, 0, clock_wall_ms());
    }
    end_trace(path);
    side_close(&shop_orders);
}

static void record_projection(void)
{
    char path[4200];
    choose_database("accounts.db");
    open_both();
    begin_trace(in_folder(path, "project.trace"));
    for (int count = 1; count > 0;) {
        count = shop_publish(&shop_orders, shop_accounts.loop.at.cursors[0].position);
        shop_project(&shop_accounts, count, clock_wall_ms());
    }
    end_trace(path);
    must(shop_accounts.loop.at.cursors[0].position == shop_orders.loop.at.head.position ? 0 : -1,
         "the reader has not read all");
    side_close(&shop_orders);
    side_close(&shop_accounts);
}

/* Other services' events would have to be fetched; there are only a few. */
static void record_rebuild(void)
{
    char path[4200], served[4200];
    struct service alone = *shop_orders.service;
    alone.sources = NULL;
    struct rebuild rebuild = { .service = &alone, .served_path = in_folder(served, "paid.after") };
    choose_database("paid.after.rebuild");
    begin_trace(in_folder(path, "rebuild.trace"));
    must(rebuild_open(&rebuild), "rebuild");
    must(rebuild_catch_up(&rebuild), rebuild.why);
    end_trace(path);
    rebuild_deinit(&rebuild);
}

int main(int argc, char **argv)
{
    int orders = argc == 3 ? atoi(argv[2]) : 0;
    if (orders < 1) {
        fprintf(stderr, "Usage: bench_record FOLDER ORDERS\n\nLeaves NAME.before and NAME.trace in "
                        "the folder, for bench_replay. Prints how many orders\n"
                        "each has.\n");
        return 2;
    }
    folder = argv[1];
    furnish();
    record_orders(orders, 0, "place.trace");
    copy("paid.before", "orders.db");
    record_orders(orders, 1, "paid.trace");
    copy("orders.db", "paid.after");
    record_projection();
    record_rebuild();
    printf("%d\n", orders);
    return 0;
}
