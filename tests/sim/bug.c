/* Bug: a program that cannot apply an event about some entities, until it is mended. What it cannot
 * apply is parked, with what comes behind it about the same, and an operator redrives it. */
#include "world.h"
#include "base/result.h"
#include <string.h>

#define BUG_MS 5000 /* the longest until it is mended */
#define ONE_IN 4    /* entities */

static _Bool is_met(const struct world *world, const struct node *node, const struct event *event)
{
    const struct bug *bug = &world->bug;
    if (bug->log != node->log || world->now_ms >= bug->until_ms)
        return 0;
    uint64_t hash = bug->salt;
    for (const char *c = event->entity; *c; c++)
        hash = (hash ^ (unsigned char)*c) * 1099511628211u;
    return hash % ONE_IN == 0;
}

/* The rest of the program knows the events by their tables alone, so that the true apply is found
 * by the event's type in the table of the source. */
static int apply(struct db *db, const struct event *event)
{
    const struct node *node = current_node();
    if (is_met(node->world, node, event))
        return fail(ERR_CONSTRAINT, "a bug of the program");
    const struct source *sources = node->world->logs[node->log].service->sources;
    for (int i = 0; sources[i].log; i++) {
        if (strcmp(sources[i].log, event->log) != 0)
            continue;
        for (const struct event_type *type = sources[i].events; type->name; type++)
            if (strcmp(type->name, event->type) == 0)
                return trace(type->apply(db, event));
    }
    return fail(ERR_INTERNAL, "nobody knows how to apply %s", event->type);
}

void bug_open(struct node *node)
{
    for (int i = 0; node->sources[i].log; i++) {
        const struct event_type *from = node->sources[i].events;
        int count = 0;
        for (; from[count].name; count++) {
            node->events[i][count] = from[count];
            node->events[i][count].apply = apply;
        }
        node->events[i][count] = (struct event_type){ 0 };
        node->sources[i].events = node->events[i];
    }
}

void bug_begin(struct world *world)
{
    world->bug = (struct bug){ .log = (int)draw(world, LOGS),
                               .salt = world->random,
                               .until_ms = world->now_ms + draw(world, BUG_MS) };
    tell(world, "%s has a bug until %lld", world->logs[world->bug.log].service->name,
         (long long)world->bug.until_ms);
}
