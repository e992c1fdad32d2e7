/* Load, the bodies: what customers and the shop ask for, drawn from what is known so far. */
#include "load.h"
#include "base/result.h"
#include "runtime/request/account_subject.h"
#include "schemas/account.add-card.h"
#include "schemas/account.change-address.h"
#include "schemas/account.close.h"
#include "schemas/account.register.h"
#include "schemas/account.remove-card.h"
#include "schemas/order.add-product.h"
#include "schemas/order.cancel.h"
#include "schemas/order.change-price.h"
#include "schemas/order.correct-stock.h"
#include "schemas/order.place.h"
#include "schemas/order.receive-stock.h"
#include "schemas/order.retire-product.h"
#include "schemas/order.refund.h"
#include "schemas/order.ship.h"
#include <string.h>

#define PRODUCTS_MAX 5 /* the last one may be retired, and is asked for less often */

static const char *text(struct world *world, const char *format, int64_t number)
{
    char line[64];
    int length = snprintf(line, sizeof(line), format, (long long)number);
    return must(arena_copy(&world->arena, line, (size_t)length));
}

static const struct name *pick(struct world *world, const struct name *names, int count)
{
    return &names[draw(world, count < NAMES_MAX ? count : NAMES_MAX)];
}

static const char *pick_id(struct world *world, const struct name *names, int count)
{
    const char *id = pick(world, names, count)->id;
    return must(arena_copy(&world->arena, id, strlen(id)));
}

static const char *pick_account(struct world *world)
{
    return pick_id(world, world->load.accounts, world->load.account_count);
}

/* Whose key is taken has said which account it is. */
static const char *account_of(struct world *world, struct request *request)
{
    if (request->other && request->other->is_for_account)
        request->account = request->other->account;
    else
        request->account = pick_account(world);
    return request->account;
}

static const char *pick_order(struct world *world)
{
    return pick_id(world, world->load.orders, world->load.order_count);
}

static const char *pick_sku(struct world *world)
{
    int64_t last = PRODUCTS_MAX - 1;
    return text(world, "sku-%lld", one_in(world, 8) ? last : draw(world, last));
}

static struct address address_of(struct world *world, int number)
{
    return (struct address){ .street = text(world, "Street %lld", number),
                             .city = "Town",
                             .postal_code = "12345",
                             .country = "DE" };
}

static const char *pick_token(struct world *world)
{
    static const char *const tokens[] = { "tok_ok", "tok_ok", "tok_ok", "tok_declined",
                                          "tok_moody" };
    return world->load.declines ? "tok_declined" : tokens[draw(world, 5)];
}

/* ---- One body a kind ------------------------------------------------------------------------ */

static void put(const struct schema *schema, const void *value, struct buf *out)
{
    if (schema_encode(schema, value, out) < 0)
        must(NULL);
}

/* On the subject of an account the body may leave the account out. */
static void put_of_account(struct world *world, const struct request *request,
                           const struct schema *schema, void *body, struct buf *out)
{
    struct account_request *account;
    if (!request->is_for_account || one_in(world, 2)) {
        put(schema, body, out);
        return;
    }
    if (account_request_make(schema, &world->arena, &account) < 0)
        must(NULL);
    *(const char **)((char *)body + account->account->offset) = NULL;
    put(&account->schema, body, out);
}

static void put_product(struct world *world, struct buf *out)
{
    const struct order_add_product body = {
        .sku = text(world, "sku-%lld", world->load.product_count % PRODUCTS_MAX),
        .name = "Thing",
        .price = { .amount = 100 + draw(world, 900), .currency = "EUR" },
        .stock = draw(world, 200),
    };
    put(&order_add_product_schema, &body, out);
}

static void put_registration(struct world *world, int number, struct buf *out)
{
    const struct account_register body = { .name = "Name",
                                           .email = text(world, "a%lld@example.org", number),
                                           .address = address_of(world, number) };
    put(&account_register_schema, &body, out);
}

static void put_card(struct world *world, struct request *request, struct buf *out)
{
    struct account_add_card body = { .account_id = account_of(world, request),
                                     .card_token = pick_token(world),
                                     .brand = "Card",
                                     .last4 = "4242",
                                     .expires = "2099-12" };
    put_of_account(world, request, &account_add_card_schema, &body, out);
}

static void put_order(struct world *world, struct request *request, struct buf *out)
{
    struct order_place_lines_item lines[2];
    for (int i = 0; i < 2; i++) {
        lines[i].sku = pick_sku(world);
        lines[i].quantity = 1 + draw(world, 4);
    }
    struct order_place body = { .account_id = account_of(world, request), .lines = lines };
    body.lines_count = 1 + (size_t)draw(world, 2);
    put_of_account(world, request, &order_place_schema, &body, out);
}

static void put_removal(struct world *world, struct request *request, struct buf *out)
{
    const struct load *load = &world->load;
    const struct name *card = pick(world, load->cards, load->card_count);
    request->account = load->requests[card->of]->account;
    if (request->other && request->other->is_for_account)
        request->account = request->other->account;
    struct account_remove_card body = { .account_id = request->account, .card_id = card->id };
    put_of_account(world, request, &account_remove_card_schema, &body, out);
}

static void put_address(struct world *world, struct request *request, struct buf *out)
{
    struct account_change_address body = { .account_id = account_of(world, request) };
    body.address = address_of(world, request->number);
    put_of_account(world, request, &account_change_address_schema, &body, out);
}

static void put_closing(struct world *world, struct request *request, struct buf *out)
{
    struct account_close body = { .account_id = account_of(world, request) };
    put_of_account(world, request, &account_close_schema, &body, out);
}

/* On the subject of an account now and then of a stranger's order, and of one's own order with a
 * stranger's name in the body. */
static void put_cancellation(struct world *world, struct request *request, struct buf *out)
{
    const struct load *load = &world->load;
    const struct name *order = pick(world, load->orders, load->order_count);
    const char *owner = load->requests[order->of]->account;
    request->account = one_in(world, 3) ? pick_account(world) : owner;
    if (request->other && request->other->is_for_account)
        request->account = request->other->account;
    request->is_strangers = request->is_for_account && strcmp(request->account, owner) != 0;
    struct order_cancel body = { .order_id = order->id };
    body.account_id = request->is_for_account ? request->account : owner;
    if (request->is_for_account && one_in(world, 12)) {
        body.account_id = pick_account(world);
        request->is_strangers |= strcmp(request->account, body.account_id) != 0;
        put(&order_cancel_schema, &body, out);
        return;
    }
    put_of_account(world, request, &order_cancel_schema, &body, out);
}

static void put_stock(struct world *world, struct buf *out)
{
    struct order_receive_stock body = { .sku = pick_sku(world) };
    body.quantity = 1 + draw(world, 60);
    put(&order_receive_stock_schema, &body, out);
}

static void put_correction(struct world *world, struct buf *out)
{
    struct order_correct_stock body = { .sku = pick_sku(world), .reason = "counted" };
    body.has_by = one_in(world, 2);
    body.has_counted = !body.has_by;
    if (body.has_by)
        body.by = one_in(world, 2) ? 1 + draw(world, 40) : -1 - draw(world, 40);
    else
        body.counted = draw(world, 100);
    put(&order_correct_stock_schema, &body, out);
}

static void put_price(struct world *world, struct buf *out)
{
    const struct order_change_price body = {
        .sku = pick_sku(world),
        .price = { .amount = 100 + draw(world, 900), .currency = "EUR" },
    };
    put(&order_change_price_schema, &body, out);
}

static void put_retirement(struct world *world, struct buf *out)
{
    const struct order_retire_product body = { .sku = text(world, "sku-%lld", PRODUCTS_MAX - 1) };
    put(&order_retire_product_schema, &body, out);
}

static void put_refund(struct world *world, struct buf *out)
{
    struct order_refund body = { .order_id = pick_order(world) };
    body.has_amount = one_in(world, 2);
    body.amount = body.has_amount ? 1 + draw(world, 300) : 0;
    put(&order_refund_schema, &body, out);
}

void load_put_body(struct world *world, struct request *request, struct buf *out)
{
    switch (request->kind) {
    case REQUEST_PRODUCT:     put_product(world, out); break;
    case REQUEST_REGISTER:    put_registration(world, request->number, out); break;
    case REQUEST_CARD:        put_card(world, request, out); break;
    case REQUEST_PLACE:       put_order(world, request, out); break;
    case REQUEST_STOCK:       put_stock(world, out); break;
    case REQUEST_CORRECT:     put_correction(world, out); break;
    case REQUEST_PRICE:       put_price(world, out); break;
    case REQUEST_RETIRE:      put_retirement(world, out); break;
    case REQUEST_REMOVE_CARD: put_removal(world, request, out); break;
    case REQUEST_ADDRESS:     put_address(world, request, out); break;
    case REQUEST_CLOSE:       put_closing(world, request, out); break;
    case REQUEST_CANCEL:      put_cancellation(world, request, out); break;
    case REQUEST_SHIP:
        put(&order_ship_schema, &(struct order_ship){ .order_id = pick_order(world) }, out);
        break;
    case REQUEST_REFUND: put_refund(world, out); break;
    case REQUEST_KINDS:  break;
    }
}

/* What can be asked with what is known so far. */
enum request_kind load_pick_kind(struct world *world)
{
    static const int weights[REQUEST_KINDS] = {
        [REQUEST_REGISTER] = 6, [REQUEST_CARD] = 12,   [REQUEST_PLACE] = 40,
        [REQUEST_CANCEL] = 5,   [REQUEST_SHIP] = 14,   [REQUEST_STOCK] = 7,
        [REQUEST_CORRECT] = 2,  [REQUEST_PRICE] = 2,   [REQUEST_RETIRE] = 1,
        [REQUEST_REFUND] = 3,   [REQUEST_ADDRESS] = 3, [REQUEST_REMOVE_CARD] = 3,
        [REQUEST_CLOSE] = 1,
    };
    const struct load *load = &world->load;
    if (load->product_count < PRODUCTS_MAX)
        return REQUEST_PRODUCT;
    for (;;) {
        int64_t weight = draw(world, 100);
        enum request_kind kind = 0;
        while (kind < REQUEST_KINDS && (weight -= weights[kind]) >= 0)
            kind++;
        if (kind == REQUEST_KINDS)
            continue;
        if (load->account_count == 0)
            return REQUEST_REGISTER;
        if ((kind == REQUEST_CANCEL || kind == REQUEST_SHIP || kind == REQUEST_REFUND) &&
            load->order_count == 0)
            continue;
        if (kind == REQUEST_REMOVE_CARD && load->card_count == 0)
            continue;
        return kind;
    }
}
