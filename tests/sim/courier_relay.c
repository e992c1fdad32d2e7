/* Courier, the relay's part: as common/runtime/outbound/relay_io.c. */
#include "world.h"
#include <string.h>

static void ask(struct world *world, struct node *node, enum packet_kind kind, int64_t epoch,
                int64_t sequence, int64_t last)
{
    send_packet(world, (struct packet){ .kind = kind,
                                        .node = node->index,
                                        .stream = node->index,
                                        .epoch = epoch,
                                        .sequence = sequence,
                                        .position = last,
                                        .life = node->life });
}

/* ---- Publishing ----------------------------------------------------------------------------- */

static void publish(struct world *world, struct node *node, const struct relay_action *action)
{
    _deinit_(event_reader) struct event_reader reader = { 0 };
    struct event event;
    int64_t sequence = action->sequence;
    tell(world, "%s publishes %lld..%lld after %lld", node->service->name, (long long)action->first,
         (long long)action->last, (long long)sequence);
    int r = event_reader_open(&reader, node->db, node->self.log, action->first - 1,
                              action->last - action->first + 1);
    while (r == 0 && event_reader_has_next(&reader, &event)) {
        int64_t expected = world->without == GUARD_EXPECTED_SEQUENCE ? -1 : sequence;
        sequence++;
        send_packet(world, (struct packet){ .kind = PACKET_PUBLISH,
                                            .node = node->index,
                                            .stream = node->index,
                                            .epoch = action->epoch,
                                            .sequence = expected,
                                            .position = event.position,
                                            .life = node->life,
                                            /* asks for an acknowledgement */
                                            .count = event.position == action->last,
                                            .record = record_of(world, node->index, &event) });
    }
    if (sequence != action->sequence + action->last - action->first + 1)
        violated(world, "I4: the log of %s ends before position %lld", node->service->name,
                 (long long)action->last);
}

/* ---- Looking at the stream ------------------------------------------------------------------ */

/* The stream's last message against our log. */
static void compare_last(struct world *world, struct node *node, const struct record *record)
{
    struct relay_tail *tail = &node->tail;
    struct digest chain;
    tail->has_last = tail->is_ours = 1;
    tail->position = record->event.position;
    if (tail->position > node->relay.head) {
        tail->fit = TAIL_AHEAD;
        return;
    }
    int r = event_log_find_chain(node->db, tail->position, &chain);
    tail->fit = r == 0 && digest_equal(&chain, &record->event.chain) ? TAIL_EQUAL : TAIL_DIFFERENT;
    if (r < 0)
        violated(world, "I12: the log of %s cannot be read: %s", node->service->name,
                 failure_text());
}

static void take_info(struct world *world, struct node *node, const struct packet *packet)
{
    node->tail = packet->tail;
    if (packet->kind == PACKET_AUDIT) {
        relay_audited(&node->relay, &node->tail, world->now_ms);
        if (packet->sequence > 0)
            relay_hole(&node->relay, world->now_ms);
    } else if (node->tail.messages == 0) {
        relay_tail(&node->relay, &node->tail, world->now_ms);
    } else {
        ask(world, node, PACKET_LAST, packet->epoch, node->tail.last_sequence, 0);
    }
}

/* count: the sequence that was asked for; 0: the newest that is there. */
static void take_last(struct world *world, struct node *node, const struct packet *packet)
{
    if (packet->result == RESULT_NOT_FOUND && packet->count > 0) {
        ask(world, node, PACKET_LAST, packet->epoch, 0, 0);
        return;
    }
    if (packet->result == RESULT_FINE) {
        node->tail.message_sequence = packet->sequence;
        compare_last(world, node, packet->record);
    }
    relay_tail(&node->relay, &node->tail, world->now_ms);
}

/* ---- Reading our own stream back ------------------------------------------------------------ */

static void recover(struct world *world, struct node *node, const struct relay_action *action)
{
    int64_t count = action->last - action->sequence + 1;
    node->recovery.first = action->sequence;
    node->recovery.expected = count < RECOVER_MAX ? (int)count : RECOVER_MAX;
    node->recovery.received = 0; /* unsettled: of a try that timed out; the loop still has them */
    memset(node->recovery.records, 0, sizeof(node->recovery.records));
    for (int i = 0; i < node->recovery.expected; i++)
        ask(world, node, PACKET_GET, action->epoch, action->sequence + i, 0);
}

static void push_own(struct world *world, struct node *node, const struct record *record)
{
    struct item *item = must(item_new(ITEM_EVENT));
    record_read(world, record, node->service->events);
    item->event = record->event;
    item->event_digest = record->digest;
    item->type = event_type_of_name(node->service->events, record->event.type);
    item->invalid = record->invalid;
    item->stream_position = node->relay.stream_position;
    node->recovery.unsettled++;
    node_push(node, item);
}

static void take_own_message(struct world *world, struct node *node, const struct packet *packet)
{
    int64_t place = packet->count - node->recovery.first;
    if (place < 0 || place >= node->recovery.expected || node->recovery.records[place])
        return;
    if (packet->result == RESULT_FINE)
        node->recovery.records[place] = packet->record;
    if (++node->recovery.received < node->recovery.expected)
        return;
    for (int i = 0; i < node->recovery.expected; i++)
        if (node->recovery.records[i])
            push_own(world, node, node->recovery.records[i]);
    if (node->recovery.unsettled == 0)
        relay_fork(&node->relay, "the stream has lost events that our log has lost too");
}

void relay_settle(struct world *world, struct node *node, const struct batch *batch)
{
    struct relay *relay = &node->relay;
    _Bool recovering = node->recovery.unsettled > 0;
    for (const struct item *item = batch->items; item; item = item->next) {
        if (item->kind != ITEM_EVENT || item->source)
            continue;
        node->recovery.unsettled--;
        if (item->outcome == OUTCOME_FORK)
            relay_fork(relay, "log and stream have different chains at the same position");
        else if (item->outcome == OUTCOME_GAP && !node->recovery.rolled_back)
            relay_fork(relay, "the stream has lost events that our log has lost too");
    }
    node->recovery.rolled_back = node->recovery.unsettled > 0 &&
                                 (node->recovery.rolled_back || batch->aborted);
    _Bool is_over = recovering && node->recovery.unsettled == 0;
    if (batch->aborted) {
        if (is_over)
            relay_failed(relay, "our own events cannot be applied", world->now_ms);
        return;
    }
    int64_t head = batch->at.head.position;
    if (is_over && relay->state == RELAY_RECOVERING) {
        if (head == relay->head)
            relay_failed(relay, "catching up on our own stream makes no progress", world->now_ms);
        relay_recovered(relay, head, world->now_ms);
    }
    relay_grew(relay, head, world->now_ms);
}

/* ---- The two tables ------------------------------------------------------------------------- */

void relay_answer(struct world *world, struct node *node, const struct packet *packet)
{
    struct relay *relay = &node->relay;
    if (packet->epoch != relay->epoch)
        return;
    switch (packet->kind) {
    case PACKET_INFO:
    case PACKET_AUDIT:  take_info(world, node, packet); break;
    case PACKET_LAST:   take_last(world, node, packet); break;
    case PACKET_GET:    take_own_message(world, node, packet); break;
    case PACKET_MAKE:
    case PACKET_DELETE: relay_made(relay, world->now_ms); break;
    case PACKET_PUBLISH:
        if (packet->result == RESULT_WRONG_SEQUENCE)
            relay_denied(relay, packet->epoch, "the stream expected another sequence",
                         world->now_ms);
        else
            relay_refused(relay, packet->epoch, "the stream refused an event", world->now_ms);
        break;
    default: break;
    }
}

void relay_act(struct world *world, struct node *node)
{
    node->more = 0;
    for (;;) {
        struct relay_action action = relay_next(&node->relay, world->now_ms);
        switch (action.kind) {
        case RELAY_NOTHING: return;
        case RELAY_ASK:     ask(world, node, PACKET_INFO, action.epoch, 0, 0); break;
        case RELAY_AUDIT:
            ask(world, node, PACKET_AUDIT, action.epoch, action.first, action.last);
            break;
        case RELAY_MAKE_STREAM:   ask(world, node, PACKET_MAKE, action.epoch, 0, 0); break;
        case RELAY_DELETE_STREAM: ask(world, node, PACKET_DELETE, action.epoch, 0, 0); break;
        case RELAY_RECOVER:       recover(world, node, &action); break;
        case RELAY_PUBLISH:
            publish(world, node, &action);
            node->more = 1;
            return;
        }
    }
}
