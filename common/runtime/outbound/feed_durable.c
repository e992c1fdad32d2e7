/* Feed's durable: see feed_durable.h. */
#include "runtime/outbound/feed_durable.h"
#include "base/log.h"
#include "runtime/sync/drift.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define NS_PER_MS 1000000

/* Beside those of feed_io.c. */
enum step {
    STEP_LOOKED = 'c',
    STEP_MADE = 'm',
    STEP_DELETED = 'd',
    STEP_MADE_BY_LEADER = 'b',
    STEP_SHOWN = 't', /* what the leader has made */
};

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
    snprintf(durable->name, sizeof(durable->name), "durable %s of %s", outbound->self.service,
             source->log);
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

static int write_request(const struct feed_durable *durable, int64_t start_sequence,
                         struct js_request *ret_request)
{
    int length = snprintf(ret_request->subject, sizeof(ret_request->subject), "%s.durable.%s.make",
                          durable->source->prefix, durable->outbound->reader);
    if (length < 0 || length > BUS_SUBJECT_MAX)
        return fail(ERR_CONFIG, "the name of the service is too long");
    buf_put_format(&ret_request->body,
                   "{\"start_sequence\":%" PRId64 ",\"max_ack_pending\":%" PRId64, start_sequence,
                   feed_ack_pending(durable->feed));
    if (durable->outbound->reader_inactive_s > 0)
        buf_put_format(&ret_request->body, ",\"inactive_s\":%" PRId64,
                       durable->outbound->reader_inactive_s);
    buf_put_char(&ret_request->body, '}');
    return trace(buf_status(&ret_request->body));
}

static int put_wish(const struct feed_durable *durable, int64_t start_sequence, struct buf *out)
{
    return trace(drift_durable_wish(durable->outbound->reader, start_sequence,
                                    feed_ack_pending(durable->feed),
                                    durable->outbound->reader_inactive_s, out));
}

static int write_consumer(const struct feed_durable *durable, int64_t start_sequence,
                          struct js_request *ret_request)
{
    _deinit_(buf) struct buf wish = { 0 };
    int r = put_wish(durable, start_sequence, &wish);
    return r < 0 ? trace(r)
                 : trace(js_consumer_create_as(ret_request, durable->source->log,
                                               durable->outbound->reader, wish.data));
}

/* Before each request: whose turn is it? */
static void begin(struct feed_durable *durable)
{
    if (!durable->is_answered && durable->by_us)
        durable->leader_turns = LEADER_TURNS;
    if (!durable->is_answered)
        durable->by_us = !durable->by_us && durable->leader_turns == 0;
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
        int built = js_consumer_delete(&request, durable->source->log, durable->outbound->reader);
        request_step(durable, STEP_DELETED, built, &request, now_ms);
        return;
    }
    durable->is_answered = 1; /* the leader deletes it when it makes the new one */
    feed_made(durable->feed, now_ms);
}

/* ---- Looking at it --------------------------------------------------------------------------- */

static void ask(struct feed_durable *durable, enum step step, int64_t now_ms)
{
    _deinit_(js_request) struct js_request request;
    js_request_init(&request, durable->api);
    int built = js_consumer_info(&request, durable->source->log, durable->outbound->reader);
    request_step(durable, step, built, &request, now_ms);
}

void feed_durable_look(struct feed_durable *durable, struct feed_info *info, int64_t now_ms)
{
    durable->info = info;
    ask(durable, STEP_LOOKED, now_ms);
}

/* How a durable that is there differs from our wish. */
static int compare(const struct feed_durable *durable, const struct js_consumer_state *state,
                   struct drift *ret_drift)
{
    const struct feed_config *config = &durable->feed->config;
    const struct drift_use use = {
        .pull_batch = config->pull_batch,
        .pull_expires_ms = config->pull_expires_ms,
        .ack_pending = feed_ack_pending(durable->feed),
        .is_paused = state->paused,
    };
    _deinit_(buf) struct buf wish = { 0 };
    int r = put_wish(durable, 0, &wish);
    if (r == 0)
        drift_compare(drift_durable_fields, durable->name, state->config,
                      json_text_of(wish.data, wish.length), &use, ret_drift);
    return trace(r);
}

/* What is said of it; what the server insists on is borne. */
static void tell(struct feed_durable *durable, struct drift *drift, _Bool is_accepted)
{
    for (int i = 0; i < drift->count; i++)
        if (is_accepted && drift->found[i].kind == NOTICE_MENDED)
            drift->found[i].kind = NOTICE_BORNE;
    notices_replace(&durable->outbound->status->notices, durable->name, drift->found, drift->count);
}

static void take_looked(struct feed_durable *durable, struct bus_message *message, int64_t now_ms)
{
    _deinit_(arena) struct arena arena = { 0 };
    struct js_consumer_state state;
    struct feed_info *info = durable->info;
    struct drift drift = { 0 };
    int r = js_parse_consumer_info(bus_message_data(message), bus_message_length(message), &arena,
                                   &state);
    if (r == JS_REFUSED && state.error.error_code != JS_ERR_CONSUMER_NOT_FOUND) {
        feed_refused(durable->feed, "the durable cannot be read", state.error.description, now_ms);
        return;
    }
    if (r == 0 && compare(durable, &state, &drift) < 0)
        r = -ERR_MEMORY;
    if (r < 0) {
        feed_failed(durable->feed, "the durable cannot be read", now_ms);
        return;
    }
    if (r == 0) {
        char text[sizeof(durable->accepted)];
        drift_text(&drift, NOTICE_MENDED, text, sizeof(text));
        info->durable_exists = 1;
        info->durable_differs = drift.mends && strcmp(text, durable->accepted) != 0;
        info->acked_sequence = state.acked_sequence;
        info->delivered_sequence = state.delivered_sequence;
        info->pending = state.pending_count;
        info->ack_pending = state.ack_pending_count;
        tell(durable, &drift, !info->durable_differs);
    }
    feed_looked(durable->feed, info, now_ms);
}

/* As we got it, though we asked otherwise: the server's limits, and what else it insists on. */
static void accept(struct feed_durable *durable, const struct js_consumer_state *state)
{
    struct drift drift = { 0 };
    feed_limit(durable->feed, state->max_batch, state->max_expires_ns / NS_PER_MS);
    if (compare(durable, state, &drift) != 0)
        return; /* the next look compares again */
    drift_text(&drift, NOTICE_MENDED, durable->accepted, sizeof(durable->accepted));
    tell(durable, &drift, 1);
}

/* The server lets none have so much in flight: whoever made it is asked for half. */
static _Bool try_half(struct feed_durable *durable, const char *words, int64_t now_ms)
{
    struct feed *feed = durable->feed;
    if (!strstr(words, "max ack pending exceeds") || !feed_halve(feed, now_ms))
        return 0;
    log_warn("durable_made_smaller", LOG_TEXT("log", durable->source->log),
             LOG_INT("max_ack_pending", feed_ack_pending(feed)), LOG_TEXT("reason", words));
    return 1;
}

static void take_made(struct feed_durable *durable, struct bus_message *message, int64_t now_ms)
{
    _deinit_(arena) struct arena arena = { 0 };
    struct js_consumer_state state;
    struct feed *feed = durable->feed;
    int r = js_parse_consumer_info(bus_message_data(message), bus_message_length(message), &arena,
                                   &state);
    durable->is_answered = 1;
    if (r == JS_REFUSED && try_half(durable, state.error.description, now_ms))
        return;
    durable->by_us = 0; /* the next one is the leader's again */
    if (r == 0) {
        accept(durable, &state);
        feed_made(feed, now_ms);
    } else if (r < 0) {
        feed_failed(feed, "the durable cannot be made", now_ms);
    } else {
        feed_refused(feed, "the durable cannot be made", state.error.description, now_ms);
    }
}

/* The leader's answer. Where it gave none, or a refusal, the next try is our own, and after that
 * the leader's turn comes again. */
static void take_leaders(struct feed_durable *durable, struct bus_message *message, int64_t now_ms)
{
    const int status = bus_message_status(message);
    const char *refusal = bus_message_header(message, "Nats-Service-Error");
    durable->is_answered = 1;
    if (refusal && try_half(durable, refusal, now_ms))
        return;
    durable->by_us = (status || refusal) && durable->leader_turns == 0;
    durable->leader_turns -= durable->leader_turns > 0;
    if (refusal) {
        log_warn("durable_not_made", LOG_TEXT("log", durable->source->log),
                 LOG_TEXT("reason", refusal));
        feed_refused(durable->feed, "the leader refuses to make our durable", refusal, now_ms);
    } else if (status)
        feed_failed(durable->feed, "the leader, which makes our durable, is away", now_ms);
    else
        ask(durable, STEP_SHOWN, now_ms);
}

/* What the leader has made. */
static void take_shown(struct feed_durable *durable, struct bus_message *message, int64_t now_ms)
{
    _deinit_(arena) struct arena arena = { 0 };
    struct js_consumer_state state;
    int r = js_parse_consumer_info(bus_message_data(message), bus_message_length(message), &arena,
                                   &state);
    if (r == 0) {
        accept(durable, &state);
        feed_made(durable->feed, now_ms);
    } else if (r < 0) {
        feed_failed(durable->feed, "the durable cannot be read", now_ms);
    } else {
        feed_refused(durable->feed, "the durable cannot be read", state.error.description, now_ms);
    }
}

static void take_deleted(struct feed_durable *durable, struct bus_message *message, int64_t now_ms)
{
    _deinit_(arena) struct arena arena = { 0 };
    struct js_error error;
    int r = js_parse_success(bus_message_data(message), bus_message_length(message), &arena,
                             &error);
    durable->is_answered = 1;
    durable->by_us = 1; /* who deletes it makes the next one */
    if (r >= 0)         /* refused: not there any more, just as well */
        feed_made(durable->feed, now_ms);
    else
        feed_failed(durable->feed, "the durable cannot be deleted", now_ms);
}

static void take_step(struct feed_durable *durable, enum step step, struct bus_message *message,
                      int64_t now_ms)
{
    switch (step) {
    case STEP_LOOKED:         take_looked(durable, message, now_ms); break;
    case STEP_MADE:           take_made(durable, message, now_ms); break;
    case STEP_DELETED:        take_deleted(durable, message, now_ms); break;
    case STEP_SHOWN:          take_shown(durable, message, now_ms); break;
    case STEP_MADE_BY_LEADER: break; /* feed_durable_reply */
    }
}

_Bool feed_durable_reply(struct feed_durable *durable, const struct reply_tag *tag,
                         struct bus_message *message, int64_t now_ms)
{
    const enum step step = (enum step)tag->step;
    owner_assert(&durable->outbound->owner);
    if (step == STEP_MADE_BY_LEADER)
        take_leaders(durable, message, now_ms);
    else if (step != STEP_LOOKED && step != STEP_MADE && step != STEP_DELETED && step != STEP_SHOWN)
        return 0;
    else if (bus_message_status(message))
        feed_failed(durable->feed, "JetStream is away", now_ms);
    else
        take_step(durable, step, message, now_ms);
    return 1;
}
