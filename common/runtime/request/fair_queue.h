/* Fair queue: a bounded queue of requests that is fair among clients. Each client has a queue of
 * its own in it, and the clients are served in turns, so a flood of one client does not delay the
 * requests of the others. The last eighth of the places is for clients that hold few of them, so a
 * flood does not take all places either.
 *
 * Clients are told apart by item->client. Two clients may share a queue by chance. Stepped under
 * its owner's lock.
 *
 * Invariants (fair_queue_check):
 *   C1  `length` is the number of all items, and 0 exactly when no queue is marked as filled
 *   C2  a queue is marked as filled exactly when it has items, and its list ends with `last` */
#pragma once
#include "runtime/core/item.h"

#define FAIR_QUEUE_CLIENTS 256 /* queues */

struct client_queue {
    struct item *first, *last;
    int length;
};

struct fair_queue {
    int max;
    int length;
    int served; /* the queue that gave the newest item */
    uint64_t filled[FAIR_QUEUE_CLIENTS / 64];
    struct client_queue queues[FAIR_QUEUE_CLIENTS];
};

void fair_queue_init(struct fair_queue *fair, int max);
void fair_queue_deinit(struct fair_queue *fair); /* frees what is left in it */
void fair_queue_check(const struct fair_queue *fair, uint32_t client);

_Bool fair_queue_has_room(const struct fair_queue *fair, uint32_t client);
void fair_queue_add(struct fair_queue *fair,
                    struct item *item);                /* has_room or not: the caller decides */
struct item *fair_queue_take(struct fair_queue *fair); /* NULL: it is empty */
