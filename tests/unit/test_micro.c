/* Micro: the texts of the micro services protocol (ADR-32). */
#include "runtime/request/micro.h"
#include "base/result.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#define COUNT(table) (sizeof(table) / sizeof(*(table)))

/* context: how often it was asked for */
static void put_sample_data(void *context, struct buf *out)
{
    ++*(int *)context;
    buf_put_text(out, "{\"lag\":3}");
}

static void put_no_data(void *context, struct buf *out)
{
    (void)context;
    (void)out;
}

Test(micro, answers_follow_adr_32)
{
    static const struct {
        enum micro_verb verb;
        const char *text;
    } cases[] = {
        { MICRO_PING, "{\"type\":\"io.nats.micro.v1.ping_response\",\"name\":\"order-svc\",\"id\":"
                      "\"X1\",\"version\":\"0.1.0\","
                      "\"metadata\":{\"log\":\"ORDER\"}}" },
        { MICRO_INFO,
          "{\"type\":\"io.nats.micro.v1.info_response\",\"name\":\"order-svc\",\"id\":\"X1\","
          "\"version\":\"0.1.0\","
          "\"metadata\":{\"log\":\"ORDER\"},\"description\":\"a \\\"b\\\"\",\"endpoints\":["
          "{\"name\":\"place\",\"subject\":\"order.place\",\"queue_group\":\"q\",\"metadata\":"
          "{\"kind\":\"command\",\"request_schema\":\"order.place\"}},"
          "{\"name\":\"get\",\"subject\":\"order.get\",\"queue_group\":\"q\",\"metadata\":{}}]}" },
        { MICRO_STATS,
          "{\"type\":\"io.nats.micro.v1.stats_response\",\"name\":\"order-svc\",\"id\":\"X1\","
          "\"version\":\"0.1.0\","
          "\"metadata\":{\"log\":\"ORDER\"},\"started\":\"2026-11-23T05:40:00.123Z\",\"endpoints\":"
          "["
          "{\"name\":\"place\",\"subject\":\"order.place\",\"queue_group\":\"q\",\"num_requests\":"
          "2,\"num_errors\":1,"
          "\"last_error\":\"422:out_of_stock\",\"processing_time\":1000,\"average_processing_"
          "time\":500,\"data\":{\"lag\":3}},"
          "{\"name\":\"get\",\"subject\":\"order.get\",\"queue_group\":\"q\",\"num_requests\":0,"
          "\"num_errors\":0,"
          "\"last_error\":\"\",\"processing_time\":0,\"average_processing_time\":0}]}" },
    };
    int asked = 0;
    struct micro_endpoint endpoints[2];
    micro_endpoint_init(&endpoints[0], "place", "order.place", "q");
    micro_endpoint_init(&endpoints[1], "get", "order.get", "q");
    endpoints[0].kind = "command";
    endpoints[0].request_schema = "order.place";
    micro_endpoint_count(&endpoints[0], 400, NULL);
    micro_endpoint_count(&endpoints[0], 600, "422:out_of_stock");
    struct micro micro = {
        .name = "order-svc",
        .id = "X1",
        .version = "0.1.0",
        .description = "a \"b\"",
        .started_ms = 1795412400123,
        .metadata = (struct micro_metadata[]){ { "log", "ORDER" }, { 0 } },
        .endpoints = endpoints,
        .endpoint_count = 2,
        .data = put_sample_data,
        .context = &asked,
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        _deinit_(buf) struct buf out = { 0 };
        cr_assert_eq(micro_write(&micro, cases[i].verb, &out), 0);
        cr_expect_str_eq(out.data, cases[i].text, "%s", out.data);
    }
    cr_expect_eq(asked, 1, "once an answer, and for STATS only");
    _deinit_(buf) struct buf out = { 0 };
    micro.data = put_no_data;
    cr_assert_eq(micro_write(&micro, MICRO_STATS, &out), 0);
    cr_expect_null(strstr(out.data, "\"data\""), "%s", out.data);
    micro_endpoint_deinit(&endpoints[0]);
    micro_endpoint_deinit(&endpoints[1]);
}

Test(micro, an_instance_has_nine_subjects)
{
    static const char *const subjects[MICRO_SUBJECTS] = {
        "$SRV.PING",  "$SRV.PING.order-svc",  "$SRV.PING.order-svc.X1",
        "$SRV.INFO",  "$SRV.INFO.order-svc",  "$SRV.INFO.order-svc.X1",
        "$SRV.STATS", "$SRV.STATS.order-svc", "$SRV.STATS.order-svc.X1",
    };
    struct micro micro = { .name = "order-svc", .id = "X1" };
    for (int i = 0; i < MICRO_SUBJECTS; i++) {
        char subject[BUS_SUBJECT_MAX + 1];
        cr_assert_eq(micro_subject(&micro, i, subject), 0);
        cr_expect_str_eq(subject, subjects[i]);
    }
}

Test(micro, names_that_the_nats_cli_rejects_are_refused)
{
    static const struct {
        const char *name, *version, *endpoint;
        int result;
    } cases[] = {
        { "order-svc", "0.1.0", "place", 0 },
        { "order-svc", "1.2.3-rc.1+b5", "add-product", 0 },
        { "a", "10.20.30", "b_c", 0 },
        { "order.svc", "0.1.0", "place", -ERR_CONFIG },
        { "", "0.1.0", "place", -ERR_CONFIG },
        { "order-svc", "0.1.0", "order.place", -ERR_CONFIG },
        { "order-svc", "0.1", "place", -ERR_CONFIG },
        { "order-svc", "v0.1.0", "place", -ERR_CONFIG },
        { "order-svc", "0.1.0-", "place", -ERR_CONFIG },
        { "order-svc", "0.1.0 x", "place", -ERR_CONFIG },
        { "order-svc", "", "place", -ERR_CONFIG },
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        _deinit_(micro_endpoint) struct micro_endpoint endpoint;
        micro_endpoint_init(&endpoint, cases[i].endpoint, "x", "q");
        struct micro micro = { .name = cases[i].name,
                               .version = cases[i].version,
                               .endpoints = &endpoint,
                               .endpoint_count = 1 };
        cr_expect_eq(micro_check(&micro), cases[i].result, "case %zu", i);
    }
}
