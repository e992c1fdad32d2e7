/* Durable: pulls, deliveries, acknowledgements. See server.h. */
#include "bus/jetstream.h"
#include "server.h"
#include "net.h"
#include "world.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define NS_PER_MS 1000000

struct durable *durable_of_name(struct stream *stream, const char *name, size_t length)
{
    for (int i = 0; i < DURABLES_MAX; i++) {
        struct durable *durable = &stream->durables[i];
        if (durable->exists && strlen(durable->name) == length &&
            strncmp(durable->name, name, length) == 0)
            return durable;
    }
    return NULL;
}

struct durable *durable_make(struct stream *stream, const char *name, int64_t start,
                             const char *config)
{
    for (int i = 0; i < DURABLES_MAX; i++) {
        struct durable *durable = &stream->durables[i];
        if (durable->exists)
            continue;
        *durable = (struct durable){ .exists = 1,
                                     .start = start,
                                     .delivered = start - 1,
                                     .acked = start - 1,
                                     .ack_pending_max = 1000 };
        snprintf(durable->name, sizeof(durable->name), "%s", name);
        snprintf(durable->config, sizeof(durable->config), "%s", config);
        return durable;
    }
    return NULL;
}

static void drop_pull(struct durable *durable, int i)
{
    durable->pull_count--;
    memmove(&durable->pulls[i], &durable->pulls[i + 1],
            (size_t)(durable->pull_count - i) * sizeof(*durable->pulls));
}

void durable_delete(struct world *world, struct durable *durable, _Bool told)
{
    for (int i = 0; told && i < durable->pull_count; i++)
        server_status(world, durable->pulls[i].reply, "409 Consumer Deleted");
    *durable = (struct durable){ 0 };
}

void durable_forget_pulls(struct stream *stream, int node, int64_t connection)
{
    for (int i = 0; i < DURABLES_MAX; i++) {
        struct durable *durable = &stream->durables[i];
        for (int p = durable->pull_count - 1; p >= 0; p--)
            if (connection < 0 ||
                (durable->pulls[p].node == node && durable->pulls[p].connection == connection))
                drop_pull(durable, p);
    }
}

/* ---- Delivering ----------------------------------------------------------------------------- */

/* The message as it is stored, and where its acknowledgement goes. */
static void deliver(struct world *world, const struct stream *stream, struct durable *durable,
                    struct pull *pull)
{
    const struct wire *stored = stream->at[durable->delivered].wire;
    char ack_to[BUS_SUBJECT_MAX + 1];
    snprintf(ack_to, sizeof(ack_to), "$JS.ACK.%s.%s.1.%" PRId64 ".%" PRId64 ".%" PRId64 ".%" PRId64,
             stream->name, durable->name, durable->delivered, ++durable->consumer_sequence,
             (WALL_BEGIN_MS + world->now_ms) * NS_PER_MS, stream->last - durable->delivered);
    struct wire *wire = wire_new(&(struct wire_parts){
        .subject = wire_subject(stored),
        .reply = ack_to,
        .block = wire_block(stored),
        .block_length = (size_t)stored->block_length,
        .data = wire_data(stored),
        .data_length = (size_t)stored->data_length,
    });
    server_send(world, pull->reply, wire);
    pull->heartbeat_ms = world->now_ms + pull->idle_ms;
    pull->left--;
}

/* Deleted messages were not delivered, so nobody will acknowledge them. */
int64_t durable_unacknowledged(const struct stream *stream, const struct durable *durable)
{
    int64_t count = 0;
    for (int64_t sequence = durable->acked + 1; sequence <= durable->delivered; sequence++)
        count += stream_at(stream, sequence) != NULL;
    return count;
}

static void serve(struct world *world, struct stream *stream, struct durable *durable)
{
    while (durable->pull_count > 0 && durable->delivered < stream->last &&
           durable_unacknowledged(stream, durable) < durable->ack_pending_max) {
        durable->delivered++;
        if (!stream_at(stream, durable->delivered))
            continue;
        deliver(world, stream, durable, &durable->pulls[0]);
        if (durable->pulls[0].left == 0)
            drop_pull(durable, 0);
    }
}

void durable_serve(struct world *world, struct stream *stream)
{
    for (int i = 0; i < DURABLES_MAX && stream_is_led(world, stream); i++)
        if (stream->durables[i].exists)
            serve(world, stream, &stream->durables[i]);
}

/* ---- Pulls ---------------------------------------------------------------------------------- */

/* durable NULL: there is none. */
void durable_pull(struct world *world, struct stream *stream, struct durable *durable,
                  const struct wire *request, struct sender_of from)
{
    const char *reply = wire_reply(request);
    if (!durable) {
        if (one_in(world, 2)) /* old servers say nothing */
            server_status(world, reply, "503");
        return;
    }
    if (durable->pull_count == PULLS_MAX) {
        server_status(world, reply, "409 Exceeded MaxWaiting");
        return;
    }
    durable->gone_ms = world->now_ms + durable->inactive_ms;
    int64_t expires_ms = wire_member(request, "\"expires\":", 0) / NS_PER_MS;
    int64_t idle_ms = wire_member(request, "\"idle_heartbeat\":", 0) / NS_PER_MS;
    struct pull *pull = &durable->pulls[durable->pull_count++];
    *pull = (struct pull){
        .node = from.node,
        .connection = from.connection,
        .left = wire_member(request, "\"batch\":", 1),
        .expires_ms = world->now_ms + expires_ms,
        .idle_ms = idle_ms > 0 ? idle_ms : INT32_MAX,
    };
    pull->heartbeat_ms = world->now_ms + pull->idle_ms;
    snprintf(pull->reply, sizeof(pull->reply), "%s", reply);
    serve(world, stream, durable);
}

/* Policy all: this one and all before it. */
void durable_ack(struct world *world, const char *subject)
{
    struct js_delivery delivery;
    if (js_parse_delivery(subject, &delivery) < 0) {
        violated(world, "the subject of an acknowledgement is %s", subject);
        return;
    }
    struct stream *stream = stream_of_name(world, delivery.stream, strlen(delivery.stream));
    struct durable *durable =
        stream ? durable_of_name(stream, delivery.consumer, strlen(delivery.consumer)) : NULL;
    if (!durable || !stream_is_led(world, stream) || delivery.stream_sequence <= durable->acked ||
        delivery.stream_sequence > durable->delivered)
        return;
    durable->acked = delivery.stream_sequence;
    serve(world, stream, durable);
}

/* ---- Time ----------------------------------------------------------------------------------- */

int64_t durable_due_ms(const struct stream *stream)
{
    int64_t due_ms = INT64_MAX;
    for (int i = 0; i < DURABLES_MAX; i++) {
        const struct durable *durable = &stream->durables[i];
        if (durable->inactive_ms > 0 && durable->pull_count == 0 && durable->gone_ms < due_ms)
            due_ms = durable->gone_ms;
        for (int p = 0; p < stream->durables[i].pull_count; p++) {
            const struct pull *pull = &stream->durables[i].pulls[p];
            due_ms = pull->expires_ms < due_ms ? pull->expires_ms : due_ms;
            due_ms = pull->heartbeat_ms < due_ms ? pull->heartbeat_ms : due_ms;
        }
    }
    return due_ms;
}

static void look_at_clock(struct world *world, struct durable *durable)
{
    if (durable->pull_count > 0) {
        durable->gone_ms = world->now_ms + durable->inactive_ms;
    } else if (durable->inactive_ms > 0 && durable->gone_ms <= world->now_ms) {
        durable_delete(world, durable, 0);
        return;
    }
    for (int p = durable->pull_count - 1; p >= 0; p--) {
        struct pull *pull = &durable->pulls[p];
        if (pull->expires_ms <= world->now_ms) {
            server_status(world, pull->reply, "408 Request Timeout");
            drop_pull(durable, p);
        } else if (pull->heartbeat_ms <= world->now_ms) {
            server_status(world, pull->reply, "100 Idle Heartbeat");
            pull->heartbeat_ms = world->now_ms + pull->idle_ms;
        }
    }
}

void durable_look_at_clock(struct world *world, struct stream *stream)
{
    for (int i = 0; i < DURABLES_MAX; i++)
        look_at_clock(world, &stream->durables[i]);
}
