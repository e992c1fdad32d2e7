/* Watcher: asks the services and the server, four times a second who is there and once a second how
 * they are, and keeps the mesh from what they answer. It reads counts, never events, so what it
 * costs depends on how many services there are, and not on what they do. One thread. */
#pragma once
#include "bus/bus.h"
#include "map/mesh.h"
#include "map/options.h"

#define WATCHER_TICK_MS 250
#define WATCHER_TICKS 4 /* in a second */

struct watcher; /* opaque */

int watcher_open(const struct options *options, struct watcher **ret_watcher);
void watcher_free(struct watcher *watcher);
DEFINE_FREE(watcher)

int watcher_fd(const struct watcher *watcher);         /* readable: answers have come */
int64_t watcher_due_ms(const struct watcher *watcher); /* monotonic: when it wants its next turn */

/* Takes answers, and asks when it is time. True: there is a new picture to show. */
_Bool watcher_turn(struct watcher *watcher, int64_t now_ms);

/* ---- Questions of a person ------------------------------------------------------------------- */

#define WATCHER_QUESTIONS_MAX 64

/* Called in a turn, with one answer, which is borrowed; or with NULL and the reason: none came in
 * time, or the server does not permit the question. */
typedef void (*watcher_answer)(void *context, struct bus_message *message, const char *why);

struct watcher_question { /* texts are borrowed for the call */
    const char *subject, *body;
    int64_t timeout_ms;
    _Bool many; /* answers come until watcher_forget, or for timeout_ms after the last one */
    watcher_answer answer;
    void *context; /* as long as the question lives */
};
/* The number of the question, > 0; -ERR_NETWORK: not connected, or too many wait. */
int64_t watcher_ask(struct watcher *watcher, const struct watcher_question *question);
void watcher_forget(struct watcher *watcher, int64_t number);
/* A request whose answers come to the one listener, with the place that was given here; nothing
 * waits for them. 0; -ERR_NETWORK. */
typedef void (*watcher_listener)(void *context, struct bus_message *message, const char *place);
void watcher_listen(struct watcher *watcher, watcher_listener listener, void *context);
int watcher_send(struct watcher *watcher, const char *subject, const char *body, const char *place);
/* The prefix of the JetStream API of a log's stream. */
void watcher_put_api(const struct watcher *watcher, const char *log, char *ret_api, size_t size);

struct mesh *watcher_mesh(struct watcher *watcher);
_Bool watcher_is_connected(const struct watcher *watcher);
