/* Ship order: a paid order leaves the house, with the pieces that were reserved for it. */
#include "journeys.h"
#include "schemas/evt.order.OrderShipped.h"
#include "schemas/order.ship.h"
#include "schemas/order.ship.reply.h"
#include "tables.h"

int ship_order(struct journey *j, const void *request)
{
    const struct order_ship *ship = request;
    struct order_head order;
    int r = order_find(j, ship->order_id, &order);
    if (r == NOT_FOUND)
        return journey_refuse(j, REFUSED_NOT_FOUND, "order_id: no such order");
    if (r != 0)
        return trace(r);
    if (!order_may_become(order.status, ORDER_SHIPPED))
        return journey_refuse(j, REFUSED_WRONG_STATE, "order_id: the order is %s",
                              order_status_name(order.status));
    struct order_shipped shipped = { .order_id = ship->order_id, .account_id = order.account_id };
    return trace(journey_emit(j, &order_shipped_schema, ship->order_id, &shipped));
}

void ship_order_answer(const struct event *event, void *ret_reply)
{
    struct order_ship_reply *reply = ret_reply;
    reply->order_id = event->entity;
    reply->status = order_status_name(ORDER_SHIPPED);
    reply->position = event->position;
}
