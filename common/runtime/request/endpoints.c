/* Endpoints: all of an instance; see endpoint.h. */
#include "base/clock.h"
#include "contract/values.h"
#include "runtime/request/endpoint.h"
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DRAIN_TIMEOUT_MS 2000
#define LEAVE_TIMEOUT_MS 500 /* on the sender's thread */
#define QUEUE_GROUP "q"

static const char *name_of(const char *subject)
{
    const char *dot = strchr(subject, '.');
    return dot ? dot + 1 : subject;
}

/* For whoever looks on with NATS' tools. */
static void describe(const struct endpoint *endpoint)
{
    struct micro_endpoint *shown = endpoint->counters;
    const struct schema *reply = endpoint->command ? endpoint->command->reply
                                 : endpoint->query ? endpoint->query->reply
                                                   : NULL;
    _Bool is_of_service = endpoint->command || (endpoint->query && !endpoint->is_about_log);
    shown->kind = !is_of_service ? "runtime" : endpoint->command ? "command" : "query";
    shown->description = endpoint->request->description;
    shown->request_schema = endpoint->request->name;
    shown->response_schema = reply ? reply->name : NULL;
}

static void add(struct endpoints *endpoints, struct endpoint endpoint)
{
    int i = endpoints->count++;
    assert(endpoint.subject && endpoint.request && endpoint.sink->accept);
    assert((endpoint.kind == ITEM_COMMAND) == (endpoint.command != NULL));
    assert((endpoint.kind == ITEM_QUERY) == (endpoint.query != NULL));
    endpoint.all = endpoints;
    endpoint.values_max = schema_values_max(endpoint.request);
    endpoint.counters = &endpoints->counters[i];
    micro_endpoint_init(endpoint.counters,
                        endpoint.name ? endpoint.name : name_of(endpoint.subject), endpoint.subject,
                        QUEUE_GROUP);
    describe(&endpoint);
    endpoints->list[i] = endpoint;
}

static char *append(struct arena *arena, const char *text, const char *more)
{
    size_t size = strlen(text) + strlen(more) + 1;
    char *whole = arena_alloc(arena, size);
    if (whole)
        snprintf(whole, size, "%s%s", text, more);
    return whole;
}

/* Beside a plain endpoint one for the same request on the subject of an account. */
static int add_account_subject(struct endpoints *endpoints, struct endpoint plain)
{
    struct account_request *account = NULL;
    int r = account_request_make(plain.request, &endpoints->arena, &account);
    const char *subject = append(&endpoints->arena, plain.subject, ACCOUNT_WILDCARD);
    const char *name = append(&endpoints->arena, name_of(plain.subject), "-account");
    if (r < 0 || !subject || !name)
        return fail(ERR_MEMORY, "no memory for the endpoints");
    plain.subject = subject;
    plain.name = name;
    plain.request = &account->schema;
    plain.account = account;
    add(endpoints, plain);
    return 0;
}

static int add_account_subjects(struct endpoints *endpoints)
{
    int r = 0, plain_count = endpoints->count;
    for (int i = 0; r == 0 && i < plain_count; i++)
        if (endpoints->list[i].request->account)
            r = add_account_subject(endpoints, endpoints->list[i]);
    return trace(r);
}

static size_t count_queries(const struct query_type *queries)
{
    size_t count = 0;
    for (const struct query_type *q = queries; q && q->subject; q++)
        count += 1 + (q->request->account != NULL);
    return count;
}

static _Bool is_events(const char *subject)
{
    const char *verb = strrchr(subject, '.');
    return verb && strcmp(verb, ".events") == 0;
}

static void add_queries(struct endpoints *endpoints, const struct query_type *queries,
                        _Bool are_about_log)
{
    for (const struct query_type *q = queries; q && q->subject; q++)
        add(endpoints, (struct endpoint){ .subject = q->subject,
                                          .request = q->request,
                                          .kind = ITEM_QUERY,
                                          .query = q,
                                          .is_about_log = are_about_log,
                                          .gives_events = are_about_log && is_events(q->subject),
                                          .sink = &endpoints->options.queries });
}

static size_t count_all(const struct endpoints_options *options)
{
    size_t count = count_queries(options->service->queries) + count_queries(options->log_queries);
    for (const struct command *c = options->service->commands; c && c->subject; c++)
        count += 1 + (c->request->account != NULL);
    for (const struct operator_request *o = options->operator_requests; o && o->subject; o++)
        count++;
    return count;
}

int endpoints_open(struct endpoints *endpoints, const struct endpoints_options *options)
{
    const struct service *service = options->service;
    size_t count = count_all(options);
    assert(options->bus && options->status && options->backlog_max > 0);
    assert(count > 0); /* the runtime's own at least */
    *endpoints = (struct endpoints){ .options = *options };
    pthread_mutex_init(&endpoints->lock, NULL);
    arena_init(&endpoints->arena);
    client_rate_init(&endpoints->client_rate, options->client_rate_max);
    endpoints->list = calloc(count, sizeof(*endpoints->list));
    endpoints->counters = calloc(count, sizeof(*endpoints->counters));
    if (!endpoints->list || !endpoints->counters)
        return fail(ERR_MEMORY, "no memory for the endpoints");
    for (const struct command *c = service->commands; c && c->subject; c++)
        add(endpoints, (struct endpoint){ .subject = c->subject,
                                          .request = c->request,
                                          .kind = ITEM_COMMAND,
                                          .command = c,
                                          .sink = &endpoints->options.commands });
    add_queries(endpoints, service->queries, 0);
    add_queries(endpoints, options->log_queries, 1);
    for (const struct operator_request *o = options->operator_requests; o && o->subject; o++)
        add(endpoints, (struct endpoint){ .subject = o->subject,
                                          .name = o->name,
                                          .request = o->request,
                                          .kind = o->kind,
                                          .is_about_log = o->kind == ITEM_DURABLE,
                                          .sink = &endpoints->options.operators });
    int r = add_account_subjects(endpoints);
    assert(r < 0 || (size_t)endpoints->count == count);
    return trace(r);
}

static _Bool is_for_standby(const struct endpoint *endpoint)
{
    return endpoint->kind == ITEM_QUERY && !endpoint->is_about_log;
}

static int subscribe_missing(struct endpoints *endpoints)
{
    for (int i = 0; i < endpoints->count && !endpoints->closed; i++) {
        struct endpoint *endpoint = &endpoints->list[i];
        if (endpoint->subscription || (endpoints->stands_by && !is_for_standby(endpoint)))
            continue;
        int (*subscribe)(struct bus *bus, const char *subject, const char *queue,
                         bus_handler handler, void *context,
                         struct bus_subscription **ret_subscription) = endpoint->is_about_log
                                                                           ? bus_subscribe_apart
                                                                           : bus_subscribe;
        int r = subscribe(endpoints->options.bus, endpoint->subject,
                          endpoint->counters->queue_group, endpoint_take, endpoint,
                          &endpoint->subscription);
        if (r < 0)
            return trace(r);
    }
    return 0;
}

void endpoints_set_term(struct endpoints *endpoints, int64_t term)
{
    pthread_mutex_lock(&endpoints->lock);
    snprintf(endpoints->group, sizeof(endpoints->group), QUEUE_GROUP "-t%lld", (long long)term);
    for (int i = 0; i < endpoints->count && !endpoints->closed; i++) {
        struct endpoint *endpoint = &endpoints->list[i];
        if (is_for_standby(endpoint))
            continue;
        bus_subscription_free(take(endpoint->subscription)); /* refused until now, in no term */
        endpoint->counters->queue_group = endpoints->group;
    }
    pthread_mutex_unlock(&endpoints->lock);
}

int endpoints_subscribe(struct endpoints *endpoints)
{
    pthread_mutex_lock(&endpoints->lock);
    endpoints->stands_by = 0;
    int r = subscribe_missing(endpoints);
    pthread_mutex_unlock(&endpoints->lock);
    return r;
}

int endpoints_subscribe_queries(struct endpoints *endpoints)
{
    pthread_mutex_lock(&endpoints->lock);
    endpoints->stands_by = 1;
    int r = subscribe_missing(endpoints);
    pthread_mutex_unlock(&endpoints->lock);
    return r;
}

int endpoints_retry(struct endpoints *endpoints)
{
    pthread_mutex_lock(&endpoints->lock);
    int r = subscribe_missing(endpoints);
    pthread_mutex_unlock(&endpoints->lock);
    return r;
}

void endpoints_unsubscribe(struct endpoints *endpoints, const char *subject)
{
    pthread_mutex_lock(&endpoints->lock);
    for (int i = 0; i < endpoints->count && !endpoints->closed; i++)
        if (strcmp(endpoints->list[i].subject, subject) == 0) {
            bus_subscription_free(endpoints->list[i].subscription);
            endpoints->list[i].subscription = NULL;
        }
    pthread_mutex_unlock(&endpoints->lock);
}

void endpoints_leave(struct endpoints *endpoints)
{
    const int64_t deadline_ms = clock_monotonic_ms() + LEAVE_TIMEOUT_MS;
    pthread_mutex_lock(&endpoints->lock);
    for (int i = 0; i < endpoints->count && !endpoints->closed; i++) {
        struct endpoint *endpoint = &endpoints->list[i];
        const int64_t left_ms = deadline_ms - clock_monotonic_ms();
        if (endpoint->subscription && left_ms > 0 && bus_is_connected(endpoints->options.bus))
            bus_subscription_drain(endpoint->subscription,
                                   (int)left_ms); /* what is here is answered */
        bus_subscription_free(endpoint->subscription);
        endpoint->subscription = NULL;
    }
    pthread_mutex_unlock(&endpoints->lock);
}

/* One bound for all of them: a server that is paused answers none. Without a server there is
 * nothing to drain. */
void endpoints_drain(struct endpoints *endpoints)
{
    pthread_mutex_lock(&endpoints->lock);
    endpoints->closed = 1;
    pthread_mutex_unlock(&endpoints->lock);
    int64_t deadline_ms = clock_monotonic_ms() + DRAIN_TIMEOUT_MS;
    for (int i = 0; i < endpoints->count && bus_is_connected(endpoints->options.bus); i++) {
        int64_t left_ms = deadline_ms - clock_monotonic_ms();
        if (endpoints->list[i].subscription && left_ms > 0)
            bus_subscription_drain(endpoints->list[i].subscription, (int)left_ms);
    }
}

void endpoints_free(struct endpoints *endpoints)
{
    for (int i = 0; i < endpoints->count; i++) {
        bus_subscription_free(endpoints->list[i].subscription);
        micro_endpoint_deinit(&endpoints->counters[i]);
    }
    client_rate_deinit(&endpoints->client_rate);
    pthread_mutex_destroy(&endpoints->lock);
    arena_deinit(&endpoints->arena);
    free(endpoints->list);
    free(endpoints->counters);
    endpoints->list = NULL;
    endpoints->counters = NULL;
    endpoints->count = 0;
}
