/* JetStream, requests: see jetstream.h. They are formatted as text, because they are few and hold
 * only names and numbers that were checked, or a configuration that a server has shown. */
#include "bus/jetstream.h"
#include "base/result.h"
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#define NS_PER_MS 1000000
#define DUPLICATE_WINDOW_MIN_MS 100 /* the server's own lower bound */
#define ACK_WAIT_MS 30000

static char default_api[128] = JS_API_PREFIX; /* set once, before there are threads */

int js_set_domain(const char *domain)
{
    if (!bus_header_key_is_safe(domain) || snprintf(default_api, sizeof(default_api), "$JS.%s.API",
                                                    domain) >= (int)sizeof(default_api))
        return fail(ERR_CONFIG, "not the name of a JetStream domain");
    return 0;
}

const char *js_default_api(void)
{
    return default_api;
}

void js_request_init(struct js_request *request, const char *api)
{
    *request = (struct js_request){ .api = api ? api : default_api };
}

void js_request_deinit(struct js_request *request)
{
    buf_deinit(&request->body);
}

static int check_name(const char *name)
{
    if (!bus_header_key_is_safe(name)) /* names have the same characters and length */
        return fail(ERR_INVALID, "not a name of a stream or consumer");
    return 0;
}

/* "$JS.API.<verb>.<stream>" or "….<stream>.<consumer>" becomes the subject; the body is emptied. */
static int request_begin(struct js_request *request, const char *verb, const char *stream,
                         const char *consumer)
{
    assert(request->api && verb && stream);
    int r = check_name(stream);
    if (r == 0 && consumer)
        r = check_name(consumer);
    if (r < 0)
        return trace(r);
    int length = snprintf(request->subject, sizeof(request->subject), "%s.%s.%s%s%s", request->api,
                          verb, stream, consumer ? "." : "", consumer ? consumer : "");
    if (length < 0 || (size_t)length >= sizeof(request->subject))
        return fail(ERR_INVALID, "an API subject of %d bytes", length);
    buf_clear(&request->body);
    return 0;
}

static int check_subject(const char *subject)
{
    return bus_subject_is_safe(subject, 1)
               ? 0
               : fail(ERR_INVALID, "not a subject that a stream may have");
}

int js_stream_config_put(const struct js_stream_config *config, struct buf *out)
{
    int r = check_name(config->name);
    if (r == 0)
        r = check_subject(config->subject);
    if (r < 0)
        return trace(r);
    int64_t window_ms = config->duplicate_window_ms > 0 ? config->duplicate_window_ms
                                                        : DUPLICATE_WINDOW_MIN_MS;
    buf_put_format(out,
                   "{\"name\":\"%s\",\"subjects\":[\"%s\"],\"retention\":\"limits\",\"discard\":"
                   "\"new\",\"storage\":\"file\","
                   "\"max_consumers\":-1,\"max_msgs\":-1,\"max_bytes\":%" PRId64
                   ",\"max_age\":0,\"max_msg_size\":-1,"
                   "\"num_replicas\":%d,\"duplicate_window\":%" PRId64 "}",
                   config->name, config->subject, config->max_bytes > 0 ? config->max_bytes : -1,
                   config->replicas > 0 ? config->replicas : 1, window_ms * NS_PER_MS);
    return trace(buf_status(out));
}

static int request_with(struct js_request *request, const char *verb, const char *stream,
                        const char *body)
{
    int r = request_begin(request, verb, stream, NULL);
    if (r < 0)
        return trace(r);
    buf_put_text(&request->body, body);
    return trace(buf_status(&request->body));
}

int js_stream_create_as(struct js_request *request, const char *stream, const char *config)
{
    return trace(request_with(request, "STREAM.CREATE", stream, config));
}

int js_stream_update(struct js_request *request, const char *stream, const char *config)
{
    return trace(request_with(request, "STREAM.UPDATE", stream, config));
}

int js_stream_create(struct js_request *request, const struct js_stream_config *config)
{
    int r = request_begin(request, "STREAM.CREATE", config->name, NULL);
    return r < 0 ? trace(r) : trace(js_stream_config_put(config, &request->body));
}

int js_stream_info(struct js_request *request, const char *stream)
{
    return trace(request_begin(request, "STREAM.INFO", stream, NULL));
}

int js_stream_delete(struct js_request *request, const char *stream)
{
    return trace(request_begin(request, "STREAM.DELETE", stream, NULL));
}

int js_message_get(struct js_request *request, const char *stream, int64_t sequence)
{
    assert(sequence >= 0);
    int r = request_begin(request, "STREAM.MSG.GET", stream, NULL);
    if (r < 0)
        return trace(r);
    buf_put_format(&request->body, "{\"seq\":%" PRId64 "}", sequence);
    return trace(buf_status(&request->body));
}

int js_message_get_last(struct js_request *request, const char *stream, const char *subject)
{
    int r = request_begin(request, "STREAM.MSG.GET", stream, NULL);
    if (r == 0)
        r = check_subject(subject);
    if (r < 0)
        return trace(r);
    buf_put_format(&request->body, "{\"last_by_subj\":\"%s\"}", subject);
    return trace(buf_status(&request->body));
}

int js_message_get_next(struct js_request *request, const char *stream, int64_t sequence,
                        const char *subject)
{
    assert(sequence >= 0);
    int r = request_begin(request, "STREAM.MSG.GET", stream, NULL);
    if (r == 0)
        r = check_subject(subject);
    if (r < 0)
        return trace(r);
    buf_put_format(&request->body, "{\"seq\":%" PRId64 ",\"next_by_subj\":\"%s\"}", sequence,
                   subject);
    return trace(buf_status(&request->body));
}

int js_consumer_config_put(const struct js_consumer_config *config, struct buf *out)
{
    assert(config->start_sequence >= 0 && config->max_ack_pending > 0);
    int r = check_name(config->name);
    if (r < 0)
        return trace(r);
    buf_put_format(out, "{\"name\":\"%s\",\"durable_name\":\"%s\",", config->name, config->name);
    if (config->start_sequence > 1)
        buf_put_format(out,
                       "\"deliver_policy\":\"by_start_sequence\",\"opt_start_seq\":%" PRId64 ",",
                       config->start_sequence);
    else
        buf_put_text(out, "\"deliver_policy\":\"all\",");
    buf_put_format(out,
                   "\"ack_policy\":\"all\",\"ack_wait\":%" PRId64
                   ",\"max_deliver\":-1,\"replay_policy\":\"instant\",",
                   (config->ack_wait_ms > 0 ? config->ack_wait_ms : ACK_WAIT_MS) * NS_PER_MS);
    if (config->inactive_ms > 0)
        buf_put_format(out, "\"inactive_threshold\":%" PRId64 ",", config->inactive_ms * NS_PER_MS);
    buf_put_format(out, "\"max_ack_pending\":%d,\"num_replicas\":%d}", config->max_ack_pending,
                   config->replicas > 0 ? config->replicas : 0);
    return trace(buf_status(out));
}

/* What is before the configuration, in a request to create a consumer. */
static int create_begin(struct js_request *request, const char *stream, const char *consumer)
{
    int r = request_begin(request, "CONSUMER.CREATE", stream, consumer);
    if (r < 0)
        return trace(r);
    buf_put_format(&request->body,
                   "{\"stream_name\":\"%s\",\"action\":\"create\",\"config\":", stream);
    return 0;
}

int js_consumer_create_as(struct js_request *request, const char *stream, const char *consumer,
                          const char *config)
{
    int r = create_begin(request, stream, consumer);
    if (r < 0)
        return trace(r);
    buf_put_text(&request->body, config);
    buf_put_char(&request->body, '}');
    return trace(buf_status(&request->body));
}

int js_consumer_create(struct js_request *request, const struct js_consumer_config *config)
{
    int r = create_begin(request, config->stream, config->name);
    if (r == 0)
        r = js_consumer_config_put(config, &request->body);
    if (r < 0)
        return trace(r);
    buf_put_char(&request->body, '}');
    return trace(buf_status(&request->body));
}

int js_reader_create(struct js_request *request, const char *stream, const char *name,
                     int64_t start_sequence, int64_t inactive_ms)
{
    assert(start_sequence > 0 && inactive_ms > 0);
    int r = create_begin(request, stream, name);
    if (r < 0)
        return trace(r);
    buf_put_format(
        &request->body,
        "{\"name\":\"%s\",\"deliver_policy\":\"by_start_sequence\",\"opt_start_seq\":%" PRId64
        ",\"ack_policy\":\"none\",\"replay_policy\":\"instant\",\"inactive_threshold\":%" PRId64
        ",\"num_replicas\":1,\"mem_storage\":true}}",
        name, start_sequence, inactive_ms * NS_PER_MS);
    return trace(buf_status(&request->body));
}

int js_consumer_list(struct js_request *request, const char *stream, int64_t offset)
{
    assert(offset >= 0);
    int r = request_begin(request, "CONSUMER.LIST", stream, NULL);
    if (r < 0)
        return trace(r);
    buf_put_format(&request->body, "{\"offset\":%" PRId64 "}", offset);
    return trace(buf_status(&request->body));
}

int js_consumer_info(struct js_request *request, const char *stream, const char *consumer)
{
    return trace(request_begin(request, "CONSUMER.INFO", stream, consumer));
}

int js_consumer_delete(struct js_request *request, const char *stream, const char *consumer)
{
    return trace(request_begin(request, "CONSUMER.DELETE", stream, consumer));
}

int js_consumer_next(struct js_request *request, const char *stream, const char *consumer,
                     const struct js_pull *pull)
{
    assert(pull->batch > 0);
    assert(pull->expires_ms == 0 || pull->idle_heartbeat_ms <= pull->expires_ms / 2);
    int r = request_begin(request, "CONSUMER.MSG.NEXT", stream, consumer);
    if (r < 0)
        return trace(r);
    struct buf *body = &request->body;
    buf_put_format(body, "{\"batch\":%d", pull->batch);
    if (pull->expires_ms > 0)
        buf_put_format(body, ",\"expires\":%" PRId64, pull->expires_ms * NS_PER_MS);
    else
        buf_put_text(body, ",\"no_wait\":true");
    if (pull->expires_ms > 0 && pull->idle_heartbeat_ms > 0)
        buf_put_format(body, ",\"idle_heartbeat\":%" PRId64, pull->idle_heartbeat_ms * NS_PER_MS);
    if (pull->max_bytes > 0)
        buf_put_format(body, ",\"max_bytes\":%" PRId64, pull->max_bytes);
    buf_put_char(body, '}');
    return trace(buf_status(body));
}
