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

/* What the writer shall do between two batches: hold others' events, so that our cursors do not
 * move; swap (rebuild_swap) and release them; or only release them. Returns when the writer has
 * done it, with its result. */
enum rebuild_want {
    REBUILD_WANTS_NOTHING,
    REBUILD_WANTS_HOLD,
    REBUILD_WANTS_SWAP,
    REBUILD_WANTS_RELEASE
};
typedef int (*rebuild_turn)(void *context, enum rebuild_want want);

/* Tables in a report; a service in which more tables differ fails to rebuild. */
#define REBUILD_TABLES_MAX 64
#define REBUILD_STOPPED 2
#define REBUILD_OF_CHECK ".compared" /* the ending of table_check.h */

/* One rebuild. It belongs to the rebuilder's thread, and to the writer's during rebuild_swap, while
 * the rebuilder's thread waits. */
struct rebuild {
    const struct service *service;
    const char *served_path; /* the service's database; borrowed, as all above `path` is */
    rebuild_fetch fetch;
    rebuild_turn turn;
    _Bool (*rest)(void *context);    /* between two slices; true: it shall stop; NULL */
    void *context;                   /* of fetch, turn and rest */
    const char *ending;              /* of the scratch file's name; NULL: ".rebuild" */
    const atomic_bool *stopping;     /* looked at between two slices; NULL */
    atomic_llong *progress;          /* events folded, for the statistics; NULL */
    int key_limit;                   /* keys in the report of one table */
    char path[4096];                 /* the scratch file */
    struct db *db;                   /* the scratch file, with the database attached for reading */
    int64_t position;                /* of our own log, folded so far */
    struct log_head at[SOURCES_MAX]; /* of others' logs, likewise */
    int64_t events;
    int64_t differences;          /* rows, in the newest comparison */
    int64_t put_right;            /* rows corrected */
    int64_t held_ms;              /* how long others' events were held, in all */
    int64_t swap_ms;              /* how long the writer did nothing else, in all */
    _Bool cursors_rest;           /* in rebuild_swap: nothing may be fetched */
    char why[FOLD_WHY_SIZE + 40]; /* of FOLD_DIFFERENT: which log, and what is wrong with it */
    struct arena arena;           /* of the report */
    struct runtime_rebuild_reply_tables_item tables[REBUILD_TABLES_MAX]; /* that differed */
    const char **keys[REBUILD_TABLES_MAX];                               /* of tables[i].keys */
    int table_count;
};

/* The whole rebuild: makes the scratch file, folds, compares; while rows differ, has them swapped
 * and compares again. 0; FOLD_DIFFERENT (see why); REBUILD_STOPPED; -ERR_NETWORK: a leader is away;
 * -ERR_INTERNAL: rows differ after each of several swaps; < 0. Its parts: */
int rebuild_run(struct rebuild *rebuild);

/* Makes the scratch file; everything above `path` is set. Removes one that an earlier process has
 * left. */
int rebuild_open(struct rebuild *rebuild);
void rebuild_deinit(struct rebuild *rebuild); /* and removes the file */
DEFINE_DEINIT(rebuild)
void rebuild_remove_leftover(const char *served_path);

/* Folds slice by slice, each in a short snapshot of its own, until it has reached the database. 0;
 * FOLD_DIFFERENT (see why); REBUILD_STOPPED; < 0. */
int rebuild_catch_up(struct rebuild *rebuild);

/* Folds the rest and compares, in one snapshot of the database, so that both are at the same
 * positions whatever is committed meanwhile. 0 with `differences` and `tables`; else as
 * rebuild_catch_up. */
int rebuild_compare(struct rebuild *rebuild);

/* On the writing connection, outside of a transaction, when no cursor has moved since
 * rebuild_catch_up: folds the newest events of our own log, and corrects the rows that differed, in
 * one transaction. *ret_outcome_unknown: see struct batch. 0; -ERR_LOCKED: a cursor has moved; < 0:
 * nothing is changed. */
int rebuild_swap(struct rebuild *rebuild, struct db *served, _Bool *ret_outcome_unknown);
