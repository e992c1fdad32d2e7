/* Caller: asks other services without waiting for them: as many requests under way as there are
 * orders, and no thread blocked by any. For the ways of cutting a shop in which a service needs
 * another's answer before it can give its own.
 *
 * How long it tries is what such teams write: 2 s for an answer; 100 ms after "nobody is there" or
 * "busy", then
 * 300 ms after the next; at most three tries, of which two may run into the time-out. Each try has
 * the same idempotency key, so that it may be one too many.
 */
#pragma once
#include "bus/bus.h"

#define CALLER_TIMEOUT_MS 2000
#define CALLER_TRIES_MAX 3
#define CALLER_TIMEOUTS_MAX 2
#define CALLER_OPEN_MAX 32768 /* under way at a time; beyond that CALLER_BUSY at once */

enum caller_outcome {
    CALLER_ANSWERED,    /* message: the reply, which is no error */
    CALLER_REFUSED,     /* message: an error reply that another try would not change */
    CALLER_TIMEOUT,     /* it may have happened or not */
    CALLER_UNREACHABLE, /* nobody there, or too busy: it has not happened */
    CALLER_BUSY,        /* too many are under way here */
};

/* On a delivery thread or the caller's own; no lock is held, so it may ask the next. The message
 * stays the caller's; NULL but for ANSWERED and REFUSED. Called exactly once for each question. */
typedef void (*caller_done)(void *context, enum caller_outcome outcome,
                            struct bus_message *message);

struct caller; /* opaque */

int caller_open(struct bus *bus, struct caller **ret_caller); /* 0; -ERR_MEMORY, -ERR_NETWORK */
void caller_free(struct caller *caller); /* those under way are forgotten; before the bus */

/* key NULL: none. What is given is copied. Any thread. */
void caller_ask(struct caller *caller, const char *subject, const char *key, const void *body,
                size_t length, caller_done done, void *context);

/* The server of a program that has a connection beside its runtime's: --server of the arguments,
 * else NATS_URL. */
const char *caller_server(int argc, char **argv);

/* A connection under this name to that server, that goes on trying when it is away. 0 or < 0. */
int caller_connect(const char *url, const char *name, struct bus **ret_bus);
