/* Loop: see loop.h. Items are run by run_item.c; here is the frame around them: one transaction,
 * one commit, what is observed after it, and what happens when the disk says no. */
#include "runtime/writer/loop.h"
#include "base/crash.h"
#include "base/guard.h"
#include "base/log.h"
#include "runtime/writer/append.h"
#include "runtime/writer/event_size.h"
#include "runtime/writer/run_item.h"
#include "runtime/writer/tables.h"
#include "store/generation.h"
#include "store/log_check.h"
#include "store/migrate.h"
#include "store/parked.h"
#include "store/refusals.h"
#include "store/terms.h"
#include <assert.h>
#include <stdint.h>
#include <string.h>

#define CLOCK_SLACK_MS 1000 /* a clock that is kept right is moved by less */

void loop_check(const struct loop *loop)
{
    const struct positions *at = &loop->at;
    assert(at->head.position >= 0 && at->parked_count >= 0 && at->stream_position >= 0); /* L1 */
    assert(!loop->isolates);                                                             /* L2 */
    for (int i = 0; i < SOURCES_MAX; i++)
        assert(at->cursors[i].position >= 0 && !loop->cursor_moved[i] && /* L1, L3 */
               at->parked[i] >= 0 && at->parked[i] <= at->parked_count); /* L1 */
    process_check(&loop->process);
}

/* L4 */
static void check_progress(const struct positions *before, const struct positions *after)
{
    if (after->fenced) /* and only then does it go back (set_aside.h) */
        return;
    assert(after->head.position >= before->head.position);
    for (int i = 0; i < SOURCES_MAX; i++)
        assert(after->cursors[i].position >= before->cursors[i].position);
}

/* What the largest event needs, once for a file that does not know it yet. */
static int measure_log(struct loop *loop)
{
    _deinit_(event_reader) struct event_reader reader = { 0 };
    struct event event;
    int64_t known = 0;
    int r = meta_read_or(loop->db, META_LARGEST_EVENT, 0, &known);
    loop->at.largest_event = known;
    if (r < 0 || known > 0 || loop->at.head.position == 0)
        return trace(r);
    r = event_reader_open(&reader, loop->db, loop->service->log, 0, INT64_MAX);
    while (r == 0 && event_reader_has_next(&reader, &event)) {
        int64_t bytes = event_size(&event, loop->service, loop->at.largest_event);
        if (bytes > loop->at.largest_event)
            loop->at.largest_event = bytes;
    }
    if (r == 0)
        r = event_reader_status(&reader);
    return r < 0 ? trace(r)
                 : trace(meta_write(loop->db, META_LARGEST_EVENT, loop->at.largest_event));
}

static int read_positions(struct loop *loop)
{
    struct term term = { 0 };
    int r = event_log_head(loop->db, &loop->at.head);
    if (r == 0)
        r = terms_newest(loop->db, &term);
    loop->at.term = term.term;
    if (r < 0)
        return trace(r);
    const struct source *source = loop->service->sources;
    for (int i = 0; source && source[i].log; i++) {
        r = cursor_read(loop->db, source[i].log, &loop->at.cursors[i]);
        if (r == 0)
            r = parked_count_of(loop->db, &(struct parked_filter){ .log = source[i].log },
                                &loop->at.parked[i]);
        if (r < 0)
            return trace(r);
        loop->cursor_moved[i] = 0;
    }
    r = meta_read_or(loop->db, META_STREAM_POSITION, 0, &loop->at.stream_position);
    if (r == 0)
        r = meta_read_or(loop->db, META_FOLDING, 0, &loop->at.folding);
    if (r == 0)
        r = meta_read_or(loop->db, META_ORPHANS, 0, &loop->at.orphans);
    if (r == 0)
        r = parked_count(loop->db, &loop->at.parked_count);
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

/* Before the WAL that lies beside the file after a crash is used. Where it cannot be told from the
 * file alone whose WAL that is, because a checkpoint was cut off, all pages are looked at. */
static int check_file(const struct service *service, struct db *db)
{
    int r = generation_check(db);
    if (r == GENERATION_UNKNOWN) {
        log_warn("wal_not_compared", LOG_TEXT("reason", failure_reason()));
        r = db_quick_check(db);
    }
    if (r == 0 && db_wal_bytes(db) > 0)
        r = log_check_end(db, service->log);
    if (r < 0)
        db_abandon(db); /* closing it would move the WAL into the file */
    return trace(r);
}

int loop_open(struct loop *loop, const struct service *service, const char *const *option_values,
              struct db *db, uint64_t seed)
{
    *loop = (struct loop){
        .service = service,
        .option_values = option_values,
        .db = db,
    };
    process_init(&loop->process, service);
    id_source_init(&loop->ids, seed);
    int r = check_file(service, db);
    if (r == 0)
        r = sync_what_is_there(db);
    if (r == 0)
        r = store_migrate(db);
    generation_begin(db);
    if (r == 0)
        r = db_begin(db);
    if (r < 0)
        return trace(r);
    r = tables_create(service, db);
    if (r == 0)
        r = db_commit(db);
    if (r < 0) {
        db_rollback(db);
        return trace(r);
    }
    r = sync_what_is_there(db); /* the file has a number that no copy of it can have yet */
    if (r == 0)
        r = read_positions(loop);
    if (r == 0)
        r = measure_log(loop);
    if (r == 0)
        loop_check(loop);
    return trace(r);
}

void loop_close(struct loop *loop)
{
    process_stop(&loop->process);
}

void loop_start_process(struct loop *loop)
{
    owner_assert(&loop->owner);
    loop->process.wanted = loop->process.type != NULL;
}

void loop_look_at_clock(struct loop *loop, int64_t wall_ms)
{
    if (wall_ms < loop->newest_ms - CLOCK_SLACK_MS && loop->process.runs) {
        log_warn("clock_set_back", LOG_INT("by_ms", loop->newest_ms - wall_ms));
        process_stop(&loop->process);
    }
    loop->newest_ms = wall_ms;
}

int64_t loop_due_ms(const struct loop *loop)
{
    return process_due_ms(&loop->process);
}

void loop_stop_process(struct loop *loop)
{
    process_stop(&loop->process);
}

/* ---- One batch ------------------------------------------------------------------------------ */

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
    if (r >= 0 && loop->process.runs && loop->process.due_ms <= wall_ms)
        r = process_step(loop, wall_ms, batch);
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
    batch_undo(batch);
    process_stop(&loop->process);
}

/* Nothing of the batch has happened. Requests are told so; events will be delivered again. */
static void abort_batch(struct batch *batch, int reason)
{
    assert(reason < 0 && !batch->events && !batch->calls);
    batch->aborted = 1;
    for (struct item *item = batch->items; item; item = item->next) {
        item->outcome = OUTCOME_REFUSED;
        item->refusal = refusal_of(reason == -ERR_CORRUPT ? REFUSED_INTERNAL : REFUSED_BUSY);
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
    if (r == 0 && loop->process.wanted && !loop->process.runs)
        r = process_start(loop, wall_ms, batch);
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
    owner_assert(&loop->owner);
    assert(count >= 0 && !batch->items && !batch->events);
    process_take_due(&loop->process, wall_ms, batch);
    for (int i = 0; i < count; i++)
        batch_add(batch, items[i]);

    const struct positions before = loop->at;
    int r = run_transaction(loop, wall_ms, batch);
    if (failure_is_of_item(r) && !batch->outcome_unknown) {
        undo(loop, &before, batch);
        loop->isolates = 1;
        r = run_transaction(loop, wall_ms, batch);
        loop->isolates = 0;
    }
    if (r < 0) {
        if (batch->outcome_unknown) {
            loop->at = before;
        } else {
            undo(loop, &before, batch); /* L5 */
            abort_batch(batch, r);
            loop_check(loop);
        }
        return trace(r);
    }
    check_progress(&before, &loop->at); /* L4 */
    batch->at = loop->at;
    if (loop->process.runs && process_observe(loop, wall_ms, batch) < 0) {
        log_error("process_restarted", LOG_TEXT("reason", failure_text()));
        process_stop(&loop->process);
    }
    loop_check(loop);
    return 0;
}

/* One number of the file's own, in a transaction of its own. */
static int write_meta(struct loop *loop, const char *name, int64_t value,
                      _Bool *ret_outcome_unknown)
{
    owner_assert(&loop->owner);
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

int loop_number_wal(struct loop *loop, _Bool *ret_outcome_unknown)
{
    owner_assert(&loop->owner);
    db_want_wal_number(loop->db);
    int r = db_begin(loop->db);
    if (r == 0) {
        r = db_commit(loop->db);
        *ret_outcome_unknown = loop_is_outcome_unknown(r);
        if (r < 0)
            db_rollback(loop->db);
    }
    return trace(r);
}

int loop_probe(struct loop *loop, _Bool *ret_outcome_unknown)
{
    return trace(write_meta(loop, "disk_probe", 1, ret_outcome_unknown));
}

int loop_forget_refusals(struct loop *loop, int64_t wall_ms, int max, _Bool *ret_outcome_unknown)
{
    int64_t before_ms = wall_ms - loop->refusals_keep_ms, count = 0;
    owner_assert(&loop->owner);
    if (loop->refusals_keep_ms == 0)
        return 0;
    int r = refusals_has_older(loop->db, before_ms);
    if (r <= 0)
        return trace(r);
    r = db_begin(loop->db);
    if (r < 0)
        return trace(r);
    r = refusals_forget(loop->db, before_ms, max, &count);
    if (r == 0) {
        r = db_commit(loop->db);
        *ret_outcome_unknown = loop_is_outcome_unknown(r);
    }
    if (r < 0)
        db_rollback(loop->db);
    return r < 0 ? trace(r) : (int)count;
}

int loop_end_folding(struct loop *loop, _Bool *ret_outcome_unknown)
{
    int r = write_meta(loop, META_FOLDING, 0, ret_outcome_unknown);
    if (r == 0)
        loop->at.folding = 0;
    loop_check(loop);
    return trace(r);
}
