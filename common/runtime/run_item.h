/* Run item: what one item does inside the loop's transaction, whole or not at all. */
#pragma once
#include "runtime/loop.h"

/* 0 with item->outcome set, or < 0: the whole batch must be rolled back. */
int run_item(struct loop *loop, struct item *item, int64_t wall_ms, struct batch *batch);

/* One step of the process. Same results. */
int run_step(struct loop *loop, int64_t wall_ms, struct batch *batch);

/* Appends and applies what a decision emitted; *ret_first (may be NULL) is the first event, in the
 * arena. Atomic: a failure undoes all of it. */
int append_emissions(struct loop *loop, struct journey *j, struct batch *batch, const struct event **ret_first);
