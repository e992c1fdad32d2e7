/* Readers: the threads that answer queries, each with its own read-only connection. Nothing that
 * one client does keeps the others, or the services that heal, from being answered:
 *
 *   - The runtime's own queries (`.events`, `.parked`), with which services heal one another, have
 *     a queue of their own. The readers take one of it and one of the journeys' in turns.
 *   - Each queue is bounded by queue_max, and takes its clients in turns (fair_queue.h).
 *   - A query that demands positions (min_position) waits, for a bounded time, until they are
 *     committed. Those that wait have a list and a bound of their own; at the bound the newest is
 *     refused. An eighth of the places is for clients that hold few of them.
 *
 * Invariants, whenever the lock is free (readers_check):
 *   Q1  `waiting` is in the order in which the queries came, and ends where `last_waiting` says
 *   Q2  `waiting_count` is 0 exactly when none waits, and at most QUERIES_WAITING_MAX and queue_max
 *   Q3  a queue has at most queue_max queries, and as many as may wait beside
 *
 * A scheduler may take the threads' place: readers_turn runs at most one query, and does not
 * wait. */
#pragma once
#include <pthread.h>
#include "runtime/request/fair_queue.h"
#include "runtime/request/query.h"

#define READERS_MAX 8
#define QUERIES_WAITING_MAX \
    1024 /* queries that wait for a position; 2 s of them, so 512 a second */

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
    struct fair_queue healing;            /* the runtime's queries, ready to run */
    struct fair_queue journeys;           /* the others, ready to run */
    _Bool has_healed;                     /* the newest that was taken came from `healing` */
    struct item *waiting, **last_waiting; /* for a position; the first gives up first */
    int waiting_count;
    _Bool positions_moved; /* since somebody looked at those that wait */
    _Bool stopping;
    pthread_t threads[READERS_MAX];
    int thread_count;
};

void readers_check(const struct readers *readers); /* with the lock held */
void readers_init(struct readers *readers, const struct readers_options *options);
int readers_start(struct readers *readers, int thread_count);
void readers_stop(struct readers *readers);   /* answers what is queued, then joins */
void readers_deinit(struct readers *readers); /* frees what is left */

/* 0, or REFUSED_BUSY: the caller keeps it; its message says what is full */
int readers_push(struct readers *readers, struct item *item);
void readers_committed(struct readers *readers); /* the status has new positions */
/* Of both queues and those that wait; of those that wait alone. */
int readers_length(struct readers *readers);
int readers_waiting(struct readers *readers);

/* ---- One reader ------------------------------------------------------------------------------ */

/* Its connection is opened, or tried again, when there is a query. */
void reader_init(struct reader *reader, const struct readers *readers);
void reader_deinit(struct reader *reader);

/* Runs at most one query that is ready, or whose time is up. False: there is none. now_ms is
 * monotonic. */
_Bool readers_turn(struct readers *readers, struct reader *reader, int64_t now_ms);

/* When there is, or will be, something for readers_turn; at most now_ms: at once. */
int64_t readers_due_ms(struct readers *readers, int64_t now_ms);
