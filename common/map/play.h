/* Play: a mesh of one's own, with plugs to pull: a program (scripts/mesh) kills, pauses, resumes
 * and starts its processes, and customers come (load.h). Only on the loopback: the page as well as
 * the servers, so that nobody else's mesh can be meant.
 *
 * PLAY_CHILDREN_MAX calls of the program run at a time, each for PLAY_CHILD_MS at most. */
#pragma once
#include "map/load.h"
#include "map/options.h"
#include "runtime/watch/http_server.h"

#define PLAY_CHILDREN_MAX 8
#define PLAY_CHILD_MS 40000

struct play; /* opaque */

/* May this be played with? 0, or -ERR_CONFIG with the reason. */
int play_check(const struct options *options);

struct play *play_new(const struct options *options, struct watcher *watcher,
                      struct http_server *server); /* all borrowed; NULL: no memory */
void play_free(struct play *play);
DEFINE_FREE(play)

/* POST /play {"do":"kill","process":"account-svc"} or {"rate":100,"declined":10} */
void play_take(struct play *play, const struct http_request *request);
void play_turn(struct play *play, int64_t now_ms);
int64_t play_due_ms(const struct play *play);
/* The value of the picture's member `play`. */
void play_write(const struct play *play, struct buf *out);
