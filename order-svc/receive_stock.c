/* Receive stock: goods have come in, and can be ordered. */
#include "journeys.h"
#include "schemas/evt.order.StockReceived.h"
#include "schemas/order.receive-stock.h"
#include "schemas/order.receive-stock.reply.h"
#include "tables.h"
#include <inttypes.h>

int receive_stock(struct journey *j, const void *request)
{
    const struct order_receive_stock *receive = request;
    struct product product;
    int r = product_find_for_sale(j, receive->sku, &product);
    if (r != 0)
        return trace(r);
    if (product.stock + product.reserved + product.shipped + receive->quantity > PIECES_MAX)
        return journey_refuse(j, REFUSED_INVALID_REQUEST,
                              "quantity: more than %" PRId64 " pieces in all", PIECES_MAX);
    struct stock_received received = {
        .sku = receive->sku,
        .quantity = receive->quantity,
        .stock = product.stock + receive->quantity,
    };
    return trace(journey_emit(j, &stock_received_schema, receive->sku, &received));
}

void receive_stock_answer(const struct event *event, void *ret_reply)
{
    const struct stock_received *received = event->value;
    struct order_receive_stock_reply *reply = ret_reply;
    reply->sku = received->sku;
    reply->stock = received->stock;
    reply->position = event->position;
}
