/* Fold: see fold.h. */
#include "runtime/fold.h"
#include "runtime/context.h"
#include <inttypes.h>
#include <string.h>

int fold_event(const struct service *service, const struct source *source, struct db *db, struct event *event)
{
    _deinit_(arena) struct arena arena;
    arena_init(&arena);
    const struct event_type *type = event_type_of_name(source ? source->events : service->events, event->type);
    struct invalid invalid;
    void *value = NULL;
    if (!type && source)
        return 0;
    int r = type ? schema_decode(type->schema, event->data, event->data_length, &arena, &value, &invalid) : 1;
    if (r < 0)
        return trace(r);
    if (r > 0)
        return fail(ERR_INVALID, "the event %s at position %" PRId64 " of %s cannot be read", event->type, event->position, event->log);
    event->value = value;
    return trace(type->apply(db, event));
}

int fold_own_log(const struct service *service, struct db *log, struct db *tables, int64_t *position, int64_t limit)
{
    _deinit_(event_reader) struct event_reader reader = { 0 };
    struct event event;
    int64_t reached = *position;
    int r = event_reader_open(&reader, log, service->log, reached, limit);
    while (r >= 0 && (r = event_reader_next(&reader, &event)) > 0) {
        r = fold_event(service, NULL, tables, &event);
        reached = event.position;
    }
    if (r < 0)
        return trace(r);
    _Bool more = reached - *position == limit;
    *position = reached;
    return more;
}

int fold_read_row(const struct runtime_events_reply_events_item *row, const char *log, struct event *ret_event)
{
    struct event event = {
        .log = log, .position = row->position, .id = row->id, .type = row->type, .entity = row->entity,
        .time_ms = row->time_ms, .correlation = row->correlation, .causation = row->causation, .cause = row->cause,
        .cause_digest = row->cause_digest, .traceparent = row->traceparent, .data = row->data, .data_length = strlen(row->data),
    };
    int r = digest_parse(row->chain, &event.chain);
    if (r < 0)
        return trace(r);
    *ret_event = event;
    return 0;
}
