/* List unsettled: charges that could not be taken back and refunds that were refused, oldest first,
 * a page at a time: what a person must settle with the provider or the customer. */
#include "journeys.h"
#include "schemas/order.unsettled.h"
#include "schemas/order.unsettled.reply.h"
#include "tables.h"

#define PAGE_DEFAULT 50

int list_unsettled(struct journey *j, const void *request, void *ret_reply)
{
    const struct order_unsettled *list = request;
    struct order_unsettled_reply *reply = ret_reply;
    int limit = (int)journey_page_limit(j, list->has_limit ? list->limit : PAGE_DEFAULT), count = 0;
    struct order_unsettled_reply_unsettled_item *rows =
        arena_alloc(journey_arena(j), ((size_t)limit + 1) * sizeof(*rows));
    if (!rows)
        return fail(ERR_MEMORY, "no memory for a list");
    /* one row more than the limit: then there is a next page */
    int r = unsettled_list(j, list->has_after ? list->after : 0, limit + 1, rows, &count);
    if (r < 0)
        return trace(r);
    reply->unsettled = rows;
    reply->unsettled_count = (size_t)(count > limit ? limit : count);
    reply->has_next = count > limit;
    reply->next = count > limit ? rows[limit - 1].position : 0;
    return 0;
}
