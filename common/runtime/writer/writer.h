/* Writer: the one thread that changes the database. It turns the loop (loop.h): take, run, commit,
 * and hands what is to be settled to the sender. Between batches it moves the WAL into the
 * file. */
#pragma once
#include <pthread.h>
#include "runtime/writer/loop.h"

struct instance;

struct writer {
    struct instance *instance;
    struct db *db; /* the writing connection; owned */
    struct loop loop;
    atomic_bool stopping;      /* the inbox is closed: end when it is empty */
    atomic_bool end_folding;   /* the projections are where they were, the sender says */
    atomic_bool start_process; /* our log agrees with our stream: the process may run */
    _Bool holds_events;        /* others' events are put aside */
    struct item *held, **last_held;
    pthread_t thread;
    _Bool runs;
};

/* opens the database; no thread yet */
int writer_open(struct writer *writer, struct instance *instance);
int writer_start(struct writer *writer);
void writer_stop(struct writer *writer); /* runs what is in the inbox, then joins */
void writer_deinit(struct writer *writer);

/* On its own thread. Others' events are put aside, so that our cursors rest; then they go on, in
 * their order. So many may wait as the feeds have in flight. */
void writer_hold_events(struct writer *writer);
void writer_release_events(struct writer *writer);
