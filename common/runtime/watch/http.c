/* Http: see http.h. */
#include "runtime/watch/http.h"
#include "base/result.h"

#ifndef JOURNEY_HTTP

int http_check(const char *address)
{
    return fail(ERR_CONFIG, "%s: this program was built without libmicrohttpd", address);
}

int http_start(const char *address, const struct http_page *pages, void *context,
               struct http **ret_http)
{
    (void)pages, (void)context, (void)ret_http;
    return trace(http_check(address));
}

void http_free(struct http *http)
{
    (void)http;
}

const char *http_library_version(void)
{
    return "left out of this program";
}

#else

#include <assert.h>
#include <dlfcn.h>
#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>

#define CONNECTIONS_MAX 16u
#define TIMEOUT_S 10u
#define HOST_MAX 256

/* Loaded when it is asked for: it brings a TLS library along, which costs 3 MB in a service that
 * needs neither. */
#define LIBRARY "libmicrohttpd.so.12"
static struct {
    __typeof__(&MHD_get_version) get_version;
    __typeof__(&MHD_start_daemon) start_daemon;
    __typeof__(&MHD_stop_daemon) stop_daemon;
    __typeof__(&MHD_create_response_from_buffer) create_response_from_buffer;
    __typeof__(&MHD_add_response_header) add_response_header;
    __typeof__(&MHD_queue_response) queue_response;
    __typeof__(&MHD_destroy_response) destroy_response;
} mhd;

static int load_library(void)
{
    const struct {
        const char *name;
        void *place;
    } wanted[] = {
        { "MHD_get_version", &mhd.get_version },
        { "MHD_start_daemon", &mhd.start_daemon },
        { "MHD_stop_daemon", &mhd.stop_daemon },
        { "MHD_create_response_from_buffer", &mhd.create_response_from_buffer },
        { "MHD_add_response_header", &mhd.add_response_header },
        { "MHD_queue_response", &mhd.queue_response },
        { "MHD_destroy_response", &mhd.destroy_response },
    };
    void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL); /* for the life of the process */
    if (!library)
        return fail(ERR_CONFIG, "--http wants %s: %s", LIBRARY, dlerror());
    for (size_t i = 0; i < sizeof(wanted) / sizeof(*wanted); i++) {
        void *symbol = dlsym(library, wanted[i].name);
        if (!symbol)
            return fail(ERR_CONFIG, "%s has no %s", LIBRARY, wanted[i].name);
        memcpy(wanted[i].place, &symbol, sizeof(symbol));
    }
    return 0;
}

struct http {
    struct MHD_Daemon *daemon;
    const struct http_page *pages;
    void *context;
};

/* ---- Answering ------------------------------------------------------------------------------ */

static enum MHD_Result send_page(struct MHD_Connection *connection, int status, const char *type,
                                 const struct buf *body)
{
    struct MHD_Response *response = mhd.create_response_from_buffer(
        body->length, body->data ? body->data : (void *)"", MHD_RESPMEM_MUST_COPY);
    if (!response)
        return MHD_NO;
    mhd.add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    enum MHD_Result r = mhd.queue_response(connection, (unsigned)status, response);
    mhd.destroy_response(response);
    return r;
}

static enum MHD_Result on_request(void *context, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *data,
                                  size_t *data_size, void **request)
{
    const struct http *http = context;
    _deinit_(buf) struct buf body = { 0 };
    const char *type = "text/plain; charset=utf-8";
    int status = MHD_HTTP_NOT_FOUND;
    (void)version, (void)data, (void)request;
    if (*data_size > 0) { /* a body is for nobody */
        *data_size = 0;
        return MHD_YES;
    }
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
        return send_page(connection, MHD_HTTP_METHOD_NOT_ALLOWED, type, &body);
    for (const struct http_page *page = http->pages; page->path; page++)
        if (strcmp(page->path, url) == 0)
            status = page->write(http->context, &body, &type);
    if (buf_status(&body) < 0)
        status = MHD_HTTP_INTERNAL_SERVER_ERROR;
    return send_page(connection, status, type, &body);
}

/* ---- Starting ------------------------------------------------------------------------------- */

/* "host:port" to a socket's address. */
static int resolve(const char *address, struct addrinfo **ret_found)
{
    char host[HOST_MAX];
    const char *colon = strrchr(address, ':');
    size_t length = colon ? (size_t)(colon - address) : 0;
    char *end = NULL;
    long port = colon ? strtol(colon + 1, &end, 10) : 0; /* getaddrinfo takes 99999 for 34463 */
    if (!colon || length >= sizeof(host) || *end || port < 1 || port > 65535)
        return fail(ERR_CONFIG, "%s: an address and a port are wanted, such as 127.0.0.1:9101",
                    address);
    _Bool bracketed = length >= 2 && address[0] == '[' && address[length - 1] == ']';
    length -= bracketed ? 2 : 0;
    memcpy(host, address + bracketed, length);
    host[length] = '\0';
    const struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
                                    .ai_flags = AI_PASSIVE | AI_NUMERICSERV };
    int r = getaddrinfo(*host ? host : NULL, colon + 1, &hints, ret_found);
    return r == 0 ? 0 : fail(ERR_CONFIG, "%s: %s", address, gai_strerror(r));
}

int http_start(const char *address, const struct http_page *pages, void *context,
               struct http **ret_http)
{
    struct addrinfo *found = NULL;
    assert(pages && ret_http);
    int r = load_library();
    if (r >= 0)
        r = resolve(address, &found);
    if (r < 0)
        return trace(r);
    _free_(http) struct http *http = calloc(1, sizeof(*http));
    if (http) {
        *http = (struct http){ .pages = pages, .context = context };
        unsigned flags = MHD_USE_INTERNAL_POLLING_THREAD |
                         (found->ai_family == AF_INET6 ? MHD_USE_IPv6 : 0);
        http->daemon = mhd.start_daemon(flags, 0, NULL, NULL, on_request, http,
                                        MHD_OPTION_SOCK_ADDR, found->ai_addr,
                                        MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS_MAX,
                                        MHD_OPTION_CONNECTION_TIMEOUT, TIMEOUT_S, MHD_OPTION_END);
    }
    int reason = errno;
    freeaddrinfo(found);
    if (!http)
        return fail(ERR_MEMORY, "no memory for HTTP");
    if (!http->daemon)
        return fail(ERR_CONFIG, "%s: cannot bind to it: %s", address, errno_text(reason));
    *ret_http = take(http);
    return 0;
}

void http_free(struct http *http)
{
    if (!http)
        return;
    if (http->daemon)
        mhd.stop_daemon(http->daemon);
    free(http);
}

int http_check(const char *address)
{
    struct addrinfo *found = NULL;
    int r = load_library();
    if (r == 0)
        r = resolve(address, &found);
    if (r == 0)
        freeaddrinfo(found);
    return trace(r);
}

const char *http_library_version(void)
{
    return load_library() == 0 ? mhd.get_version() : "not installed";
}
#endif
