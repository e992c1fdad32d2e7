/* Query: see query.h. */
#include "runtime/request/query.h"
#include "base/log.h"
#include "store/cursor.h"
#include "store/parked.h"
#include <assert.h>
#include <inttypes.h>
#include <string.h>

/* "as_of":{"ORDER":{"position":12,"age_ms":0},"ACCOUNT":{"position":3,"age_ms":41}}. The age of a
 * projection is the time since nothing was known to be missing from it; left out while we cannot
 * say. */
static int put_as_of(struct reader *reader, int64_t wall_ms, struct buf *out)
{
    struct log_head head;
    int r = event_log_head(reader->db, &head);
    if (r < 0)
        return trace(r);
    buf_put_format(out, "\"as_of\":{\"%s\":{\"position\":%lld,\"age_ms\":0}", reader->service->log,
                   (long long)head.position);
    const struct source *source = reader->service->sources;
    for (int i = 0; source && source[i].log; i++) {
        struct cursor cursor;
        r = cursor_read(reader->db, source[i].log, &cursor);
        if (r < 0)
            return trace(r);
        int64_t complete_ms = atomic_load(&reader->status->sources[i].complete_at_ms);
        buf_put_format(out, ",\"%s\":{\"position\":%lld", source[i].log,
                       (long long)cursor.position);
        if (complete_ms > 0)
            buf_put_format(out, ",\"age_ms\":%lld",
                           (long long)(wall_ms > complete_ms ? wall_ms - complete_ms : 0));
        /* a kept number: counting would walk all of them for each query */
        int64_t parked = atomic_load(&reader->status->sources[i].parked);
        if (parked > 0)
            buf_put_format(out, ",\"parked\":%lld", (long long)parked);
        buf_put_char(out, '}');
    }
    buf_put_char(out, '}');
    return trace(buf_status(out));
}

static _Bool is_id(const char *name)
{
    size_t length = strlen(name);
    return length > 3 && strcmp(name + length - 3, "_id") == 0;
}

/* Is an event parked about one of those that the request names? Then the answer may lack it. 1, 0,
 * < 0. */
static int is_stale(struct reader *reader, const struct item *item)
{
    const struct schema *schema = item->query->request;
    const struct source *source = reader->service->sources;
    for (int n = 0; n < schema->field_count; n++) {
        const struct schema_field *field = &schema->fields[n];
        if (field->schema->shape != SHAPE_TEXT || !is_id(field->name))
            continue;
        const char *id = *(const char *const *)((const char *)item->request + field->offset);
        for (int i = 0; id && source && source[i].log; i++) {
            int r = parked_has_entity(reader->db, source[i].log, id);
            if (r != 0)
                return trace(r);
        }
    }
    return 0;
}

static int add_as_of(struct reader *reader, const struct item *item, int64_t wall_ms,
                     struct buf *body)
{
    int stale = is_stale(reader, item);
    if (stale < 0)
        return trace(stale);
    assert(body->length >= 2 && body->data[body->length - 1] == '}');
    buf_cut(body, body->length - 1); /* the closing brace: the object goes on */
    if (body->length > 1)
        buf_put_char(body, ',');
    int r = put_as_of(reader, wall_ms, body);
    if (stale)
        buf_put_text(body, ",\"stale\":true");
    buf_put_char(body, '}');
    return r < 0 ? trace(r) : trace(buf_status(body));
}

static int ask_once(struct reader *reader, struct journey *j, struct item *item, int64_t wall_ms)
{
    void *reply = arena_alloc(&item->arena, item->query->reply->size);
    if (!reply)
        return fail(ERR_MEMORY, "no memory for a reply");
    int r = item->query->ask(j, item->request, reply);
    if (r != 0)
        return trace(r);
    r = schema_encode(item->query->reply, reply, &item->body);
    return r < 0 ? trace(r) : trace(add_as_of(reader, item, wall_ms, &item->body));
}

/* A list of which so many elements took `bytes` is cut so that it should fit: by half at least. */
static int64_t smaller_page(int64_t count, int64_t bytes, int64_t bytes_max)
{
    assert(count > 1 && bytes > bytes_max && bytes_max > 0);
    int64_t half = count / 2,
            fitting = (int64_t)((double)count * 0.9 * (double)bytes_max / (double)bytes);
    return fitting < 1 ? 1 : fitting < half ? fitting : half;
}

/* What counts is the reply as it is written: with names, escapes and as_of. So it is written, and
 * written again with less in its lists when it does not fit a message of the server. */
static int ask(struct reader *reader, struct journey *j, struct item *item, int64_t wall_ms)
{
    const int64_t bytes_max = atomic_load(&reader->status->max_payload_bytes);
    for (;;) {
        j->page_taken = 0;
        int r = ask_once(reader, j, item, wall_ms);
        const int64_t bytes = (int64_t)item->body.length;
        if (r != 0 || bytes_max == 0 || bytes <= bytes_max)
            return trace(r);
        if (j->page_taken <= 1)
            return journey_refuse(j, REFUSED_TOO_LARGE,
                                  "the reply has %" PRId64 " bytes, and the server takes %" PRId64
                                  " (max_payload)",
                                  bytes, bytes_max);
        j->page_max = smaller_page(j->page_taken, bytes, bytes_max);
        buf_clear(&item->body);
    }
}

/* Whatever is answered, a refusal too, rests on what the snapshot has. */
static int note_snapshot(struct reader *reader, struct item *item)
{
    struct log_head head;
    int r = event_log_head(reader->db, &head);
    if (r == 0)
        item->depends_on = head.position;
    return trace(r);
}

void query_run(struct reader *reader, struct item *item, int64_t wall_ms)
{
    struct journey j;
    owner_assert(&reader->owner);
    assert(reader->db && item->outcome == OUTCOME_NONE);
    journey_init(&j, MODE_QUERY, reader->service, reader->option_values, reader->db, &item->arena,
                 &reader->ids, wall_ms);
    j.in_stream = atomic_load(&reader->status->stream_seen);
    int r = db_begin(reader->db);
    if (r == 0)
        r = ask(reader, &j, item, wall_ms);
    if (r >= 0 && reader->status->answers_wait && note_snapshot(reader, item) < 0)
        r = -ERR_INTERNAL;
    db_rollback(reader->db);
    item->outcome = r == 0 ? OUTCOME_DONE : OUTCOME_REFUSED;
    item->refusal = refusal_find(reader->service->refusals, r);
    if (r > 0 && !item->refusal)
        r = fail(ERR_INTERNAL, "a refusal (%d) that is not in the table", r);
    if (r > 0) {
        item->message = arena_copy(&item->arena, j.message, strlen(j.message));
    } else if (r < 0) {
        log_error("query_failed", LOG_TEXT("subject", item->query->subject),
                  LOG_TEXT("reason", failure_text()));
        item->refusal = refusal_of(REFUSED_INTERNAL);
        item->message = "the service failed on this request; its log says why";
    }
    journey_deinit(&j);
}
