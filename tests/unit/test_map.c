/* Map: requests as they arrive in pieces and from strangers; the mesh as its services report it,
 * and when they fall silent; which ids belong to a story, and what is left out of it. */
#include "base/result.h"
#include "map/contracts.h"
#include "map/mesh.h"
#include "map/play.h"
#include "runtime/watch/http_request.h"
#include "map/story_event.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- Requests -------------------------------------------------------------------------------- */

/* Arrives byte by byte: it is read when the last one is there, and not before. */
static int status_of(const char *text, const char *hosts, struct http_request *ret_request)
{
    static char come[HTTP_HEAD_MAX + HTTP_BODY_MAX + 1];
    const size_t length = strlen(text);
    for (size_t i = 0; i < length; i++) {
        memcpy(come, text, i);
        cr_assert(!http_request_read(come, i, hosts, ret_request), "%zu bytes of %s", i, text);
    }
    memcpy(come, text, length);
    cr_assert(http_request_read(come, length, hosts, ret_request), "%s", text);
    return ret_request->status;
}

#define OWN "Host: localhost:1\r\n"
#define TYPE "Content-Type: application/json\r\n"
#define ORIGIN "Origin: http://localhost:1\r\n"

Test(map, a_request_is_read_when_it_is_whole_and_refused_by_name)
{
    static const struct {
        const char *text, *hosts;
        int status;
    } rows[] = {
        { "GET / HTTP/1.1\r\n" OWN "\r\n", "", 0 },
        { "GET / HTTP/1.1\r\nhost:localhost\r\n\r\n", "", 0 },
        { "GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", "", 0 },
        { "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", "", 403 },
        { "GET / HTTP/1.1\r\nHost: map.example:1\r\n\r\n", "other.example,map.example", 0 },
        { "GET / HTTP/1.1\r\nHost: map.example.evil\r\n\r\n", "map.example", 403 },
        { "GET / HTTP/1.1\r\nHost: map\r\n\r\n", "map.example", 403 },
        { "GET / HTTP/1.1\r\nHost: [localhost\r\n\r\n", "", 403 },
        { "GET / HTTP/1.1\r\n\r\n", "", 400 },
        { "GET / HTTP/1.1\r\n" OWN OWN "\r\n", "", 400 },
        { "GET / HTTP/1.1\r\n" OWN "no field\r\n\r\n", "", 400 },
        { "GET nothing HTTP/1.1\r\n" OWN "\r\n", "", 400 },
        { "GET / HTTP/2.0\r\n" OWN "\r\n", "", 505 },
        { "DELETE / HTTP/1.1\r\n" OWN "\r\n", "", 405 },
        { "POST / HTTP/1.1\r\n" OWN TYPE ORIGIN "Content-Length: 2\r\n\r\n{}", "", 0 },
        { "POST / HTTP/1.1\r\n" OWN TYPE "Content-Length: 2\r\n\r\n{}", "", 403 },
        { "POST / HTTP/1.1\r\n" OWN TYPE
          "Origin: http://localhost:2\r\nContent-Length: 2\r\n\r\n{}",
          "", 403 },
        { "POST / HTTP/1.1\r\n" OWN TYPE ORIGIN
          "Sec-Fetch-Site: cross-site\r\nContent-Length: 2\r\n"
          "\r\n{}",
          "", 403 },
        { "POST / HTTP/1.1\r\n" OWN ORIGIN "Content-Length: 2\r\n\r\n{}", "", 415 },
        { "POST / HTTP/1.1\r\n" OWN TYPE ORIGIN "\r\n", "", 411 },
        { "POST / HTTP/1.1\r\n" OWN TYPE ORIGIN "Content-Length: 9999\r\n\r\n", "", 413 },
        { "POST / HTTP/1.1\r\n" OWN TYPE ORIGIN "Content-Length: -1\r\n\r\n", "", 413 },
        { "POST / HTTP/1.1\r\n" OWN TYPE ORIGIN
          "Transfer-Encoding: chunked\r\nContent-Length: 2\r\n"
          "\r\n{}",
          "", 411 },
    };
    struct http_request request;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
        cr_expect_eq(status_of(rows[i].text, rows[i].hosts, &request), rows[i].status, "%s is %d",
                     rows[i].text, request.status);
}

Test(map, a_request_has_path_parameters_and_body)
{
    struct http_request request;
    char value[8];
    cr_assert_eq(
        status_of("GET /story?x=1&id=a%2fb+c&long=123456789 HTTP/1.1\r\n" OWN "\r\n", "", &request),
        0);
    cr_expect_str_eq(request.path, "/story");
    cr_expect(http_request_parameter(&request, "id", value, sizeof(value)));
    cr_expect_str_eq(value, "a/b c");
    cr_expect_not(http_request_parameter(&request, "d", value, sizeof(value)));
    cr_expect_not(http_request_parameter(&request, "long", value, sizeof(value)));
    cr_assert_eq(status_of("POST /play HTTP/1.1\r\n" OWN TYPE ORIGIN "Content-Length: 7\r\n\r\n"
                           "{\"a\":1}",
                           "", &request),
                 0);
    cr_expect(request.is_post);
    cr_expect_str_eq(request.body, "{\"a\":1}");
}

/* ---- The mesh -------------------------------------------------------------------------------- */

static void hear(struct mesh *mesh, const char *name, const char *id, const char *log,
                 const char *more, int requests, int64_t now_ms)
{
    char text[2048];
    snprintf(text, sizeof(text),
             "{\"name\":\"%s\",\"id\":\"%s\",\"metadata\":{\"log\":\"%s\",\"prefix\":\"p\","
             "\"host\":\"here\"},\"endpoints\":[{\"name\":\"place\",\"num_requests\":%d,"
             "\"num_errors\":0,\"data\":{\"state\":\"ready\",\"role\":\"leading\",%s}},"
             "{\"name\":\"events\",\"num_requests\":999}]}",
             name, id, log, requests, more);
    cr_assert_eq(mesh_take_statistics(mesh, text, strlen(text), now_ms), 0, "%s", text);
}

Test(map, rates_are_of_the_journeys_between_two_looks)
{
    _deinit_(mesh) struct mesh mesh = { 0 };
    hear(&mesh, "order-svc", "A", "ORDER", "\"position\":1", 1000, 1000);
    cr_expect_eq(mesh_find(&mesh, "order-svc")->instances[0].request_rate, 0);
    hear(&mesh, "order-svc", "A", "ORDER", "\"position\":1", 1200, 3000);
    cr_expect_eq(mesh_find(&mesh, "order-svc")->instances[0].request_rate, 100);
    /* it has started again: what it has counted is less */
    hear(&mesh, "order-svc", "A", "ORDER", "\"position\":1", 5, 4000);
    cr_expect_eq(mesh_find(&mesh, "order-svc")->instances[0].request_rate, 0);
}

Test(map, a_silent_service_keeps_its_place_and_what_waits_for_it_grows)
{
    _deinit_(mesh) struct mesh mesh = { 0 };
    _deinit_(buf) struct buf out = { 0 };
    const char *reads = "\"sources\":{\"ORDER\":{\"cursor\":10,\"lag\":1,\"state\":\"pulling\"}}";
    hear(&mesh, "account-svc", "A", "ACCOUNT", reads, 0, 1000);
    hear(&mesh, "order-svc", "B", "ORDER", "\"published\":11", 0, 1000);
    cr_expect_not(mesh_look(&mesh, 1000 + MESH_SILENT_MS));
    struct mesh_service *account = mesh_find(&mesh, "account-svc");
    cr_expect_eq(mesh_lag(&mesh, account, &account->sources[0]), 1);
    hear(&mesh, "order-svc", "B", "ORDER", "\"published\":50", 0, 2000);
    cr_expect(mesh_look(&mesh, 2000));
    cr_expect_not(mesh_look(&mesh, 2000), "nothing has changed");
    cr_expect_eq(account->silent_since_ms, 1000);
    cr_expect_eq(mesh_lag(&mesh, account, &account->sources[0]), 40);
    mesh_note(&mesh, 2000);
    cr_expect_not(account->history[0].up);
    cr_expect_eq(account->history[0].lag, 40);
    /* it starts again, with another id, in the same place */
    hear(&mesh, "account-svc", "C", "ACCOUNT", reads, 0, 2100);
    cr_expect(mesh_look(&mesh, 2100));
    cr_expect_eq(account->instance_count, 1);
    cr_expect_str_eq(account->instances[0].id, "C");
    cr_expect_eq(account->silent_since_ms, 0);
    mesh_write(&mesh, 2100, &out);
    cr_expect(strstr(out.data, "\"name\":\"account-svc\"") < strstr(out.data, "\"order-svc\""));
}

Test(map, the_leader_speaks_for_a_service_and_a_standby_does_not_lead)
{
    _deinit_(mesh) struct mesh mesh = { 0 };
    hear(&mesh, "order-svc", "A", "ORDER", "\"role\":\"leading\",\"position\":7", 0, 1000);
    hear(&mesh, "order-svc", "B", "ORDER", "\"position\":6", 0, 1000);
    struct mesh_service *order = mesh_find(&mesh, "order-svc");
    strcpy(order->instances[1].role, "standby");
    cr_expect_str_eq(mesh_leading(order)->id, "A");
    cr_expect(mesh_is_led(order));
    order->instances[0].silent = 1;
    cr_expect_str_eq(mesh_leading(order)->id, "B");
    cr_expect_not(mesh_is_led(order));
}

Test(map, what_is_no_service_of_the_mesh_and_one_too_many_are_left_out)
{
    _deinit_(mesh) struct mesh mesh = { 0 };
    char text[256];
    static const char *const wrong[] = {
        "",
        "[]",
        "{",
        "{\"name\":\"a\",\"id\":\"b\"}",
        "{\"name\":\"a.b\",\"id\":\"b\",\"metadata\":{\"log\":\"L\",\"prefix\":\"p\"}}",
        "{\"name\":\"a\",\"id\":\"b\",\"metadata\":{\"log\":\"L\",\"prefix\":\"$JS.API\"}}",
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
        cr_expect_eq(mesh_take_ping(&mesh, wrong[i], strlen(wrong[i]), 1), -ERR_INVALID, "%s",
                     wrong[i]);
    for (int i = 0; i <= MESH_SERVICES_MAX; i++) {
        snprintf(text, sizeof(text),
                 "{\"name\":\"s%d\",\"id\":\"b\",\"metadata\":{\"log\":\"L%d\",\"prefix\":\"p\"}}",
                 i, i);
        cr_expect_eq(mesh_take_ping(&mesh, text, strlen(text), 1),
                     i < MESH_SERVICES_MAX ? 0 : -ERR_MEMORY);
    }
    cr_expect_eq(mesh.left_out, 1);
    for (int i = 0; i <= MESH_INSTANCES_MAX; i++) {
        snprintf(text, sizeof(text),
                 "{\"name\":\"s0\",\"id\":\"i%d\",\"metadata\":{\"log\":\"L0\",\"prefix\":\"p\"}}",
                 i);
        (void)mesh_take_ping(&mesh, text, strlen(text), 1);
    }
    cr_expect_eq(mesh_find(&mesh, "s0")->instance_count, MESH_INSTANCES_MAX);
}

Test(map, percentiles_lie_within_their_bucket)
{
    double rates[MESH_BUCKETS] = { 0 };
    cr_expect(mesh_percentile_ms(rates, 0.5) < 0);
    rates[3] = 100; /* all took 2.5 to 5 ms */
    cr_expect_float_eq(mesh_percentile_ms(rates, 0.5), 3.75, 0.001);
    rates[6] = 100; /* as many 25 to 50 ms */
    cr_expect_float_eq(mesh_percentile_ms(rates, 0.5), 5, 0.001);
    cr_expect_float_eq(mesh_percentile_ms(rates, 0.99), 49.5, 0.001);
    rates[MESH_BUCKETS - 1] = 1000; /* longer than all bounds */
    cr_expect_float_eq(mesh_percentile_ms(rates, 0.99), 10000, 0.001);
}

Test(map, events_are_counted_by_type_from_what_the_stream_has)
{
    _deinit_(mesh) struct mesh mesh = { 0 };
    hear(&mesh, "order-svc", "A", "ORDER", "\"position\":1", 0, 1000);
    const char *first =
                   "{\"state\":{\"messages\":4,\"last_seq\":4,\"subjects\":{\"evt.order.OrderPl"
                   "aced\":4}}}",
               *second = "{\"state\":{\"messages\":9,\"last_seq\":9,\"subjects\":{\"evt.order.Order"
                         "Placed\":6,\"evt.order.OrderPaid\":3}}}",
               *gone = "{\"error\":{\"code\":404,\"err_code\":10059}}";
    struct mesh_stream *stream = &mesh_find(&mesh, "order-svc")->stream;
    cr_assert_eq(mesh_take_stream(&mesh, "ORDER", first, strlen(first), 1000), 0);
    cr_expect_eq(stream->types[0].rate, 0);
    cr_assert_eq(mesh_take_stream(&mesh, "ORDER", second, strlen(second), 2000), 0);
    cr_expect_eq(stream->rate, 5);
    cr_expect_str_eq(stream->types[0].name, "OrderPlaced");
    cr_expect_eq(stream->types[0].rate, 2);
    cr_expect_eq(stream->types[1].rate, 3);
    cr_assert_eq(mesh_take_stream(&mesh, "ORDER", gone, strlen(gone), 3000), 0);
    cr_expect(stream->missing);
    cr_expect_eq(mesh_take_stream(&mesh, "NONE", first, strlen(first), 3000), -ERR_INVALID);
}

/* ---- Stories --------------------------------------------------------------------------------- */

#define ORDER_ID "ord_019abc12-3456-7def-8123-456789abcdef"
#define ACCOUNT_ID "acc_019abc12-0000-7def-8123-456789abcdef"

static struct story_event event_of(const char *type, const char *entity, const char *correlation,
                                   const char *data)
{
    return (struct story_event){ .type = type,
                                 .id = "e1",
                                 .entity = entity,
                                 .time = "2026-11-23T05:40:00.123Z",
                                 .correlation = correlation,
                                 .causation = "",
                                 .cause = "request/key-1",
                                 .trace = "",
                                 .position = 1,
                                 .data = json_text_of(data, strlen(data)) };
}

Test(map, a_story_of_an_order_takes_its_consequences_and_its_cards)
{
    struct story_scope scope;
    struct story_event placed = event_of("OrderPlaced", ORDER_ID, "c1",
                                         "{\"order_id\":\"" ORDER_ID
                                         "\",\"account_id\":\"" ACCOUNT_ID
                                         "\",\"card_id\":\"crd_1\"}"),
                       added = event_of("CardAdded", ACCOUNT_ID, "c2",
                                        "{\"account_id\":\"" ACCOUNT_ID
                                        "\",\"card_id\":\"crd_1\"}"),
                       other = event_of("CardAdded", ACCOUNT_ID, "c3",
                                        "{\"account_id\":\"" ACCOUNT_ID
                                        "\",\"card_id\":\"crd_2\"}"),
                       foreign = event_of("OrderPlaced", "ord_2", "c4", "{\"order_id\":\"ord_2\"}");
    story_scope_init(&scope, ORDER_ID);
    cr_expect_eq(story_scope_begin_ms(&scope), 0x019abc123456);
    story_scope_find(&scope, &foreign);
    story_scope_find(&scope, &placed);
    cr_expect_eq(scope.orders.count, 1);
    cr_expect_eq(story_scope_begin_ms(&scope), 0x019abc120000, "the account is older");
    cr_expect(story_scope_knows(&scope, &placed) && story_scope_tells(&scope, &placed));
    cr_expect(story_scope_knows(&scope, &added) && story_scope_tells(&scope, &added));
    cr_expect(story_scope_knows(&scope, &other) && !story_scope_tells(&scope, &other));
    cr_expect_not(story_scope_knows(&scope, &foreign));
    story_scope_init(&scope, "key-1");
    story_scope_find(&scope, &placed);
    cr_expect_eq(scope.correlations.count, 1, "found by its idempotency key");
}

Test(map, a_story_leaves_out_what_is_personal)
{
    _deinit_(buf) struct buf out = { 0 };
    struct story_event event =
        event_of("OrderPlaced", "x", "c",
                 "{\"order_id\":\"o1\",\"name\":\"Ada\",\"email\":\"a@b\",\"card_token\":\"tok_"
                 "ok\",\"last4\":"
                 "\"4242\",\"ship_to\":{\"name\":\"Ada\",\"city\":\"Paris\"},\"lines\":[{\"name\":"
                 "\"Tea\"},{}],"
                 "\"total\":{\"amount\":900,\"currency\":\"EUR\",\"note\":\"Ada\"},\"attempt\":2,"
                 "\"reason\":\"declined\",\"street\":\"Main\",\"long_id\":[1]}");
    story_event_put(&event, "ORDER", 1, &out);
    const char *data = strstr(out.data, "\"data\":");
    cr_expect_str_eq(data, "\"data\":{\"order_id\":\"o1\",\"lines\":2,\"total\":{\"amount\":900,"
                           "\"currency\":\"EUR\"},\"attempt\":2,\"reason\":\"declined\"}}");
}

/* ---- Play ------------------------------------------------------------------------------------ */

Test(map, only_the_loopback_is_played_with)
{
    static const struct {
        const char *http, *server;
        int result;
    } rows[] = {
        { "127.0.0.1:9180", "nats://127.0.0.1:4222", 0 },
        { "[::1]:9180", "nats://localhost:4222,tls://[::1]:1", 0 },
        { ":9180", "nats://127.0.0.1:4222", -ERR_CONFIG },
        { "0.0.0.0:9180", "nats://127.0.0.1:4222", -ERR_CONFIG },
        { "127.0.0.1:9180", "nats://10.0.0.1:4222", -ERR_CONFIG },
        { "127.0.0.1:9180", "nats://127.0.0.1:1,nats://mesh.example:4222", -ERR_CONFIG },
        { "127.0.0.1:9180", "nats://127.evil.example:4222", -ERR_CONFIG },
        { "127.0.0.1:9180", "nats://127.0.0.1:4222@evil.example", -ERR_CONFIG },
        { "localhost.evil.example:1", "nats://127.0.0.1:4222", -ERR_CONFIG },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        const struct options options = { .http = rows[i].http, .server = rows[i].server };
        cr_expect_eq(play_check(&options), rows[i].result, "%s %s", rows[i].http, rows[i].server);
    }
}

/* ---- What events mean ------------------------------------------------------------------------ */

static const char *write_file(const char *text)
{
    static char path[32];
    strcpy(path, "/tmp/contract.XXXXXX");
    int fd = mkstemp(path);
    cr_assert(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
    return path;
}

Test(map, a_contract_says_what_the_events_of_a_service_mean)
{
    _deinit_(buf) struct buf none = { 0 }, one = { 0 }, wrong = { 0 };
    cr_assert_eq(contracts_read(NULL, &none), 0);
    cr_expect_str_eq(none.data, "{}");
    const char *path = write_file(
        "{\"contract\": 1, \"log\": \"LOYALTY\", \"events\": [{\"name\": \"PointsEarned\", "
        "\"schema\": \"evt.points\"}, {\"name\": \"Bare\", \"schema\": \"evt.bare\"}, "
        "{\"name\": \"Ended\", \"schema\": \"evt.ended\"}], \"schemas\": {\"evt.ended\": "
        "{\"description\": \"Over.\"}, \"evt.bare\": {}, \"evt.points\": {\"description\": "
        "\"Two \\\"points\\\" more.\"}}}");
    cr_assert_eq(contracts_read(path, &one), 0, "%s", failure_text());
    cr_expect_str_eq(one.data, "{\"LOYALTY\":{\"PointsEarned\":\"Two \\\"points\\\" more.\","
                               "\"Ended\":\"Over.\"}}");
    unlink(path);
    path = write_file("{\"log\": \"LOYALTY\"}");
    cr_expect_eq(contracts_read(path, &wrong), -ERR_CONFIG);
    cr_expect(strstr(failure_reason(), path), "%s", failure_reason());
    unlink(path);
    cr_expect_eq(contracts_read(path, &wrong), -ERR_CONFIG, "it is gone");
}
