/* Operations: what a person asks of a running service, in one place: `order.redrive` (parked events
 * are tried again) and `order.rebuild` (the tables are folded anew). Each comes from an endpoint as
 * an item, goes to the sender's thread, and is given there to the part that does it, which answers.
 *
 * One operation at a time: what is redriven would be in the tables that serve and not in those that
 * are folded anew, whose fold has passed it. Who comes meanwhile is told `busy`, and so is who waits
 * when the service stops. */
#pragma once
#include "runtime/outbound/sender.h"
#include "runtime/repair/rebuilder.h"

#define OPERATIONS 2 /* kinds of them */

struct operations {
    struct sender *sender; /* borrowed */
    struct rebuilder rebuilder;
    char subjects[OPERATIONS][64];
    struct operator_request requests[OPERATIONS + 1]; /* for the endpoints; ends with { 0 } */
};

/* Removes what a rebuild of a life before left behind. */
void operations_init(struct operations *operations, struct sender *sender,
                     const struct rebuilder_options *options);

/* An endpoint's sink: takes the item over. Any thread. The context is a struct operations. */
int operations_accept(void *context, struct item *item);

/* The sender's: takes the item over. On its thread. The context likewise. */
void operations_begin(void *context, struct item *item, int64_t now_ms);

/* The writer's hook. On its thread. */
void operations_between_batches(struct operations *operations, struct writer *writer);

/* While the writer runs: ends a rebuild, which may want something of it. No other begins. */
void operations_stop(struct operations *operations);
/* When the sender's thread has ended: answers who waits for a redrive. */
void operations_end(struct operations *operations);
