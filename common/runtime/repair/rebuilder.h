/* Rebuilder: `order.rebuild` while the service goes on serving. A thread that lives as long as one
 * rebuild folds all logs into a scratch file and compares (rebuild.h), with connections of its own
 * to the files and to the server, so that nobody waits for it. Only when rows differ it wants
 * something of the writer, between two batches:
 *
 *      idle ──request──► folding ──► comparing ──nothing differs──► idle, with the reply
 *                           ▲            │ rows differ
 *                           │        holding     the writer puts others' events aside: our cursors rest
 *                           │            │ the fold has reached them
 *                           └────────swapping    the writer folds the rest of our own log, and puts the rows right in one
 *                                                transaction; others' events go on
 *
 * After a swap it compares once more: an event that was applied between comparing and swapping may
 * have carried what was wrong in one row to another. */
#pragma once
#include <pthread.h>
#include <stdatomic.h>
#include "runtime/core/item.h"

struct instance;
struct rebuild;
struct writer;

struct rebuilder {
    struct instance *instance;
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

/* removes what a life before left behind */
void rebuilder_init(struct rebuilder *rebuilder, struct instance *instance);
/* takes the request over; the sender's thread */
void rebuilder_begin(struct rebuilder *rebuilder, struct item *item);
_Bool rebuilder_is_active(const struct rebuilder *rebuilder); /* any thread */
/* while the writer runs: ends what is under way, and answers */
void rebuilder_stop(struct rebuilder *rebuilder);

/* The writer's hook between two batches: does what is wanted, then says that it is done. */
void rebuilder_between_batches(struct rebuilder *rebuilder, struct writer *writer);
