/* Append: writes emitted events to the log and applies them to the tables (rules 1 and 2).
 *
 * Isolation: a savepoint around one item, so that a failure of this item leaves no trace. The loop
 * runs without savepoints first, and repeats the run with them when an item fails (loop_run). */
#pragma once
#include "runtime/writer/batch.h"

struct loop;

/* Is it a failure of one item? All others concern the disk or memory, and thus all items. */
_Bool failure_is_of_item(int r);

/* Does the failure end with its item, because a savepoint undoes it? Without savepoints it ends the
 * run. */
_Bool isolation_contains(const struct loop *loop, int r);

int isolation_begin(struct loop *loop);
/* Keeps the effects of an item that ended with r, or undoes them. Returns r, or a failure to keep
 * them. */
int isolation_end(struct loop *loop, int r);

/* Can all events that a decision emitted travel? 0; REFUSED_TOO_LARGE with the journey's message;
 * < 0. */
int append_check(struct loop *loop, struct journey *j);

/* Notes what a new event of our log needs to travel in. 0 or < 0. */
int append_note_size(struct loop *loop, const struct event *event);

/* Appends and applies the events that a decision emitted. *ret_first is the first of them, in the
 * arena; NULL when there is none; ret_first may be NULL. 0; < 0: the loop's head is unchanged. */
int append_emissions(struct loop *loop, struct journey *j, struct batch *batch,
                     const struct event **ret_first);

/* The TermBegan of this life, with the next term. 0, with *ret_term; < 0: nothing is changed. */
int append_term(struct loop *loop, struct item *item, int64_t wall_ms, struct batch *batch,
                int64_t *ret_term);
/* Its TermEnded, at a handover: nothing of this life comes behind it. 0; < 0: nothing is
 * changed. */
int append_term_end(struct loop *loop, struct item *item, int64_t wall_ms, struct batch *batch);
