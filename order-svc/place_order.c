/* Place order: the request becomes an order with a price, an address, a card and reserved stock.
 * The decision uses only what this service has in its own tables and calls no other service; the
 * payment follows later (take_payment.c). The first check that fails decides the refusal:
 *
 *     the account is known and open · a card is usable · not too many orders wait for one ·
 *     the products exist and are sold · in one currency · in stock · the total is within the bounds
 *     of money
 */
#include "base/clock.h"
#include "journeys.h"
#include "schemas/evt.order.OrderPlaced.h"
#include "schemas/order.place.h"
#include "schemas/order.place.reply.h"
#include "tables.h"
#include <inttypes.h>
#include <string.h>

#define QUANTITY_MAX INT64_C(1000000)     /* as in schemas/common.json */
#define AMOUNT_MAX INT64_C(1000000000000) /* as in schemas/common.json */
#define DEADLINE_S_MAX INT64_C(315360000) /* ten years */

struct basket {
    struct order_line *lines; /* one for each sku */
    int64_t *stock;           /* of each line's product, on hand */
    size_t *asked;            /* of each line, the index of its line in the request */
    size_t count;
};

static struct order_line *basket_find(struct basket *basket, const char *sku)
{
    for (size_t i = 0; i < basket->count; i++)
        if (strcmp(basket->lines[i].sku, sku) == 0)
            return &basket->lines[i];
    return NULL;
}

/* Two lines with the same sku become one line with the sum of their quantities. */
static int basket_fill(struct journey *j, struct basket *basket, const struct order_place *place)
{
    basket->lines = arena_alloc(journey_arena(j), place->lines_count * sizeof(*basket->lines));
    basket->stock = arena_alloc(journey_arena(j), place->lines_count * sizeof(*basket->stock));
    basket->asked = arena_alloc(journey_arena(j), place->lines_count * sizeof(*basket->asked));
    if (!basket->lines || !basket->stock || !basket->asked)
        return fail(ERR_MEMORY, "no memory for an order");
    for (size_t i = 0; i < place->lines_count; i++) {
        const struct order_place_lines_item *wish = &place->lines[i];
        struct order_line *line = basket_find(basket, wish->sku);
        if (line) {
            line->quantity += wish->quantity;
            continue;
        }
        struct product product;
        int r = product_find(j, wish->sku, &product);
        if (r == NOT_FOUND)
            return journey_refuse(j, REFUSED_NOT_FOUND, "lines[%zu].sku: no such product", i);
        if (r != 0)
            return trace(r);
        if (product.is_retired)
            return journey_refuse(j, REFUSED_WRONG_STATE, "lines[%zu].sku: the product is retired",
                                  i);
        basket->lines[basket->count] = (struct order_line){
            .sku = wish->sku,
            .name = product.name,
            .quantity = wish->quantity,
            .unit_price = product.price,
        };
        basket->stock[basket->count] = product.stock;
        basket->asked[basket->count++] = i;
    }
    return 0;
}

static int basket_check(struct journey *j, const struct basket *basket)
{
    for (size_t i = 1; i < basket->count; i++)
        if (strcmp(basket->lines[i].unit_price.currency, basket->lines[0].unit_price.currency) != 0)
            return journey_refuse(j, REFUSED_INVALID_REQUEST,
                                  "lines[%zu].sku: its price is not in %s, as the others are",
                                  basket->asked[i], basket->lines[0].unit_price.currency);
    for (size_t i = 0; i < basket->count; i++)
        if (basket->lines[i].quantity > basket->stock[i])
            return journey_refuse(j, REFUSED_OUT_OF_STOCK,
                                  "lines[%zu]: %s: %" PRId64 " wanted, %" PRId64 " left",
                                  basket->asked[i], basket->lines[i].sku, basket->lines[i].quantity,
                                  basket->stock[i]);
    return 0;
}

/* The product of two bounded numbers fits an int64_t; a sum is refused as soon as it leaves the
 * bounds. */
static int basket_total(struct journey *j, const struct basket *basket, struct money *ret_total)
{
    struct money total = { .currency = basket->lines[0].unit_price.currency };
    for (size_t i = 0; i < basket->count; i++) {
        const struct order_line *line = &basket->lines[i];
        if (line->quantity > QUANTITY_MAX)
            return journey_refuse(j, REFUSED_INVALID_REQUEST,
                                  "lines[%zu].quantity: more than %" PRId64 " of one product",
                                  basket->asked[i], QUANTITY_MAX);
        total.amount += line->quantity * line->unit_price.amount;
        if (total.amount > AMOUNT_MAX)
            return journey_refuse(j, REFUSED_INVALID_REQUEST,
                                  "lines[%zu].quantity: the total is more than %" PRId64,
                                  basket->asked[i], AMOUNT_MAX);
    }
    *ret_total = total;
    return 0;
}

static const char *pay_until(struct journey *j)
{
    int64_t deadline_s = journey_option_int(j, "payment-deadline-s");
    if (deadline_s > DEADLINE_S_MAX)
        deadline_s = DEADLINE_S_MAX;
    char *text = arena_alloc(journey_arena(j), RFC3339_SIZE);
    if (text)
        rfc3339_format(journey_now_ms(j) + deadline_s * 1000, text);
    return text;
}

int place_order(struct journey *j, const void *request)
{
    const struct order_place *place = request;
    struct customer customer;
    int r = customer_find(j, place->account_id, &customer);
    if (r == NOT_FOUND)
        return journey_refuse(j, REFUSED_UNKNOWN_ACCOUNT,
                              "account_id: no such account is known here");
    if (r != 0)
        return trace(r);
    if (!customer.is_open)
        return journey_refuse(j, REFUSED_ACCOUNT_CLOSED, "account_id: the account is closed");
    if (!customer.card_id)
        return journey_refuse(j, REFUSED_NO_VALID_CARD,
                              "account_id: the account has no usable card");

    if (customer.has_too_many_waiting)
        return journey_refuse(j, REFUSED_TOO_MANY_WAITING,
                              "account_id: %" PRId64 " orders of the account wait for a card",
                              journey_option_int(j, "orders-waiting-max"));
    struct basket basket = { 0 };
    struct order_placed placed = {
        .account_id = place->account_id,
        .card_id = customer.card_id,
        .ship_to = customer.ship_to,
    };
    r = basket_fill(j, &basket, place);
    if (r == 0)
        r = basket_check(j, &basket);
    if (r == 0)
        r = basket_total(j, &basket, &placed.total);
    if (r != 0)
        return trace(r);
    placed.lines = basket.lines;
    placed.lines_count = basket.count;
    placed.order_id = journey_make_id(j, "ord_");
    placed.pay_until = pay_until(j);
    if (!placed.order_id || !placed.pay_until)
        return fail(ERR_MEMORY, "no memory for an order");
    return trace(journey_emit(j, &order_placed_schema, placed.order_id, &placed));
}

void place_order_answer(const struct event *event, void *ret_reply)
{
    struct order_place_reply *reply = ret_reply;
    reply->order_id = event->entity;
    reply->status = order_status_name(ORDER_PLACED);
    reply->position = event->position;
}
