/* Cursors: how far a projection has applied another service's log (rule 3). A cursor is committed
 * with the effect of the event. */
#pragma once
#include "store/event_log.h"

struct cursor {
    int64_t position;      /* of the newest event applied; 0: none was */
    struct digest chain;   /* of the log at that position */
    int64_t event_time_ms; /* of that event; 0: none was */
    int64_t term;          /* of that event (store/terms.h); 0: none */
};

int cursor_create_table(struct db *db);
/* A log without a cursor has one of zeros. 0 or < 0. */
int cursor_read(struct db *db, const char *log, struct cursor *ret_cursor);
int cursor_write(struct db *db, const char *log, const struct cursor *cursor);

/* What an event is for a cursor: the next one, one that was applied before, one behind a gap, or
 * one of another log (a fork: its chain does not follow). */
enum cursor_fit { CURSOR_NEXT, CURSOR_REPEAT, CURSOR_GAP, CURSOR_FORK };
enum cursor_fit cursor_compare(const struct cursor *cursor, int64_t position,
                               const struct digest *chain, const struct digest *event_digest);

/* Is the message of a leader that had been followed when it wrote it? What is at or before the
 * cursor is a repeat, whatever its term. A message that says a higher term than the log has there
 * is not the leader's; cursor_claims_term tells it. A cursor without a term believes the message: a
 * program up to 0.1.0 has moved it, and knew none. A message without a term, behind a TermBegan, is
 * nobody's who has led: not void, but a stranger. The event is as it came in a stream. */
_Bool cursor_is_void(const struct cursor *cursor, const struct event *event);
_Bool cursor_claims_term(const struct cursor *cursor, const struct event *event);
