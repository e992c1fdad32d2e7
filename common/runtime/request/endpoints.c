/* Endpoints: all of an instance; see endpoint.h. */
#include "base/clock.h"
#include "base/guard.h"
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
    _Bool is_of_service = endpoint->command || (endpoint->query && !endpoint->is_about_log);
    shown->kind = !is_of_service ? "runtime" : endpoint->command ? "command" : "query";
    shown->description = endpoint->request->description;
    shown->request_schema = endpoint->request->name;
    shown->response_schema = endpoint->reply->name;
}

static void add(struct endpoints *endpoints, struct endpoint endpoint)
{
    int i = endpoints->count++;
    assert(endpoint.subject && endpoint.request && endpoint.reply && endpoint.sink->accept);
    assert((endpoint.kind == ITEM_COMMAND) == (endpoint.command != NULL));
    assert((endpoint.kind == ITEM_QUERY) == (endpoint.query != NULL));
    endpoint.all = endpoints;
    endpoint.values_max = schema_values_max(endpoint.request);
    endpoint.counters = &endpoints->counters[i];
    micro_endpoint_init(endpoint.counters,
                        endpoint.name ? endpoint.name : name_of(endpoint.subject), endpoint.subject,
                        endpoint.is_of_each ? "" : QUEUE_GROUP);
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
    for (int i = 0; r == 0 && i < plain_count; i++) {
        assert(endpoints->list[i].request); /* add() says so */
        if (endpoints->list[i].request->account)
            r = add_account_subject(endpoints, endpoints->list[i]);
    }
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
                                          .reply = q->reply,
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

/* Of the service's own requests each is there once (core/service_table.h). */
static int check_subjects(const struct endpoints *endpoints)
{
    for (int i = 0; i < endpoints->count; i++)
        for (int n = 0; n < i; n++)
            if (strcmp(endpoints->list[i].subject, endpoints->list[n].subject) == 0)
                return fail(ERR_CONFIG, "%s is a request of the runtime's own, in every service",
                            endpoints->list[i].subject);
    return 0;
}

int endpoints_open(struct endpoints *endpoints, const struct endpoints_options *options)
{
    const struct service *service = options->service;
    size_t count = count_all(options);
    assert(options->bus && options->status && options->backlog_max > 0);
    assert(count > 0); /* the runtime's own at least */
    *endpoints = (struct endpoints){ .options = *options };
    endpoints->last_kept = &endpoints->kept;
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
                                          .reply = c->reply,
                                          .kind = ITEM_COMMAND,
                                          .command = c,
                                          .sink = &endpoints->options.commands });
    add_queries(endpoints, service->queries, 0);
    add_queries(endpoints, options->log_queries, 1);
    for (const struct operator_request *o = options->operator_requests; o && o->subject; o++)
        add(endpoints,
            (struct endpoint){ .subject = o->subject,
                               .name = o->name,
                               .request = o->request,
                               .reply = o->reply,
                               .kind = o->kind,
                               .is_about_log = o->kind == ITEM_DURABLE,
                               .is_of_each = o->is_of_each,
                               .sink = o->kind == ITEM_STATUS ? &endpoints->options.of_status
                                                              : &endpoints->options.operators });
    int r = add_account_subjects(endpoints);
    assert(r < 0 || (size_t)endpoints->count == count);
    return r < 0 ? trace(r) : trace(check_subjects(endpoints));
}

static _Bool is_for_standby(const struct endpoint *endpoint)
{
    return endpoint->kind == ITEM_QUERY && !endpoint->is_about_log;
}

static _Bool is_of_group(const struct endpoint *endpoint)
{
    return !is_for_standby(endpoint) && !endpoint->is_of_each;
}

static _Bool keep(struct endpoint *endpoint, struct bus_message *message)
{
    struct endpoints *endpoints = endpoint->all;
    if (!atomic_load(&endpoints->keeps))
        return 0;
    struct kept_request *kept = malloc(sizeof(*kept));
    pthread_mutex_lock(&endpoints->lock);
    const _Bool is_kept = kept && atomic_load(&endpoints->keeps) &&
                          endpoints->kept_count < ENDPOINTS_KEPT_MAX;
    if (is_kept) {
        *kept = (struct kept_request){ .endpoint = endpoint, .message = message };
        *endpoints->last_kept = kept;
        endpoints->last_kept = &kept->next;
        endpoints->kept_count++;
    }
    pthread_mutex_unlock(&endpoints->lock);
    if (!is_kept)
        free(kept);
    return is_kept;
}

/* As endpoint_take, of a group. On a library thread. */
static void take_or_keep(void *context, struct bus_message *message)
{
    if (!keep(context, message))
        endpoint_take(context, message);
}

static int subscribe_one(struct endpoints *endpoints, struct endpoint *endpoint)
{
    const char *group = endpoint->counters->queue_group;
    const _Bool may_keep = is_of_group(endpoint) && atomic_load(&endpoints->keeps) &&
                           (endpoints->joined || !endpoint->is_about_log);
    const bus_handler handler = may_keep ? take_or_keep : endpoint_take;
    int (*subscribe)(struct bus *bus, const char *subject, const char *queue, bus_handler handler,
                     void *context, struct bus_subscription **ret_subscription) =
        endpoint->is_about_log ? bus_subscribe_apart : bus_subscribe;
    return trace(subscribe(endpoints->options.bus, endpoint->subject, *group ? group : NULL,
                           handler, endpoint, &endpoint->subscription));
}

static int subscribe_missing(struct endpoints *endpoints)
{
    for (int i = 0; i < endpoints->count && !endpoints->closed; i++) {
        struct endpoint *endpoint = &endpoints->list[i];
        if (endpoint->subscription || (endpoints->stands_by && is_of_group(endpoint)))
            continue;
        int r = subscribe_one(endpoints, endpoint);
        if (r < 0)
            return trace(r);
    }
    return 0;
}

/* What has arrived is answered before the subscriptions end. */
static void drain_group(struct endpoints *endpoints)
{
    const int64_t deadline_ms = clock_monotonic_ms() + LEAVE_TIMEOUT_MS;
    const _Bool drains = bus_is_connected(endpoints->options.bus);
    pthread_mutex_lock(&endpoints->lock);
    for (int i = 0; i < endpoints->count && drains; i++)
        if (is_of_group(&endpoints->list[i]) && endpoints->list[i].subscription)
            bus_subscription_begin_drain(endpoints->list[i].subscription, LEAVE_TIMEOUT_MS);
    pthread_mutex_unlock(&endpoints->lock); /* what is kept meanwhile needs it */
    for (int i = 0; i < endpoints->count; i++) {
        struct endpoint *endpoint = &endpoints->list[i];
        const int64_t left_ms = deadline_ms - clock_monotonic_ms();
        if (!is_of_group(endpoint) || !endpoint->subscription)
            continue;
        if (drains && left_ms > 0)
            bus_subscription_end_drain(endpoint->subscription, (int)left_ms);
        pthread_mutex_lock(&endpoints->lock);
        bus_subscription_free(take(endpoint->subscription));
        pthread_mutex_unlock(&endpoints->lock);
    }
}

static void set_group(struct endpoints *endpoints, const char *group)
{
    snprintf(endpoints->group, sizeof(endpoints->group), "%s", group);
    for (int i = 0; i < endpoints->count && !endpoints->closed; i++) {
        struct endpoint *endpoint = &endpoints->list[i];
        if (!is_of_group(endpoint))
            continue;
        bus_subscription_free(take(endpoint->subscription)); /* refused until now, in no term */
        endpoint->counters->queue_group = endpoints->group;
    }
}

void endpoints_set_term(struct endpoints *endpoints, int64_t term)
{
    char group[ENDPOINT_GROUP_SIZE];
    snprintf(group, sizeof(group), QUEUE_GROUP "-t%lld", (long long)term);
    pthread_mutex_lock(&endpoints->lock);
    const _Bool moves = !endpoints->joined && GUARD(group_of_term);
    pthread_mutex_unlock(&endpoints->lock);
    if (!moves)
        return;
    drain_group(endpoints); /* while it replayed, requests were refused, in no term */
    pthread_mutex_lock(&endpoints->lock);
    set_group(endpoints, group);
    pthread_mutex_unlock(&endpoints->lock);
}

void endpoints_give_up_group(struct endpoints *endpoints)
{
    pthread_mutex_lock(&endpoints->lock);
    endpoints->joined = 0;
    pthread_mutex_unlock(&endpoints->lock);
}

void endpoints_keep(struct endpoints *endpoints)
{
    atomic_store(&endpoints->keeps, 1);
}

int endpoints_join(struct endpoints *endpoints, const char *group)
{
    int r = 0;
    pthread_mutex_lock(&endpoints->lock);
    if (!endpoints->joined) {
        set_group(endpoints, group);
        endpoints->joined = 1;
        atomic_store(&endpoints->keeps, 1);
        endpoints->stands_by = 0;
        r = subscribe_missing(endpoints);
    }
    pthread_mutex_unlock(&endpoints->lock);
    return trace(r);
}

void endpoints_answer_kept(struct endpoints *endpoints)
{
    pthread_mutex_lock(&endpoints->lock);
    struct kept_request *kept = endpoints->kept;
    atomic_store(&endpoints->keeps, 0);
    endpoints->kept = NULL;
    endpoints->last_kept = &endpoints->kept;
    endpoints->kept_count = 0;
    pthread_mutex_unlock(&endpoints->lock);
    while (kept) {
        struct kept_request *next = kept->next;
        endpoint_take(kept->endpoint, kept->message);
        free(kept);
        kept = next;
    }
}

void endpoints_leave_group(struct endpoints *endpoints)
{
    pthread_mutex_lock(&endpoints->lock);
    endpoints->stands_by = 1;
    endpoints->joined = 0;
    pthread_mutex_unlock(&endpoints->lock);
    drain_group(endpoints);
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

int endpoints_subscribe_of_each(struct endpoints *endpoints)
{
    int r = 0;
    pthread_mutex_lock(&endpoints->lock);
    for (int i = 0; i < endpoints->count && !endpoints->closed && r == 0; i++)
        if (endpoints->list[i].is_of_each && !endpoints->list[i].subscription)
            r = subscribe_one(endpoints, &endpoints->list[i]);
    pthread_mutex_unlock(&endpoints->lock);
    return trace(r);
}

int endpoints_subscribe_status(struct endpoints *endpoints)
{
    int r = 0;
    pthread_mutex_lock(&endpoints->lock);
    for (int i = 0; i < endpoints->count && !endpoints->closed && r == 0; i++)
        if (endpoints->list[i].kind == ITEM_STATUS && !endpoints->list[i].subscription)
            r = subscribe_one(endpoints, &endpoints->list[i]);
    pthread_mutex_unlock(&endpoints->lock);
    return trace(r);
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
    endpoints_answer_kept(endpoints);
    pthread_mutex_lock(&endpoints->lock);
    endpoints->joined = 0;
    for (int i = 0; i < endpoints->count && !endpoints->closed; i++) {
        struct endpoint *endpoint = &endpoints->list[i];
        const int64_t left_ms = deadline_ms - clock_monotonic_ms();
        if (endpoint->kind == ITEM_STATUS)
            continue;
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
    endpoints_answer_kept(endpoints);
    int64_t deadline_ms = clock_monotonic_ms() + DRAIN_TIMEOUT_MS;
    for (int i = 0; i < endpoints->count && bus_is_connected(endpoints->options.bus); i++) {
        int64_t left_ms = deadline_ms - clock_monotonic_ms();
        if (endpoints->list[i].subscription && left_ms > 0)
            bus_subscription_drain(endpoints->list[i].subscription, (int)left_ms);
    }
}

static void drop_kept(struct endpoints *endpoints)
{
    while (endpoints->kept) {
        struct kept_request *kept = endpoints->kept;
        endpoints->kept = kept->next;
        bus_message_free(kept->message);
        free(kept);
    }
}

void endpoints_free(struct endpoints *endpoints)
{
    drop_kept(endpoints);
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
