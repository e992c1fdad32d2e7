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

struct pusher { /* the process: the shipped service's process, and the queue of pushes */
    const struct process *inner;
    void *inner_state;
    int64_t inner_due_ms;
    struct waiting queue[PUSH_QUEUE_MAX]; /* a ring */
    int first, count;
    _Bool in_flight; /* one request at a time, to keep the order */
    int64_t due_ms, backoff_ms;
    int64_t dropped;
};

static struct waiting *queue_at(struct pusher *p, int i)
{
    return &p->queue[(p->first + i) % PUSH_QUEUE_MAX];
}

static void queue_shift(struct pusher *p, int count)
{
    for (int i = 0; i < count; i++)
        free(queue_at(p, i)->data);
    p->first = (p->first + count) % PUSH_QUEUE_MAX;
    p->count -= count;
}

static int queue_add(struct pusher *p, const struct event *event)
{
    if (p->count == PUSH_QUEUE_MAX) {
        if (p->dropped++ % PUSH_QUEUE_MAX == 0)
            log_warn("push_queue_full", LOG_INT("dropped", p->dropped));
        queue_shift(p, 1);
    }
    const struct event_type *type = shop->service->events;
    while (type->name && strcmp(type->name, event->type) != 0)
        type++;
    if (!type->name)
        return 0;
    char *data = strndup(event->data, event->data_length);
    if (!data)
        return fail(ERR_MEMORY, "no memory for a push");
    *queue_at(p, p->count++) = (struct waiting){ event->position, event->time_ms, type->name,
                                                 data };
    return 0;
}

static int send_batch(struct pusher *p, struct journey *j)
{
    struct bench_push_events_item events[PUSH_BATCH_MAX];
    int count = 0;
    size_t bytes = 0;
    while (count < p->count && count < PUSH_BATCH_MAX && bytes < PUSH_BATCH_BYTES) {
        const struct waiting *waiting = queue_at(p, count);
        bytes += strlen(waiting->data);
        events[count++] = (struct bench_push_events_item){
            .position = waiting->position,
            .type = waiting->type,
            .time_ms = waiting->time_ms,
            .data = waiting->data,
        };
    }
    struct bench_push body = { .events = events, .events_count = (size_t)count };
    struct call call = {
        .subject = shop->push_subject,
        .body = &body,
        .timeout_ms = TIMEOUT_MS,
        .tag = "push",
        .number = queue_at(p, count - 1)->position,
    };
    p->in_flight = 1;
    return trace(journey_call(j, &call));
}

static void push_answered(struct pusher *p, struct journey *j, const struct answer *answer)
{
    if (answer->outcome == ANSWER_RECEIVED) {
        while (p->count > 0 && queue_at(p, 0)->position <= answer->number)
            queue_shift(p, 1);
        p->backoff_ms = BACKOFF_MIN_MS;
        p->due_ms = 0;
    } else {
        p->due_ms = journey_now_ms(j) + p->backoff_ms;
        p->backoff_ms = p->backoff_ms * 2 < BACKOFF_MAX_MS ? p->backoff_ms * 2 : BACKOFF_MAX_MS;
    }
    p->in_flight = 0;
}

static int pusher_start(struct journey *j, void **ret_state)
{
    struct pusher *p = calloc(1, sizeof(*p));
    if (!p)
        return fail(ERR_MEMORY, "no memory for pushes");
    p->inner = shop->service->work ? &work_process : shop->service->process;
    p->inner_due_ms = p->inner ? 0 : INT64_MAX;
    p->backoff_ms = BACKOFF_MIN_MS;
    int r = p->inner ? p->inner->start(j, &p->inner_state) : 0;
    if (r < 0)
        free(p);
    else
        *ret_state = p;
    return trace(r);
}

static void pusher_free(void *state)
{
    struct pusher *p = state;
    if (!p)
        return;
    if (p->inner && p->inner->free)
        p->inner->free(p->inner_state);
    queue_shift(p, p->count);
    free(p);
}

/* Shows the pushed events to the shipped process, as a feed does. */
static int observe_told(struct pusher *p, struct journey *j, const struct bench_push *learned)
{
    int r = 0;
    for (size_t i = 0; i < learned->events_count && r >= 0; i++) {
        struct event event;
        r = told_event(&learned->events[i], journey_arena(j), &event);
        if (r == 0)
            r = p->inner->observe(p->inner_state, j, &event);
    }
    return r < 0 ? trace(r) : 0;
}

static int pusher_observe(void *state, struct journey *j, const struct event *event)
{
    struct pusher *p = state;
    p->inner_due_ms = p->inner ? 0 : INT64_MAX;
    if (strcmp(event->type, "Learned") == 0)
        return p->inner ? trace(observe_told(p, j, event->value)) : 0;
    int r = queue_add(p, event);
    if (r == 0 && p->inner)
        r = p->inner->observe(p->inner_state, j, event);
    return trace(r);
}

static int pusher_step(void *state, struct journey *j, int64_t *ret_due_ms)
{
    struct pusher *p = state;
    int64_t now_ms = journey_now_ms(j);
    int r = 0;
    if (p->inner && p->inner_due_ms <= now_ms)
        r = p->inner->step(p->inner_state, j, &p->inner_due_ms);
    if (r == 0 && !p->in_flight && p->count > 0 && p->due_ms <= now_ms)
        r = send_batch(p, j);
    *ret_due_ms = p->inner_due_ms;
    if (!p->in_flight && p->count > 0 && p->due_ms < *ret_due_ms)
        *ret_due_ms = p->due_ms;
    return trace(r);
}

static int pusher_answered(void *state, struct journey *j, const struct answer *answer)
{
    struct pusher *p = state;
    if (strcmp(answer->tag, "push") == 0) {
        push_answered(p, j, answer);
        return 0;
    }
    p->inner_due_ms = 0;
    return p->inner ? trace(p->inner->answered(p->inner_state, j, answer)) : 0;
}

static const struct process pusher = {
    .start = pusher_start,
    .free = pusher_free,
    .observe = pusher_observe,
    .step = pusher_step,
    .answered = pusher_answered,
};

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
    shop = push;
    for (int i = 0; service.commands[i].subject && i + 2 < TABLE_MAX; i++)
        commands[i + 1] = service.commands[i];
    for (int i = 0; service.events[i].name && i + 2 < TABLE_MAX; i++)
        events[i + 1] = service.events[i];
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
    service.process = &pusher;
    return service_main(&service, argc, argv);
}
