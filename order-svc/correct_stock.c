/* Correct stock: the shelf holds more or fewer pieces than thought, as somebody says who gives the
 * difference or what was counted. What is reserved for open orders lies on the same shelf and is
 * promised: a correction that would leave less than that is refused, and an order must be cancelled
 * first. The stock of a retired product can be corrected, too: it is written off so. */
#include "journeys.h"
#include "schemas/evt.order.StockCorrected.h"
#include "schemas/order.correct-stock.h"
#include "schemas/order.correct-stock.reply.h"
#include "tables.h"
#include <inttypes.h>

static int refuse_too_few(struct journey *j, const struct order_correct_stock *correct,
                          const struct product *product)
{
    if (correct->has_counted)
        return journey_refuse(j, REFUSED_OUT_OF_STOCK,
                              "counted: %s: %" PRId64 " are reserved for open orders", correct->sku,
                              product->reserved);
    return journey_refuse(j, REFUSED_OUT_OF_STOCK,
                          "by: %s: only %" PRId64
                          " are there that are not reserved for open orders",
                          correct->sku, product->stock);
}

int correct_stock(struct journey *j, const void *request)
{
    const struct order_correct_stock *correct = request;
    if (correct->has_by == correct->has_counted)
        return journey_refuse(j, REFUSED_INVALID_REQUEST,
                              "by: either by or counted is needed, and not both");
    if (correct->has_by && correct->by == 0)
        return journey_refuse(j, REFUSED_INVALID_REQUEST, "by: must not be 0");
    struct product product;
    int r = product_find(j, correct->sku, &product);
    if (r == NOT_FOUND)
        return journey_refuse(j, REFUSED_NOT_FOUND, "sku: no such product");
    if (r != 0)
        return trace(r);
    int64_t stock = correct->has_by ? product.stock + correct->by
                                    : correct->counted - product.reserved;
    if (stock < 0)
        return refuse_too_few(j, correct, &product);
    if (stock + product.reserved + product.shipped > PIECES_MAX)
        return journey_refuse(j, REFUSED_INVALID_REQUEST, "%s: more than %" PRId64 " pieces in all",
                              correct->has_by ? "by" : "counted", PIECES_MAX);
    struct stock_corrected corrected = {
        .sku = correct->sku,
        .by = stock - product.stock,
        .stock = stock,
        .reason = correct->reason,
    };
    return trace(journey_emit(j, &stock_corrected_schema, correct->sku, &corrected));
}

void correct_stock_answer(const struct event *event, void *ret_reply)
{
    const struct stock_corrected *corrected = event->value;
    struct order_correct_stock_reply *reply = ret_reply;
    reply->sku = corrected->sku;
    reply->stock = corrected->stock;
    reply->position = event->position;
}
