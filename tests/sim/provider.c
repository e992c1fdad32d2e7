/* Provider: who takes the money, and gives it back. The same key is the same charge, whatever
 * happens to its answers: they come late, twice, unreadable, with more than what was asked for, or
 * not at all. A charge that was taken back is refused if it comes later. While it is away nobody
 * listens there (server.c). */
#include "world.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define LATE_MS 12000     /* beyond the time-out, also when that has doubled */
#define REFUSES_ONE_IN 24 /* to take back, or to give back: always, for one order */

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
    struct provider grown = *provider;
    grown.room = provider->room ? 2 * provider->room : 256;
    grown.entries = must(calloc((size_t)grown.room, sizeof(*grown.entries)));
    for (int i = 0; i < provider->room; i++)
        if (provider->entries[i].status != CHARGE_NONE)
            *place_of(&grown, provider->entries[i].order,
                      provider->entries[i].attempt) = provider->entries[i];
    free(provider->entries);
    *provider = grown;
}

enum charge_status provider_status(const struct provider *provider, const char *order,
                                   int64_t attempt)
{
    return provider->room > 0 ? place_of(provider, order, attempt)->status : CHARGE_NONE;
}

static enum charge_status decide(struct world *world, const struct wire *call)
{
    if (strstr(wire_data(call), "\"tok_declined\""))
        return CHARGE_DECLINED;
    if (strstr(wire_data(call), "\"tok_moody\"") && one_in(world, 2))
        return one_in(world, 2) ? CHARGE_DECLINED : CHARGE_SOFT;
    return CHARGE_PAID;
}

static void answer(struct world *world, const struct wire *call, const char *json, int64_t late_ms)
{
    struct wire *wire = wire_new(&(struct wire_parts){
        .subject = wire_reply(call), .data = json, .data_length = strlen(json) });
    int64_t latency_ms = world->latency_ms;
    world->latency_ms += late_ms; /* the net draws up to it */
    net_send_from_actor(world, PROVIDER, wire);
    world->latency_ms = latency_ms;
}

/* With more than what was asked for, and with less than the contract wants of it. */
static const char *word_of(enum charge_status status)
{
    switch (status) {
    case CHARGE_PAID:     return "{\"status\":\"paid\",\"reason\":null,\"n\":12345678901234567890}";
    case CHARGE_DECLINED: return "{\"status\":\"declined\",\"reason\":\"no\"}";
    case CHARGE_SOFT:     return "{\"status\":\"declined\",\"reason\":\"insufficient_funds\"}";
    default:              return "{\"status\":\"declined\"}"; /* it was voided before it came */
    }
}

static void answer_somehow(struct world *world, const struct wire *call, const char *json)
{
    if (world->calm || !one_in(world, 8)) {
        answer(world, call, json, 0);
        return;
    }
    int64_t trouble = draw(world, 4); /* 0: no answer at all */
    if (trouble == 1)
        answer(world, call, "{\"status\":", 0);
    if (trouble >= 2)
        answer(world, call, json, LATE_MS);
    if (trouble == 3)
        answer(world, call, json, 0);
}

void provider_take(struct world *world, const struct wire *wire)
{
    struct provider *provider = &world->provider;
    _Bool is_void = strcmp(wire_subject(wire), "psp.void") == 0;
    _Bool is_refund = strcmp(wire_subject(wire), "psp.refund") == 0;
    char order[64];
    long long attempt;
    const char *key = strstr(wire_data(wire), "\"key\":\"");
    if (!key || sscanf(key, "\"key\":\"%63[^/]/%lld\"", order, &attempt) != 2) {
        violated(world, "contract: the provider is asked for %s", wire_data(wire));
        return;
    }
    grow(provider);
    struct charge_entry *entry = place_of(provider, order, attempt);
    if (entry->status == CHARGE_NONE) {
        provider->count++;
        entry->attempt = attempt;
        memcpy(entry->order, order, sizeof(order));
        entry->status = decide(world, wire);
        entry->refuses = one_in(world, REFUSES_ONE_IN);
    }
    if ((is_void || is_refund) && entry->refuses) {
        answer_somehow(world, wire, "{\"status\":\"refused\",\"reason\":\"settled\"}");
        return;
    }
    if (is_refund && entry->status != CHARGE_PAID && !is_set_apart(&world->logs[ORDER], order))
        violated(world, "I9: a refund of %s/%lld, which holds no money", order, attempt);
    if (is_void)
        entry->status = CHARGE_VOIDED;
    answer_somehow(world, wire,
                   is_void     ? "{\"status\":\"voided\"}"
                   : is_refund ? "{\"status\":\"refunded\"}"
                               : word_of(entry->status));
}
