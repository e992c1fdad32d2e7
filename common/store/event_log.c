/* Event log: see event_log.h. */
#include "store/event_log.h"
#include "base/guard.h"
#include "base/buf.h"
#include "base/digits.h"
#include "base/result.h"
#include "store/row.h"
#include "store/terms.h"
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* The columns of the table in one place: their names in a statement, and their numbers in a row. A
 * shorter SELECT of position and chain has them at the same numbers. */
#define COLUMNS                                                                                 \
    "position, chain, id, type, entity, time_ms, correlation, causation, cause, cause_digest, " \
    "traceparent, data"
enum column {
    POSITION,
    CHAIN,
    ID,
    TYPE,
    ENTITY,
    TIME_MS,
    CORRELATION,
    CAUSATION,
    CAUSE,
    CAUSE_DIGEST,
    TRACEPARENT,
    DATA,
    COLUMN_COUNT,
};

/* ---- The chain ------------------------------------------------------------------------------ */

struct canonical { /* the canonical form; the fixed part is enough for most events */
    char fixed[2048];
    struct buf rest;
    size_t length;
};

static void form_put(struct canonical *form, const void *data, size_t length)
{
    assert(form->length <= sizeof(form->fixed) || form->rest.data || form->rest.failed);
    if (form->rest.data || form->length + length > sizeof(form->fixed)) {
        if (!form->rest.data)
            buf_put(&form->rest, form->fixed, form->length);
        buf_put(&form->rest, data, length);
    } else {
        memcpy(form->fixed + form->length, data, length);
    }
    form->length += length;
}

static void form_put_field(struct canonical *form, const char *text, size_t length)
{
    uint32_t size = text ? (uint32_t)length : UINT32_MAX;
    unsigned char header[4] = { (unsigned char)(size >> 24), (unsigned char)(size >> 16),
                                (unsigned char)(size >> 8), (unsigned char)size };
    form_put(form, header, sizeof(header));
    if (text)
        form_put(form, text, length);
}

static void form_put_text(struct canonical *form, const char *text)
{
    form_put_field(form, text, text ? strlen(text) : 0);
}

static void form_put_number(struct canonical *form, int64_t value)
{
    char digits[DIGITS_SIZE];
    size_t length;
    const char *first = digits_of(value, digits, &length);
    form_put_field(form, first, length);
}

int event_digest(const struct event *event, struct digest *ret_digest)
{
    assert(event->data || event->data_length == 0);
    struct canonical form;
    form.length = 0;
    buf_init(&form.rest);
    form_put_text(&form, event->log);
    form_put_number(&form, event->position);
    form_put_text(&form, event->id);
    form_put_text(&form, event->type);
    form_put_text(&form, event->entity);
    form_put_number(&form, event->time_ms);
    form_put_text(&form, event->correlation);
    form_put_text(&form, event->causation);
    form_put_text(&form, event->cause);
    form_put_text(&form, event->cause_digest);
    form_put_text(&form, event->traceparent);
    form_put_field(&form, event->data, event->data_length);
    int r = buf_status(&form.rest);
    if (r == 0)
        r = digest_of(form.rest.data ? form.rest.data : form.fixed, form.length, ret_digest);
    buf_deinit(&form.rest);
    return trace(r);
}

int event_chain(const struct digest *previous, const struct digest *event_digest,
                struct digest *ret_chain)
{
    struct digest both[2] = { *previous, *event_digest };
    return trace(digest_of(both, sizeof(both), ret_chain));
}

/* ---- The table ------------------------------------------------------------------------------ */

int event_log_create(struct db *db)
{
    return trace(db_script(
        db,
        "CREATE TABLE IF NOT EXISTS event_log ("
        " position INTEGER PRIMARY KEY, chain BLOB NOT NULL, id TEXT NOT NULL, type TEXT NOT NULL,"
        " entity TEXT NOT NULL, time_ms INTEGER NOT NULL, correlation TEXT, causation TEXT, cause "
        "TEXT,"
        " cause_digest TEXT, traceparent TEXT, data TEXT NOT NULL) STRICT;"
        "CREATE INDEX IF NOT EXISTS event_log_by_cause ON event_log (cause) WHERE cause IS NOT "
        "NULL;"));
}

static int read_chain(const struct query *query, int column, struct digest *ret_chain)
{
    size_t length;
    const void *chain = query_blob(query, column, &length);
    if (length != DIGEST_SIZE)
        return fail(ERR_CORRUPT, "a chain of %zu bytes in event_log", length);
    memcpy(ret_chain->bytes, chain, DIGEST_SIZE);
    return 0;
}

int event_log_head(struct db *db, struct log_head *ret_head)
{
    _deinit_(query) struct query query = { 0 };
    struct log_head head = { 0 };
    int r = query_find(&query, db,
                       "SELECT position, chain FROM event_log ORDER BY position DESC LIMIT 1", "");
    if (r == 0) {
        head.position = query_int(&query, POSITION);
        r = read_chain(&query, CHAIN, &head.chain);
    }
    if (r < 0)
        return trace(r);
    *ret_head = head;
    return 0;
}

/* SQLite itself chooses the position, the highest plus one, which costs no more than a given
 * position would. The chosen position must be the event's. */
int event_log_append(struct db *db, const struct event *event)
{
    assert(event->id && event->type && event->entity && event->data);
    int r = db_exec(db,
                    "INSERT INTO event_log (" COLUMNS
                    ") VALUES (NULL, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
                    "bsssissssss", event->chain.bytes, (size_t)DIGEST_SIZE, event->id, event->type,
                    event->entity, event->time_ms, event->correlation, event->causation,
                    event->cause, event->cause_digest, event->traceparent, event->data);
    if (r < 0)
        return trace(r);
    int64_t given = db_inserted_row(db);
    if (given == event->position)
        return trace(terms_note(db, event));
    r = db_exec(db, "DELETE FROM event_log WHERE position = ?1", "i", given);
    return r < 0 ? trace(r)
                 : fail(ERR_CONSTRAINT,
                        "position %" PRId64 " does not follow the log's head at %" PRId64,
                        event->position, given - 1);
}

int event_log_find_chain(struct db *db, int64_t position, struct digest *ret_chain)
{
    _deinit_(query) struct query query = { 0 };
    int r = query_find(&query, db, "SELECT chain FROM event_log WHERE position = ?1", "i",
                       position);
    if (r == 0)
        r = read_chain(&query, 0, ret_chain);
    return trace(r);
}

int event_log_has_cause(struct db *db, const char *cause)
{
    return trace(db_has_row(db, "SELECT 1 FROM event_log WHERE cause = ?1 LIMIT 1", "s", cause));
}

void event_name_cause(const struct event *event, char *ret_cause, size_t size)
{
    assert(event->log && event->id && event->position > 0);
    int length = snprintf(ret_cause, size, "%s/%" PRId64 "/%s", event->log, event->position,
                          event->id);
    assert(length > 0);
    if ((size_t)length >= size ||
        !GUARD(cause_by_id)) /* an id of another's making: the causation has all of it */
        (void)snprintf(ret_cause, size, "%s/%" PRId64, event->log, event->position);
}

int event_log_has_reaction(struct db *db, const struct event *event)
{
    char cause[1024], older[128];
    event_name_cause(event, cause, sizeof(cause));
    int r = event_log_has_cause(db, cause);
    if (r != 0)
        return trace(r);
    (void)snprintf(older, sizeof(older), "%s/%" PRId64, event->log, event->position);
    return trace(db_has_row(db,
                            "SELECT 1 FROM event_log WHERE cause = ?1 AND causation = ?2 LIMIT 1",
                            "ss", older, event->id));
}

int event_log_find_origin(struct db *db, int64_t position, struct arena *arena,
                          const char **ret_correlation, const char **ret_id,
                          const char **ret_traceparent)
{
    _deinit_(query) struct query q = { 0 };
    int r = query_find(&q, db,
                       "SELECT correlation, id, traceparent FROM event_log WHERE position = ?1",
                       "i", position);
    if (r != 0)
        return trace(r);
    struct row row = { .query = &q, .arena = arena };
    const char *correlation = row_text(&row, "correlation"), *id = row_text(&row, "id"),
               *traceparent = row_text(&row, "traceparent");
    r = row_status(&row);
    if (r < 0)
        return trace(r);
    *ret_correlation = correlation;
    *ret_id = id;
    *ret_traceparent = traceparent;
    return 0;
}

/* ---- Reading -------------------------------------------------------------------------------- */

int event_reader_open(struct event_reader *reader, struct db *db, const char *log,
                      int64_t after_position, int64_t limit)
{
    assert(log && limit >= 0);
    reader->log = log;
    return trace(query_open(&reader->query, db,
                            "SELECT " COLUMNS
                            " FROM event_log WHERE position > ?1 ORDER BY position LIMIT ?2",
                            "ii", after_position, limit));
}

static int read_event(struct event_reader *reader, struct event *ret_event)
{
    const struct query *query = &reader->query;
    struct event event = {
        .log = reader->log,
        .position = query_int(query, POSITION),
        .id = query_text(query, ID),
        .type = query_text(query, TYPE),
        .entity = query_text(query, ENTITY),
        .time_ms = query_int(query, TIME_MS),
        .correlation = query_text(query, CORRELATION),
        .causation = query_text(query, CAUSATION),
        .cause = query_text(query, CAUSE),
        .cause_digest = query_text(query, CAUSE_DIGEST),
        .traceparent = query_text(query, TRACEPARENT),
        .data = query_text(query, DATA),
    };
    if (!event.id || !event.type || !event.entity || !event.data)
        return fail(ERR_MEMORY, "no memory to read event_log");
    int r = read_chain(query, CHAIN, &event.chain);
    if (r < 0)
        return trace(r);
    event.data_length = strlen(event.data);
    *ret_event = event;
    return 0;
}

_Bool event_reader_has_next(struct event_reader *reader, struct event *ret_event)
{
    if (!query_has_row(&reader->query))
        return 0;
    int r = read_event(reader, ret_event);
    if (r < 0)
        query_end(&reader->query, r);
    return r == 0;
}

int event_reader_status(struct event_reader *reader)
{
    return trace(query_status(&reader->query));
}

int event_reader_find_cause(struct event_reader *reader, struct db *db, const char *log,
                            const char *cause, struct event *ret_event)
{
    assert(log && cause);
    reader->log = log;
    int r = query_find(
        &reader->query, db,
        "SELECT " COLUMNS " FROM event_log WHERE cause = ?1 ORDER BY position LIMIT 1", "s", cause);
    return r != 0 ? trace(r) : trace(read_event(reader, ret_event));
}

void event_reader_deinit(struct event_reader *reader)
{
    query_deinit(&reader->query);
}

int event_copy(const struct event *event, struct arena *arena, struct event *ret_copy)
{
    assert(event->data);
    struct event copy = *event;
    const char **texts[] = { &copy.log,    &copy.id,           &copy.type,
                             &copy.entity, &copy.correlation,  &copy.causation,
                             &copy.cause,  &copy.cause_digest, &copy.traceparent };
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
        if (*texts[i] && !(*texts[i] = arena_copy(arena, *texts[i], strlen(*texts[i]))))
            return fail(ERR_MEMORY, "no memory for an event");
    copy.data = arena_copy(arena, event->data, event->data_length);
    copy.value = NULL;
    if (!copy.data)
        return fail(ERR_MEMORY, "no memory for an event");
    *ret_copy = copy;
    return 0;
}
