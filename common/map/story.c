/* Story: see story.h. */
#include "map/story.h"
#include "base/clock.h"
#include "base/result.h"
#include "bus/jetstream.h"
#include "map/story_event.h"
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ANSWER_MS 5000
#define PULL_BATCH 1000
#define SLACK_MS 60000 /* clocks differ */
#define FORGET_NS 10000000000ll

enum pass { PASS_FIND, PASS_GATHER, PASSES };

struct story_log {
    char log[MESH_NAME_SIZE];
    int64_t last;                          /* the stream's newest sequence, as the mesh knows it */
    int64_t first_position, last_position; /* that were read; 0: none */
    _Bool cut;                             /* not all that should be was read */
};

struct story {
    struct watcher *watcher;
    struct http_server *server;
    _Bool busy;
    int64_t number; /* of the request */
    int64_t end_ms;
    struct story_scope scope;
    struct story_log logs[STORY_LOGS_MAX];
    int log_count, log; /* the one that is read */
    enum pass pass;
    char consumer[BUS_HEADER_KEY_MAX];
    int64_t consumers;
    int64_t question;   /* that waits */
    int64_t read, left; /* messages of this log, of this pull */
    struct buf events;
    int event_count;
    _Bool cut;
};

static void begin_log(struct story *story);

struct story *story_new(struct watcher *watcher, struct http_server *server)
{
    struct story *story = calloc(1, sizeof(*story));
    if (story) {
        story->watcher = watcher;
        story->server = server;
    }
    return story;
}

void story_free(struct story *story)
{
    if (!story)
        return;
    buf_deinit(&story->events);
    free(story);
}

/* ---- The answer ------------------------------------------------------------------------------ */

static void fail_with(struct story *story, int status, const char *why)
{
    char text[256];
    int length = snprintf(text, sizeof(text), "{\"error\":{\"message\":\"%s\"}}", why);
    story->busy = 0;
    watcher_forget(story->watcher, story->question);
    http_server_answer(story->server, story->number, status, "application/json", text,
                       (size_t)length);
}

static void put_logs(const struct story *story, struct buf *out)
{
    for (int i = 0; i < story->log_count; i++) {
        const struct story_log *log = &story->logs[i];
        buf_put_format(out, "%s\"%s\":{\"first\":%lld,\"last\":%lld,\"cut\":%s}", i > 0 ? "," : "",
                       log->log, (long long)log->first_position, (long long)log->last_position,
                       log->cut ? "true" : "false");
    }
}

static void answer(struct story *story)
{
    static const char *const kinds[] = {
        [STORY_OF_REQUEST] = "request", [STORY_OF_ORDER] = "order", [STORY_OF_ACCOUNT] = "account"
    };
    _deinit_(buf) struct buf out = { 0 };
    const struct story_scope *scope = &story->scope;
    buf_put_format(&out, "{\"kind\":\"%s\",\"at\":%lld,\"cut\":%s,\"id\":", kinds[scope->kind],
                   (long long)clock_wall_ms(),
                   story->cut || scope->orders.full || scope->accounts.full || scope->cards.full ||
                           scope->correlations.full
                       ? "true"
                       : "false");
    buf_put_json(&out, scope->id, strlen(scope->id));
    buf_put_text(&out, ",\"read\":{");
    put_logs(story, &out);
    buf_put_text(&out, "},\"events\":[");
    buf_put(&out, story->events.data, story->events.length);
    buf_put_text(&out, "]}");
    story->busy = 0;
    if (buf_status(&out) < 0 || buf_status(&story->events) < 0)
        fail_with(story, 503, "no memory");
    else
        http_server_answer(story->server, story->number, 200, "application/json", out.data,
                           out.length);
    buf_deinit(&story->events);
}

/* ---- Reading a log --------------------------------------------------------------------------- */

static _Bool ask(struct story *story, const struct js_request *request, _Bool many,
                 watcher_answer on_answer)
{
    const struct watcher_question question = { .subject = request->subject,
                                               .body = request->body.data,
                                               .timeout_ms = ANSWER_MS,
                                               .many = many,
                                               .answer = on_answer,
                                               .context = story };
    story->question = watcher_ask(story->watcher, &question);
    if (story->question > 0)
        return 1;
    fail_with(story, 502, "the server is away");
    return 0;
}

static void on_deleted(void *context, struct bus_message *message, const char *why)
{
    (void)context, (void)message, (void)why; /* else the server forgets it by itself */
}

static void delete_consumer(struct story *story, const char *api)
{
    _deinit_(js_request) struct js_request request = { 0 };
    js_request_init(&request, api);
    if (js_consumer_delete(&request, story->logs[story->log].log, story->consumer) < 0)
        return;
    const struct watcher_question question = { .subject = request.subject,
                                               .body = "",
                                               .timeout_ms = ANSWER_MS,
                                               .answer = on_deleted,
                                               .context = story };
    (void)watcher_ask(story->watcher, &question);
}

static void end_log(struct story *story)
{
    char api[BUS_SUBJECT_MAX + 1];
    watcher_put_api(story->watcher, story->logs[story->log].log, api, sizeof(api));
    watcher_forget(story->watcher, story->question);
    delete_consumer(story, api);
    story->log++;
    begin_log(story);
}

static void take_event(struct story *story, const struct bus_view *view)
{
    struct story_event event;
    struct story_log *log = &story->logs[story->log];
    if (!story_event_read(view, &event))
        return;
    if (log->first_position == 0)
        log->first_position = event.position;
    if (event.position <= log->last_position && story->pass == PASS_GATHER)
        return; /* a repeat, which a stream may have */
    if (story->pass == PASS_FIND) {
        story_scope_find(&story->scope, &event);
        return;
    }
    log->last_position = event.position;
    if (!story_scope_knows(&story->scope, &event))
        return;
    if (story->event_count == STORY_EVENTS_MAX) {
        story->cut = 1;
        return;
    }
    if (story->event_count++ > 0)
        buf_put_char(&story->events, ',');
    story_event_put(&event, log->log, story_scope_tells(&story->scope, &event), &story->events);
}

static void pull(struct story *story);

static void on_message(void *context, struct bus_message *message, const char *why)
{
    struct story *story = context;
    struct story_log *log = &story->logs[story->log];
    struct bus_view view;
    struct js_delivery delivery;
    if (!message) {
        fail_with(story, 502, why);
        return;
    }
    if (bus_message_status(message) != 0) { /* 404, 408: there is no more */
        end_log(story);
        return;
    }
    if (bus_message_view(message, &view) == 0)
        take_event(story, &view);
    story->read++;
    const _Bool is_last = js_parse_delivery(bus_message_reply(message), &delivery) < 0 ||
                          delivery.pending_count == 0;
    const _Bool is_full = story->pass == PASS_GATHER && story->event_count == STORY_EVENTS_MAX;
    const _Bool is_over = is_full || story->read >= STORY_READ_MAX ||
                          clock_monotonic_ms() > story->end_ms;
    log->cut |= is_over && !is_last;
    if (is_last || is_over)
        end_log(story);
    else if (--story->left == 0)
        pull(story);
}

static void pull(struct story *story)
{
    char api[BUS_SUBJECT_MAX + 1];
    const struct js_pull batch = { .batch = PULL_BATCH };
    _deinit_(js_request) struct js_request request = { 0 };
    watcher_forget(story->watcher, story->question);
    watcher_put_api(story->watcher, story->logs[story->log].log, api, sizeof(api));
    js_request_init(&request, api);
    story->left = PULL_BATCH;
    if (js_consumer_next(&request, story->logs[story->log].log, story->consumer, &batch) < 0)
        fail_with(story, 502, "a stream cannot be asked");
    else
        (void)ask(story, &request, 1, on_message);
}

static void on_created(void *context, struct bus_message *message, const char *why)
{
    struct story *story = context;
    struct js_consumer_state state = { 0 };
    _deinit_(arena) struct arena arena = { 0 };
    if (!message || bus_message_status(message) != 0) {
        fail_with(story,
                  message                             ? 502
                  : strcmp(why, "not permitted") == 0 ? 403
                                                      : 504,
                  message ? "the stream does not answer" : why);
        return;
    }
    int r = js_parse_consumer_info(bus_message_data(message), bus_message_length(message), &arena,
                                   &state);
    if (r == JS_REFUSED && state.error.error_code == JS_ERR_STREAM_NOT_FOUND) {
        story->log++;
        begin_log(story);
    } else if (r != 0) {
        fail_with(story, 502, "the server does not let the stream be read");
    } else if (state.pending_count == 0) {
        end_log(story);
    } else {
        pull(story);
    }
}

/* Where the reading begins: at the time of the oldest id, else as many events before the end as may
 * be read. */
static void put_start(struct story *story, struct buf *out)
{
    struct story_log *log = &story->logs[story->log];
    const int64_t begin_ms = story_scope_begin_ms(&story->scope) - SLACK_MS;
    if (begin_ms > 0) {
        char time[RFC3339_SIZE];
        rfc3339_format(begin_ms, time);
        buf_put_format(out, "\"deliver_policy\":\"by_start_time\",\"opt_start_time\":\"%s\"", time);
    } else if (log->last > STORY_READ_MAX) {
        log->cut = 1;
        buf_put_format(out, "\"deliver_policy\":\"by_start_sequence\",\"opt_start_seq\":%lld",
                       (long long)(log->last - STORY_READ_MAX));
    } else {
        buf_put_text(out, "\"deliver_policy\":\"all\"");
    }
}

/* The log that is next, in the pass that is next, or the end. */
static void begin_log(struct story *story)
{
    char api[BUS_SUBJECT_MAX + 1];
    _deinit_(js_request) struct js_request request = { 0 };
    _deinit_(buf) struct buf config = { 0 };
    if (story->log == story->log_count) {
        story->log = 0;
        story->pass++;
    }
    if (story->pass == PASSES || story->log_count == 0) {
        answer(story);
        return;
    }
    struct story_log *log = &story->logs[story->log];
    watcher_put_api(story->watcher, log->log, api, sizeof(api));
    js_request_init(&request, api);
    snprintf(story->consumer, sizeof(story->consumer), "journey-map-%llx-%lld",
             (unsigned long long)clock_monotonic_ns(), (long long)++story->consumers);
    story->read = 0;
    log->first_position = log->last_position = 0;
    buf_put_format(&config, "{\"name\":\"%s\",", story->consumer);
    put_start(story, &config);
    buf_put_format(&config,
                   ",\"ack_policy\":\"none\",\"inactive_threshold\":%lld,\"mem_storage\":true}",
                   FORGET_NS);
    if (buf_status(&config) < 0 ||
        js_consumer_create_as(&request, log->log, story->consumer, config.data) < 0)
        fail_with(story, 502, "a stream cannot be asked");
    else
        (void)ask(story, &request, 0, on_created);
}

/* ---- The request ----------------------------------------------------------------------------- */

static void note_logs(struct story *story)
{
    const struct mesh *mesh = watcher_mesh(story->watcher);
    story->log_count = 0;
    for (int i = 0; i < mesh->count && story->log_count < STORY_LOGS_MAX; i++) {
        struct story_log *log = &story->logs[story->log_count++];
        *log = (struct story_log){ .last = mesh->services[i]->stream.last };
        snprintf(log->log, sizeof(log->log), "%s", mesh->services[i]->log);
    }
    story->cut = mesh->count > STORY_LOGS_MAX;
}

void story_tell(struct story *story, const struct http_request *request)
{
    static const char busy[] = "{\"error\":{\"message\":\"another story is being read\"}}";
    static const char wanted[] = "{\"error\":{\"message\":\"an id is wanted\"}}";
    char id[STORY_ID_SIZE];
    if (story->busy) {
        http_server_answer(story->server, request->number, 429, "application/json", busy,
                           sizeof(busy) - 1);
        return;
    }
    if (!http_request_parameter(request, "id", id, sizeof(id)) || !*id) {
        http_server_answer(story->server, request->number, 400, "application/json", wanted,
                           sizeof(wanted) - 1);
        return;
    }
    story->busy = 1;
    story->number = request->number;
    story->end_ms = clock_monotonic_ms() + STORY_MS;
    story->pass = PASS_FIND;
    story->log = story->event_count = 0;
    buf_deinit(&story->events);
    story_scope_init(&story->scope, id);
    note_logs(story);
    begin_log(story);
}
