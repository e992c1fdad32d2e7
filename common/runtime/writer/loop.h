/* Loop: what the writer does with a batch: run each item, commit once, and say what to settle. It
 * has no thread, no clock and no bus in it, so that the simulation and the tests run the very same
 * code.
 *
 *     take  (writer.c)   whatever is in the inbox, up to a limit
 *     run   (loop_run)   one transaction; each item whole or not at all
 *     commit(loop_run)   one fsync for all                                     (rule 4)
 *     settle(sender.c)  replies, acknowledgements, calls, and the relay is told
 */
#pragma once
#include "runtime/core/context.h"
#include "store/cursor.h"

/* Where a service stands: all that a rollback takes back in memory. */
struct positions {
    struct log_head head;               /* of our own log */
    struct cursor cursors[SOURCES_MAX]; /* in others' logs, by source */
    int64_t parked_count;
    int64_t folding; /* 1: the projections were begun anew, and are not yet where they were */
    /* how far our stream was seen to go, when it was ahead of our log; 0: never */
    int64_t stream_position;
};

struct loop {
    const struct service *service;
    const char *const *option_values;
    struct db *db; /* the one writing connection; borrowed */
    struct id_source ids;
    struct positions at; /* within the transaction while one runs */
    _Bool cursor_moved[SOURCES_MAX];
    void *process_state;
    _Bool process_runs;     /* started, and its memory agrees with the tables */
    _Bool process_wanted;   /* loop_start_process was called */
    int64_t process_due_ms; /* wall time of its next step; INT64_MAX: none */
    int64_t newest_ms;      /* wall time of the last run */
    _Bool isolates; /* each item is in a savepoint of its own, because one may fail (loop_run) */
    struct item *delayed, *last_delayed; /* built-in answers, by due_ms */
    int delayed_count;
};

struct committed_event {
    struct committed_event *next;
    struct event event;
};

/* What one run leaves behind. Owned by whoever settles it; batch_free takes all. */
struct batch {
    struct batch *next;
    struct item *items; /* in the order in which they ran, with their outcomes */
    struct item **last_item;
    struct outbound_call *calls, **last_call; /* to make now, after the commit */
    /* own ones, in order; their memory is the items' or the batch's */
    struct committed_event *events;
    struct committed_event **last_event;
    struct arena arena;
    struct positions at; /* after this batch */
    int own_event_count;
    _Bool aborted; /* rolled back: items carry refusals, events must come again */
    /* the commit failed half way: nobody is told, the process ends (rule 4) */
    _Bool outcome_unknown;
};
struct batch *batch_new(void);
void batch_free(struct batch *batch);

/* Tables of the runtime and of the service, when they are not there; reads head and cursors. */
int loop_open(struct loop *loop, const struct service *service, const char *const *option_values,
              struct db *db, uint64_t seed);
void loop_close(struct loop *loop);

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

/* Moves a decision's calls to the batch, and built-in answers to where they wait (loop.c,
 * run_item.c). */
void loop_take_calls(struct loop *loop, struct journey *j, struct batch *batch);

/* Wall time when loop_run wants to be called even without items; INT64_MAX: never. */
int64_t loop_due_ms(const struct loop *loop);
