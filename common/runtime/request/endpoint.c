/* Endpoint: see endpoint.h. */
#include "runtime/request/endpoint.h"
#include "base/clock.h"
#include "base/log.h"
#include "runtime/sync/envelope.h"
#include "runtime/instance.h"
#include "runtime/request/reply.h"
#include "schemas/runtime.rebuild.h"
#include "schemas/runtime.redrive.h"
#include <stdio.h>
#include <string.h>

#define BODY_MAX_BYTES ((size_t)64 * 1024) /* jansson needs up to 80 times the size of its input */
#define MIN_POSITION_WAIT_MS 2000 /* how long a query waits for the positions that it demands */
#define DRAIN_TIMEOUT_MS 2000
#define QUEUE_GROUP "q"

/* ---- A request becomes an item -------------------------------------------------------------- */

/* A header's text in the item's arena; NULL when it is absent. Text that could not become part of
 * an event is refused by name. */
static int take_header(struct item *item, const struct bus_view *view, const char *key,
                       const char **ret_text, struct invalid *ret_invalid)
{
    const char *value = bus_header_find(view, key);
    if (!value)
        return 0;
    if (!envelope_text_is_safe(value)) {
        snprintf(ret_invalid->field, sizeof(ret_invalid->field), "%s", key);
        snprintf(ret_invalid->message, sizeof(ret_invalid->message),
                 "the header must have 1 to 496 bytes of printable UTF-8");
        return REFUSED_INVALID_REQUEST;
    }
    *ret_text = arena_copy(&item->arena, value, strlen(value));
    return *ret_text ? 0 : fail(ERR_MEMORY, "no memory for a request");
}

/* The key becomes the cause of the events; the digest tells another request under the same key. */
static int take_key(struct item *item, const struct bus_view *view, const char *subject)
{
    if (!item->key)
        return 0;
    _deinit_(buf) struct buf text = { 0 };
    buf_put_text(&text, subject);
    buf_put_char(&text, '\n');
    buf_put(&text, view->data, view->data_length);
    struct digest digest;
    int r = buf_status(&text);
    if (r >= 0)
        r = digest_of(text.data, text.length, &digest);
    char *hex = arena_alloc(&item->arena, DIGEST_HEX_SIZE);
    size_t size = strlen(CAUSE_REQUEST) + strlen(item->key) + 1;
    char *cause = arena_alloc(&item->arena, size);
    if (r < 0 || !hex || !cause)
        return fail(ERR_MEMORY, "no memory for a request");
    digest_format(&digest, hex);
    snprintf(cause, size, CAUSE_REQUEST "%s", item->key);
    item->origin.cause = cause;
    item->origin.cause_digest = hex;
    item->origin.causation = item->key;
    return 0;
}

static int take_headers(struct item *item, const struct endpoint *endpoint,
                        const struct bus_view *view, struct invalid *ret_invalid)
{
    int r = take_header(item, view, "Idempotency-Key", &item->key, ret_invalid);
    if (r == 0)
        r = take_header(item, view, "ce-correlationid", &item->origin.correlation, ret_invalid);
    if (r == 0)
        r = take_header(item, view, "traceparent", &item->origin.traceparent, ret_invalid);
    return r == 0 ? take_key(item, view, endpoint->subject) : r;
}

/* A query's min_position, whatever other fields its schema has: by the names of the logs. */
static int take_min_positions(struct item *item, const struct endpoint *endpoint)
{
    const struct service *service = endpoint->instance->service;
    const struct schema_field *field = schema_field(endpoint->request, "min_position");
    const char *demanded = field
                               ? *(const char *const *)((const char *)item->request + field->offset)
                               : NULL;
    if (!demanded)
        return 0;
    int64_t *positions = arena_alloc(&item->arena, (1 + SOURCES_MAX) * sizeof(*positions));
    if (!positions)
        return fail(ERR_MEMORY, "no memory for a request");
    for (int i = 0; i == 0 || (service->sources && service->sources[i - 1].log); i++) {
        const struct schema_field *log =
            schema_field(field->schema, i == 0 ? service->log : service->sources[i - 1].log);
        if (log && *(const _Bool *)(demanded + log->extra_offset))
            positions[i] = *(const int64_t *)(demanded + log->offset);
    }
    item->min_positions = positions;
    item->give_up_ms = clock_monotonic_ms() + MIN_POSITION_WAIT_MS;
    return 0;
}

static int fill_item(struct item *item, const struct endpoint *endpoint,
                     const struct bus_view *view, struct invalid *ret_invalid)
{
    void *request = NULL;
    _Bool empty = view->data_length == 0; /* `nats req order.products ''` */
    item->command = endpoint->command;
    item->query = endpoint->query;
    item->counters = endpoint->counters;
    int r = take_headers(item, endpoint, view, ret_invalid);
    if (r == 0)
        r = schema_decode(endpoint->request, empty ? "{}" : view->data,
                          empty ? 2 : view->data_length, &item->arena, &request, ret_invalid);
    item->request = request;
    if (r == 0 && item->kind == ITEM_QUERY)
        r = take_min_positions(item, endpoint);
    return trace(r);
}

/* ---- On a library thread -------------------------------------------------------------------- */

static int push(struct endpoint *endpoint, struct item *item)
{
    if (item->kind == ITEM_REDRIVE || item->kind == ITEM_REBUILD) {
        sender_operate(&endpoint->instance->sender, item);
        return 0;
    }
    return item->kind == ITEM_QUERY ? readers_push(&endpoint->instance->readers, item)
                                    : inbox_push(&endpoint->instance->inbox, item);
}

static _Bool is_about_log(const struct instance *instance, const struct query_type *query)
{
    return query >= instance->admin.queries &&
           query < instance->admin.queries + sizeof(instance->admin.queries) / sizeof(*query);
}

/* What the runtime answers, to services that heal and to operators, is not held up by how much
 * customers want. */
static _Bool is_limited(const struct endpoint *endpoint)
{
    return endpoint->command ||
           (endpoint->query && !is_about_log(endpoint->instance, endpoint->query));
}

/* 0 when the item is on its way; else the refusal, with its message. */
static enum refusal accept_request(struct endpoint *endpoint, const struct bus_view *view,
                                   const char *reply_to, int64_t received_ns, char *message,
                                   size_t size)
{
    struct instance *instance = endpoint->instance;
    struct invalid invalid = { 0 };
    const char *why;
    enum refusal refusal = status_refuses(&instance->status, instance->config->backlog_max, &why);
    if (endpoint->query && refusal != REFUSED_REPLAYING)
        refusal = 0; /* what only forbids writing does not concern a query */
    if (endpoint->query && is_about_log(instance, endpoint->query) &&
        atomic_load(&instance->status.whole))
        refusal = 0; /* two that catch up on each other must not wait for each other */
    if (view->data_length > BODY_MAX_BYTES) {
        snprintf(message, size, "the body has %zu bytes, at most %zu are taken", view->data_length,
                 BODY_MAX_BYTES);
        return REFUSED_TOO_LARGE;
    }
    if (refusal) {
        snprintf(message, size, "%s", why);
        return refusal;
    }
    _free_(item) struct item *item = item_new(endpoint->kind);
    int r = item ? fill_item(item, endpoint, view, &invalid)
                 : fail(ERR_MEMORY, "no memory for a request");
    if (r == 0 && reply_to &&
        !(item->reply_to = arena_copy(&item->arena, reply_to, strlen(reply_to))))
        r = fail(ERR_MEMORY, "no memory for a request");
    if (r < 0) {
        log_error("request_failed", LOG_TEXT("subject", endpoint->subject),
                  LOG_TEXT("reason", failure_text()));
        snprintf(message, size, "no memory for the request; try again");
        return REFUSED_BUSY;
    }
    if (r > 0) {
        snprintf(message, size, "%s%s%s", invalid.field, *invalid.field ? " " : "",
                 invalid.message);
        return (enum refusal)r;
    }
    item->received_ns = received_ns;
    if (push(endpoint, item) != 0) {
        snprintf(message, size, "the queue is full; try again");
        return REFUSED_BUSY;
    }
    take(item); /* it belongs to the queue now */
    return 0;
}

static void on_request(void *context, struct bus_message *received)
{
    struct endpoint *endpoint = context;
    _free_(bus_message) struct bus_message *message = received;
    int64_t received_ns = clock_monotonic_ns();
    struct bus_view view;
    char why[400];
    const char *reply_to = bus_message_reply(message);
    if (reply_to && !bus_subject_is_inbox(reply_to)) {
        log_warn("reply_subject_refused", LOG_TEXT("subject", endpoint->subject));
        micro_endpoint_count(endpoint->counters, 0, "400:reply subject is not an inbox");
        return;
    }
    enum refusal refusal = bus_message_view(message, &view) == 0 ? 0 : REFUSED_INVALID_REQUEST;
    if (refusal)
        snprintf(why, sizeof(why), "the headers cannot be read");
    else if (is_limited(endpoint))
        refusal = client_rate_refuses(&endpoint->instance->client_rate, &view, received_ns, why,
                                      sizeof(why));
    if (!refusal)
        refusal = accept_request(endpoint, &view, reply_to, received_ns, why, sizeof(why));
    if (refusal)
        reply_refusal(endpoint->instance->bus, reply_to, endpoint->counters, received_ns,
                      refusal_of(refusal), why);
}

/* ---- All endpoints of an instance ----------------------------------------------------------- */

static const char *name_of(const char *subject)
{
    const char *dot = strchr(subject, '.');
    return dot ? dot + 1 : subject;
}

static void add(struct instance *instance, struct endpoint endpoint)
{
    int i = instance->endpoint_count++;
    endpoint.instance = instance;
    endpoint.counters = &instance->counters[i];
    micro_endpoint_init(endpoint.counters, name_of(endpoint.subject), endpoint.subject,
                        QUEUE_GROUP);
    instance->endpoints[i] = endpoint;
}

static size_t count_queries(const struct query_type *queries)
{
    size_t count = 0;
    while (queries && queries[count].subject)
        count++;
    return count;
}

static void add_queries(struct instance *instance, const struct query_type *queries)
{
    for (const struct query_type *q = queries; q && q->subject; q++)
        add(instance,
            (struct endpoint){
                .subject = q->subject, .request = q->request, .kind = ITEM_QUERY, .query = q });
}

int endpoints_create(struct instance *instance)
{
    const struct service *service = instance->service;
    admin_init(&instance->admin, service);
    client_rate_init(&instance->client_rate, instance->config->client_rate_max);
    size_t count = count_queries(service->queries) + count_queries(instance->admin.queries) + 2;
    for (const struct command *c = service->commands; c && c->subject; c++)
        count++;
    instance->endpoints = calloc(count, sizeof(*instance->endpoints));
    instance->counters = calloc(count, sizeof(*instance->counters));
    if (!instance->endpoints || !instance->counters)
        return fail(ERR_MEMORY, "no memory for the endpoints");
    for (const struct command *c = service->commands; c && c->subject; c++)
        add(instance,
            (struct endpoint){
                .subject = c->subject, .request = c->request, .kind = ITEM_COMMAND, .command = c });
    add_queries(instance, service->queries);
    add_queries(instance, instance->admin.queries);
    add(instance, (struct endpoint){ .subject = instance->admin.redrive_subject,
                                     .request = &runtime_redrive_schema,
                                     .kind = ITEM_REDRIVE });
    add(instance, (struct endpoint){ .subject = instance->admin.rebuild_subject,
                                     .request = &runtime_rebuild_schema,
                                     .kind = ITEM_REBUILD });
    return 0;
}

/* The sender subscribes, whenever it finds our log caught up; main drains, whenever a signal
 * comes. What the one made the other must see, and after the first drain nobody may subscribe any
 * more. */
static pthread_mutex_t subscribing = PTHREAD_MUTEX_INITIALIZER;

static int subscribe_missing(struct instance *instance)
{
    for (int i = 0; i < instance->endpoint_count && !instance->endpoints_closed; i++) {
        struct endpoint *endpoint = &instance->endpoints[i];
        if (endpoint->subscription)
            continue;
        int r = bus_subscribe(instance->bus, endpoint->subject, QUEUE_GROUP, on_request, endpoint,
                              &endpoint->subscription);
        if (r < 0)
            return trace(r);
    }
    return 0;
}

int endpoints_subscribe(struct instance *instance)
{
    pthread_mutex_lock(&subscribing);
    int r = subscribe_missing(instance);
    pthread_mutex_unlock(&subscribing);
    return r;
}

/* One bound for all of them: a server that is paused answers none. Without a server there is
 * nothing to drain. */
void endpoints_drain(struct instance *instance)
{
    pthread_mutex_lock(&subscribing);
    instance->endpoints_closed = 1;
    pthread_mutex_unlock(&subscribing);
    int64_t deadline_ms = clock_monotonic_ms() + DRAIN_TIMEOUT_MS;
    for (int i = 0;
         i < instance->endpoint_count && instance->bus && bus_is_connected(instance->bus); i++) {
        int64_t left_ms = deadline_ms - clock_monotonic_ms();
        if (instance->endpoints[i].subscription && left_ms > 0)
            bus_subscription_drain(instance->endpoints[i].subscription, (int)left_ms);
    }
}

void endpoints_free(struct instance *instance)
{
    for (int i = 0; i < instance->endpoint_count; i++) {
        bus_subscription_free(instance->endpoints[i].subscription);
        micro_endpoint_deinit(&instance->counters[i]);
    }
    client_rate_deinit(&instance->client_rate);
    free(instance->endpoints);
    free(instance->counters);
    instance->endpoints = NULL;
    instance->counters = NULL;
    instance->endpoint_count = 0;
}
