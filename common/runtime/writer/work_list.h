/* Work list: one type of work (work.h) as it is carried out: where its pieces are found, when each
 * is asked for, and what happens with what comes back. Its memory is a work queue (work_queue.h).
 *
 * A step, in this order:
 *   1. prepare   what events have opened since (keys of work_source.opened_by)
 *   2. find      pages of the sources, while memory has room and more may be sent; what is found is
 *                asked for at once, with the row that was read
 *   3. in flight calls whose answer is lost, and deadlines that have passed
 *   4. due       the others, while more may be sent
 *   5. mark      nothing is open before the newest piece found: a restart begins there
 *
 * Each of them does a bounded amount in one step; what is left is due at once.
 *
 * Pieces that find no room wait in the tables. When others wait there and the memory is full, a
 * piece without an answer is evicted once its back-off has reached half of the maximum or three
 * calls for it were given up; so is one that waits for its owner's turn behind a quarter of the
 * memory. A second after the sources have come to their end, all are scanned once more, and find it
 * again. A piece that no source finds (work_add) is never evicted, nor is one of a type in order.
 *
 * Invariants, after each function that changes a list (work_list_check); those of the pieces are
 * the queue's:
 *   V1  no more pieces are open, and no more are in flight, than the limits say
 *   V2  a source has keys to prepare only where it prepares, and at most WORK_PREPARE_MAX of them
 *   V3  the mark of a source is not beyond the last piece that it has found
 *   V4  of the answers, no more were late than came
 */
#pragma once
#include "runtime/core/context.h"
#include "runtime/core/status.h"
#include "runtime/writer/work_party.h"
#include "runtime/writer/work_queue.h"

#define WORK_PREPARE_MAX 1024 /* keys to prepare between two steps; more: all is prepared */

struct work_source_state {
    const struct work_source *source;
    int64_t after; /* the place and the key of the last piece found */
    char after_key[WORK_KEY_SIZE];
    _Bool has_more;  /* there may be more behind it */
    int64_t look_ms; /* when it begins anew without an event; INT64_MAX: never */
    int64_t mark;
    char (*keys)[WORK_KEY_SIZE]; /* to be prepared; NULL where nothing is */
    int key_count;
    _Bool prepares_all;
};

struct work_list {
    const struct work_type *type;
    struct work_limits limits;
    struct work_queue queue;
    struct work_source_state sources[WORK_SOURCES_MAX];
    int source_count;
    _Bool has_evicted; /* pieces that the tables still have */
    int64_t rescan_ms; /* when the sources begin anew because of that; INT64_MAX: never */
    /* A call for a piece that was found at this place or before may have left in an earlier life of
     * the process, or before the list forgot the piece. */
    int64_t old_place;
    struct work_party party;
    int64_t stuck; /* given up, by the tables */
    _Bool recounts_stuck;
    int64_t asked, again, answered, late, refused, expired; /* since the start, see work_counts */
};

/* What a list has to tell of itself. */
struct work_counts {
    const char *name;
    int64_t open, in_flight; /* pieces in memory */
    int64_t asked;           /* calls made, of those: */
    int64_t again;           /* for a piece that had been asked for before */
    int64_t answered;        /* answers received, of those: */
    int64_t late;            /* that no call waited for any more, or said twice */
    int64_t refused;         /* that were no end: the piece is asked for again */
    int64_t expired;         /* deadlines that passed */
    int64_t oldest_ms;       /* wall time since when the oldest piece is open; INT64_MAX: none is */
    int64_t stuck;           /* pieces that were given up and wait for a person */
    _Bool is_away;           /* nobody listens at the subject */
};

/* What the type likes, within bounds (work_limits.c). 0 or < 0. */
int work_limits_read(const struct work_type *type, struct journey *j,
                     struct work_limits *ret_limits);

/* 0 or < 0; deinit is fine after a failure. */
int work_list_init(struct work_list *list, const struct work_type *type, struct journey *j);
void work_list_deinit(struct work_list *list);

void work_list_check(const struct work_list *list);
void work_list_observe(struct work_list *list, const struct event *event);
int work_list_step(struct work_list *list, struct journey *j); /* 0 or < 0 */
int work_list_answer(struct work_list *list, struct journey *j, const struct answer *answer);
int work_list_add(struct work_list *list, const char *key, int64_t number, int64_t now_ms);
int64_t work_list_due_ms(const struct work_list *list, int64_t now_ms);
void work_list_counts(const struct work_list *list, struct work_counts *ret_counts);

/* All lists of a service: the state of work_process. */
struct works {
    int count;
    struct work_list lists[WORK_TYPES_MAX];
};

/* Writes what the lists have to tell into the status; works may be NULL: then nothing is open. */
void works_report(const struct works *works, struct status *status);
