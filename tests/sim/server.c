/* Server: the message server, as real ones were seen to behave (CONVENTIONS, JetStream): a stream
 * takes a message only after the one that it is told to expect, so one refusal refuses all behind
 * it; sequences are never used twice in one incarnation; a durable delivers what its pulls ask for,
 * remembers what was acknowledged, and one that is ahead of its stream delivers nothing. */
#include "world.h"
#include <stdlib.h>
#include <string.h>

#define STATUS_HEARTBEAT 100
#define STATUS_TIMEOUT 408
#define STATUS_CONFLICT 409
#define HEARTBEAT_MS 1000

/* ---- A stream ------------------------------------------------------------------------------- */

void durable_wipe(struct durable *durable)
{
    *durable = (struct durable){ 0 };
}

void stream_wipe(struct stream *stream)
{
    free(stream->at);
    *stream = (struct stream){ .first = 1, .capacity = INT64_MAX };
}

static void find_first(struct stream *stream)
{
    while (stream->first <= stream->last && !stream->at[stream->first].record)
        stream->first++;
}

void stream_forget(struct stream *stream, int64_t sequence)
{
    if (sequence < stream->first || sequence > stream->last || !stream->at[sequence].record)
        return;
    stream->at[sequence] = (struct stored){ 0 };
    stream->messages--;
    find_first(stream);
}

static int64_t newest_position(const struct stream *stream)
{
    for (int64_t s = stream->last; s >= stream->first; s--)
        if (stream->at[s].record)
            return stream->at[s].record->event.position;
    return 0;
}

void stream_cut(struct stream *stream, int64_t last)
{
    while (stream->last > last) {
        stream_forget(stream, stream->last);
        stream->last--;
    }
    if (stream->first > stream->last + 1)
        stream->first = stream->last + 1;
    stream->in_order = newest_position(stream);
}

void stream_purge(struct stream *stream)
{
    for (int64_t s = stream->first; s <= stream->last; s++)
        stream->at[s] = (struct stored){ 0 };
    stream->first = stream->last + 1;
    stream->messages = 0;
}

_Bool stream_is_whole(const struct world *world, int index)
{
    const struct stream *stream = &world->server.streams[index];
    int64_t position = 0;
    for (int64_t s = stream->first; stream->exists && s <= stream->last; s++) {
        const struct stored *stored = &stream->at[s];
        if (!stored->record || stored->unreadable)
            return 0;
        position += stored->record->event.position == position + 1;
    }
    return stream->exists && position == world->nodes[index].history_count;
}

/* ---- Publishing ----------------------------------------------------------------------------- */

static void answer(struct world *world, const struct packet *question, struct packet reply)
{
    reply.kind = question->kind;
    reply.node = question->node;
    reply.life = question->life;
    reply.epoch = question->epoch;
    reply.to_node = reply.is_reply = 1;
    send_packet(world, reply);
}

/* I6 and I7, at every message: what is stored is committed, and comes in order or is a repeat. */
static void check_stored(struct world *world, struct stream *stream, int index,
                         const struct record *record)
{
    const int64_t position = record->event.position;
    if (history_at(&world->nodes[index], position) != record)
        violated(world, "I7: stream %s holds an event at position %lld that was never committed",
                 world->nodes[index].service->log, (long long)position);
    else if (position > stream->in_order + 1)
        violated(world, "I6: stream %s goes from position %lld to %lld",
                 world->nodes[index].service->log, (long long)stream->in_order,
                 (long long)position);
    else if (position == stream->in_order + 1)
        stream->in_order = position;
}

static void take_publish(struct world *world, const struct packet *packet)
{
    struct stream *stream = &world->server.streams[packet->stream];
    struct packet reply = { .position = packet->position };
    if (world->now_ms >= stream->full_until_ms)
        stream->capacity = INT64_MAX;
    if (!stream->exists)
        reply.result = RESULT_AWAY;
    else if (packet->sequence >= 0 && packet->sequence != stream->last)
        reply.result = RESULT_WRONG_SEQUENCE;
    else if (stream->last >= stream->capacity)
        reply.result = RESULT_REFUSED;
    if (reply.result == RESULT_FINE) {
        if (stream->last + 1 >= stream->room) {
            stream->room = stream->room ? 2 * stream->room : 256;
            stream->at = must(realloc(stream->at, (size_t)stream->room * sizeof(*stream->at)));
        }
        stream->at[++stream->last] = (struct stored){ .record = packet->record };
        stream->messages++;
        check_stored(world, stream, packet->stream, packet->record);
        server_serve(world, packet->stream);
    }
    if (packet->count > 0)
        answer(world, packet, reply);
}

/* ---- Looking --------------------------------------------------------------------------------- */

static struct packet look(const struct stream *stream)
{
    struct packet reply = { .result = stream->exists ? RESULT_FINE : RESULT_NOT_FOUND };
    reply.tail = (struct relay_tail){
        .exists = stream->exists,
        .first_sequence = stream->first,
        .last_sequence = stream->last,
        .messages = stream->messages,
    };
    if (stream->messages > 0)
        reply.tail.deleted = stream->last - stream->first + 1 - stream->messages;
    return reply;
}

static struct packet look_for_audit(const struct stream *stream, const struct packet *packet)
{
    struct packet reply = look(stream);
    for (int64_t s = packet->sequence; s > 0 && s <= packet->position && reply.sequence == 0; s++)
        if (s < stream->first || s > stream->last || !stream->at[s].record ||
            stream->at[s].unreadable)
            reply.sequence = s;
    return reply;
}

static struct packet get(const struct stream *stream, int64_t sequence)
{
    struct packet reply = { .sequence = sequence };
    if (sequence == 0) /* the newest that is there */
        for (sequence = stream->last; sequence >= stream->first && !stream->at[sequence].record;
             sequence--)
            ;
    _Bool is_there = stream->exists && sequence >= stream->first && sequence <= stream->last &&
                     sequence > 0;
    if (!is_there || !stream->at[sequence].record || stream->at[sequence].unreadable) {
        reply.result = RESULT_NOT_FOUND;
        return reply;
    }
    reply.record = stream->at[sequence].record;
    reply.sequence = sequence;
    return reply;
}

/* ---- The durable ----------------------------------------------------------------------------- */

static void say_to_pull(struct world *world, int index, const struct server_pull *pull, int status)
{
    send_packet(world, (struct packet){ .kind = PACKET_PULL_STATUS,
                                        .node = 1 - index,
                                        .to_node = 1,
                                        .stream = index,
                                        .epoch = pull->epoch,
                                        .position = pull->number,
                                        .count = status,
                                        .life = pull->life });
}

static void drop_pull(struct durable *durable, int i)
{
    durable->pull_count--;
    memmove(&durable->pulls[i], &durable->pulls[i + 1],
            (size_t)(durable->pull_count - i) * sizeof(*durable->pulls));
}

void server_serve(struct world *world, int index)
{
    struct stream *stream = &world->server.streams[index];
    struct durable *durable = &stream->durable;
    if (!durable->exists)
        return;
    while (durable->pull_count > 0 && durable->delivered < stream->last &&
           durable->delivered - durable->acked < durable->ack_pending_max) {
        const struct stored *stored = &stream->at[++durable->delivered];
        if (!stored->record || stored->unreadable)
            continue;
        struct server_pull *pull = &durable->pulls[0];
        send_packet(world, (struct packet){ .kind = PACKET_DELIVERY,
                                            .node = 1 - index,
                                            .to_node = 1,
                                            .stream = index,
                                            .record = stored->record,
                                            .sequence = durable->delivered,
                                            .count = stream->last - durable->delivered,
                                            .life = pull->life });
        if (--pull->left == 0)
            drop_pull(durable, 0);
        durable->heartbeat_ms = world->now_ms + HEARTBEAT_MS;
    }
}

static void take_pull(struct world *world, const struct packet *packet)
{
    struct durable *durable = &world->server.streams[packet->stream].durable;
    struct server_pull pull = {
        .number = packet->position,
        .epoch = packet->epoch,
        .left = packet->count,
        .expires_ms = world->now_ms + packet->sequence,
        .life = packet->life,
    };
    if (!durable->exists || durable->pull_count == PULLS_MAX) {
        if (one_in(world, 2)) /* old servers say nothing */
            say_to_pull(world, packet->stream, &pull, STATUS_CONFLICT);
        return;
    }
    if (durable->pull_count == 0)
        durable->heartbeat_ms = world->now_ms + HEARTBEAT_MS;
    durable->pulls[durable->pull_count++] = pull;
    server_serve(world, packet->stream);
}

static void take_ack(struct world *world, const struct packet *packet)
{
    struct durable *durable = &world->server.streams[packet->stream].durable;
    if (durable->exists && packet->sequence > durable->acked &&
        packet->sequence <= durable->delivered) {
        durable->acked = packet->sequence;
        server_serve(world, packet->stream);
    }
}

static struct packet durable_info(const struct stream *stream)
{
    const struct durable *durable = &stream->durable;
    struct packet reply = { .result = durable->exists ? RESULT_FINE : RESULT_NOT_FOUND };
    if (durable->exists)
        reply.info = (struct feed_info){
            .durable_exists = 1,
            .acked_sequence = durable->acked,
            .delivered_sequence = durable->delivered,
            .pending = stream->last > durable->delivered ? stream->last - durable->delivered : 0,
            .ack_pending = durable->delivered - durable->acked,
        };
    return reply;
}

static struct packet make_durable(struct stream *stream, const struct packet *packet)
{
    if (!stream->exists)
        return (struct packet){ .result = RESULT_NOT_FOUND };
    if (stream->durable.exists) /* its start cannot be changed */
        return (struct packet){ .result = RESULT_REFUSED };
    stream->durable = (struct durable){
        .exists = 1,
        .delivered = packet->sequence - 1,
        .acked = packet->sequence - 1,
        .ack_pending_max = packet->count,
    };
    return (struct packet){ .result = RESULT_FINE };
}

/* ---- The table ------------------------------------------------------------------------------- */

void server_take(struct world *world, const struct packet *packet)
{
    struct stream *stream = &world->server.streams[packet->stream];
    struct packet reply = { 0 };
    switch (packet->kind) {
    case PACKET_PUBLISH:   take_publish(world, packet); return;
    case PACKET_PULL:      take_pull(world, packet); return;
    case PACKET_ACK:       take_ack(world, packet); return;
    case PACKET_INFO:
    case PACKET_FEED_INFO: reply = look(stream); break;
    case PACKET_AUDIT:     reply = look_for_audit(stream, packet); break;
    case PACKET_LAST:
    case PACKET_FEED_LAST:
    case PACKET_GET:
        reply = get(stream, packet->sequence);
        reply.count = packet->sequence;
        break;
    case PACKET_DURABLE_INFO:   reply = durable_info(stream); break;
    case PACKET_DURABLE_DELETE: durable_wipe(&stream->durable); break;
    case PACKET_DURABLE_MAKE:   reply = make_durable(stream, packet); break;
    case PACKET_DELETE:
        reply.result = stream->exists ? RESULT_FINE : RESULT_NOT_FOUND;
        stream_wipe(stream);
        break;
    case PACKET_MAKE:
        if (!stream->exists)
            *stream = (struct stream){ .exists = 1, .first = 1, .capacity = INT64_MAX };
        break;
    default: break;
    }
    answer(world, packet, reply);
}

/* ---- Time ------------------------------------------------------------------------------------ */

int64_t server_due_ms(const struct world *world)
{
    int64_t due_ms = world->server.is_up ? INT64_MAX : world->server.up_at_ms;
    for (int i = 0; i < NODES && world->server.is_up; i++) {
        const struct durable *durable = &world->server.streams[i].durable;
        if (durable->pull_count == 0)
            continue;
        if (durable->heartbeat_ms < due_ms)
            due_ms = durable->heartbeat_ms;
        if (durable->pulls[0].expires_ms < due_ms)
            due_ms = durable->pulls[0].expires_ms;
    }
    return due_ms;
}

void server_look_at_clock(struct world *world)
{
    if (!world->server.is_up && world->now_ms >= world->server.up_at_ms) {
        tell(world, "the server is up again");
        world->server.is_up = 1;
    }
    for (int i = 0; i < NODES && world->server.is_up; i++) {
        struct durable *durable = &world->server.streams[i].durable;
        while (durable->pull_count > 0 && durable->pulls[0].expires_ms <= world->now_ms) {
            say_to_pull(world, i, &durable->pulls[0], STATUS_TIMEOUT);
            drop_pull(durable, 0);
        }
        if (durable->pull_count > 0 && durable->heartbeat_ms <= world->now_ms) {
            for (int p = 0; p < durable->pull_count; p++)
                say_to_pull(world, i, &durable->pulls[p], STATUS_HEARTBEAT);
            durable->heartbeat_ms = world->now_ms + HEARTBEAT_MS;
        }
    }
}

void server_drop(struct world *world, int node)
{
    struct durable *durable = &world->server.streams[1 - node].durable;
    durable->pull_count = 0;
}
