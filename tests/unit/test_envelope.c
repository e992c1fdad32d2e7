/* Envelope: an event survives encoding and decoding to the last bit, and a message that is not the
 * leader's is refused with its reason. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include "base/result.h"
#include "runtime/core/event_text.h"
#include "runtime/sync/envelope.h"

#define COUNT(table) (sizeof(table) / sizeof(*(table)))

static const struct source leader = { .log = "ORDER", .service = "order-svc", .prefix = "order" };

static struct event sample_event(void)
{
    struct event event = {
        .log = "ORDER",
        .position = 42,
        .id = "019abc12-3456-7def-8123-456789abcdef",
        .type = "OrderPlaced",
        .entity = "ord_019abc12-3456-7def-8123-456789abcdef",
        .time_ms = 1795412400123,
        .correlation = "019abc12-0000-7def-8123-456789abcdef",
        .causation = "key 1",
        .cause = "request/key 1",
        .cause_digest = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        .traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        .data = "{\"a\":1}",
        .data_length = 7,
    };
    for (int i = 0; i < DIGEST_SIZE; i++)
        event.chain.bytes[i] = (uint8_t)(i * 7);
    return event;
}

static struct bus_view view_of(const struct envelope *envelope)
{
    return (struct bus_view){
        .subject = envelope->message.subject,
        .headers = envelope->message.headers,
        .header_count = envelope->message.header_count,
        .data = envelope->message.data,
        .data_length = envelope->message.length,
    };
}

static void expect_same(const char *a, const char *b, const char *what)
{
    cr_expect((!a && !b) || (a && b && strcmp(a, b) == 0), "%s", what);
}

/* Encodes, decodes, and compares field by field and by digest. */
static void expect_round_trip(const struct event *event)
{
    _deinit_(envelope) struct envelope envelope = { 0 };
    _deinit_(arena) struct arena arena = { 0 };
    struct event again;
    struct digest before, after;
    const char *reason = "";
    cr_assert_eq(envelope_encode(&envelope, event, &leader, event->position - 1), 0, "%s",
                 failure_text());
    struct bus_view view = view_of(&envelope);
    for (int i = 0; i < view.header_count; i++) {
        cr_expect(bus_header_key_is_safe(view.headers[i].key));
        for (const char *c = view.headers[i].value; *c; c++)
            cr_expect(*c > 0x20 && *c < 0x7f && *c != '"', "%s", view.headers[i].key);
    }
    cr_assert_eq(envelope_decode(&view, &leader, &arena, &again, &after, &reason), 0, "%s", reason);
    cr_assert_eq(event_digest(event, &before), 0);
    cr_expect(digest_equal(&before, &after));
    cr_expect(digest_equal(&event->chain, &again.chain));
    cr_expect_eq(event->position, again.position);
    cr_expect_eq(event->time_ms, again.time_ms);
    cr_expect_eq(event->data_length, again.data_length);
    expect_same(event->id, again.id, "id");
    expect_same(event->type, again.type, "type");
    expect_same(event->entity, again.entity, "entity");
    expect_same(event->correlation, again.correlation, "correlation");
    expect_same(event->causation, again.causation, "causation");
    expect_same(event->cause, again.cause, "cause");
    expect_same(event->cause_digest, again.cause_digest, "cause_digest");
    expect_same(event->traceparent, again.traceparent, "traceparent");
    expect_same(event->data, again.data, "data");
}

Test(envelope, any_text_survives_encoding_and_decoding)
{
    static const char *const texts[] = {
        "plain",       "with blank",   " around ",         "%",      "%41",
        "\"quoted\"",  "a:b",          "a\r\nce-id: evil", "\t",     "\x01\x1f\x7f",
        "J\xc3\xb6rg", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "100%25", ",;=+&?#[]{}|\\^`<>~",
        NULL,
    };
    for (size_t i = 0; i < COUNT(texts); i++) {
        struct event event = sample_event();
        event.correlation = event.causation = event.cause = event.traceparent = texts[i];
        event.cause_digest = texts[i] ? event.cause_digest : NULL;
        if (texts[i])
            event.entity = event.id = texts[i];
        expect_round_trip(&event);
    }
}

Test(envelope, numbers_times_and_data_survive_encoding_and_decoding)
{
    static const int64_t times_ms[] = {
        0, 1, 999, 1000, 951782400000, 1795412400120, 4102444799999, 253402300799999
    };
    static const int64_t positions[] = { 1, 9, 10, 4294967296, INT64_MAX / 16 };
    struct event event = sample_event();
    for (size_t i = 0; i < COUNT(times_ms); i++) {
        event.time_ms = times_ms[i];
        expect_round_trip(&event);
    }
    for (size_t i = 0; i < COUNT(positions); i++) {
        event.position = positions[i];
        expect_round_trip(&event);
    }
    static char data[70000];
    memset(data, ' ', sizeof(data) - 1);
    event.data = data;
    event.data_length = sizeof(data) - 1;
    expect_round_trip(&event);
    event.cause_digest = event.correlation = event.causation = event.cause = event.traceparent =
        NULL;
    expect_round_trip(&event);
}

Test(envelope, an_event_is_encoded_as_cloudevents_demands)
{
    static const struct {
        const char *key, *value;
    } expected[] = {
        { "ce-specversion", "1.0" },
        { "ce-id", "019abc12-3456-7def-8123-456789abcdef" },
        { "ce-source", "/order-svc" },
        { "ce-type", "order.OrderPlaced.v1" },
        { "ce-subject", "ord_019abc12-3456-7def-8123-456789abcdef" },
        { "ce-time", "2026-11-23T05:40:00.123Z" },
        { "ce-datacontenttype", "application/json" },
        { "ce-correlationid", "019abc12-0000-7def-8123-456789abcdef" },
        { "ce-causationid", "key%201" },
        { "Nats-Expected-Last-Sequence", "41" },
        { "Journey-Position", "42" },
        { "Journey-Cause-Digest", "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU" },
        { "Journey-Chain", "AAcOFRwjKjE4P0ZNVFtiaXB3foWMk5qhqK-2vcTL0tk" },
        { "traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" },
    };
    _deinit_(envelope) struct envelope envelope = { 0 };
    struct event event = sample_event();
    event.time_ms = 1795412400123;
    cr_assert_eq(envelope_encode(&envelope, &event, &leader, 41), 0);
    struct bus_view view = view_of(&envelope);
    cr_expect_str_eq(view.subject, "evt.order.OrderPlaced");
    cr_expect_eq(view.header_count, (int)COUNT(expected), "and nothing that follows from these");
    for (size_t i = 0; i < COUNT(expected); i++) {
        const char *value = bus_header_find(&view, expected[i].key);
        cr_assert_not_null(value, "%s", expected[i].key);
        cr_expect_str_eq(value, expected[i].value, "%s: %s", expected[i].key, value);
    }
    cr_assert_eq(envelope_encode(&envelope, &event, &leader, ENVELOPE_NO_FENCE), 0);
    view = view_of(&envelope);
    cr_expect_null(bus_header_find(&view, "Nats-Expected-Last-Sequence"));
    cr_assert_eq(envelope_encode(&envelope, &event, &leader, 0), 0);
    view = view_of(&envelope);
    cr_expect_str_eq(bus_header_find(&view, "Nats-Expected-Last-Sequence"), "0");
    event.cause = "request.acc_1/key 1"; /* does not follow from the causation */
    expect_round_trip(&event);
    cr_assert_eq(envelope_encode(&envelope, &event, &leader, 0), 0);
    view = view_of(&envelope);
    cr_expect_str_eq(bus_header_find(&view, "Journey-Cause"), "request.acc_1/key%201");
}

Test(envelope, events_of_0_1_are_read_as_they_were_written)
{
    static const struct bus_header headers[] = {
        { "ce-specversion", "1.0" },
        { "ce-id", "019abc12-3456-7def-8123-456789abcdef" },
        { "ce-source", "/order-svc" },
        { "ce-type", "order.OrderPlaced.v1" },
        { "ce-subject", "ord_019abc12-3456-7def-8123-456789abcdef" },
        { "ce-time", "2026-11-23T05:40:00.123Z" },
        { "ce-datacontenttype", "application/json" },
        { "ce-dataschema", "https://journey-mesh.example/schemas/evt.order.OrderPlaced.json" },
        { "ce-correlationid", "019abc12-0000-7def-8123-456789abcdef" },
        { "ce-causationid", "key%201" },
        { "Nats-Msg-Id", "019abc12-3456-7def-8123-456789abcdef" },
        { "Nats-Expected-Last-Sequence", "41" },
        { "Journey-Position", "42" },
        { "Journey-Chain", "00070e151c232a31383f464d545b626970777e858c939aa1a8afb6bdc4cbd2d9" },
        { "Journey-Cause", "request/key%201" },
        { "Journey-Cause-Digest",
          "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
        { "traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" },
    };
    const struct bus_view view = { .subject = "evt.order.OrderPlaced",
                                   .headers = headers,
                                   .header_count = COUNT(headers),
                                   .data = "{\"a\":1}",
                                   .data_length = 7 };
    const struct event wanted = sample_event();
    _deinit_(arena) struct arena arena = { 0 };
    struct event event;
    struct digest digest, expected;
    const char *reason = "";
    cr_assert_eq(envelope_decode(&view, &leader, &arena, &event, &digest, &reason), 0, "%s",
                 reason);
    cr_assert_eq(event_digest(&wanted, &expected), 0);
    cr_expect(digest_equal(&digest, &expected));
    cr_expect(digest_equal(&event.chain, &wanted.chain));
    expect_same(event.cause, wanted.cause, "cause");
    expect_same(event.cause_digest, wanted.cause_digest, "cause_digest");
}

Test(envelope, another_version_is_another_event)
{
    _deinit_(envelope) struct envelope envelope = { 0 };
    struct event event = sample_event();
    event.type = "OrderPlaced.v2";
    expect_round_trip(&event);
    cr_assert_eq(envelope_encode(&envelope, &event, &leader, 41), 0);
    struct bus_view view = view_of(&envelope);
    cr_expect_str_eq(view.subject, "evt.order.OrderPlaced.v2");
    cr_expect_str_eq(bus_header_find(&view, "ce-type"), "order.OrderPlaced.v2");
    event.type = "OrderPlaced.v9999";
    expect_round_trip(&event);
    event.type = "OrderPlaced.v1"; /* of another name */
    cr_expect_eq(envelope_encode(&envelope, &event, &leader, 41), -ERR_INVALID);
}

Test(envelope, an_event_that_cannot_be_encoded_is_refused)
{
    static char huge[EVENT_TEXT_MAX + 2];
    memset(huge, 'a', EVENT_TEXT_MAX + 1);
    static const char *const texts[] = { "",         "\xff",         "a\xc3",
                                         "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80",
                                         huge };
    _deinit_(envelope) struct envelope envelope = { 0 };
    for (size_t i = 0; i < COUNT(texts); i++) {
        struct event event = sample_event();
        event.correlation = texts[i];
        cr_expect_eq(envelope_encode(&envelope, &event, &leader, 0), -ERR_INVALID, "case %zu", i);
    }
    static const struct {
        const char *type;
        int64_t position, time_ms;
        const char *data;
        size_t length;
    } others[] = {
        { "Order.Placed", 1, 1, "{}", 2 },
        { "", 1, 1, "{}", 2 },
        { NULL, 1, 1, "{}", 2 },
        { "X", 0, 1, "{}", 2 },
        { "X", 1, -1, "{}", 2 },
        { "X", 1, 253402300800000, "{}", 2 },
        { "X", 1, 1, "", 0 },
        { "X", 1, 1, "\0", 1 },
    };
    for (size_t i = 0; i < COUNT(others); i++) {
        struct event event = sample_event();
        event.type = others[i].type;
        event.position = others[i].position;
        event.time_ms = others[i].time_ms;
        event.data = others[i].data;
        event.data_length = others[i].length;
        cr_expect_eq(envelope_encode(&envelope, &event, &leader, 0), -ERR_INVALID, "other %zu", i);
    }
}

/* One header replaced (value), taken away (value NULL), or, with twice, added once more. */
static int decode_changed(const char *key, const char *value, _Bool twice, char *ret_reason,
                          size_t size)
{
    _deinit_(envelope) struct envelope envelope = { 0 };
    _deinit_(arena) struct arena arena = { 0 };
    struct event event = sample_event(), again;
    struct bus_header headers[ENVELOPE_HEADERS_MAX + 1];
    struct digest digest;
    int count = 0;
    const char *reason = "";
    cr_assert_eq(envelope_encode(&envelope, &event, &leader, 41), 0);
    struct bus_view view = view_of(&envelope);
    for (int i = 0; i < view.header_count; i++)
        if (twice || strcmp(view.headers[i].key, key) != 0)
            headers[count++] = view.headers[i];
    if (value)
        headers[count++] = (struct bus_header){ key, value };
    if (strcmp(key, "subject") == 0) {
        view.subject = value;
        count--;
    }
    view.headers = headers;
    view.header_count = count;
    int r = envelope_decode(&view, &leader, &arena, &again, &digest, &reason);
    snprintf(ret_reason, size, "%s", reason);
    return r;
}

static const struct {
    const char *key, *value;
    _Bool twice;
    const char *reason;
} decode_cases[] = {
    { "ce-id", NULL, 0, "ce-id is missing" },
    { "ce-source", NULL, 0, "ce-source is missing" },
    { "ce-type", NULL, 0, "ce-type is missing" },
    { "ce-time", NULL, 0, "ce-time is missing" },
    { "ce-specversion", NULL, 0, "ce-specversion is missing" },
    { "Journey-Position", NULL, 0, "Journey-Position is missing" },
    { "Journey-Chain", NULL, 0, "Journey-Chain is missing" },
    { "ce-subject", NULL, 0, "ce-subject is missing" },
    { "ce-datacontenttype", NULL, 0, "ce-datacontenttype is missing" },
    { "ce-causationid", NULL, 0, "Journey-Cause-Digest has no cause" },
    { "CE-ID", "other", 1, "ce-id is there twice" },
    { "traceparent", "x", 1, "traceparent is there twice" },
    { "ce-specversion", "0.3", 0, "ce-specversion is not 1.0" },
    { "ce-datacontenttype", "text/plain", 0, "ce-datacontenttype is not application/json" },
    { "ce-source", "/account-svc", 0, "ce-source is not the leader" },
    { "ce-source", "order-svc", 0, "ce-source is not the leader" },
    { "ce-type", "order.OrderPaid.v1", 0, "ce-type does not fit the subject" },
    { "ce-type", "order.OrderPlaced.v2", 0, "ce-type does not fit the subject" },
    { "Nats-Msg-Id", "x", 0, "Nats-Msg-Id is not ce-id" },
    { "Journey-Position", "0", 0, "Journey-Position is not a position" },
    { "Journey-Position", "042", 0, "Journey-Position is not a position" },
    { "Journey-Position", "-1", 0, "Journey-Position is not a position" },
    { "Journey-Position", "1e3", 0, "Journey-Position is not a position" },
    { "Journey-Position", "99999999999999999999", 0, "Journey-Position is not a position" },
    { "Journey-Chain", "00", 0, "Journey-Chain is not a chain" },
    { "Journey-Cause-Digest", "xyz", 0, "Journey-Cause-Digest is not a digest" },
    { "ce-time", "2026-11-23T05:40:00Z", 0, "ce-time is not a time with milliseconds in UTC" },
    { "ce-time", "2026-11-23T05:40:00.1230Z", 0, "ce-time is not a time with milliseconds in UTC" },
    { "ce-time", "2026-02-30T05:40:00.123Z", 0, "ce-time is not a time with milliseconds in UTC" },
    { "ce-time", "yesterday", 0, "ce-time is not a time with milliseconds in UTC" },
    { "ce-causationid", "a b", 0, "ce-causationid is empty, too long or badly encoded" },
    { "ce-causationid", "", 0, "ce-causationid is empty, too long or badly encoded" },
    { "ce-causationid", "%", 0, "ce-causationid is empty, too long or badly encoded" },
    { "ce-causationid", "%4", 0, "ce-causationid is empty, too long or badly encoded" },
    { "ce-causationid", "%zz", 0, "ce-causationid is empty, too long or badly encoded" },
    { "ce-causationid", "%00", 0, "ce-causationid is empty, too long or badly encoded" },
    { "ce-causationid", "%FF", 0, "ce-causationid is empty, too long or badly encoded" },
    { "ce-causationid", "J\xc3\xb6rg", 0, "ce-causationid is empty, too long or badly encoded" },
    { "subject", "evt.account.OrderPlaced", 0, "subject is not one of the leader's" },
    { "subject", "evt.order.Order.Placed", 0, "subject is not one of the leader's" },
    { "subject", "evt.order.OrderPlaced.v1", 0, "subject is not one of the leader's" },
    { "subject", "evt.order.OrderPlaced.v02", 0, "subject is not one of the leader's" },
    { "subject", "evt.order.OrderPlaced.v0", 0, "subject is not one of the leader's" },
    { "subject", "evt.order.OrderPlaced.v", 0, "subject is not one of the leader's" },
    { "subject", "evt.order.OrderPlaced.v10000", 0, "subject is not one of the leader's" },
    { "subject", "evt.order.OrderPlaced.v2.v3", 0, "subject is not one of the leader's" },
    { "subject", "evt.order..v2", 0, "subject is not one of the leader's" },
    { "subject", "evt.order.OrderPlaced.v2", 0, "ce-type does not fit the subject" },
    { "subject", "evt.order.", 0, "subject is not one of the leader's" },
    { "subject", "evt.orderx", 0, "subject is not one of the leader's" },
};

Test(envelope, missing_malformed_and_foreign_headers_are_named)
{
    for (size_t i = 0; i < COUNT(decode_cases); i++) {
        char reason[200];
        cr_expect_eq(decode_changed(decode_cases[i].key, decode_cases[i].value,
                                    decode_cases[i].twice, reason, sizeof(reason)),
                     ENVELOPE_REFUSED, "case %zu", i);
        cr_expect_str_eq(reason, decode_cases[i].reason, "case %zu: %s", i, reason);
    }
}

Test(envelope, what_does_not_matter_is_read)
{
    char reason[200];
    cr_expect_eq(decode_changed("Ce-TimE", NULL, 1, reason, sizeof(reason)), 0,
                 "untouched it is fine");
    cr_expect_eq(decode_changed("x-other", "a b", 1, reason, sizeof(reason)), 0,
                 "other headers do not matter");
    cr_expect_eq(decode_changed("ce-causationid", "key%201", 0, reason, sizeof(reason)), 0);
}

Test(envelope, header_keys_are_read_in_any_case)
{
    _deinit_(envelope) struct envelope envelope = { 0 };
    _deinit_(arena) struct arena arena = { 0 };
    struct event event = sample_event(), again;
    struct bus_header headers[ENVELOPE_HEADERS_MAX];
    char keys[ENVELOPE_HEADERS_MAX][BUS_HEADER_KEY_MAX + 1] = { 0 };
    struct digest before, after;
    const char *reason = "";
    cr_assert_eq(envelope_encode(&envelope, &event, &leader, 41), 0);
    struct bus_view view = view_of(&envelope);
    for (int i = 0; i < view.header_count; i++) {
        for (int j = 0; view.headers[i].key[j]; j++)
            keys[i][j] = (char)((view.headers[i].key[j] >= 'a' && view.headers[i].key[j] <= 'z')
                                    ? view.headers[i].key[j] - 32
                                    : view.headers[i].key[j]);
        headers[i] = (struct bus_header){ keys[i], view.headers[i].value };
    }
    view.headers = headers;
    cr_assert_eq(envelope_decode(&view, &leader, &arena, &again, &after, &reason), 0, "%s", reason);
    cr_assert_eq(event_digest(&event, &before), 0);
    cr_expect(digest_equal(&before, &after));
}

Test(envelope, text_from_outside_is_validated)
{
    static char longest[EVENT_TEXT_FROM_OUTSIDE_MAX + 2];
    memset(longest, 'a', EVENT_TEXT_FROM_OUTSIDE_MAX + 1);
    static const struct {
        const char *text;
        _Bool safe;
    } cases[] = {
        { "key-1", 1 },     { "a b", 1 },      { "J\xc3\xb6rg", 1 }, { "", 0 },
        { "a\r\nb", 0 },    { "\x7f", 0 },     { "\xff", 0 },        { longest, 0 },
        { longest + 1, 1 }, { "\xc2\x9b", 0 }, { "\u2028", 0 },      { "\u202e", 0 },
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        cr_expect_eq(event_text_is_safe(cases[i].text), cases[i].safe, "case %zu", i);
}
