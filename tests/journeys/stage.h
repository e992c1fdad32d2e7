/* Stage: what one story runs on: a service's loop on a database in memory, the events and calls
 * that have happened there, and those that no step has named yet. Only for the files of the
 * harness. */
#pragma once
#include "harness.h"
#include "names.h"
#include "runtime/writer/loop.h"

#define OPTIONS_MAX 16
#define ITEMS_MAX 32

struct happened { /* an event that was emitted, a call that was made, a given event */
    struct happened *next;
    const char *log;
    struct event event;
    const char *subject, *body;
};

struct stage {
    const struct service *service;
    const struct story *story;
    const struct step *step;
    const char *option_values[OPTIONS_MAX];
    struct db *db;
    struct loop loop;
    _Bool is_open, is_together;
    int64_t now_ms;
    struct arena arena;
    struct names names;
    struct item *items[ITEMS_MAX];
    int item_count;
    struct happened *events, **last_event; /* not named yet */
    struct happened *calls, **last_call;
    struct happened *given, **last_given; /* events of others, for folding anew */
    const struct refusal_type *refusal;   /* of the newest request; NULL: it was answered */
    const char *reply, *message;
};

#define check(stage, holds, ...)              \
    do {                                      \
        if (!(holds))                         \
            stage_fail((stage), __VA_ARGS__); \
    } while (0)

void stage_fail(struct stage *stage, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The item's event at its place in its log, with its value. */
struct item *stage_event_item(struct stage *stage, const struct loop *loop,
                              const struct event *given, const char *log);

/* Rule 2: the events, applied to an empty database with our own first or last, make the same
 * rows. */
void stage_fold_anew(struct stage *stage, _Bool own_first, const char *const *fold_checks);
