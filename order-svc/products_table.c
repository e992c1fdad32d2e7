/* Products: what is for sale, and how many pieces are in stock, reserved and shipped. The sum of
 * the three changes only when a product is added and when stock is received or corrected; all other
 * events move pieces from one column to another. A retired product keeps its row, because orders
 * give back to it and ship from it. */
#include "journeys.h"
#include "schemas/evt.order.PriceChanged.h"
#include "schemas/evt.order.ProductAdded.h"
#include "schemas/evt.order.ProductRetired.h"
#include "schemas/evt.order.StockCorrected.h"
#include "schemas/evt.order.StockReceived.h"
#include "schemas/order.products.reply.h"
#include "tables.h"
#include "store/row.h"

int product_find(struct journey *j, const char *sku, struct product *ret_product)
{
    _deinit_(query) struct query q = { 0 };
    int r = query_find(
        &q, journey_db(j),
        "SELECT name, amount, currency, stock, reserved, shipped, is_retired FROM products"
        " WHERE sku = ?1",
        "s", sku);
    if (r != 0)
        return trace(r);
    struct row row = { .query = &q, .arena = journey_arena(j) };
    struct product product = {
        .name = row_text(&row, "name"),
        .price = { .amount = row_int(&row, "amount"), .currency = row_text(&row, "currency") },
        .stock = row_int(&row, "stock"),
        .reserved = row_int(&row, "reserved"),
        .shipped = row_int(&row, "shipped"),
        .is_retired = row_bool(&row, "is_retired"),
    };
    r = row_status(&row);
    if (r < 0)
        return trace(r);
    *ret_product = product;
    return 0;
}

int product_find_for_sale(struct journey *j, const char *sku, struct product *ret_product)
{
    struct product product;
    int r = product_find(j, sku, &product);
    if (r == NOT_FOUND)
        return journey_refuse(j, REFUSED_NOT_FOUND, "sku: no such product");
    if (r != 0)
        return trace(r);
    if (product.is_retired)
        return journey_refuse(j, REFUSED_WRONG_STATE, "sku: the product is retired");
    *ret_product = product;
    return 0;
}

int products_list(struct journey *j, const char *after, int max,
                  struct order_products_reply_products_item *ret_products, int *ret_count)
{
    _deinit_(query) struct query q = { 0 };
    int r = query_open(&q, journey_db(j),
                       "SELECT sku, name, amount, currency, stock, reserved, shipped, is_retired"
                       " FROM products WHERE sku > ?1 ORDER BY sku LIMIT ?2",
                       "si", after, (int64_t)max);
    struct row row = { .query = &q, .arena = journey_arena(j) };
    int count = 0;
    while (r == 0 && query_has_row(&q)) {
        ret_products[count] = (struct order_products_reply_products_item){
            .sku = row_text(&row, "sku"),
            .name = row_text(&row, "name"),
            .price = { .amount = row_int(&row, "amount"), .currency = row_text(&row, "currency") },
            .stock = row_int(&row, "stock"),
            .reserved = row_int(&row, "reserved"),
            .shipped = row_int(&row, "shipped"),
            .retired = row_bool(&row, "is_retired"),
        };
        ret_products[count].has_retired = ret_products[count].retired; /* shown only when true */
        count++;
    }
    if (r == 0)
        r = row_status(&row);
    if (r < 0)
        return trace(r);
    *ret_count = count;
    return 0;
}

int product_added_apply(struct db *db, const struct event *event)
{
    const struct product_added *added = event->value;
    return trace(db_exec(
        db, "INSERT INTO products (sku, name, amount, currency, stock) VALUES (?1, ?2, ?3, ?4, ?5)",
        "ssisi", added->sku, added->name, added->price.amount, added->price.currency,
        added->stock));
}

/* Adds the quantity and does not take over the level that the event reports, so that a wrong level
 * becomes visible. */
int stock_received_apply(struct db *db, const struct event *event)
{
    const struct stock_received *received = event->value;
    return trace(
        db_changed_one(db, db_exec(db, "UPDATE products SET stock = stock + ?2 WHERE sku = ?1",
                                   "si", received->sku, received->quantity)));
}

/* As above, by the difference: the table refuses a level below zero. */
int stock_corrected_apply(struct db *db, const struct event *event)
{
    const struct stock_corrected *corrected = event->value;
    return trace(
        db_changed_one(db, db_exec(db, "UPDATE products SET stock = stock + ?2 WHERE sku = ?1",
                                   "si", corrected->sku, corrected->by)));
}

int price_changed_apply(struct db *db, const struct event *event)
{
    const struct price_changed *changed = event->value;
    return trace(db_changed_one(
        db, db_exec(db, "UPDATE products SET amount = ?2, currency = ?3 WHERE sku = ?1", "sis",
                    changed->sku, changed->price.amount, changed->price.currency)));
}

int product_retired_apply(struct db *db, const struct event *event)
{
    const struct product_retired *retired = event->value;
    return trace(db_changed_one(
        db, db_exec(db, "UPDATE products SET is_retired = 1 WHERE sku = ?1", "s", retired->sku)));
}

int products_reserve(struct db *db, const char *sku, int64_t quantity)
{
    return trace(db_changed_one(
        db,
        db_exec(db,
                "UPDATE products SET stock = stock - ?2, reserved = reserved + ?2 WHERE sku = ?1",
                "si", sku, quantity)));
}

int products_return(struct db *db, const char *order_id)
{
    return trace(
        db_exec(db,
                "UPDATE products SET stock = stock + l.quantity, reserved = reserved - l.quantity"
                " FROM (SELECT sku, quantity FROM order_lines WHERE order_id = ?1) AS l WHERE "
                "products.sku = l.sku",
                "s", order_id));
}

int products_ship(struct db *db, const char *order_id)
{
    return trace(db_exec(
        db,
        "UPDATE products SET reserved = reserved - l.quantity, shipped = shipped + l.quantity"
        " FROM (SELECT sku, quantity FROM order_lines WHERE order_id = ?1) AS l WHERE products.sku "
        "= l.sku",
        "s", order_id));
}
