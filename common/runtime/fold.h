/* Fold: what apply makes of events that stand in a log already (rule 2): nothing is decided, nothing is reacted to. */
#pragma once
#include "contracts.h"
#include "journey.h"

/* One event, decoded and applied to the tables in db. source NULL: our own log, of which each event must have its type;
 * of others' logs, a type that we do not read is nothing. ERR_INVALID: it does not fit its schema. */
int fold_event(const struct service *service, const struct source *source, struct db *db, struct event *event);

/* Our own events after *position, at most `limit`, from the log in one file (`log`) to the tables in another or the same
 * (`tables`); the transaction is the caller's. Moves *position. 1: there may be more; 0: the log ends here; < 0. */
int fold_own_log(const struct service *service, struct db *log, struct db *tables, int64_t *position, int64_t limit);

/* An event as a leader's `.events` gives it; text is borrowed from the row. -ERR_INVALID for a chain that is none. */
int fold_read_row(const struct runtime_events_reply_events_item *row, const char *log, struct event *ret_event);
