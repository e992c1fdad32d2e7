/* Http: /metrics, /healthz and /readyz for those who watch. Off unless an address is given
 * (--http). Pages are made from numbers in memory, on a thread of its own: neither a locked
 * database nor a server that is away makes them wait.
 *
 * Its own trouble is nobody else's. An address that cannot be bound (taken, absent, not found, no
 * descriptor) is tried again each second, and said in the log and in the statistics. Slow ones do
 * not keep /healthz silent: how many connections it holds, and for how long, says http_server.h. */
#pragma once
#include "base/buf.h"
#include "base/cleanup.h"

struct http; /* opaque */

/* Fills a page; returns its status. Called on the thread. content_type is a literal; text/plain
 * when it is not set. */
struct http_page {
    const char *path; /* "/metrics"; NULL ends a table */
    int (*write)(void *context, struct buf *out, const char **content_type);
};

/* Listens on "127.0.0.1:9101", "[::1]:9101" or ":9101" (all addresses), now or when it can.
 * -ERR_CONFIG: this is no address; -ERR_MEMORY. All is borrowed. */
int http_start(const char *address, const struct http_page *pages, void *context,
               struct http **ret_http);
void http_free(struct http *http); /* waits for the page that is being written */
DEFINE_FREE(http)

/* Is this an address? 0, or -ERR_CONFIG. */
int http_check(const char *address);
/* Can it be bound now? 0; -ERR_CONFIG; or -ERR_NETWORK with the reason, which may pass. */
int http_probe(const char *address);

/* For the statistics; NULL: HTTP is off. */
_Bool http_is_listening(const struct http *http);
int64_t http_cut(const struct http *http); /* connections closed before their answer was out */
