/* API client: synchronous requests of a tool (tools.h) or of a rebuild to the server and to other
 * services, one at a time. It has a connection of its own, with the service's name and rights. One
 * thread. */
#pragma once
#include "bus/bus.h"
#include "bus/jetstream.h"
#include "runtime/core/config.h"
#include "schemas/runtime.events.reply.h"

#define API_CLIENT_TIMEOUT_MS 5000 /* for one reply */

struct api_client; /* opaque */

/* 0; -ERR_NETWORK when no server answers, naming the server; < 0. */
int api_client_open(const struct config *config, const struct service *service,
                    struct api_client **ret_api);
void api_client_free(struct api_client *api);
DEFINE_FREE(api_client)

/* Sends a request and waits for the reply, which the caller frees. -ERR_NETWORK: no responder, or
 * no reply in time. */
int api_client_ask(struct api_client *api, const char *subject, const void *body, size_t length,
                   struct bus_message **ret_answer);

/* ---- Of our own stream; text lives in the arena ---------------------------------------------- */

/* 0, or JS_REFUSED with the state's error set, e.g. JS_ERR_STREAM_NOT_FOUND; < 0. */
int api_client_stream_state(struct api_client *api, struct arena *arena,
                            struct js_stream_state *ret_state);
int api_client_stream_delete(struct api_client *api);

enum stream_place { STREAM_HOLE, STREAM_FOREIGN, STREAM_MARKER, STREAM_EVENT };
struct stream_message {
    /* no message at this sequence; not an event of this service; an event */
    enum stream_place place;
    struct event event;
    struct digest digest;
    const char *reason; /* of a foreign one */
};
int api_client_stream_message(struct api_client *api, int64_t sequence, struct arena *arena,
                              struct stream_message *ret_message);

/* ---- Of another's log ------------------------------------------------------------------------ */

/* The events after a position, as the leader gives them: some hundred, in the arena. -ERR_NETWORK:
 * the leader is away. */
int api_client_events(struct api_client *api, const struct source *source, int64_t after_position,
                      struct arena *arena, const struct runtime_events_reply **ret_page);
