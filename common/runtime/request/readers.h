/* Readers: the threads that answer queries, each with its own read-only connection. A query that
 * demands positions (min_position) waits here until they are committed, for a bounded time. */
#pragma once
#include <pthread.h>
#include "runtime/request/query.h"

#define READERS_MAX 8

struct readers {
    const struct service *service;
    const char *const *option_values;
    const char *database_path;
    struct status *status;
    /* sends the answer and frees the item; on a reader's thread */
    void (*reply)(void *context, struct item *item);
    void *context;
    int queue_max;

    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct item *first, **last; /* ready to run */
    struct item *waiting;       /* for a position */
    int length;                 /* of both */
    _Bool stopping;
    pthread_t threads[READERS_MAX];
    int thread_count;
};

int readers_start(struct readers *readers, int thread_count);
void readers_stop(struct readers *readers); /* answers what is queued, then joins */
/* 0, or REFUSED_BUSY: the caller keeps it */
int readers_push(struct readers *readers, struct item *item);
void readers_committed(struct readers *readers); /* status has new positions; looks at who waits */
int readers_length(struct readers *readers);
