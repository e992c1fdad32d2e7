/* History: what each service has ever committed, by position, as the world saw it happen. It is the
 * measure for everything else: no event may be somewhere that is not in it, and no position may be
 * used for two (I4). */
#include "world.h"
#include <stdlib.h>
#include <string.h>

const struct record *history_at(const struct node *node, int64_t position)
{
    return position >= 1 && position <= node->history_count ? node->history[position] : NULL;
}

static struct record *record_new(struct world *world, const struct event *event)
{
    struct record *record = must(arena_alloc(&world->arena, sizeof(*record)));
    if (event_copy(event, &world->arena, &record->event) < 0 ||
        event_digest(&record->event, &record->digest) < 0)
        must(NULL);
    record->event.value = NULL;
    return record;
}

const struct record *record_of(struct world *world, int log, const struct event *event)
{
    const struct record *known = history_at(&world->nodes[log], event->position);
    return known && digest_equal(&known->event.chain, &event->chain) ? known
                                                                     : record_new(world, event);
}

void record_read(struct world *world, const struct record *given, const struct event_type *events)
{
    struct record *record = (struct record *)given; /* all records are ours */
    if (record->is_read)
        return;
    record->is_read = 1;
    const struct event_type *type = event_type_of_name(events, record->event.type);
    struct invalid invalid;
    void *value = NULL;
    if (!type)
        return;
    if (schema_decode(type->schema, record->event.data, record->event.data_length, &world->arena,
                      &value, &invalid) == 0)
        record->event.value = value;
    else
        record->invalid = "it does not fit its schema";
}

void history_add(struct world *world, struct node *node, const struct event *event)
{
    const struct record *known = history_at(node, event->position);
    if (known || event->position != node->history_count + 1) {
        violated(world, "I4: %s commits position %lld for the second time, or leaves one out: %s",
                 node->service->name, (long long)event->position, event->type);
        return;
    }
    if (node->history_count + 1 >= node->history_room) {
        node->history_room = node->history_room ? 2 * node->history_room : 256;
        node->history =
            must(realloc(node->history, (size_t)node->history_room * sizeof(struct record *)));
    }
    node->history[++node->history_count] = record_new(world, event);
    tell(world, "%s commits %lld %s %s", node->service->name, (long long)event->position,
         event->type, event->entity);
}
