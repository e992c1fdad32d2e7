/* Fold: applies events that are in a log already (rule 2); no decision and no reaction runs. At a
 * start with another tables_version it folds into the tables of the service; a rebuild and `verify`
 * fold into a scratch file, from the log in the database and from the leaders' logs. */
#pragma once
#include "journey.h"

struct runtime_events_reply;
struct runtime_events_reply_events_item;

/* Decodes one event and applies it to the tables in db. source NULL: our own log, where an event of
 * an unknown type is a failure; in another's log it is skipped. -ERR_INVALID: it does not fit its
 * schema; -ERR_CONSTRAINT: a table refuses it. */
int fold_event(const struct service *service, const struct source *source, struct db *db,
               struct event *event);

/* Applies our own events after *position, at most `limit`, from the log in one file (`log`) to the
 * tables in another or the same (`tables`), in the caller's transaction. Moves *position to the
 * last event that was applied. 0, with *ret_more whether the log may go on; < 0: as fold_event, of
 * the event behind *position. */
int fold_own_log(const struct service *service, struct db *log, struct db *tables,
                 int64_t *position, int64_t limit, _Bool *ret_more);

/* Reads an event from a row of a leader's `.events`; text is borrowed from the row. -ERR_INVALID:
 * the chain is not a digest. */
int fold_read_row(const struct runtime_events_reply_events_item *row, const char *log,
                  struct event *ret_event);

/* ---- Into a scratch file --------------------------------------------------------------------- */

/* Makes a scratch file with the service's tables, empty; a file that was at this path is removed.
 * The service's database is attached for reading (COMPARE_SERVED); its log, cursors and parked
 * events are read through this connection, too, because only the database has tables of these
 * names. The caller removes the file. */
int fold_open(const struct service *service, const char *path, const char *served_path,
              struct db **ret_db);
void fold_remove(const char *path);

/* Applies the events of a page of a leader's `.events`, up to position `upto`, without those that
 * are parked in the database. Moves *at to the last event. 0; FOLD_DIFFERENT with *ret_why: the
 * leader's log is not the one that was read before, or an event that the database has applied
 * cannot be applied; < 0. */
#define FOLD_DIFFERENT 1
#define FOLD_WHY_SIZE 200
int fold_rows(const struct service *service, const struct source *source, struct db *db,
              const struct runtime_events_reply *page, int64_t upto, struct log_head *at,
              char ret_why[FOLD_WHY_SIZE]);
