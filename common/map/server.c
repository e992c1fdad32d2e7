/* Server: see server.h. */
#include "map/server.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/result.h"
#include "runtime/watch/http_address.h"
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define DEADLINE_MS 5000
#define WAITING_MS 30000
#define STUCK_MS 15000
#define ACCEPTS_MAX 16
#define CONNECTIONS_MAX (SERVER_STREAMS_MAX + SERVER_OTHERS_MAX)

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
    int64_t since_ms;      /* of this connection */
    int64_t stirred_ms;    /* a stream's: when it last took something, or had nothing to take */
    _Bool is_head, broken; /* broken: it goes when it has its next turn */
    struct message *out;   /* what is being sent; NULL: nothing */
    struct message *next;  /* of a stream: the newest that waits */
    size_t sent, length;
    char text[REQUEST_HEAD_MAX + REQUEST_BODY_MAX + 1];
};

struct server {
    struct server_options options;
    int listen_fd;
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

static void remove_connection(struct server *server, int i)
{
    assert(i >= 0 && i < server->count);
    struct connection *connection = server->connections[i];
    close(connection->fd);
    message_drop(connection->out);
    message_drop(connection->next);
    free(connection);
    server->connections[i] = server->connections[--server->count];
}

static struct connection *find_connection(const struct server *server, int64_t number)
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

static _Bool read_on(struct server *server, struct connection *connection)
{
    ssize_t count = recv(connection->fd, connection->text + connection->length,
                         sizeof(connection->text) - 1 - connection->length, 0);
    if (count < 0)
        return errno == EAGAIN || errno == EINTR;
    if (count == 0)
        return 0;
    connection->length += (size_t)count;
    struct request request;
    if (!request_read(connection->text, connection->length, server->options.hosts, &request))
        return connection->length < sizeof(connection->text) - 1;
    request.number = connection->number;
    connection->is_head = request.is_head;
    connection->state = STATE_WAITING;
    if (request.status > 0)
        server_answer(server, request.number, request.status, "text/plain; charset=utf-8",
                      "refused\n", strlen("refused\n"));
    else
        server->options.handler(server->options.context, &request);
    return has_its_answer(connection);
}

/* The other side says no more that matters. */
static _Bool read_away(const struct connection *connection)
{
    char unwanted[4096];
    ssize_t count = recv(connection->fd, unwanted, sizeof(unwanted), 0);
    return count > 0 || (count < 0 && (errno == EAGAIN || errno == EINTR));
}

static _Bool step(struct server *server, struct connection *connection, short events,
                  int64_t now_ms)
{
    if (connection->state == STATE_READING)
        return read_on(server, connection) && write_on(connection, now_ms);
    if ((events & (POLLIN | POLLHUP | POLLERR)) && !read_away(connection))
        return 0;
    return write_on(connection, now_ms);
}

static _Bool is_late(const struct connection *connection, int64_t now_ms)
{
    if (connection->broken)
        return 1;
    switch (connection->state) {
    case STATE_STREAMING: return connection->out && now_ms - connection->stirred_ms > STUCK_MS;
    case STATE_WAITING:   return now_ms - connection->since_ms > WAITING_MS;
    case STATE_WRITING:   return now_ms - connection->stirred_ms > DEADLINE_MS;
    case STATE_READING:
    case STATE_ENDING:    break;
    }
    return now_ms - connection->since_ms > WAITING_MS + DEADLINE_MS ||
           (connection->state == STATE_READING && now_ms - connection->since_ms > DEADLINE_MS);
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

void server_answer(struct server *server, int64_t number, int status, const char *content_type,
                   const char *body, size_t length)
{
    _deinit_(buf) struct buf head = { 0 };
    struct connection *connection = find_connection(server, number);
    if (!connection || connection->state != STATE_WAITING)
        return;
    request_put_head(status, content_type, (int64_t)length, &head);
    connection->state = STATE_WRITING;
    begin_message(connection, &head, body, connection->is_head ? 0 : length);
}

int server_streams(const struct server *server)
{
    int count = 0;
    for (int i = 0; i < server->count; i++)
        count += server->connections[i]->state == STATE_STREAMING;
    return count;
}

void server_stream(struct server *server, int64_t number, const char *event, size_t length)
{
    static const char full[] = "too many browsers look at this map\n";
    _deinit_(buf) struct buf head = { 0 };
    struct connection *connection = find_connection(server, number);
    assert(connection && connection->state == STATE_WAITING);
    if (server_streams(server) >= SERVER_STREAMS_MAX) {
        server_answer(server, number, 503, "text/plain; charset=utf-8", full, sizeof(full) - 1);
        return;
    }
    request_put_head(200, "text/event-stream", -1, &head);
    buf_put_text(&head, "retry: 500\n\n");
    connection->state = STATE_STREAMING;
    begin_message(connection, &head, event, length);
}

void server_push(struct server *server, const char *event, size_t length)
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

/* The oldest that is no stream goes. */
static void make_room(struct server *server)
{
    int oldest = -1, others = 0;
    for (int i = 0; i < server->count; i++) {
        if (server->connections[i]->state == STATE_STREAMING)
            continue;
        others++;
        if (oldest < 0 || server->connections[i]->since_ms < server->connections[oldest]->since_ms)
            oldest = i;
    }
    if (others >= SERVER_OTHERS_MAX)
        remove_connection(server, oldest);
}

static void take_connections(struct server *server, int64_t now_ms)
{
    for (int i = 0; i < ACCEPTS_MAX; i++) {
        struct sockaddr_storage from;
        socklen_t size = sizeof(from);
        int fd = accept4(server->listen_fd, (struct sockaddr *)&from, &size,
                         SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0)
            return;
        make_room(server);
        struct connection *connection = malloc(sizeof(*connection));
        if (!connection) {
            close(fd);
            return;
        }
        *connection = (struct connection){
            .fd = fd, .number = ++server->numbers, .since_ms = now_ms, .stirred_ms = now_ms
        };
        server->connections[server->count++] = connection;
    }
}

int server_open(const struct server_options *options, struct server **ret_server)
{
    _free_(server) struct server *server = calloc(1, sizeof(*server));
    if (!server)
        return fail(ERR_MEMORY, "no memory for the page's server");
    server->options = *options;
    server->listen_fd = -1;
    int r = http_address_listen(options->address, &server->listen_fd);
    if (r == 0)
        *ret_server = take(server);
    return trace(r);
}

void server_free(struct server *server)
{
    if (!server)
        return;
    while (server->count > 0)
        remove_connection(server, server->count - 1);
    if (server->listen_fd >= 0)
        close(server->listen_fd);
    free(server);
}

int server_prepare(struct server *server, struct pollfd fds[SERVER_FDS_MAX])
{
    fds[0] = (struct pollfd){ .fd = server->listen_fd, .events = POLLIN };
    for (int i = 0; i < server->count; i++) {
        const struct connection *connection = server->connections[i];
        fds[1 + i] = (struct pollfd){ .fd = connection->fd,
                                      .events = connection->out ? POLLIN | POLLOUT : POLLIN };
    }
    return 1 + server->count;
}

void server_step(struct server *server, const struct pollfd *fds, int count, int64_t now_ms)
{
    assert(count >= 1);
    /* backwards: the last takes the place of one that goes */
    for (int i = count - 2; i >= 0; i--) {
        assert(i < server->count);
        struct connection *connection = server->connections[i];
        short events = fds[1 + i].revents;
        if ((events && !step(server, connection, events, now_ms)) || is_late(connection, now_ms))
            remove_connection(server, i);
    }
    if (fds[0].revents)
        take_connections(server, now_ms);
}
