/* Batch: what one run of the loop leaves to be settled: items with their outcomes, our own events,
 * calls to make. Whoever settles it owns it; batch_free takes all. */
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

struct committed_event {
    struct committed_event *next;
    struct event event;
};

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

struct batch *batch_new(void); /* NULL: no memory */
void batch_free(struct batch *batch);
DEFINE_FREE(batch)

/* The item passes to the batch. */
void batch_add(struct batch *batch, struct item *item);

/* Takes back what a run has made of the items, as if it had not begun. The items stay. */
void batch_undo(struct batch *batch);
