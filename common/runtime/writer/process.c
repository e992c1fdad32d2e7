/* Process: see process.h. */
#include "runtime/writer/process.h"
#include "base/log.h"
#include "runtime/writer/append.h"
#include "runtime/writer/loop.h"
#include "work.h"
#include <assert.h>

#define DELAYED_PER_RUN_MAX 512

void process_init(struct process_run *process, const struct service *service)
{
    *process = (struct process_run){
        .type = service->work && !service->process ? &work_process : service->process,
        .due_ms = INT64_MAX,
    };
}

void process_check(const struct process_run *process)
{
    assert(!process->runs || (process->wanted && process->type));                         /* P1 */
    assert(process->runs || (process->due_ms == INT64_MAX && !process->delayed));         /* P2 */
    assert(!process->delayed == (process->delayed_count == 0));                           /* P3 */
    assert(!process->delayed || (process->last_delayed && !process->last_delayed->next)); /* P3 */
}

int64_t process_due_ms(const struct process_run *process)
{
    if (process->wanted && !process->runs)
        return 0;
    int64_t due_ms = process->due_ms;
    return process->delayed && process->delayed->due_ms < due_ms ? process->delayed->due_ms
                                                                 : due_ms;
}

void process_stop(struct process_run *process)
{
    if (process->runs && process->type->free)
        process->type->free(process->state);
    process->state = NULL;
    process->works = NULL;
    process->runs = 0;
    process->due_ms = INT64_MAX;
    item_list_free(process->delayed);
    process->delayed = process->last_delayed = NULL;
    process->delayed_count = 0;
}

static void begin(struct journey *j, enum journey_mode mode, struct loop *loop, struct arena *arena,
                  int64_t wall_ms)
{
    journey_init(j, mode, loop->service, loop->option_values, loop->db, arena, &loop->ids, wall_ms);
}

/* ---- Calls and built-in answers -------------------------------------------------------------- */

static void delay(struct process_run *process, struct item *item)
{
    struct item **place = &process->delayed;
    /* most come in the order in which they are due */
    if (process->delayed && process->last_delayed->due_ms <= item->due_ms)
        place = &process->last_delayed->next;
    while (*place && (*place)->due_ms <= item->due_ms)
        place = &(*place)->next;
    item->next = *place;
    *place = item;
    if (!item->next)
        process->last_delayed = item;
    process->delayed_count++;
}

/* Calls leave with the batch; a built-in provider's answers wait here until they are due. */
static void take_calls(struct process_run *process, struct journey *j, struct batch *batch)
{
    while (j->calls) {
        struct outbound_call *call = j->calls;
        j->calls = call->next;
        call->next = NULL;
        if (call->local) {
            delay(process, take(call->local));
            outbound_call_free(call);
        } else {
            *batch->last_call = call;
            batch->last_call = &call->next;
        }
    }
    j->last_call = &j->calls;
}

void process_take_due(struct process_run *process, int64_t wall_ms, struct batch *batch)
{
    for (int i = 0;
         i < DELAYED_PER_RUN_MAX && process->delayed && process->delayed->due_ms <= wall_ms; i++) {
        struct item *item = process->delayed;
        process->delayed = item->next;
        process->delayed_count--;
        batch_add(batch, item);
    }
}

/* ---- Start, step, answer --------------------------------------------------------------------- */

int process_start(struct loop *loop, int64_t wall_ms, struct batch *batch)
{
    struct process_run *process = &loop->process;
    struct journey j;
    void *state = NULL;
    assert(process->wanted && !process->runs);
    begin(&j, MODE_OBSERVE, loop, &batch->arena, wall_ms);
    int r = loop->process.type->start(&j, &state);
    if (r == 0) {
        process->state = state;
        process->runs = 1;
        process->due_ms = wall_ms;
        take_calls(process, &j, batch);
    }
    journey_deinit(&j);
    return trace(r);
}

/* What has happened outside cannot be refused: an event that cannot travel is written, and the
 * service is held until the server takes a message of that size (sender.c). */
static void name_too_large(struct loop *loop, struct journey *j)
{
    if (append_check(loop, j) > 0)
        log_error("event_too_large", LOG_TEXT("reason", j->message),
                  LOG_TEXT("help", "raise max_payload of the server: until then the event is in "
                                   "the log and not in the stream"));
}

/* A decision of the process whose events do not fit is dropped and the process starts again from
 * the tables; the batch goes on. */
static int carry_out(struct loop *loop, struct journey *j, struct batch *batch, int r)
{
    if (r == 0) {
        name_too_large(loop, j);
        r = append_emissions(loop, j, batch, NULL);
    }
    if (r == 0)
        take_calls(&loop->process, j, batch);
    journey_deinit(j);
    if (r >= 0 || !isolation_contains(loop, r))
        return r < 0 ? trace(r) : 0;
    log_error("process_failed", LOG_TEXT("reason", failure_text()));
    process_stop(&loop->process);
    return 0;
}

int process_step(struct loop *loop, int64_t wall_ms, struct batch *batch)
{
    struct process_run *process = &loop->process;
    struct journey j;
    int64_t due_ms = INT64_MAX;
    assert(process->runs);
    begin(&j, MODE_DECIDE, loop, &batch->arena, wall_ms);
    int r = loop->process.type->step(process->state, &j, &due_ms);
    process->due_ms = due_ms;
    process->works = j.works;
    return trace(carry_out(loop, &j, batch, r));
}

int process_answer(struct loop *loop, struct item *item, int64_t wall_ms, struct batch *batch)
{
    assert(item->kind == ITEM_ANSWER);
    item->outcome = OUTCOME_DONE;
    if (!loop->process.runs)
        return 0; /* its memory is gone; start() has asked, or will ask, again */
    struct journey j;
    begin(&j, MODE_DECIDE, loop, &item->arena, wall_ms);
    int r = loop->process.type->answered(loop->process.state, &j, &item->answer);
    return trace(carry_out(loop, &j, batch, r));
}

/* ---- Observing ------------------------------------------------------------------------------- */

static int observe_event(struct loop *loop, struct batch *batch, const struct event *event,
                         int64_t wall_ms)
{
    struct journey j;
    begin(&j, MODE_OBSERVE, loop, &batch->arena, wall_ms);
    int r = loop->process.type->observe(loop->process.state, &j, event);
    if (r == 0)
        take_calls(&loop->process, &j, batch);
    journey_deinit(&j);
    return trace(r);
}

int process_observe(struct loop *loop, int64_t wall_ms, struct batch *batch)
{
    int r = 0;
    assert(loop->process.runs && !batch->aborted);
    for (struct item *item = batch->items; item && r == 0; item = item->next)
        if (item->kind == ITEM_EVENT && item->source && item->outcome == OUTCOME_DONE &&
            item->event.value)
            r = observe_event(loop, batch, &item->event, wall_ms);
    for (struct committed_event *e = batch->events; e && r == 0; e = e->next)
        r = observe_event(loop, batch, &e->event, wall_ms);
    if (r == 0 && (batch->events || batch->items) && loop->process.due_ms > wall_ms)
        loop->process.due_ms = wall_ms; /* let it look at its queue again */
    return trace(r);
}
