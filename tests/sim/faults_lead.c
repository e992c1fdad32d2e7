/* Faults of leadership: of the one that leads at that moment, so that another one takes over, and
 * the former one comes back in the middle of it. Only where a service has several instances. */
#include "world.h"

/* The one that leads now, of a service with several instances; NULL. */
static struct node *any_leader(struct world *world)
{
    const int log = (int)draw(world, LOGS);
    const struct node *leader = world->logs[log].instances > 1 ? leader_of(world, log) : NULL;
    return leader ? &world->nodes[leader->index] : NULL;
}

/* About as long as a silence that makes a standby suspect it, or much longer. */
_Bool fault_freeze_leader(struct world *world)
{
    struct node *node = any_leader(world);
    if (!node || node->frozen_until_ms > 0)
        return 0;
    node_freeze(world, node, world->now_ms + 300 + draw(world, one_in(world, 2) ? 800 : 5000));
    return 1;
}

/* Its machine is not back before another one may have taken over. */
_Bool fault_leader_goes(struct world *world)
{
    struct node *node = any_leader(world);
    if (!node)
        return 0;
    node_crash(world, node, one_in(world, 2));
    node->start_ms += draw(world, 6000);
    return 1;
}

_Bool fault_cut_leader_off(struct world *world)
{
    struct node *node = any_leader(world);
    if (!node)
        return 0;
    node_cut_off(world, node);
    for (int lane = 0; lane < LINKS; lane++)
        node->links[lane].reconnect_ms += draw(world, 4000);
    return 1;
}

_Bool fault_lose_heartbeats(struct world *world)
{
    world->server.mute_until_ms = world->now_ms + draw(world, 2000);
    return world->node_count > LOGS;
}

/* An operator mistakes a leader that lives for one that is gone. */
_Bool fault_take_over(struct world *world)
{
    struct node *node = &world->nodes[draw(world, world->node_count)];
    if (world->logs[node->log].instances == 1 || !node->runs || node->frozen_until_ms > 0)
        return 0;
    node_take_over(node);
    return 1;
}
