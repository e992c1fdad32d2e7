/* Product: products with their prices. */
#include "entities.h"
#include "schemas/bench.done.h"
#include "schemas/bench.order.h"
#include "schemas/bench.product.h"
#include "schemas/evt.bench.ProductPut.h"
#include "store/row.h"
#include <string.h>

static const char tables[] = "CREATE TABLE IF NOT EXISTS products ("
                             "  sku TEXT PRIMARY KEY,"
                             "  name TEXT NOT NULL,"
                             "  currency TEXT NOT NULL,"
                             "  amount INTEGER NOT NULL CHECK (amount >= 0)"
                             ") STRICT, WITHOUT ROWID;";

static int put_product(struct journey *j, const void *request)
{
    const struct bench_product *product = request;
    return trace(journey_emit(j, &product_put_schema, product->sku, product));
}
_Static_assert(sizeof(struct bench_product) == sizeof(struct product_put),
               "put_product emits what it was given");

static int product_put_apply(struct db *db, const struct event *event)
{
    const struct product_put *product = event->value;
    return trace(db_exec(
        db, "INSERT OR REPLACE INTO products (sku, name, currency, amount) VALUES (?1, ?2, ?3, ?4)",
        "sssi", product->sku, product->name, product->currency, product->amount));
}

/* Fills in name and price of one line, and adds the price to the total. */
static int quote_line(struct journey *j, struct bench_order *order,
                      struct bench_order_lines_item *line)
{
    _deinit_(query) struct query q = { 0 };
    int r = query_find(&q, journey_db(j),
                       "SELECT name, currency, amount FROM products WHERE sku = ?1", "s",
                       line->sku);
    if (r == NOT_FOUND)
        return journey_refuse(j, REFUSED_NOT_FOUND, "lines.sku: no such product");
    if (r != 0)
        return trace(r);
    struct row row = { .query = &q, .arena = journey_arena(j) };
    const char *currency = row_text(&row, "currency");
    line->name = row_text(&row, "name");
    line->amount = row_int(&row, "amount");
    line->has_amount = 1;
    r = row_status(&row);
    if (r < 0)
        return trace(r);
    /* lint: null-argument because the column is NOT NULL, and row_status() has checked the
     * memory */
    if (order->currency && strcmp(order->currency, currency) != 0)
        return journey_refuse(j, REFUSED_INVALID_REQUEST,
                              "lines.sku: the price is not in %s, as the other prices are",
                              order->currency);
    order->currency = currency;
    order->amount += line->amount * line->quantity;
    return 0;
}

static int quote(struct journey *j, const void *request, void *ret_reply)
{
    struct bench_order order = *(const struct bench_order *)request;
    if (order.lines_count == 0)
        return journey_refuse(j, REFUSED_INVALID_REQUEST, "lines: at least one is required");
    struct bench_order_lines_item *lines = arena_alloc(journey_arena(j),
                                                       order.lines_count * sizeof(*lines));
    if (!lines)
        return fail(ERR_MEMORY, "no memory for a quote");
    memcpy(lines, order.lines, order.lines_count * sizeof(*lines));
    order.currency = NULL;
    order.amount = 0;
    order.has_amount = 1;
    order.lines = lines;
    int r = 0;
    for (size_t i = 0; i < order.lines_count && r == 0; i++)
        r = quote_line(j, &order, &lines[i]);
    if (r == 0)
        *(struct bench_order *)ret_reply = order;
    return trace(r);
}

static const struct command commands[] = {
    { "product.put", &bench_product_schema, &bench_done_schema, put_product, put_answer },
    { 0 },
};
static const struct query_type queries[] = {
    { "product.quote", &bench_order_schema, &bench_order_schema, quote },
    { 0 },
};
static const struct event_type events[] = {
    { &product_put_schema, "ProductPut", product_put_apply, NULL },
    { 0 },
};
const struct service product_service = {
    .name = "product-svc",
    .log = "PRODUCT",
    .prefix = "product",
    .description = "Products and prices",
    .tables = tables,
    .tables_version = 1,
    .events = events,
    .schema_base = "https://journey-mesh.example/schemas/",
    .commands = commands,
    .refusals = entity_refusals,
    .queries = queries,
};
