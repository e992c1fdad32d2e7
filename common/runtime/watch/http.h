/* Http: /metrics, /healthz and /readyz for those who watch. Off unless an address is given
 * (--http). The only file that knows libmicrohttpd. Pages are made from numbers in memory on its
 * one thread: neither a locked database nor a server that is away makes them wait. */
#pragma once
#include "base/buf.h"
#include "base/cleanup.h"

struct http; /* opaque: a daemon of libmicrohttpd */

/* Fills a page; returns its status. Called on the daemon's thread. content_type is a literal;
 * text/plain when it is not set. */
struct http_page {
    const char *path; /* "/metrics"; NULL ends a table */
    int (*write)(void *context, struct buf *out, const char **content_type);
};

/* Listens on "127.0.0.1:9101", "[::1]:9101" or ":9101" (all addresses). -ERR_CONFIG, naming what is
 * wrong. The pages are borrowed. */
int http_start(const char *address, const struct http_page *pages, void *context,
               struct http **ret_http);
void http_free(struct http *http); /* waits for the page that is being written */
DEFINE_FREE(http)

/* What http_start would complain of, without listening: 0, or -ERR_CONFIG. */
int http_check(const char *address);

/* Of libmicrohttpd, "0.9.75"; or why there is none. */
const char *http_library_version(void);
