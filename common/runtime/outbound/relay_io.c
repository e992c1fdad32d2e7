/* Sender, the relay's part: asks the stream, publishes the log, reads our own stream back. What to
 * do is decided in relay.c. */
#include "runtime/outbound/sender_parts.h"
#include "base/clock.h"
#include "base/crash.h"
#include "base/guard.h"
#include "base/log.h"
#include "bus/jetstream.h"
#include "runtime/sync/envelope.h"
#include <stdio.h>
#include <string.h>

#define NO_RESPONDERS 503

static void ask(struct sender *sender, char step, int64_t epoch, int64_t n, int built,
                const struct js_request *request, int64_t now_ms)
{
    if (built < 0 || sender_ask(sender, "r", step, epoch, n, request->subject, request->body.data,
                                request->body.length) < 0)
        relay_failed(&sender->relay, "the server cannot be asked", now_ms);
}

/* ---- Publishing ----------------------------------------------------------------------------- */

/* Only the last of what is published at once asks for an acknowledgement: each expects the one
 * before it, so that this one is taken when all are. In one epoch all come to one subject, so that
 * the server has to find its way only once; which event is meant says the stream's sequence. */
static int publish_event(struct sender *sender, struct envelope *envelope,
                         const struct event *event, int64_t sequence,
                         const struct relay_action *action)
{
    char reply[BUS_SUBJECT_MAX + 1];
    int r = envelope_encode(envelope, event, &sender->self,
                            GUARD(expected_sequence) ? sequence : ENVELOPE_NO_FENCE);
    if (r < 0)
        return trace(r);
    if (event->position == action->last) {
        int64_t ahead = sequence + 1 - event->position;
        snprintf(reply, sizeof(reply), "%s.a.%lld.%lld", sender->inbox, (long long)action->epoch,
                 (long long)ahead);
        envelope->message.reply = reply;
    }
    r = bus_publish(sender->instance->bus, BUS_BULK, &envelope->message);
    envelope->message.reply = NULL; /* it ends with this function, the envelope goes on */
    return trace(r);
}

static void publish(struct sender *sender, const struct relay_action *action, int64_t now_ms)
{
    _deinit_(event_reader) struct event_reader reader = { 0 };
    _deinit_(envelope) struct envelope envelope;
    envelope_init(&envelope);
    envelope.schema_base = sender->instance->service->schema_base;
    int64_t sequence = action->sequence;
    struct event event;
    int r = event_reader_open(&reader, sender->db, sender->self.log, action->first - 1,
                              action->last - action->first + 1);
    while (r == 0 && event_reader_has_next(&reader, &event))
        r = publish_event(sender, &envelope, &event, sequence++, action);
    if (r == 0)
        r = event_reader_status(&reader);
    crash_point("after_publish");
    if (r == 0 && sequence == action->sequence + action->last - action->first + 1)
        return;
    if (r >= 0)
        fail(ERR_INTERNAL, "the log ends before position %lld", (long long)action->last);
    log_warn("publish_failed", LOG_TEXT("reason", failure_text()));
    relay_refused(&sender->relay, action->epoch, "an event could not be sent", now_ms);
}

/* On a library thread: an acknowledgement only moves a number; a refusal is a note. */
void on_puback(void *context, struct bus_message *received)
{
    struct sender *sender = context;
    _free_(bus_message) struct bus_message *message = received;
    _deinit_(arena) struct arena arena = { 0 };
    struct js_puback ack = { 0 };
    long long epoch, ahead; /* by how much the stream's sequence is ahead of our position */
    /* NOLINTNEXTLINE(cert-err34-c): our own subject; glibc makes a number too large its largest,
     * for which nobody waits */
    if (sscanf(bus_message_subject(message) + strlen(sender->inbox), ".a.%lld.%lld", &epoch,
               &ahead) != 2)
        return;
    int status = bus_message_status(message);
    if (status == 0 &&
        js_parse_puback(bus_message_data(message), bus_message_length(message), &arena, &ack) ==
            0 &&
        !ack.duplicate && strcmp(ack.stream, sender->self.log) == 0) {
        int64_t position = ack.sequence - ahead;
        uint64_t acked = ack_pack(epoch, position);
        if ((int64_t)(acked - atomic_load(&sender->acked)) < 0)
            return; /* late, of an older epoch */
        atomic_store(&sender->acked, acked);
        if (position >= atomic_load(&sender->ack_wake_position))
            sender_wake(sender);
        return;
    }
    int code = status ? status : ack.error.error_code;
    sender_note(sender, (struct note){ .kind = NOTE_REFUSED, .epoch = epoch, .status = code });
}

/* All of them are handled alike (CONVENTIONS); a person wants to know which it was. */
const char *relay_part_reason(int code)
{
    switch (code) {
    case NO_RESPONDERS:              return "the stream is not there";
    case JS_ERR_STREAM_FULL:         return "the stream is full: raise its max_bytes";
    case JS_ERR_ACCOUNT_LIMIT:       return "the server's limit for this account is reached";
    case JS_ERR_TOO_LARGE:           return "the stream does not take events of this size";
    case JS_ERR_WRONG_LAST_SEQUENCE: return "the stream expected another sequence";
    default:                         return "the stream refused an event";
    }
}

/* ---- Looking at the stream ------------------------------------------------------------------ */

/* The stream's last message against our log. */
static int compare_last(struct sender *sender, const struct bus_view *view, struct relay_tail *tail)
{
    _deinit_(arena) struct arena arena = { 0 };
    struct event event;
    struct digest digest, chain;
    const char *reason;
    tail->has_last = 1;
    int r = envelope_decode(view, &sender->self, &arena, &event, &digest, &reason);
    if (r < 0)
        return trace(r);
    if (r > 0) {
        log_error("foreign_message", LOG_TEXT("stream", sender->self.log),
                  LOG_TEXT("reason", reason));
        return 0;
    }
    tail->is_ours = 1;
    tail->position = event.position;
    if (event.position > sender->relay.head) {
        tail->fit = TAIL_AHEAD;
        return 0;
    }
    r = event_log_find_chain(sender->db, event.position, &chain);
    tail->fit = r == 0 && digest_equal(&chain, &event.chain) ? TAIL_EQUAL : TAIL_DIFFERENT;
    return r < 0 ? trace(r) : 0;
}

static void take_info(struct sender *sender, int64_t epoch, struct bus_message *message,
                      _Bool audit, int64_t now_ms)
{
    _deinit_(arena) struct arena arena = { 0 };
    _deinit_(js_request) struct js_request request;
    struct js_stream_state state;
    struct relay_tail *tail = &sender->tail;
    js_request_init(&request, NULL);
    *tail = (struct relay_tail){ 0 };
    int r = bus_message_status(message)
                ? -ERR_NETWORK
                : js_parse_stream_info(bus_message_data(message), bus_message_length(message),
                                       &arena, &state);
    if (r < 0 || (r == JS_REFUSED && state.error.error_code != JS_ERR_STREAM_NOT_FOUND)) {
        relay_failed(&sender->relay, "JetStream does not answer", now_ms);
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
        relay_audited(&sender->relay, tail, now_ms);
    else if (tail->messages == 0)
        relay_tail(&sender->relay, tail, now_ms);
    else
        ask(sender, 'l', epoch, 0, js_message_get(&request, sender->self.log, tail->last_sequence),
            &request, now_ms);
}

static void ask_newest(struct sender *sender, int64_t epoch, int64_t now_ms)
{
    _deinit_(js_request) struct js_request request;
    char subject[BUS_SUBJECT_MAX + 1];
    js_request_init(&request, NULL);
    snprintf(subject, sizeof(subject), "evt.%s.>", sender->self.prefix);
    ask(sender, 'l', epoch, 1, js_message_get_last(&request, sender->self.log, subject), &request,
        now_ms);
}

/* The message at the stream's last sequence; or, when that was deleted, the newest of ours that is
 * still there. */
static void take_last(struct sender *sender, int64_t epoch, _Bool is_second_try,
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
            ask_newest(sender, epoch, now_ms);
            return;
        }
        r = 0; /* nothing of ours is left */
    } else if (r == 0) {
        sender->tail.message_sequence = last.sequence;
        r = compare_last(sender, &last.view, &sender->tail);
    }
    if (r == 0)
        relay_tail(&sender->relay, &sender->tail, now_ms);
    else
        relay_failed(&sender->relay, "the stream's last message cannot be read", now_ms);
}

/* A message in the middle of the stream, that the audit looks at. */
static void take_audited(struct sender *sender, struct bus_message *message, int64_t now_ms)
{
    _deinit_(arena) struct arena arena = { 0 };
    struct js_stored_message stored = { 0 };
    struct relay_tail found = { 0 };
    int r = bus_message_status(message)
                ? -ERR_NETWORK
                : js_parse_message(bus_message_data(message), bus_message_length(message), &arena,
                                   &stored);
    if (r == JS_REFUSED && stored.error.error_code == JS_ERR_MESSAGE_NOT_FOUND)
        relay_hole(&sender->relay, now_ms);
    else if (r == 0 && compare_last(sender, &stored.view, &found) == 0 &&
             (!found.is_ours || found.fit != TAIL_EQUAL))
        relay_fork(&sender->relay,
                   "a message in the middle of the stream is not the one of our log");
}

/* ---- Making the stream ---------------------------------------------------------------------- */

static void make_stream(struct sender *sender, const struct relay_action *action, int64_t now_ms)
{
    _deinit_(js_request) struct js_request request;
    js_request_init(&request, NULL);
    char subject[BUS_SUBJECT_MAX + 1];
    snprintf(subject, sizeof(subject), "evt.%s.>", sender->self.prefix);
    const struct js_stream_config config = {
        .name = sender->self.log,
        .subject = subject,
        .max_bytes = sender->instance->config->stream_max_bytes,
        .replicas = (int)sender->instance->config->stream_replicas,
    };
    int r = action->kind == RELAY_DELETE_STREAM ? js_stream_delete(&request, config.name)
                                                : js_stream_create(&request, &config);
    log_warn(action->kind == RELAY_DELETE_STREAM ? "stream_deleted_to_be_made_anew" : "stream_made",
             LOG_TEXT("stream", config.name));
    ask(sender, action->kind == RELAY_DELETE_STREAM ? 'd' : 'm', action->epoch, 0, r, &request,
        now_ms);
}

static void take_made(struct sender *sender, char step, struct bus_message *message, int64_t now_ms)
{
    _deinit_(arena) struct arena arena = { 0 };
    struct js_stream_state state;
    struct js_error error = { 0 };
    const char *data = bus_message_data(message);
    int r;
    if (bus_message_status(message))
        r = -ERR_NETWORK;
    else if (step == 'd')
        r = js_parse_success(data, bus_message_length(message), &arena, &error);
    else
        r = js_parse_stream_info(data, bus_message_length(message), &arena, &state);
    if (r == JS_REFUSED)
        log_error("stream_refused",
                  LOG_TEXT("reason", step == 'd' ? error.description : state.error.description));
    if (r == 0 || (r == JS_REFUSED && step == 'd' && error.error_code == JS_ERR_STREAM_NOT_FOUND))
        relay_made(&sender->relay, now_ms);
    else
        relay_failed(&sender->relay, "the stream cannot be made", now_ms);
}

/* ---- Reading our own stream back ------------------------------------------------------------ */

static void recover(struct sender *sender, const struct relay_action *action, int64_t now_ms)
{
    struct recovery *recovery = &sender->recovery;
    for (int i = 0; i < RECOVER_WINDOW; i++) {
        item_free(recovery->items[i]);
        recovery->items[i] = NULL;
    }
    int64_t count = action->last - action->sequence + 1;
    *recovery = (struct recovery){
        .first_sequence = action->sequence,
        .expected = count < RECOVER_WINDOW ? (int)count : RECOVER_WINDOW,
        .unsettled = recovery->unsettled, /* of a try that timed out: the loop still has them */
        .rolled_back = recovery->rolled_back,
    };
    for (int i = 0; i < recovery->expected; i++) {
        _deinit_(js_request) struct js_request request;
        js_request_init(&request, NULL);
        int64_t sequence = action->sequence + i;
        ask(sender, 'g', action->epoch, sequence,
            js_message_get(&request, sender->self.log, sequence), &request, now_ms);
    }
}

/* All of the window is there: into the inbox, in order. A sequence without a message leaves its
 * place empty: if a position is missing, the loop will see the gap. */
static void push_recovered(struct sender *sender)
{
    struct recovery *recovery = &sender->recovery;
    for (int i = 0; i < recovery->expected; i++) {
        if (!recovery->items[i])
            continue;
        recovery->unsettled++;
        inbox_push(&sender->instance->inbox, take(recovery->items[i]));
    }
    if (recovery->unsettled == 0)
        relay_fork(&sender->relay, "the stream has lost events that our log has lost too");
}

static void take_own_message(struct sender *sender, int64_t sequence, struct bus_message *message,
                             int64_t now_ms)
{
    struct recovery *recovery = &sender->recovery;
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
        r = sender_read_event(item, &stored.view, &sender->self, &reason);
    if (r < 0) {
        relay_failed(&sender->relay, "our own stream cannot be read", now_ms);
        return;
    }
    if (reason)
        log_error("foreign_message", LOG_TEXT("stream", sender->self.log),
                  LOG_INT("sequence", sequence), LOG_TEXT("reason", reason));
    item->stream_position = sender->relay.stream_position;
    if (r == 0)
        recovery->items[place] = take(item);
    if (++recovery->received == recovery->expected)
        push_recovered(sender);
}

void relay_part_settled(struct sender *sender, const struct batch *batch, int64_t now_ms)
{
    struct relay *relay = &sender->relay;
    struct recovery *recovery = &sender->recovery;
    _Bool recovering = recovery->unsettled > 0;
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

/* ---- The two tables ------------------------------------------------------------------------- */

void relay_part_answer(struct sender *sender, char step, int64_t epoch, int64_t n,
                       struct bus_message *message, int64_t now_ms)
{
    if (epoch != sender->relay.epoch)
        return;
    switch (step) {
    case 'i': take_info(sender, epoch, message, 0, now_ms); break;
    case 'u': take_info(sender, epoch, message, 1, now_ms); break;
    case 'l': take_last(sender, epoch, n > 0, message, now_ms); break;
    case 'v': take_audited(sender, message, now_ms); break;
    case 'm':
    case 'd': take_made(sender, step, message, now_ms); break;
    case 'g': take_own_message(sender, n, message, now_ms); break;
    }
}

/* Of an audit. */
static void read_part(struct sender *sender, const struct relay_action *action, int64_t now_ms)
{
    for (int64_t sequence = action->first; sequence > 0 && sequence <= action->last; sequence++) {
        _deinit_(js_request) struct js_request request;
        js_request_init(&request, NULL);
        ask(sender, 'v', action->epoch, sequence,
            js_message_get(&request, sender->self.log, sequence), &request, now_ms);
    }
}

_Bool relay_part_act(struct sender *sender, int64_t now_ms)
{
    for (;;) {
        struct relay_action action = relay_next(&sender->relay, now_ms);
        _deinit_(js_request) struct js_request request;
        js_request_init(&request, NULL);
        switch (action.kind) {
        case RELAY_NOTHING: return 0;
        case RELAY_ASK:
        case RELAY_AUDIT:
            ask(sender, action.kind == RELAY_ASK ? 'i' : 'u', action.epoch, 0,
                js_stream_info(&request, sender->self.log), &request, now_ms);
            read_part(sender, &action, now_ms);
            break;
        case RELAY_MAKE_STREAM:
        case RELAY_DELETE_STREAM: make_stream(sender, &action, now_ms); break;
        case RELAY_RECOVER:       recover(sender, &action, now_ms); break;
        case RELAY_PUBLISH:       publish(sender, &action, now_ms); return 1;
        }
    }
}
