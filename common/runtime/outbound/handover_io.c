/* Handover's I/O: see handover_io.h. */
#include "runtime/outbound/handover_io.h"
#include "base/clock.h"
#include "base/condition.h"
#include "base/log.h"
#include "base/smaller.h"
#include "runtime/request/reply.h"
#include "schemas/nats/micro_ping.h"
#include "schemas/nats/standby_answer.h"
#include "schemas/runtime.hand-over.h"
#include "schemas/runtime.hand-over.reply.h"
#include <stdio.h>
#include <string.h>

/* So long after it was heard of, a standby is believed to be there. */
#define STANDBY_HEARD_MS 15000
enum { STEP_ASK = 'a', STEP_OFFER = 'o', STEP_WATCH = 'w' };

/* ---- Answers -------------------------------------------------------------------------------- */

static void refuse(struct handover_io *handover_io, struct item *request, enum refusal refusal,
                   const char *message)
{
    _free_(item) struct item *item = request;
    item->outcome = OUTCOME_REFUSED;
    item->refusal = refusal_of(refusal);
    item->message = message;
    reply_send(handover_io->parts.outbound->bus, BUS_URGENT, item);
}

static void answer(struct handover_io *handover_io)
{
    _free_(item) struct item *item = take(handover_io->item);
    const struct runtime_hand_over_reply reply = {
        .from = handover_io->parts.lead_io->lead.id,
        .to = handover_io->handover.successor,
        .term = handover_io->term,
        .position = handover_io->parts.term_io->ended_at,
        .leads = handover_io->handover.leads,
    };
    if (!item)
        return;
    item->outcome = OUTCOME_DONE;
    if (schema_encode(&runtime_hand_over_reply_schema, &reply, &item->body) < 0)
        refuse(handover_io, take(item), REFUSED_INTERNAL, "handed over, and no memory to say so");
    else
        reply_send(handover_io->parts.outbound->bus, BUS_URGENT, item);
}

static void tell_done(struct handover_io *handover_io)
{
    pthread_mutex_lock(&handover_io->lock);
    handover_io->is_done = 1;
    pthread_cond_signal(&handover_io->done);
    pthread_mutex_unlock(&handover_io->lock);
}

void handover_io_wait(struct handover_io *handover_io, int64_t timeout_ms)
{
    const int64_t deadline_ms = clock_monotonic_ms() + timeout_ms;
    pthread_mutex_lock(&handover_io->lock);
    while (!handover_io->is_done)
        if (condition_wait(&handover_io->done, &handover_io->lock, deadline_ms) != 0)
            break;
    pthread_mutex_unlock(&handover_io->lock);
}

/* ---- Its beginning -------------------------------------------------------------------------- */

/* Why it cannot begin now; NULL: it can. Static text. */
static const char *obstacle(const struct handover_io *handover_io)
{
    const struct handover_parts *parts = &handover_io->parts;
    if (!parts->hooks || parts->lead_io->lead.state != LEAD_LEADING)
        return "this instance does not lead";
    if (parts->relay->state != RELAY_PUBLISHING)
        return "the stream takes no events now: see the relay's state";
    if (parts->relay->head - parts->relay->published > handover_io->handover.config.behind_max)
        return "too many events wait for the stream: see its backlog";
    return NULL;
}

void handover_io_begin(struct handover_io *handover_io, struct item *item, int64_t now_ms)
{
    const struct runtime_hand_over *request = item->request;
    const char *why = obstacle(handover_io);
    owner_assert(&handover_io->parts.outbound->owner);
    if (!why && request->to && strcmp(request->to, handover_io->parts.lead_io->lead.id) == 0)
        why = "this instance leads already";
    if (why) {
        refuse(handover_io, item, REFUSED_CONFLICT, why);
        return;
    }
    if (!handover_begin(&handover_io->handover, request->to, handover_io->handover.config.ask_ms,
                        now_ms)) {
        refuse(handover_io, item, REFUSED_BUSY, "a handover is under way");
        return;
    }
    handover_io->item = item;
    handover_io->begun_ms = now_ms;
}

static _Bool knows_standby(const struct handover_io *handover_io, int64_t now_ms)
{
    const int64_t heard_ms = larger(handover_io->parts.lead_io->standby_ms,
                                    handover_io->parts.peer->standby_ms);
    return heard_ms > 0 && now_ms - heard_ms <= STANDBY_HEARD_MS;
}

/* One that has come within reach since the last heartbeat is not known yet: it is asked for, too,
 * while we lead on. */
void handover_io_stop(struct handover_io *handover_io, int64_t now_ms)
{
    struct handover *handover = &handover_io->handover;
    handover_io->stops = 1;
    handover_io->is_known = knows_standby(handover_io, now_ms);
    if (handover->state == HANDOVER_IDLE &&
        (obstacle(handover_io) || !handover_begin(handover, NULL,
                                                  handover_io->is_known ? handover->config.ask_ms
                                                                        : handover->config.brief_ms,
                                                  now_ms)))
        tell_done(handover_io);
    handover_io->begun_ms = now_ms;
}

/* ---- Its course ----------------------------------------------------------------------------- */

/* By $SRV, on which library threads answer: one that is busy is there, too. All instances do. */
static void take_ping(struct handover_io *handover_io, struct bus_message *message, int64_t now_ms)
{
    _deinit_(arena) struct arena arena = { 0 };
    struct invalid invalid;
    void *decoded = NULL;
    if (bus_message_status(message) ||
        schema_decode(&micro_ping_schema, bus_message_data(message), bus_message_length(message),
                      &arena, &decoded, &invalid) != 0)
        return;
    const struct micro_ping *ping = decoded;
    if (strcmp(ping->id, handover_io->handover.successor) == 0)
        handover_seen(&handover_io->handover, now_ms);
}

void handover_io_reply(struct handover_io *handover_io, const struct reply_tag *tag,
                       struct bus_message *message, int64_t now_ms)
{
    _deinit_(arena) struct arena arena = { 0 };
    struct invalid invalid;
    void *decoded = NULL;
    if (tag->step == STEP_WATCH) {
        take_ping(handover_io, message, now_ms);
        return;
    }
    if (tag->epoch != handover_io->round || bus_message_status(message) ||
        schema_decode(&standby_answer_schema, bus_message_data(message),
                      bus_message_length(message), &arena, &decoded, &invalid) != 0)
        return;
    const struct standby_answer *said = decoded;
    const int64_t behind = handover_io->parts.relay->published - said->position;
    handover_answered(&handover_io->handover,
                      &(struct handover_answer){ .instance = said->instance,
                                                 .behind = behind > 0 ? behind : 0,
                                                 .has_joined = said->joined },
                      now_ms);
}

static void ask(struct handover_io *handover_io, _Bool asks)
{
    struct lead_io *lead_io = handover_io->parts.lead_io;
    const struct relay *relay = handover_io->parts.relay;
    const struct reply_tag tag = { .part = PART_HANDOVER,
                                   .step = asks ? STEP_ASK : STEP_OFFER,
                                   .epoch = ++handover_io->round };
    const char *successor = handover_successor(&handover_io->handover);
    snprintf(lead_io->successor, sizeof(lead_io->successor), "%s", successor ? successor : "");
    snprintf(lead_io->group, sizeof(lead_io->group), "%s", handover_io->parts.endpoints->group);
    if (!asks)
        log_info("handing_over", LOG_TEXT("to", successor), LOG_INT("position", relay->head));
    if (lead_io_ask(lead_io, relay->head, relay->published, asks, &tag) < 0)
        log_debug("standbys_not_asked", LOG_TEXT("reason", failure_text()));
}

static void watch(struct handover_io *handover_io)
{
    struct outbound *outbound = handover_io->parts.outbound;
    const struct reply_tag tag = { .part = PART_HANDOVER,
                                   .step = STEP_WATCH,
                                   .epoch = ++handover_io->round };
    char subject[BUS_SUBJECT_MAX + 1];
    snprintf(subject, sizeof(subject), "$SRV.PING.%s", outbound->self.service);
    if (outbound_request(outbound, &tag, subject, "", 0) < 0)
        log_debug("successor_not_asked", LOG_TEXT("reason", failure_text()));
}

static void give_up(struct handover_io *handover_io)
{
    const char *reason = take(handover_io->handover.reason);
    handover_io->parts.lead_io->successor[0] = '\0'; /* as the next heartbeat says */
    if (handover_io->item || handover_io->is_known)
        log_warn("not_handed_over", LOG_TEXT("reason", reason));
    if (handover_io->item)
        refuse(handover_io, take(handover_io->item), REFUSED_CONFLICT, reason);
    if (handover_io->stops)
        tell_done(handover_io);
}

static void finish(struct handover_io *handover_io, int64_t now_ms)
{
    log_info("handed_over", LOG_TEXT("to", handover_io->handover.successor),
             LOG_INT("term", handover_io->term),
             LOG_INT("position", handover_io->parts.term_io->ended_at),
             LOG_INT("leads", handover_io->handover.leads),
             LOG_INT("took_ms", now_ms - handover_io->begun_ms));
    answer(handover_io);
    if (handover_io->stops)
        tell_done(handover_io);
    else
        handover_io->parts.hooks->step_back(handover_io->parts.hooks->context);
}

static void carry_out(struct handover_io *handover_io, enum handover_action action, int64_t now_ms)
{
    struct lead *lead = &handover_io->parts.lead_io->lead;
    switch (action) {
    case HANDOVER_NOTHING: break;
    case HANDOVER_ASK:     ask(handover_io, 1); break;
    case HANDOVER_OFFER:   ask(handover_io, 0); break;
    case HANDOVER_LEAVE:
        endpoints_leave_group(handover_io->parts.endpoints);
        handover_left(&handover_io->handover, now_ms);
        break;
    case HANDOVER_END_TERM:
        handover_io->term = lead->term;
        lead_hand_over(lead);
        break;
    case HANDOVER_WATCH:    watch(handover_io); break;
    case HANDOVER_SAY_OVER: finish(handover_io, now_ms); break;
    case HANDOVER_GIVE_UP:  give_up(handover_io); break;
    }
}

void handover_io_end_term(struct handover_io *handover_io, int64_t now_ms)
{
    (void)now_ms;
    handover_io->ends = handover_io->handover.state == HANDOVER_ENDING;
}

/* All that we were asked is with the writer: TermEnded comes behind it. Then the stream has it. */
static void end_term(struct handover_io *handover_io, int64_t now_ms)
{
    const struct handover_parts *parts = &handover_io->parts;
    struct term_io *term_io = parts->term_io;
    if (!inbox_has_requests(parts->outbound->inbox))
        term_io_end(term_io, handover_io->handover.successor, now_ms);
    /* a batch wakes us, but not when the disk has refused */
    handover_io->end_ms = !term_io->asked && term_io->ended_at == 0 && term_io->ask_ms > now_ms
                              ? term_io->ask_ms
                              : INT64_MAX;
    if (term_io->ended_at == 0 || parts->relay->published < term_io->ended_at ||
        gate_first_position(parts->gate) != INT64_MAX)
        return;
    handover_io->ends = 0;
    lead_io_beat(parts->lead_io, parts->relay->head, parts->relay->published, 1);
    lead_ended_own(&parts->lead_io->lead, now_ms);
    handover_ended(&handover_io->handover, now_ms);
}

static void look_at_parts(struct handover_io *handover_io, int64_t now_ms)
{
    struct handover *handover = &handover_io->handover;
    const struct lead *lead = &handover_io->parts.lead_io->lead;
    const char *why = handover->state == HANDOVER_IDLE ? NULL : obstacle(handover_io);
    if (why)
        handover_fail(handover, why, now_ms);
    if (handover_io->ends && handover->state == HANDOVER_ENDING)
        end_term(handover_io, now_ms);
    if (handover->state == HANDOVER_ENDED && lead->term > handover_io->term)
        handover_followed(handover, now_ms);
}

_Bool handover_io_act(struct handover_io *handover_io, int64_t now_ms)
{
    enum handover_action action;
    _Bool changed = 0;
    owner_assert(&handover_io->parts.outbound->owner);
    look_at_parts(handover_io, now_ms);
    while ((action = handover_next(&handover_io->handover, now_ms)) != HANDOVER_NOTHING) {
        changed = 1;
        carry_out(handover_io, action, now_ms);
    }
    return changed;
}

int64_t handover_io_due_ms(const struct handover_io *handover_io)
{
    const int64_t due_ms = handover_due_ms(&handover_io->handover);
    return handover_io->ends ? smaller(due_ms, handover_io->end_ms) : due_ms;
}

/* ---- Opening and closing -------------------------------------------------------------------- */

void handover_io_init(struct handover_io *handover_io, const struct handover_parts *parts)
{
    *handover_io = (struct handover_io){ .parts = *parts };
    handover_init(&handover_io->handover, &handover_defaults);
    pthread_mutex_init(&handover_io->lock, NULL);
    condition_init(&handover_io->done);
}

void handover_io_deinit(struct handover_io *handover_io)
{
    item_free(take(handover_io->item));
    pthread_cond_destroy(&handover_io->done);
    pthread_mutex_destroy(&handover_io->lock);
}
