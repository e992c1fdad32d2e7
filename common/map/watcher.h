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

struct mesh *watcher_mesh(struct watcher *watcher);
_Bool watcher_is_connected(const struct watcher *watcher);
