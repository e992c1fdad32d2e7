/* Sender, the feeds' part: keeps the durables, pulls, decodes what is delivered and pushes it to
 * the inbox, acknowledges what was committed, and fetches from the leader what its stream has lost.
 * What to do is decided in feed.c. */
#include "runtime/outbound/sender_parts.h"
#include "base/clock.h"
#include "base/crash.h"
#include "base/guard.h"
#include "base/log.h"
#include "bus/jetstream.h"
#include "runtime/sync/envelope.h"
#include "runtime/writer/fold.h"
#include "schemas/runtime.events.reply.h"
#include <stdio.h>
#include <string.h>

#define STATUS_HEARTBEAT 100
#define STATUS_CONFLICT 409

static const struct source *source_of(const struct sender *sender, int i)
{
    return &sender->instance->service->sources[i];
}

static void ask(struct sender *sender, int i, char step, int built,
                const struct js_request *request, int64_t now_ms)
{
    struct feed *feed = &sender->feeds[i];
    char asker[8];
    snprintf(asker, sizeof(asker), "%d", i);
    if (built < 0 || sender_ask(sender, asker, step, feed->epoch, 0, request->subject,
                                request->body.data, request->body.length) < 0)
        feed_failed(feed, "the server cannot be asked", now_ms);
}

/* ---- Reading an event ----------------------------------------------------------------------- */

void sender_set_type(struct item *item, const struct source *leader)
{
    struct invalid invalid;
    void *value = NULL;
    item->type = event_type_of_name(leader->events, item->event.type);
    if (!item->type)
        return;
    int r = schema_decode(item->type->schema, item->event.data, item->event.data_length,
                          &item->arena, &value, &invalid);
    if (r == 0) {
        item->event.value = value;
        return;
    }
    char text[sizeof(invalid.field) + sizeof(invalid.message) + 2];
    int length = r < 0 ? snprintf(text, sizeof(text), "no memory")
                       : snprintf(text, sizeof(text), "%s %s", invalid.field, invalid.message);
    item->invalid = arena_copy(&item->arena, text, (size_t)length);
    if (!item->invalid)
        item->invalid = "it does not fit its schema";
}

int sender_read_event(struct item *item, const struct bus_view *view, const struct source *leader,
                      const char **ret_reason)
{
    int r = envelope_decode(view, leader, &item->arena, &item->event, &item->event_digest,
                            ret_reason);
    if (r == 0)
        sender_set_type(item, leader);
    return trace(r);
}

/* ---- Deliveries, on a library thread -------------------------------------------------------- */

/* 0, or why not; the reason may live in the item. */
static int read_delivery(struct sender *sender, int i, struct bus_message *message,
                         struct item *item, const char **ret_reason)
{
    struct bus_view view;
    const char *ack_to = bus_message_reply(message);
    *ret_reason = "no memory or no headers";
    if (!ack_to || bus_message_view(message, &view) < 0)
        return fail(ERR_INVALID, "no delivery");
    item->source = source_of(sender, i);
    item->feed = i;
    item->ack_to = arena_copy(&item->arena, ack_to, strlen(ack_to));
    if (!item->ack_to)
        return fail(ERR_MEMORY, "no memory for a delivery");
    return trace(sender_read_event(item, &view, item->source, ret_reason));
}

/* After the commit (rule 3): what the broker has forgotten must be in the tables. */
static void acknowledge(struct sender *sender, const struct item *newest)
{
    crash_point("before_ack");
    if (newest &&
        bus_publish(sender->instance->bus, BUS_URGENT,
                    &(struct bus_outgoing){
                        .subject = newest->ack_to, .data = JS_ACK, .length = strlen(JS_ACK) }) < 0)
        /* it comes again and is a repeat */
        log_debug("ack_lost", LOG_TEXT("reason", failure_text()));
}

void on_delivery(void *context, struct bus_message *received)
{
    const struct delivery_place *place = context;
    struct sender *sender = place->sender;
    int i = place->feed;
    _free_(bus_message) struct bus_message *message = received;
    struct note note = { .feed = i,
                         .status = bus_message_status(message),
                         .epoch = atomic_load(&sender->feed_epochs[i]) };
    if (note.status) {
        long long epoch, pull;
        note.kind = NOTE_PULL_STATUS;
        /* NOLINTNEXTLINE(cert-err34-c): our own subject; glibc makes a number too large its
         * largest, for which nobody waits */
        if (sscanf(bus_message_subject(message) + strlen(sender->inbox), ".f.%*d.%lld.%lld", &epoch,
                   &pull) != 2)
            return;
        note.epoch = epoch;
        note.pull = pull;
        sender_note(sender, note);
        return;
    }
    const char *reason = "no memory";
    struct js_delivery delivery = { 0 };
    struct arrivals *arrivals = &sender->arrivals[i];
    _free_(item) struct item *item = item_new(ITEM_EVENT);
    int r = item ? read_delivery(sender, i, message, item, &reason) : -ERR_MEMORY;
    if (bus_message_reply(message))
        js_parse_delivery(bus_message_reply(message), &delivery);
    /* not an event of the leader: it is not in its log. If it stood in for one, the gap will
     * show. */
    if (r != 0) {
        log_error("foreign_message", LOG_TEXT("stream", source_of(sender, i)->log),
                  LOG_INT("sequence", delivery.stream_sequence), LOG_TEXT("reason", reason));
        atomic_fetch_add(&arrivals->ignored, 1);
        return;
    }
    atomic_store(&arrivals->position, item->event.position);
    atomic_store(&arrivals->pending, delivery.pending_count);
    atomic_fetch_add(&arrivals->delivered, 1);
    item->feed_epoch = note.epoch;
    if (!GUARD(ack_after_commit))
        acknowledge(sender, item);
    inbox_push(&sender->instance->inbox, take(item));
}

void feed_part_arrivals(struct sender *sender, int64_t now_ms)
{
    for (int i = 0; i < SOURCES_MAX; i++) {
        struct arrivals *arrivals = &sender->arrivals[i];
        int64_t delivered = atomic_exchange(&arrivals->delivered, 0),
                ignored = atomic_exchange(&arrivals->ignored, 0);
        if (delivered + ignored == 0)
            continue;
        feed_delivered(&sender->feeds[i], delivered + ignored, atomic_load(&arrivals->position),
                       atomic_load(&arrivals->pending), now_ms);
        if (ignored > 0)
            feed_settled(&sender->feeds[i], ignored, sender->feeds[i].cursor, now_ms);
    }
}

void feed_part_status(struct sender *sender, const struct note *note, int64_t now_ms)
{
    struct feed *feed = &sender->feeds[note->feed];
    if (note->status == STATUS_HEARTBEAT)
        feed_heartbeat(feed, now_ms);
    else if (note->epoch == feed->epoch)
        feed_pull_ended(feed, note->pull, note->status == STATUS_CONFLICT || note->status == 503,
                        now_ms);
}

/* ---- Settling ------------------------------------------------------------------------------- */

static void settle_one(struct sender *sender, int i, const struct batch *batch, int64_t now_ms)
{
    struct feed *feed = &sender->feeds[i];
    const struct item *newest = NULL;
    int64_t count = 0;
    for (const struct item *item = batch->items; item; item = item->next) {
        if (item->kind != ITEM_EVENT || !item->source || item->feed != i || item->redriven)
            continue;
        count++;
        if (item->outcome == OUTCOME_FORK) {
            log_error("fork", LOG_TEXT("log", item->source->log),
                      LOG_INT("position", item->event.position));
            feed_fork(feed, item->ack_to ? item->feed_epoch : feed->epoch);
        } else if (item->outcome == OUTCOME_GAP && item->ack_to) {
            feed_gap(feed, item->feed_epoch, item->event.position, now_ms);
        } else if (item->ack_to && !batch->aborted && item->outcome != OUTCOME_GAP &&
                   item->feed_epoch == feed->epoch) {
            newest = item;
        }
    }
    if (count == 0)
        return;
    acknowledge(sender, newest);
    if (batch->aborted)
        feed_reset(feed, "the loop could not write", now_ms);
    feed_settled(feed, count, batch->aborted ? feed->cursor : batch->at.cursors[i].position,
                 now_ms);
}

void feed_part_settled(struct sender *sender, const struct batch *batch, int64_t now_ms)
{
    const struct source *source = sender->instance->service->sources;
    for (int i = 0; source && source[i].log; i++)
        settle_one(sender, i, batch, now_ms);
}

/* ---- Asking stream and durable -------------------------------------------------------------- */

static void take_stream(struct sender *sender, int i, struct bus_message *message, int64_t now_ms)
{
    _deinit_(arena) struct arena arena = { 0 };
    _deinit_(js_request) struct js_request request;
    js_request_init(&request, sender->apis[i]);
    struct js_stream_state state;
    struct feed_info *info = &sender->infos[i];
    *info = (struct feed_info){ 0 };
    int r = js_parse_stream_info(bus_message_data(message), bus_message_length(message), &arena,
                                 &state);
    if (r < 0 || (r == JS_REFUSED && state.error.error_code != JS_ERR_STREAM_NOT_FOUND)) {
        feed_failed(&sender->feeds[i], "JetStream does not answer", now_ms);
        return;
    }
    info->stream_exists = r == 0;
    info->last_sequence = r == 0 ? state.last_sequence : 0;
    if (r != 0)
        feed_info(&sender->feeds[i], info, now_ms);
    else if (state.messages > 0)
        ask(sender, i, 'l',
            js_message_get(&request, source_of(sender, i)->log, state.last_sequence), &request,
            now_ms);
    else
        ask(sender, i, 'c',
            js_consumer_info(&request, source_of(sender, i)->log, sender->self.service), &request,
            now_ms);
}

static void take_last(struct sender *sender, int i, struct bus_message *message, int64_t now_ms)
{
    _deinit_(arena) struct arena arena = { 0 };
    _deinit_(js_request) struct js_request request;
    js_request_init(&request, sender->apis[i]);
    struct js_stored_message last;
    struct event event;
    struct digest digest;
    const char *reason;
    int r = js_parse_message(bus_message_data(message), bus_message_length(message), &arena, &last);
    if (r == 0 &&
        envelope_decode(&last.view, source_of(sender, i), &arena, &event, &digest, &reason) == 0) {
        /* a foreign one is the leader's alarm, not ours */
        sender->infos[i].last_position = event.position;
        struct cursor cursor;
        if (cursor_read(sender->db, source_of(sender, i)->log, &cursor) == 0 &&
            cursor.position == event.position)
            sender->infos[i].last_differs = !digest_equal(&cursor.chain, &event.chain);
    }
    if (r < 0)
        feed_failed(&sender->feeds[i], "the stream's last message cannot be read", now_ms);
    else
        ask(sender, i, 'c',
            js_consumer_info(&request, source_of(sender, i)->log, sender->self.service), &request,
            now_ms);
}

static void take_durable(struct sender *sender, int i, struct bus_message *message, int64_t now_ms)
{
    _deinit_(arena) struct arena arena = { 0 };
    struct js_consumer_state state;
    struct feed_info *info = &sender->infos[i];
    int r = js_parse_consumer_info(bus_message_data(message), bus_message_length(message), &arena,
                                   &state);
    if (r < 0 || (r == JS_REFUSED && state.error.error_code != JS_ERR_CONSUMER_NOT_FOUND)) {
        feed_failed(&sender->feeds[i], "the durable cannot be read", now_ms);
        return;
    }
    if (r == 0) {
        info->durable_exists = 1;
        info->acked_sequence = state.acked_sequence;
        info->delivered_sequence = state.delivered_sequence;
        info->pending = state.pending_count;
        info->ack_pending = state.ack_pending_count;
    }
    feed_info(&sender->feeds[i], info, now_ms);
}

static void take_made(struct sender *sender, int i, char step, struct bus_message *message,
                      int64_t now_ms)
{
    _deinit_(arena) struct arena arena = { 0 };
    struct js_consumer_state state;
    struct js_error error;
    const char *data = bus_message_data(message);
    int r = step == 'd' ? js_parse_success(data, bus_message_length(message), &arena, &error)
                        : js_parse_consumer_info(data, bus_message_length(message), &arena, &state);
    if (r == 0 || (r == JS_REFUSED && step == 'd')) /* not there any more: just as well */
        feed_made(&sender->feeds[i], now_ms);
    else
        feed_failed(&sender->feeds[i], "the durable cannot be made", now_ms);
}

/* ---- Filling a gap from the leader ---------------------------------------------------------- */

struct item *sender_item_of_row(struct sender *sender, int i,
                                const struct runtime_events_reply_events_item *row)
{
    _free_(item) struct item *item = item_new(ITEM_EVENT);
    if (!item)
        return NULL;
    struct event event;
    item->source = source_of(sender, i);
    item->feed = i;
    if (fold_read_row(row, item->source->log, &event) < 0 ||
        event_copy(&event, &item->arena, &item->event) < 0 ||
        event_digest(&item->event, &item->event_digest) < 0)
        return NULL;
    sender_set_type(item, item->source);
    return take(item);
}

const struct runtime_events_reply *sender_read_page(struct bus_message *message,
                                                    struct arena *arena)
{
    struct invalid invalid;
    void *value = NULL;
    int r = schema_decode(&runtime_events_reply_schema, bus_message_data(message),
                          bus_message_length(message), arena, &value, &invalid);
    return r == 0 ? value : NULL;
}

static void take_page(struct sender *sender, int i, struct bus_message *message, int64_t now_ms)
{
    _deinit_(arena) struct arena arena = { 0 };
    struct feed *feed = &sender->feeds[i];
    const struct runtime_events_reply *page = sender_read_page(message, &arena);
    if (!page) {
        feed_failed(feed, "the leader refuses to give its events", now_ms);
        return;
    }
    if (page->events_count == 0) {
        feed_failed(feed, "the leader does not have the missing events either", now_ms);
        return;
    }
    for (size_t n = 0; n < page->events_count; n++) {
        struct item *item = sender_item_of_row(sender, i, &page->events[n]);
        if (!item)
            break; /* the rest comes with the next page */
        feed_delivered(feed, 1, item->event.position, 0, now_ms);
        inbox_push(&sender->instance->inbox, item);
    }
    feed_filled(feed, page->last_position, now_ms);
}

static void fill(struct sender *sender, int i, const struct feed_action *action, int64_t now_ms)
{
    _deinit_(js_request) struct js_request request;
    js_request_init(&request, sender->apis[i]);
    snprintf(request.subject, sizeof(request.subject), "%s.events", source_of(sender, i)->prefix);
    buf_put_format(&request.body, "{\"after_position\":%lld,\"limit\":%lld}",
                   (long long)action->position, (long long)action->count);
    log_warn("gap", LOG_TEXT("log", source_of(sender, i)->log),
             LOG_INT("after_position", action->position));
    ask(sender, i, 'f', buf_status(&request.body), &request, now_ms);
}

/* ---- Is the leader's log still the one that we have read?
 * ------------------------------------- */

static void compare(struct sender *sender, int i, const struct feed_action *action, int64_t now_ms)
{
    _deinit_(js_request) struct js_request request;
    js_request_init(&request, sender->apis[i]);
    snprintf(request.subject, sizeof(request.subject), "%s.events", source_of(sender, i)->prefix);
    buf_put_format(&request.body, "{\"after_position\":%lld,\"limit\":1}",
                   (long long)action->position - 1);
    ask(sender, i, 'e', buf_status(&request.body), &request, now_ms);
}

static void take_compared(struct sender *sender, int i, struct bus_message *message, int64_t now_ms)
{
    _deinit_(arena) struct arena arena = { 0 };
    struct feed *feed = &sender->feeds[i];
    struct cursor cursor;
    struct digest chain;
    const struct runtime_events_reply *page = sender_read_page(message, &arena);
    if (!page || cursor_read(sender->db, source_of(sender, i)->log, &cursor) < 0 ||
        cursor.position != feed->cursor) {
        feed_failed(feed, "the leader refuses to give its events", now_ms);
    } else if (page->events_count == 0) {
        feed_compared(feed, FEED_LEADER_IS_SHORTER, now_ms);
    } else if (page->events[0].position !=
               cursor.position) { /* what was delivered meanwhile has moved the cursor */
        feed_failed(feed, "the cursor has moved since the leader was asked", now_ms);
    } else {
        _Bool agrees = digest_parse(page->events[0].chain, &chain) == 0 &&
                       digest_equal(&chain, &cursor.chain);
        feed_compared(feed, agrees ? FEED_LEADER_AGREES : FEED_LEADER_DIFFERS, now_ms);
    }
}

/* ---- The two tables ------------------------------------------------------------------------- */

void feed_part_answer(struct sender *sender, int i, char step, int64_t epoch,
                      struct bus_message *message, int64_t now_ms)
{
    if (i < 0 || i >= SOURCES_MAX || epoch != sender->feeds[i].epoch)
        return;
    if (bus_message_status(message)) {
        feed_failed(&sender->feeds[i],
                    step == 'f' || step == 'e' ? "the leader is away" : "JetStream is away",
                    now_ms);
        return;
    }
    switch (step) {
    case 's': take_stream(sender, i, message, now_ms); break;
    case 'l': take_last(sender, i, message, now_ms); break;
    case 'c': take_durable(sender, i, message, now_ms); break;
    case 'm':
    case 'd': take_made(sender, i, step, message, now_ms); break;
    case 'f': take_page(sender, i, message, now_ms); break;
    case 'e': take_compared(sender, i, message, now_ms); break;
    }
}

static void pull(struct sender *sender, int i, const struct feed_action *action, int64_t now_ms)
{
    struct feed *feed = &sender->feeds[i];
    _deinit_(js_request) struct js_request request;
    char reply[BUS_SUBJECT_MAX + 1];
    js_request_init(&request, sender->apis[i]);
    snprintf(reply, sizeof(reply), "%s.f.%d.%lld.%lld", sender->inbox, i, (long long)action->epoch,
             (long long)action->pull);
    const struct js_pull wanted = {
        .batch = (int)action->count,
        .expires_ms = feed->config.pull_expires_ms,
        .idle_heartbeat_ms = feed->config.heartbeat_ms,
    };
    int r = js_consumer_next(&request, source_of(sender, i)->log, sender->self.service, &wanted);
    if (r == 0)
        r = bus_publish(sender->instance->bus, BUS_URGENT,
                        &(struct bus_outgoing){ .subject = request.subject,
                                                .reply = reply,
                                                .data = request.body.data,
                                                .length = request.body.length });
    if (r < 0)
        feed_pull_ended(feed, action->pull, 1, now_ms);
}

void feed_part_act(struct sender *sender, int i, int64_t now_ms)
{
    for (;;) {
        struct feed_action action = feed_next(&sender->feeds[i], now_ms);
        atomic_store(&sender->feed_epochs[i], sender->feeds[i].epoch);
        _deinit_(js_request) struct js_request request;
        js_request_init(&request, sender->apis[i]);
        const char *stream = source_of(sender, i)->log, *durable = sender->self.service;
        switch (action.kind) {
        case FEED_NOTHING: return;
        case FEED_ASK:
            ask(sender, i, 's', js_stream_info(&request, stream), &request, now_ms);
            break;
        case FEED_COMPARE: compare(sender, i, &action, now_ms); break;
        case FEED_DELETE_DURABLE:
            ask(sender, i, 'd', js_consumer_delete(&request, stream, durable), &request, now_ms);
            break;
        case FEED_MAKE_DURABLE: {
            const struct js_consumer_config config = {
                .stream = stream,
                .name = durable,
                .start_sequence = action.sequence,
                .max_ack_pending = (int)(2 * sender->feeds[i].config.window_max),
            };
            ask(sender, i, 'm', js_consumer_create(&request, &config), &request, now_ms);
            break;
        }
        case FEED_PULL: pull(sender, i, &action, now_ms); break;
        case FEED_FILL: fill(sender, i, &action, now_ms); break;
        }
    }
}
