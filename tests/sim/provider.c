/* Provider: who takes the money. The same key is the same charge, whatever happens to its answers:
 * they come late, twice, or not at all. A charge that was taken back is refused if it comes
 * later. */
#include "world.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static struct charge_entry *place_of(const struct provider *provider, const char *order,
                                     int64_t attempt)
{
    uint64_t hash = 14695981039346656037u ^ (uint64_t)attempt;
    for (const char *c = order; *c; c++)
        hash = (hash ^ (unsigned char)*c) * 1099511628211u;
    for (uint64_t i = hash >> 20;; i++) {
        struct charge_entry *entry = &provider->entries[i & (uint64_t)(provider->room - 1)];
        if (entry->status == CHARGE_NONE ||
            (entry->attempt == attempt && strcmp(entry->order, order) == 0))
            return entry;
    }
}

static void grow(struct provider *provider)
{
    if (2 * provider->count < provider->room)
        return;
    struct provider grown = { .room = provider->room ? 2 * provider->room : 256 };
    grown.entries = must(calloc((size_t)grown.room, sizeof(*grown.entries)));
    for (int i = 0; i < provider->room; i++)
        if (provider->entries[i].status != CHARGE_NONE)
            *place_of(&grown, provider->entries[i].order,
                      provider->entries[i].attempt) = provider->entries[i];
    free(provider->entries);
    provider->entries = grown.entries;
    provider->room = grown.room;
}

enum charge_status provider_status(const struct provider *provider, const char *order,
                                   int64_t attempt)
{
    return provider->room > 0 ? place_of(provider, order, attempt)->status : CHARGE_NONE;
}

static enum charge_status decide(struct world *world, const struct packet *packet)
{
    if (strcmp(packet->call.token, "tok_declined") == 0 ||
        (strcmp(packet->call.token, "tok_moody") == 0 && one_in(world, 2)))
        return CHARGE_DECLINED;
    return CHARGE_PAID;
}

static void answer(struct world *world, const struct packet *packet, enum answer_outcome outcome,
                   enum charge_status status, int64_t late_ms)
{
    struct packet reply = { .kind = PACKET_ANSWER,
                            .node = packet->node,
                            .to_node = 1,
                            .life = packet->life,
                            .position = packet->position };
    reply.call.outcome = outcome;
    reply.call.status = (int)status;
    int64_t latency_ms = world->latency_ms;
    world->latency_ms += late_ms; /* send_packet draws up to it */
    send_packet(world, reply);
    world->latency_ms = latency_ms;
}

void provider_take(struct world *world, const struct packet *packet)
{
    struct provider *provider = &world->provider;
    if (world->now_ms < provider->away_until_ms) {
        answer(world, packet, ANSWER_UNREACHABLE, CHARGE_NONE, 0);
        return;
    }
    int64_t number = packet->call.number;
    grow(provider);
    struct charge_entry *entry = place_of(provider, packet->call.tag,
                                          number > 0 ? number : -number);
    if (entry->status == CHARGE_NONE) {
        provider->count++;
        entry->attempt = number > 0 ? number : -number;
        snprintf(entry->order, sizeof(entry->order), "%s", packet->call.tag);
        entry->status = number > 0 ? decide(world, packet) : CHARGE_VOIDED;
    }
    if (number < 0)
        entry->status = CHARGE_VOIDED;
    tell(world, "the provider: %s/%" PRId64 " is %s", packet->call.tag, number,
         entry->status == CHARGE_PAID     ? "paid"
         : entry->status == CHARGE_VOIDED ? "voided"
                                          : "declined");
    if (world->calm || !one_in(world, 8)) {
        answer(world, packet, ANSWER_RECEIVED, entry->status, 0);
        return;
    }
    int64_t trouble = draw(world, 4); /* 0: no answer at all */
    if (trouble == 1)
        answer(world, packet, ANSWER_INVALID, CHARGE_NONE, 0);
    if (trouble >= 2)
        answer(world, packet, ANSWER_RECEIVED, entry->status, 4000);
    if (trouble == 3)
        answer(world, packet, ANSWER_RECEIVED, entry->status, 0);
}
