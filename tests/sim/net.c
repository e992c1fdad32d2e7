/* Net: what is on its way. A connection keeps the order of what it carries, in each direction;
 * different connections do not know of each other. When one breaks, a part of what the node had
 * sent still arrives, and nothing of what was sent to it. An acknowledgement may be lost, or come
 * late, on a connection that lives. */
#include "world.h"
#include <stdlib.h>

const char *const packet_names[PACKET_KINDS] = {
    [PACKET_INFO] = "info",
    [PACKET_AUDIT] = "audit",
    [PACKET_LAST] = "last",
    [PACKET_GET] = "get",
    [PACKET_MAKE] = "make-stream",
    [PACKET_DELETE] = "delete-stream",
    [PACKET_PUBLISH] = "publish",
    [PACKET_FEED_INFO] = "feed-info",
    [PACKET_FEED_LAST] = "feed-last",
    [PACKET_DURABLE_INFO] = "durable-info",
    [PACKET_DURABLE_DELETE] = "delete-durable",
    [PACKET_DURABLE_MAKE] = "make-durable",
    [PACKET_PULL] = "pull",
    [PACKET_ACK] = "ack",
    [PACKET_DELIVERY] = "delivery",
    [PACKET_PULL_STATUS] = "pull-status",
    [PACKET_FILL] = "fill",
    [PACKET_COMPARE] = "compare",
    [PACKET_REQUEST] = "request",
    [PACKET_REPLY] = "reply",
    [PACKET_CALL] = "call",
    [PACKET_ANSWER] = "answer",
};

static _Bool is_before(const struct packet *a, const struct packet *b)
{
    return a->due_ms != b->due_ms ? a->due_ms < b->due_ms : a->number < b->number;
}

static int channel_of(const struct packet *packet)
{
    if (packet->kind == PACKET_REQUEST || packet->kind == PACKET_REPLY ||
        packet->kind == PACKET_CALL || packet->kind == PACKET_ANSWER)
        return -1; /* many requesters, each with its own connection */
    return packet->to_node;
}

void send_packet(struct world *world, struct packet packet)
{
    struct node *node = &world->nodes[packet.node];
    packet.number = ++world->packet_number;
    packet.connection = node->connection;
    packet.due_ms = world->now_ms + draw(world, world->latency_ms + 1);
    int channel = channel_of(&packet);
    _Bool is_ack = packet.kind == PACKET_PUBLISH && packet.is_reply;
    if (is_ack && !world->calm && one_in(world, 400)) {
        if (one_in(world, 2))
            return;                         /* lost: it is stored all the same */
        packet.due_ms += draw(world, 3000); /* late, past others */
    } else if (channel >= 0) {
        int64_t *last_ms = &world->channel_ms[packet.node][channel];
        if (packet.due_ms < *last_ms)
            packet.due_ms = *last_ms;
        *last_ms = packet.due_ms;
    }
    if (world->packet_count == world->packet_room) {
        world->packet_room = world->packet_room ? 2 * world->packet_room : 256;
        world->packets = must(realloc(world->packets, (size_t)world->packet_room * sizeof(packet)));
    }
    int place = world->packet_count++;
    for (; place > 0 && is_before(&packet, &world->packets[(place - 1) / 2]);
         place = (place - 1) / 2)
        world->packets[place] = world->packets[(place - 1) / 2];
    world->packets[place] = packet;
}

struct packet take_packet(struct world *world)
{
    struct packet first = world->packets[0];
    const struct packet *last = &world->packets[--world->packet_count];
    int place = 0;
    for (;;) {
        int next = 2 * place + 1;
        if (next + 1 < world->packet_count &&
            is_before(&world->packets[next + 1], &world->packets[next]))
            next++;
        if (next >= world->packet_count || !is_before(&world->packets[next], last))
            break;
        world->packets[place] = world->packets[next];
        place = next;
    }
    world->packets[place] = *last;
    return first;
}

static int compare(const void *a, const void *b)
{
    return is_before(a, b) ? -1 : 1;
}

void delay_packets(struct world *world, int64_t until_ms)
{
    for (int i = 0; i < world->packet_count; i++)
        if (world->packets[i].due_ms < until_ms)
            world->packets[i].due_ms = until_ms;
    if (world->packet_count > 0)
        /* what is sorted is a heap */
        qsort(world->packets, (size_t)world->packet_count, sizeof(*world->packets), compare);
    for (int i = 0; i < NODES; i++)
        for (int channel = 0; channel < 2; channel++)
            if (world->channel_ms[i][channel] < until_ms)
                world->channel_ms[i][channel] = until_ms;
}

int64_t packet_due_ms(const struct world *world)
{
    return world->packet_count > 0 ? world->packets[0].due_ms : INT64_MAX;
}

_Bool packet_is_lost(struct world *world, const struct packet *packet)
{
    const struct node *node = &world->nodes[packet->node];
    if (!world->server.is_up)
        return 1;
    if (packet->kind == PACKET_REQUEST)
        return !node->connected;
    if (packet->to_node)
        return !node->connected || packet->connection != node->connection ||
               (packet->life && packet->life != node->life);
    return packet->connection != node->connection && packet->due_ms > node->cut_ms;
}

static void take_ack(struct node *node, const struct packet *packet)
{
    if (packet->epoch < node->acked_epoch ||
        (packet->epoch == node->acked_epoch && packet->position <= node->acked_position))
        return;
    node->acked_epoch = packet->epoch;
    node->acked_position = packet->position;
}

void deliver_packet(struct world *world, struct packet *packet)
{
    struct node *node = &world->nodes[packet->node];
    if (!packet->to_node) {
        if (packet->kind == PACKET_REPLY)
            load_take_reply(world, packet);
        else if (packet->kind == PACKET_CALL)
            provider_take(world, packet);
        else if (packet->kind == PACKET_FILL || packet->kind == PACKET_COMPARE)
            leader_answer(world, &world->nodes[1 - packet->node], packet);
        else
            server_take(world, packet);
    } else if (packet->kind == PACKET_REQUEST) {
        node_request(world, node, packet);
    } else if (packet->kind == PACKET_DELIVERY) {
        feed_arrived(world, node, packet);
    } else if (packet->kind == PACKET_PUBLISH && packet->result == RESULT_FINE) {
        take_ack(node, packet);
    } else {
        node_note(node, (struct note){ .kind = NOTE_PACKET, .packet = *packet });
    }
}
