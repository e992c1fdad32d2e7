/* Sender, calls to the outside: sends them after the commit, and turns what comes back, or does
 * not, into an item for the loop. */
#include "runtime/outbound/sender_parts.h"
#include "base/log.h"
#include <string.h>

static void answer(struct sender *sender, struct outbound_call *call, enum answer_outcome outcome,
                   struct bus_message *message)
{
    struct item *item = item_new(ITEM_ANSWER);
    void *body = NULL;
    struct invalid invalid;
    if (!item)
        return; /* as if nothing had come: the process asks again */
    item->answer = (struct answer){
        .outcome = outcome,
        .number = call->number,
        .work = call->work,
    };
    item->answer.tag = arena_copy(&item->arena, call->tag, strlen(call->tag));
    if (message && schema_decode(call->reply_schema, bus_message_data(message),
                                 bus_message_length(message), &item->arena, &body, &invalid) != 0) {
        item->answer.outcome = ANSWER_INVALID;
        log_warn("call_answer_invalid", LOG_TEXT("subject", call->subject),
                 LOG_TEXT("tag", call->tag));
    }
    item->answer.body = body;
    if (!item->answer.tag) {
        item_free(item);
        return;
    }
    inbox_push(&sender->instance->inbox, item);
}

static void keep_open(struct sender *sender, struct open_call *open)
{
    struct open_call **place = &sender->calls;
    while (*place && (*place)->deadline_ms <= open->deadline_ms)
        place = &(*place)->next;
    open->next = *place;
    *place = open;
}

void call_part_make(struct sender *sender, struct batch *batch, int64_t now_ms)
{
    while (batch->calls) {
        struct outbound_call *call = batch->calls;
        batch->calls = call->next;
        call->next = NULL;
        /* lint: malloc-leak because keep_open() puts it into the list, through a pointer to a
         * pointer */
        struct open_call *open = calloc(1, sizeof(*open));
        int64_t id = ++sender->call_id;
        if (!open || sender_ask(sender, "c", 'p', 0, id, call->subject, call->body.data,
                                call->body.length) < 0) {
            answer(sender, call, ANSWER_UNREACHABLE, NULL);
            outbound_call_free(call);
            free(open);
            continue;
        }
        *open =
            (struct open_call){ .id = id, .deadline_ms = now_ms + call->timeout_ms, .call = call };
        keep_open(sender, open);
    }
}

static void close_call(struct sender *sender, struct open_call **place, enum answer_outcome outcome,
                       struct bus_message *message)
{
    struct open_call *open = *place;
    *place = open->next;
    answer(sender, open->call, outcome, message);
    outbound_call_free(open->call);
    free(open);
}

void call_part_answer(struct sender *sender, int64_t id, struct bus_message *message)
{
    struct open_call **place = &sender->calls;
    while (*place && (*place)->id != id)
        place = &(*place)->next;
    if (!*place)
        return; /* answered twice, or too late: the time-out has been told */
    if (bus_message_status(message))
        close_call(sender, place, ANSWER_UNREACHABLE, NULL);
    else
        close_call(sender, place, ANSWER_RECEIVED, message);
}

void call_part_look_at_clock(struct sender *sender, int64_t now_ms)
{
    while (sender->calls && sender->calls->deadline_ms <= now_ms)
        close_call(sender, &sender->calls, ANSWER_TIMEOUT, NULL);
}
