/* Stream I/O: see stream_io.h. */
#include "runtime/outbound/stream_io.h"
#include "base/guard.h"
#include "base/log.h"
#include "runtime/sync/event_item.h"
#include <string.h>

/* The step of a request. */
enum step {
    STEP_INFO = 'i',
    STEP_AUDIT = 'u',
    STEP_LOOK = 'l',
    STEP_AUDITED = 'v',
    STEP_MADE = 'm',
    STEP_DELETED = 'd',
    STEP_OWN_MESSAGE = 'g',
};

static void request_stream(struct relay_io *relay_io, enum step step, int64_t epoch, int64_t n,
                           int built, const struct js_request *request, int64_t now_ms)
{
    const struct reply_tag tag = { .part = PART_RELAY, .step = (char)step, .epoch = epoch, .n = n };
    if (outbound_request_api(relay_io->outbound, &tag, built, request) < 0)
        relay_failed(&relay_io->relay, "the server cannot be asked", now_ms);
}

/* ---- Looking at the stream ------------------------------------------------------------------ */

/* What stands at a sequence, when it is no event of ours. */
enum { PLACE_HOLE = -1, PLACE_FOREIGN = -2 };

/* 0: our log has this event; 1: it is no event of our log, and why; < 0. One that claims to be the
 * next after our log must follow it, else nobody with our log has written it. */
static int compare_event(struct relay_io *relay_io, const struct event *event,
                         const struct digest *digest, enum tail_fit *ret_fit,
                         const char **ret_reason)
{
    const int64_t head = relay_io->relay.head;
    const _Bool is_next = event->position == head + 1;
    struct digest chain = { 0 };
    int r = 0;
    *ret_fit = event->position > head ? TAIL_AHEAD : TAIL_EQUAL;
    if (event->position > head && !is_next)
        return 0;
    if (!is_next || head > 0)
        r = event_log_find_chain(relay_io->outbound->db, is_next ? head : event->position, &chain);
    if (r == 0 && is_next)
        r = event_chain(&chain, digest, &chain);
    if (r < 0)
        return trace(r);
    if (r == 0 && digest_equal(&chain, &event->chain))
        return 0;
    *ret_fit = is_next ? TAIL_EQUAL : TAIL_DIFFERENT;
    *ret_reason = "its chain does not follow our log";
    return is_next;
}

/* Of a message: its position, or a PLACE_…; how an event of ours fits our log. 0: it cannot be
 * read. */
static int64_t compare_message(struct relay_io *relay_io, struct bus_message *message,
                               int64_t sequence, enum tail_fit *ret_fit)
{
    _deinit_(arena) struct arena arena = { 0 };
    struct js_stored_message stored = { 0 };
    struct event event;
    struct digest digest;
    const char *reason;
    *ret_fit = TAIL_EQUAL;
    int r = bus_message_status(message)
                ? fail(ERR_NETWORK, "no answer")
                : js_parse_message(bus_message_data(message), bus_message_length(message), &arena,
                                   &stored);
    if (r == JS_REFUSED)
        return stored.error.error_code == JS_ERR_MESSAGE_NOT_FOUND ? PLACE_HOLE : 0;
    if (r == 0)
        r = envelope_decode(&stored.view, &relay_io->outbound->self, &arena, &event, &digest,
                            &reason);
    if (r == 0)
        r = compare_event(relay_io, &event, &digest, ret_fit, &reason);
    if (r == 0)
        return event.position;
    if (r < 0)
        return 0;
    log_error("foreign_message", LOG_TEXT("stream", relay_io->outbound->self.log),
              LOG_INT("sequence", sequence), LOG_TEXT("reason", reason));
    return PLACE_FOREIGN;
}

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static void look_check(const struct look *look)
{
    assert(look->first >= 1 && look->first <= look->last);                         /* L1 */
    assert(look->last - look->first < LOOK_WINDOW);                                /* L1 */
    assert(look->received >= 0 && look->received <= look->last - look->first + 1); /* L2 */
}

/* The window that ends at this sequence. */
static void request_window(struct relay_io *relay_io, int64_t epoch, int64_t last, int64_t now_ms)
{
    struct look *look = &relay_io->look;
    const int64_t stop = look->tail.has_last || look->stop < last ? look->stop : last;
    look->last = last;
    look->first = larger(last - LOOK_WINDOW + 1, larger(look->tail.first_sequence, 1));
    if (stop <= last)
        look->first = larger(look->first, stop);
    look->received = 0;
    memset(look->places, 0, sizeof(look->places));
    look_check(look);
    for (int64_t sequence = look->first; sequence <= look->last; sequence++) {
        _deinit_(js_request) struct js_request request;
        js_request_init(&request, NULL);
        request_stream(relay_io, STEP_LOOK, epoch, sequence,
                       js_message_get(&request, relay_io->outbound->self.log, sequence), &request,
                       now_ms);
    }
}

/* All of the window is there, newest first: what others wrote, and what is missing before a later
 * one of ours. */
static void judge_window(struct look *look)
{
    struct relay_tail *tail = &look->tail;
    for (int64_t sequence = look->last; sequence >= look->first; sequence--) {
        const int64_t place = look->places[sequence - look->first];
        if (place == PLACE_HOLE) {
            tail->has_gap |= !tail->expires;
        } else if (place == PLACE_FOREIGN) {
            tail->foreign++;
            tail->foreign_behind += !tail->has_last;
        } else {
            if (!tail->has_last) {
                tail->message_sequence = sequence;
                tail->position = place;
            }
            tail->has_last = 1;
            tail->has_gap |= look->later_position > place + 1;
            look->later_position = place;
        }
    }
}

static void take_looked(struct relay_io *relay_io, int64_t epoch, int64_t sequence,
                        struct bus_message *message, int64_t now_ms)
{
    struct look *look = &relay_io->look;
    enum tail_fit fit;
    if (sequence < look->first || sequence > look->last || look->places[sequence - look->first])
        return;
    const int64_t place = compare_message(relay_io, message, sequence, &fit);
    if (place == 0) {
        relay_failed(&relay_io->relay, "the stream's messages cannot be read", now_ms);
        return;
    }
    look->places[sequence - look->first] = place;
    if (fit > look->tail.fit)
        look->tail.fit = fit;
    look->received++;
    look_check(look);
    if (look->received <= look->last - look->first)
        return;
    judge_window(look);
    const _Bool is_first = look->first <= larger(look->tail.first_sequence, 1);
    if (is_first || (look->tail.has_last && look->first <= look->stop)) {
        relay_looked(&relay_io->relay, &look->tail, now_ms);
    } else {
        relay_reading(&relay_io->relay, now_ms);
        request_window(relay_io, epoch, look->first - 1, now_ms);
    }
}

static void take_info(struct relay_io *relay_io, int64_t epoch, struct bus_message *message,
                      _Bool audit, int64_t now_ms)
{
    _deinit_(arena) struct arena arena = { 0 };
    struct js_stream_state state;
    struct relay_tail tail = { 0 };
    struct look *look = &relay_io->look;
    int r = bus_message_status(message)
                ? -ERR_NETWORK
                : js_parse_stream_info(bus_message_data(message), bus_message_length(message),
                                       &arena, &state);
    if (r < 0 || (r == JS_REFUSED && state.error.error_code != JS_ERR_STREAM_NOT_FOUND)) {
        relay_failed(&relay_io->relay, "JetStream does not answer", now_ms);
        return;
    }
    if (r == 0) {
        tail.exists = 1;
        tail.first_sequence = state.first_sequence;
        tail.last_sequence = state.last_sequence;
        tail.messages = state.messages;
        tail.deleted = state.deleted_count;
        tail.expires = state.max_age_ns > 0;
    }
    if (audit) {
        relay_audited(&relay_io->relay, &tail, now_ms);
    } else if (tail.messages == 0) {
        relay_looked(&relay_io->relay, &tail, now_ms);
    } else {
        look->tail = tail;
        look->later_position = 0;
        if (look->stop <= 0)
            look->stop = tail.last_sequence - relay_io->relay.config.window_max;
        request_window(relay_io, epoch, tail.last_sequence, now_ms);
    }
}

/* A message in the middle of the stream, that the audit looks at. */
static void take_audited(struct relay_io *relay_io, int64_t sequence, struct bus_message *message,
                         int64_t now_ms)
{
    struct relay *relay = &relay_io->relay;
    enum tail_fit fit;
    int64_t low, high;
    const int64_t place = compare_message(relay_io, message, sequence, &fit);
    relay_place(relay, sequence, &low, &high);
    if (place == 0 || (place == PLACE_HOLE && relay->expires))
        return;
    if (place == PLACE_HOLE)
        relay_damaged(relay, "the audit found a message that cannot be read", now_ms);
    else if (place == PLACE_FOREIGN)
        relay_damaged(relay, "the audit found a message that is not an event of ours", now_ms);
    else if (fit != TAIL_EQUAL)
        relay_fork(relay, "a message in the middle of the stream has another chain than our log");
    else if (place < low || place > high)
        relay_damaged(relay, "the audit found an event at another place than its own", now_ms);
}

/* Of an audit. */
static void read_part(struct relay_io *relay_io, const struct relay_action *action, int64_t now_ms)
{
    const int64_t last = GUARD(fence) ? action->last : 0;
    for (int64_t sequence = action->first; sequence > 0 && sequence <= last; sequence++) {
        _deinit_(js_request) struct js_request request;
        js_request_init(&request, NULL);
        request_stream(relay_io, STEP_AUDITED, action->epoch, sequence,
                       js_message_get(&request, relay_io->outbound->self.log, sequence), &request,
                       now_ms);
    }
}

void stream_io_look(struct relay_io *relay_io, const struct relay_action *action, int64_t now_ms)
{
    _deinit_(js_request) struct js_request request;
    js_request_init(&request, NULL);
    assert(action->kind == RELAY_ASK || action->kind == RELAY_AUDIT);
    if (action->kind == RELAY_ASK)
        relay_io->look = (struct look){ .stop = action->sequence };
    request_stream(relay_io, action->kind == RELAY_ASK ? STEP_INFO : STEP_AUDIT, action->epoch, 0,
                   js_stream_info(&request, relay_io->stream.name), &request, now_ms);
    read_part(relay_io, action, now_ms);
}

/* ---- Making the stream ---------------------------------------------------------------------- */

void stream_io_make(struct relay_io *relay_io, const struct relay_action *action, int64_t now_ms)
{
    _deinit_(js_request) struct js_request request;
    js_request_init(&request, NULL);
    const _Bool deletes = action->kind == RELAY_DELETE_STREAM;
    assert(deletes || action->kind == RELAY_MAKE_STREAM);
    const struct js_stream_config *stream = &relay_io->stream;
    int r = deletes ? js_stream_delete(&request, stream->name) : js_stream_create(&request, stream);
    log_warn(deletes ? "stream_deleted_to_be_made_anew" : "stream_made",
             LOG_TEXT("stream", stream->name),
             LOG_TEXT("reason", deletes ? relay_io->relay.reason : NULL));
    request_stream(relay_io, deletes ? STEP_DELETED : STEP_MADE, action->epoch, 0, r, &request,
                   now_ms);
}

static void take_stream_made(struct relay_io *relay_io, enum step step, struct bus_message *message,
                             int64_t now_ms)
{
    _deinit_(arena) struct arena arena = { 0 };
    struct js_stream_state state;
    struct js_error error = { 0 };
    const char *data = bus_message_data(message);
    int r;
    if (bus_message_status(message))
        r = -ERR_NETWORK;
    else if (step == STEP_DELETED)
        r = js_parse_success(data, bus_message_length(message), &arena, &error);
    else
        r = js_parse_stream_info(data, bus_message_length(message), &arena, &state);
    if (r == JS_REFUSED)
        log_error(
            "stream_refused",
            LOG_TEXT("reason", step == STEP_DELETED ? error.description : state.error.description));
    if (r == 0 ||
        (r == JS_REFUSED && step == STEP_DELETED && error.error_code == JS_ERR_STREAM_NOT_FOUND))
        relay_made(&relay_io->relay, now_ms);
    else
        relay_failed(&relay_io->relay, "the stream cannot be made", now_ms);
}

static void recovery_check(const struct recovery *recovery)
{
    assert(recovery->expected >= 0 && recovery->expected <= RECOVER_WINDOW); /* S1 */
    assert(recovery->unsettled >= 0);                                        /* S2 */
    assert(!recovery->rolled_back || recovery->unsettled > 0);               /* S2 */
}

/* ---- Reading our own stream back ------------------------------------------------------------ */

void stream_io_read_back(struct relay_io *relay_io, const struct relay_action *action,
                         int64_t now_ms)
{
    struct recovery *recovery = &relay_io->recovery;
    for (int i = 0; i < RECOVER_WINDOW; i++) {
        item_free(recovery->items[i]);
        recovery->items[i] = NULL;
    }
    int64_t count = action->last - action->sequence + 1;
    assert(action->kind == RELAY_RECOVER && action->sequence > 0 && count > 0);
    *recovery = (struct recovery){
        .first_sequence = action->sequence,
        .last_sequence = action->last,
        .expected = count < RECOVER_WINDOW ? (int)count : RECOVER_WINDOW,
        .unsettled = recovery->unsettled, /* of a try that timed out: the loop still has them */
        .rolled_back = recovery->rolled_back,
    };
    recovery_check(recovery);
    for (int i = 0; i < recovery->expected; i++) {
        _deinit_(js_request) struct js_request request;
        js_request_init(&request, NULL);
        int64_t sequence = action->sequence + i;
        request_stream(relay_io, STEP_OWN_MESSAGE, action->epoch, sequence,
                       js_message_get(&request, relay_io->outbound->self.log, sequence), &request,
                       now_ms);
    }
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
    if (recovery->unsettled > 0)
        return;
    const struct relay_action rest = { .kind = RELAY_RECOVER,
                                       .sequence = recovery->first_sequence + recovery->expected,
                                       .last = recovery->last_sequence,
                                       .epoch = relay_io->relay.epoch };
    if (recovery->foreign == 0 || rest.sequence > rest.last) {
        relay_fork(&relay_io->relay, "the stream has lost events that our log has lost too");
        return;
    }
    relay_reading(&relay_io->relay, now_ms);
    stream_io_read_back(relay_io, &rest, now_ms);
}

static void take_own_message(struct relay_io *relay_io, int64_t sequence,
                             struct bus_message *message, int64_t now_ms)
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
    if (r == 0)
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
    item->stream_position = relay_io->relay.stream_position;
    if (r == 0)
        recovery->items[place] = take(item);
    if (++recovery->received == recovery->expected)
        push_recovered(relay_io, now_ms);
}

void stream_io_settled(struct relay_io *relay_io, const struct batch *batch, int64_t now_ms)
{
    struct relay *relay = &relay_io->relay;
    struct recovery *recovery = &relay_io->recovery;
    _Bool recovering = recovery->unsettled > 0;
    owner_assert(&relay_io->outbound->owner);
    for (const struct item *item = batch->items; item; item = item->next) {
        if (item->kind != ITEM_EVENT || item->source)
            continue;
        recovery->unsettled--;
        if (item->outcome == OUTCOME_FORK)
            relay_fork(relay, "log and stream have different chains at the same position");
        else if (item->outcome == OUTCOME_GAP && !recovery->rolled_back)
            relay_fork(relay, "the stream has lost events that our log has lost too");
    }
    recovery->rolled_back = recovery->unsettled > 0 && (recovery->rolled_back || batch->aborted);
    recovery_check(recovery);
    if (batch->aborted) {
        if (recovering && recovery->unsettled == 0)
            relay_failed(relay, "our own events cannot be applied", now_ms);
        return;
    }
    int64_t head = batch->at.head.position;
    if (recovering && recovery->unsettled == 0 && relay->state == RELAY_RECOVERING) {
        if (head == relay->head)
            relay_failed(relay, "catching up on our own stream makes no progress", now_ms);
        relay_recovered(relay, head, now_ms);
    }
    relay_grew(relay, head, now_ms);
}

/* ---- Answers -------------------------------------------------------------------------------- */

void stream_io_reply(struct relay_io *relay_io, const struct reply_tag *tag,
                     struct bus_message *message, int64_t now_ms)
{
    owner_assert(&relay_io->outbound->owner);
    if (tag->epoch != relay_io->relay.epoch)
        return;
    switch ((enum step)tag->step) {
    case STEP_INFO:        take_info(relay_io, tag->epoch, message, 0, now_ms); break;
    case STEP_AUDIT:       take_info(relay_io, tag->epoch, message, 1, now_ms); break;
    case STEP_LOOK:        take_looked(relay_io, tag->epoch, tag->n, message, now_ms); break;
    case STEP_AUDITED:     take_audited(relay_io, tag->n, message, now_ms); break;
    case STEP_MADE:
    case STEP_DELETED:     take_stream_made(relay_io, (enum step)tag->step, message, now_ms); break;
    case STEP_OWN_MESSAGE: take_own_message(relay_io, tag->n, message, now_ms); break;
    }
}
