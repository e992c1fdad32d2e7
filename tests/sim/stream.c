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

void stream_look_at_terms(struct stream *stream)
{
    stream->term = 0;
    for (int64_t s = stream->first; s <= stream->last; s++) {
        const struct stored *stored = &stream->at[s];
        if (stored->wire && !stored->unreadable && stored->position > 0 &&
            stored->term > stream->term)
            stream->term = stored->term;
    }
}

/* After messages were lost. */
static void look_again(struct stream *stream)
{
    stream->has_foreign = 0;
    for (int64_t s = stream->first; s <= stream->last; s++)
        stream->has_foreign |= stream->at[s].wire && stream->at[s].position == 0;
    stream_look_at_terms(stream);
}

/* How far the sequences have run ahead of the positions, up to there. */
static int64_t offset_at(const struct stream *stream, int64_t sequence)
{
    while (sequence >= stream->first && stream->at[sequence].position <= 0)
        sequence--;
    return sequence >= stream->first ? sequence - stream->at[sequence].position : 0;
}

/* What is acknowledged and lost was not ours alone: other events come to those sequences, and the
 * server does not give them to who has acknowledged them. */
static void note_lost_strangers(struct stream *stream, int64_t last)
{
    for (int i = 0; i < DURABLES_MAX; i++) {
        struct durable *durable = &stream->durables[i];
        if (durable->exists && durable->acked > last && durable->acked <= stream->last)
            durable->passes_over |= stream->at[durable->acked].position <= 0 ||
                                    offset_at(stream, durable->acked) != offset_at(stream, last);
    }
}

void stream_cut(struct stream *stream, int64_t last)
{
    note_lost_strangers(stream, last);
    while (stream->last > last) {
        stream_forget(stream, stream->last);
        stream->last--;
    }
    if (stream->first > stream->last + 1)
        stream->first = stream->last + 1;
    if (newest_position(stream) > 0 || last == 0) /* else what is before may have gone by age */
        stream->in_order = newest_position(stream);
    look_again(stream);
    for (int i = 0; i < RECENT_MAX; i++) /* a server reads them from what is stored */
        if (stream->recent[i].sequence > last)
            stream->recent[i] = (struct recent){ 0 };
}

/* What a foreign message took the place of is still missing: has_foreign stays as it is. */
void stream_purge(struct stream *stream)
{
    for (int64_t s = stream->first; s <= stream->last; s++)
        empty(&stream->at[s]);
    stream->first = stream->last + 1;
    stream->messages = 0;
    stream->term = 0;
    for (int i = 0; i < DURABLES_MAX; i++) /* the server moves them on over what is gone */
        if (*stream->durables[i].config && stream->durables[i].acked < stream->last)
            stream->durables[i].acked = stream->durables[i].delivered = stream->last;
}

void stream_create(struct world *world, struct stream *stream)
{
    stream->exists = 1;
    stream->first = 1;
    stream->last = stream->in_order = 0;
    stream->has_foreign = 0;
    stream->term = 0;
    stream->created_ms = world->now_ms;
    operator_stream_made(world, (int)(stream - world->server.streams));
    memset(stream->recent, 0, sizeof(stream->recent));
}

void stream_delete(struct world *world, struct stream *stream, _Bool told)
{
    const int log = (int)(stream - world->server.streams);
    if (stream->exists)
        edits_stream_gone(world, log);
    operator_look(world, log);
    for (int i = 0; i < DURABLES_MAX; i++)
        durable_delete(world, &stream->durables[i], told);
    stream_cut(stream, 0);
    stream->exists = stream->has_foreign = 0;
    stream->first = 1;
    stream->in_order = 0;
    stream->capacity = INT64_MAX;
}

/* ---- A stream's own leader ------------------------------------------------------------------- */

#define UNHEARD_MAX 20

_Bool stream_is_led(const struct world *world, const struct stream *stream)
{
    return world->now_ms >= stream->leaderless_until_ms;
}

void stream_change_leader(struct world *world, struct stream *stream, int64_t wait_ms)
{
    stream->leaderless_until_ms = world->now_ms + wait_ms;
    stream->unheard = draw(world, UNHEARD_MAX);
    for (int i = 0; i < DURABLES_MAX; i++) {
        struct durable *durable = &stream->durables[i];
        for (int p = 0; p < durable->pull_count && one_in(world, 2); p++)
            server_status(world, durable->pulls[p].reply, "409 Leadership Change");
        durable->pull_count = 0;
        if (one_in(world, 2)) /* the new one does not know what was under way */
            durable->delivered = durable->acked;
    }
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

static void acknowledge(struct world *world, const struct stream *stream, const struct wire *wire,
                        int64_t sequence, _Bool is_duplicate)
{
    char json[ERROR_SIZE];
    if (!*wire_reply(wire))
        return;
    int length = snprintf(json, sizeof(json), "{\"stream\":\"%s\",\"seq\":%" PRId64 "%s}",
                          stream->name, sequence, is_duplicate ? ",\"duplicate\":true" : "");
    server_reply(world, wire_reply(wire), json, (size_t)length);
}

static void store(struct stream *stream, struct wire *wire, int64_t position)
{
    if (stream->last + 1 >= stream->room) {
        stream->room = stream->room ? 2 * stream->room : 256;
        stream->at = must(realloc(stream->at, (size_t)stream->room * sizeof(*stream->at)));
    }
    stream->at[++stream->last] = (struct stored){
        .wire = wire_hold(wire),
        .position = position,
        .term = wire_header_number(wire, "Journey-Term", 0),
    };
    stream->messages++;
}

/* 0: it has none. */
static uint64_t id_of(const struct wire *wire)
{
    const char *text;
    int length = wire_header(wire, "Nats-Msg-Id", &text);
    uint64_t id = length > 0 ? 14695981039346656037u : 0;
    for (int i = 0; i < length; i++)
        id = (id ^ (unsigned char)text[i]) * 1099511628211u;
    return id;
}

/* Its sequence, when it was stored within the duplicate window; 0. */
static int64_t known_as(const struct world *world, const struct stream *stream, uint64_t id)
{
    for (int i = 0; id && i < RECENT_MAX; i++)
        if (stream->recent[i].id == id &&
            world->now_ms < stream->recent[i].at_ms + stream->duplicate_window_ms)
            return stream->recent[i].sequence;
    return 0;
}

/* As nats-server looks: first for a duplicate, then for what must come before. */
static int try_to_store(struct world *world, struct stream *stream, struct wire *wire,
                        char *ret_why, size_t size)
{
    int64_t expected = wire_header_number(wire, "Nats-Expected-Last-Sequence", -1);
    if (world->now_ms >= stream->full_until_ms)
        stream->capacity = INT64_MAX;
    if (stream->is_sealed) {
        snprintf(ret_why, size, "invalid operation on sealed stream");
        return 10109;
    }
    if (expected >= 0 && expected != stream->last) {
        snprintf(ret_why, size, "wrong last sequence: %" PRId64, stream->last);
        return 10071;
    }
    if (stream->last >= stream->capacity) {
        snprintf(ret_why, size, "maximum bytes exceeded");
        return 10077;
    }
    if (stream->max_messages > 0 && stream->messages >= stream->max_messages) {
        snprintf(ret_why, size, "maximum messages exceeded");
        return 10077;
    }
    store(stream, wire, wire_header_number(wire, "Journey-Position", 0));
    return 0;
}

void stream_publish(struct world *world, struct stream *stream, struct wire *wire)
{
    char why[64];
    const uint64_t id = id_of(wire);
    const _Bool is_led = stream_is_led(world, stream), is_heard = is_led && !stream->no_ack;
    if (!is_led && stream->unheard-- <= 0)
        return;
    /* when it is gone again nobody can tell it from one of ours that is */
    if (settings_forget(stream) && wire_header_number(wire, "Journey-Position", 0) == 0)
        return;
    int64_t known = known_as(world, stream, id);
    int error_code = known ? 0 : try_to_store(world, stream, wire, why, sizeof(why));
    if (error_code) {
        if (is_heard)
            refuse(world, stream, wire, error_code == 10077 ? 503 : 400, error_code, why);
        return;
    }
    if (is_heard)
        acknowledge(world, stream, wire, known ? known : stream->last, known > 0);
    if (known)
        return;
    stream->recent_at = (stream->recent_at + 1) % RECENT_MAX;
    stream->recent[stream->recent_at] = (struct recent){ id, stream->last, world->now_ms };
    check_stored(world, stream, wire);
    durable_serve(world, stream);
}
