/* Caller: sends requests to other services without a waiting thread, as many at a time as there are
 * orders in flight. For the architectures in which a service needs another service's answer before
 * its own.
 *
 * The retries are what careful teams write: a timeout of 2 s; a pause of 100 ms after the first "no
 * responders" or `busy`, 300 ms after the next; at most three tries, of which two may time out. All
 * tries have the same idempotency key, so a repeated request has one effect. */
#pragma once
#include "bus/bus.h"

#define CALLER_TIMEOUT_MS 2000
#define CALLER_TRIES_MAX 3
#define CALLER_TIMEOUTS_MAX 2
#define CALLER_OPEN_MAX 32768 /* requests in flight; beyond that CALLER_BUSY at once */

enum caller_outcome {
    CALLER_ANSWERED,    /* message: the reply, which is no error */
    CALLER_REFUSED,     /* message: a refusal that a retry would not change */
    CALLER_TIMEOUT,     /* unknown: the request may have taken effect */
    CALLER_UNREACHABLE, /* no responders, or busy: the request has not taken effect */
    CALLER_BUSY,        /* too many requests in flight here */
};

/* Called exactly once for each request, on a delivery thread or on the caller's thread, without a
 * lock, so it may send the next request. The caller owns the message, which is NULL except for
 * ANSWERED and REFUSED. */
typedef void (*caller_done)(void *context, enum caller_outcome outcome,
                            struct bus_message *message);

struct caller; /* opaque */

int caller_open(struct bus *bus, struct caller **ret_caller); /* 0; -ERR_MEMORY, -ERR_NETWORK */
void caller_free(struct caller *caller); /* drops requests in flight; before the bus is freed */

/* Sends a request. key NULL: without a key. All arguments are copied. Any thread. */
void caller_ask(struct caller *caller, const char *subject, const char *key, const void *body,
                size_t length, caller_done done, void *context);

/* The server for a connection beside the runtime's: --server of the arguments, else NATS_URL. */
const char *caller_server(int argc, char **argv);

/* Opens a connection of this name, which retries while the server is away. 0 or < 0. */
int caller_connect(const char *url, const char *name, struct bus **ret_bus);
