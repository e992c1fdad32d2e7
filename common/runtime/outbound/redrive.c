/* Redrive: see redrive.h. */
#include "runtime/outbound/redrive.h"
#include "base/log.h"
#include "runtime/request/reply.h"
#include "runtime/sync/event_item.h"
#include "schemas/runtime.redrive.h"
#include "schemas/runtime.redrive.reply.h"
#include "store/parked.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define LEADER_TIMEOUT_MS 4000

void redrive_init(struct redrive *redrive, struct outbound *outbound)
{
    *redrive = (struct redrive){ .outbound = outbound };
}

_Bool redrive_is_active(const struct redrive *redrive)
{
    return redrive->item != NULL;
}

int64_t redrive_due_ms(const struct redrive *redrive)
{
    if (!redrive->item)
        return INT64_MAX;
    return redrive->looks_on ? 0 : redrive->deadline_ms;
}

static struct parked_filter filter_of(const struct redrive *redrive)
{
    const struct runtime_redrive *request = redrive->item->request;
    return (struct parked_filter){ .log = request->log, .entity = request->entity };
}

static void send_reply(struct redrive *redrive)
{
    struct item *item = take(redrive->item);
    reply_send(redrive->outbound->bus, BUS_URGENT, item);
    item_free(item);
}

static void give_up(struct redrive *redrive, enum refusal refusal, const char *why)
{
    char message[160];
    assert(redrive->item);
    snprintf(message, sizeof(message), "%s; redriven before that: %" PRId64, why,
             redrive->redriven);
    log_warn("redrive", LOG_INT("redriven", redrive->redriven), LOG_TEXT("reason", why));
    redrive->item->outcome = OUTCOME_REFUSED;
    redrive->item->refusal = refusal_of(refusal);
    redrive->item->message = message;
    send_reply(redrive);
}

/* Index of the source; -1: this service does not read that log any more. */
static int source_of_log(const struct redrive *redrive, const char *log)
{
    const struct source *source = redrive->outbound->service->sources;
    for (int i = 0; source && source[i].log; i++)
        if (strcmp(source[i].log, log) == 0)
            return i;
    return -1;
}

/* Kept numbers, but for those of one entity. */
static int count_parked(const struct redrive *redrive, int64_t *ret_count)
{
    const struct parked_filter filter = filter_of(redrive);
    const struct status *status = redrive->outbound->status;
    int i = filter.log ? source_of_log(redrive, filter.log) : -1;
    if (filter.entity || (filter.log && i < 0))
        return trace(parked_count_of(redrive->outbound->db, &filter, ret_count));
    *ret_count = atomic_load(filter.log ? &status->sources[i].parked : &status->parked);
    return 0;
}

static void finish(struct redrive *redrive)
{
    struct runtime_redrive_reply reply = { .redriven = redrive->redriven };
    int r = count_parked(redrive, &reply.still_parked);
    if (r == 0)
        r = schema_encode(&runtime_redrive_reply_schema, &reply, &redrive->item->body);
    if (r < 0) {
        give_up(redrive, REFUSED_INTERNAL, failure_text());
        return;
    }
    log_info("redrive", LOG_INT("redriven", reply.redriven),
             LOG_INT("still_parked", reply.still_parked));
    redrive->item->outcome = OUTCOME_DONE;
    outbound_answer(redrive->outbound, take(redrive->item));
}

static int ask_leader(struct redrive *redrive, int i, int64_t now_ms)
{
    char subject[BUS_SUBJECT_MAX + 1], body[64];
    assert(i >= 0 && i < SOURCES_MAX && redrive->position > 0);
    snprintf(subject, sizeof(subject), "%s.events", redrive->outbound->service->sources[i].prefix);
    int length = snprintf(body, sizeof(body), "{\"after_position\":%" PRId64 ",\"limit\":1}",
                          redrive->position - 1);
    redrive->deadline_ms = now_ms + LEADER_TIMEOUT_MS;
    const struct reply_tag tag = { .part = PART_REDRIVE,
                                   .step = 'e',
                                   .n = ++redrive->request_number };
    return trace(outbound_request(redrive->outbound, &tag, subject, body, (size_t)length));
}

static void go_on(struct redrive *redrive, int64_t now_ms)
{
    const struct parked_filter filter = filter_of(redrive);
    for (;;) {
        int r = parked_find_next(redrive->outbound->db, &filter, redrive->log, redrive->position,
                                 &redrive->item->arena, &redrive->log, &redrive->position);
        if (r < 0) {
            give_up(redrive, REFUSED_INTERNAL, failure_text());
            return;
        }
        if (r == NOT_FOUND) {
            finish(redrive);
            return;
        }
        if (r == PARKED_GOES_ON) {
            redrive->looks_on = 1;
            return;
        }
        int i = source_of_log(redrive, redrive->log);
        if (i < 0)
            continue;
        if (ask_leader(redrive, i, now_ms) < 0)
            give_up(redrive, REFUSED_BUSY, "the leader cannot be asked");
        return;
    }
}

void redrive_begin(struct redrive *redrive, struct item *item, int64_t now_ms)
{
    owner_assert(&redrive->outbound->owner);
    assert(!redrive->item && item->kind == ITEM_REDRIVE);
    redrive->item = item;
    redrive->log = "";
    redrive->position = 0;
    redrive->redriven = 0;
    redrive->looks_on = 0;
    go_on(redrive, now_ms);
}

void redrive_reply(struct redrive *redrive, const struct reply_tag *tag,
                   struct bus_message *message, int64_t now_ms)
{
    _deinit_(arena) struct arena arena = { 0 };
    owner_assert(&redrive->outbound->owner);
    if (!redrive->item || redrive->looks_on || tag->n != redrive->request_number ||
        redrive->deadline_ms == INT64_MAX)
        return; /* too late: the requester has been told */
    if (bus_message_status(message)) {
        give_up(redrive, REFUSED_BUSY, "the leader is away");
        return;
    }
    const struct runtime_events_reply *page = event_page_read(bus_message_data(message),
                                                              bus_message_length(message), &arena);
    if (!page) {
        give_up(redrive, REFUSED_BUSY,
                reply_is_too_large(message)
                    ? "the leader's event is larger than a message of its server (max_payload)"
                    : "the leader refuses to give its events");
        return;
    }
    if (page->events_count == 0 || page->events[0].position != redrive->position) {
        log_error("redrive_failed", LOG_TEXT("log", redrive->log),
                  LOG_INT("position", redrive->position),
                  LOG_TEXT("reason", "its leader does not have it any more"));
        go_on(redrive, now_ms);
        return;
    }
    int i = source_of_log(redrive, redrive->log);
    struct item *item = event_item_of_row(&page->events[0], &redrive->outbound->service->sources[i],
                                          i);
    if (!item) {
        give_up(redrive, REFUSED_INTERNAL, "an event of the leader cannot be read");
        return;
    }
    item->redriven = 1;
    redrive->deadline_ms = INT64_MAX;
    inbox_push(redrive->outbound->inbox, item);
}

void redrive_settled(struct redrive *redrive, const struct batch *batch, int64_t now_ms)
{
    owner_assert(&redrive->outbound->owner);
    for (const struct item *item = batch->items; item; item = item->next) {
        if (item->kind != ITEM_EVENT || !item->redriven)
            continue;
        assert(redrive->item && redrive->deadline_ms == INT64_MAX); /* it was in the loop */
        if (item->outcome == OUTCOME_DONE && !batch->aborted) {
            redrive->redriven++;
            atomic_fetch_add(&redrive->outbound->status->redriven, 1);
        }
        if (batch->aborted)
            give_up(redrive, REFUSED_BUSY, "the service cannot write at the moment");
        else
            go_on(redrive, now_ms);
        return; /* one at a time */
    }
}

void redrive_look_at_clock(struct redrive *redrive, int64_t now_ms)
{
    if (redrive->item && redrive->looks_on) {
        redrive->looks_on = 0;
        go_on(redrive, now_ms);
    } else if (redrive->item && now_ms >= redrive->deadline_ms) {
        give_up(redrive, REFUSED_BUSY, "the leader does not answer");
    }
}

void redrive_deinit(struct redrive *redrive)
{
    item_free(redrive->item);
    redrive->item = NULL;
}

void redrive_stop(struct redrive *redrive)
{
    if (redrive->item)
        give_up(redrive, REFUSED_BUSY, "the service is stopping");
}
