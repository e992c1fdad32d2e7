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
    const struct config *config; /* where the server is that is asked for others' logs */
    const char *database_path;
    struct status *status;
    struct inbox *inbox; /* of the writer, which is woken when something is wanted of it */
    struct bus *bus;     /* for the answer */
};

struct rebuilder {
    struct rebuilder_options options;
    pthread_mutex_t begin_lock; /* the sender begins, main stops */
    pthread_mutex_t lock;       /* of what is wanted */
    pthread_cond_t turned;
    atomic_int want;    /* enum rebuild_want: of the writer's next turn */
    int result;         /* of that turn */
    char reason[256];   /* of a result < 0: failure texts belong to a thread */
    atomic_bool active; /* a rebuild is under way */
    atomic_bool stopping;
    _Bool joinable; /* there was a thread, and nobody has joined it */
    pthread_t thread;
    struct item *item;       /* the request; the thread's */
    struct rebuild *rebuild; /* the thread's; the writer's while it swaps */
};

/* Removes what a life before left behind. */
void rebuilder_init(struct rebuilder *rebuilder, const struct rebuilder_options *options);
/* takes the request over; the sender's thread */
void rebuilder_begin(struct rebuilder *rebuilder, struct item *item);
_Bool rebuilder_is_active(const struct rebuilder *rebuilder); /* any thread */
/* while the writer runs: ends what is under way, and answers */
void rebuilder_stop(struct rebuilder *rebuilder);

/* The writer's hook between two batches: does what is wanted, then says that it is done. */
void rebuilder_between_batches(struct rebuilder *rebuilder, struct writer *writer);
