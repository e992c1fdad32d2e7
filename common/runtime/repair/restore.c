/* Restore: see restore.h. The backup is copied into a scratch file beside the database and looked
 * at there, all of it; only a copy that is whole takes the database's place, in one rename. The old
 * WAL never stands beside the new file: it goes first, with a second name of the old database. What
 * was done half because of a crash is said by the damage mark, which stands from before the first
 * change until after the last. */
#include "runtime/repair/restore.h"
#include "base/terminal.h"
#include "base/clock.h"
#include "base/lock_file.h"
#include "runtime/core/data_folder.h"
#include "runtime/repair/tools.h"
#include "runtime/writer/tables.h"
#include "store/damage_mark.h"
#include "store/generation.h"
#include "store/log_check.h"
#include "store/migrate.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LOCK_WAIT_MS 1000
#define PATH_SIZE 4300
#define PART_EVENTS 10000

struct restoring {
    const struct service *service;
    const char *from, *database_path;
    char scratch[PATH_SIZE]; /* beside the database; "": none */
    char aside[PATH_SIZE];   /* the old database's new name; "": there was none */
    struct log_head head;    /* of the backup */
    int64_t newest_ms;       /* when its newest event was decided */
};

static int refuse(const struct restoring *restoring, const char *why)
{
    terminal_print(stdout, "%s: %s; nothing was changed\n", restoring->from, why);
    return TOOL_NO;
}

/* ---- The copy ------------------------------------------------------------------------------- */

static int check_names(const struct restoring *restoring)
{
    struct stat from, old;
    if (stat(restoring->from, &from) < 0)
        return refuse(restoring, errno_text(errno));
    if (!S_ISREG(from.st_mode))
        return refuse(restoring, "it is no file");
    if (from.st_size == 0)
        return refuse(restoring, "it is empty");
    if (stat(restoring->database_path, &old) == 0 && old.st_dev == from.st_dev &&
        old.st_ino == from.st_ino)
        return refuse(restoring, "it is the database itself");
    return 0;
}

/* A backup is one file, and nothing is written beside it. A copied folder has a WAL as well, which
 * must be its own. */
static int open_backup(const struct restoring *restoring, struct db **ret_db)
{
    _free_(db) struct db *db = NULL;
    char wal[PATH_SIZE];
    struct stat status;
    snprintf(wal, sizeof(wal), "%s-wal", restoring->from);
    const _Bool has_wal = stat(wal, &status) == 0 && status.st_size > 0;
    int r = db_open(&(struct db_options){ .path = restoring->from,
                                          .read_only = 1,
                                          .without_wal = !has_wal,
                                          .lock_timeout_ms = LOCK_WAIT_MS },
                    &db);
    if (r == 0 && has_wal)
        r = generation_check(db);
    if (r >= 0)
        *ret_db = take(db);
    return r < 0 ? trace(r) : 0;
}

static int sync_path(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC);
    int r = fd < 0 || fsync(fd) < 0 ? fail(ERR_IO, "%s: %s", path, errno_text(errno)) : 0;
    if (fd >= 0)
        close(fd);
    return r;
}

static int sync_folder(const char *path)
{
    char copy[PATH_SIZE];
    snprintf(copy, sizeof(copy), "%s", path);
    return trace(sync_path(dirname(copy), O_RDONLY | O_DIRECTORY));
}

static int copy_backup(struct restoring *restoring)
{
    _free_(db) struct db *db = NULL;
    snprintf(restoring->scratch, sizeof(restoring->scratch), "%s.restore-%d",
             restoring->database_path, (int)getpid());
    unlink(restoring->scratch);
    int r = open_backup(restoring, &db);
    return r < 0 ? trace(r) : trace(db_backup(db, restoring->scratch));
}

/* ---- Is it whole, and ours? ------------------------------------------------------------------ */

static int check_log(struct restoring *restoring, struct db *db)
{
    struct log_check check = { .log = restoring->service->log };
    _Bool more = 1;
    int r = 0;
    while (r == 0 && more)
        r = log_check_part(&check, db, PART_EVENTS, &more);
    if (r == 0)
        r = db_find_number(db, &restoring->newest_ms,
                           "SELECT coalesce(max(time_ms), 0) FROM event_log WHERE position = ?1",
                           "i", check.at.position);
    restoring->head = check.at;
    return trace(r);
}

/* A database of another version of the program may have other tables: the start makes them anew.
 * What stands in it beside the tables is told. */
static int check_layout(const struct restoring *restoring, struct db *db)
{
    _deinit_(buf) struct buf differences = { 0 };
    int r = tables_compare_layout(restoring->service, db, &differences);
    if (r > 0 && (strstr(differences.data, "trigger ") || strstr(differences.data, "view ")))
        return refuse(restoring, differences.data);
    if (r > 0)
        terminal_print(stdout, "note: %s\n", differences.data);
    return r < 0 ? trace(r) : 0;
}

static int check_is_ours(const struct restoring *restoring, struct db *db)
{
    int64_t mark = 0, version = 0;
    int r = db_find_number(db, &mark, "PRAGMA application_id", "");
    if (r == 0)
        r = db_find_number(db, &version, "PRAGMA user_version", "");
    if (r < 0)
        return trace(r);
    if (mark != DB_APPLICATION_ID || version < 1)
        return refuse(restoring, "it is not the database of a service");
    if (version > store_version())
        return refuse(restoring, "a newer program has written it; use that program");
    return 0;
}

static int check_copy(struct restoring *restoring)
{
    _free_(db) struct db *db = NULL;
    int r = db_open(
        &(struct db_options){ .path = restoring->scratch, .read_only = 1, .without_wal = 1 }, &db);
    if (r == 0)
        r = check_is_ours(restoring, db);
    if (r == 0)
        r = db_integrity_check(db);
    if (r == 0)
        r = check_log(restoring, db);
    if (r == 0)
        r = check_layout(restoring, db);
    if (r == -ERR_CORRUPT) {
        char why[700];
        snprintf(why, sizeof(why), "it is damaged, or no database of %s: %s",
                 restoring->service->name, failure_reason());
        return refuse(restoring, why);
    }
    return trace(r);
}

/* ---- Into its place -------------------------------------------------------------------------- */

static int move(const char *from, const char *to)
{
    return rename(from, to) == 0 || errno == ENOENT
               ? 0
               : fail(ERR_READONLY, "%s to %s: %s", from, to, errno_text(errno));
}

/* The old database has two names for a moment, so that its path always names a database. Where a
 * file system has no second names, it has none for a moment. */
static int set_old_aside(struct restoring *restoring)
{
    char wal[PATH_SIZE + 8], wal_aside[PATH_SIZE + 8], shm[PATH_SIZE + 8], time_text[32];
    time_t now = time(NULL);
    struct tm parts;
    if (access(restoring->database_path, F_OK) < 0)
        return 0;
    (void)strftime(time_text, sizeof(time_text), "%Y%m%dT%H%M%SZ", gmtime_r(&now, &parts));
    snprintf(restoring->aside, sizeof(restoring->aside), "%s.replaced-%s", restoring->database_path,
             time_text);
    snprintf(wal, sizeof(wal), "%s-wal", restoring->database_path);
    snprintf(wal_aside, sizeof(wal_aside), "%s-wal", restoring->aside);
    snprintf(shm, sizeof(shm), "%s-shm", restoring->database_path);
    if (access(restoring->aside, F_OK) == 0)
        return fail(ERR_READONLY, "%s is there already; try again", restoring->aside);
    int r = link(restoring->database_path, restoring->aside) == 0
                ? 0
                : move(restoring->database_path, restoring->aside);
    if (r == 0)
        r = move(wal, wal_aside);
    if (r == 0 && unlink(shm) < 0 && errno != ENOENT)
        r = fail(ERR_READONLY, "%s: %s", shm, errno_text(errno));
    return trace(r);
}

static int put_in_place(struct restoring *restoring)
{
    damage_mark_write(restoring->database_path,
                      "a restore has not come to its end: run `restore FILE` again");
    int r = set_old_aside(restoring);
    if (r == 0)
        r = move(restoring->scratch, restoring->database_path);
    if (r == 0)
        r = sync_folder(restoring->database_path);
    if (r == 0)
        r = damage_mark_remove(restoring->database_path);
    return trace(r);
}

static void tell(const struct restoring *restoring)
{
    char time_text[RFC3339_SIZE] = "";
    const char *name = restoring->service->name;
    if (restoring->newest_ms > 0)
        rfc3339_format(restoring->newest_ms, time_text);
    terminal_print(stdout, "restored %s: %" PRId64 " events%s%s\n", restoring->database_path,
                   restoring->head.position, *time_text ? ", the newest of " : "", time_text);
    if (*restoring->aside)
        terminal_print(
            stdout,
            "the database that stood there is kept as %s (with its -wal); remove it when %s is "
            "well\n",
            restoring->aside, name);
    terminal_print(stdout,
                   "next: start %s. It first reads what its stream has beyond position %" PRId64
                   " (state `replaying`), and takes requests then.\n"
                   "Events that neither this file nor the stream has are lost; refusals under an "
                   "idempotency key since the backup are forgotten.\n",
                   name, restoring->head.position);
}

static int restore(struct restoring *restoring)
{
    int r = check_names(restoring);
    if (r == 0)
        r = copy_backup(restoring);
    if (r == 0)
        r = check_copy(restoring);
    if (r == 0)
        r = sync_path(restoring->scratch, O_RDONLY);
    if (r == 0)
        r = put_in_place(restoring);
    if (*restoring->scratch)
        unlink(restoring->scratch);
    if (r == 0)
        tell(restoring);
    return trace(r);
}

int restore_run(const struct service *service, const struct config *config,
                const char *database_path)
{
    char lock_path[4096];
    int lock_fd = -1;
    if (config->argument_count != 2)
        return TOOL_USAGE;
    struct restoring restoring = { .service = service,
                                   .from = config->arguments[1],
                                   .database_path = database_path };
    snprintf(lock_path, sizeof(lock_path), "%s/%s.lock", config->data_dir, service->name);
    int r = data_folder_make(config->data_dir);
    if (r == 0)
        r = lock_file_take(lock_path, LOCK_WAIT_MS, &lock_fd);
    if (r == -ERR_LOCKED) {
        terminal_print(stdout, "%s runs: stop it first\n", service->name);
        return TOOL_NO;
    }
    if (r == 0)
        r = restore(&restoring);
    if (lock_fd >= 0)
        close(lock_fd);
    return trace(r);
}
