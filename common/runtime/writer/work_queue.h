/* Work queue: the memory of one work list (work_list.h): pieces of work found by key and number,
 * and by when they are due. Bounded: it is allocated once, and work_queue_add says no when it is
 * full. It reads no clock, knows no database and no thread; one thread at a time uses it.
 *
 *                        send
 *     add ──► PIECE_DUE ──────► PIECE_IN_FLIGHT       remove: from each state
 *              ▲  │                  │
 *          due │  │ rest             │ rest
 *              │  ▼                  │
 *          PIECE_RESTING ◄───────────┘
 *
 * Pieces in flight stand in a heap of their own, so that the others can be left alone while no more
 * may be sent. A piece whose owner has as many in flight as it may (work_owners.h) rests in its
 * owner's line until its turn or its deadline (hold).
 *
 * Numbered, checked after each move:
 *  W1. open = waiting + in flight, and is at most open_max.
 *  W2. No more are in flight than in_flight_max.
 *  W3. A piece stands in the heap of its state, at the place that it remembers.
 *  W4. In a heap nothing is due before the piece above it.
 *  W5. No piece sleeps past its deadline, and none in flight waits for ever.
 *  W6. The oldest piece was added before all others.
 */
#pragma once
#include "runtime/writer/work_owners.h"
#include "work.h"

enum piece_state { PIECE_DUE, PIECE_IN_FLIGHT, PIECE_RESTING, PIECE_STATE_MAX };

struct piece {
    char key[WORK_KEY_SIZE];
    int64_t number;
    enum piece_state state;
    _Bool is_in_tables;  /* find() finds it again, so it may be evicted */
    int tries;           /* how often it has rested, but for its turn */
    int asks;            /* how often it was sent */
    int timeouts;        /* of the calls for it, those that were given up */
    int refusals;        /* of the answers, those that were no end */
    int64_t found_place; /* where it was found (work_found.place); 0: nowhere */
    int64_t due_ms;      /* when to look at it again, in each state */
    int64_t until_ms;    /* its deadline; INT64_MAX: none */
    int64_t since_ms;    /* when it was added */
    int place;           /* in the heap of its state */
    int bucket;          /* where it is found */
    int next;            /* in its bucket, or among the free ones; -1 ends */
    int older, newer;    /* in the order in which they were added; -1 ends */
};

struct piece_heap {
    int *pieces; /* indexes, the earliest due first */
    int count;
};

struct work_queue {
    const char *name; /* for the log */
    struct piece *pieces;
    struct piece_heap waiting;   /* PIECE_DUE, PIECE_RESTING */
    struct piece_heap in_flight; /* PIECE_IN_FLIGHT */
    int *buckets;
    int bucket_mask;
    struct work_owners owners;
    int open_max, in_flight_max;
    int open;
    int free;  /* given back; -1: none */
    int fresh; /* never used from here on, so that unused memory is never touched */
    int oldest, newest;
};

/* 0, or -ERR_MEMORY. The name is borrowed. each_max: in flight of one owner; 0: no limit. */
int work_queue_init(struct work_queue *queue, const char *name, int open_max, int in_flight_max,
                    int each_max);
void work_queue_deinit(struct work_queue *queue);

/* NULL: not there. */
struct piece *work_queue_find(const struct work_queue *queue, const char *key, int64_t number);

/* Due at once; NULL: full. */
struct piece *work_queue_add(struct work_queue *queue, const char *key, int64_t number,
                             int64_t now_ms, int64_t until_ms);
void work_queue_remove(struct work_queue *queue, struct piece *piece);

/* Says whose it is, once, before all else; NULL: nobody's. */
void work_queue_own(struct work_queue *queue, struct piece *piece, const char *owner);

/* Has its owner as many in flight as it may? And how many of its pieces rest because of that? */
_Bool work_queue_owner_may_send(const struct work_queue *queue, const struct piece *piece);
int work_queue_owner_behind(const struct work_queue *queue, const struct piece *piece);

/* The moves of the picture. Times say when to look at the piece again, unless its deadline is
 * earlier. */
void work_queue_send(struct work_queue *queue, struct piece *piece, int64_t lost_ms);
void work_queue_rest(struct work_queue *queue, struct piece *piece, int64_t due_ms);
void work_queue_wake(struct work_queue *queue, struct piece *piece); /* rested: due */
void work_queue_hold(struct work_queue *queue, struct piece *piece); /* due: rests for its turn */

_Bool work_queue_may_send(const struct work_queue *queue);

/* The first to look at among those in flight (its answer is lost, or its deadline has passed), or
 * among the others; NULL: none is due yet. */
struct piece *work_queue_first_in_flight(const struct work_queue *queue, int64_t now_ms);
struct piece *work_queue_first_waiting(const struct work_queue *queue, int64_t now_ms);

/* When to look again; INT64_MAX: when something happens. Those that wait are left out while no more
 * may be sent. */
int64_t work_queue_due_ms(const struct work_queue *queue);

/* When the oldest was added; INT64_MAX: none is open. */
int64_t work_queue_oldest_ms(const struct work_queue *queue);

/* How long this piece rests now: doubled with each try from min to max; of that the upper half, by
 * an even hash of key and try, so that pieces which failed together do not come back together. No
 * dice: the same piece rests as long each time, and a simulation replays it. */
int64_t piece_backoff_ms(const struct piece *piece, int min_ms, int max_ms);
