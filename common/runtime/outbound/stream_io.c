/* Stream I/O: see stream_io.h. */
#include "runtime/outbound/stream_io.h"
#include "base/log.h"
#include "runtime/sync/event_item.h"
#include <string.h>

/* The step of a request. */
enum step {
    STEP_INFO = 'i',
    STEP_AUDIT = 'u',
    STEP_LAST = 'l',
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

/* The stream's last message against our log. */
static int compare_last(struct relay_io *relay_io, const struct bus_view *view,
                        struct relay_tail *tail)
{
    _deinit_(arena) struct arena arena = { 0 };
    struct event event;
    struct digest digest, chain;
    const char *reason;
    tail->has_last = 1;
    int r = envelope_decode(view, &relay_io->outbound->self, &arena, &event, &digest, &reason);
    if (r < 0)
        return trace(r);
    if (r > 0) {
        log_error("foreign_message", LOG_TEXT("stream", relay_io->outbound->self.log),
                  LOG_TEXT("reason", reason));
        return 0;
    }
    tail->is_ours = 1;
    tail->position = event.position;
    if (event.position > relay_io->relay.head) {
        tail->fit = TAIL_AHEAD;
        return 0;
    }
    r = event_log_find_chain(relay_io->outbound->db, event.position, &chain);
    tail->fit = r == 0 && digest_equal(&chain, &event.chain) ? TAIL_EQUAL : TAIL_DIFFERENT;
    return r < 0 ? trace(r) : 0;
}

static void take_info(struct relay_io *relay_io, int64_t epoch, struct bus_message *message,
                      _Bool audit, int64_t now_ms)
{
    _deinit_(arena) struct arena arena = { 0 };
    _deinit_(js_request) struct js_request request;
    struct js_stream_state state;
    struct relay_tail *tail = &relay_io->tail;
    js_request_init(&request, NULL);
    *tail = (struct relay_tail){ 0 };
    int r = bus_message_status(message)
                ? -ERR_NETWORK
                : js_parse_stream_info(bus_message_data(message), bus_message_length(message),
                                       &arena, &state);
    if (r < 0 || (r == JS_REFUSED && state.error.error_code != JS_ERR_STREAM_NOT_FOUND)) {
        relay_failed(&relay_io->relay, "JetStream does not answer", now_ms);
        return;
    }
    if (r == 0) {
        tail->exists = 1;
        tail->first_sequence = state.first_sequence;
        tail->last_sequence = state.last_sequence;
        tail->messages = state.messages;
        tail->deleted = state.deleted_count;
        tail->expires = state.max_age_ns > 0;
    }
    if (audit)
        relay_audited(&relay_io->relay, tail, now_ms);
    else if (tail->messages == 0)
        relay_looked(&relay_io->relay, tail, now_ms);
    else
        request_stream(relay_io, STEP_LAST, epoch, 0,
                       js_message_get(&request, relay_io->outbound->self.log, tail->last_sequence),
                       &request, now_ms);
}

static void request_newest(struct relay_io *relay_io, int64_t epoch, int64_t now_ms)
{
    _deinit_(js_request) struct js_request request;
    js_request_init(&request, NULL);
    request_stream(relay_io, STEP_LAST, epoch, 1,
                   js_message_get_last(&request, relay_io->stream.name, relay_io->stream.subject),
                   &request, now_ms);
}

/* The message at the stream's last sequence; or, when that was deleted, the newest of ours that is
 * still there. */
static void take_tail(struct relay_io *relay_io, int64_t epoch, _Bool is_second_try,
                      struct bus_message *message, int64_t now_ms)
{
    _deinit_(arena) struct arena arena = { 0 };
    struct js_stored_message last = { 0 };
    int r = bus_message_status(message)
                ? -ERR_NETWORK
                : js_parse_message(bus_message_data(message), bus_message_length(message), &arena,
                                   &last);
    if (r == JS_REFUSED && last.error.error_code == JS_ERR_MESSAGE_NOT_FOUND) {
        if (!is_second_try) {
            request_newest(relay_io, epoch, now_ms);
            return;
        }
        r = 0; /* nothing of ours is left */
    } else if (r == 0) {
        relay_io->tail.message_sequence = last.sequence;
        r = compare_last(relay_io, &last.view, &relay_io->tail);
    }
    if (r == 0)
        relay_looked(&relay_io->relay, &relay_io->tail, now_ms);
    else
        relay_failed(&relay_io->relay, "the stream's last message cannot be read", now_ms);
}

/* A message in the middle of the stream, that the audit looks at. */
static void take_audited(struct relay_io *relay_io, struct bus_message *message, int64_t now_ms)
{
    _deinit_(arena) struct arena arena = { 0 };
    struct js_stored_message stored = { 0 };
    struct relay_tail found = { 0 };
    int r = bus_message_status(message)
                ? -ERR_NETWORK
                : js_parse_message(bus_message_data(message), bus_message_length(message), &arena,
                                   &stored);
    if (r == JS_REFUSED && stored.error.error_code == JS_ERR_MESSAGE_NOT_FOUND)
        relay_hole(&relay_io->relay, now_ms);
    else if (r == 0 && compare_last(relay_io, &stored.view, &found) == 0 &&
             (!found.is_ours || found.fit != TAIL_EQUAL))
        relay_fork(&relay_io->relay,
                   "a message in the middle of the stream is not the one of our log");
}

/* Of an audit. */
static void read_part(struct relay_io *relay_io, const struct relay_action *action, int64_t now_ms)
{
    for (int64_t sequence = action->first; sequence > 0 && sequence <= action->last; sequence++) {
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
             LOG_TEXT("stream", stream->name));
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
static void push_recovered(struct relay_io *relay_io)
{
    struct recovery *recovery = &relay_io->recovery;
    for (int i = 0; i < recovery->expected; i++) {
        if (!recovery->items[i])
            continue;
        recovery->unsettled++;
        inbox_push(relay_io->outbound->inbox, take(recovery->items[i]));
    }
    if (recovery->unsettled == 0)
        relay_fork(&relay_io->relay, "the stream has lost events that our log has lost too");
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
    if (reason)
        log_error("foreign_message", LOG_TEXT("stream", relay_io->outbound->self.log),
                  LOG_INT("sequence", sequence), LOG_TEXT("reason", reason));
    item->stream_position = relay_io->relay.stream_position;
    if (r == 0)
        recovery->items[place] = take(item);
    if (++recovery->received == recovery->expected)
        push_recovered(relay_io);
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
    case STEP_LAST:        take_tail(relay_io, tag->epoch, tag->n > 0, message, now_ms); break;
    case STEP_AUDITED:     take_audited(relay_io, message, now_ms); break;
    case STEP_MADE:
    case STEP_DELETED:     take_stream_made(relay_io, (enum step)tag->step, message, now_ms); break;
    case STEP_OWN_MESSAGE: take_own_message(relay_io, tag->n, message, now_ms); break;
    }
}
