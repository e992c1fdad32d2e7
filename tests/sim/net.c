/* Net: see net.h. */
#include "net.h"
#include "bus_sim.h"
#include "server.h"
#include "world.h"
#include <stdlib.h>
#include <string.h>

#define CUT_MS 20        /* what was on its way when a link broke arrives within it, or never */
#define STRAY_MS 1500    /* or so late, now and then: behind what is sent on the next one */
#define GONE_MS 8000     /* the longest that a server takes a broken connection for a living one */
#define RECONNECT_MS 300 /* the longest until a node tries again */

/* ---- The heap ------------------------------------------------------------------------------- */

static _Bool is_before(const struct packet *a, const struct packet *b)
{
    return a->due_ms != b->due_ms ? a->due_ms < b->due_ms : a->number < b->number;
}

static void push(struct net *net, const struct packet *packet)
{
    if (net->count == net->room) {
        net->room = net->room ? 2 * net->room : 256;
        net->packets = must(realloc(net->packets, (size_t)net->room * sizeof(*packet)));
    }
    int place = net->count++;
    for (; place > 0 && is_before(packet, &net->packets[(place - 1) / 2]); place = (place - 1) / 2)
        net->packets[place] = net->packets[(place - 1) / 2];
    net->packets[place] = *packet;
}

static struct packet pop(struct net *net)
{
    struct packet first = net->packets[0];
    const struct packet *last = &net->packets[--net->count];
    int place = 0;
    for (;;) {
        int next = 2 * place + 1;
        if (next + 1 < net->count && is_before(&net->packets[next + 1], &net->packets[next]))
            next++;
        if (next >= net->count || !is_before(&net->packets[next], last))
            break;
        net->packets[place] = net->packets[next];
        place = next;
    }
    net->packets[place] = *last;
    return first;
}

static int compare(const void *a, const void *b)
{
    return is_before(a, b) ? -1 : 1;
}

/* What is sorted is a heap. */
static void sort(struct net *net)
{
    if (net->count > 0)
        qsort(net->packets, (size_t)net->count, sizeof(*net->packets), compare);
}

void net_delay(struct world *world, int64_t until_ms)
{
    struct net *net = &world->net;
    for (int i = 0; i < net->count; i++)
        if (net->packets[i].due_ms < until_ms)
            net->packets[i].due_ms = until_ms;
    sort(net);
    for (int i = 0; i < world->node_count; i++)
        for (int lane = 0; lane < LINKS; lane++)
            for (int direction = 0; direction < 2; direction++) {
                int64_t *last_ms = &world->nodes[i].links[lane].last_ms[direction];
                *last_ms = *last_ms < until_ms ? until_ms : *last_ms;
            }
}

void net_close(struct net *net)
{
    for (int i = 0; i < net->count; i++)
        wire_drop(net->packets[i].wire);
    free(net->packets);
    *net = (struct net){ 0 };
}

int64_t net_due_ms(const struct world *world)
{
    return world->net.count > 0 ? world->net.packets[0].due_ms : INT64_MAX;
}

_Bool net_has(const struct world *world, const char *subject)
{
    for (int i = 0; i < world->net.count; i++)
        if (world->net.packets[i].kind == PACKET_PUBLISH &&
            strcmp(wire_subject(world->net.packets[i].wire), subject) == 0)
            return 1;
    return 0;
}

/* ---- Sending -------------------------------------------------------------------------------- */

static void send(struct world *world, struct packet packet, struct link *link, int direction)
{
    packet.number = ++world->net.number;
    packet.due_ms = world->now_ms + draw(world, world->latency_ms + 1);
    if (link) {
        int64_t *last_ms = &link->last_ms[direction];
        if (packet.due_ms < *last_ms)
            packet.due_ms = *last_ms;
        *last_ms = packet.due_ms;
    }
    push(&world->net, &packet);
}

void net_send_from_node(struct world *world, struct node *node, int lane, enum packet_kind kind,
                        struct wire *wire, int64_t sid)
{
    struct link *link = &node->links[lane];
    struct packet packet = { .kind = kind,
                             .node = node->index,
                             .lane = lane,
                             .connection = link->number,
                             .sid = sid,
                             .wire = wire };
    send(world, packet, link, 0);
}

/* An answer that nobody can read: cut off, or something else altogether. But not whether another
 * instance is there: then the stream alone stands between the two (may_go.c). */
static struct wire *garble(struct world *world, struct wire *wire)
{
    const char *inbox = strstr(wire_subject(wire), ".q.");
    if (inbox && strncmp(inbox, ".q.s.", 5) == 0)
        return wire;
    if (world->now_ms >= world->net.garble_until_ms || !inbox || wire->data_length == 0 ||
        !one_in(world, 3))
        return wire;
    struct wire_parts parts = {
        .subject = wire_subject(wire),
        .block = wire_block(wire),
        .block_length = (size_t)wire->block_length,
        .data = one_in(world, 2) ? wire_data(wire) : "\x01{]",
        .data_length = 3,
    };
    if (parts.data == wire_data(wire))
        parts.data_length = (size_t)draw(world, wire->data_length);
    struct wire *garbled = wire_new(&parts);
    wire_drop(wire);
    return garbled;
}

void net_send_to_node(struct world *world, struct node *node, int64_t connection, int64_t sid,
                      struct wire *wire)
{
    struct packet packet = { .kind = PACKET_DELIVERY,
                             .node = node->index,
                             .connection = connection,
                             .sid = sid,
                             .wire = garble(world, wire) };
    send(world, packet, &node->links[BUS_URGENT], 1);
}

void net_send_from_actor(struct world *world, enum actor actor, struct wire *wire)
{
    send(world, (struct packet){ .kind = PACKET_FROM_ACTOR, .actor = actor, .wire = wire }, NULL,
         0);
}

void net_send_to_actor(struct world *world, enum actor actor, struct wire *wire)
{
    send(world, (struct packet){ .kind = PACKET_TO_ACTOR, .actor = actor, .wire = wire }, NULL, 0);
}

/* ---- Arriving ------------------------------------------------------------------------------- */

static _Bool is_lost(const struct world *world, const struct packet *packet)
{
    if (packet->kind == PACKET_FROM_ACTOR || packet->kind == PACKET_TO_ACTOR)
        return !world->server.is_up;
    const struct link *link = &world->nodes[packet->node].links[packet->lane];
    _Bool is_of_now = link->is_up && packet->connection == link->number;
    if (packet->kind == PACKET_DELIVERY)
        return !is_of_now;
    if (!world->server.is_up)
        return 1;
    return !is_of_now && packet->kind != PACKET_GONE && packet->due_ms > link->cut_ms;
}

static void tell_packet(const struct world *world, const struct packet *packet, _Bool lost)
{
    static const char *const kinds[] = {
        [PACKET_PUBLISH] = "publishes",  [PACKET_SUBSCRIBE] = "subscribes",
        [PACKET_UNSUBSCRIBE] = "leaves", [PACKET_GONE] = "is gone",
        [PACKET_DELIVERY] = "is given",  [PACKET_FROM_ACTOR] = "sends",
        [PACKET_TO_ACTOR] = "is sent",
    };
    static const char *const actors[] = { "a customer", "the provider", "the operator",
                                          "the adversary" };
    _Bool is_actor = packet->kind == PACKET_FROM_ACTOR || packet->kind == PACKET_TO_ACTOR;
    tell(world, "%s %s %s %.200s%s",
         is_actor ? actors[packet->actor] : world->nodes[packet->node].name, kinds[packet->kind],
         packet->wire ? wire_subject(packet->wire) : "",
         packet->wire ? wire_data(packet->wire) : "", lost ? " (lost)" : "");
}

static void arrive(struct world *world, struct packet *packet)
{
    const struct sender_of from = { packet->node, packet->connection };
    switch (packet->kind) {
    case PACKET_PUBLISH: server_take(world, packet->wire, from); break;
    case PACKET_SUBSCRIBE:
        server_subscribe(world, packet->node, packet->connection, packet->sid,
                         wire_subject(packet->wire), wire_reply(packet->wire));
        break;
    case PACKET_UNSUBSCRIBE:
        server_unsubscribe(world, packet->node, packet->connection, packet->sid);
        break;
    case PACKET_GONE: server_forget(world, packet->node, packet->connection); break;
    case PACKET_DELIVERY:
        bus_arrive(world->nodes[packet->node].bus, packet->sid, packet->wire);
        break;
    case PACKET_FROM_ACTOR:
        server_take(world, packet->wire, (struct sender_of){ .node = -1 });
        break;
    case PACKET_TO_ACTOR: actor_take(world, packet->actor, packet->wire); break;
    }
}

static void pass(struct world *world, struct packet *packet)
{
    _Bool lost = is_lost(world, packet);
    if (world->trace)
        tell_packet(world, packet, lost);
    if (world->digests_traffic && packet->wire) {
        digest_add(world, &packet->due_ms, sizeof(packet->due_ms));
        digest_add(world, wire_subject(packet->wire), (size_t)packet->wire->subject_length);
        digest_add(world, wire_data(packet->wire), (size_t)packet->wire->data_length);
    }
    if (!lost)
        arrive(world, packet);
    wire_drop(packet->wire);
}

void net_step(struct world *world)
{
    struct packet packet = pop(&world->net);
    pass(world, &packet);
}

void net_hurry(struct world *world, struct node *node)
{
    struct net *net = &world->net;
    struct packet *waiting = must(malloc((size_t)net->count * sizeof(*waiting) + 1));
    int count = 0, kept = 0;
    sort(net);
    for (int i = 0; i < net->count; i++) {
        const struct packet *packet = &net->packets[i];
        if (packet->node == node->index && packet->kind <= PACKET_UNSUBSCRIBE)
            waiting[count++] = *packet;
        else
            net->packets[kept++] = *packet;
    }
    net->count = kept;
    for (int i = 0; i < count; i++)
        pass(world, &waiting[i]);
    free(waiting);
}

void net_forget(struct world *world, const struct node *node)
{
    struct net *net = &world->net;
    int kept = 0;
    for (int i = 0; i < net->count; i++) {
        if (net->packets[i].node == node->index && net->packets[i].kind == PACKET_PUBLISH)
            wire_drop(net->packets[i].wire);
        else
            net->packets[kept++] = net->packets[i];
    }
    net->count = kept;
    sort(net);
}

/* ---- Links ---------------------------------------------------------------------------------- */

void link_connect(struct node *node, int lane)
{
    struct link *link = &node->links[lane];
    link->is_up = 1;
    link->number++;
    bus_link_changed(node->bus, lane);
}

static void tell_server_later(struct world *world, const struct node *node, const struct link *link)
{
    struct packet gone = {
        .kind = PACKET_GONE, .node = node->index, .lane = BUS_URGENT, .connection = link->number
    };
    gone.number = ++world->net.number;
    gone.due_ms = link->cut_ms;
    if (!world->calm && one_in(world, 8))
        gone.due_ms += draw(world, GONE_MS);
    push(&world->net, &gone);
}

/* What somebody between has taken in already is delivered all the same, when he gets to it. */
static void let_stray(struct world *world, struct node *node, int lane)
{
    struct net *net = &world->net;
    struct link *link = &node->links[lane];
    const int64_t late_ms = draw(world, STRAY_MS);
    for (int i = 0; i < net->count; i++) {
        struct packet *packet = &net->packets[i];
        if (packet->node == node->index && packet->lane == lane &&
            packet->kind <= PACKET_UNSUBSCRIBE && packet->connection == link->number)
            packet->due_ms += late_ms;
    }
    sort(net);
    link->cut_ms = world->now_ms + late_ms + world->latency_ms;
}

void link_cut(struct world *world, struct node *node, int lane)
{
    struct link *link = &node->links[lane];
    if (!link->is_up)
        return;
    link->is_up = 0;
    link->cut_ms = world->now_ms + draw(world, CUT_MS);
    if (!world->calm && one_in(world, 4))
        let_stray(world, node, lane);
    link->reconnect_ms = world->now_ms + 1 + draw(world, RECONNECT_MS);
    if (lane == BUS_URGENT) /* where all subscriptions are */
        tell_server_later(world, node, link);
    if (node->bus)
        bus_link_changed(node->bus, lane);
}
