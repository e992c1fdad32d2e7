/* Endpoint: see endpoint.h. */
#include "runtime/request/endpoint.h"
#include "base/clock.h"
#include "base/log.h"
#include "contract/values.h"
#include "runtime/core/event_text.h"
#include "runtime/request/header_text.h"
#include "runtime/request/min_position.h"
#include "runtime/request/reply.h"
#include <assert.h>
#include <stdio.h>
#include <string.h>

#define READER_NAME_MAX 64

/* ---- A request becomes an item -------------------------------------------------------------- */

/* The key becomes the cause of the events; the digest tells another request under the same key. */
static int take_key(struct item *item, const struct bus_view *view, const char *key,
                    struct invalid *ret_invalid)
{
    _deinit_(buf) struct buf text = { 0 };
    buf_put_text(&text, view->subject);
    buf_put_char(&text, '\n');
    buf_put(&text, view->data, view->data_length);
    struct digest digest;
    int r = buf_status(&text);
    if (r >= 0)
        r = digest_of(text.data, text.length, &digest);
    char *hex = arena_alloc(&item->arena, DIGEST_HEX_SIZE);
    if (r < 0 || !hex)
        return fail(ERR_MEMORY, "no memory for a request");
    digest_format(&digest, hex);
    item->origin.cause_digest = hex;
    return trace(account_take_key(item, key, ret_invalid));
}

static int take_headers(struct item *item, const struct bus_view *view, struct invalid *ret_invalid)
{
    const char *key = NULL;
    int r = header_take_text(item, view, "Idempotency-Key", &key, ret_invalid);
    if (r == 0)
        r = header_take_text(item, view, "ce-correlationid", &item->origin.correlation,
                             ret_invalid);
    if (r == 0)
        r = header_take_traceparent(item, view);
    return r == 0 && key ? take_key(item, view, key, ret_invalid) : r;
}

/* Who asks, for the lines about the decision. A header that is forged says nobody. */
static int take_asker(struct item *item, const struct bus_view *view)
{
    char name[CLIENT_NAME_SIZE];
    if (client_name(view, name) != 0)
        return 0;
    return item_keep(item, name, &item->asker);
}

/* "order.durable.account-svc.make": the third part says whose. */
static int take_reader(struct item *item, const struct bus_view *view, struct invalid *ret_invalid)
{
    const char *name = view->subject;
    for (int dots = 0; dots < 2; dots++)
        name = strchr(name, '.') + 1; /* our subscription's subject has them */
    char *reader = arena_copy(&item->arena, name, strcspn(name, "."));
    if (!reader)
        return fail(ERR_MEMORY, "no memory for a request");
    item->reader = reader;
    if (bus_header_key_is_safe(reader) && strlen(reader) <= READER_NAME_MAX)
        return 0;
    snprintf(ret_invalid->message, sizeof(ret_invalid->message),
             "a reader's name has 1 to %d of A-Z, a-z, 0-9, _ and -", READER_NAME_MAX);
    return REFUSED_INVALID_REQUEST;
}

/* Few bodies are so long; the others need not be looked at twice. */
static int check_values(const struct endpoint *endpoint, const struct bus_view *view,
                        struct invalid *ret_invalid)
{
    int64_t max = endpoint->values_max;
    if (view->data_length <= BODY_SHORT || max == INT64_MAX ||
        values_count(view->data, view->data_length, max) <= max)
        return 0;
    snprintf(ret_invalid->message, sizeof(ret_invalid->message),
             "the body has more than %lld values", (long long)max);
    return REFUSED_INVALID_REQUEST;
}

static int fill_item(struct item *item, const struct endpoint *endpoint,
                     const struct bus_view *view, struct invalid *ret_invalid)
{
    void *request = NULL;
    _Bool empty = view->data_length == 0; /* `nats req order.products ''` */
    item->command = endpoint->command;
    item->query = endpoint->query;
    item->counters = endpoint->counters;
    int r = endpoint->account ? account_take(endpoint->account, view->subject, item, ret_invalid)
                              : 0;
    if (r == 0)
        r = take_headers(item, view, ret_invalid);
    if (r == 0)
        r = check_values(endpoint, view, ret_invalid);
    if (r == 0)
        r = schema_decode_request(endpoint->request, empty ? "{}" : view->data,
                                  empty ? 2 : view->data_length, &item->arena, &request,
                                  ret_invalid);
    item->request = request;
    if (r == 0 && endpoint->account)
        r = account_fill_in(endpoint->account, item, request, ret_invalid);
    if (r == 0 && log_is_written(LOG_DEBUG))
        r = take_asker(item, view);
    if (r == 0 && item->kind == ITEM_QUERY)
        r = min_position_take(item, &endpoint->all->options, endpoint->request, ret_invalid);
    if (r == 0 && item->kind == ITEM_DURABLE)
        r = take_reader(item, view, ret_invalid);
    return trace(r);
}

/* ---- On a library thread -------------------------------------------------------------------- */

/* What the runtime answers, to services that heal and to operators, is not held up by how much
 * customers want. */
static _Bool is_limited(const struct endpoint *endpoint)
{
    return endpoint->kind == ITEM_COMMAND ||
           (endpoint->kind == ITEM_QUERY && !endpoint->is_about_log);
}

/* 0 when the item is on its way; else the refusal, with its message. */
static enum refusal accept_request(struct endpoint *endpoint, const struct bus_view *view,
                                   const char *reply_to, int64_t received_ns, char *message,
                                   size_t size)
{
    const struct endpoints_options *options = &endpoint->all->options;
    struct invalid invalid = { 0 };
    const char *why;
    enum refusal refusal = status_refuses(options->status, options->backlog_max, &why);
    /* what is not in the stream may be thrown away, and a reader could not */
    const _Bool is_forked_log = endpoint->gives_events &&
                                atomic_load(&options->status->relay_state) == RELAY_FORKED;
    if (endpoint->query && !is_forked_log && refusal != REFUSED_REPLAYING &&
        !atomic_load(&options->status->moved))
        refusal = 0; /* what only forbids writing does not concern a query */
    if (endpoint->is_of_each)
        refusal = 0; /* about who leads, and what an instance has */
    if (endpoint->is_about_log && !is_forked_log && atomic_load(&options->status->whole))
        refusal = 0; /* two that catch up on each other must not wait for each other */
    if (view->data_length > REQUEST_BYTES_MAX) {
        snprintf(message, size, "the body has %zu bytes, at most %d are taken", view->data_length,
                 REQUEST_BYTES_MAX);
        return REFUSED_TOO_LARGE;
    }
    if (refusal) {
        snprintf(message, size, "%s", why);
        return refusal;
    }
    _free_(item) struct item *item = item_new(endpoint->kind);
    int r = item ? fill_item(item, endpoint, view, &invalid)
                 : fail(ERR_MEMORY, "no memory for a request");
    if (r == 0 && reply_to)
        r = item_keep(item, reply_to, &item->reply_to);
    if (r < 0) {
        log_error("request_failed", LOG_TEXT("subject", endpoint->subject),
                  LOG_TEXT("reason", failure_text()));
        snprintf(message, size, "no memory for the request; try again");
        return REFUSED_BUSY;
    }
    if (r > 0) {
        snprintf(message, size, "%s%s%s", invalid.field, *invalid.field ? " " : "",
                 invalid.message);
        return (enum refusal)r;
    }
    assert(item->request && item->outcome == OUTCOME_NONE);
    item->received_ns = received_ns;
    item->is_about_log = endpoint->is_about_log;
    item->client = client_of(view, reply_to);
    if (endpoint->sink->accept(endpoint->sink->context, item) != 0) {
        snprintf(message, size, "%s",
                 item->message ? item->message : "the queue is full; try again");
        return REFUSED_BUSY;
    }
    take(item); /* it belongs to the queue now */
    return 0;
}

static void log_refusal(const struct endpoint *endpoint, const struct bus_view *view,
                        enum refusal refusal)
{
    char name[CLIENT_NAME_SIZE] = "";
    if (log_is_written(LOG_DEBUG) && client_name(view, name) == 0)
        log_debug("refused", LOG_TEXT("code", refusal_of(refusal)->code),
                  LOG_TEXT("subject", endpoint->account ? view->subject : endpoint->subject),
                  LOG_TEXT("client", name));
}

void endpoint_take(void *context, struct bus_message *received)
{
    struct endpoint *endpoint = context;
    _free_(bus_message) struct bus_message *message = received;
    int64_t received_ns = clock_monotonic_ns();
    struct bus_view view;
    char why[400];
    const char *reply_to = bus_message_reply(message);
    if (reply_to && !bus_subject_is_inbox(reply_to)) {
        log_warn("reply_subject_refused", LOG_TEXT("subject", endpoint->subject));
        micro_endpoint_count(endpoint->counters, 0, "400:reply subject is not an inbox");
        return;
    }
    enum refusal refusal = bus_message_view(message, &view) == 0 ? 0 : REFUSED_INVALID_REQUEST;
    if (refusal)
        snprintf(why, sizeof(why), "the headers cannot be read");
    else if (is_limited(endpoint))
        refusal = client_rate_refuses(&endpoint->all->client_rate, &view,
                                      endpoint->account ? strrchr(view.subject, '.') + 1 : NULL,
                                      received_ns, why, sizeof(why));
    if (!refusal)
        refusal = accept_request(endpoint, &view, reply_to, received_ns, why, sizeof(why));
    if (!refusal)
        return;
    log_refusal(endpoint, &view, refusal);
    reply_refusal(endpoint->all->options.bus, reply_to, endpoint->counters, received_ns,
                  refusal_of(refusal), why);
}
