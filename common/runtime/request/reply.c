/* Reply: see reply.h. */
#include "runtime/request/reply.h"
#include "base/clock.h"
#include "base/log.h"
#include "runtime/request/micro.h"
#include <assert.h>
#include <stdio.h>
#include <string.h>

static void publish(struct bus *bus, enum bus_urgency urgency, const struct bus_outgoing *message)
{
    if (bus_publish(bus, urgency, message) < 0)
        /* the requester asks again under its key */
        log_debug("reply_lost", LOG_TEXT("reason", failure_text()));
}

static void send_refusal(struct bus *bus, enum bus_urgency urgency, const char *reply_to,
                         const struct refusal_type *refusal, const char *message)
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
        { "Nats-Service-Error-Code", status },
        { "Nats-Service-Error", message },
    };
    publish(bus, urgency,
            &(struct bus_outgoing){
                .subject = reply_to,
                .headers = headers,
                .header_count = 2,
                .data = body.data,
                .length = body.length,
            });
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
        send_refusal(bus, BUS_URGENT, reply_to, refusal, message);
}

void reply_send(struct bus *bus, enum bus_urgency urgency, const struct item *item)
{
    assert(item->outcome == OUTCOME_DONE || item->outcome == OUTCOME_REFUSED);
    assert((item->outcome == OUTCOME_REFUSED) == (item->refusal != NULL));
    if (item->outcome == OUTCOME_REFUSED) {
        char error[64];
        snprintf(error, sizeof(error), "%d:%s", item->refusal->status, item->refusal->code);
        count(item->counters, item->received_ns, error);
        log_debug("refused", LOG_TEXT("code", item->refusal->code),
                  LOG_TEXT("correlation", item->origin.correlation),
                  LOG_TEXT("traceparent", item->origin.traceparent),
                  LOG_TEXT("account", item->account), LOG_TEXT("client", item->asker));
        if (item->reply_to)
            send_refusal(bus, urgency, item->reply_to, item->refusal,
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
        publish(bus, urgency,
                &(struct bus_outgoing){
                    .subject = item->reply_to,
                    .data = item->body.data,
                    .length = item->body.length,
                });
}
