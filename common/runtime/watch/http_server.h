/* Http server: connections, requests, and answers that may come later or never end (event streams).
 * It has no thread: whoever owns it polls its descriptors. The pages for those who watch a service
 * (http.h) and the map's are served by it.
 *
 *   reading ── request is whole ──► waiting ── answer ──► writing ──► ending ──► gone
 *      │                              └─────── stream ──► streaming ── cut ────► gone
 *      └─ its time is over, or room is wanted ──► gone
 *
 * A connection has 5 s for all of its request and answer; an answer that comes later has 30 s to
 * come, and 5 s to be sent. `ending` reads on what nobody wants, such as a body: a connection that
 * is closed before has its answer thrown away on the other side. 32 connections are held, 16 of one
 * address; when there are more, the oldest is closed, so that slow ones do not keep others waiting.
 * Beside them are 50 event streams (then 503); who takes nothing skips events, and is cut after
 * 15 s. */
#pragma once
#include <poll.h>
#include "base/cleanup.h"
#include "runtime/watch/http_request.h"

#define HTTP_STREAMS_MAX 50
#define HTTP_OTHERS_MAX 32
#define HTTP_OF_ADDRESS_MAX 16
#define HTTP_FDS_MAX (1 + HTTP_STREAMS_MAX + HTTP_OTHERS_MAX)

struct http_server; /* opaque */

/* Answers the request, at once or later, by its number; status is 0. Borrowed for the call. */
typedef void (*http_handler)(void *context, const struct http_request *request);

struct http_server_options { /* borrowed for as long as the server lives */
    const char *address;     /* "127.0.0.1:9180" */
    const char *hosts;       /* as of http_request_read */
    const char *headers;     /* more of each answer, each with its CRLF */
    http_handler handler;
    void *context;
};
struct http_server *http_server_new(const struct http_server_options *options); /* NULL: memory */
void http_server_free(struct http_server *server);
DEFINE_FREE(http_server)

/* -ERR_CONFIG: no address; -ERR_NETWORK: it cannot be bound now. */
int http_server_bind(struct http_server *server);
_Bool http_server_is_bound(const struct http_server *server);

/* Fills what is to be polled; returns how many. Then, with what came of it: */
int http_server_prepare(const struct http_server *server, struct pollfd fds[HTTP_FDS_MAX],
                        int64_t now_ms);
void http_server_step(struct http_server *server, const struct pollfd *fds, int count,
                      int64_t now_ms);
/* Monotonic: when it wants a step, whatever comes; INT64_MAX: never. */
int64_t http_server_due_ms(const struct http_server *server);

/* The answer to a request; when its connection is gone, nothing. */
void http_server_answer(struct http_server *server, int64_t number, int status,
                        const char *content_type, const char *body, size_t length);
/* It becomes an event stream that begins with this event, or is refused when there are too many. */
void http_server_stream(struct http_server *server, int64_t number, const char *event,
                        size_t length);
/* To all event streams: one event, whole ("event: mesh\ndata: …\n\n"). */
void http_server_push(struct http_server *server, const char *event, size_t length);
int http_server_streams(const struct http_server *server); /* how many there are */

/* Connections that were closed before their answer was out. Any thread. */
int64_t http_server_cut(const struct http_server *server);
