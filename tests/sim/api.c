/* Api: $JS.API. Requests are looked at with the eye for the few members that the mesh sends, and
 * answers are written by hand: there are many of them. See server.h. */
#include "base/clock.h"
#include "server.h"
#include "world.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define ANSWER_SIZE 4096
#define LIST_SIZE (DURABLES_MAX * 1400)

static void answer(struct world *world, const struct wire *request, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void answer(struct world *world, const struct wire *request, const char *format, ...)
{
    char json[ANSWER_SIZE];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(json, sizeof(json), format, arguments);
    va_end(arguments);
    server_reply(world, wire_reply(request), json, (size_t)length);
}

static void refuse(struct world *world, const struct wire *request, int code, int error_code,
                   const char *description)
{
    answer(world, request, "{\"error\":{\"code\":%d,\"err_code\":%d,\"description\":\"%s\"}}", code,
           error_code, description);
}

/* ---- Streams -------------------------------------------------------------------------------- */

static int count_durables(const struct stream *stream)
{
    int count = 0;
    for (int i = 0; i < DURABLES_MAX; i++)
        count += stream->durables[i].exists;
    return count;
}

static void describe_stream(struct world *world, const struct stream *stream,
                            const struct wire *request)
{
    char created[RFC3339_SIZE];
    rfc3339_format(WALL_BEGIN_MS + stream->created_ms, created);
    int64_t deleted = stream->messages > 0 ? stream->last - stream->first + 1 - stream->messages
                                           : 0;
    answer(world, request,
           "{\"type\":\"io.nats.jetstream.api.v1.stream_info_response\",\"config\":%s,\"created\":"
           "\"%s\",\"state\":{\"messages\":%" PRId64 ",\"bytes\":%" PRId64 ",\"first_seq\":%" PRId64
           ",\"last_seq\":%" PRId64 ",\"num_deleted\":%" PRId64 ",\"consumer_count\":%d}}",
           stream->config, created, stream->messages, 600 * stream->messages,
           stream->last == 0 ? 0 : stream->first, stream->last, deleted, count_durables(stream));
}

static void create_stream(struct world *world, struct stream *stream, const struct wire *request,
                          int node)
{
    if (!stream->exists) {
        stream_create(world, stream);
        settings_set(stream, wire_data(request), (size_t)request->data_length);
        edits_stream_made(world, (int)(stream - world->server.streams), node);
    }
    describe_stream(world, stream, request);
}

static void update_stream(struct world *world, struct stream *stream, const struct wire *request)
{
    settings_set(stream, wire_data(request), (size_t)request->data_length);
    describe_stream(world, stream, request);
}

static void delete_stream(struct world *world, struct stream *stream, const struct wire *request)
{
    stream_delete(world, stream, one_in(world, 2)); /* old servers say nothing to who waits */
    answer(world, request, "{\"success\":true}");
}

/* ---- One stored message --------------------------------------------------------------------- */

static char *put_text(char *to, const char *text)
{
    size_t length = strlen(text);
    memcpy(to, text, length);
    return to + length;
}

static char *put_base64(char *to, const char *data, size_t length)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *from = (const unsigned char *)data;
    for (; length >= 3; length -= 3, from += 3) {
        *to++ = digits[from[0] >> 2];
        *to++ = digits[(from[0] & 3) << 4 | from[1] >> 4];
        *to++ = digits[(from[1] & 15) << 2 | from[2] >> 6];
        *to++ = digits[from[2] & 63];
    }
    if (length > 0) {
        unsigned second = length > 1 ? from[1] : 0;
        *to++ = digits[from[0] >> 2];
        *to++ = digits[(from[0] & 3) << 4 | second >> 4];
        *to++ = length > 1 ? digits[(second & 15) << 2] : '=';
        *to++ = '=';
    }
    return to;
}

static void show_message(struct world *world, const struct wire *request, const struct wire *stored,
                         int64_t sequence)
{
    size_t room = (size_t)stored->subject_length + 200 +
                  (size_t)(stored->block_length + stored->data_length) * 4 / 3;
    char *json = must(malloc(room)), *to = json;
    to += snprintf(json, room, "{\"message\":{\"subject\":\"%s\",\"seq\":%" PRId64 ",\"hdrs\":\"",
                   wire_subject(stored), sequence);
    to = put_base64(to, wire_block(stored), (size_t)stored->block_length);
    to = put_text(to, "\",\"data\":\"");
    to = put_base64(to, wire_data(stored), (size_t)stored->data_length);
    to = put_text(to, "\",\"time\":\"2026-11-23T05:40:00Z\"}}");
    server_reply(world, wire_reply(request), json, (size_t)(to - json));
    free(json);
}

/* By its sequence; the newest; the first at or after a sequence: all subjects are the stream's. */
static void get_message(struct world *world, const struct stream *stream,
                        const struct wire *request)
{
    int64_t sequence = wire_member(request, "\"seq\":", 0);
    if (strstr(wire_data(request), "\"last_by_subj\""))
        for (sequence = stream->last; sequence > 0 && !stream_at(stream, sequence); sequence--)
            ;
    else if (strstr(wire_data(request), "\"next_by_subj\""))
        while (sequence <= stream->last && !stream_at(stream, sequence))
            sequence++;
    const struct stored *stored = stream_at(stream, sequence);
    if (stored)
        show_message(world, request, stored->wire, sequence);
    else
        refuse(world, request, 404, 10037, "no message found");
}

/* ---- Durables ------------------------------------------------------------------------------- */

/* As a reader makes it. */
static void write_config(const struct durable *durable, char *ret_config)
{
    if (durable->is_unacknowledged) {
        snprintf(ret_config, DURABLE_CONFIG_SIZE, "{\"name\":\"%s\",\"ack_policy\":\"none\"}",
                 durable->name);
        return;
    }
    snprintf(ret_config, DURABLE_CONFIG_SIZE,
             "{\"durable_name\":\"%s\",\"name\":\"%s\",\"deliver_policy\":\"by_start_sequence\","
             "\"ack_policy\":\"all\",\"ack_wait\":30000000000,\"max_deliver\":-1,"
             "\"replay_policy\":\"instant\",\"opt_start_seq\":%" PRId64
             ",\"max_ack_pending\":%" PRId64 ",\"inactive_threshold\":%" PRId64
             ",\"num_replicas\":0%s}",
             durable->name, durable->name, durable->start, durable->ack_pending_max,
             durable->inactive_ms * 1000000,
             durable->inactive_ms > 0 ? ",\"metadata\":{\"journey.standby\":\"true\"}" : "");
}

static int write_durable(const struct stream *stream, const struct durable *durable, char *ret_json,
                         size_t size)
{
    char config[DURABLE_CONFIG_SIZE];
    if (*durable->config)
        memcpy(config, durable->config, sizeof(config));
    else
        write_config(durable, config);
    int64_t pending = stream->last > durable->delivered ? stream->last - durable->delivered : 0;
    return snprintf(
        ret_json, size,
        "{\"type\":\"io.nats.jetstream.api.v1.consumer_info_response\",\"stream_name\":\"%s\","
        "\"name\":\"%s\",\"created\":\"2026-11-23T05:40:00Z\",\"config\":%s,\"delivered\":{"
        "\"consumer_seq\":%" PRId64 ",\"stream_seq\":%" PRId64
        "},\"ack_floor\":{\"consumer_seq\":%" PRId64 ",\"stream_seq\":%" PRId64
        "},\"num_ack_pending\":%" PRId64 ",\"num_waiting\":%d,\"num_pending\":%" PRId64 "}",
        stream->name, durable->name, config, durable->consumer_sequence, durable->delivered,
        durable->consumer_sequence, durable->acked, durable_unacknowledged(stream, durable),
        durable->pull_count, pending);
}

static void describe_durable(struct world *world, const struct stream *stream,
                             const struct durable *durable, const struct wire *request)
{
    char json[ANSWER_SIZE];
    const int length = write_durable(stream, durable, json, sizeof(json));
    server_reply(world, wire_reply(request), json, (size_t)length);
}

static void list_durables(struct world *world, const struct stream *stream,
                          const struct wire *request)
{
    char json[LIST_SIZE];
    const int count = count_durables(stream);
    int length = snprintf(json, sizeof(json),
                          "{\"total\":%d,\"offset\":0,\"limit\":256,"
                          "\"consumers\":[",
                          count);
    for (int i = 0, n = 0; i < DURABLES_MAX; i++) {
        if (!stream->durables[i].exists)
            continue;
        length += write_durable(stream, &stream->durables[i], json + length,
                                sizeof(json) - (size_t)length);
        length += snprintf(json + length, sizeof(json) - (size_t)length, "%s",
                           ++n < count ? "," : "");
    }
    length += snprintf(json + length, sizeof(json) - (size_t)length, "]}");
    server_reply(world, wire_reply(request), json, (size_t)length);
}

/* The durable of a service, or of one of its standbys: `order-svc`, `order-svc-<instance>`. */
static _Bool is_reader(const char *service, const char *durable)
{
    const size_t length = strlen(service);
    return strncmp(service, durable, length) == 0 &&
           (durable[length] == '\0' || durable[length] == '-');
}

/* The configuration of one that is no service's; "": a reader's. */
static void take_config(const struct world *world, const char *name, const struct wire *request,
                        char *ret_config)
{
    const struct json_text config =
        json_text_find(json_text_of(wire_data(request), (size_t)request->data_length), "config");
    ret_config[0] = '\0';
    for (int log = 0; log < LOGS; log++)
        if (is_reader(world->logs[log].service->name, name))
            return;
    snprintf(ret_config, DURABLE_CONFIG_SIZE, "%.*s", (int)config.length, config.text);
}

static void create_durable(struct world *world, struct stream *stream, struct durable *found,
                           const char *name, const struct wire *request, int node)
{
    char config[DURABLE_CONFIG_SIZE];
    if (found) { /* its start cannot be changed */
        refuse(world, request, 400, 10148, "consumer already exists");
        return;
    }
    take_config(world, name, request, config);
    struct durable *durable = durable_make(stream, name,
                                           wire_member(request, "\"opt_start_seq\":", 1), config);
    if (!durable) {
        refuse(world, request, 400, 10026, "maximum consumers limit reached");
        return;
    }
    durable->ack_pending_max = wire_member(request, "\"max_ack_pending\":", 1000);
    durable->is_unacknowledged = strstr(wire_data(request), "\"ack_policy\":\"none\"") != NULL;
    if (durable->is_unacknowledged)
        durable->ack_pending_max = INT64_MAX;
    durable->inactive_ms = wire_member(request, "\"inactive_threshold\":", 0) / 1000000;
    durable->gone_ms = world->now_ms + durable->inactive_ms;
    if (*config)
        edits_durable_made(world, (int)(stream - world->server.streams), durable, node);
    describe_durable(world, stream, durable, request);
}

static void delete_durable(struct world *world, struct durable *durable, const struct wire *request)
{
    durable_delete(world, durable, one_in(world, 2));
    answer(world, request, "{\"success\":true}");
}

/* ---- The table ------------------------------------------------------------------------------ */

enum verb {
    STREAM_INFO,
    STREAM_CREATE,
    STREAM_UPDATE,
    STREAM_DELETE,
    MESSAGE_GET,
    CONSUMER_LIST,
    CONSUMER_INFO,
    CONSUMER_CREATE,
    CONSUMER_DELETE,
    CONSUMER_NEXT,
    VERBS
};
static const char *const verbs[VERBS] = {
    [STREAM_INFO] = "STREAM.INFO.",         [STREAM_CREATE] = "STREAM.CREATE.",
    [STREAM_UPDATE] = "STREAM.UPDATE.",     [STREAM_DELETE] = "STREAM.DELETE.",
    [MESSAGE_GET] = "STREAM.MSG.GET.",      [CONSUMER_LIST] = "CONSUMER.LIST.",
    [CONSUMER_INFO] = "CONSUMER.INFO.",     [CONSUMER_CREATE] = "CONSUMER.CREATE.",
    [CONSUMER_DELETE] = "CONSUMER.DELETE.", [CONSUMER_NEXT] = "CONSUMER.MSG.NEXT.",
};

static void serve(struct world *world, enum verb verb, struct stream *stream, const char *consumer,
                  const struct wire *request, struct sender_of from)
{
    struct durable *durable = durable_of_name(stream, consumer, strlen(consumer));
    if (!stream_is_led(world, stream)) {
        if (verb != CONSUMER_NEXT && one_in(world, 2))
            refuse(world, request, 503, 10008, "JetStream system temporarily unavailable");
        return;
    }
    if (verb == CONSUMER_NEXT) {
        durable_pull(world, stream, durable, request, from);
        return;
    }
    if (!stream->exists && verb != STREAM_CREATE) {
        refuse(world, request, 404, 10059, "stream not found");
        return;
    }
    if (!durable && (verb == CONSUMER_INFO || verb == CONSUMER_DELETE)) {
        refuse(world, request, 404, 10014, "consumer not found");
        return;
    }
    switch (verb) {
    case STREAM_INFO:   describe_stream(world, stream, request); break;
    case STREAM_CREATE: create_stream(world, stream, request, from.node); break;
    case STREAM_UPDATE: update_stream(world, stream, request); break;
    case STREAM_DELETE: delete_stream(world, stream, request); break;
    case MESSAGE_GET:   get_message(world, stream, request); break;
    case CONSUMER_LIST: list_durables(world, stream, request); break;
    case CONSUMER_INFO: describe_durable(world, stream, durable, request); break;
    case CONSUMER_CREATE:
        create_durable(world, stream, durable, consumer, request, from.node);
        break;
    case CONSUMER_DELETE: delete_durable(world, durable, request); break;
    default:              break;
    }
}

void api_take(struct world *world, const struct wire *request, struct sender_of from)
{
    const char *rest = wire_subject(request) + strlen("$JS.API.");
    for (int verb = 0; verb < VERBS; verb++) {
        size_t length = strlen(verbs[verb]);
        if (strncmp(rest, verbs[verb], length) != 0)
            continue;
        const char *name = rest + length, *dot = strchrnul(name, '.');
        struct stream *stream = stream_of_name(world, name, (size_t)(dot - name));
        if (!stream)
            break;
        serve(world, (enum verb)verb, stream, *dot ? dot + 1 : "", request, from);
        return;
    }
    server_status(world, wire_reply(request), "503");
}
