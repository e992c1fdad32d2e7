/* Writer: the one thread that changes the database. It turns the loop (loop.h): take, run, commit,
 * and hands on what is to be settled. Between batches it moves the WAL into the file.
 *
 * It knows none of those who listen to it: they are called (struct writer_listener) on its thread.
 * Nothing in a turn waits, so a scheduler may take the place of the thread:
 *
 *     writer_open
 *     while (writer_turn(&writer, now_ms)) now_ms = … writer_due_ms(&writer, now_ms) …
 *     writer_deinit
 *
 * writer_start does the same on a thread, which sleeps until an item comes or the due time. */
#pragma once
#include <pthread.h>
#include "runtime/core/status.h"
#include "runtime/request/inbox.h"
#include "runtime/writer/loop.h"

#define WRITER_BATCH_LIMIT 4096 /* items in one commit, whatever is configured */

struct writer;

struct writer_listener { /* called on the writer's thread */
    void *context;
    /* takes the batch over; after its commit, or when it was rolled back (rule 4) */
    void (*settle)(void *context, struct batch *batch);
    /* the status has new positions: after each batch, behind settle */
    void (*committed)(void *context);
    /* what writer_end_folding asked for is in the file */
    void (*folded)(void *context);
    /* Between two batches, when all that was taken in is committed: may write by writer->db in a
     * transaction of its own, and put others' events aside. A failure goes to writer_failed. */
    void (*between_batches)(void *context, struct writer *writer);
    /* A commit has an unknown outcome (rule 4), or there is no memory: ends the process at once. A
     * simulation may return from it; the writer does nothing more then. */
    void (*die)(void *context, int exit_code);
};

struct writer_options { /* all borrowed for the life of the writer */
    const struct service *service;
    const char *const *option_values;
    const char *database_path;
    struct status *status;
    struct inbox *inbox;
    int batch_max; /* items in one commit */
    uint64_t seed; /* of ids; 0: random bits from the kernel */
    struct writer_listener listener;
};

struct writer {
    struct writer_options options;
    struct db *db; /* the writing connection; owned */
    struct loop loop;
    atomic_bool stopping;      /* the inbox is closed: end when it is empty */
    atomic_bool end_folding;   /* the projections are where they were, the sender says */
    atomic_bool start_process; /* our log agrees with our stream: the process may run */
    _Bool died;                /* listener.die was called, and has returned */
    _Bool commit_is_owed;      /* without a guard: the batch was answered and not committed */
    int64_t rest_until_ms;     /* monotonic; after a failure nothing is tried before; 0 */
    _Bool holds_events;        /* others' events are put aside */
    struct item *held, **last_held;
    struct item *items[WRITER_BATCH_LIMIT]; /* of the batch that was taken */
    pthread_t thread;
    _Bool runs;
};

/* Opens the database, makes its tables, and sets the status' positions; no thread yet. */
int writer_open(struct writer *writer, const struct writer_options *options);
int writer_start(struct writer *writer);
void writer_stop(struct writer *writer); /* runs what is in the inbox, then joins */
void writer_deinit(struct writer *writer);

/* One pass, which does not wait: takes what the inbox has, up to batch_max, runs and commits it,
 * and hands it on; what is due without an item is done as well (the process's steps, the probe of a
 * full disk, checkpoints). now_ms is monotonic; the wall clock is read (base/clock.h). False: a
 * stop was asked for and nothing is left, or it has died. */
_Bool writer_turn(struct writer *writer, int64_t now_ms);

/* When it wants its next turn, in monotonic time: at most now_ms when the inbox has something. */
int64_t writer_due_ms(struct writer *writer, int64_t now_ms);

/* ---- From other threads ---------------------------------------------------------------------- */

/* The projections are where they were: that is written (listener.folded), and requests may be
 * taken. */
void writer_end_folding(struct writer *writer);
/* Our log agrees with our stream: the process may run. */
void writer_start_process(struct writer *writer);

/* ---- On its own thread, between two batches -------------------------------------------------- */

/* Others' events are put aside, so that our cursors rest; then they go on, in their order. So many
 * may wait as the feeds have in flight. */
void writer_hold_events(struct writer *writer);
void writer_release_events(struct writer *writer);

/* A transaction that was not a batch has failed: the disk's state is noted, as after a batch. Does
 * not return when the outcome is unknown (rule 4), but see die. */
void writer_failed(struct writer *writer, _Bool outcome_unknown, int r);
