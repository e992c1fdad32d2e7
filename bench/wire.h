/* Wire: as much of NATS' client protocol as a load generator needs, on one socket and one thread.
 * It shares the machine with what it measures, so it costs little: what was put goes out by one
 * write, what has come is read in pieces of many messages, and nothing is allocated or copied for a
 * message. No TLS, no login. */
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

/* Waits until the server has seen everything that was put before: a subscription, above all. */
int wire_settle(struct wire *wire);

/* Appends to what the next wire_flush writes. -ERR_MEMORY: more than a few MiB wait. */
int wire_put(struct wire *wire, const void *data, size_t length);
int wire_flush(struct wire *wire);

/* Reads what is there, after waiting for it no longer than timeout_ns (< 0: for ever). 1: something
 * came, 0: nothing did,
 * -ERR_NETWORK: the connection is gone. */
int wire_read(struct wire *wire, int64_t timeout_ns);

/* The next of the messages that were read: 1, 0: none is complete, -ERR_NETWORK: the server
 * complains. */
int wire_next(struct wire *wire, struct wire_message *ret_message);
