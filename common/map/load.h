/* Load: customers of a mesh to play with: one order to a thousand a second, some of them with a
 * card that is declined first, and now and then a new address. Nothing of it is retried, so what is
 * refused or unanswered while a plug is pulled can be counted.
 *
 *   a customer:  new ─► registered ─► has a card [─► has a second one] ─► orders
 *                ▲                                                          │ its first card was
 *                └──────────── those whose card is declined ───────────────┘ declined: another one
 *
 * At most LOAD_OPEN_MAX requests wait for an answer; then no more are sent. One thread. */
#pragma once
#include "map/watcher.h"

#define LOAD_RATE_MAX 1000 /* orders a second */
#define LOAD_OPEN_MAX 4096
#define LOAD_CUSTOMERS 48
#define LOAD_ANSWER_MS 5000
#define LOAD_TURN_MS 20

struct load_counts {
    int64_t asked, placed, refused, unanswered; /* orders */
    int64_t changed, not_changed;               /* addresses */
};

struct load; /* opaque */

struct load *load_new(struct watcher *watcher); /* borrowed; NULL: no memory */
void load_free(struct load *load);
DEFINE_FREE(load)

/* 0 <= rate <= LOAD_RATE_MAX orders a second; so many of a hundred with a card that is declined. */
void load_set(struct load *load, int rate, int declined_percent);
void load_turn(struct load *load, int64_t now_ms);
int64_t load_due_ms(const struct load *load); /* INT64_MAX: it rests */

/* The members of an object: rate, declined, what came of it, and the newest order. */
void load_write(const struct load *load, struct buf *out);
