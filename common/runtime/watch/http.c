/* Http: see http.h. */
#include "runtime/watch/http.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/result.h"
#include "runtime/watch/http_address.h"
#include "runtime/watch/http_server.h"
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define RETRY_MS 1000
#define STOP_S 2

struct http {
    const char *address;
    const struct http_page *pages;
    void *context;
    struct http_server *server;
    pthread_t thread;
    atomic_bool stopping, listening;
    int wake_fd;        /* eventfd: it stops */
    int64_t retry_ms;   /* monotonic: binds again */
    _Bool told_unbound; /* the log knows that it is not bound */
};

static void answer(void *context, const struct http_request *request)
{
    struct http *http = context;
    _deinit_(buf) struct buf body = { 0 };
    const char *type = "text/plain; charset=utf-8";
    int status = 404;
    for (const struct http_page *page = http->pages; page->path; page++)
        if (strcmp(page->path, request->path) == 0)
            status = page->write(http->context, &body, &type);
    if (buf_status(&body) < 0) {
        buf_clear(&body);
        status = 500;
    }
    http_server_answer(http->server, request->number, status, type, body.data ? body.data : "",
                       body.length);
}

/* ---- The thread ------------------------------------------------------------------------------ */

static void bind_again(struct http *http, int64_t now_ms)
{
    if (http_server_is_bound(http->server) || now_ms < http->retry_ms)
        return;
    int r = http_server_bind(http->server);
    if (r < 0) {
        http->retry_ms = now_ms + RETRY_MS;
        if (!http->told_unbound)
            log_warn("http_cannot_listen", LOG_TEXT("address", http->address),
                     LOG_TEXT("reason", failure_reason()));
    } else if (http->told_unbound) {
        log_info("http_listens", LOG_TEXT("address", http->address));
    }
    http->told_unbound = r < 0;
    atomic_store(&http->listening, r == 0);
}

/* When it looks again without being woken: within a second, in which it also may stop. */
static int timeout_ms(const struct http *http, int64_t now_ms)
{
    const int64_t server_ms = http_server_due_ms(http->server);
    int64_t due_ms = http_server_is_bound(http->server) ? now_ms + RETRY_MS : http->retry_ms;
    due_ms = server_ms < due_ms ? server_ms : due_ms;
    return due_ms > now_ms ? (int)(due_ms - now_ms) : 0;
}

static void *http_main(void *argument)
{
    struct http *http = argument;
    struct pollfd fds[1 + HTTP_FDS_MAX];
    while (!atomic_load(&http->stopping)) {
        const int64_t now_ms = clock_monotonic_ms();
        bind_again(http, now_ms);
        fds[0] = (struct pollfd){ .fd = http->wake_fd, .events = POLLIN };
        const int count = http_server_prepare(http->server, fds + 1, now_ms);
        if (poll(fds, (nfds_t)count + 1, timeout_ms(http, now_ms)) >= 0)
            http_server_step(http->server, fds + 1, count, clock_monotonic_ms());
    }
    return NULL;
}

/* ---- Starting and stopping ------------------------------------------------------------------- */

int http_start(const char *address, const struct http_page *pages, void *context,
               struct http **ret_http)
{
    assert(pages && ret_http);
    int r = http_check(address);
    if (r < 0)
        return trace(r);
    _free_memory_ struct http *http = calloc(1, sizeof(*http));
    const struct http_server_options options = {
        .address = address, .headers = "", .handler = answer, .context = http
    };
    _free_(http_server) struct http_server *server = http ? http_server_new(&options) : NULL;
    if (!server)
        return fail(ERR_MEMORY, "no memory for HTTP");
    http->address = address;
    http->pages = pages;
    http->context = context;
    http->server = server;
    http->wake_fd = eventfd(0, EFD_CLOEXEC); /* -1: it stops when it looks, within a second */
    if (http_address_is_numeric(address))
        bind_again(http, clock_monotonic_ms()); /* whoever started it may ask at once */
    if (pthread_create(&http->thread, NULL, http_main, http) == 0) {
        take(server);
        *ret_http = take(http);
        return 0;
    }
    close(http->wake_fd);
    return fail(ERR_MEMORY, "no thread for HTTP");
}

void http_free(struct http *http)
{
    uint64_t one = 1;
    if (!http)
        return;
    atomic_store(&http->stopping, 1);
    if (http->wake_fd >= 0 && write(http->wake_fd, &one, sizeof(one)) < 0)
        log_debug("http_wake_failed", LOG_TEXT("reason", errno_text(errno)));
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += STOP_S;
    if (pthread_timedjoin_np(http->thread, NULL, &until) != 0)
        return; /* it looks up a name: it ends with the process */
    http_server_free(http->server);
    if (http->wake_fd >= 0)
        close(http->wake_fd);
    free(http);
}

_Bool http_is_listening(const struct http *http)
{
    return http && atomic_load(&http->listening);
}

int64_t http_cut(const struct http *http)
{
    return http ? http_server_cut(http->server) : 0;
}
