/* Service table: faults in the table of a service are named at the start. */
#include "base/result.h"
#include "runtime/core/service_table.h"
#include "runtime/request/endpoint.h"
#include "work.h"
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

static int ask_for(struct journey *j, const struct work *work)
{
    (void)j;
    (void)work;
    return 0;
}
static int find(struct journey *j, struct work_page *page)
{
    (void)j;
    (void)page;
    return 0;
}
static int mark_read(struct journey *j, int64_t *ret_place)
{
    (void)j;
    (void)ret_place;
    return 0;
}

// clang-format off: tables
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
    { REFUSED_OWN,     "tired",   503, 1 },
    { REFUSED_OWN + 1, "too_old", 422, 0 },
    { 0 },
};
static const struct event_type events[] = {
    { &schema, "Added",    apply, NULL },
    { &schema, "Ended",    apply, NULL },
    { &schema, "Ended.v2", apply, NULL },
    { 0 },
};
static const struct source sources[] = {
    { .log = "OTHER", .service = "other-svc", .prefix = "other", .events = events },
    { 0 },
};
static const struct call_type calls[] = {
    { "bank.pay",  &schema, &schema },
    { "bank.void", &schema, &schema },
    { 0 },
};
// clang-format on

static const struct work_source plain_sources[] = { { .find = find }, { 0 } };
static const struct work_type pay = { .name = "pay", .sources = plain_sources, .ask = ask_for };
static const struct work_type expire = { .name = "expire", .expired = ask_for };
static const struct work_type *const work[] = { &pay, &expire, NULL };

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
    .work = work,
};

static void complains(struct service service, const char *what)
{
    cr_expect_eq(service_check(&service), -ERR_INTERNAL, "not found: %s", what);
    cr_expect(strstr(failure_reason(), what), "%s is not %s", failure_reason(), what);
}

Test(service_table, a_correct_table_passes)
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

Test(service_table, each_fault_of_a_table_is_named)
{
    // clang-format off: a table
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
    // clang-format on
    static const struct schema text = { .shape = SHAPE_TEXT };
    static const struct schema_field fields[] = { { .name = "whose", .schema = &text } };
    static const struct schema of_account = {
        .name = "x", .fields = fields, .field_count = 1, .account = "whose"
    };
    static const struct schema of_nobody = {
        .name = "x", .fields = fields, .field_count = 1, .account = "who"
    };
    // clang-format off: a table
    complains(CHANGED(command, commands, { "test.add", &of_nobody, &schema, decide, answer }),
              "test.add has no text who, which x-account names");
    complains(CHANGED(command, commands, { "test", &of_account, &schema, decide, answer }),
              "test.* for accounts would take other requests");
    complains(CHANGED(command, commands, { "test.a", &of_account, &schema, decide, answer },
                      { "test.a.b", &schema, &schema, decide, answer }),
              "test.a.* for accounts would take other requests");
    // clang-format on
    static const struct event_type read[] = { { NULL, "Added", apply, NULL }, { 0 } };
    complains(CHANGED(source, sources, { .log = "OTHER", .events = read }), "the event Added");
}

#define WORK(...)                                                            \
    ({                                                                       \
        static const struct work_type *const changed[] = { __VA_ARGS__, 0 }; \
        struct service service_ = whole;                                     \
        service_.work = changed;                                             \
        service_;                                                            \
    })

Test(service_table, each_fault_of_a_work_type_is_named)
{
    static const struct work_source half[] = { { .find = find, .mark_read = mark_read }, { 0 } };
    static const struct work_source five[] = {
        { .find = find }, { .find = find }, { .find = find },
        { .find = find }, { .find = find }, { 0 },
    };
    static const struct work_type useless = { .name = "useless" };
    static const struct work_type nameless = { .ask = ask_for };
    static const struct work_type marked = { .name = "marked", .sources = half, .ask = ask_for };
    static const struct work_type many = { .name = "many", .sources = five, .ask = ask_for };
    static const struct work_type n[] = {
        { .name = "0", .ask = ask_for }, { .name = "1", .ask = ask_for },
        { .name = "2", .ask = ask_for }, { .name = "3", .ask = ask_for },
        { .name = "4", .ask = ask_for }, { .name = "5", .ask = ask_for },
        { .name = "6", .ask = ask_for }, { .name = "7", .ask = ask_for },
    };
    complains(WORK(&useless), "work useless lacks ask and expired");
    complains(WORK(&pay, &nameless), "lacks ask and expired");
    complains(WORK(&pay, &expire, &pay), "work pay is there twice");
    complains(WORK(&marked), "a source of marked has half a mark");
    complains(WORK(&many), "work many has 5 sources");
    complains(WORK(&n[0], &n[1], &n[2], &n[3], &n[4], &n[5], &n[6], &n[7], &pay),
              "test-svc has too many types of work");
}

static int accept_none(void *context, struct item *item)
{
    (void)context;
    (void)item;
    return REFUSED_BUSY;
}

/* `subject` as the runtime's: 0, or what endpoints_open fails with. */
static int open_beside(const char *subject)
{
    const struct service service = { .name = "test", .prefix = "test", .commands = commands };
    const struct operator_request own[] = {
        { .subject = subject, .request = &schema, .reply = &schema, .kind = ITEM_STATUS }, { 0 }
    };
    const struct endpoint_sink sink = { .accept = accept_none };
    const struct status status = { 0 };
    const struct endpoints_options options = {
        .service = &service,
        .operator_requests = own,
        .bus = (struct bus *)&status, /* is not used before something is subscribed */
        .status = &status,
        .backlog_max = 1,
        .commands = sink,
        .queries = sink,
        .operators = sink,
        .of_status = sink,
    };
    struct endpoints endpoints;
    int r = endpoints_open(&endpoints, &options);
    endpoints_free(&endpoints);
    return r;
}

Test(service_table, a_request_with_the_name_of_one_of_the_runtime_is_named)
{
    cr_assert_eq(open_beside("test.status"), 0);
    cr_assert_eq(open_beside("test.end"), -ERR_CONFIG);
    cr_assert(strstr(failure_text(), "test.end is a request of the runtime's own"), "%s",
              failure_text());
}
