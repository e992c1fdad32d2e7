/* Http server: see http_server.h. */
#include "runtime/watch/http_server.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/result.h"
#include "runtime/watch/http_address.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define DEADLINE_MS 5000
#define WAITING_MS 30000
#define STUCK_MS 15000
#define RETRY_MS 1000
#define ACCEPTS_MAX 16 /* before those that are there have their turn */
#define CONNECTIONS_MAX (HTTP_STREAMS_MAX + HTTP_OTHERS_MAX)

enum state { STATE_READING, STATE_WAITING, STATE_WRITING, STATE_ENDING, STATE_STREAMING };

/* What goes to many browsers is kept once. */
struct message {
    int references;
    size_t length;
    char data[];
};

struct connection {
    int fd;
    enum state state;
    int64_t number;
    uint64_t from;         /* the address of the other side */
    int64_t since_ms;      /* monotonic, as those below: it was taken */
    int64_t due_ms;        /* it goes; of a stream not used */
    int64_t stirred_ms;    /* a stream's: when it last took something, or had nothing to take */
    _Bool is_head, broken; /* broken: it goes when it has its next turn */
    struct message *out;   /* what is being sent; NULL: nothing */
    struct message *next;  /* of a stream: the newest that waits */
    size_t sent, length;
    char text[HTTP_HEAD_MAX + HTTP_BODY_MAX + 1];
};

struct http_server {
    struct http_server_options options;
    int listen_fd;       /* -1: not bound */
    int spare_fd;        /* given up to take a connection when there is no other descriptor */
    int64_t retry_ms;    /* takes connections again */
    _Bool told_no_place; /* the log knows that they cannot be taken */
    atomic_llong cut;
    struct connection *connections[CONNECTIONS_MAX];
    int count;
    int64_t numbers;
};

/* ---- Messages -------------------------------------------------------------------------------- */

static struct message *message_of(const char *head, size_t head_length, const char *data,
                                  size_t length)
{
    struct message *message = malloc(sizeof(*message) + head_length + length);
    if (!message)
        return NULL;
    message->references = 1;
    message->length = head_length + length;
    memcpy(message->data, head, head_length);
    memcpy(message->data + head_length, data, length);
    return message;
}

static void message_drop(struct message *message)
{
    if (message && --message->references == 0)
        free(message);
}

/* ---- One connection -------------------------------------------------------------------------- */

static void remove_connection(struct http_server *server, int i)
{
    assert(i >= 0 && i < server->count);
    struct connection *connection = server->connections[i];
    close(connection->fd);
    message_drop(connection->out);
    message_drop(connection->next);
    free(connection);
    server->connections[i] = server->connections[--server->count];
    if (server->spare_fd < 0)
        server->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* Not by its own fault or wish. */
static void cut_connection(struct http_server *server, int i)
{
    assert(i >= 0 && i < server->count);
    if (server->connections[i]->state != STATE_ENDING)
        atomic_fetch_add(&server->cut, 1);
    remove_connection(server, i);
}

static struct connection *find_connection(const struct http_server *server, int64_t number)
{
    for (int i = 0; i < server->count; i++)
        if (server->connections[i]->number == number)
            return server->connections[i];
    return NULL;
}

/* Each returns false when the connection is to go. */

static _Bool write_on(struct connection *connection, int64_t now_ms)
{
    while (connection->out) {
        struct message *out = connection->out;
        ssize_t sent = send(connection->fd, out->data + connection->sent,
                            out->length - connection->sent, MSG_NOSIGNAL);
        if (sent < 0)
            return errno == EAGAIN || errno == EINTR;
        connection->sent += (size_t)sent;
        connection->stirred_ms = now_ms;
        if (connection->sent < out->length)
            continue;
        message_drop(out);
        connection->out = connection->next;
        connection->next = NULL;
        connection->sent = 0;
    }
    if (connection->state != STATE_WRITING)
        return 1;
    connection->state = STATE_ENDING;
    return shutdown(connection->fd, SHUT_WR) == 0;
}

/* Or waits for it; without memory there is none. */
static _Bool has_its_answer(const struct connection *connection)
{
    return connection->state == STATE_WAITING || connection->out;
}

static _Bool read_on(struct http_server *server, struct connection *connection, int64_t now_ms)
{
    ssize_t count = recv(connection->fd, connection->text + connection->length,
                         sizeof(connection->text) - 1 - connection->length, 0);
    if (count < 0)
        return errno == EAGAIN || errno == EINTR;
    if (count == 0)
        return 0;
    connection->length += (size_t)count;
    struct http_request request;
    if (!http_request_read(connection->text, connection->length, server->options.hosts, &request))
        return connection->length < sizeof(connection->text) - 1;
    request.number = connection->number;
    connection->is_head = request.is_head;
    connection->state = STATE_WAITING;
    const int64_t due_ms = connection->due_ms;
    connection->due_ms = now_ms + WAITING_MS;
    if (request.status > 0)
        http_server_answer(server, request.number, request.status, "text/plain; charset=utf-8",
                           "refused\n", strlen("refused\n"));
    else
        server->options.handler(server->options.context, &request);
    if (connection->state != STATE_WAITING)
        connection->due_ms = due_ms; /* it is answered at once */
    return has_its_answer(connection);
}

/* The other side says no more that matters. */
static _Bool read_away(const struct connection *connection)
{
    char unwanted[4096];
    ssize_t count = recv(connection->fd, unwanted, sizeof(unwanted), 0);
    return count > 0 || (count < 0 && (errno == EAGAIN || errno == EINTR));
}

static _Bool step(struct http_server *server, struct connection *connection, short events,
                  int64_t now_ms)
{
    if (connection->state == STATE_READING)
        return read_on(server, connection, now_ms) && write_on(connection, now_ms);
    if (connection->state != STATE_WRITING && (events & (POLLIN | POLLHUP | POLLERR)) &&
        !read_away(connection))
        return 0;
    return write_on(connection, now_ms);
}

/* When it goes; INT64_MAX: not yet decided. */
static int64_t due_ms_of(const struct connection *connection)
{
    if (connection->broken)
        return 0;
    if (connection->state != STATE_STREAMING)
        return connection->due_ms;
    return connection->out ? connection->stirred_ms + STUCK_MS : INT64_MAX;
}

/* ---- Answers --------------------------------------------------------------------------------- */

/* Without memory there is none, and the connection goes. */
static void begin_message(struct connection *connection, const struct buf *head, const char *body,
                          size_t length)
{
    assert(!connection->out);
    connection->stirred_ms = clock_monotonic_ms();
    if (buf_status(head) == 0)
        /* lint: malloc-leak because the connection is in the server's list, by a pointer to it */
        connection->out = message_of(head->data, head->length, body, length);
}

void http_server_answer(struct http_server *server, int64_t number, int status,
                        const char *content_type, const char *body, size_t length)
{
    _deinit_(buf) struct buf head = { 0 };
    struct connection *connection = find_connection(server, number);
    if (!connection || connection->state != STATE_WAITING)
        return;
    http_answer_begin(status, content_type, (int64_t)length,
                      server->options.hosts ? "GET, HEAD, POST" : "GET, HEAD",
                      server->options.headers, &head);
    connection->state = STATE_WRITING;
    connection->due_ms = clock_monotonic_ms() + DEADLINE_MS;
    begin_message(connection, &head, body, connection->is_head ? 0 : length);
}

int http_server_streams(const struct http_server *server)
{
    int count = 0;
    for (int i = 0; i < server->count; i++)
        count += server->connections[i]->state == STATE_STREAMING;
    return count;
}

void http_server_stream(struct http_server *server, int64_t number, const char *event,
                        size_t length)
{
    static const char full[] = "too many look at this already\n";
    _deinit_(buf) struct buf head = { 0 };
    struct connection *connection = find_connection(server, number);
    assert(connection && connection->state == STATE_WAITING);
    if (http_server_streams(server) >= HTTP_STREAMS_MAX) {
        http_server_answer(server, number, 503, "text/plain; charset=utf-8", full,
                           sizeof(full) - 1);
        return;
    }
    http_answer_begin(200, "text/event-stream", -1, "", server->options.headers, &head);
    buf_put_text(&head, "retry: 500\n\n");
    connection->state = STATE_STREAMING;
    begin_message(connection, &head, event, length);
}

void http_server_push(struct http_server *server, const char *event, size_t length)
{
    struct message *message = message_of("", 0, event, length);
    int64_t now_ms = clock_monotonic_ms();
    if (!message)
        return;
    for (int i = 0; i < server->count; i++) {
        struct connection *connection = server->connections[i];
        if (connection->state != STATE_STREAMING || connection->broken)
            continue;
        struct message **place = connection->out ? &connection->next : &connection->out;
        message_drop(*place);
        *place = message;
        message->references++;
        if (place == &connection->out) {
            connection->sent = 0;
            connection->stirred_ms = now_ms;
        }
        connection->broken = !write_on(connection, now_ms);
    }
    message_drop(message);
}

/* ---- Taking connections ---------------------------------------------------------------------- */

static _Bool is_other(const struct connection *connection)
{
    return connection->state != STATE_STREAMING;
}

static int count_from(const struct http_server *server, uint64_t from)
{
    int count = 0;
    for (int i = 0; i < server->count; i++)
        count += is_other(server->connections[i]) && server->connections[i]->from == from;
    return count;
}

/* The address with the most of them. */
static uint64_t busiest(const struct http_server *server)
{
    uint64_t found = 0;
    for (int i = 0, most = 0; i < server->count; i++) {
        int count = count_from(server, server->connections[i]->from);
        found = count > most ? server->connections[i]->from : found;
        most = count > most ? count : most;
    }
    return found;
}

/* The oldest of this address goes; of all, when there is no room at all: of the busiest. No event
 * stream goes. */
static void make_room(struct http_server *server, uint64_t from)
{
    int oldest = -1;
    if (count_from(server, from) < HTTP_OF_ADDRESS_MAX) {
        if (server->count - http_server_streams(server) < HTTP_OTHERS_MAX)
            return;
        from = busiest(server);
    }
    for (int i = 0; i < server->count; i++) {
        const struct connection *connection = server->connections[i];
        if (is_other(connection) && connection->from == from &&
            (oldest < 0 || connection->since_ms < server->connections[oldest]->since_ms))
            oldest = i;
    }
    assert(oldest >= 0);
    cut_connection(server, oldest);
}

static void add_connection(struct http_server *server, int fd, uint64_t from, int64_t now_ms)
{
    make_room(server, from);
    struct connection *connection = malloc(sizeof(*connection));
    if (!connection) {
        close(fd);
        return;
    }
    *connection = (struct connection){ .fd = fd,
                                       .number = ++server->numbers,
                                       .from = from,
                                       .since_ms = now_ms,
                                       .due_ms = now_ms + DEADLINE_MS,
                                       .stirred_ms = now_ms };
    server->connections[server->count++] = connection;
    if (!step(server, connection, POLLIN, now_ms)) /* its request is mostly there already */
        remove_connection(server, server->count - 1);
}

/* Without a descriptor the spare one is given up, so that it can still be asked how it is. */
static int accept_one(struct http_server *server, uint64_t *ret_from)
{
    struct sockaddr_storage from = { 0 };
    for (int try = 0;; try++) {
        socklen_t size = sizeof(from);
        int fd = accept4(server->listen_fd, (struct sockaddr *)&from, &size,
                         SOCK_NONBLOCK | SOCK_CLOEXEC);
        *ret_from = http_address_key(&from);
        if (fd >= 0 || errno != EMFILE || try > 0 || server->spare_fd < 0)
            return fd;
        close(server->spare_fd);
        server->spare_fd = -1;
    }
}

static void take_connections(struct http_server *server, int64_t now_ms)
{
    uint64_t from;
    for (int i = 0; i < ACCEPTS_MAX; i++) {
        int fd = accept_one(server, &from);
        if (fd >= 0) {
            add_connection(server, fd, from, now_ms);
            server->told_no_place = 0;
            continue;
        }
        if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)
            return;
        if (!server->told_no_place)
            log_warn("http_takes_no_connection", LOG_TEXT("address", server->options.address),
                     LOG_TEXT("reason", errno_text(errno)));
        server->told_no_place = 1;
        server->retry_ms = now_ms + RETRY_MS;
        return;
    }
}

/* ---- The whole ------------------------------------------------------------------------------- */

struct http_server *http_server_new(const struct http_server_options *options)
{
    assert(options->address && options->headers && options->handler);
    struct http_server *server = calloc(1, sizeof(*server));
    if (!server)
        return NULL;
    server->options = *options;
    server->listen_fd = -1;
    server->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return server;
}

int http_server_bind(struct http_server *server)
{
    return server->listen_fd >= 0
               ? 0
               : trace(http_address_listen(server->options.address, &server->listen_fd));
}

_Bool http_server_is_bound(const struct http_server *server)
{
    return server->listen_fd >= 0;
}

int64_t http_server_cut(const struct http_server *server)
{
    return atomic_load(&server->cut);
}

void http_server_free(struct http_server *server)
{
    if (!server)
        return;
    while (server->count > 0)
        remove_connection(server, server->count - 1);
    if (server->listen_fd >= 0)
        close(server->listen_fd);
    if (server->spare_fd >= 0)
        close(server->spare_fd);
    free(server);
}

int http_server_prepare(const struct http_server *server, struct pollfd fds[HTTP_FDS_MAX],
                        int64_t now_ms)
{
    fds[0] = (struct pollfd){ .fd = server->retry_ms > now_ms ? -1 : server->listen_fd,
                              .events = POLLIN };
    for (int i = 0; i < server->count; i++) {
        const struct connection *connection = server->connections[i];
        fds[1 + i] = (struct pollfd){ .fd = connection->fd };
        if (connection->state != STATE_WRITING)
            fds[1 + i].events |= POLLIN;
        if (connection->out)
            fds[1 + i].events |= POLLOUT;
    }
    return 1 + server->count;
}

void http_server_step(struct http_server *server, const struct pollfd *fds, int count,
                      int64_t now_ms)
{
    assert(count >= 1);
    /* backwards: the last takes the place of one that goes */
    for (int i = count - 2; i >= 0; i--) {
        assert(i < server->count);
        struct connection *connection = server->connections[i];
        const short events = fds[1 + i].revents;
        if (events && !step(server, connection, events, now_ms))
            remove_connection(server, i);
        else if (due_ms_of(connection) <= now_ms)
            cut_connection(server, i);
    }
    if (fds[0].revents)
        take_connections(server, now_ms);
}

int64_t http_server_due_ms(const struct http_server *server)
{
    int64_t due_ms = server->listen_fd >= 0 && server->told_no_place ? server->retry_ms : INT64_MAX;
    for (int i = 0; i < server->count; i++) {
        const int64_t one_ms = due_ms_of(server->connections[i]);
        due_ms = one_ms < due_ms ? one_ms : due_ms;
    }
    return due_ms;
}
