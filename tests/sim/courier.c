/* Courier: carries out what relay and feed decide, sends the replies of settled batches, makes the
 * calls to the payment provider. It stands for common/runtime/courier*.c, and does as they do, with
 * packets in place of NATS messages. */
#include "schemas/psp.charge.reply.h"
#include "schemas/psp.void.reply.h"
#include "world.h"
#include <stdlib.h>
#include <string.h>

/* ---- Replies --------------------------------------------------------------------------------- */

/* The first text of the body is the id of what was made. */
static void find_id(const char *body, char *ret_id)
{
    const char *begin = strstr(body, "\":\"");
    if (begin)
        snprintf(ret_id, ID_SIZE, "%.*s", (int)strcspn(begin + 3, "\""), begin + 3);
}

static uint64_t hash(const char *text)
{
    uint64_t value = 14695981039346656037u;
    for (; *text; text++)
        value = (value ^ (unsigned char)*text) * 1099511628211u;
    return value;
}

void node_reply(struct world *world, struct node *node, const struct item *item)
{
    struct request *request = world->load.requests[item->received_ns];
    struct packet packet = { .kind = PACKET_REPLY,
                             .node = node->index,
                             .reply = { .request = request } };
    if (!node->connected)
        return;
    if (item->outcome == OUTCOME_REFUSED) {
        packet.reply.refusal = item->refusal->number;
        packet.reply.answer = hash(item->message ? item->message : "");
    } else {
        packet.reply.answer = hash(item->body.data);
        find_id(item->body.data, packet.reply.id);
    }
    send_packet(world, packet);
}

/* ---- Calls to the payment provider ----------------------------------------------------------- */

static void push_answer(struct world *world, struct node *node, const struct open_call *call,
                        enum answer_outcome outcome, int status)
{
    struct item *item = must(item_new(ITEM_ANSWER));
    item->answer = (struct answer){
        .outcome = outcome,
        .number = call->number > 0 ? call->number : -call->number,
        .work = call->number > 0 ? "charge" : "void",
    };
    item->answer.tag = must(arena_copy(&item->arena, call->tag, strlen(call->tag)));
    if (outcome == ANSWER_RECEIVED && call->number > 0) {
        struct psp_charge_reply *reply = must(arena_alloc(&item->arena, sizeof(*reply)));
        reply->status = status == CHARGE_PAID ? "paid" : "declined";
        reply->reason = status == CHARGE_PAID ? NULL : "card_declined";
        item->answer.body = reply;
    } else if (outcome == ANSWER_RECEIVED) {
        struct psp_void_reply *reply = must(arena_alloc(&item->arena, sizeof(*reply)));
        reply->status = "voided";
        item->answer.body = reply;
    }
    tell(world, "%s: the provider about %s/%lld: outcome %d, status %d", node->service->name,
         call->tag, (long long)call->number, outcome, status);
    node_push(node, item);
}

void calls_make(struct world *world, struct node *node, struct batch *batch)
{
    for (const struct outbound_call *call = batch->calls; call; call = call->next) {
        /* of a void with a minus, all through the simulation */
        int64_t number = strcmp(call->subject, "psp.void") == 0 ? -call->number : call->number;
        struct open_call open = { .id = ++node->call_id,
                                  .number = number,
                                  .deadline_ms = world->now_ms + call->timeout_ms };
        struct packet packet = {
            .kind = PACKET_CALL, .node = node->index, .position = open.id, .life = node->life
        };
        snprintf(open.tag, sizeof(open.tag), "%s", call->tag);
        snprintf(packet.call.tag, sizeof(packet.call.tag), "%s", call->tag);
        packet.call.number = number;
        const char *token = strstr(call->body.data, "\"card_token\":\"");
        if (token)
            snprintf(packet.call.token, sizeof(packet.call.token), "%.*s",
                     (int)strcspn(token + 14, "\""), token + 14);
        if (!node->connected || node->call_count == CALLS_MAX) {
            push_answer(world, node, &open, ANSWER_UNREACHABLE, 0);
            continue;
        }
        node->calls[node->call_count++] = open;
        send_packet(world, packet);
    }
}

static void close_call(struct world *world, struct node *node, int i, enum answer_outcome outcome,
                       int status)
{
    struct open_call call = node->calls[i];
    node->calls[i] = node->calls[--node->call_count];
    push_answer(world, node, &call, outcome, status);
}

void call_answered(struct world *world, struct node *node, const struct packet *packet)
{
    for (int i = 0; i < node->call_count; i++)
        if (node->calls[i].id == packet->position) {
            close_call(world, node, i, packet->call.outcome, packet->call.status);
            return;
        }
}

void calls_look_at_clock(struct world *world, struct node *node)
{
    for (int i = node->call_count - 1; i >= 0; i--)
        if (node->calls[i].deadline_ms <= world->now_ms)
            close_call(world, node, i, ANSWER_TIMEOUT, 0);
}

/* ---- Settling, and the thread ---------------------------------------------------------------- */

static void settle(struct world *world, struct node *node, struct batch *batch)
{
    for (const struct item *item = batch->items; item; item = item->next)
        if (item->kind == ITEM_COMMAND)
            node_reply(world, node, item);
    calls_make(world, node, batch);
    feed_settle(world, node, batch);
    relay_settle(world, node, batch);
    batch_free(batch);
}

static void take_note(struct world *world, struct node *node, struct note *note)
{
    const struct packet *packet = &note->packet;
    if (note->kind == NOTE_BATCH) {
        settle(world, node, note->batch);
    } else if (packet->kind == PACKET_ANSWER) {
        call_answered(world, node, packet);
    } else if (packet->kind == PACKET_PULL_STATUS || packet->kind >= PACKET_FEED_INFO) {
        feed_answer(world, node, packet);
    } else {
        relay_answer(world, node, packet);
    }
    free(note);
}

static void act(struct world *world, struct node *node)
{
    if (node->acked_epoch == node->relay.epoch && node->acked_position > 0)
        relay_acked(&node->relay, node->acked_epoch, node->acked_position, world->now_ms);
    relay_act(world, node);
    if (node->relay.state == RELAY_PUBLISHING && !node->announced) {
        node->announced = 1;
        loop_start_process(&node->loop);
        tell(world, "%s is ready", node->service->name);
    }
    /* Others' logs only once our own is whole: a reaction must see what we have said before. */
    if (node->announced)
        feed_act(world, node);
    calls_look_at_clock(world, node);
}

static void tell_moves(const struct world *world, const struct node *node,
                       enum relay_state relay_before, enum feed_state feed_before)
{
    const struct relay *relay = &node->relay;
    const struct feed *feed = &node->feed;
    if (relay->state != relay_before)
        tell(world, "%s relay: %s -> %s (published %lld of %lld) %s", node->service->name,
             relay_state_name(relay_before), relay_state_name(relay->state),
             (long long)relay->published, (long long)relay->head,
             relay->state >= RELAY_WAITING ? relay->reason : "");
    if (feed->state != feed_before)
        tell(world, "%s feed: %s -> %s (cursor %lld of %lld) %s", node->service->name,
             feed_state_name(feed_before), feed_state_name(feed->state), (long long)feed->cursor,
             (long long)feed->leader_position, feed->state >= FEED_WAITING ? feed->reason : "");
}

/* Arrivals before batches: what a batch settles has arrived before. */
void courier_run(struct world *world, struct node *node)
{
    const enum relay_state relay_before = node->relay.state;
    const enum feed_state feed_before = node->feed.state;
    feed_look_at_arrivals(world, node);
    for (int64_t left = 1 + draw(world, 4); node->mail && left > 0; left--) {
        struct note *note = node->mail;
        node->mail = note->next;
        if (!node->mail)
            node->mail_last = &node->mail;
        take_note(world, node, note);
    }
    act(world, node);
    tell_moves(world, node, relay_before, feed_before);
}

int64_t courier_due_ms(const struct world *world, const struct node *node)
{
    if (!node->runs)
        return INT64_MAX;
    _Bool acked = node->acked_epoch == node->relay.epoch &&
                  node->acked_position > node->relay.published;
    if (node->mail || node->delivered > 0 || node->more || acked)
        return world->now_ms;
    int64_t due_ms = relay_due_ms(&node->relay);
    if (node->announced && feed_due_ms(&node->feed) < due_ms)
        due_ms = feed_due_ms(&node->feed);
    for (int i = 0; i < node->call_count; i++)
        if (node->calls[i].deadline_ms < due_ms)
            due_ms = node->calls[i].deadline_ms;
    return due_ms;
}
