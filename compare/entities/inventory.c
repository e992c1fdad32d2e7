/* Inventory: stock and reservations. A reservation makes the order's id, because it is the first
 * event of an order; a retry under the same idempotency key finds it again. */
#include "entities.h"
#include "schemas/bench.done.h"
#include "schemas/bench.order.h"
#include "schemas/bench.stock.h"
#include "schemas/evt.bench.StockPut.h"
#include "schemas/evt.bench.StockReleased.h"
#include "schemas/evt.bench.StockReserved.h"
#include <inttypes.h>
#include <string.h>

static const char tables[] = "CREATE TABLE IF NOT EXISTS stock ("
                             "  sku TEXT PRIMARY KEY,"
                             "  on_hand INTEGER NOT NULL CHECK (on_hand >= 0)"
                             ") STRICT, WITHOUT ROWID;"
                             "CREATE TABLE IF NOT EXISTS reservations ("
                             "  order_id TEXT NOT NULL,"
                             "  sku TEXT NOT NULL,"
                             "  quantity INTEGER NOT NULL,"
                             "  PRIMARY KEY (order_id, sku)"
                             ") STRICT, WITHOUT ROWID;";

static int put_stock(struct journey *j, const void *request)
{
    const struct bench_stock *stock = request;
    return trace(journey_emit(j, &stock_put_schema, stock->sku, stock));
}
_Static_assert(sizeof(struct bench_stock) == sizeof(struct stock_put),
               "put_stock emits what it was given");

static int stock_put_apply(struct db *db, const struct event *event)
{
    const struct stock_put *stock = event->value;
    return trace(db_exec(db, "INSERT OR REPLACE INTO stock (sku, on_hand) VALUES (?1, ?2)", "si",
                         stock->sku, stock->stock));
}

static int reserve(struct journey *j, const void *request)
{
    struct bench_order order = *(const struct bench_order *)request;
    if (order.lines_count == 0)
        return journey_refuse(j, REFUSED_INVALID_REQUEST, "lines: at least one is required");
    for (size_t i = 0; i < order.lines_count; i++) {
        const struct bench_order_lines_item *line = &order.lines[i];
        int64_t on_hand = 0, wanted = 0;
        int r = db_find_number(journey_db(j), &on_hand, "SELECT on_hand FROM stock WHERE sku = ?1",
                               "s", line->sku);
        if (r < 0)
            return trace(r);
        for (size_t k = 0; k < order.lines_count; k++)
            wanted += strcmp(order.lines[k].sku, line->sku) == 0 ? order.lines[k].quantity : 0;
        if (wanted > on_hand)
            return journey_refuse(j, REFUSED_OUT_OF_STOCK,
                                  "lines[%zu]: %" PRId64 " wanted, %" PRId64 " left", i, wanted,
                                  on_hand);
    }
    order.order_id = journey_make_id(j, "ord_");
    order.status = "reserved";
    if (!order.order_id)
        return fail(ERR_MEMORY, "no memory for a reservation");
    return trace(journey_emit(j, &stock_reserved_schema, order.order_id, &order));
}

static int stock_reserved_apply(struct db *db, const struct event *event)
{
    const struct bench_order *order = event->value;
    int r = 0;
    for (size_t i = 0; i < order->lines_count && r == 0; i++) {
        const struct bench_order_lines_item *line = &order->lines[i];
        r = db_changed_one(db, db_exec(db, "UPDATE stock SET on_hand = on_hand - ?2 WHERE sku = ?1",
                                       "si", line->sku, line->quantity));
        if (r == 0)
            r = db_exec(db,
                        "INSERT INTO reservations (order_id, sku, quantity) VALUES (?1, ?2, ?3)"
                        " ON CONFLICT (order_id, sku) DO UPDATE SET quantity = quantity + ?3",
                        "ssi", order->order_id, line->sku, line->quantity);
    }
    return trace(r);
}

static int release(struct journey *j, const void *request)
{
    const struct bench_order *order = request;
    int64_t lines = 0;
    if (!order->order_id)
        return journey_refuse(j, REFUSED_INVALID_REQUEST, "order_id: is required");
    int r = db_find_number(journey_db(j), &lines,
                           "SELECT count(*) FROM reservations WHERE order_id = ?1", "s",
                           order->order_id);
    if (r != 0)
        return trace(r);
    if (lines == 0)
        return journey_refuse(j, REFUSED_NOT_FOUND, "order_id: nothing is reserved for it");
    return trace(journey_emit(j, &stock_released_schema, order->order_id, order));
}

static int stock_released_apply(struct db *db, const struct event *event)
{
    const struct bench_order *order = event->value;
    int r =
        db_exec(db,
                "UPDATE stock SET on_hand = on_hand +"
                " (SELECT quantity FROM reservations r WHERE r.order_id = ?1 AND r.sku = stock.sku)"
                " WHERE sku IN (SELECT sku FROM reservations WHERE order_id = ?1)",
                "s", order->order_id);
    if (r == 0)
        r = db_exec(db, "DELETE FROM reservations WHERE order_id = ?1", "s", order->order_id);
    return trace(r);
}

static const struct command commands[] = {
    { "inventory.put", &bench_stock_schema, &bench_done_schema, put_stock, put_answer },
    { "inventory.reserve", &bench_order_schema, &bench_order_schema, reserve, order_answer },
    { "inventory.release", &bench_order_schema, &bench_order_schema, release, order_answer },
    { 0 },
};
static const struct event_type events[] = {
    { &stock_put_schema, "StockPut", stock_put_apply, NULL },
    { &stock_reserved_schema, "StockReserved", stock_reserved_apply, NULL },
    { &stock_released_schema, "StockReleased", stock_released_apply, NULL },
    { 0 },
};
const struct service inventory_service = {
    .name = "inventory-svc",
    .log = "INVENTORY",
    .prefix = "inventory",
    .description = "Stock and reservations",
    .tables = tables,
    .tables_version = 1,
    .events = events,
    .schema_base = "https://journey-mesh.example/schemas/",
    .commands = commands,
    .refusals = entity_refusals,
};
