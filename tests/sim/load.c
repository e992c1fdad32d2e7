/* Load: customers and a shop. Each request has its idempotency key and is asked again under it
 * until it is answered; now and then also afterwards, or with another body. What was answered is
 * remembered, and held against every later answer (I1 to I3). */
#include "schemas/account.add-card.h"
#include "schemas/account.change-address.h"
#include "schemas/account.register.h"
#include "schemas/account.remove-card.h"
#include "schemas/order.add-product.h"
#include "schemas/order.place.h"
#include "schemas/order.receive-stock.h"
#include "world.h"
#include "account-svc/service.h"
#include "order-svc/service.h"
#include <stdlib.h>
#include <string.h>

#define PRODUCTS_MAX 4
#define REPEAT_ONE_IN 12
#define OTHER_BODY_ONE_IN 60

static const struct {
    const char *subject;
    int node, weight;
} kinds[REQUEST_KINDS] = {
    [REQUEST_PRODUCT] = { "order.add-product", ORDER, 0 },
    [REQUEST_REGISTER] = { "account.register", ACCOUNT, 6 },
    [REQUEST_CARD] = { "account.add-card", ACCOUNT, 12 },
    [REQUEST_PLACE] = { "order.place", ORDER, 40 },
    [REQUEST_CANCEL] = { "order.cancel", ORDER, 5 },
    [REQUEST_SHIP] = { "order.ship", ORDER, 18 },
    [REQUEST_STOCK] = { "order.receive-stock", ORDER, 8 },
    [REQUEST_REMOVE_CARD] = { "account.remove-card", ACCOUNT, 3 },
    [REQUEST_ADDRESS] = { "account.change-address", ACCOUNT, 6 },
    [REQUEST_CLOSE] = { "account.close", ACCOUNT, 1 },
};

static const struct command *command_of(enum request_kind kind)
{
    const struct service *service = kinds[kind].node == ACCOUNT ? &account_service : &order_service;
    const struct command *command = service->commands;
    while (strcmp(command->subject, kinds[kind].subject) != 0)
        command++;
    return command;
}

/* ---- What is asked --------------------------------------------------------------------------- */

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

static const char *pick_sku(struct world *world)
{
    return text(world, "sku-%lld", draw(world, PRODUCTS_MAX));
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
    return tokens[draw(world, 5)];
}

static void fill_body(struct world *world, struct request *request)
{
    const struct load *load = &world->load;
    switch (request->kind) {
    case REQUEST_PRODUCT:
        request->body.product = (struct order_add_product){
            .sku = text(world, "sku-%lld", load->product_count % PRODUCTS_MAX),
            .name = "Thing",
            .price = { .amount = 100 + draw(world, 900), .currency = "EUR" },
            .stock = draw(world, 200)
        };
        break;
    case REQUEST_REGISTER:
        request->body.account =
            (struct account_register){ .name = "Name",
                                       .email = text(world, "a%lld@example.org", request->number),
                                       .address = address_of(world, request->number) };
        break;
    case REQUEST_CARD:
        request->body.card = (struct account_add_card){ .account_id = pick_id(world, load->accounts,
                                                                              load->account_count),
                                                        .card_token = pick_token(world),
                                                        .brand = "Card",
                                                        .last4 = "4242",
                                                        .expires = "2099-12" };
        break;
    case REQUEST_PLACE:
        for (int i = 0; i < 2; i++)
            request->lines[i] = (struct order_place_lines_item){ .sku = pick_sku(world),
                                                                 .quantity = 1 + draw(world, 4) };
        request->body.place =
            (struct order_place){ .account_id = pick_id(world, load->accounts, load->account_count),
                                  .lines = request->lines,
                                  .lines_count = 1 + (size_t)draw(world, 2) };
        break;
    case REQUEST_CANCEL:
        request->body.cancel.order_id = pick_id(world, load->orders, load->order_count);
        break;
    case REQUEST_SHIP:
        request->body.ship.order_id = pick_id(world, load->orders, load->order_count);
        break;
    case REQUEST_STOCK:
        request->body.stock = (struct order_receive_stock){ .sku = pick_sku(world),
                                                            .quantity = 1 + draw(world, 60) };
        break;
    case REQUEST_REMOVE_CARD: {
        const struct name *card = pick(world, load->cards, load->card_count);
        request->body.remove = (struct account_remove_card){
            .card_id = must(arena_copy(&world->arena, card->id, strlen(card->id))),
            .account_id = load->requests[card->of]->body.card.account_id
        };
        break;
    }
    case REQUEST_ADDRESS:
        request->body.address = (struct account_change_address){
            .account_id = pick_id(world, load->accounts, load->account_count),
            .address = address_of(world, request->number)
        };
        break;
    case REQUEST_CLOSE:
        request->body.close.account_id = pick_id(world, load->accounts, load->account_count);
        break;
    case REQUEST_KINDS: break;
    }
}

/* What can be asked with what is known so far. */
static enum request_kind pick_kind(struct world *world)
{
    const struct load *load = &world->load;
    if (load->product_count < PRODUCTS_MAX)
        return REQUEST_PRODUCT;
    for (;;) {
        int64_t weight = draw(world, 100);
        enum request_kind kind = 0;
        while (kind < REQUEST_KINDS && (weight -= kinds[kind].weight) >= 0)
            kind++;
        if (kind == REQUEST_KINDS)
            continue;
        if (load->account_count == 0)
            return REQUEST_REGISTER;
        if ((kind == REQUEST_CANCEL || kind == REQUEST_SHIP) && load->order_count == 0)
            continue;
        if (kind == REQUEST_REMOVE_CARD && load->card_count == 0)
            continue;
        return kind;
    }
}

/* ---- Asking ---------------------------------------------------------------------------------- */

static void send(struct world *world, struct request *request)
{
    request->tries++;
    request->retry_ms = world->now_ms + 300 + draw(world, 2000);
    if (request->retry_ms < world->load.retry_ms)
        world->load.retry_ms = request->retry_ms;
    tell(world, "asks %s %s, try %d", request->command->subject, request->key, request->tries);
    send_packet(world, (struct packet){ .kind = PACKET_REQUEST,
                                        .node = request->node,
                                        .to_node = 1,
                                        .reply = { .request = request } });
}

static struct request *request_new(struct world *world, enum request_kind kind)
{
    struct load *load = &world->load;
    struct request *request = must(arena_alloc(&world->arena, sizeof(*request)));
    if (load->count == load->room) {
        load->room = load->room ? 2 * load->room : 256;
        load->requests =
            must(realloc(load->requests, (size_t)load->room * sizeof(struct request *)));
    }
    *request = (struct request){ .kind = kind,
                                 .node = kinds[kind].node,
                                 .number = load->count,
                                 .command = command_of(kind),
                                 .refusal = -1 };
    load->requests[load->count++] = request;
    load->waiting[load->waiting_count++] = request;
    fill_body(world, request);
    return request;
}

static void give_key(struct request *request, int key)
{
    struct digest digest;
    char body[32];
    int length = snprintf(body, sizeof(body), "body of %d", request->number);
    if (digest_of(body, (size_t)length, &digest) < 0)
        must(NULL);
    digest_format(&digest, request->digest);
    snprintf(request->key, sizeof(request->key), "k%d", key);
    snprintf(request->cause, sizeof(request->cause), CAUSE_REQUEST "%s", request->key);
}

static void ask_with_other_body(struct world *world, const struct request *first)
{
    if (world->load.waiting_count == WAITING_MAX)
        return;
    struct request *request = request_new(world, first->kind);
    give_key(request, first->number);
    request->other = first;
    send(world, request);
}

static void ask_again(struct world *world)
{
    struct load *load = &world->load;
    load->retry_ms = INT64_MAX;
    for (int i = 0; i < load->waiting_count; i++) {
        struct request *request = load->waiting[i];
        if (request->retry_ms <= world->now_ms)
            send(world, request);
        if (request->retry_ms < load->retry_ms)
            load->retry_ms = request->retry_ms;
    }
}

void load_act(struct world *world)
{
    struct load *load = &world->load;
    if (world->now_ms >= load->retry_ms)
        ask_again(world);
    if (world->calm || world->now_ms < load->next_ms)
        return;
    load->next_ms = world->now_ms + draw(world, 2 * world->mean_load_ms + 1);
    if (load->waiting_count == WAITING_MAX)
        return;
    struct request *request = request_new(world, pick_kind(world));
    load->product_count += request->kind == REQUEST_PRODUCT;
    give_key(request, request->number);
    send(world, request);
}

int64_t load_due_ms(const struct world *world)
{
    const struct load *load = &world->load;
    return !world->calm && load->next_ms < load->retry_ms ? load->next_ms : load->retry_ms;
}

void load_free(struct world *world)
{
    free(world->load.requests);
}

/* ---- Being answered -------------------------------------------------------------------------- */

static void learn(struct load *load, const struct request *request, const char *id)
{
    struct name *name = NULL;
    if (request->kind == REQUEST_REGISTER)
        name = &load->accounts[load->account_count++ % NAMES_MAX];
    else if (request->kind == REQUEST_CARD)
        name = &load->cards[load->card_count++ % NAMES_MAX];
    else if (request->kind == REQUEST_PLACE)
        name = &load->orders[load->order_count++ % NAMES_MAX];
    if (!name)
        return;
    snprintf(name->id, sizeof(name->id), "%s", id);
    name->of = request->number;
}

static const char *code_of(const struct world *world, const struct request *request, int refusal)
{
    const struct service *service = world->nodes[request->node].service;
    return refusal ? refusal_find(service->refusals, refusal)->code : "accepted";
}

static void take_first_answer(struct world *world, struct request *request,
                              const struct packet *packet)
{
    struct load *load = &world->load;
    for (int i = 0; i < load->waiting_count; i++)
        if (load->waiting[i] == request)
            load->waiting[i] = load->waiting[--load->waiting_count];
    request->refusal = packet->reply.refusal;
    request->answer = packet->reply.answer;
    request->restores = world->nodes[request->node].restores;
    if (request->other) {
        if (request->refusal != REFUSED_CONFLICT)
            violated(
                world,
                "I3: key %s was accepted, and with another body it gets %s instead of a conflict",
                request->key, code_of(world, request, request->refusal));
        return;
    }
    load->accepted += request->refusal == 0;
    load->refused += request->refusal > 0;
    if (request->refusal == 0)
        learn(load, request, packet->reply.id);
    if (!world->calm && one_in(world, REPEAT_ONE_IN))
        send(world, request);
    if (!world->calm && request->refusal == 0 && one_in(world, OTHER_BODY_ONE_IN))
        ask_with_other_body(world, request);
}

/* The same key, the same answer; only refusals are forgotten with a database. */
static void take_later_answer(struct world *world, const struct request *request,
                              const struct packet *packet)
{
    world->load.repeated++;
    if (request->refusal == packet->reply.refusal &&
        (request->refusal > 0 || request->answer == packet->reply.answer))
        return;
    if (request->refusal > 0 && world->nodes[request->node].restores > request->restores)
        return;
    violated(world, "%s: %s under key %s was answered %s, and later %s",
             request->refusal > 0 ? "I2" : "I1", request->command->subject, request->key,
             code_of(world, request, request->refusal),
             code_of(world, request, packet->reply.refusal));
}

void load_take_reply(struct world *world, const struct packet *packet)
{
    struct request *request = packet->reply.request;
    int refusal = packet->reply.refusal;
    tell(world, "answer to %s %s: %s %s", request->command->subject, request->key,
         code_of(world, request, refusal), packet->reply.id);
    if (refusal > 0 &&
        refusal_find(world->nodes[request->node].service->refusals, refusal)->is_transient)
        return; /* asked again later */
    if (request->refusal < 0)
        take_first_answer(world, request, packet);
    else
        take_later_answer(world, request, packet);
}
