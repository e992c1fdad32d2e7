/* Loop: runs a batch of items in one transaction. It knows no thread, no clock and no bus, so that
 * the simulation and the tests run the same code.
 *
 *     take    (writer.c)  all items in the inbox, up to batch_max
 *     run     (loop_run)  each item whole or not at all
 *     commit  (loop_run)  one fsync for all of them (rule 4)
 *     settle  (sender.c)  replies, acknowledgements, calls
 *
 * Invariants, between two runs (loop_check, which each of these functions ends with):
 *   L1  head, cursors and counts in `at` are not negative
 *   L2  no savepoints: only a run that is repeated has them
 *   L3  every cursor that has moved is written
 *   L4  a run that committed has moved neither the head nor a cursor back, but for one that set
 *       aside what another leader's stream never had, which is the last of its life
 *   L5  a run that failed has moved nothing
 *   L6  no event of our own is appended before the TermBegan of this life (append.c)
 *   P1… of the process: see process.h */
#pragma once
#include "base/thread_owner.h"
#include "runtime/writer/process.h"

struct loop {
    struct thread_owner owner; /* the writer's thread */
    const struct service *service;
    const char *const *option_values;
    struct db *db; /* the one writing connection; borrowed */
    struct id_source ids;
    struct positions at; /* within the transaction while one runs */
    _Bool cursor_moved[SOURCES_MAX];
    struct process_run process;
    int64_t newest_ms;         /* wall time of the last run */
    int64_t refusals_keep_ms;  /* 0: for ever */
    int64_t message_bytes_max; /* what the server takes; 0: not known, then any event is taken */
    _Bool follows;             /* another instance leads: nothing is decided or reacted to */
    /* no event is decided before this life has begun its term; not in tests of journeys */
    _Bool wants_term;
    _Bool isolates; /* each item runs in a savepoint of its own (append.h) */
};

/* Creates the tables of the runtime and of the service where they are missing; reads the
 * positions. ERR_CORRUPT: the file is damaged, or the WAL beside it is another's. */
int loop_open(struct loop *loop, const struct service *service, const char *const *option_values,
              struct db *db, uint64_t seed);
void loop_close(struct loop *loop);
void loop_check(const struct loop *loop);

/* Our log agrees with our stream: the process may run from now on. */
void loop_start_process(struct loop *loop);

/* Discards the process's memory; the process starts again from the tables with the next run. */
void loop_stop_process(struct loop *loop);

/* Restarts the process from the tables when the wall clock was set back, because the due times in
 * its memory would be far ahead. Call it before loop_due_ms. */
void loop_look_at_clock(struct loop *loop, int64_t wall_ms);

/* Runs items[0..count) and what is due at wall_ms. The batch owns all items from now on. 0, or < 0
 * with batch->aborted. When an item fails by its own fault, the run is repeated with a savepoint
 * around each item, so that this item fails alone. Savepoints around all items in every run would
 * cost a sixth of an order (SQLite copies each page that changes in a savepoint). */
int loop_run(struct loop *loop, struct item **items, int count, int64_t wall_ms,
             struct batch *batch);

/* The commit at the end of loop_run, which calls this itself (rule 4). 0, or < 0 as loop_run. */
int loop_commit(struct loop *loop, _Bool *ret_outcome_unknown);

/* May a commit that failed with this result have happened nevertheless? */
_Bool loop_is_outcome_unknown(int r);

/* The projections have caught up: clears META_FOLDING. 0, or < 0 as loop_run. */
int loop_end_folding(struct loop *loop, _Bool *ret_outcome_unknown);

/* Writes a value that nobody reads, to learn whether the disk accepts writes again. 0, or < 0 as
 * loop_run. */
int loop_probe(struct loop *loop, _Bool *ret_outcome_unknown);

/* A transaction that gives the WAL its next number, before a checkpoint (store/generation.h). 0, or
 * < 0 as loop_run. */
int loop_number_wal(struct loop *loop, _Bool *ret_outcome_unknown);

/* Forgets refusals that are older than refusals_keep_ms, at most `max`. How many, or < 0 as
 * loop_run. */
int loop_forget_refusals(struct loop *loop, int64_t wall_ms, int max, _Bool *ret_outcome_unknown);

/* Wall time at which loop_run must be called even without items; INT64_MAX: never. */
int64_t loop_due_ms(const struct loop *loop);
