/* Rebuild: folds a service's tables anew from the logs while the service goes on serving, into a
 * scratch file, and then corrects the rows that differ. No thread and no bus in here: rebuilder.c
 * has them. (At a start with other tables the fold goes into the tables themselves:
 * writer/tables.h.) */
#pragma once
#include <stdatomic.h>
#include "runtime/writer/fold.h"
#include "runtime/writer/loop.h"
#include "schemas/runtime.rebuild.reply.h"

/* ---- While it serves ------------------------------------------------------------------------- */

/* The next events of a leader's log (api_client_events, but for tests). 0; -ERR_NETWORK: the leader
 * is away; < 0. */
typedef int (*rebuild_fetch)(void *context, const struct source *source, int64_t after_position,
                             struct arena *arena, const struct runtime_events_reply **ret_page);

/* What is wanted of the writer's next turn, between two batches: that our cursors rest;
 * rebuild_swap, after which they need not rest any more; or only the latter. Returns when it is
 * done, with its result. */
enum rebuild_want {
    REBUILD_WANTS_NOTHING,
    REBUILD_WANTS_HOLD,
    REBUILD_WANTS_SWAP,
    REBUILD_WANTS_RELEASE
};
typedef int (*rebuild_turn)(void *context, enum rebuild_want want);

/* that a report names; a service with more of them that differ fails to rebuild */
#define REBUILD_TABLES_MAX 64
#define REBUILD_STOPPED 2

/* One rebuild. Whoever calls its functions has it alone: the rebuilder's thread, and for
 * rebuild_swap the writer, while the thread waits. */
struct rebuild {
    const struct service *service;
    const char *served_path; /* the file that serves; borrowed, as all above `path` is */
    rebuild_fetch fetch;
    rebuild_turn turn;
    void *context;                   /* of fetch and turn */
    const atomic_bool *stopping;     /* looked at between two pieces of work */
    atomic_llong *progress;          /* events folded, for others to see; NULL */
    int key_limit;                   /* so many keys a table are reported */
    char path[4096];                 /* the scratch file */
    struct db *db;                   /* it, with the one that serves attached for reading */
    int64_t position;                /* of our own log, folded so far */
    struct log_head at[SOURCES_MAX]; /* of others' logs, likewise */
    int64_t events;
    int64_t differences;          /* that the newest comparison found */
    int64_t put_right;            /* rows that were swapped */
    int64_t held_ms;              /* how long our cursors rested for that, in all */
    int64_t swap_ms;              /* and how long the writer was kept from everything else */
    _Bool cursors_rest;           /* rebuild_swap: nothing may be fetched any more */
    char why[FOLD_WHY_SIZE + 40]; /* of FOLD_DIFFERENT: which log, and what is wrong with it */
    struct arena arena;           /* of the report */
    struct runtime_rebuild_reply_tables_item tables[REBUILD_TABLES_MAX]; /* that differed */
    const char **keys[REBUILD_TABLES_MAX];                               /* of tables[i].keys */
    int table_count;
};

/* All of it: makes the scratch file, folds, compares, and as often as rows differ asks for the
 * turns that put them right and compares again. 0; FOLD_DIFFERENT (see why); REBUILD_STOPPED;
 * -ERR_NETWORK: a leader is away; -ERR_INTERNAL: rows differ again and again; < 0. Its parts: */
int rebuild_run(struct rebuild *rebuild);

/* Makes the scratch file; `rebuild` has everything above `path`. One that a life before this left
 * behind goes. */
int rebuild_open(struct rebuild *rebuild);
void rebuild_deinit(struct rebuild *rebuild); /* and removes the file */
DEFINE_DEINIT(rebuild)
void rebuild_remove_leftover(const char *served_path);

/* Folds, piece by piece, each in a short snapshot of its own, up to where the file that serves
 * stands by the end.
 * 0; FOLD_DIFFERENT (see why); REBUILD_STOPPED; < 0. */
int rebuild_catch_up(struct rebuild *rebuild);

/* Folds the little that is left and compares, all in one snapshot of the file that serves, so that
 * both stand at the very same positions whatever is committed meanwhile. 0 with `differences`, and
 * them in `tables`; and as rebuild_catch_up. */
int rebuild_compare(struct rebuild *rebuild);

/* On the connection that serves, outside of a transaction, when no cursor has moved since
 * rebuild_catch_up: folds what our own log has had since, and makes the rows that differed what the
 * fold has, in one transaction. *ret_outcome_unknown: see struct batch. 0 or < 0 (nothing is
 * changed), -ERR_LOCKED: a cursor has moved. */
int rebuild_swap(struct rebuild *rebuild, struct db *served, _Bool *ret_outcome_unknown);
