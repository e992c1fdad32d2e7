/* Take up shipment: the service `shipping` (docs/TUTORIAL.md) says that a parcel is with the
 * carrier, so the paid order is shipped, as if order.ship had said so. This is a reaction: whether
 * that service is there, or was ever started, nobody here waits for it. It is heard only with
 * --shipping stream.
 *
 * An order that cannot become shipped, because it was cancelled meanwhile or order.ship came first,
 * stays as it is: the other service's event says what happened there, and nothing is made up for it
 * here. Nothing of it is kept in our tables. */
#include "journeys.h"
#include "schemas/evt.order.OrderShipped.h"
#include "schemas/evt.shipping.Shipped.h"
#include "tables.h"

static int shipped_apply(struct db *db, const struct event *event)
{
    (void)db;
    (void)event;
    return 0;
}

static int take_up_shipment(struct journey *j, const struct event *event)
{
    const struct shipped *parcel = event->value;
    struct order_head order;
    int r = order_find(j, parcel->order_id, &order);
    if (r < 0)
        return trace(r);
    if (r == NOT_FOUND || !order_may_become(order.status, ORDER_SHIPPED))
        return 0;
    struct order_shipped shipped = { .order_id = parcel->order_id, .account_id = order.account_id };
    return trace(journey_emit(j, &order_shipped_schema, parcel->order_id, &shipped));
}

const struct event_type take_up_shipments[] = {
    { &shipped_schema, "Shipped", shipped_apply, take_up_shipment },
    { 0 },
};
