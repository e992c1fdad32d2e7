/* Append: what was emitted goes into the log and the tables (rules 1 and 2), whole or not at all
 * while the loop isolates.
 *
 * Isolation: a savepoint around one piece of work. The loop runs without, because SQLite copies
 * each page that changes in one; when an item fails by its own fault the run begins again with them
 * (loop_run), so that this item ends alone. */
#pragma once
#include "runtime/writer/batch.h"

struct loop;

/* Failures that belong to one item; every other one concerns the disk or memory, thus all items. */
_Bool failure_is_of_item(int r);

/* One that ends with its item, because a savepoint takes its effects back. Without savepoints it
 * ends the whole run. */
_Bool isolation_contains(const struct loop *loop, int r);

int isolation_begin(struct loop *loop);
/* Keeps the effects of a piece of work that ended with r, or takes them back. Returns r, or a
 * failure to keep them. */
int isolation_end(struct loop *loop, int r);

/* Appends and applies what a decision emitted; *ret_first (may be NULL) is the first event, in the
 * arena; NULL when nothing was emitted. 0, or < 0: then the loop's head is where it was. */
int append_emissions(struct loop *loop, struct journey *j, struct batch *batch,
                     const struct event **ret_first);
