/* Stream I/O: see stream_io.h. */
#include "runtime/outbound/stream_io.h"
#include "base/guard.h"
#include "base/log.h"
#include "base/smaller.h"
#include "runtime/outbound/read_back.h"
#include "runtime/outbound/stream_make.h"
#include "runtime/sync/envelope.h"
#include <string.h>

void stream_io_request(struct relay_io *relay_io, enum stream_step step, int64_t epoch, int64_t n,
                       int built, const struct js_request *request, int64_t now_ms)
{
    const struct reply_tag tag = { .part = PART_RELAY, .step = (char)step, .epoch = epoch, .n = n };
    if (outbound_request_api(relay_io->outbound, &tag, built, request) < 0)
        relay_failed(&relay_io->relay, "the server cannot be asked", now_ms);
}

/* ---- Looking at the stream ------------------------------------------------------------------ */

/* The server knows the stream, and not its messages: so often in a row it may be of two minds. */
#define NO_STORE_MAX 3

/* Does the event follow our log's event before its position? 0: yes; 1: no; < 0. */
static int follows_log(struct relay_io *relay_io, const struct event *event,
                       const struct digest *digest)
{
    struct digest chain = { 0 };
    int r = 0;
    if (event->position > 1)
        r = event_log_find_chain(relay_io->outbound->db, event->position - 1, &chain);
    if (r == 0)
        r = event_chain(&chain, digest, &chain);
    return r < 0 ? trace(r) : r > 0 || !digest_equal(&chain, &event->chain);
}

/* 0: our log has this event, or it may be one of ours; 1: it is no event of our log; < 0. One that
 * has our position and another chain, or claims to be the next after our log, must follow what is
 * before it, else nobody with our log has written it. */
static int compare_event(struct relay_io *relay_io, const struct event *event,
                         const struct digest *digest, enum tail_fit *ret_fit,
                         const char **ret_reason)
{
    const int64_t head = relay_io->relay.head;
    const _Bool is_known = event->position <= head;
    struct digest chain = { 0 };
    int r = 0;
    *ret_fit = is_known ? TAIL_EQUAL : TAIL_AHEAD;
    if (is_known)
        r = event_log_find_chain(relay_io->outbound->db, event->position, &chain);
    if (r < 0 || (is_known && r == 0 && digest_equal(&chain, &event->chain)))
        return trace(r);
    if (event->position > head + 1)
        return 0;
    r = follows_log(relay_io, event, digest);
    *ret_reason = "its chain does not follow our log";
    if (is_known)
        *ret_fit = r == 0 ? TAIL_DIFFERENT : TAIL_EQUAL;
    return trace(r);
}

/* An event by its form: whose is it? What our log has must say our log's term. 0 or < 0. */
static int judge_event(struct relay_io *relay_io, const struct event *event,
                       const struct digest *digest, struct look_message *ret,
                       const char **ret_reason)
{
    struct term term = { 0 }, begun;
    int r = compare_event(relay_io, event, digest, &ret->fit, ret_reason);
    if (r < 0)
        return trace(r);
    ret->term = event->term;
    ret->place = event->position;
    if (r == 0 && ret->fit == TAIL_EQUAL) {
        if (terms_find(relay_io->outbound->db, event->position, &term) < 0)
            return trace(-ERR_IO);
        *ret_reason = "its Journey-Term is not our log's";
        r = term.term != event->term;
    }
    if (r > 0) {
        ret->place = PLACE_FOREIGN;
        ret->fit = TAIL_EQUAL;
        ret->is_event = 1;
    }
    if (term_read(event, &begun) == 0) {
        ret->begins = begun.term;
        snprintf(ret->instance, sizeof(ret->instance), "%s", begun.instance);
    }
    return 0;
}

/* A message of a lower term than our log's is no news: the look says whether it is void. A look
 * says at its end what it has found: a stream that another one leads is full of them. */
static void name_foreign(struct relay_io *relay_io, const struct look_message *message,
                         int64_t sequence, const char *reason, struct look *look)
{
    struct term newest = { 0 };
    const _Bool is_older = message->is_event &&
                           terms_newest(relay_io->outbound->db, &newest) == 0 &&
                           message->term > 0 && message->term < newest.term;
    if (is_older || !look) {
        log_at(is_older ? LOG_DEBUG : LOG_ERROR, "foreign_message",
               LOG_TEXT("stream", relay_io->outbound->self.log), LOG_INT("sequence", sequence),
               LOG_TEXT("reason", reason));
        return;
    }
    if (look->foreign_count++ > 0 && sequence > look->foreign_sequence)
        return;
    look->foreign_sequence = sequence;
    snprintf(look->foreign_reason, sizeof(look->foreign_reason), "%s", reason);
}

/* The first of them, and how many. */
static void tell_foreign(const struct relay_io *relay_io)
{
    const struct look *look = &relay_io->look;
    if (look->foreign_count == 0)
        return;
    log_at(relay_io->relay.state == RELAY_FENCED ? LOG_WARN : LOG_ERROR, "foreign_message",
           LOG_TEXT("stream", relay_io->outbound->self.log),
           LOG_INT("sequence", look->foreign_sequence), LOG_TEXT("reason", look->foreign_reason),
           LOG_INT("count", look->foreign_count));
}

/* look: that it is a part of; NULL: of an audit. */
static void compare_message(struct relay_io *relay_io, struct bus_message *message,
                            int64_t sequence, struct look *look, struct look_message *ret)
{
    _deinit_(arena) struct arena arena = { 0 };
    struct js_stored_message stored = { 0 };
    struct event event;
    struct digest digest;
    const char *reason = "";
    *ret = (struct look_message){ .fit = TAIL_EQUAL };
    int r = bus_message_status(message)
                ? fail(ERR_NETWORK, "no answer")
                : js_parse_message(bus_message_data(message), bus_message_length(message), &arena,
                                   &stored);
    if (r == JS_REFUSED) {
        ret->place = stored.error.error_code == JS_ERR_MESSAGE_NOT_FOUND  ? PLACE_HOLE
                     : stored.error.error_code == JS_ERR_STREAM_NOT_FOUND ? PLACE_NO_STORE
                                                                          : 0;
        return;
    }
    if (r == 0 && envelope_is_marker(&stored.view)) {
        ret->place = PLACE_MARKER;
        return;
    }
    if (r == 0)
        r = envelope_decode(&stored.view, &relay_io->outbound->self, &arena, &event, &digest,
                            &reason);
    if (r == 0)
        r = judge_event(relay_io, &event, &digest, ret, &reason);
    else if (r > 0)
        ret->place = PLACE_FOREIGN;
    if (r < 0)
        ret->place = 0;
    if (ret->place == PLACE_FOREIGN)
        name_foreign(relay_io, ret, sequence, reason, look);
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
    const int64_t stop = look_has_event(&look->judge) || look->stop < last ? look->stop : last;
    look->last = last;
    look->first = larger(last - LOOK_WINDOW + 1, larger(look->tail.first_sequence, 1));
    if (stop <= last)
        look->first = larger(look->first, stop);
    look->received = 0;
    memset(look->messages, 0, sizeof(look->messages));
    look_check(look);
    for (int64_t sequence = look->first; sequence <= look->last; sequence++) {
        _deinit_(js_request) struct js_request request;
        js_request_init(&request, NULL);
        stream_io_request(relay_io, STEP_LOOK, epoch, sequence,
                          js_message_get(&request, relay_io->outbound->self.log, sequence),
                          &request, now_ms);
    }
}

/* All of the window is there. */
static void judge_window(struct look *look)
{
    for (int64_t sequence = look->last; sequence >= look->first; sequence--)
        look_judge(&look->judge, sequence, &look->messages[sequence - look->first]);
}

/* The look has come to its end. */
static void end_look(struct relay_io *relay_io, int64_t now_ms)
{
    struct relay_tail *tail = &relay_io->look.tail;
    struct status *status = relay_io->outbound->status;
    struct term newest = { 0 };
    look_end(&relay_io->look.judge);
    if (tail->voids > atomic_load(&status->voids)) {
        log_warn("void_messages", LOG_TEXT("stream", relay_io->outbound->self.log),
                 LOG_INT("count", tail->voids),
                 LOG_TEXT("reason", "written in a term that had ended: they have no position"));
        atomic_store(&status->voids, tail->voids);
    }
    if (tail->leaves_at > 0 && terms_newest(relay_io->outbound->db, &newest) == 0)
        tail->log_term = newest.term;
    if (tail->leaves_at > 0 && tail->leaves_at <= relay_io->relay.head &&
        terms_stand_alone(relay_io->outbound->db, tail->leaves_at) > 0)
        tail->only_terms = 1;
    relay_looked(&relay_io->relay, tail, now_ms);
    tell_foreign(relay_io);
}

/* The stream is there by its name alone, as when most of its servers have lost their stores: no
 * message of it can be read, so all of them count as lost. */
static void take_no_store(struct relay_io *relay_io, int64_t now_ms)
{
    struct relay_tail tail = relay_io->look.tail;
    if (++relay_io->no_store_count < NO_STORE_MAX) {
        relay_failed(&relay_io->relay, "the server has not the messages of the stream", now_ms);
        return;
    }
    relay_io->no_store_count = 0;
    tail.deleted = tail.messages;
    tail.has_last = 0;
    tail.fit = TAIL_EQUAL;
    relay_looked(&relay_io->relay, &tail, now_ms);
}

static void take_looked(struct relay_io *relay_io, int64_t epoch, int64_t sequence,
                        struct bus_message *message, int64_t now_ms)
{
    struct look *look = &relay_io->look;
    struct look_message found;
    if (sequence < look->first || sequence > look->last ||
        look->messages[sequence - look->first].place)
        return;
    compare_message(relay_io, message, sequence, look, &found);
    if (found.place == PLACE_NO_STORE) {
        take_no_store(relay_io, now_ms);
        return;
    }
    if (found.place == 0) {
        relay_failed(&relay_io->relay, "the stream's messages cannot be read", now_ms);
        return;
    }
    relay_io->no_store_count = 0;
    look->messages[sequence - look->first] = found;
    look->received++;
    look_check(look);
    if (look->received <= look->last - look->first)
        return;
    judge_window(look);
    const _Bool is_first = look->first <= larger(look->tail.first_sequence, 1);
    const _Bool is_enough = relay_io->relay.is_lost
                                ? look->judge.has_known
                                : look_has_event(&look->judge) && look->first <= look->stop;
    if (is_first || (is_enough && !look_has_strangers(&look->judge))) {
        end_look(relay_io, now_ms);
    } else {
        relay_reading(&relay_io->relay, now_ms);
        request_window(relay_io, epoch, look->first - 1, now_ms);
    }
}

/* How far it is filled, as far as that binds us: not by one whose term had ended. */
static int64_t fill_of(struct relay_io *relay_io, const struct js_stream_state *state)
{
    const struct stream_fill fill = drift_fill_of(state->config);
    struct term newest = { 0 };
    if (fill.head <= relay_io->relay.head || terms_newest(relay_io->outbound->db, &newest) < 0)
        return 0;
    return fill.term >= newest.term ? fill.head : 0;
}

/* Is anything set otherwise, and who reads it? */
static void read_state(struct relay_io *relay_io, const struct js_stream_state *state,
                       struct relay_tail *ret_tail)
{
    const struct reply_tag tag = { .part = PART_RELAY, .step = STEP_LISTED };
    *ret_tail = (struct relay_tail){
        .exists = 1,
        .first_sequence = state->first_sequence,
        .last_sequence = state->last_sequence,
        .messages = state->messages,
        .deleted = state->deleted_count,
        .expires = state->max_age_ns > 0,
        .marked = json_text_is(json_text_find(state->config, "allow_msg_ttl"), "true"),
        .filled_to = fill_of(relay_io, state),
        .is_held = !relay_io->relay.follows && stream_keep_compare(&relay_io->keep, state),
    };
    if (relay_io->relay.follows) /* what is set on it is its leader's */
        return;
    if (ret_tail->is_held)
        relay_io_explain(relay_io, RELAY_HELD_REASON, relay_io->keep.held);
    if (state->consumer_count > 0 || relay_io->keep.durable_count > 0)
        (void)stream_keep_ask_list(&relay_io->keep, &tag); /* not urgent: with the next look */
}

/* Says what is known against a server that we have not met before. */
static void note_server(struct relay_io *relay_io, const struct bus_message *info)
{
    char version[SERVER_VERSION_SIZE];
    const struct server_advisory *advisory;
    int at = 0, count = 0;
    server_version_of_info(bus_message_data(info), bus_message_length(info), version);
    if (relay_io->server_is_known && strcmp(version, relay_io->server_version) == 0)
        return;
    memcpy(relay_io->server_version, version, sizeof(version));
    relay_io->server_is_known = 1;
    while ((advisory = server_version_next_advisory(version, &at))) {
        log_warn("server_has_advisory", LOG_TEXT("server", *version ? version : "before 2.11"),
                 LOG_TEXT("advisory", advisory->id), LOG_TEXT("reason", advisory->reason),
                 LOG_TEXT("help", "use nats-server 2.11.16, 2.12.7, 2.14.0 or later"));
        count++;
    }
    atomic_store(&relay_io->outbound->status->server_advisories, count);
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
    if (r == JS_REFUSED && state.error.error_code != JS_ERR_STREAM_NOT_FOUND)
        relay_io_explain(relay_io, "JetStream does not answer", state.error.description);
    if (r < 0 || (r == JS_REFUSED && state.error.error_code != JS_ERR_STREAM_NOT_FOUND)) {
        relay_failed(&relay_io->relay, "JetStream does not answer", now_ms);
        return;
    }
    if (r == 0) {
        note_server(relay_io, message);
        read_state(relay_io, &state, &tail);
    }
    if (audit) {
        relay_audited(&relay_io->relay, &tail, now_ms);
    } else if (tail.messages == 0 || (tail.is_held && tail.last_sequence <= relay_io->relay.head)) {
        if (relay_io->relay.epoch == epoch && relay_io->readers.answer_by_ms == 0 &&
            (tail.messages > 0 || relay_io->relay.follows ||
             !reader_ask_begin(&relay_io->readers, relay_io->outbound, &relay_io->relay, &tail,
                               now_ms)))
            relay_looked(&relay_io->relay, &tail, now_ms);
    } else {
        look->tail = tail;
        look_begin(&look->judge, &look->tail);
        if (look->stop <= 0)
            look->stop = tail.last_sequence - relay_io->relay.config.window_max;
        request_window(relay_io, epoch, tail.last_sequence, now_ms);
    }
}

/* Is it of a lower term than our log has at the position before it, or at the last one that may be?
 * The look has named it. */
static _Bool may_be_void(struct relay_io *relay_io, const struct look_message *message,
                         int64_t before)
{
    struct term term = { 0 };
    const _Bool is_strange = message->place > 0 ? message->fit != TAIL_EQUAL : message->is_event;
    return is_strange && terms_find(relay_io->outbound->db, before, &term) == 0 &&
           message->term > 0 && message->term < term.term;
}

/* A message in the middle of the stream, that the audit looks at. The replies may come in another
 * order than they were asked for: only behind the one before it does a place say that an event is
 * missing. */
static void take_audited(struct relay_io *relay_io, int64_t sequence, struct bus_message *message,
                         int64_t now_ms)
{
    struct relay *relay = &relay_io->relay;
    struct look_message found;
    int64_t low, high;
    compare_message(relay_io, message, sequence, NULL, &found);
    relay_place(relay, sequence, &low, &high);
    const int64_t place = found.place;
    const _Bool is_unread = place == 0 || place == PLACE_NO_STORE;
    const _Bool follows = sequence == relay_io->audited_at + 1;
    relay_io->audited_at = sequence;
    /* an excused hole may be a marker's: the places before and behind it tell */
    if (!follows || is_unread || (place == PLACE_HOLE && !relay->expires))
        relay_io->audited_before = 0;
    if (is_unread || place == PLACE_MARKER || (place == PLACE_HOLE && relay->expires) ||
        may_be_void(relay_io, &found,
                    relay_io->audited_before > 0 ? relay_io->audited_before : high))
        return;
    if (place == PLACE_HOLE)
        relay_damaged(relay, "the audit found a message that cannot be read", now_ms);
    else if (place == PLACE_FOREIGN)
        relay_damaged(relay, "the audit found a message that is not an event of ours", now_ms);
    else if (found.fit != TAIL_EQUAL)
        relay_fork(relay, "a message in the middle of the stream has another chain than our log");
    else if (place < low || place > high)
        relay_damaged(relay, "the audit found an event at another place than its own", now_ms);
    else if (relay_io->audited_before > 0 && place > relay_io->audited_before + 1)
        relay_damaged(relay, "the audit found that an event is missing", now_ms);
    if (place > 0)
        relay_io->audited_before = place;
}

/* Of an audit. */
static void read_part(struct relay_io *relay_io, const struct relay_action *action, int64_t now_ms)
{
    const int64_t last = GUARD(fence) ? action->last : 0;
    relay_io->audited_before = 0;
    relay_io->audited_at = 0;
    for (int64_t sequence = action->first; sequence > 0 && sequence <= last; sequence++) {
        _deinit_(js_request) struct js_request request;
        js_request_init(&request, NULL);
        stream_io_request(relay_io, STEP_AUDITED, action->epoch, sequence,
                          js_message_get(&request, relay_io->outbound->self.log, sequence),
                          &request, now_ms);
    }
}

void stream_io_look(struct relay_io *relay_io, const struct relay_action *action, int64_t now_ms)
{
    _deinit_(js_request) struct js_request request;
    js_request_init(&request, NULL);
    assert(action->kind == RELAY_ASK || action->kind == RELAY_AUDIT);
    /* the server may have told another one since the connect */
    atomic_store(&relay_io->outbound->status->max_payload_bytes,
                 bus_max_payload_bytes(relay_io->outbound->bus));
    if (action->kind == RELAY_ASK)
        relay_io->look = (struct look){ .stop = action->sequence };
    stream_io_request(relay_io, action->kind == RELAY_ASK ? STEP_INFO : STEP_AUDIT, action->epoch,
                      0, js_stream_info(&request, relay_io->stream.name), &request, now_ms);
    if (action->last > 0)
        read_part(relay_io, action, now_ms);
}

/* ---- Answers -------------------------------------------------------------------------------- */

void stream_io_reply(struct relay_io *relay_io, const struct reply_tag *tag,
                     struct bus_message *message, int64_t now_ms)
{
    owner_assert(&relay_io->outbound->owner);
    const enum stream_step step = (enum stream_step)tag->step;
    if (tag->epoch != relay_io->relay.epoch && step != STEP_MENDED && step != STEP_LISTED &&
        step != STEP_GIVEN)
        return;
    switch (step) {
    case STEP_INFO:    take_info(relay_io, tag->epoch, message, 0, now_ms); break;
    case STEP_AUDIT:   take_info(relay_io, tag->epoch, message, 1, now_ms); break;
    case STEP_LOOK:    take_looked(relay_io, tag->epoch, tag->n, message, now_ms); break;
    case STEP_AUDITED: take_audited(relay_io, tag->n, message, now_ms); break;
    case STEP_MADE:    stream_make_take_created(relay_io, message, now_ms); break;
    case STEP_DELETED: stream_make_take_deleted(relay_io, message, now_ms); break;
    case STEP_MENDED:  stream_make_take_mended(relay_io, message); break;
    case STEP_LISTED:  stream_keep_take_list(&relay_io->keep, &relay_io->relay, message, 0); break;
    case STEP_LISTED_LAST:
        stream_make_take_listed_last(relay_io, tag->epoch, message, now_ms);
        break;
    case STEP_GIVEN:       stream_keep_take_given(&relay_io->keep, tag->n, message); break;
    case STEP_OWN_MESSAGE: read_back_reply(relay_io, tag->n, message, now_ms); break;
    case STEP_READER_MADE:
        stream_reader_made(&relay_io->reader, tag->n, message, now_ms);
        relay_reading(&relay_io->relay, now_ms);
        break;
    case STEP_READER_GONE: break;
    }
}
