/* Courier, the feed's part: as common/runtime/outbound/feed_io.c. And the leader's side of a gap:
 * ranges of its log. */
#include "world.h"
#include <stdlib.h>
#include <string.h>

#define STATUS_HEARTBEAT 100
#define STATUS_CONFLICT 409

static void ask(struct world *world, struct node *node, enum packet_kind kind, int64_t epoch,
                int64_t sequence, int64_t position, int64_t count)
{
    send_packet(world, (struct packet){ .kind = kind,
                                        .node = node->index,
                                        .stream = 1 - node->index,
                                        .epoch = epoch,
                                        .sequence = sequence,
                                        .position = position,
                                        .count = count,
                                        .life = node->life });
}

/* ---- Deliveries ------------------------------------------------------------------------------ */

static struct item *item_of(struct world *world, struct node *node, const struct record *record)
{
    struct item *item = must(item_new(ITEM_EVENT));
    const struct source *source = &node->service->sources[0];
    record_read(world, record, world->nodes[1 - node->index].service->events);
    item->source = source;
    item->event = record->event;
    item->event_digest = record->digest;
    item->type = event_type_of_name(source->events, record->event.type);
    item->invalid = record->invalid;
    if (!item->type)
        item->event.value = NULL;
    return item;
}

static void acknowledge(struct world *world, struct node *node, int64_t sequence)
{
    if (node->connected)
        ask(world, node, PACKET_ACK, 0, sequence, 0, 0);
}

void feed_arrived(struct world *world, struct node *node, const struct packet *packet)
{
    struct item *item = item_of(world, node, packet->record);
    char ack_to[24];
    int length = snprintf(ack_to, sizeof(ack_to), "%lld", (long long)packet->sequence);
    item->ack_to = must(arena_copy(&item->arena, ack_to, (size_t)length));
    item->feed_epoch = node->feed.epoch;
    node->delivered++;
    node->position = packet->record->event.position;
    node->pending = packet->count;
    node_push(node, item);
    if (world->without == GUARD_ACK_AFTER_COMMIT)
        acknowledge(world, node, packet->sequence);
}

void feed_look_at_arrivals(struct world *world, struct node *node)
{
    if (node->delivered > 0)
        feed_delivered(&node->feed, node->delivered, node->position, node->pending, world->now_ms);
    node->delivered = 0;
}

void feed_settle(struct world *world, struct node *node, const struct batch *batch)
{
    struct feed *feed = &node->feed;
    const struct item *newest = NULL;
    int64_t count = 0;
    for (const struct item *item = batch->items; item; item = item->next) {
        if (item->kind != ITEM_EVENT || !item->source)
            continue;
        count++;
        if (item->outcome == OUTCOME_FORK) {
            feed_fork(feed, item->ack_to ? item->feed_epoch : feed->epoch);
        } else if (item->outcome == OUTCOME_GAP && item->ack_to) {
            if (world->without == GUARD_ACK_AFTER_COMMIT)
                continue; /* the server will deliver it again, will it not? */
            feed_gap(feed, item->feed_epoch, item->event.position, world->now_ms);
        } else if (item->ack_to && !batch->aborted && item->outcome != OUTCOME_GAP &&
                   item->feed_epoch == feed->epoch) {
            newest = item;
        }
    }
    if (count == 0)
        return;
    if (newest)
        acknowledge(world, node, strtoll(newest->ack_to, NULL, 10));
    if (batch->aborted)
        feed_reset(feed, "the loop could not write", world->now_ms);
    feed_settled(feed, count, batch->aborted ? feed->cursor : batch->at.cursors[0].position,
                 world->now_ms);
}

/* ---- The leader's side ----------------------------------------------------------------------- */

void leader_answer(struct world *world, struct node *node, const struct packet *packet)
{
    _deinit_(event_reader) struct event_reader reader = { 0 };
    struct event event;
    struct packet reply = { .kind = packet->kind,
                            .node = packet->node,
                            .to_node = 1,
                            .is_reply = 1,
                            .epoch = packet->epoch,
                            .position = packet->position,
                            .life = packet->life };
    if (!node->connected || !node->announced) {
        reply.result = RESULT_AWAY;
        send_packet(world, reply);
        return;
    }
    int r = event_reader_open(&reader, node->db, node->self.log, packet->position, packet->count);
    while (r == 0 && event_reader_has_next(&reader, &event))
        reply.page.records[reply.page.count++] = record_of(world, node->index, &event);
    reply.page.last_position = node->loop.at.head.position;
    send_packet(world, reply);
}

/* ---- Answers --------------------------------------------------------------------------------- */

static void take_stream(struct world *world, struct node *node, const struct packet *packet)
{
    struct feed_info *info = &node->info;
    *info = (struct feed_info){ .stream_exists = packet->tail.exists,
                                .last_sequence = packet->tail.last_sequence };
    if (!info->stream_exists)
        feed_info(&node->feed, info, world->now_ms);
    else if (packet->tail.messages > 0)
        ask(world, node, PACKET_FEED_LAST, packet->epoch, info->last_sequence, 0, 0);
    else
        ask(world, node, PACKET_DURABLE_INFO, packet->epoch, 0, 0, 0);
}

static void take_last(struct world *world, struct node *node, const struct packet *packet)
{
    struct cursor cursor;
    if (packet->result == RESULT_FINE) {
        const struct event *last = &packet->record->event;
        node->info.last_position = last->position;
        if (cursor_read(node->db, node->service->sources[0].log, &cursor) == 0 &&
            cursor.position == last->position)
            node->info.last_differs = !digest_equal(&cursor.chain, &last->chain);
    }
    ask(world, node, PACKET_DURABLE_INFO, packet->epoch, 0, 0, 0);
}

static void take_durable(struct world *world, struct node *node, const struct packet *packet)
{
    struct feed_info *info = &node->info;
    if (packet->result == RESULT_FINE) {
        const struct feed_info *found = &packet->info;
        info->durable_exists = 1;
        info->acked_sequence = found->acked_sequence;
        info->delivered_sequence = found->delivered_sequence;
        info->pending = found->pending;
        info->ack_pending = found->ack_pending;
    }
    /* what the server says is fine */
    if (world->without == GUARD_ACK_AFTER_COMMIT && info->durable_exists) {
        info->acked_sequence = info->delivered_sequence = node->feed.cursor < info->last_sequence
                                                              ? node->feed.cursor
                                                              : info->last_sequence;
        info->pending = 1;
        info->ack_pending = 0;
    }
    feed_info(&node->feed, info, world->now_ms);
}

static void take_page(struct world *world, struct node *node, const struct packet *packet)
{
    struct feed *feed = &node->feed;
    if (packet->result != RESULT_FINE || packet->page.count == 0) {
        feed_failed(feed, "the leader does not have the missing events either", world->now_ms);
        return;
    }
    for (int i = 0; i < packet->page.count; i++) {
        feed_delivered(feed, 1, packet->page.records[i]->event.position, 0, world->now_ms);
        node_push(node, item_of(world, node, packet->page.records[i]));
    }
    feed_filled(feed, packet->page.last_position, world->now_ms);
}

static void take_compared(struct world *world, struct node *node, const struct packet *packet)
{
    struct feed *feed = &node->feed;
    struct cursor cursor;
    if (packet->result != RESULT_FINE ||
        cursor_read(node->db, node->service->sources[0].log, &cursor) < 0 ||
        cursor.position != feed->cursor)
        feed_failed(feed, "the leader refuses to give its events", world->now_ms);
    else if (packet->page.count == 0)
        feed_compared(feed, FEED_LEADER_IS_SHORTER, world->now_ms);
    else if (packet->page.records[0]->event.position != cursor.position)
        feed_failed(feed, "the cursor has moved since the leader was asked", world->now_ms);
    else
        feed_compared(feed,
                      digest_equal(&packet->page.records[0]->event.chain, &cursor.chain)
                          ? FEED_LEADER_AGREES
                          : FEED_LEADER_DIFFERS,
                      world->now_ms);
}

void feed_answer(struct world *world, struct node *node, const struct packet *packet)
{
    struct feed *feed = &node->feed;
    if (packet->kind == PACKET_PULL_STATUS) {
        if (packet->count == STATUS_HEARTBEAT)
            feed_heartbeat(feed, world->now_ms);
        else if (packet->epoch == feed->epoch)
            feed_pull_ended(feed, packet->position, packet->count == STATUS_CONFLICT,
                            world->now_ms);
        return;
    }
    if (packet->epoch != feed->epoch)
        return;
    switch (packet->kind) {
    case PACKET_FEED_INFO:      take_stream(world, node, packet); break;
    case PACKET_FEED_LAST:      take_last(world, node, packet); break;
    case PACKET_DURABLE_INFO:   take_durable(world, node, packet); break;
    case PACKET_DURABLE_DELETE: feed_made(feed, world->now_ms); break;
    case PACKET_DURABLE_MAKE:
        if (packet->result == RESULT_FINE)
            feed_made(feed, world->now_ms);
        else
            feed_failed(feed, "the durable cannot be made", world->now_ms);
        break;
    case PACKET_FILL:    take_page(world, node, packet); break;
    case PACKET_COMPARE: take_compared(world, node, packet); break;
    default:             break;
    }
}

/* ---- What to do ------------------------------------------------------------------------------ */

void feed_act(struct world *world, struct node *node)
{
    for (;;) {
        struct feed *feed = &node->feed;
        struct feed_action action = feed_next(feed, world->now_ms);
        switch (action.kind) {
        case FEED_NOTHING: return;
        case FEED_ASK:     ask(world, node, PACKET_FEED_INFO, action.epoch, 0, 0, 0); break;
        case FEED_COMPARE:
            ask(world, node, PACKET_COMPARE, action.epoch, 0, action.position - 1, 1);
            break;
        case FEED_DELETE_DURABLE:
            ask(world, node, PACKET_DURABLE_DELETE, action.epoch, 0, 0, 0);
            break;
        case FEED_MAKE_DURABLE:
            ask(world, node, PACKET_DURABLE_MAKE, action.epoch, action.sequence, 0,
                2 * feed->config.window_max);
            break;
        case FEED_PULL:
            ask(world, node, PACKET_PULL, action.epoch, feed->config.pull_expires_ms, action.pull,
                action.count);
            break;
        case FEED_FILL:
            ask(world, node, PACKET_FILL, action.epoch, 0, action.position, action.count);
            break;
        }
    }
}
