/* Table check: see table_check.h. */
#include "runtime/repair/table_check.h"
#include "base/clock.h"
#include "base/log.h"
#include "runtime/repair/api_client.h"
#include "runtime/repair/rebuild.h"
#include <errno.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#define ROOM_FACTOR 2
#define KEY_LIMIT 1 /* keys are not told here: they may be personal data */

struct asking {
    const struct table_check *check;
    struct api_client *api; /* made with the first question */
};

static int fetch_events(void *context, const struct source *source, int64_t after_position,
                        struct arena *arena, const struct runtime_events_reply **ret_page)
{
    struct asking *asking = context;
    const struct table_check *check = asking->check;
    int r = asking->api ? 0 : api_client_open(check->config, check->service, &asking->api);
    return r < 0 ? trace(r)
                 : trace(api_client_events(asking->api, source, after_position, arena, ret_page));
}

static _Bool rest(void *context)
{
    const struct table_check *check = ((struct asking *)context)->check;
    return check->rest(check->context);
}

static int check_room(const char *path)
{
    struct stat file;
    struct statvfs disk;
    if (stat(path, &file) < 0 || statvfs(path, &disk) < 0)
        return fail(ERR_IO, "%s: %s", path, errno_text(errno));
    const int64_t free_bytes = (int64_t)(disk.f_bavail * disk.f_frsize),
                  needed = (int64_t)file.st_size * ROOM_FACTOR;
    return free_bytes >= needed ? 0
                                : fail(ERR_FULL,
                                       "the disk has %" PRId64 " bytes, and a comparison wants "
                                       "%" PRId64,
                                       free_bytes, needed);
}

/* Events that were parked or redriven, and rows that were put right, while it folded: then a
 * difference says nothing. */
static int64_t changes_of(struct status *status)
{
    return atomic_load(&status->parked) + atomic_load(&status->redriven) +
           atomic_load(&status->rebuilds) + atomic_load(&status->rebuilt_rows);
}

static void tell(const struct table_check *check, const struct rebuild *rebuild)
{
    struct status *status = check->status;
    for (int i = 0; i < rebuild->table_count; i++) {
        const struct runtime_rebuild_reply_tables_item *table = &rebuild->tables[i];
        log_error("tables_differ", LOG_TEXT("table", table->table),
                  LOG_INT("missing", table->missing), LOG_INT("extra", table->extra),
                  LOG_INT("changed", table->changed),
                  LOG_TEXT("help", "rebuild names the rows and puts them right"));
    }
    log_info("tables_compared", LOG_INT("events", rebuild->events),
             LOG_INT("rows_that_differ", rebuild->differences));
    atomic_store(&status->tables_differ, rebuild->differences);
    atomic_store(&status->tables_checked_ms, clock_wall_ms());
    atomic_fetch_add(&status->table_checks, 1);
}

static int compare(struct rebuild *rebuild)
{
    int r = rebuild_open(rebuild);
    if (r == 0)
        r = rebuild_catch_up(rebuild);
    return r != 0 ? trace(r) : trace(rebuild_compare(rebuild));
}

int table_check_run(const struct table_check *check)
{
    struct asking asking = { .check = check };
    _deinit_(rebuild) struct rebuild rebuild = {
        .service = check->service,
        .served_path = check->database_path,
        .ending = REBUILD_OF_CHECK,
        .fetch = fetch_events,
        .rest = rest,
        .context = &asking,
        .key_limit = KEY_LIMIT,
    };
    const int64_t changes = changes_of(check->status);
    int r = check_room(check->database_path);
    if (r == 0)
        r = compare(&rebuild);
    api_client_free(asking.api);
    if (r == 0 && rebuild.differences > 0 && changes_of(check->status) != changes)
        r = fail(ERR_LOCKED, "parked events or rows were put right meanwhile");
    if (r == 0)
        tell(check, &rebuild);
    else if (r != REBUILD_STOPPED && r != -ERR_CORRUPT)
        log_warn("tables_not_compared",
                 LOG_TEXT("reason", r == FOLD_DIFFERENT ? rebuild.why : failure_reason()));
    return r < 0 ? trace(r) : 0;
}
