/* Sender, redrive: parked events, one after the other, are fetched again from their leader's log
 * (we keep only a reference to them) and given to the loop. The answer goes out when all were
 * tried, or the leader is away; what was applied until then stays applied. One redrive at a time:
 * two would only get into each other's way. */
#include "runtime/outbound/sender_parts.h"
#include "base/log.h"
#include "runtime/request/reply.h"
#include "schemas/runtime.events.reply.h"
#include "schemas/runtime.redrive.h"
#include "schemas/runtime.redrive.reply.h"
#include "store/parked.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define LEADER_TIMEOUT_MS 4000

static struct parked_filter filter_of(const struct redrive *redrive)
{
    const struct runtime_redrive *request = redrive->item->request;
    return (struct parked_filter){ .log = request->log, .entity = request->entity };
}

static void answer(struct sender *sender, struct item *item)
{
    reply_send(sender->instance->bus, BUS_URGENT, item);
    item_free(item);
}

static void refuse(struct sender *sender, struct item *item, enum refusal refusal,
                   const char *message)
{
    item->outcome = OUTCOME_REFUSED;
    item->refusal = refusal_of(refusal);
    item->message = message;
    answer(sender, item);
}

static void give_up(struct sender *sender, enum refusal refusal, const char *why)
{
    struct redrive *redrive = &sender->redrive;
    char message[160];
    snprintf(message, sizeof(message), "%s; redriven before that: %" PRId64, why,
             redrive->redriven);
    log_warn("redrive", LOG_INT("redriven", redrive->redriven), LOG_TEXT("reason", why));
    refuse(sender, take(redrive->item), refusal, message);
}

static void finish(struct sender *sender)
{
    struct redrive *redrive = &sender->redrive;
    struct runtime_redrive_reply reply = { .redriven = redrive->redriven };
    struct parked_filter filter = filter_of(redrive);
    int r = parked_count_of(sender->db, &filter, &reply.still_parked);
    if (r == 0)
        r = schema_encode(&runtime_redrive_reply_schema, &reply, &redrive->item->body);
    if (r < 0) {
        give_up(sender, REFUSED_INTERNAL, failure_text());
        return;
    }
    log_info("redrive", LOG_INT("redriven", reply.redriven),
             LOG_INT("still_parked", reply.still_parked));
    redrive->item->outcome = OUTCOME_DONE;
    answer(sender, take(redrive->item));
}

/* Index of the source; -1: this service does not read that log any more. */
static int source_of_log(const struct sender *sender, const char *log)
{
    const struct source *source = sender->instance->service->sources;
    for (int i = 0; source && source[i].log; i++)
        if (strcmp(source[i].log, log) == 0)
            return i;
    return -1;
}

static int ask_leader(struct sender *sender, int i, int64_t now_ms)
{
    struct redrive *redrive = &sender->redrive;
    char subject[BUS_SUBJECT_MAX + 1], body[64];
    snprintf(subject, sizeof(subject), "%s.events", sender->instance->service->sources[i].prefix);
    int length = snprintf(body, sizeof(body), "{\"after_position\":%" PRId64 ",\"limit\":1}",
                          redrive->position - 1);
    redrive->deadline_ms = now_ms + LEADER_TIMEOUT_MS;
    return trace(sender_ask(sender, "p", 'e', 0, ++redrive->id, subject, body, (size_t)length));
}

static void go_on(struct sender *sender, int64_t now_ms)
{
    struct redrive *redrive = &sender->redrive;
    const struct parked_filter filter = filter_of(redrive);
    for (;;) {
        int r = parked_find_next(sender->db, &filter, redrive->log, redrive->position,
                                 &redrive->item->arena, &redrive->log, &redrive->position);
        if (r < 0) {
            give_up(sender, REFUSED_INTERNAL, failure_text());
            return;
        }
        if (r == NOT_FOUND) {
            finish(sender);
            return;
        }
        int i = source_of_log(sender, redrive->log);
        if (i < 0)
            continue;
        if (ask_leader(sender, i, now_ms) < 0)
            give_up(sender, REFUSED_BUSY, "the leader cannot be asked");
        return;
    }
}

/* What is redriven would be in the tables that serve and not in those that are folded anew, whose
 * fold has passed it. */
void redrive_part_request(struct sender *sender, struct item *item, int64_t now_ms)
{
    struct redrive *redrive = &sender->redrive;
    struct rebuilder *rebuilder = &sender->instance->rebuilder;
    if (redrive->item || rebuilder_is_active(rebuilder)) {
        refuse(sender, item, REFUSED_BUSY,
               redrive->item ? "a redrive is under way" : "a rebuild is under way");
        return;
    }
    if (item->kind == ITEM_REBUILD) {
        rebuilder_begin(rebuilder, item);
        return;
    }
    *redrive = (struct redrive){ .item = item, .id = redrive->id, .log = "" };
    go_on(sender, now_ms);
}

void redrive_part_answer(struct sender *sender, int64_t id, struct bus_message *message,
                         int64_t now_ms)
{
    _deinit_(arena) struct arena arena = { 0 };
    struct redrive *redrive = &sender->redrive;
    if (!redrive->item || id != redrive->id || redrive->deadline_ms == INT64_MAX)
        return; /* too late: the requester has been told */
    if (bus_message_status(message)) {
        give_up(sender, REFUSED_BUSY, "the leader is away");
        return;
    }
    const struct runtime_events_reply *page = sender_read_page(message, &arena);
    if (!page) {
        give_up(sender, REFUSED_BUSY, "the leader refuses to give its events");
        return;
    }
    if (page->events_count == 0 || page->events[0].position != redrive->position) {
        log_error("redrive_failed", LOG_TEXT("log", redrive->log),
                  LOG_INT("position", redrive->position),
                  LOG_TEXT("reason", "its leader does not have it any more"));
        go_on(sender, now_ms);
        return;
    }
    struct item *item = sender_item_of_row(sender, source_of_log(sender, redrive->log),
                                           &page->events[0]);
    if (!item) {
        give_up(sender, REFUSED_INTERNAL, "an event of the leader cannot be read");
        return;
    }
    item->redriven = 1;
    redrive->deadline_ms = INT64_MAX;
    inbox_push(&sender->instance->inbox, item);
}

void redrive_part_settled(struct sender *sender, const struct batch *batch, int64_t now_ms)
{
    struct redrive *redrive = &sender->redrive;
    for (const struct item *item = batch->items; item; item = item->next) {
        if (item->kind != ITEM_EVENT || !item->redriven)
            continue;
        if (item->outcome == OUTCOME_DONE && !batch->aborted) {
            redrive->redriven++;
            atomic_fetch_add(&sender->instance->status.redriven, 1);
        }
        if (batch->aborted)
            give_up(sender, REFUSED_BUSY, "the service cannot write at the moment");
        else
            go_on(sender, now_ms);
        return; /* one at a time */
    }
}

void redrive_part_look_at_clock(struct sender *sender, int64_t now_ms)
{
    if (sender->redrive.item && now_ms >= sender->redrive.deadline_ms)
        give_up(sender, REFUSED_BUSY, "the leader does not answer");
}

void redrive_part_stop(struct sender *sender)
{
    if (sender->redrive.item)
        give_up(sender, REFUSED_BUSY, "the service is stopping");
}
