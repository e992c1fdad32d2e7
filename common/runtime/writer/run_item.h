/* Run item: what one item does inside the loop's transaction, whole or not at all. */
#pragma once
#include "runtime/writer/loop.h"

/* Failures that belong to one item; every other one concerns the disk or memory, thus all items. */
_Bool run_item_is_own_fault(int r);

/* 0 with item->outcome set, or < 0: the whole batch must be rolled back. */
int run_item(struct loop *loop, struct item *item, int64_t wall_ms, struct batch *batch);

/* One step of the process. Same results. */
int run_step(struct loop *loop, int64_t wall_ms, struct batch *batch);

/* Appends and applies what a decision emitted; *ret_first (may be NULL) is the first event, in the
 * arena. Atomic while the loop isolates: a failure of its own undoes all of it. */
int append_emissions(struct loop *loop, struct journey *j, struct batch *batch,
                     const struct event **ret_first);
