/* Fold: see fold.h. */
#include "runtime/writer/fold.h"
#include "runtime/core/context.h"
#include "runtime/core/runtime_events.h"
#include "schemas/runtime.events.reply.h"
#include "store/compare.h"
#include "store/parked.h"
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int fold_event(const struct service *service, const struct source *source, struct db *db,
               struct event *event)
{
    _deinit_(arena) struct arena arena;
    arena_init(&arena);
    const struct event_type *type = source ? event_type_of_name(source->events, event->type)
                                           : own_event_type_of_name(service, event->type);
    struct invalid invalid;
    void *value = NULL;
    assert(event->position > 0 && event->data);
    if (!type && source)
        return 0;
    int r = type ? schema_decode(type->schema, event->data, event->data_length, &arena, &value,
                                 &invalid)
                 : 1;
    if (r < 0)
        return trace(r);
    if (r > 0)
        return fail(ERR_INVALID, "the event %s at position %" PRId64 " of %s cannot be read",
                    event->type, event->position, event->log);
    event->value = value;
    return trace(type->apply(db, event));
}

int fold_own_log(const struct service *service, struct db *log, struct db *tables,
                 int64_t *position, int64_t limit, _Bool *ret_more)
{
    _deinit_(event_reader) struct event_reader reader = { 0 };
    struct event event;
    int64_t reached = *position;
    assert(reached >= 0 && limit > 0);
    int r = event_reader_open(&reader, log, service->log, reached, limit);
    while (r == 0 && event_reader_has_next(&reader, &event)) {
        r = fold_event(service, NULL, tables, &event);
        reached = r == 0 ? event.position : reached;
    }
    if (r == 0)
        r = event_reader_status(&reader);
    if (r < 0) {
        *position = reached;
        return trace(r);
    }
    assert(reached - *position <= limit);
    *ret_more = reached - *position == limit;
    *position = reached;
    return 0;
}

int fold_read_row(const struct runtime_events_reply_events_item *row, const char *log,
                  struct event *ret_event)
{
    struct event event = {
        .log = log,
        .position = row->position,
        .id = row->id,
        .type = row->type,
        .entity = row->entity,
        .time_ms = row->time_ms,
        .correlation = row->correlation,
        .causation = row->causation,
        .cause = row->cause,
        .cause_digest = row->cause_digest,
        .traceparent = row->traceparent,
        .data = row->data,
        .data_length = strlen(row->data),
    };
    int r = digest_parse(row->chain, &event.chain);
    if (r < 0)
        return trace(r);
    *ret_event = event;
    return 0;
}

/* ---- Into a file of its own ------------------------------------------------------------------ */

void fold_remove(const char *path)
{
    static const char *const suffixes[] = { "", "-journal", "-wal", "-shm" };
    char name[4096 + 16];
    for (size_t i = 0; i < sizeof(suffixes) / sizeof(*suffixes); i++) {
        snprintf(name, sizeof(name), "%s%s", path, suffixes[i]);
        unlink(name);
    }
}

int fold_open(const struct service *service, const char *path, const char *served_path,
              struct db **ret_db)
{
    _free_(db) struct db *db = NULL;
    fold_remove(path);
    int r = db_open(&(struct db_options){ .path = path, .scratch = 1, .lock_timeout_ms = 1000 },
                    &db);
    if (r == 0)
        r = db_script(db, service->tables);
    if (r == 0)
        r = compare_attach(db, served_path);
    if (r < 0)
        return trace(r);
    *ret_db = take(db);
    return 0;
}

static int different(char *why, const char *what, int64_t position)
{
    snprintf(why, FOLD_WHY_SIZE, "position %" PRId64 " %s", position, what);
    return FOLD_DIFFERENT;
}

/* One event of another's log. What is parked is not in the tables that serve either. */
static int fold_foreign(const struct service *service, const struct source *source, struct db *db,
                        const struct runtime_events_reply_events_item *row, struct log_head *at,
                        char *why)
{
    struct event event;
    struct digest digest, chain;
    int r = fold_read_row(row, source->log, &event);
    if (r == 0)
        r = event_digest(&event, &digest);
    if (r >= 0)
        r = event_chain(&at->chain, &digest, &chain);
    if (r < 0)
        return trace(r);
    if (event.position != at->position + 1 || !digest_equal(&chain, &event.chain))
        return different(why, "of the leader's log does not follow the one before", event.position);
    r = parked_has_event(db, source->log, event.position);
    if (r == 0)
        r = fold_event(service, source, db, &event);
    if (r == -ERR_INVALID || r == -ERR_CONSTRAINT) {
        char what[FOLD_WHY_SIZE - 40];
        snprintf(what, sizeof(what), "cannot be applied, and is not parked: %s", failure_reason());
        return different(why, what, event.position);
    }
    if (r < 0)
        return trace(r);
    *at = (struct log_head){ .position = event.position, .chain = event.chain };
    return 0;
}

int fold_rows(const struct service *service, const struct source *source, struct db *db,
              const struct runtime_events_reply *page, int64_t upto, struct log_head *at,
              char ret_why[FOLD_WHY_SIZE])
{
    int r = 0;
    assert(at->position < upto); /* or nothing would be asked for */
    if (page->events_count == 0)
        return different(ret_why, "is not in the leader's log any more", at->position + 1);
    for (size_t i = 0; r == 0 && i < page->events_count && at->position < upto; i++)
        r = fold_foreign(service, source, db, &page->events[i], at, ret_why);
    return trace(r);
}
