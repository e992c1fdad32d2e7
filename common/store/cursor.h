/* Cursors: a projection's place in another service's log (rule 3), committed with the effect. */
#pragma once
#include "store/event_log.h"

struct cursor {
    int64_t position;      /* newest applied; 0: none */
    struct digest chain;   /* the log's chain there */
    int64_t event_time_ms; /* of that event; 0: none */
};

int cursor_create_table(struct db *db);
int cursor_read(struct db *db, const char *log, struct cursor *ret_cursor); /* none yet: all zero */
int cursor_write(struct db *db, const char *log, const struct cursor *cursor);

/* Where an event stands against a cursor. */
enum cursor_fit { CURSOR_NEXT, CURSOR_REPEAT, CURSOR_GAP, CURSOR_FORK };
enum cursor_fit cursor_fit(const struct cursor *cursor, int64_t position,
                           const struct digest *chain, const struct digest *event_digest);
