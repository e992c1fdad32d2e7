/* Gateway: places an order by requests to the entity services, which do not know each other. The
 * gateway stores nothing: it forgets an order with the answer. A retry under the same idempotency
 * key goes the same way, and each service finds its earlier result under the key.
 *
 *               ┌─ user.get ─────┐
 *   order.place ┤                ├► inventory.reserve ─► payment.charge ─► order.create ─► customer
 *               └─ product.quote ┘         ▲                   │ refused        │ refused
 *                                          └─ inventory.release┴────────────────┘
 *
 * The first two requests are sent at once, because neither needs the other. Thousands of orders may
 * be in flight; no thread waits for an answer. When a service does not answer, the customer is
 * refused as `busy` after the tries of shared/caller.h. After an unknown outcome (a timeout of
 * payment.charge) the stock stays reserved for the customer's retry. */
#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/refusal.h"
#include "base/result.h"
#include "runtime/request/reply.h"
#include "schemas/bench.order.h"
#include "shared/caller.h"
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#define BODY_MAX_BYTES ((size_t)64 * 1024)
#define DRAIN_TIMEOUT_MS 3000

enum step { STEP_USER, STEP_QUOTE, STEP_RESERVE, STEP_CHARGE, STEP_CREATE, STEP_MAX };
static const char *const subjects[STEP_MAX] = { "user.get", "product.quote", "inventory.reserve",
                                                "payment.charge", "order.create" };

struct gateway {
    struct bus *bus;
    struct caller *caller;
};

struct flow { /* one order in flight */
    struct gateway *gateway;
    pthread_mutex_t lock; /* the answers of user and quote may come on two threads */
    struct arena arena;
    const char *reply_to, *key; /* key NULL: without one, each try is a new order */
    struct bench_order order;   /* the fields known so far */
    int open;                   /* requests without an answer */
    _Bool failed, answered;
    struct question {
        struct flow *flow;
        enum step step;
    } questions[STEP_MAX];
};

static void flow_free(struct flow *flow)
{
    if (!flow)
        return;
    pthread_mutex_destroy(&flow->lock);
    arena_deinit(&flow->arena);
    free(flow);
}
DEFINE_FREE(flow)

/* ---- Answering the customer ------------------------------------------------------------------ */

static void refuse(struct flow *flow, enum refusal refusal, const char *message)
{
    if (!flow->answered)
        reply_refusal(flow->gateway->bus, flow->reply_to, NULL, 0, refusal_of(refusal), message);
    flow->answered = 1;
}

/* Passes a service's refusal on to the customer. */
static void refuse_as(struct flow *flow, struct bus_message *message)
{
    const char *status = bus_message_header(message, "Nats-Service-Error-Code");
    const char *why = bus_message_header(message, "Nats-Service-Error");
    struct bus_header headers[] = {
        { "Nats-Service-Error-Code", status ? status : "500" },
        { "Nats-Service-Error", why && *why ? why : "refused" },
    };
    if (!flow->answered)
        bus_publish(flow->gateway->bus, BUS_URGENT,
                    &(struct bus_outgoing){
                        .subject = flow->reply_to,
                        .headers = headers,
                        .header_count = 2,
                        .data = bus_message_data(message),
                        .length = bus_message_length(message),
                    });
    flow->answered = 1;
}

static void accept_order(struct flow *flow, struct bus_message *message)
{
    bus_publish(flow->gateway->bus, BUS_URGENT,
                &(struct bus_outgoing){
                    .subject = flow->reply_to,
                    .data = bus_message_data(message),
                    .length = bus_message_length(message),
                });
    flow->answered = 1;
}

/* ---- Requests to the services ---------------------------------------------------------------- */

/* Each service gets only the fields that it needs. */
static void order_for(const struct bench_order *all, enum step step, struct bench_order *ret_order)
{
    switch (step) {
    case STEP_USER: *ret_order = (struct bench_order){ .account_id = all->account_id }; break;
    case STEP_QUOTE:
    case STEP_RESERVE:
        *ret_order = (struct bench_order){ .lines = all->lines, .lines_count = all->lines_count };
        break;
    case STEP_CHARGE:
        *ret_order = (struct bench_order){
            .order_id = all->order_id,
            .card_id = all->card_id,
            .card_token = all->card_token,
            .currency = all->currency,
            .amount = all->amount,
            .has_amount = all->has_amount,
        };
        break;
    default: *ret_order = *all; ret_order->card_token = NULL;
    }
}

/* Each service stores its result under the customer's key: the services have separate logs, so all
 * of them can use the same key. */
static void ask(struct flow *flow, enum step step, caller_done done)
{
    struct bench_order order;
    _deinit_(buf) struct buf body = { 0 };
    order_for(&flow->order, step, &order);
    flow->questions[step] = (struct question){ flow, step };
    if (schema_encode(&bench_order_schema, &order, &body) < 0)
        done(&flow->questions[step], CALLER_BUSY, NULL);
    else
        caller_ask(flow->gateway->caller, subjects[step], flow->key, body.data, body.length, done,
                   &flow->questions[step]);
}

static void on_released(void *context, enum caller_outcome outcome, struct bus_message *message)
{
    (void)context;
    (void)message;
    if (outcome != CALLER_ANSWERED)
        log_warn("stock_not_released");
}

static void release(struct flow *flow)
{
    struct bench_order order = { .order_id = flow->order.order_id };
    _deinit_(buf) struct buf body = { 0 };
    if (schema_encode(&bench_order_schema, &order, &body) == 0)
        caller_ask(flow->gateway->caller, "inventory.release", NULL, body.data, body.length,
                   on_released, NULL);
}

/* ---- Answers --------------------------------------------------------------------------------- */

static int learn(struct flow *flow, enum step step, struct bus_message *message)
{
    struct invalid invalid;
    void *value = NULL;
    struct bench_order *all = &flow->order;
    if (schema_decode(&bench_order_schema, bus_message_data(message), bus_message_length(message),
                      &flow->arena, &value, &invalid) != 0)
        return fail(ERR_INVALID, "the answer of %s is no order", subjects[step]);
    const struct bench_order *told = value;
    if (step == STEP_USER) {
        all->name = told->name;
        all->street = told->street;
        all->city = told->city;
        all->postal_code = told->postal_code;
        all->country = told->country;
        all->card_id = told->card_id;
        all->card_token = told->card_token;
    } else if (step == STEP_QUOTE) {
        all->lines = told->lines;
        all->lines_count = told->lines_count;
        all->currency = told->currency;
        all->amount = told->amount;
        all->has_amount = told->has_amount;
    } else if (step == STEP_RESERVE) {
        all->order_id = told->order_id;
    }
    return 0;
}

/* With the lock held. Returns the next step, or STEP_MAX: the order is finished, has failed, or
 * another answer is open. */
static enum step take_in(struct flow *flow, enum step step, enum caller_outcome outcome,
                         struct bus_message *message)
{
    flow->open--;
    if (outcome == CALLER_REFUSED) {
        refuse_as(flow, message);
        flow->failed = 1;
    } else if (outcome != CALLER_ANSWERED ||
               (step != STEP_CREATE && learn(flow, step, message) < 0)) {
        char why[100];
        snprintf(why, sizeof(why), "%s does not answer; try again", subjects[step]);
        refuse(flow, REFUSED_BUSY, why);
        flow->failed = 1;
    } else if (step == STEP_CREATE) {
        accept_order(flow, message);
        return STEP_MAX;
    }
    if (flow->failed && outcome == CALLER_REFUSED && step > STEP_RESERVE)
        release(flow);
    if (flow->failed || flow->open > 0)
        return STEP_MAX;
    flow->open++;
    return step < STEP_RESERVE ? STEP_RESERVE : step + 1;
}

static void on_step(void *context, enum caller_outcome outcome, struct bus_message *message)
{
    const struct question *question = context;
    struct flow *flow = question->flow;
    pthread_mutex_lock(&flow->lock);
    enum step next = take_in(flow, question->step, outcome, message);
    _Bool over = flow->open == 0;
    pthread_mutex_unlock(&flow->lock);
    if (over)
        flow_free(flow);
    else if (next != STEP_MAX)
        ask(flow, next, on_step);
}

/* ---- Requests -------------------------------------------------------------------------------- */

static int flow_fill(struct flow *flow, struct bus_message *message, const char *reply_to,
                     struct invalid *ret_invalid)
{
    void *value = NULL;
    const char *key = bus_message_header(message, "Idempotency-Key");
    if (bus_message_length(message) > BODY_MAX_BYTES)
        return REFUSED_TOO_LARGE;
    int r = schema_decode(&bench_order_schema, bus_message_data(message),
                          bus_message_length(message), &flow->arena, &value, ret_invalid);
    if (r != 0)
        return trace(r);
    const struct bench_order *wish = value;
    if (!wish->account_id || wish->lines_count == 0) {
        snprintf(ret_invalid->message, sizeof(ret_invalid->message),
                 "account_id and lines are required");
        return REFUSED_INVALID_REQUEST;
    }
    flow->order = (struct bench_order){ .account_id = wish->account_id,
                                        .lines = wish->lines,
                                        .lines_count = wish->lines_count };
    flow->reply_to = arena_copy(&flow->arena, reply_to, strlen(reply_to));
    flow->key = key ? arena_copy(&flow->arena, key, strlen(key)) : NULL;
    return flow->reply_to && (flow->key || !key) ? 0 : fail(ERR_MEMORY, "no memory for an order");
}

/* The last of the two answers takes the next step, or frees the flow. Both answers may come before
 * this function ends, so the function counts as a third open request. */
/* NOLINTBEGIN(clang-analyzer-unix.Malloc): clang does not follow the count, which decides who frees
 * the flow */
static void begin(struct flow *flow)
{
    flow->open = 3;
    ask(flow, STEP_USER, on_step);
    ask(flow, STEP_QUOTE, on_step);
    pthread_mutex_lock(&flow->lock);
    _Bool both_are_there = --flow->open == 0;
    flow->open += both_are_there && !flow->failed;
    pthread_mutex_unlock(&flow->lock);
    if (both_are_there && flow->failed)
        flow_free(flow);
    else if (both_are_there)
        ask(flow, STEP_RESERVE, on_step);
}

static void on_place(void *context, struct bus_message *received)
{
    struct gateway *gateway = context;
    _free_(bus_message) struct bus_message *message = received;
    const char *reply_to = bus_message_reply(message);
    struct invalid invalid = { 0 };
    if (!reply_to || !bus_subject_is_inbox(reply_to))
        return;
    _free_(flow) struct flow *flow = calloc(1, sizeof(*flow));
    int r = flow ? flow_fill(flow, message, reply_to, &invalid)
                 : fail(ERR_MEMORY, "no memory for an order");
    if (r != 0) {
        reply_refusal(gateway->bus, reply_to, NULL, 0,
                      refusal_of(r > 0 ? (enum refusal)r : REFUSED_BUSY),
                      r > 0 ? invalid.message : "no memory; try again");
        return;
    }
    /* cppcheck-suppress nullPointerOutOfMemory ; without memory r is a failure */
    flow->gateway = gateway;
    pthread_mutex_init(&flow->lock, NULL);
    begin(take(flow));
}

/* NOLINTEND(clang-analyzer-unix.Malloc) */

/* ---- The program ----------------------------------------------------------------------------- */

static int serve(struct gateway *gateway, const sigset_t *signals)
{
    _free_(bus_subscription) struct bus_subscription *places = NULL;
    int signal_number;
    int r = bus_subscribe(gateway->bus, "order.place", "q", on_place, gateway, &places);
    if (r < 0)
        return trace(r);
    log_info("ready");
    sigwait(signals, &signal_number);
    if (bus_is_connected(gateway->bus))
        bus_subscription_drain(places, DRAIN_TIMEOUT_MS);
    return 0;
}

int main(int argc, char **argv)
{
    struct gateway gateway = { 0 };
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    log_setup("gateway", LOG_INFO, LOG_LOGFMT);
    int r = caller_connect(caller_server(argc, argv), "gateway", &gateway.bus);
    if (r == 0)
        r = caller_open(gateway.bus, &gateway.caller);
    if (r == 0)
        r = serve(&gateway, &signals);
    if (r < 0)
        log_error("gateway_failed", LOG_TEXT("reason", failure_text()));
    caller_free(gateway.caller);
    bus_free(gateway.bus);
    bus_library_close();
    return r < 0 ? 1 : 0;
}
