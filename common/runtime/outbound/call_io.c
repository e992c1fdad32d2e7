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

/* message: borrowed; NULL: nothing came */
static void push_answer(struct call_io *calls, const struct call_type *type, const char *tag,
                        const struct answer *given, struct bus_message *message)
{
    struct item *item = item_new(ITEM_ANSWER);
    void *body = NULL;
    struct invalid invalid = { 0 };
    if (!item)
        return; /* as if nothing had come: the process asks again */
    item->answer = *given;
    item->answer.tag = arena_copy(&item->arena, tag, strlen(tag));
    if (message &&
        schema_decode_answer(type->reply, bus_message_data(message), bus_message_length(message),
                             &item->arena, &body, &invalid) != 0) {
        item->answer.outcome = ANSWER_INVALID;
        log_warn("call_answer_invalid", LOG_TEXT("subject", type->subject), LOG_TEXT("tag", tag),
                 LOG_TEXT("field", invalid.field), LOG_TEXT("reason", invalid.message));
    }
    item->answer.body = body;
    if (!item->answer.tag) {
        item_free(item);
        return;
    }
    inbox_push(calls->outbound->inbox, item);
}

static void push_outcome(struct call_io *calls, const struct outbound_call *call,
                         enum answer_outcome outcome, struct bus_message *message)
{
    const struct answer answer = { .outcome = outcome, .number = call->number, .work = call->work };
    push_answer(calls, call->type, call->tag, &answer, message);
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

/* False: the answer counts in time only. */
static _Bool name_piece(const struct call_io *calls, int64_t id, const struct outbound_call *call,
                        reply_subject ret_reply)
{
    struct call_tag tag = { .id = id,
                            .call = call->type - calls->outbound->service->calls,
                            .number = call->number };
    if (!call->work || strlen(call->work) >= sizeof(tag.work))
        return 0;
    memcpy(tag.work, call->work, strlen(call->work) + 1);
    memcpy(tag.key, call->tag, strlen(call->tag) + 1);
    return reply_subject_of_call(ret_reply, calls->outbound->replies, &tag);
}

static int send_call(struct call_io *calls, int64_t id, const struct outbound_call *call)
{
    const struct reply_tag tag = { .part = PART_CALLS, .step = 'p', .n = id };
    reply_subject reply;
    if (!name_piece(calls, id, call, reply))
        reply_subject_of_request(reply, calls->outbound->replies, &tag);
    return trace(outbound_request_to(calls->outbound, reply, call->subject, call->body.data,
                                     call->body.length));
}

void call_io_make(struct call_io *calls, struct outbound_call **list, int64_t now_ms)
{
    owner_assert(&calls->outbound->owner);
    while (*list) {
        struct outbound_call *call = *list;
        assert(call->subject && !call->local); /* a built-in one waits in the loop */
        *list = call->next;
        call->next = NULL;
        /* lint: malloc-leak because keep_open() puts it into the list, by a pointer to one */
        struct open_call *open = calloc(1, sizeof(*open));
        int64_t id = ++calls->newest_id;
        if (!open || send_call(calls, id, call) < 0) {
            push_outcome(calls, call, ANSWER_UNREACHABLE, NULL);
            outbound_call_free(call);
            free(open);
            continue;
        }
        *open =
            (struct open_call){ .id = id, .deadline_ms = now_ms + call->timeout_ms, .call = call };
        keep_open(calls, open);
    }
}

/* Not as one that nobody listens to, which would say something of the other side. */
void call_io_give_up(struct call_io *calls, struct outbound_call *call)
{
    push_outcome(calls, call, ANSWER_TIMEOUT, NULL);
    outbound_call_free(call);
}

static void close_call(struct call_io *calls, struct open_call **place, enum answer_outcome outcome,
                       struct bus_message *message)
{
    struct open_call *open = *place;
    assert(open->call && open->id > 0);
    *place = open->next;
    push_outcome(calls, open->call, outcome, message);
    outbound_call_free(open->call);
    free(open);
}

/* False: the call is not open any more. */
static _Bool close_answered(struct call_io *calls, int64_t id, struct bus_message *message)
{
    struct open_call **place = &calls->open;
    owner_assert(&calls->outbound->owner);
    while (*place && (*place)->id != id)
        place = &(*place)->next;
    if (!*place)
        return 0;
    if (bus_message_status(message))
        close_call(calls, place, ANSWER_UNREACHABLE, NULL);
    else
        close_call(calls, place, ANSWER_RECEIVED, message);
    return 1;
}

void call_io_reply(struct call_io *calls, int64_t id, struct bus_message *message)
{
    close_answered(calls, id, message); /* or it came twice, or the time-out has been told */
}

static const char *work_name(const struct service *service, const char *name)
{
    for (int i = 0; service->work && service->work[i]; i++)
        if (strcmp(service->work[i]->name, name) == 0)
            return service->work[i]->name;
    return NULL;
}

static const struct call_type *call_type_at(const struct service *service, int64_t index)
{
    for (int64_t i = 0; service->calls && service->calls[i].subject; i++)
        if (i == index)
            return &service->calls[i];
    return NULL;
}

void call_io_answer(struct call_io *calls, const struct call_tag *tag, struct bus_message *message)
{
    const struct service *service = calls->outbound->service;
    if (close_answered(calls, tag->id, message) || bus_message_status(message))
        return;
    const struct call_type *type = call_type_at(service, tag->call);
    const struct answer answer = { .outcome = ANSWER_RECEIVED,
                                   .number = tag->number,
                                   .work = work_name(service, tag->work),
                                   .is_late = 1 };
    if (!type || !answer.work || tag->id > calls->newest_id)
        return; /* we have not asked for this */
    if (inbox_length(calls->outbound->inbox) >= LATE_MAX) {
        if (calls->late_dropped++ == 0)
            log_warn("late_answer_dropped", LOG_TEXT("work", answer.work),
                     LOG_TEXT("key", tag->key));
        return;
    }
    push_answer(calls, type, tag->key, &answer, message);
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
