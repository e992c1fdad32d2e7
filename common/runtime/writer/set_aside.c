/* Set aside: see set_aside.h. */
#include "runtime/writer/set_aside.h"
#include "base/log.h"
#include "runtime/writer/loop.h"
#include "runtime/writer/orphan_file.h"
#include "runtime/writer/tables.h"
#include "store/migrate.h"
#include "store/terms.h"
#include <assert.h>

/* ---- The log -------------------------------------------------------------------------------- */

static int take_out(struct loop *loop, int64_t common)
{
    struct term term = { 0 };
    int r = db_exec(loop->db, "DELETE FROM event_log WHERE position > ?1", "i", common);
    if (r == 0)
        r = terms_forget_after(loop->db, common);
    if (r == 0)
        r = event_log_head(loop->db, &loop->at.head);
    if (r == 0)
        r = terms_newest(loop->db, &term);
    loop->at.term = term.term;
    return trace(r);
}

/* What is kept of this: the file, the count, and that the tables are folded anew. */
static int keep_orphans(struct loop *loop, const struct item *item, int64_t common, int64_t count)
{
    _deinit_(event_reader) struct event_reader reader = { 0 };
    struct orphan_file file = {
        .database_path = item->database_path,
        .term = loop->at.term,
        .first = common + 1,
        .last = loop->at.head.position,
    };
    int64_t before = 0;
    int r = event_reader_open(&reader, loop->db, loop->service->log, common, INT64_MAX);
    if (r == 0)
        r = orphan_file_write(&file, &reader);
    if (r == 0)
        r = meta_read_or(loop->db, META_ORPHANS, 0, &before);
    if (r == 0)
        r = meta_write(loop->db, META_ORPHANS, before + count);
    if (r == 0)
        r = meta_write(loop->db, META_TABLES_VERSION, 0);
    if (r < 0)
        return trace(r);
    loop->at.orphans = before + count;
    log_warn("orphans_set_aside", LOG_INT("count", count), LOG_INT("first", common + 1),
             LOG_INT("last", loop->at.head.position), LOG_INT("term", loop->at.term),
             LOG_TEXT("file", file.path),
             LOG_TEXT("help", "another instance led when these events were not in the stream yet: "
                              "look whether somebody was answered for them"));
    return 0;
}

int set_aside(struct loop *loop, struct item *item)
{
    const int64_t common = item->common;
    int64_t count = 0;
    assert(common >= 0 && common <= loop->at.head.position && item->database_path);
    int r =
        db_find_number(loop->db, &count,
                       "SELECT count(*) FROM event_log WHERE position > ?1 AND type NOT IN (?2, "
                       "?3)",
                       "iss", common, EVENT_TERM_BEGAN, EVENT_TERM_ENDED);
    if (r == 0 && count > 0)
        r = keep_orphans(loop, item, common, count);
    if (r == 0)
        r = take_out(loop, common);
    if (r < 0)
        return trace(r);
    loop->at.own_term = 0;
    loop->at.fenced = 1;
    process_stop(&loop->process);
    loop->process.wanted = 0;
    item->outcome = OUTCOME_DONE;
    return 0;
}
