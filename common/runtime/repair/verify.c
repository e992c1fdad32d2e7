/* Verify: see verify.h. All of the file is read in one snapshot. The logs are folded anew into a
 * file beside it, and its tables are compared with those; the stream is compared with the log,
 * message by message. */
#include "runtime/repair/verify.h"
#include "runtime/repair/api_client.h"
#include "runtime/core/data_folder.h"
#include "runtime/writer/fold.h"
#include "runtime/writer/tables.h"
#include "runtime/repair/tools.h"
#include "runtime/repair/verify_report.h"
#include "runtime/repair/verify_stream.h"
#include "schemas/runtime.events.reply.h"
#include "store/compare.h"
#include "store/cursor.h"
#include "store/damage_mark.h"
#include "store/parked.h"
#include <assert.h>
#include <inttypes.h>
#include <unistd.h>

struct check {
    const struct service *service;
    const struct config *config;
    const char *database_path;
    char fold_path[4096];
    struct db *db; /* the fold's scratch file, with the service's attached: all in one snapshot */
    struct api_client *api; /* NULL: no server */
    struct log_head head;
    _Bool others_are_folded;
};

/* ---- The log -------------------------------------------------------------------------------- */

/* Positions without a gap, and each chain made of the one before and the event. */
static int check_log(struct check *check)
{
    _deinit_(event_reader) struct event_reader reader = { 0 };
    struct log_head head = { 0 };
    struct event event;
    int r = event_log_head(check->db, &check->head);
    if (r == 0)
        r = event_reader_open(&reader, check->db, check->service->log, 0, INT64_MAX);
    while (r == 0 && event_reader_has_next(&reader, &event)) {
        struct digest digest, chain;
        if (event.position != head.position + 1)
            return verify_different("log", "position %" PRId64 " follows %" PRId64, event.position,
                                    head.position);
        r = event_digest(&event, &digest);
        if (r >= 0)
            r = event_chain(&head.chain, &digest, &chain);
        if (r < 0)
            return trace(r);
        if (!digest_equal(&chain, &event.chain))
            return verify_different("log", "position %" PRId64 ": the chain does not follow",
                                    event.position);
        head = (struct log_head){ .position = event.position, .chain = event.chain };
        verify_progress("log", head.position, check->head.position);
    }
    if (r == 0)
        r = event_reader_status(&reader);
    if (r == 0)
        verify_print("log", "%" PRId64 " events, positions without a gap, the chain follows",
                     head.position);
    return trace(r);
}

/* ---- The fold ------------------------------------------------------------------------------- */

static int fold_own(struct check *check)
{
    int64_t position = 0;
    _Bool more = 1;
    int r = 0;
    while (r == 0 && more) {
        r = fold_own_log(check->service, check->db, check->db, &position, VERIFY_PROGRESS_EVENTS,
                         &more);
        verify_progress("fold", position, check->head.position);
    }
    if (r == -ERR_INVALID || r == -ERR_CONSTRAINT)
        return verify_different("log", "after position %" PRId64 ": %s", position,
                                failure_reason());
    return trace(r);
}

/* The next page of a leader's log. */
static int fold_page(struct check *check, const struct source *source, int64_t upto,
                     struct log_head *at, char ret_why[FOLD_WHY_SIZE])
{
    _deinit_(arena) struct arena arena = { 0 };
    const struct runtime_events_reply *page = NULL;
    int r = api_client_events(check->api, source, at->position, &arena, &page);
    return r < 0 ? trace(r)
                 : trace(fold_rows(check->service, source, check->db, page, upto, at, ret_why));
}

static int fold_source(struct check *check, const struct source *source)
{
    struct cursor cursor;
    struct log_head at = { 0 };
    char why[FOLD_WHY_SIZE];
    int64_t parked = 0;
    int r = cursor_read(check->db, source->log, &cursor);
    while (r == 0 && at.position < cursor.position) {
        r = fold_page(check, source, cursor.position, &at, why);
        if (r == FOLD_DIFFERENT)
            return verify_different(source->log, "%s", why);
        verify_progress(source->log, at.position, cursor.position);
    }
    assert(r != 0 || at.position == cursor.position);
    if (r == 0 && !digest_equal(&at.chain, &cursor.chain))
        r = verify_different(
            source->log, "at our cursor, position %" PRId64 ", the leader's log has another chain",
            cursor.position);
    if (r == 0)
        r = parked_count_of(check->db, &(struct parked_filter){ .log = source->log }, &parked);
    if (r == 0)
        verify_print(source->log,
                     "%" PRId64 " events up to our cursor, as %s has them; %" PRId64 " parked",
                     cursor.position, source->service, parked);
    return trace(r);
}

static int fold_others(struct check *check)
{
    const struct source *source = check->service->sources;
    int r = 0;
    for (; r == 0 && source && source->log; source++) {
        r = fold_source(check, source);
        if (r == -ERR_NETWORK) {
            verify_print(source->log, "not compared: %s", failure_reason());
            return 0;
        }
    }
    check->others_are_folded = r == 0;
    return trace(r);
}

/* ---- The tables ----------------------------------------------------------------------------- */

/* 1: the table has no row; 0: it has; < 0. */
static int is_empty(struct db *db, const char *schema, const char *table)
{
    char sql[256];
    int64_t count = 0;
    snprintf(sql, sizeof(sql),
             "CREATE TEMP TABLE IF NOT EXISTS rows (n INTEGER); DELETE FROM temp.rows;"
             " INSERT INTO temp.rows SELECT 1 FROM %s.\"%s\" LIMIT 1",
             schema, table);
    int r = db_script(db, sql);
    if (r == 0)
        r = db_find_number(db, &count, "SELECT count(*) FROM temp.rows", "");
    return r < 0 ? trace(r) : count == 0;
}

/* Without the others' logs, a table that our own events leave empty may be a projection of
 * theirs. */
static int is_unknown(struct check *check, const char *table)
{
    if (check->others_are_folded)
        return 0;
    int r = is_empty(check->db, "main", table);
    if (r <= 0)
        return trace(r);
    r = is_empty(check->db, COMPARE_SERVED, table);
    return r < 0 ? trace(r) : !r;
}

static int compare_tables(struct check *check, struct buf *compared, struct buf *unknown)
{
    _deinit_(query) struct query query = { 0 };
    int r = compare_begin(check->db);
    if (r == 0)
        r = compare_tables_open(&query, check->db);
    while (r == 0 && query_has_row(&query)) {
        const char *table = query_text(&query, 0);
        int unseen = is_unknown(check, table);
        if (unseen < 0)
            return trace(unseen);
        buf_put_format(unseen ? unknown : compared, " %s", table);
        if (!unseen)
            r = compare_table(check->db, table);
    }
    if (r == 0)
        r = query_status(&query);
    buf_put_char(compared, '\0');
    buf_put_char(unknown, '\0');
    if (r == 0)
        r = buf_status(compared) < 0 ? buf_status(compared) : buf_status(unknown);
    return trace(r);
}

static int check_tables(struct check *check)
{
    static const char *const kinds[] = { [DIFFERENCE_MISSING] = "is missing",
                                         [DIFFERENCE_EXTRA] = "should not be there",
                                         [DIFFERENCE_CHANGED] = "differs" };
    _deinit_(query) struct query query = { 0 };
    _deinit_(buf) struct buf compared = { 0 };
    _deinit_(buf) struct buf unknown = { 0 };
    struct difference first;
    int64_t count = 0;
    int r = compare_tables(check, &compared, &unknown);
    if (r == 0)
        r = db_find_number(check->db, &count, "SELECT count(*) FROM temp.differences", "");
    if (r == 0)
        r = differences_open(&query, check->db);
    if (r == 0 && differences_have_next(&query, &first))
        return verify_different("tables", "%s: the row %s %s%s%s; %" PRId64 " rows differ in all",
                                first.table, first.key, kinds[first.kind],
                                first.columns ? " in " : "", first.columns ? first.columns : "",
                                count);
    if (r == 0)
        r = query_status(&query);
    if (r < 0)
        return trace(r);
    verify_print("tables", "%s as the logs say:%s",
                 check->others_are_folded ? "all" : "those that our own events fill",
                 compared.data);
    if (unknown.length > 1)
        verify_print("tables", "not compared, because it needs the others' logs:%s", unknown.data);
    return 0;
}

/* ---- The command ---------------------------------------------------------------------------- */

static int check_file(struct check *check)
{
    int r = db_integrity_check(check->db);
    if (r == -ERR_CORRUPT)
        return verify_different("file", "%s", failure_reason());
    if (r == 0)
        verify_print("file", "whole");
    return trace(r);
}

/* The file's own: the fold's connection has other tables beside them. */
static int check_layout(struct check *check)
{
    _free_(db) struct db *db = NULL;
    _deinit_(buf) struct buf differences = { 0 };
    int r = db_open(&(struct db_options){ .path = check->database_path, .read_only = 1 }, &db);
    if (r == 0)
        r = tables_compare_layout(check->service, db, &differences);
    if (r > 0)
        return verify_different("layout", "%s", differences.data);
    if (r == 0)
        verify_print("layout", "tables and indexes as the program makes them, no trigger, no view");
    return trace(r);
}

static void tell_mark(const struct check *check)
{
    char text[700];
    if (damage_mark_read(check->database_path, text, sizeof(text)))
        verify_print("mark", "%s; when all agrees, remove %s" DAMAGE_MARK_SUFFIX, text,
                     check->database_path);
}

static int run(struct check *check)
{
    tell_mark(check);
    data_folder_sweep(check->config->data_dir, check->service->name);
    int r = fold_open(check->service, check->fold_path, check->database_path, &check->db);
    if (r == 0)
        r = check_file(check);
    if (r == 0)
        r = check_layout(check);
    if (r == 0)
        r = db_begin(check->db);
    if (r == 0)
        r = check_log(check);
    if (r == 0 && api_client_open(check->config, check->service, &check->api) < 0)
        verify_print("server", "not asked: %s", failure_reason());
    if (r == 0)
        r = fold_own(check);
    if (r == 0 && check->api)
        r = fold_others(check);
    if (r == 0)
        r = check_tables(check);
    if (r == 0 && check->api)
        r = verify_stream(&(struct stream_check){ .service = check->service,
                                                  .config = check->config,
                                                  .db = check->db,
                                                  .api = check->api,
                                                  .head = check->head });
    return trace(r);
}

int verify_run(const struct service *service, const struct config *config,
               const char *database_path, _Bool as_json)
{
    struct check check = { .service = service, .config = config, .database_path = database_path };
    if ((size_t)snprintf(check.fold_path, sizeof(check.fold_path), "%s.verify-%d", database_path,
                         (int)getpid()) >= sizeof(check.fold_path))
        return fail(ERR_CONFIG, "the path of --data-dir is too long");
    verify_begin(database_path, as_json);
    int r = access(database_path, R_OK) == 0
                ? run(&check)
                : fail(ERR_CONFIG, "there is no database that can be read");
    api_client_free(check.api);
    db_free(check.db);
    fold_remove(check.fold_path);
    return trace(verify_end(r, check.others_are_folded));
}
