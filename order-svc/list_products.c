/* List products: all products by sku, a page at a time. The last sku of a page leads to the next
 * page. */
#include "journeys.h"
#include "schemas/order.products.h"
#include "schemas/order.products.reply.h"
#include "tables.h"

#define PAGE_DEFAULT 50

int list_products(struct journey *j, const void *request, void *ret_reply)
{
    const struct order_products *list = request;
    struct order_products_reply *reply = ret_reply;
    int limit = (int)journey_page_limit(j, list->has_limit ? list->limit : PAGE_DEFAULT);
    struct order_products_reply_products_item *products =
        arena_alloc(journey_arena(j), ((size_t)limit + 1) * sizeof(*products));
    if (!products)
        return fail(ERR_MEMORY, "no memory for a list");
    /* one product more than the limit: then there is a next page */
    int count = 0;
    int r = products_list(j, list->after ? list->after : "", limit + 1, products, &count);
    if (r < 0)
        return trace(r);
    reply->products = products;
    reply->products_count = (size_t)(count > limit ? limit : count);
    reply->next = count > limit ? products[limit - 1].sku : NULL;
    return 0;
}
