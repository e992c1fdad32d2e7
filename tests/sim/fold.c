/* Fold: the tables of a service, made anew from the logs in a fresh database, must be the tables
 * that it has (I5, I8). The logs are folded one after the other, in either order: rule 2 says that
 * it does not matter. */
#include "world.h"
#include "base/result.h"
#include <stdlib.h>
#include <string.h>

static sqlite3 *opened; /* the newest connection: db.h does not give it away */

static int note_opened(sqlite3 *handle, char **error, const struct sqlite3_api_routines *routines)
{
    (void)error, (void)routines;
    opened = handle;
    return SQLITE_OK;
}

static struct db *open_in_memory(sqlite3 **ret_handle)
{
    struct db *db = NULL;
    sqlite3_auto_extension((void (*)(void))note_opened);
    if (db_open(&(struct db_options){ .path = ":memory:" }, &db) < 0)
        must(NULL);
    sqlite3_cancel_auto_extension((void (*)(void))note_opened);
    *ret_handle = opened;
    return db;
}

/* Up to a position, by the tables of the service as it is written. */
static void fold(struct world *world, struct db *db, const char *path,
                 const struct event_type *events, int log, int64_t last)
{
    _deinit_(event_reader) struct event_reader reader = { 0 };
    _deinit_(arena) struct arena arena = { 0 };
    const char *name = world->logs[log].name;
    struct db *leader = NULL;
    struct event event;
    struct invalid invalid;
    void *value;
    if (db_open(&(struct db_options){ .path = path, .read_only = 1 }, &leader) < 0)
        must(NULL);
    int r = event_reader_open(&reader, leader, name, 0, last);
    while (r == 0 && event_reader_has_next(&reader, &event)) {
        const struct event_type *type = event_type_of_name(events, event.type);
        if (!type)
            continue;
        r = schema_decode(type->schema, event.data, event.data_length, &arena, &value, &invalid);
        event.value = value;
        if (r == 0)
            r = type->apply(db, &event);
        if (r != 0) {
            violated(world, "I5: %s %lld cannot be applied anew: %s", name,
                     (long long)event.position, r < 0 ? failure_text() : invalid.message);
            break;
        }
        arena_deinit(&arena);
        arena_init(&arena);
    }
    event_reader_deinit(&reader);
    db_free(leader);
}

/* ---- Comparing ------------------------------------------------------------------------------- */

static _Bool values_are_equal(sqlite3_stmt *a, sqlite3_stmt *b, int column)
{
    const char *one = (const char *)sqlite3_column_text(a, column),
               *other = (const char *)sqlite3_column_text(b, column);
    return one == other || (one && other && strcmp(one, other) == 0);
}

static void compare_table(struct world *world, const struct node *node, sqlite3 *folded,
                          const char *table)
{
    sqlite3_stmt *a = NULL, *b = NULL;
    char sql[128];
    snprintf(sql, sizeof(sql), "SELECT * FROM %s ORDER BY 1, 2", table);
    if (sqlite3_prepare_v2(node->handle, sql, -1, &a, NULL) != SQLITE_OK ||
        sqlite3_prepare_v2(folded, sql, -1, &b, NULL) != SQLITE_OK)
        must(NULL);
    for (int64_t row = 1;; row++) {
        int more = sqlite3_step(a), other = sqlite3_step(b);
        _Bool equal = more == other;
        for (int i = 0; equal && more == SQLITE_ROW && i < sqlite3_column_count(a); i++)
            equal = values_are_equal(a, b, i);
        if (!equal)
            violated(world, "I5: %s: the table %s differs from its logs folded anew in row %lld",
                     node->name, table, (long long)row);
        if (!equal || more != SQLITE_ROW)
            break;
    }
    sqlite3_finalize(a);
    sqlite3_finalize(b);
}

/* All tables that a fold makes: not the runtime's, and not those that may be lost at any time. */
static void compare_tables(struct world *world, const struct node *node, sqlite3 *folded)
{
    sqlite3_stmt *tables = NULL;
    if (sqlite3_prepare_v2(folded,
                           "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT IN"
                           " ('event_log', 'cursors', 'refusals', 'parked', 'meta', "
                           "'terms', 'kept_streams', 'kept_durables', "
                           "'card_choices', 'void_mark') AND name NOT LIKE 'sqlite%'",
                           -1, &tables, NULL) != SQLITE_OK)
        must(NULL);
    while (sqlite3_step(tables) == SQLITE_ROW)
        compare_table(world, node, folded, (const char *)sqlite3_column_text(tables, 0));
    sqlite3_finalize(tables);
}

static void check_fold(struct world *world, const struct node *node)
{
    const struct service *service = world->logs[node->log].service;
    sqlite3 *handle;
    struct loop loop;
    struct db *db = open_in_memory(&handle);
    if (loop_open(&loop, service, node->config.option_values, db, 1) < 0 || db_begin(db) < 0)
        must(NULL);
    const int64_t count = world->logs[node->log].instances > 1 ? node->line.count
                                                               : world->logs[node->log].line.count;
    _Bool own_first = one_in(world, 2);
    if (own_first)
        fold(world, db, node->path, service->events, node->log, count);
    for (int i = 0; node->sources[i].log; i++) {
        const int log = node_source_log(node, i);
        fold(world, db, node_of_log(world, log)->path, service->sources[i].events, log,
             node->cursor);
    }
    if (!own_first)
        fold(world, db, node->path, service->events, node->log, count);
    if (db_commit(db) < 0)
        must(NULL);
    compare_tables(world, node, handle);
    loop_close(&loop);
    db_free(db);
}

void check_folds(struct world *world)
{
    for (int i = 0; i < world->node_count; i++) {
        const struct node *node = &world->nodes[i];
        /* Who stands by keeps what it had parked. */
        if (node_leads(node) || number_of(world, node, "SELECT count(*) FROM parked") == 0)
            check_fold(world, node);
    }
}
