/* Log check: does a log hold together? Positions follow each other without a gap, and each chain is
 * made of the one before and of the event (event_log.h). Read in parts, so that no snapshot is held
 * for long. */
#pragma once
#include "store/event_log.h"

struct log_check {
    const char *log;    /* its name; borrowed */
    struct log_head at; /* all up to here is right; zeroed: from the beginning */
};

/* The next `limit` events. 0, and whether more may follow; ERR_CORRUPT: with the position, and what
 * is wrong there; or another failure. */
int log_check_part(struct log_check *check, struct db *db, int64_t limit, _Bool *ret_more);

/* The newest events alone; 0 also when there is no log yet. */
int log_check_end(struct db *db, const char *log);
