/* Harness: see harness.h. */
#include "base/log.h"
#include "stage.h"
#include "runtime/request/account_subject.h"
#include "runtime/request/query.h"
#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define SETTLE_MAX 64 /* runs of the loop at one moment; more would be an endless loop */

void stage_fail(struct stage *stage, const char *format, ...)
{
    char text[2048];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    cr_assert_fail("%s: \"%s\", line %d: %s", stage->service->name, stage->story->name,
                   stage->step->line, text);
}

static const char *keep(struct stage *stage, const char *text)
{
    return text ? arena_copy(&stage->arena, text, strlen(text)) : NULL;
}

static const char *fill_in(struct stage *stage, const char *text)
{
    const char *unbound = NULL,
               *filled = names_fill_in(&stage->names, text, &stage->arena, &unbound);
    check(stage, filled, "a name is not bound: $%s", unbound);
    return filled;
}

static _Bool matches(struct stage *stage, const char *pattern, const char *actual)
{
    return names_match(&stage->names, pattern, actual);
}

/* ---- The loop -------------------------------------------------------------------------------- */

static struct happened *happened_new(struct stage *stage, struct happened ***last)
{
    struct happened *happened = arena_alloc(&stage->arena, sizeof(*happened));
    **last = happened;
    *last = &happened->next;
    return happened;
}

static void take_batch(struct stage *stage, struct batch *batch)
{
    for (struct committed_event *e = batch->events; e; e = e->next) {
        struct happened *happened = happened_new(stage, &stage->last_event);
        cr_assert_eq(event_copy(&e->event, &stage->arena, &happened->event), 0);
    }
    for (struct outbound_call *call = batch->calls; call; call = call->next) {
        struct happened *happened = happened_new(stage, &stage->last_call);
        happened->subject = call->subject;
        happened->body = keep(stage, call->body.data);
    }
    for (struct item *item = batch->items; item; item = item->next) {
        if (item->kind == ITEM_EVENT)
            check(stage, item->outcome == OUTCOME_DONE,
                  "the event was not applied (outcome %d): %s", item->outcome,
                  item->message ? item->message : "");
        if (item->kind != ITEM_COMMAND)
            continue;
        stage->refusal = item->outcome == OUTCOME_REFUSED ? item->refusal : NULL;
        stage->message = keep(stage, item->message);
        stage->reply = keep(stage, item->body.data);
    }
}

static void run_once(struct stage *stage)
{
    struct batch *batch = batch_new();
    int r = loop_run(&stage->loop, stage->items, stage->item_count, stage->now_ms, batch);
    stage->item_count = 0;
    check(stage, r == 0, "the batch failed: %s", failure_text());
    take_batch(stage, batch);
    batch_free(batch);
}

/* Until nothing is due at this moment. */
static void settle(struct stage *stage)
{
    if (stage->is_together)
        return;
    run_once(stage);
    int runs = 0;
    for (; loop_due_ms(&stage->loop) <= stage->now_ms; runs++) {
        check(stage, runs < SETTLE_MAX, "the loop does not come to rest");
        run_once(stage);
    }
}

static void push(struct stage *stage, struct item *item)
{
    check(stage, stage->item_count < ITEMS_MAX, "too many items in a batch");
    stage->items[stage->item_count++] = item;
    settle(stage);
}

static void stage_open(struct stage *stage)
{
    if (stage->is_open)
        return;
    stage->is_open = 1;
    struct db_options options = { .path = ":memory:" };
    cr_assert_eq(db_open(&options, &stage->db), 0, "%s", failure_text());
    cr_assert_eq(loop_open(&stage->loop, stage->service, stage->option_values, stage->db, 42), 0,
                 "%s", failure_text());
    loop_start_process(&stage->loop);
}

static void all_was_named(struct stage *stage)
{
    check(stage, !stage->events, "an event that no step named: %s %s", stage->events->event.type,
          stage->events->event.data);
    check(stage, !stage->calls, "a call that no step named: %s %s", stage->calls->subject,
          stage->calls->body);
}

/* ---- Steps that act -------------------------------------------------------------------------- */

static void do_option(struct stage *stage, const struct step *step)
{
    for (int i = 0; stage->service->options[i].name; i++)
        if (strcmp(stage->service->options[i].name, step->what) == 0)
            stage->option_values[i] = step->json;
}

static const struct source *source_of(const struct service *service, const char *log, int *ret_feed)
{
    for (int i = 0; service->sources && service->sources[i].log; i++) {
        *ret_feed = i;
        if (strcmp(service->sources[i].log, log) == 0)
            return &service->sources[i];
    }
    return NULL;
}

/* The event that the log's next event follows: the newest one in the batch, else the loop's
 * position. */
static struct log_head log_head_of(const struct stage *stage, const struct loop *loop,
                                   const struct item *item)
{
    for (int i = loop == &stage->loop ? stage->item_count - 1 : -1; i >= 0; i--)
        if (stage->items[i]->kind == ITEM_EVENT && stage->items[i]->source == item->source)
            return (struct log_head){ .position = stage->items[i]->event.position,
                                      .chain = stage->items[i]->event.chain };
    const struct cursor *cursor = &loop->at.cursors[item->feed];
    return item->source ? (struct log_head){ .position = cursor->position, .chain = cursor->chain }
                        : loop->at.head;
}

struct item *stage_event_item(struct stage *stage, const struct loop *loop,
                              const struct event *given, const char *log)
{
    struct item *item = item_new(ITEM_EVENT);
    cr_assert_eq(event_copy(given, &item->arena, &item->event), 0);
    item->source = source_of(loop->service, log, &item->feed);
    item->type = event_type_of_name(item->source ? item->source->events : loop->service->events,
                                    given->type);
    const struct log_head before = log_head_of(stage, loop, item);
    item->event.position = before.position + 1;
    cr_assert_eq(event_digest(&item->event, &item->event_digest), 0);
    cr_assert_eq(event_chain(&before.chain, &item->event_digest, &item->event.chain), 0);
    struct invalid invalid = { 0 };
    void *value = NULL;
    if (item->type)
        check(stage,
              schema_decode(item->type->schema, item->event.data, item->event.data_length,
                            &item->arena, &value, &invalid) == 0,
              "%s: %s %s", given->type, invalid.field, invalid.message);
    item->event.value = value;
    return item;
}

static void do_given(struct stage *stage, const struct step *step)
{
    char log[16];
    snprintf(log, sizeof(log), "%.*s", (int)strcspn(step->what, " "), step->what);
    const char *data = fill_in(stage, step->json);
    char *id = arena_alloc(&stage->arena, UUID_SIZE);
    uuid_make(&stage->loop.ids, stage->now_ms, id);
    struct event event = {
        .log = keep(stage, log),
        .id = id,
        .type = step->what + strlen(log) + 1,
        .entity = fill_in(stage, step->about),
        .time_ms = stage->now_ms,
        .correlation = id,
        .data = data,
        .data_length = strlen(data),
    };
    if (strcmp(log, stage->service->log) != 0)
        happened_new(stage, &stage->last_given)->event = event;
    push(stage, stage_event_item(stage, &stage->loop, &event, event.log));
}

static void give_key(struct item *item, const char *subject, const char *body, const char *key)
{
    struct digest digest;
    struct invalid invalid;
    char *hex = arena_alloc(&item->arena, DIGEST_HEX_SIZE);
    char text[4096];
    int length = snprintf(text, sizeof(text), "%s\n%s", subject, body);
    cr_assert_eq(digest_of(text, (size_t)length, &digest), 0);
    digest_format(&digest, hex);
    item->origin.cause_digest = hex;
    cr_assert_eq(account_take_key(item, key, &invalid), 0);
}

static void ask(struct stage *stage, struct item *item)
{
    struct status status = { 0 };
    struct reader place = {
        .service = stage->service,
        .option_values = stage->option_values,
        .status = &status,
        .db = stage->db,
    };
    query_run(&place, item, stage->now_ms);
    stage->refusal = item->outcome == OUTCOME_REFUSED ? item->refusal : NULL;
    stage->message = keep(stage, item->message);
    stage->reply = keep(stage, item->body.data);
    char *as_of = stage->reply ? strstr(stage->reply, ",\"as_of\":") : NULL;
    if (as_of)
        strcpy(as_of, "}"); /* a matter of the runtime, not of the journeys */
    item_free(item);
}

static struct item *find_request(struct stage *stage, const char *subject)
{
    for (const struct command *c = stage->service->commands; c->subject; c++)
        if (strcmp(c->subject, subject) == 0) {
            struct item *item = item_new(ITEM_COMMAND);
            item->command = c;
            return item;
        }
    for (const struct query_type *q = stage->service->queries; q->subject; q++)
        if (strcmp(q->subject, subject) == 0) {
            struct item *item = item_new(ITEM_QUERY);
            item->query = q;
            return item;
        }
    return NULL;
}

/* By its own subject, or by that of an account. *ret_account: of that one; NULL: by its own. */
static struct item *request_item(struct stage *stage, const char *subject,
                                 struct account_request **ret_account)
{
    struct item *item = find_request(stage, subject);
    char plain[128];
    snprintf(plain, sizeof(plain), "%.*s", (int)(strrchr(subject, '.') - subject), subject);
    *ret_account = NULL;
    if (!item && (item = find_request(stage, plain))) {
        const struct schema *schema = item->command ? item->command->request : item->query->request;
        check(stage, schema->account, "%s is not for accounts", plain);
        cr_assert_eq(account_request_make(schema, &item->arena, ret_account), 0);
    }
    check(stage, item, "no such subject: %s", subject);
    return item;
}

/* As endpoint.c does it. 0, or the refusal. */
static int decode_request(struct item *item, const struct account_request *account,
                          const char *subject, const char *body, struct invalid *ret_invalid)
{
    const struct schema *schema = item->command ? item->command->request : item->query->request;
    void *request = NULL;
    int r = account ? account_take(account, subject, item, ret_invalid) : 0;
    if (r == 0)
        r = schema_decode(account ? &account->schema : schema, body, strlen(body), &item->arena,
                          &request, ret_invalid);
    if (r == 0 && account)
        r = account_fill_in(account, item, request, ret_invalid);
    item->request = request;
    return r;
}

static void do_when(struct stage *stage, const struct step *step)
{
    const char *body = fill_in(stage, step->json);
    const char *subject = fill_in(stage, step->what);
    struct account_request *account;
    struct item *item = request_item(stage, subject, &account);
    struct invalid invalid = { 0 };
    int r = decode_request(item, account, subject, body, &invalid);
    if (r > 0) {
        stage->refusal = refusal_of((enum refusal)r);
        stage->message = keep(stage, *invalid.field ? invalid.field : invalid.message);
        item_free(item);
        return;
    }
    check(stage, r == 0, "the request was not decoded: %s", failure_text());
    if (step->about)
        give_key(item, subject, body, step->about);
    if (item->kind == ITEM_QUERY)
        ask(stage, item);
    else
        push(stage, item);
}

static void do_wait(struct stage *stage, int64_t wait_ms)
{
    const int64_t until_ms = stage->now_ms + wait_ms;
    while (loop_due_ms(&stage->loop) <= until_ms) {
        int64_t due_ms = loop_due_ms(&stage->loop);
        if (due_ms > stage->now_ms)
            stage->now_ms = due_ms;
        settle(stage);
    }
    stage->now_ms = until_ms;
}

static void do_clock_back(struct stage *stage, int64_t by_ms)
{
    loop_look_at_clock(&stage->loop, stage->now_ms);
    stage->now_ms -= by_ms;
    loop_look_at_clock(&stage->loop, stage->now_ms);
    settle(stage);
}

static void do_answer(struct stage *stage, const struct step *step)
{
    static const struct {
        const char *name;
        enum answer_outcome outcome;
    } outcomes[] = {
        { "timeout", ANSWER_TIMEOUT },
        { "unreachable", ANSWER_UNREACHABLE },
        { "invalid", ANSWER_INVALID },
    };
    struct item *item = item_new(ITEM_ANSWER);
    item->answer = (struct answer){
        .tag = fill_in(stage, step->what),
        .number = step->number,
        .work = step->about,
    };
    for (int i = 0; i < 3; i++)
        if (strcmp(step->json, outcomes[i].name) == 0)
            item->answer.outcome = outcomes[i].outcome;
    if (item->answer.outcome == ANSWER_RECEIVED) {
        const char *body = fill_in(stage, step->json);
        struct invalid invalid = { 0 };
        void *value = NULL;
        int r = schema_decode(step->schema, body, strlen(body), &item->arena, &value, &invalid);
        check(stage, r == 0, "the answer breaks its contract: %s %s", invalid.field,
              invalid.message);
        item->answer.body = value;
    }
    push(stage, item);
}

static void do_restart(struct stage *stage, const struct step *step)
{
    loop_close(&stage->loop);
    if (step->json)
        cr_assert_eq(db_script(stage->db, step->json), 0, "%s", failure_text());
    cr_assert_eq(loop_open(&stage->loop, stage->service, stage->option_values, stage->db, 43), 0,
                 "%s", failure_text());
    loop_start_process(&stage->loop);
    settle(stage);
}

/* ---- Steps that look ------------------------------------------------------------------------- */

static void do_then(struct stage *stage, const struct step *step)
{
    struct happened *event = stage->events, *call = stage->calls;
    char text[1024];
    switch (step->kind) {
    case STEP_THEN_REPLY:
        check(stage, !stage->refusal, "refused: %s", stage->message);
        check(stage, stage->reply && matches(stage, step->json, stage->reply), "the reply is %s",
              stage->reply);
        break;
    case STEP_THEN_REFUSED:
        check(stage, stage->refusal, "not refused, but %s",
              stage->reply ? stage->reply : "without an answer");
        check(stage,
              strcmp(stage->refusal->code, step->what) == 0 &&
                  strncmp(stage->message, step->json, strlen(step->json)) == 0,
              "refused: %s, %s", stage->refusal->code, stage->message);
        break;
    case STEP_THEN_EVENT:
        check(stage, event, "no event, but %s was expected", step->what);
        check(stage,
              strcmp(event->event.type, step->what) == 0 &&
                  matches(stage, step->json, event->event.data),
              "the event is %s %s", event->event.type, event->event.data);
        stage->events = event->next;
        if (!stage->events)
            stage->last_event = &stage->events;
        break;
    case STEP_THEN_CALL:
        check(stage, call, "no call, but %s was expected", step->what);
        check(stage,
              strcmp(call->subject, step->what) == 0 && matches(stage, step->json, call->body),
              "the call is %s %s", call->subject, call->body);
        stage->calls = call->next;
        if (!stage->calls)
            stage->last_call = &stage->calls;
        break;
    case STEP_THEN_WHATEVER:
        stage->events = stage->calls = NULL;
        stage->last_event = &stage->events;
        stage->last_call = &stage->calls;
        break;
    default: {
        _deinit_(query) struct query q = { 0 };
        cr_assert_eq(query_open(&q, stage->db, step->what, ""), 0, "%s", failure_text());
        _Bool has_row = query_has_row(&q);
        cr_assert_eq(query_status(&q), 0, "%s", failure_text());
        snprintf(text, sizeof(text), "%s",
                 has_row && query_text(&q, 0) ? query_text(&q, 0) : "(none)");
        check(stage, matches(stage, step->json, text), "%s gives %s", step->what, text);
    }
    }
}

static void do_step(struct stage *stage, const struct step *step)
{
    if (step->kind == STEP_OPTION) {
        do_option(stage, step);
        return;
    }
    stage_open(stage);
    if (step->kind < STEP_THEN_REPLY && !stage->is_together)
        all_was_named(stage);
    switch (step->kind) {
    case STEP_GIVEN:    do_given(stage, step); break;
    case STEP_WHEN:     do_when(stage, step); break;
    case STEP_TOGETHER: stage->is_together = 1; break;
    case STEP_RUN:
        stage->is_together = 0;
        settle(stage);
        break;
    case STEP_WAIT:       do_wait(stage, step->number); break;
    case STEP_CLOCK_BACK: do_clock_back(stage, step->number); break;
    case STEP_ANSWER:     do_answer(stage, step); break;
    case STEP_RESTART:    do_restart(stage, step); break;
    default:              do_then(stage, step); break;
    }
}

/* ---- Stories --------------------------------------------------------------------------------- */

static void story_run(const struct service *service, const struct story *story,
                      const char *const *fold_checks)
{
    struct stage stage = {
        .service = service, .story = story, .step = story->steps, .now_ms = STORY_BEGIN_MS
    };
    stage.last_event = &stage.events;
    stage.last_call = &stage.calls;
    stage.last_given = &stage.given;
    arena_init(&stage.arena);
    for (; stage.step->kind != STEP_END; stage.step++)
        do_step(&stage, stage.step);
    stage.step--;
    all_was_named(&stage);
    if (fold_checks) {
        stage_fold_anew(&stage, 0, fold_checks);
        stage_fold_anew(&stage, 1, fold_checks);
    }
    loop_close(&stage.loop);
    db_free(stage.db);
    arena_deinit(&stage.arena);
}

void stories_run(const struct service *service, const struct story *stories, int count,
                 const char *const *fold_checks)
{
    log_setup("test", LOG_ERROR, LOG_LOGFMT);
    cr_assert_eq(service_check(service), 0, "the service's table: %s", failure_reason());
    for (int i = 0; i < count; i++)
        story_run(service, &stories[i], fold_checks);
}
