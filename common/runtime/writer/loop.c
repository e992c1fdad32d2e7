/* Loop: see loop.h. Items are run by run_item.c; here is the frame around them: one transaction,
 * one commit, what is observed after it, and what happens when the disk says no. */
#include "runtime/writer/loop.h"
#include "base/crash.h"
#include "base/guard.h"
#include "base/log.h"
#include "runtime/repair/rebuild.h"
#include "runtime/writer/run_item.h"
#include "store/migrate.h"
#include "store/parked.h"
#include <stdint.h>
#include <string.h>

#define DELAYED_PER_RUN_MAX 512
#define CLOCK_SLACK_MS 1000 /* a clock that is kept right is moved by less */

struct batch *batch_new(void)
{
    struct batch *batch = calloc(1, sizeof(*batch));
    if (!batch)
        return NULL;
    arena_init(&batch->arena);
    batch->last_item = &batch->items;
    batch->last_call = &batch->calls;
    batch->last_event = &batch->events;
    return batch;
}

static void batch_drop_calls(struct batch *batch)
{
    while (batch->calls) {
        struct outbound_call *next = batch->calls->next;
        outbound_call_free(batch->calls);
        batch->calls = next;
    }
    batch->last_call = &batch->calls;
}

void batch_free(struct batch *batch)
{
    if (!batch)
        return;
    item_list_free(batch->items);
    batch_drop_calls(batch);
    arena_deinit(&batch->arena);
    free(batch);
}

static int read_positions(struct loop *loop)
{
    int r = event_log_head(loop->db, &loop->at.head);
    if (r < 0)
        return trace(r);
    const struct source *source = loop->service->sources;
    for (int i = 0; source && source[i].log; i++) {
        r = cursor_read(loop->db, source[i].log, &loop->at.cursors[i]);
        if (r < 0)
            return trace(r);
        loop->cursor_moved[i] = 0;
    }
    r = meta_read_or(loop->db, META_STREAM_POSITION, 0, &loop->at.stream_position);
    if (r == 0)
        r = meta_read_or(loop->db, META_FOLDING, 0, &loop->at.folding);
    if (r == 0)
        r = parked_count(loop->db, &loop->at.parked_count);
    return trace(r);
}

/* The service's own tables. When tables_version has changed they are folded anew (rebuild.c). */
static int create_tables(struct loop *loop)
{
    int64_t version = 0;
    int r = meta_find(loop->db, "tables_version", &version);
    if (r < 0)
        return trace(r);
    if (r == 0 && version != loop->service->tables_version) {
        r = rebuild_tables(loop->service, loop->db);
        if (r == 0)
            r = meta_write(loop->db, META_FOLDING, 1);
    } else {
        r = db_script(loop->db, loop->service->tables);
    }
    if (r == 0)
        r = meta_write(loop->db, "tables_version", loop->service->tables_version);
    if (r == 0 && loop->service->scratch_tables)
        r = db_script(loop->db, loop->service->scratch_tables);
    return trace(r);
}

/* A life before this one may have ended between a write and its sync, or because of a sync that
 * failed. What we find then looks committed, and a power cut can still take it back: it is synced
 * before anybody hears of it (rule 4). A checkpoint syncs the WAL before it moves anything, so a
 * full disk does not matter here. */
static int sync_what_is_there(struct db *db)
{
    int r = db_checkpoint(db, 1, NULL);
    return r == -ERR_FULL ? 0 : trace(r);
}

int loop_open(struct loop *loop, const struct service *service, const char *const *option_values,
              struct db *db, uint64_t seed)
{
    *loop = (struct loop){
        .service = service,
        .option_values = option_values,
        .db = db,
        .process_due_ms = INT64_MAX,
    };
    id_source_init(&loop->ids, seed);
    int r = sync_what_is_there(db);
    if (r == 0)
        r = store_migrate(db);
    if (r == 0)
        r = db_begin(db);
    if (r < 0)
        return trace(r);
    r = create_tables(loop);
    if (r == 0)
        r = db_commit(db);
    if (r < 0) {
        db_rollback(db);
        return trace(r);
    }
    return trace(read_positions(loop));
}

void loop_stop_process(struct loop *loop)
{
    if (loop->process_runs && loop->service->process->free)
        loop->service->process->free(loop->process_state);
    loop->process_state = NULL;
    loop->process_runs = 0;
    loop->process_due_ms = INT64_MAX;
    item_list_free(loop->delayed);
    loop->delayed = NULL;
    loop->delayed_count = 0;
}

void loop_close(struct loop *loop)
{
    loop_stop_process(loop);
}

void loop_start_process(struct loop *loop)
{
    loop->process_wanted = loop->service->process != NULL;
}

void loop_look_at_clock(struct loop *loop, int64_t wall_ms)
{
    if (wall_ms < loop->newest_ms - CLOCK_SLACK_MS && loop->process_runs) {
        log_warn("clock_set_back", LOG_INT("by_ms", loop->newest_ms - wall_ms));
        loop_stop_process(loop);
    }
    loop->newest_ms = wall_ms;
}

int64_t loop_due_ms(const struct loop *loop)
{
    if (loop->process_wanted && !loop->process_runs)
        return 0;
    int64_t due = loop->process_due_ms;
    return loop->delayed && loop->delayed->due_ms < due ? loop->delayed->due_ms : due;
}

/* ---- The process ---------------------------------------------------------------------------- */

static void delay(struct loop *loop, struct item *item)
{
    struct item **place = &loop->delayed;
    /* most come in the order in which they are due */
    if (loop->delayed && loop->last_delayed->due_ms <= item->due_ms)
        place = &loop->last_delayed->next;
    while (*place && (*place)->due_ms <= item->due_ms)
        place = &(*place)->next;
    item->next = *place;
    *place = item;
    if (!item->next)
        loop->last_delayed = item;
    loop->delayed_count++;
}

/* Calls leave with the batch; a built-in provider's answers wait here until they are due. */
void loop_take_calls(struct loop *loop, struct journey *j, struct batch *batch)
{
    while (j->calls) {
        struct outbound_call *call = j->calls;
        j->calls = call->next;
        call->next = NULL;
        if (call->local) {
            delay(loop, take(call->local));
            outbound_call_free(call);
        } else {
            *batch->last_call = call;
            batch->last_call = &call->next;
        }
    }
    j->last_call = &j->calls;
}

static int process_start(struct loop *loop, struct batch *batch, int64_t wall_ms)
{
    struct journey j;
    journey_init(&j, MODE_OBSERVE, loop->service, loop->option_values, loop->db, &batch->arena,
                 &loop->ids, wall_ms);
    void *state = NULL;
    int r = loop->service->process->start(&j, &state);
    if (r == 0) {
        loop->process_state = state;
        loop->process_runs = 1;
        loop->process_due_ms = wall_ms;
        loop_take_calls(loop, &j, batch);
    }
    journey_deinit(&j);
    return trace(r);
}

static int process_observe(struct loop *loop, struct batch *batch, const struct event *event,
                           int64_t wall_ms)
{
    struct journey j;
    journey_init(&j, MODE_OBSERVE, loop->service, loop->option_values, loop->db, &batch->arena,
                 &loop->ids, wall_ms);
    int r = loop->service->process->observe(loop->process_state, &j, event);
    if (r == 0)
        loop_take_calls(loop, &j, batch);
    journey_deinit(&j);
    return trace(r);
}

/* After the commit the process learns what happened, in the order of the log (own events) and of
 * the items (others'). What it says may be lost with its memory: start() finds it again in the
 * tables. */
static int observe_batch(struct loop *loop, struct batch *batch, int64_t wall_ms)
{
    int r = 0;
    for (struct item *item = batch->items; item && r == 0; item = item->next)
        if (item->kind == ITEM_EVENT && item->source && item->outcome == OUTCOME_DONE &&
            item->event.value)
            r = process_observe(loop, batch, &item->event, wall_ms);
    for (struct committed_event *e = batch->events; e && r == 0; e = e->next)
        r = process_observe(loop, batch, &e->event, wall_ms);
    if (r == 0 && (batch->events || batch->items) && loop->process_due_ms > wall_ms)
        loop->process_due_ms = wall_ms; /* let it look at its queue again */
    return trace(r);
}

/* ---- One batch ------------------------------------------------------------------------------ */

static void batch_add(struct batch *batch, struct item *item)
{
    item->next = NULL;
    *batch->last_item = item;
    batch->last_item = &item->next;
}

static void take_due(struct loop *loop, int64_t wall_ms, struct batch *batch)
{
    for (int i = 0; i < DELAYED_PER_RUN_MAX && loop->delayed && loop->delayed->due_ms <= wall_ms;
         i++) {
        struct item *item = loop->delayed;
        loop->delayed = item->next;
        loop->delayed_count--;
        batch_add(batch, item);
    }
}

static int write_cursors(struct loop *loop)
{
    int r = 0;
    for (int i = 0; i < SOURCES_MAX && r >= 0; i++) {
        if (!loop->cursor_moved[i])
            continue;
        r = cursor_write(loop->db, loop->service->sources[i].log, &loop->at.cursors[i]);
        loop->cursor_moved[i] = 0;
    }
    return trace(r);
}

static int run_all(struct loop *loop, int64_t wall_ms, struct batch *batch)
{
    int r = 0;
    for (struct item *item = batch->items; item && r >= 0; item = item->next)
        r = run_item(loop, item, wall_ms, batch);
    if (r >= 0 && loop->process_runs && loop->process_due_ms <= wall_ms)
        r = run_step(loop, wall_ms, batch);
    if (r >= 0 && GUARD(cursor_in_transaction))
        r = write_cursors(loop);
    return r < 0 ? trace(r) : 0;
}

/* After a commit that failed so, only a restart can tell whether it is there (rule 4): the commit's
 * frame may have been written, and memory be wanted only after it. */
_Bool loop_is_outcome_unknown(int r)
{
    return r == -ERR_IO || r == -ERR_CORRUPT || r == -ERR_MEMORY;
}

/* Takes back what a run has done in memory and on the disk, as if it had not begun. The process's
 * memory goes with it, and is made anew of the tables. */
static void undo(struct loop *loop, const struct positions *before, struct batch *batch)
{
    db_rollback(loop->db);
    loop->at = *before;
    memset(loop->cursor_moved, 0, sizeof(loop->cursor_moved));
    batch->events = NULL;
    batch->last_event = &batch->events;
    batch->own_event_count = 0;
    batch_drop_calls(batch);
    for (struct item *item = batch->items; item; item = item->next) {
        buf_clear(&item->body);
        item->outcome = OUTCOME_NONE;
    }
    loop_stop_process(loop);
}

/* Nothing of the batch has happened. Requests are told so; events will be delivered again. */
static void abort_batch(struct batch *batch, int reason)
{
    batch->aborted = 1;
    for (struct item *item = batch->items; item; item = item->next) {
        item->outcome = OUTCOME_REFUSED;
        item->refusal = reason == -ERR_CORRUPT ? REFUSED_INTERNAL : REFUSED_BUSY;
        item->message = "the service cannot write at the moment; nothing was done, try again";
    }
}

int loop_commit(struct loop *loop, _Bool *ret_outcome_unknown)
{
    crash_point("before_commit");
    int r = db_commit(loop->db);
    *ret_outcome_unknown = loop_is_outcome_unknown(r);
    crash_point("after_commit");
    if (r == 0 && !GUARD(cursor_in_transaction))
        r = write_cursors(loop);
    return trace(r);
}

static int run_transaction(struct loop *loop, int64_t wall_ms, struct batch *batch)
{
    int r = db_begin(loop->db);
    if (r == 0 && loop->process_wanted && !loop->process_runs)
        r = process_start(loop, batch, wall_ms);
    if (r == 0)
        r = run_all(loop, wall_ms, batch);
    if (r == 0)
        r = db_may_write(loop->db); /* damage seen meanwhile: certainly nothing is committed */
    if (r == 0 && GUARD(reply_after_commit))
        r = loop_commit(loop, &batch->outcome_unknown);
    return trace(r);
}

int loop_run(struct loop *loop, struct item **items, int count, int64_t wall_ms,
             struct batch *batch)
{
    take_due(loop, wall_ms, batch);
    for (int i = 0; i < count; i++)
        batch_add(batch, items[i]);

    const struct positions before = loop->at;
    int r = run_transaction(loop, wall_ms, batch);
    if (run_item_is_own_fault(r) && !batch->outcome_unknown) {
        undo(loop, &before, batch);
        loop->isolates = 1;
        r = run_transaction(loop, wall_ms, batch);
        loop->isolates = 0;
    }
    if (r < 0) {
        if (batch->outcome_unknown) {
            loop->at = before;
        } else {
            undo(loop, &before, batch);
            abort_batch(batch, r);
        }
        return trace(r);
    }
    batch->at = loop->at;
    if (loop->process_runs && observe_batch(loop, batch, wall_ms) < 0) {
        log_error("process_restarted", LOG_TEXT("reason", failure_text()));
        loop_stop_process(loop);
    }
    return 0;
}

/* One number of the file's own, in a transaction of its own. */
static int write_meta(struct loop *loop, const char *name, int64_t value,
                      _Bool *ret_outcome_unknown)
{
    int r = db_begin(loop->db);
    if (r < 0)
        return trace(r);
    r = meta_write(loop->db, name, value);
    if (r == 0) {
        r = db_commit(loop->db);
        *ret_outcome_unknown = loop_is_outcome_unknown(r);
    }
    if (r < 0)
        db_rollback(loop->db);
    return trace(r);
}

int loop_probe(struct loop *loop, _Bool *ret_outcome_unknown)
{
    return trace(write_meta(loop, "disk_probe", 1, ret_outcome_unknown));
}

int loop_end_folding(struct loop *loop, _Bool *ret_outcome_unknown)
{
    int r = write_meta(loop, META_FOLDING, 0, ret_outcome_unknown);
    if (r == 0)
        loop->at.folding = 0;
    return trace(r);
}
