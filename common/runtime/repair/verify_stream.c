/* Verify's walk of the stream: see verify_stream.h. */
#include "runtime/repair/verify_stream.h"
#include <inttypes.h>
#include <unistd.h>
#include "base/lock_file.h"
#include "runtime/repair/verify_report.h"
#include "store/terms.h"

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
    if (event->term > 0 && event->term < walk->term)
        return 1;
    if (walk->position == 0) /* what began its term may be gone from the stream */
        begun.term = event->term;
    if (begun.term > walk->term || (term_read(event, &begun) == 0 && begun.term > walk->term))
        walk->term = begun.term;
    return 0;
}

/* 0: an event of ours is there; WALK_ON: nobody's message is, as it may be. */
#define WALK_ON 2
static int read_message(const struct stream_check *check, struct walk *walk, int64_t sequence,
                        struct arena *arena, struct stream_message *ret_message)
{
    int r = api_client_stream_message(check->api, sequence, arena, ret_message);
    if (r != 0 || (ret_message->place == STREAM_EVENT && !is_void(walk, &ret_message->event)))
        return trace(r);
    if (ret_message->place == STREAM_FOREIGN)
        return verify_different("stream", "sequence %" PRId64 " is no event of ours: %s", sequence,
                                ret_message->reason);
    if (ret_message->place == STREAM_HOLE && !walk->is_marked && !walk->expires)
        return verify_different("stream", "sequence %" PRId64 " is not there", sequence);
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
static int read_log(const struct stream_check *check, struct walk *walk, int64_t position,
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

static int check_message(const struct stream_check *check, struct walk *walk, int64_t sequence)
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
        return verify_different("stream", "it goes up to %" PRId64 ", the log up to %" PRId64,
                                walk->last_sequence - walk->void_count - walk->marker_count,
                                check->head.position);
    if (!is_right || (r == 0 && (!digest_equal(&message.digest, &digest) ||
                                 !digest_equal(&message.event.chain, &event.chain))))
        return verify_different(
            "stream", "sequence %" PRId64 " is not the log's event at this position", sequence);
    walk->sequence = sequence;
    walk->position = position;
    walk->hole_count = 0;
    return 0;
}

/* A service that runs may have published more since our snapshot; one that does not has not. */
static _Bool runs(const struct stream_check *check)
{
    char path[4096];
    int fd = -1;
    snprintf(path, sizeof(path), "%s/%s.lock", check->config->data_dir, check->service->name);
    if (lock_file_take(path, 0, &fd) < 0)
        return 1;
    close(fd);
    return 0;
}

static int walk_stream(const struct stream_check *check, struct walk *walk,
                       const struct js_stream_state *state)
{
    int r = 0;
    for (int64_t at = state->first_sequence; r == 0 && at > 0 && at <= state->last_sequence; at++) {
        r = check_message(check, walk, at);
        verify_progress("stream", at, state->last_sequence);
    }
    return trace(r);
}

int verify_stream(const struct stream_check *check)
{
    _deinit_(arena) struct arena arena = { 0 };
    struct walk walk = { 0 };
    struct js_stream_state state;
    const char *log = check->service->log;
    int r = api_client_stream_state(check->api, &arena, &state);
    if (r == JS_REFUSED && state.error.error_code == JS_ERR_STREAM_NOT_FOUND &&
        check->head.position > 0)
        return verify_different("stream",
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
    verify_print("stream",
                 "%s, sequences %" PRId64 " to %" PRId64 ": each message is the log's event%s%s",
                 log, state.first_sequence, state.last_sequence,
                 walk.marker_count > 0 ? ", or a marker of the server" : "",
                 newest < check->head.position ? "; newer events wait to be published" : "");
    return 0;
}
