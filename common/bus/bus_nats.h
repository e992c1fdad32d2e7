/* Bus on nats.c: what bus_nats.c and bus_receive.c share. No other file may include this one. */
#pragma once
#include <nats/nats.h>
#include <pthread.h>
#include <stdatomic.h>
#include "bus/bus.h"

#define LANES 2

struct link { /* one connection */
    struct bus *bus;
    natsConnection *connection;
    _Bool up, closed; /* under the bus's lock */
};

struct bus {
    struct link links[LANES]; /* by enum bus_urgency */
    struct bus_handlers handlers;
    char name[BUS_HEADER_KEY_MAX + 1];
    char inbox_prefix[BUS_HEADER_KEY_MAX + 8];
    pthread_mutex_t lock;
    pthread_cond_t changed; /* a link has closed */
    _Bool closing;          /* bus_free was called: handlers hear no more */
    atomic_bool connected;
    atomic_ullong connects, dropped;
};

/* Gives a message back to nats.c, sooner or later; NULL is fine. Any thread. */
void bus_discard(natsMsg *raw);
void bus_discard_all(void); /* now, all that wait */

/* The failure that a status of nats.c means. */
int bus_fail(natsStatus status, const char *what);
