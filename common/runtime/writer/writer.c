/* Writer: see writer.h. */
#include "runtime/writer/writer.h"
#include "base/clock.h"
#include "base/guard.h"
#include "base/log.h"
#include "runtime/core/exit_codes.h"
#include "runtime/writer/tables.h"
#include "runtime/writer/work_list.h"
#include "store/damage_mark.h"
#include <assert.h>
#include <time.h>

#define IDLE_MS 1000                          /* looks at the WAL so often when nothing comes */
#define RETRY_MS 50                           /* after a batch that could not be written */
#define WAL_IDLE_BYTES (INT64_C(1024) * 1024) /* checkpointed when nothing waits */
#define LOCK_TIMEOUT_MS 1000
#define FORGET_MAX 500        /* refusals that one idle turn forgets: some milliseconds */
#define FORGET_EVERY_MS 10000 /* looks for such refusals so often when nothing comes */

static int refuse_marked(const char *path)
{
    char text[700];
    if (!damage_mark_read(path, text, sizeof(text)))
        return 0;
    return fail(ERR_CORRUPT,
                "%s was found damaged: %s. `restore FILE` puts a backup in its place; or set it "
                "aside with its -wal and -shm, to be rebuilt from the streams; or, when `verify` "
                "finds it whole, remove %s" DAMAGE_MARK_SUFFIX,
                path, text, path);
}

/* Triggers and views of others do nothing in our connections (store/db.h), but indexes and columns
 * do. */
static int tell_layout(const struct writer_options *options, struct db *db)
{
    _deinit_(buf) struct buf differences = { 0 };
    int r = tables_compare_layout(options->service, db, &differences);
    if (r > 0)
        log_error("layout_differs", LOG_TEXT("database", options->database_path),
                  LOG_TEXT("reason", differences.data),
                  LOG_TEXT("help", "somebody else has changed the tables: `verify` says what"));
    atomic_store(&options->status->layout_differs, r > 0);
    return r < 0 ? trace(r) : 0;
}

static int open_database(struct writer *writer, const struct writer_options *options)
{
    const struct db_options db_options = { .path = options->database_path,
                                           .lock_timeout_ms = LOCK_TIMEOUT_MS,
                                           .damaged = &options->status->damaged };
    int r = refuse_marked(options->database_path);
    if (r < 0)
        return trace(r);
    r = db_open(&db_options, &writer->db);
    if (r == 0)
        r = loop_open(&writer->loop, options->service, options->option_values, writer->db,
                      options->seed);
    if (r == 0)
        r = tell_layout(options, writer->db);
    if (r == -ERR_CORRUPT)
        damage_mark_write(options->database_path, failure_reason());
    return trace(r);
}

int writer_open(struct writer *writer, const struct writer_options *options)
{
    struct status *status = options->status;
    const struct writer_listener *listener = &options->listener;
    assert(options->service && status && options->inbox && options->batch_max > 0);
    assert(listener->settle && listener->committed && listener->folded && listener->die &&
           listener->between_batches);
    writer->options = *options;
    if (writer->options.batch_max > WRITER_BATCH_LIMIT)
        writer->options.batch_max = WRITER_BATCH_LIMIT;
    int r = open_database(writer, options);
    if (r < 0)
        return trace(r);
    file_watch_begin(&writer->watch, options->database_path);
    atomic_store(&status->position, writer->loop.at.head.position);
    atomic_store(&status->parked, writer->loop.at.parked_count);
    atomic_store(&status->orphans, writer->loop.at.orphans);
    atomic_store(&status->largest_event_bytes, writer->loop.at.largest_event);
    atomic_store(&status->folding, writer->loop.at.folding != 0);
    for (int i = 0; i < SOURCES_MAX; i++) {
        atomic_store(&status->sources[i].position, writer->loop.at.cursors[i].position);
        atomic_store(&status->sources[i].parked, writer->loop.at.parked[i]);
    }
    writer->loop.wants_term = options->wants_term;
    writer->loop.refusals_keep_ms = options->refusals_keep_ms;
    return 0;
}

/* ---- From other threads --------------------------------------------------------------------- */

void writer_end_folding(struct writer *writer)
{
    atomic_store(&writer->end_folding, 1);
    inbox_wake(writer->options.inbox);
}

void writer_follow(struct writer *writer, _Bool follows)
{
    atomic_store(&writer->follows, follows);
}

void writer_start_process(struct writer *writer)
{
    atomic_store(&writer->start_process, 1);
    inbox_wake(writer->options.inbox);
}

/* ---- State of the disk ---------------------------------------------------------------------- */

static void set_disk(struct writer *writer, enum disk_state state, const char *reason)
{
    struct status *status = writer->options.status;
    if (atomic_exchange(&status->disk, state) == (int)state)
        return;
    if (state == DISK_CORRUPT)
        damage_mark_write(writer->options.database_path, reason);
    if (state == DISK_FINE)
        log_info("recovered", LOG_TEXT("state", status_name(status)));
    else
        log_error(state == DISK_CORRUPT ? "corrupt" : "degraded", LOG_TEXT("reason", reason));
}

static void die(struct writer *writer, int exit_code)
{
    assert(!writer->died);
    writer->died = 1;
    writer->options.listener.die(writer->options.listener.context, exit_code);
}

/* Rule 4: what a commit that failed half way has done, only a restart can tell. */
void writer_failed(struct writer *writer, _Bool outcome_unknown, int r)
{
    owner_assert(&writer->loop.owner);
    assert(r < 0);
    if (outcome_unknown) {
        log_error("commit_unknown", LOG_TEXT("reason", failure_text()));
        if (r == -ERR_CORRUPT)
            damage_mark_write(writer->options.database_path, failure_reason());
        die(writer, EXIT_IO);
        return;
    }
    if (r == -ERR_CORRUPT)
        atomic_store(&writer->options.status->damaged, 1);
    set_disk(writer, r == -ERR_CORRUPT ? DISK_CORRUPT : DISK_DEGRADED, failure_text());
}

/* Nobody may ask a degraded service for anything, so it finds out by itself when the disk is there
 * again. */
static void probe(struct writer *writer)
{
    _Bool outcome_unknown = 0;
    if (atomic_load(&writer->options.status->disk) != DISK_DEGRADED)
        return;
    int r = loop_probe(&writer->loop, &outcome_unknown);
    if (r < 0)
        writer_failed(writer, outcome_unknown, r);
    else
        set_disk(writer, DISK_FINE, "");
}

static void note_folded(struct writer *writer)
{
    _Bool outcome_unknown = 0;
    if (!atomic_exchange(&writer->end_folding, 0) || !writer->loop.at.folding)
        return;
    int r = loop_end_folding(&writer->loop, &outcome_unknown);
    if (r < 0) { /* the sender asks again */
        writer_failed(writer, outcome_unknown, r);
        return;
    }
    atomic_store(&writer->options.status->folding, 0);
    writer->options.listener.folded(writer->options.listener.context);
}

/* A WAL that is not numbered yet gets its number first (store/generation.h): under load with the
 * next batch, else in a transaction of its own. */
static _Bool number_wal(struct writer *writer, _Bool idle)
{
    _Bool outcome_unknown = 0;
    if (db_wal_is_numbered(writer->db) || !idle)
        return db_wal_is_numbered(writer->db);
    int r = loop_number_wal(&writer->loop, &outcome_unknown);
    if (r < 0)
        writer_failed(writer, outcome_unknown, r);
    return r == 0;
}

static void checkpoint(struct writer *writer, _Bool idle)
{
    struct status *status = writer->options.status;
    int64_t wal_bytes = db_wal_bytes(writer->db);
    _Bool due = idle ? wal_bytes >= WAL_IDLE_BYTES
                     : db_wal_pending_bytes(writer->db) >= DB_WAL_MAX_BYTES;
    if (due && !atomic_load(&status->damaged) && !atomic_load(&status->moved) &&
        number_wal(writer, idle)) {
        if (db_checkpoint(writer->db, idle, &wal_bytes) < 0)
            log_warn("checkpoint_failed", LOG_TEXT("reason", failure_text()));
        file_watch_wrote(&writer->watch);
        atomic_store(&status->database_bytes, db_file_bytes(writer->db));
    }
    atomic_store(&status->wal_bytes, wal_bytes);
}

/* The file that the path names is not ours any more: from now on nothing is accepted. */
static void look_at_file(struct writer *writer, int64_t now_ms)
{
    struct status *status = writer->options.status;
    if (atomic_load(&status->moved) || file_watch_look(&writer->watch, writer->db, now_ms) == 0)
        return;
    db_abandon(writer->db);
    atomic_store(&status->moved, 1);
    log_error("moved", LOG_TEXT("reason", failure_reason()),
              LOG_TEXT("help", "nothing is accepted any more; put the files back and start the "
                               "service again, or see docs/OPERATIONS.md, Files that are gone"));
}

/* Refusals that are old enough, a slice at a time; again at once while a slice is full. */
static void forget_refusals(struct writer *writer, int64_t now_ms)
{
    _Bool outcome_unknown = 0;
    if (now_ms < writer->forget_at_ms && !writer->forgets_on)
        return;
    writer->forget_at_ms = now_ms + FORGET_EVERY_MS;
    writer->forgets_on = 0;
    if (atomic_load(&writer->options.status->disk) != DISK_FINE ||
        atomic_load(&writer->options.status->damaged))
        return;
    int r = loop_forget_refusals(&writer->loop, clock_wall_ms(), FORGET_MAX, &outcome_unknown);
    writer->forgets_on = r == FORGET_MAX;
    if (r < 0)
        writer_failed(writer, outcome_unknown, r);
}

/* ---- Between two batches -------------------------------------------------------------------- */

void writer_hold_events(struct writer *writer)
{
    owner_assert(&writer->loop.owner);
    assert(!writer->holds_events && !writer->held);
    writer->holds_events = 1;
    writer->last_held = &writer->held;
}

void writer_release_events(struct writer *writer)
{
    owner_assert(&writer->loop.owner);
    assert(writer->holds_events);
    writer->holds_events = 0;
    if (writer->held)
        inbox_put_back(writer->options.inbox, take(writer->held), writer->last_held);
}

/* Returns how many are left to run. */
static int put_aside(struct writer *writer, int count)
{
    int left = 0;
    if (!writer->holds_events)
        return count;
    for (int i = 0; i < count; i++) {
        struct item *item = writer->items[i];
        if (item->kind == ITEM_EVENT && item->source) {
            *writer->last_held = item;
            writer->last_held = &item->next;
        } else {
            writer->items[left++] = item;
        }
    }
    return left;
}

/* Returns how many items are left to run. */
static int let_others_write(struct writer *writer, int count)
{
    /* before the hook that may release them: what has just come is the newest */
    count = put_aside(writer, count);
    writer->options.listener.between_batches(writer->options.listener.context, writer);
    return put_aside(writer, count);
}

/* ---- The loop ------------------------------------------------------------------------------- */

static void publish_status(struct writer *writer, const struct batch *batch, int count)
{
    struct status *status = writer->options.status;
    assert(!batch->aborted && !batch->outcome_unknown);
    assert(batch->at.fenced || batch->at.head.position >= atomic_load(&status->position));
    atomic_store(&status->orphans, batch->at.orphans);
    atomic_store(&status->position, batch->at.head.position);
    for (int i = 0; i < SOURCES_MAX; i++) {
        atomic_store(&status->sources[i].position, batch->at.cursors[i].position);
        atomic_store(&status->sources[i].parked, batch->at.parked[i]);
    }
    atomic_store(&status->parked, batch->at.parked_count);
    atomic_store(&status->largest_event_bytes, batch->at.largest_event);
    atomic_store(&status->folding, batch->at.folding != 0);
    works_report(writer->loop.process.works, status);
    if (batch->items || batch->events) {
        atomic_store(&status->last_commit_ms, clock_wall_ms());
        atomic_fetch_add(&status->commits, 1);
        atomic_fetch_add(&status->committed_items, count);
        int bucket = 0;
        while (bucket < BATCH_BUCKETS - 1 && count > 1 << bucket)
            bucket++;
        atomic_fetch_add(&status->batch_sizes[bucket], 1);
    }
}

/* When it goes on without an item: the process's next step, in monotonic time. */
static int64_t wait_until(const struct writer *writer, int64_t now_ms)
{
    if (writer->rest_until_ms > 0)
        return writer->rest_until_ms;
    int64_t wall_ms = clock_wall_ms();
    int64_t due_ms = loop_due_ms(&writer->loop), wait_ms = IDLE_MS;
    if (atomic_load(&writer->options.status->disk) == DISK_DEGRADED)
        wait_ms = RETRY_MS; /* it is probed */
    if (due_ms < wall_ms + wait_ms)
        wait_ms = due_ms > wall_ms ? due_ms - wall_ms : 0;
    return writer->forgets_on ? now_ms : now_ms + wait_ms;
}

static void end_batch(struct writer *writer)
{
    writer->options.listener.committed(writer->options.listener.context);
    checkpoint(writer, 0);
}

/* Without the guard: what was answered is committed when the answers are well away. */
static void commit_late(struct writer *writer)
{
    _Bool outcome_unknown = 0;
    assert(writer->commit_is_owed);
    writer->commit_is_owed = 0;
    int r = loop_commit(&writer->loop, &outcome_unknown);
    if (r < 0)
        writer_failed(writer, outcome_unknown, r);
    end_batch(writer);
}

static void drop(struct writer *writer, int count)
{
    for (int i = 0; i < count; i++)
        item_free(writer->items[i]);
}

static void run_batch(struct writer *writer, int count, int64_t wall_ms)
{
    assert(count >= 0 && !writer->commit_is_owed);
    struct batch *batch = batch_new();
    if (!batch) {
        log_error("out_of_memory");
        drop(writer, count);
        die(writer, EXIT_INTERNAL);
        return;
    }
    /* run and commit, as one transaction */
    int r = loop_run(&writer->loop, writer->items, count, wall_ms, batch);
    if (r < 0) {
        writer_failed(writer, batch->outcome_unknown, r);
        if (writer->died) { /* nobody may hear of it */
            batch_free(batch);
            return;
        }
    } else {
        if (batch->items || batch->events) /* an empty transaction says nothing of the disk */
            set_disk(writer, DISK_FINE, "");
        publish_status(writer, batch, count);
    }
    /* settle: on the sender's thread, while the next batch runs here */
    writer->options.listener.settle(writer->options.listener.context, batch);
    if (r < 0 || !GUARD(reply_after_commit))
        writer->rest_until_ms = clock_monotonic_ms() + RETRY_MS;
    if (r == 0 && !GUARD(reply_after_commit))
        writer->commit_is_owed = 1; /* the next turn is commit_late() */
    else
        end_batch(writer);
}

/* While our stream is read into the log, no request waits, and a large batch writes fewer pages. */
static int batch_max(const struct writer *writer)
{
    const _Bool reads_back = atomic_load(&writer->follows) ||
                             atomic_load(&writer->options.status->relay_state) ==
                                 (int)RELAY_RECOVERING;
    return reads_back ? WRITER_BATCH_LIMIT : writer->options.batch_max;
}

/* The phases in their order; see loop.h. */
static _Bool take_and_run(struct writer *writer, int64_t now_ms, int64_t deadline_ms)
{
    struct status *status = writer->options.status;
    owner_assert(&writer->loop.owner);
    atomic_store(&status->writer_turned_ms, now_ms);
    writer->rest_until_ms = 0;
    if (writer->commit_is_owed)
        commit_late(writer);
    /* take: all that is there, so that the batch grows with the load and one request never waits */
    const int max = batch_max(writer);
    int count = inbox_take(writer->options.inbox, writer->items, max, deadline_ms);
    assert(count >= 0 && count <= max);
    if (count == 0 && atomic_load(&writer->stopping))
        return 0;
    look_at_file(writer, now_ms);
    note_folded(writer);
    count = let_others_write(writer, count);
    if (writer->died) {
        drop(writer, count);
        return 0;
    }
    if (atomic_load(&writer->start_process) && !writer->loop.at.fenced)
        loop_start_process(&writer->loop);
    writer->loop.follows = atomic_load(&writer->follows);
    writer->loop.message_bytes_max = atomic_load(&status->max_payload_bytes);
    int64_t wall_ms = clock_wall_ms();
    loop_look_at_clock(&writer->loop, wall_ms);
    if (atomic_load(&status->damaged))
        set_disk(writer, DISK_CORRUPT, "a connection met damage in the file");
    if (count > 0 || loop_due_ms(&writer->loop) <= wall_ms) {
        run_batch(writer, count, wall_ms);
    } else {
        probe(writer);
        forget_refusals(writer, now_ms);
        checkpoint(writer, 1);
    }
    return !writer->died;
}

_Bool writer_turn(struct writer *writer, int64_t now_ms)
{
    if (writer->died || now_ms < writer->rest_until_ms)
        return !writer->died;
    return take_and_run(writer, now_ms, INBOX_NO_WAIT);
}

int64_t writer_due_ms(struct writer *writer, int64_t now_ms)
{
    int64_t due_ms = wait_until(writer, now_ms);
    return due_ms > now_ms && now_ms >= writer->rest_until_ms && inbox_is_due(writer->options.inbox)
               ? now_ms
               : due_ms;
}

/* ---- The thread ----------------------------------------------------------------------------- */

static void sleep_ms(int64_t wait_ms)
{
    nanosleep(&(struct timespec){ .tv_sec = wait_ms / 1000, .tv_nsec = wait_ms % 1000 * 1000000 },
              NULL);
}

static void *writer_main(void *argument)
{
    struct writer *writer = argument;
    int64_t now_ms;
    owner_take(&writer->loop.owner);
    do {
        now_ms = clock_monotonic_ms();
        if (now_ms < writer->rest_until_ms) {
            sleep_ms(writer->rest_until_ms - now_ms);
            now_ms = clock_monotonic_ms();
        }
    } while (take_and_run(writer, now_ms, wait_until(writer, now_ms)));
    return NULL;
}

int writer_start(struct writer *writer)
{
    assert(!writer->runs && writer->db);
    if (pthread_create(&writer->thread, NULL, writer_main, writer) != 0)
        return fail(ERR_MEMORY, "no thread for the writer");
    writer->runs = 1;
    return 0;
}

void writer_stop(struct writer *writer)
{
    if (!writer->runs)
        return;
    atomic_store(&writer->stopping, 1);
    inbox_close(writer->options.inbox);
    pthread_join(writer->thread, NULL);
    owner_release(&writer->loop.owner);
    writer->runs = 0;
}

void writer_deinit(struct writer *writer)
{
    assert(!writer->runs); /* writer_stop joined it */
    loop_close(&writer->loop);
    if (writer->db && db_may_write(writer->db) == 0)
        db_checkpoint(writer->db, 1, NULL);
    db_free(writer->db);
    writer->db = NULL;
    item_list_free(writer->held);
    writer->held = NULL;
}
