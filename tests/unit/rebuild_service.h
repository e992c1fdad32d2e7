/* A service with three tables, for the tests that fold tables anew. */
#pragma once
#include "journey.h"
#include "schemas/evt.account.AccountClosed.h"
#include "add_product.h"

/* The newest row says how many there are in all, so a wrong row of `totals` makes the next rows
 * wrong, too. */
static int apply_added(struct db *db, const struct event *event)
{
    const struct product_added *added = event->value;
    int r = db_exec(db, "INSERT INTO products VALUES (?1, ?2, NULL)", "si", added->sku,
                    added->stock);
    if (r == 0)
        r = db_exec(db,
                    "INSERT INTO totals VALUES (1, ?1) ON CONFLICT DO UPDATE SET stock = stock + "
                    "excluded.stock",
                    "i", added->stock);
    return trace(r);
}

static int apply_closed(struct db *db, const struct event *event)
{
    return trace(
        db_exec(db, "INSERT INTO closed VALUES (?1, ?2)", "si", event->entity, event->position));
}

static const struct event_type own_events[] = {
    { &product_added_schema, "ProductAdded", apply_added, NULL }, { 0 }
};
static const struct event_type other_events[] = {
    { &account_closed_schema, "AccountClosed", apply_closed, NULL }, { 0 }
};
static const struct source sources[] = { { "OTHER", "other-svc", "other", other_events, NULL },
                                         { 0 } };
static const struct command commands[] = {
    { "test.add", &order_add_product_schema, &order_add_product_reply_schema, decide_add_product,
      answer_add_product },
    { 0 },
};
static const struct service service = {
    .name = "test-svc",
    .log = "TEST",
    .prefix = "test",
    .tables_version = 1,
    .events = own_events,
    .sources = sources,
    .commands = commands,
    .tables = "CREATE TABLE IF NOT EXISTS products (sku TEXT PRIMARY KEY, stock INTEGER, note TEXT "
              "COLLATE NOCASE) STRICT;"
              "CREATE UNIQUE INDEX IF NOT EXISTS products_by_note ON products (note);"
              "CREATE TABLE IF NOT EXISTS totals (one INTEGER PRIMARY KEY, stock INTEGER) STRICT;"
              "CREATE TABLE IF NOT EXISTS closed (entity TEXT, position INTEGER, PRIMARY KEY "
              "(entity, position)) STRICT, WITHOUT ROWID;",
};
