/* Operations: what an operator asks of a running service: `order.redrive` (parked events are tried
 * again) and `order.rebuild` (the tables are folded anew); who leads: `order.hand-over`,
 * `order.take-over`; what was set aside: `order.orphans`; and what a reader of its log asks:
 * `order.durable.<reader>.make` (its durable on our stream). An endpoint makes an item of the
 * request, the sender's thread takes it, and gives it to the part that does the work and sends the
 * reply. How an instance is (`order.status`) stands in the table, and watch/brief.h answers it.
 *
 * One of an operator's at a time, because a redrive would change the tables that serve, and not
 * those that a rebuild has folded already. A request that comes meanwhile is refused as `busy`, and
 * so is one that is under way when the service stops. */
#pragma once
#include <stdatomic.h>
#include "runtime/outbound/sender.h"
#include "runtime/repair/rebuilder.h"

#define OPERATIONS 7          /* kinds of them */
#define OPERATIONS_WAITING 64 /* of operators, and of readers; beyond it: busy */

struct operations {
    struct sender *sender; /* borrowed */
    struct rebuilder rebuilder;
    char subjects[OPERATIONS][64];
    struct operator_request requests[OPERATIONS + 1]; /* for the endpoints; ends with { 0 } */
    /* on their way to the sender: of operators, and of readers */
    atomic_int operators_waiting, readers_waiting;
};

/* Removes what a rebuild of a life before left behind. */
void operations_init(struct operations *operations, struct sender *sender,
                     const struct rebuilder_options *options);

/* An endpoint's sink: takes the item over, or REFUSED_BUSY. Any thread. The context is a struct
 * operations. */
int operations_accept(void *context, struct item *item);

/* The sender's: takes the item over. On its thread. The context likewise. */
void operations_begin(void *context, struct item *item, int64_t now_ms);

/* The writer's hook. On its thread. */
void operations_between_batches(struct operations *operations, struct writer *writer);

/* While the writer runs: ends a rebuild, which may want something of it. No other begins. */
void operations_stop(struct operations *operations);
/* When the sender's thread has ended: answers who waits for a redrive. */
void operations_end(struct operations *operations);
