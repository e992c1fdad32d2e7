/* Asker: the questions that a tool (see tools.h) puts to the server, one at a time, each answer
 * awaited. A connection of its own, with the service's name and rights. One thread. */
#pragma once
#include "bus/bus.h"
#include "bus/jetstream.h"
#include "runtime/config.h"

#define ASKER_TIMEOUT_MS 5000 /* for one answer */

struct asker; /* opaque */

/* -ERR_NETWORK when no server answers, naming it. */
int asker_open(const struct config *config, const struct service *service,
               struct asker **ret_asker);
void asker_free(struct asker *asker);
DEFINE_FREE(asker)

/* The answer, which is the caller's to free. -ERR_NETWORK: nobody is there, or none came in
 * time. */
int asker_ask(struct asker *asker, const char *subject, const void *body, size_t length,
              struct bus_message **ret_answer);

/* Of the service's own stream. Text lives in the arena. */

/* 0, or JS_REFUSED with the state's error set, e.g. JS_ERR_STREAM_NOT_FOUND; < 0. */
int asker_stream_state(struct asker *asker, struct arena *arena, struct js_stream_state *ret_state);
int asker_stream_delete(struct asker *asker);

enum stream_place { STREAM_HOLE, STREAM_FOREIGN, STREAM_EVENT };
struct stream_message {
    /* no message at this sequence; not an event of this service; an event */
    enum stream_place place;
    struct event event;
    struct digest digest;
    const char *reason; /* of a foreign one */
};
int asker_stream_message(struct asker *asker, int64_t sequence, struct arena *arena,
                         struct stream_message *ret_message);
