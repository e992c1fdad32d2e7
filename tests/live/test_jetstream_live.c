/* JetStream on a real nats-server, with the requests and replies of jetstream.h and the envelope:
 * the behaviour that rule 1 relies on. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include "base/clock.h"
#include "base/result.h"
#include "bus/jetstream.h"
#include "runtime/sync/envelope.h"
#include "server.h"

static const struct source leader = { .log = "ORDER", .service = "order-svc", .prefix = "order" };

/* ---- One test's world: a bus, an inbox, and the newest message in it ------------------------- */

static struct server server;
static struct bus *bus;
static struct bus_subscription *subscription;
static char inbox[BUS_INBOX_SIZE];
static struct arena arena;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct bus_message *queue[256];
static int queue_count, queue_taken;

static void on_message(void *context, struct bus_message *message)
{
    (void)context;
    pthread_mutex_lock(&lock);
    cr_assert_lt(queue_count, 256);
    queue[queue_count++] = message;
    pthread_mutex_unlock(&lock);
}

static _Bool is_filled(void *context)
{
    (void)context;
    pthread_mutex_lock(&lock);
    _Bool filled = queue_taken < queue_count;
    pthread_mutex_unlock(&lock);
    return filled;
}

static struct bus_message *next_message(void)
{
    return wait_until(is_filled, NULL, FAR_MS) ? queue[queue_taken++] : NULL;
}

static void setup(void)
{
    server_init(&server, NULL);
    server_start(&server);
    struct bus_options options = { .url = server.url,
                                   .name = "live-test",
                                   .reconnect_wait_ms = 20 };
    cr_assert_eq(bus_open(&options, &bus), 0);
    cr_assert(wait_until(bus_is_there, bus, FAR_MS));
    cr_assert_eq(bus_new_inbox(bus, inbox), 0);
    cr_assert_eq(bus_subscribe(bus, inbox, NULL, on_message, NULL, &subscription), 0);
    cr_assert_eq(bus_flush(bus, FAR_MS), 0);
}

static void teardown(void)
{
    for (int i = 0; i < queue_count; i++)
        bus_message_free(queue[i]);
    bus_subscription_free(subscription);
    bus_free(bus);
    bus_library_close();
    arena_deinit(&arena);
    server_deinit(&server);
}

/* Sends a request that jetstream.h made, and returns the reply. */
static struct bus_message *ask(struct js_request *request)
{
    struct bus_outgoing out = { .subject = request->subject,
                                .reply = inbox,
                                .data = request->body.data ? request->body.data : "",
                                .length = request->body.length };
    cr_assert_eq(bus_publish(bus, BUS_URGENT, &out), 0, "%s", failure_text());
    struct bus_message *reply = next_message();
    cr_assert_not_null(reply, "no answer on %s", request->subject);
    return reply;
}

#define PARSE(parse, request, ret)                                                  \
    ({                                                                              \
        struct bus_message *reply_ = ask(request);                                  \
        parse(bus_message_data(reply_), bus_message_length(reply_), &arena, (ret)); \
    })

static void create_stream(struct js_stream_state *ret_state)
{
    _deinit_(js_request) struct js_request request;
    js_request_init(&request, NULL);
    struct js_stream_config config = { .name = "ORDER", .subject = "evt.order.>" };
    cr_assert_eq(js_stream_create(&request, &config), 0);
    cr_assert_eq(PARSE(js_parse_stream_info, &request, ret_state), 0, "%s",
                 ret_state->error.description);
}

static struct event event_at(int64_t position)
{
    struct event event = {
        .log = "ORDER",
        .position = position,
        .type = "OrderPlaced",
        .entity = "ord_\xc3\xbc 1",
        .time_ms = 1795412400000 + position,
        .correlation = "c",
        .cause = "request/a key",
        .data = "{\"text\":\"\xe2\x82\xac\"}",
        .data_length = 14,
    };
    char *id = arena_alloc(&arena, 32);
    snprintf(id, 32, "id-%lld", (long long)position);
    event.id = id;
    event.data_length = strlen(event.data);
    return event;
}

static void publish_event(int64_t position, int64_t expected_last_sequence)
{
    _deinit_(envelope) struct envelope envelope = { 0 };
    struct event event = event_at(position);
    cr_assert_eq(envelope_encode(&envelope, &event, &leader, expected_last_sequence), 0, "%s",
                 failure_text());
    envelope.message.reply = inbox;
    cr_assert_eq(bus_publish(bus, BUS_BULK, &envelope.message), 0, "%s", failure_text());
}

static int next_ack(struct js_puback *ret_ack)
{
    struct bus_message *message = next_message();
    cr_assert_not_null(message);
    return js_parse_puback(bus_message_data(message), bus_message_length(message), &arena, ret_ack);
}

static void publish_events(int64_t count)
{
    struct js_puback ack;
    for (int64_t i = 1; i <= count; i++)
        publish_event(i, i - 1);
    for (int64_t i = 1; i <= count; i++) {
        cr_assert_eq(next_ack(&ack), 0);
        cr_assert_eq(ack.sequence, i);
    }
}

static void expect_event(const struct bus_view *view, int64_t position)
{
    struct event event, expected = event_at(position);
    struct digest digest, expected_digest;
    const char *reason = "";
    cr_assert_eq(envelope_decode(view, &leader, &arena, &event, &digest, &reason), 0, "%s", reason);
    cr_assert_eq(event_digest(&expected, &expected_digest), 0);
    cr_expect_eq(event.position, position);
    cr_expect(digest_equal(&digest, &expected_digest));
}

/* ---- Streams -------------------------------------------------------------------------------- */

Test(jetstream, a_stream_is_created_with_its_configuration, .init = setup, .fini = teardown)
{
    _deinit_(js_request) struct js_request request;
    js_request_init(&request, NULL);
    struct js_stream_state made, state;
    struct js_error error;
    cr_assert_eq(js_stream_info(&request, "ORDER"), 0);
    cr_assert_eq(PARSE(js_parse_stream_info, &request, &state), JS_REFUSED);
    cr_expect_eq(state.error.error_code, JS_ERR_STREAM_NOT_FOUND);
    create_stream(&made);
    cr_expect_str_eq(made.discard, "new");
    cr_expect_str_eq(made.subject, "evt.order.>");
    cr_expect_eq(made.max_bytes, -1);
    cr_expect_eq(made.max_age_ns, 0);
    cr_expect_eq(made.replicas, 1);
    publish_events(3);
    cr_assert_eq(js_stream_info(&request, "ORDER"), 0);
    cr_assert_eq(PARSE(js_parse_stream_info, &request, &state), 0);
    cr_expect_eq(state.messages, 3);
    cr_expect_eq(state.first_sequence, 1);
    cr_expect_eq(state.last_sequence, 3);
    cr_expect_str_eq(state.created, made.created);
    cr_assert_eq(js_stream_delete(&request, "ORDER"), 0);
    cr_assert_eq(PARSE(js_parse_success, &request, &error), 0);
    create_stream(&state);
    cr_expect_str_neq(state.created, made.created, "incarnations differ");
    cr_expect_eq(state.last_sequence, 0);
}

Test(jetstream, a_wrong_expected_sequence_is_refused, .init = setup, .fini = teardown)
{
    static const struct {
        int64_t position, expected;
        int result;
        int error_code;
        int64_t sequence;
    } steps[] = {
        { 1, 1, JS_REFUSED, JS_ERR_WRONG_LAST_SEQUENCE, 0 },
        { 1, 0, 0, 0, 1 },
        { 2, 0, JS_REFUSED, JS_ERR_WRONG_LAST_SEQUENCE, 0 },
        { 2, 5, JS_REFUSED, JS_ERR_WRONG_LAST_SEQUENCE, 0 },
        { 2, 1, 0, 0, 2 },
    };
    struct js_stream_state state;
    create_stream(&state);
    for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
        struct js_puback ack = { 0 };
        publish_event(steps[i].position, steps[i].expected);
        cr_expect_eq(next_ack(&ack), steps[i].result, "step %zu", i);
        cr_expect_eq(ack.error.error_code, steps[i].error_code, "step %zu: %s", i,
                     ack.error.description);
        cr_expect_eq(ack.sequence, steps[i].sequence, "step %zu", i);
    }
}

Test(jetstream, acknowledgements_come_in_order_across_the_two_connections, .init = setup,
     .fini = teardown)
{
    struct js_stream_state state;
    create_stream(&state);
    publish_events(100); /* pipelined: checks each sequence in turn */
}

Test(jetstream, stored_messages_decode_to_the_same_events, .init = setup, .fini = teardown)
{
    _deinit_(js_request) struct js_request request;
    js_request_init(&request, NULL);
    struct js_stream_state state;
    struct js_stored_message message;
    create_stream(&state);
    cr_assert_eq(js_message_get_last(&request, "ORDER", "evt.order.>"), 0);
    cr_assert_eq(PARSE(js_parse_message, &request, &message), JS_REFUSED);
    cr_expect_eq(message.error.error_code, JS_ERR_MESSAGE_NOT_FOUND);
    publish_events(3);
    cr_assert_eq(PARSE(js_parse_message, &request, &message), 0,
                 "the last, by a subject with wildcards");
    cr_expect_eq(message.sequence, 3);
    expect_event(&message.view, 3);
    cr_assert_eq(js_message_get(&request, "ORDER", 2), 0);
    cr_assert_eq(PARSE(js_parse_message, &request, &message), 0);
    expect_event(&message.view, 2);
    cr_assert_eq(js_message_get_next(&request, "ORDER", 1, "evt.order.>"), 0);
    cr_assert_eq(PARSE(js_parse_message, &request, &message), 0);
    expect_event(&message.view, 1);
    cr_assert_eq(js_message_get(&request, "ORDER", 9), 0);
    cr_assert_eq(PARSE(js_parse_message, &request, &message), JS_REFUSED);
    cr_expect_eq(message.error.error_code, JS_ERR_MESSAGE_NOT_FOUND);
}

/* ---- Consumers ------------------------------------------------------------------------------ */

static int create_consumer(int64_t start_sequence, struct js_consumer_state *ret_state)
{
    _deinit_(js_request) struct js_request request;
    js_request_init(&request, NULL);
    struct js_consumer_config config = { .stream = "ORDER",
                                         .name = "account-svc",
                                         .start_sequence = start_sequence,
                                         .max_ack_pending = 64 };
    cr_assert_eq(js_consumer_create(&request, &config), 0);
    return PARSE(js_parse_consumer_info, &request, ret_state);
}

static void send_pull(int batch, int expires_ms, int heartbeat_ms)
{
    _deinit_(js_request) struct js_request request;
    js_request_init(&request, NULL);
    struct js_pull pull = { .batch = batch,
                            .expires_ms = expires_ms,
                            .idle_heartbeat_ms = heartbeat_ms };
    cr_assert_eq(js_consumer_next(&request, "ORDER", "account-svc", &pull), 0);
    struct bus_outgoing out = { .subject = request.subject,
                                .reply = inbox,
                                .data = request.body.data,
                                .length = request.body.length };
    cr_assert_eq(bus_publish(bus, BUS_URGENT, &out), 0);
}

static void acknowledge(const char *ack_subject)
{
    struct bus_outgoing out = { .subject = ack_subject, .data = JS_ACK, .length = strlen(JS_ACK) };
    cr_assert_eq(bus_publish(bus, BUS_URGENT, &out), 0, "%s", failure_text());
}

static void consumer_info(struct js_consumer_state *ret_state, int result)
{
    _deinit_(js_request) struct js_request request;
    js_request_init(&request, NULL);
    cr_assert_eq(js_consumer_info(&request, "ORDER", "account-svc"), 0);
    cr_assert_eq(PARSE(js_parse_consumer_info, &request, ret_state), result);
}

static _Bool is_acked(void *context) /* the server handles acknowledgements later */
{
    struct js_consumer_state *consumer = context;
    consumer_info(consumer, 0);
    return consumer->ack_pending_count == 0;
}

Test(jetstream, a_batch_is_pulled_and_acknowledged_as_a_whole, .init = setup, .fini = teardown)
{
    struct js_stream_state stream;
    struct js_consumer_state consumer;
    struct js_delivery delivery;
    create_stream(&stream);
    publish_events(5);
    cr_assert_eq(create_consumer(0, &consumer), 0, "%s", consumer.error.description);
    cr_assert_eq(create_consumer(0, &consumer), 0, "making it again is fine");
    cr_expect_str_eq(consumer.ack_policy, "all");
    cr_expect_eq(consumer.pending_count, 5);
    send_pull(3, 2000, 500);
    for (int64_t i = 1; i <= 3; i++) {
        struct bus_view view;
        struct bus_message *message = next_message();
        cr_assert_not_null(message);
        cr_assert_eq(bus_message_view(message, &view), 0);
        expect_event(&view, i);
        cr_assert_eq(js_parse_delivery(bus_message_reply(message), &delivery), 0, "%s",
                     bus_message_reply(message));
        cr_expect_str_eq(delivery.stream, "ORDER");
        cr_expect_str_eq(delivery.consumer, "account-svc");
        cr_expect_eq(delivery.stream_sequence, i);
        cr_expect_eq(delivery.delivered_count, 1);
        cr_expect_eq(delivery.pending_count, 5 - i);
        if (i == 3)
            acknowledge(bus_message_reply(message));
    }
    cr_expect(wait_until(is_acked, &consumer, FAR_MS), "one acknowledgement for all");
    cr_expect_eq(consumer.acked_sequence, 3);
    cr_expect_eq(consumer.delivered_sequence, 3);
    cr_expect_eq(consumer.ack_pending_count, 0);
    cr_expect_eq(consumer.pending_count, 2);
}

Test(jetstream, an_idle_and_a_deleted_consumer_are_told_apart, .init = setup, .fini = teardown)
{
    struct js_stream_state stream;
    struct js_consumer_state consumer;
    create_stream(&stream);
    publish_events(2);
    cr_assert_eq(create_consumer(3, &consumer), 0);
    cr_expect_eq(consumer.start_sequence, 3);
    send_pull(1, 0, 0);
    struct bus_message *message = next_message();
    cr_assert_not_null(message);
    cr_expect_eq(bus_message_status(message), 404, "nothing there, asked not to wait");
    send_pull(1, 400, 150);
    message = next_message();
    cr_assert_not_null(message);
    cr_expect_eq(bus_message_status(message), 100, "a heartbeat");
    do
        cr_assert_not_null(message = next_message());
    while (bus_message_status(message) == 100);
    cr_expect_eq(bus_message_status(message), 408, "time is up");
    _deinit_(js_request) struct js_request request;
    struct js_error error;
    js_request_init(&request, NULL);
    /* The server answers only a pull that it holds already: a pull that races with the delete gets
     * no answer. */
    send_pull(1, 5000, 100);
    cr_assert_not_null(message = next_message());
    cr_expect_eq(bus_message_status(message), 100);
    cr_assert_eq(js_consumer_delete(&request, "ORDER", "account-svc"), 0);
    int seen_409 = 0, seen_done = 0; /* in either order */
    struct bus_outgoing out = { .subject = request.subject, .reply = inbox, .data = "" };
    cr_assert_eq(bus_publish(bus, BUS_URGENT, &out), 0);
    while (seen_409 + seen_done < 2) {
        cr_assert_not_null(message = next_message());
        int status = bus_message_status(message);
        if (status == 100)
            continue;
        seen_409 += status == 409 &&
                    strcmp(bus_message_status_text(message), "Consumer Deleted") == 0;
        seen_done += status == 0 &&
                     js_parse_success(bus_message_data(message), bus_message_length(message),
                                      &arena, &error) == 0;
    }
    cr_expect_eq(seen_409, 1);
    cr_expect_eq(seen_done, 1);
    consumer_info(&consumer, JS_REFUSED);
    cr_expect_eq(consumer.error.error_code, JS_ERR_CONSUMER_NOT_FOUND);
    send_pull(1, 1000, 0);
    cr_assert_not_null(message = next_message());
    cr_expect_eq(bus_message_status(message), 503, "nobody serves the pull");
}

Test(jetstream, a_full_stream_refuses_messages, .init = setup, .fini = teardown)
{
    _deinit_(js_request) struct js_request request;
    js_request_init(&request, NULL);
    struct js_stream_config config = { .name = "ORDER",
                                       .subject = "evt.order.>",
                                       .max_bytes = 1500 };
    struct js_stream_state state;
    struct js_puback ack = { 0 };
    cr_assert_eq(js_stream_create(&request, &config), 0);
    cr_assert_eq(PARSE(js_parse_stream_info, &request, &state), 0);
    cr_expect_eq(state.max_bytes, 1500);
    int r = 0;
    for (int64_t i = 1; r == 0 && i < 10; i++) {
        publish_event(i, i - 1);
        r = next_ack(&ack);
    }
    cr_expect_eq(r, JS_REFUSED);
    cr_expect_eq(ack.error.error_code, JS_ERR_STREAM_FULL, "%s", ack.error.description);
}
