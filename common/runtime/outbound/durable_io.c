/* Durable I/O: see durable_io.h. */
#include "runtime/outbound/durable_io.h"
#include "base/log.h"
#include "runtime/sync/drift.h"
#include <stdio.h>
#include <string.h>

#define NS_PER_MS 1000000

static int put_wish(const struct feed_io *feed_io, int64_t sequence, struct buf *out)
{
    return trace(drift_durable_wish(feed_io->outbound->self.service, sequence,
                                    feed_ack_pending(&feed_io->feed), out));
}

int durable_io_make(struct feed_io *feed_io, int64_t sequence, struct js_request *request)
{
    _deinit_(buf) struct buf wish = { 0 };
    int r = put_wish(feed_io, sequence, &wish);
    if (r < 0)
        return trace(r);
    return trace(js_consumer_create_as(request, feed_io->source->log,
                                       feed_io->outbound->self.service, wish.data));
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

void durable_io_looked(struct feed_io *feed_io, struct bus_message *message, int64_t now_ms)
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

/* As the server gave it to us, though we asked otherwise: its limits, and what else it insists
 * on. */
static void accept(struct feed_io *feed_io, const struct js_consumer_state *state)
{
    struct drift drift;
    feed_limit(&feed_io->feed, state->max_batch, state->max_expires_ns / NS_PER_MS);
    if (compare(feed_io, state, &drift) < 0)
        return; /* the next look compares again */
    drift_text(&drift, NOTICE_MENDED, feed_io->accepted, sizeof(feed_io->accepted));
    tell(feed_io, &drift, 1);
}

void durable_io_made(struct feed_io *feed_io, struct bus_message *message, int64_t now_ms)
{
    _deinit_(arena) struct arena arena = { 0 };
    struct js_consumer_state state;
    struct feed *feed = &feed_io->feed;
    int r = js_parse_consumer_info(bus_message_data(message), bus_message_length(message), &arena,
                                   &state);
    if (r == 0) {
        accept(feed_io, &state);
        feed_made(feed, now_ms);
    } else if (r < 0) {
        feed_failed(feed, "the durable cannot be made", now_ms);
    } else if (state.error.error_code == JS_ERR_ACK_PENDING_EXCESS && feed_halve(feed, now_ms)) {
        log_warn("durable_made_smaller", LOG_TEXT("log", feed_io->source->log),
                 LOG_INT("max_ack_pending", feed_ack_pending(feed)),
                 LOG_TEXT("reason", state.error.description));
    } else {
        feed_refused(feed, "the durable cannot be made", state.error.description, now_ms);
    }
}
