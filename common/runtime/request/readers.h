/* Readers: the threads that answer queries, each with its own read-only connection. A query that
 * demands positions (min_position) waits here until they are committed, for a bounded time.
 *
 * Invariants, whenever the lock is free (readers_check):
 *   Q1  without a query that is ready, the next becomes the first; the list ends where `last` says
 *   Q2  `length` is 0 exactly when nothing is ready and nothing waits; it is at most queue_max
 *
 * A scheduler may take the threads' place: readers_turn runs at most one query, and does not
 * wait. */
#pragma once
#include <pthread.h>
#include "runtime/request/query.h"

#define READERS_MAX 8

struct readers_options { /* all borrowed */
    const struct service *service;
    const char *const *option_values;
    const char *database_path;
    struct status *status;
    /* sends the answer and frees the item; on a reader's thread */
    void (*reply)(void *context, struct item *item);
    void *context;
    int queue_max;
    uint64_t seed; /* of ids; 0: random bits from the kernel */
};

struct readers {
    struct readers_options options;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct item *first, **last; /* ready to run */
    struct item *waiting;       /* for a position */
    int length;                 /* of both */
    _Bool stopping;
    pthread_t threads[READERS_MAX];
    int thread_count;
};

void readers_check(const struct readers *readers); /* with the lock held */
void readers_init(struct readers *readers, const struct readers_options *options);
int readers_start(struct readers *readers, int thread_count);
void readers_stop(struct readers *readers);   /* answers what is queued, then joins */
void readers_deinit(struct readers *readers); /* frees what is left */

/* 0, or REFUSED_BUSY: the caller keeps it */
int readers_push(struct readers *readers, struct item *item);
void readers_committed(struct readers *readers); /* the status has new positions */
int readers_length(struct readers *readers);

/* ---- One reader ------------------------------------------------------------------------------ */

/* Its connection is opened, or tried again, when there is a query. */
void reader_init(struct reader *reader, const struct readers *readers);
void reader_deinit(struct reader *reader);

/* Runs at most one query that is ready, or whose time is up. False: there is none. now_ms is
 * monotonic. */
_Bool readers_turn(struct readers *readers, struct reader *reader, int64_t now_ms);

/* When there is, or will be, something for readers_turn; at most now_ms: at once. */
int64_t readers_due_ms(struct readers *readers, int64_t now_ms);
