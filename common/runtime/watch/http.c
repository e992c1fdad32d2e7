/* Http: see http.h.
 *
 *   reading ── head is whole ──► writing ── answer is sent ──► ending ── the other ends ──► gone
 *      └──────────────────────────┴─ 5 s are over, or room is wanted ──────┴──────────────► gone
 *
 * `ending` reads on what nobody wants, such as a body: a connection that is closed before has its
 * answer thrown away on the other side. */
#include "runtime/watch/http.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/result.h"
#include "runtime/watch/http_address.h"
#include "runtime/watch/http_request.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CONNECTIONS_MAX 32
#define OF_ADDRESS_MAX 16
#define DEADLINE_MS 5000
#define RETRY_MS 1000
#define STOP_S 2
#define ACCEPTS_MAX 16 /* before those that are there have their turn */

enum connection_state { CONNECTION_READING, CONNECTION_WRITING, CONNECTION_ENDING };

struct connection {
    int fd;
    enum connection_state state;
    uint64_t from;    /* the address of the other side */
    int64_t since_ms; /* monotonic */
    char head[HTTP_HEAD_MAX];
    size_t head_length;
    struct buf answer;
    size_t sent;
};

struct http {
    const char *address;
    const struct http_page *pages;
    void *context;
    pthread_t thread;
    atomic_bool stopping, listening;
    atomic_llong cut;
    int wake_fd;         /* eventfd: it stops */
    int listen_fd;       /* -1: not bound */
    int spare_fd;        /* given up to take a connection when there is no other descriptor */
    int64_t retry_ms;    /* monotonic: binds, or takes connections, again */
    _Bool told_unbound;  /* the log knows that it is not bound */
    _Bool told_no_place; /* the log knows that connections cannot be taken */
    struct connection *connections[CONNECTIONS_MAX]; /* the first `count` */
    int count;
};

/* ---- One connection -------------------------------------------------------------------------- */

static void remove_connection(struct http *http, int i)
{
    assert(i >= 0 && i < http->count);
    struct connection *connection = http->connections[i];
    close(connection->fd);
    buf_deinit(&connection->answer);
    free(connection);
    http->connections[i] = http->connections[--http->count];
    if (http->spare_fd < 0)
        http->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* Not by its own fault or wish. */
static void cut_connection(struct http *http, int i)
{
    assert(i >= 0 && i < http->count);
    if (http->connections[i]->state != CONNECTION_ENDING)
        atomic_fetch_add(&http->cut, 1);
    remove_connection(http, i);
}

static void make_answer(struct http *http, struct connection *connection,
                        const struct http_request *request)
{
    _deinit_(buf) struct buf body = { 0 };
    const char *type = "text/plain; charset=utf-8";
    int status = request->status ? request->status : 404;
    for (const struct http_page *page = http->pages; !request->status && page->path; page++)
        if (strlen(page->path) == request->path_length &&
            memcmp(page->path, request->path, request->path_length) == 0)
            status = page->write(http->context, &body, &type);
    if (buf_status(&body) < 0) {
        buf_clear(&body);
        status = 500;
    }
    http_answer_write(request, status, type, &body, &connection->answer);
}

/* Each returns false when the connection is to go. */

static _Bool write_on(struct connection *connection)
{
    struct buf *answer = &connection->answer;
    while (connection->sent < answer->length) {
        ssize_t sent = send(connection->fd, answer->data + connection->sent,
                            answer->length - connection->sent, MSG_NOSIGNAL);
        if (sent < 0)
            return errno == EAGAIN || errno == EINTR;
        connection->sent += (size_t)sent;
    }
    connection->state = CONNECTION_ENDING;
    return shutdown(connection->fd, SHUT_WR) == 0;
}

static _Bool read_on(struct http *http, struct connection *connection)
{
    char *place = connection->head + connection->head_length;
    ssize_t count = recv(connection->fd, place, HTTP_HEAD_MAX - connection->head_length, 0);
    if (count < 0)
        return errno == EAGAIN || errno == EINTR;
    if (count == 0)
        return 0;
    connection->head_length += (size_t)count;
    struct http_request request;
    if (!http_request_read(connection->head, connection->head_length, &request))
        return 1;
    make_answer(http, connection, &request);
    if (buf_status(&connection->answer) < 0)
        return 0;
    connection->state = CONNECTION_WRITING;
    return write_on(connection);
}

static _Bool read_away(const struct connection *connection)
{
    char unwanted[4096];
    ssize_t count = recv(connection->fd, unwanted, sizeof(unwanted), 0);
    return count > 0 || (count < 0 && (errno == EAGAIN || errno == EINTR));
}

static _Bool step(struct http *http, struct connection *connection)
{
    switch (connection->state) {
    case CONNECTION_READING: return read_on(http, connection);
    case CONNECTION_WRITING: return write_on(connection);
    case CONNECTION_ENDING:  return read_away(connection);
    }
    return 0;
}

/* ---- Taking connections ---------------------------------------------------------------------- */

static int count_from(const struct http *http, uint64_t from)
{
    int count = 0;
    for (int i = 0; i < http->count; i++)
        count += http->connections[i]->from == from;
    return count;
}

/* The oldest of this address; of all, when there is no room at all: of the address with most. */
static void make_room(struct http *http, uint64_t from)
{
    int oldest = 0;
    if (count_from(http, from) < OF_ADDRESS_MAX) {
        if (http->count < CONNECTIONS_MAX)
            return;
        for (int i = 0, most = 0; i < http->count; i++) {
            int count = count_from(http, http->connections[i]->from);
            from = count > most ? http->connections[i]->from : from;
            most = count > most ? count : most;
        }
    }
    for (int i = 0; i < http->count; i++)
        if (http->connections[i]->from == from &&
            (http->connections[oldest]->from != from ||
             http->connections[i]->since_ms < http->connections[oldest]->since_ms))
            oldest = i;
    cut_connection(http, oldest);
}

static void add_connection(struct http *http, int fd, uint64_t from, int64_t now_ms)
{
    struct connection *connection = NULL;
    make_room(http, from);
    connection = malloc(sizeof(*connection));
    if (!connection) {
        close(fd);
        return;
    }
    connection->fd = fd;
    connection->state = CONNECTION_READING;
    connection->from = from;
    connection->since_ms = now_ms;
    connection->head_length = connection->sent = 0;
    buf_init(&connection->answer);
    http->connections[http->count++] = connection;
    if (!step(http, connection)) /* its request is mostly there already */
        remove_connection(http, http->count - 1);
}

/* Without a descriptor the spare one is given up, so that it can still be asked how it is. */
static int accept_one(struct http *http, uint64_t *ret_from)
{
    struct sockaddr_storage from = { 0 };
    for (int try = 0;; try++) {
        socklen_t size = sizeof(from);
        int fd = accept4(http->listen_fd, (struct sockaddr *)&from, &size,
                         SOCK_NONBLOCK | SOCK_CLOEXEC);
        *ret_from = http_address_key(&from);
        if (fd >= 0 || errno != EMFILE || try > 0 || http->spare_fd < 0)
            return fd;
        close(http->spare_fd);
        http->spare_fd = -1;
    }
}

static void take_connections(struct http *http, int64_t now_ms)
{
    uint64_t from;
    for (int i = 0; i < ACCEPTS_MAX; i++) {
        int fd = accept_one(http, &from);
        if (fd >= 0) {
            add_connection(http, fd, from, now_ms);
            http->told_no_place = 0;
            continue;
        }
        if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)
            return;
        if (!http->told_no_place)
            log_warn("http_takes_no_connection", LOG_TEXT("address", http->address),
                     LOG_TEXT("reason", errno_text(errno)));
        http->told_no_place = 1;
        http->retry_ms = now_ms + RETRY_MS;
        return;
    }
}

/* ---- The thread ------------------------------------------------------------------------------ */

static void bind_again(struct http *http, int64_t now_ms)
{
    if (http->listen_fd >= 0 || now_ms < http->retry_ms)
        return;
    int r = http_address_listen(http->address, &http->listen_fd);
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

/* When it looks again without being woken. */
static int timeout_ms(const struct http *http, int64_t now_ms)
{
    int64_t due_ms = http->listen_fd < 0 || http->retry_ms > now_ms ? http->retry_ms
                                                                    : now_ms + RETRY_MS;
    for (int i = 0; i < http->count; i++)
        if (http->connections[i]->since_ms + DEADLINE_MS < due_ms)
            due_ms = http->connections[i]->since_ms + DEADLINE_MS;
    return due_ms > now_ms ? (int)(due_ms - now_ms) : 0;
}

/* fds: wake, listen, and one for each connection. */
static void wait_for_something(const struct http *http, struct pollfd *fds, int64_t now_ms)
{
    fds[0] = (struct pollfd){ .fd = http->wake_fd, .events = POLLIN };
    fds[1] = (struct pollfd){ .fd = http->retry_ms > now_ms ? -1 : http->listen_fd,
                              .events = POLLIN };
    for (int i = 0; i < http->count; i++)
        fds[2 + i] = (struct pollfd){
            .fd = http->connections[i]->fd,
            .events = http->connections[i]->state == CONNECTION_WRITING ? POLLOUT : POLLIN,
        };
    if (poll(fds, (nfds_t)http->count + 2, timeout_ms(http, now_ms)) < 0)
        memset(fds, 0, sizeof(*fds) * ((size_t)http->count + 2));
}

static void *http_main(void *argument)
{
    struct http *http = argument;
    struct pollfd fds[2 + CONNECTIONS_MAX];
    while (!atomic_load(&http->stopping)) {
        int64_t now_ms = clock_monotonic_ms();
        bind_again(http, now_ms);
        wait_for_something(http, fds, now_ms);
        now_ms = clock_monotonic_ms();
        /* backwards: the last takes the place of one that goes */
        for (int i = http->count - 1; i >= 0; i--)
            if (fds[2 + i].revents && !step(http, http->connections[i]))
                remove_connection(http, i);
            else if (now_ms - http->connections[i]->since_ms >= DEADLINE_MS)
                cut_connection(http, i);
        if (fds[1].revents)
            take_connections(http, now_ms);
    }
    return NULL;
}

int http_start(const char *address, const struct http_page *pages, void *context,
               struct http **ret_http)
{
    assert(pages && ret_http);
    int r = http_check(address);
    if (r < 0)
        return trace(r);
    struct http *http = calloc(1, sizeof(*http));
    if (!http)
        return fail(ERR_MEMORY, "no memory for HTTP");
    http->address = address;
    http->pages = pages;
    http->context = context;
    http->listen_fd = -1;
    http->wake_fd = eventfd(0, EFD_CLOEXEC); /* -1: it stops when it looks, within a second */
    http->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (http_address_is_numeric(address))
        bind_again(http, clock_monotonic_ms()); /* whoever started it may ask at once */
    if (pthread_create(&http->thread, NULL, http_main, http) == 0) {
        *ret_http = http;
        return 0;
    }
    close(http->listen_fd);
    close(http->wake_fd);
    close(http->spare_fd);
    free(http);
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
    while (http->count > 0)
        remove_connection(http, http->count - 1);
    if (http->listen_fd >= 0)
        close(http->listen_fd);
    if (http->wake_fd >= 0)
        close(http->wake_fd);
    if (http->spare_fd >= 0)
        close(http->spare_fd);
    free(http);
}

_Bool http_is_listening(const struct http *http)
{
    return http && atomic_load(&http->listening);
}

int64_t http_cut(const struct http *http)
{
    return http ? atomic_load(&http->cut) : 0;
}
