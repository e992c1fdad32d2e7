/* Tables of @name@.
 *
 *     leading     taken_orders     folded from our own log        (tables.c)
 *     projection  paid_orders      folded from order-svc's log    (project_orders.c)
 *
 * The two are disjoint: no apply of one reads or writes the other, so that the two logs can be
 * folded in any interleaving. Text that a function returns lives in the journey's arena. */
#pragma once
#include "journey.h"

extern const char @name@_tables[];

int order_is_taken(struct journey *j, const char *order_id); /* 1 yes, 0 no, < 0 */
int taken_apply(struct db *db, const struct event *event);

/* The customer of a paid order. 0, NOT_FOUND: no such order is known here, or < 0. */
int paid_order_find(struct journey *j, const char *order_id, const char **ret_account_id);
