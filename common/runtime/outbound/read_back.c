/* Read back: see read_back.h. */
#include "runtime/outbound/read_back.h"
#include "base/log.h"
#include "runtime/sync/envelope.h"
#include "runtime/sync/event_item.h"

#define BULK 96 /* messages from which on a consumer is made for them */

static void recovery_check(const struct recovery *recovery)
{
    assert(recovery->expected >= 0 && recovery->received <= RECOVER_WINDOW); /* S1 */
    assert(recovery->unsettled >= 0);                                        /* S2 */
    assert(!recovery->rolled_back || recovery->unsettled > 0);               /* S2 */
}

static void read_one_by_one(struct relay_io *relay_io, int64_t now_ms)
{
    struct recovery *recovery = &relay_io->recovery;
    const int64_t count = recovery->last_sequence - recovery->first_sequence + 1;
    stream_reader_close(&relay_io->reader); /* what it has read ahead comes this way */
    recovery->waits = 0;
    recovery->expected = count < RECOVER_WINDOW ? (int)count : RECOVER_WINDOW;
    recovery_check(recovery);
    for (int i = 0; i < recovery->expected; i++) {
        _deinit_(js_request) struct js_request request;
        js_request_init(&request, NULL);
        int64_t sequence = recovery->first_sequence + i;
        const struct reply_tag tag = {
            .part = PART_RELAY, .step = READ_BACK_STEP, .epoch = recovery->epoch, .n = sequence
        };
        int built = js_message_get(&request, relay_io->outbound->self.log, sequence);
        if (outbound_request_api(relay_io->outbound, &tag, built, &request) < 0)
            relay_failed(&relay_io->relay, "the server cannot be asked", now_ms);
    }
}

/* The message at our head is the first of a range, so that it is seen where it stands. The reader
 * has shown it already when nothing came behind it. */
static _Bool has_shown(const struct relay_io *relay_io, const struct relay_action *action)
{
    const struct recovery *recovery = &relay_io->recovery;
    return action->sequence < action->last && action->sequence == recovery->seen_sequence &&
           recovery->seen_position == relay_io->relay.head &&
           relay_io->reader.next == action->sequence + 1;
}

void read_back(struct relay_io *relay_io, const struct relay_action *action, int64_t now_ms)
{
    struct recovery *recovery = &relay_io->recovery;
    struct stream_reader *reader = &relay_io->reader;
    for (int i = 0; i < RECOVER_WINDOW; i++) {
        item_free(recovery->items[i]);
        recovery->items[i] = NULL;
    }
    const int64_t count = action->last - action->sequence + 1;
    assert(action->kind == RELAY_RECOVER && action->sequence > 0 && count > 0);
    const _Bool shown = has_shown(relay_io, action);
    const int64_t first = action->sequence + shown;
    const _Bool is_at = stream_reader_is_at(reader, action->epoch, first, now_ms);
    const _Bool goes_on = recovery->next_sequence == action->sequence || (shown && is_at);
    *recovery = (struct recovery){
        .seen_position = goes_on ? recovery->seen_position : 0,
        .seen_sequence = goes_on ? recovery->seen_sequence : 0,
        .void_count = goes_on ? recovery->void_count : 0,
        .lost_count = goes_on ? recovery->lost_count : 0,
        .first_sequence = is_at ? first : action->sequence,
        .last_sequence = action->last,
        .epoch = action->epoch,
        .unsettled = recovery->unsettled, /* of a try that timed out: the loop still has them */
        .rolled_back = recovery->rolled_back,
    };
    recovery->waits = is_at ||
                      (count >= BULK && stream_reader_may_open(reader, now_ms) &&
                       stream_reader_open(reader, action->epoch, action->sequence, now_ms) == 0);
    if (recovery->waits)
        stream_reader_wait(reader, now_ms);
    else
        read_one_by_one(relay_io, now_ms);
}

/* Nothing of the window took our log further: the next one, or what the whole of the stream says.
 * What does not follow our log is void when our log and the stream are one up to there, and when
 * there is no room before it for events that both have lost; a log that has been the stream's
 * already in this life has lost nothing. */
static void end_window(struct relay_io *relay_io, int64_t now_ms)
{
    struct relay *relay = &relay_io->relay;
    struct recovery *recovery = &relay_io->recovery;
    const struct relay_action rest = { .kind = RELAY_RECOVER,
                                       .sequence = recovery->first_sequence + recovery->expected,
                                       .last = recovery->last_sequence,
                                       .epoch = relay->epoch };
    const int64_t strangers = recovery->void_count + recovery->lost_count;
    if ((strangers > 0 || recovery->foreign > 0) && rest.sequence <= rest.last) {
        recovery->next_sequence = rest.sequence;
        relay_reading(relay, now_ms);
        read_back(relay_io, &rest, now_ms);
        return;
    }
    if (relay->state == RELAY_FOLLOWING) { /* its leader heals it: another look */
        relay_lose_way(relay, now_ms);
        return;
    }
    const _Bool knows_place = recovery->seen_sequence > 0 || relay->head == 0;
    if (strangers > 0 && (relay->was_whole || (recovery->lost_count == 0 && knows_place)))
        relay_voids(relay, now_ms);
    else if (!relay->is_lost) /* another instance may have led since: what both have tells */
        relay_lose_way(relay, now_ms);
    else if (strangers > 0 && recovery->lost_count == 0)
        relay_fork(relay, "log and stream have different chains at the same position");
    else
        relay_fork(relay, "the stream has lost events that our log has lost too");
}

/* All of the window is there: into the inbox, in order. A sequence without a message leaves its
 * place empty: if a position is missing, the loop will see the gap. */
static void push_recovered(struct relay_io *relay_io, int64_t now_ms)
{
    struct recovery *recovery = &relay_io->recovery;
    for (int i = 0; i < recovery->expected; i++) {
        if (!recovery->items[i])
            continue;
        recovery->unsettled++;
        inbox_push(relay_io->outbound->inbox, take(recovery->items[i]));
    }
    if (recovery->unsettled == 0)
        end_window(relay_io, now_ms);
}

/* A window of the stream reader. */
static void push_window(struct relay_io *relay_io, struct reader_window *window, int64_t now_ms)
{
    struct recovery *recovery = &relay_io->recovery;
    recovery->waits = 0;
    recovery->foreign += window->foreign;
    recovery->expected = (int)(window->covered - recovery->first_sequence + 1);
    recovery->unsettled += window->count;
    for (struct item *item = window->first; item && !relay_io->relay.follows; item = item->next)
        item->stream_position = relay_io->relay.stream_position;
    if (window->first)
        inbox_push_events(relay_io->outbound->inbox, window->first, window->last);
    recovery_check(recovery);
    if (recovery->unsettled == 0)
        end_window(relay_io, now_ms);
    else
        relay_reading(&relay_io->relay, now_ms);
}

_Bool read_back_act(struct relay_io *relay_io, int64_t now_ms)
{
    struct stream_reader *reader = &relay_io->reader;
    struct recovery *recovery = &relay_io->recovery;
    struct reader_window window;
    const int64_t epoch = relay_io->relay.epoch;
    atomic_store(&reader->has_news, 0);
    if (reader->state == READER_IDLE)
        return 0;
    if (reader->epoch != epoch) { /* the relay is at something else */
        stream_reader_close(reader);
        return 0;
    }
    stream_reader_pull(reader, recovery->last_sequence, now_ms);
    if (!recovery->waits)
        return 0;
    int r = reader->state == READER_IDLE ? -ERR_NETWORK
                                         : stream_reader_take(reader, now_ms, &window);
    if (r > 0) {
        push_window(relay_io, &window, now_ms);
    } else if (r < 0) {
        relay_reading(&relay_io->relay, now_ms);
        read_one_by_one(relay_io, now_ms);
    }
    if (r > 0 && reader->state != READER_IDLE)
        stream_reader_pull(reader, recovery->last_sequence, now_ms);
    return relay_io->relay.epoch != epoch;
}

void read_back_reply(struct relay_io *relay_io, int64_t sequence, struct bus_message *message,
                     int64_t now_ms)
{
    struct recovery *recovery = &relay_io->recovery;
    struct js_stored_message stored;
    const char *reason = NULL;
    int64_t place = sequence - recovery->first_sequence;
    if (place < 0 || place >= recovery->expected || recovery->items[place])
        return;
    _free_(item) struct item *item = item_new(ITEM_EVENT);
    int r = !item ? -ERR_MEMORY
            : bus_message_status(message)
                ? -ERR_NETWORK
                : js_parse_message(bus_message_data(message), bus_message_length(message),
                                   &item->arena, &stored);
    if (r == 0 && envelope_is_marker(&stored.view))
        r = 1; /* as a place without a message */
    else if (r == 0)
        r = event_item_read(item, &stored.view, &relay_io->outbound->self, &reason);
    if (r < 0) {
        relay_failed(&relay_io->relay, "our own stream cannot be read", now_ms);
        return;
    }
    if (reason) {
        log_error("foreign_message", LOG_TEXT("stream", relay_io->outbound->self.log),
                  LOG_INT("sequence", sequence), LOG_TEXT("reason", reason));
        recovery->foreign++;
    }
    if (!relay_io->relay.follows) /* what a leader says of its stream binds nobody */
        item->stream_position = relay_io->relay.stream_position;
    item->sequence = sequence;
    if (r == 0)
        recovery->items[place] = take(item);
    if (++recovery->received == recovery->expected)
        push_recovered(relay_io, now_ms);
}

/* What the loop made of a message of our own stream. */
static void judge_own_event(struct recovery *recovery, const struct item *item)
{
    const int64_t position = item->event.position;
    if (item->outcome == OUTCOME_VOID)
        return;
    const _Bool is_strange = item->outcome == OUTCOME_FORK || item->outcome == OUTCOME_GAP;
    if (!is_strange && position > recovery->seen_position) {
        recovery->seen_position = position;
        recovery->seen_sequence = item->sequence;
    } else if (item->outcome == OUTCOME_GAP &&
               item->sequence - recovery->seen_sequence >= position - recovery->seen_position) {
        recovery->lost_count++;
    } else if (is_strange) {
        recovery->void_count++;
    }
}

static void settle_window(struct relay_io *relay_io, int64_t head, _Bool judged, int64_t now_ms)
{
    struct relay *relay = &relay_io->relay;
    struct recovery *recovery = &relay_io->recovery;
    if (head > relay->head)
        relay_recovered(relay, head, now_ms);
    else if (judged && recovery->void_count + recovery->lost_count > 0)
        end_window(relay_io, now_ms);
    else
        relay_failed(relay, "catching up on our own stream makes no progress", now_ms);
}

void read_back_settled(struct relay_io *relay_io, const struct batch *batch, int64_t now_ms)
{
    struct relay *relay = &relay_io->relay;
    struct recovery *recovery = &relay_io->recovery;
    const _Bool recovering = recovery->unsettled > 0, judged = !recovery->rolled_back;
    owner_assert(&relay_io->outbound->owner);
    for (const struct item *item = batch->items; item; item = item->next) {
        if (item->kind != ITEM_EVENT || item->source)
            continue;
        recovery->unsettled--;
        if (judged && !batch->aborted)
            judge_own_event(recovery, item);
    }
    recovery->rolled_back = recovery->unsettled > 0 && (recovery->rolled_back || batch->aborted);
    recovery_check(recovery);
    if (batch->aborted) {
        if (recovering && recovery->unsettled == 0)
            relay_failed(relay, "our own events cannot be applied", now_ms);
        return;
    }
    int64_t head = batch->at.head.position;
    if (recovering && recovery->unsettled > 0)
        relay_reading(relay, now_ms);
    if (recovering && recovery->unsettled == 0 &&
        (relay->state == RELAY_RECOVERING || relay->state == RELAY_FOLLOWING))
        settle_window(relay_io, head, judged, now_ms);
    relay_grew(relay, head, now_ms);
}
