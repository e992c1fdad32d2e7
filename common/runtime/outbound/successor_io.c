/* Successor's I/O: see successor_io.h. */
#include "runtime/outbound/successor_io.h"
#include "base/log.h"
#include "base/smaller.h"
#include "runtime/request/reply.h"
#include "schemas/nats/standby_answer.h"
#include "schemas/runtime.take-over.h"
#include "schemas/runtime.take-over.reply.h"
#include <stdio.h>
#include <string.h>

#define JOINED_MS 5000    /* without a word of the leader: more than its TermEnded takes */
#define JOIN_FLUSH_MS 500 /* for the server to know that we are in the groups */
#define ANSWER_MS 4000    /* an operator waits 5 s */
#define KEEP_MS 2000      /* from the beginning of our term: then who waits is told why */

static const struct lead *lead_of(const struct successor_io *successor)
{
    return &successor->parts.lead_io->lead;
}

static _Bool follows(const struct successor_io *successor)
{
    return lead_of(successor)->state == LEAD_FOLLOWING;
}

/* ---- A handover ----------------------------------------------------------------------------- */

static void answer_leader(const struct successor_io *successor, _Bool has_joined)
{
    _deinit_(buf) struct buf body = { 0 };
    const struct standby_answer said = { .instance = lead_of(successor)->id,
                                         .position = successor->parts.relay->head,
                                         .joined = has_joined };
    const char *reply = successor->parts.lead_io->offer.reply;
    if (!*reply)
        return;
    if (schema_encode(&standby_answer_schema, &said, &body) < 0 ||
        bus_publish(successor->parts.outbound->bus, BUS_URGENT,
                    &(struct bus_outgoing){
                        .subject = reply, .data = body.data, .length = body.length }) < 0)
        log_debug("leader_not_answered", LOG_TEXT("reason", failure_text()));
}

static void join(struct successor_io *successor, int64_t now_ms)
{
    const struct lead_io *lead_io = successor->parts.lead_io;
    successor->joined_until_ms = now_ms + JOINED_MS;
    if (!successor->joined) {
        if (endpoints_join(successor->parts.endpoints, lead_io->offer.group) < 0 ||
            bus_flush(successor->parts.outbound->bus, JOIN_FLUSH_MS) < 0) {
            log_warn("not_joined", LOG_TEXT("reason", failure_text()));
            return; /* the leader hears nothing, and goes on */
        }
        successor->joined = 1;
        log_info("joined", LOG_TEXT("leader", lead_io->lead.leader),
                 LOG_TEXT("group", lead_io->offer.group));
    }
    answer_leader(successor, 1);
}

/* The leader goes on, or another leads. What was kept is refused, with the reason. */
static void leave(struct successor_io *successor, const char *why)
{
    successor->joined = 0;
    log_warn("joined_in_vain", LOG_TEXT("reason", why));
    endpoints_leave_group(successor->parts.endpoints);
    endpoints_answer_kept(successor->parts.endpoints);
}

void successor_io_heard(struct successor_io *successor, _Bool is_near, int64_t now_ms)
{
    const struct lead_offer *offer = &successor->parts.lead_io->offer;
    owner_assert(&successor->parts.outbound->owner);
    if (offer->is_ended) {
        successor->joined_until_ms = now_ms + JOINED_MS;
        return;
    }
    if (!follows(successor))
        return;
    if (offer->is_ours && is_near && offer->group[0])
        join(successor, now_ms);
    else if (offer->asks && is_near)
        answer_leader(successor, 0);
    else if (successor->joined && !offer->is_ours)
        leave(successor, "the leader hands over to us no more");
}

void successor_io_begin(struct successor_io *successor, int64_t term, _Bool follows, int64_t now_ms)
{
    if (successor->joined && successor->parts.lead_io->ended_term != term - 1)
        endpoints_give_up_group(successor->parts.endpoints);
    if (follows) {
        endpoints_keep(successor->parts.endpoints);
        successor->keep_until_ms = now_ms + KEEP_MS;
    }
    endpoints_set_term(successor->parts.endpoints, term);
}

void successor_io_lead(struct successor_io *successor)
{
    successor->joined = 0;
    successor->keep_until_ms = 0;
    endpoints_answer_kept(successor->parts.endpoints);
}

/* ---- A take-over ---------------------------------------------------------------------------- */

static void refuse(struct successor_io *successor, struct item *request, const char *message)
{
    _free_(item) struct item *item = request;
    item->outcome = OUTCOME_REFUSED;
    item->refusal = refusal_of(REFUSED_CONFLICT);
    item->message = message;
    reply_send(successor->parts.outbound->bus, BUS_URGENT, item);
}

static void refuse_naming(struct successor_io *successor, struct item *item, const char *format)
{
    char text[300];
    const struct lead *lead = lead_of(successor);
    int length = snprintf(text, sizeof(text), format, lead->leader, (long long)lead->term);
    const char *message = arena_copy(&item->arena, text, (size_t)length);
    refuse(successor, item, message ? message : "another instance leads");
}

static _Bool is_heard(const struct lead *lead, int64_t now_ms)
{
    return now_ms - lead->heard_ms < lead->wait_ms;
}

/* Nobody is named: the leader answers, or the first of the standbys when there is no leader. */
static _Bool is_for_us(const struct successor_io *successor, const char *instance, int64_t now_ms)
{
    const struct lead *lead = lead_of(successor);
    if (instance)
        return strcmp(instance, lead->id) == 0;
    return lead->state == LEAD_LEADING ||
           (follows(successor) && !is_heard(lead, now_ms) && !successor->parts.peer->hears_earlier);
}

void successor_io_take_over(struct successor_io *successor, struct item *item, int64_t now_ms)
{
    struct lead *lead = &successor->parts.lead_io->lead;
    const struct runtime_take_over *request = item->request;
    owner_assert(&successor->parts.outbound->owner);
    if (!is_for_us(successor, request->instance, now_ms)) {
        item_free(item);
    } else if (lead->state == LEAD_LEADING) {
        refuse_naming(successor, item, "this instance, %s, leads, in term %lld");
    } else if (follows(successor) && is_heard(lead, now_ms)) {
        refuse_naming(successor, item,
                      "instance %s leads, in term %lld, and is heard: ask for hand-over, or stop "
                      "it first");
    } else if (successor->take_over) {
        refuse(successor, item, "a take-over is under way");
    } else if (!lead_take_over_as_told(lead, now_ms)) {
        refuse(successor, item, "this instance is no standby now: see its state in $SRV.STATS");
    } else {
        const struct relay *relay = successor->parts.relay;
        const int64_t seen = larger(relay->high_water, relay->told);
        const int64_t behind = larger(successor->parts.lead_io->leader_position, seen) -
                               relay->head;
        successor->take_over = item;
        successor->answer_by_ms = now_ms + ANSWER_MS;
        successor->before = (struct taken_over){ .behind = behind > 0 ? behind : 0,
                                                 .silent_ms = now_ms - lead->heard_ms };
        snprintf(successor->before.leader, sizeof(successor->before.leader), "%s", lead->leader);
        log_warn("take_over_asked", LOG_TEXT("from", lead->leader),
                 LOG_INT("known_behind", successor->before.behind));
    }
}

static void answer_operator(struct successor_io *successor)
{
    _free_(item) struct item *item = take(successor->take_over);
    const struct lead *lead = lead_of(successor);
    const struct runtime_take_over_reply reply = {
        .instance = lead->id,
        .term = lead->term,
        .position = successor->parts.relay->head,
        .before = successor->before.leader[0] ? successor->before.leader : NULL,
        .known_behind = successor->before.behind,
        .silent_ms = successor->before.silent_ms,
    };
    item->outcome = OUTCOME_DONE;
    if (schema_encode(&runtime_take_over_reply_schema, &reply, &item->body) < 0)
        refuse(successor, take(item), "it leads, and has no memory to say so");
    else
        reply_send(successor->parts.outbound->bus, BUS_URGENT, item);
}

static void look_at_take_over(struct successor_io *successor, _Bool serves, int64_t now_ms)
{
    const struct lead *lead = lead_of(successor);
    if (!successor->take_over)
        return;
    if (lead->state == LEAD_LEADING && serves)
        answer_operator(successor);
    else if (lead->state == LEAD_FOLLOWING && !lead->takes_over)
        refuse_naming(successor, take(successor->take_over),
                      "instance %s was heard again, in term %lld, and leads");
    else if (lead->state == LEAD_FENCED || lead->state == LEAD_REJOINING)
        refuse_naming(successor, take(successor->take_over),
                      "instance %s was faster, and leads in term %lld");
    else if (now_ms >= successor->answer_by_ms)
        refuse(successor, take(successor->take_over),
               "it claims, and does not lead yet: see its state in $SRV.STATS");
}

void successor_io_act(struct successor_io *successor, _Bool serves, int64_t now_ms)
{
    const enum lead_state state = lead_of(successor)->state;
    owner_assert(&successor->parts.outbound->owner);
    if (successor->joined && (state == LEAD_FENCED || state == LEAD_REJOINING))
        leave(successor, "another instance leads");
    else if (successor->joined && state != LEAD_LEADING && now_ms >= successor->joined_until_ms)
        leave(successor, "the leader has not ended its term");
    else if (successor->keep_until_ms > 0 && now_ms >= successor->keep_until_ms)
        successor_io_lead(successor);
    look_at_take_over(successor, serves, now_ms);
}

int64_t successor_io_due_ms(const struct successor_io *successor)
{
    int64_t due_ms = successor->keep_until_ms > 0 ? successor->keep_until_ms : INT64_MAX;
    if (successor->joined && lead_of(successor)->state != LEAD_LEADING)
        due_ms = smaller(due_ms, successor->joined_until_ms);
    return successor->take_over ? smaller(due_ms, successor->answer_by_ms) : due_ms;
}

/* ---- Opening and closing -------------------------------------------------------------------- */

void successor_io_init(struct successor_io *successor, const struct successor_parts *parts)
{
    *successor = (struct successor_io){ .parts = *parts };
}

void successor_io_deinit(struct successor_io *successor)
{
    item_free(take(successor->take_over));
}
