/* JetStream without a server: the requests that are made, and the replies that are parsed. */
#include <criterion/criterion.h>
#include <string.h>
#include "base/result.h"
#include "bus/jetstream.h"
#include "bus/server_version.h"

#define COUNT(table) (sizeof(table) / sizeof(*(table)))

/* ---- Requests ------------------------------------------------------------------------------- */

static int stream_create(struct js_request *r)
{
    return js_stream_create(r, &(struct js_stream_config){ .name = "ORDER",
                                                           .subject = "evt.order.>",
                                                           .max_bytes = 1000,
                                                           .replicas = 3,
                                                           .duplicate_window_ms = 1000 });
}
static int stream_create_small(struct js_request *r)
{
    return js_stream_create(r, &(struct js_stream_config){ .name = "A", .subject = "a" });
}
static int stream_info(struct js_request *r)
{
    return js_stream_info(r, "ORDER");
}
static int stream_delete(struct js_request *r)
{
    return js_stream_delete(r, "ORDER");
}
static int message_get(struct js_request *r)
{
    return js_message_get(r, "ORDER", 7);
}
static int message_last(struct js_request *r)
{
    return js_message_get_last(r, "ORDER", "evt.order.>");
}
static int message_next(struct js_request *r)
{
    return js_message_get_next(r, "ORDER", 7, "evt.>");
}
static int consumer_create(struct js_request *r)
{
    return js_consumer_create(r, &(struct js_consumer_config){ .stream = "ORDER",
                                                               .name = "account-svc",
                                                               .start_sequence = 8,
                                                               .max_ack_pending = 512 });
}
static int consumer_create_all(struct js_request *r)
{
    return js_consumer_create(r, &(struct js_consumer_config){ .stream = "ORDER",
                                                               .name = "c",
                                                               .max_ack_pending = 1,
                                                               .ack_wait_ms = 5,
                                                               .replicas = 3 });
}
static int reader_create(struct js_request *request)
{
    return js_reader_create(request, "ORDER", "order-svc-own-x-2", 8, 5);
}

static int consumer_info(struct js_request *r)
{
    return js_consumer_info(r, "ORDER", "c");
}
static int consumer_delete(struct js_request *r)
{
    return js_consumer_delete(r, "ORDER", "c");
}
static int pull(struct js_request *r)
{
    return js_consumer_next(
        r, "ORDER", "c",
        &(struct js_pull){
            .batch = 100, .expires_ms = 5000, .idle_heartbeat_ms = 1000, .max_bytes = 4096 });
}
static int pull_now(struct js_request *r)
{
    return js_consumer_next(r, "ORDER", "c",
                            &(struct js_pull){ .batch = 1, .idle_heartbeat_ms = 9 });
}
static int bad_stream(struct js_request *r)
{
    return js_stream_info(r, "OR DER");
}
static int bad_stream_dot(struct js_request *r)
{
    return js_stream_info(r, "ORDER.x");
}
static int bad_consumer(struct js_request *r)
{
    return js_consumer_info(r, "ORDER", "a\"b");
}
static int bad_subject(struct js_request *r)
{
    return js_message_get_last(r, "ORDER", "a\",\"b");
}
static int bad_stream_subject(struct js_request *r)
{
    return js_stream_create(r, &(struct js_stream_config){ .name = "A", .subject = "" });
}

Test(jetstream, requests_have_the_form_that_the_server_expects)
{
    static const struct {
        int (*make)(struct js_request *);
        const char *api, *subject, *body;
    } cases[] = {
        { stream_create, NULL, "$JS.API.STREAM.CREATE.ORDER",
          "{\"name\":\"ORDER\",\"subjects\":[\"evt.order.>\"],\"retention\":\"limits\",\"discard\":"
          "\"new\",\"storage\":\"file\","
          "\"max_consumers\":-1,\"max_msgs\":-1,\"max_bytes\":1000,\"max_age\":0,\"max_msg_size\":-"
          "1,\"num_replicas\":3,"
          "\"duplicate_window\":1000000000}" },
        { stream_create_small, "$JS.hub.API", "$JS.hub.API.STREAM.CREATE.A",
          "{\"name\":\"A\",\"subjects\":[\"a\"],\"retention\":\"limits\",\"discard\":\"new\","
          "\"storage\":\"file\","
          "\"max_consumers\":-1,\"max_msgs\":-1,\"max_bytes\":-1,\"max_age\":0,\"max_msg_size\":-1,"
          "\"num_replicas\":1,"
          "\"duplicate_window\":100000000}" },
        { stream_info, NULL, "$JS.API.STREAM.INFO.ORDER", "" },
        { stream_delete, NULL, "$JS.API.STREAM.DELETE.ORDER", "" },
        { message_get, NULL, "$JS.API.STREAM.MSG.GET.ORDER", "{\"seq\":7}" },
        { message_last, NULL, "$JS.API.STREAM.MSG.GET.ORDER",
          "{\"last_by_subj\":\"evt.order.>\"}" },
        { message_next, NULL, "$JS.API.STREAM.MSG.GET.ORDER",
          "{\"seq\":7,\"next_by_subj\":\"evt.>\"}" },
        { consumer_create, NULL, "$JS.API.CONSUMER.CREATE.ORDER.account-svc",
          "{\"stream_name\":\"ORDER\",\"action\":\"create\",\"config\":{\"name\":\"account-svc\","
          "\"durable_name\":\"account-svc\","
          "\"deliver_policy\":\"by_start_sequence\",\"opt_start_seq\":8,\"ack_policy\":\"all\","
          "\"ack_wait\":30000000000,"
          "\"max_deliver\":-1,\"replay_policy\":\"instant\",\"max_ack_pending\":512,\"num_"
          "replicas\":0}}" },
        { consumer_create_all, NULL, "$JS.API.CONSUMER.CREATE.ORDER.c",
          "{\"stream_name\":\"ORDER\",\"action\":\"create\",\"config\":{\"name\":\"c\",\"durable_"
          "name\":\"c\",\"deliver_policy\":\"all\","
          "\"ack_policy\":\"all\",\"ack_wait\":5000000,\"max_deliver\":-1,\"replay_policy\":"
          "\"instant\",\"max_ack_pending\":1,"
          "\"num_replicas\":3}}" },
        { reader_create, NULL, "$JS.API.CONSUMER.CREATE.ORDER.order-svc-own-x-2",
          "{\"stream_name\":\"ORDER\",\"action\":\"create\",\"config\":{\"name\":"
          "\"order-svc-own-x-2\",\"deliver_policy\":\"by_start_sequence\",\"opt_start_seq\":8,"
          "\"ack_policy\":\"none\",\"replay_policy\":\"instant\",\"inactive_threshold\":"
          "5000000,\"num_replicas\":1,\"mem_storage\":true}}" },
        { consumer_info, NULL, "$JS.API.CONSUMER.INFO.ORDER.c", "" },
        { consumer_delete, NULL, "$JS.API.CONSUMER.DELETE.ORDER.c", "" },
        { pull, NULL, "$JS.API.CONSUMER.MSG.NEXT.ORDER.c",
          "{\"batch\":100,\"expires\":5000000000,\"idle_heartbeat\":1000000000,\"max_bytes\":"
          "4096}" },
        { pull_now, NULL, "$JS.API.CONSUMER.MSG.NEXT.ORDER.c", "{\"batch\":1,\"no_wait\":true}" },
        { bad_stream, NULL, NULL, NULL },
        { bad_stream_dot, NULL, NULL, NULL },
        { bad_consumer, NULL, NULL, NULL },
        { bad_subject, NULL, NULL, NULL },
        { bad_stream_subject, NULL, NULL, NULL },
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        _deinit_(js_request) struct js_request request;
        js_request_init(&request, cases[i].api);
        int r = cases[i].make(&request);
        cr_expect_eq(r, cases[i].subject ? 0 : -ERR_INVALID, "case %zu", i);
        if (r == 0) {
            cr_expect_str_eq(request.subject, cases[i].subject);
            cr_expect_str_eq(request.body.data ? request.body.data : "", cases[i].body);
        }
    }
}

/* ---- Replies -------------------------------------------------------------------------------- */

Test(jetstream, an_acknowledgement_is_parsed)
{
    static const struct {
        const char *text;
        int result;
        int64_t sequence;
        _Bool duplicate;
        int error_code;
    } cases[] = {
        { "{\"stream\":\"ORDER\",\"seq\":12}", 0, 12, 0, 0 },
        { "{\"stream\":\"ORDER\", \"seq\":12}", 0, 12, 0, 0 },
        { "{\"stream\":\"ORDER\", \"seq\":9223372036854775807}", 0, INT64_MAX, 0, 0 },
        { "{\"stream\":\"ORDER\", \"seq\":12,\"duplicate\": true}", 0, 12, 1, 0 },
        { "{\"stream\":\"ORDER\", \"seq\":0}", -ERR_INVALID, 0, 0, 0 },
        { "{\"stream\":\"ORDER\", \"seq\":12} x", -ERR_INVALID, 0, 0, 0 },
        { "{\"stream\":\"ORDER\", \"seq\":1", -ERR_INVALID, 0, 0, 0 },
        { "{\"stream\":\"\", \"seq\":1}", 0, 1, 0, 0 },
        { "{\"stream\":\"ORDER\", \"seq\":12.5}", -ERR_INVALID, 0, 0, 0 },
        { "{\"stream\":\"ORDER\",\"seq\":12,\"duplicate\":true,\"domain\":\"hub\"}", 0, 12, 1, 0 },
        { "{\"error\":{\"code\":400,\"err_code\":10071,\"description\":\"wrong last sequence: "
          "3\"},\"stream\":\"ORDER\",\"seq\":0}",
          JS_REFUSED, 0, 0, JS_ERR_WRONG_LAST_SEQUENCE },
        { "{\"error\":{}}", JS_REFUSED, 0, 0, 0 },
        { "{\"stream\":\"ORDER\"}", -ERR_INVALID, 0, 0, 0 },
        { "{\"stream\":\"ORDER\",\"seq\":0}", -ERR_INVALID, 0, 0, 0 },
        { "{\"stream\":\"ORDER\",\"seq\":-1}", -ERR_INVALID, 0, 0, 0 },
        { "{\"seq\":1}", -ERR_INVALID, 0, 0, 0 },
        { "{\"stream\":\"ORDER\",\"seq\":\"1\"}", -ERR_INVALID, 0, 0, 0 },
        { "", -ERR_INVALID, 0, 0, 0 },
        { "+OK", -ERR_INVALID, 0, 0, 0 },
        { "[]", -ERR_INVALID, 0, 0, 0 },
        { "{\"seq\":99999999999999999999}", -ERR_INVALID, 0, 0, 0 },
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        _deinit_(arena) struct arena arena = { 0 };
        struct js_puback ack = { 0 };
        cr_expect_eq(js_parse_puback(cases[i].text, strlen(cases[i].text), &arena, &ack),
                     cases[i].result, "case %zu", i);
        cr_expect_eq(ack.sequence, cases[i].sequence, "case %zu", i);
        cr_expect_eq(ack.duplicate, cases[i].duplicate, "case %zu", i);
        cr_expect_eq(ack.error.error_code, cases[i].error_code, "case %zu", i);
        cr_expect(cases[i].result < 0 || ack.error.description, "case %zu", i);
    }
}

static const char stream_reply[] =
    "{\"type\":\"io.nats.jetstream.api.v1.stream_info_response\",\"total\":0,\"offset\":0,"
    "\"limit\":0,\"config\":{\"name\":\"ORDER\","
    "\"subjects\":[\"evt.order.\\u003e\"],\"retention\":\"limits\",\"max_bytes\":-1,\"max_age\":0,"
    "\"discard\":\"new\",\"storage\":\"file\","
    "\"num_replicas\":1},\"created\":\"2026-11-23T05:40:00.123456789Z\",\"state\":{\"messages\":5,"
    "\"bytes\":500,\"first_seq\":1,"
    "\"first_ts\":\"2026-11-23T05:40:00Z\",\"last_seq\":7,\"last_ts\":\"2026-11-23T05:40:00Z\","
    "\"num_deleted\":2,\"num_subjects\":1,"
    "\"consumer_count\":0},\"cluster\":{\"leader\":\"x\"},\"ts\":\"2026-11-23T05:40:00Z\"}";

Test(jetstream, the_state_of_a_stream_is_parsed)
{
    _deinit_(arena) struct arena arena = { 0 };
    struct js_stream_state state;
    cr_assert_eq(js_parse_stream_info(stream_reply, strlen(stream_reply), &arena, &state), 0);
    cr_expect_eq(state.messages, 5);
    cr_expect_eq(state.bytes, 500);
    cr_expect_eq(state.first_sequence, 1);
    cr_expect_eq(state.last_sequence, 7);
    cr_expect_eq(state.deleted_count, 2);
    cr_expect_eq(state.max_bytes, -1);
    cr_expect_eq(state.replicas, 1);
    cr_expect_eq(state.subject_count, 1);
    cr_expect_str_eq(state.subject, "evt.order.>");
    cr_expect_str_eq(state.discard, "new");
    cr_expect_str_eq(state.created, "2026-11-23T05:40:00.123456789Z");
    static const struct {
        const char *text;
        int result;
    } others[] = {
        { "{\"error\":{\"code\":404,\"err_code\":10059,\"description\":\"stream not found\"}}",
          JS_REFUSED },
        { "{}", -ERR_INVALID },
        { "{\"created\":\"x\",\"config\":{}}", -ERR_INVALID },
        { "{\"created\":\"x\",\"config\":{},\"state\":{\"last_seq\":-1}}", -ERR_INVALID },
        { "{\"created\":\"x\",\"config\":{},\"state\":{}}", 0 },
        { "not JSON", -ERR_INVALID },
    };
    for (size_t i = 0; i < COUNT(others); i++)
        cr_expect_eq(js_parse_stream_info(others[i].text, strlen(others[i].text), &arena, &state),
                     others[i].result, "case %zu", i);
}

Test(jetstream, the_state_of_a_consumer_is_parsed)
{
    static const char reply[] =
        "{\"type\":\"io.nats.jetstream.api.v1.consumer_info_response\",\"stream_name\":\"ORDER\","
        "\"name\":\"c\",\"created\":\"t\","
        "\"config\":{\"durable_name\":\"c\",\"deliver_policy\":\"by_start_sequence\",\"opt_start_"
        "seq\":3,\"ack_policy\":\"all\","
        "\"ack_wait\":30000000000,\"max_deliver\":-1,\"max_ack_pending\":512},\"delivered\":{"
        "\"consumer_seq\":4,\"stream_seq\":6},"
        "\"ack_floor\":{\"consumer_seq\":2,\"stream_seq\":4},\"num_ack_pending\":2,\"num_"
        "redelivered\":0,\"num_waiting\":1,\"num_pending\":9}";
    _deinit_(arena) struct arena arena = { 0 };
    struct js_consumer_state state;
    cr_assert_eq(js_parse_consumer_info(reply, strlen(reply), &arena, &state), 0);
    cr_expect_eq(state.delivered_sequence, 6);
    cr_expect_eq(state.acked_sequence, 4);
    cr_expect_eq(state.pending_count, 9);
    cr_expect_eq(state.ack_pending_count, 2);
    cr_expect_eq(state.waiting_count, 1);
    cr_expect_eq(state.start_sequence, 3);
    cr_expect_eq(state.max_ack_pending, 512);
    cr_expect_str_eq(state.ack_policy, "all");
    static const struct {
        const char *text;
        int result;
    } others[] = {
        { "{\"error\":{\"code\":404,\"err_code\":10014,\"description\":\"consumer not found\"}}",
          JS_REFUSED },
        { "{}", -ERR_INVALID },
        { "{\"name\":\"c\",\"config\":{},\"delivered\":{}}", -ERR_INVALID },
        { "{\"name\":\"c\",\"config\":{},\"delivered\":{},\"ack_floor\":{}}", 0 },
        { "{\"name\":\"c\",\"config\":{},\"delivered\":{\"stream_seq\":-5},\"ack_floor\":{}}",
          -ERR_INVALID },
    };
    for (size_t i = 0; i < COUNT(others); i++)
        cr_expect_eq(js_parse_consumer_info(others[i].text, strlen(others[i].text), &arena, &state),
                     others[i].result, "case %zu", i);
    struct js_error error;
    cr_expect_eq(js_parse_success("{\"success\":true}", 16, &arena, &error), 0);
    cr_expect_eq(js_parse_success("{\"success\":false}", 17, &arena, &error), -ERR_INVALID);
    cr_expect_eq(
        js_parse_success("{\"error\":{\"code\":404,\"err_code\":10059}}", 39, &arena, &error),
        JS_REFUSED);
    cr_expect_eq(error.error_code, JS_ERR_STREAM_NOT_FOUND);
}

Test(jetstream, a_stored_message_is_parsed)
{
    static const struct {
        const char *text;
        int result;
        int64_t sequence;
        const char *data;
        const char *header;
    } cases[] = {
        { "{\"message\":{\"subject\":\"evt.order.X\",\"seq\":2,\"hdrs\":"
          "\"TkFUUy8xLjANCmE6IGINCg0K\",\"data\":\"e30=\",\"time\":\"t\"}}",
          0, 2, "{}", "b" },
        { "{\"message\":{\"subject\":\"evt.order.X\",\"seq\":2,\"data\":\"YWJj\"}}", 0, 2, "abc",
          NULL },
        { "{\"message\":{\"subject\":\"evt.order.X\",\"seq\":2,\"data\":\"YQ==\"}}", 0, 2, "a",
          NULL },
        { "{\"message\":{\"subject\":\"evt.order.X\",\"seq\":2}}", 0, 2, "", NULL },
        { "{\"error\":{\"code\":404,\"err_code\":10037,\"description\":\"no message found\"}}",
          JS_REFUSED, 0, NULL, NULL },
        { "{\"message\":{\"subject\":\"x\",\"seq\":0}}", -ERR_INVALID, 0, NULL, NULL },
        { "{}", -ERR_INVALID, 0, NULL, NULL },
        { "{\"message\":{\"subject\":\"x\",\"seq\":1,\"data\":\"e3\"}}", -ERR_INVALID, 0, NULL,
          NULL },
        { "{\"message\":{\"subject\":\"x\",\"seq\":1,\"data\":\"e3!=\"}}", -ERR_INVALID, 0, NULL,
          NULL },
        { "{\"message\":{\"subject\":\"x\",\"seq\":1,\"data\":\"YQ==YQ==\"}}", -ERR_INVALID, 0,
          NULL, NULL },
        { "{\"message\":{\"subject\":\"x\",\"seq\":1,\"data\":\"====\"}}", -ERR_INVALID, 0, NULL,
          NULL },
        { "{\"message\":{\"subject\":\"x\",\"seq\":1,\"hdrs\":\"YWJj\"}}", -ERR_INVALID, 0, NULL,
          NULL },
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        _deinit_(arena) struct arena arena = { 0 };
        struct js_stored_message message = { 0 };
        int r = js_parse_message(cases[i].text, strlen(cases[i].text), &arena, &message);
        cr_expect_eq(r, cases[i].result, "case %zu", i);
        cr_expect_eq(message.sequence, cases[i].sequence, "case %zu", i);
        if (r != 0)
            continue;
        cr_expect_str_eq(message.view.data, cases[i].data);
        cr_expect_eq(message.view.data_length, strlen(cases[i].data));
        const char *header = bus_header_find(&message.view, "A");
        cr_expect(cases[i].header ? header && strcmp(header, cases[i].header) == 0 : !header,
                  "case %zu", i);
    }
}

Test(jetstream, delivery_subjects_are_parsed_in_both_forms)
{
    static const struct {
        const char *reply;
        _Bool fine;
    } cases[] = {
        { "$JS.ACK.ORDER.account-svc.1.22.33.1700000000123456789.44", 1 },
        { "$JS.ACK._.ACCHASH.ORDER.account-svc.1.22.33.1700000000123456789.44", 1 },
        { "$JS.ACK.hub.ACCHASH.ORDER.account-svc.1.22.33.1700000000123456789.44.token", 1 },
        { "$JS.ACK.ORDER.account-svc.1.22.33.1700000000123456789", 0 },
        { "$JS.ACK.ORDER.account-svc.1.x.33.17.44", 0 },
        { "$JS.ACK.ORDER.account-svc.1.-2.33.17.44", 0 },
        { "$JS.ACK.ORDER.account-svc.1..33.17.44", 0 },
        { "$JS.ACK.ORDER.account-svc.1.99999999999999999999.33.17.44", 0 },
        { "$JS.ACK..c.1.22.33.17.44", 0 },
        { "$JS.ACK.1.ORDER.account-svc.1.22.33.17.44", 0 }, /* ten tokens: neither form */
        { "$XS.ACK.ORDER.account-svc.1.22.33.17.44", 0 },
        { "_INBOX.x", 0 },
        { "", 0 },
        { NULL, 0 },
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct js_delivery d = { 0 };
        cr_expect_eq(js_parse_delivery(cases[i].reply, &d), cases[i].fine ? 0 : -ERR_INVALID,
                     "case %zu", i);
        if (!cases[i].fine)
            continue;
        cr_expect_str_eq(d.stream, "ORDER");
        cr_expect_str_eq(d.consumer, "account-svc");
        cr_expect_eq(d.delivered_count, 1);
        cr_expect_eq(d.stream_sequence, 22);
        cr_expect_eq(d.consumer_sequence, 33);
        cr_expect_eq(d.time_ns, 1700000000123456789);
        cr_expect_eq(d.pending_count, 44);
    }
}

/* ---- The server's version -------------------------------------------------------------------- */

Test(jetstream, what_is_known_against_a_server_is_found_by_its_version)
{
    static const struct {
        const char *version;
        int count;
    } cases[] = {
        { "", 3 },       { "2.10.27", 3 }, { "2.11.14", 3 }, { "2.11.15", 2 }, { "2.11.16", 0 },
        { "2.12.5", 3 }, { "2.12.6", 2 },  { "2.12.7", 0 },  { "2.12.12", 0 }, { "2.13.9", 3 },
        { "2.14.0", 0 }, { "2.15.3", 0 },  { "3.0.0", 0 },   { "2.9.25", 3 },
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        int at = 0, count = 0;
        while (server_version_next_advisory(cases[i].version, &at))
            count++;
        cr_expect_eq(count, cases[i].count, "%s: %d", cases[i].version, count);
    }
}

Test(jetstream, the_servers_version_stands_in_the_metadata_of_a_stream)
{
    static const struct {
        const char *reply, *version;
    } cases[] = {
        { "{\"config\":{\"metadata\":{\"_nats.level\":\"4\",\"_nats.ver\":\"2.15.3\"}}}",
          "2.15.3" },
        { "{\"config\":{\"metadata\":{\"_nats.ver\":\"2.12.0-RC.1\"}}}", "2.12.0" },
        { "{\"config\":{\"name\":\"ORDER\"}}", "" },
        { "{\"_nats.ver\":\"2.1", "2.1" },
        { "{\"_nats.ver\":\"11111111111111111111111111111111111111\"}",
          "1111111111111111111111111111111" },
        { "", "" },
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char version[SERVER_VERSION_SIZE];
        server_version_of_info(cases[i].reply, strlen(cases[i].reply), version);
        cr_expect_str_eq(version, cases[i].version);
    }
}

Test(jetstream, a_domain_is_in_the_prefix_of_the_api)
{
    _deinit_(js_request) struct js_request request;
    cr_assert_eq(js_set_domain("hub"), 0);
    js_request_init(&request, NULL);
    cr_assert_eq(js_stream_info(&request, "ORDER"), 0);
    cr_expect_str_eq(request.subject, "$JS.hub.API.STREAM.INFO.ORDER");
    cr_expect_lt(js_set_domain("a.b"), 0);
}
