/* Cancel order: the customer does not want the order any more. An order can be cancelled until it
 * is paid; its stock returns at once. A charge may be in flight: take_payment.c voids the charge,
 * whatever its outcome. An order of another account than the one that is named is told of as an
 * order that is not there. */
#include "journeys.h"
#include "schemas/evt.order.OrderCancelled.h"
#include "schemas/order.cancel.h"
#include "schemas/order.cancel.reply.h"
#include "tables.h"
#include <string.h>

int cancel_order(struct journey *j, const void *request)
{
    const struct order_cancel *cancel = request;
    struct order_head order;
    int r = order_find(j, cancel->order_id, &order);
    if (r == NOT_FOUND ||
        (r == 0 && cancel->account_id && strcmp(cancel->account_id, order.account_id) != 0))
        return journey_refuse(j, REFUSED_NOT_FOUND, "order_id: no such order");
    if (r != 0)
        return trace(r);
    if (!order_may_become(order.status, ORDER_CANCELLED))
        return journey_refuse(j, REFUSED_WRONG_STATE, "order_id: the order is %s",
                              order_status_name(order.status));
    struct order_cancelled cancelled = {
        .order_id = cancel->order_id,
        .account_id = order.account_id,
        .reason = "requested",
    };
    return trace(journey_emit(j, &order_cancelled_schema, cancel->order_id, &cancelled));
}

void cancel_order_answer(const struct event *event, void *ret_reply)
{
    struct order_cancel_reply *reply = ret_reply;
    reply->order_id = event->entity;
    reply->status = order_status_name(ORDER_CANCELLED);
    reply->position = event->position;
}
