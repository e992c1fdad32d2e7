/* Node: one process of a service: it starts, connects, has its turns, crashes, and finds its files
 * as it left them, older, or gone. All that it does itself is the shipped instance. */
#include "world.h"
#include "account-svc/service.h"
#include "base/result.h"
#include "bus_sim.h"
#include "order-svc/service.h"
#include <stdlib.h>
#include <string.h>

#define BATCH_MAX 64
#define CONNECT_MS 20      /* the longest until a new process is connected */
#define RESTART_MS 400     /* the longest until its supervisor starts it again */
#define CLOCK_DRIFT_MAX 20 /* thousandths */
#define HOLD_MS 200        /* the longest until its operator looks again whether it may start */

/* ---- Opening -------------------------------------------------------------------------------- */

static void read_config(struct node *node, const struct service *service)
{
    static const struct config_program program = { .tools_usage = "" };
    static const char *const account[] = { "simulate", "--data-dir", "/", NULL };
    static const char *const order[] = { "simulate", "--data-dir",
                                         "/",        "--payment",
                                         "nats",     "--payment-timeout-ms",
                                         "1000",     "--payment-deadline-s",
                                         "20",       "--payment-inflight-max",
                                         "64",       "--queue-max",
                                         "256",      NULL };
    const char *const *arguments = node->log == ACCOUNT ? account : order;
    int count = 0;
    while (arguments[count])
        count++;
    if (config_read(&node->config, service, &program, count, (char **)arguments) != 0)
        must(NULL);
    if (node->world->logs[node->log].answers_wait)
        node->config.answer_when = WHEN_PUBLISHED;
    node->config.take_over = node->world->logs[node->log].takes_over ? TAKE_OVER_AUTO
                                                                     : TAKE_OVER_MANUAL;
}

void node_open(struct world *world, int index, int log)
{
    int instance = 1;
    for (int i = 0; i < index; i++)
        instance += world->nodes[i].log == log;
    struct node *node = &world->nodes[index];
    const struct service *service = world->logs[log].service;
    *node = (struct node){ .world = world, .index = index, .log = log };
    instance_forgets(node);
    node->service = must(malloc(sizeof(*service)));
    *node->service = *service;
    node->service->sources = node->sources;
    snprintf(node->name, sizeof(node->name), instance > 1 ? "%s-%d" : "%s", service->name,
             instance);
    if (world->logs[log].instances > 1)
        node->drift = draw(world, 2 * CLOCK_DRIFT_MAX + 1) - CLOCK_DRIFT_MAX;
    read_config(node, service);
    config_choose_sources(&node->config, service, node->sources, SOURCES_MAX + 1);
    bug_open(node);
    disk_path(index, node->path);
    node->writer_due_ms = node->sender_due_ms = node->readers_due_ms = INT64_MAX;
    node->start_ms = world->now_ms;
    world->node_count++;
}

/* ---- Looking into it ------------------------------------------------------------------------ */

const struct relay *node_relay(const struct node *node)
{
    return &node->instance->sender.relay_io.relay;
}

const struct feed *node_feed(const struct node *node, int i)
{
    return &node->instance->sender.feeds[i].feed;
}

int node_source_log(const struct node *node, int i)
{
    for (int log = 0; node->sources[i].log && log < LOGS; log++)
        if (strcmp(node->world->logs[log].name, node->sources[i].log) == 0)
            return log;
    return -1;
}

_Bool node_serves(const struct node *node)
{
    return node->runs && node->links[BUS_URGENT].is_up && node->links[BUS_BULK].is_up &&
           atomic_load(&node->instance->status.caught_up);
}

/* ---- A life --------------------------------------------------------------------------------- */

static void on_end(void *context, int exit_code)
{
    const struct node *node = context;
    violated(node->world, "I12: %s ends by itself with %d", node->name, exit_code);
}

/* Rule 4: with a commit of which nobody knows whether it was. */
static void on_die(void *context, int exit_code)
{
    struct node *node = context;
    tell(node->world, "%s ends itself with %d", node->name, exit_code);
    node_die(node, 0);
}

/* Another one of its name serves: it ends, and its supervisor starts it anew. */
static void on_step_back(void *context)
{
    struct node *node = context;
    tell(node->world, "%s steps back", node->name);
    node_die(node, 0);
}

static void write_metadata(void *context, struct buf *out)
{
    struct instance *instance = context;
    peer_io_write_metadata(&instance->sender.peers, out);
    lead_io_write_metadata(&instance->status, out);
}

/* As service.c does it. */
static int on_show(void *context)
{
    struct node *node = context;
    struct instance *instance = node->instance;
    node->micro = (struct micro){
        .name = node->service->name,
        .id = instance->id,
        .version = service_version(node->service),
        .description = node->service->description,
        .started_ms = instance->status.started_ms,
        .endpoints = instance->endpoints.counters,
        .endpoint_count = instance->endpoints.count,
        .data = statistics_write_data,
        .context = &instance->statistics,
        .write_metadata = write_metadata,
        .metadata_context = instance,
    };
    return trace(micro_start(&node->micro, instance->bus));
}

/* Many runs have windows and waits that are met all the time: machines begin anew with those. */
static void set_machines(struct node *node)
{
    const struct world *world = node->world;
    struct sender *sender = &node->instance->sender;
    const struct positions *at = &node->instance->writer.loop.at;
    struct relay *relay = &sender->relay_io.relay;
    struct relay_config relay_config = world->relay_config;
    relay_config.seed = relay->config.seed;
    relay_init(relay, &relay_config, at->head.position);
    relay_had(relay, at->stream_position);
    for (int i = 0; node->sources[i].log; i++) {
        struct feed *feed = &sender->feeds[i].feed;
        struct feed_config feed_config = world->feed_config;
        feed_config.seed = feed->config.seed;
        feed_init(feed, &feed_config, at->cursors[i].position);
    }
}

/* When each part wants its next turn. A time without a cause is that of an idle part and moves on
 * with the clock, so that the earliest one counts. */
static void look_at_due_times(struct node *node)
{
    if (!node->runs)
        return;
    const int64_t now_ms = node_clock_ms(node);
    int64_t due_ms = node_world_ms(node, writer_due_ms(&node->instance->writer, now_ms));
    node->writer_due_ms = due_ms < node->writer_due_ms ? due_ms : node->writer_due_ms;
    due_ms = node_world_ms(node, sender_due_ms(&node->instance->sender, now_ms));
    node->sender_due_ms = due_ms < node->sender_due_ms ? due_ms : node->sender_due_ms;
    due_ms = node_world_ms(node, readers_due_ms(&node->instance->readers, now_ms));
    node->readers_due_ms = due_ms < node->readers_due_ms ? due_ms : node->readers_due_ms;
}

/* Its memory goes, and what it had open. */
static void bury(struct node *node)
{
    disk_kill(node->index); /* what is closed writes once more */
    if (node->micro.subscriptions[0])
        micro_stop(&node->micro);
    node->micro = (struct micro){ 0 };
    reader_deinit(&node->reader);
    instance_close(node->instance);
    free(node->instance);
    node->instance = NULL;
    sqlite3_finalize(node->commits);
    sqlite3_finalize(node->cursor_of);
    sqlite3_finalize(node->kept_config);
    sqlite3_finalize(node->kept_places);
    sqlite3_close(node->handle);
    node->commits = node->cursor_of = node->kept_config = node->kept_places = NULL;
    node->handle = NULL;
}

static void start(struct world *world, struct node *node)
{
    const struct instance_options options = {
        .service = node->service,
        .config = &node->config,
        .database_path = node->path,
        .seed = world->random | 1,
        .context = node,
        .end = on_end,
        .die = on_die,
        .show = world->logs[node->log].instances > 1 ? on_show : NULL,
        .step_back = on_step_back,
    };
    _Bool may_fail = !world->calm && one_in(world, 8);
    if (may_fail) /* gone once more while it recovers its files */
        disk_fail_after(node->index, 1 + draw(world, 12), one_in(world, 2));
    node->instance = must(calloc(1, sizeof(*node->instance)));
    int r = instance_open(node->instance, &options);
    if (r < 0 || disk_is_dead(node->index)) {
        if (!may_fail)
            violated(world, "I12: %s does not start: %s", node->name, failure_text());
        node_die(node, disk_is_dead(node->index));
        return;
    }
    disk_fail_after(node->index, 0, 0);
    reader_init(&node->reader, &node->instance->readers);
    set_machines(node);
    history_look_at_start(world, node);
    node->writer_due_ms = node->sender_due_ms = node->readers_due_ms = world->now_ms;
    tell(world, "%s starts at %lld, cursor %lld", node->name, (long long)node->promise,
         (long long)node->cursor);
}

void node_start(struct world *world, struct node *node)
{
    if (!instance_may_start(world, node)) {
        node->start_ms = world->now_ms + 1 + draw(world, HOLD_MS);
        return;
    }
    node->life++;
    node->runs = 1;
    node->disk_full_until_ms = 0;
    node->crash_points = 0;
    for (int lane = 0; lane < LINKS; lane++)
        node->links[lane].reconnect_ms = world->now_ms + draw(world, CONNECT_MS);
    node_enter(node);
    start(world, node);
    node_leave(node);
}

void node_die(struct node *node, _Bool power_was_cut)
{
    node->is_dead = node->is_unsure = 1;
    node->power_was_cut |= power_was_cut;
    disk_kill(node->index);
}

void node_crash(struct world *world, struct node *node, _Bool power_was_cut)
{
    if (!node->runs)
        return;
    tell(world, "%s is gone%s", node->name, power_was_cut ? ", and its power" : "");
    node->is_dead = 1;
    for (int lane = 0; lane < LINKS; lane++)
        link_cut(world, node, lane);
    bury(node);
    disk_revive(node->index, power_was_cut, &world->random);
    node->runs = node->is_dead = node->power_was_cut = 0;
    node->frozen_until_ms = 0;
    node->start_ms = world->now_ms + 1 + draw(world, RESTART_MS);
    node->writer_due_ms = node->sender_due_ms = node->readers_due_ms = INT64_MAX;
}

void node_close(struct node *node)
{
    node->is_dead = 1;
    node_enter(node);
    if (node->runs)
        bury(node);
    node->is_dead = 0;
    node_leave(node);
    disk_copy_free(node->copy);
    free(node->line.at);
    free(node->service);
}

void node_restore(struct world *world, struct node *node, _Bool from_copy)
{
    if (from_copy)
        disk_restore(node->index, node->copy);
    else
        disk_clear(node->index);
    node->knows_longer &= from_copy;
    tell(world, "%s: %s", node->name,
         from_copy ? "an older database is restored" : "the database is lost");
    instance_forgets(node);
    world->logs[node->log].restores++;
}

/* ---- Its turns ------------------------------------------------------------------------------ */

static void end_turn(struct node *node)
{
    node_leave(node);
    look_at_due_times(node);
}

void node_cut(struct world *world, struct node *node, int lane)
{
    node_enter(node);
    link_cut(world, node, lane);
    end_turn(node);
}

void node_cut_off(struct world *world, struct node *node)
{
    for (int lane = 0; lane < LINKS; lane++)
        node_cut(world, node, lane);
}

void node_turn_writer(struct world *world, struct node *node)
{
    struct writer *writer = &node->instance->writer;
    if (node->disk_full_until_ms > 0 && world->now_ms >= node->disk_full_until_ms) {
        disk_fill(node->index, 0);
        node->disk_full_until_ms = 0;
    }
    node_enter(node);
    writer->options.batch_max = 1 + (int)draw(world, BATCH_MAX);
    (void)writer_turn(writer, node_clock_ms(node));
    tell(world, "%s writes: head %lld, cursor %lld", node->name,
         (long long)writer->loop.at.head.position, (long long)writer->loop.at.cursors[0].position);
    if (disk_is_dead(node->index))
        node_die(node, 1); /* the power went in the middle of a write */
    if (!node->is_dead)
        history_look(world, node);
    node->writer_due_ms = INT64_MAX;
    end_turn(node);
}

static void tell_moves(const struct world *world, const struct node *node,
                       enum lead_state lead_before, enum relay_state relay_before,
                       enum feed_state feed_before)
{
    const struct lead *lead = node_lead(node);
    const struct relay *relay = node_relay(node);
    const struct feed *feed = node_feed(node, 0);
    if (lead->state != lead_before)
        tell(world, "%s lead: %s -> %s (term %lld of %s)", node->name, lead_state_name(lead_before),
             lead_state_name(lead->state), (long long)lead->term, lead->leader);
    if (relay->state != relay_before)
        tell(world, "%s relay: %s -> %s (published %lld of %lld) %s", node->name,
             relay_state_name(relay_before), relay_state_name(relay->state),
             (long long)relay->published, (long long)relay->head,
             relay->reason ? relay->reason : "");
    if (feed->state != feed_before)
        tell(world, "%s feed: %s -> %s (cursor %lld of %lld) %s", node->name,
             feed_state_name(feed_before), feed_state_name(feed->state), (long long)feed->cursor,
             (long long)feed->leader_position, feed->state >= FEED_WAITING ? feed->reason : "");
}

void node_turn_sender(struct world *world, struct node *node)
{
    enum lead_state lead_before = node_lead(node)->state;
    enum relay_state relay_before = node_relay(node)->state;
    enum feed_state feed_before = node_feed(node, 0)->state;
    node_enter(node);
    (void)sender_turn(&node->instance->sender, node_clock_ms(node));
    tell_moves(world, node, lead_before, relay_before, feed_before);
    if (!node->is_dead) {
        check_published(world, node);
        instances_note_turn(world, node);
    }
    node->sender_due_ms = INT64_MAX;
    end_turn(node);
}

void node_turn_readers(struct world *world, struct node *node)
{
    (void)world;
    node_enter(node);
    (void)readers_turn(&node->instance->readers, &node->reader, node_clock_ms(node));
    node->readers_due_ms = INT64_MAX;
    end_turn(node);
}

void node_turn_handler(struct world *world, struct node *node)
{
    node_enter(node);
    bus_handle_one(world, node->bus);
    end_turn(node);
}

static _Bool wants_link(const struct world *world, const struct node *node, int lane)
{
    return node->runs && !node->links[lane].is_up && world->server.is_up;
}

int64_t node_link_due_ms(const struct world *world, const struct node *node)
{
    int64_t due_ms = INT64_MAX;
    for (int lane = 0; lane < LINKS; lane++)
        if (wants_link(world, node, lane) && node->links[lane].reconnect_ms < due_ms)
            due_ms = node->links[lane].reconnect_ms;
    return due_ms;
}

void node_turn_link(struct world *world, struct node *node)
{
    node_enter(node);
    for (int lane = 0; lane < LINKS; lane++)
        if (wants_link(world, node, lane) && node->links[lane].reconnect_ms <= world->now_ms)
            link_connect(node, lane);
    end_turn(node);
}

void node_take_over(struct node *node)
{
    tell(node->world, "the operator has %s take over", node->name);
    node_enter(node);
    (void)lead_take_over(&node->instance->sender.lead_io.lead, node_clock_ms(node));
    end_turn(node);
}

/* ---- Standing still -------------------------------------------------------------------------- */

/* As by SIGSTOP: it has no turn, its connections stand, and what is sent to it waits for it. */
void node_freeze(struct world *world, struct node *node, int64_t until_ms)
{
    tell(world, "%s is frozen until %lld", node->name, (long long)until_ms);
    node->frozen_until_ms = until_ms;
}

/* It learns all at once, also of links that were cut meanwhile. */
void node_thaw(struct world *world, struct node *node)
{
    tell(world, "%s goes on", node->name);
    node->frozen_until_ms = 0;
    node_enter(node);
    for (int lane = 0; lane < LINKS; lane++)
        if (!node->links[lane].is_up)
            bus_link_changed(node->bus, lane);
    end_turn(node);
}
