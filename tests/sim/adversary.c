/* Adversary: a second writer with the leader's rights. It writes messages into a stream that are no
 * events of the leader, at any moment: just so, or fenced as the relay does it, with the sequence
 * that is right at that moment. Only the stream is wrong then, so the relay heals it (rule 1). */
#include "world.h"
#include <inttypes.h>
#include <string.h>

#define BETWEEN_MS 5000 /* the longest between two messages */

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
