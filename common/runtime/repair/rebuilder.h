/* Rebuilder: `order.rebuild` while the service goes on serving. A thread that lives as long as one
 * rebuild folds all logs into a scratch file and compares (rebuild.h), with connections of its own
 * to the files and to the server, so that nobody waits for it. It needs the writer only when rows
 * differ, between two batches:
 *
 *     IDLE ── request ──► FOLDING ──► COMPARING ── nothing differs ──► IDLE, with the reply
 *                            ▲            │ rows differ
 *                            │        HOLDING     the writer puts others' events aside, so that our
 *                            │            │       cursors rest
 *                            │            │ the fold has reached them
 *                            └────────SWAPPING    the writer folds the rest of our own log, and
 *                                                 corrects the rows in one transaction; others'
 *                                                 events go on
 *
 * It compares once more after a swap: an event that was applied between comparing and swapping may
 * have carried what was wrong in one row to another. */
#pragma once
#include <pthread.h>
#include <stdatomic.h>
#include "bus/bus.h"
#include "runtime/core/config.h"
#include "runtime/core/status.h"
#include "runtime/request/inbox.h"
#include "runtime/writer/writer.h"

struct rebuild;

struct rebuilder_options { /* all borrowed for the life of the rebuilder */
    const struct service *service;
    const struct config *config; /* of the server */
    const char *database_path;
    struct status *status;
    struct inbox *inbox; /* of the writer, to wake it */
    struct bus *bus;     /* for the reply */
};

struct rebuilder {
    struct rebuilder_options options;
    pthread_mutex_t begin_lock; /* the sender's thread begins, main stops */
    pthread_mutex_t lock;       /* of `want`, `result`, `reason` */
    pthread_cond_t turned;      /* the writer has done what was wanted */
    atomic_int want;            /* enum rebuild_want, for the writer */
    int result;                 /* of what was wanted */
    char reason[256];           /* of a result < 0, because failure texts are thread-local */
    atomic_bool active;         /* a rebuild is under way */
    atomic_bool stopping;
    _Bool joinable; /* a thread was started and not joined yet */
    pthread_t thread;
    struct item *item;       /* the request; the thread's */
    struct rebuild *rebuild; /* the thread's; the writer's while it swaps */
};

/* Removes the scratch file that an earlier process has left. */
void rebuilder_init(struct rebuilder *rebuilder, const struct rebuilder_options *options);
/* Owns the request from now on, and replies to it. On the sender's thread. */
void rebuilder_begin(struct rebuilder *rebuilder, struct item *item);
_Bool rebuilder_is_active(const struct rebuilder *rebuilder); /* any thread */
/* Ends a rebuild under way, and replies to its request. The writer must still run. */
void rebuilder_stop(struct rebuilder *rebuilder);

/* The writer's hook between two batches: does what is wanted, and wakes the rebuilder. */
void rebuilder_between_batches(struct rebuilder *rebuilder, struct writer *writer);
