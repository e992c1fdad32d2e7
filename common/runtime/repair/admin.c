/* Admin: see admin.h. */
#include "runtime/repair/admin.h"
#include "base/clock.h"
#include "base/smaller.h"
#include "schemas/runtime.events.h"
#include "schemas/runtime.events.reply.h"
#include "schemas/runtime.parked.h"
#include "schemas/runtime.parked.reply.h"
#include "store/parked.h"
#include <assert.h>
#include <stdio.h>
#include <string.h>

#define EVENTS_LIMIT 100
/* about so much of text; the reader of the log need not keep more in memory at a time */
#define EVENTS_BYTES_MAX ((size_t)200 * 1024)
#define PARKED_LIMIT 50

static const char *keep(struct journey *j, const char *text)
{
    return text ? arena_copy(j->arena, text, strlen(text)) : NULL;
}

static int copy_event(struct journey *j, const struct event *event,
                      struct runtime_events_reply_events_item *row)
{
    char *chain = arena_alloc(j->arena, DIGEST_HEX_SIZE);
    *row = (struct runtime_events_reply_events_item){
        .position = event->position,
        .chain = chain,
        .id = keep(j, event->id),
        .type = keep(j, event->type),
        .entity = keep(j, event->entity),
        .time_ms = event->time_ms,
        .correlation = keep(j, event->correlation),
        .causation = keep(j, event->causation),
        .cause = keep(j, event->cause),
        .cause_digest = keep(j, event->cause_digest),
        .traceparent = keep(j, event->traceparent),
        .data = keep(j, event->data),
    };
    if (!chain || !row->id || !row->type || !row->entity || !row->data)
        return fail(ERR_MEMORY, "no memory for a range of events");
    digest_format(&event->chain, chain);
    return 0;
}

static size_t text_bytes(const char *text)
{
    return text ? strlen(text) : 0;
}

static size_t event_bytes(const struct event *event)
{
    return event->data_length + text_bytes(event->entity) + text_bytes(event->correlation) +
           text_bytes(event->causation) + text_bytes(event->cause) + text_bytes(event->traceparent);
}

static int read_events(struct journey *j, const void *body, void *ret_reply)
{
    const struct runtime_events *request = body;
    struct runtime_events_reply *reply = ret_reply;
    int64_t limit = journey_page_limit(j, request->has_limit ? request->limit : EVENTS_LIMIT);
    assert(limit > 0); /* its schema says so */
    struct runtime_events_reply_events_item *rows = arena_alloc(j->arena,
                                                                (size_t)limit * sizeof(*rows));
    _deinit_(event_reader) struct event_reader reader = { 0 };
    struct log_head head;
    struct event event;
    size_t count = 0, bytes = 0;
    int r = rows ? event_log_head(j->db, &head)
                 : fail(ERR_MEMORY, "no memory for a range of events");
    if (r == 0)
        r = event_reader_open(&reader, j->db, j->service->log, request->after_position, limit);
    while (r == 0 && bytes < EVENTS_BYTES_MAX && event_reader_has_next(&reader, &event)) {
        bytes += event_bytes(&event);
        r = copy_event(j, &event, &rows[count++]);
    }
    if (r == 0)
        r = event_reader_status(&reader);
    if (r < 0)
        return trace(r);
    reply->events = rows;
    reply->events_count = count;
    reply->last_position = head.position;
    reply->has_in_stream = 1;
    reply->in_stream = smaller(j->in_stream, head.position);
    return 0;
}

static int read_parked(struct journey *j, const void *body, void *ret_reply)
{
    const struct runtime_parked *request = body;
    struct runtime_parked_reply *reply = ret_reply;
    int limit = (int)journey_page_limit(j, request->has_limit ? request->limit : PARKED_LIMIT);
    int count = 0;
    assert(limit > 0); /* its schema says so */
    struct parked *found = arena_alloc(j->arena, (size_t)limit * sizeof(*found));
    struct runtime_parked_reply_parked_item *rows = arena_alloc(j->arena,
                                                                (size_t)limit * sizeof(*rows));
    if (!found || !rows)
        return fail(ERR_MEMORY, "no memory for the list of parked events");
    int r = parked_list(j->db, request->after_log ? request->after_log : "",
                        request->has_after_position ? request->after_position : 0, j->arena, found,
                        limit, &count);
    if (r < 0)
        return trace(r);
    for (int i = 0; i < count; i++) {
        char *since = arena_alloc(j->arena, RFC3339_SIZE);
        if (!since)
            return fail(ERR_MEMORY, "no memory for the list of parked events");
        rfc3339_format(found[i].since_ms, since);
        rows[i] = (struct runtime_parked_reply_parked_item){
            .log = found[i].log,
            .position = found[i].position,
            .type = found[i].type,
            .entity = found[i].entity,
            .error = found[i].error,
            .since = since,
        };
    }
    reply->parked = rows;
    reply->parked_count = (size_t)count;
    return 0;
}

void admin_init(struct admin *admin, const struct service *service)
{
    *admin = (struct admin){ 0 };
    snprintf(admin->subjects[0], sizeof(admin->subjects[0]), "%s.events", service->prefix);
    snprintf(admin->subjects[1], sizeof(admin->subjects[1]), "%s.parked", service->prefix);
    admin->queries[0] = (struct query_type){
        .subject = admin->subjects[0],
        .request = &runtime_events_schema,
        .reply = &runtime_events_reply_schema,
        .ask = read_events,
    };
    admin->queries[1] = (struct query_type){
        .subject = admin->subjects[1],
        .request = &runtime_parked_schema,
        .reply = &runtime_parked_reply_schema,
        .ask = read_parked,
    };
}
