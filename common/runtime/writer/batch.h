/* Batch: the result of one run of the loop: items with their outcomes, our own events, calls to
 * make. The listener of the writer owns the batch and settles it; batch_free frees all of it. */
#pragma once
#include "runtime/core/context.h"
#include "store/cursor.h"

/* How far a service has come: all state in memory that a rollback restores. */
struct positions {
    struct log_head head;               /* of our own log */
    struct cursor cursors[SOURCES_MAX]; /* in others' logs, by source */
    int64_t parked_count;               /* of all logs, those too that are not read any more */
    int64_t parked[SOURCES_MAX];        /* of each source */
    int64_t folding; /* 1: the projections are being rebuilt, and have not caught up */
    /* the last position seen in our stream, when it was ahead of our log; 0: it never was */
    int64_t stream_position;
    int64_t term;     /* of the head of our log (store/terms.h); 0: none yet */
    int64_t own_term; /* that this life has begun; 0: none yet, and nothing is decided */
    /* another instance leads, or is to: nothing is decided until the next start */
    _Bool fenced;
    int64_t orphans;       /* events that were set aside in the life of the file */
    int64_t largest_event; /* bytes that the largest event of our log needs (event_size.h) */
};

struct committed_event {
    struct committed_event *next;
    struct event event;
};

struct batch {
    struct batch *next;
    struct item *items; /* in the order in which they ran, with their outcomes */
    struct item **last_item;
    struct outbound_call *calls, **last_call; /* to make now, after the commit */
    /* our own events, in order; their memory belongs to the items or to the batch */
    struct committed_event *events;
    struct committed_event **last_event;
    struct arena arena;
    struct positions at; /* after this batch */
    int own_event_count;
    _Bool aborted; /* rolled back: requests are refused, events must be delivered again */
    /* the commit may have happened: nothing is sent, and the process ends (rule 4) */
    _Bool outcome_unknown;
};

struct batch *batch_new(void); /* NULL: no memory */
void batch_free(struct batch *batch);
DEFINE_FREE(batch)

/* The batch owns the item from now on. */
void batch_add(struct batch *batch, struct item *item);

/* Resets events, calls and the items' outcomes to what they were before the run. */
void batch_undo(struct batch *batch);
