/* Refund order: money of a charge is to be given back, whole or in part: of the one that the order
 * is paid by, or of one that could not be voided. The provider does it later (take_payment.c), so
 * this only says what is wanted. What is asked for and not yet refused counts as given back, so two
 * requests never give back more than was paid. */
#include "journeys.h"
#include "schemas/evt.order.RefundRequested.h"
#include "schemas/order.refund.h"
#include "schemas/order.refund.reply.h"
#include "tables.h"
#include <inttypes.h>

#define REFUNDS_MAX 100 /* of one order, refused ones among them */

int refund_order(struct journey *j, const void *request)
{
    const struct order_refund *refund = request;
    struct refundable of;
    int r = refundable_find(j, refund->order_id, refund->has_attempt ? refund->attempt : 0, &of);
    if (r == NOT_FOUND)
        return journey_refuse(j, REFUSED_NOT_FOUND, "order_id: no such order");
    if (r != 0)
        return trace(r);
    if (of.attempt == 0)
        return journey_refuse(j, REFUSED_WRONG_STATE,
                              "order_id: the order is %s, and no such charge holds money",
                              order_status_name(of.status));
    if (of.left == 0)
        return journey_refuse(j, REFUSED_WRONG_STATE,
                              "order_id: all of the charge is given back or asked for");
    if (refund->has_amount && refund->amount > of.left)
        return journey_refuse(j, REFUSED_INVALID_REQUEST,
                              "amount: of the charge %" PRId64 " are left", of.left);
    if (of.next_refund > REFUNDS_MAX)
        return journey_refuse(j, REFUSED_WRONG_STATE, "order_id: the order has %d refunds",
                              REFUNDS_MAX);
    struct refund_requested requested = {
        .order_id = refund->order_id,
        .account_id = of.account_id,
        .refund = of.next_refund,
        .attempt = of.attempt,
        .amount = { .amount = refund->has_amount ? refund->amount : of.left,
                    .currency = of.currency },
        .reason = refund->reason,
    };
    return trace(journey_emit(j, &refund_requested_schema, refund->order_id, &requested));
}

void refund_order_answer(const struct event *event, void *ret_reply)
{
    const struct refund_requested *requested = event->value;
    struct order_refund_reply *reply = ret_reply;
    reply->order_id = event->entity;
    reply->refund = requested->refund;
    reply->amount = requested->amount;
    reply->position = event->position;
}
