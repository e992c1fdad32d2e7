/* Verify: see verify.h. All of the file is read in one snapshot. The logs are folded anew into a
 * file beside it, and its tables are compared with those; the stream is compared with the log,
 * message by message. */
#include "runtime/repair/verify.h"
#include "base/terminal.h"
#include "base/utf8.h"
#include "base/lock_file.h"
#include "runtime/repair/api_client.h"
#include "runtime/core/data_folder.h"
#include "runtime/writer/fold.h"
#include "runtime/writer/tables.h"
#include "runtime/repair/tools.h"
#include "schemas/runtime.events.reply.h"
#include "store/compare.h"
#include "store/cursor.h"
#include "store/damage_mark.h"
#include "store/parked.h"
#include "store/terms.h"
#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#define PROGRESS_EVENTS 1000

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

/* ---- Telling -------------------------------------------------------------------------------- */

static void progress(const char *what, int64_t done, int64_t all)
{
    if (isatty(STDERR_FILENO) && (done % PROGRESS_EVENTS == 0 || done == all)) {
        fprintf(stderr, "\r%s: %" PRId64 " of %" PRId64 "%s", what, done, all,
                done == all ? "\r\033[K" : "");
        fflush(stderr);
    }
}

static void print_row(const char *name, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void print_row(const char *name, const char *format, ...)
{
    va_list arguments;
    terminal_print(stdout, "  %-8s ", name);
    va_start(arguments, format);
    terminal_print_list(stdout, format, arguments);
    va_end(arguments);
    terminal_print(stdout, "\n");
    fflush(stdout);
}

static int different(const char *name, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static int different(const char *name, const char *format, ...)
{
    char text[512], shown[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    utf8_show(text, shown, sizeof(shown));
    print_row(name, "DIFFERENT: %s", shown);
    return TOOL_NO;
}

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
            return different("log", "position %" PRId64 " follows %" PRId64, event.position,
                             head.position);
        r = event_digest(&event, &digest);
        if (r >= 0)
            r = event_chain(&head.chain, &digest, &chain);
        if (r < 0)
            return trace(r);
        if (!digest_equal(&chain, &event.chain))
            return different("log", "position %" PRId64 ": the chain does not follow",
                             event.position);
        head = (struct log_head){ .position = event.position, .chain = event.chain };
        progress("log", head.position, check->head.position);
    }
    if (r == 0)
        r = event_reader_status(&reader);
    if (r == 0)
        print_row("log", "%" PRId64 " events, positions without a gap, the chain follows",
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
        r = fold_own_log(check->service, check->db, check->db, &position, PROGRESS_EVENTS, &more);
        progress("fold", position, check->head.position);
    }
    if (r == -ERR_INVALID || r == -ERR_CONSTRAINT)
        return different("log", "after position %" PRId64 ": %s", position, failure_reason());
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
            return different(source->log, "%s", why);
        progress(source->log, at.position, cursor.position);
    }
    assert(r != 0 || at.position == cursor.position);
    if (r == 0 && !digest_equal(&at.chain, &cursor.chain))
        r = different(source->log,
                      "at our cursor, position %" PRId64 ", the leader's log has another chain",
                      cursor.position);
    if (r == 0)
        r = parked_count_of(check->db, &(struct parked_filter){ .log = source->log }, &parked);
    if (r == 0)
        print_row(source->log,
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
            print_row(source->log, "not compared: %s", failure_reason());
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
        return different("tables", "%s: the row %s %s%s%s; %" PRId64 " rows differ in all",
                         first.table, first.key, kinds[first.kind], first.columns ? " in " : "",
                         first.columns ? first.columns : "", count);
    if (r == 0)
        r = query_status(&query);
    if (r < 0)
        return trace(r);
    print_row("tables", "%s as the logs say:%s",
              check->others_are_folded ? "all" : "those that our own events fill", compared.data);
    if (unknown.length > 1)
        print_row("tables", "not compared, because it needs the others' logs:%s", unknown.data);
    return 0;
}

/* ---- The stream ----------------------------------------------------------------------------- */

/* From the stream's first message to its last. A sequence is the position, but for markers of the
 * server, which take sequences of their own and vanish again, and for voids. */
struct walk {
    _Bool is_marked, expires;   /* the server writes markers; the oldest may vanish while we read */
    _Bool is_running;           /* the service may have published more since our snapshot */
    struct event_reader reader; /* of the log, behind `position`; open when that is not 0 */
    int64_t sequence, position; /* of the newest event that was read; 0: none was */
    int64_t hole_count, marker_count; /* behind it; in all */
    int64_t term, void_count;         /* the newest that began there; messages of ended terms */
    int64_t last_sequence;            /* of the stream */
};

/* Of a term that had ended before it stands there: it has no position. */
static _Bool is_void(struct walk *walk, const struct event *event)
{
    struct term begun = { 0 };
    if (event->term < walk->term)
        return 1;
    if (walk->position == 0) /* what began its term may be gone from the stream */
        begun.term = event->term;
    if (begun.term > walk->term || (term_read(event, &begun) == 0 && begun.term > walk->term))
        walk->term = begun.term;
    return 0;
}

/* 0: an event of ours is there; WALK_ON: nobody's message is, as it may be. */
#define WALK_ON 2
static int read_message(struct check *check, struct walk *walk, int64_t sequence,
                        struct arena *arena, struct stream_message *ret_message)
{
    int r = api_client_stream_message(check->api, sequence, arena, ret_message);
    if (r != 0 || (ret_message->place == STREAM_EVENT && !is_void(walk, &ret_message->event)))
        return trace(r);
    if (ret_message->place == STREAM_FOREIGN)
        return different("stream", "sequence %" PRId64 " is no event of ours: %s", sequence,
                         ret_message->reason);
    if (ret_message->place == STREAM_HOLE && !walk->is_marked && !walk->expires)
        return different("stream", "sequence %" PRId64 " is not there", sequence);
    walk->void_count += ret_message->place == STREAM_EVENT;
    walk->hole_count += ret_message->place == STREAM_HOLE;
    walk->marker_count += ret_message->place == STREAM_MARKER;
    return WALK_ON;
}

/* Is this position the one that belongs there? */
static _Bool is_next(const struct walk *walk, int64_t sequence, int64_t position)
{
    const _Bool is_moved = walk->is_marked || walk->marker_count > 0 || walk->term > 1;
    if (walk->position == 0)
        return position == sequence || (is_moved && position < sequence);
    return position == walk->position + 1 ||
           (walk->expires && walk->hole_count > 0 && position > walk->position &&
            position - walk->position <= sequence - walk->sequence);
}

/* The log's event at a position, after those that were read before; 0, 1: it has none; < 0. */
static int read_log(struct check *check, struct walk *walk, int64_t position,
                    struct event *ret_event)
{
    int r = 0;
    if (position > check->head.position)
        return 1;
    if (position != walk->position + 1 || walk->position == 0) {
        event_reader_deinit(&walk->reader);
        r = event_reader_open(&walk->reader, check->db, check->service->log, position - 1,
                              INT64_MAX);
    }
    if (r < 0 || event_reader_has_next(&walk->reader, ret_event))
        return trace(r);
    r = event_reader_status(&walk->reader);
    return r < 0 ? trace(r) : fail(ERR_INTERNAL, "the log ends before position %" PRId64, position);
}

static int check_message(struct check *check, struct walk *walk, int64_t sequence)
{
    _deinit_(arena) struct arena arena = { 0 };
    struct stream_message message;
    struct event event;
    struct digest digest;
    int r = read_message(check, walk, sequence, &arena, &message);
    if (r != 0)
        return r == WALK_ON ? 0 : trace(r);
    const int64_t position = message.event.position;
    const _Bool is_right = is_next(walk, sequence, position);
    r = is_right ? read_log(check, walk, position, &event) : 0;
    if (r == 0 && is_right)
        r = event_digest(&event, &digest);
    if (r < 0)
        return trace(r);
    if (r == 1 && !walk->is_running)
        return different("stream", "it goes up to %" PRId64 ", the log up to %" PRId64,
                         walk->last_sequence - walk->void_count - walk->marker_count,
                         check->head.position);
    if (!is_right || (r == 0 && (!digest_equal(&message.digest, &digest) ||
                                 !digest_equal(&message.event.chain, &event.chain))))
        return different("stream", "sequence %" PRId64 " is not the log's event at this position",
                         sequence);
    walk->sequence = sequence;
    walk->position = position;
    walk->hole_count = 0;
    return 0;
}

/* A service that runs may have published more since our snapshot; one that does not has not. */
static _Bool runs(const struct check *check)
{
    char path[4096];
    int fd = -1;
    snprintf(path, sizeof(path), "%s/%s.lock", check->config->data_dir, check->service->name);
    if (lock_file_take(path, 0, &fd) < 0)
        return 1;
    close(fd);
    return 0;
}

static int walk_stream(struct check *check, struct walk *walk, const struct js_stream_state *state)
{
    int r = 0;
    for (int64_t at = state->first_sequence; r == 0 && at > 0 && at <= state->last_sequence; at++) {
        r = check_message(check, walk, at);
        progress("stream", at, state->last_sequence);
    }
    return trace(r);
}

static int check_stream(struct check *check)
{
    _deinit_(arena) struct arena arena = { 0 };
    struct walk walk = { 0 };
    struct js_stream_state state;
    const char *log = check->service->log;
    int r = api_client_stream_state(check->api, &arena, &state);
    if (r == JS_REFUSED && state.error.error_code == JS_ERR_STREAM_NOT_FOUND &&
        check->head.position > 0)
        return different("stream",
                         "%s is not there, and the log has %" PRId64
                         " events; the service makes it anew",
                         log, check->head.position);
    if (r != 0)
        return r < 0 ? trace(r)
                     : fail(ERR_NETWORK, "the stream %s: %s", log, state.error.description);
    walk.is_marked = json_text_is(json_text_find(state.config, "allow_msg_ttl"), "true");
    walk.expires = state.max_age_ns > 0;
    walk.is_running = runs(check);
    walk.last_sequence = state.last_sequence;
    r = walk_stream(check, &walk, &state);
    event_reader_deinit(&walk.reader);
    if (r != 0)
        return trace(r);
    const int64_t newest = walk.position > 0 ? walk.position : state.last_sequence;
    print_row("stream",
              "%s, sequences %" PRId64 " to %" PRId64 ": each message is the log's event%s%s", log,
              state.first_sequence, state.last_sequence,
              walk.marker_count > 0 ? ", or a marker of the server" : "",
              newest < check->head.position ? "; newer events wait to be published" : "");
    return 0;
}

/* ---- The command ---------------------------------------------------------------------------- */

static int check_file(struct check *check)
{
    int r = db_integrity_check(check->db);
    if (r == -ERR_CORRUPT)
        return different("file", "%s", failure_reason());
    if (r == 0)
        print_row("file", "whole");
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
        return different("layout", "%s", differences.data);
    if (r == 0)
        print_row("layout", "tables and indexes as the program makes them, no trigger, no view");
    return trace(r);
}

static void tell_mark(const struct check *check)
{
    char text[700];
    if (damage_mark_read(check->database_path, text, sizeof(text)))
        print_row("mark", "%s; when all agrees, remove %s" DAMAGE_MARK_SUFFIX, text,
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
        print_row("server", "not asked: %s", failure_reason());
    if (r == 0)
        r = fold_own(check);
    if (r == 0 && check->api)
        r = fold_others(check);
    if (r == 0)
        r = check_tables(check);
    if (r == 0 && check->api)
        r = check_stream(check);
    return trace(r);
}

int verify_run(const struct service *service, const struct config *config,
               const char *database_path)
{
    struct check check = { .service = service, .config = config, .database_path = database_path };
    if ((size_t)snprintf(check.fold_path, sizeof(check.fold_path), "%s.verify-%d", database_path,
                         (int)getpid()) >= sizeof(check.fold_path))
        return fail(ERR_CONFIG, "the path of --data-dir is too long");
    terminal_print(stdout, "%s\n", database_path);
    int r = access(database_path, R_OK) == 0
                ? run(&check)
                : fail(ERR_CONFIG, "there is no database that can be read");
    api_client_free(check.api);
    db_free(check.db);
    fold_remove(check.fold_path);
    if (r == 0)
        terminal_print(stdout, "%s agrees\n",
                       check.others_are_folded ? "all" : "what was compared");
    return trace(r);
}
