/* Envelope: see envelope.h. */
#include "runtime/sync/envelope.h"
#include "base/clock.h"
#include "runtime/core/event_text.h"
#include "store/terms.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define SPEC_VERSION "1.0"
#define CONTENT_TYPE "application/json"
#define FIRST_VERSION ".v1" /* of ce-type; the log and the subject leave it out */
#define SUBJECT_ROOT "evt."
#define TIME_MS_MAX 253402300799999 /* the last of the year 9999: RFC 3339 has four digits */

/* ---- Text ----------------------------------------------------------------------------------- */

/* What ce-type has behind the name of an event; NULL: nothing. */
static const char *version_of(const char *type)
{
    return event_name_is_first(type) ? FIRST_VERSION : NULL;
}

/* What stands for itself in a header (CloudEvents, NATS binding): U+0021 to 7E but " and %. */
static const _Bool is_plain[256] = { [0x21] = 1, [0x23 ... 0x24] = 1, [0x26 ... 0x7e] = 1 };

/* ---- Writing -------------------------------------------------------------------------------- */

void envelope_init(struct envelope *envelope)
{
    *envelope = (struct envelope){ 0 };
}

void envelope_deinit(struct envelope *envelope)
{
    buf_deinit(&envelope->text);
}

/* One header after another. A value that had to be made stands in the buffer, which may still move:
 * its offset is kept until all are there. */
struct writer_state {
    struct envelope *to;
    int count;
    size_t offsets[ENVELOPE_HEADERS_MAX];
    int failed; /* 0, or the first failure */
};

static void put_fixed(struct writer_state *w, const char *key, const char *value)
{
    w->to->headers[w->count++] = (struct bus_header){ key, value };
}

/* The value is what is put into the buffer next, with its NUL. */
static struct buf *put_made(struct writer_state *w, const char *key)
{
    w->offsets[w->count] = w->to->text.length;
    w->to->headers[w->count++] = (struct bus_header){ key, NULL };
    return &w->to->text;
}

static void put_text(struct writer_state *w, const char *key, const char *text)
{
    if (!text)
        return;
    size_t length = strlen(text), plain = 0;
    while (plain < length && is_plain[(unsigned char)text[plain]])
        plain++;
    if (length == 0 || length > EVENT_TEXT_MAX || (plain < length && !text_is_utf8(text, length))) {
        if (w->failed == 0)
            w->failed = fail(ERR_INVALID, "the event's %s is empty, too long or not UTF-8", key);
        return;
    }
    if (plain == length) {
        put_fixed(w, key, text);
        return;
    }
    struct buf *out = put_made(w, key);
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        if (is_plain[c])
            buf_put_char(out, text[i]);
        else
            buf_put_format(out, "%%%02X", c);
    }
    buf_put_char(out, '\0');
}

static void put_number(struct writer_state *w, const char *key, int64_t value)
{
    struct buf *out = put_made(w, key);
    buf_put_int(out, value);
    buf_put_char(out, '\0');
}

/* Up to four pieces; NULL ends early. */
static void put_joined(struct writer_state *w, const char *key, const char *a, const char *b,
                       const char *c, const char *d)
{
    struct buf *out = put_made(w, key);
    const char *pieces[] = { a, b, c, d };
    for (int i = 0; i < 4 && pieces[i]; i++)
        buf_put_text(out, pieces[i]);
    buf_put_char(out, '\0');
}

static void put_cloudevents(struct writer_state *w, const struct event *event,
                            const struct source *leader)
{
    char time[RFC3339_SIZE];
    rfc3339_format(event->time_ms, time);
    put_fixed(w, "ce-specversion", SPEC_VERSION);
    put_text(w, "ce-id", event->id);
    put_joined(w, "ce-source", "/", leader->service, NULL, NULL);
    put_joined(w, "ce-type", leader->prefix, ".", event->type, version_of(event->type));
    put_text(w, "ce-subject", event->entity);
    put_joined(w, "ce-time", time, NULL, NULL, NULL);
    put_fixed(w, "ce-datacontenttype", CONTENT_TYPE); /* without it others take data for bytes */
    put_text(w, "ce-correlationid", event->correlation);
    put_text(w, "ce-causationid", event->causation);
}

static void put_digest(struct writer_state *w, const char *key, const struct digest *digest)
{
    char text[DIGEST_SHORT_SIZE];
    digest_format_short(digest, text);
    put_joined(w, key, text, NULL, NULL, NULL);
}

/* The cause of a request follows from its key, which is the causation. */
static _Bool cause_follows(const struct event *event)
{
    const size_t length = sizeof(CAUSE_REQUEST) - 1;
    return event->cause && event->cause_digest && event->causation &&
           strncmp(event->cause, CAUSE_REQUEST, length) == 0 &&
           strcmp(event->cause + length, event->causation) == 0;
}

static void put_cause(struct writer_state *w, const struct event *event)
{
    struct digest digest;
    if (!cause_follows(event))
        put_text(w, "Journey-Cause", event->cause);
    if (!event->cause_digest)
        return;
    if (!event->cause && w->failed == 0)
        w->failed = fail(ERR_INVALID, "the event has a digest, and no cause that it belongs to");
    else if (digest_parse(event->cause_digest, &digest) == 0)
        put_digest(w, "Journey-Cause-Digest", &digest);
    else if (w->failed == 0)
        w->failed = fail(ERR_INVALID, "the event's Journey-Cause-Digest is not a digest");
}

static void put_journey(struct writer_state *w, const struct event *event,
                        int64_t expected_last_sequence)
{
    if (expected_last_sequence != ENVELOPE_NO_FENCE)
        put_number(w, "Nats-Expected-Last-Sequence", expected_last_sequence);
    put_number(w, "Journey-Position", event->position);
    put_digest(w, "Journey-Chain", &event->chain);
    if (event->term > 0)
        put_number(w, "Journey-Term", event->term);
    put_cause(w, event);
    put_text(w, "traceparent", event->traceparent);
}

int envelope_encode(struct envelope *envelope, const struct event *event,
                    const struct source *leader, int64_t expected_last_sequence)
{
    struct writer_state w = { .to = envelope };
    if (!event->id || !event->entity || !event->type || !event_name_is_valid(event->type) ||
        event->position < 1 || event->time_ms < 0 || event->time_ms > TIME_MS_MAX ||
        event->data_length == 0 || memchr(event->data, '\0', event->data_length))
        return fail(ERR_INVALID,
                    "event %" PRId64 " cannot travel: a field is missing or out of range",
                    event->position);
    buf_clear(&envelope->text);
    int length = snprintf(envelope->subject, sizeof(envelope->subject), SUBJECT_ROOT "%s.%s",
                          leader->prefix, event->type);
    if (length < 0 || (size_t)length >= sizeof(envelope->subject))
        return fail(ERR_INVALID, "a subject of %d bytes", length);
    put_cloudevents(&w, event, leader);
    put_journey(&w, event, expected_last_sequence);
    if (w.failed == 0)
        w.failed = buf_status(&envelope->text);
    if (w.failed < 0)
        return trace(w.failed);
    for (int i = 0; i < w.count; i++)
        if (!envelope->headers[i].value)
            envelope->headers[i].value = envelope->text.data + w.offsets[i];
    envelope->message = (struct bus_outgoing){
        .subject = envelope->subject,
        .headers = envelope->headers,
        .header_count = w.count,
        .data = event->data,
        .length = event->data_length,
    };
    return 0;
}

/* ---- Reading -------------------------------------------------------------------------------- */

enum known {
    SPECVERSION,
    ID,
    SOURCE,
    TYPE,
    ENTITY,
    TIME,
    CONTENTTYPE,
    CORRELATION,
    CAUSATION,
    MSG_ID,
    POSITION,
    CHAIN,
    CAUSE,
    CAUSE_DIGEST,
    TERM,
    TRACEPARENT,
    KNOWN_COUNT
};
#define HEADER(text, is_required) \
    { .key = (text), .length = sizeof(text) - 1, .required = (is_required) }
static const struct {
    const char *key;
    size_t length;
    _Bool required;
} known[KNOWN_COUNT] = {
    [SPECVERSION] = HEADER("ce-specversion", 1),
    [ID] = HEADER("ce-id", 1),
    [SOURCE] = HEADER("ce-source", 1),
    [TYPE] = HEADER("ce-type", 1),
    [ENTITY] = HEADER("ce-subject", 1),
    [TIME] = HEADER("ce-time", 1),
    [CONTENTTYPE] = HEADER("ce-datacontenttype", 1),
    [CORRELATION] = HEADER("ce-correlationid", 0),
    [CAUSATION] = HEADER("ce-causationid", 0),
    [MSG_ID] = HEADER("Nats-Msg-Id", 0),
    [POSITION] = HEADER("Journey-Position", 1),
    [CHAIN] = HEADER("Journey-Chain", 1),
    [CAUSE] = HEADER("Journey-Cause", 0),
    [CAUSE_DIGEST] = HEADER("Journey-Cause-Digest", 0),
    [TERM] = HEADER("Journey-Term", 0),
    [TRACEPARENT] = HEADER("traceparent", 0),
};
#undef HEADER

struct reader_state {
    struct arena *arena;
    const char *values[KNOWN_COUNT]; /* percent-decoded, in the arena; NULL: absent */
    const char *reason;              /* of the first refusal; NULL: none yet */
};

static int refuse(struct reader_state *r, const char *key, const char *why)
{
    size_t size = strlen(key) + strlen(why) + 2;
    char *reason = arena_alloc(r->arena, size);
    if (!reason)
        return fail(ERR_MEMORY, "no memory to read an event");
    snprintf(reason, size, "%s %s", key, why);
    r->reason = reason;
    return ENVELOPE_REFUSED;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Length of the text without percent-encoding, written to out, which has room for the encoded one;
 * -1 when it is not encoded as it should be, has a NUL, or is not UTF-8. */
static int64_t percent_decode(const char *text, char *out)
{
    size_t length = 0;
    _Bool encoded = 0;
    for (const char *at = text;; at += 3) {
        while (is_plain[(unsigned char)*at])
            out[length++] = *at++;
        if (!*at)
            break;
        int high = *at == '%' ? hex_value(at[1]) : -1, low = high >= 0 ? hex_value(at[2]) : -1;
        if (low < 0 || (high == 0 && low == 0))
            return -1;
        out[length++] = (char)(high << 4 | low);
        encoded = 1;
    }
    out[length] = '\0';
    return !encoded || text_is_utf8(out, length) ? (int64_t)length : -1;
}

static int read_header(struct reader_state *r, int which, const char *value)
{
    if (r->values[which])
        return refuse(r, known[which].key, "is there twice");
    char *text = arena_alloc(r->arena, strlen(value) + 1);
    if (!text)
        return fail(ERR_MEMORY, "no memory to read an event");
    int64_t length = percent_decode(value, text);
    if (length < 1 || length > EVENT_TEXT_MAX)
        return refuse(r, known[which].key, "is empty, too long or badly encoded");
    r->values[which] = text;
    return 0;
}

/* Which known header that is, or -1. Most are told apart by their length. */
static int which_header(const char *key)
{
    size_t length = strlen(key);
    for (int which = 0; which < KNOWN_COUNT; which++)
        if (known[which].length == length && strcasecmp(key, known[which].key) == 0)
            return which;
    return -1;
}

static int read_headers(struct reader_state *r, const struct bus_view *view)
{
    for (int i = 0; i < view->header_count; i++) {
        int which = which_header(view->headers[i].key);
        int result = which < 0 ? 0 : read_header(r, which, view->headers[i].value);
        if (result != 0)
            return result;
    }
    for (int which = 0; which < KNOWN_COUNT; which++)
        if (known[which].required && !r->values[which])
            return refuse(r, known[which].key, "is missing");
    return 0;
}

const char *envelope_type_of_subject(const char *subject, const struct source *leader)
{
    size_t root = strlen(SUBJECT_ROOT), prefix = strlen(leader->prefix);
    if (strncmp(subject, SUBJECT_ROOT, root) != 0 ||
        strncmp(subject + root, leader->prefix, prefix) != 0 || subject[root + prefix] != '.')
        return NULL;
    const char *type = subject + root + prefix + 1;
    return event_name_is_valid(type) ? type : NULL;
}

/* "order.OrderPlaced.v1" says the same as the subject. */
static _Bool type_agrees(const char *ce_type, const char *type, const struct source *leader)
{
    char expected[BUS_SUBJECT_MAX + sizeof(FIRST_VERSION)];
    const char *version = version_of(type);
    snprintf(expected, sizeof(expected), "%s.%s%s", leader->prefix, type, version ? version : "");
    return strcmp(ce_type, expected) == 0;
}

/* That it is the leader's. */
static int check_origin(struct reader_state *r, const char *subject, const struct source *leader)
{
    const char *type = envelope_type_of_subject(subject, leader);
    if (!type)
        return refuse(r, "subject", "is not one of the leader's");
    if (strcmp(r->values[SPECVERSION], SPEC_VERSION) != 0)
        return refuse(r, known[SPECVERSION].key, "is not 1.0");
    if (strcmp(r->values[CONTENTTYPE], CONTENT_TYPE) != 0)
        return refuse(r, known[CONTENTTYPE].key, "is not application/json");
    if (r->values[SOURCE][0] != '/' || strcmp(r->values[SOURCE] + 1, leader->service) != 0)
        return refuse(r, known[SOURCE].key, "is not the leader");
    if (!type_agrees(r->values[TYPE], type, leader))
        return refuse(r, known[TYPE].key, "does not fit the subject");
    if (r->values[MSG_ID] && strcmp(r->values[MSG_ID], r->values[ID]) != 0)
        return refuse(r, known[MSG_ID].key, "is not ce-id");
    return 0;
}

/* Only the form that encode writes: the same number, the same text. */
static _Bool read_position(const char *text, int64_t *ret_position)
{
    int64_t value = 0;
    for (const char *at = text; *at; at++) {
        if (*at < '0' || *at > '9' || value > (INT64_MAX - 9) / 10 || (at == text && *at == '0'))
            return 0;
        value = value * 10 + (*at - '0');
    }
    *ret_position = value;
    return 1;
}

static _Bool read_time(const char *text, int64_t *ret_time_ms)
{
    char again[RFC3339_SIZE];
    int64_t time_ms;
    if (strlen(text) != RFC3339_SIZE - 1 || rfc3339_parse(text, &time_ms) < 0 || time_ms < 0 ||
        time_ms > TIME_MS_MAX)
        return 0;
    rfc3339_format(time_ms, again);
    *ret_time_ms = time_ms;
    return strcmp(text, again) == 0;
}

/* The digest as the event has it, in hex, and the cause that follows from it. */
static int read_cause(struct reader_state *r, struct event *event)
{
    struct digest digest;
    char *hex = arena_alloc(r->arena, DIGEST_HEX_SIZE);
    if (!hex)
        return fail(ERR_MEMORY, "no memory to read an event");
    if (digest_parse_any(r->values[CAUSE_DIGEST], &digest) < 0)
        return refuse(r, known[CAUSE_DIGEST].key, "is not a digest");
    digest_format(&digest, hex);
    event->cause_digest = hex;
    if (event->cause)
        return 0;
    if (!event->causation)
        return refuse(r, known[CAUSE_DIGEST].key, "has no cause");
    const size_t size = sizeof(CAUSE_REQUEST) + strlen(event->causation);
    char *cause = arena_alloc(r->arena, size);
    if (!cause)
        return fail(ERR_MEMORY, "no memory to read an event");
    snprintf(cause, size, CAUSE_REQUEST "%s", event->causation);
    event->cause = cause;
    return 0;
}

static int fill_event(struct reader_state *r, const struct bus_view *view,
                      const struct source *leader, struct event *event)
{
    if (!read_position(r->values[POSITION], &event->position))
        return refuse(r, known[POSITION].key, "is not a position");
    if (r->values[TERM] && (!read_position(r->values[TERM], &event->term) || event->term == 0))
        return refuse(r, known[TERM].key, "is not a term");
    if (!read_time(r->values[TIME], &event->time_ms))
        return refuse(r, known[TIME].key, "is not a time with milliseconds in UTC");
    if (digest_parse_any(r->values[CHAIN], &event->chain) < 0)
        return refuse(r, known[CHAIN].key, "is not a chain");
    if (view->data_length == 0 || memchr(view->data, '\0', view->data_length))
        return refuse(r, "data", "is empty or has a NUL");
    const char *type = envelope_type_of_subject(view->subject, leader);
    event->log = leader->log;
    event->id = r->values[ID];
    /* lint: null-argument because check_origin() has refused a subject without a type */
    event->type = arena_copy(r->arena, type, strlen(type));
    event->entity = r->values[ENTITY];
    event->correlation = r->values[CORRELATION];
    event->causation = r->values[CAUSATION];
    event->cause = r->values[CAUSE];
    event->traceparent = r->values[TRACEPARENT];
    const int failed = r->values[CAUSE_DIGEST] ? read_cause(r, event) : 0;
    if (failed != 0)
        return failed < 0 ? trace(failed) : failed;
    event->data = arena_copy(r->arena, view->data, view->data_length);
    event->data_length = view->data_length;
    return event->type && event->data ? 0 : fail(ERR_MEMORY, "no memory to read an event");
}

int envelope_decode(const struct bus_view *view, const struct source *leader, struct arena *arena,
                    struct event *ret_event, struct digest *ret_digest, const char **ret_reason)
{
    struct reader_state state = { .arena = arena };
    struct event event = { 0 };
    struct digest digest;
    int r = read_headers(&state, view);
    if (r == 0)
        r = check_origin(&state, view->subject, leader);
    if (r == 0)
        r = fill_event(&state, view, leader, &event);
    if (r == 0)
        r = event_digest(&event, &digest);
    if (r > 0)
        *ret_reason = state.reason;
    if (r != 0)
        return trace(r);
    *ret_event = event;
    *ret_digest = digest;
    return 0;
}
