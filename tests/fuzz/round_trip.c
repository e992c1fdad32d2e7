/* Round trip: see round_trip.h. */
#include "round_trip.h"
#include "fuzz.h"
#include "base/result.h"
#include <string.h>

const struct source account_leader = { .log = "ACCOUNT",
                                       .service = "account-svc",
                                       .prefix = "account" };
const struct source order_leader = { .log = "ORDER", .service = "order-svc", .prefix = "order" };

void put_header_block(struct buf *out, const struct bus_header *headers, int count)
{
    buf_put_text(out, "NATS/1.0\r\n");
    for (int i = 0; i < count; i++) {
        buf_put_text(out, headers[i].key);
        buf_put_text(out, ": ");
        buf_put_text(out, headers[i].value);
        buf_put_text(out, "\r\n");
    }
    buf_put_text(out, "\r\n");
    expect(buf_status(out) == 0);
}

void expect_headers_come_back(const struct bus_header *headers, int count)
{
    _deinit_(buf) struct buf block = { 0 };
    _deinit_(arena) struct arena arena = { 0 };
    struct bus_header *again = NULL;
    int again_count = -1;
    put_header_block(&block, headers, count);
    expect(bus_headers_parse(block.data, block.length, &arena, &again, &again_count) == 0);
    expect(again_count == count);
    for (int i = 0; i < count; i++) {
        expect(strcmp(again[i].key, headers[i].key) == 0);
        expect(strcmp(again[i].value, headers[i].value) == 0);
    }
}

static void expect_clean(const struct bus_outgoing *message)
{
    expect(message->header_count > 0 && message->header_count <= ENVELOPE_HEADERS_MAX);
    expect(bus_subject_is_safe(message->subject, 0));
    for (int i = 0; i < message->header_count; i++) {
        expect(bus_header_key_is_safe(message->headers[i].key));
        expect(message->headers[i].value[0]);
        for (const char *c = message->headers[i].value; *c; c++)
            expect(*c > 0x20 && *c < 0x7f && *c != '"');
    }
}

static void expect_text(const char *a, const char *b)
{
    expect((!a && !b) || (a && b && strcmp(a, b) == 0));
}

static void expect_same_event(const struct event *a, const struct event *b)
{
    expect(a->position == b->position && a->time_ms == b->time_ms &&
           digest_equal(&a->chain, &b->chain));
    expect_text(a->log, b->log);
    expect_text(a->id, b->id);
    expect_text(a->type, b->type);
    expect_text(a->entity, b->entity);
    expect_text(a->correlation, b->correlation);
    expect_text(a->causation, b->causation);
    expect_text(a->cause, b->cause);
    expect_text(a->cause_digest, b->cause_digest);
    expect_text(a->traceparent, b->traceparent);
    expect(a->data_length == b->data_length && memcmp(a->data, b->data, a->data_length) == 0);
}

int round_trip(const struct event *event, const struct source *leader, _Bool may_be_refused)
{
    _deinit_(envelope) struct envelope envelope = { 0 };
    _deinit_(arena) struct arena arena = { 0 };
    int r = envelope_encode(&envelope, event, leader,
                            event->position > 0 ? event->position - 1 : ENVELOPE_NO_FENCE);
    if (r == -ERR_INVALID)
        return 0;
    expect(r == 0);
    const struct bus_outgoing *message = &envelope.message;
    expect_clean(message);
    expect_headers_come_back(message->headers, message->header_count);
    struct bus_view view = {
        .subject = message->subject,
        .headers = message->headers,
        .header_count = message->header_count,
        .data = message->data,
        .data_length = message->length,
    };
    struct event again;
    struct digest before, after;
    const char *reason = NULL;
    r = envelope_decode(&view, leader, &arena, &again, &after, &reason);
    if (r == ENVELOPE_REFUSED && may_be_refused)
        return 0;
    if (r != 0)
        fprintf(stderr, "an event that was written is refused: %s\n", reason ? reason : "");
    expect(r == 0);
    expect(event_digest(event, &before) == 0 && digest_equal(&before, &after));
    expect_same_event(event, &again);
    return 1;
}
