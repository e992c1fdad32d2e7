/* Lane: a bounded queue of requests that is fair among clients. Each client has a queue of its own
 * here, and the queues are served in turns, so a flood of one client does not delay the requests of
 * the others. The last eighth of the places is for clients that hold few of them, so a flood does
 * not take all places either.
 *
 * Clients are told apart by item->client. Two clients may share a queue by chance. Stepped under
 * its owner's lock.
 *
 * Invariants (lane_check):
 *   C1  `length` is the number of all items, and 0 exactly when no queue is marked as filled
 *   C2  a queue is marked as filled exactly when it has items, and its list ends with `last` */
#pragma once
#include "runtime/core/item.h"

#define LANE_CLIENTS 256 /* queues */

struct lane_queue {
    struct item *first, *last;
    int length;
};

struct lane {
    int max;
    int length;
    int served; /* the queue that gave the newest item */
    uint64_t filled[LANE_CLIENTS / 64];
    struct lane_queue queues[LANE_CLIENTS];
};

void lane_init(struct lane *lane, int max);
void lane_deinit(struct lane *lane); /* frees what is left in it */
void lane_check(const struct lane *lane, uint32_t client);

_Bool lane_has_room(const struct lane *lane, uint32_t client);
void lane_add(struct lane *lane, struct item *item); /* has_room or not: the caller decides */
struct item *lane_take(struct lane *lane);           /* NULL: it is empty */
