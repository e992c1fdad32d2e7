/* Cursors: see cursor.h. */
#include "store/cursor.h"
#include "base/guard.h"
#include "base/result.h"
#include "store/terms.h"
#include <assert.h>
#include <string.h>

int cursor_create_table(struct db *db)
{
    return trace(db_script(db, "CREATE TABLE IF NOT EXISTS cursors ("
                               " log TEXT PRIMARY KEY, position INTEGER NOT NULL, chain BLOB NOT "
                               "NULL, event_time_ms INTEGER NOT NULL"
                               ") STRICT, WITHOUT ROWID;"));
}

int cursor_read(struct db *db, const char *log, struct cursor *ret_cursor)
{
    _deinit_(query) struct query query = { 0 };
    assert(log && ret_cursor);
    struct cursor cursor = { 0 };
    enum { POSITION, CHAIN, EVENT_TIME_MS, TERM };
    int r = query_find(&query, db,
                       "SELECT position, chain, event_time_ms, term FROM cursors WHERE log = ?1",
                       "s", log);
    if (r < 0)
        return trace(r);
    if (r == 0) {
        size_t length;
        const void *chain = query_blob(&query, CHAIN, &length);
        if (length != DIGEST_SIZE)
            return fail(ERR_CORRUPT, "a chain of %zu bytes in cursors", length);
        cursor.position = query_int(&query, POSITION);
        memcpy(cursor.chain.bytes, chain, DIGEST_SIZE);
        cursor.event_time_ms = query_int(&query, EVENT_TIME_MS);
        cursor.term = query_int(&query, TERM);
    }
    *ret_cursor = cursor;
    return 0;
}

int cursor_write(struct db *db, const char *log, const struct cursor *cursor)
{
    assert(log && cursor->position > 0); /* a cursor is written with the effect of an event */
    return trace(db_exec(db, "INSERT OR REPLACE INTO cursors VALUES (?1, ?2, ?3, ?4, ?5)", "sibii",
                         log, cursor->position, cursor->chain.bytes, (size_t)DIGEST_SIZE,
                         cursor->event_time_ms, cursor->term));
}

enum cursor_fit cursor_compare(const struct cursor *cursor, int64_t position,
                               const struct digest *chain, const struct digest *event_digest)
{
    struct digest expected;
    assert(cursor->position >= 0);
    if (position < cursor->position)
        return CURSOR_REPEAT;
    if (position == cursor->position)
        return digest_equal(chain, &cursor->chain) ? CURSOR_REPEAT : CURSOR_FORK;
    if (position > cursor->position + 1)
        return GUARD(gap_rule) ? CURSOR_GAP : CURSOR_NEXT;
    if (event_chain(&cursor->chain, event_digest, &expected) < 0)
        return CURSOR_GAP; /* no memory for a hash: the event will be fetched again */
    return digest_equal(&expected, chain) || !GUARD(chain_check) ? CURSOR_NEXT : CURSOR_FORK;
}

/* The term that a message must say: that of the log before it, but for a TermBegan, which says its
 * own and a higher one. */
static int64_t term_wanted(const struct cursor *cursor, const struct event *event)
{
    struct term begun;
    return term_read(event, &begun) == 0 && begun.term > cursor->term ? begun.term : cursor->term;
}

_Bool cursor_is_void(const struct cursor *cursor, const struct event *event)
{
    return event->position > cursor->position && event->term > 0 && event->term < cursor->term;
}

_Bool cursor_claims_term(const struct cursor *cursor, const struct event *event)
{
    return cursor->term > 0 && event->term != term_wanted(cursor, event);
}
