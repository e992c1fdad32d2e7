/* Feed's leader: see feed_leader.h. */
#include "runtime/outbound/feed_leader.h"
#include "base/log.h"
#include "runtime/request/reply.h"
#include "runtime/sync/event_item.h"
#include <stdio.h>

/* ---- What does not follow ------------------------------------------------------------------- */

/* What is judged now; named once, however often it is delivered. */
void feed_leader_suspect(struct feed_io *feed_io, const struct item *item)
{
    struct suspect *suspect = &feed_io->suspect;
    struct js_delivery delivery = { 0 };
    js_parse_delivery(item->ack_to, &delivery);
    suspect->position = item->event.position;
    suspect->sequence = delivery.stream_sequence;
    suspect->differs = item->outcome == OUTCOME_FORK;
    if (digest_equal(&suspect->chain, &item->event.chain))
        return;
    suspect->chain = item->event.chain;
    suspect->is_void = 0;
    if (suspect->differs)
        log_warn("event_does_not_follow", LOG_TEXT("log", item->source->log),
                 LOG_INT("position", suspect->position), LOG_INT("sequence", suspect->sequence),
                 LOG_TEXT("type", item->event.type), LOG_TEXT("id", item->event.id),
                 LOG_TEXT("help", "the leader is asked for its event there"));
}

/* The leader's log goes on from our cursor: is the message not in it? */
static void name_void(struct feed_io *feed_io, int64_t last_position)
{
    struct suspect *suspect = &feed_io->suspect;
    const int64_t judged = feed_io->feed.judged;
    if (suspect->is_void || judged == 0 || (!suspect->differs && judged <= last_position))
        return;
    suspect->is_void = 1;
    feed_io->voids++;
    log_warn("void_message", LOG_TEXT("stream", feed_io->source->log),
             LOG_INT("sequence", suspect->sequence), LOG_INT("position", suspect->position),
             LOG_TEXT("reason", "it is not in the leader's log: it is passed over"));
}

/* ---- Filling a gap from the leader ---------------------------------------------------------- */

static const struct runtime_events_reply *read_page(struct bus_message *message,
                                                    struct arena *arena)
{
    return event_page_read(bus_message_data(message), bus_message_length(message), arena);
}

/* So many rows of a page are in the stream, or were once. What only the leader's file has may never
 * be: another instance may lead that does not have it. One of a version before says nothing. */
static size_t rows_in_stream(const struct runtime_events_reply *page)
{
    size_t count = 0;
    while (count < page->events_count &&
           (!page->has_in_stream || page->events[count].position <= page->in_stream))
        count++;
    return count;
}

void feed_leader_page(struct feed_io *feed_io, struct bus_message *message, int64_t now_ms)
{
    _deinit_(arena) struct arena arena = { 0 };
    struct feed *feed = &feed_io->feed;
    const struct runtime_events_reply *page = read_page(message, &arena);
    if (!page && reply_is_too_large(message)) {
        log_warn("page_too_large", LOG_TEXT("log", feed_io->source->log),
                 LOG_INT("after_position", feed->cursor), LOG_INT("limit", feed->fill_limit));
        feed_failed(feed, "the leader's next event is larger than a message of its server", now_ms);
        return;
    }
    if (!page) {
        feed_failed(feed, "the leader refuses to give its events", now_ms);
        return;
    }
    const size_t count = rows_in_stream(page);
    if (count == 0) {
        if (page->last_position > feed->cursor)
            feed_failed(feed, "the leader does not give the missing events", now_ms);
        else
            feed_not_filled(feed);
        return;
    }
    for (size_t n = 0; n < count; n++) {
        struct item *item = event_item_of_row(&page->events[n], feed_io->source, feed_io->number);
        if (!item)
            break; /* the rest comes with the next page */
        feed_delivered(feed, 1, item->event.position, 0, now_ms);
        inbox_push(feed_io->outbound->inbox, item);
    }
    feed_filled(feed, page->last_position, now_ms);
}

void feed_leader_fill(struct feed_io *feed_io, const struct feed_action *action, int64_t now_ms)
{
    _deinit_(js_request) struct js_request request;
    js_request_init(&request, feed_io->api);
    snprintf(request.subject, sizeof(request.subject), "%s.events", feed_io->source->prefix);
    buf_put_format(&request.body, "{\"after_position\":%lld,\"limit\":%lld}",
                   (long long)action->position, (long long)action->count);
    log_warn("gap", LOG_TEXT("log", feed_io->source->log),
             LOG_INT("after_position", action->position), LOG_INT("limit", action->count));
    feed_io_request(feed_io, FEED_LEADER_PAGE, buf_status(&request.body), &request, now_ms);
}

/* ---- Comparing with the leader: is its log still the one that we have read? ------------------ */

void feed_leader_compare(struct feed_io *feed_io, const struct feed_action *action, int64_t now_ms)
{
    _deinit_(js_request) struct js_request request;
    js_request_init(&request, feed_io->api);
    snprintf(request.subject, sizeof(request.subject), "%s.events", feed_io->source->prefix);
    buf_put_format(&request.body, "{\"after_position\":%lld,\"limit\":1}",
                   (long long)(action->position > 0 ? action->position - 1 : 0));
    feed_io_request(feed_io, FEED_LEADER_COMPARED, buf_status(&request.body), &request, now_ms);
}

/* Does the leader's log go on from where our cursor stands? < 0: the page does not say so. */
static int compare_page(const struct runtime_events_reply *page, const struct cursor *cursor,
                        enum feed_fit *ret_fit)
{
    struct digest chain;
    *ret_fit = FEED_LEADER_AGREES;
    if (cursor->position == 0)
        return 0;
    if (page->events_count == 0) {
        *ret_fit = FEED_LEADER_IS_SHORTER;
        return 0;
    }
    if (page->events[0].position != cursor->position)
        return fail(ERR_INVALID, "another position than that of the cursor");
    if (digest_parse(page->events[0].chain, &chain) < 0 || !digest_equal(&chain, &cursor->chain))
        *ret_fit = FEED_LEADER_DIFFERS;
    return 0;
}

void feed_leader_compared(struct feed_io *feed_io, struct bus_message *message, int64_t now_ms)
{
    _deinit_(arena) struct arena arena = { 0 };
    struct feed *feed = &feed_io->feed;
    struct cursor cursor;
    enum feed_fit fit;
    const struct runtime_events_reply *page = read_page(message, &arena);
    if (!page || cursor_read(feed_io->outbound->db, feed_io->source->log, &cursor) < 0) {
        feed_failed(feed, "the leader refuses to give its events", now_ms);
        return;
    }
    if (cursor.position != feed->cursor || compare_page(page, &cursor, &fit) < 0) {
        /* what was delivered meanwhile has moved it */
        feed_failed(feed, "the cursor has moved since the leader was asked", now_ms);
        return;
    }
    if (fit == FEED_LEADER_AGREES)
        name_void(feed_io, page->last_position);
    feed_compared(feed, fit, page->last_position, now_ms);
}
