/* JetStream: what a server, or somebody who plays one, answers to requests of its API, and the
 * reply subjects of deliveries.
 *
 * Input: a letter that chooses the reader (see the table below), then what it reads.
 *
 * What must hold: a reply is taken, is a refusal with its error, or means nothing (-ERR_INVALID);
 * outputs are set as jetstream.h says, and untouched otherwise; a stored message can be handed on
 * to the envelope. */
#include "fuzz.h"
#include "round_trip.h"
#include "base/result.h"
#include "bus/jetstream.h"
#include <string.h>

/* 1 when the reply is one; its error is set exactly when it says no. */
static int expect_outcome(int r, const struct js_error *error)
{
    expect(r == 0 || r == JS_REFUSED || r == -ERR_INVALID);
    if (r < 0)
        expect(error->code == -1); /* as it was */
    else
        expect(error->description && error->code >= 0 && (r == JS_REFUSED) == (error->code != 0));
    return r >= 0;
}

#define UNTOUCHED { .error = { .code = -1 } }

static int read_puback(const char *data, size_t length, struct arena *arena)
{
    struct js_puback ack = UNTOUCHED;
    int r = js_parse_puback(data, length, arena, &ack);
    if (r == 0)
        expect(ack.stream && ack.sequence >= 1);
    return expect_outcome(r, &ack.error);
}

static int read_stream_info(const char *data, size_t length, struct arena *arena)
{
    struct js_stream_state state = UNTOUCHED;
    int r = js_parse_stream_info(data, length, arena, &state);
    if (r == 0) {
        expect(state.created && state.discard);
        expect(state.messages >= 0 && state.first_sequence >= 0 && state.last_sequence >= 0);
        expect(!state.subject == (state.subject_count == 0));
    }
    return expect_outcome(r, &state.error);
}

static int read_consumer_info(const char *data, size_t length, struct arena *arena)
{
    struct js_consumer_state state = UNTOUCHED;
    int r = js_parse_consumer_info(data, length, arena, &state);
    if (r == 0) {
        expect(state.name && state.created && state.ack_policy);
        expect(state.delivered_sequence >= 0 && state.acked_sequence >= 0);
    }
    return expect_outcome(r, &state.error);
}

static int read_success(const char *data, size_t length, struct arena *arena)
{
    struct js_error error = { .code = -1 };
    return expect_outcome(js_parse_success(data, length, arena, &error), &error);
}

static int read_message(const char *data, size_t length, struct arena *arena)
{
    struct js_stored_message message = UNTOUCHED;
    int r = js_parse_message(data, length, arena, &message);
    if (r == 0) {
        struct event event;
        struct digest digest;
        const char *reason = NULL;
        expect(message.sequence >= 1 && message.view.subject && message.view.data);
        expect(message.view.data[message.view.data_length] == '\0');
        expect_headers_come_back(message.view.headers, message.view.header_count);
        if (envelope_decode(&message.view, &order_leader, arena, &event, &digest, &reason) == 0)
            expect(round_trip(&event, &order_leader, 0) == 1);
    }
    return expect_outcome(r, &message.error);
}

static int read_delivery(const char *data, size_t length, struct arena *arena)
{
    struct js_delivery delivery = { .delivered_count = -1 };
    int r = js_parse_delivery(arena_copy(arena, data, length), &delivery);
    expect(r == 0 || (r == -ERR_INVALID && delivery.delivered_count == -1));
    if (r < 0)
        return 0;
    expect(delivery.stream[0] && strlen(delivery.stream) < sizeof(delivery.stream));
    expect(delivery.consumer[0] && strlen(delivery.consumer) < sizeof(delivery.consumer));
    expect(delivery.delivered_count >= 0 && delivery.stream_sequence >= 0 &&
           delivery.consumer_sequence >= 0);
    expect(delivery.time_ns >= 0 && delivery.pending_count >= 0);
    return 1;
}

static const struct {
    char letter;
    int (*read)(const char *data, size_t length, struct arena *arena);
} readers[] = {
    { 'a', read_puback },  { 's', read_stream_info }, { 'c', read_consumer_info },
    { 'm', read_message }, { 'd', read_success },     { 'r', read_delivery },
};

int fuzz_one(const uint8_t *data, size_t size)
{
    const size_t count = sizeof(readers) / sizeof(*readers);
    if (size == 0)
        return 0;
    size_t chosen = data[0] % count;
    for (size_t i = 0; i < count; i++)
        if (data[0] == (uint8_t)readers[i].letter)
            chosen = i;
    _deinit_(arena) struct arena arena = { 0 };
    return readers[chosen].read((const char *)data + 1, size - 1, &arena);
}
