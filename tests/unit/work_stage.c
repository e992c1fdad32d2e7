/* Work stage: see work_stage.h. */
#include "work_stage.h"
#include "schemas/psp.void.h"
#include "schemas/psp.void.reply.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#define RUNS_MAX 1000

struct stage stage;
const struct work_type *type_on_stage;

/* ---- The type of work and its tables --------------------------------------------------------- */

static void happen(const char *what, const char *key, int64_t number)
{
    size_t length = strlen(stage.happened);
    snprintf(stage.happened + length, sizeof(stage.happened) - length, "%s%s%s/%lld",
             length ? " " : "", what, key, (long long)number);
}

int stage_find(struct journey *j, struct work_page *page)
{
    (void)j;
    page->look_ms = stage.look_ms > stage.now_ms ? stage.look_ms : INT64_MAX;
    if (stage.looks_at_once)
        page->look_ms = 0;
    for (int64_t i = page->after; i < stage.row_count && page->count < page->max; i++)
        if (stage.rows[i].is_open)
            page->found[page->count++] = (struct work_found){
                .key = stage.rows[i].key,
                .number = stage.rows[i].number,
                .place = i + 1,
                .until_ms = stage.rows[i].until_ms,
                .owner = stage.each_max ? stage.rows[i].owner : NULL,
                .row = stage.reads_rows ? &stage.rows[i] : NULL,
            };
    return 0;
}

static const char *opened_by(const struct event *event)
{
    return strcmp(event->type, "Opened") == 0 ? event->entity : NULL;
}

static int prepare(struct journey *j, const char *key)
{
    (void)j;
    size_t length = strlen(stage.happened);
    snprintf(stage.happened + length, sizeof(stage.happened) - length, "%s%s", length ? " " : "",
             key ? key : "all");
    return 0;
}

static int mark_read(struct journey *j, int64_t *ret_place)
{
    (void)j;
    *ret_place = stage.mark;
    return 0;
}

static int mark_write(struct journey *j, int64_t place)
{
    (void)j;
    stage.mark = place;
    return 0;
}

static int limits(struct journey *j, struct work_limits *ret_limits)
{
    (void)j;
    cr_assert_eq(ret_limits->in_flight_max, 64);
    *ret_limits = stage.limits;
    ret_limits->in_flight_each_max = stage.each_max ? stage.each_max
                                                    : stage.limits.in_flight_each_max;
    return 0;
}

static int ask(struct journey *j, const struct work *work)
{
    stage.seen_row = work->row;
    if (stage.asks == WORK_AGAIN || stage.asks == WORK_GONE)
        return stage.asks;
    happen("", work->key, work->number);
    cr_assert_geq(work->timeout_ms, TIMEOUT_MS);
    stage.seen_timeout_ms = work->timeout_ms;
    stage.seen_may_have_left = work->may_have_left;
    stage.seen_refusals = work->refusals;
    if (stage.asks != 0) /* any other number: without a call */
        return stage.asks < 0 ? 0 : stage.asks;
    struct psp_void body = { .key = work->key };
    struct call call = { .subject = "psp.void", .body = &body };
    return trace(journey_call(j, &call));
}

static int answered(struct journey *j, const struct work *work, const void *body)
{
    (void)j;
    cr_assert(body);
    happen("=", work->key, work->number);
    return stage.answers;
}

static int expired(struct journey *j, const struct work *work)
{
    (void)j;
    cr_assert_leq(work->until_ms, stage.now_ms);
    happen("!", work->key, work->number);
    return 0;
}

static const struct work_source plain_sources[] = { { .find = stage_find, .opened_by = opened_by },
                                                    { 0 } };
static const struct work_source prepared_sources[] = {
    { .find = stage_find, .opened_by = opened_by, .prepare = prepare }, { 0 }
};
static const struct work_source marked_sources[] = { { .find = stage_find,
                                                       .opened_by = opened_by,
                                                       .mark_read = mark_read,
                                                       .mark_write = mark_write },
                                                     { 0 } };

#define TYPE(...) \
    { .name = "test", .limits = limits, .ask = ask, .answered = answered, __VA_ARGS__ }
const struct work_type plain = TYPE(.sources = plain_sources, .expired = expired);
const struct work_type ordered = TYPE(.sources = plain_sources, .in_order = 1);
const struct work_type prepared = TYPE(.sources = prepared_sources);
const struct work_type marked = TYPE(.sources = marked_sources);
const struct work_type deadline = { .name = "deadline",
                                    .sources = plain_sources,
                                    .expired = expired };
const struct work_type sourceless = { .name = "test", .limits = limits, .ask = ask };

/* ---- The list -------------------------------------------------------------------------------- */

void stage_journey(struct journey *j)
{
    static const struct call_type calls[] = {
        { "psp.void", &psp_void_schema, &psp_void_reply_schema }, { 0 }
    };
    static const struct service service = { .name = "test-svc", .calls = calls };
    journey_init(j, MODE_DECIDE, &service, NULL, NULL, &stage.arena, NULL, stage.now_ms);
}

/* One step of the list, as the loop takes it; the calls go out. */
static void run(void)
{
    struct journey j;
    stage_journey(&j);
    int r = work_list_step(&stage.list, &j);
    cr_assert_eq(r, 0, "%s", failure_text());
    *j.last_call = stage.calls;
    stage.calls = j.calls;
}

/* Until nothing is due at this moment. */
void stage_settle(void)
{
    run();
    for (int i = 0; work_list_due_ms(&stage.list, stage.now_ms) <= stage.now_ms; i++) {
        cr_assert_lt(i, RUNS_MAX, "the list does not come to rest");
        run();
    }
}

void stage_wait(int64_t wait_ms)
{
    int64_t until_ms = stage.now_ms + wait_ms;
    for (int64_t due_ms; (due_ms = work_list_due_ms(&stage.list, stage.now_ms)) <= until_ms;) {
        stage.now_ms = due_ms > stage.now_ms ? due_ms : stage.now_ms;
        stage_settle();
    }
    stage.now_ms = until_ms;
}

static void begin(const struct work_type *type)
{
    struct journey j;
    stage_journey(&j);
    type_on_stage = type;
    cr_assert_eq(work_list_init(&stage.list, type, &j), 0, "%s", failure_text());
    stage_settle();
}

static void end(void)
{
    work_list_deinit(&stage.list);
    while (stage.calls) {
        struct outbound_call *next = stage.calls->next;
        outbound_call_free(stage.calls);
        stage.calls = next;
    }
}

void stage_begin(const struct work_type *type, int in_flight_max, int open_max)
{
    stage = (struct stage){
        .now_ms = 1000000,
        .limits = { .timeout_ms = TIMEOUT_MS,
                    .in_flight_max = in_flight_max,
                    .open_max = open_max,
                    .backoff_min_ms = 200,
                    .backoff_max_ms = 30000 },
    };
    arena_init(&stage.arena);
    begin(type);
}

void stage_end(void)
{
    end();
    arena_deinit(&stage.arena);
}

void stage_restart(void)
{
    end();
    begin(type_on_stage);
}

int stage_answer(const char *text, const char *key, int64_t number)
{
    static const struct psp_void_reply body = { .status = "voided" };
    enum answer_outcome outcome = strcmp(text, "timeout") == 0       ? ANSWER_TIMEOUT
                                  : strcmp(text, "invalid") == 0     ? ANSWER_INVALID
                                  : strcmp(text, "unreachable") == 0 ? ANSWER_UNREACHABLE
                                                                     : ANSWER_RECEIVED;
    struct answer given = { .outcome = outcome,
                            .tag = key,
                            .number = number,
                            .work = "test",
                            .is_late = strcmp(text, "late") == 0,
                            .body = outcome == ANSWER_RECEIVED ? &body : NULL };
    struct journey j;
    stage_journey(&j);
    return work_list_answer(&stage.list, &j, &given);
}

void stage_close(const char *key, int64_t number)
{
    for (int i = 0; i < stage.row_count; i++)
        if (strcmp(stage.rows[i].key, key) == 0 && stage.rows[i].number == number)
            stage.rows[i].is_open = 0;
}

void stage_open(const char *keys, int64_t number, int64_t within_ms)
{
    for (const char *key = keys; *key; key += strspn(key, " ")) {
        struct open_row *row = &stage.rows[stage.row_count++];
        *row = (struct open_row){ .number = number,
                                  .until_ms = within_ms ? stage.now_ms + within_ms : 0,
                                  .is_open = 1 };
        snprintf(row->key, sizeof(row->key), "%.*s", (int)strcspn(key, " "), key);
        snprintf(row->owner, sizeof(row->owner), "%c", *key);
        key += strcspn(key, " ");
    }
}

void stage_observe(const char *account)
{
    struct event event = { .type = "Opened", .entity = account };
    work_list_observe(&stage.list, &event);
}
