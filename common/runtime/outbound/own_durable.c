/* Own durable: see own_durable.h. */
#include "runtime/outbound/own_durable.h"
#include "base/log.h"
#include "runtime/outbound/durable_io.h"
#include "runtime/sync/drift.h"
#include <stdio.h>
#include <string.h>

#define NS_PER_MS 1000000

static int put_wish(const struct feed_io *feed_io, int64_t sequence, struct buf *out)
{
    return trace(drift_durable_wish(feed_io->outbound->self.service, sequence,
                                    feed_ack_pending(&feed_io->feed), out));
}

/* ---- Looking at it --------------------------------------------------------------------------- */

static void ask(struct feed_io *feed_io, enum feed_step step, int64_t now_ms)
{
    _deinit_(js_request) struct js_request request;
    js_request_init(&request, feed_io->api);
    int built = js_consumer_info(&request, feed_io->source->log, feed_io->outbound->self.service);
    feed_io_request(feed_io, step, built, &request, now_ms);
}

void own_durable_look(struct feed_io *feed_io, int64_t now_ms)
{
    ask(feed_io, FEED_STEP_DURABLE, now_ms);
}

/* How a durable that is there differs from our wish. */
static int compare(const struct feed_io *feed_io, const struct js_consumer_state *state,
                   struct drift *ret_drift)
{
    const struct feed_config *config = &feed_io->feed.config;
    const struct drift_use use = {
        .pull_batch = config->pull_batch,
        .pull_expires_ms = config->pull_expires_ms,
        .ack_pending = feed_ack_pending(&feed_io->feed),
        .is_paused = state->paused,
    };
    _deinit_(buf) struct buf wish = { 0 };
    int r = put_wish(feed_io, 0, &wish);
    if (r == 0)
        drift_compare(drift_durable_fields, feed_io->durable_name, state->config,
                      json_value(wish.data, wish.length), &use, ret_drift);
    return trace(r);
}

/* What is said of it; what the server insists on is borne. */
static void tell(struct feed_io *feed_io, struct drift *drift, _Bool is_accepted)
{
    for (int i = 0; i < drift->count; i++)
        if (is_accepted && drift->found[i].kind == NOTICE_MENDED)
            drift->found[i].kind = NOTICE_BORNE;
    notices_replace(&feed_io->outbound->status->notices, feed_io->durable_name, drift->found,
                    drift->count);
}

static void take_looked(struct feed_io *feed_io, struct bus_message *message, int64_t now_ms)
{
    _deinit_(arena) struct arena arena = { 0 };
    struct js_consumer_state state;
    struct feed_info *info = &feed_io->info;
    struct drift drift;
    char text[sizeof(feed_io->accepted)];
    int r = js_parse_consumer_info(bus_message_data(message), bus_message_length(message), &arena,
                                   &state);
    if (r == JS_REFUSED && state.error.error_code != JS_ERR_CONSUMER_NOT_FOUND) {
        feed_refused(&feed_io->feed, "the durable cannot be read", state.error.description, now_ms);
        return;
    }
    if (r == 0 && compare(feed_io, &state, &drift) < 0)
        r = -ERR_MEMORY;
    if (r < 0) {
        feed_failed(&feed_io->feed, "the durable cannot be read", now_ms);
        return;
    }
    if (r == 0) {
        drift_text(&drift, NOTICE_MENDED, text, sizeof(text));
        info->durable_exists = 1;
        info->durable_differs = drift.mends && strcmp(text, feed_io->accepted) != 0;
        info->acked_sequence = state.acked_sequence;
        info->delivered_sequence = state.delivered_sequence;
        info->pending = state.pending_count;
        info->ack_pending = state.ack_pending_count;
        tell(feed_io, &drift, !info->durable_differs);
    }
    feed_looked(&feed_io->feed, info, now_ms);
}

/* As we got it, though we asked otherwise: the server's limits, and what else it insists on. */
static void accept(struct feed_io *feed_io, const struct js_consumer_state *state)
{
    struct drift drift;
    feed_limit(&feed_io->feed, state->max_batch, state->max_expires_ns / NS_PER_MS);
    if (compare(feed_io, state, &drift) < 0)
        return; /* the next look compares again */
    drift_text(&drift, NOTICE_MENDED, feed_io->accepted, sizeof(feed_io->accepted));
    tell(feed_io, &drift, 1);
}

/* The server lets none have so much in flight: whoever made it is asked for half. */
static _Bool try_half(struct feed_io *feed_io, const char *words, int64_t now_ms)
{
    struct feed *feed = &feed_io->feed;
    if (!strstr(words, "max ack pending exceeds") || !feed_halve(feed, now_ms))
        return 0;
    log_warn("durable_made_smaller", LOG_TEXT("log", feed_io->source->log),
             LOG_INT("max_ack_pending", feed_ack_pending(feed)), LOG_TEXT("reason", words));
    return 1;
}

static void take_made(struct feed_io *feed_io, struct bus_message *message, int64_t now_ms)
{
    _deinit_(arena) struct arena arena = { 0 };
    struct js_consumer_state state;
    struct feed *feed = &feed_io->feed;
    int r = bus_message_status(message)
                ? -ERR_NETWORK
                : js_parse_consumer_info(bus_message_data(message), bus_message_length(message),
                                         &arena, &state);
    feed_io->making_is_answered = 1;
    if (r == JS_REFUSED && try_half(feed_io, state.error.description, now_ms))
        return;
    feed_io->makes_durable = 0; /* the next one is the leader's again */
    if (r == 0) {
        accept(feed_io, &state);
        feed_made(feed, now_ms);
    } else if (r < 0) {
        feed_failed(feed, "the durable cannot be made", now_ms);
    } else {
        feed_refused(feed, "the durable cannot be made", state.error.description, now_ms);
    }
}

/* The leader's answer. Where it gave none, or a refusal, the next try is our own, and after that
 * the leader's turn comes again. */
static void take_leader_made(struct feed_io *feed_io, struct bus_message *message, int64_t now_ms)
{
    const int status = bus_message_status(message);
    const char *refusal = bus_message_header(message, "Nats-Service-Error");
    feed_io->making_is_answered = 1;
    if (refusal && try_half(feed_io, refusal, now_ms))
        return;
    feed_io->makes_durable = status || refusal;
    if (refusal)
        log_warn("durable_not_made", LOG_TEXT("log", feed_io->source->log),
                 LOG_TEXT("reason", refusal));
    if (refusal)
        feed_refused(&feed_io->feed, "the leader refuses to make our durable", refusal, now_ms);
    else if (status)
        feed_failed(&feed_io->feed, "the leader, which makes our durable, is away", now_ms);
    else
        ask(feed_io, FEED_STEP_TAKEN, now_ms);
}

/* What the leader has made. */
static void take_taken(struct feed_io *feed_io, struct bus_message *message, int64_t now_ms)
{
    _deinit_(arena) struct arena arena = { 0 };
    struct js_consumer_state state;
    int r = js_parse_consumer_info(bus_message_data(message), bus_message_length(message), &arena,
                                   &state);
    if (r == 0) {
        accept(feed_io, &state);
        feed_made(&feed_io->feed, now_ms);
    } else if (r < 0) {
        feed_failed(&feed_io->feed, "the durable cannot be read", now_ms);
    } else {
        feed_refused(&feed_io->feed, "the durable cannot be read", state.error.description, now_ms);
    }
}

static void take_deleted(struct feed_io *feed_io, struct bus_message *message, int64_t now_ms)
{
    _deinit_(arena) struct arena arena = { 0 };
    struct js_error error;
    int r = js_parse_success(bus_message_data(message), bus_message_length(message), &arena,
                             &error);
    feed_io->making_is_answered = 1;
    feed_io->makes_durable = 1; /* who deletes it makes the next one */
    if (r >= 0)                 /* refused: not there any more, just as well */
        feed_made(&feed_io->feed, now_ms);
    else
        feed_failed(&feed_io->feed, "the durable cannot be deleted", now_ms);
}

void own_durable_reply(struct feed_io *feed_io, enum feed_step step, struct bus_message *message,
                       int64_t now_ms)
{
    if (step == FEED_STEP_LEADER_MADE)
        take_leader_made(feed_io, message, now_ms);
    else if (step == FEED_STEP_MADE)
        take_made(feed_io, message, now_ms);
    else if (bus_message_status(message))
        feed_failed(&feed_io->feed, "JetStream is away", now_ms);
    else if (step == FEED_STEP_DURABLE)
        take_looked(feed_io, message, now_ms);
    else if (step == FEED_STEP_TAKEN)
        take_taken(feed_io, message, now_ms);
    else if (step == FEED_STEP_DELETED)
        take_deleted(feed_io, message, now_ms);
}

/* ---- Making it ------------------------------------------------------------------------------ */

/* The first of the requests that make a durable: whose turn is it? */
static void begin_making(struct feed_io *feed_io)
{
    if (!feed_io->making_is_answered)
        feed_io->makes_durable = !feed_io->makes_durable;
    feed_io->making_is_answered = 0;
}

void own_durable_make(struct feed_io *feed_io, int64_t sequence, int64_t now_ms)
{
    _deinit_(js_request) struct js_request request;
    _deinit_(buf) struct buf wish = { 0 };
    const char *log = feed_io->source->log, *reader = feed_io->outbound->self.service;
    js_request_init(&request, feed_io->api);
    begin_making(feed_io);
    if (!feed_io->makes_durable) {
        int built = durable_request_write(feed_io->source, reader, sequence,
                                          feed_ack_pending(&feed_io->feed), &request);
        feed_io_request(feed_io, FEED_STEP_LEADER_MADE, built, &request, now_ms);
        return;
    }
    int built = put_wish(feed_io, sequence, &wish);
    if (built == 0)
        built = js_consumer_create_as(&request, log, reader, wish.data);
    feed_io_request(feed_io, FEED_STEP_MADE, built, &request, now_ms);
}

void own_durable_delete(struct feed_io *feed_io, int64_t now_ms)
{
    _deinit_(js_request) struct js_request request;
    js_request_init(&request, feed_io->api);
    begin_making(feed_io);
    if (feed_io->makes_durable) {
        int built = js_consumer_delete(&request, feed_io->source->log,
                                       feed_io->outbound->self.service);
        feed_io_request(feed_io, FEED_STEP_DELETED, built, &request, now_ms);
        return;
    }
    feed_io->making_is_answered = 1; /* the leader deletes it when it makes the new one */
    feed_made(&feed_io->feed, now_ms);
}
