/* Reply: see reply.h. */
#include "runtime/request/reply.h"
#include "base/clock.h"
#include "base/log.h"
#include "runtime/request/micro.h"
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CODE_HEADER "Nats-Service-Error-Code"

/* The connection is away: the requester asks again under its key. Said once an endpoint, until a
 * reply of it goes out again. */
static void note_lost(struct micro_endpoint *counters)
{
    if (counters)
        atomic_fetch_add_explicit(&counters->num_unsent, 1, memory_order_relaxed);
    if (counters && !atomic_exchange(&counters->is_losing, 1))
        log_warn("reply_lost", LOG_TEXT("subject", counters->subject),
                 LOG_TEXT("reason", failure_text()));
    else
        log_debug("reply_lost", LOG_TEXT("reason", failure_text()));
}

static void note_sent(struct micro_endpoint *counters)
{
    if (counters && atomic_load_explicit(&counters->is_losing, memory_order_relaxed))
        atomic_store(&counters->is_losing, 0);
}

static void send_refusal(struct bus *bus, enum bus_urgency urgency, const char *reply_to,
                         struct micro_endpoint *counters, const struct refusal_type *refusal,
                         const char *message)
{
    char status[16];
    snprintf(status, sizeof(status), "%d", refusal->status);
    _deinit_(buf) struct buf body = { 0 };
    buf_put_text(&body, "{\"error\":{\"code\":\"");
    buf_put_text(&body, refusal->code);
    buf_put_text(&body, "\",\"message\":");
    buf_put_json(&body, message, strlen(message));
    buf_put_text(&body, "}}");
    if (buf_status(&body) < 0)
        return;
    struct bus_header headers[] = {
        { CODE_HEADER, status },
        { "Nats-Service-Error", message },
    };
    const struct bus_outgoing reply = {
        .subject = reply_to,
        .headers = headers,
        .header_count = *message ? 2 : 1, /* no header is empty */
        .data = body.data,
        .length = body.length,
    };
    if (bus_publish(bus, urgency, &reply) < 0)
        note_lost(counters);
    else
        note_sent(counters);
}

/* The library refuses the reply, which is larger than a message of the server may be: the requester
 * hears that instead. */
static void send_too_large(struct bus *bus, enum bus_urgency urgency, const struct item *item)
{
    char message[200];
    const long long bytes = (long long)item->body.length,
                    bytes_max = (long long)bus_max_payload_bytes(bus);
    const char *subject = item->counters ? item->counters->subject : NULL;
    log_warn("reply_too_large", LOG_TEXT("subject", subject), LOG_INT("bytes", bytes),
             LOG_INT("max_payload", bytes_max), LOG_TEXT("reason", failure_text()));
    snprintf(message, sizeof(message),
             "%sthe reply has %lld bytes, and the server takes %lld (max_payload)",
             item->kind == ITEM_COMMAND ? "it is done, but " : "", bytes, bytes_max);
    if (item->counters)
        atomic_fetch_add_explicit(&item->counters->num_unsent, 1, memory_order_relaxed);
    send_refusal(bus, urgency, item->reply_to, item->counters, refusal_of(REFUSED_TOO_LARGE),
                 message);
}

static void send_done(struct bus *bus, enum bus_urgency urgency, const struct item *item)
{
    const struct bus_outgoing reply = {
        .subject = item->reply_to,
        .data = item->body.data,
        .length = item->body.length,
    };
    int r = bus_publish(bus, urgency, &reply);
    if (r == 0)
        note_sent(item->counters);
    else if (r == -ERR_INVALID)
        send_too_large(bus, urgency, item);
    else
        note_lost(item->counters);
}

static void count(struct micro_endpoint *counters, int64_t received_ns, const char *error)
{
    if (counters)
        micro_endpoint_count(counters, clock_monotonic_ns() - received_ns, error);
}

void reply_refusal(struct bus *bus, const char *reply_to, struct micro_endpoint *counters,
                   int64_t received_ns, const struct refusal_type *refusal, const char *message)
{
    char error[64];
    snprintf(error, sizeof(error), "%d:%s", refusal->status, refusal->code);
    count(counters, received_ns, error);
    if (reply_to)
        send_refusal(bus, BUS_URGENT, reply_to, counters, refusal, message);
}

void reply_send(struct bus *bus, enum bus_urgency urgency, const struct item *item)
{
    assert(item->outcome == OUTCOME_DONE || item->outcome == OUTCOME_REFUSED);
    assert((item->outcome == OUTCOME_REFUSED) == (item->refusal != NULL));
    if (item->outcome == OUTCOME_REFUSED) {
        char error[64];
        snprintf(error, sizeof(error), "%d:%s", item->refusal->status, item->refusal->code);
        count(item->counters, item->received_ns, error);
        const char *subject = item->command ? item->command->subject
                              : item->query ? item->query->subject
                                            : NULL;
        log_debug("refused", LOG_TEXT("code", item->refusal->code), LOG_TEXT("subject", subject),
                  LOG_TEXT("correlation", item->origin.correlation),
                  LOG_TEXT("traceparent", item->origin.traceparent),
                  LOG_TEXT("account", item->account), LOG_TEXT("client", item->asker));
        if (item->reply_to)
            send_refusal(bus, urgency, item->reply_to, item->counters, item->refusal,
                         item->message ? item->message : "no memory");
        return;
    }
    count(item->counters, item->received_ns, NULL);
    if (item->command)
        log_debug("accepted", LOG_TEXT("subject", item->command->subject),
                  LOG_TEXT("correlation", item->origin.correlation),
                  LOG_TEXT("traceparent", item->origin.traceparent),
                  LOG_TEXT("account", item->account), LOG_TEXT("client", item->asker));
    if (item->reply_to)
        send_done(bus, urgency, item);
}

_Bool reply_is_too_large(struct bus_message *message)
{
    const char *code = bus_message_header(message, CODE_HEADER);
    return code && strtol(code, NULL, 10) == refusal_of(REFUSED_TOO_LARGE)->status;
}
