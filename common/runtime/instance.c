/* Instance: see instance.h. The one place where the parts are tied together. */
#include "runtime/instance.h"
#include "base/clock.h"
#include "base/log.h"
#include "runtime/request/reply.h"
#include "runtime/watch/brief.h"
#include <assert.h>

#define HAND_OVER_MS 8000 /* of a stop, at most, for a standby to lead */

/* ---- What the parts tell each other --------------------------------------------------------- */

static void on_connected(void *context)
{
    sender_connected(&((struct instance *)context)->sender);
}

static void on_disconnected(void *context)
{
    sender_disconnected(&((struct instance *)context)->sender);
}

/* nats.c has given up for good (see CONVENTIONS): a supervisor starts us again. */
static void on_closed(void *context, const char *reason)
{
    const struct instance *instance = context;
    log_error("connection_closed", LOG_TEXT("reason", reason));
    instance->options.end(instance->options.context, EXIT_FAILED);
}

static void on_denied(void *context, _Bool publish, const char *subject)
{
    sender_denied(&((struct instance *)context)->sender, publish, subject);
}

static void on_query_answered(void *context, struct item *item)
{
    struct instance *instance = context;
    const struct status *status = &instance->status;
    if (status->answers_wait && item->depends_on > atomic_load(&status->published)) {
        sender_answer(&instance->sender, item);
        return;
    }
    reply_send(instance->bus, BUS_URGENT, item);
    item_free(item);
}

static int accept_command(void *context, struct item *item)
{
    assert(item->kind == ITEM_COMMAND);
    return inbox_push(&((struct instance *)context)->inbox, item);
}

static int accept_query(void *context, struct item *item)
{
    assert(item->kind == ITEM_QUERY);
    return readers_push(&((struct instance *)context)->readers, item);
}

static void on_batch(void *context, struct batch *batch)
{
    sender_settle(&((struct instance *)context)->sender, batch);
}

static void on_committed(void *context)
{
    readers_committed(&((struct instance *)context)->readers);
}

static void on_folded(void *context)
{
    sender_wake(&((struct instance *)context)->sender);
}

static void between_batches(void *context, struct writer *writer)
{
    operations_between_batches(&((struct instance *)context)->operations, writer);
}

static void on_death(void *context, int exit_code)
{
    const struct instance *instance = context;
    instance->options.die(instance->options.context, exit_code);
}

/* ---- Opening -------------------------------------------------------------------------------- */

static void init_readers(struct instance *instance)
{
    const struct readers_options options = {
        .service = instance->options.service,
        .option_values = instance->options.config->option_values,
        .database_path = instance->options.database_path,
        .status = &instance->status,
        .reply = on_query_answered,
        .context = instance,
        .queue_max = (int)instance->options.config->queue_max,
        .seed = instance->options.seed,
    };
    readers_init(&instance->readers, &options);
}

static int open_writer(struct instance *instance)
{
    const struct writer_options options = {
        .service = instance->options.service,
        .option_values = instance->options.config->option_values,
        .database_path = instance->options.database_path,
        .status = &instance->status,
        .inbox = &instance->inbox,
        .batch_max = (int)instance->options.config->batch_max,
        .refusals_keep_ms = instance->options.config->refusals_keep_hours * 3600000,
        .seed = instance->options.seed,
        .wants_term = 1,
        .listener = { .context = instance,
                      .settle = on_batch,
                      .committed = on_committed,
                      .folded = on_folded,
                      .between_batches = between_batches,
                      .die = on_death },
    };
    return trace(writer_open(&instance->writer, &options));
}

static int open_sender(struct instance *instance)
{
    const struct sender_options options = {
        .service = instance->options.service,
        .config = instance->options.config,
        .database_path = instance->options.database_path,
        .status = &instance->status,
        .inbox = &instance->inbox,
        .writer = &instance->writer,
        .endpoints = &instance->endpoints,
        .instance = instance->id,
        .seed = instance->options.seed,
        .peers = instance->options.show ? &instance->peers : NULL,
        .operate = operations_begin,
        .context = &instance->operations,
    };
    return trace(sender_open(&instance->sender, &options));
}

static int open_bus(struct instance *instance)
{
    const struct config *config = instance->options.config;
    struct bus_options options;
    config_bus_options(config, instance->options.service->name, &options);
    options.must_connect = config->no_retry;
    options.is_pumped = 1; /* by the sender */
    options.check_interval_ms = (int)config->server_check_s * 1000;
    options.handlers = (struct bus_handlers){ .context = instance,
                                              .connected = on_connected,
                                              .disconnected = on_disconnected,
                                              .closed = on_closed,
                                              .denied = on_denied };
    int r = bus_open(&options, &instance->bus);
    if (bus_library_is_old())
        log_warn("old_library", LOG_TEXT("libnats", bus_library_version()),
                 LOG_TEXT("wanted", "3.9 or newer: it has fixes that matter"));
    return trace(r);
}

static void init_operations(struct instance *instance)
{
    const struct rebuilder_options options = {
        .service = instance->options.service,
        .config = instance->options.config,
        .database_path = instance->options.database_path,
        .status = &instance->status,
        .inbox = &instance->inbox,
        .bus = instance->bus,
    };
    operations_init(&instance->operations, &instance->sender, &options);
}

static int open_endpoints(struct instance *instance)
{
    admin_init(&instance->admin, instance->options.service);
    const struct endpoints_options options = {
        .service = instance->options.service,
        .log_queries = instance->admin.queries,
        .operator_requests = instance->operations.requests,
        .bus = instance->bus,
        .status = &instance->status,
        .backlog_max = instance->options.config->backlog_max,
        .client_rate_max = instance->options.config->client_rate_max,
        .commands = { .accept = accept_command, .context = instance },
        .queries = { .accept = accept_query, .context = instance },
        .operators = { .accept = operations_accept, .context = &instance->operations },
        .of_status = { .accept = brief_answer, .context = &instance->statistics },
    };
    int r = endpoints_open(&instance->endpoints, &options);
    instance->statistics = (struct statistics){
        .service = instance->options.service,
        .instance = instance->id,
        .status = &instance->status,
        .bus = instance->bus,
        .client_rate = &instance->endpoints.client_rate,
        .inbox = &instance->inbox,
        .readers = &instance->readers,
        .endpoints = instance->endpoints.counters,
        .endpoint_count = instance->endpoints.count,
    };
    return trace(r);
}

int instance_open(struct instance *instance, const struct instance_options *options)
{
    assert(options->service && options->config && options->database_path);
    assert(options->end && options->die && !instance->bus); /* a zeroed instance */
    instance->options = *options;
    instance->status.started_ms = clock_wall_ms();
    instance->status.answers_wait = options->config->answer_when == WHEN_PUBLISHED;
    inbox_init(&instance->inbox, (int)options->config->queue_max);
    init_readers(instance);
    instance->peers = (struct peer_hooks){ .context = options->context,
                                           .id = instance->id,
                                           .show = options->show,
                                           .step_back = options->step_back };
    int r = open_writer(instance);
    if (r == 0)
        r = open_sender(instance); /* who may be told at once that the bus is connected */
    if (r == 0)
        r = open_bus(instance);
    if (r == 0)
        r = micro_make_id(instance->bus, instance->id);
    if (r == 0)
        r = sender_subscribe(&instance->sender, instance->bus);
    if (r < 0)
        return trace(r);
    init_operations(instance);
    return trace(open_endpoints(instance));
}

/* ---- The threads ---------------------------------------------------------------------------- */

int instance_start(struct instance *instance)
{
    assert(instance->bus && instance->endpoints.count > 0);
    atomic_store(&instance->status.writer_turned_ms, clock_monotonic_ms());
    atomic_store(&instance->status.sender_turned_ms, clock_monotonic_ms());
    int r = readers_start(&instance->readers, (int)instance->options.config->reader_threads);
    if (r == 0)
        r = sender_start(&instance->sender);
    if (r == 0)
        r = writer_start(&instance->writer);
    return trace(r);
}

void instance_hand_over(struct instance *instance)
{
    sender_hand_over(&instance->sender, HAND_OVER_MS);
}

/* natsConnection_Drain would lose replies that wait for a commit (CONVENTIONS). */
void instance_stop(struct instance *instance)
{
    atomic_store(&instance->status.draining, 1);
    endpoints_drain(&instance->endpoints);  /* no new requests */
    operations_stop(&instance->operations); /* a rebuild may want something of the writer */
    writer_stop(&instance->writer);         /* those in the inbox are run and committed */
    readers_stop(&instance->readers);
    sender_stop(&instance->sender); /* their replies are sent */
    operations_end(&instance->operations);
}

/* ---- Closing -------------------------------------------------------------------------------- */

void instance_close(struct instance *instance)
{
    endpoints_free(&instance->endpoints);
    sender_deinit(&instance->sender);
    bus_free(instance->bus);
    instance->bus = NULL;
    writer_deinit(&instance->writer);
    readers_deinit(&instance->readers);
    inbox_deinit(&instance->inbox);
}
