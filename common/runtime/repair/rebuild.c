/* Rebuild: see rebuild.h. Only apply runs (rule 2): nothing is decided, nothing is reacted to. What
 * the tables that serve see of it stands in one transaction, so a crash in the middle leaves the
 * old tables. */
#include "runtime/repair/rebuild.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/crash.h"
#include "base/log.h"
#include "schemas/runtime.events.reply.h"
#include "schemas/runtime.rebuild.reply.h"
#include "store/compare.h"
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define SLICE_EVENTS 1000 /* of our own log, in one transaction of the scratch file */
/* after each it is compared again; who writes by hand meanwhile is not served for ever */
#define SWAPS_MAX 3

/* ---- While it serves: the scratch file ------------------------------------------------------- */

#define ENDING ".rebuild"

static int make_path(const char *served_path, const char *ending, char *ret_path, size_t size)
{
    if ((size_t)snprintf(ret_path, size, "%s%s", served_path, ending) >= size)
        return fail(ERR_CONFIG, "the path of --data-dir is too long");
    return 0;
}

void rebuild_remove_leftover(const char *served_path)
{
    static const char *const endings[] = { ENDING, REBUILD_OF_CHECK };
    char path[4096];
    for (int i = 0; i < 2; i++)
        if (make_path(served_path, endings[i], path, sizeof(path)) == 0)
            fold_remove(path);
}

int rebuild_open(struct rebuild *rebuild)
{
    int r = make_path(rebuild->served_path, rebuild->ending ? rebuild->ending : ENDING,
                      rebuild->path, sizeof(rebuild->path));
    return r < 0 ? trace(r)
                 : trace(fold_open(rebuild->service, rebuild->path, rebuild->served_path,
                                   &rebuild->db));
}

void rebuild_deinit(struct rebuild *rebuild)
{
    db_free(rebuild->db);
    rebuild->db = NULL;
    if (*rebuild->path)
        fold_remove(rebuild->path);
    arena_deinit(&rebuild->arena);
}

/* ---- Folding --------------------------------------------------------------------------------- */

/* A page of another's log, up to our cursor in it. 0 with *more when there is more; FOLD_DIFFERENT;
 * < 0. */
static int fold_page_of(struct rebuild *rebuild, int i, _Bool *more)
{
    _deinit_(arena) struct arena arena = { 0 };
    const struct source *source = &rebuild->service->sources[i];
    const struct runtime_events_reply *page = NULL;
    struct log_head *at = &rebuild->at[i];
    const int64_t before = at->position;
    assert(i < SOURCES_MAX && before >= 0);
    struct cursor cursor;
    char why[FOLD_WHY_SIZE];
    int r = cursor_read(rebuild->db, source->log, &cursor);
    if (r < 0 || at->position >= cursor.position)
        return trace(r);
    if (rebuild->cursors_rest)
        return fail(ERR_LOCKED, "the cursor in %s has moved", source->log);
    r = rebuild->fetch(rebuild->context, source, at->position, &arena, &page);
    if (r == 0)
        r = fold_rows(rebuild->service, source, rebuild->db, page, cursor.position, at, why);
    assert(at->position >= before && at->position <= cursor.position);
    rebuild->events += at->position - before;
    if (r == 0 && at->position == cursor.position && !digest_equal(&at->chain, &cursor.chain)) {
        snprintf(why, sizeof(why),
                 "position %" PRId64 " of the leader's log is not the event that was read",
                 at->position);
        r = FOLD_DIFFERENT;
    }
    if (r == FOLD_DIFFERENT)
        snprintf(rebuild->why, sizeof(rebuild->why), "%s: %s", source->log, why);
    *more |= at->position < cursor.position;
    return trace(r);
}

/* A page of each, and a slice of our own; in a transaction, thus up to where the file that serves
 * stands in one snapshot. */
static int fold_piece(struct rebuild *rebuild, _Bool *ret_more)
{
    const struct source *source = rebuild->service->sources;
    const int64_t before = rebuild->position;
    _Bool more = 0, own_more = 0;
    int r = 0;
    for (int i = 0; r == 0 && source && source[i].log; i++)
        r = fold_page_of(rebuild, i, &more);
    if (r != 0)
        return trace(r);
    r = fold_own_log(rebuild->service, rebuild->db, rebuild->db, &rebuild->position, SLICE_EVENTS,
                     &own_more);
    rebuild->events += rebuild->position - before;
    if (r == -ERR_INVALID || r == -ERR_CONSTRAINT) {
        snprintf(rebuild->why, sizeof(rebuild->why),
                 "%s: position %" PRId64 " cannot be applied: %s", rebuild->service->log,
                 rebuild->position + 1, failure_reason());
        return FOLD_DIFFERENT;
    }
    if (r < 0)
        return trace(r);
    *ret_more = more || own_more;
    if (rebuild->progress)
        atomic_store(rebuild->progress, rebuild->events);
    return rebuild->stopping && atomic_load(rebuild->stopping) ? REBUILD_STOPPED : 0;
}

static int fold_rest(struct rebuild *rebuild)
{
    _Bool more = 1;
    int r = 0;
    while (r == 0 && more)
        r = fold_piece(rebuild, &more);
    return trace(r);
}

/* What did not go well leaves nothing in the scratch file; the rebuild is at its end then. */
static int end_transaction(struct db *db, int r)
{
    if (r == 0)
        r = db_commit(db);
    if (r != 0)
        db_rollback(db);
    return trace(r);
}

int rebuild_catch_up(struct rebuild *rebuild)
{
    _Bool more = 1;
    int r = 0;
    while (r == 0 && more) {
        r = db_begin(rebuild->db);
        if (r == 0)
            r = end_transaction(rebuild->db, fold_piece(rebuild, &more));
        if (r == 0 && rebuild->rest && rebuild->rest(rebuild->context))
            r = REBUILD_STOPPED;
    }
    return trace(r);
}

/* ---- Comparing, and telling what differs ----------------------------------------------------- */

/* Its place in the report; -1: there is none, or no memory. */
static int table_of(struct rebuild *rebuild, const char *name)
{
    int i = 0;
    assert(rebuild->table_count <= REBUILD_TABLES_MAX && rebuild->key_limit > 0);
    while (i < rebuild->table_count && strcmp(rebuild->tables[i].table, name) != 0)
        i++;
    if (i < rebuild->table_count || i == REBUILD_TABLES_MAX)
        return i < rebuild->table_count ? i : -1;
    rebuild->keys[i] = arena_alloc(&rebuild->arena,
                                   (size_t)rebuild->key_limit * sizeof(*rebuild->keys[i]));
    rebuild->tables[i].keys = rebuild->keys[i];
    rebuild->tables[i].table = arena_copy(&rebuild->arena, name, strlen(name));
    if (!rebuild->tables[i].table || !rebuild->keys[i])
        return -1;
    return rebuild->table_count++;
}

static int report_difference(struct rebuild *rebuild, const struct difference *difference)
{
    int i = table_of(rebuild, difference->table);
    if (i < 0)
        return fail(ERR_MEMORY, "no room to say that %s differs", difference->table);
    struct runtime_rebuild_reply_tables_item *table = &rebuild->tables[i];
    table->missing += difference->kind == DIFFERENCE_MISSING;
    table->extra += difference->kind == DIFFERENCE_EXTRA;
    table->changed += difference->kind == DIFFERENCE_CHANGED;
    if (table->keys_count == (size_t)rebuild->key_limit)
        return 0;
    const char *key = arena_copy(&rebuild->arena, difference->key, strlen(difference->key));
    rebuild->keys[i][table->keys_count] = key;
    table->keys_count += key != NULL;
    return key ? 0 : fail(ERR_MEMORY, "no memory for a report");
}

static int report_all(struct rebuild *rebuild)
{
    _deinit_(query) struct query query = { 0 };
    struct difference difference;
    int r = differences_open(&query, rebuild->db);
    while (r == 0 && differences_have_next(&query, &difference))
        r = report_difference(rebuild, &difference);
    return r < 0 ? trace(r) : trace(query_status(&query));
}

int rebuild_compare(struct rebuild *rebuild)
{
    int64_t count = 0;
    int r = db_begin(rebuild->db);
    if (r < 0)
        return trace(r);
    r = fold_rest(rebuild);
    if (r == 0)
        r = compare_all(rebuild->db, &count);
    if (r == 0)
        r = report_all(rebuild);
    r = end_transaction(rebuild->db, r);
    if (r == 0)
        rebuild->differences = count;
    return trace(r);
}

/* ---- Putting right --------------------------------------------------------------------------- */

static int swap_rows(struct db *served, _Bool *ret_outcome_unknown)
{
    int r = db_begin(served);
    if (r < 0)
        return trace(r);
    r = compare_swap(served);
    if (r == 0)
        r = db_may_write(served);
    if (r == 0) {
        crash_point("before_swap_commit");
        r = db_commit(served);
        *ret_outcome_unknown = loop_is_outcome_unknown(r);
        crash_point("after_swap_commit");
    }
    if (r < 0)
        db_rollback(served);
    return trace(r);
}

int rebuild_swap(struct rebuild *rebuild, struct db *served, _Bool *ret_outcome_unknown)
{
    const int64_t begun_ms = clock_monotonic_ms();
    assert(rebuild->differences > 0 && !rebuild->cursors_rest);
    rebuild->cursors_rest = 1;
    int r = db_begin(rebuild->db);
    if (r == 0)
        r = end_transaction(rebuild->db, fold_rest(rebuild));
    rebuild->cursors_rest = 0;
    if (r == 0)
        r = db_attach(served, rebuild->path, COMPARE_FOLD);
    if (r != 0)
        return r < 0 ? trace(r) : fail(ERR_LOCKED, "the service is stopping");
    r = swap_rows(served, ret_outcome_unknown);
    rebuild->put_right += r == 0 ? rebuild->differences : 0;
    int detached = db_detach(served, COMPARE_FOLD);
    rebuild->swap_ms += clock_monotonic_ms() - begun_ms;
    return r < 0 ? trace(r) : trace(detached);
}

/* ---- All of it ------------------------------------------------------------------------------- */

/* With our cursors at rest the fold can reach them. */
static int hold_and_swap(struct rebuild *rebuild)
{
    const int64_t begun_ms = clock_monotonic_ms();
    int r = rebuild->turn(rebuild->context, REBUILD_WANTS_HOLD);
    if (r < 0)
        return trace(r);
    r = rebuild_catch_up(rebuild);
    if (r == 0)
        r = rebuild->turn(rebuild->context, REBUILD_WANTS_SWAP);
    else
        /* cannot fail, so the failure's text stays */
        rebuild->turn(rebuild->context, REBUILD_WANTS_RELEASE);
    rebuild->held_ms += clock_monotonic_ms() - begun_ms;
    return trace(r);
}

int rebuild_run(struct rebuild *rebuild)
{
    assert(rebuild->fetch && rebuild->turn && !rebuild->db);
    int r = rebuild_open(rebuild);
    for (int swaps = 0; r == 0; swaps++) {
        r = rebuild_catch_up(rebuild);
        if (r == 0)
            r = rebuild_compare(rebuild);
        if (r != 0 || rebuild->differences == 0)
            break;
        if (swaps == SWAPS_MAX)
            return fail(ERR_INTERNAL, "%" PRId64 " rows differ again; somebody else writes to them",
                        rebuild->differences);
        r = hold_and_swap(rebuild);
    }
    return trace(r);
}
