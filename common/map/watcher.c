/* Watcher: see watcher.h. */
#include "map/watcher.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/result.h"
#include "bus/jetstream.h"
#include "map/answers.h"
#include <assert.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DENIALS_MAX 8

/* A question that waits; number 0: none. */
struct waiting {
    int64_t number, due_ms, timeout_ms;
    char subject[BUS_SUBJECT_MAX + 1];
    _Bool many;
    watcher_answer answer;
    void *context;
};

struct watcher {
    const struct options *options;
    struct bus *bus;
    struct answers *answers;
    char inbox[BUS_INBOX_SIZE];
    struct mesh mesh;
    int64_t due_ms, ticks;
    _Bool was_connected;
    struct waiting questions[WATCHER_QUESTIONS_MAX];
    int64_t numbers;
    watcher_listener listener;
    void *listener_context;
    pthread_mutex_t lock; /* of what the server has denied, which a library thread says */
    char denials[DENIALS_MAX][BUS_SUBJECT_MAX + 1];
    int denial_count;
};

/* On a library thread. */
static void on_denied(void *context, _Bool publish, const char *subject)
{
    struct watcher *watcher = context;
    if (!publish)
        return;
    pthread_mutex_lock(&watcher->lock);
    if (watcher->denial_count < DENIALS_MAX)
        snprintf(watcher->denials[watcher->denial_count++], BUS_SUBJECT_MAX + 1, "%s", subject);
    pthread_mutex_unlock(&watcher->lock);
}

int watcher_open(const struct options *options, struct watcher **ret_watcher)
{
    struct bus_options bus;
    _free_(watcher) struct watcher *watcher = calloc(1, sizeof(*watcher));
    if (!watcher)
        return fail(ERR_MEMORY, "no memory to watch");
    watcher->options = options;
    options_bus(options, &bus);
    pthread_mutex_init(&watcher->lock, NULL);
    bus.handlers.context = watcher;
    bus.handlers.denied = on_denied;
    int r = bus_open(&bus, &watcher->bus);
    if (r == 0)
        r = bus_new_inbox(watcher->bus, watcher->inbox);
    if (r == 0)
        r = answers_open(watcher->bus, watcher->inbox, &watcher->answers);
    if (r == 0)
        *ret_watcher = take(watcher);
    return trace(r);
}

void watcher_free(struct watcher *watcher)
{
    if (!watcher)
        return;
    answers_free(watcher->answers);
    bus_free(watcher->bus);
    mesh_deinit(&watcher->mesh);
    pthread_mutex_destroy(&watcher->lock);
    free(watcher);
}

int watcher_fd(const struct watcher *watcher)
{
    return answers_fd(watcher->answers);
}

int64_t watcher_due_ms(const struct watcher *watcher)
{
    return watcher->due_ms;
}

struct mesh *watcher_mesh(struct watcher *watcher)
{
    return &watcher->mesh;
}

_Bool watcher_is_connected(const struct watcher *watcher)
{
    return bus_is_connected(watcher->bus);
}

/* ---- Asking ---------------------------------------------------------------------------------- */

/* What cannot be sent now is asked again in the next second. */
static void ask(struct watcher *watcher, const char *subject, const char *body, const char *place)
{
    char reply[BUS_SUBJECT_MAX + 1];
    snprintf(reply, sizeof(reply), "%s.%s", watcher->inbox, place);
    (void)bus_publish(
        watcher->bus, BUS_URGENT,
        &(struct bus_outgoing){
            .subject = subject, .reply = reply, .data = body, .length = strlen(body) });
}

/* {log} is the name of the log. */
void watcher_put_api(const struct watcher *watcher, const char *log, char *ret_api, size_t size)
{
    const struct options *options = watcher->options;
    const char *place = strstr(options->source_api, "{log}");
    if (place)
        snprintf(ret_api, size, "%.*s%s%s", (int)(place - options->source_api), options->source_api,
                 log, place + strlen("{log}"));
    else
        snprintf(ret_api, size, "%s", options->source_api);
}

/* With the number of events of each type, which are the subjects of a log. */
static void ask_streams(struct watcher *watcher)
{
    for (int i = 0; i < watcher->mesh.count; i++) {
        const struct mesh_service *service = watcher->mesh.services[i];
        char api[BUS_SUBJECT_MAX + 1], place[MESH_NAME_SIZE + 8];
        _deinit_(js_request) struct js_request request = { 0 };
        watcher_put_api(watcher, service->log, api, sizeof(api));
        js_request_init(&request, api);
        snprintf(place, sizeof(place), "stream.%s", service->log);
        if (js_stream_info(&request, service->log) == 0)
            ask(watcher, request.subject, "{\"subjects_filter\":\">\"}", place);
    }
}

/* ---- Questions of a person ------------------------------------------------------------------ */

int64_t watcher_ask(struct watcher *watcher, const struct watcher_question *question)
{
    char reply[BUS_SUBJECT_MAX + 1];
    struct waiting *place = watcher->questions;
    while (place < watcher->questions + WATCHER_QUESTIONS_MAX && place->number > 0)
        place++;
    if (place == watcher->questions + WATCHER_QUESTIONS_MAX)
        return fail(ERR_NETWORK, "too many questions wait for an answer");
    *place = (struct waiting){ .number = ++watcher->numbers,
                               .due_ms = clock_monotonic_ms() + question->timeout_ms,
                               .timeout_ms = question->timeout_ms,
                               .many = question->many,
                               .answer = question->answer,
                               .context = question->context };
    snprintf(place->subject, sizeof(place->subject), "%s", question->subject);
    snprintf(reply, sizeof(reply), "%s.question.%" PRId64, watcher->inbox, place->number);
    int r = bus_publish(watcher->bus, BUS_URGENT,
                        &(struct bus_outgoing){ .subject = question->subject,
                                                .reply = reply,
                                                .data = question->body,
                                                .length = strlen(question->body) });
    if (r < 0) {
        place->number = 0;
        return trace(r);
    }
    return place->number;
}

static struct waiting *find_question(struct watcher *watcher, int64_t number)
{
    for (int i = 0; number > 0 && i < WATCHER_QUESTIONS_MAX; i++)
        if (watcher->questions[i].number == number)
            return &watcher->questions[i];
    return NULL;
}

void watcher_forget(struct watcher *watcher, int64_t number)
{
    struct waiting *question = find_question(watcher, number);
    if (question)
        question->number = 0;
}

/* The question may ask the next one from its answer. */
static void answer_question(struct waiting *question, struct bus_message *message, const char *why,
                            int64_t now_ms)
{
    const struct waiting asked = *question;
    if (!asked.many || !message)
        question->number = 0;
    question->due_ms = now_ms + asked.timeout_ms;
    asked.answer(asked.context, message, why);
}

void watcher_listen(struct watcher *watcher, watcher_listener listener, void *context)
{
    watcher->listener = listener;
    watcher->listener_context = context;
}

int watcher_send(struct watcher *watcher, const char *subject, const char *body, const char *place)
{
    char reply[BUS_SUBJECT_MAX + 1];
    snprintf(reply, sizeof(reply), "%s.listen.%s", watcher->inbox, place);
    return trace(bus_publish(
        watcher->bus, BUS_URGENT,
        &(struct bus_outgoing){
            .subject = subject, .reply = reply, .data = body, .length = strlen(body) }));
}

static void end_questions(struct watcher *watcher, int64_t now_ms)
{
    char denials[DENIALS_MAX][BUS_SUBJECT_MAX + 1];
    pthread_mutex_lock(&watcher->lock);
    const int count = watcher->denial_count;
    memcpy(denials, watcher->denials, sizeof(denials));
    watcher->denial_count = 0;
    pthread_mutex_unlock(&watcher->lock);
    for (int i = 0; i < WATCHER_QUESTIONS_MAX; i++) {
        struct waiting *question = &watcher->questions[i];
        const char *why = now_ms >= question->due_ms ? "no answer in time" : NULL;
        for (int n = 0; n < count; n++)
            if (strcmp(denials[n], question->subject) == 0)
                why = "not permitted";
        if (question->number > 0 && why)
            answer_question(question, NULL, why, now_ms);
    }
}

/* ---- Answers --------------------------------------------------------------------------------- */

/* A message of a stream keeps its own subject; its reply subject names the consumer, and so the
 * pull that it answers. */
static struct waiting *find_pull(struct watcher *watcher, struct bus_message *message)
{
    struct js_delivery delivery;
    if (js_parse_delivery(bus_message_reply(message), &delivery) < 0)
        return NULL;
    for (int i = 0; i < WATCHER_QUESTIONS_MAX; i++) {
        struct waiting *question = &watcher->questions[i];
        const char *last = strrchr(question->subject, '.');
        if (question->number > 0 && question->many && last &&
            strcmp(last + 1, delivery.consumer) == 0)
            return question;
    }
    return NULL;
}

static void take_answer(struct watcher *watcher, struct bus_message *message, int64_t now_ms)
{
    const size_t inbox_length = strlen(watcher->inbox);
    if (strncmp(bus_message_subject(message), watcher->inbox, inbox_length) != 0) {
        struct waiting *question = find_pull(watcher, message);
        if (question)
            answer_question(question, message, NULL, now_ms);
        return;
    }
    const char *place = bus_message_subject(message) + inbox_length + 1;
    const char *text = bus_message_data(message);
    const size_t length = bus_message_length(message);
    if (strncmp(place, "question.", 9) == 0) {
        struct waiting *question = find_question(watcher, strtoll(place + 9, NULL, 10));
        if (question)
            answer_question(question, message, NULL, now_ms);
        return;
    }
    if (strncmp(place, "listen.", 7) == 0) {
        if (watcher->listener)
            watcher->listener(watcher->listener_context, message, place + 7);
        return;
    }
    if (bus_message_status(message) != 0)
        return; /* nobody is there */
    if (strcmp(place, "ping") == 0)
        (void)mesh_take_ping(&watcher->mesh, text, length, now_ms);
    else if (strcmp(place, "stats") == 0)
        (void)mesh_take_statistics(&watcher->mesh, text, length, now_ms);
    else if (strncmp(place, "stream.", 7) == 0)
        (void)mesh_take_stream(&watcher->mesh, place + 7, text, length, now_ms);
}

static void say_connection(struct watcher *watcher)
{
    _Bool connected = watcher_is_connected(watcher);
    if (connected == watcher->was_connected)
        return;
    if (connected)
        log_info("map_connected");
    else
        log_warn("map_disconnected");
    watcher->was_connected = connected;
}

_Bool watcher_turn(struct watcher *watcher, int64_t now_ms)
{
    _Bool picture = 0;
    struct bus_message *message;
    while ((message = answers_take(watcher->answers))) {
        take_answer(watcher, message, now_ms);
        bus_message_free(message);
    }
    end_questions(watcher, now_ms);
    if (now_ms < watcher->due_ms)
        return 0;
    const _Bool was_connected = watcher->was_connected;
    say_connection(watcher);
    picture = mesh_look(&watcher->mesh, now_ms) || was_connected != watcher->was_connected;
    const int64_t tick = watcher->ticks++ % WATCHER_TICKS;
    ask(watcher, "$SRV.PING", "", "ping");
    if (tick == 0) {
        ask(watcher, "$SRV.STATS", "", "stats");
        ask_streams(watcher);
    } else if (tick == 1) { /* the answers are there */
        mesh_note(&watcher->mesh, now_ms);
        picture = 1;
    }
    watcher->due_ms = now_ms + WATCHER_TICK_MS;
    return picture;
}
