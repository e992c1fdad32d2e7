/* Writer: see writer.h. */
#include "runtime/instance.h"
#include "base/clock.h"
#include "base/guard.h"
#include "base/log.h"
#include <time.h>
#include <unistd.h>

#define BATCH_MAX_LIMIT 4096
#define IDLE_MS 1000                          /* looks at the WAL so often when nothing comes */
#define RETRY_MS 50                           /* after a batch that could not be written */
#define WAL_IDLE_BYTES (INT64_C(1024) * 1024) /* checkpointed when nothing waits */
#define LOCK_TIMEOUT_MS 1000

int writer_open(struct writer *writer, struct instance *instance)
{
    writer->instance = instance;
    struct db_options options = { .path = instance->database_path,
                                  .lock_timeout_ms = LOCK_TIMEOUT_MS,
                                  .damaged = &instance->status.damaged };
    int r = db_open(&options, &writer->db);
    if (r == 0)
        r = loop_open(&writer->loop, instance->service, instance->config->option_values, writer->db,
                      0);
    if (r < 0)
        return trace(r);
    atomic_store(&instance->status.position, writer->loop.at.head.position);
    atomic_store(&instance->status.parked, writer->loop.at.parked_count);
    atomic_store(&instance->status.folding, writer->loop.at.folding != 0);
    for (int i = 0; i < SOURCES_MAX; i++)
        atomic_store(&instance->status.sources[i].position, writer->loop.at.cursors[i].position);
    return 0;
}

/* ---- State of the disk ---------------------------------------------------------------------- */

static void set_disk(struct instance *instance, enum disk_state state, const char *reason)
{
    if (atomic_exchange(&instance->status.disk, state) == (int)state)
        return;
    if (state == DISK_FINE)
        log_info("recovered", LOG_TEXT("state", status_name(&instance->status)));
    else
        log_error(state == DISK_CORRUPT ? "corrupt" : "degraded", LOG_TEXT("reason", reason));
}

/* Rule 4: what a commit that failed half way has done, only a restart can tell. */
static void note_failure(struct writer *writer, _Bool outcome_unknown, int r)
{
    struct instance *instance = writer->instance;
    if (outcome_unknown) {
        log_error("commit_unknown", LOG_TEXT("reason", failure_text()));
        _exit(EXIT_IO);
    }
    if (r == -ERR_CORRUPT)
        atomic_store(&instance->status.damaged, 1);
    set_disk(instance, r == -ERR_CORRUPT ? DISK_CORRUPT : DISK_DEGRADED, failure_text());
}

/* Nobody may ask a degraded service for anything, so it finds out by itself when the disk is there
 * again. */
static void probe(struct writer *writer)
{
    _Bool outcome_unknown = 0;
    if (atomic_load(&writer->instance->status.disk) != DISK_DEGRADED)
        return;
    int r = loop_probe(&writer->loop, &outcome_unknown);
    if (r < 0)
        note_failure(writer, outcome_unknown, r);
    else
        set_disk(writer->instance, DISK_FINE, "");
}

static void end_folding(struct writer *writer)
{
    _Bool outcome_unknown = 0;
    if (!atomic_exchange(&writer->end_folding, 0) || !writer->loop.at.folding)
        return;
    int r = loop_end_folding(&writer->loop, &outcome_unknown);
    if (r < 0) { /* the sender asks again */
        note_failure(writer, outcome_unknown, r);
        return;
    }
    atomic_store(&writer->instance->status.folding, 0);
    sender_wake(&writer->instance->sender);
}

static void checkpoint(struct writer *writer, _Bool idle)
{
    struct status *status = &writer->instance->status;
    int64_t wal_bytes = db_wal_bytes(writer->db);
    _Bool due = idle ? wal_bytes >= WAL_IDLE_BYTES
                     : db_wal_pending_bytes(writer->db) >= DB_WAL_MAX_BYTES;
    if (due && !atomic_load(&status->damaged)) {
        if (db_checkpoint(writer->db, idle, &wal_bytes) < 0)
            log_warn("checkpoint_failed", LOG_TEXT("reason", failure_text()));
        atomic_store(&status->database_bytes, db_file_bytes(writer->db));
    }
    atomic_store(&status->wal_bytes, wal_bytes);
}

/* ---- A rebuild ------------------------------------------------------------------------------ */

void writer_hold_events(struct writer *writer)
{
    writer->holds_events = 1;
    writer->last_held = &writer->held;
}

void writer_release_events(struct writer *writer)
{
    writer->holds_events = 0;
    if (writer->held)
        inbox_put_back(&writer->instance->inbox, take(writer->held), writer->last_held);
}

/* Returns how many are left to run. */
static int put_aside(struct writer *writer, struct item **items, int count)
{
    int left = 0;
    for (int i = 0; i < count; i++) {
        if (items[i]->kind == ITEM_EVENT && items[i]->source) {
            *writer->last_held = items[i];
            writer->last_held = &items[i]->next;
        } else {
            items[left++] = items[i];
        }
    }
    return left;
}

/* Between two batches, when all that was taken in is committed. */
static void turn_for_rebuild(struct writer *writer)
{
    struct rebuilder *rebuilder = &writer->instance->rebuilder;
    _Bool outcome_unknown = 0;
    int r = rebuilder_turn(rebuilder, writer, &outcome_unknown);
    if (outcome_unknown || r == -ERR_CORRUPT)
        note_failure(writer, outcome_unknown, r);
    rebuilder_turned(rebuilder, r);
}

/* ---- The loop ------------------------------------------------------------------------------- */

static void publish_status(struct writer *writer, const struct batch *batch, int count)
{
    struct status *status = &writer->instance->status;
    atomic_store(&status->position, batch->at.head.position);
    for (int i = 0; i < SOURCES_MAX; i++)
        atomic_store(&status->sources[i].position, batch->at.cursors[i].position);
    atomic_store(&status->parked, batch->at.parked_count);
    atomic_store(&status->folding, batch->at.folding != 0);
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

/* When the inbox should let us go on without an item: the process's next step, in monotonic
 * time. */
static int64_t wait_until(const struct writer *writer, int64_t wall_ms)
{
    int64_t due_ms = loop_due_ms(&writer->loop), wait_ms = IDLE_MS;
    if (due_ms < wall_ms + wait_ms)
        wait_ms = due_ms > wall_ms ? due_ms - wall_ms : 0;
    return clock_monotonic_ms() + wait_ms;
}

/* Without the guard: what was answered is committed when the answers are well away. */
static void commit_late(struct writer *writer)
{
    _Bool outcome_unknown = 0;
    nanosleep(&(struct timespec){ .tv_nsec = RETRY_MS * 1000000L }, NULL);
    int r = loop_commit(&writer->loop, &outcome_unknown);
    if (r < 0)
        note_failure(writer, outcome_unknown, r);
}

static void *writer_main(void *argument)
{
    struct writer *writer = argument;
    struct instance *instance = writer->instance;
    struct item *items[BATCH_MAX_LIMIT];
    int batch_max = instance->config->batch_max < BATCH_MAX_LIMIT ? (int)instance->config->batch_max
                                                                  : BATCH_MAX_LIMIT;
    _Bool failed = 0;
    for (;;) {
        atomic_store(&instance->status.writer_turned_ms, clock_monotonic_ms());
        /* take: all that is there, so that the batch grows with the load and one request never
         * waits */
        int64_t deadline = failed ? clock_monotonic_ms() : wait_until(writer, clock_wall_ms());
        int count = inbox_take(&instance->inbox, items, batch_max, deadline);
        if (count == 0 && atomic_load(&writer->stopping))
            break;
        end_folding(writer);
        /* before the turn that may release them: what has just come is the newest */
        if (writer->holds_events)
            count = put_aside(writer, items, count);
        turn_for_rebuild(writer);
        if (writer->holds_events)
            count = put_aside(writer, items, count);
        if (atomic_load(&writer->start_process))
            loop_start_process(&writer->loop);
        int64_t wall_ms = clock_wall_ms();
        loop_look_at_clock(&writer->loop, wall_ms);
        if (atomic_load(&instance->status.damaged))
            set_disk(instance, DISK_CORRUPT, "a connection met damage in the file");
        if (count == 0 && loop_due_ms(&writer->loop) > wall_ms) {
            probe(writer);
            checkpoint(writer, 1);
            continue;
        }
        struct batch *batch = batch_new();
        if (!batch) {
            log_error("out_of_memory");
            _exit(EXIT_INTERNAL);
        }
        /* run and commit, as one transaction */
        int r = loop_run(&writer->loop, items, count, wall_ms, batch);
        failed = r < 0;
        if (failed) {
            note_failure(writer, batch->outcome_unknown, r);
        } else {
            if (batch->items || batch->events) /* an empty transaction says nothing of the disk */
                set_disk(instance, DISK_FINE, "");
            publish_status(writer, batch, count);
        }
        /* settle: on the sender's thread, while the next batch runs here */
        sender_settle(&instance->sender, batch);
        if (!failed && !GUARD(reply_after_commit))
            commit_late(writer);
        readers_committed(&instance->readers);
        checkpoint(writer, 0);
        if (failed)
            nanosleep(&(struct timespec){ .tv_nsec = RETRY_MS * 1000000L }, NULL);
    }
    return NULL;
}

int writer_start(struct writer *writer)
{
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
    inbox_close(&writer->instance->inbox);
    pthread_join(writer->thread, NULL);
    writer->runs = 0;
}

void writer_deinit(struct writer *writer)
{
    loop_close(&writer->loop);
    if (writer->db)
        db_checkpoint(writer->db, 1, NULL);
    db_free(writer->db);
    writer->db = NULL;
    item_list_free(writer->held);
    writer->held = NULL;
}
