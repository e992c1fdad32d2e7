/* Bus on nats.c: what bus_nats.c, bus_options.c, bus_publish.c, bus_pump.c, bus_receive.c and
 * bus_status.c share. Only these may include this header; it is the only one that includes nats.h.
 * Facts about the library are collected in docs/CONVENTIONS.md. */
#pragma once
#include <nats/nats.h>
#include <pthread.h>
#include <stdatomic.h>
#include "bus/bus.h"

#define LANES 3
#define LANES_OF_LIBRARY 2 /* that threads of nats.c read and write: all but BUS_PUMPED */

struct lane { /* one connection */
    struct bus *bus;
    natsConnection *connection;
    _Bool up, closed; /* under the bus's lock */
};

struct pump {              /* see bus_pump.c */
    int fd;                /* of epoll; -1: there is no such lane */
    atomic_int socket;     /* that is read; -1: none, not connected */
    atomic_bool is_armed;  /* the socket is looked at for room, too */
    atomic_bool is_new;    /* the connection was just made */
    size_t gathered_bytes; /* published, and not written yet */
    int64_t silent_ms, silent_max_ms, pumped_ms;
    struct bus_subscription *subscriptions[BUS_PUMPED_SUBSCRIPTIONS_MAX];
    int subscription_count;
};

struct bus_check { /* of what the server takes: bus_check.c */
    natsOptions *options;
    _Bool has_list; /* the options name several servers */
    int interval_ms;
    /* as the server that the bus is connected to has said last; 0: not asked yet */
    atomic_llong payload_bytes;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    pthread_t thread;
    _Bool stopping, runs;
};

struct bus {
    struct lane lanes[LANES]; /* by enum bus_urgency */
    int lane_count;
    struct pump pump;
    struct bus_handlers handlers;
    char name[BUS_HEADER_KEY_MAX + 1];
    char inbox_prefix[BUS_HEADER_KEY_MAX + 8];
    pthread_mutex_t lock;
    pthread_cond_t changed; /* a lane has closed */
    _Bool closing;          /* bus_free was called: the handlers are not called any more */
    atomic_bool connected;
    atomic_ullong connects, dropped;
    struct bus_check check;
    /* bus_push, on its caller's thread: wall clock minus monotonic clock, at its last call; and
     * until when, monotonic, the threads of nats.c may still sleep */
    int64_t clock_offset_ms, push_until_ms;
    int64_t away_since_ms; /* likewise: not connected, while the clock is set back; 0: it is */
    struct bus_echo {      /* what both lanes send to themselves then */
        struct bus_subscription *subscription; /* NULL: not needed yet */
        char subject[BUS_INBOX_SIZE];
        int64_t sent_ms;
        int64_t waits_since_ms[LANES]; /* an echo of the lane has not come back; 0: all have */
        atomic_bool is_back[LANES];
        atomic_bool is_denied;
        atomic_ullong count; /* that came back */
    } echo;
};

/* What a lane's options ask of nats.c, all but the callbacks. 0 with *ret_options, to be destroyed;
 * -ERR_CONFIG: credentials, TLS files or their combination; -ERR_MEMORY. */
int bus_options_make(const struct bus_options *options, const struct bus *bus,
                     enum bus_urgency urgency, natsOptions **ret_options);
int bus_delivery_threads(const struct bus_options *options);

/* The part of the pumped lane's options that makes it one, and its part of opening and closing the
 * bus. */
#define PINGS_MAX 2 /* without an answer are a disconnect */
natsStatus bus_pump_set_options(natsOptions *to, const struct bus *bus);
int bus_pump_open(struct bus *bus, int ping_ms);
void bus_pump_close(struct bus *bus);
int bus_ping_ms(const struct bus_options *options);
/* around a publish there */
void bus_pump_enter(void);
void bus_pump_leave(struct bus *bus, size_t bytes);
/* one of its subscriptions: the oldest message that has come; NULL: none */
natsMsg *bus_subscription_next(struct bus_subscription *subscription);
void bus_subscription_handle(struct bus_subscription *subscription, natsMsg *message);

/* While nats.c's own pings come late, on the thread of bus_push: does each lane still reach the
 * server? False: one does not, for ECHO_LATE_MS. */
#define ECHO_LATE_MS 10000
_Bool bus_echo_act(struct bus *bus, int64_t now_ms);
void bus_echo_forget(struct bus *bus); /* it was disconnected: none is waited for */

/* Begins and ends the check of the server; the second also when it has not begun. 0 or < 0. */
int bus_check_start(struct bus *bus, const struct bus_options *options);
void bus_check_stop(struct bus *bus);

/* Gives a message back to nats.c, now or later; NULL is allowed. Any thread. */
void bus_discard(natsMsg *raw);
void bus_discard_all(void); /* now, all that wait */

/* The failure that a status of nats.c means: "cannot <what>: …". */
int bus_fail(natsStatus status, const char *what);
