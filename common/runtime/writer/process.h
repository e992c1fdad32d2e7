/* Process: the loop's part that runs the service's process manager (struct process in journey.h),
 * or the work lists of a service that has no process of its own (work_process.c).
 * Its memory is scratch: it is started from the tables, told of what was committed, and thrown away
 * whenever it may not agree with the tables any more. Answers of a built-in provider wait here
 * until they are due.
 *
 *     STOPPED ── wanted, at the next run ──► RUNNING
 *        ▲                                      │
 *        └──── rollback, failure, clock set back ┘
 *
 * Invariants, between two runs (process_check):
 *   P1  it runs only when it is wanted, and the service has one
 *   P2  while it is stopped nothing is due and nothing is delayed
 *   P3  what is delayed is as many items as are counted, the newest of them last */
#pragma once
#include "runtime/writer/batch.h"

struct loop;

struct process_run {
    const struct process *type; /* NULL: the service has none */
    void *state;                /* the service's, or its work lists */
    const struct works *works;  /* the work lists in it, once they have made a step; NULL */
    _Bool runs;                 /* started, and its memory agrees with the tables */
    _Bool wanted;               /* the tables are up to date with our own log: it may run */
    int64_t due_ms;             /* wall time of its next step; INT64_MAX: none */
    struct item *delayed, *last_delayed; /* built-in answers, by due_ms */
    int delayed_count;
};

void process_init(struct process_run *process, const struct service *service);
void process_check(const struct process_run *process);

/* Wall time when it wants to run; 0: at once; INT64_MAX: never. */
int64_t process_due_ms(const struct process_run *process);

/* Throws its memory away; it starts again with the next run. */
void process_stop(struct process_run *process);

/* ---- Within the loop's transaction: 0, or < 0 as run_item ------------------------------------ */

int process_start(struct loop *loop, int64_t wall_ms, struct batch *batch);
int process_step(struct loop *loop, int64_t wall_ms, struct batch *batch);

/* An ITEM_ANSWER, from outside or built in. */
int process_answer(struct loop *loop, struct item *item, int64_t wall_ms, struct batch *batch);

/* Built-in answers that are due become items of the batch, a bounded number. */
void process_take_due(struct process_run *process, int64_t wall_ms, struct batch *batch);

/* ---- After the commit ------------------------------------------------------------------------ */

/* Tells it what happened, in the order of the log (own events) and of the items (others'). What it
 * makes of that may be lost with its memory: start() finds it again in the tables. */
int process_observe(struct loop *loop, int64_t wall_ms, struct batch *batch);
