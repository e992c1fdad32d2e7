/* Outbound: see outbound.h. */
#include "runtime/outbound/outbound.h"
#include "runtime/request/reply.h"
#include <stdio.h>

int outbound_request_to(struct outbound *outbound, const char *reply, const char *subject,
                        const void *body, size_t length)
{
    owner_assert(&outbound->owner);
    return trace(
        bus_publish(outbound->bus, BUS_URGENT,
                    &(struct bus_outgoing){
                        .subject = subject, .reply = reply, .data = body, .length = length }));
}

int outbound_request(struct outbound *outbound, const struct reply_tag *tag, const char *subject,
                     const void *body, size_t length)
{
    reply_subject reply;
    reply_subject_of_request(reply, outbound->replies, tag);
    return trace(outbound_request_to(outbound, reply, subject, body, length));
}

int outbound_request_api(struct outbound *outbound, const struct reply_tag *tag, int built,
                         const struct js_request *request)
{
    return built < 0 ? trace(built)
                     : trace(outbound_request(outbound, tag, request->subject, request->body.data,
                                              request->body.length));
}

void outbound_answer(struct outbound *outbound, struct item *item)
{
    if (outbound->status->answers_wait) {
        item->depends_on = atomic_load(&outbound->status->position);
        mailbox_push(&outbound->mailbox, (struct note){ .kind = NOTE_ANSWER, .request = item });
        return;
    }
    reply_send(outbound->bus, BUS_URGENT, item);
    item_free(item);
}

int outbound_subscribe(struct outbound *outbound, const char *suffix, bus_handler handler,
                       void *context, struct bus_subscription **ret_subscription)
{
    char subject[BUS_SUBJECT_MAX + 1];
    int length = snprintf(subject, sizeof(subject), "%s%s", outbound->replies, suffix);
    assert(length > 0 && length <= BUS_SUBJECT_MAX);
    (void)length; /* without assertions */
    return trace(bus_subscribe(outbound->bus, subject, NULL, handler, context, ret_subscription));
}
