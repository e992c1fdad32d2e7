/* File check: a slow reader of the service's own database, so that damage is met before a request
 * meets it. A pass reads the whole log, whose chains must follow, and has SQLite check each table
 * with its indexes; it rests nineteen twentieths of the time, at a low priority. What it finds
 * makes the service `corrupt`, with the place in the log line file_damaged and in the damage mark.
 *
 * A flipped bit in the log, in the structure of a page, in a key or in an index is found within a
 * pass. A flipped bit in a column without an index of a table other than the log is found when the
 * tables are compared with the logs, once a day (table_check.h). Not found: pages that no table
 * uses.
 *
 * A table whose check takes so long that the WAL grows meanwhile is left out of the pass, which
 * `file_check_skipped` counts: a reader's snapshot keeps the WAL from beginning anew. */
#pragma once
#include <pthread.h>
#include "journey.h"
#include "runtime/core/status.h"

#define FILE_CHECK_FIRST_MS 10000
#define TABLE_CHECK_FIRST_MS 3600000 /* a service that is started often is compared, too */

struct file_check {
    const struct service *service; /* borrowed, as all below */
    const char *database_path;
    struct status *status;
    const struct config *config;
    int64_t interval_ms;        /* from the end of a pass to the next */
    int64_t tables_interval_ms; /* likewise, of comparisons of the tables; 0: none */
    /* of its thread */
    int64_t work_began_ns, tables_due_ms;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    _Bool stopping, runs;
};

/* Starts the thread; the first pass begins after one interval, or after FILE_CHECK_FIRST_MS when
 * that is sooner. 0 or < 0. */
int file_check_start(struct file_check *check);
void file_check_stop(struct file_check *check); /* also when it was not started */
