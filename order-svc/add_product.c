/* Add product: from now on the product can be ordered. Its name does not change; its price does by
 * order.change-price. A second product with the same sku is a conflict, also when the first one is
 * retired, because the log, and the pieces that are reserved and shipped, name it by that sku. */
#include "journeys.h"
#include "schemas/evt.order.ProductAdded.h"
#include "schemas/order.add-product.h"
#include "schemas/order.add-product.reply.h"
#include "tables.h"

int add_product(struct journey *j, const void *request)
{
    const struct order_add_product *add = request;
    struct product product;
    int r = product_find(j, add->sku, &product);
    if (r == 0)
        return journey_refuse(j, REFUSED_CONFLICT, "sku: there is a %s of this sku",
                              product.is_retired ? "retired product" : "product");
    if (r != NOT_FOUND)
        return trace(r);
    struct product_added added = {
        .sku = add->sku, .name = add->name, .price = add->price, .stock = add->stock
    };
    return trace(journey_emit(j, &product_added_schema, add->sku, &added));
}

void add_product_answer(const struct event *event, void *ret_reply)
{
    struct order_add_product_reply *reply = ret_reply;
    reply->sku = event->entity;
    reply->position = event->position;
}
