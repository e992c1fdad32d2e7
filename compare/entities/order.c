/* Order: orders with their lines, customer and address. */
#include "entities.h"
#include "schemas/bench.order.h"
#include "schemas/evt.bench.OrderCreated.h"

static const char tables[] =
    "CREATE TABLE IF NOT EXISTS orders ("
    "  order_id TEXT PRIMARY KEY,"
    "  account_id TEXT NOT NULL,"
    "  card_id TEXT NOT NULL,"
    "  currency TEXT NOT NULL,"
    "  amount INTEGER NOT NULL CHECK (amount >= 0),"
    "  placed_ms INTEGER NOT NULL,"
    "  placed_position INTEGER NOT NULL,"
    "  name TEXT NOT NULL,"
    "  street TEXT NOT NULL,"
    "  city TEXT NOT NULL,"
    "  postal_code TEXT NOT NULL,"
    "  country TEXT NOT NULL"
    ") STRICT, WITHOUT ROWID;"
    "CREATE INDEX IF NOT EXISTS orders_by_account ON orders (account_id, order_id);"
    "CREATE TABLE IF NOT EXISTS order_lines ("
    "  order_id TEXT NOT NULL,"
    "  line INTEGER NOT NULL,"
    "  sku TEXT NOT NULL,"
    "  name TEXT NOT NULL,"
    "  quantity INTEGER NOT NULL CHECK (quantity > 0),"
    "  amount INTEGER NOT NULL,"
    "  PRIMARY KEY (order_id, line)"
    ") STRICT, WITHOUT ROWID;";

static int create(struct journey *j, const void *request)
{
    struct bench_order order = *(const struct bench_order *)request;
    if (!order.order_id || !order.account_id || !order.name || !order.street || !order.city ||
        !order.postal_code || !order.country || !order.card_id || !order.currency ||
        !order.has_amount || order.lines_count == 0)
        return journey_refuse(j, REFUSED_INVALID_REQUEST, "all fields of an order are required");
    order.status = "placed";
    order.card_token = NULL; /* the order is paid: no service needs the token */
    return trace(journey_emit(j, &order_created_schema, order.order_id, &order));
}

static int order_created_apply(struct db *db, const struct event *event)
{
    const struct bench_order *order = event->value;
    int r = db_exec(db,
                    "INSERT INTO orders (order_id, account_id, card_id, currency, amount, "
                    "placed_ms, placed_position, name,"
                    " street, city, postal_code, country) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, "
                    "?9, ?10, ?11, ?12)",
                    "ssssiiisssss", order->order_id, order->account_id, order->card_id,
                    order->currency, order->amount, event->time_ms, event->position, order->name,
                    order->street, order->city, order->postal_code, order->country);
    for (size_t i = 0; i < order->lines_count && r == 0; i++)
        r = db_exec(db,
                    "INSERT INTO order_lines (order_id, line, sku, name, quantity, amount) VALUES "
                    "(?1, ?2, ?3, ?4, ?5, ?6)",
                    "sissii", order->order_id, (int64_t)i, order->lines[i].sku,
                    order->lines[i].name, order->lines[i].quantity, order->lines[i].amount);
    return trace(r);
}

static void create_answer(const struct event *event, void *ret_reply)
{
    const struct bench_order *order = event->value;
    *(struct bench_order *)ret_reply = (struct bench_order){ .order_id = order->order_id,
                                                             .status = order->status };
}

static const struct command commands[] = {
    { "order.create", &bench_order_schema, &bench_order_schema, create, create_answer },
    { 0 },
};
static const struct event_type events[] = {
    { &order_created_schema, "OrderCreated", order_created_apply, NULL },
    { 0 },
};
const struct service order_service = {
    .name = "order-svc",
    .log = "ORDER",
    .prefix = "order",
    .description = "Orders",
    .tables = tables,
    .tables_version = 1,
    .events = events,
    .schema_base = "https://journey-mesh.example/schemas/",
    .commands = commands,
    .refusals = entity_refusals,
};
