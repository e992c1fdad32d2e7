/* Calls: see call_io.h. */
#include "runtime/outbound/call_io.h"
#include "base/log.h"
#include <string.h>

struct open_call {
    struct open_call *next;
    int64_t id, deadline_ms;
    struct outbound_call *call;
};

void call_io_init(struct call_io *calls, struct outbound *outbound)
{
    *calls = (struct call_io){ .outbound = outbound };
}

void call_io_deinit(struct call_io *calls)
{
    while (calls->open) {
        struct open_call *next = calls->open->next;
        outbound_call_free(calls->open->call);
        free(calls->open);
        calls->open = next;
    }
}

static void push_answer(struct call_io *calls, struct outbound_call *call,
                        enum answer_outcome outcome, struct bus_message *message)
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
    inbox_push(calls->outbound->inbox, item);
}

static void keep_open(struct call_io *calls, struct open_call *open)
{
    struct open_call **place = &calls->open;
    assert(open->id > 0 && open->deadline_ms > 0);
    while (*place && (*place)->deadline_ms <= open->deadline_ms)
        place = &(*place)->next;
    open->next = *place;
    *place = open;
}

static int send_call(struct call_io *calls, int64_t id, const struct outbound_call *call)
{
    const struct reply_tag tag = { .part = PART_CALLS, .step = 'p', .n = id };
    return trace(
        outbound_request(calls->outbound, &tag, call->subject, call->body.data, call->body.length));
}

void call_io_make(struct call_io *calls, struct batch *batch, int64_t now_ms)
{
    owner_assert(&calls->outbound->owner);
    while (batch->calls) {
        struct outbound_call *call = batch->calls;
        assert(call->subject && !call->local); /* a built-in one waits in the loop */
        batch->calls = call->next;
        call->next = NULL;
        /* lint: malloc-leak because keep_open() puts it into the list, by a pointer to one */
        struct open_call *open = calloc(1, sizeof(*open));
        int64_t id = ++calls->newest_id;
        if (!open || send_call(calls, id, call) < 0) {
            push_answer(calls, call, ANSWER_UNREACHABLE, NULL);
            outbound_call_free(call);
            free(open);
            continue;
        }
        *open =
            (struct open_call){ .id = id, .deadline_ms = now_ms + call->timeout_ms, .call = call };
        keep_open(calls, open);
    }
}

static void close_call(struct call_io *calls, struct open_call **place, enum answer_outcome outcome,
                       struct bus_message *message)
{
    struct open_call *open = *place;
    assert(open->call && open->id > 0);
    *place = open->next;
    push_answer(calls, open->call, outcome, message);
    outbound_call_free(open->call);
    free(open);
}

void call_io_reply(struct call_io *calls, int64_t id, struct bus_message *message)
{
    struct open_call **place = &calls->open;
    owner_assert(&calls->outbound->owner);
    while (*place && (*place)->id != id)
        place = &(*place)->next;
    if (!*place)
        return; /* answered twice, or too late: the time-out has been told */
    if (bus_message_status(message))
        close_call(calls, place, ANSWER_UNREACHABLE, NULL);
    else
        close_call(calls, place, ANSWER_RECEIVED, message);
}

void call_io_look_at_clock(struct call_io *calls, int64_t now_ms)
{
    while (calls->open && calls->open->deadline_ms <= now_ms)
        close_call(calls, &calls->open, ANSWER_TIMEOUT, NULL);
}

int64_t call_io_due_ms(const struct call_io *calls)
{
    return calls->open ? calls->open->deadline_ms : INT64_MAX;
}
