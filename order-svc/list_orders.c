/* List orders: the orders of a customer, the newest first, a page at a time. The last id of a page
 * leads to the next page. */
#include "journeys.h"
#include "schemas/order.list.h"
#include "schemas/order.list.reply.h"
#include "tables.h"

#define PAGE_DEFAULT 50

int list_orders(struct journey *j, const void *request, void *ret_reply)
{
    const struct order_list *list = request;
    struct order_list_reply *reply = ret_reply;
    int r = customer_is_known(j, list->account_id);
    if (r < 0)
        return trace(r);
    if (r == 0)
        return journey_refuse(j, REFUSED_UNKNOWN_ACCOUNT,
                              "account_id: no such account is known here");

    int limit = (int)journey_page_limit(j, list->has_limit ? list->limit : PAGE_DEFAULT);
    struct order_list_reply_orders_item *orders =
        arena_alloc(journey_arena(j), ((size_t)limit + 1) * sizeof(*orders));
    if (!orders)
        return fail(ERR_MEMORY, "no memory for a list");
    /* one order more than the limit: then there is a next page */
    int count = 0;
    r = orders_list(j, list->account_id, list->after, limit + 1, orders, &count);
    if (r < 0)
        return trace(r);
    reply->orders = orders;
    reply->orders_count = (size_t)(count > limit ? limit : count);
    reply->next = count > limit ? orders[limit - 1].order_id : NULL;
    return 0;
}
