/* Operator: who looks after the services. Redrives what is parked, has the lead handed over and
 * taken over, and looks into logs and lists of
 * parked events now and then; each answer must be what its contract says. */
#include "base/result.h"
#include "runtime/repair/resolve.h"
#include "runtime/sync/drift.h"
#include "schemas/runtime.events.reply.h"
#include "schemas/runtime.hand-over.reply.h"
#include "schemas/runtime.parked.reply.h"
#include "schemas/runtime.redrive.reply.h"
#include "schemas/runtime.take-over.reply.h"
#include "world.h"
#include <string.h>

#define BUSY_MS 2000 /* the longest between two requests while things break */
#define CALM_MS 500  /* later */
#define INBOX "_INBOX.operator."

enum wish_of_operator { REDRIVE, EVENTS, PARKED, HAND_OVER, TAKE_OVER };
static const struct {
    const char *verb;
    const struct schema *reply;
} requests[] = {
    [REDRIVE] = { "redrive", &runtime_redrive_reply_schema },
    [EVENTS] = { "events", &runtime_events_reply_schema },
    [PARKED] = { "parked", &runtime_parked_reply_schema },
    [HAND_OVER] = { "hand-over", &runtime_hand_over_reply_schema },
    [TAKE_OVER] = { "take-over", &runtime_take_over_reply_schema },
};

static void ask(struct world *world, int log, enum wish_of_operator what)
{
    char subject[64], reply[64], body[64] = "{}";
    const struct history *history = &world->logs[log];
    snprintf(subject, sizeof(subject), "%s.%s", history->service->prefix, requests[what].verb);
    snprintf(reply, sizeof(reply), INBOX "%d", (int)what);
    if (what == EVENTS)
        snprintf(body, sizeof(body), "{\"after_position\":%lld,\"limit\":%lld}",
                 (long long)draw(world, history->line.count + 1), (long long)(1 + draw(world, 20)));
    world->operator.asked++;
    net_send_from_actor(
        world, OPERATOR,
        wire_new(&(struct wire_parts){
            .subject = subject, .reply = reply, .data = body, .data_length = strlen(body) }));
}

/* The end of the stream is gone, and its sequences had run ahead of the positions: the server's
 * counts look as if the log had lost events, too, and the relay waits for a person. Who knows the
 * log for whole keeps it, also when the stream has gone meanwhile. Any other fork is one that must
 * not be. */
static _Bool looks_longer(const struct world *world, int log)
{
    const struct stream *stream = &world->server.streams[log];
    const struct stream_fill fill =
        drift_fill_of(json_text_of(stream->config, strlen(stream->config)));
    if (stream->exists && fill.head > world->logs[log].line.count)
        return 1; /* it was to be filled from a log that is lost, or stands on a branch */
    int64_t sequence = stream->last, foreign = 0;
    for (; sequence > 0; sequence--) {
        const struct stored *stored = stream_at(stream, sequence);
        if (stored && stored->position > 0)
            break;
        foreign += stored != NULL;
    }
    int64_t newest = sequence > 0 ? stream->at[sequence].position : 0;
    return newest + stream->last - sequence - foreign > world->logs[log].line.count;
}

void operator_look(struct world *world, int log)
{
    if (!looks_longer(world, log))
        return;
    for (int i = 0; i < world->node_count; i++)
        world->nodes[i].knows_longer |= world->nodes[i].log == log;
}

/* By its file, over restarts, or by what it has seen in this life, or is looking at. */
static _Bool keeps_longer(struct world *world, const struct node *node)
{
    return node_relay(node)->high_water > node_relay(node)->head ||
           node_relay(node)->state == RELAY_ASKING ||
           number_of(world, node,
                     "SELECT coalesce(max(value), 0) - (SELECT coalesce(max(position), 0) FROM"
                     " event_log) FROM meta WHERE name = 'stream_position'") > 0;
}

/* Its counts are right; but for who remembers what those of the one before said. */
void operator_stream_made(struct world *world, int log)
{
    for (int i = 0; i < world->node_count; i++) {
        struct node *node = &world->nodes[i];
        if (node->log == log && node->knows_longer && node->runs)
            node->knows_longer = keeps_longer(world, node);
    }
}

/* Of several instances it may be one that does not serve, because it is forked. */
static _Bool knows_all(const struct world *world, const struct node *node)
{
    return world->logs[node->log].instances > 1
               ? instance_is_complete(world, node) && node->frozen_until_ms == 0
               : node->promise == world->logs[node->log].line.count;
}

/* `resolve --keep log`. */
static void keep_log(struct world *world, struct node *node)
{
    tell(world, "the operator keeps the log of %s", node->name);
    node_crash(world, node, 0);
    stream_delete(world, &world->server.streams[node->log], 1);
    node_enter(node);
    if (resolve_forget_stream(node->path) < 0)
        violated(world, "resolve: %s keeps what it knows of its stream: %s", node->name,
                 failure_text());
    node_leave(node);
    node->knows_longer = 0;
    world->operator.resolved++;
}

/* Then it is not the stream that is deleted, but this one's folder (instances.c). */
static _Bool another_leads(const struct world *world, const struct node *node)
{
    const struct node *leader = leader_of(world, node->log);
    return leader && leader != node && node_relay(leader)->state != RELAY_FORKED;
}

static void resolve_forks(struct world *world)
{
    for (int i = 0; i < world->node_count; i++) {
        struct node *node = &world->nodes[i];
        if (!node->runs || node_relay(node)->state != RELAY_FORKED || !world->server.is_up ||
            !knows_all(world, node))
            continue;
        operator_look(world, node->log);
        if (node->knows_longer && !another_leads(world, node))
            keep_log(world, node);
    }
}

void operator_act(struct world *world)
{
    resolve_forks(world);
    instances_operate(world);
    edits_act(world);
    int log = (int)draw(world, LOGS);
    ask(world, log, REDRIVE);
    if (!world->calm && one_in(world, 2))
        ask(world, log, one_in(world, 3) ? PARKED : EVENTS);
    if (!world->calm && world->logs[log].instances > 1 && one_in(world, 4))
        ask(world, log, one_in(world, 4) ? TAKE_OVER : HAND_OVER);
    world->operator.next_ms = world->now_ms + 1 + draw(world, world->calm ? CALM_MS : BUSY_MS);
}

/* A page begins behind the position that was asked for, and leaves none out. */
static void check_page(struct world *world, const struct runtime_events_reply *page)
{
    for (size_t i = 1; i < page->events_count; i++)
        if (page->events[i].position != page->events[i - 1].position + 1)
            violated(world, "contract: a page of a log goes from %lld to %lld",
                     (long long)page->events[i - 1].position, (long long)page->events[i].position);
}

void operator_take_reply(struct world *world, const struct wire *wire)
{
    _deinit_(arena) struct arena arena = { 0 };
    struct invalid invalid;
    void *value;
    int what = wire_subject(wire)[strlen(INBOX)] - '0';
    if (wire_status(wire) ||
        wire_header_number(wire, "Nats-Service-Error-Code", 0) >= (what < HAND_OVER ? 500 : 400))
        return;
    if (schema_decode(requests[what].reply, wire_data(wire), (size_t)wire->data_length, &arena,
                      &value, &invalid) != 0) {
        violated(world, "contract: the answer to %s does not fit its contract: %s",
                 requests[what].verb, wire_data(wire));
        return;
    }
    if (what == REDRIVE)
        world->operator.redriven +=((struct runtime_redrive_reply *)value)->redriven;
    else if (what == HAND_OVER)
        world->operator.handed_over++;
    else if (what == TAKE_OVER)
        world->operator.taken_over++;
    else if (what == EVENTS)
        check_page(world, value);
}
