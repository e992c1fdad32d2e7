/* Relay's I/O: see relay_io.h. */
#include "runtime/outbound/relay_io.h"
#include "base/crash.h"
#include "base/guard.h"
#include "base/log.h"
#include "runtime/outbound/read_back.h"
#include "runtime/outbound/stream_io.h"
#include "runtime/outbound/stream_make.h"
#include "runtime/sync/envelope.h"
#include <stdio.h>
#include <string.h>

#define NO_RESPONDERS 503
#define GATHER_MS 1

/* ---- Publishing ----------------------------------------------------------------------------- */

/* Each event asks for its acknowledgement, for the outcome of each must be known (relay.h). In one
 * epoch all come to one subject, so that the server has to find its way only once; which event is
 * meant says the stream's sequence: it is what the event expected, and one. */
static int publish_event(struct relay_io *relay_io, struct envelope *envelope,
                         const struct event *event, int64_t sequence,
                         const struct relay_action *action)
{
    reply_subject reply;
    int r = envelope_encode(envelope, event, &relay_io->outbound->self,
                            GUARD(expected_sequence) ? sequence : ENVELOPE_NO_FENCE);
    if (r < 0)
        return trace(r);
    if (GUARD(fence) || event->position == action->last) {
        reply_subject_of_ack(reply, relay_io->outbound->replies, action->epoch,
                             sequence + 1 - event->position);
        envelope->message.reply = reply;
    }
    r = bus_publish(relay_io->outbound->bus, BUS_PUMPED, &envelope->message);
    envelope->message.reply = NULL; /* it ends with this function, the envelope goes on */
    return trace(r);
}

/* Before the first event of an epoch leaves: from here on acknowledgements are counted. */
static void begin_epoch(struct relay_io *relay_io, const struct relay_action *action)
{
    uint64_t begin = ack_pack(action->epoch, action->first - 1);
    if (ack_epoch(atomic_load(&relay_io->acked)) != ack_epoch(begin))
        atomic_store(&relay_io->acked, begin);
}

/* All events of an action: those at hand, if all of them are, else from the file. */
struct publishing {
    struct relay_io *relay_io;
    const struct relay_action *action;
    struct envelope envelope;
    int64_t sequence; /* that the next one expects */
};

static int publish_next(struct publishing *publishing, const struct event *of_log)
{
    struct event event = *of_log;
    struct relay_io *relay_io = publishing->relay_io;
    event.term = term_walk_pass(&relay_io->terms, &event);
    return trace(publish_event(relay_io, &publishing->envelope, &event, publishing->sequence++,
                               publishing->action));
}

static int publish_from_file(struct publishing *publishing)
{
    _deinit_(event_reader) struct event_reader reader = { 0 };
    const struct outbound *outbound = publishing->relay_io->outbound;
    const struct relay_action *action = publishing->action;
    struct event event;
    int r = event_reader_open(&reader, outbound->db, outbound->self.log, action->first - 1,
                              action->last - action->first + 1);
    while (r == 0 && event_reader_has_next(&reader, &event))
        r = publish_next(publishing, &event);
    return r < 0 ? trace(r) : trace(event_reader_status(&reader));
}

/* The first event of the action among those that were just committed, with all up to the last
 * behind it; NULL: they are not all there. */
static const struct committed_event *find_settled(const struct relay_action *action,
                                                  const struct batch **batch)
{
    const struct batch *newest = *batch;
    while (newest && newest->next)
        newest = newest->next;
    if (!newest || newest->at.head.position < action->last)
        return NULL;
    for (; *batch; *batch = (*batch)->next)
        for (const struct committed_event *e = (*batch)->events; e; e = e->next)
            if (e->event.position >= action->first)
                return e->event.position == action->first ? e : NULL;
    return NULL;
}

static int publish_settled(struct publishing *publishing, const struct committed_event *next,
                           const struct batch *batch)
{
    const struct relay_action *action = publishing->action;
    int r = 0;
    for (int64_t position = action->first; position <= action->last && r == 0; position++) {
        while (!next && batch->next) {
            batch = batch->next;
            next = batch->events;
        }
        if (!next || next->event.position != position)
            return fail(ERR_INTERNAL, "a batch has no event %lld", (long long)position);
        r = publish_next(publishing, &next->event);
        next = next->next;
    }
    return trace(r);
}

static int publish_all(struct publishing *publishing, const struct batch *settled)
{
    struct relay_io *relay_io = publishing->relay_io;
    const struct relay_action *action = publishing->action;
    int r = term_walk_to(&relay_io->terms, relay_io->outbound->db, action->first);
    const struct committed_event *first = find_settled(action, &settled);
    if (r == 0)
        r = first ? publish_settled(publishing, first, settled) : publish_from_file(publishing);
    relay_io->gathers = 1;
    crash_point("after_publish");
    if (r == 0 && publishing->sequence != action->sequence + action->last - action->first + 1)
        r = fail(ERR_INTERNAL, "the log ends before position %lld", (long long)action->last);
    return trace(r);
}

static void publish_range(struct relay_io *relay_io, const struct batch *settled,
                          const struct relay_action *action, int64_t now_ms)
{
    struct publishing publishing = { .relay_io = relay_io,
                                     .action = action,
                                     .sequence = action->sequence };
    assert(action->first > 0 && action->first <= action->last && action->sequence >= 0);
    envelope_init(&publishing.envelope);
    begin_epoch(relay_io, action);
    int r = publish_all(&publishing, settled);
    envelope_deinit(&publishing.envelope);
    if (r == 0)
        return;
    log_warn("publish_failed", LOG_TEXT("reason", failure_text()),
             LOG_INT("position", action->first + publishing.sequence - action->sequence - 1),
             LOG_INT("max_payload", bus_max_payload_bytes(relay_io->outbound->bus)));
    relay_refused(&relay_io->relay, action->epoch,
                  r == -ERR_INVALID ? "an event is larger than a message of the server may be "
                                      "(max_payload), or broken"
                                    : "an event could not be sent",
                  now_ms);
}

/* The stream acknowledges in the order in which it stores, so one that does not follow means that
 * one before it is missing: the group then ends by the refusal, or by time. */
static void count_ack(struct relay_io *relay_io, int64_t epoch, int64_t position)
{
    uint64_t acked = atomic_load(&relay_io->acked), next = ack_pack(epoch, position);
    while (ack_epoch(acked) == ack_epoch(next) && ack_position(acked) < position &&
           (ack_position(acked) == position - 1 || !GUARD(fence)))
        if (atomic_compare_exchange_weak(&relay_io->acked, &acked, next)) {
            if (position >= atomic_load(&relay_io->ack_wake_position))
                mailbox_wake(&relay_io->outbound->mailbox);
            return;
        }
}

/* On a library thread: an acknowledgement only moves a number; a refusal is a note. */
static void on_puback(void *context, struct bus_message *received)
{
    struct relay_io *relay_io = context;
    _free_(bus_message) struct bus_message *message = received;
    _deinit_(arena) struct arena arena = { 0 };
    struct js_puback ack = { 0 };
    int64_t epoch, ahead; /* by how much the stream's sequence is ahead of our position */
    if (!reply_subject_read_ack(bus_message_subject(message), relay_io->outbound->replies, &epoch,
                                &ahead))
        return;
    int status = bus_message_status(message);
    if (status == 0 &&
        js_parse_puback(bus_message_data(message), bus_message_length(message), &arena, &ack) ==
            0 &&
        !ack.duplicate && strcmp(ack.stream, relay_io->outbound->self.log) == 0) {
        int64_t position = ack.sequence - ahead;
        if (position >= 1 && position <= ACK_POSITION_MAX) /* else it answers nothing of ours */
            count_ack(relay_io, epoch, position);
        return;
    }
    struct note note = { .kind = NOTE_REFUSED,
                         .epoch = epoch,
                         .status = status ? status : ack.error.error_code };
    if (status == 0)
        snprintf(note.words, sizeof(note.words), "%s",
                 ack.duplicate ? "it takes the event for a duplicate" : ack.error.description);
    mailbox_push(&relay_io->outbound->mailbox, note);
}

/* All of them are handled alike (CONVENTIONS); a person wants to know which it was. */
static const char *reason_of(int code)
{
    switch (code) {
    case NO_RESPONDERS:              return "the stream is not there";
    case JS_ERR_STREAM_FULL:         return "the stream is full: raise its limit";
    case JS_ERR_ACCOUNT_LIMIT:       return "the server's limit for this account is reached";
    case JS_ERR_TOO_LARGE:           return "the stream does not take events of this size";
    case JS_ERR_WRONG_LAST_SEQUENCE: return "the stream expected another sequence";
    default:                         return "the stream refused an event";
    }
}

/* It will refuse again until somebody sets another limit: the service is held. */
static void name_refusal(struct relay_io *relay_io, const char *reason)
{
    struct notice notice;
    notice_set(&notice, NOTICE_HELD, "publishing", reason, relay_io->words,
               strlen(relay_io->words));
    notices_replace(&relay_io->outbound->status->notices, "publishing", &notice, 1);
    relay_io->refused_at = relay_io->relay.published;
}

void relay_io_refused(struct relay_io *relay_io, int64_t epoch, int code, const char *words,
                      int64_t now_ms)
{
    const char *reason = reason_of(code);
    owner_assert(&relay_io->outbound->owner);
    if (epoch == relay_io->relay.epoch && words && *words)
        relay_io_explain(relay_io, reason, words);
    if (code == JS_ERR_WRONG_LAST_SEQUENCE) {
        relay_denied(&relay_io->relay, epoch, reason, now_ms);
        return;
    }
    const _Bool again = epoch == relay_io->relay.epoch && relay_io->relay.probing;
    relay_refused(&relay_io->relay, epoch, reason, now_ms);
    if (again && code != NO_RESPONDERS && code != 0)
        name_refusal(relay_io, reason);
}

void relay_io_denied(struct relay_io *relay_io, const char *subject, int64_t now_ms)
{
    static const char reason[] = "not permitted to publish";
    relay_io_explain(relay_io, reason, subject);
    relay_refused(&relay_io->relay, relay_io->relay.epoch, reason, now_ms);
}

void relay_io_advised(struct relay_io *relay_io, int64_t now_ms)
{
    stream_news_taken(&relay_io->news);
    relay_advised(&relay_io->relay, now_ms);
}

static _Bool carry_out(struct relay_io *relay_io, const struct batch *settled, int64_t now_ms)
{
    for (;;) {
        struct relay_action action = relay_next(&relay_io->relay, now_ms);
        switch (action.kind) {
        case RELAY_NOTHING:       return 0;
        case RELAY_ASK:
        case RELAY_AUDIT:         stream_io_look(relay_io, &action, now_ms); break;
        case RELAY_MAKE_STREAM:
        case RELAY_DELETE_STREAM: stream_make_begin(relay_io, &action, now_ms); break;
        case RELAY_RECOVER:       read_back(relay_io, &action, now_ms); break;
        case RELAY_PUBLISH:       publish_range(relay_io, settled, &action, now_ms); return 1;
        }
    }
}

/* The newest position that was acknowledged in the relay's epoch; 0: none. */
static int64_t acked_in_epoch(const struct relay_io *relay_io)
{
    uint64_t acked = atomic_load(&relay_io->acked);
    int64_t position = ack_position(acked);
    return acked == ack_pack(relay_io->relay.epoch, position) ? position : 0;
}

_Bool relay_io_has_acks(const struct relay_io *relay_io)
{
    int64_t acked = acked_in_epoch(relay_io); /* more than it has looked at already */
    if (atomic_load(&relay_io->reader.has_news))
        return 1;
    return acked > relay_io->relay.published && acked >= atomic_load(&relay_io->ack_wake_position);
}

void relay_io_take_acks(struct relay_io *relay_io, int64_t now_ms)
{
    int64_t acked = acked_in_epoch(relay_io);
    owner_assert(&relay_io->outbound->owner);
    if (acked > 0)
        relay_acked(&relay_io->relay, relay_io->relay.epoch, acked, now_ms);
}

void relay_io_wake_at(struct relay_io *relay_io, int64_t position)
{
    if (position < atomic_load(&relay_io->ack_wake_position))
        atomic_store(&relay_io->ack_wake_position, position);
}

/* Where answers wait for the stream, at once. Else they were just sent, and what the server does
 * with the events would take a processor from who waits for them. */
void relay_io_send(struct relay_io *relay_io, int64_t now_ms)
{
    owner_assert(&relay_io->outbound->owner);
    if (!relay_io->gathers)
        return;
    if (relay_io->send_ms == 0)
        relay_io->send_ms = now_ms + (relay_io->outbound->status->answers_wait ? 0 : GATHER_MS);
    if (now_ms < relay_io->send_ms)
        return;
    bus_pump_out(relay_io->outbound->bus);
    relay_io->gathers = 0;
    relay_io->send_ms = 0;
}

int64_t relay_io_send_due_ms(const struct relay_io *relay_io)
{
    return relay_io->gathers ? relay_io->send_ms : INT64_MAX;
}

_Bool relay_io_act(struct relay_io *relay_io, const struct batch *settled, int64_t now_ms)
{
    const struct relay *relay = &relay_io->relay;
    owner_assert(&relay_io->outbound->owner);
    relay_io_take_acks(relay_io, now_ms);
    _Bool more = carry_out(relay_io, settled, now_ms);
    if (read_back_act(relay_io, now_ms))
        more |= carry_out(relay_io, settled, now_ms);
    if (relay_io->keep.owed_count > 0)
        stream_make_give_back(relay_io, now_ms);
    /* Wake up when all that is in flight is taken: nothing leaves before. */
    atomic_store(&relay_io->ack_wake_position, relay->sent);
    return more;
}

/* ---- What others see of it ------------------------------------------------------------------ */

/* Since when the oldest event waits for the stream. */
static void note_ages(struct relay_io *relay_io, int64_t now_ms)
{
    const struct relay *relay = &relay_io->relay;
    struct relay_age *ages = relay_io->ages;
    assert(relay_io->age_count >= 0 && relay_io->age_count <= RELAY_AGES);
    int passed = 0;
    while (passed < relay_io->age_count && ages[passed].position <= relay->published)
        passed++;
    relay_io->age_count -= passed;
    memmove(ages, ages + passed, sizeof(ages[0]) * (size_t)relay_io->age_count);
    struct relay_age *newest = relay_io->age_count > 0 ? &ages[relay_io->age_count - 1] : NULL;
    if (newest && (now_ms - newest->since_ms < RELAY_AGE_MS || relay_io->age_count == RELAY_AGES))
        newest->position = relay->head;
    else if (relay->head > (newest ? newest->position : relay->published))
        ages[relay_io->age_count++] = (struct relay_age){ relay->head, now_ms };
    atomic_store(&relay_io->outbound->status->unpublished_since_ms,
                 relay_io->age_count > 0 ? ages[0].since_ms : 0);
}

static void log_relay_state(const struct relay_io *relay_io, const char *reason, _Bool is_known)
{
    const struct relay *relay = &relay_io->relay;
    const _Bool forked = relay->state == RELAY_FORKED;
    const _Bool waits = relay->state == RELAY_WAITING,
                heals = relay->state == RELAY_MAKING && relay->delete_first;
    enum log_level level = forked ? LOG_ERROR : waits || heals ? LOG_WARN : LOG_INFO;
    log_at(is_known || (relay->follows && level == LOG_INFO) ? LOG_DEBUG : level, "relay",
           LOG_TEXT("state", relay_state_name(relay->state)),
           LOG_INT("published", relay->published), LOG_INT("position", relay->head),
           LOG_TEXT("reason", forked || waits || heals ? reason : NULL),
           LOG_TEXT("help", forked ? "a person must choose: `resolve` shows both sides, "
                                     "docs/OPERATIONS.md, A fork"
                                   : NULL));
}

/* A wait that is repeated is logged once. */
static void tell_state(struct relay_io *relay_io)
{
    const struct relay *relay = &relay_io->relay;
    struct status_text *text = &relay_io->outbound->status->relay_reason;
    const _Bool has_reason = relay->state == RELAY_WAITING || relay->state == RELAY_FORKED ||
                             (relay->state == RELAY_MAKING && relay->delete_first);
    const _Bool has_words = has_reason && relay->reason == relay_io->explained;
    char reason[sizeof(text->text) + sizeof(relay_io->words)] = "";
    _Bool is_known = relay->state == RELAY_ASKING && *text->text;
    if (has_reason)
        snprintf(reason, sizeof(reason), "%s%s%s", relay->reason, has_words ? ": " : "",
                 has_words ? relay_io->words : "");
    if (has_reason || relay->state == RELAY_PUBLISHING || relay->state == RELAY_RECOVERING ||
        relay->state == RELAY_FOLLOWING)
        is_known = !status_text_set(text, reason) && relay->state == RELAY_WAITING;
    log_relay_state(relay_io, reason, is_known);
}

_Bool relay_io_report(struct relay_io *relay_io, int64_t now_ms)
{
    const struct relay *relay = &relay_io->relay;
    struct status *status = relay_io->outbound->status;
    owner_assert(&relay_io->outbound->owner);
    _Bool moved = atomic_exchange(&status->relay_state, relay->state) != (int)relay->state;
    if (moved)
        tell_state(relay_io);
    if (moved && relay->state == RELAY_PUBLISHING)
        stream_keep_whole(&relay_io->keep);
    if (relay_io->refused_at >= 0 && relay->published > relay_io->refused_at) {
        notices_replace(&status->notices, "publishing", NULL, 0);
        relay_io->refused_at = -1;
    }
    if (relay->state == RELAY_FORKED && relay->high_water > relay->head)
        stream_keep_saw(&relay_io->keep, relay->high_water);
    note_ages(relay_io, now_ms);
    atomic_store(&status->published, relay->published);
    atomic_store(&status->stream_seen, relay->high_water);
    atomic_store(&status->republished, relay->republished);
    atomic_store(&status->stream_remade, relay->remade);
    atomic_store(&status->refused, relay->refusals);
    atomic_store(&status->heal_wait_ms,
                 relay->state == RELAY_WAITING && relay->deadline_ms == relay->heal_ms
                     ? relay->heal_ms - now_ms
                     : 0);
    atomic_store(&status->audited_from, relay->audited_from);
    atomic_store(&status->replay_target,
                 relay->state == RELAY_RECOVERING ? relay->stream_position : 0);
    return moved;
}

/* ---- Opening and closing -------------------------------------------------------------------- */

int relay_io_init(struct relay_io *relay_io, struct outbound *outbound,
                  const struct relay_io_options *options)
{
    struct relay_config config = relay_defaults;
    config.seed = options->seed;
    assert(options->head >= 0 && options->stream_position >= 0);
    *relay_io = (struct relay_io){ .outbound = outbound, .refused_at = -1 };
    snprintf(relay_io->stream_subject, sizeof(relay_io->stream_subject), "evt.%s.>",
             outbound->self.prefix);
    relay_io->stream = (struct js_stream_config){
        .name = outbound->self.log,
        .subject = relay_io->stream_subject,
        .max_bytes = options->stream_max_bytes,
        .replicas = options->stream_replicas,
    };
    stream_news_init(&relay_io->news, outbound);
    stream_reader_init(&relay_io->reader, outbound);
    relay_init(&relay_io->relay, &config, options->head);
    relay_had(&relay_io->relay, options->stream_position);
    return trace(stream_keep_init(&relay_io->keep, outbound, &relay_io->stream));
}

int relay_io_subscribe(struct relay_io *relay_io)
{
    char subject[BUS_SUBJECT_MAX + 1];
    int length = snprintf(subject, sizeof(subject), "%s.a.>", relay_io->outbound->replies);
    assert(length > 0 && length <= BUS_SUBJECT_MAX);
    (void)length; /* without assertions */
    int r = bus_subscribe_pumped(relay_io->outbound->bus, subject, on_puback, relay_io,
                                 &relay_io->acks);
    if (r == 0)
        r = stream_news_subscribe(&relay_io->news);
    return r < 0 ? trace(r) : trace(stream_reader_subscribe(&relay_io->reader));
}

void relay_io_deinit(struct relay_io *relay_io)
{
    bus_subscription_free(relay_io->acks);
    stream_news_deinit(&relay_io->news);
    stream_reader_deinit(&relay_io->reader);
    stream_keep_deinit(&relay_io->keep);
    for (int i = 0; i < RECOVER_WINDOW; i++)
        item_free(relay_io->recovery.items[i]);
}
