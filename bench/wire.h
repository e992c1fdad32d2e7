/* Wire: the part of NATS' client protocol that a load generator needs, on one socket and one
 * thread. The load shares the machine with the services, so it must cost little: one write sends
 * all messages that were put, one read takes many messages, and no message is allocated or copied.
 * No TLS, no login. */
#pragma once
#include <stddef.h>
#include <stdint.h>

struct wire {
    int socket;
    char *in, *out;
    size_t in_begin, in_end, out_length;
};

struct wire_message {                     /* borrowed from the wire until the next wire_read */
    const char *subject, *headers, *data; /* not terminated by a NUL */
    size_t subject_length, headers_length, length;
};

/* Connects to "nats://host:port". 0, -ERR_CONFIG, -ERR_NETWORK, -ERR_MEMORY. */
int wire_open(struct wire *wire, const char *url);
void wire_close(struct wire *wire);

/* Waits until the server has handled everything that was put before, such as a subscription. */
int wire_settle(struct wire *wire);

/* Appends to the data of the next wire_flush. -ERR_MEMORY: more than a few MiB wait. */
int wire_put(struct wire *wire, const void *data, size_t length);
int wire_flush(struct wire *wire);

/* Reads what has arrived, after a wait of at most timeout_ns (< 0: for ever). 1: data, 0: a
 * timeout, -ERR_NETWORK: the connection is closed. */
int wire_read(struct wire *wire, int64_t timeout_ns);

/* Takes the next message out of the buffer. 1: a message, 0: none is complete, -ERR_NETWORK: the
 * server sent an error. */
int wire_next(struct wire *wire, struct wire_message *ret_message);
