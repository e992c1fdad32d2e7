/* One command for services of tests: a product is added. A test takes the parts that it does not
 * have otherwise. */
#pragma once
#include "journey.h"
#include "schemas/evt.order.ProductAdded.h"
#include "schemas/order.add-product.h"
#include "schemas/order.add-product.reply.h"

static inline int decide_add_product(struct journey *j, const void *request)
{
    const struct order_add_product *wanted = request;
    struct product_added added = {
        .sku = wanted->sku, .name = wanted->name, .price = wanted->price, .stock = wanted->stock
    };
    return trace(journey_emit(j, &product_added_schema, wanted->sku, &added));
}

static inline void answer_add_product(const struct event *event, void *ret_reply)
{
    struct order_add_product_reply *reply = ret_reply;
    reply->sku = event->entity;
    reply->position = event->position;
}

static inline int apply_product_added(struct db *db, const struct event *event)
{
    const struct product_added *added = event->value;
    /* products (sku, stock) */
    return trace(
        db_exec(db, "INSERT INTO products VALUES (?1, ?2)", "si", added->sku, added->stock));
}
