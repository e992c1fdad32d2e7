/* Feed's I/O: see feed_io.h. */
#include "runtime/outbound/feed_io.h"
#include "base/clock.h"
#include "base/crash.h"
#include "base/guard.h"
#include "base/log.h"
#include "runtime/outbound/feed_leader.h"
#include "runtime/sync/envelope.h"
#include "runtime/sync/event_item.h"
#include <stdio.h>
#include <string.h>

#define STATUS_HEARTBEAT 100
#define STATUS_BAD_REQUEST 400
#define MARKERS_MAX 32 /* behind the newest event; more: as if there were no event */
#define STATUS_CONFLICT 409
#define STATUS_NO_RESPONDERS 503

/* The step of a request; feed_durable.c has others. */
enum step {
    STEP_STREAM = 's',
    STEP_LAST = 'l',
    STEP_PAGE = FEED_LEADER_PAGE,
    STEP_COMPARED = FEED_LEADER_COMPARED,
};

/* ---- Deliveries, on a library thread -------------------------------------------------------- */

/* 0, or why not; the reason may live in the item. */
static int read_delivery(struct feed_io *feed_io, struct bus_message *message, struct item *item,
                         const char **ret_reason)
{
    struct bus_view view;
    const char *ack_to = bus_message_reply(message);
    assert(item->kind == ITEM_EVENT && !item->source);
    *ret_reason = "no memory or no headers";
    if (!ack_to || bus_message_view(message, &view) < 0)
        return fail(ERR_INVALID, "no delivery");
    item->source = feed_io->source;
    item->feed = feed_io->number;
    item->ack_to = arena_copy(&item->arena, ack_to, strlen(ack_to));
    if (!item->ack_to)
        return fail(ERR_MEMORY, "no memory for a delivery");
    return trace(event_item_read(item, &view, item->source, ret_reason));
}

/* After the commit (rule 3): what the broker has forgotten must be in the tables. */
static void acknowledge(struct feed_io *feed_io, const struct item *newest)
{
    crash_point("before_ack");
    if (newest &&
        bus_publish(feed_io->outbound->bus, BUS_URGENT,
                    &(struct bus_outgoing){
                        .subject = newest->ack_to, .data = JS_ACK, .length = strlen(JS_ACK) }) < 0)
        /* it comes again and is a repeat */
        log_debug("ack_lost", LOG_TEXT("reason", failure_text()));
}

/* A pull has ended, or is alive: a note. */
static void take_status(struct feed_io *feed_io, struct bus_message *message, int status)
{
    struct note note = { .kind = NOTE_PULL_STATUS, .feed = feed_io->number, .status = status };
    if (status == STATUS_CONFLICT || status == STATUS_BAD_REQUEST)
        snprintf(note.words, sizeof(note.words), "%s", bus_message_status_text(message));
    if (reply_subject_read_pull(bus_message_subject(message), feed_io->outbound->replies,
                                &note.epoch, &note.pull))
        mailbox_push(&feed_io->outbound->mailbox, note);
}

static void on_delivery(void *context, struct bus_message *received)
{
    struct feed_io *feed_io = context;
    struct arrivals *arrivals = &feed_io->arrivals;
    _free_(bus_message) struct bus_message *message = received;
    const int status = bus_message_status(message);
    const int64_t epoch = atomic_load(&feed_io->epoch);
    if (status) {
        take_status(feed_io, message, status);
        return;
    }
    const char *reason = "no memory";
    struct js_delivery delivery = { 0 };
    _free_(item) struct item *item = item_new(ITEM_EVENT);
    int r = item ? read_delivery(feed_io, message, item, &reason) : -ERR_MEMORY;
    if (bus_message_reply(message))
        js_parse_delivery(bus_message_reply(message), &delivery);
    /* not an event of the leader: it is not in its log. If it stood in for one, the gap will
     * show. */
    if (r != 0) {
        struct bus_view view;
        if (bus_message_view(message, &view) < 0 || !envelope_is_marker(&view))
            log_error("foreign_message", LOG_TEXT("stream", feed_io->source->log),
                      LOG_INT("sequence", delivery.stream_sequence), LOG_TEXT("reason", reason));
        atomic_fetch_add(&arrivals->ignored, 1);
        return;
    }
    atomic_store(&arrivals->position, item->event.position);
    atomic_store(&arrivals->pending, delivery.pending_count);
    atomic_fetch_add(&arrivals->delivered, 1);
    item->feed_epoch = epoch;
    if (!GUARD(ack_after_commit))
        acknowledge(feed_io, item);
    assert(item->source == feed_io->source && item->feed == feed_io->number);
    inbox_push(feed_io->outbound->inbox, take(item));
}

/* ---- On the sender's thread ----------------------------------------------------------------- */

void feed_io_take_arrivals(struct feed_io *feed_io, int64_t now_ms)
{
    struct feed *feed = &feed_io->feed;
    struct arrivals *arrivals = &feed_io->arrivals;
    owner_assert(&feed_io->outbound->owner);
    int64_t delivered = atomic_exchange(&arrivals->delivered, 0),
            ignored = atomic_exchange(&arrivals->ignored, 0);
    if (delivered + ignored == 0)
        return;
    feed_delivered(feed, delivered + ignored, atomic_load(&arrivals->position),
                   atomic_load(&arrivals->pending), now_ms);
    if (ignored > 0)
        feed_settled(feed, ignored, feed->cursor, now_ms);
}

/* It will be no other with the next pull, while a durable that was deleted, say, is made anew. */
static _Bool is_refusal(const struct note *note)
{
    return note->status == STATUS_BAD_REQUEST ||
           strncmp(note->words, "Exceeded MaxRequest", 19) == 0 ||
           strncmp(note->words, "Consumer is push", 16) == 0;
}

void feed_io_pull_status(struct feed_io *feed_io, const struct note *note, int64_t now_ms)
{
    struct feed *feed = &feed_io->feed;
    assert(note->kind == NOTE_PULL_STATUS && note->feed == feed_io->number);
    if (note->status == STATUS_HEARTBEAT)
        feed_heartbeat(feed, now_ms);
    else if (note->epoch == feed->epoch && is_refusal(note))
        feed_pull_refused(feed, note->pull, note->words, now_ms);
    else if (note->epoch == feed->epoch)
        feed_pull_ended(feed, note->pull,
                        note->status == STATUS_CONFLICT || note->status == STATUS_NO_RESPONDERS,
                        now_ms);
}

/* ---- Settling ------------------------------------------------------------------------------- */

/* An event that was not applied, because it is not the next of the log that we have read. */
static void settle_stranger(struct feed_io *feed_io, const struct item *item, int64_t now_ms)
{
    struct feed *feed = &feed_io->feed;
    const int64_t position = item->event.position;
    if (item->outcome == OUTCOME_GAP && item->ack_to) {
        if (item->feed_epoch == feed->epoch)
            feed_leader_suspect(feed_io, item);
        feed_gap(feed, item->feed_epoch, position, now_ms);
    } else if (item->outcome == OUTCOME_FORK && item->ack_to) {
        if (feed_differs(feed, item->feed_epoch, position))
            feed_leader_suspect(feed_io, item);
    } else if (item->outcome == OUTCOME_FORK) {
        log_error("fork", LOG_TEXT("log", item->source->log), LOG_INT("position", position));
        feed_fork(feed, feed->epoch);
    }
}

/* A message of a lower term, and none before it that was not named already. */
static _Bool name_void(struct feed_io *feed_io, const struct item *item)
{
    struct js_delivery delivery = { 0 };
    js_parse_delivery(item->ack_to, &delivery);
    if (delivery.stream_sequence <= feed_io->void_sequence)
        return 0;
    feed_io->void_sequence = delivery.stream_sequence;
    feed_io->voids++;
    log_warn("void_message", LOG_TEXT("stream", feed_io->source->log),
             LOG_INT("sequence", delivery.stream_sequence),
             LOG_INT("position", item->event.position), LOG_INT("term", item->event.term),
             LOG_TEXT("reason", "a higher term had begun before it: it is passed over"));
    return 1;
}

void feed_io_settled(struct feed_io *feed_io, const struct batch *batch, int64_t now_ms)
{
    struct feed *feed = &feed_io->feed;
    const struct item *newest = NULL;
    int64_t count = 0;
    _Bool passed_over = 0;
    owner_assert(&feed_io->outbound->owner);
    for (const struct item *item = batch->items; item; item = item->next) {
        if (item->kind != ITEM_EVENT || !item->source || item->feed != feed_io->number ||
            item->redriven)
            continue;
        count++;
        if (item->outcome == OUTCOME_VOID && !batch->aborted)
            passed_over |= name_void(feed_io, item);
        if (item->outcome == OUTCOME_FORK || item->outcome == OUTCOME_GAP)
            settle_stranger(feed_io, item, now_ms);
        else if (item->ack_to && !batch->aborted && item->feed_epoch == feed->epoch)
            newest = item;
    }
    if (count == 0)
        return;
    acknowledge(feed_io, newest);
    if (batch->aborted)
        feed_reset(feed, "the loop could not write", now_ms);
    feed_settled(feed, count,
                 batch->aborted ? feed->cursor : batch->at.cursors[feed_io->number].position,
                 now_ms);
    if (passed_over)
        feed_passed_over(feed);
}

/* ---- Asking stream and durable -------------------------------------------------------------- */

static void take_stream(struct feed_io *feed_io, struct bus_message *message, int64_t now_ms)
{
    _deinit_(arena) struct arena arena = { 0 };
    _deinit_(js_request) struct js_request request;
    js_request_init(&request, feed_io->api);
    struct js_stream_state state;
    struct feed_info *info = &feed_io->info;
    *info = (struct feed_info){ 0 };
    feed_io->looked_back = 0;
    int r = js_parse_stream_info(bus_message_data(message), bus_message_length(message), &arena,
                                 &state);
    if (r == JS_REFUSED && state.error.error_code != JS_ERR_STREAM_NOT_FOUND) {
        feed_refused(&feed_io->feed, "the stream cannot be read", state.error.description, now_ms);
        return;
    }
    if (r < 0) {
        feed_failed(&feed_io->feed, "JetStream does not answer", now_ms);
        return;
    }
    info->stream_exists = r == 0;
    info->last_sequence = r == 0 ? state.last_sequence : 0;
    if (r != 0)
        feed_looked(&feed_io->feed, info, now_ms);
    else if (state.messages > 0)
        feed_io_request(feed_io, STEP_LAST,
                        js_message_get(&request, feed_io->source->log, state.last_sequence),
                        &request, now_ms);
    else
        feed_durable_look(&feed_io->durable, &feed_io->info, now_ms);
}

/* Markers, and what is left of them, stand behind the newest event. False: it is given up. */
static _Bool look_before(struct feed_io *feed_io, int64_t now_ms)
{
    _deinit_(js_request) struct js_request request;
    const int64_t sequence = feed_io->info.last_sequence - ++feed_io->looked_back;
    js_request_init(&request, feed_io->api);
    if (sequence < 1 || feed_io->looked_back > MARKERS_MAX)
        return 0;
    feed_io_request(feed_io, STEP_LAST, js_message_get(&request, feed_io->source->log, sequence),
                    &request, now_ms);
    return 1;
}

static void take_newest(struct feed_io *feed_io, struct bus_message *message, int64_t now_ms)
{
    _deinit_(arena) struct arena arena = { 0 };
    _deinit_(js_request) struct js_request request;
    js_request_init(&request, feed_io->api);
    struct js_stored_message last;
    struct event event;
    struct digest digest;
    const char *reason;
    int r = js_parse_message(bus_message_data(message), bus_message_length(message), &arena, &last);
    if ((r == JS_REFUSED || (r == 0 && envelope_is_marker(&last.view))) &&
        look_before(feed_io, now_ms))
        return;
    if (r == 0 &&
        envelope_decode(&last.view, feed_io->source, &arena, &event, &digest, &reason) == 0) {
        struct cursor cursor = { 0 };
        const _Bool is_known = cursor_read(feed_io->outbound->db, feed_io->source->log, &cursor) ==
                               0;
        if (is_known && cursor_is_void(&cursor, &event) && look_before(feed_io, now_ms))
            return;
        /* a foreign one is the leader's alarm, not ours */
        feed_io->info.last_position = event.position;
        if (is_known && cursor.position == event.position)
            feed_io->info.last_differs = !digest_equal(&cursor.chain, &event.chain);
    }
    if (r < 0)
        feed_failed(&feed_io->feed, "the stream's last message cannot be read", now_ms);
    else
        feed_durable_look(&feed_io->durable, &feed_io->info, now_ms);
}

/* ---- The two tables ------------------------------------------------------------------------- */

void feed_io_reply(struct feed_io *feed_io, const struct reply_tag *tag,
                   struct bus_message *message, int64_t now_ms)
{
    const enum step step = (enum step)tag->step;
    owner_assert(&feed_io->outbound->owner);
    if (tag->epoch != feed_io->feed.epoch)
        return;
    if (feed_durable_reply(&feed_io->durable, tag, message, now_ms))
        return;
    if (bus_message_status(message)) {
        feed_failed(&feed_io->feed,
                    feed_io->feed.judged > 0
                        ? "a message in the stream does not follow, and the leader is away"
                    : step == STEP_PAGE || step == STEP_COMPARED ? "the leader is away"
                                                                 : "JetStream is away",
                    now_ms);
        return;
    }
    switch (step) {
    case STEP_STREAM:   take_stream(feed_io, message, now_ms); break;
    case STEP_LAST:     take_newest(feed_io, message, now_ms); break;
    case STEP_PAGE:     feed_leader_page(feed_io, message, now_ms); break;
    case STEP_COMPARED: feed_leader_compared(feed_io, message, now_ms); break;
    }
}

static void send_pull(struct feed_io *feed_io, const struct feed_action *action, int64_t now_ms)
{
    struct feed *feed = &feed_io->feed;
    _deinit_(js_request) struct js_request request;
    reply_subject reply;
    js_request_init(&request, feed_io->api);
    reply_subject_of_pull(reply, feed_io->outbound->replies, feed_io->number, action->epoch,
                          action->pull);
    const struct js_pull wanted = {
        .batch = (int)action->count,
        .expires_ms = feed->config.pull_expires_ms,
        .idle_heartbeat_ms = feed->config.heartbeat_ms,
    };
    int r = js_consumer_next(&request, feed_io->source->log, feed_io->outbound->reader, &wanted);
    if (r == 0)
        r = bus_publish(feed_io->outbound->bus, BUS_URGENT,
                        &(struct bus_outgoing){ .subject = request.subject,
                                                .reply = reply,
                                                .data = request.body.data,
                                                .length = request.body.length });
    if (r < 0)
        feed_pull_ended(feed, action->pull, 1, now_ms);
}

void feed_io_act(struct feed_io *feed_io, int64_t now_ms)
{
    owner_assert(&feed_io->outbound->owner);
    for (;;) {
        struct feed_action action = feed_next(&feed_io->feed, now_ms);
        atomic_store(&feed_io->epoch, feed_io->feed.epoch);
        _deinit_(js_request) struct js_request request;
        js_request_init(&request, feed_io->api);
        switch (action.kind) {
        case FEED_NOTHING: return;
        case FEED_ASK:
            feed_io_request(feed_io, STEP_STREAM, js_stream_info(&request, feed_io->source->log),
                            &request, now_ms);
            break;
        case FEED_COMPARE:        feed_leader_compare(feed_io, &action, now_ms); break;
        case FEED_DELETE_DURABLE: feed_durable_delete(&feed_io->durable, now_ms); break;
        case FEED_MAKE_DURABLE:   feed_durable_make(&feed_io->durable, &action, now_ms); break;
        case FEED_PULL:           send_pull(feed_io, &action, now_ms); break;
        case FEED_FILL:           feed_leader_fill(feed_io, &action, now_ms); break;
        }
    }
}

/* ---- What others see of it ------------------------------------------------------------------ */

/* Why it does not work; "" while it does, or is about to. */
static void tell_reason(struct feed_io *feed_io)
{
    const struct feed *feed = &feed_io->feed;
    struct status_text *text = &feed_io->outbound->status->sources[feed_io->number].reason;
    char reason[sizeof(text->text)] = "";
    if (feed->state == FEED_WAITING || feed->state == FEED_FORKED)
        snprintf(reason, sizeof(reason), "%s%s%s", feed->reason, *feed->detail ? ": " : "",
                 feed->detail);
    else if (feed->state != FEED_PULLING || feed->is_held)
        return; /* it tries again: what it waited for may still hold */
    if (!status_text_set(text, reason) || !*reason)
        return;
    log_at(feed->state == FEED_FORKED ? LOG_ERROR : LOG_WARN, "feed",
           LOG_TEXT("log", feed_io->source->log), LOG_TEXT("state", feed_state_name(feed->state)),
           LOG_INT("cursor", feed->cursor), LOG_TEXT("reason", reason),
           LOG_TEXT("help", feed->state == FEED_FORKED
                                ? "the leader has lost events, or somebody else wrote events into "
                                  "its stream that were applied here: docs/OPERATIONS.md, A fork"
                                : NULL));
}

/* While the server refuses what it needs. */
static void tell_held(struct feed_io *feed_io)
{
    const struct feed *feed = &feed_io->feed;
    struct notice notice;
    char of[sizeof(notice.of)];
    if (feed_io->was_held == feed->is_held && !(feed->is_held && feed->state == FEED_WAITING))
        return;
    snprintf(of, sizeof(of), "feed %s", feed_io->source->log);
    if (feed->is_held)
        notice_set(&notice, NOTICE_HELD, of, feed->reason, feed->detail, strlen(feed->detail));
    notices_replace(&feed_io->outbound->status->notices, of, &notice, feed->is_held);
    feed_io->was_held = feed->is_held;
}

static void log_feed_state(const struct feed_io *feed_io)
{
    const struct feed *feed = &feed_io->feed;
    log_at(feed->state == FEED_FILLING ? LOG_WARN : LOG_DEBUG, "feed",
           LOG_TEXT("log", feed_io->source->log), LOG_TEXT("state", feed_state_name(feed->state)),
           LOG_INT("cursor", feed->cursor));
}

void feed_io_report(struct feed_io *feed_io, int64_t now_ms)
{
    const struct feed *feed = &feed_io->feed;
    owner_assert(&feed_io->outbound->owner);
    struct source_status *status = &feed_io->outbound->status->sources[feed_io->number];
    const _Bool moved = atomic_exchange(&status->feed_state, feed->state) != (int)feed->state;
    if (moved && feed->state != FEED_WAITING && feed->state != FEED_FORKED)
        log_feed_state(feed_io);
    if (moved) {
        tell_reason(feed_io);
        tell_held(feed_io);
    } else if (feed_io->was_held != feed->is_held) {
        tell_held(feed_io);
        tell_reason(feed_io);
    }
    atomic_store(&status->leader_position, feed->leader_position);
    atomic_store(&status->remade, feed->remade);
    atomic_store(&status->gaps, feed->gaps);
    atomic_store(&status->voids, feed_io->voids);
    if (feed->complete_ms > 0)
        atomic_store(&status->complete_at_ms, clock_wall_ms() - (now_ms - feed->complete_ms));
}

/* ---- Opening and closing -------------------------------------------------------------------- */

int feed_io_init(struct feed_io *feed_io, struct outbound *outbound, const struct config *config,
                 int number, int64_t cursor, uint64_t seed)
{
    struct feed_config feed_config = feed_defaults;
    assert(number >= 0 && number < SOURCES_MAX);
    feed_config.seed = seed;
    *feed_io = (struct feed_io){
        .outbound = outbound,
        .number = number,
        .source = &outbound->service->sources[number],
        .began_empty = cursor == 0,
    };
    feed_init(&feed_io->feed, &feed_config, cursor);
    feed_durable_init(&feed_io->durable, outbound, feed_io->source, &feed_io->feed, feed_io->api,
                      (char)(PART_FEED + number));
    return trace(config_source_api(config, feed_io->source->log, feed_io->api));
}

int feed_io_subscribe(struct feed_io *feed_io)
{
    char suffix[16];
    snprintf(suffix, sizeof(suffix), ".f.%d.>", feed_io->number);
    return trace(
        outbound_subscribe(feed_io->outbound, suffix, on_delivery, feed_io, &feed_io->deliveries));
}

void feed_io_deinit(struct feed_io *feed_io)
{
    bus_subscription_free(feed_io->deliveries);
}
