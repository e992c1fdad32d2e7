/* Retire product: it is not sold any more, and gets no new price and no new stock. Orders that were
 * placed go on, and what they give back stays on the shelf, where order.correct-stock can write it
 * off. It cannot be undone: the sku stays taken, because the log names this product by it. */
#include "journeys.h"
#include "schemas/evt.order.ProductRetired.h"
#include "schemas/order.retire-product.h"
#include "schemas/order.retire-product.reply.h"
#include "tables.h"

int retire_product(struct journey *j, const void *request)
{
    const struct order_retire_product *retire = request;
    struct product product;
    int r = product_find_for_sale(j, retire->sku, &product);
    if (r != 0)
        return trace(r);
    struct product_retired retired = { .sku = retire->sku };
    return trace(journey_emit(j, &product_retired_schema, retire->sku, &retired));
}

void retire_product_answer(const struct event *event, void *ret_reply)
{
    struct order_retire_product_reply *reply = ret_reply;
    reply->sku = event->entity;
    reply->position = event->position;
}
