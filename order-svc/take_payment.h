/* The memory of the payment process, between take_payment.c (what to do about what happened) and
 * take_payment_step.c (what is due). Nobody else includes this. */
#pragma once
#include "asks.h"
#include "payment_provider.h"
#include "tables.h"

#define STEP_MAX 256   /* rows of one scan, and asks looked at, in one step */
#define WOKEN_MAX 1024 /* accounts with a new card in one batch; more: all are looked at */

struct payments {
    const struct payment_provider *provider;
    int timeout_ms, inflight_max;
    struct asks charges, voids;
    int64_t charge_cursor; /* newest position that the scan has seen */
    _Bool charges_more;    /* the table may hold orders past it */
    _Bool charges_dropped; /* and before it, that we had no room for */
    int64_t rescan_ms;     /* when the scan begins anew; INT64_MAX: not needed */
    char chosen_cursor[ID_SIZE];
    _Bool chosen_more;
    int64_t void_cursor, void_mark; /* seen by the scan; all voided up to here */
    _Bool voids_more;
    int64_t waiting_due_ms;         /* the next deadline of an order that waits for a card */
    char woken[WOKEN_MAX][ID_SIZE]; /* accounts with a new card */
    int woken_count;
    _Bool all_woken;
    _Bool provider_away; /* for one log line at each change */
    struct payment rows[STEP_MAX];
};

/* No answer: the same key again, later and later. */
void payments_rest(struct payments *p, struct asks *asks, struct ask *ask, int64_t now_ms);

int payments_step(void *state, struct journey *j, int64_t *ret_due_ms);
