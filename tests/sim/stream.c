/* Stream: what it stores, and what damages it. See server.h. */
#include "server.h"
#include "world.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define ERROR_SIZE 200

/* Only one that is there. */
struct stream *stream_of_name(struct world *world, const char *name, size_t length)
{
    for (int i = 0; i < STREAMS_MAX; i++) {
        struct stream *stream = &world->server.streams[i];
        if (strlen(stream->name) == length && strncmp(stream->name, name, length) == 0)
            return stream;
    }
    return NULL;
}

struct stream *stream_of_subject(struct world *world, const char *subject)
{
    for (int i = 0; i < STREAMS_MAX; i++) {
        struct stream *stream = &world->server.streams[i];
        if (stream->exists && strncmp(subject, stream->prefix, strlen(stream->prefix)) == 0)
            return stream;
    }
    return NULL;
}

/* ---- What is there -------------------------------------------------------------------------- */

const struct stored *stream_at(const struct stream *stream, int64_t sequence)
{
    if (!stream->exists || sequence < stream->first || sequence > stream->last || sequence < 1)
        return NULL;
    const struct stored *stored = &stream->at[sequence];
    return stored->wire && !stored->unreadable ? stored : NULL;
}

static void empty(struct stored *stored)
{
    wire_drop(stored->wire);
    *stored = (struct stored){ 0 };
}

void stream_forget(struct stream *stream, int64_t sequence)
{
    if (sequence < stream->first || sequence > stream->last || !stream->at[sequence].wire)
        return;
    empty(&stream->at[sequence]);
    stream->messages--;
    while (stream->first <= stream->last && !stream->at[stream->first].wire)
        stream->first++;
}

static int64_t newest_position(const struct stream *stream)
{
    for (int64_t s = stream->last; s >= stream->first; s--)
        if (stream->at[s].position > 0)
            return stream->at[s].position;
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
        empty(&stream->at[s]);
    stream->first = stream->last + 1;
    stream->messages = 0;
}

void stream_create(struct world *world, struct stream *stream)
{
    stream->exists = 1;
    stream->first = 1;
    stream->last = stream->in_order = 0;
    stream->created_ms = world->now_ms;
}

void stream_delete(struct world *world, struct stream *stream, _Bool told)
{
    for (int i = 0; i < DURABLES_MAX; i++)
        durable_delete(world, &stream->durables[i], told);
    stream_cut(stream, 0);
    stream->exists = 0;
    stream->first = 1;
    stream->in_order = 0;
    stream->capacity = INT64_MAX;
}

/* ---- Publishing ----------------------------------------------------------------------------- */

static void refuse(struct world *world, const struct stream *stream, const struct wire *wire,
                   int code, int error_code, const char *description)
{
    char json[ERROR_SIZE];
    int length = snprintf(json, sizeof(json),
                          "{\"error\":{\"code\":%d,\"err_code\":%d,\"description\":\"%s\"},"
                          "\"stream\":\"%s\",\"seq\":0}",
                          code, error_code, description, stream->name);
    server_reply(world, wire_reply(wire), json, (size_t)length);
}

static void acknowledge(struct world *world, const struct stream *stream, const struct wire *wire)
{
    char json[ERROR_SIZE];
    if (!*wire_reply(wire))
        return;
    int length = snprintf(json, sizeof(json), "{\"stream\":\"%s\",\"seq\":%" PRId64 "}",
                          stream->name, stream->last);
    server_reply(world, wire_reply(wire), json, (size_t)length);
}

static void store(struct stream *stream, struct wire *wire, int64_t position)
{
    if (stream->last + 1 >= stream->room) {
        stream->room = stream->room ? 2 * stream->room : 256;
        stream->at = must(realloc(stream->at, (size_t)stream->room * sizeof(*stream->at)));
    }
    stream->at[++stream->last] = (struct stored){ .wire = wire_hold(wire), .position = position };
    stream->messages++;
}

void stream_publish(struct world *world, struct stream *stream, struct wire *wire)
{
    if (world->now_ms >= stream->full_until_ms)
        stream->capacity = INT64_MAX;
    int64_t expected = wire_header_number(wire, "Nats-Expected-Last-Sequence", -1);
    if (expected >= 0 && expected != stream->last) {
        char description[64];
        snprintf(description, sizeof(description), "wrong last sequence: %" PRId64, stream->last);
        refuse(world, stream, wire, 400, 10071, description);
        return;
    }
    if (stream->last >= stream->capacity) {
        refuse(world, stream, wire, 503, 10077, "maximum bytes exceeded");
        return;
    }
    store(stream, wire, wire_header_number(wire, "Journey-Position", 0));
    acknowledge(world, stream, wire);
    check_stored(world, stream, wire);
    durable_serve(world, stream);
}
