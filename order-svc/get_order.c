/* Get order: its status, its lines and its history. With an account, only an order of that account
 * is there. */
#include "journeys.h"
#include "schemas/order.get.h"
#include "tables.h"

int get_order(struct journey *j, const void *request, void *ret_reply)
{
    const struct order_get *get = request;
    int r = order_find_whole(j, get->order_id, get->account_id, ret_reply);
    if (r == NOT_FOUND)
        return journey_refuse(j, REFUSED_NOT_FOUND, "order_id: no such order");
    return trace(r);
}
