/* Inbox: the bounded queue before the writer. Many threads push, the writer takes. Requests are
 * bounded by queue_max: when it is full the callback answers `busy` at once. They are taken from
 * their clients in turns (fair_queue.h). Events and answers are bounded where they are asked for (a
 * feed's pull window, a process's calls in flight), so they always find a place. They have a list
 * of their own, and the writer takes one of these and one request in turns: a flood of requests
 * stops neither the feeds nor the work list.
 *
 * Invariants, whenever the lock is free (inbox_check):
 *   N1  it is empty exactly when its length is 0; without events, the next becomes the first
 *   N2  the list of events ends where `last` says
 *   N3  the requests in it are from 0 to queue_max, and no more than there are items */
#pragma once
#include <pthread.h>
#include "runtime/request/fair_queue.h"

struct inbox {
    pthread_mutex_t lock;
    pthread_cond_t filled;
    struct fair_queue requests; /* commands */
    struct item *first;         /* all else, in its order */
    struct item **last;
    int length;             /* items of all kinds */
    _Bool is_requests_turn; /* of which the next is taken first */
    _Bool closed;           /* no more requests; what is there is still taken */
    _Bool woken;            /* inbox_wake since the last take */
};

int inbox_init(struct inbox *inbox, int queue_max);
void inbox_deinit(struct inbox *inbox); /* frees what is left in it */

void inbox_check(const struct inbox *inbox); /* with the lock held */

/* 0, or REFUSED_BUSY: the caller keeps the item */
int inbox_push(struct inbox *inbox, struct item *item);
/* a chain of events, all at once: the writer does not begin with the first of them alone */
void inbox_push_events(struct inbox *inbox, struct item *first, struct item **last);
/* a chain of events: they come first again */
void inbox_put_back(struct inbox *inbox, struct item *first, struct item **last);
void inbox_close(struct inbox *inbox);
void inbox_wake(struct inbox *inbox); /* the writer returns from inbox_take, perhaps with nothing */
int inbox_length(struct inbox *inbox);
_Bool inbox_has_requests(struct inbox *inbox); /* that the writer has not taken yet */

/* Is there something that inbox_take would return for at once: an item, a wake-up, the end? */
_Bool inbox_is_due(struct inbox *inbox);

/* Up to max items into items[]: events in their order, requests in the order of each client. Waits
 * for the first until the monotonic time deadline_ms; INBOX_NO_WAIT: not at all. Returns the
 * number, 0 when time is up, the inbox was woken, or it is closed and empty. */
#define INBOX_NO_WAIT 0
int inbox_take(struct inbox *inbox, struct item **items, int max, int64_t deadline_ms);
