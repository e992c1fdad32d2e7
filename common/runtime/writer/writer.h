/* Writer: the one thread that changes the database. It takes items from the inbox, lets the loop
 * run and commit them (loop.h), and gives the batch to its listener. Between batches it moves the
 * WAL into the database file.
 *
 * Other parts are known to it only as callbacks (struct writer_listener), which it calls on its
 * thread. A turn does not wait, so a scheduler may take the place of the thread:
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
#include "runtime/writer/file_watch.h"
#include "runtime/writer/loop.h"

#define WRITER_BATCH_LIMIT 4096 /* items in one commit, whatever is configured */

struct writer;

struct writer_listener { /* called on the writer's thread */
    void *context;
    /* owns the batch from now on; it was committed, or rolled back (rule 4) */
    void (*settle)(void *context, struct batch *batch);
    /* the status has new positions: after each batch, after settle */
    void (*committed)(void *context);
    /* writer_end_folding is done: META_FOLDING is cleared */
    void (*folded)(void *context);
    /* Between two batches, when all items taken so far are committed: may write to writer->db in a
     * transaction of its own, and hold others' events. Reports a failure by writer_failed. */
    void (*between_batches)(void *context, struct writer *writer);
    /* Ends the process at once: the outcome of a commit is unknown (rule 4), or there is no memory.
     * In a simulation it may return; the writer does nothing more then. */
    void (*die)(void *context, int exit_code);
};

struct writer_options { /* all borrowed for the life of the writer */
    const struct service *service;
    const char *const *option_values;
    const char *database_path;
    struct status *status;
    struct inbox *inbox;
    int batch_max;            /* items in one commit */
    int64_t refusals_keep_ms; /* how long a refusal under a key is remembered; 0: for ever */
    uint64_t seed;            /* of ids; 0: random bits from the kernel */
    _Bool wants_term;         /* an ITEM_TERM comes before anything is decided */
    struct writer_listener listener;
};

struct writer {
    struct writer_options options;
    struct db *db; /* the writing connection; owned */
    struct loop loop;
    struct file_watch watch;
    atomic_bool stopping;      /* the inbox is closed: end when it is empty */
    atomic_bool end_folding;   /* writer_end_folding was called */
    atomic_bool start_process; /* writer_start_process was called */
    atomic_bool follows;       /* writer_follow was called */
    _Bool died;                /* listener.die was called, and has returned */
    _Bool commit_is_owed;      /* without GUARD(reply_after_commit): settled, not yet committed */
    int64_t rest_until_ms;     /* monotonic: no batch before, after a failure; 0: none failed */
    int64_t forget_at_ms;      /* monotonic: looks for refusals to forget */
    _Bool forgets_on;          /* and there may be more */
    _Bool holds_events;        /* others' events go to `held` */
    struct item *held, **last_held;
    struct item *items[WRITER_BATCH_LIMIT]; /* of the batch that was taken */
    pthread_t thread;
    _Bool runs;
};

/* Opens the database, creates its tables, and sets the positions in the status; starts no thread.
 * ERR_CORRUPT: the file is damaged, or was found to be in an earlier life (store/damage_mark.h);
 * ERR_CONFIG: it is another program's, or the WAL beside it another file's (store/generation.h). */
int writer_open(struct writer *writer, const struct writer_options *options);
int writer_start(struct writer *writer);
void writer_stop(struct writer *writer); /* runs what is in the inbox, then joins */
void writer_deinit(struct writer *writer);

/* One pass without waiting: takes up to batch_max items, runs and commits them, and settles the
 * batch. It also does what is due without an item: steps of the process, the probe of a full disk,
 * checkpoints. now_ms is monotonic; the wall clock is read (base/clock.h). False: it was stopped
 * and the inbox is empty, or it has died. */
_Bool writer_turn(struct writer *writer, int64_t now_ms);

/* Monotonic time of its next turn; at most now_ms while the inbox has items. */
int64_t writer_due_ms(struct writer *writer, int64_t now_ms);

/* ---- From other threads ---------------------------------------------------------------------- */

/* The projections have caught up: META_FOLDING is cleared, then listener.folded is called. */
void writer_end_folding(struct writer *writer);
/* Another instance leads: others' events are applied, and nothing is decided or reacted to. */
void writer_follow(struct writer *writer, _Bool follows);
/* Our log agrees with our stream: the process may run. */
void writer_start_process(struct writer *writer);

/* ---- On its own thread, between two batches -------------------------------------------------- */

/* Holds others' events back, so that our cursors do not move; then lets them go on, in their order.
 * At most as many wait as the feeds have in flight. */
void writer_hold_events(struct writer *writer);
void writer_release_events(struct writer *writer);

/* Reports that a transaction other than a batch has failed. Ends the process when its outcome is
 * unknown (rule 4; see listener.die). */
void writer_failed(struct writer *writer, _Bool outcome_unknown, int r);
