/* Feed's durable: see feed_durable.h. */
#include "runtime/outbound/feed_durable.h"
#include "base/log.h"
#include <inttypes.h>
#include <stdio.h>

/* Beside those of feed_io.c. */
enum step { STEP_MADE = 'm', STEP_DELETED = 'd', STEP_MADE_BY_LEADER = 'b' };

void feed_durable_init(struct feed_durable *durable, struct outbound *outbound,
                       const struct source *source, struct feed *feed, const char *api, char part)
{
    assert(outbound && source && feed && api);
    *durable = (struct feed_durable){ .outbound = outbound,
                                      .source = source,
                                      .feed = feed,
                                      .api = api,
                                      .part = part,
                                      .is_answered = 1 };
}

/* ---- Requests ------------------------------------------------------------------------------- */

static void request_step(struct feed_durable *durable, enum step step, int built,
                         const struct js_request *request, int64_t now_ms)
{
    const struct reply_tag tag = { .part = durable->part,
                                   .step = (char)step,
                                   .epoch = durable->feed->epoch };
    if (outbound_request_api(durable->outbound, &tag, built, request) < 0)
        feed_failed(durable->feed, "the server cannot be asked", now_ms);
}

static int64_t ack_pending_max(const struct feed_durable *durable)
{
    return 2 * durable->feed->config.window_max;
}

static int write_request(const struct feed_durable *durable, int64_t start_sequence,
                         struct js_request *ret_request)
{
    int length = snprintf(ret_request->subject, sizeof(ret_request->subject), "%s.durable.%s.make",
                          durable->source->prefix, durable->outbound->self.service);
    if (length < 0 || length > BUS_SUBJECT_MAX)
        return fail(ERR_CONFIG, "the name of the service is too long");
    buf_put_format(&ret_request->body,
                   "{\"start_sequence\":%" PRId64 ",\"max_ack_pending\":%" PRId64 "}",
                   start_sequence, ack_pending_max(durable));
    return trace(buf_status(&ret_request->body));
}

static int write_consumer(const struct feed_durable *durable, int64_t start_sequence,
                          struct js_request *ret_request)
{
    const struct js_consumer_config config = {
        .stream = durable->source->log,
        .name = durable->outbound->self.service,
        .start_sequence = start_sequence,
        .max_ack_pending = (int)ack_pending_max(durable),
    };
    return trace(js_consumer_create(ret_request, &config));
}

/* Before each request: whose turn is it? */
static void begin(struct feed_durable *durable)
{
    if (!durable->is_answered)
        durable->by_us = !durable->by_us;
    durable->is_answered = 0;
}

void feed_durable_make(struct feed_durable *durable, const struct feed_action *action,
                       int64_t now_ms)
{
    _deinit_(js_request) struct js_request request;
    js_request_init(&request, durable->api);
    owner_assert(&durable->outbound->owner);
    assert(action->kind == FEED_MAKE_DURABLE && action->sequence > 0);
    begin(durable);
    int built = durable->by_us ? write_consumer(durable, action->sequence, &request)
                               : write_request(durable, action->sequence, &request);
    request_step(durable, durable->by_us ? STEP_MADE : STEP_MADE_BY_LEADER, built, &request,
                 now_ms);
}

void feed_durable_delete(struct feed_durable *durable, int64_t now_ms)
{
    _deinit_(js_request) struct js_request request;
    js_request_init(&request, durable->api);
    owner_assert(&durable->outbound->owner);
    begin(durable);
    if (durable->by_us) {
        int built = js_consumer_delete(&request, durable->source->log,
                                       durable->outbound->self.service);
        request_step(durable, STEP_DELETED, built, &request, now_ms);
        return;
    }
    durable->is_answered = 1; /* the leader deletes it when it makes the new one */
    feed_made(durable->feed, now_ms);
}

/* ---- Replies -------------------------------------------------------------------------------- */

static void take_leaders(struct feed_durable *durable, struct bus_message *message, int64_t now_ms)
{
    const int status = bus_message_status(message);
    const char *refusal = bus_message_header(message, "Nats-Service-Error");
    durable->is_answered = 1;
    durable->by_us = status || refusal;
    if (refusal)
        log_warn("durable_not_made", LOG_TEXT("log", durable->source->log),
                 LOG_TEXT("reason", refusal));
    if (durable->by_us)
        feed_failed(durable->feed,
                    status ? "the leader, which makes our durable, is away"
                           : "the leader refuses to make our durable",
                    now_ms);
    else
        feed_made(durable->feed, now_ms);
}

static void take_servers(struct feed_durable *durable, enum step step, struct bus_message *message,
                         int64_t now_ms)
{
    _deinit_(arena) struct arena arena = { 0 };
    struct js_consumer_state state;
    struct js_error error;
    const char *data = bus_message_data(message);
    if (bus_message_status(message)) {
        feed_failed(durable->feed, "JetStream is away", now_ms);
        return;
    }
    int r = step == STEP_DELETED
                ? js_parse_success(data, bus_message_length(message), &arena, &error)
                : js_parse_consumer_info(data, bus_message_length(message), &arena, &state);
    durable->is_answered = 1;
    durable->by_us = step == STEP_DELETED; /* the next one is the leader's again */
    if (r == 0 || (r == JS_REFUSED && step == STEP_DELETED)) /* not there any more: just as well */
        feed_made(durable->feed, now_ms);
    else
        feed_failed(durable->feed, "the durable cannot be made", now_ms);
}

_Bool feed_durable_reply(struct feed_durable *durable, const struct reply_tag *tag,
                         struct bus_message *message, int64_t now_ms)
{
    const enum step step = (enum step)tag->step;
    owner_assert(&durable->outbound->owner);
    if (step == STEP_MADE_BY_LEADER)
        take_leaders(durable, message, now_ms);
    else if (step == STEP_MADE || step == STEP_DELETED)
        take_servers(durable, step, message, now_ms);
    else
        return 0;
    return 1;
}
