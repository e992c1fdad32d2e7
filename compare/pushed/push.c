/* Push: see push.h. The reader's side, the leader's side, then the table of both. */
#include "pushed/push.h"
#include "base/log.h"
#include "schemas/bench.done.h"
#include "schemas/bench.push.h"
#include "schemas/evt.bench.Learned.h"
#include "work.h"
#include <stdio.h>
#include <string.h>

#define TIMEOUT_MS 2000
#define BACKOFF_MIN_MS 100
#define BACKOFF_MAX_MS 1000

static const struct push *shop; /* this program's service; set once, before any thread */

static const char learned_table[] = "CREATE TABLE IF NOT EXISTS learned ("
                                    "  one INTEGER PRIMARY KEY CHECK (one = 1),"
                                    "  position INTEGER NOT NULL"
                                    ") STRICT;";

/* ---- The reader ------------------------------------------------------------------------------ */

static const struct event_type *type_of(const char *name)
{
    const struct event_type *type = shop->service->sources[0].events;
    while (type->name && strcmp(type->name, name) != 0)
        type++;
    return type->name ? type : NULL;
}

#define NOT_READ 1 /* a pushed event that this service does not read */

/* Decodes a pushed event for the projection: 0, NOT_READ, < 0. */
static int told_event(const struct bench_push_events_item *told, struct arena *arena,
                      struct event *ret_event)
{
    const struct event_type *type = type_of(told->type);
    struct invalid invalid;
    void *value;
    if (!type)
        return NOT_READ;
    int r = schema_decode(type->schema, told->data, strlen(told->data), arena, &value, &invalid);
    if (r != 0)
        return r < 0 ? trace(r) : NOT_READ;
    *ret_event = (struct event){
        .log = shop->service->sources[0].log,
        .position = told->position,
        .type = type->name,
        .time_ms = told->time_ms,
        .data = told->data,
        .data_length = strlen(told->data),
        .value = value,
    };
    return 0;
}

static int learned_position(struct db *db, int64_t *ret_position)
{
    return trace(
        db_find_number(db, ret_position, "SELECT position FROM learned WHERE one = 1", ""));
}

/* An event that cannot be applied, because an earlier event was lost, is skipped: the lost event
 * cannot be fetched. */
static int learn_one(struct db *db, const struct bench_push_events_item *told)
{
    _deinit_(arena) struct arena arena = { 0 };
    struct event event;
    int r = told_event(told, &arena, &event);
    if (r != 0)
        return r < 0 ? trace(r) : 0;
    r = db_savepoint(db);
    if (r < 0)
        return trace(r);
    /* lint: null-dereference because told_event() has found its type */
    if (type_of(event.type)->apply(db, &event) == 0)
        return trace(db_release(db));
    log_warn("told_event_does_not_fit", LOG_TEXT("type", event.type),
             LOG_INT("position", event.position));
    return trace(db_rollback_to_savepoint(db));
}

/* A push whose answer was late comes twice: events up to the newest position are skipped. */
static int learned_apply(struct db *db, const struct event *event)
{
    const struct bench_push *learned = event->value;
    int64_t position = 0;
    int r = learned_position(db, &position);
    for (size_t i = 0; i < learned->events_count && r >= 0; i++)
        if (learned->events[i].position > position) {
            position = learned->events[i].position;
            r = learn_one(db, &learned->events[i]);
        }
    if (r >= 0)
        r = db_exec(db, "INSERT OR REPLACE INTO learned (one, position) VALUES (1, ?1)", "i",
                    position);
    return r < 0 ? trace(r) : 0;
}
_Static_assert(sizeof(struct bench_push) == sizeof(struct learned),
               "the schemas of bench.push and Learned differ");

static int learn(struct journey *j, const void *request)
{
    return trace(journey_emit(j, &learned_schema, "learned", request));
}

static void learn_answer(const struct event *event, void *ret_reply)
{
    ((struct bench_done *)ret_reply)->position = event->position;
}

/* ---- The leader ------------------------------------------------------------------------------ */

struct waiting {
    int64_t position, time_ms;
    const char *type; /* of the service's table */
    char *data;
};

static struct queue { /* the writer thread's; a ring */
    struct waiting events[PUSH_QUEUE_MAX];
    int first, count;
    int64_t dropped;
} queue;

static struct waiting *queue_at(int i)
{
    return &queue.events[(queue.first + i) % PUSH_QUEUE_MAX];
}

static void queue_shift(int count)
{
    for (int i = 0; i < count; i++)
        free(queue_at(i)->data);
    queue.first = (queue.first + count) % PUSH_QUEUE_MAX;
    queue.count -= count;
}

static int queue_add(const struct event *event)
{
    if (queue.count == PUSH_QUEUE_MAX) {
        if (queue.dropped++ % PUSH_QUEUE_MAX == 0)
            log_warn("push_queue_full", LOG_INT("dropped", queue.dropped));
        queue_shift(1);
    }
    const struct event_type *type = shop->service->events;
    while (type->name && strcmp(type->name, event->type) != 0)
        type++;
    if (!type->name)
        return 0;
    char *data = strndup(event->data, event->data_length);
    if (!data)
        return fail(ERR_MEMORY, "no memory for a push");
    *queue_at(queue.count++) = (struct waiting){ event->position, event->time_ms, type->name,
                                                 data };
    return 0;
}

/* The number of events, from this one on, that fit into one request. */
static int batch_length(int first)
{
    int count = 0;
    for (size_t bytes = 0;
         first + count < queue.count && count < PUSH_BATCH_MAX && bytes < PUSH_BATCH_BYTES; count++)
        bytes += strlen(queue_at(first + count)->data);
    return count;
}

/* A piece of work is a batch; its number is the position of the last event. The queue serves as
 * the table. */
static int push_find(struct journey *j, struct work_page *page)
{
    (void)j;
    int first = 0;
    while (first < queue.count && queue_at(first)->position <= page->after)
        first++;
    while (first < queue.count && page->count < page->max) {
        first += batch_length(first);
        int64_t position = queue_at(first - 1)->position;
        page->found[page->count++] = (struct work_found){
            .key = "push",
            .number = position,
            .place = position,
        };
    }
    return 0;
}

static const char *push_opened_by(const struct event *event)
{
    return strcmp(event->log, shop->service->log) == 0 ? "" : NULL;
}

static int push_ask(struct journey *j, const struct work *work)
{
    struct bench_push_events_item events[PUSH_BATCH_MAX];
    size_t count = 0;
    for (int i = 0; i < queue.count && i < PUSH_BATCH_MAX; i++) {
        if (queue_at(i)->position > work->number)
            break;
        const struct waiting *waiting = queue_at(i);
        events[count++] = (struct bench_push_events_item){
            .position = waiting->position,
            .type = waiting->type,
            .time_ms = waiting->time_ms,
            .data = waiting->data,
        };
    }
    if (count == 0)
        return WORK_GONE; /* the full queue has dropped the events */
    struct bench_push body = { .events = events, .events_count = count };
    struct call call = { .subject = shop->push_subject, .body = &body };
    return trace(journey_call(j, &call));
}

static int push_answered(struct journey *j, const struct work *work, const void *body)
{
    (void)j, (void)body;
    while (queue.count > 0 && queue_at(0)->position <= work->number)
        queue_shift(1);
    return 0;
}

static int push_limits(struct journey *j, struct work_limits *limits)
{
    (void)j;
    *limits = (struct work_limits){
        .timeout_ms = TIMEOUT_MS,
        .backoff_min_ms = BACKOFF_MIN_MS,
        .backoff_max_ms = BACKOFF_MAX_MS,
    };
    return 0;
}

static const struct work_source push_sources[] = {
    { .find = push_find, .opened_by = push_opened_by },
    { 0 },
};

static const struct work_type push_events = {
    .name = "push",
    .in_order = 1,
    .sources = push_sources,
    .limits = push_limits,
    .ask = push_ask,
    .answered = push_answered,
};

/* ---- The process: the work lists, the queue, and the pushed events --------------------------- */

static void pusher_free(void *state)
{
    work_process.free(state);
    queue_shift(queue.count);
}

/* Shows the pushed events to the shipped work lists, as a feed does. */
static int observe_told(void *state, struct journey *j, const struct bench_push *learned)
{
    int r = 0;
    for (size_t i = 0; i < learned->events_count && r >= 0; i++) {
        struct event event;
        r = told_event(&learned->events[i], journey_arena(j), &event);
        if (r == 0)
            r = work_process.observe(state, j, &event);
    }
    return r < 0 ? trace(r) : 0;
}

static int pusher_observe(void *state, struct journey *j, const struct event *event)
{
    if (strcmp(event->type, "Learned") == 0)
        return trace(observe_told(state, j, event->value));
    int r = queue_add(event);
    return r == 0 ? trace(work_process.observe(state, j, event)) : trace(r);
}

/* ---- The table ------------------------------------------------------------------------------- */

#define TABLE_MAX 24
#define TABLES_SIZE 8192

int push_main(const struct push *push, int argc, char **argv)
{
    static char tables[TABLES_SIZE];
    struct service service = *push->service;
    struct command commands[TABLE_MAX] = { { push->learn_subject, &bench_push_schema,
                                             &bench_done_schema, learn, learn_answer } };
    struct event_type events[TABLE_MAX] = { { &learned_schema, "Learned", learned_apply, NULL } };
    const struct work_type *work[WORK_TYPES_MAX + 1] = { &push_events };
    struct process pusher = work_process;
    pusher.free = pusher_free;
    pusher.observe = pusher_observe;
    shop = push;
    for (int i = 0; service.commands[i].subject && i + 2 < TABLE_MAX; i++)
        commands[i + 1] = service.commands[i];
    for (int i = 0; service.events[i].name && i + 2 < TABLE_MAX; i++)
        events[i + 1] = service.events[i];
    for (int i = 0; service.work && service.work[i] && i + 1 < WORK_TYPES_MAX; i++)
        work[i + 1] = service.work[i];
    if ((size_t)snprintf(tables, sizeof(tables), "%s%s", service.tables, learned_table) >=
        sizeof(tables))
        return 1;
    service.tables = tables;
    struct call_type calls[TABLE_MAX] = {
        { push->push_subject, &bench_push_schema, &bench_done_schema },
    };
    for (int i = 0; service.calls && service.calls[i].subject && i + 2 < TABLE_MAX; i++)
        calls[i + 1] = service.calls[i];
    service.calls = calls;
    service.commands = commands;
    service.events = events;
    service.sources = NULL;
    service.work = work;
    service.process = &pusher;
    return service_main(&service, argc, argv);
}
