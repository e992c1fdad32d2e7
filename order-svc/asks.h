/* Asks: what we want from the payment provider, found by order and attempt and by when it is due.
 * The memory of take_payment.c; lost with the process and made again from the tables. Bounded: it
 * is allocated once, and asks_add says no when it is full.
 *
 *                      sent                answered
 *     add ──► ASK_DUE ───────► ASK_SENT ─────────────► remove
 *                ▲                │
 *     time is up │                │ no answer: time-out, nobody there, nonsense
 *                │                ▼
 *                └─────────── ASK_RESTING
 *
 * Those that are sent stand in a queue of their own, so that the others can be left alone while no
 * more may be sent. */
#pragma once
#include <stdint.h>
#include "base/id.h"

enum ask_state { ASK_DUE, ASK_SENT, ASK_RESTING, ASK_STATE_MAX };

struct ask {
    char order_id[ID_SIZE];
    int64_t attempt;
    enum ask_state state;
    int tries;        /* without an answer */
    int64_t due_ms;   /* when to look at it again, in every state */
    int64_t until_ms; /* the order's deadline; INT64_MAX: none */
    int place;        /* in the queue of its state */
    int next;         /* in its bucket, or among the free ones; -1 ends */
};

struct ask_queue {
    int *heap; /* indexes into asks.all, the earliest due first */
    int count;
};

struct asks {
    const char *what; /* "charge": for the log */
    struct ask *all;
    struct ask_queue waiting; /* ASK_DUE, ASK_RESTING */
    struct ask_queue sent;    /* ASK_SENT */
    int *buckets;
    int max, count;
    int bucket_mask;
    int free;  /* given back; -1: none */
    int fresh; /* never used from here on, so that unused memory is never touched */
};

int asks_init(struct asks *asks, const char *what, int max); /* 0, or -ERR_MEMORY */
void asks_deinit(struct asks *asks);

struct ask *asks_find(const struct asks *asks, const char *order_id, int64_t attempt);
/* NULL: full */
struct ask *asks_add(struct asks *asks, const char *order_id, int64_t attempt, int64_t due_ms);
void asks_remove(struct asks *asks, struct ask *ask);
/* a move of the picture */
void asks_move(struct asks *asks, struct ask *ask, enum ask_state state, int64_t due_ms);

/* The first of a queue, when it is due; else NULL. */
struct ask *asks_first_due(const struct asks *asks, const struct ask_queue *queue, int64_t now_ms);
int64_t asks_due_ms(const struct asks *asks, const struct ask_queue *queue); /* INT64_MAX: empty */
