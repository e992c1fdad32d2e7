/* Run item: see run_item.h. The order inside a command is: has this key been answered before?
 * decide; append and apply; make the reply from the first event. */
#include "runtime/writer/run_item.h"
#include "base/guard.h"
#include "base/log.h"
#include "runtime/core/event_text.h"
#include "runtime/core/runtime_events.h"
#include "runtime/writer/append.h"
#include "runtime/writer/loop.h"
#include "runtime/writer/process.h"
#include "runtime/writer/set_aside.h"
#include "store/kept_streams.h"
#include "store/migrate.h"
#include "store/parked.h"
#include "store/refusals.h"
#include "store/terms.h"
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char *keep(struct arena *arena, const char *text)
{
    return arena_copy(arena, text, strlen(text));
}

/* ---- Commands ------------------------------------------------------------------------------- */

static int refuse(struct item *item, const struct refusal_type *refusal, const char *message)
{
    assert(refusal && message);
    item->outcome = OUTCOME_REFUSED;
    item->refusal = refusal;
    item->message = keep(&item->arena, message);
    return item->message ? 0 : fail(ERR_MEMORY, "no memory for a refusal");
}

static int answer_from(struct item *item, const struct event *event)
{
    assert(event->value);
    void *reply = arena_alloc(&item->arena, item->command->reply->size);
    if (!reply)
        return fail(ERR_MEMORY, "no memory for a reply");
    item->command->answer(event, reply);
    item->outcome = OUTCOME_DONE;
    return trace(schema_encode(item->command->reply, reply, &item->body));
}

/* The key was used before. With another body it is refused now, and it was not then. */
static int refuse_conflict(struct item *item)
{
    return trace(refuse(item, refusal_of(REFUSED_CONFLICT),
                        "this idempotency key was used for another request"));
}

/* 0: this key was refused before, and is again; NOT_FOUND: a new key; < 0. */
static int refuse_repeat(struct loop *loop, struct item *item)
{
    const char *digest, *message;
    int number;
    int r = refusals_find_by_key(loop->db, item->key, &item->arena, &digest, &number, &message);
    if (r != 0)
        return trace(r);
    const struct refusal_type *refusal = refusal_find(loop->service->refusals, number);
    if (strcmp(digest, item->origin.cause_digest) != 0)
        r = refuse_conflict(item);
    else if (refusal)
        r = refuse(item, refusal, message);
    else
        r = fail(ERR_INTERNAL, "this key was refused with %d, which this version does not have",
                 number);
    return trace(r);
}

/* 0: answered as the first time; NOT_FOUND: a new key; < 0. */
static int answer_repeat(struct loop *loop, struct item *item)
{
    _deinit_(event_reader) struct event_reader reader = { 0 };
    struct event found;
    int r = event_reader_find_cause(&reader, loop->db, loop->service->log, item->origin.cause,
                                    &found);
    if (r < 0)
        return trace(r);
    if (r == NOT_FOUND)
        return trace(refuse_repeat(loop, item));
    if (!found.cause_digest || strcmp(found.cause_digest, item->origin.cause_digest) != 0)
        return trace(refuse_conflict(item));
    const struct event_type *type = own_event_type_of_name(loop->service, found.type);
    void *value = NULL;
    struct invalid invalid;
    if (!type || schema_decode(type->schema, found.data, found.data_length, &item->arena, &value,
                               &invalid) != 0)
        return fail(ERR_INTERNAL, "our own event at position %" PRId64 " cannot be read",
                    found.position);
    found.value = value;
    return trace(answer_from(item, &found));
}

/* Each new refusal has two forgotten that are too old, so that forgetting keeps up with any rate;
 * the rest goes when the writer is idle. */
static int remember_refusal(struct loop *loop, const struct item *item, int refusal,
                            const char *message, int64_t wall_ms)
{
    int64_t count;
    int r = refusals_write(loop->db, item->key, item->origin.cause_digest, refusal, message,
                           wall_ms);
    if (r == 0 && loop->refusals_keep_ms > 0)
        r = refusals_forget(loop->db, wall_ms - loop->refusals_keep_ms, 2, &count);
    return trace(r);
}

/* Only the leader decides; a request may have been on its way when that changed. */
static _Bool decides(const struct loop *loop)
{
    return !loop->at.fenced && !loop->follows && (loop->at.own_term > 0 || !loop->wants_term);
}

static int run_command(struct loop *loop, struct item *item, int64_t wall_ms, struct batch *batch)
{
    int r;
    assert(item->command && item->request && !item->key == !item->origin.cause);
    if (!decides(loop))
        return trace(
            refuse(item, refusal_of(REFUSED_REPLAYING), "another instance leads; ask again"));
    if (item->key && GUARD(idempotency_key)) {
        r = answer_repeat(loop, item);
        if (r != NOT_FOUND)
            return trace(r);
    }
    struct journey j;
    journey_init(&j, MODE_DECIDE, loop->service, loop->option_values, loop->db, &item->arena,
                 &loop->ids, wall_ms);
    j.origin = item->origin;
    const struct event *first = NULL;
    r = item->command->decide(&j, item->request);
    if (r == 0)
        r = append_check(loop, &j);
    if (r == 0)
        r = append_emissions(loop, &j, batch, &first);
    if (r == 0)
        r = first ? answer_from(item, first)
                  : fail(ERR_INTERNAL, "%s decided nothing", item->command->subject);
    journey_deinit(&j);
    if (r <= 0)
        return trace(r);
    const struct refusal_type *refusal = refusal_find(loop->service->refusals, r);
    if (!refusal)
        return fail(ERR_INTERNAL, "%s is refused with %d, which is not in the table of %s",
                    item->command->subject, r, loop->service->name);
    if (item->key && !refusal->is_transient) {
        int written = remember_refusal(loop, item, r, j.message, wall_ms);
        if (written < 0)
            return trace(written);
    }
    return trace(refuse(item, refusal, j.message));
}

/* ---- Events --------------------------------------------------------------------------------- */

static int park(struct loop *loop, struct item *item, const char *error, int64_t wall_ms)
{
    struct parked parked = {
        .log = item->source->log,
        .position = item->event.position,
        .entity = item->event.entity,
        .type = item->event.type,
        .error = error,
        .since_ms = wall_ms,
    };
    int r = parked_add(loop->db, &parked);
    if (r < 0)
        return trace(r);
    loop->at.parked_count++;
    loop->at.parked[item->feed]++;
    item->outcome = OUTCOME_PARKED;
    item->message = keep(&item->arena, error);
    log_error("event_parked", LOG_TEXT("log", parked.log), LOG_INT("position", parked.position),
              LOG_TEXT("type", parked.type), LOG_TEXT("entity", parked.entity),
              LOG_TEXT("reason", error));
    return 0;
}

/* Once: our log knows an event that we have reacted to before, in a life that our cursor does not
 * remember, or that our leader has reacted to. A follower says nothing, but tries: what its leader
 * could not react to is parked here, too, or nobody would miss the reaction after a take-over. */
static int react(struct loop *loop, struct item *item, int64_t wall_ms, struct batch *batch)
{
    assert(item->source && item->event.value);
    if (!item->type->react)
        return 0;
    char cause[EVENT_TEXT_MAX + 1];
    int r = GUARD(react_once) ? event_log_has_reaction(loop->db, &item->event) : 0;
    if (r != 0)
        return r < 0 ? trace(r) : 0;
    event_name_cause(&item->event, cause, sizeof(cause));
    struct journey j;
    journey_init(&j, MODE_DECIDE, loop->service, loop->option_values, loop->db, &item->arena,
                 &loop->ids, wall_ms);
    j.origin = (struct origin){
        .correlation = item->event.correlation,
        .causation = item->event.id,
        .cause = keep(&item->arena, cause),
        .traceparent = item->event.traceparent,
    };
    r = j.origin.cause ? item->type->react(&j, &item->event)
                       : fail(ERR_MEMORY, "no memory for a reaction");
    if (r == 0 && append_check(loop, &j) > 0)
        r = fail(ERR_INVALID, "a reaction cannot travel: %s", j.message);
    if (r == 0 && !loop->follows)
        r = append_emissions(loop, &j, batch, NULL);
    journey_deinit(&j);
    return r > 0 ? fail(ERR_INTERNAL, "a reaction cannot refuse") : trace(r);
}

/* Effect and reaction stand or fall together. */
static int apply_foreign(struct loop *loop, struct item *item, int64_t wall_ms, struct batch *batch)
{
    if (!item->type)
        return 0;
    if (item->invalid)
        return fail(ERR_INVALID, "%s", item->invalid);
    int r = isolation_begin(loop);
    if (r == 0)
        r = item->type->apply(loop->db, &item->event);
    if (r == 0)
        r = react(loop, item, wall_ms, batch);
    return trace(isolation_end(loop, r));
}

/* A parked event once more. What stands behind an earlier one of its entity stays there. */
static int run_redriven_event(struct loop *loop, struct item *item, int64_t wall_ms,
                              struct batch *batch)
{
    const char *log = item->source->log;
    const int64_t position = item->event.position;
    assert(item->redriven && !item->ack_to); /* the cursor has passed it */
    int64_t first = 0;
    int r = parked_find_first(loop->db, log, item->event.entity, &first);
    if (r < 0)
        return trace(r);
    item->outcome = r == NOT_FOUND || first > position ? OUTCOME_REPEAT : OUTCOME_PARKED;
    if (item->outcome == OUTCOME_REPEAT || first < position)
        return 0;
    r = apply_foreign(loop, item, wall_ms, batch);
    if (r < 0 && !isolation_contains(loop, r))
        return trace(r);
    if (r < 0) {
        log_error("redrive_failed", LOG_TEXT("log", log), LOG_INT("position", position),
                  LOG_TEXT("type", item->event.type), LOG_TEXT("entity", item->event.entity),
                  LOG_TEXT("reason", failure_text()));
        return trace(parked_set_error(loop->db, log, position, failure_text()));
    }
    r = parked_remove(loop->db, log, position);
    if (r < 0)
        return trace(r);
    loop->at.parked_count--;
    loop->at.parked[item->feed]--;
    item->outcome = OUTCOME_DONE;
    log_info("event_redriven", LOG_TEXT("log", log), LOG_INT("position", position),
             LOG_TEXT("type", item->event.type), LOG_TEXT("entity", item->event.entity));
    return 0;
}

/* The term behind an event that follows. */
static int64_t term_after(int64_t term, const struct event *event)
{
    struct term begun;
    return term_read(event, &begun) == 0 && begun.term > term ? begun.term : term;
}

static int run_foreign_event(struct loop *loop, struct item *item, int64_t wall_ms,
                             struct batch *batch)
{
    assert(item->feed >= 0 && item->feed < SOURCES_MAX);
    struct cursor *cursor = &loop->at.cursors[item->feed];
    if (loop->at.fenced) { /* whoever leads reacts to it */
        item->outcome = OUTCOME_GAP;
        return 0;
    }
    if (item->ack_to && cursor_is_void(cursor, &item->event)) {
        item->outcome = OUTCOME_VOID;
        return 0;
    }
    switch (cursor_compare(cursor, item->event.position, &item->event.chain, &item->event_digest)) {
    case CURSOR_REPEAT: item->outcome = OUTCOME_REPEAT; return 0;
    case CURSOR_GAP:    item->outcome = OUTCOME_GAP; return 0;
    case CURSOR_FORK:   item->outcome = OUTCOME_FORK; return 0;
    case CURSOR_NEXT:   break;
    }
    if (item->ack_to && cursor_claims_term(cursor, &item->event)) { /* not the leader's */
        item->outcome = OUTCOME_FORK;
        return 0;
    }
    int behind = 0, r = 0;
    if (loop->at.parked_count > 0 && GUARD(parking_behind))
        behind = parked_has_entity(loop->db, item->source->log, item->event.entity);
    item->outcome = OUTCOME_DONE;
    if (behind == 0)
        r = apply_foreign(loop, item, wall_ms, batch);
    if (behind < 0 || (r < 0 && !isolation_contains(loop, r)))
        return trace(behind < 0 ? behind : r);
    if (behind > 0 || r < 0)
        r = park(loop, item,
                 behind > 0 ? "an earlier event of this entity is parked" : failure_text(),
                 wall_ms);
    *cursor = (struct cursor){
        .position = item->event.position,
        .chain = item->event.chain,
        .event_time_ms = item->event.time_ms,
        .term = term_after(cursor->term > 0 ? cursor->term : item->event.term, &item->event),
    };
    loop->cursor_moved[item->feed] = 1;
    return trace(r);
}

/* So far goes, or went, our stream: what stood there is not given out again. */
static int keep_stream_position(struct loop *loop, const struct item *item)
{
    if (item->stream_position <= loop->at.stream_position)
        return 0;
    loop->at.stream_position = item->stream_position;
    return trace(meta_write(loop->db, META_STREAM_POSITION, item->stream_position));
}

/* Our own log, ahead in the stream: a restored or lost database catches up on itself. No reaction
 * and nothing observed: it has all happened before. */
static int run_own_event(struct loop *loop, struct item *item)
{
    const struct cursor head = { .position = loop->at.head.position,
                                 .chain = loop->at.head.chain,
                                 .term = loop->at.term };
    if (loop->at.fenced || cursor_is_void(&head, &item->event)) {
        item->outcome = OUTCOME_VOID;
        return 0;
    }
    switch (cursor_compare(&head, item->event.position, &item->event.chain, &item->event_digest)) {
    case CURSOR_REPEAT: item->outcome = OUTCOME_REPEAT; return 0;
    case CURSOR_GAP:    item->outcome = OUTCOME_GAP; return 0;
    case CURSOR_FORK:   item->outcome = OUTCOME_FORK; return 0;
    case CURSOR_NEXT:   break;
    }
    if (!item->type || item->invalid)
        return fail(ERR_INVALID, "our own event %s at position %" PRId64 " cannot be read: %s",
                    item->event.type, item->event.position,
                    item->invalid ? item->invalid : "unknown type; a newer version wrote it");
    int r = event_log_append(loop->db, &item->event);
    if (r == 0)
        r = append_note_size(loop, &item->event);
    if (r == 0)
        r = item->type->apply(loop->db, &item->event);
    /* the projections are as old as our log was; those of a follower come with it */
    if (r == 0 && !loop->at.folding && !loop->follows && loop->service->sources) {
        loop->at.folding = 1;
        r = meta_write(loop->db, META_FOLDING, 1);
    }
    if (r == 0)
        r = keep_stream_position(loop, item);
    if (r < 0)
        return trace(r);
    loop->at.head = (struct log_head){ .position = item->event.position,
                                       .chain = item->event.chain };
    loop->at.term = term_after(loop->at.term, &item->event);
    item->outcome = OUTCOME_DONE;
    return 0;
}

/* ---- Leading -------------------------------------------------------------------------------- */

/* Once in a life; asked again, it has been done. */
static int run_term(struct loop *loop, struct item *item, int64_t wall_ms, struct batch *batch)
{
    if (loop->at.fenced) { /* it is too late */
        item->outcome = OUTCOME_REPEAT;
        item->term = 0;
        return 0;
    }
    item->outcome = loop->at.own_term > 0 ? OUTCOME_REPEAT : OUTCOME_DONE;
    if (item->outcome == OUTCOME_REPEAT) {
        item->term = loop->at.own_term;
        return 0;
    }
    return trace(append_term(loop, item, wall_ms, batch, &item->term));
}

/* What we were asked before is decided; whoever leads next decides the rest. */
static int run_term_end(struct loop *loop, struct item *item, int64_t wall_ms, struct batch *batch)
{
    if (loop->at.fenced || loop->at.own_term == 0) {
        item->outcome = OUTCOME_REPEAT;
        return 0;
    }
    item->term = loop->at.own_term;
    int r = append_term_end(loop, item, wall_ms, batch);
    if (r < 0)
        return trace(r);
    process_stop(&loop->process);
    loop->process.wanted = 0;
    item->outcome = OUTCOME_DONE;
    return 0;
}

/* ---- What others have set on our stream --------------------------------------------------- */

static int run_keep(struct loop *loop, struct item *item)
{
    assert(item->kept);
    int r = kept_streams_write(loop->db, item->kept);
    if (r == 0)
        r = keep_stream_position(loop, item);
    if (r == 0)
        item->outcome = OUTCOME_DONE;
    return trace(r);
}

/* ---- The table of kinds --------------------------------------------------------------------- */

int run_item(struct loop *loop, struct item *item, int64_t wall_ms, struct batch *batch)
{
    int r = 0;
    assert(item->outcome == OUTCOME_NONE);
    switch (item->kind) {
    case ITEM_COMMAND:   r = run_command(loop, item, wall_ms, batch); break;
    case ITEM_QUERY:     r = fail(ERR_INTERNAL, "a query belongs to the readers"); break;
    case ITEM_REBUILD:   r = fail(ERR_INTERNAL, "a rebuild belongs to the rebuilder"); break;
    case ITEM_DURABLE:   r = fail(ERR_INTERNAL, "a durable belongs to the sender"); break;
    case ITEM_REDRIVE:
    case ITEM_HAND_OVER:
    case ITEM_TAKE_OVER:
    case ITEM_ORPHANS:
    case ITEM_STATUS:    r = fail(ERR_INTERNAL, "this request belongs to the sender"); break;
    case ITEM_ASIDE:     r = set_aside(loop, item); break;
    case ITEM_TERM:      r = run_term(loop, item, wall_ms, batch); break;
    case ITEM_END:       r = run_term_end(loop, item, wall_ms, batch); break;
    case ITEM_KEEP:      r = run_keep(loop, item); break;
    case ITEM_ANSWER:    r = process_answer(loop, item, wall_ms, batch); break;
    case ITEM_EVENT:
        r = item->redriven ? run_redriven_event(loop, item, wall_ms, batch)
            : item->source ? run_foreign_event(loop, item, wall_ms, batch)
                           : run_own_event(loop, item);
        break;
    }
    if (r >= 0 || !isolation_contains(loop, r))
        return r < 0 ? trace(r) : 0;
    if (item->kind != ITEM_COMMAND)
        return trace(r);
    log_error("request_failed", LOG_TEXT("reason", failure_text()),
              LOG_TEXT("correlation", item->origin.correlation));
    return refuse(item, refusal_of(REFUSED_INTERNAL),
                  "the service failed on this request; its log says why");
}
