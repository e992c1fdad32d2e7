/* Writer: the one thread that changes the database. It turns the loop (loop.h): take, run, commit, and
 * hands what is to be settled to the courier. Between batches it moves the WAL into the file. */
#pragma once
#include <pthread.h>
#include "runtime/loop.h"

struct instance;

struct writer {
    struct instance *instance;
    struct db *db;                        /* the writing connection; owned */
    struct loop loop;
    atomic_bool stopping;                 /* the inbox is closed: end when it is empty */
    atomic_bool end_folding;              /* the projections are where they were, the courier says */
    atomic_bool start_process;            /* our log agrees with our stream: the process may run */
    pthread_t thread;
    _Bool runs;
};

int writer_open(struct writer *writer, struct instance *instance);   /* opens the database; no thread yet */
int writer_start(struct writer *writer);
void writer_stop(struct writer *writer);                             /* runs what is in the inbox, then joins */
void writer_deinit(struct writer *writer);
