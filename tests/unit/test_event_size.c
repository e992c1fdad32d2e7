/* Event size: never less than an event really takes, in the stream and in a page. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include "base/digest.h"
#include "runtime/sync/envelope.h"
#include "runtime/writer/event_size.h"
#include "schemas/runtime.events.reply.h"

#define DATA_MAX 100000

static const struct source order_source = { .log = "ORDER",
                                            .service = "order-svc",
                                            .prefix = "order" };
static const struct service order_service = { .name = "order-svc",
                                              .log = "ORDER",
                                              .prefix = "order" };

static int64_t message_bytes(const struct event *event)
{
    _deinit_(envelope) struct envelope envelope;
    envelope_init(&envelope);
    cr_assert_eq(envelope_encode(&envelope, event, &order_source, INT64_MAX - 1), 0);
    size_t bytes = strlen("NATS/1.0\r\n\r\n") + envelope.message.length;
    for (int i = 0; i < envelope.message.header_count; i++)
        bytes += strlen(envelope.headers[i].key) + strlen(envelope.headers[i].value) + 4;
    return (int64_t)bytes;
}

static int64_t page_bytes(const struct event *event)
{
    _deinit_(buf) struct buf out = { 0 };
    char chain[DIGEST_HEX_SIZE];
    digest_format(&event->chain, chain);
    struct runtime_events_reply_events_item row = {
        .position = event->position,
        .chain = chain,
        .id = event->id,
        .type = event->type,
        .entity = event->entity,
        .time_ms = event->time_ms,
        .correlation = event->correlation,
        .causation = event->causation,
        .cause = event->cause,
        .cause_digest = event->cause_digest,
        .traceparent = event->traceparent,
        .data = event->data,
    };
    const struct runtime_events_reply page = { .events = &row,
                                               .events_count = 1,
                                               .last_position = INT64_MAX,
                                               .has_in_stream = 1,
                                               .in_stream = INT64_MAX };
    cr_assert_eq(schema_encode(&runtime_events_reply_schema, &page, &out), 0);
    buf_put_format(&out, ",\"as_of\":{\"ORDER\":{\"position\":%lld,\"age_ms\":0}},\"stale\":true",
                   (long long)INT64_MAX);
    return (int64_t)out.length;
}

static void expect_size(size_t data_length, const char *filling, size_t text_length)
{
    static char data[DATA_MAX + 1], text[513];
    const size_t step = strlen(filling);
    memset(data, data_length % 2 ? '"' : 'x', data_length);
    data[data_length] = '\0';
    for (size_t at = 0; at + step <= text_length; at += step)
        memcpy(text + at, filling, step + 1);
    const struct event event = {
        .log = "ORDER",
        .position = INT64_MAX,
        .id = "019abc12-3456-7def-8123-456789abcdef",
        .type = "OrderPlaced.v9999",
        .entity = text,
        .time_ms = 253402300799999,
        .correlation = text,
        .causation = text,
        .cause = text,
        .cause_digest = "0000000000000000000000000000000000000000000000000000000000000000",
        .traceparent = text,
        .data = data,
        .data_length = data_length,
    };
    const int64_t size = event_size(&event, &order_service, 0);
    const int64_t message = message_bytes(&event), page = page_bytes(&event);
    const int64_t needed = message > page ? message : page;
    cr_assert(needed <= size, "%lld, said to be %lld", (long long)needed, (long long)size);
    cr_assert(size <= needed + 1400 || size == EVENT_SIZE_MIN, "%lld, said to be %lld",
              (long long)needed, (long long)size);
    cr_assert(event_size(&event, &order_service, size) <= size);
}

Test(event_size, no_event_takes_more_than_it_is_said_to)
{
    static const char *const fillings[] = { "x", "\"", "\xc3\xa9", "%" };
    for (size_t length = 1; length <= DATA_MAX; length = length * 3 + 1)
        for (size_t f = 0; f < sizeof(fillings) / sizeof(*fillings); f++)
            for (size_t text = 2; text <= 512; text = text * 5 + 2)
                expect_size(length, fillings[f], text);
}
