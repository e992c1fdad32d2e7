/* Resolve: see resolve.h. The stream is read as the relay reads it (sync/relay.h), but all of it:
 * messages of others among the events, and events that are missing, can stand anywhere. Who has
 * written events of ours with another chain is a question for a person; all else only means that
 * the stream is wrong. */
#include "runtime/repair/resolve.h"
#include "base/smaller.h"
#include "base/terminal.h"
#include "base/utf8.h"
#include "base/clock.h"
#include "base/lock_file.h"
#include "runtime/repair/api_client.h"
#include "runtime/core/context.h"
#include "runtime/repair/tools.h"
#include "store/event_log.h"
#include "store/migrate.h"
#include "store/terms.h"
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SHOWN_MAX 5 /* events that are listed of each side */
#define LOCK_WAIT_MS 1000

struct sides {
    struct db *db;
    struct api_client *api;
    const struct service *service;
    const char *database_path;
    struct log_head head; /* of the log */
    _Bool stream_exists;
    int64_t first_sequence, last_sequence, messages;
    int64_t equal; /* up to this position both say the same */
    /* messages that are no events of ours, the first of them; sequences without a message */
    int64_t foreign, first_foreign, holes, markers;
    int64_t newest;    /* position in the stream */
    int64_t missing;   /* positions of the log that the stream goes past without having them */
    int64_t different; /* events of ours at a position of the log, with another chain */
    int64_t ahead;     /* events of ours at positions that the log does not have */
    int64_t voids;     /* of a lower term behind a higher TermBegan: they have no position */
    struct term log_term, stream_term; /* the newest of each */
    int64_t seen; /* how far the stream was once seen to go, when that was beyond the log */
};

/* ---- Looking -------------------------------------------------------------------------------- */

static int read_stream(struct sides *sides)
{
    _deinit_(arena) struct arena arena = { 0 };
    struct js_stream_state state;
    int r = api_client_stream_state(sides->api, &arena, &state);
    if (r == JS_REFUSED && state.error.error_code == JS_ERR_STREAM_NOT_FOUND)
        return 0;
    if (r != 0)
        return r < 0 ? trace(r)
                     : fail(ERR_NETWORK, "the stream %s: %s", sides->service->log,
                            state.error.description);
    sides->stream_exists = 1;
    sides->first_sequence = state.first_sequence;
    sides->last_sequence = state.last_sequence;
    sides->messages = state.messages;
    return 0;
}

static void count_event(struct sides *sides, int64_t position, _Bool is_equal)
{
    if (position > sides->head.position)
        sides->ahead++;
    else if (!is_equal)
        sides->different++;
    if (position > sides->newest + 1 && sides->newest > 0)
        sides->missing += position - sides->newest - 1;
    if (position > sides->newest)
        sides->newest = position;
}

/* Where the stream would end without what is void: its sequence and the position are one again. */
static int64_t last_of(const struct sides *sides)
{
    return sides->last_sequence - sides->voids;
}

static _Bool note_term(struct sides *sides, const struct event *event)
{
    struct term begun;
    if (event->term > 0 && event->term < sides->stream_term.term)
        return 0;
    if (term_read(event, &begun) == 0 && begun.term > sides->stream_term.term)
        sides->stream_term = begun;
    return 1;
}

/* What stands at this sequence. */
static int read_place(struct sides *sides, int64_t sequence)
{
    _deinit_(arena) struct arena arena = { 0 };
    struct stream_message message;
    struct digest chain;
    int r = api_client_stream_message(sides->api, sequence, &arena, &message);
    if (r < 0)
        return trace(r);
    _Bool is_equal = 0;
    if (message.place == STREAM_HOLE) {
        sides->holes++;
    } else if (message.place == STREAM_MARKER) {
        sides->markers++;
    } else if (message.place == STREAM_FOREIGN) {
        if (sides->foreign++ == 0)
            sides->first_foreign = sequence;
    } else if (!note_term(sides, &message.event)) {
        sides->voids++;
    } else {
        r = event_log_find_chain(sides->db, message.event.position, &chain);
        if (r < 0)
            return trace(r);
        is_equal = r == 0 && digest_equal(&chain, &message.event.chain);
        count_event(sides, message.event.position, is_equal);
        is_equal = is_equal && message.event.position == sequence - sides->voids;
    }
    if (is_equal && sides->equal == sequence - sides->voids - 1)
        sides->equal = sequence - sides->voids;
    return 0;
}

/* Before the stream's first message nothing can be compared. */
static int read_messages(struct sides *sides)
{
    sides->equal = sides->first_sequence - 1;
    for (int64_t sequence = sides->first_sequence; sequence <= sides->last_sequence; sequence++) {
        int r = read_place(sides, sequence);
        if (r < 0)
            return trace(r);
    }
    return 0;
}

static int look(struct sides *sides)
{
    int r = event_log_head(sides->db, &sides->head);
    if (r == 0)
        r = terms_newest(sides->db, &sides->log_term);
    if (r == 0)
        r = meta_read_or(sides->db, META_STREAM_POSITION, 0, &sides->seen);
    if (r == 0)
        r = read_stream(sides);
    if (r == 0 && sides->messages > 0)
        r = read_messages(sides);
    else if (r == 0) /* all of it is gone */
        sides->seen = larger(sides->seen, sides->last_sequence);
    return trace(r);
}

/* ---- Telling -------------------------------------------------------------------------------- */

static void show_event(const struct event *event)
{
    char time[RFC3339_SIZE], type[128], entity[256];
    rfc3339_format(event->time_ms, time);
    utf8_show(event->type, type, sizeof(type));
    utf8_show(event->entity, entity, sizeof(entity));
    terminal_print(stdout, "    %8" PRId64 "  %s  %-20s %s\n", event->position, time, type, entity);
}

static int tell_log(struct sides *sides)
{
    _deinit_(event_reader) struct event_reader reader = { 0 };
    struct event event;
    terminal_print(stdout,
                   "log     %" PRId64 " events, %" PRId64 " of them after position %" PRId64 "\n",
                   sides->head.position, sides->head.position - sides->equal, sides->equal);
    int r = event_reader_open(&reader, sides->db, sides->service->log, sides->equal, SHOWN_MAX);
    while (r == 0 && event_reader_has_next(&reader, &event))
        show_event(&event);
    if (r == 0)
        r = event_reader_status(&reader);
    if (sides->head.position - sides->equal > SHOWN_MAX)
        terminal_print(stdout, "         …\n");
    return trace(r);
}

static int tell_stream(struct sides *sides)
{
    if (!sides->stream_exists) {
        terminal_print(stdout, "stream  %s is not there\n", sides->service->log);
        return 0;
    }
    terminal_print(stdout,
                   "stream  %" PRId64 " messages, sequences %" PRId64 " to %" PRId64 ", %" PRId64
                   " of them after %" PRId64 "\n",
                   sides->messages, sides->first_sequence, sides->last_sequence,
                   sides->last_sequence - sides->equal, sides->equal);
    for (int64_t at = sides->equal + 1;
         at <= sides->last_sequence && at <= sides->equal + SHOWN_MAX; at++) {
        _deinit_(arena) struct arena arena = { 0 };
        struct stream_message message;
        int r = api_client_stream_message(sides->api, at, &arena, &message);
        if (r < 0)
            return trace(r);
        char reason[256] = "";
        if (message.place == STREAM_FOREIGN)
            utf8_show(message.reason, reason, sizeof(reason));
        if (message.place == STREAM_EVENT)
            show_event(&message.event);
        else
            terminal_print(stdout, "    %8" PRId64 "  %s%s\n", at,
                           message.place == STREAM_HOLE     ? "no message"
                           : message.place == STREAM_MARKER ? "a marker of the server"
                                                            : "not an event of ours: ",
                           message.place == STREAM_FOREIGN ? reason : "");
    }
    if (sides->last_sequence - sides->equal > SHOWN_MAX)
        terminal_print(stdout, "         …\n");
    return 0;
}

static _Bool both_lack_events(const struct sides *sides)
{
    return sides->seen > sides->head.position && sides->seen > sides->newest;
}

/* Nothing but the stream is wrong: the relay heals it by itself. */
static _Bool is_only_stream_wrong(const struct sides *sides)
{
    return sides->different == 0 && sides->ahead == 0 && !both_lack_events(sides) &&
           sides->foreign + sides->holes + sides->missing > 0;
}

static void tell_only_stream_wrong(const struct sides *sides)
{
    if (sides->foreign > 0)
        terminal_print(stdout,
                       "foreign %" PRId64
                       " messages of the stream are no events of %s, the first at "
                       "sequence %" PRId64 "\n",
                       sides->foreign, sides->service->name, sides->first_foreign);
    if (sides->missing + sides->holes > 0)
        terminal_print(stdout,
                       "missing %" PRId64
                       " events are not in the stream, and later ones are; %" PRId64
                       " sequences are empty\n",
                       sides->missing, sides->holes);
    terminal_print(
        stdout,
        "no fork: only the stream is wrong, and the log has all of it. %s deletes the stream "
        "and makes it anew while it runs\n",
        sides->service->name);
}

static int tell(struct sides *sides)
{
    int r = tell_log(sides);
    if (r == 0)
        r = tell_stream(sides);
    if (r < 0)
        return trace(r);
    if (sides->voids > 0)
        terminal_print(stdout,
                       "void    %" PRId64 " messages of the stream are of a term that had ended; "
                       "nobody reads them\n",
                       sides->voids);
    if (both_lack_events(sides))
        terminal_print(stdout,
                       "lost    the stream was once seen to go up to %" PRId64
                       "; neither has the rest. A backup of either may have it.\n",
                       sides->seen);
    else if (is_only_stream_wrong(sides))
        tell_only_stream_wrong(sides);
    else if (sides->equal == last_of(sides))
        terminal_print(
            stdout,
            "no fork: the stream is the beginning of the log, and the service publishes what is "
            "missing\n");
    else if (sides->equal == sides->head.position)
        terminal_print(
            stdout,
            "no fork, if what is newer in the stream are events of %s, which catches up on them\n",
            sides->service->name);
    return 0;
}

/* ---- Keeping the log ------------------------------------------------------------------------ */

int resolve_forget_stream(const char *database_path)
{
    _free_(db) struct db *db = NULL;
    int r = db_open(&(struct db_options){ .path = database_path, .lock_timeout_ms = LOCK_WAIT_MS },
                    &db);
    return r < 0
               ? trace(r)
               : trace(db_exec(db, "DELETE FROM meta WHERE name = ?1", "s", META_STREAM_POSITION));
}

/* First the stream, then what we remember of it: after a crash between the two the service is
 * forked as before. */
static int keep_log(struct sides *sides)
{
    if (sides->stream_term.term > sides->log_term.term)
        return fail(ERR_CONFIG,
                    "the stream has the term %" PRId64 ", which %s began, and the log only the "
                    "term %" PRId64 ": what others have read and answered since would be given up. "
                    "Start %s: it sets aside what only its log has, and follows",
                    sides->stream_term.term, sides->stream_term.instance, sides->log_term.term,
                    sides->service->name);
    int r = sides->stream_exists ? api_client_stream_delete(sides->api) : 0;
    if (r == 0)
        r = resolve_forget_stream(sides->database_path);
    if (r < 0)
        return trace(r);
    terminal_print(
        stdout,
        "kept the log; the stream %s is deleted. Start %s: it makes the stream anew, of %" PRId64
        " events.\n",
        sides->service->log, sides->service->name, sides->head.position);
    if (last_of(sides) > sides->equal)
        terminal_print(
            stdout,
            "A service that has read more than position %" PRId64
            " of the old stream is forked as its reader now (its statistics say so);\n"
            "stop it and run `resolve --keep stream` there: it is folded anew from its own "
            "stream and reads this one again.\n",
            sides->equal);
    return 0;
}

/* ---- Keeping the stream --------------------------------------------------------------------- */

static int check_stream_is_whole(const struct sides *sides)
{
    if (sides->messages == 0)
        return fail(ERR_CONFIG,
                    "the stream %s is not there or empty: nothing could be folded from it",
                    sides->service->log);
    if (sides->first_sequence != 1 || sides->messages != sides->last_sequence)
        return fail(ERR_CONFIG,
                    "the stream %s has lost messages (%" PRId64 " of the sequences %" PRId64
                    " to %" PRId64 "): keep the log, or"
                    " restore a backup of either",
                    sides->service->log, sides->messages, sides->first_sequence,
                    sides->last_sequence);
    return 0;
}

static int move_aside(const char *path, const char *suffix, const char *mark)
{
    char from[4096], to[4096 + 64];
    snprintf(from, sizeof(from), "%s%s", path, suffix);
    snprintf(to, sizeof(to), "%s%s%s", path, mark, suffix);
    if (rename(from, to) < 0 && (errno != ENOENT || !*suffix))
        return fail(ERR_READONLY, "%s: %s", from, errno_text(errno));
    return 0;
}

/* What the WAL holds goes into the file, if that is whole enough for it. */
static void close_file(struct sides *sides)
{
    _free_(db) struct db *db = NULL;
    db_free(take(sides->db));
    if (db_open(
            &(struct db_options){ .path = sides->database_path, .lock_timeout_ms = LOCK_WAIT_MS },
            &db) == 0)
        db_checkpoint(db, 1, NULL);
}

/* The file first: one without its WAL would be a file without its newest events, a WAL without its
 * file is nothing. */
static int keep_stream(struct sides *sides)
{
    assert(sides->equal <= sides->last_sequence || sides->messages == 0);
    char mark[64];
    time_t now = time(NULL);
    struct tm parts;
    int r = check_stream_is_whole(sides);
    if (r < 0)
        return trace(r);
    (void)strftime(mark, sizeof(mark), ".forked-%Y%m%dT%H%M%SZ", gmtime_r(&now, &parts));
    close_file(sides);
    r = move_aside(sides->database_path, "", mark);
    if (r == 0)
        r = move_aside(sides->database_path, "-wal", mark);
    if (r == 0)
        r = move_aside(sides->database_path, "-shm", mark);
    if (r < 0)
        return trace(r);
    terminal_print(
        stdout,
        "kept the stream; the file is set aside as %s%s. Start %s: it is folded anew from %" PRId64
        " events.\n",
        sides->database_path, mark, sides->service->name, sides->last_sequence);
    if (sides->head.position > sides->equal)
        terminal_print(stdout,
                       "The %" PRId64
                       " events that only the log had are in that file and nowhere else.\n",
                       sides->head.position - sides->equal);
    return 0;
}

/* ---- The command ---------------------------------------------------------------------------- */

enum keep { KEEP_NOTHING, KEEP_LOG, KEEP_STREAM };

static int read_arguments(const struct config *config, enum keep *ret_keep)
{
    const char *const *arguments = config->arguments + 1;
    if (config->argument_count == 1) {
        *ret_keep = KEEP_NOTHING;
        return 0;
    }
    if (config->argument_count == 3 && strcmp(arguments[0], "--keep") == 0) {
        *ret_keep = strcmp(arguments[1], "log") == 0      ? KEEP_LOG
                    : strcmp(arguments[1], "stream") == 0 ? KEEP_STREAM
                                                          : KEEP_NOTHING;
        if (*ret_keep != KEEP_NOTHING)
            return 0;
    }
    return TOOL_USAGE;
}

static int resolve(struct sides *sides, const struct config *config, enum keep keep)
{
    int r = db_open(&(struct db_options){ .path = sides->database_path,
                                          .read_only = 1,
                                          .lock_timeout_ms = LOCK_WAIT_MS },
                    &sides->db);
    if (r == 0)
        r = api_client_open(config, sides->service, &sides->api);
    if (r == 0)
        r = look(sides);
    if (r == 0)
        r = tell(sides);
    if (r < 0)
        return trace(r);
    switch (keep) {
    case KEEP_LOG:     return trace(keep_log(sides));
    case KEEP_STREAM:  return trace(keep_stream(sides));
    case KEEP_NOTHING: break;
    }
    if (both_lack_events(sides) || (sides->equal < last_of(sides) && !is_only_stream_wrong(sides)))
        terminal_print(
            stdout,
            "choose  stop the service; then `resolve --keep log` gives up what the stream has "
            "after position %" PRId64 ",\n"
            "        or `resolve --keep stream` sets aside what the log has after it\n",
            sides->equal);
    return 0;
}

int resolve_run(const struct service *service, const struct config *config,
                const char *database_path)
{
    struct sides sides = { .service = service, .database_path = database_path };
    enum keep keep;
    int lock_fd = -1, r = read_arguments(config, &keep);
    if (r == 0 && keep != KEEP_NOTHING) {
        char lock_path[4096];
        snprintf(lock_path, sizeof(lock_path), "%s/%s.lock", config->data_dir, service->name);
        r = lock_file_take(lock_path, LOCK_WAIT_MS, &lock_fd);
    }
    if (r == 0)
        r = resolve(&sides, config, keep);
    api_client_free(sides.api);
    db_free(sides.db);
    if (lock_fd >= 0)
        close(lock_fd);
    return trace(r);
}
