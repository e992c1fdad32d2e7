/* Statistics: what a service reports of itself, from one table of fields. $SRV.STATS (`data`),
 * /metrics, `scripts/mesh status` and the manual are all written from it, so a new field is one row
 * in statistics_fields.c. All values are numbers in memory, never the database. Any thread. */
#pragma once
#include <stdio.h>
#include "base/buf.h"
#include "bus/bus.h"
#include "runtime/core/status.h"
#include "runtime/request/client_rate.h"
#include "runtime/request/inbox.h"
#include "runtime/request/micro.h"
#include "runtime/request/readers.h"
#include "runtime/watch/http.h"

/* The parts of a running service that have something to report. Borrowed: they outlive it. */
struct statistics {
    const struct service *service;
    const char *instance; /* its id in $SRV; NULL in tests */
    const struct status *status;
    struct bus *bus;
    const struct client_rate *client_rate;
    struct inbox *inbox;
    struct readers *readers;
    const struct micro_endpoint *endpoints;
    int endpoint_count;
    const struct http *_Atomic http; /* NULL: off */
};

/* One look at them: what must agree within one answer is read once, here. */
struct statistics_sample {
    const struct statistics *of;
    int64_t position, published; /* published <= position */
    int64_t wall_ms, monotonic_ms;
    struct bus_stats bus;
    _Bool connected;
};
void statistics_take(const struct statistics *of, struct statistics_sample *ret_sample);

/* ---- The table of fields -------------------------------------------------------------------- */

/* What a field is said of: the service, or each of several things. */
enum statistics_scope { OF_SERVICE, OF_SOURCE, OF_WORK, OF_ENDPOINT };

struct statistics_group {
    const char *key; /* the object of `data` that has one object each: "sources"; NULL: not there */
    const char *label; /* the label in /metrics that tells them apart: "log"; NULL: there is one */
    int (*count)(const struct statistics *of);
    const char *(*name)(const struct statistics *of, int i); /* of the i-th; NULL: there is one */
    /* what statistics_field.at is an offset into */
    const void *(*base)(const struct statistics *of, int i);
};
/* By scope; those with a key stand in this order at the end of `data`. */
#define STATISTICS_SCOPES (OF_ENDPOINT + 1)
extern const struct statistics_group statistics_groups[STATISTICS_SCOPES];

enum statistics_form {
    FORM_NUMBER,
    FORM_MS,            /* a duration; /metrics: seconds. Negative: unknown; `data` leaves it out */
    FORM_TIME_MS,       /* wall time; `data`: RFC 3339, "" when 0; /metrics: seconds since 1970 */
    FORM_SERVICE_STATE, /* a number of states.h; `data`: its name */
    FORM_RELAY_STATE,
    FORM_FEED_STATE,
    FORM_TEXT,    /* a sentence, read by `text`; never in /metrics */
    FORM_COUNTS,  /* numbers as an array, written by `text`; never in /metrics */
    FORM_NOTICES, /* all notices (core/notices.h), as an array of objects */
};

struct statistics_field;
struct metric {
    const char *name;  /* "journey_parked_events"; NULL: not in /metrics */
    const char *type;  /* "gauge", "counter", "histogram" */
    const char *label; /* "queue=\"writer\"": neighbours of one name are one family; NULL: none */
    const char *help;  /* NULL: that of the field */
    /* Writes the lines of this field, where they are no single number (of i, see value); NULL. */
    void (*lines)(const struct statistics_sample *sample, int i, struct buf *out);
};

struct statistics_field {
    const char *key; /* in `data`; NULL: not there */
    enum statistics_scope of;
    enum statistics_form form;
    _Bool shown; /* in `scripts/mesh status` */
    /* Where it is read from: a function, or an atomic_llong at this offset (see base). i: which
     * source or endpoint; 0 of the service. */
    int64_t (*read)(const struct statistics_sample *sample, int i);
    size_t at;
    void (*text)(const struct statistics_sample *sample, int i, char *ret_text, size_t size);
    struct metric metric;
    const char *help; /* one sentence for the manual */
};

/* In the order of `data`; ends with a row that has neither key nor metric. */
extern const struct statistics_field statistics_fields[];

int64_t statistics_value(const struct statistics_field *field,
                         const struct statistics_sample *sample, int i);

/* ---- What is written from it ---------------------------------------------------------------- */

/* `data` of $SRV.STATS, as struct micro wants it: the context is a struct statistics. */
void statistics_write_data(void *context, struct buf *out);

/* For programs that read the statistics and for the manual: all states and all fields as JSON
 * (--print-status-fields). 0, or -ERR_MEMORY. */
int statistics_print_fields(FILE *file);
