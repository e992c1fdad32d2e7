/* Change price: what the next orders pay for a product. An order has the price at which it was
 * placed in its lines, and keeps it. The price may go to another currency: the products of one
 * order must agree in it when the order is placed. */
#include "journeys.h"
#include "schemas/evt.order.PriceChanged.h"
#include "schemas/order.change-price.h"
#include "schemas/order.change-price.reply.h"
#include "tables.h"

int change_price(struct journey *j, const void *request)
{
    const struct order_change_price *change = request;
    struct product product;
    int r = product_find_for_sale(j, change->sku, &product);
    if (r != 0)
        return trace(r);
    struct price_changed changed = { .sku = change->sku, .price = change->price };
    return trace(journey_emit(j, &price_changed_schema, change->sku, &changed));
}

void change_price_answer(const struct event *event, void *ret_reply)
{
    const struct price_changed *changed = event->value;
    struct order_change_price_reply *reply = ret_reply;
    reply->sku = changed->sku;
    reply->price = changed->price;
    reply->position = event->position;
}
