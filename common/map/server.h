/* Server: the map's side of HTTP: its page, event streams, and answers that come later. One thread:
 * the loop of main.c gives it the descriptors that are ready.
 *
 *   reading ── request is whole ──► waiting ── server_answer ──► writing ──► ending ──► gone
 *      │                              └─────── server_stream ──► streaming ── cut ────► gone
 *      └─ its time is over, or room is wanted ──► gone
 *
 * A request and its answer have 5 s in all, or 30 s while an answer is waited for. 50 browsers look
 * at the event stream at a time (then 503), and 32 other connections are held; when there are more,
 * the oldest is closed. A browser that takes nothing skips pictures, and is cut after 15 s. */
#pragma once
#include <poll.h>
#include "map/request.h"

#define SERVER_STREAMS_MAX 50
#define SERVER_OTHERS_MAX 32
#define SERVER_FDS_MAX (1 + SERVER_STREAMS_MAX + SERVER_OTHERS_MAX)

struct server; /* opaque */

/* Answers the request, at once or later, by its number; status is 0. Borrowed for the call. */
typedef void (*server_handler)(void *context, const struct request *request);

struct server_options {  /* borrowed for as long as the server lives */
    const char *address; /* "127.0.0.1:9180" */
    const char *hosts;   /* as of request_read */
    server_handler handler;
    void *context;
};
/* -ERR_CONFIG: no address; -ERR_NETWORK: it cannot be bound; -ERR_MEMORY. */
int server_open(const struct server_options *options, struct server **ret_server);
void server_free(struct server *server);
DEFINE_FREE(server)

/* Fills what is to be polled; returns how many. Then, with what came of it: */
int server_prepare(struct server *server, struct pollfd fds[SERVER_FDS_MAX]);
void server_step(struct server *server, const struct pollfd *fds, int count, int64_t now_ms);

/* The answer to a request; when its connection is gone, nothing. */
void server_answer(struct server *server, int64_t number, int status, const char *content_type,
                   const char *body, size_t length);
/* It becomes an event stream that begins with this event, or is refused when there are too many. */
void server_stream(struct server *server, int64_t number, const char *event, size_t length);
/* To all event streams: one event, whole ("event: mesh\ndata: …\n\n"). */
void server_push(struct server *server, const char *event, size_t length);
int server_streams(const struct server *server); /* how many browsers look on */
