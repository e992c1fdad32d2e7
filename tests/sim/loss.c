/* Loss: the one fault that nothing can heal, once at the end of a run: both copies of the newest
 * events of a log are gone, the one in the service's database and the one in its stream. It must be
 * named (rule 6): by the leader, whose stream has held more, or by the reader, who has read more.
 *
 * Where a service has several instances, those that stand by may have it all: no such run.
 *
 * In one variant nobody looks before the leader has used the lost positions for other events: then
 * the reader must see by the chain that what comes next does not follow what it has read. */
#include "world.h"

#define NAMED_MS_MAX 120000

/* Whose newest events are lost; NULL: there are none that a backup does not have. */
static struct node *lose_both_copies(struct world *world)
{
    struct node *node = &world->nodes[draw(world, world->node_count)];
    struct history *history = &world->logs[node->log];
    struct stream *stream = &world->server.streams[node->log];
    if (world->node_count > LOGS || !node->copy || node->copy_head == 0 ||
        node->copy_head >= history->line.count || stream->last != history->line.count)
        return NULL;
    tell(world, "%s and its stream lose what came after %lld", node->name,
         (long long)node->copy_head);
    node_crash(world, node, 0);
    node_restore(world, node, 1);
    stream_cut(stream, node->copy_head);
    history->line.count = history->in_stream = node->copy_head; /* the world is another one now */
    return node;
}

static _Bool reads(const struct node *node, int log)
{
    for (int i = 0; node->sources[i].log; i++)
        if (node_source_log(node, i) == log)
            return 1;
    return 0;
}

static _Bool is_named(const struct world *world, int log)
{
    for (int i = 0; i < world->node_count; i++) {
        const struct node *node = &world->nodes[i];
        if (!node->runs)
            continue;
        if (node->log == log && node_relay(node)->state == RELAY_FORKED)
            return 1;
        for (int s = 0; node->sources[s].log; s++)
            if (node_source_log(node, s) == log && node_feed(node, s)->state == FEED_FORKED)
                return 1;
    }
    return 0;
}

/* The readers sleep until the leader has said more than it has lost. */
static void use_positions_again(struct world *world, const struct node *leader, int64_t lost)
{
    for (int i = 0; i < world->node_count; i++)
        if (reads(&world->nodes[i], leader->log))
            node_crash(world, &world->nodes[i], 0);
    const int64_t end_ms = world->now_ms + NAMED_MS_MAX;
    world->load.is_over = 0;
    while (!is_named(world, leader->log) && world->logs[leader->log].in_stream <= lost &&
           world->now_ms < end_ms && !world->violation[0]) {
        for (int i = 0; i < world->node_count; i++)
            if (!world->nodes[i].runs && reads(&world->nodes[i], leader->log))
                world->nodes[i].start_ms = end_ms;
        step(world);
    }
    world->load.is_over = 1;
    for (int i = 0; i < world->node_count; i++)
        if (!world->nodes[i].runs)
            world->nodes[i].start_ms = world->now_ms;
}

_Bool see_loss_named(struct world *world)
{
    int64_t counts[LOGS];
    for (int log = 0; log < LOGS; log++)
        counts[log] = world->logs[log].line.count;
    const struct node *leader = lose_both_copies(world);
    if (!leader)
        return 0;
    if (one_in(world, 2))
        use_positions_again(world, leader, counts[leader->log]);
    const int64_t end_ms = world->now_ms + NAMED_MS_MAX;
    while (!is_named(world, leader->log) && world->now_ms < end_ms && !world->violation[0])
        step(world);
    if (!is_named(world, leader->log))
        violated(world, "rule 6: %s has lost events that were read, and nobody says so",
                 leader->name);
    return 1;
}
