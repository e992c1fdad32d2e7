/* Load: customers and a shop. Each request has its idempotency key and is asked again under it
 * until it is answered; now and then also afterwards, or with another body. What was answered is
 * remembered, and held against every later answer (I1 to I3). Who has placed an order looks whether
 * it is there (I10). A part of the customers ask on the subject of their account, and some of them
 * for what is another's (`rights`). */
#include "load.h"
#include "account-svc/service.h"
#include "base/result.h"
#include "order-svc/service.h"
#include "schemas/account.add-card.reply.h"
#include "schemas/account.change-address.reply.h"
#include "schemas/account.close.reply.h"
#include "schemas/account.register.reply.h"
#include "schemas/account.remove-card.reply.h"
#include "schemas/order.add-product.reply.h"
#include "schemas/order.cancel.reply.h"
#include "schemas/order.change-price.reply.h"
#include "schemas/order.correct-stock.reply.h"
#include "schemas/order.place.reply.h"
#include "schemas/order.receive-stock.reply.h"
#include "schemas/order.retire-product.reply.h"
#include "schemas/order.refund.reply.h"
#include "schemas/order.ship.reply.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define REPEAT_ONE_IN 12
#define OTHER_BODY_ONE_IN 60
#define LOOK_ONE_IN 8
#define TRACE_ONE_IN 8
#define OF_ACCOUNT_ONE_IN 3
#define INBOX "_INBOX.customers."

static const struct {
    const char *subject;
    int log;
    const struct schema *reply;
    _Bool has_account; /* may be sent on the subject of an account, too */
} kinds[REQUEST_KINDS] = {
    [REQUEST_PRODUCT] = { "order.add-product", ORDER, &order_add_product_reply_schema },
    [REQUEST_REGISTER] = { "account.register", ACCOUNT, &account_register_reply_schema },
    [REQUEST_CARD] = { "account.add-card", ACCOUNT, &account_add_card_reply_schema, 1 },
    [REQUEST_PLACE] = { "order.place", ORDER, &order_place_reply_schema, 1 },
    [REQUEST_CANCEL] = { "order.cancel", ORDER, &order_cancel_reply_schema, 1 },
    [REQUEST_SHIP] = { "order.ship", ORDER, &order_ship_reply_schema },
    [REQUEST_REFUND] = { "order.refund", ORDER, &order_refund_reply_schema },
    [REQUEST_STOCK] = { "order.receive-stock", ORDER, &order_receive_stock_reply_schema },
    [REQUEST_CORRECT] = { "order.correct-stock", ORDER, &order_correct_stock_reply_schema },
    [REQUEST_PRICE] = { "order.change-price", ORDER, &order_change_price_reply_schema },
    [REQUEST_RETIRE] = { "order.retire-product", ORDER, &order_retire_product_reply_schema },
    [REQUEST_REMOVE_CARD] = { "account.remove-card", ACCOUNT, &account_remove_card_reply_schema,
                              1 },
    [REQUEST_ADDRESS] = { "account.change-address", ACCOUNT, &account_change_address_reply_schema,
                          1 },
    [REQUEST_CLOSE] = { "account.close", ACCOUNT, &account_close_reply_schema, 1 },
};

/* ---- Asking ---------------------------------------------------------------------------------- */

static void send(struct world *world, struct request *request)
{
    request->tries++;
    request->retry_ms = world->now_ms + 300 + draw(world, 2000);
    if (request->retry_ms < world->load.retry_ms)
        world->load.retry_ms = request->retry_ms;
    net_send_from_actor(world, CUSTOMERS, wire_hold(request->wire));
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
    *request = (struct request){ .kind = kind, .log = kinds[kind].log, .number = load->count };
    request->restores = world->logs[request->log].restores;
    load->requests[load->count++] = request;
    load->waiting[load->waiting_count++] = request;
    return request;
}

/* By chance it may be the same body: then with a blank more, which is another one. */
static void differ(struct request *request, struct buf *body)
{
    const struct wire *other = request->other->wire;
    if ((size_t)other->data_length == body->length &&
        memcmp(wire_data(other), body->data, body->length) == 0)
        buf_put_char(body, ' ');
}

/* Under the key of the request of that number. */
static void make_wire(struct world *world, struct request *request, int key)
{
    _deinit_(buf) struct buf body = { 0 };
    char reply[48], subject[96];
    struct bus_header headers[3] = { { "Idempotency-Key", request->key } };
    int header_count = 1;
    request->is_for_account = request->other ? request->other->is_for_account
                                             : kinds[request->kind].has_account &&
                                                   one_in(world, OF_ACCOUNT_ONE_IN);
    load_put_body(world, request, &body);
    if (request->other)
        differ(request, &body);
    snprintf(request->key, sizeof(request->key), "k%d", key);
    snprintf(subject, sizeof(subject), "%s%s%s", kinds[request->kind].subject,
             request->is_for_account ? "." : "", request->is_for_account ? request->account : "");
    snprintf(reply, sizeof(reply), INBOX "%d", request->number);
    if (one_in(world, TRACE_ONE_IN)) {
        headers[header_count++] = (struct bus_header){ "ce-correlationid", "customer of %" };
        headers[header_count++] = (struct bus_header){
            "traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        };
    }
    const struct wire_parts parts = {
        .subject = subject, .reply = reply, .data = body.data, .data_length = body.length
    };
    request->wire = wire_with_headers(&parts, headers, header_count);
}

static void ask_with_other_body(struct world *world, const struct request *first)
{
    if (world->load.waiting_count == WAITING_MAX)
        return;
    struct request *request = request_new(world, first->kind);
    request->other = first;
    make_wire(world, request, first->number);
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
    if (load->is_over || world->now_ms < load->next_ms)
        return;
    load->next_ms = world->now_ms + draw(world, 2 * world->mean_load_ms + 1);
    if (load->waiting_count == WAITING_MAX)
        return;
    struct request *request = request_new(world, load_pick_kind(world));
    make_wire(world, request, request->number);
    load->product_count += request->kind == REQUEST_PRODUCT;
    send(world, request);
}

int64_t load_due_ms(const struct world *world)
{
    const struct load *load = &world->load;
    return !load->is_over && load->next_ms < load->retry_ms ? load->next_ms : load->retry_ms;
}

void load_free(struct world *world)
{
    for (int i = 0; i < world->load.count; i++)
        wire_drop(world->load.requests[i]->wire);
    free(world->load.requests);
}

/* ---- Looking whether it is there ------------------------------------------------------------- */

/* "position":57 of the answer; there is one in each. */
static int64_t position_of(const struct wire *wire)
{
    const char *at = strstr(wire_data(wire), "\"position\":");
    return at ? strtoll(at + strlen("\"position\":"), NULL, 10) : 0;
}

static void look(struct world *world, const struct request *request, const char *id,
                 int64_t position)
{
    char body[160], reply[48];
    int length = snprintf(body, sizeof(body),
                          "{\"order_id\":\"%s\",\"min_position\":{\"ORDER\":%" PRId64 "}}", id,
                          position);
    snprintf(reply, sizeof(reply), INBOX "look.%d", request->number);
    net_send_from_actor(
        world, CUSTOMERS,
        wire_new(&(struct wire_parts){
            .subject = "order.get", .reply = reply, .data = body, .data_length = (size_t)length }));
}

/* Not there is no answer: the position was waited for. Not yet is one. */
static void take_look(struct world *world, const struct request *request, const struct wire *wire)
{
    if (!request->is_contested && wire_header_number(wire, "Nats-Service-Error-Code", 0) == 404)
        violated(world,
                 "I10: an order was accepted, and who asks for its position does not see it");
}

/* An account that was registered is found by its address. */
static void find(struct world *world, const struct request *request, int64_t position)
{
    char body[160], reply[48];
    int length = snprintf(body, sizeof(body),
                          "{\"email\":\"A%d@Example.org\",\"min_position\":{\"ACCOUNT\":%" PRId64
                          "}}",
                          request->number, position);
    snprintf(reply, sizeof(reply), INBOX "find.%d", request->number);
    net_send_from_actor(world, CUSTOMERS,
                        wire_new(&(struct wire_parts){ .subject = "account.find",
                                                       .reply = reply,
                                                       .data = body,
                                                       .data_length = (size_t)length }));
}

static _Bool may_be_closed(const struct load *load, const char *account)
{
    for (int i = 0; i < load->count; i++)
        if (load->requests[i]->kind == REQUEST_CLOSE &&
            strcmp(load->requests[i]->account, account) == 0)
            return 1;
    return 0;
}

static void take_find(struct world *world, const struct request *request, const struct wire *wire)
{
    int64_t status = wire_header_number(wire, "Nats-Service-Error-Code", wire_status(wire));
    if (request->is_contested)
        return;
    if (status == 404 ? !may_be_closed(&world->load, request->made)
                      : status == 0 && !strstr(wire_data(wire), request->made))
        violated(world, "I10: %s was registered, and its address leads to %s", request->made,
                 wire_data(wire));
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

struct answer_seen {
    char refusal[CODE_SIZE]; /* "": accepted */
    char id[ID_SIZE];        /* of what was made */
    uint64_t hash;
    int64_t position;
};

static uint64_t hash(const char *text)
{
    uint64_t value = 14695981039346656037u;
    for (; *text; text++)
        value = (value ^ (unsigned char)*text) * 1099511628211u;
    return value;
}

/* The first text of the body under a name. */
static void copy_text(const char *body, const char *name, char *ret_text, size_t size)
{
    const char *begin = strstr(body, name);
    if (!begin)
        return;
    begin += strlen(name);
    snprintf(ret_text, size, "%.*s", (int)strcspn(begin, "\""), begin);
}

static const char *said(const char *refusal)
{
    return *refusal ? refusal : "accepted";
}

static void take_first_answer(struct world *world, struct request *request,
                              const struct answer_seen *seen)
{
    struct load *load = &world->load;
    for (int i = 0; i < load->waiting_count; i++)
        if (load->waiting[i] == request)
            load->waiting[i] = load->waiting[--load->waiting_count];
    request->is_answered = 1;
    memcpy(request->refusal, seen->refusal, sizeof(request->refusal));
    request->answer = seen->hash;
    const char *wanted = request->other && strcmp(request->refusal, "conflict") == 0 ? "conflict"
                                                                                     : "not_found";
    if (request->is_strangers && strcmp(request->refusal, wanted) != 0)
        violated(world, "rights: who asks for what is another's gets %s", said(request->refusal));
    if (request->other) {
        if (!request->is_strangers && !request->other->is_contested && !request->is_contested &&
            strcmp(request->refusal, "conflict") != 0)
            violated(
                world,
                "I3: key %s was accepted, and with another body it gets %s instead of a conflict",
                request->key, said(request->refusal));
        return;
    }
    load->accepted += !*request->refusal;
    load->refused += *request->refusal != '\0';
    if (!*request->refusal)
        learn(load, request, seen->id);
    snprintf(request->made, sizeof(request->made), "%s", seen->id);
    if (!*request->refusal && request->kind == REQUEST_REGISTER && one_in(world, LOOK_ONE_IN))
        find(world, request, seen->position);
    if (!*request->refusal && request->kind == REQUEST_PLACE && one_in(world, LOOK_ONE_IN))
        look(world, request, seen->id, seen->position);
    if (!load->is_over && one_in(world, REPEAT_ONE_IN))
        send(world, request);
    if (!load->is_over && !*request->refusal && one_in(world, OTHER_BODY_ONE_IN))
        ask_with_other_body(world, request);
}

/* The same key, the same answer; only refusals are forgotten with a database. */
static void take_later_answer(struct world *world, const struct request *request,
                              const struct answer_seen *seen)
{
    world->load.repeated++;
    if (strcmp(request->refusal, seen->refusal) == 0 &&
        (*request->refusal || request->answer == seen->hash))
        return;
    if (*request->refusal && world->logs[request->log].restores > request->restores)
        return;
    const _Bool is_refused = *request->refusal || *seen->refusal;
    if (request->is_contested && (is_refused || !world->logs[request->log].answers_wait))
        return;
    violated(world, "%s: %s under key %s was answered %s, and later %s",
             *request->refusal ? "I2" : "I1", kinds[request->kind].subject, request->key,
             said(request->refusal), said(seen->refusal));
}

static void check_contract(struct world *world, const struct request *request,
                           const struct wire *wire)
{
    _deinit_(arena) struct arena arena = { 0 };
    struct invalid invalid;
    void *value;
    if (schema_decode(kinds[request->kind].reply, wire_data(wire), (size_t)wire->data_length,
                      &arena, &value, &invalid) != 0)
        violated(world, "contract: the answer to %s does not fit its contract: %s",
                 kinds[request->kind].subject, wire_data(wire));
}

void load_take_reply(struct world *world, const struct wire *wire)
{
    const char *number = wire_subject(wire) + strlen(INBOX);
    if (*number == 'l') {
        take_look(world, world->load.requests[strtol(number + strlen("look."), NULL, 10)], wire);
        return;
    }
    if (*number == 'f') {
        take_find(world, world->load.requests[strtol(number + strlen("find."), NULL, 10)], wire);
        return;
    }
    struct request *request = world->load.requests[strtol(number, NULL, 10)];
    int64_t status = wire_header_number(wire, "Nats-Service-Error-Code", wire_status(wire));
    if (status >= 500)
        return; /* says something of the moment: asked again later */
    struct answer_seen seen = { .hash = hash(wire_data(wire)), .position = position_of(wire) };
    if (status > 0)
        copy_text(wire_data(wire), "\"code\":\"", seen.refusal, sizeof(seen.refusal));
    else
        check_contract(world, request, wire);
    copy_text(wire_data(wire), "\":\"", seen.id, sizeof(seen.id));
    if (request->is_answered)
        take_later_answer(world, request, &seen);
    else
        take_first_answer(world, request, &seen);
}
