/* Append: see append.h. */
#include "runtime/writer/append.h"
#include "runtime/writer/loop.h"
#include <assert.h>

/* ---- Isolation ------------------------------------------------------------------------------ */

_Bool failure_is_of_item(int r)
{
    return r == -ERR_CONSTRAINT || r == -ERR_INVALID || r == -ERR_INTERNAL;
}

_Bool isolation_contains(const struct loop *loop, int r)
{
    return loop->isolates && failure_is_of_item(r);
}

int isolation_begin(struct loop *loop)
{
    return loop->isolates ? trace(db_savepoint(loop->db)) : 0;
}

int isolation_end(struct loop *loop, int r)
{
    if (r == 0 && loop->isolates)
        return trace(db_release(loop->db));
    if (isolation_contains(loop, r))
        db_rollback_to_savepoint(loop->db);
    return r;
}

/* ---- Appending ------------------------------------------------------------------------------ */

static int fill_event(struct loop *loop, struct journey *j, const struct emission *emission,
                      struct event *event)
{
    assert(emission->type && emission->entity && emission->value);
    char *id = arena_alloc(j->arena, UUID_SIZE);
    if (!id)
        return fail(ERR_MEMORY, "no memory for an event");
    uuid_make(&loop->ids, j->now_ms, id);
    _deinit_(buf) struct buf data = { 0 };
    int r = schema_encode(emission->type->schema, emission->value, &data);
    if (r < 0)
        return trace(r);
    const struct origin *origin = &emission->origin;
    *event = (struct event){
        .log = loop->service->log,
        .position = loop->at.head.position + 1,
        .id = id,
        .type = emission->type->name,
        .entity = emission->entity,
        .time_ms = j->now_ms,
        .correlation = origin->correlation ? origin->correlation : id,
        .causation = origin->causation,
        .cause = origin->cause,
        .cause_digest = origin->cause_digest,
        .traceparent = origin->traceparent,
        .data = arena_copy(j->arena, data.data, data.length),
        .data_length = data.length,
        .value = emission->value,
    };
    if (!event->data)
        return fail(ERR_MEMORY, "no memory for an event");
    struct digest digest;
    r = event_digest(event, &digest);
    if (r == 0)
        r = event_chain(&loop->at.head.chain, &digest, &event->chain);
    return trace(r);
}

/* One event into the log and the tables (rules 1 and 2). */
static int append(struct loop *loop, struct batch *batch, const struct event_type *type,
                  struct event *event, struct arena *arena)
{
    struct committed_event *committed = arena_alloc(arena, sizeof(*committed));
    assert(event->position == loop->at.head.position + 1); /* rule 1: without a gap */
    if (!committed)
        return fail(ERR_MEMORY, "no memory for an event");
    int r = event_log_append(loop->db, event);
    if (r == 0)
        r = type->apply(loop->db, event);
    if (r < 0)
        return trace(r);
    loop->at.head = (struct log_head){ .position = event->position, .chain = event->chain };
    committed->event = *event;
    committed->next = NULL;
    *batch->last_event = committed;
    batch->last_event = &committed->next;
    batch->own_event_count++;
    return 0;
}

int append_emissions(struct loop *loop, struct journey *j, struct batch *batch,
                     const struct event **ret_first)
{
    const struct log_head head = loop->at.head;
    struct committed_event **last_event = batch->last_event;
    const int count = batch->own_event_count;
    const struct event *first = NULL;

    assert(j->mode == MODE_DECIDE && !*batch->last_event);
    int r = isolation_begin(loop);
    for (struct emission *e = j->emissions; e && r == 0; e = e->next) {
        struct event *event = arena_alloc(j->arena, sizeof(*event));
        r = event ? fill_event(loop, j, e, event) : fail(ERR_MEMORY, "no memory for an event");
        if (r == 0)
            r = append(loop, batch, e->type, event, j->arena);
        if (!first)
            first = event;
    }
    r = isolation_end(loop, r);
    if (r < 0) {
        loop->at.head = head;
        *last_event = NULL;
        batch->last_event = last_event;
        batch->own_event_count = count;
        return trace(r);
    }
    assert(loop->at.head.position - head.position == batch->own_event_count - count);
    if (ret_first)
        *ret_first = first;
    return 0;
}
