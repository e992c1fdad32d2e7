/* order-svc without a projection: for each order it requests the customer from account-svc, while
 * the order waits. Everything else is the shipped order-svc.
 *
 * The runtime has no request that waits for another service, by design: the program is linked with
 * --wrap=inbox_push, so that an order waits here, before the writer, until the answer has come. No
 * thread waits. --wrap=inbox_close closes the connection of these requests before the runtime's. */
#include "base/log.h"
#include "journeys.h"
#include "runtime/request/inbox.h"
#include "runtime/request/reply.h"
#include "schemas/bench.ask-customer.h"
#include "schemas/bench.ask-customer.reply.h"
#include "schemas/order.place.h"
#include "service.h"
#include "shared/caller.h"
#include "tables.h"
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

static struct {
    struct bus *bus;
    struct caller *caller;
} outside;

struct asked { /* for place_order_asked: the request, and the answer */
    struct order_place place;
    const struct bench_ask_customer_reply *customer;
};

struct waiting {
    struct inbox *inbox;
    struct item *item;
};

/* NOLINTBEGIN(bugprone-reserved-identifier): the linker's --wrap requires these names */
int __real_inbox_push(struct inbox *inbox, struct item *item);
int __wrap_inbox_push(struct inbox *inbox, struct item *item);
void __real_inbox_close(struct inbox *inbox);
void __wrap_inbox_close(struct inbox *inbox);
/* NOLINTEND(bugprone-reserved-identifier) */

static void refuse(struct item *item, int refusal, const char *message)
{
    reply_refusal(outside.bus, item->reply_to, item->counters, item->received_ns,
                  refusal_find(order_service.refusals, refusal), message);
    item_free(item);
}

static struct asked *read_answer(struct item *item, struct bus_message *message)
{
    struct invalid invalid;
    void *customer = NULL;
    struct asked *asked = arena_alloc(&item->arena, sizeof(*asked));
    int r = schema_decode(&bench_ask_customer_reply_schema, bus_message_data(message),
                          bus_message_length(message), &item->arena, &customer, &invalid);
    if (!asked || r != 0)
        return NULL;
    asked->place = *(const struct order_place *)item->request;
    asked->customer = customer;
    return asked;
}

static void on_customer(void *context, enum caller_outcome outcome, struct bus_message *message)
{
    struct waiting waiting = *(struct waiting *)context;
    struct item *item = waiting.item; /* owns the memory of context */
    if (outcome == CALLER_REFUSED) {
        refuse(item, REFUSED_UNKNOWN_ACCOUNT, "account_id: no such account");
        return;
    }
    struct asked *asked = outcome == CALLER_ANSWERED ? read_answer(item, message) : NULL;
    if (!asked) {
        refuse(item, REFUSED_BUSY, "account-svc does not answer; try again");
        return;
    }
    item->request = asked;
    if (__real_inbox_push(waiting.inbox, item) != 0)
        refuse(item, REFUSED_BUSY, "the queue is full; try again");
}

int __wrap_inbox_push(struct inbox *inbox, struct item *item)
{
    if (item->kind != ITEM_COMMAND || strcmp(item->command->subject, "order.place") != 0)
        return __real_inbox_push(inbox, item);
    struct bench_ask_customer question = {
        .account_id = ((const struct order_place *)item->request)->account_id
    };
    struct waiting *waiting = arena_alloc(&item->arena, sizeof(*waiting));
    _deinit_(buf) struct buf body = { 0 };
    if (!waiting || schema_encode(&bench_ask_customer_schema, &question, &body) < 0)
        return REFUSED_BUSY;
    *waiting = (struct waiting){ inbox, item };
    caller_ask(outside.caller, "account.ask-customer", NULL, body.data, body.length, on_customer,
               waiting);
    return 0;
}

/* The service is stopping: no more orders may come from here, and the library can be closed only
 * without connections. Waiting customers get no answer, and retry under their keys. */
void __wrap_inbox_close(struct inbox *inbox)
{
    caller_free(take(outside.caller));
    bus_free(take(outside.bus));
    __real_inbox_close(inbox);
}

/* ---- The decision ---------------------------------------------------------------------------- */

/* Stores the customer beside the order, because the payment needs the card's token later. The
 * stored customer is no projection: each order replaces it before it is read. */
static int remember(struct journey *j, const struct bench_ask_customer_reply *told)
{
    int r = db_exec(journey_db(j),
                    "INSERT INTO customers (account_id, is_open, name, street, city, postal_code, "
                    "country) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)"
                    " ON CONFLICT (account_id) DO UPDATE SET is_open = ?2, name = ?3, street = ?4, "
                    "city = ?5, postal_code = ?6, country = ?7",
                    "sisssss", told->account_id, (int64_t)told->is_open, told->name, told->street,
                    told->city, told->postal_code, told->country);
    if (r == 0)
        r = db_exec(journey_db(j),
                    "UPDATE customer_cards SET is_usable = 0 WHERE account_id = ?1 AND card_id IS "
                    "NOT ?2 AND is_usable",
                    "ss", told->account_id, told->card_id);
    if (r == 0 && told->card_id)
        r = db_exec(
            journey_db(j),
            "INSERT INTO customer_cards (account_id, card_id, is_usable, expires, token) VALUES "
            "(?1, ?2, 1, ?3, ?4)"
            " ON CONFLICT (account_id, card_id) DO UPDATE SET is_usable = 1 WHERE NOT is_usable",
            "ssss", told->account_id, told->card_id, told->expires, told->card_token);
    return trace(r);
}

static int place_order_asked(struct journey *j, const void *request)
{
    const struct asked *asked = request;
    int r = remember(j, asked->customer);
    return r < 0 ? trace(r) : trace(place_order(j, &asked->place));
}

int main(int argc, char **argv)
{
    struct service service = order_service;
    struct command commands[16] = { 0 };
    for (int i = 0; order_service.commands[i].subject; i++) {
        commands[i] = order_service.commands[i];
        if (commands[i].decide == place_order)
            commands[i].decide = place_order_asked;
    }
    service.commands = commands;
    service.sources = NULL;
    log_setup(service.name, LOG_INFO, LOG_LOGFMT);
    /* Blocks the signals as service_main does, before the threads of this connection begin, so that
     * service_main receives them. */
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    if (caller_connect(caller_server(argc, argv), "order-svc-asks", &outside.bus) < 0 ||
        caller_open(outside.bus, &outside.caller) < 0) {
        log_error("caller_failed", LOG_TEXT("reason", failure_text()));
        return 1;
    }
    return service_main(&service, argc, argv);
}
