/* File check: see file_check.h. */
#include "runtime/repair/file_check.h"
#include "base/clock.h"
#include "base/condition.h"
#include "base/log.h"
#include "base/smaller.h"
#include "runtime/repair/table_check.h"
#include "store/damage_mark.h"
#include "store/log_check.h"
#include <assert.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#define PART_EVENTS 200 /* of the log, in one snapshot */
#define WORK_NS INT64_C(5000000)
#define REST_FACTOR 19                            /* so much longer than it has worked */
#define WAL_MAX_BYTES (INT64_C(32) * 1024 * 1024) /* no table is worth more */
#define NICE 15                                   /* who serves comes first */
#define STOPPED 1

/* ---- Resting -------------------------------------------------------------------------------- */

/* True: it shall stop. */
static _Bool rest(struct file_check *check, int64_t ms)
{
    const int64_t until_ms = clock_monotonic_ms() + ms;
    pthread_mutex_lock(&check->lock);
    while (!check->stopping && clock_monotonic_ms() < until_ms)
        condition_wait(&check->wake, &check->lock, until_ms);
    const _Bool stopping = check->stopping;
    pthread_mutex_unlock(&check->lock);
    check->work_began_ns = clock_monotonic_ns();
    return stopping;
}

static _Bool rest_after_work(struct file_check *check)
{
    const int64_t worked_ns = clock_monotonic_ns() - check->work_began_ns;
    return worked_ns >= WORK_NS && rest(check, worked_ns * REST_FACTOR / 1000000 + 1);
}

/* Within the check of a table. */
static int pause_check(void *context)
{
    struct file_check *check = context;
    return rest_after_work(check) || atomic_load(&check->status->wal_bytes) > WAL_MAX_BYTES;
}

/* ---- One pass ------------------------------------------------------------------------------- */

static int check_log(struct file_check *check, struct db *db)
{
    struct log_check at = { .log = check->service->log };
    _Bool more = 1;
    int r = 0;
    while (r == 0 && more) {
        r = log_check_part(&at, db, PART_EVENTS, &more);
        if (r == 0 && rest_after_work(check))
            return STOPPED;
    }
    return trace(r);
}

static int check_tables(struct file_check *check, struct db *db, int64_t *ret_skipped)
{
    char names[64][128];
    int count = 0, r;
    {
        _deinit_(query) struct query query = { 0 };
        r = query_open(&query, db,
                       "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE "
                       "'sqlite%' ORDER BY name LIMIT 64",
                       "");
        while (r == 0 && query_has_row(&query))
            snprintf(names[count++], sizeof(names[0]), "%s", query_text(&query, 0));
        if (r == 0)
            r = query_status(&query);
    }
    for (int i = 0; r == 0 && i < count; i++) {
        r = db_check_table(db, names[i], pause_check, check);
        *ret_skipped += r == DB_CHECK_STOPPED;
        r = r == DB_CHECK_STOPPED ? 0 : r;
        if (r == 0 && rest_after_work(check))
            return STOPPED;
    }
    return trace(r);
}

static int run_pass(struct file_check *check, int64_t *ret_skipped)
{
    _free_(db) struct db *db = NULL; /* a new one: it has no pages from before in its memory */
    int r = db_open(&(struct db_options){ .path = check->database_path,
                                          .read_only = 1,
                                          .damaged = &check->status->damaged },
                    &db);
    if (r == 0)
        r = check_log(check, db);
    if (r == 0)
        r = check_tables(check, db, ret_skipped);
    return trace(r);
}

static void note_pass(struct file_check *check, int r, int64_t skipped)
{
    struct status *status = check->status;
    if (r == -ERR_CORRUPT) {
        log_error("file_damaged", LOG_TEXT("database", check->database_path),
                  LOG_TEXT("reason", failure_reason()));
        damage_mark_write(check->database_path, failure_reason());
        atomic_store(&status->damaged, 1);
    } else if (r < 0) {
        log_warn("file_not_checked", LOG_TEXT("reason", failure_text()));
    } else if (r == 0) {
        atomic_store(&status->file_check_skipped, skipped);
        atomic_store(&status->file_checked_ms, clock_wall_ms());
        atomic_fetch_add(&status->file_checks, 1);
    }
}

static _Bool rest_of_tables(void *context)
{
    return rest_after_work(context);
}

static void compare_tables(struct file_check *check)
{
    const struct table_check tables = { .service = check->service,
                                        .config = check->config,
                                        .database_path = check->database_path,
                                        .status = check->status,
                                        .rest = rest_of_tables,
                                        .context = check };
    if (table_check_run(&tables) == -ERR_CORRUPT)
        note_pass(check, -ERR_CORRUPT, 0);
    check->tables_due_ms = clock_monotonic_ms() + check->tables_interval_ms;
}

static void *file_check_main(void *argument)
{
    struct file_check *check = argument;
    setpriority(PRIO_PROCESS, (id_t)gettid(), NICE); /* of this thread alone */
    int64_t wait_ms = check->interval_ms < FILE_CHECK_FIRST_MS ? check->interval_ms
                                                               : FILE_CHECK_FIRST_MS;
    check->tables_due_ms = clock_monotonic_ms() +
                           smaller(check->tables_interval_ms, TABLE_CHECK_FIRST_MS);
    while (!rest(check, wait_ms)) {
        int64_t skipped = 0;
        wait_ms = check->interval_ms;
        if (atomic_load(&check->status->damaged) || atomic_load(&check->status->moved))
            continue;
        note_pass(check, run_pass(check, &skipped), skipped);
        if (check->tables_interval_ms > 0 && clock_monotonic_ms() >= check->tables_due_ms &&
            !atomic_load(&check->status->damaged))
            compare_tables(check);
    }
    return NULL;
}

/* ---- Begin and end -------------------------------------------------------------------------- */

int file_check_start(struct file_check *check)
{
    assert(check->service && check->status && check->interval_ms > 0 && !check->runs);
    pthread_mutex_init(&check->lock, NULL);
    condition_init(&check->wake);
    if (pthread_create(&check->thread, NULL, file_check_main, check) != 0)
        return fail(ERR_MEMORY, "no thread for the check of the file");
    check->runs = 1;
    return 0;
}

void file_check_stop(struct file_check *check)
{
    if (!check->runs)
        return;
    pthread_mutex_lock(&check->lock);
    check->stopping = 1;
    pthread_mutex_unlock(&check->lock);
    pthread_cond_signal(&check->wake);
    pthread_join(check->thread, NULL);
    check->runs = 0;
}
