/* Fold: what apply makes of events that stand in a log already (rule 2): nothing is decided,
 * nothing is reacted to. At a start with other tables into the tables that serve; else into a
 * scratch file beside the file that serves, from the log in that file and those of the leaders. */
#pragma once
#include "journey.h"

struct runtime_events_reply;
struct runtime_events_reply_events_item;

/* One event, decoded and applied to the tables in db. source NULL: our own log, of which each event
 * must have its type; of others' logs, a type that we do not read is nothing. ERR_INVALID: it does
 * not fit its schema; ERR_CONSTRAINT: the tables do not take it. */
int fold_event(const struct service *service, const struct source *source, struct db *db,
               struct event *event);

/* Our own events after *position, at most `limit`, from the log in one file (`log`) to the tables
 * in another or the same (`tables`); the transaction is the caller's. Moves *position to the last
 * that was applied. 1: there may be more; 0: the log ends here; < 0: as fold_event, of the event
 * behind *position. */
int fold_own_log(const struct service *service, struct db *log, struct db *tables,
                 int64_t *position, int64_t limit);

/* An event as a leader's `.events` gives it; text is borrowed from the row. -ERR_INVALID for a
 * chain that is none. */
int fold_read_row(const struct runtime_events_reply_events_item *row, const char *log,
                  struct event *ret_event);

/* ---- Into a file of its own ------------------------------------------------------------------ */

/* A scratch file with the service's tables, empty; what was at this path goes. The file that serves
 * is attached for reading (COMPARE_SERVED), and its log, cursors and parked events are read through
 * this connection as well, because their names are its alone. The caller removes the file. */
int fold_open(const struct service *service, const char *path, const char *served_path,
              struct db **ret_db);
void fold_remove(const char *path);

/* Applies the events of a page of a leader's `.events`, up to position `upto`, but for those that
 * are parked in the file that serves. *at moves along. 0; FOLD_DIFFERENT with *ret_why: the
 * leader's log is not the one that was read, or an event that was applied cannot be applied;
 * < 0. */
#define FOLD_DIFFERENT 1
#define FOLD_WHY_SIZE 200
int fold_rows(const struct service *service, const struct source *source, struct db *db,
              const struct runtime_events_reply *page, int64_t upto, struct log_head *at,
              char ret_why[FOLD_WHY_SIZE]);
