/* Wire: see wire.h. */
#include "wire.h"
#include "base/result.h"
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUFFER_SIZE ((size_t)4 << 20)
#define READ_ROOM ((size_t)256 << 10) /* free space before a read, at least */
#define LINE_SIZE 4096

static const char hello[] =
    "CONNECT "
    "{\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true,\"lang\":\"c\","
    "\"version\":\"1\",\"name\":\"bench\"}\r\n";

static int connect_to(const char *host, const char *port)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *found = NULL;
    int one = 1, fd = -1;
    if (getaddrinfo(host, port, &hints, &found) != 0)
        return -1;
    for (struct addrinfo *at = found; at && fd < 0; at = at->ai_next) {
        fd = socket(at->ai_family, at->ai_socktype, 0);
        if (fd >= 0 && connect(fd, at->ai_addr, at->ai_addrlen) != 0) {
            close(fd);
            fd = -1;
        }
    }
    freeaddrinfo(found);
    if (fd >= 0)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    return fd;
}

int wire_open(struct wire *wire, const char *url)
{
    char host[256], port[16] = "4222";
    *wire = (struct wire){ .socket = -1 };
    if (sscanf(url, "nats://%255[^:/]:%15[0-9]", host, port) < 1)
        return fail(ERR_CONFIG, "%s is not nats://host:port", url);
    wire->socket = connect_to(host, port);
    if (wire->socket < 0)
        return fail(ERR_NETWORK, "no server listens at %s", url);
    wire->in = malloc(BUFFER_SIZE);
    wire->out = malloc(BUFFER_SIZE);
    if (!wire->in || !wire->out) {
        wire_close(wire);
        return fail(ERR_MEMORY, "no memory for a connection");
    }
    int r = wire_put(wire, hello, sizeof(hello) - 1);
    return r < 0 ? trace(r) : trace(wire_settle(wire));
}

void wire_close(struct wire *wire)
{
    if (wire->socket >= 0)
        close(wire->socket);
    free(wire->in);
    free(wire->out);
    *wire = (struct wire){ .socket = -1 };
}

int wire_put(struct wire *wire, const void *data, size_t length)
{
    if (length > BUFFER_SIZE - wire->out_length)
        return fail(ERR_MEMORY, "more than %zu bytes wait to be written", BUFFER_SIZE);
    memcpy(wire->out + wire->out_length, data, length);
    wire->out_length += length;
    return 0;
}

int wire_flush(struct wire *wire)
{
    size_t done = 0;
    while (done < wire->out_length) {
        ssize_t written = send(wire->socket, wire->out + done, wire->out_length - done,
                               MSG_NOSIGNAL);
        if (written < 0 && errno != EINTR)
            return fail(ERR_NETWORK, "write: %s", strerror(errno));
        done += written > 0 ? (size_t)written : 0;
    }
    wire->out_length = 0;
    return 0;
}

static int wait_for_input(const struct wire *wire, int64_t timeout_ns)
{
    struct pollfd fd = { .fd = wire->socket, .events = POLLIN };
    struct timespec timeout = { .tv_sec = timeout_ns / 1000000000,
                                .tv_nsec = timeout_ns % 1000000000 };
    int r = ppoll(&fd, 1, &timeout, NULL);
    return r < 0 && errno == EINTR ? 0 : r;
}

int wire_read(struct wire *wire, int64_t timeout_ns)
{
    if (wire->in_begin == wire->in_end)
        wire->in_begin = wire->in_end = 0;
    if (BUFFER_SIZE - wire->in_end < READ_ROOM) {
        memmove(wire->in, wire->in + wire->in_begin, wire->in_end - wire->in_begin);
        wire->in_end -= wire->in_begin;
        wire->in_begin = 0;
    }
    if (wire->in_end == BUFFER_SIZE)
        return fail(ERR_NETWORK, "a message of more than %zu bytes", BUFFER_SIZE);
    if (timeout_ns >= 0 && wait_for_input(wire, timeout_ns) == 0)
        return 0;
    ssize_t got = recv(wire->socket, wire->in + wire->in_end, BUFFER_SIZE - wire->in_end, 0);
    if (got < 0 && errno == EINTR)
        return 0;
    if (got <= 0)
        return fail(ERR_NETWORK, "the server has closed the connection");
    wire->in_end += (size_t)got;
    return 1;
}

/* Parses "MSG subject sid [reply] size" or "HMSG subject sid [reply] headers size" at the beginning
 * of the buffer; line_length is without the line end. 1: complete; 0: not yet. */
static int take_message(struct wire *wire, const char *line, size_t line_length,
                        struct wire_message *ret_message)
{
    const _Bool with_headers = line[0] == 'H';
    const char *subject = line + (with_headers ? 5 : 4), *end = line + line_length, *at = end;
    size_t length = 0, headers_length = 0, scale = 1;
    for (; at[-1] >= '0' && at[-1] <= '9'; at--, scale *= 10)
        length += (size_t)(at[-1] - '0') * scale;
    if (with_headers)
        for (at--, scale = 1; at[-1] >= '0' && at[-1] <= '9'; at--, scale *= 10)
            headers_length += (size_t)(at[-1] - '0') * scale;
    const char *payload = end + 2, *space = memchr(subject, ' ', line_length);
    if (payload + length + 2 > wire->in + wire->in_end)
        return 0;
    *ret_message = (struct wire_message){
        .subject = subject,
        .subject_length = (size_t)(space - subject),
        .headers = payload,
        .headers_length = headers_length,
        .data = payload + headers_length,
        .length = length - headers_length,
    };
    wire->in_begin = (size_t)(payload - wire->in) + length + 2;
    return 1;
}

int wire_next(struct wire *wire, struct wire_message *ret_message)
{
    while (wire->in_begin < wire->in_end) {
        const char *line = wire->in + wire->in_begin,
                   *end = memchr(line, '\n', wire->in_end - wire->in_begin);
        if (!end)
            return 0;
        size_t length = (size_t)(end - line) - 1;
        if (*line == 'M' || *line == 'H')
            return take_message(wire, line, length, ret_message);
        if (*line == '-')
            return fail(ERR_NETWORK, "%.*s", (int)length, line);
        if (*line == 'P' && line[1] == 'I' && wire_put(wire, "PONG\r\n", 6) < 0)
            return -ERR_MEMORY;
        wire->in_begin += length + 2;
        if (*line == 'P' && line[1] == 'O') {
            *ret_message = (struct wire_message){ .subject = "PONG", .subject_length = 4 };
            return 1;
        }
    }
    return 0;
}

int wire_settle(struct wire *wire)
{
    struct wire_message message;
    int r = wire_put(wire, "PING\r\n", 6);
    if (r == 0)
        r = wire_flush(wire);
    while (r >= 0) {
        r = wire_next(wire, &message);
        if (r > 0 && message.subject_length == 4 && memcmp(message.subject, "PONG", 4) == 0)
            return 0;
        if (r == 0)
            r = wire_read(wire, -1);
    }
    return trace(r);
}
