/* Service table: what a service's table of contents must not say is named at the start. */
#include "base/result.h"
#include "runtime/core/service_table.h"
#include <criterion/criterion.h>
#include <string.h>

static const struct schema schema = { .name = "test" };

static int apply(struct db *db, const struct event *event)
{
    (void)db;
    (void)event;
    return 0;
}
static int decide(struct journey *j, const void *request)
{
    (void)j;
    (void)request;
    return 0;
}
static void answer(const struct event *event, void *ret_reply)
{
    (void)event;
    (void)ret_reply;
}
static int ask(struct journey *j, const void *request, void *ret_reply)
{
    (void)j;
    (void)request;
    (void)ret_reply;
    return 0;
}

/* clang-format off: tables */
static const struct command commands[] = {
    { "test.add", &schema, &schema, decide, answer },
    { "test.end", &schema, &schema, decide, answer },
    { 0 },
};
static const struct query_type queries[] = {
    { "test.get", &schema, &schema, ask },
    { 0 },
};
static const struct refusal_type refusals[] = {
    { REFUSED_OWN, "tired", 503, 1 },
    { REFUSED_OWN + 1, "too_old", 422, 0 },
    { 0 },
};
static const struct event_type events[] = {
    { &schema, "Added", apply, NULL },
    { &schema, "Ended", apply, NULL },
    { &schema, "Ended.v2", apply, NULL },
    { 0 },
};
static const struct source sources[] = {
    { .log = "OTHER", .service = "other-svc", .prefix = "other", .events = events },
    { 0 },
};
static const struct call_type calls[] = {
    { "bank.pay", &schema, &schema },
    { "bank.void", &schema, &schema },
    { 0 },
};
/* clang-format on */

static const struct service whole = {
    .name = "test-svc",
    .log = "TEST",
    .prefix = "test",
    .commands = commands,
    .queries = queries,
    .refusals = refusals,
    .events = events,
    .sources = sources,
    .calls = calls,
};

static void complains(struct service service, const char *what)
{
    cr_expect_eq(service_check(&service), -ERR_INTERNAL, "not found: %s", what);
    cr_expect(strstr(failure_reason(), what), "%s is not %s", failure_reason(), what);
}

Test(service_table, nothing_is_wrong)
{
    cr_assert_eq(service_check(&whole), 0, "%s", failure_reason());
    const struct service bare = { .events = events };
    cr_assert_eq(service_check(&bare), 0, "%s", failure_reason());
}

#define CHANGED(kind, field, ...)                                    \
    ({                                                               \
        static const struct kind changed[] = { __VA_ARGS__, { 0 } }; \
        struct service service_ = whole;                             \
        service_.field = changed;                                    \
        service_;                                                    \
    })

Test(service_table, what_is_wrong_is_named)
{
    /* clang-format off: a table */
    complains(CHANGED(refusal_type, refusals, { REFUSED_BUSY, "tired", 503, 1 }),
              "the refusal tired has the number 11 of the runtime");
    complains(CHANGED(refusal_type, refusals, { 0, "tired", 503, 1 }), "the number 0");
    complains(CHANGED(refusal_type, refusals, { REFUSED_OWN, "tired", 200, 1 }),
              "the refusal tired has the status 200");
    complains(CHANGED(refusal_type, refusals, { 100, "a", 422, 0 }, { 100, "b", 422, 0 }),
              "the refusal b has the number of another");
    complains(CHANGED(command, commands, { "test.add", &schema, &schema, decide, NULL }),
              "test.add lacks a schema or a function");
    complains(CHANGED(command, commands, { "test.get", &schema, &schema, decide, answer }),
              "test.get is answered twice");
    complains(CHANGED(query_type, queries, { "test.get", NULL, &schema, ask }),
              "test.get lacks a schema or a function");
    complains(CHANGED(event_type, events, { &schema, "Added", NULL, NULL }),
              "the event Added lacks its schema or its apply");
    complains(
        CHANGED(event_type, events, { &schema, "A", apply, NULL }, { &schema, "A", apply, NULL }),
        "the event A is there twice");
    complains(CHANGED(event_type, events, { &schema, "Added.v1", apply, NULL }),
              "Added.v1 is no name of an event");
    complains(CHANGED(call_type, calls, { "bank.pay", &schema, NULL }),
              "the call bank.pay lacks a schema");
    complains(CHANGED(call_type, calls, { "b", &schema, &schema }, { "b", &schema, &schema }),
              "the call b is there twice");
    /* clang-format on */
    static const struct event_type read[] = { { NULL, "Added", apply, NULL }, { 0 } };
    complains(CHANGED(source, sources, { .log = "OTHER", .events = read }), "the event Added");
}
