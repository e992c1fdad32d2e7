/* May go: which copy of a log may be damaged at this moment, so that the other one still has all of
 * it (faults.c). */
#include "bus/jetstream.h"
#include "world.h"

/* One that begins, or takes over, while the stream is damaged may never hear of the one that has
 * all. */
static _Bool nobody_else_begins(const struct world *world, const struct node *leader)
{
    for (int i = 0; i < world->node_count; i++) {
        const struct node *node = &world->nodes[i];
        if (node->log == leader->log && node != leader && node->runs &&
            (node_lead(node)->state != LEAD_FOLLOWING || !instance_is_complete(world, node)))
            return 0;
    }
    return 1;
}

/* May this stream be damaged? Its service's database must have all. */
_Bool stream_may_go(const struct world *world, int log)
{
    if (!world->server.streams[log].exists)
        return 0;
    const struct node *leader = leader_of(world, log);
    return leader && leader->branch == 0 && leader->promise == world->logs[log].line.count &&
           nobody_else_begins(world, leader);
}

_Bool stream_reaches(const struct world *world, int log, int64_t last, _Bool and_nothing_else)
{
    const struct stream *stream = &world->server.streams[log];
    int64_t position = 0;
    for (int64_t s = stream->first; stream->exists && s <= stream->last; s++) {
        const struct stored *stored = stream_at(stream, s);
        if (and_nothing_else && (!stored || stored->position == 0))
            return 0;
        position += stored && stored->position == position + 1;
    }
    return last == 0 || (stream->exists && position >= last);
}

_Bool stream_is_being_deleted(const struct world *world, int log)
{
    char deletion[64];
    snprintf(deletion, sizeof(deletion), JS_API_PREFIX ".STREAM.DELETE.%s", world->logs[log].name);
    return net_has(world, deletion);
}

/* May this database go? Its stream must have all, and nothing on its way may delete it. */
_Bool database_may_go(const struct world *world, int log)
{
    return !stream_is_being_deleted(world, log) && world->server.streams[log].exists &&
           stream_reaches(world, log, world->logs[log].line.count, 1);
}
