/* Adversary: a second writer with the leader's rights. It writes one message into a stream that is
 * no event of the leader, at any moment: just so, or fenced as the relay does it, with the sequence
 * that is right at that moment. */
#include "world.h"
#include <inttypes.h>
#include <string.h>

#define BETWEEN_MS 20000 /* the longest between two messages */

void adversary_act(struct world *world)
{
    struct adversary *adversary = &world->adversary;
    const struct stream *stream = &world->server.streams[draw(world, STREAMS_MAX)];
    char subject[64], expected[24];
    adversary->next_ms = world->now_ms + 1 + draw(world, BETWEEN_MS);
    if (!stream->exists)
        return;
    snprintf(subject, sizeof(subject), "%sIntruder", stream->prefix);
    snprintf(expected, sizeof(expected), "%" PRId64, stream->last);
    const struct bus_header fence = { "Nats-Expected-Last-Sequence", expected };
    adversary->written++;
    net_send_from_actor(
        world, ADVERSARY,
        wire_with_headers(&(struct wire_parts){ .subject = subject,
                                                .data = "{\"x\":1}",
                                                .data_length = strlen("{\"x\":1}") },
                          &fence, (int)draw(world, 2)));
}

/* A relay that has met it says so, and waits for a person: who takes the message out, or the whole
 * stream where the log has all of it. */
static void undo(struct world *world, struct node *node)
{
    struct stream *stream = &world->server.streams[node->log];
    tell(world, "the operator mends the stream of %s", node->service->name);
    node_crash(world, node, 0);
    if (stream_may_go(world, node->log))
        stream_delete(world, stream, 1);
    for (int64_t s = stream->first; s <= stream->last; s++)
        if (stream->at[s].wire && stream->at[s].position == 0)
            stream_forget(stream, s);
}

void adversary_undo(struct world *world)
{
    for (int i = 0; i < world->node_count; i++) {
        struct node *node = &world->nodes[i];
        if (node->runs && node_relay(node)->state == RELAY_FORKED && world->server.is_up)
            undo(world, node);
    }
}

void actor_take(struct world *world, enum actor actor, struct wire *wire)
{
    switch (actor) {
    case CUSTOMERS: load_take_reply(world, wire); break;
    case PROVIDER:  provider_take(world, wire); break;
    case OPERATOR:  operator_take_reply(world, wire); break;
    case ADVERSARY:
    case ACTORS:    break;
    }
}
