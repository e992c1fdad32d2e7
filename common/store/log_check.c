/* Log check: see log_check.h. */
#include "store/log_check.h"
#include "base/result.h"
#include <assert.h>
#include <inttypes.h>

#define END_EVENTS 64 /* that log_check_end looks at */

static int check_event(struct log_head *at, const struct event *event)
{
    struct digest digest, chain;
    if (event->position != at->position + 1)
        return fail(ERR_CORRUPT, "the log: position %" PRId64 " follows %" PRId64, event->position,
                    at->position);
    int r = event_digest(event, &digest);
    if (r == 0)
        r = event_chain(&at->chain, &digest, &chain);
    if (r < 0)
        return trace(r);
    if (!digest_equal(&chain, &event->chain))
        return fail(ERR_CORRUPT, "the log: at position %" PRId64 " the chain does not follow",
                    event->position);
    *at = (struct log_head){ .position = event->position, .chain = event->chain };
    return 0;
}

int log_check_part(struct log_check *check, struct db *db, int64_t limit, _Bool *ret_more)
{
    _deinit_(event_reader) struct event_reader reader = { 0 };
    struct event event;
    const int64_t begin = check->at.position;
    assert(limit > 0);
    int r = event_reader_open(&reader, db, check->log, begin, limit);
    while (r == 0 && event_reader_has_next(&reader, &event))
        r = check_event(&check->at, &event);
    if (r == 0)
        r = event_reader_status(&reader);
    if (r < 0)
        return trace(r);
    *ret_more = check->at.position - begin == limit;
    return 0;
}

int log_check_end(struct db *db, const char *log)
{
    struct log_check check = { .log = log };
    struct log_head head;
    _Bool more;
    int r = db_has_row(db, "SELECT 1 FROM sqlite_master WHERE name = 'event_log'", "");
    if (r <= 0)
        return trace(r);
    r = event_log_head(db, &head);
    if (r == 0 && head.position > END_EVENTS) {
        check.at.position = head.position - END_EVENTS;
        r = event_log_find_chain(db, check.at.position, &check.at.chain);
        if (r == NOT_FOUND)
            r = fail(ERR_CORRUPT, "the log: position %" PRId64 " is missing", check.at.position);
    }
    if (r == 0)
        r = log_check_part(&check, db, END_EVENTS, &more);
    if (r == 0 && check.at.position != head.position)
        r = fail(ERR_CORRUPT, "the log ends at %" PRId64 " and goes up to %" PRId64,
                 check.at.position, head.position);
    return trace(r);
}
