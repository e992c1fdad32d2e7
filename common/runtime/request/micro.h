/* Micro: the NATS micro services protocol (ADR-32), so that `nats micro ls|info|stats` show a
 * service. It is written on plain subscriptions, because nats.c's own calls a handler synchronously
 * and cannot serve a reply that comes after a group commit (rule 4).
 *
 * An instance answers $SRV.PING, $SRV.INFO and $SRV.STATS, each also with .name and .name.id.
 * Answers are made on a library thread from numbers in memory, and never wait for SQLite.
 */
#pragma once
#include <pthread.h>
#include <stdatomic.h>
#include "base/buf.h"
#include "bus/bus.h"

#define MICRO_SUBJECTS 9
#define MICRO_ERROR_SIZE 128
#define MICRO_BUCKETS 14
/* upper bounds; the last bucket has none */
extern const int64_t micro_bucket_ns[MICRO_BUCKETS - 1];

/* One endpoint. The first part is set before micro_start and then only read. */
struct micro_endpoint {
    const char *name;                /* ^[a-zA-Z0-9_-]+$ : "place", not "order.place" */
    const char *subject;             /* "order.place" */
    const char *_Atomic queue_group; /* "q", or that of a term (endpoint.h) */
    /* What INFO shows as the endpoint's metadata; a member that is NULL is left out. */
    const char *kind;        /* "command", "query" or "runtime", as in the contract */
    const char *description; /* of its request's schema, in a sentence or two */
    const char *request_schema, *response_schema; /* their names: "order.place" */

    atomic_llong num_requests;
    atomic_llong num_errors;
    atomic_llong processing_time_ns; /* the sum */
    /* how many took up to micro_bucket_ns[i], and longer than the one before */
    atomic_llong durations[MICRO_BUCKETS];
    atomic_llong num_unsent; /* replies that could not be sent: too large, or no connection */
    atomic_bool is_losing;   /* the newest reply was lost, because there was no connection */
    pthread_mutex_t error_lock;
    char last_error[MICRO_ERROR_SIZE]; /* "422:out of stock"; "" */
};
void micro_endpoint_init(struct micro_endpoint *endpoint, const char *name, const char *subject,
                         const char *queue_group);
void micro_endpoint_deinit(struct micro_endpoint *endpoint);
DEFINE_DEINIT(micro_endpoint)

/* Counts one answered request. error NULL: it went well; else "code:description", cut to fit. Any
 * thread. */
void micro_endpoint_count(struct micro_endpoint *endpoint, int64_t processing_time_ns,
                          const char *error);

struct micro_metadata {
    const char *key, *value;
};

struct micro {           /* filled in before micro_start, borrowed */
    const char *name;    /* "order-svc" */
    const char *id;      /* of this instance; micro_make_id */
    const char *version; /* SemVer */
    const char *description;
    const struct micro_metadata *metadata; /* ends with { 0 }; NULL */
    /* Writes further members, which change: `"role":"leading"`. On a library thread. NULL: none. */
    void (*write_metadata)(void *context, struct buf *out);
    /* Writes what follows the description, " (leading, term 3)": `nats micro ls` shows it, and no
     * metadata. Likewise. */
    void (*write_standing)(void *context, struct buf *out);
    void *metadata_context;
    int64_t started_ms; /* wall clock */
    struct micro_endpoint *endpoints;
    int endpoint_count;

    /* Writes the free JSON value that STATS shows as `data` of the first endpoint: it is about the
     * whole service, and `nats micro info` prints the data of each endpoint. Writes nothing: none
     * is shown. On a library thread. NULL: no data. */
    void (*data)(void *context, struct buf *out);
    void *context;

    struct bus *bus; /* set by micro_start */
    struct bus_subscription *subscriptions[MICRO_SUBJECTS];
};

/* -ERR_CONFIG, naming it, for a name or version that would make the service vanish from the CLI. */
int micro_check(const struct micro *micro);

enum micro_verb { MICRO_PING, MICRO_INFO, MICRO_STATS };
/* 0, or -ERR_MEMORY */
int micro_write(const struct micro *micro, enum micro_verb verb, struct buf *out);

/* The i-th of the nine subjects: "$SRV.PING", "$SRV.PING.order-svc", "$SRV.PING.order-svc.<id>",
 * … */
int micro_subject(const struct micro *micro, int i, char ret_subject[BUS_SUBJECT_MAX + 1]);

#define MICRO_ID_SIZE 32
/* An id for this instance, from the random bits of an inbox. */
int micro_make_id(const struct bus *bus, char ret_id[MICRO_ID_SIZE]);

/* Subscribes to the nine. The caller flushes the bus before it says that it is ready (STYLE 18). On
 * a failure nothing stays subscribed. */
int micro_start(struct micro *micro, struct bus *bus);
void micro_stop(struct micro *micro); /* drains them; the last to go on a stop */
