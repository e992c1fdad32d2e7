/* Loop: what the writer does with a batch: run each item, commit once, and say what to settle. It
 * has no thread, no clock and no bus in it, so that the simulation and the tests run the very same
 * code.
 *
 *     take  (writer.c)   whatever is in the inbox, up to a limit
 *     run   (loop_run)   one transaction; each item whole or not at all
 *     commit(loop_run)   one fsync for all                                     (rule 4)
 *     settle(writer.c)   replies, acknowledgements, calls: whoever listens to the writer
 *
 * Invariants, between two runs (loop_check, which each of these functions ends with):
 *   L1  head, cursors and counts in `at` are not negative
 *   L2  no savepoints: only a run that is repeated has them
 *   L3  no cursor has moved that is not in the file
 *   L4  a run that committed has moved neither the head nor a cursor back
 *   L5  a run that failed has moved nothing
 *   P1… of the process: see process.h */
#pragma once
#include "base/thread_owner.h"
#include "runtime/writer/process.h"

struct loop {
    struct thread_owner owner; /* whoever runs it; the writer's thread */
    const struct service *service;
    const char *const *option_values;
    struct db *db; /* the one writing connection; borrowed */
    struct id_source ids;
    struct positions at; /* within the transaction while one runs */
    _Bool cursor_moved[SOURCES_MAX];
    struct process_run process;
    int64_t newest_ms; /* wall time of the last run */
    _Bool isolates;    /* each item is in a savepoint of its own, because one may fail (loop_run) */
};

/* Tables of the runtime and of the service, when they are not there; reads head and cursors. */
int loop_open(struct loop *loop, const struct service *service, const char *const *option_values,
              struct db *db, uint64_t seed);
void loop_close(struct loop *loop);
void loop_check(const struct loop *loop);

/* From now on the process runs: the tables are up to date with our own log. */
void loop_start_process(struct loop *loop);

/* Throws the process's memory away; it starts again from the tables with the next run. */
void loop_stop_process(struct loop *loop);

/* The wall clock may have been set back: what the process remembers of due times would then be far
 * ahead. It starts again from the tables. To be told the time before loop_due_ms is asked. */
void loop_look_at_clock(struct loop *loop, int64_t wall_ms);

/* Runs items[0..count) and what is due at wall_ms. All items pass to the batch. 0, or < 0 with
 * batch->aborted. An item that fails by its own fault ends alone: the run begins again, with a
 * savepoint around each. Savepoints around all of them from the start would cost a sixth of an
 * order (SQLite copies each page that changes in one). */
int loop_run(struct loop *loop, struct item **items, int count, int64_t wall_ms,
             struct batch *batch);

/* The commit of loop_run, which calls it itself (rule 4). 0, or < 0 like a batch. */
int loop_commit(struct loop *loop, _Bool *ret_outcome_unknown);

/* Whether a commit that gave this result may be there after all. */
_Bool loop_is_outcome_unknown(int r);

/* The projections are where they were: requests may be taken. 0, or < 0 like a batch. */
int loop_end_folding(struct loop *loop, _Bool *ret_outcome_unknown);

/* A write that changes nothing anybody reads, to learn whether the disk takes one again. 0, or < 0
 * like a batch. */
int loop_probe(struct loop *loop, _Bool *ret_outcome_unknown);

/* Wall time when loop_run wants to be called even without items; INT64_MAX: never. */
int64_t loop_due_ms(const struct loop *loop);
