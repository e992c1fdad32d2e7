/* Take up shipment: the service `shipping` (docs/TUTORIAL.md) says that a parcel is with the
 * carrier, so the paid order becomes shipped, as by order.ship. This is a reaction, only with
 * `--shipping stream`; order-svc runs whether that service runs or not.
 *
 * An order that cannot become shipped stays as it is, because it was cancelled or order.ship came
 * first: the event of the other service says what happened there, and no event is invented here. No
 * table keeps anything of that event. */
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
