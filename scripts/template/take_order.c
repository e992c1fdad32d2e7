/* Take order: somebody takes a paid order in hand, once. It reads, decides and says what happened;
 * the tables change when that event is applied (taken_apply), and the reply goes out after the
 * commit. */
#include "journeys.h"
#include "schemas/@name@.take.h"
#include "schemas/@name@.take.reply.h"
#include "schemas/evt.@name@.Taken.h"
#include "tables.h"

int take_order(struct journey *j, const void *request)
{
    const struct @name@_take *take = request;
    const char *account_id;
    int r = paid_order_find(j, take->order_id, &account_id);
    if (r == NOT_FOUND)
        return journey_refuse(j, REFUSED_NOT_FOUND, "order_id: no such paid order");
    if (r != 0)
        return trace(r);
    r = order_is_taken(j, take->order_id);
    if (r < 0)
        return trace(r);
    if (r > 0)
        return journey_refuse(j, REFUSED_ALREADY_TAKEN, "order_id: the order is taken");
    struct taken taken = { .order_id = take->order_id, .account_id = account_id };
    return trace(journey_emit(j, &taken_schema, take->order_id, &taken));
}

void take_order_answer(const struct event *event, void *ret_reply)
{
    struct @name@_take_reply *reply = ret_reply;
    reply->order_id = event->entity;
    reply->position = event->position;
}
