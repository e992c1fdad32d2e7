/* Fold: the tables of a service, made anew from the two logs in a fresh database, must be the
 * tables that it has (I5, I8). The two logs are folded one after the other, in either order: rule 2
 * says that it does not matter. */
#include "world.h"
#include <stdlib.h>
#include <string.h>

static void fold(struct world *world, struct db *db, const struct event_type *events,
                 const struct node *leader, int64_t last)
{
    _deinit_(event_reader) struct event_reader reader = { 0 };
    struct event event;
    int r = event_reader_open(&reader, leader->db, leader->self.log, 0, last);
    while (r == 0 && event_reader_has_next(&reader, &event)) {
        const struct event_type *type = event_type_of_name(events, event.type);
        const struct record *record = record_of(world, leader->index, &event);
        if (!type)
            continue;
        record_read(world, record, leader->service->events);
        if (type->apply(db, &record->event) < 0) {
            violated(world, "I5: %s %lld cannot be applied anew: %s", leader->self.log,
                     (long long)event.position, failure_text());
            return;
        }
    }
}

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
                     node->service->name, table, (long long)row);
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
                           "'card_choices', 'void_mark') AND name NOT LIKE 'sqlite%'",
                           -1, &tables, NULL) != SQLITE_OK)
        must(NULL);
    while (sqlite3_step(tables) == SQLITE_ROW)
        compare_table(world, node, folded, (const char *)sqlite3_column_text(tables, 0));
    sqlite3_finalize(tables);
}

static void check_fold(struct world *world, const struct node *node)
{
    const struct node *leader = &world->nodes[1 - node->index];
    struct db *db;
    sqlite3 *handle;
    struct loop loop;
    open_database(&db, &handle);
    if (loop_open(&loop, node->service, node->option_values, db, 1) < 0 || db_begin(db) < 0)
        must(NULL);
    _Bool own_first = one_in(world, 2);
    if (own_first)
        fold(world, db, node->service->events, node, node->history_count);
    fold(world, db, node->service->sources[0].events, leader, node->loop.at.cursors[0].position);
    if (!own_first)
        fold(world, db, node->service->events, node, node->history_count);
    if (db_commit(db) < 0)
        must(NULL);
    compare_tables(world, node, handle);
    loop_close(&loop);
    db_free(db);
}

void check_folds(struct world *world)
{
    for (int i = 0; i < NODES; i++)
        check_fold(world, &world->nodes[i]);
}
