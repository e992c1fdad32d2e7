/* Watcher: see watcher.h. */
#include "map/watcher.h"
#include "base/log.h"
#include "base/result.h"
#include "bus/jetstream.h"
#include "map/answers.h"
#include <assert.h>
#include <stdio.h>
#include <string.h>

struct watcher {
    const struct options *options;
    struct bus *bus;
    struct answers *answers;
    char inbox[BUS_INBOX_SIZE];
    struct mesh mesh;
    int64_t due_ms, ticks;
    _Bool was_connected;
};

int watcher_open(const struct options *options, struct watcher **ret_watcher)
{
    struct bus_options bus;
    _free_(watcher) struct watcher *watcher = calloc(1, sizeof(*watcher));
    if (!watcher)
        return fail(ERR_MEMORY, "no memory to watch");
    watcher->options = options;
    options_bus(options, &bus);
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

/* The prefix of the JetStream API of a log: {log} is its name. */
static void put_api(const struct options *options, const char *log, char *ret_api, size_t size)
{
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
        _deinit_(js_request) struct js_request request;
        put_api(watcher->options, service->log, api, sizeof(api));
        js_request_init(&request, api);
        snprintf(place, sizeof(place), "stream.%s", service->log);
        if (js_stream_info(&request, service->log) == 0)
            ask(watcher, request.subject, "{\"subjects_filter\":\">\"}", place);
    }
}

/* ---- Answers --------------------------------------------------------------------------------- */

static void take_answer(struct watcher *watcher, struct bus_message *message, int64_t now_ms)
{
    const char *place = bus_message_subject(message) + strlen(watcher->inbox) + 1;
    const char *text = bus_message_data(message);
    const size_t length = bus_message_length(message);
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
