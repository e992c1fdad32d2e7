/* Append: see append.h. */
#include "runtime/writer/append.h"
#include "runtime/writer/event_size.h"
#include "runtime/core/runtime_events.h"
#include "runtime/writer/loop.h"
#include "schemas/evt.runtime.TermBegan.h"
#include "schemas/evt.runtime.TermEnded.h"
#include "store/migrate.h"
#include "store/terms.h"
#include <assert.h>
#include <inttypes.h>

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

static int encode(struct journey *j, struct emission *emission)
{
    if (emission->data)
        return 0;
    _deinit_(buf) struct buf data = { 0 };
    int r = schema_encode(emission->type->schema, emission->value, &data);
    if (r < 0)
        return trace(r);
    emission->data = arena_copy(j->arena, data.data, data.length);
    emission->data_length = data.length;
    return emission->data ? 0 : fail(ERR_MEMORY, "no memory for an event");
}

int append_check(struct loop *loop, struct journey *j)
{
    const int64_t bytes_max = loop->message_bytes_max;
    for (struct emission *e = j->emissions; e && bytes_max > 0; e = e->next) {
        int r = encode(j, e);
        if (r < 0)
            return trace(r);
        const struct event event = {
            .type = e->type->name,
            .entity = e->entity,
            .correlation = e->origin.correlation,
            .causation = e->origin.causation,
            .cause = e->origin.cause,
            .cause_digest = e->origin.cause_digest,
            .traceparent = e->origin.traceparent,
            .data = e->data,
            .data_length = e->data_length,
        };
        int64_t bytes = event_size(&event, loop->service, bytes_max);
        if (bytes > bytes_max)
            return journey_refuse(j, REFUSED_TOO_LARGE,
                                  "its event %s needs a message of %" PRId64
                                  " bytes, and the server takes %" PRId64 " (max_payload)",
                                  e->type->name, bytes, bytes_max);
    }
    return 0;
}

int append_note_size(struct loop *loop, const struct event *event)
{
    int64_t bytes = event_size(event, loop->service, loop->at.largest_event);
    if (bytes <= loop->at.largest_event)
        return 0;
    loop->at.largest_event = bytes;
    return trace(meta_write(loop->db, META_LARGEST_EVENT, bytes));
}

static int fill_event(struct loop *loop, struct journey *j, struct emission *emission,
                      struct event *event)
{
    assert(emission->type && emission->entity && emission->value);
    char *id = arena_alloc(j->arena, UUID_SIZE);
    if (!id)
        return fail(ERR_MEMORY, "no memory for an event");
    uuid_make(&loop->ids, j->now_ms, id);
    int r = encode(j, emission);
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
        .data = emission->data,
        .data_length = emission->data_length,
        .value = emission->value,
    };
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
    assert(loop->at.own_term > 0 || !loop->wants_term);    /* L6 */
    if (!committed)
        return fail(ERR_MEMORY, "no memory for an event");
    int r = event_log_append(loop->db, event);
    if (r == 0)
        r = append_note_size(loop, event);
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
    const int64_t largest = loop->at.largest_event;
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
        loop->at.largest_event = largest;
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

/* An event of the runtime about our own term. */
static int append_own(struct loop *loop, struct item *item, const char *name, const void *value,
                      int64_t wall_ms, struct batch *batch)
{
    struct emission *emission = arena_alloc(&item->arena, sizeof(*emission));
    struct journey j;
    assert(item->instance);
    if (!emission)
        return fail(ERR_MEMORY, "no memory for an event");
    *emission = (struct emission){ .type = event_type_of_name(runtime_events, name),
                                   .entity = item->instance,
                                   .value = value };
    journey_init(&j, MODE_DECIDE, loop->service, loop->option_values, loop->db, &item->arena,
                 &loop->ids, wall_ms);
    j.emissions = emission;
    int r = append_emissions(loop, &j, batch, NULL);
    journey_deinit(&j);
    return trace(r);
}

int append_term(struct loop *loop, struct item *item, int64_t wall_ms, struct batch *batch,
                int64_t *ret_term)
{
    const int64_t before = loop->at.term, own_before = loop->at.own_term,
                  seen = item->term > before ? item->term : before;
    struct term_began *value = arena_alloc(&item->arena, sizeof(*value));
    assert(own_before == 0);
    if (!value)
        return fail(ERR_MEMORY, "no memory for an event");
    *value = (struct term_began){ .term = seen + 1,
                                  .instance = item->instance,
                                  .head_before = loop->at.head.position };
    loop->at.own_term = loop->at.term = seen + 1;
    int r = append_own(loop, item, EVENT_TERM_BEGAN, value, wall_ms, batch);
    if (r < 0) {
        loop->at.term = before;
        loop->at.own_term = own_before;
        return trace(r);
    }
    *ret_term = seen + 1;
    return 0;
}

int append_term_end(struct loop *loop, struct item *item, int64_t wall_ms, struct batch *batch)
{
    struct term_ended *value = arena_alloc(&item->arena, sizeof(*value));
    assert(loop->at.own_term > 0 && !loop->at.fenced);
    if (!value)
        return fail(ERR_MEMORY, "no memory for an event");
    *value = (struct term_ended){ .term = loop->at.own_term,
                                  .instance = item->instance,
                                  .successor = item->successor };
    int r = append_own(loop, item, EVENT_TERM_ENDED, value, wall_ms, batch);
    if (r < 0)
        return trace(r);
    loop->at.fenced = 1;
    return 0;
}
